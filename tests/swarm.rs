//! Services on a real Swarm of three managers: created, changed by hand, updated, rolled back, taken over; with managers
//! that die. The kernel here has no IP_VS: virtual addresses and the ingress mesh do not answer, so ports are in host
//! mode and names are found by `dnsrr`.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod fleet;
mod stage;

use std::collections::{BTreeMap, BTreeSet};

use fleet::Fleet;
use fleet::ground::Ground;
use fleet::services::{self, SLEEP, app, base, beside, blocked, by_hand, running, soon};
use serde_json::Value;
use trueup::model::service::ServiceField;

fn up() -> Fleet {
    let fleet = Fleet::up(3, 3);
    fleet.push("box:1", &stage::pack_busybox(fleet.dir(), "first"));
    fleet.push("box:2", &stage::pack_busybox(fleet.dir(), "second"));
    fleet
}

fn plan(ground: &Ground<'_>) -> (i32, Value) {
    ground.trueup(&["plan"])
}

/// What the plan says differs, by the subject's name.
fn fields(plan: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for drift in plan["drift"].as_array().expect("drift") {
        let changed = drift["fields"].as_array().into_iter().flatten();
        let names = changed.map(|field| field["field"].as_str().expect("a field").to_owned());
        fields.entry(drift["name"].as_str().expect("a name").to_owned()).or_default().extend(names);
    }
    fields
}

/// Ids of the tasks that are to run.
fn tasks(fleet: &Fleet, service: &str) -> BTreeSet<String> {
    services::tasks(fleet, "h1", service)
}

/// Every field in turn: named by the plan and alone, healed, and the next plan empty (A4, A5).
#[test]
fn every_field_changed_by_hand_is_found_and_healed() {
    let fleet = up();
    let ground = Ground::new(&fleet);
    let mut files = base(&ground);
    let everything =
        "[swarm]\nendpoint_mode = \"dnsrr\"\npublish = \"host\"\n[limits]\npids = 100\n[network.mesh]\n";
    files.extend([app(
        "all",
        &format!("{SLEEP}\nreplicas = 0\nports = [\"8098:80\"]\nenv = {{ A = \"1\" }}"),
        everything,
    )]);
    ground.commit(&files);
    ground.apply_in_full();
    fleet.docker_ok("h1", &["network", "create", "-d", "overlay", "byhand"]);
    let byhand = fleet.dir().join("byhand");
    std::fs::write(&byhand, "by hand").expect("a file");
    fleet.docker_ok("h1", &["config", "create", "byhand", &byhand.display().to_string()]);
    for field in ServiceField::ALL {
        // By a digest, or the client would ask a registry for it.
        let mut args = vec!["service", "update", "--detach", "--no-resolve-image"];
        args.extend(by_hand(*field));
        args.push("all-test");
        fleet.docker_ok("h2", &args);
        let (code, plan) = plan(&ground);
        assert_eq!(code, 2, "{}: {plan:#}", field.name());
        let found = fields(&plan);
        let of_field = |name: &String| name.split('.').next() == Some(field.name());
        let named =
            found.get("all-test").is_some_and(|names| !names.is_empty() && names.iter().all(of_field));
        assert!(named && found.len() == 1, "{}: {found:?}", field.name());
        let (code, done) = ground.trueup(&["apply", "--yes"]);
        assert_eq!(code, 0, "{}: {done:#}", field.name());
    }
    let (code, plan) = plan(&ground);
    assert_eq!(code, 0, "{plan:#}");
    let left = fleet.docker_ok("h1", &["config", "ls", "--format", "{{.Name}}"]);
    assert_eq!(left, "byhand", "what trueup did not make stays");
}

/// Two tasks of a shell with this line.
fn job(line: &str) -> (String, String) {
    let keys = format!("command = [\"/bin/busybox\", \"sh\", \"-c\", \"{line}\"]\nreplicas = 2");
    app("job", &keys, "[swarm]\njob = true")
}

