//! What to do, down to the primitives, each with its precondition: the executor makes no choices.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::container::{Attachment, ContainerSpec, Restart};
use super::drift::{Drift, Kind, Subject};
use super::exit::Found;
use super::file::{FileSet, Files};
use super::finding::Findings;
use super::image::{Digest, ImageRef};
use super::names::{AppKey, ContainerName, FieldName, HostName, InstanceName, Revision, VolumeName};
use super::network::{NetworkSpec, VolumeSpec};
use super::ownership;
use super::secrecy::ContentHash;
use super::service::ServiceSpec;
use super::swarm::Availability;
use super::units::{ByteSize, Cpus, TimeSpan, Timestamp};

/// One pure answer to "what has to happen now?".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Twelve hex digits over the revision and the set of changes (D11): equal plans have equal ids.
    pub id: String,
    pub revision: Revision,
    /// When the snapshot it was computed from was finished.
    pub observed_at: Timestamp,
    /// In an order that respects `after`.
    pub changes: Vec<Change>,
    /// Changes that the blast radius keeps waiting for a person (B3); each also stands in `blocked` with the reason.
    pub held: Vec<Change>,
    /// The id under which they are approved: `Plan::id_of` the held changes. Empty where nothing is held.
    pub held_id: String,
    pub blocked: Vec<Blocked>,
    pub unknown: Vec<Unknown>,
    /// Things that are not ours and stand in the way or beside.
    pub unmanaged: Vec<Unmanaged>,
    /// Everything that differs, healed or not.
    pub drift: Vec<Drift>,
    /// What an operator should know and nothing has to be done about.
    pub notes: Vec<String>,
    /// What the policies say of the change that this plan carries out (F2); what they hold stands in `blocked` too.
    #[serde(default)]
    pub findings: Findings,
    /// The head of the repository was not taken, and why: the revision is the last good one (A2).
    #[serde(default)]
    pub kept_because: Option<String>,
    /// Changes of earlier plans that are being carried out meanwhile (D6).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under_way: Vec<UnderWay>,
    /// Apps of which something can't be done now and goes on by itself once it can: paused, held, waiting for another, or on
    /// a host that does not answer. What git says to leave alone is not among them.
    #[serde(skip)]
    pub waiting: BTreeSet<AppKey>,
}

/// A change that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    pub action: Verb,
    #[serde(flatten)]
    pub subject: Subject,
    pub app: Option<AppKey>,
    pub since: Timestamp,
    /// What it is at.
    pub step: String,
    /// A newer revision asks for something else: it is not waited for any longer (D3).
    #[serde(default)]
    pub overtaken: bool,
}

impl UnderWay {
    /// Whose container it is at.
    pub fn instance(&self) -> Option<InstanceName> {
        let of_instance = self.subject.kind == Kind::Container;
        of_instance.then(|| ownership::base(&self.subject.name).parse().ok()).flatten()
    }
}

/// Something that happens to one object. Its steps are serial; changes run side by side unless `after` says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub action: Verb,
    #[serde(flatten)]
    pub subject: Subject,
    pub app: Option<AppKey>,
    /// Why, one reason a line: `image: quote:1.4 → quote:1.5`.
    pub because: Vec<String>,
    /// The object's state before, as a hash; `None`: it is not there.
    pub from: Option<ContentHash>,
    /// The state it is brought to; `None`: it is taken away.
    pub to: Option<ContentHash>,
    pub steps: Vec<Step>,
    /// Carried out, in order, when a step fails: it puts back what was taken away. Empty: nothing to put back.
    pub undo: Vec<Step>,
    /// Positions in `Plan::changes` that must have succeeded before this starts.
    pub after: Vec<usize>,
    /// Takes something away with nothing in its place (B3).
    pub destructive: bool,
    /// Told to people: requests may fail while this happens (D1).
    pub interrupts: bool,
}

/// What a change is called in front of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Create,
    /// In place: the object keeps running.
    Update,
    /// A new object takes the old one's place.
    Replace,
    /// It is as declared and only has to run.
    Start,
    /// It runs and does not answer its health check.
    Restart,
    Remove,
    /// Generated files go to their directory.
    Install,
    /// Finish what an interrupted replacement left behind.
    Recover,
    /// It is as declared, and Swarm is still at it: watched until it is there.
    Await,
}

impl Verb {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Replace => "replace",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Remove => "remove",
            Self::Install => "install",
            Self::Recover => "recover",
            Self::Await => "await",
        }
    }
}

/// A primitive and what must be true for it to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub action: Action,
    pub expect: Expect,
}

/// The precondition, re-read immediately before the mutation; where it does not hold the step is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// No object of that name.
    Absent,
    /// The object of that name has this id.
    Id(String),
    /// The object of that name is ours (made earlier in this change, so that its id was not known).
    Ours,
    /// As `Ours`, but not the one with this id: the successor and never the predecessor.
    OursBut(String),
    /// Nothing is asked beforehand: the action does not touch an existing object.
    Anything,
}

