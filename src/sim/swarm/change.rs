//! What changes a simulated Swarm: managers' primitives with their refusals, and the same by hand.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::container::EnvValue;
use crate::model::names::FieldName;
use crate::model::network::NetworkSpec;
use crate::model::observed::LiveNetwork;
use crate::model::ownership::PREFIX;
use crate::model::plan::Action;
use crate::model::secrecy::{ContentHash, HashKey, KeyedHash};
use crate::model::service::{ServiceField, ServiceSpec};
use crate::model::swarm::{Availability, LiveConfig, LiveService};
use crate::model::units::Timestamp;
use crate::ports::{Contents, EngineErrorKind};

use super::{Around, Held, Refusal, SimSwarm, task_part};

impl SimSwarm {
    /// Whose change it is: `None` where it is none of a Swarm's.
    pub(in super::super) fn mutate(
        &mut self,
        action: &Action,
        contents: &Contents,
        around: Around<'_>,
        key: &HashKey,
    ) -> Option<Result<(), Refusal>> {
        Some(match action {
            Action::CreateService { name, spec, configs, labels } => {
                let seen = self.seen(spec, configs, key);
                seen.and_then(|spec| self.create(name, spec, labels, around.now))
            }
            Action::UpdateService { name, version, spec, configs, labels, restart, keep } => {
                let seen = self.seen(&self.unkept(spec, keep), configs, key);
                let seen = seen.map(|spec| self.kept(name, spec, keep));
                seen.and_then(|spec| self.update(name, *version, spec, labels, *restart, around.now))
            }
            Action::RemoveService { name, id } => {
                if self.services.get(name).is_some_and(|held| held.live.id == *id) {
                    self.remove(name);
                }
                Ok(())
            }
            Action::CreateConfig { name, hash, labels } => {
                self.add_config(name, hash, labels, contents, around.now)
            }
            Action::RemoveConfig { name, id } => self.remove_config(name, id),
            Action::UpdateNode { node, version, labels, availability } => {
                self.update_node(node, *version, labels, *availability)
            }
            Action::CreateNetwork { name, spec, labels } => self.add_network(name, spec, labels),
            Action::RemoveNetwork { name } => self.remove_network(name),
            Action::PullImage { .. }
            | Action::RemoveImage { .. }
            | Action::CreateVolume { .. }
            | Action::CreateContainer { .. }
            | Action::StartContainer { .. }
            | Action::StopContainer { .. }
            | Action::RestartContainer { .. }
            | Action::RemoveContainer { .. }
            | Action::RenameContainer { .. }
            | Action::UpdateContainer { .. }
            | Action::Connect { .. }
            | Action::Disconnect { .. }
            | Action::WaitService { .. }
            | Action::WaitHealthy { .. }
            | Action::Drain { .. }
            | Action::Undrain { .. }
            | Action::InstallFiles { .. } => return None,
        })
    }

    /// As an engine tells it back: values hidden, files as the configs that hold them.
    fn seen(
        &self,
        spec: &ServiceSpec,
        configs: &BTreeMap<String, String>,
        key: &HashKey,
    ) -> Result<ServiceSpec<KeyedHash>, Refusal> {
        let mut files = spec.files.clone();
        for (path, file) in &mut files {
            let name = configs.get(path).cloned().unwrap_or_default();
            if !self.configs.contains_key(&name) {
                return Err((EngineErrorKind::NotFound, format!("config {name} not found")));
            }
            (file.source, file.size) = (name, 0);
        }
        for network in spec.networks.keys().filter(|name| name.as_str() != "host") {
            if !self.networks.contains_key(network.as_str()) {
                return Err((EngineErrorKind::NotFound, format!("network {network} not found")));
            }
        }
        let env = spec.env.iter().map(|(name, EnvValue::Plain(value))| (name.clone(), key.hide(value)));
        let seen = spec.with_env(env.collect());
        let seen =
            seen.ok_or_else(|| (EngineErrorKind::Garbage, "its spec cannot be told back".to_owned()))?;
        Ok(ServiceSpec { files, ..seen })
    }

