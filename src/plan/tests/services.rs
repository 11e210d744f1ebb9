//! Services of a Swarm: the safety rules as properties over many small fleets, and a few of them spelled out.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::build::*;
use super::cluster::{self, Cluster, SWARM};
use super::world::World;
use crate::model::app::{App, Runtime, SwarmService};
use crate::model::container::{Attachment, EnvValue, FileSpec, Networks};
use crate::model::desired::Desired;
use crate::model::drift::Kind;
use crate::model::names::EnvironmentName;
use crate::model::network::NetworkDriver;
use crate::model::observed::{Observed, Seen};
use crate::model::plan::{Action, Plan, Verb};
use crate::model::secrecy::ContentHash;
use crate::model::service::ServiceMode;
use crate::model::swarm::{Availability, Task, TaskState, UpdateState, UpdateStatus};
use crate::model::units::Timestamp;
use crate::plan::Holds;

const APPS: [&str; 3] = ["quote-prod", "web-prod", "quote-test"];

/// What may differ between two revisions of an app.
#[derive(Debug, Clone)]
struct Shape {
    replicas: u32,
    global: bool,
    image: u8,
    env: u8,
    label: u8,
    file: Option<u8>,
    overlay: bool,
    adopt: bool,
    ignores_mode: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    let flags =
        (prop::bool::weighted(0.2), any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    (0..4u32, 0..2u8, 0..2u8, 0..2u8, prop::option::of(0..2u8), flags).prop_map(
        |(replicas, image, env, label, file, (global, overlay, adopt, ignores_mode))| Shape {
            replicas,
            global,
            image,
            env,
            label,
            file,
            overlay,
            adopt,
            ignores_mode,
        },
    )
}

fn service(index: usize, shape: &Shape) -> App {
    let mode = if shape.global { ServiceMode::Global } else { ServiceMode::Replicated(shape.replicas) };
    let mut app = app(APPS[index], 1);
    let mut service = SwarmService::new(SWARM, mode);
    service.labels.insert("tier".into(), shape.label.to_string());
    app.runtime = Runtime::Swarm(service);
    app.container.image = name(&format!("quote:{}", shape.image));
    app.container.env.insert("MODE".into(), EnvValue::Plain(shape.env.to_string()));
    if let Some(content) = shape.file {
        let hash = ContentHash::of(&[content]);
        let file = FileSpec { source: "files/a.conf".into(), hash, size: 1, mode: 0o400 };
        app.container.files.insert("/etc/a.conf".into(), file);
    }
    if shape.overlay {
        app.container.networks = Networks::Named(BTreeMap::from([(name("mesh"), Attachment::default())]));
    }
    app.adopt = shape.adopt;
    if shape.ignores_mode {
        app.ignore.insert(name("mode"));
    }
    app
}

pub(super) fn on_swarm(apps: Vec<App>) -> Desired {
    let mut desired = desired(3, apps);
    desired.swarms.insert(SWARM.into(), vec![name("h1"), name("h2"), name("h3")]);
    let mesh = network("mesh", NetworkDriver::Overlay);
    desired.networks.insert(mesh.name.clone(), mesh);
    desired.hosts.values_mut().for_each(|host| host.swarm = Some(SWARM.into()));
    desired
}

fn fleet(shapes: &[Shape]) -> Desired {
    on_swarm(shapes.iter().take(APPS.len()).enumerate().map(|(i, shape)| service(i, shape)).collect())
}

/// A hand on the Swarm; numbers choose the victim.
#[derive(Debug, Clone)]
pub(super) enum Hand {
    Env(usize),
    Scaled(usize, u32),
    Labelled(usize),
    Unlabelled(usize),
    Removed(usize),
    ConfigRemoved,
    Foreign(usize),
    NodeLabel(u8),
    Drained(u8),
    Unreadable(usize),
    SwarmUnknown,
}

fn hand() -> impl Strategy<Value = Hand> {
    prop_oneof![
        (0..3usize).prop_map(Hand::Env),
        (0..3usize, 0..6u32).prop_map(|(victim, count)| Hand::Scaled(victim, count)),
        (0..3usize).prop_map(Hand::Labelled),
        (0..3usize).prop_map(Hand::Unlabelled),
        (0..3usize).prop_map(Hand::Removed),
        Just(Hand::ConfigRemoved),
        (0..3usize).prop_map(Hand::Foreign),
        (1..4u8).prop_map(Hand::NodeLabel),
        (1..4u8).prop_map(Hand::Drained),
        (0..3usize).prop_map(Hand::Unreadable),
        Just(Hand::SwarmUnknown),
    ]
}

/// What the hand leaves of the Swarm; what cannot be read is made so in the snapshot alone.
fn happen(cluster: &mut Cluster, hand: &Hand) {
    let there = |cluster: &Cluster, index: usize| cluster.swarm.services.contains_key(APPS[index]);
    match hand {
        Hand::Env(n) if there(cluster, *n) => {
            cluster.service(APPS[*n]).spec.env.insert("BY".into(), key().hide("hand"));
        }
        Hand::Scaled(n, count) if there(cluster, *n) => {
            let live = cluster.service(APPS[*n]);
            if live.spec.mode != ServiceMode::Global {
                live.spec.mode = ServiceMode::Replicated(*count);
                // Swarm follows by itself, also where git leaves the number to whoever scales.
                cluster.settle(APPS[*n], false);
            }
        }
        Hand::Labelled(n) if there(cluster, *n) => {
            let live = cluster.service(APPS[*n]);
            live.spec.service_labels.insert("by".into(), "hand".into());
            live.labels.insert("by".into(), "hand".into());
        }
        Hand::Unlabelled(n) if there(cluster, *n) => cluster.service(APPS[*n]).labels.clear(),
        Hand::Removed(n) => {
            cluster.swarm.services.remove(APPS[*n]);
            cluster.swarm.tasks.retain(|_, task| task.service.as_deref() != Some(APPS[*n]));
        }
        Hand::ConfigRemoved => {
            // Docker refuses where it is in use.
            let used: BTreeSet<String> = cluster
                .swarm
                .services
                .values()
                .filter_map(Seen::known)
                .flat_map(|live| live.spec.files.values().map(|file| file.source.clone()))
                .collect();
            cluster.swarm.configs.retain(|name, _| used.contains(name));
        }
        Hand::Foreign(n) if !there(cluster, *n) => {
            let mut aside = Cluster::new();
            let mut world = World::of(&fleet(&[]));
            world.observed = aside.seen(world.observed);
            let shapes = vec![plain(); APPS.len()];
            let made = plan_of(&fleet(&shapes), &world.observed);
            aside.carry_out(&made);
            let mut live = aside.service(APPS[*n]).clone();
            live.labels.clear();
            let tasks =
                aside.swarm.tasks.into_values().filter(|task| task.service == Some(APPS[*n].to_owned()));
            let foreign = tasks.map(|task| (format!("foreign-{}", task.id), task));
            cluster.swarm.tasks.extend(foreign.map(|(id, task)| (id.clone(), Task { id, ..task })));
            cluster.swarm.services.insert(APPS[*n].into(), Seen::Known(live));
        }
        Hand::NodeLabel(n) => {
            let node = cluster.swarm.nodes.get_mut(&format!("node-{n}")).expect("a node");
            node.labels.insert("zone".into(), "odd".into());
            node.labels.insert("rack".into(), "7".into());
        }
        Hand::Drained(n) => {
            let node = cluster.swarm.nodes.get_mut(&format!("node-{n}")).expect("a node");
            node.availability = Availability::Drain;
        }
        Hand::Env(_)
        | Hand::Scaled(..)
        | Hand::Labelled(_)
        | Hand::Unlabelled(_)
        | Hand::Foreign(_)
        | Hand::Unreadable(_)
        | Hand::SwarmUnknown => {}
    }
}

fn plain() -> Shape {
    Shape {
        replicas: 1,
        global: false,
        image: 0,
        env: 0,
        label: 0,
        file: None,
        overlay: false,
        adopt: false,
        ignores_mode: false,
    }
}

fn seen(world: &World, cluster: &Cluster, hands: &[Hand]) -> Observed {
    let mut observed = cluster.seen(world.observed.clone());
    for hand in hands {
        match (hand, observed.swarms.get_mut(SWARM)) {
            (Hand::SwarmUnknown, Some(swarm)) => *swarm = Seen::unknown("no quorum"),
            (Hand::Unreadable(n), Some(Seen::Known(swarm))) => {
                if let Some(service) = swarm.services.get_mut(APPS[*n]) {
                    *service = Seen::unknown("garbage");
                }
            }
            (_, _) => {}
        }
    }
    observed
}

/// Everything that a plan of these fleets destroys is approved: the budget has tests of its own.
fn approving(desired: &Desired, observed: &Observed) -> Plan {
    let first = plan_of(desired, observed);
    let approved = first.held.iter().map(crate::model::plan::Change::promise).collect();
    plan_with(desired, observed, &Holds { approved, ..Holds::default() })
}

/// Carries out plan after plan until one changes nothing; that one.
pub(super) fn converge(desired: &Desired, world: &World, cluster: &mut Cluster, hands: &[Hand]) -> Plan {
    for _ in 0..6 {
        let plan = approving(desired, &seen(world, cluster, hands));
        if plan.changes.is_empty() {
            return plan;
        }
        cluster.carry_out(&plan);
    }
    let plan = approving(desired, &seen(world, cluster, hands));
    panic!("it never ends: {:#?}", plan.changes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A1, A4, B1, B2: whatever was done by hand, trueup brings back what is its own, keeps its hands off the rest, and
    /// comes to an end.
    #[test]
    fn a_swarm_converges_and_the_rest_is_left_alone(
        before in prop::collection::vec(shape(), 0..=3),
        after in prop::collection::vec(shape(), 0..=3),
        hands in prop::collection::vec(hand(), 0..4),
    ) {
        let (before, after) = (fleet(&before), fleet(&after));
        let world = World::of(&before);
        let mut cluster = Cluster::new();
        converge(&before, &world, &mut cluster, &[]);
        hands.iter().for_each(|hand| happen(&mut cluster, hand));
        let start = cluster.clone();
        let last = converge(&after, &world, &mut cluster, &hands);

        // Unknown never mutates (A1).
        if hands.iter().any(|hand| matches!(hand, Hand::SwarmUnknown)) {
            prop_assert_eq!(&cluster, &start);
            prop_assert!(last.unknown.iter().any(|unknown| unknown.subject.kind == Kind::Swarm));
            return Ok(());
        }
        let unreadable = |name: &str| {
            hands.iter().any(|hand| matches!(hand, Hand::Unreadable(n) if APPS[*n] == name))
        };
        for (name, seen) in &start.swarm.services {
            let live = seen.known().expect("readable");
            let labelled = live.labels.keys().any(|label| label.starts_with("io.trueup."));
            let adopted = after.apps.values().any(|app| app.adopt && app.key.to_string() == *name);
            // What is not ours, or cannot be read, stays as it is (B1).
            if unreadable(name) || (!labelled && !adopted) {
                prop_assert_eq!(cluster.swarm.services.get(name), Some(seen));
            }
        }
        let foreign_labels = start.swarm.nodes.values().filter(|node| node.labels.contains_key("rack"));
        for node in foreign_labels {
            prop_assert_eq!(cluster.swarm.nodes[&node.id].labels.get("rack").map(String::as_str), Some("7"));
        }
        for node in start.swarm.nodes.values() {
            prop_assert_eq!(cluster.swarm.nodes[&node.id].availability, node.availability);
        }
        // What is neither blocked nor unreadable is as declared, and nothing else of ours is left.
        let blocked: BTreeSet<&str> = last.blocked.iter().map(|b| b.subject.name.as_str()).collect();
        for app in after.apps.values() {
            let name = app.key.to_string();
            if !unreadable(&name) && !blocked.contains(name.as_str()) {
                prop_assert!(cluster.swarm.services.contains_key(&name), "{} is missing", name);
            }
        }
        if !hands.iter().any(|hand| matches!(hand, Hand::Unreadable(_))) {
            let used: BTreeSet<String> = cluster
                .swarm
                .services
                .values()
                .filter_map(Seen::known)
                .flat_map(|live| live.spec.files.values().map(|file| file.source.clone()))
                .collect();
            let kept: BTreeSet<String> = cluster.swarm.configs.keys().cloned().collect();
            prop_assert_eq!(kept, used, "configs that nothing uses are collected (D9)");
        }
    }

    /// D8: what differs in nothing but labels of the service, or in the number of tasks, restarts no task.
    #[test]
    fn only_what_a_task_is_made_from_makes_it_anew(first in shape(), second in shape()) {
        let same_kind = first.global == second.global && !first.ignores_mode && !second.ignores_mode;
        prop_assume!(same_kind);
        let (before, after) = (fleet(std::slice::from_ref(&first)), fleet(std::slice::from_ref(&second)));
        let world = World::of(&before);
        let mut cluster = Cluster::new();
        converge(&before, &world, &mut cluster, &[]);
        let tasks = cluster.tasks(APPS[0]);
        converge(&after, &world, &mut cluster, &[]);
        let same_task = (first.image, first.env, first.file, first.overlay)
            == (second.image, second.env, second.file, second.overlay);
        let stayed = cluster.tasks(APPS[0]).intersection(&tasks).count();
        let could = tasks.len().min(cluster.tasks(APPS[0]).len());
        prop_assert_eq!(stayed, if same_task { could } else { 0 });
    }
}

pub(super) fn settled(apps: Vec<App>) -> (Desired, World, Cluster) {
    let desired = on_swarm(apps);
    let world = World::of(&desired);
    let mut cluster = Cluster::new();
    converge(&desired, &world, &mut cluster, &[]);
    (desired, world, cluster)
}

/// One task of web with a config, on the Swarm's network `mesh`.
pub(super) fn with_file_on_mesh() -> App {
    service(1, &Shape { file: Some(1), overlay: true, ..plain() })
}

pub(super) fn web(replicas: u32) -> App {
    service(1, &Shape { replicas, ..plain() })
}

fn in_production(desired: &mut Desired) {
    desired.environments.get_mut(&name::<EnvironmentName>("prod")).expect("an environment").production = true;
}

#[test]
fn an_update_under_way_is_waited_for_and_not_sent_again() {
    let (desired, world, mut cluster) = settled(vec![web(2)]);
    cluster.service("web-prod").update = Some(UpdateStatus {
        state: UpdateState::Updating,
        started: Some(Timestamp(5)),
        completed: None,
        message: "update in progress".into(),
    });
    let plan = plan_of(&desired, &cluster.seen(world.observed));
    let verbs: Vec<Verb> = plan.changes.iter().map(|change| change.action).collect();
    assert_eq!(verbs, [Verb::Await], "{:#?}", plan.changes);
    let steps = plan.changes.iter().flat_map(|change| &change.steps);
    assert!(steps.into_iter().all(|step| matches!(step.action, Action::WaitService { .. })));
}

#[test]
fn what_swarm_went_back_from_is_held_until_git_changes() {
    let (mut desired, world, mut cluster) = settled(vec![web(2)]);
    edit(&mut desired, "web-prod", |app| app.container.image = name("quote:9"));
    let live = cluster.service("web-prod");
    let mut failed = live.spec.clone();
    failed.image = name("quote:9");
    cluster::went_back(live, failed);
    let plan = plan_of(&desired, &cluster.seen(world.observed.clone()));
    assert!(plan.changes.is_empty(), "{:#?}", plan.changes);
    assert!(plan.blocked.iter().any(|b| b.reason.contains("(D2)")), "{:#?}", plan.blocked);
    edit(&mut desired, "web-prod", |app| app.container.image = name("quote:10"));
    let plan = plan_of(&desired, &cluster.seen(world.observed));
    assert!(plan.changes.iter().any(|change| change.action == Verb::Update), "{:#?}", plan.blocked);
}

#[test]
fn tasks_that_fail_are_told_with_their_own_words() {
    let (desired, world, mut cluster) = settled(vec![web(2)]);
    for task in cluster.swarm.tasks.values_mut().take(1) {
        task.state = TaskState::Rejected;
        task.error = "No such image: quote:0".into();
    }
    let plan = plan_of(&desired, &cluster.seen(world.observed));
    assert!(plan.changes.is_empty());
    let [blocked] = plan.blocked.as_slice() else { panic!("{:#?}", plan.blocked) };
    assert_eq!(blocked.reason, "1 of 2 tasks run: No such image: quote:0");
}

#[test]
fn another_kind_of_service_is_another_service() {
    let (mut desired, world, cluster) = settled(vec![web(2)]);
    edit(&mut desired, "web-prod", |app| {
        app.runtime = Runtime::Swarm(SwarmService::new(SWARM, ServiceMode::Global));
    });
    let observed = cluster.seen(world.observed);
    assert_eq!(plan_of(&desired, &observed).changes.len(), 1);
    // In production it waits, as the last instance does.
    in_production(&mut desired);
    let plan = plan_of(&desired, &observed);
    let [change] = plan.held.as_slice() else { panic!("{:#?}", plan.changes) };
    assert_eq!((change.action, change.interrupts), (Verb::Replace, true));
    let [goes, undo] = change.undo.as_slice() else { panic!("{:#?}", change.undo) };
    assert!(matches!(goes.action, Action::RemoveService { .. }), "{goes:#?}");
    let Action::CreateService { spec, .. } = &undo.action else { panic!("{undo:#?}") };
    assert_eq!(spec.mode, ServiceMode::Replicated(2), "what stood there is made again where the other fails");
    assert_eq!(spec.env, desired.apps[&name("web-prod")].container.env);
}

/// B3 counts tasks, as it counts instances on hosts.
#[test]
fn tasks_that_are_scaled_away_are_counted_b3() {
    let scaled = |from: u32, to: u32| {
        let mut app = web(from);
        app.key = name("web-test");
        let (mut desired, world, cluster) = settled(vec![app]);
        edit(&mut desired, "web-test", |app| {
            app.runtime = Runtime::Swarm(SwarmService::new(SWARM, ServiceMode::Replicated(to)));
        });
        let plan = plan_of(&desired, &cluster.seen(world.observed));
        (plan.changes.len(), plan.held.len())
    };
    assert_eq!(scaled(12, 1), (0, 1), "11 of 12");
    assert_eq!(scaled(12, 9), (1, 0), "3 of 12");
    assert_eq!(scaled(3, 12), (1, 0), "more than before");
}

#[test]
fn the_last_tasks_of_a_production_service_wait_b3() {
    let scaled = |to: u32| {
        let (mut desired, world, cluster) = settled(vec![web(2)]);
        in_production(&mut desired);
        edit(&mut desired, "web-prod", |app| {
            app.runtime = Runtime::Swarm(SwarmService::new(SWARM, ServiceMode::Replicated(to)));
        });
        let plan = plan_of(&desired, &cluster.seen(world.observed));
        (plan.changes.len(), plan.held.len())
    };
    assert_eq!((scaled(1), scaled(0)), ((1, 0), (0, 1)));
}

#[test]
fn a_global_service_that_runs_nowhere_is_not_as_declared() {
    let app = service(1, &Shape { global: true, ..plain() });
    let (desired, world, mut cluster) = settled(vec![app]);
    cluster.swarm.tasks.clear();
    // By how much the managers' clocks are ahead, and when it was changed by them.
    let mut seen = |ahead: i64, ago: i64| {
        let Some(Seen::Known(live)) = cluster.swarm.services.values_mut().next() else {
            panic!("no service")
        };
        live.updated = Timestamp(NOW.0 + ahead - ago);
        let mut observed = cluster.seen(world.observed.clone());
        for engine in observed.hosts.values_mut() {
            let Seen::Known(engine) = engine else { panic!("unknown") };
            engine.info.clock = Some(Timestamp(observed.at.0 + ahead));
        }
        plan_of(&desired, &observed)
    };
    let plan = seen(0, 60_000);
    let [blocked] = plan.blocked.as_slice() else { panic!("{:#?}", plan.blocked) };
    assert_eq!(blocked.reason, "it runs nowhere: no node is active");
    let plan = seen(3_600_000, 60_000);
    let [blocked] = plan.blocked.as_slice() else { panic!("{:#?}", plan.blocked) };
    assert_eq!(blocked.reason, "it runs nowhere: no node is active");
    // It was just made, and Swarm has not come to it yet.
    let plan = seen(0, 1_000);
    let waits: Vec<Verb> = plan.changes.iter().map(|change| change.action).collect();
    assert_eq!((plan.blocked.len(), waits), (0, vec![Verb::Await]), "{plan:#?}");
}

#[test]
fn a_network_that_differs_is_told_once_though_its_services_are_as_declared_a4() {
    let on_overlay = |n| service(n, &Shape { overlay: true, ..plain() });
    let (desired, world, mut cluster) = settled(vec![on_overlay(0), on_overlay(1)]);
    assert!(plan_of(&desired, &cluster.seen(world.observed.clone())).blocked.is_empty());
    let Some(Seen::Known(network)) = cluster.swarm.networks.values_mut().next() else { panic!("no network") };
    network.spec.as_mut().expect("a spec").attachable ^= true;
    let plan = plan_of(&desired, &cluster.seen(world.observed));
    let [blocked] = plan.blocked.as_slice() else { panic!("{:#?}", plan.blocked) };
    assert!(blocked.reason.contains("must be made anew for attachable"), "{}", blocked.reason);
    assert_eq!((plan.drift.len(), plan.changes.len()), (1, 0), "{plan:#?}");
}

#[test]
fn a_protected_service_stays_when_it_is_no_longer_declared() {
    let mut app = web(1);
    app.protect = true;
    let (_, world, cluster) = settled(vec![app]);
    let plan = plan_of(&on_swarm(vec![]), &cluster.seen(world.observed));
    assert!(plan.changes.iter().all(|change| change.subject.kind != Kind::Service), "{:#?}", plan.changes);
    assert!(plan.blocked.iter().any(|b| b.reason.contains("(B2)")));
}

#[test]
fn a_drained_host_drains_its_node_and_is_active_again_after() {
    let (mut desired, world, mut cluster) = settled(vec![]);
    let host = name("h2");
    desired.hosts.entry(host).and_modify(|host| {
        host.drain = true;
        host.availability = Some(Availability::Drain);
    });
    converge(&desired, &world, &mut cluster, &[]);
    assert_eq!(cluster.swarm.nodes["node-2"].availability, Availability::Drain);
    let desired = on_swarm(vec![]);
    converge(&desired, &world, &mut cluster, &[]);
    assert_eq!(cluster.swarm.nodes["node-2"].availability, Availability::Active);
}

#[test]
fn many_services_that_vanish_at_once_wait_for_a_person() {
    let apps = (0..8).map(|n| {
        let mut app = service(0, &plain());
        app.key = name(&format!("svc{n}-test"));
        app
    });
    let (_, world, cluster) = settled(apps.collect());
    let plan = plan_of(&on_swarm(vec![]), &cluster.seen(world.observed));
    assert_eq!((plan.changes.len(), plan.held.len()), (0, 8), "{:#?}", plan.blocked);
}

#[test]
fn a_job_that_runs_is_as_declared_and_awaited_only_where_somebody_comes_after_it() {
    let (mut desired, world, mut cluster) = settled(vec![web(1), service(0, &plain())]);
    let job = ServiceMode::ReplicatedJob { total: 2, at_once: 1 };
    edit(&mut desired, "web-prod", |app| {
        if let Runtime::Swarm(service) = &mut app.runtime {
            service.mode = job;
        }
    });
    cluster.service("web-prod").spec.mode = job;
    let observed = cluster.seen(world.observed);
    assert!(plan_of(&desired, &observed).changes.is_empty());
    edit(&mut desired, "quote-prod", |app| app.depends_on = [name("web")].into());
    let plan = plan_of(&desired, &observed);
    let verbs: Vec<Verb> = plan.changes.iter().map(|change| change.action).collect();
    assert_eq!(verbs, [Verb::Await], "{:#?}", plan.changes);
}

/// A service whose tasks are of an earlier spec is not there, though as many run as are wanted (D8).
#[test]
fn an_update_that_swarm_has_not_begun_is_not_taken_for_done() {
    let (desired, world, mut cluster) = settled(vec![web(2)]);
    cluster.service("web-prod").template = Some(ContentHash::of(b"new"));
    for task in cluster.swarm.tasks.values_mut() {
        task.template = Some(ContentHash::of(b"old"));
    }
    let plan = plan_of(&desired, &cluster.seen(world.observed.clone()));
    assert_eq!(
        plan.changes.iter().map(|c| c.action).collect::<Vec<_>>(),
        [Verb::Await],
        "{:#?}",
        plan.changes
    );
    for task in cluster.swarm.tasks.values_mut() {
        task.template = Some(ContentHash::of(b"new"));
    }
    assert!(plan_of(&desired, &cluster.seen(world.observed)).changes.is_empty());
}
