//! The whole line on the simulated fleet: converges, stays converged, is deterministic, and keeps the safety rules
//! under faults (A1, B1, D5, D6).

#![allow(clippy::expect_used, clippy::panic)]

mod simulation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;
use simulation::{Sim, host, rt};
use trueup::apply::Stop;
use trueup::control::collect::{self, Pulls};
use trueup::control::converge::{Scope, converge};
use trueup::control::memory::Memory;
use trueup::control::metrics::Metrics;
use trueup::control::pass::{self, Pass};
use trueup::control::report;
use trueup::control::revision::Reader;
use trueup::control::standing;
use trueup::model::container::{Attachment, ContainerSpec, Networks};
use trueup::model::disk::PulledImage;
use trueup::model::drift::{Kind, Subject};
use trueup::model::image::ImageRef;
use trueup::model::names::ContainerName;
use trueup::model::plan::{Action, Change, Expect, Outcome, Step, Verb};
use trueup::model::units::Timestamp;
use trueup::output::{self, Standing};
use trueup::sim::Fault;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is declared, one apply brings it about, a second plan is empty, and no address has two owners (C1).
    #[test]
    fn converges_and_then_has_nothing_to_do(hosts in 1usize..5, a in 1u32..6, b in 0u32..4, seed in 0u64..1000) {
        rt().block_on(async {
            let sim = Sim::new(seed);
            sim.commit(hosts, &[("a", a, "app:1"), ("b", b, "app:1")]);
            let _ = sim.apply().await;
            sim.settled().await;
            sim.commit(hosts, &[("a", a, "app:2"), ("b", b, "app:1")]);
            let _ = sim.apply().await;
            sim.settled().await;
            let held = sim.addresses(hosts);
            assert_eq!(held.len(), (a + b) as usize, "{held:?}");
            assert!(held.values().all(|holders| holders.len() == 1), "{held:?}");
        });
    }

    /// The same world gives the same plan, byte for byte.
    #[test]
    fn plans_are_deterministic(hosts in 1usize..5, a in 1u32..6, seed in 0u64..1000) {
        let once = || rt().block_on(async {
            let sim = Sim::new(seed);
            sim.commit(hosts, &[("a", a, "app:1"), ("b", 2, "app:2")]);
            serde_json::to_string(&sim.look().await.plan).expect("JSON")
        });
        assert_eq!(once(), once());
    }

    /// An engine that breaks its connection at any mutation, before or after the effect: afterwards one apply is enough,
    /// without an orphan, a duplicate or anything forgotten (D5).
    #[test]
    fn a_cut_at_any_mutation_is_recovered_from(mutations in 1u32..14, after_effect: bool, replace: bool) {
        rt().block_on(async {
            let sim = Sim::new(1);
            sim.commit(1, &[("a", 2, "app:1")]);
            if replace {
                let _ = sim.apply().await;
                sim.commit(1, &[("a", 2, "app:2")]);
            }
            sim.fleet.set_fault(&host(0), Some(Fault::Cut { mutations, after_effect }));
            let _ = sim.apply().await;
            sim.fleet.set_fault(&host(0), None);
            let _ = sim.apply().await;
            sim.settled().await;
            let names: Vec<String> = sim.fleet.by_hand(&host(0), |all| all.keys().map(ToString::to_string).collect());
            assert_eq!(names, ["a-test-0", "a-test-1"]);
        });
    }

    /// The loop is killed at any moment of what it has under way, twice: afterwards one apply is enough (D5).
    #[test]
    fn the_loop_killed_at_any_moment_is_recovered_from(first in 0u64..40_000, second in 0u64..40_000, seed in 0u64..1000) {
        rt().block_on(async {
            let sim = Sim::new(seed);
            sim.commit(2, &[("a", 3, "app:1"), ("b", 2, "app:1")]);
            let _ = sim.apply().await;
            sim.commit(2, &[("a", 3, "app:2"), ("b", 3, "app:1")]);
            sim.run(Duration::from_millis(first / 2), &Mutex::default(), &|_| {}).await;
            sim.commit(2, &[("a", 2, "app:1"), ("b", 3, "app:2")]);
            sim.run(Duration::from_millis(second / 2), &Mutex::default(), &|_| {}).await;
            let held = sim.addresses(2);
            assert!(held.values().all(|holders| holders.len() == 1), "{held:?}");
            let _ = sim.apply().await;
            sim.settled().await;
            let names: usize = (0..2).map(|n| sim.fleet.containers(&host(n)).len()).sum();
            assert_eq!(names, 5, "no orphan and no duplicate");
            assert_eq!(sim.addresses(2).len(), 5);
        });
    }

    /// A host that cannot be asked is not touched, and what may run there is started nowhere else (A1, C8).
    #[test]
    fn unknown_never_mutates(hosts in 2usize..5, replicas in 2u32..8, silent in 0usize..2) {
        rt().block_on(async {
            let sim = Sim::new(5);
            sim.commit(hosts, &[("a", replicas, "app:1")]);
            let _ = sim.apply().await;
            let before: Vec<_> = (0..hosts).map(|n| sim.fleet.journal(&host(n)).len()).collect();
            sim.fleet.set_fault(&host(silent), Some(Fault::Down));
            sim.fleet.by_hand(&host(silent), |containers| containers.clear());
            let done = sim.apply().await;
            assert_eq!(done.last.plan.exit_code(), 3);
            let after: Vec<_> = (0..hosts).map(|n| sim.fleet.journal(&host(n)).len()).collect();
            assert_eq!(before, after, "nothing was done anywhere");
        });
    }

    /// What is not ours stays, whatever it is called and whatever is declared or taken away (B1, B2).
    #[test]
    fn unowned_is_never_touched(copies in 1usize..4, replicas in 0u32..4) {
        rt().block_on(async {
            let sim = Sim::new(9);
            sim.commit(1, &[("a", 2, "app:1")]);
            let _ = sim.apply().await;
            let foreign: Vec<ContainerName> =
                (0..copies).map(|n| format!("foreign-test-{n}").parse().expect("a name")).collect();
            sim.fleet.by_hand(&host(0), |containers| {
                let template = containers.values().next().expect("one").clone();
                for name in &foreign {
                    // Labels and all: a copied label owns nothing.
                    let mut copy = template.clone();
                    copy.name = name.clone();
                    copy.live.networks.clear();
                    containers.insert(name.clone(), copy);
                }
            });
            sim.commit(1, &[("a", replicas, "app:2")]);
            let _ = sim.apply().await;
            let left = sim.fleet.by_hand(&host(0), |all| foreign.iter().filter(|name| all.contains_key(*name)).count());
            assert_eq!(left, copies);
        });
    }
}

