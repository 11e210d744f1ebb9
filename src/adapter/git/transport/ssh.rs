//! git over the system's `ssh`: its keys, its known hosts, no shell on our side.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};

use crate::adapter::openssh::quoted;
use crate::model::settings::Credentials;

use super::{Conversation, Until, fail};

/// How much of ssh's own words goes into an error, and how long they are waited for once it has ended.
const MOST_WORDS: usize = 2000;
const LAST_WORDS: Duration = Duration::from_secs(2);

/// `user@host:port` and the path there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshAddress {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    path: String,
}

impl SshAddress {
    /// `ssh://[user@]host[:port]/path` or `[user@]host:path`.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let wrong = || {
            "it is not a repository's address: write a path, https://, ssh:// or user@host:path".to_owned()
        };
        let (authority, path) = match url.strip_prefix("ssh://").or_else(|| url.strip_prefix("trueup-ssh://"))
        {
            Some(rest) => rest.split_once('/').map(|(a, p)| (a, format!("/{p}"))).ok_or_else(wrong)?,
            None if url.contains("://") => return Err(wrong()),
            None => url.split_once(':').map(|(a, p)| (a, p.to_owned())).ok_or_else(wrong)?,
        };
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
            None => (host, None),
        };
        let word = |w: &str| {
            !w.is_empty()
                && !w.starts_with('-')
                && w.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c))
        };
        if !word(host) || !user.is_none_or(word) || path.is_empty() || path.starts_with('-') {
            return Err(wrong());
        }
        // The other side's shell reads the path between single quotes.
        if path.contains('\'') || path.chars().any(char::is_control) {
            return Err(wrong());
        }
        Ok(Self { user: user.map(str::to_owned), host: host.to_owned(), port, path })
    }

    /// As a URL of another scheme.
    pub(crate) fn url(&self, scheme: &str) -> String {
        let user = self.user.as_ref().map(|u| format!("{u}@")).unwrap_or_default();
        let port = self.port.map(|p| format!(":{p}")).unwrap_or_default();
        let slash = if self.path.starts_with('/') { "" } else { "/~/" };
        format!("{scheme}://{user}{}{port}{slash}{}", self.host, self.path)
    }
}

pub(super) struct Ssh {
    credentials: Credentials,
    until: Until,
    running: Mutex<Option<Running>>,
}

/// The process, and the thread that ends it at the deadline unless it is told that the conversation is over.
struct Running {
    child: Arc<Mutex<Child>>,
    over: Sender<()>,
}

impl Ssh {
    pub(super) fn new(conversation: Conversation) -> Self {
        let Conversation { credentials, until } = conversation;
        Self { credentials, until, running: Mutex::default() }
    }

    fn command(&self, address: &SshAddress, program: &str) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15"]);
        if let Some(key) = &self.credentials.ssh_key {
            // `-i` would look for the path before ssh reads its `%`.
            command.arg("-o").arg(format!("IdentityFile={}", quoted(key))).args(["-o", "IdentitiesOnly=yes"]);
        }
        command.args(["-o", "StrictHostKeyChecking=yes"]);
        if let Some(known) = &self.credentials.ssh_known_hosts {
            command.arg("-o").arg(format!("UserKnownHostsFile={}", quoted(known)));
            command.args(["-o", "GlobalKnownHostsFile=/dev/null"]);
        }
        if let Some(port) = address.port {
            command.args(["-p", &port.to_string()]);
        }
        if let Some(user) = &address.user {
            command.args(["-l", user]);
        }
        // `user@host:path` is relative to the home directory, which is where the remote shell starts.
        let path = address.path.strip_prefix("/~/").unwrap_or(&address.path);
        command.arg("--").arg(&address.host).arg(format!("{program} '{path}'"));
        command
    }
}

