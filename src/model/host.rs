//! The inventory: machines, how their engines are reached, what they may run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::names::{EnvironmentName, HostName};
use super::swarm::Availability;
use super::units::{ByteSize, Cpus};

/// A machine with a Docker engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Host {
    pub name: HostName,
    /// Where the others reach it: upstream servers with host ports use this address.
    pub address: IpAddr,
    pub engine: EngineAddress,
    /// What may run here; test never lands on prod's machines (F5).
    pub environments: BTreeSet<EnvironmentName>,
    pub labels: BTreeMap<String, String>,
    pub capacity: Capacity,
    /// The Swarm it is a member of.
    pub swarm: Option<String>,
    /// What Swarm may give it; `None` leaves that to people. Drained where `drain` is set.
    pub availability: Option<Availability>,
    /// Planned work: everything leaves gracefully.
    pub drain: bool,
    /// Where it is declared: `file:line`.
    pub origin: String,
}

impl Host {
    /// Whether it belongs to the Swarm: by its own word, or as one of its managers.
    pub fn is_member(&self, swarm: &str, managers: Option<&Vec<HostName>>) -> bool {
        self.swarm.as_deref() == Some(swarm) || managers.is_some_and(|managers| managers.contains(&self.name))
    }
}

/// What a host offers to placed instances; `None` is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capacity {
    pub cpus: Option<Cpus>,
    pub memory: Option<ByteSize>,
}

/// How an engine is reached (G3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineAddress {
    /// A socket on trueup's own machine.
    Unix { path: String },
    /// TLS with a client certificate; which one is named in the reconciler's own settings.
    Tcp { host: String, port: u16 },
    /// Over OpenSSH; keys and known hosts come from the reconciler's own settings.
    Ssh { user: Option<String>, host: String, port: u16 },
    /// The simulator's host of that name.
    Simulated,
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { path } => write!(f, "unix://{path}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Ssh { user: Some(user), host, port } => write!(f, "ssh://{user}@{host}:{port}"),
            Self::Ssh { user: None, host, port } => write!(f, "ssh://{host}:{port}"),
            Self::Simulated => f.write_str("sim://"),
        }
    }
}

impl std::str::FromStr for EngineAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let form = || {
            format!(
                "{text:?} is not an engine address: write unix:///path, tcp://host:2376 or ssh://user@host"
            )
        };
        let host_fits = |h: &str| {
            !h.is_empty()
                && !h.starts_with('-')
                && h.bytes().all(|c| c.is_ascii_alphanumeric() || b".-:[]_".contains(&c))
        };
        let split = |rest: &str, default: u16| -> Result<(String, u16), String> {
            let (host, port) = match rest.rsplit_once(':') {
                Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| form())?),
                _ => (rest, default),
            };
            if host_fits(host) { Ok((host.to_owned(), port)) } else { Err(form()) }
        };
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') || path.contains("..") {
                return Err(form());
            }
            Ok(Self::Unix { path: path.to_owned() })
        } else if let Some(rest) = text.strip_prefix("tcp://") {
            let (host, port) = split(rest, 2376)?;
            Ok(Self::Tcp { host, port })
        } else if let Some(rest) = text.strip_prefix("ssh://") {
            let (user, rest) = match rest.split_once('@') {
                Some((user, rest)) if host_fits(user) => (Some(user.to_owned()), rest),
                Some(_) => return Err(form()),
                None => (None, rest),
            };
            let (host, port) = split(rest, 22)?;
            Ok(Self::Ssh { user, host, port })
        } else if text == "sim://" {
            Ok(Self::Simulated)
        } else {
            Err(form())
        }
    }
}
