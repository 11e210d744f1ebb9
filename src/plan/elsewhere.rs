//! Where an instance may run though nobody can ask: it counts as running there, and is started nowhere else (B2, C8).

use crate::model::app::{AddressSource, App, Placement, Replicas};
use crate::model::host::Host;
use crate::model::names::{HostName, InstanceName};

use super::seen::{Fleet, UnknownHosts};
use super::{PlanInput, under_way};

/// A host other than those, where the instance was seen last and may run: it does not answer, or it left git's inventory and
/// nobody said that the instance is gone with it.
pub(super) fn last_seen<'a>(
    input: &PlanInput<'a>,
    unknown: &UnknownHosts<'_>,
    instance: &InstanceName,
    other_than: &[&HostName],
) -> Option<&'a HostName> {
    let unasked = |host: &HostName| unknown.contains_key(host) || is_undeclared(input, host);
    input.holds.last_seen.on(instance).find(|host| !other_than.contains(host) && unasked(host))
}

/// What was seen last on hosts that left git's inventory, and may run there.
pub(super) fn undeclared<'a>(
    input: &PlanInput<'a>,
) -> impl Iterator<Item = (&'a InstanceName, &'a HostName)> {
    let hosts = &input.desired.hosts;
    input.holds.last_seen.iter().filter(|(_, host)| !hosts.contains_key(*host))
}

fn is_undeclared(input: &PlanInput<'_>, host: &HostName) -> bool {
    !input.desired.hosts.contains_key(host)
}

/// Why an instance gets no seat but where it stands, if it does: it may stand on a host nobody can ask, and counts as present
/// there.
pub(super) fn why(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    app: &App,
    placement: &Placement,
    hosts: &[&Host],
    instance: &InstanceName,
) -> Option<String> {
    if let Some(host) = fleet.unreadable.get(instance).and_then(|hosts| hosts.first()) {
        return Some(format!("could not be read on {host}: it counts as running there (A1, C8)"));
    }
    let standing: Vec<&HostName> = fleet.standing(instance).iter().map(|owned| owned.host).collect();
    if let Some(host) = under_way::of_instance(input, instance).and_then(|begun| begun.change.host())
        && fleet.unknown_hosts.contains_key(host)
    {
        return Some(format!(
            "is being changed on {host}, which is unknown: it counts as running there (C8)"
        ));
    }
    if let Some(host) = last_seen(input, &fleet.unknown_hosts, instance, &standing) {
        return Some(match is_undeclared(input, host) {
            true => format!(
                "was last seen on {host}, which is not declared any more: it counts as running there (B2, C8)"
            ),
            false => format!("was last seen on {host}, which is unknown: it counts as running there (C8)"),
        });
    }
    // It stands where it can be asked, or did when that host was asked last.
    if !standing.is_empty() || input.holds.last_seen.on(instance).next().is_some() {
        return None;
    }
    if let Some(adopted) = app.adopted.get(&instance.slot)
        && fleet.unknown_hosts.contains_key(&adopted.host)
    {
        let host = &adopted.host;
        return Some(format!(
            "is taken over from {adopted}, and {host} is unknown: it counts as running there (B4)"
        ));
    }
    if input.holds.memory_complete || placement.replicas == Replicas::EveryHost {
        return None;
    }
    never_seen(input, fleet, app, placement, hosts)
}

/// Without a complete memory it may stand on any host that could have run it; where two at once are never right, also on hosts
/// that an earlier selector may have chosen.
fn never_seen(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    app: &App,
    placement: &Placement,
    hosts: &[&Host],
) -> Option<String> {
    let serves = |host: &HostName| {
        input.desired.hosts.get(host).is_some_and(|h| h.environments.contains(&app.key.environment))
    };
    let chosen = |host: &HostName| hosts.iter().any(|h| h.name == *host);
    let fixed = |source: &AddressSource| match source {
        AddressSource::Fixed(_) => true,
        AddressSource::Pool(_) => false,
    };
    let strict = placement.exclusive || app.leases.values().any(fixed);
    let mut unknown = fleet.unknown_hosts.keys();
    unknown.find(|host| if strict { serves(host) } else { chosen(host) }).map(|host| {
        format!("may run on {host}, which is unknown and was not seen since the state began (C8, H)")
    })
}
