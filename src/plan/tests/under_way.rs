//! Planning beside changes that have begun (D6): at any of their steps nobody else touches what they are at, and what has
//! to wait for them waits.

use super::build::*;
use super::world::World;
use crate::model::container::{EnvValue, Networks};
use crate::model::desired::Desired;
use crate::model::drift::Kind;
use crate::model::names::{AppKey, Revision};
use crate::model::plan::{Action, Change, Plan, Verb};
use crate::plan::{Begun, Holds};

fn with_mode(fleet: &mut Desired, mode: &str) {
    let mode = EnvValue::Plain(mode.into());
    edit(fleet, "quote-prod", |app| drop(app.container.env.insert("MODE".into(), mode)));
}

/// Three instances that are rolled, beside an app that needs them.
fn rolling() -> (Desired, World, Change) {
    let mut feed = app("feed-prod", 1);
    feed.depends_on.insert(name("quote"));
    let mut fleet = desired(3, vec![leasing(app("quote-prod", 3)), feed]);
    let mut world = World::of(&fleet);
    world.carry_out(&plan_of(&fleet, &world.observed));
    with_mode(&mut fleet, "new");
    let plan = plan_of(&fleet, &world.observed);
    let first = plan.changes.into_iter().find(|c| c.action == Verb::Replace).expect("a replacement");
    assert_eq!(first.subject.name, "quote-prod-0");
    (fleet, world, first)
}

fn beside(fleet: &Desired, world: &World, begun: &Change, of: &Revision) -> Plan {
    let begun = Begun { change: begun.clone(), revision: of.clone(), since: NOW, step: String::new() };
    plan_with(fleet, &world.observed, &Holds { under_way: vec![begun], ..Holds::default() })
}

fn containers(plan: &Plan) -> Vec<String> {
    let all = plan.changes.iter().filter(|change| change.subject.kind == Kind::Container);
    all.map(|change| format!("{} {}", change.action.name(), change.subject.name)).collect()
}

#[test]
fn at_any_step_nobody_else_touches_it_and_its_siblings_wait_d1() {
    let (fleet, world, first) = rolling();
    for count in 0..=first.steps.len() {
        let mut world = world.clone();
        world.carry_out_partly(&first, count);
        let plan = beside(&fleet, &world, &first, &fleet.revision);
        assert_eq!(containers(&plan), Vec::<String>::new(), "after {count} steps");
        assert_eq!(plan.blocked, [], "after {count} steps: nothing is wrong");
        assert_eq!(plan.under_way.len(), 1);
        assert!(plan.drift.iter().any(|d| d.subject == first.subject && d.left_alone.is_none()));
    }
}

#[test]
fn a_sibling_and_a_dependent_that_are_missing_d3_d4() {
    let (fleet, mut world, first) = rolling();
    world.carry_out_partly(&first, first.steps.len() - 2);
    let host =
        world.containers().find(|(_, c)| c.name.as_str() == "quote-prod-2").map(|(h, _)| h.to_string());
    world.engine_mut(&host.expect("it stands")).containers.remove(&name("quote-prod-2"));
    let plan = beside(&fleet, &world, &first, &fleet.revision);
    assert_eq!(containers(&plan), ["create quote-prod-2"], "healing does not wait");
    let host = world.containers().find(|(_, c)| c.name.as_str() == "feed-prod-0").map(|(h, _)| h.to_string());
    world.engine_mut(&host.expect("it stands")).containers.remove(&name("feed-prod-0"));
    let plan = beside(&fleet, &world, &first, &fleet.revision);
    assert_eq!(
        containers(&plan),
        ["create quote-prod-2"],
        "what depends on it waits, and is not told as blocked"
    );
    assert_eq!(plan.blocked, []);
}

#[test]
fn only_another_spec_of_a_newer_revision_overtakes_it_d3() {
    let (mut fleet, mut world, first) = rolling();
    world.carry_out_partly(&first, 4);
    let of = fleet.revision.clone();
    let overtaken = |fleet: &Desired| beside(fleet, &world, &first, &of).under_way[0].overtaken;
    assert!(!overtaken(&fleet));
    fleet.revision = Revision::new("2".repeat(40));
    assert!(!overtaken(&fleet), "the commit does not concern it");
    with_mode(&mut fleet, "newer");
    assert!(overtaken(&fleet));
    fleet.apps.remove(&name::<AppKey>("feed-prod"));
    fleet.apps.remove(&name::<AppKey>("quote-prod"));
    assert!(overtaken(&fleet), "it is not declared any more");
    let plan = beside(&fleet, &world, &first, &of);
    assert!(!containers(&plan).iter().any(|told| told.contains("quote-prod-0")), "{:?}", containers(&plan));
}

/// C1: an address is held from the moment on that its container is about to be created.
#[test]
fn addresses_of_what_is_about_to_be_created_are_held() {
    let fleet = desired(1, vec![leasing(app("quote-prod", 1))]);
    let world = World::of(&fleet);
    let plan = plan_of(&fleet, &world.observed);
    let create = plan.changes.into_iter().find(|c| c.subject.kind == Kind::Container).expect("one");
    let address = |plan: &Plan, of: &str| {
        let mut steps = plan.changes.iter().filter(|c| c.subject.name == of).flat_map(|c| &c.steps);
        steps.find_map(|step| {
            let Action::CreateContainer { spec, .. } = &step.action else { return None };
            let Networks::Named(named) = &spec.networks else { return None };
            named.values().find_map(|attachment| attachment.address)
        })
    };
    // An app that would come first, and would be given the first address.
    let more = desired(1, vec![leasing(app("alpha-prod", 1)), leasing(app("quote-prod", 1))]);
    let alone = plan_of(&more, &world.observed);
    let beside = beside(&more, &world, &create, &fleet.revision);
    let (alone, beside) = (address(&alone, "alpha-prod-0"), address(&beside, "alpha-prod-0"));
    assert!(alone.is_some() && beside.is_some() && alone != beside, "{alone:?} {beside:?}");
}
