//! What outlives a restart, typed: last good revision, tags resolved, first-seen times, backoff, pauses, approvals.
//!
//! Everything here may be lost without losing safety (H): a lost backoff tries once more, a lost pause is told by
//! `status`, a lost approval is asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::desired::ImageLock;
use crate::model::disk::PulledImage;
use crate::model::drift::Subject;
use crate::model::image::Digest;
use crate::model::names::{AppKey, EnvironmentName, HostName, InstanceName, Revision};
use crate::model::observed::{Container, Engine, Seen};
use crate::model::permission::{BrokenGlass, Permitted};
use crate::model::rollout::Rollout;
use crate::model::units::{TimeSpan, Timestamp};
use crate::observe::Asked;
use crate::ports::{HistoryEntry, Record, Store, StoreError};

use super::baseline::Applied;

/// The revision that is enforced until a better one is taken (A2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastGood {
    pub revision: Revision,
    /// When it was taken.
    pub since: Timestamp,
    /// A newer head that was not taken, and why.
    pub refused: Option<(Revision, String)>,
    /// Since when a newer head is refused, whichever it is.
    #[serde(default)]
    pub refused_since: Option<Timestamp>,
    /// Since when the repository itself cannot be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable_since: Option<Timestamp>,
    /// How the revision got its leave; state files of earlier releases knew only the mode `branch`.
    #[serde(default)]
    pub by: Permitted,
}

impl LastGood {
    /// Taken just now, with nothing newer refused.
    pub fn new(revision: Revision, since: Timestamp, by: Permitted) -> Self {
        Self { revision, since, refused: None, refused_since: None, unreachable_since: None, by }
    }
}

/// A stop asked for by a person, for an app or for the whole fleet (key `*`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub since: Timestamp,
    /// `None`: until `trueup resume`.
    pub until: Option<Timestamp>,
    pub reason: String,
}

/// How often healing an object was tried without its becoming stable (D3), and what the last plan for it was (D7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    pub count: u32,
    pub last: Timestamp,
    /// The change's promise (D11): the same one again after success is a loop.
    pub promise: String,
    /// How often in a row the same promise was carried out with success.
    pub same: u32,
    pub because: Vec<String>,
    /// How the last one failed; `None`: it succeeded and was wanted again.
    #[serde(default)]
    pub error: Option<String>,
}

/// When something wrong was seen first, and among which environments was looked; `None`: all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstSeen {
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<BTreeSet<EnvironmentName>>,
}

/// Whom a look asked, and within which environments; `None`: all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastAsked {
    pub within: Option<BTreeSet<EnvironmentName>>,
    pub asked: Asked,
}

/// When a report was made last, and up to when the last one that could be written told what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReport {
    pub at: Timestamp,
    #[serde(default)]
    pub from: Option<Timestamp>,
}

impl LastReport {
    pub fn begun(now: Timestamp) -> Self {
        Self { at: now, from: Some(now) }
    }

    pub fn covered(&self) -> Timestamp {
        self.from.unwrap_or(self.at)
    }
}

/// A report on its way to a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The key of its settings, which have the address.
    pub report: String,
    pub body: String,
    /// Nobody else reads this report: once it is taken, what happened until then is told.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// What an instance held when it was seen last: addresses that somebody else could want, by network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    pub host: HostName,
    pub addresses: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl Holding {
    pub fn of(host: &HostName) -> Self {
        Self { host: host.clone(), addresses: BTreeMap::new() }
    }

    /// What the container asked for, and what it has on a network that reaches beyond its host: what a plain bridge
    /// chose by itself is nobody else's.
    pub fn add(&mut self, engine: &Engine, container: &Container) {
        for (name, attachment) in &container.live.networks {
            let network = engine.networks.get(name).and_then(Seen::known);
            let reaches_beyond = network.is_some_and(|network| network.driver != "bridge");
            let chosen = attachment.address.filter(|_| reaches_beyond);
            for address in attachment.requested.into_iter().chain(chosen) {
                self.addresses.entry(name.clone()).or_default().insert(address);
            }
        }
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.addresses.iter().flat_map(|(network, all)| all.iter().map(move |a| (network.as_str(), *a)))
    }
}

