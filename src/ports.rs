//! Every trait through which anything touches the world. `adapter/` has the real ones, `sim/` the simulated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::disk::ImageStore;
use crate::model::file::{FileSet, Files};
use crate::model::host::Host;
use crate::model::image::{Digest, ImageRef};
use crate::model::names::{ContainerName, HostName, Revision, VolumeName};
use crate::model::observed::{Container, Engine as EngineSnapshot, Image, LiveNetwork, LiveVolume};
use crate::model::permission::SignedCommit;
use crate::model::plan::{Action, Outcome};
use crate::model::secrecy::ContentHash;
use crate::model::settings::{Reference, ReportSettings};
use crate::model::swarm::{LiveConfig, LiveService, Node, Swarm, Task};
use crate::model::tree::{Between, Tree};
use crate::model::units::Timestamp;
use crate::model::webhook::Webhook;

pub use crate::model::history::HistoryEntry;

/// Bytes of the repository files that a container gets, by hash.
pub type Contents = BTreeMap<ContentHash, Arc<[u8]>>;

/// Hears how far a long action is: so much is done, of so much.
pub type Parts<'a> = dyn Fn(u64, u64) + Send + Sync + 'a;

/// What went wrong with an engine: says the host and the call.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{host}: {call}: {detail}")]
pub struct EngineError {
    pub host: HostName,
    /// Such as `POST /containers/create`.
    pub call: String,
    pub kind: EngineErrorKind,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineErrorKind {
    /// Nobody answers, or the connection broke.
    Unreachable,
    /// The absolute deadline passed (D6).
    Deadline,
    /// 404.
    NotFound,
    /// 409, or a precondition that no longer holds.
    Conflict,
    /// Other 4xx: asking again will not help.
    Refused,
    /// 5xx.
    Engine,
    /// An answer that is not the API's.
    Garbage,
    /// The registry said no, or was not there.
    Registry,
}

impl EngineErrorKind {
    /// Whether a request that ended so may have been carried out all the same: its answer was lost.
    pub const fn leaves_open(self) -> bool {
        match self {
            Self::Unreachable | Self::Deadline | Self::Garbage => true,
            Self::NotFound | Self::Conflict | Self::Refused | Self::Engine | Self::Registry => false,
        }
    }

    /// Worth trying again with the same request (D3).
    pub const fn is_transient(self) -> bool {
        match self {
            Self::Unreachable | Self::Deadline | Self::Engine | Self::Garbage | Self::Registry => true,
            Self::NotFound | Self::Conflict | Self::Refused => false,
        }
    }
}

/// What a watch of an engine tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The stream is open: what changes from now on is told, and what changed before is not.
    Opened,
    Changed,
}

