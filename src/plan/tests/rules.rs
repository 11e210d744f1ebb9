//! One rule at a time, on fleets small enough to read.

use std::collections::{BTreeMap, BTreeSet};

use super::build::*;
use super::world::World;
use crate::model::app::{App, HostSelector, Replicas};
use crate::model::container::{EnvValue, Port, Protocol};
use crate::model::desired::Desired;
use crate::model::drift::{Kind, Nature};
use crate::model::file::{FileSet, Rendered};
use crate::model::names::{ContainerName, EnvironmentName, HostName};
use crate::model::observed::{Health, RunState, Seen};
use crate::model::plan::{Change, Plan, Verb};
use crate::model::units::{ByteSize, Timestamp};
use crate::plan::{Holds, admit};

/// `verb name@host`, in the plan's order, for containers alone.
pub(super) fn told(plan: &Plan) -> Vec<String> {
    let containers = plan.changes.iter().filter(|c| c.subject.kind == Kind::Container);
    containers.map(words).collect()
}

pub(super) fn words(change: &Change) -> String {
    let host = change.subject.host.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{} {}@{host}", change.action.name(), change.subject.name)
}

pub(super) fn reasons(plan: &Plan) -> String {
    plan.blocked.iter().map(|b| format!("{}: {}\n", b.subject, b.reason)).collect()
}

/// A fleet that is as declared.
pub(super) fn standing(desired: &Desired) -> World {
    let mut world = World::of(desired);
    let plan = plan_of(desired, &world.observed);
    assert!(!plan.changes.is_empty());
    world.carry_out(&plan);
    assert_eq!(told(&plan_of(desired, &world.observed)), Vec::<String>::new());
    world
}

pub(super) fn mode(app: &mut App) {
    app.container.env.insert("MODE".into(), EnvValue::Plain("new".into()));
}

pub(super) fn fail(world: &mut World, host: &str, container: &str) {
    let container = world.container(host, container);
    container.state = RunState::Exited { exit_code: 1, at: Timestamp(5), error: String::new() };
}

pub(super) fn silent(world: &World, host: &str) -> crate::model::observed::Observed {
    let mut observed = world.observed.clone();
    observed.hosts.insert(name(host), Seen::unknown("no answer"));
    observed
}

pub(super) fn hosts_of(world: &World, hosts: u8) -> Vec<usize> {
    (1..=hosts).map(|n| world.names(&format!("h{n}")).len()).collect()
}

// ---- placement

#[test]
fn instances_are_spread_over_zones_then_hosts() {
    let mut quote = app("quote-prod", 4);
    place(&mut quote).spread = Some("zone".into());
    // h1 and h3 are in zone a, h2 alone is in b.
    let world = standing(&desired(3, vec![quote]));
    assert_eq!(hosts_of(&world, 3), [1, 2, 1]);
}

#[test]
fn what_stands_legally_stays_when_hosts_come_c8() {
    let quote = app("quote-prod", 3);
    let world = standing(&desired(1, vec![quote.clone()]));
    let wider = desired(3, vec![quote]);
    let mut observed = World::of(&wider).observed;
    observed.hosts.insert(name("h1"), Seen::Known(world.engine(&name("h1")).clone()));
    assert_eq!(told(&plan_of(&wider, &observed)), Vec::<String>::new());
}

#[test]
fn capacity_ports_and_names_decide_who_fits() {
    let mut quote = app("quote-prod", 3);
    place(&mut quote).demand.memory = Some(ByteSize(2 << 30));
    let mut fleet = desired(2, vec![quote]);
    for host in fleet.hosts.values_mut() {
        host.capacity.memory = Some(ByteSize(3 << 30));
    }
    let plan = plan_of(&fleet, &World::of(&fleet).observed);
    assert_eq!(told(&plan), ["create quote-prod-0@h1", "create quote-prod-1@h2"]);
    assert!(reasons(&plan).contains("no memory left"), "{}", reasons(&plan));

    let mut web = app("web-prod", 2);
    web.container.ports =
        BTreeSet::from([Port { container: 80, protocol: Protocol::Tcp, host: Some(80), address: None }]);
    let fleet = desired(2, vec![web]);
    let mut world = World::of(&fleet);
    world.foreign("h1", "someones", None);
    let taken = fleet.apps[&name("web-prod")].container.ports.clone();
    world.container("h1", "someones").live.ports = taken;
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), ["create web-prod-0@h2"]);
    assert!(reasons(&plan).contains("port 80:80/tcp is taken"), "{}", reasons(&plan));
}

