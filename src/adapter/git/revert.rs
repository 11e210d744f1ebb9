//! A path's history, and a revert commit on a branch: git stays the truth.

use git2::{Oid, Signature};

use crate::model::names::Revision;
use crate::ports::{CommitSummary, SourceError};

use super::objects::Objects;
use super::{Inner, moment, remote, revision};

/// The path below the settings' root.
fn full(inner: &Inner, path: &str) -> String {
    let root = inner.settings.root.trim_matches('/');
    match (root.is_empty(), path.is_empty()) {
        (true, _) => path.to_owned(),
        (false, true) => root.to_owned(),
        (false, false) => format!("{root}/{path}"),
    }
}

/// An object in a directory, with the mode git keeps for it there.
type Entry = (Oid, i32);

const DIRECTORY: i32 = 0o040_000;

fn entry(objects: &Objects, commit: Oid, path: &str) -> Result<Option<Entry>, git2::Error> {
    let mut found = (objects.commit(commit)?.tree_id(), DIRECTORY);
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if found.1 != DIRECTORY {
            return Ok(None);
        }
        let tree = objects.tree(found.0)?;
        match tree.get_name(part) {
            Some(entry) => found = (entry.id(), entry.filemode()),
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// Commits along the first parents in which the path became another one, newest first.
pub(super) fn log(inner: &Inner, path: &str, limit: usize) -> Result<Vec<CommitSummary>, SourceError> {
    let objects = inner.open()?;
    let head = revision::resolve(inner, &inner.settings.reference)?;
    let path = full(inner, path);
    let walk = || -> Result<Vec<CommitSummary>, git2::Error> {
        let mut found = Vec::new();
        let mut id = Oid::from_str(head.as_str())?;
        let mut now = entry(&objects, id, &path)?;
        while found.len() < limit {
            let commit = objects.commit(id)?;
            let parent = commit.parent_ids().next();
            let before = match parent {
                Some(parent) => entry(&objects, parent, &path)?,
                None => None,
            };
            if now != before {
                found.push(CommitSummary {
                    revision: Revision::new(id.to_string()),
                    author: String::from_utf8_lossy(commit.author().name_bytes()).into_owned(),
                    when: moment(commit.time()),
                    summary: String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned(),
                });
            }
            let Some(parent) = parent else { break };
            (id, now) = (parent, before);
        }
        Ok(found)
    };
    walk().map_err(|e| inner.unreadable(&head, e.message()))
}

/// On top of the head: the path as it was at `to`, everything else as it is.
pub(super) fn revert_on_branch(
    inner: &Inner,
    path: &str,
    to: &Revision,
    branch: &str,
    message: &str,
) -> Result<Revision, SourceError> {
    let objects = inner.open()?;
    let repository = objects.repository();
    let head = revision::resolve(inner, &inner.settings.reference)?;
    let path = full(inner, path);
    if repository.find_branch(branch, git2::BranchType::Local).is_ok() {
        return Err(SourceError::Refused {
            detail: format!("the branch {branch} is there already: merge it, or delete it first"),
        });
    }
    let make = || -> Result<Option<Oid>, git2::Error> {
        let parent = objects.commit(Oid::from_str(head.as_str())?)?;
        let target = entry(&objects, Oid::from_str(to.as_str())?, &path)?;
        let tree = match target {
            Some((id, _)) if path.is_empty() => id,
            _ => replaced(&objects, Some(parent.tree_id()), &path, target)?,
        };
        if tree == parent.tree_id() {
            return Ok(None);
        }
        let who = Signature::now("trueup", "trueup@localhost")?;
        let tree = objects.tree(tree)?;
        repository
            .commit(Some(&format!("refs/heads/{branch}")), &who, &who, message, &tree, &[&parent])
            .map(Some)
    };
    let id = make().map_err(|e| inner.unreadable(to, e.message()))?;
    let id = id.ok_or_else(|| SourceError::Refused {
        detail: format!("nothing differs between {} and {}", to.short(), head.short()),
    })?;
    if inner.remote {
        remote::push(inner, repository, branch)?;
    }
    Ok(Revision::new(id.to_string()))
}

/// `tree` with the entry at `path` replaced, or taken out. A directory that becomes empty goes too: git knows none.
fn replaced(
    objects: &Objects,
    tree: Option<Oid>,
    path: &str,
    target: Option<Entry>,
) -> Result<Oid, git2::Error> {
    let tree = tree.map(|id| objects.tree(id)).transpose()?;
    let mut builder = objects.repository().treebuilder(tree.as_ref())?;
    let (name, entry) = match path.split_once('/') {
        Some((first, rest)) => {
            let below = tree.as_ref().and_then(|tree| tree.get_name(first));
            let below = below.filter(|entry| entry.filemode() == DIRECTORY).map(|entry| entry.id());
            let id = replaced(objects, below, rest, target)?;
            (first, (!objects.tree(id)?.is_empty()).then_some((id, DIRECTORY)))
        }
        None => (path, target),
    };
    match entry {
        Some((id, mode)) => {
            builder.insert(name, id, mode)?;
        }
        None if builder.get(name)?.is_some() => builder.remove(name)?,
        None => {}
    }
    builder.write()
}
