//! Waiting until a container runs and is healthy (D1), or until it is plain that it will not be.

use std::time::Duration;

use crate::model::names::ContainerName;
use crate::model::observed::{Container, Health, RunState};
use crate::model::units::{TimeSpan, Timestamp};
use crate::ports::{Engine, EngineError};

use super::change::{OVERTAKEN, StepEnd};
use super::{Executor, Stop};

/// How often it is asked.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// A container that was restarted this often since it was first looked at is not going to be well.
const MOST_RESTARTS: u64 = 3;

enum Standing {
    Well,
    NotYet(String),
    Lost(String),
}

impl Executor<'_> {
    /// Healthy, or running where there is no check, for `min_healthy` without a break; by `deadline` at the latest.
    pub(super) async fn wait_healthy(
        &self,
        engine: &dyn Engine,
        name: &ContainerName,
        min_healthy: TimeSpan,
        deadline: TimeSpan,
        overtaken: &Stop,
    ) -> Result<StepEnd, EngineError> {
        let end = self.clock.now().plus(deadline.duration());
        let mut well_since: Option<Timestamp> = None;
        let mut restarts_before: Option<u64> = None;
        loop {
            let seen = match engine.container(name).await {
                Ok(Some(container)) => container,
                Ok(None) => return Ok(lost(format!("container {name} disappeared"))),
                // An engine that does not answer says nothing about the container (A1): ask again until the deadline.
                Err(error) if error.kind.is_transient() && self.clock.now() < end => {
                    if overtaken.is_set() || self.stop.is_set() {
                        return Ok(StepEnd::Stopped(format!("it is waited for no longer: {error}")));
                    }
                    well_since = None;
                    self.clock.sleep(ASK_AGAIN * 5).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let now = self.clock.now();
            let before = *restarts_before.get_or_insert(seen.restarts);
            let last = match standing(&seen, before) {
                Standing::Well => {
                    let since = *well_since.get_or_insert(now);
                    if now.since(since) >= min_healthy {
                        return Ok(StepEnd::Done);
                    }
                    format!("healthy for {} only", now.since(since))
                }
                Standing::NotYet(why) => {
                    well_since = None;
                    why
                }
                Standing::Lost(why) => return Ok(lost(why)),
            };
            if now >= end {
                return Ok(lost(format!("not healthy within {deadline}: {last}")));
            }
            tokio::select! {
                () = self.clock.sleep(ASK_AGAIN) => {}
                () = self.stop.wait() => {
                    return Ok(StepEnd::Stopped("trueup was asked to end while it waited".to_owned()));
                }
                () = overtaken.wait() => {
                    return Ok(StepEnd::Stopped(OVERTAKEN.to_owned()));
                }
            }
        }
    }
}

fn lost(error: String) -> StepEnd {
    StepEnd::Failed { error, transient: false }
}

fn standing(container: &Container, restarts_before: u64) -> Standing {
    let name = &container.name;
    if container.restarts >= restarts_before + MOST_RESTARTS {
        let code = match &container.state {
            RunState::Restarting { exit_code } | RunState::Exited { exit_code, .. } => {
                format!(", last with exit code {exit_code}")
            }
            RunState::Running { .. }
            | RunState::Created
            | RunState::Paused
            | RunState::Removing
            | RunState::Dead => String::new(),
        };
        return Standing::Lost(format!(
            "container {name} ended and was restarted {} times{code}: see `trueup logs`",
            container.restarts
        ));
    }
    match &container.state {
        RunState::Running { health: Health::Healthy | Health::Unchecked, .. } => Standing::Well,
        RunState::Running { health: Health::Starting, .. } => {
            Standing::NotYet("its health check has not passed yet".to_owned())
        }
        RunState::Running { health: Health::Unhealthy { last_output }, .. } => {
            Standing::NotYet(format!("its health check fails: {}", last_output.trim()))
        }
        RunState::Restarting { exit_code } => {
            Standing::NotYet(format!("it exited with {exit_code} and is restarted"))
        }
        RunState::Created => Standing::NotYet("it has not started".to_owned()),
        RunState::Paused => Standing::NotYet("it is paused".to_owned()),
        RunState::Exited { exit_code, error, .. } => {
            Standing::Lost(format!("container {name} exited with {exit_code} {error}").trim_end().to_owned())
        }
        RunState::Removing | RunState::Dead => Standing::Lost(format!("container {name} is being removed")),
    }
}