impl SmartSubtransport for Ssh {
    fn action(&self, url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let program = match action {
            Service::UploadPackLs | Service::UploadPack => "git-upload-pack",
            Service::ReceivePackLs | Service::ReceivePack => "git-receive-pack",
        };
        let address = SshAddress::parse(url).map_err(fail)?;
        let mut child = self
            .command(&address, program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| fail(format!("starting ssh (Debian package openssh-client): {e}")))?;
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(fail("ssh gave no pipes"));
        };
        let child = Arc::new(Mutex::new(child));
        let expired = Arc::new(AtomicBool::new(false));
        let (over, told_over) = mpsc::channel();
        let (watched, until, late) = (Arc::clone(&child), self.until, Arc::clone(&expired));
        std::thread::spawn(move || {
            if told_over.recv_timeout(until.left()) == Err(RecvTimeoutError::Timeout) {
                late.store(true, Ordering::SeqCst);
                // Its pipes close with it, which ends every read and write of ours.
                let _ = lock(&watched).kill();
            }
        });
        *lock(&self.running) = Some(Running { child, over });
        let errors = Words::listen(errors);
        Ok(Box::new(Stream { input, output, errors, heard: false, until, expired }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        if let Some(Running { child, over }) = lock(&self.running).take() {
            drop(over);
            let mut child = lock(&child);
            // The conversation is over; ssh itself may still be busy ending.
            let _ = child.kill();
            let _ = child.wait();
        }
        Ok(())
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

/// What ssh says on its error output, its end kept. It is read all the time: a full pipe would stop ssh.
struct Words {
    said: Arc<Mutex<VecDeque<u8>>>,
    ended: Receiver<()>,
}

impl Words {
    fn listen(mut errors: ChildStderr) -> Self {
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let (end, ended) = mpsc::channel();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut piece = [0; 512];
            while let Ok(read @ 1..) = errors.read(&mut piece) {
                let mut heard = lock(&heard);
                heard.extend(piece.iter().take(read));
                let surplus = heard.len().saturating_sub(MOST_WORDS);
                heard.drain(..surplus);
            }
            drop(end);
        });
        Self { said, ended }
    }

    /// ssh has closed its output; a helper of its own (a proxy command) may keep this pipe open, and is not waited for.
    fn last(&self) -> String {
        let _ = self.ended.recv_timeout(LAST_WORDS);
        let said: Vec<u8> = lock(&self.said).iter().copied().collect();
        String::from_utf8_lossy(&said).trim().to_owned()
    }
}

struct Stream {
    input: ChildStdin,
    output: ChildStdout,
    errors: Words,
    heard: bool,
    until: Until,
    expired: Arc<AtomicBool>,
}

impl Stream {
    fn late(&self) -> Option<io::Error> {
        self.expired.load(Ordering::SeqCst).then(|| io::Error::other(format!("ssh: {}", self.until.words())))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.output.read(buffer)?;
        if read == 0 {
            if let Some(late) = self.late() {
                return Err(late);
            }
            if !self.heard {
                // Nothing was ever said: ssh's own words tell why.
                return Err(io::Error::other(format!("ssh: {}", self.errors.last())));
            }
        }
        self.heard = true;
        Ok(read)
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.input.write(buffer).map_err(|e| self.late().unwrap_or(e))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.input.flush()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_options_are_not_smuggled_in() {
        let read = SshAddress::parse("ssh://git@git.example:2222/srv/fleet.git").expect("an address");
        assert_eq!(read.url("x"), "x://git@git.example:2222/srv/fleet.git");
        let read = SshAddress::parse("git@git.example:fleet.git").expect("an address");
        assert_eq!(read.url("x"), "x://git@git.example/~/fleet.git");
        for bad in ["ssh://-oProxyCommand=x/y", "-o@h:p", "h:-p", "h:a'b", "ftp://h/p", "ssh://h", "nothing"]
        {
            assert!(SshAddress::parse(bad).is_err(), "{bad}");
        }
    }
}
