//! Engines that misbehave, for real, on a unix socket: what a call is answered with is the test's to say; every other
//! call goes through to the machine's own engine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const REAL: &str = "/var/run/docker.sock";

const TOO_OLD_A_CLIENT: &str =
    "{\"message\":\"client version 1.41 is too old. Minimum supported API version is 1.44\"}";
const TOO_NEW_A_CLIENT: &str =
    "{\"message\":\"client version 1.41 is too new. Maximum supported API version is 1.40\"}";
/// Without one an engine takes the newest that it has, whatever its answers are then.
const NO_VERSION: &str = "{\"message\":\"page not found: the call names no version of the API\"}";

/// Which versions of the API it speaks, 1.x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    /// As the machine's own engine does.
    Ours,
    /// 1.44 to 1.52, as Docker 29 does.
    Younger,
    /// Up to 1.40, as Docker 19.03 does.
    Older,
}

/// What is wrong with an answer.
#[derive(Debug, Clone)]
pub enum Bad {
    /// Bytes that are no HTTP.
    Garbage,
    /// 200 with this body.
    Body(&'static str),
    /// A status, a content type and a body.
    Status(u16, &'static str),
    /// A body that ends before its length.
    CutShort,
    /// The connection is closed instead of an answer.
    Closed,
    /// Never anything.
    Hang,
    /// A head, a piece of body, and then never anything.
    HangInBody,
    /// This piece of body, and then never anything.
    HangAfter(&'static str),
    /// A body without an end.
    Endless,
    /// Headers without an end.
    EndlessHead,
    /// Done by the real engine, and then the connection is closed instead of its answer.
    DoneAndClosed,
}

type Rule = Box<dyn Fn(&str, &str) -> Option<Bad> + Send>;

struct Inner {
    rule: Mutex<Rule>,
    /// `METHOD path` of every call.
    calls: Mutex<Vec<String>>,
    over: AtomicBool,
    speaks: Mutex<Speaks>,
    open: Mutex<usize>,
}

/// Listens until it is dropped.
pub struct BadEngine {
    socket: PathBuf,
    inner: Arc<Inner>,
}

impl BadEngine {
    /// `rule` says what is wrong with the answer to a method and a path with its query (without its version); `None` goes through.
    pub fn start(dir: &Path, name: &str, rule: impl Fn(&str, &str) -> Option<Bad> + Send + 'static) -> Self {
        let socket = dir.join(format!("{name}.sock"));
        let listener = UnixListener::bind(&socket).expect("a socket");
        let inner = Arc::new(Inner {
            rule: Mutex::new(Box::new(rule)),
            calls: Mutex::default(),
            over: AtomicBool::new(false),
            speaks: Mutex::new(Speaks::Ours),
            open: Mutex::default(),
        });
        let shared = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.over.load(Ordering::Relaxed) {
                    break;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    *shared.open.lock().expect("a count") += 1;
                    // A client that goes away is no failure of the test.
                    let _ = shared.serve(stream);
                    *shared.open.lock().expect("a count") -= 1;
                });
            }
        });
        Self { socket, inner }
    }

    /// As an engine address of the inventory.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// From now on it speaks API 1.44 to 1.52 and nothing older, as Docker 29 does.
    pub fn grow_younger(&self) {
        *self.inner.speaks.lock().expect("the versions") = Speaks::Younger;
    }

    /// From now on it speaks API 1.40 and nothing newer, as Docker 19.03 does.
    pub fn grow_older(&self) {
        *self.inner.speaks.lock().expect("the versions") = Speaks::Older;
    }

    pub fn behave(&self, rule: impl Fn(&str, &str) -> Option<Bad> + Send + 'static) {
        *self.inner.rule.lock().expect("the rule") = Box::new(rule);
    }

    /// Calls so far that could have changed something.
    pub fn mutations(&self) -> Vec<String> {
        let calls = self.inner.calls.lock().expect("the calls");
        calls.iter().filter(|call| !call.starts_with("GET ") && !call.starts_with("HEAD ")).cloned().collect()
    }

    pub fn calls(&self) -> usize {
        self.all_calls().len()
    }

    /// `METHOD path` of every call so far, without its version.
    pub fn all_calls(&self) -> Vec<String> {
        self.inner.calls.lock().expect("the calls").clone()
    }

    /// Connections that somebody still holds.
    pub fn open(&self) -> usize {
        *self.inner.open.lock().expect("a count")
    }
}

impl Drop for BadEngine {
    fn drop(&mut self) {
        self.inner.over.store(true, Ordering::Relaxed);
        let _ = UnixStream::connect(&self.socket);
    }
}

