//! Containers that trueup did not make and that git says to take over, without touching them (B4).
//!
//! A container cannot be relabelled, and renaming it would change the name by which others reach it; so until its next
//! replacement it stands for its instance under the name it has (docs/decisions/0012).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::app::{App, Replicas, Runtime};
use super::desired::Desired;
use super::last_seen::LastSeen;
use super::names::{ContainerName, HostName, InstanceName};
use super::observed::{Container, Engine, Observed, Seen};
use super::ownership::{ASIDE, NEXT, PREFIX, PlaceInReplacement};

/// A container by its own name, on its host: `shop-web-1@rack-a`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Adopted {
    pub container: ContainerName,
    pub host: HostName,
}

impl fmt::Display for Adopted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.container, self.host)
    }
}

impl FromStr for Adopted {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (container, host) = text.split_once('@').ok_or_else(|| {
            format!("{text:?} is no container on a host: write CONTAINER@HOST, such as \"shop-web-1@rack-a\"")
        })?;
        Ok(Self {
            container: container.parse().map_err(|e| format!("{e}"))?,
            host: host.parse().map_err(|e| format!("{e}"))?,
        })
    }
}

serialize_as_text!(Adopted);

/// The instance for which a container that is not proven ours stands, and where it stands in a replacement.
///
/// `None`: git does not name it, it carries somebody's trueup labels, or what was adopted is spent.
pub fn adopted(
    desired: &Desired,
    observed: &Observed,
    last_seen: &LastSeen,
    host: &HostName,
    container: &Container,
) -> Option<(InstanceName, PlaceInReplacement)> {
    if container.labels.keys().any(|label| label.starts_with(PREFIX)) {
        return None;
    }
    if let Some(found) = by_own_name(desired, &container.name) {
        return Some(found);
    }
    let instance = stands_for(desired, observed, last_seen, host, (&container.name, Some(&container.id)))?;
    Some((instance, PlaceInReplacement::Current))
}

/// The instance for which a container of another name stands, told by its name and, where it could be read, its id.
///
/// What was adopted is spent once a container of the instance's own name was seen, or while the instance may run on another host
/// that nobody can ask (C8): somebody who starts the old one again does not get a second instance. While an instance moves to
/// another host both are there: then the old one is the instance as long as it is the very container that was seen as it before,
/// until it is gone (C8, B2). A stranger that took its name is not.
pub fn stands_for(
    desired: &Desired,
    observed: &Observed,
    last_seen: &LastSeen,
    host: &HostName,
    (name, id): (&ContainerName, Option<&str>),
) -> Option<InstanceName> {
    let instance = named(desired, host, name)?;
    let was_it = || last_seen.adopted(&instance, host).is_some_and(|was| id.is_none_or(|id| id == was));
    let moves = || was_it() && observed.engine(host).is_some_and(|engine| !has_own(engine, &instance));
    let unasked = |at: &HostName| at != host && observed.engine(at).is_none();
    let spent = observed.hosts.values().filter_map(Seen::known).any(|engine| has_own(engine, &instance))
        || last_seen.on(&instance).any(unasked);
    (!spent || moves()).then_some(instance)
}

/// Whether the instance stands there under its own name, or was moved aside for a replacement that has not ended.
fn has_own(engine: &Engine, instance: &InstanceName) -> bool {
    let aside = format!("{instance}{ASIDE}").parse::<ContainerName>();
    engine.containers.contains_key(&instance.container())
        || aside.is_ok_and(|aside| engine.containers.contains_key(&aside))
}

/// The containers of other names that stand for instances, by their ids: those that this look shows, and those that it cannot
/// show (A1). With them, where else those instances were seen last.
pub fn stand_ins(desired: &Desired, observed: &Observed, last_seen: &LastSeen) -> LastSeen {
    let mut found = LastSeen::default();
    for app in desired.apps.values() {
        for (slot, Adopted { container, host }) in &app.adopted {
            let instance = InstanceName { key: app.key.clone(), slot: *slot };
            found.extend(last_seen.on(&instance).map(|at| (instance.clone(), at.clone())));
            let before = || last_seen.adopted(&instance, host).map(str::to_owned);
            let id = match observed.engine(host).map(|engine| engine.containers.get(container)) {
                Some(Some(Seen::Known(there))) => {
                    let stands = adopted(desired, observed, last_seen, host, there);
                    stands.filter(|(of, _)| *of == instance).map(|_| there.id.clone())
                }
                Some(Some(Seen::Unknown { .. })) | None => before(),
                Some(None) => None,
            };
            if let Some(id) = id {
                found.note_adopted(instance, host.clone(), id);
            }
        }
    }
    found
}

/// The instance as which git takes over the container of this name on this host, whatever stands there.
pub fn named(desired: &Desired, host: &HostName, container: &ContainerName) -> Option<InstanceName> {
    let taking = desired.apps.values().filter(|app| !app.adopted.is_empty());
    taking.flat_map(|app| app.adopted.iter().map(move |(slot, adopted)| (app, *slot, adopted))).find_map(
        |(app, slot, adopted)| {
            let fits = adopted.host == *host && adopted.container == *container && has_slot(app, slot);
            fits.then(|| InstanceName { key: app.key.clone(), slot })
        },
    )
}

/// The instance that a container belongs to as far as its name tells, the names of a replacement and those that git takes
/// over included: all that is known of one that could not be inspected (A1).
pub fn by_name_alone(desired: &Desired, host: &HostName, name: &ContainerName) -> Option<InstanceName> {
    let text = name.as_str();
    let own = text.strip_suffix(ASIDE).or_else(|| text.strip_suffix(NEXT)).unwrap_or(text);
    let instance = own.parse().ok().filter(|instance: &InstanceName| instance.to_string() == own);
    instance.or_else(|| named(desired, host, name))
}

/// The name under which the instance stands on the host: its own, unless only the adopted one is there.
pub fn standing_name(engine: &Engine, host: &HostName, app: &App, slot: u32) -> ContainerName {
    let instance = InstanceName { key: app.key.clone(), slot };
    match app.adopted.get(&slot) {
        Some(adopted)
            if adopted.host == *host
                && !has_own(engine, &instance)
                && engine.containers.contains_key(&adopted.container) =>
        {
            adopted.container.clone()
        }
        Some(_) | None => instance.container(),
    }
}

/// A container with the instance's own name, or with the name that a replacement moved it aside to.
fn by_own_name(desired: &Desired, name: &ContainerName) -> Option<(InstanceName, PlaceInReplacement)> {
    let (own, place) = match name.as_str().strip_suffix(ASIDE) {
        Some(own) => (own, PlaceInReplacement::Aside),
        None => (name.as_str(), PlaceInReplacement::Current),
    };
    let instance: InstanceName = own.parse().ok()?;
    let app = desired.apps.get(&instance.key)?;
    (instance.to_string() == own && app.adopt && has_slot(app, instance.slot)).then_some((instance, place))
}

fn has_slot(app: &App, slot: u32) -> bool {
    match &app.runtime {
        Runtime::Host(placement) => match placement.replicas {
            Replicas::Count(count) => slot < count,
            Replicas::EveryHost => true,
        },
        Runtime::Swarm(_) => false,
    }
}

/// By slot; empty: containers with the instances' own names only.
pub type AdoptedBySlot = BTreeMap<u32, Adopted>;
