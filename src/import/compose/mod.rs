//! Compose files as files of a config repository. What Compose does with them is followed key by key; what trueup has no
//! word for is told with file and line.

mod deploy;
mod env_file;
mod interpolate;
mod merge;
mod mounts;
mod network;
mod rebase;
mod service;
mod values;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::container::{ContainerSpec, EnvValue};
use crate::model::names::{AppName, EnvironmentName, HostName};
use crate::model::network::VolumeSpec;

use super::{EnvValues, Imported, looks_secret};
use interpolate::Missing;
use service::Reader;
use yaml::{Node, Value};

pub use env_file::{Variable, env_file};

/// What is asked for.
pub struct Request<'a> {
    pub environment: EnvironmentName,
    /// Name and text of each file, the later on top of the earlier.
    pub files: Vec<(String, String)>,
    /// The project's directory, absolute: relative paths start there.
    pub directory: String,
    pub project: String,
    /// Variables for `${…}`; the environment of trueup itself is never read.
    pub given: BTreeMap<String, String>,
    pub profiles: BTreeSet<String>,
    /// The Swarm of fleet.toml that runs it; `None`: trueup places instances on hosts.
    pub swarm: Option<String>,
    pub hosts: BTreeSet<HostName>,
    pub values: EnvValues,
    /// A file that the Compose files name, by its path from the project's directory.
    pub read: &'a dyn Fn(&str) -> Result<String, String>,
}

/// What a Compose file knows of a service beyond what its containers tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub(super) spec: ContainerSpec,
    pub(super) depends_on: BTreeSet<AppName>,
    pub(super) rollout: Vec<(String, String)>,
}

impl Known {
    /// The value that the file gives the variable.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.spec.env.get(name).map(|EnvValue::Plain(value)| value.as_str())
    }
}

/// The whole of the merged files, for their services.
pub(super) struct Project<'a> {
    environment: EnvironmentName,
    directory: String,
    name: String,
    given: BTreeMap<String, String>,
    swarm: Option<String>,
    values: EnvValues,
    document: &'a Node,
    read: &'a dyn Fn(&str) -> Result<String, String>,
    /// How many services mount a volume.
    shared: BTreeMap<String, usize>,
}

impl Project<'_> {
    fn section(&self, section: &str, name: &str) -> Option<&Node> {
        self.document.get(section)?.get(name)
    }

    fn withholds(&self, name: &str, value: &str) -> bool {
        self.values != EnvValues::All && looks_secret(name, value)
    }

    fn is_external_volume(&self, name: &str) -> bool {
        self.section("volumes", name).and_then(|v| v.get("external")).is_some_and(is_external)
    }

    fn volume(&self, name: &str) -> OnEngine {
        let declared = self.section("volumes", name);
        let known_as = declared.and_then(own_name);
        if self.is_external_volume(name) {
            return OnEngine::External(known_as.unwrap_or(name).to_owned());
        }
        let of_project = || format!("{}_{name}", self.name);
        let shared = self.shared.get(name).copied().unwrap_or_default() > 1;
        match known_as {
            Some(known_as) => OnEngine::Named(known_as.to_owned()),
            None if shared => OnEngine::Shared(of_project()),
            None => {
                let nothing = VolumeSpec { driver: "local".to_owned(), options: BTreeMap::new() };
                OnEngine::Anew {
                    spec: declared.map_or(nothing, mounts::volume_spec),
                    of_project: of_project(),
                }
            }
        }
    }

    /// A network's name in the repository; with a dash, so that it is never mistaken for the one that Compose made.
    fn network(&self, name: &str) -> String {
        let declared = self.section("networks", name);
        let external = declared.and_then(|n| n.get("external")).is_some_and(is_external);
        match (declared.and_then(own_name), external) {
            (Some(known_as), _) => known_as.to_owned(),
            (None, true) => name.to_owned(),
            (None, false) => format!("{}-{name}", self.name),
        }
    }
}

