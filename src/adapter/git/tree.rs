//! A commit's files from git objects: plain files only, with limits on every count and size (F4).

use std::collections::BTreeMap;
use std::sync::Arc;

use git2::{ObjectType, Oid};

use crate::model::names::Revision;
use crate::model::tree::{Blob, Tree};
use crate::ports::SourceError;

use super::objects::Objects;
use super::{Inner, lock, moment};

const LARGEST_FILE: usize = 8 << 20;
const MOST_FILES: usize = 100_000;
const DEEPEST: usize = 16;
const LARGEST_TREE: usize = 256 << 20;
const LONGEST_PATH: usize = 1024;
/// What a config repository has at its root. What stands beside (a README's picture, a CI file, a vendored library) is
/// nobody's business here: it is neither walked nor counted.
const OURS: [&str; 6] = ["fleet.toml", "hosts", "networks", "apps", "policies", "secrets"];

/// What the tree read last was made of, by object id: only what changed since is read again.
#[derive(Default)]
pub(super) struct Known {
    contents: BTreeMap<Oid, Arc<[u8]>>,
    /// By path too, on which depends what is refused.
    directories: BTreeMap<(String, Oid), Arc<[Entry]>>,
}

/// One entry of a directory, by its path from the root.
struct Entry {
    path: String,
    what: What,
}

enum What {
    File(Oid),
    Directory(Oid),
    Refused(String),
}

struct Walk<'r> {
    objects: &'r Objects,
    known: Known,
    fresh: Known,
    blobs: BTreeMap<String, Blob>,
    refused: BTreeMap<String, String>,
    bytes: usize,
}

pub(super) fn read(inner: &Inner, revision: &Revision) -> Result<Tree, SourceError> {
    let objects = inner.open()?;
    let unreadable = |e: git2::Error| inner.unreadable(revision, e.message());
    let commit = objects.commit(inner.oid(revision)?).map_err(unreadable)?;
    let mut root = commit.tree_id();
    for part in inner.settings.root.split('/').filter(|part| !part.is_empty() && *part != ".") {
        // A missing directory is an error and never an empty fleet (A2).
        let entry = objects.tree(root).map_err(unreadable)?.get_name(part).map(|entry| entry.id());
        root = entry.ok_or_else(|| {
            inner.unreadable(revision, format!("it has no directory {:?}", inner.settings.root))
        })?;
    }
    let mut known = lock(&inner.known);
    let mut walk = Walk {
        objects: &objects,
        known: std::mem::take(&mut *known),
        fresh: Known::default(),
        blobs: BTreeMap::new(),
        refused: BTreeMap::new(),
        bytes: 0,
    };
    walk.directory(root, "", 0).map_err(unreadable)?;
    let author = commit.author();
    let tree = Tree {
        revision: revision.clone(),
        committed: moment(commit.time()),
        author: String::from_utf8_lossy(author.name_bytes()).into_owned(),
        summary: String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned(),
        blobs: walk.blobs,
        refused: walk.refused,
    };
    *known = walk.fresh;
    Ok(tree)
}

impl Walk<'_> {
    fn directory(&mut self, id: Oid, path: &str, depth: usize) -> Result<(), git2::Error> {
        let key = (path.to_owned(), id);
        let entries = match self.known.directories.remove(&key) {
            Some(entries) => entries,
            None => entries(&self.objects.tree(id)?, path),
        };
        for Entry { path, what } in &*entries {
            if depth == 0 && !OURS.contains(&path.as_str()) {
                continue;
            }
            // Refused is the whole commit with it: a part of a tree is never taken for all of it (A2).
            if self.blobs.len() + self.refused.len() >= MOST_FILES {
                self.refuse(path, format!("there are more than {MOST_FILES} files"));
                break;
            }
            match what {
                What::File(id) => self.file(*id, path)?,
                What::Directory(_) if depth >= DEEPEST => {
                    self.refuse(path, format!("directories are nested deeper than {DEEPEST}"));
                }
                What::Directory(id) => self.directory(*id, path, depth + 1)?,
                What::Refused(why) => self.refuse(path, why.clone()),
            }
        }
        self.fresh.directories.insert(key, entries);
        Ok(())
    }

    fn file(&mut self, id: Oid, path: &str) -> Result<(), git2::Error> {
        let bytes = match self.fresh.contents.get(&id).or_else(|| self.known.contents.get(&id)) {
            Some(bytes) => Arc::clone(bytes),
            None => match self.objects.blob(id, LARGEST_FILE)? {
                Ok(bytes) => Arc::from(bytes),
                Err(size) => {
                    self.refuse(path, format!("{size} bytes are too many; the limit is {LARGEST_FILE}"));
                    return Ok(());
                }
            },
        };
        self.bytes += bytes.len();
        if self.bytes > LARGEST_TREE {
            self.refuse(path, format!("the files together have more than {LARGEST_TREE} bytes"));
            return Ok(());
        }
        self.fresh.contents.insert(id, Arc::clone(&bytes));
        self.blobs.insert(path.to_owned(), Blob { id: id.to_string(), bytes });
        Ok(())
    }

    fn refuse(&mut self, path: &str, why: String) {
        self.refused.insert(path.to_owned(), why);
    }
}

/// What stands in the directory at `prefix`, without going into it.
fn entries(tree: &git2::Tree<'_>, prefix: &str) -> Arc<[Entry]> {
    let entry = |entry: git2::TreeEntry<'_>| {
        let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let refused = |why: &str| What::Refused(why.to_owned());
        let what = match (strange(entry.name_bytes(), &path), entry.filemode(), entry.kind()) {
            (Some(why), _, _) => What::Refused(why),
            (None, 0o120_000, _) => refused("a symbolic link is not followed (F4)"),
            (None, _, Some(ObjectType::Commit)) => refused("a submodule is not followed (F4)"),
            (None, _, Some(ObjectType::Tree)) => What::Directory(entry.id()),
            (None, _, Some(ObjectType::Blob)) => What::File(entry.id()),
            (None, _, Some(ObjectType::Any | ObjectType::Tag) | None) => refused("it is not a file"),
        };
        Entry { path, what }
    };
    tree.iter().map(entry).collect()
}

/// Why a name is none that a file of ours may have.
fn strange(name: &[u8], path: &str) -> Option<String> {
    if std::str::from_utf8(name).is_err() {
        Some("its name is not UTF-8".to_owned())
    } else if matches!(name, b"" | b"." | b"..") || name.contains(&b'\\') {
        Some("its name leaves its directory".to_owned())
    } else if name.iter().any(|c| c.is_ascii_control()) {
        Some("its name has control characters".to_owned())
    } else if path.len() > LONGEST_PATH {
        Some(format!("its path is longer than {LONGEST_PATH} bytes"))
    } else {
        None
    }
}