#[test]
fn services_of_every_kind_converge_and_only_what_changed_is_touched() {
    let fleet = up();
    let ground = Ground::new(&fleet);
    let mut files = base(&ground);
    files.extend([
        app(
            "web",
            &format!("{SLEEP}\nreplicas = 3\nports = [\"8081:8080\"]"),
            "[swarm]\npublish = \"host\"\nendpoint_mode = \"dnsrr\"\n[network.mesh]\naliases = [\"www\"]",
        ),
        app("agent", SLEEP, "[swarm]\nglobal = true"),
        job("true"),
        app(
            "sweep",
            "command = [\"/bin/busybox\", \"sh\", \"-c\", \"true\"]",
            "[swarm]\nglobal = true\njob = true",
        ),
        app("conf", SLEEP, "[[mount]]\nfile = \"app.conf\"\nat = \"/etc/app.conf\""),
    ]);
    files.insert("apps/conf/app.conf".into(), "one\n".into());
    // Host-placed beside them, on the same machines and the same overlay.
    let beside = "app = \"beside\"\nenvironments = [\"test\"]\nimage = \"box:1\"\nreplicas = 2\nstop_timeout = \"1s\"\n\
                  command = [\"/bin/busybox\", \"sleep\", \"36000\"]\n[network.mesh]\n[rollout]\nmin_healthy = \"0s\"\n";
    files.insert("apps/beside/app.toml".into(), beside.into());
    // Somebody else's.
    fleet.docker_ok(
        "h1",
        &["service", "create", "-d", "--name", "theirs", "box:1", "/bin/busybox", "sleep", "36000"],
    );
    fleet.docker_ok(
        "h1",
        &[
            "service",
            "create",
            "-d",
            "--name",
            "old-test",
            "--stop-grace-period",
            "1s",
            "box:1",
            "/bin/busybox",
            "sleep",
            "36000",
        ],
    );
    ground.commit(&files);
    ground.apply_in_full();
    assert_eq!(tasks(&fleet, "web-test").len(), 3);
    assert_eq!(tasks(&fleet, "agent-test").len(), 3);
    let zones = fleet.docker_ok(
        "h1",
        &["node", "inspect", "h1", "h2", "h3", "--format", "{{index .Spec.Labels \"zone\"}}"],
    );
    assert_eq!(zones.lines().collect::<Vec<_>>(), ["a", "b", "c"]);
    let read = |host: &str| {
        let id = fleet.docker_ok(host, &["ps", "-q", "-f", "name=conf-test"]);
        (!id.is_empty())
            .then(|| fleet.docker_ok(host, &["exec", &id, "/bin/busybox", "cat", "/etc/app.conf"]))
    };
    assert_eq!(["h1", "h2", "h3"].iter().filter_map(|host| read(host)).collect::<Vec<_>>(), ["one"]);
    let ended_well = |service: &str, line: &str| {
        let told = fleet.docker_ok("h1", &["service", "ps", service, "--no-trunc", "-q"]);
        let format = "{{.Status.State}} {{.Spec.ContainerSpec.Args}}";
        let shown = |id: &str| fleet.docker_ok("h1", &["inspect", "--type", "task", id, "--format", format]);
        told.lines()
            .map(shown)
            .filter(|task| *task == format!("complete [/bin/busybox sh -c {line}]"))
            .count()
    };
    soon("the job is done", || ended_well("job-test", "true") == 2);
    soon("on every node", || ended_well("sweep-test", "true") == 3);

    // Labels of the service restart nothing (D8); the other services are not touched by any of this.
    let before = (tasks(&fleet, "web-test"), tasks(&fleet, "agent-test"), tasks(&fleet, "theirs"));
    files.extend([app("agent", SLEEP, "[swarm]\nglobal = true\nlabels = { owner = \"web\" }")]);
    // A file's other content is another config: its tasks are replaced, and the old config goes (D9).
    files.insert("apps/conf/app.conf".into(), "two\n".into());
    files.extend([job("true again")]);
    ground.commit(&files);
    ground.apply_in_full();
    soon("the job ran again", || ended_well("job-test", "true again") == 2);
    assert_eq!(ended_well("sweep-test", "true"), 3, "and the other one did not");
    assert_eq!(before, (tasks(&fleet, "web-test"), tasks(&fleet, "agent-test"), tasks(&fleet, "theirs")));
    soon("the new content", || {
        ["h1", "h2", "h3"].iter().filter_map(|host| read(host)).any(|text| text == "two")
    });
    assert_eq!(fleet.docker_ok("h1", &["config", "ls", "-q"]).lines().count(), 1);

    // An existing service is reported first and taken over only on request, without a restart (B4).
    let old = "app = \"old\"\nenvironments = [\"test\"]\nimage = \"box:1\"\nruntime = \"swarm\"\nstop_timeout = \"1s\"\npull = \"never\"\n\
               entrypoint = []\ncommand = [\"/bin/busybox\", \"sleep\", \"36000\"]\n";
    files.insert("apps/old/app.toml".into(), old.into());
    ground.commit(&files);
    let (code, told) = plan(&ground);
    assert_eq!((code, blocked(&told).contains("did not make")), (3, true), "{told:#}");
    let old_tasks = tasks(&fleet, "old-test");
    let image = fleet.docker_ok(
        "h1",
        &["service", "inspect", "old-test", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}}"],
    );
    let adopted = old.replace("\"box:1\"", &format!("{image:?}")).replace("app = ", "adopt = true\napp = ");
    files.insert("apps/old/app.toml".into(), format!("{adopted}[swarm.update]\nmonitor = \"5s\"\n"));
    ground.commit(&files);
    ground.apply_in_full();
    assert_eq!(tasks(&fleet, "old-test"), old_tasks, "taken over without a restart");

    // A job that fails is told with its tasks' error.
    files.extend([job("exit 3")]);
    ground.commit(&files);
    ground.trueup(&["apply", "--yes"]);
    let mut why = String::new();
    soon("it is told", || {
        why = blocked(&plan(&ground).1);
        why.contains("0 of 2 tasks of the job have ended well: task: non-zero exit (3)")
    });
    assert!(why.contains("\"job-test\"") && why.lines().count() == 1, "{why}");

    // What git drops goes, in its order; volumes and what is somebody else's stay (B2, B5).
    for name in ["web", "agent", "job", "sweep", "conf", "old"] {
        files.remove(&format!("apps/{name}/app.toml"));
        std::fs::remove_dir_all(ground.repo().join("apps").join(name)).expect("the app's folder");
    }
    files.remove("apps/conf/app.conf");
    ground.commit(&files);
    let (code, held) = plan(&ground);
    assert_eq!(code, 3, "so much at once waits for a person (B3): {held:#}");
    let id = held["held_id"].as_str().expect("an id").to_owned();
    ground.told(&["approve", "--plan", &id, "--reason", "the end of the test"]);
    ground.apply_in_full();
    let left = fleet.docker_ok("h1", &["service", "ls", "--format", "{{.Name}}"]);
    assert_eq!((left.as_str(), fleet.docker_ok("h1", &["config", "ls", "-q"]).as_str()), ("theirs", ""));
}

