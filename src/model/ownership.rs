//! Who a thing belongs to, as written on the thing itself (B1).
//!
//! Labels name the installation, fleet, environment, app, slot and spec hash, and refer to the very object that
//! carries them, so that a copied label owns nothing.

use std::collections::BTreeMap;

use super::names::{AppKey, ContainerName, FleetName, HostName, InstanceName};
use super::secrecy::ContentHash;

/// Every label of trueup's starts with this; apps may not use it.
pub const PREFIX: &str = "io.trueup.";

const INSTALLATION: &str = "io.trueup.installation";
const FLEET: &str = "io.trueup.fleet";
const ENVIRONMENT: &str = "io.trueup.environment";
const APP: &str = "io.trueup.app";
const SLOT: &str = "io.trueup.slot";
const SPEC: &str = "io.trueup.spec";
const SELF: &str = "io.trueup.self";
/// Paths of the files that were put in, one a line (D9).
pub const FILES: &str = "io.trueup.files";
/// Written on instances of apps with `protect = true`, so that it outlives the app's declaration (B2).
pub const PROTECT: &str = "io.trueup.protect";
/// The name of an old container that a replacement moved aside: `NAME` + this. It still belongs to `NAME`.
pub const ASIDE: &str = ".trueup-old";
/// The name of a new container before it takes the old one's place.
pub const NEXT: &str = ".trueup-new";

/// A container's name without what it is called during a replacement.
pub fn base(name: &str) -> &str {
    name.strip_suffix(ASIDE).or_else(|| name.strip_suffix(NEXT)).unwrap_or(name)
}

/// The installation (one reconciler with its own settings) and the fleet it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// From the reconciler's own settings.
    pub installation: String,
    pub fleet: FleetName,
}

/// What an object's labels prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belongs<T> {
    /// Proven ours.
    Ours(T),
    /// No label of trueup's, or labels that refer to another object: not ours to touch.
    Foreign { why: String },
}

/// An owned container's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedContainer {
    pub instance: InstanceName,
    /// Twelve digits of the hash of the spec it was made from; explains, never decides (A4).
    pub spec: String,
    /// Where it stands in a replacement.
    pub place: PlaceInReplacement,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceInReplacement {
    /// It carries the instance's own name.
    Current,
    /// Moved aside, kept until its successor is healthy.
    Aside,
    /// Created, not yet in place.
    Next,
}

