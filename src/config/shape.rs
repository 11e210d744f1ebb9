//! The files of the config repository as people write them. The reference page and the JSON Schema come from here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

macro_rules! shape {
    ($($(#[$meta:meta])* struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
        #[serde(default)]
        #[schemars(deny_unknown_fields)]
        pub(super) struct $name { $($(#[$field_meta])* pub $field: $type,)* }
    )* };
}

shape! {
    /// `fleet.toml`: the fleet, its environments, defaults.
    struct FleetFile {
        /// The fleet's name.
        fleet: Option<String>,
        /// Every environment an app may run in, such as `["test", "prod"]`; a-z and 0-9 only.
        environments: Vec<String>,
        /// Report drift everywhere and change nothing (A6).
        detect_only: bool,
        /// What every app starts from.
        defaults: DefaultsShape,
        /// More about an environment.
        environment: BTreeMap<String, EnvironmentShape>,
        /// Swarms by name.
        swarm: BTreeMap<String, SwarmShape>,
        /// What every Flume agent shares.
        flume: FlumeShape,
        /// Teams by name, for reports.
        team: BTreeMap<String, TeamShape>,
    }
    struct DefaultsShape {
        /// Any key of an app, as `apps/NAME/app.toml` has it.
        app: AppFile,
    }
    struct EnvironmentShape {
        /// The stricter rules hold here: the last instance of an app always waits for a person (B3).
        production: bool,
        /// Report drift and change nothing (A6).
        detect_only: bool,
    }
    struct SwarmShape {
        /// Hosts that are its managers.
        managers: Vec<String>,
    }
    struct TeamShape {
        /// How to reach it.
        contact: Option<String>,
    }
    struct FlumeShape {
        /// `host:port` of Kafka's brokers; none: no agents are written.
        brokers: Vec<String>,
        /// Where Flume keeps positions and channels on each host.
        state_dir: Option<String>,
    }

    /// `hosts/*.toml`: machines with a Docker engine.
    struct HostsFile {
        /// Hosts by name.
        host: BTreeMap<String, HostShape>,
    }
    struct HostShape {
        /// The address at which the others reach it.
        address: Option<String>,
        /// `unix:///path`, `tcp://host:2376` (TLS) or `ssh://user@host`.
        engine: Option<String>,
        /// What may run here (F5).
        environments: Vec<String>,
        /// Words to select it by, such as `{ zone = "a", role = "app" }`.
        labels: BTreeMap<String, String>,
        /// What it offers; what is not said is not counted.
        capacity: CapacityShape,
        /// The Swarm it is a member of; its labels become the node's, as `node.labels.NAME`.
        swarm: Option<String>,
        /// What Swarm may give it: `"active"`, `"pause"` or `"drain"`; left alone by default.
        availability: Option<AvailabilityShape>,
        /// Planned work: everything leaves gracefully.
        drain: bool,
    }
    struct CapacityShape {
        /// Number of CPUs.
        cpus: Option<f64>,
        /// Such as `"64GiB"`.
        memory: Option<String>,
    }

    /// `networks/*.toml`: networks and address pools.
    struct NetworksFile {
        /// Networks by name; the name on the engine is the same.
        network: BTreeMap<String, NetworkShape>,
    }
    struct NetworkShape {
        /// `"bridge"`, `"overlay"`, `"macvlan"` or `"ipvlan"`.
        driver: Option<DriverShape>,
        /// Such as `"192.0.2.0/24"`; without it the engine chooses.
        subnet: Option<String>,
        /// The router's address.
        gateway: Option<String>,
        /// The part of the subnet from which the engine itself hands out addresses.
        ip_range: Option<String>,
        /// macvlan and ipvlan: the host's interface.
        parent: Option<String>,
        /// No way out.
        internal: bool,
        /// Overlay: containers outside services may join.
        attachable: bool,
        /// Driver options.
        options: BTreeMap<String, String>,
        /// The network's own labels.
        labels: BTreeMap<String, String>,
        /// Ranges that instances lease from: `{ quotes = "192.0.2.64-192.0.2.95" }`.
        pools: BTreeMap<String, String>,
        /// Addresses that are never leased.
        reserved: Vec<String>,
        /// Made by someone else; trueup attaches to it and never creates or removes it.
        external: bool,
    }

    /// `apps/NAME/app.toml`, and what differs in an environment in `apps/NAME/ENVIRONMENT.toml`.
    struct AppFile {
        /// The app's name; the folder's name.
        app: Option<String>,
        /// The team that owns it.
        team: Option<String>,
        /// Where it runs; every overlay file adds its own environment.
        environments: Vec<String>,
        /// `registry/name:tag` or `name@sha256:…`. Set it per environment (F5).
        image: Option<String>,
        /// `"missing"` asks the registry, `"never"` uses only what the engine has.
        pull: Option<PullShape>,
        /// `"host"`: trueup places instances. `"swarm"`: Swarm schedules.
        runtime: Option<RuntimeShape>,
        /// How many instances: a number, or `"every-host"`.
        replicas: Option<ReplicasShape>,
        /// Arguments; without it the image's.
        command: Option<Vec<String>>,
        /// What runs before the command; without it the image's.
        entrypoint: Option<Vec<String>>,
        /// Variables; the values stand plain in git.
        env: BTreeMap<String, EnvShape>,
        /// The directory the process starts in.
        workdir: Option<String>,
        /// `user[:group]`.
        user: Option<String>,
        /// The container's own host name.
        hostname: Option<String>,
        /// The app's own labels; not under `io.trueup.`.
        labels: BTreeMap<String, String>,
        /// `"8080:80/tcp"`, `"127.0.0.1:8080:80"` or `"80"` (the engine chooses the host's port).
        ports: Vec<String>,
        /// Directories, volumes, memory and files of the repository.
        mount: Vec<MountShape>,
        /// More about named volumes.
        volume: BTreeMap<String, VolumeShape>,
        /// Networks by name.
        network: BTreeMap<String, AttachmentShape>,
        /// Instead of networks: `"host"`, `"none"` or `"default"`.
        network_mode: Option<NetworkModeShape>,
        /// What an instance may use.
        limits: LimitsShape,
        /// `"no"`, `"always"`, `"unless-stopped"`, `"on-failure"` or `"on-failure:5"`.
        restart: Option<String>,
        /// How the engine sees that it is well.
        health: Option<HealthShape>,
        /// Capabilities on top of Docker's, without `CAP_`.
        cap_add: Vec<String>,
        /// Capabilities taken away, or `ALL`.
        cap_drop: Vec<String>,
        /// All capabilities and devices.
        privileged: bool,
        /// The container's own file system cannot be written.
        read_only: bool,
        /// A tiny init as process 1.
        init: Option<bool>,
        /// Such as `["no-new-privileges"]`.
        security_opt: Vec<String>,
        /// Kernel parameters.
        sysctls: BTreeMap<String, String>,
        /// Such as `{ nofile = { soft = 1024, hard = 4096 } }`.
        ulimits: BTreeMap<String, UlimitShape>,
        /// Devices of the host.
        device: Vec<DeviceShape>,
        /// Name servers.
        dns: Vec<String>,
        /// Lines for /etc/hosts: name to address.
        extra_hosts: BTreeMap<String, String>,
        /// Where stdout and stderr go.
        logging: Option<LoggingShape>,
        /// The signal that asks it to end.
        stop_signal: Option<String>,
        /// How long it may take to end, such as `"30s"`; whole seconds on hosts.
        stop_timeout: Option<String>,
        /// Where instances go.
        place: PlaceShape,
        /// How a change is rolled out.
        rollout: RolloutShape,
        /// Apps of the same environment that must be healthy first.
        depends_on: Vec<String>,
        /// The Nginx upstream of its healthy instances.
        upstream: Option<UpstreamShape>,
        /// Log files that Flume collects.
        log: Vec<LogShape>,
        /// Never pruned (B2).
        protect: bool,
        /// Take over containers that trueup did not make (B4): `true` those with the instances' own names, or, by slot,
        /// `{ 0 = "shop-web-1@rack-a" }` the one of that name on that host; on a Swarm `{ service = "shop_web" }`. See
        /// docs/import.md.
        adopt: Option<AdoptShape>,
        /// Report drift and change nothing (A6).
        detect_only: bool,
        /// Fields whose drift is reported and not healed, such as `["memory"]`, or one variable: `["env.TZ"]` (A6).
        ignore: Vec<String>,
        /// With `runtime = "swarm"`: the Swarm of fleet.toml, and its constraints.
        swarm: SwarmServiceShape,
    }
    struct SwarmServiceShape {
        /// The Swarm's name; not needed where fleet.toml has only one.
        name: Option<String>,
        /// One task on every node that fits the constraints.
        global: bool,
        /// Tasks are meant to end: `replicas` of them have to end well, or one on every node with `global`.
        job: bool,
        /// Jobs: how many run at once; all by default.
        at_once: Option<u32>,
        /// Placement constraints, such as `"node.labels.zone == a"`; the labels are those of the inventory.
        constraints: Vec<String>,
        /// Labels over whose values tasks are spread, such as `"node.labels.zone"`.
        spread: Vec<String>,
        /// Most tasks on one node.
        max_per_node: Option<u32>,
        /// Labels of the service itself; their change restarts nothing. The app's `labels` are the containers'.
        labels: BTreeMap<String, String>,
        /// `"vip"` by default, or `"dnsrr"`.
        endpoint_mode: Option<EndpointModeShape>,
        /// How `ports` are published: `"ingress"` (on every node) by default, or `"host"` (on the task's node).
        publish: Option<PublishShape>,
        /// CPUs that the scheduler sets apart; memory is `limits.memory_reservation`.
        cpus_reservation: Option<f64>,
        /// More about `restart`.
        restart: TaskRestartShape,
        /// Swarm's own update settings; what is left out follows from `rollout`.
        update: UpdateShape,
        /// How Swarm goes back; its own defaults without it.
        rollback: Option<UpdateShape>,
    }
    struct TaskRestartShape {
        /// Before a task that ended is replaced; Swarm's `"5s"` by default.
        delay: Option<String>,
        /// Tries within the window; unlimited by default, or what `restart = "on-failure:N"` says.
        max_attempts: Option<u32>,
        window: Option<String>,
    }
    struct UpdateShape {
        /// Tasks at once, 0 is all; `rollout.max_unavailable` by default.
        parallelism: Option<u32>,
        /// Between two batches; none by default.
        delay: Option<String>,
        /// How long a new task is watched for failure; `rollout.min_healthy` by default.
        monitor: Option<String>,
        /// `"rollback"` by default, `"pause"` or `"continue"`.
        on_failure: Option<OnFailureShape>,
        /// Share of tasks that may fail; 0 by default.
        max_failure_ratio: Option<f64>,
        /// `"stop-first"` by default, or `"start-first"`.
        order: Option<OrderShape>,
    }
    struct MountShape {
        /// A directory or file of the host.
        host: Option<String>,
        /// A named volume.
        volume: Option<String>,
        /// Memory: its size such as `"64MiB"`, or `"unlimited"`.
        tmpfs: Option<String>,
        /// A file of the app's own folder; its content is part of the spec (D9).
        file: Option<String>,
        /// Path in the container.
        at: Option<String>,
        read_only: bool,
        /// Files: permission bits in octal, `"0400"` by default.
        mode: Option<String>,
        /// `"disposable"`: losing it does not matter, so it does not pin the app to its host (B5).
        data: Option<DataShape>,
    }
    struct VolumeShape {
        /// `"local"` by default.
        driver: Option<String>,
        /// Driver options.
        options: BTreeMap<String, String>,
        /// Made by someone else; used by this very name.
        external: bool,
    }
    struct AttachmentShape {
        /// Lease an address from this pool.
        pool: Option<String>,
        /// The fixed address of the only instance.
        address: Option<String>,
        /// Fixed addresses, one for each instance.
        addresses: Vec<String>,
        /// Further names it answers to there.
        aliases: Vec<String>,
    }
    struct LimitsShape {
        cpus: Option<f64>,
        /// Such as `"512MiB"`.
        memory: Option<String>,
        /// Soft limit.
        memory_reservation: Option<String>,
        /// Most processes and threads.
        pids: Option<u32>,
        /// Size of /dev/shm.
        shm_size: Option<String>,
    }
    struct HealthShape {
        /// Switch the image's check off.
        disabled: bool,
        /// The check as a list of words, run in the container without a shell.
        command: Option<Vec<String>>,
        /// The check as a line for the container's shell.
        shell: Option<String>,
        /// Ask this page with the container's own wget or curl.
        http: Option<HttpShape>,
        /// Time between two checks; `"0s"` is the image's or Docker's own, as leaving it out.
        interval: Option<String>,
        timeout: Option<String>,
        /// Failures in this time after the start do not count.
        start_period: Option<String>,
        /// Failures in a row that make it unhealthy; 0 is as leaving it out.
        retries: Option<u32>,
    }
    struct HttpShape {
        port: u16,
        /// `/` by default.
        path: Option<String>,
    }
    struct UlimitShape {
        soft: Option<i64>,
        hard: Option<i64>,
    }
    struct DeviceShape {
        /// Path on the host.
        host: Option<String>,
        /// Path in the container; the host's by default.
        at: Option<String>,
        /// `"rwm"` by default.
        permissions: Option<String>,
    }
    struct LoggingShape {
        driver: Option<String>,
        /// json-file and local: size at which a file is rotated, such as `"20MiB"`.
        max_size: Option<String>,
        /// json-file and local: how many files are kept.
        max_files: Option<u32>,
        /// Further options of the driver.
        options: BTreeMap<String, String>,
    }
    struct PlaceShape {
        /// Labels that a host must have, or a list of names.
        hosts: Option<HostsShape>,
        /// The host label over whose values instances are spread, such as `"zone"`.
        spread: Option<String>,
        /// Never two on one host.
        one_per_host: bool,
        failover: Option<FailoverShape>,
        /// Never two of a slot at once (C7).
        exclusive: bool,
        on_return: Option<OnReturnShape>,
    }
    struct RolloutShape {
        strategy: Option<StrategyShape>,
        /// How many may be away at once; 1 by default.
        max_unavailable: Option<u32>,
        /// How long an instance must be healthy before it counts; `"10s"` by default.
        min_healthy: Option<String>,
        /// `"5m"` by default.
        healthy_deadline: Option<String>,
        /// How long requests may finish after it left the upstream; `"30s"` by default.
        drain_timeout: Option<String>,
    }
    struct UpstreamShape {
        /// The port in the container.
        port: u16,
        /// Names of the virtual host; none: only the upstream is written.
        server_name: Vec<String>,
        /// The port the virtual host listens on; 80 by default.
        listen: Option<u16>,
        balance: Option<BalanceShape>,
        /// Idle connections kept per worker.
        keepalive: Option<u32>,
        max_fails: Option<u32>,
        fail_timeout: Option<String>,
        /// The network whose addresses the servers have.
        network: Option<String>,
    }
    struct LogShape {
        /// As the app sees it, such as `"/var/log/quote/*.log"`; a mount says where that is on the host.
        files: Option<String>,
        /// The Kafka topic.
        topic: Option<String>,
    }
}

macro_rules! words {
    ($($(#[$meta:meta])* enum $name:ident { $($variant:ident),* $(,)? })*) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub(super) enum $name { $($variant),* }
    )* };
}

words! {
    enum DriverShape { Bridge, Overlay, Macvlan, Ipvlan }
    enum PullShape { Missing, Never }
    enum RuntimeShape { Host, Swarm }
    enum EndpointModeShape { Vip, Dnsrr }
    enum PublishShape { Ingress, Host }
    enum OnFailureShape { Pause, Continue, Rollback }
    enum OrderShape { StopFirst, StartFirst }
    enum AvailabilityShape { Active, Pause, Drain }
    enum NetworkModeShape { Default, Host, None }
    enum DataShape { Disposable }
    enum FailoverShape { Move, Stay }
    enum StrategyShape { Rolling, Recreate }
}

/// What happens to a replacement when the original's host comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnReturnShape {
    KeepReplacement,
    KeepOriginal,
}

/// How Nginx chooses a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum BalanceShape {
    RoundRobin,
    LeastConn,
    IpHash,
    Random,
}

/// A number, or `"every-host"`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ReplicasShape {
    // Negative ones are read, so that they can be told.
    Count(#[schemars(range(min = 0, max = 10_000))] i64),
    Word(String),
}

/// Whether, or which containers by slot.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum AdoptShape {
    Whether(bool),
    Named(BTreeMap<String, String>),
}

/// Labels, or a list of names.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum HostsShape {
    Names(Vec<String>),
    Labels(BTreeMap<String, String>),
}

/// Text, a number or a flag; all reach the process as text.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum EnvShape {
    Text(String),
    Number(i64),
    Flag(bool),
    #[schemars(skip)]
    Secret {
        secret: String,
    },
}
