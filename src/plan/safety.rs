//! The last look before a draft becomes a plan: the blast radius (B3), and the numbering.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::drift::{Cure, Drift, Kind, Nature};
use crate::model::finding::Findings;
use crate::model::names::AppKey;
use crate::model::ownership::base;
use crate::model::plan::{Blocked, Change, Plan, UnderWay, Verb};

use super::PlanInput;
use super::draft::Draft;
use super::seen::Fleet;
use super::swarm::{self, Swarms};
use super::under_way::Begun;

/// Holds what takes away too much, drops what waits for it, and numbers the rest.
pub(super) fn finish(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    swarms: &Swarms<'_>,
    draft: Draft,
    mut under_way: Vec<UnderWay>,
) -> Plan {
    let reasons = held(input, fleet, swarms, &draft);
    for one in &mut under_way {
        one.overtaken &= !is_held(&draft, &reasons, one);
    }
    let mut notes = draft.notes;
    let mut blocked = draft.blocked;
    let mut waiting = draft.waiting;
    let (held, changes) = split(input, draft.changes, &reasons, &mut notes, &mut waiting);
    let revision = input.desired.revision.clone();
    let held_id = if held.is_empty() { String::new() } else { Plan::id_of(&revision, &held) };
    for change in &held {
        let reason = reasons.values().next().cloned().unwrap_or_default();
        blocked.push(Blocked {
            subject: change.subject.clone(),
            app: change.app.clone(),
            reason: reasons_of(&reasons, &change.promise()).unwrap_or(reason),
            hint: format!("look at it, then `trueup approve --plan {held_id} --reason …`"),
        });
    }
    Plan {
        id: Plan::id_of(&revision, &changes),
        revision,
        observed_at: input.observed.at,
        changes,
        held,
        held_id,
        blocked,
        unknown: draft.unknown,
        unmanaged: draft.unmanaged,
        drift: draft.drift,
        notes,
        findings: Findings::default(),
        kept_because: None,
        under_way,
        waiting,
    }
}

/// Why each held change is held, by its promise.
type Reasons = BTreeMap<String, String>;

fn reasons_of(reasons: &Reasons, promise: &str) -> Option<String> {
    reasons.get(promise).cloned()
}

fn held(input: &PlanInput<'_>, fleet: &Fleet<'_>, swarms: &Swarms<'_>, draft: &Draft) -> Reasons {
    let mut reasons = Reasons::new();
    let mut hold = |change: &Change, reason: &str| {
        let promise = change.promise();
        if !input.holds.approved.contains(&promise) {
            reasons.entry(promise).or_insert_with(|| reason.to_owned());
        }
    };
    let destructive: Vec<&Change> = draft.changes.iter().filter(|c| c.destructive).collect();
    // What is being taken away and is not seen any more was not noted yet.
    let planned = |change: &Change| destructive.iter().any(|other| other.subject == change.subject);
    let begun = input.holds.under_way.iter().map(|begun| &begun.change);
    let begun = begun.filter(|change| change.destructive && !planned(change));
    let going_now: usize = begun.map(|change| swarm::taken(input.observed, change)).sum();
    let recent = input.holds.destroyed_recently + going_now;
    let weights = destructive.iter().map(|change| swarm::taken(input.observed, change));
    let going = weights.sum::<usize>() + recent;
    let all = fleet.instances() + swarms.tasks(input) + recent;
    if going > input.limits.destroy_count && exceeds(going, all, input.limits.destroy_share) {
        let earlier = match recent {
            0 => String::new(),
            n => format!(", with {n} that went within the hour or for this revision"),
        };
        let why = format!("{going} of {all} instances would be taken away{earlier} (B3)");
        destructive.iter().for_each(|change| hold(change, &why));
    }
    for (key, changes) in last_of_production(input, fleet, &destructive) {
        let why = format!("the last instance of the production app {key} would go (B3)");
        changes.iter().for_each(|change| hold(change, &why));
    }
    for change in draft.changes.iter().filter(|change| is_last_service(input, change)) {
        let why =
            format!("the last instances of the production service {} would go (B3)", change.subject.name);
        hold(change, &why);
    }
    let replaced: BTreeSet<&AppKey> = replacements(draft).filter_map(|c| c.app.as_ref()).collect();
    let (count, apps) = (replaced.len(), input.desired.apps.len());
    if count > input.limits.replace_apps_count && exceeds(count, apps, input.limits.replace_apps_share) {
        let why = format!("instances of {count} of {apps} apps would be replaced at once (B3)");
        replacements(draft).for_each(|change| hold(change, &why));
    }
    reasons
}

