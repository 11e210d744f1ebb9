//! A `Plan` carried out: changes side by side where their order allows, each step journaled before it is sent (D5).

mod change;
mod precondition;
mod stop;
mod wait;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;

use crate::model::desired::Desired;
use crate::model::file::{FileSet, Files};
use crate::model::names::{HostName, InstanceName};
use crate::model::ownership::Owner;
use crate::model::plan::{Change, Outcome, Plan};
use crate::model::settings::Limits;
use crate::model::units::TimeSpan;
use crate::ports::{Clock, Engines, Progress, Store};

pub use stop::Stop;

/// Who may receive traffic while changes go on; control keeps the generated files in step.
#[async_trait]
pub trait Traffic: Send + Sync {
    /// The instance leaves the generated files, and its requests may end within `timeout`.
    async fn drain(&self, instance: &InstanceName, timeout: TimeSpan) -> Result<(), String>;
    async fn undrain(&self, instance: &InstanceName) -> Result<(), String>;
    /// Installs the set as it follows from a fresh look.
    async fn install(&self, set: &FileSet, planned: &Files) -> Result<(), String>;
}

/// Carries plans out. It makes no choices: a step whose precondition does not hold is refused.
pub struct Executor<'a> {
    pub desired: &'a Desired,
    pub owner: &'a Owner,
    pub engines: &'a dyn Engines,
    pub store: &'a dyn Store,
    pub clock: &'a dyn Clock,
    pub progress: &'a dyn Progress,
    pub traffic: &'a dyn Traffic,
    pub limits: &'a Limits,
    pub call_deadline: Duration,
    pub pull_deadline: Duration,
    pub stop: &'a Stop,
}

/// How every change of a plan ended, in the plan's order.
#[derive(Debug, Clone)]
#[must_use]
pub struct Report {
    pub outcomes: Vec<(Change, Outcome)>,
}

impl Executor<'_> {
    /// Starts each change when all it waits for has succeeded; at most `limits.per_host` at once on a host (D6).
    pub async fn carry_out(&self, plan: &Plan) -> Report {
        let slots = self.slots(plan);
        let mut outcomes: BTreeMap<usize, Outcome> = BTreeMap::new();
        let mut started = vec![false; plan.changes.len()];
        let mut running = FuturesUnordered::new();
        loop {
            for (index, change) in plan.changes.iter().enumerate() {
                if started[index] {
                    continue;
                }
                match self.readiness(change, plan, &outcomes) {
                    Readiness::Waits => {}
                    Readiness::Skip(why) => {
                        started[index] = true;
                        outcomes.insert(index, Outcome::Skipped { why });
                    }
                    Readiness::Go => {
                        started[index] = true;
                        let slot = change.host().and_then(|host| slots.get(host)).cloned();
                        running.push(async move { (index, self.in_slot(plan, change, slot).await) });
                    }
                }
            }
            match running.next().await {
                Some((index, outcome)) => {
                    outcomes.insert(index, outcome);
                }
                // A skip may have made another skip possible; when nothing runs and nothing is new, all is said.
                None if started.iter().all(|s| *s) => break,
                None if !self.anything_ready(plan, &started, &outcomes) => break,
                None => {}
            }
        }
        let never = || Outcome::Skipped { why: "what it waits for waits for it".to_owned() };
        let outcomes = plan
            .changes
            .iter()
            .enumerate()
            .map(|(index, change)| (change.clone(), outcomes.remove(&index).unwrap_or_else(never)))
            .collect();
        Report { outcomes }
    }

    fn slots(&self, plan: &Plan) -> BTreeMap<HostName, Arc<Semaphore>> {
        let hosts = plan.changes.iter().filter_map(Change::host);
        hosts.map(|host| (host.clone(), Arc::new(Semaphore::new(self.limits.per_host.max(1))))).collect()
    }

    fn anything_ready(&self, plan: &Plan, started: &[bool], outcomes: &BTreeMap<usize, Outcome>) -> bool {
        plan.changes.iter().zip(started).any(|(change, started)| {
            !started && !matches!(self.readiness(change, plan, outcomes), Readiness::Waits)
        })
    }

    fn readiness(&self, change: &Change, plan: &Plan, outcomes: &BTreeMap<usize, Outcome>) -> Readiness {
        for before in &change.after {
            match outcomes.get(before) {
                None => return Readiness::Waits,
                Some(Outcome::Done | Outcome::NotNeeded { .. }) => {}
                Some(Outcome::Failed { .. } | Outcome::Skipped { .. }) => {
                    let what =
                        plan.changes.get(*before).map(|c| format!("{} {}", c.action.name(), c.subject));
                    let what = what.unwrap_or_else(|| "a change the plan does not have".to_owned());
                    return Readiness::Skip(format!("waits for `{what}`, which did not succeed"));
                }
            }
        }
        if self.stop.is_set() {
            return Readiness::Skip("trueup was asked to end".to_owned());
        }
        Readiness::Go
    }

    async fn in_slot(&self, plan: &Plan, change: &Change, slot: Option<Arc<Semaphore>>) -> Outcome {
        // Pulls run apart: a slow registry must not keep healing from a host (D6).
        let pulls = change.steps.first().is_some_and(|s| change::is_pull(&s.action));
        let _slot = match slot {
            Some(slot) if !pulls => slot.acquire_owned().await.ok(),
            Some(_) | None => None,
        };
        if self.stop.is_set() {
            return Outcome::Skipped { why: "trueup was asked to end".to_owned() };
        }
        self.carry_out_change(plan, change).await
    }
}

enum Readiness {
    Waits,
    Skip(String),
    Go,
}
