//! From when on a revision is what was applied, app by app (F2, F3).
//!
//! What is taken and of which nothing could be begun (it is paused, held, or its host is silent) is no applied state: it stays a
//! change, and the rules are asked of it at each look. So a freeze that begins meanwhile holds it. What has begun goes on to its
//! end, since half of a rollout is worse than either side of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::apply::Did;
use crate::config;
use crate::model::app::Runtime;
use crate::model::desired::Desired;
use crate::model::drift::Kind;
use crate::model::file::FileSet;
use crate::model::finding::{Effect, Finding};
use crate::model::names::{AppKey, Revision};
use crate::model::observed::Seen;
use crate::model::plan::{Change, Outcome, Verb};
use crate::render;

use super::baseline::Applied;
use super::memory::Memory;
use super::pass::Pass;
use super::{ControlError, World, behind, named};

/// Before a plan is carried out: the revision is what was applied, as far as the policies let it and as far as nothing is left to
/// do. Told in the history where findings went with it.
pub(super) fn note(world: &World, pass: &Pass) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    // Before what was applied until now is forgotten.
    memory.set_swarms_behind(&behind::swarms_to_remember(&memory.swarms_behind()?, pass))?;
    let now = memory.applied()?.unwrap_or_else(|| pass.taken.baseline.applied.clone());
    let Some(becomes) = reached(world, pass, &now)?.filter(|becomes| *becomes != now) else {
        return Ok(());
    };
    memory.set_applied(&becomes)?;
    if world.revision.is_some() && becomes.fleet != now.fleet {
        named::note_applied(world, &pass.taken)?;
    }
    let moves = becomes.fleet != now.fleet || becomes.rules != now.rules;
    remember(world, pass, |finding| match &finding.app {
        Some(app) if finding.effect != Effect::Holds => now.of(app) != becomes.of(app),
        Some(_) | None => moves,
    })
}

/// After changes were carried out: apps of which something has come about are at this revision.
///
/// What is applied is read and written by one task alone, the one that looks and settles: plans that are carried out beside it
/// only write how each change ended into its own note, which stays until that is settled. So nothing is lost between the two,
/// whenever the process is killed (D5), and neither takes back what the other wrote.
pub(super) fn note_begun(
    world: &World,
    pass: &Pass,
    outcomes: &[(&Change, &Outcome, Did)],
) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    let Some(mut applied) = memory.applied()? else { return Ok(()) };
    let brings = brings(pass);
    let before = applied.clone();
    for (change, _, _) in outcomes.iter().filter(|(change, outcome, did)| is_begun(change, outcome, *did)) {
        for app in of(pass, &brings, change) {
            moves_on(&mut applied, &app, &pass.taken.desired.revision);
        }
    }
    // Nothing of it is judged any more but what is held.
    if let Some(becomes) = pass.judged.becomes.as_ref().filter(|becomes| becomes.fleet == applied.fleet)
        && becomes.rules == becomes.fleet
        && applied.behind.keys().all(|app| becomes.behind.contains_key(app))
    {
        applied.rules.clone_from(&becomes.rules);
    }
    if applied == before {
        return Ok(());
    }
    memory.set_applied(&applied)?;
    remember(world, pass, |finding| {
        let of = |app: &AppKey| before.of(app) != applied.of(app);
        finding.effect != Effect::Holds && finding.app.as_ref().is_some_and(of)
    })
}

/// Before it is forgotten what a process that was killed was at: what had come about has, whether or not that was settled, and
/// what it may have sent to a Swarm goes on there (D5). Anything else in the middle of its steps had not come about: it is put
/// back where the policies hold it by now.
pub(super) fn note_interrupted(memory: &Memory<'_>) -> Result<(), ControlError> {
    let Some(mut applied) = memory.applied()? else { return Ok(()) };
    let before = applied.clone();
    for noted in memory.noted()? {
        let change = &noted.begun.change;
        let begun = match &noted.ended {
            Some((outcome, did)) => is_begun(change, outcome, *did),
            None => change.subject.kind == Kind::Service && is_bringing(change),
        };
        for app in noted.brought().iter().filter(|_| begun) {
            moves_on(&mut applied, app, &noted.begun.revision);
        }
    }
    if applied != before {
        memory.set_applied(&applied)?;
    }
    Ok(())
}

