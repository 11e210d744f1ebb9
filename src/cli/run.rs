//! `trueup run`: the loop, until it is asked to end.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::apply::Stop;
use crate::control::converge::Converged;
use crate::control::{ControlError, run as control_run};
use crate::output::{self, Tone};

use super::world::{GlobalArgs, SourceArgs, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(false))?;
    let _writer = world.store.become_writer("trueup run")?;
    let stop = stop_on_signals();
    let wake = Arc::new(Notify::new());
    wake_on_hangup(Arc::clone(&wake))?;
    errln!("trueup runs; SIGHUP looks at once, SIGTERM ends after the steps under way");
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
    for (tone, line) in
        output::round(done.last.taken.kept_because.as_deref(), &done.outcomes, &done.last.plan)
    {
        match tone {
            Tone::Info => tracing::info!("{line}"),
            Tone::Warning => tracing::warn!("{line}"),
        }
    }
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
        errln!("ending: steps under way are finished first");
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
