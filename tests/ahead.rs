//! A look for a person begins before git is read: what it saves, and when nothing of it may be used (decision 0021).

#![allow(clippy::expect_used, clippy::panic)]

mod parts;
mod simulation;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parts::Trueup;
use parts::bad_engine::BadEngine;
use simulation::{Sim, host, rt};
use stage::{FLEET, Stage};
use trueup::control::{World, pass, person};
use trueup::model::host::Host;
use trueup::model::names::HostName;
use trueup::model::plan::Plan;
use trueup::model::settings::Reference;
use trueup::ports::{Engine, EngineError, Engines};

const GIT: Duration = Duration::from_millis(700);
const ENGINE: Duration = Duration::from_millis(300);

/// Two hosts with an instance each, and one without, applied; then git and engines are slow.
async fn slow() -> Sim {
    let sim = Sim::new(5);
    sim.commit(3, &[("a", 2, "app:1")]);
    let _ = sim.apply().await;
    sim.repository.set_slow(GIT);
    sim.fleet.set_latency(ENGINE);
    sim
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = tokio::time::Instant::now();
    (work.await, began.elapsed())
}

#[test]
fn engines_are_asked_while_git_is_read() {
    rt().block_on(async {
        let sim = slow().await;
        let (_, apart) = timed(sim.look()).await;
        let (pass, beside) = timed(pass::take_and_look(&sim.world)).await;
        assert!(pass.expect("a look").plan.changes.is_empty());
        assert!(apart >= GIT + ENGINE && beside < GIT + ENGINE, "{apart:?}, {beside:?}");
        let within = Some(["test".parse().expect("a name")].into());
        let elsewhere = World { environments: within, ..sim.world.clone() };
        let named = World { revision: Some(Reference::Head), ..sim.world.clone() };
        let another = World { source: "another".to_owned(), ..sim.world.clone() };
        for world in [elsewhere, named, another] {
            let (_, took) = timed(pass::take_and_look(&world)).await;
            assert!(took >= GIT + ENGINE, "it is another question than the last: {took:?}");
        }
    });
}

#[test]
fn what_a_commit_asks_besides_is_looked_at() {
    rt().block_on(async {
        let sim = slow().await;
        for hosts in [4, 2] {
            sim.commit(hosts, &[("a", 2, "app:2")]);
            let pass = pass::take_and_look(&sim.world).await.expect("a look");
            let seen: BTreeSet<_> = pass.observed.hosts.keys().cloned().collect();
            assert_eq!(seen, (0..hosts).map(host).collect());
            let again = sim.look().await.plan;
            // But for when it was looked.
            assert_eq!(pass.plan, Plan { observed_at: pass.plan.observed_at, ..again });
        }
    });
}

/// A slow git is not to make the picture an old one.
#[test]
fn what_was_seen_long_ago_is_looked_at_again() {
    rt().block_on(async {
        for slowest in [ENGINE, GIT * 20] {
            let sim = slow().await;
            sim.repository.set_slow(GIT * 5);
            // Its look ends long after git was read; the others were seen at the beginning.
            sim.fleet.set_host_latency(&host(2), slowest);
            let hand = async {
                sim.world.clock.sleep(GIT * 2).await;
                sim.fleet.by_hand(&host(0), |containers| containers.clear());
            };
            let (pass, ()) = tokio::join!(pass::take_and_look(&sim.world), hand);
            let pass = pass.expect("a look");
            assert!(pass.observed.engine(&host(2)).is_some(), "it answers: {:?}", pass.plan.unknown);
            assert!(!pass.plan.changes.is_empty(), "{slowest:?}: the hand came after the first look");
        }
        // A slow engine is waited for, and not asked twice where git is quick.
        let sim = slow().await;
        sim.fleet.set_host_latency(&host(2), GIT * 10);
        let (pass, took) = timed(pass::take_and_look(&sim.world)).await;
        assert!(pass.expect("a look").plan.changes.is_empty());
        assert!(took < GIT * 11, "{took:?}");
    });
}

/// Engines that note who is asked.
struct Noted {
    engines: Arc<dyn Engines>,
    asked: Mutex<BTreeSet<HostName>>,
}

impl Engines for Noted {
    fn engine(&self, host: &Host) -> Result<Arc<dyn Engine>, EngineError> {
        self.asked.lock().expect("the notes").insert(host.name.clone());
        self.engines.engine(host)
    }

