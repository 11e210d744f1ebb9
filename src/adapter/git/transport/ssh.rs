//! git over the system's `ssh`: its keys, its known hosts, no shell on our side.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};

use crate::model::settings::Credentials;

use super::fail;

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
            format!("{url:?} is not a repository's address: write a path, https://, ssh:// or user@host:path")
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
    running: Mutex<Option<Child>>,
}

impl Ssh {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, running: Mutex::default() }
    }

    fn command(&self, address: &SshAddress, program: &str) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15"]);
        if let Some(key) = &self.credentials.ssh_key {
            command.arg("-i").arg(key).args(["-o", "IdentitiesOnly=yes"]);
        }
        command.args(["-o", "StrictHostKeyChecking=yes"]);
        if let Some(known) = &self.credentials.ssh_known_hosts {
            command.arg("-o").arg(format!("UserKnownHostsFile={}", known.display()));
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
        *self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(child);
        Ok(Box::new(Stream { input, output, errors, heard: false }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        if let Some(mut child) = self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
        {
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

struct Stream {
    input: ChildStdin,
    output: ChildStdout,
    errors: ChildStderr,
    heard: bool,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.output.read(buffer)?;
        if read == 0 && !self.heard {
            // Nothing was ever said: ssh's own words tell why.
            let mut why = Vec::new();
            let _ = (&mut self.errors).take(2000).read_to_end(&mut why);
            return Err(io::Error::other(format!("ssh: {}", String::from_utf8_lossy(&why).trim())));
        }
        self.heard = true;
        Ok(read)
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.input.write(buffer)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.input.flush()
    }
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
