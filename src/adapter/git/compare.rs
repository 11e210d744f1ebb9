//! What a branch changed since it left another, path by path, and single files from the repository's top (F4).

use std::collections::{BTreeMap, BTreeSet};

use git2::{Error, ErrorCode, Oid};

use crate::model::names::Revision;
use crate::model::tree::{Between, Touch};
use crate::ports::SourceError;

use super::Inner;
use super::objects::Objects;
use super::range::{self, parents};

/// More files than these are no pull request that a person looks through.
const MOST_TOUCHED: usize = 100_000;
const DEEPEST: usize = 64;

pub(super) fn between(inner: &Inner, base: &Revision, head: &Revision) -> Result<Between, SourceError> {
    let objects = inner.open()?;
    let (base_id, head_id) = (inner.oid(base)?, inner.oid(head)?);
    let of_base = range::behind(inner, &objects, base_id)?;
    let (since, of_head) = left_at(inner, &objects, base_id, head_id, &of_base)?;
    let behind = of_base.difference(&of_head).count();
    let mut touched = BTreeMap::new();
    let root = |id: Oid| objects.commit(id).map(|commit| commit.tree_id());
    let trees = root(since).and_then(|old| Ok((old, root(head_id)?)));
    let unreadable = |e: Error| inner.unreadable(head, e.message());
    let (old, new) = trees.map_err(unreadable)?;
    differ(&objects, Some(old), Some(new), "", 0, &mut touched).map_err(unreadable)?;
    Ok(Between { since: Revision::new(since.to_string()), behind, touched })
}

/// The youngest commit that both have, and all that the head descends from but what lies behind such a commit.
fn left_at(
    inner: &Inner,
    objects: &Objects,
    base: Oid,
    head: Oid,
    of_base: &BTreeSet<Oid>,
) -> Result<(Oid, BTreeSet<Oid>), SourceError> {
    let (mut seen, mut next) = (BTreeSet::from([head]), vec![head]);
    let (mut common, mut cut) = (Vec::new(), false);
    while let Some(id) = next.pop() {
        // Where a shallow clone ends, a parent that both have is known by name alone.
        match parents(objects, id) {
            Ok(_) if of_base.contains(&id) => common.push(id),
            Ok(parents) => next.extend(parents.into_iter().filter(|parent| seen.insert(*parent))),
            Err(error) if error.code() == ErrorCode::NotFound => cut = true,
            Err(error) => return Err(inner.unreadable(id, error.message())),
        }
    }
    let when = |id: &Oid| objects.commit(*id).map(|commit| commit.time().seconds()).unwrap_or(i64::MIN);
    let (short_base, short_head) = (range::short(base), range::short(head));
    let Some(since) = common.iter().copied().max_by_key(when) else {
        let detail = if cut {
            format!(
                "the clone ends before the commit that {short_base} and {short_head} have in common: fetch the whole \
                 history (`git fetch --unshallow`, `fetch-depth: 0`, `GIT_DEPTH: 0`)"
            )
        } else {
            format!("{short_base} and {short_head} have no commit in common")
        };
        return Err(SourceError::Refused { detail });
    };
    for id in common {
        seen.extend(range::behind(inner, objects, id)?.iter().copied());
    }
    Ok((since, seen))
}

/// Files below two directories of which either may not be there.
fn differ(
    objects: &Objects,
    old: Option<Oid>,
    new: Option<Oid>,
    prefix: &str,
    depth: usize,
    touched: &mut BTreeMap<String, Touch>,
) -> Result<(), Error> {
    if old == new || depth > DEEPEST || touched.len() > MOST_TOUCHED {
        return Ok(());
    }
    let (old, new) = (entries(objects, old)?, entries(objects, new)?);
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (before, after) = (old.get(name), new.get(name));
        if before == after {
            continue;
        }
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let directory = |entry: Option<&Entry>| entry.filter(|entry| entry.directory).map(|entry| entry.id);
        let (before_in, after_in) = (directory(before), directory(after));
        if before_in.is_some() || after_in.is_some() {
            differ(objects, before_in, after_in, &path, depth + 1, touched)?;
        }
        let file = |entry: Option<&Entry>| entry.is_some_and(|entry| !entry.directory);
        let touch = match (file(before), file(after)) {
            (true, true) => Touch::Changed,
            (true, false) => Touch::Removed,
            (false, true) => Touch::Added,
            (false, false) => continue,
        };
        touched.insert(path, touch);
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
struct Entry {
    id: Oid,
    mode: i32,
    directory: bool,
}

fn entries(objects: &Objects, tree: Option<Oid>) -> Result<BTreeMap<String, Entry>, Error> {
    let Some(id) = tree else { return Ok(BTreeMap::new()) };
    let one = |entry: git2::TreeEntry<'_>| {
        let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
        let (id, mode) = (entry.id(), entry.filemode());
        (name, Entry { id, mode, directory: mode == 0o040_000 })
    };
    Ok(objects.tree(id)?.iter().map(one).collect())
}

/// A plain file by its path from the repository's top; `None` where there is none, or it is larger.
pub(super) fn file(
    inner: &Inner,
    revision: &Revision,
    path: &str,
    limit: usize,
) -> Result<Option<Vec<u8>>, SourceError> {
    let objects = inner.open()?;
    let unreadable = |e: Error| inner.unreadable(revision, e.message());
    let mut tree = objects.commit(inner.oid(revision)?).map_err(unreadable)?.tree_id();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let found = objects.tree(tree).map_err(unreadable)?.get_name(part).map(|e| (e.id(), e.filemode()));
        match (found, parts.peek().is_some()) {
            (Some((id, 0o040_000)), true) => tree = id,
            (Some((id, 0o100_644 | 0o100_755)), false) => {
                return Ok(objects.blob(id, limit).map_err(unreadable)?.ok());
            }
            (_, _) => return Ok(None),
        }
    }
    Ok(None)
}
