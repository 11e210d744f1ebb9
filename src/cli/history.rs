//! `trueup history`: what happened, newest last.

use crate::output;
use crate::ports::Store as _;

use super::world::{FormatArgs, GlobalArgs, SourceArgs, store};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// How many entries.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let entries = store(global, &args.source)?.history(args.limit)?;
    out!("{}", output::history(&entries, args.format.format(), terminal::colour()));
    Ok(0)
}
