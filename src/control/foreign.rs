//! What else stands on the declared hosts and Swarms: containers and services that are not trueup's and in nobody's way.
//! Reports tell them, and nothing is ever done about them (B1).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::model::adoption;
use crate::model::desired::Desired;
use crate::model::drift::{Kind, Subject};
use crate::model::names::HostName;
use crate::model::observed::{Container, Seen, task_of};
use crate::model::ownership::{Belongs, Owner, PREFIX};
use crate::model::report::{Foreign, Maker};
use crate::model::swarm::LiveService;

use super::World;
use super::concern::Concern;
use super::pass::Pass;

/// Everything foreign that the plan does not tell already: by place, by whoever made it, the newest first.
pub(super) fn foreign(world: &World, pass: &Pass, concern: &Concern<'_>) -> Vec<Foreign> {
    let owner = world.owner(&pass.desired.fleet);
    // Whole revisions: what another environment takes over is its own, also where this process does not judge it.
    let look = Look { pass, owner: &owner, declared: [&pass.taken.desired, &pass.judged.enforced.desired] };
    let containers =
        pass.observed.hosts.iter().filter(|(host, _)| concern.host(host)).flat_map(|(host, seen)| {
            let all = seen.known().into_iter().flat_map(|engine| engine.containers.values());
            all.filter_map(Seen::known).map(move |container| (host, container))
        });
    let services =
        pass.observed.swarms.iter().filter(|(name, _)| concern.swarm(name)).flat_map(|(name, seen)| {
            let all = seen.known().into_iter().flat_map(|swarm| swarm.services.values());
            all.filter_map(Seen::known).map(move |live| (name.as_str(), live))
        });
    let containers = containers.filter_map(|(host, container)| look.container(host, container));
    let mut found: Vec<Foreign> =
        containers.chain(services.filter_map(|(swarm, live)| look.service(swarm, live))).collect();
    let told =
        |thing: &Foreign| pass.plan.unmanaged.iter().any(|unmanaged| unmanaged.subject == thing.subject);
    found.retain(|thing| !told(thing));
    let order = |thing: &Foreign| {
        let Foreign { subject, image: _, created, maker } = thing;
        let place = (subject.host.clone(), subject.swarm.clone());
        (place, maker.clone(), Reverse(*created), subject.name.clone())
    };
    found.sort_by_cached_key(order);
    found
}

struct Look<'a> {
    pass: &'a Pass,
    owner: &'a Owner,
    declared: [&'a Desired; 2],
}

impl Look<'_> {
    fn container(&self, host: &HostName, container: &Container) -> Option<Foreign> {
        let Belongs::Foreign { why } = self.owner.container(&container.name, host, &container.labels) else {
            return None;
        };
        let observed = &self.pass.observed;
        if self.declared.iter().any(|desired| adoption::adopted(desired, observed, host, container).is_some())
        {
            return None;
        }
        let maker = match task_of(&container.name, &container.labels) {
            Some(task) => Maker::Swarm { service: self.service_of(host, container, task)? },
            None => maker(why, &container.labels),
        };
        Some(Foreign {
            subject: Subject::on_host(Kind::Container, &container.name, host),
            image: container.image_name.clone(),
            created: container.created,
            maker,
        })
    }

    /// The service that the task is of, where a Swarm tells; `None`: one of ours, or that may be of ours (A1).
    fn service_of(&self, host: &HostName, container: &Container, task: &str) -> Option<Option<String>> {
        let desired = &self.pass.desired;
        let may_be_of = |name: &String| {
            let managers = desired.swarms.get(name);
            desired.hosts.get(host).is_some_and(|host| host.is_member(name, managers))
        };
        for (name, seen) in &self.pass.observed.swarms {
            let Some(swarm) = seen.known() else {
                if may_be_of(name) {
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
            image: live.spec.image.to_string(),
            created: live.created,
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
