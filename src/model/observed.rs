//! What the engines really run, as read: every value is known or unknown, never guessed (A1).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::container::{Device, HealthCheck, Logging, Mount, Port, Restart, Ulimit};
use super::file::{FileSet, Files};
use super::image::{Digest, ImageRef};
use super::names::{ContainerName, HostName, Revision, VolumeName};
use super::network::{NetworkSpec, VolumeSpec};
use super::ownership;
use super::secrecy::{ContentHash, KeyedHash};
use super::swarm::{Membership, Swarm};
use super::units::{ByteSize, Cpus, TimeSpan, Timestamp};

/// A reading, or why there is none. "Could not read" is a different type from "nothing there".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen<T> {
    Known(T),
    Unknown {
        /// In words: which call failed and how.
        why: String,
    },
}

impl<T> Seen<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown { .. } => None,
        }
    }
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into() }
    }
}

/// A snapshot of the fleet: what `plan --observed FILE` replays. It holds no secret (G1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// When the reading was finished.
    pub at: Timestamp,
    /// Names the key that hid the env values; values hidden with another key cannot be compared.
    pub key: KeyedHash,
    pub hosts: BTreeMap<HostName, Seen<Engine>>,
    /// By the Swarm's name in fleet.toml; unknown where no manager answers for it.
    #[serde(default)]
    pub swarms: BTreeMap<String, Seen<Swarm>>,
    /// Installed generated files.
    pub files: BTreeMap<FileSet, Seen<Option<Files>>>,
}

/// A snapshot as a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Whose it is: what carries this installation's labels is ours (B1). Earlier releases did not write it.
    #[serde(default)]
    pub installation: Option<String>,
    /// What the tags of the enforced revision stand for: engines only know digests. Earlier releases did not write it.
    #[serde(default)]
    pub images: BTreeMap<ImageRef, Digest>,
    /// Digests that ran healthy outside of production (F5); `None`: nobody knew, or it is of an earlier
    /// release, which did not write it.
    #[serde(default)]
    pub healthy_in_test: Option<BTreeSet<Digest>>,
    /// Whose rules judge the next revision (F1); `None`: nothing was applied, or it is of an earlier release, which did not
    /// write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_by: Option<RulesOf>,
    #[serde(flatten)]
    pub observed: Observed,
}

/// Whose rules judge, those of the library aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RulesOf {
    Revision(Revision),
    /// Of every revision so far something was denied.
    Nobody,
}

impl Observed {
    /// The engine of `host`, where it was read.
    pub fn engine(&self, host: &HostName) -> Option<&Engine> {
        self.hosts.get(host).and_then(Seen::known)
    }
}

/// One engine and what it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    pub info: EngineInfo,
    /// By name, without Docker's leading `/`.
    pub containers: BTreeMap<ContainerName, Seen<Container>>,
    /// Images by id; those of containers and those that desired references name.
    pub images: BTreeMap<Digest, Image>,
    /// By name.
    pub networks: BTreeMap<String, Seen<LiveNetwork>>,
    pub volumes: BTreeMap<VolumeName, Seen<LiveVolume>>,
    /// Why a volume that is not among them may be there all the same (A1).
    #[serde(default)]
    pub volumes_hidden: Option<String>,
}

/// What the daemon fills in by itself, needed to tell its defaults from drift (A4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Docker's own id of this engine.
    pub id: String,
    pub name: String,
    pub version: String,
    pub api_version: String,
    pub os: String,
    pub architecture: String,
    pub cpus: u32,
    pub memory: ByteSize,
    /// The daemon's default logging driver. Its default options are not in `info`; what a container carries beyond
    /// the declared ones is compared only where the app declares `logging`.
    pub log_driver: String,
    /// The id of the Swarm it manages, where it is a manager.
    pub swarm: Option<String>,
    #[serde(default)]
    pub membership: Option<Membership>,
    /// What its clock said when it was asked.
    #[serde(default)]
    pub clock: Option<Timestamp>,
}

/// A container as inspected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub id: String,
    pub name: ContainerName,
    /// The image's id, `sha256:…`.
    pub image: Digest,
    /// The reference it was created from, as text.
    pub image_name: String,
    pub created: Timestamp,
    pub state: RunState,
    /// Docker's own count of restarts.
    pub restarts: u64,
    /// All labels, the image's and ownership included.
    pub labels: BTreeMap<String, String>,
    pub live: LiveSpec,
    /// In words, what is set on it that trueup does not model: a replacement would be without it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub beyond: BTreeSet<String>,
    /// Volumes that nobody named, by path in the container: a successor is without them, and they stay (B5).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub anonymous: BTreeMap<String, String>,
    /// It is not ours, and its texts were hidden when this snapshot was saved (G1): they cannot be compared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub veiled: bool,
}

/// Docker gives a volume that nobody named 64 hex digits.
pub fn is_unnamed(volume: &str) -> bool {
    volume.len() == 64 && volume.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Swarm puts it on its tasks; what is made of an image that somebody made of a task (`docker commit`) has it too.
pub const SWARM_TASK: &str = "com.docker.swarm.task.id";

/// Whether a container of this name and these labels is a Swarm's task; see [`task_of`].
pub fn is_task(name: &ContainerName, labels: &BTreeMap<String, String>) -> bool {
    task_of(name, labels).is_some()
}

/// The id of the task that a container is by its name and labels: it is called after the label, and carries none of
/// trueup's, which Swarm puts on the service and not on what it runs (D8).
pub fn task_of<'a>(name: &ContainerName, labels: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let id = labels.get(SWARM_TASK).filter(|id| !id.is_empty())?;
    let rest = name.as_str().strip_suffix(id.as_str())?;
    let called = rest.len() > 1 && rest.ends_with('.');
    let labelled = labels.keys().any(|label| label.starts_with(ownership::PREFIX));
    (called && !labelled).then_some(id)
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Created,
    Running { since: Timestamp, health: Health },
    Paused,
    Restarting { exit_code: i64 },
    Removing,
    Exited { exit_code: i64, at: Timestamp, error: String },
    Dead,
}

