//! What is written of a spec and what is kept of the live one, field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::body::{self, Refers};
use super::read::{are_one, template, template_of};
use super::spec::{self, Names};
use crate::model::container::{
    EnvValue, FileSpec, HealthCheck, Logging, Mount, MountSource, Protocol, Ulimit,
};
use crate::model::names::FieldName;
use crate::model::secrecy::{ContentHash, HashKey, KeyedHash};
use crate::model::service::{
    EndpointMode, OnFailure, PublishMode, RestartCondition, ServiceField, ServiceMode, ServicePort,
    ServiceSpec, TaskRestart, UpdateOrder, UpdateSettings,
};
use crate::model::units::{ByteSize, Cpus, TimeSpan};

const KEY: [u8; 32] = [3; 32];
const OWN: &str = "io.trueup.app";

/// Every field is another one for another number.
fn sample(n: u8) -> ServiceSpec {
    let odd = n % 2 == 1;
    let (many, text, span) = (u32::from(n), |what: &str| format!("{what}{n}"), TimeSpan::from_secs(n.into()));
    let pair = |name: &str| BTreeMap::from([(name.to_owned(), text(name)), (text(name), "x".to_owned())]);
    let update = UpdateSettings {
        parallelism: many,
        delay: span,
        monitor: Some(span),
        on_failure: if odd { OnFailure::Pause } else { OnFailure::Continue },
        max_failure_permille: n.into(),
        order: if odd { UpdateOrder::StopFirst } else { UpdateOrder::StartFirst },
    };
    ServiceSpec {
        image: format!("web:{n}").parse().expect("an image"),
        entrypoint: Some(vec![text("entry")]),
        command: Some(vec![text("word")]),
        env: BTreeMap::from([("A".to_owned(), EnvValue::Plain(text("a")))]),
        workdir: Some(text("/w")),
        user: Some(text("u")),
        hostname: Some(text("h")),
        labels: pair("label"),
        service_labels: pair("tier"),
        mounts: BTreeMap::from([(
            text("/m"),
            Mount { source: MountSource::Host(text("/on")), read_only: odd },
        )]),
        files: BTreeMap::from([(
            "/etc/a".to_owned(),
            FileSpec { source: text("config"), hash: ContentHash::of(&[n]), size: 0, mode: 0o400 + many },
        )]),
        networks: BTreeMap::from([(text("net").parse().expect("a name"), BTreeSet::from([text("alias")]))]),
        cpus: Some(Cpus(u64::from(n) * 1_000_000)),
        memory: Some(ByteSize(u64::from(n) << 20)),
        cpus_reservation: Some(Cpus(u64::from(n) * 1_000)),
        memory_reservation: Some(ByteSize(u64::from(n) << 10)),
        pids: Some(many),
        restart: TaskRestart {
            condition: if odd { RestartCondition::Any } else { RestartCondition::OnFailure },
            delay: Some(span),
            max_attempts: Some(many),
            window: Some(span),
        },
        health: Some(HealthCheck::Probe {
            test: vec!["CMD-SHELL".to_owned(), text("true ")],
            interval: Some(span),
            timeout: Some(span),
            start_period: Some(span),
            retries: Some(many),
        }),
        cap_add: BTreeSet::from([if odd { "NET_ADMIN" } else { "SYS_TIME" }.to_owned()]),
        cap_drop: BTreeSet::from([if odd { "CHOWN" } else { "KILL" }.to_owned()]),
        read_only: odd,
        init: Some(odd),
        sysctls: pair("net.core.somaxconn"),
        ulimits: BTreeMap::from([("nofile".to_owned(), Ulimit { soft: n.into(), hard: 99 })]),
        dns: vec![[192, 0, 2, n].into()],
        extra_hosts: BTreeMap::from([("db".to_owned(), format!("192.0.2.{n}"))]),
        logging: Some(Logging { driver: "json-file".to_owned(), options: pair("tag") }),
        stop_signal: Some(text("SIG")),
        stop_timeout: Some(span),
        mode: ServiceMode::Replicated(many),
        constraints: vec![text("node.labels.zone == ")],
        spread: vec![text("node.labels.")],
        max_per_node: many,
        update: Some(update),
        rollback: Some(update),
        endpoint_mode: if odd { EndpointMode::Vip } else { EndpointMode::Dnsrr },
        ports: BTreeSet::from([ServicePort {
            container: n.into(),
            protocol: Protocol::Tcp,
            published: Some(8000 + u16::from(n)),
            publish: PublishMode::Host,
        }]),
    }
}

/// The Swarm's part of it: two configs, and trueup's own label.
struct Around {
    hashes: BTreeMap<String, ContentHash>,
    networks: BTreeMap<String, String>,
    key: HashKey,
}

