//! A path's history, and a revert commit on a branch: git stays the truth.

use std::path::Path;

use git2::{Oid, Repository, Signature};

use crate::model::names::Revision;
use crate::ports::{CommitSummary, SourceError};

use super::{Inner, moment, remote};

/// The path below the settings' root.
fn full(inner: &Inner, path: &str) -> String {
    let root = inner.settings.root.trim_matches('/');
    match (root.is_empty(), path.is_empty()) {
        (true, _) => path.to_owned(),
        (false, true) => root.to_owned(),
        (false, false) => format!("{root}/{path}"),
    }
}

fn entry(repository: &Repository, commit: Oid, path: &str) -> Result<Option<Oid>, git2::Error> {
    let tree = repository.find_commit(commit)?.tree()?;
    if path.is_empty() {
        return Ok(Some(tree.id()));
    }
    match tree.get_path(Path::new(path)) {
        Ok(entry) => Ok(Some(entry.id())),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Commits along the first parents in which the path became another one, newest first.
pub(super) fn log(inner: &Inner, path: &str, limit: usize) -> Result<Vec<CommitSummary>, SourceError> {
    let repository = inner.open()?;
    let head = inner.resolve(&inner.settings.reference)?;
    let path = full(inner, path);
    let mut found = Vec::new();
    let mut walk = || -> Result<(), git2::Error> {
        let mut walk = repository.revwalk()?;
        walk.push(Oid::from_str(head.as_str())?)?;
        walk.simplify_first_parent()?;
        for id in walk {
            let id = id?;
            let commit = repository.find_commit(id)?;
            let before = match commit.parent_id(0) {
                Ok(parent) => entry(&repository, parent, &path)?,
                Err(_) => None,
            };
            if entry(&repository, id, &path)? != before {
                found.push(CommitSummary {
                    revision: Revision::new(id.to_string()),
                    author: String::from_utf8_lossy(commit.author().name_bytes()).into_owned(),
                    when: moment(commit.time()),
                    summary: String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned(),
                });
                if found.len() >= limit {
                    break;
                }
            }
        }
        Ok(())
    };
    walk().map_err(|e| inner.unreadable(&head, e.message()))?;
    Ok(found)
}

/// On top of the head: the path as it was at `to`, everything else as it is.
pub(super) fn revert_on_branch(
    inner: &Inner,
    path: &str,
    to: &Revision,
    branch: &str,
    message: &str,
) -> Result<Revision, SourceError> {
    let repository = inner.open()?;
    let head = inner.resolve(&inner.settings.reference)?;
    let path = full(inner, path);
    if repository.find_branch(branch, git2::BranchType::Local).is_ok() {
        return Err(SourceError::Refused {
            detail: format!("the branch {branch} is there already: merge it, or delete it first"),
        });
    }
    let make = || -> Result<Option<Oid>, git2::Error> {
        let parent = repository.find_commit(Oid::from_str(head.as_str())?)?;
        let target = entry(&repository, Oid::from_str(to.as_str())?, &path)?;
        let tree = if path.is_empty() {
            match target {
                Some(id) => id,
                None => return Ok(None),
            }
        } else {
            replaced(&repository, Some(&parent.tree()?), &path, target)?
        };
        if tree == parent.tree_id() {
            return Ok(None);
        }
        let who = Signature::now("trueup", "trueup@localhost")?;
        let tree = repository.find_tree(tree)?;
        repository
            .commit(Some(&format!("refs/heads/{branch}")), &who, &who, message, &tree, &[&parent])
            .map(Some)
    };
    let id = make().map_err(|e| inner.unreadable(to, e.message()))?;
    let id = id.ok_or_else(|| SourceError::Refused {
        detail: format!("nothing differs between {} and {}", to.short(), head.short()),
    })?;
    if inner.remote {
        remote::push(inner, &repository, branch)?;
    }
    Ok(Revision::new(id.to_string()))
}

/// `tree` with the entry at `path` replaced, or taken out.
fn replaced(
    repository: &Repository,
    tree: Option<&git2::Tree<'_>>,
    path: &str,
    target: Option<Oid>,
) -> Result<Oid, git2::Error> {
    let mut builder = repository.treebuilder(tree)?;
    match path.split_once('/') {
        Some((first, rest)) => {
            let below = tree.and_then(|tree| tree.get_name(first)).map(|entry| entry.id());
            let below = below.map(|id| repository.find_tree(id)).transpose()?;
            let id = replaced(repository, below.as_ref(), rest, target)?;
            builder.insert(first, id, 0o040_000)?;
        }
        None => match target {
            Some(id) => {
                let is_tree = repository.find_tree(id).is_ok();
                builder.insert(path, id, if is_tree { 0o040_000 } else { 0o100_644 })?;
            }
            None => {
                if builder.get(path)?.is_some() {
                    builder.remove(path)?;
                }
            }
        },
    }
    builder.write()
}
