//! What is under way, kept beside the journal for the reports of other processes: `trueup drift` has no other way to know
//! that a rollout of `run` is one (D6). What a process that was killed had begun of a revision is known by it too (D5).

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::model::file::Files;
use crate::model::names::{AppKey, InstanceName};
use crate::model::plan::{Action, Change, Outcome, Step};
use crate::plan::Begun;
use crate::ports::{Record, Store, StoreError};

use super::Did;

/// A change that has begun and is not settled, and whom it took out of the generated files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Noted {
    pub begun: Begun,
    pub drained: BTreeSet<InstanceName>,
    /// Apps of which it brings what the revision changes; none where it heals.
    #[serde(default)]
    of: BTreeSet<AppKey>,
    /// In its stead in notes of earlier builds: it does, of its own app.
    #[serde(default, skip_serializing)]
    brings: bool,
    /// How it ended; `None`: it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<(Outcome, Did)>,
}

impl Noted {
    /// Apps of which it brings what the revision changes.
    pub fn brought(&self) -> BTreeSet<AppKey> {
        let own = self.begun.change.app.iter().filter(|_| self.brings);
        self.of.iter().chain(own).cloned().collect()
    }
}

/// What heals is noted until it ends, what a revision brings until whoever carries the plan out has settled it: the one who
/// is at it writes its note, and nobody else's. What a process that was killed leaves is read and forgotten by the next writer.
pub(super) struct Note<'e> {
    store: &'e dyn Store,
    key: String,
    noted: Mutex<Noted>,
}

impl<'e> Note<'e> {
    pub fn begins(store: &'e dyn Store, begun: Begun, of: BTreeSet<AppKey>) -> Self {
        let begun = Begun { change: without_contents(&begun.change), ..begun };
        let key = begun.change.subject.to_string();
        let noted = Noted { begun, drained: BTreeSet::new(), of, brings: false, ended: None };
        Self { store, key, noted: Mutex::new(noted) }
    }

    /// Before the step is begun.
    pub fn is_at(&self, action: &Action) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.begun.step = action.describe();
        if let Action::Drain { instance, .. } = action {
            noted.drained.insert(instance.clone());
        } else if let Action::Undrain { instance } = action {
            noted.drained.remove(instance);
        }
        self.write(&noted);
    }

    pub fn ends(&self, outcome: &Outcome, did: Did) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        // What came to no step was not noted.
        if noted.of.is_empty() || noted.begun.step.is_empty() {
            told(self.store.delete(Record::UnderWay, &self.key));
            return;
        }
        noted.ended = Some((outcome.clone(), did));
        self.write(&noted);
    }

    fn write(&self, noted: &Noted) {
        let written = serde_json::to_string(noted)
            .map_err(|error| StoreError { path: self.key.clone(), detail: error.to_string() })
            .and_then(|json| self.store.put(Record::UnderWay, &self.key, &json));
        told(written);
    }
}

/// No reason to stop: the journal is what matters (D5).
fn told(written: Result<(), StoreError>) {
    if let Err(error) = written {
        tracing::warn!("{error}; `trueup drift` may tell what is under way wrongly");
    }
}

/// Generated files are large, and follow from what is observed anyway (D11).
fn without_contents(change: &Change) -> Change {
    let slim = |step: &Step| {
        let Action::InstallFiles { set, .. } = &step.action else { return step.clone() };
        let action = Action::InstallFiles { set: set.clone(), files: Files::new() };
        Step { action, expect: step.expect.clone() }
    };
    Change {
        steps: change.steps.iter().map(slim).collect(),
        undo: change.undo.iter().map(slim).collect(),
        ..change.clone()
    }
}
