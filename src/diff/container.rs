//! A container's declared fields against its live ones.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::container::{
    Attachment, ContainerField, ContainerSpec, EnvValue, HealthCheck, Logging, Networks, Port, Restart,
};
use crate::model::drift::{Cure, FieldChange};
use crate::model::image::Digest;
use crate::model::names::NetworkName;
use crate::model::network::{Network, NetworkDriver};
use crate::model::observed::{Container, EngineInfo, Image, LiveAttachment, LiveNetwork, RunState, Seen};
use crate::model::ownership;
use crate::model::secrecy::HashKey;
use crate::model::units::{ByteSize, Cpus, TimeSpan};

use super::field::{each, one};
use super::show;

/// Docker's default for /dev/shm.
const SHM_DEFAULT: ByteSize = ByteSize(64 << 20);
/// Docker's default time to stop.
const STOP_DEFAULT: TimeSpan = TimeSpan::from_secs(10);

/// What is needed to tell defaults from drift.
pub struct Against<'a> {
    pub images: &'a BTreeMap<Digest, Image>,
    pub info: &'a EngineInfo,
    pub key: &'a HashKey,
    /// `false`: the snapshot hid its values with another key, so env cannot be compared.
    pub key_matches: bool,
    /// The engine's networks: on an overlay of a Swarm, an address that Swarm chose stands where one that was asked for
    /// would (measured on 20.10).
    pub networks: &'a BTreeMap<String, Seen<LiveNetwork>>,
    /// Networks as declared: of those that trueup makes on this engine, one that is not there is gone.
    pub declared: &'a BTreeMap<NetworkName, Network>,
}

/// Every field that differs. `desired` has its addresses filled in and its image pinned.
pub fn container(desired: &ContainerSpec, live: &Container, against: &Against<'_>) -> Vec<FieldChange> {
    let pair = Pair { desired, live, against, image: against.images.get(&live.image) };
    ContainerField::ALL.iter().flat_map(|field| pair.compare(*field)).collect()
}

struct Pair<'a> {
    desired: &'a ContainerSpec,
    live: &'a Container,
    against: &'a Against<'a>,
    /// The image of the live container: the source of its defaults.
    image: Option<&'a Image>,
}

/// Where neither git nor a readable image says what it should be, there is nothing to compare with (A1).
fn or_unknown<T: PartialEq + ?Sized>(
    field: ContainerField,
    wanted: Option<&T>,
    live: &T,
    text: impl Fn(&T) -> String,
) -> Vec<FieldChange> {
    wanted.map_or_else(Vec::new, |wanted| one((field.name(), Cure::Replace), wanted, live, text))
}

fn change(field: ContainerField, cure: Cure, desired: String, live: String) -> FieldChange {
    FieldChange { field: field.name().to_owned(), desired, live, cure }
}

