//! What the loop counts: the last round in gauges, and what was done since the process began.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::app::{Replicas, Runtime};
use crate::model::metrics::{Metric, MetricKind};
use crate::model::observed::Seen;
use crate::model::ownership::Belongs;
use crate::model::permission::{PermissionStanding, Permitted};
use crate::model::plan::Outcome;
use crate::model::units::Timestamp;

use super::converge::Converged;
use super::pass::Pass;
use super::{ControlError, World};

/// Kept for the life of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Of the last round that could be carried through.
    gauges: Vec<Metric>,
    /// By verb and outcome.
    outcomes: BTreeMap<(String, &'static str), f64>,
    rounds: f64,
    failed_rounds: f64,
    /// When the last round that could be carried through ended.
    pub last_round: Option<Timestamp>,
    /// Why the head is not what is enforced, and since when (A2).
    pub kept: Option<(String, Option<Timestamp>)>,
    /// What ended the last round, where it was an error of the line itself.
    pub error: Option<String>,
}

impl Metrics {
    /// A round that was carried through in `took`.
    pub fn round(&mut self, world: &World, round: &Converged, took: Duration) {
        self.rounds += 1.0;
        self.last_round = Some(world.clock.now());
        for (change, outcome) in &round.outcomes {
            let ended = match outcome {
                Outcome::Done => "done",
                Outcome::Begun => "begun",
                Outcome::NotNeeded { .. } => "not_needed",
                Outcome::Failed { .. } => "failed",
                Outcome::Skipped { .. } => "skipped",
            };
            *self.outcomes.entry((change.action.name().to_owned(), ended)).or_default() += 1.0;
        }
        self.gauges = gauges(world, &round.last, took);
        let taken = &round.last.taken;
        self.kept = taken.kept_because.clone().map(|why| (why, taken.kept_since));
        self.error = None;
    }

    /// A round that ended with an error of the line itself.
    pub fn failed(&mut self, error: &ControlError) {
        self.failed_rounds += 1.0;
        self.error = Some(error.to_string());
    }

    /// Everything, for one scrape.
    pub fn all(&self) -> Vec<Metric> {
        let counter = |name, help| Metric::new(name, help, MetricKind::Counter);
        let mut rounds = counter("trueup_rounds", "Rounds of the loop, by how they ended.");
        rounds.add(vec![("ended", "well".to_owned())], self.rounds);
        rounds.add(vec![("ended", "error".to_owned())], self.failed_rounds);
        let mut outcomes = counter("trueup_changes", "Changes carried out, by verb and outcome.");
        for ((verb, ended), count) in &self.outcomes {
            outcomes.add(vec![("verb", verb.clone()), ("outcome", (*ended).to_owned())], *count);
        }
        let mut build = Metric::new("trueup_build_info", "The release that runs.", MetricKind::Gauge);
        build.add(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0);
        [build, rounds, outcomes].into_iter().chain(self.gauges.iter().cloned()).collect()
    }
}

/// Counts of a fleet are far below what a double holds exactly.
#[allow(clippy::cast_precision_loss)]
fn number(count: usize) -> f64 {
    count as f64
}

fn gauges(world: &World, pass: &Pass, took: Duration) -> Vec<Metric> {
    let plan = &pass.plan;
    let now = world.clock.now();
    let gauge = |name, help| Metric::new(name, help, MetricKind::Gauge);
    let alone = |name, help, value| {
        let mut metric = gauge(name, help);
        metric.add(Vec::new(), value);
        metric
    };
    let age = now.since(pass.taken.committed).duration().as_secs_f64();
    let kept = f64::from(u8::from(pass.taken.kept_because.is_some()));
    let mut metrics = vec![
        alone("trueup_round_seconds", "How long the last round took.", took.as_secs_f64()),
        alone("trueup_revision_age_seconds", "Age of the commit that is enforced.", age),
        alone(
            "trueup_head_not_taken",
            "1 where the head of the repository is not what is enforced (A2).",
            kept,
        ),
    ];
    let since = pass.taken.kept_since.map_or(0.0, |since| now.since(since).duration().as_secs_f64());
    metrics.push(alone(
        "trueup_head_not_taken_seconds",
        "How long a newer head has been refused; 0 where none is (A2).",
        since,
    ));
    let verified = PermissionStanding { mode: world.permission.mode, by: pass.taken.by.clone(), glass: None };
    let mut permission = gauge(
        "trueup_permission_verified",
        "1 where keys or a person vouch for the revision that is enforced (F0, F1).",
    );
    let labels = vec![("mode", world.permission.mode.name().to_owned())];
    permission.add(labels, f64::from(u8::from(verified.verified())));
    metrics.push(permission);
    metrics.push(alone(
        "trueup_broken_glass",
        "1 where the revision that is enforced was let in by --break-glass (F1).",
        f64::from(u8::from(matches!(pass.taken.by, Permitted::BrokenGlass { .. }))),
    ));
    let mut waiting = gauge("trueup_objects", "Objects by what the last plan says of them.");
    for (state, count) in [
        ("drifted", plan.drift.len()),
        ("left_to_change", plan.changes.len()),
        ("held", plan.held.len()),
        ("blocked", plan.blocked.len()),
        ("unknown", plan.unknown.len()),
        ("unmanaged", plan.unmanaged.len()),
    ] {
        waiting.add(vec![("state", state.to_owned())], number(count));
    }
    let mut hosts = gauge("trueup_host_known", "1 where the host's engine answered.");
    for (host, seen) in &pass.observed.hosts {
        hosts.add(vec![("host", host.to_string())], f64::from(u8::from(seen.known().is_some())));
    }
    metrics.extend([waiting, hosts, declared(pass), running(world, pass)]);
    metrics
}

fn declared(pass: &Pass) -> Metric {
    let help = "Instances that git declares, where it says how many.";
    let mut declared = Metric::new("trueup_instances_declared", help, MetricKind::Gauge);
    for (key, app) in &pass.desired.apps {
        if let Runtime::Host(placement) = &app.runtime
            && let Replicas::Count(count) = placement.replicas
        {
            let labels = vec![("app", key.app.to_string()), ("env", key.environment.to_string())];
            declared.add(labels, f64::from(count));
        }
    }
    declared
}

fn running(world: &World, pass: &Pass) -> Metric {
    let owner = world.owner(&pass.desired.fleet);
    let help = "Instances that were seen running.";
    let mut running = Metric::new("trueup_instances_running", help, MetricKind::Gauge);
    for (host, engine) in &pass.observed.hosts {
        let containers = engine.known().into_iter().flat_map(|engine| engine.containers.values());
        for container in containers.filter_map(Seen::known).filter(|c| c.state.is_running()) {
            if let Belongs::Ours(owned) = owner.container(&container.name, host, &container.labels) {
                let key = owned.instance.key;
                running.add(vec![("app", key.app.to_string()), ("env", key.environment.to_string())], 1.0);
            }
        }
    }
    running
}
