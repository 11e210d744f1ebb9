//! What the files in containers held when they were read last. To read one, an engine starts a program (some 50 ms of a
//! processor); its size and times cost next to nothing, and while they stay as they were it is not read again (decision
//! 0018). Kept in the state file: whoever only plans looks as cheaply as the loop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::host;
use crate::model::names::HostName;
use crate::model::observed::LiveFile;
use crate::model::units::Timestamp;
use crate::ports::{Clock, Record, Store};

/// Whoever sets a file's time back to hide a change is found out after this long.
const AGAIN: Duration = Duration::from_secs(3600);

pub struct Recall {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    hosts: Mutex<BTreeMap<HostName, Host>>,
    /// The state file was looked through for hosts that are no more.
    tidied: AtomicBool,
}

/// By container (its id) and path in it.
type Files = BTreeMap<String, BTreeMap<String, Read>>;

#[derive(Default)]
struct Host {
    files: Files,
    /// Not yet in the state file.
    is_news: bool,
}

#[derive(Serialize, Deserialize)]
struct Read {
    /// All that the engine tells without reading: size, mode, time of the last change.
    stat: String,
    file: LiveFile,
    at: Timestamp,
}

impl Recall {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, hosts: Mutex::default(), tidied: AtomicBool::default() }
    }

    /// What the file held when it was read, where it was read not long ago and is the same by its `stat`.
    pub(super) fn known(&self, host: &HostName, container: &str, path: &str, stat: &str) -> Option<LiveFile> {
        let now = self.clock.now();
        let mut hosts = self.lock();
        let host = hosts.entry(host.clone()).or_insert_with(|| self.kept(host));
        let read = host.files.get(container)?.get(path)?;
        let age = now.since(read.at).duration();
        // A clock that went back says nothing about the age.
        (read.stat == stat && read.at <= now && age < AGAIN).then(|| read.file.clone())
    }

    /// `stat` is from before it was read: what changes meanwhile is another file at the next look.
    pub(super) fn note(&self, host: &HostName, container: &str, path: &str, stat: String, file: &LiveFile) {
        let read = Read { stat, file: file.clone(), at: self.clock.now() };
        let mut hosts = self.lock();
        let host = hosts.entry(host.clone()).or_insert_with(|| self.kept(host));
        host.files.entry(container.to_owned()).or_default().insert(path.to_owned(), read);
        host.is_news = true;
    }

    /// After a look: forgets the containers that are gone, and keeps the news.
    pub(super) fn settle(&self, host: &HostName, containers: &BTreeSet<&str>) {
        let mut hosts = self.lock();
        let Some(known) = hosts.get_mut(host) else { return };
        let before = known.files.len();
        known.files.retain(|id, _| containers.contains(id.as_str()));
        if !known.is_news && known.files.len() == before {
            return;
        }
        let kept = serde_json::to_string(&known.files).map_err(|error| error.to_string());
        let kept = kept.and_then(|json| {
            self.store.put(Record::FilesRead, host.as_str(), &json).map_err(|error| error.to_string())
        });
        match kept {
            Ok(()) => known.is_news = false,
            // The next look reads more than it has to, and nothing else.
            Err(error) => tracing::debug!("what was read of {host}'s files is not kept: {error}"),
        }
    }

    /// Forgets hosts that are none of these; those that an earlier process knew, too.
    pub(super) fn keep_only(&self, declared: &BTreeMap<HostName, host::Host>) {
        let mut gone: BTreeSet<String> = BTreeSet::new();
        self.lock().retain(|host, _| {
            let stays = declared.contains_key(host);
            if !stays {
                gone.insert(host.to_string());
            }
            stays
        });
        if !self.tidied.swap(true, Ordering::Relaxed) {
            let kept = self.store.all(Record::FilesRead).unwrap_or_default();
            gone.extend(kept.into_keys().filter(|name| !declared.keys().any(|host| host.as_str() == name)));
        }
        for host in gone {
            if let Err(error) = self.store.delete(Record::FilesRead, &host) {
                tracing::debug!("what was read of {host}'s files is still kept: {error}");
            }
        }
    }

    fn kept(&self, host: &HostName) -> Host {
        let json = self.store.get(Record::FilesRead, host.as_str()).ok().flatten();
        let files = json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        Host { files, is_news: false }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<HostName, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use async_trait::async_trait;

    use crate::adapter::store::SqliteStore;
    use crate::model::secrecy::ContentHash;

    use super::*;

    #[derive(Default)]
    struct At(AtomicI64);

    #[async_trait]
    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::Relaxed))
        }
        async fn sleep(&self, _: Duration) {}
    }

    fn host() -> HostName {
        "h1".parse().expect("a name")
    }

    fn file() -> LiveFile {
        LiveFile { hash: ContentHash::of(b"declared"), mode: 0o400 }
    }

    #[test]
    fn what_is_the_same_by_its_stat_is_recalled_for_an_hour_also_by_another_process() {
        let directory = tempfile::tempdir().expect("a directory");
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(directory.path()).expect("a store"));
        let clock = Arc::new(At::default());
        let recall = || Recall::new(Arc::clone(&store), Arc::clone(&clock) as Arc<dyn Clock>);
        let first = recall();
        assert_eq!(first.known(&host(), "c1", "/a", "8 bytes"), None);
        first.note(&host(), "c1", "/a", "8 bytes".to_owned(), &file());
        first.settle(&host(), &BTreeSet::from(["c1"]));
        for recall in [&first, &recall()] {
            assert_eq!(recall.known(&host(), "c1", "/a", "8 bytes"), Some(file()));
            assert_eq!(recall.known(&host(), "c1", "/a", "9 bytes"), None, "it was changed");
            assert_eq!(recall.known(&host(), "c1", "/b", "8 bytes"), None);
            assert_eq!(recall.known(&host(), "c2", "/a", "8 bytes"), None, "another container");
        }
        clock.0.store(i64::try_from(AGAIN.as_millis()).expect("small"), Ordering::Relaxed);
        assert_eq!(first.known(&host(), "c1", "/a", "8 bytes"), None, "long ago");
        clock.0.store(-1, Ordering::Relaxed);
        assert_eq!(first.known(&host(), "c1", "/a", "8 bytes"), None, "read in the future: who knows when");
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let directory = tempfile::tempdir().expect("a directory");
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(directory.path()).expect("a store"));
        let recall = Recall::new(Arc::clone(&store), Arc::new(At::default()));
        recall.note(&host(), "c1", "/a", "s".to_owned(), &file());
        recall.note(&host(), "c2", "/a", "s".to_owned(), &file());
        recall.settle(&host(), &BTreeSet::from(["c2"]));
        assert_eq!(recall.known(&host(), "c1", "/a", "s"), None);
        assert_eq!(recall.known(&host(), "c2", "/a", "s"), Some(file()));
        let kept = store.get(Record::FilesRead, "h1").expect("a store").expect("a record");
        assert!(!kept.contains("c1") && kept.contains("c2"), "{kept}");
    }

    #[test]
    fn a_host_that_left_the_inventory_is_forgotten_whoever_read_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(directory.path()).expect("a store"));
        let recall = || Recall::new(Arc::clone(&store), Arc::new(At::default()));
        let read = |recall: &Recall, name: &str| {
            let host: HostName = name.parse().expect("a name");
            recall.note(&host, "c1", "/a", "s".to_owned(), &file());
            recall.settle(&host, &BTreeSet::from(["c1"]));
        };
        let declared = |names: &[&str]| names.iter().map(|name| declared(name)).collect::<BTreeMap<_, _>>();
        let kept = || store.all(Record::FilesRead).expect("a store").into_keys().collect::<Vec<_>>();
        let earlier = recall();
        for name in ["h1", "h2", "h3"] {
            read(&earlier, name);
        }
        let now = recall();
        now.keep_only(&declared(&["h1", "h3"]));
        assert_eq!(kept(), ["h1", "h3"], "h2 left while nobody ran");
        read(&now, "h3");
        now.keep_only(&declared(&["h1"]));
        assert_eq!((kept(), now.lock().len()), (vec!["h1".to_owned()], 0), "h3 left while this one ran");
        assert_eq!(now.known(&host(), "c1", "/a", "s"), Some(file()), "and who stays is recalled");
    }

    fn declared(name: &str) -> (HostName, host::Host) {
        let name: HostName = name.parse().expect("a name");
        let host = host::Host {
            name: name.clone(),
            address: "192.0.2.1".parse().expect("an address"),
            engine: "unix:///run/docker.sock".parse().expect("an engine"),
            environments: BTreeSet::new(),
            labels: BTreeMap::new(),
            capacity: host::Capacity::default(),
            swarm: None,
            availability: None,
            drain: false,
            origin: String::new(),
        };
        (name, host)
    }
}
