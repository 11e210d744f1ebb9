//! A simulated Swarm's hosts, and hands on it past trueup, in docker's own words.

use std::collections::{BTreeMap, BTreeSet};

use trueup::model::image::ImageRef;
use trueup::model::names::HostName;
use trueup::model::secrecy::{HashKey, KeyedHash};
use trueup::model::service::{ServiceMode, ServiceSpec};
use trueup::model::swarm::{Availability, NodeRole};
use trueup::model::units::ByteSize;

use super::stage::{Printed, Stage, parse};

impl Stage<'_> {
    pub fn on_swarm(&mut self, name: &str, words: &[&str]) -> Printed {
        let silent = |done: Result<(), String>| done.map(|()| String::new());
        match words {
            ["has", "managers", hosts @ ..] => {
                let mut sides = hosts.split(|word| *word == "and");
                let names =
                    |words: &[&str]| words.iter().map(|host| parse(host)).collect::<Result<Vec<_>, _>>();
                let managers = names(sides.next().unwrap_or_default())?;
                let workers = match sides.next() {
                    Some(["workers", hosts @ ..]) => names(hosts)?,
                    Some(_) => return Err("it is `has managers H … and workers H …`".to_owned()),
                    None => Vec::new(),
                };
                self.sim.start_swarm(name, &managers, &workers);
                Ok(String::new())
            }
            ["docker", "service", "ps"] => Ok(self.sim.swarm_shown(name)?.join("\n") + "\n"),
            ["docker", "swarm", "update", "--task-history-limit", ended] => {
                silent(self.sim.keep_ended_tasks(name, parse(ended)?))
            }
            ["docker", "service", "rm", service] => silent(self.sim.remove_service(name, service)),
            ["docker", "service", "create", service, image] => {
                let image: ImageRef = parse(image)?;
                self.sim.add_image_everywhere(&image);
                silent(self.sim.create_service(name, service, &image))
            }
            ["docker", "service", "update", service, edits @ ..] => {
                let mut edits: Vec<Edit> =
                    edits.iter().map(|edit| Edit::parse(edit)).collect::<Result<_, _>>()?;
                for edit in &mut edits {
                    if let Edit::Image(image) = edit {
                        self.sim.add_image_everywhere(image);
                        *image = self.sim.pinned(image);
                    }
                }
                let key = self.world.key.clone();
                silent(self.sim.change_service(name, service, |spec, labels| {
                    edits.iter().for_each(|edit| edit.make(spec, labels, &key));
                }))
            }
            ["docker", "node", "rm", hostname] => silent(self.sim.remove_node(name, hostname)),
            ["docker", "node", change @ ("demote" | "promote"), host] => {
                let role = if *change == "demote" { NodeRole::Worker } else { NodeRole::Manager };
                silent(self.sim.change_role(name, &parse(host)?, role))
            }
            ["docker", "node", "update", host, edits @ ..] => {
                let host: HostName = parse(host)?;
                let (mut labels, mut availability) = (BTreeMap::new(), None);
                for edit in edits {
                    match edit.split_once('=').unwrap_or((edit, "")) {
                        ("active", "") => availability = Some(Availability::Active),
                        ("pause", "") => availability = Some(Availability::Pause),
                        ("drain", "") => availability = Some(Availability::Drain),
                        (label, value) if edit.contains('=') => {
                            labels.insert(label.to_owned(), Some(value.to_owned()));
                        }
                        (label, _) => {
                            labels.insert(label.to_owned(), None);
                        }
                    }
                }
                silent(self.sim.change_node(name, &host, &labels, availability))
            }
            _ => Err(format!("there is no such command on a swarm: {}", words.join(" "))),
        }
    }
}

/// One field of a live service, changed by hand.
enum Edit {
    Image(ImageRef),
    Replicas(u32),
    Memory(ByteSize),
    Env(String, String),
    Label(String, String),
    Constraint(String),
    Unlabelled,
}

impl Edit {
    fn parse(text: &str) -> Result<Self, String> {
        let (field, value) = text.split_once('=').unwrap_or((text, ""));
        Ok(match field.split_once('.').unwrap_or((field, "")) {
            ("image", "") => Self::Image(parse(value)?),
            ("replicas", "") => Self::Replicas(parse(value)?),
            ("memory", "") => Self::Memory(parse(value)?),
            ("env", name) => Self::Env(name.to_owned(), value.to_owned()),
            ("label", name) => Self::Label(name.to_owned(), value.to_owned()),
            ("constraint", "") => Self::Constraint(value.to_owned()),
            ("labels", "") => Self::Unlabelled,
            _ => return Err(format!("no field of a service is called {field}")),
        })
    }

    fn make(&self, spec: &mut ServiceSpec<KeyedHash>, labels: &mut BTreeMap<String, String>, key: &HashKey) {
        match self {
            Self::Image(image) => spec.image = image.clone(),
            Self::Replicas(count) => spec.mode = ServiceMode::Replicated(*count),
            Self::Memory(memory) => spec.memory = Some(*memory),
            Self::Env(name, value) => {
                spec.env.insert(name.clone(), key.hide(value));
            }
            Self::Label(name, value) => {
                spec.service_labels.insert(name.clone(), value.clone());
            }
            Self::Constraint(text) => {
                let mut all: BTreeSet<String> = spec.constraints.iter().cloned().collect();
                all.insert(text.clone());
                spec.constraints = all.into_iter().collect();
            }
            Self::Unlabelled => labels.clear(),
        }
    }
}
