//! What a revision leaves behind that nobody could clean up afterwards (B2): hosts and Swarms that it no longer declares.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::Desired;
use crate::model::drift::{Kind, Subject};
use crate::model::names::AppKey;
use crate::model::observed::Seen;
use crate::model::plan::Blocked;

use super::memory::{LastGood, Memory};
use super::pass::Pass;
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
        let services = self.swarms_behind(world, last, taken).await?;
        all_told(world, taken, &services)
    }

    /// What is enforced, or begun with, is no commit that could be refused. Where it leaves behind what a revision brought that
    /// was applied by its name, that is told (B2).
    pub(super) async fn going_back(&self, world: &World, taken: Taken) -> Result<Taken, ControlError> {
        let swarms_behind = self.swarms_behind(world, None, &taken).await?;
        let leaves = all_told(world, &taken, &swarms_behind)?;
        Ok(Taken { leaves, swarms_behind, ..taken })
    }

    /// Services that run, or may, by a Swarm, and that the revision does not declare there. A Swarm that is no longer declared is
    /// no longer asked, and they would run on for ever: its apps go first, in a commit of their own.
    pub(super) async fn swarms_behind(
        &self,
        world: &World,
        last: Option<&LastGood>,
        taken: &Taken,
    ) -> Result<ServicesBySwarm, ControlError> {
        let revision = &taken.desired.revision;
        let memory = Memory::new(&*world.store);
        // What was applied by its name is not the enforced one, and runs all the same.
        let applied = memory.applied()?.unwrap_or_default();
        let mut behind = memory.swarms_behind()?;
        if let Some(last) = last.filter(|last| applied.fleet.as_ref() != Some(&last.revision)) {
            let last = self.parsed_or_kept(world, &last.revision).await?;
            add_undeclared(&mut behind, &last.desired, taken, |_| true);
        }
        for at in applied.revisions().into_iter().filter(|at| at != revision) {
            // Where it cannot be read nothing is judged either: that is told where it is the baseline.
            let Ok(parsed) = self.parsed_or_kept(world, &at).await else { continue };
            // Each app as far as it came: what was held is still at an earlier revision, or was never there.
            add_undeclared(&mut behind, &parsed.desired, taken, |app| applied.of(app).as_ref() == Some(&at));
        }
        Ok(behind)
    }
}

type ServicesBySwarm = BTreeMap<String, BTreeSet<String>>;

/// Services, each with its Swarm.
fn declared(desired: &Desired) -> BTreeSet<(&str, String)> {
    desired.services().map(|(swarm, service, _)| (swarm, service)).collect()
}

fn add_undeclared(
    all: &mut ServicesBySwarm,
    before: &Desired,
    taken: &Taken,
    is_there: impl Fn(&AppKey) -> bool,
) {
    let declared = declared(&taken.desired);
    for (swarm, service, _) in before.services().filter(|(_, _, app)| is_there(app)) {
        if !declared.contains(&(swarm, service.clone())) {
            all.entry(swarm.to_owned()).or_default().insert(service);
        }
    }
}

/// What is remembered from this look on of services that nobody declares: what was known of them and what this revision takes
/// away, until the Swarm itself was seen without.
pub(super) fn swarms_to_remember(known: &ServicesBySwarm, pass: &Pass) -> ServicesBySwarm {
    let mut all = known.clone();
    for (swarm, services) in &pass.taken.swarms_behind {
        all.entry(swarm.clone()).or_default().extend(services.clone());
    }
    let before = pass.taken.baseline.desired.iter().flat_map(Desired::services);
    for (swarm, service, _) in before {
        all.entry(swarm.to_owned()).or_default().insert(service);
    }
    let declared = declared(&pass.judged.enforced.desired);
    for (swarm, services) in &mut all {
        let seen = pass.observed.swarms.get(swarm).and_then(Seen::known);
        services.retain(|service| {
            !declared.contains(&(swarm.as_str(), service.clone()))
                && seen.is_none_or(|seen| seen.services.contains_key(service))
        });
    }
    all.retain(|_, services| !services.is_empty());
    all
}

/// Hosts and Swarms together: who trusts the revision all the same is told of both.
fn all_told(
    world: &World,
    taken: &Taken,
    services: &ServicesBySwarm,
) -> Result<Option<String>, ControlError> {
    let reasons = [leaves_hosts_behind(world, taken)?, swarms_told(taken, services)];
    let reasons: Vec<String> = reasons.into_iter().flatten().collect();
    Ok((!reasons.is_empty()).then(|| reasons.join("; and ")))
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

fn swarms_told(taken: &Taken, behind: &ServicesBySwarm) -> Option<String> {
    let revision = &taken.desired.revision;
    let services = |services: &BTreeSet<String>| services.iter().cloned().collect::<Vec<_>>().join(", ");
    let gone = behind.iter().filter(|(swarm, _)| !taken.desired.swarms.contains_key(*swarm));
    let told: Vec<String> = gone.map(|(swarm, behind)| format!("{swarm} ({})", services(behind))).collect();
    let short = revision.short();
    (!told.is_empty()).then(|| {
        format!(
            "{short} takes Swarms out of fleet.toml that run services (B2): {}. Take the apps away or move them in a \
             commit of its own, and the Swarm once they are gone; if it is gone for good, run `trueup trust {revision}`",
            told.join(", ")
        )
    })
}
