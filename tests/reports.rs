//! Drift reports on a schedule: written, kept, posted and told, on the simulated fleet's clock, to real files and a real
//! HTTP server.

#![allow(clippy::expect_used, clippy::panic)]

mod simulation;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use trueup::adapter::reports::ReportsOut;
use trueup::adapter::store::SqliteStore;
use trueup::apply::Stop;
use trueup::control::memory::Memory;
use trueup::control::reporting::Reporting;
use trueup::control::{World, run};
use trueup::model::names::HostName;
use trueup::model::plan::Outcome;
use trueup::model::schedule::Schedule;
use trueup::model::secrecy::HashKey;
use trueup::model::settings::ReportSettings;
use trueup::model::units::Timestamp;
use trueup::model::webhook::{Webhook, WebhookBody, WebhookUrl};
use trueup::ports::{
    Documents, HistoryEntry, Intent, Record, Reports, Store, StoreError, WriterGuard, WriterHeld, Written,
};
use trueup::sim::{Fault, SimRepository, SimStore, SimWorld};

struct Sim {
    fleet: SimWorld,
    world: World,
}

fn host(n: usize) -> HostName {
    format!("h{n}").parse().expect("a name")
}

impl Sim {
    fn new() -> Self {
        Self::with_store(Arc::new(SimStore::default()))
    }

    /// Two hosts that serve test, and a third that serves prod, where drift is only told.
    fn with_store(store: Arc<dyn Store>) -> Self {
        let key = HashKey::new([3; 32]);
        let fleet = SimWorld::new(key.clone(), 5);
        fleet.add_image_everywhere(&"app:1".parse().expect("an image"));
        let repository = Arc::new(SimRepository::default());
        let app = |name: &str, environment: &str, more: &str| {
            format!("app = \"{name}\"\nenvironments = [\"{environment}\"]\nimage = \"app:1\"\n{more}")
        };
        let host = |n: usize, environment: &str| {
            format!(
                "[host.h{n}]\naddress = \"192.0.2.{n}\"\nengine = \"sim://\"\nenvironments = [\"{environment}\"]\n"
            )
        };
        repository.commit(&BTreeMap::from([
            ("fleet.toml".to_owned(), "fleet = \"sim\"\nenvironments = [\"test\", \"prod\"]\n".to_owned()),
            ("hosts/all.toml".to_owned(), host(1, "test") + &host(2, "test") + &host(3, "prod")),
            ("apps/web/app.toml".to_owned(), app("web", "test", "replicas = 2\n")),
            ("apps/pay/app.toml".to_owned(), app("pay", "prod", "replicas = 1\ndetect_only = true\n")),
        ]));
        let world = World { store, ..simulation::world(&fleet, key, repository) };
        Self { fleet, world }
    }

    /// The loop, for so long by its own clock.
    async fn runs(&self, span: Duration, settings: &[ReportSettings]) {
        self.runs_with(span, settings, Arc::new(ReportsOut)).await;
    }

    async fn runs_with(&self, span: Duration, settings: &[ReportSettings], port: Arc<dyn Reports>) {
        let stop = Stop::default();
        let reporting = Reporting::new(settings.to_vec(), port);
        let metrics = Mutex::default();
        tokio::select! {
            done = run::run(&self.world, &stop, Arc::new(Notify::new()), &reporting, &metrics, &|_| {}) => done.expect("a run"),
            () = self.world.clock.sleep(span) => {}
        }
    }

    /// Only what belongs to this environment, and only a look at it.
    fn within(&self, environment: &str) -> Self {
        let environments = Some([environment.parse().expect("a name")].into());
        Self { fleet: self.fleet.clone(), world: World { environments, ..self.world.clone() } }
    }

    fn told(&self) -> Vec<String> {
        let history = self.world.store.history(1000).expect("the history");
        history.into_iter().filter(|entry| entry.what == "report").map(|entry| entry.detail).collect()
    }

    fn since(&self) -> BTreeMap<String, Timestamp> {
        Memory::new(&*self.world.store).first_seen().expect("the state")
    }
}

