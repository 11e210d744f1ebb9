//! Who gets traffic, by table: every state, every kind of address, and what is unknown.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::fixture::*;
use super::*;
use crate::model::names::InstanceName;
use crate::model::ownership::{ASIDE, NEXT};

fn one(desired: &Desired, observed: &Observed, drained: &[&str], installed: Option<&Files>) -> AppEndpoints {
    let drained = drained.iter().map(|n| name(n)).collect();
    project(desired, observed, &owner(), &Exceptions { drained, ..Exceptions::default() }, installed)
        .apps
        .remove(&key("quote-prod"))
        .expect("the app")
}

#[test]
fn an_instance_whose_removal_waits_keeps_its_traffic_b3() {
    let wanted = desired(1, vec![app("quote-prod", 1)]);
    let two = vec![container("quote-prod-0", "h1", "10.0.0.1"), container("quote-prod-1", "h1", "10.0.0.2")];
    let seen = observed(vec![("h1", known(two))]);
    let served = |exceptions: &Exceptions| {
        let all = project(&wanted, &seen, &owner(), exceptions, None);
        servers(&all.apps[&key("quote-prod")])
    };
    assert_eq!(served(&Exceptions::default()).len(), 1);
    let staying = [name("quote-prod-1")].into();
    assert_eq!(served(&Exceptions { staying, ..Exceptions::default() }).len(), 2);
}

fn servers(app: &AppEndpoints) -> Vec<String> {
    app.servers.iter().map(|s| format!("{} {} {}", s.instance, s.host, s.address)).collect()
}

fn reasons(app: &AppEndpoints) -> Vec<String> {
    app.left_out.iter().map(|l| format!("{}: {}", l.instance, l.why)).collect()
}

fn file(lines: &[&str]) -> Files {
    let text = format!("upstream quote-prod {{\n    {}\n}}\n", lines.join("\n    "));
    Files::from([("quote-prod.conf".to_owned(), text)])
}

#[test]
fn only_what_runs_and_is_not_unhealthy_serves() {
    let exited = RunState::Exited { exit_code: 1, at: name_at(), error: String::new() };
    for (state, serves) in [
        (running(Health::Healthy), true),
        (running(Health::Unchecked), true),
        (running(Health::Starting), false),
        (running(Health::Unhealthy { last_output: "x".into() }), false),
        (RunState::Created, false),
        (RunState::Paused, false),
        (RunState::Restarting { exit_code: 1 }, false),
        (RunState::Removing, false),
        (exited, false),
        (RunState::Dead, false),
    ] {
        let container = in_state(container("quote-prod-0", "h1", "10.0.0.2"), state.clone());
        let app = one(
            &desired(1, vec![app("quote-prod", 1)]),
            &observed(vec![("h1", known(vec![container]))]),
            &[],
            None,
        );
        assert_eq!(app.servers.len(), usize::from(serves), "{state:?}");
        assert_eq!(app.left_out.len(), usize::from(!serves), "{state:?}");
    }
}

fn name_at() -> crate::model::units::Timestamp {
    crate::model::units::Timestamp(3)
}

