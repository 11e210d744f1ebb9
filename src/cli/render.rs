//! `trueup render`: the Nginx and Flume files that follow from where healthy instances run, without installing them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::control::pass;
use crate::model::exit::Found;

use super::world::{FormatArg, FormatArgs, GlobalArgs, SourceArgs, world_to_look};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// Write below this directory instead of to standard output.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    #[command(flatten)]
    format: FormatArgs,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world_to_look(global, &args.source, terminal::progress(true))?;
    let pass = pass::take_and_look(&world).await?;
    if let FormatArg::Json = args.format.format {
        let sets: BTreeMap<_, _> =
            pass.rendered.sets.iter().map(|(set, files)| (set.to_string(), files)).collect();
        out!("{:#}\n", serde_json::json!({ "files": sets, "notes": pass.rendered.notes }));
    }
    for (set, files) in &pass.rendered.sets {
        for (name, text) in files {
            match (&args.to, args.format.format) {
                (None, FormatArg::Text) => out!("# ---- {set}/{name}\n{text}\n"),
                (None, FormatArg::Markdown) => out!("## {set}/{name}\n\n```\n{text}```\n\n"),
                (None, FormatArg::Json) => {}
                (Some(dir), _) => {
                    let dir = dir.join(set.to_string());
                    std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
                    let file = dir.join(name);
                    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
                    if !matches!(args.format.format, FormatArg::Json) {
                        outln!("{}", file.display());
                    }
                }
            }
        }
    }
    for (what, why) in &pass.rendered.notes {
        errln!("note: {what}: {why}");
    }
    Ok(Found { unclear: !pass.plan.unknown.is_empty(), ..Found::default() }.exit_code())
}
