//! `trueup restart APP`: its instances start anew, as few at a time as its update strategy allows.

use anyhow::bail;

use crate::control::converge::{Scope, converge};
use crate::control::memory::Memory;
use crate::control::pass;
use crate::control::revision::{Purpose, Reader};
use crate::control::run::report_unsettled;
use crate::model::exit::Found;
use crate::model::plan::Outcome;
use crate::output;

use super::world::{FormatArgs, GlobalArgs, SourceArgs, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// The app, with --env, or in one word as in quote-prod.
    app: String,
    /// Only leave the request; the `trueup run` that holds the fleet carries it out.
    #[arg(long)]
    request: bool,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(false))?;
    let reader = Reader::default();
    let taken = reader.take_for(&world, Purpose::Act).await?;
    let keys: Vec<_> = super::pause::targets(Some(&args.app), &args.source)?.into_iter().flatten().collect();
    for key in &keys {
        let Some(app) = taken.desired.apps.get(key) else {
            bail!("{} declares no app {key}", taken.desired.revision.short());
        };
        if app.is_job() {
            bail!(
                "{key} is a job: Swarm runs it once for each change of its app.toml, and there is nothing to restart"
            );
        }
    }
    let memory = Memory::new(&*world.store);
    let now = world.clock.now();
    let writer = match args.request {
        true => None,
        false => Some(world.store.become_writer("trueup restart")?),
    };
    if writer.is_some() {
        report_unsettled(&world)?;
    }
    for key in &keys {
        memory.request_restart(key, now)?;
        memory.remember(now, Some(&taken.desired.revision), "restart", &key.to_string(), "asked for")?;
    }
    if writer.is_none() {
        outln!("requested; `trueup run` restarts {} at its next look", args.app);
        return Ok(0);
    }
    let stop = super::run::stop_on_signals();
    let agree = |_: &pass::Pass| true;
    let scope = Scope::of_a_person(&agree, &stop);
    let done = converge(&world, &reader, &scope).await?;
    let own: Vec<_> = done
        .outcomes
        .iter()
        .filter(|(change, _)| change.app.as_ref().is_some_and(|app| keys.contains(app)))
        .cloned()
        .collect();
    out!("{}", output::outcomes(&own, &done.last.plan, args.format.format(), terminal::colour()));
    let failed = own.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed { .. }));
    let plan = &done.last.plan;
    let waits = plan.drift.iter().any(|drift| drift.app.as_ref().is_some_and(|app| keys.contains(app)));
    // Paused, blocked, asked to end, or on a host that could not be asked: not everything was restarted.
    Ok(Found { error: failed, unclear: waits || !plan.unknown.is_empty(), changes: false }.exit_code())
}
