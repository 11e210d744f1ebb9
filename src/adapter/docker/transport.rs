//! HTTP/1.1 to one engine: calls wait for a free connection, connections are kept for the next call, and what an answer
//! may hold is bounded, so that no engine can fill trueup's memory (A1, D6).

mod bounds;
mod versions;

use std::collections::VecDeque;
use std::future::{poll_fn, ready};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bollard::errors::Error;
use bollard::{BollardRequest, Docker};
use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

use super::dial::Dial;
use super::{API, LONGEST};
use bounds::{Answer, Bounded};
use versions::{Known, OURS, RAISED, Spoken, Versions, newest, version};

/// A kept connection that was silent for longer is not trusted with a call: the other side may have closed it.
const FRESH: Duration = Duration::from_secs(15);

/// bollard's requests, whose body type it does not name.
type Body = Either<Full<Bytes>, StreamBody<Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>>>;

/// bollard speaking to the engine that `dial` reaches.
pub(super) fn docker(dial: Dial) -> Result<Docker, Error> {
    connect(dial).map(|(docker, _)| docker)
}

/// As [`docker`], and the same connections for what bollard has no words for.
pub(super) fn connect(dial: Dial) -> Result<(Docker, Raw), Error> {
    let line = Arc::new(Line::new(dial));
    let raw = Raw(Arc::clone(&line));
    let send = move |request: BollardRequest| {
        let line = Arc::clone(&line);
        async move {
            let (response, taken) = line.send(request).await?;
            tokio::spawn(taken.give_back());
            Ok(response)
        }
    };
    Ok((Docker::connect_with_custom_transport(send, Some("http://engine"), LONGEST, &API)?, raw))
}

/// Calls whose answers are read here: bollard's types are not what engines of these versions give, or copy what is only looked at.
pub(super) struct Raw(Arc<Line>);

