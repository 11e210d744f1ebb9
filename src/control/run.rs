//! The loop: wakes when git or an engine changed, when a wait is over, or when it is time to look again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::apply;
use crate::model::drift::Drift;
use crate::model::plan::{Outcome, Verb};
use crate::observe::Watch;

use super::collect::Collector;
use super::converge::{Converged, Scope, converge, settle_ended};
use super::flights::{Flights, TellsBeside};
use super::memory::Memory;
use super::metrics::Metrics;
use super::reporting::Reporting;
use super::revision::Reader;
use super::{ControlError, World, applying};

/// How long engine events are gathered before looking, so that a burst costs one look. An engine says that a stream is open a
/// moment before it has taken note of the listener: that moment passes here as well.
const GATHER: Duration = Duration::from_millis(200);
/// While changes are carried out, which cause most of the events: at least so long from one look to the next.
const WHILE_UNDER_WAY: Duration = Duration::from_secs(1);
/// How long a look waits for streams that are opened anew before it; those that take longer cause one of their own.
const RENEWAL: Duration = Duration::from_secs(1);
/// While Swarm is at something: it tells of no end.
const WHILE_SWARM_IS_AT_IT: Duration = Duration::from_secs(5);
/// After an error of the line itself (no repository, no state file), before it is tried again.
const AFTER_ERROR: Duration = Duration::from_secs(10);