#[test]
fn an_update_that_fails_is_swarms_to_roll_back_and_is_not_tried_again() {
    let fleet = up();
    let ground = Ground::new(&fleet);
    let mut files = base(&ground);
    files.extend([app("web", &format!("{SLEEP}\nreplicas = 2"), "[swarm.restart]\ndelay = \"1s\"")]);
    ground.commit(&files);
    ground.apply_in_full();

    // Its tasks end at once: Swarm sees it and goes back by itself.
    files.extend([app(
        "web",
        "command = [\"/bin/busybox\", \"sh\", \"-c\", \"exit 3\"]\nreplicas = 2",
        "[swarm.restart]\ndelay = \"1s\"\n[swarm.update]\nmonitor = \"3s\"",
    )]);
    ground.commit(&files);
    let (code, said) = ground.trueup(&["apply", "--yes"]);
    assert_ne!(code, 0, "{said:#}");
    let (code, told) = plan(&ground);
    assert_eq!(code, 3, "{told:#}");
    let why = blocked(&told);
    assert!(
        why.contains("held: Swarm rolled this update back") && why.contains("non-zero exit (3)"),
        "{why}"
    );
    soon("Swarm is back", || running(&fleet, "h1", "web-test").len() == 2);
    let before = tasks(&fleet, "web-test");
    let (code, _) = ground.trueup(&["apply", "--yes"]);
    assert_eq!((code, tasks(&fleet, "web-test")), (3, before), "the same spec is not tried again (D2)");

    // A task of the good spec fails after it; then a hand wipes the update's status: still held (D2).
    let one = running(&fleet, "h1", "web-test").into_iter().next().expect("a task");
    let at = ["inspect", one.as_str(), "--format", "{{.Status.ContainerStatus.ContainerID}}"];
    let container = fleet.docker_ok("h1", &at);
    assert!(["h1", "h2", "h3"].iter().any(|h| fleet.docker(h, &["kill", &container]).status.success()));
    soon("the task is replaced", || {
        let now = running(&fleet, "h1", "web-test");
        now.len() == 2 && !now.contains(&one)
    });
    let before = tasks(&fleet, "web-test");
    let (code, said) = ground.trueup(&["apply", "--yes"]);
    assert_eq!((code, tasks(&fleet, "web-test")), (3, before.clone()), "{said:#}");
    fleet.docker_ok("h1", &["service", "update", "-d", "--label-add", "by=hand", "web-test"]);
    let (code, said) = ground.trueup(&["apply", "--yes"]);
    assert_eq!((code, tasks(&fleet, "web-test")), (3, before), "{said:#}");
    assert_eq!(services::inspect(&fleet, "h1", "web-test", "{{.Spec.Labels.by}}"), "<no value>");

    // A program that ends at once and well fails no task, and is gone back from all the same.
    files.extend([app(
        "web",
        "command = [\"/bin/busybox\", \"true\"]\nreplicas = 2",
        "[swarm.restart]\ndelay = \"1s\"\n[swarm.update]\nmonitor = \"3s\"",
    )]);
    ground.commit(&files);
    let (code, said) = ground.trueup(&["apply", "--yes"]);
    assert_eq!(code, 1, "{said:#}");
    let before = tasks(&fleet, "web-test");
    let (code, said) = ground.trueup(&["apply", "--yes"]);
    assert_eq!((code, tasks(&fleet, "web-test")), (3, before), "{said:#}");

    // While it is held, the number of tasks follows git.
    files.extend([app(
        "web",
        "command = [\"/bin/busybox\", \"true\"]\nreplicas = 3",
        "[swarm.restart]\ndelay = \"1s\"\n[swarm.update]\nmonitor = \"3s\"",
    )]);
    ground.commit(&files);
    let (code, said) = ground.trueup(&["apply", "--yes"]);
    assert_eq!((code, running(&fleet, "h1", "web-test").len()), (3, 3), "{said:#}");

    // Another spec is another try.
    files.extend([app("web", &format!("{SLEEP}\nreplicas = 2\nenv = {{ NEW = \"1\" }}"), "")]);
    ground.commit(&files);
    ground.apply_in_full();

    // No node fits: told with Swarm's own words, and the others are well.
    files.extend([app("web", &format!("{SLEEP}\nreplicas = 2\nenv = {{ NEW = \"1\" }}"), "healthy_deadline = \"30s\"\n[swarm]\nconstraints = [\"node.labels.zone == nowhere\"]\n[swarm.update]\non_failure = \"pause\"")]);
    files.extend([app("well", SLEEP, "")]);
    ground.commit(&files);
    let (code, said) = ground.trueup(&["apply", "--yes"]);
    assert_ne!(code, 0, "{said:#}");
    let (code, told) = plan(&ground);
    assert_eq!((code, tasks(&fleet, "well-test").len()), (3, 1), "{told:#}");
    assert!(told.to_string().contains("no suitable node"), "{told:#}");
}