impl Owner {
    /// The labels of a container of ours. `files` are the paths that will be put in.
    pub fn container_labels<'a>(
        &self,
        instance: &InstanceName,
        host: &HostName,
        spec: &ContentHash,
        files: impl Iterator<Item = &'a str>,
    ) -> BTreeMap<String, String> {
        let mut labels = self.base(&format!("container/{instance}@{host}"));
        labels.insert(ENVIRONMENT.into(), instance.key.environment.to_string());
        labels.insert(APP.into(), instance.key.app.to_string());
        labels.insert(SLOT.into(), instance.slot.to_string());
        labels.insert(SPEC.into(), spec.short().to_owned());
        let files: Vec<&str> = files.collect();
        if !files.is_empty() {
            labels.insert(FILES.into(), files.join("\n"));
        }
        labels
    }

    /// The labels of a network or volume of ours; `kind` is `network` or `volume`.
    pub fn object_labels(&self, kind: &str, name: &str, host: &HostName) -> BTreeMap<String, String> {
        self.base(&format!("{kind}/{name}@{host}"))
    }

    /// The labels of a Swarm's object of ours; `kind` is `service`, `network` or `config`. `app` is the app it serves.
    pub fn swarm_labels(
        &self,
        kind: &str,
        name: &str,
        swarm: &str,
        app: Option<&AppKey>,
    ) -> BTreeMap<String, String> {
        let mut labels = self.base(&format!("{kind}/{name}@swarm/{swarm}"));
        if let Some(key) = app {
            labels.insert(ENVIRONMENT.into(), key.environment.to_string());
            labels.insert(APP.into(), key.app.to_string());
        }
        labels
    }

    /// Whether the `service`, `network` or `config` called `name` of the Swarm is ours; and the app it serves.
    pub fn swarm_object(
        &self,
        kind: &str,
        name: &str,
        swarm: &str,
        labels: &BTreeMap<String, String>,
    ) -> Belongs<Option<AppKey>> {
        match self.foreign_at([kind, "/", name, "@swarm/", swarm], labels) {
            Some(why) => Belongs::Foreign { why },
            None => Belongs::Ours(claimed_app(labels)),
        }
    }

    /// The instance of ours whose labels these are, where they name this very host; whatever carries them: that proves
    /// nothing (B1).
    pub fn claimed(&self, host: &HostName, labels: &BTreeMap<String, String>) -> Option<InstanceName> {
        let instance: InstanceName = claimed_instance(labels).parse().ok()?;
        self.foreign("container", &instance.to_string(), host, labels).is_none().then_some(instance)
    }

    fn base(&self, itself: &str) -> BTreeMap<String, String> {
        [(INSTALLATION, self.installation.as_str()), (FLEET, self.fleet.as_str()), (SELF, itself)]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }

    /// Whether the container called `name` on `host` is ours, by its own labels.
    pub fn container(
        &self,
        name: &ContainerName,
        host: &HostName,
        labels: &BTreeMap<String, String>,
    ) -> Belongs<OwnedContainer> {
        let (own_name, place) = if let Some(base) = name.as_str().strip_suffix(ASIDE) {
            (base, PlaceInReplacement::Aside)
        } else if let Some(base) = name.as_str().strip_suffix(NEXT) {
            (base, PlaceInReplacement::Next)
        } else {
            (name.as_str(), PlaceInReplacement::Current)
        };
        if let Some(why) = self.foreign("container", own_name, host, labels) {
            return Belongs::Foreign { why };
        }
        let text = |key: &str| labels.get(key).map(String::as_str).unwrap_or_default();
        let claimed = claimed_instance(labels);
        match claimed.parse::<InstanceName>() {
            Ok(instance) if instance.to_string() == own_name => {
                Belongs::Ours(OwnedContainer { instance, spec: text(SPEC).to_owned(), place })
            }
            Ok(_) | Err(_) => Belongs::Foreign {
                why: format!("its labels name the instance {claimed:?}, which is not its own name"),
            },
        }
    }

    /// Whether the `network` or `volume` called `name` on `host` is ours.
    pub fn object(
        &self,
        kind: &str,
        name: &str,
        host: &HostName,
        labels: &BTreeMap<String, String>,
    ) -> Belongs<()> {
        match self.foreign(kind, name, host, labels) {
            Some(why) => Belongs::Foreign { why },
            None => Belongs::Ours(()),
        }
    }

    /// Whether this installation wrote the labels, whatever carries them now.
    pub fn is_labelled(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(INSTALLATION) == Some(&self.installation)
            && labels.get(FLEET).map(String::as_str) == Some(self.fleet.as_str())
    }

    fn foreign(
        &self,
        kind: &str,
        name: &str,
        host: &HostName,
        labels: &BTreeMap<String, String>,
    ) -> Option<String> {
        self.foreign_at([kind, "/", name, "@", host.as_str()], labels)
    }

    /// `itself` is what the label of that name says of what carries it rightly, piece by piece.
    fn foreign_at(&self, itself: [&str; 5], labels: &BTreeMap<String, String>) -> Option<String> {
        let label = |key: &str| labels.get(key).map(String::as_str);
        match (label(INSTALLATION), label(FLEET), label(SELF)) {
            (None, _, _) => Some("it carries no label of trueup's".to_owned()),
            (Some(other), _, _) if other != self.installation => {
                Some(format!("it belongs to the trueup installation {other:?}"))
            }
            (_, other, _) if other != Some(self.fleet.as_str()) => {
                Some(format!("it belongs to the fleet {:?}", other.unwrap_or_default()))
            }
            (_, _, Some(claimed)) if is_made_of(claimed, itself) => None,
            (_, _, claimed) => Some(format!(
                "its ownership label was copied: it names {:?} and stands on {:?}",
                claimed.unwrap_or_default(),
                itself.concat()
            )),
        }
    }
}

