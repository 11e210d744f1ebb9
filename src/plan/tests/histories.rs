//! Small fleets that settled on one revision, were given another, and met with mishaps in between: what the properties are
//! told of.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::build::*;
use super::world::World;
use crate::model::app::{App, HostSelector};
use crate::model::container::EnvValue;
use crate::model::desired::Desired;
use crate::model::names::{HostName, InstanceName};
use crate::model::observed::{Health, Observed, RunState, Seen};
use crate::model::ownership::{Belongs, PlaceInReplacement};
use crate::model::plan::Plan;
use crate::model::units::{ByteSize, Timestamp};
use crate::plan::Holds;

/// What may differ between two revisions of an app, and how it is placed.
#[derive(Debug, Clone)]
pub(super) struct AppShape {
    pub replicas: u32,
    pub every_host: bool,
    pub address: u8,
    pub one_per_host: bool,
    pub data: bool,
    pub exclusive: bool,
    pub spread: bool,
    pub only_on: Option<u8>,
    pub env: u8,
    pub image: u8,
    pub memory: Option<u8>,
    pub max_unavailable: u32,
    pub needs_previous: bool,
}

pub(super) fn app_shape() -> impl Strategy<Value = AppShape> {
    let place = (
        0..4u32,
        prop::bool::weighted(0.15),
        0..4u8,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.15),
        any::<bool>(),
        prop::option::weighted(0.25, 1..4u8),
    );
    let spec = (0..2u8, 0..2u8, prop::option::of(1..3u8), 1..3u32, prop::bool::weighted(0.2));
    (place, spec).prop_map(
        |(
            (replicas, every_host, address, one_per_host, data, exclusive, spread, only_on),
            (env, image, memory, max_unavailable, needs_previous),
        )| {
            AppShape {
                replicas,
                every_host,
                address,
                one_per_host,
                data,
                exclusive,
                spread,
                only_on,
                env,
                image,
                memory,
                max_unavailable,
                needs_previous,
            }
        },
    )
}

/// Names of the apps: two environments, so that one can be out of scope.
pub(super) const APPS: [&str; 3] = ["quote-prod", "web-prod", "quote-test"];

pub(super) fn app_of(index: usize, shape: &AppShape) -> App {
    use crate::model::app::Replicas;
    let mut app = app(APPS[index], shape.replicas);
    app = match shape.address {
        0 => app,
        // Fixed addresses stand apart from each other and outside of the pool.
        1 => {
            let base = 10 + index * 10;
            let list: Vec<String> = (0..8).map(|slot| format!("192.0.2.{}", base + slot)).collect();
            fixed(app, &list.iter().map(String::as_str).collect::<Vec<_>>())
        }
        _ => leasing(app),
    };
    if shape.data {
        app = with_data(app);
    }
    let placement = place(&mut app);
    placement.one_per_host = shape.one_per_host;
    placement.exclusive = shape.exclusive;
    placement.spread = shape.spread.then(|| "zone".to_owned());
    if shape.every_host {
        placement.replicas = Replicas::EveryHost;
    }
    if let Some(host) = shape.only_on {
        placement.hosts = HostSelector::Names(vec![name(&format!("h{host}"))]);
    }
    app.container.image = name(&format!("quote:{}", shape.image));
    app.container.env.insert("MODE".into(), EnvValue::Plain(shape.env.to_string()));
    app.container.memory = shape.memory.map(|m| ByteSize(u64::from(m) << 20));
    app.update.max_unavailable = shape.max_unavailable;
    if shape.needs_previous && index == 1 {
        app.depends_on.insert(name("quote"));
    }
    app
}

/// Something that happened to the fleet behind trueup's back. Numbers choose the victim.
#[derive(Debug, Clone)]
pub(super) enum Mishap {
    Stopped(usize),
    Removed(usize),
    Renamed(usize),
    /// To a name that is not of trueup's making.
    CalledOtherwise(usize),
    NextLeft(usize),
    Env(usize),
    NetworkAdded(usize),
    Unhealthy(usize),
    Paused(usize),
    Address(usize, u8),
    Foreign(u8, u8),
    Squatter(u8, usize),
    LabelCopied(usize, u8),
}

