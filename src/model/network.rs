//! Networks and the address pools instances lease from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::names::{NetworkName, PoolName};

/// A declared network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub name: NetworkName,
    pub spec: NetworkSpec,
    /// Ranges that instances lease from.
    pub pools: BTreeMap<PoolName, AddressRange>,
    /// Never leased: routers, appliances, people.
    pub reserved: BTreeSet<IpAddr>,
    /// `true`: made by someone else; trueup attaches to it and never creates or removes it.
    pub external: bool,
    /// Where it is declared, for messages: `file:line`.
    pub origin: String,
}

/// A spec and the list of its modelled fields, so that no comparer and no test can forget one.
macro_rules! spec {
    ($(#[$spec_doc:meta])* $spec:ident, $list:ident { $($(#[$doc:meta])* $field:ident / $variant:ident: $type:ty,)* }) => {
        $(#[$spec_doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $spec { $($(#[$doc])* pub $field: $type,)* }

        #[doc = concat!("The modelled fields, one for each field of [`", stringify!($spec), "`].")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $list { $($(#[$doc])* $variant,)* }

        impl $list {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($field),)* }
            }
        }
    };
}

spec! {
    /// What git declares of a network on an engine.
    NetworkSpec, NetworkField {
        driver / Driver: NetworkDriver,
        /// `None` lets the engine choose.
        subnet / Subnet: Option<IpNet>,
        gateway / Gateway: Option<IpAddr>,
        /// The part of the subnet from which the engine itself hands out addresses.
        ip_range / IpRange: Option<IpNet>,
        /// macvlan and ipvlan: the host's interface.
        parent / Parent: Option<String>,
        /// No way out.
        internal / Internal: bool,
        /// Overlay: containers outside services may join.
        attachable / Attachable: bool,
        /// Driver options, such as `com.docker.network.driver.mtu`.
        options / Options: BTreeMap<String, String>,
        /// The network's own labels. Never under `io.trueup.`.
        labels / Labels: BTreeMap<String, String>,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkDriver {
    Bridge,
    Overlay,
    Macvlan,
    Ipvlan,
}

impl NetworkDriver {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Overlay => "overlay",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
        }
    }
    /// Whether the same address may be taken on two hosts without anybody noticing (C4): on one shared segment,
    /// trueup's leases are the only coordination.
    pub const fn shares_segment_between_hosts(self) -> bool {
        match self {
            Self::Macvlan | Self::Ipvlan | Self::Overlay => true,
            Self::Bridge => false,
        }
    }
}

/// Addresses from `first` to `last`, both included, of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRange {
    pub first: IpAddr,
    pub last: IpAddr,
}

impl AddressRange {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.first.is_ipv4() == other.first.is_ipv4() && self.first <= other.last && other.first <= self.last
    }

    /// Every address, lowest first. A pool is at most 65,536 addresses (checked when it is read).
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let (first, last) = (as_number(self.first), as_number(self.last));
        let v4 = self.first.is_ipv4();
        (first..=last).map(move |n| from_number(n, v4))
    }

    /// How many addresses it has.
    pub fn len(&self) -> u128 {
        (as_number(self.last).saturating_sub(as_number(self.first))).saturating_add(1)
    }

    pub fn is_empty(&self) -> bool {
        self.first > self.last
    }
}

fn as_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

fn from_number(number: u128, v4: bool) -> IpAddr {
    if v4 {
        // Numbers here come from a V4 range, so they fit in 32 bits.
        IpAddr::V4(u32::try_from(number).unwrap_or(u32::MAX).into())
    } else {
        IpAddr::V6(number.into())
    }
}

/// A declared volume; only named by mounts, created where missing, never removed (B5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub spec: VolumeSpec,
    /// `true`: made by someone else, used as it is.
    pub external: bool,
}

spec! {
    /// What git declares of a volume on an engine.
    VolumeSpec, VolumeField {
        driver / Driver: String,
        /// The driver's own options.
        options / Options: BTreeMap<String, String>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_counts_both_ends() {
        let range = AddressRange {
            first: "192.0.2.254".parse().expect("address"),
            last: "192.0.3.1".parse().expect("address"),
        };
        let all: Vec<String> = range.iter().map(|a| a.to_string()).collect();
        assert_eq!(all, ["192.0.2.254", "192.0.2.255", "192.0.3.0", "192.0.3.1"]);
        assert_eq!(range.len(), 4);
        assert!(range.contains("192.0.3.0".parse().expect("address")));
        assert!(!range.contains("::1".parse().expect("address")));
    }
}