#[test]
fn a_hung_host_delays_nobody() {
    rt().block_on(async {
        let sim = Sim::new(2);
        // Without leases: while a host is silent, no address of a shared segment is granted anew (C1).
        sim.commit_on(3, &[("a", 6, "app:1")], "");
        let _ = sim.apply().await;
        sim.fleet.set_fault(&host(1), Some(Fault::Hung));
        sim.fleet.by_hand(&host(0), |containers| containers.clear());
        let began = sim.world.clock.now();
        let done = sim.apply().await;
        let soon = |c: &&trueup::model::observed::Container| {
            c.state.is_running() && c.created.since(began).duration() < Duration::from_secs(5)
        };
        let alive = sim.fleet.by_hand(&host(0), |all| all.values().filter(soon).count());
        assert_eq!(alive, 2, "the host that answers was healed: {:#?}", done.last.plan);
    });
}

/// D6: a host that hung already in the look is not waited for again.
#[test]
fn image_stores_of_hosts_that_answer_are_read_whoever_hangs() {
    rt().block_on(async {
        let sim = Sim::new(4);
        sim.commit_on(3, &[("a", 3, "app:1")], "");
        let _ = sim.apply().await;
        let (memory, at) = (Memory::new(&*sim.world.store), sim.world.clock.now());
        let pulled = PulledImage { reference: "app:1".parse().expect("an image"), at, last_used: at };
        let id = format!("sha256:{}", "0".repeat(64)).parse().expect("a digest");
        for n in 0..3 {
            memory.note_pulled(&host(n), &id, &pulled).expect("noted");
        }
        sim.fleet.set_fault(&host(0), Some(Fault::Hung));
        let pass = sim.look().await;
        let stores = collect::read(&sim.world, &pass).await.expect("what is remembered");
        assert_eq!(stores.hosts.values().map(Result::is_ok).collect::<Vec<_>>(), [false, true, true]);
        // Of what is not there any more nothing is remembered; what was pulled after the stores were read may be there.
        sim.world.clock.sleep(Duration::from_secs(10)).await;
        let at = sim.world.clock.now();
        memory.note_pulled(&host(2), &id, &PulledImage { at, last_used: at, ..pulled }).expect("noted");
        collect::judge(&sim.world, &pass, stores, &sim.world.limits.images).expect("judged");
        let left = memory.pulled().expect("remembered");
        assert_eq!(left.keys().map(|(on, _)| on.clone()).collect::<Vec<_>>(), [host(0), host(2)]);
    });
}