/// A volume of the file, on an engine.
enum OnEngine {
    /// Made elsewhere, under this name.
    External(String),
    /// Of this project or of others: it has a name of its own.
    Named(String),
    /// Several services mount it: it is none of one app's own.
    Shared(String),
    /// One app's own, under another name than the one that Compose made.
    Anew { spec: VolumeSpec, of_project: String },
}

/// The name on the engine that a volume or network gives itself, in today's form or in that of old files.
fn own_name(node: &Node) -> Option<&str> {
    node.get("name").or_else(|| node.get("external")?.get("name")).and_then(Node::text)
}

fn is_external(node: &Node) -> bool {
    node.flag() || matches!(node.value, Value::Map(_))
}

/// The project's name, where the text of a file says one.
pub fn project_name(
    file: &str,
    text: &str,
    given: &BTreeMap<String, String>,
) -> Result<Option<String>, String> {
    let mut document = yaml::parse(file, text)?;
    interpolate::fill(&mut document, given, &mut Missing::new())?;
    Ok(document.get("name").and_then(Node::text).map(str::to_owned))
}

/// Files and notes for every service whose profile is on; the error names a place.
pub fn files(request: &Request<'_>) -> Result<(Imported, BTreeMap<String, Known>), String> {
    let (mut imported, mut missing) = (Imported::default(), Missing::new());
    let document = document(request, &mut missing, &mut imported)?;
    let chosen = chosen(request, &document, &mut missing, &mut imported)?;
    for (words, place) in missing {
        let words = format!("{words} is not set and was taken as empty: give it with --env-file");
        imported.note(place.to_string(), words);
    }
    if chosen.is_empty() {
        return Err(format!("{}: it has no services to import", document.place.file));
    }
    let project = Project {
        environment: request.environment.clone(),
        directory: request.directory.clone(),
        name: request.project.clone(),
        given: request.given.clone(),
        swarm: request.swarm.clone(),
        values: request.values,
        document: &document,
        read: request.read,
        shared: shared(&chosen),
    };
    let mut readers = Vec::new();
    for (name, node) in &chosen {
        match Reader::read(&project, name, node) {
            Ok(reader) => readers.push((node, reader)),
            Err((place, words)) => {
                imported.note(format!("{place} service {name}"), format!("left out: {words}"));
            }
        }
    }
    let present: BTreeSet<AppName> = readers.iter().map(|(_, reader)| reader.draft.name.clone()).collect();
    let (mut services_known, mut networks) = (BTreeMap::new(), BTreeSet::new());
    for (node, mut reader) in readers {
        reader.depend_on(&present, node);
        let Reader { mut draft, notes, service, .. } = reader;
        draft.hosts.clone_from(&request.hosts);
        for (place, words) in notes {
            imported.note(format!("{place} service {service}"), words);
        }
        let known = Known {
            spec: draft.spec.clone(),
            depends_on: draft.depends_on.clone(),
            rollout: draft.rollout.clone(),
        };
        services_known.insert(service.to_owned(), known);
        networks.extend(network::of(&draft));
        let key = draft.name.to_string();
        if imported.apps.insert(key.clone(), network::instances(&draft)).is_some() {
            return Err(format!("{}: two services would be called {key}", node.place));
        }
        imported.files.extend(draft.files());
    }
    network::files(&project, &networks, &mut imported);
    Ok((imported, services_known))
}

/// The services whose profiles are on, with what they extend.
fn chosen(
    request: &Request<'_>,
    document: &Node,
    missing: &mut Missing,
    imported: &mut Imported,
) -> Result<Vec<(String, Node)>, String> {
    let none = Node { place: document.place.clone(), value: Value::Null, merging: yaml::Merging::Usual };
    let services = document.get("services").unwrap_or(&none);
    let mut chosen = Vec::new();
    for (name, node) in services.map() {
        let node = extended(request, name, node, services, missing, 0)?;
        let profiles: Vec<&str> =
            node.get("profiles").into_iter().flat_map(Node::texts).map(|(t, _)| t).collect();
        let on = |p: &&str| request.profiles.contains(*p) || request.profiles.contains("*");
        if profiles.is_empty() || profiles.iter().any(on) {
            chosen.push((name.clone(), node));
        } else {
            imported.note(
                format!("{} service {name}", node.place),
                format!("left out: its profiles ({}) are not on (--profile)", profiles.join(", ")),
            );
        }
    }
    Ok(chosen)
}

