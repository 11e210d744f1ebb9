//! What a saved snapshot keeps of things that are not ours: names, states, ports and addresses, which a plan has to go
//! round. Their texts may hold secrets (a password among the arguments), and are keyed hashes there (G1).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::adoption;
use crate::model::container::{HealthCheck, Logging};
use crate::model::desired::Desired;
use crate::model::names::HostName;
use crate::model::observed::{Container, Engine, Health, LiveNetwork, LiveVolume, Observed, RunState, Seen};
use crate::model::ownership::{Belongs, Owner, PREFIX};
use crate::model::secrecy::{HashKey, KeyedHash};
use crate::model::service::ServiceSpec;
use crate::model::swarm::{LiveConfig, LiveService, Swarm};

/// Veils what is neither ours nor adopted by `desired`.
pub fn veil(observed: &Observed, owner: &Owner, desired: &Desired, key: &HashKey) -> Observed {
    let mut veiled = observed.clone();
    let veil = Veil { owner, key };
    for (host, seen) in &mut veiled.hosts {
        if let Seen::Known(engine) = seen {
            let adopted =
                |container: &Container| adoption::adopted(desired, observed, host, container).is_some();
            veil.engine(host, engine, &adopted);
        }
    }
    for (name, seen) in &mut veiled.swarms {
        if let Seen::Known(swarm) = seen {
            let adopted =
                |service: &str| desired.apps.values().any(|app| app.adopt && app.service_name() == service);
            veil.swarm(name, swarm, &adopted);
        }
    }
    veiled
}

struct Veil<'a> {
    owner: &'a Owner,
    key: &'a HashKey,
}

impl Veil<'_> {
    fn text(&self, text: &mut String) {
        if !text.is_empty() {
            *text = format!("hidden {}", self.key.hide(text));
        }
    }

    fn texts<'t>(&self, texts: impl IntoIterator<Item = &'t mut String>) {
        texts.into_iter().for_each(|text| self.text(text));
    }

    /// The keys tell as much as the values.
    fn names(&self, names: &mut BTreeMap<String, String>) {
        let mut pairs: Vec<(String, String)> = std::mem::take(names).into_iter().collect();
        self.texts(pairs.iter_mut().flat_map(|(name, value)| [name, value]));
        names.extend(pairs);
    }

    /// Ownership labels say whose a thing is, and nothing else.
    fn labels(&self, labels: &mut BTreeMap<String, String>) {
        self.texts(labels.iter_mut().filter(|(name, _)| !name.starts_with(PREFIX)).map(|(_, value)| value));
    }

    fn engine(&self, host: &HostName, engine: &mut Engine, adopted: &dyn Fn(&Container) -> bool) {
        for seen in engine.containers.values_mut() {
            if let Seen::Known(container) = seen
                && matches!(
                    self.owner.container(&container.name, host, &container.labels),
                    Belongs::Foreign { .. }
                )
                && !adopted(container)
            {
                self.container(container);
            }
        }
        for seen in engine.networks.values_mut() {
            if let Seen::Known(network) = seen
                && is_foreign(&self.owner.object("network", &network.name, host, &network.labels))
            {
                self.network(network);
            }
        }
        for seen in engine.volumes.values_mut() {
            if let Seen::Known(volume) = seen
                && is_foreign(&self.owner.object("volume", volume.name.as_str(), host, &volume.labels))
            {
                self.volume(volume);
            }
        }
    }

    fn container(&self, container: &mut Container) {
        container.veiled = true;
        let live = &mut container.live;
        self.texts(live.entrypoint.iter_mut().chain(&mut live.command));
        self.names(&mut live.extra_hosts);
        self.health(live.health.as_mut());
        self.logging(&mut live.logging);
        self.labels(&mut container.labels);
        let beyond: BTreeSet<String> = std::mem::take(&mut container.beyond);
        container.beyond = beyond
            .into_iter()
            .map(|mut words| {
                self.text(&mut words);
                words
            })
            .collect();
        match &mut container.state {
            RunState::Running { health: Health::Unhealthy { last_output }, .. } => self.text(last_output),
            RunState::Exited { error, .. } => self.text(error),
            RunState::Running { health: Health::Unchecked | Health::Starting | Health::Healthy, .. }
            | RunState::Created
            | RunState::Paused
            | RunState::Restarting { .. }
            | RunState::Removing
            | RunState::Dead => {}
        }
    }

    fn health(&self, health: Option<&mut HealthCheck>) {
        if let Some(HealthCheck::Probe { test, .. }) = health {
            self.texts(test);
        }
    }

    fn logging(&self, logging: &mut Logging) {
        self.texts(logging.options.values_mut());
    }

    fn network(&self, network: &mut LiveNetwork) {
        self.labels(&mut network.labels);
        if let Some(spec) = &mut network.spec {
            self.texts(spec.options.values_mut());
            self.labels(&mut spec.labels);
        }
    }

    /// A share's password stands among its volume's options.
    fn volume(&self, volume: &mut LiveVolume) {
        self.texts(volume.spec.options.values_mut());
        self.labels(&mut volume.labels);
    }

    fn swarm(&self, name: &str, swarm: &mut Swarm, adopted: &dyn Fn(&str) -> bool) {
        let mut foreign = BTreeSet::new();
        for seen in swarm.services.values_mut() {
            if let Seen::Known(service) = seen
                && is_foreign(&self.owner.swarm_object("service", &service.name, name, &service.labels))
                && !adopted(&service.name)
            {
                foreign.insert(service.id.clone());
                self.service(service);
            }
        }
        for task in swarm.tasks.values_mut() {
            if task.service.as_ref().is_none_or(|service| foreign.contains(service)) {
                self.text(&mut task.error);
            }
        }
        for seen in swarm.networks.values_mut() {
            if let Seen::Known(network) = seen
                && is_foreign(&self.owner.swarm_object("network", &network.name, name, &network.labels))
            {
                self.network(network);
            }
        }
        for LiveConfig { name: config, labels, .. } in swarm.configs.values_mut() {
            if is_foreign(&self.owner.swarm_object("config", config, name, labels)) {
                self.labels(labels);
            }
        }
    }

    fn service(&self, service: &mut LiveService) {
        service.veiled = true;
        self.labels(&mut service.labels);
        self.spec(&mut service.spec);
        if let Some(previous) = &mut service.previous {
            self.spec(previous);
        }
        if let Some(update) = &mut service.update {
            self.text(&mut update.message);
        }
    }

    fn spec(&self, spec: &mut ServiceSpec<KeyedHash>) {
        self.texts(spec.entrypoint.iter_mut().chain(&mut spec.command).flatten());
        self.names(&mut spec.extra_hosts);
        self.health(spec.health.as_mut());
        if let Some(logging) = &mut spec.logging {
            self.logging(logging);
        }
        self.labels(&mut spec.labels);
        self.labels(&mut spec.service_labels);
    }
}

fn is_foreign<T>(belongs: &Belongs<T>) -> bool {
    matches!(belongs, Belongs::Foreign { .. })
}
