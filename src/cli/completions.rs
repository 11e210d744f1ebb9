//! `trueup completions SHELL`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Exit;

#[derive(clap::Args)]
pub struct Args {
    shell: Shell,
}

pub fn run(args: &Args) -> Exit {
    clap_complete::generate(args.shell, &mut super::Cli::command(), "trueup", &mut std::io::stdout());
    Ok(0)
}
