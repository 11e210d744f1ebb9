//! The difference between what is declared and what is, field by field (A4, A5).

use std::collections::BTreeSet;

use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};

use super::names::{AppKey, FieldName, HostName, InstanceName};

/// What kind of thing a plan or a drift speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Host,
    Image,
    Network,
    Volume,
    Container,
    Service,
    /// A Swarm config.
    Config,
    /// A member of a Swarm.
    Node,
    Swarm,
    Files,
    App,
    Revision,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Container => "container",
            Self::Service => "service",
            Self::Config => "config",
            Self::Node => "node",
            Self::Swarm => "swarm",
            Self::Files => "files",
            Self::App => "app",
            Self::Revision => "revision",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::deserialize(StrDeserializer::<Error>::new(name)).ok()
    }
}

/// One object, by the words that name it everywhere: `container quote-prod-0 on rack-a-1`, `service web-prod on swarm
/// prod`. It is on a host, on a Swarm, or on neither.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    pub kind: Kind,
    pub name: String,
    pub host: Option<HostName>,
    /// The Swarm, by its name in fleet.toml.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swarm: Option<String>,
}

impl Subject {
    /// An object on one engine.
    pub fn on_host(kind: Kind, name: impl ToString, host: &HostName) -> Self {
        Self { kind, name: name.to_string(), host: Some(host.clone()), swarm: None }
    }

    /// An object that a Swarm holds as a whole.
    pub fn on_swarm(kind: Kind, name: impl ToString, swarm: &str) -> Self {
        Self { kind, name: name.to_string(), host: None, swarm: Some(swarm.to_owned()) }
    }

    /// The subject that these are the words of, as state and history keep them.
    pub fn parse(words: &str) -> Option<Self> {
        let (kind, rest) = words.split_once(' ')?;
        let kind = Kind::parse(kind)?;
        match rest.rsplit_once(" on ") {
            None => Some(Self::of_fleet(kind, rest)),
            Some((name, place)) => match place.strip_prefix("swarm ") {
                Some(swarm) => Some(Self::on_swarm(kind, name, swarm)),
                None => Some(Self::on_host(kind, name, &place.parse().ok()?)),
            },
        }
    }

    /// The app that its name names, where it is an app, or an instance or a service by trueup's own naming.
    pub fn app(&self) -> Option<AppKey> {
        match self.kind {
            Kind::Container => self.name.parse::<InstanceName>().ok().map(|instance| instance.key),
            Kind::Service | Kind::App => self.name.parse().ok(),
            Kind::Host
            | Kind::Image
            | Kind::Network
            | Kind::Volume
            | Kind::Config
            | Kind::Node
            | Kind::Swarm
            | Kind::Files
            | Kind::Revision => None,
        }
    }

    /// The app that the words of a subject name, as [`Self::app`].
    pub fn app_in(words: &str) -> Option<AppKey> {
        Self::parse(words).and_then(|subject| subject.app())
    }

    /// Something that has no place of its own.
    pub fn of_fleet(kind: Kind, name: impl ToString) -> Self {
        Self { kind, name: name.to_string(), host: None, swarm: None }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)?;
        match (&self.host, &self.swarm) {
            (Some(host), _) => write!(f, " on {host}"),
            (None, Some(swarm)) => write!(f, " on swarm {swarm}"),
            (None, None) => Ok(()),
        }
    }
}

/// One object that is not as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    pub subject: Subject,
    pub app: Option<AppKey>,
    pub nature: Nature,
    /// Reported and left alone: `ignore`, `detect_only` or a pause, in words (A6).
    pub left_alone: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nature {
    /// Declared and not there.
    Missing,
    /// Ours, there, and not declared (any more).
    Extra,
    /// Fields differ.
    Changed(Vec<FieldChange>),
    /// It is as declared but does not run: what it does instead.
    NotRunning(String),
    /// It runs, and its own health check fails.
    Unhealthy(String),
}

/// One field, as declared and as it is, in the words of the config repository; values of env are hidden (G1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    pub field: String,
    pub desired: String,
    pub live: String,
    pub cure: Cure,
}

impl FieldChange {
    /// Whether one of the `names` is this field's, or that of the field that it is an element of.
    pub fn is_among(&self, names: &BTreeSet<FieldName>) -> bool {
        let whole = self.field.split('.').next().unwrap_or(&self.field);
        names.iter().any(|name| name.as_str() == whole || name.as_str() == self.field)
    }
}

/// What Docker needs to bring a field back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cure {
    /// The running object takes it.
    InPlace,
    /// Only a new object has it.
    Replace,
    /// Nothing may be done by a machine (a volume holds data: B5).
    ByHand,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_known_by_its_words() {
        let host: HostName = "rack-a-1".parse().expect("a name");
        for (subject, app) in [
            (Subject::on_host(Kind::Container, "quote-prod-0", &host), Some("quote-prod")),
            (Subject::on_host(Kind::Container, "shop_web", &host), None),
            (Subject::on_host(Kind::Host, "rack-a-1", &host), None),
            (Subject::on_swarm(Kind::Service, "web-test", "prod"), Some("web-test")),
            (Subject::on_swarm(Kind::Node, "rack-a-1", "prod"), None),
            (Subject::of_fleet(Kind::App, "web-test"), Some("web-test")),
            (Subject::of_fleet(Kind::Files, "nginx"), None),
        ] {
            assert_eq!(Subject::parse(&subject.to_string()).as_ref(), Some(&subject));
            assert_eq!(subject.app().map(|app| app.to_string()).as_deref(), app, "{subject}");
        }
        for words in ["fleet", "the whole fleet", "container a on NO HOST", "thing x"] {
            assert_eq!(Subject::parse(words), None, "{words}");
        }
    }
}
