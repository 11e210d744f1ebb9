//! `trueup check` as a pull request meets it: what it says and ends with, what it dials, and the jobs of docs/pull-requests.md
//! on each forge.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod parts;
mod stage;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parts::forge;
use saphyr_parser::{Event, Parser};
use serde_json::Value;
use stage::{docker, docker_ok, git};

const RULE: &str = "package team\n\nimport rego.v1\n\ndeny contains msg if {\n\tsome app in input.apps\n\t\
                    app.after.replicas > 3\n\tmsg := \"too many\"\n}\n";
const OWNERS: &str = "* @ops\napps/web/ @org/web\n";

/// A repository with a branch, and where trueup keeps what it keeps.
struct Pull {
    dir: tempfile::TempDir,
    /// One for each test, on the one engine of the machine.
    image: String,
}

impl Pull {
    fn new(name: &str) -> Self {
        let image = format!("trueup-test-check-{name}:1");
        let pull = Self { dir: tempfile::tempdir().expect("a directory"), image };
        std::fs::create_dir(pull.repo()).expect("a directory");
        git(&pull.repo(), &["init", "-q", "-b", "main"]);
        pull.commit(&[
            ("fleet.toml", "fleet = \"pulls\"\nenvironments = [\"test\"]\n"),
            ("hosts/local.toml", stage::HOST),
            ("apps/web/app.toml", &pull.app("1")),
            ("policies/team.rego", RULE),
            ("CODEOWNERS", OWNERS),
        ]);
        git(&pull.repo(), &["checkout", "-q", "-b", "branch"]);
        pull
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    fn app(&self, replicas: &str) -> String {
        format!(
            "app = \"web\"\nenvironments = [\"test\"]\nimage = \"{}\"\npull = \"never\"\nreplicas = {replicas}\n\
             command = [\"/bin/busybox\", \"sleep\", \"3600\"]\n[rollout]\nmin_healthy = \"0s\"\n",
            self.image
        )
    }

    fn commit(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let file = self.repo().join(path);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            std::fs::write(file, text).expect("a file");
        }
        git(&self.repo(), &["add", "-A"]);
        git(&self.repo(), &["commit", "-q", "-m", "a change"]);
    }

    fn trueup(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
        command
            .args(args)
            .arg("--repo")
            .arg(self.repo())
            .arg("--state-dir")
            .arg(self.dir.path().join("state"));
        let output = command.env("NO_COLOR", "1").stdin(Stdio::null()).output().expect("the binary");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().expect("a code"), text(&output.stdout), text(&output.stderr))
    }

    fn check(&self, more: &[&str]) -> (i32, String, String) {
        self.trueup(&[&["check", "--base", "main", "--head", "branch"], more].concat())
    }

    fn json(&self, more: &[&str]) -> (i32, Value) {
        let (code, out, err) = self.check(&[more, &["--format", "json"]].concat());
        (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {err}")))
    }
}

/// What the test leaves on the machine's engine goes with it.
struct Sweep(String);

impl Drop for Sweep {
    fn drop(&mut self) {
        docker(&["rm", "-f", self.0.trim_end_matches(":1")]);
        docker(&["rmi", "-f", &self.0]);
    }
}

