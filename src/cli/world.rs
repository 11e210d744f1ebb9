//! From the command line and the reconciler's own settings to a [`World`] of real adapters.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::adapter::clock::SystemClock;
use crate::adapter::docker::{DockerEngines, Recall};
use crate::adapter::files::DirectoryFileSets;
use crate::adapter::git::GitRepository;
use crate::adapter::sandbox::ProcessSandbox;
use crate::adapter::store::SqliteStore;
use crate::config::own;
use crate::control::World;
use crate::control::memory::Memory;
use crate::model::names::EnvironmentName;
use crate::model::secrecy::HashKey;
use crate::model::settings::{Reference, RepositorySettings, Settings};
use crate::output::Format;
use crate::ports::{Progress, Store, StoreError};

/// Where the settings are looked for when `--config` does not say.
const USUAL_SETTINGS: &str = "/etc/trueup/trueup.toml";

/// Options of every command.
#[derive(Args, Clone)]
pub struct GlobalArgs {
    /// The reconciler's own settings [default: /etc/trueup/trueup.toml where it exists].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where journal and history are kept, overriding the settings.
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Tell more on standard error; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Which repository, revision and environment.
#[derive(Args, Clone, Default)]
pub struct SourceArgs {
    /// The config repository: a path, ssh:// or https:// [default: the settings'].
    #[arg(long, value_name = "REPO")]
    pub repo: Option<String>,
    /// The directory inside the repository that is its root.
    #[arg(long, value_name = "DIR")]
    pub root: Option<String>,
    /// A branch, tag or commit instead of the repository's head.
    #[arg(long, value_name = "REV")]
    pub rev: Option<String>,
    /// Only this environment (may be repeated).
    #[arg(long = "env", value_name = "ENV")]
    pub env: Vec<EnvironmentName>,
}

/// How results are printed.
#[derive(Args, Clone, Copy)]
pub struct FormatArgs {
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = FormatArg::Text)]
    pub format: FormatArg,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum FormatArg {
    Text,
    Json,
    Markdown,
}

impl FormatArgs {
    pub fn format(self) -> Format {
        match self.format {
            FormatArg::Text => Format::Text,
            FormatArg::Json => Format::Json,
            FormatArg::Markdown => Format::Markdown,
        }
    }
}

/// The settings as the file and the command line say them.
pub fn settings(global: &GlobalArgs, source: &SourceArgs) -> anyhow::Result<Settings> {
    let usual = Path::new(USUAL_SETTINGS);
    let file = match &global.config {
        Some(file) => Some(file.clone()),
        None => usual.exists().then(|| usual.to_owned()),
    };
    let mut settings = match file {
        Some(file) => from_file(&file)?,
        None => without_file(global, source)?,
    };
    if let Some(repo) = &source.repo {
        settings.repository.url = absolute(repo);
    }
    if let Some(root) = &source.root {
        settings.repository.root.clone_from(root);
    }
    if let Some(dir) = &global.state_dir {
        settings.state_dir.clone_from(dir);
    }
    if !source.env.is_empty() {
        settings.environments = Some(source.env.iter().cloned().collect());
    }
    Ok(settings)
}

fn from_file(file: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(file).with_context(|| format!("the settings {}", file.display()))?;
    let base = file.parent().unwrap_or(Path::new("/"));
    own::parse(&text, &file.display().to_string(), base, &|path| std::fs::read(path))
        .map_err(|errors| anyhow::anyhow!("the settings have errors:\n{errors}"))
}

/// Without a settings file: a repository from the command line, and an identity made once in the state directory.
fn without_file(global: &GlobalArgs, source: &SourceArgs) -> anyhow::Result<Settings> {
    let Some(repo) = &source.repo else {
        bail!(
            "no repository: name one with --repo, or write {USUAL_SETTINGS} (or another file named with --config)"
        )
    };
    let url = absolute(repo);
    let state_dir = match &global.state_dir {
        Some(dir) => dir.clone(),
        None => usual_state_dir(&url)?,
    };
    let identity = super::terminal::identity(&state_dir)?;
    let key = HashKey::new(identity.1);
    Ok(Settings::new(identity.0, key, RepositorySettings::at(url), state_dir))
}

