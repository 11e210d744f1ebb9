//! A hand on a field of every kind: what is declared of containers, services, networks, volumes, nodes and generated files is
//! changed one by one, and all of it has to be told by its name.

use std::collections::{BTreeMap, BTreeSet};

use trueup::control::World;
use trueup::control::pass::{self, Pass};
use trueup::control::revision::Reader;
use trueup::model::container::ContainerField;
use trueup::model::names::{AppKey, HostName};
use trueup::model::service::ServiceField;

use crate::SERVICES;
use crate::fleet::ground::Ground;
use crate::fleet::services::by_hand;
use crate::stage::{self, hand};

/// Fields by the name of what has them.
type Fields = BTreeMap<String, BTreeSet<String>>;

/// Panics unless every field that a hand changed is told by its name, and nothing else.
pub async fn on_every_kind(ground: &Ground<'_>) {
    let settings = ground.settings();
    let world = stage::assemble(&settings);
    let taken = Reader::default().take(&world, false).await.expect("a revision");
    let pass = pass::look(&world, taken, false).await.expect("a look");
    let mut wanted = Fields::new();
    on_containers(ground, &world, &pass, &mut wanted).await;
    on_services(ground, &mut wanted);
    on_nodes(ground, &mut wanted);
    on_networks(ground, &pass, &mut wanted);
    on_a_volume(ground, &pass, &mut wanted);
    on_files(ground, &mut wanted);
    let (_, plan) = ground.trueup(&["plan"]);
    let mut told = Fields::new();
    for drift in plan["drift"].as_array().expect("drift") {
        let name = drift["name"].as_str().expect("a name").to_owned();
        let fields: BTreeSet<String> = drift["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .map(|field| {
                field["field"].as_str().and_then(|f| f.split('.').next()).expect("a field").to_owned()
            })
            .collect();
        // By its new values, a hand may well have kept it from running.
        assert!(!fields.is_empty() || wanted.contains_key(&name), "nobody laid a hand on {name}: {drift:#}");
        told.entry(name).or_default().extend(fields);
    }
    assert_eq!(told, wanted, "every field that a hand changed, and no other");
    assert_eq!(plan["unknown"], serde_json::json!([]));
    eprintln!("{} of {} fields changed by hand are told", count(&told), count(&wanted));
}

fn count(fields: &Fields) -> usize {
    fields.values().map(BTreeSet::len).sum()
}

/// The host that has the container.
fn host_of(pass: &Pass, container: &str) -> String {
    let holds = |host: &&HostName| {
        let engine = pass.observed.engine(host);
        engine.is_some_and(|e| e.containers.keys().any(|name| name.as_str() == container))
    };
    pass.desired.hosts.keys().find(holds).expect("its host").to_string()
}

/// `--label` for each of trueup's own.
fn own_labels(labels: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
    labels
        .iter()
        .filter(|(key, _)| key.starts_with("io.trueup."))
        .map(|(key, value)| format!("--label={key}={value}"))
}

async fn on_containers(ground: &Ground<'_>, world: &World, pass: &Pass, wanted: &mut Fields) {
    let fleet = ground.fleet;
    for host in fleet.state.hosts.keys() {
        fleet.docker_ok(host, &["pull", "-q", "trueup-test-fields:2"]);
    }
    for field in ContainerField::ALL {
        let key: AppKey = format!("{}-test", hand::app_name(*field)).parse().expect("a key");
        let container = format!("{key}-0");
        let on = host_of(pass, &container);
        let host = &pass.desired.hosts[&on.parse::<HostName>().expect("a name")];
        let engine = world.engines.engine(host).expect("an engine");
        let spec = &pass.desired.apps[&key].container;
        let docker = |args: &[&str]| fleet.docker_ok(&on, args);
        hand::change(*field, &container, spec, &pass.desired.contents, &*engine, docker).await;
        wanted.entry(container).or_default().insert(field.name().to_owned());
    }
}

fn on_services(ground: &Ground<'_>, wanted: &mut Fields) {
    let fleet = ground.fleet;
    fleet.docker_ok("h1", &["network", "create", "-d", "overlay", "byhand"]);
    let config = fleet.dir().join("byhand");
    std::fs::write(&config, "by hand").expect("a file");
    fleet.docker_ok("h1", &["config", "create", "byhand", &config.display().to_string()]);
    for (n, field) in ServiceField::ALL.iter().enumerate() {
        let service = format!("s{}-test", n % SERVICES);
        let mut args = vec!["service", "update", "--detach", "--no-resolve-image"];
        args.extend(by_hand(*field));
        args.push(&service);
        fleet.docker_ok("h1", &args);
        wanted.entry(service).or_default().insert(field.name().to_owned());
    }
}

