//! What is set on a service that trueup does not model, in words: updates leave it as it is, and git does not say it.
//!
//! Every key that is not known here is told, so that one of a later API is not forgotten.

use std::collections::BTreeSet;

use super::json::{Json, at, flag, list, text, texts};

/// Objects of a spec by their path, and the keys that are modelled, or that clients fill in by themselves.
const KNOWN: [(&str, &[&str]); 11] = [
    (
        "",
        &[
            "Name",
            "Labels",
            "TaskTemplate",
            "Mode",
            "UpdateConfig",
            "RollbackConfig",
            "Networks",
            "EndpointSpec",
        ],
    ),
    (
        "TaskTemplate",
        &[
            "ContainerSpec",
            "Resources",
            "RestartPolicy",
            "Placement",
            "ForceUpdate",
            "Networks",
            "LogDriver",
            "Runtime",
        ],
    ),
    (
        "TaskTemplate.ContainerSpec",
        &[
            "Image",
            "Labels",
            "Command",
            "Args",
            "Hostname",
            "Env",
            "Dir",
            "User",
            "Mounts",
            "StopSignal",
            "StopGracePeriod",
            "Healthcheck",
            "Hosts",
            "DNSConfig",
            "Configs",
            "Secrets",
            "Init",
            "Sysctls",
            "CapabilityAdd",
            "CapabilityDrop",
            "Ulimits",
            "ReadOnly",
            "Isolation",
        ],
    ),
    ("TaskTemplate.ContainerSpec.DNSConfig", &["Nameservers"]),
    ("TaskTemplate.ContainerSpec.Healthcheck", &["Test", "Interval", "Timeout", "StartPeriod", "Retries"]),
    ("TaskTemplate.Resources", &["Limits", "Reservations"]),
    ("TaskTemplate.Resources.Limits", &["NanoCPUs", "MemoryBytes", "Pids"]),
    ("TaskTemplate.Resources.Reservations", &["NanoCPUs", "MemoryBytes"]),
    ("TaskTemplate.Placement", &["Constraints", "Preferences", "MaxReplicas", "Platforms"]),
    ("TaskTemplate.LogDriver", &["Name", "Options"]),
    ("EndpointSpec", &["Mode", "Ports"]),
];

/// Everything told by a service's spec that has no place in the model.
pub(super) fn of<J: Json>(spec: &J) -> BTreeSet<String> {
    let mut beyond = BTreeSet::new();
    for (path, known) in KNOWN {
        let object = if path.is_empty() { Some(spec) } else { at(spec, path) };
        let name = path.rsplit('.').next().unwrap_or_default();
        beyond.extend(
            others(object, known).map(|key| format!("{name}.{key}").trim_start_matches('.').to_owned()),
        );
    }
    beyond.extend(list(spec, "TaskTemplate.ContainerSpec.Secrets").map(|secret| {
        format!("the secret {}", text(secret, "SecretName").or(text(secret, "SecretID")).unwrap_or_default())
    }));
    list(spec, "TaskTemplate.ContainerSpec.Mounts").for_each(|mount| of_mount(mount, &mut beyond));
    let ids = list(spec, "TaskTemplate.ContainerSpec.Configs").filter(|config| {
        let id = |path| text(*config, path).is_some_and(|id| id != "0");
        id("File.UID") || id("File.GID")
    });
    beyond
        .extend(ids.map(|config| format!("the owner of {}", text(config, "File.Name").unwrap_or_default())));
    let networks = list(spec, "TaskTemplate.Networks").chain(list(spec, "Networks"));
    let driven = networks.filter(|network| others(Some(*network), &["Target", "Aliases"]).next().is_some());
    beyond.extend(driven.map(|_| "driver options on a network".to_owned()));
    beyond.extend(doubled(&texts::<Vec<_>>(spec, "TaskTemplate.ContainerSpec.Hosts")));
    beyond
}

/// Keys of the object that say something and are not known.
fn others<'v, J: Json + 'v>(object: Option<&'v J>, known: &'v [&str]) -> impl Iterator<Item = &'v str> {
    let entries = object.into_iter().flat_map(J::entries);
    entries.filter(|(key, value)| !known.contains(key) && says(*value)).map(|(key, _)| key)
}

