//! Event streams that survive reconnects. Events only wake; reads fill the picture.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::model::desired::Desired;
use crate::model::host::{EngineAddress, Host};
use crate::model::names::HostName;
use crate::ports::{Clock, Engines};

/// The first wait before a broken stream is opened again; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A watching task for each host of the inventory. Dropping it ends them.
pub struct Watch {
    wake: Arc<Notify>,
    tasks: BTreeMap<HostName, (EngineAddress, JoinHandle<()>)>,
}

impl Watch {
    /// `wake` is told about every change on any host, and about every stream that was opened again: what happened in
    /// between was missed.
    pub fn new(wake: Arc<Notify>) -> Self {
        Self { wake, tasks: BTreeMap::new() }
    }

    /// Watches exactly the hosts of `desired`, at their present addresses.
    pub fn follow(&mut self, desired: &Desired, engines: &Arc<dyn Engines>, clock: &Arc<dyn Clock>) {
        self.tasks.retain(|name, (address, task)| {
            let stays = desired.hosts.get(name).is_some_and(|host| host.engine == *address);
            if !stays {
                task.abort();
            }
            stays
        });
        for host in desired.hosts.values() {
            if !self.tasks.contains_key(&host.name) {
                let watching =
                    watch(host.clone(), Arc::clone(engines), Arc::clone(clock), Arc::clone(&self.wake));
                let task = tokio::spawn(watching);
                self.tasks.insert(host.name.clone(), (host.engine.clone(), task));
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for (_, task) in self.tasks.values() {
            task.abort();
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
