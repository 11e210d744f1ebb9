//! `kill -9` of the real binary in the middle of its work on the real engine, again and again: afterwards one apply is
//! enough, and there is no orphan, no duplicate, nothing forgotten (D5).

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod stage;

use std::process::{Command, Stdio};
use std::time::Duration;

use stage::{FLEET, HOST, Stage, docker};

fn trueup(stage: &Stage, args: &[&str]) -> Command {
    let (state, repo) = (stage.dir.path().join("cli-state"), stage.repo());
    let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
    command
        .args(args)
        .args(["--repo", &repo.display().to_string(), "--state-dir", &state.display().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn commit(stage: &Stage, mode: &str) {
    let app = format!(
        "app = \"crash\"\nenvironments = [\"test\"]\nreplicas = 3\nimage = \"{}\"\npull = \"never\"\n\
         command = [\"/bin/busybox\", \"sleep\", \"600\"]\nstop_timeout = \"1s\"\nenv = {{ MODE = \"{mode}\" }}\n\
         [network.crashnet]\npool = \"all\"\n[rollout]\nmin_healthy = \"0s\"\n",
        stage.image
    );
    let network =
        "[network.crashnet]\nsubnet = \"172.30.91.0/24\"\npools = { all = \"172.30.91.10-172.30.91.19\" }\n";
    stage.commit(&[
        ("fleet.toml", FLEET),
        ("hosts/local.toml", HOST),
        ("networks/crashnet.toml", network),
        ("apps/crash/app.toml", &app),
    ]);
}

struct Sweep;

impl Drop for Sweep {
    fn drop(&mut self) {
        for slot in 0..3 {
            for suffix in ["", ".trueup-new", ".trueup-old"] {
                docker(&["rm", "-f", &format!("crash-test-{slot}{suffix}")]);
            }
        }
        docker(&["network", "rm", "crashnet"]);
    }
}

#[test]
fn killed_at_any_moment_it_finds_its_way_back() {
    let stage = Stage::new("crash");
    let _sweep = Sweep;
    // Each round is a rollout of three instances, cut off a little later than the round before.
    for round in 0..12u64 {
        commit(&stage, &format!("round-{round}"));
        let words: &[&str] = if round % 2 == 0 { &["apply", "--yes"] } else { &["run"] };
        let mut child = trueup(&stage, words).spawn().expect("the binary");
        std::thread::sleep(Duration::from_millis(60 + round * 170));
        let _ = child.kill();
        let _ = child.wait();
    }
    let done = trueup(&stage, &["apply", "--yes"]).stdout(Stdio::piped()).output().expect("the binary");
    let told = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "one apply mends everything: {told}");
    let plan = trueup(&stage, &["plan"]).status().expect("the binary");
    assert_eq!(plan.code(), Some(0), "and a second plan is empty");
    let listed =
        docker(&["ps", "-a", "--filter", "label=io.trueup.app=crash", "--format", "{{.Names}} {{.State}}"]);
    let mut names: Vec<String> = String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names, ["crash-test-0 running", "crash-test-1 running", "crash-test-2 running"]);
    for name in ["crash-test-0", "crash-test-1", "crash-test-2"] {
        let env = stage::docker_ok(&["inspect", "-f", "{{.Config.Env}}", name]);
        assert!(env.contains("MODE=round-11"), "{name} is at the last commit: {env}");
    }
}
