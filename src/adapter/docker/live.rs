//! What Docker tells of its objects, as the model's live types: forms made one, values of env hidden at once (G1).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{
    ContainerConfig, ContainerState, ContainerStateStatusEnum, HealthConfig, HealthStatusEnum, HostConfig,
    ImageInspect, IpamConfig, MountType, NetworkInspect, PortMap, RestartPolicyNameEnum,
};
use chrono::DateTime;
use serde_json::value::RawValue;

use super::beyond;
use super::told::{MountPoint, Networks, Text};

use crate::model::container::{
    Device, HealthCheck, Logging, Mount, MountSource, Port, Protocol, Restart, Ulimit,
};
use crate::model::names::VolumeName;
use crate::model::network::{NetworkDriver, NetworkSpec, VolumeSpec};
use crate::model::observed::{Container, Health, Image, LiveNetwork, LiveSpec, LiveVolume, RunState};
use crate::model::ownership;
use crate::model::secrecy::{HashKey, KeyedHash};
use crate::model::units::{ByteSize, Cpus, TimeSpan, Timestamp};

/// What is read of an inspected container.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    #[serde(borrow)]
    image: Option<Text<'a>>,
    #[serde(borrow)]
    created: Option<Text<'a>>,
    state: Option<ContainerState>,
    restart_count: Option<i64>,
    host_config: Option<HostConfig>,
    #[serde(borrow)]
    network_settings: Option<Networks<'a>>,
    #[serde(borrow)]
    mounts: Option<Vec<MountPoint<'a>>>,
    /// As the API has it now, and where something of it stands there, for what later versions no longer have at that place.
    #[serde(borrow)]
    config: Option<&'a RawValue>,
}

/// What a container's configuration had in earlier versions of the API.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Older {
    /// As it was asked for.
    mac_address: Option<String>,
}

/// Few have anything of it: the others are not read twice.
fn older(config: &str) -> Result<Older, String> {
    if !config.contains("\"MacAddress\"") {
        return Ok(Older::default());
    }
    serde_json::from_str(config).map_err(|error| error.to_string())
}

/// The error says what the engine left out.
pub(super) fn container(inspect: Inspected<'_>, key: &HashKey) -> Result<Container, String> {
    let id = inspect.id.ok_or("it has no id")?;
    let name = inspect.name.as_deref().unwrap_or_default().trim_start_matches('/');
    let config = inspect.config.ok_or("it has no configuration")?.get();
    let Older { mac_address } = older(config)?;
    let config: ContainerConfig = serde_json::from_str(config).map_err(|error| error.to_string())?;
    let host = inspect.host_config.ok_or("it has no host configuration")?;
    let image = inspect.image.as_deref().unwrap_or_default();
    let health_declared = config.healthcheck.clone().and_then(health_check);
    let has_check = matches!(health_declared, Some(HealthCheck::Probe { .. }));
    let beyond = beyond::of(&config, &host, mac_address.as_ref(), inspect.network_settings.as_ref());
    let anonymous = anonymous(&host, &inspect.mounts.unwrap_or_default());
    let networks = inspect.network_settings.map(|told| told.attachments(&id, name)).unwrap_or_default();
    Ok(Container {
        name: name.parse().map_err(|e| format!("{e}"))?,
        image: image.parse().map_err(|e| format!("{e}"))?,
        image_name: config.image.clone().unwrap_or_default(),
        created: inspect.created.as_deref().map(moment).unwrap_or_default(),
        state: run_state(inspect.state.unwrap_or_default(), has_check),
        restarts: u64::try_from(inspect.restart_count.unwrap_or_default()).unwrap_or_default(),
        labels: sorted(config.labels),
        beyond,
        anonymous,
        veiled: false,
        live: LiveSpec {
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
            env: hide(config.env, key),
            workdir: config.working_dir.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            hostname: config.hostname.unwrap_or_default(),
            ports: ports(host.port_bindings.as_ref()),
            mounts: mounts(&host),
            files: BTreeMap::new(),
            network_mode: host.network_mode.clone().unwrap_or_default(),
            networks,
            cpus: cpus(&host),
            memory: bytes(host.memory),
            memory_reservation: bytes(host.memory_reservation),
            pids: u32::try_from(host.pids_limit.unwrap_or_default().max(0)).unwrap_or_default(),
            shm_size: bytes(host.shm_size),
            restart: restart(&host),
            health: health_declared,
            cap_add: capabilities(host.cap_add),
            cap_drop: capabilities(host.cap_drop),
            privileged: host.privileged.unwrap_or_default(),
            read_only: host.readonly_rootfs.unwrap_or_default(),
            init: host.init,
            security_opt: host.security_opt.unwrap_or_default().into_iter().map(plain_option).collect(),
            sysctls: sorted(host.sysctls),
            ulimits: ulimits(host.ulimits),
            devices: devices(host.devices),
            dns: host.dns.unwrap_or_default().iter().filter_map(|a| a.parse().ok()).collect(),
            extra_hosts: extra_hosts(host.extra_hosts),
            logging: logging(host.log_config),
            stop_signal: config.stop_signal.filter(|s| !s.is_empty()),
            stop_timeout: config.stop_timeout.and_then(|s| u64::try_from(s).ok()).map(TimeSpan::from_secs),
        },
        id: id.into(),
    })
}

