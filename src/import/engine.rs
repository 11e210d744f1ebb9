//! What runs on engines → apps: containers that are alike are the slots of one app, everything else is one of its own.
//!
//! Swarm's services come through another door: its tasks are told and left out here.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::adoption::Adopted;
use crate::model::app::Replicas;
use crate::model::container::{ContainerField, ContainerSpec, Mount, MountSource, Networks};
use crate::model::host::Host;
use crate::model::names::{
    AppKey, AppName, ContainerName, EnvironmentName, HostName, InstanceName, NetworkName,
};
use crate::model::observed::{self, Container, Engine, Health, RunState, Seen};
use crate::model::ownership::PREFIX;
use crate::model::secrecy::PlainEnv;

use super::app::Draft;
use super::compose::Known;
use super::live::{self, Read};
use super::{Imported, names, skeleton};

pub use super::live::EnvValues;

/// What is asked for.
pub struct Request<'a> {
    pub environment: EnvironmentName,
    pub hosts: &'a [(Host, Engine)],
    /// Only these containers; empty: all that run.
    pub only: BTreeSet<ContainerName>,
    /// Only containers of this Compose project.
    pub project: Option<String>,
    /// Names chosen by a person: containers by app, in the order of their slots.
    pub apps: BTreeMap<AppName, Vec<ContainerName>>,
    /// Containers that the repository takes over already, and for which app.
    pub taken_over: BTreeMap<Adopted, AppKey>,
    /// App names that are taken already.
    pub taken: BTreeSet<AppName>,
    /// Variables in the clear, where a person asked for them.
    pub words: &'a BTreeMap<(HostName, ContainerName), PlainEnv>,
    pub values: EnvValues,
    /// What a Compose file says of the project's services.
    pub known: BTreeMap<String, Known>,
    /// The hosts' own files are written too.
    pub with_hosts: bool,
}

/// A container, read.
struct One<'a> {
    host: &'a HostName,
    container: &'a Container,
    read: Read,
}

pub(super) const COMPOSE_PROJECT: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";
const COMPOSE_NUMBER: &str = "com.docker.compose.container-number";
const COMPOSE_ONE_OFF: &str = "com.docker.compose.oneoff";
const KUBERNETES: &str = "io.kubernetes.";

/// Files and notes for everything that runs on the hosts.
pub fn engines(request: &Request<'_>) -> Imported {
    let mut imported = Imported::default();
    let mut read = Vec::new();
    for (host, engine) in request.hosts {
        for (name, seen) in &engine.containers {
            let wanted = request.only.is_empty() || request.only.contains(name);
            if !wanted {
                continue;
            }
            let subject = format!("container {name} on {}", host.name);
            match seen {
                Seen::Unknown { why } => {
                    imported.note(subject, format!("left out: it could not be read: {why}"))
                }
                Seen::Known(container) => {
                    if let Some(one) = one(request, &host.name, engine, container, &subject, &mut imported) {
                        read.push(one);
                    }
                }
            }
        }
        let options = live::log_options(engine);
        for (options, taken) in [
            (options.of_daemon, "that is taken for the daemon's own and not written"),
            (
                options.doubtful,
                "that may be the daemon's own, and they are too few, or too much of one maker, to tell: it was written; \
                 take it out of git where the daemon adds it by itself (daemon.json)",
            ),
        ] {
            let told: Vec<String> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
            if !told.is_empty() {
                let words = format!("most containers there log with {}: {taken}", told.join(", "));
                imported.note(format!("host {}", host.name), words);
            }
        }
        if request.with_hosts {
            imported.files.insert(format!("hosts/{}.toml", host.name), skeleton::host(host));
        }
    }
    tell_missing(request, &read, &mut imported);
    let mut networks = skeleton::Networks::new();
    for draft in group(request, read, &mut imported) {
        if let Networks::Named(named) = &draft.spec.networks {
            for name in named.keys() {
                for (host, engine) in
                    request.hosts.iter().filter(|(host, _)| draft.hosts.contains(&host.name))
                {
                    let live = engine.networks.get(name.as_str()).and_then(Seen::known);
                    let entry = networks.entry(name.clone()).or_insert((live, Vec::new()));
                    if !entry.1.contains(&&host.name) {
                        entry.1.push(&host.name);
                    }
                }
            }
        }
        let count = match draft.replicas {
            Replicas::Count(count) => usize::try_from(count).unwrap_or_default(),
            Replicas::EveryHost => draft.hosts.len(),
        };
        imported.apps.insert(draft.name.to_string(), count);
        imported.files.extend(draft.files());
    }
    for (name, (live, hosts)) in networks {
        let text = skeleton::network(&name, live, &hosts);
        imported.files.insert(format!("networks/{name}.toml"), text);
    }
    imported
}

