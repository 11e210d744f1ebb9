//! Which host runs which slot: deterministic, spread, within capacity; what stands legally stays where it is (C8).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::app::{App, Failover, HostSelector, Placement, Replicas, Runtime};
use crate::model::container::Port;
use crate::model::desired::Desired;
use crate::model::drift::{Kind, Subject};
use crate::model::host::Host;
use crate::model::names::{ContainerName, HostName, InstanceName};
use crate::model::observed::Seen;

use super::draft::Draft;
use super::renamed::{self, Renamed};
use super::seen::Fleet;
use super::{PlanInput, elsewhere, under_way};

/// Where an instance belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seat {
    pub host: HostName,
    /// Hosts where it stands now and should not any more (a drained host, a changed selector).
    pub moves_from: Vec<HostName>,
    /// It runs there under another name, which is told: nothing is done about it, and nothing beside it (C8).
    pub renamed: bool,
}

/// What is taken on each host while seats are given.
#[derive(Default)]
struct Taken<'a> {
    cpus: BTreeMap<&'a HostName, u64>,
    memory: BTreeMap<&'a HostName, u64>,
    ports: BTreeMap<&'a HostName, BTreeSet<Port>>,
    instances: BTreeMap<&'a HostName, usize>,
}

impl<'a> Taken<'a> {
    fn take(&mut self, host: &'a HostName, app: &App, placement: &Placement) {
        *self.cpus.entry(host).or_default() += placement.demand.cpus.map_or(0, |c| c.0);
        *self.memory.entry(host).or_default() += placement.demand.memory.map_or(0, |m| m.0);
        *self.instances.entry(host).or_default() += 1;
        self.ports.entry(host).or_default().extend(app.container.ports.iter().copied());
    }

    /// Ports that running containers hold which have no seat there: other people's, and what is about to go.
    fn ports_of_others(&mut self, fleet: &Fleet<'a>, seats: &BTreeMap<InstanceName, Seat>) {
        let standing = seats.iter().flat_map(|(instance, seat)| {
            let here = fleet.current(instance).filter(|owned| *owned.host == seat.host);
            here.map(|owned| (owned.host, owned.container.name.clone()))
        });
        let seated: BTreeSet<(&HostName, ContainerName)> = standing.collect();
        for (host, engine) in &fleet.engines {
            let running = engine.containers.values().filter_map(Seen::known).filter(|c| c.state.is_running());
            for container in running.filter(|c| !seated.contains(&(*host, c.name.clone()))) {
                self.ports.entry(host).or_default().extend(container.live.ports.iter().copied());
            }
        }
    }

    /// Why the host has no room for one more; `None`: it has.
    fn no_room(&self, host: &Host, app: &App, placement: &Placement) -> Option<String> {
        let taken = |map: &BTreeMap<&HostName, u64>| map.get(&host.name).copied().unwrap_or_default();
        let cpus = placement.demand.cpus.map_or(0, |c| c.0);
        if host.capacity.cpus.is_some_and(|all| taken(&self.cpus) + cpus > all.0) {
            return Some("no CPUs left".to_owned());
        }
        let memory = placement.demand.memory.map_or(0, |m| m.0);
        if host.capacity.memory.is_some_and(|all| taken(&self.memory) + memory > all.0) {
            return Some("no memory left".to_owned());
        }
        let ports = self.ports.get(&host.name);
        let is_taken =
            |port: &&Port| ports.is_some_and(|taken| taken.iter().any(|other| port.clashes(other)));
        let clash = app.container.ports.iter().find(is_taken);
        clash.map(|port| format!("port {port} is taken"))
    }
}

/// A seat for every declared instance that can have one; the others are told as blocked.
pub(super) fn place<'a>(
    input: &PlanInput<'a>,
    fleet: &Fleet<'a>,
    draft: &mut Draft,
) -> BTreeMap<InstanceName, Seat> {
    let mut seats = BTreeMap::new();
    let mut taken = Taken::default();
    let placed: Vec<(&'a App, &'a Placement)> = host_apps(input.desired).collect();
    // What stands legally is seated first, for all apps: newcomers find what is really free.
    for (app, placement) in &placed {
        keep(input, fleet, app, placement, &mut taken, &mut seats, draft);
    }
    for (app, placement) in &placed {
        keep_renamed(input, fleet, app, placement, &mut taken, &mut seats, draft);
    }
    taken.ports_of_others(fleet, &seats);
    for (app, placement) in &placed {
        seat_missing(input, fleet, app, placement, &mut taken, &mut seats, draft);
    }
    seats
}

