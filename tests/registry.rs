//! Images from a real registry: a tag becomes a digest once for each revision, credentials come from Docker's own places,
//! and a registry that refuses stops nothing that runs.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod parts;
mod stage;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use parts::registry::{BadRegistry, Refusal, Registry};
use parts::{Trueup, free_port};
use stage::{FLEET, HOST, Stage, docker, docker_ok, make_image_with};

fn app(name: &str, image: &str, mark: &str) -> (String, String) {
    let text = format!(
        "app = \"{name}\"\nenvironments = [\"test\"]\nimage = \"{image}\"\n\
         command = [\"/bin/busybox\", \"sleep\", \"3600\"]\nstop_timeout = \"1s\"\nenv = {{ MARK = \"{mark}\" }}\n\
         [rollout]\nmin_healthy = \"0s\"\n"
    );
    (format!("apps/{name}/app.toml"), text)
}

fn commit(stage: &Stage, apps: &[(String, String)]) {
    let files = apps.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    stage.commit(
        &[("fleet.toml", FLEET), ("hosts/local.toml", HOST)].into_iter().chain(files).collect::<Vec<_>>(),
    );
}

fn inspect(container: &str, what: &str) -> String {
    docker_ok(&["inspect", "-f", what, container])
}

/// A Docker configuration directory that holds `json`.
fn docker_config(stage: &Stage, name: &str, json: &serde_json::Value) -> std::path::PathBuf {
    let dir = stage.dir.path().join(name);
    std::fs::create_dir_all(&dir).expect("a directory");
    std::fs::write(dir.join("config.json"), json.to_string()).expect("a file");
    dir
}

fn settings(config: &Path) -> String {
    format!("docker_config = \"{}/config.json\"", config.display())
}

/// Images that came from a registry of the test are taken away with it.
struct Sweep(u16);

impl Drop for Sweep {
    fn drop(&mut self) {
        let listed = docker(&["images", "-a", "--no-trunc", "--format", "{{.Repository}} {{.ID}}"]);
        let prefix = format!("127.0.0.1:{}/", self.0);
        for line in String::from_utf8_lossy(&listed.stdout).lines().filter(|line| line.starts_with(&prefix)) {
            stage::remove_image(line.rsplit(' ').next().unwrap_or_default());
        }
    }
}

#[test]
fn a_tag_that_moves_moves_nothing_until_the_next_commit() {
    let registry_dir = tempfile::tempdir().expect("a directory");
    let registry = Registry::start(registry_dir.path(), "open", None);
    let _sweep = Sweep(registry.port);
    let stage = Stage::new("tagged");
    let nobody = docker_config(&stage, "nobody", &serde_json::json!({}));
    let trueup = Trueup::new(&stage, &settings(&nobody));
    let tag = registry.image("team/quote:1");
    let first = registry.push(&stage.image, &tag, &nobody);
    commit(&stage, &[app("tagged", &tag, "a")]);

    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");
    let image = inspect("tagged-test-0", "{{.Config.Image}}");
    assert!(image.ends_with(&format!("@{first}")), "it runs by digest: {image}");
    assert!(registry.asked("team/quote", &first) > 0, "and was pulled by digest");
    let asked = registry.asked("team/quote", "1");
    assert!(asked > 0, "the tag was resolved at the registry");

    // Somebody pushes another image under the same tag.
    make_image_with(stage.dir.path(), &stage.image, "second");
    let second = registry.push(&stage.image, &tag, &nobody);
    assert_ne!(first, second);
    let pushed = registry.asked("team/quote", "1");
    let id = inspect("tagged-test-0", "{{.Id}}");
    for _ in 0..2 {
        let said = trueup.apply();
        assert_eq!(said.code, 0, "{said:?}");
    }
    assert_eq!(trueup.run(&["plan"]).code, 0);
    assert_eq!(inspect("tagged-test-0", "{{.Id}}"), id, "the revision runs what it ran");
    assert_eq!(registry.asked("team/quote", "1"), pushed, "and the registry is not asked again");

    // Also where the container has to be made anew.
    docker_ok(&["rm", "-f", "tagged-test-0"]);
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(inspect("tagged-test-0", "{{.Config.Image}}").ends_with(&first), "healed with the same digest");

    stage.commit(&[("README", "any commit is a new revision")]);
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");
    let image = inspect("tagged-test-0", "{{.Config.Image}}");
    assert!(image.ends_with(&format!("@{second}")), "a new revision takes what the tag says now: {image}");
}

