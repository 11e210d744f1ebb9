//! The config repository through libgit2: read from git objects, never from a checkout (F4).

mod remote;
mod revert;
mod transport;
mod tree;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use git2::Oid;

use crate::model::names::Revision;
use crate::model::settings::{Reference, RepositorySettings};
use crate::model::tree::Tree;
use crate::model::units::Timestamp;
use crate::ports::{CommitSummary, Repository, SourceError};

/// A fetch that takes longer is given up; the last good revision stays (A2).
const FETCH_DEADLINE: Duration = Duration::from_secs(120);

/// One repository: a local one read in place, or a bare mirror of a remote one.
pub struct GitRepository {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    settings: RepositorySettings,
    /// Where the objects are: the local repository itself, or the mirror.
    path: PathBuf,
    remote: bool,
    /// Blobs of the last tree by object id: an unchanged file is not read again.
    known: Mutex<tree::Known>,
}

impl GitRepository {
    /// `cache_dir` holds the mirror of a remote repository. Nothing is dialled yet.
    pub fn open(settings: &RepositorySettings, cache_dir: &Path) -> Result<Self, SourceError> {
        let unreachable = |detail: String| SourceError::Unreachable { url: settings.url.clone(), detail };
        let local = remote::local_path(&settings.url);
        let (path, remote) = match &local {
            Some(path) => {
                git2::Repository::open(path).map_err(|e| unreachable(e.message().to_owned()))?;
                (path.clone(), false)
            }
            None => {
                remote::check(&settings.url).map_err(unreachable)?;
                let path = cache_dir.join(remote::directory_name(&settings.url));
                remote::open_mirror(&path).map_err(unreachable)?;
                (path, true)
            }
        };
        let inner = Inner { settings: settings.clone(), path, remote, known: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// libgit2 blocks, so it works on a thread of its own.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let inner = Arc::clone(&self.inner);
        let url = inner.settings.url.clone();
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
        match tokio::time::timeout(FETCH_DEADLINE, fetch).await {
            Ok(result) => result,
            Err(_) => Err(SourceError::Unreachable {
                url: self.inner.settings.url.clone(),
                detail: format!("no answer within {} s", FETCH_DEADLINE.as_secs()),
            }),
        }
    }
}

impl Inner {
    fn open(&self) -> Result<git2::Repository, SourceError> {
        git2::Repository::open(&self.path).map_err(|e| self.unreachable(&e))
    }

    fn unreachable(&self, error: &git2::Error) -> SourceError {
        SourceError::Unreachable { url: self.settings.url.clone(), detail: error.message().to_owned() }
    }

    fn unreadable(&self, revision: impl ToString, detail: impl ToString) -> SourceError {
        SourceError::Unreadable {
            url: self.settings.url.clone(),
            revision: revision.to_string(),
            detail: detail.to_string(),
        }
    }

    fn oid(&self, revision: &Revision) -> Result<Oid, SourceError> {
        Oid::from_str(revision.as_str()).map_err(|e| self.unreadable(revision, e.message()))
    }

    fn resolve(&self, reference: &Reference) -> Result<Revision, SourceError> {
        let repository = self.open()?;
        let (wanted, candidates) = match reference {
            Reference::Head if self.remote => {
                ("HEAD".to_owned(), vec![remote::HEAD.to_owned(), "HEAD".to_owned()])
            }
            Reference::Head => ("HEAD".to_owned(), vec!["HEAD".to_owned()]),
            Reference::Branch(name) => (format!("branch {name}"), vec![format!("refs/heads/{name}")]),
            Reference::Tag(name) => (format!("tag {name}"), vec![format!("refs/tags/{name}")]),
            Reference::Commit(text) => (format!("revision {text}"), vec![text.clone()]),
        };
        let mut last = String::new();
        for candidate in candidates {
            match repository.revparse_single(&candidate).and_then(|object| object.peel_to_commit()) {
                Ok(commit) => return Ok(Revision::new(commit.id().to_string())),
                Err(error) => last = error.message().to_owned(),
            }
        }
        Err(SourceError::NoSuchRevision { url: self.settings.url.clone(), wanted, detail: last })
    }
}

#[async_trait]
impl Repository for GitRepository {
    async fn head(&self) -> Result<Revision, SourceError> {
        self.fetched().await?;
        self.blocking(|inner| inner.resolve(&inner.settings.reference)).await
    }

    async fn resolve(&self, reference: &Reference) -> Result<Revision, SourceError> {
        let wanted = reference.clone();
        match self.blocking(move |inner| inner.resolve(&wanted)).await {
            // A commit the mirror does not have yet.
            Err(SourceError::NoSuchRevision { .. }) if self.inner.remote => {
                self.fetched().await?;
                let wanted = reference.clone();
                self.blocking(move |inner| inner.resolve(&wanted)).await
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
        self.blocking(move |inner| {
            let (young, old) = (inner.oid(&descendant)?, inner.oid(&ancestor)?);
            if young == old {
                return Ok(true);
            }
            let repository = inner.open()?;
            match repository.graph_descendant_of(young, old) {
                Ok(descends) => Ok(descends),
                // The old commit is gone altogether: then nothing descends from it here.
                Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(false),
                Err(error) => Err(inner.unreadable(&ancestor, error.message())),
            }
        })
        .await
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
        let inner = &self.inner;
        if inner.remote {
            watch::poll(inner.settings.poll.duration()).await;
        } else {
            watch::local(&inner.path, inner.settings.poll.duration()).await;
        }
    }
}

/// git counts seconds.
fn moment(time: git2::Time) -> Timestamp {
    Timestamp(time.seconds().saturating_mul(1000))
}
