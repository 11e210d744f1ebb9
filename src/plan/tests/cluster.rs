//! A pure Swarm: what its managers would tell after a plan was carried out, every task running at once.
//!
//! It is strict where the real executor refuses: a precondition that does not hold fails the test.

use std::collections::{BTreeMap, BTreeSet};

use super::build::{NOW, key, name, owner};
use crate::model::container::EnvValue;
use crate::model::observed::{LiveNetwork, Observed, Seen};
use crate::model::ownership::Belongs;
use crate::model::plan::{Action, Change, Expect, Plan, Step};
use crate::model::secrecy::KeyedHash;
use crate::model::service::{ServiceMode, ServiceSpec};
use crate::model::swarm::{
    Availability, LiveConfig, LiveService, Membership, Node, NodeRole, NodeState, Swarm, Task, TaskState,
    UpdateState, UpdateStatus,
};
use crate::model::units::Timestamp;

/// The only Swarm's name.
pub const SWARM: &str = "all";

/// A Swarm of `h1`, `h2`, `h3` and whoever joins, and whatever else is observed.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    pub swarm: Swarm,
    made: u64,
}

impl Cluster {
    pub fn new() -> Self {
        let swarm = Swarm {
            id: "cluster".into(),
            manager: name("h1"),
            nodes: BTreeMap::new(),
            services: BTreeMap::new(),
            tasks: BTreeMap::new(),
            networks: BTreeMap::new(),
            configs: BTreeMap::new(),
        };
        let mut cluster = Self { swarm, made: 1 };
        (1..=3).for_each(|number| cluster.join(number));
        cluster
    }

    pub fn join(&mut self, number: u8) {
        let node = Node {
            id: format!("node-{number}"),
            version: 1,
            hostname: format!("h{number}"),
            role: NodeRole::Manager,
            availability: Availability::Active,
            state: NodeState::Ready,
            message: String::new(),
            address: None,
            leader: number == 1,
            reachable: Some(true),
            labels: BTreeMap::new(),
        };
        self.swarm.nodes.insert(node.id.clone(), node);
    }

    /// The snapshot, with this Swarm known and its members saying that they are in it.
    pub fn seen(&self, mut observed: Observed) -> Observed {
        for (host, seen) in &mut observed.hosts {
            if let Seen::Known(engine) = seen {
                let node = self.swarm.nodes.values().find(|node| node.hostname == host.as_str());
                engine.info.membership = node.map(|node| Membership {
                    node: node.id.clone(),
                    state: "active".into(),
                    controls: true,
                    error: String::new(),
                });
            }
        }
        observed.swarms.insert(SWARM.into(), Seen::Known(self.swarm.clone()));
        observed
    }

    pub fn service(&mut self, service: &str) -> &mut LiveService {
        match self.swarm.services.get_mut(service) {
            Some(Seen::Known(live)) => live,
            Some(Seen::Unknown { .. }) | None => panic!("no service {service}"),
        }
    }

    pub fn carry_out(&mut self, plan: &Plan) {
        for (number, change) in plan.changes.iter().enumerate() {
            assert!(change.after.iter().all(|n| *n < number), "{} waits for a later change", change.subject);
            if change.subject.swarm.is_some() {
                change.steps.iter().for_each(|step| self.step(change, step));
            }
        }
    }

    /// Ids of the running tasks of a service.
    pub fn tasks(&self, service: &str) -> BTreeSet<String> {
        let running = self.swarm.tasks.values().filter(|task| task.state == TaskState::Running);
        running.filter(|task| task.service.as_deref() == Some(service)).map(|task| task.id.clone()).collect()
    }

    /// Whether the precondition holds; ids of services are their names here.
    fn holds(&self, step: &Step) -> bool {
        let (kind, object) = match &step.action {
            Action::CreateService { name, .. }
            | Action::UpdateService { name, .. }
            | Action::RemoveService { name, .. }
            | Action::WaitService { name, .. } => {
                let live = self.swarm.services.get(name).map(|seen| seen.known().expect("readable"));
                ("service", live.map(|live| (&live.name, &live.id, &live.labels)))
            }
            Action::CreateConfig { name, .. } | Action::RemoveConfig { name, .. } => {
                ("config", self.swarm.configs.get(name).map(|live| (&live.name, &live.id, &live.labels)))
            }
            Action::CreateNetwork { name, .. } | Action::RemoveNetwork { name } => {
                let live = self.swarm.networks.get(name).map(|seen| seen.known().expect("readable"));
                ("network", live.map(|live| (&live.name, &live.id, &live.labels)))
            }
            Action::PullImage { .. }
            | Action::RemoveImage { .. }
            | Action::CreateVolume { .. }
            | Action::CreateContainer { .. }
            | Action::StartContainer { .. }
            | Action::StopContainer { .. }
            | Action::RestartContainer { .. }
            | Action::RemoveContainer { .. }
            | Action::RenameContainer { .. }
            | Action::UpdateContainer { .. }
            | Action::Connect { .. }
            | Action::Disconnect { .. }
            | Action::WaitHealthy { .. }
            | Action::Drain { .. }
            | Action::Undrain { .. }
            | Action::InstallFiles { .. }
            | Action::UpdateNode { .. } => return true,
        };
        let ours = object.is_some_and(|(name, _, labels)| {
            matches!(owner().swarm_object(kind, name, SWARM, labels), Belongs::Ours(_))
        });
        match &step.expect {
            Expect::Absent => object.is_none(),
            Expect::Id(id) => object.is_some_and(|(_, live, _)| live == id),
            Expect::Ours | Expect::OursBut(_) => ours,
            Expect::Anything => true,
        }
    }

