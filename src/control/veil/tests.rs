//! A snapshot of things of others with a secret in every text that there is: what stays is named here, and nothing else does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::control::pass::files_for;
use crate::endpoints::{Exceptions, fixture};
use crate::model::app::{App, Runtime, SwarmService};
use crate::model::desired::Desired;
use crate::model::file::{FileSet, Files};
use crate::model::last_seen::LastSeen;
use crate::model::observed::{Health, Observed, RunState, Seen};
use crate::model::secrecy::HashKey;
use crate::model::service::ServiceMode;
use crate::model::units::Timestamp;

use super::{veil, written_here};

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
    serde_json::to_string(&saved(&observed, &desired)).ok()
}

/// As in a saved snapshot.
fn saved(observed: &Observed, desired: &Desired) -> Observed {
    let written = written_here(desired, observed, &fixture::owner(), &Exceptions::default());
    veil(observed, &fixture::owner(), (desired, &LastSeen::default()), &written, &HashKey::new([0; 32]))
}

fn on_swarm(swarm: &str) -> Runtime {
    Runtime::Swarm(SwarmService::new(swarm, ServiceMode::Global))
}

/// An app that takes over what has its name (B4).
fn adopting(name: &str, runtime: Runtime) -> App {
    App { runtime, adopt: true, ..fixture::app(name, 1) }
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
    let desired = fixture::desired(1, vec![fixture::app("quote-prod", 1)]);
    assert_eq!(saved(&observed, &desired), observed);

    // A service that is adopted: but for what no plan compares.
    let adopting = adopting("theirs-prod", on_swarm("all"));
    observed.swarms = mine.swarms;
    let name = adopting.service_name();
    let text = serde_json::to_string(&observed).expect("JSON").replace("\"theirs\"", &format!("\"{name}\""));
    let observed: Observed = serde_json::from_str(&text).expect("a snapshot");
    let saved = saved(&observed, &fixture::desired(1, vec![adopting]));
    let service = |observed: &Observed| {
        let swarm = observed.swarms["all"].known().expect("read");
        let mut service = swarm.services[&name].known().expect("read").clone();
        (std::mem::take(&mut service.beyond), service)
    };
    let ((was, before), (beyond, after)) = (service(&observed), service(&saved));
    assert_eq!(before, after);
    assert_eq!((was.len(), beyond.len()), (1, 1));
    assert!(beyond.iter().all(|text| text.starts_with("hidden ")), "{beyond:?}");
}

/// Programs print what they were given, whoever's they are.
#[test]
fn what_ours_said_is_hidden_and_that_it_said_something_is_not() {
    let ours = |name: &str, state: RunState| {
        let mut container = fixture::in_state(fixture::container(name, "h1", "192.0.2.9"), state);
        container.beyond.insert(format!("the domain name {SECRET}"));
        container
    };
    let unhealthy = |said: &str| fixture::running(Health::Unhealthy { last_output: said.to_owned() });
    let exited = RunState::Exited { exit_code: 3, at: Timestamp(9), error: format!("no {SECRET}") };
    let mut observed = fixture::observed(vec![(
        "h1",
        fixture::known(vec![
            ours("quote-prod-0", unhealthy(SECRET)),
            ours("quote-prod-1", unhealthy("")),
            ours("quote-prod-2", exited),
        ]),
    )]);
    // Tasks of a service that is adopted.
    let adopting = adopting("theirs-prod", on_swarm("all"));
    let text = everything().to_string().replace("\"theirs\"", &format!("\"{}\"", adopting.service_name()));
    observed.swarms = serde_json::from_str::<Observed>(&text).expect("a snapshot").swarms;
    let saved = saved(&observed, &fixture::desired(1, vec![fixture::app("quote-prod", 3), adopting]));

    let containers = &saved.engine(&fixture::name("h1")).expect("read").containers;
    assert!(!serde_json::to_string(containers).expect("JSON").contains(SECRET), "{containers:#?}");
    let state = |name: &str| containers[&fixture::name(name)].known().expect("read").state.clone();
    let hidden = format!("hidden {}", HashKey::new([0; 32]).hide(SECRET));
    assert_eq!(state("quote-prod-0"), unhealthy(&hidden));
    assert_eq!(state("quote-prod-1"), unhealthy(""), "nothing said is nothing hidden");
    assert!(
        matches!(state("quote-prod-2"), RunState::Exited { exit_code: 3, error, .. } if error.starts_with("hidden "))
    );
    let tasks = &saved.swarms["all"].known().expect("read").tasks;
    assert!(tasks.values().all(|task| task.error.starts_with("hidden ")), "{tasks:#?}");
}

fn set(files: &[(&str, &str)]) -> BTreeMap<FileSet, Seen<Option<Files>>> {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    BTreeMap::from([(FileSet::Nginx, Seen::Known(Some(files)))])
}

fn nginx(observed: &Observed) -> Files {
    observed.files[&FileSet::Nginx].known().cloned().flatten().expect("installed")
}

/// What is wanted of Nginx where this was seen.
fn wanted(desired: &Desired, observed: &Observed) -> Files {
    files_for(desired, observed, &fixture::owner(), &Exceptions::default()).sets[&FileSet::Nginx].clone()
}

