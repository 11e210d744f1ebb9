//! `trueup run`: the loop, until it is asked to end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::adapter::graphite::Graphite;
use crate::adapter::reports::ReportsOut;
use crate::apply::Stop;
use crate::control::World;
use crate::control::converge::Converged;
use crate::control::metrics::Metrics;
use crate::control::reporting::Reporting;
use crate::control::{ControlError, run as control_run};
use crate::http::{self, Pages};
use crate::model::settings::MetricsSettings;
use crate::model::units::Timestamp;
use crate::output::{self, Telling, Tone};

use super::world::{GlobalArgs, SourceArgs, settings, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(false))?;
    let settings = settings(global, &args.source)?;
    let reporting = Reporting::new(settings.reports, Arc::new(ReportsOut));
    let _writer = world.store.become_writer("trueup run")?;
    let stop = stop_on_signals();
    let wake = Arc::new(Notify::new());
    wake_on_hangup(Arc::clone(&wake))?;
    errln!("trueup runs; SIGHUP looks at once, SIGTERM ends after the steps under way");
    let metrics = Arc::new(Mutex::new(Metrics::default()));
    publish(&settings.metrics, &world, &metrics).await?;
    let telling = Mutex::new(Telling::default());
    let told = |round: Result<&Converged, &ControlError>| tell(&telling, round, world.clock.now());
    control_run::run(&world, &stop, wake, &reporting, &metrics, &told).await?;
    Ok(0)
}

/// Serves and sends the numbers, where the settings say so.
async fn publish(
    settings: &MetricsSettings,
    world: &World,
    metrics: &Arc<Mutex<Metrics>>,
) -> anyhow::Result<()> {
    if let Some(address) = settings.listen {
        // Three looks that did not come about, and the longest round of a fleet that is well.
        let patience = world.limits.relist.duration() * 3 + Duration::from_secs(600);
        let pages = Pages { metrics: Arc::clone(metrics), clock: Arc::clone(&world.clock), patience };
        if !address.ip().is_loopback() {
            tracing::warn!(
                "metrics are served at {address}, which is not loopback: whoever reaches it reads the names of hosts and \
                 apps (G2)"
            );
        }
        http::serve(address, pages).await.with_context(|| format!("serving metrics at {address}"))?;
    }
    if let Some(graphite) = settings.graphite.clone() {
        let (metrics, clock) = (Arc::clone(metrics), Arc::clone(&world.clock));
        tokio::spawn(async move {
            let mut carbon = Graphite::new(graphite.address.clone());
            loop {
                clock.sleep(graphite.every.duration()).await;
                let all = metrics.lock().unwrap_or_else(PoisonError::into_inner).all(clock.now());
                let lines = output::graphite(&all, &graphite.prefix, clock.now());
                if let Err(error) = carbon.send(&lines).await {
                    tracing::warn!("{error}");
                }
            }
        });
    }
    Ok(())
}

/// A round in the log, where there is something new to say.
fn tell(telling: &Mutex<Telling>, round: Result<&Converged, &ControlError>, now: Timestamp) {
    let mut telling = telling.lock().unwrap_or_else(PoisonError::into_inner);
    let done = match round {
        Ok(done) => done,
        Err(error) => {
            if let Some(line) = telling.error(&error.to_string(), now) {
                tracing::error!("{line}");
            }
            return;
        }
    };
    let because = done.last.taken.kept_because.as_deref();
    for (tone, line) in telling.round(because, &done.outcomes, &done.last.plan, now) {
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
