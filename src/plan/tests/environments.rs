//! Members of one Swarm that serve different environments (F5): labels of nodes, a constraint on them, and whom that
//! would take away from a node that is not known to have its label (A1, D8).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::build::*;
use super::cluster::{self, Cluster, SWARM};
use super::services::{converge, on_swarm, settled, web};
use super::world::World;
use crate::model::app::Runtime;
use crate::model::container::EnvValue;
use crate::model::desired::Desired;
use crate::model::drift::Kind;
use crate::model::names::{FieldName, HostName};
use crate::model::observed::{Observed, Seen};
use crate::model::plan::{Action, Plan};
use crate::model::service::ServiceMode;
use crate::model::swarm::NodeState;
use crate::model::units::Timestamp;
use crate::plan::{Holds, Wait};

const PROD: &str = "io.trueup.serves.prod";

/// `h4` joins, and serves `test` alone.
fn h4_joins(desired: &mut Desired, world: &mut World, cluster: &mut Cluster) {
    let mut fourth = host(4);
    fourth.swarm = Some(SWARM.into());
    fourth.environments = BTreeSet::from([name("test")]);
    desired.hosts.insert(fourth.name.clone(), fourth);
    *world = World::of(desired);
    cluster.join(4);
}

/// Every member serves both; `web-prod` has a task on each of three nodes.
fn before() -> (Desired, World, Cluster) {
    let (desired, world, cluster) = settled(vec![web(3)]);
    assert_eq!(nodes(&cluster), BTreeSet::from(["node-1", "node-2", "node-3"].map(str::to_owned)));
    (desired, world, cluster)
}

fn nodes(cluster: &Cluster) -> BTreeSet<String> {
    cluster.swarm.tasks.values().filter_map(|task| task.node.clone()).collect()
}

fn silent(mut observed: Observed, host: &str) -> Observed {
    observed.hosts.insert(name(host), Seen::unknown("x509: certificate has expired"));
    observed
}

fn label(cluster: &mut Cluster, node: &str, value: &str) {
    let node = cluster.swarm.nodes.get_mut(node).expect("a node");
    node.labels.insert(PROD.into(), value.into());
}

/// Reason and hint of each service that is blocked.
fn blocked(plan: &Plan) -> Vec<(&str, &str)> {
    let services = plan.blocked.iter().filter(|blocked| blocked.subject.kind == Kind::Service);
    services.map(|blocked| (blocked.reason.as_str(), blocked.hint.as_str())).collect()
}

fn services_changed(plan: &Plan) -> usize {
    plan.changes.iter().filter(|change| change.subject.kind == Kind::Service).count()
}

#[test]
fn the_constraint_comes_after_the_labels_and_ends_nothing() {
    let (mut desired, mut world, mut cluster) = before();
    h4_joins(&mut desired, &mut world, &mut cluster);
    let tasks = cluster.tasks("web-prod");
    let plan = plan_of(&desired, &cluster.seen(world.observed.clone()));
    let labelled: Vec<usize> =
        (0..plan.changes.len()).filter(|n| plan.changes[*n].subject.kind == Kind::Node).collect();
    assert_eq!(labelled.len(), 4, "{:#?}", plan.changes);
    let service = plan.changes.iter().find(|change| change.subject.kind == Kind::Service).expect("an update");
    assert_eq!(service.after, labelled, "every node has its label by then");
    assert_eq!(service.because, [format!("constraints: (none) → node.labels.{PROD}==true")]);
    converge(&desired, &world, &mut cluster, &[]);
    assert_eq!(cluster.tasks("web-prod"), tasks);
    let prod = |node: &str| cluster.swarm.nodes[node].labels.get(PROD).map(String::as_str);
    assert_eq!((prod("node-1"), prod("node-3"), prod("node-4")), (Some("true"), Some("true"), None));
}

#[test]
fn a_member_that_is_silent_keeps_its_healthy_tasks_a1() {
    let (mut desired, mut world, mut cluster) = before();
    h4_joins(&mut desired, &mut world, &mut cluster);
    edit(&mut desired, "web-prod", |app| {
        app.container.env.insert("NEW".into(), EnvValue::Plain("1".into()));
    });
    let tasks = cluster.tasks("web-prod");
    world.observed = silent(world.observed, "h3");
    // The others are labelled, and that is all.
    let plan = converge(&desired, &world, &mut cluster, &[]);
    assert_eq!((services_changed(&plan), cluster.tasks("web-prod")), (0, tasks.clone()), "{plan:#?}");
    assert_eq!(cluster.swarm.nodes["node-1"].labels.get(PROD).map(String::as_str), Some("true"));
    assert_eq!(cluster.service("web-prod").spec.constraints, Vec::<String>::new());
    let [(reason, hint)] = blocked(&plan)[..] else { panic!("{:#?}", plan.blocked) };
    assert_eq!(
        reason,
        "its tasks are to keep to nodes with the label io.trueup.serves.prod (F5), and on others they end: which node is \
         that of h3, which serves prod, is not known (A1)"
    );
    assert_eq!(
        hint,
        "make its engine answer, or label its node: `docker node update --label-add io.trueup.serves.prod=true NODE`, \
         NODE being one of node-3 (h3)"
    );
    // A person labels it through a manager: whoever it is, nothing ends there.
    label(&mut cluster, "node-3", "true");
    let plan = plan_of(&desired, &cluster.seen(world.observed.clone()));
    assert_eq!(blocked(&plan), []);
    // Else it goes on when the engine answers again.
    label(&mut cluster, "node-3", "false");
    let plan = plan_of(&desired, &silent(cluster.seen(World::of(&desired).observed), "h3"));
    assert_eq!(blocked(&plan).len(), 1, "another value is no such label: {plan:#?}");
    let world = World::of(&desired);
    let plan = converge(&desired, &world, &mut cluster, &[]);
    assert!(plan.blocked.is_empty(), "{:#?}", plan.blocked);
    assert_eq!(cluster.service("web-prod").spec.constraints, [format!("node.labels.{PROD} == true")]);
}