/// One Docker engine. Every call has an absolute deadline (D6) and ends; none retries by itself.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Lists and inspects everything trueup models; an object whose inspect fails is `Unknown` inside (A1), a failed
    /// list is an error. `images` are the references whose images are wanted besides those of containers.
    async fn survey(&self, images: &BTreeSet<ImageRef>) -> Result<EngineSnapshot, EngineError>;
    async fn container(&self, name: &ContainerName) -> Result<Option<Container>, EngineError>;
    async fn network(&self, name: &str) -> Result<Option<LiveNetwork>, EngineError>;
    async fn volume(&self, name: &VolumeName) -> Result<Option<LiveVolume>, EngineError>;
    async fn image(&self, image: &ImageRef) -> Result<Option<Image>, EngineError>;
    /// Everything trueup models of the Swarm that this engine manages. Refused where it manages none, an error where
    /// there is no quorum; a service whose answer cannot be read is `Unknown` inside (A1).
    async fn swarm(&self) -> Result<Swarm, EngineError>;
    /// Whether it manages the Swarm of this id now: refused where it manages none or another, an error where there is no
    /// quorum.
    async fn answers_for(&self, cluster: &str) -> Result<(), EngineError>;
    /// One service with its tasks, read anew.
    async fn service(&self, name: &str) -> Result<Option<(LiveService, Vec<Task>)>, EngineError>;
    async fn config(&self, name: &str) -> Result<Option<LiveConfig>, EngineError>;
    async fn node(&self, id: &str) -> Result<Option<Node>, EngineError>;
    /// What images take on the engine's disk. Slow where there is much: it has a deadline of its own.
    async fn image_store(&self) -> Result<ImageStore, EngineError>;
    /// The digest the registry has now for a tag; asks the registry through the engine.
    async fn resolve(&self, image: &ImageRef) -> Result<Digest, EngineError>;
    /// Carries out one engine primitive. `WaitHealthy`, `Drain`, `Undrain` and `InstallFiles` are not an engine's.
    /// What is so already (a started container, a removed one) is success. `parts` hears how far a long one is.
    async fn perform(
        &self,
        action: &Action,
        contents: &Contents,
        parts: &Parts<'_>,
    ) -> Result<(), EngineError>;
    /// Tells of every change on this engine that trueup did or did not make, from the moment that it tells
    /// [`Heard::Opened`]; an error ends the watch. Events only wake; reads fill the picture.
    async fn watch(&self, heard: &(dyn Fn(Heard) + Send + Sync)) -> Result<(), EngineError>;
    /// Sends the log's lines to `line`, the last `tail` first, then new ones while `follow`.
    async fn logs(
        &self,
        name: &ContainerName,
        tail: u32,
        follow: bool,
        line: &(dyn for<'l> Fn(&'l str) + Send + Sync),
    ) -> Result<(), EngineError>;
}

/// Engines by inventory. A connection is made on first use and kept.
pub trait Engines: Send + Sync {
    fn engine(&self, host: &Host) -> Result<Arc<dyn Engine>, EngineError>;
    /// What is kept of hosts that are none of these goes.
    fn keep_only(&self, hosts: &BTreeMap<HostName, Host>);
}

/// Why the repository could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// Nobody answers, or access was refused: keep enforcing the last good revision (A2).
    #[error("the repository {url} cannot be reached: {detail}")]
    Unreachable { url: String, detail: String },
    #[error("the repository {url} has no {wanted}: {detail}")]
    NoSuchRevision { url: String, wanted: String, detail: String },
    #[error("commit {revision} of {url} cannot be read: {detail}")]
    Unreadable { url: String, revision: String, detail: String },
    /// A rule of the reconciler's forbids it (a push that is not allowed, a branch that exists).
    #[error("{detail}")]
    Refused { detail: String },
}

