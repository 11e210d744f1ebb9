//! Replacements that were cut off or fail at any step.

use super::build::*;
use super::rules::*;
use super::world::World;
use crate::model::desired::Desired;
use crate::model::observed::{Health, RunState};
use crate::model::plan::{Action, Change, Step, Verb};

fn interrupted() -> (Desired, World, Change) {
    let mut quote = leasing(app("quote-prod", 1));
    quote.upstream = Some(crate::model::app::Upstream {
        port: 80,
        server_names: vec![],
        listen: 80,
        balance: crate::model::app::Balance::RoundRobin,
        keepalive: None,
        max_fails: None,
        fail_timeout: None,
        network: None,
    });
    let mut fleet = desired(1, vec![quote]);
    let world = standing(&fleet);
    edit(&mut fleet, "quote-prod", mode);
    let plan = plan_of(&fleet, &world.observed);
    let change = plan.changes.into_iter().find(|c| c.action == Verb::Replace).expect("a replacement");
    (fleet, world, change)
}

/// D5: killed after any step, the next plans finish it: one container, as declared, running, no orphan.
#[test]
fn a_replacement_that_was_cut_off_anywhere_is_finished() {
    let (fleet, world, change) = interrupted();
    for count in 0..=change.steps.len() {
        let mut world = world.clone();
        world.carry_out_partly(&change, count);
        for _ in 0..3 {
            let plan = plan_of(&fleet, &world.observed);
            world.carry_out(&plan);
        }
        assert_eq!(plan_of(&fleet, &world.observed).changes, [], "after {count} steps");
        assert_eq!(world.names("h1"), ["quote-prod-0"], "after {count} steps");
        let container = world.container("h1", "quote-prod-0");
        assert!(container.state.is_running() && container.live.env.contains_key("MODE"));
    }
}

/// D2, D5: killed while it waited for a health that never comes: the new one has its whole time from its start, then the
/// old one is there again.
#[test]
fn a_replacement_that_was_cut_off_and_is_not_well_goes_back() {
    let (fleet, world, change) = interrupted();
    let old = world.clone().container("h1", "quote-prod-0").id.clone();
    let waits = |step: &Step| matches!(step.action, Action::WaitHealthy { .. });
    let count = change.steps.iter().position(waits).expect("a wait");
    let unwell = |since: u64| {
        let health = Health::Unhealthy { last_output: "no".into() };
        RunState::Running { since: NOW.minus(std::time::Duration::from_secs(since)), health }
    };
    for (state, goes_back) in [
        (unwell(299), false),
        (unwell(301), true),
        (RunState::Exited { exit_code: 1, error: String::new(), at: NOW }, true),
    ] {
        let mut world = world.clone();
        world.carry_out_partly(&change, count);
        world.container("h1", "quote-prod-0").state = state.clone();
        let plan = plan_of(&fleet, &world.observed);
        world.carry_out(&plan);
        let at = world.container("h1", "quote-prod-0").clone();
        assert_eq!(
            (at.id == old && at.state.is_running(), plan.changes.len() == 1),
            (goes_back, goes_back),
            "{state:?}"
        );
        assert_eq!(world.names("h1").len(), if goes_back { 1 } else { 2 }, "{state:?}");
    }
}

/// A step that fails: what was there before is there again, running, and nothing else.
#[test]
fn a_replacement_that_fails_anywhere_is_undone() {
    let (_, world, change) = interrupted();
    // The last step takes the old one away; after that there is nothing to put back.
    for count in 0..change.steps.len() {
        let mut after = world.clone();
        after.carry_out_partly(&change, count);
        after.undo(&change);
        assert_eq!(after.names("h1"), ["quote-prod-0"], "after {count} steps");
        let old = world.clone().container("h1", "quote-prod-0").id.clone();
        let container = after.container("h1", "quote-prod-0");
        assert!(container.id == old && container.state.is_running(), "after {count} steps");
    }
}

#[test]
fn a_drained_instance_is_put_back_only_after_it_is_healthy() {
    let (_, _, change) = interrupted();
    let position = |wanted: fn(&Action) -> bool| change.steps.iter().position(|s| wanted(&s.action));
    let drain = position(|a| matches!(a, Action::Drain { .. }));
    let stop = position(|a| matches!(a, Action::StopContainer { .. }));
    let healthy = position(|a| matches!(a, Action::WaitHealthy { .. }));
    let undrain = position(|a| matches!(a, Action::Undrain { .. }));
    assert!(drain < stop && stop < healthy && healthy < undrain && undrain.is_some());
}