#[test]
fn a_branch_is_told_with_its_exit_code() {
    let pull = Pull::new("told");
    let nothing = &["--no-fleet"];
    pull.commit(&[("README.md", "hello\n")]);
    let (code, told) = pull.json(nothing);
    assert_eq!((code, &told["declared"]), (0, &Value::Array(vec![])), "{told:#}");
    assert_eq!(told["touched"][0]["owners"][0]["names"][0], "@ops");

    // Changed: what it was and is, and where it says so; the owner is the last that matches.
    pull.commit(&[("apps/web/app.toml", &pull.app("2"))]);
    let (code, told) = pull.json(nothing);
    assert_eq!(code, 2, "{told:#}");
    let value = &told["declared"][0]["values"][0];
    assert_eq!(
        (&value["path"], &value["before"], &value["after"]),
        (&"replicas".into(), &"1".into(), &"2".into())
    );
    assert_eq!(value["origin"], "apps/web/app.toml:5");
    let web =
        told["touched"].as_array().expect("files").iter().find(|file| file["path"] == "apps/web/app.toml");
    assert_eq!(web.expect("the app")["owners"][0]["names"][0], "@org/web");

    // The base's rules judge, even where the branch takes them away and owns itself.
    pull.commit(&[("apps/web/app.toml", &pull.app("4")), ("CODEOWNERS", "* @me\n")]);
    git(&pull.repo(), &["rm", "-q", "policies/team.rego"]);
    git(&pull.repo(), &["commit", "-q", "-m", "no rules"]);
    let (code, told) = pull.json(nothing);
    assert_eq!((code, &told["rules"][0]), (3, &"policies/team.rego".into()), "{told:#}");
    assert!(told["findings"].to_string().contains("too many"), "{told:#}");
    assert!(!told.to_string().contains("@me"), "{told:#}");
    for (format, sign) in [("text", "too many"), ("markdown", "too many")] {
        let (code, out, _) = pull.check(&["--no-fleet", "--format", format]);
        assert!(code == 3 && out.contains(sign), "{out}");
    }

    // Not valid: everything at once, with its place (A3).
    pull.commit(&[
        ("apps/web/app.toml", "app = \"web\"\nimagee = \"x:1\"\n"),
        ("hosts/local.toml", "[host.local]\n"),
    ]);
    for format in ["text", "json", "markdown"] {
        let (code, out, _) = pull.check(&["--no-fleet", "--format", format]);
        assert!(
            code == 1 && out.contains("apps/web/app.toml:2") && out.contains("hosts/local.toml"),
            "{out}"
        );
    }

    // The base went on meanwhile: what it changed is not taken for the branch's.
    git(&pull.repo(), &["checkout", "-q", "main"]);
    pull.commit(&[("apps/other/app.toml", &pull.app("1").replace("\"web\"", "\"other\""))]);
    git(&pull.repo(), &["branch", "-q", "-f", "branch", "main~1"]);
    git(&pull.repo(), &["checkout", "-q", "branch"]);
    pull.commit(&[("apps/web/app.toml", &pull.app("2"))]);
    let (code, told) = pull.json(nothing);
    assert_eq!(
        (code, &told["behind"], told["declared"].as_array().map(Vec::len)),
        (2, &1.into(), Some(1)),
        "{told:#}"
    );

    // Usage, and revisions that are none.
    assert_eq!(pull.trueup(&["check", "--base", "main", "--observed", "x", "--no-fleet"]).0, 64);
    let (code, _, err) = pull.trueup(&["check", "--no-fleet"]);
    assert!(code == 1 && err.contains("--base REV"), "{err}");
    let (code, _, err) = pull.trueup(&["check", "--no-fleet", "--base", "nowhere"]);
    assert!(code == 1 && err.contains("nowhere"), "{err}");
}

#[test]
fn a_clone_that_ends_too_early_is_told_how_to_get_the_rest() {
    let pull = Pull::new("shallow");
    pull.commit(&[("apps/web/app.toml", &pull.app("2"))]);
    git(&pull.repo(), &["checkout", "-q", "main"]);
    pull.commit(&[("README.md", "meanwhile\n")]);
    let shallow = pull.dir.path().join("shallow");
    let from = format!("file://{}", pull.repo().display());
    let to = shallow.display().to_string();
    git(pull.dir.path(), &["clone", "-q", "--depth", "1", "--no-single-branch", &from, &to]);
    let output = Command::new(env!("CARGO_BIN_EXE_trueup"))
        .args(["check", "--no-fleet", "--base", "origin/main", "--head", "origin/branch", "--repo", &to])
        .arg("--state-dir")
        .arg(pull.dir.path().join("other"))
        .output()
        .expect("the binary");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && err.contains("fetch-depth: 0"), "{err}");
}

