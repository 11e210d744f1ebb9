//! A small simulated fleet with the whole line on it: commit, look, apply, and the loop.

#![allow(dead_code)]

pub mod frozen;
pub mod meanwhile;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use trueup::adapter::reports::ReportsOut;
use trueup::apply::Stop;
use trueup::control::converge::{Converged, Scope, converge};
use trueup::control::metrics::Metrics;
use trueup::control::pass::{self, Pass};
use trueup::control::reporting::Reporting;
use trueup::control::revision::Reader;
use trueup::control::{ControlError, World, run};
use trueup::model::names::HostName;
use trueup::model::secrecy::HashKey;
use trueup::model::settings::Limits;
use trueup::model::units::TimeSpan;
use trueup::ports::{Quiet, Repository};
use trueup::sim::{SimClock, SimFiles, SimRepository, SimSandbox, SimStore, SimWorld};

pub struct Sim {
    pub fleet: SimWorld,
    pub repository: Arc<SimRepository>,
    pub world: World,
    /// A person's, who wants the loop to look now.
    pub wake: Arc<Notify>,
}

pub fn host(n: usize) -> HostName {
    format!("h{n}").parse().expect("a name")
}

/// A world of nothing but what is simulated.
pub fn world(fleet: &SimWorld, key: HashKey, repository: Arc<dyn Repository>) -> World {
    World {
        engines: fleet.engines(),
        repository,
        source: "simulated".into(),
        files: Arc::new(SimFiles::default()),
        store: Arc::new(SimStore::default()),
        sandbox: Arc::new(SimSandbox::default()),
        clock: Arc::new(SimClock::default()),
        progress: Arc::new(Quiet),
        installation: "sim".into(),
        key,
        limits: Limits::default(),
        permission: Default::default(),
        policy: Default::default(),
        call_deadline: TimeSpan::from_secs(5),
        pull_deadline: TimeSpan::from_secs(60),
        environments: None,
        revision: None,
    }
}

impl Sim {
    pub fn new(seed: u64) -> Self {
        let key = HashKey::new([3; 32]);
        let fleet = SimWorld::new(key.clone(), seed);
        fleet.add_image_everywhere(&"app:1".parse().expect("an image"));
        fleet.add_image_everywhere(&"app:2".parse().expect("an image"));
        let repository = Arc::new(SimRepository::default());
        let world = world(&fleet, key, repository.clone());
        Self { fleet, repository, world, wake: Arc::default() }
    }

    pub fn commit(&self, hosts: usize, apps: &[(&str, u32, &str)]) {
        self.commit_on(hosts, apps, "[network.lan]\npool = \"all\"\n");
    }

    pub fn commit_on(&self, hosts: usize, apps: &[(&str, u32, &str)], network: &str) {
        self.repository.commit(&Self::files(hosts, apps, network));
    }

    /// What a commit has: so many hosts, and apps by name, instances and image.
    pub fn files(hosts: usize, apps: &[(&str, u32, &str)], network: &str) -> BTreeMap<String, String> {
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
        files
    }

    pub async fn apply(&self) -> Converged {
        let (stop, agree) = (Stop::default(), |_: &Pass| true);
        let scope = Scope::of_a_person(&agree, &stop);
        converge(&self.world, &Reader::default(), &scope).await.expect("an apply")
    }

    pub async fn look(&self) -> Pass {
        let taken = Reader::default().take(&self.world, false).await.expect("a revision");
        pass::look(&self.world, taken, false).await.expect("a look")
    }

    pub async fn settled(&self) {
        let pass = self.look().await;
        let plan = &pass.plan;
        assert!(plan.changes.is_empty() && plan.drift.is_empty(), "a second plan is not empty: {plan:#?}");
    }

    /// The loop for so long.
    pub async fn run(
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
    pub fn addresses(&self, hosts: usize) -> BTreeMap<String, Vec<String>> {
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

pub fn rt() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}