/// Whether `text` is the pieces one after the other.
fn is_made_of(text: &str, pieces: [&str; 5]) -> bool {
    pieces.into_iter().try_fold(text, |rest, piece| rest.strip_prefix(piece)).is_some_and(str::is_empty)
}

/// The name of the instance that labels claim, ownership unproven.
fn claimed_instance(labels: &BTreeMap<String, String>) -> String {
    let text = |key: &str| labels.get(key).map(String::as_str).unwrap_or_default();
    format!("{}-{}-{}", text(APP), text(ENVIRONMENT), text(SLOT))
}

/// The app that labels claim, ownership unproven: for messages about foreign things.
pub fn claimed_app(labels: &BTreeMap<String, String>) -> Option<AppKey> {
    format!("{}-{}", labels.get(APP)?, labels.get(ENVIRONMENT)?).parse().ok()
}

/// The paths of files that were put into a container, from its labels.
pub fn files_put_in(labels: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    labels.get(FILES).map(String::as_str).unwrap_or_default().lines()
}

/// What Docker Compose notes on what it makes, for itself: nothing that an app asks for.
pub fn is_bookkeeping(label: &str) -> bool {
    label.starts_with("com.docker.compose.")
}

/// The labels that are not trueup's bookkeeping.
pub fn own_labels(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.iter().filter(|(k, _)| !k.starts_with(PREFIX)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner { installation: "i-1".into(), fleet: "community".parse().expect("name") }
    }
    fn labels(host: &str) -> BTreeMap<String, String> {
        owner().container_labels(
            &"quote-prod-0".parse().expect("name"),
            &host.parse().expect("name"),
            &ContentHash::of(b"spec"),
            std::iter::empty(),
        )
    }
    fn judge(name: &str, host: &str, labels: &BTreeMap<String, String>) -> Belongs<OwnedContainer> {
        owner().container(&name.parse().expect("name"), &host.parse().expect("name"), labels)
    }

    #[test]
    fn what_we_labelled_is_ours_under_its_own_names_only() {
        for (name, place) in [
            ("quote-prod-0", PlaceInReplacement::Current),
            ("quote-prod-0.trueup-old", PlaceInReplacement::Aside),
            ("quote-prod-0.trueup-new", PlaceInReplacement::Next),
        ] {
            match judge(name, "h1", &labels("h1")) {
                Belongs::Ours(owned) => assert_eq!(owned.place, place),
                Belongs::Foreign { why } => panic!("{name}: {why}"),
            }
        }
    }

    #[test]
    fn a_copied_or_foreign_label_owns_nothing() {
        let foreign = |b| matches!(b, Belongs::Foreign { .. });
        assert!(foreign(judge("quote-prod-1", "h1", &labels("h1"))), "another container");
        assert!(foreign(judge("quote-prod-0", "h2", &labels("h1"))), "another host");
        assert!(foreign(judge("quote-prod-0", "h1", &labels("h10"))), "a host whose name goes on");
        assert!(foreign(judge("quote-prod-0", "h10", &labels("h1"))), "a host whose name ends before");
        assert!(foreign(judge("quote-prod-0", "h1", &BTreeMap::new())), "no labels");
        let mut other = labels("h1");
        other.insert(INSTALLATION.into(), "i-2".into());
        assert!(foreign(judge("quote-prod-0", "h1", &other)), "another installation");
        let mut other = labels("h1");
        other.insert(SLOT.into(), "7".into());
        assert!(foreign(judge("quote-prod-0", "h1", &other)), "a slot that is not its name");
    }
}
