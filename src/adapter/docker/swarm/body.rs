//! The declared spec into the body of a request that makes or updates a service, field by field. The way back is in `spec`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::model::container::{EnvValue, FileSpec, Logging, Mount, MountSource, Ulimit};
use crate::model::names::{FieldName, NetworkName};
use crate::model::ownership;
use crate::model::service::{
    EndpointMode, OnFailure, PublishMode, RestartCondition, ServiceField, ServiceMode, ServicePort,
    ServiceSpec, TaskRestart, UpdateOrder, UpdateSettings,
};

use super::super::create;
use super::json::{list, nanos, number, pairs, text, texts};
use super::spec::{Names, mount};

/// What a service of trueup's refers to by id.
pub(super) struct Refers<'a> {
    /// Id and name of the config of each file, by the file's path.
    pub configs: &'a BTreeMap<String, (String, String)>,
    /// Trueup's own labels on the service.
    pub labels: &'a BTreeMap<String, String>,
    /// What the ids in the live spec mean; `None` where there is none.
    pub live: Option<Names<'a>>,
}

/// Puts these fields of the declared spec into `base`, the live spec or nothing. Whatever else stands there stays, to
/// the letter: a default that is written out would be a change to Swarm, and restart tasks (D8).
pub(super) fn write(
    base: &mut Value,
    name: &str,
    spec: &ServiceSpec,
    refers: &Refers<'_>,
    touches: impl Fn(ServiceField) -> bool,
) {
    set(base, "Name", json!(name));
    let mut labels = spec.service_labels.clone();
    labels.extend(refers.labels.clone());
    set(base, "Labels", json!(labels));
    for field in ServiceField::ALL.iter().filter(|field| touches(**field)) {
        write_one(base, *field, spec, refers);
    }
}

/// What stays as it was although it is written: variables, mounts and labels (`env.TZ`, `mounts./data`, `labels.colour`), and
/// the service's own labels as a whole, which go with trueup's.
pub(super) fn keep(base: &mut Value, before: &Value, keep: &BTreeSet<FieldName>) {
    if keep.iter().any(|kept| kept.as_str() == ServiceField::ServiceLabels.name()) {
        let mut all: BTreeMap<String, String> = pairs(before, "Labels");
        all.retain(|name, _| !name.starts_with(ownership::PREFIX));
        let own: BTreeMap<String, String> = pairs(base, "Labels");
        all.extend(own.into_iter().filter(|(name, _)| name.starts_with(ownership::PREFIX)));
        set(base, "Labels", json!(all));
    }
    for (field, element) in keep.iter().filter_map(|kept| kept.as_str().split_once('.')) {
        let labels = match field {
            "env" => {
                let begin = format!("{element}=");
                let is_it = |line: &Value| {
                    line.as_str().is_some_and(|line| line == element || line.starts_with(&begin))
                };
                keep_entries(base, before, "TaskTemplate.ContainerSpec.Env", is_it);
                continue;
            }
            "mounts" => {
                let is_it = |mount: &Value| text(mount, "Target").as_deref() == Some(element);
                keep_entries(base, before, "TaskTemplate.ContainerSpec.Mounts", is_it);
                continue;
            }
            "labels" => "TaskTemplate.ContainerSpec.Labels",
            "service_labels" => "Labels",
            _ => continue,
        };
        let mut all: BTreeMap<String, String> = pairs(base, labels);
        match pairs::<BTreeMap<String, String>>(before, labels).remove(element) {
            Some(value) => all.insert(element.to_owned(), value),
            None => all.remove(element),
        };
        set(base, labels, json!(all));
    }
}

/// Where they still stand as they did, nothing is moved: another order is another spec to Swarm, and takes new tasks (D8).
fn keep_entries(base: &mut Value, before: &Value, path: &str, is_it: impl Fn(&Value) -> bool) {
    let of = |spec: &Value| list(spec, path).filter(|entry| is_it(entry)).cloned().collect::<Vec<_>>();
    let old = of(before);
    if of(base) != old {
        let others: Vec<Value> = list(base, path).filter(|entry| !is_it(entry)).cloned().collect();
        set(base, path, or_null([others, old].concat()));
    }
}

