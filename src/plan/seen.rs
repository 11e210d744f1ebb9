//! Who is there: every observed container with what its labels prove (B1).

use std::collections::BTreeMap;

use crate::model::adoption;
use crate::model::app::App;
use crate::model::drift::{Kind, Nature, Subject};
use crate::model::names::{HostName, InstanceName};
use crate::model::observed::{Container, Engine, Health, RunState, Seen};
use crate::model::ownership::{Belongs, PlaceInReplacement};
use crate::model::plan::Unknown;

use super::draft::{Draft, subject};
use super::renamed::Renamed;
use super::{PlanInput, elsewhere};

/// A container that is ours, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Owned<'a> {
    pub host: &'a HostName,
    pub container: &'a Container,
    pub place: PlaceInReplacement,
    /// Ours by `adopt = true` and its name in git alone (B4): never pruned.
    pub adopted: bool,
    /// It does not run, or was moved aside, and the instance may run on this other host that nobody can ask: it is not started or
    /// put back, and nothing is built on it (C8).
    pub left_behind: Option<&'a HostName>,
}

/// Hosts that could not be read, and why.
pub(super) type UnknownHosts<'a> = BTreeMap<&'a HostName, &'a str>;

/// The observed fleet, sorted by whose it is.
pub(super) struct Fleet<'a> {
    pub engines: BTreeMap<&'a HostName, &'a Engine>,
    pub unknown_hosts: UnknownHosts<'a>,
    pub owned: BTreeMap<InstanceName, Vec<Owned<'a>>>,
    /// What may run with an instance's labels under another name, by that instance.
    pub renamed: BTreeMap<InstanceName, Vec<Renamed<'a>>>,
    /// Hosts with a container of the instance (or one of its replacement) that could not be read: it counts as
    /// present there (A1, C8).
    pub unreadable: BTreeMap<InstanceName, Vec<&'a HostName>>,
}

impl<'a> Fleet<'a> {
    pub fn see(input: &PlanInput<'a>) -> Self {
        let mut fleet = Self {
            engines: BTreeMap::new(),
            unknown_hosts: BTreeMap::new(),
            owned: BTreeMap::new(),
            renamed: BTreeMap::new(),
            unreadable: BTreeMap::new(),
        };
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
            for (name, seen) in &engine.containers {
                match seen {
                    Seen::Known(container) => {
                        if let Some((instance, owned)) = ours(input, &fleet.unknown_hosts, host, container) {
                            fleet.owned.entry(instance).or_default().push(owned);
                        } else if let Some(instance) = input.owner.claimed(host, &container.labels)
                            && container.may_run()
                        {
                            fleet.renamed.entry(instance).or_default().push(Renamed { host, container });
                        }
                    }
                    Seen::Unknown { .. } => {
                        if let Some(instance) = adoption::by_name_alone(input.desired, host, name) {
                            fleet.unreadable.entry(instance).or_default().push(host);
                        }
                    }
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

    /// As `current`, but for what was left behind; on a host where a replacement was interrupted, the one that was moved aside.
    pub fn standing(&self, instance: &InstanceName) -> Vec<Owned<'a>> {
        let all = self.owned.get(instance).map(Vec::as_slice).unwrap_or_default();
        let is = |o: &Owned<'_>, place| o.place == place;
        let has_current =
            |host: &HostName| all.iter().any(|o| o.host == host && is(o, PlaceInReplacement::Current));
        let stands = |o: &&Owned<'_>| {
            o.left_behind.is_none()
                && (is(o, PlaceInReplacement::Current)
                    || is(o, PlaceInReplacement::Aside) && !has_current(o.host))
        };
        all.iter().filter(stands).copied().collect()
    }

    /// What stands still under the instance's name, and is not started while it may run elsewhere (C8).
    pub fn tell_left_behind(&self, app: &App, instance: &InstanceName, draft: &mut Draft) {
        for one in self.current(instance) {
            let Some(elsewhere) = one.left_behind else { continue };
            let why = format!("{instance} may run on {elsewhere}: it is not started beside it (C8)");
            let nature = Nature::NotRunning("it does not run".to_owned());
            draft.leave(subject(Kind::Container, instance, one.host), Some(app.key.clone()), nature, why);
        }
    }

    /// The one that may run under another name, where none stands under the instance's own.
    pub fn renamed(&self, instance: &InstanceName) -> Option<Renamed<'a>> {
        let stands = self.current(instance).next().is_some() || self.unreadable.contains_key(instance);
        self.renamed.get(instance).filter(|_| !stands)?.first().copied()
    }

    /// How many instances run under their own names: what B3 takes shares of.
    pub fn instances(&self) -> usize {
        let current = |o: &&Owned<'_>| o.place == PlaceInReplacement::Current;
        self.owned.values().flatten().filter(current).count()
    }

    pub fn tell_unknown(&self, input: &PlanInput<'_>, draft: &mut Draft) {
        let away = input.holds.last_seen.iter().filter(|(_, host)| self.unknown_hosts.contains_key(*host));
        let unseen = away.map(|(instance, _)| instance).chain(self.unreadable.keys());
        draft.waiting.extend(unseen.map(|instance| instance.key.clone()));
        for (host, why) in &self.unknown_hosts {
            let subject = Subject::on_host(Kind::Host, host, host);
            draft.unknown.push(Unknown { subject, why: (*why).to_owned() });
        }
        for (host, engine) in &self.engines {
            let mut tell = |kind, name: String, why: &str| {
                let subject = Subject::on_host(kind, name, host);
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

/// Ours by its labels (B1), or by its name and `adopt = true` (B4).
fn ours<'a>(
    input: &PlanInput<'a>,
    unknown: &UnknownHosts<'_>,
    host: &'a HostName,
    container: &'a Container,
) -> Option<(InstanceName, Owned<'a>)> {
    match input.owner.container(&container.name, host, &container.labels) {
        Belongs::Ours(owned) => {
            let place = owned.place;
            let idle = match place {
                PlaceInReplacement::Aside => true,
                PlaceInReplacement::Current => !runs(container),
                PlaceInReplacement::Next => false,
            };
            let elsewhere = elsewhere::last_seen(input, unknown, &owned.instance, &[host]);
            let left_behind = elsewhere.filter(|_| idle);
            Some((owned.instance, Owned { host, container, place, adopted: false, left_behind }))
        }
        Belongs::Foreign { .. } => {
            let last_seen = &input.holds.last_seen;
            let (instance, place) =
                adoption::adopted(input.desired, input.observed, last_seen, host, container)?;
            // What it was adopted from is not the instance while that may run under its own name (C8); what runs under that name
            // here stands legally.
            let itself = container.name == instance.container() && runs(container);
            let elsewhere = elsewhere::last_seen(input, unknown, &instance, &[host]);
            let owned = Owned { host, container, place, adopted: true, left_behind: None };
            (itself || elsewhere.is_none()).then_some((instance, owned))
        }
    }
}

/// It runs, or its engine is about to start it again.
fn runs(container: &Container) -> bool {
    container.state.is_up() || matches!(container.state, RunState::Restarting { .. })
}

/// It runs, and nothing says that it is not well.
pub(super) fn serves(container: &Container) -> bool {
    match &container.state {
        RunState::Running { health: Health::Unchecked | Health::Healthy, .. } => true,
        RunState::Running { health: Health::Starting | Health::Unhealthy { .. }, .. }
        | RunState::Created
        | RunState::Paused
        | RunState::Restarting { .. }
        | RunState::Removing
        | RunState::Exited { .. }
        | RunState::Dead => false,
    }
}
