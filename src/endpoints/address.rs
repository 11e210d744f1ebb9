//! Where an instance is reached: on the upstream's network, at a published port, or at its only address.

use std::net::{IpAddr, SocketAddr};

use crate::model::app::Upstream;
use crate::model::container::Protocol;
use crate::model::host::Host;
use crate::model::observed::LiveSpec;

/// The address and port for `upstream`, or why there is none.
pub(super) fn of(upstream: &Upstream, host: &Host, live: &LiveSpec) -> Result<SocketAddr, String> {
    let port = upstream.port;
    if port == 0 {
        return Err("its upstream port is 0".to_owned());
    }
    if let Some(network) = &upstream.network {
        return match live.networks.get(network.as_str()).and_then(|a| a.address) {
            Some(address) => usable(address).map(|a| SocketAddr::new(a, port)),
            None => Err(format!("it has no address on the network {network}")),
        };
    }
    if live.network_mode == "host" {
        return usable(host.address).map(|a| SocketAddr::new(a, port));
    }
    if let Some(published) = published(port, host, live) {
        return usable(published.ip()).map(|_| published);
    }
    let mut addresses = live.networks.values().filter_map(|a| a.address);
    match (addresses.next(), addresses.next()) {
        (Some(address), None) => usable(address).map(|a| SocketAddr::new(a, port)),
        (None, _) => Err(format!("port {port} is not published, and it has no address on any network")),
        (Some(_), Some(_)) => Err(format!(
            "port {port} is not published, and it is on several networks: name one with upstream.network"
        )),
    }
}

/// The host's side of the container port: a binding to every address of the family that the host's own is of is reached
/// there, and is preferred to one that is bound to a single address (which may be the loopback).
fn published(port: u16, host: &Host, live: &LiveSpec) -> Option<SocketAddr> {
    let bindings = || {
        live.ports.iter().filter(|p| p.container == port && p.protocol == Protocol::Tcp).filter_map(|p| {
            let number = p.host.filter(|n| *n != 0)?;
            match p.address {
                Some(all) if all.is_unspecified() => {
                    (all.is_ipv4() == host.address.is_ipv4()).then_some((None, number))
                }
                address => Some((address, number)),
            }
        })
    };
    let open = bindings().find(|(address, _)| address.is_none());
    let (address, number) = open.or_else(|| bindings().next())?;
    Some(SocketAddr::new(address.unwrap_or(host.address), number))
}

/// An address that a connection can be made to.
fn usable(address: IpAddr) -> Result<IpAddr, String> {
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("{address} is not an address to connect to"));
    }
    Ok(address)
}
