//! `trueup schema`: the JSON Schema of the config repository's files, generated from the types.

use crate::config;

use super::Exit;

#[derive(clap::Args)]
pub struct Args {
    /// Print the reference page in Markdown instead.
    #[arg(long)]
    reference: bool,
}

pub fn run(args: &Args) -> Exit {
    if args.reference {
        print!("{}", config::reference_markdown());
    } else {
        println!("{}", serde_json::to_string_pretty(&config::schema())?);
    }
    Ok(0)
}
