//! The whole line on the real engine: git → plan → apply → heal, and what must never happen on the way.

#![allow(clippy::expect_used, clippy::panic, clippy::iter_over_hash_type)]

mod stage;

use std::process::{Command, Stdio};

use serde_json::Value;
use stage::{FLEET, HOST, Stage, docker, docker_ok};
use trueup::model::drift::Nature;
use trueup::model::plan::{Outcome, Verb};

const QUIET: &str = "command = [\"/bin/busybox\", \"sleep\", \"3600\"]\nstop_timeout = \"1s\"\n[rollout]\nmin_healthy = \"0s\"\n";

fn app(stage: &Stage, name: &str, replicas: u32, extra: &str) -> (String, String) {
    let text = format!(
        "app = \"{name}\"\nenvironments = [\"test\"]\nruntime = \"host\"\nreplicas = {replicas}\nimage = \"{}\"\n\
         pull = \"never\"\n{extra}\n{QUIET}",
        stage.image
    );
    (format!("apps/{name}/app.toml"), text)
}

fn commit(stage: &Stage, files: &[(String, String)]) {
    let mut all = vec![("fleet.toml", FLEET), ("hosts/local.toml", HOST)];
    all.extend(files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    stage.commit(&all);
}

fn exists(container: &str) -> bool {
    docker(&["inspect", container]).status.success()
}

fn id_of(container: &str) -> String {
    docker_ok(&["inspect", "-f", "{{.Id}}", container])
}

#[tokio::test(flavor = "multi_thread")]
async fn from_git_to_containers_healed_rolled_out_and_pruned() {
    let stage = Stage::new("line");
    commit(&stage, &[app(&stage, "line-a", 2, ""), app(&stage, "line-b", 1, "")]);
    let plan = stage.look().await.plan;
    assert_eq!(plan.exit_code(), 2);
    assert_eq!(plan.changes.iter().filter(|c| c.action == Verb::Create).count(), 3, "{:#?}", plan.changes);
    let _ = stage.apply_in_full().await;
    let before = (id_of("line-a-test-0"), id_of("line-b-test-0"));

    // Healing: removed, stopped and paused by hand; what was not touched keeps its id (D8).
    docker_ok(&["rm", "-f", "line-a-test-1"]);
    docker_ok(&["stop", "-t", "0", "line-a-test-0"]);
    let drift = stage.look().await.plan.drift;
    assert!(
        drift.iter().any(|d| d.subject.name == "line-a-test-1" && d.nature == Nature::Missing),
        "{drift:?}"
    );
    assert!(
        drift.iter().any(|d| d.subject.name == "line-a-test-0" && matches!(d.nature, Nature::NotRunning(_))),
        "{drift:?}"
    );
    let _ = stage.apply_in_full().await;
    assert_eq!((id_of("line-a-test-0"), id_of("line-b-test-0")), before, "started, not replaced; left alone");

    // Rollout: a commit that changes one app replaces that app's instances only.
    commit(&stage, &[app(&stage, "line-a", 2, "env = { MODE = \"new\" }")]);
    let done = stage.apply_in_full().await;
    let replaced: Vec<&str> = done
        .outcomes
        .iter()
        .filter(|(change, _)| change.action == Verb::Replace)
        .map(|(change, _)| change.subject.name.as_str())
        .collect();
    assert_eq!(replaced, ["line-a-test-0", "line-a-test-1"]);
    assert_ne!(id_of("line-a-test-0"), before.0);
    assert_eq!(id_of("line-b-test-0"), before.1);

    // Prune: what the revision no longer declares and is ours goes, and nothing else (B2).
    docker_ok(&["run", "-d", "--name", "line-foreign", &stage.image, "/bin/busybox", "sleep", "600"]);
    let _foreign = Remove("line-foreign");
    is_also_there(&stage, "line-foreign");
    std::fs::remove_dir_all(stage.repo().join("apps/line-b")).expect("the app's folder");
    commit(&stage, &[]);
    let _ = stage.apply_in_full().await;
    assert!(!exists("line-b-test-0"), "pruned");
    assert!(exists("line-foreign"), "not ours, not touched");
}

/// `trueup drift` of the installation tells it beside what it manages, and counts it for nothing.
fn is_also_there(stage: &Stage, container: &str) {
    let dir = stage.repo().parent().expect("the stage's directory").to_owned();
    let settings = dir.join("trueup.toml");
    let text = format!(
        "installation = \"{}\"\nkey_file = \"hash.key\"\nstate_dir = \"state\"\n[repository]\nurl = \"repo\"\n",
        stage.installation
    );
    std::fs::write(&settings, text).expect("the settings");
    std::fs::write(dir.join("hash.key"), "2a".repeat(32)).expect("the key");
    let mut trueup = Command::new(env!("CARGO_BIN_EXE_trueup"));
    trueup.current_dir(&dir).args(["drift", "--format", "json", "--config"]).arg(&settings);
    let output = trueup.stdin(Stdio::null()).output().expect("the binary");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    assert_eq!(output.status.code(), Some(0), "no drift: {told:#}{err}");
    let foreign = told["foreign"].as_array().expect("a list");
    let theirs = foreign.iter().find(|thing| thing["name"] == container);
    let theirs = theirs.unwrap_or_else(|| panic!("{container} is not told: {told:#}"));
    let said = ["kind", "host", "image", "made_by"].map(|key| theirs[key].as_str().expect(key));
    assert_eq!(said, ["container", "local", &stage.image, "nobody"], "{theirs:#}");
    assert!(theirs["created"].is_string() && theirs["detail"].is_null(), "{theirs:#}");
    let ours: Vec<&Value> =
        foreign.iter().filter(|t| t["name"].as_str().is_some_and(|n| n.starts_with("line-a-test"))).collect();
    assert!(ours.is_empty(), "they are its own: {ours:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_is_reported_and_never_touched() {
    let stage = Stage::new("foreign");
    commit(&stage, &[app(&stage, "mine", 1, "")]);
    // The very name, made by somebody else; and a copy of our labels under another name.
    docker_ok(&["run", "-d", "--name", "mine-test-0", &stage.image, "/bin/busybox", "sleep", "600"]);
    let _theirs = Remove("mine-test-0");
    let before = id_of("mine-test-0");
    let done = stage.apply().await;
    assert!(done.last.plan.unmanaged.iter().any(|u| u.collides && u.subject.name == "mine-test-0"));
    assert_eq!(done.last.plan.exit_code(), 3, "blocked, not forced");
    assert_eq!(id_of("mine-test-0"), before);

    docker_ok(&["rm", "-f", "mine-test-0"]);
    let _ = stage.apply_in_full().await;
    let labels: Vec<String> =
        stage::labels_of("mine-test-0").into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    let mut args = vec!["run", "-d", "--name", "mine-copy"];
    for label in &labels {
        args.extend(["--label", label]);
    }
    args.extend([stage.image.as_str(), "/bin/busybox", "sleep", "600"]);
    docker_ok(&args);
    let _copy = Remove("mine-copy");
    commit(&stage, &[app(&stage, "other", 1, "env = { MODE = \"old\" }")]);
    let _ = stage.apply_in_full().await;
    assert!(exists("mine-copy"), "a copied label owns nothing (B1)");

    // Renamed by hand, it still runs: nothing is started beside it.
    docker_ok(&["rm", "-f", "mine-copy"]);
    let before = id_of("mine-test-0");
    docker_ok(&["rename", "mine-test-0", "mine-renamed"]);
    let _renamed = Remove("mine-renamed");
    commit(&stage, &[app(&stage, "other", 1, "env = { MODE = \"new\" }")]);
    let done = stage.apply().await;
    let blocked = &done.last.plan.blocked;
    assert!(
        blocked.iter().any(|b| b.reason.contains("mine-renamed runs there with the labels")),
        "{blocked:#?}"
    );
    assert!(!exists("mine-test-0") && done.last.plan.exit_code() == 3, "{:#?}", done.last.plan);
    let env = docker_ok(&["inspect", "-f", "{{.Config.Env}}", "other-test-0"]);
    assert!(env.contains("MODE=new"), "the others go on: {env}");
    docker_ok(&["rename", "mine-renamed", "mine-test-0"]);
    let _ = stage.apply_in_full().await;
    assert_eq!(id_of("mine-test-0"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_commit_keeps_the_last_good_revision_enforced() {
    let stage = Stage::new("lastgood");
    commit(&stage, &[app(&stage, "kept", 1, "")]);
    let _ = stage.apply_in_full().await;
    stage.commit(&[("apps/kept/app.toml", "app = \"kept\"\nreplicaz = 3\nimage = 7\n")]);
    docker_ok(&["rm", "-f", "kept-test-0"]);
    let done = stage.apply().await;
    let why = done.last.taken.kept_because.clone().expect("the head is refused");
    assert!(why.contains("apps/kept/app.toml:2:1") && why.contains("did you mean"), "{why}");
    assert!(why.contains("apps/kept/app.toml:3:"), "all errors at once: {why}");
    assert!(exists("kept-test-0"), "healed at the last good revision (A2)");

    // A force-push is held too (F0).
    stage::git(&stage.repo(), &["checkout", "-q", "--orphan", "other"]);
    commit(&stage, &[app(&stage, "kept", 5, "")]);
    stage::git(&stage.repo(), &["branch", "-q", "-M", "main"]);
    let done = stage.apply().await;
    let why = done.last.taken.kept_because.clone().expect("held");
    assert!(why.contains("does not descend"), "{why}");
    assert!(!exists("kept-test-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_cannot_start_puts_the_old_one_back() {
    let stage = Stage::new("rollback");
    commit(&stage, &[app(&stage, "steady", 1, "")]);
    let _ = stage.apply_in_full().await;
    let before = id_of("steady-test-0");
    let mut broken = app(&stage, "steady", 1, "");
    broken.1 = broken.1.replace("\"/bin/busybox\", \"sleep\", \"3600\"", "\"/bin/no-such-program\"");
    commit(&stage, &[broken]);
    let done = stage.apply().await;
    let failed: Vec<&Outcome> = done.outcomes.iter().map(|(_, outcome)| outcome).collect();
    assert!(
        failed.iter().any(|o| matches!(o, Outcome::Failed { error, .. } if error.contains("put back"))),
        "{failed:?}"
    );
    assert_eq!(id_of("steady-test-0"), before, "the old container is back");
    assert_eq!(docker_ok(&["inspect", "-f", "{{.State.Running}}", "steady-test-0"]), "true");
    assert!(!exists("steady-test-0.trueup-new") && !exists("steady-test-0.trueup-old"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_repository_takes_nothing_away_unasked() {
    let stage = Stage::new("blast");
    commit(&stage, &[app(&stage, "many", 5, "")]);
    let _ = stage.apply_in_full().await;
    std::fs::remove_dir_all(stage.repo().join("apps/many")).expect("the app's folder");
    commit(&stage, &[]);
    let done = stage.apply().await;
    assert_eq!(done.last.plan.held.len(), 5, "{:#?}", done.last.plan);
    assert_eq!(done.last.plan.exit_code(), 3);
    assert!(exists("many-test-4"), "held until approved by name (B3)");

    let held = done.last.plan.held.iter().map(|c| c.promise()).collect();
    trueup::control::memory::Memory::new(&*stage.world.store)
        .approve(&done.last.plan.held_id, &done.last.plan.revision, &held)
        .expect("an approval");
    let _ = stage.apply_in_full().await;
    assert!(!exists("many-test-0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_answer_is_unknown_and_the_other_goes_on() {
    let stage = Stage::new("unknown");
    let hosts = format!(
        "{HOST}[host.gone]\naddress = \"127.0.0.2\"\nengine = \"unix:///nonexistent/docker.sock\"\nenvironments = [\"test\"]\n"
    );
    let (path, text) = app(&stage, "spread", 1, "");
    let text = format!("{text}[place]\nhosts = [\"local\"]\n");
    stage.commit(&[("fleet.toml", FLEET), ("hosts/local.toml", &hosts), (&path, &text)]);
    let done = stage.apply().await;
    assert!(exists("spread-test-0"), "the host that answers is served");
    assert_eq!(done.last.plan.exit_code(), 3);
    let unknown: Vec<String> = done.last.plan.unknown.iter().map(|u| u.subject.to_string()).collect();
    assert!(unknown.iter().any(|u| u.contains("gone")), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_file_costs_nothing_but_history() {
    let mut stage = Stage::new("lost");
    commit(&stage, &[app(&stage, "rooted", 2, "")]);
    let _ = stage.apply_in_full().await;
    let before = id_of("rooted-test-0");
    std::fs::remove_dir_all(stage.dir.path().join("state")).expect("the state");
    stage.restarted();
    let plan = stage.look().await.plan;
    assert!(plan.is_empty() && plan.exit_code() == 0, "{plan:#?}");
    let _ = stage.apply_in_full().await;
    assert_eq!(id_of("rooted-test-0"), before);
}

struct Remove(&'static str);

impl Drop for Remove {
    fn drop(&mut self) {
        docker(&["rm", "-f", self.0]);
    }
}
