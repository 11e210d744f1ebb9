//! The server line of the generated Nginx files, written and read back: `server 192.0.2.7:8080; # quote-prod-0 on a1`.
//!
//! The comment is the memory from which an instance that cannot be read keeps its line (A1).

use std::net::SocketAddr;

use super::Endpoint;
use crate::model::names::{AppKey, HostName, InstanceName};

/// What a server line says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerLine {
    pub instance: InstanceName,
    pub host: HostName,
    pub address: SocketAddr,
}

/// The line for `endpoint`, without indentation or line end; `parameters` are Nginx's, each with a leading space.
/// What was kept looks as it looked before, so that not knowing never changes a file.
pub fn write(endpoint: &Endpoint, parameters: &str) -> String {
    // `SocketAddr` writes IPv6 in brackets, as Nginx wants it.
    format!("server {}{parameters}; # {} on {}", endpoint.address, endpoint.instance, endpoint.host)
}

/// The server lines of `key` in a generated file. Lines that are not of that form (edited by hand, of another app, the
/// placeholder of an empty set) are not returned: nothing is guessed from them.
pub fn parse(text: &str, key: &AppKey) -> Vec<ServerLine> {
    let mut lines: Vec<ServerLine> =
        text.lines().filter_map(one).filter(|line| &line.instance.key == key).collect();
    lines.sort();
    lines.dedup();
    lines
}

fn one(text: &str) -> Option<ServerLine> {
    let (directive, comment) = text.trim().split_once("; # ")?;
    let address = directive.strip_prefix("server ")?.split(' ').next()?;
    let (instance, host) = comment.split_once(" on ")?;
    Some(ServerLine {
        instance: instance.parse().ok()?,
        host: host.parse().ok()?,
        address: address.parse().ok()?,
    })
}
