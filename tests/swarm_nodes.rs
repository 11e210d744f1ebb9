//! A member of a real Swarm that leaves it and joins again, and so has another node id: it is found by its engine's own
//! word, its labels are written anew, and what is left of the old one is told. Nothing runs twice meanwhile (A1, C8). And
//! nodes that the inventory drains, or takes from an environment.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod fleet;
mod stage;

use std::collections::{BTreeMap, BTreeSet};

use fleet::Fleet;
use fleet::ground::Ground;
use fleet::services::{
    Moment, SLEEP, app, asked, base, beside, blocked, inspect, nodes, running, soon, tasks,
};
use serde_json::Value;

const HOSTS: [&str; 4] = ["h1", "h2", "h3", "h4"];

/// Id and state of each node of this name, as a manager has them.
fn named(fleet: &Fleet, name: &str) -> BTreeMap<String, String> {
    let listed = fleet.docker_ok("h1", &["node", "ls", "--format", "{{.ID}} {{.Hostname}} {{.Status}}"]);
    let words = listed.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    words.filter(|w| w[1] == name).map(|w| (w[0].to_owned(), w[2].to_owned())).collect()
}

/// Its own id, as the engine itself says; empty where it is in no Swarm.
fn own_id(fleet: &Fleet, host: &str) -> String {
    fleet.docker_ok(host, &["info", "--format", "{{.Swarm.NodeID}}"])
}

fn labels(fleet: &Fleet, node: &str) -> BTreeMap<String, String> {
    let text = fleet.docker_ok("h1", &["node", "inspect", node, "--format", "{{json .Spec.Labels}}"]);
    serde_json::from_str(&text).expect("labels")
}

/// Containers that trueup placed itself, with their ids: by host.
fn placed(fleet: &Fleet) -> Vec<Vec<String>> {
    let label = "label=io.trueup.installation";
    let format = ["ps", "--no-trunc", "--filter", label, "--format", "{{.Names}} {{.ID}}"];
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    HOSTS.iter().map(|host| sorted(fleet.docker_ok(host, &format))).collect()
}

/// Kind, name and reason of what is told as unmanaged.
fn unmanaged(plan: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = plan["unmanaged"].as_array().expect("unmanaged");
    all.iter().map(|u| (text(&u["kind"]), text(&u["name"]), text(&u["why"]))).collect()
}

