//! Nodes that are down: of hosts that do not answer, and of no host any more. Swarm keeps both, and the addresses of their
//! tasks with them, until somebody removes them: they are told, and left.

use crate::model::drift::{Kind, Subject};
use crate::model::host::Host;
use crate::model::observed::{Engine, Seen};
use crate::model::plan::Unmanaged;
use crate::model::swarm::{Membership, Node, NodeState, Swarm};

use super::super::PlanInput;
use super::super::draft::Draft;
use super::spec::members;
use super::{Swarms, member};

enum Whose<'a> {
    /// Its host answers, and says that it is this node: Swarm alone has lost it, and tells its tasks.
    Answering,
    /// Its host answers, and its engine says why it is not at work in its Swarm: locked, in error, joining.
    Unwell(&'a Host, &'a Membership),
    Silent(&'a Host),
    /// Some host does not answer, and it may be this one's.
    Unclear,
    Nobody,
}

pub(super) fn tell(swarms: &Swarms<'_>, input: &PlanInput<'_>, draft: &mut Draft) {
    for (name, swarm) in &swarms.known {
        for node in swarm.nodes.values().filter(|node| node.state == NodeState::Down) {
            let state = state(swarm, node);
            let note = |whose: &str| format!("swarm {name}: the node {} is {state}; {whose}", node.hostname);
            match whose(input, name, node) {
                Whose::Answering => {}
                Whose::Unwell(host, member) => {
                    let state = member::state(member);
                    let words = format!("its host {} answers, and its engine is {state}", host.name);
                    draft.notes.push(note(&format!("{words}; {}", member::hint(member))));
                }
                Whose::Silent(host) => {
                    draft.notes.push(note(&format!("its host {} does not answer", host.name)));
                }
                Whose::Unclear => draft.notes.push(note("it may be of a host that does not answer")),
                Whose::Nobody => draft.unmanaged.push(Unmanaged {
                    subject: Subject::on_swarm(Kind::Node, &node.id, name),
                    why: format!(
                        "{}, which is no host's any more: {state}; remove it with `docker node rm {}`",
                        node.hostname, node.id
                    ),
                    collides: false,
                }),
            }
        }
    }
}

fn whose<'a>(input: &PlanInput<'a>, swarm: &str, node: &Node) -> Whose<'a> {
    let engine =
        |host: &Host| -> Option<&'a Engine> { input.observed.hosts.get(&host.name).and_then(Seen::known) };
    let is_it =
        |engine: &Engine| engine.info.membership.as_ref().is_some_and(|member| member.node == node.id);
    if members(input, swarm).filter_map(engine).any(is_it) {
        return Whose::Answering;
    }
    let matches = |host: &&Host| node.address == Some(host.address) || node.hostname == host.name.as_str();
    let unwell = members(input, swarm).find_map(|host| {
        let engine = engine(host)?;
        let member = engine.info.membership.as_ref().filter(|member| member::is_unwell(member))?;
        (matches(&host) || engine.info.name == node.hostname).then_some((host, member))
    });
    if let Some((host, member)) = unwell {
        return Whose::Unwell(host, member);
    }
    let silent = || members(input, swarm).filter(|host| engine(host).is_none());
    if let Some(host) = silent().find(matches) {
        return Whose::Silent(host);
    }
    let joined_again =
        members(input, swarm).filter_map(engine).any(|engine| engine.info.name == node.hostname);
    if joined_again || silent().next().is_none() { Whose::Nobody } else { Whose::Unclear }
}

fn state(swarm: &Swarm, node: &Node) -> String {
    let message = if node.message.is_empty() { String::new() } else { format!(" ({})", node.message) };
    let held: Vec<String> = swarm
        .held_by(&node.id)
        .into_iter()
        .map(|(network, addresses)| {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("{} on {network}", addresses.join(", "))
        })
        .collect();
    match held.is_empty() {
        true => format!("down{message}"),
        false => format!("down{message}; its tasks still hold {}", held.join("; ")),
    }
}
