//! What is known of images where nobody may be asked: a forecast dials no registry (F4), and engines only tell digests.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::adoption;
use crate::model::app::{App, PullPolicy};
use crate::model::desired::{Desired, ImageLock};
use crate::model::image::{Digest, ImageRef};
use crate::model::last_seen::LastSeen;
use crate::model::names::{AppKey, HostName, Revision};
use crate::model::observed::{Container, Engine, Observed, Seen, Snapshot};
use crate::model::ownership::{Belongs, Owner};
use crate::model::swarm::LiveService;
use crate::model::units::Timestamp;

use super::judge::Proof;
use super::memory::Memory;
use super::{ControlError, World};

/// Tags with what they stand for, and what may go to production.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub images: ImageLock,
    /// Digests that ran healthy outside of production (F5); `None`: nobody here knows.
    pub healthy_in_test: Option<BTreeSet<Digest>>,
}

impl Known {
    /// What was resolved for this very revision.
    pub fn of_revision(world: &World, revision: &Revision) -> Result<Self, ControlError> {
        let images = Memory::new(&*world.store).image_lock(revision)?.unwrap_or_default();
        Ok(Self { images, healthy_in_test: None })
    }

    /// What the reconciler's memory has: of the enforced revision first, since that is what runs, then of others that
    /// something is still at. A memory that never enforced anything knows nothing of what ran.
    pub fn remembered(world: &World) -> Result<Self, ControlError> {
        let memory = Memory::new(&*world.store);
        let Some(last) = memory.last_good()? else { return Ok(Self::default()) };
        let mut known = Self::of_revision(world, &last.revision)?;
        for images in memory.image_locks()? {
            known = known.or(Self { images, healthy_in_test: None });
        }
        Ok(Self { healthy_in_test: Some(memory.healthy_in_test()?), ..known })
    }

    /// What was saved beside what was seen.
    pub fn of_snapshot(snapshot: &Snapshot) -> Self {
        let images = ImageLock { digests: snapshot.images.clone(), unresolved: BTreeMap::new() };
        Self { images, healthy_in_test: snapshot.healthy_in_test.clone() }
    }

    /// And what `other` knows besides.
    pub fn or(mut self, other: Self) -> Self {
        for (image, digest) in other.images.digests {
            self.images.digests.entry(image).or_insert(digest);
        }
        self.healthy_in_test = self.healthy_in_test.or(other.healthy_in_test);
        self
    }

    /// A tag that nobody resolved is taken for what runs of the app that declares it: not known is no drift (A1). Where
    /// its instances differ, for what was made last.
    pub fn or_running(self, declared: &Desired, observed: &Observed, owner: &Owner) -> Self {
        let mut running: BTreeMap<ImageRef, (Timestamp, Digest)> = BTreeMap::new();
        for (key, made, digests) in runs(declared, observed, owner) {
            let Some(image) = declared.apps.get(&key).and_then(|app| tag(app)) else { continue };
            let of_it = digests.into_iter().filter(|known| known.repository == image.repository);
            let Some(digest) = of_it.filter_map(|known| known.digest.clone()).next() else { continue };
            let last = running.entry(image.clone()).or_insert_with(|| (made, digest.clone()));
            if last.0 < made {
                *last = (made, digest);
            }
        }
        let digests = running.into_iter().map(|(image, (_, digest))| (image, digest)).collect();
        self.or(Self { images: ImageLock { digests, unresolved: BTreeMap::new() }, healthy_in_test: None })
    }

    /// Tags that `after` gives to an app which did not have them, and of which nobody knows what they stand for.
    pub fn unresolved<'a>(&self, before: &Desired, after: &'a Desired) -> BTreeSet<&'a ImageRef> {
        let apps = after.apps.iter().filter_map(|(key, app)| Some((key, tag(app)?)));
        let new = apps.filter(|(key, image)| {
            before.apps.get(*key).is_none_or(|app| app.container.image != **image)
                && !self.images.digests.contains_key(*image)
        });
        new.map(|(_, image)| image).collect()
    }

    pub(super) fn proof(&self) -> Proof<'_> {
        Proof::Forecast(self.healthy_in_test.as_ref())
    }
}

/// The app's image, where a registry has to say what it is.
fn tag(app: &App) -> Option<&ImageRef> {
    let image = &app.container.image;
    (app.pull == PullPolicy::Missing && image.digest.is_none()).then_some(image)
}

/// What runs for apps: when it was made, and the names by digest that its image has.
fn runs<'a>(
    declared: &Desired,
    observed: &'a Observed,
    owner: &Owner,
) -> Vec<(AppKey, Timestamp, Vec<&'a ImageRef>)> {
    let mut runs = Vec::new();
    for (host, engine) in &observed.hosts {
        let Some(engine) = engine.known() else { continue };
        for container in engine.containers.values().filter_map(Seen::known) {
            if let Some(key) = app_of(declared, observed, owner, host, container) {
                runs.push((key, container.created, names(engine, container)));
            }
        }
    }
    for (name, swarm) in &observed.swarms {
        let services = swarm.known().into_iter().flat_map(|swarm| swarm.services.values());
        for service in services.filter_map(Seen::known) {
            if let Some(key) = app_of_service(declared, owner, name, service) {
                runs.push((key, service.updated, vec![&service.spec.image]));
            }
        }
    }
    runs
}

fn names<'a>(engine: &'a Engine, container: &Container) -> Vec<&'a ImageRef> {
    engine.images.get(&container.image).into_iter().flat_map(|image| &image.digests).collect()
}

fn app_of(
    declared: &Desired,
    observed: &Observed,
    owner: &Owner,
    host: &HostName,
    container: &Container,
) -> Option<AppKey> {
    match owner.container(&container.name, host, &container.labels) {
        Belongs::Ours(owned) => Some(owned.instance.key),
        Belongs::Foreign { .. } => {
            // Of one that moves, its successor tells: what was made last.
            let none = LastSeen::default();
            adoption::adopted(declared, observed, &none, host, container).map(|(instance, _)| instance.key)
        }
    }
}

fn app_of_service(declared: &Desired, owner: &Owner, swarm: &str, service: &LiveService) -> Option<AppKey> {
    match owner.swarm_object("service", &service.name, swarm, &service.labels) {
        Belongs::Ours(key) => key,
        Belongs::Foreign { .. } => {
            declared.adopter_of_service(swarm, &service.name).map(|app| app.key.clone())
        }
    }
}
