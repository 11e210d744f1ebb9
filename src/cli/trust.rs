//! `trueup trust REV`: a person names the revision to enforce, after a force-push or a lost state file (F0, H).

use crate::control::person;

use super::world::{GlobalArgs, SourceArgs, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// The commit to enforce from now on.
    revision: String,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(true))?;
    out!("{}", person::trust(&world, &args.revision).await?);
    Ok(0)
}
