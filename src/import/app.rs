//! One app as the two files a team keeps: `app.toml` what it is, `ENVIRONMENT.toml` its image and where it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::adoption::AdoptedBySlot;
use crate::model::app::Replicas;
use crate::model::container::{
    ContainerField, ContainerSpec, EnvValue, HealthCheck, Logging, Mount, MountSource, Networks, Port,
};
use crate::model::names::{AppName, EnvironmentName, HostName, NetworkName};
use crate::model::network::VolumeSpec;
use crate::model::units::TimeSpan;

use super::toml::{Page, inline, string, strings};

/// Everything that is written of an app.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    pub name: AppName,
    pub environment: EnvironmentName,
    /// What it comes from, in words.
    pub origin: String,
    pub replicas: Replicas,
    pub spec: ContainerSpec,
    /// Addresses by network, one for each slot.
    pub fixed: BTreeMap<NetworkName, Vec<IpAddr>>,
    /// By the name that mounts use; `None`: made by someone else and used by this very name.
    pub volumes: BTreeMap<String, Option<VolumeSpec>>,
    /// Texts of files in the app's folder, by path there.
    pub files: BTreeMap<String, String>,
    pub hosts: BTreeSet<HostName>,
    pub local_image: bool,
    pub adopted: AdoptedBySlot,
    pub ignore: BTreeMap<String, String>,
    pub hidden: BTreeSet<String>,
    /// The flag of the import that would write them, where one would.
    pub revealed_by: Option<&'static str>,
    pub depends_on: BTreeSet<AppName>,
    pub rollout: Vec<(String, String)>,
    pub swarm: Option<SwarmPart>,
}

/// With `runtime = "swarm"`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SwarmPart {
    pub name: String,
    pub constraints: Vec<String>,
    /// The service that it takes over (B4).
    pub service: Option<String>,
    /// More keys of `[swarm]`.
    pub entries: Vec<(String, String)>,
    /// Tables below it, such as `[swarm.update]`.
    pub tables: Vec<(String, Vec<(String, String)>)>,
}

impl SwarmPart {
    pub fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            constraints: Vec::new(),
            service: None,
            entries: Vec::new(),
            tables: Vec::new(),
        }
    }
}

impl Draft {
    pub fn new(name: AppName, environment: EnvironmentName, spec: ContainerSpec) -> Self {
        Self {
            name,
            environment,
            origin: String::new(),
            replicas: Replicas::Count(1),
            spec,
            fixed: BTreeMap::new(),
            volumes: BTreeMap::new(),
            files: BTreeMap::new(),
            hosts: BTreeSet::new(),
            local_image: false,
            adopted: AdoptedBySlot::new(),
            ignore: BTreeMap::new(),
            hidden: BTreeSet::new(),
            revealed_by: None,
            depends_on: BTreeSet::new(),
            rollout: Vec::new(),
            swarm: None,
        }
    }

    /// Files by path in the repository.
    pub fn files(&self) -> BTreeMap<String, String> {
        let folder = format!("apps/{}", self.name);
        let mut files = BTreeMap::from([
            (format!("{folder}/app.toml"), self.base()),
            (format!("{folder}/{}.toml", self.environment), self.overlay()),
        ]);
        files.extend(self.files.iter().map(|(path, text)| (format!("{folder}/{path}"), text.clone())));
        files
    }

