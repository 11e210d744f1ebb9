//! What images take on an engine's disk.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::model::disk::{ImageStore, StoredImage};
use crate::model::image::Digest;
use crate::model::units::ByteSize;
use crate::ports::EngineError;

use super::engine::DockerEngine;
use super::within;

/// Older engines count containers and volumes along with images, which takes its time.
const PATIENCE: u32 = 15;

/// The part of `GET /system/df` that tells of images, as every API up to 1.51 gives it.
#[derive(Deserialize)]
struct Usage {
    #[serde(rename = "LayersSize")]
    layers: i64,
    #[serde(rename = "Images")]
    images: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
    size: i64,
    /// -1 where it was not counted.
    shared_size: i64,
}

impl DockerEngine {
    pub(super) async fn disk(&self) -> Result<ImageStore, EngineError> {
        let call = "GET /system/df";
        let deadline = self.deadline * PATIENCE;
        let body = within(&self.host, call, deadline, self.raw.get("system/df?type=image")).await?;
        let usage: Usage =
            serde_json::from_slice(&body).map_err(|error| self.garbage(call, error.to_string()))?;
        let mut images = BTreeMap::new();
        for entry in usage.images.unwrap_or_default() {
            let id: Digest = entry.id.parse().map_err(|_| self.garbage(call, "an image has no id"))?;
            images.insert(id, stored(entry));
        }
        Ok(ImageStore { layers: size(usage.layers), images })
    }
}

fn stored(entry: Entry) -> StoredImage {
    let names = entry.repo_tags.into_iter().chain(entry.repo_digests).flatten();
    // `<none>:<none>` is no name.
    let names: BTreeSet<String> = names.filter(|name| !name.contains("<none>")).collect();
    // Where it is not known what is shared, all of it may be.
    let shared = if entry.shared_size < 0 { entry.size } else { entry.shared_size };
    StoredImage { names, size: size(entry.size), shared: size(shared) }
}

fn size(bytes: i64) -> ByteSize {
    ByteSize(u64::try_from(bytes).unwrap_or_default())
}
