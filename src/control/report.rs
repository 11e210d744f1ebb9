//! Drift reports: gathered from a look and from memory, and sent where their schedule says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::app::Runtime;
use crate::model::names::AppKey;
use crate::model::observed::Seen;
use crate::model::ownership::Belongs;
use crate::model::report::{LookedAt, Report};
use crate::model::settings::ReportSettings;
use crate::model::units::Timestamp;
use crate::output::{self, Format};
use crate::ports::{Documents, Reports};

use super::memory::Memory;
use super::pass::Pass;
use super::{ControlError, World, permission};

/// More entries than happen between two reports of a fleet that is well.
const MOST_ENTRIES: usize = 5_000;

/// What was seen and done since `from`.
pub fn report(world: &World, pass: &Pass, from: Timestamp) -> Result<Report, ControlError> {
    let memory = Memory::new(&*world.store);
    let owner = world.owner(&pass.desired.fleet);
    let hosts = &pass.observed.hosts;
    let containers = hosts.iter().flat_map(|(host, seen)| {
        let engine = seen.known().into_iter();
        engine.flat_map(|e| e.containers.values()).filter_map(Seen::known).map(move |c| (host, c))
    });
    let ours =
        containers.filter(|(host, c)| matches!(owner.container(&c.name, host, &c.labels), Belongs::Ours(_)));
    let services = pass.observed.swarms.iter().flat_map(|(name, seen)| {
        let swarm = seen.known().into_iter();
        swarm.flat_map(|s| s.services.values()).filter_map(Seen::known).map(move |live| (name, live))
    });
    let our_services = services.filter(|(name, live)| {
        matches!(owner.swarm_object("service", &live.name, name, &live.labels), Belongs::Ours(_))
    });
    let instances = ours.count() + our_services.count();
    let silent_hosts = hosts.iter().filter_map(|(host, seen)| match seen {
        Seen::Known(_) => None,
        Seen::Unknown { why } => Some((host.clone(), why.clone())),
    });
    let done = world.store.history(MOST_ENTRIES)?.into_iter().filter(|entry| entry.at >= from).collect();
    Ok(Report {
        fleet: pass.desired.fleet.clone(),
        environments: pass.desired.environments.keys().cloned().collect(),
        summary: pass.taken.summary.clone(),
        committed: pass.taken.committed,
        enforced_since: memory.last_good()?.map(|last| last.since),
        kept_because: pass.taken.kept_because.clone(),
        kept_since: pass.taken.kept_since,
        permission: permission::standing(world, &pass.taken.by)?,
        from,
        looked_at: LookedAt { apps: pass.desired.apps.len(), hosts: hosts.len(), instances },
        plan: pass.plan.clone(),
        since: memory.first_seen()?,
        silent_hosts: silent_hosts.collect(),
        done,
        unchecked: unchecked(pass),
    })
}

/// What no look of this release would find.
fn unchecked(pass: &Pass) -> Vec<String> {
    let on_swarm = pass.desired.apps.values().filter(|app| matches!(app.runtime, Runtime::Swarm(_)));
    let mut unchecked: Vec<String> = on_swarm
        .filter(|app| app.upstream.is_some())
        .map(|app| format!("app {}: the upstream of a service", app.key))
        .collect();
    unchecked.push(
        "fields of containers that trueup does not model, and logging options where an app declares no logging"
            .to_owned(),
    );
    unchecked
}

/// Only what concerns the report's environments; what belongs to no app stays.
fn narrowed(mut report: Report, settings: &ReportSettings) -> Report {
    let Some(environments) = &settings.environments else { return report };
    let concerns = |app: Option<&AppKey>| app.is_none_or(|app| environments.contains(&app.environment));
    report.environments.retain(|environment| environments.contains(environment));
    let plan = &mut report.plan;
    plan.drift.retain(|drift| concerns(drift.app.as_ref()));
    plan.blocked.retain(|blocked| concerns(blocked.app.as_ref()));
    plan.held.retain(|change| concerns(change.app.as_ref()));
    plan.changes.retain(|change| concerns(change.app.as_ref()));
    report
}

