//! Which instances may receive traffic, at which address, proven how: Desired × Observed × the installed generation.
//!
//! Pure. What is known decides; what is unknown keeps the line it has in the installed file (A1), so that a host
//! that cannot be read costs no server. Every instance that gets no traffic says why.

mod address;
pub mod line;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use crate::model::adoption;
use crate::model::app::{App, Replicas, Runtime, Upstream};
use crate::model::desired::Desired;
use crate::model::file::Files;
use crate::model::last_seen::LastSeen;
use crate::model::names::{AppKey, HostName, InstanceName};
use crate::model::observed::{Container, Health, Observed, RunState, Seen};
use crate::model::ownership::{Belongs, Owner, PlaceInReplacement};

/// Where traffic may go, by app. Apps without an upstream are not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoints {
    pub apps: BTreeMap<AppKey, AppEndpoints>,
    /// Apps with an upstream whose instances nothing here can see, and why; they are not rendered.
    pub unseen: BTreeMap<AppKey, String>,
}

/// One app's servers, by instance, and the instances that are none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppEndpoints {
    /// Sorted by instance (slot), then host. No two have the same address.
    pub servers: Vec<Endpoint>,
    pub left_out: Vec<LeftOut>,
}

/// One instance that may receive traffic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub instance: InstanceName,
    pub host: HostName,
    pub address: SocketAddr,
    pub evidence: Evidence,
}

/// Why an address is believed in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// Its own health check passed at the last reading.
    Healthy,
    /// It runs and has no health check.
    Unchecked,
    /// It could not be read and keeps its line (A1).
    Kept { why: String },
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Unchecked => f.write_str("running, without a health check"),
            Self::Kept { why } => write!(f, "kept: {why}"),
        }
    }
}

/// An instance that gets no traffic. `host` is `None` where no host has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    pub instance: InstanceName,
    pub host: Option<HostName>,
    pub why: String,
}

/// Instances whose traffic follows from what trueup does with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exceptions {
    /// trueup itself took them out for a change (D1).
    pub drained: BTreeSet<InstanceName>,
    /// No longer declared, and left standing: while their removal waits (B3), they are protected (B2) or nothing is
    /// done (A6), their traffic stays too.
    pub staying: BTreeSet<InstanceName>,
    /// Adopted containers that stood for instances when they were seen last: one that moves keeps its traffic until it is gone,
    /// as everything does that moves (B4).
    pub adopted: LastSeen,
}

/// The endpoints of every app with an upstream.
/// `installed` are the Nginx files that are live now, from which unknown instances keep their lines.
pub fn project(
    desired: &Desired,
    observed: &Observed,
    owner: &Owner,
    exceptions: &Exceptions,
    installed: Option<&Files>,
) -> Endpoints {
    let carriers = carriers(desired, observed, exceptions);
    let view = View { desired, observed, owner, exceptions, carriers };
    let mut endpoints = Endpoints::default();
    for (key, app) in &desired.apps {
        let Some(upstream) = &app.upstream else { continue };
        match &app.runtime {
            Runtime::Host(place) => {
                let text = installed.and_then(|files| files.get(&file_name(key)));
                let lines = text.map(|text| line::parse(text, key)).unwrap_or_default();
                endpoints.apps.insert(key.clone(), view.app(app, upstream, place.replicas, &lines));
            }
            Runtime::Swarm(service) => {
                let why = format!(
                    "it runs on the Swarm {:?}, and upstreams of services are not written yet",
                    service.swarm
                );
                endpoints.unseen.insert(key.clone(), why);
            }
        }
    }
    endpoints
}

/// The generated Nginx file of an app, relative to its set's directory.
pub fn file_name(key: &AppKey) -> String {
    format!("{key}.conf")
}

/// The app whose file has this name.
pub fn app_of_file(name: &str) -> Option<AppKey> {
    name.strip_suffix(".conf")?.parse().ok()
}

struct View<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    owner: &'a Owner,
    exceptions: &'a Exceptions,
    /// Names are read once, and not by every app.
    carriers: BTreeMap<AppKey, Vec<Carrier<'a>>>,
}

/// A container that carries the name of an instance, or stands for one.
struct Carrier<'a> {
    instance: InstanceName,
    host: &'a HostName,
    container: &'a Seen<Container>,
}

