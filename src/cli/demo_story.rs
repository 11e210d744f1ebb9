//! What the demo does, step by step, told in plain words: converge, show the files, break and heal, roll out.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use include_dir::{Dir, include_dir};

use crate::apply::Stop;
use crate::control::World;
use crate::control::converge::{Converged, Scope, converge};
use crate::control::pass::{self, Pass};
use crate::control::revision::Reader;
use crate::model::file::FileSet;
use crate::model::host::EngineAddress;
use crate::model::names::ContainerName;
use crate::model::observed::{Container, Seen};
use crate::model::ownership::Belongs;
use crate::model::plan::{Action, LiveLimits, Outcome};
use crate::model::settings::Settings;
use crate::model::units::{ByteSize, TimeSpan};
use crate::output::{self, Format};
use crate::ports::Contents;

static EXAMPLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/example-repo");

/// Where the example's apps write their logs on the host; the demo's own directory takes its place.
const EXAMPLE_LOGS: &str = "/tmp/trueup-example";

/// Where the story plays.
pub struct Stage<'a> {
    pub world: &'a World,
    pub repository: &'a ConfigRepository,
    /// Set by Ctrl-C: the story ends, and everything is cleaned up.
    pub stop: &'a Stop,
}

/// The demo's own git repository, made from `example-repo/`.
pub struct ConfigRepository {
    git: git2::Repository,
}

impl ConfigRepository {
    /// A repository with one commit: the example's part for one machine, whose engine is the one that answers.
    pub fn create(dir: &Path, engine: Option<&EngineAddress>, logs: &Path) -> anyhow::Result<Self> {
        let git = git2::Repository::init(dir).with_context(|| format!("creating {}", dir.display()))?;
        let engine = engine.map_or_else(|| "sim://".to_owned(), ToString::to_string);
        let mut files = BTreeMap::new();
        collect(&EXAMPLE, &mut files);
        without_swarm(&mut files);
        for text in files.values_mut() {
            *text = text.replace("unix:///var/run/docker.sock", &engine);
            *text = text.replace(EXAMPLE_LOGS, &logs.display().to_string());
        }
        let repository = Self { git };
        repository.commit(&files, "the example fleet")?;
        Ok(repository)
    }

    /// Writes files and commits them.
    pub fn commit(&self, files: &BTreeMap<String, String>, message: &str) -> anyhow::Result<()> {
        let root = self.git.workdir().context("the demo's repository has a work tree")?;
        let mut index = self.git.index()?;
        for (path, text) in files {
            let file = root.join(path);
            std::fs::create_dir_all(file.parent().unwrap_or(root))?;
            std::fs::write(&file, text)?;
            index.add_path(Path::new(path))?;
        }
        index.write()?;
        let tree = self.git.find_tree(index.write_tree()?)?;
        let who = git2::Signature::now("trueup demo", "demo@localhost")?;
        let parent = self.git.head().ok().and_then(|head| head.peel_to_commit().ok());
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        self.git.commit(Some("HEAD"), &who, &who, message, &tree, &parents)?;
        Ok(())
    }

    fn read(&self, path: &str) -> anyhow::Result<String> {
        let root = self.git.workdir().context("the demo's repository has a work tree")?;
        std::fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"))
    }
}

fn collect(dir: &Dir<'_>, files: &mut BTreeMap<String, String>) {
    for file in dir.files() {
        if let Some(text) = file.contents_utf8() {
            files.insert(file.path().display().to_string(), text.to_owned());
        }
    }
    for inner in dir.dirs() {
        collect(inner, files);
    }
}

/// Takes out what one machine cannot show: the Swarm, its machines, its networks and its services.
fn without_swarm(files: &mut BTreeMap<String, String>) {
    let has = |text: &str, line: &str| text.lines().any(|l| l.starts_with(line));
    let services = files.iter().filter(|(_, text)| has(text, "runtime = \"swarm\""));
    let folders: Vec<String> = services
        .filter_map(|(path, _)| path.rsplit_once('/'))
        .map(|(folder, _)| format!("{folder}/"))
        .collect();
    files.retain(|path, text| {
        !folders.iter().any(|folder| path.starts_with(folder))
            && !has(text, "swarm = ")
            && !has(text, "driver = \"overlay\"")
    });
    for text in files.values_mut() {
        let paragraphs: Vec<&str> = text.split("\n\n").filter(|part| !has(part, "[swarm.")).collect();
        *text = paragraphs.join("\n\n");
    }
}