    fn base(&self) -> String {
        let mut page = Page::default();
        page.comment(&self.origin);
        page.set("app", string(self.name.as_str()));
        if let Some(swarm) = &self.swarm {
            page.set("runtime", string("swarm"));
            let mut entries = vec![("name".to_owned(), string(&swarm.name))];
            if self.replicas == Replicas::EveryHost {
                entries.push(("global".to_owned(), "true".to_owned()));
            }
            if !swarm.constraints.is_empty() {
                let list = strings(swarm.constraints.iter().map(String::as_str));
                entries.push(("constraints".to_owned(), list));
            }
            entries.extend(swarm.entries.iter().cloned());
            page.table("[swarm]", &entries);
            for (name, entries) in &swarm.tables {
                page.table(&format!("[swarm.{name}]"), entries);
            }
        }
        match (self.replicas, &self.swarm) {
            (Replicas::Count(count), _) => page.set("replicas", count.to_string()),
            (Replicas::EveryHost, None) => page.set("replicas", string("every-host")),
            (Replicas::EveryHost, Some(_)) => {}
        }
        let mut limits = Vec::new();
        for field in ContainerField::ALL {
            self.field(*field, &mut page, &mut limits);
        }
        page.table("[limits]", &limits);
        if !self.depends_on.is_empty() {
            page.set("depends_on", strings(self.depends_on.iter().map(AppName::as_str)));
        }
        if !self.ignore.is_empty() {
            page.aside("What git cannot say: its drift is told and left alone (A6), and nothing is replaced that would lose it (B4).");
            for (field, why) in self.ignore.iter().filter(|(field, _)| !self.is_hidden(field)) {
                page.aside(&format!("{field}: {why}"));
            }
            page.set("ignore", strings(self.ignore.keys().map(String::as_str)));
        }
        page.table("[rollout]", &self.rollout);
        page.text()
    }

    fn is_hidden(&self, field: &str) -> bool {
        self.hidden.iter().any(|name| super::live::element("env", name) == field)
    }

    fn overlay(&self) -> String {
        let mut page = Page::default();
        page.comment(&format!("What {} is in {}.", self.name, self.environment));
        page.set("image", string(&self.spec.image.to_string()));
        if self.local_image {
            page.aside("No registry has this image; only what the engine holds is used.");
            page.set("pull", string("never"));
        }
        if let Some(service) = self.swarm.as_ref().and_then(|swarm| swarm.service.as_ref()) {
            let comments = ["Runs already and is taken over under the name it has (B4).".to_owned()];
            page.table_with("[adopt]", &comments, &[("service".to_owned(), string(service))]);
        }
        if !self.adopted.is_empty() {
            let entries: Vec<_> =
                self.adopted.iter().map(|(slot, a)| (slot.to_string(), string(&a.to_string()))).collect();
            let comments =
                ["Runs already and is taken over as it is, until its next replacement (B4).".to_owned()];
            page.table_with("[adopt]", &comments, &entries);
        }
        if !self.hosts.is_empty() && self.swarm.is_none() {
            let hosts = strings(self.hosts.iter().map(HostName::as_str));
            page.table("[place]", &[("hosts".to_owned(), hosts)]);
        }
        page.text()
    }