/// `None`: it is left out, and why was told.
fn one<'a>(
    request: &Request<'_>,
    host: &'a HostName,
    engine: &Engine,
    container: &'a Container,
    subject: &str,
    imported: &mut Imported,
) -> Option<One<'a>> {
    let named = request.only.contains(&container.name)
        || request.apps.values().flatten().any(|name| *name == container.name);
    let label = |name: &str| container.labels.get(name).map(String::as_str);
    if request.project.as_ref().is_some_and(|project| label(COMPOSE_PROJECT) != Some(project)) {
        return None;
    }
    let any = |prefix: &str| container.labels.keys().any(|name| name.starts_with(prefix));
    let why = if any(PREFIX) {
        Some(
            "it carries labels of a trueup installation: what is trueup's needs no import, what is another's is not touched (B1)",
        )
    } else if observed::is_task(&container.name, &container.labels) {
        Some("it is a task of a Swarm service: --swarm NAME takes over services")
    } else if any(KUBERNETES) {
        Some("it is Kubernetes'")
    } else if named {
        None
    } else if label(COMPOSE_ONE_OFF) == Some("True") {
        Some("it is a one-off of Compose; name it with --only to take it over")
    } else if container.beyond.iter().any(|words| words.ends_with("(--rm)")) {
        Some("it is removed when it ends (--rm); name it with --only to take it over")
    } else {
        match &container.state {
            RunState::Created | RunState::Exited { .. } => {
                Some("it does not run, and trueup would start it; name it with --only to take it over")
            }
            RunState::Removing | RunState::Dead => Some("it is on its way out"),
            RunState::Running { .. } | RunState::Paused | RunState::Restarting { .. } => None,
        }
    };
    if let Some(why) = why {
        imported.note(subject, format!("left out: {why}"));
        return None;
    }
    let itself = Adopted { container: container.name.clone(), host: host.clone() };
    if let Some(app) = request.taken_over.get(&itself) {
        imported.note(subject, format!("left out: {app} takes it over already"));
        return None;
    }
    let mut notes = Vec::new();
    let words = request.words.get(&(host.clone(), container.name.clone()));
    let read = live::read(container, engine, words, request.values, &mut notes);
    notes.extend(standing(container));
    for (field, why) in read.ignore.iter().filter(|(field, _)| !field.starts_with("env")) {
        notes.push(format!(
            "could not carry over {field}: {why}; it is ignored, and nothing is replaced that would lose it"
        ));
    }
    if !read.hidden.is_empty() {
        let names: Vec<&str> = read.hidden.keys().map(String::as_str).collect();
        let flag = request.values.revealed_by();
        let flag = flag.map(|flag| format!("; {flag} writes them")).unwrap_or_default();
        notes.push(format!(
            "the values of {} are not written (G1): until they are, it is not replaced{flag}",
            names.join(", ")
        ));
    }
    for beyond in &container.beyond {
        notes.push(format!("could not carry over {beyond}: its next replacement is without it"));
    }
    for at in container.anonymous.keys() {
        notes.push(format!(
            "could not carry over the data of the anonymous volume at {at}: it is not replaced until git mounts a volume \
             with a name, or a tmpfs, there (B5)"
        ));
    }
    for note in notes {
        imported.note(subject, note);
    }
    Some(One { host, container, read })
}

/// Why the plan is not empty although everything was carried over.
fn standing(container: &Container) -> Option<String> {
    match &container.state {
        RunState::Running { health: Health::Unchecked | Health::Healthy, .. } => None,
        RunState::Running { health: Health::Starting, .. } => None,
        RunState::Running { health: Health::Unhealthy { .. }, .. } => Some(
            "its health check fails: the plan restarts it when its time to become well is over".to_owned(),
        ),
        RunState::Paused => Some("it is paused: the plan restarts it".to_owned()),
        RunState::Restarting { .. } => Some("it ends again and again: the plan says so".to_owned()),
        RunState::Created | RunState::Exited { .. } | RunState::Removing | RunState::Dead => {
            Some("it does not run: the plan starts it".to_owned())
        }
    }
}

fn tell_missing(request: &Request<'_>, read: &[One<'_>], imported: &mut Imported) {
    let there =
        |name: &ContainerName| request.hosts.iter().any(|(_, engine)| engine.containers.contains_key(name));
    let asked = request.only.iter().chain(request.apps.values().flatten());
    for name in asked.filter(|name| !there(name)) {
        imported.note(format!("container {name}"), "there is no container of this name");
    }
    if let (Some(project), true) = (&request.project, read.is_empty()) {
        imported.note(format!("project {project}"), "no container of this Compose project was found");
    }
}

