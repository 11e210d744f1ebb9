//! Every modelled field of a network on the real engine: made anew by hand with another value, detected by name, healed
//! with its instances still attached, and the second plan empty (A4). And what is not done where somebody else's container
//! is on one, be it stopped; and what becomes of ours that is.

#![allow(clippy::expect_used, clippy::panic)]

mod stage;

use std::collections::BTreeMap;

use stage::{FLEET, HOST, Stage, docker_ok};
use trueup::control::pass::Pass;
use trueup::model::drift::{Kind, Nature};
use trueup::model::network::{NetworkDriver, NetworkField, NetworkSpec};
use trueup::model::plan::Action;
use trueup::ports::Contents;

fn name(field: NetworkField) -> String {
    format!("n-{}", field.name().replace('_', "-"))
}

/// The declaration; each network has a subnet of its own, outside of those that Docker itself deals out by turns.
fn declaration(field: NetworkField) -> String {
    let third = NetworkField::ALL.iter().position(|f| *f == field).expect("a field") + 100;
    let more = match field {
        NetworkField::Driver | NetworkField::Subnet | NetworkField::Internal | NetworkField::Attachable => {
            "".to_owned()
        }
        NetworkField::Gateway => format!("gateway = \"10.130.{third}.1\"\n"),
        NetworkField::IpRange => format!("ip_range = \"10.130.{third}.128/25\"\n"),
        NetworkField::Parent => "driver = \"macvlan\"\nparent = \"docker0\"\n".to_owned(),
        NetworkField::Options => "options = { \"com.docker.network.driver.mtu\" = \"1400\" }\n".to_owned(),
        NetworkField::Labels => "labels = { colour = \"blue\" }\n".to_owned(),
    };
    format!("[network.{}]\nsubnet = \"10.130.{third}.0/24\"\n{more}", name(field))
}

/// Another value of the field.
fn spoil(field: NetworkField, spec: &NetworkSpec) -> NetworkSpec {
    let mut s = spec.clone();
    let third = NetworkField::ALL.iter().position(|f| *f == field).expect("a field") + 100;
    match field {
        NetworkField::Driver => {
            s.driver = NetworkDriver::Macvlan;
            s.parent = Some(bridge_of(BASES[0]));
        }
        NetworkField::Subnet => s.subnet = Some("10.130.99.0/24".parse().expect("a subnet")),
        NetworkField::Gateway => s.gateway = Some(format!("10.130.{third}.9").parse().expect("an address")),
        NetworkField::IpRange => s.ip_range = Some(format!("10.130.{third}.64/26").parse().expect("a range")),
        NetworkField::Parent => s.parent = Some(bridge_of(BASES[1])),
        NetworkField::Internal => s.internal = true,
        NetworkField::Attachable => s.attachable = true,
        NetworkField::Options => {
            s.options = BTreeMap::from([("com.docker.network.driver.mtu".into(), "1300".into())]);
        }
        NetworkField::Labels => s.labels = BTreeMap::from([("colour".into(), "red".into())]),
    }
    s
}

/// Bridges of the test's own, as parents of macvlan networks: nothing of them leaves this machine.
const BASES: [&str; 2] = ["n-base-one", "n-base-two"];

struct Bases;

impl Drop for Bases {
    fn drop(&mut self) {
        for base in BASES {
            stage::docker(&["network", "rm", base]);
        }
    }
}

