//! What only shows when everything is read: dangling references, circles, clashes of ports and addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::app::{AddressSource, App, HostSelector, Replicas, Runtime};
use crate::model::container::{Networks, Port};
use crate::model::desired::Desired;
use crate::model::host::Host;
use crate::model::names::{AppKey, AppName, NetworkName};
use crate::model::network::NetworkDriver;

use super::diagnostic::{Errors, Spot, did_you_mean};
use super::load::{Spots, place_of};
use super::node::{Node, Table, Value};

/// Whether a fleet that was put together from two commits holds together: what `whole` asks of one commit.
pub fn is_sound(desired: &Desired) -> bool {
    let nothing = Spot::whole("fleet.toml");
    let fleet = Node { spot: nothing, value: Value::Table(Table::new()) };
    let mut errors = Errors::default();
    whole(desired, &fleet, &Spots::new(), &mut errors);
    errors.is_empty()
}

pub(super) fn whole(desired: &Desired, fleet: &Node, spots: &Spots, errors: &mut Errors) {
    for (name, managers) in &desired.swarms {
        for manager in managers.iter().filter(|manager| !desired.hosts.contains_key(*manager)) {
            let spot = fleet.place(&format!("swarm.{name}.managers"));
            let hint = did_you_mean(manager.as_str(), desired.hosts.keys().map(|h| h.as_str()));
            errors.add(&spot, format!("there is no host {manager}"), hint);
        }
    }
    for host in desired.hosts.values() {
        if let Some(swarm) = host.swarm.as_ref().filter(|swarm| !desired.swarms.contains_key(*swarm)) {
            let message =
                format!("the host {} names the Swarm {swarm:?}, which fleet.toml does not have", host.name);
            errors.add(&Spot::whole(&host.origin), message, None);
        }
    }
    for app in desired.apps.values() {
        references(desired, app, spots, errors);
    }
    circles(desired, spots, errors);
    subnets(desired, errors);
    addresses(desired, spots, errors);
    ports(desired, spots, errors);
}

fn references(desired: &Desired, app: &App, spots: &Spots, errors: &mut Errors) {
    let mut tell = |path: &str, message: String, hint: Option<String>| {
        errors.add(&place_of(spots, app, path), message, hint);
    };
    if let Networks::Named(named) = &app.container.networks {
        for name in named.keys().filter(|name| !desired.networks.contains_key(*name)) {
            let hint = did_you_mean(name.as_str(), desired.networks.keys().map(NetworkName::as_str));
            tell(&format!("network.{name}"), format!("there is no network {name}"), hint);
        }
    }
    for (name, source) in &app.leases {
        let Some(network) = desired.networks.get(name) else { continue };
        match source {
            AddressSource::Pool(pool) => {
                if !network.pools.contains_key(pool) {
                    let hint = did_you_mean(pool.as_str(), network.pools.keys().map(|p| p.as_str()));
                    tell(&format!("network.{name}.pool"), format!("network {name} has no pool {pool}"), hint);
                }
            }
            AddressSource::Fixed(list) => {
                for address in list {
                    if network.spec.subnet.is_some_and(|subnet| !subnet.contains(address)) {
                        tell(
                            &format!("network.{name}"),
                            format!("{address} is not in the subnet of {name}"),
                            None,
                        );
                    }
                    if network.reserved.contains(address) || network.spec.gateway == Some(*address) {
                        tell(&format!("network.{name}"), format!("{address} is reserved on {name}"), None);
                    }
                }
                if let Runtime::Host(placement) = &app.runtime
                    && let Replicas::Count(count) = placement.replicas
                    && usize::try_from(count).unwrap_or(usize::MAX) > list.len()
                {
                    let message = format!("{count} instances and only {} fixed addresses", list.len());
                    tell(
                        &format!("network.{name}"),
                        message,
                        Some("add addresses, or use a pool".to_owned()),
                    );
                }
            }
        }
    }
    for name in &app.depends_on {
        let key = AppKey { app: name.clone(), environment: app.key.environment.clone() };
        if !desired.apps.contains_key(&key) {
            let names = desired.apps.keys().map(|k| k.app.as_str());
            let message = format!("there is no app {name} in {}", app.key.environment);
            tell("depends_on", message, did_you_mean(name.as_str(), names));
        }
    }
    match &app.runtime {
        Runtime::Host(placement) => {
            if let HostSelector::Names(names) = &placement.hosts {
                for name in names.iter().filter(|name| !desired.hosts.contains_key(*name)) {
                    let hint = did_you_mean(name.as_str(), desired.hosts.keys().map(|h| h.as_str()));
                    tell("place.hosts", format!("there is no host {name}"), hint);
                }
            }
        }
        Runtime::Swarm(service) => {
            if !desired.swarms.contains_key(&service.swarm) {
                let hint = did_you_mean(&service.swarm, desired.swarms.keys().map(String::as_str));
                tell("swarm.name", format!("fleet.toml has no Swarm {:?}", service.swarm), hint);
            }
            let named = match &app.container.networks {
                Networks::Named(named) => named.keys().collect(),
                Networks::Default | Networks::Host | Networks::None => Vec::new(),
            };
            for network in named.iter().filter_map(|name| desired.networks.get(*name)) {
                if network.spec.driver != NetworkDriver::Overlay && !network.external {
                    let message = format!("{} is no overlay network: services cannot be on it", network.name);
                    tell(&format!("network.{}", network.name), message, None);
                }
            }
            let members = || {
                desired
                    .hosts
                    .values()
                    .filter(|host| host.is_member(&service.swarm, desired.swarms.get(&service.swarm)))
            };
            if members().next().is_some()
                && !members().any(|host| host.environments.contains(&app.key.environment))
            {
                let message =
                    format!("no host of the Swarm {} serves {} (F5)", service.swarm, app.key.environment);
                tell("swarm.name", message, None);
            }
        }
    }
}

