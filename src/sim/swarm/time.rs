//! A simulated Swarm's time: nodes fall silent, tasks start, end and are replaced, jobs run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::model::container::HealthCheck;
use crate::model::secrecy::ContentHash;
use crate::model::service::{RestartCondition, ServiceMode};
use crate::model::swarm::{Availability, LiveService, NodeState, Task, TaskState};
use crate::model::units::Timestamp;

use super::super::{Behaviour, live};
use super::schedule::{is_available, satisfies};
use super::{Around, Made, SimSwarm, task_part};

/// Its time passes in such steps.
const STEP: Duration = Duration::from_millis(500);
/// A node that was silent for so long is down (formats, measured).
const SILENT: Duration = Duration::from_secs(15);
/// What it takes to start a task.
const START: Duration = Duration::from_secs(1);
/// How long a job's task runs, and how long a check may fail.
const JOB: Duration = Duration::from_secs(2);
const UNHEALTHY: Duration = Duration::from_secs(5);
/// Swarm's own wait before a task is replaced.
const DELAY: Duration = Duration::from_secs(5);

impl SimSwarm {
    /// Everything that happens up to now.
    pub(in super::super) fn pass(&mut self, around: Around<'_>) {
        while self.passed.plus(STEP) <= around.now {
            self.passed = self.passed.plus(STEP);
            self.step(Around { now: self.passed, ..around });
        }
    }

    fn step(&mut self, around: Around<'_>) {
        self.nodes_change(around);
        self.tasks_go_on(around);
        for name in self.services.keys().cloned().collect::<Vec<_>>() {
            let Some(mut held) = self.services.remove(&name) else { continue };
            self.replace_ended(&mut held, around.now);
            match held.live.spec.mode {
                ServiceMode::Replicated(count) => self.replicate(&mut held, u64::from(count), around.now),
                ServiceMode::Global => self.one_everywhere(&mut held, around.now),
                ServiceMode::ReplicatedJob { total, at_once } => {
                    self.job(&mut held, (u64::from(total), u64::from(at_once)), around.now);
                }
                ServiceMode::GlobalJob => self.one_everywhere(&mut held, around.now),
            }
            self.work(&mut held, around.now);
            self.services.insert(name, held);
        }
        self.schedule(around.now);
        self.forget();
    }

    fn nodes_change(&mut self, around: Around<'_>) {
        let now = around.now;
        for (host, id) in &self.members {
            let since = match around.silent.contains(host) {
                true => Some(*self.silent_since.entry(host.clone()).or_insert(now)),
                false => {
                    self.silent_since.remove(host);
                    None
                }
            };
            let Some(node) = self.nodes.get_mut(id) else { continue };
            let down = since.is_some_and(|since| now.since(since).duration() >= SILENT);
            let (state, message) =
                if down { (NodeState::Down, "heartbeat failure") } else { (NodeState::Ready, "") };
            if node.state != state {
                self.index += 1;
                (node.state, node.version) = (state, self.index);
                message.clone_into(&mut node.message);
            }
            node.reachable = node.reachable.map(|_| !down);
        }
    }

    /// One step of every task on its node.
    fn tasks_go_on(&mut self, around: Around<'_>) {
        let modes: BTreeMap<String, bool> =
            self.services.values().map(|h| (h.live.id.clone(), h.live.spec.mode.is_job())).collect();
        let mut leaving = Vec::new();
        for made in self.tasks.values_mut() {
            let Some(node) = made.task.node.as_ref().and_then(|id| self.nodes.get(id)) else {
                if made.task.wanted > TaskState::Complete {
                    leaving.push(made.task.id.clone());
                }
                continue;
            };
            let is_job = made.task.service.as_ref().and_then(|id| modes.get(id)).copied().unwrap_or_default();
            let stays = node.state == NodeState::Ready && node.availability != Availability::Drain;
            let fits = satisfies(node, &made.spec.constraints);
            let goes_on = made.task.state <= TaskState::Running && made.task.wanted <= TaskState::Complete;
            if goes_on && !(stays && fits) {
                made.task.wanted = TaskState::Shutdown;
            }
            if node.state != NodeState::Ready {
                continue;
            }
            if made.task.wanted > TaskState::Complete && made.task.state <= TaskState::Running {
                (made.task.state, made.task.since) = (TaskState::Shutdown, around.now);
                made.task.addresses.clear();
            }
            if made.task.wanted == TaskState::Remove {
                leaving.push(made.task.id.clone());
            } else {
                made.go_on(is_job, around);
            }
        }
        leaving.iter().for_each(|id| {
            self.tasks.remove(id);
        });
    }