impl Inner {
    /// One call a connection.
    fn serve(&self, mut stream: UnixStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut head, mut length) = (Vec::new(), 0usize);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or_default();
            }
            if line == "\r\n" {
                break;
            }
            head.push(line);
        }
        let first = head.first().cloned().unwrap_or_default();
        let speaks = *self.speaks.lock().expect("the versions");
        if speaks == Speaks::Younger {
            // The real engine behind is older: it gets the version that it knows.
            for line in &mut head {
                *line = line.replace("/v1.44/", "/v1.41/");
            }
        }
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let versioned = ["/v1.41/", "/v1.44/"].iter().find(|version| target.starts_with(**version));
        let path = versioned.map_or(target, |version| &target[version.len() - 1..]);
        self.calls.lock().expect("the calls").push(format!("{method} {path}"));
        let mut bad = (self.rule.lock().expect("the rule"))(method, path);
        if versioned.is_none() && !["/_ping", "/version"].contains(&target) {
            bad = Some(Bad::Status(400, NO_VERSION));
        }
        let (newest, oldest) = match speaks {
            Speaks::Ours => ("1.41", "1.12"),
            Speaks::Younger => ("1.52", "1.44"),
            Speaks::Older => ("1.40", "1.12"),
        };
        // Every answer of an engine tells it, a refusal too; of what a rule says nothing is known.
        let mut told = String::new();
        if speaks != Speaks::Ours {
            told = format!("Api-Version: {newest}\r\n");
            match (speaks, target) {
                (Speaks::Younger, _) if target.starts_with("/v1.41/") => {
                    bad = Some(Bad::Status(400, TOO_OLD_A_CLIENT));
                }
                (Speaks::Older, _) if versioned.is_some() => bad = Some(Bad::Status(400, TOO_NEW_A_CLIENT)),
                (_, "/version") => {
                    let text = format!("{{\"ApiVersion\":\"{newest}\",\"MinAPIVersion\":\"{oldest}\"}}");
                    return said(&mut stream, 200, &told, text.len(), &text);
                }
                (_, "/_ping") => return said(&mut stream, 200, &told, 2, "OK"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let answer =
            |stream: &mut UnixStream, status, length, body: &str| said(stream, status, &told, length, body);
        match bad {
            None => self.forward(&head, &body, Some(&mut stream), &told),
            Some(Bad::DoneAndClosed) => self.forward(&head, &body, None, &told),
            Some(Bad::Garbage) => stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n\x16\x03\x01 nothing of yours"),
            Some(Bad::Body(text)) => answer(&mut stream, 200, text.len(), text),
            Some(Bad::Status(status, text)) => answer(&mut stream, status, text.len(), text),
            Some(Bad::CutShort) => answer(&mut stream, 200, 1000, "[{\"Id\": \"abc\", "),
            Some(Bad::Closed) => Ok(()),
            Some(Bad::Hang) => self.silence(&mut reader),
            Some(Bad::HangInBody) => {
                answer(&mut stream, 200, 1000, "[{\"Id\": \"abc\", ")?;
                self.silence(&mut reader)
            }
            Some(Bad::HangAfter(piece)) => {
                answer(&mut stream, 200, 1 << 20, piece)?;
                self.silence(&mut reader)
            }
            Some(Bad::Endless) => {
                answer(&mut stream, 200, 1 << 40, "[")?;
                let piece = "{\"Id\":\"abc\",\"Names\":[\"/x\"]},".repeat(4096);
                loop {
                    stream.write_all(piece.as_bytes())?;
                }
            }
            Some(Bad::EndlessHead) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
                loop {
                    stream.write_all(b"X-More: and more and more and more and more and more and more\r\n")?;
                }
            }
        }
    }

    /// Says nothing until the other side gives up.
    fn silence(&self, reader: &mut BufReader<UnixStream>) -> std::io::Result<()> {
        reader.get_ref().set_read_timeout(Some(Duration::from_millis(200)))?;
        let mut byte = [0];
        loop {
            match reader.read(&mut byte) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(_) if self.over.load(Ordering::Relaxed) => return Ok(()),
                Err(_) => {}
            }
        }
    }

    /// The real engine's doing; its answer goes to `back`, where there is one, with `told` in place of its own version.
    fn forward(
        &self,
        head: &[String],
        body: &[u8],
        back: Option<&mut UnixStream>,
        told: &str,
    ) -> std::io::Result<()> {
        let mut real = UnixStream::connect(REAL)?;
        for line in head {
            real.write_all(line.as_bytes())?;
        }
        real.write_all(b"Connection: close\r\n\r\n")?;
        real.write_all(body)?;
        let Some(stream) = back else { return std::io::copy(&mut real, &mut std::io::sink()).map(|_| ()) };
        let mut real = BufReader::new(real);
        if !told.is_empty() {
            let mut line = String::new();
            while real.read_line(&mut line)? > 0 && line != "\r\n" {
                let is_version = line.to_ascii_lowercase().starts_with("api-version:");
                stream.write_all(if is_version { told } else { line.as_str() }.as_bytes())?;
                line.clear();
            }
            stream.write_all(b"\r\n")?;
        }
        std::io::copy(&mut real, stream).map(|_| ())
    }
}

/// An answer as it is said, with further headers.
fn said(
    stream: &mut UnixStream,
    status: u16,
    headers: &str,
    length: usize,
    body: &str,
) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}
