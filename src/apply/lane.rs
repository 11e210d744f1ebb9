//! What one host or one Swarm takes at once (D6), and which of a Swarm's managers is asked first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::model::names::HostName;
use crate::model::plan::Change;
use crate::model::settings::Limits;
use crate::ports::Engine;

/// Where a change's steps are sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Host(HostName),
    Swarm(String),
}

impl Place {
    /// `None`: nowhere, such as generated files.
    pub fn of(change: &Change) -> Option<Self> {
        match (change.host(), change.subject.swarm.as_deref()) {
            (Some(host), _) => Some(Self::Host(host.clone())),
            (None, Some(swarm)) => Some(Self::Swarm(swarm.to_owned())),
            (None, None) => None,
        }
    }
}

/// What a change does to its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It makes or starts what did not run: nobody is interrupted, and the engine has all the more to do at once.
    Start {
        /// How many of its host's places it takes: one, or as many as engines start things on the same machine.
        places: u32,
    },
    Other,
}

impl Turn {
    /// Of a start on one of so many engines of this machine. They share its processors, and each has places of its own: one
    /// that hangs holds up no other. `per_host` at once it may have in any case.
    pub fn beside(engines: usize, limits: &Limits) -> Self {
        let most = limits.starts_per_host / limits.per_host.max(1);
        Self::Start { places: u32::try_from(engines.min(most).max(1)).unwrap_or(1) }
    }
}

/// A change's turn at its host or its Swarm.
#[derive(Clone, Copy)]
pub(super) struct Seat<'l> {
    pub lane: &'l Lane,
    pub turn: Turn,
}

impl<'l> Seat<'l> {
    /// Waits until the change may go on.
    pub async fn slot(self) -> Option<SemaphorePermit<'l>> {
        self.lane.slot(self.turn).await
    }
}

pub(super) struct Lane {
    starts: Semaphore,
    others: Semaphore,
    /// The manager that answered last: plans differ in the order of theirs.
    answered: Mutex<Option<HostName>>,
}

/// An engine that steps are sent to, by its host's name.
pub(super) type Named = (HostName, Arc<dyn Engine>);

impl Lane {
    pub fn new(limits: &Limits) -> Self {
        let places = |at_once: usize| Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            starts: places(limits.starts_per_host),
            others: places(limits.per_host),
            answered: Mutex::default(),
        }
    }

    async fn slot(&self, turn: Turn) -> Option<SemaphorePermit<'_>> {
        match turn {
            Turn::Start { places } => self.starts.acquire_many(places).await.ok(),
            Turn::Other => self.others.acquire().await.ok(),
        }
    }

    /// All of them, the one that answered last at the head and those after it next: a hung one is not waited for again.
    pub fn order<'e, E>(&self, engines: &'e [(HostName, E)]) -> impl Iterator<Item = &'e (HostName, E)> {
        let answered = self.lock().clone();
        let first = engines.iter().position(|(host, _)| answered.as_ref() == Some(host)).unwrap_or_default();
        engines.iter().cycle().skip(first).take(engines.len())
    }

    pub fn answers(&self, host: &HostName) {
        *self.lock() = Some(host.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Option<HostName>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answered_last_is_asked_first_whatever_order_a_plan_has_them_in() {
        let managers = |names: [&str; 3]| names.map(|name| (name.parse::<HostName>().expect("a name"), ()));
        let first = |lane: &Lane, managers: &[(HostName, ())]| lane.order(managers).next().cloned();
        let lane = Lane::new(&Limits::default());
        let (one_plan, another) = (managers(["h1", "h2", "h3"]), managers(["h3", "h1", "h2"]));
        assert_eq!(first(&lane, &one_plan), Some(one_plan[0].clone()));
        lane.answers(&one_plan[1].0);
        assert_eq!(first(&lane, &another), Some(one_plan[1].clone()));
        assert_eq!(lane.order(&another).count(), 3);
    }
}
