//! ssh and https for libgit2 without OpenSSL: the system's OpenSSH client, and rustls (docs/decisions/0002).

mod https;
mod ssh;

use std::cell::RefCell;
use std::sync::Once;
use std::time::{Duration, Instant};

use git2::transport::Transport;
use url::Url;

use crate::model::settings::Credentials;

pub(super) use ssh::SshAddress;

/// libgit2 chooses a transport by the URL's prefix; these are ours, so that its own ones are never asked.
const SSH: &str = "trueup-ssh";
const HTTPS: &str = "trueup-https";
/// To this machine itself only (`remote::check`).
const HTTP: &str = "trueup-http";

/// One fetch or push.
#[derive(Clone)]
struct Conversation {
    credentials: Credentials,
    /// When it is ended, wherever it stands.
    until: Until,
}

/// A moment, and the seconds that were given, for words.
#[derive(Clone, Copy)]
struct Until {
    at: Instant,
    given: Duration,
}

impl Until {
    fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    fn words(self) -> String {
        format!("no end within {} s: the connection was closed", self.given.as_secs())
    }
}

thread_local! {
    /// The fetch or push under way on this thread: libgit2's factories take no argument.
    static CONVERSATION: RefCell<Option<Conversation>> = const { RefCell::new(None) };
}

/// Runs `work`, whose connections use `credentials` and end at the deadline.
pub(super) fn conversing<T>(
    credentials: &Credentials,
    deadline: Duration,
    work: impl FnOnce() -> Result<T, git2::Error>,
) -> Result<T, git2::Error> {
    register()?;
    let until = Until { at: Instant::now() + deadline, given: deadline };
    CONVERSATION.set(Some(Conversation { credentials: credentials.clone(), until }));
    let result = work();
    CONVERSATION.take();
    result
}

/// The URL under the prefix of our own transport; for http as it was read when it was checked.
pub(super) fn address(url: &str) -> String {
    match (Url::parse(url), SshAddress::parse(url)) {
        (Ok(url), _) if url.scheme() == "https" => url.as_str().replacen("https", HTTPS, 1),
        (Ok(url), _) if url.scheme() == "http" => url.as_str().replacen("http", HTTP, 1),
        (_, Ok(ssh)) => ssh.url(SSH),
        (_, Err(_)) => url.to_owned(),
    }
}

/// Makes the transports known to libgit2, once.
#[allow(unsafe_code)]
fn register() -> Result<(), git2::Error> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| {
        let current = || {
            CONVERSATION
                .with_borrow(Clone::clone)
                .ok_or_else(|| fail("a connection outside of a conversation"))
        };
        // SAFETY: git2 asks that registration does not race with other uses of libgit2's transport list. The list is
        // read only while a remote connects, every connection of this process is made through `conversing`,
        // and `Once` lets nobody pass before this block is done.
        result = unsafe {
            git2::transport::register(SSH, move |remote| {
                Transport::smart(remote, false, ssh::Ssh::new(current()?))
            })
            .and_then(|()| {
                git2::transport::register(HTTPS, move |remote| {
                    Transport::smart(remote, true, https::Https::new(current()?))
                })
            })
            .and_then(|()| {
                git2::transport::register(HTTP, move |remote| {
                    Transport::smart(remote, true, https::Https::new(current()?))
                })
            })
        };
    });
    result
}

/// An error in words that name the remote and never a credential.
fn fail(message: impl AsRef<str>) -> git2::Error {
    git2::Error::from_str(message.as_ref())
}
