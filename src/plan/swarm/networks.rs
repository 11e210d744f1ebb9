//! Overlay networks: one for the whole Swarm, made through a manager.

use crate::diff;
use crate::model::drift::{Kind, Nature, Subject};
use crate::model::host::Host;
use crate::model::names::NetworkName;
use crate::model::network::{Network, NetworkDriver};
use crate::model::observed::{Engine, LiveNetwork, Seen};
use crate::model::ownership::Belongs;
use crate::model::plan::{Action, Change, Expect, Step, Verb};
use crate::model::secrecy::ContentHash;
use crate::model::swarm::{Swarm, Task, TaskState};

use super::super::PlanInput;
use super::super::draft::Draft;
use super::super::surroundings::{Made, field_names};
use super::Swarms;
use super::spec::members;

pub(super) fn prepare(
    swarms: &Swarms<'_>,
    input: &PlanInput<'_>,
    swarm: &str,
    name: &NetworkName,
    draft: &mut Draft,
) -> Made {
    let Some(declared) = input.desired.networks.get(name) else {
        return Err((format!("network {name} is not declared"), "declare it under networks/".to_owned()));
    };
    let Some(seen) = swarms.known.get(swarm) else {
        return Err((
            format!("the Swarm {swarm} is unknown, and with it the network {name}"),
            "see its managers".to_owned(),
        ));
    };
    let subject = Subject::on_swarm(Kind::Network, name, swarm);
    if let Some(number) = draft.numbers(|change| change.subject == subject).into_iter().next() {
        return Ok(Some(number));
    }
    match seen.networks.get(name.as_str()) {
        Some(Seen::Unknown { why }) => {
            Err((format!("network {name} is unknown: {why}"), "see the Swarm's managers".to_owned()))
        }
        None if declared.external => Err((
            format!("the external network {name} is not in the Swarm {swarm}"),
            "make it there; trueup only attaches to it".to_owned(),
        )),
        None => create(input, declared, swarm, subject, draft),
        Some(Seen::Known(_)) if declared.external => Ok(None),
        Some(Seen::Known(live)) => existing(input, seen, declared, swarm, subject, live, draft),
    }
}

fn step(input: &PlanInput<'_>, network: &Network, swarm: &str) -> Step {
    let name = network.name.to_string();
    let labels = input.owner.swarm_labels("network", &name, swarm, None);
    Step {
        action: Action::CreateNetwork { name, spec: network.spec.clone(), labels },
        expect: Expect::Absent,
    }
}

fn hash(network: &Network) -> ContentHash {
    ContentHash::of(serde_json::to_string(&network.spec).unwrap_or_default().as_bytes())
}

fn create(
    input: &PlanInput<'_>,
    network: &Network,
    swarm: &str,
    subject: Subject,
    draft: &mut Draft,
) -> Made {
    if network.spec.driver != NetworkDriver::Overlay {
        return Err((
            format!("{} is no overlay network: services cannot be on it", network.name),
            "declare driver = \"overlay\"".to_owned(),
        ));
    }
    let because = "services here are attached to it".to_owned();
    let (to, step) = (hash(network), step(input, network, swarm));
    let change = super::super::surroundings::creation(subject, None, because, to, step);
    super::super::surroundings::planned(input, change, draft)
}

