//! How fast a commit becomes `Desired`: 1,000 apps from nothing, and a one-file commit on them, once with the tree given
//! and once through a real git repository.

#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use trueup::adapter::git::GitRepository;
use trueup::config::{ParseCache, load};
use trueup::model::names::Revision;
use trueup::model::secrecy::ContentHash;
use trueup::model::settings::RepositorySettings;
use trueup::model::tree::{Blob, Tree};
use trueup::model::units::Timestamp;
use trueup::ports::Repository as _;

fn blob(text: &str) -> Blob {
    Blob { id: ContentHash::of(text.as_bytes()).to_string(), bytes: Arc::from(text.as_bytes()) }
}

fn app(name: &str, replicas: u32) -> String {
    format!(
        "app = \"{name}\"\nenvironments = [\"test\"]\nimage = \"registry.example/{name}:1.4.2\"\nreplicas = {replicas}\n\
         command = [\"serve\", \"--port\", \"8080\"]\nenv = {{ MODE = \"x\", LEVEL = \"info\" }}\n[limits]\ncpus = 0.5\nmemory = \"128MiB\"\n\
         [health]\ncommand = [\"/check\"]\ninterval = \"5s\"\n[upstream]\nport = 8080\nserver_name = [\"{name}.example\"]\n"
    )
}

fn tree(replicas_of_the_first: u32) -> Tree {
    let mut blobs = BTreeMap::new();
    blobs.insert("fleet.toml".to_owned(), blob("fleet = \"f\"\nenvironments = [\"test\"]\n"));
    let host =
        "[host.h1]\naddress = \"192.0.2.1\"\nengine = \"unix:///run/d.sock\"\nenvironments = [\"test\"]\n";
    blobs.insert("hosts/h.toml".to_owned(), blob(host));
    for n in 0..1000 {
        let replicas = if n == 0 { replicas_of_the_first } else { 2 };
        blobs.insert(format!("apps/app-{n}/app.toml"), blob(&app(&format!("app-{n}"), replicas)));
    }
    Tree {
        revision: Revision::new("0".repeat(40)),
        committed: Timestamp(0),
        author: String::new(),
        summary: String::new(),
        blobs,
        refused: BTreeMap::new(),
    }
}

fn benches(criterion: &mut Criterion) {
    let (one, other) = (tree(2), tree(3));
    criterion.bench_function("config/parse_and_resolve_1000_apps", |bencher| {
        bencher.iter(|| load(&one, &mut ParseCache::default()).map(|d| d.apps.len()));
    });
    criterion.bench_function("config/one_file_commit_on_1000_apps", |bencher| {
        let mut cache = ParseCache::default();
        let _ = load(&one, &mut cache);
        let mut flip = false;
        bencher.iter(|| {
            flip = !flip;
            load(if flip { &other } else { &one }, &mut cache).map(|d| d.apps.len())
        });
    });
}

fn git(dir: &Path, args: &[&str]) -> String {
    let identity =
        ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").args(identity).args(args).current_dir(dir).output().expect("git");
    assert!(output.status.success(), "git {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A commit of these files on top of what is there.
fn commit(dir: &Path, tree: &Tree) -> Revision {
    for (path, blob) in &tree.blobs {
        let file = dir.join(path);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
        std::fs::write(&file, &blob.bytes).expect("a file");
    }
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-q", "-m", "a change"]);
    Revision::new(git(dir, &["rev-parse", "HEAD"]))
}

fn through_git(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    git(dir.path(), &["init", "-q", "-b", "main"]);
    let revisions = [commit(dir.path(), &tree(2)), commit(dir.path(), &tree(3))];
    let settings = RepositorySettings::at(dir.path().display().to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    criterion.bench_function("config/one_file_commit_on_1000_apps_through_git", |bencher| {
        let repository = GitRepository::open(&settings, dir.path()).expect("a repository");
        let mut cache = ParseCache::default();
        let mut next = revisions.iter().cycle();
        let mut take = || {
            let revision = next.next().expect("a circle has no end");
            let tree = runtime.block_on(repository.tree(revision)).expect("a tree");
            load(&tree, &mut cache).map(|d| d.apps.len())
        };
        let _ = take();
        bencher.iter(take);
    });
}

criterion_group!(config, benches, through_git);
criterion_main!(config);
