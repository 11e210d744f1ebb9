//! Files trueup writes: desired resources with a hash, like a container.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::HostName;
use super::secrecy::ContentHash;

/// One directory of generated files, installed and reloaded as a whole (E1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileSet {
    /// Upstreams and virtual hosts of the Nginx that trueup feeds.
    Nginx,
    /// The agent config of one host's Flume.
    Flume(HostName),
}

impl fmt::Display for FileSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nginx => f.write_str("nginx"),
            Self::Flume(host) => write!(f, "flume/{host}"),
        }
    }
}

impl std::str::FromStr for FileSet {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("flume/") {
            Some(host) => host.parse().map(Self::Flume).map_err(|e| e.to_string()),
            None if text == "nginx" => Ok(Self::Nginx),
            None => Err(format!("{text:?} is not a file set: nginx or flume/HOST")),
        }
    }
}
serialize_as_text!(FileSet);

/// The files of a set, by name relative to its directory (one level, names validated).
pub type Files = BTreeMap<String, String>;

/// The sets whose files differ.
pub type Differing = BTreeMap<FileSet, Sides>;

/// Both sides of a set. What trueup renders holds no secret: addresses, names and paths that git declares plain or Docker
/// tells, and no value of env (G1). What is installed may also hold what somebody wrote into it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sides {
    pub installed: Files,
    pub wanted: Files,
}

/// One hash for a whole set.
pub fn hash_of(files: &Files) -> ContentHash {
    let mut bytes = Vec::new();
    for (name, text) in files {
        bytes.extend_from_slice(ContentHash::of(name.as_bytes()).as_str().as_bytes());
        bytes.extend_from_slice(ContentHash::of(text.as_bytes()).as_str().as_bytes());
    }
    ContentHash::of(&bytes)
}

/// Rendered sets with what could not be rendered, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rendered {
    pub sets: BTreeMap<FileSet, Files>,
    /// `(what, why)`: an app left out of a set because its part is at fault (E1), or a line kept for an unknown host.
    pub notes: Vec<(String, String)>,
}
