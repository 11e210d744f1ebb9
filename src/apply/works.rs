//! What is being carried out, whichever plan it is a part of: looks and newer plans go on beside it (D6).

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::drift::Subject;
use crate::model::names::{HostName, Revision};
use crate::model::plan::Change;
use crate::model::settings::Limits;
use crate::model::units::Timestamp;
use crate::plan::Begun;

use super::Stop;
use super::lane::{Lane, Place};

/// Every change that has begun and not ended, and what each host takes at once over all plans.
#[derive(Default)]
pub struct Works {
    state: Mutex<State>,
    /// A change has ended.
    ended: Notify,
    /// Plans were cut.
    cuts: Notify,
}

#[derive(Default)]
struct State {
    next_flight: u64,
    /// Plans before this one begin nothing more: what they had not begun is for a newer plan to say.
    cut: u64,
    next_work: u64,
    works: BTreeMap<u64, Work>,
    lanes: BTreeMap<Place, Arc<Lane>>,
    /// Where changes ended since the last look.
    touched: Touched,
}

struct Work {
    begun: Begun,
    overtaken: Stop,
}

/// Hosts and Swarms on which something has ended.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    pub hosts: BTreeSet<HostName>,
    pub swarms: BTreeSet<String>,
}

/// A change that is being carried out, until this is dropped.
pub(super) struct Ticket<'w> {
    works: &'w Works,
    number: u64,
    /// Set when a newer revision asks for something else.
    pub overtaken: Stop,
}

impl Works {
    /// A number for one more plan that is carried out.
    pub fn flight(&self) -> u64 {
        let mut state = self.lock();
        state.next_flight += 1;
        state.next_flight
    }

    /// What is under way now, and where something ended since this was asked last. From here on the plans that are being
    /// carried out begin nothing more, so that a plan which knows of all this can be made.
    pub fn take_stock(&self) -> (Vec<Begun>, Touched) {
        let mut state = self.lock();
        state.cut = state.next_flight + 1;
        self.cuts.notify_waiters();
        let touched = std::mem::take(&mut state.touched);
        (state.works.values().map(|work| work.begun.clone()).collect(), touched)
    }

    /// What is under way now, for who only tells of it.
    pub fn begun(&self) -> Vec<Begun> {
        self.lock().works.values().map(|work| work.begun.clone()).collect()
    }

    /// Nobody waits any longer for what these changes brought.
    pub fn overtake(&self, subjects: &[&Subject]) {
        for work in self.lock().works.values() {
            if subjects.contains(&&work.begun.change.subject) {
                work.overtaken.set();
            }
        }
    }

    /// Returns when a change has ended since the last time.
    pub async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Returns when the plan begins nothing more.
    pub(super) async fn until_cut(&self, flight: u64) {
        let mut cut = pin!(self.cuts.notified());
        loop {
            cut.as_mut().enable();
            if self.is_cut(flight) {
                return;
            }
            cut.as_mut().await;
            cut.set(self.cuts.notified());
        }
    }

    pub(super) fn is_cut(&self, flight: u64) -> bool {
        flight < self.lock().cut
    }

    /// `None` where the plan begins nothing more.
    pub(super) fn begin(
        &self,
        flight: u64,
        change: &Change,
        revision: &Revision,
        since: Timestamp,
    ) -> Option<Ticket<'_>> {
        let mut state = self.lock();
        if flight < state.cut {
            return None;
        }
        state.next_work += 1;
        let number = state.next_work;
        let begun = Begun { change: change.clone(), revision: revision.clone(), since, step: String::new() };
        let overtaken = Stop::default();
        state.works.insert(number, Work { begun, overtaken: overtaken.clone() });
        Some(Ticket { works: self, number, overtaken })
    }

    pub(super) fn lane(&self, place: Place, limits: &Limits) -> Arc<Lane> {
        Arc::clone(self.lock().lanes.entry(place).or_insert_with(|| Arc::new(Lane::new(limits))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// What it is at.
    pub fn is_at(&self, step: &str) {
        if let Some(work) = self.works.lock().works.get_mut(&self.number) {
            step.clone_into(&mut work.begun.step);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.works.lock();
        if let Some(work) = state.works.remove(&self.number) {
            let Subject { host, swarm, .. } = work.begun.change.subject;
            state.touched.hosts.extend(host);
            state.touched.swarms.extend(swarm);
        }
        drop(state);
        self.works.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// D6: a plan that was cut waits for no place any more, and a newer one does.
    #[tokio::test(start_paused = true)]
    async fn a_cut_plan_waits_no_longer() {
        let works = Works::default();
        let older = works.flight();
        let waits = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = works.take_stock();
        };
        let cut = tokio::time::timeout(Duration::from_secs(2), works.until_cut(older));
        let (cut, ()) = tokio::join!(cut, waits);
        assert!(cut.is_ok(), "told at once");
        works.until_cut(older).await;
        let newer = tokio::time::timeout(Duration::from_secs(60), works.until_cut(works.flight())).await;
        assert!(newer.is_err(), "the next plan is not cut");
    }
}
