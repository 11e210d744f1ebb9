//! Docker engines through bollard: API 1.41 and later, by unix socket, TLS with client certificates, or ssh (G3). bollard
//! knows the calls; connections are ours (docs/decisions/0009).

mod auth;
mod beyond;
mod create;
mod dial;
mod disk;
mod engine;
mod error;
mod events;
mod files;
mod listed;
mod live;
mod perform;
mod pull;
mod recall;
mod selfimage;
mod swarm;
mod told;
mod transport;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::query_parameters::InspectContainerOptions;
use bollard::{ClientVersion, Docker};
use serde::Deserialize;

use crate::model::host::{EngineAddress, Host};
use crate::model::names::{ContainerName, HostName};
use crate::model::secrecy::{HashKey, PlainEnv};
use crate::model::settings::EngineSettings;
use crate::ports::{Engine, EngineError, EngineErrorKind, Engines};

pub use selfimage::{has_image, import_self, reachable_local, remove_image};

use dial::Dial;
use engine::DockerEngine;
pub use recall::Recall;
use transport::Raw;

/// The API trueup is made for. Engines that no longer speak it (Docker 29) are asked in their oldest.
const API: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };
/// The longest bollard itself waits. Our own deadlines are shorter for all but streams and pulls.
const LONGEST: u64 = 3600;

/// Engines by inventory; a connection is made on first use and kept.
pub struct DockerEngines {
    settings: EngineSettings,
    key: HashKey,
    recall: Option<Arc<Recall>>,
    known: Mutex<Known>,
}

type Known = BTreeMap<(HostName, EngineAddress), Arc<DockerEngine>>;

impl DockerEngines {
    /// `key` hides env values at the moment of observation (G1).
    pub fn new(settings: EngineSettings, key: HashKey) -> Self {
        Self { settings, key, recall: None, known: Mutex::default() }
    }

    /// A look does not read again what is as it was read before.
    #[must_use]
    pub fn recalling(self, recall: Recall) -> Self {
        Self { recall: Some(Arc::new(recall)), ..self }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, host: &Host) -> Result<(Docker, Raw), EngineError> {
        let dial = Dial::to(host, &self.settings).map_err(|detail| EngineError {
            host: host.name.clone(),
            call: format!("connect to {}", host.engine),
            kind: EngineErrorKind::Refused,
            detail,
        })?;
        transport::connect(dial).map_err(|e| error::of(&host.name, "connect", &e))
    }
}

impl DockerEngines {
    /// A container's variables in the clear: only for a person who asked for them (`trueup import --env-values`, G1).
    pub async fn plain_env(&self, host: &Host, name: &ContainerName) -> Result<PlainEnv, EngineError> {
        let (docker, _) = self.connect(host)?;
        let call = format!("GET /containers/{name}/json");
        let inspect = docker.inspect_container(name.as_str(), None::<InspectContainerOptions>);
        let deadline = self.settings.call_deadline.duration();
        let told = within(&host.name, &call, deadline, inspect).await?;
        Ok(PlainEnv::of_lines(told.config.and_then(|config| config.env).unwrap_or_default()))
    }
}

impl Engines for DockerEngines {
    fn engine(&self, host: &Host) -> Result<Arc<dyn Engine>, EngineError> {
        let mut known = self.known();
        let key = (host.name.clone(), host.engine.clone());
        if let Some(engine) = known.get(&key) {
            return Ok(Arc::clone(engine) as Arc<dyn Engine>);
        }
        let (docker, raw) = self.connect(host)?;
        let engine = Arc::new(DockerEngine {
            host: host.name.clone(),
            docker,
            raw,
            key: self.key.clone(),
            deadline: self.settings.call_deadline.duration(),
            pull_deadline: self.settings.pull_deadline.duration(),
            docker_config: self.settings.docker_config.clone(),
            recall: self.recall.clone(),
        });
        known.insert(key, Arc::clone(&engine));
        Ok(engine)
    }

    fn keep_only(&self, hosts: &BTreeMap<HostName, Host>) {
        let stays = |(name, address): &(HostName, EngineAddress)| {
            hosts.get(name).is_some_and(|host| host.engine == *address)
        };
        self.known().retain(|key, _| stays(key));
        if let Some(recall) = &self.recall {
            recall.keep_only(hosts);
        }
    }
}

/// An answer read as JSON, or what is wrong with it. That it is text is looked at once, and not at each of its thousands of words.
fn json<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// A query that asks for what has one of the values.
fn filters(what: &str, values: &[String]) -> String {
    let filters = serde_json::json!({ what: values }).to_string();
    let filters: String = url::form_urlencoded::byte_serialize(filters.as_bytes()).collect();
    format!("filters={filters}")
}

/// Ends every call by its absolute deadline (D6).
async fn within<T>(
    host: &HostName,
    call: &str,
    deadline: Duration,
    future: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, EngineError> {
    // Boxed: a call has room for a handshake and an answer in it, which whoever waits for one would have too.
    match tokio::time::timeout(deadline, Box::pin(future)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(error::of(host, call, &e)),
        Err(_) => Err(error::late(host, call, deadline)),
    }
}
