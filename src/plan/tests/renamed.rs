//! What somebody renamed is still the instance for all anyone knows: it runs once, on whatever host there is room (B1, C8).

use super::build::*;
use super::histories::rename;
use super::rules::*;
use super::world::World;
use crate::model::app::Replicas;
use crate::model::container::Restart;
use crate::model::desired::Desired;
use crate::model::names::HostName;
use crate::model::observed::{RunState, Seen};
use crate::model::plan::Plan;
use crate::model::units::Timestamp;
use crate::plan::Holds;

/// Two hosts: `quote-prod-0` stands on h2 and is called otherwise now; h1 is emptier.
fn renamed(app: crate::model::app::App) -> (Desired, World) {
    let mut fleet = desired(2, vec![app]);
    drain(&mut fleet, "h1", true);
    let mut world = standing(&fleet);
    drain(&mut fleet, "h1", false);
    assert_eq!(hosts_of(&world, 2), [0, 1]);
    rename(&mut world, "h2", "quote-prod-0", "quote-aside");
    (fleet, world)
}

fn drain(fleet: &mut Desired, host: &str, drain: bool) {
    fleet.hosts.get_mut(&name::<HostName>(host)).expect("a host").drain = drain;
}

fn told_as_renamed(plan: &Plan) -> Vec<String> {
    let told = plan.blocked.iter().filter(|b| b.reason.contains("somebody renamed it"));
    told.map(|b| b.subject.to_string()).collect()
}

#[test]
fn what_was_renamed_is_not_started_on_another_host_c8() {
    let mut exclusive = app("quote-prod", 1);
    place(&mut exclusive).exclusive = true;
    for app in
        [app("quote-prod", 1), exclusive, leasing(app("quote-prod", 1)), with_data(app("quote-prod", 1))]
    {
        let (fleet, world) = renamed(app);
        let complete = Holds { memory_complete: true, ..Holds::default() };
        for holds in [Holds::default(), complete] {
            let plan = plan_with(&fleet, &world.observed, &holds);
            assert_eq!(plan.changes, [], "{}", reasons(&plan));
            assert_eq!(told_as_renamed(&plan), ["container quote-prod-0 on h2"], "{}", reasons(&plan));
            let hint = &plan.blocked[0].hint;
            assert!(hint.contains("docker rename quote-aside quote-prod-0"), "{hint}");
            assert!(plan.unmanaged.iter().any(|u| u.subject.name == "quote-aside"), "B1: nobody's to change");
        }
    }
}

#[test]
fn what_was_renamed_keeps_its_seat_whatever_git_says_of_the_host() {
    let (mut fleet, mut world) = renamed(app("quote-prod", 1));
    drain(&mut fleet, "h2", true);
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!((plan.changes.len(), told_as_renamed(&plan).len()), (0, 1), "it cannot be moved");
    // It takes room there.
    drain(&mut fleet, "h2", false);
    edit(&mut fleet, "quote-prod", |app| {
        let placement = place(app);
        (placement.one_per_host, placement.replicas) = (true, Replicas::Count(2));
    });
    assert_eq!(told(&plan_of(&fleet, &world.observed)), ["create quote-prod-1@h1"]);

    // Called by its name again, or gone, all is as ever.
    let mut back = world.clone();
    rename(&mut back, "h2", "quote-aside", "quote-prod-0");
    let plan = plan_of(&fleet, &back.observed);
    assert_eq!((told(&plan), plan.blocked.len()), (vec!["create quote-prod-1@h1".to_owned()], 0));
    world.engine_mut("h2").containers.clear();
    assert_eq!(told(&plan_of(&fleet, &world.observed)).len(), 2);
}

