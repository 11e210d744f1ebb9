//! Engines and file sets → `Observed`: bounded fan-out, a task and an absolute deadline per host (D6).

mod reads;
mod surveyor;
mod swarms;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::model::desired::Desired;
use crate::model::file::{FileSet, Files};
use crate::model::host::Host;
use crate::model::image::ImageRef;
use crate::model::names::HostName;
use crate::model::observed::{Engine, Observed, Seen};
use crate::model::secrecy::KeyedHash;
use crate::model::settings::Limits;
use crate::ports::{Clock, EngineError, Engines, FileSets};

pub use surveyor::{Pending, Survey, Surveyor};
pub use watch::Watch;

/// A whole survey is many calls; it may take this many times the deadline of one.
const SURVEY_CALLS: u32 = 3;

/// A host that took longer than this to be read is in nobody's way any more.
const LONG: Duration = Duration::from_secs(2);

/// Reads when it is its turn. A fleet in which many hosts hang has turns for the others all the same (D6).
async fn in_turn<T>(turns: &Semaphore, clock: &dyn Clock, read: impl Future<Output = T>) -> T {
    let turn = turns.acquire().await;
    let mut read = pin!(read);
    tokio::select! {
        seen = &mut read => return seen,
        () = clock.sleep(LONG) => drop(turn),
    }
    read.await
}

/// A number for a read that begins: whatever the clock says, the greater one sees what is newer.
pub fn next_read() -> u64 {
    static READS: AtomicU64 = AtomicU64::new(1);
    READS.fetch_add(1, Ordering::SeqCst)
}

/// Whom a look asks, and which images matter to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub hosts: BTreeMap<HostName, Host>,
    /// The managers of each Swarm, in the order of fleet.toml.
    pub swarms: BTreeMap<String, Vec<HostName>>,
    pub images: BTreeSet<ImageRef>,
}

impl Asked {
    pub fn of(desired: &Desired) -> Self {
        Self {
            // Where a host is declared is no part of the question.
            hosts: desired
                .hosts
                .iter()
                .map(|(name, host)| (name.clone(), Host { origin: String::new(), ..host.clone() }))
                .collect(),
            swarms: desired.swarms.clone(),
            images: desired.apps.values().map(|app| app.container.image.clone()).collect(),
        }
    }

    fn managers(&self, swarm: &str) -> Vec<Host> {
        let names = self.swarms.get(swarm).into_iter().flatten();
        names.filter_map(|name| self.hosts.get(name)).cloned().collect()
    }
}

/// Reads every host of the inventory and every generated file set.
pub async fn observe(
    asked: &Asked,
    engines: &dyn Engines,
    files: &dyn FileSets,
    clock: &dyn Clock,
    key: KeyedHash,
    limits: &Limits,
    call_deadline: Duration,
) -> Observed {
    let hosts = survey(asked, asked.hosts.values().collect(), engines, clock, limits, call_deadline);
    let swarms = swarms::read(asked, engines, clock, call_deadline.saturating_mul(SURVEY_CALLS));
    let (hosts, swarms, files) = tokio::join!(hosts, swarms, read_files(asked, files));
    let swarms = swarms::contradicted(swarms, &hosts, asked);
    Observed { at: clock.now(), key, hosts, swarms, files }
}

/// As [`observe`], but goes on without hosts and Swarms that are slow (D6); they are told as pending.
pub async fn observe_quick(
    asked: &Asked,
    surveyor: &Surveyor,
    files: &dyn FileSets,
    clock: &dyn Clock,
    key: KeyedHash,
) -> (Observed, Pending) {
    let (survey, files) = tokio::join!(surveyor.survey(asked), read_files(asked, files));
    let Survey { hosts, swarms, pending } = survey;
    let swarms = swarms::contradicted(swarms, &hosts, asked);
    (Observed { at: clock.now(), key, hosts, swarms, files }, pending)
}

