//! Reports of a running loop: made when their schedule says so, beside the loop, and delivered until they are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::report::{Report, stem};
use crate::model::settings::ReportSettings;
use crate::model::units::Timestamp;
use crate::model::webhook::{Webhook, WebhookBody};
use crate::output::{self, Format};
use crate::ports::{Documents, Reports, StoreError, Written};

use super::flights::TellsBeside;
use super::memory::{Delivery, LastReport, Memory};
use super::pass::{self, Pass};
use super::report::{NOT, REPORT, report_on};
use super::revision::Taken;
use super::{ControlError, World, first_seen};

/// Tries of a webhook that does not take a report, and the wait before the second; it doubles.
const TRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// The reports of a running loop: which is due, and its way out.
#[derive(Clone)]
pub struct Reporting {
    settings: Arc<Vec<ReportSettings>>,
    port: Arc<dyn Reports>,
    /// Keys of reports that are being made.
    under_way: Arc<Mutex<BTreeSet<String>>>,
    noting: Noting,
}

/// When each report was made last is read and written by whoever makes it and by whoever posts it: one at a time.
#[derive(Clone, Default)]
pub struct Noting(Arc<Mutex<()>>);

impl Noting {
    /// What is noted becomes what `after` makes of it; `None`: it stays.
    fn note(
        &self,
        memory: &Memory<'_>,
        key: &str,
        after: impl FnOnce(Option<LastReport>) -> Option<LastReport>,
    ) -> Result<(), StoreError> {
        let _alone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match after(memory.last_report(key)?) {
            Some(last) => memory.note_report(key, &last),
            None => Ok(()),
        }
    }

    /// It was made now, and tells of what was until `from`, unless an earlier one was taken later than that.
    pub fn made(
        &self,
        memory: &Memory<'_>,
        key: &str,
        at: Timestamp,
        from: Timestamp,
    ) -> Result<(), StoreError> {
        self.note(memory, key, |last| {
            let covered = last.map_or(from, |last| last.covered().max(from));
            Some(LastReport { at, from: Some(covered) })
        })
    }

    /// Its only reader has it: the next report goes on from there.
    pub fn was_taken(&self, memory: &Memory<'_>, delivery: &Delivery) -> Result<(), StoreError> {
        let Some(until) = delivery.until else { return Ok(()) };
        self.note(memory, &delivery.report, |last| {
            let last = last.filter(|last| last.covered() < until)?;
            Some(LastReport { from: Some(until), ..last })
        })
    }
}

/// A report whose time has come, and what it begins with.
struct Due {
    settings: ReportSettings,
    from: Timestamp,
}

impl Reporting {
    pub fn new(settings: Vec<ReportSettings>, port: Arc<dyn Reports>) -> Self {
        Self { settings: Arc::new(settings), port, under_way: Arc::default(), noting: Noting::default() }
    }

    /// When the next report is due. A schedule that is new begins now: its first report is the next one.
    pub fn next(&self, world: &World) -> Result<Option<Timestamp>, ControlError> {
        let memory = Memory::new(&*world.store);
        let now = world.clock.now();
        let mut next = None;
        for settings in self.settings.iter() {
            let key = settings.key();
            let last = match memory.last_report(&key)? {
                _ if self.lock().contains(&key) => now,
                Some(last) => last.at,
                None => {
                    let begun = |last: Option<LastReport>| last.is_none().then(|| LastReport::begun(now));
                    self.noting.note(&memory, &key, begun)?;
                    now
                }
            };
            next = next.into_iter().chain(settings.schedule.next_after(last)).min();
        }
        Ok(next)
    }

    /// Makes what is due, on the side: a whole look waits for slow hosts, and the loop does not (D6). How that went
    /// stands in the history. One that was due while trueup was down is made once, late.
    pub fn send_due(&self, world: &World, taken: &Taken, beside: TellsBeside) -> Result<(), ControlError> {
        let due = self.due(world)?;
        if due.is_empty() {
            return Ok(());
        }
        self.lock().extend(due.iter().map(|due| due.settings.key()));
        let (reporting, world, taken) = (self.clone(), world.clone(), taken.clone());
        tokio::spawn(async move {
            reporting.make(&world, taken, &due, &beside).await;
            let mut under_way = reporting.lock();
            due.iter().for_each(|due| {
                under_way.remove(&due.settings.key());
            });
        });
        Ok(())
    }

    /// Takes up deliveries that an earlier process began.
    pub fn resume(&self, world: &World) -> Result<(), ControlError> {
        let memory = Memory::new(&*world.store);
        for (id, delivery) in memory.deliveries()? {
            let settings = self.settings.iter().find(|settings| settings.key() == delivery.report);
            match settings.and_then(|settings| Some((settings, settings.webhook.clone()?))) {
                Some((settings, webhook)) => self.deliver(world, settings.words(), webhook, id, delivery),
                None => {
                    let told = format!("{NOT} posted: no [[report]] of the settings is this one any more");
                    memory.remember(world.clock.now(), None, REPORT, &delivery.report, &told)?;
                    memory.forget_delivery(&id)?;
                }
            }
        }
        Ok(())
    }

    fn due(&self, world: &World) -> Result<Vec<Due>, ControlError> {
        let memory = Memory::new(&*world.store);
        let now = world.clock.now();
        let mut due = Vec::new();
        for settings in self.settings.iter() {
            let key = settings.key();
            let Some(last) = memory.last_report(&key)? else { continue };
            let is_due = settings.schedule.next_after(last.at).is_some_and(|at| at <= now);
            if is_due && !self.lock().contains(&key) {
                due.push(Due { settings: settings.clone(), from: last.covered() });
            }
        }
        Ok(due)
    }

