//! What a Swarm holds, read in a handful of calls that go on side by side.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use bollard::models::NetworkInspect;
use bytes::Bytes;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::Value;
use serde_json_borrow::Value as Borrowed;

use crate::model::observed::{LiveNetwork, Seen};
use crate::model::secrecy::{ContentHash, HashKey, KeyedHash};
use crate::model::service::ServiceSpec;
use crate::model::swarm::{
    Availability, LiveConfig, LiveService, Node, NodeRole, NodeState, Swarm, Task, TaskState, UpdateState,
    UpdateStatus,
};
use crate::ports::{EngineError, EngineErrorKind};

use super::super::engine::DockerEngine;
use super::super::{error, filters, json, live, within};
use super::beyond;
use super::json::{Json, at, flag, list, moment, number, pairs, text, texts};
use super::spec::{self, Names};

impl DockerEngine {
    pub(in super::super) async fn get(&self, path: &str) -> Result<Value, EngineError> {
        self.told(path, &self.body(path).await?)
    }

    async fn body(&self, path: &str) -> Result<Bytes, EngineError> {
        within(&self.host, &call(path), self.deadline, self.raw.get(path)).await
    }

    fn told<'b, T: Deserialize<'b>>(&self, path: &str, body: &'b [u8]) -> Result<T, EngineError> {
        json(body).map_err(|detail| self.garbage(&call(path), detail))
    }

