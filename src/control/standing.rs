//! How things stand, gathered from one look and from memory: what `trueup status` prints.

use std::collections::BTreeSet;

use crate::model::adoption;
use crate::model::app::{App, Placement, Replicas, Runtime};
use crate::model::drift::{Kind, Subject};
use crate::model::host::Host;
use crate::model::names::{AppKey, HostName, InstanceName};
use crate::model::observed::Seen;
use crate::model::units::{TimeSpan, Timestamp};
use crate::output::{Standing, Status};

use super::memory::Memory;
use super::pass::Pass;
use super::person::whole_or;
use super::{ControlError, World, permission};

/// After so long it is told that rules wait: an ordinary rollout is over by then.
const LONG: TimeSpan = TimeSpan::from_secs(3600);

/// Everything `status` tells of this look.
pub fn status(world: &World, pass: &Pass) -> Result<Status, ControlError> {
    let memory = Memory::new(&*world.store);
    let now = world.clock.now();
    let hosts = pass.observed.hosts.iter().map(|(host, seen)| {
        let why = match seen {
            Seen::Known(_) => None,
            Seen::Unknown { why } => Some(why.clone()),
        };
        (host.clone(), why)
    });
    let enforced_since = memory.enforced_since(&pass.plan.revision)?;
    Ok(Status {
        fleet: pass.desired.fleet.clone(),
        revision: pass.plan.revision.clone(),
        summary: pass.taken.summary.clone(),
        committed: pass.taken.committed,
        enforced_since,
        kept_because: pass.taken.kept_because.clone(),
        kept_since: pass.taken.kept_since,
        rules_wait_for: match enforced_since.filter(|since| now.since(*since) >= LONG) {
            Some(_) => rules_wait_for(pass),
            None => BTreeSet::new(),
        },
        permission: permission::standing(world, &pass.taken.by)?,
        now,
        hosts: hosts.collect(),
        apps: pass.desired.apps.iter().map(|(key, app)| (key.clone(), standing(pass, key, app))).collect(),
        pauses: memory
            .pauses(now)?
            .into_iter()
            .filter(|(app, _)| app.as_ref().is_none_or(|app| concerns_environment(world, app)))
            .map(|(app, pause)| (whole_or(app.as_ref()), pause.until, pause.reason))
            .collect(),
        quarantined: memory
            .quarantined()?
            .into_iter()
            .filter(|(words, _)| Subject::app_in(words).is_none_or(|app| concerns_environment(world, &app)))
            .map(|(words, (_, why))| (words, why))
            .collect(),
        findings: pass.plan.findings.clone(),
        writer: world.store.become_writer("trueup status").err().map(|held| held.holder),
        under_way: under_way(world)?,
    })
}

/// Apps of which this commit's change is stuck, and its new rules with it: such as by a host that is silent (F1).
fn rules_wait_for(pass: &Pass) -> BTreeSet<AppKey> {
    let base = &pass.taken.baseline;
    let taken = base.applied.fleet.as_ref() == Some(&pass.taken.desired.revision);
    if !taken || pass.taken.rules == base.rules {
        return BTreeSet::new();
    }
    // Where nothing of it is denied, they move on without what is not carried out here: apps of other environments.
    let elsewhere = pass.judged.becomes.as_ref().filter(|becomes| becomes.rules == becomes.fleet);
    let waited_for = |app: &&AppKey| elsewhere.is_none_or(|becomes| !becomes.behind.contains_key(*app));
    base.applied.behind.keys().filter(waited_for).cloned().collect()
}

/// What the journal has of steps that have not ended.
fn under_way(world: &World) -> Result<Vec<(Timestamp, String, String)>, ControlError> {
    let unsettled = world.store.unsettled()?;
    Ok(unsettled.into_iter().map(|intent| (intent.at, intent.subject, intent.step)).collect())
}

/// Whether the app is of an environment that was asked about.
fn concerns_environment(world: &World, app: &AppKey) -> bool {
    world.environments.as_ref().is_none_or(|asked| asked.contains(&app.environment))
}

/// An app's standing: the worst of its objects.
fn standing(pass: &Pass, key: &AppKey, app: &App) -> Standing {
    let plan = &pass.plan;
    let blocked = plan.blocked.iter().find(|b| b.app.as_ref() == Some(key));
    let unknown = plan.unknown.iter().filter(|u| concerns(pass, app, &u.subject)).min_by_key(|u| &u.subject);
    let drift = plan.drift.iter().find(|d| d.app.as_ref() == Some(key));
    match (blocked, unknown, drift) {
        (Some(blocked), _, _) => Standing::Held(blocked.reason.clone()),
        (None, Some(unknown), _) => Standing::Unknown(format!("{}: {}", unknown.subject, unknown.why)),
        (None, None, Some(drift)) => Standing::Drifted(drift.subject.to_string()),
        (None, None, None) => unseen(pass, key, app).map_or(Standing::InSync, Standing::Unknown),
    }
}

/// Whether what could not be read is an instance or the service of this app.
fn concerns(pass: &Pass, app: &App, subject: &Subject) -> bool {
    let is_container = |host: &HostName| {
        let name = subject.name.parse().ok();
        let instance = name.and_then(|name| adoption::by_name_alone(&pass.desired, host, &name));
        instance.is_some_and(|instance| instance.key == app.key)
    };
    match (&app.runtime, subject.kind) {
        (Runtime::Host(_), Kind::Container) => subject.host.as_ref().is_some_and(is_container),
        (Runtime::Swarm(service), Kind::Service) => {
            subject.swarm.as_ref() == Some(&service.swarm) && subject.name == app.service_name()
        }
        (Runtime::Host(_) | Runtime::Swarm(_), _) => false,
    }
}

/// An instance that nobody saw while a host that may run it does not answer: it is as unknown as that host (A1).
fn unseen(pass: &Pass, key: &AppKey, app: &App) -> Option<String> {
    // A Swarm tells of its services whichever of its hosts is silent.
    if let Runtime::Swarm(service) = &app.runtime {
        return match pass.observed.swarms.get(&service.swarm) {
            Some(Seen::Known(_)) => None,
            Some(Seen::Unknown { .. }) | None => Some(format!("the Swarm {} is unknown", service.swarm)),
        };
    }
    let serves = |host: &&Host| host.environments.contains(&key.environment);
    let silent = |host: &&Host| pass.observed.engine(&host.name).is_none();
    let host = pass.desired.hosts.values().filter(serves).find(silent)?;
    let is_seen = |instance: &InstanceName| {
        let mut engines = pass.observed.hosts.iter().filter_map(|(host, seen)| Some((host, seen.known()?)));
        engines.any(|(host, engine)| {
            engine.containers.contains_key(&adoption::standing_name(engine, host, app, instance.slot))
        })
    };
    match &app.runtime {
        Runtime::Host(Placement { replicas: Replicas::Count(count), .. }) => (0..*count)
            .map(|slot| InstanceName { key: key.clone(), slot })
            .find(|instance| !is_seen(instance))
            .map(|instance| format!("{instance} may run on {}, which is unknown", host.name)),
        Runtime::Host(Placement { replicas: Replicas::EveryHost, .. }) | Runtime::Swarm(_) => {
            Some(format!("{} is unknown", host.name))
        }
    }
}
