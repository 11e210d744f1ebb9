//! `fleet.toml`, `hosts/*.toml` and `networks/*.toml` as the model has them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::desired::{Desired, Environment, FlumeDefaults};
use crate::model::host::{Capacity, Host};
use crate::model::names::{EnvironmentName, FleetName, HostName, NetworkName, PoolName, Revision};
use crate::model::network::{AddressRange, Network, NetworkDriver, NetworkSpec};
use crate::model::ownership;
use crate::model::swarm::Availability;
use crate::model::units::Cpus;

use super::context::Context;
use super::diagnostic::Errors;
use super::node::Node;
use super::read::read;
use super::shape::{
    AvailabilityShape, DriverShape, FleetFile, HostShape, HostsFile, NetworkShape, NetworksFile,
};

/// The largest pool: more addresses than one segment can have in use.
const LARGEST_POOL: u128 = 65_536;
/// Docker's own networks.
const RESERVED_NAMES: [&str; 5] = ["bridge", "host", "none", "ingress", "default"];

/// An empty `Desired` with the fleet's own settings.
pub(super) fn read_fleet(node: &Node, revision: &Revision, errors: &mut Errors) -> Option<Desired> {
    // The defaults are an app's keys: they are read, and told, with each app they go into.
    let shape: FleetFile = read(node, errors)?;
    let mut context = Context { node, errors };
    let fleet: FleetName = context.required("fleet", shape.fleet.as_ref())?;
    let names: Vec<EnvironmentName> = context.list("environments", &shape.environments);
    if shape.environments.is_empty() {
        context.fail_with(
            "environments",
            "the fleet has no environments",
            "such as environments = [\"test\", \"prod\"]",
        );
    }
    let mut environments: BTreeMap<EnvironmentName, Environment> =
        names.into_iter().map(|name| (name, Environment::default())).collect();
    for (name, more) in &shape.environment {
        let path = format!("environment.{name}");
        let known = name.parse().ok().and_then(|name: EnvironmentName| environments.get_mut(&name));
        match known {
            Some(environment) => {
                environment.production = more.production;
                environment.detect_only = more.detect_only;
            }
            None => {
                let hint =
                    super::diagnostic::did_you_mean(name, shape.environments.iter().map(String::as_str));
                let hint = hint.unwrap_or_else(|| "add it to `environments`".to_owned());
                context.fail_with(&path, format!("there is no environment {name:?}"), hint);
            }
        }
    }
    let mut swarms = BTreeMap::new();
    for (name, swarm) in &shape.swarm {
        let managers: Vec<HostName> = context.list(&format!("swarm.{name}.managers"), &swarm.managers);
        swarms.insert(name.clone(), managers);
    }
    for broker in &shape.flume.brokers {
        let fits = broker.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty()
                && host.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_[]:".contains(&c))
                && port.parse::<u16>().is_ok_and(|p| p > 0)
        });
        if !fits {
            context.fail("flume.brokers", format!("{broker:?} is not host:port"));
        }
    }
    let state_dir = shape.flume.state_dir.unwrap_or_else(|| "/var/lib/flume".to_owned());
    if !state_dir.starts_with('/') || state_dir.chars().any(char::is_control) {
        context.fail("flume.state_dir", format!("{state_dir:?} is not an absolute path"));
    }
    Some(Desired {
        revision: revision.clone(),
        fleet,
        environments,
        hosts: BTreeMap::new(),
        networks: BTreeMap::new(),
        apps: BTreeMap::new(),
        swarms,
        flume: FlumeDefaults { brokers: shape.flume.brokers, state_dir },
        detect_only: shape.detect_only,
        contents: BTreeMap::new(),
        scope: None,
    })
}

pub(super) fn read_hosts(node: &Node, desired: &mut Desired, errors: &mut Errors) {
    let Some(file) = read::<HostsFile>(node, errors) else { return };
    let mut context = Context { node, errors };
    for (name, shape) in &file.host {
        let path = format!("host.{name}");
        let Some(name) = context.parse::<HostName>(&path, name) else { continue };
        if let Some(other) = desired.hosts.get(&name) {
            context.fail(&path, format!("the host {name} is declared at {} too", other.origin));
            continue;
        }
        if let Some(host) = host(name.clone(), shape, &path, &desired.environments, &mut context) {
            desired.hosts.insert(name, host);
        }
    }
}

