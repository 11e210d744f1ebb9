//! The floor: the bare API calls that a look at a fleet needs, made by a client that does nothing else.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

/// Inspects in flight at once to one engine, as trueup has them; lists wait for none of them.
const AT_ONCE: usize = 6;

/// Containers that are attached to networks are tasks too, which are told only to who asks for them.
const ALL_TASKS: &str =
    "/tasks?filters=%7B%22runtime%22%3A%5B%22attachment%22%2C%22container%22%2C%22plugin%22%5D%7D";

/// Lists, and an inspection of each image and of each container that is no task of a Swarm, on every host; services, tasks
/// and nodes from the first. How many calls it were.
pub async fn look(sockets: &[PathBuf]) -> usize {
    let lines: Vec<Lines<'_>> = sockets.iter().map(|socket| Lines::to(socket)).collect();
    let hosts = join_all(lines.iter().map(host));
    let swarm = ["/swarm", "/nodes", "/services", ALL_TASKS, "/networks", "/configs"];
    let swarm = lines[0].all(swarm.map(str::to_owned));
    let (hosts, swarm) = tokio::join!(hosts, swarm);
    hosts.into_iter().sum::<usize>() + swarm
}

/// Nothing waits for what it does not need: containers are inspected as soon as their list is there.
async fn host(lines: &Lines<'_>) -> usize {
    let listed = async {
        let list = lines.ask("/containers/json?all=1").await;
        let containers: Value = serde_json::from_slice(&list).expect("a list");
        let containers = containers.as_array().expect("a list");
        let mut images: Vec<&str> = containers.iter().filter_map(|c| c["ImageID"].as_str()).collect();
        images.sort_unstable();
        images.dedup();
        let images = images.iter().map(|id| format!("/images/{id}/json"));
        // A file that the repository put there (D9): it takes longest.
        let files = containers.iter().filter_map(|c| {
            let path = c["Labels"]["io.trueup.files"].as_str()?;
            Some(format!("/containers/{}/archive?path={path}", c["Id"].as_str()?))
        });
        let inspected = containers.iter().filter(|c| c["Labels"]["com.docker.swarm.task.id"].is_null());
        let inspected = inspected.filter_map(|c| Some(format!("/containers/{}/json", c["Id"].as_str()?)));
        let turns = Semaphore::new(AT_ONCE);
        let asked = files.chain(inspected).chain(images).map(|path| {
            let turns = &turns;
            async move {
                let _turn = turns.acquire().await.expect("a turn");
                lines.ask(&path).await
            }
        });
        1 + join_all(asked).await.len()
    };
    let others = lines.all(["/info", "/networks", "/volumes"].map(str::to_owned));
    let (listed, others) = tokio::join!(listed, others);
    listed + others
}

/// A few connections to one engine, opened when they are needed and kept.
struct Lines<'a> {
    socket: &'a Path,
    idle: Mutex<Vec<SendRequest<Empty<Bytes>>>>,
}

impl<'a> Lines<'a> {
    fn to(socket: &'a Path) -> Self {
        Self { socket, idle: Mutex::default() }
    }

    /// All of them answered: how many.
    async fn all(&self, paths: impl IntoIterator<Item = String>) -> usize {
        let asked = paths.into_iter().map(|path| async move { self.ask(&path).await });
        join_all(asked).await.len()
    }

    async fn ask(&self, path: &str) -> Bytes {
        let idle = self.idle.lock().expect("no panic").pop();
        let mut line = match idle {
            Some(line) => line,
            None => open(self.socket).await,
        };
        // Whether a file is as it was read before, its size and times tell (decision 0018).
        let method = if path.contains("/archive?") { Method::HEAD } else { Method::GET };
        let uri = format!("/v1.41{path}");
        let request = Request::builder().method(method).uri(uri).header("host", "engine").body(Empty::new());
        line.ready().await.expect("an open connection");
        let answer = line.send_request(request.expect("a request")).await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let body = answer.into_body().collect().await.expect("all of it").to_bytes();
        self.idle.lock().expect("no panic").push(line);
        body
    }
}

async fn open(socket: &Path) -> SendRequest<Empty<Bytes>> {
    let stream = UnixStream::connect(socket).await.expect("the engine's socket");
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    sender
}