#[test]
fn the_loop_heals_a_host_while_swarm_is_at_a_slow_update() {
    let fleet = up();
    let ground = Ground::new(&fleet);
    let mut files = base(&ground);
    let slow = "[swarm.update]\ndelay = \"60s\"\n";
    files.extend([
        app("slow", &format!("{SLEEP}\nreplicas = 3"), slow),
        services::beside("beside", "replicas = \"every-host\""),
    ]);
    ground.commit(&files);
    ground.apply_in_full();
    let trueup = ground.run();
    files.extend([app("slow", &format!("{SLEEP}\nreplicas = 3\nenv = {{ NEW = \"1\" }}"), slow)]);
    ground.commit(&files);
    let state = || services::inspect(&fleet, "h1", "slow-test", "{{.UpdateStatus.State}}");
    soon("Swarm updates it", || state() == "updating");
    let names = fleet.docker_ok("h2", &["ps", "--format", "{{.Names}}"]);
    let one = names.lines().find(|name| name.starts_with("beside-test-")).expect("one");
    fleet.docker_ok("h2", &["rm", "-f", one]);
    let began = std::time::Instant::now();
    soon("it is healed", || fleet.docker_ok("h2", &["ps", "--format", "{{.Names}}"]).contains(one));
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(20), "healed after {took:?}: {}", trueup.log());
    assert_eq!(state(), "updating", "Swarm was still at it");
}