    /// Tasks of the service that Swarm wants, with their slots (jobs and global services: their nodes).
    pub(super) fn wanted<'s>(&'s self, live: &LiveService) -> impl Iterator<Item = &'s Made> {
        let id = live.id.clone();
        self.tasks.values().filter(move |made| {
            made.task.service.as_deref() == Some(&id) && made.task.wanted <= TaskState::Complete
        })
    }

    /// Swarm's restart policy.
    fn replace_ended(&mut self, held: &mut super::Held, now: Timestamp) {
        if held.live.spec.mode.is_job() {
            return;
        }
        let ended: Vec<String> = self
            .wanted(&held.live)
            .filter(|made| made.task.state > TaskState::Running)
            .map(|made| made.task.id.clone())
            .collect();
        for id in ended {
            let Some(made) = self.tasks.get_mut(&id) else { continue };
            made.task.wanted = TaskState::Shutdown;
            let failed = made.task.state != TaskState::Complete;
            let again = match held.live.spec.restart.condition {
                RestartCondition::Any => true,
                RestartCondition::OnFailure => failed,
                RestartCondition::None => false,
            };
            let (slot, node, from) = (made.task.slot, made.task.node.clone(), made.from.clone());
            if !again {
                held.ended.insert(slot);
                continue;
            }
            // Until the update comes to it, a slot is made anew from what it was made from.
            let spec = if from == task_part(&held.live.spec, held.forced) {
                held.live.spec.clone()
            } else {
                made.spec.clone()
            };
            let delay = held.live.spec.restart.delay.map_or(DELAY, |delay| delay.duration());
            let node = node.filter(|_| slot == 0);
            self.make(held, (slot, node), (from, spec), now.plus(delay), now);
        }
    }

    fn replicate(&mut self, held: &mut super::Held, count: u64, now: Timestamp) {
        let mut slots: BTreeSet<u64> = self.wanted(&held.live).map(|made| made.task.slot).collect();
        slots.extend(&held.ended);
        while u64::try_from(slots.len()).unwrap_or(u64::MAX) > count {
            let Some(last) = slots.pop_last() else { break };
            held.ended.remove(&last);
            let id = held.live.id.clone();
            let of_slot =
                |made: &&mut Made| made.task.service.as_ref() == Some(&id) && made.task.slot == last;
            self.tasks.values_mut().filter(of_slot).for_each(|made| made.task.wanted = TaskState::Remove);
        }
        let mut next = 1;
        while u64::try_from(slots.len()).unwrap_or(u64::MAX) < count {
            if slots.insert(next) {
                let from = (task_part(&held.live.spec, held.forced), held.live.spec.clone());
                self.make(held, (next, None), from, now, now);
            }
            next += 1;
        }
    }

    fn one_everywhere(&mut self, held: &mut super::Held, now: Timestamp) {
        let iteration = held.live.job_iteration;
        let id = held.live.id.clone();
        let has = |node: &str| {
            self.tasks.values().any(|made| {
                let of = made.task.service.as_deref() == Some(&id) && made.task.node.as_deref() == Some(node);
                let counts = match iteration {
                    Some(_) => made.task.job_iteration == iteration && made.task.state != TaskState::Shutdown,
                    None => made.task.wanted <= TaskState::Complete,
                };
                of && counts
            })
        };
        let without: Vec<String> = self
            .nodes
            .values()
            .filter(|node| is_available(node) && satisfies(node, &held.live.spec.constraints))
            .filter(|node| !has(&node.id))
            .map(|node| node.id.clone())
            .collect();
        for node in without {
            let from = (task_part(&held.live.spec, held.forced), held.live.spec.clone());
            self.make(held, (0, Some(node)), from, now, now);
        }
    }

    fn job(&mut self, held: &mut super::Held, (total, at_once): (u64, u64), now: Timestamp) {
        let id = held.live.id.clone();
        let of_run = |made: &&Made| {
            made.task.service.as_deref() == Some(&id) && made.task.job_iteration == held.live.job_iteration
        };
        let count = |wanted: &dyn Fn(&Made) -> bool| {
            u64::try_from(self.tasks.values().filter(of_run).filter(|made| wanted(made)).count())
                .unwrap_or(u64::MAX)
        };
        let complete = count(&|made| made.task.state == TaskState::Complete);
        let going =
            count(&|made| made.task.state <= TaskState::Running && made.task.wanted <= TaskState::Complete);
        let failed = count(&|made| matches!(made.task.state, TaskState::Failed | TaskState::Rejected));
        let tries = match held.live.spec.restart.condition {
            RestartCondition::None => 0,
            RestartCondition::Any | RestartCondition::OnFailure => {
                held.live.spec.restart.max_attempts.map_or(u64::MAX, u64::from)
            }
        };
        if failed > tries {
            return;
        }
        let delay = if failed > 0 { DELAY } else { Duration::ZERO };
        for _ in 0..at_once.min(total.saturating_sub(complete)).saturating_sub(going) {
            let from = (task_part(&held.live.spec, held.forced), held.live.spec.clone());
            self.make(held, (0, None), from, now.plus(delay), now);
        }
    }

    pub(super) fn make(
        &mut self,
        held: &mut super::Held,
        (slot, node): (u64, Option<String>),
        (from, spec): (ContentHash, super::ServiceSpec<super::KeyedHash>),
        begins: Timestamp,
        now: Timestamp,
    ) {
        held.made += 1;
        let place = if slot > 0 { slot.to_string() } else { "x".to_owned() };
        let id = format!("{}.{place}.{}", held.live.name, held.made);
        let addresses = Self::on(&spec).map(|network| (network.to_string(), self.address(network.as_str())));
        let task = Task {
            id: id.clone(),
            service: Some(held.live.id.clone()),
            slot,
            state: if node.is_some() { TaskState::Preparing } else { TaskState::New },
            wanted: if held.live.spec.mode.is_job() { TaskState::Complete } else { TaskState::Running },
            since: now,
            error: String::new(),
            exit_code: None,
            container: None,
            image: spec.image.to_string(),
            template: None,
            addresses: addresses.collect(),
            published: spec
                .ports
                .iter()
                .copied()
                .filter(|port| port.publish == super::PublishMode::Host)
                .collect(),
            job_iteration: held.live.job_iteration,
            node: node.clone(),
        };
        let begun = node.map(|_| begins);
        self.tasks.insert(id, Made { task, from, spec, begins, begun, counted: false });
    }

    fn address(&self, network: &str) -> BTreeSet<IpAddr> {
        let taken: BTreeSet<IpAddr> = self
            .tasks
            .values()
            .filter_map(|made| made.task.addresses.get(network))
            .flatten()
            .copied()
            .collect();
        (2u8..=250)
            .map(|last| IpAddr::from([10, 0, 1, last]))
            .find(|a| !taken.contains(a))
            .into_iter()
            .collect()
    }

    /// Swarm keeps a few of the ended tasks of a slot.
    fn forget(&mut self) {
        let mut ended: BTreeMap<Seat<'_>, Vec<Ended>> = BTreeMap::new();
        for made in self.tasks.values().filter(|made| made.task.state > TaskState::Running) {
            let Task { service, slot, node, since, id, job_iteration, .. } = &made.task;
            if job_iteration.is_none() {
                let node = node.as_ref().filter(|_| *slot == 0);
                ended.entry((service.as_ref(), *slot, node)).or_default().push((*since, id.clone()));
            }
        }
        let forgotten = ended.into_values().flat_map(|mut of_slot| {
            of_slot.sort();
            let over = of_slot.len().saturating_sub(self.history);
            of_slot.into_iter().take(over)
        });
        for (_, id) in forgotten.collect::<Vec<_>>() {
            self.tasks.remove(&id);
        }
    }
}