/// Apps whose change this look's plan may carry out: neither held nor somebody else's.
pub(super) fn brings(pass: &Pass) -> BTreeSet<AppKey> {
    let Some(becomes) = &pass.judged.becomes else { return BTreeSet::new() };
    pass.judged.changes.iter().filter(|app| !becomes.behind.contains_key(*app)).cloned().collect()
}

/// Those of the apps which this look's plan `brings` of which a change has something: its own, or those in its files.
pub(super) fn of(pass: &Pass, brings: &BTreeSet<AppKey>, change: &Change) -> BTreeSet<AppKey> {
    if change.subject.kind != Kind::Files {
        return change.app.iter().filter(|app| brings.contains(*app)).cloned().collect();
    }
    let Ok(set) = change.subject.name.parse() else { return BTreeSet::new() };
    let goes_out = |app: &&AppKey| is_in(pass, &set, app) && differs(pass, &set, app) == Some(true);
    brings.iter().filter(goes_out).cloned().collect()
}

fn moves_on(applied: &mut Applied, app: &AppKey, revision: &Revision) {
    let Some(at) = applied.behind.get_mut(app) else { return };
    // A later revision may have been taken meanwhile.
    *at = Some(revision.clone());
    if applied.fleet.as_ref() == Some(revision) {
        applied.behind.remove(app);
    }
}

/// What git has of an app that was there before differs in what these generated files are made of: they carry its change, or a
/// part of it.
fn is_in(pass: &Pass, set: &FileSet, app: &AppKey) -> bool {
    let before = pass.taken.baseline.desired.as_ref().and_then(|desired| desired.apps.get(app));
    let after = pass.judged.enforced.desired.apps.get(app);
    before.zip(after).is_some_and(|(before, after)| match set {
        FileSet::Nginx => before.upstream != after.upstream,
        FileSet::Flume(_) => before.logs != after.logs,
    })
}

/// Whether the set as it was installed had something else of the app than it is to have: else what is installed says nothing of
/// the app, such as of one whose silent host keeps its lines (A1). `None`: nobody can tell.
fn differs(pass: &Pass, set: &FileSet, app: &AppKey) -> Option<bool> {
    let installed = pass.observed.files.get(set)?.known()?;
    let wanted = pass.rendered.sets.get(set).and_then(|files| render::part_of(set, files, app));
    Some(wanted != installed.as_ref().and_then(|files| render::part_of(set, files, app)))
}

/// Generated files that carry the app's change are not installed yet, or nobody can tell. What they have of others is no matter:
/// those are installed where one is at fault (E1).
fn lacks_files(pass: &Pass, app: &AppKey) -> bool {
    let mut carry = pass.observed.files.keys().filter(|set| is_in(pass, set, app));
    carry.any(|set| differs(pass, set, app).unwrap_or(true))
}

/// Something of the app is now as this revision has it. A container that could not be made was put back; a service that failed
/// counts where it was sent, or may have been.
fn is_begun(change: &Change, outcome: &Outcome, did: Did) -> bool {
    is_bringing(change)
        && match (change.subject.kind, outcome) {
            (
                Kind::Container | Kind::Service | Kind::Files,
                Outcome::Done | Outcome::Begun | Outcome::NotNeeded { .. },
            ) => true,
            // What is only waited for was sent before.
            (Kind::Service, Outcome::Failed { .. }) => did.sent || change.action == Verb::Await,
            // No answer came, and what the next try found there was somebody's after it.
            (Kind::Service, Outcome::Skipped { .. }) => did.sent,
            (_, _) => false,
        }
}

const fn is_bringing(change: &Change) -> bool {
    match change.action {
        Verb::Create | Verb::Update | Verb::Replace | Verb::Remove | Verb::Install => true,
        Verb::Await => matches!(change.subject.kind, Kind::Service),
        Verb::Start | Verb::Restart | Verb::Recover => false,
    }
}