#[test]
fn credentials_come_from_dockers_own_places() {
    let registry_dir = tempfile::tempdir().expect("a directory");
    let registry = Registry::start(registry_dir.path(), "closed", Some(("reader", "s3cret:with colon")));
    let _sweep = Sweep(registry.port);
    let stage = Stage::new("login");
    let server = format!("127.0.0.1:{}", registry.port);
    let auths = |password: &str| {
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("reader:{password}"));
        serde_json::json!({ "auths": { server.as_str(): { "auth": auth } } })
    };
    let right = docker_config(&stage, "right", &auths("s3cret:with colon"));
    let wrong = docker_config(&stage, "wrong", &auths("gu3ss"));
    let none = docker_config(&stage, "none", &serde_json::json!({}));
    let broken = docker_config(&stage, "broken", &serde_json::json!({}));
    std::fs::write(broken.join("config.json"), "{\"auths\": {\"gu3ss\"").expect("a file");

    // Helpers are programs on the PATH, as for the docker command.
    let bin = stage.dir.path().join("bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    let helper = |name: &str, script: &str| {
        let path = bin.join(format!("docker-credential-{name}"));
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        docker_config(
            &stage,
            &format!("helper-{name}"),
            &serde_json::json!({ "credHelpers": { server.as_str(): name } }),
        )
    };
    let given = helper(
        "given",
        "read server\n[ \"$1 $server\" = \"get $EXPECTED\" ] || exit 1\n\
         printf '{\"ServerURL\":\"%s\",\"Username\":\"reader\",\"Secret\":\"s3cret:with colon\"}' \"$server\"",
    );
    let failing = helper("failing", "echo the vault is sealed; exit 1");
    let babbling = helper("babbling", "echo gu3ss");
    let absent = docker_config(
        &stage,
        "absent",
        &serde_json::json!({ "credHelpers": { server.as_str(): "nowhere-at-all" } }),
    );

    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let trueup = Trueup::new(&stage, "").env("PATH", &path).env("EXPECTED", &server);
    // What runs before, and must not be touched by any refusal.
    let local = |mark: &str| {
        let (path, text) = app("beside-login", &stage.image, mark);
        (path, text.replace("command =", "pull = \"never\"\ncommand ="))
    };
    let old = app("login", &stage.image, "old");
    let old = (old.0, old.1.replace("command =", "pull = \"never\"\ncommand ="));
    commit(&stage, &[old, local("old")]);
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");
    let id = inspect("login-test-0", "{{.Id}}");

    let pushed = |local: &str, repository: &str| {
        make_image_with(stage.dir.path(), local, repository);
        let image = registry.image(repository);
        registry.push(local, &format!("{image}:1"), &right);
        docker_ok(&["rmi", "-f", local]);
        format!("{image}:1")
    };
    let by_auths = pushed("trueup-test-login:2", "closed/auths");
    let by_helper = pushed("trueup-test-login:3", "closed/helper");

    let refused: [(&Path, &str); 6] = [
        (&none, "no basic auth credentials"),
        (&wrong, "unauthorized"),
        (&broken, "not the expected JSON at line 1"),
        (&failing, "docker-credential-failing failed: the vault is sealed"),
        (&babbling, "docker-credential-babbling answered something else than JSON"),
        (&absent, "docker-credential-nowhere-at-all"),
    ];
    for (config, word) in refused {
        let mark = format!("{}", config.file_name().expect("a name").display());
        trueup.set(&settings(config));
        commit(&stage, &[app("login", &by_auths, &mark), local(&mark)]);
        let said = trueup.apply();
        let words = said.words();
        assert_eq!(said.code, 3, "{mark}: {said:?}");
        for word in [word, "local: ", &by_auths] {
            assert!(words.contains(word), "{mark}: {word:?} is not told: {words}");
        }
        assert!(!words.contains("gu3ss") && !words.contains("s3cret"), "{mark}: a password is told: {words}");
        assert_eq!(inspect("login-test-0", "{{.Id}} {{.State.Running}}"), format!("{id} true"), "{mark}");
        let env = inspect("beside-login-test-0", "{{.Config.Env}}");
        assert!(env.contains(&format!("MARK={mark}")), "{mark}: the other app goes on: {env}");
    }

    for (config, image) in [(&right, &by_auths), (&given, &by_helper)] {
        trueup.set(&settings(config));
        commit(&stage, &[app("login", image, "in"), local("in")]);
        let said = trueup.apply();
        assert_eq!(said.code, 0, "{}: {said:?}", config.display());
        let runs = inspect("login-test-0", "{{.Config.Image}} {{.State.Running}}");
        let repository = image.trim_end_matches(":1");
        assert!(runs.starts_with(repository) && runs.ends_with("true"), "{}: {runs}", config.display());
    }
}

