//! Where instances were seen last, for the time when a host cannot be asked (C8, B2).

use std::collections::BTreeMap;

use super::desired::Desired;
use super::names::{HostName, InstanceName};

/// The hosts of an instance; where an adopted container of another name stood for it there (B4), with that one's id.
pub type Hosts = BTreeMap<HostName, Option<String>>;

/// By instance, the hosts where it was seen, or was about to be made, and that have not been seen without it since. It may run
/// on each of them: one that moves has two for a while.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastSeen(BTreeMap<InstanceName, Hosts>);

impl LastSeen {
    /// What is known of who stood for it there stays known.
    pub fn note(&mut self, instance: InstanceName, host: HostName) {
        self.0.entry(instance).or_default().entry(host).or_default();
    }

    /// It stands there as the adopted container with this id.
    pub fn note_adopted(&mut self, instance: InstanceName, host: HostName, id: String) {
        self.0.entry(instance).or_default().insert(host, Some(id));
    }

    pub fn on(&self, instance: &InstanceName) -> impl Iterator<Item = &HostName> {
        self.0.get(instance).into_iter().flat_map(BTreeMap::keys)
    }

    /// The id of the adopted container that stood for the instance on the host.
    pub fn adopted(&self, instance: &InstanceName, host: &HostName) -> Option<&str> {
        self.0.get(instance)?.get(host)?.as_deref()
    }

    /// Every adopted container that stood for an instance on a host, by its id.
    pub fn ids(&self) -> impl Iterator<Item = (&InstanceName, &HostName, &str)> {
        let all = self.0.iter().flat_map(|(instance, hosts)| hosts.iter().map(move |on| (instance, on)));
        all.filter_map(|(instance, (host, id))| Some((instance, host, id.as_deref()?)))
    }

    pub fn is_on(&self, instance: &InstanceName, host: &HostName) -> bool {
        self.on(instance).any(|on| on == host)
    }

    /// Every instance with each of its hosts.
    pub fn iter(&self) -> impl Iterator<Item = (&InstanceName, &HostName)> {
        self.0.iter().flat_map(|(instance, hosts)| hosts.keys().map(move |host| (instance, host)))
    }

    pub fn retain(&mut self, mut stays: impl FnMut(&InstanceName, &HostName) -> bool) {
        self.0.retain(|instance, hosts| {
            hosts.retain(|host, _| stays(instance, host));
            !hosts.is_empty()
        });
    }

    /// By host that is not declared any more, what it was last seen running, in words (B2).
    pub fn outside(&self, desired: &Desired) -> BTreeMap<&HostName, String> {
        let mut outside: BTreeMap<&HostName, Vec<String>> = BTreeMap::new();
        for (instance, host) in self.iter().filter(|(_, host)| !desired.hosts.contains_key(*host)) {
            outside.entry(host).or_default().push(instance.to_string());
        }
        outside.into_iter().map(|(host, instances)| (host, instances.join(", "))).collect()
    }

    /// Instances whose hosts are others by now, with all that they have; `None`: it is nowhere any more.
    pub fn news<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a InstanceName, Option<&'a Hosts>)> {
        let gone = before.0.keys().filter(|instance| !self.0.contains_key(*instance));
        let moved = self.0.iter().filter(|(instance, hosts)| before.0.get(*instance) != Some(*hosts));
        gone.map(|instance| (instance, None)).chain(moved.map(|(instance, hosts)| (instance, Some(hosts))))
    }
}

impl From<BTreeMap<InstanceName, Hosts>> for LastSeen {
    fn from(all: BTreeMap<InstanceName, Hosts>) -> Self {
        Self(all)
    }
}

impl Extend<(InstanceName, HostName)> for LastSeen {
    fn extend<T: IntoIterator<Item = (InstanceName, HostName)>>(&mut self, all: T) {
        all.into_iter().for_each(|(instance, host)| self.note(instance, host));
    }
}

impl FromIterator<(InstanceName, HostName)> for LastSeen {
    fn from_iter<T: IntoIterator<Item = (InstanceName, HostName)>>(all: T) -> Self {
        let mut seen = Self::default();
        seen.extend(all);
        seen
    }
}
