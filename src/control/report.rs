//! Drift reports: gathered from a look and from memory.

use std::collections::{BTreeMap, BTreeSet};

use crate::endpoints::app_of_file;
use crate::model::app::Runtime;
use crate::model::drift::{Kind, Subject};
use crate::model::file::{Differing, FileSet, Sides};
use crate::model::history::HistoryEntry;
use crate::model::names::{AppKey, EnvironmentName, HostName};
use crate::model::observed::Seen;
use crate::model::ownership::Belongs;
use crate::model::report::{DownNode, HeldAddress, LookedAt, Report};
use crate::model::swarm::{Node, Swarm, Task, TaskState};
use crate::model::units::Timestamp;

use super::concern::Concern;
use super::memory::Memory;
use super::pass::Pass;
use super::{ControlError, World, first_seen, foreign, permission};

/// More entries than happen between two reports of a fleet that is well.
const MOST_ENTRIES: usize = 5_000;
/// What the history calls reports themselves.
pub(super) const REPORT: &str = "report";
/// How the history begins where a report did not get out.
pub(super) const NOT: &str = "NOT";

/// What was seen, and what was done since `from`.
pub fn report(world: &World, pass: &Pass, from: Timestamp) -> Result<Report, ControlError> {
    report_on(world, pass, from, None)
}

/// The same, of some environments only.
pub fn report_on(
    world: &World,
    pass: &Pass,
    from: Timestamp,
    environments: Option<&BTreeSet<EnvironmentName>>,
) -> Result<Report, ControlError> {
    let memory = Memory::new(&*world.store);
    let desired = &pass.desired;
    let concern = Concern { environments, desired };
    let since = memory.first_seen()?;
    let (done, done_is_cut) = done(world, from, &concern)?;
    let undeclared = environments.into_iter().flatten().filter(|e| !desired.environments.contains_key(*e));
    let silent = pass.observed.hosts.iter().filter_map(|(host, seen)| match seen {
        Seen::Known(_) => None,
        Seen::Unknown { why } => Some((host.clone(), why.clone())),
    });
    let silent_hosts: BTreeMap<HostName, String> = silent.filter(|(host, _)| concern.host(host)).collect();
    let down = first_seen::down_nodes(pass).filter(|(swarm, _)| concern.swarm(swarm));
    let mut held_addresses = on_silent_hosts(&memory, &silent_hosts, &concern, &since)?;
    held_addresses.extend(on_down_nodes(world, pass, &concern, &since));
    held_addresses.sort();
    Ok(Report {
        fleet: desired.fleet.clone(),
        environments: desired.environments.keys().filter(|e| concern.environment(e)).cloned().collect(),
        undeclared: undeclared.cloned().collect(),
        summary: pass.taken.summary.clone(),
        committed: pass.taken.committed,
        enforced_since: memory.enforced_since(&pass.plan.revision)?,
        kept_because: pass.taken.kept_because.clone(),
        kept_since: pass.taken.kept_since,
        permission: permission::standing(world, &pass.taken.by)?,
        from,
        looked_at: looked_at(world, pass, &concern),
        plan: concern.plan(&pass.plan),
        files: files(pass, &concern),
        foreign: foreign::foreign(world, pass, &concern),
        anonymous_volumes: foreign::anonymous_volumes(world, pass, &concern),
        since,
        silent_hosts,
        down_nodes: down
            .map(|(swarm, node)| DownNode {
                swarm: swarm.to_owned(),
                node: node.hostname.clone(),
                why: node.message.clone(),
            })
            .collect(),
        held_addresses,
        done,
        done_is_cut,
        unchecked: unchecked(pass, &concern),
    })
}

/// The generated files that differ; of a report on some environments those that are wholly theirs. Nginx has a file for
/// each app, and a Flume agent has all that its host runs.
fn files(pass: &Pass, concern: &Concern<'_>) -> Differing {
    let mut differing = pass.differing();
    if concern.environments.is_none() {
        return differing;
    }
    for (set, sides) in &mut differing {
        let theirs = |name: &str| match set {
            FileSet::Nginx => app_of_file(name).is_some_and(|app| concern.app(&app)),
            FileSet::Flume(host) => {
                let host = pass.desired.hosts.get(host);
                host.is_some_and(|host| host.environments.iter().all(|e| concern.environment(e)))
            }
        };
        let Sides { installed, wanted } = sides;
        let named = |name: &String| [installed.get(name), wanted.get(name)];
        let told: BTreeSet<String> = (installed.keys().chain(wanted.keys()))
            .filter(|name| theirs(name))
            .filter(|name| named(name).into_iter().flatten().all(|text| concern.names_no_other(text)))
            .cloned()
            .collect();
        installed.retain(|name, _| told.contains(name));
        wanted.retain(|name, _| told.contains(name));
    }
    differing.retain(|_, sides| sides.installed != sides.wanted);
    differing
}

/// What was done since `from`, and whether more was than is told. That reports were written is no news to their readers.
fn done(
    world: &World,
    from: Timestamp,
    concern: &Concern<'_>,
) -> Result<(Vec<HistoryEntry>, bool), ControlError> {
    let mut entries = world.store.history(MOST_ENTRIES + 1)?;
    let is_cut = entries.len() > MOST_ENTRIES && entries.first().is_some_and(|oldest| oldest.at >= from);
    entries.retain(|entry| {
        let got_out = entry.what == REPORT && !entry.detail.starts_with(NOT);
        entry.at >= from && !got_out && concern.entry(entry)
    });
    Ok((entries, is_cut))
}

