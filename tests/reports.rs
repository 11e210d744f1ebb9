//! Drift reports on a schedule: written, kept, posted and told, on the simulated fleet's clock, to real files and a real
//! HTTP server.

#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use trueup::adapter::reports::ReportsOut;
use trueup::apply::Stop;
use trueup::control::report::Reporting;
use trueup::control::{World, run};
use trueup::model::names::HostName;
use trueup::model::schedule::Schedule;
use trueup::model::secrecy::HashKey;
use trueup::model::settings::{Limits, ReportSettings, Webhook, WebhookBody};
use trueup::model::units::TimeSpan;
use trueup::ports::Quiet;
use trueup::sim::{Fault, SimClock, SimFiles, SimRepository, SimSandbox, SimStore, SimWorld};

struct Sim {
    fleet: SimWorld,
    world: World,
}

fn host(n: usize) -> HostName {
    format!("h{n}").parse().expect("a name")
}

impl Sim {
    /// Two hosts with an app, `<script>` in its name's neighbourhood, and a second app that is only watched.
    fn new() -> Self {
        let key = HashKey::new([3; 32]);
        let fleet = SimWorld::new(key.clone(), 5);
        fleet.add_image_everywhere(&"app:1".parse().expect("an image"));
        let repository = Arc::new(SimRepository::default());
        let app = |name: &str, more: &str| {
            format!("app = \"{name}\"\nenvironments = [\"test\"]\nimage = \"app:1\"\nreplicas = 2\n{more}")
        };
        let host = |n: usize| {
            format!(
                "[host.h{n}]\naddress = \"192.0.2.{n}\"\nengine = \"sim://\"\nenvironments = [\"test\"]\n"
            )
        };
        repository.commit(&BTreeMap::from([
            ("fleet.toml".to_owned(), "fleet = \"sim\"\nenvironments = [\"test\"]\n".to_owned()),
            ("hosts/all.toml".to_owned(), host(1) + &host(2)),
            ("apps/web/app.toml".to_owned(), app("web", "env = { TITLE = \"<script>alert(1)</script>\" }\n")),
        ]));
        let world = World {
            engines: fleet.engines(),
            repository,
            files: Arc::new(SimFiles::default()),
            store: Arc::new(SimStore::default()),
            sandbox: Arc::new(SimSandbox::default()),
            clock: Arc::new(SimClock::default()),
            progress: Arc::new(Quiet),
            installation: "sim".into(),
            key,
            limits: Limits::default(),
            call_deadline: TimeSpan::from_secs(5),
            pull_deadline: TimeSpan::from_secs(60),
            permission: Default::default(),
            policy: Default::default(),
            environments: None,
            revision: None,
        };
        Self { fleet, world }
    }

    /// The loop, for so long by its own clock.
    async fn runs(&self, span: Duration, settings: &[ReportSettings]) {
        let stop = Stop::default();
        let reporting = Reporting::new(settings.to_vec(), Arc::new(ReportsOut));
        let metrics = Mutex::default();
        tokio::select! {
            done = run::run(&self.world, &stop, Arc::new(Notify::new()), &reporting, &metrics, &|_| {}) => done.expect("a run"),
            () = self.world.clock.sleep(span) => {}
        }
    }

    fn told(&self) -> Vec<String> {
        let history = self.world.store.history(1000).expect("the history");
        history.into_iter().filter(|entry| entry.what == "report").map(|entry| entry.detail).collect()
    }
}

/// The simulated clock begins on 2023-11-14 at 22:13:20 UTC.
fn hourly(directory: Option<&Path>, webhook: Option<Webhook>) -> ReportSettings {
    ReportSettings {
        schedule: Schedule::new("0 * * * *", "UTC").expect("a schedule"),
        environments: None,
        directory: directory.map(Path::to_owned),
        keep: 3,
        webhook,
    }
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
        let expected = ["html", "json", "md"].map(|ending| format!("drift-2023-11-14T230000Z.{ending}"));
        assert_eq!(first[..3], expected, "{first:?}");

        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("a report");
        let json: serde_json::Value = serde_json::from_str(&read(&first[1])).expect("JSON");
        assert_eq!((&json["fleet"], &json["permission"]), (&"sim".into(), &"unverified".into()));
        assert!(json["silent_hosts"]["h2"].is_string(), "{json:#}");
        let healed = json["done"].as_array().expect("a list").iter();
        let healed: Vec<&str> = healed.filter_map(|entry| entry["subject"].as_str()).collect();
        assert!(healed.contains(&"container web-test-0 on h1"), "what was healed is told: {healed:?}");
        for (name, words) in [(&first[0], "Silent hosts"), (&first[2], "### Silent hosts")] {
            let text = read(name);
            assert!(text.contains(words) && text.contains("web-test-0"), "{text}");
            assert!(!text.contains("<script>"), "markup of names and values is escaped: {text}");
        }

        // Three stay; what is not a report is nobody's to remove.
        sim.runs(HOUR * 5, &settings).await;
        let kept = names(dir.path());
        assert_eq!(kept.len(), 10, "{kept:?}");
        assert!(kept[0].contains("T020000Z") && kept[9] == "notes.txt", "{kept:?}");
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
        let webhook = Webhook { url, token_file: Some(dir.path().join("token")), body: WebhookBody::Text };
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
fn a_webhook_that_never_takes_it_is_told_and_nothing_waits_for_it() {
    rt().block_on(async {
        let sim = Sim::new();
        let (url, _got) = server(vec![500; 5]);
        let webhook = Webhook { url, token_file: None, body: WebhookBody::Json };
        sim.runs(HOUR, &[hourly(None, Some(webhook))]).await;
        let told = sim.told();
        let last = told.last().expect("an entry");
        assert!(last.contains("NOT posted in 5 tries") && last.contains("500"), "{told:?}");
    });
}
