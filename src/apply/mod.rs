//! A `Plan` carried out: changes side by side where their order allows, each step journaled before it is sent (D5).

mod attached;
mod change;
mod lane;
mod note;
mod precondition;
mod rollout;
mod stop;
mod swarm;
mod wait;
mod works;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};

use crate::model::desired::Desired;
use crate::model::drift::Subject;
use crate::model::file::{FileSet, Files};
use crate::model::host::EngineAddress;
use crate::model::names::{AppKey, HostName, InstanceName};
use crate::model::observed::Seen;
use crate::model::ownership::Owner;
use crate::model::plan::{Change, Outcome, Plan, Verb};
use crate::model::secrecy::HashKey;
use crate::model::settings::Limits;
use crate::model::swarm::Swarm;
use crate::model::units::TimeSpan;
use crate::ports::{Clock, Engines, Progress, Store};

use lane::{Lane, Place, Seat, Turn};

pub use note::Noted;
pub use stop::Stop;
pub use works::{Touched, Works};

/// Who may receive traffic while changes go on; control keeps the generated files in step.
#[async_trait]
pub trait Traffic: Send + Sync {
    /// The instance leaves the generated files, and its requests may end within `timeout`.
    /// It stands on `host`.
    async fn drain(&self, instance: &InstanceName, host: &HostName, timeout: TimeSpan) -> Result<(), String>;
    async fn undrain(&self, instance: &InstanceName, host: &HostName) -> Result<(), String>;
    /// Installs the set as it follows from a fresh look.
    async fn install(&self, set: &FileSet, planned: &Files) -> Result<(), String>;
}

/// What a change did, however it ended after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Did {
    /// It took away what it was to take away (B3).
    pub took: bool,
    /// A Swarm was sent what is declared of a service, or may have been: no answer came. What was put back after that does not
    /// count.
    pub sent: bool,
}

/// Told how a change ended, and what it did; `None`: it never began.
pub type Told<'a> = &'a (dyn Fn(&Change, &Outcome, Option<Did>) + Send + Sync);

/// Told that a change begins, before its first step. An error keeps it from beginning.
pub type Begins<'a> = &'a (dyn Fn(&Change) -> Result<(), String> + Send + Sync);

/// Says of which apps a change brings what git changed; of none where it heals.
pub type Brings<'a> = &'a (dyn Fn(&Change) -> BTreeSet<AppKey> + Send + Sync);

/// Carries plans out. It makes no choices: a step whose precondition does not hold is refused.
pub struct Executor<'a> {
    pub desired: &'a Desired,
    pub brings: Brings<'a>,
    /// The Swarms as the plan saw them.
    pub swarms: &'a BTreeMap<String, Seen<Swarm>>,
    pub owner: &'a Owner,
    pub engines: &'a dyn Engines,
    pub store: &'a dyn Store,
    pub clock: &'a dyn Clock,
    pub progress: &'a dyn Progress,
    pub traffic: &'a dyn Traffic,
    /// What engines hide values of env with.
    pub key: &'a HashKey,
    pub limits: &'a Limits,
    pub call_deadline: Duration,
    pub pull_deadline: Duration,
    pub stop: &'a Stop,
    /// Whether Swarm is waited for. The loop does not: what Swarm is at is looked at again (D6).
    pub awaits: bool,
    /// What else is being carried out.
    pub works: &'a Works,
    /// This plan's number among them.
    pub flight: u64,
    pub begins: Begins<'a>,
    /// Told how each change ended, at once.
    pub ended: Told<'a>,
}

/// Positions of the changes that only wait for Swarm, and of all that come after those.
pub fn put_off(plan: &Plan) -> BTreeSet<usize> {
    let mut put_off = BTreeSet::new();
    for (index, change) in plan.changes.iter().enumerate() {
        if change.action == Verb::Await || change.after.iter().any(|before| put_off.contains(before)) {
            put_off.insert(index);
        }
    }
    put_off
}

/// How every change of a plan ended, in the plan's order.
#[derive(Debug, Clone)]
#[must_use]
pub struct Report {
    pub outcomes: Vec<(Change, Outcome)>,
    /// What each of them did that has begun.
    pub did: BTreeMap<Subject, Did>,
}

impl Report {
    /// What a change did; one that never began did nothing.
    pub fn did(&self, change: &Change) -> Did {
        self.did.get(&change.subject).copied().unwrap_or_default()
    }
}