#[test]
fn what_a_silent_member_cannot_lose_goes_on_c8() {
    let (mut desired, mut world, mut cluster) = before();
    h4_joins(&mut desired, &mut world, &mut cluster);
    let changes = |desired: &Desired, cluster: &Cluster, observed: Observed| {
        let plan = plan_of(desired, &cluster.seen(observed));
        (services_changed(&plan), blocked(&plan).len())
    };
    // It serves something else.
    let mut other = desired.clone();
    let third = other.hosts.get_mut(&name::<HostName>("h3")).expect("a host");
    third.environments = BTreeSet::from([name("test")]);
    assert_eq!(changes(&other, &cluster, silent(world.observed.clone(), "h3")), (1, 0));
    // Swarm has lost it too, and its tasks run elsewhere.
    cluster.swarm.nodes.get_mut("node-3").expect("a node").state = NodeState::Down;
    assert_eq!(changes(&desired, &cluster, silent(world.observed.clone(), "h3")), (1, 0));
    cluster.swarm.nodes.get_mut("node-3").expect("a node").state = NodeState::Disconnected;
    assert_eq!(changes(&desired, &cluster, silent(world.observed.clone(), "h3")), (0, 1));
    // A service that is new has nobody there.
    let mut more = on_swarm(vec![web(3)]);
    more.hosts = desired.hosts.clone();
    let bare = {
        let mut bare = Cluster::new();
        bare.join(4);
        bare
    };
    assert_eq!(changes(&more, &bare, silent(world.observed.clone(), "h3")), (1, 0));
    // The constraint is there already.
    cluster.service("web-prod").spec.constraints = vec![format!("node.labels.{PROD} == true")];
    edit(&mut desired, "web-prod", |app| app.container.image = name("quote:9"));
    assert_eq!(changes(&desired, &cluster, silent(world.observed, "h3")), (1, 0));
}

/// Nodes that no host is, and a second member that is silent: the first one's own node decides about it.
#[test]
fn other_nodes_without_an_engine_hold_a_silent_member_up_no_longer_than_its_own() {
    let (mut desired, mut world, mut cluster) = before();
    h4_joins(&mut desired, &mut world, &mut cluster);
    let mut fifth = host(5);
    fifth.swarm = Some(SWARM.into());
    fifth.environments = BTreeSet::from([name("test")]);
    desired.hosts.insert(fifth.name.clone(), fifth);
    cluster.join(5);
    cluster.join(6);
    let both = || silent(silent(World::of(&desired).observed, "h3"), "h5");
    let said = |cluster: &Cluster| {
        let plan = plan_of(&desired, &cluster.seen(both()));
        blocked(&plan).into_iter().map(|(_, hint)| hint.to_owned()).collect::<Vec<_>>()
    };
    let one_of = |nodes: &str| {
        format!(
            "make its engine answer, or label its node: `docker node update --label-add {PROD}=true NODE`, NODE being one \
             of {nodes}"
        )
    };
    assert_eq!(said(&cluster), [one_of("node-3 (h3)")]);
    let mut labelled = cluster.clone();
    label(&mut labelled, "node-3", "true");
    assert_eq!(said(&labelled), Vec::<String>::new(), "what was told to be done helps");
    let mut down = cluster.clone();
    down.swarm.nodes.get_mut("node-3").expect("a node").state = NodeState::Down;
    assert_eq!(said(&down), Vec::<String>::new());
    // Where no node looks like it, it may be any of them; but nobody is led to that of a host for tests (F5).
    let third = cluster.swarm.nodes.get_mut("node-3").expect("a node");
    third.hostname = "ip-3".into();
    assert_eq!(said(&cluster), [one_of("node-3 (ip-3), node-6 (h6)")]);
    label(&mut cluster, "node-3", "true");
    label(&mut cluster, "node-6", "true");
    assert_eq!(said(&cluster), ["make its engine answer"]);
    // By its address it is found again.
    let address = host(3).address;
    cluster.swarm.nodes.get_mut("node-3").expect("a node").address = Some(address);
    assert_eq!(said(&cluster), Vec::<String>::new());
}

