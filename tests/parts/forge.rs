//! A forge's API for comments on one pull request, as GitHub's, Gitea's and GitLab's are: list, write, replace. It holds one
//! comment of somebody else's, and remembers who asked for what.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::any;
use serde_json::{Value, json};

#[derive(Default)]
struct Held {
    /// An id is the place here.
    comments: Vec<String>,
    seen: Vec<String>,
    tokens: Vec<String>,
}

type Shared = Arc<Mutex<Held>>;

pub struct Forge {
    held: Shared,
    port: u16,
    _runtime: tokio::runtime::Runtime,
}

impl Forge {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let held: Shared = Shared::default();
        held.lock().expect("held").comments.push("looks good to me".to_owned());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let routes = Router::new().route("/{*path}", any(answer)).with_state(Arc::clone(&held));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { held, port, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/api", self.port)
    }

    /// What was asked for, in order.
    pub fn seen(&self) -> Vec<String> {
        self.held.lock().expect("held").seen.clone()
    }

    pub fn comments(&self) -> Vec<String> {
        self.held.lock().expect("held").comments.clone()
    }

    /// Every request had this token in one of the forges' headers.
    pub fn all_were_allowed(&self, token: &str) -> bool {
        let held = self.held.lock().expect("held");
        !held.tokens.is_empty() && held.tokens.iter().all(|seen| seen == token)
    }
}

async fn answer(
    State(held): State<Shared>,
    method: Method,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let mut held = held.lock().expect("held");
    held.seen.push(method.to_string());
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token =
        format!("{}{}", header("authorization").trim_start_matches("token "), header("private-token"));
    held.tokens.push(token);
    let written = || Some(serde_json::from_slice::<Value>(&body).ok()?["body"].as_str()?.to_owned());
    let list = ["api/repos/org/fleet/issues/7/comments", "api/projects/5/merge_requests/7/notes"];
    let one = ["api/repos/org/fleet/issues/comments/", "api/projects/5/merge_requests/7/notes/"];
    let id = one.iter().find_map(|prefix| path.strip_prefix(prefix)?.parse::<usize>().ok());
    match (method.as_str(), list.contains(&path.as_str()), id, written()) {
        ("GET", true, _, _) => {
            let all = held.comments.iter().enumerate().map(|(id, body)| json!({ "id": id, "body": body }));
            (StatusCode::OK, Value::Array(all.collect()).to_string())
        }
        ("POST", true, _, Some(body)) => {
            held.comments.push(body);
            (StatusCode::CREATED, "{}".to_owned())
        }
        ("PATCH" | "PUT", _, Some(id), Some(body)) if id < held.comments.len() => {
            held.comments[id] = body;
            (StatusCode::OK, "{}".to_owned())
        }
        _ => (StatusCode::NOT_FOUND, "{}".to_owned()),
    }
}
