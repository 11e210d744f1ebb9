//! To convergence: look, plan, carry out, look again, until nothing is left to do or nothing more can be done.

use std::collections::{BTreeMap, BTreeSet};

use crate::apply::{self, Executor, Report};
use crate::model::finding::Effect;
use crate::model::names::HostName;
use crate::model::observed::{Health, RunState, Seen};
use crate::model::ownership::Belongs;
use crate::model::plan::{Change, Outcome, Plan};
use crate::plan;

use super::memory::{Destroyed, Memory};
use super::pass::{self, Pass};
use super::revision::Reader;
use super::traffic::Edge;
use super::{ControlError, World, backoff};

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
    /// Failures that the last plan still wants: what succeeded later is not an error.
    pub fn failures(&self) -> usize {
        let left: BTreeSet<String> = self.last.plan.changes.iter().map(|c| c.subject.to_string()).collect();
        let mut latest: BTreeMap<String, &Outcome> = BTreeMap::new();
        for (change, outcome) in &self.outcomes {
            latest.insert(change.subject.to_string(), outcome);
        }
        latest
            .iter()
            .filter(|(subject, outcome)| {
                matches!(outcome, Outcome::Failed { .. }) && left.contains(subject.as_str())
            })
            .count()
    }

    /// Exit code as section X.
    pub fn exit_code(&self) -> u8 {
        if self.failures() > 0 {
            return 1;
        }
        self.last.plan.exit_code()
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
}

/// One `apply`: passes until the plan is empty, or a pass brought nothing forward. The caller is the writer (D10).
pub async fn converge(world: &World, reader: &Reader, scope: &Scope<'_>) -> Result<Converged, ControlError> {
    if scope.fresh {
        let memory = Memory::new(&*world.store);
        for subject in memory.attempts()?.keys() {
            memory.forget_attempts(subject)?;
        }
    }
    let mut outcomes = Vec::new();
    for number in 0..MOST_PASSES {
        let taken = reader.take(world, true).await?;
        let pass = pass::look(world, taken, true).await?;
        note(world, &pass)?;
        if let Some(promises) = scope.promises {
            plan::admit(&pass.plan, promises).map_err(|moved| ControlError::PlanMoved(moved.join("\n")))?;
        }
        let ends = pass.plan.is_empty() || scope.stop.is_set() || number + 1 == MOST_PASSES;
        let agreed = ends || (scope.agree)(&pass);
        if agreed && !scope.stop.is_set() {
            note_applied(world, &pass)?;
        }
        if ends || !agreed {
            return Ok(Converged { outcomes, last: pass });
        }
        let report = carry_out(world, &pass, scope.stop).await?;
        let forward = report.outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Done));
        outcomes.extend(report.outcomes);
        if !forward {
            let taken = reader.take(world, true).await?;
            let last = pass::look(world, taken, true).await?;
            return Ok(Converged { outcomes, last });
        }
    }
    // The loop above returns in its last round at the latest.
    let taken = reader.take(world, true).await?;
    Ok(Converged { outcomes, last: pass::look(world, taken, true).await? })
}

/// From here on the revision is what was applied, as far as the policies let it (F2): what is left of it is no new
/// change. Told in the history where findings went with it.
fn note_applied(world: &World, pass: &Pass) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    match &pass.judged.becomes {
        Some(becomes) if *becomes != pass.taken.baseline.applied => {
            memory.set_applied(becomes)?;
            for finding in &pass.plan.findings.findings {
                let subject = finding.app.as_ref().map_or_else(|| "fleet".to_owned(), ToString::to_string);
                let what = match &finding.effect {
                    Effect::Holds => "held",
                    Effect::Overridden(_) => "overridden",
                    Effect::Told => continue,
                };
                let detail = format!("{}: {}", finding.rule, finding.message);
                memory.remember(
                    world.clock.now(),
                    Some(&pass.taken.desired.revision),
                    what,
                    &subject,
                    &detail,
                )?;
            }
            Ok(())
        }
        Some(_) | None => Ok(()),
    }
}

/// Digests that run healthy where it is not production (F5): what production may get.
fn note_healthy(world: &World, pass: &Pass) -> Result<(), ControlError> {
    let (owner, mut digests) = (world.owner(&pass.desired.fleet), BTreeSet::new());
    for (host, engine) in &pass.observed.hosts {
        let Some(engine) = engine.known() else { continue };
        for container in engine.containers.values().filter_map(Seen::known) {
            let Belongs::Ours(owned) = owner.container(&container.name, host, &container.labels) else {
                continue;
            };
            let Some(app) = pass.desired.apps.get(&owned.instance.key) else { continue };
            let proven = match &container.state {
                RunState::Running { health: Health::Healthy, .. } => true,
                RunState::Running { health: Health::Unchecked, since } => {
                    pass.observed.at.since(*since) >= app.update.min_healthy
                }
                RunState::Running { .. }
                | RunState::Created
                | RunState::Paused
                | RunState::Restarting { .. }
                | RunState::Removing
                | RunState::Exited { .. }
                | RunState::Dead => false,
            };
            if proven && !pass.desired.is_production(&owned.instance.key.environment) {
                let image = engine.images.get(&container.image);
                digests.extend(
                    image.into_iter().flat_map(|image| &image.digests).filter_map(|i| i.digest.clone()),
                );
            }
        }
    }
    Ok(Memory::new(&*world.store).note_healthy_in_test(&digests, world.clock.now())?)
}

