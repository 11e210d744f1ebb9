//! An instance that may run on a host nobody can ask is started nowhere else, and what else stands for it is nothing to build
//! on (B2, C8).

use super::build::*;
use super::rules::*;
use super::world::World;
use crate::model::app::Replicas;
use crate::model::desired::Desired;
use crate::model::names::HostName;
use crate::model::network::NetworkDriver;
use crate::model::observed::{RunState, Seen};
use crate::model::plan::Blocked;
use crate::model::units::Timestamp;
use crate::plan::Holds;

fn drain(fleet: &mut Desired, host: &str, drain: bool) {
    fleet.hosts.get_mut(&name::<HostName>(host)).expect("a host").drain = drain;
}

/// C8, D5: a move was begun and its answer lost: until the new host answers, the instance goes to no third one.
#[test]
fn what_was_about_to_move_to_a_silent_host_moves_nowhere_else() {
    let mut fleet = desired(3, vec![app("quote-prod", 1)]);
    let world = standing(&fleet);
    drain(&mut fleet, "h1", true);
    assert_eq!(told(&plan_of(&fleet, &world.observed)), ["create quote-prod-0@h2", "remove quote-prod-0@h1"]);
    let both = remembering(&[("quote-prod-0", "h1"), ("quote-prod-0", "h2")]);
    let plan = plan_with(&fleet, &silent(&world, "h2"), &both);
    assert_eq!(told(&plan), [""; 0]);
    assert!(
        plan.notes.iter().any(|n| n.contains("quote-prod-0 was last seen on h2, which is unknown")),
        "{:?}",
        plan.notes
    );
    // Where it may stay it does, and is kept as declared.
    drain(&mut fleet, "h1", false);
    assert_eq!(told(&plan_with(&fleet, &silent(&world, "h2"), &both)), [""; 0]);
    edit(&mut fleet, "quote-prod", mode);
    assert_eq!(told(&plan_with(&fleet, &silent(&world, "h2"), &both)), ["replace quote-prod-0@h1"]);
    // It left git's inventory: the same.
    drain(&mut fleet, "h1", true);
    let gone = remembering(&[("quote-prod-0", "h1"), ("quote-prod-0", "h9")]);
    assert_eq!(told(&plan_with(&fleet, &world.observed, &gone)), [""; 0]);
}

/// C8: of two that may be the instance, the one that was stopped, or never started, is not started beside the other.
#[test]
fn what_does_not_run_is_not_started_while_the_instance_may_run_elsewhere() {
    let exited = RunState::Exited { exit_code: 0, at: Timestamp(5), error: String::new() };
    for app in [app("quote-prod", 1), with_data(app("quote-prod", 1))] {
        let fleet = desired(2, vec![app]);
        let mut world = standing(&fleet);
        for state in [exited.clone(), RunState::Created, RunState::Dead] {
            world.container("h1", "quote-prod-0").state = state;
            for (other, observed) in [("h2", &silent(&world, "h2")), ("h9", &world.observed)] {
                let both = remembering(&[("quote-prod-0", "h1"), ("quote-prod-0", other)]);
                let plan = plan_with(&fleet, observed, &both);
                assert_eq!(told(&plan), [""; 0], "{other}");
                let counts = format!("quote-prod-0 was last seen on {other}, which is");
                assert!(plan.notes.iter().any(|n| n.starts_with(&counts)), "{:?}", plan.notes);
                // No longer declared, it goes all the same.
                let none = desired(2, vec![]);
                let plan = plan_with(&none, observed, &both);
                assert_eq!(told(&plan), ["remove quote-prod-0@h1"]);
            }
            let alone = remembering(&[("quote-prod-0", "h1")]);
            assert!(!told(&plan_with(&fleet, &silent(&world, "h2"), &alone)).is_empty(), "it is healed");
        }
    }
}

