//! How things stand, gathered from one look and from memory: what `trueup status` prints.

use std::collections::BTreeMap;

use crate::model::names::{AppKey, HostName, InstanceName};
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
    let seats = memory.last_seen()?;
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
        apps: pass.desired.apps.keys().map(|key| (key.clone(), standing(pass, &seats, key))).collect(),
        pauses: memory
            .pauses(now)?
            .into_iter()
            .map(|(app, pause)| (whole_or(app.as_ref()), pause.until, pause.reason))
            .collect(),
        quarantined: memory.quarantined()?.into_iter().map(|(subject, (_, why))| (subject, why)).collect(),
        writer: world.store.become_writer("trueup status").err().map(|held| held.holder),
    })
}

fn is_unknown(pass: &Pass, host: &HostName) -> bool {
    pass.desired.hosts.contains_key(host) && pass.observed.engine(host).is_none()
}

/// An app's standing: the worst of its objects.
fn standing(pass: &Pass, seats: &BTreeMap<InstanceName, HostName>, key: &AppKey) -> Standing {
    let plan = &pass.plan;
    let prefix = format!("{key}-");
    let blocked = plan.blocked.iter().find(|b| b.app.as_ref() == Some(key));
    let unknown =
        plan.unknown.iter().filter(|u| u.subject.name.starts_with(&prefix)).min_by_key(|u| &u.subject);
    // An instance on a host that does not answer is as unknown as the host.
    let unseen = seats.iter().find(|(instance, host)| instance.key == *key && is_unknown(pass, host));
    let drift = plan.drift.iter().find(|d| d.app.as_ref() == Some(key));
    match (blocked, unknown, drift) {
        (Some(blocked), _, _) => Standing::Held(blocked.reason.clone()),
        (None, Some(unknown), _) => Standing::Unknown(format!("{}: {}", unknown.subject, unknown.why)),
        (None, None, Some(drift)) => Standing::Drifted(drift.subject.to_string()),
        (None, None, None) => match unseen {
            Some((instance, host)) => {
                Standing::Unknown(format!("{instance} was last seen on {host}, which is unknown"))
            }
            None => Standing::InSync,
        },
    }
}