/// The config repository.
#[async_trait]
pub trait Repository: Send + Sync {
    /// Asks the remote (or the local repository) which commit the reference names now.
    async fn head(&self) -> Result<Revision, SourceError>;
    /// The same as far as it is known: of a remote, what asking it last told, be that an error. Nobody waits for a remote
    /// (D6), but for a moment where it was never asked.
    async fn known_head(&self) -> Result<Revision, SourceError>;
    /// A remote is asked now, and not only when it is due; nobody waits for it.
    fn hurry(&self);
    /// Any revision text (`main~1`, a tag, a short id) as a commit.
    async fn resolve(&self, reference: &Reference) -> Result<Revision, SourceError>;
    /// The files of a commit, from git objects (F4).
    async fn tree(&self, revision: &Revision) -> Result<Tree, SourceError>;
    /// Whether `descendant` has `ancestor` in its history (F0).
    async fn descends(&self, descendant: &Revision, ancestor: &Revision) -> Result<bool, SourceError>;
    /// What `head` changed since it left `base`, from the repository's top.
    async fn between(&self, base: &Revision, head: &Revision) -> Result<Between, SourceError>;
    /// A plain file by its path from the repository's top; `None` where there is none, or it has more bytes than `limit`.
    async fn file(
        &self,
        revision: &Revision,
        path: &str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, SourceError>;
    /// Each commit that `head` has in its history and `base` has not, `head` first, with who signed it; without a `base`,
    /// `head` alone (F1). More than `limit` are refused. A commit that cannot be read is an error: what is not known
    /// permits nothing (A1).
    async fn signatures(
        &self,
        base: Option<&Revision>,
        head: &Revision,
        limit: usize,
    ) -> Result<Vec<SignedCommit>, SourceError>;
    /// Commits that changed files below `path`, newest first, at most `limit`.
    async fn log(&self, path: &str, limit: usize) -> Result<Vec<CommitSummary>, SourceError>;
    /// Writes a commit on top of the reference's head, on a new branch, that gives the files below `path` their
    /// content of `to`; nothing else moves. Returns the branch's commit.
    async fn revert_on_branch(
        &self,
        path: &str,
        to: &Revision,
        branch: &str,
        message: &str,
    ) -> Result<Revision, SourceError>;
    /// Asks a remote at each jittered poll interval, and returns when `known_head` would tell something else than it told
    /// last. For a local repository it returns at the end of the interval at the latest.
    async fn changed(&self);
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitSummary {
    pub revision: Revision,
    pub author: String,
    pub when: Timestamp,
    pub summary: String,
}

/// Why generated files could not be read or installed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FilesError {
    #[error("{path}: {detail}")]
    Io { path: String, detail: String },
    /// The real program refused files of the candidate. `detail` names those at fault and says whether the others were
    /// installed without them (E1) or the old generation stays.
    #[error("new {set} files were refused by `{command}`: {detail}")]
    Check { set: FileSet, command: String, detail: String },
    /// The switch was made, the reload did not take, and the old generation was put back.
    #[error("reloading after the new {set} files failed and the old ones are back: {detail}")]
    Reload { set: FileSet, detail: String },
}

/// Directories of generated files.
#[async_trait]
pub trait FileSets: Send + Sync {
    /// Whether this kind of set is configured at all; what is not is neither rendered nor planned.
    fn wants(&self, set: &FileSet) -> bool;
    /// Every set that is installed now, wanted or left over.
    async fn installed(&self) -> Result<BTreeMap<FileSet, Option<Files>>, FilesError>;
    /// Writes a generation, checks it, switches, reloads, verifies, else switches back (E1). Files at fault by name are
    /// set apart and told as `FilesError::Check`; the others are installed.
    async fn install(&self, set: &FileSet, files: &Files) -> Result<(), FilesError>;
    /// Whether no reader of an older generation is left (the old Nginx workers are gone): what drained means (D1).
    /// `false` also where that cannot be told.
    async fn drained(&self, set: &FileSet) -> bool;
}

/// The state file failed: what it was doing, and the cause.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the state file {path}: {detail}")]
pub struct StoreError {
    pub path: String,
    pub detail: String,
}

/// A step about to be sent, or sent and not settled (D5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub id: i64,
    pub at: Timestamp,
    pub plan: String,
    pub host: Option<HostName>,
    /// `Subject` in words.
    pub subject: String,
    /// `Action::describe`.
    pub step: String,
}

/// A report as files: what their names begin with, and each one's text by its ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    pub stem: String,
    pub files: BTreeMap<&'static str, String>,
}

/// What became of a report's files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    pub paths: Vec<String>,
    /// Why older reports than are kept are still there.
    pub not_removed: Option<String>,
}

/// Where finished reports go. Each call ends by itself and tries once.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Writes the files, then removes reports of the same name that are older than those that are kept.
    async fn write(&self, settings: &ReportSettings, documents: &Documents) -> Result<Written, String>;
    /// Posts `body` to the webhook.
    async fn post(&self, webhook: &Webhook, body: &str) -> Result<(), String>;
}

/// Why a question about rules has no answer. It says nothing about the rules that a person could mend by their text alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    #[error("the rules took more than {seconds} s")]
    Deadline { seconds: u64 },
    /// It ended by itself: of too little memory, most likely.
    #[error("the rules took more than {mebibytes} MiB of memory, or broke their interpreter ({how})")]
    Broke { mebibytes: u64, how: String },
    #[error("the rules said more than {mebibytes} MiB")]
    TooMuch { mebibytes: u64 },
    /// Nothing was asked.
    #[error("the rules cannot be asked: {0}")]
    NotAsked(String),
}