/// The closed set of primitives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Action {
    PullImage {
        image: ImageRef,
    },
    /// By its names, one after the other; the engine refuses where a container uses it.
    RemoveImage {
        image: Digest,
        names: BTreeSet<String>,
    },
    CreateVolume {
        name: VolumeName,
        spec: VolumeSpec,
        labels: BTreeMap<String, String>,
    },
    CreateNetwork {
        name: String,
        spec: NetworkSpec,
        labels: BTreeMap<String, String>,
    },
    RemoveNetwork {
        name: String,
    },
    /// Creates, and puts the spec's files in; nothing runs yet. `labels` are the ownership's; the spec has the app's.
    CreateContainer {
        name: ContainerName,
        spec: Box<ContainerSpec>,
        labels: BTreeMap<String, String>,
    },
    StartContainer {
        name: ContainerName,
    },
    StopContainer {
        name: ContainerName,
        timeout: TimeSpan,
    },
    RestartContainer {
        name: ContainerName,
        timeout: TimeSpan,
    },
    RemoveContainer {
        name: ContainerName,
    },
    RenameContainer {
        name: ContainerName,
        to: ContainerName,
    },
    /// `docker update`.
    UpdateContainer {
        name: ContainerName,
        limits: LiveLimits,
    },
    Connect {
        name: ContainerName,
        network: String,
        attachment: Attachment,
    },
    Disconnect {
        name: ContainerName,
        network: String,
    },
    /// `labels` are the ownership's; the spec has the app's. `configs` names the config of each of the spec's files, by
    /// the file's path (D9).
    CreateService {
        name: String,
        spec: Box<ServiceSpec>,
        configs: BTreeMap<String, String>,
        labels: BTreeMap<String, String>,
    },
    /// Only from this very version of the live spec; what trueup does not model stays as it is. `restart` makes all
    /// tasks anew even where nothing of them changes.
    UpdateService {
        name: String,
        version: u64,
        spec: Box<ServiceSpec>,
        configs: BTreeMap<String, String>,
        labels: BTreeMap<String, String>,
        restart: bool,
        /// Fields, and elements such as `env.TZ`, that stay as Swarm has them: git ignores them (A6).
        #[serde(default)]
        keep: BTreeSet<FieldName>,
    },
    /// By id: a successor of the same name is not meant.
    RemoveService {
        name: String,
        id: String,
    },
    /// Waits until Swarm has what the service's spec asks for; fails with the tasks' own errors where none of them came
    /// forward for `deadline`, or as soon as Swarm gives up or goes back.
    WaitService {
        name: String,
        /// Others wait for what a job does (D4): until its tasks have ended. Else it is there once they run.
        #[serde(default)]
        job_ends: bool,
        min_healthy: TimeSpan,
        deadline: TimeSpan,
    },
    /// A Swarm config named by its content's hash.
    CreateConfig {
        name: String,
        hash: ContentHash,
        labels: BTreeMap<String, String>,
    },
    RemoveConfig {
        name: String,
        id: String,
    },
    /// By node id; labels that are not named stay.
    UpdateNode {
        node: String,
        version: u64,
        /// `None` takes the label away.
        labels: BTreeMap<String, Option<String>>,
        availability: Option<Availability>,
    },
    /// Waits until the container runs and was healthy for `min_healthy`; fails at the deadline.
    WaitHealthy {
        name: ContainerName,
        min_healthy: TimeSpan,
        deadline: TimeSpan,
    },
    /// The instance leaves the generated upstreams, and its requests may end within `timeout`.
    Drain {
        instance: InstanceName,
        timeout: TimeSpan,
    },
    /// It may come back; fresh files follow.
    Undrain {
        instance: InstanceName,
    },
    /// Check, switch, reload, verify, else switch back (E1). The contents follow what is observed by then (D11).
    InstallFiles {
        set: FileSet,
        files: Files,
    },
}

/// Everything `docker update` sets at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveLimits {
    pub cpus: Option<Cpus>,
    pub memory: Option<ByteSize>,
    pub memory_reservation: Option<ByteSize>,
    pub pids: Option<u32>,
    pub restart: Restart,
}

/// Something that should happen and may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    #[serde(flatten)]
    pub subject: Subject,
    pub app: Option<AppKey>,
    /// Why, naming the rule.
    pub reason: String,
    /// What a person can do about it.
    pub hint: String,
}

/// Something that could not be read; it is not touched (A1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    #[serde(flatten)]
    pub subject: Subject,
    pub why: String,
}

/// Something that is not ours (B1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmanaged {
    #[serde(flatten)]
    pub subject: Subject,
    pub why: String,
    /// It stands where something declared should be.
    pub collides: bool,
}