/// The interface that the engine made for a bridge network.
fn bridge_of(network: &str) -> String {
    format!("br-{}", &docker_ok(&["network", "inspect", "-f", "{{.Id}}", network])[..12])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_is_detected_healed_and_then_in_sync() {
    // Dropped after the stage, whose networks stand on them.
    let _bases = Bases;
    for base in BASES {
        docker_ok(&["network", "create", base]);
    }
    let stage = Stage::new("networks");
    let networks: String = NetworkField::ALL.iter().map(|field| declaration(*field)).collect();
    let attached: String =
        NetworkField::ALL.iter().map(|field| format!("[network.{}]\n", name(*field))).collect();
    let app = format!(
        "app = \"netted\"\nenvironments = [\"test\"]\nimage = \"{}\"\npull = \"never\"\n\
         command = [\"/bin/busybox\", \"sleep\", \"3600\"]\nstop_timeout = \"1s\"\n[rollout]\nmin_healthy = \"0s\"\n{attached}",
        stage.image
    );
    stage.commit(&[
        ("fleet.toml", FLEET),
        ("hosts/local.toml", HOST),
        ("networks/all.toml", &networks),
        ("apps/netted/app.toml", &app),
    ]);
    let _ = stage.apply_in_full().await;
    let before = docker_ok(&["inspect", "-f", "{{.Id}}", "netted-test-0"]);

    let pass = stage.look().await;
    let (_, host) = pass.desired.hosts.first_key_value().expect("the host");
    let engine = stage.world.engines.engine(host).expect("an engine");
    for field in NetworkField::ALL {
        let network = name(*field);
        let json = docker_ok(&["network", "inspect", "-f", "{{json .Labels}}", &network]);
        let mut labels: BTreeMap<String, String> = serde_json::from_str(&json).expect("labels");
        labels.retain(|key, _| key.starts_with("io.trueup."));
        let declared =
            pass.desired.networks.values().find(|n| n.name.as_str() == network).expect("a network");
        docker_ok(&["network", "disconnect", "-f", &network, "netted-test-0"]);
        docker_ok(&["network", "rm", &network]);
        let action =
            Action::CreateNetwork { name: network.clone(), spec: spoil(*field, &declared.spec), labels };
        engine.perform(&action, &Contents::new(), &|_, _| {}).await.expect("the hand's own work");
        docker_ok(&["network", "connect", &network, "netted-test-0"]);
    }

    let pass = stage.look().await;
    let mut missed = Vec::new();
    for field in NetworkField::ALL {
        let told: Vec<String> = pass
            .plan
            .drift
            .iter()
            .filter(|drift| drift.subject.kind == Kind::Network && drift.subject.name == name(*field))
            .flat_map(|drift| match &drift.nature {
                Nature::Changed(changes) => changes.iter().map(|c| c.field.clone()).collect(),
                Nature::Missing | Nature::Extra | Nature::NotRunning(_) | Nature::Unhealthy(_) => vec![],
            })
            .collect();
        if !told.iter().any(|name| name == field.name()) {
            missed.push(format!("{}: drift says {told:?}", field.name()));
        }
    }
    assert!(missed.is_empty(), "by-hand changes not told as what they are:\n{}", missed.join("\n"));
    let _ = stage.apply_in_full().await;
    assert_eq!(
        docker_ok(&["inspect", "-f", "{{.Id}}", "netted-test-0"]),
        before,
        "its instance went on (D8)"
    );
}

/// Somebody else's containers, by their names.
struct Theirs(&'static [&'static str]);

impl Drop for Theirs {
    fn drop(&mut self) {
        for name in self.0 {
            stage::docker(&["rm", "-f", name]);
        }
    }
}

/// Why the network is blocked.
fn blocked(pass: &Pass, network: &str) -> Option<String> {
    let mut all = pass.plan.blocked.iter();
    let found = all.find(|blocked| blocked.subject.kind == Kind::Network && blocked.subject.name == network);
    found.map(|blocked| blocked.reason.clone())
}

