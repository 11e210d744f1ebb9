//! A simulated Swarm: what its managers hold, answer and refuse. Its time passes in `time`, step by step, whenever
//! somebody looks.

mod change;
mod schedule;
mod time;
mod update;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::container::ContainerSpec;
use crate::model::image::{Digest, ImageRef};
use crate::model::names::{ContainerName, HostName, NetworkName};
use crate::model::observed::{Container, Image, LiveNetwork, Seen};
use crate::model::secrecy::{ContentHash, HashKey, KeyedHash};
use crate::model::service::{PublishMode, ServiceSpec};
use crate::model::swarm::{
    Availability, LiveConfig, LiveService, Membership, Node, NodeRole, NodeState, Swarm, Task, TaskState,
};
use crate::model::units::Timestamp;
use crate::ports::EngineErrorKind;

use super::{Behaviour, live};
use update::Work;

/// What a manager says that does not hear from enough others.
const NO_QUORUM: &str = "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few \
                         managers are online. Make sure more than half of the managers are online.";

/// Why a Swarm does not do it.
pub(super) type Refusal = (EngineErrorKind, String);

/// What a Swarm needs to know of the world around it.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub now: Timestamp,
    /// Hosts that are down or hang.
    pub silent: &'a BTreeSet<HostName>,
    pub images: &'a BTreeMap<ImageRef, Image>,
    pub behaviour: &'a BTreeMap<Digest, Behaviour>,
}

/// A service and what Swarm does with it.
#[derive(Clone)]
struct Held {
    live: LiveService,
    /// Counts up with every forced update.
    forced: u64,
    /// An update or rollback under way.
    work: Option<Work>,
    /// Slots whose task ended and is not replaced.
    ended: BTreeSet<u64>,
    /// Tasks were made for it so often in all.
    made: u64,
}

/// A task and what it was made from.
#[derive(Clone)]
struct Made {
    task: Task,
    /// Of the part of the spec that a task is made from.
    from: ContentHash,
    spec: ServiceSpec<KeyedHash>,
    /// It begins then.
    begins: Timestamp,
    /// Since it was given to its node.
    begun: Option<Timestamp>,
    /// It already counts as a failure of the update.
    counted: bool,
}

#[derive(Clone)]
pub(super) struct SimSwarm {
    id: String,
    /// Node ids by host.
    members: BTreeMap<HostName, String>,
    nodes: BTreeMap<String, Node>,
    services: BTreeMap<String, Held>,
    tasks: BTreeMap<String, Made>,
    networks: BTreeMap<String, LiveNetwork>,
    configs: BTreeMap<String, LiveConfig>,
    /// Raft's index: the version of what changed last.
    index: u64,
    /// Ended tasks of a slot that are kept.
    history: usize,
    /// Its time has passed up to here.
    passed: Timestamp,
    silent_since: BTreeMap<HostName, Timestamp>,
}

impl SimSwarm {
    pub fn new(name: &str, managers: &[HostName], workers: &[HostName], now: Timestamp) -> Self {
        let mut swarm = Self {
            id: format!("cluster-{name}"),
            members: BTreeMap::new(),
            nodes: BTreeMap::new(),
            services: BTreeMap::new(),
            tasks: BTreeMap::new(),
            networks: BTreeMap::new(),
            configs: BTreeMap::new(),
            index: 10,
            history: 4,
            passed: now,
            silent_since: BTreeMap::new(),
        };
        managers.iter().for_each(|host| swarm.join(host, NodeRole::Manager));
        workers.iter().for_each(|host| swarm.join(host, NodeRole::Worker));
        swarm
    }

    /// `docker swarm update --task-history-limit`.
    pub fn keep(&mut self, ended: usize) {
        self.history = ended;
    }

    /// A host that joins again is another node.
    pub fn join(&mut self, host: &HostName, role: NodeRole) {
        self.index += 1;
        let id = format!("node-{host}-{}", self.index);
        let leader = role == NodeRole::Manager && self.nodes.values().all(|node| !node.leader);
        let node = Node {
            id: id.clone(),
            version: self.index,
            hostname: host.to_string(),
            role,
            availability: Availability::Active,
            state: NodeState::Ready,
            message: String::new(),
            address: None,
            leader,
            reachable: (role == NodeRole::Manager).then_some(true),
            labels: BTreeMap::new(),
        };
        self.nodes.insert(id.clone(), node);
        self.members.insert(host.clone(), id);
    }

    /// The host is none of it any more. Swarm keeps its node, and what that one's tasks held, until the node is removed.
    pub fn leave(&mut self, host: &HostName) {
        let Some(id) = self.members.remove(host) else { return };
        self.index += 1;
        if let Some(node) = self.nodes.get_mut(&id) {
            (node.state, node.leader, node.version) = (NodeState::Down, false, self.index);
            node.reachable = node.reachable.map(|_| false);
        }
        for made in self.tasks.values_mut().filter(|made| made.task.node.as_deref() == Some(&id)) {
            made.task.wanted = made.task.wanted.max(TaskState::Shutdown);
        }
    }

