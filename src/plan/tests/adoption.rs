//! Containers of other names that stand for an instance until their next replacement (B4, docs/decisions/0012).

use super::build::*;
use super::rules::fail;
use super::world::World;
use crate::model::container::{EnvValue, Mount, MountSource};
use crate::model::desired::Desired;
use crate::model::drift::Kind;
use crate::model::observed::Seen;
use crate::model::plan::Plan;
use crate::model::units::Timestamp;

fn told(plan: &Plan) -> Vec<String> {
    let containers = plan.changes.iter().filter(|change| change.subject.kind == Kind::Container);
    containers.map(|c| format!("{} {}", c.action.name(), c.subject)).collect()
}

const NOTHING: Vec<String> = Vec::new();

/// `quote-prod` of two hosts, which takes over `old-web` on h2.
fn taking_over() -> (Desired, World) {
    let mut fleet = desired(2, vec![app("quote-prod", 1)]);
    edit(&mut fleet, "quote-prod", |app| {
        app.container.image = name("other:1");
        app.adopt = true;
        app.adopted.insert(0, name("old-web@h2"));
    });
    let mut world = World::of(&fleet);
    world.foreign("h2", "old-web", None);
    (fleet, world)
}

fn differ(fleet: &mut Desired) {
    edit(fleet, "quote-prod", |app| {
        app.container.env.insert("MODE".into(), EnvValue::Plain("new".into()));
    });
}

#[test]
fn it_stands_under_its_own_name_until_it_is_replaced() {
    let (mut fleet, mut world) = taking_over();
    assert_eq!(told(&plan_of(&fleet, &world.observed)), NOTHING, "it is as declared");
    differ(&mut fleet);
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), ["replace container quote-prod-0 on h2"]);
    assert!(plan.changes.iter().any(|c| c.because.iter().any(|why| why.contains("old-web"))));
    world.carry_out(&plan);
    assert_eq!(world.names("h2"), ["quote-prod-0"]);
    assert_eq!(told(&plan_of(&fleet, &world.observed)), NOTHING);
    // Started again by somebody it is nobody's instance: neither a second one, nor in the way, nor taken away.
    world.foreign("h2", "old-web", None);
    assert_eq!(told(&plan_of(&fleet, &world.observed)), NOTHING);
}

#[test]
fn a_swarms_task_is_not_taken_over_and_is_told_as_what_it_is() {
    let (mut fleet, mut world) = taking_over();
    edit(&mut fleet, "quote-prod", |app| drop(app.adopted.insert(0, name("web.1.t9@h2"))));
    world.foreign("h2", "web.1.t9", None);
    let task = world.container("h2", "web.1.t9");
    task.labels.insert("com.docker.swarm.task.id".into(), "t9".into());
    // As the list alone tells it.
    task.veiled = true;
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), NOTHING);
    let [blocked] = plan.blocked.as_slice() else { panic!("{:?}", plan.blocked) };
    assert!(blocked.reason.contains("task of a Swarm") && blocked.hint.contains("--swarm"), "{blocked:?}");
}

#[test]
fn a_replacement_that_was_cut_short_anywhere_is_put_right() {
    let (mut fleet, world) = taking_over();
    differ(&mut fleet);
    let plan = plan_of(&fleet, &world.observed);
    let change = plan.changes.iter().find(|c| c.subject.kind == Kind::Container).expect("the replacement");
    for count in 0..=change.steps.len() {
        let (_, mut world) = taking_over();
        world.carry_out_partly(change, count);
        for _ in 0..6 {
            let plan = plan_of(&fleet, &world.observed);
            world.carry_out(&plan);
        }
        assert_eq!(world.names("h2"), ["quote-prod-0"], "cut after {count} steps");
        assert_eq!(world.names("h1"), Vec::<String>::new(), "cut after {count} steps");
        assert_eq!(told(&plan_of(&fleet, &world.observed)), NOTHING, "cut after {count} steps");
    }
}

