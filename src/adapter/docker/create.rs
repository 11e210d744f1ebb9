//! A declared container as the request that creates it.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig,
    HostConfigLogConfig, Mount as DockerMount, MountTmpfsOptions, MountType, NetworkingConfig, PortBinding,
    PortMap, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use crate::model::container::{
    Attachment, ContainerSpec, EnvValue, HealthCheck, MountSource, Networks, Restart,
};
use crate::model::units::{ByteSize, TimeSpan};

/// The body of `POST /containers/create`. Further networks than the first are connected afterwards (API 1.41 takes
/// only one): [`later_networks`].
pub(super) fn body(spec: &ContainerSpec, ownership: &BTreeMap<String, String>) -> ContainerCreateBody {
    let labels = spec.labels.iter().chain(ownership).map(|(k, v)| (k.clone(), v.clone())).collect();
    let env = spec.env.iter().map(|(name, value)| match value {
        EnvValue::Plain(value) => format!("{name}={value}"),
    });
    ContainerCreateBody {
        hostname: spec.hostname.clone(),
        user: spec.user.clone(),
        exposed_ports: non_empty(
            spec.ports.iter().map(|p| format!("{}/{}", p.container, p.protocol.name())).collect(),
        ),
        env: non_empty(env.collect()),
        cmd: spec.command.clone(),
        healthcheck: spec.health.as_ref().map(health),
        image: Some(spec.image.pull_name()),
        working_dir: spec.workdir.clone(),
        entrypoint: spec.entrypoint.clone(),
        labels: Some(labels),
        stop_signal: spec.stop_signal.clone(),
        stop_timeout: spec.stop_timeout.map(|t| i64::try_from(t.duration().as_secs()).unwrap_or(i64::MAX)),
        host_config: Some(host_config(spec)),
        networking_config: first_network(spec).map(|(name, attachment)| NetworkingConfig {
            endpoints_config: Some(HashMap::from([(name, endpoint(attachment))])),
        }),
        ..ContainerCreateBody::default()
    }
}

fn first_network(spec: &ContainerSpec) -> Option<(String, &Attachment)> {
    match &spec.networks {
        Networks::Named(networks) => networks.iter().next().map(|(name, a)| (name.to_string(), a)),
        Networks::Default | Networks::Host | Networks::None => None,
    }
}

/// Networks that the created container still has to be connected to.
pub(super) fn later_networks(spec: &ContainerSpec) -> impl Iterator<Item = (String, &Attachment)> {
    let named = match &spec.networks {
        Networks::Named(networks) => Some(networks),
        Networks::Default | Networks::Host | Networks::None => None,
    };
    named.into_iter().flatten().skip(1).map(|(name, attachment)| (name.to_string(), attachment))
}

/// One end of a connection.
pub(super) fn endpoint(attachment: &Attachment) -> EndpointSettings {
    EndpointSettings {
        ipam_config: attachment.address.map(|address| match address {
            std::net::IpAddr::V4(a) => {
                EndpointIpamConfig { ipv4_address: Some(a.to_string()), ..EndpointIpamConfig::default() }
            }
            std::net::IpAddr::V6(a) => {
                EndpointIpamConfig { ipv6_address: Some(a.to_string()), ..EndpointIpamConfig::default() }
            }
        }),
        aliases: non_empty(attachment.aliases.iter().cloned().collect()),
        ..EndpointSettings::default()
    }
}

