//! What has begun before a freeze goes on in it (F3), also where trueup was killed in the middle (D5); what was only tried has not
//! begun.

#![allow(clippy::expect_used, clippy::panic)]

mod simulation;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use simulation::frozen::{LAN, at_rest, behind, commit_port, freeze, is_frozen, nginx, running, runs};
use simulation::meanwhile::Meanwhile;
use simulation::{Sim, host, rt};
use trueup::apply::Stop;
use trueup::control::converge::{Scope, converge};
use trueup::control::memory::Memory;
use trueup::control::metrics::Metrics;
use trueup::control::pass::Pass;
use trueup::control::revision::Reader;
use trueup::control::run::report_unsettled;
use trueup::model::drift::Kind;
use trueup::model::plan::{Change, Outcome};
use trueup::model::service::{ServiceMode, ServiceSpec};
use trueup::ports::Record;
use trueup::sim::Fault;

/// A commit on a fleet with a Swarm, whose service `api` takes its time.
fn commit_service(sim: &Sim, image: Option<&str>) {
    let fleet = "fleet = \"sim\"\nenvironments = [\"test\"]\n[swarm.s]\nmanagers = [\"h0\"]\n";
    let mut files = Sim::files(1, &[], LAN);
    files.insert("fleet.toml".to_owned(), fleet.to_owned());
    if let Some(image) = image {
        let slow = format!(
            "app = \"api\"\nenvironments = [\"test\"]\nimage = \"{image}\"\nruntime = \"swarm\"\nreplicas = 3\n\
             [rollout]\nmin_healthy = \"5m\"\n[swarm.update]\ndelay = \"2m\"\n"
        );
        files.insert("apps/api/app.toml".to_owned(), slow);
    }
    sim.repository.commit(&files);
}

async fn swarm_at_rest(image: Option<&str>) -> Sim {
    let sim = Sim::new(1);
    sim.fleet.start_swarm("s", &[host(0)], &[]);
    commit_service(&sim, image);
    assert_eq!(sim.apply().await.exit_code(), 0);
    sim
}

/// An apply that is killed while it waits for Swarm, and the start of the next process.
async fn killed_in_the_wait(sim: &Sim) {
    tokio::select! {
        _ = sim.apply() => panic!("it waits"),
        () = sim.world.clock.sleep(Duration::from_secs(20)) => {}
    }
    assert!(report_unsettled(&sim.world).expect("a state file") > 0);
}

/// D6: asked to end while Swarm is at it, trueup leaves it to Swarm, and it has begun.
#[test]
fn what_swarm_is_at_has_begun_where_trueup_was_asked_to_end() {
    rt().block_on(async {
        let mut sim = swarm_at_rest(Some("app:1")).await;
        commit_service(&sim, Some("app:2"));
        let (stop, agree) = (Stop::default(), |_: &Pass| true);
        let (reader, scope) = (Reader::default(), Scope::of_a_person(&agree, &stop));
        let ends = async {
            sim.world.clock.sleep(Duration::from_secs(20)).await;
            stop.set();
        };
        let (done, ()) = tokio::join!(converge(&sim.world, &reader, &scope), ends);
        assert_eq!(done.expect("an apply").failures(), 0);
        assert!(behind(&sim).is_empty(), "{:?}", behind(&sim));
        freeze(&mut sim, true);
        assert!(!is_frozen(&sim.look().await));
    });
}

/// D5: what was sent by a process that was killed has begun. What was only healed has not, however it was killed.
#[test]
fn what_was_sent_before_a_kill_has_begun() {
    rt().block_on(async {
        let sim = swarm_at_rest(None).await;
        commit_service(&sim, Some("app:1"));
        killed_in_the_wait(&sim).await;
        assert!(behind(&sim).is_empty(), "{:?}", behind(&sim));
        // B2: so it is not left behind untold.
        sim.commit(1, &[]);
        let kept = sim.apply().await.last.taken.kept_because;
        assert!(kept.as_ref().is_some_and(|why| why.contains("s (api-test)")), "{kept:?}");

        let mut sim = swarm_at_rest(Some("app:1")).await;
        freeze(&mut sim, true);
        commit_service(&sim, Some("app:2"));
        sim.fleet.remove_service("s", "api-test").expect("removed");
        killed_in_the_wait(&sim).await;
        assert_eq!(behind(&sim), ["api-test"]);
        assert!(is_frozen(&sim.look().await));
    });
}

