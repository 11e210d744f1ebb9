//! A small fleet for the tests of endpoints, render and the real Nginx: one app `quote-prod` on hosts `h1`, `h2`, ….

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::app::{
    App, Balance, Demand, Failover, HostSelector, LogSource, OnReturn, Placement, PullPolicy, Replicas,
    Runtime, Update, Upstream,
};
use crate::model::container::{ContainerSpec, Logging, Port, Protocol};
use crate::model::desired::{Desired, FlumeDefaults};
use crate::model::host::{Capacity, EngineAddress, Host};
use crate::model::image::Digest;
use crate::model::names::{AppKey, HostName, InstanceName, Revision};
use crate::model::observed::{
    Container, Engine, EngineInfo, Health, LiveAttachment, LiveSpec, Observed, RunState, Seen,
};
use crate::model::ownership::Owner;
use crate::model::secrecy::{ContentHash, HashKey};
use crate::model::units::{ByteSize, Timestamp};

pub fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a valid name")
}

pub fn owner() -> Owner {
    Owner { installation: "i-1".into(), fleet: name("community") }
}

pub fn upstream() -> Upstream {
    Upstream {
        port: 8080,
        server_names: vec!["quote.example".into()],
        listen: 80,
        balance: Balance::LeastConn,
        keepalive: Some(64),
        max_fails: Some(3),
        fail_timeout: Some(name("1500ms")),
        network: None,
    }
}

pub fn log(directory: &str, pattern: &str, topic: &str) -> LogSource {
    LogSource { directory: directory.into(), pattern: pattern.into(), topic: topic.into() }
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
        upstream: Some(upstream()),
        logs: Vec::new(),
        protect: false,
        adopt: false,
        adopted: Default::default(),
        detect_only: false,
        ignore: BTreeSet::new(),
        pull: PullPolicy::Never,
        origin: "apps/quote/app.toml:1".into(),
    }
}

/// Hosts `h1` to `hN` at 192.0.2.1 to 192.0.2.N.
pub fn desired(hosts: u8, apps: Vec<App>) -> Desired {
    let host = |n: u8| Host {
        name: name(&format!("h{n}")),
        address: IpAddr::from([192, 0, 2, n]),
        engine: EngineAddress::Simulated,
        environments: BTreeSet::from([name("prod")]),
        labels: BTreeMap::new(),
        capacity: Capacity::default(),
        swarm: None,
        availability: None,
        drain: false,
        origin: "hosts.toml:1".into(),
    };
    Desired {
        revision: Revision::new("0123456789abcdef"),
        fleet: name("community"),
        environments: BTreeMap::new(),
        hosts: (1..=hosts).map(|n| (name(&format!("h{n}")), host(n))).collect(),
        networks: BTreeMap::new(),
        apps: apps.into_iter().map(|app| (app.key.clone(), Arc::new(app))).collect(),
        swarms: BTreeMap::new(),
        flume: FlumeDefaults {
            brokers: vec!["kafka-1.example:9092".into(), "[2001:db8::9]:9092".into()],
            state_dir: "/var/lib/flume".into(),
        },
        detect_only: false,
        contents: BTreeMap::new(),
        scope: None,
    }
}

fn live(address: Option<IpAddr>) -> LiveSpec {
    let networks = address
        .map(|address| LiveAttachment { address: Some(address), ..LiveAttachment::default() })
        .map(|attachment| ("market".to_owned(), attachment));
    LiveSpec {
        network_mode: "market".into(),
        networks: networks.into_iter().collect(),
        logging: Logging { driver: "json-file".into(), options: BTreeMap::new() },
        ..LiveSpec::default()
    }
}

/// A healthy container of ours at `address` on the network `market`.
pub fn container(instance: &str, host: &str, address: &str) -> Container {
    let own: InstanceName = name(instance);
    let labels = owner().container_labels(
        &own,
        &name::<HostName>(host),
        &ContentHash::of(b"spec"),
        std::iter::empty(),
    );
    Container {
        id: format!("id-{instance}"),
        name: own.container(),
        image: name::<Digest>(&format!("sha256:{}", "a".repeat(64))),
        image_name: "quote:1".into(),
        created: Timestamp(1),
        state: RunState::Running { since: Timestamp(2), health: Health::Healthy },
        restarts: 0,
        beyond: Default::default(),
        anonymous: Default::default(),
        veiled: false,
        labels,
        live: live((!address.is_empty()).then(|| name(address))),
    }
}

pub fn in_state(mut container: Container, state: RunState) -> Container {
    container.state = state;
    container
}

pub fn running(health: Health) -> RunState {
    RunState::Running { since: Timestamp(2), health }
}

/// Publishes the container's port 8080.
pub fn published(mut container: Container, address: Option<&str>, host: Option<u16>) -> Container {
    let address = address.map(name);
    container.live.ports.insert(Port { container: 8080, protocol: Protocol::Tcp, host, address });
    container
}

pub fn engine(containers: Vec<Seen<Container>>) -> Seen<Engine> {
    let mut named = BTreeMap::new();
    for (n, container) in containers.into_iter().enumerate() {
        let key = container.known().map_or_else(|| name(&format!("quote-prod-{n}")), |c| c.name.clone());
        named.insert(key, container);
    }
    Seen::Known(Engine {
        info: EngineInfo {
            id: "id".into(),
            name: "h".into(),
            version: "20.10".into(),
            api_version: "1.41".into(),
            os: "linux".into(),
            architecture: "x86_64".into(),
            cpus: 2,
            memory: ByteSize(1 << 30),
            log_driver: "json-file".into(),
            membership: None,
            swarm: None,
            clock: None,
        },
        containers: named,
        images: BTreeMap::new(),
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        volumes_hidden: None,
    })
}

pub fn observed(hosts: Vec<(&str, Seen<Engine>)>) -> Observed {
    Observed {
        at: Timestamp(10),
        key: HashKey::new([0; 32]).id(),
        hosts: hosts.into_iter().map(|(host, engine)| (name(host), engine)).collect(),
        swarms: BTreeMap::new(),
        files: BTreeMap::new(),
    }
}

pub fn known(containers: Vec<Container>) -> Seen<Engine> {
    engine(containers.into_iter().map(Seen::Known).collect())
}

pub fn key(text: &str) -> AppKey {
    name(text)
}