#[test]
fn an_address_is_the_networks_the_published_or_the_only_one() {
    let plain = || container("quote-prod-0", "h1", "10.0.0.2");
    let two = || {
        let mut c = plain();
        let other = c.live.networks["market"].clone();
        c.live.networks.insert("back".into(), other);
        c
    };
    let on_host = || {
        let mut c = container("quote-prod-0", "h1", "");
        c.live.network_mode = "host".into();
        c
    };
    for (what, container, network, expected) in [
        ("the only network", plain(), None, Ok("10.0.0.2:8080")),
        ("a named network", two(), Some("back"), Ok("10.0.0.2:8080")),
        ("a network it is not on", plain(), Some("back"), Err("no address on the network back")),
        ("two networks", two(), None, Err("several networks")),
        ("published on all", published(plain(), None, Some(18080)), None, Ok("192.0.2.1:18080")),
        (
            "published on 0.0.0.0",
            published(plain(), Some("0.0.0.0"), Some(18080)),
            None,
            Ok("192.0.2.1:18080"),
        ),
        // The host's own address is of the other family, and nobody listens there.
        ("published on ::", published(plain(), Some("::"), Some(18080)), None, Ok("10.0.0.2:8080")),
        (
            "published on loopback",
            published(plain(), Some("127.0.0.1"), Some(18080)),
            None,
            Ok("127.0.0.1:18080"),
        ),
        ("port not known", published(plain(), None, None), None, Ok("10.0.0.2:8080")),
        (
            "published, but a network is named",
            published(plain(), None, Some(1)),
            Some("market"),
            Ok("10.0.0.2:8080"),
        ),
        ("the host's own stack", on_host(), None, Ok("192.0.2.1:8080")),
        ("nothing", container("quote-prod-0", "h1", ""), None, Err("not published")),
        ("IPv6", container("quote-prod-0", "h1", "2001:db8::7"), None, Ok("[2001:db8::7]:8080")),
    ] {
        let mut spec = app("quote-prod", 1);
        spec.upstream.as_mut().expect("upstream").network = network.map(name);
        let result = one(&desired(1, vec![spec]), &observed(vec![("h1", known(vec![container]))]), &[], None);
        match expected {
            Ok(address) => assert_eq!(servers(&result), [format!("quote-prod-0 h1 {address}")], "{what}"),
            Err(why) => {
                assert!(result.servers.is_empty(), "{what}");
                assert!(reasons(&result)[0].contains(why), "{what}: {:?}", reasons(&result));
            }
        }
    }
}

#[test]
fn what_is_not_ours_serves_only_where_it_is_adopted() {
    let foreign = || {
        let mut c = container("quote-prod-0", "h1", "10.0.0.2");
        c.labels.clear();
        c
    };
    let seen = observed(vec![("h1", known(vec![foreign()]))]);
    let refused = one(&desired(1, vec![app("quote-prod", 1)]), &seen, &[], None);
    assert!(refused.servers.is_empty() && reasons(&refused)[0].contains("not trueup's"), "{refused:?}");
    let mut adopting = app("quote-prod", 1);
    adopting.adopt = true;
    assert_eq!(one(&desired(1, vec![adopting]), &seen, &[], None).servers.len(), 1);
    // A copied label owns nothing: labels of h1 on h2.
    let copied = observed(vec![("h2", known(vec![container("quote-prod-0", "h1", "10.0.0.2")]))]);
    assert!(one(&desired(2, vec![app("quote-prod", 1)]), &copied, &[], None).servers.is_empty());
}

/// `quote-prod` of two hosts, which takes over `old-web` on h1, and that one.
fn taking_over() -> (Desired, Container) {
    let mut adopting = app("quote-prod", 1);
    adopting.adopt = true;
    adopting.adopted.insert(0, name("old-web@h1"));
    let wanted = desired(2, vec![adopting]);
    let mut old = container("quote-prod-0", "h1", "10.0.0.1");
    (old.name, old.id) = (name("old-web"), "old".into());
    old.labels.clear();
    (wanted, old)
}

/// B4: while it moves, what was taken over keeps its traffic as everything does that moves; a stranger of its name has none.
#[test]
fn what_was_taken_over_serves_until_it_is_gone() {
    let (wanted, old) = taking_over();
    let served = |successor: Option<RunState>, id: Option<&str>| {
        let next = successor.map(|state| in_state(container("quote-prod-0", "h2", "10.0.0.2"), state));
        let seen =
            observed(vec![("h1", known(vec![old.clone()])), ("h2", known(next.into_iter().collect()))]);
        let mut adopted = LastSeen::default();
        if let Some(id) = id {
            adopted.note_adopted(name("quote-prod-0"), name("h1"), id.into());
        }
        let exceptions = Exceptions { adopted, ..Exceptions::default() };
        servers(&project(&wanted, &seen, &owner(), &exceptions, None).apps[&key("quote-prod")])
    };
    let (first, second) = ("quote-prod-0 h1 10.0.0.1:8080", "quote-prod-0 h2 10.0.0.2:8080");
    assert_eq!(served(None, None), [first]);
    for state in [RunState::Created, running(Health::Starting)] {
        assert_eq!(served(Some(state.clone()), Some("old")), [first]);
        assert_eq!(served(Some(state), Some("another")), [""; 0]);
    }
    assert_eq!(served(Some(running(Health::Healthy)), Some("old")), [first, second]);
    assert_eq!(served(Some(running(Health::Healthy)), Some("another")), [second]);
    assert_eq!(served(Some(running(Health::Healthy)), None), [second]);
}

