//! `trueup import compose FILE…`: what Compose files say; with `--adopt-project`, what they started is taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::import::compose::{Known, Request, env_file, files, project_name};
use crate::import::{EnvValues, Imported, engines, host_file};
use crate::model::host::Host;
use crate::model::names::{ContainerName, HostName};
use crate::model::observed::Seen;
use crate::model::secrecy::PlainEnv;

use super::super::world::GlobalArgs;
use super::{Exit, LiveArgs, Looked, write};

#[derive(clap::Args, Clone)]
pub struct Args {
    /// Compose files; a later one goes on top of those before, as with `docker compose -f`.
    #[arg(required = true, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Variables for `${…}`; trueup's own environment and .env are not read unless named.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// A profile that is on (may be repeated; `*` is all).
    #[arg(long, value_name = "PROFILE")]
    profile: Vec<String>,
    /// The project's name [default: the file's `name`, else its directory's].
    #[arg(long, value_name = "NAME")]
    project_name: Option<String>,
    /// Write services for this Swarm of fleet.toml (runtime = "swarm") instead of apps on hosts.
    #[arg(long, value_name = "SWARM")]
    swarm: Option<String>,
    /// Take over the containers that this project already runs, as they are; needs --host and --engine, or --repo.
    #[arg(long, value_name = "PROJECT", conflicts_with = "swarm")]
    adopt_project: Option<String>,
    #[command(flatten)]
    live: LiveArgs,
    #[command(flatten)]
    into: write::IntoArgs,
}

/// Files that a Compose file names are no larger.
const LARGEST: u64 = 1 << 20;

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let first = args.file.first().context("no Compose file was named")?;
    let whole = std::path::absolute(first).with_context(|| format!("{}", first.display()))?;
    let directory = whole.parent().unwrap_or(Path::new("/")).to_owned();
    let texts: anyhow::Result<Vec<(String, String)>> =
        args.file.iter().map(|file| Ok((file.display().to_string(), text(file)?))).collect();
    let (texts, given) = (texts?, given(&args.env_file)?);
    let hosts = match &args.adopt_project {
        // What runs says where.
        Some(_) => Hosts::default(),
        None => hosts(global, args).await?,
    };
    let read = |path: &str| text(&directory.join(path)).map_err(|e| format!("{e:#}"));
    let request = Request {
        environment: args.into.environment.clone(),
        project: project(args, &texts, &given, &directory)?,
        files: texts,
        directory: directory.display().to_string(),
        given,
        profiles: args.profile.iter().cloned().collect(),
        swarm: args.swarm.clone(),
        hosts: hosts.names.clone(),
        values: super::values(&args.live),
        read: &read,
    };
    let (said, known) = files(&request).map_err(|why| anyhow::anyhow!("{why}"))?;
    match &args.adopt_project {
        Some(project) => adopt(global, args, project, said, known).await,
        None => written(args, said, hosts),
    }
}

/// Variables of the files, the later on top of the earlier.
fn given(files: &[PathBuf]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut given = BTreeMap::new();
    for file in files {
        let variables =
            env_file(&text(file)?, &given).map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))?;
        given.extend(variables.into_iter().map(|v| (v.name, v.value.unwrap_or_default())));
    }
    Ok(given)
}

/// Where the apps are placed.
#[derive(Default)]
struct Hosts {
    names: BTreeSet<HostName>,
    files: BTreeMap<String, String>,
    /// Named, and known neither to the repository nor by an engine.
    unknown: BTreeSet<HostName>,
}

/// The hosts that were named: with their files where it is said how they are reached, else as far as the repository has
/// them.
async fn hosts(global: &GlobalArgs, args: &Args) -> anyhow::Result<Hosts> {
    let wanted = &args.live.host;
    if wanted.is_empty() {
        return Ok(Hosts::default());
    }
    if args.live.engine.is_none() && args.live.repo.is_none() {
        let declared = super::check::hosts(&write::existing(&args.into)?);
        let (names, unknown) = wanted.iter().cloned().partition(|name| declared.contains(name));
        return Ok(Hosts { names, files: BTreeMap::new(), unknown });
    }
    let (hosts, _, _, _) = super::inventory(global, &args.live, &args.into.environment).await?;
    let mut files = BTreeMap::new();
    for host in &hosts {
        let host = Host { swarm: args.swarm.clone().or(host.swarm.clone()), ..host.clone() };
        files.insert(format!("hosts/{}.toml", host.name), host_file(&host));
    }
    Ok(Hosts { names: hosts.into_iter().map(|host| host.name).collect(), files, unknown: BTreeSet::new() })
}

