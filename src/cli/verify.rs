//! `trueup verify`: each commit on the way to the head, who signed it, and whether it is let in (F1). No engine is
//! asked, and nothing of the commits but their signatures is read.

use crate::control::permission::{Examined, examine};
use crate::model::exit::Found;
use crate::model::settings::Reference;
use crate::output::{self, Verification};

use super::world::{FormatArgs, GlobalArgs, SourceArgs, world_to_look};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// The revision from which on commits count [default: the enforced one].
    #[arg(long, value_name = "REV")]
    since: Option<String>,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world_to_look(global, &args.source, terminal::progress(true))?;
    let since = args.since.clone().map(Reference::Commit);
    let examined = examine(&world, since.as_ref()).await?;
    let permitted = examined.permitted();
    let Examined { mode, base, head, descends, commits, glass } = examined;
    let now = world.clock.now();
    let verification = Verification { mode, base, head, descends, commits, glass, permitted, now };
    out!("{}", output::verification(&verification, args.format.format(), terminal::colour()));
    Ok(Found { unclear: !permitted, ..Found::default() }.exit_code())
}
