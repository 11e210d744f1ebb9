//! `trueup trust ID`: a person names the commit to enforce, after a force-push or a lost state file (F0, H).

use crate::control::person;

use super::world::{GlobalArgs, SourceArgs, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// The commit to enforce from now on, by its id (40 hex digits, or the first of them); no branch or tag.
    id: String,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(true))?;
    out!("{}", person::trust(&world, &args.id).await?);
    Ok(0)
}
