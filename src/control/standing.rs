//! How things stand, gathered from one look and from memory: what `trueup status` prints.

use crate::model::names::AppKey;
use crate::model::observed::Seen;
use crate::output::{Standing, Status};

use super::memory::Memory;
use super::pass::Pass;
use super::person::whole_or;
use super::{ControlError, World};

/// Everything `status` tells of this look.
pub fn status(world: &World, pass: &Pass) -> Result<Status, ControlError> {
    let memory = Memory::new(&*world.store);
    let now = world.clock.now();
    let last_good = memory.last_good()?;
    let hosts = pass.observed.hosts.iter().map(|(host, seen)| {
        let why = match seen {
            Seen::Known(_) => None,
            Seen::Unknown { why } => Some(why.clone()),
        };
        (host.clone(), why)
    });
    Ok(Status {
        fleet: pass.desired.fleet.clone(),
        revision: pass.plan.revision.clone(),
        summary: pass.taken.summary.clone(),
        committed: pass.taken.committed,
        enforced_since: last_good.as_ref().map(|last| last.since),
        kept_because: pass.taken.kept_because.clone(),
        now,
        hosts: hosts.collect(),
        apps: pass.desired.apps.keys().map(|key| (key.clone(), standing(pass, key))).collect(),
        pauses: memory
            .pauses(now)?
            .into_iter()
            .map(|(app, pause)| (whole_or(app.as_ref()), pause.until, pause.reason))
            .collect(),
        quarantined: memory.quarantined()?.into_iter().map(|(subject, (_, why))| (subject, why)).collect(),
        writer: world.store.become_writer("trueup status").err().map(|held| held.holder),
    })
}

/// An app's standing: the worst of its objects.
fn standing(pass: &Pass, key: &AppKey) -> Standing {
    let plan = &pass.plan;
    let prefix = format!("{key}-");
    let blocked = plan.blocked.iter().find(|b| b.app.as_ref() == Some(key));
    let unknown =
        plan.unknown.iter().filter(|u| u.subject.name.starts_with(&prefix)).min_by_key(|u| &u.subject);
    let drift = plan.drift.iter().find(|d| d.app.as_ref() == Some(key));
    match (blocked, unknown, drift) {
        (Some(blocked), _, _) => Standing::Held(blocked.reason.clone()),
        (None, Some(unknown), _) => Standing::Unknown(format!("{}: {}", unknown.subject, unknown.why)),
        (None, None, Some(drift)) => Standing::Drifted(drift.subject.to_string()),
        (None, None, None) => Standing::InSync,
    }
}
