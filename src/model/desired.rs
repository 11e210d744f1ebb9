//! What one commit declares, checked and complete.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::app::{App, Runtime};
use super::host::Host;
use super::image::{Digest, ImageRef};
use super::names::{AppKey, EnvironmentName, FleetName, HostName, NetworkName, Revision};
use super::network::Network;
use super::secrecy::ContentHash;

/// The fleet as git wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    pub revision: Revision,
    pub fleet: FleetName,
    pub environments: BTreeMap<EnvironmentName, Environment>,
    pub hosts: BTreeMap<HostName, Host>,
    pub networks: BTreeMap<NetworkName, Network>,
    pub apps: BTreeMap<AppKey, Arc<App>>,
    /// Named Swarms and their managers.
    pub swarms: BTreeMap<String, Vec<HostName>>,
    pub flume: FlumeDefaults,
    /// The whole fleet is watched and nothing is changed (A6).
    pub detect_only: bool,
    /// Bytes of the repository files that apps mount, by hash.
    pub contents: BTreeMap<ContentHash, Arc<[u8]>>,
    /// Only these environments are in question; `None`: all, also those that git no longer declares.
    pub scope: Option<BTreeSet<EnvironmentName>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Environment {
    pub production: bool,
    pub detect_only: bool,
}

/// What every Flume agent shares.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FlumeDefaults {
    /// `host:port` of the Kafka brokers; empty renders no agents.
    pub brokers: Vec<String>,
    /// The directory on each host where Flume keeps positions and channels.
    pub state_dir: String,
}

impl Desired {
    /// Only these environments and their apps: what belongs to others is then nobody's to judge or prune. Hosts and
    /// networks stay, since addresses are shared.
    pub fn only(&self, environments: &BTreeSet<EnvironmentName>) -> Self {
        let mut some = self.clone();
        some.environments.retain(|name, _| environments.contains(name));
        some.apps.retain(|key, _| environments.contains(&key.environment));
        some.scope = Some(environments.clone());
        some
    }

    /// The app that takes over a service of this name in this very Swarm (B4).
    pub fn adopter_of_service(&self, swarm: &str, service: &str) -> Option<&App> {
        let takes_it = |app: &&App| match &app.runtime {
            Runtime::Swarm(declared) => declared.swarm == swarm && app.adopt && app.service_name() == service,
            Runtime::Host(_) => false,
        };
        self.apps.values().map(|app| &**app).find(takes_it)
    }

    /// Whether this environment's instances are ours to judge here.
    pub fn judges(&self, environment: &EnvironmentName) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.contains(environment))
    }

    /// Whether git says that nothing of the app is to be changed (A6).
    pub fn is_only_watched(&self, app: &AppKey) -> bool {
        self.detect_only
            || self.environments.get(&app.environment).is_some_and(|e| e.detect_only)
            || self.apps.get(app).is_some_and(|app| app.detect_only)
    }

    /// With these apps as they were `before`, and what they need of files; what was not there before stays as it is here.
    #[must_use]
    pub fn with_as_before<'k>(&self, before: &Self, apps: impl Iterator<Item = &'k AppKey>) -> Self {
        let mut mixed = self.clone();
        mixed.contents.extend(before.contents.clone());
        for key in apps {
            if let Some(app) = before.apps.get(key) {
                mixed.apps.insert(key.clone(), Arc::clone(app));
            }
        }
        mixed
    }

    /// Every service with its Swarm and its app.
    pub fn services(&self) -> impl Iterator<Item = (&str, String, &AppKey)> {
        self.apps.values().filter_map(|app| match &app.runtime {
            Runtime::Swarm(service) => Some((service.swarm.as_str(), app.service_name(), &app.key)),
            Runtime::Host(_) => None,
        })
    }

    /// Whether the stricter rules hold there. Of an environment that git no longer declares nobody knows, so they do.
    pub fn is_production(&self, environment: &EnvironmentName) -> bool {
        self.environments.get(environment).is_none_or(|e| e.production)
    }
}

/// What tags were resolved to for this revision; written once, so that a tag that moves does not move the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageLock {
    pub digests: BTreeMap<ImageRef, Digest>,
    /// References that could not be resolved, and why.
    pub unresolved: BTreeMap<ImageRef, String>,
}

impl ImageLock {
    /// The pinned reference where the tag was resolved, else the reference as declared.
    pub fn pin(&self, image: &ImageRef) -> ImageRef {
        match self.digests.get(image) {
            Some(digest) if image.digest.is_none() => image.pinned(digest.clone()),
            Some(_) | None => image.clone(),
        }
    }
}
