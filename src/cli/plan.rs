//! `trueup plan`: what would be changed, and why.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::control::World;
use crate::control::pass::{self, Pass};
use crate::control::revision::Reader;
use crate::model::observed::Snapshot;
use crate::output;

use super::world::{FormatArgs, GlobalArgs, SourceArgs, world_to_look};
use super::{Exit, leave, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// Plan against a saved snapshot instead of the live engines; nothing is dialled.
    #[arg(long, value_name = "FILE")]
    observed: Option<PathBuf>,
    /// Save the plan, for `trueup apply --plan FILE`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let mut world = world_to_look(global, &args.source, terminal::progress(true))?;
    let snapshot = args.observed.as_ref().map(|file| read_snapshot(file, &mut world)).transpose()?;
    let pass = match snapshot {
        Some(snapshot) => {
            let taken = Reader::default().take(&world, false).await?;
            pass::replay(&world, taken, snapshot).await?
        }
        None => pass::take_and_look(&world).await?,
    };
    if let Some(file) = &args.out {
        if let Some(why) = pass.taken.named.only_shown() {
            bail!("{} is not written, since it could not be applied: {why}", file.display());
        }
        let json = serde_json::to_string_pretty(&pass.plan)?;
        std::fs::write(file, json).with_context(|| format!("writing {}", file.display()))?;
    }
    warn_kept(&pass);
    out!("{}", output::plan(&pass.plan, &pass.installed(), args.format.format(), terminal::colour()));
    let code = pass.plan.exit_code();
    leave(pass);
    Ok(code)
}

/// A snapshot written by `trueup snapshot save`; `world` becomes the installation that took it, whose things are ours.
pub fn read_snapshot(file: &Path, world: &mut World) -> anyhow::Result<Snapshot> {
    let text = std::fs::read_to_string(file).with_context(|| format!("the snapshot {}", file.display()))?;
    let snapshot: Snapshot = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a snapshot of this release", file.display()))?;
    if let Some(installation) = &snapshot.installation {
        world.installation.clone_from(installation);
    }
    if snapshot.observed.key != world.key.id() {
        errln!(
            "note: the snapshot was taken with another hash key: values of env are not compared (key_file in the settings)"
        );
    }
    Ok(snapshot)
}

/// Says on standard error when the head is not what is enforced (A2).
pub fn warn_kept(pass: &Pass) {
    if let Some(why) = &pass.taken.kept_because {
        errln!("warning: {}", output::kept(&pass.taken.desired.revision, why));
    }
}
