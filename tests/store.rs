//! The state file: kept over restarts and kills, set aside when damaged, and one writer at a time.

// Helpers of tests may fail the test.
#![allow(clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trueup::adapter::store::SqliteStore;
use trueup::model::names::Revision;
use trueup::model::plan::Outcome;
use trueup::model::units::Timestamp;
use trueup::ports::{HistoryEntry, Intent, Record, Store};

fn open(at: &Path) -> SqliteStore {
    SqliteStore::open(at).expect("the store opens")
}

fn intent(n: i64, host: Option<&str>) -> Intent {
    Intent {
        id: 0,
        at: Timestamp(1000 + n),
        plan: "0123456789ab".into(),
        host: host.map(|h| h.parse().expect("a name")),
        subject: format!("container quote-prod-{n}"),
        step: "start container".into(),
    }
}

fn entry(n: i64) -> HistoryEntry {
    let revision = (n % 2 == 0).then(|| Revision::new("abc"));
    HistoryEntry {
        at: Timestamp(n),
        revision,
        what: "apply".into(),
        subject: format!("s{n}"),
        detail: "ü\n'\"".into(),
    }
}

const ALL: [Record; 15] = [
    Record::LastGood,
    Record::ImageLock,
    Record::FirstSeen,
    Record::Backoff,
    Record::Pause,
    Record::Quarantine,
    Record::Approval,
    Record::Budget,
    Record::RestartRequest,
    Record::Lease,
    Record::Address,
    Record::Report,
    Record::Delivery,
    Record::PulledImage,
    Record::Rollout,
];

#[test]
fn records_are_kept_by_kind_and_key_over_a_restart() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let store = open(at.path());
    for (n, record) in ALL.into_iter().enumerate() {
        assert_eq!(store.get(record, "k").expect("read"), None);
        store.put(record, "k", "first").expect("put");
        store.put(record, "k", &format!("{n}")).expect("put again");
        store.put(record, "gone", "x").expect("put");
        store.delete(record, "gone").expect("deleted");
        store.delete(record, "never").expect("nothing to delete is no error");
    }
    store.put(Record::Lease, "it's; DROP TABLE records", "{\"a\":1}").expect("put");
    drop(store);
    let store = open(at.path());
    for (n, record) in ALL.into_iter().enumerate() {
        assert_eq!(store.get(record, "k").expect("read"), Some(n.to_string()), "{record:?}");
        assert_eq!(store.all(record).expect("read").len(), if record == Record::Lease { 2 } else { 1 });
    }
    assert_eq!(store.notice(), None);
}

#[test]
fn many_records_are_put_and_deleted_all_or_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    store.put(Record::Lease, "goes", "0").expect("put");
    store.put(Record::Pause, "goes", "0").expect("put");
    let changes = [("goes", None), ("stays", Some("1")), ("was never there", None)];
    let changes = changes.map(|(key, json)| (key.to_owned(), json.map(str::to_owned))).into();
    store.put_all(Record::Lease, &changes).expect("all");
    let kept = |store: &SqliteStore, record| store.all(record).expect("all").into_keys().collect::<Vec<_>>();
    assert_eq!(kept(&store, Record::Lease), ["stays"]);
    assert_eq!(kept(&store, Record::Pause), ["goes"]);

    let raw = rusqlite::Connection::open(dir.path().join("trueup.db")).expect("the file");
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON records WHEN NEW.key = 'too much'
                   BEGIN SELECT raise(ABORT, 'the disk is full'); END";
    raw.execute_batch(trigger).expect("a trigger");
    let changes = [("first", Some("1")), ("stays", None), ("too much", Some("1"))];
    let changes = changes.map(|(key, json)| (key.to_owned(), json.map(str::to_owned))).into();
    let error = store.put_all(Record::Lease, &changes).expect_err("one of them cannot be written");
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert_eq!(kept(&store, Record::Lease), ["stays"], "none of them");
    drop(store);
    assert_eq!(kept(&open(dir.path()), Record::Lease), ["stays"]);
}