fn on_nodes(ground: &Ground<'_>, wanted: &mut Fields) {
    let update = |args: &[&str]| drop(ground.fleet.docker_ok("h1", &[&["node", "update"], args].concat()));
    update(&["--label-add", "zone=by-hand", "h2"]);
    // Unlike `drain`, it leaves the node's tasks alone.
    update(&["--availability", "pause", "h3"]);
    wanted.insert("h2".to_owned(), BTreeSet::from(["labels".to_owned()]));
    wanted.insert("h3".to_owned(), BTreeSet::from(["availability".to_owned()]));
}

/// A network of one engine and one of the Swarm, made anew under their feet.
fn on_networks(ground: &Ground<'_>, pass: &Pass, wanted: &mut Fields) {
    let container = "netted-test-0";
    let host = host_of(pass, container);
    let docker = |args: &[&str]| ground.fleet.docker_ok(&host, args);
    for (network, at, options) in [
        ("spare", host.as_str(), ["--driver=bridge", "--subnet=10.130.91.0/24", "--internal"]),
        ("wide", "h1", ["--driver=overlay", "--subnet=10.92.7.0/24", "--attachable"]),
    ] {
        let at = |args: &[&str]| ground.fleet.docker_ok(at, args);
        let labels = at(&["network", "inspect", "-f", "{{json .Labels}}", network]);
        let labels = serde_json::from_str(&labels).expect("labels");
        let labels: Vec<String> = own_labels(&labels).collect();
        docker(&["network", "disconnect", "-f", network, container]);
        at(&["network", "rm", network]);
        let mut create = vec!["network", "create"];
        create.extend(options.iter().copied().chain(labels.iter().map(String::as_str)));
        create.push(network);
        at(&create);
        docker(&["network", "connect", network, container]);
    }
    wanted.insert("spare".to_owned(), BTreeSet::from(["internal".to_owned()]));
    wanted.insert("wide".to_owned(), BTreeSet::from(["subnet".to_owned()]));
}

/// Made anew, for which its container has to go.
fn on_a_volume(ground: &Ground<'_>, pass: &Pass, wanted: &mut Fields) {
    let (container, volume) = ("kept-test-0", "kept-test-data");
    let host = host_of(pass, container);
    let docker = |args: &[&str]| ground.fleet.docker_ok(&host, args);
    let labels = docker(&["volume", "inspect", "-f", "{{json .Labels}}", volume]);
    let labels = serde_json::from_str(&labels).expect("labels");
    let labels: Vec<String> = own_labels(&labels).collect();
    docker(&["rm", "-f", container]);
    docker(&["volume", "rm", volume]);
    let mut create = vec!["volume", "create", "--opt=type=tmpfs", "--opt=device=tmpfs", "--opt=o=size=2m"];
    create.extend(labels.iter().map(String::as_str));
    create.push(volume);
    docker(&create);
    wanted.insert(volume.to_owned(), BTreeSet::from(["options".to_owned()]));
    // It is missing: that has no fields.
    wanted.insert(container.to_owned(), BTreeSet::new());
}

fn on_files(ground: &Ground<'_>, wanted: &mut Fields) {
    let upstream = ground.fleet.dir().join("nginx/current/rest-test.conf");
    std::fs::write(&upstream, "# by hand\n").expect("a file");
    wanted.insert("nginx".to_owned(), BTreeSet::from(["rest-test".to_owned()]));
    for host in ground.fleet.state.hosts.keys() {
        let agents = std::fs::read_dir(ground.fleet.dir().join(format!("flume/{host}/current")));
        for agent in agents.into_iter().flatten().flatten() {
            std::fs::write(agent.path(), "# by hand\n").expect("a file");
            let name = agent.file_name().into_string().expect("a name");
            let file = name.split('.').next().expect("a name").to_owned();
            wanted.entry(format!("flume/{host}")).or_default().insert(file);
        }
    }
    assert!(wanted.keys().any(|name| name.starts_with("flume")), "an agent's file: {wanted:?}");
}
