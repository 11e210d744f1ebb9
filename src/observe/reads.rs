//! Reads that go on while others are worked on: at most one of each thing, and who is slow is left behind for a look (D6).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::model::host::EngineAddress;
use crate::model::observed::Seen;
use crate::model::units::Timestamp;
use crate::ports::Clock;

use super::next_read;

/// How long the quick wait for the slow before they are left behind for this look.
const PATIENCE: Duration = Duration::from_secs(2);
/// What was read longer ago is read again, where it answers at all.
const STALE: Duration = Duration::from_secs(5);
/// What a thing is while it is left behind.
const STILL_READ: &str = "it is still being read";

/// One thing to read, and where: at another address it is another thing.
pub(super) struct Wanted<V> {
    pub addresses: Vec<EngineAddress>,
    pub read: BoxFuture<'static, Seen<V>>,
}

/// Dropping it ends the reads.
pub(super) struct Reads<K, V> {
    clock: Arc<dyn Clock>,
    reads: Arc<Mutex<BTreeMap<K, Read<V>>>>,
    /// Something that was left behind has been read.
    news: Arc<Notify>,
}

/// What is known about the reads of a thing.
struct Read<V> {
    addresses: Vec<EngineAddress>,
    task: Option<JoinHandle<()>>,
    /// The place of the last read among all, as they began.
    began: u64,
    /// What a read brought and when, until a look takes it up.
    late: Option<(Timestamp, Seen<V>)>,
    /// Why the last read failed: nobody waits for this thing before it has answered again.
    silent: Option<String>,
    /// A look went on without it.
    left_behind: bool,
}

impl<K: Ord + Clone + Send + 'static, V: Send + 'static> Reads<K, V> {
    pub fn new(clock: Arc<dyn Clock>, news: Arc<Notify>) -> Self {
        Self { clock, reads: Arc::default(), news }
    }

    /// Reads what is wanted, and goes on without what takes longer than the patience or did not answer last time: the
    /// second set, unknown only for now. Those reads go on; the next look takes up what they bring. What is no longer
    /// wanted is forgotten.
    pub async fn look(&self, wanted: BTreeMap<K, Wanted<V>>) -> (BTreeMap<K, Seen<V>>, BTreeSet<K>) {
        let done = Arc::new(Notify::new());
        let mut found = BTreeMap::new();
        let mut awaited = BTreeSet::new();
        let now = self.clock.now();
        self.forget_others(&wanted);
        for (key, wanted) in wanted {
            let late = self.take(&key, now);
            let silent = self.lock().get(&key).and_then(|read| read.silent.clone());
            if let Some(late) = late {
                found.insert(key, late);
                continue;
            }
            self.begin(&key, wanted, &done);
            match silent {
                Some(why) => {
                    found.insert(key, Seen::unknown(why));
                }
                None => {
                    awaited.insert(key);
                }
            }
        }
        let end = now.plus(PATIENCE);
        loop {
            let news = done.notified();
            awaited.retain(|key| match self.take(key, now) {
                Some(seen) => {
                    found.insert(key.clone(), seen);
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
        for key in &awaited {
            if let Some(read) = self.lock().get_mut(key) {
                read.left_behind = true;
            }
            found.insert(key.clone(), Seen::unknown(STILL_READ));
        }
        (found, awaited)
    }

    /// What is being read, or was read and not looked at, is read anew by the next look.
    pub fn forget(&self, keys: &BTreeSet<K>) {
        for (_, read) in self.lock().iter_mut().filter(|(key, _)| keys.contains(*key)) {
            if let Some(task) = read.task.take() {
                task.abort();
            }
            // One that is at its very end does not notice.
            read.began = 0;
            read.late = None;
        }
    }

    /// When what the last look told was begun to be read.
    pub fn began(&self) -> BTreeMap<K, u64> {
        self.lock().iter().map(|(key, read)| (key.clone(), read.began)).collect()
    }

    fn forget_others(&self, wanted: &BTreeMap<K, Wanted<V>>) {
        self.lock().retain(|key, read| {
            let same = wanted.get(key).is_some_and(|wanted| wanted.addresses == read.addresses);
            if let (false, Some(task)) = (same, &read.task) {
                task.abort();
            }
            same
        });
    }

    /// Begins a read where none is under way.
    fn begin(&self, key: &K, wanted: Wanted<V>, done: &Arc<Notify>) {
        let mut reads = self.lock();
        let read = reads.entry(key.clone()).or_insert_with(|| Read {
            addresses: wanted.addresses,
            task: None,
            began: 0,
            late: None,
            silent: None,
            left_behind: false,
        });
        if read.task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (clock, reads, key) = (Arc::clone(&self.clock), Arc::clone(&self.reads), key.clone());
        let (done, news) = (Arc::clone(done), Arc::clone(&self.news));
        let number = next_read();
        read.began = number;
        read.task = Some(tokio::spawn(async move {
            let seen = wanted.read.await;
            let mut reads = reads.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(read) = reads.get_mut(&key).filter(|read| read.began == number) else { return };
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
    fn take(&self, key: &K, now: Timestamp) -> Option<Seen<V>> {
        let (at, seen) = self.lock().get_mut(key)?.late.take()?;
        let fresh = seen.known().is_none() || now.since(at).duration() <= STALE;
        fresh.then_some(seen)
    }
}

impl<K, V> Reads<K, V> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, Read<V>>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Drop for Reads<K, V> {
    fn drop(&mut self) {
        for read in self.lock().values() {
            if let Some(task) = &read.task {
                task.abort();
            }
        }
    }
}
