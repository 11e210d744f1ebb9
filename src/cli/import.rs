//! `trueup import`: what already runs, or what a Compose file says, as files of a config repository (B4).
//!
//! Engines are only read. What would be written is parsed and planned against what was read before anything is
//! written, so that "the plan after an import is empty" is seen and not hoped for.

mod check;
mod compose;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context as _, bail};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::adapter::clock::SystemClock;
use crate::adapter::docker::DockerEngines;
use crate::control::revision::Reader;
use crate::import::{EnvValues, Imported, Request, ServicesRequest, engines, services};
use crate::model::host::{Capacity, EngineAddress, Host};
use crate::model::names::{AppName, ContainerName, EnvironmentName, HostName};
use crate::model::observed::{Engine as Snapshot, Seen};
use crate::model::secrecy::{HashKey, PlainEnv};
use crate::model::settings::EngineSettings;
use crate::model::swarm::Swarm;
use crate::observe;
use crate::ports::{EngineError, Engines as _};

use super::world::{GlobalArgs, SourceArgs, settings, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    from: Option<From>,
    #[command(flatten)]
    live: LiveArgs,
    #[command(flatten)]
    services: ServicesArgs,
    #[command(flatten)]
    into: write::IntoArgs,
}

#[derive(clap::Subcommand)]
enum From {
    /// Write what Compose files say; no engine is asked unless --adopt-project names what they started.
    Compose(compose::Args),
}

/// Which engine, and what of it.
#[derive(clap::Args, Clone)]
pub struct LiveArgs {
    /// What the host is called in the repository (may be repeated where --repo has them).
    #[arg(long, value_name = "NAME")]
    host: Vec<HostName>,
    /// Its engine, where no repository says it yet: unix:///path, tcp://host:2376 or ssh://user@host.
    #[arg(long, value_name = "ADDRESS")]
    engine: Option<EngineAddress>,
    /// The address at which others reach the host [default: the engine's, 127.0.0.1 for a socket].
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// Take hosts and engines from this config repository.
    #[arg(long, value_name = "REPO")]
    repo: Option<String>,
    /// Only these containers.
    #[arg(long, value_name = "CONTAINER", value_delimiter = ',')]
    only: Vec<ContainerName>,
    /// Only containers of this Compose project.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Name an app and its containers, in the order of its slots (may be repeated).
    #[arg(long, value_name = "APP=CONTAINER[,CONTAINER]", value_parser = named_app)]
    app: Vec<(AppName, Vec<ContainerName>)>,
    /// Write the values of variables in the clear; without `=all` not of those that look like secrets.
    #[arg(long, value_name = "WHICH", num_args = 0..=1, require_equals = true, default_missing_value = "plain", value_enum)]
    env_values: Option<WhichValues>,
}

