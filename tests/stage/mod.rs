//! A real stage for whole-line tests: a git repository, the real engine, an own installation; swept when it ends.

#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each test file uses a part of the stage, and tests may fail loudly"
)]

pub mod hand;
pub mod http;
pub mod source;
pub mod team;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use trueup::adapter::clock::SystemClock;
use trueup::adapter::docker::{DockerEngines, Recall};
use trueup::adapter::files::DirectoryFileSets;
use trueup::adapter::git::GitRepository;
use trueup::adapter::sandbox::ProcessSandbox;
use trueup::adapter::store::SqliteStore;
use trueup::apply::Stop;
use trueup::control::World;
use trueup::control::converge::{Converged, Scope, converge};
use trueup::control::pass::{self, Pass};
use trueup::control::revision::Reader;
use trueup::model::secrecy::HashKey;
use trueup::model::settings::{FileSetSettings, RepositorySettings, Settings};
use trueup::ports::{Quiet, Store};

/// A repository, a state directory and the real engine.
pub struct Stage {
    pub dir: tempfile::TempDir,
    pub installation: String,
    pub world: World,
    /// Image the stage made; swept with it.
    pub image: String,
}

impl Stage {
    /// `name` keeps test files apart on the one engine of the machine.
    pub fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let installation = format!("test-{name}-{}", std::process::id());
        let repo = dir.path().join("repo");
        std::fs::create_dir_all(&repo).expect("the repository's directory");
        git(&repo, &["init", "-q", "-b", "main"]);
        git(&repo, &["commit", "-q", "--allow-empty", "-m", "nothing yet"]);
        let image = format!("trueup-test-{name}:1");
        make_image(dir.path(), &image);
        let settings = settings(dir.path(), &installation);
        let world = assemble(&settings);
        Self { dir, installation, world, image }
    }

    pub fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    /// Writes files and commits them.
    pub fn commit(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let file = self.repo().join(path);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            std::fs::write(file, text).expect("a file");
        }
        git(&self.repo(), &["add", "-A"]);
        git(&self.repo(), &["commit", "-q", "-m", "a change"]);
    }

    /// A new process of trueup on the same state: nothing is remembered but what is on disk.
    pub fn restarted(&mut self) {
        self.world = assemble(&settings(self.dir.path(), &self.installation));
    }

    pub async fn look(&self) -> Pass {
        let taken = Reader::default().take(&self.world, false).await.expect("a revision");
        pass::look(&self.world, taken, false).await.expect("a look")
    }

    pub async fn apply(&self) -> Converged {
        let (stop, agree) = (Stop::default(), |_: &Pass| true);
        let scope = Scope::of_a_person(&agree, &stop);
        converge(&self.world, &Reader::default(), &scope).await.expect("an apply")
    }

    /// Applies, and insists that a second plan is empty (A4).
    pub async fn apply_in_full(&self) -> Converged {
        let done = self.apply().await;
        for (change, outcome) in &done.outcomes {
            println!("{} {}: {outcome:?}", change.action.name(), change.subject);
        }
        let pass = self.look().await;
        let left: Vec<String> = pass
            .plan
            .changes
            .iter()
            .map(|c| format!("{}: {}", c.promise(), c.because.join("; ")))
            .chain(pass.plan.drift.iter().map(|d| format!("{d:?}")))
            .chain(pass.plan.blocked.iter().map(|b| format!("{}: {}", b.subject, b.reason)))
            .chain(pass.plan.unknown.iter().map(|u| format!("{}: {}", u.subject, u.why)))
            .collect();
        assert!(left.is_empty(), "a second plan is not empty:\n{}", left.join("\n"));
        done
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let label = format!("label=io.trueup.installation={}", self.installation);
        for (list, remove) in [
            (vec!["ps", "-aq", "--filter", &label], vec!["rm", "-f", "-v"]),
            (vec!["network", "ls", "-q", "--filter", &label], vec!["network", "rm"]),
            (vec!["volume", "ls", "-q", "--filter", &label], vec!["volume", "rm", "-f"]),
        ] {
            let found = String::from_utf8_lossy(&docker(&list).stdout).into_owned();
            let ids: Vec<&str> = found.split_whitespace().collect();
            if !ids.is_empty() {
                docker(&[remove, ids].concat());
            }
        }
        docker(&["rmi", "-f", &self.image]);
    }
}