#[test]
fn a_worker_that_leaves_and_joins_again_has_another_id() {
    let fleet = Fleet::up(HOSTS.len(), 3);
    fleet.push("box:1", &stage::pack_busybox(fleet.dir(), "first"));
    let ground = Ground::new(&fleet);
    let mut files = base(&ground);
    files.extend([
        app("web", &format!("{SLEEP}\nreplicas = 4"), "[swarm]\nmax_per_node = 2\n[network.mesh]"),
        app("zoned", SLEEP, "[swarm]\nconstraints = [\"node.labels.zone == d\"]"),
        app("agent", SLEEP, "[swarm]\nglobal = true"),
        beside("near", "replicas = \"every-host\""),
        beside("tied", "replicas = \"every-host\"\n[network.mesh]"),
    ]);
    ground.commit(&files);
    ground.apply_in_full();
    // Somebody else's label, which git knows nothing of.
    fleet.docker_ok("h1", &["node", "update", "--label-add", "rack=7", "h4"]);
    let (old, before) = (own_id(&fleet, "h4"), placed(&fleet));
    assert_eq!(before.iter().flatten().count(), 8, "{before:?}");
    let of_old = labels(&fleet, &old);
    assert_eq!((of_old["zone"].as_str(), of_old["rack"].as_str()), ("d", "7"));
    let since = Moment::now();

    fleet.docker_ok("h4", &["swarm", "leave"]);
    soon("the manager sees that it left", || {
        named(&fleet, "h4") == BTreeMap::from([(old.clone(), "Down".to_owned())])
    });
    soon("Swarm runs its tasks elsewhere", || running(&fleet, "h1", "web-test").len() == 4);
    // Meanwhile something breaks on another host.
    let victim = fleet.docker_ok("h2", &["ps", "-q", "--filter", "name=near-"]);
    fleet.docker_ok("h2", &["stop", "-t", "0", &victim]);
    let (code, done) = ground.trueup(&["apply", "--yes"]);
    assert_eq!(code, 3, "{done:#}");
    let mut done_to =
        done["outcomes"].as_array().expect("outcomes").iter().map(|o| (&o["name"], &o["outcome"]));
    assert_eq!(
        (done_to.next(), done_to.next()),
        (Some((&"near-test-1".into(), &"done".into())), None),
        "{done:#}"
    );
    assert_eq!(placed(&fleet), before, "the others are healed, and nothing moved or came twice");
    let (code, plan) = ground.trueup(&["plan"]);
    assert_eq!((code, &plan["changes"]), (3, &Value::Array(vec![])), "{plan:#}");
    let why = blocked(&plan);
    for reason in [
        "\"node\" \"h4\": \"its engine says that it is in no Swarm (inactive)",
        "\"container\" \"tied-test-3\": \"h4 is in no Swarm (inactive), and mesh is a network of the Swarm all",
        "\"service\" \"zoned-test\": \"0 of 1 tasks run: no suitable node",
    ] {
        assert!(why.contains(reason), "{reason}: {why}");
    }
    assert_eq!(why.lines().count(), 3, "and nothing else: {why}");
    assert_left_behind(&plan, &old);

    let token = fleet.docker_ok("h1", &["swarm", "join-token", "-q", "worker"]);
    let (h1, h4) = (&fleet.state.hosts["h1"].address, &fleet.state.hosts["h4"].address);
    fleet.docker_ok(
        "h4",
        &["swarm", "join", "--advertise-addr", h4, "--token", &token, &format!("{h1}:2377")],
    );
    let new = own_id(&fleet, "h4");
    assert!(!new.is_empty() && new != old);
    soon("it is ready", || named(&fleet, "h4").get(&new).is_some_and(|state| state == "Ready"));
    assert!(labels(&fleet, &new).is_empty(), "Swarm itself remembers none");
    let (code, plan) = ground.trueup(&["plan"]);
    assert_eq!((code, blocked(&plan).as_str()), (2, ""), "{plan:#}");
    let node = plan["changes"].as_array().expect("changes").iter().find(|change| change["kind"] == "node");
    let node = node.expect("a change of the node");
    assert_eq!(node["steps"], serde_json::json!([format!("update node {new}")]), "{plan:#}");
    assert_eq!(node["because"], serde_json::json!(["labels.role: (none) → app", "labels.zone: (none) → d"]));
    assert_left_behind(&plan, &old);

    // Its labels let the service in that waits for them; what others wrote on the old one trueup does not make up.
    // A network of the Swarm comes to an engine that just joined when something attaches to it, in its own time: the first
    // try may fail.
    soon("it converges", || ground.trueup(&["apply", "--yes"]).0 == 0);
    ground.apply_in_full();
    let of_new = labels(&fleet, &new);
    assert_eq!((of_new["zone"].as_str(), of_new.get("rack")), ("d", None), "{of_new:?}");
    assert_eq!(labels(&fleet, &old), of_old, "the old one is left as it was");
    assert_eq!(nodes(&fleet, "h1", "zoned-test"), BTreeSet::from(["h4".to_owned()]));
    assert_eq!(nodes(&fleet, "h1", "agent-test").len(), 4);
    // Nothing of it was trueup's doing, and nothing is there twice: not as a task, and not as a container.
    assert_eq!(asked(&fleet, &since), (0, 0, 0));
    for (service, count) in [("web-test", 4), ("zoned-test", 1), ("agent-test", 4)] {
        assert_eq!(tasks(&fleet, "h1", service).len(), count, "{service}");
        soon("as many containers as tasks", || containers(&fleet, service) == count);
    }
    assert_eq!(placed(&fleet), before, "the very same containers, on the network again");

    // Somebody does as told.
    let (code, plan) = ground.trueup(&["plan"]);
    assert_left_behind(&plan, &old);
    assert_eq!(code, 0, "it is told, and no reason to wait: {plan:#}");
    fleet.docker_ok("h1", &["node", "rm", &old]);
    let (code, plan) = ground.trueup(&["plan"]);
    assert_eq!((code, unmanaged(&plan)), (0, vec![]), "{plan:#}");
}

