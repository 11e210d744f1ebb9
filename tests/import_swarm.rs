//! Services that run on a real Swarm, made by hand and by `docker stack deploy`, are taken over under the names they have,
//! without a new task (B4).

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod fleet;
mod stage;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use fleet::Fleet;
use fleet::ground::Ground;
use fleet::services::{inspect, running, soon, tasks};

const STACK: &str = "version: '3.8'\nnetworks:\n  back: {attachable: true}\nvolumes:\n  data: {}\nconfigs:\n  conf: {file: ./conf}\n\
secrets:\n  pass: {file: ./pass}\nservices:\n  web:\n    image: box:1\n    command: [/bin/busybox, sleep, '36000']\n    \
environment: {TOKEN: s3cr3t, MODE: live}\n    networks: {back: {aliases: [www]}}\n    volumes: ['data:/data']\n    \
configs: [{source: conf, target: /etc/app.conf}]\n    secrets: [pass]\n    ports: [{target: 8080, published: 8090, mode: host}]\n    \
stop_grace_period: 1s\n    healthcheck: {test: ['CMD', '/bin/busybox', 'true'], interval: 1s}\n    labels: {tier: front}\n    deploy:\n      \
replicas: 2\n      labels: {owner: web}\n      resources: {limits: {cpus: '0.5', memory: 64M}, reservations: {memory: 16M}}\n      \
restart_policy: {condition: on-failure, delay: 2s, max_attempts: 3, window: 60s}\n      update_config: {parallelism: 1, delay: 1s, order: stop-first, failure_action: rollback, monitor: 3s, max_failure_ratio: 0.2}\n      \
rollback_config: {parallelism: 2}\n      placement: {constraints: ['node.platform.os == linux'], preferences: [{spread: node.labels.zone}], max_replicas_per_node: 2}\n  \
plain:\n    image: box:1\n    command: [/bin/busybox, sleep, '36000']\n    stop_grace_period: 1s\n";

fn trueup(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_trueup")).args(args).stdin(Stdio::null()).output();
    let output = output.expect("the binary");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("a code"), text(&output.stdout), text(&output.stderr))
}

/// The files of a directory, as [`Ground::commit`] takes them.
fn files(root: &Path, at: &Path, into: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(root.join(at)).expect("a directory") {
        let path = at.join(entry.expect("an entry").file_name());
        if root.join(&path).is_dir() {
            files(root, &path, into);
        } else {
            into.insert(path.display().to_string(), std::fs::read_to_string(root.join(&path)).expect("text"));
        }
    }
}

#[test]
fn services_are_taken_over_under_their_own_names_without_a_new_task() {
    let fleet = Fleet::up(2, 1);
    for (image, mark) in [("box:1", "first"), ("box:2", "second")] {
        fleet.push(image, &stage::pack_busybox(fleet.dir(), mark));
    }
    for (name, text) in [("stack.yaml", STACK), ("conf", "of the stack\n"), ("pass", "hunter2")] {
        std::fs::write(fleet.dir().join(name), text).expect("a file");
    }
    fleet.docker_ok(
        "h1",
        &["stack", "deploy", "-c", &fleet.dir().join("stack.yaml").display().to_string(), "shop"],
    );
    let by_hand = "service create -d --name each --mode global --stop-grace-period 1s --env B=1 --env A=1 --update-order start-first \
                   --mount type=volume,target=/anonymous --mount type=volume,source=kept,target=/kept --tty box:1 /bin/busybox sleep 36000";
    fleet.docker_ok("h1", &by_hand.split_whitespace().collect::<Vec<_>>());
    let all = ["shop_web", "shop_plain", "each"];
    soon("all run", || all.map(|name| running(&fleet, "h1", name).len()) == [2, 1, 2]);
    let before = all.map(|name| tasks(&fleet, "h1", name));

    let host = &fleet.state.hosts["h1"];
    let engine = format!("unix://{}", host.socket.display());
    let into = fleet.dir().join("imported");
    let to = into.display().to_string();
    let import = |more: &[&str]| {
        let words =
            ["import", "--swarm", "all", "--host", "h1", "--engine", &engine, "--address", &host.address];
        let into = ["--into", &to, "--fleet", "taken", "--environment", "test"];
        let (code, out, err) = trueup(&[&words[..], &into, more].concat());
        assert!(!out.contains("s3cr3t") && !err.contains("s3cr3t"), "{out}{err}");
        assert_eq!(code, 0, "the plan after the import is not empty: {err}");
        err
    };
    let err = import(&["--stack", "shop"]);
    assert!(
        err.contains("values of MODE, TOKEN are not written") && err.contains("carry over files"),
        "{err}"
    );
    assert!(err.contains("could not carry over the secret shop_pass"), "{err}");
    let err = import(&["--service", "each"]);
    assert!(
        err.contains("carry over mounts./anonymous") && err.contains("carry over ContainerSpec.TTY"),
        "{err}"
    );

    let ground = Ground::new(&fleet);
    let mut imported = BTreeMap::new();
    files(&into, Path::new(""), &mut imported);
    assert!(
        imported.contains_key("apps/web/app.toml") && imported.contains_key("apps/each/test.toml"),
        "{imported:?}"
    );
    ground.commit(&imported);
    let (code, plan) = ground.trueup(&["plan"]);
    // Ownership is written on the service itself, which restarts nothing (D8).
    let drift = plan["drift"].as_array().expect("drift").iter().filter(|drift| drift["left_alone"].is_null());
    let fields: Vec<&str> = drift
        .flat_map(|drift| drift["fields"].as_array().expect("fields"))
        .filter_map(|field| field["field"].as_str())
        .collect();
    assert!(code == 2 && fields.iter().all(|field| *field == "ownership"), "{plan:#}");
    ground.apply_in_full();
    assert_eq!(all.map(|name| tasks(&fleet, "h1", name)), before, "taken over without a new task");

    // A change by git rolls by that alone; what git does not say is still there.
    let app = imported["apps/web/app.toml"].replace("replicas = 2", "replicas = 2\nhostname = \"renamed\"");
    ground.commit(&BTreeMap::from([("apps/web/app.toml".to_owned(), app)]));
    ground.apply_in_full();
    assert_ne!(tasks(&fleet, "h1", "shop_web"), before[0]);
    assert_eq!(tasks(&fleet, "h1", "shop_plain"), before[1]);
    let spec = inspect(&fleet, "h1", "shop_web", "{{json .Spec.TaskTemplate.ContainerSpec}}");
    for kept in ["TOKEN=s3cr3t", "MODE=live", "shop_conf", "shop_pass", "\"Hostname\":\"renamed\""] {
        assert!(spec.contains(kept), "{kept}: {spec}");
    }

    // What git drops goes, under the name it has; the rest of the stack stays.
    std::fs::remove_dir_all(ground.repo().join("apps/plain")).expect("the app's folder");
    ground.commit(&BTreeMap::new());
    let (_, plan) = ground.trueup(&["plan"]);
    let gone =
        plan["changes"].as_array().into_iter().flatten().chain(plan["held"].as_array().into_iter().flatten());
    let gone: Vec<&str> = gone.filter_map(|change| change["name"].as_str()).collect();
    assert_eq!(gone, ["shop_plain"], "{plan:#}");
}