/// Of the apps that have an upstream; within one by host, then by name.
fn carriers<'a>(
    desired: &Desired,
    observed: &'a Observed,
    exceptions: &Exceptions,
) -> BTreeMap<AppKey, Vec<Carrier<'a>>> {
    let mut carriers: BTreeMap<AppKey, Vec<Carrier<'a>>> = BTreeMap::new();
    for (host, engine) in &observed.hosts {
        let Seen::Known(engine) = engine else { continue };
        for (name, container) in &engine.containers {
            // `quote-prod-007` parses to the instance `quote-prod-7` and is not it.
            let own = name.as_str().parse::<InstanceName>().ok().filter(|i| i.to_string() == name.as_str());
            // A container of another name stands for its instance until its next replacement (B4).
            let adopted = || {
                let id = container.known().map(|container| container.id.as_str());
                adoption::stands_for(desired, observed, &exceptions.adopted, host, (name, id))
            };
            let has_upstream = |instance: &InstanceName| {
                desired.apps.get(&instance.key).is_some_and(|app| app.upstream.is_some())
            };
            if let Some(instance) = own.or_else(adopted).filter(has_upstream) {
                let of_app = carriers.entry(instance.key.clone()).or_default();
                of_app.push(Carrier { instance, host, container });
            }
        }
    }
    carriers
}

/// What one place in the fleet says about an instance.
enum Verdict {
    Serves(Endpoint),
    Not(LeftOut),
    /// It cannot be told.
    Unknown {
        instance: InstanceName,
        host: HostName,
        why: String,
    },
}

impl View<'_> {
    fn app(
        &self,
        app: &App,
        upstream: &Upstream,
        replicas: Replicas,
        installed: &[line::ServerLine],
    ) -> AppEndpoints {
        let (mut found, mut left_out, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for verdict in self.seen(app, upstream) {
            match verdict {
                Verdict::Serves(endpoint) => found.push(endpoint),
                Verdict::Not(one) => left_out.push(one),
                Verdict::Unknown { instance, host, why } => unknown.push((instance, host, why)),
            }
        }
        for server in installed {
            match self.kept(server, &found, &unknown) {
                Some(Ok(endpoint)) => found.push(endpoint),
                Some(Err(one)) => left_out.push(one),
                None => {}
            }
        }
        let mut servers = Vec::new();
        found.sort();
        for endpoint in found {
            match self.admitted(&endpoint, replicas, &servers) {
                Ok(()) => servers.push(endpoint),
                Err(why) => {
                    let Endpoint { instance, host, .. } = endpoint;
                    left_out.push(LeftOut { instance, host: Some(host), why });
                }
            }
        }
        for (instance, host, why) in unknown {
            let served = servers.iter().any(|s| s.instance == instance && s.host == host);
            let said = left_out.iter().any(|l| l.instance == instance && l.host.as_ref() == Some(&host));
            if !served && !said {
                let why = format!("{why}, and it had no line in the installed file");
                left_out.push(LeftOut { instance, host: Some(host), why });
            }
        }
        left_out.extend(missing(&app.key, replicas, &servers, &left_out));
        left_out.sort();
        AppEndpoints { servers, left_out }
    }

    /// A verdict for every container that carries the name of one of the app's instances.
    fn seen(&self, app: &App, upstream: &Upstream) -> Vec<Verdict> {
        let carriers = self.carriers.get(&app.key).into_iter().flatten();
        let verdict = |Carrier { instance, host, container }: &Carrier<'_>| match container {
            Seen::Known(container) => self.judge(app, upstream, host, instance.clone(), container),
            Seen::Unknown { why } => {
                Verdict::Unknown { instance: instance.clone(), host: (*host).clone(), why: why.clone() }
            }
        };
        carriers.map(verdict).collect()
    }

    fn judge(
        &self,
        app: &App,
        upstream: &Upstream,
        host: &HostName,
        instance: InstanceName,
        container: &Container,
    ) -> Verdict {
        let ours = match self.owner.container(&container.name, host, &container.labels) {
            Belongs::Ours(owned) => match owned.place {
                PlaceInReplacement::Current => Ok(()),
                PlaceInReplacement::Aside | PlaceInReplacement::Next => {
                    Err("it is being replaced".to_owned())
                }
            },
            // B4: adopted by name.
            Belongs::Foreign { why } => {
                let last_seen = &self.exceptions.adopted;
                let adopted =
                    adoption::adopted(self.desired, self.observed, last_seen, host, container).is_some();
                if app.adopt && adopted { Ok(()) } else { Err(format!("it is not trueup's: {why}")) }
            }
        };
        let inventory =
            self.desired.hosts.get(host).ok_or_else(|| "its host is no longer in the inventory".to_owned());
        let verdict = ours.and_then(|()| {
            let evidence = evidence(&container.state)?;
            let address = address::of(upstream, inventory?, &container.live)?;
            Ok((evidence, address))
        });
        match verdict {
            Ok((evidence, address)) => {
                Verdict::Serves(Endpoint { instance, host: host.clone(), address, evidence })
            }
            Err(why) => Verdict::Not(LeftOut { instance, host: Some(host.clone()), why }),
        }
    }

    /// What becomes of a line of the installed file. `None`: its host was read, and what was seen there decides.
    fn kept(
        &self,
        server: &line::ServerLine,
        found: &[Endpoint],
        unknown: &[(InstanceName, HostName, String)],
    ) -> Option<Result<Endpoint, LeftOut>> {
        let line::ServerLine { instance, host, address } = server;
        let out = |why: &str| {
            let (instance, host) = (instance.clone(), Some(host.clone()));
            Some(Err(LeftOut { instance, host, why: why.to_owned() }))
        };
        if !self.desired.hosts.contains_key(host) {
            return out("its host is no longer in the inventory");
        }
        let why = match self.observed.hosts.get(host) {
            Some(Seen::Known(_)) => {
                let (_, _, why) = unknown.iter().find(|(i, h, _)| i == instance && h == host)?;
                why.clone()
            }
            Some(Seen::Unknown { why }) => why.clone(),
            None => "its host was not read".to_owned(),
        };
        // The instance was seen alive elsewhere, so it has moved and this line is history.
        if let Some(elsewhere) = found.iter().find(|e| &e.instance == instance && &e.host != host) {
            return out(&format!("it now runs on {}", elsewhere.host));
        }
        Some(Ok(Endpoint {
            instance: instance.clone(),
            host: host.clone(),
            address: *address,
            evidence: Evidence::Kept { why },
        }))
    }

    fn admitted(&self, endpoint: &Endpoint, replicas: Replicas, servers: &[Endpoint]) -> Result<(), String> {
        if self.exceptions.drained.contains(&endpoint.instance) {
            return Err("it is drained for a change".to_owned());
        }
        if let Replicas::Count(count) = replicas
            && endpoint.instance.slot >= count
            && !self.exceptions.staying.contains(&endpoint.instance)
        {
            return Err(format!("it is no longer declared: replicas = {count}"));
        }
        match servers.iter().find(|s| s.address == endpoint.address) {
            // Nginx takes a duplicate line without a word.
            Some(twin) => {
                Err(format!("it claims {}, which {} on {} has", twin.address, twin.instance, twin.host))
            }
            None => Ok(()),
        }
    }
}

