//! What a saved snapshot keeps of what was seen. Of things that are not ours: names, states, ports and addresses, which a
//! plan has to go round; their texts may hold secrets (a password among the arguments), and are keyed hashes there (G1). Of
//! everything, ours too, it hides what programs and engines said, and what somebody wrote into generated files.

mod installed;
mod reason;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::adoption;
use crate::model::container::{FileSpec, HealthCheck, Logging};
use crate::model::desired::Desired;
use crate::model::file::{FileSet, Files};
use crate::model::last_seen::LastSeen;
use crate::model::names::HostName;
use crate::model::network::{NetworkSpec, VolumeSpec};
use crate::model::observed::{
    Container, Engine, Health, Image, LiveFile, LiveNetwork, LiveSpec, LiveVolume, Observed, RunState, Seen,
};
use crate::model::ownership::{Belongs, Owner, PREFIX};
use crate::model::secrecy::{ContentHash, HashKey, KeyedHash};
use crate::model::service::ServiceSpec;
use crate::model::swarm::{LiveConfig, LiveService, Swarm, Task, UpdateStatus};

pub use installed::written_here;

/// Veils what is neither ours nor adopted by `desired` (`stand_ins` among it), and of all the words of programs and engines.
/// `written` is what this look itself wrote of the generated files. What is veiled is taken apart field by field, so that a new
/// one has to be thought of here.
pub fn veil(
    observed: &Observed,
    owner: &Owner,
    (desired, stand_ins): (&Desired, &LastSeen),
    written: &BTreeMap<FileSet, Files>,
    key: &HashKey,
) -> Observed {
    let mut veiled = observed.clone();
    let veil = Veil { owner, desired, key };
    let Observed { hosts, swarms, files, at: _, key: _ } = &mut veiled;
    for (host, seen) in hosts {
        if let Some(engine) = known(seen) {
            let adopted = |container: &Container| {
                adoption::adopted(desired, observed, stand_ins, host, container).is_some()
            };
            veil.engine(host, engine, &adopted);
        }
    }
    for (name, seen) in swarms {
        if let Some(swarm) = known(seen) {
            veil.swarm(name, swarm);
        }
    }
    for (set, seen) in files {
        if let Some(Some(files)) = known(seen) {
            installed::hide(files, written.get(set), &|text| veil.text(text));
        }
    }
    veiled
}

