//! What is proven ours and no longer declared goes, in reverse order, last (B2); volumes never (B5).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::drift::{Kind, Nature, Subject};
use crate::model::names::{HostName, InstanceName};
use crate::model::observed::Seen;
use crate::model::ownership::{Belongs, PROTECT, PlaceInReplacement};
use crate::model::plan::{Action, Change, Expect, Step, Verb};
use crate::model::secrecy::ContentHash;
use crate::model::units::TimeSpan;

use super::draft::{Draft, subject};
use super::place::Seat;
use super::seen::{Fleet, Owned};
use super::{PlanInput, steps};

const HINT_PROTECTED: &str = "take `protect` away first, or remove the container by hand";

/// Containers first, then networks nobody is attached to.
pub(super) fn prune(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    seats: &BTreeMap<InstanceName, Seat>,
    draft: &mut Draft,
) {
    for (instance, owned) in &fleet.owned {
        for one in owned.iter().filter(|o| o.place == PlaceInReplacement::Current) {
            container(input, fleet, seats, instance, one, draft);
        }
    }
    for (host, engine) in &fleet.engines {
        for network in engine.networks.values().filter_map(Seen::known) {
            let ours = matches!(
                input.owner.object("network", &network.name, host, &network.labels),
                Belongs::Ours(())
            );
            let declared = input.desired.networks.keys().any(|name| name.as_str() == network.name);
            if ours && !declared {
                remove_network(input, host, network, draft);
            }
        }
    }
    hosts_out_of_the_inventory(input, draft);
}

fn container(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    seats: &BTreeMap<InstanceName, Seat>,
    instance: &InstanceName,
    one: &Owned<'_>,
    draft: &mut Draft,
) {
    // Another environment's instances are not this plan's to judge.
    if !input.desired.environments.contains_key(&instance.key.environment) {
        return;
    }
    let seat = seats.get(instance);
    if seat.is_some_and(|seat| seat.host == *one.host) {
        return;
    }
    let app = input.desired.apps.get(&instance.key);
    let subject = subject(Kind::Container, &one.container.name, one.host);
    // Declared, but without a seat: it was told as blocked, and what stands stays (C8).
    let declared = app.is_some_and(|app| is_declared(app, instance, fleet));
    let moves = seat.is_some_and(|seat| seat.moves_from.contains(one.host));
    if declared && !moves {
        return;
    }
    let protected = app.map_or_else(|| one.container.labels.contains_key(PROTECT), |app| app.protect);
    if protected && !moves {
        let why = "it is no longer declared, and protected (B2)".to_owned();
        draft.leave(subject.clone(), Some(instance.key.clone()), Nature::Extra, why.clone());
        draft.block(subject, Some(instance.key.clone()), why, HINT_PROTECTED);
        return;
    }
    let because = match (moves, app.is_some()) {
        (true, _) => "it moved to another host".to_owned(),
        (false, true) => "the app declares fewer instances".to_owned(),
        (false, false) => "the app is no longer declared".to_owned(),
    };
    let timeout = one.container.live.stop_timeout.unwrap_or(TimeSpan::from_secs(10));
    // A moved instance goes only when its successor stands.
    let after: BTreeSet<usize> = if moves {
        draft.numbers(|change| change.subject.name == instance.to_string() && change.action == Verb::Create)
    } else {
        BTreeSet::new()
    };
    if moves && after.is_empty() && !successor_stands(fleet, seat, instance) {
        return;
    }
    let change = Change {
        action: Verb::Remove,
        subject,
        app: Some(instance.key.clone()),
        because: vec![because],
        from: Some(ContentHash::of(one.container.id.as_bytes())),
        to: None,
        steps: steps::remove(&one.container.name, one.container, timeout),
        undo: Vec::new(),
        after: after.into_iter().collect(),
        destructive: !moves,
        interrupts: false,
    };
    draft.heal(input, Nature::Extra, change);
}

fn successor_stands(fleet: &Fleet<'_>, seat: Option<&Seat>, instance: &InstanceName) -> bool {
    seat.is_some_and(|seat| {
        fleet.current(instance).any(|o| *o.host == seat.host && o.container.state.is_running())
    })
}

/// Whether git declares this very slot.
fn is_declared(app: &crate::model::app::App, instance: &InstanceName, fleet: &Fleet<'_>) -> bool {
    use crate::model::app::{Replicas, Runtime};
    match &app.runtime {
        Runtime::Host(placement) => match placement.replicas {
            Replicas::Count(count) => instance.slot < count,
            // With hosts unknown, whose slot this is cannot be told.
            Replicas::EveryHost => !fleet.unknown_hosts.is_empty(),
        },
        Runtime::Swarm(_) => false,
    }
}

fn remove_network(
    input: &PlanInput<'_>,
    host: &HostName,
    network: &crate::model::observed::LiveNetwork,
    draft: &mut Draft,
) {
    let subject = subject(Kind::Network, &network.name, host);
    let leaving: BTreeSet<usize> = draft.numbers(|change| {
        change.action == Verb::Remove
            && change.subject.host.as_ref() == Some(host)
            && network.attached.contains(&change.subject.name)
    });
    let replaced: BTreeSet<usize> = draft.numbers(|change| {
        matches!(change.action, Verb::Replace | Verb::Update)
            && change.subject.host.as_ref() == Some(host)
            && network.attached.contains(&change.subject.name)
    });
    let after: Vec<usize> = leaving.union(&replaced).copied().collect();
    if after.len() < network.attached.len() {
        let why = "containers are still attached to it".to_owned();
        draft.leave(subject, None, Nature::Extra, why);
        return;
    }
    let change = Change {
        action: Verb::Remove,
        subject,
        app: None,
        because: vec!["it is no longer declared".to_owned()],
        from: Some(ContentHash::of(network.id.as_bytes())),
        to: None,
        steps: vec![Step {
            action: Action::RemoveNetwork { name: network.name.clone() },
            expect: Expect::Id(network.id.clone()),
        }],
        undo: Vec::new(),
        after,
        destructive: false,
        interrupts: false,
    };
    draft.heal(input, Nature::Extra, change);
}

/// A host that left the inventory while it still held instances cannot be left clean any more (B2).
fn hosts_out_of_the_inventory(input: &PlanInput<'_>, draft: &mut Draft) {
    let mut left: BTreeMap<&HostName, Vec<String>> = BTreeMap::new();
    for (instance, host) in &input.holds.last_seen {
        if !input.desired.hosts.contains_key(host) {
            left.entry(host).or_default().push(instance.to_string());
        }
    }
    for (host, instances) in left {
        let subject = Subject { kind: Kind::Host, name: host.to_string(), host: None };
        let reason =
            format!("it is no longer declared and was last seen running {} (B2)", instances.join(", "));
        draft.block(subject, None, reason, "declare it again with drain = true; remove it once it is empty");
    }
}