/// A container that trueup did not make is on a bridge of its: nobody is cut off, whatever git wants of the bridge, the
/// reason names it, and everything else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_with_somebody_elses_container_on_it_waits_and_nothing_else_does() {
    const BRIDGE: &str = "n-shared";
    const THEIRS: &str = "trueup-test-networks-theirs";
    // Dropped after the stage, whose image and network it holds.
    let stage = Stage::new("networksshared");
    let _theirs = Theirs(&[THEIRS]);
    let bridge = |colour: &str| {
        format!("[network.{BRIDGE}]\nsubnet = \"10.130.150.0/24\"\nlabels = {{ colour = {colour:?} }}\n")
    };
    let app = |name: &str, round: &str, network: &str| {
        format!(
            "app = \"{name}\"\nenvironments = [\"test\"]\nimage = \"{}\"\npull = \"never\"\nenv = {{ ROUND = {round:?} }}\n\
             command = [\"/bin/busybox\", \"sleep\", \"3600\"]\nstop_timeout = \"1s\"\n[rollout]\nmin_healthy = \"0s\"\n{network}",
            stage.image
        )
    };
    let on_it = format!("[network.{BRIDGE}]\n");
    let commit = |networks: &str, network: &str, round: &str| {
        stage.commit(&[
            ("fleet.toml", FLEET),
            ("hosts/local.toml", HOST),
            ("networks/all.toml", networks),
            ("apps/shared/app.toml", &app("shared", "one", network)),
            ("apps/beside/app.toml", &app("beside", round, "")),
        ]);
    };
    let id = |of: &str| docker_ok(&["inspect", "-f", "{{.Id}}", of]);
    let on_bridge = || {
        let format = "{{range .Containers}}{{.Name}} {{end}}";
        let mut names: Vec<String> = docker_ok(&["network", "inspect", "-f", format, BRIDGE])
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    };
    let round = || docker_ok(&["inspect", "-f", "{{.Config.Env}}", "beside-test-0"]);
    let join = || {
        let run = ["run", "-d", "--name", THEIRS, "--network", BRIDGE, &stage.image];
        docker_ok(&[&run[..], &["/bin/busybox", "sleep", "3600"]].concat())
    };
    commit(&bridge("blue"), &on_it, "one");
    let _ = stage.apply_in_full().await;
    let theirs = join();
    let pass = stage.look().await;
    assert!(pass.plan.changes.is_empty() && pass.plan.blocked.is_empty(), "a guest alone is no drift");

    // Git wants another bridge.
    let before = (id(BRIDGE), id("shared-test-0"));
    commit(&bridge("red"), &on_it, "two");
    let _ = stage.apply().await;
    let why = blocked(&stage.look().await, BRIDGE).expect("it is blocked");
    assert!(why.contains(THEIRS) && why.contains("labels"), "{why}");
    assert_eq!((id(BRIDGE), id("shared-test-0")), before, "nothing is torn down");
    assert_eq!(on_bridge(), ["shared-test-0", THEIRS], "and nobody is taken off it");
    assert!(round().contains("ROUND=two"), "the others go on: {}", round());
    docker_ok(&["rm", "-f", THEIRS]);
    let _ = stage.apply_in_full().await;
    let colour = ["network", "inspect", "-f", "{{.Labels.colour}}", BRIDGE];
    assert_eq!(
        (docker_ok(&colour).as_str(), id("shared-test-0")),
        ("red", before.1),
        "made anew, with its own"
    );
    assert_ne!(id(BRIDGE), before.0);
    assert_eq!(on_bridge(), ["shared-test-0"]);

    // Git wants none.
    let (bridge_id, again) = (id(BRIDGE), join());
    assert_ne!(theirs, again);
    commit("", "", "three");
    let _ = stage.apply().await;
    let why = blocked(&stage.look().await, BRIDGE).expect("it is blocked");
    assert!(why.contains(THEIRS) && why.contains("no longer declared"), "{why}");
    assert_eq!((id(BRIDGE), id(THEIRS), on_bridge()), (bridge_id, again, vec![THEIRS.to_owned()]));
    assert!(round().contains("ROUND=three"), "{}", round());
    docker_ok(&["rm", "-f", THEIRS]);
    let _ = stage.apply_in_full().await;
    assert!(!stage::docker(&["network", "inspect", BRIDGE]).status.success(), "it goes with its last guest");
}