#[test]
fn of_a_generated_file_only_what_a_hand_wrote_is_hidden() {
    let desired = fixture::desired(1, vec![fixture::app("quote-prod", 1)]);
    let mut observed = fixture::observed(vec![(
        "h1",
        fixture::known(vec![fixture::container("quote-prod-0", "h1", "192.0.2.9")]),
    )]);
    let rendered = wanted(&desired, &observed)["quote-prod.conf"].clone();
    observed.files = set(&[("quote-prod.conf", &rendered)]);
    assert_eq!(saved(&observed, &desired), observed, "as written: it plans empty");

    // A line among others, one taken away, another order, no line end: all go on to differ.
    let by_hand = rendered.replacen("}\n", &format!("    {SECRET};\n}}\n"), 1);
    let reversed: String = rendered.lines().rev().map(|line| format!("{line}\n")).collect();
    for edited in [&by_hand, &rendered.replacen("}\n", "", 1), &reversed, rendered.trim_end()] {
        observed.files = set(&[("quote-prod.conf", edited)]);
        let saved = saved(&observed, &desired);
        let text = &nginx(&saved)["quote-prod.conf"];
        assert!(!text.contains(SECRET) && *text != rendered, "{text}");
        assert_eq!(text.split('\n').count(), edited.split('\n').count(), "line by line: {text}");
        assert_eq!(wanted(&desired, &saved)["quote-prod.conf"], rendered);
    }
    observed.files = set(&[("quote-prod.conf", &by_hand)]);
    let saved = saved(&observed, &desired);
    let hidden: Vec<String> = nginx(&saved)["quote-prod.conf"]
        .lines()
        .filter(|line| line.contains("hidden"))
        .map(str::to_owned)
        .collect();
    assert!(
        matches!(&*hidden, [line] if line.starts_with("hidden ")),
        "the others are trueup's own: {hidden:?}"
    );
}

/// A1, E1: what is kept is kept in a replay too, and plans empty, though not a line of it need be trueup's.
#[test]
fn a_file_that_is_only_kept_is_hidden_and_kept_by_who_replays_it() {
    let quote = fixture::app("quote-prod", 1);
    let fault =
        |app: &mut App| app.upstream.iter_mut().for_each(|upstream| upstream.keepalive = Some(u32::MAX));
    let mut broken = fixture::app("broken-prod", 1);
    fault(&mut broken);
    let desired = fixture::desired(1, vec![quote, broken]);
    let here = fixture::known(vec![fixture::container("quote-prod-0", "h1", "192.0.2.9")]);
    let mut observed = fixture::observed(vec![("h1", here)]);
    let rendered = wanted(&desired, &observed)["quote-prod.conf"].clone();
    observed.files = set(&[("broken-prod.conf", SECRET), ("quote-prod.conf", &rendered)]);
    // The host of the other does not answer: its line is kept.
    observed.hosts = BTreeMap::from([(fixture::name("h1"), Seen::unknown("h1: GET /info: no"))]);
    assert_eq!(wanted(&desired, &observed), nginx(&observed), "all of it is kept");
    let saved = saved(&observed, &desired);
    assert_eq!(nginx(&saved)["quote-prod.conf"], rendered);
    assert!(nginx(&saved)["broken-prod.conf"].starts_with("hidden "), "{:#?}", nginx(&saved));
    assert_eq!(wanted(&desired, &saved), nginx(&saved), "it plans empty");
}

/// Somebody's `docker commit` of what runs has that one's arguments, under whichever tag of our repository it is kept.
#[test]
fn an_image_is_gits_by_its_tag_or_because_it_came_from_a_registry() {
    let hidden = |tags: &[&str], digests: &[String]| {
        let mut all = everything();
        for host in all["hosts"].as_object_mut().expect("hosts").values_mut() {
            let images = host.pointer_mut("/known/images").and_then(Value::as_object_mut);
            for (_, image) in images.into_iter().flatten() {
                (image["tags"], image["digests"]) = (tags.into(), digests.into());
            }
        }
        let veiled: Value = serde_json::from_str(&veiled(&all).expect("a snapshot")).expect("JSON");
        let hosts = veiled["hosts"].as_object().expect("hosts").values();
        let mut images = hosts.filter_map(|host| host["known"]["images"].as_object()).flatten();
        images.all(|(_, image)| !image["command"].to_string().contains(SECRET))
    };
    let mut declared = fixture::app("quote-prod", 1).container.image;
    assert!(!hidden(&[&declared.to_string()], &[]), "the very tag");
    let pulled = format!("{}@sha256:{}", declared.repository, "c".repeat(64));
    assert!(!hidden(&[], &[pulled]), "of the repository that git names, whatever its tag was");
    declared.tag = Some("debug".to_owned());
    assert!(hidden(&[&declared.to_string()], &[]), "what somebody made here");
}

/// B4: who takes a service over does so in one Swarm; one of the same name elsewhere is somebody else's.
#[test]
fn a_service_is_adopted_in_its_own_swarm_alone() {
    let mut all = everything();
    let services = all.pointer_mut("/swarms/all/known/services").and_then(Value::as_object_mut);
    let services = services.expect("services");
    let mut theirs = services.remove("theirs").expect("a service");
    theirs["known"]["name"] = "quote-prod".into();
    services.insert("quote-prod".to_owned(), theirs);
    let observed: Observed = serde_json::from_value(all).expect("a snapshot");
    let labels_show = |runtime: Runtime| {
        let saved = saved(&observed, &fixture::desired(1, vec![adopting("quote-prod", runtime)]));
        let swarm = saved.swarms["all"].known().expect("known");
        let service = swarm.services["quote-prod"].known().expect("known");
        service.labels.values().any(|value| value.contains(SECRET))
    };
    assert!(labels_show(on_swarm("all")));
    assert!(!labels_show(on_swarm("elsewhere")));
    assert!(!labels_show(fixture::app("quote-prod", 1).runtime), "placed on hosts");
}
