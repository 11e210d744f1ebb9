//! The JSON Schemas do what an editor needs of them: what is right passes, and slips are marked.

#![allow(clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;
use trueup::config;

/// The schemas as an editor gets them: each kind's own, and the bundle of all.
struct Editor {
    schemas: Schemas,
    kinds: Vec<(&'static str, SchemaIndex)>,
    bundle: SchemaIndex,
}

impl Editor {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let kinds = config::repository_kinds().into_iter().chain([config::settings_kind()]);
        let kinds: Vec<_> = kinds
            .map(|kind| {
                let url = format!("memory:///{}.json", kind.name);
                compiler.add_resource(&url, kind.schema).expect("a resource");
                (kind.name, compiler.compile(&url, &mut schemas).expect("a schema"))
            })
            .collect();
        compiler.add_resource("memory:///all.json", config::bundled_schema()).expect("a resource");
        let bundle = compiler.compile("memory:///all.json", &mut schemas).expect("the bundle");
        Self { schemas, kinds, bundle }
    }

    /// What the schema of this kind, and the bundle, say of a TOML text.
    fn marks(&self, kind: &str, toml: &str) -> Result<(), String> {
        let value: toml::Value = toml::from_str(toml).expect("TOML");
        let value: Value = serde_json::to_value(value).expect("JSON");
        let (_, schema) = self.kinds.iter().find(|(name, _)| *name == kind).expect("a kind");
        let own = self.schemas.validate(&value, *schema).map_err(|e| e.to_string());
        if kind != "settings" {
            let all = self.schemas.validate(&value, self.bundle);
            assert!(all.is_ok() || own.is_err(), "the bundle refuses what {kind} takes: {toml}");
        }
        own
    }
}

fn kind_of(path: &str) -> Option<&'static str> {
    match path.split('/').next()? {
        "fleet.toml" => Some("fleet"),
        "hosts" => Some("hosts"),
        "networks" => Some("networks"),
        "apps" => Some("app"),
        _ => None,
    }
}

fn files(dir: &Path, base: &Path, into: &mut Vec<(String, PathBuf)>) {
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, base, into);
        } else if path.extension().is_some_and(|ext| ext == "toml") {
            into.push((path.strip_prefix(base).expect("below").display().to_string(), path));
        }
    }
}

#[test]
fn the_example_and_the_starter_are_valid() {
    let editor = Editor::new();
    let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("example-repo");
    let mut found = Vec::new();
    files(&example, &example, &mut found);
    let read = |(name, path): (String, PathBuf)| (name, std::fs::read_to_string(path).expect("a file"));
    let all: Vec<(String, String)> = found.into_iter().map(read).chain(config::starter()).collect();
    let mut checked = 0;
    for (path, text) in &all {
        let Some(kind) = kind_of(path).filter(|_| path.ends_with(".toml")) else { continue };
        editor.marks(kind, text).unwrap_or_else(|why| panic!("{path}: {why}"));
        checked += 1;
    }
    assert!(checked > 15, "only {checked} files were found");
}

#[test]
fn slips_are_marked() {
    let editor = Editor::new();
    for (kind, slip) in [
        ("fleet", "fleet = \"x\"\nenvironmentz = [\"test\"]"),
        ("fleet", "fleet = 3"),
        ("hosts", "[host.a]\naddres = \"192.0.2.1\""),
        ("networks", "[network.n]\ndriver = \"token-ring\""),
        ("app", "app = \"a\"\nreplicaz = 2"),
        ("app", "app = \"a\"\nruntime = \"vm\""),
        ("app", "app = \"a\"\n[limits]\nmemroy = \"1MiB\""),
        ("settings", "installation = \"x\"\n[limits]\ndestroy_shar = 0.5"),
    ] {
        assert!(editor.marks(kind, slip).is_err(), "{kind} takes {slip}");
    }
}
