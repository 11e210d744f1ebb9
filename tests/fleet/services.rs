//! Services on the fleet's own Swarm: what the config repository says of them, and what a manager tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use trueup::model::service::ServiceField;

use super::Fleet;
use super::ground::Ground;

/// Of anything that has to come about on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A command that goes on.
pub const SLEEP: &str = "command = [\"/bin/busybox\", \"sleep\", \"36000\"]";

/// By path in the repository.
pub type Files = BTreeMap<String, String>;

/// Fleet and hosts, all of them members and the first three managers, and an overlay network.
pub fn base(ground: &Ground<'_>) -> Files {
    let hosts = ground.inventory("1GiB").replace("environments =", "swarm = \"all\"\nenvironments =");
    let managers: Vec<&String> = ground.fleet.state.hosts.keys().take(3).collect();
    let fleet = format!(
        "fleet = \"swarm\"\nenvironments = [\"test\", \"prod\"]\n[swarm.all]\nmanagers = {managers:?}\n"
    );
    let mesh = "[network.mesh]\ndriver = \"overlay\"\nsubnet = \"10.91.0.0/24\"\nattachable = true\n";
    BTreeMap::from([
        ("fleet.toml".to_owned(), fleet),
        ("hosts/all.toml".to_owned(), hosts),
        ("networks/mesh.toml".to_owned(), mesh.to_owned()),
    ])
}

/// An app on the Swarm: keys before the tables, which `more` may begin.
pub fn app(name: &str, keys: &str, more: &str) -> (String, String) {
    let text = format!(
        "app = \"{name}\"\nenvironments = [\"test\"]\nimage = \"box:1\"\nruntime = \"swarm\"\nstop_timeout = \"1s\"\n\
         {keys}\n[rollout]\nmin_healthy = \"1s\"\n{more}\n"
    );
    (format!("apps/{name}/app.toml"), text)
}

/// An app of the hosts themselves.
pub fn beside(name: &str, keys: &str) -> (String, String) {
    let text = format!(
        "app = \"{name}\"\nenvironments = [\"test\"]\nimage = \"box:1\"\nstop_timeout = \"1s\"\n{SLEEP}\n{keys}\n\
         [rollout]\nmin_healthy = \"0s\"\n"
    );
    (format!("apps/{name}/app.toml"), text)
}

/// Waits for it.
pub fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Ids of the tasks that are to run, as the manager `host` has them.
pub fn tasks(fleet: &Fleet, host: &str, service: &str) -> BTreeSet<String> {
    let format =
        ["service", "ps", service, "--no-trunc", "-f", "desired-state=running", "--format", "{{.ID}}"];
    fleet.docker_ok(host, &format).lines().map(str::to_owned).collect()
}

/// Ids of the tasks that run by now.
pub fn running(fleet: &Fleet, host: &str, service: &str) -> BTreeSet<String> {
    let format = ["service", "ps", service, "--no-trunc", "-f", "desired-state=running", "--format"];
    let told = fleet.docker_ok(host, &[&format[..], &["{{.ID}} {{.CurrentState}}"]].concat());
    told.lines().filter_map(|line| line.split_once(" Running ")).map(|(id, _)| id.to_owned()).collect()
}

/// Nodes of the tasks that are to run.
pub fn nodes(fleet: &Fleet, host: &str, service: &str) -> BTreeSet<String> {
    let format = ["service", "ps", service, "-f", "desired-state=running", "--format", "{{.Node}}"];
    fleet.docker_ok(host, &format).lines().map(str::to_owned).collect()
}

