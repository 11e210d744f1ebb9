//! What was applied last: the state that a new revision is compared with, and whose rules judge it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::model::app::PullPolicy;
use crate::model::desired::{Desired, ImageLock};
use crate::model::image::ImageRef;
use crate::model::names::{AppKey, Revision};
use crate::model::observed::RulesOf;
use crate::model::units::Timestamp;
use crate::policy::Source;

use super::memory::Memory;
use super::revision::{Parsed, Reader};
use super::rules::Silent;
use super::{ControlError, World};

/// Which revisions are applied. Not one for all: what a policy holds stays behind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Applied {
    /// Whose rules judge: the last revision of which nothing was denied. `None`: the library alone.
    pub rules: Option<Revision>,
    /// Hosts, networks and all apps that are not behind. `None`: nothing was applied yet.
    pub fleet: Option<Revision>,
    /// Apps that are still at another revision; `None`: not there yet.
    pub behind: BTreeMap<AppKey, Option<Revision>>,
}

impl Applied {
    /// All of one revision.
    pub fn all(revision: &Revision) -> Self {
        let some = Some(revision.clone());
        Self { rules: some.clone(), fleet: some, behind: BTreeMap::new() }
    }

    /// The revision at which this app is.
    pub fn of(&self, app: &AppKey) -> Option<Revision> {
        self.behind.get(app).cloned().unwrap_or_else(|| self.fleet.clone())
    }

    /// Whose rules judge the next revision; `None`: there is nothing to compare it with.
    pub fn judges(&self) -> Option<RulesOf> {
        self.fleet.as_ref().map(|_| self.rules.clone().map_or(RulesOf::Nobody, RulesOf::Revision))
    }

    /// Every revision that something is at.
    pub fn revisions(&self) -> BTreeSet<Revision> {
        let behind = self.behind.values().flatten();
        self.rules.iter().chain(&self.fleet).chain(behind).cloned().collect()
    }
}

/// The applied state itself.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    pub applied: Applied,
    /// Each image pinned to what its tag stood for then. `None`: nothing was applied yet.
    pub desired: Option<Desired>,
    /// The repository's own rules that judge.
    pub rules: Vec<Source>,
    /// The last time that these rules gave no answer.
    pub silent: Arc<Mutex<Option<Silent>>>,
    /// Tags whose registry took its whole time to answer: why, and when it is asked again.
    pub slow_tags: Arc<Mutex<SlowTags>>,
}

pub type SlowTags = BTreeMap<ImageRef, (String, Timestamp)>;

impl Baseline {
    pub(super) fn slow_tags(&self) -> MutexGuard<'_, SlowTags> {
        self.slow_tags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what `applied` names.
pub async fn read(reader: &Reader, world: &World, applied: Applied) -> Result<Baseline, ControlError> {
    let memory = Memory::new(&*world.store);
    let lock = |revision: &Revision| memory.image_lock(revision).map(Option::unwrap_or_default);
    let rules = match &applied.rules {
        Some(revision) => parsed(reader, world, revision).await?.rules.clone(),
        None => Vec::new(),
    };
    let Some(fleet) = &applied.fleet else {
        return Ok(Baseline { applied, rules, ..Baseline::default() });
    };
    let mut desired = parsed(reader, world, fleet).await?.desired.clone();
    pin(&mut desired, &lock(fleet)?);
    for (key, revision) in &applied.behind {
        desired.apps.remove(key);
        let Some(revision) = revision else { continue };
        let mut then = parsed(reader, world, revision).await?.desired.clone();
        pin(&mut then, &lock(revision)?);
        if let Some(app) = then.apps.remove(key) {
            desired.apps.insert(key.clone(), app);
            desired.contents.extend(then.contents);
        }
    }
    Ok(Baseline { applied, desired: Some(desired), rules, ..Baseline::default() })
}

async fn parsed(reader: &Reader, world: &World, revision: &Revision) -> Result<Arc<Parsed>, ControlError> {
    reader.parsed_or_kept(world, revision).await.map_err(|error| ControlError::Held {
        revision: revision.to_string(),
        reason: format!(
            "it was applied last and cannot be read now, so no change can be judged; `trueup trust ID` names the \
             revision to go on from: {error}"
        ),
    })
}

/// A tag that moved since does not move what is applied.
pub(super) fn pin(desired: &mut Desired, lock: &ImageLock) {
    for app in desired.apps.values_mut().filter(|app| app.pull == PullPolicy::Missing) {
        let image = lock.pin(&app.container.image);
        if image != app.container.image {
            Arc::make_mut(app).container.image = image;
        }
    }
}
