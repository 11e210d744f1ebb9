//! A freeze that begins before what was taken was carried out (F3): what nothing was begun of waits, also where the pause ends,
//! the approval comes, the host is back or the image is mended meanwhile; what has begun goes on, and healing does anyway.

#![allow(clippy::expect_used, clippy::panic)]

mod simulation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use simulation::{Sim, host, rt};
use trueup::apply::Stop;
use trueup::control::converge::{Scope, converge};
use trueup::control::memory::Memory;
use trueup::control::metrics::Metrics;
use trueup::control::pass::Pass;
use trueup::control::person;
use trueup::control::revision::Reader;
use trueup::control::run::report_unsettled;
use trueup::model::file::FileSet;
use trueup::model::image::ImageRef;
use trueup::model::policy::{PolicySettings, Window, WindowEffect};
use trueup::sim::{Behaviour, Fault};

const LAN: &str = "[network.lan]\npool = \"all\"\n";

fn image(image: &str) -> ImageRef {
    image.parse().expect("an image")
}

/// A fleet at rest at this commit, whose limits of the blast radius are out of the way (B3).
async fn at_rest(hosts: usize, apps: &[(&str, u32, &str)]) -> Sim {
    let mut sim = Sim::new(1);
    sim.world.limits.destroy_count = 100;
    sim.commit(hosts, apps);
    assert_eq!(sim.apply().await.exit_code(), 0);
    // The first revision is past.
    sim.settled().await;
    sim
}

fn freeze(sim: &mut Sim, on: bool) {
    let window = Window {
        name: "year's end".into(),
        effect: WindowEffect::Deny,
        environments: BTreeSet::from(["test".parse().expect("a name")]),
        zone: "Europe/Berlin".parse().expect("a zone"),
        days: Vec::new(),
        hours: None,
        begin: None,
        end: None,
    };
    sim.world.policy =
        PolicySettings { freeze: on.then_some(window).into_iter().collect(), ..PolicySettings::default() };
}

/// The images that run, by container, on the first two hosts.
fn runs(sim: &Sim) -> BTreeMap<String, String> {
    let on = |n| sim.fleet.containers(&host(n)).into_values();
    let running = on(0).chain(on(1)).filter(|container| container.state.is_running());
    running
        .map(|container| {
            let tag = sim.fleet.tag_of(&container.image).expect("an image of these");
            (container.name.to_string(), tag.to_string())
        })
        .collect()
}

fn running(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, image)| ((*name).to_owned(), (*image).to_owned())).collect()
}

fn is_frozen(pass: &Pass) -> bool {
    pass.plan.findings.holding().any(|finding| finding.rule == "freeze")
}

/// Nothing of it goes on in the freeze, healing does, and it goes on after it.
async fn waits_for_the_end(sim: &mut Sim, before: &[(&str, &str)], after: &[(&str, &str)]) {
    for _ in 0..2 {
        let done = sim.apply().await;
        assert_eq!(runs(sim), running(before), "{:#?}", done.last.plan);
        assert!(is_frozen(&done.last), "{:?}", done.last.plan.findings);
    }
    sim.fleet.by_hand(&host(0), |containers| containers.clear());
    let _ = sim.apply().await;
    assert_eq!(runs(sim), running(before), "healed as it was");
    freeze(sim, false);
    assert_eq!(sim.apply().await.exit_code(), 0);
    assert_eq!(runs(sim), running(after));
}

#[test]
fn what_was_paused_is_not_let_loose_by_a_resume() {
    rt().block_on(async {
        let app = "web-test".parse().expect("a key");
        // The app alone, and the whole fleet.
        for paused in [Some(&app), None] {
            let mut sim = at_rest(1, &[("web", 1, "app:1")]).await;
            let clock = sim.world.clock.clone();
            person::pause(&*sim.world.store, &*clock, paused, None, "racks").expect("paused");
            sim.commit(1, &[("web", 1, "app:2")]);
            let _ = sim.apply().await;
            freeze(&mut sim, true);
            person::resume(&*sim.world.store, &*clock, paused).expect("resumed");
            waits_for_the_end(&mut sim, &[("web-test-0", "app:1")], &[("web-test-0", "app:2")]).await;
        }
    });
}

#[test]
fn what_waited_for_its_host_is_not_let_loose_by_its_return() {
    rt().block_on(async {
        let mut sim = at_rest(1, &[("web", 1, "app:1")]).await;
        sim.fleet.set_fault(&host(0), Some(Fault::Down));
        sim.commit(1, &[("web", 1, "app:2")]);
        let _ = sim.apply().await;
        freeze(&mut sim, true);
        sim.fleet.set_fault(&host(0), None);
        waits_for_the_end(&mut sim, &[("web-test-0", "app:1")], &[("web-test-0", "app:2")]).await;

        // What git takes away is no other.
        let mut sim = at_rest(1, &[("api", 1, "app:1"), ("web", 1, "app:1")]).await;
        sim.fleet.set_fault(&host(0), Some(Fault::Down));
        sim.commit(1, &[("api", 1, "app:1")]);
        let _ = sim.apply().await;
        freeze(&mut sim, true);
        sim.fleet.set_fault(&host(0), None);
        let before = [("api-test-0", "app:1"), ("web-test-0", "app:1")];
        waits_for_the_end(&mut sim, &before, &[("api-test-0", "app:1")]).await;
    });
}

