//! A service's declared fields against its live ones. A service tells back what it was given: no image's defaults are in
//! it, only the few that Swarm fills in.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::container::EnvValue;
use crate::model::drift::{Cure, FieldChange};
use crate::model::secrecy::{HashKey, KeyedHash};
use crate::model::service::{
    RestartCondition, ServiceField, ServiceMode, ServicePort, ServiceSpec, TaskRestart, UpdateOrder,
    UpdateSettings,
};
use crate::model::units::TimeSpan;

use super::show;

/// Swarm's own time to stop.
const STOP_DEFAULT: TimeSpan = TimeSpan::from_secs(10);
/// Swarm's own wait before a task is replaced.
const DELAY_DEFAULT: TimeSpan = TimeSpan::from_secs(5);
/// Swarm's own time of watching a new task.
pub const MONITOR_DEFAULT: TimeSpan = TimeSpan::from_secs(5);

/// Every field that differs. `key` is `None` where the snapshot hid its values with another key: then env cannot be
/// compared. A cure in place restarts no task.
pub fn service(
    desired: &ServiceSpec,
    live: &ServiceSpec<KeyedHash>,
    key: Option<&HashKey>,
) -> Vec<FieldChange> {
    ServiceField::ALL.iter().flat_map(|field| compare(*field, desired, live, key)).collect()
}

/// What Swarm needs to bring a field of a service back: all but these are part of the task, which is replaced.
pub const fn cure(field: ServiceField) -> Cure {
    match field {
        ServiceField::ServiceLabels | ServiceField::Mode | ServiceField::Update | ServiceField::Rollback => {
            Cure::InPlace
        }
        ServiceField::Image
        | ServiceField::Entrypoint
        | ServiceField::Command
        | ServiceField::Env
        | ServiceField::Workdir
        | ServiceField::User
        | ServiceField::Hostname
        | ServiceField::Labels
        | ServiceField::Mounts
        | ServiceField::Files
        | ServiceField::Networks
        | ServiceField::Cpus
        | ServiceField::Memory
        | ServiceField::CpusReservation
        | ServiceField::MemoryReservation
        | ServiceField::Pids
        | ServiceField::Restart
        | ServiceField::Health
        | ServiceField::CapAdd
        | ServiceField::CapDrop
        | ServiceField::ReadOnly
        | ServiceField::Init
        | ServiceField::Sysctls
        | ServiceField::Ulimits
        | ServiceField::Dns
        | ServiceField::ExtraHosts
        | ServiceField::Logging
        | ServiceField::StopSignal
        | ServiceField::StopTimeout
        | ServiceField::Constraints
        | ServiceField::Spread
        | ServiceField::MaxPerNode
        | ServiceField::EndpointMode
        | ServiceField::Ports => Cure::Replace,
    }
}

/// Whether a field (or a part of it, as in `env.A`) is of the tasks, and not of the service around them.
pub fn is_of_task(field: &str) -> bool {
    let name = field.split('.').next().unwrap_or(field);
    let around = [ServiceField::EndpointMode, ServiceField::Ports];
    ServiceField::ALL
        .iter()
        .any(|field| field.name() == name && cure(*field) == Cure::Replace && !around.contains(field))
}

/// Swarm reads `a==b` and `a == b` alike.
pub fn same_constraint(one: &str, other: &str) -> bool {
    unspaced(one) == unspaced(other)
}

fn unspaced(constraint: &str) -> String {
    constraint.split_whitespace().collect()
}