/// Reads some hosts again and keeps the rest of `previous`; files are always read again.
#[allow(clippy::too_many_arguments, reason = "ports and limits; a struct would only rename them")]
pub async fn observe_hosts(
    some: &BTreeSet<HostName>,
    previous: &Observed,
    asked: &Asked,
    engines: &dyn Engines,
    files: &dyn FileSets,
    clock: &dyn Clock,
    limits: &Limits,
    call_deadline: Duration,
) -> Observed {
    let wanted = asked.hosts.values().filter(|host| some.contains(&host.name)).collect();
    let fresh = survey(asked, wanted, engines, clock, limits, call_deadline);
    let (fresh, files) = tokio::join!(fresh, read_files(asked, files));
    let mut hosts = previous.hosts.clone();
    hosts.extend(fresh);
    Observed { at: clock.now(), key: previous.key.clone(), hosts, swarms: previous.swarms.clone(), files }
}

async fn survey(
    asked: &Asked,
    hosts: Vec<&Host>,
    engines: &dyn Engines,
    clock: &dyn Clock,
    limits: &Limits,
    call_deadline: Duration,
) -> BTreeMap<HostName, Seen<Engine>> {
    let deadline = call_deadline.saturating_mul(SURVEY_CALLS);
    let turns = &Semaphore::new(limits.fan_out.max(1));
    // Boxed one by one: the compiler cannot see through a closure over borrowed hosts here.
    let mut looks: Vec<BoxFuture<'_, (HostName, Seen<Engine>)>> = Vec::new();
    for host in hosts {
        let read = survey_host(host, engines, clock, &asked.images, deadline);
        looks.push(Box::pin(async move { (host.name.clone(), in_turn(turns, clock, read).await) }));
    }
    join_all(looks).await.into_iter().collect()
}

/// One host, known or unknown, by the deadline at the latest.
async fn survey_host(
    host: &Host,
    engines: &dyn Engines,
    clock: &dyn Clock,
    images: &BTreeSet<ImageRef>,
    deadline: Duration,
) -> Seen<Engine> {
    let engine = match engines.engine(host) {
        Ok(engine) => engine,
        Err(error) => return Seen::unknown(error.to_string()),
    };
    match in_time(host, clock, deadline, engine.survey(images)).await {
        Ok(seen) => Seen::Known(seen),
        Err(why) => Seen::unknown(why),
    }
}

async fn in_time<T>(
    host: &Host,
    clock: &dyn Clock,
    deadline: Duration,
    read: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, String> {
    tokio::select! {
        read = read => read.map_err(|error| error.to_string()),
        () = clock.sleep(deadline) => Err(format!(
            "{}: the engine did not finish answering within {} s",
            host.name,
            deadline.as_secs()
        )),
    }
}

/// One reading of each host by whoever looks only once: side by side and by the deadline, as looks read (D6).
pub async fn read_once<T>(
    reads: Vec<(&Host, BoxFuture<'_, Result<T, EngineError>>)>,
    clock: &dyn Clock,
    fan_out: usize,
    call_deadline: Duration,
) -> Vec<Result<T, String>> {
    let deadline = call_deadline.saturating_mul(SURVEY_CALLS);
    let turns = &Semaphore::new(fan_out.max(1));
    let one = |(host, read)| in_turn(turns, clock, in_time(host, clock, deadline, read));
    join_all(reads.into_iter().map(one)).await
}

/// The wanted sets and those that are left over. Where even the list cannot be read, the wanted ones are unknown.
async fn read_files(asked: &Asked, files: &dyn FileSets) -> BTreeMap<FileSet, Seen<Option<Files>>> {
    let wanted = std::iter::once(FileSet::Nginx)
        .chain(asked.hosts.keys().map(|host| FileSet::Flume(host.clone())))
        .filter(|set| files.wants(set));
    match files.installed().await {
        Ok(installed) => {
            let mut sets: BTreeMap<_, _> = wanted.map(|set| (set, Seen::Known(None))).collect();
            sets.extend(installed.into_iter().map(|(set, files)| (set, Seen::Known(files))));
            sets
        }
        Err(error) => wanted.map(|set| (set, Seen::unknown(error.to_string()))).collect(),
    }
}