#[test]
fn the_next_manager_is_asked_and_without_a_quorum_nothing_is_known() {
    let fleet = up();
    let ground = Ground::new(&fleet);
    let mut files = base(&ground);
    files.extend([app("web", &format!("{SLEEP}\nreplicas = 2"), "")]);
    let beside = "app = \"beside\"\nenvironments = [\"test\"]\nimage = \"box:1\"\nreplicas = \"every-host\"\nstop_timeout = \"1s\"\n\
                  command = [\"/bin/busybox\", \"sleep\", \"36000\"]\n[rollout]\nmin_healthy = \"0s\"\n";
    files.insert("apps/beside/app.toml".into(), beside.into());
    ground.commit(&files);
    ground.apply_in_full();

    let told = |plan: &Value| {
        plan["unknown"].as_array().expect("unknown").iter().map(|u| u["name"].to_string()).collect::<Vec<_>>()
    };
    // Two of three are a quorum: for a look as for a step.
    let mut is_updated = |after: &str| {
        let keys = format!("{SLEEP}\nreplicas = 2\nenv = {{ AFTER = \"{after}\" }}");
        files.extend([app("web", &keys, "")]);
        ground.commit(&files);
        soon("another manager leads and takes the update", || {
            let (_, done) = ground.trueup(&["apply", "--yes"]);
            let (code, plan) = plan(&ground);
            assert!(done.is_object() && code == 3, "h1 is unknown: {plan:#}");
            let env = fleet.docker(
                "h2",
                &["service", "inspect", "web-test", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Env}}"],
            );
            let env = String::from_utf8_lossy(&env.stdout).into_owned();
            told(&plan) == ["\"h1\""] && env.contains(&format!("AFTER={after}"))
        });
    };
    // The leader hangs, which is the first manager of fleet.toml; then it dies.
    fleet.freeze("h1");
    is_updated("it hung");
    fleet.kill("h1");
    is_updated("it died");

    // One of three is none: the Swarm is unknown, its services are left alone, and the host's own go on (A1, D6).
    fleet.kill("h2");
    fleet.docker_ok("h3", &["rm", "-f", "beside-test-0", "beside-test-1", "beside-test-2"]);
    files.extend([app("web", &format!("{SLEEP}\nreplicas = 1"), "")]);
    ground.commit(&files);
    // A follower whose leader died answers nothing about itself for some 20 s: until then its own are unknown, too.
    soon("what is placed on the host itself is healed", || {
        let (code, done) = ground.trueup(&["apply", "--yes"]);
        // A quorum that is lost between the look and the step is an error of that step alone.
        let lost = code == 1 && done.to_string().contains("no manager did it");
        assert!(code == 3 || lost, "{code}: {done:#}");
        fleet.docker_ok("h3", &["ps", "--format", "{{.Names}}"]).contains("beside-test-")
    });
    let (_, plan) = plan(&ground);
    let unknown = told(&plan);
    assert!(unknown.contains(&"\"all\"".to_owned()), "{plan:#}");
    assert!(
        plan["changes"].as_array().expect("changes").is_empty(),
        "nothing is done to what is unknown: {plan:#}"
    );
}