fn host(
    name: HostName,
    shape: &HostShape,
    path: &str,
    known: &BTreeMap<EnvironmentName, Environment>,
    context: &mut Context<'_>,
) -> Option<Host> {
    let address = context.required(&format!("{path}.address"), shape.address.as_ref());
    let engine = context.required(&format!("{path}.engine"), shape.engine.as_ref());
    let environments: Vec<EnvironmentName> =
        context.list(&format!("{path}.environments"), &shape.environments);
    for environment in environments.iter().filter(|e| !known.contains_key(*e)) {
        let hint =
            super::diagnostic::did_you_mean(environment.as_str(), known.keys().map(EnvironmentName::as_str));
        let message = format!("fleet.toml has no environment {:?}", environment.as_str());
        context.errors.add(&context.node.place(&format!("{path}.environments")), message, hint);
    }
    if shape.environments.is_empty() {
        context.fail_with(
            path,
            "it serves no environment, so nothing may run here (F5)",
            "add environments = [\"test\"]",
        );
    }
    let cpus = shape.capacity.cpus.and_then(|cpus| {
        let cpus = Cpus::from_f64(cpus);
        if cpus.is_none() {
            context.fail(&format!("{path}.capacity.cpus"), "write a number of CPUs such as 16");
        }
        cpus
    });
    let memory = context.option(&format!("{path}.capacity.memory"), shape.capacity.memory.as_ref());
    Some(Host {
        name,
        address: address?,
        engine: engine?,
        environments: environments.into_iter().collect(),
        labels: shape.labels.clone(),
        capacity: Capacity { cpus, memory },
        swarm: shape.swarm.clone(),
        availability: match (shape.drain, shape.availability) {
            (true, _) => Some(Availability::Drain),
            (false, declared) => declared.map(|availability| match availability {
                AvailabilityShape::Active => Availability::Active,
                AvailabilityShape::Pause => Availability::Pause,
                AvailabilityShape::Drain => Availability::Drain,
            }),
        },
        drain: shape.drain,
        origin: context.node.place(path).line(),
    })
}

pub(super) fn read_networks(node: &Node, desired: &mut Desired, errors: &mut Errors) {
    let Some(file) = read::<NetworksFile>(node, errors) else { return };
    let mut context = Context { node, errors };
    for (name, shape) in &file.network {
        let path = format!("network.{name}");
        let Some(name) = context.parse::<NetworkName>(&path, name) else { continue };
        if RESERVED_NAMES.contains(&name.as_str()) {
            context.fail(&path, format!("{name} is a name of Docker's own"));
            continue;
        }
        if let Some(other) = desired.networks.get(&name) {
            context.fail(&path, format!("the network {name} is declared at {} too", other.origin));
            continue;
        }
        if let Some(network) = network(name.clone(), shape, &path, &mut context) {
            desired.networks.insert(name, network);
        }
    }
}

fn network(
    name: NetworkName,
    shape: &NetworkShape,
    path: &str,
    context: &mut Context<'_>,
) -> Option<Network> {
    let at = |key: &str| format!("{path}.{key}");
    let subnet: Option<ipnet::IpNet> = context.option(&at("subnet"), shape.subnet.as_ref());
    let gateway: Option<IpAddr> = context.option(&at("gateway"), shape.gateway.as_ref());
    let ip_range = context.option(&at("ip_range"), shape.ip_range.as_ref());
    if let Some(subnet) = subnet {
        if subnet.trunc() != subnet {
            context.fail(
                &at("subnet"),
                format!("{subnet} has host bits set; the network is {}", subnet.trunc()),
            );
        }
        if gateway.is_some_and(|gateway| !subnet.contains(&gateway)) {
            context.fail(&at("gateway"), format!("the gateway is not in {subnet}"));
        }
    }
    let mut pools: BTreeMap<PoolName, AddressRange> = BTreeMap::new();
    for (pool_name, text) in &shape.pools {
        let place = at(&format!("pools.{pool_name}"));
        let (Some(pool), Some(range)) = (context.parse(&place, pool_name), range(text, &place, context))
        else {
            continue;
        };
        if subnet.is_none_or(|s| !s.contains(&range.first) || !s.contains(&range.last)) {
            context.fail(&place, "a pool lies within the network's declared subnet");
        }
        if let Some((other, _)) = pools.iter().find(|(_, other)| other.overlaps(&range)) {
            context.fail(&place, format!("it overlaps the pool {other}"));
        }
        pools.insert(pool, range);
    }
    let driver = match shape.driver {
        None | Some(DriverShape::Bridge) => NetworkDriver::Bridge,
        Some(DriverShape::Overlay) => NetworkDriver::Overlay,
        Some(DriverShape::Macvlan) => NetworkDriver::Macvlan,
        Some(DriverShape::Ipvlan) => NetworkDriver::Ipvlan,
    };
    if shape.parent.is_some() && !matches!(driver, NetworkDriver::Macvlan | NetworkDriver::Ipvlan) {
        context.fail(&at("parent"), "only macvlan and ipvlan have a parent interface");
    }
    for label in shape.labels.keys().filter(|label| label.starts_with(ownership::PREFIX)) {
        context.fail(&at("labels"), format!("the label {label:?} is trueup's own (B1)"));
    }
    Some(Network {
        name,
        spec: NetworkSpec {
            driver,
            subnet,
            gateway,
            ip_range,
            parent: shape.parent.clone(),
            internal: shape.internal,
            attachable: shape.attachable,
            options: shape.options.clone(),
            labels: shape.labels.clone(),
        },
        pools,
        reserved: context.list(&at("reserved"), &shape.reserved),
        external: shape.external,
        origin: context.node.place(path).line(),
    })
}

fn range(text: &str, place: &str, context: &mut Context<'_>) -> Option<AddressRange> {
    let parts = text.split_once('-').and_then(|(first, last)| {
        Some(AddressRange { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? })
    });
    let Some(range) = parts.filter(|r| r.first.is_ipv4() == r.last.is_ipv4() && !r.is_empty()) else {
        context.fail(place, format!("{text:?} is not a range such as \"192.0.2.64-192.0.2.95\""));
        return None;
    };
    if range.len() > LARGEST_POOL {
        context.fail(
            place,
            format!("a pool of {} addresses is too large; the limit is {LARGEST_POOL}", range.len()),
        );
        return None;
    }
    Some(range)
}
