//! What outlives a restart, typed: last good revision, tags resolved, first-seen times, backoff, pauses, approvals.
//!
//! Everything here may be lost without losing safety (H): a lost backoff tries once more, a lost pause is told by
//! `status`, a lost approval is asked for again.

mod documents;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::apply::Noted;
use crate::model::desired::ImageLock;
use crate::model::disk::PulledImage;
use crate::model::drift::Subject;
use crate::model::image::Digest;
use crate::model::last_seen::LastSeen;
use crate::model::names::{AppKey, HostName, InstanceName, Revision};
use crate::model::permission::BrokenGlass;
use crate::model::rollout::Rollout;
use crate::model::units::{TimeSpan, Timestamp};
use crate::ports::{HistoryEntry, Record, Store, StoreError};

use super::baseline::Applied;

pub use documents::{
    Attempts, Delivery, Destroyed, FirstSeen, Holding, LastAsked, LastGood, LastReport, Override, Pause,
};
use documents::{Held, Seats, Stood};

/// Digests that ran healthy, kept; the oldest are forgotten first.
const MOST_DIGESTS: usize = 10_000;
const HEALTHY_IN_TEST: &str = "digests that ran healthy in test";
const APPLIED: &str = "applied";
const ASKED: &str = "asked";
const SWARMS_BEHIND: &str = "swarms left behind";
const OVERRIDE: &str = "override ";
const BROKEN_GLASS: &str = "broken glass";
const EVERY_HOST_SEEN: &str = "every host was seen";
/// Before an app that was last declared without `protect`.
const UNPROTECTED: &str = "unprotected ";
const WHOLE_FLEET: &str = "*";

/// The ids of adopted containers, by the keys of their records.
type Ids = BTreeMap<String, String>;