#[test]
fn git_down_keeps_the_last_good_revision_enforced() {
    rt().block_on(async {
        let sim = Sim::new(2);
        sim.commit(1, &[("a", 2, "app:1")]);
        let _ = sim.apply().await;
        sim.repository.set_unreachable(true);
        sim.fleet.by_hand(&host(0), |containers| containers.clear());
        let done = sim.apply().await;
        assert!(done.last.taken.kept_because.is_some());
        assert_eq!(sim.addresses(1).len(), 2, "healed without git (A2)");
    });
}

#[test]
fn every_declared_app_has_its_numbers_though_nothing_of_it_runs() {
    rt().block_on(async {
        let sim = Sim::new(2);
        sim.commit(2, &[("a", 2, "app:1"), ("b", 1, "app:1")]);
        let _ = sim.apply().await;
        sim.fleet.set_fault(&host(0), Some(Fault::Down));
        sim.fleet.set_fault(&host(1), Some(Fault::Down));
        let done = sim.apply().await;
        let mut metrics = Metrics::default();
        metrics.round(&sim.world, &done, Duration::ZERO);
        let text = output::open_metrics(&metrics.all(sim.world.clock.now()));
        for app in ["a", "b"] {
            let line = format!("trueup_instances_running{{app=\"{app}\",env=\"test\"}} 0\n");
            assert!(text.contains(&line), "{line} is not in {text}");
        }
    });
}

/// What cannot be read makes its own app unknown, and no other whose name begins alike.
#[test]
fn an_unreadable_container_is_its_own_apps() {
    rt().block_on(async {
        let sim = Sim::new(2);
        sim.commit(1, &[("a", 1, "app:1"), ("a-test", 1, "app:1")]);
        let _ = sim.apply().await;
        let unreadable = ["a-test-test-0".parse().expect("a name")].into();
        sim.fleet.set_unreadable(&host(0), unreadable);
        let status = standing::status(&sim.world, &sim.look().await).expect("a status");
        let of = |app: &str| &status.apps[&app.parse().expect("a key")];
        assert_eq!(of("a-test"), &Standing::InSync);
        assert!(matches!(of("a-test-test"), Standing::Unknown(_)), "{:?}", status.apps);
    });
}

