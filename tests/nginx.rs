//! The generated files on a real Nginx: served, refused, switched back; and generations through kills at any moment.
//!
//! Needs the Debian package `nginx-light` (or `nginx`) and `procps` (`kill`).

// Helpers of tests may fail the test.
#![allow(clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use trueup::adapter::files::DirectoryFileSets;
use trueup::endpoints::Exceptions;
use trueup::model;
use trueup::model::app::App;
use trueup::model::desired::Desired;
use trueup::model::file::{FileSet, Files};
use trueup::model::observed::Observed;
use trueup::model::settings::{FileSetSettings, Reload};
use trueup::model::units::TimeSpan;
use trueup::ports::{FileSets, FilesError};
use trueup::render::render;

#[path = "../src/endpoints/fixture.rs"]
#[allow(dead_code)]
mod fixture;
use fixture::{app, container, desired, known, observed, owner};

/// An Nginx of the test's own: a temporary directory, free ports, ended by its pid.
struct Nginx {
    directory: tempfile::TempDir,
    process: Child,
    /// Answers `alive` whatever is installed.
    probe: u16,
}

impl Nginx {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = directory.path().display();
        let probe = free_port();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("    {kind}_temp_path {at}/tmp-{kind};\n"))
            .collect();
        // `extra.conf` is included by a relative path, as Debian's own config includes mime.types.
        fs::write(directory.path().join("extra.conf"), "server_tokens off;\n").expect("extra.conf");
        let main = format!(
            "daemon off;\nworker_processes 2;\npid {at}/nginx.pid;\nerror_log {at}/error.log notice;\n\
             events {{}}\nhttp {{\n    access_log off;\n    include extra.conf;\n{temporary}    \
             server {{ listen 127.0.0.1:{probe}; return 200 alive; }}\n    include {at}/sets/current/*.conf;\n}}\n"
        );
        fs::write(directory.path().join("nginx.conf"), main).expect("nginx.conf");
        let process = Command::new("nginx")
            .args(["-c".into(), directory.path().join("nginx.conf")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx cannot be started: install the Debian package nginx-light");
        let nginx = Self { directory, process, probe };
        wait_for("nginx to answer", || get(nginx.probe, "x").is_ok_and(|answer| answer.body == "alive"));
        nginx
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn settings(&self) -> FileSetSettings {
        FileSetSettings {
            directory: self.path("sets"),
            check: Vec::new(),
            main_config: Some(self.path("nginx.conf")),
            reload: Reload::Signal { pid_file: self.path("nginx.pid") },
            verify_timeout: TimeSpan::from_secs(10),
        }
    }

    fn sets(&self) -> DirectoryFileSets {
        DirectoryFileSets::new(Some(self.settings()), None)
    }

    fn error_log(&self) -> String {
        fs::read_to_string(self.path("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM, so that the master takes its workers along.
        let _ = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

/// A port nobody listens on at any address, as far as can be known.
fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

/// One `GET /` on the loopback.
fn get(port: u16, host: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Ok(Answer { status, body: body.to_owned() })
}

/// A server on `address` that answers its own address; it holds each answer back until `gate` yields where there is one.
fn backend(address: &str, gate: Option<mpsc::Receiver<()>>) -> u16 {
    let listener = TcpListener::bind(address).expect("a backend");
    let local = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = Vec::new();
            let mut part = [0; 1024];
            while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                match stream.read(&mut part) {
                    Ok(n) if n > 0 => request.extend_from_slice(&part[..n]),
                    _ => break,
                }
            }
            if let Some(gate) = &gate {
                let _ = gate.recv();
            }
            let body = local.ip().to_string();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    local.port()
}

/// An app that listens on `listen` under `server` and whose instances answer on `port`.
fn web(key: &str, listen: u16, server: &str, port: u16) -> App {
    let mut spec = app(key, 9);
    let upstream = spec.upstream.as_mut().expect("upstream");
    upstream.listen = listen;
    upstream.server_names = vec![server.to_owned()];
    upstream.port = port;
    spec
}

/// Instances of `quote-prod` at these loopback addresses.
fn at(addresses: &[&str]) -> Observed {
    let all = addresses.iter().enumerate().map(|(n, a)| container(&format!("quote-prod-{n}"), "h1", a));
    observed(vec![("h1", known(all.collect()))])
}

fn rendered(desired: &Desired, observed: &Observed) -> Files {
    let mut all = render(desired, observed, &owner(), &Exceptions::default(), &BTreeMap::new());
    all.sets.remove(&FileSet::Nginx).expect("the nginx set")
}

async fn live(sets: &DirectoryFileSets) -> Option<Files> {
    sets.installed().await.expect("installed").remove(&FileSet::Nginx).expect("nginx is configured")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rendered_is_served_and_an_empty_set_answers_503() {
    let (nginx, listen) = (Nginx::start(), free_port());
    let port = backend("127.0.0.2:0", None);
    backend(&format!("127.0.0.3:{port}"), None);
    let (sets, wanted) = (nginx.sets(), desired(1, vec![web("quote-prod", listen, "quote.example", port)]));
    assert_eq!(live(&sets).await, None, "nothing is installed yet");

    let two = rendered(&wanted, &at(&["127.0.0.2", "127.0.0.3"]));
    sets.install(&FileSet::Nginx, &two).await.expect("installed");
    assert_eq!(live(&sets).await, Some(two));
    let mut bodies = BTreeSet::new();
    for _ in 0..20 {
        let answer = get(listen, "quote.example").expect("an answer");
        assert_eq!(answer.status, 200);
        bodies.insert(answer.body);
    }
    assert_eq!(bodies, BTreeSet::from(["127.0.0.2".to_owned(), "127.0.0.3".to_owned()]));

    sets.install(&FileSet::Nginx, &rendered(&wanted, &at(&[]))).await.expect("an empty set is valid");
    assert_eq!(get(listen, "quote.example").expect("an answer").status, 503);

    sets.install(&FileSet::Nginx, &rendered(&wanted, &at(&["127.0.0.3"]))).await.expect("installed");
    assert_eq!(get(listen, "quote.example").expect("an answer").body, "127.0.0.3");

    sets.install(&FileSet::Nginx, &Files::new()).await.expect("no app is left");
    assert_eq!(live(&sets).await, Some(Files::new()));
    assert!(get(listen, "quote.example").is_err(), "the port is closed again");
    assert_eq!(get(nginx.probe, "x").expect("an answer").body, "alive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_candidate_is_refused_by_name_and_the_old_one_serves() {
    let (nginx, listen) = (Nginx::start(), free_port());
    let port = backend("127.0.0.2:0", None);
    let (sets, wanted) = (nginx.sets(), desired(1, vec![web("quote-prod", listen, "quote.example", port)]));
    let good = rendered(&wanted, &at(&["127.0.0.2"]));
    sets.install(&FileSet::Nginx, &good).await.expect("installed");
    for broken in ["upstream quote-prod {", "nonsense;\n", "upstream other { }\n"] {
        let mut bad = good.clone();
        bad.insert("other-prod.conf".to_owned(), format!("# first line\n{broken}"));
        match sets.install(&FileSet::Nginx, &bad).await {
            Err(FilesError::Check { command, detail, .. }) => {
                assert!(command.starts_with("nginx -t"), "{command}");
                assert!(detail.starts_with("other-prod.conf is at fault, at line "), "{detail}");
            }
            other => panic!("{broken:?} was not refused: {other:?}"),
        }
        assert_eq!(live(&sets).await.as_ref(), Some(&good));
        assert_eq!(get(listen, "quote.example").expect("an answer").body, "127.0.0.2");
    }
    let mut bad = good.clone();
    bad.insert("quote-prod.conf".to_owned(), "broken".to_owned());
    let error = sets.install(&FileSet::Nginx, &bad).await.expect_err("refused").to_string();
    assert!(error.contains("quote-prod.conf is at fault"), "{error}");
    assert_eq!(live(&sets).await.as_ref(), Some(&good), "its live text is kept");
    assert_eq!(generations(&nginx).len(), 1, "refused candidates are removed");
    assert!(!nginx.path("sets/.check").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_at_fault_are_set_apart_by_name_and_the_others_go_on() {
    let (nginx, listen) = (Nginx::start(), free_port());
    let port = backend("127.0.0.2:0", None);
    let (sets, wanted) = (nginx.sets(), desired(1, vec![web("quote-prod", listen, "quote.example", port)]));
    let old = Files::from([("a-prod.conf".to_owned(), "# sound\n".to_owned())]);
    sets.install(&FileSet::Nginx, &old).await.expect("installed");
    let mut new = rendered(&wanted, &at(&["127.0.0.2"]));
    new.insert("a-prod.conf".to_owned(), "broken {".to_owned());
    new.insert("z-prod.conf".to_owned(), "broken too;".to_owned());
    let error = sets.install(&FileSet::Nginx, &new).await.expect_err("two are at fault").to_string();
    for part in ["a-prod.conf is at fault", "z-prod.conf is at fault", "every other file is installed"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(get(listen, "quote.example").expect("an answer").body, "127.0.0.2");
    let seen = live(&sets).await.expect("live");
    assert_eq!((seen["a-prod.conf"].as_str(), seen.get("z-prod.conf")), ("# sound\n", None));
    let before = generations(&nginx);
    let again = sets.install(&FileSet::Nginx, &new).await.expect_err("still at fault").to_string();
    assert!(again.contains("the old files stay"), "{again}");
    assert_eq!(generations(&nginx), before, "asking again reloads nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_fails_after_a_passed_check_switches_back() {
    let (nginx, listen) = (Nginx::start(), free_port());
    let port = backend("127.0.0.2:0", None);
    let sets = DirectoryFileSets::new(
        Some(FileSetSettings { verify_timeout: TimeSpan::from_secs(4), ..nginx.settings() }),
        None,
    );
    let good =
        rendered(&desired(1, vec![web("quote-prod", listen, "quote.example", port)]), &at(&["127.0.0.2"]));
    sets.install(&FileSet::Nginx, &good).await.expect("installed");
    let taken = TcpListener::bind("0.0.0.0:0").expect("a port");
    let taken_port = taken.local_addr().expect("its address").port();
    let bad = rendered(
        &desired(1, vec![web("quote-prod", taken_port, "quote.example", port)]),
        &at(&["127.0.0.2"]),
    );
    match sets.install(&FileSet::Nginx, &bad).await {
        Err(FilesError::Reload { detail, .. }) => assert!(detail.contains("no new workers"), "{detail}"),
        other => panic!("the taken port did not matter: {other:?}"),
    }
    assert!(nginx.error_log().contains("Address already in use"), "{}", nginx.error_log());
    assert_eq!(live(&sets).await, Some(good), "the old generation is live, and seen to be");
    assert_eq!(get(listen, "quote.example").expect("an answer").body, "127.0.0.2");
    drop(taken);
    sets.install(&FileSet::Nginx, &bad).await.expect("the port is free now");
    assert_eq!(get(taken_port, "quote.example").expect("an answer").body, "127.0.0.2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_upstreams_and_every_legal_server_name() {
    let (nginx, listen) = (Nginx::start(), free_port());
    let port = backend("127.0.0.2:0", None);
    let apps = (0..100).map(|n| web(&format!("app-{n}-prod"), listen, &format!("app-{n}.example"), port));
    let mut odd = web("odd-prod", listen, "*.wild.example", port);
    odd.upstream
        .as_mut()
        .expect("upstream")
        .server_names
        .extend([".dot.example", "_", "under_score.example", "UPPER.example", "1.2.3.4"].map(str::to_owned));
    let wanted = desired(1, apps.chain([odd]).collect());
    let all = (0..100).map(|n| container(&format!("app-{n}-prod-0"), "h1", "127.0.0.2"));
    let files = rendered(&wanted, &observed(vec![("h1", known(all.collect()))]));
    assert_eq!(files.len(), 101);
    let (sets, begun) = (nginx.sets(), Instant::now());
    sets.install(&FileSet::Nginx, &files).await.expect("installed");
    println!("101 upstreams were written, checked, switched to and verified in {:?}", begun.elapsed());
    for n in [0, 42, 99] {
        assert_eq!(get(listen, &format!("app-{n}.example")).expect("an answer").body, "127.0.0.2");
    }
    assert_eq!(get(listen, "a.wild.example").expect("an answer").status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn drained_means_that_the_old_workers_are_gone() {
    let (nginx, listen) = (Nginx::start(), free_port());
    let (open, gate) = mpsc::channel();
    let port = backend("127.0.0.2:0", Some(gate));
    let sets = nginx.sets();
    let wanted = desired(1, vec![web("quote-prod", listen, "quote.example", port)]);
    sets.install(&FileSet::Nginx, &rendered(&wanted, &at(&["127.0.0.2"]))).await.expect("installed");
    wait_for("the first workers to go", || {
        futures_util::FutureExt::now_or_never(sets.drained(&FileSet::Nginx)) == Some(true)
    });
    let slow = std::thread::spawn(move || get(listen, "quote.example"));
    // The request has reached the backend when a connection to it exists.
    wait_for("the request", || established(port) > 0);
    sets.install(&FileSet::Nginx, &rendered(&wanted, &at(&[]))).await.expect("installed");
    assert_eq!(
        get(listen, "quote.example").expect("an answer").status,
        503,
        "new requests see the new generation"
    );
    assert!(!sets.drained(&FileSet::Nginx).await, "the slow request still runs in an old worker");
    open.send(()).expect("the backend waits");
    assert_eq!(slow.join().expect("no panic").expect("an answer").body, "127.0.0.2", "it was not cut off");
    wait_for("the old workers to go", || {
        futures_util::FutureExt::now_or_never(sets.drained(&FileSet::Nginx)) == Some(true)
    });
}

/// Established TCP connections whose remote port is `port`.
fn established(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let remote = format!(":{port:04X}");
    table
        .lines()
        .filter(|l| l.split_whitespace().nth(2).is_some_and(|r| r.ends_with(&remote)) && l.contains(" 01 "))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_running_reader_nothing_is_switched() {
    let nginx = Nginx::start();
    let files = Files::from([("a-prod.conf".to_owned(), "# empty\n".to_owned())]);
    fs::write(nginx.path("stale.pid"), "999999999\n").expect("a pid file");
    fs::write(nginx.path("other.pid"), format!("{}\n", std::process::id())).expect("a pid file");
    for (pid_file, why) in
        [("none.pid", "cannot be read"), ("stale.pid", "does not run"), ("other.pid", "not an Nginx master")]
    {
        let reload = Reload::Signal { pid_file: nginx.path(pid_file) };
        let sets = DirectoryFileSets::new(Some(FileSetSettings { reload, ..nginx.settings() }), None);
        match sets.install(&FileSet::Nginx, &files).await {
            Err(FilesError::Reload { detail, .. }) => assert!(detail.contains(why), "{detail}"),
            other => panic!("{pid_file}: {other:?}"),
        }
        assert_eq!(live(&sets).await, None);
        assert!(!sets.drained(&FileSet::Nginx).await, "it cannot be told");
    }
}

fn generations(nginx: &Nginx) -> Vec<String> {
    names(&nginx.path("sets/generations"))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

const CHILD: &str = "TRUEUP_TEST_INSTALLS_IN";

/// Killed and waited for when dropped, so also when the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Forty files that all say `number`.
fn numbered(number: u64) -> Files {
    (0..40).map(|n| (format!("f{n}.conf"), format!("{number}\n").repeat(200))).collect()
}

fn plain(directory: &Path) -> DirectoryFileSets {
    let settings = FileSetSettings {
        directory: directory.to_owned(),
        check: Vec::new(),
        main_config: None,
        reload: Reload::None,
        verify_timeout: TimeSpan::from_secs(1),
    };
    DirectoryFileSets::new(Some(settings), None)
}

/// The test starts itself as a process that installs for ever, and kills it at random moments.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_leaves_one_whole_generation() {
    if let Some(directory) = std::env::var_os(CHILD) {
        let sets = plain(Path::new(&directory));
        for number in u64::from(std::process::id()) * 1000.. {
            sets.install(&FileSet::Nginx, &numbered(number)).await.expect("installed");
        }
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let sets = plain(directory.path());
    sets.install(&FileSet::Nginx, &numbered(0)).await.expect("installed");
    let mut seen = BTreeSet::new();
    // A child on a loaded machine may need long to install anything: the moments grow later until enough were hit.
    let mut round = 0u64;
    while round < 25 || (seen.len() <= 5 && round < 150) {
        round += 1;
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "a_kill_at_any_moment_leaves_one_whole_generation"])
            .env(CHILD, directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the test starts itself");
        let child = Killed(child);
        let end = Instant::now() + Duration::from_millis(30 + fastrand::u64(0..60) + (round * 4).min(500));
        while Instant::now() < end {
            fs::read_link(directory.path().join("current"))
                .expect("there is a live generation at every moment");
        }
        drop(child);
        let mut files = live(&sets).await.expect("something is always live");
        if files.remove("unverified").is_some() {
            println!("round {round}: killed between the switch and the end of the reload");
        }
        let texts: BTreeSet<&String> = files.values().collect();
        assert_eq!((files.len(), texts.len()), (40, 1), "a torn generation in round {round}");
        seen.insert(files["f0.conf"].lines().next().unwrap_or_default().to_owned());
    }
    assert!(seen.len() > 5, "the children installed nothing: {seen:?}");
    sets.install(&FileSet::Nginx, &numbered(1)).await.expect("installed after all that");
    assert_eq!(live(&sets).await, Some(numbered(1)), "no mark is left");
    let left = names(&directory.path().join("generations"));
    assert!(left.len() <= 5 && !left.iter().any(|n| n.starts_with('.')), "{left:?}");
}
