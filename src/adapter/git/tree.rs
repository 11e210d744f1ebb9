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

/// Contents by object id, from the tree read last.
pub(super) type Known = BTreeMap<Oid, Arc<[u8]>>;

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
    let mut root = objects.tree(commit.tree_id()).map_err(unreadable)?;
    for part in inner.settings.root.split('/').filter(|part| !part.is_empty() && *part != ".") {
        // A missing directory is an error and never an empty fleet (A2).
        let entry = root.get_name(part).map(|entry| entry.id());
        let id = entry.ok_or_else(|| {
            inner.unreadable(revision, format!("it has no directory {:?}", inner.settings.root))
        })?;
        root = objects.tree(id).map_err(unreadable)?;
    }
    let mut known = lock(&inner.known);
    let mut walk = Walk {
        objects: &objects,
        known: known.clone(),
        fresh: Known::new(),
        blobs: BTreeMap::new(),
        refused: BTreeMap::new(),
        bytes: 0,
    };
    walk.directory(&root, "", 0).map_err(unreadable)?;
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
    fn directory(&mut self, tree: &git2::Tree<'_>, prefix: &str, depth: usize) -> Result<(), git2::Error> {
        for entry in tree {
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            if self.blobs.len() + self.refused.len() >= MOST_FILES {
                self.refuse(&path, format!("the repository has more than {MOST_FILES} files"));
                return Ok(());
            }
            if let Some(why) = strange(entry.name_bytes(), &path) {
                self.refuse(&path, why);
                continue;
            }
            match (entry.filemode(), entry.kind()) {
                (0o120_000, _) => self.refuse(&path, "a symbolic link is not followed (F4)".to_owned()),
                (_, Some(ObjectType::Commit)) => {
                    self.refuse(&path, "a submodule is not followed (F4)".to_owned())
                }
                (_, Some(ObjectType::Tree)) if depth >= DEEPEST => {
                    self.refuse(&path, format!("directories are nested deeper than {DEEPEST}"));
                }
                (_, Some(ObjectType::Tree)) => {
                    let inner = self.objects.tree(entry.id())?;
                    self.directory(&inner, &path, depth + 1)?;
                }
                (_, Some(ObjectType::Blob)) => self.file(entry.id(), path)?,
                (_, Some(ObjectType::Any | ObjectType::Tag) | None) => {
                    self.refuse(&path, "it is not a file".to_owned());
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, id: Oid, path: String) -> Result<(), git2::Error> {
        let bytes = match self.fresh.get(&id).or_else(|| self.known.get(&id)) {
            Some(bytes) => Arc::clone(bytes),
            None => match self.objects.blob(id, LARGEST_FILE)? {
                Ok(bytes) => Arc::from(bytes),
                Err(size) => {
                    self.refuse(&path, format!("{size} bytes are too many; the limit is {LARGEST_FILE}"));
                    return Ok(());
                }
            },
        };
        self.bytes += bytes.len();
        if self.bytes > LARGEST_TREE {
            self.refuse(&path, format!("the files together have more than {LARGEST_TREE} bytes"));
            return Ok(());
        }
        self.fresh.insert(id, Arc::clone(&bytes));
        self.blobs.insert(path, Blob { id: id.to_string(), bytes });
        Ok(())
    }

    fn refuse(&mut self, path: &str, why: String) {
        // What stands outside trueup's own folders (a README's picture, a CI file) is nobody's business here.
        let ours = ["fleet.toml", "hosts", "networks", "apps", "policies", "secrets"];
        if ours.iter().any(|own| path == *own || path.starts_with(&format!("{own}/"))) {
            self.refused.insert(path.to_owned(), why);
        }
    }
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
