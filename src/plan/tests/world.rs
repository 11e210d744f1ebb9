//! A pure world: what engines would hold after a plan was carried out, with Docker's rules where they matter here.
//!
//! It is strict where the real executor refuses: a precondition that does not hold fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::build::{NOW, key, name, owner};
use crate::model::container::{Attachment, ContainerSpec, EnvValue, Logging, Networks};
use crate::model::desired::Desired;
use crate::model::image::{Digest, ImageRef};
use crate::model::names::{ContainerName, HostName};
use crate::model::network::NetworkDriver;
use crate::model::observed::{
    Container, Engine, EngineInfo, Health, Image, LiveAttachment, LiveFile, LiveNetwork, LiveSpec,
    LiveVolume, Observed, RunState, Seen,
};
use crate::model::ownership::Belongs;
use crate::model::plan::{Action, Change, Expect, Plan, Step};
use crate::model::secrecy::ContentHash;
use crate::model::units::{ByteSize, Cpus, Timestamp};

/// What really is, hosts that do not answer included.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    pub observed: Observed,
    made: u64,
    /// Counts up with every start, so that restarts are seen.
    clock: i64,
}

impl World {
    /// Empty engines on all declared hosts.
    pub fn of(desired: &Desired) -> Self {
        let observed = Observed {
            at: NOW,
            key: key().id(),
            hosts: desired.hosts.keys().map(|h| (h.clone(), Seen::Known(empty(h)))).collect(),
            swarms: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        Self { observed, made: 0, clock: 1000 }
    }

    pub fn engine(&self, host: &HostName) -> &Engine {
        self.observed.engine(host).expect("the world knows all its hosts")
    }

    pub fn engine_mut(&mut self, host: &str) -> &mut Engine {
        match self.observed.hosts.get_mut(&name::<HostName>(host)) {
            Some(Seen::Known(engine)) => engine,
            Some(Seen::Unknown { .. }) | None => panic!("the world knows all its hosts"),
        }
    }

    /// Every container with its host.
    pub fn containers(&self) -> impl Iterator<Item = (&HostName, &Container)> {
        self.observed.hosts.iter().flat_map(|(host, seen)| {
            let engine = seen.known().expect("the world knows all its hosts");
            engine.containers.values().map(move |c| (host, c.known().expect("known")))
        })
    }

    pub fn container(&mut self, host: &str, container: &str) -> &mut Container {
        match self.engine_mut(host).containers.get_mut(&name::<ContainerName>(container)) {
            Some(Seen::Known(container)) => container,
            Some(Seen::Unknown { .. }) | None => panic!("no container {container} on {host}"),
        }
    }

    /// Names of containers on a host.
    pub fn names(&self, host: &str) -> Vec<String> {
        self.engine(&name(host)).containers.keys().map(ToString::to_string).collect()
    }

    /// A container that someone else made and runs, on `network` with `address` where given.
    pub fn foreign(&mut self, host: &str, container: &str, address: Option<IpAddr>) {
        let mut spec = ContainerSpec::of(name("other:1"));
        if address.is_some() {
            let attachment = Attachment { address, aliases: BTreeSet::new() };
            spec.networks = Networks::Named(BTreeMap::from([(name("market"), attachment)]));
        }
        self.pull(host, &spec.image);
        self.create(host, &name(container), &spec, BTreeMap::new());
        self.start(host, &name(container));
    }

    /// Carries the plan out, change by change, in its order.
    pub fn carry_out(&mut self, plan: &Plan) {
        for (number, change) in plan.changes.iter().enumerate() {
            assert!(change.after.iter().all(|n| *n < number), "{} waits for a later change", change.subject);
            for step in &change.steps {
                self.step(change, step);
            }
        }
    }

    /// Carries out the first `count` steps of one change, as if trueup was killed then.
    pub fn carry_out_partly(&mut self, change: &Change, count: usize) {
        for step in change.steps.iter().take(count) {
            self.step(change, step);
        }
    }

    /// Carries out what puts back; steps whose precondition does not hold are passed over, as the executor does.
    pub fn undo(&mut self, change: &Change) {
        for step in &change.undo {
            if self.holds(change, step) && !self.is_connected(change, step) {
                self.act(change, step);
            }
        }
    }

    fn is_connected(&self, change: &Change, step: &Step) -> bool {
        let (Some(host), Action::Connect { name, network, .. }) = (&change.subject.host, &step.action) else {
            return false;
        };
        let there = self.engine(host).containers.get(name).and_then(Seen::known);
        there.is_some_and(|container| container.live.networks.contains_key(network))
    }

    fn step(&mut self, change: &Change, step: &Step) {
        assert!(self.holds(change, step), "refused: {} ({:?})", step.action.describe(), step.expect);
        self.act(change, step);
    }

    fn holds(&self, change: &Change, step: &Step) -> bool {
        let Some(target) = target(&step.action) else { return true };
        let host = change.subject.host.as_ref().expect("a change on a host");
        let engine = self.engine(host);
        let (id, ours) = match target {
            Target::Container(name) => match engine.containers.get(name).and_then(Seen::known) {
                Some(c) => {
                    (Some(&c.id), matches!(owner().container(name, host, &c.labels), Belongs::Ours(_)))
                }
                None => (None, false),
            },
            Target::Network(name) => match engine.networks.get(name).and_then(Seen::known) {
                Some(n) => (
                    Some(&n.id),
                    matches!(owner().object("network", name, host, &n.labels), Belongs::Ours(())),
                ),
                None => (None, false),
            },
            Target::Volume(name) => {
                return !engine
                    .volumes
                    .contains_key(&super::build::name::<crate::model::names::VolumeName>(name));
            }
        };
        match &step.expect {
            Expect::Absent => id.is_none(),
            Expect::Id(wanted) => id == Some(wanted),
            Expect::Ours => ours,
            Expect::OursBut(other) => ours && id != Some(other),
            Expect::Anything => true,
        }
    }

    fn act(&mut self, change: &Change, step: &Step) {
        let host = change.subject.host.as_ref().map(ToString::to_string).unwrap_or_default();
        match &step.action {
            Action::PullImage { image } => self.pull(&host, image),
            Action::RemoveImage { .. } => panic!("the planner collects no images"),
            Action::CreateVolume { name, spec, labels } => {
                let volume = LiveVolume { name: name.clone(), spec: spec.clone(), labels: labels.clone() };
                self.engine_mut(&host).volumes.insert(name.clone(), Seen::Known(volume));
            }
            Action::CreateNetwork { name, spec, labels } => {
                self.made += 1;
                let network = LiveNetwork {
                    id: format!("n{}", self.made),
                    name: name.clone(),
                    driver: spec.driver.name().into(),
                    spec: Some(spec.clone()),
                    labels: labels.clone(),
                    attached: BTreeSet::new(),
                };
                self.engine_mut(&host).networks.insert(name.clone(), Seen::Known(network));
            }
            Action::RemoveNetwork { name } => {
                let attached = self.attached(&host, name);
                let up = |name: &String| self.container(&host, name).state.is_up();
                let using: Vec<String> = attached.into_iter().filter(up).collect();
                assert!(using.is_empty(), "network {name} is in use by {using:?}");
                self.engine_mut(&host).networks.remove(name);
            }
            Action::CreateContainer { name, spec, labels } => self.create(&host, name, spec, labels.clone()),
            Action::StartContainer { name } => self.start(&host, name),
            Action::StopContainer { name, .. } => self.stop(&host, name),
            Action::RestartContainer { name, .. } => {
                self.stop(&host, name);
                self.start(&host, name);
            }
            Action::RemoveContainer { name } => {
                let running = self.container(&host, name.as_str()).state.is_running();
                assert!(!running, "{name} runs and cannot be removed");
                self.engine_mut(&host).containers.remove(name);
            }
            Action::RenameContainer { name, to } => {
                let containers = &mut self.engine_mut(&host).containers;
                assert!(!containers.contains_key(to), "the name {to} is taken");
                let Some(Seen::Known(mut container)) = containers.remove(name) else { panic!("no {name}") };
                container.name = to.clone();
                containers.insert(to.clone(), Seen::Known(container));
            }
            Action::UpdateContainer { name, limits } => {
                let live = &mut self.container(&host, name.as_str()).live;
                live.cpus = limits.cpus.unwrap_or(live.cpus);
                live.memory = limits.memory.unwrap_or(live.memory);
                live.memory_reservation = limits.memory_reservation.unwrap_or(live.memory_reservation);
                live.pids = limits.pids.unwrap_or(live.pids);
                live.restart = limits.restart;
            }
            Action::Connect { name, network, attachment } => {
                let known = self.engine_mut(&host).networks.contains_key(network) || network == "bridge";
                assert!(known, "no network {network} on {host}");
                let running = self.container(&host, name.as_str()).state.is_running();
                let id = self.network_id(&host, network).filter(|_| running);
                let live = LiveAttachment {
                    requested: attachment.address,
                    address: attachment.address.filter(|_| running),
                    aliases: attachment.aliases.clone(),
                    network: id,
                };
                let before = self.container(&host, name.as_str()).live.networks.insert(network.clone(), live);
                assert!(before.is_none(), "{name} is connected to {network} already");
            }
            Action::Disconnect { name, network } => {
                self.container(&host, name.as_str()).live.networks.remove(network);
            }
            Action::WaitHealthy { name, .. } => {
                assert!(self.container(&host, name.as_str()).state.is_running(), "{name} does not run");
            }
            Action::Drain { .. } | Action::Undrain { .. } => {}
            Action::CreateService { .. }
            | Action::UpdateService { .. }
            | Action::RemoveService { .. }
            | Action::WaitService { .. }
            | Action::CreateConfig { .. }
            | Action::RemoveConfig { .. }
            | Action::UpdateNode { .. } => panic!("these tests place by trueup"),
            Action::InstallFiles { set, files } => {
                self.observed.files.insert(set.clone(), Seen::Known(Some(files.clone())));
            }
        }
        self.settle_networks();
    }

    fn pull(&mut self, host: &str, image: &ImageRef) {
        let image = image_of(image);
        self.engine_mut(host).images.insert(image.id.clone(), image);
    }

    fn create(
        &mut self,
        host: &str,
        name: &ContainerName,
        spec: &ContainerSpec,
        labels: BTreeMap<String, String>,
    ) {
        self.made += 1;
        let id = format!("{:064x}", self.made);
        let image = image_of(&spec.image);
        let engine = self.engine_mut(host);
        assert!(engine.images.contains_key(&image.id), "the image {} is not on {host}", spec.image);
        assert!(!engine.containers.contains_key(name), "the name {name} is taken on {host}");
        let container = Container {
            live: live(spec, &image, &id),
            id,
            name: name.clone(),
            image: image.id,
            image_name: spec.image.to_string(),
            created: Timestamp(0),
            state: RunState::Created,
            restarts: 0,
            beyond: Default::default(),
            anonymous: Default::default(),
            veiled: false,
            labels: spec.labels.clone().into_iter().chain(labels).collect(),
        };
        engine.containers.insert(name.clone(), Seen::Known(container));
    }

    fn start(&mut self, host: &str, name: &ContainerName) {
        self.clock += 1;
        let since = Timestamp(self.clock);
        let networks = self.container(host, name.as_str()).live.networks.clone();
        let ids: BTreeMap<String, Option<String>> =
            networks.keys().map(|network| (network.clone(), self.network_id(host, network))).collect();
        let gone = |(network, attachment): &(&String, &LiveAttachment)| {
            let there = &ids[*network];
            *network != "bridge"
                && (there.is_none() || attachment.network.is_some() && attachment.network != *there)
        };
        let missing: Vec<&String> = networks.iter().filter(gone).map(|(network, _)| network).collect();
        assert!(missing.is_empty(), "{name} starts without its networks {missing:?}");
        let container = self.container(host, name.as_str());
        container.state = RunState::Running { since, health: Health::Unchecked };
        for (network, attachment) in &mut container.live.networks {
            attachment.address = attachment.requested;
            attachment.network.clone_from(&ids[network]);
        }
    }

    /// What the network is by now.
    pub fn network_id(&self, host: &str, network: &str) -> Option<String> {
        let network = self.engine(&name(host)).networks.get(network)?;
        network.known().map(|network| network.id.clone())
    }

    fn stop(&mut self, host: &str, name: &ContainerName) {
        let container = self.container(host, name.as_str());
        if container.state.is_running() {
            container.state = RunState::Exited { exit_code: 0, at: NOW, error: String::new() };
        }
        for attachment in container.live.networks.values_mut() {
            attachment.address = None;
        }
    }

    /// Who is on this very network, or on one of its name when it is first started.
    fn attached(&self, host: &str, network: &str) -> BTreeSet<String> {
        let id = self.network_id(host, network);
        let on = |c: &&Container| {
            let attachment = c.live.networks.get(network);
            attachment.is_some_and(|a| a.network.is_none() || a.network == id)
        };
        let containers = self.engine(&name(host)).containers.values().filter_map(Seen::known);
        containers.filter(on).map(|c| c.name.to_string()).collect()
    }

    /// Docker lists containers with their networks.
    pub fn settle_networks(&mut self) {
        let hosts: Vec<String> = self.observed.hosts.keys().map(ToString::to_string).collect();
        for host in hosts {
            let names: Vec<String> = self.engine_mut(&host).networks.keys().cloned().collect();
            for network in names {
                let attached = self.attached(&host, &network);
                if let Some(Seen::Known(live)) = self.engine_mut(&host).networks.get_mut(&network) {
                    live.attached = attached;
                }
            }
        }
    }
}

enum Target<'a> {
    Container(&'a ContainerName),
    Network(&'a str),
    Volume(&'a str),
}

fn target(action: &Action) -> Option<Target<'_>> {
    match action {
        Action::CreateVolume { name, .. } => Some(Target::Volume(name.as_str())),
        Action::CreateNetwork { name, .. } | Action::RemoveNetwork { name } => Some(Target::Network(name)),
        Action::CreateContainer { name, .. }
        | Action::StartContainer { name }
        | Action::StopContainer { name, .. }
        | Action::RestartContainer { name, .. }
        | Action::RemoveContainer { name }
        | Action::RenameContainer { name, .. }
        | Action::UpdateContainer { name, .. }
        | Action::Connect { name, .. }
        | Action::Disconnect { name, .. }
        | Action::WaitHealthy { name, .. } => Some(Target::Container(name)),
        Action::PullImage { .. }
        | Action::RemoveImage { .. }
        | Action::Drain { .. }
        | Action::Undrain { .. }
        | Action::CreateService { .. }
        | Action::UpdateService { .. }
        | Action::RemoveService { .. }
        | Action::WaitService { .. }
        | Action::CreateConfig { .. }
        | Action::RemoveConfig { .. }
        | Action::UpdateNode { .. }
        | Action::InstallFiles { .. } => None,
    }
}

/// The container that a step touches.
pub fn touched(action: &Action) -> Option<&ContainerName> {
    match target(action) {
        Some(Target::Container(name)) => Some(name),
        Some(Target::Network(_) | Target::Volume(_)) | None => None,
    }
}

/// Every reference names one image, by a hash of its text.
fn image_of(image: &ImageRef) -> Image {
    let id: Digest =
        format!("sha256:{}", ContentHash::of(image.to_string().as_bytes())).parse().expect("a digest");
    Image {
        id,
        tags: BTreeSet::from([image.clone()]),
        digests: BTreeSet::new(),
        entrypoint: vec!["/run".into()],
        command: vec!["serve".into()],
        env: BTreeMap::from([("PATH".into(), key().hide("/bin"))]),
        workdir: "/srv".into(),
        user: String::new(),
        labels: BTreeMap::new(),
        health: None,
        stop_signal: None,
    }
}

fn empty(host: &HostName) -> Engine {
    Engine {
        info: EngineInfo {
            id: format!("engine-{host}"),
            name: host.to_string(),
            version: "20.10.24".into(),
            api_version: "1.41".into(),
            os: "Debian".into(),
            architecture: "x86_64".into(),
            cpus: 4,
            memory: ByteSize(8 << 30),
            log_driver: "json-file".into(),
            membership: None,
            swarm: None,
            clock: None,
        },
        containers: BTreeMap::new(),
        images: BTreeMap::new(),
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        volumes_hidden: None,
    }
}

/// As Docker would tell of it.
fn live(spec: &ContainerSpec, image: &Image, id: &str) -> LiveSpec {
    let mut env = image.env.clone();
    for (variable, EnvValue::Plain(value)) in &spec.env {
        env.insert(variable.clone(), key().hide(value));
    }
    let (network_mode, networks) = match &spec.networks {
        Networks::Default => {
            ("default".to_owned(), BTreeMap::from([("bridge".to_owned(), LiveAttachment::default())]))
        }
        Networks::Host => ("host".to_owned(), BTreeMap::new()),
        Networks::None => ("none".to_owned(), BTreeMap::new()),
        Networks::Named(named) => (
            named.keys().next().map(ToString::to_string).unwrap_or_default(),
            named
                .iter()
                .map(|(network, attachment)| {
                    let live = LiveAttachment {
                        requested: attachment.address,
                        address: None,
                        aliases: attachment.aliases.clone(),
                        network: None,
                    };
                    (network.to_string(), live)
                })
                .collect(),
        ),
    };
    LiveSpec {
        entrypoint: spec.entrypoint.clone().unwrap_or_else(|| image.entrypoint.clone()),
        command: spec.command.clone().unwrap_or_else(|| image.command.clone()),
        env,
        workdir: spec.workdir.clone().unwrap_or_else(|| image.workdir.clone()),
        user: spec.user.clone().unwrap_or_else(|| image.user.clone()),
        hostname: spec.hostname.clone().unwrap_or_else(|| id[..12].to_owned()),
        ports: spec.ports.clone(),
        mounts: spec.mounts.clone(),
        files: spec
            .files
            .iter()
            .map(|(path, file)| {
                (path.clone(), Seen::Known(Some(LiveFile { hash: file.hash.clone(), mode: file.mode })))
            })
            .collect(),
        network_mode,
        networks,
        cpus: spec.cpus.unwrap_or(Cpus(0)),
        memory: spec.memory.unwrap_or(ByteSize(0)),
        memory_reservation: spec.memory_reservation.unwrap_or(ByteSize(0)),
        pids: spec.pids.unwrap_or(0),
        shm_size: spec.shm_size.unwrap_or(ByteSize(64 << 20)),
        restart: spec.restart,
        health: spec.health.clone(),
        cap_add: spec.cap_add.clone(),
        cap_drop: spec.cap_drop.clone(),
        privileged: spec.privileged,
        read_only: spec.read_only,
        init: spec.init,
        security_opt: spec.security_opt.clone(),
        sysctls: spec.sysctls.clone(),
        ulimits: spec.ulimits.clone(),
        devices: spec.devices.clone(),
        dns: spec.dns.clone(),
        extra_hosts: spec.extra_hosts.clone(),
        logging: spec
            .logging
            .clone()
            .unwrap_or(Logging { driver: "json-file".into(), options: BTreeMap::new() }),
        stop_signal: spec.stop_signal.clone(),
        stop_timeout: spec.stop_timeout,
    }
}

/// Addresses on networks that share a segment, with everyone that asked for or holds them.
pub fn shared_holders(
    world: &World,
    desired: &Desired,
) -> BTreeMap<(String, IpAddr), BTreeSet<(String, String)>> {
    let mut holders: BTreeMap<(String, IpAddr), BTreeSet<(String, String)>> = BTreeMap::new();
    for (host, container) in world.containers() {
        for (network, attachment) in &container.live.networks {
            let shared = desired
                .networks
                .values()
                .any(|n| n.name.as_str() == network && n.spec.driver != NetworkDriver::Bridge);
            for address in attachment.requested.into_iter().chain(attachment.address).filter(|_| shared) {
                // Predecessor and successor of one instance take turns.
                let who = container.name.as_str().split(".trueup-").next().unwrap_or_default();
                holders
                    .entry((network.clone(), address))
                    .or_default()
                    .insert((host.to_string(), who.to_owned()));
            }
        }
    }
    holders
}
