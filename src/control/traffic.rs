//! Who may receive traffic while a rollout goes on: drained instances leave the files, fresh observation lets them back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard};

use crate::apply::Traffic;
use crate::endpoints::Exceptions;
use crate::model::desired::Desired;
use crate::model::file::{FileSet, Files, Rendered};
use crate::model::last_seen::LastSeen;
use crate::model::names::{HostName, InstanceName};
use crate::model::observed::Observed;
use crate::model::units::TimeSpan;
use crate::observe::{self, Asked};

use super::World;
use super::pass::{Pass, files_for};

/// Keeps the generated files in step with the rollouts that are under way.
pub struct Edge<'a> {
    world: &'a World,
    seen: &'a Sight,
}

/// What the files follow from: the newest look, and who must get no traffic meanwhile. One for all that is under way at
/// once, since the files have the servers of all apps.
pub struct Sight {
    drained: std::sync::Mutex<BTreeSet<InstanceName>>,
    /// Held for moments only: no look waits for a reload.
    picture: std::sync::Mutex<Picture>,
    /// Whoever holds it installs.
    installs: Mutex<()>,
}

#[derive(Clone)]
struct Picture {
    desired: Arc<Desired>,
    observed: Observed,
    /// When each host was begun to be read: an older read that ends later does not count.
    began: BTreeMap<HostName, u64>,
    /// Those whose removal waits: see [`Exceptions`].
    staying: BTreeSet<InstanceName>,
    /// Adopted containers that stand for instances.
    adopted: LastSeen,
}

impl Sight {
    pub fn of(pass: &Pass) -> Self {
        let (desired, observed) = (Arc::new(pass.desired.clone()), pass.observed.clone());
        let (began, staying) = (pass.pending.began.clone(), pass.staying.clone());
        let adopted = pass.adopted.clone();
        let picture = std::sync::Mutex::new(Picture { desired, observed, began, staying, adopted });
        Self { drained: std::sync::Mutex::default(), picture, installs: Mutex::default() }
    }

    /// A newer look; who is drained stays so. What is still being read says nothing newer than what is known.
    pub fn look(&self, pass: &Pass) {
        let mut picture = self.picture();
        if *picture.desired != pass.desired {
            picture.desired = Arc::new(pass.desired.clone());
        }
        let (before, began) =
            (std::mem::replace(&mut picture.observed, pass.observed.clone()), &pass.pending.began);
        let stamps = std::mem::replace(&mut picture.began, began.clone());
        for (host, seen) in before.hosts {
            let (Some(stamp), Some(new)) = (stamps.get(&host), began.get(&host)) else { continue };
            let tells_less = pass.pending.hosts.contains(&host) && seen.known().is_some();
            if (stamp > new || tells_less) && picture.desired.hosts.contains_key(&host) {
                picture.began.insert(host.clone(), *stamp);
                picture.observed.hosts.insert(host, seen);
            }
        }
        picture.staying.clone_from(&pass.staying);
        picture.adopted.clone_from(&pass.adopted);
    }

    /// What a change read of some hosts, begun as `number`.
    fn merge(&self, hosts: &BTreeSet<HostName>, fresh: Observed, number: u64) {
        let mut picture = self.picture();
        for (host, seen) in fresh.hosts.into_iter().filter(|(host, _)| hosts.contains(host)) {
            let older = picture.began.get(&host).is_some_and(|began| *began > number);
            if !older && picture.desired.hosts.contains_key(&host) {
                picture.began.insert(host.clone(), number);
                picture.observed.hosts.insert(host, seen);
            }
        }
    }

