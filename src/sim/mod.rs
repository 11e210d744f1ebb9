//! The ports in memory: a seeded world of engines with faults and latency; the only fake there is.

mod engine;
mod live;
mod member;
mod memory;
mod swarm;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::model::host::Host;
use crate::model::image::{Digest, ImageRef};
use crate::model::names::{ContainerName, HostName, VolumeName};
use crate::model::observed::{Container, Image, LiveNetwork, LiveVolume};
use crate::model::plan::Action;
use crate::model::secrecy::{ContentHash, HashKey};
use crate::ports::{Engine, EngineError, Engines};

use engine::SimEngine;
use swarm::SimSwarm;

pub use memory::{FilesFaults, SimClock, SimFiles, SimRepository, SimSandbox, SimStore};

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
    /// trueup itself dies while its n-th mutation from now is under way (D5): the call never ends, and whoever waits on
    /// [`SimWorld::killed`] hears of it. The engine is well afterwards.
    Kill { mutations: u32, after_effect: bool },
}

/// How containers of an image fare once they are started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Their health check fails with this output.
    Unhealthy(String),
    /// They end at once.
    Exits(i64),
}

/// Somebody who changes a host's containers before each look.
type Meddler = Arc<dyn Fn(&mut BTreeMap<ContainerName, Container>) + Send + Sync>;

/// A simulated engine's possessions.
#[derive(Clone, Default)]
pub(super) struct State {
    pub containers: BTreeMap<ContainerName, Container>,
    pub networks: BTreeMap<String, LiveNetwork>,
    pub volumes: BTreeMap<VolumeName, LiveVolume>,
    pub images: BTreeMap<Digest, Image>,
    pub fault: Option<Fault>,
    /// How long the host stays away after a cut; for good without it.
    pub away_for: Option<Duration>,
    pub back_at: Option<tokio::time::Instant>,
    /// Added to every call, on top of the world's.
    pub latency: Duration,
    /// Containers whose inspect fails (A1).
    pub unreadable: BTreeSet<ContainerName>,
    pub meddler: Option<Meddler>,
    /// Endpoints without a container, by network: only a look at the network tells of them.
    pub phantoms: BTreeMap<String, BTreeSet<String>>,
    /// Told of every mutation, and of every fault.
    pub events: watch::Sender<()>,
    /// Mutations carried out, in words: what tests count.
    pub journal: Vec<String>,
}

pub(super) struct World {
    pub hosts: BTreeMap<HostName, State>,
    /// By name.
    swarms: BTreeMap<String, SimSwarm>,
    /// Images that every host has, and registries know.
    pub images: BTreeMap<ImageRef, Image>,
    /// Images that a registry was asked about.
    pub resolved: BTreeSet<ImageRef>,
    pub random: fastrand::Rng,
    pub behaviour: BTreeMap<Digest, Behaviour>,
    pub latency: Duration,
    /// Looks at whole hosts under way, and the most that there ever were.
    pub looks: (usize, usize),
    pub began: tokio::time::Instant,
    pub made: u64,
}

/// A fleet in memory. Hosts come into being when they are first asked for.
#[derive(Clone)]
pub struct SimWorld {
    world: Arc<Mutex<World>>,
    key: HashKey,
    killed: Arc<Notify>,
}

