//! A freeze that begins before what was taken was carried out (F3): what nothing was begun of waits, also where the pause ends,
//! the approval comes, the host is back or the image is mended meanwhile; what has begun goes on, and healing does anyway.

#![allow(clippy::expect_used, clippy::panic)]

mod simulation;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use simulation::frozen::{
    LAN, applied, at_rest, behind, commit_port, freeze, image, is_frozen, nginx, running, runs,
};
use simulation::{Sim, host, rt};
use trueup::control::memory::Memory;
use trueup::control::metrics::Metrics;
use trueup::control::pass::Pass;
use trueup::control::{person, standing};
use trueup::model::file::FileSet;
use trueup::model::names::AppKey;
use trueup::sim::{Behaviour, Fault, FilesFaults, SimFiles};

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
        let app = "web-test".parse().expect("a key");
        person::pause(&*sim.world.store, &*sim.world.clock, Some(&app), None, "racks").expect("paused");
        sim.commit(2, &[("api", 1, "app:2"), ("web", 1, "app:2")]);
        let metrics = Mutex::new(Metrics::default());
        sim.run(Duration::from_secs(60), &metrics, &|_| {}).await;
        assert_eq!(behind(&sim), ["web-test"]);
        freeze(&mut sim, true);
        person::resume(&*sim.world.store, &*sim.world.clock, Some(&app)).expect("resumed");
        sim.run(Duration::from_secs(60), &metrics, &|_| {}).await;
        assert_eq!(runs(&sim), running(&[("api-test-0", "app:2"), ("web-test-0", "app:1")]));
        freeze(&mut sim, false);
        sim.run(Duration::from_secs(60), &metrics, &|_| {}).await;
        assert_eq!(runs(&sim), running(&[("api-test-0", "app:2"), ("web-test-0", "app:2")]));
        let applied = applied(&sim);
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

/// A change that goes out in generated files alone has begun with them, however long a host of the app is silent.
#[test]
fn what_went_out_in_generated_files_is_not_taken_back_by_a_freeze() {
    rt().block_on(async {
        let mut sim = at_rest(2, &[("web", 2, "app:1")]).await;
        sim.fleet.set_fault(&host(1), Some(Fault::Down));
        commit_port(&sim, 2, &[("web", 2, "app:1")], &["web"], 8081);
        let _ = sim.apply().await;
        let live = nginx(&sim).await;
        assert!(live.contains(":8081"), "{live}");
        freeze(&mut sim, true);
        let done = sim.apply().await;
        assert_eq!(nginx(&sim).await, live);
        assert!(!is_frozen(&done.last), "{:?}", done.last.plan.findings);
    });
}

/// Two apps with upstreams and logs, each on a host of its own.
fn commit_two(sim: &Sim, web: &str, (port, topic): (u16, &str)) {
    let mut files = Sim::files(2, &[("api", 1, "app:1"), ("web", 1, web)], LAN);
    files.get_mut("fleet.toml").expect("it").push_str("[flume]\nbrokers = [\"192.0.2.21:9092\"]\n");
    for (name, host) in [("api", "h0"), ("web", "h1")] {
        let app = files.get_mut(&format!("apps/{name}/app.toml")).expect("the app");
        *app = app.replace("spread = \"zone\"", &format!("hosts = [{host:?}]"));
        *app = app.replace("port = 80", &format!("port = {port}"));
        let mount = format!("[[mount]]\nhost = \"/log/{name}\"\nat = \"/log\"\ndata = \"disposable\"\n");
        *app += &format!("{mount}[[log]]\nfiles = \"/log/*.log\"\ntopic = {topic:?}\n");
    }
    sim.repository.commit(&files);
}

/// A1: what goes out in them for others says nothing of an app whose silent host keeps its own lines.
#[test]
fn what_generated_files_have_as_it_was_has_not_begun_with_them() {
    rt().block_on(async {
        for (set, change) in [("nginx", (8081, "old")), ("flume/h0", (80, "new"))] {
            let mut sim = at_rest(2, &[]).await;
            commit_two(&sim, "app:1", (80, "old"));
            assert_eq!(sim.apply().await.exit_code(), 0);
            let set: FileSet = set.parse().expect("a set");
            let before = sim.look().await.installed();
            sim.fleet.set_fault(&host(1), Some(Fault::Down));
            commit_two(&sim, "app:2", change);
            let _ = sim.apply().await;
            assert_ne!(sim.look().await.installed()[&set], before[&set], "it went out for the other");
            assert_eq!(behind(&sim), ["web-test"], "{set}");
            freeze(&mut sim, true);
            sim.fleet.set_fault(&host(1), None);
            for _ in 0..2 {
                let done = sim.apply().await;
                assert!(is_frozen(&done.last), "{set}");
                assert_eq!(runs(&sim), running(&[("api-test-0", "app:1"), ("web-test-0", "app:1")]));
            }
            freeze(&mut sim, false);
            assert_eq!(sim.apply().await.exit_code(), 0);
            assert_eq!(runs(&sim), running(&[("api-test-0", "app:1"), ("web-test-0", "app:2")]));
            assert!(behind(&sim).is_empty());
        }
    });
}

/// Files whose installation can be made to fail, installed.
async fn with_files(sim: &mut Sim) -> Arc<SimFiles> {
    let files = Arc::new(SimFiles::default());
    sim.world.files = files.clone();
    assert_eq!(sim.apply().await.exit_code(), 0);
    files
}

