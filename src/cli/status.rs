//! `trueup status`: how things stand.

use crate::control::pass;
use crate::control::standing::status;
use crate::output;

use super::world::{FormatArgs, GlobalArgs, SourceArgs, world_to_look};
use super::{Exit, leave, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world_to_look(global, &args.source, terminal::progress(true))?;
    let pass = pass::take_and_look(&world).await?;
    let status = status(&world, &pass)?;
    out!("{}", output::status(&status, args.format.format(), terminal::colour()));
    let code = pass.plan.exit_code();
    leave(pass);
    Ok(code)
}