impl Pair<'_> {
    fn compare(&self, field: ContainerField) -> Vec<FieldChange> {
        let (d, l) = (self.desired, &self.live.live);
        let of = (field.name(), Cure::Replace);
        match field {
            ContainerField::Image => self.image(),
            ContainerField::Entrypoint => {
                or_unknown(field, self.entrypoint(), &l.entrypoint[..], show::words)
            }
            ContainerField::Command => or_unknown(field, self.command(), &l.command[..], show::words),
            ContainerField::Env => self.env(),
            ContainerField::Workdir => {
                let wanted = self.or_image(d.workdir.as_ref(), |i| &i.workdir);
                or_unknown(field, wanted, &l.workdir[..], str::to_owned)
            }
            ContainerField::User => {
                let wanted = self.or_image(d.user.as_ref(), |i| &i.user);
                or_unknown(field, wanted, &l.user[..], str::to_owned)
            }
            ContainerField::Hostname => self.hostname(),
            ContainerField::Labels => self.labels(),
            ContainerField::Ports => self.ports(),
            ContainerField::Mounts => self.mounts(),
            ContainerField::Files => self.files(),
            ContainerField::Networks => self.networks(),
            ContainerField::Cpus => self.limit(field, d.cpus, l.cpus, Cpus(0)),
            ContainerField::Memory => self.limit(field, d.memory, l.memory, ByteSize(0)),
            ContainerField::MemoryReservation => {
                self.limit(field, d.memory_reservation, l.memory_reservation, ByteSize(0))
            }
            ContainerField::Pids => self.limit(field, d.pids, l.pids, 0),
            ContainerField::ShmSize => {
                one(of, &d.shm_size.unwrap_or(SHM_DEFAULT), &l.shm_size, ToString::to_string)
            }
            ContainerField::Restart => self.restart(),
            ContainerField::Health => self.health(),
            ContainerField::CapAdd => one(of, &d.cap_add, &l.cap_add, show::set),
            ContainerField::CapDrop => one(of, &d.cap_drop, &l.cap_drop, show::set),
            ContainerField::Privileged => one(of, &d.privileged, &l.privileged, ToString::to_string),
            ContainerField::ReadOnly => one(of, &d.read_only, &l.read_only, ToString::to_string),
            // Undeclared, the daemon's own default is not known from outside: nothing to compare with.
            ContainerField::Init => match d.init {
                Some(init) => one(of, &init, &l.init.unwrap_or(false), ToString::to_string),
                None => match l.init {
                    Some(true) => vec![change(field, Cure::Replace, show::none(), "true".to_owned())],
                    Some(false) | None => vec![],
                },
            },
            ContainerField::SecurityOpt => self.security_opt(),
            ContainerField::Sysctls => one(of, &d.sysctls, &l.sysctls, show::pairs),
            ContainerField::Ulimits => {
                let text = |map: &BTreeMap<String, crate::model::container::Ulimit>| {
                    show::join(map.iter().map(|(name, u)| format!("{name}={}:{}", u.soft, u.hard)))
                };
                one(of, &d.ulimits, &l.ulimits, text)
            }
            ContainerField::Devices => {
                let text = |map: &BTreeMap<String, crate::model::container::Device>| {
                    show::join(map.iter().map(|(at, x)| format!("{}:{at}:{}", x.host, x.permissions)))
                };
                one(of, &d.devices, &l.devices, text)
            }
            ContainerField::Dns => {
                let text = |list: &[std::net::IpAddr]| show::join(list.iter().map(ToString::to_string));
                one(of, &d.dns[..], &l.dns[..], text)
            }
            ContainerField::ExtraHosts => one(of, &d.extra_hosts, &l.extra_hosts, show::pairs),
            ContainerField::Logging => self.logging(),
            ContainerField::StopSignal => self.stop_signal(),
            ContainerField::StopTimeout => {
                let span = |given: Option<TimeSpan>| given.unwrap_or(STOP_DEFAULT);
                one(of, &span(d.stop_timeout), &span(l.stop_timeout), ToString::to_string)
            }
        }
    }

    fn or_image<'s>(
        &'s self,
        declared: Option<&'s String>,
        of_image: impl Fn(&Image) -> &String,
    ) -> Option<&'s str> {
        declared.or_else(|| self.image.map(of_image)).map(String::as_str)
    }

    /// The live image is the desired one when a registry knows it under the pinned digest, when it *is* the digest, or,
    /// for an unpinned tag, when the engine's image of that tag is the very same.
    fn image(&self) -> Vec<FieldChange> {
        let wanted = &self.desired.image;
        let by_digest = |digest: &Digest| {
            *digest == self.live.image
                || self.image.is_some_and(|image| {
                    image.digests.iter().any(|known| {
                        known.repository == wanted.repository && known.digest.as_ref() == Some(digest)
                    })
                })
        };
        let same = match &wanted.digest {
            Some(digest) => by_digest(digest),
            None => match self.against.images.values().find(|image| image.tags.contains(wanted)) {
                Some(image) => image.id == self.live.image,
                // The engine has no image of that name: only the name it was made from can tell.
                None => self.live.image_name.parse().as_ref() == Ok(wanted),
            },
        };
        if same {
            return vec![];
        }
        let live = format!("{} ({})", self.live.image_name, self.live.image.short());
        vec![change(ContainerField::Image, Cure::Replace, wanted.to_string(), live)]
    }

    fn entrypoint(&self) -> Option<&[String]> {
        self.desired.entrypoint.as_deref().or_else(|| self.image.map(|i| i.entrypoint.as_slice()))
    }

    /// An entrypoint of one's own clears the image's command, as Docker does it.
    fn command(&self) -> Option<&[String]> {
        match (&self.desired.command, &self.desired.entrypoint) {
            (Some(command), _) => Some(command),
            (None, Some(_)) => Some(&[]),
            (None, None) => self.image.map(|i| i.command.as_slice()),
        }
    }

    /// One change per variable; live values are never shown (G1).
    fn env(&self) -> Vec<FieldChange> {
        if !self.against.key_matches {
            return vec![];
        }
        let mut wanted = self.image.map(|i| i.env.clone()).unwrap_or_default();
        for (name, EnvValue::Plain(value)) in &self.desired.env {
            wanted.insert(name.clone(), self.against.key.hide(value));
        }
        let live = &self.live.live.env;
        let names: BTreeSet<&String> = wanted.keys().chain(live.keys()).collect();
        // What the image sets is not known without it, so only what git sets is compared then (A1).
        let comparable = |name: &&String| self.image.is_some() || self.desired.env.contains_key(*name);
        let differing =
            names.into_iter().filter(comparable).filter(|name| wanted.get(*name) != live.get(*name));
        differing
            .map(|name| {
                let declared = match (self.desired.env.get(name), wanted.get(name)) {
                    (Some(EnvValue::Plain(value)), _) => value.clone(),
                    (None, Some(_)) => "(the image's)".to_owned(),
                    (None, None) => show::none(),
                };
                let seen = live.get(name).map_or_else(show::none, |hash| format!("(hidden {hash})"));
                FieldChange {
                    field: format!("env.{name}"),
                    desired: declared,
                    live: seen,
                    cure: Cure::Replace,
                }
            })
            .collect()
    }

    /// Undeclared, it is the short id that Docker gives; in the host's own network stack it is the host's.
    fn hostname(&self) -> Vec<FieldChange> {
        let live = &self.live.live.hostname;
        let given = self.live.id.get(..12).unwrap_or_default();
        match &self.desired.hostname {
            Some(wanted) if wanted != live => {
                vec![change(ContainerField::Hostname, Cure::Replace, wanted.clone(), live.clone())]
            }
            None if live != given && self.desired.networks != Networks::Host => {
                vec![change(ContainerField::Hostname, Cure::Replace, "(Docker's)".into(), live.clone())]
            }
            Some(_) | None => vec![],
        }
    }

    fn labels(&self) -> Vec<FieldChange> {
        let mut wanted = self.image.map(|i| i.labels.clone()).unwrap_or_default();
        wanted.extend(self.desired.labels.clone());
        let mut live = ownership::own_labels(&self.live.labels);
        // What was adopted keeps the bookkeeping of the tool that made it until it is replaced: labels cannot be taken
        // away from a container (B4, docs/decisions/0012).
        if !self.live.labels.keys().any(|name| name.starts_with(ownership::PREFIX)) {
            live.retain(|name, _| !ownership::is_bookkeeping(name) || wanted.contains_key(name));
        }
        if self.image.is_none() {
            live.retain(|name, _| wanted.contains_key(name));
        }
        each((ContainerField::Labels.name(), Cure::Replace), &wanted, &live, String::clone)
    }

    fn ports(&self) -> Vec<FieldChange> {
        let live = &self.live.live.ports;
        // A port that the engine may choose is fulfilled by whichever it chose.
        let matches = |wanted: &Port, seen: &Port| {
            wanted.container == seen.container
                && wanted.protocol == seen.protocol
                && wanted.address == seen.address
                && (wanted.host.is_none() || wanted.host == seen.host)
        };
        let wanted = &self.desired.ports;
        let missing = wanted.iter().any(|w| !live.iter().any(|l| matches(w, l)));
        let extra = live.iter().any(|l| !wanted.iter().any(|w| matches(w, l)));
        if !missing && !extra {
            return vec![];
        }
        vec![change(ContainerField::Ports, Cure::Replace, show::set(wanted), show::set(live))]
    }

    fn mounts(&self) -> Vec<FieldChange> {
        each(
            (ContainerField::Mounts.name(), Cure::Replace),
            &self.desired.mounts,
            &self.live.live.mounts,
            show::mount,
        )
    }

    /// By content and mode; a file that could not be read is not compared (A1).
    fn files(&self) -> Vec<FieldChange> {
        let mut changes = Vec::new();
        for (path, wanted) in &self.desired.files {
            let live = match self.live.live.files.get(path) {
                Some(Seen::Unknown { .. }) => continue,
                Some(Seen::Known(Some(live))) if live.hash == wanted.hash && live.mode == wanted.mode => {
                    continue;
                }
                Some(Seen::Known(Some(live))) => format!("({}, mode {:04o})", live.hash.short(), live.mode),
                Some(Seen::Known(None)) | None => show::none(),
            };
            changes.push(FieldChange {
                field: format!("files.{path}"),
                desired: show::file(wanted),
                live,
                cure: Cure::Replace,
            });
        }
        for path in self.live.live.files.keys().filter(|path| !self.desired.files.contains_key(*path)) {
            changes.push(FieldChange {
                field: format!("files.{path}"),
                desired: show::none(),
                live: "(a file of an earlier revision)".to_owned(),
                cure: Cure::Replace,
            });
        }
        changes
    }

    fn networks(&self) -> Vec<FieldChange> {
        let live = &self.live.live;
        let mode = |wanted: &str| match live.network_mode.as_str() {
            seen if seen == wanted => vec![],
            seen => {
                let change = change(
                    ContainerField::Networks,
                    Cure::Replace,
                    format!("mode {wanted}"),
                    format!("mode {seen}"),
                );
                vec![change]
            }
        };
        match &self.desired.networks {
            Networks::Host => mode("host"),
            Networks::None => mode("none"),
            Networks::Default => {
                let usual = matches!(live.network_mode.as_str(), "default" | "bridge" | "");
                let extra: Vec<_> = live.networks.keys().filter(|n| *n != "bridge").collect();
                match (usual, extra.is_empty()) {
                    (false, _) => mode("default"),
                    (true, true) => vec![],
                    (true, false) => extra.into_iter().map(|name| self.extra_network(name)).collect(),
                }
            }
            Networks::Named(wanted) => {
                let mut changes = Vec::new();
                let first = wanted.keys().next().map(ToString::to_string).unwrap_or_default();
                // It was created on one of them; on which is no matter, so that another one more or less restarts
                // nothing (D8). Any other mode (the host's stack, the default bridge) takes a new container.
                if !wanted.keys().any(|name| live.network_mode == name.as_str()) {
                    changes.extend(mode(&first));
                }
                for (name, attachment) in wanted {
                    changes.extend(self.attachment(
                        name.as_str(),
                        attachment,
                        live.networks.get(name.as_str()),
                    ));
                }
                let declared = |name: &String| wanted.keys().any(|n| n.as_str() == name);
                changes.extend(live.networks.keys().filter(|n| !declared(n)).map(|n| self.extra_network(n)));
                changes
            }
        }
    }

    fn is_overlay(&self, network: &str) -> bool {
        let known = self.against.networks.get(network).and_then(Seen::known);
        known.is_some_and(|network| network.driver == NetworkDriver::Overlay.name())
    }

    /// What is stopped was on a network of this name that is gone by now, and its start would ask for that very one
    /// (measured on 20.10). Of what runs, the network cannot have gone.
    fn is_of_one_gone(&self, network: &str, live: &LiveAttachment) -> bool {
        let stopped = matches!(self.live.state, RunState::Created | RunState::Exited { .. });
        let Some(was) = live.network.as_ref().filter(|_| stopped) else { return false };
        match self.against.networks.get(network) {
            Some(Seen::Known(there)) => there.id != *was,
            Some(Seen::Unknown { .. }) => false,
            // An engine lists only those overlays of its Swarm that something on it uses.
            None => self.against.declared.iter().any(|(name, declared)| {
                let here = !declared.external && declared.spec.driver != NetworkDriver::Overlay;
                here && name.as_str() == network
            }),
        }
    }

    fn extra_network(&self, name: &str) -> FieldChange {
        FieldChange {
            field: format!("networks.{name}"),
            desired: show::none(),
            live: "connected".to_owned(),
            cure: Cure::InPlace,
        }
    }

    fn attachment(
        &self,
        name: &str,
        wanted: &Attachment,
        live: Option<&LiveAttachment>,
    ) -> Option<FieldChange> {
        // It answers to its own name and host name anyway, and some engines list the latter; an adopted name, git says as an
        // alias (B4).
        let own = [self.live.name.as_str(), self.live.live.hostname.as_str()];
        let but_own = |aliases: &BTreeSet<String>| {
            aliases.iter().filter(|alias| !own.contains(&alias.as_str())).cloned().collect::<BTreeSet<_>>()
        };
        let shown = |live: &LiveAttachment| {
            show::attachment(&Attachment { address: live.requested, aliases: live.aliases.clone() })
        };
        let seen = match live {
            None => show::none(),
            Some(live) if self.is_of_one_gone(name, live) => {
                format!("{} (of a network that is gone)", shown(live))
            }
            Some(live)
                if but_own(&wanted.aliases) == but_own(&live.aliases)
                    && (wanted.address == live.requested
                        || (wanted.address.is_none() && self.is_overlay(name))) =>
            {
                return None;
            }
            Some(live) => shown(live),
        };
        Some(FieldChange {
            field: format!("networks.{name}"),
            desired: show::attachment(wanted),
            live: seen,
            cure: Cure::InPlace,
        })
    }

    /// Docker changes a limit in place, but takes none away: a zero means "unchanged" to `docker update`.
    fn limit<T: PartialEq + ToString + Copy>(
        &self,
        field: ContainerField,
        wanted: Option<T>,
        live: T,
        unlimited: T,
    ) -> Vec<FieldChange> {
        let text = |v: T| if v == unlimited { "unlimited".to_owned() } else { v.to_string() };
        let desired = wanted.unwrap_or(unlimited);
        if desired == live {
            return vec![];
        }
        let cure = if desired == unlimited { Cure::Replace } else { Cure::InPlace };
        vec![change(field, cure, text(desired), text(live))]
    }

    fn restart(&self) -> Vec<FieldChange> {
        let (wanted, live): (Restart, Restart) = (self.desired.restart, self.live.live.restart);
        if wanted == live {
            return vec![];
        }
        vec![change(ContainerField::Restart, Cure::InPlace, wanted.to_string(), live.to_string())]
    }

    /// What the declaration leaves open is filled from the image, as Docker does it for a check without a test.
    fn health(&self) -> Vec<FieldChange> {
        let of_image = self.image.and_then(|i| i.health.as_ref());
        if self.desired.health.is_none() && self.image.is_none() {
            return vec![];
        }
        let filled = self.desired.health.as_ref().map(|declared| filled_in(declared, of_image));
        let wanted = filled.as_ref().or(of_image);
        let live = self.live.live.health.as_ref();
        let off = |h: Option<&HealthCheck>| matches!(h, None | Some(HealthCheck::Disabled));
        if wanted == live || (off(wanted) && off(live)) {
            return vec![];
        }
        let text = |h: Option<&HealthCheck>| h.map_or_else(show::none, show::health);
        vec![change(ContainerField::Health, Cure::Replace, text(wanted), text(live))]
    }

    fn security_opt(&self) -> Vec<FieldChange> {
        let mut live = self.live.live.security_opt.clone();
        if self.desired.privileged || self.live.live.privileged {
            // A privileged container is given this by the engine itself.
            live.remove("label=disable");
        }
        if self.desired.security_opt == live {
            return vec![];
        }
        let wanted = show::set(&self.desired.security_opt);
        vec![change(ContainerField::SecurityOpt, Cure::Replace, wanted, show::set(&live))]
    }

    /// Undeclared, driver and options are the daemon's: the driver is known from `info`, its options are not.
    fn logging(&self) -> Vec<FieldChange> {
        let live: &Logging = &self.live.live.logging;
        let differs = match &self.desired.logging {
            Some(wanted) => {
                // With its own default driver, the daemon adds each of its own options that is not declared, and
                // nobody can ask it which: there the declared ones are compared alone.
                let open = wanted.driver == self.against.info.log_driver;
                let declared = |name: &String| !open || wanted.options.contains_key(name);
                let seen: BTreeMap<_, _> = live.options.iter().filter(|(name, _)| declared(name)).collect();
                wanted.driver != live.driver || seen != wanted.options.iter().collect()
            }
            None => live.driver != self.against.info.log_driver,
        };
        if !differs {
            return vec![];
        }
        let wanted = self
            .desired
            .logging
            .as_ref()
            .map_or_else(|| format!("{} (the daemon's)", self.against.info.log_driver), show::logging);
        vec![change(ContainerField::Logging, Cure::Replace, wanted, show::logging(live))]
    }

    fn stop_signal(&self) -> Vec<FieldChange> {
        if self.desired.stop_signal.is_none() && self.image.is_none() {
            return vec![];
        }
        let default = "SIGTERM".to_owned();
        let of_image = self.image.and_then(|i| i.stop_signal.clone());
        let wanted = self.desired.stop_signal.clone().or(of_image).unwrap_or_else(|| default.clone());
        let live = self.live.live.stop_signal.clone().unwrap_or(default);
        if wanted == live {
            return vec![];
        }
        vec![change(ContainerField::StopSignal, Cure::Replace, wanted, live)]
    }
}

/// Docker takes each setting that a check leaves open from the image's check (measured on 20.10).
fn filled_in(declared: &HealthCheck, of_image: Option<&HealthCheck>) -> HealthCheck {
    let (HealthCheck::Probe { test, interval, timeout, start_period, retries }, Some(image)) =
        (declared, of_image)
    else {
        return declared.clone();
    };
    match image {
        HealthCheck::Disabled => declared.clone(),
        HealthCheck::Probe {
            test: image_test,
            interval: image_interval,
            timeout: image_timeout,
            start_period: image_start,
            retries: image_retries,
        } => HealthCheck::Probe {
            test: if test.is_empty() { image_test.clone() } else { test.clone() },
            interval: interval.or(*image_interval),
            timeout: timeout.or(*image_timeout),
            start_period: start_period.or(*image_start),
            retries: retries.or(*image_retries),
        },
    }
}
