//! Remotes: which URLs are taken, the bare mirror, fetching and pushing.

use std::path::{Path, PathBuf};

use git2::{FetchOptions, PushOptions};

use crate::model::secrecy::ContentHash;
use crate::ports::SourceError;

use super::{Inner, transport};

/// The remote's HEAD as the mirror keeps it.
pub(super) const HEAD: &str = "refs/trueup/head";

/// A repository on this machine: a path or `file://`.
pub(super) fn local_path(url: &str) -> Option<PathBuf> {
    if let Some(path) = url.strip_prefix("file://") {
        return Some(PathBuf::from(path));
    }
    let scp_like = url.split_once(':').is_some_and(|(host, _)| !host.contains('/'));
    (!url.contains("://") && (!scp_like || Path::new(url).exists())).then(|| PathBuf::from(url))
}

/// Refuses what is not encrypted, and what an ssh command line could mistake for an option.
pub(super) fn check(url: &str) -> Result<(), String> {
    if let Some(rest) = url.strip_prefix("https://") {
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            return Err("credentials do not belong in the address: use the settings".to_owned());
        }
        return Ok(());
    }
    if url.starts_with("http://127.") || url.starts_with("http://localhost") {
        return Ok(());
    }
    transport::SshAddress::parse(url).map(|_| ())
}

/// A name for the mirror's directory.
pub(super) fn directory_name(url: &str) -> String {
    format!("{}.git", ContentHash::of(url.as_bytes()).short())
}

/// Opens the mirror, or makes it. One that is damaged is made anew: the remote has everything.
pub(super) fn open_mirror(path: &Path) -> Result<(), String> {
    if git2::Repository::open_bare(path).is_ok() {
        return Ok(());
    }
    if path.exists() {
        std::fs::remove_dir_all(path).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    git2::Repository::init_bare(path)
        .map(|_| ())
        .map_err(|e| format!("making the mirror {}: {}", path.display(), e.message()))
}

/// Brings every branch and tag, forced and pruned: the mirror is what the remote is.
pub(super) fn fetch(inner: &Inner) -> Result<(), SourceError> {
    let repository = inner.open()?;
    let url = transport::address(&inner.settings.url);
    transport::with_credentials(&inner.settings.credentials, || {
        let mut remote = repository.remote_anonymous(&url)?;
        let mut options = FetchOptions::new();
        options.prune(git2::FetchPrune::On).download_tags(git2::AutotagOption::None);
        let specs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", &format!("+HEAD:{HEAD}")];
        remote.fetch(&specs, Some(&mut options), None)
    })
    .map_err(|e| inner.unreachable(&e))
}

/// Gives the remote a branch of the mirror's.
pub(super) fn push(inner: &Inner, repository: &git2::Repository, branch: &str) -> Result<(), SourceError> {
    let url = transport::address(&inner.settings.url);
    transport::with_credentials(&inner.settings.credentials, || {
        let mut remote = repository.remote_anonymous(&url)?;
        let spec = format!("refs/heads/{branch}:refs/heads/{branch}");
        remote.push(&[spec], Some(&mut PushOptions::new()))
    })
    .map_err(|e| inner.unreachable(&e))
}
