//! What Docker would show of a container it made from a spec: the image's and the daemon's defaults filled in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::container::{self, ContainerSpec, EnvValue, HealthCheck, Logging};
use crate::model::image::Digest;
use crate::model::names::ContainerName;
use crate::model::observed::{Container, Health, Image, LiveAttachment, LiveFile, LiveSpec, RunState, Seen};
use crate::model::secrecy::{ContentHash, HashKey};
use crate::model::units::{ByteSize, Cpus, Timestamp};

use super::Behaviour;

/// A created container; `number` makes its id.
pub(super) fn create(
    name: &ContainerName,
    spec: &ContainerSpec,
    ownership: &BTreeMap<String, String>,
    image: &Image,
    key: &HashKey,
    number: u64,
) -> Container {
    let id = ContentHash::of(format!("{name} {number}").as_bytes()).to_string();
    let mut labels = image.labels.clone();
    labels.extend(spec.labels.clone());
    labels.extend(ownership.clone());
    Container {
        beyond: std::collections::BTreeSet::new(),
        anonymous: BTreeMap::new(),
        veiled: false,
        live: live(spec, image, key, &id),
        id,
        name: name.clone(),
        image: image.id.clone(),
        image_name: spec.image.pull_name(),
        created: Timestamp(0),
        state: RunState::Created,
        restarts: 0,
        labels,
    }
}

fn live(spec: &ContainerSpec, image: &Image, key: &HashKey, id: &str) -> LiveSpec {
    let mut env = image.env.clone();
    for (name, EnvValue::Plain(value)) in &spec.env {
        env.insert(name.clone(), key.hide(value));
    }
    let file = |mode: u32, hash: &ContentHash| Seen::Known(Some(LiveFile { hash: hash.clone(), mode }));
    let command = match (&spec.command, &spec.entrypoint) {
        (Some(command), _) => command.clone(),
        (None, Some(_)) => Vec::new(),
        (None, None) => image.command.clone(),
    };
    let (network_mode, networks) = networks(spec);
    LiveSpec {
        entrypoint: spec.entrypoint.clone().unwrap_or_else(|| image.entrypoint.clone()),
        command,
        env,
        workdir: spec.workdir.clone().unwrap_or_else(|| image.workdir.clone()),
        user: spec.user.clone().unwrap_or_else(|| image.user.clone()),
        hostname: spec.hostname.clone().unwrap_or_else(|| id.chars().take(12).collect()),
        ports: spec.ports.clone(),
        mounts: spec.mounts.clone(),
        files: spec.files.iter().map(|(path, f)| (path.clone(), file(f.mode, &f.hash))).collect(),
        network_mode,
        networks,
        cpus: spec.cpus.unwrap_or(Cpus(0)),
        memory: spec.memory.unwrap_or_default(),
        memory_reservation: spec.memory_reservation.unwrap_or_default(),
        pids: spec.pids.unwrap_or_default(),
        shm_size: spec.shm_size.unwrap_or(ByteSize(64 << 20)),
        restart: spec.restart,
        health: spec.health.clone().or_else(|| image.health.clone()),
        cap_add: spec.cap_add.clone(),
        cap_drop: spec.cap_drop.clone(),
        privileged: spec.privileged,
        read_only: spec.read_only,
        init: spec.init,
        security_opt: spec.security_opt.clone(),
        sysctls: spec.sysctls.clone(),
        ulimits: spec.ulimits.clone(),
        devices: spec.devices.clone(),
        dns: spec.dns.clone(),
        extra_hosts: spec.extra_hosts.clone(),
        logging: spec
            .logging
            .clone()
            .unwrap_or(Logging { driver: "json-file".into(), options: BTreeMap::new() }),
        stop_signal: spec.stop_signal.clone().or_else(|| image.stop_signal.clone()),
        stop_timeout: spec.stop_timeout,
    }
}

