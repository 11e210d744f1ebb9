//! Looks that wait for nobody for long: a slow or hung engine, or a Swarm without a quorum, delays nothing else (D6).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use crate::model::host::Host;
use crate::model::names::HostName;
use crate::model::observed::{Engine, Seen};
use crate::model::swarm::Swarm;
use crate::ports::{Clock, Engines};

use super::reads::{Reads, Wanted};
use super::{Asked, SURVEY_CALLS, in_turn, survey_host, swarms};

/// Keeps at most one read of each host and each Swarm going. Dropping it ends them.
pub struct Surveyor {
    engines: Arc<dyn Engines>,
    clock: Arc<dyn Clock>,
    turns: Arc<Semaphore>,
    deadline: Duration,
    hosts: Reads<HostName, Engine>,
    swarms: Reads<String, Swarm>,
    /// The manager that answered for a Swarm last: it is asked first.
    answered: Mutex<BTreeMap<String, HostName>>,
    news: Arc<Notify>,
}

/// Unknown only because it is still being read: more will be known soon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pending {
    pub hosts: BTreeSet<HostName>,
    pub swarms: BTreeSet<String>,
    /// When each host was begun to be read, in the order of [`next_read`](super::next_read).
    pub began: BTreeMap<HostName, u64>,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.swarms.is_empty()
    }
}

/// One look at the engines.
pub struct Survey {
    pub hosts: BTreeMap<HostName, Seen<Engine>>,
    pub swarms: BTreeMap<String, Seen<Swarm>>,
    pub pending: Pending,
}

impl Surveyor {
    /// `fan_out` reads at once, of those that are quick; a whole read of a host may take a few times the deadline of one call.
    pub fn new(
        engines: Arc<dyn Engines>,
        clock: Arc<dyn Clock>,
        fan_out: usize,
        call_deadline: Duration,
    ) -> Self {
        let news = Arc::new(Notify::new());
        Self {
            hosts: Reads::new(Arc::clone(&clock), Arc::clone(&news)),
            swarms: Reads::new(Arc::clone(&clock), Arc::clone(&news)),
            engines,
            clock,
            turns: Arc::new(Semaphore::new(fan_out.max(1))),
            deadline: call_deadline.saturating_mul(SURVEY_CALLS),
            answered: Mutex::default(),
            news,
        }
    }

    /// Reads the hosts, and the Swarms through their managers, and goes on without those that are slow or were silent
    /// last time.
    pub async fn survey(&self, asked: &Asked) -> Survey {
        let hosts = asked.hosts.values().map(|host| (host.name.clone(), self.host(host, asked)));
        let swarms = asked.swarms.keys().map(|name| (name.clone(), self.swarm(name, asked)));
        let ((hosts, slow_hosts), (swarms, slow_swarms)) =
            tokio::join!(self.hosts.look(hosts.collect()), self.swarms.look(swarms.collect()));
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, swarm) in &swarms {
            if let Seen::Known(swarm) = swarm {
                answered.insert(name.clone(), swarm.manager.clone());
            }
        }
        let pending = Pending { hosts: slow_hosts, swarms: slow_swarms, began: self.hosts.began() };
        Survey { hosts, swarms, pending }
    }

    /// Returns when something that a survey went on without has been read, or what was silent answers again.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Something was changed there: what was read before says nothing any more.
    pub fn forget(&self, hosts: &BTreeSet<HostName>, swarms: &BTreeSet<String>) {
        self.hosts.forget(hosts);
        self.swarms.forget(swarms);
    }

    fn host(&self, host: &Host, asked: &Asked) -> Wanted<Engine> {
        let (engines, clock) = (Arc::clone(&self.engines), Arc::clone(&self.clock));
        let (turns, deadline) = (Arc::clone(&self.turns), self.deadline);
        let (host, images) = (host.clone(), asked.images.clone());
        Wanted {
            addresses: vec![host.engine.clone()],
            read: Box::pin(async move {
                in_turn(&turns, &*clock, survey_host(&host, &*engines, &*clock, &images, deadline)).await
            }),
        }
    }

    fn swarm(&self, name: &str, asked: &Asked) -> Wanted<Swarm> {
        let (engines, clock) = (Arc::clone(&self.engines), Arc::clone(&self.clock));
        let deadline = self.deadline;
        let mut managers = asked.managers(name);
        let addresses = managers.iter().map(|manager| manager.engine.clone()).collect();
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        managers.sort_by_key(|manager| Some(&manager.name) != answered.as_ref());
        let read = Box::pin(async move { swarms::read_one(&managers, &*engines, &*clock, deadline).await });
        Wanted { addresses, read }
    }
}