/// G1: of what others run nothing is in a saved snapshot but names and the like, whatever became of it.
#[test]
fn a_snapshot_holds_no_secret_of_what_others_run() {
    let fleet = Fleet::up(1, 1);
    fleet.push("box:1", &stage::pack_busybox(fleet.dir(), "first"));
    let ground = Ground::new(&fleet);
    let mut files = base(&ground);
    files.extend([app("web", &format!("{SLEEP}\nreplicas = 1"), "[swarm]\nendpoint_mode = \"dnsrr\"")]);
    files.extend([beside("door", "ports = [\"8099:80\"]\n[upstream]\nport = 80")]);
    ground.commit(&files);
    ground.apply_in_full();
    what_no_event_tells_is_found_by_looking_again(&ground);

    let secret = "s3cr3t-of-nobody";
    let (env, label) = (format!("TOKEN={secret}"), format!("hook=https://{secret}@example.org"));
    let share = format!("o=username=ada,password={secret}");
    let volume =
        ["volume", "create", "--opt", "type=cifs", "--opt", "device=//192.0.2.9/share", "--opt", &share];
    fleet.docker_ok("h1", &[&volume[..], &["--label", &label, "share"]].concat());
    let file = fleet.dir().join("theirs");
    std::fs::write(&file, secret).expect("a file");
    fleet.docker_ok("h1", &["config", "create", "--label", &label, "theirs", &file.display().to_string()]);
    // One that goes back after an update whose arguments, and whose tasks' errors, have it too.
    let create = ["service", "create", "-d", "--name", "theirs", "-e", &env, "--label", &label];
    let texts =
        ["--container-label", &label, "--config", "theirs", "--mount", "type=volume,source=share,target=/x"];
    // As many restarts as it takes: with a limit Swarm keeps just one ended task more than that, and where a second one was made
    // before it went back, the one that has the error is gone.
    let back = ["--update-failure-action", "rollback", "--update-monitor", "2s"];
    let run = ["--stop-grace-period", "1s", "box:1", "/bin/busybox", "sleep", "36000"];
    // The share cannot be mounted here: its own service fails for that, in the engine's words.
    let share = ["service", "create", "-d", "--name", "share", "--restart-max-attempts", "1"];
    fleet.docker_ok("h1", &[&share[..], &texts[4..], &["box:1", "/bin/busybox", "sleep", "36000"]].concat());
    fleet.docker_ok("h1", &[&create[..], &texts[..4], &back, &run].concat());
    soon("theirs runs", || running(&fleet, "h1", "theirs").len() == 1);
    let bad = format!("/nothing/{secret} {secret}");
    fleet.docker_ok("h1", &["service", "update", "-d", "--args", &bad, "theirs"]);
    let state = ["service", "inspect", "theirs", "--format", "{{.UpdateStatus.State}}"];
    soon("Swarm goes back", || fleet.docker_ok("h1", &state) == "rollback_completed");
    let errors = ["service", "ps", "theirs", "--no-trunc", "--format", "{{.Error}}"];
    println!("{}", fleet.docker_ok("h1", &["service", "ps", "theirs", "--no-trunc"]));
    // A node's word on its task may come after the managers' on the service.
    soon("a task's error has it", || fleet.docker_ok("h1", &errors).contains(secret));

    let saved = fleet.dir().join("snapshot.json");
    ground.told(&["snapshot", "save", &saved.display().to_string()]);
    let text = std::fs::read_to_string(&saved).expect("the snapshot");
    let snapshot: Value = serde_json::from_str(&text).expect("JSON");
    let theirs = &snapshot["swarms"]["all"]["known"]["services"]["theirs"]["known"];
    assert!(theirs["failed"].as_array().is_some_and(|failed| !failed.is_empty()), "{theirs:#}");
    assert!(snapshot["hosts"]["h1"]["known"]["volumes"]["share"].is_object(), "the volume is not in it");
    let at = text.find(secret).unwrap_or_default();
    assert!(!text.contains(secret), "{}", &text[at.saturating_sub(400)..][..500]);
    let (code, plan) = ground.trueup(&["plan", "--observed", &saved.display().to_string()]);
    assert_eq!(code, 0, "what is ours plans empty: {plan:#}");

    // On a runner without a state, a branch is told with its own change alone: with what the tags stand for, and without.
    stage::git(&ground.repo(), &["checkout", "-q", "-b", "branch"]);
    files.extend([app("web", &format!("{SLEEP}\nreplicas = 2"), "[swarm]\nendpoint_mode = \"dnsrr\"")]);
    ground.commit(&files);
    let mut older = snapshot;
    older.as_object_mut().expect("an object").remove("images").expect("what tags stand for");
    let other = fleet.dir().join("older.json");
    std::fs::write(&other, older.to_string()).expect("a file");
    for file in [saved, other] {
        let (file, empty) = (file.display().to_string(), fleet.dir().join("empty").display().to_string());
        let check =
            ["check", "--base", "main", "--head", "branch", "--observed", &file, "--state-dir", &empty];
        let (code, told) = ground.trueup(&check);
        let changes = told["forecast"]["changes"].as_array().expect("changes");
        let one = changes.len() == 1 && changes[0]["name"] == "web-test";
        assert!(code == 2 && one && told["forecast"]["anyway"] == Value::Array(vec![]), "{told:#}");
    }
    stage::git(&ground.repo(), &["checkout", "-q", "main"]);
    what_ours_said_is_hidden_too(&ground);
}

