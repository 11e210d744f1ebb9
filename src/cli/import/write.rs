//! Where imported files go: to standard output, or into a directory where nothing is overwritten unasked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::import::{Imported, skeleton};
use crate::model::names::{AppName, EnvironmentName, FleetName, HostName};

#[derive(clap::Args, Clone)]
pub struct IntoArgs {
    /// The environment it is.
    #[arg(long, value_name = "ENV", default_value = "prod")]
    pub environment: EnvironmentName,
    /// Write the files into this config repository's directory; without it they are printed.
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// The fleet's name, where the directory has no fleet.toml yet.
    #[arg(long, value_name = "NAME", default_value = "my-fleet")]
    pub fleet: FleetName,
    /// Overwrite files that are there.
    #[arg(long, requires = "into")]
    pub force: bool,
}

/// The files to write, and those that are left as they are.
pub struct Files {
    pub fresh: BTreeMap<String, String>,
    pub kept: BTreeSet<String>,
}

impl Files {
    /// The repository as it will be.
    pub fn all(&self, existing: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
        let mut all = existing.clone();
        all.extend(self.fresh.iter().map(|(path, text)| (path.clone(), text.clone().into_bytes())));
        all
    }
}

/// Larger files are no config and are not read.
const LARGEST: u64 = 8 << 20;
const DEEPEST: usize = 8;

/// The plain files of the directory that a config repository may have, by path.
pub fn existing(into: &IntoArgs) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    if let Some(dir) = into.into.as_ref().filter(|dir| dir.exists()) {
        for top in ["hosts", "networks", "apps"] {
            walk(dir, Path::new(top), DEEPEST, &mut files)
                .with_context(|| format!("reading {}", dir.display()))?;
        }
        if let Ok(bytes) = std::fs::read(dir.join("fleet.toml")) {
            files.insert("fleet.toml".to_owned(), bytes);
        }
    }
    Ok(files)
}

fn walk(root: &Path, at: &Path, depth: usize, files: &mut BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    let Ok(entries) = std::fs::read_dir(root.join(at)) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let (path, kind) = (at.join(entry.file_name()), entry.file_type()?);
        if kind.is_dir() && depth > 0 {
            walk(root, &path, depth - 1, files)?;
        } else if kind.is_file() && entry.metadata()?.len() <= LARGEST {
            files.insert(path.display().to_string(), std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// App names that the directory has already, unless they may be overwritten.
pub fn taken(into: &IntoArgs) -> anyhow::Result<BTreeSet<AppName>> {
    if into.force {
        return Ok(BTreeSet::new());
    }
    let existing = existing(into)?;
    let folders =
        existing.keys().filter_map(|path| path.strip_prefix("apps/")?.split('/').next()?.parse().ok());
    Ok(folders.collect())
}

/// With `fleet.toml`; what many share (the fleet, hosts, networks) is never replaced by an import.
pub fn complete(
    into: &IntoArgs,
    imported: &Imported,
    existing: &BTreeMap<String, Vec<u8>>,
    swarm: Option<(&str, &[HostName])>,
) -> Files {
    let mut fresh = imported.files.clone();
    fresh.insert("fleet.toml".to_owned(), skeleton(&into.fleet, &into.environment, swarm));
    let shared = |path: &String| !path.starts_with("apps/");
    let same = |path: &String, text: &String| existing.get(path).is_some_and(|old| old == text.as_bytes());
    let is_kept = |path: &String, text: &String| {
        existing.contains_key(path) && (same(path, text) || (shared(path) && !into.force))
    };
    let kept = fresh.iter().filter(|(path, text)| is_kept(path, text) && !same(path, text));
    let kept = kept.map(|(path, _)| path.clone()).collect();
    fresh.retain(|path, text| !is_kept(path, text));
    Files { fresh, kept }
}

pub fn write(into: &IntoArgs, files: &Files, existing: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<()> {
    let Some(dir) = &into.into else {
        for (path, text) in &files.fresh {
            out!("# ──── {path}\n{text}\n");
        }
        return Ok(());
    };
    let there: Vec<&str> =
        files.fresh.keys().filter(|path| existing.contains_key(*path)).map(String::as_str).collect();
    if !there.is_empty() && !into.force {
        bail!(
            "{} already there: {}; nothing was written (--force overwrites)",
            dir.display(),
            there.join(", ")
        );
    }
    for (path, text) in &files.fresh {
        let file = dir.join(path);
        let parent = file.parent().unwrap_or(dir);
        std::fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        outln!("{}", file.display());
    }
    Ok(())
}

/// What could not be carried over, on standard error.
pub fn tell(imported: &Imported) {
    for note in &imported.notes {
        errln!("note: {}: {}", note.subject, note.words);
    }
}

/// `live`: it was planned against what runs. `well`: nothing was found wrong with the files or the plan.
pub fn next(into: &IntoArgs, imported: &Imported, live: bool, well: bool) {
    let instances: usize = imported.apps.values().sum();
    let (apps, notes) = (imported.apps.len(), imported.notes.len());
    errln!("{apps} apps with {instances} instances, {notes} notes; nothing was changed on any engine");
    let Some(dir) = into.into.as_ref().map(|dir| dir.display()) else { return };
    match (well, live) {
        (true, true) => {
            errln!(
                "next: look at the files in {dir}, commit them, and run `trueup plan`; it should be empty"
            );
        }
        (true, false) => errln!("next: look at the files in {dir}, commit them, and run `trueup plan`"),
        (false, _) => {
            errln!("next: see to what is told above in the files of {dir}, before they are committed")
        }
    }
}
