//! Why an engine that answers is no node of the Swarm that its host is declared in, and what helps.

use crate::model::swarm::{Membership, Swarm};

/// An engine that is apart from its Swarm.
pub(in super::super) struct Apart {
    /// As its host's name would begin it.
    pub words: String,
    /// As "its engine" would begin it.
    pub told: String,
    pub hint: String,
}

/// `None`: it is one of its nodes, as far as can be told; `swarm` `None`: the Swarm is not known.
pub(in super::super) fn apart(swarm: Option<&Swarm>, member: &Membership) -> Option<Apart> {
    let hint = hint(member);
    if member.node.is_empty() {
        let words = format!("is in no Swarm ({})", state(member));
        return Some(Apart { told: format!("says that it {words}"), words, hint });
    }
    if swarm.is_none_or(|swarm| swarm.nodes.contains_key(&member.node)) {
        return None;
    }
    let error = if member.error.is_empty() { String::new() } else { format!(": {}", member.error) };
    let words = format!("is node {} of a Swarm, which this one does not list{error}", member.node);
    Some(Apart { told: words.clone(), words, hint })
}

/// It was told of a Swarm and is not at work in it.
pub(super) fn is_unwell(member: &Membership) -> bool {
    member.node.is_empty() && member.state != "inactive"
}

pub(super) fn state(member: &Membership) -> String {
    match member.error.is_empty() {
        true => member.state.clone(),
        false => format!("{}: {}", member.state, member.error),
    }
}

pub(super) fn hint(member: &Membership) -> String {
    match member.state.as_str() {
        "locked" => "unlock it there with `docker swarm unlock`".to_owned(),
        "pending" => "it is joining: wait for that".to_owned(),
        "error" if member.error.is_empty() => "see its engine's log".to_owned(),
        "error" => format!("mend what its engine says: {}", member.error),
        _ => "join it, or take `swarm` away from the host".to_owned(),
    }
}