pub(super) fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        any::<usize>().prop_map(Mishap::Stopped),
        any::<usize>().prop_map(Mishap::Removed),
        any::<usize>().prop_map(Mishap::Renamed),
        any::<usize>().prop_map(Mishap::CalledOtherwise),
        any::<usize>().prop_map(Mishap::NextLeft),
        any::<usize>().prop_map(Mishap::Env),
        any::<usize>().prop_map(Mishap::NetworkAdded),
        any::<usize>().prop_map(Mishap::Unhealthy),
        any::<usize>().prop_map(Mishap::Paused),
        (any::<usize>(), 64..80u8).prop_map(|(victim, address)| Mishap::Address(victim, address)),
        (1..4u8, prop_oneof![10..40u8, 64..80u8]).prop_map(|(host, address)| Mishap::Foreign(host, address)),
        (1..4u8, 0..3usize).prop_map(|(host, app)| Mishap::Squatter(host, app)),
        (any::<usize>(), 1..4u8).prop_map(|(victim, host)| Mishap::LabelCopied(victim, host)),
    ]
}

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub before: Vec<AppShape>,
    pub after: Vec<AppShape>,
    pub mishaps: Vec<Mishap>,
    /// Hosts that do not answer.
    pub silent: BTreeSet<u8>,
    /// Containers whose inspect fails.
    pub unreadable: Vec<usize>,
    pub drained: Option<u8>,
    pub remembers: bool,
    /// The network `market` is declared anew.
    pub renewed: bool,
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    (
        prop::collection::vec(app_shape(), 0..=3),
        prop::collection::vec(app_shape(), 0..=3),
        prop::collection::vec(mishap(), 0..4),
        prop::collection::btree_set(1..4u8, 0..2),
        prop::collection::vec(any::<usize>(), 0..2),
        prop::option::weighted(0.2, 1..4u8),
        any::<bool>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(before, after, mishaps, silent, unreadable, drained, remembers, renewed)| Case {
            before,
            after,
            mishaps,
            silent,
            unreadable,
            drained,
            remembers,
            renewed,
        })
}

pub(super) fn fleet(shapes: &[AppShape]) -> Desired {
    let mut shapes = shapes.to_vec();
    // An app's data stays its data between revisions of one test; only its spec and place change.
    shapes.truncate(APPS.len());
    desired(3, shapes.iter().enumerate().map(|(index, shape)| app_of(index, shape)).collect())
}

/// A fleet that converged on `before`.
pub(super) fn settled(before: &Desired) -> World {
    let mut world = World::of(before);
    for _ in 0..4 {
        let plan = plan_of(before, &world.observed);
        if plan.changes.is_empty() {
            break;
        }
        world.carry_out(&plan);
    }
    world
}

pub(super) fn pick(world: &World, number: usize) -> Option<(String, String)> {
    let all: Vec<(String, String)> =
        world.containers().map(|(h, c)| (h.to_string(), c.name.to_string())).collect();
    (!all.is_empty()).then(|| all[number % all.len()].clone())
}

