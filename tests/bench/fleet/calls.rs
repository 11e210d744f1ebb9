//! The floor: the bare API calls that a look at a fleet needs, made by a client that does nothing else.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Connections to one engine: as many as trueup has.
const CONNECTIONS: usize = 6;

/// Lists, and an inspection of each image and of each container that is no task of a Swarm, on every host; services, tasks
/// and nodes from the first. How many calls it were.
pub async fn look(sockets: &[PathBuf]) -> usize {
    let hosts = sockets.iter().map(|socket| host(socket));
    let swarm =
        many(&sockets[0], ["/swarm", "/nodes", "/services", "/tasks", "/configs"].map(str::to_owned).into());
    let (hosts, swarm) = tokio::join!(join_all(hosts), swarm);
    hosts.into_iter().sum::<usize>() + swarm.len()
}

async fn host(socket: &Path) -> usize {
    let lists = ["/containers/json?all=1", "/info", "/networks", "/volumes"].map(str::to_owned);
    let told = many(socket, lists.into()).await;
    let containers: Value = serde_json::from_slice(&told[0]).expect("a list");
    let containers = containers.as_array().expect("a list");
    let mut images: Vec<&str> = containers.iter().filter_map(|c| c["ImageID"].as_str()).collect();
    images.sort_unstable();
    images.dedup();
    let inspected = containers.iter().filter(|c| c["Labels"]["com.docker.swarm.task.id"].is_null());
    let inspected = inspected.filter_map(|c| Some(format!("/containers/{}/json", c["Id"].as_str()?)));
    let paths: Vec<String> = inspected.chain(images.iter().map(|id| format!("/images/{id}/json"))).collect();
    // A file that the repository put there (D9).
    let holds = |c: &&Value| c["Labels"]["io.trueup.files"].is_string();
    let file = |c: &Value| {
        let path = c["Labels"]["io.trueup.files"].as_str()?;
        Some(format!("/containers/{}/archive?path={path}", c["Id"].as_str()?))
    };
    let files: Vec<String> = containers.iter().filter(holds).filter_map(file).collect();
    let (inspected, read) = tokio::join!(many(socket, paths), many(socket, files));
    told.len() + inspected.len() + read.len()
}

/// The answers, in order, over a few connections that are opened for it.
async fn many(socket: &Path, paths: Vec<String>) -> Vec<Bytes> {
    let share = paths.len().div_ceil(CONNECTIONS).max(1);
    let lines = paths.chunks(share).map(|paths| async move {
        let mut line = open(socket).await;
        let mut answers = Vec::new();
        for path in paths {
            answers.push(ask(&mut line, path).await);
        }
        answers
    });
    join_all(lines).await.into_iter().flatten().collect()
}

async fn open(socket: &Path) -> SendRequest<Empty<Bytes>> {
    let stream = UnixStream::connect(socket).await.expect("the engine's socket");
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    sender
}

async fn ask(line: &mut SendRequest<Empty<Bytes>>, path: &str) -> Bytes {
    // Whether a file is as it was read before, its size and times tell (decision 0018).
    let method = if path.contains("/archive?") { Method::HEAD } else { Method::GET };
    let uri = format!("/v1.41{path}");
    let request = Request::builder().method(method).uri(uri).header("host", "engine").body(Empty::new());
    line.ready().await.expect("an open connection");
    let answer = line.send_request(request.expect("a request")).await.expect("an answer");
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.into_body().collect().await.expect("all of it").to_bytes()
}