/// C8, B2: on every host, the number that was last seen on a host that left is kept, and costs no healthy host its own.
#[test]
fn a_host_that_left_costs_no_other_host_its_instance() {
    let mut everywhere = app("quote-prod", 1);
    place(&mut everywhere).replicas = Replicas::EveryHost;
    let fleet = desired(2, vec![everywhere]);
    let mut world = standing(&fleet);
    world.engine_mut("h1").containers.clear();
    let plan =
        plan_with(&fleet, &world.observed, &remembering(&[("quote-prod-0", "h9"), ("quote-prod-1", "h2")]));
    assert_eq!(told(&plan), ["create quote-prod-2@h1"]);
    assert!(plan.notes.iter().any(|n| n.contains("quote-prod-0 was last seen on h9")), "{:?}", plan.notes);
}

/// B2, C8: a host that git no longer has was left behind, and what it ran may run there for as long as nobody says otherwise.
#[test]
fn what_was_seen_last_on_a_host_that_left_is_started_nowhere_else() {
    let fleet = desired(2, vec![app("quote-prod", 1)]);
    let mut world = standing(&fleet);
    for host in ["h1", "h2"] {
        world.engine_mut(host).containers.clear();
    }
    let plan = plan_with(&fleet, &world.observed, &remembering(&[("quote-prod-0", "h9")]));
    assert_eq!(told(&plan), [""; 0]);
    assert!(
        plan.notes.iter().any(|note| note.contains("h9, which is not declared any more")),
        "{:?}",
        plan.notes
    );
    assert_eq!(
        told(&plan_with(&fleet, &world.observed, &remembering(&[]))).len(),
        1,
        "once a person says so"
    );
}

/// C1, B2: what may run on a host that left may hold any address of a network that hosts share, and none is granted.
#[test]
fn no_address_is_granted_while_one_may_be_held_on_a_host_that_left() {
    let apps = || vec![leasing(app("quote-prod", 1)), leasing(app("other-prod", 1)), app("plain-prod", 1)];
    let mut fleet = desired(2, apps());
    let world = World::of(&fleet);
    let made = |fleet: &Desired, holds: &Holds| {
        let plan = plan_with(fleet, &world.observed, holds);
        let granted = told(&plan).iter().any(|told| told.starts_with("create other-prod-0"));
        let refused =
            |b: &Blocked| b.subject.name == "other-prod-0" && b.reason.contains("h9, which is not declared");
        assert_eq!(plan.blocked.iter().any(refused), !granted, "{:?}", plan.blocked);
        granted
    };
    assert!(made(&fleet, &remembering(&[])));
    assert!(!made(&fleet, &remembering(&[("quote-prod-0", "h9")])));
    assert!(!made(&fleet, &remembering(&[("gone-prod-0", "h9")])), "it may have been on the network");
    assert!(made(&fleet, &remembering(&[("plain-prod-0", "h9")])), "it is not on it");
    // A bridge is its host's own.
    fleet.networks.insert(name("market"), network("market", NetworkDriver::Bridge));
    assert!(made(&fleet, &remembering(&[("quote-prod-0", "h9")])));
}

/// C8: what was moved aside on one host is not the instance while that may run on another one, which is silent or not declared
/// any more: it is neither put back nor moved.
#[test]
fn what_was_moved_aside_is_nothing_to_build_on_while_its_successor_may_run_elsewhere() {
    let mut fleet = desired(3, vec![app("quote-prod", 1)]);
    let mut world = standing(&fleet);
    let mut old = world.container("h1", "quote-prod-0").clone();
    world.engine_mut("h1").containers.clear();
    old.name = name("quote-prod-0.trueup-old");
    world.engine_mut("h1").containers.insert(old.name.clone(), Seen::Known(old));
    let silent = silent(&world, "h2");
    for drained in [false, true] {
        drain(&mut fleet, "h1", drained);
        for (last, observed) in [("h2", &silent), ("h9", &world.observed)] {
            let plan = plan_with(&fleet, observed, &remembering(&[("quote-prod-0", last)]));
            assert_eq!(told(&plan), [""; 0], "drained: {drained}, last seen on {last}");
            let stays =
                format!("quote-prod-0.trueup-old on h1 stays as it is: quote-prod-0 was last seen on {last}");
            assert!(plan.notes.iter().any(|note| note.starts_with(&stays)), "{:?}", plan.notes);
        }
        // Where the last one answers, and has it not, the one aside is all there is.
        let holds = remembering(&[("quote-prod-0", "h2")]);
        assert!(!told(&plan_with(&fleet, &world.observed, &holds)).is_empty());
    }
}
