//! The primitives, carried out. What is so already is success.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::container::ContainerSpec;
use crate::model::names::ContainerName;
use crate::model::network::NetworkSpec;
use crate::model::plan::{Action, LiveLimits};
use crate::model::units::TimeSpan;
use crate::ports::{Contents, EngineError, EngineErrorKind, Parts};
use bollard::models::{
    ContainerUpdateBody, Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest,
    NetworkDisconnectRequest, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions,
    RenameContainerOptionsBuilder, RestartContainerOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder,
};

use super::engine::DockerEngine;
use super::{create, error, within};

impl DockerEngine {
    pub(super) async fn carry_out(
        &self,
        action: &Action,
        contents: &Contents,
        parts: &Parts<'_>,
    ) -> Result<(), EngineError> {
        if let Some(done) = self.on_swarm(action, contents).await {
            return done;
        }
        match action {
            Action::PullImage { image } => self.pull(image, parts).await,
            Action::RemoveImage { names, .. } => self.remove_image(names).await,
            Action::CreateVolume { name, spec, labels } => {
                let request = VolumeCreateRequest {
                    name: Some(name.to_string()),
                    driver: Some(spec.driver.clone()),
                    driver_opts: Some(spec.options.clone().into_iter().collect()),
                    labels: Some(labels.clone().into_iter().collect()),
                    ..VolumeCreateRequest::default()
                };
                self.call("POST /volumes/create", self.docker.create_volume(request)).await.map(|_| ())
            }
            Action::CreateNetwork { name, spec, labels } => self.create_network(name, spec, labels).await,
            Action::RemoveNetwork { name } => {
                let call = format!("DELETE /networks/{name}");
                done_if_gone(self.call(&call, self.docker.remove_network(name)).await)
            }
            Action::CreateContainer { name, spec, labels } => self.create(name, spec, labels, contents).await,
            Action::StartContainer { name } => {
                let start = self.docker.start_container(name.as_str(), None::<StartContainerOptions>);
                self.call(&format!("POST /containers/{name}/start"), start).await
            }
            Action::StopContainer { name, timeout } => {
                let options = StopContainerOptionsBuilder::new().t(seconds(*timeout)).build();
                let stop = self.docker.stop_container(name.as_str(), Some(options));
                let deadline = self.deadline + timeout.duration();
                let call = format!("POST /containers/{name}/stop");
                done_if_gone(within(&self.host, &call, deadline, stop).await)
            }
            Action::RestartContainer { name, timeout } => {
                let options = RestartContainerOptionsBuilder::new().t(seconds(*timeout)).build();
                let restart = self.docker.restart_container(name.as_str(), Some(options));
                let deadline = self.deadline + timeout.duration();
                within(&self.host, &format!("POST /containers/{name}/restart"), deadline, restart).await
            }
            Action::RemoveContainer { name } => {
                // Its anonymous volumes stay as the named ones do: no action removes data (B5).
                let options = RemoveContainerOptionsBuilder::new().v(false).build();
                let remove = self.docker.remove_container(name.as_str(), Some(options));
                done_if_gone(self.call(&format!("DELETE /containers/{name}"), remove).await)
            }
            Action::RenameContainer { name, to } => {
                let options = RenameContainerOptionsBuilder::new().name(to.as_str()).build();
                let rename = self.docker.rename_container(name.as_str(), options);
                self.call(&format!("POST /containers/{name}/rename"), rename).await
            }
            Action::UpdateContainer { name, limits } => {
                let update = self.docker.update_container(name.as_str(), update_body(limits));
                self.call(&format!("POST /containers/{name}/update"), update).await.map(|_| ())
            }
            Action::Connect { name, network, attachment } => {
                let request = NetworkConnectRequest {
                    container: name.to_string(),
                    endpoint_config: Some(create::endpoint(attachment)),
                };
                let connect = self.docker.connect_network(network, request);
                self.call(&format!("POST /networks/{network}/connect"), connect).await
            }
            Action::Disconnect { name, network } => {
                // By name and forced, also where the endpoint is half gone (moby #33156).
                let request = NetworkDisconnectRequest { container: name.to_string(), force: Some(true) };
                let disconnect = self.docker.disconnect_network(network, request);
                done_if_gone(self.call(&format!("POST /networks/{network}/disconnect"), disconnect).await)
            }
            Action::WaitHealthy { .. }
            | Action::Drain { .. }
            | Action::Undrain { .. }
            | Action::CreateService { .. }
            | Action::UpdateService { .. }
            | Action::RemoveService { .. }
            | Action::WaitService { .. }
            | Action::CreateConfig { .. }
            | Action::RemoveConfig { .. }
            | Action::UpdateNode { .. }
            | Action::InstallFiles { .. } => Err(EngineError {
                host: self.host.clone(),
                call: action.describe(),
                kind: EngineErrorKind::Refused,
                detail: "this is not an engine's to do".to_owned(),
            }),
        }
    }

