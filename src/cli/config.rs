//! `trueup config check` and `trueup config show`: all errors at once, and where each value comes from.

use crate::config;
use crate::config::ParseCache;
use crate::control::{World, rules};
use crate::model::names::{AppName, EnvironmentName};
use crate::model::settings::Reference;
use crate::model::tree::Tree;
use crate::output;
use crate::policy::{self, Question, RuleError};

use super::world::{FormatArg, FormatArgs, GlobalArgs, SourceArgs, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Check a commit of the config repository; all errors at once.
    Check {
        #[command(flatten)]
        source: SourceArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show an app as it is in an environment: base, overlay and defaults together.
    Show {
        #[command(flatten)]
        source: SourceArgs,
        /// The app; its environment is named with --env.
        app: AppName,
        /// Say which file and line each value comes from.
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        format: FormatArgs,
    },
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    match &args.command {
        Command::Check { source, format } => check(global, source, *format).await,
        Command::Show { source, app, origin, format } => show(global, source, app, *origin, *format).await,
    }
}

/// The tree of the wanted commit, whether or not it is good.
async fn tree(world: &World, source: &SourceArgs) -> anyhow::Result<Tree> {
    let revision = match &source.rev {
        Some(rev) => world.repository.resolve(&Reference::Commit(rev.clone())).await?,
        None => world.repository.head().await?,
    };
    Ok(world.repository.tree(&revision).await?)
}

async fn check(global: &GlobalArgs, source: &SourceArgs, format: FormatArgs) -> Exit {
    let world = world(global, source, terminal::progress(true))?;
    let tree = tree(&world, source).await?;
    let json = matches!(format.format, FormatArg::Json);
    let rules = wrong_rules(&world, &tree).await;
    if !rules.is_empty() {
        // The files are looked at all the same: all errors at once (A3).
        let files = config::load(&tree, &mut ParseCache::default()).err().unwrap_or_default();
        return Ok(tell_rules(&tree, &rules, &files, json));
    }
    match config::load(&tree, &mut ParseCache::default()) {
        Ok(desired) if json => {
            out!("{}\n", serde_json::json!({ "revision": desired.revision, "ok": true, "errors": [] }));
            Ok(0)
        }
        Ok(desired) => {
            outln!(
                "{} is good: {}, {}, {}",
                desired.revision.short(),
                output::many(desired.apps.len(), "app"),
                output::many(desired.hosts.len(), "host"),
                output::many(desired.networks.len(), "network")
            );
            Ok(0)
        }
        Err(errors) if json => {
            out!(
                "{}\n",
                serde_json::json!({ "revision": tree.revision, "ok": false, "errors": errors.diagnostics() })
            );
            Ok(1)
        }
        Err(errors) => {
            err!("{}\n", errors.render(terminal::colour()));
            Ok(1)
        }
    }
}

/// Everything that is wrong with the tree's own rules, their tests included.
async fn wrong_rules(world: &World, tree: &Tree) -> Vec<RuleError> {
    let own = match policy::sources(tree) {
        Ok(own) => own,
        Err(errors) => return errors,
    };
    let checked: Result<(), _> = rules::ask(&*world.sandbox, &Question::Check { own }).await;
    checked.err().map(rules::Unanswered::errors).unwrap_or_default()
}

/// Errors of rules, and with them those of the other files.
fn tell_rules(tree: &Tree, rules: &[RuleError], files: &config::Errors, json: bool) -> u8 {
    if json {
        let errors = files.diagnostics().iter().map(|error| serde_json::json!(error));
        let all: Vec<_> = errors.chain(rules.iter().map(|error| serde_json::json!(error))).collect();
        out!("{}\n", serde_json::json!({ "revision": tree.revision, "ok": false, "errors": all }));
        return 1;
    }
    if !files.is_empty() {
        err!("{}\n", files.render(terminal::colour()));
    }
    rules.iter().for_each(|error| errln!("error: {error}"));
    1
}

async fn show(
    global: &GlobalArgs,
    source: &SourceArgs,
    app: &AppName,
    origin: bool,
    format: FormatArgs,
) -> Exit {
    let world = world(global, source, terminal::progress(true))?;
    let tree = tree(&world, source).await?;
    let environments: Vec<&EnvironmentName> = source.env.iter().collect();
    let [environment] = environments.as_slice() else {
        anyhow::bail!("name one environment with --env");
    };
    let lines = config::show(&tree, app, environment).map_err(|errors| anyhow::anyhow!("{errors}"))?;
    match format.format {
        FormatArg::Text => print_lines(&lines, origin),
        FormatArg::Json => out!("{}\n", serde_json::to_string_pretty(&lines)?),
        FormatArg::Markdown => {
            let row =
                |line: &config::OriginLine| [line.path.clone(), line.value.clone(), line.origin.clone()];
            let rows: Vec<_> = lines.iter().map(row).collect();
            out!("{}", output::table(["key", "value", "from"], &rows));
        }
    }
    Ok(0)
}

fn print_lines(lines: &[config::OriginLine], origin: bool) {
    let width = lines.iter().map(|line| line.path.len() + line.value.len() + 3).max().unwrap_or(0);
    for line in lines {
        let value = format!("{} = {}", line.path, line.value);
        if origin {
            outln!("{value:width$}  # {}", line.origin);
        } else {
            outln!("{value}");
        }
    }
}
