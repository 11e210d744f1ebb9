//! What a report about some environments is about: everything but what is surely another environment's.

use std::collections::BTreeSet;

use crate::model::app::Runtime;
use crate::model::desired::Desired;
use crate::model::drift::Subject;
use crate::model::history::HistoryEntry;
use crate::model::names::{AppKey, EnvironmentName, HostName, InstanceName};
use crate::model::plan::Plan;

/// The environments in question; `None`: all.
pub struct Concern<'a> {
    pub environments: Option<&'a BTreeSet<EnvironmentName>>,
    pub desired: &'a Desired,
}

impl Concern<'_> {
    pub fn environment(&self, environment: &EnvironmentName) -> bool {
        self.environments.is_none_or(|environments| environments.contains(environment))
    }

    pub fn app(&self, app: &AppKey) -> bool {
        self.environment(&app.environment)
    }

    /// A host that serves none of them has nothing of theirs.
    pub fn host(&self, host: &HostName) -> bool {
        let serves = |host: &crate::model::host::Host| host.environments.iter().any(|e| self.environment(e));
        self.environments.is_none() || self.desired.hosts.get(host).is_none_or(serves)
    }

    /// A Swarm that runs no app of theirs has nothing of theirs.
    pub fn swarm(&self, swarm: &str) -> bool {
        self.environments.is_none()
            || self.desired.apps.values().any(|app| match &app.runtime {
                Runtime::Swarm(service) => service.swarm == swarm && self.app(&app.key),
                Runtime::Host(_) => false,
            })
    }

    /// By the app where there is one, else by the place.
    pub fn subject(&self, subject: &Subject, app: Option<&AppKey>) -> bool {
        let declared = |key: &AppKey| self.desired.environments.contains_key(&key.environment);
        let named = subject.app().filter(declared);
        match (app.or(named.as_ref()), &subject.host, &subject.swarm) {
            (Some(app), _, _) => self.app(app),
            (None, Some(host), _) => self.host(host),
            (None, None, Some(swarm)) => self.swarm(swarm),
            (None, None, None) => true,
        }
    }

    pub fn entry(&self, entry: &HistoryEntry) -> bool {
        match Subject::parse(&entry.subject) {
            Some(subject) => self.subject(&subject, None),
            None => self.words(&entry.subject),
        }
    }

    /// By the declared apps that it names: a text that names others' alone is theirs.
    fn words(&self, text: &str) -> bool {
        let apps = self.named(text);
        apps.is_empty() || apps.iter().any(|app| self.app(app))
    }

    /// Whether a text names no app of another environment.
    pub fn names_no_other(&self, text: &str) -> bool {
        self.named(text).iter().all(|app| self.app(app))
    }

    /// The declared apps that a text names, itself or by an instance.
    fn named(&self, text: &str) -> BTreeSet<AppKey> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let named = words.filter_map(|word| {
            let instance = word.parse::<InstanceName>().ok().map(|instance| instance.key);
            let keys = [instance, word.parse::<AppKey>().ok()];
            keys.into_iter().flatten().find(|key| self.desired.apps.contains_key(key))
        });
        named.collect()
    }

    /// What of the plan they are concerned by. What is held keeps the id of all that is held: that is what is approved.
    pub fn plan(&self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        plan.drift.retain(|drift| self.subject(&drift.subject, drift.app.as_ref()));
        plan.blocked.retain(|blocked| self.subject(&blocked.subject, blocked.app.as_ref()));
        plan.held.retain(|change| self.subject(&change.subject, change.app.as_ref()));
        plan.under_way.retain(|begun| self.subject(&begun.subject, begun.app.as_ref()));
        plan.changes.retain(|change| self.subject(&change.subject, change.app.as_ref()));
        plan.unknown.retain(|unknown| self.subject(&unknown.subject, None));
        plan.unmanaged.retain(|unmanaged| self.subject(&unmanaged.subject, None));
        plan.notes.retain(|note| self.words(note));
        plan.findings.findings.retain(|finding| finding.app.as_ref().is_none_or(|app| self.app(app)));
        plan
    }
}
