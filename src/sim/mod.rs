//! The ports in memory: a seeded world of engines with faults and latency; the only fake there is.

mod engine;
mod live;
mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::model::host::Host;
use crate::model::image::{Digest, ImageRef};
use crate::model::names::{ContainerName, HostName, VolumeName};
use crate::model::observed::{Container, Image, LiveNetwork, LiveVolume};
use crate::model::secrecy::{ContentHash, HashKey};
use crate::ports::{Engine, EngineError, Engines};

use engine::SimEngine;
pub use memory::{SimClock, SimFiles, SimRepository, SimStore};

/// What is wrong with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Connections are refused.
    Down,
    /// Calls are taken and never answered.
    Hung,
    /// Every call fails with this probability, in percent.
    Flaky(u8),
    /// The engine cuts the connection at its n-th mutation from now: before the effect, or after it.
    Cut { mutations: u32, after_effect: bool },
}

/// A simulated engine's possessions.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub containers: BTreeMap<ContainerName, Container>,
    pub networks: BTreeMap<String, LiveNetwork>,
    pub volumes: BTreeMap<VolumeName, LiveVolume>,
    pub images: BTreeMap<Digest, Image>,
    pub fault: Option<Fault>,
    /// Mutations carried out, in words: what tests count.
    pub journal: Vec<String>,
}

pub(super) struct World {
    pub hosts: BTreeMap<HostName, State>,
    /// Images that every host has, and registries know.
    pub images: BTreeMap<ImageRef, Image>,
    pub random: fastrand::Rng,
    pub latency: Duration,
    pub now: i64,
    pub made: u64,
}

/// A fleet in memory. Hosts come into being when they are first asked for.
#[derive(Clone)]
pub struct SimWorld {
    world: Arc<Mutex<World>>,
    key: HashKey,
}

impl SimWorld {
    /// The same `seed` is the same world.
    pub fn new(key: HashKey, seed: u64) -> Self {
        let world = World {
            hosts: BTreeMap::new(),
            images: BTreeMap::new(),
            random: fastrand::Rng::with_seed(seed),
            latency: Duration::ZERO,
            now: 1_700_000_000_000,
            made: 0,
        };
        Self { world: Arc::new(Mutex::new(world)), key }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// An image that every engine has and every registry knows.
    pub fn add_image_everywhere(&self, image: &ImageRef) {
        let hex = ContentHash::of(image.to_string().as_bytes());
        let Ok(id) = format!("sha256:{hex}").parse::<Digest>() else { return };
        let digests = BTreeSet::from([ImageRef { tag: None, ..image.pinned(id.clone()) }]);
        let image_there = Image {
            id: id.clone(),
            tags: BTreeSet::from([image.clone()]),
            digests,
            entrypoint: Vec::new(),
            command: vec!["serve".to_owned()],
            env: BTreeMap::from([("PATH".to_owned(), self.key.hide("/bin"))]),
            workdir: String::new(),
            user: String::new(),
            labels: BTreeMap::new(),
            health: None,
            stop_signal: None,
        };
        self.lock().images.insert(image.clone(), image_there);
    }

    /// Every call takes this long.
    pub fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// Breaks a host, or mends it.
    pub fn set_fault(&self, host: &HostName, fault: Option<Fault>) {
        self.lock().hosts.entry(host.clone()).or_default().fault = fault;
    }

    /// A hand on the host's containers, past trueup.
    pub fn by_hand<T>(
        &self,
        host: &HostName,
        act: impl FnOnce(&mut BTreeMap<ContainerName, Container>) -> T,
    ) -> T {
        act(&mut self.lock().hosts.entry(host.clone()).or_default().containers)
    }

    /// Every mutation so far on the host, in words.
    pub fn journal(&self, host: &HostName) -> Vec<String> {
        self.lock().hosts.get(host).map(|state| state.journal.clone()).unwrap_or_default()
    }

    pub fn engines(&self) -> Arc<dyn Engines> {
        Arc::new(self.clone())
    }
}

impl Engines for SimWorld {
    fn engine(&self, host: &Host) -> Result<Arc<dyn Engine>, EngineError> {
        self.lock().hosts.entry(host.name.clone()).or_default();
        Ok(Arc::new(SimEngine { world: self.clone(), host: host.name.clone(), key: self.key.clone() }))
    }
}