fn run_state(state: ContainerState, has_check: bool) -> RunState {
    let exit_code = state.exit_code.unwrap_or_default();
    let exited = |at: Option<String>, error: Option<String>| RunState::Exited {
        exit_code,
        at: at.as_deref().map(moment).unwrap_or_default(),
        error: error.unwrap_or_default(),
    };
    match state.status.unwrap_or(ContainerStateStatusEnum::EMPTY) {
        ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::EMPTY => RunState::Created,
        ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING => RunState::Running {
            since: state.started_at.as_deref().map(moment).unwrap_or_default(),
            health: health(state.health, has_check),
        },
        ContainerStateStatusEnum::PAUSED => RunState::Paused,
        ContainerStateStatusEnum::RESTARTING => RunState::Restarting { exit_code },
        ContainerStateStatusEnum::REMOVING => RunState::Removing,
        ContainerStateStatusEnum::EXITED => exited(state.finished_at, state.error),
        ContainerStateStatusEnum::DEAD => RunState::Dead,
    }
}

fn health(health: Option<bollard::models::Health>, has_check: bool) -> Health {
    let Some(health) = health else {
        return if has_check { Health::Starting } else { Health::Unchecked };
    };
    match health.status.unwrap_or(HealthStatusEnum::EMPTY) {
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => Health::Unchecked,
        HealthStatusEnum::STARTING => Health::Starting,
        HealthStatusEnum::HEALTHY => Health::Healthy,
        HealthStatusEnum::UNHEALTHY => {
            let last = health.log.unwrap_or_default().pop().and_then(|r| r.output).unwrap_or_default();
            // The check's output goes into reports: enough to recognise, not a dump.
            Health::Unhealthy { last_output: last.chars().take(300).collect() }
        }
    }
}

/// Docker's RFC 3339 with nanoseconds; the zero time (`0001-…`) becomes zero.
pub(super) fn moment(text: &str) -> Timestamp {
    let parsed = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f %:z"));
    Timestamp(parsed.map(|t| t.timestamp_millis().max(0)).unwrap_or_default())
}

fn hide(env: Option<Vec<String>>, key: &HashKey) -> BTreeMap<String, KeyedHash> {
    env.unwrap_or_default()
        .into_iter()
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap_or((&line, ""));
            (name.to_owned(), key.hide(value))
        })
        .collect()
}

pub(super) fn sorted(map: Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    map.unwrap_or_default().into_iter().collect()
}

fn bytes(size: Option<i64>) -> ByteSize {
    ByteSize(u64::try_from(size.unwrap_or_default().max(0)).unwrap_or_default())
}

/// `--cpus` is `NanoCpus`; `docker update --cpu-quota` says the same in quota and period.
fn cpus(host: &HostConfig) -> Cpus {
    let nano = u64::try_from(host.nano_cpus.unwrap_or_default().max(0)).unwrap_or_default();
    let quota = u64::try_from(host.cpu_quota.unwrap_or_default().max(0)).unwrap_or_default();
    if nano > 0 || quota == 0 {
        return Cpus(nano);
    }
    let period = u64::try_from(host.cpu_period.unwrap_or_default()).unwrap_or_default();
    Cpus(quota.saturating_mul(1_000_000_000) / if period == 0 { 100_000 } else { period })
}

fn restart(host: &HostConfig) -> Restart {
    let Some(policy) = &host.restart_policy else { return Restart::No };
    let retries = u32::try_from(policy.maximum_retry_count.unwrap_or_default()).unwrap_or_default();
    match policy.name.unwrap_or(RestartPolicyNameEnum::EMPTY) {
        RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO => Restart::No,
        RestartPolicyNameEnum::ALWAYS => Restart::Always,
        RestartPolicyNameEnum::UNLESS_STOPPED => Restart::UnlessStopped,
        RestartPolicyNameEnum::ON_FAILURE => Restart::OnFailure { max_retries: retries },
    }
}

