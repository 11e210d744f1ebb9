//! By whose rules `trueup check` judges (F1): by those that were applied last, as the reconciler does, where a state or a snapshot
//! knows them; else by the base's, and the answer says so.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod stage;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use stage::git;

const RULE: &str = "package team\n\nimport rego.v1\n\ndeny contains msg if {\n\tsome app in input.apps\n\t\
                    app.after.replicas > 3\n\tmsg := \"too many\"\n}\n";
/// Nobody answers there.
const HOST: &str = "[host.far]\naddress = \"192.0.2.1\"\nengine = \"unix:///nowhere/engine.sock\"\nenvironments = [\"test\"]\n";

/// A repository whose main has taken the rule away since it was applied, and a branch from there that the rule denies.
struct Pull {
    dir: tempfile::TempDir,
    applied: String,
    tip: String,
}

impl Pull {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut pull = Self { dir, applied: String::new(), tip: String::new() };
        std::fs::create_dir(pull.repo()).expect("a directory");
        git(&pull.repo(), &["init", "-q", "-b", "main"]);
        let app = |replicas: u32| {
            format!(
                "app = \"web\"\nenvironments = [\"test\"]\nimage = \"app:1\"\nruntime = \"host\"\nreplicas = {replicas}\n"
            )
        };
        let fleet = "fleet = \"pulls\"\nenvironments = [\"test\"]\n";
        let files = [
            ("fleet.toml", fleet),
            ("hosts/far.toml", HOST),
            ("apps/web/app.toml", &app(1)),
            ("policies/team.rego", RULE),
        ];
        pull.applied = pull.commit(&BTreeMap::from(files));
        let (code, _, err) = pull.trueup("state", &["trust", &pull.applied]);
        assert_eq!(code, 0, "{err}");
        git(&pull.repo(), &["rm", "-q", "policies/team.rego"]);
        pull.tip = pull.commit(&BTreeMap::new());
        git(&pull.repo(), &["checkout", "-q", "-b", "branch"]);
        pull.commit(&BTreeMap::from([("apps/web/app.toml", &*app(4))]));
        pull
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    fn snapshot(&self) -> String {
        self.dir.path().join("snapshot.json").display().to_string()
    }

    fn commit(&self, files: &BTreeMap<&str, &str>) -> String {
        for (path, text) in files {
            let file = self.repo().join(path);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            std::fs::write(file, text).expect("a file");
        }
        git(&self.repo(), &["add", "-A"]);
        git(&self.repo(), &["commit", "-q", "-m", "a change"]);
        git(&self.repo(), &["rev-parse", "HEAD"])
    }

    fn trueup(&self, state: &str, args: &[&str]) -> (i32, String, String) {
        self.trueup_in(&self.repo(), state, args)
    }

    fn trueup_in(&self, repo: &Path, state: &str, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
        command.args(args).arg("--repo").arg(repo);
        command.arg("--state-dir").arg(self.dir.path().join(state)).env("NO_COLOR", "1");
        let output = command.stdin(Stdio::null()).output().expect("the binary");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().expect("a code"), text(&output.stdout), text(&output.stderr))
    }

    /// The text, and the same as JSON.
    fn check(&self, state: &str, more: &[&str]) -> (String, Value) {
        let args = [&["check", "--base", "main", "--head", "branch"], more].concat();
        let (_, text, err) = self.trueup(state, &args);
        assert!(!text.is_empty(), "{err}");
        let (_, json, err) = self.trueup(state, &[&args[..], &["--format", "json"]].concat());
        (text, serde_json::from_str(&json).unwrap_or_else(|e| panic!("{e}: {err}")))
    }
}

fn is_denied(told: &Value) -> bool {
    told["findings"].to_string().contains("too many")
}

