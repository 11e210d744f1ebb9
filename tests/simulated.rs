//! The whole line on the simulated fleet: converges, stays converged, is deterministic, and keeps the safety rules
//! under faults (A1, B1, D5, D6).

#![allow(clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::Notify;
use trueup::adapter::reports::ReportsOut;
use trueup::apply::Stop;
use trueup::control::baseline::Applied;
use trueup::control::collect;
use trueup::control::converge::{Converged, Scope, converge};
use trueup::control::memory::Memory;
use trueup::control::metrics::Metrics;
use trueup::control::pass::{self, Pass};
use trueup::control::report;
use trueup::control::reporting::Reporting;
use trueup::control::revision::Reader;
use trueup::control::{ControlError, World, run, standing};
use trueup::model::container::ContainerSpec;
use trueup::model::disk::PulledImage;
use trueup::model::drift::{Kind, Subject};
use trueup::model::image::ImageRef;
use trueup::model::names::{ContainerName, HostName, Revision};
use trueup::model::plan::{Action, Outcome, Verb};
use trueup::model::secrecy::HashKey;
use trueup::model::settings::{Limits, Reference};
use trueup::model::swarm::UpdateState;
use trueup::model::units::{TimeSpan, Timestamp};
use trueup::output::{self, Standing};
use trueup::ports::{Quiet, Record};
use trueup::sim::{
    Behaviour, Fault, FilesFaults, SimClock, SimFiles, SimRepository, SimSandbox, SimStore, SimWorld,
};

struct Sim {
    fleet: SimWorld,
    repository: Arc<SimRepository>,
    world: World,
    /// A person's, who wants the loop to look now.
    wake: Arc<Notify>,
}

fn host(n: usize) -> HostName {
    format!("h{n}").parse().expect("a name")
}

impl Sim {
    fn new(seed: u64) -> Self {
        let key = HashKey::new([3; 32]);
        let fleet = SimWorld::new(key.clone(), seed);
        fleet.add_image_everywhere(&"app:1".parse().expect("an image"));
        fleet.add_image_everywhere(&"app:2".parse().expect("an image"));
        let repository = Arc::new(SimRepository::default());
        let world = World {
            engines: fleet.engines(),
            repository: repository.clone(),
            files: Arc::new(SimFiles::default()),
            store: Arc::new(SimStore::default()),
            sandbox: Arc::new(SimSandbox::default()),
            clock: Arc::new(SimClock::default()),
            progress: Arc::new(Quiet),
            installation: "sim".into(),
            key,
            limits: Limits::default(),
            permission: Default::default(),
            policy: trueup::model::policy::PolicySettings::default(),
            call_deadline: TimeSpan::from_secs(5),
            pull_deadline: TimeSpan::from_secs(60),
            environments: None,
            revision: None,
        };
        Self { fleet, repository, world, wake: Arc::default() }
    }

    fn commit(&self, hosts: usize, apps: &[(&str, u32, &str)]) {
        self.commit_on(hosts, apps, "[network.lan]\npool = \"all\"\n");
    }

    fn commit_on(&self, hosts: usize, apps: &[(&str, u32, &str)], network: &str) {
        let mut files = BTreeMap::from([(
            "fleet.toml".to_owned(),
            "fleet = \"sim\"\nenvironments = [\"test\"]\n".to_owned(),
        )]);
        let declared: String = (0..hosts)
            .map(|n| {
                format!(
                    "[host.h{n}]\naddress = \"192.0.2.{}\"\nengine = \"sim://\"\nenvironments = [\"test\"]\nlabels = {{ zone = \"z{}\" }}\n",
                    n + 1,
                    n % 2
                )
            })
            .collect();
        files.insert("hosts/all.toml".into(), declared);
        files.insert(
            "networks/lan.toml".into(),
            "[network.lan]\ndriver = \"macvlan\"\nsubnet = \"198.51.100.0/24\"\nparent = \"eth0\"\npools = { all = \"198.51.100.10-198.51.100.99\" }\n".into(),
        );
        for (name, replicas, image) in apps {
            files.insert(
                format!("apps/{name}/app.toml"),
                format!(
                    "app = \"{name}\"\nenvironments = [\"test\"]\nimage = \"{image}\"\nreplicas = {replicas}\n[place]\nspread = \"zone\"\n\
                     {network}[rollout]\nmin_healthy = \"1s\"\n[upstream]\nport = 80\n"
                ),
            );
        }
        self.repository.commit(&files);
    }

    async fn apply(&self) -> Converged {
        let (stop, agree) = (Stop::default(), |_: &Pass| true);
        let scope = Scope::of_a_person(&agree, &stop);
        converge(&self.world, &Reader::default(), &scope).await.expect("an apply")
    }

    async fn look(&self) -> Pass {
        let taken = Reader::default().take(&self.world, false).await.expect("a revision");
        pass::look(&self.world, taken, false).await.expect("a look")
    }

    async fn settled(&self) {
        let pass = self.look().await;
        let plan = &pass.plan;
        assert!(plan.changes.is_empty() && plan.drift.is_empty(), "a second plan is not empty: {plan:#?}");
    }

    /// The loop for so long.
    async fn run(
        &self,
        span: Duration,
        metrics: &Mutex<Metrics>,
        told: &(dyn Fn(Result<&Converged, &ControlError>) + Send + Sync),
    ) {
        let (stop, reporting) = (Stop::default(), Reporting::new(Vec::new(), Arc::new(ReportsOut)));
        let wake = Arc::clone(&self.wake);
        tokio::select! {
            ended = run::run(&self.world, &stop, wake, &reporting, metrics, told) => ended.expect("a run"),
            () = self.world.clock.sleep(span) => {}
        }
    }

    /// Every address that running containers hold, with its holders.
    fn addresses(&self, hosts: usize) -> BTreeMap<String, Vec<String>> {
        let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for n in 0..hosts {
            self.fleet.by_hand(&host(n), |containers| {
                for container in containers.values().filter(|c| c.state.is_running()) {
                    for address in container.live.networks.values().filter_map(|a| a.address) {
                        held.entry(address.to_string()).or_default().push(container.name.to_string());
                    }
                }
            });
        }
        held
    }
}

fn rt() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

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
        assert_eq!(noted.get(&"a-test-0".parse().expect("a name")), Some(&host(0)));
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
