//! An app as the service that Swarm is to run.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::app::{App, SwarmService};
use crate::model::container::{FileSpec, Networks};
use crate::model::host::Host;
use crate::model::names::{AppKey, EnvironmentName};
use crate::model::service::{ServicePort, ServiceSpec};

use super::super::PlanInput;

/// Node labels of trueup's own: which environments a member serves (F5).
pub(super) const SERVES: &str = "io.trueup.serves.";
/// Docker's own limit for names of configs.
const LONGEST_NAME: usize = 64;

/// The whole spec, with the image pinned.
pub(super) fn of(input: &PlanInput<'_>, app: &App, service: &SwarmService) -> ServiceSpec {
    let container = &app.container;
    ServiceSpec {
        image: input.images.pin(&container.image),
        entrypoint: container.entrypoint.clone(),
        command: container.command.clone(),
        env: container.env.clone(),
        workdir: container.workdir.clone(),
        user: container.user.clone(),
        hostname: container.hostname.clone(),
        labels: container.labels.clone(),
        service_labels: service.labels.clone(),
        mounts: container.mounts.clone(),
        files: container.files.clone(),
        networks: networks(&container.networks),
        cpus: container.cpus,
        memory: container.memory,
        cpus_reservation: service.cpus_reservation,
        memory_reservation: container.memory_reservation,
        pids: container.pids,
        restart: service.restart,
        health: container.health.clone(),
        cap_add: container.cap_add.clone(),
        cap_drop: container.cap_drop.clone(),
        read_only: container.read_only,
        init: container.init,
        sysctls: container.sysctls.clone(),
        ulimits: container.ulimits.clone(),
        dns: container.dns.clone(),
        extra_hosts: container.extra_hosts.clone(),
        logging: container.logging.clone(),
        stop_signal: container.stop_signal.clone(),
        stop_timeout: container.stop_timeout,
        mode: service.mode,
        constraints: constraints(input, app, service),
        spread: service.spread.clone(),
        max_per_node: service.max_per_node,
        update: service.update,
        rollback: service.rollback,
        endpoint_mode: service.endpoint_mode,
        ports: container
            .ports
            .iter()
            .map(|port| ServicePort {
                container: port.container,
                protocol: port.protocol,
                published: port.host,
                publish: service.publish,
            })
            .collect(),
    }
}

fn networks(networks: &Networks) -> BTreeMap<crate::model::names::NetworkName, BTreeSet<String>> {
    match networks {
        Networks::Named(named) => named.iter().map(|(name, a)| (name.clone(), a.aliases.clone())).collect(),
        // The name is one of Docker's own, and always valid.
        Networks::Host => "host".parse().into_iter().map(|name| (name, BTreeSet::new())).collect(),
        Networks::Default | Networks::None => BTreeMap::new(),
    }
}

/// The declared ones; and where some member of the Swarm does not serve the app's environment, that Swarm keeps to those
/// that do (F5).
fn constraints(input: &PlanInput<'_>, app: &App, service: &SwarmService) -> Vec<String> {
    let mut constraints = service.constraints.clone();
    let environment = &app.key.environment;
    if members(input, &service.swarm).any(|host| !host.environments.contains(environment)) {
        constraints.push(serves(environment));
    }
    constraints
}

/// The constraint that keeps a service to members that serve its environment.
pub(super) fn serves(environment: &EnvironmentName) -> String {
    format!("node.labels.{SERVES}{environment} == true")
}

/// Hosts of the inventory that belong to the Swarm.
pub(super) fn members<'a>(input: &PlanInput<'a>, swarm: &str) -> impl Iterator<Item = &'a Host> {
    let managers = input.desired.swarms.get(swarm);
    input.desired.hosts.values().filter(move |host| host.is_member(swarm, managers))
}

/// The config that holds a file: named by app and content, so that another content is another config (D9).
pub(super) fn config_name(app: &AppKey, file: &FileSpec) -> String {
    let short = file.hash.short();
    let room = LONGEST_NAME - short.len() - 1;
    let app = app.to_string();
    format!("{}-{short}", app.get(..room.min(app.len())).unwrap_or(&app))
}

/// The config of each file, by the file's path.
pub(super) fn configs(app: &App, spec: &ServiceSpec) -> BTreeMap<String, String> {
    spec.files.iter().map(|(path, file)| (path.clone(), config_name(&app.key, file))).collect()
}
