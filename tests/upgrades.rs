//! An upgrade restarts nothing (B6): the snapshot, the state and the repository of a fleet, kept from each earlier release
//! in `tests/upgrades`, plan empty with this build; before the first release, from states of the main branch.
//!
//! `KEEP_RELEASE=0.2.0 cargo test --test upgrades` keeps what this build leaves; `KEEP_WITH=PATH` takes another binary.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod fleet;
mod stage;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fleet::Fleet;
use fleet::ground::Ground;
use fleet::services::{self, Files, SLEEP, app};
use serde_json::Value;
use trueup::model::container::ContainerField;
use trueup::model::service::ServiceField;

/// What a release left behind.
struct Kept(PathBuf);

impl Kept {
    /// A copy that may be written to, with its repository unpacked.
    fn unpacked(&self) -> Unpacked {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let from = self.0.join(".");
        let copied = Command::new("cp").arg("-R").args([from.as_path(), dir.path()]).status().expect("cp");
        assert!(copied.success());
        stage::git(dir.path(), &["clone", "-q", "-b", "main", "repo.bundle", "repo"]);
        Unpacked(dir)
    }
}

struct Unpacked(tempfile::TempDir);

impl Unpacked {
    fn snapshot(&self) -> PathBuf {
        self.0.path().join("snapshot.json")
    }

    fn trueup(&self, args: &[&str]) -> (i32, Value, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
        command.args(args).args(["--format", "json", "--config"]).arg(self.0.path().join("trueup.toml"));
        let output = command.current_dir(self.0.path()).stdin(Stdio::null()).output().expect("the binary");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let told = serde_json::from_slice(&output.stdout);
        (output.status.code().expect("a code"), told.unwrap_or_else(|e| panic!("{e}: {said}")), said)
    }

    fn plan(&self) -> (i32, Value) {
        let (code, plan, said) = self.trueup(&["plan", "--observed", "snapshot.json"]);
        assert_eq!(said, "", "neither the state nor the repository is complained of");
        (code, plan)
    }
}

fn assert_plans_empty(kept: &Unpacked, of: &str) {
    let (code, plan) = kept.plan();
    assert_eq!(code, 0, "{of}: an upgrade would restart something: {plan:#}");
    for list in ["changes", "held", "blocked", "unknown", "unmanaged", "drift"] {
        assert_eq!(plan[list], Value::Array(vec![]), "{of}: {list}");
    }
    assert_eq!(plan["kept_because"], Value::Null, "{of}: the state no longer lets the head in");
    let (_, history, _) = kept.trueup(&["history"]);
    assert!(history.to_string().contains("\"install\""), "{of}: the history is read: {history:#}");
}

/// One thing in a snapshot that somebody changed by hand.
struct ByHand {
    /// `hosts`, `swarms` or `files`, and what list of one of those.
    of: (&'static str, &'static str),
    /// How its name begins.
    name: &'static str,
    /// Which part of it, and what that is then (JSON).
    at: &'static str,
    to: &'static str,
    /// The kind that it is told as, and the name where that is not its own there.
    told: (&'static str, &'static str),
}

const fn by_hand(
    of: (&'static str, &'static str),
    name: &'static str,
    (at, to): (&'static str, &'static str),
    told: (&'static str, &'static str),
) -> ByHand {
    ByHand { of, name, at, to, told }
}

const SERVICES: (&str, &str) = ("swarms", "services");

/// One field of every kind of thing that plans compare.
const BY_HAND: [ByHand; 14] = [
    by_hand(("hosts", "containers"), "slim-test-", ("/known/live/user", "\"1234\""), ("container", "")),
    by_hand(("hosts", "containers"), "old-test-0", ("/known/live/restart", "\"always\""), ("container", "")),
    by_hand(("hosts", "containers"), "rich-test-0", ("/known/live/memory", "\"32MiB\""), ("container", "")),
    by_hand(("hosts", "containers"), "gate-test-0", ("/known/live/networks", "{}"), ("container", "")),
    by_hand(("hosts", "networks"), "inner", ("/known/spec/subnet", "\"10.93.0.0/24\""), ("network", "")),
    by_hand(("files", ""), "rich-test.conf", ("", "\"# by hand\""), ("files", "nginx")),
    by_hand(SERVICES, "plain-test", ("/known/spec/user", "\"1234\""), ("service", "")),
    by_hand(SERVICES, "each-test", ("/known/spec/constraints", "[\"node.role == worker\"]"), ("service", "")),
    by_hand(SERVICES, "job-test", ("/known/spec/workdir", "\"/by/hand\""), ("service", "")),
    by_hand(SERVICES, "service-test", ("/known/spec/mode", "{\"replicated\": 1}"), ("service", "")),
    by_hand(SERVICES, "shop_web", ("/known/spec/user", "\"1234\""), ("service", "")),
    by_hand(SERVICES, "service-test", ("/known/spec/files", "{}"), ("service", "")),
    by_hand(("swarms", "networks"), "mesh", ("/known/spec/subnet", "\"10.93.0.0/24\""), ("network", "")),
    by_hand(("swarms", "nodes"), "h2", ("/labels/zone", "\"by-hand\""), ("node", "h2")),
];

