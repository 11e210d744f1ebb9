//! `trueup run` as a service: takes commits by itself, heals what a hand changed, keeps the last good revision, ends
//! when asked.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod stage;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stage::{FLEET, HOST, Stage, docker};

/// And the containers that it leaves.
struct Running(Child, &'static [&'static str]);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        for name in self.1 {
            docker(&["rm", "-f", name]);
        }
    }
}

fn commit(stage: &Stage, replicas: &str) {
    let app = format!(
        "app = \"looped\"\nenvironments = [\"test\"]\nreplicas = {replicas}\nimage = \"{}\"\npull = \"never\"\n\
         command = [\"/bin/busybox\", \"sleep\", \"600\"]\nstop_timeout = \"1s\"\n[rollout]\nmin_healthy = \"0s\"\n\
         [[mount]]\nfile = \"app.conf\"\nat = \"/etc/app.conf\"\n",
        stage.image
    );
    let files = [("hosts/local.toml", HOST), ("apps/looped/app.toml", &app), ("apps/looped/app.conf", "x\n")];
    stage.commit(&[&[("fleet.toml", FLEET)], &files[..]].concat());
}

fn running(container: &str) -> bool {
    let output = docker(&["inspect", "-f", "{{.State.Running}}", container]);
    String::from_utf8_lossy(&output.stdout).trim() == "true"
}

