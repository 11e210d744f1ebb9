//! The primitives of a Swarm. What is so already is success; a version that moved is a conflict.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::diff;
use crate::model::names::FieldName;
use crate::model::plan::Action;
use crate::model::secrecy::ContentHash;
use crate::model::service::{ServiceField, ServiceSpec};
use crate::model::swarm::Availability;
use crate::ports::{Contents, EngineError, EngineErrorKind};

use super::super::engine::DockerEngine;
use super::super::{error, within};
use super::body::{self, Refers};
use super::json::{number, text};
use super::read::Referred;
use super::spec;

impl DockerEngine {
    /// `None`: it is none of a Swarm's.
    pub(in super::super) async fn on_swarm(
        &self,
        action: &Action,
        contents: &Contents,
    ) -> Option<Result<(), EngineError>> {
        Some(match action {
            Action::CreateService { name, spec, configs, labels } => {
                self.create_service(name, spec, configs, labels).await
            }
            Action::UpdateService { name, version, spec, configs, labels, restart, keep } => {
                self.update_service(name, *version, (spec, configs, labels), keep, *restart).await
            }
            Action::RemoveService { id, .. } => self.gone(&format!("services/{id}")).await,
            Action::CreateConfig { name, hash, labels } => {
                self.create_config(name, hash, labels, contents).await
            }
            Action::RemoveConfig { id, .. } => self.gone(&format!("configs/{id}")).await,
            Action::UpdateNode { node, version, labels, availability } => {
                self.update_node(node, *version, labels, *availability).await
            }
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
            | Action::WaitHealthy { .. }
            | Action::Drain { .. }
            | Action::Undrain { .. }
            | Action::InstallFiles { .. }
            | Action::CreateNetwork { .. }
            | Action::RemoveNetwork { .. }
            | Action::WaitService { .. } => return None,
        })
    }