#[test]
fn one_on_every_host_and_never_two() {
    let mut agent = app("agent-prod", 0);
    place(&mut agent).replicas = Replicas::EveryHost;
    let mut fleet = desired(3, vec![agent]);
    let world = standing(&fleet);
    assert_eq!(hosts_of(&world, 3), [1, 1, 1]);
    fleet.hosts.get_mut(&name::<HostName>("h2")).expect("a host").drain = true;
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), ["remove agent-prod-1@h2"]);

    let mut quote = app("quote-prod", 2);
    let one = standing(&desired(1, vec![quote.clone()]));
    place(&mut quote).one_per_host = true;
    let fleet = desired(2, vec![quote]);
    let mut observed = World::of(&fleet).observed;
    observed.hosts.insert(name("h1"), Seen::Known(one.engine(&name("h1")).clone()));
    assert_eq!(told(&plan_of(&fleet, &observed)), ["create quote-prod-1@h2", "remove quote-prod-1@h1"]);
}

#[test]
fn environments_and_selectors_are_kept_f5() {
    let mut quote = app("quote-test", 1);
    place(&mut quote).hosts = HostSelector::Labels(BTreeMap::from([("zone".into(), "b".into())]));
    let mut fleet = desired(3, vec![quote]);
    assert_eq!(told(&plan_of(&fleet, &World::of(&fleet).observed)), ["create quote-test-0@h2"]);
    let h2 = fleet.hosts.get_mut(&name::<HostName>("h2")).expect("a host");
    h2.environments.remove(&name::<EnvironmentName>("test"));
    let plan = plan_of(&fleet, &World::of(&fleet).observed);
    assert_eq!(told(&plan), Vec::<String>::new());
    assert!(reasons(&plan).contains("no host serves its environment"), "{}", reasons(&plan));
}

#[test]
fn a_drained_host_is_left_but_data_stays_b5() {
    for (app, expected) in [
        (leasing(app("quote-prod", 1)), vec!["create quote-prod-0@h2", "remove quote-prod-0@h1"]),
        (with_data(app("quote-prod", 1)), vec![]),
    ] {
        let mut fleet = desired(2, vec![app]);
        let mut world = standing(&fleet);
        fleet.hosts.get_mut(&name::<HostName>("h1")).expect("a host").drain = true;
        let plan = plan_of(&fleet, &world.observed);
        assert_eq!(told(&plan), expected);
        assert_eq!(plan.blocked.len(), usize::from(expected.is_empty()), "{}", reasons(&plan));
        world.carry_out(&plan);
        assert_eq!(told(&plan_of(&fleet, &world.observed)), Vec::<String>::new());
    }
}

/// C1, C7: the old one is gone before the new one starts, in a plan of its own.
#[test]
fn an_exclusive_slot_or_a_fixed_address_leaves_first() {
    let mut exclusive = app("quote-prod", 1);
    place(&mut exclusive).exclusive = true;
    for app in [exclusive, fixed(app("quote-prod", 1), &["192.0.2.10"])] {
        let mut fleet = desired(2, vec![app]);
        let mut world = standing(&fleet);
        fleet.hosts.get_mut(&name::<HostName>("h1")).expect("a host").drain = true;
        let plan = plan_of(&fleet, &world.observed);
        assert_eq!(told(&plan), ["remove quote-prod-0@h1"]);
        assert!(plan.changes.iter().any(|c| c.interrupts && !c.destructive));
        world.carry_out(&plan);
        let plan = plan_of(&fleet, &world.observed);
        assert_eq!(told(&plan), ["create quote-prod-0@h2"]);
        world.carry_out(&plan);
    }
}

// ---- addresses