/// A hand in a generated file, while nothing happens on any engine: a look without a reason puts it right.
fn what_no_event_tells_is_found_by_looking_again(ground: &Ground<'_>) {
    let file = ground.fleet.dir().join("nginx/current/door-test.conf");
    let text = std::fs::read_to_string(&file).expect("the upstream");
    ground.relist("2s");
    let run = ground.run();
    soon("run has looked", || run.log().contains("0 changed"));
    for round in 0..2 {
        std::fs::write(&file, format!("{text}# by hand {round}\n")).expect("a hand");
        soon("it is as generated", || std::fs::read_to_string(&file).is_ok_and(|now| now == text));
    }
}

/// The words of an engine about our own tasks, and what a hand wrote into a generated file; the plan is the same all the same.
fn what_ours_said_is_hidden_too(ground: &Ground<'_>) {
    let (fleet, secret) = (ground.fleet, "s3cr3t-of-a-hand");
    let update = ["service", "update", "-d", "--no-resolve-image", "--args"];
    fleet.docker_ok("h1", &[&update[..], &[&format!("/nothing/{secret}"), "web-test"]].concat());
    let errors = ["service", "ps", "web-test", "--no-trunc", "--format", "{{.Error}}"];
    soon("a task of ours fails", || fleet.docker_ok("h1", &errors).contains(secret));
    let file = fleet.dir().join("nginx/current/door-test.conf");
    let text = std::fs::read_to_string(&file).expect("the upstream");
    std::fs::write(&file, format!("{text}# {secret}\n")).expect("a hand");

    let saved = fleet.dir().join("ours.json").display().to_string();
    ground.told(&["snapshot", "save", &saved]);
    let snapshot: Value = serde_json::from_str(&std::fs::read_to_string(&saved).expect("it")).expect("JSON");
    let (tasks, files) = (&snapshot["swarms"]["all"]["known"]["tasks"], &snapshot["files"]["nginx"]["known"]);
    let hidden = tasks
        .as_object()
        .expect("tasks")
        .values()
        .filter(|task| task["error"].as_str().expect("text").starts_with("hidden "));
    assert!(hidden.count() > 0 && !tasks.to_string().contains(secret), "{tasks:#}");
    let installed = files["door-test.conf"].as_str().expect("the upstream");
    let by_hand = installed.strip_prefix(&text).expect("what trueup wrote is as it was");
    assert!(by_hand.starts_with("hidden ") && by_hand.lines().count() == 1, "{installed}");

    let changes = |plan: &Value| -> Vec<(Value, Value)> {
        let all = plan["changes"].as_array().expect("changes").iter();
        all.map(|change| (change["action"].clone(), change["name"].clone())).collect()
    };
    let ((code, live), (replayed, told)) = (plan(ground), ground.trueup(&["plan", "--observed", &saved]));
    assert_eq!((code, changes(&live)), (replayed, changes(&told)), "{live:#}\n{told:#}");
    assert_eq!(changes(&live).len(), 2, "the service and the file: {live:#}");
    assert!(
        live.to_string().contains(&format!("# {secret}"))
            && !told["changes"].to_string().contains("# s3cr3t")
    );
}