/// A process that judges one environment calls nothing foreign that another one owns or takes over (A4, B1, B4).
#[test]
fn what_another_environment_owns_is_not_foreign() {
    rt().block_on(async {
        let mut sim = Sim::new(2);
        let app = |environment: &str, more: &str| {
            format!("environments = [\"{environment}\"]\nimage = \"app:1\"\n{more}[rollout]\nmin_healthy = \"1s\"\n")
        };
        let files = [
            ("fleet.toml", "fleet = \"sim\"\nenvironments = [\"test\", \"prod\"]\n".to_owned()),
            (
                "hosts/all.toml",
                "[host.h0]\naddress = \"192.0.2.1\"\nengine = \"sim://\"\nenvironments = [\"test\", \"prod\"]\n"
                    .to_owned(),
            ),
            ("apps/web/app.toml", format!("app = \"web\"\n{}", app("prod", ""))),
            ("apps/shop/app.toml", format!("app = \"shop\"\n{}", app("prod", "adopt = { 0 = \"the-shop@h0\" }\n"))),
            ("apps/quote/app.toml", format!("app = \"quote\"\n{}", app("test", ""))),
        ];
        sim.repository.commit(&files.map(|(path, text)| (path.to_owned(), text)).into());
        let image: ImageRef = "app:1".parse().expect("an image");
        for name in ["the-shop", "debug-me"] {
            let name: ContainerName = name.parse().expect("a name");
            let spec = Box::new(ContainerSpec::of(image.clone()));
            let create = Action::CreateContainer { name: name.clone(), spec, labels: BTreeMap::new() };
            for action in [create, Action::StartContainer { name }] {
                sim.fleet.perform_by_hand(&host(0), &action).expect("a hand");
            }
        }
        let _ = sim.apply().await;
        for environments in [None, Some(BTreeSet::from(["test".parse().expect("a name")]))] {
            sim.world.environments = environments;
            let pass = sim.look().await;
            let report = report::report(&sim.world, &pass, Timestamp(0)).expect("a report");
            let names: Vec<&str> = report.foreign.iter().map(|thing| thing.subject.name.as_str()).collect();
            assert_eq!(names, ["debug-me"]);
            assert!(pass.plan.unmanaged.is_empty() && pass.plan.drift.is_empty(), "{:?}", pass.plan);
        }
    });
}

/// An app on the network, whose MTU is `mtu`.
fn on_a_network(sim: &Sim, mtu: u32) {
    let lan = format!(
        "[network.lan]\nsubnet = \"198.51.100.0/24\"\noptions = {{ \"com.docker.network.driver.mtu\" = \"{mtu}\" }}\n"
    );
    let files = [
        ("fleet.toml", "fleet = \"sim\"\nenvironments = [\"test\"]\n"),
        (
            "hosts/all.toml",
            "[host.h0]\naddress = \"192.0.2.1\"\nengine = \"sim://\"\nenvironments = [\"test\"]\n",
        ),
        ("networks/lan.toml", &lan),
        (
            "apps/web/app.toml",
            "app = \"web\"\nenvironments = [\"test\"]\nimage = \"app:1\"\nreplicas = 2\n[network.lan]\n\
             [rollout]\nmin_healthy = \"1s\"\n",
        ),
    ];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    sim.repository.commit(&BTreeMap::from(files));
}

/// Names of the containers on the network.
fn on_it(sim: &Sim) -> Vec<String> {
    let all = sim.fleet.containers(&host(0));
    let on = all.values().filter(|c| c.live.networks.contains_key("lan"));
    on.map(|c| c.name.to_string()).collect()
}

#[test]
fn a_network_that_an_endpoint_without_a_container_keeps_cuts_nobody_off() {
    rt().block_on(async {
        let sim = Sim::new(5);
        on_a_network(&sim, 1400);
        let _ = sim.apply().await;
        sim.settled().await;
        let (done, on) = (sim.fleet.journal(&host(0)), on_it(&sim));
        assert_eq!(on, ["web-test-0", "web-test-1"]);
        sim.fleet.set_phantoms(&host(0), "lan", BTreeSet::from(["long-gone".to_owned()]));
        on_a_network(&sim, 1300);
        let told = format!("{:?}", sim.apply().await.outcomes);
        assert!(told.contains("long-gone"), "{told}");
        assert_eq!(sim.fleet.journal(&host(0)), done, "nobody was taken off");
        sim.fleet.set_phantoms(&host(0), "lan", BTreeSet::new());
        let _ = sim.apply().await;
        assert_eq!(on_it(&sim), on);
        sim.settled().await;
    });
}

