//! Tags to digests, once per revision, so that a tag that moves does not move the fleet.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};

use crate::model::app::PullPolicy;
use crate::model::desired::{Desired, ImageLock};
use crate::model::image::{Digest, ImageRef};
use crate::model::names::{HostName, Revision};
use crate::ports::EngineErrorKind;

use super::baseline::Baseline;
use super::memory::Memory;
use super::{ControlError, World};

/// How long a registry that takes its whole time is left alone: nothing waits for it at every look (D6).
const REST: Duration = Duration::from_secs(60);

/// Why a tag stands for nothing yet.
struct Unresolved {
    why: String,
    /// The whole time that the call may take was waited for.
    slow: bool,
}

/// The lock of `revision`: what is remembered, completed with what is asked now for `desired`, the part of it that is not
/// held (F4), through the hosts that `answer` (one that hangs delays nobody, D6). Only what could be resolved is remembered; the rest is asked again next
/// time and its apps wait (A1). What revisions that something is still at resolved is not forgotten.
pub async fn lock(
    world: &World,
    revision: &Revision,
    desired: &Desired,
    answer: &BTreeSet<HostName>,
    baseline: &Baseline,
    remember: bool,
) -> Result<ImageLock, ControlError> {
    let now = world.clock.now();
    baseline.slow_tags().retain(|_, (_, again)| now < *again);
    let memory = Memory::new(&*world.store);
    let mut lock = memory.image_lock(revision)?.unwrap_or_default();
    let before = lock.digests.len();
    let wanted = tags(desired).into_iter().filter(|image| !lock.digests.contains_key(image));
    // Boxed one by one: the compiler cannot see through a closure over borrowed hosts here.
    let mut asked: Vec<BoxFuture<'_, (ImageRef, Result<Digest, Unresolved>)>> = Vec::new();
    for image in wanted {
        if let Some((why, _)) = baseline.slow_tags().get(&image) {
            lock.unresolved.insert(image, why.clone());
            continue;
        }
        asked.push(Box::pin(async move {
            let told = resolve(world, desired, answer, &image).await;
            (image, told)
        }));
    }
    let told: Vec<_> = stream::iter(asked).buffer_unordered(world.limits.fan_out.max(1)).collect().await;
    for (image, told) in told {
        match told {
            Ok(digest) => {
                lock.digests.insert(image, digest);
            }
            Err(Unresolved { why, slow }) => {
                if slow {
                    let again = world.clock.now().plus(REST);
                    baseline.slow_tags().insert(image.clone(), (why.clone(), again));
                }
                lock.unresolved.insert(image, why);
            }
        }
    }
    if remember && lock.digests.len() > before {
        memory.set_image_lock(revision, &lock, &baseline.applied.revisions())?;
    }
    Ok(lock)
}

/// References that a registry has to be asked about.
fn tags(desired: &Desired) -> BTreeSet<ImageRef> {
    desired
        .apps
        .values()
        .filter(|app| app.pull == PullPolicy::Missing)
        .map(|app| app.container.image.clone())
        .filter(|image| image.digest.is_none())
        .collect()
}

/// Asks through the engines that may run it, one after the other, until one can tell.
async fn resolve(
    world: &World,
    desired: &Desired,
    answer: &BTreeSet<HostName>,
    image: &ImageRef,
) -> Result<Digest, Unresolved> {
    let environments: BTreeSet<_> = desired
        .apps
        .values()
        .filter(|app| app.container.image == *image)
        .map(|app| &app.key.environment)
        .collect();
    let mut why = "no host that may run it answers".to_owned();
    let hosts = desired
        .hosts
        .values()
        .filter(|host| answer.contains(&host.name))
        .filter(|host| host.environments.iter().any(|e| environments.contains(e)));
    for host in hosts.take(3) {
        let asked = match world.engines.engine(host) {
            Ok(engine) => engine.resolve(image).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(digest) => return Ok(digest),
            // The host answers, so it is the registry that does not: the next host would wait as long.
            Err(error) if error.kind == EngineErrorKind::Deadline => {
                return Err(Unresolved { why: error.to_string(), slow: true });
            }
            Err(error) => why = error.to_string(),
        }
    }
    Err(Unresolved { why, slow: false })
}
