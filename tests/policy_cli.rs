//! Policies as people meet them: `policy test`, `policy list`, `config check`, and a denial from the plan to the
//! override, on a real engine.

#![allow(clippy::expect_used, clippy::panic)]

mod stage;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use stage::{FLEET, HOST, Stage, docker};

fn trueup(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trueup"))
        .args(args)
        .stdin(Stdio::null())
        .env("NO_COLOR", "1")
        .output()
        .expect("the binary")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).expect("a file");
}

const RULE: &str = "package team\n\nimport rego.v1\n\ndeny contains \"no\" if input.apps == []\n";
const TEST: &str = "package team_test\n\nimport rego.v1\n\nimport data.team\n\n\
                    test_no_apps if count(team.deny) == 1 with input.apps as []\n";

#[test]
fn tests_of_rules_run_with_an_exit_code() {
    let own = trueup(&["policy", "test"]);
    assert!(code(&own) == 0 && said(&own).contains(" passed, 0 failed"), "{}", said(&own));
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().display().to_string();
    assert_eq!(code(&trueup(&["policy", "test", &at])), 1, "no test at all is no success");
    write(dir.path(), "team.rego", RULE);
    write(dir.path(), "team_test.rego", TEST);
    assert_eq!(code(&trueup(&["policy", "test", &at])), 0);
    write(dir.path(), "team_test.rego", &TEST.replace("== 1", "== 2"));
    let failed = trueup(&["policy", "test", &at, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&failed.stdout).expect("JSON");
    assert!(code(&failed) == 1 && json["ok"] == false, "{json}");
    assert_eq!(json["tests"][0]["name"], "team_test.test_no_apps");
    assert_eq!(json["tests"][0]["line"], 7);
    write(dir.path(), "team.rego", "package team\n\nimport rego.v1\n\ndeny contains\n");
    let broken = trueup(&["policy", "test", &at]);
    assert!(code(&broken) == 1 && said(&broken).contains("team.rego:6:1: "), "{}", said(&broken));
}

#[test]
fn a_commit_with_wrong_rules_is_told_with_everything_else() {
    let stage = Stage::new("policycheck");
    let repo = stage.repo().display().to_string();
    let state = stage.dir.path().join("cli-state").display().to_string();
    let check = || trueup(&["config", "check", "--repo", &repo, "--state-dir", &state]);
    stage.commit(&[("fleet.toml", FLEET), ("hosts/local.toml", HOST), ("policies/team.rego", RULE)]);
    assert_eq!(code(&check()), 0, "{}", said(&check()));
    let fails = RULE.replace("input.apps == []", "unheard_of(input.apps)");
    stage.commit(&[("policies/team.rego", &fails), ("hosts/local.toml", "[host.local\n")]);
    let told = said(&check());
    assert_eq!(code(&check()), 1);
    assert!(told.contains("policies/team.rego:5:") && told.contains("unheard_of"), "{told}");
    assert!(told.contains("hosts/local.toml:1:"), "all at once: {told}");
}

/// What the test makes carries the settings' own installation id.
struct Sweep;

impl Drop for Sweep {
    fn drop(&mut self) {
        docker(&["rm", "-f", "polcli-test-0"]);
    }
}

#[test]
fn a_denial_is_shown_overridden_and_remembered() {
    let stage = Stage::new("policycli");
    let _sweep = Sweep;
    let dir = stage.dir.path();
    write(dir, "hash.key", &"ab".repeat(32));
    let settings = format!(
        "installation = \"policycli\"\nkey_file = \"hash.key\"\nstate_dir = \"cli-state\"\n\
         [repository]\nurl = \"{}\"\n[policy]\nregistries = [\"registry.example\"]\n\
         rules = {{ limits_required = \"final\" }}\n",
        stage.repo().display()
    );
    write(dir, "trueup.toml", &settings);
    let config = dir.join("trueup.toml").display().to_string();
    let run = |args: &[&str]| trueup(&[args, &["--config", &config]].concat());
    let app = |more: &str| {
        format!(
            "app = \"polcli\"\nenvironments = [\"test\"]\nruntime = \"host\"\nreplicas = 1\nimage = \"{}\"\n\
             pull = \"never\"\ncommand = [\"/bin/busybox\", \"sleep\", \"600\"]\nstop_timeout = \"1s\"\n{more}\
             [rollout]\nmin_healthy = \"0s\"\n",
            stage.image
        )
    };
    stage.commit(&[("fleet.toml", FLEET), ("hosts/local.toml", HOST), ("apps/polcli/app.toml", &app(""))]);
    let list = run(&["policy", "list"]);
    let lines = said(&list);
    assert!(code(&list) == 0 && lines.contains("the library alone judges"), "{lines}");
    assert!(lines.lines().any(|l| l.starts_with("limits_required") && l.contains("final")), "{lines}");

    let plan = |format: &str| run(&["plan", "--format", format]);
    assert!(
        said(&plan("text")).contains("HELD limits_required (final): polcli-test"),
        "{}",
        said(&plan("text"))
    );
    assert!(said(&plan("text")).contains("this rule is final"), "{}", said(&plan("text")));
    let json =
        |output: &Output| -> serde_json::Value { serde_json::from_slice(&output.stdout).expect("JSON") };
    let held = json(&plan("json"));
    assert_eq!((code(&plan("json")), held["exit_code"].as_i64()), (3, Some(3)));
    assert_eq!(held["changes"], serde_json::json!([]));
    assert!(said(&plan("markdown")).contains("### Policies"), "{}", said(&plan("markdown")));

    // What is final is mended in a commit; what is overridable may be let through with a reason.
    stage.commit(&[("apps/polcli/app.toml", &app("[limits]\ncpus = 0.5\nmemory = \"32MiB\"\n"))]);
    let text = said(&plan("text"));
    let id = text
        .split("trueup override ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("an id")
        .to_owned();
    assert_eq!(code(&run(&["apply", "--yes"])), 3);
    assert!(!docker(&["inspect", "polcli-test-0"]).status.success(), "nothing was started");
    assert_eq!(code(&run(&["override", "000000000000", "--reason", "no"])), 1);
    let pass = run(&["override", &id, "--reason", "Ada: a trial"]);
    assert_eq!(code(&pass), 0, "{}", said(&pass));
    let status = said(&run(&["status"]));
    assert!(status.contains("overridden allowed_registries") && status.contains("Ada: a trial"), "{status}");
    let apply = run(&["apply", "--yes"]);
    assert_eq!(code(&apply), 0, "{}", said(&apply));
    assert!(docker(&["inspect", "polcli-test-0"]).status.success());
    assert_eq!(code(&plan("text")), 0);
    let history = said(&run(&["history"]));
    assert!(history.contains("Ada: a trial"), "{history}");
    let list = said(&run(&["policy", "list", "--format", "json"]));
    assert!(list.contains("\"registries\""), "{list}");
}