    /// Every field of the spec, matched without `_`: none can be forgotten (A4).
    fn field(&self, field: ContainerField, page: &mut Page, limits: &mut Vec<(String, String)>) {
        let spec = &self.spec;
        let mut limit =
            |name: &str, value: Option<String>| limits.extend(value.map(|v| (name.to_owned(), v)));
        let mut text = |name: &str, value: Option<&String>| {
            if let Some(value) = value {
                page.set(name, string(value));
            }
        };
        match field {
            // In the overlay: it is set per environment (F5).
            ContainerField::Image => {}
            ContainerField::Entrypoint => words(page, "entrypoint", spec.entrypoint.as_ref()),
            ContainerField::Command => words(page, "command", spec.command.as_ref()),
            ContainerField::Env => self.env(page),
            ContainerField::Workdir => text("workdir", spec.workdir.as_ref()),
            ContainerField::User => text("user", spec.user.as_ref()),
            ContainerField::Hostname => text("hostname", spec.hostname.as_ref()),
            ContainerField::Labels => page.table("[labels]", &texts(&spec.labels)),
            ContainerField::Ports => list(page, "ports", spec.ports.iter().map(port)),
            ContainerField::Mounts => {
                for (at, mount) in &spec.mounts {
                    page.table("[[mount]]", &mount_entries(at, mount));
                }
                for (name, volume) in &self.volumes {
                    let header = format!("[volume.{}]", super::toml::key(name));
                    page.table(&header, &volume_entries(volume.as_ref()));
                }
            }
            ContainerField::Files => {
                for (at, file) in &spec.files {
                    let mode = string(&format!("{:04o}", file.mode));
                    let entries = [("file", string(&file.source)), ("at", string(at)), ("mode", mode)];
                    page.table("[[mount]]", &entries.map(|(name, value)| (name.to_owned(), value)));
                }
            }
            ContainerField::Networks => self.networks(page),
            ContainerField::Cpus => limit("cpus", spec.cpus.map(|c| c.to_string())),
            ContainerField::Memory => limit("memory", spec.memory.map(|m| string(&m.to_string()))),
            ContainerField::MemoryReservation => {
                limit("memory_reservation", spec.memory_reservation.map(|m| string(&m.to_string())));
            }
            ContainerField::Pids => limit("pids", spec.pids.map(|p| p.to_string())),
            ContainerField::ShmSize => limit("shm_size", spec.shm_size.map(|s| string(&s.to_string()))),
            // Always: the fleet's own default may be another one.
            ContainerField::Restart => page.set("restart", string(&spec.restart.to_string())),
            ContainerField::Health => {
                page.table("[health]", &spec.health.as_ref().map(health_entries).unwrap_or_default())
            }
            ContainerField::CapAdd => list(page, "cap_add", spec.cap_add.iter().cloned()),
            ContainerField::CapDrop => list(page, "cap_drop", spec.cap_drop.iter().cloned()),
            ContainerField::Privileged => flag(page, "privileged", spec.privileged),
            ContainerField::ReadOnly => flag(page, "read_only", spec.read_only),
            ContainerField::Init => {
                if let Some(init) = spec.init {
                    page.set("init", init.to_string());
                }
            }
            ContainerField::SecurityOpt => list(page, "security_opt", spec.security_opt.iter().cloned()),
            ContainerField::Sysctls => page.table("[sysctls]", &texts(&spec.sysctls)),
            ContainerField::Ulimits => {
                let pair = |soft: i64, hard: i64| {
                    inline(&[("soft".to_owned(), soft.to_string()), ("hard".to_owned(), hard.to_string())])
                };
                let entries = spec.ulimits.iter().map(|(name, u)| (name.clone(), pair(u.soft, u.hard)));
                page.table("[ulimits]", &entries.collect::<Vec<_>>());
            }
            ContainerField::Devices => {
                for (at, device) in &spec.devices {
                    let all = [("host", &device.host), ("at", at), ("permissions", &device.permissions)];
                    page.table("[[device]]", &all.map(|(name, value)| (name.to_owned(), string(value))));
                }
            }
            ContainerField::Dns => list(page, "dns", spec.dns.iter().map(ToString::to_string)),
            ContainerField::ExtraHosts => page.table("[extra_hosts]", &texts(&spec.extra_hosts)),
            ContainerField::Logging => {
                page.table("[logging]", &spec.logging.as_ref().map(logging_entries).unwrap_or_default())
            }
            ContainerField::StopSignal => text("stop_signal", spec.stop_signal.as_ref()),
            ContainerField::StopTimeout => {
                if let Some(timeout) = spec.stop_timeout {
                    page.set("stop_timeout", string(&timeout.to_string()));
                }
            }
        }
    }

    /// Hidden ones are listed, so that whoever writes them knows which (G1).
    fn env(&self, page: &mut Page) {
        let entries: Vec<_> = self
            .spec
            .env
            .iter()
            .map(|(name, EnvValue::Plain(value))| (name.clone(), string(value)))
            .collect();
        let or_import = self.revealed_by.map(|flag| format!(", or import with {flag}")).unwrap_or_default();
        let comments = self.hidden.iter().map(|name| {
            let element = super::live::element("env", name);
            let ignored = self.ignore.contains_key(&element);
            let out = if ignored { format!(" and take {element} out of `ignore`") } else { String::new() };
            format!("{} = (its value is not shown: write it here{out}{or_import})", super::toml::key(name))
        });
        page.table_with("[env]", &comments.collect::<Vec<_>>(), &entries);
    }

