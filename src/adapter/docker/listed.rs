//! What the list of an engine's containers tells without a look at each: names, who is attached to which network, and all
//! that matters of a Swarm's tasks, which no host's app may be (a look at each costs as much as one at an own container).

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{
    ContainerSummary, ContainerSummaryStateEnum, EndpointSettings, NetworkInspect, PortSummary,
    PortSummaryTypeEnum,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::container::{Port, Protocol};
use crate::model::image::Digest;
use crate::model::names::ContainerName;
use crate::model::observed::{self, Container, Health, LiveNetwork, LiveSpec, RunState, Seen};
use crate::model::ownership;
use crate::model::units::Timestamp;

use super::{json, live};

/// A container's own name; a linked one also lists names with a second `/`.
pub(super) fn name(summary: &ContainerSummary) -> Option<&str> {
    let names = summary.names.iter().flatten();
    names.filter_map(|name| name.strip_prefix('/')).find(|name| !name.contains('/'))
}

/// Whether trueup put files into it, which have to be read.
pub(super) fn has_files(summary: &ContainerSummary) -> bool {
    summary.labels.as_ref().is_some_and(|labels| labels.contains_key(ownership::FILES))
}

/// Images of the listed containers; what is no id cannot be asked for.
pub(super) fn images(list: &[ContainerSummary]) -> impl Iterator<Item = Digest> {
    list.iter().filter_map(|summary| summary.image_id.as_deref()?.parse().ok())
}

/// The answer to `GET /networks`, one by one: an odd one is unknown by itself (A1).
pub(super) fn networks(body: &[u8]) -> Result<Vec<(String, Seen<LiveNetwork>)>, String> {
    /// All that an odd one has to tell.
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Named<'b> {
        #[serde(borrow)]
        name: Option<Cow<'b, str>>,
    }
    let list: Vec<&RawValue> = json(body)?;
    let network = |told: &RawValue| {
        let named: Result<Named<'_>, _> = serde_json::from_str(told.get());
        let name = named.ok().and_then(|named| named.name).filter(|name| !name.is_empty());
        let name = name.ok_or("a network has no name")?.into_owned();
        let seen = match serde_json::from_str::<NetworkInspect>(told.get()) {
            Ok(inspect) if inspect.id.as_deref().is_none_or(str::is_empty) => {
                Seen::unknown("GET /networks: it has no id")
            }
            Ok(inspect) => Seen::Known(live::network(inspect)),
            Err(error) => Seen::unknown(format!("GET /networks: {error}")),
        };
        Ok((name, seen))
    };
    list.into_iter().map(network).collect()
}

/// Containers by the name that the look at each found. Names that moved on meanwhile may be found twice: then neither is
/// known, and none is lost (A1).
pub(super) fn by_name(
    seen: impl Iterator<Item = (ContainerName, Seen<Container>)>,
) -> BTreeMap<ContainerName, Seen<Container>> {
    let mut all = BTreeMap::new();
    for (name, container) in seen {
        match all.entry(name) {
            Entry::Vacant(free) => drop(free.insert(container)),
            Entry::Occupied(mut taken) => {
                let why = "two containers had this name while they were looked at: one was renamed meanwhile";
                taken.insert(Seen::unknown(why));
            }
        }
    }
    all
}

/// Names of the containers that are on a network, or are going to be when they are started.
#[derive(Default)]
pub(super) struct Attached {
    by_id: HashMap<String, BTreeSet<String>>,
    /// Who never ran, and is to be on whatever network is called so then (measured on 20.10).
    by_name: HashMap<String, BTreeSet<String>>,
}

impl Attached {
    pub fn of(list: &[ContainerSummary]) -> Self {
        let mut attached = Self::default();
        for summary in list {
            let Some(name) = name(summary).or(summary.id.as_deref()) else { continue };
            for (network, endpoint) in endpoints(summary).into_iter().flatten() {
                // The endpoint of a stopped one has no id.
                let is_there = endpoint.endpoint_id.as_deref().is_some_and(|id| !id.is_empty());
                if !is_there && !may_start(summary, name) {
                    continue;
                }
                let of = match endpoint.network_id.as_deref().filter(|id| !id.is_empty()) {
                    Some(id) => attached.by_id.entry(id.to_owned()),
                    None => attached.by_name.entry(network.clone()),
                };
                of.or_default().insert(name.to_owned());
            }
        }
        attached
    }