#[test]
fn a_lease_is_kept_and_the_lowest_free_address_is_granted() {
    let fleet = desired(2, vec![leasing(app("quote-prod", 2))]);
    let mut world = standing(&fleet);
    let address = |world: &mut World, host: &str, container: &str| {
        world.container(host, container).live.networks["market"].requested.map(|a| a.to_string())
    };
    // 192.0.2.64 is reserved.
    assert_eq!(address(&mut world, "h1", "quote-prod-0").as_deref(), Some("192.0.2.65"));
    assert_eq!(address(&mut world, "h2", "quote-prod-1").as_deref(), Some("192.0.2.66"));
    // A stopped stranger on another host asked for the next one: it may come back with it (C4).
    world.foreign("h1", "someones", Some(ip("192.0.2.67")));
    fail(&mut world, "h1", "someones");
    let mut fleet = desired(2, vec![leasing(app("quote-prod", 3))]);
    edit(&mut fleet, "quote-prod", mode);
    let plan = plan_of(&fleet, &world.observed);
    world.carry_out(&plan);
    assert_eq!(address(&mut world, "h1", "quote-prod-0").as_deref(), Some("192.0.2.65"));
    assert_eq!(address(&mut world, "h2", "quote-prod-1").as_deref(), Some("192.0.2.66"));
    let third = if world.names("h1").len() == 3 { "h1" } else { "h2" };
    assert_eq!(address(&mut world, third, "quote-prod-2").as_deref(), Some("192.0.2.68"));
}

#[test]
fn an_address_that_someone_else_has_is_not_given_again_c1() {
    let fleet = desired(2, vec![leasing(app("other-prod", 1)), fixed(app("quote-prod", 1), &["192.0.2.10"])]);
    let network = desired(2, vec![leasing(app("other-prod", 1))]);
    let mut world = standing(&network);
    world.foreign("h1", "someones", Some(ip("192.0.2.10")));
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), Vec::<String>::new());
    assert!(reasons(&plan).contains("192.0.2.10 is held by someones on h1"), "{}", reasons(&plan));
}

#[test]
fn nothing_new_is_granted_while_someone_cannot_be_asked_c1() {
    let fleet = desired(2, vec![leasing(app("quote-prod", 1))]);
    let world = standing(&fleet);
    let wider = desired(2, vec![leasing(app("quote-prod", 2))]);
    let complete = Holds { memory_complete: true, ..Holds::default() };
    let plan = plan_with(&wider, &silent(&world, "h2"), &complete);
    assert_eq!(told(&plan), Vec::<String>::new());
    assert!(reasons(&plan).contains("while h2 is unknown"), "{}", reasons(&plan));

    let mut observed = world.observed.clone();
    if let Some(Seen::Known(engine)) = observed.hosts.get_mut(&name::<HostName>("h2")) {
        engine.containers.insert(name("mystery"), Seen::unknown("inspect failed"));
    }
    let plan = plan_with(&wider, &observed, &complete);
    assert_eq!(told(&plan), Vec::<String>::new());
    assert!(reasons(&plan).contains("mystery on h2 cannot be read"), "{}", reasons(&plan));
}

// ---- the unknown

#[test]
fn a_silent_host_keeps_its_instances_and_delays_nobody_c8() {
    let fleet = desired(2, vec![app("quote-prod", 2)]);
    let mut world = standing(&fleet);
    let holds = remembering(&[("quote-prod-0", "h1"), ("quote-prod-1", "h2")]);
    world.engine_mut("h1").containers.remove(&name::<ContainerName>("quote-prod-0"));
    let observed = silent(&world, "h2");
    assert_eq!(told(&plan_with(&fleet, &observed, &holds)), ["create quote-prod-0@h1"]);
    // With nothing remembered, both may stand on h2.
    let plan = plan_of(&fleet, &observed);
    assert_eq!(told(&plan), Vec::<String>::new());
    assert_eq!(plan.unknown.len(), 1);
    assert_eq!(plan.notes.len(), 2, "{:?}", plan.notes);
}

#[test]
fn a_container_that_cannot_be_read_is_present_and_untouched_a1() {
    let mut fleet = desired(2, vec![app("quote-prod", 2)]);
    let world = standing(&fleet);
    edit(&mut fleet, "quote-prod", mode);
    let mut observed = world.observed.clone();
    if let Some(Seen::Known(engine)) = observed.hosts.get_mut(&name::<HostName>("h1")) {
        engine.containers.insert(name("quote-prod-0"), Seen::unknown("inspect failed"));
    }
    let plan = plan_of(&fleet, &observed);
    assert_eq!(told(&plan), ["replace quote-prod-1@h2"]);
    assert_eq!(plan.unknown.len(), 1);
}

