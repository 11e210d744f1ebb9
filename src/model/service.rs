//! One Swarm service, declared in full: the fields trueup models, compares and heals, and what Swarm makes of it.
//!
//! The list of fields stands once, in `service_spec!`, as in [`super::container`]: the diff and the by-hand test matrix
//! match on [`ServiceField`] without `_`, so a new field cannot be forgotten (A4).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::container::{EnvValue, FileSpec, HealthCheck, Logging, Mount, Protocol, Ulimit};
use super::image::ImageRef;
use super::names::NetworkName;
use super::secrecy::ContentHash;
use super::units::{ByteSize, Cpus, TimeSpan};

macro_rules! service_spec {
    ($($(#[$doc:meta])* $field:ident / $variant:ident: $type:ty,)*) => {
        /// What git declares of a service, and, with hidden env values (`E` = `KeyedHash`), what a Swarm has. `None` or
        /// empty means "as the image and Swarm have it": a service tells back what it was given, and no more.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct ServiceSpec<E = EnvValue> { $($(#[$doc])* pub $field: $type,)* }

        /// The modelled fields, one for each field of [`ServiceSpec`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ServiceField { $($(#[$doc])* $variant,)* }

        impl ServiceField {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The name that git's `ignore = [...]`, plans and reports use.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($field),)* }
            }
        }
    };
}

service_spec! {
    /// The image, by tag or digest; never resolved by Swarm itself.
    image / Image: ImageRef,
    /// What runs before the command.
    entrypoint / Entrypoint: Option<Vec<String>>,
    /// Arguments.
    command / Command: Option<Vec<String>>,
    /// Variables on top of the image's.
    env / Env: BTreeMap<String, E>,
    workdir / Workdir: Option<String>,
    user / User: Option<String>,
    hostname / Hostname: Option<String>,
    /// Labels of the tasks' containers: their change restarts tasks. Never under `io.trueup.`.
    labels / Labels: BTreeMap<String, String>,
    /// Labels of the service itself: their change restarts nothing (D8). Never under `io.trueup.`.
    service_labels / ServiceLabels: BTreeMap<String, String>,
    /// Host directories, volumes and tmpfs, by path in the container.
    mounts / Mounts: BTreeMap<String, Mount>,
    /// Files of the repository, as Swarm configs (D9), by path in the container.
    files / Files: BTreeMap<String, FileSpec>,
    /// Overlay networks (or `host`) and the aliases there.
    networks / Networks: BTreeMap<NetworkName, BTreeSet<String>>,
    cpus / Cpus: Option<Cpus>,
    memory / Memory: Option<ByteSize>,
    /// Reserved by the scheduler.
    cpus_reservation / CpusReservation: Option<Cpus>,
    memory_reservation / MemoryReservation: Option<ByteSize>,
    pids / Pids: Option<u32>,
    /// When a task that ended is replaced.
    restart / Restart: TaskRestart,
    health / Health: Option<HealthCheck>,
    cap_add / CapAdd: BTreeSet<String>,
    cap_drop / CapDrop: BTreeSet<String>,
    read_only / ReadOnly: bool,
    init / Init: Option<bool>,
    sysctls / Sysctls: BTreeMap<String, String>,
    ulimits / Ulimits: BTreeMap<String, Ulimit>,
    dns / Dns: Vec<IpAddr>,
    extra_hosts / ExtraHosts: BTreeMap<String, String>,
    logging / Logging: Option<Logging>,
    stop_signal / StopSignal: Option<String>,
    stop_timeout / StopTimeout: Option<TimeSpan>,
    /// How many tasks, and of what kind.
    mode / Mode: ServiceMode,
    /// Placement constraints, such as `node.labels.zone == a`, in the declared order.
    constraints / Constraints: Vec<String>,
    /// Labels over whose values tasks are spread, such as `node.labels.zone`.
    spread / Spread: Vec<String>,
    /// Most tasks on one node; 0 is unlimited.
    max_per_node / MaxPerNode: u32,
    /// How Swarm rolls a change out; `None` leaves Swarm's own defaults.
    update / Update: Option<UpdateSettings>,
    /// How Swarm goes back.
    rollback / Rollback: Option<UpdateSettings>,
    endpoint_mode / EndpointMode: EndpointMode,
    ports / Ports: BTreeSet<ServicePort>,
}

impl<E: Clone + Serialize> ServiceSpec<E> {
    /// A hash of what tasks are made from: all that an update can fail by. The number of tasks, how they are published,
    /// labels of the service and settings of updates are not of it.
    pub fn task_hash(&self) -> ContentHash {
        self.clone().into_task_hash()
    }

    /// As [`task_hash`](Self::task_hash).
    pub fn into_task_hash(self) -> ContentHash {
        let part = Self {
            service_labels: BTreeMap::new(),
            mode: self.mode.kind(),
            update: None,
            rollback: None,
            endpoint_mode: EndpointMode::Vip,
            ports: BTreeSet::new(),
            ..self
        };
        ContentHash::of(serde_json::to_string(&part).unwrap_or_default().as_bytes())
    }
}

impl ServiceSpec {
    /// A hash of every field, for people and for `because`; it never decides anything (A4).
    pub fn hash(&self) -> ContentHash {
        ContentHash::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }
}

impl<E: Clone + Serialize> ServiceSpec<E> {
    /// The same with other variables, hidden or not. `None` cannot be: the two kinds of spec differ in them alone.
    pub fn with_env<F: for<'d> Deserialize<'d>>(&self, env: BTreeMap<String, F>) -> Option<ServiceSpec<F>> {
        let bare = Self { env: BTreeMap::new(), ..self.clone() };
        let spec: ServiceSpec<F> = serde_json::from_value(serde_json::to_value(bare).ok()?).ok()?;
        Some(ServiceSpec { env, ..spec })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceMode {
    Replicated(u32),
    /// One task on every node that fits.
    Global,
    /// Tasks that end: `total` completions, at most `at_once` at a time.
    ReplicatedJob {
        total: u32,
        at_once: u32,
    },
    /// One task that ends on every node that fits.
    GlobalJob,
}

impl ServiceMode {
    /// The same for any number of tasks.
    const fn kind(self) -> Self {
        match self {
            Self::Replicated(_) => Self::Replicated(0),
            Self::ReplicatedJob { .. } => Self::ReplicatedJob { total: 0, at_once: 0 },
            Self::Global | Self::GlobalJob => self,
        }
    }

    /// Whether its tasks are meant to end.
    pub const fn is_job(self) -> bool {
        match self {
            Self::ReplicatedJob { .. } | Self::GlobalJob => true,
            Self::Replicated(_) | Self::Global => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRestart {
    pub condition: RestartCondition,
    /// `None` is Swarm's 5 s.
    pub delay: Option<TimeSpan>,
    /// Tries within the window; `None` is unlimited.
    pub max_attempts: Option<u32>,
    pub window: Option<TimeSpan>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartCondition {
    None,
    OnFailure,
    Any,
}

/// Swarm's own update (or rollback) settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UpdateSettings {
    /// Tasks at once; 0 is all.
    pub parallelism: u32,
    pub delay: TimeSpan,
    /// How long a new task is watched for failure.
    pub monitor: Option<TimeSpan>,
    pub on_failure: OnFailure,
    /// Share of failed tasks that is borne, in thousandths.
    pub max_failure_permille: u16,
    pub order: UpdateOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    Pause,
    Continue,
    /// Not for rollbacks.
    Rollback,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateOrder {
    StopFirst,
    StartFirst,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointMode {
    /// One virtual address for the service.
    Vip,
    /// The tasks' addresses by DNS.
    Dnsrr,
}

/// A port that a service publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServicePort {
    pub container: u16,
    pub protocol: Protocol,
    /// `None` lets Swarm choose one.
    pub published: Option<u16>,
    pub publish: PublishMode,
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(published) = self.published {
            write!(f, "{published}:")?;
        }
        write!(f, "{}/{}", self.container, self.protocol.name())?;
        match self.publish {
            PublishMode::Ingress => Ok(()),
            PublishMode::Host => f.write_str(" on the task's node"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishMode {
    /// On every node, through the routing mesh.
    Ingress,
    /// On the node that runs the task.
    Host,
}