    fn listed<'b>(&self, path: &str, body: &'b [u8]) -> Result<Vec<Borrowed<'b>>, EngineError> {
        // Go writes an empty list as null.
        let items: Option<Vec<Borrowed<'b>>> = self.told(path, body)?;
        Ok(items.unwrap_or_default())
    }

    /// What has one of these values, such as ids.
    async fn filtered(
        &self,
        path: &str,
        filter: &str,
        values: impl IntoIterator<Item = String>,
    ) -> Result<Vec<Value>, EngineError> {
        let values: Vec<String> = values.into_iter().collect();
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let path = having(path, filter, &values);
        let items: Option<Vec<Value>> = self.told(&path, &self.body(&path).await?)?;
        Ok(items.unwrap_or_default())
    }

    pub(in super::super) async fn whole_swarm(&self) -> Result<Swarm, EngineError> {
        // Containers that are attached to networks are tasks too, which are told only to who asks for them.
        let of_all = having("tasks", "runtime", &["attachment", "container", "plugin"].map(str::to_owned));
        let (cluster, nodes, services, tasks, networks, configs) = tokio::join!(
            self.get("swarm"),
            self.body("nodes"),
            self.body("services"),
            self.body(&of_all),
            self.body("networks"),
            self.body("configs"),
        );
        let (nodes, services, tasks, networks, configs) = (nodes?, services?, tasks?, networks?, configs?);
        let services = self.listed("services", &services)?;
        let tasks = self.listed("tasks", &tasks)?;
        let networks = self.swarm_networks(&self.listed("networks", &networks)?, &services, &tasks).await?;
        let configs = self.configs(&self.listed("configs", &configs)?)?;
        let cluster = cluster?;
        let id = text(&cluster, "ID").ok_or_else(|| self.garbage("GET /swarm", "it has no id"))?;
        let referred = Referred::new(networks.values(), configs.values());
        let names = referred.names(&self.key);
        let mut swarm = Swarm {
            id,
            manager: self.host.clone(),
            nodes: BTreeMap::new(),
            services: BTreeMap::new(),
            tasks: BTreeMap::new(),
            networks: networks.into_values().map(|n| (n.name.clone(), Seen::Known(n))).collect(),
            configs,
        };
        for entry in self.listed("nodes", &nodes)? {
            let node = node(&entry).ok_or_else(|| self.garbage("GET /nodes", "a node has no id"))?;
            swarm.nodes.insert(node.id.clone(), node);
        }
        let mut made_from = Templates::default();
        for entry in &services {
            let name = text(entry, "Spec.Name");
            let name = name.ok_or_else(|| self.garbage("GET /services", "a service has no name"))?;
            let seen = service(entry, &names, &tasks).map_or_else(Seen::unknown, Seen::Known);
            if let Seen::Known(service) = &seen {
                made_from.know(entry, service);
            }
            swarm.services.insert(name, seen);
        }
        for entry in &tasks {
            let task = task(entry, &names, &made_from)
                .ok_or_else(|| self.garbage("GET /tasks", "a task has no id or state"))?;
            swarm.tasks.insert(task.id.clone(), task);
        }
        Ok(swarm)
    }

    /// Asked of the Swarm itself: what the engine thinks that it is can be old.
    pub(in super::super) async fn manages(&self, cluster: &str) -> Result<(), EngineError> {
        let told = self.get("swarm").await?;
        match text(&told, "ID") {
            Some(id) if id == cluster => Ok(()),
            id => Err(EngineError {
                host: self.host.clone(),
                call: "GET /swarm".to_owned(),
                kind: EngineErrorKind::Refused,
                detail: format!("it manages the Swarm {} now, and not {cluster}", id.unwrap_or_default()),
            }),
        }
    }

    /// By id: those of the list, and the Swarm's own "host", which is in no list (measured on 20.10), where something that
    /// they do not tell of is referred to.
    async fn swarm_networks(
        &self,
        listed: &[Borrowed<'_>],
        services: &[Borrowed<'_>],
        tasks: &[Borrowed<'_>],
    ) -> Result<BTreeMap<String, LiveNetwork>, EngineError> {
        let mut networks = BTreeMap::new();
        for entry in listed.iter().filter(|entry| is_of_swarm(*entry)) {
            let network = self.swarm_network(entry.owned())?;
            networks.insert(network.id.clone(), network);
        }
        if targets(services, tasks).iter().any(|id| !networks.contains_key(id)) {
            let host = error::or_none(self.get("networks/host?scope=swarm").await)?;
            for entry in host.into_iter().filter(is_of_swarm) {
                let network = self.swarm_network(entry)?;
                networks.insert(network.id.clone(), network);
            }
        }
        Ok(networks)
    }

    fn swarm_network(&self, entry: Value) -> Result<LiveNetwork, EngineError> {
        let inspect: NetworkInspect = serde_json::from_value(entry)
            .map_err(|error| self.garbage("GET /networks", error.to_string()))?;
        Ok(live::network(inspect))
    }

    /// By name; the bytes are hashed here and dropped.
    fn configs<J: Json>(&self, entries: &[J]) -> Result<BTreeMap<String, LiveConfig>, EngineError> {
        let config = |entry: &J| {
            config(entry).ok_or_else(|| self.garbage("GET /configs", "a config has no id, name or data"))
        };
        entries.iter().map(|entry| config(entry).map(|config| (config.name.clone(), config))).collect()
    }

    /// What the ids in these specs mean, read anew.
    pub(super) async fn referred(&self, specs: &[&Value]) -> Result<Referred, EngineError> {
        let ids = |path: &str, key: &str| {
            let all = specs.iter().flat_map(|spec| list(*spec, path));
            all.filter_map(|entry| text(entry, key)).collect::<BTreeSet<_>>()
        };
        let mut networks = ids("TaskTemplate.Networks", "Target");
        networks.extend(ids("Networks", "Target"));
        let configs = ids("TaskTemplate.ContainerSpec.Configs", "ConfigID");
        let networks = join_all(networks.iter().map(|id| async move {
            let found = error::or_none(self.get(&format!("networks/{id}?scope=swarm")).await)?;
            found.map(|entry| self.swarm_network(entry)).transpose()
        }));
        let (networks, configs) = tokio::join!(networks, self.filtered("configs", "id", configs));
        let networks = networks.into_iter().filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
        Ok(Referred::new(networks.iter(), self.configs(&configs?)?.values()))
    }

    pub(in super::super) async fn one_service(
        &self,
        name: &str,
    ) -> Result<Option<(LiveService, Vec<Task>)>, EngineError> {
        let Some(entry) = error::or_none(self.get(&format!("services/{name}")).await)? else {
            return Ok(None);
        };
        // An id's beginning matches too; only the name itself is meant.
        let id = text(&entry, "ID").filter(|_| text(&entry, "Spec.Name").as_deref() == Some(name));
        let Some(id) = id else { return Ok(None) };
        let tasks = self.filtered("tasks", "service", [id]).await?;
        let failed = failed(&entry, &tasks);
        let specs = ["Spec", "PreviousSpec"].into_iter().filter_map(|spec| at(&entry, spec));
        let specs: Vec<&Value> = specs.chain(&failed).collect();
        let referred = self.referred(&specs).await?;
        let call = format!("GET /services/{name}");
        let names = referred.names(&self.key);
        let service = service(&entry, &names, &tasks).map_err(|why| self.garbage(&call, why))?;
        let mut made_from = Templates::default();
        made_from.know(&entry, &service);
        let tasks = tasks.iter().map(|entry| task(entry, &names, &made_from)).collect::<Option<Vec<_>>>();
        let tasks = tasks.ok_or_else(|| self.garbage("GET /tasks", "a task has no id or state"))?;
        Ok(Some((service, tasks)))
    }

    pub(in super::super) async fn one_config(&self, name: &str) -> Result<Option<LiveConfig>, EngineError> {
        let entry = error::or_none(self.get(&format!("configs/{name}")).await)?;
        Ok(entry.as_ref().and_then(config).filter(|config| config.name == name))
    }

    pub(in super::super) async fn one_node(&self, id: &str) -> Result<Option<Node>, EngineError> {
        let entry = error::or_none(self.get(&format!("nodes/{id}")).await)?;
        Ok(entry.as_ref().and_then(node).filter(|node| node.id == id))
    }
}

/// A call's words for people.
fn call(path: &str) -> String {
    format!("GET /{}", path.split('?').next().unwrap_or(path))
}

/// The path of those that have one of the values.
fn having(path: &str, filter: &str, values: &[String]) -> String {
    format!("{path}?{}", filters(filter, values))
}

/// What ids mean in specs.
pub(super) struct Referred {
    networks: BTreeMap<String, String>,
    configs: BTreeMap<String, ContentHash>,
}

impl Referred {
    fn new<'a>(
        networks: impl Iterator<Item = &'a LiveNetwork>,
        configs: impl Iterator<Item = &'a LiveConfig>,
    ) -> Self {
        Self {
            networks: networks.map(|network| (network.id.clone(), network.name.clone())).collect(),
            configs: configs.map(|config| (config.id.clone(), config.hash.clone())).collect(),
        }
    }

    pub fn names<'a>(&'a self, key: &'a HashKey) -> Names<'a> {
        Names { networks: &self.networks, configs: &self.configs, key }
    }
}

fn is_of_swarm<J: Json>(network: &J) -> bool {
    text(network, "Scope").as_deref() == Some("swarm")
}

/// Ids of the networks that these services, what they were before, and these tasks refer to.
fn targets<J: Json>(services: &[J], tasks: &[J]) -> BTreeSet<String> {
    let before = services.iter().filter_map(|service| at(service, "PreviousSpec"));
    let specs = services.iter().filter_map(|service| at(service, "Spec")).chain(before);
    let of_services =
        specs.flat_map(|spec| list(spec, "TaskTemplate.Networks").chain(list(spec, "Networks")));
    let all = of_services.chain(tasks.iter().flat_map(|task| list(task, "Spec.Networks")));
    all.filter_map(|network| text(network, "Target")).collect()
}

fn node<J: Json>(entry: &J) -> Option<Node> {
    Some(Node {
        id: text(entry, "ID")?,
        version: number(entry, "Version.Index")?,
        hostname: text(entry, "Description.Hostname").unwrap_or_default(),
        role: match text(entry, "Spec.Role").as_deref() {
            Some("manager") => NodeRole::Manager,
            Some(_) | None => NodeRole::Worker,
        },
        availability: match text(entry, "Spec.Availability").as_deref() {
            Some("pause") => Availability::Pause,
            Some("drain") => Availability::Drain,
            Some(_) | None => Availability::Active,
        },
        state: match text(entry, "Status.State").as_deref() {
            Some("ready") => NodeState::Ready,
            Some("down") => NodeState::Down,
            Some("disconnected") => NodeState::Disconnected,
            Some(_) | None => NodeState::Unknown,
        },
        message: text(entry, "Status.Message").unwrap_or_default(),
        address: text(entry, "Status.Addr").and_then(|address| address.parse().ok()),
        leader: flag(entry, "ManagerStatus.Leader").unwrap_or_default(),
        reachable: text(entry, "ManagerStatus.Reachability").map(|reachability| reachability == "reachable"),
        labels: pairs(entry, "Spec.Labels"),
    })
}

/// The error says what in it cannot be read. `tasks` are those of all services.
fn service<J: Json>(entry: &J, names: &Names<'_>, tasks: &[J]) -> Result<LiveService, String> {
    let spec = at(entry, "Spec").ok_or("it has no spec")?;
    // What cannot be read of these is nothing that Swarm could be held to.
    let failed = failed(entry, tasks);
    let failed = failed.iter().filter_map(|failed| spec::read(failed, names).ok());
    let previous = at(entry, "PreviousSpec").and_then(|previous| spec::read(previous, names).ok());
    let read = spec::read(spec, names)?;
    Ok(LiveService {
        veiled: false,
        id: text(entry, "ID").ok_or("it has no id")?,
        name: text(spec, "Name").ok_or("it has no name")?,
        version: number(entry, "Version.Index").ok_or("it has no version")?,
        created: moment(entry, "CreatedAt"),
        updated: moment(entry, "UpdatedAt"),
        template: at(spec, "TaskTemplate").and_then(|task| template_of(&read, spec, task, names)),
        spec: read,
        previous,
        failed: failed.collect(),
        labels: pairs(spec, "Labels"),
        update: at(entry, "UpdateStatus").and_then(|status| update_status(status)),
        published: list(entry, "Endpoint.Ports").filter_map(|port| spec::port(port)).collect(),
        job_iteration: number(entry, "JobStatus.JobIteration.Index"),
        beyond: beyond::of(spec),
    })
}

/// After a rollback, Swarm keeps what failed in the tasks alone (measured on 20.10): what each of those that failed, or
/// ended early, was made from, in the place of the service's own; each once, the newest first.
fn failed<J: Json>(entry: &J, tasks: &[J]) -> Vec<Value> {
    let rolled = at(entry, "UpdateStatus")
        .and_then(|status| update_status(status))
        .is_some_and(|u| u.state.is_rollback());
    let (Some(id), Some(spec), true) = (text(entry, "ID"), at(entry, "Spec"), rolled) else {
        return Vec::new();
    };
    let ended = |task: &&J| {
        text(*task, "ServiceID").as_ref() == Some(&id)
            && text(*task, "Status.State").is_some_and(|text| state(&text).ended_by_itself())
    };
    let mut ended: Vec<&J> = tasks.iter().filter(ended).collect();
    ended.sort_by_key(|task| std::cmp::Reverse(moment(*task, "CreatedAt")));
    let (spec, mut failed) = (spec.owned(), Vec::<Value>::new());
    for template in ended.into_iter().filter_map(|task| at(task, "Spec")).map(J::owned) {
        let known = |spec: &Value| spec["TaskTemplate"] == template;
        if !known(&spec) && !failed.iter().any(known) {
            let mut of_task = spec.clone();
            of_task["TaskTemplate"] = template;
            failed.push(of_task);
        }
    }
    failed
}

/// A hash of what a task is made from, or is to be, in the fields that are modelled: an engine writes the others in one
/// way for services and in another for tasks. Where it may be is not of it: Swarm replaces no task that is well placed.
pub(super) fn template<J: Json>(task: &J, names: &Names<'_>) -> Option<ContentHash> {
    Some(hash(spec::of_task(task, names).ok()?, task))
}

/// As [`template`], of a service that was read already. Networks that an older client wrote beside the template are of no task.
pub(super) fn template_of<J: Json>(
    read: &ServiceSpec<KeyedHash>,
    spec: &J,
    task: &J,
    names: &Names<'_>,
) -> Option<ContentHash> {
    match list(spec, "Networks").next() {
        None => Some(hash(spec::part_of_tasks(read.clone()), task)),
        Some(_) => template(task, names),
    }
}

fn hash<J: Json>(part: ServiceSpec<KeyedHash>, task: &J) -> ContentHash {
    let forced = number(task, "ForceUpdate").unwrap_or_default();
    ContentHash::of(format!("{} {forced}", part.into_task_hash()).as_bytes())
}

/// What tasks of services are made from, by the id of the service: most are made from what it is now.
struct Templates<'v, J>(BTreeMap<String, (&'v J, Option<ContentHash>)>);

