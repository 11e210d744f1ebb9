//! Images on an engine's disk: what is stored there, what trueup pulled, and when that is taken away again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::image::{Digest, ImageRef};
use super::names::HostName;
use super::units::{ByteSize, TimeSpan, Timestamp};

/// Everything an engine's image store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageStore {
    /// All layers, those that images share counted once.
    pub layers: ByteSize,
    pub images: BTreeMap<Digest, StoredImage>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// `name:tag` and `name@digest`, as the engine tells them.
    pub names: BTreeSet<String>,
    /// With all its layers.
    pub size: ByteSize,
    /// The part that other images hold too.
    pub shared: ByteSize,
}

impl StoredImage {
    /// What the disk gets back when it goes.
    pub fn own(&self) -> ByteSize {
        ByteSize(self.size.0.saturating_sub(self.shared.0))
    }
}

/// An image that trueup itself pulled. Losing this record keeps the image for ever, and nothing worse (H).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulledImage {
    pub reference: ImageRef,
    pub at: Timestamp,
    /// When a container or a declared app was last seen to need it.
    pub last_used: Timestamp,
}

/// When images that trueup pulled are taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSettings {
    /// Whether `run` does it by itself.
    pub collect: bool,
    /// It begins when an engine's layers take more than this,
    pub above: ByteSize,
    /// and ends when they take no more than this.
    pub down_to: ByteSize,
    /// What was needed later than so long ago stays, so that going back finds its image.
    pub unused_for: TimeSpan,
}

impl Default for ImageSettings {
    fn default() -> Self {
        Self {
            collect: true,
            above: ByteSize(32 << 30),
            down_to: ByteSize(24 << 30),
            unused_for: TimeSpan::from_secs(24 * 3600),
        }
    }
}

/// What trueup pulled to a host, and what becomes of it: for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDisk {
    pub host: HostName,
    /// All layers, or why that could not be read.
    pub layers: Result<ByteSize, String>,
    pub images: Vec<ImageFate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFate {
    pub image: Digest,
    pub pulled: PulledImage,
    /// What the disk gets back when it goes.
    pub own: ByteSize,
    /// Why it stays; `None`: it may go.
    pub stays: Option<String>,
    /// It goes now, since the disk is too full.
    pub goes: bool,
}