#[test]
fn on_every_host_each_that_was_renamed_keeps_its_own() {
    let mut everywhere = app("quote-prod", 1);
    place(&mut everywhere).replicas = Replicas::EveryHost;
    let fleet = desired(2, vec![everywhere]);
    let mut world = standing(&fleet);
    let names: Vec<String> = ["h1", "h2"].iter().map(|host| world.names(host)[0].clone()).collect();
    rename(&mut world, "h1", &names[0], "mine");
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(
        (told(&plan), told_as_renamed(&plan)),
        (vec![], vec![format!("container {} on h1", names[0])])
    );
    rename(&mut world, "h2", &names[1], "mine-too");
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!((told(&plan), told_as_renamed(&plan).len()), (vec![], 2), "{}", reasons(&plan));
    // On a host that is left, it takes nobody else's number.
    let mut left = fleet.clone();
    drain(&mut left, "h1", true);
    world.engine_mut("h2").containers.clear();
    let [told] = &told(&plan_of(&left, &world.observed))[..] else { panic!("one is created") };
    assert!(told.ends_with("@h2") && !told.contains(&names[0]), "{told}");
}

/// C1: what was seen stopped, and stays so by itself, is in nobody's way; its engine may start another kind again.
#[test]
fn what_is_stopped_counts_where_its_engine_may_start_it_again() {
    let exited =
        |exit_code, error: &str| RunState::Exited { exit_code, at: Timestamp(5), error: error.into() };
    let failing = Restart::OnFailure { max_retries: 3 };
    for (state, restart, counts) in [
        (exited(137, ""), Restart::No, false),
        (exited(137, ""), Restart::Always, true),
        (exited(137, ""), Restart::UnlessStopped, false),
        (exited(128, "network gone"), Restart::UnlessStopped, true),
        (exited(1, ""), failing, true),
        (exited(0, ""), failing, false),
        (RunState::Created, Restart::Always, false),
        (RunState::Dead, Restart::Always, false),
        (RunState::Paused, Restart::No, true),
        (RunState::Restarting { exit_code: 1 }, Restart::No, true),
    ] {
        let (fleet, mut world) = renamed(app("quote-prod", 1));
        let container = world.container("h2", "quote-aside");
        (container.state, container.live.restart) = (state.clone(), restart);
        let plan = plan_of(&fleet, &world.observed);
        assert_eq!(
            (told(&plan).is_empty(), told_as_renamed(&plan).len()),
            (counts, usize::from(counts)),
            "{state:?} {restart:?}"
        );
    }
}

/// B1: labels that name another host, or another installation, say nothing of this instance.
#[test]
fn labels_that_were_copied_to_another_host_seat_nothing() {
    let fleet = desired(2, vec![app("quote-prod", 1)]);
    let mut world = standing(&fleet);
    let labels = world.container("h1", "quote-prod-0").labels.clone();
    world.engine_mut("h1").containers.clear();
    world.foreign("h2", "copy", None);
    world.container("h2", "copy").labels = labels;
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!((told(&plan).len(), told_as_renamed(&plan).len()), (1, 0));
}

/// D5, C8: an interrupted replacement's old one is not put back beside a successor that somebody renamed.
#[test]
fn the_old_one_is_not_put_back_beside_its_renamed_successor() {
    let fleet = desired(1, vec![app("quote-prod", 1)]);
    let mut world = standing(&fleet);
    let mut old = world.container("h1", "quote-prod-0").clone();
    rename(&mut world, "h1", "quote-prod-0", "mine");
    (old.id, old.name) = ("f".repeat(64), name("quote-prod-0.trueup-old"));
    old.state = RunState::Exited { exit_code: 0, at: Timestamp(5), error: String::new() };
    world.engine_mut("h1").containers.insert(old.name.clone(), Seen::Known(old));
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!((plan.changes.len(), told_as_renamed(&plan).len()), (0, 1), "{:?}", told(&plan));
}

/// A copy of the labels beside the healthy one, which is to move.
fn copied(app: crate::model::app::App) -> (Desired, World) {
    let mut fleet = desired(2, vec![app]);
    drain(&mut fleet, "h2", true);
    let mut world = standing(&fleet);
    let labels = world.container("h1", "quote-prod-0").labels.clone();
    world.foreign("h1", "backup", None);
    world.container("h1", "backup").labels = labels;
    drain(&mut fleet, "h2", false);
    drain(&mut fleet, "h1", true);
    (fleet, world)
}

