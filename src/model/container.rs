//! One Docker container, declared in full: the fields trueup models, compares and heals.
//!
//! The list of fields stands once, in `container_spec!`; the diff and the by-hand test matrix match on
//! [`ContainerField`] without `_`, so a new field cannot be forgotten (A4).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::image::ImageRef;
use super::names::{NetworkName, VolumeName};
use super::secrecy::ContentHash;
use super::units::{ByteSize, Cpus, TimeSpan};

macro_rules! container_spec {
    ($($(#[$doc:meta])* $field:ident / $variant:ident: $type:ty,)*) => {
        /// What git declares of a container. `None` or empty means "as the image and the daemon have it".
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct ContainerSpec { $($(#[$doc])* pub $field: $type,)* }

        /// The modelled fields, one for each field of [`ContainerSpec`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ContainerField { $($(#[$doc])* $variant,)* }

        impl ContainerField {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The name that git's `ignore = [...]`, plans and reports use.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($field),)* }
            }
        }
    };
}

container_spec! {
    /// The image, by tag or digest.
    image / Image: ImageRef,
    /// What runs before the command; `None` is the image's.
    entrypoint / Entrypoint: Option<Vec<String>>,
    /// Arguments; `None` is the image's, unless `entrypoint` is set (then none, as Docker does it).
    command / Command: Option<Vec<String>>,
    /// Variables on top of the image's.
    env / Env: BTreeMap<String, EnvValue>,
    /// The directory the process starts in.
    workdir / Workdir: Option<String>,
    /// `user[:group]` the process runs as.
    user / User: Option<String>,
    /// The container's own host name; `None` is Docker's (the short container id).
    hostname / Hostname: Option<String>,
    /// The app's own labels, on top of the image's. Never under `io.trueup.`.
    labels / Labels: BTreeMap<String, String>,
    /// Ports published on the host.
    ports / Ports: BTreeSet<Port>,
    /// Host directories, volumes and tmpfs, by path in the container.
    mounts / Mounts: BTreeMap<String, Mount>,
    /// Files of the repository, put in before the start (D9), by path in the container.
    files / Files: BTreeMap<String, FileSpec>,
    /// How it is connected.
    networks / Networks: Networks,
    /// CPU limit; `None` is unlimited.
    cpus / Cpus: Option<Cpus>,
    /// Memory limit; `None` is unlimited.
    memory / Memory: Option<ByteSize>,
    /// Soft memory limit.
    memory_reservation / MemoryReservation: Option<ByteSize>,
    /// Most processes and threads; `None` is unlimited.
    pids / Pids: Option<u32>,
    /// Size of /dev/shm; `None` is the daemon's (64 MiB).
    shm_size / ShmSize: Option<ByteSize>,
    /// What the engine does when the process ends.
    restart / Restart: Restart,
    /// The health check; `None` is the image's.
    health / Health: Option<HealthCheck>,
    /// Capabilities on top of Docker's default set, without `CAP_`.
    cap_add / CapAdd: BTreeSet<String>,
    /// Capabilities taken from it, or `ALL`.
    cap_drop / CapDrop: BTreeSet<String>,
    /// All capabilities and devices.
    privileged / Privileged: bool,
    /// The container's own file system cannot be written.
    read_only / ReadOnly: bool,
    /// A tiny init as process 1, which reaps children; `None` is the daemon's default.
    init / Init: Option<bool>,
    /// Such as `no-new-privileges`.
    security_opt / SecurityOpt: BTreeSet<String>,
    /// Kernel parameters of the container's namespaces.
    sysctls / Sysctls: BTreeMap<String, String>,
    /// Resource limits, by name (`nofile`).
    ulimits / Ulimits: BTreeMap<String, Ulimit>,
    /// Devices of the host, by path in the container.
    devices / Devices: BTreeMap<String, Device>,
    /// Name servers; empty is the daemon's.
    dns / Dns: Vec<IpAddr>,
    /// Lines for /etc/hosts: name to address.
    extra_hosts / ExtraHosts: BTreeMap<String, String>,
    /// Where stdout and stderr go; `None` is the daemon's.
    logging / Logging: Option<Logging>,
    /// The signal that asks the process to end; `None` is the image's.
    stop_signal / StopSignal: Option<String>,
    /// How long it may take to end; `None` is Docker's 10 s.
    stop_timeout / StopTimeout: Option<TimeSpan>,
}

impl fmt::Display for ContainerField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ContainerSpec {
    /// A container of `image` with everything else as the image and the daemon have it.
    pub fn of(image: ImageRef) -> Self {
        Self {
            image,
            entrypoint: None,
            command: None,
            env: BTreeMap::new(),
            workdir: None,
            user: None,
            hostname: None,
            labels: BTreeMap::new(),
            ports: BTreeSet::new(),
            mounts: BTreeMap::new(),
            files: BTreeMap::new(),
            networks: Networks::Default,
            cpus: None,
            memory: None,
            memory_reservation: None,
            pids: None,
            shm_size: None,
            restart: Restart::No,
            health: None,
            cap_add: BTreeSet::new(),
            cap_drop: BTreeSet::new(),
            privileged: false,
            read_only: false,
            init: None,
            security_opt: BTreeSet::new(),
            sysctls: BTreeMap::new(),
            ulimits: BTreeMap::new(),
            devices: BTreeMap::new(),
            dns: Vec::new(),
            extra_hosts: BTreeMap::new(),
            logging: None,
            stop_signal: None,
            stop_timeout: None,
        }
    }

    /// A hash of every field, for people and for `because`; it never decides anything (A4).
    pub fn hash(&self) -> ContentHash {
        ContentHash::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }
}

/// A variable's value as declared. Secrets are named here and resolved only on the way to the engine (G1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvValue {
    /// Declared plain in git; may be shown.
    Plain(String),
}

/// A published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// The port in the container.
    pub container: u16,
    pub protocol: Protocol,
    /// The port on the host; `None` lets the engine choose one.
    pub host: Option<u16>,
    /// The host's address to listen on: `0.0.0.0` is all of IPv4, `::` all of IPv6, `None` is all of both.
    pub address: Option<IpAddr>,
}

impl Port {
    /// Whether a host cannot listen on both: the same port and protocol, and an address in common.
    pub fn clashes(&self, other: &Self) -> bool {
        let in_common = match (self.address, other.address) {
            (Some(one), Some(other)) => {
                let all = one.is_unspecified() || other.is_unspecified();
                one == other || (all && one.is_ipv4() == other.is_ipv4())
            }
            (None, _) | (_, None) => true,
        };
        self.host.is_some() && self.host == other.host && self.protocol == other.protocol && in_common
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.host) {
            (Some(IpAddr::V6(address)), host) => write!(f, "[{address}]:{}:", host.unwrap_or(0))?,
            (Some(address), host) => write!(f, "{address}:{}:", host.unwrap_or(0))?,
            (None, Some(host)) => write!(f, "{host}:")?,
            (None, None) => {}
        }
        write!(f, "{}/{}", self.container, self.protocol.name())
    }
}

/// Something mounted into the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub source: MountSource,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A directory or file of the host, by absolute path.
    Host(String),
    /// A volume, by its name on the engine. Never pruned (B5).
    Volume(VolumeName),
    /// Memory; `size` `None` is unlimited.
    Tmpfs { size: Option<ByteSize> },
}

