//! The documents of what outlives a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::last_seen::Hosts;
use crate::model::names::{EnvironmentName, HostName, Revision};
use crate::model::observed::{Container, Engine, Seen};
use crate::model::permission::Permitted;
use crate::model::units::Timestamp;
use crate::observe::Asked;

/// The revision that is enforced until a better one is taken (A2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastGood {
    pub revision: Revision,
    /// When it was taken.
    pub since: Timestamp,
    /// A newer head that was not taken, and why.
    pub refused: Option<(Revision, String)>,
    /// Since when a newer head is refused, whichever it is.
    #[serde(default)]
    pub refused_since: Option<Timestamp>,
    /// Since when the repository itself cannot be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable_since: Option<Timestamp>,
    /// How the revision got its leave; state files of earlier releases knew only the mode `branch`.
    #[serde(default)]
    pub by: Permitted,
}

impl LastGood {
    /// Taken just now, with nothing newer refused.
    pub fn new(revision: Revision, since: Timestamp, by: Permitted) -> Self {
        Self { revision, since, refused: None, refused_since: None, unreachable_since: None, by }
    }
}

/// A stop asked for by a person, for an app or for the whole fleet (key `*`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub since: Timestamp,
    /// `None`: until `trueup resume`.
    pub until: Option<Timestamp>,
    pub reason: String,
}

/// How often healing an object was tried without its becoming stable (D3), and what the last plan for it was (D7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    pub count: u32,
    pub last: Timestamp,
    /// The change's promise (D11): the same one again after success is a loop.
    pub promise: String,
    /// How often in a row the same promise was carried out with success.
    pub same: u32,
    pub because: Vec<String>,
    /// How the last one failed; `None`: it succeeded and was wanted again.
    #[serde(default)]
    pub error: Option<String>,
}

/// When something wrong was seen first, and among which environments was looked; `None`: all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstSeen {
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<BTreeSet<EnvironmentName>>,
}

/// Whom a look asked, at which revision of which repository, and within which environments; `None`: all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastAsked {
    pub source: String,
    pub revision: Revision,
    pub within: Option<BTreeSet<EnvironmentName>>,
    pub asked: Asked,
}

/// When a report was made last, and up to when the last one that could be written told what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReport {
    pub at: Timestamp,
    #[serde(default)]
    pub from: Option<Timestamp>,
}

impl LastReport {
    pub fn begun(now: Timestamp) -> Self {
        Self { at: now, from: Some(now) }
    }

    pub fn covered(&self) -> Timestamp {
        self.from.unwrap_or(self.at)
    }
}

/// A report on its way to a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The key of its settings, which have the address.
    pub report: String,
    pub body: String,
    /// Nobody else reads this report: once it is taken, what happened until then is told.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// What an instance held when it was seen last: addresses that somebody else could want, by network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    pub host: HostName,
    pub addresses: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl Holding {
    pub fn of(host: &HostName) -> Self {
        Self { host: host.clone(), addresses: BTreeMap::new() }
    }

    /// What the container asked for, and what it has on a network that reaches beyond its host: what a plain bridge
    /// chose by itself is nobody else's.
    pub fn add(&mut self, engine: &Engine, container: &Container) {
        for (name, attachment) in &container.live.networks {
            let network = engine.networks.get(name).and_then(Seen::known);
            let reaches_beyond = network.is_some_and(|network| network.driver != "bridge");
            let chosen = attachment.address.filter(|_| reaches_beyond);
            for address in attachment.requested.into_iter().chain(chosen) {
                self.addresses.entry(name.clone()).or_default().insert(address);
            }
        }
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.addresses.iter().flat_map(|(network, all)| all.iter().map(move |a| (network.as_str(), *a)))
    }
}

/// What an instance held, by its hosts. That of a single one stands by itself, as earlier releases wrote it and read it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Held {
    One(Holding),
    Several(Vec<Holding>),
}

impl Held {
    /// `None`: it holds nothing anywhere.
    pub fn of(holdings: Vec<&Holding>) -> Option<Self> {
        match holdings.as_slice() {
            [] => None,
            [one] => Some(Self::One((*one).clone())),
            _ => Some(Self::Several(holdings.into_iter().cloned().collect())),
        }
    }

    pub fn all(self) -> Vec<Holding> {
        match self {
            Self::One(holding) => vec![holding],
            Self::Several(holdings) => holdings,
        }
    }
}

/// The hosts of an instance. A single one is a word, as earlier releases wrote it and read it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Seats {
    One(HostName),
    Several(BTreeSet<HostName>),
}

impl Seats {
    pub fn of(hosts: &Hosts) -> Self {
        match hosts.first_key_value() {
            Some((host, _)) if hosts.len() == 1 => Self::One(host.clone()),
            Some(_) | None => Self::Several(hosts.keys().cloned().collect()),
        }
    }

    pub fn hosts(self) -> Hosts {
        match self {
            Self::One(host) => Hosts::from([(host, None)]),
            Self::Several(hosts) => hosts.into_iter().map(|host| (host, None)).collect(),
        }
    }
}

/// What is noted of an instance as far as it stands somewhere. The id of an adopted container that stood for it on a host (B4) has
/// a record of its own, `INSTANCE HOST`: earlier releases pass that over, and read the hosts as they wrote them.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Stood {
    On(Seats),
    As(String),
}

/// One destruction within the last hour, for the budget (B3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destroyed {
    pub at: Timestamp,
    pub revision: Revision,
    /// How many instances or tasks went with it. Earlier releases noted each by itself.
    #[serde(default = "one")]
    pub count: usize,
}

const fn one() -> usize {
    1
}

/// A finding that a person let pass, at one revision (F2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    pub revision: Revision,
    pub rule: String,
    pub reason: String,
    pub at: Timestamp,
}
