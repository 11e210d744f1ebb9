//! `trueup schema`: JSON Schemas for editors and the reference pages, generated from the types.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::config;

use super::Exit;

#[derive(clap::Args)]
pub struct Args {
    /// Only this kind of file; without it one schema that holds all kinds of the config repository.
    #[arg(value_parser = ["fleet", "hosts", "networks", "app", "settings"])]
    kind: Option<String>,
    /// Print the reference page in Markdown instead; of the settings with `settings`, else of the repository.
    #[arg(long)]
    reference: bool,
    /// Write NAME.schema.json for each kind into this directory, for editors.
    #[arg(long, value_name = "DIR", conflicts_with = "reference")]
    to: Option<PathBuf>,
}

pub fn run(args: &Args) -> Exit {
    if args.reference {
        let settings = args.kind.as_deref() == Some("settings");
        out!("{}", if settings { config::settings_reference() } else { config::repository_reference() });
        return Ok(0);
    }
    let all = config::repository_kinds().into_iter().chain([config::settings_kind()]);
    let wanted = all.filter(|kind| args.kind.as_deref().is_none_or(|name| name == kind.name));
    match (&args.to, &args.kind) {
        (Some(dir), _) => write(wanted, dir)?,
        (None, Some(_)) => wanted.for_each(|kind| out!("{:#}\n", kind.schema)),
        (None, None) => out!("{:#}\n", config::bundled_schema()),
    }
    Ok(0)
}

/// NAME.schema.json for each kind.
pub(super) fn write(kinds: impl Iterator<Item = config::Kind>, dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    for kind in kinds {
        let file = dir.join(format!("{}.schema.json", kind.name));
        std::fs::write(&file, format!("{:#}\n", kind.schema))
            .with_context(|| format!("writing {}", file.display()))?;
        outln!("{}", file.display());
    }
    Ok(())
}
