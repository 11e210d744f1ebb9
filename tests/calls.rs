//! Calls to one engine, for real: which API version they go in, and that none which goes on for long keeps others waiting (D6).

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod parts;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parts::bad_engine::{Bad, BadEngine};
use stage::{docker, docker_ok};
use trueup::adapter::docker::DockerEngines;
use trueup::model::host::Host;
use trueup::model::names::ContainerName;
use trueup::model::plan::Action;
use trueup::model::secrecy::HashKey;
use trueup::model::settings::EngineSettings;
use trueup::model::units::TimeSpan;
use trueup::ports::{Contents, Engine, EngineErrorKind, Engines as _};

/// More than any engine is asked at once.
const MANY: usize = 40;

/// trueup's own view of an engine; nothing is known of it yet.
fn of(bad: &BadEngine) -> Arc<dyn Engine> {
    let settings = EngineSettings { call_deadline: TimeSpan::from_secs(20), ..EngineSettings::default() };
    let host = Host {
        name: "bad".parse().expect("a name"),
        address: [127, 0, 0, 1].into(),
        engine: bad.address().parse().expect("an address"),
        environments: BTreeSet::new(),
        labels: BTreeMap::new(),
        capacity: Default::default(),
        swarm: None,
        availability: None,
        drain: false,
        origin: String::new(),
    };
    DockerEngines::new(settings, HashKey::new([1; 32])).engine(&host).expect("an engine")
}

async fn looks(engine: &dyn Engine) {
    engine.survey(&BTreeSet::new()).await.expect("a look");
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within a minute"));
}

/// A container of the stage's image; removed with it.
struct Container(&'static str);

impl Container {
    fn run(name: &'static str, image: &str, shell: &str) -> Self {
        docker(&["rm", "-f", name]);
        docker_ok(&["run", "-d", "--name", name, image, "/bin/busybox", "sh", "-c", shell]);
        Self(name)
    }

    fn name(&self) -> ContainerName {
        self.0.parse().expect("a name")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        docker(&["rm", "-f", self.0]);
    }
}

#[tokio::test]
async fn hanging_pulls_keep_nobody_from_looking() {
    let dir = tempfile::tempdir().expect("a directory");
    // A registry that does not answer, and one that stops in the middle of a layer.
    let begun = Bad::HangAfter("{\"status\":\"Downloading\",\"id\":\"a\"}\n");
    for (name, hangs) in [("hangs", Bad::Hang), ("begun", begun)] {
        let bad = BadEngine::start(dir.path(), name, move |_, path| {
            path.starts_with("/images/create?").then(|| hangs.clone())
        });
        let engine = of(&bad);
        let pulls: Vec<_> = (0..MANY)
            .map(|n| {
                let engine = Arc::clone(&engine);
                let image = format!("127.0.0.1:1/nothing:{n}").parse().expect("an image");
                tokio::spawn(async move {
                    engine.perform(&Action::PullImage { image }, &Contents::new(), &|_, _| {}).await
                })
            })
            .collect();
        until("they are all sent", || bad.mutations().len() == MANY).await;
        looks(&*engine).await;
        assert!(pulls.iter().all(|pull| !pull.is_finished()), "they hang all the while");
        for pull in &pulls {
            pull.abort();
        }
    }
}

#[tokio::test]
async fn a_followed_log_may_be_long_and_keeps_nobody_from_looking() {
    let stage = stage::Stage::new("calls-log");
    // 16 MiB, which no other answer of the kind may have; then it stays open.
    let shell =
        "b=/bin/busybox; $b yes $($b printf %01023d 0) | $b head -n 16384; echo the end; exec $b sleep 3600";
    let container = Container::run("trueup-test-calls-log", &stage.image, shell);
    until("it is written", || docker_ok(&["logs", "--tail", "1", container.0]) == "the end").await;
    let bad = BadEngine::start(stage.dir.path(), "log", |_, _| None);
    let engine = of(&bad);
    let (heard, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    // One hears all of it, the others only what comes.
    let followers: Vec<_> = (0..MANY)
        .map(|n| {
            let (engine, name) = (Arc::clone(&engine), container.name());
            let (heard, ends) = (Arc::clone(&heard), Arc::clone(&ends));
            let tail = if n == 0 { 1_000_000 } else { 1 };
            tokio::spawn(async move {
                let line = move |line: &str| {
                    heard.fetch_add(line.len() as u64 + 1, Ordering::Relaxed);
                    ends.fetch_add(usize::from(line == "the end"), Ordering::Relaxed);
                };
                engine.logs(&name, tail, true, &line).await
            })
        })
        .collect();
    until("all hear its end", || ends.load(Ordering::Relaxed) == MANY).await;
    assert!(heard.load(Ordering::Relaxed) >= 16 << 20);
    looks(&*engine).await;
    for follower in &followers {
        assert!(!follower.is_finished(), "it goes on");
        follower.abort();
    }
}

#[tokio::test]
async fn what_changes_something_is_sent_once_to_an_engine_that_was_upgraded() {
    let stage = stage::Stage::new("calls-once");
    let container = Container::run("trueup-test-calls-once", &stage.image, "exec /bin/busybox sleep 3600");
    let bad = BadEngine::start(stage.dir.path(), "once", |_, _| None);
    let engine = of(&bad);
    looks(&*engine).await;
    bad.grow_younger();
    let restart = Action::RestartContainer { name: container.name(), timeout: TimeSpan::from_secs(0) };
    let sent = || bad.mutations().len();
    for (nth, refused) in [(1, true), (2, false), (3, false)] {
        let done = engine.perform(&restart, &Contents::new(), &|_, _| {}).await;
        assert_eq!(done.is_err(), refused, "{nth}: {done:?}");
        assert_eq!(sent(), nth, "each once: {:?}", bad.mutations());
        if let Err(error) = done {
            assert_eq!(error.kind, EngineErrorKind::Refused, "{error}");
        }
    }
    looks(&*engine).await;
    assert_eq!(versions(&bad), 1, "and it was asked once which versions it has");
}

/// How often it was asked which versions it has.
fn versions(bad: &BadEngine) -> usize {
    bad.all_calls().iter().filter(|call| *call == "GET /version").count()
}

#[tokio::test]
async fn a_call_that_is_refused_for_its_version_or_for_itself_is_made_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let call = "GET /networks/x";
    let older = BadEngine::start(dir.path(), "older", |_, _| None);
    let younger = BadEngine::start(dir.path(), "younger", |_, path| {
        path.starts_with("/networks/x").then_some(Bad::Status(400, "{\"message\":\"bad parameter\"}"))
    });
    older.grow_older();
    younger.grow_younger();
    // Nothing older is spoken than ours; and once an engine said which versions it has, its refusal is not for the version.
    for (bad, first) in [(&older, vec![call]), (&younger, vec![call, "GET /version", call])] {
        let engine = of(bad);
        for nth in 0..3 {
            let error = engine.network("x").await.expect_err("it is refused");
            assert_eq!(error.kind, EngineErrorKind::Refused, "{error}");
            let expected: Vec<&str> = first.iter().copied().chain([call].repeat(nth)).collect();
            assert_eq!(bad.all_calls(), expected);
        }
    }
}
