//! What else stands on the declared hosts and Swarms: containers, services, networks, volumes and configs that are not
//! trueup's and in nobody's way. Reports tell them, and nothing is ever done about them (B1).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::adoption;
use crate::model::container::MountSource;
use crate::model::desired::Desired;
use crate::model::drift::{Kind, Subject};
use crate::model::names::{HostName, VolumeName};
use crate::model::network::NetworkDriver;
use crate::model::observed::{Container, Engine, LiveNetwork, LiveVolume, Seen, is_unnamed, task_of};
use crate::model::ownership::{Belongs, Owner, PREFIX};
use crate::model::report::{Foreign, MadeOf, Maker};
use crate::model::secrecy::ContentHash;
use crate::model::swarm::{LiveConfig, LiveService, Swarm};

use super::World;
use super::concern::Concern;
use super::pass::Pass;

/// Everything foreign that the plan does not tell already: by place, by whoever made it, the newest first.
pub(super) fn foreign(world: &World, pass: &Pass, concern: &Concern<'_>) -> Vec<Foreign> {
    let owner = world.owner(&pass.desired.fleet);
    let look = Look::of(pass, &owner);
    let hosts = pass.observed.hosts.iter().filter(|(host, _)| concern.host(host));
    let hosts = hosts.filter_map(|(host, seen)| Some((host, seen.known()?)));
    let swarms = pass.observed.swarms.iter().filter(|(name, _)| concern.swarm(name));
    let swarms = swarms.filter_map(|(name, seen)| Some((name, seen.known()?)));
    let mut found: Vec<Foreign> = hosts.flat_map(|(host, engine)| look.on_host(host, engine)).collect();
    found.extend(swarms.flat_map(|(name, swarm)| look.on_swarm(name, swarm)));
    let told =
        |thing: &Foreign| pass.plan.unmanaged.iter().any(|unmanaged| unmanaged.subject == thing.subject);
    found.retain(|thing| !told(thing));
    let order = |thing: &Foreign| {
        let Foreign { subject, made_of: _, created, maker } = thing;
        let place = (subject.host.clone(), subject.swarm.clone());
        (place, rank(subject.kind), maker.clone(), Reverse(*created), subject.name.clone())
    };
    found.sort_by_cached_key(order);
    found
}

/// What runs comes first, and what there are hundreds of last.
const fn rank(kind: Kind) -> u8 {
    if matches!(kind, Kind::Container | Kind::Service) {
        0
    } else if matches!(kind, Kind::Network) {
        1
    } else if matches!(kind, Kind::Config) {
        2
    } else {
        3
    }
}

/// Volumes without a name of their own, by host: nobody could tell one from another. Those of containers that trueup made,
/// or took over, and of its services' tasks, are theirs; where one could not be read, any may be its own (A1).
pub(super) fn anonymous_volumes(
    world: &World,
    pass: &Pass,
    concern: &Concern<'_>,
) -> BTreeMap<HostName, usize> {
    let owner = world.owner(&pass.desired.fleet);
    let look = Look::of(pass, &owner);
    let count = |(host, seen): (&HostName, &Seen<Engine>)| {
        let engine = seen.known()?;
        let containers: Option<Vec<&Container>> = engine.containers.values().map(Seen::known).collect();
        let own = containers?.into_iter().filter(|container| look.is_own_or_may_be(host, container));
        let own: BTreeSet<&str> = own.flat_map(|c| c.anonymous.values()).map(String::as_str).collect();
        let unnamed = engine.volumes.keys().filter(|name| is_unnamed(name.as_str()));
        let count = unnamed.filter(|name| !own.contains(name.as_str())).count();
        (count > 0).then(|| (host.clone(), count))
    };
    pass.observed.hosts.iter().filter(|(host, _)| concern.host(host)).filter_map(count).collect()
}

/// What every engine makes for itself.
fn is_the_engines(network: &str) -> bool {
    ["bridge", "host", "none", "docker_gwbridge", "ingress"].contains(&network)
}

struct Look<'a> {
    pass: &'a Pass,
    owner: &'a Owner,
    declared: [&'a Desired; 2],
}

impl<'a> Look<'a> {
    /// By whole revisions: what another environment takes over is its own, also where this process does not judge it.
    const fn of(pass: &'a Pass, owner: &'a Owner) -> Self {
        Self { pass, owner, declared: [&pass.taken.desired, &pass.judged.enforced.desired] }
    }
}

