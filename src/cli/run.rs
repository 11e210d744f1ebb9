//! `trueup run`: the loop, until it is asked to end.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::apply::Stop;
use crate::control::converge::Converged;
use crate::control::{ControlError, run as control_run};
use crate::model::plan::Outcome;

use super::world::{GlobalArgs, SourceArgs, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(false))?;
    let _writer = world.store.become_writer(&format!("trueup run, process {}", std::process::id()))?;
    let stop = stop_on_signals();
    let wake = Arc::new(Notify::new());
    wake_on_hangup(Arc::clone(&wake))?;
    eprintln!("trueup runs; SIGHUP looks at once, SIGTERM ends after the steps under way");
    control_run::run(&world, &stop, wake, &tell).await?;
    Ok(0)
}

/// One line a round where there is something to say.
fn tell(round: Result<&Converged, &ControlError>) {
    let done = match round {
        Ok(done) => done,
        Err(error) => {
            tracing::error!("{error}");
            return;
        }
    };
    let (plan, taken) = (&done.last.plan, &done.last.taken);
    if let Some(why) = &taken.kept_because {
        tracing::warn!("the head was not taken, {} stays enforced: {why}", plan.revision.short());
    }
    for (change, outcome) in &done.outcomes {
        match outcome {
            Outcome::Done | Outcome::NotNeeded { .. } => {
                tracing::info!(
                    "{} {}: {}",
                    change.action.name(),
                    change.subject,
                    terminal::in_words(outcome)
                );
            }
            Outcome::Failed { .. } | Outcome::Skipped { .. } => {
                tracing::warn!(
                    "{} {}: {}",
                    change.action.name(),
                    change.subject,
                    terminal::in_words(outcome)
                );
            }
        }
    }
    for unknown in &plan.unknown {
        tracing::warn!("unknown: {}: {}", unknown.subject, unknown.why);
    }
    for blocked in &plan.blocked {
        tracing::warn!("blocked: {}: {} ({})", blocked.subject, blocked.reason, blocked.hint);
    }
    tracing::info!(
        "at {}: {} changed, {} left, {} blocked, {} unknown",
        plan.revision.short(),
        done.outcomes.iter().filter(|(_, o)| matches!(o, Outcome::Done)).count(),
        plan.changes.len(),
        plan.blocked.len(),
        plan.unknown.len()
    );
}

/// SIGTERM and SIGINT: steps under way finish, no more start.
pub fn stop_on_signals() -> Stop {
    let stop = Stop::default();
    let told = stop.clone();
    tokio::spawn(async move {
        let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return;
        };
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        eprintln!("ending: steps under way are finished first");
        told.set();
    });
    stop
}

fn wake_on_hangup(wake: Arc<Notify>) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            wake.notify_one();
        }
    });
    Ok(())
}
