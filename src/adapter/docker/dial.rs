//! Opening a connection to an engine: unix socket, TLS with a client certificate, ssh; plain TCP where allowed (G3).

mod ssh;
mod tls;
mod unix;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::model::host::{EngineAddress, Host};
use crate::model::settings::{EngineSettings, TlsIdentity};
use crate::ports::EngineErrorKind;

use super::error::Below;

pub(super) use ssh::Ssh;
use unix::Prompt;

/// Something an HTTP conversation can be held on.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Where an engine is and what proves who asks.
pub(super) enum Dial {
    Unix(String),
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16, identity: TlsIdentity },
    Ssh(Ssh),
}

impl Dial {
    /// The way to `host`, or in words why there is none.
    pub(super) fn to(host: &Host, settings: &EngineSettings) -> Result<Self, String> {
        if !settings.may_dial(&host.engine) {
            return Err(
                "it is not dialled: `allow` under [engines] in the settings does not name it (F4)".to_owned()
            );
        }
        match &host.engine {
            EngineAddress::Unix { path } => Ok(Self::Unix(path.clone())),
            EngineAddress::Tcp { host: name, port } => match settings.identity(&host.name) {
                Some(identity) => {
                    Ok(Self::Tls { host: bare(name), port: *port, identity: identity.clone() })
                }
                None if settings.allow_plain_tcp => Ok(Self::Tcp { host: bare(name), port: *port }),
                None => Err(
                    "plain TCP is not used: name a client certificate under [engines.tls] in the settings (G3)"
                        .to_owned(),
                ),
            },
            EngineAddress::Ssh { user, host, port } => Ok(Self::Ssh(Ssh {
                user: user.clone(),
                host: bare(host),
                port: *port,
                key: settings.ssh_key.clone(),
                known_hosts: settings.ssh_known_hosts.clone(),
            })),
            EngineAddress::Simulated => Err("sim:// is the simulator's and not a real engine".to_owned()),
        }
    }

    /// Calls at once. sshd drops at random what comes when ten have not logged in yet (MaxStartups).
    pub(super) const fn at_once(&self) -> usize {
        match self {
            Self::Unix(_) | Self::Tcp { .. } | Self::Tls { .. } => 32,
            Self::Ssh(_) => 4,
        }
    }

    /// Pulls at once, beside the calls. An engine downloads no more than a few layers at once by itself.
    pub(super) const fn pulls_at_once(&self) -> usize {
        match self {
            Self::Unix(_) | Self::Tcp { .. } | Self::Tls { .. } => Semaphore::MAX_PERMITS,
            Self::Ssh(_) => 4,
        }
    }

    pub(super) async fn open(&self) -> io::Result<Box<dyn Connection>> {
        match self {
            Self::Unix(path) => {
                let stream = Prompt::connect(path).map_err(|e| refused(&format!("unix://{path}"), &e))?;
                Ok(Box::new(stream))
            }
            Self::Tcp { host, port } => Ok(Box::new(tcp(host, *port).await?)),
            Self::Tls { host, port, identity } => {
                let (config, name) = tls::config(identity, host)?;
                let stream = tcp(host, *port).await?;
                Ok(Box::new(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
            }
            Self::Ssh(ssh) => Ok(Box::new(ssh.open()?)),
        }
    }
}

/// An event stream is silent for hours: only a keepalive tells that its host lost power or its cable. It is dead 15 s
/// after the last sign of life.
async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream =
        TcpStream::connect((host, port)).await.map_err(|e| refused(&format!("tcp://{host}:{port}"), &e))?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(6))
        .with_interval(Duration::from_secs(3))
        .with_retries(3);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

fn refused(address: &str, error: &io::Error) -> io::Error {
    Below::io(EngineErrorKind::Unreachable, format!("cannot connect to {address}: {error}"))
}

/// IPv6 addresses stand in brackets in an address and without them everywhere else.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::model::host::Capacity;

    #[test]
    fn only_what_the_settings_allow_is_dialled() {
        let to = |engine: &str, allow: Option<&[&str]>| {
            let host = Host {
                name: "far".parse().expect("a name"),
                address: "192.0.2.1".parse().expect("an address"),
                engine: engine.parse().expect("an engine"),
                environments: BTreeSet::new(),
                labels: BTreeMap::new(),
                capacity: Capacity::default(),
                swarm: None,
                availability: None,
                drain: false,
                origin: String::new(),
            };
            let allow =
                allow.map(|places| places.iter().map(|place| place.parse().expect("a place")).collect());
            Dial::to(&host, &EngineSettings { allow, ..EngineSettings::default() }).map(drop)
        };
        let allowed: &[&str] = &["192.0.2.0/24", "unix:///run/a.sock"];
        for (engine, dialled) in [
            ("unix:///run/a.sock", true),
            ("unix:///run/b.sock", false),
            ("ssh://ops@192.0.2.9", true),
            ("ssh://ops@198.51.100.9", false),
        ] {
            assert_eq!(to(engine, Some(allowed)).is_ok(), dialled, "{engine}");
            assert_eq!(to(engine, None), Ok(()), "{engine}");
            assert!(
                to(engine, Some(&[])).is_err_and(|why| why.contains("`allow` under [engines]")),
                "{engine}"
            );
        }
    }
}