impl Around {
    fn names(&self) -> Names<'_> {
        Names { networks: &self.networks, configs: &self.hashes, key: &self.key }
    }

    fn write(&self, base: &mut Value, n: u8, touches: impl Fn(ServiceField) -> bool) {
        let configs = BTreeMap::from([("/etc/a".to_owned(), (format!("id{n}"), format!("config{n}")))]);
        let labels = BTreeMap::from([(OWN.to_owned(), format!("own{n}"))]);
        let refers = Refers { configs: &configs, labels: &labels, live: Some(self.names()) };
        body::write(base, "web", &sample(n), &refers, touches);
    }

    fn read(&self, json: &Value) -> (ServiceSpec<KeyedHash>, Value) {
        let spec = spec::read(json, &self.names()).expect("a readable spec");
        let by_field = serde_json::to_value(&spec).expect("JSON");
        (spec, by_field)
    }
}

#[test]
fn whatever_field_is_ignored_stays_as_the_swarm_has_it_and_the_rest_is_written() {
    let around = Around {
        hashes: (1..=2).map(|n: u8| (format!("id{n}"), ContentHash::of(&[n]))).collect(),
        networks: BTreeMap::new(),
        key: HashKey::new(KEY),
    };
    let (mut before, mut wanted) = (json!({}), json!({}));
    around.write(&mut before, 1, |_| true);
    around.write(&mut wanted, 2, |_| true);
    let ((_, old), (_, new)) = (around.read(&before), around.read(&wanted));
    for field in ServiceField::ALL {
        let name = field.name();
        assert_ne!(old[name], new[name], "the samples must differ in {name}");
        let keep: BTreeSet<FieldName> = BTreeSet::from([name.parse().expect("a field's name")]);
        let mut body = before.clone();
        around.write(&mut body, 2, |touched| touched != *field);
        body::keep(&mut body, &before, &keep);
        let (_, after) = around.read(&body);
        for other in ServiceField::ALL.iter().map(|other| other.name()) {
            let from = if other == name { &old } else { &new };
            assert_eq!(after[other], from[other], "{other}, while {name} is ignored");
        }
        assert_eq!(body["Labels"][OWN], "own2", "trueup's own labels are always written");
    }
}

#[test]
fn an_ignored_label_or_variable_stays_and_its_neighbours_are_written() {
    let around = Around { hashes: BTreeMap::new(), networks: BTreeMap::new(), key: HashKey::new(KEY) };
    let mut before = json!({});
    around.write(&mut before, 1, |_| true);
    before["Labels"]["theirs"] = json!("kept");
    let mut body = before.clone();
    around.write(&mut body, 2, |_| true);
    let keep = ["service_labels.theirs", "service_labels.tier", "env.A", "labels.label"];
    body::keep(&mut body, &before, &keep.iter().map(|name| name.parse().expect("a name")).collect());
    let container = &body["TaskTemplate"]["ContainerSpec"];
    assert_eq!(body["Labels"], json!({"theirs": "kept", "tier": "tier1", "tier2": "x", OWN: "own2"}));
    assert_eq!(container["Labels"], json!({"label": "label1", "label2": "x"}));
    assert_eq!(container["Env"], json!(["A=a1"]));
}

/// What is known of a service's tasks without reading their template again is what reading it would tell.
#[test]
fn a_service_and_its_tasks_are_made_from_one_template() {
    let around = Around { hashes: BTreeMap::new(), networks: BTreeMap::new(), key: HashKey::new(KEY) };
    let mut hashes = BTreeSet::new();
    for n in 1..=2 {
        let mut spec = json!({});
        around.write(&mut spec, n, |_| true);
        // Networks as older clients wrote them: beside the template.
        for beside in [json!([]), json!([{ "Target": "old" }])] {
            spec["TaskTemplate"]["Networks"] = json!([]);
            spec["Networks"] = beside;
            let (read, _) = around.read(&spec);
            let task = &spec["TaskTemplate"];
            let of_task = template(task, &around.names());
            assert!(of_task.is_some());
            assert_eq!(template_of(&read, &spec, task, &around.names()), of_task);
            hashes.insert(of_task);
        }
    }
    assert_eq!(hashes.len(), 2, "one of each sample");
    let mut spec = json!({});
    around.write(&mut spec, 1, |_| true);
    let task = spec["TaskTemplate"].clone();
    spec["TaskTemplate"]["Runtime"] = json!("container");
    assert!(are_one(&spec["TaskTemplate"], &task), "which a task does not say");
    for other in ["ForceUpdate", "Resources", "Placement", "Networks", "ContainerSpec", "News"] {
        let mut changed = task.clone();
        changed[other] = json!({ "another": 1 });
        assert!(!are_one(&spec["TaskTemplate"], &changed), "{other}");
    }
}
