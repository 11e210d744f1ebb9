//! What is proven ours and no longer declared goes, in reverse order, last (B2); volumes never (B5).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::app::{App, Replicas, Runtime};
use crate::model::drift::{Kind, Nature, Subject};
use crate::model::file::FileSet;
use crate::model::names::{ContainerName, HostName, InstanceName};
use crate::model::observed::{Engine, LiveNetwork, Seen};
use crate::model::ownership::{Belongs, PROTECT, PlaceInReplacement};
use crate::model::plan::{Action, Change, Expect, Step, Verb};
use crate::model::secrecy::ContentHash;
use crate::model::units::TimeSpan;

use super::addresses::Target;
use super::draft::{Draft, subject};
use super::place::Seat;
use super::seen::{Fleet, Owned, serves};
use super::surroundings::Around;
use super::{PlanInput, renamed, steps, surroundings, volumes};

const HINT_PROTECTED: &str =
    "declare the app again without `protect`, then take it away; or remove the container by hand";

pub(super) const HINT_UNREAD: &str = "see the host's engine: whose they are is plain once they can be read, and what is trueup's goes with its app";

/// Containers first, then networks nobody is attached to.
pub(super) fn prune(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    seats: &BTreeMap<InstanceName, Seat>,
    targets: &[Target],
    around: &Around,
    draft: &mut Draft,
) {
    let view = View { input, fleet, seats, targets, around };
    for (instance, owned) in &fleet.owned {
        // What is ours by adoption alone is somebody's own where git no longer names it (B4). What was moved aside on a
        // host that the instance leaves is not put back there.
        let leaves = |o: &Owned<'_>| seats.get(instance).is_some_and(|seat| seat.moves_from.contains(o.host));
        let goes = |o: &&Owned<'_>| match o.place {
            PlaceInReplacement::Current => !o.adopted || leaves(o),
            PlaceInReplacement::Aside => leaves(o),
            PlaceInReplacement::Next => false,
        };
        for one in owned.iter().filter(goes) {
            view.container(instance, one, draft);
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
                remove_network(input, host, engine, network, draft);
            }
        }
    }
    hosts_out_of_the_inventory(input, draft);
}

struct View<'a> {
    input: &'a PlanInput<'a>,
    fleet: &'a Fleet<'a>,
    seats: &'a BTreeMap<InstanceName, Seat>,
    targets: &'a [Target],
    around: &'a Around,
}

