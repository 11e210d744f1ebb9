//! The generated files to the byte, what is refused, and that nothing unescaped gets in.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::flume::{FILE, check};
use super::*;
use crate::endpoints::fixture::*;
use crate::model::app::{App, Balance};
use crate::model::container::Logging;
use crate::model::observed::{Observed, RunState, Seen};
use crate::model::service::ServiceMode;

fn rendered(
    desired: &Desired,
    observed: &Observed,
    installed: &BTreeMap<FileSet, Option<Files>>,
) -> Rendered {
    render(desired, observed, &owner(), &Exceptions::default(), installed)
}

#[test]
fn the_file_of_an_app_that_is_gone_stays_while_instances_of_it_stay_b2_b3() {
    let text = "upstream quote-prod {\n}\n".to_owned();
    let live = Files::from([("quote-prod.conf".to_owned(), text.clone())]);
    let installed = BTreeMap::from([(FileSet::Nginx, Some(live.clone()))]);
    let (wanted, seen) = (desired(1, vec![]), observed(vec![("h1", known(vec![]))]));
    let files = |exceptions: &Exceptions| {
        render(&wanted, &seen, &owner(), exceptions, &installed).sets[&FileSet::Nginx].clone()
    };
    assert_eq!(files(&Exceptions::default()), Files::new());
    let staying = ["quote-prod-0".parse().expect("a name")].into();
    assert_eq!(files(&Exceptions { staying, ..Exceptions::default() }), live);
}

fn fresh(desired: &Desired, observed: &Observed) -> Rendered {
    rendered(desired, observed, &BTreeMap::new())
}

fn nginx_of(rendered: &Rendered) -> &Files {
    &rendered.sets[&FileSet::Nginx]
}

fn flume_of<'a>(rendered: &'a Rendered, host: &str) -> Option<&'a str> {
    rendered.sets.get(&FileSet::Flume(name(host))).map(|files| files[FILE].as_str())
}

fn told(rendered: &Rendered, what: &str, why: &str) -> bool {
    rendered.notes.iter().any(|(w, y)| w == what && y.contains(why))
}

fn logging_app(key: &str, logs: &[(&str, &str, &str)]) -> App {
    let mut spec = app(key, 1);
    spec.upstream = None;
    spec.logs = logs.iter().map(|(d, p, t)| log(d, p, t)).collect();
    spec
}

fn two_servers() -> Observed {
    observed(vec![
        ("h1", known(vec![container("quote-prod-0", "h1", "10.0.0.2")])),
        ("h2", known(vec![container("quote-prod-1", "h2", "2001:db8::3")])),
    ])
}

