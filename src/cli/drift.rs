//! `trueup drift`: what differs from git, since when, field by field.

use crate::control::memory::Memory;
use crate::control::pass;
use crate::control::revision::Reader;
use crate::output;

use super::world::{FormatArgs, GlobalArgs, SourceArgs, world};
use super::{Exit, plan, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(true))?;
    let taken = Reader::default().take(&world, false).await?;
    let pass = pass::look(&world, taken, false).await?;
    let since = Memory::new(&*world.store).first_seen()?;
    plan::warn_kept(&pass);
    out!("{}", output::drift(&pass.plan, &since, args.format.format(), terminal::colour()));
    Ok(match (pass.plan.unknown.is_empty(), pass.plan.drift.is_empty()) {
        (false, _) => 3,
        (true, false) => 2,
        (true, true) => 0,
    })
}
