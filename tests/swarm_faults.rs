//! Hands in the middle of an update of a real Swarm of three managers, and a trueup that is killed meanwhile. The kernel
//! here has no IP_VS: virtual addresses and the ingress mesh do not answer, so ports are in host mode.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod fleet;
mod stage;

use std::time::{Duration, Instant};

use fleet::Fleet;
use fleet::ground::Ground;
use fleet::services::{Moment, SLEEP, app, asked, base, beside, inspect, running, soon, tasks};
use serde_json::Value;

fn up() -> Fleet {
    let fleet = Fleet::up(3, 3);
    fleet.push("box:1", &stage::pack_busybox(fleet.dir(), "first"));
    fleet.push("box:2", &stage::pack_busybox(fleet.dir(), "second"));
    fleet
}

const ENV: &str = "{{.Spec.TaskTemplate.ContainerSpec.Env}}";

/// As many tasks, one after the other, so that an update takes its time.
fn slowly(name: &str, env: &str) -> (String, String) {
    let keys = format!("{SLEEP}\nreplicas = 3\nenv = {{ ROUND = \"{env}\" }}");
    app(name, &keys, "[swarm.update]\nparallelism = 1\ndelay = \"2s\"\nmonitor = \"1s\"")
}

/// What it runs is what git says, once.
fn is_at(fleet: &Fleet, host: &str, service: &str, round: &str) -> bool {
    let updated = inspect(fleet, host, service, "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}");
    inspect(fleet, host, service, ENV).contains(&format!("ROUND={round}"))
        && ["", "completed"].contains(&updated.as_str())
        && tasks(fleet, host, service).len() == 3
        && running(fleet, host, service).len() == 3
}

/// Why the service's first change failed, without the step's own words; and what was done beside it and after it.
fn failure(done: &Value) -> (String, Vec<String>) {
    let mut outcomes: Vec<&Value> = done["outcomes"].as_array().expect("outcomes").iter().collect();
    let first = outcomes.iter().position(|o| o["kind"] == "service").expect("the service's");
    let failed = outcomes.remove(first);
    assert_eq!(failed["outcome"], "failed", "{done:#}");
    let detail = failed["detail"].as_str().expect("a detail");
    let mut others: Vec<String> = outcomes
        .iter()
        .map(|o| {
            let text = |key: &str| o[key].as_str().expect("a text");
            format!("{} {}", text("name"), text("outcome"))
        })
        .collect();
    others.sort();
    (detail.rsplit_once(": ").expect("a step").1.to_owned(), others)
}

/// Slot and env of the tasks that the Swarm made with this value, ended ones included (of each slot it keeps the last five).
fn made(fleet: &Fleet, service: &str, round: &str) -> Vec<String> {
    let listed = fleet.docker("h1", &["service", "ps", service, "--no-trunc", "-q"]);
    let listed = String::from_utf8_lossy(&listed.stdout);
    let format = "{{.Slot}} {{.Spec.ContainerSpec.Env}}";
    let shown = |id: &str| fleet.docker_ok("h1", &["inspect", "--type", "task", id, "--format", format]);
    let tasks = listed.lines().map(shown);
    tasks.filter(|task| task.contains(&format!("ROUND={round}"))).collect()
}

