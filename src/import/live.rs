//! A container as the declaration that fits it: only what its image and its daemon do not fill in (A4).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::container::{
    Attachment, ContainerField, ContainerSpec, EnvValue, HealthCheck, Mount, MountSource, Networks,
};
use crate::model::image::ImageRef;
use crate::model::names::{NetworkName, VolumeName};
use crate::model::observed::{Container, Engine, Image, Seen};
use crate::model::ownership;
use crate::model::secrecy::{KeyedHash, PlainEnv};
use crate::model::units::{ByteSize, TimeSpan};

use super::engine::COMPOSE_PROJECT;
use super::names::looks_secret;

const SHM_DEFAULT: ByteSize = ByteSize(64 << 20);
const STOP_DEFAULT: TimeSpan = TimeSpan::from_secs(10);

/// Which variables' values are written (G1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EnvValues {
    #[default]
    None,
    /// Those that do not look like secrets.
    Plain,
    All,
}

impl EnvValues {
    /// The flag that writes what these leave out.
    pub(super) const fn revealed_by(self) -> Option<&'static str> {
        match self {
            Self::None => Some("--env-values"),
            Self::Plain => Some("--env-values=all"),
            Self::All => None,
        }
    }
}

/// What was made of one container.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Read {
    pub spec: ContainerSpec,
    /// Fixed addresses by network.
    pub fixed: BTreeMap<NetworkName, IpAddr>,
    pub volumes: BTreeSet<VolumeName>,
    /// Fields that git cannot say, by the name that `ignore` takes, and why.
    pub ignore: BTreeMap<String, String>,
    /// Variables whose values are not written, and which values those are (G1).
    pub hidden: BTreeMap<String, KeyedHash>,
    /// The image can be had from no registry.
    pub local_image: bool,
}

/// So many makers that chose the same by chance are not to be expected.
const MAKERS: usize = 3;

/// Log options of an engine's containers that may be the daemon's, which adds its own to its own driver; nobody can ask it
/// which.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LogOptions {
    /// The daemon's: most containers of that driver have them, and it was not one or two who made those.
    pub of_daemon: BTreeMap<String, String>,
    /// Most have them, of too few makers to tell: a container's own as likely, and nothing of its own may be lost.
    pub doubtful: BTreeMap<String, String>,
}

/// Containers that nobody looked at (a Swarm's tasks) tell nothing of it.
pub(super) fn log_options(engine: &Engine) -> LogOptions {
    let all = engine.containers.values().filter_map(Seen::known).filter(|container| !container.veiled);
    let all = all.filter(|container| container.live.logging.driver == engine.info.log_driver);
    judged(&all.map(|container| (maker(container), &container.live.logging.options)).collect::<Vec<_>>())
}