fn networks(spec: &ContainerSpec) -> (String, BTreeMap<String, LiveAttachment>) {
    use container::Networks;
    match &spec.networks {
        Networks::Default => {
            ("default".into(), BTreeMap::from([("bridge".into(), LiveAttachment::default())]))
        }
        Networks::Host => ("host".into(), BTreeMap::from([("host".into(), LiveAttachment::default())])),
        Networks::None => ("none".into(), BTreeMap::from([("none".into(), LiveAttachment::default())])),
        Networks::Named(named) => {
            let first = named.keys().next().map(ToString::to_string).unwrap_or_default();
            let attach = |a: &container::Attachment| LiveAttachment {
                requested: a.address,
                address: None,
                aliases: a.aliases.clone(),
                network: None,
            };
            (first, named.iter().map(|(name, a)| (name.to_string(), attach(a))).collect())
        }
    }
}

/// The networks that a container could be on: the engine's own by name, with their ids; and the names of the others, which
/// come and go elsewhere.
pub(super) struct Networks {
    pub ids: BTreeMap<String, String>,
    pub elsewhere: BTreeSet<String>,
}

/// Made by every engine itself.
const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

impl Networks {
    /// A container that was on one before is started on that very one (measured on 20.10), else on what has the name.
    fn find(&self, name: &str, was: Option<&String>) -> Result<Option<String>, String> {
        match (was, self.ids.get(name)) {
            (Some(was), there) if there != Some(was) => Err(format!("network {was} not found")),
            (_, Some(there)) => Ok(Some(there.clone())),
            (_, None) if BUILT_IN.contains(&name) || self.elsewhere.contains(name) => Ok(None),
            (_, None) => Err(format!("network {name} not found")),
        }
    }
}

/// Addresses held while it runs: what was asked for, else one that nobody has.
pub(super) fn start(
    container: &mut Container,
    networks: &Networks,
    taken: &[(String, IpAddr)],
    now: Timestamp,
    behaviour: Option<&Behaviour>,
) -> Result<(), String> {
    for (network, attachment) in &mut container.live.networks {
        attachment.network = networks.find(network, attachment.network.as_ref())?;
        let is_taken = |address: IpAddr| taken.iter().any(|(n, a)| n == network && *a == address);
        match attachment.requested {
            Some(address) if is_taken(address) => return Err(format!("Address already in use: {address}")),
            Some(address) => attachment.address = Some(address),
            None => {
                let free = (2u8..=250).map(|last| IpAddr::from([10, 99, 0, last])).find(|a| !is_taken(*a));
                attachment.address = free;
            }
        }
    }
    let health = match (&container.live.health, behaviour) {
        (_, Some(Behaviour::Exits(code))) => {
            stop(container, now, *code);
            return Ok(());
        }
        (Some(HealthCheck::Probe { .. }), Some(Behaviour::Unhealthy(said))) => {
            Health::Unhealthy { last_output: said.clone() }
        }
        (Some(HealthCheck::Probe { .. }), None) => Health::Healthy,
        (Some(HealthCheck::Disabled) | None, _) => Health::Unchecked,
    };
    container.state = RunState::Running { since: now, health };
    Ok(())
}

/// A stopped container holds no address (formats, measured).
pub(super) fn stop(container: &mut Container, now: Timestamp, exit_code: i64) {
    container.state = RunState::Exited { exit_code, at: now, error: String::new() };
    container.live.networks.values_mut().for_each(|attachment| attachment.address = None);
}

/// For an image that is asked for by id, digest or tag.
pub(super) fn matches(image: &Image, wanted: &crate::model::image::ImageRef) -> bool {
    let by_digest = |digest: &Digest| {
        image.id == *digest || image.digests.iter().any(|known| known.digest.as_ref() == Some(digest))
    };
    match &wanted.digest {
        Some(digest) => by_digest(digest),
        None => image.tags.contains(wanted),
    }
}