pub(super) fn happen(world: &mut World, mishap: &Mishap) {
    let victim = |number: &usize| pick(world, *number);
    match mishap {
        Mishap::Stopped(n) => {
            let Some((host, container)) = victim(n) else { return };
            let container = world.container(&host, &container);
            container.state = RunState::Exited { exit_code: 137, at: Timestamp(5), error: String::new() };
            container.live.networks.values_mut().for_each(|a| a.address = None);
        }
        Mishap::Removed(n) => {
            let Some((host, container)) = victim(n) else { return };
            world
                .engine_mut(&host)
                .containers
                .remove(&name::<crate::model::names::ContainerName>(&container));
        }
        Mishap::Renamed(n) => {
            let Some((host, container)) = victim(n).filter(|(_, c)| !c.contains(".trueup")) else { return };
            rename(world, &host, &container, &format!("{container}.trueup-old"));
        }
        Mishap::CalledOtherwise(n) => {
            let Some((host, container)) = victim(n).filter(|(_, c)| !c.starts_with("was-")) else { return };
            rename(world, &host, &container, &format!("was-{container}"));
        }
        Mishap::NextLeft(n) => {
            let Some((host, container)) = victim(n).filter(|(_, c)| !c.contains(".trueup")) else { return };
            let next = format!("{container}.trueup-new");
            let mut copy = world.container(&host, &container).clone();
            copy.id = format!("{next:0>64}");
            copy.name = name(&next);
            copy.state = RunState::Created;
            copy.live.networks.values_mut().for_each(|a| a.address = None);
            world.engine_mut(&host).containers.insert(name(&next), Seen::Known(copy));
        }
        Mishap::Env(n) => {
            let Some((host, container)) = victim(n) else { return };
            let hidden = key().hide("by hand");
            world.container(&host, &container).live.env.insert("MODE".into(), hidden);
        }
        Mishap::NetworkAdded(n) => {
            let Some((host, container)) = victim(n) else { return };
            let networks = &mut world.container(&host, &container).live.networks;
            networks.entry("bridge".into()).or_default();
        }
        Mishap::Unhealthy(n) => {
            let Some((host, container)) = victim(n) else { return };
            if let RunState::Running { health, .. } = &mut world.container(&host, &container).state {
                *health = Health::Unhealthy { last_output: "500".into() };
            }
        }
        Mishap::Paused(n) => {
            let Some((host, container)) = victim(n) else { return };
            let container = world.container(&host, &container);
            if container.state.is_running() {
                container.state = RunState::Paused;
            }
        }
        Mishap::Address(n, last) => {
            let Some((host, container)) = victim(n) else { return };
            let address = ip(&format!("192.0.2.{last}"));
            if let Some(attachment) = world.container(&host, &container).live.networks.get_mut("market") {
                attachment.requested = Some(address);
                attachment.address = attachment.address.map(|_| address);
            }
        }
        Mishap::Foreign(host, last) => {
            let host = format!("h{host}");
            let container = format!("foreign-{last}");
            // Someone else's container stands on a network that is there.
            let there = world.engine(&name(&host)).networks.contains_key("market");
            let taken = world.names(&host).contains(&container);
            if there && !taken {
                world.foreign(&host, &container, Some(ip(&format!("192.0.2.{last}"))));
            }
        }
        Mishap::Squatter(host, app) => {
            let (host, container) = (format!("h{host}"), format!("{}-0", APPS[*app]));
            if !world.names(&host).contains(&container) {
                world.foreign(&host, &container, None);
            }
        }
        Mishap::LabelCopied(n, other) => {
            let Some((host, container)) = victim(n).filter(|(_, c)| !c.contains(".trueup")) else { return };
            let labels = world.container(&host, &container).labels.clone();
            let other = format!("h{other}");
            if other != host && !world.names(&other).contains(&container) {
                world.foreign(&other, &container, None);
                world.container(&other, &container).labels = labels;
            }
        }
    }
    world.settle_networks();
}

pub(super) fn rename(world: &mut World, host: &str, from: &str, to: &str) {
    let containers = &mut world.engine_mut(host).containers;
    let (from, to) = (name(from), name(to));
    if containers.contains_key(&to) {
        return;
    }
    if let Some(Seen::Known(mut container)) = containers.remove(&from) {
        container.name = to.clone();
        containers.insert(to, Seen::Known(container));
    }
}

/// What trueup sees of the world: silent hosts and unreadable containers are unknown.
pub(super) fn seen(world: &World, case: &Case) -> Observed {
    let mut observed = world.observed.clone();
    for number in &case.unreadable {
        if let Some((host, container)) = pick(world, *number)
            && let Some(Seen::Known(engine)) = observed.hosts.get_mut(&name::<HostName>(&host))
        {
            engine.containers.insert(name(&container), Seen::unknown("inspect failed"));
        }
    }
    for host in &case.silent {
        observed.hosts.insert(name(&format!("h{host}")), Seen::unknown("no answer"));
    }
    observed
}

