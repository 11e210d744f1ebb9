//! Since when things are wrong: noted when they are seen first, and forgotten only by a look that would have seen them.

use std::collections::BTreeSet;

use crate::model::drift::{Kind, Subject};
use crate::model::observed::Seen;
use crate::model::swarm::{Node, NodeState};

use super::memory::{FirstSeen, Memory};
use super::pass::Pass;
use super::{ControlError, World};

/// Notes what is wrong in this look, and forgets what is over.
pub fn note(world: &World, pass: &Pass) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    let wrong = wrong(pass);
    let known = memory.all_first_seen()?;
    let over = known.iter().filter(|(words, first)| !wrong.contains(*words) && would_see(pass, words, first));
    let over = over.map(|(words, _)| (words.clone(), None));
    let first = FirstSeen { at: world.clock.now(), within: pass.desired.scope.clone() };
    let begun = wrong.iter().filter(|words| !known.contains_key(*words));
    let begun = begun.map(|words| (words.clone(), Some(first.clone())));
    Ok(memory.note_first_seen(over.chain(begun).collect())?)
}

/// Everything that is not as it should be, by the subject in words.
fn wrong(pass: &Pass) -> BTreeSet<String> {
    let plan = &pass.plan;
    let drift = plan.drift.iter().map(|drift| &drift.subject);
    let unknown = plan.unknown.iter().map(|unknown| &unknown.subject);
    let blocked = plan.blocked.iter().map(|blocked| &blocked.subject);
    let in_the_way = plan.unmanaged.iter().filter(|thing| thing.collides).map(|thing| &thing.subject);
    let planned = drift.chain(unknown).chain(blocked).chain(in_the_way).map(ToString::to_string);
    planned.chain(down_nodes(pass).map(|(swarm, node)| node_subject(swarm, node).to_string())).collect()
}

/// Members of a Swarm that its managers hear nothing from.
pub fn down_nodes(pass: &Pass) -> impl Iterator<Item = (&str, &Node)> {
    pass.observed.swarms.iter().flat_map(|(name, seen)| {
        let nodes = seen.known().into_iter().flat_map(|swarm| swarm.nodes.values());
        nodes.filter(|node| node.state == NodeState::Down).map(move |node| (name.as_str(), node))
    })
}

/// By its host name: ids change.
pub fn node_subject(swarm: &str, node: &Node) -> Subject {
    Subject::on_swarm(Kind::Node, &node.hostname, swarm)
}

/// Whether this look would show the thing, were it still wrong: it is among the environments of the look, and its host or
/// Swarm answered or is no longer declared.
fn would_see(pass: &Pass, words: &str, first: &FirstSeen) -> bool {
    let subject = Subject::parse(words);
    let among_them = match &pass.desired.scope {
        None => true,
        Some(scope) => {
            let app = subject.as_ref().and_then(Subject::app);
            app.is_some_and(|app| scope.contains(&app.environment))
                || first.within.as_ref().is_some_and(|within| within.is_subset(scope))
        }
    };
    let (host, swarm) = subject.map(|subject| (subject.host, subject.swarm)).unwrap_or_default();
    let host = host.and_then(|host| pass.observed.hosts.get(&host));
    let swarm = swarm.and_then(|swarm| pass.observed.swarms.get(&swarm));
    among_them && !host.is_some_and(is_unknown) && !swarm.is_some_and(is_unknown)
}

fn is_unknown<T>(seen: &Seen<T>) -> bool {
    seen.known().is_none()
}
