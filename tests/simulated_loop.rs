//! `trueup run` on the simulated fleet: whatever hangs, fails or waits delays nothing else (A2, D3, D6), and what a hand
//! changes is healed at once.

#![allow(clippy::expect_used, clippy::panic)]

mod simulation;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use simulation::{Sim, host, rt};
use tokio::sync::Notify;
use trueup::adapter::reports::ReportsOut;
use trueup::apply::Stop;
use trueup::control::baseline::Applied;
use trueup::control::converge::Converged;
use trueup::control::memory::Memory;
use trueup::control::metrics::Metrics;
use trueup::control::reporting::Reporting;
use trueup::control::revision::Reader;
use trueup::control::{ControlError, World, run, standing};
use trueup::model::names::{ContainerName, Revision};
use trueup::model::plan::Outcome;
use trueup::model::secrecy::HashKey;
use trueup::model::settings::Reference;
use trueup::model::swarm::UpdateState;
use trueup::model::units::{TimeSpan, Timestamp};
use trueup::output::{self};
use trueup::ports::Record;
use trueup::sim::{Behaviour, Fault, FilesFaults, SimFiles};

/// The repository and its mirror are gone while trueup runs: what was read of the last good revision is enough (A2).
#[test]
fn a_repository_that_is_gone_takes_nothing_away_from_the_loop() {
    rt().block_on(async {
        let sim = Sim::new(2);
        sim.commit(1, &[("a", 2, "app:1")]);
        let metrics = Mutex::default();
        let rounds = |round: Result<&Converged, &ControlError>| {
            let done = round.expect("no round fails");
            if done.last.taken.kept_because.is_none() {
                sim.repository.set_unreachable(true);
                sim.repository.set_lost(&done.last.taken.desired.revision, true);
                sim.fleet.by_hand(&host(0), |containers| containers.clear());
            }
        };
        sim.run(Duration::from_secs(130), &metrics, &rounds).await;
        assert_eq!(sim.addresses(1).len(), 2, "drift is healed");
        let text = output::open_metrics(&metrics.into_inner().expect("no panic").all(sim.world.clock.now()));
        for line in [
            "trueup_head_not_taken 1\n",
            "trueup_last_round_failed 0\n",
            "trueup_rounds_total{ended=\"error\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    });
}

/// The same over a restart: the state file has the files of what is enforced, and nobody but this installation can have
/// written them (A2, F1).
#[test]
fn a_repository_that_is_gone_takes_nothing_away_over_a_restart() {
    rt().block_on(async {
        let sim = Sim::new(2);
        sim.commit(1, &[("a", 2, "app:1")]);
        let _ = sim.apply().await;
        sim.repository.set_unreachable(true);
        let revision = sim.look().await.taken.desired.revision;
        sim.repository.set_lost(&revision, true);
        let gone = sim.world.clock.now();
        sim.fleet.by_hand(&host(0), |containers| containers.clear());
        sim.run(Duration::from_secs(30), &Mutex::default(), &|round| {
            assert!(round.is_ok(), "no round fails")
        })
        .await;
        assert_eq!(sim.addresses(1).len(), 2, "drift is healed");
        let pass = sim.look().await;
        let why = pass.taken.kept_because.as_deref().expect("told");
        assert!(why.contains("as the state file kept them"), "{why}");
        let status = standing::status(&sim.world, &pass).expect("a status");
        assert_eq!(status.kept_since, Some(gone), "since when");

        // What is named has to be there.
        let named = World { revision: Some(Reference::Commit(revision.to_string())), ..sim.world.clone() };
        let taken = Reader::default().take(&named, false).await;
        assert!(matches!(taken, Err(ControlError::Source(_))), "{taken:?}");

        // Another installation's key, or a hand in the state file.
        let other = World { key: HashKey::new([4; 32]), ..sim.world.clone() };
        assert!(Reader::default().take(&other, false).await.is_err(), "its seal is not ours");
        let kept = sim.world.store.get(Record::Tree, revision.as_str()).expect("read").expect("kept");
        sim.world
            .store
            .put(Record::Tree, revision.as_str(), &kept.replacen("\"tree\":\"e", "\"tree\":\"f", 1))
            .expect("written");
        assert!(Reader::default().take(&sim.world, false).await.is_err(), "it is not as it was written");

        // It is back: nothing more is told, and only what is enforced is kept.
        sim.repository.set_lost(&revision, false);
        sim.repository.set_unreachable(false);
        let _ = sim.apply().await;
        let again = sim.world.store.get(Record::Tree, revision.as_str()).expect("read");
        assert_eq!(again, Some(kept), "written anew, though nothing else changed");
        sim.commit(1, &[("a", 1, "app:1")]);
        let done = sim.apply().await;
        assert_eq!((done.last.taken.kept_because, done.last.taken.kept_since), (None, None));
        let kept = sim.world.store.all(Record::Tree).expect("read");
        assert_eq!(kept.keys().collect::<Vec<_>>(), [done.last.taken.desired.revision.as_str()]);
    });
}

/// D6: while a rollout waits for the health that never comes, its neighbour on the same host, other hosts and its own
/// siblings are healed at once, and a newer commit is not kept waiting (D3).
#[test]
fn a_rollout_that_waits_delays_nobody() {
    const HEALTH: &str = "[health]\ncommand = [\"probe\"]\n";
    rt().block_on(async {
        let sim = Sim::new(2);
        sim.commit_on(3, &[("a", 3, "app:1"), ("b", 3, "app:1")], HEALTH);
        let _ = sim.apply().await;
        sim.settled().await;
        let images = ["app:2".parse().expect("an image"), "app:3".parse().expect("an image")];
        images.iter().for_each(|image| sim.fleet.add_image_everywhere(image));
        let never = Some(Behaviour::Unhealthy("not yet".into()));
        sim.fleet.set_behaviour(&images[0], never);
        sim.commit_on(3, &[("a", 3, "app:2"), ("b", 3, "app:1")], HEALTH);
        let metrics = Mutex::<Metrics>::default();
        let rounds = |round: Result<&Converged, &ControlError>| {
            round.expect("no round fails");
        };
        let clock = Arc::clone(&sim.world.clock);
        let begun = clock.now();
        let place = |name: &str| {
            (0..3).map(host).find(|h| {
                sim.fleet.containers(h).contains_key(&name.parse::<ContainerName>().expect("a name"))
            })
        };
        let runs = |name: &str| {
            let name: ContainerName = name.parse().expect("a name");
            place(name.as_str()).is_some_and(|h| sim.fleet.containers(&h)[&name].state.is_running())
        };
        let story = async {
            clock.sleep(Duration::from_secs(60)).await;
            // One rollout at a time, and it is told.
            let waiting: Vec<_> =
                (0..3).filter(|n| place(&format!("a-test-{n}.trueup-old")).is_some()).collect();
            assert_eq!(waiting, [0], "a-test-0 waits, the others serve");
            let told = output::open_metrics(&metrics.lock().expect("no panic").all(clock.now()));
            assert!(told.contains("trueup_objects{state=\"under_way\"} 1\n"), "{told}");
            let status = standing::status(&sim.world, &sim.look().await).expect("a status");
            assert!(status.under_way.iter().any(|(_, _, step)| step.contains("is healthy")), "{status:?}");
            // A neighbour on the same host, one on another host, and a sibling that has yet to be rolled.
            for victim in ["b-test-0", "b-test-1", "a-test-2"] {
                let (name, on) = (victim.parse().expect("a name"), place(victim).expect("it stands"));
                sim.fleet.by_hand(&on, |all| all.remove::<ContainerName>(&name));
                sim.wake.notify_one();
                let gone = clock.now();
                while !runs(victim) {
                    clock.sleep(Duration::from_millis(100)).await;
                    assert!(
                        clock.now().since(gone).duration() < Duration::from_secs(10),
                        "{victim} is healed at once"
                    );
                }
            }
            // A commit to another app is carried out, and leaves the rollout alone.
            sim.commit_on(3, &[("a", 3, "app:2"), ("b", 4, "app:1")], HEALTH);
            clock.sleep(Duration::from_secs(60)).await;
            assert!(runs("b-test-3"), "carried out beside it");
            assert!(place("a-test-0.trueup-old").is_some(), "still waiting");
            assert!(
                clock.now().since(begun).duration() < Duration::from_secs(280),
                "all of it within the deadline"
            );
            // What is wanted of the app itself overtakes it.
            sim.commit_on(3, &[("a", 3, "app:3"), ("b", 4, "app:1")], HEALTH);
            clock.sleep(Duration::from_secs(100)).await;
        };
        tokio::select! {
            () = sim.run(Duration::from_secs(900), &metrics, &rounds) => panic!("it runs on"),
            () = story => {}
        }
        sim.settled().await;
        assert_eq!(
            sim.fleet
                .tag_of(&sim.fleet.containers(&host(0)).values().next().expect("one").image)
                .map(|t| t.to_string()),
            Some("app:3".into())
        );
        let history = sim.world.store.history(500).expect("a history");
        let by_newer = "a newer revision asks for something else";
        let overtaken = history.iter().filter(|e| e.what == "replace" && e.detail.contains(by_newer));
        assert_eq!(overtaken.count(), 1, "{history:#?}");
        // 60 + 60 + a few seconds after it began, and not its five minutes.
        assert!(clock.now().since(begun).duration() < Duration::from_secs(280));
    });
}

/// C8, D5: looks beside a creation whose answer may be lost do not forget where it is made.
#[test]
fn looks_beside_a_creation_keep_its_note() {
    rt().block_on(async {
        let sim = Sim::new(2);
        sim.commit_on(1, &[("a", 1, "app:1")], "");
        // The call never ends.
        sim.fleet.set_fault(&host(0), Some(Fault::Kill { mutations: 1, after_effect: false }));
        let rounds = Mutex::new(0);
        let told = |round: Result<&Converged, &ControlError>| {
            let round = round.expect("no round fails");
            *rounds.lock().expect("one thread") += round.last.plan.under_way.len();
        };
        let woken = async {
            loop {
                sim.world.clock.sleep(Duration::from_secs(3)).await;
                sim.wake.notify_one();
            }
        };
        let metrics = Mutex::default();
        tokio::select! {
            () = sim.run(Duration::from_secs(20), &metrics, &told) => {}
            () = woken => {}
        }
        assert!(*rounds.lock().expect("one thread") > 2, "it is looked at beside it");
        let noted = Memory::new(&*sim.world.store).last_seen().expect("read");
        assert!(noted.is_on(&"a-test-0".parse().expect("a name"), &host(0)), "{noted:?}");
    });
}

/// D1, D3: old workers are waited for before anything is stopped, and what is overtaken meanwhile stops nothing.
#[test]
fn what_is_overtaken_while_it_drains_takes_nothing_down() {
    rt().block_on(async {
        let mut sim = Sim::new(2);
        let files = Arc::new(SimFiles::default());
        files.set_faults(FilesFaults { old_workers: true, ..FilesFaults::default() });
        sim.world.files = files;
        sim.fleet.add_image_everywhere(&"app:3".parse().expect("an image"));
        sim.commit_on(1, &[("a", 1, "app:1")], "");
        let _ = sim.apply().await;
        sim.settled().await;
        let standing = || {
            let all = sim.fleet.containers(&host(0));
            let name: ContainerName = "a-test-0".parse().expect("a name");
            let image = sim.fleet.tag_of(&all[&name].image).map(|tag| tag.to_string());
            (image.unwrap_or_default(), all[&name].state.is_running())
        };
        sim.commit_on(1, &[("a", 1, "app:2")], "");
        let clock = Arc::clone(&sim.world.clock);
        let story = async {
            clock.sleep(Duration::from_secs(15)).await;
            assert_eq!(sim.fleet.containers(&host(0)).len(), 2, "its successor is there, and it drains");
            sim.commit_on(1, &[("a", 1, "app:3")], "");
            sim.wake.notify_one();
            // The rest of its 30 s, and a part of the newer one's.
            clock.sleep(Duration::from_secs(35)).await;
            assert_eq!(standing(), ("app:1".to_owned(), true));
            let journal = sim.fleet.journal(&host(0));
            let stopped = |words: &String| words.contains("stop");
            assert!(!journal.iter().any(stopped), "nothing was ever taken down: {journal:#?}");
            clock.sleep(Duration::from_secs(60)).await;
            assert_eq!(standing(), ("app:3".to_owned(), true));
        };
        let metrics = Mutex::default();
        tokio::select! {
            () = sim.run(Duration::from_secs(600), &metrics, &|_| {}) => panic!("it runs on"),
            () = story => {}
        }
        sim.settled().await;
        let history = sim.world.store.history(500).expect("a history");
        let overtaken =
            history.iter().filter(|e| e.what == "replace" && e.detail.contains("a newer revision asks"));
        assert_eq!(overtaken.count(), 1, "{history:#?}");
    });
}

/// D6: more rollouts wait on a host than it takes changes at once, and another host hangs in the middle of one.
#[test]
fn waiting_and_hanging_take_nobodys_place() {
    rt().block_on(async {
        let sim = Sim::new(2);
        let apps = |image| ["s1", "s2", "s3", "s4", "s5", "s6"].map(|name| (name, 2, image));
        let with_b = |image| [&apps(image)[..], &[("b", 2, "app:1")]].concat();
        let health = "[health]\ncommand = [\"probe\"]\n";
        sim.commit_on(2, &with_b("app:1"), health);
        let _ = sim.apply().await;
        sim.settled().await;
        let never = Some(Behaviour::Unhealthy("not yet".into()));
        sim.fleet.set_behaviour(&"app:2".parse().expect("an image"), never);
        sim.commit_on(2, &with_b("app:2"), health);
        let clock = Arc::clone(&sim.world.clock);
        let waiting =
            |n| sim.fleet.containers(&host(n)).keys().filter(|name| name.as_str().ends_with("-old")).count();
        let heals = async |victim: &str, n: usize| {
            let name: ContainerName = victim.parse().expect("a name");
            let gone = clock.now();
            sim.fleet.by_hand(&host(n), |all| all.remove(&name)).expect("it stands there");
            sim.wake.notify_one();
            while !sim.fleet.containers(&host(n)).contains_key(&name) {
                clock.sleep(Duration::from_millis(100)).await;
                assert!(
                    clock.now().since(gone).duration() < Duration::from_secs(10),
                    "{victim} is healed at once"
                );
            }
        };
        let story = async {
            clock.sleep(Duration::from_secs(30)).await;
            assert_eq!(waiting(0) + waiting(1), 6, "all six wait");
            heals("b-test-0", 0).await;
            // A host that hangs while changes wait there.
            let (hangs, lives) = if waiting(0) > 0 { (0, 1) } else { (1, 0) };
            sim.fleet.set_fault(&host(hangs), Some(Fault::Hung));
            clock.sleep(Duration::from_secs(20)).await;
            heals(&format!("b-test-{lives}"), lives).await;
            sim.commit_on(2, &with_b("app:1"), health);
            clock.sleep(Duration::from_secs(30)).await;
            assert_eq!(waiting(lives), 0, "the commit is carried out where it can be");
            sim.fleet.set_fault(&host(hangs), None);
            clock.sleep(Duration::from_secs(600)).await;
        };
        let metrics = Mutex::default();
        tokio::select! {
            () = sim.run(Duration::from_secs(3000), &metrics, &|_| {}) => panic!("it runs on"),
            () = story => {}
        }
        sim.settled().await;
        assert_eq!(waiting(0) + waiting(1), 0);
    });
}

/// A2, D6: a repository that takes its whole time to answer holds up nothing that waits for its turn.
#[test]
fn a_repository_that_hangs_holds_up_no_rollout() {
    rt().block_on(async {
        let sim = Sim::new(2);
        sim.commit(2, &[("a", 4, "app:1")]);
        let _ = sim.apply().await;
        sim.commit(2, &[("a", 4, "app:2")]);
        let clock = Arc::clone(&sim.world.clock);
        let rolled = || {
            let all = (0..2).flat_map(|n| sim.fleet.containers(&host(n)).into_values());
            let tags = all.filter_map(|container| sim.fleet.tag_of(&container.image));
            tags.filter(|tag| tag.to_string() == "app:2").count()
        };
        let story = async {
            while rolled() == 0 {
                clock.sleep(Duration::from_millis(100)).await;
            }
            let hung = Duration::from_secs(135);
            sim.repository.set_slow(hung);
            let begun = clock.now();
            while rolled() < 4 {
                clock.sleep(Duration::from_millis(500)).await;
                assert!(clock.now().since(begun).duration() < hung, "{} of 4", rolled());
            }
        };
        let metrics = Mutex::default();
        tokio::select! {
            () = sim.run(Duration::from_secs(3000), &metrics, &|_| {}) => panic!("it runs on"),
            () = story => {}
        }
    });
}

/// D3: a change that failed before and is under way again wakes the loop when it ends, and not each second until then.
#[test]
fn a_second_try_under_way_is_no_reason_to_look_all_the_time() {
    rt().block_on(async {
        let sim = Sim::new(2);
        let health = "[health]\ncommand = [\"probe\"]\n";
        sim.commit_on(2, &[("a", 2, "app:1")], health);
        let _ = sim.apply().await;
        sim.settled().await;
        let never = Some(Behaviour::Unhealthy("not yet".into()));
        sim.fleet.set_behaviour(&"app:2".parse().expect("an image"), never);
        sim.commit_on(2, &[("a", 2, "app:2")], health);
        let clock = Arc::clone(&sim.world.clock);
        let (metrics, failed) = (Mutex::default(), Mutex::new(0));
        let rounds = |round: Result<&Converged, &ControlError>| {
            let outcomes = &round.expect("no round fails").outcomes;
            let ended = outcomes.iter().filter(|(_, o)| matches!(o, Outcome::Failed { .. }));
            *failed.lock().expect("one thread") += ended.count();
        };
        let story = async {
            while *failed.lock().expect("one thread") == 0 {
                clock.sleep(Duration::from_secs(1)).await;
            }
            clock.sleep(Duration::from_secs(30)).await;
            let under_way = standing::status(&sim.world, &sim.look().await).expect("a status").under_way;
            assert_eq!(under_way.len(), 1, "the second try: {under_way:?}");
            let before = sim.repository.asked();
            clock.sleep(Duration::from_secs(100)).await;
            let looks = sim.repository.asked() - before;
            assert!((1..=10).contains(&looks), "{looks} looks in 100 s");
        };
        tokio::select! {
            () = sim.run(Duration::from_secs(3000), &metrics, &rounds) => panic!("it runs on"),
            () = story => {}
        }
    });
}

/// While something is under way a hand elsewhere is looked at as soon as without it, and a crowd of events once a second.
#[test]
fn a_hand_beside_what_is_under_way_is_seen_at_once() {
    rt().block_on(async {
        let sim = Sim::new(2);
        let health = "[health]\ncommand = [\"probe\"]\n";
        sim.commit_on(2, &[("a", 2, "app:1"), ("b", 2, "app:1")], health);
        let _ = sim.apply().await;
        sim.settled().await;
        let never = Some(Behaviour::Unhealthy("not yet".into()));
        sim.fleet.set_behaviour(&"app:2".parse().expect("an image"), never);
        sim.commit_on(2, &[("a", 2, "app:2"), ("b", 2, "app:1")], health);
        let (clock, metrics) = (Arc::clone(&sim.world.clock), Mutex::default());
        let one: ContainerName = "b-test-0".parse().expect("a name");
        let at =
            (0..2).map(host).find(|host| sim.fleet.containers(host).contains_key(&one)).expect("it runs");
        let runs = || sim.fleet.containers(&at).get(&one).is_some_and(|it| it.state.is_running());
        let story = async {
            clock.sleep(Duration::from_secs(30)).await;
            let under_way = standing::status(&sim.world, &sim.look().await).expect("a status").under_way;
            assert_eq!(under_way.len(), 1, "{under_way:?}");
            for _ in 0..5 {
                sim.fleet.by_hand(&at, |containers| containers.remove(&one)).expect("it was there");
                let began = clock.now();
                while !runs() {
                    clock.sleep(Duration::from_millis(10)).await;
                }
                let took = clock.now().since(began).duration();
                assert!(took < Duration::from_millis(500), "seen and healed after {took:?}");
                clock.sleep(Duration::from_secs(7)).await;
            }
            // Somebody's container comes and goes all the time.
            let before = sim.repository.asked();
            for _ in 0..400 {
                sim.fleet.by_hand(&at, |_| {});
                clock.sleep(Duration::from_millis(50)).await;
            }
            let looks = sim.repository.asked() - before;
            assert!((15..=25).contains(&looks), "{looks} looks in 20 s");
        };
        tokio::select! {
            () = sim.run(Duration::from_secs(3000), &metrics, &|_| {}) => panic!("it runs on"),
            () = story => {}
        }
    });
}

/// Engines that come and go are no reason to repeat an error sooner than it is due.
#[test]
fn an_error_of_the_line_waits_whatever_engines_tell() {
    rt().block_on(async {
        let sim = Sim::new(2);
        sim.commit(2, &[("a", 1, "app:1")]);
        let (metrics, failed) = (Mutex::default(), Mutex::new(Vec::new()));
        let rounds = |round: Result<&Converged, &ControlError>| match round {
            Ok(_) => {
                // What was applied cannot be read any more, and streams of events end and are opened again.
                let lost = Applied::all(&Revision::new("0".repeat(40)));
                Memory::new(&*sim.world.store).set_applied(&lost).expect("written");
                sim.fleet.set_fault(&host(1), Some(Fault::Down));
            }
            Err(_) => failed.lock().expect("one thread").push(sim.world.clock.now()),
        };
        let span = Duration::from_secs(100);
        sim.run(span, &metrics, &rounds).await;
        let failed = failed.into_inner().expect("one thread");
        assert!(failed.len() > 3, "it is tried again: {failed:?}");
        let soon = |pair: &[Timestamp]| pair[1].since(pair[0]).duration() < Duration::from_secs(10);
        assert!(!failed.windows(2).any(soon), "each waits for its pause: {failed:?}");
        // Ages go on, and the page for machines says since when nothing came of it.
        let metrics = metrics.into_inner().expect("no panic");
        let number = |name: &str| {
            let text = output::open_metrics(&metrics.all(sim.world.clock.now()));
            let line =
                text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
            line.and_then(|line| line.parse::<f64>().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
        };
        assert_eq!(number("trueup_last_round_failed"), 1.0);
        assert!(number("trueup_revision_age_seconds") >= 100.0);
        let now = sim.world.clock.now().since(Timestamp(0)).duration().as_secs_f64();
        assert!(now - number("trueup_last_round_timestamp_seconds") > 50.0);
    });
}

/// The streams are opened after the first look: a hand in between is told by no event, and seen all the same.
#[test]
fn a_hand_between_the_first_look_and_the_streams_is_healed_at_once() {
    rt().block_on(async {
        let mut sim = Sim::new(5);
        sim.commit(2, &[("a", 4, "app:1")]);
        let _ = sim.apply().await;
        // No look without a reason.
        sim.world.limits.relist = TimeSpan::from_secs(3600);
        sim.fleet.set_latency(Duration::from_millis(200));
        let rounds = Mutex::new(0);
        let told = |_: Result<&Converged, &ControlError>| {
            let mut rounds = rounds.lock().expect("a lock");
            *rounds += 1;
            if *rounds == 1 {
                sim.fleet.by_hand(&host(1), |containers| containers.clear());
            }
        };
        sim.run(Duration::from_secs(10), &Mutex::default(), &told).await;
        assert_eq!(sim.addresses(2).len(), 4, "healed");
        let before = *rounds.lock().expect("a lock");
        sim.run(Duration::from_secs(3000), &Mutex::default(), &|_| *rounds.lock().expect("a lock") += 1)
            .await;
        let looks = *rounds.lock().expect("a lock") - before;
        assert!((1..=3).contains(&looks), "and then nobody looks: {looks}");
    });
}

#[test]
fn the_loop_heals_while_swarm_is_at_a_slow_update() {
    rt().block_on(async {
        let sim = Sim::new(2);
        sim.fleet.start_swarm("s", &[host(0)], &[]);
        let commit = |image: &str| {
            let host = "[host.h0]\naddress = \"192.0.2.1\"\nengine = \"sim://\"\nenvironments = [\"test\"]\nswarm = \"s\"\n";
            let fleet = "fleet = \"sim\"\nenvironments = [\"test\"]\n[swarm.s]\nmanagers = [\"h0\"]\n";
            let slow = format!(
                "app = \"slow\"\nenvironments = [\"test\"]\nimage = \"{image}\"\nruntime = \"swarm\"\nreplicas = 3\n\
                 [swarm.update]\ndelay = \"2m\"\n"
            );
            let beside = "app = \"beside\"\nenvironments = [\"test\"]\nimage = \"app:1\"\n";
            sim.repository.commit(&BTreeMap::from([
                ("fleet.toml".to_owned(), fleet.to_owned()),
                ("hosts/all.toml".to_owned(), host.to_owned()),
                ("apps/slow/app.toml".to_owned(), slow),
                ("apps/beside/app.toml".to_owned(), beside.to_owned()),
            ]));
        };
        commit("app:1");
        let _ = sim.apply().await;
        commit("app:2");
        let (stop, wake) = (Stop::default(), Arc::new(Notify::new()));
        let story = async {
            sim.world.clock.sleep(Duration::from_secs(20)).await;
            sim.fleet.by_hand(&host(0), |containers| containers.clear());
            wake.notify_one();
            sim.world.clock.sleep(Duration::from_secs(5)).await;
            let alive = sim.fleet.by_hand(&host(0), |all| all.values().filter(|c| c.state.is_running()).count());
            let swarm = sim.fleet.swarm("s", &host(0)).expect("the Swarm");
            let live = swarm.services["slow-test"].known().expect("the service");
            let state = live.update.as_ref().map(|update| update.state);
            assert_eq!((alive, state), (1, Some(UpdateState::Updating)));
            // Asked to end, it ends, and nothing has failed.
            stop.set();
        };
        let reporting = Reporting::new(Vec::new(), Arc::new(ReportsOut));
        let (metrics, told) = (Mutex::default(), |_: Result<&Converged, &ControlError>| {});
        let run = run::run(&sim.world, &stop, wake.clone(), &reporting, &metrics, &told);
        let (ended, ()) = tokio::join!(run, story);
        ended.expect("it ran");
        let history = sim.world.store.history(100).expect("the history");
        assert!(history.iter().all(|entry| !entry.detail.contains("FAILED")), "{history:#?}");
    });
}
