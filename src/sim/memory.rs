//! The other ports in memory: a repository of texts, a state file, directories of files, and tokio's own time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use crate::model::file::{FileSet, Files};
use crate::model::names::Revision;
use crate::model::plan::Outcome;
use crate::model::secrecy::ContentHash;
use crate::model::settings::Reference;
use crate::model::tree::{Blob, Tree};
use crate::model::units::Timestamp;
use crate::ports::{
    Clock, CommitSummary, FileSets, FilesError, HistoryEntry, Intent, Record, Repository, SourceError, Store,
    StoreError, WriterGuard, WriterHeld,
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Commits in a line; the last is the head.
#[derive(Default)]
pub struct SimRepository {
    commits: Mutex<Vec<Tree>>,
    unreachable: Mutex<bool>,
}

impl SimRepository {
    /// A commit of exactly these files.
    pub fn commit(&self, files: &BTreeMap<String, String>) -> Revision {
        let mut commits = lock(&self.commits);
        let summary = format!("commit {}", commits.len());
        let revision =
            Revision::new(ContentHash::of(format!("{} {files:?}", commits.len()).as_bytes()).to_string());
        let blob = |text: &String| Blob {
            id: ContentHash::of(text.as_bytes()).to_string(),
            bytes: Arc::from(text.as_bytes()),
        };
        commits.push(Tree {
            revision: revision.clone(),
            committed: Timestamp(0),
            author: "simulated".to_owned(),
            summary,
            blobs: files.iter().map(|(path, text)| (path.clone(), blob(text))).collect(),
            refused: BTreeMap::new(),
        });
        revision
    }

    /// Whether the repository answers.
    pub fn set_unreachable(&self, unreachable: bool) {
        *lock(&self.unreachable) = unreachable;
    }

    fn position(&self, revision: &Revision) -> Option<usize> {
        lock(&self.commits).iter().position(|tree| tree.revision == *revision)
    }

    fn no_such(wanted: impl ToString) -> SourceError {
        SourceError::NoSuchRevision {
            url: "simulated".to_owned(),
            wanted: wanted.to_string(),
            detail: "it was never committed".to_owned(),
        }
    }
}

#[async_trait]
impl Repository for SimRepository {
    async fn head(&self) -> Result<Revision, SourceError> {
        if *lock(&self.unreachable) {
            let (url, detail) = ("simulated".to_owned(), "it was made unreachable".to_owned());
            return Err(SourceError::Unreachable { url, detail });
        }
        lock(&self.commits).last().map(|tree| tree.revision.clone()).ok_or_else(|| Self::no_such("HEAD"))
    }

    async fn resolve(&self, reference: &Reference) -> Result<Revision, SourceError> {
        match reference {
            Reference::Head | Reference::Branch(_) => self.head().await,
            Reference::Tag(text) | Reference::Commit(text) => {
                let revision = Revision::new(text.clone());
                self.position(&revision).map(|_| revision).ok_or_else(|| Self::no_such(text))
            }
        }
    }

    async fn tree(&self, revision: &Revision) -> Result<Tree, SourceError> {
        let at = self.position(revision).ok_or_else(|| Self::no_such(revision))?;
        lock(&self.commits).get(at).cloned().ok_or_else(|| Self::no_such(revision))
    }

    async fn descends(&self, descendant: &Revision, ancestor: &Revision) -> Result<bool, SourceError> {
        Ok(self.position(ancestor).is_some_and(|old| self.position(descendant) >= Some(old)))
    }

    async fn log(&self, _: &str, limit: usize) -> Result<Vec<CommitSummary>, SourceError> {
        let summary = |tree: &Tree| CommitSummary {
            revision: tree.revision.clone(),
            author: tree.author.clone(),
            when: tree.committed,
            summary: tree.summary.clone(),
        };
        Ok(lock(&self.commits).iter().rev().take(limit).map(summary).collect())
    }

    async fn revert_on_branch(
        &self,
        _: &str,
        _: &Revision,
        branch: &str,
        _: &str,
    ) -> Result<Revision, SourceError> {
        Err(SourceError::Refused {
            detail: format!("the simulated repository has no branches such as {branch}"),
        })
    }

    async fn changed(&self) {
        std::future::pending().await
    }
}

/// A state file in memory; clones are the same file, so that a "restarted" process finds it.
#[derive(Clone, Default)]
pub struct SimStore {
    state: Arc<Mutex<StoreState>>,
}

#[derive(Default)]
struct StoreState {
    records: BTreeMap<(Record, String), String>,
    intents: Vec<(Intent, Option<Outcome>)>,
    history: Vec<HistoryEntry>,
}

struct Nobody;
impl WriterGuard for Nobody {}

impl Store for SimStore {
    fn get(&self, record: Record, key: &str) -> Result<Option<String>, StoreError> {
        Ok(lock(&self.state).records.get(&(record, key.to_owned())).cloned())
    }
    fn put(&self, record: Record, key: &str, json: &str) -> Result<(), StoreError> {
        lock(&self.state).records.insert((record, key.to_owned()), json.to_owned());
        Ok(())
    }
    fn delete(&self, record: Record, key: &str) -> Result<(), StoreError> {
        lock(&self.state).records.remove(&(record, key.to_owned()));
        Ok(())
    }
    fn all(&self, record: Record) -> Result<BTreeMap<String, String>, StoreError> {
        let state = lock(&self.state);
        let own = state.records.iter().filter(|((kind, _), _)| *kind == record);
        Ok(own.map(|((_, key), json)| (key.clone(), json.clone())).collect())
    }
    fn intend(&self, intent: &Intent) -> Result<i64, StoreError> {
        let mut state = lock(&self.state);
        let id = i64::try_from(state.intents.len()).unwrap_or(i64::MAX);
        state.intents.push((Intent { id, ..intent.clone() }, None));
        Ok(id)
    }
    fn settle(&self, id: i64, _: Timestamp, outcome: &Outcome) -> Result<(), StoreError> {
        if let Some((_, settled)) = lock(&self.state).intents.iter_mut().find(|(intent, _)| intent.id == id) {
            *settled = Some(outcome.clone());
        }
        Ok(())
    }
    fn unsettled(&self) -> Result<Vec<Intent>, StoreError> {
        let state = lock(&self.state);
        let open = state.intents.iter().filter(|(_, settled)| settled.is_none());
        Ok(open.map(|(intent, _)| intent.clone()).collect())
    }
    fn remember(&self, entry: &HistoryEntry) -> Result<(), StoreError> {
        lock(&self.state).history.push(entry.clone());
        Ok(())
    }
    fn history(&self, limit: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        let state = lock(&self.state);
        Ok(state.history[state.history.len().saturating_sub(limit)..].to_vec())
    }
    fn become_writer(&self, _: &str) -> Result<Box<dyn WriterGuard>, WriterHeld> {
        Ok(Box::new(Nobody))
    }
}

/// Generated files in memory.
#[derive(Default)]
pub struct SimFiles {
    sets: Mutex<BTreeMap<FileSet, Option<Files>>>,
}

#[async_trait]
impl FileSets for SimFiles {
    fn wants(&self, _: &FileSet) -> bool {
        true
    }
    async fn installed(&self) -> Result<BTreeMap<FileSet, Option<Files>>, FilesError> {
        Ok(lock(&self.sets).clone())
    }
    async fn install(&self, set: &FileSet, files: &Files) -> Result<(), FilesError> {
        lock(&self.sets).insert(set.clone(), Some(files.clone()));
        Ok(())
    }
    async fn drained(&self, _: &FileSet) -> bool {
        true
    }
}

/// tokio's time: with a paused runtime, hours pass in milliseconds.
pub struct SimClock {
    began: tokio::time::Instant,
}

impl Default for SimClock {
    fn default() -> Self {
        Self { began: tokio::time::Instant::now() }
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000).plus(self.began.elapsed())
    }
    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}