/// How a change ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Carried out and seen.
    Done,
    /// Sent, and Swarm is at it: later looks tell how it ends.
    Begun,
    /// It was so already.
    NotNeeded { why: String },
    Failed {
        /// The host and call, and what to do.
        error: String,
        /// Worth trying again (an engine that did not answer), or not before something changes.
        transient: bool,
    },
    /// Not tried: what it waited for did not succeed, or the world moved.
    Skipped { why: String },
}

impl Plan {
    /// Nothing to do, nothing held, everything seen.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Something is unknown, blocked or held, or the head is not what this plan is for (A2): whatever else the plan says, it
    /// is not the whole of what git declares.
    pub fn is_unclear(&self) -> bool {
        let all_read = self.unknown.is_empty() && self.blocked.is_empty() && self.held.is_empty();
        !all_read || self.kept_because.is_some()
    }

    /// For the exit code; errors are the caller's.
    pub fn found(&self) -> Found {
        Found { error: false, unclear: self.is_unclear(), changes: !self.changes.is_empty() }
    }

    /// Exit code as section X.
    pub fn exit_code(&self) -> u8 {
        self.found().exit_code()
    }

    /// The set a saved plan promises (D11): (object, action, from-hash → to-hash), without the derived file contents.
    pub fn promises(&self) -> BTreeSet<String> {
        self.changes.iter().map(Change::promise).collect()
    }

    /// The id of a plan of `revision` with these changes.
    pub fn id_of(revision: &Revision, changes: &[Change]) -> String {
        let mut text = revision.to_string();
        for promise in changes.iter().map(Change::promise).collect::<BTreeSet<_>>() {
            text.push('\n');
            text.push_str(&promise);
        }
        ContentHash::of(text.as_bytes()).short().to_owned()
    }
}

impl Change {
    /// What this change does, in one line that is equal exactly when the change is (D11).
    pub fn promise(&self) -> String {
        let hash = |h: &Option<ContentHash>| h.as_ref().map_or("-", ContentHash::short).to_owned();
        let (from, to) = match self.subject.kind {
            Kind::Files => ("derived".to_owned(), "derived".to_owned()),
            Kind::Host
            | Kind::Image
            | Kind::Network
            | Kind::Volume
            | Kind::Container
            | Kind::Service
            | Kind::Config
            | Kind::Node
            | Kind::Swarm
            | Kind::App
            | Kind::Revision => (hash(&self.from), hash(&self.to)),
        };
        format!("{} {} {from} → {to}", self.action.name(), self.subject)
    }

    /// The host on which it happens, for the four-at-a-time rule (D6).
    pub fn host(&self) -> Option<&HostName> {
        self.subject.host.as_ref()
    }
}

impl Action {
    /// In words, for journals, progress and errors.
    pub fn describe(&self) -> String {
        match self {
            Self::PullImage { image } => format!("pull image {image}"),
            Self::RemoveImage { image, .. } => format!("remove image {}", image.short()),
            Self::CreateVolume { name, .. } => format!("create volume {name}"),
            Self::CreateNetwork { name, .. } => format!("create network {name}"),
            Self::RemoveNetwork { name } => format!("remove network {name}"),
            Self::CreateContainer { name, .. } => format!("create container {name}"),
            Self::StartContainer { name } => format!("start container {name}"),
            Self::StopContainer { name, .. } => format!("stop container {name}"),
            Self::RestartContainer { name, .. } => format!("restart container {name}"),
            Self::RemoveContainer { name } => format!("remove container {name}"),
            Self::RenameContainer { name, to } => format!("rename container {name} to {to}"),
            Self::UpdateContainer { name, .. } => format!("update container {name} in place"),
            Self::Connect { name, network, .. } => format!("connect container {name} to network {network}"),
            Self::Disconnect { name, network } => {
                format!("disconnect container {name} from network {network}")
            }
            Self::CreateService { name, .. } => format!("create service {name}"),
            Self::UpdateService { name, .. } => format!("update service {name}"),
            Self::RemoveService { name, .. } => format!("remove service {name}"),
            Self::WaitService { name, .. } => format!("wait until service {name} is as wanted"),
            Self::CreateConfig { name, .. } => format!("create config {name}"),
            Self::RemoveConfig { name, .. } => format!("remove config {name}"),
            Self::UpdateNode { node, .. } => format!("update node {node}"),
            Self::WaitHealthy { name, .. } => format!("wait until container {name} is healthy"),
            Self::Drain { instance, .. } => format!("take {instance} out of the upstreams and drain it"),
            Self::Undrain { instance } => format!("put {instance} back into the upstreams"),
            Self::InstallFiles { set, .. } => format!("install the {set} files and reload"),
        }
    }
}
