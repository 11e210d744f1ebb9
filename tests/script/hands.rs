//! Hands on an engine, past trueup: what somebody with a shell on the host may do, in docker's own words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trueup::model::container::{Attachment, ContainerSpec, Mount, MountSource, Networks, Port, Protocol};
use trueup::model::image::ImageRef;
use trueup::model::names::{ContainerName, HostName};
use trueup::model::observed::{Container, Health, LiveAttachment, RunState};
use trueup::model::plan::Action;
use trueup::model::units::{ByteSize, TimeSpan};

use super::stage::{Printed, Stage, parse};

impl Stage<'_> {
    pub fn by_hand(&mut self, host: &HostName, words: &[&str]) -> Printed {
        let name = |text: &&str| parse::<ContainerName>(text);
        let act = |action: Action| {
            self.sim.perform_by_hand(host, &action).map(|()| String::new()).map_err(|e| e.to_string())
        };
        let stop = |name: ContainerName| Action::StopContainer { name, timeout: TimeSpan::default() };
        match words {
            ["docker", "stop", one] => self.there(host, &name(one)?).and_then(|name| act(stop(name))),
            ["docker", "start", one] => {
                let name = self.there(host, &name(one)?)?;
                act(Action::StartContainer { name })
            }
            ["docker", "rm", "-f", one] => {
                let name = self.there(host, &name(one)?)?;
                act(stop(name.clone()))?;
                act(Action::RemoveContainer { name })
            }
            ["docker", "rename", one, to] => {
                act(Action::RenameContainer { name: self.there(host, &name(one)?)?, to: name(to)? })
            }
            ["docker", "run", on @ .., one, image] => {
                let image: ImageRef = parse(image)?;
                self.sim.add_image_everywhere(&image);
                let (name, mut spec) = (name(one)?, Box::new(ContainerSpec::of(image)));
                match on {
                    [] => {}
                    ["--network", network] => {
                        let attachment = (parse(network)?, Attachment::default());
                        spec.networks = Networks::Named(BTreeMap::from([attachment]));
                    }
                    _ => return Err(format!("docker run knows no such options here: {}", on.join(" "))),
                }
                act(Action::CreateContainer { name: name.clone(), spec, labels: Default::default() })?;
                act(Action::StartContainer { name })
            }
            // Those that nothing uses now: what is stopped does not count.
            ["docker", "network", "prune"] => {
                for network in self.sim.belongings(host) {
                    let Some(name) = network.strip_prefix("network ").map(str::to_owned) else { continue };
                    let _ = self.sim.perform_by_hand(host, &Action::RemoveNetwork { name });
                }
                Ok(String::new())
            }
            ["copies", one, "as", to] => {
                let copy = self.there(host, &name(one)?)?;
                let to = name(to)?;
                self.sim.by_hand(host, |all| {
                    let mut copy = all.get(&copy).cloned().map(|c| Container { name: to.clone(), ..c });
                    // Two cannot hold the same port of the host.
                    copy.iter_mut().for_each(|copy| copy.live.ports.clear());
                    copy.map(|copy| all.insert(to.clone(), copy))
                });
                Ok(String::new())
            }
            ["changes", one, edits @ ..] => {
                let name = self.there(host, &name(one)?)?;
                let edits: Result<Vec<Edit>, String> = edits.iter().map(|edit| Edit::parse(edit)).collect();
                let edits = edits?;
                self.change(host, &name, &edits);
                Ok(String::new())
            }
            ["somebody", "keeps", "changing", one, edits @ ..] => {
                let name = self.there(host, &name(one)?)?;
                let edits: Result<Vec<Edit>, String> = edits.iter().map(|edit| Edit::parse(edit)).collect();
                let (edits, key) = (edits?, self.world.key.clone());
                self.sim.set_meddler(
                    host,
                    Some(Arc::new(move |all| {
                        if let Some(container) = all.get_mut(&name) {
                            edits.iter().for_each(|edit| edit.make(container, &key));
                        }
                    })),
                );
                Ok(String::new())
            }
            ["nobody", "meddles"] => {
                self.sim.set_meddler(host, None);
                Ok(String::new())
            }
            _ => Err(format!("there is no such command on a host: {}", words.join(" "))),
        }
    }

    fn there(&self, host: &HostName, name: &ContainerName) -> Result<ContainerName, String> {
        if self.sim.containers(host).contains_key(name) {
            Ok(name.clone())
        } else {
            Err(format!("no container {name} on {host}"))
        }
    }

    fn change(&self, host: &HostName, name: &ContainerName, edits: &[Edit]) {
        self.sim.by_hand(host, |all| {
            if let Some(container) = all.get_mut(name) {
                edits.iter().for_each(|edit| edit.make(container, &self.world.key));
            }
        });
    }

    /// Every container of every host, as it is.
    pub fn docker_ps(&self) -> String {
        let mut lines = Vec::new();
        for host in self.sim.hosts() {
            for (name, container) in self.sim.containers(&host) {
                let addresses: Vec<String> = container
                    .live
                    .networks
                    .values()
                    .filter_map(|a| a.address)
                    .map(|a| a.to_string())
                    .collect();
                let image =
                    self.sim.tag_of(&container.image).map_or(container.image_name, |tag| tag.to_string());
                let line =
                    format!("{host}  {:<22} {image:<8} {:<10}", name.as_str(), state(&container.state));
                lines.push(format!("{line} {}", addresses.join(" ")).trim_end().to_owned());
            }
            lines.extend(self.sim.belongings(&host).into_iter().map(|what| format!("{host}  {what}")));
        }
        if lines.is_empty() { "nothing runs\n".to_owned() } else { lines.join("\n") + "\n" }
    }
}

