//! Holds Cargo.lock to deny.toml without any further tool: where packages come from, which are banned, which licences.

#![allow(clippy::expect_used, reason = "a rule whose sources cannot be read has to fail loudly")]

use std::collections::BTreeSet;
use std::process::Command;

use toml::{Table, Value};

/// The package's top: `cargo test` says it when the test runs.
fn top() -> String {
    std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned())
}

fn read(file: &str) -> Table {
    let path = format!("{}/{file}", top());
    std::fs::read_to_string(&path).expect("a readable file").parse().expect("TOML")
}

fn texts(value: &Value) -> BTreeSet<String> {
    value.as_array().expect("a list").iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Packages that come from elsewhere than the allowed registries; the package itself has no source.
fn strangers(lock: &Table, deny: &Table) -> Vec<String> {
    let allowed = texts(&deny["sources"]["allow-registry"]);
    let comes_from = |package: &Value| package.get("source").and_then(Value::as_str).map(str::to_owned);
    packages(lock)
        .filter_map(|package| {
            let name = package["name"].as_str().unwrap_or_default();
            match comes_from(package) {
                None if name == "trueup" => None,
                None => Some(format!("{name}: from a path: publish it, or take it into src/")),
                Some(source) => {
                    let registry = source.strip_prefix("registry+").unwrap_or_default();
                    (!allowed.contains(registry)).then(|| format!("{name}: from {source}"))
                }
            }
        })
        .collect()
}

/// Packages of the registry whose checksum is not in the lock.
fn unsealed(lock: &Table) -> Vec<String> {
    packages(lock)
        .filter(|package| package.get("source").is_some() && package.get("checksum").is_none())
        .map(|package| format!("{}: without a checksum", package["name"]))
        .collect()
}

/// Packages that deny.toml bans, with its reason.
fn banned(lock: &Table, deny: &Table) -> Vec<String> {
    let bans: Vec<(&str, &str)> = deny["bans"]["deny"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|ban| (ban["crate"].as_str().expect("a name"), ban["reason"].as_str().expect("a reason")))
        .collect();
    assert!(!bans.is_empty(), "deny.toml bans nothing");
    packages(lock)
        .filter_map(|package| {
            let name = package["name"].as_str()?;
            let (_, reason) = bans.iter().find(|(ban, _)| *ban == name)?;
            Some(format!("{name} is banned: {reason}"))
        })
        .collect()
}

fn packages(lock: &Table) -> impl Iterator<Item = &Value> {
    lock["package"].as_array().expect("a list of packages").iter()
}

/// Whether a licence expression (SPDX, or the older `A/B`) can be met with the allowed licences.
fn permitted(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = either(&words, &mut at, allowed);
    met && at == words.len()
}

fn either(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = both(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= both(words, at, allowed);
    }
    met
}

fn both(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = licence(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= licence(words, at, allowed);
    }
    met
}

fn licence(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let met = either(words, at, allowed);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return met && closed;
    }
    match (words.get(*at), words.get(*at + 1)) {
        (Some(&"WITH"), Some(exception)) => {
            *at += 2;
            allowed.contains(&format!("{word} WITH {exception}"))
        }
        _ => allowed.contains(*word),
    }
}

/// Name and licence of everything that is built for this machine, as cargo itself tells it.
fn licences() -> Vec<(String, String)> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let run = |args: &[&str]| {
        let output = Command::new(&cargo).args(args).current_dir(top()).output().expect("cargo runs");
        assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let version = run(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let text =
        run(&["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host]);
    let metadata: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let field = |package: &serde_json::Value, name: &str| package[name].as_str().unwrap_or("none").to_owned();
    metadata["packages"]
        .as_array()
        .expect("a list of packages")
        .iter()
        .map(|package| (field(package, "name"), field(package, "license")))
        .collect()
}

#[test]
fn every_package_comes_from_the_registry_and_is_sealed() {
    let (lock, deny) = (read("Cargo.lock"), read("deny.toml"));
    assert!(packages(&lock).count() > 100, "the lock was not read");
    assert_eq!(strangers(&lock, &deny), Vec::<String>::new());
    assert_eq!(unsealed(&lock), Vec::<String>::new());
}

#[test]
fn no_package_is_banned() {
    assert_eq!(banned(&read("Cargo.lock"), &read("deny.toml")), Vec::<String>::new());
}

#[test]
fn every_licence_is_allowed() {
    let allowed = texts(&read("deny.toml")["licenses"]["allow"]);
    let all = licences();
    assert!(all.len() > 100, "the packages were not read");
    let wrong: Vec<_> = all.into_iter().filter(|(_, licence)| !permitted(licence, &allowed)).collect();
    assert_eq!(wrong, Vec::new());
}

#[test]
fn a_bad_lock_is_noticed() {
    let deny = read("deny.toml");
    let lock: Table = "
        [[package]]
        name = 'trueup'
        [[package]]
        name = 'openssl-sys'
        source = 'registry+https://github.com/rust-lang/crates.io-index'
        checksum = 'abc'
        [[package]]
        name = 'forked'
        source = 'git+https://git.example/forked#abc'
        [[package]]
        name = 'mirrored'
        source = 'registry+https://registry.example/index'
        checksum = 'abc'
        [[package]]
        name = 'nearby'
    "
    .parse()
    .expect("TOML");
    assert_eq!(strangers(&lock, &deny).len(), 3, "{:?}", strangers(&lock, &deny));
    assert_eq!(unsealed(&lock).len(), 1, "{:?}", unsealed(&lock));
    assert_eq!(banned(&lock, &deny).len(), 1, "{:?}", banned(&lock, &deny));
}

#[test]
fn a_licence_is_read_as_it_is_written() {
    let allowed: BTreeSet<String> =
        ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for good in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "MIT AND ISC", "(GPL-3.0 OR MIT) AND ISC"] {
        assert!(permitted(good, &allowed), "{good}");
    }
    assert!(permitted("Apache-2.0 WITH LLVM-exception OR GPL-3.0", &allowed));
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "none", "", "MIT OR (", "(MIT", "MIT ISC", "Apache-2.0"] {
        assert!(!permitted(bad, &allowed), "{bad}");
    }
    assert!(!permitted("MIT WITH GPL-exception", &allowed));
}
