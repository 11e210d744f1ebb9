//! To convergence: look, plan, carry out, look again, until nothing is left to do or nothing more can be done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::apply::{self, Did, Executor, Report, Works};
use crate::model::drift::Subject;
use crate::model::exit::Found;
use crate::model::observed::Seen;
use crate::model::plan::{Change, Outcome, Plan};
use crate::observe::Surveyor;
use crate::plan;

use super::collect;
use super::flights::Flights;
use super::memory::{Destroyed, Memory};
use super::pass::{self, Beside, Pass};
use super::revision::Reader;
use super::traffic::{Edge, Sight};
use super::{ControlError, World, applying, backoff, first_seen, healthy, last_seen, named, rollouts};

/// More passes than any rollout needs; a fleet that still changes then is a loop, and D7 names it.
const MOST_PASSES: usize = 50;

/// What one `apply` did.
#[derive(Debug)]
#[must_use]
pub struct Converged {
    /// What was carried out, pass by pass.
    pub outcomes: Vec<(Change, Outcome)>,
    /// The last look: what is left, held or unknown.
    pub last: Pass,
}

impl Converged {
    /// Failures that still matter: the last plan wants the change again, holds it back, or cannot see whether it is
    /// needed. What succeeded later is not an error.
    pub fn failures(&self) -> usize {
        let plan = &self.last.plan;
        let left: BTreeSet<String> = (plan.changes.iter().chain(&plan.held).map(|c| &c.subject))
            .chain(plan.blocked.iter().map(|b| &b.subject))
            .chain(plan.unknown.iter().map(|u| &u.subject))
            .chain(plan.drift.iter().map(|d| &d.subject))
            .map(ToString::to_string)
            .collect();
        let observed = &self.last.observed;
        let unseen = |change: &Change| {
            let host = change.subject.host.as_ref();
            let swarm = change.subject.swarm.as_ref();
            host.is_some_and(|host| observed.engine(host).is_none())
                || swarm.is_some_and(|swarm| observed.swarms.get(swarm).and_then(Seen::known).is_none())
        };
        let mut latest: BTreeMap<String, (&Change, &Outcome)> = BTreeMap::new();
        for (change, outcome) in &self.outcomes {
            latest.insert(change.subject.to_string(), (change, outcome));
        }
        latest
            .iter()
            .filter(|(subject, (change, outcome))| {
                matches!(outcome, Outcome::Failed { .. })
                    && (left.contains(subject.as_str()) || unseen(change))
            })
            .count()
    }

    /// Exit code as section X.
    pub fn exit_code(&self) -> u8 {
        Found { error: self.failures() > 0, ..self.last.plan.found() }.exit_code()
    }
}

/// How far `converge` may go.
pub struct Scope<'a> {
    /// Only what a saved plan promised (D11); `None`: whatever the plan says.
    pub promises: Option<&'a BTreeSet<String>>,
    /// Asked before each pass acts; `false` ends it.
    pub agree: &'a (dyn Fn(&Pass) -> bool + Send + Sync),
    /// Set when the process was asked to end: running steps finish, no more start.
    pub stop: &'a apply::Stop,
    /// A person asked for it now: earlier attempts do not make it wait (D3).
    pub fresh: bool,
    /// Swarm is waited for. Else the round ends, and later ones look how far it is (D6).
    pub awaits: bool,
    /// A person is asked first, and wants the whole picture for it.
    pub asks: bool,
    /// Reads of slow hosts that go on meanwhile (D6). `None`: one of its own, and what they bring is waited for at the
    /// end; else the last look may have hosts that are pending.
    pub surveyor: Option<&'a Surveyor>,
    /// Plans are carried out beside the looks, and a round ends while they are (D6). `None`: each is waited for.
    pub flights: Option<&'a Flights>,
}

impl<'a> Scope<'a> {
    /// What a person's command does: now, in full, without asking.
    pub fn of_a_person(agree: &'a (dyn Fn(&Pass) -> bool + Send + Sync), stop: &'a apply::Stop) -> Self {
        Self {
            promises: None,
            agree,
            stop,
            fresh: true,
            awaits: true,
            asks: false,
            surveyor: None,
            flights: None,
        }
    }
}