/// The whole story. Ends with an error where anything is not as promised.
pub async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let _writer = stage.world.store.become_writer("trueup demo")?;
    chapter("1. From git to running containers");
    outln!("This is example-repo/ but for its Swarm, which needs machines of its own (hosts/racks.toml).");
    let first = bring_about(stage).await?;
    count(&first);
    expect_in_sync(stage, "after the first apply").await?;

    chapter("2. The files that follow from where healthy instances run");
    show_files(stage).await?;

    chapter("3. Somebody breaks things by hand");
    let broken = break_by_hand(stage).await?;
    let pass = look(stage).await?;
    let since = BTreeMap::new();
    out!("{}", output::drift(&pass.plan, &since, &pass.differing(), Format::Text, terminal_colour()));
    anyhow::ensure!(pass.plan.drift.len() >= broken, "the damage was not noticed");
    outln!("\ntrueup heals it:");
    let healed = bring_about(stage).await?;
    count(&healed);
    expect_in_sync(stage, "after healing").await?;

    chapter("4. A commit changes the quote service, and is rolled out one instance at a time");
    change_by_commit(stage)?;
    let pass = look(stage).await?;
    out!("{}", output::plan(&pass.plan, &pass.installed(), Format::Text, terminal_colour()));
    let rolled = bring_about(stage).await?;
    count(&rolled);
    expect_in_sync(stage, "after the rollout").await?;
    show_files(stage).await?;
    outln!("\nThat was the main job: git says what should be, trueup makes it so and keeps it so.");
    Ok(())
}

fn chapter(title: &str) {
    outln!("\n== {title}");
}

fn terminal_colour() -> bool {
    super::terminal::colour()
}

async fn look(stage: &Stage<'_>) -> anyhow::Result<Pass> {
    let taken = Reader::default().take(stage.world, false).await?;
    Ok(pass::look(stage.world, taken, false).await?)
}

async fn bring_about(stage: &Stage<'_>) -> anyhow::Result<Converged> {
    let agree = |_: &Pass| true;
    let scope = Scope::of_a_person(&agree, stage.stop);
    let done = converge(stage.world, &Reader::default(), &scope).await?;
    anyhow::ensure!(!stage.stop.is_set(), "interrupted");
    for (change, outcome) in &done.outcomes {
        if let Outcome::Failed { error, .. } = outcome {
            anyhow::bail!("{} {} failed: {error}", change.action.name(), change.subject);
        }
    }
    Ok(done)
}

fn count(done: &Converged) {
    let changed = done.outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Done)).count();
    outln!("{changed} changes were carried out and seen.");
}

/// "A second plan after an apply is empty, always" (A4).
async fn expect_in_sync(stage: &Stage<'_>, when: &str) -> anyhow::Result<()> {
    let pass = look(stage).await?;
    if pass.plan.exit_code() == 0 && pass.plan.drift.is_empty() {
        outln!("In sync: a second plan is empty.");
        return Ok(());
    }
    let text = output::plan(&pass.plan, &pass.installed(), Format::Text, false);
    anyhow::bail!("{when} the fleet is not in sync:\n{text}")
}

async fn show_files(stage: &Stage<'_>) -> anyhow::Result<()> {
    let installed = stage.world.files.installed().await?;
    for (set, files) in installed {
        for (name, text) in files.unwrap_or_default() {
            let interesting = match &set {
                FileSet::Nginx => name.contains("quote"),
                FileSet::Flume(_) => true,
            };
            if interesting {
                outln!("--- {set}/{name}\n{text}");
            }
        }
    }
    Ok(())
}