/// Runs until `stop` is set; `wake` is a person's, who wants it to look now. `told` hears about every round; errors of a round never end the loop (A2).
pub async fn run(
    world: &World,
    stop: &apply::Stop,
    wake: Arc<Notify>,
    reporting: &Reporting,
    metrics: &Mutex<Metrics>,
    told: &(dyn Fn(Result<&Converged, &ControlError>) + Send + Sync),
) -> Result<(), ControlError> {
    let reader = Reader::of_the_loop();
    report_unsettled(world)?;
    let mut watch = Watch::new(Arc::clone(&world.engines), Arc::clone(&world.clock));
    let mut renewed = world.clock.now();
    let surveyor = world.surveyor();
    let mut collector = Collector::default();
    let flights = Flights::default();
    let mut last = None;
    if let Err(error) = reporting.resume(world) {
        tracing::warn!("{error}; what was on its way to webhooks waits for the next start");
    }
    while !stop.is_set() {
        let agree = |_: &super::pass::Pass| true;
        let scope = Scope {
            fresh: false,
            awaits: false,
            surveyor: Some(&surveyor),
            flights: Some(&flights),
            ..Scope::of_a_person(&agree, stop)
        };
        watch.looks();
        if flights.is_idle() {
            // A whole look is not kept beside the next one.
            last = None;
        }
        // Notes whose end could not be written, such as on a full disk.
        if flights.is_at_rest()
            && let Err(error) = Memory::new(&*world.store).forget_under_way()
        {
            tracing::warn!("{error}; `trueup drift` may tell what is under way wrongly");
        }
        let began = world.clock.now();
        let ended = match converge(world, &reader, &scope).await {
            Ok(round) => {
                let took = world.clock.now().since(began).duration();
                lock(metrics).round(world, &round, took);
                told(Ok(&round));
                watch.follow(&round.last.desired);
                // Nothing is taken away from under what is being carried out.
                let collector = flights.is_idle().then_some(&mut collector);
                let wait = after_round(world, &round, (reporting, flights.beside()), collector, stop).await;
                last = Some(round.last);
                wait
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &ended {
            lock(metrics).failed(error);
            told(Err(error));
        }
        // What engines tell is no reason to repeat an error at once; another commit or a person is.
        let (wait, engines_wake) = ended.map_or((AFTER_ERROR, false), |wait| (wait, true));
        let looked = world.clock.now();
        // What comes long after the last look may be a hand elsewhere, and is looked at as soon as ever.
        let gather = || {
            let rested = world.clock.now().since(looked).duration();
            let busy = if flights.is_idle() { Duration::ZERO } else { WHILE_UNDER_WAY };
            world.clock.sleep(busy.saturating_sub(rested).max(GATHER))
        };
        tokio::select! {
            () = world.clock.sleep(wait) => {}
            () = world.repository.changed() => {}
            () = wake.notified() => world.repository.hurry(),
            () = surveyor.news(), if engines_wake => {}
            () = flights.news(), if engines_wake => {}
            () = watch.changed(), if engines_wake => gather().await,
            () = watch.opened(), if engines_wake => opened(world, &watch).await,
            () = stop.wait() => {}
        }
        let now = world.clock.now();
        if now.since(renewed) >= world.limits.relist {
            watch.renew();
            renewed = now;
            // The look comes after the streams, so that nothing falls between the two.
            tokio::select! {
                () = watch.opened() => opened(world, &watch).await,
                () = world.clock.sleep(RENEWAL) => {}
                () = stop.wait() => {}
            }
        }
    }
    // Steps under way are finished.
    flights.all_landed().await;
    settle_ended(world, Some(&flights))?;
    let outcomes = flights.told();
    if let Some(last) = last.filter(|_| !outcomes.is_empty()) {
        told(Ok(&Converged { outcomes, last }));
    }
    Ok(())
}

/// Streams that are opened one after the other are followed by one look.
async fn opened(world: &World, watch: &Watch) {
    let gathered = async {
        loop {
            tokio::select! {
                () = watch.opened() => {}
                () = world.clock.sleep(GATHER) => return,
            }
        }
    };
    tokio::select! {
        () = gathered => {}
        () = world.clock.sleep(RENEWAL) => {}
    }
}

/// Reports that are due, and room on the disks; how long nothing has to be done then.
async fn after_round(
    world: &World,
    round: &Converged,
    (reporting, beside): (&Reporting, TellsBeside),
    collector: Option<&mut Collector>,
    stop: &apply::Stop,
) -> Result<Duration, ControlError> {
    reporting.send_due(world, &round.last.taken, beside)?;
    if let Some(collector) = collector {
        collector.between_rounds(world, &round.last, stop).await?;
    }
    next_look(world, round, reporting)
}

fn lock(metrics: &Mutex<Metrics>) -> MutexGuard<'_, Metrics> {
    metrics.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The relist interval, or sooner where something waits for its backoff, a pause ends or a report is due.
fn next_look(world: &World, round: &Converged, reporting: &Reporting) -> Result<Duration, ControlError> {
    let memory = Memory::new(&*world.store);
    let now = world.clock.now();
    let mut wait = world.limits.relist.duration();
    let begun = round.outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Begun);
    if begun || round.last.plan.changes.iter().any(|change| change.action == Verb::Await) {
        wait = wait.min(WHILE_SWARM_IS_AT_IT);
    }
    let (plan, seen) = (&round.last.plan, round.last.observed.at);
    // The end of what is under way is told by itself.
    let begun = |drift: &Drift| plan.under_way.iter().any(|begun| begun.subject == drift.subject);
    let drifting: Vec<String> =
        plan.drift.iter().filter(|drift| !begun(drift)).map(|drift| drift.subject.to_string()).collect();
    let attempts = memory.attempts().unwrap_or_default();
    let pauses = memory.pauses(now).unwrap_or_default();
    let backoffs = attempts
        .iter()
        .filter(|(s, _)| drifting.contains(s))
        .map(|(_, a)| super::backoff::not_before(a, now))
        // What had its turn in this round and did not use it waits for something else.
        .filter(|moment| *moment > seen);
    let report = reporting.next(world)?;
    for moment in backoffs.chain(report).chain(pauses.into_iter().filter_map(|(_, pause)| pause.until)) {
        wait = wait.min(moment.since(now).duration().max(Duration::from_secs(1)));
    }
    Ok(wait)
}

/// Says what a process that ended early had begun: the next look finds how far it came (D5).
pub fn report_unsettled(world: &World) -> Result<usize, ControlError> {
    let intents = world.store.unsettled()?;
    let memory = Memory::new(&*world.store);
    applying::note_interrupted(&memory)?;
    memory.forget_under_way()?;
    let now = world.clock.now();
    for intent in &intents {
        let detail =
            format!("{} was begun at {} and never settled; the next look decides", intent.step, intent.at);
        memory.remember(now, None, "interrupted", &intent.subject, &detail)?;
        let why = "the process ended before it was settled; the next look decides".to_owned();
        world.store.settle(intent.id, now, &Outcome::Skipped { why })?;
    }
    Ok(intents.len())
}