fn written(args: &Args, mut imported: Imported, hosts: Hosts) -> Exit {
    if imported.apps.is_empty() {
        write::tell(&imported);
        bail!("no service could be carried over: the notes above say why");
    }
    for host in hosts.unknown {
        imported.note(
            format!("host {host}"),
            "the repository does not declare it, so no app is placed there: write hosts/NAME.toml and [place], or \
             import with --engine",
        );
    }
    imported.files.extend(hosts.files);
    let managers: Vec<HostName> = hosts.names.into_iter().collect();
    let swarm = args.swarm.as_deref().map(|name| (name, managers.as_slice()));
    super::finish(&args.into, imported, None, swarm)
}

/// What runs is written, with what only the file says: so the plan is empty.
async fn adopt(
    global: &GlobalArgs,
    args: &Args,
    project: &str,
    said: Imported,
    known: BTreeMap<String, Known>,
) -> Exit {
    let mut looked = super::look(global, &args.live, &args.into.environment).await?;
    if args.live.env_values.is_none() {
        looked.words = words(&looked, project, &known);
    }
    let live = LiveArgs { project: Some(project.to_owned()), ..args.live.clone() };
    let mut request = super::request(&live, &args.into, &looked)?;
    request.values = match request.values {
        // Values that stand in the Compose file are no news to whoever reads it.
        EnvValues::None => EnvValues::Plain,
        values @ (EnvValues::Plain | EnvValues::All) => values,
    };
    request.known = known;
    let mut imported = engines(&request);
    let services: BTreeSet<_> = imported.apps.keys().cloned().collect();
    for app in said.apps.keys().filter(|app| !services.contains(*app)) {
        imported.notes.push(crate::import::Note {
            subject: format!("service {app}"),
            words: "left out: no container of it runs; import the file without --adopt-project for it"
                .to_owned(),
        });
    }
    if imported.apps.is_empty() {
        write::tell(&imported);
        bail!("no container of the project {project} could be taken over");
    }
    super::finish(&args.into, imported, Some(&looked), None)
}

/// Values of the file that are, by their hashes, those of the containers: nothing is read in the clear (G1).
fn words(
    looked: &Looked,
    project: &str,
    known: &BTreeMap<String, Known>,
) -> BTreeMap<(crate::model::names::HostName, ContainerName), PlainEnv> {
    let mut words = BTreeMap::new();
    for (host, engine) in &looked.hosts {
        for (name, seen) in &engine.containers {
            let Seen::Known(container) = seen else { continue };
            let label = |key: &str| container.labels.get(key).map(String::as_str);
            let service = label("com.docker.compose.service").and_then(|service| known.get(service));
            let (Some(service), Some(true)) =
                (service, label("com.docker.compose.project").map(|p| p == project))
            else {
                continue;
            };
            let lines = container.live.env.iter().filter_map(|(variable, hash)| {
                let value = service.value(variable)?;
                (looked.key.hide(value) == *hash).then(|| format!("{variable}={value}"))
            });
            words.insert((host.name.clone(), name.clone()), PlainEnv::of_lines(lines));
        }
    }
    words
}

/// As Compose calls it: lower case letters, digits, `-` and `_`.
fn project(
    args: &Args,
    texts: &[(String, String)],
    given: &BTreeMap<String, String>,
    directory: &Path,
) -> anyhow::Result<String> {
    let mut said = None;
    for (file, text) in texts {
        said = project_name(file, text, given).map_err(|why| anyhow::anyhow!("{why}"))?.or(said);
    }
    let last = directory.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = args
        .project_name
        .clone()
        .or(args.adopt_project.clone())
        .or(said)
        .or(last)
        .unwrap_or_default()
        .to_lowercase();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    Ok(if name.is_empty() { "project".to_owned() } else { name })
}

fn text(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let length = std::fs::metadata(path).with_context(|| format!("{shown}"))?.len();
    if length > LARGEST {
        bail!("{shown}: {length} bytes are too many; the limit is {LARGEST}");
    }
    std::fs::read_to_string(path).with_context(|| format!("{shown}"))
}
