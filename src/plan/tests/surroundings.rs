//! What instances need around them: images, volumes and networks, one rule at a time.

use std::collections::BTreeMap;

use super::build::*;
use super::rules::*;
use super::world::World;
use crate::model::app::PullPolicy;
use crate::model::drift::Kind;
use crate::model::network::VolumeSpec;
use crate::model::observed::{LiveVolume, Seen};
use crate::model::plan::{Change, Plan, Verb};

#[test]
fn a_volume_that_is_not_ours_is_not_written_into_b1() {
    let mut world = standing(&desired(1, vec![app("quote-prod", 1)]));
    let fleet = desired(1, vec![app("quote-prod", 1), with_data(app("web-prod", 1))]);
    let spec = VolumeSpec { driver: "local".into(), options: BTreeMap::new() };
    let volume = LiveVolume { name: name("data"), spec, labels: BTreeMap::new() };
    world.engine_mut("h1").volumes.insert(name("data"), Seen::Known(volume));
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), Vec::<String>::new());
    assert!(plan.unmanaged.iter().any(|u| u.collides && u.subject.name == "data"), "{:?}", plan.unmanaged);
    assert!(reasons(&plan).contains("the volume data is there and not ours"), "{}", reasons(&plan));
    // As it is wanted, or taken over.
    let mut external = fleet.clone();
    edit(&mut external, "web-prod", |app| {
        app.volumes.values_mut().for_each(|volume| volume.external = true);
    });
    assert_eq!(told(&plan_of(&external, &world.observed)), ["create web-prod-0@h1"]);
}

#[test]
fn a_volume_that_a_dead_driver_may_hide_is_not_made_anew_a1() {
    let mut world = standing(&desired(1, vec![app("quote-prod", 1)]));
    let fleet = desired(1, vec![app("quote-prod", 1), with_data(app("web-prod", 1))]);
    world.engine_mut("h1").volumes_hidden = Some("GET /volumes warns: driver down".into());
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!((told(&plan), plan.changes.len()), (vec![], 0));
    assert!(reasons(&plan).contains("volume data is unknown: GET /volumes warns"), "{}", reasons(&plan));
    world.engine_mut("h1").volumes_hidden = None;
    assert_eq!(told(&plan_of(&fleet, &world.observed)), ["create web-prod-0@h1"]);
}

#[test]
fn images_are_pulled_where_a_container_is_made_and_only_there() {
    let fleet = desired(2, vec![app("quote-prod", 2)]);
    let mut world = World::of(&fleet);
    let plan = plan_of(&fleet, &world.observed);
    let pulls = |plan: &Plan| plan.changes.iter().filter(|c| c.subject.kind == Kind::Image).count();
    assert_eq!(pulls(&plan), 2);
    world.carry_out(&plan);
    // The tag was taken off by hand; what runs is still what was declared.
    world.engine_mut("h1").images.values_mut().for_each(|image| image.tags.clear());
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!((pulls(&plan), told(&plan).len()), (0, 0));

    let mut never = app("quote-prod", 1);
    never.pull = PullPolicy::Never;
    let fleet = desired(1, vec![never]);
    let plan = plan_of(&fleet, &World::of(&fleet).observed);
    assert_eq!((pulls(&plan), told(&plan).len()), (0, 0));
    assert!(reasons(&plan).contains("pull = \"never\""), "{}", reasons(&plan));
}

#[test]
fn a_rollout_waits_for_the_pulls_of_all_its_hosts_and_healing_for_its_own_d1_d6() {
    let mut fleet = desired(2, vec![app("quote-prod", 2)]);
    let mut world = standing(&fleet);
    edit(&mut fleet, "quote-prod", |app| {
        app.container.image = "registry.example/quote:2".parse().expect("image")
    });
    let waits = |plan: &Plan, wanted: Verb| -> Vec<usize> {
        let is_pull = |n: &&usize| plan.changes[**n].subject.kind == Kind::Image;
        let of = |c: &&Change| c.subject.kind == Kind::Container && c.action == wanted;
        plan.changes.iter().filter(of).map(|c| c.after.iter().filter(is_pull).count()).collect()
    };
    assert_eq!(waits(&plan_of(&fleet, &world.observed), Verb::Replace), [2, 2]);
    // One of the two is gone: making it again waits for its own host's pull alone.
    world.engine_mut("h1").containers.clear();
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!((waits(&plan, Verb::Create), waits(&plan, Verb::Replace)), (vec![1], vec![2]));
}