impl Raw {
    /// The answer to a GET of `path`, which has no version in it, such as `system/df`.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, Error> {
        self.ask(Request::get(format!("/{path}")).body(Either::Left(Full::default()))?).await
    }

    /// To be held while an image is pulled.
    pub(super) async fn turn_to_pull(&self) -> Option<SemaphorePermit<'_>> {
        self.0.pulls.acquire().await.ok()
    }

    /// The newest API version that the engine speaks, such as `1.41`; empty where it does not say.
    pub(super) async fn newest(&self) -> Result<String, Error> {
        Ok(self.0.spoken().await?.newest)
    }

    /// Sends JSON; `auth` is for the registry, as Docker's header has it.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &serde_json::Value,
        auth: Option<String>,
    ) -> Result<Bytes, Error> {
        let mut request = Request::post(format!("/{path}")).header(CONTENT_TYPE, "application/json");
        if let Some(auth) = auth {
            request = request.header("X-Registry-Auth", auth);
        }
        let body = Full::new(Bytes::from(serde_json::to_vec(body)?));
        self.ask(request.body(Either::Left(body))?).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Bytes, Error> {
        self.ask(Request::delete(format!("/{path}")).body(Either::Left(Full::default()))?).await
    }

    /// What a GET of `path` goes on telling, once its head was answered.
    pub(super) async fn stream(&self, path: &str) -> Result<Incoming, Error> {
        let request = Request::get(format!("/{path}")).body(Either::Left(Full::default()))?;
        let (response, taken) = Arc::clone(&self.0).send(request).await?;
        if response.status().is_success() {
            tokio::spawn(taken.give_back());
            return Ok(response.into_body());
        }
        let status = response.status();
        Err(refusal(status, &taken.read(response).await?))
    }

    async fn ask(&self, request: Request<Body>) -> Result<Bytes, Error> {
        let (response, taken) = Arc::clone(&self.0).send(request).await?;
        let status = response.status();
        let body = taken.read(response).await?;
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> Error {
    let told = serde_json::from_slice::<Told>(body).map(|told| told.message);
    let message = told.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned());
    Error::DockerResponseServerError { status_code: status.as_u16(), message }
}

/// How an engine says why not.
#[derive(Deserialize)]
struct Told {
    message: String,
}

/// All connections to one engine.
struct Line {
    dial: Dial,
    free: Arc<Semaphore>,
    pulls: Semaphore,
    idle: Mutex<VecDeque<Kept>>,
    known: Mutex<Known>,
    /// Held by the one call that asks for the versions.
    asking: tokio::sync::Mutex<()>,
}

/// An open connection that has no call under way.
struct Kept {
    sender: SendRequest<Body>,
    /// Bytes that may still be read from it.
    budget: Arc<AtomicU64>,
    since: Instant,
    /// What the connection itself ended with; `None` until its first question is on the way.
    end: Option<JoinHandle<hyper::Result<()>>>,
}

/// A connection's own work: it ends with its last sender, or with the answer that nobody reads any more.
type Conversation = Pin<Box<http1::Connection<TokioIo<Bounded>, Body>>>;

/// Lets it go on by itself. What is already to be asked leaves before anything else is begun: the engine is at work on it
/// while the next one is asked.
async fn begin(mut conversation: Conversation) -> JoinHandle<hyper::Result<()>> {
    match poll_fn(|cx| Poll::Ready(conversation.as_mut().poll(cx))).await {
        Poll::Ready(end) => tokio::spawn(ready(end)),
        Poll::Pending => tokio::spawn(conversation),
    }
}

impl Kept {
    /// Why a call on it failed: where the connection broke before, the call was only cancelled.
    async fn why(self, error: hyper::Error) -> hyper::Error {
        let Self { sender, end, budget: _, since: _ } = self;
        drop(sender);
        match error.is_canceled() {
            true => match end {
                Some(end) => end.await.ok().and_then(Result::err).unwrap_or(error),
                None => error,
            },
            false => error,
        }
    }
}

/// A connection whose answer is being read.
struct Taken {
    line: Arc<Line>,
    kept: Kept,
    permit: Option<OwnedSemaphorePermit>,
}

impl Taken {
    /// All of the answer. Its connection is free for the next call by then, which need not open another one.
    async fn read(self, response: Response<Incoming>) -> Result<Bytes, Error> {
        let body = response.into_body().collect().await?.to_bytes();
        self.give_back().await;
        Ok(body)
    }

    /// Keeps the connection once the answer was read to its end.
    async fn give_back(mut self) {
        if self.kept.sender.ready().await.is_ok() {
            self.kept.since = Instant::now();
            lock(&self.line.idle).push_back(self.kept);
        }
        drop(self.permit);
    }
}

impl Line {
    fn new(dial: Dial) -> Self {
        let free = Arc::new(Semaphore::new(dial.at_once()));
        let pulls = Semaphore::new(dial.pulls_at_once());
        Self {
            dial,
            free,
            pulls,
            idle: Mutex::default(),
            known: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    async fn send(self: Arc<Self>, request: Request<Body>) -> Result<(Response<Incoming>, Taken), Error> {
        // What only asks may be asked again: it is asked in our version until the engine says that it has that no more.
        let again = (request.method() == Method::GET).then(|| copy(&request)).transpose()?;
        let known = lock(&self.known).spoken.as_ref().map(|spoken| spoken.minor);
        let minor = match known {
            Some(minor) => minor,
            None if again.is_some() => OURS,
            None => Box::pin(self.spoken()).await?.minor,
        };
        let (response, taken) = self.send_in(request, minor).await?;
        if response.status() != StatusCode::BAD_REQUEST {
            lock(&self.known).learn(minor, response.headers());
            return Ok((response, taken));
        }
        if !lock(&self.known).refused(minor, response.headers()) {
            return Ok((response, taken));
        }
        let Some(again) = again else { return Ok((response, taken)) };
        // Read to its end, so that its connection is free: asking for the versions needs one.
        drop(taken.read(response).await);
        let minor = Box::pin(self.spoken()).await?.minor;
        Box::pin(self.send_in(again, minor)).await
    }

    async fn send_in(
        self: &Arc<Self>,
        request: Request<Body>,
        minor: u32,
    ) -> Result<(Response<Incoming>, Taken), Error> {
        let answer = Answer::to(unversioned(request.uri()));
        Arc::clone(self).exchange(plain(request, minor)?, answer).await
    }

    /// The API version to speak, 1.x: ours, or the oldest that a newer engine still speaks. Calls that begin together ask
    /// once: `GET /version` has the engine run its runtime, which takes longer than most calls.
    async fn spoken(self: &Arc<Self>) -> Result<Spoken, Error> {
        let _one = self.asking.lock().await;
        if let Some(spoken) = lock(&self.known).spoken.clone() {
            return Ok(spoken);
        }
        // What its ping says is not enough for one that refused a call.
        let doubted = lock(&self.known).doubted;
        if !doubted
            && let Some(newest) = self.ping().await?
            && newest < RAISED
        {
            let mut known = lock(&self.known);
            if !known.doubted {
                let spoken = Spoken { minor: OURS, newest: version(newest), sure: false };
                known.spoken = Some(spoken.clone());
                return Ok(spoken);
            }
        }
        let (response, taken) = self.ask_plainly("/version").await?;
        let body = taken.read(response).await?;
        // What is no version here tells nothing; the call itself will say what is wrong.
        let versions = serde_json::from_slice::<Versions>(&body).ok();
        let oldest = versions.as_ref().and_then(Versions::oldest);
        let newest = versions.map(|versions| versions.newest).unwrap_or_default();
        let spoken = Spoken { minor: oldest.map_or(OURS, |minor| minor.max(OURS)), newest, sure: true };
        if oldest.is_some() {
            lock(&self.known).spoken = Some(spoken.clone());
        }
        Ok(spoken)
    }

    /// The newest version that the engine says it speaks, 1.x.
    async fn ping(self: &Arc<Self>) -> Result<Option<u32>, Error> {
        let (response, taken) = self.ask_plainly("/_ping").await?;
        let newest = newest(response.headers());
        taken.read(response).await?;
        Ok(newest)
    }

    /// A path that has no version in it.
    async fn ask_plainly(self: &Arc<Self>, path: &str) -> Result<(Response<Incoming>, Taken), Error> {
        let request = Request::get(path).header(HOST, "engine").body(Either::Left(Full::default()))?;
        Arc::clone(self).exchange(request, Answer::Whole(1 << 20)).await
    }

    async fn exchange(
        self: Arc<Self>,
        mut request: Request<Body>,
        answer: Answer,
    ) -> Result<(Response<Incoming>, Taken), Error> {
        // A stream lives for long: it never takes a call's place.
        let permit = match answer {
            Answer::Stream(_) => None,
            Answer::Whole(_) => Some(Arc::clone(&self.free).acquire_owned().await.map_err(io::Error::other)?),
        };
        let line = Arc::clone(&self);
        let suspicion = Suspicion(&line.idle);
        loop {
            let (mut kept, opened) = match self.take() {
                Some(kept) => (kept, None),
                // Boxed: a handshake takes more room than a call, and most calls need none.
                None => {
                    let (kept, conversation) = Box::pin(self.open()).await?;
                    (kept, Some(conversation))
                }
            };
            let reused = opened.is_none();
            kept.budget.store(answer.most(), Ordering::Relaxed);
            let answered = kept.sender.try_send_request(request);
            if let Some(conversation) = opened {
                kept.end = Some(begin(conversation).await);
            }
            match answered.await {
                Ok(response) => {
                    suspicion.lift();
                    return Ok((response, Taken { line: self, kept, permit }));
                }
                Err(mut failed) => match failed.take_message() {
                    // Closed by the other side meanwhile, and nothing of the request was sent.
                    Some(unsent) if reused => request = unsent,
                    Some(_) | None => return Err(kept.why(failed.into_error()).await.into()),
                },
            }
        }
    }

    async fn open(&self) -> Result<(Kept, Conversation), Error> {
        let budget = Arc::new(AtomicU64::new(0));
        let stream = Bounded { stream: self.dial.open().await?, budget: Arc::clone(&budget) };
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok((Kept { sender, budget, since: Instant::now(), end: None }, Box::pin(connection)))
    }

    fn take(&self) -> Option<Kept> {
        let mut idle = lock(&self.idle);
        idle.retain(|kept| kept.since.elapsed() < FRESH && !kept.sender.is_closed());
        idle.pop_back()
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

/// The same question.
fn copy(request: &Request<Body>) -> Result<Request<Body>, Error> {
    let mut copy = Request::get(request.uri()).body(Either::Left(Full::default()))?;
    copy.headers_mut().clone_from(request.headers());
    Ok(copy)
}

/// What is asked for, as `/containers/json?all=true`. bollard 0.21 loses the version on the way, which an engine takes for its
/// newest; another release may keep it.
fn unversioned(uri: &Uri) -> &str {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let rest = path.strip_prefix("/v").and_then(|rest| rest.strip_prefix(API.to_string().as_str()));
    rest.filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

/// The request as it is written on a connection: a path of the API 1.`minor`, without a host, which goes into its header.
fn plain(mut request: Request<Body>, minor: u32) -> Result<Request<Body>, Error> {
    let path = format!("/v1.{minor}{}", unversioned(request.uri()));
    *request.uri_mut() = path.parse::<Uri>().map_err(io::Error::other)?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("engine"));
    Ok(request)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    #[test]
    fn every_call_has_the_version_that_is_spoken() {
        for (uri, path) in [
            ("http://engine/info", "/v1.44/info"),
            ("/system/df?type=image", "/v1.44/system/df?type=image"),
            ("http://engine/v1.41/volumes", "/v1.44/volumes"),
            ("http://engine/volumes/v1.41", "/v1.44/volumes/v1.41"),
            ("http://engine/v1.41x/y", "/v1.44/v1.41x/y"),
        ] {
            let request = Request::get(uri).body(Either::Left(Full::default())).expect("a request");
            assert_eq!(plain(request, 44).expect("a request").uri().to_string(), path, "{uri}");
        }
    }

    /// Answers `{}` on each connection for as long as it is open, and counts them.
    async fn serve(listener: UnixListener, connections: Arc<AtomicUsize>) {
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                // A question is one piece here.
                while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\n{}";
                    stream.write_all(answer).await.expect("an answer");
                }
            });
        }
    }

    /// Whoever has read an answer has given its connection back: the next call opens none.
    #[tokio::test]
    async fn one_call_after_the_other_goes_over_one_connection() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("engine.sock");
        let connections = Arc::new(AtomicUsize::new(0));
        let listener = UnixListener::bind(&path).expect("a socket");
        tokio::spawn(serve(listener, Arc::clone(&connections)));
        let (_, raw) = connect(Dial::Unix(path.display().to_string())).expect("an engine");
        for _ in 0..20 {
            assert_eq!(raw.get("info").await.expect("an answer"), "{}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1);
        // As many as are asked at once, and no more for those after them.
        for _ in 0..5 {
            let all = futures_util::future::join_all((0..4).map(|_| raw.get("info"))).await;
            assert!(all.iter().all(Result::is_ok), "{all:?}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 4);
    }
}
