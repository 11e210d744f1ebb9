//! Tags to digests, once per revision, so that a tag that moves does not move the fleet.

use std::collections::BTreeSet;

use crate::model::app::{PullPolicy, Runtime};
use crate::model::desired::{Desired, ImageLock};
use crate::model::image::ImageRef;
use crate::model::names::Revision;

use super::memory::Memory;
use super::{ControlError, World};

/// The lock of `desired`'s revision: what is remembered, completed with what is asked now. Only what could be
/// resolved is remembered; the rest is asked again next time and its apps wait (A1). What revisions in `kept` resolved
/// is not forgotten: something is still at them.
pub async fn lock(
    world: &World,
    desired: &Desired,
    kept: &BTreeSet<Revision>,
    remember: bool,
) -> Result<ImageLock, ControlError> {
    let memory = Memory::new(&*world.store);
    let mut lock = memory.image_lock(&desired.revision)?.unwrap_or_default();
    let before = lock.digests.len();
    for image in tags(desired) {
        if lock.digests.contains_key(&image) {
            continue;
        }
        match resolve(world, desired, &image).await {
            Ok(digest) => {
                lock.digests.insert(image, digest);
            }
            Err(why) => {
                lock.unresolved.insert(image, why);
            }
        }
    }
    if remember && lock.digests.len() > before {
        memory.set_image_lock(&desired.revision, &lock, kept)?;
    }
    Ok(lock)
}

/// References that a registry has to be asked about.
fn tags(desired: &Desired) -> BTreeSet<ImageRef> {
    desired
        .apps
        .values()
        .filter(|app| app.pull == PullPolicy::Missing && matches!(app.runtime, Runtime::Host(_)))
        .map(|app| app.container.image.clone())
        .filter(|image| image.digest.is_none())
        .collect()
}

/// Asks through the engines that may run it, one after the other, until one can tell.
async fn resolve(
    world: &World,
    desired: &Desired,
    image: &ImageRef,
) -> Result<crate::model::image::Digest, String> {
    let environments: BTreeSet<_> = desired
        .apps
        .values()
        .filter(|app| app.container.image == *image)
        .map(|app| &app.key.environment)
        .collect();
    let mut why = "no host may run it".to_owned();
    let hosts =
        desired.hosts.values().filter(|host| host.environments.iter().any(|e| environments.contains(e)));
    for host in hosts.take(3) {
        let asked = match world.engines.engine(host) {
            Ok(engine) => engine.resolve(image).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(digest) => return Ok(digest),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}
