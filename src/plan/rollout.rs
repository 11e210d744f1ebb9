//! Who goes first: dependencies before dependents (D4), healing before pacing, a few at a time (D1).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::app::{App, Runtime, Strategy};
use crate::model::drift::{Drift, Kind, Nature};
use crate::model::names::{AppKey, InstanceName};
use crate::model::plan::{Change, Verb};

use super::addresses::Target;
use super::draft::Draft;
use super::instance::Wanted;
use super::seen::{Fleet, serves};
use super::swarm::Swarms;
use super::{PlanInput, under_way};

/// Takes the wanted changes up, app by app, each waiting for what it has to.
pub(super) fn order(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    swarms: &Swarms<'_>,
    targets: &[Target],
    wanted: Vec<Wanted>,
    draft: &mut Draft,
) {
    let mut by_app: BTreeMap<AppKey, Vec<Wanted>> = BTreeMap::new();
    for one in wanted.into_iter().chain(under_way::without_target(input, targets)) {
        if let Some(key) = one.change.app.clone() {
            by_app.entry(key).or_default().push(one);
        }
    }
    let mut away = away(fleet, targets, draft);
    for app in input.desired.apps.values().filter(|app| !swarms.is_well(input, app)) {
        away.entry(app.key.clone()).or_default().insert(app.key.to_string());
    }
    for key in in_dependency_order(input) {
        let Some(app) = input.desired.apps.get(&key) else { continue };
        if matches!(app.runtime, Runtime::Swarm(_)) {
            service(input, swarms, app, &away, draft);
            continue;
        }
        let Some(mut wanted) = by_app.remove(&key) else { continue };
        wanted.sort_by_key(|w| (!w.under_way, w.takes_away, slot(&w.change.subject.name)));
        one_app(input, app, wanted, &away, draft);
    }
}

/// By app, the declared instances that do not serve now, as far as anyone can see: they count against how many may be
/// away at once (D1).
type Away = BTreeMap<AppKey, BTreeSet<String>>;

fn away(fleet: &Fleet<'_>, targets: &[Target], draft: &Draft) -> Away {
    let seated = targets.iter().map(|target| target.instance.clone());
    // Those that can be given no host or no address are told as blocked.
    let blocked = draft.blocked.iter().filter(|b| b.subject.kind == Kind::Container);
    let blocked = blocked.filter_map(|b| b.subject.name.parse::<InstanceName>().ok());
    let mut away = Away::new();
    for instance in seated.chain(blocked) {
        let unseen = fleet.unreadable.contains_key(&instance);
        if !unseen && !fleet.current(&instance).any(|owned| serves(owned.container)) {
            away.entry(instance.key.clone()).or_default().insert(instance.to_string());
        }
    }
    away
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

/// A service comes after the changes of what it depends on; where that is not well and nothing mends it, it waits (D4).
fn service(input: &PlanInput<'_>, swarms: &Swarms<'_>, app: &App, away: &Away, draft: &mut Draft) {
    let after: BTreeSet<usize> = dependencies(app).flat_map(|key| draft.of_app(&key)).collect();
    let not_well = dependencies(app).find(|key| is_unwell(draft, away, key));
    let Some(dependency) = not_well else {
        swarms.app(input, app, &after, draft);
        return;
    };
    // What it would be is planned on the side: what has nothing to wait for is not told as waiting.
    let before = draft.changes.len();
    let mut aside = Draft::default();
    aside.changes.clone_from(&draft.changes);
    swarms.app(input, app, &after, &mut aside);
    let starts = |change: &Change| change.subject.kind == Kind::Service && change.action != Verb::Await;
    if !aside.changes.iter().skip(before).any(starts) {
        swarms.app(input, app, &after, draft);
        return;
    }
    draft.drift.extend(
        aside
            .drift
            .into_iter()
            .map(|drift| Drift { left_alone: Some(format!("waits for {dependency} (D4)")), ..drift }),
    );
    if let Some(change) = aside.changes.into_iter().skip(before).find(|change| starts(change)) {
        let why = format!("waits for {dependency}, which is not yet well as declared (D4)");
        draft.block(change.subject, change.app, why, "mend the dependency; this goes on by itself then");
    }
}

fn one_app(input: &PlanInput<'_>, app: &App, wanted: Vec<Wanted>, away: &Away, draft: &mut Draft) {
    let dependencies_done: BTreeSet<usize> = dependencies(app).flat_map(|key| draft.of_app(&key)).collect();
    let not_well = dependencies(app).find(|key| is_unwell(draft, away, key));
    // A rollout begins when every host of it has the image: it is not left half done for want of one (D1). Healing and
    // first creations wait for their own host's alone (D6).
    let pulls: BTreeSet<usize> = wanted.iter().flat_map(|w| &w.waits_for).copied().collect();
    let pulls: Vec<usize> =
        pulls.into_iter().filter(|n| draft.changes[*n].subject.kind == Kind::Image).collect();
    let mut pace = Pace::new(app);
    for Wanted { nature, mut change, takes_away, waits_for, under_way } in wanted {
        if under_way {
            let subject = change.subject.clone();
            let number = draft.is_begun(nature, change);
            let at_it = if takes_away { &mut pace.taken } else { &mut pace.healing };
            at_it.push(number);
            let paced = takes_away && app.update.strategy == Strategy::Rolling;
            if not_well.is_some() || (paced && pace.next(away, draft).is_err()) {
                draft.not_now.push(subject);
            }
            continue;
        }
        if let (Verb::Create | Verb::Replace, Some(dependency)) = (change.action, &not_well) {
            let why = format!("waits for {dependency}, which is not yet well as declared (D4)");
            let hint = "mend the dependency; this goes on by itself then";
            draft.hold_back(input, nature, change, why, hint);
            continue;
        }
        let mut after: BTreeSet<usize> = dependencies_done.clone();
        after.extend(waits_for);
        after.extend(leftovers_of(&change, draft));
        let paced = takes_away && app.update.strategy == Strategy::Rolling;
        if takes_away && change.action == Verb::Replace {
            after.extend(&pulls);
        }
        if paced {
            match pace.next(away, draft) {
                Ok(earlier) => after.extend(earlier),
                Err(why) => {
                    let hint = "mend that one; this goes on by itself then";
                    draft.hold_back(input, nature, change, why, hint);
                    continue;
                }
            }
        }
        change.after = after.into_iter().collect();
        change.interrupts |= takes_away && serves_alone(app);
        let name = change.subject.name.clone();
        match (draft.heal(input, nature, change), paced) {
            (Some(number), true) => pace.taken.push(number),
            (Some(number), false) => pace.healing.push(number),
            // One that failed before waits for its next try (D3), and nobody follows it into the same trouble.
            (None, true) => pace.halted = Some(name),
            (None, false) => {}
        }
    }
}

/// How many of an app go at once, and after whom (D1).
struct Pace<'a> {
    app: &'a App,
    /// Numbers of the changes that bring back or leave alone who is away or stays.
    healing: Vec<usize>,
    /// Numbers of the changes that take away who serves.
    taken: Vec<usize>,
    /// The first that was left alone.
    halted: Option<String>,
}