/// One destruction within the last hour, for the budget (B3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destroyed {
    pub at: Timestamp,
    pub revision: Revision,
    /// How many instances or tasks went with it. Earlier releases noted each by itself.
    #[serde(default = "one")]
    pub count: usize,
}

const fn one() -> usize {
    1
}

/// A finding that a person let pass, at one revision (F2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    pub revision: Revision,
    pub rule: String,
    pub reason: String,
    pub at: Timestamp,
}

/// Digests that ran healthy, kept; the oldest are forgotten first.
const MOST_DIGESTS: usize = 10_000;
const HEALTHY_IN_TEST: &str = "digests that ran healthy in test";
const APPLIED: &str = "applied";
const ASKED: &str = "asked";
const OVERRIDE: &str = "override ";
const BROKEN_GLASS: &str = "broken glass";
const EVERY_HOST_SEEN: &str = "every host was seen";
/// Before an app that was last declared without `protect`.
const UNPROTECTED: &str = "unprotected ";
const WHOLE_FLEET: &str = "*";

/// A lock as it is written: tags and the digests that they stand for.
type Pairs = Vec<(String, String)>;

fn lock_of(pairs: Pairs) -> ImageLock {
    let parsed = pairs.iter().filter_map(|(image, digest)| Some((image.parse().ok()?, digest.parse().ok()?)));
    ImageLock { digests: parsed.collect(), unresolved: BTreeMap::new() }
}

/// Typed access to a [`Store`].
pub struct Memory<'a> {
    store: &'a dyn Store,
}

impl<'a> Memory<'a> {
    pub fn new(store: &'a dyn Store) -> Self {
        Self { store }
    }

    fn read<T: DeserializeOwned>(&self, record: Record, key: &str) -> Result<Option<T>, StoreError> {
        // A document of another release that no longer parses is as good as lost, which is always safe here.
        Ok(self.store.get(record, key)?.and_then(|json| serde_json::from_str(&json).ok()))
    }

    fn write<T: Serialize>(&self, record: Record, key: &str, value: &T) -> Result<(), StoreError> {
        let json = serde_json::to_string(value)
            .map_err(|e| StoreError { path: format!("{record:?}/{key}"), detail: e.to_string() })?;
        self.store.put(record, key, &json)
    }

    fn all<T: DeserializeOwned>(&self, record: Record) -> Result<BTreeMap<String, T>, StoreError> {
        let documents = self.store.all(record)?;
        Ok(documents
            .into_iter()
            .filter_map(|(key, json)| Some((key, serde_json::from_str(&json).ok()?)))
            .collect())
    }

    pub fn last_good(&self) -> Result<Option<LastGood>, StoreError> {
        self.read(Record::LastGood, "fleet")
    }

