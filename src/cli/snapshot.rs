//! `trueup snapshot save FILE`: what the engines run now, without secrets (G1), for `trueup plan --observed FILE`.

use std::path::PathBuf;

use crate::control::pass;
use crate::control::snapshot;
use crate::model::exit::Found;
use crate::model::observed::Seen;

use super::world::{GlobalArgs, SourceArgs, world_to_look};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Read every engine and write what was seen.
    Save {
        #[command(flatten)]
        source: SourceArgs,
        /// Where it is written; an older file is replaced.
        file: PathBuf,
    },
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let Command::Save { source, file } = &args.command;
    let world = world_to_look(global, source, terminal::progress(true))?;
    let pass = pass::take_and_look(&world).await?;
    let snapshot = snapshot::of(&world, &pass)?;
    terminal::replace_private(file, &serde_json::to_string_pretty(&snapshot)?)?;
    let mut found = Found::default();
    // In full, unlike in the file.
    for (host, seen) in &pass.observed.hosts {
        match seen {
            Seen::Known(engine) => outln!("{host}: {} containers", engine.containers.len()),
            Seen::Unknown { why } => {
                outln!("{host}: unknown: {why}");
                found.unclear = true;
            }
        }
    }
    outln!("saved to {}", file.display());
    Ok(found.exit_code())
}
