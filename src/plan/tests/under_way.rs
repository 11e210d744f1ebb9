//! Planning beside changes that have begun (D6): at any of their steps nobody else touches what they are at, and what has
//! to wait for them waits.

use super::build::*;
use super::cluster::SWARM;
use super::members::tied;
use super::services::{settled, with_file_on_mesh};
use super::world::World;
use crate::model::app::{Replicas, Runtime, SwarmService};
use crate::model::container::{EnvValue, Networks};
use crate::model::desired::Desired;
use crate::model::drift::Kind;
use crate::model::names::{AppKey, HostName, Revision};
use crate::model::observed::{Observed, Seen};
use crate::model::plan::{Action, Change, Plan, Verb};
use crate::model::service::ServiceMode;
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
    plan_beside(fleet, &world.observed, begun, of, Holds::default())
}

fn plan_beside(fleet: &Desired, observed: &Observed, begun: &Change, of: &Revision, holds: Holds) -> Plan {
    let begun = Begun { change: begun.clone(), revision: of.clone(), since: NOW, step: String::new() };
    plan_with(fleet, observed, &Holds { under_way: vec![begun], ..holds })
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
    // What may not be carried out overtakes nothing.
    let mut held = fleet.clone();
    held.detect_only = true;
    assert!(!overtaken(&held), "detect-only");
    let mut held = fleet.clone();
    edit(&mut held, "quote-prod", |app| app.detect_only = true);
    assert!(!overtaken(&held), "detect-only");
    let mut held = fleet.clone();
    edit(&mut held, "quote-prod", |app| app.container.image = name("quote:2"));
    assert!(!overtaken(&held), "its image is not there yet");
    let paused = Holds { paused: [(name("quote-prod"), "by hand".to_owned())].into(), ..Holds::default() };
    assert!(!plan_beside(&fleet, &world.observed, &first, &of, paused).under_way[0].overtaken, "paused");
    let mut gone = fleet.clone();
    gone.apps.remove(&name::<AppKey>("feed-prod"));
    gone.apps.remove(&name::<AppKey>("quote-prod"));
    assert!(!overtaken(&gone), "nothing is declared any more, and that is held (B3)");
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

/// D1, D4: what is under way on a host that nobody can ask still counts.
#[test]
fn on_a_host_that_went_unknown_siblings_and_dependents_wait() {
    let (fleet, mut world, first) = rolling();
    world.carry_out_partly(&first, 4);
    let on = first.host().expect("a host").clone();
    let feed = world.containers().find(|(_, c)| c.name.as_str() == "feed-prod-0").map(|(h, _)| h.to_string());
    let feed = feed.expect("it stands");
    assert_ne!(feed, on.to_string(), "the test wants it elsewhere");
    world.engine_mut(&feed).containers.remove(&name("feed-prod-0"));
    let mut observed = world.observed.clone();
    observed.hosts.insert(on.clone(), Seen::Unknown { why: "no answer".into() });
    for last_seen in [[(name("quote-prod-0"), on)].into_iter().collect(), Default::default()] {
        let holds = Holds { last_seen, memory_complete: true, ..Holds::default() };
        let plan = plan_beside(&fleet, &observed, &first, &fleet.revision, holds);
        assert_eq!(containers(&plan), Vec::<String>::new());
        assert_eq!(plan.under_way.len(), 1);
    }
}

fn other_gateway(fleet: &mut Desired) {
    fleet.networks.get_mut(&name("market")).expect("declared").spec.gateway = Some(ip("192.0.2.2"));
}

/// C1: while a network is made anew its containers are left alone, and their addresses stay theirs.
#[test]
fn containers_of_a_network_that_is_made_anew_wait() {
    let mut fleet = desired(1, vec![leasing(app("quote-prod", 2))]);
    let mut world = World::of(&fleet);
    world.carry_out(&plan_of(&fleet, &world.observed));
    other_gateway(&mut fleet);
    let plan = plan_of(&fleet, &world.observed);
    let renewed = plan.changes.into_iter().find(|c| c.subject.kind == Kind::Network).expect("a network");
    assert!(renewed.steps.len() >= 6, "{:?}", renewed.steps);
    with_mode(&mut fleet, "new");
    let mut more = leasing(app("alpha-prod", 1));
    more.container.image = name("quote:1");
    fleet.apps.insert(more.key.clone(), more.into());
    for count in 0..=renewed.steps.len() {
        let mut world = world.clone();
        world.carry_out_partly(&renewed, count);
        let plan = beside(&fleet, &world, &renewed, &fleet.revision);
        let told = containers(&plan);
        assert!(!told.iter().any(|told| told.contains("quote-prod")), "after {count} steps: {told:?}");
        assert!(!plan.changes.iter().any(|c| c.subject.kind == Kind::Network), "after {count} steps");
        assert_eq!(plan.blocked, [], "after {count} steps");
        let theirs: Vec<_> = renewed
            .steps
            .iter()
            .filter_map(|step| {
                if let Action::Connect { attachment, .. } = &step.action { attachment.address } else { None }
            })
            .collect();
        assert_eq!(theirs.len(), 2);
        for step in plan.changes.iter().flat_map(|c| &c.steps) {
            let Action::CreateContainer { spec, .. } = &step.action else { continue };
            let Networks::Named(named) = &spec.networks else { continue };
            let taken = named.values().any(|a| a.address.is_some_and(|address| theirs.contains(&address)));
            assert!(!taken, "after {count} steps an address of theirs is given away");
        }
    }
}

/// C1: a network is not made anew under a container that is half way through its own change.
#[test]
fn a_network_waits_for_the_containers_that_are_at_it() {
    let (mut fleet, world, first) = rolling();
    other_gateway(&mut fleet);
    let on: &HostName = first.host().expect("a host");
    for count in 0..=first.steps.len() {
        let mut world = world.clone();
        world.carry_out_partly(&first, count);
        let plan = beside(&fleet, &world, &first, &fleet.revision);
        let networks = plan.changes.iter().filter(|c| c.subject.kind == Kind::Network);
        let on_it = networks.filter(|c| c.subject.host.as_ref() == Some(on));
        assert_eq!(on_it.count(), 0, "after {count} steps");
        assert_eq!(plan.blocked, [], "after {count} steps: nobody has to detach anything");
    }
    let removed = Change { action: Verb::Remove, to: None, ..first.clone() };
    fleet.networks.clear();
    fleet.apps.clear();
    // All of it goes by a person's leave (B3).
    let approved = plan_of(&fleet, &world.observed).held.iter().map(Change::promise).collect();
    let holds = Holds { approved, ..Holds::default() };
    let takes_it_away = |plan: &Plan| {
        let mut networks = plan.changes.iter().filter(|c| c.subject.kind == Kind::Network);
        networks.any(|c| c.subject.host.as_ref() == Some(on))
    };
    assert!(takes_it_away(&plan_with(&fleet, &world.observed, &holds)), "with nothing beside it");
    let plan = plan_beside(&fleet, &world.observed, &removed, &fleet.revision, holds);
    assert!(!takes_it_away(&plan), "{:#?}", plan.changes);
}

/// C8: what is being made on a host counts as standing there, be it seen yet or not.
#[test]
fn what_is_being_made_has_its_seat_where_it_is_made() {
    for replicas in [Replicas::EveryHost, Replicas::Count(2)] {
        let mut guard = app("guard-prod", 2);
        (place(&mut guard).replicas, place(&mut guard).one_per_host) = (replicas, true);
        let mut fleet = desired(2, vec![guard]);
        let first = fleet.hosts.remove(&name::<HostName>("h1")).expect("declared");
        let plan = plan_of(&fleet, &World::of(&fleet).observed);
        let made =
            plan.changes.into_iter().find(|c| c.action == Verb::Create && c.subject.kind == Kind::Container);
        let made = made.expect("a creation");
        assert_eq!(made.subject.to_string(), "container guard-prod-0 on h2");
        // h1 is there again, and would be given the first slot.
        fleet.hosts.insert(first.name.clone(), first);
        let world = World::of(&fleet);
        let told = |plan: &Plan| {
            let created =
                plan.changes.iter().filter(|c| c.action == Verb::Create && c.subject.kind == Kind::Container);
            created.map(|c| c.subject.to_string()).collect::<Vec<_>>()
        };
        let alone = ["container guard-prod-0 on h1", "container guard-prod-1 on h2"];
        assert_eq!(told(&plan_of(&fleet, &world.observed)), alone);
        let plan = beside(&fleet, &world, &made, &fleet.revision);
        assert_eq!(told(&plan), ["container guard-prod-1 on h1"], "one on each host");
    }
}

/// C1: the same of a network that the managers of a Swarm make.
#[test]
fn a_network_of_a_swarm_waits_for_the_containers_that_are_at_it() {
    let (mut fleet, world, mut cluster) = tied();
    cluster.carry_out(&plan_of(&fleet, &cluster.seen(world.observed.clone())));
    let observed = cluster.seen(world.observed);
    let plan = plan_of(&fleet, &observed);
    let made = plan.changes.into_iter().find(|c| c.subject.kind == Kind::Container).expect("an instance");
    fleet.networks.clear();
    edit(&mut fleet, "tied-prod", |app| app.container.networks = Networks::Default);
    let networks = |plan: &Plan| plan.changes.iter().filter(|c| c.subject.kind == Kind::Network).count();
    assert_eq!(networks(&plan_of(&fleet, &observed)), 1, "with nothing beside it");
    let plan = plan_beside(&fleet, &observed, &made, &fleet.revision, Holds::default());
    assert_eq!(networks(&plan), 0, "{:#?}", plan.changes);
}

/// D5: what the undo of a change would need is not collected while the change is under way.
#[test]
fn what_an_undo_brings_back_keeps_its_config_and_network() {
    let (mut fleet, world, mut cluster) = settled(vec![with_file_on_mesh()]);
    edit(&mut fleet, "web-prod", |app| {
        app.runtime = Runtime::Swarm(SwarmService::new(SWARM, ServiceMode::Global));
        app.container.files.clear();
        app.container.networks = Networks::Default;
    });
    fleet.networks.clear();
    let observed = cluster.seen(world.observed.clone());
    let plan = plan_of(&fleet, &observed);
    let [change] = plan.changes.as_slice() else { panic!("{:#?}", plan.changes) };
    // The old service is gone, and the new one is not made yet.
    cluster.swarm.services.clear();
    cluster.swarm.tasks.clear();
    let observed = cluster.seen(world.observed);
    let collected = |plan: &Plan| {
        let kinds = [Kind::Config, Kind::Network];
        plan.changes.iter().filter(|c| kinds.contains(&c.subject.kind)).count()
    };
    assert_eq!(collected(&plan_of(&fleet, &observed)), 2, "with nothing beside it");
    let plan = plan_beside(&fleet, &observed, change, &fleet.revision, Holds::default());
    assert_eq!(collected(&plan), 0, "{:#?}", plan.changes);
}
