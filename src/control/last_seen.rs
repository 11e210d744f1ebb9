//! Where instances are, noted for the time when a host cannot be asked (C8, D5, H).

use std::collections::BTreeSet;

use crate::model::adoption;
use crate::model::desired::Desired;
use crate::model::drift::Kind;
use crate::model::last_seen::LastSeen;
use crate::model::names::{HostName, InstanceName};
use crate::model::observed::{Container, Engine, Seen};
use crate::model::ownership::{Belongs, PlaceInReplacement};
use crate::model::plan::{Change, UnderWay, Verb};

use super::memory::{Holding, Holdings, Memory};
use super::pass::Pass;
use super::{ControlError, World};

/// An instance is about to come about: should the answer be lost, it counts as being there (C8, D5), beside where it stands. The
/// next look that the host answers sets it right.
pub(super) fn note_creation(world: &World, change: &Change) -> Result<(), ControlError> {
    if change.action != Verb::Create || change.subject.kind != Kind::Container {
        return Ok(());
    }
    let (Ok(instance), Some(host)) = (change.subject.name.parse(), change.host()) else { return Ok(()) };
    Ok(Memory::new(&*world.store).note_creation(&instance, host)?)
}

/// What a look teaches: what stands on a host that answered is there, and what does not stand there is not. Of a host that did
/// not answer, or left the inventory (B2), nothing is forgotten.
pub(super) fn note(world: &World, pass: &Pass) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    let answered = |host: &HostName| pass.observed.engine(host).is_some();
    // What is about to be created keeps its note until that has ended: its answer may yet be lost (D5).
    let under_way: BTreeSet<(InstanceName, &HostName)> = (pass.plan.under_way.iter())
        .filter_map(|begun: &UnderWay| Some((begun.instance()?, begun.subject.host.as_ref()?)))
        .collect();
    let before = memory.last_seen()?;
    let (unread, standing) = (unread(pass, &before), standing(world, pass, &before));
    let mut now = before.clone();
    now.retain(|instance, host| !answered(host) || under_way.contains(&(instance.clone(), host)));
    for (instance, host) in unread {
        match before.adopted(&instance, &host) {
            Some(id) => now.note_adopted(instance, host, id.to_owned()),
            None => now.note(instance, host),
        }
    }
    now.extend(standing.iter().map(|one| (one.instance.clone(), one.host.clone())));
    let mut holdings = Holdings::new();
    for Stands { instance, host, engine, container, adopted } in standing {
        // Who is remembered by its id goes with a move: a stranger is not, so not while the instance may be anywhere else.
        let was_it = before.adopted(&instance, host) == Some(&*container.id);
        if adopted && (was_it || now.on(&instance).all(|at| at == host)) {
            now.note_adopted(instance.clone(), host.clone(), container.id.clone());
        }
        let holding = holdings.entry((instance, host.clone())).or_insert_with(|| Holding::of(host));
        holding.add(engine, container);
    }
    memory.note_holdings(holdings)?;
    memory.set_last_seen(&before, &now)?;
    if !memory.is_complete()? && pass.desired.hosts.keys().all(answered) {
        memory.set_complete()?;
    }
    Ok(())
}

/// What is declared, in all environments: a look at some of them forgets nothing of the others.
const fn whole(pass: &Pass) -> &Desired {
    &pass.judged.enforced.desired
}

/// What counts as the instance on its host.
struct Stands<'a> {
    instance: InstanceName,
    host: &'a HostName,
    engine: &'a Engine,
    container: &'a Container,
    /// By its name in git and its id alone (B4).
    adopted: bool,
}

/// What stands for instances on hosts that answered: under their own names, or adopted (B4); what a replacement moved aside, or
/// had not put in place; and what runs with an instance's labels that stands nowhere by itself: somebody renamed it. What
/// stands under the instance's own name comes first.
fn standing<'a>(world: &World, pass: &'a Pass, before: &LastSeen) -> Vec<Stands<'a>> {
    let (owner, desired) = (world.owner(&pass.desired.fleet), whole(pass));
    let (mut current, mut renamed, mut aside) = (Vec::new(), Vec::new(), Vec::new());
    for (host, engine) in &pass.observed.hosts {
        let Some(engine) = engine.known() else { continue };
        for container in engine.containers.values().filter_map(Seen::known) {
            let found = match owner.container(&container.name, host, &container.labels) {
                Belongs::Ours(owned) => Some((owned.instance, owned.place)),
                Belongs::Foreign { .. } => {
                    adoption::adopted(desired, &pass.observed, before, host, container)
                }
            };
            let stands = |instance: InstanceName| {
                let named = adoption::named(desired, host, &container.name).as_ref() == Some(&instance);
                let adopted = named && container.name != instance.container();
                Stands { instance, host, engine, container, adopted }
            };
            match found {
                Some((instance, PlaceInReplacement::Current)) => current.push(stands(instance)),
                Some((instance, PlaceInReplacement::Aside | PlaceInReplacement::Next)) => {
                    aside.push(stands(instance));
                }
                None => {
                    let claimed = owner.claimed(host, &container.labels);
                    renamed.extend(claimed.filter(|_| container.may_run()).map(stands));
                }
            }
        }
    }
    // While it stands by itself, what has its labels too is a copy. What is adopted has no labels that could be copied.
    let itself: BTreeSet<InstanceName> =
        current.iter().filter(|one| !one.adopted).map(|one| one.instance.clone()).collect();
    renamed.retain(|one| !itself.contains(&one.instance));
    current.into_iter().chain(renamed).chain(aside).collect()
}

/// What could not be read by itself on a host that answered: it counts as being there (A1), where it is one that git declares or
/// that was there before.
fn unread(pass: &Pass, before: &LastSeen) -> Vec<(InstanceName, HostName)> {
    let mut unread = Vec::new();
    for (host, engine) in &pass.observed.hosts {
        let Some(engine) = engine.known() else { continue };
        let names = engine.containers.iter().filter(|(_, seen)| seen.known().is_none());
        let instances = names.filter_map(|(name, _)| adoption::by_name_alone(whole(pass), host, name));
        let ours = instances.filter(|i| whole(pass).apps.contains_key(&i.key) || before.is_on(i, host));
        unread.extend(ours.map(|instance| (instance, host.clone())));
    }
    unread
}
