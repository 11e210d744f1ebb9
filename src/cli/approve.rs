//! `trueup approve --plan ID`: a person allows what the blast radius holds (B3), bound to that very set of steps.

use anyhow::bail;

use crate::control::memory::Memory;
use crate::control::pass;
use crate::control::revision::Reader;

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
    let taken = Reader::default().take(&world, false).await?;
    let pass = pass::look(&world, taken, false).await?;
    let held: std::collections::BTreeSet<String> = pass.plan.held.iter().map(|c| c.promise()).collect();
    if held.is_empty() {
        bail!("nothing is held now");
    }
    if pass.plan.held_id != args.plan {
        bail!(
            "what is held now is plan {}, not {}: look at it with `trueup plan`, then approve that id",
            pass.plan.held_id,
            args.plan
        );
    }
    let memory = Memory::new(&*world.store);
    memory.approve(&args.plan, &held)?;
    memory.remember(world.clock.now(), Some(&pass.plan.revision), "approve", &args.plan, &args.reason)?;
    println!("approved {} steps:", held.len());
    for promise in held {
        println!("  {promise}");
    }
    println!("`trueup apply`, or the running `trueup run`, carries them out");
    Ok(0)
}