#[test]
fn intents_are_unsettled_until_settled_once() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let store = open(at.path());
    let ids: Vec<i64> = (0..3).map(|n| store.intend(&intent(n, Some("h1"))).expect("intended")).collect();
    let last = store.intend(&intent(3, None)).expect("intended");
    let failed = Outcome::Failed { error: "h1: POST: no".into(), transient: true };
    store.settle(ids[1], Timestamp(5), &failed).expect("settled");
    assert!(store.settle(ids[1], Timestamp(6), &Outcome::Done).is_err(), "twice");
    assert!(store.settle(12345, Timestamp(6), &Outcome::Done).is_err(), "never intended");
    drop(store);
    let unsettled = open(at.path()).unsettled().expect("read");
    let expected = [(ids[0], 0, Some("h1")), (ids[2], 2, Some("h1")), (last, 3, None)];
    assert_eq!(unsettled, expected.map(|(id, n, host)| Intent { id, ..intent(n, host) }));
}

#[test]
fn history_is_the_newest_oldest_first() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let store = open(at.path());
    for n in 0..10 {
        store.remember(&entry(n)).expect("remembered");
    }
    assert_eq!(store.history(3).expect("read"), [entry(7), entry(8), entry(9)]);
    assert_eq!(store.history(usize::MAX).expect("read").len(), 10);
    assert_eq!(store.history(0).expect("read"), []);
}

#[test]
fn only_its_user_can_read_it() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let directory = at.path().join("new/state");
    let store = open(&directory);
    store.put(Record::Lease, "a", "b").expect("put");
    let _writer = store.become_writer("test").expect("the writer");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let mut names = Vec::new();
    for file in fs::read_dir(&directory).expect("read") {
        let path = file.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path);
    }
    assert!(names.len() >= 3, "the database, its log and the lock: {names:?}");
}

#[test]
fn a_damaged_file_is_set_aside_and_told() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage); 3] = [
        ("not a database", |f| fs::write(f, "garbage ".repeat(1000)).expect("written")),
        ("cut off", |f| {
            let bytes = fs::read(f).expect("read");
            fs::write(f, &bytes[..bytes.len() / 2 + 100]).expect("written");
        }),
        ("a page overwritten", |f| {
            let mut bytes = fs::read(f).expect("read");
            let middle = bytes.len() / 2;
            bytes[middle..middle + 4096].fill(0xee);
            fs::write(f, bytes).expect("written");
        }),
    ];
    for (what, damage) in cases {
        let at = tempfile::tempdir().expect("a temporary directory");
        let store = open(at.path());
        for n in 0..500 {
            store.remember(&entry(n)).expect("remembered");
        }
        drop(store);
        let file = at.path().join("trueup.db");
        assert!(!at.path().join("trueup.db-wal").exists(), "closing folds the log in");
        damage(&file);
        let damaged = fs::read(&file).expect("read");
        let store = open(at.path());
        let notice = store.notice().expect(what).to_owned();
        assert!(notice.contains("trueup.db.damaged-1"), "{what}: {notice}");
        assert_eq!(fs::read(at.path().join("trueup.db.damaged-1")).expect("kept"), damaged, "{what}");
        let history = store.history(10).expect("read");
        assert_eq!((history.len(), history[0].what.as_str(), &history[0].detail), (1, "state", &notice));
        store.put(Record::Lease, "a", "b").expect("the fresh one works");
        drop(store);
        assert_eq!(open(at.path()).notice(), None, "told once");
    }
}