struct Veil<'a> {
    owner: &'a Owner,
    desired: &'a Desired,
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

    fn set(&self, words: &mut BTreeSet<String>) {
        let mut all: Vec<String> = std::mem::take(words).into_iter().collect();
        self.texts(&mut all);
        words.extend(all);
    }

    /// Ownership labels say whose a thing is, and nothing else.
    fn labels(&self, labels: &mut BTreeMap<String, String>) {
        self.texts(labels.iter_mut().filter(|(name, _)| !name.starts_with(PREFIX)).map(|(_, value)| value));
    }

    /// Whoever has the plain hash of a short text has the text: they try all of them.
    fn hash(&self, hash: &mut ContentHash) {
        *hash = ContentHash::of(self.key.seal(hash.as_str().as_bytes()).as_bytes());
    }

    fn engine(&self, host: &HostName, engine: &mut Engine, adopted: &dyn Fn(&Container) -> bool) {
        let Engine { info: _, containers, images, networks, volumes, volumes_hidden } = engine;
        if let Some(why) = volumes_hidden {
            *why = reason::neutral(why);
        }
        let mut used = BTreeSet::new();
        for container in containers.values_mut().filter_map(known) {
            self.said(container);
            let owned = self.owner.container(&container.name, host, &container.labels);
            if is_foreign(&owned) && !adopted(container) {
                self.container(container);
            } else {
                used.insert(container.image.clone());
            }
        }
        for image in images.values_mut().filter(|image| !used.contains(&image.id) && !self.declares(image)) {
            self.image(image);
        }
        for network in networks.values_mut().filter_map(known) {
            if is_foreign(&self.owner.object("network", &network.name, host, &network.labels)) {
                self.network(network);
            }
        }
        for volume in volumes.values_mut().filter_map(known) {
            if is_foreign(&self.owner.object("volume", volume.name.as_str(), host, &volume.labels)) {
                self.volume(volume);
            }
        }
    }

    /// Whether git names the image: by its tag, or by its repository where it came from a registry.
    fn declares(&self, image: &Image) -> bool {
        self.desired.apps.values().map(|app| &app.container.image).any(|declared| {
            image.digests.iter().any(|known| known.repository == declared.repository)
                || image.tags.iter().any(|tag| {
                    tag.repository == declared.repository && declared.tag.is_some() && tag.tag == declared.tag
                })
        })
    }

    /// What somebody made of a container (`docker commit`) has that one's arguments and labels.
    fn image(&self, image: &mut Image) {
        let Image {
            entrypoint,
            command,
            labels,
            health,
            id: _,
            tags: _,
            digests: _,
            env: _,
            workdir: _,
            user: _,
            stop_signal: _,
        } = image;
        self.texts(entrypoint.iter_mut().chain(command));
        self.labels(labels);
        self.health(health.as_mut());
    }

    /// What git never declares and no plan compares, of whichever container: its words, and its engine's about it.
    fn said(&self, container: &mut Container) {
        self.state(&mut container.state);
        self.set(&mut container.beyond);
        for file in container.live.files.values_mut() {
            known(file);
        }
    }

    fn container(&self, container: &mut Container) {
        let Container {
            labels,
            live,
            veiled,
            // Hidden of every container.
            state: _,
            beyond: _,
            id: _,
            name: _,
            image: _,
            image_name: _,
            created: _,
            restarts: _,
            anonymous: _,
        } = container;
        *veiled = true;
        self.labels(labels);
        self.live(live);
    }

    fn state(&self, state: &mut RunState) {
        match state {
            RunState::Running { health: Health::Unhealthy { last_output }, since: _ } => {
                self.text(last_output)
            }
            RunState::Exited { error, exit_code: _, at: _ } => self.text(error),
            RunState::Running {
                health: Health::Unchecked | Health::Starting | Health::Healthy,
                since: _,
            }
            | RunState::Created
            | RunState::Paused
            | RunState::Restarting { exit_code: _ }
            | RunState::Removing
            | RunState::Dead => {}
        }
    }

    fn live(&self, live: &mut LiveSpec) {
        let LiveSpec {
            entrypoint,
            command,
            files,
            health,
            extra_hosts,
            logging,
            // Hidden since they were read.
            env: _,
            // Names, paths, addresses and numbers, which a plan goes round.
            workdir: _,
            user: _,
            hostname: _,
            ports: _,
            mounts: _,
            network_mode: _,
            networks: _,
            cpus: _,
            memory: _,
            memory_reservation: _,
            pids: _,
            shm_size: _,
            restart: _,
            cap_add: _,
            cap_drop: _,
            privileged: _,
            read_only: _,
            init: _,
            security_opt: _,
            sysctls: _,
            ulimits: _,
            devices: _,
            dns: _,
            stop_signal: _,
            stop_timeout: _,
        } = live;
        self.texts(entrypoint.iter_mut().chain(command));
        self.names(extra_hosts);
        self.health(health.as_mut());
        self.logging(logging);
        for LiveFile { hash, mode: _ } in files.values_mut().filter_map(known).flatten() {
            self.hash(hash);
        }
    }

    fn health(&self, health: Option<&mut HealthCheck>) {
        if let Some(HealthCheck::Probe { test, interval: _, timeout: _, start_period: _, retries: _ }) =
            health
        {
            self.texts(test);
        }
    }

    fn logging(&self, Logging { options, driver: _ }: &mut Logging) {
        self.texts(options.values_mut());
    }

    fn network(
        &self,
        LiveNetwork { spec, labels, id: _, name: _, driver: _, attached: _ }: &mut LiveNetwork,
    ) {
        self.labels(labels);
        if let Some(spec) = spec {
            let NetworkSpec {
                options,
                labels,
                driver: _,
                subnet: _,
                gateway: _,
                ip_range: _,
                parent: _,
                internal: _,
                attachable: _,
            } = spec;
            self.texts(options.values_mut());
            self.labels(labels);
        }
    }

    /// A share's password stands among its volume's options.
    fn volume(&self, LiveVolume { spec, labels, name: _ }: &mut LiveVolume) {
        let VolumeSpec { options, driver: _ } = spec;
        self.texts(options.values_mut());
        self.labels(labels);
    }

    fn swarm(&self, name: &str, swarm: &mut Swarm) {
        let Swarm { services, tasks, networks, configs, id: _, manager: _, nodes: _ } = swarm;
        let mut foreign = BTreeSet::new();
        for service in services.values_mut().filter_map(known) {
            let owned = self.owner.swarm_object("service", &service.name, name, &service.labels);
            let adopter = self.desired.adopter_of_service(name, &service.name);
            self.set(&mut service.beyond);
            if is_foreign(&owned) && adopter.is_none() {
                foreign.insert(service.id.clone());
                self.service(service);
            }
        }
        for task in tasks.values_mut() {
            self.text(&mut task.error);
            if task.service.as_ref().is_none_or(|service| foreign.contains(service)) {
                self.task(task);
            }
        }
        for network in networks.values_mut().filter_map(known) {
            if is_foreign(&self.owner.swarm_object("network", &network.name, name, &network.labels)) {
                self.network(network);
            }
        }
        for LiveConfig { name: config, labels, hash, id: _, created: _ } in configs.values_mut() {
            if is_foreign(&self.owner.swarm_object("config", config, name, labels)) {
                self.labels(labels);
                self.hash(hash);
            }
        }
    }

    fn task(&self, task: &mut Task) {
        let Task {
            template,
            // Hidden of every task.
            error: _,
            id: _,
            service: _,
            slot: _,
            node: _,
            wanted: _,
            state: _,
            since: _,
            exit_code: _,
            container: _,
            image: _,
            addresses: _,
            published: _,
            job_iteration: _,
        } = task;
        template.iter_mut().for_each(|hash| self.hash(hash));
    }

    fn service(&self, service: &mut LiveService) {
        let LiveService {
            spec,
            previous,
            failed,
            template,
            labels,
            update,
            veiled,
            // Hidden of every service.
            beyond: _,
            id: _,
            name: _,
            version: _,
            created: _,
            updated: _,
            published: _,
            job_iteration: _,
        } = service;
        *veiled = true;
        self.labels(labels);
        self.spec(spec);
        previous.iter_mut().chain(failed).for_each(|spec| self.spec(spec));
        template.iter_mut().for_each(|hash| self.hash(hash));
        if let Some(UpdateStatus { message, state: _, started: _, completed: _ }) = update {
            self.text(message);
        }
    }

    fn spec(&self, spec: &mut ServiceSpec<KeyedHash>) {
        let ServiceSpec {
            entrypoint,
            command,
            labels,
            service_labels,
            files,
            health,
            extra_hosts,
            logging,
            // Hidden since they were read.
            env: _,
            // Names, paths, addresses and numbers, which a plan goes round.
            image: _,
            workdir: _,
            user: _,
            hostname: _,
            mounts: _,
            networks: _,
            cpus: _,
            memory: _,
            cpus_reservation: _,
            memory_reservation: _,
            pids: _,
            restart: _,
            cap_add: _,
            cap_drop: _,
            read_only: _,
            init: _,
            sysctls: _,
            ulimits: _,
            dns: _,
            stop_signal: _,
            stop_timeout: _,
            mode: _,
            constraints: _,
            spread: _,
            max_per_node: _,
            update: _,
            rollback: _,
            endpoint_mode: _,
            ports: _,
        } = spec;
        self.texts(entrypoint.iter_mut().chain(command).flatten());
        self.names(extra_hosts);
        self.health(health.as_mut());
        if let Some(logging) = logging {
            self.logging(logging);
        }
        self.labels(labels);
        self.labels(service_labels);
        for FileSpec { hash, source: _, size: _, mode: _ } in files.values_mut() {
            self.hash(hash);
        }
    }
}

/// What was read; of what was not, the reason is left in neutral words.
fn known<T>(seen: &mut Seen<T>) -> Option<&mut T> {
    match seen {
        Seen::Known(value) => Some(value),
        Seen::Unknown { why } => {
            *why = reason::neutral(why);
            None
        }
    }
}

fn is_foreign<T>(belongs: &Belongs<T>) -> bool {
    matches!(belongs, Belongs::Foreign { .. })
}

#[cfg(test)]
mod tests;