    fn keep_only(&self, hosts: &BTreeMap<HostName, Host>) {
        self.engines.keep_only(hosts);
    }
}

/// A person names another revision as the trusted one: whom only the distrusted one asks is asked no more (F4).
#[test]
fn nobody_asks_for_a_distrusted_revision() {
    rt().block_on(async {
        let sim = slow().await;
        let good = sim.look().await.taken.desired.revision;
        sim.commit(4, &[("a", 2, "app:1")]);
        let _ = sim.apply().await;
        // Before the person's word, whom that commit names is asked ahead of git.
        let (_, took) = timed(pass::take_and_look(&sim.world)).await;
        assert!(took < GIT + ENGINE, "{took:?}");
        // The forge is cleaned of it.
        sim.repository
            .force_push(&Sim::files(3, &[("a", 2, "app:1")], "[network.lan]\npool = \"all\"\n"), "mended");
        person::trust(&sim.world, good.as_str()).await.expect("it is trusted");
        let noted = Arc::new(Noted { engines: Arc::clone(&sim.world.engines), asked: Mutex::default() });
        let world = World { engines: noted.clone(), ..sim.world.clone() };
        pass::take_and_look(&world).await.expect("a look");
        assert_eq!(*noted.asked.lock().expect("the notes"), (0..3).map(host).collect());
    });
}

/// What a new commit does not ask otherwise is asked ahead: before it was ever enforced, and wherever in a file a host stands.
#[test]
fn a_commit_that_asks_the_same_is_looked_at_ahead() {
    rt().block_on(async {
        let sim = slow().await;
        let mut files = Sim::files(3, &[("a", 2, "app:1")], "[network.lan]\npool = \"all\"\n");
        let inventory = files.get_mut("hosts/all.toml").expect("the inventory");
        inventory.insert_str(0, "# Three of them.\n");
        let revision = sim.repository.commit(&files);
        // Its tags are resolved for it in any case.
        let (_, apart) = timed(sim.look()).await;
        let (pass, took) = timed(pass::take_and_look(&sim.world)).await;
        assert_eq!(pass.expect("a look").taken.desired.revision, revision);
        assert!(took + ENGINE <= apart, "{took:?}, {apart:?}");
    });
}

/// What a rule that looks at the plan holds was looked at before, and is so at the next look.
#[test]
fn what_a_look_at_the_plan_holds_is_asked_once() {
    rt().block_on(async {
        let sim = Sim::new(5);
        let rule = "package team\nimport rego.v1\ndeny contains {\"app\": c.app, \"msg\": \"no\"} if {\n\
                    some c in input.plan.changes\n c.action == \"replace\"\n}\n";
        for image in ["app:1", "app:2"] {
            let mut files = Sim::files(3, &[("a", 2, image)], "[network.lan]\npool = \"all\"\n");
            files.insert("policies/replace.rego".to_owned(), rule.to_owned());
            sim.repository.commit(&files);
            let _ = sim.apply().await;
        }
        sim.repository.set_slow(GIT);
        sim.fleet.set_latency(ENGINE);
        let (pass, took) = timed(pass::take_and_look(&sim.world)).await;
        assert_eq!(pass.expect("a look").plan.blocked.len(), 1, "it is held");
        assert!(took < GIT + ENGINE, "{took:?}");
    });
}

/// The state is the settings' own: whom their repository asks is not asked for another one.
#[test]
fn another_root_asks_nobody_of_the_first() {
    let stage = Stage::new("another-root");
    let trueup = Trueup::new(&stage, "call_deadline = \"10s\"");
    let engine = BadEngine::start(stage.dir.path(), "first", |_, _| None);
    let first = format!(
        "[host.bad]\naddress = \"127.0.0.2\"\nengine = \"{}\"\nenvironments = [\"test\"]\n",
        engine.address()
    );
    stage.commit(&[("fleet.toml", FLEET), ("hosts/bad.toml", &first), ("other/fleet.toml", FLEET)]);
    assert_eq!(trueup.apply().code, 0);
    let before = engine.calls();
    assert_eq!(trueup.run(&["plan"]).code, 0);
    let after = engine.calls();
    assert!(after > before, "it is asked");
    let said = trueup.run(&["plan", "--root", "other"]);
    assert_eq!((said.code, engine.calls()), (0, after), "{said:?}");
    assert!(trueup.run(&["plan"]).code == 0 && engine.calls() > after);
}