#[test]
fn an_app_with_servers() {
    let all = fresh(&desired(2, vec![app("quote-prod", 2)]), &two_servers());
    assert_eq!(all.notes, []);
    insta::assert_snapshot!(nginx_of(&all)["quote-prod.conf"], @r##"
# Written by trueup for quote-prod. Edits by hand are drift and are undone; change the repository instead.

upstream quote-prod {
    zone quote-prod 64k;
    least_conn;
    server 10.0.0.2:8080 max_fails=3 fail_timeout=2s; # quote-prod-0 on h1
    server [2001:db8::3]:8080 max_fails=3 fail_timeout=2s; # quote-prod-1 on h2
    keepalive 64;
}

server {
    listen 80;
    server_name quote.example;

    location / {
        proxy_pass http://quote-prod;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
    }
}
"##);
}

#[test]
fn an_empty_set_answers_503_in_its_virtual_host() {
    let all = fresh(&desired(1, vec![app("quote-prod", 0)]), &observed(vec![("h1", known(vec![]))]));
    insta::assert_snapshot!(nginx_of(&all)["quote-prod.conf"], @r##"
# Written by trueup for quote-prod. Edits by hand are drift and are undone; change the repository instead.

upstream quote-prod {
    zone quote-prod 64k;
    least_conn;
    # No instance may receive traffic: a server that is down, since Nginx refuses an empty set.
    server 127.0.0.1:1 down;
    keepalive 64;
}

server {
    listen 80;
    server_name quote.example;

    location / {
        return 503;
    }
}
"##);
}

#[test]
fn an_upstream_alone() {
    let mut spec = app("quote-prod", 1);
    let upstream = spec.upstream.as_mut().expect("upstream");
    upstream.server_names.clear();
    upstream.balance = Balance::RoundRobin;
    (upstream.keepalive, upstream.max_fails, upstream.fail_timeout) = (None, None, None);
    let all = fresh(&desired(2, vec![spec]), &two_servers());
    insta::assert_snapshot!(nginx_of(&all)["quote-prod.conf"], @r##"
# Written by trueup for quote-prod. Edits by hand are drift and are undone; change the repository instead.

upstream quote-prod {
    zone quote-prod 64k;
    server 10.0.0.2:8080; # quote-prod-0 on h1
}
"##);
}

#[test]
fn what_a_set_has_of_one_app_is_its_own_alone() {
    let of = |topic: &str| {
        let apps = vec![
            logging_app("order-api-prod", &[("/data/order", "*.log", "order")]),
            logging_app("quote-prod", &[("/data/quote", "*.log", topic)]),
        ];
        let here = vec![container("order-api-prod-0", "h1", ""), container("quote-prod-0", "h1", "")];
        let seen = observed(vec![("h1", known(here))]);
        fresh(&desired(1, apps), &seen).sets[&FileSet::Flume(name("h1"))].clone()
    };
    let (set, one, other) = (FileSet::Flume(name("h1")), of("one"), of("other"));
    let part =
        |files: &Files, app: &str| part_of(&set, files, &app.parse().expect("a key")).map(str::to_owned);
    assert_eq!(part(&one, "order-api-prod"), part(&other, "order-api-prod"));
    assert_ne!(part(&one, "quote-prod"), part(&other, "quote-prod"));
    for (app, source) in [("order-api-prod", "order_api_prod"), ("quote-prod", "quote_prod")] {
        let part = part(&one, app).expect("its lines");
        assert!(part.lines().all(|line| line.starts_with(&format!("trueup.sources.{source}."))), "{part}");
        assert_eq!(part.lines().count(), 7);
    }
    assert_eq!(part(&one, "other-prod"), None);
    let nginx = Files::from([("quote-prod.conf".to_owned(), "upstream".to_owned())]);
    let part = |app: &str| part_of(&FileSet::Nginx, &nginx, &app.parse().expect("a key"));
    assert_eq!((part("quote-prod"), part("order-api-prod")), (Some("upstream"), None));
}

#[test]
fn a_flume_agent_with_two_apps() {
    let apps = vec![
        logging_app(
            "order-api-prod",
            &[("/data/order", "*.log", "order"), ("/data/order", "audit", "order.audit")],
        ),
        logging_app("quote-prod", &[("/data/quote/Kürse", "quote-*.log", "quote-app")]),
    ];
    let here = vec![
        container("order-api-prod-0", "h1", "10.0.0.2"),
        in_state(container("quote-prod-0", "h1", ""), RunState::Dead),
    ];
    let all = fresh(&desired(2, apps), &observed(vec![("h1", known(here)), ("h2", known(vec![]))]));
    assert_eq!(all.notes, []);
    assert_eq!(flume_of(&all, "h2"), None, "a host without logs has no agent");
    insta::assert_snapshot!(flume_of(&all, "h1").expect("an agent"), @r##"
# Written by trueup. Edits by hand are drift and are undone; change the repository instead.
# Names that rotation makes (.1, -20250131, .2025-01-31, .gz, .old) are not matched: TAILDIR would read them
# again from the start.

trueup.sources = order_api_prod quote_prod
trueup.channels = spool
trueup.sinks = kafka

# App order-api-prod
trueup.sources.order_api_prod.type = TAILDIR
trueup.sources.order_api_prod.channels = spool
trueup.sources.order_api_prod.positionFile = /var/lib/flume/positions/order_api_prod.json
trueup.sources.order_api_prod.batchSize = 100
trueup.sources.order_api_prod.filegroups = log0 log1
trueup.sources.order_api_prod.filegroups.log0 = /data/order/(?!.*(?:\\.\\d+|(?<!\\d)\\.\\d+\\.\\w+|[-._]\\d{8}|[-._]\\d{4}-\\d{2}-\\d{2}(?:[-_.]\\d+)*|\\.gz|\\.bz2|\\.xz|\\.zst|\\.zip|\\.old|\\.bak|~)\\z)(?!.*[-._]\\d{4}-\\d{2}-\\d{2}(?:[-_.]\\d+)*\\.\\w+\\z).*\\.log
trueup.sources.order_api_prod.headers.log0.topic = order
trueup.sources.order_api_prod.filegroups.log1 = /data/order/audit
trueup.sources.order_api_prod.headers.log1.topic = order.audit

# App quote-prod
trueup.sources.quote_prod.type = TAILDIR
trueup.sources.quote_prod.channels = spool
trueup.sources.quote_prod.positionFile = /var/lib/flume/positions/quote_prod.json
trueup.sources.quote_prod.batchSize = 100
trueup.sources.quote_prod.filegroups = log0
trueup.sources.quote_prod.filegroups.log0 = /data/quote/K\u00fcrse/(?!.*(?:\\.\\d+|(?<!\\d)\\.\\d+\\.\\w+|[-._]\\d{8}|[-._]\\d{4}-\\d{2}-\\d{2}(?:[-_.]\\d+)*|\\.gz|\\.bz2|\\.xz|\\.zst|\\.zip|\\.old|\\.bak|~)\\z)(?!.*[-._]\\d{4}-\\d{2}-\\d{2}(?:[-_.]\\d+)*\\.\\w+\\z)quote\\-.*\\.log
trueup.sources.quote_prod.headers.log0.topic = quote-app

# What is read and not sent yet survives a restart.
trueup.channels.spool.type = file
trueup.channels.spool.checkpointDir = /var/lib/flume/checkpoint
trueup.channels.spool.dataDirs = /var/lib/flume/data
trueup.channels.spool.capacity = 1000000
trueup.channels.spool.transactionCapacity = 10000

# The topic comes from each file group's header.
trueup.sinks.kafka.type = org.apache.flume.sink.kafka.KafkaSink
trueup.sinks.kafka.channel = spool
trueup.sinks.kafka.kafka.bootstrap.servers = kafka-1.example:9092,[2001:db8::9]:9092
trueup.sinks.kafka.kafka.producer.acks = all
trueup.sinks.kafka.flumeBatchSize = 100
"##);
}

#[test]
fn the_revision_and_what_is_unknown_change_no_byte() {
    let mut wanted =
        desired(2, vec![app("quote-prod", 2), logging_app("log-prod", &[("/data", "*.log", "t")])]);
    let mut here = two_servers();
    let with_log =
        known(vec![container("quote-prod-0", "h1", "10.0.0.2"), container("log-prod-0", "h1", "10.0.0.9")]);
    here.hosts.insert(name("h1"), with_log);
    let before = fresh(&wanted, &here);
    let installed: BTreeMap<FileSet, Option<Files>> =
        before.sets.iter().map(|(set, files)| (set.clone(), Some(files.clone()))).collect();
    wanted.revision = crate::model::names::Revision::new("ffff");
    for host in ["h1", "h2"] {
        here.hosts.insert(name(host), Seen::unknown("GET /info: timeout"));
    }
    let after = rendered(&wanted, &here, &installed);
    assert_eq!(after.sets, before.sets);
    assert!(
        told(&after, "quote-prod-0", "keeps its line") && told(&after, "h1", "keeps its Flume"),
        "{after:?}"
    );
}

#[test]
fn an_app_at_fault_is_left_out_by_name_keeps_its_file_and_the_others_go_on() {
    type Change = fn(&mut App);
    let cases: [(&str, Change); 9] = [
        ("not a server name", |a| names(a, &["x; } evil {"])),
        ("not a server name", |a| names(a, &["ok.example", "~^.*$"])),
        ("not a server name", |a| names(a, &["a\nb"])),
        ("not a server name", |a| names(a, &[""])),
        ("not a server name", |a| names(a, &["$host"])),
        ("twice", |a| names(a, &["a.example", "A.example"])),
        ("belongs to a-prod", |a| names(a, &["A-prod.example"])),
        ("listen is 0", |a| a.upstream.as_mut().expect("upstream").listen = 0),
        ("keepalive", |a| a.upstream.as_mut().expect("upstream").keepalive = Some(u32::MAX)),
    ];
    for (why, change) in cases {
        let mut good = app("a-prod", 1);
        names(&mut good, &["a-prod.example"]);
        let mut bad = app("quote-prod", 1);
        change(&mut bad);
        let wanted = desired(1, vec![good, bad]);
        let here = vec![container("a-prod-0", "h1", "10.0.0.5"), container("quote-prod-0", "h1", "10.0.0.2")];
        let here = observed(vec![("h1", known(here))]);
        let all = fresh(&wanted, &here);
        assert_eq!(nginx_of(&all).keys().collect::<Vec<_>>(), ["a-prod.conf"], "{why}");
        assert!(told(&all, "quote-prod", why), "{why}: {:?}", all.notes);
        let old = Files::from([("quote-prod.conf".to_owned(), "old".to_owned())]);
        let kept = rendered(&wanted, &here, &BTreeMap::from([(FileSet::Nginx, Some(old))]));
        assert_eq!(nginx_of(&kept)["quote-prod.conf"], "old");
    }
}

fn names(app: &mut App, names: &[&str]) {
    app.upstream.as_mut().expect("upstream").server_names = names.iter().map(|n| (*n).to_owned()).collect();
}

#[test]
fn zones_grow_with_the_servers() {
    for (count, size) in
        [(63, "64k"), (64, "128k"), (143, "128k"), (304, "256k"), (634, "512k"), (635, "1024k")]
    {
        let here = (0..count)
            .map(|n| container(&format!("quote-prod-{n}"), "h1", &format!("10.1.{}.{}", n / 200, n % 200)));
        let all = fresh(
            &desired(1, vec![app("quote-prod", count)]),
            &observed(vec![("h1", known(here.collect()))]),
        );
        let text = &nginx_of(&all)["quote-prod.conf"];
        assert!(text.contains(&format!("zone quote-prod {size};")), "{count}");
        assert_eq!(text.matches("; # quote-prod-").count(), usize::try_from(count).expect("small"));
    }
}

#[test]
fn logs_at_fault_are_left_out_by_name() {
    for (why, logs) in [
        ("not a Kafka topic", vec![("/d", "*.log", "a b")]),
        ("not a Kafka topic", vec![("/d", "*.log", "..")]),
        ("not an absolute path", vec![("d", "*.log", "t")]),
        ("not an absolute path", vec![("/d/../etc", "*.log", "t")]),
        ("not an absolute path", vec![("/d\ntrueup.sinks = x", "*.log", "t")]),
        ("not an absolute path", vec![("/d/${env:HOME}", "*.log", "t")]),
        ("not a file name", vec![("/d", "../*.log", "t")]),
        ("not a file name", vec![("/d", "", "t")]),
        ("another of its logs", vec![("/d", "*.log", "t"), ("/d/", "quote*", "u")]),
        ("already collects", vec![("/good", "q*.log", "t")]),
    ] {
        let apps =
            vec![logging_app("good-prod", &[("/good", "*.log", "good")]), logging_app("quote-prod", &logs)];
        let here = vec![container("good-prod-0", "h1", ""), container("quote-prod-0", "h1", "")];
        let all = fresh(&desired(1, apps), &observed(vec![("h1", known(here))]));
        assert!(told(&all, "quote-prod", why), "{why}: {:?}", all.notes);
        let text = flume_of(&all, "h1").expect("the good app's agent");
        assert!(text.contains("/good/") && !text.contains("quote"), "{text}");
    }
}

#[test]
fn without_sound_brokers_the_agents_stay_as_they_are() {
    let here = observed(vec![("h1", known(vec![container("quote-prod-0", "h1", "")]))]);
    let old = BTreeMap::from([(
        FileSet::Flume(name("h1")),
        Some(Files::from([(FILE.to_owned(), "old".to_owned())])),
    )]);
    for brokers in [vec![], vec!["kafka".to_owned()], vec!["k:0".to_owned()], vec!["k:9092\nx".to_owned()]] {
        let mut wanted = desired(1, vec![logging_app("quote-prod", &[("/d", "*.log", "t")])]);
        wanted.flume.brokers = brokers;
        assert_eq!(flume_of(&fresh(&wanted, &here), "h1"), None);
        let kept = rendered(&wanted, &here, &old);
        assert_eq!(flume_of(&kept, "h1"), Some("old"));
        assert!(kept.notes.iter().any(|(what, _)| what == "flume"), "{:?}", kept.notes);
    }
}

#[test]
fn flumes_rules_are_checked() {
    let apps = vec![logging_app("quote-prod", &[("/data", "*.log", "t")])];
    let here = observed(vec![("h1", known(vec![container("quote-prod-0", "h1", "")]))]);
    let all = fresh(&desired(1, apps), &here);
    let good = flume_of(&all, "h1").expect("an agent");
    assert_eq!(check(good), Ok(()));
    for (from, to, why) in [
        ("trueup.sources = quote_prod", "trueup.sources = quote_prod other", "listed and not configured"),
        ("trueup.sources = quote_prod", "trueup.sources = quote_prod quote_prod", "listed twice"),
        ("trueup.sources = quote_prod", "trueup.sources =", "is empty"),
        ("trueup.sinks = kafka\n", "", "configured and not listed"),
        ("trueup.sinks.kafka.channel = spool", "trueup.sinks.kafka.channel = other", "not listed"),
        ("trueup.sinks.kafka.type", "trueup.sinks.kafka.typ", "has no type"),
        ("trueup.sinks.kafka.type", "trueup.sink.kafka.type", "none of sources"),
        ("channels = spool\n", "channels = spool\ntrueup.channels = spool\n", "twice"),
        ("positionFile = /", "positionFile = ", "absolute positionFile"),
        ("filegroups.log0 = /data/", "filegroups.log0 = data/", "absolute directory"),
        ("headers.log0.topic = t", "headers.log0.topic = t t", "not a Kafka topic"),
        ("headers.log0.topic = t", "headers.log1.topic = t", "does not list"),
        ("transactionCapacity = 10000", "transactionCapacity = 10", "do not fit"),
        ("transactionCapacity = 10000", "transactionCapacity = 2000000", "more than capacity"),
        ("capacity = 1000000", "capacity = many", "not a number"),
        ("checkpointDir = /var/lib/flume/checkpoint", "checkpointDir = /var/lib/flume/data", "are both"),
        ("type = file", "type = ${env:TYPE}", "filled in"),
        ("type = file", "type = fïle", "ASCII"),
        ("type = file", "type = \\u00zz", "is not \\uXXXX"),
        (
            "# App",
            "trueup.sinkgroups = g\ntrueup.sinkgroups.g.processor.type = failover\n# App",
            "needs sinks",
        ),
        ("kafka-1.example:9092", "kafka-1.example", "host:port"),
    ] {
        let broken = good.replacen(from, to, 1);
        assert_ne!(broken, good, "{from:?} is not in the file");
        let errors = check(&broken).expect_err(to);
        assert!(errors.iter().any(|e| e.contains(why)), "{to}: {errors:?}");
    }
    assert!(check("").is_err());
}

#[test]
fn a_swarm_app_keeps_the_upstream_it_has() {
    let mut spec = app("quote-prod", 1);
    spec.runtime =
        crate::model::app::Runtime::Swarm(crate::model::app::SwarmService::new("prod", ServiceMode::Global));
    let old = Files::from([("quote-prod.conf".to_owned(), "old".to_owned())]);
    let all = rendered(
        &desired(1, vec![spec]),
        &two_servers(),
        &BTreeMap::from([(FileSet::Nginx, Some(old.clone()))]),
    );
    assert_eq!(nginx_of(&all), &old);
    assert!(told(&all, "quote-prod", "Swarm"), "{:?}", all.notes);
}

/// The directives of an Nginx text: comments gone, split at `;`, `{` and `}`.
fn directives(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split('#').next().unwrap_or_default()).collect();
    let words = |part: &str| part.split_whitespace().next().unwrap_or_default().to_owned();
    code.join("\n").split([';', '{', '}']).map(words).filter(|w| !w.is_empty()).collect()
}

const KNOWN: [&str; 18] = [
    "upstream",
    "zone",
    "least_conn",
    "ip_hash",
    "random",
    "server",
    "keepalive",
    "listen",
    "server_name",
    "location",
    "proxy_pass",
    "proxy_http_version",
    "proxy_set_header",
    "return",
    "error_page",
    "internal",
    "max_fails",
    "fail_timeout",
];

proptest! {
    /// Whatever texts git brings, the files hold only directives that trueup itself writes, and Flume's pass the check.
    #[test]
    fn nothing_unescaped_gets_in(
        server in r#"([a-z.*_~$;{}"'\\ \n#é-]{0,12}|[a-z.]{1,9})"#,
        directory in r#"/([a-zé=:#!$ ,\\\n.]{0,10}|[a-z/é=:#]{1,10})"#,
        pattern in r#"([a-zé*=:#!$/ ()\[\]\\\n.+?-]{0,10}|[a-z*.é]{1,8})"#,
        topic in r#"[a-z.= \n-]{0,6}"#,
        driver in ".{0,5}",
    ) {
        let mut spec = logging_app("quote-prod", &[(&directory, &pattern, &topic)]);
        spec.upstream = Some(crate::endpoints::fixture::upstream());
        names(&mut spec, &[&server]);
        spec.origin = server.clone();
        let mut here = container("quote-prod-0", "h1", "10.0.0.2");
        here.live.logging = Logging { driver, options: BTreeMap::new() };
        here.image_name = server.clone();
        let (wanted, here) = (desired(1, vec![spec]), observed(vec![("h1", known(vec![here]))]));
        let all = fresh(&wanted, &here);
        prop_assert_eq!(&all, &fresh(&wanted, &here), "rendering is deterministic");
        match nginx_of(&all).get("quote-prod.conf") {
            Some(text) => {
                for directive in directives(text) {
                    prop_assert!(KNOWN.contains(&directive.as_str()), "{directive:?} in {text}");
                }
                prop_assert_eq!(text.matches("server_name ").count(), 1);
            }
            None => prop_assert!(told(&all, "quote-prod", "not a server name")),
        }
        match flume_of(&all, "h1") {
            Some(text) => {
                prop_assert_eq!(check(text), Ok(()));
                let entries = super::properties::parse(text).expect("properties");
                let group = entries.iter().find(|e| e.key.ends_with("filegroups.log0")).expect("the group");
                let start = format!("{}/", directory.trim_end_matches('/'));
                prop_assert!(group.value.starts_with(&start), "{} is not below {start}", group.value);
                prop_assert_eq!(entries.len(), 3 + 7 + 5 + 5, "{}", text);
            }
            None => prop_assert!(told(&all, "quote-prod", "not collected"), "{:?}", all.notes),
        }
    }

    /// What is written as properties is what Java reads.
    #[test]
    fn properties_read_back(value in any::<String>()) {
        let text = format!("a.b = {}\nc = d\n", super::properties::escape(&value));
        prop_assert!(text.is_ascii());
        let entries = super::properties::parse(&text).expect("properties");
        prop_assert_eq!(entries.len(), 2);
        prop_assert_eq!(&entries[0].value, &value);
    }
}