/// B4, C8: it moved on long ago to a host that does not answer now; who took its name gets no traffic.
#[test]
fn a_stranger_serves_nothing_while_the_successor_is_silent() {
    let (wanted, old) = taking_over();
    let seen = observed(vec![("h1", known(vec![old])), ("h2", Seen::unknown("no answer"))]);
    let served = |on: &[&str], id: Option<&str>| {
        let mut last_seen: LastSeen = on.iter().map(|host| (name("quote-prod-0"), name(host))).collect();
        if let Some(id) = id {
            last_seen.note_adopted(name("quote-prod-0"), name("h1"), id.into());
        }
        let adopted = adoption::stand_ins(&wanted, &seen, &last_seen);
        let exceptions = Exceptions { adopted, ..Exceptions::default() };
        servers(&project(&wanted, &seen, &owner(), &exceptions, None).apps[&key("quote-prod")])
    };
    let it = "quote-prod-0 h1 10.0.0.1:8080";
    assert_eq!(served(&[], None), [it]);
    assert_eq!(served(&["h1"], None), [it]);
    assert_eq!(served(&["h2"], None), [""; 0]);
    assert_eq!(served(&["h2"], Some("another")), [""; 0]);
    assert_eq!(served(&["h2"], Some("old")), [it], "it is what moves there");
}

#[test]
fn drained_undeclared_replaced_and_missing_instances_say_why() {
    let mut aside = container("quote-prod-0", "h1", "10.0.0.9");
    aside.name = name(&format!("quote-prod-0{ASIDE}"));
    let mut next = container("quote-prod-0", "h1", "10.0.0.8");
    next.name = name(&format!("quote-prod-0{NEXT}"));
    let containers = vec![
        aside,
        next,
        container("quote-prod-0", "h1", "10.0.0.2"),
        container("quote-prod-1", "h1", "10.0.0.3"),
        container("quote-prod-3", "h1", "10.0.0.4"),
    ];
    let result = one(
        &desired(1, vec![app("quote-prod", 3)]),
        &observed(vec![("h1", known(containers))]),
        &["quote-prod-1"],
        None,
    );
    assert_eq!(servers(&result), ["quote-prod-0 h1 10.0.0.2:8080"]);
    assert_eq!(
        reasons(&result),
        [
            "quote-prod-1: it is drained for a change",
            "quote-prod-2: no host that was read has its container",
            "quote-prod-3: it is no longer declared: replicas = 3",
        ]
    );
}

#[test]
fn an_unknown_host_keeps_its_lines_and_only_its_own() {
    let installed = file(&[
        "server 10.0.0.2:8080 max_fails=3; # quote-prod-0 on h1",
        "server [2001:db8::3]:8080; # quote-prod-1 on h2",
        "server 10.0.0.4:8080; # quote-prod-2 on gone",
        "server 10.0.0.5:8080; # quote-prod-7 on h2",
        "server evil.example:80; # quote-prod-2 on h2",
    ]);
    // h1 was read and its instance is gone; h2 does not answer; h3 was never asked.
    for h2 in [Some(Seen::unknown("GET /info: timeout")), None] {
        let mut hosts = vec![("h1", known(vec![]))];
        hosts.extend(h2.map(|h2| ("h2", h2)));
        let result = one(&desired(3, vec![app("quote-prod", 3)]), &observed(hosts), &[], Some(&installed));
        assert_eq!(servers(&result), ["quote-prod-1 h2 [2001:db8::3]:8080"]);
        assert!(matches!(result.servers[0].evidence, Evidence::Kept { .. }));
        let why = reasons(&result);
        assert!(why.iter().any(|w| w.starts_with("quote-prod-7: it is no longer declared")), "{why:?}");
        assert!(why.iter().any(|w| w.contains("no longer in the inventory")), "{why:?}");
    }
}

