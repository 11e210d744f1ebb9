//! An app's merged file as the model's [`App`]: every default filled in, every text checked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::adoption::{Adopted, AdoptedBySlot};
use crate::model::app::{
    AddressSource, App, Balance, Demand, Failover, HostSelector, OnReturn, Placement, PullPolicy, Replicas,
    Runtime, Strategy, Update, Upstream,
};
use crate::model::container::{Attachment, ContainerField, ContainerSpec, Networks};
use crate::model::names::{AppKey, NetworkName, VolumeName};
use crate::model::network::{Volume, VolumeSpec};
use crate::model::secrecy::ContentHash;
use crate::model::service::ServiceField;

use super::container;
use super::context::Context;
use super::service;
use super::shape::{
    AdoptShape, AppFile, BalanceShape, FailoverShape, HostsShape, NetworkModeShape, OnReturnShape, PullShape,
    ReplicasShape, RuntimeShape, StrategyShape, UpstreamShape,
};

/// An app with the bytes of the files it mounts.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub app: Arc<App>,
    pub contents: BTreeMap<ContentHash, Arc<[u8]>>,
}

/// Finds a file of the app's folder by its relative path.
pub(super) type FileFinder<'a> = dyn Fn(&str) -> Result<(String, Arc<[u8]>), String> + 'a;

/// `None` where anything is wrong; it was told.
pub(super) fn resolve(
    key: &AppKey,
    shape: &AppFile,
    context: &mut Context<'_>,
    files: &FileFinder<'_>,
    origin: String,
    only_swarm: Option<&str>,
) -> Option<Resolved> {
    let before = context.errors.diagnostics().len();
    let volumes = volumes(key, shape, context);
    let mut contents = BTreeMap::new();
    let mut spec = container::spec(shape, context, files, &mut contents, &volumes.names)?;
    let leases = networks(shape, context, &mut spec);
    let data_pins = container::has_data(shape);
    let runtime = runtime(shape, context, &spec, data_pins, only_swarm)?;
    let logs = container::logs(shape, context, &spec);
    let adopted = adopted(shape, context);
    let app = App {
        key: key.clone(),
        team: context.option("team", shape.team.as_ref()),
        runtime,
        leases,
        volumes: volumes.declared,
        depends_on: context.list("depends_on", &shape.depends_on),
        update: update(shape, context),
        upstream: shape.upstream.as_ref().and_then(|u| upstream(u, context, &spec)),
        logs,
        protect: shape.protect,
        adopt: match &shape.adopt {
            Some(AdoptShape::Whether(whether)) => *whether,
            Some(AdoptShape::Named(_)) => true,
            None => false,
        },
        adopted,
        detect_only: shape.detect_only,
        ignore: ignored(shape, context),
        pull: match shape.pull {
            Some(PullShape::Never) => PullPolicy::Never,
            Some(PullShape::Missing) | None => PullPolicy::Missing,
        },
        container: spec,
        origin,
    };
    (context.errors.diagnostics().len() == before).then(|| Resolved { app: Arc::new(app), contents })
}

struct Volumes {
    /// The name on the engine by the name in the file.
    names: BTreeMap<String, VolumeName>,
    declared: BTreeMap<VolumeName, Volume>,
}

/// A volume is called app-environment-name, unless it is somebody else's.
fn volumes(key: &AppKey, shape: &AppFile, context: &mut Context<'_>) -> Volumes {
    let mut volumes = Volumes { names: BTreeMap::new(), declared: BTreeMap::new() };
    let mounted = shape.mount.iter().filter_map(|mount| mount.volume.as_ref());
    for name in mounted.collect::<BTreeSet<_>>() {
        let declared = shape.volume.get(name).cloned().unwrap_or_default();
        let on_engine = if declared.external { name.clone() } else { format!("{key}-{name}") };
        let Some(on_engine) = context.parse::<VolumeName>("mount", &on_engine) else { continue };
        let spec = VolumeSpec {
            driver: declared.driver.unwrap_or_else(|| "local".to_owned()),
            options: declared.options,
        };
        volumes.names.insert(name.clone(), on_engine.clone());
        volumes.declared.insert(on_engine, Volume { spec, external: declared.external });
    }
    for name in shape.volume.keys().filter(|name| !volumes.names.contains_key(*name)) {
        context.fail(&format!("volume.{name}"), format!("no mount uses the volume {name:?}"));
    }
    volumes
}