pub(super) fn owned(world: &World) -> impl Iterator<Item = (InstanceName, &HostName, PlaceInReplacement)> {
    world.containers().filter_map(|(host, c)| match owner().container(&c.name, host, &c.labels) {
        Belongs::Ours(owned) => Some((owned.instance, host, owned.place)),
        Belongs::Foreign { .. } => None,
    })
}

pub(super) fn foreign(world: &World) -> BTreeMap<(String, String), crate::model::observed::Container> {
    world
        .containers()
        .filter(|(host, c)| matches!(owner().container(&c.name, host, &c.labels), Belongs::Foreign { .. }))
        .map(|(host, c)| ((host.to_string(), c.name.to_string()), c.clone()))
        .collect()
}

/// What a complete memory says: where each instance was last.
pub(super) fn memory(world: &World, case: &Case) -> Holds {
    let mut holds = Holds { memory_complete: case.remembers, ..Holds::default() };
    if case.remembers {
        holds.last_seen = owned(world).map(|(instance, host, _)| (instance, host.clone())).collect();
    }
    holds
}

pub(super) fn approve_all(plan: &Plan, holds: &mut Holds) {
    holds.approved.extend(plan.held.iter().map(crate::model::plan::Change::promise));
}

pub(super) struct Stage {
    pub desired: Desired,
    pub world: World,
    pub observed: Observed,
    pub holds: Holds,
}

pub(super) fn stage(case: &Case) -> Stage {
    let mut world = settled(&fleet(&case.before));
    let holds = memory(&world, case);
    for mishap in &case.mishaps {
        happen(&mut world, mishap);
    }
    let mut desired = fleet(&case.after);
    if let Some(host) = case.drained
        && let Some(host) = desired.hosts.get_mut(&name::<HostName>(&format!("h{host}")))
    {
        host.drain = true;
    }
    if let Some(market) = desired.networks.get_mut(&name::<crate::model::names::NetworkName>("market"))
        && case.renewed
    {
        market.spec.labels.insert("purpose".into(), "quotes".into());
    }
    let observed = seen(&world, case);
    Stage { desired, world, observed, holds }
}

/// What runs under another name with an instance's very labels, on the host that they name.
pub(super) fn called_otherwise(
    world: &World,
) -> impl Iterator<Item = (InstanceName, &HostName, &crate::model::observed::Container)> {
    world.containers().filter_map(|(host, c)| {
        let foreign = matches!(owner().container(&c.name, host, &c.labels), Belongs::Foreign { .. });
        let runs = matches!(c.state, RunState::Running { .. } | RunState::Paused);
        Some((owner().claimed(host, &c.labels).filter(|_| foreign && runs)?, host, c))
    })
}

/// Where an instance stands or runs, by instance: more than one is a duplicate. What its labels say counts, whatever it is
/// called by now; of one host, what a replacement consists of counts once.
pub(super) fn duplicates(world: &World) -> BTreeSet<InstanceName> {
    let mut places: BTreeMap<InstanceName, BTreeSet<String>> = BTreeMap::new();
    for (instance, host, _) in owned(world) {
        places.entry(instance).or_default().insert(host.to_string());
    }
    for (instance, host, container) in called_otherwise(world) {
        places.entry(instance).or_default().insert(format!("{}@{host}", container.name));
    }
    places.into_iter().filter(|(_, places)| places.len() > 1).map(|(instance, _)| instance).collect()
}

pub(super) fn volumes(world: &World) -> BTreeSet<(String, String)> {
    world
        .observed
        .hosts
        .iter()
        .flat_map(|(host, seen)| {
            let engine = seen.known().expect("known");
            engine.volumes.keys().map(move |v| (host.to_string(), v.to_string()))
        })
        .collect()
}