/// Zero, empty and false are what is there where nobody said anything.
fn says<J: Json>(value: &J) -> bool {
    value.truth() == Some(true)
        || value.float().is_some_and(|number| number != 0.0)
        || value.word().is_some_and(|text| !text.is_empty())
        || value.items().iter().any(says)
        || value.entries().any(|(_, value)| says(value))
}

fn of_mount<J: Json>(mount: &J, beyond: &mut BTreeSet<String>) {
    let target = text(mount, "Target").unwrap_or_default();
    let mut tell = |what: &str| {
        beyond.insert(format!("{what} of the mount at {target}"));
    };
    // A stack labels its volumes, which is no wish of anybody's.
    for (path, known) in [
        ("BindOptions", &["Propagation", "CreateMountpoint"][..]),
        ("VolumeOptions", &["Labels"][..]),
        ("TmpfsOptions", &["SizeBytes"][..]),
    ] {
        others(at(mount, path), known).for_each(&mut tell);
    }
    if let Some(propagation) = text(mount, "BindOptions.Propagation").filter(|how| how != "rprivate") {
        tell(&format!("the propagation {propagation}"));
    }
    if flag(mount, "BindOptions.CreateMountpoint") == Some(true) {
        tell("CreateMountpoint");
    }
    let known = [
        "Type",
        "Source",
        "Target",
        "ReadOnly",
        "Consistency",
        "BindOptions",
        "VolumeOptions",
        "TmpfsOptions",
    ];
    others(Some(mount), &known).for_each(&mut tell);
    if let Some(kind) =
        text(mount, "Type").filter(|kind| !["bind", "volume", "tmpfs"].contains(&kind.as_str()))
    {
        tell(&format!("the type {kind}"));
    }
}

/// Names with several addresses: git can say one.
fn doubled(lines: &[String]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let named =
        lines.iter().filter_map(|line| line.split_once(char::is_whitespace)).map(|(_, name)| name.trim());
    named.filter(|name| !names.insert(*name)).map(|name| format!("a further address of {name}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::of;

    #[test]
    fn what_has_no_word_is_told_and_what_clients_fill_in_is_not() {
        let usual = json!({
            "Name": "web", "Labels": {}, "Mode": {"Replicated": {"Replicas": 2}},
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": "box:1", "Isolation": "default", "Init": false, "TTY": false, "Privileges": {"CredentialSpec": null},
                    "Mounts": [{"Type": "volume", "Source": "data", "Target": "/data", "VolumeOptions": {"Labels": {"a": "b"}}}],
                },
                "Placement": {"Platforms": [{"OS": "linux"}]}, "ForceUpdate": 3, "Runtime": "container",
            },
        });
        assert_eq!(of(&usual).into_iter().collect::<Vec<_>>(), Vec::<String>::new());
        let told = of(&json!({
            "TaskTemplate": {
                "ContainerSpec": {
                    "TTY": true, "Groups": ["7"], "DNSConfig": {"Options": ["ndots:1"], "Search": ["a"]},
                    "Secrets": [{"SecretID": "x", "SecretName": "pass"}],
                    "Mounts": [
                        {"Type": "bind", "Source": "/a", "Target": "/a", "BindOptions": {"Propagation": "rshared"}},
                        {"Type": "volume", "Target": "/b", "VolumeOptions": {"DriverConfig": {"Name": "nfs"}, "NoCopy": true}},
                        {"Type": "tmpfs", "Target": "/c", "TmpfsOptions": {"Mode": 493}},
                    ],
                },
                "Resources": {"Reservations": {"GenericResources": [{"NamedResourceSpec": {"Kind": "gpu"}}]}},
            },
        }));
        assert_eq!(
            told.into_iter().collect::<Vec<_>>(),
            [
                "ContainerSpec.Groups",
                "ContainerSpec.TTY",
                "DNSConfig.Options",
                "DNSConfig.Search",
                "DriverConfig of the mount at /b",
                "Mode of the mount at /c",
                "NoCopy of the mount at /b",
                "Reservations.GenericResources",
                "the propagation rshared of the mount at /a",
                "the secret pass",
            ]
        );
    }
}
