//! `trueup approve --plan ID`: a person allows what the blast radius holds (B3), bound to that very set of steps.

use crate::control::person;

use super::world::{GlobalArgs, SourceArgs, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// The id that `trueup plan` prints with what is held.
    #[arg(long, value_name = "ID")]
    plan: String,
    /// Who allows it and why, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(true))?;
    out!("{}", person::approve(&world, &args.plan, &args.reason).await?);
    Ok(0)
}
