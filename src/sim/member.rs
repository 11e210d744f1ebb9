//! Simulated engines as members of a simulated Swarm: what they answer for it, and the hands of people on it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::image::ImageRef;
use crate::model::names::HostName;
use crate::model::network::NetworkDriver;
use crate::model::observed::{Engine as Snapshot, LiveNetwork, Seen};
use crate::model::plan::Action;
use crate::model::secrecy::KeyedHash;
use crate::model::service::{EndpointMode, RestartCondition, ServiceMode, ServiceSpec, TaskRestart};
use crate::model::swarm::{Availability, NodeRole, Swarm};
use crate::ports::{Contents, EngineError, EngineErrorKind};

use super::engine::{SimEngine, call_of};
use super::memory::moment;
use super::swarm::{Around, SimSwarm};
use super::{Fault, SimWorld, World};

/// What an engine that is in no Swarm says.
const NO_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect \
                          this node to swarm and try again.";

impl World {
    /// Hosts whose engine says nothing.
    fn silent(&self) -> BTreeSet<HostName> {
        let is = |fault: Option<Fault>| matches!(fault, Some(Fault::Down | Fault::Hung));
        let now = tokio::time::Instant::now();
        let back = |at: Option<tokio::time::Instant>| at.is_some_and(|at| now >= at);
        let silent = self.hosts.iter().filter(|(_, state)| is(state.fault) && !back(state.back_at));
        silent.map(|(host, _)| host.clone()).collect()
    }

    /// The Swarms' time goes on up to now.
    pub(super) fn pass(&mut self) {
        let silent = self.silent();
        let (now, images, behaviour) = (moment(self.began), &self.images, &self.behaviour);
        let around = Around { now, silent: &silent, images, behaviour };
        self.swarms.values_mut().for_each(|swarm| swarm.pass(around));
    }

    /// Names of the Swarms' networks.
    pub(super) fn overlays(&self) -> BTreeSet<String> {
        self.swarms.values().flat_map(SimSwarm::networks).map(|network| network.name.clone()).collect()
    }

    fn swarm_of(&mut self, host: &HostName) -> Option<&mut SimSwarm> {
        self.pass();
        self.swarms.values_mut().find(|swarm| swarm.has(host))
    }
}

impl SimEngine {
    /// What the Swarm says through this engine, where it manages one that has a quorum.
    pub(super) fn as_manager<T>(
        &self,
        call: &str,
        look: impl FnOnce(&mut SimSwarm) -> T,
    ) -> Result<T, EngineError> {
        let mut world = self.world.lock();
        let silent = world.silent();
        let Some(swarm) = world.swarm_of(&self.host) else {
            return Err(self.error(EngineErrorKind::Refused, call, NO_MANAGER));
        };
        match swarm.answers(&self.host, &silent) {
            Ok(()) => Ok(look(swarm)),
            Err((kind, detail)) => Err(self.error(kind, call, detail)),
        }
    }

    /// An overlay network of the Swarm that this engine manages; a worker knows those alone that something on it uses.
    pub(super) fn overlay(&self, name: &str) -> Option<LiveNetwork> {
        let mut world = self.world.lock();
        let swarm = world.swarm_of(&self.host)?;
        if !swarm.manages(&self.host) {
            return None;
        }
        swarm.networks().find(|network| network.name == name).cloned()
    }

    /// Puts in what only a member tells: where it belongs, overlay networks, the containers of tasks.
    pub(super) fn as_member(&self, snapshot: &mut Snapshot) {
        let mut world = self.world.lock();
        let (images, key) = (world.images.clone(), self.key.clone());
        let Some(swarm) = world.swarm_of(&self.host) else { return };
        if let Some(membership) = swarm.membership(&self.host) {
            snapshot.info.membership = Some(membership);
        }
        snapshot.info.swarm = swarm.manages(&self.host).then(|| swarm.id().to_owned());
        for network in swarm.networks() {
            let mut network = network.clone();
            let containers = snapshot.containers.values().filter_map(Seen::known);
            let on =
                containers.filter(|c| c.state.is_running() && c.live.networks.contains_key(&network.name));
            network.attached = on.map(|container| container.name.to_string()).collect();
            snapshot.networks.insert(network.name.clone(), Seen::Known(network));
        }
        for container in swarm.containers(&self.host, &images, &key) {
            snapshot.containers.insert(container.name.clone(), Seen::Known(container));
        }
    }

