//! Event streams that survive reconnects and hosts that fall silent. Events only wake; reads fill the picture, and a look
//! that begins after a stream was opened sees what it did not tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::model::desired::Desired;
use crate::model::host::{EngineAddress, Host};
use crate::model::names::HostName;
use crate::ports::{Clock, Engines, Heard};

/// The first wait before a broken stream is opened again; it doubles up to `LONGEST_WAIT`. A try costs one connection: a
/// host that comes back is heard soon, however long it was away.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(4);
/// The same over ssh, where a try is a login, which many refused ones get a client banned for.
const LONGEST_WAIT_OF_SSH: Duration = Duration::from_secs(30);
/// A stream that lived for so long was a good one: what breaks it is no reason to wait for the next.
const LIVED: Duration = Duration::from_secs(60);
/// Up to this part of a wait is added to it, so that hosts that went together are not all dialled together.
const JITTER: f64 = 0.25;

/// A watching task for each host of the inventory. Dropping it ends them.
pub struct Watch {
    news: Arc<News>,
    engines: Arc<dyn Engines>,
    clock: Arc<dyn Clock>,
    tasks: BTreeMap<HostName, Watching>,
    /// Streams that others take over from: heard until those are surely open.
    retiring: Vec<JoinHandle<()>>,
}

/// Kept until somebody asks.
#[derive(Default)]
struct News {
    changed: Notify,
    opened: Notify,
}

struct Watching {
    host: Host,
    task: JoinHandle<()>,
}

impl Watch {
    pub fn new(engines: Arc<dyn Engines>, clock: Arc<dyn Clock>) -> Self {
        Self { news: Arc::default(), engines, clock, tasks: BTreeMap::new(), retiring: Vec::new() }
    }

    /// Returns when something changed on any host, or a stream broke: its engine may be gone.
    pub async fn changed(&self) {
        self.news.changed.notified().await;
    }

    /// Returns when a stream was opened: what happened on its host before is told by nobody, and a look is due.
    pub async fn opened(&self) {
        self.news.opened.notified().await;
    }

    /// A look begins now: it sees all that happened before the streams that are open by now.
    pub fn looks(&self) {
        let _ = self.news.opened.notified().now_or_never();
    }

    /// Watches exactly the hosts of `desired`, at their present addresses.
    pub fn follow(&mut self, desired: &Desired) {
        self.retire();
        self.tasks.retain(|name, watching| {
            let stays = desired.hosts.get(name).is_some_and(|host| host.engine == watching.host.engine);
            if !stays {
                watching.task.abort();
            }
            stays
        });
        for host in desired.hosts.values() {
            if !self.tasks.contains_key(&host.name) {
                let task = self.open(host);
                self.tasks.insert(host.name.clone(), Watching { host: host.clone(), task });
            }
        }
    }

    /// Opens every stream anew. A host whose power failed closes nothing, and its stream may stay silent for ever: so this
    /// is done now and then, before a look that sees what such a stream did not tell.
    pub fn renew(&mut self) {
        self.retire();
        let mut tasks = std::mem::take(&mut self.tasks);
        for watching in tasks.values_mut() {
            let fresh = self.open(&watching.host);
            self.retiring.push(std::mem::replace(&mut watching.task, fresh));
        }
        self.tasks = tasks;
    }

    fn open(&self, host: &Host) -> JoinHandle<()> {
        let (engines, clock) = (Arc::clone(&self.engines), Arc::clone(&self.clock));
        tokio::spawn(watch(host.clone(), engines, clock, Arc::clone(&self.news)))
    }

    fn retire(&mut self) {
        for task in self.retiring.drain(..) {
            task.abort();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.retire();
        for watching in self.tasks.values() {
            watching.task.abort();
        }
    }
}

async fn watch(host: Host, engines: Arc<dyn Engines>, clock: Arc<dyn Clock>, news: Arc<News>) {
    let longest = match &host.engine {
        EngineAddress::Ssh { .. } => LONGEST_WAIT_OF_SSH,
        EngineAddress::Unix { .. } | EngineAddress::Tcp { .. } | EngineAddress::Simulated => LONGEST_WAIT,
    };
    let mut wait = FIRST_WAIT;
    loop {
        let opened = std::sync::Mutex::new(None);
        let heard = |heard| match heard {
            Heard::Opened => {
                *opened.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(clock.now());
                news.opened.notify_one();
            }
            Heard::Changed => news.changed.notify_one(),
        };
        if let Ok(engine) = engines.engine(&host) {
            let told = engine.watch(&heard).await;
            if let Err(error) = told {
                tracing::debug!("{error}; the stream is opened again");
            }
        }
        // One that never was open says nothing new: its host is unknown already, or will be at the next look.
        if let Some(at) = opened.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            if clock.now().since(at).duration() > LIVED {
                wait = FIRST_WAIT;
            }
            news.changed.notify_one();
        }
        clock.sleep(wait.mul_f64(1.0 + JITTER * fastrand::f64())).await;
        wait = (wait * 2).min(longest);
    }
}