/// All files as one, with their variables filled in.
fn document(request: &Request<'_>, missing: &mut Missing, imported: &mut Imported) -> Result<Node, String> {
    let mut whole: Option<Node> = None;
    for (name, text) in &request.files {
        let mut node = yaml::parse(name, text)?;
        interpolate::fill(&mut node, &request.given, missing)?;
        if !matches!(node.value, Value::Map(_)) {
            return Err(format!("{name}: a Compose file is a map with `services`"));
        }
        for (key, inner) in node.map() {
            let known = ["version", "name", "services", "networks", "volumes", "configs", "secrets"];
            if !known.contains(&key.as_str()) && !key.starts_with("x-") {
                imported.note(inner.place.to_string(), format!("could not carry over {key}"));
            }
        }
        whole = Some(match whole {
            None => node,
            Some(below) => merge::documents(below, node),
        });
    }
    whole.ok_or_else(|| "no Compose file was given".to_owned())
}

const DEEPEST: usize = 8;

/// With what `extends` brings in below it.
fn extended(
    request: &Request<'_>,
    name: &str,
    node: &Node,
    services: &Node,
    missing: &mut Missing,
    depth: usize,
) -> Result<Node, String> {
    let Some(extends) = node.get("extends") else { return Ok(node.clone()) };
    if depth > DEEPEST {
        return Err(format!("{}: services extend each other in a circle", extends.place));
    }
    let base = extends.text().or_else(|| extends.get("service").and_then(Node::text)).unwrap_or(name);
    let mut base = match extends.get("file").and_then(Node::text) {
        None => {
            let found = services.get(base);
            let found = found.ok_or_else(|| format!("{}: there is no service {base}", extends.place))?;
            extended(request, base, found, services, missing, depth + 1)?
        }
        Some(file) => {
            let others =
                services_of(request, file, missing).map_err(|why| format!("{}: {why}", extends.place))?;
            let found = others.get(base);
            let found = found.ok_or_else(|| format!("{}: {file} has no service {base}", extends.place))?;
            extended(request, base, found, &others, missing, depth + 1)?
        }
    };
    // What it depends on and shares is not inherited, as Compose has it.
    if let Value::Map(pairs) = &mut base.value {
        pairs.retain(|(key, _)| !matches!(key.as_str(), "depends_on" | "links" | "volumes_from" | "extends"));
    }
    Ok(merge::service(base, node.clone()))
}

/// The services of another file; its own paths are made the project's.
fn services_of(request: &Request<'_>, file: &str, missing: &mut Missing) -> Result<Node, String> {
    let text = (request.read)(file).map_err(|why| format!("{file}: {why}"))?;
    let mut other = yaml::parse(file, &text)?;
    interpolate::fill(&mut other, &request.given, missing)?;
    let services = other.get("services").cloned();
    let mut services = services.ok_or_else(|| format!("{file} has no services"))?;
    if let (Some((directory, _)), Value::Map(pairs)) = (file.rsplit_once('/'), &mut services.value) {
        pairs.iter_mut().for_each(|(_, service)| rebase::service(service, directory));
    }
    Ok(services)
}

fn shared(services: &[(String, Node)]) -> BTreeMap<String, usize> {
    let mut shared: BTreeMap<String, usize> = BTreeMap::new();
    for (_, node) in services {
        let mounts = node.get("volumes").map(Node::list).unwrap_or_default();
        let named: BTreeSet<&str> = mounts
            .iter()
            .filter_map(|mount| match mount.text() {
                Some(text) => text.split_once(':').map(|(source, _)| source),
                None => mount.get("source").and_then(Node::text),
            })
            .filter(|source| !source.starts_with(['.', '/', '~']))
            .collect();
        for name in named {
            *shared.entry(name.to_owned()).or_default() += 1;
        }
    }
    shared
}