// ---- ownership

#[test]
fn a_stranger_in_the_way_is_told_and_adopted_only_on_request_b4() {
    let mut fleet = desired(2, vec![app("quote-prod", 1)]);
    let mut world = World::of(&fleet);
    world.foreign("h2", "quote-prod-0", None);
    // It may be the one to adopt: the instance is not started beside it, although there is room elsewhere.
    assert_eq!(told(&plan_of(&fleet, &world.observed)), Vec::<String>::new());
    // On a host that the app does not go to, it is nobody's concern.
    place_on(&mut fleet, "quote-prod", "h1");
    assert_eq!(told(&plan_of(&fleet, &world.observed)), ["create quote-prod-0@h1"]);
    place_on(&mut fleet, "quote-prod", "h2");
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), Vec::<String>::new());
    assert!(plan.unmanaged.iter().any(|u| u.collides));

    edit(&mut fleet, "quote-prod", |app| app.adopt = true);
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), ["replace quote-prod-0@h2"], "its image differs");
    edit(&mut fleet, "quote-prod", |app| app.container.image = name("other:1"));
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), Vec::<String>::new(), "its fields agree: nothing is restarted");
    // Taken out of git it is somebody's own again.
    let none = desired(2, vec![]);
    assert_eq!(told(&plan_of(&none, &world.observed)), Vec::<String>::new());
    // What another trueup made is not adopted.
    let labels = &mut world.container("h2", "quote-prod-0").labels;
    labels.insert("io.trueup.installation".into(), "i-2".into());
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), Vec::<String>::new());
    assert!(plan.unmanaged.iter().any(|u| u.collides));
}

fn place_on(fleet: &mut Desired, key: &str, host: &str) {
    edit(fleet, key, |app| place(app).hosts = HostSelector::Names(vec![name(host)]));
}

#[test]
fn prune_takes_what_is_ours_and_undeclared_and_nothing_else_b2() {
    let mut guarded = app("guarded-prod", 1);
    guarded.protect = true;
    let mut world =
        standing(&desired(1, vec![app("quote-prod", 1), guarded, with_data(app("store-prod", 1))]));
    world.foreign("h1", "someones", None);
    let mut plan = plan_of(&desired(1, vec![]), &world.observed);
    assert_eq!(told(&plan), ["remove quote-prod-0@h1", "remove store-prod-0@h1"]);
    assert!(
        plan.changes.iter().all(|c| c.destructive && c.subject.kind == Kind::Container),
        "volumes stay (B5)"
    );
    assert!(reasons(&plan).contains("protected (B2)"), "{}", reasons(&plan));
    // A copied label owns nothing.
    let labels = world.container("h1", "quote-prod-0").labels.clone();
    world.container("h1", "someones").labels = labels;
    plan = plan_of(&desired(1, vec![]), &world.observed);
    assert!(!told(&plan).iter().any(|t| t.contains("someones")));
}

#[test]
fn traffic_leaves_before_what_is_removed_does() {
    use crate::endpoints::file_name;
    let mut quote = app("quote-prod", 1);
    quote.upstream = None;
    let mut world = standing(&desired(1, vec![quote]));
    let installed = BTreeMap::from([(file_name(&name("quote-prod")), "upstream".to_owned())]);
    world.observed.files.insert(FileSet::Nginx, Seen::Known(Some(installed)));
    let rendered = Rendered { sets: BTreeMap::from([(FileSet::Nginx, BTreeMap::new())]), notes: vec![] };
    let plan = plan_rendered(&desired(1, vec![]), &world.observed, &Holds::default(), &rendered);
    let position = |verb| plan.changes.iter().position(|c| c.action == verb).expect("it is planned");
    assert_eq!(plan.changes[position(Verb::Remove)].after, [position(Verb::Install)]);
}

// ---- B3

