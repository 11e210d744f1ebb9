//! One engine: reading everything trueup models, and the calls that look at single objects.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::{InspectNetworkOptions, ListVolumesOptions, LogsOptionsBuilder};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::Semaphore;

use crate::model::disk::ImageStore;
use crate::model::image::{Digest, ImageRef};
use crate::model::names::{ContainerName, HostName, VolumeName};
use crate::model::observed::{
    Container, Engine as Snapshot, EngineInfo, Image, LiveNetwork, LiveVolume, Seen,
};
use crate::model::ownership;
use crate::model::plan::Action;
use crate::model::secrecy::HashKey;
use crate::model::swarm::{LiveConfig, LiveService, Membership, Node, Swarm, Task};
use crate::model::units::ByteSize;
use crate::ports::{Contents, Engine, EngineError, Heard, Parts};

use super::listed::Attached;
use super::recall::Recall;
use super::told::Listed;
use super::transport::Raw;
use super::{beyond, error, filters, json, listed, live, within};

/// Inspects in flight at once in one look at an engine. An answer takes the engine a fraction of a millisecond, and a connection
/// costs both sides a third of that: more at once bring nothing. Of one look alone: what hangs in it keeps nobody else from
/// asking (D6).
const AT_ONCE: usize = 6;

/// A connection to one engine.
pub(super) struct DockerEngine {
    pub(super) host: HostName,
    pub(super) docker: Docker,
    pub(super) raw: Raw,
    pub(super) key: HashKey,
    pub(super) deadline: Duration,
    pub(super) pull_deadline: Duration,
    pub(super) docker_config: Option<PathBuf>,
    pub(super) recall: Option<Arc<Recall>>,
}

impl DockerEngine {
    pub(super) fn call<T>(
        &self,
        call: &str,
        future: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> impl Future<Output = Result<T, EngineError>> {
        within(&self.host, call, self.deadline, future)
    }

    pub(super) fn garbage(&self, call: &str, detail: impl AsRef<str>) -> EngineError {
        error::garbage(&self.host, call, detail.as_ref())
    }

    /// And the cgroup namespace that it gives containers which ask for none.
    async fn info(&self) -> Result<(EngineInfo, &'static str), EngineError> {
        let info = self.call("GET /info", self.docker.info()).await?;
        // Known by the answer before.
        let version = self.call("GET /_ping", self.raw.newest()).await?;
        // Every field may be absent for the parser; an engine without an id is none.
        let id = info.id.filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| self.garbage("GET /info", "the answer names no engine"))?;
        let membership = info.swarm.clone().map(|swarm| Membership {
            node: swarm.node_id.unwrap_or_default(),
            state: swarm.local_node_state.map(|state| state.to_string()).unwrap_or_default(),
            controls: swarm.control_available.unwrap_or_default(),
            error: swarm.error.unwrap_or_default(),
        });
        let swarm = info.swarm.and_then(|s| s.cluster).and_then(|c| c.id).filter(|id| !id.is_empty());
        let private = info.security_options.iter().flatten().any(|option| option == "name=cgroupns");
        let told = EngineInfo {
            id,
            name: info.name.unwrap_or_default(),
            version: info.server_version.unwrap_or_default(),
            api_version: version,
            os: info.operating_system.unwrap_or_default(),
            architecture: info.architecture.unwrap_or_default(),
            cpus: u32::try_from(info.ncpu.unwrap_or_default()).unwrap_or_default(),
            memory: ByteSize(u64::try_from(info.mem_total.unwrap_or_default()).unwrap_or_default()),
            log_driver: info.logging_driver.unwrap_or_default(),
            swarm,
            membership,
            clock: info.system_time.as_deref().map(live::moment),
        };
        Ok((told, if private { "private" } else { "host" }))
    }

    /// The answer to `GET /containers/json`, stopped ones included; `more` goes on with its query.
    async fn listing(&self, more: &str) -> Result<Bytes, EngineError> {
        let path = format!("containers/json?all=true{more}");
        self.call("GET /containers/json", self.raw.get(&path)).await
    }