    fn step(&mut self, change: &Change, step: &Step) {
        assert!(
            self.holds(step),
            "{}: refused: {} ({:?})",
            change.subject,
            step.action.describe(),
            step.expect
        );
        self.made += 1;
        let made = self.made;
        match &step.action {
            Action::CreateService { name, spec, configs, labels } => {
                let spec = self.told_back(spec, configs);
                let live = LiveService {
                    veiled: false,
                    id: name.clone(),
                    name: name.clone(),
                    version: made,
                    created: NOW,
                    updated: NOW,
                    labels: spec.service_labels.clone().into_iter().chain(labels.clone()).collect(),
                    published: spec.ports.clone(),
                    previous: None,
                    failed: Vec::new(),
                    template: None,
                    update: None,
                    job_iteration: None,
                    beyond: BTreeSet::new(),
                    spec,
                };
                self.swarm.services.insert(name.clone(), Seen::Known(live));
                self.settle(name, true);
            }
            Action::UpdateService { name, version, spec, configs, labels, restart, keep: _ } => {
                let spec = self.told_back(spec, configs);
                let live = self.service(name);
                assert_eq!(live.version, *version, "{name}: out of sequence");
                let same_kind = std::mem::discriminant(&live.spec.mode) == std::mem::discriminant(&spec.mode);
                assert!(same_kind, "{name}: a service's mode does not change");
                let restarts = *restart || task_part(&live.spec) != task_part(&spec);
                live.version = made;
                live.labels = spec.service_labels.clone().into_iter().chain(labels.clone()).collect();
                live.previous = Some(std::mem::replace(&mut live.spec, spec));
                self.settle(name, restarts);
            }
            Action::RemoveService { name, .. } => {
                self.swarm.services.remove(name);
                self.swarm.tasks.retain(|_, task| task.service.as_deref() != Some(name));
            }
            Action::CreateConfig { name, hash, labels } => {
                assert!(name.len() <= 64, "{name} is too long for Docker");
                let (name, hash, labels) = (name.clone(), hash.clone(), labels.clone());
                let config =
                    LiveConfig { id: format!("c{made}"), name: name.clone(), hash, labels, created: NOW };
                self.swarm.configs.insert(name, config);
            }
            Action::RemoveConfig { name, .. } => {
                let uses = |live: &LiveService| live.spec.files.values().any(|file| file.source == *name);
                let used = self.swarm.services.values().filter_map(Seen::known).any(uses);
                assert!(!used, "the config {name} is in use");
                self.swarm.configs.remove(name);
            }
            Action::CreateNetwork { name, spec, labels } => {
                let network = LiveNetwork {
                    id: format!("o{made}"),
                    name: name.clone(),
                    driver: spec.driver.name().into(),
                    spec: Some(spec.clone()),
                    labels: labels.clone(),
                    attached: BTreeSet::new(),
                };
                self.swarm.networks.insert(name.clone(), Seen::Known(network));
            }
            Action::RemoveNetwork { name } => {
                let uses = |live: &LiveService| live.spec.networks.keys().any(|on| on.as_str() == name);
                let used = self.swarm.services.values().filter_map(Seen::known).any(uses);
                assert!(!used, "the network {name} is in use");
                self.swarm.networks.remove(name);
            }
            Action::UpdateNode { node, version, labels, availability } => {
                let node = self.swarm.nodes.get_mut(node).expect("a node");
                assert_eq!(node.version, *version, "{}: out of sequence", node.hostname);
                for (label, value) in labels {
                    match value {
                        Some(value) => node.labels.insert(label.clone(), value.clone()),
                        None => node.labels.remove(label),
                    };
                }
                node.availability = availability.unwrap_or(node.availability);
                node.version = made;
                let services: Vec<String> = self.swarm.services.keys().cloned().collect();
                services.iter().for_each(|service| self.settle(service, false));
            }
            Action::WaitService { .. } => {}
            Action::PullImage { .. }
            | Action::RemoveImage { .. }
            | Action::CreateVolume { .. }
            | Action::CreateContainer { .. }
            | Action::StartContainer { .. }
            | Action::StopContainer { .. }
            | Action::RestartContainer { .. }
            | Action::RemoveContainer { .. }
            | Action::RenameContainer { .. }
            | Action::UpdateContainer { .. }
            | Action::Connect { .. }
            | Action::Disconnect { .. }
            | Action::WaitHealthy { .. }
            | Action::Drain { .. }
            | Action::Undrain { .. }
            | Action::InstallFiles { .. } => {
                panic!("not on a Swarm: {}", step.action.describe())
            }
        }
    }