/// Notes of an earlier build say of a change that it brings something, and not of which apps.
#[test]
fn what_an_earlier_build_sent_before_a_kill_has_begun() {
    rt().block_on(async {
        for brings in [true, false] {
            let sim = swarm_at_rest(Some("app:1")).await;
            commit_service(&sim, Some("app:2"));
            tokio::select! {
                _ = sim.apply() => panic!("it waits"),
                () = sim.world.clock.sleep(Duration::from_secs(20)) => {}
            }
            let store = &sim.world.store;
            for (key, note) in store.all(Record::UnderWay).expect("notes") {
                let mut note: serde_json::Value = serde_json::from_str(&note).expect("JSON");
                let note = note.as_object_mut().expect("an object");
                assert!(note.remove("of").is_some_and(|of| of.to_string().contains("api-test")));
                note.insert("brings".to_owned(), brings.into());
                let note = serde_json::to_string(note).expect("JSON");
                store.put(Record::UnderWay, &key, &note).expect("kept");
            }
            assert_eq!(behind(&sim), ["api-test"]);
            assert!(report_unsettled(&sim.world).expect("a state file") > 0);
            assert_eq!(behind(&sim).is_empty(), brings, "{:?}", behind(&sim));
        }
    });
}

/// D5: instances that were carried out before a kill are not put back by a freeze.
#[test]
fn half_of_a_rollout_that_was_killed_goes_on_in_a_freeze() {
    rt().block_on(async {
        let mut sim = at_rest(2, &[("web", 2, "app:1")]).await;
        sim.commit(2, &[("web", 2, "app:2")]);
        let half = async {
            while !runs(&sim).values().any(|image| image == "app:2") {
                sim.world.clock.sleep(Duration::from_millis(100)).await;
            }
            // The first one ends, and the second one is under way.
            sim.world.clock.sleep(Duration::from_millis(1500)).await;
        };
        tokio::select! {
            _ = sim.apply() => panic!("it is killed before its end"),
            () = half => {}
        }
        freeze(&mut sim, true);
        let done = sim.apply().await;
        assert!(done.exit_code() == 0 && !is_frozen(&done.last), "{:#?}", done.last.plan);
        assert_eq!(runs(&sim), running(&[("web-test-0", "app:2"), ("web-test-1", "app:2")]));
    });
}

/// The loop until a change of this has ended, and is not settled yet; and the start of the next process.
async fn killed_before_it_is_settled(sim: &Sim, subject: &str) {
    let memory = Memory::new(&*sim.world.store);
    let ended = async {
        let is_it = || {
            let mut noted = memory.noted().expect("notes").into_iter();
            noted.any(|noted| noted.ended.is_some() && noted.begun.change.subject.name == subject)
        };
        while !is_it() {
            sim.world.clock.sleep(Duration::from_millis(50)).await;
        }
    };
    let metrics = Mutex::new(Metrics::default());
    tokio::select! {
        () = sim.run(Duration::from_secs(60), &metrics, &|_| {}) => panic!("it is never noted"),
        () = ended => {}
    }
    let under_way = memory.under_way().expect("notes");
    assert!(
        under_way.iter().all(|noted| noted.begun.change.subject.name != subject),
        "it is told as under way"
    );
    assert!(!behind(sim).is_empty(), "it is settled already");
    assert!(report_unsettled(&sim.world).expect("a state file") > 0);
    assert!(memory.noted().expect("notes").is_empty());
}

