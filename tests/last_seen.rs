//! Where instances were seen last, and where they may be for all anyone knows: whole histories on a simulated fleet (B2, B4, C8).

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod simulation;

use std::collections::BTreeMap;
use std::sync::Arc;

use simulation::{Sim, rt};
use trueup::apply::Stop;
use trueup::control::World;
use trueup::control::converge::{Converged, Scope, converge};
use trueup::control::memory::{Memory, Pause};
use trueup::control::pass::Pass;
use trueup::control::revision::Reader;
use trueup::model::names::{ContainerName, HostName};
use trueup::model::observed::RunState;
use trueup::model::units::Timestamp;
use trueup::sim::{Fault, SimStore};

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

/// In this world, which may be another installation's view of the same fleet.
async fn apply(world: &World) -> Converged {
    let (stop, agree) = (Stop::default(), |_: &Pass| true);
    converge(world, &Reader::default(), &Scope::of_a_person(&agree, &stop)).await.expect("an apply")
}

/// Where `web` is noted.
fn noted(world: &World) -> Vec<String> {
    let seen = Memory::new(&*world.store).last_seen().expect("the memory");
    seen.iter().map(|(instance, host)| format!("{instance}@{host}")).collect()
}

/// B4: a look at one environment forgets nothing that was taken over in another one, and knows it from the first look on.
#[test]
fn an_apply_in_one_environment_remembers_what_others_took_over() {
    rt().block_on(async {
        let sim = Sim::new(1);
        sim.repository.commit(&files("", &[("a", false), ("b", true)]));
        let _ = apply(&sim.world).await;
        sim.fleet.by_hand(&host("a"), |containers| {
            let web = containers.get_mut(&"web-prod-0".parse().expect("a name")).expect("web");
            web.labels.clear();
        });
        sim.repository.commit(&files("adopt = true", &[("a", false), ("b", true)]));
        // A state that never knew it.
        let world = World { store: Arc::new(SimStore::default()), ..sim.world.clone() };
        let tests = World { environments: Some(["test".parse().expect("a name")].into()), ..world.clone() };
        for world in [&tests, &world, &tests] {
            let _ = apply(world).await;
            assert_eq!(noted(world), ["web-prod-0@a"]);
        }
        // So it is not started beside itself once its host is silent, whatever that host was asked for last.
        sim.fleet.set_fault(&host("a"), Some(Fault::Down));
        sim.repository.commit(&files("adopt = true", &[("a", false), ("b", false)]));
        let done = apply(&world).await;
        assert!(sim.fleet.containers(&host("b")).keys().all(|name| name.as_str() != "web-prod-0"));
        assert!(done.last.plan.notes.iter().any(|note| note.starts_with("web-prod-0 was last seen on a")));
    });
}

fn memory(sim: &Sim) -> Memory<'_> {
    Memory::new(&*sim.world.store)
}

/// The container gets another name by hand; a replacement moves it aside stopped.
fn rename(sim: &Sim, at: &HostName, from: &str, to: &str) {
    let name = |text: &str| text.parse::<ContainerName>().expect("a name");
    sim.fleet.by_hand(at, |containers| {
        let mut container = containers.remove(&name(from)).expect("it is there");
        container.name = name(to);
        if to.ends_with(".trueup-old") {
            container.state = RunState::Exited { exit_code: 0, at: Timestamp(5), error: String::new() };
        }
        containers.insert(name(to), container);
    });
}

/// B1, B4, C8: who starts again what was taken over long ago gets no second instance and loses nothing, though the successor is
/// not seen under its name for a look: its host is silent, its replacement was cut short, or somebody renamed it while nothing is
/// changed.
#[test]
fn a_stranger_is_not_what_moves_though_the_successor_is_not_seen_for_a_look() {
    rt().block_on(async {
        let (a, b, web) = (host("a"), host("b"), "web-prod-0");
        let hidden = [
            ("silent", false),
            ("silent", true),
            (".trueup-old", false),
            (".trueup-old", true),
            ("-b", false),
        ];
        for (hidden, drained) in hidden {
            let sim = Sim::new(1);
            let at_once = Pause { since: Timestamp(0), until: None, reason: "a test".into() };
            let adopting = "adopt = { 0 = \"old-web@a\" }";
            for drained in [true, drained] {
                sim.repository.commit(&files(adopting, &[("a", drained), ("b", false)]));
                let _ = apply(&sim.world).await;
            }
            let mut old = sim.fleet.containers(&b).into_values().next().expect("web");
            (old.name, old.id) = ("old-web".parse().expect("a name"), "01d".repeat(21));
            old.labels.clear();
            sim.fleet.by_hand(&a, |containers| drop(containers.insert(old.name.clone(), old)));
            let other = format!("{web}{hidden}");
            match hidden {
                "silent" => sim.fleet.set_fault(&b, Some(Fault::Down)),
                _ => rename(&sim, &b, web, &other),
            }
            if hidden == "-b" {
                memory(&sim).pause(None, &at_once).expect("written");
            }
            let _ = apply(&sim.world).await;
            match hidden {
                "silent" => sim.fleet.set_fault(&b, None),
                "-b" => rename(&sim, &b, &other, web),
                _ => {}
            }
            memory(&sim).resume(None).expect("written");
            for _ in 0..2 {
                let _ = apply(&sim.world).await;
            }
            let names = |at| sim.fleet.containers(at).keys().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(
                (names(&a), names(&b)),
                (vec!["old-web".into()], vec![web.into()]),
                "{hidden}, {drained}"
            );
            assert_eq!(noted(&sim.world), ["web-prod-0@b"], "{hidden}, {drained}");
        }
    });
}

