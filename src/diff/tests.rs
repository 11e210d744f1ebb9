//! Defaults are not drift; extra elements are.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::container::{ContainerSpec, EnvValue, Logging, Restart};
use crate::model::drift::Cure;
use crate::model::image::Digest;
use crate::model::names::NetworkName;
use crate::model::network::Network;
use crate::model::observed::{Container, EngineInfo, Health, Image, LiveNetwork, LiveSpec, RunState, Seen};
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
        beyond: Default::default(),
        anonymous: Default::default(),
        veiled: false,
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
        membership: None,
        swarm: None,
        clock: None,
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
    container(desired, &live, &against(&images, &info, &key))
}

/// No network is there, and none declared.
fn against<'a>(images: &'a BTreeMap<Digest, Image>, info: &'a EngineInfo, key: &'a HashKey) -> Against<'a> {
    static NONE: BTreeMap<String, Seen<LiveNetwork>> = BTreeMap::new();
    static UNDECLARED: BTreeMap<NetworkName, Network> = BTreeMap::new();
    Against { images, info, key, key_matches: true, networks: &NONE, declared: &UNDECLARED }
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
    assert_eq!(fields(&desired(), |c| c.image = digest('b')), ["image"]);
    let mut d = desired();
    d.image = d.image.pinned(digest('a'));
    assert_eq!(fields(&d, |_| {}), Vec::<String>::new());
}

/// A1: without the image nobody knows what it had set, so only what git sets is compared.
#[test]
fn without_its_image_only_what_git_declares_is_compared() {
    let key = HashKey::new([1; 32]);
    let gone = |c: &mut Container| {
        c.image = digest('b');
        c.image_name = "quote:2".into();
        c.live.env.insert("MODE".into(), key.hide("by hand"));
        c.live.command = vec!["other".into()];
        c.live.user = "other".into();
    };
    let mut d = ContainerSpec::of("quote:2".parse().expect("an image"));
    assert_eq!(fields(&d, gone), Vec::<String>::new());
    d.env.insert("MODE".into(), EnvValue::Plain("declared".into()));
    d.user = Some("app".into());
    assert_eq!(fields(&d, gone), ["env.MODE", "user"]);
}

/// Measured: an engine whose default options are max-size=10m, max-file=3 shows max-file=3 on a container that was
/// created with max-size alone, and nothing on one with another driver.
#[test]
fn options_that_the_daemon_adds_to_its_default_driver_are_not_drift() {
    let options = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let mut d = desired();
    d.logging = Some(Logging { driver: "json-file".into(), options: options(&[("max-size", "1m")]) });
    let live =
        |driver: &str, pairs: &[(&str, &str)]| Logging { driver: driver.into(), options: options(pairs) };
    let compared = |d: &ContainerSpec, logging: Logging| fields(d, |c| c.live.logging = logging.clone());
    assert!(compared(&d, live("json-file", &[("max-size", "1m"), ("max-file", "3")])).is_empty());
    assert_eq!(compared(&d, live("json-file", &[("max-size", "2m"), ("max-file", "3")])), ["logging"]);
    assert_eq!(compared(&d, live("json-file", &[("max-file", "3")])), ["logging"]);
    d.logging = Some(live("local", &[]));
    assert_eq!(compared(&d, live("local", &[("max-size", "9m")])), ["logging"]);
}

#[test]
fn a_health_check_takes_what_it_leaves_open_from_the_image() {
    use crate::model::container::HealthCheck;
    use crate::model::units::TimeSpan;
    let check = |test: &str, interval, timeout, retries| HealthCheck::Probe {
        test: vec!["CMD".into(), test.into()],
        interval,
        timeout,
        start_period: None,
        retries,
    };
    let seconds = |n| Some(TimeSpan::from_secs(n));
    let (key, info) = (HashKey::new([1; 32]), info());
    let mut image = image(&key);
    image.health = Some(check("image", seconds(7), None, Some(5)));
    let mut live = bare(&image);
    let images = BTreeMap::from([(image.id.clone(), image)]);
    let against = against(&images, &info, &key);
    let mut d = desired();
    d.health = Some(check("own", None, seconds(9), None));
    live.live.health = Some(check("own", seconds(7), seconds(9), Some(5)));
    assert_eq!(container(&d, &live, &against), []);
    live.live.health = Some(check("own", seconds(8), seconds(9), Some(5)));
    assert_eq!(container(&d, &live, &against).len(), 1);
}

/// D8: which of its networks a container was created on is no drift; the default bridge instead of them is.
#[test]
fn a_further_network_is_attached_without_a_new_container() {
    use crate::model::container::{Attachment, Networks};
    use crate::model::observed::LiveAttachment;
    let mut d = desired();
    let named = ["alpha", "beta"].map(|n| (n.parse().expect("a name"), Attachment::default()));
    d.networks = Networks::Named(BTreeMap::from(named));
    let on = |mode: &'static str, networks: &'static [&'static str]| {
        move |c: &mut Container| {
            c.live.network_mode = mode.into();
            c.live.networks = networks.iter().map(|n| ((*n).to_owned(), LiveAttachment::default())).collect();
        }
    };
    assert_eq!(fields(&d, on("beta", &["alpha", "beta"])), Vec::<String>::new());
    let told = changes(&d, on("beta", &["beta"]));
    assert_eq!((told.len(), told[0].field.as_str(), told[0].cure), (1, "networks.alpha", Cure::InPlace));
    assert!(changes(&d, on("default", &["bridge"])).iter().any(|c| c.cure == Cure::Replace));
}