/// Where a container comes from, and so what its app is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// By a person.
    Named(AppName),
    /// It has the very name that trueup would give it.
    Instance(AppKey),
    Compose {
        project: String,
        service: String,
    },
    Alone(ContainerName, HostName),
}

fn source(request: &Request<'_>, one: &One<'_>) -> Source {
    let name = &one.container.name;
    let named = request.apps.iter().find(|(_, containers)| containers.contains(name));
    if let Some((app, _)) = named {
        return Source::Named(app.clone());
    }
    let instance = name.as_str().parse::<InstanceName>().ok();
    if let Some(instance) =
        instance.filter(|i| i.key.environment == request.environment && i.container() == *name)
    {
        return Source::Instance(instance.key);
    }
    let label = |key: &str| one.container.labels.get(key).filter(|v| !v.is_empty()).cloned();
    match (label(COMPOSE_PROJECT), label(COMPOSE_SERVICE)) {
        (Some(project), Some(service)) => Source::Compose { project, service },
        (_, _) => Source::Alone(name.clone(), one.host.clone()),
    }
}

fn group<'a>(request: &Request<'_>, read: Vec<One<'a>>, imported: &mut Imported) -> Vec<Draft> {
    let mut groups: BTreeMap<Source, Vec<One<'a>>> = BTreeMap::new();
    for one in read {
        groups.entry(source(request, &one)).or_default().push(one);
    }
    let services: Vec<String> = groups
        .keys()
        .filter_map(|source| match source {
            Source::Compose { service, .. } => Some(service.clone()),
            Source::Named(_) | Source::Instance(_) | Source::Alone(_, _) => None,
        })
        .collect();
    let projects: BTreeSet<&String> = groups
        .keys()
        .filter_map(|source| match source {
            Source::Compose { project, .. } => Some(project),
            Source::Named(_) | Source::Instance(_) | Source::Alone(_, _) => None,
        })
        .collect();
    let one_project = projects.len() == 1;
    let present: BTreeSet<AppName> = services.iter().map(|service| names::app_name(service)).collect();
    let mut taken = request.taken.clone();
    let mut drafts = Vec::new();
    for (source, ones) in groups {
        let wanted = match &source {
            Source::Named(app) => app.clone(),
            Source::Instance(key) => key.app.clone(),
            Source::Compose { project, service } => {
                let unique = services.iter().filter(|other| *other == service).count() == 1;
                let short = one_project && unique;
                names::app_name(&if short { service.clone() } else { format!("{project}-{service}") })
            }
            Source::Alone(name, _) => names::app_name(name.as_str()),
        };
        let mut made = alike(request, &source, &wanted, ones, &mut taken, imported);
        if let Source::Compose { service, project } = &source
            && let Some(known) = request.known.get(service)
        {
            for draft in &mut made {
                draft.depends_on = known.depends_on.intersection(&present).cloned().collect();
                draft.rollout.clone_from(&known.rollout);
                let differing = differing(&draft.spec, known, project);
                if !differing.is_empty() {
                    let words = format!(
                        "what runs is not what the Compose file says in {}: what runs was written",
                        differing.join(", ")
                    );
                    imported.note(format!("app {}", draft.name), words);
                }
            }
        }
        drafts.extend(made);
    }
    drafts
}

/// The containers of one source as one app; those that differ from the first as apps of their own.
fn alike(
    request: &Request<'_>,
    source: &Source,
    wanted: &AppName,
    mut ones: Vec<One<'_>>,
    taken: &mut BTreeSet<AppName>,
    imported: &mut Imported,
) -> Vec<Draft> {
    let order = |one: &One<'_>| match source {
        Source::Named(app) => {
            let asked = request.apps.get(app).into_iter().flatten();
            asked.zip(0u64..).find(|(name, _)| **name == one.container.name).map_or(u64::MAX, |(_, at)| at)
        }
        Source::Instance(_) => {
            one.container.name.as_str().parse::<InstanceName>().map_or(u64::MAX, |i| u64::from(i.slot))
        }
        Source::Compose { .. } | Source::Alone(_, _) => {
            one.container.labels.get(COMPOSE_NUMBER).and_then(|n| n.parse().ok()).unwrap_or(u64::MAX)
        }
    };
    ones.sort_by(|a, b| (order(a), a.host, &a.container.name).cmp(&(order(b), b.host, &b.container.name)));
    let mut apps: Vec<Vec<One<'_>>> = Vec::new();
    for one in ones {
        match apps.iter_mut().find(|app| same(&app[0].read, &one.read)) {
            Some(app) => app.push(one),
            None => apps.push(vec![one]),
        }
    }
    let several = apps.len() > 1;
    apps.into_iter()
        .map(|ones| {
            let name = names::free(wanted, taken);
            taken.insert(name.clone());
            if several {
                let told: Vec<&str> = ones.iter().map(|one| one.container.name.as_str()).collect();
                let words =
                    format!("{} became the app {name}: their settings are not the others'", told.join(", "));
                imported.note(format!("app {wanted}"), words);
            }
            tell_names(&name, &ones, imported);
            draft(request, source, name, ones)
        })
        .collect()
}