#[test]
fn hands_in_the_middle_of_an_update_and_a_killed_trueup() {
    let fleet = up();
    let ground = Ground::new(&fleet);
    let mut files = base(&ground);
    files.extend([slowly("web", "zero"), beside("near", "replicas = 1")]);
    ground.commit(&files);
    ground.apply_in_full();
    let updating = || {
        soon("Swarm updates", || {
            inspect(&fleet, "h1", "web-test", "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}")
                == "updating"
        });
    };

    let since = Moment::now();
    // Killed at any moment, trueup finds its way back: Swarm went on by itself (D5).
    for (round, wait) in [("one", 100), ("two", 400), ("three", 900), ("four", 2500)] {
        files.extend([slowly("web", round)]);
        ground.commit(&files);
        let killed = ground.begin(&["apply", "--yes"]);
        std::thread::sleep(Duration::from_millis(wait));
        drop(killed);
    }
    ground.apply_in_full();
    assert!(is_at(&fleet, "h1", "web-test", "four"));
    let names = fleet.docker_ok("h1", &["service", "ls", "--format", "{{.Name}}"]);
    assert_eq!(names, "web-test", "nothing is there twice");

    // Nothing was created or sent a second time, and no task of it was made twice.
    let (created, sent, removed) = asked(&fleet, &since);
    assert!(created == 0 && removed == 0 && (1..=4).contains(&sent), "{created} {sent} {removed}");
    assert_eq!(made(&fleet, "web-test", "four"), ["1 [ROUND=four]", "2 [ROUND=four]", "3 [ROUND=four]"]);

    // Edited by hand in the middle: told, and healed by the next.
    files.extend([slowly("web", "five"), beside("near", "replicas = 1\nenv = { ROUND = \"five\" }")]);
    ground.commit(&files);
    let since = Moment::now();
    let apply = ground.begin(&["apply", "--yes", "--format", "json"]);
    updating();
    let edit = ["service", "update", "-d", "--no-resolve-image", "--env-add", "BY=hand", "web-test"];
    fleet.docker_ok("h2", &edit);
    let (code, done) = apply.told();
    // Told as it was: what was sent is not there, so it is no success (D8). What is beside it goes on, and since something
    // came of this round there is another one, which heals: in the end all is as declared.
    let others = ["near-test-0 done", "web-test done"].map(str::to_owned).to_vec();
    assert_eq!(
        (code, failure(&done)),
        (Some(0), ("somebody changed service web-test meanwhile".to_owned(), others)),
        "{done:#}"
    );
    assert_eq!(asked(&fleet, &since), (0, 3, 0), "trueup, the hand, and trueup again: {done:#}");
    ground.apply_in_full();
    assert!(is_at(&fleet, "h1", "web-test", "five"));
    assert!(!inspect(&fleet, "h1", "web-test", ENV).contains("BY=hand"));

    assert_eq!(asked(&fleet, &since), (0, 3, 0), "and that was all");
    let tasks_of = |env: &str| {
        let tasks = made(&fleet, "web-test", "five");
        ["1", "2", "3"].map(|slot| tasks.iter().filter(|task| **task == format!("{slot} [{env}]")).count())
    };
    assert!(tasks_of("ROUND=five BY=hand").iter().all(|n| *n <= 1), "{:?}", made(&fleet, "web-test", "five"));
    let healed = tasks_of("ROUND=five").iter().all(|n| (1..=2).contains(n));
    assert!(healed, "before the hand and after it at most: {:?}", made(&fleet, "web-test", "five"));

    // Removed by hand in the middle.
    files.extend([slowly("web", "six")]);
    ground.commit(&files);
    let since = Moment::now();
    let apply = ground.begin(&["apply", "--yes", "--format", "json"]);
    updating();
    fleet.docker_ok("h2", &["service", "rm", "web-test"]);
    let (code, done) = apply.told();
    assert_eq!(
        (code, failure(&done)),
        (Some(1), ("service web-test disappeared".to_owned(), vec![])),
        "{done:#}"
    );
    assert_eq!(
        (&done["left"][0]["action"], asked(&fleet, &since)),
        (&"create".into(), (0, 1, 1)),
        "{done:#}"
    );
    ground.apply_in_full();
    assert_eq!(asked(&fleet, &since), (1, 1, 1), "made again, once");
    assert_eq!(made(&fleet, "web-test", "six"), ["1 [ROUND=six]", "2 [ROUND=six]", "3 [ROUND=six]"]);
    assert!(is_at(&fleet, "h1", "web-test", "six"));

    // `run` hears of a change by hand through the managers' events: it looks without a reason every ten minutes only, which
    // is longer than anything here is waited for.
    ground.relist("10m");
    let run = ground.run();
    soon("run has looked", || run.log().contains("0 changed"));
    std::thread::sleep(Duration::from_secs(1));
    let began = Instant::now();
    fleet.docker_ok("h3", &["service", "update", "-d", "--label-add", "by=hand", "web-test"]);
    soon("healed", || inspect(&fleet, "h1", "web-test", "{{index .Spec.Labels \"by\"}}").is_empty());
    let took = began.elapsed();
    println!("a label by hand was healed after {took:?}");
    assert!(took < Duration::from_secs(10), "at once, on a loaded machine: {took:?}");
    fleet.docker_ok("h3", &["service", "rm", "web-test"]);
    soon("made again", || is_at(&fleet, "h1", "web-test", "six"));
    drop(run);

    // Names are nothing to Swarm: a task's container with another name is the same task.
    let before = tasks(&fleet, "h1", "web-test");
    for host in ["h1", "h2", "h3"] {
        for id in fleet.docker_ok(host, &["ps", "-q", "-f", "name=web-test"]).lines() {
            fleet.docker_ok(host, &["rename", id, &format!("renamed-{id}")]);
        }
    }
    let (code, plan) = ground.trueup(&["plan"]);
    assert_eq!((code, tasks(&fleet, "h1", "web-test")), (0, before), "{plan:#}");
}