#[test]
fn an_unknown_container_on_a_known_host_keeps_its_line_unless_drained_or_seen_elsewhere() {
    let installed = file(&["server 10.0.0.2:8080; # quote-prod-0 on h1"]);
    let wanted = desired(2, vec![app("quote-prod", 1)]);
    let unread = || ("h1", engine(vec![Seen::unknown("inspect failed")]));
    let kept = one(&wanted, &observed(vec![unread()]), &[], Some(&installed));
    assert_eq!(servers(&kept), ["quote-prod-0 h1 10.0.0.2:8080"]);
    let drained = one(&wanted, &observed(vec![unread()]), &["quote-prod-0"], Some(&installed));
    assert!(drained.servers.is_empty());
    let moved = ("h2", known(vec![container("quote-prod-0", "h2", "10.0.0.77")]));
    let moved = one(&wanted, &observed(vec![unread(), moved]), &[], Some(&installed));
    assert_eq!(servers(&moved), ["quote-prod-0 h2 10.0.0.77:8080"]);
    let nothing = one(&wanted, &observed(vec![unread()]), &[], None);
    assert!(nothing.servers.is_empty() && reasons(&nothing)[0].contains("had no line"), "{nothing:?}");
}

#[test]
fn two_instances_never_share_an_address() {
    let hosts = vec![
        ("h1", known(vec![container("quote-prod-0", "h1", "10.0.0.2")])),
        ("h2", known(vec![container("quote-prod-1", "h2", "10.0.0.2")])),
    ];
    let result = one(&desired(2, vec![app("quote-prod", 2)]), &observed(hosts), &[], None);
    assert_eq!(servers(&result), ["quote-prod-0 h1 10.0.0.2:8080"]);
    assert!(reasons(&result)[0].contains("which quote-prod-0 on h1 has"), "{:?}", reasons(&result));
}

#[test]
fn a_written_line_reads_back() {
    for address in ["192.0.2.7:80", "[2001:db8::1]:65535"] {
        let endpoint = Endpoint {
            instance: name("quote-prod-0"),
            host: name("h1"),
            address: name(address),
            evidence: Evidence::Healthy,
        };
        let text = format!("    {}\n", line::write(&endpoint, " max_fails=1 fail_timeout=2s"));
        let Endpoint { instance, host, address, .. } = endpoint;
        assert_eq!(line::parse(&text, &key("quote-prod")), [line::ServerLine { instance, host, address }]);
        assert!(line::parse(&text, &key("other-prod")).is_empty());
    }
}

proptest! {
    /// Whatever each host does, each declared instance either serves or says why not; and unknown hosts alone never
    /// take a line away.
    #[test]
    fn every_instance_is_accounted_for(states in prop::collection::vec(0u8..5, 1..6), drained in any::<bool>()) {
        let count = u32::try_from(states.len()).expect("small");
        let wanted = desired(u8::try_from(states.len()).expect("small"), vec![app("quote-prod", count)]);
        let line = |n: usize| format!("server 10.0.0.{n}:8080; # quote-prod-{n} on h{}", n + 1);
        let lines: Vec<String> = (0..states.len()).map(line).collect();
        let installed = file(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let names: Vec<String> = (0..states.len()).map(|n| format!("h{}", n + 1)).collect();
        let hosts = states.iter().enumerate().map(|(n, state)| {
            let c = container(&format!("quote-prod-{n}"), &names[n], &format!("10.0.0.{n}"));
            let engine = match state {
                0 => known(vec![c]),
                1 => known(vec![in_state(c, RunState::Dead)]),
                2 => known(vec![]),
                _ => Seen::unknown("down"),
            };
            (names[n].as_str(), engine)
        });
        let seen = observed(hosts.collect());
        let drained: BTreeSet<InstanceName> = drained.then(|| name("quote-prod-0")).into_iter().collect();
        let exceptions = Exceptions { drained: drained.clone(), ..Exceptions::default() };
        let all = project(&wanted, &seen, &owner(), &exceptions, Some(&installed));
        prop_assert_eq!(&all, &project(&wanted, &seen, &owner(), &exceptions, Some(&installed)));
        let app = &all.apps[&key("quote-prod")];
        for (n, state) in states.iter().enumerate() {
            let slot = u32::try_from(n).expect("small");
            let serves = app.servers.iter().any(|s| s.instance.slot == slot);
            let told = app.left_out.iter().any(|l| l.instance.slot == slot);
            prop_assert!(serves != told, "slot {slot}: {app:?}");
            let out = drained.iter().any(|d| d.slot == slot);
            prop_assert_eq!(serves, !out && (*state == 0 || *state > 2));
        }
    }
}