impl SimWorld {
    /// The same `seed` is the same world.
    pub fn new(key: HashKey, seed: u64) -> Self {
        let world = World {
            hosts: BTreeMap::new(),
            swarms: BTreeMap::new(),
            images: BTreeMap::new(),
            resolved: BTreeSet::new(),
            random: fastrand::Rng::with_seed(seed),
            behaviour: BTreeMap::new(),
            latency: Duration::ZERO,
            looks: (0, 0),
            began: tokio::time::Instant::now(),
            made: 0,
        };
        Self { world: Arc::new(Mutex::new(world)), key, killed: Arc::default() }
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

    /// What happens to containers of the image when they start; `None`: they are well.
    pub fn set_behaviour(&self, image: &ImageRef, behaviour: Option<Behaviour>) {
        let mut world = self.lock();
        world.pass();
        let Some(id) = world.images.get(image).map(|image| image.id.clone()) else { return };
        match behaviour {
            Some(behaviour) => world.behaviour.insert(id, behaviour),
            None => world.behaviour.remove(&id),
        };
    }

    /// Every call takes this long.
    pub fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// Breaks a host, or mends it.
    pub fn set_fault(&self, host: &HostName, fault: Option<Fault>) {
        let mut world = self.lock();
        world.pass();
        let state = world.hosts.entry(host.clone()).or_default();
        state.fault = fault;
        state.events.send_replace(());
    }

    /// After a [`Fault::Cut`] the host comes back by itself.
    pub fn set_away_for(&self, host: &HostName, span: Option<Duration>) {
        self.lock().hosts.entry(host.clone()).or_default().away_for = span;
    }

    /// Calls to this host take so much longer.
    pub fn set_host_latency(&self, host: &HostName, latency: Duration) {
        self.lock().hosts.entry(host.clone()).or_default().latency = latency;
    }

    /// Containers of the host that cannot be inspected (A1).
    pub fn set_unreadable(&self, host: &HostName, containers: BTreeSet<ContainerName>) {
        self.lock().hosts.entry(host.clone()).or_default().unreadable = containers;
    }

    /// Endpoints on the host's network that no container has.
    pub fn set_phantoms(&self, host: &HostName, network: &str, endpoints: BTreeSet<String>) {
        let mut world = self.lock();
        world.hosts.entry(host.clone()).or_default().phantoms.insert(network.to_owned(), endpoints);
    }

    /// Somebody changes the host's containers before each look (D7), until `None`.
    pub fn set_meddler(&self, host: &HostName, meddler: Option<Meddler>) {
        self.lock().hosts.entry(host.clone()).or_default().meddler = meddler;
    }

    /// Returns when a [`Fault::Kill`] fell.
    pub async fn killed(&self) {
        self.killed.notified().await;
    }

    /// An engine's primitive by a hand, past trueup: without faults, and not in the journal.
    pub fn perform_by_hand(&self, host: &HostName, action: &Action) -> Result<(), EngineError> {
        let engine = SimEngine { world: self.clone(), host: host.clone(), key: self.key.clone() };
        engine.by_hand(action)
    }

    /// Every host that was ever asked or broken.
    pub fn hosts(&self) -> BTreeSet<HostName> {
        self.lock().hosts.keys().cloned().collect()
    }

    /// The tag that an image was added by.
    pub fn tag_of(&self, image: &Digest) -> Option<ImageRef> {
        self.lock().images.iter().find(|(_, known)| known.id == *image).map(|(tag, _)| tag.clone())
    }

    /// The host's containers, as they are.
    pub fn containers(&self, host: &HostName) -> BTreeMap<ContainerName, Container> {
        self.lock().hosts.get(host).map(|state| state.containers.clone()).unwrap_or_default()
    }

    /// `network lan`, `volume data`: what else the host holds.
    pub fn belongings(&self, host: &HostName) -> Vec<String> {
        let world = self.lock();
        let state = world.hosts.get(host).cloned().unwrap_or_default();
        let networks = state.networks.keys().map(|name| format!("network {name}"));
        networks.chain(state.volumes.keys().map(|name| format!("volume {name}"))).collect()
    }

    /// A hand on the host's containers, past trueup.
    pub fn by_hand<T>(
        &self,
        host: &HostName,
        act: impl FnOnce(&mut BTreeMap<ContainerName, Container>) -> T,
    ) -> T {
        let mut world = self.lock();
        let state = world.hosts.entry(host.clone()).or_default();
        state.events.send_replace(());
        act(&mut state.containers)
    }

    /// Every mutation so far on the host, in words.
    pub fn journal(&self, host: &HostName) -> Vec<String> {
        self.lock().hosts.get(host).map(|state| state.journal.clone()).unwrap_or_default()
    }

    /// As many hosts were looked at as a whole at once, at most.
    pub fn most_looks_at_once(&self) -> usize {
        self.lock().looks.1
    }

    /// Images that a registry was asked about so far.
    pub fn resolved(&self) -> BTreeSet<ImageRef> {
        self.lock().resolved.clone()
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

    /// What a host has is its own.
    fn keep_only(&self, _: &BTreeMap<HostName, Host>) {}
}
