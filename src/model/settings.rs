//! The reconciler's own settings: what no pull request may change.
//!
//! They are read from trueup's own file (never from the config repository) by `config::own`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use super::disk::ImageSettings;
use super::host::EngineAddress;
use super::names::{EnvironmentName, HostName};
use super::permission::PermissionSettings;
use super::policy::PolicySettings;
use super::reach::Reach;
use super::schedule::Schedule;
use super::secrecy::{ContentHash, HashKey};
use super::units::TimeSpan;
use super::webhook::{Webhook, WebhookUrl};

/// Everything the reconciler knows about itself. No Debug: it holds a key and credentials' places.
#[derive(Clone)]
pub struct Settings {
    /// Written on everything trueup makes (B1); kept for ever.
    pub installation: String,
    /// Hides env values (G1).
    pub hash_key: HashKey,
    /// Where that key lies; `None` where it was made in the state directory.
    pub key_file: Option<PathBuf>,
    pub repository: RepositorySettings,
    /// Only these environments; `None`: all that the repository declares.
    pub environments: Option<BTreeSet<EnvironmentName>>,
    /// Journal, history, leases.
    pub state_dir: PathBuf,
    pub engines: EngineSettings,
    pub nginx: Option<FileSetSettings>,
    pub flume: Option<FileSetSettings>,
    pub limits: Limits,
    pub reports: Vec<ReportSettings>,
    pub metrics: MetricsSettings,
    /// What a commit needs before it is enforced (F0, F1).
    pub permission: PermissionSettings,
    pub policy: PolicySettings,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositorySettings {
    /// A path, `file://`, `ssh://`, `user@host:path`, `https://`; `http://` to this machine itself.
    pub url: String,
    pub reference: Reference,
    /// Directory inside the repository; empty is its top.
    pub root: String,
    /// How often a remote is asked; jittered by a tenth.
    pub poll: TimeSpan,
    pub credentials: Credentials,
}

/// A drift report that is written again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSettings {
    /// What its files' names begin with.
    pub name: String,
    pub schedule: Schedule,
    /// Only these; `None`: all.
    pub environments: Option<BTreeSet<EnvironmentName>>,
    pub directory: Option<PathBuf>,
    /// Reports that are kept there; older ones are removed.
    pub keep: usize,
    pub webhook: Option<Webhook>,
}

impl ReportSettings {
    /// `drift (0 7 * * MON-FRI Europe/Berlin, prod)`, for people.
    pub fn words(&self) -> String {
        let environments = self.environments.iter().flatten();
        let environments: String = environments.map(|environment| format!(", {environment}")).collect();
        format!("{} ({}{environments})", self.name, self.schedule)
    }

    /// What it is remembered by: at other times, about something else or to another place it is another report.
    pub fn key(&self) -> String {
        let directory = self.directory.as_ref().map(|directory| directory.display().to_string());
        let webhook = self.webhook.as_ref().map(|webhook| match &webhook.url {
            WebhookUrl::Text(url) => ContentHash::of(url.as_bytes()).short().to_owned(),
            WebhookUrl::File(path) => path.display().to_string(),
        });
        format!("{} to {} and {}", self.words(), directory.unwrap_or_default(), webhook.unwrap_or_default())
    }
}

/// How numbers get out; by default they do not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricsSettings {
    /// `/metrics`, `/healthz` and `/readyz` are served there.
    pub listen: Option<SocketAddr>,
    pub graphite: Option<GraphiteSettings>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphiteSettings {
    /// `host:port` of carbon's plaintext protocol.
    pub address: String,
    /// Nodes before every path.
    pub prefix: String,
    pub every: TimeSpan,
}

/// Which commit is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `HEAD` of the repository.
    Head,
    Branch(String),
    Tag(String),
    /// Any text for a commit: a branch, a tag, an id, with git's `~` and `^`.
    Commit(String),
    /// A commit's own id, in full or short; never a name that somebody may push.
    Id(String),
}

