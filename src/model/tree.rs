//! The files of a commit, as read from git objects (F4): bytes by path, and what was refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::names::Revision;

/// A commit's files below the chosen root.
#[derive(Debug, Clone)]
pub struct Tree {
    pub revision: Revision,
    /// When it was committed, milliseconds since 1970.
    pub committed: super::units::Timestamp,
    pub author: String,
    pub summary: String,
    /// By path relative to the root, `/` between parts.
    pub blobs: BTreeMap<String, Blob>,
    /// Entries that are not plain files or are too large, by path, and why they were refused.
    pub refused: BTreeMap<String, String>,
}

/// A file's content and its object id; equal ids are equal contents, which is what parse caches go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub id: String,
    pub bytes: Arc<[u8]>,
}

/// What a branch changed since it left another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Between {
    /// The commit that both have and that has every other such commit behind it: the branch's changes are counted from
    /// there.
    pub since: Revision,
    /// Commits that the other has and the branch has not.
    pub behind: usize,
    /// By path from the repository's top. A file that moved was removed and added.
    pub touched: BTreeMap<String, Touch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Touch {
    Added,
    Changed,
    Removed,
}

impl Touch {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}
