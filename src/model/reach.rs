//! Where engines may be dialled as the reconciler's own settings say it, whatever a commit names (F4).

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::host::EngineAddress;

/// One entry of `[engines].allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Engines over TLS, ssh or TCP whose address is written as a number.
    Range(IpNet),
    /// A host by the very name that a commit writes; what the name leads to is not looked at.
    Host(String),
    /// Every name that ends so: `.example.org`.
    HostsBelow(String),
    /// A socket of this machine.
    Socket(String),
}

impl Reach {
    pub fn covers(&self, engine: &EngineAddress) -> bool {
        match engine {
            EngineAddress::Unix { path } => *self == Self::Socket(path.clone()),
            EngineAddress::Tcp { host, .. } | EngineAddress::Ssh { host, .. } => self.covers_host(host),
            EngineAddress::Simulated => false,
        }
    }

    fn covers_host(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let address = host.parse::<IpAddr>().map(|address| address.to_canonical());
        match (self, address) {
            (Self::Range(range), Ok(address)) => range.contains(&address),
            (Self::Host(name), Err(_)) => *name == host,
            (Self::HostsBelow(end), Err(_)) => host.ends_with(end.as_str()),
            (Self::Range(_), Err(_))
            | (Self::Host(_) | Self::HostsBelow(_), Ok(_))
            | (Self::Socket(_), _) => false,
        }
    }
}

impl FromStr for Reach {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(EngineAddress::Unix { path }) = text.parse() {
            return Ok(Self::Socket(path));
        }
        if let Ok(range) = text.parse::<IpNet>() {
            return Ok(Self::Range(range.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Range(address.to_canonical().into()));
        }
        let below = text.strip_prefix("*.");
        let name = below.unwrap_or(text).to_ascii_lowercase();
        let label = |part: &str| {
            !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c))
        };
        // What ends in a number is an address to those who dial, however it is written.
        let numeric =
            name.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
        if numeric || !name.split('.').all(label) {
            return Err(format!(
                "{text:?} is no place of engines: write a range of addresses (192.0.2.0/24), a socket \
                 (unix:///var/run/docker.sock) or a host's name (rack-a.example.org, *.example.org)"
            ));
        }
        Ok(if below.is_some() { Self::HostsBelow(format!(".{name}")) } else { Self::Host(name) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(allowed: &str, engine: &str) -> bool {
        let engine: EngineAddress = engine.parse().expect(engine);
        allowed.parse::<Reach>().expect(allowed).covers(&engine)
    }

    #[test]
    fn an_engine_is_covered_by_what_names_it() {
        for (allowed, engine) in [
            ("192.0.2.0/24", "tcp://192.0.2.7:2376"),
            ("192.0.2.0/24", "tcp://[::ffff:192.0.2.7]:2376"),
            ("192.0.2.7", "ssh://ops@192.0.2.7"),
            ("2001:db8::/32", "tcp://[2001:db8::1]:2376"),
            ("rack-a.example.org", "ssh://Rack-A.example.org:22"),
            ("*.example.org", "tcp://rack-a.example.org"),
            ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
        ] {
            assert!(covers(allowed, engine), "{allowed} {engine}");
        }
    }

    #[test]
    fn what_is_written_otherwise_is_elsewhere() {
        for (allowed, engine) in [
            ("192.0.2.0/24", "tcp://198.51.100.1:2376"),
            ("127.0.0.0/8", "tcp://127.1:2376"),
            ("0.0.0.0/0", "tcp://rack-a.example.org"),
            ("0.0.0.0/0", "unix:///var/run/docker.sock"),
            ("rack-a", "tcp://rack-a.example.org"),
            ("*.example.org", "tcp://example.org"),
            ("*.example.org", "tcp://badexample.org"),
            ("unix:///var/run/docker.sock", "unix:///var/run//docker.sock"),
        ] {
            assert!(!covers(allowed, engine), "{allowed} {engine}");
        }
        for bad in ["", "*", "unix://x", "127.1", "0x7f.1", "tcp://a", "a b", "192.0.2.0/33", "*.*.org"] {
            assert!(bad.parse::<Reach>().is_err(), "{bad}");
        }
    }
}