/// Where the credentials of a remote lie. Contents are read when needed and never kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    pub ssh_key: Option<PathBuf>,
    pub ssh_known_hosts: Option<PathBuf>,
    pub https_user: Option<String>,
    /// A file holding the password or token on its first line.
    pub https_password_file: Option<PathBuf>,
    /// PEM of private certificate authorities; every certificate of the file counts.
    pub https_ca: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// The absolute deadline of one call (D6); pulls and waits have their own.
    pub call_deadline: TimeSpan,
    pub pull_deadline: TimeSpan,
    /// TLS identities by host; the key `default` serves the others.
    pub tls: BTreeMap<String, TlsIdentity>,
    pub ssh_key: Option<PathBuf>,
    pub ssh_known_hosts: Option<PathBuf>,
    /// Where engines may be dialled, whatever a commit names (F4); `None`: wherever the enforced revision says.
    pub allow: Option<Vec<Reach>>,
    /// Plain TCP is refused unless this is set (G3).
    pub allow_plain_tcp: bool,
    /// `config.json` with registry credentials; `None`: Docker's usual place.
    pub docker_config: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Where a kind of generated file goes and how its reader is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSetSettings {
    /// Generations and the `current` symlink live here.
    pub directory: PathBuf,
    /// Argv that checks a candidate; `{dir}` is the candidate directory, `{conf}` a copy of `main_config` that includes
    /// it. Empty: `nginx -t` on `{conf}` where `main_config` is set, else only trueup's own check.
    pub check: Vec<String>,
    /// Nginx: the main config whose text includes `DIRECTORY/current/*.conf` (E1: the candidate is tested through it).
    pub main_config: Option<PathBuf>,
    pub reload: Reload,
    /// How long to wait for the reader to serve the new generation.
    pub verify_timeout: TimeSpan,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// The reader looks by itself (Flume polls).
    None,
    /// Argv, run without a shell; exit 0 is success.
    Command(Vec<String>),
    /// HUP to the process in this pid file, verified by new workers.
    Signal { pid_file: PathBuf },
}

/// The thresholds of the rules, with their defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// B3: share of instances, servers or addresses that may go away at once.
    pub destroy_share: f64,
    /// B3: and more than this many.
    pub destroy_count: usize,
    /// B3: share of apps that may be replaced at once, and more than `replace_apps_count`.
    pub replace_apps_share: f64,
    pub replace_apps_count: usize,
    /// D6: changes at once on one host, but for those that only make or start containers.
    pub per_host: usize,
    /// Containers made or started at once on one host beside those, where nothing is taken down for them.
    pub starts_per_host: usize,
    /// Hosts begun to be read at once; one that takes longer than 2 s is counted no more.
    pub fan_out: usize,
    /// Full relist although no event arrived.
    pub relist: TimeSpan,
    /// The same plan this many times in a row quarantines the object (D7).
    pub loop_threshold: u32,
    /// When images that trueup pulled are taken away.
    pub images: ImageSettings,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            destroy_share: 0.3,
            destroy_count: 3,
            replace_apps_share: 0.5,
            replace_apps_count: 10,
            per_host: 4,
            starts_per_host: 16,
            fan_out: 64,
            relist: TimeSpan::from_secs(60),
            loop_threshold: 3,
            images: ImageSettings::default(),
        }
    }
}

impl Settings {
    /// Defaults everywhere else; no generated files.
    pub fn new(
        installation: String,
        hash_key: HashKey,
        repository: RepositorySettings,
        state_dir: PathBuf,
    ) -> Self {
        Self {
            installation,
            hash_key,
            key_file: None,
            repository,
            environments: None,
            state_dir,
            engines: EngineSettings::default(),
            nginx: None,
            flume: None,
            limits: Limits::default(),
            reports: Vec::new(),
            metrics: MetricsSettings::default(),
            permission: PermissionSettings::default(),
            policy: PolicySettings::default(),
        }
    }
}

impl RepositorySettings {
    /// Which repository, and which directory in it.
    pub fn words(&self) -> String {
        format!("{} /{}", self.url, self.root)
    }

    /// The head of the repository at `url`, without credentials.
    pub fn at(url: String) -> Self {
        Self {
            url,
            reference: Reference::Head,
            root: String::new(),
            poll: TimeSpan::from_secs(60),
            credentials: Credentials::default(),
        }
    }
}

impl FileSetSettings {
    /// Files in `directory` that nobody but trueup checks and nobody is told of.
    pub fn in_directory(directory: PathBuf) -> Self {
        Self {
            directory,
            check: Vec::new(),
            main_config: None,
            reload: Reload::None,
            verify_timeout: TimeSpan::from_secs(10),
        }
    }
}

impl EngineSettings {
    /// The TLS identity for `host`: its own, else the default one.
    pub fn identity(&self, host: &HostName) -> Option<&TlsIdentity> {
        self.tls.get(host.as_str()).or_else(|| self.tls.get("default"))
    }

    /// Whether an engine may be dialled there (F4).
    pub fn may_dial(&self, engine: &EngineAddress) -> bool {
        self.allow.as_ref().is_none_or(|allowed| allowed.iter().any(|reach| reach.covers(engine)))
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            call_deadline: TimeSpan::from_secs(20),
            pull_deadline: TimeSpan::from_secs(1800),
            tls: BTreeMap::new(),
            ssh_key: None,
            ssh_known_hosts: None,
            allow: None,
            allow_plain_tcp: false,
            docker_config: None,
        }
    }
}