/// D6, C8: what was never sent to a host is not noted there, and holds up neither healing nor a commit that takes it out.
#[test]
fn a_creation_that_never_began_is_not_noted() {
    rt().block_on(async {
        let sim = Sim::new(1);
        let on_lan = "[network.lan]";
        sim.repository.commit(&files(on_lan, &[("a", false)]));
        let _ = apply(&sim.world).await;
        // The network comes first there, and the host dies with it.
        sim.fleet.set_fault(&host("b"), Some(Fault::Cut { mutations: 1, after_effect: false }));
        sim.repository.commit(&files(on_lan, &[("a", true), ("b", false)]));
        let _ = apply(&sim.world).await;
        assert_eq!(noted(&sim.world), ["web-prod-0@a"]);
        // Where it stands it is healed, and its host may serve again without the other one.
        sim.fleet.by_hand(&host("a"), |containers| {
            containers.retain(|name, _| name.as_str() != "web-prod-0");
        });
        sim.repository.commit(&files(on_lan, &[("a", false)]));
        let done = apply(&sim.world).await;
        assert_eq!(done.last.taken.kept_because, None);
        assert!(sim.fleet.containers(&host("a")).keys().any(|name| name.as_str() == "web-prod-0"));
    });
}

/// D5: what begins to be made while a look is written down stays noted; what the look was told of is as the look found it.
#[test]
fn what_begins_while_a_look_is_noted_stays() {
    let sim = Sim::new(1);
    let memory = Memory::new(&*sim.world.store);
    let web: trueup::model::names::InstanceName = "web-prod-0".parse().expect("a name");
    memory.note_creation(&web, &host("a")).expect("written");
    let before = memory.last_seen().expect("read");
    assert_eq!(noted(&sim.world), ["web-prod-0@a"]);
    memory.note_creation(&web, &host("b")).expect("written");
    memory.set_last_seen(&before, &Default::default()).expect("written");
    assert_eq!(noted(&sim.world), ["web-prod-0@b"]);
    let seen = memory.last_seen().expect("read");
    memory.set_last_seen(&seen, &seen).expect("written");
    assert_eq!(noted(&sim.world), ["web-prod-0@b"], "it was seen there");
}

/// C5: an instance that stands on both hosts of a move holds an address on each, and goes on to where one of them is silent.
#[test]
fn what_is_held_on_both_hosts_of_a_move_is_noted() {
    rt().block_on(async {
        let sim = Sim::new(1);
        let commit = |hosts: &[(&str, bool)]| {
            let lan = "[network.lan]\ndriver = \"macvlan\"\nsubnet = \"198.51.100.0/24\"\nparent = \"eth0\"\npools = { all = \"198.51.100.10-198.51.100.99\" }\n";
            let mut files = files("[network.lan]\npool = \"all\"", hosts);
            files.insert("networks/lan.toml".to_owned(), lan.to_owned());
            sim.repository.commit(&files);
        };
        commit(&[("a", false)]);
        let _ = apply(&sim.world).await;
        // The old one is not taken away, and both stand.
        sim.fleet.set_fault(&host("a"), Some(Fault::Cut { mutations: 1, after_effect: false }));
        commit(&[("a", true), ("b", false)]);
        let _ = apply(&sim.world).await;
        sim.fleet.set_fault(&host("a"), None);
        let held = || {
            let held = Memory::new(&*sim.world.store).holdings().expect("the memory");
            let pairs = held.iter().flat_map(|((_, host), held)| held.pairs().map(move |(_, at)| format!("{at} on {host}")));
            pairs.collect::<Vec<String>>()
        };
        // On its way back the new one is seen beside it, and then its host is silent.
        commit(&[("a", false), ("b", true)]);
        sim.fleet.set_fault(&host("b"), Some(Fault::Cut { mutations: 1, after_effect: false }));
        let _ = apply(&sim.world).await;
        assert_eq!(held(), ["198.51.100.10 on a", "198.51.100.11 on b"]);
        sim.fleet.set_fault(&host("b"), None);
        let _ = apply(&sim.world).await;
        assert_eq!(held(), ["198.51.100.10 on a"]);
    });
}
