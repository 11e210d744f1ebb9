//! The config repository through libgit2: read from git objects, never from a checkout (F4).

mod compare;
mod objects;
mod poll;
mod range;
mod remote;
mod revert;
mod revision;
mod signature;
mod sshsig;
mod transport;
mod tree;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use git2::Oid;

use crate::model::names::Revision;
use crate::model::permission::SignedCommit;
use crate::model::secrecy::shown_url;
use crate::model::settings::{Reference, RepositorySettings};
use crate::model::tree::{Between, Tree};
use crate::model::units::Timestamp;
use crate::ports::{CommitSummary, Repository, SourceError};

use objects::Objects;

/// A conversation with the remote that takes longer is ended; the last good revision stays (A2).
const REMOTE_DEADLINE: Duration = Duration::from_secs(120);
/// The connection ends itself at its deadline. What hangs elsewhere (a disk) is no longer waited for after this.
const GRACE: Duration = Duration::from_secs(15);

/// One repository: a local one read in place, or a bare mirror of a remote one.
pub struct GitRepository {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    settings: RepositorySettings,
    /// The address in messages (G1).
    shown: String,
    /// Where the objects are: the local repository itself, or the mirror.
    path: PathBuf,
    remote: bool,
    /// Of one conversation with the remote.
    deadline: Duration,
    /// Blobs of the last tree by object id: an unchanged file is not read again.
    known: Mutex<tree::Known>,
    /// Commits with their signatures, as read.
    walked: range::Walked,
    /// What `known_head` told last, `None` in it for an error: only another answer is a change.
    told: Mutex<Option<Option<Revision>>>,
    poll: poll::Poll,
    /// File events of a local repository, from the first wait on.
    events: Mutex<Option<watch::Events>>,
}

impl GitRepository {
    /// `cache_dir` holds the mirror of a remote repository. Nothing is dialled yet.
    pub fn open(settings: &RepositorySettings, cache_dir: &Path) -> Result<Self, SourceError> {
        Self::open_with_deadline(settings, cache_dir, REMOTE_DEADLINE)
    }

    /// `deadline` is that of one conversation with the remote, from dialling to its last byte.
    pub fn open_with_deadline(
        settings: &RepositorySettings,
        cache_dir: &Path,
        deadline: Duration,
    ) -> Result<Self, SourceError> {
        let unreachable = |detail: String| SourceError::Unreachable { url: shown_url(&settings.url), detail };
        let local = remote::local_path(&settings.url).map_err(unreachable)?;
        let (path, remote) = match &local {
            Some(path) => {
                // One that is gone may come back: whoever asks for its head is told.
                (path.clone(), false)
            }
            None => {
                remote::check(&settings.url).map_err(unreachable)?;
                let path = cache_dir.join(remote::directory_name(&settings.url));
                remote::open_mirror(&path).map_err(unreachable)?;
                (path, true)
            }
        };
        let inner = Inner {
            settings: settings.clone(),
            shown: shown_url(&settings.url),
            path,
            remote,
            deadline,
            known: Mutex::default(),
            walked: range::Walked::default(),
            told: Mutex::default(),
            poll: poll::Poll::default(),
            events: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether there is a repository, or what stands in its way; nothing is dialled.
    pub fn is_there(&self) -> Result<(), SourceError> {
        self.inner.open().map(drop)
    }

    /// Whether a file lies in a local repository: in its working tree or among its own files, whatever links lead there.
    pub fn holds(&self, file: &Path) -> std::io::Result<bool> {
        if self.inner.remote {
            return Ok(false);
        }
        let file = file.canonicalize()?;
        let path = self.inner.path.as_path();
        let opened = match git2::Repository::open(path) {
            Ok(opened) => opened,
            // No repository: nothing that could be pushed to, but for what lies there.
            Err(_) => return Ok(path.canonicalize().is_ok_and(|path| file.starts_with(path))),
        };
        let own = [Some(path), opened.workdir(), Some(opened.path()), Some(opened.commondir())];
        let mut directories = own.into_iter().flatten().map(Path::canonicalize);
        directories.try_fold(false, |inside, directory| Ok(inside || file.starts_with(directory?)))
    }

    /// libgit2 blocks, so it works on a thread of its own.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let inner = Arc::clone(&self.inner);
        let url = inner.shown.clone();
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(e) => Err(SourceError::Unreachable { url, detail: format!("reading it failed: {e}") }),
        }
    }

    async fn fetched(&self) -> Result<(), SourceError> {
        if !self.inner.remote {
            return Ok(());
        }
        let fetch = self.blocking(remote::fetch);
        let limit = self.inner.deadline + GRACE;
        match tokio::time::timeout(limit, fetch).await {
            Ok(result) => result,
            Err(_) => Err(SourceError::Unreachable {
                url: self.inner.shown.clone(),
                detail: format!("fetching did not end within {} s", limit.as_secs()),
            }),
        }
    }

    /// The head as it is here, without asking a remote.
    async fn current(&self) -> Result<Revision, SourceError> {
        self.blocking(|inner| revision::resolve(inner, &inner.settings.reference)).await
    }