fn looked_at(world: &World, pass: &Pass, concern: &Concern<'_>) -> LookedAt {
    let owner = world.owner(&pass.desired.fleet);
    let hosts = &pass.observed.hosts;
    let containers = hosts.iter().flat_map(|(host, seen)| {
        let engine = seen.known().into_iter();
        engine.flat_map(|e| e.containers.values()).filter_map(Seen::known).map(move |c| (host, c))
    });
    let ours = containers.filter(|(host, c)| match owner.container(&c.name, host, &c.labels) {
        Belongs::Ours(owned) => concern.app(&owned.instance.key),
        Belongs::Foreign { .. } => false,
    });
    let services = pass.observed.swarms.iter().flat_map(|(name, seen)| {
        let swarm = seen.known().into_iter();
        swarm.flat_map(|s| s.services.values()).filter_map(Seen::known).map(move |live| (name, live))
    });
    let our_services =
        services.filter(|(name, live)| match owner.swarm_object("service", &live.name, name, &live.labels) {
            Belongs::Ours(app) => app.is_none_or(|app| concern.app(&app)),
            Belongs::Foreign { .. } => false,
        });
    LookedAt {
        apps: pass.desired.apps.keys().filter(|app| concern.app(app)).count(),
        hosts: hosts.keys().filter(|host| concern.host(host)).count(),
        instances: ours.count() + our_services.count(),
    }
}

/// What instances held when their hosts were seen last.
fn on_silent_hosts(
    memory: &Memory<'_>,
    silent: &BTreeMap<HostName, String>,
    concern: &Concern<'_>,
    since: &BTreeMap<String, Timestamp>,
) -> Result<Vec<HeldAddress>, ControlError> {
    let mut held = Vec::new();
    for ((instance, _), holding) in memory.holdings()? {
        if !silent.contains_key(&holding.host) || !concern.app(&instance.key) {
            continue;
        }
        let host = Subject::on_host(Kind::Host, &holding.host, &holding.host);
        let since = since.get(&host.to_string()).copied();
        for (network, address) in holding.pairs() {
            held.push(HeldAddress {
                host: holding.host.to_string(),
                swarm: None,
                holder: instance.to_string(),
                app: Some(instance.key.clone()),
                network: network.to_owned(),
                address,
                since,
            });
        }
    }
    Ok(held)
}

/// What tasks on nodes that are down hold: Swarm gives an address up only once the task is over or orphaned.
fn on_down_nodes(
    world: &World,
    pass: &Pass,
    concern: &Concern<'_>,
    since: &BTreeMap<String, Timestamp>,
) -> Vec<HeldAddress> {
    let mut held = Vec::new();
    for (name, node) in first_seen::down_nodes(pass).filter(|(name, _)| concern.swarm(name)) {
        let Some(swarm) = pass.observed.swarms.get(name).and_then(Seen::known) else { continue };
        let since = since.get(&first_seen::node_subject(name, node).to_string()).copied();
        for task in on_node(swarm, node) {
            let (holder, app) = holder(world, pass, name, swarm, task);
            if app.as_ref().is_some_and(|app| !concern.app(app)) {
                continue;
            }
            let pairs =
                task.addresses.iter().flat_map(|(network, all)| all.iter().map(move |a| (network, a)));
            held.extend(pairs.map(|(network, address)| HeldAddress {
                host: node.hostname.clone(),
                swarm: Some(name.to_owned()),
                holder: holder.clone(),
                app: app.clone(),
                network: network.clone(),
                address: *address,
                since,
            }));
        }
    }
    held
}

/// States after `running` hold no address any more.
fn on_node<'a>(swarm: &'a Swarm, node: &'a Node) -> impl Iterator<Item = &'a Task> {
    let on_it = swarm.tasks.values().filter(|task| task.node.as_deref() == Some(node.id.as_str()));
    on_it.filter(|task| task.state <= TaskState::Running)
}

/// `service web-prod, task 2`, and the app that it serves.
fn holder(world: &World, pass: &Pass, name: &str, swarm: &Swarm, task: &Task) -> (String, Option<AppKey>) {
    let services = swarm.services.values().filter_map(Seen::known);
    match services.into_iter().find(|live| task.service.as_deref() == Some(live.id.as_str())) {
        Some(live) => {
            let owner = world.owner(&pass.desired.fleet);
            let app = match owner.swarm_object("service", &live.name, name, &live.labels) {
                Belongs::Ours(app) => app,
                Belongs::Foreign { .. } => None,
            };
            (format!("service {}, task {}", live.name, task.slot), app)
        }
        None => match &task.container {
            Some(container) => {
                (format!("attached container {}", container.get(..12).unwrap_or(container)), None)
            }
            None => (format!("task {}", task.id), None),
        },
    }
}

/// What no look of this release would find.
fn unchecked(pass: &Pass, concern: &Concern<'_>) -> Vec<String> {
    let apps = pass.desired.apps.values().filter(|app| concern.app(&app.key));
    let on_swarm = apps.filter(|app| matches!(app.runtime, Runtime::Swarm(_)));
    let mut unchecked: Vec<String> = on_swarm
        .filter(|app| app.upstream.is_some())
        .map(|app| format!("app {}: the upstream of a service", app.key))
        .collect();
    unchecked.push(
        "fields of containers and services that trueup does not model, and logging options where an app declares no logging"
            .to_owned(),
    );
    unchecked
}
