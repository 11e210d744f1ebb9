//! Files of the repository in containers (D9): put in through the archive API, read back to be compared.

use std::collections::{BTreeMap, BTreeSet};

use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures_util::StreamExt as _;

use crate::model::container::FileSpec;
use crate::model::names::ContainerName;
use crate::model::observed::LiveFile;
use crate::model::secrecy::ContentHash;
use crate::ports::{Contents, EngineError, EngineErrorKind};

use super::engine::DockerEngine;
use super::{error, within};

/// More than any file trueup puts in; whoever replaced one by something larger has changed it anyway.
const LARGEST: usize = 16 << 20;

impl DockerEngine {
    /// The file at `path` of a container, by name or id, as it is now; `None`: there is no file.
    pub(super) async fn file(&self, container: &str, path: &str) -> Result<Option<LiveFile>, EngineError> {
        let call = format!("GET /containers/{container}/archive?path={path}");
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let read = async {
            let mut bytes = Vec::new();
            let mut stream = std::pin::pin!(self.docker.download_from_container(container, Some(options)));
            while let Some(chunk) = stream.next().await {
                bytes.extend_from_slice(&chunk?);
                if bytes.len() > LARGEST {
                    break;
                }
            }
            Ok(bytes)
        };
        let Some(bytes) = error::or_none(within(&self.host, &call, self.deadline, read).await)? else {
            return Ok(None);
        };
        if bytes.len() > LARGEST {
            return Ok(Some(LiveFile { hash: ContentHash::of(b"too large to be ours"), mode: 0 }));
        }
        first_file(&bytes).map_err(|e| self.garbage(&call, e.to_string()))
    }

    /// As [`Self::file`] of a container of this id, but what is as it was read before is not read again.
    pub(super) async fn file_or_recalled(
        &self,
        id: &str,
        path: &str,
    ) -> Result<Option<LiveFile>, EngineError> {
        let Some(recall) = &self.recall else { return self.file(id, path).await };
        let call = format!("HEAD /containers/{id}/archive?path={path}");
        let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
        let asked = self.call(&call, self.docker.get_container_archive_info(id, Some(options))).await;
        let Some(told) = error::or_none(asked)? else { return Ok(None) };
        // What a link leads to changes without it.
        let stat = told.link_target.is_empty().then_some(told.modification_time).flatten();
        let stat = stat.map(|time| format!("{} bytes, mode {:o}, {time}", told.size, told.file_mode));
        if let Some(known) = stat.as_deref().and_then(|stat| recall.known(&self.host, id, path, stat)) {
            return Ok(Some(known));
        }
        let file = self.file(id, path).await?;
        if let (Some(stat), Some(file)) = (stat, &file) {
            recall.note(&self.host, id, path, stat, file);
        }
        Ok(file)
    }

    /// Puts the spec's files into a container that was created and not started.
    pub(super) async fn put_files(
        &self,
        name: &ContainerName,
        files: &BTreeMap<String, FileSpec>,
        contents: &Contents,
    ) -> Result<(), EngineError> {
        if files.is_empty() {
            return Ok(());
        }
        let call = format!("PUT /containers/{name}/archive");
        let archive = archive(files, contents).map_err(|detail| EngineError {
            host: self.host.clone(),
            call: call.clone(),
            kind: EngineErrorKind::Refused,
            detail,
        })?;
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let body = bollard::body_full(archive.into());
        self.call(&call, self.docker.upload_to_container(name.as_str(), Some(options), body)).await
    }
}

fn first_file(bytes: &[u8]) -> std::io::Result<Option<LiveFile>> {
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let mode = entry.header().mode()? & 0o7777;
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content)?;
            return Ok(Some(LiveFile { hash: ContentHash::of(&content), mode }));
        }
    }
    Ok(None)
}

/// One tar with every file and the directories above it; the time is fixed, so that equal files are equal bytes.
fn archive(files: &BTreeMap<String, FileSpec>, contents: &Contents) -> Result<Vec<u8>, String> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut made = BTreeSet::new();
    for (path, file) in files {
        let content = contents.get(&file.hash).ok_or_else(|| {
            format!("the content of {} ({}) is not at hand", file.source, file.hash.short())
        })?;
        let relative = path.trim_start_matches('/');
        for (at, _) in relative.match_indices('/') {
            let dir = &relative[..at];
            // Directories that images have anyway keep their own mode.
            let usual =
                matches!(dir, "etc" | "usr" | "var" | "opt" | "srv" | "home" | "tmp" | "run" | "root");
            if !usual && made.insert(dir.to_owned()) {
                append(&mut tar, &format!("{dir}/"), 0o755, tar::EntryType::Directory, &[])?;
            }
        }
        append(&mut tar, relative, file.mode, tar::EntryType::Regular, content)?;
    }
    tar.into_inner().map_err(|e| e.to_string())
}

fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    kind: tar::EntryType,
    content: &[u8],
) -> Result<(), String> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.set_size(u64::try_from(content.len()).map_err(|e| e.to_string())?);
    tar.append_data(&mut header, path, content).map_err(|e| format!("{path}: {e}"))
}
