//! A service's spec as Swarm tells it, into the model. The way back is in `body`.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::HealthConfig;
use serde_json::json;

use crate::model::container::{FileSpec, HealthCheck, Logging, Mount, MountSource, Protocol, Ulimit};
use crate::model::names::NetworkName;
use crate::model::ownership;
use crate::model::secrecy::{ContentHash, HashKey, KeyedHash};
use crate::model::service::{
    EndpointMode, OnFailure, PublishMode, RestartCondition, ServiceMode, ServicePort, ServiceSpec,
    TaskRestart, UpdateOrder, UpdateSettings,
};
use crate::model::units::{ByteSize, Cpus, TimeSpan};

use super::super::live;
use super::json::{Json, at, flag, list, number, pairs, span, text, texts};

/// What ids in a spec mean.
pub(super) struct Names<'a> {
    /// Network names by id.
    pub networks: &'a BTreeMap<String, String>,
    /// Hashes of configs by id.
    pub configs: &'a BTreeMap<String, ContentHash>,
    pub key: &'a HashKey,
}

/// The error says what in the spec cannot be read.
pub(super) fn read<J: Json>(spec: &J, names: &Names<'_>) -> Result<ServiceSpec<KeyedHash>, String> {
    let task = at(spec, "TaskTemplate").ok_or("it has no task template")?;
    of(spec, task, names)
}

/// What a task is made from, wherever it may be. The error says what in it cannot be read.
pub(super) fn of_task<J: Json>(task: &J, names: &Names<'_>) -> Result<ServiceSpec<KeyedHash>, String> {
    Ok(part_of_tasks(of(&json!({ "Mode": { "Global": {} } }), task, names)?))
}

/// What tasks are made from in a service's spec, wherever and however many they may be.
pub(super) fn part_of_tasks(spec: ServiceSpec<KeyedHash>) -> ServiceSpec<KeyedHash> {
    let (mode, constraints, spread) = (ServiceMode::Global, Vec::new(), Vec::new());
    ServiceSpec { mode, constraints, spread, max_per_node: 0, ..spec }
}

fn of(spec: &impl Json, task: &impl Json, names: &Names<'_>) -> Result<ServiceSpec<KeyedHash>, String> {
    let container = at(task, "ContainerSpec").ok_or("its tasks are no containers")?;
    let image = text(container, "Image").ok_or("it names no image")?;
    let mut service_labels: BTreeMap<String, String> = pairs(spec, "Labels");
    service_labels.retain(|name, _| !name.starts_with(ownership::PREFIX));
    Ok(ServiceSpec {
        image: image.parse().map_err(|error| format!("{error}"))?,
        entrypoint: some(texts(container, "Command")),
        command: some(texts(container, "Args")),
        env: texts::<Vec<_>>(container, "Env").into_iter().map(|line| hide(&line, names.key)).collect(),
        workdir: text(container, "Dir"),
        user: text(container, "User"),
        hostname: text(container, "Hostname"),
        labels: pairs(container, "Labels"),
        service_labels,
        mounts: list(container, "Mounts").filter_map(|entry| mount(entry)).collect(),
        files: list(container, "Configs").filter_map(|config| file(config, names)).collect(),
        networks: networks(spec, task, names)?,
        cpus: number(task, "Resources.Limits.NanoCPUs").filter(|n| *n > 0).map(Cpus),
        memory: size(task, "Resources.Limits.MemoryBytes"),
        cpus_reservation: number(task, "Resources.Reservations.NanoCPUs").filter(|n| *n > 0).map(Cpus),
        memory_reservation: size(task, "Resources.Reservations.MemoryBytes"),
        pids: number(task, "Resources.Limits.Pids").and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0),
        restart: restart(task),
        health: health(container)?,
        cap_add: capabilities(container, "CapabilityAdd"),
        cap_drop: capabilities(container, "CapabilityDrop"),
        read_only: flag(container, "ReadOnly").unwrap_or_default(),
        init: flag(container, "Init"),
        sysctls: pairs(container, "Sysctls"),
        ulimits: list(container, "Ulimits").filter_map(|entry| ulimit(entry)).collect(),
        dns: texts::<Vec<_>>(container, "DNSConfig.Nameservers")
            .iter()
            .filter_map(|a| a.parse().ok())
            .collect(),
        extra_hosts: texts::<Vec<_>>(container, "Hosts").iter().filter_map(|line| host_line(line)).collect(),
        logging: text(task, "LogDriver.Name")
            .map(|driver| Logging { driver, options: pairs(task, "LogDriver.Options") }),
        stop_signal: text(container, "StopSignal"),
        stop_timeout: span(container, "StopGracePeriod"),
        mode: mode(spec)?,
        constraints: texts(task, "Placement.Constraints"),
        spread: list(task, "Placement.Preferences")
            .filter_map(|p| text(p, "Spread.SpreadDescriptor"))
            .collect(),
        max_per_node: number(task, "Placement.MaxReplicas")
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or_default(),
        update: at(spec, "UpdateConfig").map(|config| update(config)),
        rollback: at(spec, "RollbackConfig").map(|config| update(config)),
        endpoint_mode: match text(spec, "EndpointSpec.Mode").as_deref() {
            Some("dnsrr") => EndpointMode::Dnsrr,
            Some(_) | None => EndpointMode::Vip,
        },
        ports: list(spec, "EndpointSpec.Ports").filter_map(|entry| port(entry)).collect(),
    })
}

