//! One change: its steps in order, each re-read, journaled, sent, settled; what was taken away is put back on failure.

use std::sync::Arc;
use std::time::Duration;

use crate::model::plan::{Action, Change, Outcome, Plan, Step};
use crate::ports::{Contents, Engine, EngineError, Intent};

use super::Executor;
use super::precondition::Verdict;

/// Waits between tries of a step that failed for a passing reason (D3): 5 s doubling; five tries in all.
const TRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// How one step ended.
pub(super) enum StepEnd {
    Done,
    NotNeeded(String),
    /// The world moved: its precondition does not hold.
    Refused(String),
    Failed {
        error: String,
        transient: bool,
    },
}

/// Whether an action waits for a registry.
pub(super) fn is_pull(action: &Action) -> bool {
    matches!(action, Action::PullImage { .. })
}

impl Executor<'_> {
    pub(super) async fn carry_out_change(&self, plan: &Plan, change: &Change) -> Outcome {
        let subject = change.subject.to_string();
        self.progress.change(&subject, change.action.name(), None);
        let outcome = self.steps(plan, change, &subject).await;
        self.remember(plan, change, &subject, &outcome);
        self.progress.change(&subject, change.action.name(), Some(&outcome));
        outcome
    }

    async fn steps(&self, plan: &Plan, change: &Change, subject: &str) -> Outcome {
        let engine = match self.engine_of(change) {
            Ok(engine) => engine,
            Err(error) => return failed(&error),
        };
        let mut not_needed = Vec::new();
        for (index, step) in change.steps.iter().enumerate() {
            self.progress.step(subject, &step.action.describe());
            match self.step(plan, change, subject, step, engine.as_deref()).await {
                StepEnd::Done => {}
                StepEnd::NotNeeded(why) => not_needed.push(why),
                StepEnd::Refused(why) if index == 0 => {
                    return Outcome::Skipped { why: format!("the world moved: {why}") };
                }
                StepEnd::Refused(why) => {
                    let put_back = self.undo(plan, change, subject, engine.as_deref()).await;
                    return Outcome::Failed {
                        error: format!("{}: the world moved: {why}{put_back}", step.action.describe()),
                        transient: true,
                    };
                }
                StepEnd::Failed { error, transient } => {
                    let put_back = self.undo(plan, change, subject, engine.as_deref()).await;
                    let error = format!("{}: {error}{put_back}", step.action.describe());
                    return Outcome::Failed { error, transient };
                }
            }
        }
        if !change.steps.is_empty() && not_needed.len() == change.steps.len() {
            return Outcome::NotNeeded { why: not_needed.join("; ") };
        }
        Outcome::Done
    }

    /// Puts back what was taken away. Each step is tried; what could not be put back is told.
    async fn undo(&self, plan: &Plan, change: &Change, subject: &str, engine: Option<&dyn Engine>) -> String {
        if change.undo.is_empty() {
            return String::new();
        }
        let mut problems = Vec::new();
        for step in &change.undo {
            match self.step(plan, change, subject, step, engine).await {
                // A precondition that does not hold here means that there is nothing of this to put back.
                StepEnd::Done | StepEnd::NotNeeded(_) | StepEnd::Refused(_) => {}
                StepEnd::Failed { error, .. } => {
                    problems.push(format!("{}: {error}", step.action.describe()))
                }
            }
        }
        if problems.is_empty() {
            "; what was there before was put back".to_owned()
        } else {
            format!("; putting back what was there before failed too: {}", problems.join("; "))
        }
    }

    /// Journal, act with retries, settle (D5).
    async fn step(
        &self,
        plan: &Plan,
        change: &Change,
        subject: &str,
        step: &Step,
        engine: Option<&dyn Engine>,
    ) -> StepEnd {
        let intent = Intent {
            id: 0,
            at: self.clock.now(),
            plan: plan.id.clone(),
            host: change.host().cloned(),
            subject: subject.to_owned(),
            step: step.action.describe(),
        };
        let id = match self.store.intend(&intent) {
            Ok(id) => id,
            // What cannot be journaled is not done.
            Err(error) => return StepEnd::Failed { error: error.to_string(), transient: true },
        };
        let end = self.try_step(step, engine).await;
        let outcome = match &end {
            StepEnd::Done => Outcome::Done,
            StepEnd::NotNeeded(why) => Outcome::NotNeeded { why: why.clone() },
            StepEnd::Refused(why) => Outcome::Skipped { why: why.clone() },
            StepEnd::Failed { error, transient } => {
                Outcome::Failed { error: error.clone(), transient: *transient }
            }
        };
        match self.store.settle(id, self.clock.now(), &outcome) {
            Ok(()) => end,
            Err(error) => StepEnd::Failed { error: error.to_string(), transient: true },
        }
    }

    async fn try_step(&self, step: &Step, engine: Option<&dyn Engine>) -> StepEnd {
        let mut wait = FIRST_WAIT;
        for attempt in 1..=TRIES {
            let error = match self.attempt(step, engine).await {
                Ok(end) => return end,
                Err(error) => error,
            };
            if !error.kind.is_transient() || attempt == TRIES || self.stop.is_set() {
                return StepEnd::Failed { error: error.to_string(), transient: error.kind.is_transient() };
            }
            tokio::select! {
                () = self.clock.sleep(wait) => {}
                () = self.stop.wait() => {}
            }
            wait = (wait * 2).min(Duration::from_secs(180));
        }
        StepEnd::Failed { error: "every try failed".to_owned(), transient: true }
    }

    /// One try: the target is read first, so that a try whose answer was lost is seen to have worked.
    async fn attempt(&self, step: &Step, engine: Option<&dyn Engine>) -> Result<StepEnd, EngineError> {
        let in_traffic = |result: Result<(), String>| match result {
            Ok(()) => StepEnd::Done,
            Err(error) => StepEnd::Failed { error, transient: true },
        };
        match &step.action {
            Action::Drain { instance, timeout } => {
                Ok(in_traffic(self.traffic.drain(instance, *timeout).await))
            }
            Action::Undrain { instance } => Ok(in_traffic(self.traffic.undrain(instance).await)),
            Action::InstallFiles { set, files } => Ok(in_traffic(self.traffic.install(set, files).await)),
            Action::WaitHealthy { name, min_healthy, deadline } => match engine {
                Some(engine) => self.wait_healthy(engine, name, *min_healthy, *deadline).await,
                None => Ok(no_host()),
            },
            Action::PullImage { .. }
            | Action::CreateVolume { .. }
            | Action::CreateNetwork { .. }
            | Action::RemoveNetwork { .. }
            | Action::CreateContainer { .. }
            | Action::StartContainer { .. }
            | Action::StopContainer { .. }
            | Action::RestartContainer { .. }
            | Action::RemoveContainer { .. }
            | Action::RenameContainer { .. }
            | Action::UpdateContainer { .. }
            | Action::Connect { .. }
            | Action::Disconnect { .. } => match engine {
                Some(engine) => self.on_engine(step, engine).await,
                None => Ok(no_host()),
            },
        }
    }

    async fn on_engine(&self, step: &Step, engine: &dyn Engine) -> Result<StepEnd, EngineError> {
        match self.precondition(step, engine).await? {
            Verdict::Holds => {}
            Verdict::AlreadySo(why) => return Ok(StepEnd::NotNeeded(why)),
            Verdict::Moved(why) => return Ok(StepEnd::Refused(why)),
        }
        let contents: &Contents = &self.desired.contents;
        engine.perform(&step.action, contents, self.progress).await?;
        Ok(StepEnd::Done)
    }

    fn engine_of(&self, change: &Change) -> Result<Option<Arc<dyn Engine>>, EngineError> {
        let Some(name) = change.host() else { return Ok(None) };
        match self.desired.hosts.get(name) {
            Some(host) => self.engines.engine(host).map(Some),
            None => Ok(None),
        }
    }

    fn remember(&self, plan: &Plan, change: &Change, subject: &str, outcome: &Outcome) {
        let detail = match outcome {
            Outcome::Done => change.because.join("; "),
            Outcome::NotNeeded { why } => format!("not needed: {why}"),
            Outcome::Failed { error, .. } => format!("FAILED: {error}"),
            Outcome::Skipped { why } => format!("skipped: {why}"),
        };
        let entry = crate::ports::HistoryEntry {
            at: self.clock.now(),
            revision: Some(plan.revision.clone()),
            what: change.action.name().to_owned(),
            subject: subject.to_owned(),
            detail,
        };
        if let Err(error) = self.store.remember(&entry) {
            tracing::warn!("the history lacks an entry: {error}");
        }
    }
}

fn no_host() -> StepEnd {
    StepEnd::Failed { error: "its host is not in the inventory".to_owned(), transient: false }
}

fn failed(error: &EngineError) -> Outcome {
    Outcome::Failed { error: error.to_string(), transient: error.kind.is_transient() }
}
