//! `trueup policy`: run the rules' own tests, and say what is on, with what, from where.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;

use crate::adapter::sandbox::ProcessSandbox;
use crate::control::revision::Reader;
use crate::control::rules::{self, Unanswered};
use crate::model::policy::{PolicySettings, Switch};
use crate::policy::{self, Listed, Question, Rule, Source, Tested};

use super::world::{FormatArg, FormatArgs, GlobalArgs, SourceArgs, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run the tests (`test_…` in `*_test.rego`) of a directory of rules; the library's own without one.
    Test {
        /// A directory with Rego files, such as the repository's `policies`.
        directory: Option<PathBuf>,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Say which rules are on, at which level, with which parameters and from where.
    List {
        #[command(flatten)]
        source: SourceArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    match &args.command {
        Command::Test { directory, format } => test(directory.as_deref(), *format).await,
        Command::List { source, format } => list(global, source, *format).await,
    }
}

async fn test(directory: Option<&Path>, format: FormatArgs) -> Exit {
    let sources = match directory {
        Some(directory) => read(directory)?,
        None => policy::library(true),
    };
    let tested = rules::ask(&ProcessSandbox::default(), &Question::Test { sources }).await;
    let results: Vec<Tested> = match tested.map_err(Unanswered::errors) {
        Ok(results) => results,
        Err(errors) => {
            let lines: Vec<String> = errors.iter().map(|error| format!("error: {error}")).collect();
            if matches!(format.format, FormatArg::Json) {
                out!("{:#}\n", json!({ "ok": false, "errors": errors, "tests": [] }));
            } else {
                errln!("{}", lines.join("\n"));
            }
            return Ok(1);
        }
    };
    if results.is_empty() {
        bail!("there is no test here: a test is a rule test_… in a file *_test.rego");
    }
    let failed = results.iter().filter(|result| result.failed.is_some()).count();
    if matches!(format.format, FormatArg::Json) {
        out!("{:#}\n", json!({ "ok": failed == 0, "errors": [], "tests": results }));
    } else {
        results.iter().for_each(tell);
        outln!("{} passed, {failed} failed", results.len() - failed);
    }
    Ok(u8::from(failed > 0))
}

fn tell(result: &Tested) {
    let Tested { name, file, line, failed } = result;
    match failed {
        None => outln!("ok      {name}"),
        Some(why) => outln!("FAILED  {name}\n        {file}:{line}: {why}"),
    }
}

/// The Rego files of a directory, by name.
fn read(directory: &Path) -> anyhow::Result<Vec<Source>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let mut sources = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "rego") {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            sources.push(Source { path: path.display().to_string(), text });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

async fn list(global: &GlobalArgs, source: &SourceArgs, format: FormatArgs) -> Exit {
    let world = world(global, source, terminal::progress(true))?;
    let taken = Reader::default().take(&world, false).await?;
    let question = Question::List { settings: world.policy.clone(), own: taken.baseline.rules.clone() };
    let rules: Listed = rules::ask(&*world.sandbox, &question).await.map_err(|why| {
        anyhow::anyhow!("{}", why.errors().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    let word = |switch: Option<Switch>| match switch {
        Some(Switch::Off) => "off",
        Some(Switch::Advice) => "advice",
        Some(Switch::Overridable) => "overridable",
        Some(Switch::Final) => "final",
        None => "as it says",
    };
    let level = |rule: &Rule| match (word(rule.level(false)), word(rule.level(true))) {
        (usual, production) if usual == production => usual.to_owned(),
        (usual, production) => format!("{usual} ({production})"),
    };
    let judged_by = taken.baseline.applied.rules.as_ref();
    if matches!(format.format, FormatArg::Json) {
        let rules: Vec<_> = rules
            .iter()
            .map(|rule| json!({ "rule": rule.name, "level": word(rule.level(false)), "production": word(rule.level(true)), "from": origin(rule.own), "file": rule.file, "says": rule.says }))
            .collect();
        let all = json!({ "revision": judged_by, "rules": rules, "parameters": policy::parameters(&world.policy)["parameters"], "freeze": freezes(&world.policy) });
        out!("{all:#}\n");
        return Ok(0);
    }
    for rule in &rules {
        outln!("{:<22} {:<22} {:<10} {}", rule.name, level(rule), origin(rule.own), rule.says);
    }
    let parameters = policy::parameters(&world.policy);
    for (name, value) in parameters["parameters"].as_object().into_iter().flatten() {
        outln!("parameter {name} = {value}");
    }
    for freeze in freezes(&world.policy) {
        outln!("freeze {freeze}");
    }
    match judged_by {
        Some(revision) => outln!("the repository's rules are those of {}", revision.short()),
        None => outln!("nothing was applied yet: the library alone judges the first revision"),
    }
    Ok(0)
}

const fn origin(own: bool) -> &'static str {
    if own { "repository" } else { "library" }
}

fn freezes(settings: &PolicySettings) -> Vec<String> {
    let one = |window: &crate::model::policy::Window| format!("{}: {}", window.name, window.says());
    settings.freeze.iter().map(one).collect()
}
