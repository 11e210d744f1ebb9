//! Event streams that survive reconnects and hosts that fall silent. Events only wake; reads fill the picture.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::model::desired::Desired;
use crate::model::host::Host;
use crate::model::names::HostName;
use crate::ports::{Clock, Engines};

/// The first wait before a broken stream is opened again; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A watching task for each host of the inventory. Dropping it ends them.
pub struct Watch {
    wake: Arc<Notify>,
    engines: Arc<dyn Engines>,
    clock: Arc<dyn Clock>,
    tasks: BTreeMap<HostName, Watching>,
    /// Streams that others take over from: heard until those are surely open.
    retiring: Vec<JoinHandle<()>>,
}

struct Watching {
    host: Host,
    task: JoinHandle<()>,
}

impl Watch {
    /// `wake` is told about every change on any host, and about every stream that broke and was opened again: what
    /// happened in between was missed.
    pub fn new(wake: Arc<Notify>, engines: Arc<dyn Engines>, clock: Arc<dyn Clock>) -> Self {
        Self { wake, engines, clock, tasks: BTreeMap::new(), retiring: Vec::new() }
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

    /// Opens every stream anew. A host whose power failed closes nothing, and its stream stays silent for ever: so this
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
        tokio::spawn(watch(host.clone(), engines, clock, Arc::clone(&self.wake)))
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

async fn watch(host: Host, engines: Arc<dyn Engines>, clock: Arc<dyn Clock>, wake: Arc<Notify>) {
    let mut wait = FIRST_WAIT;
    loop {
        let began = clock.now();
        if let Ok(engine) = engines.engine(&host) {
            let told = engine.watch(&|| wake.notify_one()).await;
            if let Err(error) = told {
                tracing::debug!("{error}; the stream is opened again");
            }
        }
        if clock.now().since(began).duration() > LONGEST_WAIT {
            wait = FIRST_WAIT;
        }
        clock.sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
        wake.notify_one();
    }
}