#[test]
fn a_network_is_made_anew_only_when_all_on_it_are_ours() {
    let mut fleet = desired(1, vec![leasing(app("quote-prod", 2))]);
    let mut world = standing(&fleet);
    fleet.networks.values_mut().for_each(|n| drop(n.spec.labels.insert("purpose".into(), "quotes".into())));
    let mut shared = world.clone();
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(plan.changes.iter().map(words).collect::<Vec<_>>(), ["replace market@h1"]);
    world.carry_out(&plan);
    assert_eq!(plan_of(&fleet, &world.observed).changes, []);
    shared.foreign("h1", "someones", Some(ip("192.0.2.99")));
    shared.settle_networks();
    let plan = plan_of(&fleet, &shared.observed);
    assert_eq!(plan.changes, []);
    assert!(reasons(&plan).contains("someones"), "{}", reasons(&plan));
}

#[test]
fn a_network_that_cannot_be_made_anew_is_put_back_with_all_who_were_on_it() {
    let mut fleet = desired(1, vec![leasing(app("quote-prod", 2))]);
    let before = standing(&fleet);
    fleet.networks.values_mut().for_each(|n| drop(n.spec.labels.insert("purpose".into(), "quotes".into())));
    let plan = plan_of(&fleet, &before.observed);
    let [change] = plan.changes.as_slice() else { panic!("{:?}", plan.changes) };
    for count in 0..=change.steps.len() {
        let mut world = before.clone();
        world.carry_out_partly(change, count);
        world.undo(change);
        for container in ["quote-prod-0", "quote-prod-1"] {
            let mut had = before.clone().container("h1", container).live.networks.clone();
            had.values_mut().for_each(|a| a.network = world.network_id("h1", "market"));
            assert_eq!(
                world.container("h1", container).live.networks,
                had,
                "{container} after {count} steps"
            );
        }
    }
}

#[test]
fn an_undeclared_network_is_told_with_the_strangers_that_keep_it() {
    let mut fleet = desired(1, vec![leasing(app("quote-prod", 1))]);
    let mut world = standing(&fleet);
    world.foreign("h1", "someones", Some(ip("192.0.2.99")));
    world.settle_networks();
    fleet.apps.clear();
    fleet.networks.clear();
    let told = reasons(&plan_of(&fleet, &world.observed));
    assert!(told.contains("someones") && !told.contains("quote-prod-0"), "{told}");
}

/// On `inner`, a bridge that trueup makes on each host.
fn on_inner(app_name: &str) -> crate::model::desired::Desired {
    use crate::model::container::{Attachment, Networks};
    use crate::model::network::NetworkDriver;
    let mut on = app(app_name, 1);
    on.container.networks = Networks::Named(BTreeMap::from([(name("inner"), Attachment::default())]));
    let mut fleet = desired(1, vec![on]);
    fleet.networks.insert(name("inner"), network("inner", NetworkDriver::Bridge));
    fleet
}

fn stop(world: &mut World, container: &str) {
    fail(world, "h1", container);
    world.container("h1", container).live.networks.values_mut().for_each(|a| a.address = None);
    world.settle_networks();
}