/// Removes one container of the quote service and halves another's memory, as a hand on the engine would: past trueup.
async fn break_by_hand(stage: &Stage<'_>) -> anyhow::Result<usize> {
    let pass = look(stage).await?;
    let owner = stage.world.owner(&pass.desired.fleet);
    let mut broken = 0;
    for (host, seen) in &pass.observed.hosts {
        let (Seen::Known(snapshot), Some(host)) = (seen, pass.desired.hosts.get(host)) else { continue };
        let engine = stage.world.engines.engine(host)?;
        let quotes: Vec<&Container> = snapshot
            .containers
            .values()
            .filter_map(Seen::known)
            .filter(|c| match owner.container(&c.name, &host.name, &c.labels) {
                Belongs::Ours(owned) => owned.instance.key.app.as_str() == "quote",
                Belongs::Foreign { .. } => false,
            })
            .collect();
        let by_hand = |action: Action| {
            let engine = std::sync::Arc::clone(&engine);
            async move { engine.perform(&action, &Contents::new(), &|_, _| {}).await }
        };
        if let Some(container) = quotes.first() {
            let name: ContainerName = container.name.clone();
            outln!("docker rm -f {name}");
            by_hand(Action::StopContainer { name: name.clone(), timeout: TimeSpan::default() }).await?;
            by_hand(Action::RemoveContainer { name }).await?;
            broken += 1;
        }
        if let Some(container) = quotes.get(1) {
            let name = container.name.clone();
            outln!("docker update --memory 40m {name}");
            let live = &container.live;
            let limits = LiveLimits {
                cpus: None,
                memory: Some(ByteSize(40 << 20)),
                memory_reservation: None,
                pids: None,
                restart: live.restart,
            };
            by_hand(Action::UpdateContainer { name, limits }).await?;
            broken += 1;
        }
    }
    anyhow::ensure!(broken > 0, "no quote service was found to break");
    Ok(broken)
}

/// A change such as a pull request would bring: another greeting for the quote service.
fn change_by_commit(stage: &Stage<'_>) -> anyhow::Result<()> {
    const PATH: &str = "apps/quote/files/limits.conf";
    let text = stage.repository.read(PATH)?;
    let files = BTreeMap::from([(PATH.to_owned(), format!("# changed by the demo's second commit\n{text}"))]);
    stage.repository.commit(&files, "quote: new limits")?;
    outln!("git commit: {PATH} (a file mounted into the app is part of its spec)\n");
    Ok(())
}

/// Takes away what carries the demo's installation id, and nothing else.
pub async fn clean_up(stage: &Stage<'_>) -> anyhow::Result<()> {
    chapter("Cleaning up");
    let pass = look(stage).await?;
    let owner = stage.world.owner(&pass.desired.fleet);
    let mut removed = 0;
    for (name, seen) in &pass.observed.hosts {
        let (Seen::Known(snapshot), Some(host)) = (seen, pass.desired.hosts.get(name)) else { continue };
        let engine = stage.world.engines.engine(host)?;
        let mut actions = Vec::new();
        for container in snapshot.containers.values().filter_map(Seen::known) {
            if matches!(owner.container(&container.name, name, &container.labels), Belongs::Ours(_)) {
                let name = container.name.clone();
                actions.push(Action::StopContainer { name: name.clone(), timeout: TimeSpan::from_secs(1) });
                actions.push(Action::RemoveContainer { name });
            }
        }
        for network in snapshot.networks.values().filter_map(Seen::known) {
            if matches!(owner.object("network", &network.name, name, &network.labels), Belongs::Ours(())) {
                actions.push(Action::RemoveNetwork { name: network.name.clone() });
            }
        }
        for action in actions {
            engine.perform(&action, &Contents::new(), &|_, _| {}).await?;
            removed += usize::from(!matches!(action, Action::StopContainer { .. }));
        }
    }
    outln!("{removed} containers and networks of the demo were removed; nothing else was touched.");
    Ok(())
}

/// The settings of a demo that is kept, so that the other commands can be tried on it.
pub fn write_settings(dir: &Path, settings: &Settings) -> anyhow::Result<()> {
    let text = format!(
        "# Written by `trueup demo --keep`.\ninstallation = {:?}\nkey_file = \"hash.key\"\nstate_dir = \"state\"\n\n\
         [repository]\nurl = {:?}\n\n[nginx]\ndirectory = \"nginx\"\n\n[flume]\ndirectory = \"flume\"\n",
        settings.installation, settings.repository.url
    );
    std::fs::write(dir.join("trueup.toml"), text)?;
    let identity = std::fs::read_to_string(dir.join("state/identity"))?;
    let key = identity.trim().split_once(' ').map(|(_, key)| key.to_owned()).unwrap_or_default();
    super::terminal::write_private(&dir.join("hash.key"), &key)
}
