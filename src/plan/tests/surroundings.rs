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
            let had = before.clone().container("h1", container).live.networks.clone();
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