#[test]
fn what_takes_away_too_much_waits_until_it_is_approved_b3() {
    let world = standing(&desired(2, vec![app("quote-prod", 10), app("web-prod", 1)]));
    let fewer = desired(2, vec![app("quote-prod", 5), app("web-prod", 2)]);
    let plan = plan_of(&fewer, &world.observed);
    assert_eq!(told(&plan), ["create web-prod-1@h2"], "what gives goes on");
    assert_eq!((plan.held.len(), plan.blocked.len()), (5, 5));
    assert!(plan.blocked.iter().all(|b| b.hint.contains(&plan.held_id)));
    assert_eq!(plan.held_id, Plan::id_of(&plan.revision, &plan.held));
    // Any subset stays approved.
    let mut holds = Holds::default();
    holds.approved.extend(plan.held.iter().take(2).map(Change::promise));
    assert_eq!(plan_with(&fewer, &world.observed, &holds).held.len(), 3);
    // Three at a time is within the limits, but not after others went within the hour.
    let some = desired(2, vec![app("quote-prod", 7), app("web-prod", 1)]);
    assert_eq!(plan_of(&some, &world.observed).held.len(), 0);
    let spent = Holds { destroyed_recently: 2, ..Holds::default() };
    assert_eq!(plan_with(&some, &world.observed, &spent).held.len(), 3);
}

#[test]
fn the_last_instance_of_a_production_app_always_waits_b3() {
    let mut fleet = desired(1, vec![app("quote-prod", 1), app("quote-test", 1)]);
    let world = standing(&fleet);
    fleet.apps.clear();
    fleet.environments.get_mut(&name::<EnvironmentName>("prod")).expect("an environment").production = true;
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), ["remove quote-test-0@h1"]);
    assert_eq!(plan.held.iter().map(words).collect::<Vec<_>>(), ["remove quote-prod-0@h1"]);
}

#[test]
fn a_restart_that_was_asked_for_holds_whatever_the_engines_clock_says() {
    let fleet = desired(1, vec![app("quote-prod", 1)]);
    let mut world = standing(&fleet);
    let at = world.observed.at;
    let mut holds = Holds::default();
    holds.restart_requested.insert(name("quote-prod"), at);
    for ahead in [-3_600_000, 0, 3_600_000] {
        let its = |moment: i64| Timestamp(at.0 + ahead + moment);
        world.engine_mut("h1").info.clock = Some(its(0));
        for (started, expected) in [(-60_000, vec!["restart quote-prod-0@h1"]), (60_000, vec![])] {
            let since = its(started);
            world.container("h1", "quote-prod-0").state =
                RunState::Running { health: Health::Unchecked, since };
            assert_eq!(told(&plan_with(&fleet, &world.observed, &holds)), expected, "{ahead} {started}");
        }
    }
}

#[test]
fn one_that_ends_again_and_again_is_not_converged_x() {
    let fleet = desired(1, vec![app("quote-prod", 1)]);
    let mut world = standing(&fleet);
    assert_eq!(plan_of(&fleet, &world.observed).exit_code(), 0);
    world.container("h1", "quote-prod-0").state = RunState::Restarting { exit_code: 7 };
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!((told(&plan), plan.exit_code()), (vec![], 3));
    assert!(
        reasons(&plan).contains("exits with 7") && plan.blocked[0].hint.contains("trueup logs quote-prod")
    );
}

#[test]
fn an_environment_that_git_no_longer_declares_is_pruned_as_if_it_were_production_b2_b3() {
    let mut fleet = desired(1, vec![app("quote-prod", 1), app("quote-test", 1), app("web-test", 2)]);
    let world = standing(&fleet);
    fleet.environments.remove(&name::<EnvironmentName>("test"));
    fleet.apps.retain(|key, _| key.environment == name("prod"));
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!((told(&plan), plan.held.len()), (vec![], 3), "the last instances wait for a person");
    let mut holds = Holds::default();
    holds.approved.extend(plan.held.iter().map(Change::promise));
    let plan = plan_with(&fleet, &world.observed, &holds);
    assert_eq!(told(&plan), ["remove quote-test-0@h1", "remove web-test-0@h1", "remove web-test-1@h1"]);
    // Out of view is another thing than gone.
    let narrow = fleet.only(&BTreeSet::from([name("prod")]));
    assert_eq!(told(&plan_with(&narrow, &world.observed, &holds)), Vec::<String>::new());
}

