//! What the rules are asked about: a change from what was applied to what a commit declares. docs/policies.md has the
//! document's shape.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::model::app::{App, Replicas, Runtime};
use crate::model::container::Networks;
use crate::model::desired::{Desired, Environment, ImageLock};
use crate::model::host::Host;
use crate::model::image::{Digest, ImageRef};
use crate::model::names::{AppKey, EnvironmentName, NetworkName};
use crate::model::network::Network;
use crate::model::plan::Plan;
use crate::model::policy::{Window, WindowEffect};
use crate::model::service::ServiceMode;
use crate::model::units::Timestamp;

/// Everything the rules may know.
pub struct Situation<'a> {
    pub now: Timestamp,
    /// What was applied last, each image pinned as it was then; `None`: nothing was.
    pub before: Option<&'a Desired>,
    /// What is judged.
    pub after: &'a Desired,
    /// The digests that `after`'s tags stand for.
    pub images: &'a ImageLock,
    pub author: &'a str,
    pub summary: &'a str,
    /// When it was committed.
    pub committed: Timestamp,
    /// The draft of the plan, where there is one yet.
    pub plan: Option<&'a Plan>,
    /// Digests that ran healthy outside of production; `None`: a forecast that knows none of it.
    pub healthy_in_test: Option<&'a BTreeSet<Digest>>,
    /// Nobody was asked what a tag stands for, and nothing comes of the answer: `trueup check`.
    pub forecast: bool,
    pub freeze: &'a [Window],
    /// The repository's own rules differ from those that judge.
    pub policies_changed: bool,
}

/// What becomes of an app, a host or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Becomes {
    Created,
    Updated,
    Removed,
    Same,
}

impl Becomes {
    const fn name(self) -> &'static str {
        match self {
            Self::Created => "create",
            Self::Updated => "update",
            Self::Removed => "remove",
            Self::Same => "none",
        }
    }

    fn of<T>(before: Option<&T>, after: Option<&T>, same: impl Fn(&T, &T) -> bool) -> Self {
        match (before, after) {
            (None, Some(_)) => Self::Created,
            (Some(_), None) => Self::Removed,
            (Some(before), Some(after)) if !same(before, after) => Self::Updated,
            (Some(_), Some(_)) | (None, None) => Self::Same,
        }
    }
}