impl<J> Default for Templates<'_, J> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'v, J: Json + PartialEq> Templates<'v, J> {
    fn know(&mut self, entry: &'v J, service: &LiveService) {
        if let Some(task) = at(entry, "Spec.TaskTemplate") {
            self.0.insert(service.id.clone(), (task, service.template.clone()));
        }
    }

    /// As [`template`], of a task of this service.
    fn of(&self, service: Option<&String>, task: &J, names: &Names<'_>) -> Option<ContentHash> {
        match service.and_then(|service| self.0.get(service)) {
            Some((known, hash)) if are_one(*known, task) => hash.clone(),
            Some(_) | None => template(task, names),
        }
    }
}

/// The same in every word, but for the runtime, which an engine writes for services alone.
pub(super) fn are_one<J: Json + PartialEq>(service: &J, task: &J) -> bool {
    let rest = |value| J::entries(value).filter(|(key, _)| *key != "Runtime");
    rest(service).eq(rest(task))
}

fn update_status<J: Json>(status: &J) -> Option<UpdateStatus> {
    let state = match text(status, "State")?.as_str() {
        "updating" => UpdateState::Updating,
        "paused" => UpdateState::Paused,
        "rollback_started" => UpdateState::RollbackStarted,
        "rollback_paused" => UpdateState::RollbackPaused,
        "rollback_completed" => UpdateState::RollbackCompleted,
        _ => UpdateState::Completed,
    };
    let time = |path| Some(moment(status, path)).filter(|moment| moment.0 > 0);
    Some(UpdateStatus {
        state,
        started: time("StartedAt"),
        completed: time("CompletedAt"),
        message: text(status, "Message").unwrap_or_default(),
    })
}

