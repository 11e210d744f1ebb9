//! Asking a remote beside everything else: at every poll interval, and sooner where a person wants it. Whoever looks at the
//! fleet waits for none of it (D6).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::ports::SourceError;

use super::GitRepository;
use super::watch::jittered;

/// How long the first answer of a remote is waited for. Until it comes, the remote counts as out of reach (A2).
const FIRST: Duration = Duration::from_secs(5);

/// What is known of asking the remote.
#[derive(Default)]
pub(super) struct Poll {
    asked: watch::Sender<Asked>,
    hurry: Notify,
}

#[derive(Default)]
struct Asked {
    /// When it was begun last.
    began: Option<Instant>,
    under_way: bool,
    /// What came of it last.
    told: Option<Result<(), SourceError>>,
}

impl Poll {
    /// `None`: no answer came yet.
    fn told(&self) -> Option<Result<(), SourceError>> {
        self.asked.borrow().told.clone()
    }

    /// Whoever polls asks at once.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }
}

impl GitRepository {
    /// Begins to ask the remote, unless that is under way.
    fn ask(&self) {
        let begun = self.inner.poll.asked.send_if_modified(|asked| {
            let free = !asked.under_way;
            if free {
                (asked.under_way, asked.began) = (true, Some(Instant::now()));
            }
            free
        });
        if begun {
            let repository = Self { inner: Arc::clone(&self.inner) };
            tokio::spawn(async move {
                let told = repository.fetched().await;
                repository.inner.poll.asked.send_modify(|asked| {
                    (asked.under_way, asked.told) = (false, Some(told));
                });
            });
        }
    }

    /// What came of asking the remote last.
    pub(super) async fn asked(&self) -> Result<(), SourceError> {
        if self.inner.poll.told().is_none() {
            self.ask();
            let mut asked = self.inner.poll.asked.subscribe();
            // Its end is looked at below.
            let _ = tokio::time::timeout(FIRST, asked.wait_for(|asked| asked.told.is_some())).await;
        }
        self.inner.poll.told().unwrap_or_else(|| {
            Err(SourceError::Unreachable {
                url: self.inner.shown.clone(),
                detail: "it was asked and has not answered yet".to_owned(),
            })
        })
    }

    /// Returns when asking told something else than was told last.
    pub(super) async fn remote_change(&self) {
        loop {
            if self.differs().await {
                return;
            }
            let mut asked = self.inner.poll.asked.subscribe();
            let (under_way, began) = {
                let asked = asked.borrow();
                (asked.under_way, asked.began)
            };
            if !under_way {
                let due = began.map(|began| began + jittered(self.inner.settings.poll.duration()));
                tokio::select! {
                    () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)) => {}
                    () = self.inner.poll.hurry.notified() => {}
                }
                self.ask();
            }
            // The sender lives as long as the repository.
            let _ = asked.wait_for(|asked| !asked.under_way).await;
        }
    }

    async fn differs(&self) -> bool {
        let known = match self.inner.poll.told() {
            Some(Ok(())) => self.current().await.ok(),
            Some(Err(_)) => None,
            None => return false,
        };
        super::lock(&self.inner.told).as_ref().is_some_and(|told| *told != known)
    }
}