fn write_one(base: &mut Value, field: ServiceField, spec: &ServiceSpec, refers: &Refers<'_>) {
    let mut all = |path: &str, value: Value| set(base, path, value);
    match field {
        // With tag and digest both: engines print the tag and pull by the digest.
        ServiceField::Image => all("TaskTemplate.ContainerSpec.Image", json!(spec.image.to_string())),
        ServiceField::Entrypoint => {
            all("TaskTemplate.ContainerSpec.Command", or_null(spec.entrypoint.clone().unwrap_or_default()));
        }
        ServiceField::Command => {
            all("TaskTemplate.ContainerSpec.Args", or_null(spec.command.clone().unwrap_or_default()));
        }
        ServiceField::Env => {
            let line = |(name, EnvValue::Plain(value)): (&String, &EnvValue)| format!("{name}={value}");
            all("TaskTemplate.ContainerSpec.Env", or_null(spec.env.iter().map(line).collect()));
        }
        ServiceField::Workdir => all("TaskTemplate.ContainerSpec.Dir", json!(spec.workdir)),
        ServiceField::User => all("TaskTemplate.ContainerSpec.User", json!(spec.user)),
        ServiceField::Hostname => all("TaskTemplate.ContainerSpec.Hostname", json!(spec.hostname)),
        ServiceField::Labels => all("TaskTemplate.ContainerSpec.Labels", json!(spec.labels)),
        // Written with trueup's own.
        ServiceField::ServiceLabels => {}
        ServiceField::Mounts => {
            let path = "TaskTemplate.ContainerSpec.Mounts";
            let one = |(at, wanted): (&String, &Mount)| {
                let same =
                    |live: &Value| mount(live).is_some_and(|(path, mount)| path == *at && mount == *wanted);
                kept(base, path, same).unwrap_or_else(|| mount_json(at, wanted))
            };
            let mounts = or_null(spec.mounts.iter().map(one).collect());
            set(base, path, mounts);
        }
        ServiceField::Files => {
            let path = "TaskTemplate.ContainerSpec.Configs";
            let one = |(at, file): (&String, &FileSpec)| {
                let config = refers.configs.get(at)?;
                let same = |live: &Value| {
                    text(live, "ConfigID").as_ref() == Some(&config.0)
                        && text(live, "File.Name").as_ref() == Some(at)
                        && number(live, "File.Mode") == Some(u64::from(file.mode))
                };
                Some(kept(base, path, same).unwrap_or_else(|| config_json(at, file, config)))
            };
            let files = or_null(spec.files.iter().filter_map(one).collect());
            set(base, path, files);
        }
        ServiceField::Networks => {
            let path = "TaskTemplate.Networks";
            let known = refers.live.as_ref().map(|names| names.networks);
            let one = |(name, aliases): (&NetworkName, &BTreeSet<String>)| {
                let same = |live: &Value| {
                    let id = text(live, "Target").unwrap_or_default();
                    let called = known.and_then(|known| known.get(&id)).unwrap_or(&id);
                    called == name.as_str() && texts::<BTreeSet<_>>(live, "Aliases") == *aliases
                };
                kept(base, path, same).unwrap_or_else(|| json!({"Target": name, "Aliases": aliases}))
            };
            let networks = or_null(spec.networks.iter().map(one).collect());
            set(base, path, networks);
            // The older place for them: what stands there would be used as well.
            set(base, "Networks", Value::Null);
        }
        ServiceField::Cpus => {
            all("TaskTemplate.Resources.Limits.NanoCPUs", json!(spec.cpus.map(|cpus| cpus.0)))
        }
        ServiceField::Memory => {
            all("TaskTemplate.Resources.Limits.MemoryBytes", json!(spec.memory.map(|size| size.0)));
        }
        ServiceField::CpusReservation => {
            let cpus = spec.cpus_reservation.map(|cpus| cpus.0);
            all("TaskTemplate.Resources.Reservations.NanoCPUs", json!(cpus));
        }
        ServiceField::MemoryReservation => {
            let size = spec.memory_reservation.map(|size| size.0);
            all("TaskTemplate.Resources.Reservations.MemoryBytes", json!(size));
        }
        ServiceField::Pids => all("TaskTemplate.Resources.Limits.Pids", json!(spec.pids)),
        ServiceField::Restart => all("TaskTemplate.RestartPolicy", restart_json(&spec.restart)),
        ServiceField::Health => {
            let health = spec.health.as_ref().map_or(Value::Null, |health| json!(create::health(health)));
            all("TaskTemplate.ContainerSpec.Healthcheck", health);
        }
        ServiceField::CapAdd => {
            all("TaskTemplate.ContainerSpec.CapabilityAdd", capabilities_json(&spec.cap_add))
        }
        ServiceField::CapDrop => {
            all("TaskTemplate.ContainerSpec.CapabilityDrop", capabilities_json(&spec.cap_drop));
        }
        ServiceField::ReadOnly => all("TaskTemplate.ContainerSpec.ReadOnly", json!(spec.read_only)),
        ServiceField::Init => all("TaskTemplate.ContainerSpec.Init", json!(spec.init)),
        ServiceField::Sysctls => all("TaskTemplate.ContainerSpec.Sysctls", json!(spec.sysctls)),
        ServiceField::Ulimits => {
            let one = |(name, limit): (&String, &Ulimit)| json!({"Name": name, "Soft": limit.soft, "Hard": limit.hard});
            all("TaskTemplate.ContainerSpec.Ulimits", or_null(spec.ulimits.iter().map(one).collect()));
        }
        ServiceField::Dns => {
            let servers = spec.dns.iter().map(ToString::to_string).collect();
            all("TaskTemplate.ContainerSpec.DNSConfig.Nameservers", or_null::<String>(servers));
        }
        ServiceField::ExtraHosts => {
            let line = |(name, address): (&String, &String)| format!("{address} {name}");
            all("TaskTemplate.ContainerSpec.Hosts", or_null(spec.extra_hosts.iter().map(line).collect()));
        }
        ServiceField::Logging => {
            let driver = |logging: &Logging| json!({"Name": logging.driver, "Options": logging.options});
            all("TaskTemplate.LogDriver", spec.logging.as_ref().map_or(Value::Null, driver));
        }
        ServiceField::StopSignal => all("TaskTemplate.ContainerSpec.StopSignal", json!(spec.stop_signal)),
        ServiceField::StopTimeout => {
            all("TaskTemplate.ContainerSpec.StopGracePeriod", json!(spec.stop_timeout.map(nanos)));
        }
        ServiceField::Mode => all("Mode", mode_json(spec.mode)),
        ServiceField::Constraints => {
            all("TaskTemplate.Placement.Constraints", or_null(spec.constraints.clone()));
        }
        ServiceField::Spread => {
            let one = |label: &String| json!({"Spread": {"SpreadDescriptor": label}});
            all("TaskTemplate.Placement.Preferences", or_null(spec.spread.iter().map(one).collect()));
        }
        ServiceField::MaxPerNode => all("TaskTemplate.Placement.MaxReplicas", json!(spec.max_per_node)),
        ServiceField::Update => all("UpdateConfig", spec.update.as_ref().map_or(Value::Null, update_json)),
        ServiceField::Rollback => {
            all("RollbackConfig", spec.rollback.as_ref().map_or(Value::Null, update_json))
        }
        ServiceField::EndpointMode => {
            let mode = match spec.endpoint_mode {
                EndpointMode::Vip => "vip",
                EndpointMode::Dnsrr => "dnsrr",
            };
            all("EndpointSpec.Mode", json!(mode));
        }
        ServiceField::Ports => {
            all("EndpointSpec.Ports", or_null(spec.ports.iter().map(port_json).collect()));
        }
    }
}