    /// Values hidden, files named by their configs; both must be there.
    fn told_back(&self, spec: &ServiceSpec, configs: &BTreeMap<String, String>) -> ServiceSpec<KeyedHash> {
        let hide = |(name, EnvValue::Plain(value)): (&String, &EnvValue)| (name.clone(), key().hide(value));
        let mut told = spec.with_env(spec.env.iter().map(hide).collect()).expect("the same but for env");
        for (path, file) in &mut told.files {
            let config = configs.get(path).expect("a config for every file");
            let live = self.swarm.configs.get(config).expect("the config is there");
            assert_eq!(live.hash, file.hash, "{config} holds something else");
            (file.source, file.size) = (config.clone(), 0);
        }
        for network in told.networks.keys().filter(|network| network.as_str() != "host") {
            assert!(self.swarm.networks.contains_key(network.as_str()), "no network {network}");
        }
        told
    }

    /// As many running tasks as the mode asks for, where the constraints let them be: Swarm ends those on a node that does
    /// not fit any more. All of them are new where `anew`.
    pub fn settle(&mut self, service: &str, anew: bool) {
        let spec = self.service(service).spec.clone();
        let nodes: Vec<(u64, &Node)> = (1..).zip(self.swarm.nodes.values()).collect();
        let fit: Vec<(u64, String)> = nodes
            .into_iter()
            .filter(|(_, node)| fits(node, &spec.constraints))
            .map(|(number, node)| (number, node.id.clone()))
            .collect();
        let by_turns = |slot: u64| {
            let turn = usize::try_from(slot).expect("few") % fit.len().max(1);
            fit.get(turn).map(|(_, node)| (slot, node.clone()))
        };
        let wanted: BTreeMap<u64, String> = match spec.mode {
            ServiceMode::Replicated(count) => (1..=u64::from(count)).filter_map(by_turns).collect(),
            ServiceMode::Global => fit.iter().cloned().collect(),
            ServiceMode::ReplicatedJob { .. } | ServiceMode::GlobalJob => panic!("no jobs here"),
        };
        let stays = |task: &Task| {
            let well_placed = fit.iter().any(|(_, node)| task.node.as_ref() == Some(node));
            !anew && well_placed && wanted.contains_key(&task.slot)
        };
        self.swarm.tasks.retain(|_, task| task.service.as_deref() != Some(service) || stays(task));
        for (slot, node) in wanted {
            let there = |task: &Task| task.service.as_deref() == Some(service) && task.slot == slot;
            if !self.swarm.tasks.values().any(there) {
                self.made += 1;
                let task = running(format!("t{}", self.made), service, slot, node, &spec);
                self.swarm.tasks.insert(task.id.clone(), task);
            }
        }
    }
}

/// Swarm rolled an update to this spec back.
pub fn went_back(live: &mut LiveService, failed: ServiceSpec<KeyedHash>) {
    live.failed = vec![failed];
    live.update = Some(UpdateStatus {
        state: UpdateState::RollbackCompleted,
        started: Some(Timestamp(5)),
        completed: Some(Timestamp(6)),
        message: "rollback completed".into(),
    });
}

/// Of the form that trueup writes itself.
fn fits(node: &Node, constraints: &[String]) -> bool {
    constraints.iter().all(|constraint| {
        let label = constraint.strip_prefix("node.labels.").and_then(|rest| rest.strip_suffix(" == true"));
        node.labels.get(label.expect("a label of trueup's")).is_some_and(|value| value == "true")
    })
}

fn running(id: String, service: &str, slot: u64, node: String, spec: &ServiceSpec<KeyedHash>) -> Task {
    Task {
        id,
        service: Some(service.to_owned()),
        slot,
        node: Some(node),
        wanted: TaskState::Running,
        state: TaskState::Running,
        since: NOW,
        error: String::new(),
        exit_code: None,
        container: None,
        image: spec.image.to_string(),
        template: None,
        addresses: BTreeMap::new(),
        published: BTreeSet::new(),
        job_iteration: None,
    }
}

fn task_part(spec: &ServiceSpec<KeyedHash>) -> ServiceSpec<KeyedHash> {
    let mut part = spec.clone();
    part.service_labels.clear();
    (part.update, part.rollback, part.mode) = (None, None, ServiceMode::Global);
    // Tasks that are well placed stay.
    part.constraints.clear();
    part
}
