//! Who is there: every observed container with what its labels prove (B1).

use std::collections::BTreeMap;

use crate::model::drift::{Kind, Subject};
use crate::model::names::{HostName, InstanceName};
use crate::model::observed::{Container, Engine, Seen};
use crate::model::ownership::{Belongs, PlaceInReplacement};
use crate::model::plan::Unknown;

use super::PlanInput;
use super::draft::Draft;

/// A container that is ours, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Owned<'a> {
    pub host: &'a HostName,
    pub container: &'a Container,
    pub place: PlaceInReplacement,
}

/// The observed fleet, sorted by whose it is.
pub(super) struct Fleet<'a> {
    pub engines: BTreeMap<&'a HostName, &'a Engine>,
    pub unknown_hosts: BTreeMap<&'a HostName, &'a str>,
    pub owned: BTreeMap<InstanceName, Vec<Owned<'a>>>,
}

impl<'a> Fleet<'a> {
    pub fn see(input: &PlanInput<'a>) -> Self {
        let mut fleet =
            Self { engines: BTreeMap::new(), unknown_hosts: BTreeMap::new(), owned: BTreeMap::new() };
        for host in input.desired.hosts.keys() {
            match input.observed.hosts.get(host) {
                Some(Seen::Known(engine)) => {
                    fleet.engines.insert(host, engine);
                }
                Some(Seen::Unknown { why }) => {
                    fleet.unknown_hosts.insert(host, why);
                }
                None => {
                    fleet.unknown_hosts.insert(host, "it was not read");
                }
            }
        }
        for (host, engine) in &fleet.engines {
            for container in engine.containers.values().filter_map(Seen::known) {
                if let Belongs::Ours(owned) = input.owner.container(&container.name, host, &container.labels)
                {
                    let seen = Owned { host, container, place: owned.place };
                    fleet.owned.entry(owned.instance).or_default().push(seen);
                }
            }
        }
        fleet
    }

    /// Where the instance runs under its own name, on hosts that answered.
    pub fn current<'s>(&'s self, instance: &InstanceName) -> impl Iterator<Item = Owned<'a>> + 's {
        self.owned
            .get(instance)
            .into_iter()
            .flatten()
            .copied()
            .filter(|owned| owned.place == PlaceInReplacement::Current)
    }

    /// How many instances run under their own names: what B3 takes shares of.
    pub fn instances(&self) -> usize {
        let current = |o: &&Owned<'_>| o.place == PlaceInReplacement::Current;
        self.owned.values().flatten().filter(current).count()
    }

    pub fn tell_unknown(&self, draft: &mut Draft) {
        for (host, why) in &self.unknown_hosts {
            let subject = Subject { kind: Kind::Host, name: host.to_string(), host: Some((*host).clone()) };
            draft.unknown.push(Unknown { subject, why: (*why).to_owned() });
        }
        for (host, engine) in &self.engines {
            let mut tell = |kind, name: String, why: &str| {
                let subject = Subject { kind, name, host: Some((*host).clone()) };
                draft.unknown.push(Unknown { subject, why: why.to_owned() });
            };
            for (name, seen) in &engine.containers {
                if let Seen::Unknown { why } = seen {
                    tell(Kind::Container, name.to_string(), why);
                }
            }
            for (name, seen) in &engine.networks {
                if let Seen::Unknown { why } = seen {
                    tell(Kind::Network, name.clone(), why);
                }
            }
            for (name, seen) in &engine.volumes {
                if let Seen::Unknown { why } = seen {
                    tell(Kind::Volume, name.to_string(), why);
                }
            }
        }
    }
}
