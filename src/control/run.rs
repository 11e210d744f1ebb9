//! The loop: wakes when git or an engine changed, when a wait is over, or when it is time to look again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::apply;
use crate::model::plan::{Outcome, Verb};
use crate::observe::Watch;

use super::collect::Collector;
use super::converge::{Converged, Scope, converge};
use super::memory::Memory;
use super::metrics::Metrics;
use super::report::Reporting;
use super::revision::Reader;
use super::{ControlError, World};

/// How long engine events are gathered before looking, so that a burst costs one look.
const GATHER: Duration = Duration::from_millis(200);
/// While Swarm is at something: it tells of no end.
const WHILE_SWARM_IS_AT_IT: Duration = Duration::from_secs(5);
/// After an error of the line itself (no repository, no state file), before it is tried again.
const AFTER_ERROR: Duration = Duration::from_secs(10);

/// Runs until `stop` is set. `told` hears about every round; errors of a round never end the loop (A2).
pub async fn run(
    world: &World,
    stop: &apply::Stop,
    wake: Arc<Notify>,
    reporting: &Reporting,
    metrics: &Mutex<Metrics>,
    told: &(dyn Fn(Result<&Converged, &ControlError>) + Send + Sync),
) -> Result<(), ControlError> {
    let reader = Reader::default();
    report_unsettled(world)?;
    let mut watch = Watch::new(Arc::clone(&wake), Arc::clone(&world.engines), Arc::clone(&world.clock));
    let mut renewed = world.clock.now();
    let surveyor = world.surveyor();
    let mut collector = Collector::default();
    while !stop.is_set() {
        let agree = |_: &super::pass::Pass| true;
        let scope = Scope {
            fresh: false,
            awaits: false,
            surveyor: Some(&surveyor),
            ..Scope::of_a_person(&agree, stop)
        };
        let began = world.clock.now();
        let wait = match converge(world, &reader, &scope).await {
            Ok(round) => {
                let took = world.clock.now().since(began).duration();
                metrics.lock().unwrap_or_else(PoisonError::into_inner).round(world, &round, took);
                told(Ok(&round));
                watch.follow(&round.last.desired);
                reporting.send_due(world, &round.last).await?;
                collector.between_rounds(world, &round.last, stop).await?;
                next_look(world, &round, reporting)?
            }
            Err(error) => {
                metrics.lock().unwrap_or_else(PoisonError::into_inner).failed(&error);
                told(Err(&error));
                AFTER_ERROR
            }
        };
        tokio::select! {
            () = world.clock.sleep(wait) => {}
            () = world.repository.changed() => {}
            () = surveyor.news() => {}
            () = wake.notified() => world.clock.sleep(GATHER).await,
            () = stop.wait() => {}
        }
        let now = world.clock.now();
        if now.since(renewed) >= world.limits.relist {
            watch.renew();
            renewed = now;
        }
    }
    Ok(())
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
    let drifting: Vec<String> = round.last.plan.drift.iter().map(|d| d.subject.to_string()).collect();
    let attempts = memory.attempts().unwrap_or_default();
    let pauses = memory.pauses(now).unwrap_or_default();
    let backoffs = attempts
        .iter()
        .filter(|(s, _)| drifting.contains(s))
        .map(|(_, a)| super::backoff::not_before(a, now));
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
