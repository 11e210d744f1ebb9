//! Hosts that are apart from their Swarm, and containers on its networks that cannot be read.

use std::collections::{BTreeMap, BTreeSet};

use super::build::*;
use super::cluster::{Cluster, SWARM};
use super::world::World;
use crate::model::app::App;
use crate::model::container::{Attachment, Networks};
use crate::model::desired::Desired;
use crate::model::drift::Kind;
use crate::model::names::HostName;
use crate::model::network::NetworkDriver;
use crate::model::observed::{Observed, Seen};
use crate::model::plan::{Plan, Verb};
use crate::model::swarm::{NodeState, Task, TaskState};

/// One instance on `h1`, on the Swarm's network `mesh`.
pub(super) fn tied() -> (Desired, World, Cluster) {
    let mut app: App = app("tied-prod", 1);
    app.container.networks = Networks::Named(BTreeMap::from([(name("mesh"), Attachment::default())]));
    let mut desired = desired(1, vec![app]);
    desired.swarms.insert(SWARM.into(), vec![name("h1")]);
    let mesh = network("mesh", NetworkDriver::Overlay);
    desired.networks.insert(mesh.name.clone(), mesh);
    desired.hosts.values_mut().for_each(|host| host.swarm = Some(SWARM.into()));
    let world = World::of(&desired);
    (desired, world, Cluster::new())
}

/// What the engine of `h1` says of its membership.
fn says(observed: &mut Observed, node: &str, state: &str, error: &str) {
    let Some(Seen::Known(engine)) = observed.hosts.get_mut(&name::<HostName>("h1")) else {
        panic!("unknown")
    };
    let member = engine.info.membership.as_mut().expect("a membership");
    (member.node, member.state, member.error) = (node.into(), state.into(), error.into());
}

fn blocked(plan: &Plan, kind: Kind) -> Vec<(&str, &str)> {
    let of_kind = plan.blocked.iter().filter(|blocked| blocked.subject.kind == kind);
    of_kind.map(|blocked| (blocked.reason.as_str(), blocked.hint.as_str())).collect()
}

#[test]
fn nothing_is_attached_on_a_host_that_its_swarm_does_not_list() {
    let (desired, world, cluster) = tied();
    let mut observed = cluster.seen(world.observed);
    assert!(plan_of(&desired, &observed).changes.iter().any(|c| c.subject.kind == Kind::Container));
    says(&mut observed, "node-9", "active", "");
    let plan = plan_of(&desired, &observed);
    let made = plan.changes.iter().filter(|c| c.subject.kind == Kind::Container && c.action == Verb::Create);
    assert_eq!(made.count(), 0, "{:#?}", plan.changes);
    let [(reason, hint)] = blocked(&plan, Kind::Container)[..] else { panic!("{:#?}", plan.blocked) };
    let words =
        "h1 is node node-9 of a Swarm, which this one does not list, and mesh is a network of the Swarm all";
    assert_eq!((reason, hint), (words, "join it, or take `swarm` away from the host"));
}

#[test]
fn a_node_whose_engine_is_locked_or_in_error_is_its_hosts_and_not_to_be_removed() {
    let (desired, world, mut cluster) = tied();
    cluster.swarm.nodes.get_mut("node-1").expect("a node").state = NodeState::Down;
    let told = |state: &str, error: &str| {
        let mut observed = cluster.seen(world.observed.clone());
        says(&mut observed, "", state, error);
        let plan = plan_of(&desired, &observed);
        let of_node = plan.unmanaged.iter().filter(|one| one.subject.kind == Kind::Node).count();
        let hints: BTreeSet<String> = plan.blocked.iter().map(|blocked| blocked.hint.clone()).collect();
        (of_node, plan.notes.join("\n"), hints.into_iter().collect::<Vec<_>>().join("\n"))
    };
    let (removable, notes, hint) = told("locked", "");
    assert!(notes.contains("its host h1 answers, and its engine is locked; unlock it there"), "{notes}");
    assert_eq!((removable, hint.as_str()), (0, "unlock it there with `docker swarm unlock`"));
    let (removable, notes, hint) = told("error", "certificate expired");
    assert!(notes.contains("its engine is error: certificate expired"), "{notes}");
    assert_eq!((removable, hint.as_str()), (0, "mend what its engine says: certificate expired"));
    let (removable, _, hint) = told("pending", "");
    assert_eq!((removable, hint.as_str()), (0, "it is joining: wait for that"));
    // It left: what Swarm keeps of it is nobody's.
    let (removable, _, hint) = told("inactive", "");
    assert_eq!((removable, hint.as_str()), (1, "join it, or take `swarm` away from the host"));
}

#[test]
fn a_container_that_cannot_be_read_is_not_said_to_be_somebodys() {
    let mut fleet = desired(1, vec![leasing(app("quote-prod", 1))]);
    let mut world = World::of(&fleet);
    world.carry_out(&plan_of(&fleet, &world.observed));
    world.settle_networks();
    fleet.networks.clear();
    fleet.apps.clear();
    let unread = Seen::unknown("garbage");
    world.engine_mut("h1").containers.insert(name("quote-prod-0"), unread);
    let plan = plan_of(&fleet, &world.observed);
    let [(reason, hint)] = blocked(&plan, Kind::Network)[..] else { panic!("{:#?}", plan.blocked) };
    assert!(reason.contains("could not be read are still attached to it: quote-prod-0"), "{reason}");
    assert!(!reason.contains("not trueup's") && !hint.contains("disconnect"), "{reason}: {hint}");
}

#[test]
fn what_a_host_could_not_tell_is_not_detached_from_a_network_of_the_swarm() {
    let (mut desired, mut world, mut cluster) = tied();
    let plan = plan_of(&desired, &cluster.seen(world.observed.clone()));
    cluster.carry_out(&plan);
    desired.apps.clear();
    desired.networks.clear();
    let task = Task {
        id: "attached".into(),
        service: None,
        slot: 0,
        node: Some("node-1".into()),
        wanted: TaskState::Running,
        state: TaskState::Running,
        since: NOW,
        error: String::new(),
        exit_code: None,
        container: Some("0123456789abcdef".into()),
        image: String::new(),
        template: None,
        addresses: BTreeMap::from([("mesh".into(), BTreeSet::from([ip("10.0.1.9")]))]),
        published: BTreeSet::new(),
        job_iteration: None,
    };
    cluster.swarm.tasks.insert("attached".into(), task);
    let told = |world: &World| {
        let plan = plan_of(&desired, &cluster.seen(world.observed.clone()));
        let [(reason, hint)] = blocked(&plan, Kind::Network)[..] else { panic!("{:#?}", plan.blocked) };
        (reason.contains("could not be read"), hint.contains("detach it"))
    };
    assert_eq!(told(&world), (false, true));
    world.engine_mut("h1").containers.insert(name("tied-prod-0"), Seen::unknown("garbage"));
    assert_eq!(told(&world), (true, false));
}
