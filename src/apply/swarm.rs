//! Steps on a Swarm: what must be true before one, and waiting until Swarm has what was asked for.

use std::time::Duration;

use crate::diff;
use crate::model::ownership::Belongs;
use crate::model::plan::{Action, Expect, Step};
use crate::model::service::ServiceSpec;
use crate::model::swarm::{LiveService, Task, UpdateState};
use crate::model::units::{TimeSpan, Timestamp};
use crate::plan::{Standing, failures, standing};
use crate::ports::{Engine, EngineError};

use super::Executor;
use super::change::StepEnd;
use super::precondition::Verdict;

/// How often it is asked.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How long tasks may fail before that is the answer: Swarm itself tries again after 5 s.
const FAILING: TimeSpan = TimeSpan::from_secs(15);

impl Executor<'_> {
    /// Every mutation re-reads its target, so that a try whose answer was lost is seen to have worked (D5).
    pub(super) async fn on_swarm(
        &self,
        swarm: &str,
        step: &Step,
        engine: &dyn Engine,
    ) -> Result<Verdict, EngineError> {
        match &step.action {
            Action::CreateService { name, spec, labels, .. } => Ok(match engine.service(name).await? {
                None => Verdict::Holds,
                Some((live, _)) if is_made(&live, spec, labels) => {
                    Verdict::AlreadySo(format!("service {name} is there"))
                }
                Some(_) => Verdict::Moved(format!("a service {name} is there that this plan did not see")),
            }),
            Action::UpdateService { name, version, spec, labels, restart, .. } => {
                Ok(match engine.service(name).await? {
                    None => Verdict::Moved(format!("service {name} is gone")),
                    Some((live, _)) if step.expect != Expect::Id(live.id.clone()) => {
                        Verdict::Moved(format!("service {name} is another one than was looked at"))
                    }
                    Some((live, _)) if live.version == *version => Verdict::Holds,
                    Some((live, _)) if !restart && is_made(&live, spec, labels) => {
                        Verdict::AlreadySo(format!("service {name} is as wanted"))
                    }
                    Some(_) => Verdict::Moved(format!("somebody changed service {name} meanwhile")),
                })
            }
            Action::RemoveService { name } => Ok(match engine.service(name).await? {
                None => Verdict::AlreadySo(format!("service {name} is gone")),
                Some((live, _)) => self.ours("service", name, swarm, (&live.id, &live.labels), &step.expect),
            }),
            Action::CreateConfig { name, hash, labels } => Ok(match engine.config(name).await? {
                None => Verdict::Holds,
                Some(live) if live.hash == *hash && live.labels == *labels => {
                    Verdict::AlreadySo(format!("config {name} is there"))
                }
                Some(_) => Verdict::Moved(format!("a config {name} is there that this plan did not see")),
            }),
            Action::RemoveConfig { name } => Ok(match engine.config(name).await? {
                None => Verdict::AlreadySo(format!("config {name} is gone")),
                Some(live) => self.ours("config", name, swarm, (&live.id, &live.labels), &step.expect),
            }),
            Action::CreateNetwork { name, .. } => Ok(match engine.network(name).await? {
                None => Verdict::Holds,
                Some(live) => match self.owner.swarm_object("network", name, swarm, &live.labels) {
                    Belongs::Ours(_) => Verdict::AlreadySo(format!("network {name} is there")),
                    Belongs::Foreign { .. } => {
                        Verdict::Moved(format!("a network {name} is there that this plan did not see"))
                    }
                },
            }),
            Action::RemoveNetwork { name } => Ok(match engine.network(name).await? {
                None => Verdict::AlreadySo(format!("network {name} is gone")),
                Some(live) => self.ours("network", name, swarm, (&live.id, &live.labels), &step.expect),
            }),
            Action::UpdateNode { node, version, .. } => Ok(match engine.node(node).await? {
                None => Verdict::Moved("the node left the Swarm".to_owned()),
                Some(live) if live.version == *version => Verdict::Holds,
                // Its version moves with its state too; what is wanted is looked at anew.
                Some(_) => Verdict::Moved("the node changed meanwhile".to_owned()),
            }),
            Action::PullImage { .. }
            | Action::RemoveImage { .. }
            | Action::CreateVolume { .. }
            | Action::CreateContainer { .. }
            | Action::StartContainer { .. }
            | Action::StopContainer { .. }
            | Action::RestartContainer { .. }
            | Action::RemoveContainer { .. }
            | Action::RenameContainer { .. }
            | Action::UpdateContainer { .. }
            | Action::Connect { .. }
            | Action::Disconnect { .. }
            | Action::WaitHealthy { .. }
            | Action::Drain { .. }
            | Action::Undrain { .. }
            | Action::InstallFiles { .. }
            | Action::WaitService { .. } => Ok(Verdict::Holds),
        }
    }

    fn ours(
        &self,
        kind: &str,
        name: &str,
        swarm: &str,
        (id, labels): (&str, &std::collections::BTreeMap<String, String>),
        expect: &Expect,
    ) -> Verdict {
        if let Belongs::Foreign { why } = self.owner.swarm_object(kind, name, swarm, labels) {
            return Verdict::Moved(format!("{kind} {name} is not ours: {why}"));
        }
        match expect {
            Expect::Id(wanted) if wanted != id => {
                Verdict::Moved(format!("{kind} {name} is another one than was looked at"))
            }
            Expect::Absent => Verdict::Moved(format!("a {kind} {name} is there")),
            Expect::Id(_) | Expect::Ours | Expect::OursBut(_) | Expect::Anything => Verdict::Holds,
        }
    }

    /// Swarm has what the spec asks for, and still has it after `min_healthy`; by `deadline` at the latest.
    pub(super) async fn wait_service(
        &self,
        engine: &dyn Engine,
        name: &str,
        update: bool,
        min_healthy: TimeSpan,
        deadline: TimeSpan,
    ) -> Result<StepEnd, EngineError> {
        let end = self.clock.now().plus(deadline.duration());
        let (mut well_since, mut failing_since): (Option<Timestamp>, Option<Timestamp>) = (None, None);
        loop {
            let (service, tasks) = match engine.service(name).await {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(lost(format!("service {name} disappeared"))),
                // Another manager may answer.
                Err(error) => return Err(error),
            };
            let now = self.clock.now();
            if update && let Some(why) = went_back(&service, &tasks) {
                return Ok(lost(why));
            }
            let last = match standing(&service, tasks.iter()) {
                Standing::Converged => {
                    let since = *well_since.get_or_insert(now);
                    // Swarm watches an update itself; a job has ended.
                    let watched = service.spec.mode.is_job() || service.update.is_some();
                    if watched || now.since(since) >= min_healthy {
                        return Ok(StepEnd::Done);
                    }
                    format!("as wanted for {} only", now.since(since))
                }
                Standing::Converging(how) => {
                    (well_since, failing_since) = (None, None);
                    how
                }
                Standing::Failing(why) => {
                    well_since = None;
                    let since = *failing_since.get_or_insert(now);
                    if now.since(since) >= FAILING {
                        return Ok(lost(why));
                    }
                    why
                }
                Standing::Stopped(why) => return Ok(lost(why)),
            };
            if now >= end {
                return Ok(lost(format!("not there within {deadline}: {last}")));
            }
            tokio::select! {
                () = self.clock.sleep(ASK_AGAIN) => {}
                () = self.stop.wait() => {
                    return Ok(lost("trueup was asked to end while it waited; Swarm goes on".to_owned()));
                }
            }
        }
    }
}

/// Swarm is back where it was before the update: every update begins without a status of its own.
fn went_back(service: &LiveService, tasks: &[Task]) -> Option<String> {
    let status = service.update.as_ref().filter(|update| update.state == UpdateState::RollbackCompleted)?;
    let failed = failures(service, tasks.iter());
    let failed = if failed.is_empty() { String::new() } else { format!(": {failed}") };
    Some(format!("Swarm rolled the update back ({}){failed}", status.message))
}

/// An earlier try whose answer was lost: the very labels and fields of this step. Values of env are hidden, and the rest
/// tells enough.
fn is_made(
    live: &LiveService,
    spec: &ServiceSpec,
    labels: &std::collections::BTreeMap<String, String>,
) -> bool {
    labels.iter().all(|(name, value)| live.labels.get(name) == Some(value))
        && diff::service(spec, &live.spec, None).is_empty()
}

fn lost(error: String) -> StepEnd {
    StepEnd::Failed { error, transient: false }
}
