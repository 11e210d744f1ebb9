//! What trueup costs on a fleet of three engines that are a Swarm too: 90 containers and 30 services.
//!
//! Every line is beside its floor, measured in the same run: the bare API calls, `docker stack deploy`, Docker Compose.
//! Then one field of each kind is changed by hand and every one of them has to be told, so that nothing that only
//! compares hashes or labels could be as fast.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod calls;
mod compose;
mod create;
#[path = "../../fleet/mod.rs"]
mod fleet;
mod hands;
#[path = "../../stage/mod.rs"]
mod stage;
mod table;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use compose::Compose;
use fleet::Fleet;
use fleet::ground::{Ground, Running};
use fleet::services::{self, Files, SLEEP};
use stage::hand;
use table::{Table, median};
use trueup::model::container::ContainerField;

const CONTAINERS: usize = 90;
const SERVICES: usize = 30;
/// Rounds of one and the same thing differ by a tenth and more.
const ROUNDS: usize = 101;

fn main() {
    // `cargo bench --bench fleet -- look` or `create` measures one part alone.
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let part = |name: &str| asked.is_empty() || asked.iter().any(|word| word == name);
    let compose = Compose::find();
    if part("create") && compose.is_none() {
        eprintln!("{}", compose::MISSING);
        std::process::exit(1);
    }
    let mut table = Table::default();
    if part("look") {
        look(&mut table);
    }
    if let Some(compose) = compose.filter(|_| part("create")) {
        create::thirty(&mut table, &compose);
    }
    let holds = table.print();
    std::process::exit(i32::from(!holds));
}

fn look(table: &mut Table) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let fleet = Fleet::up(3, 1);
    for (image, mark) in [("box:1", "first"), ("box:2", "second"), ("trueup-test-fields:2", "third")] {
        fleet.push(image, &stage::pack_busybox(fleet.dir(), mark));
    }
    let mut ground = Ground::new(&fleet);
    ground.binary = installed(&fleet);
    let files = repository(&ground);
    eprintln!("{CONTAINERS} containers and {SERVICES} services");
    ground.commit(&files);
    // As every clone has its objects.
    stage::git(&ground.repo(), &["gc", "-q"]);
    ground.apply_in_full();
    rest();
    looks(table, &runtime, &ground);
    eprintln!("trueup run, idle");
    let run = ground.run();
    services::soon("run has looked", || run.log().contains("0 changed"));
    idle(table, &run);
    noticed(table, &fleet, &run);
    table.most("run: resident memory, highest", highest_memory(&run), "MiB", 60.0);
    drop(run);
    eprintln!("a hand on a field of every kind");
    runtime.block_on(hands::on_every_kind(&ground));
}

fn sockets(fleet: &Fleet) -> Vec<PathBuf> {
    fleet.state.hosts.values().map(|host| host.socket.clone()).collect()
}

/// A copy of the binary, as an installed one is: of one that a linker has just written, piece by piece, the system keeps small
/// pieces in memory, and each start of it takes some 200 page faults more.
fn installed(fleet: &Fleet) -> PathBuf {
    let at = fleet.dir().join("trueup");
    std::fs::copy(env!("CARGO_BIN_EXE_trueup"), &at).expect("a copy");
    at
}

/// Waits until the machine has little to do: engines go on for seconds after they made 120 things, and a look at a fleet is
/// compared with its floor on one that rests. What was written, by them or by whoever built this, is on the disk by then.
fn rest() {
    let synced = std::process::Command::new("sync").status().expect("sync of the system");
    assert!(synced.success(), "sync: {synced}");
    let end = Instant::now() + Duration::from_secs(60);
    let mut quiet = 0;
    while quiet < 3 {
        let before = idle_and_all();
        std::thread::sleep(Duration::from_secs(1));
        let now = idle_and_all();
        let idle = (now.0 - before.0) / (now.1 - before.1);
        quiet = if idle > 0.85 { quiet + 1 } else { 0 };
        if Instant::now() > end {
            eprintln!(
                "the machine does not rest ({:.0} % idle): figures may be of something else",
                idle * 100.0
            );
            return;
        }
    }
}

/// The machine's ticks without work, and all of them.
fn idle_and_all() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").expect("its times");
    let all = stat.lines().next().expect("a line").split_whitespace().skip(1).take(8);
    let ticks: Vec<f64> = all.map(|ticks| ticks.parse().expect("a number")).collect();
    (ticks[3] + ticks[4], ticks.iter().sum())
}

