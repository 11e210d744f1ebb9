//! `trueup completions SHELL`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Exit;

#[derive(clap::Args)]
pub struct Args {
    shell: Shell,
}

pub fn run(args: &Args) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "trueup", &mut script);
    out!("{}", String::from_utf8_lossy(&script));
    Ok(0)
}
