//! The stream of an engine's events: opened within a deadline, so that its listener knows from when on it is told.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Deserialize;

use crate::ports::{EngineError, Heard};

use super::engine::DockerEngine;
use super::{error, within};

const CALL: &str = "GET /events";
/// An engine that lives answers at once. A longer try than this would still be waiting for the lost packets of a host that
/// is back meanwhile.
const OPENS_WITHIN: Duration = Duration::from_secs(20);
/// Of one event, in bytes; most have some hundreds.
const LONGEST: usize = 1 << 20;

/// What may change something that is modelled.
const KINDS: &str = r#"{"type":["container","network","volume","image","service","node","config"]}"#;

/// The part of an event that says whether it matters.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Action", default)]
    action: String,
}

impl DockerEngine {
    /// Until the stream breaks.
    pub(super) async fn listen(&self, heard: &(dyn Fn(Heard) + Send + Sync)) -> EngineError {
        let query: String = url::form_urlencoded::byte_serialize(KINDS.as_bytes()).collect();
        let path = format!("events?filters={query}");
        let deadline = self.deadline.min(OPENS_WITHIN);
        let mut stream = match within(&self.host, CALL, deadline, self.raw.stream(&path)).await {
            Ok(stream) => stream,
            Err(error) => return error,
        };
        // By the answer's head, and not by the first event: it may come in a year.
        heard(Heard::Opened);
        match self.events(&mut stream, heard).await {
            Ok(()) => self.garbage(CALL, "the stream of events ended"),
            Err(error) => error,
        }
    }

    async fn events(
        &self,
        stream: &mut Incoming,
        heard: &(dyn Fn(Heard) + Send + Sync),
    ) -> Result<(), EngineError> {
        let mut text: Vec<u8> = Vec::new();
        while let Some(frame) = stream.frame().await {
            let frame = frame.map_err(|e| error::of(&self.host, CALL, &e.into()))?;
            text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let event: Event =
                    serde_json::from_slice(&line).map_err(|e| self.garbage(CALL, e.to_string()))?;
                // Health checks run programs all the time, and reading a file is an event too: a look at files of the
                // repository (D9) must not be the reason for the next one.
                if !changes_nothing(&event.action) {
                    heard(Heard::Changed);
                }
            }
            if text.len() > LONGEST {
                return Err(self.garbage(CALL, "an event is larger than any of an engine's"));
            }
        }
        Ok(())
    }
}

/// Whether an event is of somebody who looks or runs something inside: nothing that is modelled is another then.
fn changes_nothing(action: &str) -> bool {
    const LOOKS: [&str; 6] = ["archive-path", "attach", "detach", "export", "resize", "top"];
    action.starts_with("exec_") || LOOKS.contains(&action)
}

#[cfg(test)]
mod tests {
    use super::changes_nothing;

    #[test]
    fn who_looks_wakes_nobody_and_who_changes_does() {
        for action in ["archive-path", "top", "exec_create: /check", "exec_die", "attach", "export"] {
            assert!(changes_nothing(action), "{action}");
        }
        for action in
            ["start", "die", "rename", "extract-to-dir", "update", "health_status: unhealthy", "destroy"]
        {
            assert!(!changes_nothing(action), "{action}");
        }
    }
}