/// Where rules are read and evaluated, bounded in memory and time: whoever may push writes them (F4).
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// The answer to a question of `policy::Question`, both as JSON.
    async fn answer(&self, question: Vec<u8>) -> Result<Vec<u8>, SandboxError>;
}

/// Documents that outlive a restart, by kind and key, as JSON. Losing them may lose history, never safety (H).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Record {
    LastGood,
    ImageLock,
    FirstSeen,
    Backoff,
    Pause,
    Quarantine,
    Approval,
    Budget,
    RestartRequest,
    Lease,
    /// An instance that is about to be made on a host, until a look has seen what became of it.
    Creation,
    /// The addresses that an instance held when it was seen last.
    Address,
    Report,
    /// A report that a webhook has not taken yet.
    Delivery,
    PulledImage,
    Rollout,
    /// The files of a revision that is enforced, for when the repository is lost.
    Tree,
    /// What is being carried out now, by its subject; what a process that was killed was at is read once, and forgotten.
    UnderWay,
    /// What the files in a host's containers held when they were read last.
    FilesRead,
}

/// What is kept on disk.
pub trait Store: Send + Sync {
    fn get(&self, record: Record, key: &str) -> Result<Option<String>, StoreError>;
    fn put(&self, record: Record, key: &str, json: &str) -> Result<(), StoreError>;
    fn delete(&self, record: Record, key: &str) -> Result<(), StoreError>;
    /// Puts, and deletes where there is `None`, all or none.
    fn put_all(&self, record: Record, changes: &BTreeMap<String, Option<String>>) -> Result<(), StoreError>;
    fn all(&self, record: Record) -> Result<BTreeMap<String, String>, StoreError>;
    /// Written and synced before the effect; the returned id settles it.
    fn intend(&self, intent: &Intent) -> Result<i64, StoreError>;
    fn settle(&self, id: i64, at: Timestamp, outcome: &Outcome) -> Result<(), StoreError>;
    /// Intents of a process that ended before settling them.
    fn unsettled(&self) -> Result<Vec<Intent>, StoreError>;
    fn remember(&self, entry: &HistoryEntry) -> Result<(), StoreError>;
    /// The newest `limit` entries, oldest first.
    fn history(&self, limit: usize) -> Result<Vec<HistoryEntry>, StoreError>;
    /// Becomes the one writer (D10), or says who is. Dropping the guard, or the process's end, releases it.
    fn become_writer(&self, who: &str) -> Result<Box<dyn WriterGuard>, WriterHeld>;
}

/// Held while this process may change things.
pub trait WriterGuard: Send + Sync {}

#[derive(Debug, Clone, thiserror::Error)]
#[error("another trueup is changing this fleet: {holder}")]
pub struct WriterHeld {
    pub holder: String,
}

/// Time. `now` is for records and thresholds; sleeping is monotonic.
#[async_trait]
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
    async fn sleep(&self, span: Duration);
}

/// Told what goes on, for progress bars and logs. Never decides.
pub trait Progress: Send + Sync {
    /// A change begins or ends; `outcome` is `None` at its beginning.
    fn change(&self, subject: &str, verb: &str, outcome: Option<&Outcome>);
    /// A step begins.
    fn step(&self, subject: &str, step: &str);
    /// Part of a long step of the change is done: `done` of `total`, such as bytes of a pull. `total` may grow.
    fn part(&self, subject: &str, step: &str, done: u64, total: u64);
}

/// Says nothing.
pub struct Quiet;

impl Progress for Quiet {
    fn change(&self, _: &str, _: &str, _: Option<&Outcome>) {}
    fn step(&self, _: &str, _: &str) {}
    fn part(&self, _: &str, _: &str, _: u64, _: u64) {}
}