/// What is applied by what this look saw; `None`: nothing of it moves.
fn reached(world: &World, pass: &Pass, now: &Applied) -> Result<Option<Applied>, ControlError> {
    let Some(mut becomes) = pass.judged.becomes.clone() else { return Ok(None) };
    // The first revision says what is there already: nobody compares it with anything.
    if now.fleet.is_none() {
        return Ok(Some(becomes));
    }
    // While the whole fleet stands still nothing moves.
    if Memory::new(&*world.store).pauses(world.clock.now())?.iter().any(|(app, _)| app.is_none()) {
        return Ok(None);
    }
    // What began since this look's revision was taken is known by now.
    let not_there = |apps: BTreeSet<AppKey>| {
        let apps = apps.into_iter().map(|app| (now.of(&app), app));
        apps.filter(|(at, _)| *at != becomes.fleet).map(|(at, app)| (app, at)).collect::<BTreeMap<_, _>>()
    };
    let left = pass.judged.changes.iter().filter(|app| is_left(pass, app)).cloned();
    let left = not_there(left.collect());
    let held = not_there(becomes.behind.keys().cloned().collect());
    let behind: BTreeMap<_, _> = left.clone().into_iter().chain(held.clone()).collect();
    // What stays behind is healed as it was, and the next revision is compared with it: both need it to fit the rest (A5).
    if left.is_empty() || !fits(pass, behind.keys()) {
        becomes.behind = held;
        return Ok(Some(becomes));
    }
    becomes.behind = behind;
    // What is still judged of this revision is judged by the rules from before it (F1).
    becomes.rules.clone_from(&now.rules);
    Ok(Some(becomes))
}

/// Whether this revision is sound with these apps as they were.
fn fits<'a>(pass: &Pass, behind: impl Iterator<Item = &'a AppKey>) -> bool {
    let Some(before) = &pass.taken.baseline.desired else { return true };
    let behind: BTreeSet<&AppKey> = behind.collect();
    let mut mixed = pass.taken.desired.with_as_before(before, behind.iter().copied());
    mixed.apps.retain(|app, _| !behind.contains(app) || before.apps.contains_key(app));
    config::is_sound(&mixed)
}

/// Something of its change is still to be done, as far as anyone can see. What is only watched is brought in by git alone (A6).
fn is_left(pass: &Pass, app: &AppKey) -> bool {
    let desired = &pass.judged.enforced.desired;
    if desired.is_only_watched(app) {
        return false;
    }
    let plan = &pass.plan;
    let of_it = |other: &Option<AppKey>| other.as_ref() == Some(app);
    // What Swarm is at is as declared already.
    let planned = plan.changes.iter().any(|c| of_it(&c.app) && c.action != Verb::Await);
    let unseen = |desired: &Desired| match desired.apps.get(app).map(|app| (&app.runtime, app.service_name()))
    {
        Some((Runtime::Swarm(service), name)) if pass.desired.swarms.contains_key(&service.swarm) => {
            let swarm = pass.observed.swarms.get(&service.swarm).and_then(Seen::known);
            swarm.is_none_or(|swarm| swarm.services.get(&name).is_some_and(|live| live.known().is_none()))
        }
        Some((Runtime::Swarm(_) | Runtime::Host(_), _)) | None => false,
    };
    planned
        || plan.under_way.iter().any(|begun| of_it(&begun.app))
        || plan.waiting.contains(app)
        || lacks_files(pass, app)
        || unseen(desired)
        || pass.taken.baseline.desired.as_ref().is_some_and(unseen)
}

/// Tells in the history what the rules said, where it counts from now on.
fn remember(world: &World, pass: &Pass, is_told: impl Fn(&Finding) -> bool) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    for finding in pass.plan.findings.findings.iter().filter(|finding| is_told(finding)) {
        let subject = finding.app.as_ref().map_or_else(|| "fleet".to_owned(), ToString::to_string);
        let what = match &finding.effect {
            Effect::Holds => "held",
            Effect::Overridden(_) => "overridden",
            Effect::Told => continue,
        };
        let detail = format!("{}: {}", finding.rule, finding.message);
        memory.remember(world.clock.now(), Some(&pass.taken.desired.revision), what, &subject, &detail)?;
    }
    Ok(())
}