#[test]
fn what_the_blast_radius_held_is_not_approved_into_a_freeze() {
    rt().block_on(async {
        let mut sim = at_rest(1, &[("api", 1, "app:1"), ("web", 1, "app:1")]).await;
        sim.world.limits.replace_apps_count = 1;
        sim.commit(1, &[("api", 1, "app:2"), ("web", 1, "app:2")]);
        let held = sim.apply().await.last.plan;
        assert_eq!(held.held.len(), 2, "{held:#?}");
        freeze(&mut sim, true);
        let why = person::approve(&sim.world, &held.held_id, "go").await.expect_err("it is frozen");
        assert!(why.to_string().contains("nothing is held"), "{why}");
        // Nor by an approval from before.
        let promises = held.held.iter().map(|change| change.promise()).collect();
        Memory::new(&*sim.world.store).approve(&held.held_id, &held.revision, &promises).expect("kept");
        let before = [("api-test-0", "app:1"), ("web-test-0", "app:1")];
        waits_for_the_end(&mut sim, &before, &[("api-test-0", "app:2"), ("web-test-0", "app:2")]).await;
    });
}

#[test]
fn what_failed_and_was_put_back_is_not_tried_again_in_a_freeze() {
    rt().block_on(async {
        let mut sim = at_rest(1, &[("web", 1, "app:1")]).await;
        sim.fleet.set_behaviour(&image("app:2"), Some(Behaviour::Exits(1)));
        sim.commit(1, &[("web", 1, "app:2")]);
        assert_eq!(sim.apply().await.exit_code(), 1);
        assert_eq!(runs(&sim), running(&[("web-test-0", "app:1")]));
        freeze(&mut sim, true);
        sim.fleet.set_behaviour(&image("app:2"), None);
        waits_for_the_end(&mut sim, &[("web-test-0", "app:1")], &[("web-test-0", "app:2")]).await;
    });
}

/// Half of a rollout is worse than either side of it.
#[test]
fn what_has_begun_goes_on_in_a_freeze() {
    rt().block_on(async {
        let mut sim = at_rest(2, &[("web", 2, "app:1")]).await;
        sim.fleet.set_fault(&host(1), Some(Fault::Down));
        sim.commit(2, &[("web", 2, "app:2")]);
        let _ = sim.apply().await;
        let half: Vec<String> = runs(&sim).into_values().collect();
        assert_eq!(half, ["app:2", "app:1"]);
        freeze(&mut sim, true);
        sim.fleet.set_fault(&host(1), None);
        let done = sim.apply().await;
        assert!(done.exit_code() == 0 && !is_frozen(&done.last), "{:#?}", done.last.plan);
        assert_eq!(runs(&sim), running(&[("web-test-0", "app:2"), ("web-test-1", "app:2")]));
    });
}

/// The loop carries out beside its looks: what came about by it is remembered app by app, and once at rest nothing is behind.
#[test]
fn the_loop_remembers_what_has_begun() {
    rt().block_on(async {
        let mut sim = at_rest(2, &[("api", 1, "app:1"), ("web", 1, "app:1")]).await;
        let memory =
            |sim: &Sim| Memory::new(&*sim.world.store).applied().expect("a record").expect("applied");
        let app = "web-test".parse().expect("a key");
        person::pause(&*sim.world.store, &*sim.world.clock, Some(&app), None, "racks").expect("paused");
        sim.commit(2, &[("api", 1, "app:2"), ("web", 1, "app:2")]);
        let metrics = Mutex::new(Metrics::default());
        sim.run(Duration::from_secs(60), &metrics, &|_| {}).await;
        let behind: Vec<String> = memory(&sim).behind.keys().map(ToString::to_string).collect();
        assert_eq!(behind, ["web-test"]);
        freeze(&mut sim, true);
        person::resume(&*sim.world.store, &*sim.world.clock, Some(&app)).expect("resumed");
        sim.run(Duration::from_secs(60), &metrics, &|_| {}).await;
        assert_eq!(runs(&sim), running(&[("api-test-0", "app:2"), ("web-test-0", "app:1")]));
        freeze(&mut sim, false);
        sim.run(Duration::from_secs(60), &metrics, &|_| {}).await;
        assert_eq!(runs(&sim), running(&[("api-test-0", "app:2"), ("web-test-0", "app:2")]));
        let applied = memory(&sim);
        assert!(applied.behind.is_empty() && applied.fleet == applied.rules, "{applied:?}");
    });
}

