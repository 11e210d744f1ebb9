//! The nodes that the inventory knows: their labels, and what Swarm may give them.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::drift::{Cure, FieldChange, Kind, Nature, Subject};
use crate::model::host::Host;
use crate::model::names::EnvironmentName;
use crate::model::observed::Seen;
use crate::model::plan::{Action, Change, Expect, Step, Verb};
use crate::model::secrecy::ContentHash;
use crate::model::swarm::{Availability, Node, NodeState, Swarm};

use super::super::PlanInput;
use super::super::draft::Draft;
use super::super::surroundings::because;
use super::Swarms;
use super::member::{Apart, apart, is_unwell};
use super::spec::{SERVES, members};

/// Names of the labels that trueup wrote, one a line: another one of a node's labels is somebody else's, and stays.
const WRITTEN: &str = "io.trueup.labels";
/// trueup drained it, and makes it active again once nothing asks for that any more.
const DRAINED: &str = "io.trueup.drained";

pub(super) fn plan(swarms: &Swarms<'_>, input: &PlanInput<'_>, draft: &mut Draft) {
    for (name, swarm) in &swarms.known {
        for host in members(input, name) {
            let subject = Subject::on_swarm(Kind::Node, &host.name, name);
            match node_of(input, swarm, host) {
                Found::Node(node) => one(input, name, host, node, subject, draft),
                Found::NotMember(apart) => {
                    draft.block(subject, None, format!("its engine {}", apart.told), &apart.hint);
                }
                // The host itself is told as unknown.
                Found::Unknown => {}
            }
        }
    }
}

enum Found<'a> {
    Node(&'a Node),
    NotMember(Apart),
    Unknown,
}

/// By the engine's own word, not by its name: names can be the same, and a node that left and joined again has another
/// id.
fn node_of<'a>(input: &PlanInput<'_>, swarm: &'a Swarm, host: &Host) -> Found<'a> {
    let Some(Seen::Known(engine)) = input.observed.hosts.get(&host.name) else { return Found::Unknown };
    let Some(membership) = &engine.info.membership else { return Found::Unknown };
    match (apart(Some(swarm), membership), swarm.nodes.get(&membership.node)) {
        (Some(apart), _) => Found::NotMember(apart),
        (None, Some(node)) => Found::Node(node),
        (None, None) => Found::Unknown,
    }
}

/// The inventory's labels, and which environments it serves (F5), where not every member serves them. What is labelled stays
/// so: Swarm moves the tasks of a constraint that a node no longer fits.
fn wanted_labels(input: &PlanInput<'_>, swarm: &str, host: &Host, node: &Node) -> BTreeMap<String, String> {
    let mut labels = host.labels.clone();
    for environment in &host.environments {
        let label = format!("{SERVES}{environment}");
        let apart = members(input, swarm).any(|other| !other.environments.contains(environment));
        if apart || node.labels.contains_key(&label) {
            labels.insert(label, "true".to_owned());
        }
    }
    labels
}

/// As far as Swarm's own list tells, where the engine does not.
fn seems(host: &Host, node: &Node) -> bool {
    node.hostname == host.name.as_str() || node.address == Some(host.address)
}