    /// `docker node rm` of every node of that name that is down: its tasks hold nothing any more.
    pub fn remove_node(&mut self, hostname: &str) -> Result<(), String> {
        let down = |node: &&Node| node.hostname == hostname && node.state == NodeState::Down;
        let ids: BTreeSet<String> = self.nodes.values().filter(down).map(|node| node.id.clone()).collect();
        if ids.is_empty() {
            return Err(format!("no node {hostname} is down"));
        }
        self.nodes.retain(|id, _| !ids.contains(id));
        let of_it = |made: &&mut Made| made.task.node.as_ref().is_some_and(|node| ids.contains(node));
        for made in self.tasks.values_mut().filter(of_it) {
            (made.task.wanted, made.task.state) = (TaskState::Shutdown, TaskState::Orphaned);
        }
        Ok(())
    }

    /// The next manager leads where the leader is demoted.
    pub fn change_role(&mut self, host: &HostName, role: NodeRole) {
        self.index += 1;
        let Some(node) = self.members.get(host).and_then(|id| self.nodes.get_mut(id)) else { return };
        (node.role, node.version, node.leader) = (role, self.index, false);
        node.reachable = (role == NodeRole::Manager).then_some(true);
        if self.nodes.values().all(|node| !node.leader)
            && let Some(next) = self.nodes.values_mut().find(|node| node.role == NodeRole::Manager)
        {
            next.leader = true;
        }
    }

    pub fn has(&self, host: &HostName) -> bool {
        self.members.contains_key(host)
    }

