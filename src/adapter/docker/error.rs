//! bollard's errors as ours: which host, which call, and whether asking again may help.

use std::io;
use std::time::Duration;

use bollard::errors::Error;

use crate::model::names::HostName;
use crate::ports::{EngineError, EngineErrorKind};

/// `call` names the request, such as `POST /containers/create`.
pub(super) fn of(host: &HostName, call: &str, error: &Error) -> EngineError {
    let (kind, mut detail) = (kind(error), detail(error));
    // Our own words say already what to do.
    if cause(error).is_none() {
        detail.push_str(advice(kind));
    }
    EngineError { host: host.clone(), call: call.to_owned(), kind, detail }
}

/// An answer that is not the API's: what stands in it tells nothing.
pub(super) fn garbage(host: &HostName, call: &str, detail: &str) -> EngineError {
    let kind = EngineErrorKind::Garbage;
    EngineError {
        host: host.clone(),
        call: call.to_owned(),
        kind,
        detail: format!("{detail}{}", advice(kind)),
    }
}

/// What to do next, where the kind alone tells it.
const fn advice(kind: EngineErrorKind) -> &'static str {
    match kind {
        EngineErrorKind::Unreachable => "; is the engine running, and is this its address?",
        EngineErrorKind::Deadline => "; is the host overloaded, or the network cut?",
        EngineErrorKind::Garbage => "; is this the address of a Docker engine?",
        EngineErrorKind::Engine => "; the engine's own log on that host says more (journalctl -u docker)",
        // Who asked a registry knows more.
        EngineErrorKind::Registry
        | EngineErrorKind::NotFound
        | EngineErrorKind::Conflict
        | EngineErrorKind::Refused => "",
    }
}

/// The absolute deadline passed.
pub(super) fn late(host: &HostName, call: &str, deadline: Duration) -> EngineError {
    EngineError {
        host: host.clone(),
        call: call.to_owned(),
        kind: EngineErrorKind::Deadline,
        detail: format!("no answer within {} s{}", deadline.as_secs(), advice(EngineErrorKind::Deadline)),
    }
}

/// The kind of a call that the engine passes on to a registry: what it refuses then is the registry's refusal.
pub(super) const fn of_registry(kind: EngineErrorKind) -> EngineErrorKind {
    match kind {
        EngineErrorKind::Refused | EngineErrorKind::Engine | EngineErrorKind::NotFound => {
            EngineErrorKind::Registry
        }
        EngineErrorKind::Unreachable
        | EngineErrorKind::Deadline
        | EngineErrorKind::Conflict
        | EngineErrorKind::Garbage
        | EngineErrorKind::Registry => kind,
    }
}

/// 404 is an answer: nothing of that name.
pub(super) fn or_none<T>(result: Result<T, EngineError>) -> Result<Option<T>, EngineError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == EngineErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What failed below HTTP, in our own words: carried through hyper and bollard inside of an `io::Error`.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(super) struct Below {
    kind: EngineErrorKind,
    detail: String,
}

impl Below {
    pub(super) fn io(kind: EngineErrorKind, detail: impl Into<String>) -> io::Error {
        io::Error::other(Self { kind, detail: detail.into() })
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's open list: whatever else broke, nobody answered"
)]
fn kind(error: &Error) -> EngineErrorKind {
    match error {
        Error::DockerResponseServerError { status_code, message } => match status_code {
            404 if !is_dockers(message) => EngineErrorKind::Garbage,
            404 => EngineErrorKind::NotFound,
            409 => EngineErrorKind::Conflict,
            400..500 => EngineErrorKind::Refused,
            // A registry's refusal reaches us as the engine's 500.
            _ if is_registry(message) => EngineErrorKind::Registry,
            _ => EngineErrorKind::Engine,
        },
        Error::DockerStreamError { .. } => EngineErrorKind::Registry,
        Error::RequestTimeoutError => EngineErrorKind::Deadline,
        Error::JsonDataError { .. }
        | Error::JsonSerdeError { .. }
        | Error::APIVersionParseError {}
        | Error::StrParseError { .. }
        | Error::HttpHeaderNotFoundError(_) => EngineErrorKind::Garbage,
        Error::HyperResponseError { err } if err.is_parse() => EngineErrorKind::Garbage,
        other => match cause(other) {
            Some(Cause::Ours(below)) => below.kind,
            // A certificate does not become right by asking again.
            Some(Cause::Tls(_)) => EngineErrorKind::Refused,
            None => EngineErrorKind::Unreachable,
        },
    }
}

/// A 404 is "there is none of that name" only in Docker's own words: a web server or a proxy has others, and believing
/// those would be to take what was not seen for gone (A1).
fn is_dockers(message: &str) -> bool {
    !message.is_empty() && !message.starts_with('<') && !message.starts_with("page not found")
}

fn is_registry(message: &str) -> bool {
    ["registry", "manifest", "unauthorized", "pull access denied", "/v2/", "error parsing HTTP"]
        .iter()
        .any(|word| message.contains(word))
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "only the server's own words are taken out of their wrapping"
)]
fn detail(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } if message.contains("is too new") => {
            format!("{}; trueup needs Docker 20.10 or later there: upgrade the engine", brief(message.trim()))
        }
        Error::DockerResponseServerError { status_code, message } => {
            format!("{} ({status_code})", brief(message.trim()))
        }
        Error::DockerStreamError { error } => brief(error.trim()),
        other => match cause(other) {
            Some(Cause::Ours(below)) => below.detail.clone(),
            Some(Cause::Tls(tls)) => told_by_tls(tls),
            // The cause is what tells a refused connection from a broken one.
            None => chain(other),
        },
    }
}

/// An answer that is no engine's can be a whole page.
fn brief(text: &str) -> String {
    const MOST: usize = 500;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// What lies below an error, where it is one of those we know.
enum Cause<'a> {
    Ours(&'a Below),
    Tls(&'a rustls::Error),
}

#[allow(clippy::wildcard_enum_match_arm, reason = "only these two wrap what happened below HTTP")]
fn cause(error: &Error) -> Option<Cause<'_>> {
    let mut link: Option<&(dyn std::error::Error + 'static)> = match error {
        Error::IOError { err } => Some(err),
        Error::HyperResponseError { err } => Some(err),
        _ => None,
    };
    while let Some(error) = link {
        // An io::Error hides the error it was made of from `source`.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(below) = inner.and_then(|e| e.downcast_ref()) {
            return Some(Cause::Ours(below));
        }
        if let Some(tls) = inner.and_then(|e| e.downcast_ref()) {
            return Some(Cause::Tls(tls));
        }
        link = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The side that refused the other's certificate, and where to look.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's open list: the rest has no advice of ours"
)]
fn told_by_tls(error: &rustls::Error) -> String {
    let advice = match error {
        rustls::Error::InvalidCertificate(_) => {
            "; the engine's certificate was not accepted: renew it, or name its authority under [engines.tls] `ca`"
        }
        rustls::Error::AlertReceived(_) => {
            "; the engine did not accept the client certificate: renew [engines.tls] `cert`, signed by the authority \
             that the engine trusts"
        }
        _ => "; is this a TLS port?",
    };
    format!("TLS: {error}{advice}")
}
