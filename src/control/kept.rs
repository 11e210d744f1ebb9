//! The files of what is enforced, kept in the state file: a repository that is lost takes nothing away, also over a
//! restart (A2).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

use crate::model::names::Revision;
use crate::model::tree::{Blob, Tree};
use crate::model::units::Timestamp;
use crate::ports::{Record, StoreError};

use super::World;

/// A tree that takes more, compressed, is not kept.
const LARGEST: usize = 64 << 20;

/// What is written: the tree, and the proof that this installation wrote it.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Compressed, in base64.
    tree: String,
    /// By the installation's key, which is not in the state file: nobody who can write there alone can have something
    /// enforced that had no leave (F1).
    seal: String,
}

/// All but the bytes, which follow in the order of the paths.
#[derive(Serialize, Deserialize)]
struct Head {
    committed: Timestamp,
    author: String,
    summary: String,
    /// By path: the object id and how many bytes it has.
    files: BTreeMap<String, (String, usize)>,
    refused: BTreeMap<String, String>,
}

/// Keeps these and forgets others. `known` is what the state file has of earlier calls, read at the first one.
pub(super) fn keep(
    world: &World,
    known: &mut Option<BTreeSet<Revision>>,
    wanted: &BTreeMap<Revision, Arc<Tree>>,
    used: &BTreeSet<Revision>,
) -> Result<(), StoreError> {
    let known = match known {
        Some(known) => known,
        None => {
            let mut well = BTreeSet::new();
            for (key, json) in world.store.all(Record::Tree)? {
                let revision = Revision::new(key);
                // What this installation did not write, or not like this, is written anew.
                let whole =
                    serde_json::from_str::<Kept>(&json).is_ok_and(|kept| is_whole(world, &revision, &kept));
                if whole {
                    well.insert(revision);
                } else if !used.contains(&revision) {
                    world.store.delete(Record::Tree, revision.as_str())?;
                }
            }
            known.insert(well)
        }
    };
    for revision in known.iter().filter(|revision| !used.contains(*revision)) {
        world.store.delete(Record::Tree, revision.as_str())?;
    }
    known.retain(|revision| used.contains(revision));
    for (revision, tree) in wanted {
        if known.contains(revision) {
            continue;
        }
        match packed(world, tree) {
            Ok(json) => world.store.put(Record::Tree, revision.as_str(), &json)?,
            Err(why) => tracing::warn!(
                "the files of {} are not kept in the state file ({why}): without the repository nothing is enforced after \
                 a restart",
                revision.short()
            ),
        }
        known.insert(revision.clone());
    }
    Ok(())
}

/// The kept files of a revision; `None` where none are kept, or not as this installation wrote them.
pub(super) fn read(world: &World, revision: &Revision) -> Result<Option<Tree>, StoreError> {
    let Some(json) = world.store.get(Record::Tree, revision.as_str())? else { return Ok(None) };
    let tree = serde_json::from_str(&json).ok().and_then(|kept| unpacked(world, revision, &kept));
    if tree.is_none() {
        tracing::warn!(
            "the files of {} in the state file are not as they were written there",
            revision.short()
        );
    }
    Ok(tree)
}

fn sealed(world: &World, revision: &Revision, text: &str) -> String {
    world.key.seal(format!("tree {revision} {text}").as_bytes())
}

fn is_whole(world: &World, revision: &Revision, kept: &Kept) -> bool {
    sealed(world, revision, &kept.tree) == kept.seal
}

fn packed(world: &World, tree: &Tree) -> Result<String, String> {
    let files = tree.blobs.iter().map(|(path, blob)| (path.clone(), (blob.id.clone(), blob.bytes.len())));
    let head = Head {
        committed: tree.committed,
        author: tree.author.clone(),
        summary: tree.summary.clone(),
        files: files.collect(),
        refused: tree.refused.clone(),
    };
    let head = serde_json::to_vec(&head).map_err(|e| e.to_string())?;
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
    let mut write = |bytes: &[u8]| packer.write_all(bytes).map_err(|e| e.to_string());
    write(&u64::try_from(head.len()).unwrap_or(u64::MAX).to_be_bytes())?;
    write(&head)?;
    for blob in tree.blobs.values() {
        write(&blob.bytes)?;
    }
    let bytes = packer.finish().map_err(|e| e.to_string())?;
    if bytes.len() > LARGEST {
        return Err(format!("{} bytes are too many; the limit is {LARGEST}", bytes.len()));
    }
    let text = STANDARD.encode(bytes);
    let seal = sealed(world, &tree.revision, &text);
    serde_json::to_string(&Kept { tree: text, seal }).map_err(|e| e.to_string())
}

fn unpacked(world: &World, revision: &Revision, kept: &Kept) -> Option<Tree> {
    if !is_whole(world, revision, kept) {
        return None;
    }
    let mut packed = Vec::new();
    ZlibDecoder::new(STANDARD.decode(&kept.tree).ok()?.as_slice()).read_to_end(&mut packed).ok()?;
    let (size, rest) = packed.split_first_chunk::<8>()?;
    let (head, mut rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*size)).ok()?)?;
    let Head { committed, author, summary, files, refused } = serde_json::from_slice(head).ok()?;
    let mut blobs = BTreeMap::new();
    for (path, (id, size)) in files {
        let (bytes, after) = rest.split_at_checked(size)?;
        rest = after;
        blobs.insert(path, Blob { id, bytes: Arc::from(bytes) });
    }
    Some(Tree { revision: revision.clone(), committed, author, summary, blobs, refused })
}