/// The docker command line: the "hand" of by-hand changes.
pub fn docker(args: &[&str]) -> Output {
    Command::new("docker").args(args).output().expect("the docker command (Debian package docker-cli)")
}

/// As [`docker`], and it must succeed.
pub fn docker_ok(args: &[&str]) -> String {
    let output = docker(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {}: {error}", args.join(" "));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("the git command (Debian package git)");
    assert!(output.status.success(), "git {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// An image of one static busybox.
pub fn make_image(dir: &Path, tag: &str) {
    make_image_with(dir, tag, "first");
}

/// As [`make_image`]; another `mark` is another image id.
pub fn make_image_with(dir: &Path, tag: &str, mark: &str) {
    let tar = pack_busybox(dir, mark).display().to_string();
    docker_ok(&[
        "import",
        "-c",
        "ENV PATH=/bin",
        "-c",
        "ENV GIVEN=by-image",
        "-c",
        "LABEL maker=test",
        &tar,
        tag,
    ]);
}

/// A tar of a root file system that holds one static busybox and `mark`.
pub fn pack_busybox(dir: &Path, mark: &str) -> PathBuf {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let busybox = busybox.expect("busybox (Debian package busybox-static)");
    let root = dir.join("image");
    for part in ["bin", "tmp", "etc"] {
        std::fs::create_dir_all(root.join(part)).expect("a directory");
    }
    std::fs::copy(busybox, root.join("bin/busybox")).expect("a copy of busybox");
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nops:x:1000:1000::/:/bin/sh\n")
        .expect("a file");
    std::fs::write(root.join("etc/mark"), mark).expect("a file");
    let tar = dir.join("image.tar");
    let packed = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".").status();
    assert!(packed.expect("tar").success(), "tar failed");
    tar
}

pub fn settings(dir: &Path, installation: &str) -> Settings {
    let repository = RepositorySettings::at(dir.join("repo").display().to_string());
    Settings {
        nginx: Some(FileSetSettings::in_directory(dir.join("nginx"))),
        flume: Some(FileSetSettings::in_directory(dir.join("flume"))),
        ..Settings::new(installation.to_owned(), HashKey::new([42; 32]), repository, dir.join("state"))
    }
}

pub fn assemble(settings: &Settings) -> World {
    let (limits, call_deadline, pull_deadline) = World::limits_of(settings);
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&settings.state_dir).expect("a state file"));
    let engines = DockerEngines::new(settings.engines.clone(), settings.hash_key.clone());
    let engines = engines.recalling(Recall::new(Arc::clone(&store), Arc::new(SystemClock)));
    World {
        engines: Arc::new(engines),
        repository: Arc::new(
            GitRepository::open(&settings.repository, &settings.state_dir.join("git")).expect("a repository"),
        ),
        source: settings.repository.words(),
        files: Arc::new(DirectoryFileSets::new(settings.nginx.clone(), settings.flume.clone())),
        store,
        sandbox: Arc::new(ProcessSandbox::of(env!("CARGO_BIN_EXE_trueup").into(), Duration::from_secs(20))),
        clock: Arc::new(SystemClock),
        progress: Arc::new(Quiet),
        installation: settings.installation.clone(),
        key: settings.hash_key.clone(),
        permission: settings.permission.clone(),
        policy: trueup::model::policy::PolicySettings::default(),
        limits,
        call_deadline,
        pull_deadline,
        environments: None,
        revision: None,
    }
}

/// The fleet of most tests: this machine as the one host `local`.
pub const FLEET: &str = "fleet = \"testing\"\nenvironments = [\"test\"]\n";
pub const HOST: &str = "[host.local]\naddress = \"127.0.0.1\"\nengine = \"unix:///var/run/docker.sock\"\nenvironments = [\"test\"]\n";

/// Takes an image off the machine's engine, with the containers that are made from it.
pub fn remove_image(id: &str) {
    let filter = format!("ancestor={id}");
    let made = docker(&["ps", "-aq", "--filter", &filter]);
    for container in String::from_utf8_lossy(&made.stdout).lines() {
        docker(&["rm", "-f", container]);
    }
    docker(&["rmi", "-f", id]);
}

/// Live labels of a container.
pub fn labels_of(container: &str) -> BTreeMap<String, String> {
    let json = docker_ok(&["inspect", "-f", "{{json .Config.Labels}}", container]);
    serde_json::from_str(&json).expect("labels")
}
