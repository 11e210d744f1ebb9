//! Where instances were seen last, and where they may be for all anyone knows: whole histories on a simulated fleet (B2, B4, C8).

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod simulation;

use std::collections::BTreeMap;
use std::sync::Arc;

use simulation::rt;
use trueup::apply::Stop;
use trueup::control::World;
use trueup::control::converge::{Converged, Scope, converge};
use trueup::control::memory::Memory;
use trueup::control::pass::Pass;
use trueup::control::revision::Reader;
use trueup::model::names::HostName;
use trueup::model::secrecy::HashKey;
use trueup::sim::{Fault, SimRepository, SimWorld};

struct Line {
    fleet: SimWorld,
    repository: Arc<SimRepository>,
    world: World,
}

fn host(name: &str) -> HostName {
    name.parse().expect("a name")
}

/// One instance of `web` in production; each host may be drained.
fn files(web: &str, hosts: &[(&str, bool)]) -> BTreeMap<String, String> {
    let declared = hosts.iter().enumerate().map(|(n, (name, drain))| {
        format!(
            "[host.{name}]\naddress = \"192.0.2.{n}\"\nengine = \"sim://\"\nenvironments = [\"test\", \"prod\"]\ndrain = {drain}\n"
        )
    });
    let app = format!(
        "app = \"web\"\nenvironments = [\"prod\"]\nimage = \"app:1\"\nreplicas = 1\n{web}\n[rollout]\nmin_healthy = \"0s\"\n"
    );
    BTreeMap::from([
        ("fleet.toml".to_owned(), "fleet = \"sim\"\nenvironments = [\"test\", \"prod\"]\n".to_owned()),
        ("hosts/all.toml".to_owned(), declared.collect()),
        ("networks/lan.toml".to_owned(), "[network.lan]\n".to_owned()),
        ("apps/web/app.toml".to_owned(), app),
    ])
}

impl Line {
    fn new() -> Self {
        let key = HashKey::new([3; 32]);
        let fleet = SimWorld::new(key.clone(), 1);
        fleet.add_image_everywhere(&"app:1".parse().expect("an image"));
        let repository = Arc::new(SimRepository::default());
        let world = simulation::world(&fleet, key, repository.clone());
        Self { fleet, repository, world }
    }

    async fn apply(&self, world: &World) -> Converged {
        let (stop, agree) = (Stop::default(), |_: &Pass| true);
        let done = converge(world, &Reader::default(), &Scope::of_a_person(&agree, &stop)).await;
        done.expect("an apply")
    }

    /// Where `web` is noted.
    fn noted(&self, world: &World) -> Vec<String> {
        let seen = Memory::new(&*world.store).last_seen().expect("the memory");
        let all = seen.iter().map(|(instance, host)| format!("{instance}@{host}"));
        all.filter(|words| words.starts_with("web")).collect()
    }
}

/// B4: a look at one environment forgets nothing that was taken over in another one, and knows it from the first look on.
#[test]
fn an_apply_in_one_environment_remembers_what_others_took_over() {
    rt().block_on(async {
        let line = Line::new();
        line.repository.commit(&files("", &[("a", false), ("b", true)]));
        let _ = line.apply(&line.world).await;
        line.fleet.by_hand(&host("a"), |containers| {
            let web = containers.get_mut(&"web-prod-0".parse().expect("a name")).expect("web");
            web.labels.clear();
        });
        line.repository.commit(&files("adopt = true", &[("a", false), ("b", true)]));
        // A state that never knew it.
        let world = World { store: Arc::new(trueup::sim::SimStore::default()), ..line.world.clone() };
        let tests = World { environments: Some(["test".parse().expect("a name")].into()), ..world.clone() };
        for world in [&tests, &world, &tests] {
            let _ = line.apply(world).await;
            assert_eq!(line.noted(world), ["web-prod-0@a"]);
        }
        // So it is not started beside itself once its host is silent, whatever that host was asked for last.
        line.fleet.set_fault(&host("a"), Some(Fault::Down));
        line.repository.commit(&files("adopt = true", &[("a", false), ("b", false)]));
        let done = line.apply(&world).await;
        assert!(line.fleet.containers(&host("b")).keys().all(|name| name.as_str() != "web-prod-0"));
        assert!(done.last.plan.notes.iter().any(|note| note.starts_with("web-prod-0 was last seen on a")));
    });
}

/// D6, C8: what was never sent to a host is not noted there, and holds up neither healing nor a commit that takes it out.
#[test]
fn a_creation_that_never_began_is_not_noted() {
    rt().block_on(async {
        let line = Line::new();
        let on_lan = "[network.lan]";
        line.repository.commit(&files(on_lan, &[("a", false)]));
        let _ = line.apply(&line.world).await;
        // The network comes first there, and the host dies with it.
        line.fleet.set_fault(&host("b"), Some(Fault::Cut { mutations: 1, after_effect: false }));
        line.repository.commit(&files(on_lan, &[("a", true), ("b", false)]));
        let _ = line.apply(&line.world).await;
        assert_eq!(line.noted(&line.world), ["web-prod-0@a"]);
        // Where it stands it is healed, and its host may serve again without the other one.
        line.fleet.by_hand(&host("a"), |containers| {
            containers.retain(|name, _| name.as_str() != "web-prod-0");
        });
        line.repository.commit(&files(on_lan, &[("a", false)]));
        let done = line.apply(&line.world).await;
        assert_eq!(done.last.taken.kept_because, None);
        assert!(line.fleet.containers(&host("a")).keys().any(|name| name.as_str() == "web-prod-0"));
    });
}
