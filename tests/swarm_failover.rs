//! What happens to a Swarm's managers between the look and the step: the next one is asked, and nothing is told done that
//! was not (A1, A4, D8).

#![allow(clippy::expect_used, clippy::panic)]

mod simulation;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use simulation::meanwhile::Meanwhile;
use trueup::apply::Stop;
use trueup::control::World;
use trueup::control::converge::{Converged, Scope, converge};
use trueup::control::pass::Pass;
use trueup::control::revision::Reader;
use trueup::model::names::HostName;
use trueup::model::plan::Outcome;
use trueup::model::secrecy::HashKey;
use trueup::model::swarm::NodeRole;
use trueup::sim::{Fault, SimRepository, SimWorld};

struct Sim {
    fleet: SimWorld,
    repository: Arc<SimRepository>,
    meanwhile: Arc<Meanwhile>,
    files: BTreeMap<String, String>,
    world: World,
}

fn host(name: &str) -> HostName {
    name.parse().expect("a name")
}

fn read(dir: &Path, top: &Path, into: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read(&path, top, into);
        } else {
            let name = path.strip_prefix(top).expect("below the top").display().to_string();
            into.insert(name, std::fs::read_to_string(&path).expect("UTF-8"));
        }
    }
}

impl Sim {
    /// The scenarios' fleet `swarm`, applied.
    async fn applied() -> Self {
        let key = HashKey::new([3; 32]);
        let fleet = SimWorld::new(key.clone(), 1);
        for image in ["web:1", "web:2", "agent:1"] {
            fleet.add_image_everywhere(&image.parse().expect("an image"));
        }
        fleet.start_swarm("prod", &["h1", "h2", "h3"].map(host), &[host("h4")]);
        let (repository, meanwhile) = (Arc::new(SimRepository::default()), Arc::new(Meanwhile::default()));
        let world =
            World { progress: meanwhile.clone(), ..simulation::world(&fleet, key, repository.clone()) };
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/fleets/swarm");
        let mut files = BTreeMap::new();
        read(&top, &top, &mut files);
        let sim = Self { fleet, repository, meanwhile, files, world };
        sim.repository.commit(&sim.files);
        assert_eq!(sim.apply().await.exit_code(), 0);
        sim
    }

    async fn apply(&self) -> Converged {
        let (stop, agree) = (Stop::default(), |_: &Pass| true);
        let scope = Scope::of_a_person(&agree, &stop);
        converge(&self.world, &Reader::default(), &scope).await.expect("an apply")
    }

    fn edit(&mut self, path: &str, from: &str, to: &str) {
        let text = self.files.get_mut(path).expect("a file");
        assert!(text.contains(from), "{text}");
        *text = text.replace(from, to);
        self.repository.commit(&self.files);
    }

    fn meanwhile(&self, deed: impl FnOnce(&SimWorld) + Send + 'static) {
        let fleet = self.fleet.clone();
        self.meanwhile.next(move || deed(&fleet));
    }

    fn shown(&self) -> String {
        self.fleet.swarm_shown("prod").expect("the Swarm").join("\n")
    }
}

fn rt() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

#[test]
fn a_manager_demoted_after_the_look_is_passed_over() {
    rt().block_on(async {
        let mut sim = Sim::applied().await;
        sim.edit("apps/web/app.toml", "web:1", "web:2");
        sim.meanwhile(|fleet| fleet.change_role("prod", &host("h1"), NodeRole::Worker).expect("demoted"));
        let converged = sim.apply().await;
        assert_eq!(converged.exit_code(), 0, "{:#?}", converged.outcomes);
        assert!(sim.shown().contains("service web-prod  web:2"), "{}", sim.shown());
    });
}

#[test]
fn a_network_is_not_told_gone_by_a_manager_that_was_demoted() {
    rt().block_on(async {
        let mut sim = Sim::applied().await;
        sim.edit("apps/web/app.toml", "[network.back]\n", "");
        assert_eq!(sim.apply().await.exit_code(), 0);
        sim.files.remove("networks/back.toml");
        sim.repository.commit(&sim.files);
        sim.meanwhile(|fleet| fleet.change_role("prod", &host("h1"), NodeRole::Worker).expect("demoted"));
        let converged = sim.apply().await;
        assert_eq!(converged.exit_code(), 0, "{:#?}", converged.outcomes);
        assert!(!sim.shown().contains("network back"), "{}", sim.shown());
        let not_needed = |(_, outcome): &(_, Outcome)| matches!(outcome, Outcome::NotNeeded { .. });
        assert!(!converged.outcomes.iter().any(not_needed), "{:#?}", converged.outcomes);
    });
}

#[test]
fn a_quorum_lost_in_between_is_an_error_that_names_every_manager() {
    rt().block_on(async {
        let mut sim = Sim::applied().await;
        sim.edit("apps/web/app.toml", "web:1", "web:2");
        sim.meanwhile(|fleet| {
            for name in ["h2", "h3"] {
                fleet.set_fault(&host(name), Some(Fault::Down));
            }
        });
        let converged = sim.apply().await;
        assert_eq!(converged.exit_code(), 1, "{:#?}", converged.outcomes);
        let failed = converged.outcomes.iter().find_map(|(_, outcome)| match outcome {
            Outcome::Failed { error, transient } => Some((error, transient)),
            Outcome::Done | Outcome::Begun | Outcome::NotNeeded { .. } | Outcome::Skipped { .. } => None,
        });
        let (error, transient) = failed.expect("a failure");
        assert!(*transient && ["h1: ", "h2: ", "h3: "].iter().all(|name| error.contains(name)), "{error}");
    });
}
