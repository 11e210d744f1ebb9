//! What an answer may hold: no engine fills trueup's memory (A1, D6).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ports::EngineErrorKind;

use super::super::dial::Connection;
use super::super::error::Below;

/// How much an answer may hold, and whether it is one that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Whole(u64),
    Stream(u64),
}

impl Answer {
    /// `path` has no version in it.
    pub fn to(path: &str) -> Self {
        const MIB: u64 = 1 << 20;
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let mut parts = path.trim_start_matches('/').split('/');
        match (parts.next(), parts.next(), parts.next()) {
            // Watched for ever; a stream that reached its bound is opened again.
            (Some("events"), None, None) => Self::Stream(64 * MIB),
            // A person asked, and reads along.
            (Some("containers"), Some(_), Some("logs")) => Self::Stream(u64::MAX),
            // Lines of progress.
            (Some("images"), Some("create"), None) => Self::Stream(256 * MIB),
            // `files` stops reading before.
            (Some("containers"), Some(_), Some("archive")) => Self::Whole(32 * MIB),
            (Some("containers"), Some("json"), None)
            | (Some("networks" | "volumes" | "services" | "tasks" | "nodes" | "configs"), None, None)
            | (Some("system"), Some("df"), None) => Self::Whole(64 * MIB),
            _ => Self::Whole(8 * MIB),
        }
    }

    pub const fn most(self) -> u64 {
        match self {
            Self::Whole(most) | Self::Stream(most) => most,
        }
    }
}

/// A connection from which no more is read than the budget allows.
pub(super) struct Bounded {
    pub stream: Box<dyn Connection>,
    pub budget: Arc<AtomicU64>,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = (buffer.filled().len() - before) as u64;
        let spent =
            self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(read));
        Poll::Ready(match spent {
            Ok(_) => Ok(()),
            Err(_) => {
                Err(Below::io(EngineErrorKind::Garbage, "the answer is larger than any of an engine's"))
            }
        })
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::super::unversioned;
    use super::*;
    use crate::adapter::docker::API;

    /// A path as bollard gives it, which loses the version, and as it would with one.
    fn asked(path: &str) -> [Answer; 2] {
        [format!("http://engine{path}"), format!("http://engine/v{API}{path}")].map(|uri| {
            let uri = uri.parse().expect("an address");
            Answer::to(unversioned(&uri))
        })
    }

    #[test]
    fn an_answer_is_bounded_by_what_was_asked() {
        for (path, most) in [
            ("/info", 8),
            ("/containers/json?all=true", 64),
            ("/volumes", 64),
            ("/containers/x/archive?path=%2Fetc", 32),
            ("/containers/events/json", 8),
            ("/containers/logs", 8),
            ("/images/create/json", 8),
        ] {
            assert_eq!(asked(path), [Answer::Whole(most << 20); 2], "{path}");
        }
        assert_eq!(asked("/containers/x/logs?follow=true"), [Answer::Stream(u64::MAX); 2]);
        assert_eq!(asked("/images/create?fromImage=a%2Fb&tag=1"), [Answer::Stream(256 << 20); 2]);
        assert_eq!(asked("/events?filters=%7B%7D"), [Answer::Stream(64 << 20); 2]);
    }
}
