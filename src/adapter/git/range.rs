//! The commits between the enforced revision and the head, from the objects themselves: neither `refs/replace` nor
//! `info/grafts` nor the edge of a shallow clone changes what a commit's parents are (F1).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use git2::{Error, ErrorCode, Oid};

use crate::model::names::Revision;
use crate::model::permission::SignedCommit;
use crate::ports::SourceError;

use super::objects::Objects;
use super::{Inner, lock, signature};

/// From here on a walk asks for what lies behind the base, instead of going there from the head.
const STRAIGHT: usize = 256;
/// Commits kept as read; more is a history that is looked at once.
const MOST_KNOWN: usize = 50_000;

/// What was read before. Objects never change, so that nothing here grows old.
#[derive(Default)]
pub(super) struct Walked {
    commits: Mutex<BTreeMap<Oid, Arc<Known>>>,
    /// Everything that this commit descends from, itself included.
    behind: Mutex<Option<(Oid, Arc<BTreeSet<Oid>>)>>,
}

struct Known {
    parents: Vec<Oid>,
    commit: SignedCommit,
}

/// A walk's ends.
enum Walk {
    /// Every way led to the base, or to where the walk was told to stop.
    Whole(Vec<Arc<Known>>),
    /// There are more, or a way led past the base.
    Past,
}

pub(super) fn signatures(
    inner: &Inner,
    base: Option<&Revision>,
    head: &Revision,
    limit: usize,
) -> Result<Vec<SignedCommit>, SourceError> {
    let objects = inner.open()?;
    let head = inner.oid(head)?;
    let Some(base) = base else {
        return Ok(vec![known(inner, &objects, head)?.commit.clone()]);
    };
    let base = inner.oid(base)?;
    let straight = walk(inner, &objects, head, limit.min(STRAIGHT), &|id| id == base, true)?;
    let found = match straight {
        Walk::Whole(found) => found,
        Walk::Past => {
            let behind = behind(inner, &objects, base)?;
            match walk(inner, &objects, head, limit, &|id| behind.contains(&id), false)? {
                Walk::Whole(found) => found,
                Walk::Past => {
                    let (base, head) = (short(base), short(head));
                    let detail = format!(
                        "there are more than {limit} commits from {base} to {head}, and nobody looks through so many \
                         (`most_commits` in [permission])"
                    );
                    return Err(SourceError::Refused { detail });
                }
            }
        }
    };
    Ok(found.iter().map(|known| known.commit.clone()).collect())
}

pub(super) fn short(id: Oid) -> String {
    Revision::new(id.to_string()).short().to_owned()
}

/// From `head` on, without what `ends` says. A first commit is a way past the base where `strict`: what lies on that
/// way may lie behind the base as well.
fn walk(
    inner: &Inner,
    objects: &Objects,
    head: Oid,
    limit: usize,
    ends: &dyn Fn(Oid) -> bool,
    strict: bool,
) -> Result<Walk, SourceError> {
    let mut found = Vec::new();
    if ends(head) {
        return Ok(Walk::Whole(found));
    }
    let (mut seen, mut next) = (BTreeSet::from([head]), VecDeque::from([head]));
    while let Some(id) = next.pop_front() {
        if found.len() >= limit {
            return Ok(Walk::Past);
        }
        let known = match known(inner, objects, id) {
            Ok(known) => known,
            // The way may lead behind the base, where a shallow clone has nothing.
            Err(_) if strict => return Ok(Walk::Past),
            Err(error) => return Err(error),
        };
        if strict && known.parents.is_empty() {
            return Ok(Walk::Past);
        }
        next.extend(known.parents.iter().copied().filter(|parent| !ends(*parent) && seen.insert(*parent)));
        found.push(known);
    }
    Ok(Walk::Whole(found))
}

/// All that `base` descends from. Where a shallow clone ends, the parents are known by name and their own are not.
pub(super) fn behind(inner: &Inner, objects: &Objects, base: Oid) -> Result<Arc<BTreeSet<Oid>>, SourceError> {
    if let Some((_, behind)) = lock(&inner.walked.behind).as_ref().filter(|(of, _)| *of == base) {
        return Ok(Arc::clone(behind));
    }
    let (mut seen, mut next) = (BTreeSet::from([base]), vec![base]);
    while let Some(id) = next.pop() {
        match parents(objects, id) {
            Ok(parents) => next.extend(parents.into_iter().filter(|parent| seen.insert(*parent))),
            Err(error) if error.code() == ErrorCode::NotFound => {}
            Err(error) => return Err(inner.unreadable(id, error.message())),
        }
    }
    let seen = Arc::new(seen);
    *lock(&inner.walked.behind) = Some((base, Arc::clone(&seen)));
    Ok(seen)
}

pub(super) fn parents(objects: &Objects, id: Oid) -> Result<Vec<Oid>, Error> {
    Ok(signature::parents(&objects.raw_commit(id)?))
}

fn known(inner: &Inner, objects: &Objects, id: Oid) -> Result<Arc<Known>, SourceError> {
    if let Some(known) = lock(&inner.walked.commits).get(&id) {
        return Ok(Arc::clone(known));
    }
    let told = |error: Error| {
        if error.code() != ErrorCode::NotFound {
            return inner.unreadable(id, error.message());
        }
        inner.unreadable(
            id,
            "it is not in this clone (a shallow one?), and what cannot be read permits nothing; `git fetch --unshallow` \
             brings the whole history",
        )
    };
    let object = objects.raw_commit(id).map_err(told)?;
    let known = Arc::new(Known {
        parents: signature::parents(&object),
        commit: signature::signed_commit(id, &object),
    });
    let mut commits = lock(&inner.walked.commits);
    if commits.len() >= MOST_KNOWN {
        commits.clear();
    }
    commits.insert(id, Arc::clone(&known));
    Ok(known)
}

/// Whether `young` has `old` in its history, breadth first: the ancestor is mostly near. A history that is cut where
/// the ancestor may be is an error, and a history without it is walked to its end (F0).
pub(super) fn descends(inner: &Inner, young: &Revision, old: &Revision) -> Result<bool, SourceError> {
    let (first, wanted) = (inner.oid(young)?, inner.oid(old)?);
    let objects = inner.open()?;
    let mut seen = BTreeSet::from([first]);
    let mut next = VecDeque::from([first]);
    let mut cut = None;
    while let Some(id) = next.pop_front() {
        if id == wanted {
            return Ok(true);
        }
        match parents(&objects, id) {
            Ok(parents) => next.extend(parents.into_iter().filter(|parent| seen.insert(*parent))),
            Err(error) if error.code() == ErrorCode::NotFound => cut = Some((id, error)),
            Err(error) => return Err(inner.unreadable(id, error.message())),
        }
    }
    match cut {
        None => Ok(false),
        Some((id, error)) => Err(inner.unreadable(id, error.message())),
    }
}