    /// What is kept refers to nothing new.
    fn unkept(&self, spec: &ServiceSpec, keep: &BTreeSet<FieldName>) -> ServiceSpec {
        let mut spec = spec.clone();
        let keeps = |field: ServiceField| keep.iter().any(|kept| kept.as_str() == field.name());
        if keeps(ServiceField::Files) {
            spec.files.clear();
        }
        if keeps(ServiceField::Networks) {
            spec.networks.clear();
        }
        spec
    }

    /// Fields that git ignores stay as they are, whole or by element (A6).
    fn kept(
        &self,
        name: &str,
        spec: ServiceSpec<KeyedHash>,
        keep: &BTreeSet<FieldName>,
    ) -> ServiceSpec<KeyedHash> {
        let Some(held) = self.services.get(name) else { return spec };
        let json = |spec: &ServiceSpec<KeyedHash>| serde_json::to_value(spec).unwrap_or_default();
        let (before, mut after) = (json(&held.live.spec), json(&spec));
        for kept in keep {
            match kept.as_str().split_once('.') {
                None => after[kept.as_str()] = before[kept.as_str()].clone(),
                Some((field, element)) => match before[field].get(element) {
                    Some(value) => after[field][element] = value.clone(),
                    None => drop(after[field].as_object_mut().and_then(|all| all.remove(element))),
                },
            }
        }
        serde_json::from_value(after).unwrap_or(spec)
    }

    fn next(&mut self) -> u64 {
        self.index += 1;
        self.index
    }

    fn create(
        &mut self,
        name: &str,
        spec: ServiceSpec<KeyedHash>,
        labels: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.services.contains_key(name) {
            return Err((
                EngineErrorKind::Conflict,
                format!("name conflicts with an existing object: service {name}"),
            ));
        }
        let version = self.next();
        let live = LiveService {
            veiled: false,
            id: format!("service-{name}-{version}"),
            name: name.to_owned(),
            version,
            created: now,
            updated: now,
            labels: all_labels(&spec, labels),
            published: spec.ports.clone(),
            previous: None,
            failed: Vec::new(),
            template: None,
            update: None,
            job_iteration: spec.mode.is_job().then_some(0),
            beyond: BTreeSet::new(),
            spec,
        };
        let held = Held { live, forced: 0, work: None, ended: BTreeSet::new(), made: 0 };
        self.services.insert(name.to_owned(), held);
        Ok(())
    }

    /// Only from this very version; a new update takes the place of one under way.
    pub(in super::super) fn update(
        &mut self,
        name: &str,
        version: u64,
        spec: ServiceSpec<KeyedHash>,
        labels: &BTreeMap<String, String>,
        restart: bool,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let next = self.next();
        let Some(held) = self.services.get_mut(name) else {
            return Err((EngineErrorKind::NotFound, format!("service {name} not found")));
        };
        if held.live.version != version {
            return Err((
                EngineErrorKind::Conflict,
                "rpc error: code = Unknown desc = update out of sequence".to_owned(),
            ));
        }
        if std::mem::discriminant(&held.live.spec.mode) != std::mem::discriminant(&spec.mode) {
            let why = "rpc error: code = Unimplemented desc = service mode change is not allowed";
            return Err((EngineErrorKind::Refused, why.to_owned()));
        }
        let renews = restart || task_part(&held.live.spec, 0) != task_part(&spec, 0);
        held.forced += u64::from(restart);
        let live = &mut held.live;
        live.labels = all_labels(&spec, labels);
        live.published.clone_from(&spec.ports);
        live.previous = Some(std::mem::replace(&mut live.spec, spec));
        (live.version, live.updated, live.update) = (next, now, None);
        (held.work, held.ended) = (None, BTreeSet::new());
        if let Some(iteration) = live.job_iteration.as_mut().filter(|_| renews) {
            *iteration += 1;
        }
        Ok(())
    }

    pub(in super::super) fn remove(&mut self, name: &str) {
        let Some(held) = self.services.remove(name) else { return };
        self.next();
        self.tasks.retain(|_, made| made.task.service.as_deref() != Some(held.live.id.as_str()));
    }

