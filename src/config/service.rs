//! The Swarm's part of an app's file: how many tasks, where Swarm may put them, how it changes them; and what a service
//! cannot have, told at its place.

use crate::model::app::{Replicas, Runtime, SwarmService};
use crate::model::container::{ContainerSpec, Networks, Restart};
use crate::model::ownership;
use crate::model::service::{
    EndpointMode, OnFailure, PublishMode, RestartCondition, ServiceMode, TaskRestart, UpdateOrder,
    UpdateSettings,
};
use crate::model::units::{Cpus, TimeSpan};

use super::context::Context;
use super::shape::{
    AdoptShape, AppFile, EndpointModeShape, OnFailureShape, OrderShape, PublishShape, StrategyShape,
    UpdateShape,
};

/// Longer labels of a service are surely a slip.
const LONGEST_LABEL: usize = 4096;
/// Swarm's own limit.
const LONGEST_NAME: usize = 63;

/// `only` is the fleet's Swarm where it has just one.
pub(super) fn runtime(
    shape: &AppFile,
    context: &mut Context<'_>,
    spec: &ContainerSpec,
    replicas: Replicas,
    only: Option<&str>,
) -> Option<Runtime> {
    unsupported(shape, context, spec);
    let table = &shape.swarm;
    let swarm = match (&table.name, only) {
        (Some(name), _) => name.clone(),
        (None, Some(only)) => only.to_owned(),
        (None, None) => {
            context.fail_with(
                "swarm.name",
                "the key `name` is missing here",
                "fleet.toml has no Swarm, or several: add [swarm.NAME] there, and name one of them here",
            );
            return None;
        }
    };
    let mode = mode(shape, context, replicas);
    for label in table.labels.keys() {
        if label.starts_with(ownership::PREFIX) || label.len() > LONGEST_LABEL {
            context.fail("swarm.labels", format!("the label {label:?} is trueup's own, or too long (B1)"));
        }
    }
    for text in table.constraints.iter().filter(|text| !is_constraint(text)) {
        context.fail_with(
            "swarm.constraints",
            format!("{text:?} is not a placement constraint"),
            "write \"node.labels.zone == a\" or \"node.role != manager\"",
        );
    }
    for text in table
        .spread
        .iter()
        .filter(|text| !text.starts_with("node.labels.") && !text.starts_with("engine.labels."))
    {
        context.fail_with(
            "swarm.spread",
            format!("{text:?} is not a label of nodes"),
            "write \"node.labels.zone\" or \"engine.labels.rack\"",
        );
    }
    let cpus_reservation = table.cpus_reservation.and_then(|cpus| {
        let cpus = Cpus::from_f64(cpus).filter(|cpus| cpus.0 > 0);
        if cpus.is_none() {
            context.fail("swarm.cpus_reservation", "write a number of CPUs such as 0.5 or 2");
        }
        cpus
    });
    let update = match mode.is_job() {
        true => {
            if table.rollback.is_some() || is_said(&table.update) {
                context.fail("swarm.update", "a job is not updated in steps: it has no update settings");
            }
            None
        }
        false => Some(update("swarm.update", &table.update, shape, context)),
    };
    let rollback = table.rollback.as_ref().map(|rollback| update_of_rollback(rollback, shape, context));
    Some(Runtime::Swarm(SwarmService {
        adopted: adopted(shape, context),
        swarm,
        mode,
        constraints: table.constraints.clone(),
        spread: table.spread.clone(),
        max_per_node: table.max_per_node.unwrap_or_default(),
        labels: table.labels.clone(),
        endpoint_mode: match table.endpoint_mode {
            Some(EndpointModeShape::Dnsrr) => EndpointMode::Dnsrr,
            Some(EndpointModeShape::Vip) | None => EndpointMode::Vip,
        },
        publish: publish(shape, context, spec),
        cpus_reservation,
        restart: restart(shape, context, spec.restart, mode),
        update,
        rollback,
    }))
}