impl Situation<'_> {
    /// What becomes of each app, those that stay the same included.
    pub fn apps(&self) -> BTreeMap<AppKey, Becomes> {
        let before = self.before.map(|before| &before.apps);
        let keys = before.into_iter().flat_map(BTreeMap::keys).chain(self.after.apps.keys());
        keys.map(|key| {
            let (old, new) = (before.and_then(|apps| apps.get(key)), self.after.apps.get(key));
            (key.clone(), Becomes::of(old, new, |old, new| self.is_same(old, new)))
        })
        .collect()
    }

    /// Whether anything at all changes, so that there is something to judge.
    pub fn is_change(&self) -> bool {
        self.policies_changed
            || self.apps().values().any(|becomes| *becomes != Becomes::Same)
            || self.before.is_none_or(|before| self.surroundings_differ(before))
    }

    fn surroundings_differ(&self, before: &Desired) -> bool {
        let after = self.after;
        let hosts = |name| Becomes::of(before.hosts.get(name), after.hosts.get(name), same_host);
        let networks = |name| Becomes::of(before.networks.get(name), after.networks.get(name), same_network);
        before.hosts.keys().chain(after.hosts.keys()).any(|name| hosts(name) != Becomes::Same)
            || before.networks.keys().chain(after.networks.keys()).any(|name| networks(name) != Becomes::Same)
            || before.environments != after.environments
            || before.swarms != after.swarms
            || before.flume != after.flume
            || before.detect_only != after.detect_only
            || before.fleet != after.fleet
    }

    /// The same spec and the same image; where it stands in its file does not matter.
    fn is_same(&self, before: &App, after: &App) -> bool {
        let mut now = App { origin: before.origin.clone(), ..after.clone() };
        now.container.image = self.images.pin(&now.container.image);
        let mut then = before.clone();
        // A digest that cannot be learnt now is no change: the planner waits for it anyway.
        if now.container.image.digest.is_none() && now.container.image.tag == then.container.image.tag {
            then.container.image.digest = None;
        }
        now == then
    }

    /// From now on it is only watched (A6), and nothing else about it changes.
    fn is_brake(&self, before: &App, after: &App) -> bool {
        !before.detect_only && self.is_same(&App { detect_only: true, ..before.clone() }, after)
    }

    /// The document `input`.
    pub fn document(&self) -> Value {
        json!({
            "now": self.now.to_string(),
            "fleet": self.after.fleet,
            "revision": {
                "base": self.before.map(|before| before.revision.to_string()),
                "head": self.after.revision,
                "author": self.author,
                "summary": self.summary,
                "committed": self.committed.to_string(),
            },
            "environments": self.environments(),
            "apps": self.apps().iter().map(|(key, becomes)| self.app(key, *becomes)).collect::<Vec<_>>(),
            "hosts": self.hosts(),
            "networks": self.networks(),
            "swarms": self.swarms(),
            "flume": self.flume(),
            "detect_only": self.detect_only(),
            "plan": self.plan.map(plan_document),
            "healthy_in_test": self.healthy_in_test,
            "forecast": self.forecast,
            "freeze": self.freeze.iter().map(|window| freeze(window, self.now)).collect::<Vec<_>>(),
            "policies_changed": self.policies_changed,
        })
    }

    /// Production is what was or will be production: a commit does not take itself out of the stricter rules.
    fn is_production(&self, environment: &EnvironmentName) -> bool {
        let flag = |desired: &Desired| desired.environments.get(environment).is_some_and(|e| e.production);
        flag(self.after) || self.before.is_some_and(flag)
    }

    fn environments(&self) -> BTreeMap<&str, Value> {
        let before = self.before.into_iter().flat_map(|before| before.environments.keys());
        let names: BTreeSet<_> = before.chain(self.after.environments.keys()).collect();
        let one = |name| {
            let old = self.before.and_then(|before| before.environments.get(name));
            let new = self.after.environments.get(name);
            json!({
                "production": self.is_production(name),
                "change": Becomes::of(old, new, PartialEq::eq).name(),
                "brake": old.zip(new).is_some_and(|(old, new)| {
                    !old.detect_only && *new == Environment { detect_only: true, ..old.clone() }
                }),
                "before": old,
                "after": new,
            })
        };
        names.into_iter().map(|name| (name.as_str(), one(name))).collect()
    }

    fn app(&self, key: &AppKey, becomes: Becomes) -> Value {
        let before = self.before.and_then(|before| before.apps.get(key));
        let after = self.after.apps.get(key);
        let unlocked = ImageLock::default();
        json!({
            "key": key,
            "app": key.app,
            "environment": key.environment,
            "production": self.is_production(&key.environment),
            "change": becomes.name(),
            "brake": before.zip(after).is_some_and(|(before, after)| self.is_brake(before, after)),
            "file": after.or(before).map(|app| app.origin.as_str()),
            "before": before.map(|app| spec(app, &unlocked)),
            "after": after.map(|app| spec(app, self.images)),
        })
    }

    fn hosts(&self) -> Vec<Value> {
        let before = self.before.map(|before| &before.hosts);
        let names: BTreeSet<_> =
            before.into_iter().flat_map(BTreeMap::keys).chain(self.after.hosts.keys()).collect();
        let host = |name| {
            let (old, new) = (before.and_then(|hosts| hosts.get(name)), self.after.hosts.get(name));
            let serves: BTreeSet<_> =
                old.into_iter().chain(new).flat_map(|host| &host.environments).collect();
            json!({
                "name": name,
                "change": Becomes::of(old, new, same_host).name(),
                "environments": serves,
                "before": old,
                "after": new,
            })
        };
        names.into_iter().map(host).collect()
    }

    fn networks(&self) -> Vec<Value> {
        let before = self.before.map(|before| &before.networks);
        let names: BTreeSet<_> =
            before.into_iter().flat_map(BTreeMap::keys).chain(self.after.networks.keys()).collect();
        let network = |name| {
            let (old, new) = (before.and_then(|all| all.get(name)), self.after.networks.get(name));
            let uses: BTreeSet<_> =
                self.before.into_iter().chain([self.after]).flat_map(|d| users(d, name)).collect();
            json!({
                "name": name,
                "change": Becomes::of(old, new, same_network).name(),
                "environments": uses,
                "before": old,
                "after": new,
            })
        };
        names.into_iter().map(network).collect()
    }
}

