//! An image of trueup made from the running binary: the binary, the libraries it is linked to, and nothing pulled.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{CreateImageOptionsBuilder, RemoveImageOptionsBuilder};
use futures_util::StreamExt as _;

use crate::model::host::EngineAddress;
use crate::model::image::{Digest, ImageRef};
use crate::model::names::HostName;
use crate::ports::{EngineError, EngineErrorKind};

use super::dial::Dial;
use super::{error, transport, within};

const DEADLINE: Duration = Duration::from_secs(120);
/// Where the binary stands in the image.
const INSTALLED: &str = "usr/bin/trueup";
const USUAL_SOCKET: &str = "/var/run/docker.sock";

/// This machine's engine and its version, or why it cannot be used. `DOCKER_HOST` counts where it is a unix socket.
pub async fn reachable_local() -> Result<(EngineAddress, String), String> {
    let path = match std::env::var("DOCKER_HOST") {
        Ok(host) if !host.is_empty() => host
            .strip_prefix("unix://")
            .map(str::to_owned)
            .ok_or_else(|| format!("DOCKER_HOST is {host}, which is not a unix socket"))?,
        Ok(_) | Err(_) => USUAL_SOCKET.to_owned(),
    };
    let address = EngineAddress::Unix { path };
    let docker = connect(&address).map_err(|e| e.detail)?;
    let version = tokio::time::timeout(Duration::from_secs(5), docker.version()).await;
    match version {
        Ok(Ok(version)) => Ok((address, version.version.unwrap_or_default())),
        Ok(Err(e)) => Err(format!("{address}: {e}")),
        Err(_) => Err(format!("{address} does not answer")),
    }
}

/// Makes the image `tag` on the engine at `address` from `binary`.
pub async fn import_self(
    address: &EngineAddress,
    binary: &Path,
    tag: &ImageRef,
) -> Result<Digest, EngineError> {
    let call = format!("POST /images/create?fromSrc=-&repo={tag}");
    let fail = |detail: String| EngineError {
        host: local(),
        call: call.clone(),
        kind: EngineErrorKind::Refused,
        detail,
    };
    let binary = binary.to_owned();
    let archive = tokio::task::spawn_blocking(move || pack(&binary))
        .await
        .map_err(|e| fail(e.to_string()))?
        .map_err(|e| fail(format!("packing the binary: {e}")))?;
    let docker = connect(address)?;
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(&tag.repository)
        .tag(tag.tag.as_deref().unwrap_or("latest"))
        .changes(vec!["ENV PATH=/usr/bin:/bin".to_owned(), "ENTRYPOINT [\"/usr/bin/trueup\"]".to_owned()])
        .build();
    let import = async {
        let body = bollard::body_full(archive.into());
        let mut stream = std::pin::pin!(docker.create_image(Some(options), Some(body), None));
        while let Some(info) = stream.next().await {
            info?;
        }
        docker.inspect_image(&tag.pull_name()).await
    };
    let image = within(&local(), &call, DEADLINE, import).await?;
    image.id.unwrap_or_default().parse().map_err(|_| fail("the engine told no image id".to_owned()))
}

/// Whether the engine has the image.
pub async fn has_image(address: &EngineAddress, tag: &ImageRef) -> Result<bool, EngineError> {
    let docker = connect(address)?;
    let call = format!("GET /images/{tag}/json");
    let look = async { docker.inspect_image(&tag.pull_name()).await.map(|_| ()) };
    Ok(error::or_none(within(&local(), &call, DEADLINE, look).await)?.is_some())
}

/// Removes the image; that it is not there is as good.
pub async fn remove_image(address: &EngineAddress, tag: &ImageRef) -> Result<(), EngineError> {
    let docker = connect(address)?;
    let options = RemoveImageOptionsBuilder::new().build();
    let name = tag.pull_name();
    let remove = docker.remove_image(&name, Some(options), None);
    let call = format!("DELETE /images/{tag}");
    error::or_none(within(&local(), &call, DEADLINE, async { remove.await.map(|_| ()) }).await).map(|_| ())
}

fn connect(address: &EngineAddress) -> Result<Docker, EngineError> {
    let EngineAddress::Unix { path } = address else {
        return Err(EngineError {
            host: local(),
            call: format!("connect to {address}"),
            kind: EngineErrorKind::Refused,
            detail: "only this machine's own engine is used here".to_owned(),
        });
    };
    transport::docker(Dial::Unix(path.clone())).map_err(|e| error::of(&local(), "connect", &e))
}

#[allow(clippy::expect_used, reason = "a constant that is a valid name")]
fn local() -> HostName {
    "local".parse().expect("a valid name")
}

/// A tar of a root file system with just what the binary needs.
fn pack(binary: &Path) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut made = BTreeSet::new();
    for dir in ["tmp", "etc", "var/log"] {
        directories(&mut tar, &mut made, Path::new(dir))?;
        directory(&mut tar, &mut made, Path::new(dir), if dir == "tmp" { 0o1777 } else { 0o755 })?;
    }
    file(&mut tar, &mut made, Path::new(INSTALLED), &std::fs::read(binary)?, 0o755)?;
    file(&mut tar, &mut made, Path::new("etc/passwd"), b"root:x:0:0:root:/:/bin/false\n", 0o644)?;
    for library in libraries()? {
        let relative = library.strip_prefix("/").unwrap_or(&library);
        file(&mut tar, &mut made, relative, &std::fs::read(&library)?, 0o755)?;
    }
    tar.into_inner()
}

/// The shared libraries and the interpreter of this very process, each under every name the loader may ask for.
fn libraries() -> std::io::Result<BTreeSet<PathBuf>> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let loaded = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).map(PathBuf::from);
    let mut paths = BTreeSet::new();
    for path in loaded.filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().contains(".so"))) {
        // Programs ask by other names than the one that is mapped: `libz.so.1` for `libz.so.1.2.13`, and for the
        // interpreter a fixed path that is often a symlink.
        let own_dir = path.parent().unwrap_or(Path::new("/")).to_owned();
        for dir in [own_dir.as_path(), Path::new("/lib64"), Path::new("/lib")] {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                let name = entry.path();
                let is_link = entry.file_type().is_ok_and(|t| t.is_symlink());
                if is_link && std::fs::canonicalize(&name).is_ok_and(|target| target == path) {
                    paths.insert(name);
                }
            }
        }
        paths.insert(path);
    }
    Ok(paths)
}

fn file(
    tar: &mut tar::Builder<Vec<u8>>,
    made: &mut BTreeSet<PathBuf>,
    path: &Path,
    content: &[u8],
    mode: u32,
) -> std::io::Result<()> {
    directories(tar, made, path)?;
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(mode);
    header.set_mtime(1);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content)
}

fn directories(
    tar: &mut tar::Builder<Vec<u8>>,
    made: &mut BTreeSet<PathBuf>,
    path: &Path,
) -> std::io::Result<()> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()).collect();
    above.reverse();
    above.into_iter().try_for_each(|dir| directory(tar, made, dir, 0o755))
}

fn directory(
    tar: &mut tar::Builder<Vec<u8>>,
    made: &mut BTreeSet<PathBuf>,
    path: &Path,
    mode: u32,
) -> std::io::Result<()> {
    if !made.insert(path.to_owned()) {
        return Ok(());
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(mode);
    header.set_mtime(1);
    header.set_size(0);
    tar.append_data(&mut header, path, std::io::empty())
}