/// Where a constraint on the environment's label would end tasks that are where they may be (A1): the first member that
/// serves it and whose node has no such label yet, as far as is known, and gets none by this plan. Why, and what helps.
pub(super) fn lacks_label(
    input: &PlanInput<'_>,
    (name, swarm): (&str, &Swarm),
    environment: &EnvironmentName,
    draft: &Draft,
) -> Option<(String, String)> {
    let label = format!("{SERVES}{environment}");
    let may_lack =
        |node: &&Node| node.state != NodeState::Down && node.labels.get(&label).is_none_or(|it| it != "true");
    let engines = input.observed.hosts.values().filter_map(Seen::known);
    let taken: BTreeSet<&str> =
        engines.filter_map(|engine| engine.info.membership.as_ref()).map(|member| &*member.node).collect();
    let free = || swarm.nodes.values().filter(|node| !taken.contains(&*node.id));
    let by_hand = |node: &str| format!("`docker node update --label-add {label}=true {node}`");
    members(input, name).filter(|host| host.environments.contains(environment)).find_map(|host| {
        let member = input.observed.engine(&host.name).and_then(|engine| engine.info.membership.as_ref());
        match node_of(input, swarm, host) {
            Found::Node(node) => {
                let subject = Subject::on_swarm(Kind::Node, &host.name, name);
                let comes = !draft.numbers(|change| change.subject == subject).is_empty();
                (may_lack(&node) && !comes).then(|| {
                    let hint = format!("see what is said of the node, or label it: {}", by_hand(&node.id));
                    (format!("node {} has not got it yet", host.name), hint)
                })
            }
            // It is none of this Swarm's.
            Found::NotMember(_) if !member.is_some_and(is_unwell) => None,
            Found::NotMember(_) | Found::Unknown => {
                // Those that look like its own answer for it; where none does, it may be any that nobody else is.
                let own: Vec<&Node> = free().filter(|node| seems(host, node)).collect();
                let found = if own.is_empty() { free().collect() } else { own };
                let lacking: Vec<&Node> = found.into_iter().filter(may_lack).collect();
                (!lacking.is_empty()).then(|| {
                    let why = format!(
                        "which node is that of {}, which serves {environment}, is not known (A1)",
                        host.name
                    );
                    // A hand is not led to a node that looks like another host's, which may serve nothing of it (F5).
                    let others = |node: &Node| {
                        let mut hosts = input.desired.hosts.values();
                        hosts.any(|other| other.name != host.name && seems(other, node))
                    };
                    let nodes = lacking.iter().filter(|node| !others(node));
                    let nodes: Vec<String> =
                        nodes.map(|node| format!("{} ({})", node.id, node.hostname)).collect();
                    let mut hint = "make its engine answer".to_owned();
                    if !nodes.is_empty() {
                        let (hand, nodes) = (by_hand("NODE"), nodes.join(", "));
                        hint += &format!(", or label its node: {hand}, NODE being one of {nodes}");
                    }
                    (why, hint)
                })
            }
        }
    })
}

fn one(input: &PlanInput<'_>, swarm: &str, host: &Host, node: &Node, subject: Subject, draft: &mut Draft) {
    let wanted = wanted_labels(input, swarm, host, node);
    let written = node.labels.get(WRITTEN).map(String::as_str).unwrap_or_default();
    let mut labels: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut changes: Vec<FieldChange> = Vec::new();
    let mut change = |field: String, desired: Option<&str>, live: Option<&str>| {
        let text = |text: Option<&str>| text.unwrap_or(crate::diff::NOTHING).to_owned();
        changes.push(FieldChange { field, desired: text(desired), live: text(live), cure: Cure::InPlace });
    };
    for (name, value) in &wanted {
        let live = node.labels.get(name);
        if live != Some(value) {
            labels.insert(name.clone(), Some(value.clone()));
            change(format!("labels.{name}"), Some(value), live.map(String::as_str));
        }
    }
    for name in written.lines().filter(|name| !wanted.contains_key(*name)) {
        if let Some(live) = node.labels.get(name) {
            labels.insert(name.to_owned(), None);
            change(format!("labels.{name}"), None, Some(live));
        }
    }
    let drained = node.labels.contains_key(DRAINED);
    let availability = match (host.availability, drained) {
        (Some(wanted), _) => Some(wanted),
        (None, true) => Some(Availability::Active),
        (None, false) => None,
    };
    let availability = availability.filter(|wanted| *wanted != node.availability);
    if let Some(wanted) = availability {
        change("availability".to_owned(), Some(wanted.name()), Some(node.availability.name()));
    }
    let drains = host.availability == Some(Availability::Drain);
    if drains != drained {
        labels.insert(DRAINED.to_owned(), drains.then(|| "true".to_owned()));
    }
    let names = wanted.keys().map(String::as_str).collect::<Vec<_>>().join("\n");
    if written != names {
        labels.insert(WRITTEN.to_owned(), Some(names));
    }
    if labels.is_empty() && availability.is_none() {
        return;
    }
    let mut reasons = because(&changes);
    if reasons.is_empty() {
        reasons.push("its labels are noted as trueup's".to_owned());
    }
    let action = Action::UpdateNode { node: node.id.clone(), version: node.version, labels, availability };
    let change = Change {
        action: Verb::Update,
        subject,
        app: None,
        from: Some(ContentHash::of(reasons.join("\n").as_bytes())),
        to: Some(ContentHash::of(format!("{wanted:?} {:?}", host.availability).as_bytes())),
        because: reasons,
        steps: vec![Step { action, expect: Expect::Anything }],
        undo: Vec::new(),
        after: Vec::new(),
        destructive: false,
        interrupts: drains && node.availability != Availability::Drain,
    };
    draft.heal(input, Nature::Changed(changes), change);
}