fn some(words: Vec<String>) -> Option<Vec<String>> {
    (!words.is_empty()).then_some(words)
}

fn hide(line: &str, key: &HashKey) -> (String, KeyedHash) {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    (name.to_owned(), key.hide(value))
}

fn size<J: Json>(task: &J, path: &str) -> Option<ByteSize> {
    number(task, path).filter(|bytes| *bytes > 0).map(ByteSize)
}

pub(super) fn mount<J: Json>(mount: &J) -> Option<(String, Mount)> {
    let target = text(mount, "Target")?;
    let source = text(mount, "Source").unwrap_or_default();
    let source = match text(mount, "Type").as_deref() {
        Some("tmpfs") => MountSource::Tmpfs { size: size(mount, "TmpfsOptions.SizeBytes") },
        Some("volume") => match source.parse() {
            Ok(volume) => MountSource::Volume(volume),
            // An anonymous volume, or one whose name no file of ours could hold.
            Err(_) => MountSource::Host(format!("(volume {source:?})")),
        },
        Some(_) | None => MountSource::Host(source),
    };
    Some((target, Mount { source, read_only: flag(mount, "ReadOnly").unwrap_or_default() }))
}

/// A config as the file that the container gets; one that the Swarm does not list has a content of its own.
fn file<J: Json>(config: &J, names: &Names<'_>) -> Option<(String, FileSpec)> {
    let id = text(config, "ConfigID").unwrap_or_default();
    let source = text(config, "ConfigName").unwrap_or_default();
    let hash = names.configs.get(&id).cloned().unwrap_or_else(|| ContentHash::of(id.as_bytes()));
    let mode = number(config, "File.Mode").and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o444);
    Some((text(config, "File.Name")?, FileSpec { source, hash, size: 0, mode }))
}

/// Older clients wrote them beside the task template.
fn networks(
    spec: &impl Json,
    task: &impl Json,
    names: &Names<'_>,
) -> Result<BTreeMap<NetworkName, BTreeSet<String>>, String> {
    let of_task = attachments(task, names)?;
    if of_task.is_empty() { attachments(spec, names) } else { Ok(of_task) }
}

fn attachments<J: Json>(
    within: &J,
    names: &Names<'_>,
) -> Result<BTreeMap<NetworkName, BTreeSet<String>>, String> {
    let attachment = |network: &J| {
        let target = text(network, "Target").unwrap_or_default();
        let name = names.networks.get(&target).unwrap_or(&target);
        let name: NetworkName = name.parse().map_err(|error| format!("a network of it: {error}"))?;
        Ok((name, texts(network, "Aliases")))
    };
    list(within, "Networks").map(attachment).collect()
}