/// Alike but for the addresses, which each slot has of its own.
fn same(a: &Read, b: &Read) -> bool {
    let bare = |read: &Read| Read { fixed: BTreeMap::new(), ..read.clone() };
    bare(a) == bare(b) && a.fixed.keys().eq(b.fixed.keys())
}

/// Names by which others reach the containers, and which no successor has: an alias is all slots' alike.
fn tell_names(app: &AppName, ones: &[One<'_>], imported: &mut Imported) {
    let (Some(first), true) = (ones.first(), ones.len() > 1) else { return };
    if matches!(first.read.spec.networks, Networks::Named(_)) {
        let names: Vec<&str> = ones.iter().map(|one| one.container.name.as_str()).collect();
        let words = format!(
            "their replacements answer to no single name of {}: what reaches one of them by its name needs another way",
            names.join(", ")
        );
        imported.note(format!("app {app}"), words);
    }
}

fn draft(request: &Request<'_>, source: &Source, name: AppName, ones: Vec<One<'_>>) -> Draft {
    let first = &ones[0];
    let mut draft = Draft::new(name, request.environment.clone(), first.read.spec.clone());
    draft.origin = match source {
        Source::Compose { project, service } => {
            format!("Imported from the service {service} of the Compose project {project}.")
        }
        Source::Named(_) | Source::Instance(_) | Source::Alone(_, _) => {
            let told: Vec<String> = ones.iter().map(|o| format!("{}@{}", o.container.name, o.host)).collect();
            format!("Imported from {}.", told.join(", "))
        }
    };
    draft.replicas = Replicas::Count(u32::try_from(ones.len()).unwrap_or(u32::MAX));
    draft.ignore.clone_from(&first.read.ignore);
    draft.hidden = first.read.hidden.keys().cloned().collect();
    draft.revealed_by = request.values.revealed_by();
    draft.local_image = first.read.local_image;
    draft.volumes = first.read.volumes.iter().map(|volume| (volume.to_string(), None)).collect();
    draft.hosts = ones.iter().map(|one| one.host.clone()).collect();
    for (slot, one) in (0u32..).zip(&ones) {
        let adopted = Adopted { container: one.container.name.clone(), host: one.host.clone() };
        draft.adopted.insert(slot, adopted);
        for (network, address) in &one.read.fixed {
            draft.fixed.entry(network.clone()).or_default().push(*address);
        }
    }
    // Others reach it by its name: its successor, which has another one, answers to it too.
    if let (Networks::Named(named), [one]) = (&mut draft.spec.networks, ones.as_slice()) {
        for attachment in named.values_mut() {
            attachment.aliases.insert(one.container.name.to_string());
        }
    }
    draft
}

/// The fields in which what runs differs from what its Compose file says, as far as the two can be compared: names that
/// Compose makes up, and what only an image tells, are not.
fn differing(live: &ContainerSpec, known: &Known, project: &str) -> Vec<&'static str> {
    let (a, b) = (live, &known.spec);
    let differs = |field: &ContainerField| match field {
        ContainerField::Image => (&a.image.repository, &a.image.tag) != (&b.image.repository, &b.image.tag),
        ContainerField::Entrypoint => b.entrypoint.is_some() && a.entrypoint != b.entrypoint,
        ContainerField::Command => b.command.is_some() && a.command != b.command,
        ContainerField::Env => a.env != b.env,
        ContainerField::Workdir => b.workdir.is_some() && a.workdir != b.workdir,
        ContainerField::User => b.user.is_some() && a.user != b.user,
        ContainerField::Hostname => a.hostname != b.hostname,
        ContainerField::Labels => a.labels != b.labels,
        ContainerField::Ports => a.ports != b.ports,
        ContainerField::Mounts => {
            let said = |at| match (b.mounts.get(at), a.mounts.get(at)) {
                (Some(said), Some(runs)) => same_mount(said, runs, project),
                (None, Some(_)) => b.files.contains_key(at),
                (_, None) => false,
            };
            !a.mounts.keys().chain(b.mounts.keys()).chain(b.files.keys()).all(said)
        }
        ContainerField::Networks => !same_networks(&b.networks, &a.networks, project),
        ContainerField::Files => false,
        ContainerField::Cpus => a.cpus != b.cpus,
        ContainerField::Memory => a.memory != b.memory,
        ContainerField::MemoryReservation => a.memory_reservation != b.memory_reservation,
        ContainerField::Pids => a.pids != b.pids,
        ContainerField::ShmSize => b.shm_size.is_some() && a.shm_size != b.shm_size,
        ContainerField::Restart => a.restart != b.restart,
        ContainerField::Health => b.health.is_some() && a.health != b.health,
        ContainerField::CapAdd => a.cap_add != b.cap_add,
        ContainerField::CapDrop => a.cap_drop != b.cap_drop,
        ContainerField::Privileged => a.privileged != b.privileged,
        ContainerField::ReadOnly => a.read_only != b.read_only,
        ContainerField::Init => b.init.is_some() && a.init != b.init,
        ContainerField::SecurityOpt => a.security_opt != b.security_opt,
        ContainerField::Sysctls => a.sysctls != b.sysctls,
        ContainerField::Ulimits => a.ulimits != b.ulimits,
        ContainerField::Devices => a.devices != b.devices,
        ContainerField::Dns => a.dns != b.dns,
        ContainerField::ExtraHosts => a.extra_hosts != b.extra_hosts,
        ContainerField::Logging => b.logging.is_some() && a.logging != b.logging,
        ContainerField::StopSignal => b.stop_signal.is_some() && a.stop_signal != b.stop_signal,
        ContainerField::StopTimeout => b.stop_timeout.is_some() && a.stop_timeout != b.stop_timeout,
    };
    ContainerField::ALL.iter().filter(|field| differs(field)).map(|field| field.name()).collect()
}

