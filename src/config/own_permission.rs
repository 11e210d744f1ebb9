//! The `[permission]` section of the reconciler's own settings: whose signature lets a commit in (F0, F1).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::permission::{MOST_COMMITS, Mode, PermissionSettings, PublicKey, Signer};

use super::context::Context;
use super::own::shape;
use super::signers;

shape! {
    /// What a commit needs before it is enforced (docs/permission.md).
    struct PermissionShape {
        /// `"branch"`, the default: to be the branch's head, which nobody verifies. `"signed"`: that every commit since the
        /// enforced revision, merges included, is signed by one of `signers`, as by git's `gpg.format = ssh`.
        mode: Option<ModeWord>,
        /// Trusted keys: lines of OpenSSH's `allowed_signers`, or bare public keys.
        signers: Vec<String>,
        /// A file of such lines. It must not lie in the config repository.
        signers_file: Option<PathBuf>,
        /// Public keys that permit nothing from now on, whatever `signers` say.
        revoked: Vec<String>,
        /// A file of such keys, one a line.
        revoked_file: Option<PathBuf>,
        /// A head with more commits than this since the enforced revision is held without a look; 10000 by default.
        most_commits: Option<usize>,
    }
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ModeWord {
    Branch,
    Signed,
}

/// Where paths start, and what fetches files.
pub(super) struct Place<'a> {
    pub base: &'a Path,
    pub read_file: &'a dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
}

pub(super) fn permission(
    shape: &PermissionShape,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> PermissionSettings {
    let mode = match shape.mode {
        None | Some(ModeWord::Branch) => Mode::Branch,
        Some(ModeWord::Signed) => Mode::Signed,
    };
    let signers = signers(shape, place, context);
    let revoked = revoked(shape, place, context);
    let trusted = signers.iter().any(|signer| signer.for_git && !revoked.contains(&signer.key));
    if mode == Mode::Signed && !trusted && context.errors.is_empty() {
        context.fail_with(
            "permission",
            "the mode is \"signed\" and no key is trusted, so that no commit could ever be permitted",
            "name keys in `signers` or `signers_file`",
        );
    }
    PermissionSettings {
        mode,
        signers,
        revoked,
        files: named_files(shape).map(|file| place.base.join(file)).collect(),
        most_commits: shape.most_commits.unwrap_or(MOST_COMMITS).max(1),
    }
}

fn named_files(shape: &PermissionShape) -> impl Iterator<Item = &PathBuf> {
    [&shape.signers_file, &shape.revoked_file].into_iter().flatten()
}

fn signers(shape: &PermissionShape, place: &Place<'_>, context: &mut Context<'_>) -> Vec<Signer> {
    let mut all = Vec::new();
    for line in &shape.signers {
        match signers::signer(line.trim()) {
            Ok(signer) => all.push(signer),
            Err(why) => context.fail("permission.signers", why),
        }
    }
    if let Some((path, text)) = file(shape.signers_file.as_ref(), "permission.signers_file", place, context) {
        let (read, faults) = signers::parse(&text);
        all.extend(read);
        for (line, why) in faults {
            context.fail("permission.signers_file", format!("{}:{line}: {why}", path.display()));
        }
    }
    all
}

fn revoked(shape: &PermissionShape, place: &Place<'_>, context: &mut Context<'_>) -> BTreeSet<PublicKey> {
    let mut all: BTreeSet<PublicKey> = context.list("permission.revoked", &shape.revoked);
    let Some((path, text)) = file(shape.revoked_file.as_ref(), "permission.revoked_file", place, context)
    else {
        return all;
    };
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.parse() {
            Ok(key) => {
                all.insert(key);
            }
            Err(why) => {
                let told = format!("{}:{}: {why}", path.display(), number + 1);
                let hint = "public keys are meant, one a line; a binary revocation list is not read";
                context.fail_with("permission.revoked_file", told, hint);
            }
        }
    }
    all
}

/// A file's text. That it lies outside the config repository is for those to see who can ask the file system.
fn file(
    file: Option<&PathBuf>,
    at: &str,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<(PathBuf, String)> {
    let path = place.base.join(file?);
    match (place.read_file)(&path).map(String::from_utf8) {
        Ok(Ok(text)) => Some((path, text)),
        Ok(Err(_)) => {
            context.fail(at, format!("{} is not a text", path.display()));
            None
        }
        Err(error) => {
            context.fail(at, format!("{}: {error}", path.display()));
            None
        }
    }
}
