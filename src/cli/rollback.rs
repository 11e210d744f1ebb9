//! `trueup rollback APP|REV`: a revert commit on a branch, ready to merge; git stays the truth.

use anyhow::{Context as _, bail};

use crate::control::revision::Reader;
use crate::model::names::AppName;
use crate::model::permission::Mode;
use crate::model::settings::Reference;

use super::world::{FormatArg, FormatArgs, GlobalArgs, SourceArgs, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// An app: back to before its last change. A revision: everything back to it.
    what: String,
    /// The revision an app goes back to [default: before its last change].
    #[arg(long, value_name = "REV")]
    to: Option<String>,
    #[command(flatten)]
    format: FormatArgs,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(true))?;
    let taken = Reader::default().take(&world, false).await?;
    let app = taken.desired.apps.keys().find(|key| key.app.as_str() == args.what).map(|key| &key.app);
    let (path, to) = match (app, &args.to) {
        (Some(app), Some(to)) => {
            (folder(app), world.repository.resolve(&Reference::Commit(to.clone())).await?)
        }
        (Some(app), None) => (folder(app), before_last_change(&world, app).await?),
        (None, Some(_)) => bail!("{} declares no app {}", taken.desired.revision.short(), args.what),
        (None, None) => {
            let to = world.repository.resolve(&Reference::Commit(args.what.clone())).await;
            (String::new(), to.with_context(|| format!("{} is neither an app nor a revision", args.what))?)
        }
    };
    let subject = if path.is_empty() { "everything".to_owned() } else { args.what.clone() };
    let branch =
        format!("trueup/rollback-{}-{}", if path.is_empty() { "all" } else { &args.what }, to.short());
    let message = format!("Roll {subject} back to {}\n\nWritten by trueup rollback.\n", to.short());
    let commit = world.repository.revert_on_branch(&path, &to, &branch, &message).await?;
    if let FormatArg::Json = args.format.format {
        let told = serde_json::json!({ "subject": subject, "to": to, "branch": branch, "commit": commit });
        out!("{told:#}\n");
        return Ok(0);
    }
    outln!("{subject} back to {}: commit {} on branch {branch}", to.short(), commit.short());
    outln!("Nothing is changed until that branch is merged.");
    if world.permission.mode == Mode::Signed {
        outln!(
            "That commit is not signed, and every commit must be (F1): `git commit --amend --no-edit -S` on the branch."
        );
    }
    Ok(0)
}

fn folder(app: &AppName) -> String {
    format!("apps/{app}")
}

async fn before_last_change(
    world: &crate::control::World,
    app: &AppName,
) -> anyhow::Result<crate::model::names::Revision> {
    let log = world.repository.log(&folder(app), 2).await?;
    match log.as_slice() {
        [_, before] => Ok(before.revision.clone()),
        [_] | [] => bail!("{app} has only one version: there is nothing to go back to"),
        [..] => bail!("the repository told more versions than it was asked for"),
    }
}
