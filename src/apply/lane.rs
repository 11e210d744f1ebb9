//! What one host or one Swarm takes at once (D6), and which of a Swarm's managers is asked first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::model::names::HostName;
use crate::model::plan::Change;
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

pub(super) struct Lane {
    slots: Semaphore,
    /// The manager that answered last, as its place among them.
    answered: AtomicUsize,
}

impl Lane {
    pub fn new(at_once: usize) -> Self {
        Self { slots: Semaphore::new(at_once.max(1)), answered: AtomicUsize::new(0) }
    }

    pub async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        self.slots.acquire().await.ok()
    }

    /// All of them with their places, the one that answered last at the head: a hung one is not waited for again.
    pub fn order<'e>(
        &self,
        engines: &'e [Arc<dyn Engine>],
    ) -> impl Iterator<Item = (usize, &'e Arc<dyn Engine>)> {
        let first = self.answered.load(Ordering::Relaxed);
        engines.iter().enumerate().cycle().skip(first).take(engines.len())
    }

    pub fn answers(&self, place: usize) {
        self.answered.store(place, Ordering::Relaxed);
    }
}