fn networks(
    shape: &AppFile,
    context: &mut Context<'_>,
    spec: &mut ContainerSpec,
) -> BTreeMap<NetworkName, AddressSource> {
    let mut leases = BTreeMap::new();
    let mut named = BTreeMap::new();
    for (name, attachment) in &shape.network {
        let path = format!("network.{name}");
        let Some(name) = context.parse::<NetworkName>(&path, name) else { continue };
        let mut fixed: Vec<IpAddr> = context.list(&format!("{path}.addresses"), &attachment.addresses);
        fixed.extend(context.option::<IpAddr>(&format!("{path}.address"), attachment.address.as_ref()));
        match (&attachment.pool, fixed.is_empty()) {
            (Some(_), false) => context.fail(&path, "set either `pool` or fixed addresses"),
            (Some(pool), true) => {
                if let Some(pool) = context.parse(&format!("{path}.pool"), pool) {
                    leases.insert(name.clone(), AddressSource::Pool(pool));
                }
            }
            (None, false) => {
                leases.insert(name.clone(), AddressSource::Fixed(fixed));
            }
            (None, true) => {}
        }
        let aliases = attachment.aliases.iter().cloned().collect();
        named.insert(name, Attachment { address: None, aliases });
    }
    spec.networks = match (shape.network_mode, named.is_empty()) {
        (Some(_), false) => {
            context.fail("network_mode", "set either `network_mode` or networks");
            Networks::Default
        }
        (Some(NetworkModeShape::Host), true) => Networks::Host,
        (Some(NetworkModeShape::None), true) => Networks::None,
        (Some(NetworkModeShape::Default) | None, true) => Networks::Default,
        (None, false) => Networks::Named(named),
    };
    leases
}

fn runtime(
    shape: &AppFile,
    context: &mut Context<'_>,
    spec: &ContainerSpec,
    data_pins: bool,
    only_swarm: Option<&str>,
) -> Option<Runtime> {
    let replicas = match &shape.replicas {
        None => Replicas::Count(1),
        Some(ReplicasShape::Count(count)) => match u32::try_from(*count) {
            Ok(count) if count <= 10_000 => Replicas::Count(count),
            Ok(_) | Err(_) if *count > 0 => {
                context.fail("replicas", "more than 10000 instances of one app are surely a slip");
                return None;
            }
            Ok(_) | Err(_) => {
                let hint = "write 0 for an app that is declared and does not run";
                context.fail_with("replicas", format!("{count} is no number of instances"), hint);
                return None;
            }
        },
        Some(ReplicasShape::Word(word)) if word == "every-host" => Replicas::EveryHost,
        Some(ReplicasShape::Word(_)) => {
            context.fail("replicas", "write a number, or \"every-host\"");
            return None;
        }
    };
    if shape.runtime == Some(RuntimeShape::Swarm) {
        return service::runtime(shape, context, spec, replicas, only_swarm);
    }
    let place = &shape.place;
    let hosts = match &place.hosts {
        None => HostSelector::Any,
        Some(HostsShape::Names(names)) => HostSelector::Names(context.list("place.hosts", names)),
        Some(HostsShape::Labels(labels)) => HostSelector::Labels(labels.clone()),
    };
    let failover = match (place.failover, data_pins) {
        (Some(FailoverShape::Move), true) => {
            context.fail_with(
                "place.failover",
                "an app with data of its own cannot move (B5)",
                "say data = \"disposable\" on each writable mount whose loss does not matter",
            );
            Failover::Stay
        }
        (Some(FailoverShape::Stay), _) | (None, true) => Failover::Stay,
        (Some(FailoverShape::Move) | None, false) => Failover::Move,
    };
    Some(Runtime::Host(Placement {
        replicas,
        hosts,
        spread: place.spread.clone(),
        one_per_host: place.one_per_host,
        failover,
        on_return: match place.on_return {
            Some(OnReturnShape::KeepOriginal) => OnReturn::KeepOriginal,
            Some(OnReturnShape::KeepReplacement) | None => OnReturn::KeepReplacement,
        },
        exclusive: place.exclusive,
        demand: Demand { cpus: spec.cpus, memory: spec.memory },
    }))
}