fn task<J: Json + PartialEq>(entry: &J, names: &Names<'_>, made_from: &Templates<'_, J>) -> Option<Task> {
    let service = text(entry, "ServiceID");
    let addresses = list(entry, "NetworksAttachments").filter_map(|attachment| {
        let name = text(attachment, "Network.Spec.Name")?;
        let addresses: Vec<String> = texts(attachment, "Addresses");
        let addresses = addresses.iter().filter_map(|a| a.split('/').next()?.parse().ok());
        Some((name, addresses.collect::<BTreeSet<_>>()))
    });
    Some(Task {
        id: text(entry, "ID")?,
        slot: number(entry, "Slot").unwrap_or_default(),
        node: text(entry, "NodeID"),
        wanted: state(&text(entry, "DesiredState")?),
        state: state(&text(entry, "Status.State")?),
        since: moment(entry, "Status.Timestamp"),
        error: text(entry, "Status.Err").unwrap_or_default(),
        exit_code: at(entry, "Status.ContainerStatus.ExitCode").and_then(J::signed),
        container: text(entry, "Status.ContainerStatus.ContainerID")
            .or_else(|| text(entry, "Spec.NetworkAttachmentSpec.ContainerID")),
        image: text(entry, "Spec.ContainerSpec.Image").unwrap_or_default(),
        template: at(entry, "Spec").and_then(|spec| made_from.of(service.as_ref(), spec, names)),
        addresses: addresses.collect(),
        published: list(entry, "Status.PortStatus.Ports").filter_map(|port| spec::port(port)).collect(),
        job_iteration: number(entry, "JobIteration.Index"),
        service,
    })
}

/// A state that is none we know is one that says nothing: the first.
fn state(text: &str) -> TaskState {
    match text {
        "allocated" => TaskState::Allocated,
        "pending" => TaskState::Pending,
        "assigned" => TaskState::Assigned,
        "accepted" => TaskState::Accepted,
        "preparing" => TaskState::Preparing,
        "ready" => TaskState::Ready,
        "starting" => TaskState::Starting,
        "running" => TaskState::Running,
        "complete" => TaskState::Complete,
        "shutdown" => TaskState::Shutdown,
        "failed" => TaskState::Failed,
        "rejected" => TaskState::Rejected,
        "remove" => TaskState::Remove,
        "orphaned" => TaskState::Orphaned,
        _ => TaskState::New,
    }
}

fn config<J: Json>(entry: &J) -> Option<LiveConfig> {
    let data = text(entry, "Spec.Data").unwrap_or_default();
    let data = base64::engine::general_purpose::STANDARD.decode(data).ok()?;
    Some(LiveConfig {
        id: text(entry, "ID")?,
        name: text(entry, "Spec.Name")?,
        hash: ContentHash::of(&data),
        labels: pairs(entry, "Spec.Labels"),
        created: moment(entry, "CreatedAt"),
    })
}