fn compare(
    field: ServiceField,
    desired: &ServiceSpec,
    live: &ServiceSpec<KeyedHash>,
    key: Option<&HashKey>,
) -> Vec<FieldChange> {
    let (d, l) = (desired, live);
    let plain = |wanted: String, seen: String| -> Vec<FieldChange> {
        if wanted == seen { vec![] } else { vec![change(field, field.name().to_owned(), wanted, seen)] }
    };
    let words = |words: &Option<Vec<String>>| {
        words.as_ref().filter(|words| !words.is_empty()).map_or_else(show::none, |words| show::words(words))
    };
    fn option<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(show::none, |value| value.to_string())
    }
    match field {
        ServiceField::Image => {
            // The tag beside a digest is for people.
            let same = match (&d.image.digest, &l.image.digest) {
                (Some(wanted), Some(seen)) => wanted == seen && d.image.repository == l.image.repository,
                (_, _) => d.image == l.image,
            };
            if same { vec![] } else { plain(d.image.to_string(), l.image.to_string()) }
        }
        ServiceField::Entrypoint => plain(words(&d.entrypoint), words(&l.entrypoint)),
        ServiceField::Command => plain(words(&d.command), words(&l.command)),
        ServiceField::Env => env(d, l, key),
        ServiceField::Workdir => plain(option(d.workdir.clone()), option(l.workdir.clone())),
        ServiceField::User => plain(option(d.user.clone()), option(l.user.clone())),
        ServiceField::Hostname => plain(option(d.hostname.clone()), option(l.hostname.clone())),
        ServiceField::Labels => each(field, &d.labels, &l.labels, String::clone),
        ServiceField::ServiceLabels => each(field, &d.service_labels, &l.service_labels, String::clone),
        ServiceField::Mounts => each(field, &d.mounts, &l.mounts, show::mount),
        ServiceField::Files => {
            let text = |files: &BTreeMap<String, crate::model::container::FileSpec>| {
                let content = |file: &crate::model::container::FileSpec| {
                    format!("({}, mode {:04o})", file.hash.short(), file.mode)
                };
                files.iter().map(|(path, file)| (path.clone(), content(file))).collect::<BTreeMap<_, _>>()
            };
            each(field, &text(&d.files), &text(&l.files), String::clone)
        }
        ServiceField::Networks => {
            let text = |networks: &BTreeMap<crate::model::names::NetworkName, BTreeSet<String>>| {
                let one = |aliases: &BTreeSet<String>| match aliases.is_empty() {
                    true => "connected".to_owned(),
                    false => format!("connected as {}", show::set(aliases)),
                };
                networks.iter().map(|(n, a)| (n.to_string(), one(a))).collect::<BTreeMap<_, _>>()
            };
            each(field, &text(&d.networks), &text(&l.networks), String::clone)
        }
        ServiceField::Cpus => plain(option(d.cpus), option(l.cpus)),
        ServiceField::Memory => plain(option(d.memory), option(l.memory)),
        ServiceField::CpusReservation => plain(option(d.cpus_reservation), option(l.cpus_reservation)),
        ServiceField::MemoryReservation => plain(option(d.memory_reservation), option(l.memory_reservation)),
        ServiceField::Pids => plain(option(d.pids), option(l.pids)),
        ServiceField::Restart => plain(restart(&d.restart), restart(&l.restart)),
        ServiceField::Health => {
            let text = |health: &Option<_>| health.as_ref().map_or_else(show::none, show::health);
            plain(text(&d.health), text(&l.health))
        }
        ServiceField::CapAdd => plain(show::set(&d.cap_add), show::set(&l.cap_add)),
        ServiceField::CapDrop => plain(show::set(&d.cap_drop), show::set(&l.cap_drop)),
        ServiceField::ReadOnly => plain(d.read_only.to_string(), l.read_only.to_string()),
        // Undeclared, it is the node's own default, and Docker's client writes `false` out.
        ServiceField::Init => match (d.init, l.init) {
            (None, Some(false)) => vec![],
            (wanted, seen) => plain(option(wanted), option(seen)),
        },
        ServiceField::Sysctls => plain(show::pairs(&d.sysctls), show::pairs(&l.sysctls)),
        ServiceField::Ulimits => {
            let text = |map: &BTreeMap<String, crate::model::container::Ulimit>| {
                show::join(map.iter().map(|(name, u)| format!("{name}={}:{}", u.soft, u.hard)))
            };
            plain(text(&d.ulimits), text(&l.ulimits))
        }
        ServiceField::Dns => {
            let text = |list: &[std::net::IpAddr]| show::join(list.iter().map(ToString::to_string));
            plain(text(&d.dns), text(&l.dns))
        }
        ServiceField::ExtraHosts => plain(show::pairs(&d.extra_hosts), show::pairs(&l.extra_hosts)),
        ServiceField::Logging => {
            let text = |logging: &Option<_>| logging.as_ref().map_or_else(show::none, show::logging);
            plain(text(&d.logging), text(&l.logging))
        }
        ServiceField::StopSignal => plain(option(d.stop_signal.clone()), option(l.stop_signal.clone())),
        ServiceField::StopTimeout => {
            let text = |span: Option<TimeSpan>| span.unwrap_or(STOP_DEFAULT).to_string();
            plain(text(d.stop_timeout), text(l.stop_timeout))
        }
        ServiceField::Mode => {
            let mut changes = plain(mode(d.mode), mode(l.mode));
            // Swarm changes numbers, and makes no service into one of another kind.
            if std::mem::discriminant(&d.mode) != std::mem::discriminant(&l.mode) {
                changes.iter_mut().for_each(|change| change.cure = Cure::Replace);
            }
            changes
        }
        ServiceField::Constraints => {
            // In any order.
            let text =
                |list: &[String]| show::set(&list.iter().map(|text| unspaced(text)).collect::<BTreeSet<_>>());
            plain(text(&d.constraints), text(&l.constraints))
        }
        ServiceField::Spread => plain(show::words(&d.spread), show::words(&l.spread)),
        ServiceField::MaxPerNode => {
            let text = |most: u32| if most == 0 { "unlimited".to_owned() } else { most.to_string() };
            plain(text(d.max_per_node), text(l.max_per_node))
        }
        ServiceField::Update => plain(update(d.update.as_ref()), update(l.update.as_ref())),
        ServiceField::Rollback => plain(update(d.rollback.as_ref()), update(l.rollback.as_ref())),
        ServiceField::EndpointMode => {
            let text = |mode: crate::model::service::EndpointMode| match mode {
                crate::model::service::EndpointMode::Vip => "vip".to_owned(),
                crate::model::service::EndpointMode::Dnsrr => "dnsrr".to_owned(),
            };
            plain(text(d.endpoint_mode), text(l.endpoint_mode))
        }
        ServiceField::Ports => {
            let text = |ports: &BTreeSet<ServicePort>| show::join(ports.iter().map(ToString::to_string));
            plain(text(&d.ports), text(&l.ports))
        }
    }
}