/// One `apply`: passes until the plan is empty, or a pass brought nothing forward. The caller is the writer (D10).
pub async fn converge(world: &World, reader: &Reader, scope: &Scope<'_>) -> Result<Converged, ControlError> {
    if scope.promises.is_some() {
        named::refuse_stale_plan(world).await?;
    }
    if scope.fresh {
        let memory = Memory::new(&*world.store);
        memory.set_attempts(memory.attempts()?.into_keys().map(|subject| (subject, None)).collect())?;
        rollouts::begin_anew(world)?;
    }
    let mut outcomes = Vec::new();
    // Promises of what this round began, while some of it is under way.
    let mut launched: BTreeSet<String> = BTreeSet::new();
    let own = world.surveyor();
    let surveyor = scope.surveyor.unwrap_or(&own);
    for number in 0..MOST_PASSES {
        // Before git is read, which may take its time: what ended is remembered, whatever becomes of this process (D5).
        settle_ended(world, scope.flights)?;
        // A repository that is slow holds up what is new, and nothing that is under way or waits for its turn (A2, D6).
        let taken = reader.take(world, true).await?;
        let beside = scope.flights.map(|flights| flights.before_look(surveyor)).unwrap_or_default();
        // And what ended meanwhile, which this look is to know of.
        settle_ended(world, scope.flights)?;
        let taken = reader.as_applied_now(world, taken).await?;
        let pass = match number {
            0 if scope.asks => pass::look(world, taken, true).await?,
            // What a host holds that is still being read could be ours (H).
            _ if taken.first => pass::look(world, taken, true).await?,
            _ => pass::look_quick(world, taken, surveyor, &beside, true).await?,
        };
        if let Some(flights) = scope.flights {
            flights.after_look(&pass);
        }
        if pass.taken.first && !pass.lost && world.revision.is_none() {
            reader.begin_with(world, &pass.taken)?;
        }
        if note(world, &pass)? {
            continue;
        }
        if let Some(promises) = scope.promises {
            plan::admit(&pass.plan, promises)
                .map_err(|moved| ControlError::PlanMoved(format!("  {}", moved.join("\n  "))))?;
        }
        let over = scope.stop.is_set() || number + 1 == MOST_PASSES;
        let waits = scope.surveyor.is_none() && !pass.pending.is_empty();
        if pass.plan.is_empty() && waits && !over {
            wait_for_news(surveyor, scope.stop).await;
            continue;
        }
        // What Swarm is at is left to it.
        let idle = !scope.awaits && apply::put_off(&pass.plan).len() == pass.plan.changes.len();
        let ends = over || idle || pass.plan.is_empty();
        let agreed = ends || (scope.agree)(&pass);
        if agreed && !scope.stop.is_set() && !pass.lost {
            applying::note(world, &pass)?;
        }
        if ends || !agreed {
            outcomes.extend(scope.flights.map(Flights::told).unwrap_or_default());
            return Ok(Converged { outcomes, last: pass });
        }
        let carried_out = pass.taken.desired.revision.clone();
        let forward = match scope.flights {
            None => {
                let report = carry_out(world, &pass, scope).await?.outcomes;
                let forward = report.iter().any(|(_, outcome)| matches!(outcome, Outcome::Done));
                outcomes.extend(report);
                forward
            }
            Some(flights) => {
                if flights.is_idle() {
                    launched.clear();
                }
                // What waits for its turn goes on waiting, and whoever asks for the round does not.
                let promises: BTreeSet<String> = pass.plan.changes.iter().map(Change::promise).collect();
                let queued = promises.is_subset(&launched);
                launched.extend(promises);
                let last = queued.then(|| pass.clone());
                launch(world, pass, flights, scope)?;
                if let Some(last) = last {
                    outcomes.extend(flights.told());
                    return Ok(Converged { outcomes, last });
                }
                flights.landed(world, PATIENCE).await;
                settle_ended(world, Some(flights))? || !flights.is_idle()
            }
        };
        if forward {
            continue;
        }
        if waits {
            wait_for_news(surveyor, scope.stop).await;
            continue;
        }
        let taken = reader.take(world, true).await?;
        let last = pass::look_quick(world, taken, surveyor, &Beside::default(), true).await?;
        // What did not come about after all keeps nobody from taking its host out of git (B2).
        last_seen::note(world, &last)?;
        // And what came about of a change that failed as a whole has begun, such as all files but one that is at fault (E1, F3).
        if last.taken.desired.revision == carried_out && !scope.stop.is_set() && !last.lost {
            applying::note(world, &last)?;
        }
        outcomes.extend(scope.flights.map(Flights::told).unwrap_or_default());
        return Ok(Converged { outcomes, last });
    }
    // The loop above returns in its last round at the latest.
    let taken = reader.take(world, true).await?;
    Ok(Converged { outcomes, last: pass::look(world, taken, true).await? })
}