impl<'a> Pace<'a> {
    fn new(app: &'a App) -> Self {
        Self { app, healing: Vec::new(), taken: Vec::new(), halted: None }
    }

    /// What the next one that serves has to wait for; or why it can't go in this plan.
    fn next(&self, away: &Away, draft: &Draft) -> Result<BTreeSet<usize>, String> {
        if let Some(first) = &self.halted {
            return Err(format!("waits until {first} is changed (D1)"));
        }
        let at_it = || self.healing.iter().chain(&self.taken);
        let mended = |name: &String| at_it().any(|n| draft.changes[*n].subject.name == *name);
        let away = away.get(&self.app.key).into_iter().flatten();
        let stuck: Vec<&str> = away.filter(|name| !mended(name)).map(String::as_str).collect();
        let may_be_away = usize::try_from(self.app.update.max_unavailable.max(1)).unwrap_or(1);
        let at_once = may_be_away.saturating_sub(stuck.len());
        if at_once == 0 {
            return Err(format!("waits until {} is back: no more may be away (D1)", stuck.join(", ")));
        }
        // Healing comes first: who is away already counts against what may be away.
        let mut after: BTreeSet<usize> = self.healing.iter().copied().collect();
        if self.taken.len() >= at_once {
            after.insert(self.taken[self.taken.len() - at_once]);
        }
        Ok(after)
    }
}

/// What finishes an interrupted replacement of the same instance.
fn leftovers_of(change: &Change, draft: &Draft) -> BTreeSet<usize> {
    let name = &change.subject.name;
    draft.numbers(|other| {
        other.action == Verb::Recover
            && other.subject.host == change.subject.host
            && (other.subject.name == *name || other.subject.name.starts_with(&format!("{name}.trueup-")))
    })
}

/// Nobody else serves while this one is replaced: told in the plan as an interruption (D1).
fn serves_alone(app: &App) -> bool {
    use crate::model::app::Replicas;
    match &app.runtime {
        Runtime::Host(placement) => placement.replicas == Replicas::Count(1),
        Runtime::Swarm(_) => false,
    }
}

/// An instance of it is away or drifts, and nothing in this plan brings it back.
fn is_unwell(draft: &Draft, away: &Away, key: &AppKey) -> bool {
    let mended = |name: &String| {
        let mends = |kind| matches!(kind, Kind::Container | Kind::Service);
        draft.changes.iter().any(|c| mends(c.subject.kind) && c.subject.name == *name)
    };
    if away.get(key).into_iter().flatten().any(|name| !mended(name)) {
        return true;
    }
    let left = |nature: &Nature| match nature {
        Nature::Missing | Nature::NotRunning(_) | Nature::Unhealthy(_) => true,
        Nature::Extra | Nature::Changed(_) => false,
    };
    draft.drift.iter().any(|d| d.app.as_ref() == Some(key) && d.left_alone.is_some() && left(&d.nature))
        || draft.blocked.iter().any(|b| b.app.as_ref() == Some(key))
}