/// The same of an overlay that containers may join by themselves: whoever is on it, on whatever host, keeps it.
#[test]
fn an_overlay_with_somebody_elses_container_on_it_stays_until_that_is_gone() {
    let fleet = up();
    let ground = Ground::new(&fleet);
    let mut files = base(&ground);
    let side = |subnet: &str| {
        let text =
            format!("[network.side]\ndriver = \"overlay\"\nsubnet = \"{subnet}\"\nattachable = true\n");
        ("networks/side.toml".to_owned(), text)
    };
    let other = |round: &str| app("other", &format!("{SLEEP}\nenv = {{ ROUND = \"{round}\" }}"), "");
    let web = |network: &str| app("web", SLEEP, &format!("[swarm]\nendpoint_mode = \"dnsrr\"\n{network}"));
    files.extend([side("10.92.0.0/24"), web("[network.side]"), other("one")]);
    ground.commit(&files);
    ground.apply_in_full();
    let join =
        ["run", "-d", "--name", "theirs", "--network", "side", "box:1", "/bin/busybox", "sleep", "36000"];
    let theirs = fleet.docker_ok("h2", &join);
    let id = || fleet.docker_ok("h1", &["network", "inspect", "side", "--format", "{{.Id}}"]);
    let is_on_it = || {
        let format =
            "{{range $name, $network := .NetworkSettings.Networks}}{{$name}} {{end}}{{.State.Running}}";
        fleet.docker_ok("h2", &["inspect", &theirs, "--format", format]) == "side true"
    };
    let round = || services::inspect(&fleet, "h1", "other-test", "{{.Spec.TaskTemplate.ContainerSpec.Env}}");
    let (code, told) = plan(&ground);
    assert_eq!((code, blocked(&told).as_str()), (0, ""), "a guest alone is no drift: {told:#}");

    // Git wants another one.
    let before = (id(), tasks(&fleet, "web-test"));
    files.extend([side("10.93.0.0/24"), other("two")]);
    ground.commit(&files);
    let (code, done) = ground.trueup(&["apply", "--yes"]);
    assert_eq!((code, round().as_str()), (3, "[ROUND=two]"), "the others go on: {done:#}");
    let (_, told) = plan(&ground);
    let why = blocked(&told);
    assert!(why.contains("\"side\"") && why.contains("container theirs on h2"), "{why}");
    assert_eq!((id(), tasks(&fleet, "web-test"), is_on_it()), (before.0.clone(), before.1, true));

    // Git wants none: the service leaves it, and the guest keeps it.
    files.remove("networks/side.toml");
    std::fs::remove_file(ground.repo().join("networks/side.toml")).expect("the network's file");
    files.extend([web(""), other("three")]);
    ground.commit(&files);
    let (_, done) = ground.trueup(&["apply", "--yes"]);
    assert_eq!(round(), "[ROUND=three]", "{done:#}");
    let mut why = String::new();
    soon("only the guest is on it", || {
        let (_, told) = plan(&ground);
        why = blocked(&told);
        told["changes"].as_array().is_some_and(Vec::is_empty) && !why.contains("web-test")
    });
    assert!(why.contains("\"side\"") && why.contains("container theirs on h2"), "{why}");
    assert_eq!((id(), is_on_it()), (before.0, true));

    fleet.docker_ok("h2", &["rm", "-f", &theirs]);
    soon("it goes with its last guest", || ground.trueup(&["apply", "--yes"]).0 == 0);
    let names = fleet.docker_ok("h1", &["network", "ls", "--format", "{{.Name}}"]);
    assert!(!names.lines().any(|name| name == "side"), "{names}");
    ground.apply_in_full();
}