impl Container {
    /// It runs, or its engine may start it by itself. What was stopped and stays so stands in nobody's way, as with an
    /// address or an exclusive slot (C1); which of those that ended were stopped by hand, an engine does not tell.
    pub fn may_run(&self) -> bool {
        match &self.state {
            RunState::Running { .. } | RunState::Paused | RunState::Restarting { .. } => true,
            RunState::Exited { exit_code, error, .. } => match self.live.restart {
                Restart::No => false,
                Restart::Always => true,
                // Only a start that failed leaves it so without a hand.
                Restart::UnlessStopped => !error.is_empty(),
                Restart::OnFailure { .. } => *exit_code != 0,
            },
            RunState::Created | RunState::Removing | RunState::Dead => false,
        }
    }
}

impl RunState {
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// It runs: what it is attached to is in use. Between two starts it is attached to nothing, and no engine takes it off
    /// a network then, by force either (measured on 20.10).
    pub fn is_up(&self) -> bool {
        match self {
            Self::Running { .. } | Self::Paused => true,
            Self::Created | Self::Restarting { .. } | Self::Removing | Self::Exited { .. } | Self::Dead => {
                false
            }
        }
    }
}

/// What the container's own health check says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No check: running is all there is to know.
    Unchecked,
    Starting,
    Healthy,
    Unhealthy {
        last_output: String,
    },
}

/// The live fields as Docker tells them: the image's and the daemon's defaults are still in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveSpec {
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    /// Values are hidden (G1).
    pub env: BTreeMap<String, KeyedHash>,
    pub workdir: String,
    pub user: String,
    pub hostname: String,
    pub ports: BTreeSet<Port>,
    /// By path in the container; anonymous volumes of the image are left out.
    pub mounts: BTreeMap<String, Mount>,
    /// Files that trueup put in (named by the ownership label), by path; `None`: no longer there.
    pub files: BTreeMap<String, Seen<Option<LiveFile>>>,
    /// `bridge`, `host`, `none`, `container:…`, or the first network's name.
    pub network_mode: String,
    /// By network name.
    pub networks: BTreeMap<String, LiveAttachment>,
    pub cpus: Cpus,
    pub memory: ByteSize,
    pub memory_reservation: ByteSize,
    /// 0 is unlimited.
    pub pids: u32,
    pub shm_size: ByteSize,
    pub restart: Restart,
    pub health: Option<HealthCheck>,
    pub cap_add: BTreeSet<String>,
    pub cap_drop: BTreeSet<String>,
    pub privileged: bool,
    pub read_only: bool,
    pub init: Option<bool>,
    pub security_opt: BTreeSet<String>,
    pub sysctls: BTreeMap<String, String>,
    pub ulimits: BTreeMap<String, Ulimit>,
    pub devices: BTreeMap<String, Device>,
    pub dns: Vec<IpAddr>,
    pub extra_hosts: BTreeMap<String, String>,
    pub logging: Logging,
    pub stop_signal: Option<String>,
    pub stop_timeout: Option<TimeSpan>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveFile {
    pub hash: ContentHash,
    pub mode: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LiveAttachment {
    /// Asked for at creation (`IPAMConfig`); stays while the container is stopped.
    pub requested: Option<IpAddr>,
    /// Held now; none while stopped.
    pub address: Option<IpAddr>,
    /// Aliases asked for; Docker's own (the short id, the name) are left out.
    pub aliases: BTreeSet<String>,
    /// The id of the network that it was on last: only on that one an engine starts it again, whatever else has its name by
    /// now (measured on 20.10). None before its first start; earlier releases did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// An image's own settings, needed to tell its defaults from drift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub id: Digest,
    pub tags: BTreeSet<ImageRef>,
    /// `repository@digest` under which registries know it.
    pub digests: BTreeSet<ImageRef>,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    /// Hidden like all env values.
    pub env: BTreeMap<String, KeyedHash>,
    pub workdir: String,
    pub user: String,
    pub labels: BTreeMap<String, String>,
    pub health: Option<HealthCheck>,
    pub stop_signal: Option<String>,
}

impl Image {
    /// Whether it is what an engine finds by this name.
    pub fn is_called(&self, name: &ImageRef) -> bool {
        match &name.digest {
            Some(digest) => {
                let known = |known: &ImageRef| {
                    known.repository == name.repository && known.digest.as_ref() == Some(digest)
                };
                self.id == *digest || self.digests.iter().any(known)
            }
            None => self.tags.contains(name),
        }
    }
}

/// A network as inspected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveNetwork {
    pub id: String,
    pub name: String,
    /// The driver as Docker names it; drivers trueup does not model keep their text here and have no `spec`.
    pub driver: String,
    pub spec: Option<NetworkSpec>,
    /// All labels, ownership included.
    pub labels: BTreeMap<String, String>,
    /// Names of the containers attached to it: those that run, and those that could not be started without it.
    pub attached: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveVolume {
    pub name: VolumeName,
    pub spec: VolumeSpec,
    pub labels: BTreeMap<String, String>,
}
