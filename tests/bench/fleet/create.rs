//! Thirty containers from nothing: on one engine beside Docker Compose, and over three engines beside one.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use super::compose::Compose;
use super::fleet::Fleet;
use super::fleet::ground::Ground;
use super::fleet::services::{self, Files};
use super::table::{Table, median};
use super::{rest, running, stage, timed};

const THIRTY: usize = 30;
/// Engines differ by a fifth from one round to the next.
const ROUNDS: usize = 21;

pub fn thirty(table: &mut Table, compose: &Compose) {
    let fleet = Fleet::up(3, 0);
    fleet.push("box:1", &stage::pack_busybox(fleet.dir(), "first"));
    for host in fleet.state.hosts.keys() {
        fleet.docker_ok(host, &["pull", "-q", "box:1"]);
    }
    let (mut composed, mut one, mut three) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // None of them always comes after the same one.
        for way in 0..3 {
            match (round + way) % 3 {
                0 => composed.push(up(&fleet, compose)),
                1 => one.push(apply(&fleet, 1)),
                _ => three.push(apply(&fleet, 3)),
            }
        }
        eprintln!(
            "{THIRTY} containers from nothing, {} of {ROUNDS}: by Compose {:.1?}, by trueup {:.1?}, over three engines {:.1?}",
            round + 1,
            composed[round],
            one[round],
            three[round]
        );
    }
    let one = median(one);
    let against = format!("Docker Compose {}", compose.version);
    table.times("30 containers created on one engine", one, &against, median(composed), 1.0);
    table.times("30 containers created over three engines", median(three), "on one", one, 1.0);
}

fn sweep(fleet: &Fleet) {
    for host in fleet.state.hosts.keys() {
        let ids = fleet.docker_ok(host, &["ps", "-aq"]);
        let ids: Vec<&str> = ids.lines().collect();
        // One after the other, an engine takes seconds for each.
        std::thread::scope(|scope| {
            for id in ids {
                scope.spawn(move || fleet.docker_ok(host, &["rm", "-f", id]));
            }
        });
    }
    assert_eq!(running(fleet, ""), 0);
}

fn up(fleet: &Fleet, compose: &Compose) -> Duration {
    let mut yaml = "version: '3.8'\nservices:\n".to_owned();
    for n in 0..THIRTY {
        let _ = write!(
            yaml,
            "  s{n}:\n    image: box:1\n    command: [/bin/busybox, sleep, '36000']\n    stop_grace_period: 1s\n    network_mode: bridge\n"
        );
    }
    std::fs::write(fleet.dir().join("compose.yaml"), yaml).expect("a file");
    let socket = format!("unix://{}", fleet.state.hosts["h1"].socket.display());
    let up = || {
        let mut up = compose.command();
        up.args(["-p", "thirty", "up", "-d"]).current_dir(fleet.dir()).env("DOCKER_HOST", &socket);
        let up = up.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("Docker Compose");
        assert!(up.success());
    };
    rest();
    let took = timed(up);
    assert_eq!(running(fleet, ""), THIRTY);
    sweep(fleet);
    took
}

/// By a trueup that never saw this fleet, and whose inventory has so many of its hosts.
fn apply(fleet: &Fleet, hosts: usize) -> Duration {
    for left in ["repo", "state"] {
        let _ = std::fs::remove_dir_all(fleet.dir().join(left));
    }
    let ground = Ground::new(fleet);
    // As it is by default: what a test cannot wait for is no failure here.
    ground.be_patient("20s");
    let mut inventory = ground.inventory("1GiB");
    // As Compose does: over the engine's socket.
    for host in fleet.state.hosts.values() {
        inventory = inventory.replace(&host.engine, &format!("unix://{}", host.socket.display()));
    }
    let inventory: String =
        inventory.split("[host.").skip(1).take(hosts).map(|host| format!("[host.{host}")).collect();
    let mut files = Files::from([
        ("fleet.toml".to_owned(), "fleet = \"thirty\"\nenvironments = [\"test\", \"prod\"]\n".to_owned()),
        ("hosts/all.toml".to_owned(), inventory),
    ]);
    for n in 0..THIRTY {
        let (path, text) = services::beside(&format!("s{n}"), "");
        files.insert(path, text);
    }
    ground.commit(&files);
    rest();
    let took = timed(|| {
        let (code, done) = ground.trueup(&["apply", "--yes"]);
        assert_eq!(code, 0, "{done:#}");
    });
    assert_eq!(running(fleet, ""), THIRTY);
    sweep(fleet);
    took
}
