//! Every rule of the library on the document that rules are really given: none reads a field that is not there.

use super::*;
use crate::model::app::{Runtime, SwarmService};
use crate::model::container::{Attachment, Device, Mount, MountSource, Networks};
use crate::model::names::{AppKey, NetworkName, VolumeName};
use crate::model::network::{Network, NetworkDriver, NetworkSpec, Volume, VolumeSpec};
use crate::model::service::ServiceMode;
use crate::model::units::{ByteSize, Cpus};

/// Before, after, the settings, and whether a rule of this name denies.
type Case<'a> = (&'a str, &'a Desired, &'a Desired, PolicySettings, bool);

fn assert_says(cases: &[Case<'_>]) {
    for (number, (rule, before, after, settings, expected)) in cases.iter().enumerate() {
        assert_eq!(says(before, after, settings, false, rule), *expected, "case {number}: {rule}");
    }
}

fn says(
    before: &Desired,
    after: &Desired,
    settings: &PolicySettings,
    policies_changed: bool,
    rule: &str,
) -> bool {
    let nothing = BTreeSet::new();
    let situation = Situation {
        freeze: &settings.freeze,
        policies_changed,
        ..example::situation(before, after, &nothing)
    };
    let findings = evaluate(&compiled(settings, ""), &situation);
    findings.findings.iter().any(|finding| finding.rule == rule)
}

fn usual() -> PolicySettings {
    PolicySettings::default()
}

fn frozen() -> PolicySettings {
    PolicySettings { freeze: vec![super::always()], ..usual() }
}

/// Every rule of the library over the model's own types: the document has the fields that the rules ask for. What follows it
/// has the other ways that a rule denies.
#[test]
fn every_rule_reads_the_real_document() {
    let (before, after) = fleets();
    let latest = with(|app| app.container.image = "quote:latest".parse().expect("an image"));
    let open = with(|app| app.container.privileged = true);
    let volume =
        |kind: &str, o: &str, device: &str| with_volume(&[("type", kind), ("o", o), ("device", device)]);
    let registry = || PolicySettings { registries: vec!["registry.example".into()], ..usual() };
    let mounts = || on("no_host_mounts", Switch::Final);
    let mut bare = after.clone();
    for app in bare.apps.values_mut() {
        Arc::make_mut(app).container.mounts.clear();
    }
    let mut protected = before.clone();
    for app in protected.apps.values_mut() {
        Arc::make_mut(app).protect = true;
    }
    let mut emptied = after.clone();
    emptied.apps.clear();
    let mut ended = after.clone();
    ended.environments.values_mut().for_each(|environment| environment.production = false);
    let mut moved = volume("none", "bind", "/opt");
    for host in moved.hosts.values_mut() {
        host.engine = "unix:///opt/engine/api".parse().expect("an address");
    }
    let cases = [
        ("pinned_images", &before, &latest, usual(), true),
        ("pinned_images", &before, &after, usual(), false),
        ("allowed_registries", &before, &latest, registry(), true),
        ("allowed_registries", &before, &after, registry(), false),
        ("no_privileged", &before, &open, usual(), true),
        ("no_privileged", &before, &volume("ext4", "", "/dev/sda1"), usual(), true),
        ("no_privileged", &before, &volume("proc", "", "proc"), usual(), true),
        ("no_privileged", &before, &after, usual(), false),
        ("no_host_mounts", &before, &after, mounts(), true),
        ("no_host_mounts", &before, &bare, mounts(), false),
        ("no_host_mounts", &before, &volume("none", "bind", "/etc"), mounts(), true),
        ("no_host_mounts", &before, &volume("ext4", "", "/dev/sda1"), mounts(), true),
        ("no_host_mounts", &before, &volume("nfs", "addr=192.0.2.1", ":/etc"), mounts(), false),
        ("no_docker_socket", &before, &with_host_mount("/var/run"), usual(), true),
        ("no_docker_socket", &before, &volume("none", "bind", "/var/run"), usual(), true),
        ("no_docker_socket", &before, &volume("overlay", "lowerdir=/run", "overlay"), usual(), true),
        ("no_docker_socket", &before, &volume("none", "bind", "/opt"), usual(), false),
        ("no_docker_socket", &before, &moved, usual(), true),
        ("no_docker_socket", &before, &after, usual(), false),
        ("limits_required", &before, &after, on("limits_required", Switch::Advice), true),
        ("replica_bounds", &before, &after, PolicySettings { most_replicas: Some(1), ..usual() }, true),
        ("replica_bounds", &before, &after, PolicySettings { most_replicas: Some(2), ..usual() }, false),
        (
            "replica_bounds",
            &before,
            &after,
            PolicySettings { least_replicas_in_production: Some(3), ..usual() },
            true,
        ),
        ("health_check", &before, &after, usual(), true),
        ("ran_healthy_first", &before, &after, usual(), true),
        ("freeze", &before, &after, frozen(), true),
        ("freeze", &before, &after, usual(), false),
        ("protected_apps", &protected, &emptied, usual(), true),
        ("protected_apps", &before, &emptied, usual(), false),
        ("production_kept", &before, &ended, usual(), true),
        ("production_kept", &before, &after, usual(), false),
    ];
    assert_says(&cases);
    let tried: BTreeSet<&str> = cases.iter().map(|case| case.0).chain(["policy_changes"]).collect();
    assert!(says(&before, &after, &usual(), true, "policy_changes"));
    assert!(!says(&before, &after, &usual(), false, "policy_changes"));
    let rules = compiled(&usual(), "");
    let untried: Vec<&str> =
        rules.list().iter().map(|rule| rule.name.as_str()).filter(|rule| !tried.contains(rule)).collect();
    assert!(untried.is_empty(), "no case tries {untried:?} on the real document");
}

/// Each alone: a field of another name would switch its part of the rule off, and no other part would tell.
#[test]
fn what_amounts_to_privileged_is_read_field_by_field() {
    let (before, _) = fleets();
    let capability = |name: &str| with(|app| app.container.cap_add = BTreeSet::from([name.to_owned()]));
    let option = |word: &str| with(|app| app.container.security_opt = BTreeSet::from([word.to_owned()]));
    let device = |host: &str| {
        let device = Device { host: host.to_owned(), permissions: "rwm".to_owned() };
        with(|app| app.container.devices = BTreeMap::from([("/dev/x".to_owned(), device.clone())]))
    };
    let rule = "no_privileged";
    assert_says(&[
        (rule, &before, &capability("SYS_ADMIN"), usual(), true),
        (rule, &before, &capability("NET_ADMIN"), usual(), false),
        (rule, &before, &device("/dev/vg/root"), usual(), true),
        (rule, &before, &device("/dev/ttyUSB0"), usual(), false),
        (rule, &before, &option("seccomp=unconfined"), usual(), true),
        (rule, &before, &option("no-new-privileges"), usual(), false),
    ]);
}

#[test]
fn digests_and_each_limit_are_read_by_themselves() {
    let (before, after) = fleets();
    let by_digest = || PolicySettings { images_by_digest: true, ..usual() };
    let pinned = with(|app| {
        let image = format!("registry.example/quote:1.5@sha256:{}", "0".repeat(64));
        app.container.image = image.parse().expect("an image");
    });
    let limited = |cpus: Option<Cpus>, memory: Option<ByteSize>| {
        with(|app| (app.container.cpus, app.container.memory) = (cpus, memory))
    };
    let (cpus, memory) = (Some(Cpus(500_000_000)), Some(ByteSize(1 << 30)));
    let limits = || on("limits_required", Switch::Final);
    assert_says(&[
        ("pinned_images", &before, &after, by_digest(), true),
        ("pinned_images", &before, &pinned, by_digest(), false),
        ("limits_required", &before, &limited(None, memory), limits(), true),
        ("limits_required", &before, &limited(cpus, None), limits(), true),
        ("limits_required", &before, &limited(cpus, memory), limits(), false),
    ]);
}

/// Only the network, or only the Swarm, changes: a freeze knows by its users that production is on it.
#[test]
fn a_freeze_reads_networks_and_swarms() {
    let name: NetworkName = "quotes".parse().expect("a name");
    let mut on_network = with(|app| {
        app.container.networks = Networks::Named(BTreeMap::from([(name.clone(), Attachment::default())]));
    });
    on_network.networks.insert(name.clone(), network(&name));
    let mut widened = on_network.clone();
    widened.networks.values_mut().for_each(|network| network.spec.internal = true);
    let mut unused = on_network.clone();
    unused.networks.insert("other".parse().expect("a name"), network(&"other".parse().expect("a name")));

    let service = SwarmService::new("all", ServiceMode::Replicated(2));
    let mut in_swarm = with(|app| app.runtime = Runtime::Swarm(service.clone()));
    in_swarm.swarms.insert("all".to_owned(), vec!["rack".parse().expect("a name")]);
    let mut managed = in_swarm.clone();
    managed.swarms.insert("all".to_owned(), vec!["shelf".parse().expect("a name")]);
    assert_says(&[
        ("freeze", &on_network, &widened, frozen(), true),
        ("freeze", &on_network, &unused, frozen(), false),
        ("freeze", &on_network, &on_network, frozen(), false),
        ("freeze", &in_swarm, &managed, frozen(), true),
        ("freeze", &in_swarm, &in_swarm, frozen(), false),
    ]);
}

const ABOUT_VOLUMES: [&str; 3] = ["no_privileged", "no_host_mounts", "no_docker_socket"];

#[test]
fn another_drivers_paths_are_read() {
    let (before, _) = fleets();
    let of = |driver: &str, path: &str| on_volume(&spec(driver, &[("mountpoint", path)]), false);
    for rule in ABOUT_VOLUMES {
        assert_says(&[
            (rule, &before, &of("local-persist", "/proc/1/root/run"), on(rule, Switch::Final), true),
            (rule, &before, &of("local-persist", "srv"), on(rule, Switch::Final), false),
            (rule, &before, &of("local", "/proc/1/root/run"), on(rule, Switch::Final), false),
        ]);
    }
}

/// Another app, which does not change, declares what this one mounts as somebody else's.
#[test]
fn an_external_volume_is_looked_through() {
    let lent = |options: &[(&str, &str)]| {
        let mut before = on_volume(&spec("local", options), false);
        let (_, lender) = before.apps.pop_first().expect("an app");
        let key = AppKey { app: "lender".parse().expect("a name"), ..lender.key.clone() };
        let lender = Arc::new(App { key: key.clone(), ..App::clone(&lender) });
        before.apps.insert(key.clone(), Arc::clone(&lender));
        let mut after = on_volume(&spec("local", &[]), true);
        after.apps.insert(key, lender);
        (before, after)
    };
    let disk = lent(&[("type", "ext4"), ("device", "/dev/sda1")]);
    let run = lent(&[("type", "none"), ("o", "bind"), ("device", "/run")]);
    let plain = lent(&[]);
    for (rule, (before, after)) in
        [(ABOUT_VOLUMES[0], &disk), (ABOUT_VOLUMES[1], &disk), (ABOUT_VOLUMES[2], &run)]
    {
        assert_says(&[
            (rule, before, after, on(rule, Switch::Final), true),
            (rule, &plain.0, &plain.1, on(rule, Switch::Final), false),
        ]);
    }
}

fn network(name: &NetworkName) -> Network {
    Network {
        name: name.clone(),
        spec: NetworkSpec {
            driver: NetworkDriver::Bridge,
            subnet: None,
            gateway: None,
            ip_range: None,
            parent: None,
            internal: false,
            attachable: false,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        },
        pools: BTreeMap::new(),
        reserved: BTreeSet::new(),
        external: false,
        origin: "networks/all.toml:1".into(),
    }
}

fn with_volume(options: &[(&str, &str)]) -> Desired {
    on_volume(&spec("local", options), false)
}

fn spec(driver: &str, options: &[(&str, &str)]) -> VolumeSpec {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    VolumeSpec { driver: driver.to_owned(), options }
}

/// The fleet after the commit, its app on this volume and on nothing else.
fn on_volume(spec: &VolumeSpec, external: bool) -> Desired {
    let name: VolumeName = "quote-prod-data".parse().expect("a name");
    with(|app| {
        let mount = Mount { source: MountSource::Volume(name.clone()), read_only: false };
        app.container.mounts = BTreeMap::from([("/data".to_owned(), mount)]);
        app.volumes = BTreeMap::from([(name.clone(), Volume { spec: spec.clone(), external })]);
    })
}

fn with_host_mount(path: &str) -> Desired {
    with(|app| {
        let mount = Mount { source: MountSource::Host(path.to_owned()), read_only: true };
        app.container.mounts = BTreeMap::from([("/data".to_owned(), mount)]);
    })
}