    fn list<'b>(&self, listing: &'b [u8]) -> Result<Vec<Listed<'b>>, EngineError> {
        json(listing).map_err(|detail| self.garbage("GET /containers/json", detail))
    }

    /// Those that are listed, each looked at.
    async fn containers(
        &self,
        list: &[Listed<'_>],
        at_once: &Semaphore,
    ) -> Result<BTreeMap<ContainerName, Seen<Container>>, EngineError> {
        let call = "GET /containers/json";
        let mut looks: VecDeque<(String, ContainerName)> = VecDeque::new();
        let mut told = Vec::new();
        for listed in list {
            let id = listed.id.as_deref().ok_or_else(|| self.garbage(call, "a container has no id"))?;
            match (listed::name(listed).map(str::parse), id.parse::<ContainerName>()) {
                (Some(Ok(name)), _) => match listed::task(listed, &name) {
                    Some(task) => told.push((name, Seen::Known(task))),
                    // What takes long to read is begun first: an engine reads a file for tens of milliseconds.
                    None if listed::has_files(listed) => looks.push_front((id.to_owned(), name)),
                    None => looks.push_back((id.to_owned(), name)),
                },
                // It is there, and its image is in use, all the same (A1).
                (_, Ok(id)) => {
                    let why = "its name is none that trueup can say: rename it (`docker rename`)";
                    told.push((id, Seen::unknown(why)));
                }
                (_, Err(_)) => return Err(self.garbage(call, "a container has neither a name nor an id")),
            }
        }
        let seen: Vec<Option<(ContainerName, Seen<Container>)>> =
            // Boxed: a look takes room for an answer and what is made of it, which would be moved about otherwise.
            stream::iter(looks.into_iter().map(|(id, name)| Box::pin(async move {
                let _turn = at_once.acquire().await;
                // By its id: what got another name since the list is there all the same (C8).
                match self.look_at(Some(&id), &name).await {
                    Ok(Some(container)) => Some((container.name.clone(), Seen::Known(container))),
                    // Gone between list and inspect.
                    Ok(None) => None,
                    Err(error) => Some((name, Seen::unknown(error.to_string()))),
                }
            })))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        Ok(listed::by_name(seen.into_iter().flatten().chain(told)))
    }

    /// The list tells all of them but who is attached, and the list of containers tells that.
    async fn networks(&self) -> Result<Vec<(String, Seen<LiveNetwork>)>, EngineError> {
        let call = "GET /networks";
        let body = self.call(call, self.raw.get("networks")).await?;
        listed::networks(&body).map_err(|detail| self.garbage(call, detail))
    }

    /// A volume driver that is down hides its volumes from the list, or holds the whole list up: then what is not in
    /// it may be there all the same.
    async fn volumes(&self) -> (BTreeMap<VolumeName, Seen<LiveVolume>>, Option<String>) {
        let list = self.call("GET /volumes", self.docker.list_volumes(None::<ListVolumesOptions>)).await;
        let list = match list {
            Ok(list) => list,
            Err(error) => return (BTreeMap::new(), Some(error.to_string())),
        };
        let warnings = list.warnings.unwrap_or_default();
        let hidden = (!warnings.is_empty()).then(|| format!("GET /volumes warns: {}", warnings.join("; ")));
        let volumes = list
            .volumes
            .unwrap_or_default()
            .into_iter()
            .filter_map(live::volume)
            .map(|volume| (volume.name.clone(), Seen::Known(volume)))
            .collect();
        (volumes, hidden)
    }

    async fn images(
        &self,
        references: BTreeSet<String>,
        at_once: &Semaphore,
    ) -> Result<BTreeMap<Digest, Image>, EngineError> {
        let found: Vec<Result<Option<Image>, EngineError>> =
            stream::iter(references.into_iter().map(|reference| async move {
                let _turn = at_once.acquire().await;
                self.inspect_image(&reference).await
            }))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut images = BTreeMap::new();
        for image in found {
            if let Some(image) = image? {
                images.insert(image.id.clone(), image);
            }
        }
        Ok(images)
    }

    /// The images in use, and the named ones that are none of them.
    async fn named_and_used(
        &self,
        named: &BTreeSet<ImageRef>,
        used: BTreeSet<String>,
        at_once: &Semaphore,
    ) -> Result<BTreeMap<Digest, Image>, EngineError> {
        let mut images = self.images(used, at_once).await?;
        let others = named.iter().filter(|name| !images.values().any(|image| image.is_called(name)));
        let others = others.map(ImageRef::pull_name).collect();
        images.extend(self.images(others, at_once).await?);
        Ok(images)
    }

    async fn inspect_image(&self, reference: &str) -> Result<Option<Image>, EngineError> {
        let call = format!("GET /images/{reference}/json");
        match error::or_none(self.call(&call, self.docker.inspect_image(reference)).await)? {
            Some(inspect) => live::image(inspect, &self.key)
                .map(Some)
                .ok_or_else(|| self.garbage(&call, "the image has no id")),
            None => Ok(None),
        }
    }
}

