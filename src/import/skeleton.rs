//! What a config repository needs beside its apps: `fleet.toml`, the host, the networks that are there.

use std::collections::BTreeMap;

use crate::model::host::Host;
use crate::model::names::{EnvironmentName, FleetName, HostName, NetworkName};
use crate::model::network::NetworkSpec;
use crate::model::observed::LiveNetwork;

use super::toml::{Page, key, string, strings};

/// `fleet.toml`, for a repository that has none yet.
pub fn skeleton(
    fleet: &FleetName,
    environment: &EnvironmentName,
    swarm: Option<(&str, &[HostName])>,
) -> String {
    let mut page = Page::default();
    page.comment(
        "The fleet: what it is called and which environments it has. A merge to the main branch deploys.",
    );
    page.set("fleet", string(fleet.as_str()));
    page.set("environments", strings([environment.as_str()]));
    let comments = [
        "The stricter rules hold where this is set: for what was imported too, as soon as a commit changes it.".to_owned(),
        "production = true".to_owned(),
    ];
    page.table_with(&format!("[environment.{environment}]"), &comments, &[]);
    if let Some((swarm, managers)) = swarm {
        let comments =
            ["Name its managers, all of them: hosts of hosts/*.toml. The next is asked where one is silent."
                .to_owned()];
        let managers = strings(managers.iter().map(HostName::as_str));
        page.table_with(&format!("[swarm.{}]", key(swarm)), &comments, &[("managers".to_owned(), managers)]);
    }
    page.text()
}

/// `hosts/NAME.toml`.
pub fn host(host: &Host) -> String {
    let mut page = Page::default();
    let mut entries = vec![
        ("address".to_owned(), string(&host.address.to_string())),
        ("engine".to_owned(), string(&host.engine.to_string())),
        ("environments".to_owned(), strings(host.environments.iter().map(EnvironmentName::as_str))),
    ];
    if !host.labels.is_empty() {
        let labels: Vec<_> = host.labels.iter().map(|(k, v)| (k.clone(), string(v))).collect();
        entries.push(("labels".to_owned(), super::toml::inline(&labels)));
    }
    entries.extend(host.swarm.as_ref().map(|swarm| ("swarm".to_owned(), string(swarm))));
    page.table(&format!("[host.{}]", key(host.name.as_str())), &entries);
    page.text()
}

/// `networks/NAME.toml` of a network that stays somebody else's: no label can be put on it.
pub(super) fn network(name: &NetworkName, live: Option<&LiveNetwork>, hosts: &[&HostName]) -> String {
    let mut page = Page::default();
    let where_ = hosts.iter().map(|host| host.as_str()).collect::<Vec<_>>().join(", ");
    let mut comments = vec![format!(
        "Was there before trueup, on {where_}: it is used as it is, and never made or removed."
    )];
    let mut entries = Vec::new();
    match live.and_then(|live| live.spec.as_ref()) {
        Some(spec) => described(spec, &mut comments, &mut entries),
        None => comments.extend(live.map(|live| format!("Its driver is {}.", live.driver))),
    }
    entries.push(("external".to_owned(), "true".to_owned()));
    page.table_with(&format!("[network.{}]", key(name.as_str())), &comments, &entries);
    page.text()
}

/// A bridge's subnet is each host's own, so it is told and not declared.
fn described(spec: &NetworkSpec, comments: &mut Vec<String>, entries: &mut Vec<(String, String)>) {
    entries.push(("driver".to_owned(), string(spec.driver.name())));
    let subnet = spec.subnet.map(|subnet| subnet.to_string());
    if spec.driver.shares_segment_between_hosts() {
        entries.extend(subnet.map(|subnet| ("subnet".to_owned(), string(&subnet))));
        entries.extend(spec.gateway.map(|gateway| ("gateway".to_owned(), string(&gateway.to_string()))));
    } else if let Some(subnet) = subnet {
        comments.push(format!("Its subnet is {subnet}."));
    }
    entries.extend(spec.parent.as_ref().map(|parent| ("parent".to_owned(), string(parent))));
    for (name, set) in [("internal", spec.internal), ("attachable", spec.attachable)] {
        if set {
            entries.push((name.to_owned(), "true".to_owned()));
        }
    }
}

/// The networks that apps are on, each once, with the hosts where it was seen.
pub(super) type Networks<'a> = BTreeMap<NetworkName, (Option<&'a LiveNetwork>, Vec<&'a HostName>)>;