/// Carries out one plan and remembers how it went.
pub async fn carry_out(world: &World, pass: &Pass, stop: &apply::Stop) -> Result<Report, ControlError> {
    let edge = Edge::new(world, &pass.desired, pass.observed.clone());
    let owner = world.owner(&pass.desired.fleet);
    let executor = Executor {
        desired: &pass.desired,
        owner: &owner,
        engines: &*world.engines,
        store: &*world.store,
        clock: &*world.clock,
        progress: &*world.progress,
        traffic: &edge,
        limits: &world.limits,
        call_deadline: world.call_deadline.duration(),
        pull_deadline: world.pull_deadline.duration(),
        stop,
    };
    let report = executor.carry_out(&pass.plan).await;
    settle(world, &pass.plan, &report)?;
    Ok(report)
}

/// Attempts, loops and the budget after a plan was carried out (B3, D3, D7).
fn settle(world: &World, plan: &Plan, report: &Report) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    let now = world.clock.now();
    let attempts = memory.attempts()?;
    for (change, outcome) in &report.outcomes {
        let subject = change.subject.to_string();
        if let Some(after) = backoff::after(attempts.get(&subject), change, outcome, now) {
            memory.set_attempts(&change.subject, &after)?;
        }
        if change.destructive && matches!(outcome, Outcome::Done) {
            memory.note_destroyed(&subject, &Destroyed { at: now, revision: plan.revision.clone() })?;
        }
    }
    Ok(())
}

/// What a look teaches: since when things drift, what became stable, what goes round in circles.
pub fn note(world: &World, pass: &Pass) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    let now = world.clock.now();
    memory.note_drift(&pass.plan.drift, now)?;
    note_seats(world, pass)?;
    note_healthy(world, pass)?;
    let drifting: BTreeSet<String> = pass.plan.drift.iter().map(|d| d.subject.to_string()).collect();
    let unknown: BTreeSet<String> = pass.plan.unknown.iter().map(|u| u.subject.to_string()).collect();
    let wanted: BTreeMap<String, &Change> =
        pass.plan.changes.iter().map(|c| (c.subject.to_string(), c)).collect();
    for (subject, mut attempts) in memory.attempts()? {
        if let Some(change) = wanted.get(&subject) {
            if let Some(why) = backoff::is_loop(&attempts, change, world.limits.loop_threshold) {
                memory.quarantine(&change.subject, &change.promise(), &why)?;
                memory.remember(now, Some(&pass.plan.revision), "quarantine", &subject, &why)?;
                memory.forget_attempts(&subject)?;
            }
        } else if !drifting.contains(&subject) && unknown.is_empty() {
            if now.since(attempts.last) >= backoff::STABLE_AFTER {
                memory.forget_attempts(&subject)?;
            } else if attempts.same > 0 {
                // Seen as declared in between: not a circle, however often somebody changes it by hand.
                attempts.same = 0;
                memory.set_attempts_by_words(&subject, &attempts)?;
            }
        }
    }
    for subject in memory.quarantined()?.keys().filter(|s| !drifting.contains(*s) && unknown.is_empty()) {
        memory.release(subject)?;
    }
    Ok(())
}

/// Where instances are, for the time when a host cannot be asked (C8, H).
fn note_seats(world: &World, pass: &Pass) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    let owner = world.owner(&pass.desired.fleet);
    let mut seen = BTreeMap::new();
    for (host, engine) in &pass.observed.hosts {
        let containers = engine.known().into_iter().flat_map(|engine| engine.containers.values());
        for container in containers.filter_map(Seen::known) {
            if let Belongs::Ours(owned) = owner.container(&container.name, host, &container.labels) {
                seen.insert(owned.instance, host.clone());
            }
        }
    }
    let before = memory.last_seen()?;
    for (instance, host) in &seen {
        if before.get(instance) != Some(host) {
            memory.note_seen(instance, Some(host))?;
        }
    }
    // Gone from a host that answered; a host that left the inventory keeps its note (B2).
    let answered = |host: &HostName| pass.observed.engine(host).is_some();
    for (instance, host) in before.iter().filter(|(i, host)| !seen.contains_key(*i) && answered(host)) {
        let unread = pass.observed.engine(host).is_some_and(|e| {
            e.containers.get(&instance.container()).is_some_and(|seen| seen.known().is_none())
        });
        if !unread {
            memory.note_seen(instance, None)?;
        }
    }
    if !memory.is_complete()? && pass.desired.hosts.keys().all(answered) {
        memory.set_complete()?;
    }
    Ok(())
}