impl Executor<'_> {
    /// Starts each change when all it waits for has succeeded; at most `limits.per_host` at once on a host or a Swarm, beside
    /// `limits.starts_per_host` that interrupt nobody (D6, decision 0025).
    pub async fn carry_out(&self, plan: &Plan) -> Report {
        let lanes = self.lanes(plan);
        let neighbours = self.neighbours(plan);
        let mut outcomes: BTreeMap<usize, Outcome> = BTreeMap::new();
        let mut all_did = BTreeMap::new();
        let put_off = if self.awaits { BTreeSet::new() } else { put_off(plan) };
        let mut started: Vec<bool> = (0..plan.changes.len()).map(|index| put_off.contains(&index)).collect();
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
                        let outcome = Outcome::Skipped { why };
                        (self.ended)(change, &outcome, None);
                        outcomes.insert(index, outcome);
                    }
                    Readiness::Go => {
                        started[index] = true;
                        let turn = self.turn(change, neighbours);
                        let lane = Place::of(change).and_then(|place| lanes.get(&place));
                        let seat = lane.map(|lane| Seat { lane, turn });
                        running.push(async move { (index, self.in_lane(plan, change, seat).await) });
                    }
                }
            }
            match running.next().await {
                Some((index, Some((outcome, did)))) => {
                    all_did.extend(plan.changes.get(index).map(|change| (change.subject.clone(), did)));
                    outcomes.insert(index, outcome);
                }
                Some((_, None)) => {}
                // A skip may have made another skip possible; when nothing runs and nothing is new, all is said.
                None if started.iter().all(|s| *s) => break,
                None if !self.anything_ready(plan, &started, &outcomes) => break,
                None => {}
            }
        }
        let never = || Outcome::Skipped { why: "what it waits for waits for it".to_owned() };
        let is_cut = self.works.is_cut(self.flight);
        let outcomes = plan.changes.iter().enumerate().filter_map(|(index, change)| {
            let outcome = match outcomes.remove(&index) {
                Some(outcome) => outcome,
                // A newer plan says what becomes of those.
                None if is_cut || put_off.contains(&index) => return None,
                None => never(),
            };
            Some((change.clone(), outcome))
        });
        Report { outcomes: outcomes.collect(), did: all_did }
    }

    fn lanes(&self, plan: &Plan) -> BTreeMap<Place, Arc<Lane>> {
        let places: BTreeSet<Place> = plan.changes.iter().filter_map(Place::of).collect();
        let lane = |place: Place| (place.clone(), self.works.lane(place, self.limits));
        places.into_iter().map(lane).collect()
    }

    /// Engines of this machine on which the plan starts something.
    fn neighbours(&self, plan: &Plan) -> usize {
        let starts = plan.changes.iter().filter(|change| change::only_starts(change));
        let is_here = |host: &&HostName| matches!(self.engine(host), Some(EngineAddress::Unix { .. }));
        starts.filter_map(Change::host).filter(is_here).collect::<BTreeSet<_>>().len()
    }

    fn engine(&self, host: &HostName) -> Option<&EngineAddress> {
        self.desired.hosts.get(host).map(|host| &host.engine)
    }

    /// ssh carries only a few calls at once: what waits for one waits at the expense of its deadline.
    fn turn(&self, change: &Change, neighbours: usize) -> Turn {
        match change.host().and_then(|host| self.engine(host)) {
            Some(EngineAddress::Ssh { .. }) | None => Turn::Other,
            Some(_) if !change::only_starts(change) => Turn::Other,
            Some(EngineAddress::Unix { .. }) => Turn::beside(neighbours, self.limits),
            Some(EngineAddress::Tcp { .. } | EngineAddress::Simulated) => Turn::Start { places: 1 },
        }
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
                Some(outcome) => {
                    let what =
                        plan.changes.get(*before).map(|c| format!("{} {}", c.action.name(), c.subject));
                    let what = what.unwrap_or_else(|| "a change the plan does not have".to_owned());
                    let how = match outcome {
                        Outcome::Begun => "which Swarm is at",
                        Outcome::Done
                        | Outcome::NotNeeded { .. }
                        | Outcome::Failed { .. }
                        | Outcome::Skipped { .. } => "which did not succeed",
                    };
                    return Readiness::Skip(format!("waits for `{what}`, {how}"));
                }
            }
        }
        if self.works.is_cut(self.flight) {
            return Readiness::Waits;
        }
        if self.stop.is_set() {
            return Readiness::Skip("trueup was asked to end".to_owned());
        }
        Readiness::Go
    }

    /// How it ended, and what it did; `None`: a newer plan says what becomes of it.
    async fn in_lane(&self, plan: &Plan, change: &Change, seat: Option<Seat<'_>>) -> Option<(Outcome, Did)> {
        // Pulls run apart: a slow registry must not keep healing from a host (D6). On a Swarm each step has a slot of its
        // own: waiting for Swarm is no work of its managers.
        let pulls = change.steps.first().is_some_and(|s| change::is_pull(&s.action));
        let slot = match seat {
            Some(seat) if !pulls && change.subject.swarm.is_none() => tokio::select! {
                slot = seat.slot() => slot,
                // It would wait for nothing, with all that its plan was made from.
                () = self.works.until_cut(self.flight) => return None,
            },
            Some(_) | None => None,
        };
        let ticket = self.works.begin(self.flight, change, &plan.revision, self.clock.now())?;
        let (outcome, did) = if self.stop.is_set() {
            (Outcome::Skipped { why: "trueup was asked to end".to_owned() }, Did::default())
        } else if let Err(error) = (self.begins)(change) {
            (Outcome::Failed { error, transient: true }, Did::default())
        } else {
            self.carry_out_change(plan, change, seat, slot, &ticket).await
        };
        // Told before it is no longer under way: no look falls in between.
        (self.ended)(change, &outcome, Some(did));
        Some((outcome, did))
    }
}

enum Readiness {
    Waits,
    Skip(String),
    Go,
}