/// `adopt = { service = "shop_web" }`.
fn adopted(shape: &AppFile, context: &mut Context<'_>) -> Option<String> {
    let Some(AdoptShape::Named(named)) = &shape.adopt else { return None };
    for key in named.keys().filter(|key| *key != "service") {
        context.fail_with(
            &format!("adopt.{key}"),
            "a service has no slots of its own: Swarm schedules its tasks",
            "name the service that is taken over: adopt = { service = \"shop_web\" }",
        );
    }
    let name = named.get("service")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let valid = (1..=LONGEST_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(fits);
    if !valid {
        context.fail("adopt.service", format!("{name:?} is not the name of a service"));
    }
    valid.then(|| name.clone())
}

fn mode(shape: &AppFile, context: &mut Context<'_>, replicas: Replicas) -> ServiceMode {
    let table = &shape.swarm;
    if !table.job && table.at_once.is_some() {
        context.fail("swarm.at_once", "only jobs have it: set `job = true` too");
    }
    let global = table.global || replicas == Replicas::EveryHost;
    let count = match replicas {
        Replicas::Count(count) => count,
        Replicas::EveryHost => 1,
    };
    match (table.job, global) {
        (false, false) => ServiceMode::Replicated(count),
        (false, true) => ServiceMode::Global,
        (true, true) => ServiceMode::GlobalJob,
        (true, false) => {
            let at_once = table.at_once.unwrap_or(count);
            if at_once == 0 || count == 0 {
                context.fail("swarm.at_once", "at least one task has to run at once, and to end");
            }
            ServiceMode::ReplicatedJob { total: count, at_once }
        }
    }
}

/// `node.… == value`, as Swarm reads it.
fn is_constraint(text: &str) -> bool {
    let sides = text.split_once("==").or_else(|| text.split_once("!="));
    sides.is_some_and(|(key, value)| {
        let key = key.trim();
        (key.starts_with("node.") || key.starts_with("engine.labels.")) && !value.trim().is_empty()
    })
}

fn publish(shape: &AppFile, context: &mut Context<'_>, spec: &ContainerSpec) -> PublishMode {
    let publish = match shape.swarm.publish {
        Some(PublishShape::Host) => PublishMode::Host,
        Some(PublishShape::Ingress) | None => PublishMode::Ingress,
    };
    let meshed = publish == PublishMode::Ingress && !spec.ports.is_empty();
    if meshed && shape.swarm.endpoint_mode == Some(EndpointModeShape::Dnsrr) {
        context.fail_with(
            "swarm.endpoint_mode",
            "with \"dnsrr\" there is no routing mesh for the ports",
            "set publish = \"host\", or endpoint_mode = \"vip\"",
        );
    }
    publish
}

/// `unless-stopped` and `always` are one to Swarm; what is meant to end is not started again after it ended well.
fn restart(shape: &AppFile, context: &mut Context<'_>, restart: Restart, mode: ServiceMode) -> TaskRestart {
    let more = &shape.swarm.restart;
    let (condition, attempts) = match restart {
        Restart::No => (RestartCondition::None, None),
        Restart::Always | Restart::UnlessStopped if mode.is_job() => (RestartCondition::OnFailure, None),
        Restart::Always | Restart::UnlessStopped => (RestartCondition::Any, None),
        Restart::OnFailure { max_retries: 0 } => (RestartCondition::OnFailure, None),
        Restart::OnFailure { max_retries } => (RestartCondition::OnFailure, Some(max_retries)),
    };
    TaskRestart {
        condition,
        delay: context.option("swarm.restart.delay", more.delay.as_ref()),
        max_attempts: more.max_attempts.filter(|n| *n > 0).or(attempts),
        window: context.option("swarm.restart.window", more.window.as_ref()),
    }
}

fn update(path: &str, update: &UpdateShape, shape: &AppFile, context: &mut Context<'_>) -> UpdateSettings {
    let rollout = &shape.rollout;
    let at_once = match rollout.strategy {
        Some(StrategyShape::Recreate) => 0,
        Some(StrategyShape::Rolling) | None => rollout.max_unavailable.unwrap_or(1),
    };
    let mut span = |key: &str, text: &Option<String>| -> Option<TimeSpan> {
        context.option(&format!("{path}.{key}"), text.as_ref())
    };
    let (delay, monitor) = (span("delay", &update.delay), span("monitor", &update.monitor));
    let min_healthy = context.option("rollout.min_healthy", rollout.min_healthy.as_ref());
    let ratio = update.max_failure_ratio.unwrap_or_default();
    if !(0.0..=1.0).contains(&ratio) {
        context.fail(&format!("{path}.max_failure_ratio"), "a share is a number from 0 to 1");
    }
    // In range, as was just checked; else it was told.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let max_failure_permille = (ratio.clamp(0.0, 1.0) * 1000.0).round() as u16;
    UpdateSettings {
        parallelism: update.parallelism.unwrap_or(at_once),
        delay: delay.unwrap_or_default(),
        monitor: Some(monitor.or(min_healthy).unwrap_or(TimeSpan::from_secs(10)))
            .filter(|m| *m > TimeSpan::default()),
        on_failure: match update.on_failure {
            Some(OnFailureShape::Pause) => OnFailure::Pause,
            Some(OnFailureShape::Continue) => OnFailure::Continue,
            Some(OnFailureShape::Rollback) | None => OnFailure::Rollback,
        },
        max_failure_permille,
        order: match update.order {
            Some(OrderShape::StartFirst) => UpdateOrder::StartFirst,
            Some(OrderShape::StopFirst) | None => UpdateOrder::StopFirst,
        },
    }
}

fn is_said(update: &UpdateShape) -> bool {
    let UpdateShape { parallelism, delay, monitor, on_failure, max_failure_ratio, order } = update;
    parallelism.is_some()
        || delay.is_some()
        || monitor.is_some()
        || on_failure.is_some()
        || max_failure_ratio.is_some()
        || order.is_some()
}

/// A way back has no way back of its own.
fn update_of_rollback(rollback: &UpdateShape, shape: &AppFile, context: &mut Context<'_>) -> UpdateSettings {
    if rollback.on_failure == Some(OnFailureShape::Rollback) {
        context.fail("swarm.rollback.on_failure", "a rollback that fails can only pause or go on");
    }
    let settings = update("swarm.rollback", rollback, shape, context);
    let on_failure = match rollback.on_failure {
        Some(OnFailureShape::Continue) => OnFailure::Continue,
        Some(OnFailureShape::Pause | OnFailureShape::Rollback) | None => OnFailure::Pause,
    };
    UpdateSettings { on_failure, ..settings }
}

/// What a service cannot have in any API, or trueup does not carry out for services (A3).
fn unsupported(shape: &AppFile, context: &mut Context<'_>, spec: &ContainerSpec) {
    let mut no = |has: bool, path: &str, why: &str, hint: &str| {
        if has {
            context.fail_with(path, why.to_owned(), hint.to_owned());
        }
    };
    let host = "use runtime = \"host\" for it";
    no(spec.privileged, "privileged", "a service cannot be privileged", host);
    no(!spec.devices.is_empty(), "device", "a service gets no devices of the host", host);
    no(!spec.security_opt.is_empty(), "security_opt", "a service has no security_opt", host);
    no(
        spec.shm_size.is_some(),
        "limits.shm_size",
        "a service has no shm_size",
        "mount a tmpfs at /dev/shm instead",
    );
    no(spec.networks == Networks::None, "network_mode", "a service is never without a network", host);
    let place = "Swarm places tasks: say where with `constraints` and `spread` under [swarm]";
    let placed = shape.place.hosts.is_some() || shape.place.spread.is_some() || shape.place.one_per_host;
    no(placed, "place", "a service is not placed by trueup", place);
    let moved = shape.place.failover.is_some() || shape.place.exclusive || shape.place.on_return.is_some();
    no(moved, "place", "Swarm itself moves tasks of dead nodes", "leave [place] out");
    for (name, attachment) in &shape.network {
        let fixed =
            attachment.pool.is_some() || attachment.address.is_some() || !attachment.addresses.is_empty();
        no(
            fixed,
            &format!("network.{name}"),
            "Swarm itself gives tasks their addresses",
            "leave `pool`, `address` and `addresses` out",
        );
    }
    no(
        spec.ports.iter().any(|port| port.address.is_some_and(|address| !address.is_unspecified())),
        "ports",
        "a service's port listens on all of a node's addresses",
        "leave the address out",
    );
    for (name, volume) in &shape.volume {
        let own =
            volume.driver.as_ref().is_some_and(|driver| driver != "local") || !volume.options.is_empty();
        no(
            own,
            &format!("volume.{name}"),
            "a service's volumes are made by Swarm on the node, with the local driver",
            "make the volume by hand and say external = true without driver and options",
        );
    }
}
