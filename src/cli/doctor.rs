//! `trueup doctor`: what works, what does not, and what to do.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::{self, ParseCache};
use crate::control::World;
use crate::model::desired::Desired;
use crate::model::host::EngineAddress;
use crate::model::names::HostName;
use crate::model::settings::{FileSetSettings, Settings};
use crate::ports::Clock as _;

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
        FormatArg::Json => println!("{}", serde_json::to_string_pretty(&checks)?),
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
        println!("{bullet}{mark} {}: {}", check.what, check.detail);
        if let Some(next) = &check.next {
            println!("{}     next: {next}", if markdown { "  " } else { "" });
        }
    }
}

async fn examine(settings: &Settings, checks: &mut Vec<Check>) {
    checks.push(works("settings", format!("installation {}", settings.installation)));
    checks.push(writable("state directory", &settings.state_dir));
    checks.push(clock());
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
    if let Some(desired) = repository(&world, checks).await {
        let answer = engines(&world, settings, &desired, checks).await;
        registries(&world, &desired, &answer, checks).await;
    }
    for (name, files) in [("nginx files", &settings.nginx), ("flume files", &settings.flume)] {
        generated(name, files.as_ref(), checks);
    }
}

/// The clock orders journals and reports; one that is plainly wrong makes both useless.
fn clock() -> Check {
    const RELEASED: i64 = 1_760_000_000_000;
    let now = crate::adapter::clock::SystemClock.now();
    if now.0 > RELEASED {
        works("clock", now.to_string())
    } else {
        broken("clock", format!("it says {now}, which is before this release"), "set the clock, or start NTP")
    }
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

async fn repository(world: &World, checks: &mut Vec<Check>) -> Option<Desired> {
    let read = async {
        let head = world.repository.head().await?;
        world.repository.tree(&head).await
    };
    let tree = match read.await {
        Ok(tree) => tree,
        Err(error) => {
            checks.push(broken(
                "repository",
                error.to_string(),
                "check the address and the credentials in the settings; the last good revision stays enforced",
            ));
            return None;
        }
    };
    match config::load(&tree, &mut ParseCache::default()) {
        Ok(desired) => {
            checks.push(works(
                "repository",
                format!("{} ({}): {} apps", tree.revision.short(), tree.summary, desired.apps.len()),
            ));
            Some(desired)
        }
        Err(errors) => {
            checks.push(broken(
                "repository",
                format!("{} has errors:\n{errors}", tree.revision.short()),
                "mend them and commit; the last good revision stays enforced",
            ));
            None
        }
    }
}

/// Which hosts answer.
async fn engines(
    world: &World,
    settings: &Settings,
    desired: &Desired,
    checks: &mut Vec<Check>,
) -> BTreeSet<HostName> {
    let mut answer = BTreeSet::new();
    for host in desired.hosts.values() {
        let what = format!("engine of {}", host.name);
        let survey = match world.engines.engine(host) {
            Ok(engine) => engine.survey(&Default::default()).await,
            Err(error) => Err(error),
        };
        match survey {
            Ok(engine) => {
                answer.insert(host.name.clone());
                checks.push(works(
                    &what,
                    format!(
                        "Docker {} (API {}) at {}: {} containers",
                        engine.info.version,
                        engine.info.api_version,
                        host.engine,
                        engine.containers.len()
                    ),
                ));
            }
            Err(error) => checks.push(broken(
                &what,
                error.to_string(),
                "is the engine running, the address right, and the socket or certificate readable for this user?",
            )),
        }
        if matches!(host.engine, EngineAddress::Tcp { .. }) && settings.engines.identity(&host.name).is_none()
        {
            checks.push(doubtful(
                &what,
                "plain TCP: whoever reaches the port owns the host",
                "name a client certificate under [engines.tls] in the settings (G3)",
            ));
        }
    }
    if desired.hosts.len() == 2 {
        checks.push(doubtful(
            "fleet",
            "two hosts never have a majority",
            "with one host silent nothing is moved by itself: add a third, or plan on a person (C2)",
        ));
    }
    answer
}

/// Registries are asked for one tag each: what cannot be resolved cannot be deployed.
async fn registries(world: &World, desired: &Desired, answer: &BTreeSet<HostName>, checks: &mut Vec<Check>) {
    match crate::control::images::lock(world, desired, answer, false).await {
        Err(error) => checks.push(broken("registry", error.to_string(), "mend the state file")),
        Ok(lock) => {
            for (image, why) in &lock.unresolved {
                checks.push(broken(
                    "registry",
                    format!("{image}: {why}"),
                    "is the registry up, the name right, and are its credentials in Docker's config.json?",
                ));
            }
            if lock.unresolved.is_empty() {
                checks.push(works("registry", format!("{} tags resolved", lock.digests.len())));
            }
        }
    }
}

fn generated(what: &str, files: Option<&FileSetSettings>, checks: &mut Vec<Check>) {
    let Some(files) = files else {
        checks.push(doubtful(what, "not configured: none are written", "name a directory in the settings"));
        return;
    };
    checks.push(writable(what, &files.directory));
    if let Some(program) = files.check.first()
        && !on_path(program)
    {
        checks.push(broken(
            what,
            format!("the check command {program:?} is not found"),
            "install it, or correct `check` in the settings: unchecked files are never installed",
        ));
    }
}

fn on_path(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