    /// Since when this very revision is enforced; `None`: another one is, or none.
    pub fn enforced_since(&self, revision: &Revision) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.last_good()?.filter(|last| last.revision == *revision).map(|last| last.since))
    }

    pub fn set_last_good(&self, last: &LastGood) -> Result<(), StoreError> {
        self.write(Record::LastGood, "fleet", last)
    }

    /// What is applied; `None` in the state file of a release without policies, and before the first revision.
    pub fn applied(&self) -> Result<Option<Applied>, StoreError> {
        self.read(Record::LastGood, APPLIED)
    }

    pub fn set_applied(&self, applied: &Applied) -> Result<(), StoreError> {
        self.write(Record::LastGood, APPLIED, applied)
    }

    /// Whom the last look asked that was not about a revision that a person named.
    pub fn asked(&self) -> Result<Option<LastAsked>, StoreError> {
        self.read(Record::LastGood, ASKED)
    }

    /// Nothing is written where it is known.
    pub fn set_asked(&self, asked: &LastAsked) -> Result<(), StoreError> {
        if self.asked()?.as_ref() == Some(asked) {
            return Ok(());
        }
        self.write(Record::LastGood, ASKED, asked)
    }

    /// Digests that ran healthy outside of production (F5).
    pub fn healthy_in_test(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let seen: BTreeMap<Digest, Timestamp> =
            self.read(Record::LastGood, HEALTHY_IN_TEST)?.unwrap_or_default();
        Ok(seen.into_keys().collect())
    }

    /// Adds digests seen healthy; nothing is written where all are known.
    pub fn note_healthy_in_test(&self, digests: &BTreeSet<Digest>, now: Timestamp) -> Result<(), StoreError> {
        let mut seen: BTreeMap<Digest, Timestamp> =
            self.read(Record::LastGood, HEALTHY_IN_TEST)?.unwrap_or_default();
        if digests.iter().all(|digest| seen.contains_key(digest)) {
            return Ok(());
        }
        for digest in digests {
            seen.entry(digest.clone()).or_insert(now);
        }
        let mut by_age: Vec<(Timestamp, Digest)> =
            seen.into_iter().map(|(digest, at)| (at, digest)).collect();
        by_age.sort();
        let forgotten = by_age.len().saturating_sub(MOST_DIGESTS);
        let kept: BTreeMap<Digest, Timestamp> =
            by_age.into_iter().skip(forgotten).map(|(at, digest)| (digest, at)).collect();
        self.write(Record::LastGood, HEALTHY_IN_TEST, &kept)
    }

    /// Lets one finding pass; what was let pass at other revisions is forgotten, since it no longer counts.
    pub fn override_finding(&self, finding: &str, entry: &Override) -> Result<(), StoreError> {
        let all = self.all::<Override>(Record::Approval)?;
        for (key, _) in all.iter().filter(|(_, other)| other.revision != entry.revision) {
            self.store.delete(Record::Approval, key)?;
        }
        self.write(Record::Approval, &format!("{OVERRIDE}{finding}"), entry)
    }

    /// Reasons by the finding's id, at this revision.
    pub fn overrides(&self, revision: &Revision) -> Result<BTreeMap<String, String>, StoreError> {
        let all = self.all::<Override>(Record::Approval)?;
        let here = all.into_iter().filter(|(_, entry)| entry.revision == *revision);
        Ok(here
            .filter_map(|(key, entry)| Some((key.strip_prefix(OVERRIDE)?.to_owned(), entry.reason)))
            .collect())
    }

    /// One revision may pass without the signatures that it needs (F1); another one that could is forgotten.
    pub fn break_glass(&self, glass: &BrokenGlass) -> Result<(), StoreError> {
        self.write(Record::Approval, BROKEN_GLASS, glass)
    }

    /// The broken glass in force.
    pub fn broken_glass(&self, now: Timestamp) -> Result<Option<BrokenGlass>, StoreError> {
        let glass = self.read::<BrokenGlass>(Record::Approval, BROKEN_GLASS)?;
        // A clock that went back before it was broken does not lengthen it.
        Ok(glass.filter(|glass| glass.at <= now && now < glass.until))
    }

    pub fn image_lock(&self, revision: &Revision) -> Result<Option<ImageLock>, StoreError> {
        Ok(self.read::<Pairs>(Record::ImageLock, revision.as_str())?.map(lock_of))
    }

    /// The locks of all revisions that something is at.
    pub fn image_locks(&self) -> Result<Vec<ImageLock>, StoreError> {
        Ok(self.all::<Pairs>(Record::ImageLock)?.into_values().map(lock_of).collect())
    }

    /// Keeps the resolved tags of `revision` and forgets those of others, but for the `kept`.
    pub fn set_image_lock(
        &self,
        revision: &Revision,
        lock: &ImageLock,
        kept: &BTreeSet<Revision>,
    ) -> Result<(), StoreError> {
        let pairs: Pairs = lock.digests.iter().map(|(i, d)| (i.to_string(), d.to_string())).collect();
        for older in self.store.all(Record::ImageLock)?.keys().filter(|key| *key != revision.as_str()) {
            if kept.iter().any(|other| other.as_str() == older) {
                continue;
            }
            self.store.delete(Record::ImageLock, older)?;
        }
        self.write(Record::ImageLock, revision.as_str(), &pairs)
    }

    pub fn all_first_seen(&self) -> Result<BTreeMap<String, FirstSeen>, StoreError> {
        self.all(Record::FirstSeen)
    }

    pub fn note_first_seen(&self, subject: &str, first: &FirstSeen) -> Result<(), StoreError> {
        self.write(Record::FirstSeen, subject, first)
    }

    pub fn forget_first_seen(&self, subject: &str) -> Result<(), StoreError> {
        self.store.delete(Record::FirstSeen, subject)
    }

    /// What trueup pulled, by host and image id.
    pub fn pulled(&self) -> Result<BTreeMap<(HostName, Digest), PulledImage>, StoreError> {
        let all: BTreeMap<String, PulledImage> = self.all(Record::PulledImage)?;
        let parsed = all.into_iter().filter_map(|(key, pulled)| {
            let (host, image) = key.split_once(' ')?;
            Some(((host.parse().ok()?, image.parse().ok()?), pulled))
        });
        Ok(parsed.collect())
    }

    pub fn note_pulled(
        &self,
        host: &HostName,
        image: &Digest,
        pulled: &PulledImage,
    ) -> Result<(), StoreError> {
        self.write(Record::PulledImage, &format!("{host} {image}"), pulled)
    }

    pub fn forget_pulled(&self, host: &HostName, image: &Digest) -> Result<(), StoreError> {
        self.store.delete(Record::PulledImage, &format!("{host} {image}"))
    }

    pub fn last_report(&self, key: &str) -> Result<Option<LastReport>, StoreError> {
        self.read(Record::Report, key)
    }

    pub fn note_report(&self, key: &str, last: &LastReport) -> Result<(), StoreError> {
        self.write(Record::Report, key, last)
    }

    /// Reports that a webhook has still to take.
    pub fn deliveries(&self) -> Result<BTreeMap<String, Delivery>, StoreError> {
        self.all(Record::Delivery)
    }

    pub fn keep_delivery(&self, id: &str, delivery: &Delivery) -> Result<(), StoreError> {
        self.write(Record::Delivery, id, delivery)
    }

    pub fn forget_delivery(&self, id: &str) -> Result<(), StoreError> {
        self.store.delete(Record::Delivery, id)
    }

    /// First-seen times alone.
    pub fn first_seen(&self) -> Result<BTreeMap<String, Timestamp>, StoreError> {
        Ok(self.all_first_seen()?.into_iter().map(|(key, first)| (key, first.at)).collect())
    }

    pub fn attempts(&self) -> Result<BTreeMap<String, Attempts>, StoreError> {
        self.all(Record::Backoff)
    }

    pub fn set_attempts(&self, subject: &Subject, attempts: &Attempts) -> Result<(), StoreError> {
        self.set_attempts_by_words(&subject.to_string(), attempts)
    }

    /// As [`Self::set_attempts`], for a subject known only by its words.
    pub fn set_attempts_by_words(&self, subject: &str, attempts: &Attempts) -> Result<(), StoreError> {
        self.write(Record::Backoff, subject, attempts)
    }

    pub fn forget_attempts(&self, subject: &str) -> Result<(), StoreError> {
        self.store.delete(Record::Backoff, subject)
    }

    /// Leaves this very change of the object alone (D7); another spec asks for another change and is tried.
    pub fn quarantine(&self, subject: &Subject, promise: &str, reason: &str) -> Result<(), StoreError> {
        self.write(Record::Quarantine, &subject.to_string(), &(promise, reason))
    }

    /// The change that is left alone, and why, by the subject's words.
    pub fn quarantined(&self) -> Result<BTreeMap<String, (String, String)>, StoreError> {
        self.all(Record::Quarantine)
    }

    /// The object is as declared again: nothing is left alone any more.
    pub fn release(&self, subject: &str) -> Result<(), StoreError> {
        self.store.delete(Record::Quarantine, subject)
    }

    /// Where each instance was seen last; on hosts that are unknown now it counts as being there still (C8).
    pub fn last_seen(&self) -> Result<BTreeMap<InstanceName, HostName>, StoreError> {
        let seats = self.all::<HostName>(Record::Lease)?;
        Ok(seats.into_iter().filter_map(|(key, host)| Some((key.parse().ok()?, host))).collect())
    }

    /// Notes where an instance was seen, or that it is nowhere any more.
    pub fn note_seen(&self, instance: &InstanceName, host: Option<&HostName>) -> Result<(), StoreError> {
        match host {
            Some(host) => self.write(Record::Lease, &instance.to_string(), host),
            None => {
                self.store.delete(Record::Address, &instance.to_string())?;
                self.store.delete(Record::Lease, &instance.to_string())
            }
        }
    }

    /// What instances hold, as they were seen last.
    pub fn holdings(&self) -> Result<BTreeMap<InstanceName, Holding>, StoreError> {
        let all: BTreeMap<String, Holding> = self.all(Record::Address)?;
        Ok(all.into_iter().filter_map(|(key, holding)| Some((key.parse().ok()?, holding))).collect())
    }

    /// Notes what was seen just now, where it is news.
    pub fn note_holdings(&self, seen: &BTreeMap<InstanceName, Holding>) -> Result<(), StoreError> {
        let known = self.holdings()?;
        for (instance, holding) in seen.iter().filter(|(instance, now)| known.get(instance) != Some(now)) {
            self.write(Record::Address, &instance.to_string(), holding)?;
        }
        Ok(())
    }

    /// Whether every host was seen at once since this memory began: what it does not know was never started (H).
    pub fn is_complete(&self) -> Result<bool, StoreError> {
        Ok(self.store.get(Record::LastGood, EVERY_HOST_SEEN)?.is_some())
    }

    pub fn set_complete(&self) -> Result<(), StoreError> {
        self.write(Record::LastGood, EVERY_HOST_SEEN, &true)
    }

    /// Notes that git declared the app without `protect`, or with it again: its containers carry the label that they
    /// were made with, and may outlive the app (B2).
    pub fn note_protection(&self, app: &AppKey, protect: bool) -> Result<(), StoreError> {
        let key = format!("{UNPROTECTED}{app}");
        match (protect, self.store.get(Record::LastGood, &key)?) {
            (false, None) => self.write(Record::LastGood, &key, &true),
            (true, Some(_)) => self.store.delete(Record::LastGood, &key),
            (false, Some(_)) | (true, None) => Ok(()),
        }
    }

    /// Apps that were last declared without `protect`.
    pub fn unprotected(&self) -> Result<BTreeSet<AppKey>, StoreError> {
        let all = self.store.all(Record::LastGood)?;
        Ok(all.keys().filter_map(|key| key.strip_prefix(UNPROTECTED)?.parse().ok()).collect())
    }

    pub fn pause(&self, app: Option<&AppKey>, pause: &Pause) -> Result<(), StoreError> {
        self.write(Record::Pause, &pause_key(app), pause)
    }

    pub fn resume(&self, app: Option<&AppKey>) -> Result<(), StoreError> {
        self.store.delete(Record::Pause, &pause_key(app))
    }

    /// Pauses in force; what has run out is forgotten. `None` is the whole fleet.
    pub fn pauses(&self, now: Timestamp) -> Result<Vec<(Option<AppKey>, Pause)>, StoreError> {
        let mut in_force = Vec::new();
        for (key, pause) in self.all::<Pause>(Record::Pause)? {
            if pause.until.is_some_and(|until| until <= now) {
                self.store.delete(Record::Pause, &key)?;
            } else if key == WHOLE_FLEET {
                in_force.push((None, pause));
            } else if let Ok(app) = key.parse() {
                in_force.push((Some(app), pause));
            }
        }
        Ok(in_force)
    }

    /// Allows these very steps of this revision (B3).
    pub fn approve(
        &self,
        plan: &str,
        revision: &Revision,
        promises: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        self.write(Record::Approval, plan, &(revision, promises))
    }

    /// What a person approved for this revision (B3); an approval for another says nothing about it.
    pub fn approved(&self, revision: &Revision) -> Result<BTreeSet<String>, StoreError> {
        let all: BTreeMap<String, (Revision, BTreeSet<String>)> = self.all(Record::Approval)?;
        let of_it = all.into_values().filter(|(approved, _)| approved == revision);
        Ok(of_it.flat_map(|(_, promises)| promises).collect())
    }

    /// Rollouts of services that Swarm was not yet seen to have done, and those that it went back from (D2).
    pub fn rollouts(&self) -> Result<BTreeMap<AppKey, Rollout>, StoreError> {
        let all = self.all::<Rollout>(Record::Rollout)?;
        Ok(all.into_iter().filter_map(|(key, rollout)| Some((key.parse().ok()?, rollout))).collect())
    }

    pub fn set_rollout(&self, app: &AppKey, rollout: &Rollout) -> Result<(), StoreError> {
        self.write(Record::Rollout, &app.to_string(), rollout)
    }

    pub fn forget_rollout(&self, app: &AppKey) -> Result<(), StoreError> {
        self.store.delete(Record::Rollout, &app.to_string())
    }

    pub fn request_restart(&self, app: &AppKey, at: Timestamp) -> Result<(), StoreError> {
        self.write(Record::RestartRequest, &app.to_string(), &at)
    }

    pub fn restart_requests(&self) -> Result<BTreeMap<AppKey, Timestamp>, StoreError> {
        Ok(self
            .all::<Timestamp>(Record::RestartRequest)?
            .into_iter()
            .filter_map(|(key, at)| Some((key.parse().ok()?, at)))
            .collect())
    }

    /// Notes that something was taken away (B3's rolling hour).
    pub fn note_destroyed(&self, subject: &str, destroyed: &Destroyed) -> Result<(), StoreError> {
        self.write(Record::Budget, &format!("{} {subject}", destroyed.at.0), destroyed)
    }

    /// How many things were taken away for this revision or within the last hour; older notes are forgotten.
    pub fn destroyed(&self, revision: &Revision, now: Timestamp) -> Result<usize, StoreError> {
        let hour = TimeSpan::from_secs(3600);
        let mut count = 0;
        for (key, destroyed) in self.all::<Destroyed>(Record::Budget)? {
            if destroyed.revision == *revision || now.since(destroyed.at) < hour {
                count += destroyed.count;
            } else {
                self.store.delete(Record::Budget, &key)?;
            }
        }
        Ok(count)
    }

    pub fn remember(
        &self,
        at: Timestamp,
        revision: Option<&Revision>,
        what: &str,
        subject: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        self.store.remember(&HistoryEntry {
            at,
            revision: revision.cloned(),
            what: what.to_owned(),
            subject: subject.to_owned(),
            detail: detail.to_owned(),
        })
    }
}

fn pause_key(app: Option<&AppKey>) -> String {
    app.map_or_else(|| WHOLE_FLEET.to_owned(), ToString::to_string)
}