/// Part of what the manager `host` has of a service; empty where it has none.
pub fn inspect(fleet: &Fleet, host: &str, service: &str, format: &str) -> String {
    let output = fleet.docker(host, &["service", "inspect", service, "--format", format]);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What was asked of the Swarm's services since then, whoever asked: (created, updated, removed). Swarm's own notes on how
/// far an update is are not among them.
pub fn asked(fleet: &Fleet, since: &Moment) -> (usize, usize, usize) {
    let now = Moment::now();
    let filter = ["events", "--since", &since.0, "--until", &now.0, "--filter", "type=service", "--format"];
    let told = fleet.docker_ok("h1", &[&filter[..], &["{{.Action}} {{json .Actor.Attributes}}"]].concat());
    let count = |action: &str| {
        let lines = told.lines().filter(|line| line.starts_with(action));
        lines.filter(|line| !line.contains("updatestate.new")).count()
    };
    (count("create "), count("update "), count("remove "))
}

/// A time as `docker events` takes it.
pub struct Moment(String);

impl Moment {
    pub fn now() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        Self(format!("{}.{:09}", now.as_secs(), now.subsec_nanos()))
    }
}

/// Everything blocked and why, in one text.
pub fn blocked(plan: &Value) -> String {
    let all = plan["blocked"].as_array().expect("blocked");
    all.iter().map(|b| format!("{} {}: {}\n", b["kind"], b["name"], b["reason"])).collect()
}

/// What is unknown and why, in one text.
pub fn unknown(plan: &Value) -> String {
    let all = plan["unknown"].as_array().expect("unknown");
    all.iter().map(|u| format!("{} {}: {}\n", u["kind"], u["name"], u["why"])).collect()
}

/// How the field is changed by hand on a service that has no tasks; `None`: it is not a flag of `docker service update`.
pub fn by_hand(field: ServiceField) -> &'static [&'static str] {
    match field {
        ServiceField::Image => &["--image", "box:2"],
        ServiceField::Entrypoint => &["--entrypoint", "/bin/busybox sh"],
        ServiceField::Command => &["--args", "sleep 9"],
        ServiceField::Env => &["--env-add", "BY=hand"],
        ServiceField::Workdir => &["--workdir", "/tmp"],
        ServiceField::User => &["--user", "1000"],
        ServiceField::Hostname => &["--hostname", "byhand"],
        ServiceField::Labels => &["--container-label-add", "by=hand"],
        ServiceField::ServiceLabels => &["--label-add", "by=hand"],
        ServiceField::Mounts => &["--mount-add", "type=tmpfs,target=/byhand"],
        ServiceField::Files => &["--config-add", "source=byhand,target=/byhand"],
        ServiceField::Networks => &["--network-add", "byhand"],
        ServiceField::Cpus => &["--limit-cpu", "0.2"],
        ServiceField::Memory => &["--limit-memory", "64M"],
        ServiceField::CpusReservation => &["--reserve-cpu", "0.1"],
        ServiceField::MemoryReservation => &["--reserve-memory", "10M"],
        ServiceField::Pids => &["--limit-pids", "50"],
        ServiceField::Restart => &["--restart-condition", "none"],
        ServiceField::Health => &["--health-cmd", "true"],
        ServiceField::CapAdd => &["--cap-add", "NET_ADMIN"],
        ServiceField::CapDrop => &["--cap-drop", "CHOWN"],
        ServiceField::ReadOnly => &["--read-only"],
        ServiceField::Init => &["--init"],
        ServiceField::Sysctls => &["--sysctl-add", "net.core.somaxconn=100"],
        ServiceField::Ulimits => &["--ulimit-add", "nofile=100:200"],
        ServiceField::Dns => &["--dns-add", "192.0.2.53"],
        ServiceField::ExtraHosts => &["--host-add", "byhand:192.0.2.1"],
        ServiceField::Logging => &["--log-driver", "none"],
        ServiceField::StopSignal => &["--stop-signal", "SIGINT"],
        ServiceField::StopTimeout => &["--stop-grace-period", "3s"],
        ServiceField::Mode => &["--replicas", "2"],
        ServiceField::Constraints => &["--constraint-add", "node.role==worker"],
        ServiceField::Spread => &["--placement-pref-add", "spread=node.labels.zone"],
        ServiceField::MaxPerNode => &["--replicas-max-per-node", "1"],
        ServiceField::Update => &["--update-parallelism", "5"],
        ServiceField::Rollback => &["--rollback-parallelism", "5"],
        ServiceField::EndpointMode => &["--endpoint-mode", "vip"],
        ServiceField::Ports => &["--publish-add", "mode=host,target=80,published=8099"],
    }
}