    pub fn manages(&self, host: &HostName) -> bool {
        let node = self.members.get(host).and_then(|id| self.nodes.get(id));
        node.is_some_and(|node| node.role == NodeRole::Manager)
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn membership(&self, host: &HostName) -> Option<Membership> {
        let node = self.members.get(host)?.clone();
        let controls = self.manages(host);
        Some(Membership { node, state: "active".to_owned(), controls, error: String::new() })
    }

    /// Whether this host's engine may answer for the Swarm now.
    pub fn answers(&self, host: &HostName, silent: &BTreeSet<HostName>) -> Result<(), Refusal> {
        if !self.manages(host) {
            let why = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state.";
            return Err((EngineErrorKind::Refused, why.to_owned()));
        }
        let managers: Vec<&HostName> = self.members.keys().filter(|host| self.manages(host)).collect();
        let online = managers.iter().filter(|host| !silent.contains(**host)).count();
        if online * 2 > managers.len() {
            Ok(())
        } else {
            Err((EngineErrorKind::Engine, NO_QUORUM.to_owned()))
        }
    }

    /// Everything, as the manager on `host` tells it.
    pub fn told(&self, host: &HostName) -> Swarm {
        let known = |network: &LiveNetwork| (network.name.clone(), Seen::Known(network.clone()));
        Swarm {
            id: self.id.clone(),
            manager: host.clone(),
            nodes: self.nodes.clone(),
            services: self
                .services
                .iter()
                .map(|(n, held)| (n.clone(), Seen::Known(self.live(held))))
                .collect(),
            tasks: self.tasks.iter().map(|(id, made)| (id.clone(), made.told())).collect(),
            networks: self.networks.values().map(known).collect(),
            configs: self.configs.clone(),
        }
    }

    pub fn service(&self, name: &str) -> Option<(LiveService, Vec<Task>)> {
        let held = self.services.get(name)?;
        let id = Some(held.live.id.as_str());
        let tasks = self.tasks.values().filter(|made| made.task.service.as_deref() == id);
        Some((self.live(held), tasks.map(Made::told).collect()))
    }

    /// As it is told, with what its tasks tell of a rollback.
    fn live(&self, held: &Held) -> LiveService {
        let mut live = held.live.clone();
        let template = task_part(&live.spec, held.forced);
        if live.rolled_back().is_some() {
            let of_service = |made: &&Made| made.task.service.as_deref() == Some(&live.id);
            let failed = self.tasks.values().filter(of_service);
            let failed = failed.filter(|made| made.task.state.ended_by_itself() && made.from != template);
            live.failed = failed.map(|made| made.spec.clone()).collect();
        }
        live.template = Some(template);
        live
    }

    pub fn config(&self, name: &str) -> Option<LiveConfig> {
        self.configs.get(name).cloned()
    }

    pub fn node(&self, id: &str) -> Option<Node> {
        self.nodes.get(id).cloned()
    }

    pub fn networks(&self) -> impl Iterator<Item = &LiveNetwork> {
        self.networks.values()
    }

    /// Node, running tasks and services, one a line.
    pub fn shown(&self) -> Vec<String> {
        let host = |id: &str| self.nodes.get(id).map_or("nowhere", |node| node.hostname.as_str()).to_owned();
        let mut lines = Vec::new();
        for node in self.nodes.values() {
            let state = match node.state {
                NodeState::Ready => "ready",
                NodeState::Down => "down",
                NodeState::Unknown => "unknown",
                NodeState::Disconnected => "disconnected",
            };
            let role = if node.role == NodeRole::Manager { "manager" } else { "worker" };
            lines.push(format!("node {}  {role}  {state}  {}", node.hostname, node.availability.name()));
        }
        lines.sort();
        lines.extend(self.networks.keys().map(|name| format!("network {name}")));
        lines.extend(self.configs.keys().map(|name| format!("config {name}")));
        for (name, held) in &self.services {
            let id = Some(held.live.id.as_str());
            let mut of: Vec<&Task> = self.tasks.values().map(|made| &made.task).collect();
            of.retain(|task| task.service.as_deref() == id && task.wanted <= TaskState::Running);
            of.sort_by_key(|task| (task.slot, task.node.clone(), task.id.clone()));
            let tag = held.live.spec.image.tag.clone().unwrap_or_default();
            lines.push(format!("service {name}  {}:{tag}", held.live.spec.image.repository));
            for task in of {
                let at = task.node.as_deref().map_or_else(|| "nowhere".to_owned(), host);
                let error = if task.error.is_empty() { String::new() } else { format!("  {}", task.error) };
                lines.push(format!("  {}  {at}  {}{error}", task.id, state(task.state)));
            }
        }
        lines
    }

    /// Containers of running tasks on the host, as its engine lists them.
    pub fn containers(
        &self,
        host: &HostName,
        images: &BTreeMap<ImageRef, Image>,
        key: &HashKey,
    ) -> Vec<Container> {
        let Some(node) = self.members.get(host) else { return Vec::new() };
        let mut containers = Vec::new();
        for (service, held) in &self.services {
            let tasks = self.tasks.values().filter(|made| {
                made.task.service.as_deref() == Some(held.live.id.as_str())
                    && made.task.node.as_deref() == Some(node)
                    && made.task.state == TaskState::Running
            });
            for made in tasks {
                let Ok(name) =
                    format!("{service}.{}.{}", made.task.slot, made.task.id).parse::<ContainerName>()
                else {
                    continue;
                };
                let Some(image) = images.values().find(|known| live::matches(known, &made.spec.image)) else {
                    continue;
                };
                let mut spec = ContainerSpec::of(made.spec.image.clone());
                spec.labels = BTreeMap::from([
                    ("com.docker.swarm.service.id".to_owned(), held.live.id.clone()),
                    ("com.docker.swarm.service.name".to_owned(), service.clone()),
                    ("com.docker.swarm.task.id".to_owned(), made.task.id.clone()),
                ]);
                let mut container = live::create(&name, &spec, &BTreeMap::new(), image, key, 0);
                container.created = made.task.since;
                container.id = made.task.container.clone().unwrap_or_default();
                // Nothing can be said against a start that asks for no address.
                let elsewhere = container.live.networks.keys().cloned().collect();
                let networks = live::Networks { ids: BTreeMap::new(), elsewhere };
                let _ = live::start(&mut container, &networks, &[], made.task.since, None);
                containers.push(container);
            }
        }
        containers
    }

    /// The networks that services of the spec are on.
    fn on(spec: &ServiceSpec<KeyedHash>) -> impl Iterator<Item = &NetworkName> {
        spec.networks.keys().filter(|name| name.as_str() != "host")
    }
}

/// What a task is made from; `forced` stands for Swarm's own counter.
fn task_part(spec: &ServiceSpec<KeyedHash>, forced: u64) -> ContentHash {
    let mut part = spec.clone();
    part.service_labels.clear();
    (part.update, part.rollback) = (None, None);
    // Where tasks may be is looked at by itself: those that are well placed stay.
    (part.constraints, part.spread, part.max_per_node) = (Vec::new(), Vec::new(), 0);
    let kind = std::mem::discriminant(&part.mode);
    part.mode = crate::model::service::ServiceMode::Global;
    ContentHash::of(
        format!("{kind:?} {forced} {}", serde_json::to_string(&part).unwrap_or_default()).as_bytes(),
    )
}

const fn state(state: TaskState) -> &'static str {
    match state {
        TaskState::New => "new",
        TaskState::Allocated => "allocated",
        TaskState::Pending => "pending",
        TaskState::Assigned => "assigned",
        TaskState::Accepted => "accepted",
        TaskState::Preparing => "preparing",
        TaskState::Ready => "ready",
        TaskState::Starting => "starting",
        TaskState::Running => "running",
        TaskState::Complete => "complete",
        TaskState::Shutdown => "shutdown",
        TaskState::Failed => "failed",
        TaskState::Rejected => "rejected",
        TaskState::Remove => "remove",
        TaskState::Orphaned => "orphaned",
    }
}