fn judged(all: &[(Maker<'_>, &BTreeMap<String, String>)]) -> LogOptions {
    let mut holders: BTreeMap<(&String, &String), Vec<Maker<'_>>> = BTreeMap::new();
    for (maker, options) in all {
        for option in *options {
            holders.entry(option).or_default().push(*maker);
        }
    }
    let mut options = LogOptions::default();
    for ((name, value), held) in holders.into_iter().filter(|(_, held)| held.len() * 2 > all.len()) {
        let makers: BTreeSet<Maker<'_>> = held.into_iter().collect();
        let to = if makers.len() < MAKERS { &mut options.doubtful } else { &mut options.of_daemon };
        to.insert(name.clone(), value.clone());
    }
    options
}

/// Who chose a container's options: one file of Compose chooses for all its services.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Maker<'a> {
    Compose(&'a str),
    Hand(&'a str),
}

fn maker(container: &Container) -> Maker<'_> {
    match container.labels.get(COMPOSE_PROJECT) {
        Some(project) => Maker::Compose(project),
        None => Maker::Hand(container.name.as_str()),
    }
}

/// Reads a container; `words` has its variables in the clear where a person asked for them.
pub(super) fn read(
    container: &Container,
    engine: &Engine,
    words: Option<&PlainEnv>,
    values: EnvValues,
    notes: &mut Vec<String>,
) -> Read {
    let image = engine.images.get(&container.image);
    let (reference, local_image) = image_of(container, image, notes);
    let mut reader = Reader {
        container,
        image,
        engine,
        words,
        values,
        read: Read {
            spec: ContainerSpec::of(reference),
            fixed: BTreeMap::new(),
            volumes: BTreeSet::new(),
            ignore: BTreeMap::new(),
            hidden: BTreeMap::new(),
            local_image,
        },
    };
    for field in ContainerField::ALL {
        reader.field(*field);
    }
    reader.read
}

struct Reader<'a> {
    container: &'a Container,
    image: Option<&'a Image>,
    engine: &'a Engine,
    words: Option<&'a PlainEnv>,
    values: EnvValues,
    read: Read,
}

impl Reader<'_> {
    /// Every field of the spec, matched without `_`: none can be forgotten (A4).
    fn field(&mut self, field: ContainerField) {
        let (live, image) = (&self.container.live, self.image);
        let spec = &mut self.read.spec;
        let differs = |of_image: Option<&String>, live: &String| {
            let same = of_image == Some(live) || (of_image.is_none() && live.is_empty());
            (!same).then(|| live.clone())
        };
        match field {
            // Read before: everything else is compared with it.
            ContainerField::Image => {}
            ContainerField::Entrypoint => {
                let same = image.is_some_and(|i| i.entrypoint == live.entrypoint);
                spec.entrypoint = (!same && (image.is_some() || !live.entrypoint.is_empty()))
                    .then(|| live.entrypoint.clone());
            }
            ContainerField::Command => {
                let same = match (&spec.entrypoint, image) {
                    // An entrypoint of one's own clears the image's command.
                    (Some(_), _) | (None, None) => live.command.is_empty(),
                    (None, Some(image)) => image.command == live.command,
                };
                spec.command = (!same).then(|| live.command.clone());
            }
            ContainerField::Env => self.env(),
            ContainerField::Workdir => spec.workdir = differs(image.map(|i| &i.workdir), &live.workdir),
            ContainerField::User => spec.user = differs(image.map(|i| &i.user), &live.user),
            ContainerField::Hostname => {
                let given = self.container.id.get(..12).unwrap_or_default();
                let of_host = live.network_mode == "host" && live.hostname == self.engine.info.name;
                spec.hostname = (live.hostname != given && !of_host).then(|| live.hostname.clone());
            }
            ContainerField::Labels => {
                let of_image = |name: &String| image.and_then(|i| i.labels.get(name));
                let own = ownership::own_labels(&self.container.labels).into_iter();
                let own = own.filter(|(name, _)| !ownership::is_bookkeeping(name));
                spec.labels = own.filter(|(name, value)| of_image(name) != Some(value)).collect();
            }
            ContainerField::Ports => spec.ports.clone_from(&live.ports),
            ContainerField::Mounts => self.mounts(),
            // Files are trueup's own way; what is taken over has none.
            ContainerField::Files => {}
            ContainerField::Networks => self.networks(),
            ContainerField::Cpus => spec.cpus = Some(live.cpus).filter(|c| c.0 > 0),
            ContainerField::Memory => spec.memory = Some(live.memory).filter(|m| m.0 > 0),
            ContainerField::MemoryReservation => {
                spec.memory_reservation = Some(live.memory_reservation).filter(|m| m.0 > 0);
            }
            ContainerField::Pids => spec.pids = Some(live.pids).filter(|p| *p > 0),
            ContainerField::ShmSize => spec.shm_size = Some(live.shm_size).filter(|s| *s != SHM_DEFAULT),
            ContainerField::Restart => spec.restart = live.restart,
            ContainerField::Health => self.health(),
            ContainerField::CapAdd => spec.cap_add.clone_from(&live.cap_add),
            ContainerField::CapDrop => spec.cap_drop.clone_from(&live.cap_drop),
            ContainerField::Privileged => spec.privileged = live.privileged,
            ContainerField::ReadOnly => spec.read_only = live.read_only,
            ContainerField::Init => spec.init = live.init,
            ContainerField::SecurityOpt => {
                spec.security_opt.clone_from(&live.security_opt);
                if live.privileged {
                    // The engine itself gives this to a privileged container.
                    spec.security_opt.remove("label=disable");
                }
            }
            ContainerField::Sysctls => spec.sysctls.clone_from(&live.sysctls),
            ContainerField::Ulimits => spec.ulimits.clone_from(&live.ulimits),
            ContainerField::Devices => self.devices(),
            ContainerField::Dns => spec.dns.clone_from(&live.dns),
            ContainerField::ExtraHosts => spec.extra_hosts.clone_from(&live.extra_hosts),
            ContainerField::Logging => {
                let of_daemon = log_options(self.engine).of_daemon;
                let usual = live.logging.driver == self.engine.info.log_driver
                    && live.logging.options.iter().all(|(name, value)| of_daemon.get(name) == Some(value));
                spec.logging = (!usual).then(|| live.logging.clone());
            }
            ContainerField::StopSignal => {
                let of_image = image.and_then(|i| i.stop_signal.as_deref()).unwrap_or("SIGTERM");
                spec.stop_signal = live.stop_signal.clone().filter(|signal| signal != of_image);
            }
            ContainerField::StopTimeout => {
                spec.stop_timeout = live.stop_timeout.filter(|timeout| *timeout != STOP_DEFAULT);
            }
        }
    }

    /// Values are hidden from the moment of observation; the image's own are those whose hashes are the same (G1).
    fn env(&mut self) {
        let of_image = |name: &String| self.image.and_then(|i| i.env.get(name));
        for (name, hash) in &self.container.live.env {
            if of_image(name) == Some(hash) {
                continue;
            }
            let value = self.words.and_then(|words| words.get(name));
            let written = value.filter(|value| match self.values {
                EnvValues::None => false,
                EnvValues::Plain => !looks_secret(name, value),
                EnvValues::All => true,
            });
            match written {
                Some(value) => {
                    self.read.spec.env.insert(name.clone(), EnvValue::Plain(value.to_owned()));
                }
                None => {
                    self.read.hidden.insert(name.clone(), hash.clone());
                    let why = "its value is not in git";
                    self.read.ignore.insert(element("env", name), why.to_owned());
                }
            }
        }
        for name in self.image.into_iter().flat_map(|i| i.env.keys()) {
            if !self.container.live.env.contains_key(name) {
                let why = "the image sets it and the container does not have it";
                self.read.ignore.insert(element("env", name), why.to_owned());
            }
        }
    }

    fn mounts(&mut self) {
        for (at, mount) in &self.container.live.mounts {
            if !is_sayable(at, mount) {
                let why = "trueup takes absolute paths without `..` and `:` only";
                self.read.ignore.insert(element("mounts", at), why.to_owned());
                continue;
            }
            if let MountSource::Volume(name) = &mount.source {
                self.read.volumes.insert(name.clone());
            }
            let mount = Mount { source: mount.source.clone(), read_only: mount.read_only };
            self.read.spec.mounts.insert(at.clone(), mount);
        }
    }

    fn devices(&mut self) {
        for (at, device) in &self.container.live.devices {
            if is_path(at) && !at.contains([':', ',']) {
                self.read.spec.devices.insert(at.clone(), device.clone());
            } else {
                let why = format!("trueup has no word for a device at {at:?}");
                self.read.ignore.insert("devices".to_owned(), why);
            }
        }
    }

    fn networks(&mut self) {
        let live = &self.container.live;
        let extra: Vec<&String> = live.networks.keys().filter(|name| *name != "bridge").collect();
        let mut ignore = |field: String, why: &str| {
            self.read.ignore.insert(field, why.to_owned());
        };
        self.read.spec.networks = match live.network_mode.as_str() {
            "host" => Networks::Host,
            "none" => Networks::None,
            "" | "default" | "bridge" => {
                for name in extra {
                    ignore(element("networks", name), "trueup joins Docker's own bridge alone or not at all");
                }
                Networks::Default
            }
            mode => {
                let mut named = BTreeMap::new();
                for (name, attachment) in &live.networks {
                    let Some(parsed) = name.parse::<NetworkName>().ok().filter(|_| name != "bridge") else {
                        ignore(element("networks", name), "trueup has no word for this network");
                        continue;
                    };
                    if let Some(address) = attachment.requested {
                        self.read.fixed.insert(parsed.clone(), address);
                    }
                    let aliases = attachment.aliases.clone();
                    named.insert(parsed, Attachment { address: None, aliases });
                }
                if !live.networks.contains_key(mode) || named.is_empty() {
                    ignore("networks".to_owned(), &format!("trueup has no word for the network mode {mode}"));
                }
                if named.is_empty() { Networks::Default } else { Networks::Named(named) }
            }
        };
    }

    fn health(&mut self) {
        let of_image = self.image.and_then(|i| i.health.as_ref());
        let live = self.container.live.health.as_ref();
        let off = |check: Option<&HealthCheck>| matches!(check, None | Some(HealthCheck::Disabled));
        if live == of_image || (off(live) && off(of_image)) {
            return;
        }
        let sayable = match live {
            None | Some(HealthCheck::Disabled) => true,
            Some(HealthCheck::Probe { test, .. }) => match test.first().map(String::as_str) {
                Some("CMD") => true,
                Some("CMD-SHELL") => test.len() == 2,
                Some(_) | None => false,
            },
        };
        if sayable {
            self.read.spec.health = Some(live.cloned().unwrap_or(HealthCheck::Disabled));
        } else {
            self.read
                .ignore
                .insert("health".to_owned(), "trueup has no word for this form of check".to_owned());
        }
    }
}

