//! One simulated engine: Docker's answers and refusals, without Docker.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::disk::{ImageStore, StoredImage};
use crate::model::image::{Digest, ImageRef};
use crate::model::names::{ContainerName, HostName, VolumeName};
use crate::model::observed::{
    Container, Engine as Snapshot, EngineInfo, Image, LiveAttachment, LiveNetwork, LiveVolume, Seen,
};
use crate::model::plan::Action;
use crate::model::secrecy::HashKey;
use crate::model::swarm::{LiveConfig, LiveService, Membership, Node, Swarm, Task};
use crate::model::units::ByteSize;
use crate::ports::{Contents, Engine, EngineError, EngineErrorKind, Heard, Parts};

use super::memory::moment;
use super::{Fault, SimWorld, State, World, live};

/// A cut that falls now, on which side of the effect, and whether trueup dies of it.
#[derive(Clone, Copy)]
struct Blow {
    kills: bool,
    after_effect: bool,
}

pub(super) struct SimEngine {
    pub(super) world: SimWorld,
    pub(super) host: HostName,
    pub(super) key: HashKey,
}

/// A look at a whole host, counted while it is under way, however it ends.
struct Look<'a>(&'a SimWorld);

impl<'a> Look<'a> {
    fn begin(world: &'a SimWorld) -> Self {
        let (now, most) = &mut world.lock().looks;
        *now += 1;
        *most = (*most).max(*now);
        Self(world)
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.0.lock().looks.0 -= 1;
    }
}

/// Of one call, as the real port has it (D6).
const DEADLINE: Duration = Duration::from_secs(20);
const WITHOUT_DEADLINE: [&str; 5] = ["GET /containers/json", "GET /swarm", "GET /system/df", "watch", "logs"];

impl SimEngine {
    pub(super) fn error(&self, kind: EngineErrorKind, call: &str, detail: impl Into<String>) -> EngineError {
        EngineError { host: self.host.clone(), call: call.to_owned(), kind, detail: detail.into() }
    }

