//! Waking up: by file events for local repositories, by a jittered poll for remote ones.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// A commit writes several files; they are waited for together.
const SETTLE: Duration = Duration::from_millis(50);

/// The poll interval, give or take a tenth: many reconcilers do not ask at the same moment.
pub(super) fn jittered(interval: Duration) -> Duration {
    let tenth = interval.as_secs_f64() / 10.0;
    let jitter = tenth * (fastrand::f64() * 2.0 - 1.0);
    Duration::from_secs_f64((interval.as_secs_f64() + jitter).max(0.1))
}

/// File events of one local repository. Between two waits it goes on listening: what happens then is not missed.
pub(super) struct Events {
    _watcher: RecommendedWatcher,
    happened: Arc<Notify>,
}

impl Events {
    /// `None` where the system has no watches left: then only the poll wakes.
    pub(super) fn of(path: &std::path::Path) -> Option<Self> {
        let repository = git2::Repository::open(path).ok()?;
        let happened = Arc::new(Notify::new());
        let tell = Arc::clone(&happened);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is an event too; only what can move a reference counts.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                tell.notify_one();
            }
        })
        .ok()?;
        // A linked worktree has its HEAD in one place and the branches in another.
        let (own, common): (PathBuf, PathBuf) = (repository.path().into(), repository.commondir().into());
        watcher.watch(&own, RecursiveMode::NonRecursive).ok()?;
        if common != own {
            watcher.watch(&common, RecursiveMode::NonRecursive).ok()?;
        }
        watcher.watch(&common.join("refs"), RecursiveMode::Recursive).ok()?;
        Some(Self { _watcher: watcher, happened })
    }

    pub(super) fn happened(&self) -> Arc<Notify> {
        Arc::clone(&self.happened)
    }
}

/// Returns when something was written, also if it was written before this call and since the last.
pub(super) async fn settled(happened: &Notify) {
    happened.notified().await;
    tokio::time::sleep(SETTLE).await;
}
