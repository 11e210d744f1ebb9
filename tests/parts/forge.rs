//! A forge's API for comments on one pull request, as GitHub's, Gitea's and GitLab's are: list in pages, write,
//! replace. It holds more than a page of comments of other people, one of whom pretends, and remembers who asked for what.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::routing::any;
use serde_json::{Value, json};

#[derive(Default)]
struct Held {
    /// Whose comments the token writes.
    bot: String,
    /// Author and text; an id is the place here.
    comments: Vec<(String, String)>,
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
    /// `pretended` is what somebody else wrote before the token's user `bot` did.
    pub fn start(bot: &str, pretended: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let others = (0..120).map(|n| ("ada".to_owned(), format!("looks good to me, {n}")));
        let comments = std::iter::once(("mallory".to_owned(), pretended.to_owned())).chain(others).collect();
        let held = Shared::new(Mutex::new(Held { bot: bot.to_owned(), comments, ..Held::default() }));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let routes = Router::new().route("/{*path}", any(answer)).with_state(Arc::clone(&held));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { held, port, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/api", self.port)
    }

    /// What was changed, in order.
    pub fn changes(&self) -> Vec<String> {
        let held = self.held.lock().expect("held");
        held.seen.iter().filter(|method| *method != "GET").cloned().collect()
    }

    /// What this user wrote.
    pub fn comments_of(&self, user: &str) -> Vec<String> {
        let held = self.held.lock().expect("held");
        held.comments.iter().filter(|(author, _)| author == user).map(|(_, body)| body.clone()).collect()
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
    uri: Uri,
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
            let all = held.comments.iter().enumerate().map(|(id, (author, body))| {
                json!({ "id": id, "body": body, "user": { "login": author }, "author": { "username": author } })
            });
            let (page, size) =
                (asked(&uri, "page").unwrap_or(1), asked(&uri, "per_page").unwrap_or(usize::MAX));
            let shown = all.skip((page - 1).saturating_mul(size)).take(size);
            (StatusCode::OK, Value::Array(shown.collect()).to_string())
        }
        ("GET", _, _, _) if path == "api/user" => {
            (StatusCode::OK, json!({ "username": held.bot }).to_string())
        }
        ("POST", true, _, Some(body)) => {
            let author = held.bot.clone();
            held.comments.push((author, body));
            (StatusCode::CREATED, "{}".to_owned())
        }
        ("PATCH" | "PUT", _, Some(id), Some(body)) if id < held.comments.len() => {
            held.comments[id].1 = body;
            (StatusCode::OK, "{}".to_owned())
        }
        _ => (StatusCode::NOT_FOUND, "{}".to_owned()),
    }
}

/// A number of the query.
fn asked(uri: &Uri, name: &str) -> Option<usize> {
    let mut pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name)?.1.parse().ok()
}
