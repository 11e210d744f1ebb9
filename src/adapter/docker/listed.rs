//! What the list of an engine's containers tells without a look at each: names, who is attached to which network, and all
//! that matters of a Swarm's tasks, which no host's app may be (a look at each costs as much as one at an own container).

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::NetworkInspect;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::container::{Port, Protocol};
use crate::model::image::Digest;
use crate::model::names::ContainerName;
use crate::model::observed::{self, Container, Health, LiveNetwork, LiveSpec, RunState, Seen};
use crate::model::ownership;
use crate::model::units::Timestamp;

use super::told::{Endpoint, Listed, ListedPort, said};
use super::{json, live};

/// A container's own name; a linked one also lists names with a second `/`.
pub(super) fn name<'l>(listed: &'l Listed<'_>) -> Option<&'l str> {
    let names = listed.names.iter().flatten();
    names.filter_map(|name| name.strip_prefix('/')).find(|name| !name.contains('/'))
}

/// Whether trueup put files into it, which have to be read.
pub(super) fn has_files(listed: &Listed<'_>) -> bool {
    listed.label(ownership::FILES).is_some()
}

/// Images of the listed containers; what is no id cannot be asked for.
pub(super) fn images(list: &[Listed<'_>]) -> impl Iterator<Item = Digest> {
    list.iter().filter_map(|listed| listed.image_id.as_deref()?.parse().ok())
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
    pub fn of(list: &[Listed<'_>]) -> Self {
        let mut attached = Self::default();
        for listed in list {
            let Some(name) = name(listed).or(listed.id.as_deref()) else { continue };
            for (network, endpoint) in endpoints(listed) {
                // The endpoint of a stopped one has no id.
                if said(endpoint.endpoint_id.as_ref()).is_none() && !may_start(listed, name) {
                    continue;
                }
                let of = match said(endpoint.network_id.as_ref()) {
                    Some(id) => attached.by_id.entry(id.to_owned()),
                    None => attached.by_name.entry(network.to_owned()),
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
fn may_start(listed: &Listed<'_>, name: &str) -> bool {
    let goes = matches!(listed.state.as_deref(), Some("removing" | "dead"));
    !goes && !name.parse().is_ok_and(|name| is_task(listed, &name))
}

fn is_task(listed: &Listed<'_>, name: &ContainerName) -> bool {
    // Few are, and only their labels are looked at one by one.
    listed.label(observed::SWARM_TASK).is_some() && observed::is_task(name, &listed.all_labels())
}

fn endpoints<'l, 'b>(listed: &'l Listed<'b>) -> impl Iterator<Item = (&'l str, &'l Endpoint<'b>)> {
    listed.network_settings.iter().flat_map(|settings| settings.endpoints())
}

/// A Swarm's task as far as the list tells: no more of it is compared with anything, and it says so (`veiled`). `None`:
/// it is none, or the list tells too little of it.
pub(super) fn task(listed: &Listed<'_>, name: &ContainerName) -> Option<Container> {
    if !is_task(listed, name) {
        return None;
    }
    let id = listed.id.as_deref()?;
    let created = Timestamp(listed.created?.saturating_mul(1000));
    let networks = listed.network_settings.as_ref();
    let mode = listed.host_config.as_ref().and_then(|host| host.network_mode.as_deref());
    Some(Container {
        name: name.clone(),
        image: listed.image_id.as_deref()?.parse().ok()?,
        image_name: listed.image.as_deref().unwrap_or_default().to_owned(),
        created,
        state: state(listed, created)?,
        restarts: 0,
        labels: listed.all_labels(),
        beyond: BTreeSet::new(),
        anonymous: unnamed(listed),
        veiled: true,
        live: LiveSpec {
            ports: listed.ports.iter().flatten().filter_map(port).collect(),
            network_mode: mode.unwrap_or_default().to_owned(),
            networks: networks.map(|told| told.attachments(id, name.as_str())).unwrap_or_default(),
            ..LiveSpec::default()
        },
        id: id.to_owned(),
    })
}

/// The list tells no more of a volume than its name, which says enough.
fn unnamed(listed: &Listed<'_>) -> BTreeMap<String, String> {
    let volumes = listed.mounts.iter().flatten().filter_map(|mount| mount.volume());
    let named = volumes.filter_map(|(at, name)| Some((at.to_owned(), name?.to_owned())));
    named.filter(|(_, name)| observed::is_unnamed(name)).collect()
}

/// `None`: it is in no state that has a name here.
fn state(listed: &Listed<'_>, created: Timestamp) -> Option<RunState> {
    let told = listed.status.as_deref().unwrap_or_default();
    let code = || told.split(['(', ')']).nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    Some(match listed.state.as_deref()? {
        "created" => RunState::Created,
        "running" | "stopping" => {
            let health = match told {
                told if told.ends_with("(healthy)") => Health::Healthy,
                told if told.ends_with("(unhealthy)") => Health::Unhealthy { last_output: String::new() },
                told if told.ends_with("(health: starting)") => Health::Starting,
                _ => Health::Unchecked,
            };
            RunState::Running { since: created, health }
        }
        "paused" => RunState::Paused,
        "restarting" => RunState::Restarting { exit_code: code() },
        "exited" => RunState::Exited { exit_code: code(), at: created, error: String::new() },
        "removing" => RunState::Removing,
        "dead" => RunState::Dead,
        _ => return None,
    })
}

/// One that the host itself listens on.
fn port(told: &ListedPort<'_>) -> Option<Port> {
    let address = told.address.as_ref().and_then(|address| address.parse::<std::net::IpAddr>().ok());
    Some(Port {
        container: told.private_port,
        protocol: match said(told.protocol.as_ref())? {
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => Protocol::Tcp,
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

    /// As an engine of API 1.41 lists them, shortened.
    fn list() -> serde_json::Value {
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
        let task = |id: &str| json!({(observed::SWARM_TASK): id});
        json!([
            listed("web.1.t1", "Up 3 minutes (unhealthy)", task("t1"), "e1"),
            listed("web.1.t0", "Exited (137) 4 minutes ago", task("t0"), ""),
            listed("own", "Up 2 hours", json!({}), "e2"),
        ])
    }

    /// What `look` sees of an answer.
    fn read<T>(list: &serde_json::Value, look: impl FnOnce(&[Listed<'_>]) -> T) -> T {
        let body = list.to_string();
        look(&super::json::<Vec<Listed<'_>>>(body.as_bytes()).expect("a list"))
    }

    fn told(listed: &Listed<'_>) -> Option<Container> {
        task(listed, &name(listed)?.parse().expect("a name"))
    }

    /// Each of them as a task.
    fn tasks(list: &serde_json::Value) -> Vec<Option<Container>> {
        read(list, |list| list.iter().map(told).collect())
    }

    #[test]
    fn a_swarms_task_is_known_from_the_list_alone() {
        let tasks = tasks(&list());
        let there = tasks[0].as_ref().expect("a task");
        assert_eq!((there.name.as_str(), there.veiled), ("web.1.t1", true), "a link's name is not its own");
        let since = Timestamp(1_700_000_000_000);
        let health = Health::Unhealthy { last_output: String::new() };
        assert_eq!(there.state, RunState::Running { since, health });
        let published = Port { container: 80, protocol: Protocol::Tcp, host: Some(8080), address: None };
        assert_eq!(there.live.ports, BTreeSet::from([published]));
        let address = "10.0.0.3".parse().ok();
        assert_eq!(
            (there.live.networks["mesh"].address, there.live.networks["mesh"].requested),
            (address, address)
        );
        let unnamed = BTreeMap::from([("/cache".to_owned(), "c".repeat(64))]);
        assert_eq!(there.anonymous, unnamed, "neither what is named nor what is the host's");
        let ended = &tasks[1].as_ref().expect("a task").state;
        assert!(matches!(ended, RunState::Exited { exit_code: 137, .. }), "{ended:?}");
    }

    #[test]
    fn what_is_no_task_or_is_told_in_part_is_looked_at() {
        let mut list = list();
        let is_told = |list: &_| tasks(list).iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(is_told(&list), [true, true, false]);
        list[0]["ImageID"] = json!(null);
        list[1]["State"] = json!(null);
        assert_eq!(is_told(&list), [false; 3]);
        list[1]["State"] = json!("between two states");
        assert_eq!(is_told(&list), [false; 3], "a state of a newer engine");
        // Where the look does not know it either, that container is unknown, and nothing else.
        let looked =
            json!({"Id": "a", "Name": "/web", "State": {"Status": "between two states"}}).to_string();
        let error = super::super::json::<live::Inspected<'_>>(looked.as_bytes()).err().expect("no state");
        assert!(error.contains("between two states"), "{error}");
    }

    /// Who commits a task to an image gives its labels to all that is made of that.
    #[test]
    fn an_inherited_label_makes_no_task() {
        let mut list = list();
        list[0]["Names"] = json!(["/backup"]);
        list[1]["Labels"][format!("{}app", ownership::PREFIX)] = json!("web");
        list[2]["Labels"][observed::SWARM_TASK] = json!("");
        assert!(tasks(&list).iter().all(Option::is_none));
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
        list[0]["ImageID"] = json!("");
        list[1]["ImageID"] = json!("box:1");
        assert_eq!(read(&list, |list| images(list).count()), 1, "only what can be asked for by its id");
    }

    #[test]
    fn a_name_that_is_found_twice_is_unknown_and_not_one_of_the_two() {
        let all = tasks(&list());
        let one = || all[0].clone().expect("a task");
        let names = |name: &str| name.parse::<ContainerName>().expect("a name");
        let seen = [("one", one()), ("two", one()), ("one", one())].map(|(n, c)| (names(n), Seen::Known(c)));
        let all = by_name(seen.into_iter());
        assert!(matches!(all[&names("one")], Seen::Unknown { .. }) && all[&names("two")].known().is_some());
    }

    /// A stopped one could not be started without the network that it was on; one that never ran, without one of its name.
    #[test]
    fn who_is_stopped_is_attached_unless_nobody_starts_it() {
        let mut list = list();
        let theirs = |name: &str, state: &str, network: &str| {
            let mut listed = list[2].clone();
            (listed["Names"], listed["State"]) = (json!([format!("/{name}")]), json!(state));
            let endpoint = &mut listed["NetworkSettings"]["Networks"]["mesh"];
            (endpoint["EndpointID"], endpoint["NetworkID"]) = (json!(null), json!(network));
            listed
        };
        let more = [
            theirs("backup", "exited", "n1"),
            theirs("fresh", "created", ""),
            theirs("before", "exited", "n0"),
            theirs("dead", "dead", "n1"),
        ];
        list.as_array_mut().expect("a list").extend(more);
        let network = |id: &str, name: &str| {
            let told = json!([{"Name": name, "Id": id, "Driver": "bridge"}]).to_string();
            let (_, seen) = networks(told.as_bytes()).expect("a list").remove(0);
            seen.known().cloned().expect("a network")
        };
        let attached = read(&list, Attached::of);
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