/// Whether what a newer revision wants in place of what is under way would be held: its removal, or replacements altogether.
fn is_held(draft: &Draft, reasons: &Reasons, one: &UnderWay) -> bool {
    let goes = |change: &Change| change.action == Verb::Remove && change.subject.kind == Kind::Container;
    let held = |change: &&Change| reasons.contains_key(&change.promise());
    let mut removals = draft
        .changes
        .iter()
        .filter(|change| goes(change) && base(&change.subject.name) == base(&one.subject.name));
    removals.any(|change| held(&change))
        || replacements(draft).any(|change| held(&change) && change.subject.kind == Kind::Container)
}

fn replacements(draft: &Draft) -> impl Iterator<Item = &Change> {
    // A service's update replaces its tasks where a field of them changes.
    let renews = |change: &Change| {
        let differs = |drift: &&Drift| drift.subject == change.subject && drift.left_alone.is_none();
        draft.drift.iter().filter(differs).any(|drift| match &drift.nature {
            Nature::Changed(fields) => fields.iter().any(|field| field.cure == Cure::Replace),
            Nature::Missing | Nature::Extra | Nature::NotRunning(_) | Nature::Unhealthy(_) => false,
        })
    };
    draft.changes.iter().filter(move |change| match (change.subject.kind, change.action) {
        (Kind::Container | Kind::Service, Verb::Replace) => true,
        (Kind::Service, Verb::Update) => renews(change),
        (_, _) => false,
    })
}

fn exceeds(part: usize, all: usize, share: f64) -> bool {
    // Counts of instances are far below what a double holds exactly.
    #[allow(clippy::cast_precision_loss)]
    let (part, all) = (part as f64, all as f64);
    part > all * share
}

fn last_of_production<'d>(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    destructive: &[&'d Change],
) -> BTreeMap<AppKey, Vec<&'d Change>> {
    let mut by_app: BTreeMap<AppKey, Vec<&Change>> = BTreeMap::new();
    for change in destructive.iter().filter(|change| change.subject.kind == Kind::Container) {
        if let Some(key) = &change.app {
            by_app.entry(key.clone()).or_default().push(change);
        }
    }
    by_app.retain(|key, changes| {
        let production = input.desired.is_production(&key.environment);
        let instances = fleet.owned.keys().filter(|i| i.key == *key && fleet.current(i).next().is_some());
        production && changes.len() >= instances.count()
    });
    by_app
}

/// A production service that goes with nothing in its place; or for a while, since another kind of service takes its
/// name and cannot be made before it is gone.
fn is_last_service(input: &PlanInput<'_>, change: &Change) -> bool {
    let production = change.app.as_ref().is_some_and(|key| input.desired.is_production(&key.environment));
    let made_anew = change.action == Verb::Replace && change.interrupts;
    production
        && change.subject.kind == Kind::Service
        && (made_anew || swarm::leaves_nothing(input.observed, change))
}

/// Where a change of the draft is in the plan.
#[derive(Clone, Copy)]
enum Goes {
    At(usize),
    Held,
    /// It is under way, or waits for what is.
    Later,
}

/// The held ones, and the others renumbered; what waits for a held one waits too. What is under way is not begun again, and
/// what waits for it is for the plan that comes when it has ended.
fn split(
    input: &PlanInput<'_>,
    changes: Vec<Change>,
    reasons: &Reasons,
    notes: &mut Vec<String>,
    waiting: &mut BTreeSet<AppKey>,
) -> (Vec<Change>, Vec<Change>) {
    let mut number: Vec<Goes> = Vec::with_capacity(changes.len());
    let (mut held, mut kept): (Vec<Change>, Vec<Change>) = (Vec::new(), Vec::new());
    for mut change in changes {
        let at_it = |begun: &Begun| begun.covers(&change.subject) || begun.needs(input, &change);
        let begun = input.holds.under_way.iter().any(at_it);
        let before: Vec<Goes> = change.after.iter().filter_map(|n| number.get(*n).copied()).collect();
        let after = before.iter().filter_map(|goes| match goes {
            Goes::At(number) => Some(*number),
            Goes::Held | Goes::Later => None,
        });
        let after: Vec<usize> = after.collect();
        let app = change.app.clone();
        let waits = before.iter().any(|goes| matches!(goes, Goes::Later));
        let goes = if begun || waits {
            Goes::Later
        } else if reasons.contains_key(&change.promise()) {
            change.after = Vec::new();
            held.push(change);
            Goes::Held
        } else if after.len() < change.after.len() {
            notes.push(format!("{} waits for what is held", change.subject));
            Goes::Held
        } else {
            change.after = after;
            kept.push(change);
            Goes::At(kept.len() - 1)
        };
        number.push(goes);
        match goes {
            Goes::At(_) => {}
            Goes::Held | Goes::Later => waiting.extend(app),
        }
    }
    (held, kept)
}
