//! bollard's errors as ours: which host, which call, and whether asking again may help.

use std::time::Duration;

use bollard::errors::Error;

use crate::model::names::HostName;
use crate::ports::{EngineError, EngineErrorKind};

/// `call` names the request, such as `POST /containers/create`.
pub(super) fn of(host: &HostName, call: &str, error: &Error) -> EngineError {
    EngineError { host: host.clone(), call: call.to_owned(), kind: kind(error), detail: detail(error) }
}

/// The absolute deadline passed.
pub(super) fn late(host: &HostName, call: &str, deadline: Duration) -> EngineError {
    EngineError {
        host: host.clone(),
        call: call.to_owned(),
        kind: EngineErrorKind::Deadline,
        detail: format!("no answer within {} s", deadline.as_secs()),
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

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's open list: whatever else broke, nobody answered"
)]
fn kind(error: &Error) -> EngineErrorKind {
    match error {
        Error::DockerResponseServerError { status_code, message } => match status_code {
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
        _ => EngineErrorKind::Unreachable,
    }
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
        Error::DockerResponseServerError { status_code, message } => {
            format!("{} ({status_code})", message.trim())
        }
        Error::DockerStreamError { error } => error.trim().to_owned(),
        other => {
            // The cause is what tells a refused connection from a broken one.
            let mut text = other.to_string();
            let mut cause = std::error::Error::source(other);
            while let Some(inner) = cause {
                let inner_text = inner.to_string();
                if !text.contains(&inner_text) {
                    text = format!("{text}: {inner_text}");
                }
                cause = inner.source();
            }
            text
        }
    }
}
