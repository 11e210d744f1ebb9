//! Waking up: by file events for local repositories, by a jittered poll for remote ones.

use std::path::Path;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// A commit writes several files; they are waited for together.
const SETTLE: Duration = Duration::from_millis(50);

/// The poll interval, give or take a tenth: many reconcilers do not ask at the same moment.
pub(super) async fn poll(interval: Duration) {
    let tenth = interval.as_secs_f64() / 10.0;
    let jitter = tenth * (fastrand::f64() * 2.0 - 1.0);
    tokio::time::sleep(Duration::from_secs_f64((interval.as_secs_f64() + jitter).max(0.1))).await;
}

/// Returns when a reference of the repository moved, and at the poll interval at the latest.
pub(super) async fn local(path: &Path, interval: Duration) {
    let (tell, mut told) = mpsc::channel::<()>(1);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is an event too; only what can move a reference counts.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = tell.try_send(());
        }
    });
    let Ok(mut watcher) = watcher else { return poll(interval).await };
    let git = if path.join(".git").is_dir() { path.join(".git") } else { path.to_owned() };
    let watching = watcher
        .watch(&git, RecursiveMode::NonRecursive)
        .and_then(|()| watcher.watch(&git.join("refs"), RecursiveMode::Recursive));
    if watching.is_err() {
        return poll(interval).await;
    }
    tokio::select! {
        _ = told.recv() => tokio::time::sleep(SETTLE).await,
        () = poll(interval) => {}
    }
}