#[test]
fn replacing_most_apps_at_once_waits_b3() {
    let apps = |edit: fn(&mut App)| {
        (0..12)
            .map(|n| {
                let mut app = app(&format!("app{n}-prod"), 1);
                edit(&mut app);
                app
            })
            .collect::<Vec<_>>()
    };
    let world = standing(&desired(3, apps(|_| {})));
    let plan = plan_of(&desired(3, apps(mode)), &world.observed);
    assert_eq!((told(&plan).len(), plan.held.len()), (0, 12));
}

// ---- rollouts

#[test]
fn a_rollout_goes_one_by_one_and_waits_for_who_is_away_d1() {
    let mut fleet = desired(2, vec![app("quote-prod", 3)]);
    let mut world = standing(&fleet);
    edit(&mut fleet, "quote-prod", mode);
    let plan = plan_of(&fleet, &world.observed);
    let after: Vec<_> = plan.changes.iter().map(|c| c.after.clone()).collect();
    assert_eq!(after, [vec![], vec![0], vec![1]]);
    // One that is down comes first, and those that serve wait for it.
    let host = if world.names("h1").contains(&"quote-prod-2".to_owned()) { "h1" } else { "h2" };
    fail(&mut world, host, "quote-prod-2");
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(plan.changes[0].subject.name, "quote-prod-2");
    assert_eq!(plan.changes[1].after, [0]);
    // One that is down for good leaves no room.
    world.container(host, "quote-prod-2").state = RunState::Restarting { exit_code: 1 };
    let image = world.container(host, "quote-prod-2").live.env.clone();
    let env = fleet.apps[&name("quote-prod")].container.env.clone();
    assert!(env.contains_key("MODE") && !image.contains_key("MODE"));
    world.container(host, "quote-prod-2").live.env.insert("MODE".into(), key().hide("new"));
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), Vec::<String>::new());
    assert!(reasons(&plan).contains("waits until quote-prod-2 is back"), "{}", reasons(&plan));
}

#[test]
fn nobody_follows_one_that_failed_d3() {
    let mut fleet = desired(2, vec![app("quote-prod", 3)]);
    let world = standing(&fleet);
    edit(&mut fleet, "quote-prod", mode);
    let plan = plan_of(&fleet, &world.observed);
    let first = &plan.changes[0];
    let mut holds = Holds::default();
    let later = Timestamp(NOW.0 + 1);
    let wait = crate::plan::Wait { promise: first.promise(), until: later, failed: Some("no".to_owned()) };
    holds.not_before.insert(first.subject.to_string(), wait);
    let plan = plan_with(&fleet, &world.observed, &holds);
    assert_eq!(told(&plan), Vec::<String>::new());
    assert!(reasons(&plan).contains("waits until quote-prod-0 is changed"), "{}", reasons(&plan));
    // A newer commit asks for something else and pre-empts the waiting.
    edit(&mut fleet, "quote-prod", |app| app.container.user = Some("app".into()));
    assert_eq!(told(&plan_with(&fleet, &world.observed, &holds)).len(), 3);
}

#[test]
fn dependents_wait_for_healthy_dependencies_d4() {
    let mut web = app("web-prod", 1);
    web.depends_on.insert(name("store"));
    let fleet = desired(1, vec![web, app("store-prod", 1)]);
    let plan = plan_of(&fleet, &World::of(&fleet).observed);
    assert_eq!(told(&plan), ["create store-prod-0@h1", "create web-prod-0@h1"]);
    let number = |n: &str| plan.changes.iter().position(|c| c.subject.name == n).expect("planned");
    assert!(plan.changes[number("web-prod-0")].after.contains(&number("store-prod-0")));
    // Not yet healthy, and nothing to do about it: the dependent waits.
    let mut world = standing(&desired(1, vec![app("store-prod", 1)]));
    if let RunState::Running { health, .. } = &mut world.container("h1", "store-prod-0").state {
        *health = Health::Starting;
    }
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), Vec::<String>::new());
    assert!(
        reasons(&plan).contains("waits for store-prod, which is not yet well as declared (D4)"),
        "{}",
        reasons(&plan)
    );
}

