//! Who goes first: dependencies before dependents (D4), healing before pacing, a few at a time (D1).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::app::{App, Strategy};
use crate::model::drift::Nature;
use crate::model::names::AppKey;
use crate::model::plan::Verb;

use super::PlanInput;
use super::draft::Draft;
use super::instance::Wanted;

/// Takes the wanted changes up, app by app, each waiting for what it has to.
pub(super) fn order(input: &PlanInput<'_>, wanted: Vec<Wanted>, draft: &mut Draft) {
    let mut by_app: BTreeMap<AppKey, Vec<Wanted>> = BTreeMap::new();
    for one in wanted {
        if let Some(key) = one.change.app.clone() {
            by_app.entry(key).or_default().push(one);
        }
    }
    for key in in_dependency_order(input) {
        let (Some(app), Some(mut wanted)) = (input.desired.apps.get(&key), by_app.remove(&key)) else {
            continue;
        };
        wanted.sort_by_key(|w| (w.takes_away, slot(&w.change.subject.name)));
        one_app(input, app, wanted, draft);
    }
}

fn slot(name: &str) -> u32 {
    name.rsplit('-').next().and_then(|slot| slot.parse().ok()).unwrap_or(u32::MAX)
}

/// Depth first along `depends_on`; config has refused circles.
fn in_dependency_order(input: &PlanInput<'_>) -> Vec<AppKey> {
    fn visit(input: &PlanInput<'_>, key: &AppKey, seen: &mut BTreeSet<AppKey>, order: &mut Vec<AppKey>) {
        if !seen.insert(key.clone()) {
            return;
        }
        if let Some(app) = input.desired.apps.get(key) {
            for dependency in dependencies(app) {
                visit(input, &dependency, seen, order);
            }
            order.push(key.clone());
        }
    }
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    for key in input.desired.apps.keys() {
        visit(input, key, &mut seen, &mut order);
    }
    order
}

fn dependencies(app: &App) -> impl Iterator<Item = AppKey> + '_ {
    app.depends_on.iter().map(|name| AppKey { app: name.clone(), environment: app.key.environment.clone() })
}

fn one_app(input: &PlanInput<'_>, app: &App, wanted: Vec<Wanted>, draft: &mut Draft) {
    let at_once = usize::try_from(app.update.max_unavailable.max(1)).unwrap_or(1);
    let dependencies_done: BTreeSet<usize> = dependencies(app).flat_map(|key| draft.of_app(&key)).collect();
    let not_well = dependencies(app).find(|key| is_unwell(draft, key));
    // Instances that are away already count against what may be away; healing them comes first.
    let mut healing: Vec<usize> = Vec::new();
    let mut paced: Vec<usize> = Vec::new();
    for Wanted { nature, mut change, takes_away, waits_for } in wanted {
        if let (Verb::Create | Verb::Replace, Some(dependency)) = (change.action, &not_well) {
            let why = format!("waits for {dependency}, which is not well (D4)");
            draft.leave(change.subject.clone(), change.app.clone(), nature, why.clone());
            draft.block(change.subject, change.app, why, "mend the dependency; this goes on by itself then");
            continue;
        }
        let mut after: BTreeSet<usize> = dependencies_done.clone();
        after.extend(waits_for);
        // What an interrupted replacement left behind goes first: its names are needed again.
        let leftover = format!("{}.trueup-", change.subject.name);
        after.extend(draft.numbers(|c| c.action == Verb::Recover && c.subject.name.starts_with(&leftover)));
        if takes_away && app.update.strategy == Strategy::Rolling {
            after.extend(&healing);
            if paced.len() >= at_once {
                after.insert(paced[paced.len() - at_once]);
            }
        }
        change.after = after.into_iter().collect();
        change.interrupts |= takes_away && serves_alone(app);
        if let Some(number) = draft.heal(input, nature, change) {
            if takes_away { paced.push(number) } else { healing.push(number) }
        }
    }
}

/// Nobody else serves while this one is replaced: told in the plan as an interruption (D1).
fn serves_alone(app: &App) -> bool {
    use crate::model::app::{Replicas, Runtime};
    match &app.runtime {
        Runtime::Host(placement) => placement.replicas == Replicas::Count(1),
        Runtime::Swarm(_) => false,
    }
}

/// It drifts and nothing in this plan brings it back.
fn is_unwell(draft: &Draft, key: &AppKey) -> bool {
    let left = |nature: &Nature| match nature {
        Nature::Missing | Nature::NotRunning(_) | Nature::Unhealthy(_) => true,
        Nature::Extra | Nature::Changed(_) => false,
    };
    draft.drift.iter().any(|d| d.app.as_ref() == Some(key) && d.left_alone.is_some() && left(&d.nature))
        || draft.blocked.iter().any(|b| b.app.as_ref() == Some(key))
}
