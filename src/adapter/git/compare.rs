//! What a branch changed since it left another, path by path, and single files from the repository's top (F4).

use std::collections::{BTreeMap, BTreeSet};

use git2::{Error, ErrorCode, Oid};

use crate::model::names::Revision;
use crate::model::tree::{Between, Touch};
use crate::ports::SourceError;

use super::Inner;
use super::objects::Objects;
use super::range::{self, parents};

/// More files than these are no pull request that a person looks through: refused, since what is left out has no owner.
const MOST_TOUCHED: usize = 100_000;
const DEEPEST: usize = 64;

pub(super) fn between(inner: &Inner, base: &Revision, head: &Revision) -> Result<Between, SourceError> {
    let objects = inner.open()?;
    let (base_id, head_id) = (inner.oid(base)?, inner.oid(head)?);
    let of_base = range::behind(inner, &objects, base_id)?;
    let (since, of_head) = left_at(inner, &objects, (base_id, head_id), &of_base)?;
    let behind = of_base.difference(&of_head).count();
    let mut touched = BTreeMap::new();
    let root = |id: Oid| objects.commit(id).map(|commit| commit.tree_id());
    let trees = root(since).and_then(|old| Ok((old, root(head_id)?)));
    let unreadable = |e: Error| inner.unreadable(head, e.message());
    let (old, new) = trees.map_err(unreadable)?;
    differ(&objects, Some(old), Some(new), "", 0, &mut touched).map_err(|error| match error {
        Unread::Git(error) => unreadable(error),
        Unread::TooMuch(detail) => SourceError::Refused { detail },
    })?;
    Ok(Between { since: Revision::new(since.to_string()), behind, touched })
}

/// Where the head left the base, and all that the head descends from. Of the commits that both have it is the one that
/// has all others behind it: a date is whatever its maker says, and an older commit would hide what the head undoes.
fn left_at(
    inner: &Inner,
    objects: &Objects,
    (base, head): (Oid, Oid),
    of_base: &BTreeSet<Oid>,
) -> Result<(Oid, BTreeSet<Oid>), SourceError> {
    let shared = |id: Oid| of_base.contains(&id);
    let above = down(inner, objects, [head].into(), &shared)?;
    let of_shared = |id: &Oid| parents(objects, *id).unwrap_or_default();
    let below = down(inner, objects, above.ends.iter().flat_map(of_shared).collect(), &|_| false)?;
    let independent: Vec<Oid> = above.ends.difference(&below.seen).copied().collect();
    let (base, head) = (range::short(base), range::short(head));
    let detail = match independent.as_slice() {
        [since] if !above.cut => return Ok((*since, above.seen.union(&below.seen).copied().collect())),
        // What lies behind the edge may be common too, or may lie behind another (A1).
        _ if above.cut || (independent.len() > 1 && below.cut) => format!(
            "the clone ends before the commit that {base} and {head} have in common: fetch the whole history (`git fetch \
             --unshallow`, `fetch-depth: 0`, `GIT_DEPTH: 0`)"
        ),
        [] | [_] => format!("{base} and {head} have no commit in common"),
        several => format!(
            "{base} and {head} crossed: they have {} in common, and neither is behind the other, so that no single commit \
             shows what the branch changes; merge {base} into the branch first",
            several.iter().map(|id| range::short(*id)).collect::<Vec<_>>().join(" and ")
        ),
    };
    Err(SourceError::Refused { detail })
}

/// A walk through the history.
struct Down {
    /// All that was met, the ends included.
    seen: BTreeSet<Oid>,
    /// Where it was told to stop.
    ends: BTreeSet<Oid>,
    /// A shallow clone ended before it did.
    cut: bool,
}

fn down(
    inner: &Inner,
    objects: &Objects,
    from: BTreeSet<Oid>,
    ends: &dyn Fn(Oid) -> bool,
) -> Result<Down, SourceError> {
    let mut next: Vec<Oid> = from.iter().copied().collect();
    let mut down = Down { seen: from, ends: BTreeSet::new(), cut: false };
    while let Some(id) = next.pop() {
        // Where a shallow clone ends, a parent is known by name alone.
        match parents(objects, id) {
            Ok(_) if ends(id) => _ = down.ends.insert(id),
            Ok(parents) => next.extend(parents.into_iter().filter(|parent| down.seen.insert(*parent))),
            Err(error) if error.code() == ErrorCode::NotFound => down.cut = true,
            Err(error) => return Err(inner.unreadable(id, error.message())),
        }
    }
    Ok(down)
}

/// Why a comparison has no end.
enum Unread {
    Git(Error),
    /// In words: a limit was reached.
    TooMuch(String),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Git(error)
    }
}

/// Files below two directories of which either may not be there.
fn differ(
    objects: &Objects,
    old: Option<Oid>,
    new: Option<Oid>,
    prefix: &str,
    depth: usize,
    touched: &mut BTreeMap<String, Touch>,
) -> Result<(), Unread> {
    if old == new {
        return Ok(());
    }
    if depth > DEEPEST {
        return Err(Unread::TooMuch(format!(
            "{prefix} differs, and directories are nested deeper than {DEEPEST} there"
        )));
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
        if touched.len() > MOST_TOUCHED {
            return Err(Unread::TooMuch(format!(
                "more than {MOST_TOUCHED} files differ, and nobody looks through so many: divide the branch"
            )));
        }
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
    let tree = objects.tree(id)?;
    let entries: BTreeMap<String, Entry> = tree.iter().map(one).collect();
    if entries.len() != tree.len() {
        return Err(Error::from_str(&format!("directory {id} has two entries of one name")));
    }
    Ok(entries)
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
