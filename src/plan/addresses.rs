//! What each seated instance should be: its spec with the image pinned and its addresses leased (C1, C4, H).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::app::{AddressSource, App, Runtime};
use crate::model::container::{ContainerSpec, Networks};
use crate::model::drift::Kind;
use crate::model::names::{ContainerName, HostName, InstanceName, NetworkName};
use crate::model::network::Network;
use crate::model::observed::Seen;
use crate::model::ownership::PlaceInReplacement;

use super::draft::{Draft, subject};
use super::place::Seat;
use super::seen::Fleet;
use super::{PlanInput, elsewhere, under_way};

/// An instance, its host, and what it should be there.
pub(super) struct Target {
    pub instance: InstanceName,
    pub app: Arc<App>,
    pub seat: Seat,
    pub spec: ContainerSpec,
    /// It stands elsewhere and may not stand twice, for its slot's (C7) or its address's sake (C1): what stands goes
    /// first, and the next plan starts it here.
    pub gone_first: bool,
}

/// Who holds an address where: the container's name, on hosts that answered.
pub(super) type Ledger = BTreeMap<(String, IpAddr), BTreeSet<(HostName, String)>>;

/// Targets of all seats that can be given their addresses.
pub(super) fn targets(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    seats: &BTreeMap<InstanceName, Seat>,
    draft: &mut Draft,
) -> Vec<Target> {
    let mut ledger = holders(fleet);
    under_way::hold_addresses(input, &mut ledger);
    let mut targets = Vec::new();
    for (instance, seat) in seats {
        let Some(app) = input.desired.apps.get(&instance.key).filter(|_| !seat.renamed) else { continue };
        let mut spec = app.container.clone();
        spec.image = input.images.pin(&spec.image);
        match lease(input, fleet, instance, seat, app, &mut ledger, &mut spec) {
            Ok(()) => {
                targets.push(Target {
                    instance: instance.clone(),
                    app: Arc::clone(app),
                    seat: seat.clone(),
                    spec,
                    gone_first: !seat.moves_from.is_empty() && never_twice(input, app),
                });
            }
            Err((reason, hint)) => {
                draft.block(
                    subject(Kind::Container, instance, &seat.host),
                    Some(app.key.clone()),
                    reason,
                    hint,
                );
            }
        }
    }
    targets
}

/// Every address any container asked for or holds: foreign and stopped ones included (C4).
fn holders(fleet: &Fleet<'_>) -> Ledger {
    let mut ledger = Ledger::new();
    // What is adopted under a name of its own holds them as its instance (B4).
    let adopted = fleet.owned.iter().flat_map(|(instance, all)| all.iter().map(move |one| (instance, one)));
    let adopted = adopted.filter(|(_, one)| one.adopted && one.place == PlaceInReplacement::Current);
    let adopted: BTreeMap<(&HostName, &ContainerName), &InstanceName> =
        adopted.map(|(instance, one)| ((one.host, &one.container.name), instance)).collect();
    for (host, engine) in &fleet.engines {
        for container in engine.containers.values().filter_map(Seen::known) {
            for (network, attachment) in &container.live.networks {
                for address in attachment.requested.into_iter().chain(attachment.address) {
                    let name = adopted
                        .get(&(*host, &container.name))
                        .map_or_else(|| container.name.to_string(), ToString::to_string);
                    let holder = ((*host).clone(), name);
                    ledger.entry((network.clone(), address)).or_default().insert(holder);
                }
            }
        }
    }
    ledger
}

type Refusal = (String, &'static str);

fn lease(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    instance: &InstanceName,
    seat: &Seat,
    app: &App,
    ledger: &mut Ledger,
    spec: &mut ContainerSpec,
) -> Result<(), Refusal> {
    for (name, source) in &app.leases {
        let Some(network) = input.desired.networks.get(name) else {
            return Err((format!("its network {name} is not declared"), "declare it under networks/"));
        };
        let address = match source {
            AddressSource::Fixed(list) => {
                let index = usize::try_from(instance.slot).unwrap_or(usize::MAX);
                let address = *list.get(index).ok_or((
                    format!("network {name} has fixed addresses for {} instances only", list.len()),
                    "add an address for each instance, or use a pool",
                ))?;
                if held(fleet, instance, seat, name) != Some(address) {
                    grant_possible(input, fleet, network, seat)?;
                    if let Some((host, holder)) = conflict(ledger, network, seat, instance, address, true) {
                        return Err((
                            format!("its address {address} is held by {holder} on {host} (C1)"),
                            "remove that container, or declare another address",
                        ));
                    }
                }
                address
            }
            AddressSource::Pool(pool) => {
                let Some(range) = network.pools.get(pool) else {
                    return Err((format!("network {name} has no pool {pool}"), "declare the pool"));
                };
                let fixed = fixed_addresses(input, name);
                let gateway = gateway(fleet, network, seat);
                let free = |address: &IpAddr| {
                    !network.reserved.contains(address)
                        && Some(*address) != gateway
                        && !fixed.contains(address)
                        && conflict(ledger, network, seat, instance, *address, false).is_none()
                };
                let held = held(fleet, instance, seat, name).filter(|address| range.contains(*address));
                match held.filter(free) {
                    Some(address) => address,
                    None => {
                        grant_possible(input, fleet, network, seat)?;
                        range.iter().find(free).ok_or((
                            format!("pool {pool} of network {name} has no free address"),
                            "widen the pool, or free addresses",
                        ))?
                    }
                }
            }
        };
        ledger
            .entry((name.to_string(), address))
            .or_default()
            .insert((seat.host.clone(), instance.to_string()));
        if let Networks::Named(networks) = &mut spec.networks
            && let Some(attachment) = networks.get_mut(name)
        {
            attachment.address = Some(address);
        }
    }
    Ok(())
}

/// The address the instance asked for or holds where it stands now.
fn held(fleet: &Fleet<'_>, instance: &InstanceName, seat: &Seat, network: &NetworkName) -> Option<IpAddr> {
    let current = fleet.standing(instance).into_iter().find(|owned| *owned.host == seat.host)?;
    let attachment = current.container.live.networks.get(network.as_str())?;
    attachment.requested.or(attachment.address)
}

/// Who else has it: on the same host, or anywhere where hosts share the segment. `goes_first`: what stands of this
/// instance on other hosts is gone before it starts here, and does not count.
fn conflict<'l>(
    ledger: &'l Ledger,
    network: &Network,
    seat: &Seat,
    instance: &InstanceName,
    address: IpAddr,
    goes_first: bool,
) -> Option<&'l (HostName, String)> {
    let everywhere = network.spec.driver.shares_segment_between_hosts();
    let own = instance.to_string();
    let is_own = |name: &String| *name == own || name.starts_with(&format!("{own}.trueup-"));
    let mut holders = ledger.get(&(network.name.to_string(), address)).into_iter().flatten();
    holders.find(|(host, name)| {
        // Predecessor and successor of one instance on one host take turns.
        let turns = *host == seat.host || (goes_first && seat.moves_from.contains(host));
        (everywhere || *host == seat.host) && !(turns && is_own(name))
    })
}