    fn add_config(
        &mut self,
        name: &str,
        hash: &ContentHash,
        labels: &BTreeMap<String, String>,
        contents: &Contents,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.configs.contains_key(name) {
            return Err((
                EngineErrorKind::Conflict,
                format!("name conflicts with an existing object: config {name}"),
            ));
        }
        if !contents.contains_key(hash) {
            return Err((EngineErrorKind::Refused, format!("no content for {name}")));
        }
        let id = format!("config-{}", self.next());
        let config = LiveConfig {
            id,
            name: name.to_owned(),
            hash: hash.clone(),
            labels: labels.clone(),
            created: now,
        };
        self.configs.insert(name.to_owned(), config);
        Ok(())
    }

    fn remove_config(&mut self, name: &str, id: &str) -> Result<(), Refusal> {
        if self.configs.get(name).is_none_or(|config| config.id != id) {
            return Ok(());
        }
        let uses = |held: &Held| held.live.spec.files.values().any(|file| file.source == name);
        if let Some((service, _)) = self.services.iter().find(|(_, held)| uses(held)) {
            let why = format!("config '{name}' is in use by the following service: {service}");
            return Err((EngineErrorKind::Refused, why));
        }
        self.configs.remove(name);
        Ok(())
    }

    pub(in super::super) fn update_node(
        &mut self,
        id: &str,
        version: u64,
        labels: &BTreeMap<String, Option<String>>,
        availability: Option<Availability>,
    ) -> Result<(), Refusal> {
        let next = self.next();
        let Some(node) = self.nodes.get_mut(id) else {
            return Err((EngineErrorKind::NotFound, format!("node {id} not found")));
        };
        if node.version != version {
            return Err((
                EngineErrorKind::Conflict,
                "rpc error: code = Unknown desc = update out of sequence".to_owned(),
            ));
        }
        for (name, value) in labels {
            match value {
                Some(value) => node.labels.insert(name.clone(), value.clone()),
                None => node.labels.remove(name),
            };
        }
        node.availability = availability.unwrap_or(node.availability);
        node.version = next;
        Ok(())
    }

    fn add_network(
        &mut self,
        name: &str,
        spec: &NetworkSpec,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        if self.networks.contains_key(name) {
            return Err((EngineErrorKind::Conflict, format!("network with name {name} already exists")));
        }
        let mut all = spec.labels.clone();
        all.extend(labels.clone());
        let network = LiveNetwork {
            id: format!("overlay-{}", self.next()),
            name: name.to_owned(),
            driver: spec.driver.name().to_owned(),
            spec: Some(spec.clone()),
            labels: all,
            attached: BTreeSet::new(),
        };
        self.networks.insert(name.to_owned(), network);
        Ok(())
    }

    fn remove_network(&mut self, name: &str) -> Result<(), Refusal> {
        let uses = |held: &Held| held.live.spec.networks.keys().any(|network| network.as_str() == name);
        if let Some((service, _)) = self.services.iter().find(|(_, held)| uses(held)) {
            return Err((EngineErrorKind::Refused, format!("network {name} is in use by service {service}")));
        }
        self.networks.remove(name);
        Ok(())
    }

    /// A service as somebody changes it with `docker service update`.
    pub(in super::super) fn by_hand(
        &mut self,
        name: &str,
        now: Timestamp,
        change: impl FnOnce(&mut ServiceSpec<KeyedHash>, &mut BTreeMap<String, String>),
    ) -> Result<(), String> {
        let held = self.services.get(name).ok_or_else(|| format!("there is no service {name}"))?;
        let (version, mut spec) = (held.live.version, held.live.spec.clone());
        let mut labels = held.live.labels.clone();
        labels.retain(|label, _| !spec.service_labels.contains_key(label));
        change(&mut spec, &mut labels);
        self.update(name, version, spec, &labels, false, now).map_err(|(_, why)| why)
    }

    /// A service that somebody made with `docker service create`.
    pub(in super::super) fn created_by_hand(
        &mut self,
        name: &str,
        spec: &ServiceSpec,
        now: Timestamp,
        key: &HashKey,
    ) -> Result<(), String> {
        let spec = self.seen(spec, &BTreeMap::new(), key).map_err(|(_, why)| why)?;
        self.create(name, spec, &BTreeMap::new(), now).map_err(|(_, why)| why)
    }
}

fn all_labels(spec: &ServiceSpec<KeyedHash>, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = spec.service_labels.clone();
    all.extend(
        labels.iter().filter(|(name, _)| name.starts_with(PREFIX)).map(|(n, v)| (n.clone(), v.clone())),
    );
    all
}
