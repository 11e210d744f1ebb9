//! Every rule of the library on the document that rules are really given: none reads a field that is not there.

use super::*;
use crate::model::container::{Mount, MountSource};
use crate::model::names::VolumeName;
use crate::model::network::{Volume, VolumeSpec};

/// Every rule of the library over the model's own types: the document has the fields that the rules ask for, each way that a
/// rule denies.
#[test]
fn every_rule_reads_the_real_document() {
    let (before, after) = fleets();
    let usual = PolicySettings::default;
    let says =
        |before: &Desired, after: &Desired, settings: &PolicySettings, policies_changed: bool, rule: &str| {
            let nothing = BTreeSet::new();
            let situation = Situation {
                freeze: &settings.freeze,
                policies_changed,
                ..example::situation(before, after, &nothing)
            };
            let findings = evaluate(&compiled(settings, ""), &situation);
            findings.findings.iter().any(|finding| finding.rule == rule)
        };
    let freeze = Window {
        name: "now".into(),
        effect: WindowEffect::Deny,
        environments: BTreeSet::new(),
        zone: chrono_tz::UTC,
        days: Vec::new(),
        hours: None,
        begin: None,
        end: None,
    };
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
        ("freeze", &before, &after, PolicySettings { freeze: vec![freeze], ..usual() }, true),
        ("freeze", &before, &after, usual(), false),
        ("protected_apps", &protected, &emptied, usual(), true),
        ("protected_apps", &before, &emptied, usual(), false),
        ("production_kept", &before, &ended, usual(), true),
        ("production_kept", &before, &after, usual(), false),
    ];
    let mut tried = BTreeSet::from(["policy_changes"]);
    for (rule, before, after, settings, expected) in &cases {
        tried.insert(rule);
        assert_eq!(says(before, after, settings, false, rule), *expected, "{rule}");
    }
    assert!(says(&before, &after, &usual(), true, "policy_changes"));
    assert!(!says(&before, &after, &usual(), false, "policy_changes"));
    let rules = compiled(&usual(), "");
    let untried: Vec<&str> =
        rules.list().iter().map(|rule| rule.name.as_str()).filter(|rule| !tried.contains(rule)).collect();
    assert!(untried.is_empty(), "no case tries {untried:?} on the real document");
}

/// The fleet after the commit, its app on a volume of these options and on nothing else.
fn with_volume(options: &[(&str, &str)]) -> Desired {
    let name: VolumeName = "quote-prod-data".parse().expect("a name");
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let spec = VolumeSpec { driver: "local".to_owned(), options };
    with(|app| {
        let mount = Mount { source: MountSource::Volume(name.clone()), read_only: false };
        app.container.mounts = BTreeMap::from([("/data".to_owned(), mount)]);
        app.volumes = BTreeMap::from([(name.clone(), Volume { spec: spec.clone(), external: false })]);
    })
}

fn with_host_mount(path: &str) -> Desired {
    with(|app| {
        let mount = Mount { source: MountSource::Host(path.to_owned()), read_only: true };
        app.container.mounts = BTreeMap::from([("/data".to_owned(), mount)]);
    })
}
