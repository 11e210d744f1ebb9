//! Remotes: which URLs are taken, the bare mirror, fetching and pushing.

use std::path::{Path, PathBuf};

use git2::{FetchOptions, PushOptions, RemoteCallbacks};
use url::{Host, Url};

use crate::model::secrecy::ContentHash;
use crate::ports::SourceError;

use super::objects::Objects;
use super::{Inner, transport};

/// The remote's HEAD as the mirror keeps it.
pub(super) const HEAD: &str = "refs/trueup/head";

/// How much of a refusing server's words is told.
const MOST_WORDS: usize = 2000;

/// A repository on this machine: a path or `file://`.
pub(super) fn local_path(url: &str) -> Result<Option<PathBuf>, String> {
    if url.starts_with("file:") {
        let path = Url::parse(url).ok().filter(|_| url.starts_with("file:///"));
        let path = path.and_then(|url| url.to_file_path().ok());
        return path.map(Some).ok_or_else(|| format!("{url:?} has no absolute path: write file:///path"));
    }
    let scp_like = url.split_once(':').is_some_and(|(host, _)| !host.contains('/'));
    let local = !url.contains("://") && (!scp_like || Path::new(url).exists());
    Ok(local.then(|| PathBuf::from(url)))
}

/// Refuses what is not encrypted, and what an ssh command line could mistake for an option.
pub(super) fn check(url: &str) -> Result<(), String> {
    let Some(parsed) = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return transport::SshAddress::parse(url).map(|_| ());
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("credentials do not belong in the address: use the settings".to_owned());
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err("a repository's address has no ? or #".to_owned());
    }
    let this_machine = match parsed.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if parsed.scheme() == "http" && !this_machine {
        return Err("plain http is taken from this machine itself only: use https".to_owned());
    }
    Ok(())
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
    make_mirror(path)
}

fn make_mirror(path: &Path) -> Result<(), String> {
    if path.exists() {
        std::fs::remove_dir_all(path).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    git2::Repository::init_bare(path)
        .map(|_| ())
        .map_err(|e| format!("making the mirror {}: {}", path.display(), e.message()))
}

/// Brings every branch and tag, forced and pruned: the mirror is what the remote is.
pub(super) fn fetch(inner: &Inner) -> Result<(), SourceError> {
    if let Err(damage) = Objects::check_all(&inner.path) {
        // libgit2 walks the mirror's own commits while it fetches.
        tracing::warn!("the mirror of {} is made anew: {damage}", inner.shown);
        make_mirror(&inner.path)
            .map_err(|detail| SourceError::Unreachable { url: inner.shown.clone(), detail })?;
    }
    let repository = git2::Repository::open(&inner.path).map_err(|e| inner.unreachable(&e))?;
    let url = transport::address(&inner.settings.url);
    transport::conversing(&inner.settings.credentials, inner.deadline, || {
        let mut remote = repository.remote_anonymous(&url)?;
        let mut options = FetchOptions::new();
        options.prune(git2::FetchPrune::On).download_tags(git2::AutotagOption::None);
        let specs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", &format!("+HEAD:{HEAD}")];
        remote.fetch(&specs, Some(&mut options), None)
    })
    .map_err(|e| inner.unreachable(&e))
}

/// Gives the remote a branch of the mirror's. Only the server's own yes is success; without it the mirror forgets the
/// branch again.
pub(super) fn push(inner: &Inner, repository: &git2::Repository, branch: &str) -> Result<(), SourceError> {
    let name = format!("refs/heads/{branch}");
    let pushed = offer(inner, repository, &name);
    if pushed.is_err()
        && let Ok(mut reference) = repository.find_reference(&name)
    {
        let _ = reference.delete();
    }
    pushed
}

fn offer(inner: &Inner, repository: &git2::Repository, name: &str) -> Result<(), SourceError> {
    let url = transport::address(&inner.settings.url);
    let (mut answer, mut words) = (None, Vec::new());
    transport::conversing(&inner.settings.credentials, inner.deadline, || {
        let mut remote = repository.remote_anonymous(&url)?;
        let mut callbacks = RemoteCallbacks::new();
        callbacks.push_update_reference(|_, refusal| {
            answer = Some(refusal.map(str::to_owned));
            Ok(())
        });
        // What a hook of the server writes.
        callbacks.sideband_progress(|said| {
            words.extend(said.iter().take(MOST_WORDS.saturating_sub(words.len())));
            true
        });
        let mut options = PushOptions::new();
        options.remote_callbacks(callbacks);
        remote.push(&[format!("{name}:{name}")], Some(&mut options))
    })
    .map_err(|e| inner.unreachable(&e))?;
    let words = String::from_utf8_lossy(&words);
    let words: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match answer {
        Some(None) => Ok(()),
        Some(Some(refusal)) => Err(SourceError::Refused {
            detail: format!(
                "{} refused {name}: {}",
                inner.shown,
                [&[refusal.as_str()], &words[..]].concat().join("; ")
            ),
        }),
        None => Err(SourceError::Unreachable {
            url: inner.shown.clone(),
            detail: format!("it did not say whether it took {name}: look there"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_itself() {
        let good = [
            "http://localhost/x.git",
            "http://LOCALHOST:3000/x.git",
            "http://127.0.0.1/x.git",
            "http://127.255.0.9:80/x.git",
            "http://127.1/x.git",
            "http://[::1]:3000/x.git",
            "https://git.example/x.git",
            "https://10.0.0.1:8443/x.git",
            "ssh://git@git.example/x.git",
            "git@git.example:x.git",
        ];
        for url in good {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        let bad = [
            "http://localhost.x/x.git",
            "http://localhost.example.com/x.git",
            "http://127.0.0.1.example.com/x.git",
            "http://127.0.0.1@git.example/x.git",
            "http://127.0.0.1:80@git.example/x.git",
            "http://localhost:secret@localhost/x.git",
            "http://git.example/x.git",
            "http://git.example\\@127.0.0.1/x.git",
            "http://128.0.0.1/x.git",
            "http://0.0.0.0/x.git",
            "http://[::]/x.git",
            "http://[::ffff:10.0.0.1]/x.git",
            "http://example.invalid/x.git",
            "https://user@git.example/x.git",
            "https://:secret@git.example/x.git",
            "https://git.example/x.git?a=b",
            "https://git.example/x.git#a",
            "https://",
            "git://git.example/x.git",
            "ftp://git.example/x.git",
        ];
        for url in bad {
            assert!(check(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_dialled_is_what_was_checked() {
        for (url, dialled) in [
            ("HTTP://127.1:80/x.git", "trueup-http://127.0.0.1/x.git"),
            ("http:\\\\localhost\\x.git", "trueup-http://localhost/x.git"),
            ("https://git.example/a b.git", "trueup-https://git.example/a%20b.git"),
            ("git@git.example:x.git", "trueup-ssh://git@git.example/~/x.git"),
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
            assert_eq!(transport::address(url), dialled);
        }
    }
}