/// Whether a file of the repository can have the mount.
pub(super) fn is_sayable(at: &str, mount: &Mount) -> bool {
    let source_fits = match &mount.source {
        MountSource::Host(path) => is_path(path) && !path.contains(':'),
        MountSource::Volume(_) | MountSource::Tmpfs { .. } => true,
    };
    source_fits && is_path(at) && !at.contains([':', ','])
}

fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() > 1
        && !path.split('/').any(|part| part == "..")
        && !path.chars().any(char::is_control)
}

/// `env.TZ`, or the whole field where the element's name is none that git can write.
pub(super) fn element(field: &str, name: &str) -> String {
    let whole = format!("{field}.{name}");
    match whole.parse::<crate::model::names::FieldName>() {
        Ok(_) => whole,
        Err(_) => field.to_owned(),
    }
}

/// The reference under which the container's very image is found again, and whether no registry has it.
fn image_of(container: &Container, image: Option<&Image>, notes: &mut Vec<String>) -> (ImageRef, bool) {
    let id = container.image.as_str();
    let name = &container.image_name;
    let is_id =
        name.starts_with("sha256:") || (name.len() >= 6 && id["sha256:".len()..].starts_with(name.as_str()));
    let named = if is_id { None } else { name.parse::<ImageRef>().ok() };
    let first = || image.and_then(|i| i.tags.first().or(i.digests.first()).cloned());
    let Some(found) = named.or_else(first) else {
        notes.push(format!(
            "its image {} has no name: a replacement needs one, name it with `docker tag`",
            &id[..19]
        ));
        let nameless =
            ImageRef { repository: "nameless".to_owned(), tag: None, digest: Some(container.image.clone()) };
        return (nameless, true);
    };
    let known = |digest: &ImageRef| digest.repository == found.repository;
    let digests =
        || image.into_iter().flat_map(|i| &i.digests).filter(|d| known(d)).filter_map(|d| d.digest.clone());
    if found.digest.as_ref().is_some_and(|d| *d == container.image || digests().any(|other| other == *d)) {
        return (found, false);
    }
    let digest = digests().next();
    let bare =
        ImageRef { digest: None, tag: found.tag.clone().or_else(|| Some("latest".to_owned())), ..found };
    match digest {
        Some(digest) => (bare.pinned(digest), false),
        None if image.is_some_and(|i| i.tags.contains(&bare)) => (bare, true),
        None => {
            notes.push(format!(
                "{bare} is another image by now, and the container's own ({}) has no name any more: its replacement \
                 needs another `image`",
                &id[..19]
            ));
            (bare.pinned(container.image.clone()), true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one maker chose for all of his is not the daemon's, and is not lost.
    #[test]
    fn log_options_are_the_daemons_only_where_several_makers_have_them() {
        let (limit, none) = (BTreeMap::from([("max-size".to_owned(), "9m".to_owned())]), BTreeMap::new());
        let (shop, hand) = (Maker::Compose("shop"), Maker::Hand);
        let judged = |all: &[(Maker<'_>, bool)]| {
            let all: Vec<_> = all.iter().map(|(m, has)| (*m, if *has { &limit } else { &none })).collect();
            let told = super::judged(&all);
            (told.of_daemon.len(), told.doubtful.len())
        };
        assert_eq!(judged(&[(hand("a"), true)]), (0, 1));
        assert_eq!(judged(&[(hand("a"), true), (hand("b"), true)]), (0, 1));
        assert_eq!(judged(&[(shop, true), (shop, true), (shop, true), (hand("a"), true)]), (0, 1));
        assert_eq!(judged(&[(shop, true), (hand("a"), true), (hand("b"), true), (shop, false)]), (1, 0));
        assert_eq!(judged(&[(hand("a"), true), (hand("b"), false)]), (0, 0), "it is that one's own");
    }
}