/// A1: what rules say that look at the plan is not taken for nothing where there is no fleet to plan against.
#[test]
fn rules_that_look_at_the_plan_are_told_where_there_is_none() {
    let pull = Pull::new("planless");
    let told = |pull: &Pull| {
        let (code, told) = pull.json(&["--no-fleet"]);
        assert_eq!(code, 2, "it is declared differently, and a warning changes nothing about that: {told:#}");
        told["warnings"].to_string()
    };
    pull.commit(&[("apps/web/app.toml", &pull.app("2"))]);
    assert!(!told(&pull).contains("could not be judged"), "{}", told(&pull));
    let rule = "package team\n\nimport rego.v1\n\ndeny contains \"no\" if count(input.plan.changes) > 1\n";
    git(&pull.repo(), &["checkout", "-q", "main"]);
    pull.commit(&[("policies/team.rego", rule)]);
    git(&pull.repo(), &["checkout", "-q", "-B", "branch"]);
    pull.commit(&[("apps/web/app.toml", &pull.app("3"))]);
    assert!(told(&pull).contains("could not be judged here"), "{}", told(&pull));
    assert!(told(&pull).contains("may look at the plan"), "{}", told(&pull));
}

/// A3: names that nobody asks are an error of the branch that brings them, and none of one that takes them away.
#[test]
fn a_branch_with_rules_that_nobody_asks_is_not_valid() {
    let pull = Pull::new("unasked");
    let rule = "package team\n\nimport rego.v1\n\nrequire contains \"limits\" if input.apps\n";
    pull.commit(&[("policies/team.rego", rule)]);
    let (code, out, err) = pull.check(&["--no-fleet"]);
    assert!(code == 1 && out.contains("policies/team.rego:5:1: nobody asks `require`"), "{out}{err}");
    git(&pull.repo(), &["branch", "-q", "-f", "main", "branch"]);
    pull.commit(&[("policies/team.rego", RULE)]);
    let (code, out, err) = pull.check(&["--no-fleet"]);
    assert_eq!(code, 0, "{out}{err}");
}

/// F4: with a socket that counts who comes.
#[test]
fn nothing_that_the_branch_alone_names_is_dialled() {
    let pull = Pull::new("dialled");
    let came = Arc::new(AtomicUsize::new(0));
    // A registry, and an engine: whoever comes is sent away.
    let registry = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = registry.local_addr().expect("an address");
    let counted = Arc::clone(&came);
    std::thread::spawn(move || registry.incoming().for_each(|_| _ = counted.fetch_add(1, Ordering::SeqCst)));
    let socket = pull.dir.path().join("engine.sock");
    let engine = UnixListener::bind(&socket).expect("a socket");
    let counted = Arc::clone(&came);
    std::thread::spawn(move || engine.incoming().for_each(|_| _ = counted.fetch_add(1, Ordering::SeqCst)));
    let engine = format!("unix://{}", socket.display());
    let far = format!(
        "[host.far]\naddress = \"192.0.2.9\"\nengine = {engine:?}\nenvironments = [\"test\"]\ncapacity = {{ memory = \"1GiB\" }}\n"
    );
    let remote = pull.app("1").replace("\"web\"", "\"remote\"").replace("pull = \"never\"\n", "");
    let remote = remote.replace(&*pull.image, &format!("{at}/x:1")) + "[place]\nhosts = [\"far\"]\n";
    let moved = stage::HOST.replace("unix:///var/run/docker.sock", &engine);
    pull.commit(&[("hosts/far.toml", &far), ("apps/remote/app.toml", &remote), ("hosts/local.toml", &moved)]);
    let (code, told) = pull.json(&[]);
    let changes = told["forecast"]["changes"].to_string();
    assert!(code == 2 || code == 3, "{told:#}");
    assert!(
        changes.contains("remote-test-0") && changes.contains("far"),
        "planned as an empty machine: {told:#}"
    );
    let warnings = told["warnings"].to_string();
    assert!(
        warnings.contains("far is new") && warnings.contains("local is at another address"),
        "{warnings}"
    );
    assert_eq!(came.load(Ordering::SeqCst), 0, "it was dialled");

    // Once it is merged, it is.
    git(&pull.repo(), &["branch", "-q", "-f", "main", "branch"]);
    pull.commit(&[("README.md", "x\n")]);
    let (code, told) = pull.json(&[]);
    assert_eq!(code, 3, "{told:#}");
    assert!(came.load(Ordering::SeqCst) > 0, "the socket counts nobody");
}