#[test]
fn rules_that_the_base_took_away_judge_until_that_is_applied() {
    let pull = Pull::new();
    // Where trueup runs: as the reconciler will.
    for more in [&["--no-fleet"][..], &[]] {
        let (text, told) = pull.check("state", more);
        assert!(is_denied(&told) && told["exit_code"] == 3, "{told:#}");
        assert_eq!(told["judged_by"]["revision"], pull.applied.as_str());
        assert!(text.contains("as they were applied last"), "{text}");
    }
    // A runner that has nothing but the clone says what it judged by.
    let (text, told) = pull.check("other", &["--no-fleet"]);
    assert!(!is_denied(&told), "{told:#}");
    assert_eq!(told["judged_by"]["revision"], pull.tip.as_str());
    assert!(text.contains("which revision was applied last is not known here"), "{text}");

    // One that has a snapshot knows.
    let (code, _, err) = pull.trueup("state", &["snapshot", "save", &pull.snapshot()]);
    assert!(code == 0 || code == 3, "{err}");
    let (_, told) = pull.check("other", &["--observed", &pull.snapshot()]);
    assert!(is_denied(&told) && told["judged_by"]["revision"] == pull.applied.as_str(), "{told:#}");
    // Also beside a state that is another's.
    assert_eq!(pull.trueup("stale", &["trust", &pull.tip]).0, 0);
    let (_, told) = pull.check("stale", &["--observed", &pull.snapshot()]);
    assert!(is_denied(&told) && told["judged_by"]["revision"] == pull.applied.as_str(), "{told:#}");
    // Of an earlier release, or of a commit that is not in the clone: it says so.
    let saved = std::fs::read_to_string(pull.snapshot()).expect("a snapshot");
    for (instead, why) in [(None, "not known here"), (Some("7".repeat(40)), "is not in this clone")] {
        let mut saved: Value = serde_json::from_str(&saved).expect("JSON");
        match instead {
            Some(instead) => saved["judged_by"]["revision"] = instead.into(),
            None => drop(saved.as_object_mut().expect("an object").remove("judged_by")),
        }
        std::fs::write(pull.snapshot(), saved.to_string()).expect("a file");
        let (_, told) = pull.check("other", &["--observed", &pull.snapshot()]);
        assert!(!is_denied(&told), "{told:#}");
        assert!(told["judged_by"]["stand_in"].to_string().contains(why), "{told:#}");
    }

    // Once it is applied that the rule goes, it is gone.
    assert_eq!(pull.trueup("state", &["trust", &pull.tip]).0, 0);
    let (_, told) = pull.check("state", &["--no-fleet"]);
    assert!(!is_denied(&told) && told["judged_by"]["stand_in"].is_null(), "{told:#}");
}

/// A state that is another fleet's tells nothing of this one.
#[test]
fn the_state_of_another_fleet_is_not_asked() {
    let pull = Pull::new();
    git(&pull.repo(), &["checkout", "-q", "--orphan", "other"]);
    let fleet = "fleet = \"others\"\nenvironments = [\"test\"]\n";
    let other = pull.commit(&BTreeMap::from([("fleet.toml", fleet), ("policies/team.rego", RULE)]));
    assert_eq!(pull.trueup("other", &["trust", &other]).0, 0);
    let (_, told) = pull.check("other", &["--no-fleet"]);
    assert!(!is_denied(&told), "{told:#}");
    assert!(told["judged_by"]["stand_in"].to_string().contains("of another fleet"), "{told:#}");

    // Nor one that was begun by a revision's name, whose rules judge nothing yet.
    let (_, _, err) = pull.trueup("named", &["apply", "--yes", "--rev", &other]);
    let (_, told) = pull.check("named", &["--no-fleet"]);
    assert!(told["judged_by"]["stand_in"].to_string().contains("of another fleet"), "{err}{told:#}");
}

/// Why the host of this name is unknown to the forecast.
fn unknown(told: &Value, host: &str) -> String {
    let all = told["forecast"]["unknown"].as_array().cloned().unwrap_or_default();
    let of_it = |one: &&Value| one["kind"] == "host" && one["name"] == host;
    all.iter().find(of_it).map(|one| one["why"].to_string()).unwrap_or_default()
}

/// Whom it lets dial nobody can tell, so that nobody is dialled (F4, A1); what else there is to say is said.
#[test]
fn a_state_whose_revision_is_not_in_this_clone_is_no_error() {
    let (pull, elsewhere) = (Pull::new(), Pull::new());
    let gone = elsewhere.commit(&BTreeMap::from([("README.md", "of another clone")]));
    let state = elsewhere.dir.path().join("gone").display().to_string();
    assert_eq!(elsewhere.trueup(&state, &["trust", &gone]).0, 0);
    let (text, told) = pull.check(&state, &[]);
    assert!(unknown(&told, "far").contains("is not in this clone"), "{text}{told:#}");
    assert_eq!(told["exit_code"], 3);
}