    pub fn to(&self, network: &LiveNetwork) -> BTreeSet<String> {
        let found = [self.by_id.get(&network.id), self.by_name.get(&network.name)];
        found.into_iter().flatten().flatten().cloned().collect()
    }
}

/// Whether it may be started again: no Swarm starts an ended task, and no engine what it is about to remove.
fn may_start(summary: &ContainerSummary, name: &str) -> bool {
    let goes = match summary.state {
        Some(ContainerSummaryStateEnum::REMOVING | ContainerSummaryStateEnum::DEAD) => true,
        Some(
            ContainerSummaryStateEnum::EMPTY
            | ContainerSummaryStateEnum::CREATED
            | ContainerSummaryStateEnum::RUNNING
            | ContainerSummaryStateEnum::STOPPING
            | ContainerSummaryStateEnum::PAUSED
            | ContainerSummaryStateEnum::RESTARTING
            | ContainerSummaryStateEnum::EXITED,
        )
        | None => false,
    };
    let labels = || live::sorted(summary.labels.clone());
    !goes && !name.parse().is_ok_and(|name| observed::is_task(&name, &labels()))
}

fn endpoints(summary: &ContainerSummary) -> Option<&HashMap<String, EndpointSettings>> {
    summary.network_settings.as_ref()?.networks.as_ref()
}

/// A Swarm's task as far as the list tells: no more of it is compared with anything, and it says so (`veiled`). `None`:
/// it is none, or the list tells too little of it.
pub(super) fn task(summary: &ContainerSummary, name: &ContainerName) -> Option<Container> {
    let labels = live::sorted(summary.labels.clone());
    if !observed::is_task(name, &labels) {
        return None;
    }
    let id = summary.id.clone()?;
    let created = Timestamp(summary.created?.saturating_mul(1000));
    let networks = live::attachments(endpoints(summary).cloned(), &id, name.as_str());
    let mode = summary.host_config.as_ref().and_then(|host| host.network_mode.clone());
    Some(Container {
        name: name.clone(),
        image: summary.image_id.as_deref()?.parse().ok()?,
        image_name: summary.image.clone().unwrap_or_default(),
        created,
        state: state(summary, created)?,
        restarts: 0,
        labels,
        beyond: BTreeSet::new(),
        anonymous: unnamed(summary),
        veiled: true,
        live: LiveSpec {
            ports: summary.ports.iter().flatten().filter_map(port).collect(),
            network_mode: mode.unwrap_or_default(),
            networks,
            ..LiveSpec::default()
        },
        id,
    })
}

/// The list tells no more of a volume than its name, which says enough.
fn unnamed(summary: &ContainerSummary) -> BTreeMap<String, String> {
    let mounts = summary.mounts.iter().flatten().filter(|mount| mount.typ.as_deref() == Some("volume"));
    let named = mounts.filter_map(|mount| Some((mount.destination.clone()?, mount.name.clone()?)));
    named.filter(|(_, name)| observed::is_unnamed(name)).collect()
}

fn state(summary: &ContainerSummary, created: Timestamp) -> Option<RunState> {
    // Such as `Up 3 minutes (healthy)`, and `Exited (1) 3 minutes ago`.
    let told = summary.status.as_deref().unwrap_or_default();
    let code = || told.split(['(', ')']).nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    Some(match summary.state? {
        ContainerSummaryStateEnum::EMPTY => return None,
        ContainerSummaryStateEnum::CREATED => RunState::Created,
        ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::STOPPING => {
            let health = match told {
                told if told.ends_with("(healthy)") => Health::Healthy,
                told if told.ends_with("(unhealthy)") => Health::Unhealthy { last_output: String::new() },
                told if told.ends_with("(health: starting)") => Health::Starting,
                _ => Health::Unchecked,
            };
            RunState::Running { since: created, health }
        }
        ContainerSummaryStateEnum::PAUSED => RunState::Paused,
        ContainerSummaryStateEnum::RESTARTING => RunState::Restarting { exit_code: code() },
        ContainerSummaryStateEnum::EXITED => {
            RunState::Exited { exit_code: code(), at: created, error: String::new() }
        }
        ContainerSummaryStateEnum::REMOVING => RunState::Removing,
        ContainerSummaryStateEnum::DEAD => RunState::Dead,
    })
}