/// A network takes no change: it is made anew where nothing is on it, and waits for that elsewhere.
fn existing(
    input: &PlanInput<'_>,
    seen: &Swarm,
    network: &Network,
    swarm: &str,
    subject: Subject,
    live: &LiveNetwork,
    draft: &mut Draft,
) -> Made {
    let changes = diff::network(&network.spec, live);
    // Several that use it: it is told once.
    if changes.is_empty() || draft.drift.iter().any(|drift| drift.subject == subject) {
        return Ok(None);
    }
    if let Belongs::Foreign { why } = input.owner.swarm_object("network", &live.name, swarm, &live.labels) {
        let reason =
            format!("a network {} that is not ours differs in {}", network.name, field_names(&changes));
        let hint = "rename one of the two, or remove the other";
        if !draft.blocked.iter().any(|blocked| blocked.subject == subject) {
            let unmanaged = crate::model::plan::Unmanaged { subject: subject.clone(), why, collides: true };
            draft.unmanaged.push(unmanaged);
            draft.block(subject, None, reason.clone(), hint);
        }
        return Err((reason, hint.to_owned()));
    }
    let services = users(seen, &live.name).map(str::to_owned);
    let containers = attached(input, seen, swarm, &live.name);
    let unread = containers.iter().any(|one| one.whose == Whose::Unknown);
    let users: Vec<String> = services.chain(containers.into_iter().map(|one| one.words)).collect();
    if !users.is_empty() {
        let reason = format!(
            "network {} must be made anew for {}, and is used by {}",
            network.name,
            field_names(&changes),
            users.join(", ")
        );
        draft.leave(subject.clone(), None, Nature::Changed(changes), reason.clone());
        let hint = match unread {
            true => "declare a network of another name and move everything to it",
            false => "declare a network of another name and move everything to it, or detach what is on it",
        };
        draft.block(subject, None, reason, hint);
        return Ok(None);
    }
    let because = super::super::surroundings::because(&changes);
    let remove = Action::RemoveNetwork { name: live.name.clone() };
    let change = Change {
        action: Verb::Replace,
        subject,
        app: None,
        from: Some(ContentHash::of(because.join("\n").as_bytes())),
        because,
        to: Some(hash(network)),
        steps: vec![
            Step { action: remove, expect: Expect::Id(live.id.clone()) },
            step(input, network, swarm),
        ],
        undo: Vec::new(),
        after: Vec::new(),
        destructive: false,
        interrupts: false,
    };
    Ok(draft.heal(input, Nature::Changed(changes), change))
}

/// Services that are attached to the network, whoever's they are.
pub(super) fn users<'a>(swarm: &'a Swarm, network: &'a str) -> impl Iterator<Item = &'a str> {
    let uses = move |seen: &Seen<crate::model::swarm::LiveService>| match seen {
        Seen::Known(live) => live.spec.networks.keys().any(|name| name.as_str() == network),
        // What cannot be read may use anything (A1).
        Seen::Unknown { .. } => true,
    };
    swarm.services.iter().filter(move |(_, seen)| uses(seen)).map(|(name, _)| name.as_str())
}

/// A container that is attached to a network of the Swarm by itself, not as a task of a service.
pub(super) struct Attached {
    /// As people find it.
    pub words: String,
    pub whose: Whose,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// An instance of ours: it goes with the app, not by hand.
    Ours,
    Foreign,
    /// It could not be read (A1).
    Unknown,
}

/// Containers on the network, on whatever host; one on a host that died is still one to Swarm.
pub(super) fn attached(input: &PlanInput<'_>, seen: &Swarm, swarm: &str, network: &str) -> Vec<Attached> {
    let lives = |task: &&Task| {
        let there = task.state <= TaskState::Running && task.wanted <= TaskState::Running;
        task.service.is_none() && there && task.addresses.contains_key(network)
    };
    let one = |task: &Task| {
        let container = task.container.as_deref().unwrap_or_default();
        let found = members(input, swarm).find_map(|host| {
            let containers = input.observed.engine(&host.name)?.containers.values();
            let live = containers.filter_map(Seen::known).find(|live| live.id == container)?;
            Some((host, live))
        });
        if let Some((host, live)) = found {
            let whose = match input.owner.container(&live.name, &host.name, &live.labels) {
                Belongs::Ours(_) => Whose::Ours,
                Belongs::Foreign { .. } => Whose::Foreign,
            };
            return Attached { words: format!("container {} on {}", live.name, host.name), whose };
        }
        let whose = if may_be_unread(input, swarm, task) { Whose::Unknown } else { Whose::Foreign };
        let node = task.node.as_ref().and_then(|id| seen.nodes.get(id));
        let node = node.map_or("a node that left", |node| node.hostname.as_str());
        let short: String = container.chars().take(12).collect();
        Attached { words: format!("container {short} on {node}"), whose }
    };
    seen.tasks.values().filter(lives).map(one).collect()
}

/// Whether it may be one that its host did not tell in full: a container that could not be read has no id, and a host that
/// does not answer tells none.
fn may_be_unread(input: &PlanInput<'_>, swarm: &str, task: &Task) -> bool {
    let engine = |host: &Host| input.observed.engine(&host.name);
    let is_its = |engine: &&Engine| {
        engine.info.membership.as_ref().is_some_and(|member| Some(&member.node) == task.node.as_ref())
    };
    match members(input, swarm).filter_map(engine).find(is_its) {
        Some(engine) => engine.containers.values().any(|seen| seen.known().is_none()),
        None => members(input, swarm).any(|host| engine(host).is_none()),
    }
}
