//! `trueup doctor`: what works, what does not, and what to do.

mod files;
mod machine;
mod outward;
mod reach;

use std::path::Path;

use crate::model::settings::Settings;

use super::world::{FormatArg, FormatArgs, GlobalArgs, SourceArgs, assemble, settings};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// One thing looked at.
#[derive(Debug, serde::Serialize)]
struct Check {
    what: String,
    verdict: Verdict,
    detail: String,
    /// What to do where it is not well.
    next: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Works,
    Doubtful,
    Broken,
}

fn works(what: &str, detail: impl Into<String>) -> Check {
    Check { what: what.to_owned(), verdict: Verdict::Works, detail: detail.into(), next: None }
}

fn doubtful(what: &str, detail: impl Into<String>, next: &str) -> Check {
    Check {
        what: what.to_owned(),
        verdict: Verdict::Doubtful,
        detail: detail.into(),
        next: Some(next.to_owned()),
    }
}

fn broken(what: &str, detail: impl Into<String>, next: &str) -> Check {
    Check { verdict: Verdict::Broken, ..doubtful(what, detail, next) }
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let mut checks = Vec::new();
    match settings(global, &args.source) {
        Err(error) => checks.push(broken(
            "settings",
            terminal::chain(&error),
            "name the repository with --repo, or mend the settings file",
        )),
        Ok(settings) => examine(&settings, &mut checks).await,
    }
    match args.format.format {
        FormatArg::Json => out!("{}\n", serde_json::to_string_pretty(&checks)?),
        FormatArg::Text | FormatArg::Markdown => {
            print(&checks, matches!(args.format.format, FormatArg::Markdown))
        }
    }
    Ok(if checks.iter().any(|check| check.verdict == Verdict::Broken) { 1 } else { 0 })
}

fn print(checks: &[Check], markdown: bool) {
    for check in checks {
        let mark = match check.verdict {
            Verdict::Works => "ok  ",
            Verdict::Doubtful => "look",
            Verdict::Broken => "BAD ",
        };
        let bullet = if markdown { "- " } else { "" };
        outln!("{bullet}{mark} {}: {}", check.what, check.detail);
        if let Some(next) = &check.next {
            outln!("{}     next: {next}", if markdown { "  " } else { "" });
        }
    }
}

async fn examine(settings: &Settings, checks: &mut Vec<Check>) {
    checks.push(works("settings", format!("installation {}", settings.installation)));
    machine::look(settings, checks);
    let world = match assemble(settings, terminal::progress(true)) {
        Ok(world) => world,
        Err(error) => {
            checks.push(broken(
                "adapters",
                terminal::chain(&error),
                "mend what it names: without it no other command works either",
            ));
            return;
        }
    };
    if let Some(desired) = reach::repository(&world, checks).await {
        let answer = reach::engines(&world, settings, &desired, checks).await;
        reach::registries(&world, &desired, &answer, checks).await;
    }
    files::look(settings, checks);
    outward::look(settings, checks).await;
}

fn on_path(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn writable(what: &str, dir: &Path) -> Check {
    let probe = dir.join(format!(".trueup-doctor-{}", std::process::id()));
    let tried = std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&probe, b"probe"))
        .and_then(|()| std::fs::remove_file(&probe));
    match tried {
        Ok(()) => works(what, format!("{} can be written", dir.display())),
        Err(error) => broken(
            what,
            format!("{} cannot be written: {error}", dir.display()),
            "create it, owned by the user that trueup runs as",
        ),
    }
}