/// An engine removes a network on which nobody runs, and starts nothing again that was on it. So somebody's container that is
/// stopped keeps it (B1), and ours is put on the one that is there (A4).
#[tokio::test(flavor = "multi_thread")]
async fn who_is_stopped_on_a_network_can_be_started_again() {
    const BRIDGE: &str = "n-stopped";
    const THEIRS: &str = "trueup-test-networks-stopped";
    const OURS: &str = "resting-test-0";
    // Dropped after the stage, whose image and network it holds.
    let stage = Stage::new("networksstopped");
    let _theirs = Theirs(&[THEIRS]);
    let commit = |networks: &str, network: &str| {
        let app = format!(
            "app = \"resting\"\nenvironments = [\"test\"]\nimage = \"{}\"\npull = \"never\"\n\
             command = [\"/bin/busybox\", \"sleep\", \"3600\"]\nstop_timeout = \"1s\"\n[rollout]\nmin_healthy = \"0s\"\n{network}",
            stage.image
        );
        stage.commit(&[
            ("fleet.toml", FLEET),
            ("hosts/local.toml", HOST),
            ("networks/all.toml", networks),
            ("apps/resting/app.toml", &app),
        ]);
    };
    let bridge = |colour: &str| {
        format!("[network.{BRIDGE}]\nsubnet = \"10.130.151.0/24\"\nlabels = {{ colour = {colour:?} }}\n")
    };
    let on_it = format!("[network.{BRIDGE}]\naliases = [\"quiet\"]\n");
    let id = |of: &str| docker_ok(&["inspect", "-f", "{{.Id}}", of]);
    let runs = || docker_ok(&["inspect", "-f", "{{.State.Running}}", OURS]) == "true";
    let stop = |name: &str| docker_ok(&["stop", "-t", "0", name]);
    commit(&bridge("blue"), &on_it);
    let _ = stage.apply_in_full().await;
    let ours = id(OURS);

    // Somebody takes the network away under it.
    let before = id(BRIDGE);
    stop(OURS);
    docker_ok(&["network", "rm", BRIDGE]);
    let _ = stage.apply_in_full().await;
    assert!(runs() && id(OURS) == ours, "the very container runs again");
    assert_ne!(id(BRIDGE), before);
    let aliases = format!("{{{{index (index .NetworkSettings.Networks \"{BRIDGE}\").Aliases 0}}}}");
    assert_eq!(docker_ok(&["inspect", "-f", &aliases, OURS]), "quiet");

    // Git wants another network while both are stopped.
    let run = ["run", "-d", "--name", THEIRS, "--network", BRIDGE, &stage.image];
    docker_ok(&[&run[..], &["/bin/busybox", "sleep", "3600"]].concat());
    stop(THEIRS);
    stop(OURS);
    let before = id(BRIDGE);
    commit(&bridge("red"), &on_it);
    let _ = stage.apply().await;
    let why = blocked(&stage.look().await, BRIDGE).expect("it is blocked");
    assert!(why.contains(THEIRS), "{why}");
    assert!(id(BRIDGE) == before && runs(), "it stays, and ours is started on it");
    docker_ok(&["start", THEIRS]);
    docker_ok(&["rm", "-f", THEIRS]);
    stop(OURS);
    let _ = stage.apply_in_full().await;
    assert_ne!(id(BRIDGE), before, "made anew");
    assert!(runs() && id(OURS) == ours, "and ours was taken along");

    // Git wants none; theirs was made and never started.
    let before = id(BRIDGE);
    docker_ok(&["create", "--name", THEIRS, "--network", BRIDGE, &stage.image, "/bin/busybox", "sleep", "9"]);
    commit("", "");
    let _ = stage.apply().await;
    let why = blocked(&stage.look().await, BRIDGE).expect("it is blocked");
    assert!(why.contains(&format!("{THEIRS} (stopped)")), "{why}");
    assert_eq!(id(BRIDGE), before);
    docker_ok(&["start", THEIRS]);
    docker_ok(&["rm", "-f", THEIRS]);
    let _ = stage.apply_in_full().await;
    assert!(!stage::docker(&["network", "inspect", BRIDGE]).status.success(), "it goes with its last guest");
}