fn state(state: &RunState) -> String {
    match state {
        RunState::Running { health: Health::Unchecked, .. } => "running".to_owned(),
        RunState::Running { health: Health::Healthy, .. } => "healthy".to_owned(),
        RunState::Running { health: Health::Starting, .. } => "starting".to_owned(),
        RunState::Running { health: Health::Unhealthy { .. }, .. } => "unhealthy".to_owned(),
        RunState::Exited { exit_code, .. } => format!("exited {exit_code}"),
        RunState::Created => "created".to_owned(),
        RunState::Paused => "paused".to_owned(),
        RunState::Restarting { .. } => "restarting".to_owned(),
        RunState::Removing => "removing".to_owned(),
        RunState::Dead => "dead".to_owned(),
    }
}

/// One field of a live container, changed by hand.
#[derive(Debug, Clone)]
enum Edit {
    Memory(ByteSize),
    Env(String, Option<String>),
    Port(Port),
    Mount(String, String),
    Network(String),
    Label(String, String),
    User(String),
    Unhealthy(String),
    Unlabelled,
}

impl Edit {
    fn parse(text: &str) -> Result<Self, String> {
        let (field, value) = text.split_once('=').unwrap_or((text, ""));
        Ok(match field.split_once('.').unwrap_or((field, "")) {
            ("memory", "") => Self::Memory(parse(value)?),
            ("env", name) if text.contains('=') => Self::Env(name.to_owned(), Some(value.to_owned())),
            ("env", name) => Self::Env(name.to_owned(), None),
            ("port", "") => {
                let (host, container) = value.split_once(':').ok_or("a port is port=HOST:CONTAINER")?;
                Self::Port(Port {
                    container: parse(container)?,
                    host: Some(parse(host)?),
                    address: None,
                    protocol: Protocol::Tcp,
                })
            }
            ("mount", "") => {
                let (from, to) = value.split_once(':').ok_or("a mount is mount=FROM:TO")?;
                Self::Mount(from.to_owned(), to.to_owned())
            }
            ("network", "") => Self::Network(value.to_owned()),
            ("label", name) => Self::Label(name.to_owned(), value.to_owned()),
            ("user", "") => Self::User(value.to_owned()),
            ("unhealthy", "") => Self::Unhealthy(value.to_owned()),
            ("labels", "") => Self::Unlabelled,
            _ => return Err(format!("no field of a container is called {field}")),
        })
    }

    fn make(&self, container: &mut Container, key: &trueup::model::secrecy::HashKey) {
        let live = &mut container.live;
        match self {
            Self::Memory(memory) => live.memory = *memory,
            Self::Env(name, Some(value)) => {
                live.env.insert(name.clone(), key.hide(value));
            }
            Self::Env(name, None) => {
                live.env.remove(name);
            }
            Self::Port(port) => live.ports.extend(BTreeSet::from([*port])),
            Self::Mount(from, to) => {
                let mount = Mount { source: MountSource::Host(from.clone()), read_only: false };
                live.mounts.insert(to.clone(), mount);
            }
            Self::Network(name) => {
                live.networks.insert(name.clone(), LiveAttachment::default());
            }
            Self::Label(name, value) => {
                container.labels.insert(name.clone(), value.clone());
            }
            Self::User(user) => live.user.clone_from(user),
            Self::Unhealthy(said) => {
                if let RunState::Running { health, .. } = &mut container.state {
                    *health = Health::Unhealthy { last_output: said.clone() };
                }
            }
            Self::Unlabelled => container.labels.clear(),
        }
    }
}