/// An exclusive slot, or an address of its own on a segment that hosts share.
fn never_twice(input: &PlanInput<'_>, app: &App) -> bool {
    let exclusive = match &app.runtime {
        Runtime::Host(placement) => placement.exclusive,
        Runtime::Swarm(_) => false,
    };
    let shared = |name: &NetworkName| {
        input.desired.networks.get(name).is_some_and(|n| n.spec.driver.shares_segment_between_hosts())
    };
    exclusive
        || app.leases.iter().any(|(name, source)| match source {
            AddressSource::Fixed(_) => shared(name),
            AddressSource::Pool(_) => false,
        })
}

/// Nothing new is granted that somebody whom nobody can ask may hold (A1, C1, H).
fn grant_possible(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    network: &Network,
    seat: &Seat,
) -> Result<(), Refusal> {
    let everywhere = network.spec.driver.shares_segment_between_hosts();
    for (host, engine) in fleet.engines.iter().filter(|(host, _)| everywhere || ***host == seat.host) {
        let unread = engine.containers.iter().find(|(_, seen)| seen.known().is_none());
        if let Some((name, _)) = unread {
            return Err((
                format!(
                    "no address of {} is granted while container {name} on {host} cannot be read (C1)",
                    network.name
                ),
                "see why its inspect fails; this goes on by itself then",
            ));
        }
    }
    if !everywhere {
        return Ok(());
    }
    if let Some(host) = fleet.unknown_hosts.keys().find(|host| may_hold(input, network, host)) {
        return Err((
            format!(
                "no address of {} is granted while {host} is unknown: it may hold any of them (C1)",
                network.name
            ),
            "bring the host back, or take it out of the inventory once it is surely off",
        ));
    }
    // What is not declared here may be on any network.
    let on_it =
        |instance: &InstanceName| input.desired.apps.get(&instance.key).is_none_or(|app| is_on(app, network));
    match elsewhere::undeclared(input).find(|(instance, _)| on_it(instance)) {
        Some((instance, host)) => Err((
            format!(
                "no address of {} is granted while {instance} may run on {host}, which is not declared any more: it may hold any \
                 of them (C1)",
                network.name
            ),
            "declare the host again with drain = true, and remove it once it is empty; where it is gone for good, run `trueup trust`",
        )),
        None => Ok(()),
    }
}

/// The host serves an environment with apps on the network, or one that is out of view.
fn may_hold(input: &PlanInput<'_>, network: &Network, host: &HostName) -> bool {
    input.desired.hosts.get(host).is_some_and(|host| {
        host.environments.iter().any(|environment| {
            !input.desired.environments.contains_key(environment)
                || input
                    .desired
                    .apps
                    .values()
                    .any(|app| app.key.environment == *environment && is_on(app, network))
        })
    })
}

fn is_on(app: &App, network: &Network) -> bool {
    match &app.container.networks {
        Networks::Named(named) => named.contains_key(&network.name),
        Networks::Default | Networks::Host | Networks::None => false,
    }
}

fn fixed_addresses(input: &PlanInput<'_>, network: &NetworkName) -> BTreeSet<IpAddr> {
    let sources = input.desired.apps.values().filter_map(|app| app.leases.get(network));
    sources
        .flat_map(|source| match source {
            AddressSource::Fixed(list) => list.clone(),
            AddressSource::Pool(_) => Vec::new(),
        })
        .collect()
}

/// As declared, else as the engine chose it.
fn gateway(fleet: &Fleet<'_>, network: &Network, seat: &Seat) -> Option<IpAddr> {
    network.spec.gateway.or_else(|| {
        let live = fleet.engines.get(&seat.host)?.networks.get(network.name.as_str())?.known()?;
        live.spec.as_ref()?.gateway
    })
}
