//! HTTP/1.1 to one engine: calls wait for a free connection, connections are kept for the next call, and what an answer
//! may hold is bounded, so that no engine can fill trueup's memory (A1, D6).

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bollard::errors::Error;
use bollard::{BollardRequest, Docker};
use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::ports::EngineErrorKind;

use super::dial::{Connection, Dial};
use super::error::Below;
use super::{API, LONGEST};

/// A kept connection that was silent for longer is not trusted with a call: the other side may have closed it.
const FRESH: Duration = Duration::from_secs(15);

/// The API version that trueup is made for: 1.41.
#[allow(clippy::cast_possible_truncation, reason = "a small constant")]
const OURS: u32 = API.minor_version as u32;

/// bollard's requests, whose body type it does not name.
type Body = Either<Full<Bytes>, StreamBody<Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>>>;

/// bollard speaking to the engine that `dial` reaches.
pub(super) fn docker(dial: Dial) -> Result<Docker, Error> {
    let line = Arc::new(Line::new(dial));
    let send = move |request: BollardRequest| Arc::clone(&line).send(request);
    Docker::connect_with_custom_transport(send, Some("http://engine"), LONGEST, &API)
}

/// All connections to one engine.
struct Line {
    dial: Dial,
    free: Arc<Semaphore>,
    idle: Mutex<VecDeque<Kept>>,
    /// The API version this engine is spoken to with, once it is known.
    minor: Mutex<Option<u32>>,
}

/// An open connection that has no call under way.
struct Kept {
    sender: SendRequest<Body>,
    /// Bytes that may still be read from it.
    budget: Arc<AtomicU64>,
    since: Instant,
    /// What the connection itself ended with.
    end: JoinHandle<hyper::Result<()>>,
}

impl Kept {
    /// Why a call on it failed: where the connection broke before, the call was only cancelled.
    async fn why(self, error: hyper::Error) -> hyper::Error {
        let Self { sender, end, budget: _, since: _ } = self;
        drop(sender);
        match error.is_canceled() {
            true => end.await.ok().and_then(Result::err).unwrap_or(error),
            false => error,
        }
    }
}

impl Line {
    fn new(dial: Dial) -> Self {
        let free = Arc::new(Semaphore::new(dial.at_once()));
        Self { dial, free, idle: Mutex::default(), minor: Mutex::default() }
    }

    async fn send(self: Arc<Self>, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        let answer = Answer::to(request.uri().path());
        let request = plain(request, self.minor().await?)?;
        let response = Arc::clone(&self).exchange(request, answer).await?;
        if response.status() == StatusCode::BAD_REQUEST {
            // It may be another engine by now, with another oldest version.
            *lock(&self.minor) = None;
        }
        Ok(response)
    }

    /// The API version to speak, 1.x: ours, or the oldest that a newer engine still speaks. Calls that begin together
    /// ask together: one that hangs is not to hold up another.
    async fn minor(self: &Arc<Self>) -> Result<u32, Error> {
        let known = *lock(&self.minor);
        if let Some(minor) = known {
            return Ok(minor);
        }
        let request = Request::get("/version").header(HOST, "engine").body(Either::Left(Full::default()))?;
        let response = Arc::clone(self).exchange(request, Answer::Whole(1 << 20)).await?;
        let body = response.into_body().collect().await?.to_bytes();
        // What is no version here tells nothing; the call itself will say what is wrong.
        let oldest = serde_json::from_slice::<Versions>(&body).ok().and_then(|versions| versions.oldest());
        let minor = oldest.map(|minor| minor.max(OURS));
        *lock(&self.minor) = minor;
        Ok(minor.unwrap_or(OURS))
    }

    async fn exchange(
        self: Arc<Self>,
        mut request: Request<Body>,
        answer: Answer,
    ) -> Result<Response<Incoming>, Error> {
        // A stream lives for long: it never takes a call's place.
        let permit = match answer {
            Answer::Stream(_) => None,
            Answer::Whole(_) => Some(Arc::clone(&self.free).acquire_owned().await.map_err(io::Error::other)?),
        };
        let suspicion = Suspicion(&self.idle);
        loop {
            let (mut kept, reused) = match self.take() {
                Some(kept) => (kept, true),
                None => (self.open().await?, false),
            };
            kept.budget.store(answer.most(), Ordering::Relaxed);
            match kept.sender.try_send_request(request).await {
                Ok(response) => {
                    suspicion.lift();
                    tokio::spawn(Arc::clone(&self).keep(kept, permit));
                    return Ok(response);
                }
                Err(mut failed) => match failed.take_message() {
                    // Closed by the other side meanwhile, and nothing of the request was sent.
                    Some(unsent) if reused => request = unsent,
                    Some(_) | None => return Err(kept.why(failed.into_error()).await.into()),
                },
            }
        }
    }