/// Apps that wait for each other would wait for ever (D4).
fn circles(desired: &Desired, spots: &Spots, errors: &mut Errors) {
    let mut done: BTreeSet<AppKey> = BTreeSet::new();
    for start in desired.apps.keys() {
        let mut path: Vec<AppKey> = Vec::new();
        walk(desired, start, &mut path, &mut done, spots, errors);
    }
}

fn walk(
    desired: &Desired,
    key: &AppKey,
    path: &mut Vec<AppKey>,
    done: &mut BTreeSet<AppKey>,
    spots: &Spots,
    errors: &mut Errors,
) {
    if let Some(at) = path.iter().position(|seen| seen == key) {
        let names: Vec<&AppName> = path[at..].iter().chain([key]).map(|k| &k.app).collect();
        let circle = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" → ");
        if let Some(app) = desired.apps.get(key) {
            errors.add(
                &place_of(spots, app, "depends_on"),
                format!("apps wait for each other: {circle}"),
                None,
            );
        }
        return;
    }
    if done.contains(key) {
        return;
    }
    let Some(app) = desired.apps.get(key) else { return };
    path.push(key.clone());
    for name in &app.depends_on {
        let next = AppKey { app: name.clone(), environment: key.environment.clone() };
        walk(desired, &next, path, done, spots, errors);
    }
    path.pop();
    done.insert(key.clone());
}

fn subnets(desired: &Desired, errors: &mut Errors) {
    let all: Vec<_> = desired.networks.values().filter_map(|n| Some((n, n.spec.subnet?))).collect();
    for (index, (network, subnet)) in all.iter().enumerate() {
        for (other, theirs) in &all[..index] {
            if subnet.contains(theirs) || theirs.contains(subnet) {
                let message = format!(
                    "the subnets of {} ({subnet}) and {} ({theirs}, {}) overlap",
                    network.name, other.name, other.origin
                );
                errors.add(&Spot::whole(&network.origin), message, None);
            }
        }
    }
}

/// One fixed address, one instance.
fn addresses(desired: &Desired, spots: &Spots, errors: &mut Errors) {
    let mut taken: BTreeMap<(&NetworkName, IpAddr), &AppKey> = BTreeMap::new();
    for app in desired.apps.values() {
        for (network, source) in &app.leases {
            let AddressSource::Fixed(list) = source else { continue };
            for address in list {
                if let Some(other) = taken.insert((network, *address), &app.key) {
                    let message = format!("{address} on {network} is the address of {other} too");
                    errors.add(&place_of(spots, app, &format!("network.{network}")), message, None);
                }
            }
        }
    }
}

/// Two apps with one host port clash where no placement can keep them apart. What no host may run at all is the plan's to
/// tell: a repository may be written before its hosts are.
fn ports(desired: &Desired, spots: &Spots, errors: &mut Errors) {
    let mut users: BTreeMap<u16, Vec<(&App, Port)>> = BTreeMap::new();
    for app in desired.apps.values() {
        for port in &app.container.ports {
            if let Some(host_port) = port.host {
                users.entry(host_port).or_default().push((app, *port));
            }
        }
    }
    for (host_port, users) in users {
        for (index, (app, port)) in users.iter().enumerate() {
            let clash = users[..index].iter().find(|(_, other)| port.clashes(other));
            let Some((other, _)) = clash else { continue };
            let (ours, theirs) = (hosts(desired, app), hosts(desired, other));
            let together: BTreeSet<_> = ours.union(&theirs).collect();
            if !together.is_empty() && count(app).saturating_add(count(other)) > together.len() {
                let message = format!(
                    "port {host_port} of the host is wanted by {} and {}, and there are not enough hosts to keep them apart",
                    other.key, app.key
                );
                errors.add(&place_of(spots, app, "ports"), message, None);
            }
        }
        for (app, _) in &users {
            let may_run = hosts(desired, app).len();
            if (1..count(app)).contains(&may_run)
                && users.iter().filter(|(a, _)| a.key == app.key).count() == 1
            {
                let message = format!(
                    "{} instances want port {host_port} of the host, and only {} may run them",
                    count(app),
                    match may_run {
                        1 => "1 host".to_owned(),
                        n => format!("{n} hosts"),
                    }
                );
                let hint =
                    "one host port serves one instance per host: leave the host's port open, or add hosts";
                errors.add(&place_of(spots, app, "ports"), message, Some(hint.to_owned()));
            }
        }
    }
}

fn count(app: &App) -> usize {
    match &app.runtime {
        Runtime::Host(placement) => match placement.replicas {
            Replicas::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Replicas::EveryHost => 1,
        },
        Runtime::Swarm(_) => 0,
    }
}

fn hosts<'a>(desired: &'a Desired, app: &App) -> BTreeSet<&'a str> {
    let selected = |host: &&Host| match &app.runtime {
        Runtime::Host(placement) => match &placement.hosts {
            HostSelector::Any => true,
            HostSelector::Names(names) => names.contains(&host.name),
            HostSelector::Labels(labels) => labels.iter().all(|(k, v)| host.labels.get(k) == Some(v)),
        },
        Runtime::Swarm(_) => false,
    };
    let serves = |host: &&Host| host.environments.contains(&app.key.environment);
    desired.hosts.values().filter(serves).filter(selected).map(|host| host.name.as_str()).collect()
}