/// F4, F0: whoever looks at the branch by its name dials no more, and nobody applies what does not descend from what is
/// enforced.
#[test]
fn a_branch_that_is_named_is_dialled_no_more_than_one_that_is_checked() {
    let pull = Pull::new("named");
    let came = Arc::new(AtomicUsize::new(0));
    let socket = pull.dir.path().join("engine.sock");
    let engine = UnixListener::bind(&socket).expect("a socket");
    let counted = Arc::clone(&came);
    std::thread::spawn(move || engine.incoming().for_each(|_| _ = counted.fetch_add(1, Ordering::SeqCst)));
    let far = format!(
        "[host.far]\naddress = \"192.0.2.9\"\nengine = \"unix://{}\"\nenvironments = [\"test\"]\n",
        socket.display()
    );
    pull.commit(&[("hosts/far.toml", &far)]);
    git(&pull.repo(), &["checkout", "-q", "--orphan", "other"]);
    pull.commit(&[("README.md", "a history of its own\n")]);
    git(&pull.repo(), &["checkout", "-q", "main"]);
    let enforced = git(&pull.repo(), &["rev-parse", "main"]);
    assert_eq!(pull.trueup(&["trust", &enforced]).0, 0);
    let file = pull.dir.path().join("snapshot.json").display().to_string();
    for looks in [&["plan"][..], &["drift"], &["status"], &["render"], &["snapshot", "save", &file]] {
        let (code, out, err) = pull.trueup(&[looks, &["--rev", "branch"]].concat());
        assert_eq!(code, 3, "{looks:?}: {out}{err}");
        assert_eq!(came.load(Ordering::SeqCst), 0, "{looks:?} dialled it");
    }
    let (_, out, _) = pull.trueup(&["plan", "--rev", "branch"]);
    assert!(out.contains("the enforced revision does not name its engine") && out.contains("(F4)"), "{out}");
    let by_a_person = ["--reason", "ada: it is meant"];
    let (approve, overrides) = (
        [&["approve", "--plan", "p"], &by_a_person[..]].concat(),
        [&["override", "f"], &by_a_person[..]].concat(),
    );
    let acts: [&[&str]; 5] = [
        &["apply", "--yes"],
        &["restart", "web-test"],
        &["images", "--collect", "--yes"],
        &approve,
        &overrides,
    ];
    for acts in acts {
        for (revision, why) in [("other", "does not descend"), ("branch", "is not merged")] {
            let (code, out, err) = pull.trueup(&[acts, &["--rev", revision]].concat());
            assert!(code == 1 && err.contains(why) && out.is_empty(), "{acts:?}: {out}{err}");
        }
    }
    let saved = pull.dir.path().join("plan.json").display().to_string();
    let (code, _, err) = pull.trueup(&["plan", "--rev", "branch", "--out", &saved]);
    assert!(code == 1 && err.contains("could not be applied") && err.contains("is not merged"), "{err}");
    assert!(!std::path::Path::new(&saved).exists());
    assert_eq!(came.load(Ordering::SeqCst), 0);
    // Once it is merged, it is dialled.
    git(&pull.repo(), &["merge", "-q", "--ff-only", "branch"]);
    pull.trueup(&["plan", "--rev", "branch"]);
    assert!(came.load(Ordering::SeqCst) > 0, "the socket counts nobody");
}

/// F4: an engine that the base has taken out meanwhile is not dialled for a branch that began before.
#[test]
fn nothing_that_the_base_no_longer_names_is_dialled() {
    let pull = Pull::new("gone");
    let came = Arc::new(AtomicUsize::new(0));
    let socket = pull.dir.path().join("engine.sock");
    let engine = UnixListener::bind(&socket).expect("a socket");
    let counted = Arc::clone(&came);
    std::thread::spawn(move || engine.incoming().for_each(|_| _ = counted.fetch_add(1, Ordering::SeqCst)));
    let elsewhere =
        stage::HOST.replace("unix:///var/run/docker.sock", &format!("unix://{}", socket.display()));
    git(&pull.repo(), &["checkout", "-q", "main"]);
    pull.commit(&[("hosts/local.toml", &elsewhere)]);
    git(&pull.repo(), &["branch", "-q", "-f", "branch", "main"]);
    pull.commit(&[("hosts/local.toml", stage::HOST)]);
    git(&pull.repo(), &["checkout", "-q", "branch"]);
    pull.commit(&[("apps/web/app.toml", &pull.app("2"))]);
    let (code, told) = pull.json(&[]);
    assert!(code == 3 && told.to_string().contains("the base does not name its engine"), "{told:#}");
    assert_eq!(came.load(Ordering::SeqCst), 0, "it was dialled");
}