fn host_apps(desired: &Desired) -> impl Iterator<Item = (&App, &Placement)> {
    desired.apps.values().filter_map(|app| match &app.runtime {
        Runtime::Host(placement) => Some((&**app, placement)),
        Runtime::Swarm(_) => None,
    })
}

/// Hosts that may run the app: its environment (F5), its selector; drained ones only for what stands there to stay.
fn allowed<'a>(desired: &'a Desired, app: &App, placement: &Placement) -> Vec<&'a Host> {
    let selected = |host: &&Host| match &placement.hosts {
        HostSelector::Any => true,
        HostSelector::Names(names) => names.contains(&host.name),
        HostSelector::Labels(labels) => labels.iter().all(|(k, v)| host.labels.get(k) == Some(v)),
    };
    let serves = |host: &&Host| host.environments.contains(&app.key.environment);
    desired.hosts.values().filter(serves).filter(selected).collect()
}

fn slots(
    input: &PlanInput<'_>,
    app: &App,
    placement: &Placement,
    hosts: &[&Host],
    fleet: &Fleet<'_>,
) -> Vec<InstanceName> {
    let count = match placement.replicas {
        Replicas::Count(count) => count,
        Replicas::EveryHost => return every_host_slots(input, app, hosts, fleet),
    };
    (0..count).map(|slot| InstanceName { key: app.key.clone(), slot }).collect()
}

/// One slot per host that answers and is not drained; the numbers of those that stand are kept, others take the lowest
/// free ones. A host that does not answer, or left the inventory, keeps the number it was last seen with, and delays nobody
/// (C8).
fn every_host_slots(
    input: &PlanInput<'_>,
    app: &App,
    hosts: &[&Host],
    fleet: &Fleet<'_>,
) -> Vec<InstanceName> {
    let answers = |host: &HostName| fleet.engines.contains_key(host);
    let here: BTreeSet<&HostName> =
        hosts.iter().filter(|h| !h.drain && answers(&h.name)).map(|h| &h.name).collect();
    let mut kept: BTreeSet<u32> = BTreeSet::new();
    let mut served: BTreeSet<&HostName> = BTreeSet::new();
    let unreadable = fleet.unreadable.iter().map(|(instance, hosts)| (instance, hosts.clone()));
    let standing = |i| fleet.standing(i).iter().map(|o| o.host).collect::<Vec<_>>();
    let owned = fleet.owned.keys().map(|instance| (instance, standing(instance)));
    let renamed = fleet.renamed.keys().filter_map(|i| Some((i, vec![fleet.renamed(i)?.host])));
    let of_app = unreadable.chain(owned).chain(renamed).filter(|(instance, _)| instance.key == app.key);
    let begun = input.holds.under_way.iter().filter_map(|begun| begun.instance());
    let made: Vec<InstanceName> = begun.filter(|instance| instance.key == app.key).collect();
    let made = made.iter().filter_map(|i| Some((i, vec![made_on(input, fleet, i)?])));
    for (instance, at) in of_app.chain(made) {
        let free = at.iter().find(|host| here.contains(**host) && !served.contains(**host));
        if let (Some(host), false) = (free, kept.contains(&instance.slot)) {
            served.insert(host);
            kept.insert(instance.slot);
        }
    }
    let remembered = input.holds.last_seen.iter().filter(|(i, host)| i.key == app.key && !answers(host));
    kept.extend(remembered.map(|(instance, _)| instance.slot));
    let missing = here.len().saturating_sub(served.len());
    let named = |slot| InstanceName { key: app.key.clone(), slot };
    let is_free = |slot: &u32| !kept.contains(slot) && !fleet.renamed.contains_key(&named(*slot));
    let fresh: Vec<u32> = (0u32..).filter(is_free).take(missing).collect();
    kept.into_iter().chain(fresh).map(named).collect()
}

/// The host that answers and on which the instance is being made: it counts as standing there already (C8).
fn made_on<'a>(input: &PlanInput<'a>, fleet: &Fleet<'_>, instance: &InstanceName) -> Option<&'a HostName> {
    let host = under_way::of_instance(input, instance)?.change.host()?;
    fleet.engines.contains_key(host).then_some(host)
}

fn alone_on_its_host(placement: &Placement) -> bool {
    placement.one_per_host || placement.replicas == Replicas::EveryHost
}

