//! Hands in the middle of an update of a real Swarm of three managers, and a trueup that is killed meanwhile. The kernel
//! here has no IP_VS: virtual addresses and the ingress mesh do not answer, so ports are in host mode.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod fleet;
mod stage;

use std::time::{Duration, Instant};

use fleet::Fleet;
use fleet::ground::Ground;
use fleet::services::{SLEEP, app, base, beside, inspect, running, soon, tasks};

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

    // Edited by hand in the middle: healed, by the same apply or the next.
    files.extend([slowly("web", "five")]);
    ground.commit(&files);
    let apply = ground.begin(&["apply", "--yes"]);
    updating();
    let edit = ["service", "update", "-d", "--no-resolve-image", "--env-add", "BY=hand", "web-test"];
    fleet.docker_ok("h2", &edit);
    let _ = apply.end();
    ground.apply_in_full();
    assert!(is_at(&fleet, "h1", "web-test", "five"));
    assert!(!inspect(&fleet, "h1", "web-test", ENV).contains("BY=hand"));

    // Removed by hand in the middle.
    files.extend([slowly("web", "six")]);
    ground.commit(&files);
    let apply = ground.begin(&["apply", "--yes"]);
    updating();
    fleet.docker_ok("h2", &["service", "rm", "web-test"]);
    let _ = apply.end();
    ground.apply_in_full();
    assert!(is_at(&fleet, "h1", "web-test", "six"));

    // `run` hears of a change by hand through the managers' events, long before it looks by itself.
    let run = ground.run();
    soon("run has looked", || run.log().contains("0 changed"));
    std::thread::sleep(Duration::from_secs(1));
    let began = Instant::now();
    fleet.docker_ok("h3", &["service", "update", "-d", "--label-add", "by=hand", "web-test"]);
    soon("healed", || inspect(&fleet, "h1", "web-test", "{{index .Spec.Labels \"by\"}}").is_empty());
    let took = began.elapsed();
    println!("a label by hand was healed after {took:?}");
    assert!(took < Duration::from_secs(20), "before the next look by itself: {took:?}");
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