fn capabilities(list: Option<Vec<String>>) -> BTreeSet<String> {
    list.unwrap_or_default()
        .into_iter()
        .map(|name| name.strip_prefix("CAP_").map_or(name.clone(), str::to_owned))
        .collect()
}

/// `no-new-privileges:true` is how some clients write `no-new-privileges`.
fn plain_option(option: String) -> String {
    option.strip_suffix(":true").map_or(option.clone(), str::to_owned)
}

fn ulimits(list: Option<Vec<bollard::models::ResourcesUlimits>>) -> BTreeMap<String, Ulimit> {
    list.unwrap_or_default()
        .into_iter()
        .filter_map(|u| Some((u.name?, Ulimit { soft: u.soft?, hard: u.hard? })))
        .collect()
}

fn devices(list: Option<Vec<bollard::models::DeviceMapping>>) -> BTreeMap<String, Device> {
    list.unwrap_or_default()
        .into_iter()
        .filter_map(|d| {
            let device =
                Device { host: d.path_on_host?, permissions: d.cgroup_permissions.unwrap_or_default() };
            Some((d.path_in_container?, device))
        })
        .collect()
}

fn extra_hosts(list: Option<Vec<String>>) -> BTreeMap<String, String> {
    list.unwrap_or_default()
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, address)| (name.to_owned(), address.to_owned()))
        .collect()
}

fn logging(config: Option<bollard::models::HostConfigLogConfig>) -> Logging {
    let config = config.unwrap_or_default();
    Logging { driver: config.typ.unwrap_or_default(), options: sorted(config.config) }
}

fn ports(map: Option<&PortMap>) -> BTreeSet<Port> {
    let mut ports = BTreeSet::new();
    // The order of a HashMap does not matter on the way into a set.
    for (key, bindings) in map.into_iter().flatten() {
        let (number, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
        let protocol = match protocol {
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => Protocol::Tcp,
        };
        let Ok(container) = number.parse() else { continue };
        for binding in bindings.iter().flatten() {
            ports.insert(Port {
                container,
                protocol,
                host: binding.host_port.as_deref().and_then(|p| p.parse().ok()).filter(|p| *p != 0),
                address: binding.host_ip.as_deref().and_then(|a| a.parse().ok()),
            });
        }
    }
    ports
}

/// From the host configuration, where only what was asked for stands; the image's own volumes do not.
fn mounts(host: &HostConfig) -> BTreeMap<String, Mount> {
    // `-v /data:/data/` mounts at `/data`.
    let trimmed = |at: String| match at.trim_end_matches('/') {
        "" => at,
        path => path.to_owned(),
    };
    untrimmed_mounts(host).into_iter().map(|(at, mount)| (trimmed(at), mount)).collect()
}

/// Volumes that are mounted without having been asked for by name: the image's, and `-v /data`.
fn anonymous(host: &HostConfig, points: &[MountPoint<'_>]) -> BTreeMap<String, String> {
    let volumes = points.iter().filter_map(MountPoint::volume);
    let mut all: BTreeMap<String, String> =
        volumes.map(|(at, name)| (at.to_owned(), name.unwrap_or_default().to_owned())).collect();
    if !all.is_empty() {
        let asked = mounts(host);
        all.retain(|at, _| !asked.contains_key(at));
    }
    all
}

fn untrimmed_mounts(host: &HostConfig) -> BTreeMap<String, Mount> {
    let mut mounts = BTreeMap::new();
    for bind in host.binds.iter().flatten() {
        let mut parts = bind.splitn(3, ':');
        if let (Some(source), Some(target)) = (parts.next(), parts.next()) {
            let read_only = parts.next().is_some_and(|options| options.split(',').any(|o| o == "ro"));
            mounts.insert(target.to_owned(), Mount { source: host_or_volume(source), read_only });
        }
    }
    for mount in host.mounts.iter().flatten() {
        let (Some(target), source) = (mount.target.clone(), mount.source.clone().unwrap_or_default()) else {
            continue;
        };
        let source = match mount.typ {
            Some(MountType::TMPFS) => {
                let size = mount.tmpfs_options.as_ref().and_then(|o| o.size_bytes).filter(|s| *s > 0);
                MountSource::Tmpfs { size: size.map(|s| bytes(Some(s))) }
            }
            Some(
                MountType::BIND
                | MountType::VOLUME
                | MountType::NPIPE
                | MountType::CLUSTER
                | MountType::IMAGE,
            )
            // Without a source it is an anonymous volume, of which nobody can say more than that it is there.
            | None if source.is_empty() => continue,
            Some(
                MountType::BIND
                | MountType::VOLUME
                | MountType::NPIPE
                | MountType::CLUSTER
                | MountType::IMAGE,
            )
            | None => host_or_volume(&source),
        };
        mounts.insert(target, Mount { source, read_only: mount.read_only.unwrap_or_default() });
    }
    // The order of a HashMap does not matter on the way into a map.
    for (target, options) in host.tmpfs.iter().flatten() {
        let size = options.split(',').find_map(|o| o.strip_prefix("size=")).and_then(tmpfs_size);
        let read_only = options.split(',').any(|o| o == "ro");
        mounts.insert(target.clone(), Mount { source: MountSource::Tmpfs { size }, read_only });
    }
    mounts
}

fn host_or_volume(source: &str) -> MountSource {
    match source.parse::<VolumeName>() {
        Ok(volume) if !source.starts_with('/') => MountSource::Volume(volume),
        Ok(_) | Err(_) => MountSource::Host(source.to_owned()),
    }
}

/// mount(8)'s sizes: bytes, or with k, m or g; a share of the memory is none that trueup has a word for.
pub(super) fn tmpfs_size(text: &str) -> Option<ByteSize> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift).map(ByteSize)
}