/// Every field of the spec, by hand: exactly that field is told. A new field without a line here does not compile.
#[test]
fn the_own_name_and_host_name_are_no_aliases() {
    use crate::model::container::{Attachment, Networks};
    use crate::model::observed::LiveAttachment;
    let network = |aliases: &[&str]| {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        Networks::Named(BTreeMap::from([(
            "n".parse().expect("a name"),
            Attachment { address: None, aliases },
        )]))
    };
    let live = |aliases: &'static [&'static str]| {
        move |c: &mut Container| {
            let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
            let attached = LiveAttachment { aliases, ..LiveAttachment::default() };
            c.live.networks = BTreeMap::from([("n".into(), attached)]);
            (c.live.hostname, c.live.network_mode) = ("declared".into(), "n".into());
        }
    };
    for (wanted, seen) in [
        (&["www"][..], &["www", "declared"][..]),
        (&["www"], &["www"]),
        (&["declared"], &[]),
        (&["declared"], &["declared"]),
    ] {
        let mut d = desired();
        d.hostname = Some("declared".into());
        d.networks = network(wanted);
        assert_eq!(fields(&d, live(seen)), Vec::<String>::new(), "{wanted:?} {seen:?}");
    }
    let mut d = desired();
    d.hostname = Some("declared".into());
    d.networks = network(&["www"]);
    assert_eq!(fields(&d, live(&["declared"])), ["networks.n"]);
}

#[test]
fn every_field_changed_by_hand_is_told() {
    use crate::model::container::*;
    use crate::model::observed::{LiveAttachment, LiveFile, Seen};
    use crate::model::secrecy::ContentHash;
    use crate::model::units::TimeSpan;
    let by_hand = |field: ContainerField, c: &mut Container| {
        let l = &mut c.live;
        match field {
            ContainerField::Image => c.image = digest('c'),
            ContainerField::Entrypoint => l.entrypoint = vec!["/x".into()],
            ContainerField::Command => l.command = vec!["x".into()],
            ContainerField::Env => drop(l.env.insert("X".into(), HashKey::new([1; 32]).hide("x"))),
            ContainerField::Workdir => l.workdir = "/x".into(),
            ContainerField::User => l.user = "x".into(),
            ContainerField::Hostname => l.hostname = "x".into(),
            ContainerField::Labels => drop(c.labels.insert("x".into(), "x".into())),
            ContainerField::Ports => {
                l.ports.insert(Port { container: 1, protocol: Protocol::Tcp, host: None, address: None });
            }
            ContainerField::Mounts => {
                let source = MountSource::Tmpfs { size: None };
                drop(l.mounts.insert("/x".into(), Mount { source, read_only: false }));
            }
            ContainerField::Files => {
                let file = LiveFile { hash: ContentHash::of(b"x"), mode: 0o400 };
                drop(l.files.insert("/x".into(), Seen::Known(Some(file))));
            }
            ContainerField::Networks => drop(l.networks.insert("x".into(), LiveAttachment::default())),
            ContainerField::Cpus => l.cpus = Cpus(1),
            ContainerField::Memory => l.memory = ByteSize(1),
            ContainerField::MemoryReservation => l.memory_reservation = ByteSize(1),
            ContainerField::Pids => l.pids = 1,
            ContainerField::ShmSize => l.shm_size = ByteSize(1),
            ContainerField::Restart => l.restart = Restart::Always,
            ContainerField::Health => {
                l.health = Some(HealthCheck::Probe {
                    test: vec!["CMD".into(), "x".into()],
                    interval: None,
                    timeout: None,
                    start_period: None,
                    retries: None,
                });
            }
            ContainerField::CapAdd => drop(l.cap_add.insert("X".into())),
            ContainerField::CapDrop => drop(l.cap_drop.insert("X".into())),
            ContainerField::Privileged => l.privileged = true,
            ContainerField::ReadOnly => l.read_only = true,
            ContainerField::Init => l.init = Some(true),
            ContainerField::SecurityOpt => drop(l.security_opt.insert("x".into())),
            ContainerField::Sysctls => drop(l.sysctls.insert("x".into(), "1".into())),
            ContainerField::Ulimits => drop(l.ulimits.insert("x".into(), Ulimit { soft: 1, hard: 1 })),
            ContainerField::Devices => {
                let device = Device { host: "/dev/x".into(), permissions: "rwm".into() };
                drop(l.devices.insert("/dev/x".into(), device));
            }
            ContainerField::Dns => l.dns = vec!["192.0.2.1".parse().expect("an address")],
            ContainerField::ExtraHosts => drop(l.extra_hosts.insert("x".into(), "192.0.2.1".into())),
            ContainerField::Logging => l.logging.driver = "local".into(),
            ContainerField::StopSignal => l.stop_signal = Some("SIGX".into()),
            ContainerField::StopTimeout => l.stop_timeout = Some(TimeSpan::from_secs(1)),
        }
    };
    for field in ContainerField::ALL {
        let told = fields(&desired(), |c| by_hand(*field, c));
        let told: BTreeSet<&str> = told.iter().filter_map(|f| f.split('.').next()).collect();
        assert_eq!(told, BTreeSet::from([field.name()]), "{field}");
    }
}

#[test]
fn a_unified_diff_shows_both_sides() {
    let text = unified("a\nb\n", "a\nc\n");
    assert!(text.contains("-b") && text.contains("+c"), "{text}");
    assert_eq!(unified("same\n", "same\n"), "");
}