impl Situation<'_> {
    /// Swarms by the hosts that manage them; their environments are those of the apps that run there.
    fn swarms(&self) -> Vec<Value> {
        let before = self.before.map(|before| &before.swarms);
        let names: BTreeSet<_> =
            before.into_iter().flat_map(BTreeMap::keys).chain(self.after.swarms.keys()).collect();
        let swarm = |name: &String| {
            let (old, new) = (before.and_then(|all| all.get(name)), self.after.swarms.get(name));
            let uses: BTreeSet<_> =
                self.before.into_iter().chain([self.after]).flat_map(|d| tenants(d, name)).collect();
            json!({
                "name": name,
                "change": Becomes::of(old, new, PartialEq::eq).name(),
                "environments": uses,
                "before": old,
                "after": new,
            })
        };
        names.into_iter().map(swarm).collect()
    }

    /// What every Flume agent shares, whichever environment's logs it ships.
    fn flume(&self) -> Value {
        let (old, new) = (self.before.map(|before| &before.flume), Some(&self.after.flume));
        json!({ "change": Becomes::of(old, new, PartialEq::eq).name(), "before": old, "after": new })
    }

    /// Whether the whole fleet is only watched (A6), whichever environment: taking that away lets everything loose that was
    /// declared meanwhile.
    fn detect_only(&self) -> Value {
        let (old, new) = (self.before.map(|before| &before.detect_only), Some(&self.after.detect_only));
        json!({ "change": Becomes::of(old, new, PartialEq::eq).name(), "before": old, "after": new })
    }
}

/// The environments whose apps run in the Swarm.
fn tenants<'a>(desired: &'a Desired, swarm: &str) -> Vec<&'a EnvironmentName> {
    let in_it = |app: &App| match &app.runtime {
        Runtime::Swarm(service) => service.swarm == swarm,
        Runtime::Host(_) => false,
    };
    desired.apps.values().filter(|app| in_it(app)).map(|app| &app.key.environment).collect()
}

fn same_host(before: &Host, after: &Host) -> bool {
    *before == Host { origin: before.origin.clone(), ..after.clone() }
}

fn same_network(before: &Network, after: &Network) -> bool {
    *before == Network { origin: before.origin.clone(), ..after.clone() }
}

/// The environments whose apps are on the network.
fn users<'a>(desired: &'a Desired, network: &NetworkName) -> Vec<&'a EnvironmentName> {
    let on = |app: &App| match &app.container.networks {
        Networks::Named(named) => named.contains_key(network),
        Networks::Default | Networks::Host | Networks::None => false,
    };
    desired.apps.values().filter(|app| on(app)).map(|app| &app.key.environment).collect()
}

/// The app as git declares it, with its image taken apart and its number of replicas at hand.
fn spec(app: &App, lock: &ImageLock) -> Value {
    let mut value = serde_json::to_value(app).unwrap_or_default();
    value["image"] = image(&app.container.image, lock);
    value["replicas"] = match &app.runtime {
        Runtime::Host(placement) => match placement.replicas {
            Replicas::Count(count) => count.into(),
            Replicas::EveryHost => Value::Null,
        },
        Runtime::Swarm(service) => match service.mode {
            ServiceMode::Replicated(count) | ServiceMode::ReplicatedJob { total: count, .. } => count.into(),
            ServiceMode::Global | ServiceMode::GlobalJob => Value::Null,
        },
    };
    value
}

fn image(image: &ImageRef, lock: &ImageLock) -> Value {
    let registry = image.registry();
    let below = image.repository.strip_prefix(&format!("{registry}/")).unwrap_or(&image.repository);
    let library = registry == "docker.io" && !below.contains('/');
    let name = if library { format!("{registry}/library/{below}") } else { format!("{registry}/{below}") };
    json!({
        "declared": image,
        "name": name,
        "registry": registry,
        "tag": image.tag,
        "digest": lock.pin(image).digest,
        "pinned": image.digest.is_some(),
    })
}

fn plan_document(plan: &Plan) -> Value {
    let change = |change: &crate::model::plan::Change| {
        json!({
            "action": change.action,
            "kind": change.subject.kind,
            "name": change.subject.name,
            "host": change.subject.host,
            "app": change.app,
            "because": change.because,
            "destructive": change.destructive,
            "interrupts": change.interrupts,
        })
    };
    json!({ "changes": plan.changes.iter().chain(&plan.held).map(change).collect::<Vec<_>>() })
}

fn freeze(window: &Window, now: Timestamp) -> Value {
    json!({
        "name": window.name,
        "effect": match window.effect { WindowEffect::Deny => "deny", WindowEffect::Allow => "allow" },
        "environments": window.environments,
        "active": window.is_active(now),
        "says": window.says(),
    })
}
