//! What a Swarm really runs, as one of its managers tells it (A1).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::names::HostName;
use super::observed::{LiveNetwork, Seen};
use super::secrecy::{ContentHash, KeyedHash};
use super::service::{ServicePort, ServiceSpec};
use super::units::Timestamp;

/// A Swarm and what it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Swarm {
    /// Swarm's own id of the cluster.
    pub id: String,
    /// The host through whose engine it was read.
    pub manager: HostName,
    /// By node id.
    pub nodes: BTreeMap<String, Node>,
    /// By name.
    pub services: BTreeMap<String, Seen<LiveService>>,
    /// By id: the tasks of services, those that Swarm only keeps as history included, and the attachments of containers
    /// to its networks, which have no service.
    pub tasks: BTreeMap<String, Task>,
    /// Networks of the Swarm's scope, by name; the ingress network included.
    pub networks: BTreeMap<String, Seen<LiveNetwork>>,
    /// By name.
    pub configs: BTreeMap<String, LiveConfig>,
}

impl UpdateState {
    /// Swarm goes back, or went back, to what was there before.
    pub const fn is_rollback(self) -> bool {
        match self {
            Self::RollbackStarted | Self::RollbackPaused | Self::RollbackCompleted => true,
            Self::Updating | Self::Paused | Self::Completed => false,
        }
    }
}

impl LiveService {
    /// Its update, where that is one back.
    pub fn rolled_back(&self) -> Option<&UpdateStatus> {
        self.update.as_ref().filter(|update| update.state.is_rollback())
    }
}

impl Swarm {
    /// The tasks of a service, by its id.
    pub fn tasks_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Task> {
        self.tasks.values().filter(move |task| task.service.as_deref() == Some(service))
    }

    /// Addresses by network that a node's tasks and attached containers hold, as far as Swarm knows: those of a node that
    /// is down as well, whose tasks it wants to end and still tells as running.
    pub fn held_by(&self, node: &str) -> BTreeMap<&str, BTreeSet<IpAddr>> {
        let mut held: BTreeMap<&str, BTreeSet<IpAddr>> = BTreeMap::new();
        let there = |task: &&Task| task.node.as_deref() == Some(node) && task.state <= TaskState::Running;
        for (network, addresses) in self.tasks.values().filter(there).flat_map(|task| &task.addresses) {
            held.entry(network).or_default().extend(addresses);
        }
        held
    }
}

/// An engine's own membership, as it sees it itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Empty while it is in no Swarm.
    pub node: String,
    /// `active`, `inactive`, `pending`, `error`, `locked`.
    pub state: String,
    /// It answers for the Swarm (a manager, as far as it knows).
    pub controls: bool,
    /// Why it is in error.
    pub error: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub id: String,
    /// The version that an update must name.
    pub version: u64,
    pub hostname: String,
    pub role: NodeRole,
    pub availability: Availability,
    pub state: NodeState,
    /// Such as `heartbeat failure`.
    pub message: String,
    pub address: Option<IpAddr>,
    pub leader: bool,
    /// Managers only: whether the others reach it.
    pub reachable: Option<bool>,
    /// `Spec.Labels`: what constraints see as `node.labels.…`.
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    Worker,
    Manager,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    Active,
    /// Nothing new.
    Pause,
    /// Its tasks go elsewhere.
    Drain,
}

impl Availability {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pause => "pause",
            Self::Drain => "drain",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    Unknown,
    Down,
    Ready,
    Disconnected,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveService {
    pub id: String,
    pub name: String,
    /// The version that an update must name.
    pub version: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Values of env are hidden (G1).
    pub spec: ServiceSpec<KeyedHash>,
    /// What Swarm would go back to; `None` after it went back.
    pub previous: Option<ServiceSpec<KeyedHash>>,
    /// After Swarm went back: what tasks that failed or ended early were made from, as far as it still has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<ServiceSpec<KeyedHash>>,
    /// Of what its tasks are to be made from, but for where they may be; `None` in snapshots of earlier releases.
    #[serde(default)]
    pub template: Option<ContentHash>,
    /// `ServiceSpec.Labels`, ownership included: their change restarts nothing (D8).
    pub labels: BTreeMap<String, String>,
    /// Its last update or rollback; `None`: there was none.
    pub update: Option<UpdateStatus>,
    /// Ports as Swarm published them, those it chose itself included.
    pub published: BTreeSet<ServicePort>,
    /// Jobs: how often it was asked to run.
    pub job_iteration: Option<u64>,
    /// In words, what is set on it that trueup does not model: updates leave it as it is.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub beyond: BTreeSet<String>,
    /// It is not ours, and its texts were hidden when this snapshot was saved (G1): they cannot be compared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub veiled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateStatus {
    pub state: UpdateState,
    pub started: Option<Timestamp>,
    pub completed: Option<Timestamp>,
    /// Swarm's own words.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateState {
    Updating,
    Paused,
    Completed,
    RollbackStarted,
    RollbackPaused,
    RollbackCompleted,
}

/// A piece of work that Swarm gave to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub id: String,
    /// The service's id; `None`: a container that is attached to a network by itself.
    pub service: Option<String>,
    /// Replicated services; 0 elsewhere.
    pub slot: u64,
    /// `None`: not placed yet.
    pub node: Option<String>,
    pub wanted: TaskState,
    pub state: TaskState,
    /// When `state` was told.
    pub since: Timestamp,
    /// Swarm's words: why it waits, how it failed. Empty where all is well.
    pub error: String,
    pub exit_code: Option<i64>,
    /// The container's id, once there is one.
    pub container: Option<String>,
    /// The image that it was made from, as text.
    pub image: String,
    /// Of what it was made from: another one than its service's is one that an update has still to replace.
    #[serde(default)]
    pub template: Option<ContentHash>,
    /// By network name.
    pub addresses: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Ports in host mode.
    pub published: BTreeSet<ServicePort>,
    pub job_iteration: Option<u64>,
}

/// In Swarm's order: a task only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    New,
    Allocated,
    Pending,
    Assigned,
    Accepted,
    Preparing,
    Ready,
    Starting,
    Running,
    Complete,
    Shutdown,
    Failed,
    Rejected,
    Remove,
    Orphaned,
}

impl TaskState {
    /// It failed, or its program ended.
    pub const fn ended_by_itself(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Rejected)
    }
}

/// A Swarm config; its bytes are hashed when they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveConfig {
    pub id: String,
    pub name: String,
    pub hash: ContentHash,
    pub labels: BTreeMap<String, String>,
    pub created: Timestamp,
}
