//! Services of a Swarm → apps that take them over under the names they have: nothing is made anew (B4).
//!
//! What git cannot say stays as Swarm has it at every update (A6, D8): values of variables, the contents of configs, and
//! whatever trueup has no word for.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::app::Replicas;
use crate::model::container::{
    Attachment, ContainerField, ContainerSpec, MountSource, Networks, Port, Restart,
};
use crate::model::host::Host;
use crate::model::names::{AppName, EnvironmentName, NetworkName, VolumeName};
use crate::model::observed::Seen;
use crate::model::ownership::PREFIX;
use crate::model::secrecy::KeyedHash;
use crate::model::service::{
    EndpointMode, OnFailure, PublishMode, RestartCondition, ServiceField, ServiceMode, ServiceSpec,
    UpdateOrder, UpdateSettings,
};
use crate::model::swarm::{LiveService, Swarm};
use crate::model::units::TimeSpan;

use super::app::{Draft, SwarmPart};
use super::toml::{inline, string, strings};
use super::{Imported, names, skeleton};

/// `docker stack deploy` writes it on all that it makes.
const STACK: &str = "com.docker.stack.namespace";

/// How long Swarm watches a new task where nobody says it.
const MONITOR: TimeSpan = TimeSpan::from_secs(5);

/// What is asked for.
pub struct ServicesRequest<'a> {
    pub environment: EnvironmentName,
    /// What the Swarm is called in the repository.
    pub name: String,
    pub swarm: &'a Swarm,
    /// The manager that was asked, as the repository declares it.
    pub host: &'a Host,
    /// Only these services; empty: all.
    pub only: BTreeSet<String>,
    /// Only services of this stack.
    pub stack: Option<String>,
    /// Services that the repository takes over already.
    pub taken_over: BTreeSet<String>,
    /// App names that are taken already.
    pub taken: BTreeSet<AppName>,
}

/// Files and notes for the services of a Swarm.
pub fn services(request: &ServicesRequest<'_>) -> Imported {
    let mut imported = Imported::default();
    let mut taken = request.taken.clone();
    let mut networks: skeleton::Networks<'_> = skeleton::Networks::new();
    let here = &request.host.name;
    imported.files.insert(format!("hosts/{here}.toml"), skeleton::host(request.host));
    for (name, seen) in &request.swarm.services {
        let subject = format!("service {name}");
        let live = match seen {
            Seen::Known(live) => live,
            Seen::Unknown { why } => {
                imported.note(subject, format!("left out: it could not be read: {why}"));
                continue;
            }
        };
        if !wanted(request, live) {
            continue;
        }
        if let Some(why) = left_out(request, live) {
            imported.note(subject, format!("left out: {why}"));
            continue;
        }
        let draft = draft(request, live, &mut taken, &mut imported);
        if let Networks::Named(named) = &draft.spec.networks {
            for network in named.keys() {
                let known = request.swarm.networks.get(network.as_str()).and_then(Seen::known);
                networks.entry(network.clone()).or_insert((known, vec![here]));
            }
        }
        let count = match live.spec.mode {
            ServiceMode::Replicated(count) | ServiceMode::ReplicatedJob { total: count, .. } => count,
            ServiceMode::Global | ServiceMode::GlobalJob => 1,
        };
        imported.apps.insert(draft.name.to_string(), usize::try_from(count).unwrap_or_default());
        imported.files.extend(draft.files());
    }
    for missing in request.only.iter().filter(|name| !request.swarm.services.contains_key(*name)) {
        imported.note(format!("service {missing}"), "the Swarm has no service of this name");
    }
    tell_nodes(request, &mut imported);
    for (name, (live, hosts)) in networks {
        let text = skeleton::network(&name, live, &hosts);
        imported.files.insert(format!("networks/{name}.toml"), text);
    }
    imported
}

fn wanted(request: &ServicesRequest<'_>, live: &LiveService) -> bool {
    let named = request.only.is_empty() || request.only.contains(&live.name);
    named && request.stack.as_ref().is_none_or(|stack| live.labels.get(STACK) == Some(stack))
}