/// `~/.local/state/trueup/REPOSITORY-HASH`: one state per repository, so that two fleets never share a journal.
fn usual_state_dir(url: &str) -> anyhow::Result<PathBuf> {
    // An empty or relative one would put the state, and with it the identity, wherever the command happens to run.
    let directory = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = directory("XDG_STATE_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".local/state")))
        .context("no HOME to keep the state in: name a directory with --state-dir")?;
    let hash = crate::model::secrecy::ContentHash::of(url.as_bytes());
    Ok(home.join("trueup").join(hash.short()))
}

/// Local paths are made canonical: a symlink, a trailing slash or a `..` must not make another installation of the same
/// repository, which would find everything foreign (B1) and hold another writer's lease (D10). URLs stay.
fn absolute(repo: &str) -> String {
    let is_url = repo.contains("://") || (repo.contains(':') && !Path::new(repo).exists());
    if is_url {
        return repo.to_owned();
    }
    let path = std::fs::canonicalize(repo).or_else(|_| std::path::absolute(repo));
    path.map_or_else(|_| repo.to_owned(), |path| path.display().to_string())
}

/// A world of real adapters.
pub fn world(global: &GlobalArgs, source: &SourceArgs, progress: Arc<dyn Progress>) -> anyhow::Result<World> {
    Ok(at(assemble(&settings(global, source)?, progress)?, source))
}

/// As [`world`], for who looks and goes: it waits for no reading through of the state file.
pub fn world_to_look(
    global: &GlobalArgs,
    source: &SourceArgs,
    progress: Arc<dyn Progress>,
) -> anyhow::Result<World> {
    Ok(at(assemble_with(&settings(global, source)?, progress, SqliteStore::open_to_look)?, source))
}

/// At the revision that the command line names.
fn at(world: World, source: &SourceArgs) -> World {
    World { revision: source.rev.clone().map(Reference::Commit), ..world }
}

/// The adapters that `settings` name.
pub fn assemble(settings: &Settings, progress: Arc<dyn Progress>) -> anyhow::Result<World> {
    assemble_with(settings, progress, SqliteStore::open)
}

fn assemble_with(
    settings: &Settings,
    progress: Arc<dyn Progress>,
    open: fn(&Path) -> Result<SqliteStore, StoreError>,
) -> anyhow::Result<World> {
    let (limits, call_deadline, pull_deadline) = World::limits_of(settings);
    let repository = GitRepository::open(&settings.repository, &settings.state_dir.join("git"))?;
    keys_lie_apart(settings, &repository)?;
    let store = open_store(settings, open)?;
    // What was enforced goes on without it (A2); a fleet that never had one is told at once.
    if Memory::new(&store).last_good()?.is_none() {
        repository.is_there()?;
    }
    let store: Arc<dyn Store> = Arc::new(store);
    let engines = DockerEngines::new(settings.engines.clone(), settings.hash_key.clone());
    let engines = engines.recalling(Recall::new(Arc::clone(&store), Arc::new(SystemClock)));
    Ok(World {
        engines: Arc::new(engines),
        repository: Arc::new(repository),
        source: settings.repository.words(),
        files: Arc::new(DirectoryFileSets::new(settings.nginx.clone(), settings.flume.clone())),
        store,
        sandbox: Arc::new(ProcessSandbox::default()),
        clock: Arc::new(SystemClock),
        progress,
        installation: settings.installation.clone(),
        key: settings.hash_key.clone(),
        limits,
        permission: settings.permission.clone(),
        policy: settings.policy.clone(),
        call_deadline,
        pull_deadline,
        environments: settings.environments.clone(),
        revision: None,
    })
}

/// A file of keys inside the config repository would let a push choose who may push (F1).
fn keys_lie_apart(settings: &Settings, repository: &GitRepository) -> anyhow::Result<()> {
    for file in &settings.permission.files {
        if repository.holds(file).with_context(|| format!("looking where {} lies", file.display()))? {
            bail!(
                "{} lies in the config repository, where a push would choose who may push (F1): keep it beside the settings",
                file.display()
            );
        }
    }
    Ok(())
}

/// The state file alone, for commands that neither read git nor engines.
pub fn store(global: &GlobalArgs, source: &SourceArgs) -> anyhow::Result<SqliteStore> {
    open_store(&settings(global, source)?, SqliteStore::open)
}

/// The state file; that an earlier one was damaged and set aside is told at once, since pauses and approvals went
/// with it.
fn open_store(
    settings: &Settings,
    open: fn(&Path) -> Result<SqliteStore, StoreError>,
) -> anyhow::Result<SqliteStore> {
    let store = open(&settings.state_dir)?;
    if let Some(notice) = store.notice() {
        errln!("warning: {notice}");
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_one_name_however_it_is_written() {
        let dir = std::env::temp_dir().join(format!("trueup-world-{}", std::process::id()));
        let repo = dir.join("a fleet");
        std::fs::create_dir_all(&repo).expect("a directory");
        std::os::unix::fs::symlink(&repo, dir.join("link")).expect("a symlink");
        let name = |path: PathBuf| absolute(&path.display().to_string());
        let names = [
            name(repo.clone()),
            name(repo.join("")),
            name(repo.join(".").join("..").join("a fleet")),
            name(dir.join("link")),
        ];
        std::fs::remove_dir_all(&dir).expect("it is ours");
        assert!(names.iter().all(|other| *other == names[0]), "{names:?}");
    }

    #[test]
    fn urls_stay_as_they_are_written() {
        for url in
            ["https://git.example/fleet.git/", "ssh://git@git.example/fleet", "git@git.example:fleet.git"]
        {
            assert_eq!(absolute(url), url);
        }
    }
}