/// What instances hold, by instance and host.
pub type Holdings = BTreeMap<(InstanceName, HostName), Holding>;

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

    /// All or none; `None` forgets.
    fn write_all<T: Serialize>(
        &self,
        record: Record,
        changes: impl IntoIterator<Item = (String, Option<T>)>,
    ) -> Result<(), StoreError> {
        let json = |(key, value): (String, Option<T>)| {
            let json = value.map(|value| serde_json::to_string(&value)).transpose();
            let json =
                json.map_err(|e| StoreError { path: format!("{record:?}/{key}"), detail: e.to_string() })?;
            Ok((key, json))
        };
        let changes: BTreeMap<_, _> = changes.into_iter().map(json).collect::<Result<_, StoreError>>()?;
        self.store.put_all(record, &changes)
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

    /// Services by their Swarm that git took away, and without which the Swarm was not seen yet (B2).
    pub fn swarms_behind(&self) -> Result<BTreeMap<String, BTreeSet<String>>, StoreError> {
        Ok(self.read(Record::LastGood, SWARMS_BEHIND)?.unwrap_or_default())
    }

    /// Nothing is written where it is known.
    pub fn set_swarms_behind(&self, behind: &BTreeMap<String, BTreeSet<String>>) -> Result<(), StoreError> {
        if self.swarms_behind()? == *behind {
            return Ok(());
        }
        self.write(Record::LastGood, SWARMS_BEHIND, behind)
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

    /// What is wrong since just now, by the subject's words; `None`: it is over.
    pub fn note_first_seen(&self, news: BTreeMap<String, Option<FirstSeen>>) -> Result<(), StoreError> {
        self.write_all(Record::FirstSeen, news)
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

    /// By the subject's words; `None`: they are forgotten.
    pub fn set_attempts(&self, attempts: BTreeMap<String, Option<Attempts>>) -> Result<(), StoreError> {
        self.write_all(Record::Backoff, attempts)
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
    pub fn last_seen(&self) -> Result<LastSeen, StoreError> {
        let (mut seen, _) = self.seats()?;
        seen.extend(self.creations()?.into_values());
        Ok(seen)
    }

    /// Where instances stood, and the ids that are noted by themselves.
    fn seats(&self) -> Result<(LastSeen, Ids), StoreError> {
        let (mut hosts, mut ids) = (BTreeMap::new(), Ids::new());
        for (key, json) in self.store.all(Record::Lease)? {
            if key.contains(' ') {
                ids.extend(serde_json::from_str(&json).ok().map(|id: String| (key, id)));
            } else if let (Ok(instance), Ok(seats)) = (key.parse(), serde_json::from_str::<Seats>(&json)) {
                hosts.insert(instance, seats.hosts());
            }
        }
        let mut seen = LastSeen::from(hosts);
        let each = ids.iter().filter_map(|(key, id)| Some((key.split_once(' ')?, id)));
        for ((instance, host), id) in each {
            // Of a host that an earlier release forgot meanwhile nothing is known.
            if let (Ok(instance), Ok(host)) = (instance.parse(), host.parse())
                && seen.is_on(&instance, &host)
            {
                seen.note_adopted(instance, host, id.clone());
            }
        }
        Ok((seen, ids))
    }

    /// An instance is about to be made there: from now on it counts as seen.
    pub fn note_creation(&self, instance: &InstanceName, host: &HostName) -> Result<(), StoreError> {
        self.write(Record::Creation, &format!("{instance} {host}"), &(instance, host))
    }

    /// Notes where instances were seen last, where that is other than what was read `before`. What they held elsewhere, they hold
    /// no longer. What began to be made since it was read stays noted.
    pub fn set_last_seen(&self, before: &LastSeen, seen: &LastSeen) -> Result<(), StoreError> {
        let held = self.holdings()?;
        let mut still = held.clone();
        still.retain(|(instance, host), _| seen.is_on(instance, host));
        self.set_holdings(&held, &still)?;
        let (seats, known) = self.seats()?;
        let hosts = |hosts| Stood::On(Seats::of(hosts));
        let mut news: BTreeMap<String, Option<Stood>> =
            seen.news(&seats).map(|(instance, on)| (instance.to_string(), on.map(hosts))).collect();
        let ids: Ids =
            seen.ids().map(|(instance, host, id)| (format!("{instance} {host}"), id.to_owned())).collect();
        news.extend(known.keys().filter(|key| !ids.contains_key(*key)).map(|key| (key.clone(), None)));
        let other = ids.into_iter().filter(|(key, id)| known.get(key) != Some(id));
        news.extend(other.map(|(key, id)| (key, Some(Stood::As(id)))));
        self.write_all(Record::Lease, news)?;
        let told = self.creations()?.into_iter().filter(|(_, (instance, host))| before.is_on(instance, host));
        self.write_all(Record::Creation, told.map(|(key, _)| (key, None::<HostName>)))
    }

    fn creations(&self) -> Result<BTreeMap<String, (InstanceName, HostName)>, StoreError> {
        self.all(Record::Creation)
    }

    /// What instances hold on their hosts, as they were seen last.
    pub fn holdings(&self) -> Result<Holdings, StoreError> {
        let all: BTreeMap<String, Held> = self.all(Record::Address)?;
        let all = all.into_iter().filter_map(|(key, held)| Some((key.parse::<InstanceName>().ok()?, held)));
        let each = |(instance, held): (InstanceName, Held)| {
            held.all().into_iter().map(move |one| ((instance.clone(), one.host.clone()), one))
        };
        Ok(all.flat_map(each).collect())
    }

    /// Notes what was seen just now; what was seen on other hosts before stays noted.
    pub fn note_holdings(&self, seen: Holdings) -> Result<(), StoreError> {
        let known = self.holdings()?;
        let mut all = known.clone();
        all.extend(seen);
        self.set_holdings(&known, &all)
    }

    /// Writes what is news.
    fn set_holdings(&self, known: &Holdings, all: &Holdings) -> Result<(), StoreError> {
        let (known, mut all) = (by_instance(known), by_instance(all));
        let gone = known.keys().filter(|instance| !all.contains_key(*instance));
        let gone: Vec<_> = gone.map(|instance| (instance.to_string(), None)).collect();
        all.retain(|instance, now| known.get(instance) != Some(now));
        let news = all.into_iter().map(|(instance, now)| (instance.to_string(), Held::of(now)));
        self.write_all(Record::Address, gone.into_iter().chain(news))
    }

    /// Whether every host was seen at once since this memory began: what it does not know was never started (H).
    pub fn is_complete(&self) -> Result<bool, StoreError> {
        Ok(self.store.get(Record::LastGood, EVERY_HOST_SEEN)?.is_some())
    }

    pub fn set_complete(&self) -> Result<(), StoreError> {
        self.write(Record::LastGood, EVERY_HOST_SEEN, &true)
    }

    /// Notes which apps git declares without `protect`, and which with it again: their containers carry the label that
    /// they were made with, and may outlive the app (B2).
    pub fn note_protection(&self, apps: &BTreeMap<AppKey, bool>) -> Result<(), StoreError> {
        let known = self.unprotected()?;
        let news = apps.iter().filter(|(app, protect)| known.contains(*app) == **protect);
        let news = news.map(|(app, protect)| (format!("{UNPROTECTED}{app}"), (!protect).then_some(true)));
        self.write_all(Record::LastGood, news)
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

    /// Notes what was taken away (B3's rolling hour), by the subjects' words.
    pub fn note_destroyed(&self, destroyed: BTreeMap<String, Destroyed>) -> Result<(), StoreError> {
        let each = destroyed.into_iter().map(|(subject, one)| (format!("{} {subject}", one.at.0), Some(one)));
        self.write_all(Record::Budget, each)
    }

    /// What the writer is carrying out now, as far as it noted it.
    pub fn under_way(&self) -> Result<Vec<Noted>, StoreError> {
        Ok(self.noted()?.into_iter().filter(|noted| noted.ended.is_none()).collect())
    }

    /// As [`Self::under_way`], with what has ended and is not settled.
    pub fn noted(&self) -> Result<Vec<Noted>, StoreError> {
        Ok(self.all(Record::UnderWay)?.into_values().collect())
    }

    /// Whoever was at it has ended.
    pub fn forget_under_way(&self) -> Result<(), StoreError> {
        let all = self.store.all(Record::UnderWay)?;
        self.write_all(Record::UnderWay, all.into_keys().map(|key| (key, None::<Noted>)))
    }

    /// Changes of these have ended, and are settled.
    pub fn forget_ended<'s>(&self, all: impl Iterator<Item = &'s Subject>) -> Result<(), StoreError> {
        self.write_all(Record::UnderWay, all.map(|subject| (subject.to_string(), None::<Noted>)))
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

fn by_instance(all: &Holdings) -> BTreeMap<&InstanceName, Vec<&Holding>> {
    let mut sorted: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for ((instance, _), holding) in all {
        sorted.entry(instance).or_default().push(holding);
    }
    sorted
}

fn pause_key(app: Option<&AppKey>) -> String {
    app.map_or_else(|| WHOLE_FLEET.to_owned(), ToString::to_string)
}
