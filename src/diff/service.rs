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

use super::field::{each, one};
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
    let of = (field.name(), cure(field));
    match field {
        ServiceField::Image => {
            // The tag beside a digest is for people.
            let same = match (&d.image.digest, &l.image.digest) {
                (Some(wanted), Some(seen)) => wanted == seen && d.image.repository == l.image.repository,
                (_, _) => d.image == l.image,
            };
            if same { vec![] } else { one(of, &d.image, &l.image, ToString::to_string) }
        }
        ServiceField::Entrypoint => one(of, &d.entrypoint, &l.entrypoint, words),
        ServiceField::Command => one(of, &d.command, &l.command, words),
        ServiceField::Env => env(d, l, key),
        ServiceField::Workdir => one(of, &d.workdir, &l.workdir, option),
        ServiceField::User => one(of, &d.user, &l.user, option),
        ServiceField::Hostname => one(of, &d.hostname, &l.hostname, option),
        ServiceField::Labels => each(of, &d.labels, &l.labels, String::clone),
        ServiceField::ServiceLabels => each(of, &d.service_labels, &l.service_labels, String::clone),
        ServiceField::Mounts => each(of, &d.mounts, &l.mounts, show::mount),
        ServiceField::Files if d.files == l.files => vec![],
        ServiceField::Files => {
            let text = |files: &BTreeMap<String, crate::model::container::FileSpec>| {
                let content = |file: &crate::model::container::FileSpec| {
                    format!("({}, mode {:04o})", file.hash.short(), file.mode)
                };
                files.iter().map(|(path, file)| (path.clone(), content(file))).collect::<BTreeMap<_, _>>()
            };
            each(of, &text(&d.files), &text(&l.files), String::clone)
        }
        ServiceField::Networks if d.networks == l.networks => vec![],
        ServiceField::Networks => {
            let text = |networks: &BTreeMap<crate::model::names::NetworkName, BTreeSet<String>>| {
                let one = |aliases: &BTreeSet<String>| match aliases.is_empty() {
                    true => "connected".to_owned(),
                    false => format!("connected as {}", show::set(aliases)),
                };
                networks.iter().map(|(n, a)| (n.to_string(), one(a))).collect::<BTreeMap<_, _>>()
            };
            each(of, &text(&d.networks), &text(&l.networks), String::clone)
        }
        ServiceField::Cpus => one(of, &d.cpus, &l.cpus, option),
        ServiceField::Memory => one(of, &d.memory, &l.memory, option),
        ServiceField::CpusReservation => one(of, &d.cpus_reservation, &l.cpus_reservation, option),
        ServiceField::MemoryReservation => one(of, &d.memory_reservation, &l.memory_reservation, option),
        ServiceField::Pids => one(of, &d.pids, &l.pids, option),
        ServiceField::Restart => one(of, &d.restart, &l.restart, restart),
        ServiceField::Health => {
            let text = |health: &Option<_>| health.as_ref().map_or_else(show::none, show::health);
            one(of, &d.health, &l.health, text)
        }
        ServiceField::CapAdd => one(of, &d.cap_add, &l.cap_add, show::set),
        ServiceField::CapDrop => one(of, &d.cap_drop, &l.cap_drop, show::set),
        ServiceField::ReadOnly => one(of, &d.read_only, &l.read_only, ToString::to_string),
        // Undeclared, it is the node's own default, and Docker's client writes `false` out.
        ServiceField::Init => match (d.init, l.init) {
            (None, Some(false)) => vec![],
            (wanted, seen) => one(of, &wanted, &seen, option),
        },
        ServiceField::Sysctls => one(of, &d.sysctls, &l.sysctls, show::pairs),
        ServiceField::Ulimits => {
            let text = |map: &BTreeMap<String, crate::model::container::Ulimit>| {
                show::join(map.iter().map(|(name, u)| format!("{name}={}:{}", u.soft, u.hard)))
            };
            one(of, &d.ulimits, &l.ulimits, text)
        }
        ServiceField::Dns => {
            let text = |list: &Vec<std::net::IpAddr>| show::join(list.iter().map(ToString::to_string));
            one(of, &d.dns, &l.dns, text)
        }
        ServiceField::ExtraHosts => one(of, &d.extra_hosts, &l.extra_hosts, show::pairs),
        ServiceField::Logging => {
            let text = |logging: &Option<_>| logging.as_ref().map_or_else(show::none, show::logging);
            one(of, &d.logging, &l.logging, text)
        }
        ServiceField::StopSignal => one(of, &d.stop_signal, &l.stop_signal, option),
        ServiceField::StopTimeout => {
            let text = |span: &Option<TimeSpan>| span.unwrap_or(STOP_DEFAULT).to_string();
            one(of, &d.stop_timeout, &l.stop_timeout, text)
        }
        ServiceField::Mode => {
            let mut changes = one(of, &d.mode, &l.mode, |of| mode(*of));
            // Swarm changes numbers, and makes no service into one of another kind.
            if std::mem::discriminant(&d.mode) != std::mem::discriminant(&l.mode) {
                changes.iter_mut().for_each(|change| change.cure = Cure::Replace);
            }
            changes
        }
        ServiceField::Constraints => {
            // In any order.
            let text = |list: &Vec<String>| {
                show::set(&list.iter().map(|text| unspaced(text)).collect::<BTreeSet<_>>())
            };
            one(of, &d.constraints, &l.constraints, text)
        }
        ServiceField::Spread => one(of, &d.spread, &l.spread, |list| show::words(list)),
        ServiceField::MaxPerNode => {
            let text = |most: &u32| if *most == 0 { "unlimited".to_owned() } else { most.to_string() };
            one(of, &d.max_per_node, &l.max_per_node, text)
        }
        ServiceField::Update => one(of, &d.update, &l.update, |of| update(of.as_ref())),
        ServiceField::Rollback => one(of, &d.rollback, &l.rollback, |of| update(of.as_ref())),
        ServiceField::EndpointMode => {
            let text = |mode: &crate::model::service::EndpointMode| match mode {
                crate::model::service::EndpointMode::Vip => "vip".to_owned(),
                crate::model::service::EndpointMode::Dnsrr => "dnsrr".to_owned(),
            };
            one(of, &d.endpoint_mode, &l.endpoint_mode, text)
        }
        ServiceField::Ports => {
            let text = |ports: &BTreeSet<ServicePort>| show::join(ports.iter().map(ToString::to_string));
            one(of, &d.ports, &l.ports, text)
        }
    }
}

fn words(words: &Option<Vec<String>>) -> String {
    words.as_ref().filter(|words| !words.is_empty()).map_or_else(show::none, |words| show::words(words))
}

fn option<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(show::none, ToString::to_string)
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