/// D5: how a change ended is not lost where the loop is killed before it was settled.
#[test]
fn what_ended_and_was_not_settled_before_a_kill_has_begun() {
    rt().block_on(async {
        let metrics = Mutex::new(Metrics::default());
        let mut sim = at_rest(2, &[("web", 2, "app:1")]).await;
        sim.commit(2, &[("web", 2, "app:2")]);
        killed_before_it_is_settled(&sim, "web-test-0").await;
        assert!(behind(&sim).is_empty(), "{:?}", behind(&sim));
        freeze(&mut sim, true);
        sim.run(Duration::from_secs(60), &metrics, &|_| {}).await;
        assert_eq!(runs(&sim), running(&[("web-test-0", "app:2"), ("web-test-1", "app:2")]));

        // Generated files, beside something slower.
        let mut sim = at_rest(1, &[("api", 1, "app:1"), ("web", 1, "app:1")]).await;
        commit_port(&sim, 1, &[("api", 1, "app:2"), ("web", 1, "app:1")], &["web"], 8081);
        killed_before_it_is_settled(&sim, "nginx").await;
        assert_eq!(behind(&sim), ["api-test"]);
        freeze(&mut sim, true);
        sim.run(Duration::from_secs(60), &metrics, &|_| {}).await;
        assert_eq!(runs(&sim), running(&[("api-test-0", "app:1"), ("web-test-0", "app:1")]));
        assert!(nginx(&sim).await.contains(":8081"));
    });
}

/// A service that failed has begun where it was sent, or may have been: no answer came.
#[test]
fn a_service_that_was_not_sent_waits_for_the_end_of_a_freeze() {
    rt().block_on(async {
        let cut = Fault::Cut { mutations: 1, after_effect: true };
        for (fault, has_begun) in [(Fault::Down, false), (cut, true)] {
            let mut sim = swarm_at_rest(Some("app:1")).await;
            let meanwhile = Arc::new(Meanwhile::default());
            sim.world.progress = meanwhile.clone();
            let fleet = sim.fleet.clone();
            meanwhile.next(move || fleet.set_fault(&host(0), Some(fault)));
            commit_service(&sim, Some("app:2"));
            let done = sim.apply().await;
            assert_eq!(done.exit_code(), 1);
            assert_eq!(behind(&sim).is_empty(), has_begun, "{fault:?} {:#?}", done.outcomes);
            freeze(&mut sim, true);
            sim.fleet.set_fault(&host(0), None);
            let done = sim.apply().await;
            let shown = sim.fleet.swarm_shown("s").expect("the Swarm").join("\n");
            let image = if has_begun { "app:2" } else { "app:1" };
            assert!(shown.contains(&format!("service api-test  {image}")), "{fault:?}: {shown}");
            assert_eq!(is_frozen(&done.last), !has_begun);
            freeze(&mut sim, false);
            assert_eq!(sim.apply().await.exit_code(), 0);
            let shown = sim.fleet.swarm_shown("s").expect("the Swarm").join("\n");
            assert!(shown.contains("service api-test  app:2"), "{shown}");
        }
    });
}

/// Nor is it another where the answer was lost and somebody changed it before it was asked for again.
#[test]
fn a_service_that_was_sent_and_changed_by_hand_since_has_begun() {
    rt().block_on(async {
        let mut sim = swarm_at_rest(Some("app:1")).await;
        let meanwhile = Arc::new(Meanwhile::default());
        sim.world.progress = meanwhile.clone();
        let fleet = sim.fleet.clone();
        let cut = Fault::Cut { mutations: 1, after_effect: true };
        meanwhile.next(move || fleet.set_fault(&host(0), Some(cut)));
        commit_service(&sim, Some("app:2"));
        let by_hand = async {
            // Before the next try.
            sim.world.clock.sleep(Duration::from_secs(3)).await;
            sim.fleet.set_fault(&host(0), None);
            let change = |spec: &mut ServiceSpec<_>, _: &mut _| spec.mode = ServiceMode::Replicated(2);
            sim.fleet.change_service("s", "api-test", change).expect("changed");
        };
        let (done, ()) = tokio::join!(sim.apply(), by_hand);
        let of_it = |(change, outcome): &(Change, Outcome)| {
            change.subject.kind == Kind::Service && matches!(outcome, Outcome::Skipped { .. })
        };
        assert!(done.outcomes.iter().any(of_it), "{:#?}", done.outcomes);
        assert!(behind(&sim).is_empty(), "{:?}", behind(&sim));
        freeze(&mut sim, true);
        assert!(!is_frozen(&sim.look().await));
    });
}