/// B1: somebody's container that is stopped could not be started again; an engine would not mind.
#[test]
fn a_network_on_which_somebody_put_a_container_since_the_look_stays() {
    rt().block_on(async {
        let sim = Sim::new(5);
        on_a_network(&sim, 1400);
        let _ = sim.apply().await;
        sim.settled().await;
        let done = sim.fleet.journal(&host(0));
        on_a_network(&sim, 1300);
        let theirs: ContainerName = "backup".parse().expect("a name");
        let put = |_: &Pass| {
            let mut spec = Box::new(ContainerSpec::of("app:1".parse().expect("an image")));
            let on = ("lan".parse().expect("a name"), Attachment::default());
            spec.networks = Networks::Named(BTreeMap::from([on]));
            let create = Action::CreateContainer { name: theirs.clone(), spec, labels: BTreeMap::new() };
            let _ = sim.fleet.perform_by_hand(&host(0), &create);
            true
        };
        let (stop, reader) = (Stop::default(), Reader::default());
        let done_by =
            converge(&sim.world, &reader, &Scope::of_a_person(&put, &stop)).await.expect("an apply");
        let told = format!("{:?}", done_by.outcomes);
        assert!(told.contains("backup on network lan could not be started without it"), "{told}");
        assert_eq!(sim.fleet.journal(&host(0)), done, "nobody was taken off");
        let start = Action::StartContainer { name: theirs };
        sim.fleet.perform_by_hand(&host(0), &start).expect("it starts as ever");
    });
}

#[test]
fn a_connect_whose_answer_was_lost_is_done() {
    rt().block_on(async {
        let sim = Sim::new(6);
        on_a_network(&sim, 1400);
        let _ = sim.apply().await;
        on_a_network(&sim, 1300);
        // Two are taken off, the network goes and is made: the fifth mutation connects the first again.
        sim.fleet.set_away_for(&host(0), Some(Duration::from_secs(3)));
        sim.fleet.set_fault(&host(0), Some(Fault::Cut { mutations: 5, after_effect: true }));
        let told = format!("{:?}", sim.apply().await.outcomes);
        assert!(!told.contains("Failed"), "{told}");
        let connects = sim.fleet.journal(&host(0)).into_iter().filter(|step| step.starts_with("connect"));
        assert_eq!(connects.count(), 2, "each once: {:?}", sim.fleet.journal(&host(0)));
        sim.settled().await;
    });
}

#[test]
fn a_drained_host_is_left_gracefully_and_everything_stands_elsewhere() {
    rt().block_on(async {
        let sim = Sim::new(2);
        sim.commit(2, &[("a", 4, "app:1")]);
        let _ = sim.apply().await;
        let tree = sim.look().await;
        assert_eq!(tree.desired.hosts.len(), 2);
        let head = "fleet = \"sim\"\nenvironments = [\"test\"]\n";
        let hosts = "[host.h0]\naddress = \"192.0.2.1\"\nengine = \"sim://\"\nenvironments = [\"test\"]\ndrain = true\n\
                     [host.h1]\naddress = \"192.0.2.2\"\nengine = \"sim://\"\nenvironments = [\"test\"]\n";
        let app = "app = \"a\"\nenvironments = [\"test\"]\nimage = \"app:1\"\nreplicas = 4\n";
        sim.repository.commit(&BTreeMap::from([
            ("fleet.toml".to_owned(), head.to_owned()),
            ("hosts/all.toml".to_owned(), hosts.to_owned()),
            ("apps/a/app.toml".to_owned(), app.to_owned()),
        ]));
        let _ = sim.apply().await;
        sim.settled().await;
        let on = |n| sim.fleet.by_hand(&host(n), |all| all.len());
        assert_eq!((on(0), on(1)), (0, 4));
    });
}

