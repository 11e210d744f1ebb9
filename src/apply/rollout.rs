//! Waiting until Swarm has what a service's spec asks for (D1), or until it is plain that it will not.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::names::FieldName;
use crate::model::plan::{Action, Change, Expect};
use crate::model::secrecy::KeyedHash;
use crate::model::service::ServiceSpec;
use crate::model::swarm::{LiveService, Task, UpdateState};
use crate::model::units::{TimeSpan, Timestamp};
use crate::plan::{Standing, failures, reached, standing};
use crate::ports::{Engine, EngineError};

use super::Executor;
use super::change::StepEnd;

/// How often it is asked.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How long tasks may fail before that is the answer: Swarm itself tries again after 5 s.
const FAILING: TimeSpan = TimeSpan::from_secs(15);

/// What is waited for.
pub(super) struct Awaited<'c> {
    pub change: &'c Change,
    pub name: &'c str,
    pub job_ends: bool,
    pub min_healthy: TimeSpan,
    pub deadline: TimeSpan,
}

/// What was seen so far.
struct Seen {
    /// When it was begun to wait, by our own clock.
    began: Timestamp,
    /// The spec at the first look.
    spec: Option<ServiceSpec<KeyedHash>>,
    well_since: Option<Timestamp>,
    failing_since: Option<Timestamp>,
    reached: usize,
    /// When the last task came forward.
    moved: Timestamp,
}

impl Executor<'_> {
    /// Swarm has it, and still has it after `min_healthy`. The deadline begins anew whenever one more task is there.
    pub(super) async fn wait_service(
        &self,
        engine: &dyn Engine,
        awaited: &Awaited<'_>,
    ) -> Result<StepEnd, EngineError> {
        let now = self.clock.now();
        let mut seen =
            Seen { began: now, spec: None, well_since: None, failing_since: None, reached: 0, moved: now };
        loop {
            let (service, tasks) = match engine.service(awaited.name).await {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(lost(format!("service {} disappeared", awaited.name))),
                // Another manager may answer.
                Err(error) => return Err(error),
            };
            if let Some(end) = seen.look(self, awaited, &service, &tasks) {
                return Ok(end);
            }
            tokio::select! {
                () = self.clock.sleep(ASK_AGAIN) => {}
                () = self.stop.wait() => {
                    let why = "trueup was asked to end while it waited; Swarm goes on";
                    return Ok(StepEnd::Stopped(why.to_owned()));
                }
            }
        }
    }
}

impl Seen {
    /// How it ended, once it did.
    fn look(
        &mut self,
        executor: &Executor<'_>,
        awaited: &Awaited<'_>,
        service: &LiveService,
        tasks: &[Task],
    ) -> Option<StepEnd> {
        let now = executor.clock.now();
        if let Some(why) = self.is_another(executor, awaited, service, tasks) {
            return Some(lost(why));
        }
        let there = reached(service, tasks.iter());
        if there > self.reached {
            (self.reached, self.moved) = (there, now);
        }
        let how = match standing(service, tasks.iter(), now.since(self.began)) {
            Standing::Converged => {
                let since = *self.well_since.get_or_insert(now);
                // Swarm watches an update itself; a job has ended.
                let watched = service.spec.mode.is_job() || service.update.is_some();
                if watched || now.since(since) >= awaited.min_healthy {
                    return Some(StepEnd::Done);
                }
                format!("as wanted for {} only", now.since(since))
            }
            Standing::Working(how) => {
                let since = *self.well_since.get_or_insert(now);
                if !awaited.job_ends && now.since(since) >= awaited.min_healthy {
                    return Some(StepEnd::Done);
                }
                // A job takes the time that it takes.
                self.moved = now;
                how
            }
            Standing::Converging(how) => {
                (self.well_since, self.failing_since) = (None, None);
                how
            }
            Standing::Failing(why) => {
                self.well_since = None;
                if now.since(*self.failing_since.get_or_insert(now)) >= FAILING {
                    return Some(lost(why));
                }
                why
            }
            Standing::Stopped(why) => return Some(lost(why)),
        };
        let late = now.since(self.moved) >= awaited.deadline;
        late.then(|| lost(format!("not there, and no further for {}: {how}", awaited.deadline)))
    }

    /// It is no longer what was sent, or what was looked at first: nothing it does now is this change's success (D8).
    fn is_another(
        &mut self,
        executor: &Executor<'_>,
        awaited: &Awaited<'_>,
        service: &LiveService,
        tasks: &[Task],
    ) -> Option<String> {
        let (same, id) = match sent(awaited.change) {
            Some((spec, keep, id)) => (executor.has(service, spec, keep), id),
            None => (*self.spec.get_or_insert_with(|| service.spec.clone()) == service.spec, None),
        };
        if id.is_some_and(|id| *id != service.id) {
            return Some(format!("service {} is another one than was updated", service.name));
        }
        if same {
            return None;
        }
        let Some(back) = service.rolled_back() else {
            return Some(format!("somebody changed service {} meanwhile", service.name));
        };
        // Until it is back its tasks may still say why.
        if back.state == UpdateState::RollbackStarted {
            return None;
        }
        let failed = failures(service, tasks.iter());
        let failed = if failed.is_empty() { String::new() } else { format!(": {failed}") };
        Some(format!("Swarm rolled the update back ({}){failed}", back.message))
    }
}

/// The spec that was sent just before, with what it keeps, and the id of the service where that was known.
fn sent(change: &Change) -> Option<(&ServiceSpec, &BTreeSet<FieldName>, Option<&String>)> {
    static NOTHING: BTreeSet<FieldName> = BTreeSet::new();
    change.steps.iter().find_map(|step| match (&step.action, &step.expect) {
        (Action::UpdateService { spec, keep, .. }, Expect::Id(id)) => Some((&**spec, keep, Some(id))),
        (Action::UpdateService { spec, keep, .. }, _) => Some((&**spec, keep, None)),
        (Action::CreateService { spec, .. }, _) => Some((&**spec, &NOTHING, None)),
        (_, _) => None,
    })
}

fn lost(error: String) -> StepEnd {
    StepEnd::Failed { error, transient: false }
}