fn keep<'a>(
    input: &PlanInput<'a>,
    fleet: &Fleet<'a>,
    app: &'a App,
    placement: &'a Placement,
    taken: &mut Taken<'a>,
    seats: &mut BTreeMap<InstanceName, Seat>,
    draft: &mut Draft,
) {
    let hosts = allowed(input.desired, app, placement);
    let stays = placement.failover == Failover::Stay;
    for instance in slots(input, app, placement, &hosts, fleet) {
        let fits = |host: &HostName| hosts.iter().any(|h| h.name == *host && !h.drain);
        let shared = |host: &HostName| {
            alone_on_its_host(placement)
                && seats.iter().any(|(other, seat)| other.key == app.key && seat.host == *host)
        };
        if runs_renamed(input, fleet, &instance).is_some() {
            continue;
        }
        let mut standing = fleet.standing(&instance);
        // Where it belongs, and the running one of two, is the one to keep.
        standing.sort_by_key(|o| (!fits(o.host), !o.container.state.is_running(), o.host));
        // Data stays where it is, whatever became of the host or the selector (B5).
        let mut stand = standing.iter().map(|o| o.host);
        let kept = stand.find(|host| stays || (fits(host) && !shared(host))).or_else(|| {
            let made = made_on(input, fleet, &instance).filter(|_| standing.is_empty())?;
            (fits(made) && !shared(made)).then_some(made)
        });
        let Some(kept) = kept else { continue };
        if !fits(kept) || shared(kept) {
            draft.block(
                Subject::on_host(Kind::Container, &instance, kept),
                Some(app.key.clone()),
                format!("it should leave {kept}, and the app stays where its data is (B5)"),
                "move the data and the instance by hand, or declare the data disposable",
            );
        }
        taken.take(kept, app, placement);
        let moves_from = standing.iter().filter(|o| o.host != kept).map(|o| o.host.clone()).collect();
        seats.insert(instance, Seat { host: kept.clone(), moves_from, renamed: false });
    }
}

/// Where it runs under another name, unless something is being done to it.
fn runs_renamed<'a>(
    input: &PlanInput<'_>,
    fleet: &Fleet<'a>,
    instance: &InstanceName,
) -> Option<Renamed<'a>> {
    let renamed = fleet.renamed(instance)?;
    // Where it was seen last and nobody can ask, it may run under its own name.
    let elsewhere = elsewhere::last_seen(input, &fleet.unknown_hosts, instance, &[renamed.host]);
    (elsewhere.is_none() && under_way::of_instance(input, instance).is_none()).then_some(renamed)
}

/// What somebody renamed keeps its seat, whatever git says of the host: it cannot be moved (B1), and is not to run twice.
fn keep_renamed<'a>(
    input: &PlanInput<'a>,
    fleet: &Fleet<'a>,
    app: &'a App,
    placement: &'a Placement,
    taken: &mut Taken<'a>,
    seats: &mut BTreeMap<InstanceName, Seat>,
    draft: &mut Draft,
) {
    let hosts = allowed(input.desired, app, placement);
    for instance in slots(input, app, placement, &hosts, fleet) {
        let Some(renamed) = runs_renamed(input, fleet, &instance) else { continue };
        renamed::tell(app, &instance, renamed, draft);
        taken.take(renamed.host, app, placement);
        seats.insert(instance, Seat { host: renamed.host.clone(), moves_from: Vec::new(), renamed: true });
    }
}