async fn wait_for_news(surveyor: &Surveyor, stop: &apply::Stop) {
    tokio::select! {
        () = surveyor.news() => {}
        () = stop.wait() => {}
    }
}

/// Carries out one plan and remembers how it went.
async fn carry_out(world: &World, pass: &Pass, scope: &Scope<'_>) -> Result<Report, ControlError> {
    rollouts::note_sent(world, pass, &pass.plan)?;
    execute_alone(world, pass, &pass.plan, (scope.stop, scope.awaits), &settle).await
}

/// How long a plan is waited for before the loop looks again beside it: most are carried out by then.
const PATIENCE: Duration = Duration::from_secs(2);

/// Begins one plan beside whatever else is under way.
fn launch(world: &World, pass: Pass, flights: &Flights, scope: &Scope<'_>) -> Result<(), ControlError> {
    rollouts::note_sent(world, &pass, &pass.plan)?;
    flights.launch(world, pass, scope.stop);
    Ok(())
}

/// Remembers how changes went that were carried out beside the looks; whether one was done. Where that fails, what is not
/// remembered yet is tried again the next time.
pub(super) fn settle_ended(world: &World, flights: Option<&Flights>) -> Result<bool, ControlError> {
    let Some(flights) = flights else { return Ok(false) };
    let mut forward = false;
    while let Some(ended) = flights.next_ended() {
        let did = ended.did.map(|did| (ended.change.subject.clone(), did)).into_iter().collect();
        let report = Report { outcomes: vec![(ended.change.clone(), ended.outcome.clone())], did };
        if let Err(error) = settle(world, &ended.pass, &report) {
            flights.put_back(ended);
            return Err(error);
        }
        forward |= ended.outcome == Outcome::Done;
        flights.is_settled(ended);
    }
    Ok(forward)
}

/// What a plan is carried out with, beside others.
pub(super) struct Under<'a> {
    pub works: &'a Works,
    pub flight: u64,
    pub sight: &'a Sight,
    pub ended: apply::Told<'a>,
}

/// What is remembered of a plan that was carried out.
type Remembers<'a> = &'a (dyn Fn(&World, &Pass, &Report) -> Result<(), ControlError> + Sync);

/// Carries out a plan made from what this pass saw, with nothing beside it. How it went is remembered at once: notes of
/// what was pulled may wait for an engine, and whoever ends this process meanwhile loses nothing else (B3, D3).
pub(super) async fn execute_alone(
    world: &World,
    pass: &Pass,
    plan: &Plan,
    how: (&apply::Stop, bool),
    remember: Remembers<'_>,
) -> Result<Report, ControlError> {
    let (works, sight) = (Works::default(), Sight::of(pass));
    let flight = works.flight();
    let (pulled, pulls) = collect::Pulls::new();
    let carried = async move {
        let ended = |change: &Change, outcome: &Outcome, did: Option<Did>| {
            pulled.ended(change, outcome);
            // At once, for whoever looks before the plan is at its end; the whole report says it again.
            if let Err(error) =
                applying::note_begun(world, pass, &[(change, outcome, did.unwrap_or_default())])
            {
                tracing::warn!("{error}; noted again at the end of the plan");
            }
        };
        let under = Under { works: &works, flight, sight: &sight, ended: &ended };
        let report = execute(world, pass, plan, how, &under).await;
        remember(world, pass, &report).map(|()| report)
    };
    tokio::join!(carried, collect::note_pulls(world, pass, pulls)).0
}

