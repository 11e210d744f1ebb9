//! Networks, volumes and configs that somebody else made: reports tell them, nothing is done about them (B1).

#![allow(clippy::expect_used, clippy::panic)]

mod simulation;

use std::collections::BTreeMap;

use simulation::{Sim, host, rt};
use trueup::control::pass::Pass;
use trueup::control::report;
use trueup::model::network::{NetworkDriver, NetworkSpec, VolumeSpec};
use trueup::model::observed::Seen;
use trueup::model::plan::Action;
use trueup::model::report::Report;
use trueup::model::secrecy::ContentHash;
use trueup::model::units::Timestamp;
use trueup::ports::Contents;

fn spec(driver: NetworkDriver) -> NetworkSpec {
    NetworkSpec {
        driver,
        subnet: None,
        gateway: None,
        ip_range: None,
        parent: None,
        internal: false,
        attachable: false,
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

fn network(name: &str, driver: NetworkDriver) -> Action {
    Action::CreateNetwork { name: name.to_owned(), spec: spec(driver), labels: BTreeMap::new() }
}

fn volume(name: &str) -> Action {
    let spec = VolumeSpec { driver: "local".to_owned(), options: BTreeMap::new() };
    Action::CreateVolume { name: name.parse().expect("a name"), spec, labels: BTreeMap::new() }
}

fn config(name: &str) -> (Action, Contents) {
    let hash = ContentHash::of(name.as_bytes());
    let contents = Contents::from([(hash.clone(), name.as_bytes().into())]);
    (Action::CreateConfig { name: name.to_owned(), hash, labels: BTreeMap::new() }, contents)
}

/// An app that mounts a volume of its own and an external one, on a network that somebody else made.
fn commit(sim: &Sim) {
    sim.repository.commit(&files());
}

fn files() -> BTreeMap<String, String> {
    let hosts = "[host.h0]\naddress = \"192.0.2.1\"\nengine = \"sim://\"\nenvironments = [\"test\"]\nswarm = \"prod\"\n";
    let app = "app = \"web\"\nenvironments = [\"test\"]\nimage = \"app:1\"\nreplicas = 1\n\
               [[mount]]\nvolume = \"own-data\"\nat = \"/data\"\n[[mount]]\nvolume = \"their-data\"\nat = \"/more\"\n\
               [volume.their-data]\nexternal = true\n[network.theirs]\n[rollout]\nmin_healthy = \"1s\"\n";
    BTreeMap::from([
        (
            "fleet.toml".to_owned(),
            "fleet = \"sim\"\nenvironments = [\"test\"]\n[swarm.prod]\nmanagers = [\"h0\"]\n".to_owned(),
        ),
        ("hosts/all.toml".to_owned(), hosts.to_owned()),
        (
            "networks/theirs.toml".to_owned(),
            "[network.theirs]\ndriver = \"bridge\"\nexternal = true\n".to_owned(),
        ),
        ("apps/web/app.toml".to_owned(), app.to_owned()),
    ])
}

async fn told(sim: &Sim) -> Report {
    let pass = sim.look().await;
    assert!(pass.plan.changes.is_empty() && pass.plan.drift.is_empty(), "{:#?}", pass.plan);
    report::report(&sim.world, &pass, Timestamp(0)).expect("a report")
}

fn names(report: &Report) -> Vec<String> {
    report.foreign.iter().map(|thing| thing.subject.to_string()).collect()
}

#[test]
fn what_others_made_is_told_and_what_git_uses_of_theirs_is_not() {
    rt().block_on(async {
        let sim = Sim::new(1);
        sim.fleet.start_swarm("prod", &[host(0)], &[]);
        commit(&sim);
        let by_hand = |action: &Action| sim.fleet.perform_by_hand(&host(0), action).expect("done by hand");
        by_hand(&network("theirs", NetworkDriver::Bridge));
        by_hand(&volume("their-data"));
        let _ = sim.apply().await;
        for own in ["bridge", "docker_gwbridge"] {
            by_hand(&network(own, NetworkDriver::Bridge));
        }
        by_hand(&network("ingress", NetworkDriver::Overlay));
        assert_eq!(names(&told(&sim).await), [""; 0], "declared, ours, or the engine's own");

        by_hand(&network("shop_default", NetworkDriver::Bridge));
        by_hand(&network("mesh", NetworkDriver::Overlay));
        let manager = sim.look().await.desired.hosts[&host(0)].clone();
        let manager = sim.world.engines.engine(&manager).expect("an engine");
        let (config, contents) = config("their-config");
        manager.perform(&config, &contents, &|_, _| {}).await.expect("done by hand");
        by_hand(&volume("shop_data"));
        for n in 0..3 {
            by_hand(&volume(&format!("{n:064x}")));
        }
        let report = told(&sim).await;
        let expected = [
            "config their-config on swarm prod",
            "network mesh on swarm prod",
            "network shop_default on h0",
            "volume shop_data on h0",
        ];
        let mut names = names(&report);
        names.sort();
        assert_eq!(names, expected);
        assert_eq!(report.anonymous_volumes, BTreeMap::from([(host(0), 3)]));
    });
}

/// Swarm makes volumes without labels: whose they are is known by the service that mounts them.
#[test]
fn volumes_of_trueups_own_services_are_not_somebodys() {
    rt().block_on(async {
        let sim = Sim::new(1);
        sim.fleet.start_swarm("prod", &[host(0)], &[]);
        let by_hand = |action: &Action| sim.fleet.perform_by_hand(&host(0), action).expect("done by hand");
        by_hand(&network("theirs", NetworkDriver::Bridge));
        let db = "app = \"db\"\nenvironments = [\"test\"]\nruntime = \"swarm\"\nimage = \"app:1\"\nreplicas = 1\n\
                  protect = true\n[[mount]]\nvolume = \"db-data\"\nat = \"/data\"\n[rollout]\nmin_healthy = \"0s\"\n";
        let mut with_db = files();
        with_db.insert("apps/db/app.toml".to_owned(), db.to_owned());
        sim.repository.commit(&with_db);
        by_hand(&volume("their-data"));
        let _ = sim.apply().await;
        let unnamed = |n: usize| format!("{n:064x}");
        by_hand(&volume("db-test-db-data"));
        for n in 0..3 {
            by_hand(&volume(&unnamed(n)));
        }

        // Git drops the app, and its service stays (B2).
        commit(&sim);
        let _ = sim.apply().await;
        let runs = sim.fleet.swarm_shown("prod").expect("a Swarm");
        assert!(runs.iter().any(|shown| shown.contains("db-test")), "{runs:?}");
        let mut pass = sim.look().await;
        let told = |pass: &Pass| report::report(&sim.world, pass, Timestamp(0)).expect("a report");
        assert_eq!(names(&told(&pass)), [""; 0]);
        assert_eq!(told(&pass).anonymous_volumes, BTreeMap::from([(host(0), 3)]));

        // What an image of ours, or of a task of ours, declares as a volume.
        let of = |pass: &mut Pass, prefix: &str, volume: &str| {
            let Some(Seen::Known(engine)) = pass.observed.hosts.get_mut(&host(0)) else { panic!("unknown") };
            let found = engine.containers.iter_mut().find(|(name, _)| name.as_str().starts_with(prefix));
            let Some((_, Seen::Known(container))) = found else { panic!("no {prefix}") };
            container.anonymous.insert("/cache".to_owned(), volume.to_owned());
        };
        of(&mut pass, "web-test", &unnamed(0));
        assert_eq!(told(&pass).anonymous_volumes, BTreeMap::from([(host(0), 2)]), "an instance's");
        of(&mut pass, "db-test.", &unnamed(1));
        assert_eq!(told(&pass).anonymous_volumes, BTreeMap::from([(host(0), 1)]), "a task's");

        // A container that could not be read may have any of them, and a Swarm that could not, any volume (A1).
        let mut blind = pass.clone();
        let Some(Seen::Known(engine)) = blind.observed.hosts.get_mut(&host(0)) else { panic!("unknown") };
        engine.containers.insert("odd".parse().expect("a name"), Seen::unknown("it has no image"));
        assert_eq!(told(&blind).anonymous_volumes, BTreeMap::new());
        let mut blind = pass.clone();
        blind.observed.swarms.insert("prod".to_owned(), Seen::unknown("no quorum"));
        assert_eq!((names(&told(&blind)), told(&blind).anonymous_volumes.len()), (Vec::new(), 1));

        by_hand(&volume("shop_data"));
        assert_eq!(names(&told(&sim.look().await)), ["volume shop_data on h0"]);
    });
}