#[test]
fn who_only_looks_reads_what_is_sound_and_is_told_what_is_not() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let store = open(at.path());
    for n in 0..500 {
        store.remember(&entry(n)).expect("remembered");
    }
    store.put(Record::Lease, "a", "b").expect("kept");
    drop(store);
    let file = at.path().join("trueup.db");
    let mut bytes = fs::read(&file).expect("read");
    let whole = bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xee);
    fs::write(&file, &bytes).expect("written");
    let looking = SqliteStore::open_to_look(at.path()).expect("it is opened");
    assert_eq!(looking.get(Record::Lease, "a").expect("of another page").as_deref(), Some("b"));
    let error = looking.history(500).expect_err("damaged").to_string();
    assert!(error.contains("damaged") && error.contains("`trueup history` sets it aside"), "{error}");
    drop(looking);
    assert_eq!(fs::read(&file).expect("read"), bytes, "left as it was");
    assert!(open(at.path()).notice().is_some(), "who writes sets it aside");
    // A fresh one, and one of a newer trueup, are as for everybody.
    let other = tempfile::tempdir().expect("a temporary directory");
    fs::write(other.path().join("trueup.db"), whole).expect("written");
    let looking = SqliteStore::open_to_look(other.path()).expect("it is opened");
    assert_eq!(looking.history(500).expect("sound").len(), 500);
    let none = tempfile::tempdir().expect("a temporary directory");
    SqliteStore::open_to_look(none.path()).expect("made").put(Record::Lease, "a", "b").expect("kept");
}

#[test]
fn who_only_looks_makes_no_files_and_sees_what_is_written_meanwhile() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let names = || {
        let names = fs::read_dir(at.path()).expect("read").map(|entry| entry.expect("an entry").file_name());
        names.filter_map(|name| name.into_string().ok()).collect::<std::collections::BTreeSet<_>>()
    };
    let writing = open(at.path());
    writing.put(Record::Lease, "a", "1").expect("kept");
    assert!(names().contains("trueup.db-wal"), "a log while somebody writes: {:?}", names());
    let looking = SqliteStore::open_to_look(at.path()).expect("it is opened");
    assert_eq!(looking.get(Record::Lease, "a").expect("read").as_deref(), Some("1"));
    writing.put(Record::Lease, "a", "2").expect("kept");
    assert_eq!(looking.get(Record::Lease, "a").expect("read").as_deref(), Some("2"));
    // The one who writes goes first: the log stays for the other, and what was written does.
    drop(writing);
    assert_eq!(looking.get(Record::Lease, "a").expect("read").as_deref(), Some("2"));
    drop(looking);
    drop(open(at.path()));
    let rest = names();
    assert!(!rest.contains("trueup.db-wal") && !rest.contains("trueup.db-shm"), "{rest:?}");
    let looking = SqliteStore::open_to_look(at.path()).expect("it is opened");
    assert_eq!(looking.get(Record::Lease, "a").expect("read").as_deref(), Some("2"));
    assert_eq!(names(), rest, "nothing is made to look");
    // And who writes begins beside it.
    let writing = open(at.path());
    writing.put(Record::Lease, "a", "3").expect("kept");
    assert_eq!(looking.get(Record::Lease, "a").expect("read").as_deref(), Some("3"));
}

#[test]
fn a_damaged_file_is_left_to_the_writer_that_has_it() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let store = open(at.path());
    let _writer = store.become_writer("trueup run").expect("the writer");
    let other = tempfile::tempdir().expect("a temporary directory");
    // The same lock, another database: what is damaged here is in use by the one who holds the lock.
    fs::hard_link(at.path().join("writer.lock"), other.path().join("writer.lock")).expect("linked");
    fs::write(other.path().join("trueup.db"), "garbage ".repeat(1000)).expect("written");
    let error = SqliteStore::open(other.path()).err().expect("refused").to_string();
    assert!(error.contains("in use") && error.contains("trueup run"), "{error}");
    assert!(other.path().join("trueup.db").exists());
}