#[test]
fn a_limit_is_updated_and_an_unhealthy_or_stopped_one_is_brought_back() {
    let mut fleet = desired(1, vec![app("quote-prod", 1)]);
    let mut world = standing(&fleet);
    fail(&mut world, "h1", "quote-prod-0");
    assert_eq!(told(&plan_of(&fleet, &world.observed)), ["start quote-prod-0@h1"]);
    let state = |since, health| RunState::Running { since, health };
    let bad = || Health::Unhealthy { last_output: "500".into() };
    world.container("h1", "quote-prod-0").state = state(Timestamp(NOW.0 - 1000), bad());
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), Vec::<String>::new(), "it has its deadline");
    assert!(plan.drift.iter().any(|d| matches!(d.nature, Nature::Unhealthy(_)) && d.left_alone.is_some()));
    world.container("h1", "quote-prod-0").state = state(Timestamp(1000), bad());
    assert_eq!(told(&plan_of(&fleet, &world.observed)), ["restart quote-prod-0@h1"]);
    world.container("h1", "quote-prod-0").state = RunState::Dead;
    assert_eq!(told(&plan_of(&fleet, &world.observed)), ["replace quote-prod-0@h1"]);
    edit(&mut fleet, "quote-prod", |app| app.container.memory = Some(ByteSize(64 << 20)));
    world.container("h1", "quote-prod-0").state = state(Timestamp(1000), Health::Healthy);
    assert_eq!(told(&plan_of(&fleet, &world.observed)), ["update quote-prod-0@h1"]);
    let mut holds = Holds::default();
    holds.restart_requested.insert(name("quote-prod"), Timestamp(2000));
    edit(&mut fleet, "quote-prod", |app| app.container.memory = None);
    assert_eq!(told(&plan_with(&fleet, &world.observed, &holds)), ["restart quote-prod-0@h1"]);
    world.container("h1", "quote-prod-0").state = state(Timestamp(2000), Health::Healthy);
    assert_eq!(told(&plan_with(&fleet, &world.observed, &holds)), Vec::<String>::new());
}

// ---- what is left alone

#[test]
fn drift_that_is_left_alone_is_still_told_a6_d7() {
    let declared = desired(1, vec![app("quote-prod", 1)]);
    let mut world = standing(&declared);
    world.container("h1", "quote-prod-0").live.user = "by hand".into();
    let mut ignoring = declared.clone();
    edit(&mut ignoring, "quote-prod", |app| {
        app.ignore.insert(name("user"));
    });
    let mut watched = declared.clone();
    watched.detect_only = true;
    let mut app_watched = declared.clone();
    edit(&mut app_watched, "quote-prod", |app| app.detect_only = true);
    let mut environment = declared.clone();
    environment.environments.get_mut(&name::<EnvironmentName>("prod")).expect("there").detect_only = true;
    let paused = Holds { paused_fleet: Some("work".into()), ..Holds::default() };
    let mut app_paused = Holds::default();
    app_paused.paused.insert(name("quote-prod"), "work".into());
    let mut quarantined = Holds::default();
    let change = plan_of(&declared, &world.observed).changes[0].clone();
    quarantined.quarantined.insert(change.subject.to_string(), (change.promise(), "user".into()));
    let none = Holds::default();
    for (desired, holds) in [
        (&ignoring, &none),
        (&watched, &none),
        (&app_watched, &none),
        (&environment, &none),
        (&declared, &paused),
        (&declared, &app_paused),
        (&declared, &quarantined),
    ] {
        let plan = plan_with(desired, &world.observed, holds);
        assert_eq!(told(&plan), Vec::<String>::new());
        assert!(plan.drift.iter().any(|d| d.left_alone.is_some()), "{holds:?}");
    }
    assert_eq!(told(&plan_of(&declared, &world.observed)), ["replace quote-prod-0@h1"]);
}

// ---- networks

// ---- interruptions

#[test]
fn a_saved_plan_admits_what_it_promised_and_no_more_d11() {
    let fleet = desired(1, vec![app("quote-prod", 2)]);
    let mut world = World::of(&fleet);
    let saved = plan_of(&fleet, &world.observed).promises();
    world.carry_out(&plan_of(&desired(1, vec![app("quote-prod", 1)]), &world.observed));
    let rest = plan_of(&fleet, &world.observed);
    assert_eq!(admit(&rest, &saved), Ok(()), "a part of it was done");
    let more = desired(1, vec![app("quote-prod", 3)]);
    let beyond = admit(&plan_of(&more, &world.observed), &saved).expect_err("one more instance");
    assert!(beyond.len() == 1 && beyond[0].contains("quote-prod-2"), "{beyond:?}");
}
