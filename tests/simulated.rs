//! The whole line on the simulated fleet: converges, stays converged, is deterministic, and keeps the safety rules
//! under faults (A1, B1, D5, D6).

#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use trueup::apply::Stop;
use trueup::control::World;
use trueup::control::converge::{Converged, Scope, converge};
use trueup::control::pass::{self, Pass};
use trueup::control::revision::Reader;
use trueup::model::names::{ContainerName, HostName};
use trueup::model::secrecy::HashKey;
use trueup::model::settings::Limits;
use trueup::model::units::TimeSpan;
use trueup::ports::Quiet;
use trueup::sim::{Fault, SimClock, SimFiles, SimRepository, SimSandbox, SimStore, SimWorld};

struct Sim {
    fleet: SimWorld,
    repository: Arc<SimRepository>,
    world: World,
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
        Self { fleet, repository, world }
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
