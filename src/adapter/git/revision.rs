//! Names of commits. Every object on the way is looked through first.

use git2::{Error, ErrorClass, ErrorCode, Oid};

use crate::model::names::Revision;
use crate::model::settings::Reference;
use crate::ports::SourceError;

use super::objects::Objects;
use super::{Inner, remote};

/// Digits of an object's id, and the fewest that are taken for one.
const FULL: usize = 40;
const SHORTEST: usize = 4;
/// What may stand before and after a short name, as in git.
const PLACES: [(&str, &str); 6] = [
    ("", ""),
    ("refs/", ""),
    ("refs/tags/", ""),
    ("refs/heads/", ""),
    ("refs/remotes/", ""),
    ("refs/remotes/", "/HEAD"),
];

/// A reference that is not there is no such revision; one whose commit cannot be read is unreadable (A2).
pub(super) fn resolve(inner: &Inner, reference: &Reference) -> Result<Revision, SourceError> {
    let objects = inner.open()?;
    let (wanted, found) = match reference {
        Reference::Head => ("HEAD".to_owned(), head(inner, &objects)),
        Reference::Branch(name) => {
            (format!("branch {name}"), target(&objects, &format!("refs/heads/{name}")))
        }
        Reference::Tag(name) => (format!("tag {name}"), target(&objects, &format!("refs/tags/{name}"))),
        Reference::Commit(text) => (format!("revision {text}"), named(inner, &objects, text)),
        Reference::Id(text) => (format!("commit {text}"), by_id(&objects, text)),
    };
    let told = |error: Error| {
        use ErrorCode::{Ambiguous, InvalidSpec, NotFound, UnbornBranch};
        if error.code() == Ambiguous {
            return SourceError::Refused { detail: format!("{wanted}: {}", error.message()) };
        }
        if !matches!(error.code(), NotFound | InvalidSpec | UnbornBranch) {
            return inner.unreadable(&wanted, error.message());
        }
        let (url, detail) = (inner.shown.clone(), error.message().to_owned());
        SourceError::NoSuchRevision { url, wanted: wanted.clone(), detail }
    };
    let id = found.map_err(told)?;
    match objects.peel(id) {
        Ok(commit) => {
            // The commit itself is read, so that a damaged one is told here and with its name.
            objects.commit(commit).map_err(|e| inner.unreadable(commit, e.message()))?;
            Ok(Revision::new(commit.to_string()))
        }
        Err(error) if error.code() == ErrorCode::InvalidSpec => Err(told(error)),
        Err(error) => Err(inner.unreadable(id, error.message())),
    }
}

fn head(inner: &Inner, objects: &Objects) -> Result<Oid, Error> {
    if inner.remote
        && let Ok(id) = target(objects, remote::HEAD)
    {
        return Ok(id);
    }
    target(objects, "HEAD")
}

fn target(objects: &Objects, name: &str) -> Result<Oid, Error> {
    let reference = objects.repository().find_reference(name)?.resolve()?;
    reference.target().ok_or_else(|| no_such(format!("{name} names no object")))
}

fn no_such(message: String) -> Error {
    Error::new(ErrorCode::NotFound, ErrorClass::Reference, message)
}

/// A branch, a tag or an id, in full or short but of one meaning, with any of git's `~`, `~2`, `^`, `^2`, `^{commit}` behind it.
/// libgit2 could read this by itself, and would read objects that nobody looked through.
fn named(inner: &Inner, objects: &Objects, text: &str) -> Result<Oid, Error> {
    let (base, mut steps) = text.split_at(text.find(['~', '^']).unwrap_or(text.len()));
    let mut id = base_of(inner, objects, base)?;
    while let Some(step) = steps.chars().next() {
        let rest = steps.get(1..).unwrap_or_default();
        let peeled = rest.strip_prefix("{}").or_else(|| rest.strip_prefix("{commit}"));
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let wrong = || no_such(format!("{text:?} is no branch, tag or commit with ~ or ^ behind it"));
        let count = if number.is_empty() { 1 } else { number.parse().map_err(|_| wrong())? };
        id = objects.peel(id)?;
        steps = match (step, peeled) {
            ('^', Some(after)) => after,
            ('^', None) if count == 0 => after,
            ('^', None) => {
                id = parent(objects, id, count - 1)?;
                after
            }
            ('~', _) => {
                for _ in 0..count {
                    id = parent(objects, id, 0)?;
                }
                after
            }
            _ => return Err(wrong()),
        };
    }
    Ok(id)
}

fn parent(objects: &Objects, id: Oid, number: usize) -> Result<Oid, Error> {
    let parents = objects.commit(id)?.parent_ids().nth(number);
    parents.ok_or_else(|| no_such(format!("commit {id} has no parent {}", number + 1)))
}

fn base_of(inner: &Inner, objects: &Objects, base: &str) -> Result<Oid, Error> {
    if matches!(base, "HEAD" | "@") {
        return head(inner, objects);
    }
    if base.is_empty() {
        return Err(no_such("no commit is named".to_owned()));
    }
    let id = object(objects, base)?;
    let references = if base.len() == FULL && is_hex(base) { Vec::new() } else { references(objects, base)? };
    match (references.as_slice(), id) {
        ([], Some(id)) => Ok(id),
        ([], None) => {
            Err(no_such("there is neither a branch nor a tag nor a commit of that name".to_owned()))
        }
        ([one], None) => target(objects, one),
        (many, id) => Err(ambiguous(many, id)),
    }
}

/// An object's own name, in full or short, and nothing else: a reference of that name is whoever's may push it (F0).
fn by_id(objects: &Objects, text: &str) -> Result<Oid, Error> {
    if !is_hex(text) {
        return Err(no_such(
            "a commit's own id is asked for here, and no branch or tag: 40 hex digits".to_owned(),
        ));
    }
    let id = object(objects, text)?;
    match references(objects, text)?.as_slice() {
        [] => id.ok_or_else(|| no_such("there is no commit of that id".to_owned())),
        many => Err(ambiguous(many, id)),
    }
}

fn is_hex(text: &str) -> bool {
    (SHORTEST..=FULL).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_hexdigit())
}

/// The one object whose id begins so.
fn object(objects: &Objects, text: &str) -> Result<Option<Oid>, Error> {
    if !is_hex(text) {
        return Ok(None);
    }
    match objects.odb()?.exists_prefix(Oid::from_str(text)?, text.len()) {
        Ok(id) => Ok(Some(id)),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every reference that a short name could mean, by its full name.
fn references(objects: &Objects, name: &str) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for (before, after) in PLACES {
        let full = format!("{before}{name}{after}");
        match objects.repository().find_reference(&full) {
            Ok(_) => found.push(full),
            Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::InvalidSpec) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// git takes the first of several. Here whoever may push a tag would choose what `origin/main` is (F1, F4).
fn ambiguous(references: &[String], id: Option<Oid>) -> Error {
    let meant: Vec<String> =
        references.iter().cloned().chain(id.map(|id| format!("the object {id}"))).collect();
    let message = format!("it could mean {}: write the one that is meant in full", meant.join(" and "));
    Error::new(ErrorCode::Ambiguous, ErrorClass::Reference, message)
}