#[test]
fn the_file_of_a_newer_trueup_is_refused_and_not_touched() {
    let at = tempfile::tempdir().expect("a temporary directory");
    drop(open(at.path()));
    let file = at.path().join("trueup.db");
    let newer = rusqlite::Connection::open(&file).expect("opened");
    newer.pragma_update(None, "user_version", 99).expect("set");
    drop(newer);
    let error = SqliteStore::open(at.path()).err().expect("refused").to_string();
    assert!(error.contains("schema 99") && error.contains("trueup.db"), "{error}");
    assert!(!at.path().join("trueup.db.damaged-1").exists());
}

#[test]
fn a_directory_that_cannot_be_is_an_error_that_names_it() {
    let at = tempfile::tempdir().expect("a temporary directory");
    fs::write(at.path().join("file"), "").expect("written");
    let error = SqliteStore::open(&at.path().join("file/state")).err().expect("refused");
    assert!(error.path.ends_with("file/state/trueup.db"), "{error}");
}

#[test]
fn two_stores_on_one_file_do_not_lose_each_others_writes() {
    let at = tempfile::tempdir().expect("a temporary directory");
    std::thread::scope(|scope| {
        for who in 0..3 {
            let at = at.path();
            scope.spawn(move || {
                let store = open(at);
                for n in 0..50 {
                    store.put(Record::Lease, &format!("{who}-{n}"), "x").expect("put");
                }
            });
        }
    });
    assert_eq!(open(at.path()).all(Record::Lease).expect("read").len(), 150);
}

/// The first openers of a fresh file race for its journal's mode and its tables.
#[test]
fn a_fresh_file_is_opened_by_many_at_once() {
    for _ in 0..5 {
        let at = tempfile::tempdir().expect("a temporary directory");
        std::thread::scope(|scope| {
            for who in 0..4 {
                let at = at.path();
                scope.spawn(move || open(at).put(Record::Lease, &who.to_string(), "x").expect("put"));
            }
        });
        assert_eq!(open(at.path()).all(Record::Lease).expect("read").len(), 4);
    }
}

#[test]
fn there_is_one_writer_and_it_says_who_it_is() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let (store, other) = (open(at.path()), open(at.path()));
    let guard = store.become_writer("trueup run").expect("free");
    for attempt in [&store, &other] {
        let held = attempt.become_writer("trueup apply").err().expect("held");
        assert!(held.holder.starts_with("trueup run, process "), "{held}");
        assert!(
            held.holder.contains(&std::process::id().to_string()) && held.holder.contains("since 2"),
            "{held}"
        );
    }
    drop(guard);
    other.become_writer("trueup apply").expect("free again");
}

const CHILD: &str = "TRUEUP_TEST_WRITES_IN";

/// Killed and waited for when dropped, so also when the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The test starts itself as a process that takes the lock and writes intents, and kills it.
#[test]
fn a_kill_frees_the_lock_and_keeps_every_intent_that_was_told() {
    if let Some(at) = std::env::var_os(CHILD) {
        let store = open(Path::new(&at));
        let _writer = store.become_writer("the child").expect("free");
        for n in 0.. {
            let id = store.intend(&intent(n, Some("h1"))).expect("intended");
            fs::write(Path::new(&at).join("told"), id.to_string()).expect("told");
        }
    }
    let at = tempfile::tempdir().expect("a temporary directory");
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "a_kill_frees_the_lock_and_keeps_every_intent_that_was_told"])
        .env(CHILD, at.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test starts itself");
    let child = Killed(child);
    let told = || fs::read_to_string(at.path().join("told")).ok().and_then(|t| t.parse::<usize>().ok());
    let deadline = Instant::now() + Duration::from_secs(20);
    while told().is_none_or(|n| n < 20) {
        assert!(Instant::now() < deadline, "the child writes nothing");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let store = open(at.path());
    let held = store.become_writer("the parent").err().expect("the child holds it");
    assert!(held.holder.starts_with("the child, process "), "{held}");
    drop(child);
    store.become_writer("the parent").expect("the lock went with the process");
    let unsettled = open(at.path()).unsettled().expect("read");
    assert!(unsettled.len() >= told().unwrap_or(20), "{} of {:?}", unsettled.len(), told());
}
