//! An app in one environment, as git declares it: what runs, where, how many, how reached, how changed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::adoption::AdoptedBySlot;
use super::container::ContainerSpec;
use super::names::{AppKey, AppName, FieldName, HostName, NetworkName, PoolName, TeamName, VolumeName};
use super::network::Volume;
use super::service::{EndpointMode, PublishMode, RestartCondition, ServiceMode, TaskRestart, UpdateSettings};
use super::units::{ByteSize, Cpus, TimeSpan};

/// The base spec with the environment's overlay applied and every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    pub key: AppKey,
    pub team: Option<TeamName>,
    pub runtime: Runtime,
    /// What every instance is, but for what its slot decides: leased addresses (see `leases`).
    pub container: ContainerSpec,
    /// Networks on which each instance leases an address, and from where. The networks themselves also stand in
    /// `container.networks`; placement writes the leased address there.
    pub leases: BTreeMap<NetworkName, AddressSource>,
    /// The volumes that mounts name, by their name on the engine.
    pub volumes: BTreeMap<VolumeName, Volume>,
    /// Apps of the same environment that must be healthy first (D4).
    pub depends_on: BTreeSet<AppName>,
    pub update: Update,
    pub upstream: Option<Upstream>,
    pub logs: Vec<LogSource>,
    /// Never pruned (B2).
    pub protect: bool,
    /// Containers of the same names that trueup did not make may be taken over (B4).
    pub adopt: bool,
    /// Containers of other names that stand for a slot until their next replacement (B4); `adopt` is set with them.
    #[serde(default, skip_serializing_if = "AdoptedBySlot::is_empty")]
    pub adopted: AdoptedBySlot,
    /// Drift is reported, nothing is changed (A6).
    pub detect_only: bool,
    /// Fields whose drift is reported but not healed (A6).
    pub ignore: BTreeSet<FieldName>,
    /// When an image is asked from the registry.
    pub pull: PullPolicy,
    /// Where it is declared: `file:line` of the base spec, and of the overlay where there is one.
    pub origin: String,
}

/// Who decides where instances run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// trueup places instances on hosts.
    Host(Placement),
    /// Swarm schedules.
    Swarm(SwarmService),
}

/// Where trueup puts instances: deterministic, spread, within capacity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    pub replicas: Replicas,
    pub hosts: HostSelector,
    /// The host label over whose values instances are spread, such as `zone`.
    pub spread: Option<String>,
    /// Never two instances of this app on one host.
    pub one_per_host: bool,
    pub failover: Failover,
    pub on_return: OnReturn,
    /// Never two of a slot at once, anywhere (C7).
    pub exclusive: bool,
    /// What an instance takes of its host's capacity (the limits, where set).
    pub demand: Demand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Demand {
    pub cpus: Option<Cpus>,
    pub memory: Option<ByteSize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replicas {
    Count(u32),
    /// One on every selected host.
    EveryHost,
}

/// Which hosts may run it; always within the hosts that serve its environment (F5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostSelector {
    Any,
    Names(Vec<HostName>),
    /// Hosts that have all these labels.
    Labels(BTreeMap<String, String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failover {
    /// Instances of a dead host start elsewhere.
    Move,
    /// They wait for it; forced by data that is not disposable (B5).
    Stay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReturn {
    KeepReplacement,
    KeepOriginal,
}

/// What a service has beyond the container that each of its tasks is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SwarmService {
    /// The name of the service that it takes over (B4), where that is not the app's own: a service cannot be renamed, and
    /// keeps it for as long as git says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<String>,
    /// The Swarm of `fleet.toml` it runs on.
    pub swarm: String,
    pub mode: ServiceMode,
    /// Placement constraints, passed through.
    pub constraints: Vec<String>,
    pub spread: Vec<String>,
    pub max_per_node: u32,
    /// The service's own labels (D8).
    pub labels: BTreeMap<String, String>,
    pub endpoint_mode: EndpointMode,
    /// How the app's ports are published.
    pub publish: PublishMode,
    pub cpus_reservation: Option<Cpus>,
    pub restart: TaskRestart,
    /// Swarm rolls changes out itself (D1); jobs have none.
    pub update: Option<UpdateSettings>,
    pub rollback: Option<UpdateSettings>,
}

impl SwarmService {
    /// With Swarm's own defaults for everything else.
    pub fn new(swarm: &str, mode: ServiceMode) -> Self {
        Self {
            adopted: None,
            swarm: swarm.to_owned(),
            mode,
            constraints: Vec::new(),
            spread: Vec::new(),
            max_per_node: 0,
            labels: BTreeMap::new(),
            endpoint_mode: EndpointMode::Vip,
            publish: PublishMode::Ingress,
            cpus_reservation: None,
            restart: TaskRestart {
                condition: RestartCondition::Any,
                delay: None,
                max_attempts: None,
                window: None,
            },
            update: None,
            rollback: None,
        }
    }
}

/// Where an instance's address on a network comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressSource {
    /// Leased from a pool.
    Pool(PoolName),
    /// Fixed, one for each slot in order.
    Fixed(Vec<std::net::IpAddr>),
}

/// How a change of spec is rolled out (D1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    pub strategy: Strategy,
    /// How many instances may be away at once; at least 1.
    pub max_unavailable: u32,
    /// How long an instance must be healthy before it counts.
    pub min_healthy: TimeSpan,
    pub healthy_deadline: TimeSpan,
    /// How long an instance may finish its requests after it left the upstream.
    pub drain_timeout: TimeSpan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// A few at a time.
    Rolling,
    /// All at once: old ones stop, new ones start.
    Recreate,
}

impl Default for Update {
    fn default() -> Self {
        Self {
            strategy: Strategy::Rolling,
            max_unavailable: 1,
            min_healthy: TimeSpan::from_secs(10),
            healthy_deadline: TimeSpan::from_secs(300),
            drain_timeout: TimeSpan::from_secs(30),
        }
    }
}

/// An Nginx upstream of the app's healthy instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// The port in the container.
    pub port: u16,
    /// Server names of the virtual host; empty writes the upstream alone.
    pub server_names: Vec<String>,
    /// The port the virtual host listens on.
    pub listen: u16,
    pub balance: Balance,
    /// Idle connections kept per worker; `None` keeps none.
    pub keepalive: Option<u32>,
    pub max_fails: Option<u32>,
    pub fail_timeout: Option<TimeSpan>,
    /// The network whose addresses the servers have; `None`: the host's address and the published port, else the
    /// only network.
    pub network: Option<NetworkName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    RoundRobin,
    LeastConn,
    IpHash,
    Random,
}

/// Log files that Flume collects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSource {
    /// The directory as the host sees it (through the mount that holds it).
    pub directory: String,
    /// A file name with `*`, as in `*.log`.
    pub pattern: String,
    pub topic: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// A tag is resolved at the registry once per revision; what is missing is pulled.
    Missing,
    /// Images are loaded by someone else; only what the engine has is used.
    Never,
}

impl App {
    /// A service whose tasks are meant to end.
    pub const fn is_job(&self) -> bool {
        match &self.runtime {
            Runtime::Swarm(service) => service.mode.is_job(),
            Runtime::Host(_) => false,
        }
    }

    /// What its service is called on the Swarm.
    pub fn service_name(&self) -> String {
        match &self.runtime {
            Runtime::Swarm(SwarmService { adopted: Some(name), .. }) => name.clone(),
            Runtime::Swarm(_) | Runtime::Host(_) => self.key.to_string(),
        }
    }
}