#[test]
fn on_a_host_that_does_not_answer_it_counts_as_running_c8() {
    let (mut fleet, world) = taking_over();
    differ(&mut fleet);
    let mut observed = world.observed.clone();
    observed.hosts.insert(name("h2"), Seen::unknown("no answer"));
    assert_eq!(
        told(&plan_with(&fleet, &observed, &remembering(&[]))),
        NOTHING,
        "it is not started on h1 beside it"
    );
    // It moved on long ago to a host that does not answer now: the old one is not it any more.
    let mut observed = world.observed.clone();
    observed.hosts.insert(name("h1"), Seen::unknown("no answer"));
    assert_eq!(told(&plan_with(&fleet, &observed, &remembering(&[("quote-prod-0", "h1")]))), NOTHING);
    // Nor where that host left git's inventory (B2): a move there was cut short with the old one stopped.
    let mut world = world.clone();
    for stopped in [false, true] {
        if stopped {
            fail(&mut world, "h2", "old-web");
        }
        let both = remembering(&[("quote-prod-0", "h2"), ("quote-prod-0", "h9")]);
        let plan = plan_with(&fleet, &world.observed, &both);
        assert_eq!(told(&plan), NOTHING, "stopped: {stopped}");
        assert!(plan.notes.iter().any(|n| n.contains("was last seen on h9")), "{:?}", plan.notes);
    }
}

#[test]
fn it_is_not_replaced_while_what_git_ignores_would_be_lost() {
    let (mut fleet, mut world) = taking_over();
    let hidden = key().hide("only here");
    world.container("h2", "old-web").live.env.insert("SECRET".into(), hidden);
    edit(&mut fleet, "quote-prod", |app| app.ignore = [name("env.SECRET")].into());
    assert_eq!(plan_of(&fleet, &world.observed).exit_code(), 0, "ignored, and the plan is empty");
    differ(&mut fleet);
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), NOTHING);
    assert!(plan.blocked.iter().any(|b| b.reason.contains("env.SECRET")), "{:?}", plan.blocked);
    // What stops is started again all the same.
    edit(&mut fleet, "quote-prod", |app| app.container.env.clear());
    world.container("h2", "old-web").state =
        crate::model::observed::RunState::Exited { exit_code: 1, at: Timestamp(5), error: String::new() };
    assert_eq!(told(&plan_of(&fleet, &world.observed)), ["start container quote-prod-0 on h2"]);
}

/// The anonymous volume of whatever stands under the name, as the image's `VOLUME` makes it.
fn holds_data(world: &mut World, host: &str, container: &str) {
    world.container(host, container).anonymous = [("/data".into(), "f00d".into())].into();
}

#[test]
fn data_that_nobody_named_is_not_left_behind_unasked_b5() {
    let (mut fleet, mut world) = taking_over();
    holds_data(&mut world, "h2", "old-web");
    assert_eq!(plan_of(&fleet, &world.observed).exit_code(), 0, "it runs on as it is");
    differ(&mut fleet);
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!((told(&plan), plan.exit_code()), (NOTHING, 3));
    assert!(plan.blocked.iter().any(|b| b.reason.contains("/data") && b.hint.contains("name")), "{plan:?}");
    edit(&mut fleet, "quote-prod", |app| {
        let mount = Mount { source: MountSource::Tmpfs { size: None }, read_only: false };
        app.container.mounts.insert("/data".into(), mount);
    });
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), ["replace container quote-prod-0 on h2"]);
    let because = &plan.changes[0].because;
    assert!(because.iter().any(|why| why.contains("f00d") && why.contains("stays")), "{because:?}");
}

#[test]
fn an_anonymous_volume_of_our_own_is_told_and_holds_nothing_up() {
    let mut fleet = desired(1, vec![app("quote-prod", 1)]);
    let mut world = World::of(&fleet);
    world.carry_out(&plan_of(&fleet, &world.observed));
    holds_data(&mut world, "h1", "quote-prod-0");
    differ(&mut fleet);
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), ["replace container quote-prod-0 on h1"]);
    assert!(plan.changes[0].because.iter().any(|why| why.contains("f00d")), "{:?}", plan.changes[0].because);
}

/// A saved snapshot hides the texts of what was not ours then (G1): nothing is said of what it cannot show (A1).
#[test]
fn what_a_snapshot_veils_is_not_compared() {
    let (fleet, mut world) = taking_over();
    world.container("h2", "old-web").veiled = true;
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), NOTHING);
    assert!(
        plan.blocked.iter().any(|blocked| blocked.reason.contains("the snapshot was saved")),
        "{:?}",
        plan.blocked
    );
}