    /// Latency and faults; then the call happens.
    async fn enter(&self, call: &str) -> Result<(), EngineError> {
        let (fault, latency, dice) = {
            let mut world = self.world.lock();
            let dice = world.random.u8(0..100);
            if let Some(state) = world.hosts.get_mut(&self.host)
                && state.back_at.is_some_and(|back| tokio::time::Instant::now() >= back)
            {
                (state.fault, state.back_at) = (None, None);
            }
            let host = world.hosts.get(&self.host);
            let own = host.map(|state| state.latency).unwrap_or_default();
            (host.and_then(|state| state.fault), world.latency + own, dice)
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        match fault {
            Some(Fault::Down) => Err(self.error(EngineErrorKind::Unreachable, call, "connection refused")),
            // Whoever reads much at once, or listens, has a deadline of their own.
            Some(Fault::Hung) if WITHOUT_DEADLINE.contains(&call) => std::future::pending().await,
            Some(Fault::Hung) => {
                tokio::time::sleep(DEADLINE).await;
                let detail = format!("no answer within {} s", DEADLINE.as_secs());
                Err(self.error(EngineErrorKind::Deadline, call, detail))
            }
            Some(Fault::Flaky(percent)) if dice < percent => {
                Err(self.error(EngineErrorKind::Engine, call, "the simulated engine failed"))
            }
            Some(Fault::Flaky(_) | Fault::Cut { .. } | Fault::Kill { .. }) | None => Ok(()),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&State, &World) -> T) -> T {
        let world = self.world.lock();
        let empty = State::default();
        let state = world.hosts.get(&self.host).unwrap_or(&empty);
        look(state, &world)
    }

    /// Whether the cut falls on this mutation.
    fn cut(&self) -> Option<Blow> {
        let mut world = self.world.lock();
        let state = world.hosts.get_mut(&self.host)?;
        let (blow, after) = match state.fault {
            Some(Fault::Cut { mutations: 0 | 1, after_effect }) => {
                // A manager that is away already would do nothing.
                (Some(Blow { kills: false, after_effect }), (!after_effect).then_some(Fault::Down))
            }
            Some(Fault::Kill { mutations: 0 | 1, after_effect }) => {
                (Some(Blow { kills: true, after_effect }), None)
            }
            Some(Fault::Cut { mutations, after_effect }) => {
                (None, Some(Fault::Cut { mutations: mutations - 1, after_effect }))
            }
            Some(Fault::Kill { mutations, after_effect }) => {
                (None, Some(Fault::Kill { mutations: mutations - 1, after_effect }))
            }
            fault @ (Some(Fault::Down | Fault::Hung | Fault::Flaky(_)) | None) => (None, fault),
        };
        state.fault = after;
        if blow.is_some_and(|blow| !blow.kills) {
            state.back_at = state.away_for.take().map(|span| tokio::time::Instant::now() + span);
        }
        blow
    }

    /// A mutation that trueup did not ask for.
    pub(super) fn by_hand(&self, action: &Action) -> Result<(), EngineError> {
        self.mutate(action, &Contents::new())?;
        if let Some(state) = self.world.lock().hosts.get_mut(&self.host) {
            state.journal.pop();
        }
        Ok(())
    }

    fn mutate(&self, action: &Action, contents: &Contents) -> Result<(), EngineError> {
        if let Some(result) = self.on_swarm(action, contents) {
            return result;
        }
        let mut guard = self.world.lock();
        let world = &mut *guard;
        world.made += 1;
        let (now, made) = (moment(world.began), world.made);
        let (everywhere, behaviour) = (world.images.clone(), world.behaviour.clone());
        let elsewhere = world.overlays();
        let state = world.hosts.entry(self.host.clone()).or_default();
        let call = call_of(action);
        let fail = |kind, detail: String| {
            Err(EngineError { host: self.host.clone(), call: call.clone(), kind, detail })
        };
        let missing =
            |name: &ContainerName| fail(EngineErrorKind::NotFound, format!("no such container: {name}"));
        match action {
            Action::PullImage { image } => {
                let Some(found) = everywhere.values().find(|known| live::matches(known, image)) else {
                    return fail(EngineErrorKind::Registry, format!("manifest for {image} not found"));
                };
                state.images.insert(found.id.clone(), found.clone());
            }
            Action::RemoveImage { image, .. } => {
                if state.containers.values().any(|container| container.image == *image) {
                    return fail(EngineErrorKind::Conflict, format!("a container uses {image}"));
                }
                state.images.remove(image);
            }
            Action::CreateVolume { name, spec, labels } => {
                let volume = LiveVolume { name: name.clone(), spec: spec.clone(), labels: labels.clone() };
                state.volumes.entry(name.clone()).or_insert(volume);
            }
            Action::CreateNetwork { name, spec, labels } => {
                let mut all = spec.labels.clone();
                all.extend(labels.clone());
                let network = LiveNetwork {
                    id: format!("net-{made}"),
                    name: name.clone(),
                    driver: spec.driver.name().to_owned(),
                    spec: Some(spec.clone()),
                    labels: all,
                    attached: BTreeSet::new(),
                };
                state.networks.insert(name.clone(), network);
            }
            Action::RemoveNetwork { name } => {
                let phantoms = state.phantoms.get(name).is_some_and(|endpoints| !endpoints.is_empty());
                let in_use = |network| attached(state, network).any(|container| container.state.is_up());
                if phantoms || state.networks.get(name).is_some_and(in_use) {
                    return fail(EngineErrorKind::Refused, format!("network {name} has active endpoints"));
                }
                state.networks.remove(name);
            }
            Action::CreateContainer { name, spec, labels } => {
                if state.containers.contains_key(name) {
                    return fail(EngineErrorKind::Conflict, format!("the name {name} is in use"));
                }
                let known = everywhere.values().chain(state.images.values());
                let Some(image) = known.into_iter().find(|image| live::matches(image, &spec.image)).cloned()
                else {
                    return fail(EngineErrorKind::NotFound, format!("no such image: {}", spec.image));
                };
                if let Some(file) = spec.files.values().find(|file| !contents.contains_key(&file.hash)) {
                    return fail(EngineErrorKind::Refused, format!("no content for {}", file.source));
                }
                let mut container = live::create(name, spec, labels, &image, &self.key, made);
                container.created = now;
                state.containers.insert(name.clone(), container);
            }
            Action::StartContainer { name } => {
                let (taken, networks) = (held_addresses(state, name), networks(state, elsewhere));
                let clash = port_clash(state, name);
                let Some(container) = state.containers.get_mut(name) else { return missing(name) };
                if let Some(port) = clash {
                    return fail(EngineErrorKind::Engine, format!("port {port} is already allocated"));
                }
                let behaviour = behaviour.get(&container.image);
                if let Err(detail) = live::start(container, &networks, &taken, now, behaviour) {
                    return fail(EngineErrorKind::Refused, detail);
                }
            }
            Action::StopContainer { name, .. } => {
                let Some(container) = state.containers.get_mut(name) else { return Ok(()) };
                if container.state.is_running() {
                    live::stop(container, now, 0);
                }
            }
            Action::RestartContainer { name, .. } => {
                let (taken, networks) = (held_addresses(state, name), networks(state, elsewhere));
                let Some(container) = state.containers.get_mut(name) else { return missing(name) };
                let behaviour = behaviour.get(&container.image);
                if let Err(detail) = live::start(container, &networks, &taken, now, behaviour) {
                    return fail(EngineErrorKind::Refused, detail);
                }
            }
            Action::RemoveContainer { name } => {
                if state.containers.get(name).is_some_and(|c| c.state.is_running()) {
                    return fail(EngineErrorKind::Conflict, format!("container {name} is running"));
                }
                state.containers.remove(name);
            }
            Action::RenameContainer { name, to } => {
                if state.containers.contains_key(to) {
                    return fail(EngineErrorKind::Conflict, format!("the name {to} is in use"));
                }
                let Some(mut container) = state.containers.remove(name) else { return missing(name) };
                container.name = to.clone();
                state.containers.insert(to.clone(), container);
            }
            Action::UpdateContainer { name, limits } => {
                let Some(container) = state.containers.get_mut(name) else { return missing(name) };
                let live = &mut container.live;
                live.cpus = limits.cpus.unwrap_or(live.cpus);
                live.memory = limits.memory.unwrap_or(live.memory);
                live.memory_reservation = limits.memory_reservation.unwrap_or(live.memory_reservation);
                live.pids = limits.pids.unwrap_or(live.pids);
                live.restart = limits.restart;
            }
            Action::Connect { name, network, attachment } => {
                let Some(container) = state.containers.get_mut(name) else { return missing(name) };
                if container.state.is_running() && container.live.networks.contains_key(network) {
                    let detail = format!("endpoint with name {name} already exists in network {network}");
                    return fail(EngineErrorKind::Refused, detail);
                }
                let running = container.state.is_running();
                let id = state.networks.get(network).map(|network| network.id.clone());
                let attached = LiveAttachment {
                    requested: attachment.address,
                    address: attachment.address.filter(|_| running),
                    aliases: attachment.aliases.clone(),
                    network: id.filter(|_| running),
                };
                container.live.networks.insert(network.clone(), attached);
            }
            Action::Disconnect { name, network } => {
                if let Some(container) = state.containers.get_mut(name) {
                    container.live.networks.remove(network);
                }
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
            | Action::InstallFiles { .. } => {
                return fail(EngineErrorKind::Refused, "this is not an engine's to do".to_owned());
            }
        }
        state.journal.push(action.describe());
        state.events.send_replace(());
        Ok(())
    }
}

/// The call that a real engine would get, for errors.
pub(super) fn call_of(action: &Action) -> String {
    match action {
        Action::PullImage { .. } => "POST /images/create".to_owned(),
        Action::RemoveImage { image, .. } => format!("DELETE /images/{image}"),
        Action::CreateVolume { .. } => "POST /volumes/create".to_owned(),
        Action::CreateNetwork { .. } => "POST /networks/create".to_owned(),
        Action::RemoveNetwork { name } => format!("DELETE /networks/{name}"),
        Action::CreateContainer { .. } => "POST /containers/create".to_owned(),
        Action::StartContainer { name } => format!("POST /containers/{name}/start"),
        Action::StopContainer { name, .. } => format!("POST /containers/{name}/stop"),
        Action::RestartContainer { name, .. } => format!("POST /containers/{name}/restart"),
        Action::RemoveContainer { name } => format!("DELETE /containers/{name}"),
        Action::RenameContainer { name, .. } => format!("POST /containers/{name}/rename"),
        Action::UpdateContainer { name, .. } => format!("POST /containers/{name}/update"),
        Action::Connect { network, .. } => format!("POST /networks/{network}/connect"),
        Action::Disconnect { network, .. } => format!("POST /networks/{network}/disconnect"),
        Action::CreateService { .. } => "POST /services/create".to_owned(),
        Action::UpdateService { name, .. } => format!("POST /services/{name}/update"),
        Action::RemoveService { id, .. } => format!("DELETE /services/{id}"),
        Action::CreateConfig { .. } => "POST /configs/create".to_owned(),
        Action::RemoveConfig { id, .. } => format!("DELETE /configs/{id}"),
        Action::UpdateNode { node, .. } => format!("POST /nodes/{node}/update"),
        Action::WaitHealthy { .. }
        | Action::WaitService { .. }
        | Action::Drain { .. }
        | Action::Undrain { .. }
        | Action::InstallFiles { .. } => action.describe(),
    }
}

/// What every simulated image takes on its disk.
const IMAGE_SIZE: ByteSize = ByteSize(1 << 30);
/// What an engine says of a container that it cannot inspect.
const UNREADABLE: &str = "the simulated engine cannot inspect it";

impl SimEngine {
    /// A container as a survey shows it (A1).
    fn inspected(&self, state: &State, container: &Container) -> Seen<Container> {
        if state.unreadable.contains(&container.name) {
            return Seen::unknown(format!(
                "{}: GET /containers/{}/json: {UNREADABLE}",
                self.host, container.name
            ));
        }
        Seen::Known(container.clone())
    }
}

fn held_addresses(state: &State, but: &ContainerName) -> Vec<(String, IpAddr)> {
    let others = state.containers.values().filter(|c| c.name != *but && c.state.is_running());
    others.flat_map(|c| c.live.networks.iter().filter_map(|(n, a)| Some((n.clone(), a.address?)))).collect()
}

fn port_clash(state: &State, name: &ContainerName) -> Option<u16> {
    let own = &state.containers.get(name)?.live.ports;
    let others = state.containers.values().filter(|c| c.name != *name && c.state.is_running());
    let taken: BTreeSet<u16> = others.flat_map(|c| c.live.ports.iter().filter_map(|p| p.host)).collect();
    own.iter().filter_map(|port| port.host).find(|port| taken.contains(port))
}

fn networks(state: &State, elsewhere: BTreeSet<String>) -> live::Networks {
    let ids = state.networks.iter().map(|(name, network)| (name.clone(), network.id.clone()));
    live::Networks { ids: ids.collect(), elsewhere }
}

/// Who is on this very network, or on one of its name when it is first started.
fn attached<'s>(state: &'s State, network: &'s LiveNetwork) -> impl Iterator<Item = &'s Container> {
    state.containers.values().filter(|container| {
        let attachment = container.live.networks.get(&network.name);
        attachment.is_some_and(|there| there.network.as_ref().is_none_or(|id| *id == network.id))
    })
}

fn with_attached(state: &State, network: &LiveNetwork) -> LiveNetwork {
    let attached = attached(state, network).map(|container| container.name.to_string()).collect();
    LiveNetwork { attached, ..network.clone() }
}

#[async_trait]
impl Engine for SimEngine {
    async fn survey(&self, _: &BTreeSet<ImageRef>) -> Result<Snapshot, EngineError> {
        let _look = Look::begin(&self.world);
        self.enter("GET /containers/json").await?;
        if let Some(state) = self.world.lock().hosts.get_mut(&self.host)
            && let Some(meddler) = state.meddler.clone()
        {
            meddler(&mut state.containers);
        }
        let mut snapshot = self.read(|state, world| Snapshot {
            info: info(&self.host),
            containers: state.containers.iter().map(|(n, c)| (n.clone(), self.inspected(state, c))).collect(),
            images: state
                .images
                .values()
                .chain(world.images.values())
                .map(|i| (i.id.clone(), i.clone()))
                .collect(),
            networks: known(
                &state
                    .networks
                    .iter()
                    .map(|(n, network)| (n.clone(), with_attached(state, network)))
                    .collect(),
            ),
            volumes: known(&state.volumes),
            volumes_hidden: None,
        });
        self.as_member(&mut snapshot);
        Ok(snapshot)
    }

    async fn container(&self, name: &ContainerName) -> Result<Option<Container>, EngineError> {
        let call = format!("GET /containers/{name}/json");
        self.enter(&call).await?;
        if self.read(|state, _| state.unreadable.contains(name)) {
            return Err(self.error(EngineErrorKind::Engine, &call, UNREADABLE));
        }
        Ok(self.read(|state, _| state.containers.get(name).cloned()))
    }

    async fn image_store(&self) -> Result<ImageStore, EngineError> {
        self.enter("GET /system/df").await?;
        Ok(self.read(|state, _| {
            let names = |image: &Image| {
                image.tags.iter().chain(&image.digests).map(|name| name.pull_name()).collect()
            };
            let stored = |image: &Image| {
                let none = ByteSize(0);
                (image.id.clone(), StoredImage { names: names(image), size: IMAGE_SIZE, shared: none })
            };
            let images: BTreeMap<_, _> = state.images.values().map(stored).collect();
            ImageStore { layers: ByteSize(IMAGE_SIZE.0 * images.len() as u64), images }
        }))
    }

    async fn swarm(&self) -> Result<Swarm, EngineError> {
        self.enter("GET /swarm").await?;
        self.as_manager("GET /swarm", |swarm| swarm.told(&self.host))
    }

    async fn answers_for(&self, cluster: &str) -> Result<(), EngineError> {
        let call = "GET /swarm";
        self.enter(call).await?;
        let id = self.as_manager(call, |swarm| swarm.id().to_owned())?;
        match id == cluster {
            true => Ok(()),
            false => Err(self.error(EngineErrorKind::Refused, call, format!("it manages the Swarm {id}"))),
        }
    }

    async fn service(&self, name: &str) -> Result<Option<(LiveService, Vec<Task>)>, EngineError> {
        let call = format!("GET /services/{name}");
        self.enter(&call).await?;
        self.as_manager(&call, |swarm| swarm.service(name))
    }

    async fn config(&self, name: &str) -> Result<Option<LiveConfig>, EngineError> {
        let call = format!("GET /configs/{name}");
        self.enter(&call).await?;
        self.as_manager(&call, |swarm| swarm.config(name))
    }

    async fn node(&self, id: &str) -> Result<Option<Node>, EngineError> {
        let call = format!("GET /nodes/{id}");
        self.enter(&call).await?;
        self.as_manager(&call, |swarm| swarm.node(id))
    }

    async fn network(&self, name: &str) -> Result<Option<LiveNetwork>, EngineError> {
        self.enter(&format!("GET /networks/{name}")).await?;
        let local = self.read(|state, _| {
            let mut network = with_attached(state, state.networks.get(name)?);
            network.attached.extend(state.phantoms.get(name).into_iter().flatten().cloned());
            Some(network)
        });
        Ok(local.or_else(|| self.overlay(name)))
    }

    async fn volume(&self, name: &VolumeName) -> Result<Option<LiveVolume>, EngineError> {
        self.enter(&format!("GET /volumes/{name}")).await?;
        Ok(self.read(|state, _| state.volumes.get(name).cloned()))
    }

    async fn image(&self, image: &ImageRef) -> Result<Option<Image>, EngineError> {
        self.enter(&format!("GET /images/{image}/json")).await?;
        Ok(self.read(|state, world| {
            state.images.values().chain(world.images.values()).find(|i| live::matches(i, image)).cloned()
        }))
    }

    async fn resolve(&self, image: &ImageRef) -> Result<Digest, EngineError> {
        let call = format!("GET /distribution/{image}/json");
        self.enter(&call).await?;
        self.world.lock().resolved.insert(image.clone());
        self.read(|_, world| world.images.get(image).map(|i| i.id.clone())).ok_or_else(|| {
            self.error(EngineErrorKind::Registry, &call, format!("manifest for {image} not found"))
        })
    }

    async fn perform(&self, action: &Action, contents: &Contents, _: &Parts<'_>) -> Result<(), EngineError> {
        self.enter(&call_of(action)).await?;
        let broken = || self.error(EngineErrorKind::Unreachable, &call_of(action), "the connection broke");
        match self.cut() {
            None => self.mutate(action, contents),
            Some(Blow { kills, after_effect }) => {
                if after_effect {
                    let done = self.mutate(action, contents);
                    if let Some(state) = self.world.lock().hosts.get_mut(&self.host).filter(|_| !kills) {
                        state.fault = Some(Fault::Down);
                    }
                    done?;
                }
                if kills {
                    self.world.killed.notify_one();
                    std::future::pending::<()>().await;
                }
                Err(broken())
            }
        }
    }

    async fn watch(&self, heard: &(dyn Fn(Heard) + Send + Sync)) -> Result<(), EngineError> {
        self.enter("watch").await?;
        let mut events = self.world.lock().hosts.entry(self.host.clone()).or_default().events.subscribe();
        heard(Heard::Opened);
        while events.changed().await.is_ok() {
            match self.read(|state, _| state.fault) {
                Some(Fault::Down) => {
                    return Err(self.error(EngineErrorKind::Unreachable, "watch", "it is gone"));
                }
                // Nobody closes the connection, and nothing comes by it any more.
                Some(Fault::Hung) => std::future::pending::<()>().await,
                Some(Fault::Flaky(_) | Fault::Cut { .. } | Fault::Kill { .. }) | None => {
                    heard(Heard::Changed)
                }
            }
        }
        std::future::pending().await
    }

    async fn logs(
        &self,
        name: &ContainerName,
        _: u32,
        _: bool,
        line: &(dyn for<'l> Fn(&'l str) + Send + Sync),
    ) -> Result<(), EngineError> {
        self.enter("logs").await?;
        line(&format!("{name} is simulated and says nothing"));
        Ok(())
    }
}

fn known<K: Ord + Clone, V: Clone>(map: &BTreeMap<K, V>) -> BTreeMap<K, Seen<V>> {
    map.iter().map(|(key, value)| (key.clone(), Seen::Known(value.clone()))).collect()
}

fn info(host: &HostName) -> EngineInfo {
    EngineInfo {
        id: format!("sim-{host}"),
        name: host.to_string(),
        version: "simulated".to_owned(),
        api_version: "1.41".to_owned(),
        os: "simulated".to_owned(),
        architecture: "x86_64".to_owned(),
        cpus: 8,
        memory: ByteSize(32 << 30),
        log_driver: "json-file".to_owned(),
        swarm: None,
        membership: Some(Membership {
            node: String::new(),
            state: "inactive".to_owned(),
            controls: false,
            error: String::new(),
        }),
        clock: None,
    }
}