fn restart<J: Json>(task: &J) -> TaskRestart {
    let attempts = number(task, "RestartPolicy.MaxAttempts").and_then(|n| u32::try_from(n).ok());
    TaskRestart {
        condition: match text(task, "RestartPolicy.Condition").as_deref() {
            Some("none") => RestartCondition::None,
            Some("on-failure") => RestartCondition::OnFailure,
            Some(_) | None => RestartCondition::Any,
        },
        delay: number(task, "RestartPolicy.Delay").map(|nanos| TimeSpan::from_millis(nanos / 1_000_000)),
        max_attempts: attempts.filter(|n| *n > 0),
        window: span(task, "RestartPolicy.Window"),
    }
}

fn health<J: Json>(container: &J) -> Result<Option<HealthCheck>, String> {
    let Some(check) = at(container, "Healthcheck") else { return Ok(None) };
    let config: HealthConfig =
        serde_json::from_value(check.owned()).map_err(|error| format!("its health check: {error}"))?;
    Ok(live::health_check(config))
}

fn capabilities<J: Json>(container: &J, path: &str) -> BTreeSet<String> {
    let all: Vec<String> = texts(container, path);
    all.iter().map(|name| name.strip_prefix("CAP_").unwrap_or(name).to_owned()).collect()
}

fn ulimit<J: Json>(limit: &J) -> Option<(String, Ulimit)> {
    let number = |path| at(limit, path).and_then(J::signed);
    Some((text(limit, "Name")?, Ulimit { soft: number("Soft")?, hard: number("Hard")? }))
}

/// As in /etc/hosts: the address first.
fn host_line(line: &str) -> Option<(String, String)> {
    let (address, name) = line.split_once(char::is_whitespace)?;
    Some((name.trim().to_owned(), address.to_owned()))
}

fn mode<J: Json>(spec: &J) -> Result<ServiceMode, String> {
    let count = |path: &str| number(spec, path).and_then(|n| u32::try_from(n).ok());
    let has = |key: &str| spec.key("Mode").and_then(|mode| mode.key(key)).is_some();
    if has("Replicated") {
        Ok(ServiceMode::Replicated(count("Mode.Replicated.Replicas").unwrap_or(1)))
    } else if has("Global") {
        Ok(ServiceMode::Global)
    } else if has("ReplicatedJob") {
        let at_once = count("Mode.ReplicatedJob.MaxConcurrent").unwrap_or(1);
        let total = count("Mode.ReplicatedJob.TotalCompletions").unwrap_or(at_once);
        Ok(ServiceMode::ReplicatedJob { total, at_once })
    } else if has("GlobalJob") {
        Ok(ServiceMode::GlobalJob)
    } else {
        Err("its mode is none that trueup knows".to_owned())
    }
}

fn update<J: Json>(config: &J) -> UpdateSettings {
    let ratio = at(config, "MaxFailureRatio").and_then(J::float).unwrap_or_default();
    // A share: in range however wrong the answer is.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let max_failure_permille = (ratio.clamp(0.0, 1.0) * 1000.0).round() as u16;
    UpdateSettings {
        parallelism: number(config, "Parallelism").and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
        delay: span(config, "Delay").unwrap_or_default(),
        monitor: span(config, "Monitor"),
        on_failure: match text(config, "FailureAction").as_deref() {
            Some("continue") => OnFailure::Continue,
            Some("rollback") => OnFailure::Rollback,
            Some(_) | None => OnFailure::Pause,
        },
        max_failure_permille,
        order: match text(config, "Order").as_deref() {
            Some("start-first") => UpdateOrder::StartFirst,
            Some(_) | None => UpdateOrder::StopFirst,
        },
    }
}

pub(super) fn port<J: Json>(port: &J) -> Option<ServicePort> {
    let number = |path| number(port, path).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
    Some(ServicePort {
        container: number("TargetPort")?,
        protocol: match text(port, "Protocol").as_deref() {
            Some("udp") => Protocol::Udp,
            Some("sctp") => Protocol::Sctp,
            Some(_) | None => Protocol::Tcp,
        },
        published: number("PublishedPort"),
        publish: match text(port, "PublishMode").as_deref() {
            Some("host") => PublishMode::Host,
            Some(_) | None => PublishMode::Ingress,
        },
    })
}
