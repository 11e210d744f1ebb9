//! The other ports in memory: a repository of texts, a state file, directories of files, and tokio's own time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use crate::model::file::{FileSet, Files};
use crate::model::names::Revision;
use crate::model::permission::{Signature, SignedCommit};
use crate::model::plan::Outcome;
use crate::model::secrecy::ContentHash;
use crate::model::settings::Reference;
use crate::model::tree::{Between, Blob, Touch, Tree};
use crate::model::units::Timestamp;
use crate::ports::{
    Clock, CommitSummary, FileSets, FilesError, HistoryEntry, Intent, Record, Repository, Sandbox,
    SandboxError, SourceError, Store, StoreError, WriterGuard, WriterHeld,
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Rules answered on the spot, unless they are made to give no answer.
#[derive(Default)]
pub struct SimSandbox {
    silent: Mutex<Option<SandboxError>>,
    asked: Mutex<usize>,
}

impl SimSandbox {
    /// From now on nothing is answered, for this reason; `None`: everything is again.
    pub fn silence(&self, why: Option<SandboxError>) {
        *lock(&self.silent) = why;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        *lock(&self.asked)
    }
}

#[async_trait]
impl Sandbox for SimSandbox {
    async fn answer(&self, question: Vec<u8>) -> Result<Vec<u8>, SandboxError> {
        *lock(&self.asked) += 1;
        if let Some(why) = lock(&self.silent).clone() {
            return Err(why);
        }
        crate::policy::answer(&question).map_err(|error| SandboxError::NotAsked(error.to_string()))
    }
}

/// Commits; the last one made is the head.
pub struct SimRepository {
    commits: Mutex<Vec<Commit>>,
    unreachable: Mutex<bool>,
    /// Its history ends early, so that nobody can tell what descends from what.
    shallow: Mutex<bool>,
    /// How long it takes to tell its head, and how often it was asked for it.
    slow: Mutex<Duration>,
    asked: AtomicUsize,
    began: tokio::time::Instant,
}

struct Commit {
    tree: Tree,
    /// Position of the commit it was made on.
    parent: Option<usize>,
    /// Its objects cannot be read.
    lost: bool,
    signature: Signature,
}

impl Default for SimRepository {
    fn default() -> Self {
        Self {
            commits: Mutex::default(),
            unreachable: Mutex::default(),
            shallow: Mutex::default(),
            slow: Mutex::default(),
            asked: AtomicUsize::default(),
            began: tokio::time::Instant::now(),
        }
    }
}

impl SimRepository {
    /// A commit of exactly these files on top of the head.
    pub fn commit(&self, files: &BTreeMap<String, String>) -> Revision {
        let summary = format!("commit {}", lock(&self.commits).len());
        self.commit_as(files, &summary)
    }

    /// As `commit`, with the first line of its message.
    pub fn commit_as(&self, files: &BTreeMap<String, String>, summary: &str) -> Revision {
        self.commit_signed(files, summary, Signature::None)
    }

    /// As `commit_as`, by somebody whose signature is found to be this.
    pub fn commit_signed(
        &self,
        files: &BTreeMap<String, String>,
        summary: &str,
        signature: Signature,
    ) -> Revision {
        let parent = lock(&self.commits).len().checked_sub(1);
        self.push(files, summary, parent, signature)
    }

    /// A commit in place of the head: it does not descend from it (F0).
    pub fn force_push(&self, files: &BTreeMap<String, String>, summary: &str) -> Revision {
        let parent = lock(&self.commits).last().and_then(|head| head.parent);
        self.push(files, summary, parent, Signature::None)
    }

    fn push(
        &self,
        files: &BTreeMap<String, String>,
        summary: &str,
        parent: Option<usize>,
        signature: Signature,
    ) -> Revision {
        let mut commits = lock(&self.commits);
        let revision =
            Revision::new(ContentHash::of(format!("{} {files:?}", commits.len()).as_bytes()).to_string());
        let blob = |text: &String| Blob {
            id: ContentHash::of(text.as_bytes()).to_string(),
            bytes: Arc::from(text.as_bytes()),
        };
        let tree = Tree {
            revision: revision.clone(),
            committed: moment(self.began),
            author: "simulated".to_owned(),
            summary: summary.to_owned(),
            blobs: files.iter().map(|(path, text)| (path.clone(), blob(text))).collect(),
            refused: BTreeMap::new(),
        };
        commits.push(Commit { tree, parent, lost: false, signature });
        revision
    }

    /// Whether the objects of a commit can be read.
    pub fn set_lost(&self, revision: &Revision, lost: bool) {
        for commit in lock(&self.commits).iter_mut().filter(|commit| commit.tree.revision == *revision) {
            commit.lost = lost;
        }
    }

    /// Whether the repository answers.
    pub fn set_unreachable(&self, unreachable: bool) {
        *lock(&self.unreachable) = unreachable;
    }

    /// Whether its history ends early.
    pub fn set_shallow(&self, shallow: bool) {
        *lock(&self.shallow) = shallow;
    }

    /// How long it takes to tell its head from now on.
    pub fn set_slow(&self, slow: Duration) {
        *lock(&self.slow) = slow;
    }

    /// How often its head was asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn position(&self, revision: &Revision) -> Option<usize> {
        lock(&self.commits).iter().position(|commit| commit.tree.revision == *revision)
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
        self.asked.fetch_add(1, Ordering::Relaxed);
        let slow = *lock(&self.slow);
        tokio::time::sleep(slow).await;
        if *lock(&self.unreachable) {
            let (url, detail) = ("simulated".to_owned(), "it was made unreachable".to_owned());
            return Err(SourceError::Unreachable { url, detail });
        }
        lock(&self.commits).last().map(|head| head.tree.revision.clone()).ok_or_else(|| Self::no_such("HEAD"))
    }

    async fn known_head(&self) -> Result<Revision, SourceError> {
        self.head().await
    }

    fn hurry(&self) {}

    async fn resolve(&self, reference: &Reference) -> Result<Revision, SourceError> {
        match reference {
            Reference::Head | Reference::Branch(_) => self.head().await,
            Reference::Tag(text) | Reference::Commit(text) | Reference::Id(text) => {
                let commits = lock(&self.commits);
                let named = commits.iter().find(|c| c.tree.revision.as_str().starts_with(text.as_str()));
                named.map(|commit| commit.tree.revision.clone()).ok_or_else(|| Self::no_such(text))
            }
        }
    }

    async fn tree(&self, revision: &Revision) -> Result<Tree, SourceError> {
        let at = self.position(revision).ok_or_else(|| Self::no_such(revision))?;
        match lock(&self.commits).get(at) {
            Some(commit) if commit.lost => Err(SourceError::Unreadable {
                url: "simulated".to_owned(),
                revision: revision.short().to_owned(),
                detail: "object not found".to_owned(),
            }),
            Some(commit) => Ok(commit.tree.clone()),
            None => Err(Self::no_such(revision)),
        }
    }

    async fn descends(&self, descendant: &Revision, ancestor: &Revision) -> Result<bool, SourceError> {
        if *lock(&self.shallow) {
            return Err(SourceError::Unreadable {
                url: "simulated".to_owned(),
                revision: descendant.short().to_owned(),
                detail: "its history ends early".to_owned(),
            });
        }
        let (mut at, wanted) = (self.position(descendant), self.position(ancestor));
        let commits = lock(&self.commits);
        while at.is_some() && at != wanted {
            at = at.and_then(|at| commits.get(at)).and_then(|commit| commit.parent);
        }
        Ok(at.is_some())
    }

    async fn between(&self, base: &Revision, head: &Revision) -> Result<Between, SourceError> {
        let of = |revision: &Revision| {
            let mut at = Some(self.position(revision).ok_or_else(|| Self::no_such(revision))?);
            let commits = lock(&self.commits);
            let mut line = Vec::new();
            while let Some(commit) = at.and_then(|at| commits.get(at)) {
                line.push(commit.tree.clone());
                at = commit.parent;
            }
            Ok::<_, SourceError>(line)
        };
        let (of_base, of_head) = (of(base)?, of(head)?);
        let has = |line: &[Tree], tree: &Tree| line.iter().any(|other| other.revision == tree.revision);
        let since = of_head.iter().find(|tree| has(&of_base, tree)).ok_or_else(|| Self::no_such(base))?;
        let (old, new) = (&since.blobs, of_head.first().map(|tree| &tree.blobs));
        let new = new.ok_or_else(|| Self::no_such(head))?;
        let touch = |path: &String| match (old.get(path), new.get(path)) {
            (before, after) if before == after => None,
            (None, _) => Some(Touch::Added),
            (_, None) => Some(Touch::Removed),
            (Some(_), Some(_)) => Some(Touch::Changed),
        };
        let paths = old.keys().chain(new.keys());
        Ok(Between {
            since: since.revision.clone(),
            behind: of_base.iter().filter(|tree| !has(&of_head, tree)).count(),
            touched: paths.filter_map(|path| Some((path.clone(), touch(path)?))).collect(),
        })
    }

    async fn file(
        &self,
        revision: &Revision,
        path: &str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, SourceError> {
        let tree = self.tree(revision).await?;
        let blob = tree.blobs.get(path).filter(|blob| blob.bytes.len() <= limit);
        Ok(blob.map(|blob| blob.bytes.to_vec()))
    }

    async fn signatures(
        &self,
        base: Option<&Revision>,
        head: &Revision,
        limit: usize,
    ) -> Result<Vec<SignedCommit>, SourceError> {
        let end = base.and_then(|base| self.position(base));
        let mut at = Some(self.position(head).ok_or_else(|| Self::no_such(head))?);
        let commits = lock(&self.commits);
        let mut found = Vec::new();
        while let Some(commit) = at.filter(|_| at != end).and_then(|at| commits.get(at)) {
            if commit.lost || found.len() >= limit {
                return Err(SourceError::Refused {
                    detail: "the simulated history cannot be read".to_owned(),
                });
            }
            found.push(SignedCommit {
                revision: commit.tree.revision.clone(),
                author: commit.tree.author.clone(),
                committer: commit.tree.author.clone(),
                committed: commit.tree.committed,
                summary: commit.tree.summary.clone(),
                merge: false,
                signature: commit.signature.clone(),
            });
            at = commit.parent.filter(|_| base.is_some());
        }
        Ok(found)
    }

    async fn log(&self, _: &str, limit: usize) -> Result<Vec<CommitSummary>, SourceError> {
        let summary = |tree: &Tree| CommitSummary {
            revision: tree.revision.clone(),
            author: tree.author.clone(),
            when: tree.committed,
            summary: tree.summary.clone(),
        };
        Ok(lock(&self.commits).iter().rev().take(limit).map(|commit| summary(&commit.tree)).collect())
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
    writer: Option<String>,
}

/// The one writer; dropped, somebody else may be it.
struct Writer {
    state: Arc<Mutex<StoreState>>,
}

impl WriterGuard for Writer {}

impl Drop for Writer {
    fn drop(&mut self) {
        lock(&self.state).writer = None;
    }
}

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
    fn put_all(&self, record: Record, changes: &BTreeMap<String, Option<String>>) -> Result<(), StoreError> {
        let records = &mut lock(&self.state).records;
        for (key, json) in changes {
            match json {
                Some(json) => records.insert((record, key.clone()), json.clone()),
                None => records.remove(&(record, key.clone())),
            };
        }
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
    fn become_writer(&self, who: &str) -> Result<Box<dyn WriterGuard>, WriterHeld> {
        let mut state = lock(&self.state);
        if let Some(holder) = &state.writer {
            return Err(WriterHeld { holder: holder.clone() });
        }
        state.writer = Some(who.to_owned());
        Ok(Box::new(Writer { state: Arc::clone(&self.state) }))
    }
}

/// Generated files in memory.
#[derive(Default)]
pub struct SimFiles {
    sets: Mutex<BTreeMap<FileSet, Option<Files>>>,
    faults: Mutex<FilesFaults>,
}

/// What is wrong with the readers of generated files.
#[derive(Debug, Clone, Default)]
pub struct FilesFaults {
    /// Files that the real program's check refuses, by name, and what it says.
    pub refused: BTreeMap<String, String>,
    /// What a reload says that does not take.
    pub reload: Option<String>,
    /// Why the directories cannot be read.
    pub unreadable: Option<String>,
    /// Old workers never end.
    pub old_workers: bool,
}

impl SimFiles {
    /// Breaks the readers, or mends them.
    pub fn set_faults(&self, faults: FilesFaults) {
        *lock(&self.faults) = faults;
    }

    /// What stands there without the files that the check refuses: those keep their live text, or are left out (E1).
    fn without_refused(faults: &FilesFaults, live: Option<&Files>, files: &Files) -> (Files, Vec<String>) {
        let (mut wanted, mut said) = (files.clone(), Vec::new());
        for (name, why) in &faults.refused {
            let old = live.and_then(|live| live.get(name));
            if !files.contains_key(name) || old == files.get(name) {
                continue;
            }
            said.push(why.clone());
            match old {
                Some(text) => wanted.insert(name.clone(), text.clone()),
                None => wanted.remove(name),
            };
        }
        (wanted, said)
    }
}

#[async_trait]
impl FileSets for SimFiles {
    fn wants(&self, _: &FileSet) -> bool {
        true
    }
    async fn installed(&self) -> Result<BTreeMap<FileSet, Option<Files>>, FilesError> {
        match lock(&self.faults).unreadable.clone() {
            Some(detail) => Err(FilesError::Io { path: "simulated".to_owned(), detail }),
            None => Ok(lock(&self.sets).clone()),
        }
    }
    async fn install(&self, set: &FileSet, files: &Files) -> Result<(), FilesError> {
        let faults = lock(&self.faults).clone();
        let mut sets = lock(&self.sets);
        let live = sets.get(set).cloned().flatten();
        let (wanted, said) = Self::without_refused(&faults, live.as_ref(), files);
        let moves = live.as_ref() != Some(&wanted);
        if let Some(detail) = faults.reload.filter(|_| moves) {
            return Err(FilesError::Reload { set: set.clone(), detail });
        }
        sets.insert(set.clone(), Some(wanted));
        if said.is_empty() {
            return Ok(());
        }
        let rest = if moves { "every other file is installed" } else { "the old files stay" };
        let command = match set {
            FileSet::Nginx => "nginx -t",
            FileSet::Flume(_) => "trueup's own check",
        };
        let detail = format!("{}; {rest}", said.join("; "));
        Err(FilesError::Check { set: set.clone(), command: command.to_owned(), detail })
    }
    async fn drained(&self, _: &FileSet) -> bool {
        !lock(&self.faults).old_workers
    }
}

/// When every simulated world begins.
const ORIGIN: Timestamp = Timestamp(1_700_000_000_000);

/// A paused clock moves by a few microseconds less than was slept, differently each time; to this it is rounded.
const GRAIN: Duration = Duration::from_millis(10);

/// The simulated time, for what began at `began`.
pub(super) fn moment(began: tokio::time::Instant) -> Timestamp {
    let elapsed = (began.elapsed() + GRAIN / 2).as_millis() / GRAIN.as_millis();
    ORIGIN.plus(GRAIN.saturating_mul(u32::try_from(elapsed).unwrap_or(u32::MAX)))
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
        moment(self.began)
    }
    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}