/// A registry's own words, as in the distribution specification.
const UNKNOWN: &str = "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}";
const DENIED: &str = "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"authentication required\"}]}";

#[test]
fn a_registry_that_refuses_stops_nothing_that_runs() {
    let refusals = [
        ("unknown", Refusal::Status(404, UNKNOWN), "manifest unknown"),
        ("denied", Refusal::Status(401, DENIED), "unauthorized"),
        ("broken", Refusal::Status(500, "oops"), "500"),
        ("hung", Refusal::Hang, "no answer within 10 s"),
    ];
    let registries: Vec<BadRegistry> =
        refusals.iter().map(|(_, refusal, _)| BadRegistry::start(*refusal)).collect();
    let mut cases: Vec<(&str, u16, &str)> = refusals
        .iter()
        .zip(&registries)
        .map(|((name, _, word), registry)| (*name, registry.port, *word))
        .collect();
    cases.push(("absent", free_port(), "connection refused"));

    let stage = Stage::new("refused");
    let trueup =
        Trueup::new(&stage, "call_deadline = \"10s\"\npull_deadline = \"10s\"\n[limits]\nper_host = 32");
    let old = |name: &str, mark: &str| {
        let (path, text) = app(name, &stage.image, mark);
        (path, text.replace("command =", "pull = \"never\"\ncommand ="))
    };
    let mut first: Vec<_> = cases.iter().map(|(name, ..)| old(name, "old")).collect();
    first.push(old("beside-refused", "old"));
    commit(&stage, &first);
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");
    let ids = || -> Vec<String> {
        cases
            .iter()
            .map(|(name, ..)| inspect(&format!("{name}-test-0"), "{{.Id}} {{.State.Running}}"))
            .collect()
    };
    let before = ids();
    assert!(before.iter().all(|state| state.ends_with("true")));

    // A tag has to be resolved first (blocked, 3); a digest is pulled at once (failed, 1).
    let digest = format!("sha256:{}", "ab".repeat(32));
    for (round, reference, code) in [("tag", ":1".to_owned(), 3), ("digest", format!("@{digest}"), 1)] {
        let mut apps: Vec<_> = cases
            .iter()
            .map(|(name, port, _)| app(name, &format!("127.0.0.1:{port}/x{reference}"), round))
            .collect();
        apps.push(old("beside-refused", round));
        commit(&stage, &apps);
        let said = trueup.apply();
        let words = said.words();
        assert_eq!(said.code, code, "{round}: {said:?}");
        for (name, port, word) in &cases {
            let image = format!("127.0.0.1:{port}/x{reference}");
            let told = words.split("local: ").any(|part| part.contains(&image) && part.contains(word));
            assert!(told, "{round} {name}: no word of {word:?} with {image}: {words}");
        }
        assert!(words.contains("credentials in Docker's config.json?"), "{round}: what to do: {words}");
        assert_eq!(ids(), before, "{round}: what runs is not touched");
        let env = inspect("beside-refused-test-0", "{{.Config.Env}}");
        assert!(env.contains(&format!("MARK={round}")), "{round}: the other app goes on: {env}");
    }
}