    async fn open(&self) -> Result<Kept, Error> {
        let budget = Arc::new(AtomicU64::new(0));
        let stream = Bounded { stream: self.dial.open().await?, budget: Arc::clone(&budget) };
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with its last sender, or with the answer that nobody reads any more.
        let end = tokio::spawn(connection);
        Ok(Kept { sender, budget, since: Instant::now(), end })
    }

    fn take(&self) -> Option<Kept> {
        let mut idle = lock(&self.idle);
        idle.retain(|kept| kept.since.elapsed() < FRESH && !kept.sender.is_closed());
        idle.pop_back()
    }

    /// Keeps the connection once the answer was read to its end.
    async fn keep(self: Arc<Self>, mut kept: Kept, permit: Option<OwnedSemaphorePermit>) {
        if kept.sender.ready().await.is_ok() {
            kept.since = Instant::now();
            lock(&self.idle).push_back(kept);
        }
        drop(permit);
    }
}

/// A call that failed or was given up makes the kept connections suspect: they may lead to the same silence.
struct Suspicion<'a>(&'a Mutex<VecDeque<Kept>>);

impl Suspicion<'_> {
    fn lift(self) {
        std::mem::forget(self);
    }
}

impl Drop for Suspicion<'_> {
    fn drop(&mut self) {
        lock(self.0).clear();
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The part of `GET /version` that says what an engine understands.
#[derive(Deserialize)]
struct Versions {
    #[serde(rename = "MinAPIVersion")]
    oldest: String,
}

impl Versions {
    fn oldest(&self) -> Option<u32> {
        self.oldest.strip_prefix("1.")?.parse().ok()
    }
}

/// The request as it is written on a connection: a path of the API 1.`minor`, without a host, which goes into its header.
fn plain(mut request: Request<Body>, minor: u32) -> Result<Request<Body>, Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = match path.strip_prefix(&format!("/v{API}/")) {
        Some(rest) => format!("/v1.{minor}/{rest}"),
        None => path.to_owned(),
    };
    *request.uri_mut() = path.parse::<Uri>().map_err(io::Error::other)?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("engine"));
    Ok(request)
}

/// How much an answer may hold, and whether it is one that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Whole(u64),
    Stream(u64),
}

impl Answer {
    fn to(path: &str) -> Self {
        const MIB: u64 = 1 << 20;
        let mut parts = path.trim_start_matches('/').split('/').skip(1);
        match (parts.next(), parts.next(), parts.next()) {
            // Watched for ever; a stream that reached its bound is opened again.
            (Some("events"), None, None) => Self::Stream(64 * MIB),
            // A person asked, and reads along.
            (Some("containers"), Some(_), Some("logs")) => Self::Stream(u64::MAX),
            // Lines of progress.
            (Some("images"), Some("create"), None) => Self::Stream(256 * MIB),
            // `files` stops reading before.
            (Some("containers"), Some(_), Some("archive")) => Self::Whole(32 * MIB),
            (Some("containers"), Some("json"), None) | (Some("networks" | "volumes"), None, None) => {
                Self::Whole(64 * MIB)
            }
            _ => Self::Whole(8 * MIB),
        }
    }

    const fn most(self) -> u64 {
        match self {
            Self::Whole(most) | Self::Stream(most) => most,
        }
    }
}

/// A connection from which no more is read than the budget allows.
struct Bounded {
    stream: Box<dyn Connection>,
    budget: Arc<AtomicU64>,
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
    use super::*;

    #[test]
    fn an_answer_is_bounded_by_what_was_asked() {
        let whole = |path: &str| matches!(Answer::to(path), Answer::Whole(most) if most <= 64 << 20);
        for path in [
            "/v1.41/info",
            "/v1.41/containers/json",
            "/v1.41/containers/events/json",
            "/v1.41/containers/logs",
        ] {
            assert!(whole(path), "{path}");
        }
        assert_eq!(Answer::to("/v1.41/containers/x/logs"), Answer::Stream(u64::MAX));
        assert!(matches!(Answer::to("/v1.41/events"), Answer::Stream(_)));
    }
}