/// Whether a container in this state may receive traffic, and how that is known.
fn evidence(state: &RunState) -> Result<Evidence, String> {
    match state {
        RunState::Running { health, .. } => match health {
            Health::Healthy => Ok(Evidence::Healthy),
            Health::Unchecked => Ok(Evidence::Unchecked),
            Health::Starting => Err("its health check has not passed yet".to_owned()),
            Health::Unhealthy { .. } => Err("its health check fails".to_owned()),
        },
        RunState::Created => Err("it was created and never started".to_owned()),
        RunState::Paused => Err("it is paused".to_owned()),
        RunState::Restarting { exit_code } => Err(format!("it is restarting (last exit code {exit_code})")),
        RunState::Removing => Err("it is being removed".to_owned()),
        RunState::Exited { exit_code, .. } => Err(format!("it exited with code {exit_code}")),
        RunState::Dead => Err("the engine calls it dead".to_owned()),
    }
}

/// Declared slots that nothing was said about.
fn missing(key: &AppKey, replicas: Replicas, servers: &[Endpoint], left_out: &[LeftOut]) -> Vec<LeftOut> {
    let count = match replicas {
        Replicas::Count(count) => count,
        // Which slots there are is placement's business; those that exist were judged above.
        Replicas::EveryHost => 0,
    };
    let told: BTreeSet<u32> =
        servers.iter().map(|s| s.instance.slot).chain(left_out.iter().map(|l| l.instance.slot)).collect();
    (0..count)
        .filter(|slot| !told.contains(slot))
        .map(|slot| LeftOut {
            instance: InstanceName { key: key.clone(), slot },
            host: None,
            why: "no host that was read has its container".to_owned(),
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
