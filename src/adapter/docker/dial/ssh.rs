//! An engine behind ssh: the system's client runs `docker system dial-stdio` over there, and its pipes are the
//! connection. The host key is always checked; the client ends with the connection, whoever drops it.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::adapter::openssh::quoted;
use crate::ports::EngineErrorKind;

use super::super::error::Below;

/// Enough of ssh's own words to understand them.
const WORDS: usize = 2000;

/// Where to, and with what.
pub(in super::super) struct Ssh {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) key: Option<PathBuf>,
    pub(super) known_hosts: Option<PathBuf>,
}

impl Ssh {
    /// Starts the client; whether it gets through shows in the first answer.
    pub(super) fn open(&self) -> io::Result<SshStream> {
        let mut child = self.command().spawn().map_err(|e| {
            let detail = format!("starting ssh (Debian package openssh-client): {e}");
            Below::io(EngineErrorKind::Unreachable, detail)
        })?;
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(input), Some(output), Some(errors)) => {
                Ok(SshStream { input, output, errors, words: Vec::new(), heard: false, _client: child })
            }
            _ => Err(io::Error::other("ssh gave no pipes")),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
        command.args(["-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=5"]);
        // No sharing with other clients: what others opened was checked by their rules, and outlives ours.
        command.args(["-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "ClearAllForwardings=yes"]);
        if let Some(known) = &self.known_hosts {
            command.arg("-o").arg(format!("UserKnownHostsFile={}", quoted(known)));
            command.args(["-o", "GlobalKnownHostsFile=/dev/null"]);
        }
        if let Some(key) = &self.key {
            // `-i` would look for the path before ssh reads its `%`.
            command.arg("-o").arg(format!("IdentityFile={}", quoted(key))).args(["-o", "IdentitiesOnly=yes"]);
        }
        if let Some(user) = &self.user {
            command.args(["-l", user]);
        }
        command.args(["-p", &self.port.to_string(), "--", &self.host, "docker system dial-stdio"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// The client's pipes as one connection.
pub(super) struct SshStream {
    input: ChildStdin,
    output: ChildStdout,
    errors: ChildStderr,
    words: Vec<u8>,
    heard: bool,
    _client: Child,
}

impl SshStream {
    /// Nothing was ever said on the other side: ssh's own words tell why.
    fn poll_why(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mut space = [0; 512];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            let more = ready!(Pin::new(&mut self.errors).poll_read(cx, &mut buffer)).is_ok();
            if !more || buffer.filled().is_empty() || self.words.len() > WORDS {
                break;
            }
            self.words.extend_from_slice(buffer.filled());
        }
        Poll::Ready(Below::io(EngineErrorKind::Unreachable, explain(&String::from_utf8_lossy(&self.words))))
    }
}

/// ssh's words, and what to do about the usual ones.
fn explain(words: &str) -> String {
    let lines: Vec<&str> =
        words.lines().map(str::trim).filter(|line| !line.trim_matches('@').is_empty()).collect();
    let advice = if words.contains("Host key verification failed") {
        "; put the host's key into the file that [engines].ssh_known_hosts names (ssh-keyscan, compared with the host)"
    } else if words.contains("Permission denied (") {
        "; is the key of [engines].ssh_key allowed to log in there?"
    } else if words.contains("not found") {
        "; ssh gets through, but there is no docker command on the other side"
    } else {
        ""
    };
    match lines.as_slice() {
        [] => "ssh ended without a word".to_owned(),
        lines => format!("ssh: {}{advice}", lines.join(" ")),
    }
}

impl AsyncRead for SshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.output).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.heard = true;
        } else if !self.heard {
            return Poll::Ready(Err(ready!(self.poll_why(cx))));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.input).poll_write(cx, buffer)) {
            // ssh ended before it read the request: its words say more than a broken pipe.
            Err(_) if !self.heard => Poll::Ready(Err(ready!(self.poll_why(cx)))),
            written => Poll::Ready(written),
        }
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}