pub(super) fn health_check(config: HealthConfig) -> Option<HealthCheck> {
    let span = |nanos: Option<i64>| {
        let nanos = u64::try_from(nanos.unwrap_or_default()).unwrap_or_default();
        (nanos > 0).then(|| TimeSpan::from_millis(nanos / 1_000_000))
    };
    let test = config.test.unwrap_or_default();
    match test.first().map(String::as_str) {
        None => None,
        Some("NONE") => Some(HealthCheck::Disabled),
        Some(_) => Some(HealthCheck::Probe {
            test,
            interval: span(config.interval),
            timeout: span(config.timeout),
            start_period: span(config.start_period),
            retries: config.retries.and_then(|r| u32::try_from(r).ok()).filter(|r| *r > 0),
        }),
    }
}

/// An inspected image; `None` where it has no id.
pub(super) fn image(inspect: ImageInspect, key: &HashKey) -> Option<Image> {
    let config = inspect.config.unwrap_or_default();
    let references = |list: Option<Vec<String>>| {
        list.unwrap_or_default().iter().filter_map(|text| text.parse().ok()).collect()
    };
    Some(Image {
        id: inspect.id?.parse().ok()?,
        tags: references(inspect.repo_tags),
        digests: references(inspect.repo_digests),
        entrypoint: config.entrypoint.unwrap_or_default(),
        command: config.cmd.unwrap_or_default(),
        env: hide(config.env, key),
        workdir: config.working_dir.unwrap_or_default(),
        user: config.user.unwrap_or_default(),
        labels: sorted(config.labels),
        health: config.healthcheck.and_then(health_check),
        stop_signal: config.stop_signal.filter(|s| !s.is_empty()),
    })
}

/// An inspected network.
pub(super) fn network(inspect: NetworkInspect) -> LiveNetwork {
    let driver = inspect.driver.unwrap_or_default();
    let labels = sorted(inspect.labels);
    let known = match driver.as_str() {
        "bridge" => Some(NetworkDriver::Bridge),
        "overlay" => Some(NetworkDriver::Overlay),
        "macvlan" => Some(NetworkDriver::Macvlan),
        "ipvlan" => Some(NetworkDriver::Ipvlan),
        _ => None,
    };
    let ipam: IpamConfig =
        inspect.ipam.and_then(|ipam| ipam.config).and_then(|c| c.into_iter().next()).unwrap_or_default();
    let mut options = sorted(inspect.options);
    let parent = options.remove("parent");
    let attached = inspect.containers.unwrap_or_default().into_values().filter_map(|c| c.name).collect();
    LiveNetwork {
        id: inspect.id.unwrap_or_default(),
        name: inspect.name.unwrap_or_default(),
        spec: known.map(|driver| NetworkSpec {
            driver,
            subnet: ipam.subnet.and_then(|s| s.parse().ok()),
            gateway: ipam.gateway.and_then(|g| g.split('/').next()?.parse().ok()),
            ip_range: ipam.ip_range.and_then(|s| s.parse().ok()),
            parent,
            internal: inspect.internal.unwrap_or_default(),
            attachable: inspect.attachable.unwrap_or_default(),
            options,
            labels: ownership::own_labels(&labels),
        }),
        driver,
        labels,
        attached,
    }
}

/// A volume; `None` where its name is none that trueup could have given or could name.
pub(super) fn volume(volume: bollard::models::Volume) -> Option<LiveVolume> {
    Some(LiveVolume {
        name: volume.name.parse().ok()?,
        spec: VolumeSpec { driver: volume.driver, options: volume.options.into_iter().collect() },
        labels: volume.labels.into_iter().collect(),
    })
}