impl View<'_> {
    fn container(&self, instance: &InstanceName, one: &Owned<'_>, draft: &mut Draft) {
        // Another environment's instances are not this plan's to judge.
        if !self.input.desired.judges(&instance.key.environment) || self.is_unreadable(instance, one.host) {
            return;
        }
        let seat = self.seats.get(instance);
        if seat.is_some_and(|seat| seat.host == *one.host) {
            return;
        }
        let app = self.input.desired.apps.get(&instance.key);
        // Declared, but without a seat: it was told as blocked, and what stands stays (C8).
        let declared = app.is_some_and(|app| is_declared(app, instance, self.fleet));
        match seat.filter(|seat| seat.moves_from.contains(one.host)) {
            Some(seat) => self.moved(instance, one, seat, draft),
            None if declared => {}
            None => self.extra(instance, one, app.map(|app| &**app), draft),
        }
    }

    fn is_unreadable(&self, instance: &InstanceName, host: &HostName) -> bool {
        self.fleet.unreadable.get(instance).is_some_and(|hosts| hosts.contains(&host))
    }

    /// It has another seat: it goes when its successor stands, or first where two at once are never right.
    fn moved(&self, instance: &InstanceName, one: &Owned<'_>, seat: &Seat, draft: &mut Draft) {
        let successor = self.fleet.current(instance).find(|o| *o.host == seat.host);
        let target = self.targets.iter().find(|target| target.instance == *instance);
        let after = match (successor, target) {
            (Some(successor), _) if serves(successor.container) => BTreeSet::new(),
            (None, Some(target)) if target.gone_first => {
                let blocked = draft.blocked.iter().any(|b| b.app.as_ref() == Some(&instance.key));
                // Nothing goes for a successor that can't be made.
                if self.around.lacks.contains_key(instance) || blocked {
                    return;
                }
                if let Some(copy) = self.fleet.renamed.get(instance).and_then(|all| all.first()) {
                    renamed::tell_copy(&target.app, instance, one.host, *copy, draft);
                    return;
                }
                self.around.waits_for.get(instance).cloned().unwrap_or_default()
            }
            (_, _) => {
                let starts =
                    |verb| matches!(verb, Verb::Create | Verb::Start | Verb::Replace | Verb::Restart);
                let after = draft.numbers(|change| {
                    change.subject == subject(Kind::Container, instance, &seat.host) && starts(change.action)
                });
                if after.is_empty() {
                    return;
                }
                after
            }
        };
        let because = format!("it moves to {}", seat.host);
        let mut change = removal(instance, one, because, self.drains(instance, one), after);
        change.interrupts = successor.is_none() && target.is_some_and(|target| target.gone_first);
        draft.heal(self.input, Nature::Extra, change);
    }

    fn extra(&self, instance: &InstanceName, one: &Owned<'_>, app: Option<&App>, draft: &mut Draft) {
        let subject = subject(Kind::Container, &one.container.name, one.host);
        let labelled = one.container.labels.contains_key(PROTECT);
        let unprotected = self.input.holds.unprotected.contains(&instance.key);
        if app.map_or(labelled && !unprotected, |app| app.protect) {
            let why = "it is no longer declared, and protected (B2)".to_owned();
            draft.keep(subject, instance.key.clone(), Nature::Extra, why, HINT_PROTECTED);
            return;
        }
        let because = match app {
            Some(_) => "the app declares fewer instances",
            None => "the app is no longer declared",
        };
        let nginx = FileSet::Nginx.to_string();
        // Traffic leaves first: the files without it are installed before it goes.
        let after =
            draft.numbers(|change| change.subject.kind == Kind::Files && change.subject.name == nginx);
        let drains = self.drains(instance, one);
        let mut change = removal(instance, one, because.to_owned(), drains, after);
        change.destructive = true;
        draft.heal(self.input, Nature::Extra, change);
    }

    /// How long its requests may take to end, where it gets any. A successor that serves under the same name keeps its
    /// traffic, so then nothing is drained.
    fn drains(&self, instance: &InstanceName, one: &Owned<'_>) -> Option<TimeSpan> {
        let app = self.input.desired.apps.get(&instance.key)?;
        let moves = self.seats.contains_key(instance);
        (app.upstream.is_some() && serves(one.container) && !moves).then_some(app.update.drain_timeout)
    }
}

fn removal(
    instance: &InstanceName,
    one: &Owned<'_>,
    because: String,
    drains: Option<TimeSpan>,
    after: BTreeSet<usize>,
) -> Change {
    let timeout = one.container.live.stop_timeout.unwrap_or(TimeSpan::from_secs(10));
    let drain = drains.map(|timeout| Step {
        action: Action::Drain { instance: instance.clone(), timeout },
        expect: Expect::Anything,
    });
    // What is adopted stands under a name of its own (B4); people are told of the instance, and nothing else is done to that
    // meanwhile.
    let own = instance.container();
    let other_name = one.adopted && one.place == PlaceInReplacement::Current && one.container.name != own;
    let name = if other_name { &own } else { &one.container.name };
    let stood_as = other_name.then(|| format!("it stands there as {} until now (B4)", one.container.name));
    let because = std::iter::once(because).chain(stood_as).chain(volumes::left_behind(one.container));
    Change {
        action: Verb::Remove,
        subject: subject(Kind::Container, name, one.host),
        app: Some(instance.key.clone()),
        because: because.collect(),
        from: Some(ContentHash::of(one.container.id.as_bytes())),
        to: None,
        steps: drain.into_iter().chain(steps::remove(&one.container.name, one.container, timeout)).collect(),
        undo: Vec::new(),
        after: after.into_iter().collect(),
        destructive: false,
        interrupts: false,
    }
}