fn seat_missing<'a>(
    input: &PlanInput<'a>,
    fleet: &Fleet<'a>,
    app: &'a App,
    placement: &'a Placement,
    taken: &mut Taken<'a>,
    seats: &mut BTreeMap<InstanceName, Seat>,
    draft: &mut Draft,
) {
    let hosts = allowed(input.desired, app, placement);
    let silent = hosts.iter().any(|host| !host.drain && fleet.unknown_hosts.contains_key(&host.name));
    if silent && placement.replicas == Replicas::EveryHost {
        draft.waiting.insert(app.key.clone());
    }
    for instance in slots(input, app, placement, &hosts, fleet) {
        if seats.contains_key(&instance) {
            continue;
        }
        let subject = Subject::of_fleet(Kind::Container, &instance);
        if let Some(why) = elsewhere::why(input, fleet, app, placement, &hosts, &instance) {
            fleet.tell_left_behind(app, &instance, draft);
            draft.notes.push(format!("{instance} {why}"));
            draft.waiting.insert(app.key.clone());
            continue;
        }
        let pending = hosts.iter().find(|host| input.holds.pending.contains(&host.name));
        let chosen = match (name_taken(fleet, &hosts, &instance), pending) {
            (Some(host), _) => Ok(host),
            (None, None) => choose(fleet, &hosts, app, placement, taken, seats),
            // Where it was it may come back at once; every other choice waits for the whole picture.
            (None, Some(pending)) => {
                let before = |host: &&Host| input.holds.last_seen.is_on(&instance, &host.name);
                let same: Vec<&Host> = hosts.iter().copied().filter(before).collect();
                match choose(fleet, &same, app, placement, taken, seats) {
                    Ok(host) => Ok(host),
                    Err(_) => {
                        draft.waiting.insert(app.key.clone());
                        draft
                            .notes
                            .push(format!("{instance} waits for {}: it is still being read", pending.name));
                        continue;
                    }
                }
            }
        };
        match chosen {
            Ok(host) => {
                taken.take(&host.name, app, placement);
                let moves_from = fleet.standing(&instance).iter().map(|o| o.host.clone()).collect();
                seats.insert(instance, Seat { host: host.name.clone(), moves_from, renamed: false });
            }
            Err(why) => draft.block(
                subject,
                Some(app.key.clone()),
                format!("no host can run it: {why}"),
                "add capacity or a host, or widen [place]",
            ),
        }
    }
}

/// The host where somebody else's container has the instance's very name. It may be the one to adopt (B4), so the
/// instance is not started beside it on another host: what stands in its place is told.
fn name_taken<'a>(fleet: &Fleet<'_>, hosts: &[&'a Host], instance: &InstanceName) -> Option<&'a Host> {
    let taken = |host: &&&Host| {
        let engine = fleet.engines.get(&host.name);
        !host.drain && engine.is_some_and(|engine| engine.containers.contains_key(&instance.container()))
    };
    fleet.standing(instance).is_empty().then(|| hosts.iter().find(taken).copied()).flatten()
}

/// The least loaded host by: instances of this app in its zone, of this app on it, of all on it, its name.
fn choose<'a>(
    fleet: &Fleet<'_>,
    hosts: &[&'a Host],
    app: &App,
    placement: &Placement,
    taken: &Taken<'_>,
    seats: &BTreeMap<InstanceName, Seat>,
) -> Result<&'a Host, String> {
    let of_app: Vec<&HostName> =
        seats.iter().filter(|(i, _)| i.key == app.key).map(|(_, seat)| &seat.host).collect();
    let alone = alone_on_its_host(placement);
    let mut refusals: BTreeMap<String, Vec<&HostName>> = BTreeMap::new();
    let mut fitting: Vec<&Host> = Vec::new();
    for host in hosts {
        let refusal = if host.drain {
            Some("drained".to_owned())
        } else if !fleet.engines.contains_key(&host.name) {
            Some("unknown".to_owned())
        } else if alone && of_app.contains(&&host.name) {
            Some("runs one already".to_owned())
        } else {
            taken.no_room(host, app, placement)
        };
        match refusal {
            Some(why) => refusals.entry(why).or_default().push(&host.name),
            None => fitting.push(host),
        }
    }
    let zone = |host: &Host| placement.spread.as_ref().and_then(|label| host.labels.get(label).cloned());
    let in_zone = |host: &Host| {
        hosts
            .iter()
            .filter(|h| zone(h) == zone(host))
            .map(|h| of_app.iter().filter(|n| ***n == h.name).count())
            .sum::<usize>()
    };
    let score = |host: &&Host| {
        let on_it = of_app.iter().filter(|name| ***name == host.name).count();
        let all = taken.instances.get(&host.name).copied().unwrap_or_default();
        let zone = if placement.spread.is_some() { in_zone(host) } else { 0 };
        (zone, on_it, all, host.name.clone())
    };
    fitting.into_iter().min_by_key(score).ok_or_else(|| {
        if refusals.is_empty() {
            return "no host serves its environment and fits its selector".to_owned();
        }
        let told = refusals.iter().map(|(why, hosts)| {
            let names: Vec<&str> = hosts.iter().map(|h| h.as_str()).collect();
            format!("{}: {why}", names.join(", "))
        });
        told.collect::<Vec<_>>().join("; ")
    })
}