/// The node that is no host's any more is told, with its tasks' addresses and what to do; and nothing else is.
fn assert_left_behind(plan: &Value, old: &str) {
    let told = unmanaged(plan);
    let [(kind, name, why)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((kind.as_str(), name.as_str()), ("node", old));
    assert!(why.starts_with("h4, which is no host's any more: down"), "{why}");
    assert!(
        why.contains("; its tasks still hold 10.91.0.") && why.ends_with(&format!("`docker node rm {old}`")),
        "{why}"
    );
}

/// Running containers of a service's tasks, on all hosts.
fn containers(fleet: &Fleet, service: &str) -> usize {
    let filter = format!("label=com.docker.swarm.service.name={service}");
    HOSTS.iter().map(|host| fleet.docker_ok(host, &["ps", "-q", "--filter", &filter]).lines().count()).sum()
}

#[test]
fn a_node_takes_tasks_as_the_inventory_says() {
    let fleet = Fleet::up(3, 3);
    fleet.push("box:1", &stage::pack_busybox(fleet.dir(), "first"));
    let ground = Ground::new(&fleet);
    let mut files = base(&ground);
    files.extend([
        app("web", &format!("{SLEEP}\nreplicas = 3"), ""),
        app("agent", SLEEP, "[swarm]\nglobal = true"),
    ]);
    let hosts = files["hosts/all.toml"].clone();
    // Of the host h3 alone.
    let mut declare = |line: &str| {
        let inventory = hosts.replace("[host.h3]\n", &format!("[host.h3]\n{line}\n"));
        files.insert("hosts/all.toml".to_owned(), inventory);
        ground.commit(&files);
    };
    declare("");
    ground.apply_in_full();
    let availability =
        || fleet.docker_ok("h1", &["node", "inspect", "h3", "--format", "{{.Spec.Availability}}"]);
    let all = |service: &str| nodes(&fleet, "h1", service);
    let two = BTreeSet::from(["h1".to_owned(), "h2".to_owned()]);
    let three = BTreeSet::from(["h1".to_owned(), "h2".to_owned(), "h3".to_owned()]);
    assert_eq!(
        (availability().as_str(), all("web-test"), all("agent-test")),
        ("active", three.clone(), three.clone())
    );

    declare("drain = true");
    let (code, plan) = ground.trueup(&["plan"]);
    let changes = plan["changes"].as_array().expect("changes");
    assert_eq!((code, changes.len(), &changes[0]["kind"]), (2, 1, &"node".into()), "{plan:#}");
    let (_, done) = ground.trueup(&["apply", "--yes"]);
    assert_eq!(availability(), "drain", "{done:#}");
    soon("its tasks run elsewhere", || {
        running(&fleet, "h1", "web-test").len() == 3 && all("web-test") == two && all("agent-test") == two
    });
    soon("nothing of them is left there", || fleet.docker_ok("h3", &["ps", "-q"]).is_empty());
    ground.apply_in_full();

    // What trueup drained it makes active again.
    declare("");
    ground.apply_in_full();
    assert_eq!(availability(), "active");
    soon("a service of every node is back", || {
        running(&fleet, "h1", "agent-test").len() == 3 && all("agent-test") == three
    });

    // Set in words, it is as the words say; without them it is people's own business.
    for (line, then) in [
        ("availability = \"pause\"", "pause"),
        ("", "pause"),
        ("availability = \"drain\"", "drain"),
        ("availability = \"active\"", "active"),
    ] {
        declare(line);
        soon("it converges", || ground.trueup(&["apply", "--yes"]).0 == 0);
        assert_eq!(availability(), then, "{line}");
    }
    ground.apply_in_full();
    // A hand drains it, and nobody asked trueup about it.
    declare("");
    fleet.docker_ok("h1", &["node", "update", "--availability", "drain", "h3"]);
    soon("its tasks leave", || !all("agent-test").contains("h3"));
    ground.apply_in_full();
    assert_eq!(availability(), "drain", "it is left alone");
    fleet.docker_ok("h1", &["node", "update", "--availability", "active", "h3"]);
    fleet.docker_ok("h1", &["service", "update", "-d", "--force", "web-test"]);
    soon("both are everywhere again", || {
        let running = |service: &str| running(&fleet, "h1", service).len() == 3;
        running("web-test") && running("agent-test") && all("web-test") == three && all("agent-test") == three
    });
    serve_different_environments(&ground, &files, &hosts);
}

/// A member is taken from an environment while the engine of one that stays in it is out of trueup's reach, and not out of
/// Swarm's: nothing of it ends (A1, D8, F5).
fn serve_different_environments(ground: &Ground<'_>, files: &BTreeMap<String, String>, hosts: &str) {
    let fleet = ground.fleet;
    let edited = |inventory: &str, host: &str, from: &str, to: &str| {
        let header = format!("[host.{host}]\n");
        let (before, of_it) = inventory.split_once(&header).expect("the host");
        assert!(of_it.contains(from), "{of_it}");
        format!("{before}{header}{}", of_it.replacen(from, to, 1))
    };
    let commit = |inventory: String| {
        let mut files = files.clone();
        files.insert("hosts/all.toml".to_owned(), inventory);
        ground.commit(&files);
    };
    let both = || ["web-test", "agent-test"].map(|service| tasks(fleet, "h1", service));
    let constraints = || inspect(fleet, "h1", "web-test", "{{.Spec.TaskTemplate.Placement.Constraints}}");
    let label = |node: &str| labels(fleet, node).get("io.trueup.serves.test").cloned();
    let before = both();
    let other = edited(hosts, "h2", "\"test\", \"prod\"", "\"prod\"");
    commit(edited(&other, "h3", ":2376", ":1"));
    let (code, done) = ground.trueup(&["apply", "--yes"]);
    assert_eq!((code, both(), constraints().as_str()), (3, before.clone(), "[]"), "{done:#}");
    let (_, plan) = ground.trueup(&["plan"]);
    let why = blocked(&plan);
    for service in ["web-test", "agent-test"] {
        let reason = format!("\"service\" \"{service}\": \"its tasks are to keep to nodes with the label");
        assert!(why.contains(&reason) && why.contains("which node is that of h3"), "{why}");
    }
    assert_eq!([label("h1"), label("h2"), label("h3")], [Some("true".to_owned()), None, None]);

    // It answers again: it gets its label first, and only what is on the other's node goes.
    commit(other);
    soon("it converges", || ground.trueup(&["apply", "--yes"]).0 == 0);
    assert_eq!((label("h3").as_deref(), constraints().contains("serves.test")), (Some("true"), true));
    let stays = BTreeSet::from(["h1".to_owned(), "h3".to_owned()]);
    soon("they are where they may be", || {
        running(fleet, "h1", "web-test").len() == 3
            && ["web-test", "agent-test"].iter().all(|service| nodes(fleet, "h1", service) == stays)
    });
    let [web, agent] = both();
    assert_eq!(web.intersection(&before[0]).count(), 2, "{web:?} {before:?}");
    assert!(agent.len() == 2 && agent.is_subset(&before[1]), "{agent:?} {before:?}");
    ground.apply_in_full();
}