/// Carries out a plan made from what this pass saw.
pub(super) async fn execute(
    world: &World,
    pass: &Pass,
    plan: &Plan,
    (stop, awaits): (&apply::Stop, bool),
    under: &Under<'_>,
) -> Report {
    let edge = Edge::new(world, under.sight);
    let owner = world.owner(&pass.desired.fleet);
    let brings = applying::brings(pass);
    let executor = Executor {
        desired: &pass.desired,
        brings: &|change| applying::of(pass, &brings, change),
        swarms: &pass.observed.swarms,
        owner: &owner,
        engines: &*world.engines,
        store: &*world.store,
        clock: &*world.clock,
        progress: &*world.progress,
        traffic: &edge,
        key: &world.key,
        limits: &world.limits,
        call_deadline: world.call_deadline.duration(),
        pull_deadline: world.pull_deadline.duration(),
        stop,
        awaits,
        works: under.works,
        flight: under.flight,
        begins: &|change| last_seen::note_creation(world, change).map_err(|error| error.to_string()),
        ended: under.ended,
    };
    executor.carry_out(plan).await
}

/// Attempts, loops, the budget and what has begun, after a plan was carried out (B3, D3, D7, F3).
fn settle(world: &World, pass: &Pass, report: &Report) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    let now = world.clock.now();
    let before = memory.attempts()?;
    let (mut attempts, mut destroyed) = (BTreeMap::new(), BTreeMap::new());
    for (change, outcome) in &report.outcomes {
        let subject = change.subject.to_string();
        if report.did(change).took {
            let count = plan::taken(&pass.observed, change);
            let one = Destroyed { at: now, revision: pass.plan.revision.clone(), count };
            destroyed.insert(subject.clone(), one);
        }
        if let Some(after) = backoff::after(before.get(&subject), change, outcome, now) {
            attempts.insert(subject, Some(after));
        }
    }
    memory.note_destroyed(destroyed)?;
    memory.set_attempts(attempts)?;
    let outcomes = report.outcomes.iter().map(|(change, outcome)| (change, outcome, report.did(change)));
    applying::note_begun(world, pass, &outcomes.collect::<Vec<_>>())?;
    // No other change of the same has begun meanwhile, whose note this would be: what ended is settled before the look that
    // plans one.
    Ok(memory.forget_ended(report.did.keys())?)
}

/// What a look teaches: since when things drift, what became stable, what goes round in circles. `true`: something was
/// set apart just now (D7), so this plan is not to be carried out any more.
pub fn note(world: &World, pass: &Pass) -> Result<bool, ControlError> {
    let mut set_apart = false;
    let memory = Memory::new(&*world.store);
    let now = world.clock.now();
    first_seen::note(world, pass)?;
    let protection = pass.desired.apps.iter().map(|(key, app)| (key.clone(), app.protect));
    memory.note_protection(&protection.collect())?;
    last_seen::note(world, pass)?;
    healthy::note(world, pass)?;
    let drifting: BTreeSet<String> = pass.plan.drift.iter().map(|d| d.subject.to_string()).collect();
    let unknown: BTreeSet<String> = pass.plan.unknown.iter().map(|u| u.subject.to_string()).collect();
    let wanted: BTreeMap<String, &Change> =
        pass.plan.changes.iter().map(|c| (c.subject.to_string(), c)).collect();
    // What this process does not look at has not come to rest by that.
    let in_view =
        |words: &str| Subject::app_in(words).is_none_or(|app| pass.desired.judges(&app.environment));
    let mut news = BTreeMap::new();
    for (subject, mut attempts) in memory.attempts()?.into_iter().filter(|(words, _)| in_view(words)) {
        if let Some(change) = wanted.get(&subject) {
            if let Some(why) = backoff::is_loop(&attempts, change, world.limits.loop_threshold) {
                memory.quarantine(&change.subject, &change.promise(), &why)?;
                memory.remember(now, Some(&pass.plan.revision), "quarantine", &subject, &why)?;
                news.insert(subject, None);
                set_apart = true;
            }
        } else if !drifting.contains(&subject) && unknown.is_empty() {
            if now.since(attempts.last) >= backoff::STABLE_AFTER {
                news.insert(subject, None);
            } else if attempts.same > 0 {
                // Seen as declared in between: not a circle, however often somebody changes it by hand.
                attempts.same = 0;
                news.insert(subject, Some(attempts));
            }
        }
    }
    memory.set_attempts(news)?;
    let at_rest = |words: &String| !drifting.contains(words) && unknown.is_empty() && in_view(words);
    for subject in memory.quarantined()?.keys().filter(|words| at_rest(words)) {
        memory.release(subject)?;
    }
    Ok(set_apart)
}