/// B1, C8: while the instance stands under its own name, what carries its labels too is a copy.
#[test]
fn a_copy_of_the_labels_stops_no_move() {
    let (fleet, mut world) = copied(app("quote-prod", 1));
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan)[..1], ["create quote-prod-0@h2"], "{}", reasons(&plan));
    assert!(told_as_renamed(&plan).is_empty());
    // Where the instance itself is gone, the copy may be it.
    world.engine_mut("h1").containers.remove(&name("quote-prod-0"));
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!((told(&plan), told_as_renamed(&plan).len()), (vec![], 1), "{}", reasons(&plan));
}

/// Where two at once are never right the good one would go first, and the copy be taken for it: nobody would serve.
#[test]
fn nothing_goes_first_beside_a_copy_of_its_labels() {
    let mut exclusive = app("quote-prod", 1);
    place(&mut exclusive).exclusive = true;
    let (fleet, mut world) = copied(exclusive);
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), [""; 0], "{}", reasons(&plan));
    let [blocked] = &plan.blocked[..] else { panic!("{}", reasons(&plan)) };
    assert_eq!(blocked.subject.to_string(), "container quote-prod-0 on h1");
    assert!(blocked.hint.contains("docker rm -f backup"), "{}", blocked.hint);
    world.engine_mut("h1").containers.remove(&name("backup"));
    assert!(!told(&plan_of(&fleet, &world.observed)).is_empty(), "without it, it moves");
}

/// B2, C8: nobody is told to rename back what is a copy for all anyone knows: the instance was last seen on another host, which
/// is silent, or left git's inventory.
#[test]
fn what_carries_the_labels_is_a_copy_while_the_instance_may_run_elsewhere() {
    let (fleet, world) = renamed(app("quote-prod", 1));
    let silent = silent(&world, "h1");
    for (last, observed) in [("h1", &silent), ("h9", &world.observed)] {
        let plan = plan_with(&fleet, observed, &remembering(&[("quote-prod-0", last)]));
        assert_eq!((told(&plan), told_as_renamed(&plan)), (vec![], vec![]), "last seen on {last}");
        let counts = format!("quote-prod-0 was last seen on {last}, which is");
        assert!(plan.notes.iter().any(|note| note.starts_with(&counts)), "{:?}", plan.notes);
    }
}

/// B2, D5: what was moved aside goes with its app, or its slot, whatever else carries the labels by then, and is not started
/// beside that (C8).
#[test]
fn what_was_moved_aside_goes_with_its_app_beside_a_renamed_one() {
    let fleet = desired(2, vec![app("quote-prod", 2)]);
    let mut world = standing(&fleet);
    // Of the same instance: a replacement on h2 was killed, and what ran on h1 was called otherwise.
    let mut old = world.container("h2", "quote-prod-1").clone();
    rename(&mut world, "h2", "quote-prod-1", "backup");
    (old.id, old.name) = ("f".repeat(64), name("quote-prod-1.trueup-old"));
    old.state = RunState::Exited { exit_code: 0, at: Timestamp(5), error: String::new() };
    world.engine_mut("h2").containers.insert(old.name.clone(), Seen::Known(old));
    assert_eq!(
        told(&plan_of(&fleet, &world.observed)),
        [""; 0],
        "while it is declared, that waits for a person"
    );
    for after in [desired(2, vec![app("quote-prod", 1)]), desired(2, vec![])] {
        let mut world = world.clone();
        for _ in 0..4 {
            let plan = plan_of(&after, &world.observed);
            let started = plan
                .changes
                .iter()
                .flat_map(|c| &c.steps)
                .any(|s| matches!(&s.action, crate::model::plan::Action::StartContainer { .. }));
            assert!(!started, "not beside the other one: {:?}", told(&plan));
            world.carry_out(&plan);
        }
        assert_eq!(world.names("h2"), ["backup"], "B1: what is not proven ours stays");
    }
}
