//! A snapshot of things of others with a secret in every text that there is: what stays is named here, and nothing else does.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::endpoints::fixture;
use crate::model::observed::Observed;
use crate::model::secrecy::HashKey;

use super::veil;

const SECRET: &str = "s3cr3t";

/// Texts that a plan needs of others as they are: names, paths, and words of Docker's own. Numbers and addresses are no texts.
const STAY: &[&str] = &[
    // Of an engine and a node: nobody's in particular.
    "info.api_version",
    "info.architecture",
    "info.id",
    "info.log_driver",
    "info.membership.error",
    "info.membership.node",
    "info.membership.state",
    "info.name",
    "info.os",
    "info.swarm",
    "info.version",
    "nodes.*.hostname",
    "nodes.*.id",
    "nodes.*.labels.*",
    "nodes.*.message",
    "volumes_hidden",
    // Names by which things are told apart, and what they are called after.
    "*.id",
    "*.name",
    "attached.[]",
    "tags.[]",
    "driver",
    "image",
    "image_name",
    "manager",
    "network_mode",
    "parent",
    "stop_signal",
    "user",
    "hostname",
    "workdir",
    "aliases.[]",
    "networks.*.[]",
    "container",
    "node",
    "service",
    // What it may do, and where.
    "anonymous.*",
    "cap_add.[]",
    "cap_drop.[]",
    "constraints.[]",
    "devices.*.host",
    "devices.*.permissions",
    "files.*.source",
    "mounts.*.source.host",
    "security_opt.[]",
    "spread.[]",
    "sysctls.*",
];

/// One of everything that there is, and nothing of it ours.
fn everything() -> Value {
    serde_json::from_str(include_str!("others.json")).expect("JSON")
}

fn veiled(snapshot: &Value) -> Option<String> {
    let observed: Observed = serde_json::from_value(snapshot.clone()).ok()?;
    let desired = fixture::desired(1, vec![fixture::app("quote-prod", 1)]);
    let veiled = veil(&observed, &fixture::owner(), &desired, &HashKey::new([0; 32]));
    serde_json::to_string(&veiled).ok()
}

#[test]
fn of_others_no_text_is_left_that_could_hold_a_secret() {
    let all = everything();
    assert!(serde_json::from_value::<Observed>(all.clone()).is_ok(), "the fixture is a snapshot");
    let veiled = veiled(&all).expect("a snapshot");
    let at = veiled.find(SECRET).unwrap_or_default();
    let around = veiled.get(at.saturating_sub(300)..).unwrap_or_default();
    assert!(!veiled.contains(SECRET), "…{}", around.get(..400).unwrap_or(around));
    assert!(!veiled.contains(&"a".repeat(64)), "hashes without a key are guessed");
    assert!(veiled.contains("theirs") && veiled.contains("192.0.2.9"), "what a plan goes round stays");
}

/// Where each text is, by JSON pointer.
fn texts(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| texts(item, &format!("{at}/{n}"), found));
        }
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            texts(value, &format!("{at}/{}", key.replace('/', "~1")), found);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `*` stands for any one part, `[]` for a place in a list.
fn stays(pointer: &str) -> bool {
    let parts: Vec<&str> = pointer.split('/').collect();
    STAY.iter().any(|known| {
        let known: Vec<&str> = known.split('.').collect();
        let fits = |(known, part): (&&str, &&str)| match *known {
            "*" => true,
            "[]" => part.parse::<usize>().is_ok(),
            name => name == *part,
        };
        known.len() <= parts.len() && known.iter().rev().zip(parts.iter().rev()).all(fits)
    })
}

/// Each text in turn, so that a field that is new is either hidden or named above.
#[test]
fn what_stays_of_others_is_what_is_named() {
    let all = everything();
    let mut pointers = Vec::new();
    texts(&all, "", &mut pointers);
    let planted = "pl4nt3d";
    let mut left = BTreeSet::new();
    for pointer in &pointers {
        let mut with = all.clone();
        let text = with.pointer_mut(pointer).expect("it was there");
        *text = format!("{}{planted}", text.as_str().unwrap_or_default()).into();
        // Where only certain words may stand, there is no room for a secret.
        if veiled(&with).is_some_and(|veiled| veiled.contains(planted)) && !stays(pointer) {
            left.insert(pointer);
        }
    }
    assert!(pointers.len() > 150, "{}", pointers.len());
    assert!(left.is_empty(), "{left:#?}");
}

/// What a plan compares is not hidden: ours, and what git adopts.
#[test]
fn what_is_ours_stays_as_it_is() {
    let mut observed = fixture::observed(vec![(
        "h1",
        fixture::known(vec![fixture::container("quote-prod-0", "h1", "192.0.2.9")]),
    )]);
    let mine: Observed = serde_json::from_value(everything()).expect("a snapshot");
    let ours = observed.clone();
    let desired = fixture::desired(1, vec![fixture::app("quote-prod", 1)]);
    let key = HashKey::new([0; 32]);
    assert_eq!(veil(&observed, &fixture::owner(), &desired, &key), ours);

    // A service that is adopted.
    let mut adopting = fixture::app("theirs-prod", 1);
    adopting.adopt = true;
    observed.swarms = mine.swarms;
    let name = adopting.service_name();
    let text = serde_json::to_string(&observed).expect("JSON").replace("\"theirs\"", &format!("\"{name}\""));
    let observed: Observed = serde_json::from_str(&text).expect("a snapshot");
    let veiled = veil(&observed, &fixture::owner(), &fixture::desired(1, vec![adopting]), &key);
    assert_eq!(
        veiled.swarms["all"].known().map(|s| &s.services),
        observed.swarms["all"].known().map(|s| &s.services)
    );
}