    fn picture(&self) -> std::sync::MutexGuard<'_, Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn drained(&self) -> BTreeSet<InstanceName> {
        self.lock().clone()
    }

    /// The change that drained it has ended, however it did: the next files follow from what is seen.
    pub fn forget(&self, instance: &InstanceName) {
        self.lock().remove(instance);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<InstanceName>> {
        self.drained.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Edge<'a> {
    pub const fn new(world: &'a World, seen: &'a Sight) -> Self {
        Self { world, seen }
    }

    /// Looks again at some hosts, beside whatever else installs; then nobody else does until this is dropped.
    async fn look_at(
        &self,
        wanted: impl Fn(&Observed) -> BTreeSet<HostName>,
    ) -> (MutexGuard<'_, ()>, Picture) {
        let before = self.seen.picture().clone();
        let hosts = wanted(&before.observed);
        let number = observe::next_read();
        let fresh = self.observe(&hosts, &before.observed, &before.desired).await;
        self.seen.merge(&hosts, fresh, number);
        let installs = self.seen.installs.lock().await;
        // Somebody may have looked, or installed, meanwhile.
        let mut picture = self.seen.picture().clone();
        picture.observed = self.observe(&BTreeSet::new(), &picture.observed, &picture.desired).await;
        (installs, picture)
    }

    async fn observe(&self, hosts: &BTreeSet<HostName>, before: &Observed, desired: &Desired) -> Observed {
        observe::observe_hosts(
            hosts,
            before,
            &Asked::of(desired),
            &*self.world.engines,
            &*self.world.files,
            &*self.world.clock,
            &self.world.limits,
            self.world.call_deadline.duration(),
        )
        .await
    }

    fn render(&self, picture: &Picture) -> Rendered {
        let owner = self.world.owner(&picture.desired.fleet);
        let (staying, adopted) = (picture.staying.clone(), picture.adopted.clone());
        let exceptions = Exceptions { staying, drained: self.seen.drained(), adopted };
        files_for(&picture.desired, &picture.observed, &owner, &exceptions)
    }

    /// Looks again at the hosts that run the instance's app, and installs the sets that changed by it.
    /// Only sets that are installed already are touched: a first installation is a change of the plan.
    async fn refresh(&self, instance: &InstanceName, host: &HostName) -> Result<(), String> {
        let (_installs, picture) = self.look_at(|observed| hosts_of(observed, instance, host)).await;
        self.install_changed(&picture).await.map(|_| ())
    }

    async fn install_changed(&self, picture: &Picture) -> Result<bool, String> {
        let mut changed = false;
        for (set, files) in &self.render(picture).sets {
            let installed = picture.observed.files.get(set).and_then(|seen| seen.known()).cloned().flatten();
            if installed.as_ref().is_some_and(|installed| installed != files) {
                self.world.files.install(set, files).await.map_err(|e| e.to_string())?;
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Drained = the old Nginx workers are gone, or the time is over (D1).
    async fn until_drained(&self, timeout: Duration) {
        let end = self.world.clock.now().plus(timeout);
        while self.world.clock.now() < end && !self.world.files.drained(&FileSet::Nginx).await {
            self.world.clock.sleep(ASK_AGAIN.min(timeout)).await;
        }
    }
}

/// How often it is asked whether the old workers are gone.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Where instances of the same app are seen now, and where this one is, whatever was seen there.
fn hosts_of(observed: &Observed, instance: &InstanceName, own: &HostName) -> BTreeSet<HostName> {
    let prefix = format!("{}-", instance.key);
    observed
        .hosts
        .iter()
        .filter(|(_, seen)| {
            seen.known()
                .is_some_and(|engine| engine.containers.keys().any(|n| n.as_str().starts_with(&prefix)))
        })
        .map(|(host, _)| host)
        .chain([own])
        .cloned()
        .collect()
}

#[async_trait]
impl Traffic for Edge<'_> {
    async fn drain(&self, instance: &InstanceName, host: &HostName, timeout: TimeSpan) -> Result<(), String> {
        let (installs, picture) = self.look_at(|observed| hosts_of(observed, instance, host)).await;
        // Noted while nobody else installs: whoever installed without it before would keep its old workers from being
        // waited for. Of an earlier try it is not known who did.
        let again = !self.seen.lock().insert(instance.clone());
        let changed = self.install_changed(&picture).await?;
        drop(installs);
        // An instance that was in no file has no requests to finish.
        if changed || again {
            self.until_drained(timeout.duration()).await;
        }
        Ok(())
    }

    async fn undrain(&self, instance: &InstanceName, host: &HostName) -> Result<(), String> {
        self.seen.forget(instance);
        self.refresh(instance, host).await
    }

    /// Installs what follows from a fresh look, not what the plan foresaw (D11).
    async fn install(&self, set: &FileSet, planned: &Files) -> Result<(), String> {
        // Who did not answer this pass is not waited for once more (D6): unknown hosts keep their lines.
        let known = |observed: &Observed| {
            observed.hosts.keys().filter(|host| observed.engine(host).is_some()).cloned().collect()
        };
        let (_installs, picture) = self.look_at(known).await;
        let rendered = self.render(&picture);
        let files = rendered.sets.get(set).unwrap_or(planned);
        let installed = picture.observed.files.get(set).and_then(|seen| seen.known()).cloned().flatten();
        if installed.as_ref() == Some(files) {
            return Ok(());
        }
        self.world.files.install(set, files).await.map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use crate::model::observed::Seen;
    use crate::model::secrecy::HashKey;

    use super::*;

    /// A look that left the host behind is no reason to leave the instance out of the files (D1).
    #[test]
    fn the_host_of_a_change_is_read_whatever_was_seen_there() {
        let own: HostName = "h1".parse().expect("a name");
        let observed = Observed {
            at: crate::model::units::Timestamp::default(),
            key: HashKey::new([1; 32]).id(),
            hosts: BTreeMap::from([(own.clone(), Seen::unknown("it is still being read"))]),
            swarms: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        let instance = "web-test-0".parse().expect("an instance");
        assert_eq!(hosts_of(&observed, &instance, &own), BTreeSet::from([own]));
    }
}