impl ByHand {
    /// Does it: the name of the thing as it is told. `None`: no such thing was kept.
    fn do_it(&self, snapshot: &mut Value) -> Option<String> {
        for place in snapshot.get_mut(self.of.0)?.as_object_mut()?.values_mut() {
            let known = place.get_mut("known")?;
            let list = if self.of.1.is_empty() { known } else { known.get_mut(self.of.1)? };
            let list = list.as_object_mut()?;
            // Nodes are listed by their ids.
            let is_it = |(name, thing): &(&String, &mut Value)| {
                name.starts_with(self.name) || thing["hostname"].as_str() == Some(self.name)
            };
            let Some(name) = list.iter_mut().find(is_it).map(|(name, _)| name.clone()) else { continue };
            let part = list.get_mut(&name)?.pointer_mut(self.at).expect("the part that is changed");
            let to: Value = serde_json::from_str(self.to).expect("JSON");
            assert_ne!(*part, to, "{name}: {}", self.at);
            *part = to;
            return Some(if self.told.1.is_empty() { name } else { self.told.1.to_owned() });
        }
        None
    }
}

/// The same replay sees a change of every kind of thing: were it blind, an empty plan would say nothing. How many of them
/// were kept.
fn assert_sees_drift(kept: &Unpacked, of: &str) -> usize {
    let text = std::fs::read_to_string(kept.snapshot()).expect("the snapshot");
    let mut seen = 0;
    for hand in &BY_HAND {
        let mut snapshot: Value = serde_json::from_str(&text).expect("JSON");
        let Some(name) = hand.do_it(&mut snapshot) else { continue };
        std::fs::write(kept.snapshot(), snapshot.to_string()).expect("the snapshot");
        let (code, plan) = kept.plan();
        let drift = plan["drift"].as_array().expect("drift");
        let told = drift.iter().any(|drift| drift["kind"] == hand.told.0 && drift["name"] == name.as_str());
        assert!(
            told && drift.len() == 1 && [2, 3].contains(&code),
            "{of}: {name}{}: {code} {plan:#}",
            hand.at
        );
        seen += 1;
    }
    seen
}

#[test]
fn what_earlier_releases_left_plans_empty() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrades");
    let entries = std::fs::read_dir(place).expect("tests/upgrades");
    let releases: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    assert!(!releases.is_empty());
    let mut most = 0;
    for release in releases {
        let of = release.display().to_string();
        let kept = Kept(release).unpacked();
        assert_plans_empty(&kept, &of);
        let seen = assert_sees_drift(&kept, &of);
        assert!(seen > 0, "{of}");
        most = seen.max(most);
    }
    assert!(most >= 14, "one of them has services, nodes and what was adopted: {most}");
}

/// Versions that the changelog has as released and of which nothing is kept.
fn not_kept(changelog: &str, kept: &[&str]) -> Vec<String> {
    let headings = changelog.lines().filter_map(|line| line.strip_prefix("## "));
    let released = headings.filter(|heading| !heading.ends_with("not released yet"));
    let versions = released.filter_map(|heading| heading.split([',', ' ']).next());
    versions.filter(|version| !kept.contains(version)).map(str::to_owned).collect()
}