impl DockerEngine {
    async fn whole(&self, images: &BTreeSet<ImageRef>) -> Result<Snapshot, EngineError> {
        let at_once = Semaphore::new(AT_ONCE);
        let listed = async {
            let listing = self.listing("").await?;
            let list = self.list(&listing)?;
            let references: BTreeSet<String> = listed::images(&list).map(|id| id.to_string()).collect();
            let (containers, mut images) = tokio::try_join!(
                self.containers(&list, &at_once),
                self.named_and_used(images, references.clone(), &at_once)
            )?;
            // Of what the list told no image, the look at it did.
            let looked = containers.values().filter_map(Seen::known).map(|c| c.image.to_string());
            let looked = looked.filter(|image| !references.contains(image)).collect();
            images.extend(self.images(looked, &at_once).await?);
            if let Some(recall) = &self.recall {
                recall.settle(&self.host, &list.iter().filter_map(|c| c.id.as_deref()).collect());
            }
            Ok((containers, images, Attached::of(&list)))
        };
        // The list is asked for first: most of the look waits for it.
        let (listed, info, networks, volumes) =
            tokio::join!(listed, self.info(), self.networks(), self.volumes());
        let ((info, cgroup_namespace), (mut containers, images, attached)) = (info?, listed?);
        for seen in containers.values_mut() {
            if let Seen::Known(container) = seen {
                container.beyond.remove(&beyond::cgroup_namespace(cgroup_namespace));
            }
        }
        let (volumes, volumes_hidden) = volumes;
        let mut known = BTreeMap::new();
        for (name, mut seen) in networks? {
            if let Seen::Known(network) = &mut seen {
                network.attached = attached.to(network);
            }
            let id = |seen: &Seen<LiveNetwork>| seen.known().map_or("another", |known| &known.id).to_owned();
            let twice = |other: &Seen<LiveNetwork>| {
                Seen::unknown(format!("two networks have this name: {} and {}", id(other), id(&seen)))
            };
            let twice = known.get(&name).map(twice);
            known.insert(name, twice.unwrap_or(seen));
        }
        let networks = known;
        Ok(Snapshot { info, containers, images, networks, volumes, volumes_hidden })
    }

    /// The container with this id, whatever it is called by now, as part of a look at everything; without one, that of this
    /// name.
    async fn look_at(
        &self,
        id: Option<&str>,
        name: &ContainerName,
    ) -> Result<Option<Container>, EngineError> {
        let path = format!("containers/{}/json", id.unwrap_or(name.as_str()));
        let call = format!("GET /{path}");
        let told = self.call(&call, self.raw.get(&path)).await;
        let Some(body) = error::or_none(told)? else { return Ok(None) };
        let inspect: live::Inspected<'_> = json(&body).map_err(|detail| self.garbage(&call, detail))?;
        // An id prefix matches too; only the name itself is meant. No name at all is no answer (A1).
        match (inspect.name.as_deref().map(|n| n.trim_start_matches('/')), id) {
            (None, _) => return Err(self.garbage(&call, "the container has no name")),
            (Some(_), Some(id)) if inspect.id.as_deref() != Some(id) => {
                return Err(self.garbage(&call, "the answer is about another container"));
            }
            (Some(other), None) if other != name.as_str() => return Ok(None),
            (Some(_), _) => {}
        }
        let mut container =
            live::container(inspect, &self.key).map_err(|detail| self.garbage(&call, detail))?;
        let name = &container.name.clone();
        for path in ownership::files_put_in(&container.labels.clone()) {
            // Boxed: few have files, and room for reading one would be moved about with every inspection.
            let file = match id {
                Some(id) => Box::pin(self.file_or_recalled(id, path)).await,
                None => Box::pin(self.file(name.as_str(), path)).await,
            };
            container.live.files.insert(path.to_owned(), seen(file));
        }
        Ok(Some(container))
    }
}

#[async_trait]
impl Engine for DockerEngine {
    async fn survey(&self, images: &BTreeSet<ImageRef>) -> Result<Snapshot, EngineError> {
        self.whole(images).await
    }

    async fn container(&self, name: &ContainerName) -> Result<Option<Container>, EngineError> {
        self.look_at(None, name).await
    }