/// An app for every field of a container and one that fills up; 30 services with the same in them.
fn repository(ground: &Ground<'_>) -> Files {
    let mut files = services::base(ground);
    let hosts = files.get_mut("hosts/all.toml").expect("the hosts");
    // As the floor does: over the engines' sockets.
    for host in ground.fleet.state.hosts.values() {
        *hosts = hosts.replace(&host.engine, &format!("unix://{}", host.socket.display()));
    }
    *hosts = hosts.replace("swarm = \"all\"", "swarm = \"all\"\navailability = \"active\"");
    let networks = "[network.inner]\ndriver = \"bridge\"\nsubnet = \"10.130.90.0/24\"\n\
                    [network.spare]\ndriver = \"bridge\"\nsubnet = \"10.130.91.0/24\"\n\
                    [network.wide]\ndriver = \"overlay\"\nsubnet = \"10.92.0.0/24\"\nattachable = true\n";
    files.insert("networks/beside.toml".to_owned(), networks.to_owned());
    let fleet = files.get_mut("fleet.toml").expect("the fleet");
    fleet.push_str("[flume]\nbrokers = [\"192.0.2.21:9092\"]\n");
    for field in ContainerField::ALL {
        let name = hand::app_name(*field);
        files.insert(
            format!("apps/{name}/app.toml"),
            hand::app(*field, "box:1").replace("pull = \"never\"\n", ""),
        );
    }
    files.insert("apps/f-files/files/app.conf".to_owned(), "declared\n".to_owned());
    // What stands on networks, and what has data and a log.
    files.extend([
        services::beside("netted", "[network.spare]\n[network.wide]"),
        services::beside(
            "kept",
            &format!(
                "[[mount]]\nvolume = \"data\"\nat = \"/data\"\n[volume.data]\noptions = {{ type = \"tmpfs\", \
                 device = \"tmpfs\", o = \"size=1m\" }}\n[[mount]]\nhost = {:?}\nat = \"/log\"\n\
                 [[log]]\nfiles = \"/log/*.log\"\ntopic = \"logs\"",
                ground.fleet.dir().join("log")
            ),
        ),
    ]);
    let rest = CONTAINERS - ContainerField::ALL.len() - 2;
    let (path, text) = services::beside("rest", &format!("replicas = {rest}"));
    files.insert(path, text + "[upstream]\nport = 8080\n");
    for n in 0..SERVICES {
        let keys = format!("{SLEEP}\nreplicas = 1\nenv = {{ A = \"1\" }}");
        let more =
            "[swarm]\nendpoint_mode = \"dnsrr\"\npublish = \"host\"\n[limits]\npids = 100\n[network.mesh]\n";
        files.extend([services::app(&format!("s{n}"), &keys, more)]);
    }
    files
}

/// 30 services like ours in a stack beside them: what to do to deploy it again without a change.
fn stack(fleet: &Fleet) -> impl Fn() {
    let mut yaml = "version: '3.8'\nnetworks:\n  mesh: {}\nservices:\n".to_owned();
    for n in 0..SERVICES {
        let _ = write!(
            yaml,
            "  s{n}:\n    image: box:1\n    command: [/bin/busybox, sleep, '36000']\n    environment: {{A: '1'}}\n    \
             networks: [mesh]\n    stop_grace_period: 1s\n    deploy: {{endpoint_mode: dnsrr, resources: {{limits: {{memory: 64M}}}}}}\n"
        );
    }
    let file = fleet.dir().join("stack.yaml");
    std::fs::write(&file, yaml).expect("a file");
    let file = file.display().to_string();
    let deploy = move || {
        fleet.docker_ok("h1", &["stack", "deploy", "--resolve-image", "never", "-c", &file, "stack"]);
    };
    deploy();
    services::soon("the stack", || {
        let told =
            fleet.docker_ok("h1", &["service", "ls", "-f", "name=stack_", "--format", "{{.Replicas}}"]);
        told.lines().filter(|line| *line == "1/1").count() == SERVICES
    });
    deploy
}

