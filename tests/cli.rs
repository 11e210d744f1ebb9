//! The commands as people type them: output, exit codes (section X), refusals.

#![allow(clippy::expect_used, clippy::panic, clippy::iter_over_hash_type)]

mod stage;

use std::process::{Command, Output, Stdio};

use stage::{FLEET, HOST, Stage, docker};

fn trueup(stage: &Stage, args: &[&str]) -> Output {
    let state = stage.dir.path().join("cli-state");
    Command::new(env!("CARGO_BIN_EXE_trueup"))
        .args(args)
        .args(["--state-dir", &state.display().to_string()])
        .stdin(Stdio::null())
        .env("NO_COLOR", "1")
        .output()
        .expect("the binary")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn commit(stage: &Stage) {
    let app = format!(
        "app = \"cli\"\nenvironments = [\"test\"]\nruntime = \"host\"\nreplicas = 1\nimage = \"{}\"\npull = \"never\"\n\
         command = [\"/bin/busybox\", \"sh\", \"-c\", \"echo hello from $HOSTNAME; exec sleep 600\"]\n\
         stop_timeout = \"1s\"\nenv = {{ PASSWORD = \"not-to-be-seen-live\" }}\n[rollout]\nmin_healthy = \"0s\"\n",
        stage.image
    );
    stage.commit(&[("fleet.toml", FLEET), ("hosts/local.toml", HOST), ("apps/cli/app.toml", &app)]);
}

/// Things made by the binary carry its own installation id.
struct Sweep;

impl Drop for Sweep {
    fn drop(&mut self) {
        docker(&["rm", "-f", "cli-test-0"]);
    }
}

#[test]
fn the_commands_tell_what_they_do_and_exit_as_documented() {
    let stage = Stage::new("cli");
    let _sweep = Sweep;
    commit(&stage);
    let repo = stage.repo().display().to_string();
    let repo = ["--repo", repo.as_str()];
    let run = |args: &[&str]| trueup(&stage, &[args, &repo].concat());

    let plan = run(&["plan", "--format", "json"]);
    assert_eq!(code(&plan), 2, "{}", err(&plan));
    let json: serde_json::Value = serde_json::from_str(&out(&plan)).expect("JSON");
    assert_eq!(json["revision"].as_str().map(str::len), Some(40));
    assert!(json["blocked"].is_array() && json["unknown"].is_array());
    let change = &json["changes"][0];
    for (key, value) in
        [("action", "create"), ("kind", "container"), ("name", "cli-test-0"), ("host", "local")]
    {
        assert_eq!(change[key], value, "{change}");
    }
    assert!(change["because"].as_array().is_some_and(|because| !because.is_empty()), "{change}");

    // Off a terminal, what would ask refuses without --yes.
    let apply = run(&["apply"]);
    assert!(err(&apply).contains("--yes"), "{}", err(&apply));
    assert!(!docker(&["inspect", "cli-test-0"]).status.success(), "nothing was done");

    let saved = stage.dir.path().join("plan.json").display().to_string();
    assert_eq!(code(&run(&["plan", "--out", &saved])), 2);
    let apply = run(&["apply", "--yes", "--plan", &saved]);
    assert_eq!(code(&apply), 0, "{}{}", out(&apply), err(&apply));
    assert_eq!(code(&run(&["plan"])), 0);
    assert_eq!(code(&run(&["drift"])), 0);

    let logs = run(&["logs", "cli-test"]);
    assert!(out(&logs).contains("cli-test-0 | hello from"), "{}{}", out(&logs), err(&logs));
    let status = run(&["status"]);
    assert!(code(&status) == 0 && out(&status).contains("UNVERIFIED"), "{}{}", out(&status), err(&status));
    let history = run(&["history"]);
    assert!(out(&history).contains("cli-test-0"), "{}", out(&history));

    // A pause leaves drift alone and reports it; resume heals.
    assert_eq!(code(&run(&["pause", "cli-test", "--for", "30m", "--reason", "a look"])), 0);
    docker(&["rm", "-f", "cli-test-0"]);
    let apply = run(&["apply", "--yes"]);
    assert!(!docker(&["inspect", "cli-test-0"]).status.success(), "{}", out(&apply));
    let drift = run(&["drift"]);
    assert!(code(&drift) == 2 && out(&drift).contains("paused"), "{}", out(&drift));
    let restart = run(&["restart", "cli-test"]);
    assert_eq!(code(&restart), 3, "it waits for the pause to end: {}{}", out(&restart), err(&restart));
    assert_eq!(code(&run(&["resume", "cli-test"])), 0);
    assert_eq!(code(&run(&["apply", "--yes"])), 0);
    assert!(docker(&["inspect", "cli-test-0"]).status.success());

    // A snapshot holds no secret, and replays.
    let snapshot = stage.dir.path().join("snapshot.json").display().to_string();
    assert_eq!(code(&run(&["snapshot", "save", &snapshot])), 0);
    let text = std::fs::read_to_string(&snapshot).expect("the snapshot");
    assert!(!text.contains("not-to-be-seen-live"), "G1: live env values are hidden");
    let replay = run(&["plan", "--observed", &snapshot]);
    assert_eq!(code(&replay), 0, "{}{}", out(&replay), err(&replay));

    let doctor = run(&["doctor"]);
    assert_eq!(code(&doctor), 0, "{}", out(&doctor));
    assert!(out(&doctor).contains("engine of local"), "{}", out(&doctor));

    let before = stage::git(&stage.repo(), &["rev-parse", "HEAD"]);
    let restart = run(&["restart", "cli-test"]);
    assert_eq!(code(&restart), 0, "{}{}", out(&restart), err(&restart));
    commit_more(&stage);
    let rollback = run(&["rollback", "cli", "--format", "json"]);
    assert_eq!(code(&rollback), 0, "{}{}", out(&rollback), err(&rollback));
    let told: serde_json::Value = serde_json::from_str(&out(&rollback)).expect("JSON");
    assert!(told["branch"].as_str().is_some_and(|b| b.starts_with("trueup/rollback-cli-")), "{told}");
    let branches = stage::git(&stage.repo(), &["branch", "--list", "trueup/*"]);
    assert!(branches.contains("trueup/rollback-cli-"), "{branches}");
    let branch = branches.trim();
    assert_eq!(
        stage::git(&stage.repo(), &["diff", &before, branch, "--", "apps/cli"]),
        "",
        "as it was before"
    );
}

#[test]
fn an_app_and_its_files_are_shown_for_people_and_programs() {
    let stage = Stage::new("cli-show");
    let app = format!(
        "app = \"shown\"\nimage = \"{}\"\npull = \"never\"\n[upstream]\nport = 80\nserver_name = [\"x.example\"]\n",
        stage.image
    );
    let overlay = "env = { MODE = \"a|b\" }\n";
    stage.commit(&[
        ("fleet.toml", FLEET),
        ("hosts/local.toml", HOST),
        ("apps/shown/app.toml", &app),
        ("apps/shown/test.toml", overlay),
    ]);
    let repo = stage.repo().display().to_string();
    let run = |args: &[&str]| {
        let output = trueup(&stage, &[args, &["--repo", &repo]].concat());
        assert_eq!(code(&output), 0, "{}", err(&output));
        out(&output)
    };
    let show = ["config", "show", "shown", "--env", "test"];
    assert!(run(&show).contains("env.MODE = \"a|b\"\n"));
    assert!(run(&[&show[..], &["--origin"]].concat()).contains("# apps/shown/test.toml:1\n"));
    let json: serde_json::Value =
        serde_json::from_str(&run(&[&show[..], &["--format", "json"]].concat())).expect("JSON");
    let lines = json.as_array().expect("a list");
    let mode = lines.iter().find(|line| line["path"] == "env.MODE").expect("the value");
    assert_eq!((&mode["value"], &mode["origin"]), (&"\"a|b\"".into(), &"apps/shown/test.toml:1".into()));
    let markdown = run(&[&show[..], &["--format", "markdown"]].concat());
    assert!(markdown.starts_with("| key | value | from |\n|---|---|---|\n"), "{markdown}");
    assert!(markdown.contains("apps/shown/app.toml:2") && !markdown.contains("a|b"), "{markdown}");

    assert!(run(&["render"]).contains("# ---- nginx/shown-test.conf\n"), "{}", run(&["render"]));
    let json: serde_json::Value = serde_json::from_str(&run(&["render", "--format", "json"])).expect("JSON");
    let file = json["files"]["nginx"]["shown-test.conf"].as_str().expect("the file");
    assert!(file.contains("server_name x.example"), "{file}");
}

fn commit_more(stage: &Stage) {
    let file = stage.repo().join("apps/cli/app.toml");
    let text = std::fs::read_to_string(&file).expect("the app");
    stage.commit(&[("apps/cli/app.toml", &text.replace("sleep 600", "sleep 601"))]);
}

#[test]
fn wrong_use_and_wrong_input_are_told_apart() {
    let stage = Stage::new("usage");
    assert_eq!(code(&trueup(&stage, &["plan", "--no-such-option"])), 64);
    assert_eq!(code(&trueup(&stage, &["no-such-command"])), 64);
    let nowhere = trueup(&stage, &["plan", "--repo", "/nonexistent/repo"]);
    assert!(code(&nowhere) == 1 && err(&nowhere).contains("/nonexistent/repo"), "{}", err(&nowhere));
    let repo = stage.repo().display().to_string();
    stage.commit(&[("fleet.toml", "fleet = \"x\"\nenvironmens = []\n"), ("hosts/a.toml", "[host.a\n")]);
    let check = trueup(&stage, &["config", "check", "--repo", &repo]);
    let told = err(&check);
    assert_eq!(code(&check), 1);
    assert!(told.contains("fleet.toml:2:1") && told.contains("environments"), "{told}");
    assert!(told.contains("hosts/a.toml:1:"), "all at once: {told}");
}

/// Nothing would be restarted: Swarm runs a job once for each change of its spec.
#[test]
fn a_job_is_not_restarted_and_that_is_said() {
    let stage = Stage::new("job");
    let swarm = format!("{FLEET}[swarm.all]\nmanagers = [\"local\"]\n");
    let job = "app = \"tidy\"\nenvironments = [\"test\"]\nruntime = \"swarm\"\nreplicas = 1\nimage = \"tidy:1\"\npull = \"never\"\n\
               [swarm]\njob = true\n";
    stage.commit(&[("fleet.toml", &swarm), ("hosts/local.toml", HOST), ("apps/tidy/app.toml", job)]);
    let repo = stage.repo().display().to_string();
    let restart = trueup(&stage, &["restart", "tidy-test", "--request", "--repo", &repo]);
    let told = err(&restart);
    assert!(code(&restart) == 1 && told.contains("tidy-test is a job"), "{told}");
}

/// A result that is not complete is an error (X), and so is a state file that nobody told of (H).
#[test]
fn what_goes_wrong_with_output_or_state_is_told() {
    let stage = Stage::new("told");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let schema = Command::new(env!("CARGO_BIN_EXE_trueup"))
        .arg("schema")
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .expect("the binary");
    assert!(code(&schema) == 1 && err(&schema).contains("could not be written"), "{}", err(&schema));

    let repo = stage.repo().display().to_string();
    assert_eq!(code(&trueup(&stage, &["history", "--repo", &repo])), 0);
    let state = stage.dir.path().join("cli-state/trueup.db");
    std::fs::write(&state, "no database, whatever its name says\n".repeat(40)).expect("the state file");
    let history = trueup(&stage, &["history", "--repo", &repo]);
    assert_eq!(code(&history), 0, "{}", err(&history));
    assert!(err(&history).contains("warning: the state file was damaged"), "{}", err(&history));
    assert_eq!(err(&trueup(&stage, &["history", "--repo", &repo])), "", "told once");

    // Who only looks sets nothing aside and says who does: where nothing is ever applied, as beside the jobs of a forge, too.
    let filled = rusqlite::Connection::open(&state).expect("the state file");
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                INSERT INTO records SELECT 'backoff', 'k' || i, 'x' || i FROM n; PRAGMA wal_checkpoint(TRUNCATE);";
    filled.execute_batch(many).expect("filled");
    drop(filled);
    let mut bytes = std::fs::read(&state).expect("the state file");
    bytes[4096 * 2..].fill(0xee);
    std::fs::write(&state, bytes).expect("written");
    let look = trueup(&stage, &["status", "--repo", &repo]);
    assert!(code(&look) == 1 && err(&look).contains("`trueup history` sets it aside"), "{}", err(&look));
    let history = trueup(&stage, &["history", "--repo", &repo]);
    assert!(
        code(&history) == 0 && err(&history).contains("warning: the state file was damaged"),
        "{}",
        err(&history)
    );
    let look = trueup(&stage, &["status", "--repo", &repo]);
    assert!(!err(&look).contains("damaged"), "{}", err(&look));
}

#[test]
fn a_starter_repository_is_good_and_completions_are_generated() {
    let stage = Stage::new("init");
    let at = stage.dir.path().join("the trader's fleet").display().to_string();
    let begun = trueup(&stage, &["init", &at]);
    assert_eq!(code(&begun), 0);
    assert_eq!(code(&trueup(&stage, &["init", &at])), 1, "never over what is there");
    // What it says comes next is done to the letter, but for the plan, which would dial.
    let said = out(&begun);
    let (_, next) = said.split_once("Next: look at the files, then\n").expect("what comes next");
    let (next, plan) = next.trim_end().rsplit_once('\n').expect("several lines");
    assert_eq!(plan.trim(), "trueup plan --repo .");
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_trueup")).parent().expect("its directory");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").expect("PATH"));
    let done = Command::new("sh")
        .args(["-euc", next])
        .env("PATH", path)
        .env("HOME", stage.dir.path())
        .envs(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"].map(|name| (name, "a test")))
        .envs(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "test@localhost")))
        .env_remove("XDG_STATE_HOME")
        .output()
        .expect("sh");
    assert!(done.status.success() && out(&done).contains(" is good: "), "{}{}", out(&done), err(&done));
    let completions = trueup(&stage, &["completions", "bash"]);
    assert!(code(&completions) == 0 && out(&completions).contains("_trueup"));
    let schema = trueup(&stage, &["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&out(&schema)).expect("JSON");
    assert!(schema.is_object());
}
