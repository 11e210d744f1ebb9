//! Defaults are not drift; extra elements are.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::container::{ContainerSpec, EnvValue, Logging, Restart};
use crate::model::drift::Cure;
use crate::model::image::Digest;
use crate::model::observed::{Container, EngineInfo, Health, Image, LiveSpec, RunState};
use crate::model::secrecy::HashKey;
use crate::model::units::{ByteSize, Cpus, Timestamp};

fn digest(c: char) -> Digest {
    format!("sha256:{}", c.to_string().repeat(64)).parse().expect("a digest")
}

fn image(key: &HashKey) -> Image {
    Image {
        id: digest('a'),
        tags: BTreeSet::from(["quote:1".parse().expect("an image")]),
        digests: BTreeSet::new(),
        entrypoint: vec!["/quote".into()],
        command: vec!["serve".into()],
        env: BTreeMap::from([("PATH".into(), key.hide("/bin"))]),
        workdir: "/srv".into(),
        user: "app".into(),
        labels: BTreeMap::from([("maker".into(), "us".into())]),
        health: None,
        stop_signal: Some("SIGQUIT".into()),
    }
}

/// What Docker shows of a container that declares nothing but its image.
fn bare(image: &Image) -> Container {
    Container {
        id: "0123456789abcdef".into(),
        name: "quote-prod-0".parse().expect("a name"),
        image: image.id.clone(),
        image_name: "quote:1".into(),
        created: Timestamp(0),
        state: RunState::Running { since: Timestamp(0), health: Health::Unchecked },
        restarts: 0,
        labels: image.labels.clone(),
        live: LiveSpec {
            entrypoint: image.entrypoint.clone(),
            command: image.command.clone(),
            env: image.env.clone(),
            workdir: image.workdir.clone(),
            user: image.user.clone(),
            hostname: "0123456789ab".into(),
            ports: BTreeSet::new(),
            mounts: BTreeMap::new(),
            files: BTreeMap::new(),
            network_mode: "default".into(),
            networks: BTreeMap::from([("bridge".into(), crate::model::observed::LiveAttachment::default())]),
            cpus: Cpus(0),
            memory: ByteSize(0),
            memory_reservation: ByteSize(0),
            pids: 0,
            shm_size: ByteSize(64 << 20),
            restart: Restart::No,
            health: None,
            cap_add: BTreeSet::new(),
            cap_drop: BTreeSet::new(),
            privileged: false,
            read_only: false,
            init: None,
            security_opt: BTreeSet::new(),
            sysctls: BTreeMap::new(),
            ulimits: BTreeMap::new(),
            devices: BTreeMap::new(),
            dns: Vec::new(),
            extra_hosts: BTreeMap::new(),
            logging: Logging {
                driver: "json-file".into(),
                options: BTreeMap::from([("max-size".into(), "10m".into())]),
            },
            stop_signal: image.stop_signal.clone(),
            stop_timeout: None,
        },
    }
}

fn info() -> EngineInfo {
    EngineInfo {
        id: "e".into(),
        name: "h".into(),
        version: "20.10".into(),
        api_version: "1.41".into(),
        os: "Debian".into(),
        architecture: "x86_64".into(),
        cpus: 2,
        memory: ByteSize(1 << 30),
        log_driver: "json-file".into(),
        swarm: None,
    }
}

fn fields(desired: &ContainerSpec, edit: impl Fn(&mut Container)) -> Vec<String> {
    changes(desired, edit).into_iter().map(|c| c.field).collect()
}

fn changes(desired: &ContainerSpec, edit: impl Fn(&mut Container)) -> Vec<crate::model::drift::FieldChange> {
    let (key, info) = (HashKey::new([1; 32]), info());
    let image = image(&key);
    let mut live = bare(&image);
    edit(&mut live);
    let images = BTreeMap::from([(image.id.clone(), image)]);
    container(desired, &live, &Against { images: &images, info: &info, key: &key, key_matches: true })
}

fn desired() -> ContainerSpec {
    ContainerSpec::of("quote:1".parse().expect("an image"))
}

#[test]
fn what_image_and_daemon_fill_in_is_not_drift() {
    assert_eq!(fields(&desired(), |_| {}), Vec::<String>::new());
}

#[test]
fn an_entrypoint_of_ones_own_clears_the_images_command() {
    let mut d = desired();
    d.entrypoint = Some(vec!["/other".into()]);
    let live = |c: &mut Container| {
        c.live.entrypoint = vec!["/other".into()];
        c.live.command = Vec::new();
    };
    assert_eq!(fields(&d, live), Vec::<String>::new());
    assert_eq!(fields(&d, |c| c.live.entrypoint = vec!["/other".into()]), ["command"]);
}

#[test]
fn extra_elements_in_modelled_fields_are_drift() {
    let key = HashKey::new([1; 32]);
    assert_eq!(
        fields(&desired(), |c| {
            c.live.env.insert("ADDED".into(), key.hide("x"));
        }),
        ["env.ADDED"]
    );
    assert_eq!(
        fields(&desired(), |c| {
            c.labels.insert("added".into(), "x".into());
        }),
        ["labels.added"]
    );
    assert_eq!(
        fields(&desired(), |c| {
            c.live.networks.insert("other".into(), Default::default());
        }),
        ["networks.other"]
    );
}

#[test]
fn live_env_values_are_never_shown() {
    let key = HashKey::new([1; 32]);
    let mut d = desired();
    d.env.insert("MODE".into(), EnvValue::Plain("declared".into()));
    let told = changes(&d, |c| {
        c.live.env.insert("MODE".into(), key.hide("s3cret"));
    });
    assert_eq!((told.len(), told[0].desired.as_str()), (1, "declared"));
    assert!(told[0].live.starts_with("(hidden ") && !format!("{told:?}").contains("s3cret"));
}

#[test]
fn a_limit_is_changed_in_place_but_taken_away_only_by_replacement() {
    let mut d = desired();
    d.memory = Some(ByteSize(64 << 20));
    let told = changes(&d, |c| c.live.memory = ByteSize(1 << 20));
    assert_eq!(told[0].cure, Cure::InPlace);
    let told = changes(&desired(), |c| c.live.memory = ByteSize(1 << 20));
    assert_eq!((told[0].cure, told[0].desired.as_str()), (Cure::Replace, "unlimited"));
}

#[test]
fn an_image_is_the_same_by_digest_or_by_what_its_tag_names_here() {
    assert_eq!(
        fields(&desired(), |c| c.image = digest('b')),
        ["image", "entrypoint", "command"][..1]
            .to_vec()
            .into_iter()
            .chain(
                // Without its image there are no defaults to compare with: everything it had looks different.
                ["entrypoint", "command", "env.PATH", "workdir", "user", "labels.maker", "stop_signal"]
            )
            .map(str::to_owned)
            .collect::<Vec<_>>()
    );
    let mut d = desired();
    d.image = d.image.pinned(digest('a'));
    assert_eq!(fields(&d, |_| {}), Vec::<String>::new());
}

#[test]
fn a_unified_diff_shows_both_sides() {
    let text = unified("a\nb\n", "a\nc\n");
    assert!(text.contains("-b") && text.contains("+c"), "{text}");
    assert_eq!(unified("same\n", "same\n"), "");
}
