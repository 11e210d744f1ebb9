//! `trueup check`: what a pull request would do, for whoever reviews it. Nothing is changed and nothing is remembered.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::config::codeowners::Forge;
use crate::control::check::{self, Look, Question};
use crate::control::memory::Memory;
use crate::model::settings::Reference;
use crate::output;

use super::plan::read_snapshot;
use super::world::{FormatArgs, GlobalArgs, SourceArgs, world_to_look};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// What the branch is to be merged into [default: the enforced revision].
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// The branch [default: the repository's head].
    #[arg(long, value_name = "REV", conflicts_with = "rev")]
    head: Option<String>,
    /// Plan against a saved snapshot instead of the live engines; nothing is dialled.
    #[arg(long, value_name = "FILE", conflicts_with = "no_fleet")]
    observed: Option<PathBuf>,
    /// Look at no fleet at all: only what is declared, the policies and the owners.
    #[arg(long)]
    no_fleet: bool,
    /// Whose CODEOWNERS file it is [default: the forge whose job this runs in, else GitHub].
    #[arg(long, value_enum)]
    forge: Option<ForgeArg>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ForgeArg {
    Github,
    Gitlab,
    /// Forgejo too.
    Gitea,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let mut world = world_to_look(global, &args.source, terminal::progress(true))?;
    world.revision = None;
    let named = |text: &String| Reference::Commit(text.clone());
    let base = match &args.base {
        Some(base) => named(base),
        None => Memory::new(&*world.store)
            .last_good()?
            .map(|last| Reference::Commit(last.revision.to_string()))
            .context("no revision is enforced yet: name what the branch is to be merged into, --base REV")?,
    };
    let head = args.head.as_ref().or(args.source.rev.as_ref()).map_or(Reference::Head, named);
    let look = match &args.observed {
        Some(file) => Look::Snapshot(Box::new(read_snapshot(file, &mut world)?)),
        None if args.no_fleet => Look::Nothing,
        None => Look::Fleet,
    };
    let question = Question { base, head, look, forge: args.forge.map_or_else(forge_of_this_job, forge) };
    let checked = check::check(&world, question).await?;
    out!("{}", output::checked(&checked, args.format.format(), terminal::colour()));
    Ok(checked.exit_code())
}

const fn forge(arg: ForgeArg) -> Forge {
    match arg {
        ForgeArg::Github => Forge::GitHub,
        ForgeArg::Gitlab => Forge::GitLab,
        ForgeArg::Gitea => Forge::Gitea,
    }
}

/// Gitea's and Forgejo's runners call themselves GitHub's too.
fn forge_of_this_job() -> Forge {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if set("GITEA_ACTIONS") || set("FORGEJO_ACTIONS") {
        Forge::Gitea
    } else if set("GITLAB_CI") {
        Forge::GitLab
    } else {
        Forge::GitHub
    }
}