/// An entry of the live spec that means what is wanted stays, with what trueup does not model of it.
fn kept(base: &Value, path: &str, same: impl Fn(&Value) -> bool) -> Option<Value> {
    list(base, path).find(|entry| same(entry)).cloned()
}

fn capabilities_json(names: &BTreeSet<String>) -> Value {
    let full = |name: &String| if name == "ALL" { name.clone() } else { format!("CAP_{name}") };
    or_null(names.iter().map(full).collect())
}

fn or_null<T: serde::Serialize>(list: Vec<T>) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}

/// Sets the value at a path of keys, making objects on the way; null takes the key away.
fn set(base: &mut Value, path: &str, value: Value) {
    let mut place = base;
    let mut keys = path.split('.').peekable();
    while let Some(key) = keys.next() {
        if !place.is_object() {
            if value.is_null() {
                return;
            }
            *place = Value::Object(Map::new());
        }
        let Value::Object(object) = place else { return };
        if keys.peek().is_none() {
            if value.is_null() {
                object.remove(key);
            } else {
                object.insert(key.to_owned(), value);
            }
            return;
        }
        place = object.entry(key.to_owned()).or_insert(Value::Null);
    }
}

fn mount_json(target: &str, mount: &Mount) -> Value {
    let of = |kind: &str| json!({"Type": kind, "Target": target, "ReadOnly": mount.read_only});
    let mut json = match &mount.source {
        MountSource::Host(_) => of("bind"),
        MountSource::Volume(_) => of("volume"),
        MountSource::Tmpfs { .. } => of("tmpfs"),
    };
    match &mount.source {
        MountSource::Host(path) => set(&mut json, "Source", json!(path)),
        MountSource::Volume(name) => set(&mut json, "Source", json!(name.to_string())),
        MountSource::Tmpfs { size } => {
            set(&mut json, "TmpfsOptions.SizeBytes", json!(size.map(|size| size.0)));
        }
    }
    json
}