    /// `None`: it is none of a Swarm's.
    pub(super) fn on_swarm(&self, action: &Action, contents: &Contents) -> Option<Result<(), EngineError>> {
        let mut guard = self.world.lock();
        let world = &mut *guard;
        if let Action::CreateNetwork { spec, .. } = action
            && spec.driver != NetworkDriver::Overlay
        {
            return None;
        }
        if let Action::RemoveNetwork { name } = action {
            let has = |state: &super::State| state.networks.contains_key(name);
            if world.hosts.get(&self.host).is_some_and(has) {
                return None;
            }
            let on = |state: &super::State| {
                let mut containers = state.containers.values();
                containers.any(|c| c.state.is_running() && c.live.networks.contains_key(name))
            };
            if world.hosts.values().any(on) {
                let detail = format!("network {name} has active endpoints");
                return Some(Err(self.error(EngineErrorKind::Refused, &call_of(action), detail)));
            }
        }
        world.pass();
        let (silent, now) = (world.silent(), moment(world.began));
        let around = Around { now, silent: &silent, images: &world.images, behaviour: &world.behaviour };
        let swarm = world.swarms.values_mut().find(|swarm| swarm.has(&self.host));
        let result = match swarm {
            Some(swarm) => match swarm.answers(&self.host, &silent) {
                Ok(()) => swarm.mutate(action, contents, around, &self.key)?,
                Err(why) if is_swarms(action) => Err(why),
                Err(_) => return None,
            },
            None if is_swarms(action) => Err((EngineErrorKind::Refused, NO_MANAGER.to_owned())),
            None => return None,
        };
        if result.is_ok() {
            world.hosts.entry(self.host.clone()).or_default().journal.push(action.describe());
        }
        Some(result.map_err(|(kind, detail)| self.error(kind, &call_of(action), detail)))
    }
}

/// Whether only a manager can do it.
fn is_swarms(action: &Action) -> bool {
    matches!(
        action,
        Action::CreateService { .. }
            | Action::UpdateService { .. }
            | Action::RemoveService { .. }
            | Action::CreateConfig { .. }
            | Action::RemoveConfig { .. }
            | Action::UpdateNode { .. }
            | Action::CreateNetwork { .. }
    )
}

/// Swarms, and hands on them, past trueup.
impl SimWorld {
    /// Hosts that form a Swarm of their own.
    pub fn start_swarm(&self, name: &str, managers: &[HostName], workers: &[HostName]) {
        let mut world = self.lock();
        let swarm = SimSwarm::new(name, managers, workers, moment(world.began));
        world.swarms.insert(name.to_owned(), swarm);
    }

    /// A host becomes a worker of the Swarm: another node than it may have been.
    pub fn join_swarm(&self, name: &str, host: &HostName) -> Result<(), String> {
        self.hand(name, |swarm| swarm.join(host, NodeRole::Worker))
    }

    /// A host is in no Swarm any more.
    pub fn leave_swarm(&self, host: &HostName) {
        if let Some(swarm) = self.lock().swarm_of(host) {
            swarm.leave(host);
        }
    }

    /// `docker node demote`, or `promote`.
    pub fn change_role(&self, name: &str, host: &HostName, role: NodeRole) -> Result<(), String> {
        self.hand(name, |swarm| swarm.change_role(host, role))
    }

    /// `docker node rm`.
    pub fn remove_node(&self, name: &str, hostname: &str) -> Result<(), String> {
        self.hand(name, |swarm| swarm.remove_node(hostname))?
    }

    /// What the Swarm is, without asking whether anybody could tell.
    pub fn swarm(&self, name: &str, manager: &HostName) -> Option<Swarm> {
        self.hand(name, |swarm| swarm.told(manager)).ok()
    }