    async fn post(&self, path: &str, body: &Value, auth: Option<String>) -> Result<Value, EngineError> {
        let call = format!("POST /{}", path.split('?').next().unwrap_or(path));
        let body = within(&self.host, &call, self.deadline, self.raw.post(path, body, auth)).await?;
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn gone(&self, path: &str) -> Result<(), EngineError> {
        let call = format!("DELETE /{path}");
        error::or_none(within(&self.host, &call, self.deadline, self.raw.delete(path)).await).map(|_| ())
    }

    async fn create_service(
        &self,
        name: &str,
        spec: &ServiceSpec,
        configs: &BTreeMap<String, String>,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), EngineError> {
        let configs = self.config_ids(configs).await?;
        let mut body = json!({});
        body::write(&mut body, name, spec, &Refers { configs: &configs, labels, live: None }, |_| true);
        let auth = self.registry_auth(spec).await?;
        self.post("services/create", &body, auth).await.map(|_| ())
    }

    /// From this very version alone: whoever changed it in between is not overwritten unseen.
    async fn update_service(
        &self,
        name: &str,
        version: u64,
        (spec, configs, labels): (&ServiceSpec, &BTreeMap<String, String>, &BTreeMap<String, String>),
        keep: &BTreeSet<FieldName>,
        restart: bool,
    ) -> Result<(), EngineError> {
        let live = self.get(&format!("services/{name}")).await?;
        let (Some(id), Some(now)) = (text(&live, "ID"), number(&live, "Version.Index")) else {
            return Err(self.garbage(&format!("GET /services/{name}"), "it has no id or version"));
        };
        self.same_version(&format!("service {name}"), version, now)?;
        let configs = self.config_ids(configs).await?;
        let mut body = live.get("Spec").cloned().unwrap_or_default();
        let referred = self.referred(&[&body]).await?;
        let changed = self.changed(&format!("GET /services/{name}"), spec, &body, &referred, keep)?;
        let before = body.clone();
        let touches = |field: ServiceField| changed.contains(field.name());
        let refers = Refers { configs: &configs, labels, live: Some(referred.names(&self.key)) };
        body::write(&mut body, name, spec, &refers, touches);
        body::keep(&mut body, &before, keep);
        if restart {
            let forced = number(&body, "TaskTemplate.ForceUpdate").unwrap_or_default();
            body["TaskTemplate"]["ForceUpdate"] = json!(forced + 1);
        }
        let auth = self.registry_auth(spec).await?;
        self.post(&format!("services/{id}/update?version={version}"), &body, auth).await.map(|_| ())
    }

    /// Names of the fields that differ from the live spec, but for what is kept.
    fn changed(
        &self,
        call: &str,
        spec: &ServiceSpec,
        live: &Value,
        referred: &Referred,
        keep: &BTreeSet<FieldName>,
    ) -> Result<BTreeSet<String>, EngineError> {
        let live = spec::read(live, &referred.names(&self.key)).map_err(|why| self.garbage(call, why))?;
        let changes = diff::service(spec, &live, Some(&self.key));
        let name = |field: &str| field.split('.').next().unwrap_or_default().to_owned();
        let changes = changes.iter().filter(|change| !change.is_among(keep));
        Ok(changes.map(|change| name(&change.field)).collect())
    }

    fn same_version(&self, what: &str, seen: u64, now: u64) -> Result<(), EngineError> {
        if seen == now {
            return Ok(());
        }
        Err(EngineError {
            host: self.host.clone(),
            call: format!("update {what}"),
            kind: EngineErrorKind::Conflict,
            detail: format!(
                "it is at version {now} and was at {seen}: somebody changed it; the next look decides"
            ),
        })
    }

    /// Id and name of the config of each file, by the file's path.
    async fn config_ids(
        &self,
        configs: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, (String, String)>, EngineError> {
        let mut ids = BTreeMap::new();
        for (path, name) in configs {
            let found = self.one_config(name).await?.ok_or_else(|| EngineError {
                host: self.host.clone(),
                call: format!("GET /configs/{name}"),
                kind: EngineErrorKind::NotFound,
                detail: format!("the config for {path} is not there; the next look makes it"),
            })?;
            ids.insert(path.clone(), (found.id, name.clone()));
        }
        Ok(ids)
    }

    async fn create_config(
        &self,
        name: &str,
        hash: &ContentHash,
        labels: &BTreeMap<String, String>,
        contents: &Contents,
    ) -> Result<(), EngineError> {
        let call = "POST /configs/create";
        let Some(bytes) = contents.get(hash) else {
            return Err(self.garbage(call, format!("the file of {name} is not at hand")));
        };
        let data = base64::engine::general_purpose::STANDARD.encode(bytes);
        let body = json!({"Name": name, "Labels": labels, "Data": data});
        self.post("configs/create", &body, None).await.map(|_| ())
    }

    async fn update_node(
        &self,
        id: &str,
        version: u64,
        labels: &BTreeMap<String, Option<String>>,
        availability: Option<Availability>,
    ) -> Result<(), EngineError> {
        let live = self.get(&format!("nodes/{id}")).await?;
        let now = number(&live, "Version.Index").unwrap_or_default();
        self.same_version(&format!("node {id}"), version, now)?;
        let mut body = live.get("Spec").cloned().unwrap_or_default();
        if !body["Labels"].is_object() {
            body["Labels"] = json!({});
        }
        for (name, value) in labels {
            match (value, body["Labels"].as_object_mut()) {
                (Some(value), Some(all)) => {
                    all.insert(name.clone(), json!(value));
                }
                (None, Some(all)) => {
                    all.remove(name);
                }
                (_, None) => {}
            }
        }
        if let Some(availability) = availability {
            body["Availability"] = json!(availability.name());
        }
        self.post(&format!("nodes/{id}/update?version={version}"), &body, None).await.map(|_| ())
    }

    /// What the nodes need to pull with, as Docker's header has it.
    async fn registry_auth(&self, spec: &ServiceSpec) -> Result<Option<String>, EngineError> {
        let credentials = self.credentials(&spec.image).await?;
        let json = credentials.and_then(|credentials| serde_json::to_vec(&credentials).ok());
        Ok(json.map(|json| base64::engine::general_purpose::URL_SAFE.encode(json)))
    }
}