fn config_json(at: &str, file: &FileSpec, (id, name): &(String, String)) -> Value {
    json!({
        "ConfigID": id, "ConfigName": name,
        "File": { "Name": at, "UID": "0", "GID": "0", "Mode": file.mode },
    })
}

fn restart_json(restart: &TaskRestart) -> Value {
    let TaskRestart { condition, delay, max_attempts, window } = restart;
    let condition = match condition {
        RestartCondition::None => "none",
        RestartCondition::OnFailure => "on-failure",
        RestartCondition::Any => "any",
    };
    let mut json = json!({"Condition": condition, "MaxAttempts": max_attempts.unwrap_or_default()});
    set(&mut json, "Delay", json!(delay.map(nanos)));
    set(&mut json, "Window", json!(window.map(nanos)));
    json
}

fn mode_json(mode: ServiceMode) -> Value {
    match mode {
        ServiceMode::Replicated(count) => json!({"Replicated": {"Replicas": count}}),
        ServiceMode::Global => json!({"Global": {}}),
        ServiceMode::ReplicatedJob { total, at_once } => {
            json!({"ReplicatedJob": {"TotalCompletions": total, "MaxConcurrent": at_once}})
        }
        ServiceMode::GlobalJob => json!({"GlobalJob": {}}),
    }
}

fn update_json(update: &UpdateSettings) -> Value {
    let UpdateSettings { parallelism, delay, monitor, on_failure, max_failure_permille, order } = update;
    let on_failure = match on_failure {
        OnFailure::Pause => "pause",
        OnFailure::Continue => "continue",
        OnFailure::Rollback => "rollback",
    };
    let order = match order {
        UpdateOrder::StopFirst => "stop-first",
        UpdateOrder::StartFirst => "start-first",
    };
    let mut json = json!({
        "Parallelism": parallelism, "Delay": nanos(*delay), "FailureAction": on_failure,
        "MaxFailureRatio": f64::from(*max_failure_permille) / 1000.0, "Order": order,
    });
    set(&mut json, "Monitor", json!(monitor.map(nanos)));
    json
}

fn port_json(port: &ServicePort) -> Value {
    let publish = match port.publish {
        PublishMode::Ingress => "ingress",
        PublishMode::Host => "host",
    };
    let mut json =
        json!({"Protocol": port.protocol.name(), "TargetPort": port.container, "PublishMode": publish});
    set(&mut json, "PublishedPort", json!(port.published));
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_where_it_stands() {
        let spec = |env: Value, targets: [&str; 2]| {
            let mounts = targets.map(|target| json!({"Type": "volume", "Target": target}));
            json!({"TaskTemplate": {"ContainerSpec": {"Env": env, "Mounts": mounts}}})
        };
        let ignored: BTreeSet<FieldName> =
            ["env.A", "env.B", "mounts./a"].iter().map(|name| name.parse().expect("a field")).collect();
        let before = spec(json!(["B=1", "C=1", "A=1"]), ["/a", "/b"]);
        let mut same = before.clone();
        keep(&mut same, &before, &ignored);
        assert_eq!(same, before, "in the same order, or Swarm makes new tasks");
        let mut written = spec(json!(["C=2"]), ["/b", "/c"]);
        keep(&mut written, &before, &ignored);
        let container = &written["TaskTemplate"]["ContainerSpec"];
        assert_eq!(container["Env"], json!(["C=2", "A=1", "B=1"]));
        let targets: Vec<_> = list(container, "Mounts").filter_map(|mount| text(mount, "Target")).collect();
        assert_eq!(targets, ["/b", "/c", "/a"]);
    }
}