/// A file of the repository as the container gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpec {
    /// Path in the repository, for messages.
    pub source: String,
    pub hash: ContentHash,
    pub size: u64,
    /// Permission bits, such as 0o400.
    pub mode: u32,
}

/// How a container is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Networks {
    /// Docker's own `bridge`.
    Default,
    /// The host's own stack.
    Host,
    /// No network.
    None,
    /// Declared networks. Never empty.
    Named(BTreeMap<NetworkName, Attachment>),
}

/// A container's place on one network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attachment {
    /// A fixed address; `None` lets the engine choose.
    pub address: Option<IpAddr>,
    /// Further names it answers to there.
    pub aliases: BTreeSet<String>,
}

/// Docker's restart policies.
#[derive(Debug, Clone, Default, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    #[default]
    No,
    Always,
    UnlessStopped,
    OnFailure {
        max_retries: u32,
    },
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
            Self::OnFailure { max_retries: 0 } => f.write_str("on-failure"),
            Self::OnFailure { max_retries } => write!(f, "on-failure:{max_retries}"),
        }
    }
}

/// A container's health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheck {
    /// The image's check is switched off.
    Disabled,
    Probe {
        /// Docker's form: `["CMD", …]` or `["CMD-SHELL", line]`.
        test: Vec<String>,
        interval: Option<TimeSpan>,
        timeout: Option<TimeSpan>,
        start_period: Option<TimeSpan>,
        retries: Option<u32>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    pub soft: i64,
    pub hard: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path on the host.
    pub host: String,
    /// Of `r`, `w`, `m`.
    pub permissions: String,
}

/// A logging driver and its options, as Docker's `--log-driver` and `--log-opt`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    pub driver: String,
    pub options: BTreeMap<String, String>,
}