fn change(field: ServiceField, name: String, desired: String, live: String) -> FieldChange {
    FieldChange { field: name, desired, live, cure: cure(field) }
}

/// One change per variable; live values are never shown (G1).
fn env(desired: &ServiceSpec, live: &ServiceSpec<KeyedHash>, key: Option<&HashKey>) -> Vec<FieldChange> {
    let Some(key) = key else { return vec![] };
    let names: BTreeSet<&String> = desired.env.keys().chain(live.env.keys()).collect();
    let wanted = |name: &String| desired.env.get(name).map(|EnvValue::Plain(value)| value);
    let differs = |name: &&String| wanted(name).map(|value| key.hide(value)).as_ref() != live.env.get(*name);
    let changed = |name: &String| {
        let seen = live.env.get(name).map_or_else(show::none, |hash| format!("(hidden {hash})"));
        let declared = wanted(name).cloned().unwrap_or_else(show::none);
        change(ServiceField::Env, format!("env.{name}"), declared, seen)
    };
    names.into_iter().filter(differs).map(changed).collect()
}

fn each<T: PartialEq>(
    field: ServiceField,
    wanted: &BTreeMap<String, T>,
    live: &BTreeMap<String, T>,
    show: impl Fn(&T) -> String,
) -> Vec<FieldChange> {
    let keys: BTreeSet<&String> = wanted.keys().chain(live.keys()).collect();
    let text = |value: Option<&T>| value.map_or_else(show::none, &show);
    keys.into_iter()
        .filter(|key| wanted.get(*key) != live.get(*key))
        .map(|key| {
            change(field, format!("{}.{key}", field.name()), text(wanted.get(key)), text(live.get(key)))
        })
        .collect()
}

fn mode(mode: ServiceMode) -> String {
    match mode {
        ServiceMode::Replicated(count) => format!("{count} replicas"),
        ServiceMode::Global => "one on every node".to_owned(),
        ServiceMode::ReplicatedJob { total, at_once } => format!("a job of {total}, {at_once} at once"),
        ServiceMode::GlobalJob => "a job on every node".to_owned(),
    }
}

fn restart(restart: &TaskRestart) -> String {
    let TaskRestart { condition, delay, max_attempts, window } = restart;
    let condition = match condition {
        RestartCondition::None => "none",
        RestartCondition::OnFailure => "on-failure",
        RestartCondition::Any => "any",
    };
    let delay = delay.unwrap_or(DELAY_DEFAULT);
    let attempts = max_attempts.map_or_else(String::new, |n| format!(", {n} tries"));
    let window = window.map_or_else(String::new, |window| format!(" within {window}"));
    format!("{condition} after {delay}{attempts}{window}")
}

fn update(update: Option<&UpdateSettings>) -> String {
    let Some(UpdateSettings { parallelism, delay, monitor, on_failure, max_failure_permille, order }) =
        update
    else {
        return "(Swarm's)".to_owned();
    };
    let on_failure = match on_failure {
        crate::model::service::OnFailure::Pause => "pause",
        crate::model::service::OnFailure::Continue => "continue",
        crate::model::service::OnFailure::Rollback => "rollback",
    };
    let order = match order {
        UpdateOrder::StopFirst => "stop-first",
        UpdateOrder::StartFirst => "start-first",
    };
    let monitor = monitor.unwrap_or(MONITOR_DEFAULT);
    format!(
        "{parallelism} at once, {order}, {delay} between, watched for {monitor}, on failure {on_failure}, \
         {max_failure_permille}‰ may fail"
    )
}
