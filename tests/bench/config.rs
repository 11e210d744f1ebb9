//! How fast a commit becomes `Desired`: 1,000 apps from nothing, and a one-file commit on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use trueup::config::{ParseCache, load};
use trueup::model::names::Revision;
use trueup::model::secrecy::ContentHash;
use trueup::model::tree::{Blob, Tree};
use trueup::model::units::Timestamp;

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

criterion_group!(config, benches);
criterion_main!(config);