fn host_config(spec: &ContainerSpec) -> HostConfig {
    let (binds, mounts) = mounts(spec);
    HostConfig {
        memory: spec.memory.map(bytes),
        memory_reservation: spec.memory_reservation.map(bytes),
        nano_cpus: spec.cpus.and_then(|c| i64::try_from(c.0).ok()),
        pids_limit: spec.pids.map(i64::from),
        shm_size: spec.shm_size.map(bytes),
        devices: non_empty(
            spec.devices
                .iter()
                .map(|(at, device)| DeviceMapping {
                    path_on_host: Some(device.host.clone()),
                    path_in_container: Some(at.clone()),
                    cgroup_permissions: Some(device.permissions.clone()),
                })
                .collect(),
        ),
        init: spec.init,
        ulimits: non_empty(
            spec.ulimits
                .iter()
                .map(|(name, limit)| ResourcesUlimits {
                    name: Some(name.clone()),
                    soft: Some(limit.soft),
                    hard: Some(limit.hard),
                })
                .collect(),
        ),
        binds: non_empty(binds),
        mounts: non_empty(mounts),
        log_config: spec.logging.as_ref().map(|logging| HostConfigLogConfig {
            typ: Some(logging.driver.clone()),
            config: Some(logging.options.clone().into_iter().collect()),
        }),
        network_mode: match &spec.networks {
            Networks::Default => None,
            Networks::Host => Some("host".to_owned()),
            Networks::None => Some("none".to_owned()),
            Networks::Named(networks) => networks.keys().next().map(ToString::to_string),
        },
        port_bindings: port_bindings(spec),
        restart_policy: Some(restart(spec.restart)),
        cap_add: non_empty(spec.cap_add.iter().cloned().collect()),
        cap_drop: non_empty(spec.cap_drop.iter().cloned().collect()),
        dns: non_empty(spec.dns.iter().map(ToString::to_string).collect()),
        extra_hosts: non_empty(spec.extra_hosts.iter().map(|(n, a)| format!("{n}:{a}")).collect()),
        privileged: Some(spec.privileged),
        readonly_rootfs: Some(spec.read_only),
        security_opt: non_empty(spec.security_opt.iter().cloned().collect()),
        sysctls: (!spec.sysctls.is_empty()).then(|| spec.sysctls.clone().into_iter().collect()),
        ..HostConfig::default()
    }
}

/// Host directories go as binds, which the engine creates where missing; the rest as mounts.
fn mounts(spec: &ContainerSpec) -> (Vec<String>, Vec<DockerMount>) {
    let (mut binds, mut mounts) = (Vec::new(), Vec::new());
    for (at, mount) in &spec.mounts {
        let of = |typ, source: Option<String>, tmpfs_options| DockerMount {
            target: Some(at.clone()),
            source,
            typ: Some(typ),
            read_only: Some(mount.read_only),
            tmpfs_options,
            ..DockerMount::default()
        };
        match &mount.source {
            MountSource::Host(path) => {
                binds.push(format!("{path}:{at}{}", if mount.read_only { ":ro" } else { "" }));
            }
            MountSource::Volume(name) => mounts.push(of(MountType::VOLUME, Some(name.to_string()), None)),
            MountSource::Tmpfs { size } => {
                let options =
                    MountTmpfsOptions { size_bytes: size.map(bytes), ..MountTmpfsOptions::default() };
                mounts.push(of(MountType::TMPFS, None, Some(options)));
            }
        }
    }
    (binds, mounts)
}

fn port_bindings(spec: &ContainerSpec) -> Option<PortMap> {
    let mut map = PortMap::new();
    for port in &spec.ports {
        let binding = PortBinding {
            host_ip: port.address.map(|a| a.to_string()),
            host_port: Some(port.host.map_or_else(String::new, |p| p.to_string())),
        };
        let key = format!("{}/{}", port.container, port.protocol.name());
        map.entry(key).or_default().get_or_insert_default().push(binding);
    }
    (!map.is_empty()).then_some(map)
}

/// A restart policy in Docker's words.
pub(super) fn restart(restart: Restart) -> RestartPolicy {
    let (name, retries) = match restart {
        Restart::No => (RestartPolicyNameEnum::NO, None),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Restart::OnFailure { max_retries } => {
            (RestartPolicyNameEnum::ON_FAILURE, Some(i64::from(max_retries)))
        }
    };
    RestartPolicy { name: Some(name), maximum_retry_count: retries }
}

pub(super) fn health(check: &HealthCheck) -> HealthConfig {
    let nanos = |span: &Option<TimeSpan>| span.map(TimeSpan::nanos);
    match check {
        HealthCheck::Disabled => {
            HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }
        }
        HealthCheck::Probe { test, interval, timeout, start_period, retries } => HealthConfig {
            test: Some(test.clone()),
            interval: nanos(interval),
            timeout: nanos(timeout),
            start_period: nanos(start_period),
            retries: retries.map(i64::from),
            ..HealthConfig::default()
        },
    }
}

/// Docker counts bytes in signed numbers.
pub(super) fn bytes(size: ByteSize) -> i64 {
    i64::try_from(size.0).unwrap_or(i64::MAX)
}

fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