/// It has not begun before that, and nor have the rules of its commit: as with anything else that could not be done.
#[test]
fn what_could_not_go_out_in_generated_files_waits_for_the_end() {
    rt().block_on(async {
        let why = || Some("disk full".to_owned());
        let unreadable = FilesFaults { unreadable: why(), ..FilesFaults::default() };
        for faults in [FilesFaults { reload: why(), ..FilesFaults::default() }, unreadable] {
            let mut sim = at_rest(1, &[("web", 1, "app:1")]).await;
            let files = with_files(&mut sim).await;
            files.set_faults(faults);
            commit_port(&sim, 1, &[("web", 1, "app:1")], &["web"], 8081);
            assert_ne!(sim.apply().await.exit_code(), 0);
            assert_eq!(behind(&sim), ["web-test"]);
            assert_ne!(applied(&sim).rules, applied(&sim).fleet, "its rules judge nothing yet");
            freeze(&mut sim, true);
            files.set_faults(FilesFaults::default());
            for _ in 0..2 {
                let done = sim.apply().await;
                let live = nginx(&sim).await;
                assert!(is_frozen(&done.last) && !live.contains(":8081"), "{live}");
            }
            freeze(&mut sim, false);
            assert_eq!(sim.apply().await.exit_code(), 0);
            assert!(nginx(&sim).await.contains(":8081"));
            assert!(behind(&sim).is_empty() && applied(&sim).rules == applied(&sim).fleet);
        }
    });
}

/// E1: one app's file is at fault, and the others went out.
#[test]
fn what_is_at_fault_in_generated_files_keeps_no_other_from_having_begun() {
    rt().block_on(async {
        let apps = [("api", 1, "app:1"), ("web", 1, "app:1")];
        let mut sim = at_rest(1, &apps).await;
        let files = with_files(&mut sim).await;
        let refused = [("api-test.conf".to_owned(), "no such directive".to_owned())].into();
        files.set_faults(FilesFaults { refused, ..FilesFaults::default() });
        commit_port(&sim, 1, &apps, &["api", "web"], 8081);
        assert_eq!(sim.apply().await.exit_code(), 1);
        assert_eq!(behind(&sim), ["api-test"]);
        freeze(&mut sim, true);
        files.set_faults(FilesFaults::default());
        let done = sim.apply().await;
        let live = nginx(&sim).await;
        assert!(is_frozen(&done.last) && live.matches(":8081").count() == 1, "{live}");
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
        let told =
            |pass: &Pass| standing::status(&sim.world, pass).expect("a status").rules_wait_for.into_iter().collect();
        let waits_for: Vec<AppKey> = told(&sim.look().await);
        assert!(waits_for.is_empty(), "an ordinary rollout takes its time too");
        clock.sleep(Duration::from_secs(3600)).await;
        let waits_for: Vec<AppKey> = told(&sim.look().await);
        assert_eq!(waits_for, std::slice::from_ref(&app));
        person::resume(&*sim.world.store, &*clock, Some(&app)).expect("resumed");
        let done = sim.apply().await;
        assert_eq!((done.exit_code(), runs(&sim)), (0, running(&[("web-test-0", "app:2")])));
        let waits_for: Vec<AppKey> = told(&sim.look().await);
        assert!(waits_for.is_empty(), "{waits_for:?}");
        // From then on they judge.
        commit("app:1");
        let held = sim.apply().await.last.plan.findings;
        assert!(held.holding().any(|finding| finding.message == "as it was"), "{held:?}");
        assert_eq!(runs(&sim), running(&[("web-test-0", "app:2")]));
    });
}

/// A trueup of some environments does not tell that it waits for apps of others: the rules move on without those.
#[test]
fn the_rules_of_a_commit_do_not_wait_for_other_environments() {
    rt().block_on(async {
        let commit = |sim: &Sim, image: &str, rule: Option<&str>| {
            let mut files = Sim::files(2, &[("api", 1, image), ("web", 1, image)], LAN);
            let two = |text: &mut String| *text = text.replace("[\"test\"]", "[\"test\", \"other\"]");
            two(files.get_mut("fleet.toml").expect("the fleet"));
            two(files.get_mut("hosts/all.toml").expect("the hosts"));
            let api = files.get_mut("apps/api/app.toml").expect("the app");
            *api = api.replace("[\"test\"]", "[\"other\"]");
            files.extend(rule.map(|rule| ("policies/team.rego".to_owned(), rule.to_owned())));
            sim.repository.commit(&files);
        };
        let mut sim = at_rest(2, &[]).await;
        commit(&sim, "app:1", None);
        assert_eq!(sim.apply().await.exit_code(), 0);
        sim.world.environments = Some(["test".parse().expect("a name")].into());
        let (clock, app) = (sim.world.clock.clone(), "web-test".parse().expect("a key"));
        person::pause(&*sim.world.store, &*clock, Some(&app), None, "racks").expect("paused");
        commit(&sim, "app:2", Some("package team\n\nimport rego.v1\n\ndeny contains \"never\" if false\n"));
        let _ = sim.apply().await;
        assert_eq!(behind(&sim), ["api-other", "web-test"]);
        clock.sleep(Duration::from_secs(3600)).await;
        let status = standing::status(&sim.world, &sim.look().await).expect("a status");
        assert_eq!(status.rules_wait_for, [app.clone()].into());
        person::resume(&*sim.world.store, &*clock, Some(&app)).expect("resumed");
        let _ = sim.apply().await;
        let applied = applied(&sim);
        assert!(applied.rules == applied.fleet && behind(&sim) == ["api-other"], "{applied:?}");
    });
}