    async fn create(
        &self,
        name: &ContainerName,
        spec: &ContainerSpec,
        labels: &BTreeMap<String, String>,
        contents: &Contents,
    ) -> Result<(), EngineError> {
        let options = CreateContainerOptionsBuilder::new().name(name.as_str()).build();
        let create = self.docker.create_container(Some(options), create::body(spec, labels));
        self.call("POST /containers/create", create).await?;
        let furnished = self.furnish(name, spec, contents).await;
        if furnished.is_err() {
            // Half a container is worse than none, and it never ran. Where even this fails, the next look finds it.
            let remove = Action::RemoveContainer { name: name.clone() };
            let _ = Box::pin(self.carry_out(&remove, contents, &|_, _| {})).await;
        }
        furnished
    }

    async fn furnish(
        &self,
        name: &ContainerName,
        spec: &ContainerSpec,
        contents: &Contents,
    ) -> Result<(), EngineError> {
        for (network, attachment) in create::later_networks(spec) {
            let attachment = attachment.clone();
            let connect = Action::Connect { name: name.clone(), network, attachment };
            Box::pin(self.carry_out(&connect, contents, &|_, _| {})).await?;
        }
        self.put_files(name, &spec.files, contents).await
    }

    async fn create_network(
        &self,
        name: &str,
        spec: &NetworkSpec,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), EngineError> {
        let mut options = spec.options.clone();
        options.extend(spec.parent.iter().map(|parent| ("parent".to_owned(), parent.clone())));
        let addressed = spec.subnet.is_some() || spec.gateway.is_some() || spec.ip_range.is_some();
        let ipam = addressed.then(|| Ipam {
            config: Some(vec![IpamConfig {
                subnet: spec.subnet.map(|s| s.to_string()),
                gateway: spec.gateway.map(|g| g.to_string()),
                ip_range: spec.ip_range.map(|r| r.to_string()),
                auxiliary_addresses: None,
            }]),
            ..Ipam::default()
        });
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some(spec.driver.name().to_owned()),
            internal: Some(spec.internal),
            attachable: Some(spec.attachable),
            ipam,
            options: Some(options.into_iter().collect()),
            labels: Some(spec.labels.iter().chain(labels).map(|(k, v)| (k.clone(), v.clone())).collect()),
            ..NetworkCreateRequest::default()
        };
        self.call("POST /networks/create", self.docker.create_network(request)).await.map(|_| ())
    }

    /// The last name takes the image with it; never by force, so that a container's image stays.
    async fn remove_image(&self, names: &BTreeSet<String>) -> Result<(), EngineError> {
        for name in names {
            let remove = self.docker.remove_image(name, None::<RemoveImageOptions>, None);
            done_if_gone(self.call(&format!("DELETE /images/{name}"), remove).await.map(|_| ()))?;
        }
        Ok(())
    }
}

fn done_if_gone(result: Result<(), EngineError>) -> Result<(), EngineError> {
    error::or_none(result).map(|_| ())
}

fn seconds(span: TimeSpan) -> i32 {
    i32::try_from(span.duration().as_secs()).unwrap_or(i32::MAX)
}

/// What `docker update` takes at once. A zero means "unchanged" to the engine, so only values that are set are sent;
/// taking a limit away is a replacement (diff knows).
fn update_body(limits: &LiveLimits) -> ContainerUpdateBody {
    ContainerUpdateBody {
        nano_cpus: limits.cpus.and_then(|c| i64::try_from(c.0).ok()),
        memory: limits.memory.map(create::bytes),
        // Docker refuses a memory limit above the swap limit it chose itself at creation: twice the memory.
        memory_swap: limits.memory.map(|m| create::bytes(m).saturating_mul(2)),
        memory_reservation: limits.memory_reservation.map(create::bytes),
        pids_limit: limits.pids.map(i64::from),
        restart_policy: Some(create::restart(limits.restart)),
        ..ContainerUpdateBody::default()
    }
}