/// F4: what another fleet's reconciler enforces says nothing of whom to dial here, and what ran there proves nothing here. One
/// that was only renamed is no other.
#[test]
fn the_fleet_of_another_state_is_not_asked_for() {
    let pull = Pull::new();
    let proof = "package proof\n\nimport rego.v1\n\ndeny contains \"somebody knows\" if input.healthy_in_test != null\n";
    git(&pull.repo(), &["checkout", "-q", "main"]);
    let tip = pull.commit(&BTreeMap::from([("policies/proof.rego", proof)]));
    git(&pull.repo(), &["checkout", "-q", "--orphan", "other"]);
    let fleet = |name: &str| format!("fleet = \"{name}\"\nenvironments = [\"test\"]\n");
    let other =
        pull.commit(&BTreeMap::from([("fleet.toml", &*fleet("others")), ("policies/team.rego", RULE)]));
    for (state, revision) in [("other", &other), ("own", &tip)] {
        let (code, _, err) = pull.trueup(state, &["trust", revision]);
        assert_eq!(code, 0, "{err}");
    }
    let (_, told) = pull.check("other", &[]);
    assert!(unknown(&told, "far").contains("/nowhere/engine.sock"), "{told:#}");
    assert!(!told["findings"].to_string().contains("somebody knows"), "{told:#}");
    let (_, told) = pull.check("own", &[]);
    assert!(told["findings"].to_string().contains("somebody knows"), "{told:#}");

    git(&pull.repo(), &["checkout", "-q", "main"]);
    let near = HOST.replace("far", "near");
    pull.commit(&BTreeMap::from([("fleet.toml", &*fleet("renamed")), ("hosts/near.toml", &near)]));
    git(&pull.repo(), &["checkout", "-q", "-B", "branch"]);
    pull.commit(&BTreeMap::from([("README.md", "x")]));
    let (_, told) = pull.check("own", &[]);
    assert!(unknown(&told, "near").contains("the enforced revision does not name its engine"), "{told:#}");
}

/// A1, F4: a clone that ends before what is enforced cannot tell whether the fleet was only renamed, and opens nothing.
#[test]
fn a_renamed_fleet_in_a_clone_that_ends_early_is_as_closed_as_it_was() {
    let pull = Pull::new();
    git(&pull.repo(), &["checkout", "-q", "main"]);
    assert_eq!(pull.trueup("own", &["trust", &pull.tip]).0, 0);
    // With it the state keeps the files.
    let (_, _, err) = pull.trueup("own", &["apply", "--yes"]);
    let near = HOST.replace("far", "near");
    let renamed = "fleet = \"renamed\"\nenvironments = [\"test\"]\n";
    pull.commit(&BTreeMap::from([("fleet.toml", renamed), ("hosts/near.toml", &near)]));
    // So that what is enforced is not even known there as a parent.
    pull.commit(&BTreeMap::from([("README.md", "x")]));
    pull.commit(&BTreeMap::from([("README.md", "y")]));
    git(&pull.repo(), &["checkout", "-q", "-B", "branch"]);
    pull.commit(&BTreeMap::from([("README.md", "z")]));
    let (from, shallow) = (format!("file://{}", pull.repo().display()), pull.dir.path().join("shallow"));
    let to = shallow.display().to_string();
    git(pull.dir.path(), &["clone", "-q", "--depth", "2", "--no-single-branch", &from, &to]);
    let args = ["check", "--base", "origin/main", "--head", "origin/branch", "--format", "json"];
    let (_, told, said) = pull.trueup_in(&shallow, "own", &args);
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|e| panic!("{e}: {err}{said}"));
    assert!(unknown(&told, "near").contains("the enforced revision does not name its engine"), "{told:#}");
}

/// F1, F4: in mode `signed`, whoever may push and not sign opens nothing by another name of the fleet.
#[test]
fn the_name_of_a_fleet_opens_nothing_where_signatures_are_asked_for() {
    let pull = Pull::new();
    let applied = pull.applied.clone();
    assert_eq!(pull.trueup("own", &["trust", &applied]).0, 0);
    git(&pull.repo(), &["checkout", "-q", "--orphan", "pushed"]);
    let pushed = "fleet = \"pushed\"\nenvironments = [\"test\"]\n";
    pull.commit(&BTreeMap::from([("fleet.toml", pushed)]));
    git(&pull.repo(), &["branch", "-q", "-f", "main"]);
    git(&pull.repo(), &["checkout", "-q", "-B", "branch"]);
    pull.commit(&BTreeMap::from([("README.md", "x")]));
    let (_, told) = pull.check("own", &[]);
    assert!(unknown(&told, "far").contains("/nowhere/engine.sock"), "{told:#}");

    let key = pull.dir.path().join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.expect("ssh-keygen (Debian package openssh-client)").success());
    let public = std::fs::read_to_string(key.with_extension("pub")).expect("the key");
    let signer = format!("ada@example.org {}", public.trim());
    let settings = format!(
        "installation = \"t\"\nkey_file = \"hash.key\"\n[repository]\nurl = {:?}\n[permission]\nmode = \"signed\"\nsigners = [{signer:?}]\n",
        pull.repo().display().to_string()
    );
    let at = pull.dir.path().join("trueup.toml").display().to_string();
    std::fs::write(&at, settings).expect("a file");
    std::fs::write(pull.dir.path().join("hash.key"), "0".repeat(64)).expect("a file");
    let (_, told) = pull.check("own", &["--config", &at]);
    assert!(unknown(&told, "far").contains("is of another fleet (pulls)"), "{told:#}");
}