/// The simulated clock begins on 2023-11-14 at 22:13:20 UTC.
fn hourly(directory: Option<&Path>, webhook: Option<Webhook>) -> ReportSettings {
    ReportSettings {
        name: "drift".to_owned(),
        schedule: Schedule::new("0 * * * *", "UTC").expect("a schedule"),
        environments: None,
        directory: directory.map(Path::to_owned),
        keep: 3,
        webhook,
    }
}

fn hook(url: String) -> Webhook {
    Webhook { url: WebhookUrl::Text(url), token_file: None, ca: None, body: WebhookBody::Json }
}

/// The newest report in the directory.
fn newest(directory: &Path) -> serde_json::Value {
    let name = names(directory).into_iter().rfind(|name| name.ends_with(".json")).expect("a report");
    let text = std::fs::read_to_string(directory.join(name)).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

/// The values under `key` of each thing in a list.
fn each<'a>(list: &'a serde_json::Value, key: &str) -> Vec<&'a str> {
    list.as_array().into_iter().flatten().filter_map(|item| item[key].as_str()).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn rt() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn reports_are_written_at_their_time_and_old_ones_go() {
    rt().block_on(async {
        let sim = Sim::new();
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("notes.txt"), "a person's own").expect("a file");
        let settings = [hourly(Some(dir.path()), None)];
        sim.runs(HOUR / 2, &settings).await;
        assert_eq!(names(dir.path()), ["notes.txt"], "not before its time");
        sim.fleet.by_hand(&host(1), |all| all.clear());
        sim.fleet.set_fault(&host(2), Some(Fault::Hung));
        sim.runs(HOUR / 2, &settings).await;
        let first = names(dir.path());
        // The look waits for the host that hangs, and the loop does not.
        let expected = ["html", "json", "md"].map(|ending| format!("drift-2023-11-14T230015Z.{ending}"));
        assert_eq!(first[..3], expected, "{first:?}");

        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("a report");
        let json: serde_json::Value = serde_json::from_str(&read(&first[1])).expect("JSON");
        assert_eq!((&json["fleet"], &json["permission"]), (&"sim".into(), &"unverified".into()));
        assert!(json["silent_hosts"]["h2"].is_string(), "{json:#}");
        assert!(json["silent_since"]["h2"].is_string(), "{json:#}");
        let healed = json["done"].as_array().expect("a list").iter();
        let healed: Vec<&str> = healed.filter_map(|entry| entry["subject"].as_str()).collect();
        assert!(healed.contains(&"container web-test-0 on h1"), "what was healed is told: {healed:?}");
        for (name, words) in [(&first[0], "Silent hosts"), (&first[2], "### Silent hosts")] {
            let text = read(name);
            assert!(text.contains(words) && text.contains("web-test-0"), "{text}");
        }

        // Three stay.
        sim.runs(HOUR * 5, &settings).await;
        let kept = names(dir.path());
        assert_eq!(kept.len(), 10, "{kept:?}");
        assert!(kept[0].contains("T020") && kept[9] == "notes.txt", "{kept:?}");
        let json = newest(dir.path());
        assert!(
            !each(&json["done"], "what").contains(&"report"),
            "that reports were written is no news: {json:#}"
        );
    });
}

#[test]
fn a_report_that_was_due_while_nobody_ran_is_written_once_and_a_lost_directory_is_told() {
    rt().block_on(async {
        let sim = Sim::new();
        let dir = tempfile::tempdir().expect("a directory");
        let settings = [hourly(Some(dir.path()), None)];
        sim.runs(Duration::from_secs(60), &settings).await;
        sim.world.clock.sleep(HOUR * 7).await;
        sim.runs(Duration::from_secs(60), &settings).await;
        assert_eq!(names(dir.path()).len(), 3, "one late report, not seven: {:?}", names(dir.path()));

        std::fs::write(dir.path().join("in-the-way"), "x").expect("a file");
        let lost = [hourly(Some(&dir.path().join("in-the-way/reports")), None)];
        sim.runs(HOUR, &lost).await;
        let told = sim.told();
        assert!(
            told.last().is_some_and(|t| t.contains("NOT written") && t.contains("in-the-way")),
            "{told:?}"
        );
    });
}

