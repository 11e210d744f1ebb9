//! The networks of a Compose project that its apps are on.

use std::collections::BTreeSet;

use crate::model::app::Replicas;
use crate::model::container::Networks;

use super::super::Imported;
use super::super::app::Draft;
use super::super::toml::{Page, inline, key, string};
use super::yaml::{Node, Place};
use super::{Project, is_external};

/// The networks that the app is on, by their names in the repository.
pub(super) fn of(draft: &Draft) -> BTreeSet<String> {
    match &draft.spec.networks {
        Networks::Named(named) => named.keys().map(ToString::to_string).collect(),
        Networks::Default | Networks::Host | Networks::None => BTreeSet::new(),
    }
}

pub(super) fn instances(draft: &Draft) -> usize {
    match draft.replicas {
        Replicas::Count(count) => usize::try_from(count).unwrap_or_default(),
        Replicas::EveryHost => draft.hosts.len().max(1),
    }
}

/// `networks/NAME.toml` for each that is used.
pub(super) fn files(project: &Project<'_>, used: &BTreeSet<String>, imported: &mut Imported) {
    let declared = project.document.get("networks").map(Node::map).unwrap_or_default();
    let has_default = declared.iter().any(|(name, _)| name == "default");
    let names = declared.iter().map(|(name, node)| (name.as_str(), Some(node)));
    let names = names.chain((!has_default).then_some(("default", None)));
    for (name, node) in names {
        let on_engine = project.network(name);
        if used.contains(&on_engine) {
            let text = page(project, name, &on_engine, node, imported);
            imported.files.insert(format!("networks/{on_engine}.toml"), text);
        }
    }
}

fn page(
    project: &Project<'_>,
    name: &str,
    on_engine: &str,
    node: Option<&Node>,
    imported: &mut Imported,
) -> String {
    let said = |key: &str| node.and_then(|n| n.get(key));
    let text = |key: &str| said(key).and_then(Node::text);
    let external = said("external").is_some_and(is_external);
    let usual = if project.swarm.is_some() { "overlay" } else { "bridge" };
    let driver = text("driver").unwrap_or(usual);
    let mut entries = vec![("driver".to_owned(), string(driver))];
    let ipam = said("ipam").and_then(|i| i.get("config")).and_then(|c| c.list().first());
    let mut lost = |place: &Place, what: &str| {
        imported.note(format!("{place} network {name}"), format!("could not carry over {what}"));
    };
    for (ours, theirs) in [("subnet", "subnet"), ("gateway", "gateway"), ("ip_range", "ip_range")] {
        let value = ipam.and_then(|i| i.get(theirs)).and_then(Node::text);
        entries.extend(value.map(|value| (ours.to_owned(), string(value))));
    }
    let pairs = |key: &str| {
        let pairs = said(key).map(|n| n.pairs(&['='])).unwrap_or_default();
        pairs.into_iter().map(|(name, value, _)| (name, value.unwrap_or_default())).collect::<Vec<_>>()
    };
    let mut options = pairs("driver_opts");
    if let Some(at) = options.iter().position(|(name, _)| name == "parent") {
        entries.push(("parent".to_owned(), string(&options.remove(at).1)));
    }
    for flag in ["internal", "attachable"].into_iter().filter(|flag| said(flag).is_some_and(Node::flag)) {
        entries.push((flag.to_owned(), "true".to_owned()));
    }
    for (name, pairs) in [("options", options), ("labels", pairs("labels"))] {
        let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| (name, string(&value))).collect();
        if !pairs.is_empty() {
            entries.push((name.to_owned(), inline(&pairs)));
        }
    }
    if external {
        entries.push(("external".to_owned(), "true".to_owned()));
    }
    for (key, inner) in node.map(Node::map).unwrap_or_default() {
        let known = ["driver", "ipam", "driver_opts", "internal", "attachable", "labels", "external", "name"];
        if !known.contains(&key.as_str()) && !key.starts_with("x-") {
            lost(&inner.place, key);
        }
    }
    said("ipam").into_iter().for_each(|ipam| lose_of_ipam(ipam, &mut lost));
    let mut page = Page::default();
    page.comment(&format!("Imported from the network {name} of the Compose project {}.", project.name));
    page.table(&format!("[network.{}]", key(on_engine)), &entries);
    page.text()
}

/// Of the addresses a network file has words for the first subnet alone.
fn lose_of_ipam(ipam: &Node, lost: &mut dyn FnMut(&Place, &str)) {
    for (key, inner) in ipam.map() {
        match (key.as_str(), inner.text()) {
            ("config", _) | ("driver", Some("default")) => {}
            (key, _) => lost(&inner.place, &format!("ipam.{key}")),
        }
    }
    for (at, config) in ipam.get("config").map(Node::list).unwrap_or_default().iter().enumerate() {
        for (key, inner) in config.map() {
            if at > 0 || !["subnet", "gateway", "ip_range"].contains(&key.as_str()) {
                lost(&inner.place, &format!("{key} of ipam.config, entry {}", at + 1));
            }
        }
    }
}