/// A6: a brake that comes with a change is no reason to undo either inside a freeze.
#[test]
fn what_is_only_watched_from_now_on_is_applied_with_its_commit() {
    rt().block_on(async {
        let mut sim = at_rest(1, &[("web", 1, "app:1")]).await;
        let mut files = Sim::files(1, &[("web", 1, "app:2")], LAN);
        let app = files.get_mut("apps/web/app.toml").expect("the app");
        *app = format!("detect_only = true\n{app}");
        sim.repository.commit(&files);
        let _ = sim.apply().await;
        freeze(&mut sim, true);
        sim.fleet.by_hand(&host(0), |containers| containers.clear());
        let done = sim.apply().await;
        assert!(!is_frozen(&done.last) && runs(&sim).is_empty(), "{:#?}", done.last.plan);
    });
}

/// Nginx as it is installed.
async fn nginx(sim: &Sim) -> String {
    let installed = sim.look().await.installed();
    format!("{:?}", installed.get(&FileSet::Nginx))
}

/// A change that goes out in generated files alone has begun with them, however long a host of the app is silent.
#[test]
fn what_went_out_in_generated_files_is_not_taken_back_by_a_freeze() {
    rt().block_on(async {
        let mut sim = at_rest(2, &[("web", 2, "app:1")]).await;
        sim.fleet.set_fault(&host(1), Some(Fault::Down));
        let mut files = Sim::files(2, &[("web", 2, "app:1")], LAN);
        let app = files.get_mut("apps/web/app.toml").expect("the app");
        *app = app.replace("port = 80", "port = 8081");
        sim.repository.commit(&files);
        let _ = sim.apply().await;
        let live = nginx(&sim).await;
        assert!(live.contains(":8081"), "{live}");
        freeze(&mut sim, true);
        let done = sim.apply().await;
        assert_eq!(nginx(&sim).await, live);
        assert!(!is_frozen(&done.last), "{:?}", done.last.plan.findings);
    });
}

/// A5: what an app was before is no state to stay at where the rest of the fleet has no place for it any more: it heals as declared.
#[test]
fn what_does_not_fit_the_rest_counts_as_applied_with_it() {
    rt().block_on(async {
        let mut sim = at_rest(1, &[("web", 1, "app:1")]).await;
        let (clock, app) = (sim.world.clock.clone(), "web-test".parse().expect("a key"));
        person::pause(&*sim.world.store, &*clock, Some(&app), None, "racks").expect("paused");
        let mut files = Sim::files(1, &[("web", 1, "app:2")], "[network.dmz]\npool = \"all\"\n");
        let network =
            files.remove("networks/lan.toml").expect("the network").replace("network.lan", "network.dmz");
        files.insert("networks/dmz.toml".to_owned(), network);
        sim.repository.commit(&files);
        let _ = sim.apply().await;
        freeze(&mut sim, true);
        person::resume(&*sim.world.store, &*clock, Some(&app)).expect("resumed");
        sim.fleet.by_hand(&host(0), |containers| containers.clear());
        let done = sim.apply().await;
        assert!(done.exit_code() == 0 && !is_frozen(&done.last), "{:#?}", done.last.plan);
        assert_eq!(runs(&sim), running(&[("web-test-0", "app:2")]));
    });
}

/// F1: a commit is not judged by its own rules, however often it is looked at until it is carried out.
#[test]
fn the_rules_of_a_commit_wait_for_its_apps() {
    rt().block_on(async {
        let sim = at_rest(1, &[("web", 1, "app:1")]).await;
        let (clock, app) = (sim.world.clock.clone(), "web-test".parse().expect("a key"));
        person::pause(&*sim.world.store, &*clock, Some(&app), None, "racks").expect("paused");
        let commit = |image: &str| {
            let mut files = Sim::files(1, &[("web", 1, image)], LAN);
            let rule = "package team\n\nimport rego.v1\n\ndeny contains {\"app\": app.key, \"msg\": \"as it was\"} if {\n\t\
                        some app in input.apps\n\tapp.change == \"update\"\n}\n";
            files.insert("policies/team.rego".to_owned(), rule.to_owned());
            sim.repository.commit(&files);
        };
        commit("app:2");
        let _ = sim.apply().await;
        person::resume(&*sim.world.store, &*clock, Some(&app)).expect("resumed");
        let done = sim.apply().await;
        assert_eq!((done.exit_code(), runs(&sim)), (0, running(&[("web-test-0", "app:2")])));
        // From then on they judge.
        commit("app:1");
        let held = sim.apply().await.last.plan.findings;
        assert!(held.holding().any(|finding| finding.message == "as it was"), "{held:?}");
        assert_eq!(runs(&sim), running(&[("web-test-0", "app:2")]));
    });
}

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

/// The apps that are not at what was applied last.
fn behind(sim: &Sim) -> Vec<String> {
    let applied = Memory::new(&*sim.world.store).applied().expect("a record").expect("applied");
    applied.behind.keys().map(ToString::to_string).collect()
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