/// G1: on any container, whoever made it.
#[test]
fn a_snapshot_and_what_is_checked_against_it_hold_no_secret() {
    let pull = Pull::new("secret");
    let _sweep = Sweep(pull.image.clone());
    stage::make_image(pull.dir.path(), &pull.image);
    let secret = "s3cr3t-of-nobody";
    let env = format!("TOKEN={secret}");
    let (label, host) = (format!("hook=https://{secret}@example.org"), format!("{secret}:192.0.2.1"));
    let (check, tag, domain) =
        (format!("test {secret}"), format!("tag={secret}"), format!("{secret}.example.org"));
    let run = ["run", "-d", "--name", "trueup-test-check-secret", "-e", &env, "--label", &label];
    let more = ["--add-host", &host, "--health-cmd", &check, "--log-opt", &tag, "--domainname", &domain];
    let command = [&*pull.image, "/bin/busybox", "sh", "-c", "sleep 600", secret];
    docker_ok(&[&run[..], &more, &command].concat());
    pull.commit(&[("apps/web/app.toml", &pull.app("2"))]);
    let file = pull.dir.path().join("snapshot.json").display().to_string();
    std::fs::write(&file, "an older one that everybody reads").expect("a file");
    let (code, out, err) = pull.trueup(&["snapshot", "save", &file]);
    assert_eq!(code, 0, "{out}{err}");
    let mode = std::fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "somebody else reads it");
    let snapshot = std::fs::read_to_string(&file).expect("the snapshot");
    assert!(
        snapshot.contains("trueup-test-check-secret") && snapshot.contains("TOKEN"),
        "it is not in it at all"
    );
    assert!(!snapshot.contains(secret), "the snapshot holds it");
    for format in ["text", "json", "markdown"] {
        let (code, out, err) = pull.check(&["--observed", &file, "--format", format]);
        assert!(code == 2 && out.contains("web-test-1"), "{code}: {out}{err}");
        assert!(!out.contains(secret) && !err.contains(secret), "{out}");
    }
    // Another installation's eyes, as on a runner: the same answer, without the key.
    let (_, ours) = pull.json(&["--observed", &file]);
    let other = pull.dir.path().join("runner").display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
    command.args([
        "check",
        "--base",
        "main",
        "--head",
        "branch",
        "--observed",
        &file,
        "--format",
        "json",
        "--repo",
    ]);
    let output = command.arg(pull.repo()).args(["--state-dir", &other]).output().expect("the binary");
    let theirs: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(ours["forecast"]["changes"], theirs["forecast"]["changes"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("another hash key"));
}