/// Head and body of each request.
type Requests = Arc<Mutex<Vec<(String, String)>>>;

/// Answers with these statuses, one after the other, and keeps what it was sent.
fn server(statuses: Vec<u16>) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let got = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&got);
    std::thread::spawn(move || {
        for (status, stream) in statuses.into_iter().zip(listener.incoming()) {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a line");
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                if line.trim().is_empty() {
                    break;
                }
                head += &line;
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("the body");
            kept.lock().expect("a list").push((head, String::from_utf8(body).expect("text")));
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).expect("an answer");
        }
    });
    (url, got)
}

#[test]
fn a_webhook_is_tried_again_until_it_takes_the_report() {
    rt().block_on(async {
        let sim = Sim::new();
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("token"), "s3cret\n").expect("a file");
        let (url, got) = server(vec![503, 503, 200]);
        std::fs::write(dir.path().join("url"), format!("{url}\n")).expect("a file");
        let webhook = Webhook {
            url: WebhookUrl::File(dir.path().join("url")),
            token_file: Some(dir.path().join("token")),
            ca: None,
            body: WebhookBody::Text,
        };
        sim.runs(HOUR, &[hourly(None, Some(webhook))]).await;
        let got = got.lock().expect("a list");
        assert_eq!(got.len(), 3, "{:?}", sim.told());
        let (head, body) = &got[2];
        assert!(head.starts_with("POST /hook ") && head.contains("Bearer s3cret"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert!(body["text"].as_str().is_some_and(|text| text.contains("## Drift from")), "{body}");
        assert_eq!(sim.told().last().map(String::as_str), Some("posted"));
    });
}

#[test]
fn a_webhook_that_never_takes_it_is_told_without_its_secret() {
    rt().block_on(async {
        let sim = Sim::new();
        let (url, _got) = server(vec![500; 5]);
        let (host, _) = url.split_once("/hook").expect("a path");
        sim.runs(HOUR, &[hourly(None, Some(hook(url.clone())))]).await;
        let told = sim.told();
        let last = told.last().expect("an entry");
        assert!(
            last.contains("NOT posted in 5 tries") && last.contains("500") && last.contains(host),
            "{told:?}"
        );
        assert!(!last.contains("/hook"), "the path of a chat hook is its secret: {told:?}");
    });
}

/// Writes where it is told to, posts for ever, and cannot remove what is old.
struct Stuck;

#[async_trait]
impl Reports for Stuck {
    async fn write(&self, _: &ReportSettings, documents: &Documents) -> Result<Written, String> {
        Ok(Written { paths: vec![documents.stem.clone()], not_removed: Some("read-only".to_owned()) })
    }
    async fn post(&self, _: &Webhook, _: &str) -> Result<(), String> {
        std::future::pending().await
    }
}

#[test]
fn nothing_waits_for_a_webhook_and_a_failed_clean_up_is_no_failed_report() {
    rt().block_on(async {
        let sim = Sim::new();
        let settings = hourly(Some(Path::new("/nowhere")), Some(hook("https://chat.example/x".to_owned())));
        let fleet = sim.fleet.clone();
        tokio::spawn(async move {
            tokio::time::sleep(HOUR + HOUR / 2).await;
            fleet.by_hand(&host(1), |all| all.clear());
        });
        sim.runs_with(HOUR * 2, &[settings], Arc::new(Stuck)).await;
        let told = sim.told();
        let count = |beginning: &str| told.iter().filter(|told| told.starts_with(beginning)).count();
        assert_eq!(
            (count("written: drift-"), count("NOT removed, though older than the 3")),
            (2, 2),
            "{told:?}"
        );
        assert!(!sim.fleet.containers(&host(1)).is_empty(), "it was healed meanwhile");
    });
}

#[test]
fn what_is_no_report_of_this_name_stays_and_so_does_the_one_just_written() {
    rt().block_on(async {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        let others =
            ["drift-00-baseline.md", "drift-prod-2023-11-14T220000Z.md", "drift-2023-11-14T220000Z.txt"];
        for name in others {
            std::fs::write(path(name), "a person's own").expect("a file");
        }
        std::fs::create_dir(path("drift-archive")).expect("a directory");
        std::fs::create_dir(path("drift-2099-01-01T000000Z.md")).expect("a directory");
        // From before the clock was set right.
        std::fs::write(path("drift-2098-01-01T000000Z.json"), "{}").expect("a file");
        let settings = ReportSettings { keep: 1, ..hourly(Some(dir.path()), None) };
        let documents = |stem: &str| Documents {
            stem: stem.to_owned(),
            files: [("json", "{}".to_owned()), ("md", String::new())].into(),
        };
        for stem in ["drift-2023-11-14T220000Z", "drift-2023-11-14T230000Z"] {
            let written = ReportsOut.write(&settings, &documents(stem)).await.expect("written");
            assert_eq!((written.paths.len(), written.not_removed), (2, None));
        }
        let mut expected = others.map(str::to_owned).to_vec();
        expected.extend(["drift-2023-11-14T230000Z.json", "drift-2023-11-14T230000Z.md"].map(str::to_owned));
        expected.extend(["drift-2099-01-01T000000Z.md", "drift-archive"].map(str::to_owned));
        expected.sort();
        assert_eq!(names(dir.path()), expected);
    });
}

#[test]
fn reports_with_one_schedule_are_all_written() {
    rt().block_on(async {
        let sim = Sim::new();
        let dir = tempfile::tempdir().expect("a directory");
        let prod = ReportSettings {
            name: "prod".to_owned(),
            environments: Some(["prod".parse().expect("a name")].into()),
            keep: 1,
            ..hourly(Some(dir.path()), None)
        };
        sim.runs(HOUR * 3, &[hourly(Some(dir.path()), None), prod]).await;
        let count = |beginning: &str| names(dir.path()).iter().filter(|n| n.starts_with(beginning)).count();
        assert_eq!((count("drift-"), count("prod-")), (9, 3), "{:?}", names(dir.path()));
    });
}

#[test]
fn a_slow_host_is_waited_for() {
    rt().block_on(async {
        let sim = Sim::new();
        let dir = tempfile::tempdir().expect("a directory");
        let settings = [hourly(Some(dir.path()), None)];
        sim.runs(HOUR / 2, &settings).await;
        // Longer than the loop waits, and well within the deadline.
        sim.fleet.set_host_latency(&host(3), Duration::from_millis(3_500));
        sim.fleet.by_hand(&host(3), |all| all.clear());
        sim.runs(HOUR / 2, &settings).await;
        let json = newest(dir.path());
        assert_eq!(json["silent_hosts"], serde_json::json!({}), "{json:#}");
        assert_eq!(each(&json["drift"], "name"), ["pay-prod-0"], "{json:#}");
        assert!(json["drift"][0]["since"].is_string(), "{json:#}");
    });
}

#[test]
fn a_report_on_an_environment_tells_of_it_alone_and_says_where_there_is_none() {
    rt().block_on(async {
        let sim = Sim::new();
        let dir = tempfile::tempdir().expect("a directory");
        let on = |environments: &[&str]| {
            let environments = environments.iter().map(|e| e.parse().expect("a name"));
            let environments = Some(environments.collect::<BTreeSet<_>>());
            [ReportSettings { environments, ..hourly(Some(dir.path()), None) }]
        };
        sim.runs(HOUR / 2, &on(&["test"])).await;
        sim.fleet.set_fault(&host(3), Some(Fault::Down));
        sim.runs(HOUR / 2, &on(&["test"])).await;
        let json = newest(dir.path());
        assert_eq!(json["summary"], "No drift.", "{json:#}");
        assert_eq!(json["looked_at"], serde_json::json!({ "apps": 1, "hosts": 2, "instances": 2 }));
        for list in ["drift", "unknown", "unmanaged", "notes", "blocked"] {
            assert_eq!(json[list], serde_json::json!([]), "{list} of another environment");
        }
        assert_eq!(json["silent_hosts"], serde_json::json!({}));
        let done = each(&json["done"], "subject");
        assert!(done.contains(&"container web-test-0 on h1"), "{done:?}");
        assert!(!done.iter().any(|subject| subject.contains("prod")), "{done:?}");

        sim.runs(HOUR, &on(&["prod", "stagging"])).await;
        sim.runs(HOUR, &on(&["prod", "stagging"])).await;
        let json = newest(dir.path());
        assert!(json["silent_hosts"]["h3"].is_string(), "{json:#}");
        assert_eq!(json["undeclared_environments"], serde_json::json!(["stagging"]));
        sim.runs(HOUR, &on(&["stagging"])).await;
        sim.runs(HOUR, &on(&["stagging"])).await;
        let summary = newest(dir.path())["summary"].clone();
        assert_eq!(summary, "Nothing was looked at in stagging: not declared.");
    });
}

/// A state file whose records of reports cannot be read for a while.
struct Failing {
    inner: SimStore,
    fails: AtomicBool,
}

impl Failing {
    fn check(&self, record: Record) -> Result<(), StoreError> {
        if record == Record::Report && self.fails.load(Ordering::SeqCst) {
            return Err(StoreError { path: "trueup.db".to_owned(), detail: "disk I/O error".to_owned() });
        }
        Ok(())
    }
}

impl Store for Failing {
    fn get(&self, record: Record, key: &str) -> Result<Option<String>, StoreError> {
        self.check(record)?;
        self.inner.get(record, key)
    }
    fn put(&self, record: Record, key: &str, json: &str) -> Result<(), StoreError> {
        self.check(record)?;
        self.inner.put(record, key, json)
    }
    fn delete(&self, record: Record, key: &str) -> Result<(), StoreError> {
        self.inner.delete(record, key)
    }
    fn put_all(&self, record: Record, changes: &BTreeMap<String, Option<String>>) -> Result<(), StoreError> {
        self.check(record)?;
        self.inner.put_all(record, changes)
    }
    fn all(&self, record: Record) -> Result<BTreeMap<String, String>, StoreError> {
        self.inner.all(record)
    }
    fn intend(&self, intent: &Intent) -> Result<i64, StoreError> {
        self.inner.intend(intent)
    }
    fn settle(&self, id: i64, at: Timestamp, outcome: &Outcome) -> Result<(), StoreError> {
        self.inner.settle(id, at, outcome)
    }
    fn unsettled(&self) -> Result<Vec<Intent>, StoreError> {
        self.inner.unsettled()
    }
    fn remember(&self, entry: &HistoryEntry) -> Result<(), StoreError> {
        self.inner.remember(entry)
    }
    fn history(&self, limit: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        self.inner.history(limit)
    }
    fn become_writer(&self, who: &str) -> Result<Box<dyn WriterGuard>, WriterHeld> {
        self.inner.become_writer(who)
    }
}

#[test]
fn a_state_file_that_fails_for_a_while_does_not_end_the_loop() {
    rt().block_on(async {
        let store = Arc::new(Failing { inner: SimStore::default(), fails: AtomicBool::new(false) });
        let sim = Sim::with_store(store.clone());
        let dir = tempfile::tempdir().expect("a directory");
        let settings = [hourly(Some(dir.path()), None)];
        sim.runs(HOUR / 4, &settings).await;
        store.fails.store(true, Ordering::SeqCst);
        let later = store.clone();
        tokio::spawn(async move {
            tokio::time::sleep(HOUR / 4).await;
            later.fails.store(false, Ordering::SeqCst);
        });
        sim.runs(HOUR, &settings).await;
        assert_eq!(names(dir.path()).len(), 3, "{:?}", sim.told());
    });
}

#[test]
fn what_nobody_could_read_is_told_again() {
    rt().block_on(async {
        let sim = Sim::new();
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("reports");
        std::fs::write(&place, "in the way").expect("a file");
        let settings = [hourly(Some(&place), None)];
        sim.runs(HOUR, &settings).await;
        assert!(sim.told().last().is_some_and(|told| told.starts_with("NOT written")), "{:?}", sim.told());
        std::fs::remove_file(&place).expect("removed");
        sim.runs(HOUR, &settings).await;
        let json = newest(&place);
        assert_eq!(json["from"], "2023-11-14T22:13:20Z", "{json:#}");
        assert!(each(&json["done"], "subject").contains(&"container web-test-0 on h1"), "{json:#}");
        assert!(each(&json["done"], "detail").iter().any(|d| d.starts_with("NOT written")), "{json:#}");
    });
}

/// The webhook is the only reader: what it did not take stands in the next report.
#[test]
fn what_a_webhook_did_not_take_is_told_again() {
    rt().block_on(async {
        let sim = Sim::new();
        let (url, got) = server(vec![500, 500, 500, 500, 500, 200, 200]);
        sim.runs(HOUR * 3, &[hourly(None, Some(hook(url)))]).await;
        let got = got.lock().expect("a list");
        let reports: Vec<serde_json::Value> =
            got.iter().map(|(_, body)| serde_json::from_str(body).expect("JSON")).collect();
        assert_eq!(reports.len(), 7, "{:?}", sim.told());
        let (lost, next, last) = (&reports[4], &reports[5], &reports[6]);
        assert_eq!(next["from"], lost["from"], "{next:#}");
        assert!(each(&next["done"], "subject").contains(&"container web-test-0 on h1"), "{next:#}");
        assert!(each(&next["done"], "detail").iter().any(|d| d.starts_with("NOT posted")), "{next:#}");
        // That one was taken.
        assert_eq!(last["from"], next["observed_at"], "{last:#}");
    });
}

#[test]
fn a_post_under_way_and_the_history_survive_a_restart() {
    let state = tempfile::tempdir().expect("a directory");
    let store = || Arc::new(SqliteStore::open(state.path()).expect("the state"));
    let (url, got) = server(vec![503, 200]);
    let settings = [hourly(None, Some(hook(url)))];
    rt().block_on(async {
        // The first try fails on the hour, and the process ends before the second.
        Sim::with_store(store()).runs(Duration::from_secs(46 * 60 + 42), &settings).await;
    });
    assert_eq!(got.lock().expect("a list").len(), 1);
    rt().block_on(async {
        let sim = Sim::with_store(store());
        let before = sim.world.store.history(1000).expect("the history");
        assert!(before.iter().any(|entry| entry.subject == "container web-test-0 on h1"), "{before:?}");
        sim.runs(Duration::from_secs(60), &settings).await;
        assert_eq!(sim.told(), ["posted"]);
        assert_eq!(store().all(Record::Delivery).expect("the state"), BTreeMap::new());
    });
    let got = got.lock().expect("a list");
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].1, got[1].1, "the very report");
}

#[test]
fn since_when_is_forgotten_only_by_a_look_that_would_see_it() {
    rt().block_on(async {
        let sim = Sim::new();
        let gone = "container pay-prod-0 on h3";
        sim.runs(HOUR / 4, &[]).await;
        let first = *sim.since().get(gone).expect("it is only told, never made");
        sim.within("test").runs(HOUR / 4, &[]).await;
        assert_eq!(sim.since().get(gone), Some(&first), "a look at test says nothing of prod");
        sim.fleet.set_fault(&host(3), Some(Fault::Down));
        sim.runs(HOUR / 4, &[]).await;
        let since = sim.since();
        assert_eq!(since.get(gone), Some(&first), "nor does one that its host did not answer");
        assert!(since.contains_key("host h3 on h3"), "{since:?}");
        sim.fleet.set_fault(&host(3), None);
        sim.runs(HOUR / 4, &[]).await;
        let since = sim.since();
        assert_eq!(since.get(gone), Some(&first));
        assert!(!since.contains_key("host h3 on h3"), "{since:?}");
    });
}