    fn networks(&self, page: &mut Page) {
        match &self.spec.networks {
            Networks::Default => {}
            Networks::Host => page.set("network_mode", string("host")),
            Networks::None => page.set("network_mode", string("none")),
            Networks::Named(named) => {
                for (name, attachment) in named {
                    let mut entries = Vec::new();
                    match self.fixed.get(name).map(Vec::as_slice) {
                        None | Some([]) => {}
                        Some([one]) => entries.push(("address".to_owned(), string(&one.to_string()))),
                        Some(several) => {
                            let texts: Vec<String> = several.iter().map(ToString::to_string).collect();
                            entries.push(("addresses".to_owned(), strings(texts.iter().map(String::as_str))));
                        }
                    }
                    if !attachment.aliases.is_empty() {
                        let aliases = strings(attachment.aliases.iter().map(String::as_str));
                        entries.push(("aliases".to_owned(), aliases));
                    }
                    let key = super::toml::key(name.as_str());
                    if entries.is_empty() {
                        // A table without entries still says that it is on the network.
                        page.table_with(&format!("[network.{key}]"), &["Any address.".to_owned()], &[]);
                    } else {
                        page.table(&format!("[network.{key}]"), &entries);
                    }
                }
            }
        }
    }
}

fn words(page: &mut Page, name: &str, words: Option<&Vec<String>>) {
    if let Some(words) = words {
        page.set(name, strings(words.iter().map(String::as_str)));
    }
}

fn list(page: &mut Page, name: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    if !items.is_empty() {
        page.set(name, strings(items.iter().map(String::as_str)));
    }
}

fn flag(page: &mut Page, name: &str, set: bool) {
    if set {
        page.set(name, "true");
    }
}

fn texts(map: &BTreeMap<String, String>) -> Vec<(String, String)> {
    map.iter().map(|(name, value)| (name.clone(), string(value))).collect()
}

/// As `config` reads it: `[address:][host:]container/protocol`.
fn port(port: &Port) -> String {
    let inside = format!("{}/{}", port.container, port.protocol.name());
    let host = port.host.map(|host| host.to_string()).unwrap_or_default();
    match port.address {
        Some(IpAddr::V6(address)) => format!("[{address}]:{host}:{inside}"),
        Some(address) => format!("{address}:{host}:{inside}"),
        None if port.host.is_some() => format!("{host}:{inside}"),
        None => inside,
    }
}

fn mount_entries(at: &str, mount: &Mount) -> Vec<(String, String)> {
    let source = match &mount.source {
        MountSource::Host(path) => ("host", string(path)),
        MountSource::Volume(name) => ("volume", string(name.as_str())),
        MountSource::Tmpfs { size } => {
            ("tmpfs", string(&size.map_or_else(|| "unlimited".to_owned(), |size| size.to_string())))
        }
    };
    let mut entries = vec![(source.0.to_owned(), source.1), ("at".to_owned(), string(at))];
    if mount.read_only {
        entries.push(("read_only".to_owned(), "true".to_owned()));
    }
    entries
}

fn volume_entries(volume: Option<&VolumeSpec>) -> Vec<(String, String)> {
    let Some(spec) = volume else { return vec![("external".to_owned(), "true".to_owned())] };
    let mut entries = Vec::new();
    if spec.driver != "local" || !spec.options.is_empty() {
        entries.push(("driver".to_owned(), string(&spec.driver)));
    }
    if !spec.options.is_empty() {
        entries.push(("options".to_owned(), inline(&texts(&spec.options))));
    }
    entries
}

fn health_entries(check: &HealthCheck) -> Vec<(String, String)> {
    let HealthCheck::Probe { test, interval, timeout, start_period, retries } = check else {
        return vec![("disabled".to_owned(), "true".to_owned())];
    };
    let rest = || test.iter().skip(1).map(String::as_str);
    let how = match test.first().map(String::as_str) {
        Some("CMD-SHELL") => ("shell".to_owned(), string(rest().next().unwrap_or_default())),
        Some(_) | None => ("command".to_owned(), strings(rest())),
    };
    let mut entries = vec![how];
    let spans = [("interval", interval), ("timeout", timeout), ("start_period", start_period)];
    let said = |(name, span): (&str, &Option<TimeSpan>)| {
        Some((name.to_owned(), string(&span.as_ref()?.to_string())))
    };
    entries.extend(spans.into_iter().filter_map(said));
    entries.extend(retries.map(|retries| ("retries".to_owned(), retries.to_string())));
    entries
}

fn logging_entries(logging: &Logging) -> Vec<(String, String)> {
    let mut entries = vec![("driver".to_owned(), string(&logging.driver))];
    if !logging.options.is_empty() {
        entries.push(("options".to_owned(), inline(&texts(&logging.options))));
    }
    entries
}
