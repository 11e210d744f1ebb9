//! What the loop counts: the last round in gauges, and what was done since the process began.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::adoption;
use crate::model::app::{App, Replicas, Runtime, SwarmService};
use crate::model::metrics::{Metric, MetricKind};
use crate::model::names::AppKey;
use crate::model::observed::Seen;
use crate::model::ownership::{Belongs, Owner};
use crate::model::permission::{PermissionStanding, Permitted};
use crate::model::plan::Outcome;
use crate::model::service::ServiceMode;
use crate::model::swarm::{Task, TaskState};
use crate::model::units::Timestamp;

use super::converge::Converged;
use super::pass::Pass;
use super::{ControlError, World};

/// Moments whose ages are counted when somebody asks.
#[derive(Debug, Clone, Copy)]
struct Moments {
    committed: Timestamp,
    /// Since when the head is not taken.
    not_taken: Option<Timestamp>,
    /// When what is under way longest began.
    began: Option<Timestamp>,
}

/// Kept for the life of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Of the last round that could be carried through.
    gauges: Vec<Metric>,
    /// Since when what the last round told was so: their ages go on while rounds fail.
    moments: Option<Moments>,
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
        let began = round.last.plan.under_way.iter().map(|begun| begun.since).min();
        self.moments = Some(Moments { committed: taken.committed, not_taken: taken.kept_since, began });
        self.kept = taken.kept_because.clone().map(|why| (why, taken.kept_since));
        self.error = None;
    }

    /// A round that ended with an error of the line itself.
    pub fn failed(&mut self, error: &ControlError) {
        self.failed_rounds += 1.0;
        self.error = Some(error.to_string());
    }

    /// Everything, for one scrape at `now`.
    pub fn all(&self, now: Timestamp) -> Vec<Metric> {
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
        let failed = alone(
            "trueup_last_round_failed",
            "1 where the last round ended with an error: what else is told is older.",
            f64::from(u8::from(self.error.is_some())),
        );
        let counted = [build, rounds, outcomes, failed].into_iter();
        counted.chain(self.ages(now)).chain(self.gauges.iter().cloned()).collect()
    }

    fn ages(&self, now: Timestamp) -> Vec<Metric> {
        let age = |since: Timestamp| now.since(since).duration().as_secs_f64();
        let last = self.last_round.map(|at| {
            let help = "When the last round that was carried through ended, in seconds since 1970.";
            alone(
                "trueup_last_round_timestamp_seconds",
                help,
                at.since(Timestamp(0)).duration().as_secs_f64(),
            )
        });
        let moments = self.moments.map(|Moments { committed, not_taken, began }| {
            let enforced =
                alone("trueup_revision_age_seconds", "Age of the commit that is enforced.", age(committed));
            let help = "How long the head has been refused or out of reach; 0 where it is enforced (A2).";
            let not_taken = alone("trueup_head_not_taken_seconds", help, not_taken.map_or(0.0, age));
            let help = "How long the change that is under way longest has been; 0 where none is (D6).";
            [enforced, not_taken, alone("trueup_under_way_seconds", help, began.map_or(0.0, age))]
        });
        last.into_iter().chain(moments.into_iter().flatten()).collect()
    }
}

/// Counts of a fleet are far below what a double holds exactly.
#[allow(clippy::cast_precision_loss)]
fn number(count: usize) -> f64 {
    count as f64
}

fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric::new(name, help, MetricKind::Gauge)
}

/// A gauge of one number.
fn alone(name: &'static str, help: &'static str, value: f64) -> Metric {
    let mut metric = gauge(name, help);
    metric.add(Vec::new(), value);
    metric
}

fn gauges(world: &World, pass: &Pass, took: Duration) -> Vec<Metric> {
    let plan = &pass.plan;
    let kept = f64::from(u8::from(pass.taken.kept_because.is_some()));
    let mut metrics = vec![
        alone("trueup_round_seconds", "How long the last round took.", took.as_secs_f64()),
        alone(
            "trueup_head_not_taken",
            "1 where the head of the repository is not what is enforced (A2).",
            kept,
        ),
    ];
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
        ("under_way", plan.under_way.len()),
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

type Labels = Vec<(&'static str, String)>;

fn labels(app: &AppKey) -> Labels {
    vec![("app", app.app.to_string()), ("env", app.environment.to_string())]
}

fn declared(pass: &Pass) -> Metric {
    let mut declared = gauge(
        "trueup_instances_declared",
        "Instances, and tasks of Swarm services, that git declares, where it says how many.",
    );
    for (key, app) in &pass.desired.apps {
        if let Some(count) = count(&app.runtime) {
            declared.add(labels(key), f64::from(count));
        }
    }
    declared
}

/// How many are meant to run at once, where git says so; tasks of a job are meant to end.
fn count(runtime: &Runtime) -> Option<u32> {
    match runtime {
        Runtime::Host(placement) => match placement.replicas {
            Replicas::Count(count) => Some(count),
            Replicas::EveryHost => None,
        },
        Runtime::Swarm(service) => match service.mode {
            ServiceMode::Replicated(count) => Some(count),
            ServiceMode::Global | ServiceMode::ReplicatedJob { .. } | ServiceMode::GlobalJob => None,
        },
    }
}

/// Every declared app has its number, 0 where nothing of it was seen: an alarm on what is missing has something to match.
fn running(world: &World, pass: &Pass) -> Metric {
    let owner = world.owner(&pass.desired.fleet);
    let mut running =
        gauge("trueup_instances_running", "Instances, and tasks of Swarm services, that were seen running.");
    for key in pass.desired.apps.keys() {
        running.add(labels(key), 0.0);
    }
    for (host, engine) in &pass.observed.hosts {
        let containers = engine.known().into_iter().flat_map(|engine| engine.containers.values());
        for container in containers.filter_map(Seen::known).filter(|c| c.state.is_running()) {
            let key = match owner.container(&container.name, host, &container.labels) {
                Belongs::Ours(owned) => Some(owned.instance.key),
                Belongs::Foreign { .. } => {
                    adoption::adopted(&pass.desired, &pass.observed, &pass.adopted, host, container)
                        .map(|(instance, _)| instance.key)
                }
            };
            if let Some(key) = key {
                running.add(labels(&key), 1.0);
            }
        }
    }
    for (key, app) in &pass.desired.apps {
        running.add(labels(key), number(tasks_running(&owner, pass, app)));
    }
    running
}

/// Tasks of the app's service that are meant to run and do.
fn tasks_running(owner: &Owner, pass: &Pass, app: &App) -> usize {
    let Runtime::Swarm(SwarmService { swarm: name, .. }) = &app.runtime else { return 0 };
    let Some(swarm) = pass.observed.swarms.get(name).and_then(Seen::known) else { return 0 };
    let Some(live) = swarm.services.get(&app.service_name()).and_then(Seen::known) else { return 0 };
    let ours = matches!(owner.swarm_object("service", &live.name, name, &live.labels), Belongs::Ours(_));
    if !ours && !app.adopt {
        return 0;
    }
    let runs = |task: &&Task| task.wanted <= TaskState::Running && task.state == TaskState::Running;
    swarm.tasks_of(&live.id).filter(runs).count()
}