/// Whether git declares this very slot.
fn is_declared(app: &App, instance: &InstanceName, fleet: &Fleet<'_>) -> bool {
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
    engine: &Engine,
    network: &LiveNetwork,
    draft: &mut Draft,
) {
    let subject = subject(Kind::Network, &network.name, host);
    let takes_off = |change: &Change, name: &str| {
        change.subject.host.as_ref() == Some(host) && leaves(change, &network.name, name)
    };
    let takes_one_off = |change: &Change| network.attached.iter().any(|name| takes_off(change, name));
    let after: Vec<usize> = draft.numbers(takes_one_off).into_iter().collect();
    let stays = |name: &String| draft.numbers(|change| takes_off(change, name)).is_empty();
    if network.attached.iter().any(stays) {
        still_attached(input, host, engine, network, subject, draft);
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

/// Whether the change makes the container leave the network, which git does not want. By its steps: what is adopted has another name
/// than its instance, of which the change tells (B4).
fn leaves(change: &Change, network: &str, container: &str) -> bool {
    change.steps.iter().any(|step| match (&step.action, change.action) {
        (Action::RemoveContainer { name }, Verb::Remove | Verb::Replace)
        | (Action::RenameContainer { name, .. }, Verb::Replace) => name.as_str() == container,
        (Action::Disconnect { name, network: from }, Verb::Update) => {
            from == network && name.as_str() == container
        }
        (_, _) => false,
    })
}

/// Instances of ours leave it with their apps, and it is removed by a later look; somebody else's container stays, and so
/// does the network: also for one that is stopped, which could not be started without it. What could not be read may be either (A1).
fn still_attached(
    input: &PlanInput<'_>,
    host: &HostName,
    engine: &Engine,
    network: &LiveNetwork,
    subject: Subject,
    draft: &mut Draft,
) {
    let (mut foreign, mut unread) = (Vec::new(), Vec::new());
    for attached in network.attached.iter().map(String::as_str) {
        let name = attached.parse::<ContainerName>();
        match name.ok().and_then(|name| engine.containers.get(&name)) {
            Some(Seen::Unknown { .. }) => unread.push(attached),
            Some(Seen::Known(container)) => {
                if let Belongs::Foreign { .. } =
                    input.owner.container(&container.name, host, &container.labels)
                {
                    foreign.push(attached);
                }
            }
            None => foreign.push(attached),
        }
    }
    let all: Vec<&str> = network.attached.iter().map(String::as_str).collect();
    let attached = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| surroundings::in_words(engine, name)).collect();
        format!("still attached to it: {}", names.join(", "))
    };
    draft.leave(subject.clone(), None, Nature::Extra, attached(&all));
    if !foreign.is_empty() {
        let why = format!(
            "it is no longer declared, and containers that are not trueup's are {}",
            attached(&foreign)
        );
        let hint = "detach them (docker network disconnect), then the network is removed";
        draft.block(subject.clone(), None, why, hint);
    }
    if !unread.is_empty() {
        let why = format!(
            "it is no longer declared, and containers that could not be read are {}",
            attached(&unread)
        );
        draft.block(subject, None, why, HINT_UNREAD);
    }
}

/// A host that left the inventory while it still held instances cannot be left clean any more (B2).
fn hosts_out_of_the_inventory(input: &PlanInput<'_>, draft: &mut Draft) {
    for (host, instances) in input.holds.last_seen.outside(input.desired) {
        let subject = Subject::of_fleet(Kind::Host, host);
        let reason = format!("it is no longer declared and was last seen running {instances} (B2)");
        draft.block(subject, None, reason, "declare it again with drain = true, and remove it once it is empty; where it is gone for good, run `trueup trust`");
    }
}