    /// Nodes, networks, configs, services and their tasks, one a line.
    pub fn swarm_shown(&self, name: &str) -> Result<Vec<String>, String> {
        self.hand(name, |swarm| swarm.shown())
    }

    /// `docker service update`: its spec and labels.
    pub fn change_service(
        &self,
        swarm: &str,
        service: &str,
        change: impl FnOnce(&mut ServiceSpec<KeyedHash>, &mut BTreeMap<String, String>),
    ) -> Result<(), String> {
        let now = moment(self.lock().began);
        self.hand(swarm, |swarm| swarm.by_hand(service, now, change))?
    }

    /// `docker service create NAME IMAGE`.
    pub fn create_service(&self, swarm: &str, service: &str, image: &ImageRef) -> Result<(), String> {
        let (now, key) = (moment(self.lock().began), self.key.clone());
        let image = self.pinned(image);
        self.hand(swarm, |swarm| swarm.created_by_hand(service, &plain(image), now, &key))?
    }

    /// As docker's own client has an image, where a registry knows it.
    pub fn pinned(&self, image: &ImageRef) -> ImageRef {
        let digest = self.lock().images.get(image).map(|known| known.id.clone());
        digest.map_or_else(|| image.clone(), |digest| image.pinned(digest))
    }

    /// `docker swarm update --task-history-limit`.
    pub fn keep_ended_tasks(&self, swarm: &str, ended: usize) -> Result<(), String> {
        self.hand(swarm, |swarm| swarm.keep(ended))
    }

    /// `docker service rm`.
    pub fn remove_service(&self, swarm: &str, service: &str) -> Result<(), String> {
        self.hand(swarm, |swarm| swarm.remove(service))
    }

    /// `docker node update`.
    pub fn change_node(
        &self,
        swarm: &str,
        host: &HostName,
        labels: &BTreeMap<String, Option<String>>,
        availability: Option<Availability>,
    ) -> Result<(), String> {
        self.hand(swarm, |swarm| {
            let node = swarm.membership(host).and_then(|member| swarm.node(&member.node));
            let node = node.ok_or_else(|| format!("{host} is no node of it"))?;
            swarm.update_node(&node.id, node.version, labels, availability).map_err(|(_, why)| why)
        })?
    }

    fn hand<T>(&self, name: &str, act: impl FnOnce(&mut SimSwarm) -> T) -> Result<T, String> {
        let mut world = self.lock();
        world.pass();
        world.swarms.get_mut(name).map(act).ok_or_else(|| format!("there is no swarm {name}"))
    }
}

/// A service of `image` as `docker service create` makes it.
fn plain(image: ImageRef) -> ServiceSpec {
    ServiceSpec {
        image,
        entrypoint: None,
        command: None,
        env: BTreeMap::new(),
        workdir: None,
        user: None,
        hostname: None,
        labels: BTreeMap::new(),
        service_labels: BTreeMap::new(),
        mounts: BTreeMap::new(),
        files: BTreeMap::new(),
        networks: BTreeMap::new(),
        cpus: None,
        memory: None,
        cpus_reservation: None,
        memory_reservation: None,
        pids: None,
        restart: TaskRestart {
            condition: RestartCondition::Any,
            delay: None,
            max_attempts: None,
            window: None,
        },
        health: None,
        cap_add: BTreeSet::new(),
        cap_drop: BTreeSet::new(),
        read_only: false,
        init: None,
        sysctls: BTreeMap::new(),
        ulimits: BTreeMap::new(),
        dns: Vec::new(),
        extra_hosts: BTreeMap::new(),
        logging: None,
        stop_signal: None,
        stop_timeout: None,
        mode: ServiceMode::Replicated(1),
        constraints: Vec::new(),
        spread: Vec::new(),
        max_per_node: 0,
        update: None,
        rollback: None,
        endpoint_mode: EndpointMode::Vip,
        ports: BTreeSet::new(),
    }
}