    async fn network(&self, name: &str) -> Result<Option<LiveNetwork>, EngineError> {
        let call = format!("GET /networks/{name}");
        let inspect = self.docker.inspect_network(name, None::<InspectNetworkOptions>);
        let Some(inspect) = error::or_none(self.call(&call, inspect).await)? else { return Ok(None) };
        if inspect.name.is_none() {
            return Err(self.garbage(&call, "the network has no name"));
        }
        let mut network = live::network(inspect);
        if network.name != name {
            return Ok(None);
        }
        // The network itself tells of none that is stopped. By its name alone, those that never ran are found.
        let either = filters("network", &[network.id.clone(), network.name.clone()]);
        let listing = self.listing(&format!("&{either}")).await?;
        network.attached.extend(Attached::of(&self.list(&listing)?).to(&network));
        Ok(Some(network))
    }

    async fn volume(&self, name: &VolumeName) -> Result<Option<LiveVolume>, EngineError> {
        let call = format!("GET /volumes/{name}");
        let found = error::or_none(self.call(&call, self.docker.inspect_volume(name.as_str())).await)?;
        Ok(found.and_then(live::volume))
    }

    async fn image(&self, image: &ImageRef) -> Result<Option<Image>, EngineError> {
        self.inspect_image(&image.pull_name()).await
    }

    async fn swarm(&self) -> Result<Swarm, EngineError> {
        self.whole_swarm().await
    }

    async fn answers_for(&self, cluster: &str) -> Result<(), EngineError> {
        self.manages(cluster).await
    }

    async fn service(&self, name: &str) -> Result<Option<(LiveService, Vec<Task>)>, EngineError> {
        self.one_service(name).await
    }

    async fn config(&self, name: &str) -> Result<Option<LiveConfig>, EngineError> {
        self.one_config(name).await
    }

    async fn node(&self, id: &str) -> Result<Option<Node>, EngineError> {
        self.one_node(id).await
    }

    async fn resolve(&self, image: &ImageRef) -> Result<Digest, EngineError> {
        let call = format!("GET /distribution/{image}/json");
        let credentials = self.credentials(image).await?;
        let told =
            self.call(&call, self.docker.inspect_registry_image(&image.pull_name(), credentials)).await;
        let told = told.map_err(|e| EngineError { kind: error::of_registry(e.kind), ..e })?;
        let digest = told.descriptor.digest.unwrap_or_default();
        digest.parse().map_err(|_| self.garbage(&call, format!("{digest:?} is not a digest")))
    }

    async fn image_store(&self) -> Result<ImageStore, EngineError> {
        self.disk().await
    }

    async fn perform(
        &self,
        action: &Action,
        contents: &Contents,
        parts: &Parts<'_>,
    ) -> Result<(), EngineError> {
        self.carry_out(action, contents, parts).await
    }

    async fn watch(&self, heard: &(dyn Fn(Heard) + Send + Sync)) -> Result<(), EngineError> {
        Err(self.listen(heard).await)
    }

    async fn logs(
        &self,
        name: &ContainerName,
        tail: u32,
        follow: bool,
        line: &(dyn for<'l> Fn(&'l str) + Send + Sync),
    ) -> Result<(), EngineError> {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .follow(follow)
            .tail(&tail.to_string())
            .build();
        let output = self.docker.logs(name.as_str(), Some(options));
        self.lines(name, output, line).await
    }
}

impl DockerEngine {
    /// Chunks cut lines anywhere; each stream is put together again by itself.
    async fn lines(
        &self,
        name: &ContainerName,
        output: impl Stream<Item = Result<LogOutput, bollard::errors::Error>>,
        line: &(dyn for<'l> Fn(&'l str) + Send + Sync),
    ) -> Result<(), EngineError> {
        let mut output = std::pin::pin!(output);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some(chunk) = output.next().await {
            let chunk =
                chunk.map_err(|e| error::of(&self.host, &format!("GET /containers/{name}/logs"), &e))?;
            let is_error = matches!(chunk, LogOutput::StdErr { .. });
            let buffer = if is_error { &mut err } else { &mut out };
            buffer.extend_from_slice(&chunk.into_bytes());
            while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
                let whole: Vec<u8> = buffer.drain(..=end).collect();
                line(String::from_utf8_lossy(&whole).trim_end_matches(['\n', '\r']));
            }
        }
        for rest in [out, err].iter().filter(|rest| !rest.is_empty()) {
            line(&String::from_utf8_lossy(rest));
        }
        Ok(())
    }
}

fn seen<T>(read: Result<T, EngineError>) -> Seen<T> {
    read.map_or_else(|error| Seen::unknown(error.to_string()), Seen::Known)
}
