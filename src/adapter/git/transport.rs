//! ssh and https for libgit2 without OpenSSL: the system's OpenSSH client, and rustls (docs/decisions/0002).

mod https;
mod ssh;

use std::cell::RefCell;
use std::sync::Once;

use git2::transport::Transport;

use crate::model::settings::Credentials;

pub(super) use ssh::SshAddress;

/// libgit2 chooses a transport by the URL's prefix; these are ours, so that its own ones are never asked.
const SSH: &str = "trueup-ssh";
const HTTPS: &str = "trueup-https";

thread_local! {
    /// The credentials of the fetch or push under way on this thread: libgit2's factories take no argument.
    static CREDENTIALS: RefCell<Credentials> = RefCell::default();
}

/// Runs `work`, whose connections use `credentials`.
pub(super) fn with_credentials<T>(
    credentials: &Credentials,
    work: impl FnOnce() -> Result<T, git2::Error>,
) -> Result<T, git2::Error> {
    register()?;
    CREDENTIALS.set(credentials.clone());
    let result = work();
    CREDENTIALS.set(Credentials::default());
    result
}

/// The URL under the prefix of our own transport.
pub(super) fn address(url: &str) -> String {
    if let Some(rest) = url.strip_prefix("https://") {
        return format!("{HTTPS}://{rest}");
    }
    match SshAddress::parse(url) {
        Ok(ssh) => ssh.url(SSH),
        Err(_) => url.to_owned(),
    }
}

/// Makes both transports known to libgit2, once.
#[allow(unsafe_code)]
fn register() -> Result<(), git2::Error> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| {
        // SAFETY: git2 asks that registration does not race with other uses of libgit2's transport list. The list is
        // read only while a remote connects, every connection of this process is made through `with_credentials`,
        // and `Once` lets nobody pass before this block is done.
        result = unsafe {
            git2::transport::register(SSH, |remote| {
                let credentials = CREDENTIALS.with_borrow(Clone::clone);
                Transport::smart(remote, false, ssh::Ssh::new(credentials))
            })
            .and_then(|()| {
                git2::transport::register(HTTPS, |remote| {
                    let credentials = CREDENTIALS.with_borrow(Clone::clone);
                    Transport::smart(remote, true, https::Https::new(credentials)?)
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