/// D3, D7: a process that looks at one environment knows nothing of what was set apart, or waits, in another.
#[test]
fn what_is_set_apart_elsewhere_stays_so() {
    rt().block_on(async {
        let mut sim = Sim::new(2);
        sim.commit(2, &[("a", 1, "app:1")]);
        let _ = sim.apply().await;
        let elsewhere = Subject::on_host(Kind::Container, "web-prod-0", &host(0));
        let here = Subject::on_host(Kind::Container, "a-test-0", &host(0));
        {
            let memory = Memory::new(&*sim.world.store);
            for subject in [&elsewhere, &here] {
                memory.quarantine(subject, "promise", "it goes round").expect("noted");
            }
        }
        let test = "test".parse().expect("an environment");
        sim.world.environments = Some(BTreeSet::from([test]));
        let status = standing::status(&sim.world, &sim.look().await).expect("a status");
        assert_eq!(status.quarantined.keys().collect::<Vec<_>>(), [&here.to_string()]);
        let _ = sim.apply().await;
        let left = Memory::new(&*sim.world.store).quarantined().expect("read");
        assert_eq!(
            left.keys().collect::<Vec<_>>(),
            [&elsewhere.to_string()],
            "and what came to rest here is free"
        );
    });
}

/// B3: what may have been taken away counts as taken away, though no engine says so.
#[test]
fn a_removal_whose_answers_are_all_lost_is_counted() {
    rt().block_on(async {
        for (after_effect, sent) in [(true, 2), (false, 2), (false, 0)] {
            let sim = Sim::new(2);
            sim.commit_on(1, &[("a", 6, "app:1"), ("b", 1, "app:1")], "");
            let _ = sim.apply().await;
            sim.commit_on(1, &[("a", 6, "app:1")], "");
            // The stop is answered for, and the removal is not; or nothing is sent at all.
            let fault = if sent > 0 { Fault::Cut { mutations: sent, after_effect } } else { Fault::Down };
            let taken = Reader::default().take(&sim.world, true).await.expect("a revision");
            let pass = pass::look(&sim.world, taken, true).await.expect("a look");
            assert!(pass.plan.changes.iter().any(|c| c.destructive && c.action == Verb::Remove));
            sim.fleet.set_fault(&host(0), Some(fault));
            let _ = sim.apply().await;
            let revision = &pass.taken.desired.revision;
            let counted = Memory::new(&*sim.world.store).destroyed(revision, sim.world.clock.now());
            assert_eq!(counted.expect("read"), usize::from(sent > 0), "{after_effect} {sent}");
        }
    });
}

/// An engine that hangs after its pull keeps nobody else's from being noted (D6).
#[test]
fn what_was_pulled_is_noted_beside_an_engine_that_hangs() {
    rt().block_on(async {
        let sim = Sim::new(5);
        sim.commit(2, &[("a", 2, "app:1")]);
        let pass = sim.look().await;
        let one = pass.plan.changes.first().expect("a change");
        let image: ImageRef = "app:1".parse().expect("an image");
        let of = |n: usize| {
            let action = Action::PullImage { image: image.clone() };
            let steps = vec![Step { action, expect: Expect::Anything }];
            Change { subject: Subject::on_host(Kind::Image, &image, &host(n)), steps, ..one.clone() }
        };
        sim.fleet.set_fault(&host(0), Some(Fault::Hung));
        let (ended, heard) = Pulls::new();
        for change in [of(0), of(1)] {
            ended.ended(&change, &Outcome::Done);
        }
        drop(ended);
        let noting = collect::note_pulls(&sim.world, &pass, heard);
        let noted =
            || Memory::new(&*sim.world.store).pulled().expect("notes").into_keys().collect::<Vec<_>>();
        tokio::select! {
            () = noting => panic!("the hung engine said something"),
            () = sim.world.clock.sleep(Duration::from_secs(1)) => {}
        }
        assert!(matches!(&noted()[..], [(at, _)] if *at == host(1)), "{:?}", noted());
    });
}