/// The reports of a running loop: which is due, and its way out.
pub struct Reporting {
    settings: Vec<ReportSettings>,
    port: Arc<dyn Reports>,
}

/// Tries of a webhook that does not take a report, and the wait before the second; it doubles.
const TRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(5);

impl Reporting {
    pub fn new(settings: Vec<ReportSettings>, port: Arc<dyn Reports>) -> Self {
        Self { settings, port }
    }

    /// When the next report is due. A schedule that is new begins now: its first report is the next one.
    pub fn next(&self, world: &World) -> Result<Option<Timestamp>, ControlError> {
        let memory = Memory::new(&*world.store);
        let mut next = None;
        for settings in &self.settings {
            let key = settings.schedule.to_string();
            let last = match memory.last_report(&key)? {
                Some(last) => last,
                None => {
                    memory.note_report(&key, world.clock.now())?;
                    world.clock.now()
                }
            };
            next = next.into_iter().chain(settings.schedule.next_after(last)).min();
        }
        Ok(next)
    }

    /// Writes what is due and posts it on the side; how that went stands in the history. One that was due while trueup
    /// was down is written once, late.
    pub async fn send_due(&self, world: &World, pass: &Pass) -> Result<(), ControlError> {
        let memory = Memory::new(&*world.store);
        let now = world.clock.now();
        for settings in &self.settings {
            let key = settings.schedule.to_string();
            let Some(last) = memory.last_report(&key)? else { continue };
            if settings.schedule.next_after(last).is_none_or(|due| due > now) {
                continue;
            }
            let report = narrowed(report(world, pass, last)?, settings);
            let documents = documents(&report);
            let written = self.port.write(settings, &documents).await;
            // Due again only when the next time comes, whatever became of this one: a full disk is told once a time.
            memory.note_report(&key, now)?;
            let told = match &written {
                Ok(places) => format!("written: {}", places.join(", ")),
                Err(error) => format!("NOT written: {error}"),
            };
            memory.remember(now, Some(&report.plan.revision), "report", &key, &told)?;
            if let Err(error) = written {
                tracing::warn!("the report of {key}: {error}");
            }
            if settings.webhook.is_some() {
                self.post(world, settings.clone(), documents);
            }
        }
        Ok(())
    }

    fn post(&self, world: &World, settings: ReportSettings, documents: Documents) {
        let (port, store, clock) =
            (Arc::clone(&self.port), Arc::clone(&world.store), Arc::clone(&world.clock));
        tokio::spawn(async move {
            let mut wait = FIRST_WAIT;
            let mut told = String::new();
            for number in 1..=TRIES {
                told = match port.post(&settings, &documents).await {
                    Ok(()) => "posted".to_owned(),
                    Err(error) => format!("NOT posted in {number} tries: {error}"),
                };
                if told == "posted" || number == TRIES {
                    break;
                }
                clock.sleep(wait).await;
                wait *= 2;
            }
            if told != "posted" {
                tracing::warn!("the report of {}: {told}", settings.schedule);
            }
            let memory = Memory::new(&*store);
            if let Err(error) =
                memory.remember(clock.now(), None, "report", &settings.schedule.to_string(), &told)
            {
                tracing::warn!("{error}");
            }
        });
    }
}

/// The report in every form, named by its moment.
fn documents(report: &Report) -> Documents {
    let at = report.plan.observed_at.to_string().replace(':', "");
    let files = [
        ("md", output::report(report, Format::Markdown, false)),
        ("json", output::report(report, Format::Json, false)),
        ("html", output::report_page(report)),
    ];
    let files: BTreeMap<String, String> =
        files.into_iter().map(|(ending, text)| (format!("drift-{at}.{ending}"), text)).collect();
    Documents {
        files,
        json: output::report(report, Format::Json, false),
        markdown: output::report(report, Format::Markdown, false),
    }
}
