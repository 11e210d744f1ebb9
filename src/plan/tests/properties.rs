//! The safety rules as properties over many small fleets, with hosts and containers that cannot be read.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::build::*;
use super::world::{World, shared_holders, touched};
use crate::model::app::{App, Failover, HostSelector};
use crate::model::container::EnvValue;
use crate::model::desired::Desired;
use crate::model::drift::Kind;
use crate::model::names::{AppKey, HostName, InstanceName};
use crate::model::observed::{Health, Observed, RunState, Seen};
use crate::model::ownership::{Belongs, PlaceInReplacement};
use crate::model::plan::{Action, Plan, Verb};
use crate::model::units::{ByteSize, Timestamp};
use crate::plan::Holds;

/// What may differ between two revisions of an app, and how it is placed.
#[derive(Debug, Clone)]
struct AppShape {
    replicas: u32,
    every_host: bool,
    address: u8,
    one_per_host: bool,
    data: bool,
    exclusive: bool,
    spread: bool,
    only_on: Option<u8>,
    env: u8,
    image: u8,
    memory: Option<u8>,
    max_unavailable: u32,
    needs_previous: bool,
}

fn app_shape() -> impl Strategy<Value = AppShape> {
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
const APPS: [&str; 3] = ["quote-prod", "web-prod", "quote-test"];

fn app_of(index: usize, shape: &AppShape) -> App {
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
enum Mishap {
    Stopped(usize),
    Removed(usize),
    Renamed(usize),
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

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        any::<usize>().prop_map(Mishap::Stopped),
        any::<usize>().prop_map(Mishap::Removed),
        any::<usize>().prop_map(Mishap::Renamed),
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
struct Case {
    before: Vec<AppShape>,
    after: Vec<AppShape>,
    mishaps: Vec<Mishap>,
    /// Hosts that do not answer.
    silent: BTreeSet<u8>,
    /// Containers whose inspect fails.
    unreadable: Vec<usize>,
    drained: Option<u8>,
    remembers: bool,
    /// The network `market` is declared anew.
    renewed: bool,
}

fn case() -> impl Strategy<Value = Case> {
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

fn fleet(shapes: &[AppShape]) -> Desired {
    let mut shapes = shapes.to_vec();
    // An app's data stays its data between revisions of one test; only its spec and place change.
    shapes.truncate(APPS.len());
    desired(3, shapes.iter().enumerate().map(|(index, shape)| app_of(index, shape)).collect())
}

/// A fleet that converged on `before`.
fn settled(before: &Desired) -> World {
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

fn pick(world: &World, number: usize) -> Option<(String, String)> {
    let all: Vec<(String, String)> =
        world.containers().map(|(h, c)| (h.to_string(), c.name.to_string())).collect();
    (!all.is_empty()).then(|| all[number % all.len()].clone())
}

fn happen(world: &mut World, mishap: &Mishap) {
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

fn rename(world: &mut World, host: &str, from: &str, to: &str) {
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
fn seen(world: &World, case: &Case) -> Observed {
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

fn owned(world: &World) -> impl Iterator<Item = (InstanceName, &HostName, PlaceInReplacement)> {
    world.containers().filter_map(|(host, c)| match owner().container(&c.name, host, &c.labels) {
        Belongs::Ours(owned) => Some((owned.instance, host, owned.place)),
        Belongs::Foreign { .. } => None,
    })
}

fn foreign(world: &World) -> BTreeMap<(String, String), crate::model::observed::Container> {
    world
        .containers()
        .filter(|(host, c)| matches!(owner().container(&c.name, host, &c.labels), Belongs::Foreign { .. }))
        .map(|(host, c)| ((host.to_string(), c.name.to_string()), c.clone()))
        .collect()
}

/// What a complete memory says: where each instance was last.
fn memory(world: &World, case: &Case) -> Holds {
    let mut holds = Holds { memory_complete: case.remembers, ..Holds::default() };
    if case.remembers {
        holds.last_seen = owned(world).map(|(instance, host, _)| (instance, host.clone())).collect();
    }
    holds
}

fn approve_all(plan: &Plan, holds: &mut Holds) {
    holds.approved.extend(plan.held.iter().map(crate::model::plan::Change::promise));
}

struct Stage {
    desired: Desired,
    world: World,
    observed: Observed,
    holds: Holds,
}

fn stage(case: &Case) -> Stage {
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

/// Hosts on which an instance of a counted app stands, by instance: more than one is a duplicate.
fn duplicates(world: &World) -> BTreeSet<InstanceName> {
    let mut hosts: BTreeMap<InstanceName, BTreeSet<String>> = BTreeMap::new();
    for (instance, host, _) in owned(world) {
        hosts.entry(instance).or_default().insert(host.to_string());
    }
    hosts.into_iter().filter(|(_, hosts)| hosts.len() > 1).map(|(instance, _)| instance).collect()
}

fn volumes(world: &World) -> BTreeSet<(String, String)> {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Same input, same bytes out.
    #[test]
    fn the_same_input_gives_the_same_plan(case in case()) {
        let stage = stage(&case);
        let text = || {
            let plan = plan_with(&stage.desired, &stage.observed, &stage.holds);
            serde_json::to_string(&plan).expect("a plan is data")
        };
        prop_assert_eq!(text(), text());
    }

    /// A1: no step on a host that did not answer, none on a container that could not be read.
    #[test]
    fn the_unknown_is_never_changed(case in case()) {
        let mut stage = stage(&case);
        let first = plan_with(&stage.desired, &stage.observed, &stage.holds);
        approve_all(&first, &mut stage.holds);
        let plan = plan_with(&stage.desired, &stage.observed, &stage.holds);
        for change in &plan.changes {
            let Some(host) = &change.subject.host else { continue };
            let engine = stage.observed.engine(host);
            prop_assert!(engine.is_some(), "{} although the host is unknown", change.subject);
            let Some(engine) = engine else { continue };
            for step in change.steps.iter().chain(&change.undo) {
                if let Some(name) = touched(&step.action) {
                    let unknown = matches!(engine.containers.get(name), Some(Seen::Unknown { .. }));
                    prop_assert!(!unknown, "{} although {name} is unknown", step.action.describe());
                }
            }
        }
    }

    /// B1: what is not ours is after the plan as it was before. B5: no volume is gone.
    #[test]
    fn what_is_not_ours_and_what_holds_data_stays(case in case()) {
        let mut stage = stage(&case);
        let first = plan_with(&stage.desired, &stage.observed, &stage.holds);
        approve_all(&first, &mut stage.holds);
        let plan = plan_with(&stage.desired, &stage.observed, &stage.holds);
        let (before, data) = (foreign(&stage.world), volumes(&stage.world));
        stage.world.carry_out(&plan);
        prop_assert_eq!(before, foreign(&stage.world));
        prop_assert!(data.is_subset(&volumes(&stage.world)));
    }

    /// C1: no address gets a second owner. C8: no instance is started twice. Both against what really is.
    #[test]
    fn nothing_is_given_or_started_twice(case in case()) {
        let mut stage = stage(&case);
        let first = plan_with(&stage.desired, &stage.observed, &stage.holds);
        approve_all(&first, &mut stage.holds);
        let plan = plan_with(&stage.desired, &stage.observed, &stage.holds);
        let owners = |world: &World| -> BTreeMap<_, _> {
            shared_holders(world, &stage.desired).into_iter().filter(|(_, who)| who.len() > 1).collect()
        };
        let (conflicts, twice) = (owners(&stage.world), duplicates(&stage.world));
        let mut world = stage.world.clone();
        // After every single change, not only at the end.
        for number in 0..plan.changes.len() {
            for step in &plan.changes[number].steps {
                world.carry_out_partly(&crate::model::plan::Change {
                    steps: vec![step.clone()],
                    ..plan.changes[number].clone()
                }, 1);
                for (address, who) in owners(&world) {
                    let known = conflicts.get(&address).is_some_and(|before| who.is_subset(before));
                    prop_assert!(known, "{address:?} has {who:?} after {}", step.action.describe());
                }
            }
        }
        for instance in duplicates(&world) {
            // One number on two hosts is what an app on every host may show when a host comes back.
            // Without a memory, a host that an earlier selector chose and that is silent now cannot be suspected
            // for ever: ordinary apps go on where they are declared (C1: another address, no traffic there).
            let counted = stage.desired.apps.get(&instance.key).is_some_and(|app| !every_host(app));
            let sure = case.remembers || same_place(&case, &instance.key);
            prop_assert!(!counted || !sure || twice.contains(&instance), "{instance} runs twice");
        }
    }

    /// An exclusive app never has two of a slot, not even for a step.
    #[test]
    fn an_exclusive_slot_runs_once(case in case()) {
        let mut stage = stage(&case);
        let first = plan_with(&stage.desired, &stage.observed, &stage.holds);
        approve_all(&first, &mut stage.holds);
        let plan = plan_with(&stage.desired, &stage.observed, &stage.holds);
        let running = |world: &World| -> BTreeMap<InstanceName, usize> {
            let mut count = BTreeMap::new();
            for (host, c) in world.containers() {
                let Belongs::Ours(owned) = owner().container(&c.name, host, &c.labels) else { continue };
                let exclusive = stage.desired.apps.get(&owned.instance.key).is_some_and(|app| {
                    matches!(&app.runtime, crate::model::app::Runtime::Host(p) if p.exclusive) && !every_host(app)
                });
                if exclusive && c.state.is_running() {
                    *count.entry(owned.instance).or_insert(0) += 1;
                }
            }
            count
        };
        let before = running(&stage.world);
        let mut world = stage.world.clone();
        for change in &plan.changes {
            for step in &change.steps {
                world.carry_out_partly(&crate::model::plan::Change { steps: vec![step.clone()], ..change.clone() }, 1);
                for (instance, count) in running(&world) {
                    let was = before.get(&instance).copied().unwrap_or(0);
                    prop_assert!(count <= was.max(1), "{instance} runs {count} times");
                }
            }
        }
    }

    /// A4, D5: when everybody answers, a few rounds bring every fleet to rest, and then the plan is empty.
    #[test]
    fn every_fleet_comes_to_rest(mut case in case()) {
        case.silent.clear();
        case.unreadable.clear();
        let Stage { desired, mut world, mut holds, .. } = stage(&case);
        for _ in 0..8 {
            let plan = plan_with(&desired, &world.observed, &holds);
            approve_all(&plan, &mut holds);
            let plan = plan_with(&desired, &world.observed, &holds);
            world.carry_out(&plan);
        }
        let plan = plan_with(&desired, &world.observed, &holds);
        let left: Vec<_> = plan.changes.iter().map(|c| (c.promise(), c.because.clone())).collect();
        prop_assert!(left.is_empty(), "still wants {left:?}");
        // What is declared stands, unless the plan says why not.
        for (host, c) in world.containers() {
            let Belongs::Ours(owned) = owner().container(&c.name, host, &c.labels) else { continue };
            let told = plan.blocked.iter().any(|b| b.app.as_ref() == Some(&owned.instance.key));
            let declared = desired.apps.contains_key(&owned.instance.key);
            prop_assert!(declared || told, "{} is left over and nobody says so", c.name);
            prop_assert!(c.state.is_running() || told, "{} does not run and nobody says so", c.name);
        }
        for (key, app) in &desired.apps {
            let standing = owned(&world).filter(|(i, _, p)| i.key == *key && *p == PlaceInReplacement::Current);
            let wanted = wanted_instances(app, &desired);
            let told = plan.blocked.iter().any(|b| b.app.as_ref() == Some(key));
            let count = standing.count();
            prop_assert!(count == wanted || told, "{key} has {count} of {wanted} and nobody says why");
        }
    }

    /// D1: with the default strategy no more instances are away than `max_unavailable` plus those that were away.
    #[test]
    fn a_rollout_takes_few_away_at_once(case in case()) {
        let mut stage = stage(&case);
        let first = plan_with(&stage.desired, &stage.observed, &stage.holds);
        approve_all(&first, &mut stage.holds);
        let plan = plan_with(&stage.desired, &stage.observed, &stage.holds);
        for (key, app) in &stage.desired.apps {
            let replaced: Vec<usize> = (0..plan.changes.len())
                .filter(|n| {
                    let change = &plan.changes[*n];
                    if change.subject.kind != Kind::Container {
                        return false;
                    }
                    let serving = change.subject.host.as_ref().and_then(|h| {
                        let engine = stage.observed.engine(h)?;
                        let c = engine.containers.get(&name(&change.subject.name))?.known()?;
                        Some(matches!(c.state, RunState::Running { health: Health::Unchecked | Health::Healthy, .. }))
                    });
                    change.app.as_ref() == Some(key) && change.action == Verb::Replace && serving == Some(true)
                })
                .collect();
            let most = usize::try_from(app.update.max_unavailable).expect("small");
            // As many as may go side by side: none waits, even over others, for another of them.
            for group in subsets(&replaced, most + 1) {
                let ordered = group.iter().any(|a| group.iter().any(|b| a != b && waits(&plan, *a, *b)));
                prop_assert!(ordered, "{group:?} of {key} may all go at once");
            }
        }
    }

    /// B2: with only some environments in view, the others' instances are not touched.
    #[test]
    fn environments_out_of_view_are_left_alone(case in case()) {
        let Stage { desired, observed, mut holds, .. } = stage(&case);
        let narrow = desired.only(&BTreeSet::from([name("test")]));
        let first = plan_with(&narrow, &observed, &holds);
        approve_all(&first, &mut holds);
        let plan = plan_with(&narrow, &observed, &holds);
        for change in &plan.changes {
            for step in &change.steps {
                let Some(container) = touched(&step.action) else { continue };
                let network_work = matches!(step.action, Action::Connect { .. } | Action::Disconnect { .. });
                let key = container.as_str().parse::<InstanceName>().map(|i| i.key);
                let prod = key.is_ok_and(|key: AppKey| key.environment == name("prod"));
                prop_assert!(!prod || network_work, "{} is prod's", step.action.describe());
            }
        }
    }
}

/// `PROPTEST_CASES` for a longer run.
fn cases() -> u32 {
    option_env!("PROPTEST_CASES").and_then(|n| n.parse().ok()).unwrap_or(300)
}

fn same_place(case: &Case, key: &AppKey) -> bool {
    let index = APPS.iter().position(|a| *a == key.to_string());
    let place = |shapes: &[AppShape]| index.and_then(|i| shapes.get(i)).map(|s| (s.only_on, s.every_host));
    place(&case.before) == place(&case.after)
}

fn every_host(app: &App) -> bool {
    use crate::model::app::{Replicas, Runtime};
    matches!(&app.runtime, Runtime::Host(placement) if placement.replicas == Replicas::EveryHost)
}

fn wanted_instances(app: &App, desired: &Desired) -> usize {
    use crate::model::app::{Replicas, Runtime};
    let Runtime::Host(placement) = &app.runtime else { return 0 };
    let allowed = desired.hosts.values().filter(|host| {
        let named = match &placement.hosts {
            HostSelector::Names(names) => names.contains(&host.name),
            HostSelector::Any | HostSelector::Labels(_) => true,
        };
        named && (!host.drain || placement.failover == Failover::Stay)
    });
    match placement.replicas {
        Replicas::Count(count) => usize::try_from(count).expect("small"),
        Replicas::EveryHost => allowed.filter(|h| !h.drain).count(),
    }
}

/// Whether `later` waits for `earlier`, directly or over others.
fn waits(plan: &Plan, later: usize, earlier: usize) -> bool {
    plan.changes[later].after.iter().any(|n| *n == earlier || waits(plan, *n, earlier))
}

fn subsets(all: &[usize], size: usize) -> Vec<Vec<usize>> {
    match (size, all.split_first()) {
        (0, _) => vec![Vec::new()],
        (_, None) => Vec::new(),
        (_, Some((first, rest))) => {
            let with = subsets(rest, size - 1).into_iter().map(|mut s| {
                s.push(*first);
                s
            });
            with.chain(subsets(rest, size)).collect()
        }
    }
}
