//! A simulated Swarm's updates and rollbacks: a few slots at a time, watched, and what follows when too many fail.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::service::{OnFailure, UpdateOrder, UpdateSettings};
use crate::model::swarm::{TaskState, UpdateState, UpdateStatus};
use crate::model::units::{TimeSpan, Timestamp};

use super::{Held, Made, SimSwarm, task_part};

/// What Swarm does where nothing is said.
const DEFAULT: UpdateSettings = UpdateSettings {
    parallelism: 1,
    delay: TimeSpan::from_secs(0),
    monitor: None,
    on_failure: OnFailure::Pause,
    max_failure_permille: 0,
    order: UpdateOrder::StopFirst,
};
const MONITOR: Duration = Duration::from_secs(5);

/// An update or rollback under way.
#[derive(Clone)]
pub(super) struct Work {
    began: Timestamp,
    /// Slots there were at its beginning.
    slots: usize,
    failures: usize,
    /// Since the last task of it runs.
    ran: Option<Timestamp>,
}

impl SimSwarm {
    /// One step of the service's update, begun where some slot is not made from the spec.
    pub(super) fn work(&mut self, held: &mut Held, now: Timestamp) {
        if held.live.spec.mode.is_job() {
            return;
        }
        let from = task_part(&held.live.spec, held.forced);
        let all: BTreeSet<Place> = self.wanted(&held.live).map(place).collect();
        let clean: BTreeSet<Place> =
            self.wanted(&held.live).filter(|made| made.from == from).map(place).collect();
        let dirty: Vec<Place> = all.difference(&clean).cloned().collect();
        let state = held.live.update.as_ref().map(|update| update.state);
        match state {
            Some(UpdateState::Paused | UpdateState::RollbackPaused) => return,
            Some(UpdateState::Updating | UpdateState::RollbackStarted) => {}
            Some(UpdateState::Completed | UpdateState::RollbackCompleted) | None if dirty.is_empty() => {
                return;
            }
            Some(UpdateState::Completed | UpdateState::RollbackCompleted) | None => {
                self.set(held, UpdateState::Updating, "update in progress", Some(now));
            }
        }
        let slots = all.len();
        let work = held.work.get_or_insert(Work { began: now, slots, failures: 0, ran: None }).clone();
        self.go_on(held, work, (&from, dirty), now);
    }

    fn go_on(
        &mut self,
        held: &mut Held,
        mut work: Work,
        (from, dirty): (&super::ContentHash, Vec<Place>),
        now: Timestamp,
    ) {
        let rolls_back =
            held.live.update.as_ref().is_some_and(|update| update.state == UpdateState::RollbackStarted);
        let spec = &held.live.spec;
        let settings = if rolls_back { spec.rollback } else { spec.update }.unwrap_or(DEFAULT);
        let id = held.live.id.clone();
        let of_work = |made: &&mut Made| made.task.service.as_deref() == Some(&id) && made.from == *from;
        let mut culprit = None;
        for made in self.tasks.values_mut().filter(of_work) {
            let failed = made.task.state.ended_by_itself();
            if failed && !made.counted && made.task.since >= work.began {
                made.counted = true;
                work.failures += 1;
                culprit = Some(made.task.id.clone());
            }
        }
        let borne = work.slots * usize::from(settings.max_failure_permille) / 1000;
        if let Some(culprit) = culprit.filter(|_| work.failures > borne) {
            match settings.on_failure {
                OnFailure::Continue => {}
                OnFailure::Pause => return self.pause(held, rolls_back, &culprit),
                OnFailure::Rollback if rolls_back => return self.pause(held, true, &culprit),
                OnFailure::Rollback => return self.roll_back(held, &culprit, now),
            }
        }
        let starting = self.wanted(&held.live).any(|made| {
            made.from == *from && made.task.state < TaskState::Running && made.task.since >= work.began
        });
        if starting {
            work.ran = None;
        } else {
            self.stop_old(held, from);
            let ran = *work.ran.get_or_insert(now);
            let waited = now.since(ran);
            let monitor = settings.monitor.map_or(MONITOR, |monitor| monitor.duration());
            if !dirty.is_empty() && (work.ran == Some(work.began) || waited >= settings.delay) {
                let at_once = match settings.parallelism {
                    0 => dirty.len(),
                    some => usize::try_from(some).unwrap_or(usize::MAX),
                };
                for place in dirty.into_iter().take(at_once) {
                    self.renew(held, &place, settings.order, from, now);
                }
                work.ran = None;
            } else if dirty.is_empty() && waited.duration() >= monitor {
                let (state, words) = match rolls_back {
                    true => (UpdateState::RollbackCompleted, "rollback completed"),
                    false => (UpdateState::Completed, "update completed"),
                };
                self.set(held, state, words, None);
                held.live.update.iter_mut().for_each(|update| update.completed = Some(now));
                held.work = None;
                return;
            }
        }
        held.work = Some(work);
    }

    /// What a start-first successor has replaced.
    fn stop_old(&mut self, held: &Held, from: &super::ContentHash) {
        let served: BTreeSet<Place> = self
            .wanted(&held.live)
            .filter(|made| made.from == *from && made.task.state == TaskState::Running)
            .map(place)
            .collect();
        let id = Some(held.live.id.clone());
        for made in self.tasks.values_mut().filter(|made| made.task.service == id && made.from != *from) {
            if served.contains(&place(made)) && made.task.wanted <= TaskState::Complete {
                made.task.wanted = TaskState::Shutdown;
            }
        }
    }

    fn renew(
        &mut self,
        held: &mut Held,
        at: &Place,
        order: UpdateOrder,
        from: &super::ContentHash,
        now: Timestamp,
    ) {
        if order == UpdateOrder::StopFirst {
            let id = Some(held.live.id.clone());
            let old = |made: &&mut Made| made.task.service == id && place(made) == *at;
            for made in self.tasks.values_mut().filter(old) {
                if made.task.wanted <= TaskState::Complete {
                    made.task.wanted = TaskState::Shutdown;
                }
            }
        }
        let spec = held.live.spec.clone();
        self.make(held, at.clone(), (from.clone(), spec), now, now);
    }

    fn pause(&mut self, held: &mut Held, rolls_back: bool, culprit: &str) {
        let (state, what) = match rolls_back {
            true => (UpdateState::RollbackPaused, "rollback"),
            false => (UpdateState::Paused, "update"),
        };
        let words = format!("{what} paused due to failure or early termination of task {culprit}");
        self.set(held, state, &words, None);
        held.work = None;
    }

    /// Swarm itself forgets what failed: only its tasks tell.
    fn roll_back(&mut self, held: &mut Held, culprit: &str, now: Timestamp) {
        let words = format!("update rolled back due to failure or early termination of task {culprit}");
        self.set(held, UpdateState::RollbackStarted, &words, None);
        let live = &mut held.live;
        if let Some(previous) = live.previous.take() {
            live.spec = previous;
            live.published.clone_from(&live.spec.ports);
        }
        held.work = None;
        live.updated = now;
    }

    fn set(&mut self, held: &mut Held, state: UpdateState, words: &str, started: Option<Timestamp>) {
        self.index += 1;
        held.live.version = self.index;
        let started = started.or(held.live.update.as_ref().and_then(|update| update.started));
        held.live.update = Some(UpdateStatus { state, started, completed: None, message: words.to_owned() });
    }
}

/// Slot; and, for global services, node.
type Place = (u64, Option<String>);

fn place(made: &Made) -> Place {
    (made.task.slot, made.task.node.clone().filter(|_| made.task.slot == 0))
}
