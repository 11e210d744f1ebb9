//! Reads of hosts that go on while the others are worked on: a slow or hung engine delays nobody else (D6).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::model::desired::Desired;
use crate::model::host::{EngineAddress, Host};
use crate::model::image::ImageRef;
use crate::model::names::HostName;
use crate::model::observed::{Engine, Seen};
use crate::model::units::Timestamp;
use crate::ports::{Clock, Engines};

use super::{SURVEY_CALLS, images_of, survey_host};

/// How long the quick wait for the slow before they are left behind for this look.
const PATIENCE: Duration = Duration::from_secs(2);
/// What was read longer ago is read again, where the host answers at all.
const STALE: Duration = Duration::from_secs(5);
/// What a host is while it is left behind.
const STILL_READ: &str = "it is still being read";

/// Keeps at most one read of each host going. Dropping it ends them.
pub struct Surveyor {
    engines: Arc<dyn Engines>,
    clock: Arc<dyn Clock>,
    permits: Arc<Semaphore>,
    deadline: Duration,
    reads: Arc<Mutex<BTreeMap<HostName, Read>>>,
    /// A host that was left behind has been read.
    news: Arc<Notify>,
}

/// What is known about the reads of a host.
struct Read {
    address: EngineAddress,
    task: Option<JoinHandle<()>>,
    /// What a read brought and when, until a look takes it up.
    late: Option<(Timestamp, Seen<Engine>)>,
    /// Why the last read failed: nobody waits for this host before it has answered again.
    silent: Option<String>,
    /// A look went on without it.
    left_behind: bool,
}

/// One look at the hosts.
pub struct Survey {
    pub hosts: BTreeMap<HostName, Seen<Engine>>,
    /// Unknown only because they are still being read: more will be known soon.
    pub pending: BTreeSet<HostName>,
}

impl Surveyor {
    /// `fan_out` reads at once; a whole read of a host may take a few times the deadline of one call.
    pub fn new(
        engines: Arc<dyn Engines>,
        clock: Arc<dyn Clock>,
        fan_out: usize,
        call_deadline: Duration,
    ) -> Self {
        Self {
            engines,
            clock,
            permits: Arc::new(Semaphore::new(fan_out.max(1))),
            deadline: call_deadline.saturating_mul(SURVEY_CALLS),
            reads: Arc::default(),
            news: Arc::default(),
        }
    }

    /// Reads the hosts, and goes on without those that take longer than the patience or did not answer last time. Their
    /// reads go on; the next survey takes up what they bring.
    pub async fn survey(&self, desired: &Desired) -> Survey {
        let done = Arc::new(Notify::new());
        let mut found = BTreeMap::new();
        let mut awaited = BTreeSet::new();
        let now = self.clock.now();
        self.forget_others(desired);
        for host in desired.hosts.values() {
            let late = self.take(&host.name, now);
            let silent = self.reads().get(&host.name).and_then(|read| read.silent.clone());
            if let Some(late) = late {
                found.insert(host.name.clone(), late);
            } else {
                self.begin(host, images_of(desired), &done);
                match silent {
                    Some(why) => {
                        found.insert(host.name.clone(), Seen::unknown(why));
                    }
                    None => {
                        awaited.insert(host.name.clone());
                    }
                }
            }
        }
        let end = now.plus(PATIENCE);
        loop {
            let news = done.notified();
            awaited.retain(|host| match self.take(host, now) {
                Some(seen) => {
                    found.insert(host.clone(), seen);
                    false
                }
                None => true,
            });
            let left = end.since(self.clock.now()).duration();
            if awaited.is_empty() || left.is_zero() {
                break;
            }
            tokio::select! {
                () = news => {}
                () = self.clock.sleep(left) => {}
            }
        }
        for host in &awaited {
            if let Some(read) = self.reads().get_mut(host) {
                read.left_behind = true;
            }
            found.insert(host.clone(), Seen::unknown(STILL_READ));
        }
        Survey { hosts: found, pending: awaited }
    }

    /// Returns when a host that a survey went on without has been read, or one that was silent answers again.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Hosts that left the inventory, or have another address now, are other hosts.
    fn forget_others(&self, desired: &Desired) {
        self.reads().retain(|name, read| {
            let same = desired.hosts.get(name).is_some_and(|host| host.engine == read.address);
            if let (false, Some(task)) = (same, &read.task) {
                task.abort();
            }
            same
        });
    }

    /// Begins a read where none is under way.
    fn begin(&self, host: &Host, images: BTreeSet<ImageRef>, done: &Arc<Notify>) {
        let mut reads = self.reads();
        let read = reads.entry(host.name.clone()).or_insert_with(|| Read {
            address: host.engine.clone(),
            task: None,
            late: None,
            silent: None,
            left_behind: false,
        });
        if read.task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (engines, clock) = (Arc::clone(&self.engines), Arc::clone(&self.clock));
        let (permits, reads) = (Arc::clone(&self.permits), Arc::clone(&self.reads));
        let (done, news) = (Arc::clone(done), Arc::clone(&self.news));
        let (host, deadline) = (host.clone(), self.deadline);
        read.task = Some(tokio::spawn(async move {
            let _permit = permits.acquire().await;
            let seen = survey_host(&host, &*engines, &*clock, &images, deadline).await;
            let mut reads = reads.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(read) = reads.get_mut(&host.name) else { return };
            let was_silent = read.silent.is_some();
            read.silent = match &seen {
                Seen::Known(_) => None,
                Seen::Unknown { why } => Some(why.clone()),
            };
            let answers_again = was_silent && read.silent.is_none();
            read.late = Some((clock.now(), seen));
            if answers_again || std::mem::take(&mut read.left_behind) {
                news.notify_one();
            }
            done.notify_one();
        }));
    }

    /// What was read at `now`, or not long before.
    fn take(&self, host: &HostName, now: Timestamp) -> Option<Seen<Engine>> {
        let (at, seen) = self.reads().get_mut(host)?.late.take()?;
        let fresh = seen.known().is_none() || now.since(at).duration() <= STALE;
        fresh.then_some(seen)
    }

    fn reads(&self) -> MutexGuard<'_, BTreeMap<HostName, Read>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Surveyor {
    fn drop(&mut self) {
        for read in self.reads().values() {
            if let Some(task) = &read.task {
                task.abort();
            }
        }
    }
}
