//! What a revision leaves behind that nobody could clean up afterwards (B2): hosts and Swarms that it no longer declares.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::app::Runtime;
use crate::model::drift::{Kind, Subject};
use crate::model::plan::Blocked;

use super::memory::{LastGood, Memory};
use super::revision::{Reader, Taken};
use super::{ControlError, World};

impl Taken {
    /// For the plan: what it leaves behind.
    pub(super) fn left_behind(&self) -> Option<Blocked> {
        let reason = self.leaves.clone()?;
        Some(Blocked {
            subject: Subject::of_fleet(Kind::Revision, self.desired.revision.short()),
            app: None,
            reason,
            hint: "what it declares is enforced meanwhile; what it leaves behind runs on, and nobody looks at it".to_owned(),
        })
    }
}

impl Reader {
    /// Why a revision may not be taken that leaves behind what nobody could clean up afterwards (B2).
    pub(super) async fn leaves_behind(
        &self,
        world: &World,
        last: Option<&LastGood>,
        taken: &Taken,
    ) -> Result<Option<String>, ControlError> {
        match leaves_hosts_behind(world, taken)? {
            Some(reason) => Ok(Some(reason)),
            None => Ok(swarms_told(taken, &self.swarms_behind(world, last, taken).await?)),
        }
    }

    /// What is enforced, or begun with, is no commit that could be refused. Where it leaves behind what a revision brought that
    /// was applied by its name, that is told (B2).
    pub(super) async fn going_back(&self, world: &World, taken: Taken) -> Result<Taken, ControlError> {
        let swarms_behind = self.swarms_behind(world, None, &taken).await?;
        let leaves = leaves_hosts_behind(world, &taken)?.or_else(|| swarms_told(&taken, &swarms_behind));
        Ok(Taken { leaves, swarms_behind, ..taken })
    }

    /// A Swarm that is no longer declared is no longer asked, and its services would run on for ever: its apps go first, in a
    /// commit of their own.
    async fn swarms_behind(
        &self,
        world: &World,
        last: Option<&LastGood>,
        taken: &Taken,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, ControlError> {
        let revision = &taken.desired.revision;
        let memory = Memory::new(&*world.store);
        // What was applied by its name is not the enforced one, and runs all the same.
        let applied = memory.applied()?.and_then(|applied| applied.fleet);
        let mut all = Vec::new();
        if let Some(last) = last {
            all.push(self.parsed_or_kept(world, &last.revision).await?);
        }
        if let Some(applied) = applied.filter(|applied| applied != revision) {
            // Where it cannot be read nothing is judged either: that is told where it is the baseline.
            all.extend(self.parsed_or_kept(world, &applied).await.ok());
        }
        let mut behind = memory.swarms_behind()?;
        behind.retain(|swarm, _| !taken.desired.swarms.contains_key(swarm));
        for before in all {
            for app in before.desired.apps.values() {
                if let Runtime::Swarm(service) = &app.runtime
                    && !taken.desired.swarms.contains_key(&service.swarm)
                {
                    behind.entry(service.swarm.clone()).or_default().insert(app.service_name());
                }
            }
        }
        Ok(behind)
    }
}

/// Why a revision may not be taken that takes hosts out of the inventory which still hold instances (B2): without its
/// engine's address nobody could leave such a host clean.
fn leaves_hosts_behind(world: &World, taken: &Taken) -> Result<Option<String>, ControlError> {
    let last_seen = Memory::new(&*world.store).last_seen()?;
    let behind = last_seen.outside(&taken.desired);
    let told: Vec<String> = behind.iter().map(|(host, instances)| format!("{host} ({instances})")).collect();
    let revision = &taken.desired.revision;
    let short = revision.short();
    Ok((!told.is_empty()).then(|| {
        format!(
            "{short} takes hosts out of the inventory that were last seen running instances (B2): {}. Declare \
             each again with drain = true, and remove it once it is empty; if it is gone for good, run `trueup \
             trust {revision}`",
            told.join(", ")
        )
    }))
}

fn swarms_told(taken: &Taken, behind: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let revision = &taken.desired.revision;
    let services = |services: &BTreeSet<String>| services.iter().cloned().collect::<Vec<_>>().join(", ");
    let told: Vec<String> =
        behind.iter().map(|(swarm, behind)| format!("{swarm} ({})", services(behind))).collect();
    let short = revision.short();
    (!told.is_empty()).then(|| {
        format!(
            "{short} takes Swarms out of fleet.toml that run services (B2): {}. Take the apps away or move them in a \
             commit of its own, and the Swarm once they are gone; if it is gone for good, run `trueup trust {revision}`",
            told.join(", ")
        )
    })
}