/// Service, slot, and for global services node.
type Seat<'a> = (Option<&'a String>, u64, Option<&'a String>);
/// When a task ended, and its id.
type Ended = (Timestamp, String);

impl Made {
    pub(super) fn told(&self) -> Task {
        Task { template: Some(self.from.clone()), ..self.task.clone() }
    }

    fn go_on(&mut self, is_job: bool, around: Around<'_>) {
        let Some(begun) = self.begun else { return };
        if self.task.state > TaskState::Running {
            return;
        }
        let age = around.now.since(begun).duration();
        let image = around.images.values().find(|known| live::matches(known, &self.spec.image));
        let behaviour = image.and_then(|image| around.behaviour.get(&image.id));
        let checked = matches!(self.spec.health, Some(HealthCheck::Probe { .. }));
        let unhealthy = checked && matches!(behaviour, Some(Behaviour::Unhealthy(_)));
        let next = match behaviour {
            _ if around.now < begun.plus(START) => None,
            _ if image.is_none() => {
                Some((TaskState::Rejected, format!("No such image: {}", self.spec.image.pull_name()), None))
            }
            Some(Behaviour::Exits(0)) => Some((TaskState::Complete, String::new(), Some(0))),
            Some(Behaviour::Exits(code)) => {
                Some((TaskState::Failed, format!("task: non-zero exit ({code})"), Some(*code)))
            }
            Some(Behaviour::Unhealthy(_)) if unhealthy && age < UNHEALTHY => {
                Some((TaskState::Starting, String::new(), None))
            }
            Some(Behaviour::Unhealthy(_)) if unhealthy => Some((
                TaskState::Failed,
                "task: non-zero exit (143): dockerexec: unhealthy container".to_owned(),
                Some(143),
            )),
            Some(Behaviour::Unhealthy(_)) | None if is_job && age >= JOB => {
                Some((TaskState::Complete, String::new(), Some(0)))
            }
            Some(Behaviour::Unhealthy(_)) | None => Some((TaskState::Running, String::new(), None)),
        };
        if let Some((state, error, exit_code)) = next.filter(|(state, _, _)| *state != self.task.state) {
            (self.task.state, self.task.error, self.task.exit_code) = (state, error, exit_code);
            self.task.since = around.now;
            if state == TaskState::Running {
                self.task.container = Some(ContentHash::of(self.task.id.as_bytes()).to_string());
            }
            if state > TaskState::Running {
                self.task.addresses.clear();
            }
        }
    }
}