/// Containers of these names on all hosts.
fn running(fleet: &Fleet, name: &str) -> usize {
    let filter = format!("name={name}");
    let list = |host: &String| fleet.docker_ok(host, &["ps", "-aq", "-f", &filter]).lines().count();
    fleet.state.hosts.keys().map(list).sum()
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// A look at everything that finds nothing to do, by turns with each of its floors, so that both meet the same machine. While
/// the stack is deployed it stands beside ours, and is looked at too.
fn looks(table: &mut Table, runtime: &tokio::runtime::Runtime, ground: &Ground<'_>) {
    let plan = || {
        let (code, plan) = ground.trueup(&["plan"]);
        assert_eq!(code, 0, "{plan:#}");
    };
    let what = format!("no-op plan, {CONTAINERS} containers, {SERVICES} services");
    let (sockets, mut calls) = (sockets(ground.fleet), 0);
    let (took, floor) = by_turns(&plan, &mut || calls = runtime.block_on(calls::look(&sockets)));
    table.times(&what, took, &format!("{calls} bare API calls"), floor, 1.5);
    let deploy = stack(ground.fleet);
    let (took, floor) = by_turns(&plan, &mut || deploy());
    let what = format!("{what}, and as many of a stack");
    table.times(&what, took, "docker stack deploy of that stack, unchanged", floor, 1.0);
    ground.fleet.docker_ok("h1", &["stack", "rm", "stack"]);
    services::soon("no stack", || running(ground.fleet, "stack_") == 0);
}

/// The medians of both.
fn by_turns(one: &dyn Fn(), other: &mut dyn FnMut()) -> (Duration, Duration) {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        others.push(timed(&mut *other));
        ones.push(timed(one));
    }
    (median(ones), median(others))
}

/// MiB that it had at most, from its start through all that it was given to do.
fn highest_memory(run: &Running) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", run.id())).expect("its status");
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    let kib: f64 = most.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}

/// Processor time of a `run` that has nothing to do.
fn idle(table: &mut Table, run: &Running) {
    let process = PathBuf::from(format!("/proc/{}", run.id()));
    let watched = Duration::from_secs(60);
    let before = processor_ticks(&process);
    std::thread::sleep(watched);
    let ticks = processor_ticks(&process) - before;
    // The kernel's ticks are hundredths of a second.
    let share = f64::from(ticks) / watched.as_secs_f64();
    table.most("run: processor while idle, one look each 30 s", share, "%", 1.0);
}

/// From a hand's command, its own time included, until `run` acts: for a container of every host and some services.
fn noticed(table: &mut Table, fleet: &Fleet, run: &Running) {
    let acts_on = |name: &str, hand: &dyn Fn()| {
        // A round under way would notice by itself, and one that comes by its clock is none of an event's doing.
        services::soon("the loop rests", || {
            let log = run.log();
            std::thread::sleep(Duration::from_secs(2));
            run.log() == log
        });
        let before = run.log().len();
        let took = timed(|| {
            hand();
            let end = Instant::now() + services::DEADLINE;
            while !run.log()[before..].contains(name) {
                assert!(Instant::now() < end, "{name}: not noticed");
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        eprintln!("{name}: {took:?}");
        took
    };
    let mut took = Vec::new();
    for host in fleet.state.hosts.keys() {
        let list = fleet.docker_ok(host, &["ps", "--filter", "name=rest-", "--format", "{{.Names}}"]);
        for victim in list.lines().take(2) {
            took.push(acts_on(victim, &|| drop(fleet.docker_ok(host, &["kill", victim]))));
        }
    }
    for victim in ["s0-test", "s1-test"] {
        let update = ["service", "update", "--detach", "--no-resolve-image", "--env-add", "A=2", victim];
        took.push(acts_on(victim, &|| drop(fleet.docker_ok("h1", &update))));
    }
    let slowest = took.into_iter().max().expect("a hand");
    table.most("run: a change made by hand is acted on, slowest of 8", slowest.as_secs_f64(), "s", 1.0);
    services::soon("healed", || run.log().lines().last().is_some_and(|line| line.contains("0 left")));
}

fn processor_ticks(process: &std::path::Path) -> u32 {
    let stat = std::fs::read_to_string(process.join("stat")).expect("its times");
    let (_, fields) = stat.rsplit_once(") ").expect("fields after the name");
    let ticks =
        |n: usize| fields.split(' ').nth(n).and_then(|text| text.parse::<u32>().ok()).expect("a number");
    ticks(11) + ticks(12)
}