/// Services instead of containers.
#[derive(clap::Args, Clone)]
struct ServicesArgs {
    /// Take over the services of the Swarm that the host manages, under this name in fleet.toml; containers are left out.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["only", "project", "app", "env_values"])]
    swarm: Option<String>,
    /// With --swarm: only these services.
    #[arg(long, value_name = "SERVICE", value_delimiter = ',', requires = "swarm")]
    service: Vec<String>,
    /// With --swarm: only services of this stack, whose names then lose the stack's.
    #[arg(long, value_name = "STACK", requires = "swarm")]
    stack: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum WhichValues {
    Plain,
    All,
}

fn named_app(text: &str) -> Result<(AppName, Vec<ContainerName>), String> {
    let (app, containers) = text.split_once('=').ok_or("write APP=CONTAINER,CONTAINER")?;
    let containers: Result<Vec<ContainerName>, _> = containers.split(',').map(str::parse).collect();
    Ok((app.parse().map_err(|e| format!("{e}"))?, containers.map_err(|e| format!("{e}"))?))
}

/// What was read of the hosts, and the variables that a person asked for.
pub struct Looked {
    pub hosts: Vec<(Host, Snapshot)>,
    /// Why a host could not be read (A1).
    pub unread: BTreeMap<HostName, String>,
    pub words: Words,
    pub key: HashKey,
    /// By the name in fleet.toml.
    pub swarms: BTreeMap<String, Swarm>,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    match &args.from {
        Some(From::Compose(compose)) => compose::run(global, compose).await,
        None => match &args.services.swarm {
            Some(name) => from_swarm(global, args, name).await,
            None => from_engines(global, args).await,
        },
    }
}

/// Services of a Swarm, as one of its managers tells them.
async fn from_swarm(global: &GlobalArgs, args: &Args, name: &str) -> Exit {
    let mut looked = look(global, &args.live, &args.into.environment).await?;
    let [(host, engine)] = looked.hosts.as_mut_slice() else {
        bail!("a Swarm is read through one of its managers: name it with one --host");
    };
    host.swarm = Some(name.to_owned());
    if engine.info.swarm.is_none() {
        bail!("{} does not manage a Swarm: name one of its managers", host.name);
    }
    let manager = [host.name.clone()];
    let (settings, key) = (engine_settings(global, &args.live)?, looked.key.clone());
    let call_deadline = settings.call_deadline.duration();
    let engines = DockerEngines::new(settings, key);
    let engine = engines.engine(host)?;
    let host = &*host;
    let told = observe::read_once(vec![(host, engine.swarm())], &SystemClock, 1, call_deadline).await;
    let [swarm] = <[_; 1]>::try_from(told).map_err(|_| anyhow::anyhow!("{} told nothing", host.name))?;
    let swarm = swarm.map_err(anyhow::Error::msg)?;
    let existing = if args.into.force { BTreeMap::new() } else { write::existing(&args.into)? };
    let request = ServicesRequest {
        environment: args.into.environment.clone(),
        name: name.to_owned(),
        swarm: &swarm,
        host,
        only: args.services.service.iter().cloned().collect(),
        stack: args.services.stack.clone(),
        taken_over: check::services_taken_over(&existing),
        taken: write::taken(&args.into)?,
    };
    let imported = services(&request);
    if imported.apps.is_empty() {
        write::tell(&imported);
        bail!("no service to import was found: the notes above say what was left out and why");
    }
    looked.swarms.insert(name.to_owned(), swarm);
    finish(&args.into, imported, Some(&looked), Some((name, &manager)))
}

/// How engines are reached: as the settings say, where there are any.
fn engine_settings(global: &GlobalArgs, live: &LiveArgs) -> anyhow::Result<EngineSettings> {
    if global.config.is_none() && live.repo.is_none() {
        return Ok(EngineSettings::default());
    }
    Ok(settings(global, &SourceArgs { repo: live.repo.clone(), ..SourceArgs::default() })?.engines)
}

async fn from_engines(global: &GlobalArgs, args: &Args) -> Exit {
    let looked = look(global, &args.live, &args.into.environment).await?;
    let request = request(&args.live, &args.into, &looked)?;
    let imported = engines(&request);
    if imported.apps.is_empty() {
        write::tell(&imported);
        bail!("nothing to import was found: the notes above say what was left out and why");
    }
    finish(&args.into, imported, Some(&looked), None)
}

/// Checks, writes or prints, and says what comes next.
pub fn finish(
    into: &write::IntoArgs,
    mut imported: Imported,
    looked: Option<&Looked>,
    swarm: Option<(&str, &[HostName])>,
) -> Exit {
    for (host, why) in looked.into_iter().flat_map(|looked| &looked.unread) {
        imported.note(format!("host {host}"), format!("left out: it could not be read: {why}"));
    }
    let existing = write::existing(into)?;
    let files = write::complete(into, &imported, &existing, swarm);
    let checked = check::check(&files.all(&existing), &imported, looked);
    write::write(into, &files, &existing)?;
    write::tell(&imported);
    for kept in &files.kept {
        errln!("note: {kept} is there already and was left as it is; see that it has what is needed");
    }
    check::tell(&checked);
    let code = checked.code();
    write::next(into, &imported, looked.is_some(), code == 0);
    Ok(code)
}

fn request<'a>(live: &LiveArgs, into: &write::IntoArgs, looked: &'a Looked) -> anyhow::Result<Request<'a>> {
    let mut apps: BTreeMap<AppName, Vec<ContainerName>> = BTreeMap::new();
    for (app, containers) in &live.app {
        apps.entry(app.clone()).or_default().extend(containers.iter().cloned());
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = apps.values().flatten().find(|name| !seen.insert((*name).clone())) {
        bail!("--app names the container {twice} twice");
    }
    Ok(Request {
        environment: into.environment.clone(),
        hosts: &looked.hosts,
        only: live.only.iter().cloned().collect(),
        project: live.project.clone(),
        apps,
        taken: write::taken(into)?,
        taken_over: if into.force { BTreeMap::new() } else { check::taken_over(&write::existing(into)?) },
        words: &looked.words,
        values: values(live),
        known: BTreeMap::new(),
        with_hosts: true,
    })
}

fn values(live: &LiveArgs) -> EnvValues {
    match live.env_values {
        None => EnvValues::None,
        Some(WhichValues::Plain) => EnvValues::Plain,
        Some(WhichValues::All) => EnvValues::All,
    }
}