/// B2: as the reconciler would refuse it.
#[test]
fn a_host_that_still_runs_something_may_not_leave() {
    let pull = Pull::new("leaves");
    let _sweep = Sweep(pull.image.clone());
    stage::make_image(pull.dir.path(), &pull.image);
    git(&pull.repo(), &["checkout", "-q", "main"]);
    let (code, out, err) = pull.trueup(&["apply", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    git(&pull.repo(), &["checkout", "-q", "branch"]);
    git(&pull.repo(), &["rm", "-q", "hosts/local.toml"]);
    let other = stage::HOST.replace("[host.local]", "[host.other]").replace("docker.sock", "other.sock");
    pull.commit(&[("hosts/other.toml", &other)]);
    let (code, told) = pull.json(&[]);
    docker(&["rm", "-f", "web-test-0"]);
    assert_eq!(code, 3, "{told:#}");
    let blocked = told["forecast"]["blocked"].to_string();
    assert!(blocked.contains("leaves the inventory while it runs web-test-0"), "{told:#}");
}

/// The script of the job that a page shows for a forge.
fn job(heading: &str, key: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pull-requests.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (_, section) = page.split_once(&format!("## {heading}\n")).expect("the forge's part");
    let (_, rest) = section.split_once("```yaml\n").expect("a job");
    let (yaml, _) = rest.split_once("```").expect("its end");
    let events = Parser::new_from_str(yaml).map(|event| event.expect("YAML").0);
    let scalars: Vec<String> = events
        .filter_map(|event| if let Event::Scalar(text, ..) = event { Some(text.into_owned()) } else { None })
        .collect();
    let at = scalars.iter().position(|text| text == key).expect("the key of the script");
    scalars[at + 1].clone()
}

/// A runner's checkout, and the script in it.
fn run(pull: &Pull, script: &str, env: &BTreeMap<&str, String>) -> Output {
    let work = pull.dir.path().join("runner");
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir(&work).expect("a directory");
    let from = format!("file://{}", pull.repo().display());
    git(&work, &["clone", "-q", "-b", "branch", &from, "checkout"]);
    let bin = Path::new(env!("CARGO_BIN_EXE_trueup")).parent().expect("its directory");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("PATH"));
    let mut command = Command::new("bash");
    // As the forges' runners do: any command that fails ends it.
    command.args(["-e", "-o", "pipefail", "-c", script]).current_dir(work.join("checkout"));
    command.env("PATH", path).env("HOME", &work).envs(env.iter()).stdin(Stdio::null());
    command.output().expect("bash")
}

#[test]
fn the_jobs_of_the_page_write_one_comment_on_each_forge() {
    let pull = Pull::new("jobs");
    let _sweep = Sweep(pull.image.clone());
    stage::make_image(pull.dir.path(), &pull.image);
    let snapshot = pull.repo().join("snapshot.json").display().to_string();
    let (code, out, err) = pull.trueup(&["snapshot", "save", &snapshot]);
    assert_eq!(code, 0, "{out}{err}");
    keep_snapshot(&pull);
    // Tags that whoever may push them would shadow the base and the snapshot with.
    for tag in ["origin/main", "origin/trueup-snapshot"] {
        git(&pull.repo(), &["tag", tag, "branch"]);
    }
    for (heading, key) in
        [("GitHub Actions", "run"), ("Gitea and Forgejo Actions", "run"), ("GitLab CI", "script")]
    {
        git(&pull.repo(), &["checkout", "-q", "-B", "branch", "main"]);
        pull.commit(&[("apps/web/app.toml", &pull.app("2"))]);
        let script = job(heading, key);
        // GitLab's job asks whose its token is.
        let bot = if key == "script" { "project_5_bot".to_owned() } else { job(heading, "BOT") };
        let marker = "<!-- trueup check: pulls -->\n";
        let pretended = format!("{marker}Nothing would change.");
        let forge = forge::Forge::start(&bot, &pretended);
        let env = BTreeMap::from([
            ("BASE", "refs/remotes/origin/main".to_owned()),
            ("PULL", "7".to_owned()),
            ("TOKEN", "t0k3n".to_owned()),
            ("BOT", bot.clone()),
            ("GITHUB_API_URL", forge.url()),
            ("GITHUB_REPOSITORY", "org/fleet".to_owned()),
            ("API", forge.url()),
            ("REPOSITORY", "org/fleet".to_owned()),
            ("CI_API_V4_URL", forge.url()),
            ("CI_PROJECT_ID", "5".to_owned()),
            ("CI_MERGE_REQUEST_IID", "7".to_owned()),
            ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main".to_owned()),
            ("TRUEUP_TOKEN", "t0k3n".to_owned()),
            ("SAME", "true".to_owned()),
            ("SETTINGS", String::new()),
        ]);
        let well = |replicas: &str, wanted: i32, env: &BTreeMap<&str, String>| {
            pull.commit(&[("apps/web/app.toml", &pull.app(replicas))]);
            let output = run(&pull, &script, env);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let log = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.status.code(), Some(wanted), "{heading}: {said}{log}");
            log
        };
        let log = well("3", 0, &env);
        assert!(
            log.contains("DECLARED") && log.contains("web-test-2"),
            "{heading}: the log has all of it: {log}"
        );
        assert_eq!(forge.changes(), ["POST"], "{heading}");
        let ours = forge.comments_of(&bot);
        assert!(ours[0].starts_with(marker) && ours[0].contains("web-test-2"), "{ours:?}");
        // What the rules hold fails the job, and replaces the same comment.
        let wanted = 1;
        well("4", wanted, &env);
        let change = if heading == "GitLab CI" { "PUT" } else { "PATCH" };
        assert_eq!(forge.changes(), ["POST", change], "{heading}");
        assert_eq!(forge.comments_of("mallory"), [pretended.as_str()], "somebody else's stays");
        let ours = forge.comments_of(&bot);
        assert!(ours.len() == 1 && ours[0].contains("too many"), "{ours:?}");
        assert!(forge.all_were_allowed("t0k3n"), "{heading}: a request without its token");
        // The team's own settings judge where the job has them.
        let team = settings("rules = { \"team\" = \"off\", limits_required = \"overridable\" }");
        let with = [("SETTINGS", team.clone()), ("TRUEUP_SETTINGS", team)];
        let log = well("5", 1, &env.iter().map(|(k, v)| (*k, v.clone())).chain(with).collect());
        assert!(log.contains("limits_required") && !log.contains("too many"), "{heading}: {log}");
        // A fork's token may not write: the log has it, and the job ends as any other.
        if heading != "GitLab CI" {
            let before = forge.changes().len();
            let fork: BTreeMap<&str, String> =
                env.iter().map(|(k, v)| (*k, v.clone())).chain([("SAME", "false".to_owned())]).collect();
            let log = well("2", 0, &fork);
            assert!(log.contains("web-test-1"), "{heading}: {log}");
            assert!(!well("6", 3, &fork).is_empty(), "{heading}: what is held fails there too");
            assert_eq!(forge.changes().len(), before, "{heading}: it wrote with a fork's token");
        }
    }
}

