//! `trueup history`: what happened, newest last.

use std::num::NonZeroUsize;

use crate::output;
use crate::ports::Store as _;

use super::world::{FormatArgs, GlobalArgs, SourceArgs, store};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    /// Whose history, where no settings say it: the config repository that the state directory belongs to.
    #[arg(long, value_name = "REPO")]
    repo: Option<String>,
    #[command(flatten)]
    format: FormatArgs,
    /// How many entries, the newest; at least one.
    #[arg(long, value_name = "COUNT", default_value = "50")]
    limit: NonZeroUsize,
}

pub fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let source = SourceArgs { repo: args.repo.clone(), ..SourceArgs::default() };
    let entries = store(global, &source)?.history(args.limit.get())?;
    out!("{}", output::history(&entries, args.format.format(), terminal::colour()));
    Ok(0)
}