    /// Whether the head is another one than was told last; it counts as told from now on.
    async fn moved(&self) -> bool {
        let current = self.current().await.ok();
        let mut told = lock(&self.inner.told);
        let before = told.replace(current.clone());
        before.is_some_and(|before| before != current)
    }

    /// Returns when the local head moved, and at the end of `wait` at the latest.
    async fn local_change(&self, wait: Duration) {
        let watching = {
            let mut events = lock(&self.inner.events);
            if events.is_none() {
                *events = watch::Events::of(&self.inner.path);
            }
            events.as_ref().map(watch::Events::happened)
        };
        let moved = async {
            // Listening comes before looking: what happens in between is seen by one of them.
            while !self.moved().await {
                match &watching {
                    Some(happened) => watch::settled(happened).await,
                    None => std::future::pending().await,
                }
            }
        };
        if tokio::time::timeout(wait, moved).await.is_err() && self.moved().await {
            // Nobody told: the directory that is watched may be gone. The next wait looks for it anew.
            *lock(&self.inner.events) = None;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn open(&self) -> Result<Objects, SourceError> {
        Objects::open(&self.path).map_err(|e| self.unreachable(&e))
    }

    fn unreachable(&self, error: &git2::Error) -> SourceError {
        SourceError::Unreachable { url: self.shown.clone(), detail: error.message().to_owned() }
    }

    fn unreadable(&self, revision: impl ToString, detail: impl ToString) -> SourceError {
        SourceError::Unreadable {
            url: self.shown.clone(),
            revision: revision.to_string(),
            detail: detail.to_string(),
        }
    }

    fn oid(&self, revision: &Revision) -> Result<Oid, SourceError> {
        Oid::from_str(revision.as_str()).map_err(|e| self.unreadable(revision, e.message()))
    }
}

#[async_trait]
impl Repository for GitRepository {
    async fn head(&self) -> Result<Revision, SourceError> {
        self.fetched().await?;
        self.current().await
    }

    async fn known_head(&self) -> Result<Revision, SourceError> {
        let asked = if self.inner.remote { self.asked().await } else { Ok(()) };
        let head = match asked {
            Ok(()) => self.current().await,
            Err(error) => Err(error),
        };
        *lock(&self.inner.told) = Some(head.as_ref().ok().cloned());
        head
    }

    fn hurry(&self) {
        self.inner.poll.hurry();
    }

    async fn resolve(&self, reference: &Reference) -> Result<Revision, SourceError> {
        let wanted = reference.clone();
        match self.blocking(move |inner| revision::resolve(inner, &wanted)).await {
            // A commit the mirror does not have yet.
            Err(SourceError::NoSuchRevision { .. }) if self.inner.remote => {
                self.fetched().await?;
                let wanted = reference.clone();
                self.blocking(move |inner| revision::resolve(inner, &wanted)).await
            }
            result => result,
        }
    }

    async fn tree(&self, revision: &Revision) -> Result<Tree, SourceError> {
        let revision = revision.clone();
        self.blocking(move |inner| tree::read(inner, &revision)).await
    }

    async fn descends(&self, descendant: &Revision, ancestor: &Revision) -> Result<bool, SourceError> {
        let (descendant, ancestor) = (descendant.clone(), ancestor.clone());
        self.blocking(move |inner| range::descends(inner, &descendant, &ancestor)).await
    }

    async fn between(&self, base: &Revision, head: &Revision) -> Result<Between, SourceError> {
        let (base, head) = (base.clone(), head.clone());
        self.blocking(move |inner| compare::between(inner, &base, &head)).await
    }

    async fn file(
        &self,
        revision: &Revision,
        path: &str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, SourceError> {
        let (revision, path) = (revision.clone(), path.to_owned());
        self.blocking(move |inner| compare::file(inner, &revision, &path, limit)).await
    }

    async fn signatures(
        &self,
        base: Option<&Revision>,
        head: &Revision,
        limit: usize,
    ) -> Result<Vec<SignedCommit>, SourceError> {
        let (base, head) = (base.cloned(), head.clone());
        self.blocking(move |inner| range::signatures(inner, base.as_ref(), &head, limit)).await
    }

    async fn log(&self, path: &str, limit: usize) -> Result<Vec<CommitSummary>, SourceError> {
        let path = path.to_owned();
        self.blocking(move |inner| revert::log(inner, &path, limit)).await
    }

    async fn revert_on_branch(
        &self,
        path: &str,
        to: &Revision,
        branch: &str,
        message: &str,
    ) -> Result<Revision, SourceError> {
        let (path, to, branch, message) =
            (path.to_owned(), to.clone(), branch.to_owned(), message.to_owned());
        self.fetched().await?;
        self.blocking(move |inner| revert::revert_on_branch(inner, &path, &to, &branch, &message)).await
    }

    async fn changed(&self) {
        if self.inner.remote {
            self.remote_change().await;
        } else {
            self.local_change(watch::jittered(self.inner.settings.poll.duration())).await;
        }
    }
}

/// git counts seconds.
fn moment(time: git2::Time) -> Timestamp {
    Timestamp(time.seconds().saturating_mul(1000))
}