/// An engine that is locked or in error tells no id: its node may be any that nobody else is.
#[test]
fn a_member_that_cannot_tell_which_node_it_is_counts_as_silent() {
    let (mut desired, mut world, mut cluster) = before();
    h4_joins(&mut desired, &mut world, &mut cluster);
    let says = |state: &str| {
        let mut observed = cluster.seen(world.observed.clone());
        let Some(Seen::Known(engine)) = observed.hosts.get_mut(&name::<HostName>("h3")) else {
            panic!("unknown")
        };
        let member = engine.info.membership.as_mut().expect("a membership");
        (member.node, member.state) = (String::new(), state.into());
        let plan = plan_of(&desired, &observed);
        (services_changed(&plan), blocked(&plan).len())
    };
    assert_eq!(says("error"), (0, 1));
    assert_eq!(says("inactive"), (1, 0), "it is in no Swarm, and so no node of this one is its");
}

/// The label is planned, and fails: what waits for it goes on waiting (D3, D8).
#[test]
fn a_label_that_could_not_be_written_holds_the_constraint_back() {
    let (mut desired, mut world, mut cluster) = before();
    h4_joins(&mut desired, &mut world, &mut cluster);
    let observed = cluster.seen(world.observed);
    let plan = plan_of(&desired, &observed);
    let failed = plan.changes.iter().find(|change| change.subject.name == "h2").expect("the node's change");
    let wait = Wait { promise: failed.promise(), until: Timestamp(NOW.0 + 1), failed: Some("x".into()) };
    let not_before = BTreeMap::from([(failed.subject.to_string(), wait)]);
    let plan = plan_with(&desired, &observed, &Holds { not_before, ..Holds::default() });
    assert_eq!(services_changed(&plan), 0, "{:#?}", plan.changes);
    let [(reason, hint)] = blocked(&plan)[..] else { panic!("{:#?}", plan.blocked) };
    assert!(reason.ends_with("node h2 has not got it yet"), "{reason}");
    assert!(hint.starts_with("see what is said of the node"), "{hint}");
}

#[test]
fn another_kind_of_service_waits_too_and_what_is_left_alone_is_not_told() {
    let (mut desired, mut world, mut cluster) = before();
    h4_joins(&mut desired, &mut world, &mut cluster);
    world.observed = silent(world.observed, "h3");
    let mut global = desired.clone();
    edit(&mut global, "web-prod", |app| {
        let Runtime::Swarm(service) = &mut app.runtime else { panic!("a service") };
        service.mode = ServiceMode::Global;
    });
    let plan = plan_of(&global, &cluster.seen(world.observed.clone()));
    assert_eq!((services_changed(&plan), blocked(&plan).len()), (0, 1), "{plan:#?}");
    // Whoever leaves the field alone is not asked about it (A6).
    let mut ignoring = desired.clone();
    let app = ignoring.apps.get_mut(&name("web-prod")).expect("an app");
    Arc::make_mut(app).ignore.insert(name::<FieldName>("constraints"));
    edit(&mut ignoring, "web-prod", |app| app.container.image = name("quote:9"));
    let plan = plan_of(&ignoring, &cluster.seen(world.observed.clone()));
    assert_eq!((services_changed(&plan), blocked(&plan).len()), (1, 0), "{plan:#?}");
    // So is whoever is not changed at all.
    desired.detect_only = true;
    let plan = plan_of(&desired, &cluster.seen(world.observed));
    assert_eq!((services_changed(&plan), blocked(&plan).len()), (0, 0), "{plan:#?}");
}

/// Tasks that are held keep their constraints: what is around them waits for no label (D2, D8).
#[test]
fn what_is_around_a_held_rollout_waits_for_no_label() {
    let (mut desired, mut world, mut cluster) = before();
    h4_joins(&mut desired, &mut world, &mut cluster);
    world.observed = silent(world.observed, "h3");
    edit(&mut desired, "web-prod", |app| {
        app.container.image = name("quote:9");
        let Runtime::Swarm(service) = &mut app.runtime else { panic!("a service") };
        service.mode = ServiceMode::Replicated(4);
    });
    let live = cluster.service("web-prod");
    let mut failed = live.spec.clone();
    failed.image = name("quote:9");
    failed.constraints = vec![format!("node.labels.{PROD}==true")];
    cluster::went_back(live, failed);
    let plan = plan_of(&desired, &cluster.seen(world.observed));
    let change = plan.changes.iter().find(|change| change.subject.kind == Kind::Service).expect("an update");
    assert!(matches!(&change.because[..], [mode] if mode.starts_with("mode")), "{:?}", change.because);
    let Action::UpdateService { keep, .. } = &change.steps[0].action else { panic!("{change:#?}") };
    assert!(keep.contains(&name::<FieldName>("constraints")), "{keep:?}");
    let [(reason, _)] = blocked(&plan)[..] else { panic!("{:#?}", plan.blocked) };
    assert!(reason.starts_with("held: Swarm rolled this update back"), "{reason}");
}