/// In mode `signed`, the further step that the page shows asks for signatures (F1).
#[test]
fn the_step_for_signed_commits_says_what_would_be_held() {
    let pull = Pull::new("signed");
    pull.commit(&[("apps/web/app.toml", &pull.app("2"))]);
    let key = pull.dir.path().join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.expect("ssh-keygen (Debian package openssh-client)").success());
    let public = std::fs::read_to_string(key.with_extension("pub")).expect("the key");
    let signer = format!("ada@example.org {}", public.trim());
    let team = settings("rules = {}") + &format!("[permission]\nmode = \"signed\"\nsigners = [{signer:?}]\n");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pull-requests.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let step = page.lines().find(|line| line.starts_with("trueup verify")).expect("the step");
    let script =
        format!("printf '%s\\n' \"$SETTINGS\" > ../trueup.toml\nprintf '%064d' 0 > ../trueup.key\n{step}");
    let env = BTreeMap::from([("BASE", "refs/remotes/origin/main".to_owned()), ("SETTINGS", team)]);
    let output = run(&pull, &script, &env);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.code() == Some(3) && said.contains("sign"), "{said}");
    git(&pull.repo(), &["config", "gpg.format", "ssh"]);
    git(&pull.repo(), &["config", "user.signingkey", &key.display().to_string()]);
    git(&pull.repo(), &["commit", "-q", "--amend", "--no-edit", "-S"]);
    let output = run(&pull, &script, &env);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// The page's settings for jobs, with these of the rules.
fn settings(rules: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pull-requests.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (_, rest) = page.split_once("```toml\n").expect("the settings");
    let (settings, _) = rest.split_once("```").expect("their end");
    let usual = "rules = { limits_required = \"overridable\" }";
    assert!(settings.contains(usual), "{settings}");
    settings.replace(usual, rules).replace("registries = [\"registry.example\"]\n", "")
}

/// As the page says, with its own script.
fn keep_snapshot(pull: &Pull) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pull-requests.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (_, rest) = page.split_once("```sh\n").expect("the script");
    let (script, _) = rest.split_once("```").expect("its end");
    let (save, script) = script.split_once('\n').expect("lines");
    assert_eq!(save, "trueup snapshot save snapshot.json");
    git(&pull.repo(), &["config", "user.name", "cron"]);
    git(&pull.repo(), &["config", "user.email", "cron@localhost"]);
    let output =
        Command::new("bash").args(["-e", "-c", script]).current_dir(pull.repo()).output().expect("bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_file(pull.repo().join("snapshot.json")).expect("it was there");
}