fn left_out(request: &ServicesRequest<'_>, live: &LiveService) -> Option<&'static str> {
    if live.labels.keys().any(|label| label.starts_with(PREFIX)) {
        return Some(
            "it carries labels of a trueup installation: what is trueup's needs no import, what is another's is not touched (B1)",
        );
    }
    if request.taken_over.contains(&live.name) {
        return Some("the repository takes it over already");
    }
    (live.spec.mode.is_job() && !request.only.contains(&live.name))
        .then_some("it is a job, which has run; name it with --service to take it over")
}

/// Nodes that the repository does not know yet: their labels are Swarm's until they are declared.
fn tell_nodes(request: &ServicesRequest<'_>, imported: &mut Imported) {
    for node in request.swarm.nodes.values().filter(|node| !node.labels.is_empty()) {
        let labels: Vec<String> =
            node.labels.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
        let words = format!(
            "it has labels that stay as they are; `labels = {{ {} }}` of its host would keep them in git",
            labels.join(", ")
        );
        imported.note(format!("node {}", node.hostname), words);
    }
}

fn draft(
    request: &ServicesRequest<'_>,
    live: &LiveService,
    taken: &mut BTreeSet<AppName>,
    imported: &mut Imported,
) -> Draft {
    let stack = live.labels.get(STACK);
    let prefix = stack.map(|stack| format!("{stack}_")).unwrap_or_default();
    // In a stack alone the prefix says nothing; among several it tells them apart.
    let short = live.name.strip_prefix(&prefix).filter(|_| request.stack.is_some()).unwrap_or(&live.name);
    let name = names::free(&names::app_name(short), taken);
    taken.insert(name.clone());
    let mut ignore = BTreeMap::new();
    let spec = container(live, &mut ignore);
    let mut draft = Draft::new(name, request.environment.clone(), spec);
    draft.origin = format!("Imported from the service {}.", live.name);
    draft.hidden = live.spec.env.keys().cloned().collect();
    for variable in live.spec.env.keys() {
        ignore.insert(super::live::element("env", variable), "its value is not shown (G1)".to_owned());
    }
    draft.volumes = volumes(&live.spec).into_iter().map(|volume| (volume.to_string(), None)).collect();
    draft.replicas = match live.spec.mode {
        ServiceMode::Replicated(count) | ServiceMode::ReplicatedJob { total: count, .. } => {
            Replicas::Count(count)
        }
        ServiceMode::Global | ServiceMode::GlobalJob => Replicas::EveryHost,
    };
    let part = part(request, &live.name, &live.spec, &mut ignore);
    let subject = format!("service {}", live.name);
    if !draft.hidden.is_empty() {
        let names: Vec<&str> = draft.hidden.iter().map(String::as_str).collect();
        imported.note(
            &subject,
            format!(
                "the values of {} are not written (G1): they stay as they are at every update",
                names.join(", ")
            ),
        );
    }
    for (field, why) in ignore.iter().filter(|(field, _)| !field.starts_with("env.")) {
        imported.note(
            &subject,
            format!("could not carry over {field}: {why}; it stays as it is at every update"),
        );
    }
    for beyond in &live.beyond {
        imported.note(&subject, format!("could not carry over {beyond}; it stays as it is at every update"));
    }
    draft.swarm = Some(part);
    draft.ignore = ignore;
    draft
}

fn volumes(spec: &ServiceSpec<KeyedHash>) -> BTreeSet<VolumeName> {
    let named = spec.mounts.values().filter_map(|mount| match &mount.source {
        MountSource::Volume(name) => Some(name.clone()),
        MountSource::Host(_) | MountSource::Tmpfs { .. } => None,
    });
    named.collect()
}

/// The container that each task is.
fn container(live: &LiveService, ignore: &mut BTreeMap<String, String>) -> ContainerSpec {
    let spec = &live.spec;
    let mut container = ContainerSpec::of(spec.image.clone());
    for field in ContainerField::ALL {
        one(*field, spec, &mut container, ignore);
    }
    container
}

/// Every field of a container, matched without `_`: none can be forgotten (A4).
fn one(
    field: ContainerField,
    spec: &ServiceSpec<KeyedHash>,
    container: &mut ContainerSpec,
    ignore: &mut BTreeMap<String, String>,
) {
    match field {
        ContainerField::Entrypoint => container.entrypoint.clone_from(&spec.entrypoint),
        ContainerField::Command => container.command.clone_from(&spec.command),
        ContainerField::Workdir => container.workdir.clone_from(&spec.workdir),
        ContainerField::User => container.user.clone_from(&spec.user),
        ContainerField::Hostname => container.hostname.clone_from(&spec.hostname),
        ContainerField::Labels => container.labels.clone_from(&spec.labels),
        ContainerField::Ports => {
            let port = |port: &crate::model::service::ServicePort| Port {
                container: port.container,
                protocol: port.protocol,
                host: port.published,
                address: None,
            };
            container.ports = spec.ports.iter().map(port).collect();
        }
        ContainerField::Mounts => {
            for (at, mount) in &spec.mounts {
                if super::live::is_sayable(at, mount) {
                    container.mounts.insert(at.clone(), mount.clone());
                } else {
                    let why = "an anonymous volume, or a path that trueup has no word for".to_owned();
                    ignore.insert(super::live::element(ServiceField::Mounts.name(), at), why);
                }
            }
        }
        ContainerField::Files => {
            if !spec.files.is_empty() {
                let configs: Vec<&str> = spec.files.values().map(|file| file.source.as_str()).collect();
                let why = format!(
                    "the configs {} are somebody else's and hold no file of git's",
                    configs.join(", ")
                );
                ignore.insert(ServiceField::Files.name().to_owned(), why);
            }
        }
        ContainerField::Networks => container.networks = networks(&spec.networks),
        ContainerField::Cpus => container.cpus = spec.cpus,
        ContainerField::Memory => container.memory = spec.memory,
        ContainerField::MemoryReservation => container.memory_reservation = spec.memory_reservation,
        ContainerField::Pids => container.pids = spec.pids,
        ContainerField::Restart => {
            container.restart = match spec.restart.condition {
                RestartCondition::Any => Restart::UnlessStopped,
                RestartCondition::OnFailure => Restart::OnFailure { max_retries: 0 },
                RestartCondition::None => Restart::No,
            };
        }
        ContainerField::Health => container.health.clone_from(&spec.health),
        ContainerField::CapAdd => container.cap_add.clone_from(&spec.cap_add),
        ContainerField::CapDrop => container.cap_drop.clone_from(&spec.cap_drop),
        ContainerField::ReadOnly => container.read_only = spec.read_only,
        ContainerField::Init => container.init = spec.init,
        ContainerField::Sysctls => container.sysctls.clone_from(&spec.sysctls),
        ContainerField::Ulimits => container.ulimits.clone_from(&spec.ulimits),
        ContainerField::Dns => container.dns.clone_from(&spec.dns),
        ContainerField::ExtraHosts => container.extra_hosts.clone_from(&spec.extra_hosts),
        ContainerField::Logging => container.logging.clone_from(&spec.logging),
        ContainerField::StopSignal => container.stop_signal.clone_from(&spec.stop_signal),
        ContainerField::StopTimeout => container.stop_timeout = spec.stop_timeout,
        // Read before, hidden (G1), or what a service does not have.
        ContainerField::Image
        | ContainerField::Env
        | ContainerField::ShmSize
        | ContainerField::Privileged
        | ContainerField::SecurityOpt
        | ContainerField::Devices => {}
    }
}

fn networks(live: &BTreeMap<NetworkName, BTreeSet<String>>) -> Networks {
    if live.keys().any(|name| name.as_str() == "host") {
        return Networks::Host;
    }
    let named: BTreeMap<NetworkName, Attachment> = live
        .iter()
        .map(|(name, aliases)| (name.clone(), Attachment { address: None, aliases: aliases.clone() }))
        .collect();
    if named.is_empty() { Networks::Default } else { Networks::Named(named) }
}

type Entries = Vec<(String, String)>;

/// What only a service has.
fn part(
    request: &ServicesRequest<'_>,
    name: &str,
    spec: &ServiceSpec<KeyedHash>,
    ignore: &mut BTreeMap<String, String>,
) -> SwarmPart {
    let mut entries: Entries = Vec::new();
    let mut set = |name: &str, value: String| entries.push((name.to_owned(), value));
    match spec.mode {
        ServiceMode::Replicated(_) | ServiceMode::Global => {}
        ServiceMode::ReplicatedJob { at_once, .. } => {
            set("job", "true".to_owned());
            set("at_once", at_once.to_string());
        }
        ServiceMode::GlobalJob => set("job", "true".to_owned()),
    }
    if !spec.spread.is_empty() {
        set("spread", strings(spec.spread.iter().map(String::as_str)));
    }
    if spec.max_per_node > 0 {
        set("max_per_node", spec.max_per_node.to_string());
    }
    if !spec.service_labels.is_empty() {
        let labels: Entries = spec.service_labels.iter().map(|(k, v)| (k.clone(), string(v))).collect();
        set("labels", inline(&labels));
    }
    if spec.endpoint_mode == EndpointMode::Dnsrr {
        set("endpoint_mode", string("dnsrr"));
    }
    if let Some(cpus) = spec.cpus_reservation {
        set("cpus_reservation", cpus.to_string());
    }
    let host = spec.ports.iter().filter(|port| port.publish == PublishMode::Host).count();
    if host > 0 {
        set("publish", string("host"));
    }
    if host > 0 && host < spec.ports.len() {
        let why = "some are published on the mesh and some on the task's node".to_owned();
        ignore.insert(ServiceField::Ports.name().to_owned(), why);
    }
    let mut restart: Entries = Vec::new();
    let span = |span: Option<TimeSpan>| span.map(|span| string(&span.to_string()));
    restart.extend(span(spec.restart.delay).map(|delay| ("delay".to_owned(), delay)));
    restart.extend(spec.restart.max_attempts.map(|most| ("max_attempts".to_owned(), most.to_string())));
    restart.extend(span(spec.restart.window).map(|window| ("window".to_owned(), window)));
    let mut tables = vec![("restart".to_owned(), restart)];
    match &spec.update {
        Some(update) => tables.push(("update".to_owned(), settings(update))),
        None if spec.mode.is_job() => {}
        None => {
            let why = "it leaves them to Swarm's own defaults".to_owned();
            ignore.insert(ServiceField::Update.name().to_owned(), why);
        }
    }
    if let Some(rollback) = &spec.rollback {
        tables.push(("rollback".to_owned(), settings(rollback)));
    }
    SwarmPart {
        name: request.name.clone(),
        constraints: spec.constraints.clone(),
        service: Some(name.to_owned()),
        entries,
        tables,
    }
}

fn settings(update: &UpdateSettings) -> Entries {
    let UpdateSettings { parallelism, delay, monitor, on_failure, max_failure_permille, order } = update;
    let on_failure = match on_failure {
        OnFailure::Rollback => "rollback",
        OnFailure::Pause => "pause",
        OnFailure::Continue => "continue",
    };
    let order = match order {
        UpdateOrder::StopFirst => "stop-first",
        UpdateOrder::StartFirst => "start-first",
    };
    let ratio = f64::from(*max_failure_permille) / 1000.0;
    let all = [
        ("parallelism", parallelism.to_string()),
        ("delay", string(&delay.to_string())),
        ("on_failure", string(on_failure)),
        ("max_failure_ratio", format!("{ratio:?}")),
        ("order", string(order)),
        ("monitor", string(&monitor.unwrap_or(MONITOR).to_string())),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