/// One that the host itself listens on.
fn port(told: &PortSummary) -> Option<Port> {
    let address = told.ip.as_deref().and_then(|address| address.parse::<std::net::IpAddr>().ok());
    Some(Port {
        container: told.private_port,
        protocol: match told.typ? {
            PortSummaryTypeEnum::TCP | PortSummaryTypeEnum::EMPTY => Protocol::Tcp,
            PortSummaryTypeEnum::UDP => Protocol::Udp,
            PortSummaryTypeEnum::SCTP => Protocol::Sctp,
        },
        host: Some(told.public_port?),
        // What is published everywhere is listed as 0.0.0.0 and :: both.
        address: address.filter(|address| !address.is_unspecified()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SWARM_TASK: &str = "com.docker.swarm.task.id";

    /// As an engine of API 1.41 lists them, shortened.
    fn list() -> Vec<ContainerSummary> {
        let listed = |name: &str, status: &str, labels: serde_json::Value, endpoint: &str| {
            json!({
                "Id": "b".repeat(64), "Names": [format!("/other/{name}"), format!("/{name}")], "Image": "box:1",
                "ImageID": format!("sha256:{}", "a".repeat(64)), "Created": 1_700_000_000, "Labels": labels,
                "State": if status.starts_with("Up") { "running" } else { "exited" }, "Status": status,
                "Ports": [{"PrivatePort": 80, "Type": "tcp"},
                          {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                          {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
                "HostConfig": {"NetworkMode": "mesh"},
                "Mounts": [{"Type": "volume", "Name": "c".repeat(64), "Destination": "/cache"},
                           {"Type": "volume", "Name": "data", "Destination": "/data"},
                           {"Type": "bind", "Source": "/etc/box", "Destination": "/conf"}],
                "NetworkSettings": {"Networks": {"mesh": {
                    "NetworkID": "n1", "EndpointID": endpoint, "IPAddress": if endpoint.is_empty() { "" } else { "10.0.0.3" },
                    "IPAMConfig": {"IPv4Address": "10.0.0.3"}}}},
            })
        };
        let task = |id: &str| json!({(SWARM_TASK): id});
        serde_json::from_value(json!([
            listed("web.1.t1", "Up 3 minutes (unhealthy)", task("t1"), "e1"),
            listed("web.1.t0", "Exited (137) 4 minutes ago", task("t0"), ""),
            listed("own", "Up 2 hours", json!({}), "e2"),
        ]))
        .expect("summaries")
    }

    fn told(summary: &ContainerSummary) -> Option<Container> {
        task(summary, &name(summary)?.parse().expect("a name"))
    }

    #[test]
    fn a_swarms_task_is_known_from_the_list_alone() {
        let list = list();
        let there = told(&list[0]).expect("a task");
        assert_eq!((there.name.as_str(), there.veiled), ("web.1.t1", true), "a link's name is not its own");
        let RunState::Running { since, health } = there.state else { panic!("{:?}", there.state) };
        assert_eq!(
            (since, health),
            (Timestamp(1_700_000_000_000), Health::Unhealthy { last_output: String::new() })
        );
        let published = Port { container: 80, protocol: Protocol::Tcp, host: Some(8080), address: None };
        assert_eq!(there.live.ports, BTreeSet::from([published]));
        let address = "10.0.0.3".parse().ok();
        assert_eq!(
            (there.live.networks["mesh"].address, there.live.networks["mesh"].requested),
            (address, address)
        );
        let unnamed = BTreeMap::from([("/cache".to_owned(), "c".repeat(64))]);
        assert_eq!(there.anonymous, unnamed, "neither what is named nor what is the host's");
        let ended = told(&list[1]).expect("a task").state;
        assert!(matches!(ended, RunState::Exited { exit_code: 137, .. }), "{ended:?}");
    }

    #[test]
    fn what_is_no_task_or_is_told_in_part_is_looked_at() {
        let mut list = list();
        assert!(told(&list[2]).is_none());
        list[0].image_id = None;
        list[1].state = None;
        assert!(told(&list[0]).is_none() && told(&list[1]).is_none());
    }

    /// Who commits a task to an image gives its labels to all that is made of that.
    #[test]
    fn an_inherited_label_makes_no_task() {
        let mut list = list();
        list[0].names = Some(vec!["/backup".to_owned()]);
        let ours = (format!("{}app", ownership::PREFIX), "web".to_owned());
        list[1].labels.get_or_insert_default().extend([ours]);
        list[2].labels.get_or_insert_default().insert(SWARM_TASK.to_owned(), String::new());
        assert!(list.iter().all(|summary| told(summary).is_none()));
    }

    #[test]
    fn an_odd_entry_is_unknown_by_itself() {
        let told = json!([
            {"Name": "lan", "Id": "n1", "Driver": "bridge"}, {"Name": "odd", "Id": "n2", "IPAM": "none"},
            {"Name": "none", "Driver": "bridge"},
        ]);
        let all: BTreeMap<_, _> =
            networks(told.to_string().as_bytes()).expect("a list").into_iter().collect();
        assert_eq!(all["lan"].known().map(|lan| lan.id.as_str()), Some("n1"));
        assert!(["odd", "none"].iter().all(|name| matches!(all[*name], Seen::Unknown { .. })), "{all:?}");
        assert!(
            networks(b"[{}]").is_err() && networks(b"{}").is_err(),
            "what may hide any network hides all"
        );

        let mut list = list();
        list[0].image_id = Some(String::new());
        list[1].image_id = Some("box:1".to_owned());
        assert_eq!(images(&list).count(), 1, "only what can be asked for by its id");
    }

    #[test]
    fn a_name_that_is_found_twice_is_unknown_and_not_one_of_the_two() {
        let list = list();
        let one = || told(&list[0]).expect("a task");
        let names = |name: &str| name.parse::<ContainerName>().expect("a name");
        let seen = [("one", one()), ("two", one()), ("one", one())].map(|(n, c)| (names(n), Seen::Known(c)));
        let all = by_name(seen.into_iter());
        assert!(matches!(all[&names("one")], Seen::Unknown { .. }) && all[&names("two")].known().is_some());
    }

    /// A stopped one could not be started without the network that it was on; one that never ran, without one of its name.
    #[test]
    fn who_is_stopped_is_attached_unless_nobody_starts_it() {
        let mut list = list();
        let theirs = |name: &str, state, network: &str| {
            let mut summary = list[2].clone();
            (summary.names, summary.state) = (Some(vec![format!("/{name}")]), Some(state));
            let networks = summary.network_settings.as_mut().and_then(|settings| settings.networks.as_mut());
            let endpoint = networks.and_then(|networks| networks.get_mut("mesh")).expect("an endpoint");
            (endpoint.endpoint_id, endpoint.network_id) = (None, Some(network.to_owned()));
            summary
        };
        let more = [
            theirs("backup", ContainerSummaryStateEnum::EXITED, "n1"),
            theirs("fresh", ContainerSummaryStateEnum::CREATED, ""),
            theirs("before", ContainerSummaryStateEnum::EXITED, "n0"),
            theirs("dead", ContainerSummaryStateEnum::DEAD, "n1"),
        ];
        list.extend(more);
        let network = |id: &str, name: &str| {
            let told = json!([{"Name": name, "Id": id, "Driver": "bridge"}]).to_string();
            let (_, seen) = networks(told.as_bytes()).expect("a list").remove(0);
            seen.known().cloned().expect("a network")
        };
        let attached = Attached::of(&list);
        let on = |id: &str, name: &str| attached.to(&network(id, name)).into_iter().collect::<Vec<_>>();
        assert_eq!(
            on("n1", "mesh"),
            ["backup", "fresh", "own", "web.1.t1"],
            "an ended task is started by nobody"
        );
        assert_eq!(on("n2", "mesh"), ["fresh"], "another one of this name");
        assert_eq!(on("n1", "lan"), ["backup", "own", "web.1.t1"]);
    }
}
