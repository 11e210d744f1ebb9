//! A small fleet: hosts `h1`, `h2`, …, the macvlan `market` with the pool `quotes`, and apps as simple as can be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::app::{
    AddressSource, App, Demand, Failover, HostSelector, OnReturn, Placement, PullPolicy, Replicas, Runtime,
    Update,
};
use crate::model::container::{Attachment, ContainerSpec, Mount, MountSource, Networks};
use crate::model::desired::{Desired, Environment, FlumeDefaults, ImageLock};
use crate::model::file::Rendered;
use crate::model::host::{Capacity, EngineAddress, Host};
use crate::model::names::{AppKey, Revision};
use crate::model::network::{AddressRange, Network, NetworkDriver, NetworkSpec, Volume, VolumeSpec};
use crate::model::observed::Observed;
use crate::model::ownership::Owner;
use crate::model::plan::Plan;
use crate::model::secrecy::HashKey;
use crate::model::settings::Limits;
use crate::model::units::Timestamp;
use crate::plan::{Holds, PlanInput, plan};

/// The moment of every plan in these tests: long after everything in the world was started.
pub const NOW: Timestamp = Timestamp(10_000_000);

pub fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a valid name")
}

pub fn owner() -> Owner {
    Owner { installation: "i-1".into(), fleet: name("community") }
}

pub fn key() -> HashKey {
    HashKey::new([7; 32])
}

pub fn app(key: &str, replicas: u32) -> App {
    App {
        key: name(key),
        team: None,
        runtime: Runtime::Host(Placement {
            replicas: Replicas::Count(replicas),
            hosts: HostSelector::Any,
            spread: None,
            one_per_host: false,
            failover: Failover::Move,
            on_return: OnReturn::KeepReplacement,
            exclusive: false,
            demand: Demand::default(),
        }),
        container: ContainerSpec::of(name("quote:1")),
        leases: BTreeMap::new(),
        volumes: BTreeMap::new(),
        depends_on: BTreeSet::new(),
        update: Update::default(),
        upstream: None,
        logs: Vec::new(),
        protect: false,
        adopt: false,
        adopted: Default::default(),
        detect_only: false,
        ignore: BTreeSet::new(),
        pull: PullPolicy::Missing,
        origin: "apps/quote/app.toml:1".into(),
    }
}

pub fn place(app: &mut App) -> &mut Placement {
    match &mut app.runtime {
        Runtime::Host(placement) => placement,
        Runtime::Swarm(_) => panic!("these tests place by trueup"),
    }
}

/// On `market`, with an address of the pool `quotes`.
pub fn leasing(mut app: App) -> App {
    attach(&mut app, AddressSource::Pool(name("quotes")));
    app
}

/// On `market`, with these very addresses.
pub fn fixed(mut app: App, addresses: &[&str]) -> App {
    attach(&mut app, AddressSource::Fixed(addresses.iter().map(|a| ip(a)).collect()));
    app
}

fn attach(app: &mut App, source: AddressSource) {
    app.leases.insert(name("market"), source);
    app.container.networks = Networks::Named(BTreeMap::from([(name("market"), Attachment::default())]));
}

/// With a volume that holds data: it stays where it is (B5).
pub fn with_data(mut app: App) -> App {
    place(&mut app).failover = Failover::Stay;
    let spec = VolumeSpec { driver: "local".into(), options: BTreeMap::new() };
    app.volumes.insert(name("data"), Volume { spec, external: false });
    let mount = Mount { source: MountSource::Volume(name("data")), read_only: false };
    app.container.mounts.insert("/data".into(), mount);
    app
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub fn host(number: u8) -> Host {
    Host {
        name: name(&format!("h{number}")),
        address: IpAddr::from([198, 51, 100, number]),
        engine: EngineAddress::Simulated,
        environments: BTreeSet::from([name("prod"), name("test")]),
        labels: BTreeMap::from([(
            "zone".to_owned(),
            if number.is_multiple_of(2) { "b" } else { "a" }.to_owned(),
        )]),
        capacity: Capacity::default(),
        swarm: None,
        availability: None,
        drain: false,
        origin: "hosts/all.toml:1".into(),
    }
}

pub fn network(network: &str, driver: NetworkDriver) -> Network {
    Network {
        name: name(network),
        spec: NetworkSpec {
            driver,
            subnet: Some("192.0.2.0/24".parse().expect("a subnet")),
            gateway: Some(ip("192.0.2.1")),
            ip_range: None,
            parent: None,
            internal: false,
            attachable: false,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        },
        pools: BTreeMap::from([(
            name("quotes"),
            AddressRange { first: ip("192.0.2.64"), last: ip("192.0.2.79") },
        )]),
        reserved: BTreeSet::from([ip("192.0.2.64")]),
        external: false,
        origin: "networks/all.toml:1".into(),
    }
}

/// `hosts` hosts, the network `market`, and `apps`; `prod` is not marked as production unless a test does so.
pub fn desired(hosts: u8, apps: Vec<App>) -> Desired {
    Desired {
        revision: Revision::new("1111111111111111111111111111111111111111"),
        fleet: name("community"),
        environments: ["prod", "test"].iter().map(|e| (name(e), Environment::default())).collect(),
        hosts: (1..=hosts).map(host).map(|h| (h.name.clone(), h)).collect(),
        networks: BTreeMap::from([(name("market"), network("market", NetworkDriver::Macvlan))]),
        apps: apps.into_iter().map(|app| (app.key.clone(), Arc::new(app))).collect(),
        swarms: BTreeMap::new(),
        flume: FlumeDefaults::default(),
        detect_only: false,
        contents: BTreeMap::new(),
        scope: None,
    }
}

/// Changes the declared app.
pub fn edit(desired: &mut Desired, key: &str, change: impl FnOnce(&mut App)) {
    let key: AppKey = name(key);
    change(Arc::make_mut(desired.apps.get_mut(&key).expect("a declared app")));
}

pub fn plan_of(desired: &Desired, observed: &Observed) -> Plan {
    plan_with(desired, observed, &Holds::default())
}

pub fn plan_with(desired: &Desired, observed: &Observed, holds: &Holds) -> Plan {
    plan_rendered(desired, observed, holds, &Rendered::default())
}

pub fn plan_rendered(desired: &Desired, observed: &Observed, holds: &Holds, rendered: &Rendered) -> Plan {
    plan(&PlanInput {
        desired,
        observed,
        images: &ImageLock::default(),
        key: &key(),
        owner: &owner(),
        limits: &Limits::default(),
        now: NOW,
        rendered,
        holds,
    })
}

/// A complete memory: on which hosts each instance was seen last.
pub fn remembering(seen: &[(&str, &str)]) -> Holds {
    let last_seen = seen.iter().map(|(instance, host)| (name(instance), name(host))).collect();
    Holds { memory_complete: true, last_seen, ..Holds::default() }
}