/// A4: a stopped instance whose network was taken away, or made anew, is put on what is there and started after that is: an
/// engine would look for the one that it was on.
#[test]
fn a_stopped_instance_is_put_on_the_network_that_is_there() {
    let fleet = on_inner("quote-prod");
    let world = standing(&fleet);
    let id = world.clone().container("h1", "quote-prod-0").id.clone();
    for made_again in [false, true] {
        let mut world = world.clone();
        stop(&mut world, "quote-prod-0");
        let networks = &mut world.engine_mut("h1").networks;
        match networks.remove("inner").expect("the network") {
            Seen::Known(mut other) if made_again => {
                other.id = "another".to_owned();
                networks.insert("inner".into(), Seen::Known(other));
            }
            Seen::Known(_) | Seen::Unknown { .. } => {}
        }
        world.settle_networks();
        let plan = plan_of(&fleet, &world.observed);
        let all: Vec<String> = plan.changes.iter().map(words).collect();
        let expected = ["create inner@h1", "update quote-prod-0@h1"];
        assert_eq!(all, expected[usize::from(made_again)..], "{all:?}");
        let update = plan.changes.last().expect("a change");
        assert_eq!(update.after, (0..plan.changes.len() - 1).collect::<Vec<_>>(), "its network comes first");
        assert!(update.because[0].contains("(of a network that is gone)"), "{:?}", update.because);
        world.carry_out(&plan);
        let container = world.container("h1", "quote-prod-0");
        assert!(container.state.is_running() && container.id == id, "it went on (D8)");
        assert_eq!(plan_of(&fleet, &world.observed).changes, []);
    }
}

/// What never ran is on no network yet: its start alone waits for the network.
#[test]
fn a_start_waits_for_its_network() {
    let fleet = on_inner("quote-prod");
    let mut world = standing(&fleet);
    let container = world.container("h1", "quote-prod-0");
    container.state = crate::model::observed::RunState::Created;
    container.live.networks.values_mut().for_each(|a| (a.network, a.address) = (None, None));
    world.engine_mut("h1").networks.clear();
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(
        plan.changes.iter().map(words).collect::<Vec<_>>(),
        ["create inner@h1", "start quote-prod-0@h1"]
    );
    assert_eq!(plan.changes[1].after, [0]);
    world.carry_out(&plan);
    assert_eq!(plan_of(&fleet, &world.observed).changes, []);
}

/// B6: what an earlier release saved tells of no such id, and nothing differs by that.
#[test]
fn an_attachment_of_an_earlier_release_is_no_drift() {
    let fleet = on_inner("quote-prod");
    let mut world = standing(&fleet);
    stop(&mut world, "quote-prod-0");
    world.container("h1", "quote-prod-0").live.networks.values_mut().for_each(|a| a.network = None);
    assert_eq!(told(&plan_of(&fleet, &world.observed)), ["start quote-prod-0@h1"]);
}

/// B1: somebody's container that is stopped could not be started without its network: it is neither made anew nor removed.
/// Ours is taken along.
#[test]
fn who_is_stopped_is_on_its_network_all_the_same() {
    let mut fleet = on_inner("quote-prod");
    let mut world = standing(&fleet);
    world.foreign("h1", "backup", None);
    let inner = world.container("h1", "quote-prod-0").live.networks.clone();
    world.container("h1", "backup").live.networks = inner;
    for container in ["backup", "quote-prod-0"] {
        stop(&mut world, container);
    }
    let inner = fleet.networks.get_mut(&name::<crate::model::names::NetworkName>("inner")).expect("inner");
    inner.spec.labels.insert("purpose".into(), "quotes".into());
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), ["start quote-prod-0@h1"]);
    assert_eq!(plan.changes.len(), 1, "the network stays");
    let why = reasons(&plan);
    assert!(why.contains("backup (stopped), which is not a declared instance, is attached to it"), "{why}");

    // Git wants none.
    let none = desired(1, vec![]);
    let gone = plan_of(&none, &world.observed);
    let network = |change: &&Change| change.subject.kind == Kind::Network;
    assert_eq!(gone.changes.iter().filter(network).count(), 0);
    assert!(reasons(&gone).contains("still attached to it: backup (stopped)"), "{}", reasons(&gone));

    // Without it, the network is made anew, and ours starts on the new one.
    world.engine_mut("h1").containers.remove(&name::<crate::model::names::ContainerName>("backup"));
    world.settle_networks();
    let plan = plan_of(&fleet, &world.observed);
    let all: Vec<String> = plan.changes.iter().map(words).collect();
    assert_eq!(all, ["replace inner@h1", "start quote-prod-0@h1"]);
    assert!(!plan.changes[0].interrupts, "nobody is on it who runs");
    assert_eq!(plan.changes[1].after, [0]);
    world.carry_out(&plan);
    assert_eq!(plan_of(&fleet, &world.observed).changes, []);
}