fn update(shape: &AppFile, context: &mut Context<'_>) -> Update {
    let (r, usual) = (&shape.rollout, Update::default());
    let mut span = |key: &str, text: &Option<String>, usual| {
        context.option(&format!("rollout.{key}"), text.as_ref()).unwrap_or(usual)
    };
    let update = Update {
        strategy: match r.strategy {
            Some(StrategyShape::Recreate) => Strategy::Recreate,
            Some(StrategyShape::Rolling) | None => Strategy::Rolling,
        },
        max_unavailable: r.max_unavailable.unwrap_or(1),
        min_healthy: span("min_healthy", &r.min_healthy, usual.min_healthy),
        healthy_deadline: span("healthy_deadline", &r.healthy_deadline, usual.healthy_deadline),
        drain_timeout: span("drain_timeout", &r.drain_timeout, usual.drain_timeout),
    };
    if update.max_unavailable == 0 {
        context.fail("rollout.max_unavailable", "at least 1: nothing could ever be replaced");
    }
    update
}

fn upstream(shape: &UpstreamShape, context: &mut Context<'_>, spec: &ContainerSpec) -> Option<Upstream> {
    for name in &shape.server_name {
        let fits = !name.is_empty()
            && name.len() <= 253
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || b".-*_".contains(&c));
        if !fits {
            context.fail("upstream.server_name", format!("{name:?} is not a server name"));
        }
    }
    if shape.port == 0 {
        context.fail("upstream.port", "write the port in the container, from 1 to 65535");
    }
    let network: Option<NetworkName> = context.option("upstream.network", shape.network.as_ref());
    let attached = match &spec.networks {
        Networks::Named(named) => Some(named),
        Networks::Default | Networks::Host | Networks::None => None,
    };
    if let Some(network) = &network
        && !attached.is_some_and(|named| named.contains_key(network))
    {
        context.fail("upstream.network", format!("the app is not on the network {network}"));
    }
    Some(Upstream {
        port: shape.port,
        server_names: shape.server_name.clone(),
        listen: shape.listen.unwrap_or(80),
        balance: match shape.balance {
            Some(BalanceShape::LeastConn) => Balance::LeastConn,
            Some(BalanceShape::IpHash) => Balance::IpHash,
            Some(BalanceShape::Random) => Balance::Random,
            Some(BalanceShape::RoundRobin) | None => Balance::RoundRobin,
        },
        keepalive: shape.keepalive,
        max_fails: shape.max_fails,
        fail_timeout: context.option("upstream.fail_timeout", shape.fail_timeout.as_ref()),
        network,
    })
}

/// `{ 0 = "shop-web-1@rack-a" }`; that the host exists is asked when everything was read.
fn adopted(shape: &AppFile, context: &mut Context<'_>) -> AdoptedBySlot {
    let Some(AdoptShape::Named(named)) = &shape.adopt else { return AdoptedBySlot::new() };
    let mut adopted = AdoptedBySlot::new();
    if shape.runtime == Some(RuntimeShape::Swarm) {
        return adopted;
    }
    for (slot, text) in named {
        let path = format!("adopt.{slot}");
        let Ok(number) = slot.parse::<u32>() else {
            context.fail_with(
                &path,
                format!("{slot:?} is not a slot"),
                "number the instances from 0, such as adopt = { 0 = \"shop-web-1@rack-a\" }",
            );
            continue;
        };
        if let Some(one) = context.parse::<Adopted>(&path, text)
            && adopted.insert(number, one).is_some()
        {
            context.fail(&path, format!("slot {number} stands here twice"));
        }
    }
    adopted
}

fn ignored(shape: &AppFile, context: &mut Context<'_>) -> BTreeSet<crate::model::names::FieldName> {
    let of_services = || ServiceField::ALL.iter().map(|field| field.name());
    let of_containers = || ContainerField::ALL.iter().map(|field| field.name());
    let is_service = shape.runtime == Some(RuntimeShape::Swarm);
    let known = || of_services().filter(|_| is_service).chain(of_containers().filter(|_| !is_service));
    let field = |name: &String| name.split('.').next().unwrap_or_default().to_owned();
    for name in shape.ignore.iter().filter(|name| !known().any(|known| known == field(name))) {
        let hint = super::diagnostic::did_you_mean(name, known())
            .unwrap_or_else(|| format!("fields: {}", known().collect::<Vec<_>>().join(", ")));
        context.fail_with("ignore", format!("there is no field {name:?}"), hint);
    }
    context.list("ignore", &shape.ignore)
}