impl Look<'_> {
    fn on_host(&self, host: &HostName, engine: &Engine) -> Vec<Foreign> {
        let containers = engine.containers.values().filter_map(Seen::known);
        let mut found: Vec<Foreign> = containers.filter_map(|live| self.container(host, live)).collect();
        let networks = engine.networks.values().filter_map(Seen::known);
        found.extend(networks.filter_map(|live| self.network(host, live)));
        let volumes = engine.volumes.values().filter_map(Seen::known);
        found.extend(volumes.filter_map(|live| self.volume(host, live)));
        found
    }

    fn on_swarm(&self, name: &str, swarm: &Swarm) -> Vec<Foreign> {
        let services = || swarm.services.values().filter_map(Seen::known);
        let mut found: Vec<Foreign> = services().filter_map(|live| self.service(name, live)).collect();
        let networks = swarm.networks.values().filter_map(Seen::known);
        found.extend(networks.filter_map(|live| self.swarm_network(name, live)));
        // What a service that was taken over mounts is its own.
        let own = services().filter(|live| self.is_ours(name, live));
        let own: BTreeSet<&ContentHash> =
            own.flat_map(|live| live.spec.files.values()).map(|file| &file.hash).collect();
        let configs = swarm.configs.values().filter(|config| !own.contains(&config.hash));
        found.extend(configs.filter_map(|live| self.config(name, live)));
        found
    }

    /// By its labels (B1), or taken over (B4).
    fn is_own(&self, host: &HostName, container: &Container) -> bool {
        let labelled = self.owner.container(&container.name, host, &container.labels);
        let Pass { observed, adopted, .. } = self.pass;
        matches!(labelled, Belongs::Ours(_))
            || self
                .declared
                .iter()
                .any(|d| adoption::adopted(d, observed, adopted, host, container).is_some())
    }

    /// A task is its service's.
    fn is_own_or_may_be(&self, host: &HostName, container: &Container) -> bool {
        let task = task_of(&container.name, &container.labels);
        let of_ours = task.is_some_and(|task| self.service_of(host, container, task).is_none());
        of_ours || self.is_own(host, container)
    }

    fn container(&self, host: &HostName, container: &Container) -> Option<Foreign> {
        let Belongs::Foreign { why } = self.owner.container(&container.name, host, &container.labels) else {
            return None;
        };
        if self.is_own(host, container) {
            return None;
        }
        let maker = match task_of(&container.name, &container.labels) {
            Some(task) => Maker::Swarm { service: self.service_of(host, container, task)? },
            None => maker(why, &container.labels),
        };
        Some(Foreign {
            subject: Subject::on_host(Kind::Container, &container.name, host),
            made_of: MadeOf::Image(container.image_name.clone()),
            created: Some(container.created),
            maker,
        })
    }

    fn is_member(&self, host: &HostName, swarm: &str) -> bool {
        let desired = &self.pass.desired;
        let managers = desired.swarms.get(swarm);
        desired.hosts.get(host).is_some_and(|host| host.is_member(swarm, managers))
    }

    /// Swarm makes volumes of its own on its members, without labels: whether a service of ours mounts one of this name, as
    /// far as is known (A1).
    fn is_a_services(&self, host: &HostName, volume: &VolumeName) -> bool {
        let mounts = |live: &LiveService| {
            let mut sources = live.spec.mounts.values().map(|mount| &mount.source);
            sources.any(|source| matches!(source, MountSource::Volume(name) if name == volume))
        };
        let mut swarms = self.pass.observed.swarms.iter().filter(|(name, _)| self.is_member(host, name));
        swarms.any(|(name, seen)| {
            let services = seen.known().map(|swarm| swarm.services.values().map(Seen::known));
            let Some(mut services) = services else { return true };
            services.any(|live| live.is_none_or(|live| self.is_ours(name, live) && mounts(live)))
        })
    }

    /// The service that the task is of, where a Swarm tells; `None`: one of ours, or that may be of ours (A1).
    fn service_of(&self, host: &HostName, container: &Container, task: &str) -> Option<Option<String>> {
        for (name, seen) in &self.pass.observed.swarms {
            let Some(swarm) = seen.known() else {
                if self.is_member(host, name) {
                    return None;
                }
                continue;
            };
            // Anybody may call a container after a task; Swarm says which one is it.
            let is_it = |id: &String| *id == container.id;
            let task = swarm.tasks.get(task).filter(|task| task.container.as_ref().is_none_or(is_it));
            let Some(task) = task else { continue };
            let mut services = swarm.services.values().filter_map(Seen::known);
            return match services.find(|live| task.service.as_deref() == Some(live.id.as_str())) {
                Some(live) => (!self.is_ours(name, live)).then(|| Some(live.name.clone())),
                None => swarm.services.values().all(|seen| seen.known().is_some()).then_some(None),
            };
        }
        Some(None)
    }

    fn service(&self, swarm: &str, live: &LiveService) -> Option<Foreign> {
        let Belongs::Foreign { why } = self.owner.swarm_object("service", &live.name, swarm, &live.labels)
        else {
            return None;
        };
        (!self.is_ours(swarm, live)).then(|| Foreign {
            subject: Subject::on_swarm(Kind::Service, &live.name, swarm),
            made_of: MadeOf::Image(live.spec.image.to_string()),
            created: Some(live.created),
            maker: maker(why, &live.labels),
        })
    }

    /// A name that git declares is used as it is, made, or told by the plan as in the way.
    fn declares_network(&self, name: &str) -> bool {
        self.declared.iter().any(|desired| desired.networks.keys().any(|network| network.as_str() == name))
    }

    fn network(&self, host: &HostName, live: &LiveNetwork) -> Option<Foreign> {
        let Belongs::Foreign { why } = self.owner.object("network", &live.name, host, &live.labels) else {
            return None;
        };
        if is_the_engines(&live.name) || self.declares_network(&live.name) {
            return None;
        }
        // A member shows its Swarm's networks too: its managers tell them, or nobody does (A1).
        let mut swarms = self.pass.observed.swarms.keys();
        if live.driver == NetworkDriver::Overlay.name() && swarms.any(|swarm| self.is_member(host, swarm)) {
            return None;
        }
        Some(Foreign {
            subject: Subject::on_host(Kind::Network, &live.name, host),
            made_of: MadeOf::Driver(live.driver.clone()),
            created: None,
            maker: maker(why, &live.labels),
        })
    }

    fn volume(&self, host: &HostName, live: &LiveVolume) -> Option<Foreign> {
        let Belongs::Foreign { why } = self.owner.object("volume", live.name.as_str(), host, &live.labels)
        else {
            return None;
        };
        let mounts =
            |desired: &&Desired| desired.apps.values().any(|app| app.volumes.contains_key(&live.name));
        let declared = self.declared.iter().any(mounts);
        if is_unnamed(live.name.as_str()) || declared || self.is_a_services(host, &live.name) {
            return None;
        }
        Some(Foreign {
            subject: Subject::on_host(Kind::Volume, &live.name, host),
            made_of: MadeOf::Driver(live.spec.driver.clone()),
            created: None,
            maker: maker(why, &live.labels),
        })
    }

    fn swarm_network(&self, swarm: &str, live: &LiveNetwork) -> Option<Foreign> {
        let Belongs::Foreign { why } = self.owner.swarm_object("network", &live.name, swarm, &live.labels)
        else {
            return None;
        };
        (!is_the_engines(&live.name) && !self.declares_network(&live.name)).then(|| Foreign {
            subject: Subject::on_swarm(Kind::Network, &live.name, swarm),
            made_of: MadeOf::Driver(live.driver.clone()),
            created: None,
            maker: maker(why, &live.labels),
        })
    }

    fn config(&self, swarm: &str, live: &LiveConfig) -> Option<Foreign> {
        let Belongs::Foreign { why } = self.owner.swarm_object("config", &live.name, swarm, &live.labels)
        else {
            return None;
        };
        Some(Foreign {
            subject: Subject::on_swarm(Kind::Config, &live.name, swarm),
            made_of: MadeOf::Content,
            created: Some(live.created),
            maker: maker(why, &live.labels),
        })
    }

    /// By its labels (B1), or taken over by its name (B4).
    fn is_ours(&self, swarm: &str, live: &LiveService) -> bool {
        let labelled = self.owner.swarm_object("service", &live.name, swarm, &live.labels);
        let adopts = |desired: &&Desired| desired.adopter_of_service(swarm, &live.name).is_some();
        matches!(labelled, Belongs::Ours(_)) || self.declared.iter().any(adopts)
    }
}

/// `why`: what its labels prove, in words.
fn maker(why: String, labels: &BTreeMap<String, String>) -> Maker {
    if labels.keys().any(|label| label.starts_with(PREFIX)) { Maker::Trueup { why } } else { Maker::Nobody }
}
