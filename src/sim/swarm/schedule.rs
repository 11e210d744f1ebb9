//! Where a simulated Swarm puts tasks: nodes that are ready, active and fit, the emptiest first.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::secrecy::KeyedHash;
use crate::model::service::{PublishMode, ServiceSpec};
use crate::model::swarm::{Availability, Node, NodeRole, NodeState, TaskState};
use crate::model::units::Timestamp;

use super::{Made, SimSwarm};

/// Why a node does not take a task.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unfit {
    NotAvailable,
    Constraints,
    PortInUse,
    MaxReplicas,
}

impl Unfit {
    /// In swarmkit's words.
    fn words(self, nodes: usize) -> String {
        let on = format!("on {nodes} node{}", if nodes == 1 { "" } else { "s" });
        match self {
            Self::NotAvailable => {
                format!("{nodes} node{} not available for new tasks", if nodes == 1 { "" } else { "s" })
            }
            Self::Constraints => format!("scheduling constraints not satisfied {on}"),
            Self::PortInUse => format!("host-mode port already in use {on}"),
            Self::MaxReplicas => format!(
                "max replicas per node limit exceed on {nodes} node{}",
                if nodes == 1 { "" } else { "s" }
            ),
        }
    }
}

/// `node.labels.zone == a`, `node.role != manager` and the like.
pub(super) fn satisfies(node: &Node, constraints: &[String]) -> bool {
    constraints.iter().all(|text| {
        let (sides, wanted) = match text.split_once("!=") {
            Some(sides) => (Some(sides), false),
            None => (text.split_once("=="), true),
        };
        let Some((name, value)) = sides.map(|(name, value)| (name.trim(), value.trim())) else {
            return false;
        };
        let role = if node.role == NodeRole::Manager { "manager" } else { "worker" };
        let live = match name.strip_prefix("node.labels.") {
            Some(label) => node.labels.get(label).map(String::as_str).unwrap_or_default(),
            None if name == "node.role" => role,
            None if name == "node.hostname" => &node.hostname,
            None if name == "node.id" => &node.id,
            None => "",
        };
        (live == value) == wanted
    })
}

pub(super) fn is_available(node: &Node) -> bool {
    node.state == NodeState::Ready && node.availability == Availability::Active
}

impl SimSwarm {
    /// Gives tasks that have no node one, in the order of their ids.
    pub(super) fn schedule(&mut self, now: Timestamp) {
        let waiting: Vec<String> = self
            .tasks
            .values()
            .filter(|made| made.task.node.is_none() && made.task.wanted <= TaskState::Complete)
            .filter(|made| made.task.state <= TaskState::Pending)
            .map(|made| made.task.id.clone())
            .collect();
        for id in waiting {
            let Some(made) = self.tasks.get(&id).cloned() else { continue };
            let placed = self.place(&made);
            let Some(made) = self.tasks.get_mut(&id) else { continue };
            match placed {
                Ok(node) => {
                    made.task.node = Some(node);
                    (made.task.state, made.task.since) = (TaskState::Preparing, now);
                    made.begun = Some(now.max(made.begins));
                    made.task.error.clear();
                }
                Err(why) if made.task.error != why => {
                    (made.task.state, made.task.since, made.task.error) = (TaskState::Pending, now, why);
                }
                Err(_) => {}
            }
        }
    }

    fn place(&self, made: &Made) -> Result<String, String> {
        let mut unfit: BTreeMap<Unfit, usize> = BTreeMap::new();
        let mut fit: Vec<&Node> = Vec::new();
        for node in self.nodes.values() {
            match self.fits(node, made) {
                Ok(()) => fit.push(node),
                Err(why) => *unfit.entry(why).or_default() += 1,
            }
        }
        let of_service =
            |node: &Node| self.on_node(node, |other| other.task.service == made.task.service).count();
        let spread = |node: &Node| {
            let Some(label) = made.spec.spread.first().and_then(|text| text.strip_prefix("node.labels."))
            else {
                return 0;
            };
            let value = node.labels.get(label);
            let same = self.nodes.values().filter(|other| other.labels.get(label) == value);
            same.map(of_service).sum()
        };
        let all = |node: &Node| self.on_node(node, |_| true).count();
        fit.sort_by_key(|node| (spread(node), of_service(node), all(node), node.hostname.clone()));
        fit.first().map(|node| node.id.clone()).ok_or_else(|| {
            let why: Vec<String> = unfit.into_iter().map(|(why, nodes)| why.words(nodes)).collect();
            format!("no suitable node ({})", why.join("; "))
        })
    }

    fn fits(&self, node: &Node, made: &Made) -> Result<(), Unfit> {
        if !is_available(node) {
            return Err(Unfit::NotAvailable);
        }
        if !satisfies(node, &made.spec.constraints) {
            return Err(Unfit::Constraints);
        }
        let wanted = host_ports(&made.spec);
        let taken = self.on_node(node, |_| true).flat_map(|other| host_ports(&other.spec));
        if taken.collect::<BTreeSet<_>>().intersection(&wanted).next().is_some() {
            return Err(Unfit::PortInUse);
        }
        let most = usize::try_from(made.spec.max_per_node).unwrap_or(usize::MAX);
        let of_service = self.on_node(node, |other| other.task.service == made.task.service).count();
        if most > 0 && of_service >= most { Err(Unfit::MaxReplicas) } else { Ok(()) }
    }

    /// Tasks that are on the node, or will be.
    fn on_node<'s>(
        &'s self,
        node: &Node,
        wanted: impl Fn(&Made) -> bool + 's,
    ) -> impl Iterator<Item = &'s Made> {
        let node = node.id.clone();
        self.tasks.values().filter(move |made| {
            let there = made.task.node.as_deref() == Some(&node);
            let stays = made.task.wanted <= TaskState::Complete && made.task.state <= TaskState::Running;
            there && stays && wanted(made)
        })
    }
}

fn host_ports(spec: &ServiceSpec<KeyedHash>) -> BTreeSet<u16> {
    let host = spec.ports.iter().filter(|port| port.publish == PublishMode::Host);
    host.filter_map(|port| port.published).collect()
}
