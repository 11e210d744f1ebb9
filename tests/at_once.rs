//! How much of a plan a host takes at once (D6, decision 0025), in simulated time.

#![allow(clippy::expect_used, clippy::panic)]

mod simulation;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use simulation::{Sim, rt};
use trueup::model::plan::Outcome;
use trueup::ports::Progress;
use trueup::sim::Behaviour;

/// How long `n` apps take to be made on so many hosts at such an address, and then replaced.
async fn made_and_replaced(hosts: usize, engine: &str, n: usize) -> (Duration, Duration) {
    let names: Vec<String> = (0..n).map(|n| format!("a{n}")).collect();
    let mut sim = Sim::new(6);
    (sim.world.limits.replace_apps_share, sim.world.limits.destroy_share) = (1.0, 1.0);
    sim.fleet.set_latency(Duration::from_millis(100));
    let mut took = Vec::new();
    for image in ["app:1", "app:2"] {
        let apps: Vec<_> = names.iter().map(|name| (name.as_str(), 1, image)).collect();
        let mut files = Sim::files(hosts, &apps, "");
        let inventory = files.get_mut("hosts/all.toml").expect("the hosts");
        *inventory = inventory.replace("sim://", engine);
        sim.repository.commit(&files);
        let began = sim.world.clock.now();
        let done = sim.apply().await;
        assert!(done.outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Done), "{done:#?}");
        took.push(sim.world.clock.now().since(began).duration());
    }
    (took[0], took[1])
}

/// D6, decision 0025: of what interrupts nobody a host takes many at once, of what does four.
#[test]
fn sixteen_are_started_and_four_replaced_at_once() {
    rt().block_on(async {
        let took = |n| made_and_replaced(1, "tcp://h:2376", n);
        let ((made, replaced), four, five) = (took(1).await, took(4).await, took(5).await);
        let (sixteen, seventeen) = (took(16).await, took(17).await);
        assert!(sixteen.0 == made && seventeen.0 > made, "made: {made:?}, {sixteen:?}, {seventeen:?}");
        assert!(four.1 == replaced && five.1 > replaced, "replaced: {replaced:?}, {four:?}, {five:?}");
    });
}

/// D6, decision 0025: so many on each of two hosts; on both together where they are one machine; over ssh four on each, as
/// whatever else.
#[test]
fn engines_of_one_machine_share_what_is_started_at_once_and_over_ssh_it_is_four() {
    rt().block_on(async {
        for (engine, at_once) in [("tcp://h:2376", 32), ("unix:///run/docker.sock", 16), ("ssh://h", 8)] {
            let (made, replaced) = made_and_replaced(2, engine, 1).await;
            let (most, one_more) = (
                made_and_replaced(2, engine, at_once).await,
                made_and_replaced(2, engine, at_once + 1).await,
            );
            assert!(most.0 == made && one_more.0 > made, "{engine}: {made:?}, {most:?}, {one_more:?}");
            let (four, five) = (made_and_replaced(2, engine, 8).await, made_and_replaced(2, engine, 9).await);
            assert!(four.1 == replaced && five.1 > replaced, "{engine}: {replaced:?}, {four:?}, {five:?}");
        }
    });
}

/// A host that has starts at once for one: what is cut short does not wait for what others do before it is told.
#[test]
fn what_failed_is_told_before_what_comes_after_it_is_done() {
    rt().block_on(async {
        let mut sim = Sim::new(6);
        sim.world.limits.starts_per_host = 1;
        sim.fleet.set_latency(Duration::from_secs(1));
        sim.fleet.set_behaviour(&"app:2".parse().expect("an image"), Some(Behaviour::Exits(1)));
        let told = Arc::new(Told::default());
        sim.world.progress = Arc::clone(&told) as Arc<dyn Progress>;
        let others = ["b", "c", "d", "e", "f"].map(|name| (name, 1, "app:1"));
        sim.commit_on(1, &[&[("a", 1, "app:2")], &others[..]].concat(), "");
        let done = sim.apply().await;
        assert!(
            done.outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed { .. })),
            "{done:#?}"
        );
        let told = told.0.lock().expect("a lock");
        let at = told.iter().position(|(_, failed)| *failed).expect("a failure");
        assert!(at < 2, "told after others were done: {told:?}");
    });
}

/// Changes as they ended, and whether they failed.
#[derive(Default)]
struct Told(Mutex<Vec<(String, bool)>>);

impl Progress for Told {
    fn change(&self, subject: &str, _: &str, outcome: Option<&Outcome>) {
        if let Some(outcome) = outcome {
            let failed = matches!(outcome, Outcome::Failed { .. });
            self.0.lock().expect("a lock").push((subject.to_owned(), failed));
        }
    }
    fn step(&self, _: &str, _: &str) {}
    fn part(&self, _: &str, _: &str, _: u64, _: u64) {}
}