/// What Compose calls a volume or network of the project: `shop_data` is its `data`.
fn is_of_project(project: &str, said: &str, runs: &str) -> bool {
    runs == said || runs.strip_prefix(project).and_then(|rest| rest.strip_prefix('_')) == Some(said)
}

fn same_mount(said: &Mount, runs: &Mount, project: &str) -> bool {
    let same = match (&said.source, &runs.source) {
        (MountSource::Volume(said), MountSource::Volume(runs)) => {
            is_of_project(project, said.as_str(), runs.as_str())
        }
        (said, runs) => said == runs,
    };
    same && said.read_only == runs.read_only
}

fn same_networks(said: &Networks, runs: &Networks, project: &str) -> bool {
    let (Networks::Named(said), Networks::Named(runs)) = (said, runs) else { return said == runs };
    // The repository calls the project's own with a dash.
    let bare = |name: &str| name.strip_prefix(&format!("{project}-")).unwrap_or(name).to_owned();
    let is =
        |said: &NetworkName, runs: &NetworkName| is_of_project(project, &bare(said.as_str()), runs.as_str());
    said.len() == runs.len() && said.keys().all(|said| runs.keys().any(|runs| is(said, runs)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::Attachment;

    #[test]
    fn what_compose_made_of_a_name_is_no_difference() {
        let mount = |name: &str| Mount {
            source: MountSource::Volume(name.parse().expect("a name")),
            read_only: false,
        };
        assert!(same_mount(&mount("data"), &mount("shop_data"), "shop"));
        assert!(same_mount(&mount("shop_data"), &mount("shop_data"), "shop"));
        assert!(!same_mount(&mount("data"), &mount("other_data"), "shop"));
        let host = Mount { source: MountSource::Host("/srv".to_owned()), read_only: false };
        assert!(!same_mount(&mount("data"), &host, "shop"));
        assert!(!same_mount(&host, &Mount { read_only: true, ..host.clone() }, "shop"));

        let on = |names: &[&str]| {
            let named = names.iter().map(|name| (name.parse().expect("a name"), Attachment::default()));
            Networks::Named(named.collect())
        };
        assert!(same_networks(&on(&["shop-front", "edge"]), &on(&["shop_front", "edge"]), "shop"));
        assert!(!same_networks(&on(&["shop-front"]), &on(&["shop_back"]), "shop"));
        assert!(!same_networks(&on(&["shop-front"]), &on(&["shop_front", "edge"]), "shop"));
        assert!(!same_networks(&on(&["shop-front"]), &Networks::Host, "shop"));
    }
}