fn soon(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The binary on the stage's repository, with a state of its own.
fn binary(stage: &Stage, words: &[&str]) -> Command {
    let (state, repo) = (stage.dir.path().join("cli-state"), stage.repo());
    let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
    command
        .args(words)
        .args(["--repo", &repo.display().to_string(), "--state-dir", &state.display().to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

#[test]
fn the_loop_takes_commits_heals_and_ends_when_asked() {
    let stage = Stage::new("looped");
    commit(&stage, "1");
    let binary = |words: &[&str]| binary(&stage, words);
    let mut trueup =
        Running(binary(&["run"]).spawn().expect("the binary"), &["looped-test-0", "looped-test-1"]);
    soon("the first commit is carried out", || running("looped-test-0"));

    // One writer (D10): a second process is refused and told who holds it.
    let second = binary(&["apply", "--yes"]).output().expect("the binary");
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(1) && told.contains("trueup run"), "{told}");

    docker(&["rm", "-f", "looped-test-0"]);
    soon("an event wakes it and it heals", || running("looped-test-0"));
    commit(&stage, "2");
    soon("a commit wakes it", || running("looped-test-1"));
    commit(&stage, "\"many\"");
    docker(&["rm", "-f", "looped-test-1"]);
    soon("a broken commit keeps the last good one enforced", || running("looped-test-1"));

    let ended = Command::new("kill").args(["-TERM", &trueup.0.id().to_string()]).status().expect("kill");
    assert!(ended.success());
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = trueup.0.try_wait().expect("a status") {
            assert_eq!(status.code(), Some(0));
            break;
        }
        assert!(Instant::now() < end, "it did not end");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Two apps; one of them with a health check that says `health`.
fn commit_two(stage: &Stage, health: &str, deadline: &str) {
    let app = |name: &str, health: &str| {
        format!(
            "app = \"{name}\"\nenvironments = [\"test\"]\nreplicas = 1\nimage = \"{}\"\npull = \"never\"\n\
             command = [\"/bin/busybox\", \"sleep\", \"600\"]\nstop_timeout = \"1s\"\n[rollout]\nmin_healthy = \"0s\"\n\
             healthy_deadline = \"{deadline}\"\n[health]\ncommand = [\"/bin/busybox\", \"{health}\"]\ninterval = \"1s\"\nretries = 1\n",
            stage.image
        )
    };
    stage.commit(&[
        ("fleet.toml", FLEET),
        ("hosts/local.toml", HOST),
        ("apps/stuck/app.toml", &app("stuck", health)),
        ("apps/near/app.toml", &app("near", "true")),
    ]);
}

/// D6, D3, D5: five minutes of waiting for a health that does not come hold up neither healing nor a newer commit.
#[test]
fn the_loop_goes_on_while_a_rollout_waits() {
    let stage = Stage::new("stuck");
    commit_two(&stage, "true", "5m");
    let child = binary(&stage, &["run"]).stderr(Stdio::null()).spawn().expect("the binary");
    let trueup = Running(child, &["stuck-test-0", "stuck-test-0.trueup-old", "near-test-0"]);
    soon("both run", || running("stuck-test-0") && running("near-test-0"));
    commit_two(&stage, "false", "5m");
    soon("the rollout has begun", || exists("stuck-test-0.trueup-old") && running("stuck-test-0"));
    docker(&["rm", "-f", "near-test-0"]);
    soon("its neighbour is healed meanwhile", || running("near-test-0"));
    soon("status tells of it", || {
        let told = binary(&stage, &["status"]).output().expect("the binary");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        told.contains("UNDER WAY") && told.contains("wait until container stuck-test-0 is healthy")
    });
    assert!(exists("stuck-test-0.trueup-old"), "it waits still");
    commit_two(&stage, "uptime", "5m");
    soon("a newer commit overtakes it", || {
        let check = docker(&["inspect", "-f", "{{.Config.Healthcheck.Test}}", "stuck-test-0"]);
        String::from_utf8_lossy(&check.stdout).contains("uptime") && !exists("stuck-test-0.trueup-old")
    });
    drop(trueup);
}

/// D2, D5: killed while it waited, the next process lets the new one have its time and then goes back to what ran well.
#[test]
fn a_rollout_that_was_killed_while_it_waited_goes_back() {
    let stage = Stage::new("fallen");
    let check = || {
        let check =
            docker(&["inspect", "-f", "{{.State.Running}} {{.Config.Healthcheck.Test}}", "fallen-test-0"]);
        String::from_utf8_lossy(&check.stdout).into_owned()
    };
    let commit = |health: &str| {
        let app = format!(
            "app = \"fallen\"\nenvironments = [\"test\"]\nreplicas = 1\nimage = \"{}\"\npull = \"never\"\n\
             command = [\"/bin/busybox\", \"sleep\", \"600\"]\nstop_timeout = \"1s\"\n[rollout]\nmin_healthy = \"0s\"\n\
             healthy_deadline = \"4s\"\n[health]\ncommand = [\"/bin/busybox\", \"{health}\"]\ninterval = \"1s\"\nretries = 1\n",
            stage.image
        );
        stage.commit(&[("fleet.toml", FLEET), ("hosts/local.toml", HOST), ("apps/fallen/app.toml", &app)]);
    };
    let run = || binary(&stage, &["run"]).stderr(Stdio::null()).spawn().expect("the binary");
    commit("true");
    let first = Running(run(), &[]);
    soon("it runs", || check().starts_with("true"));
    commit("false");
    soon("the rollout has begun", || exists("fallen-test-0.trueup-old") && check().contains("false]"));
    drop(first);
    let _second = Running(run(), &["fallen-test-0", "fallen-test-0.trueup-old", "fallen-test-0.trueup-new"]);
    soon("the old one is back", || check().starts_with("true") && check().contains("true]"));
    soon("its history says so", || {
        let told = binary(&stage, &["history"]).output().expect("the binary");
        String::from_utf8_lossy(&told.stdout).contains("the old one comes back (D2)")
    });
}

fn exists(container: &str) -> bool {
    docker(&["inspect", container]).status.success()
}

/// A2: the repository is gone when trueup starts again, and what it declared last is enforced all the same.
#[test]
fn a_restart_without_the_repository_goes_on_enforcing_what_was_applied() {
    let stage = Stage::new("homeless");
    let app = format!(
        "app = \"homeless\"\nenvironments = [\"test\"]\nreplicas = 1\nimage = \"{}\"\npull = \"never\"\n\
         command = [\"/bin/busybox\", \"sleep\", \"600\"]\nstop_timeout = \"1s\"\n[rollout]\nmin_healthy = \"0s\"\n",
        stage.image
    );
    stage.commit(&[("fleet.toml", FLEET), ("hosts/local.toml", HOST), ("apps/homeless/app.toml", &app)]);
    let applied = binary(&stage, &["apply", "--yes"]).output().expect("the binary");
    assert_eq!(applied.status.code(), Some(0), "{}", String::from_utf8_lossy(&applied.stderr));

    std::fs::remove_dir_all(stage.repo()).expect("removed");
    docker(&["rm", "-f", "homeless-test-0"]);
    let child = binary(&stage, &["run"]).stderr(Stdio::null()).spawn().expect("the binary");
    let trueup = Running(child, &["homeless-test-0"]);
    soon("it heals", || running("homeless-test-0"));
    drop(trueup);
    let status = binary(&stage, &["status"]).output().expect("the binary");
    let told = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(told.contains("cannot be reached") && told.contains("as the state file kept them"), "{told}");
    assert!(told.contains("  since "), "{told}");
    let named = binary(&stage, &["apply", "--yes", "--rev", "main"]).output().expect("the binary");
    assert_eq!(named.status.code(), Some(1), "what is named has to be there");

    // Where nothing was ever enforced, a repository that is not there is told at once.
    let mut other = Command::new(env!("CARGO_BIN_EXE_trueup"));
    let (state, repo) = (stage.dir.path().join("other-state"), stage.repo());
    other.args(["run", "--repo", &repo.display().to_string(), "--state-dir", &state.display().to_string()]);
    let refused = other.stdin(Stdio::null()).output().expect("the binary");
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));
}