/// Reads the engines; nothing is changed on them.
pub async fn look(
    global: &GlobalArgs,
    live: &LiveArgs,
    environment: &EnvironmentName,
) -> anyhow::Result<Looked> {
    let (hosts, settings, key, fan_out) = inventory(global, live, environment).await?;
    let call_deadline = settings.call_deadline.duration();
    let engines = DockerEngines::new(settings, key.clone());
    let mut reads: Vec<(&Host, BoxFuture<'_, _>)> = Vec::new();
    for host in &hosts {
        reads.push((host, Box::pin(survey(&engines, host))));
    }
    let told = observe::read_once(reads, &SystemClock, fan_out, call_deadline).await;
    // Not by a deadline for all of a host, which may have hundreds: each call has its own.
    let with_words = hosts.iter().zip(told).map(|(host, told)| {
        let engines = &engines;
        async move {
            let snapshot = told?;
            let words = match live.env_values {
                Some(_) => words(engines, host, &snapshot).await.map_err(|error| error.to_string())?,
                None => Words::new(),
            };
            Ok::<_, String>((snapshot, words))
        }
    });
    let told: Vec<_> = stream::iter(with_words).buffered(fan_out.max(1)).collect().await;
    let mut looked = Looked {
        hosts: Vec::new(),
        unread: BTreeMap::new(),
        words: BTreeMap::new(),
        key,
        swarms: BTreeMap::new(),
    };
    for (host, told) in hosts.iter().zip(told) {
        match told {
            Ok((snapshot, words)) => {
                looked.hosts.push((host.clone(), snapshot));
                looked.words.extend(words);
            }
            // One that is silent is told; where all are there is nothing to import.
            Err(why) if hosts.len() > 1 => drop(looked.unread.insert(host.name.clone(), why)),
            Err(why) => {
                return Err(anyhow::Error::msg(why)).with_context(|| format!("reading {}", host.name));
            }
        }
    }
    if looked.hosts.is_empty() {
        let told: Vec<String> = looked.unread.iter().map(|(host, why)| format!("{host}: {why}")).collect();
        bail!("none of the hosts could be read: {}", told.join("; "));
    }
    Ok(looked)
}

type Words = BTreeMap<(HostName, ContainerName), PlainEnv>;

/// How many containers of one host are asked for their variables at once.
const WORDS_AT_ONCE: usize = 8;

async fn survey(engines: &DockerEngines, host: &Host) -> Result<Snapshot, EngineError> {
    engines.engine(host)?.survey(&BTreeSet::new()).await
}

/// The variables of a host's containers, where a person asked for them.
async fn words(engines: &DockerEngines, host: &Host, snapshot: &Snapshot) -> Result<Words, EngineError> {
    errln!("warning: values of variables of {} are read and written in the clear (G1)", host.name);
    let known = snapshot.containers.iter().filter(|(_, seen)| matches!(seen, Seen::Known(_)));
    let one = |(name, _): (&ContainerName, _)| {
        let name = name.clone();
        async move {
            let env = engines.plain_env(host, &name).await?;
            Ok(((host.name.clone(), name), env))
        }
    };
    stream::iter(known.map(one)).buffer_unordered(WORDS_AT_ONCE).try_collect().await
}

/// Hosts, how they are reached, the key that hides values, and how many are asked at once.
async fn inventory(
    global: &GlobalArgs,
    live: &LiveArgs,
    environment: &EnvironmentName,
) -> anyhow::Result<(Vec<Host>, EngineSettings, HashKey, usize)> {
    match (&live.engine, live.host.as_slice()) {
        (Some(engine), [name]) => {
            let address = address(engine, live.address)?;
            let host = Host {
                availability: None,
                name: name.clone(),
                address,
                engine: engine.clone(),
                environments: BTreeSet::from([environment.clone()]),
                labels: BTreeMap::new(),
                capacity: Capacity::default(),
                swarm: None,
                drain: false,
                origin: String::new(),
            };
            let settings = match &global.config {
                Some(_) => settings(global, &SourceArgs::default())?.engines,
                None => EngineSettings::default(),
            };
            let mut key = [0; 32];
            key.fill_with(|| fastrand::u8(..));
            Ok((vec![host], settings, HashKey::new(key), 1))
        }
        (Some(_), _) => bail!("--engine is one host's: name it with one --host"),
        (None, wanted) => {
            if live.repo.is_none() && global.config.is_none() {
                bail!(
                    "which engine? Name it with --host NAME --engine ADDRESS (such as unix:///var/run/docker.sock), or the \
                     repository that declares it with --repo"
                );
            }
            let source = SourceArgs { repo: live.repo.clone(), ..SourceArgs::default() };
            let own = settings(global, &source)?;
            let world = world(global, &source, terminal::progress(true))?;
            let taken = Reader::default().take(&world, false).await?;
            let declared = &taken.desired.hosts;
            if let Some(missing) = wanted.iter().find(|name| !declared.contains_key(*name)) {
                bail!("the repository declares no host {missing}");
            }
            let all = declared.values().filter(|host| wanted.is_empty() || wanted.contains(&host.name));
            Ok((all.cloned().collect(), own.engines, own.hash_key, own.limits.fan_out))
        }
    }
}

fn address(engine: &EngineAddress, said: Option<IpAddr>) -> anyhow::Result<IpAddr> {
    if let Some(address) = said {
        return Ok(address);
    }
    let host = match engine {
        EngineAddress::Unix { .. } | EngineAddress::Simulated => return Ok(IpAddr::from([127, 0, 0, 1])),
        EngineAddress::Tcp { host, .. } | EngineAddress::Ssh { host, .. } => host,
    };
    host.trim_matches(['[', ']']).parse().map_err(|_| {
        anyhow::anyhow!("{host} is a name: say with --address at which address others reach the host")
    })
}