    /// What is being carried out meanwhile is told as that, and not as drift.
    async fn make(&self, world: &World, taken: Taken, due: &[Due], beside: &TellsBeside) {
        let looked = match pass::look_beside(world, taken, &beside()).await {
            Ok(pass) => first_seen::note(world, &pass).map(|()| pass),
            Err(error) => Err(error),
        };
        for due in due {
            let sent = match &looked {
                Ok(pass) => self.send(world, pass, due).await,
                Err(error) => self.missed(world, due, &error.to_string()),
            };
            if let Err(error) = sent {
                tracing::warn!("the report {}: {error}", due.settings.words());
            }
        }
    }

    /// Writes one report, and begins to post it.
    async fn send(&self, world: &World, pass: &Pass, due: &Due) -> Result<(), ControlError> {
        let (memory, settings) = (Memory::new(&*world.store), &due.settings);
        let report = report_on(world, pass, due.from, settings.environments.as_ref())?;
        for environment in &report.undeclared {
            tracing::warn!(
                "the report {}: there is no environment {environment} to report on; see `environments` of its [[report]]",
                settings.words()
            );
        }
        let documents = documents(&report, settings);
        let written = self.port.write(settings, &documents).await;
        let (key, now) = (settings.key(), world.clock.now());
        let until = report.plan.observed_at;
        // Files were written for whoever reads them; without a directory the webhook is the only reader.
        let hears_alone = settings.directory.is_none();
        let posted = settings.webhook.clone().map(|webhook| {
            let (body, until) = (body(&report, &webhook), hears_alone.then_some(until));
            let delivery = Delivery { report: key.clone(), body, until };
            (format!("{} {key}", documents.stem), webhook, delivery)
        });
        if let Some((id, _, delivery)) = &posted {
            memory.keep_delivery(id, delivery)?;
        }
        // Due again only when the next time comes, whatever became of this one: a full disk is told once a time. What
        // nobody could read, or nobody took yet, is told again by the next one.
        let from = if written.is_ok() && !hears_alone { until } else { due.from };
        self.noting.made(&memory, &key, now, from)?;
        for told in told(&written, settings) {
            if told.starts_with(NOT) {
                tracing::warn!("the report {}: {told}", settings.words());
            }
            memory.remember(now, Some(&report.plan.revision), REPORT, &settings.words(), &told)?;
        }
        if let Some((id, webhook, delivery)) = posted {
            self.deliver(world, settings.words(), webhook, id, delivery);
        }
        Ok(())
    }

    /// Posts on the side, until it is taken or was tried often enough.
    fn deliver(&self, world: &World, words: String, webhook: Webhook, id: String, delivery: Delivery) {
        let (port, store, clock) =
            (Arc::clone(&self.port), Arc::clone(&world.store), Arc::clone(&world.clock));
        let noting = self.noting.clone();
        tokio::spawn(async move {
            let mut wait = FIRST_WAIT;
            let mut posted = port.post(&webhook, &delivery.body).await;
            for _ in 1..TRIES {
                if posted.is_ok() {
                    break;
                }
                clock.sleep(wait).await;
                wait *= 2;
                posted = port.post(&webhook, &delivery.body).await;
            }
            let memory = Memory::new(&*store);
            let told = match posted {
                Ok(()) => {
                    if let Err(error) = noting.was_taken(&memory, &delivery) {
                        tracing::warn!("{error}; the next report {words} tells of it again");
                    }
                    "posted".to_owned()
                }
                Err(error) => {
                    tracing::warn!("the report {words} was not posted: {error}");
                    format!("{NOT} posted in {TRIES} tries: {error}")
                }
            };
            let noted = memory.remember(clock.now(), None, REPORT, &words, &told);
            if let Err(error) = noted.and_then(|()| memory.forget_delivery(&id)) {
                tracing::warn!("{error}");
            }
        });
    }

    /// There was no look to report on: the next report tells of this time, too.
    fn missed(&self, world: &World, due: &Due, why: &str) -> Result<(), ControlError> {
        let (memory, now) = (Memory::new(&*world.store), world.clock.now());
        self.noting.made(&memory, &due.settings.key(), now, due.from)?;
        let told = format!("{NOT} written: the fleet could not be looked at: {why}");
        tracing::warn!("the report {}: {told}", due.settings.words());
        Ok(memory.remember(now, None, REPORT, &due.settings.words(), &told)?)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the history says of the files; nothing where none were asked for.
fn told(written: &Result<Written, String>, settings: &ReportSettings) -> Vec<String> {
    match written {
        Ok(_) if settings.directory.is_none() => Vec::new(),
        Ok(written) => {
            let not_removed = written.not_removed.iter().map(|why| {
                format!("{NOT} removed, though older than the {} that are kept: {why}", settings.keep)
            });
            let places = format!("written: {}", written.paths.join(", "));
            std::iter::once(places).chain(not_removed).collect()
        }
        Err(error) => vec![format!("{NOT} written: {error}")],
    }
}

/// The report in every form, named by its moment.
fn documents(report: &Report, settings: &ReportSettings) -> Documents {
    Documents {
        stem: stem(&settings.name, report.plan.observed_at),
        files: BTreeMap::from([
            ("md", output::report(report, Format::Markdown, false)),
            ("json", output::report(report, Format::Json, false)),
            ("html", output::report_page(report)),
        ]),
    }
}

fn body(report: &Report, webhook: &Webhook) -> String {
    match webhook.body {
        WebhookBody::Json => output::report(report, Format::Json, false),
        WebhookBody::Text => {
            serde_json::json!({ "text": output::report(report, Format::Markdown, false) }).to_string()
        }
    }
}