#[test]
fn something_is_kept_of_each_release() {
    let text =
        "# Changelog\n## 0.3.0, not released yet\n## 0.2.0, 2027-02-01\n- 0.9.9\n## 0.1.0, 2027-01-01\n";
    assert_eq!(not_kept(text, &["0.2.0"]), ["0.1.0"]);
    assert_eq!(not_kept(text, &["main-1234567", "0.1.0", "0.2.0"]), [""; 0]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let changelog = std::fs::read_to_string(root.join("CHANGELOG.md")).expect("the changelog");
    assert!(changelog.contains("\n## "), "it has headings");
    let kept = std::fs::read_dir(root.join("tests/upgrades")).expect("tests/upgrades");
    let kept: Vec<String> =
        kept.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    let missing = not_kept(&changelog, &kept);
    assert_eq!(missing, [""; 0], "released, and nothing of it in tests/upgrades: see KEEP_RELEASE above");
}

/// Every key of a host-placed app that a machine without special hardware can carry out, in one app.
const RICH: &str = r#"
replicas = 2
command = ["/bin/busybox", "sleep", "36000"]
entrypoint = ["/bin/busybox", "env", "A=1"]
env = { MODE = "declared", SECOND = "2" }
workdir = "/tmp"
user = "1000:1000"
hostname = "declared"
labels = { colour = "blue" }
ports = ["18080:8080/tcp"]
restart = "unless-stopped"
cap_add = ["SYS_TIME"]
cap_drop = ["MKNOD"]
init = true
security_opt = ["no-new-privileges"]
sysctls = { "net.ipv4.ip_unprivileged_port_start" = "0" }
ulimits = { nofile = { soft = 512, hard = 1024 } }
dns = ["192.0.2.53"]
extra_hosts = { "peer.example" = "192.0.2.9" }
logging = { driver = "json-file", max_size = "1MiB", max_files = 2 }
stop_signal = "SIGUSR1"
stop_timeout = "1s"
[limits]
cpus = 0.5
memory = "64MiB"
memory_reservation = "32MiB"
pids = 50
shm_size = "8MiB"
[health]
command = ["/bin/busybox", "true"]
interval = "1s"
[[mount]]
tmpfs = "1MiB"
at = "/scratch"
[[mount]]
volume = "data"
at = "/data"
data = "disposable"
[[mount]]
file = "app.conf"
at = "/etc/app.conf"
[[mount]]
host = "/var/log/rich"
at = "/var/log/rich"
data = "disposable"
[[log]]
files = "/var/log/rich/*.log"
topic = "rich"
[[device]]
host = "/dev/null"
at = "/dev/nothing"
[network.inner]
aliases = ["www"]
[upstream]
port = 8080
server_name = ["rich.example"]
"#;

/// Every key of an app on a Swarm.
const SERVICE: &str = r#"
command = ["/bin/busybox", "sleep", "36000"]
entrypoint = ["/bin/busybox", "env", "A=1"]
replicas = 2
env = { MODE = "declared" }
workdir = "/tmp"
user = "1000"
hostname = "declared"
labels = { colour = "blue" }
ports = ["18090:8080"]
cap_add = ["SYS_TIME"]
cap_drop = ["MKNOD"]
read_only = true
init = true
sysctls = { "net.ipv4.ip_unprivileged_port_start" = "0" }
ulimits = { nofile = { soft = 512, hard = 1024 } }
dns = ["192.0.2.53"]
extra_hosts = { "peer.example" = "192.0.2.9" }
logging = { driver = "json-file", max_size = "1MiB" }
stop_signal = "SIGUSR1"
stop_timeout = "2s"
restart = "on-failure:3"
[limits]
cpus = 0.5
memory = "64MiB"
memory_reservation = "32MiB"
pids = 50
[health]
command = ["/bin/busybox", "true"]
interval = "1s"
[rollout]
min_healthy = "1s"
[[mount]]
tmpfs = "1MiB"
at = "/scratch"
[[mount]]
file = "app.conf"
at = "/etc/app.conf"
[network.mesh]
aliases = ["www"]
[swarm]
publish = "host"
endpoint_mode = "dnsrr"
labels = { owner = "ada" }
constraints = ["node.labels.role == app"]
spread = ["node.labels.zone"]
max_per_node = 2
cpus_reservation = 0.1
[swarm.restart]
delay = "2s"
window = "1m"
[swarm.update]
parallelism = 1
delay = "1s"
order = "stop-first"
[swarm.rollback]
parallelism = 2
"#;

fn keyed(name: &str, keys: &str) -> (String, String) {
    let head = format!("app = \"{name}\"\nenvironments = [\"test\"]\nimage = \"box:1\"\n");
    (format!("apps/{name}/app.toml"), format!("{head}{keys}"))
}

/// Hosts of both kinds of apps, with every field that there is, and files for Nginx and Flume.
fn repository(ground: &Ground<'_>) -> Files {
    let fleet = ground.fleet;
    let mut files = services::base(ground);
    let flume = "[flume]\nbrokers = [\"kafka.example:9092\"]\nstate_dir = \"/var/lib/flume\"\n";
    files.get_mut("fleet.toml").expect("the fleet").push_str(flume);
    let lan = format!(
        "[network.lan]\ndriver = \"macvlan\"\nparent = \"eth0\"\nsubnet = {:?}\ngateway = {:?}\n\
         pools = {{ web = \"{}-{}\" }}\n",
        fleet.state.subnet,
        fleet.address(254),
        fleet.address(100),
        fleet.address(109)
    );
    let inner =
        "[network.inner]\ndriver = \"bridge\"\nsubnet = \"10.92.0.0/24\"\nlabels = { use = \"rich\" }\n";
    files.insert("networks/lan.toml".into(), lan);
    files.insert("networks/inner.toml".into(), inner.into());
    let quiet = "stop_timeout = \"1s\"\n[rollout]\nmin_healthy = \"0s\"\n";
    let fixed = format!("[network.lan]\naddress = {:?}\n", fleet.address(120));
    files.extend([
        keyed("rich", RICH),
        (
            "apps/other/app.toml".into(),
            keyed("other", &format!("{SLEEP}\nread_only = true\n{quiet}")).1.replace("box:1", "box:2"),
        ),
        keyed("slim", &format!("{SLEEP}\n")),
        keyed("agent", &format!("{SLEEP}\nreplicas = \"every-host\"\nnetwork_mode = \"host\"\n{quiet}")),
        keyed("leased", &format!("{SLEEP}\nreplicas = 2\n{quiet}[network.lan]\npool = \"web\"\n")),
        keyed("gate", &format!("{SLEEP}\n{quiet}{fixed}")),
        keyed("old", &format!("{SLEEP}\nadopt = true\nrestart = \"no\"\n{quiet}[place]\nhosts = [\"h1\"]\n")),
        keyed("service", &format!("runtime = \"swarm\"{SERVICE}")),
        app("plain", SLEEP, ""),
        ("apps/moved/app.toml".into(), app("moved", SLEEP, "").1.replace("box:1", "box:2")),
        app("each", SLEEP, "[swarm]\nglobal = true"),
        app("job", "command = [\"/bin/busybox\", \"true\"]", "[swarm]\njob = true"),
    ]);
    for of in ["rich", "service"] {
        files.insert(format!("apps/{of}/app.conf"), "declared\n".into());
    }
    files
}

/// An app that takes over the service made by hand, as it is.
fn taken_over(fleet: &Fleet) -> (String, String) {
    let image = services::inspect(fleet, "h1", "shop_web", "{{.Spec.TaskTemplate.ContainerSpec.Image}}");
    let text = format!(
        "app = \"shop\"\nenvironments = [\"test\"]\nimage = {image:?}\nruntime = \"swarm\"\npull = \"never\"\n\
         adopt = {{ service = \"shop_web\" }}\nentrypoint = []\nstop_timeout = \"1s\"\n{SLEEP}\n[swarm.update]\nmonitor = \"5s\"\n"
    );
    ("apps/shop/app.toml".to_owned(), text)
}

/// Everything of one kind that a snapshot holds under these names, by name.
fn things(snapshot: &Value, places: &str, list: &str, spec: &str) -> BTreeMap<String, Value> {
    let places = snapshot[places].as_object().expect("hosts or Swarms").values();
    let all = places.filter_map(|place| place["known"][list].as_object()).flatten();
    let whole = |thing: &Value| {
        let thing = thing.get("known").unwrap_or(thing);
        let mut fields = thing.as_object().expect("a thing").clone();
        fields.extend(thing[spec].as_object().expect("its spec").clone());
        Value::Object(fields)
    };
    all.map(|(name, thing)| (name.clone(), whole(thing))).collect()
}

/// Machines for tests do not start privileged containers.
const CANNOT: [ContainerField; 1] = [ContainerField::Privileged];

/// A field that is added to a spec has to be in what the next release keeps.
fn assert_says_every_field(kept: &Unpacked) {
    let text = std::fs::read_to_string(kept.snapshot()).expect("the snapshot");
    let snapshot: Value = serde_json::from_str(&text).expect("JSON");
    let containers = things(&snapshot, "hosts", "containers", "live");
    let services = things(&snapshot, "swarms", "services", "spec");
    let field = ContainerField::ALL
        .iter()
        .filter(|f| !CANNOT.contains(f))
        .map(|f| ("containers", &containers, "slim-test-0", f.name()));
    let swarmed = ServiceField::ALL.iter().map(|f| ("services", &services, "plain-test", f.name()));
    let unsaid: Vec<String> = field
        .chain(swarmed)
        .filter(|(_, all, plain, field)| all.values().all(|spec| spec[*field] == all[*plain][*field]))
        .map(|(kind, _, _, field)| format!("{kind}: {field}"))
        .collect();
    assert!(unsaid.is_empty(), "nothing that is kept says anything of {unsaid:?}");
}

/// What this build leaves plans empty with this build, says something of every field, and can be kept for the next.
#[test]
fn what_this_build_leaves_can_be_kept() {
    let fleet = Fleet::up(2, 1);
    for (image, mark) in [("box:1", "first"), ("box:2", "second")] {
        fleet.push(image, &stage::pack_busybox(fleet.dir(), mark));
    }
    let mut ground = Ground::new(&fleet);
    if let Some(binary) = std::env::var_os("KEEP_WITH") {
        ground.binary = binary.into();
    }
    let container = ["run", "-d", "--name", "old-test-0", "--stop-timeout", "1"];
    let old = fleet.docker_ok("h1", &[&container[..], &["box:1", "/bin/busybox", "sleep", "36000"]].concat());
    let service =
        ["service", "create", "-d", "--name", "shop_web", "--stop-grace-period", "1s", "--label", "by=hand"];
    fleet.docker_ok("h1", &[&service[..], &["box:1", "/bin/busybox", "sleep", "36000"]].concat());
    services::soon("it runs", || services::running(&fleet, "h1", "shop_web").len() == 1);
    let tasks = services::tasks(&fleet, "h1", "shop_web");
    let mut files = repository(&ground);
    files.extend([taken_over(&fleet)]);
    ground.commit(&files);
    ground.apply_in_full();
    let tasks_now = services::tasks(&fleet, "h1", "shop_web");
    let old_now = fleet.docker_ok("h1", &["inspect", "old-test-0", "--format", "{{.Id}}"]);
    assert_eq!((old_now, tasks_now), (old, tasks), "taken over as they are");
    ground.told(&["snapshot", "save", &fleet.dir().join("snapshot.json").display().to_string()]);

    let dir = tempfile::tempdir().expect("a temporary directory");
    let kept = dir.path().join("kept");
    std::fs::create_dir(&kept).expect("a directory");
    stage::git(&ground.repo(), &["bundle", "create", "-q", "../repo.bundle", "main"]);
    for name in ["repo.bundle", "snapshot.json", "state", "hash.key"] {
        let copied = Command::new("cp").arg("-R").arg(fleet.dir().join(name)).arg(&kept).status();
        assert!(copied.expect("cp").success());
    }
    let settings = format!(
        "installation = \"fleet-{}\"\nkey_file = \"hash.key\"\nstate_dir = \"state\"\n[repository]\nurl = \"repo\"\n\
         [nginx]\ndirectory = \"nginx\"\n[flume]\ndirectory = \"flume\"\n",
        fleet.state.id
    );
    std::fs::write(kept.join("trueup.toml"), settings).expect("the settings");
    let kept = Kept(kept);
    assert_plans_empty(&kept.unpacked(), "this build");
    assert_says_every_field(&kept.unpacked());
    let seen = assert_sees_drift(&kept.unpacked(), "this build");
    assert_eq!(seen, BY_HAND.len(), "of each kind one is kept");

    if let Ok(release) = std::env::var("KEEP_RELEASE") {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrades").join(release);
        let copied = Command::new("cp").arg("-R").args([kept.0.as_path(), &place]).status().expect("cp");
        assert!(copied.success(), "{}", place.display());
    }
}
