//! What an interrupted replacement left behind, told by names alone: no journal is needed to be right again (D5).

use std::collections::BTreeMap;

use crate::model::drift::{Kind, Nature};
use crate::model::names::{ContainerName, HostName, InstanceName};
use crate::model::observed::{Container, Engine, Seen};
use crate::model::ownership::{ASIDE, Belongs, PlaceInReplacement};
use crate::model::plan::{Action, Change, Expect, Step, Verb};
use crate::model::secrecy::ContentHash;
use crate::model::units::TimeSpan;

use super::addresses::Target;
use super::draft::{Draft, subject};
use super::place::Seat;
use super::seen::{Fleet, Owned, serves};
use super::{PlanInput, steps, under_way, volumes};

/// A new one that never took its place goes; an old one comes back where its successor is missing, else it goes.
pub(super) fn recover(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    seats: &BTreeMap<InstanceName, Seat>,
    draft: &mut Draft,
) {
    for (instance, owned) in &fleet.owned {
        // Another environment's instances are not this plan's to judge.
        if !input.desired.judges(&instance.key.environment) {
            continue;
        }
        // What is half way through is nobody's leftover.
        if under_way::of_instance(input, instance).is_some() {
            continue;
        }
        for one in owned {
            match one.place {
                PlaceInReplacement::Current => {}
                PlaceInReplacement::Next => {
                    let why = "a replacement was interrupted before it took its place";
                    remove(input, instance, one, why, draft);
                }
                // It moves to another host: the old one goes when its successor stands there, and is not put back.
                PlaceInReplacement::Aside if leaves(seats, instance, one) => {}
                PlaceInReplacement::Aside => match one.left_behind {
                    Some(last) => {
                        let (name, host) = (&one.container.name, one.host);
                        draft.notes.push(format!(
                            "{name} on {host} stays as it is: {instance} was last seen on {last}, and may run there (C8)"
                        ));
                    }
                    None => aside(input, fleet, seats, instance, one, draft),
                },
            }
        }
    }
}

fn leaves(seats: &BTreeMap<InstanceName, Seat>, instance: &InstanceName, one: &Owned<'_>) -> bool {
    seats.get(instance).is_some_and(|seat| seat.host != *one.host && seat.moves_from.contains(one.host))
}

fn aside(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    seats: &BTreeMap<InstanceName, Seat>,
    instance: &InstanceName,
    old: &Owned<'_>,
    draft: &mut Draft,
) {
    let renamed = fleet.renamed.contains_key(instance);
    let Some(engine) = fleet.engines.get(old.host) else { return };
    match engine.containers.get(&instance.container()) {
        // What stands in its place could not be read: nothing is done (A1).
        Some(Seen::Unknown { .. }) => {}
        // Somebody renamed its successor, which may run all the same: it is told where seats are given (C8).
        None if renamed && seats.contains_key(instance) => {}
        // What has no seat gets its name back to go as everything does (B2), and is not started beside the other one.
        None => put_back(input, engine, instance, old, !renamed, draft),
        Some(Seen::Known(successor)) if serves(successor) => {
            remove(input, instance, old, "its successor runs well", draft);
        }
        // The successor has its time, and the old one comes back where it is not well by then; see `comes_back`.
        Some(Seen::Known(_)) => {}
    }
}

fn change(
    instance: &InstanceName,
    name: &ContainerName,
    host: &HostName,
    why: &str,
    container: &Container,
    steps: Vec<Step>,
) -> Change {
    Change {
        action: Verb::Recover,
        subject: subject(Kind::Container, name, host),
        app: Some(instance.key.clone()),
        because: vec![why.to_owned()],
        from: Some(ContentHash::of(container.id.as_bytes())),
        to: None,
        steps,
        undo: Vec::new(),
        after: Vec::new(),
        destructive: false,
        interrupts: false,
    }
}

fn remove(input: &PlanInput<'_>, instance: &InstanceName, one: &Owned<'_>, why: &str, draft: &mut Draft) {
    let name = &one.container.name;
    let steps = steps::remove(name, one.container, TimeSpan::from_secs(10));
    let mut change = change(instance, name, one.host, why, one.container, steps);
    change.because.extend(volumes::left_behind(one.container));
    draft.heal(input, Nature::Extra, change);
}

fn put_back(
    input: &PlanInput<'_>,
    engine: &Engine,
    instance: &InstanceName,
    old: &Owned<'_>,
    starts: bool,
    draft: &mut Draft,
) {
    let name = instance.container();
    let mut steps = under_its_name(engine, old.host, &name, old.container, draft);
    steps.retain(|step| starts || !matches!(step.action, Action::StartContainer { .. }));
    let why = "a replacement was interrupted after the old one was moved aside";
    draft.heal(input, Nature::Missing, change(instance, &name, old.host, why, old.container, steps));
}

/// A replacement was interrupted, and its new container never came to serve: the old one, which still stands aside, comes back
/// (D2). The steps for it; `None` where none of ours stands there.
pub(super) fn comes_back(
    input: &PlanInput<'_>,
    engine: &Engine,
    target: &Target,
    live: &Container,
    draft: &Draft,
) -> Option<Vec<Step>> {
    let name = target.instance.container();
    let aside = steps::suffixed(&name, ASIDE);
    let old = engine.containers.get(&aside)?.known()?;
    if let Belongs::Foreign { .. } = input.owner.container(&aside, &target.seat.host, &old.labels) {
        return None;
    }
    let mut steps = steps::remove(&live.name, live, steps::stop_timeout(&target.spec));
    steps.extend(under_its_name(engine, &target.seat.host, &name, old, draft));
    Some(steps)
}

/// What was moved aside gets its name back, and is started. Where a network that it was on is gone, or goes with this plan, no
/// engine starts it: then the next look puts it on the one that is there.
fn under_its_name(
    engine: &Engine,
    host: &HostName,
    name: &ContainerName,
    old: &Container,
    draft: &Draft,
) -> Vec<Step> {
    let id = || Expect::Id(old.id.clone());
    let gone = old.live.networks.iter().any(|(network, attachment)| {
        let there = engine.networks.get(network).and_then(Seen::known);
        let another =
            attachment.network.as_ref().is_some_and(|was| there.is_none_or(|there| there.id != *was));
        another || draft.changes.iter().any(|change| change.subject == subject(Kind::Network, network, host))
    });
    let (aside, to) = (steps::suffixed(name, ASIDE), name.clone());
    let mut steps = vec![Step { action: Action::RenameContainer { name: aside, to }, expect: id() }];
    if !gone {
        steps.push(Step { action: Action::StartContainer { name: name.clone() }, expect: id() });
    }
    steps
}
