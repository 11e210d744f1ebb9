//! Whole small repositories in memory: what is read, and what is told of what is wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::model::app::Runtime;
use crate::model::desired::Desired;
use crate::model::names::Revision;
use crate::model::secrecy::ContentHash;
use crate::model::tree::{Blob, Tree};
use crate::model::units::Timestamp;

fn tree(files: &[(&str, &str)]) -> Tree {
    let blob = |text: &str| Blob {
        id: ContentHash::of(text.as_bytes()).to_string(),
        bytes: Arc::from(text.as_bytes()),
    };
    Tree {
        revision: Revision::new("0".repeat(40)),
        committed: Timestamp(0),
        author: "someone".into(),
        summary: "a change".into(),
        blobs: files.iter().map(|(path, text)| ((*path).to_owned(), blob(text))).collect(),
        refused: BTreeMap::new(),
    }
}

const FLEET: &str = "fleet = \"f\"\nenvironments = [\"test\", \"prod\"]\n";
const HOST: &str = "[host.h1]\naddress = \"192.0.2.1\"\nengine = \"unix:///run/d.sock\"\nenvironments = [\"test\", \"prod\"]\n";

fn with(files: &[(&str, &str)]) -> Result<Desired, Errors> {
    let mut all = vec![("fleet.toml", FLEET), ("hosts/h.toml", HOST)];
    all.retain(|(path, _)| files.iter().all(|(other, _)| other != path));
    all.extend(files);
    load(&tree(&all), &mut ParseCache::default())
}

/// `file:line:column: message (hint)` of everything that is wrong.
fn told(files: &[(&str, &str)]) -> Vec<String> {
    let errors = with(files).expect_err("something is wrong");
    errors
        .diagnostics()
        .iter()
        .map(|d| {
            format!(
                "{}:{}:{}: {} ({})",
                d.file,
                d.line,
                d.column,
                d.message,
                d.hint.clone().unwrap_or_default()
            )
        })
        .collect()
}

const APP: &str = "app = \"a\"\nenvironments = [\"test\"]\nimage = \"quote:1\"\n";

#[test]
fn the_starter_and_the_example_are_good() {
    let starter = starter();
    let files: Vec<(&str, &str)> = starter.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let desired = load(&tree(&files), &mut ParseCache::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(desired.apps.len(), 2);
    let mut files = Vec::new();
    example_files(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/example-repo")), "", &mut files);
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let desired = load(&tree(&files), &mut ParseCache::default()).unwrap_or_else(|e| panic!("{e}"));
    let services = desired.apps.values().filter(|app| matches!(app.runtime, Runtime::Swarm(_)));
    assert_eq!((desired.apps.len(), services.count()), (10, 2));
}

fn example_files(dir: &std::path::Path, prefix: &str, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).expect("the example").flatten() {
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            example_files(&entry.path(), &format!("{path}/"), files);
        } else {
            files.push((path, std::fs::read_to_string(entry.path()).expect("a text")));
        }
    }
}

#[test]
fn all_errors_are_told_at_once_with_place_and_hint() {
    let all = told(&[
        (
            "apps/a/app.toml",
            "app = \"a\"\nenvironments = [\"tset\"]\nimage = \"quote:1\"\nreplicaz = 3\nstop_timeout = \"soon\"\n[limits]\nmemroy = \"1GiB\"\n",
        ),
        ("apps/a/test.toml", ""),
    ]);
    let text = all.join("\n");
    for wanted in [
        "apps/a/app.toml:2:17: fleet.toml has no environment \"tset\" (did you mean `test`?)",
        "apps/a/app.toml:4:1: unknown key `replicaz` (did you mean `replicas`?)",
        "apps/a/app.toml:7:1: unknown key `memroy` (did you mean `memory`?)",
    ] {
        assert!(all.iter().any(|line| line == wanted), "{wanted} is not among\n{text}");
    }
}

#[test]
fn beside_an_unknown_key_everything_else_is_told_too_a3() {
    let told = told(&[
        ("apps/a/app.toml", "app = \"a\"\nenvironments = [\"test\"]\nimage = \"A:1\"\nreplica = 2\n"),
        (
            "apps/b/app.toml",
            "app = \"b\"\nenvironments = [\"test\"]\nimage = \"b:1\"\ndepends_on = [\"a\", \"c\"]\n",
        ),
    ]);
    let has = |what: &str| told.iter().any(|line| line.contains(what));
    assert!(has("unknown key `replica`") && has("\"A:1\" is not an image") && has("no app c"), "{told:#?}");
    // What is no TOML is told once.
    let told = self::told(&[("apps/a/app.toml", &format!("{APP}replicas = two\n"))]);
    assert_eq!(told.len(), 1, "{told:#?}");
}

#[test]
fn values_that_do_not_fit_are_told_at_their_place() {
    for (line, wanted) in [
        ("image = \"Quote 1\"", "is not an image reference"),
        ("stop_timeout = \"soon\"", "is not a duration"),
        ("replicas = \"many\"", "write a number, or \"every-host\""),
        ("replicas = -1", "write 0 for an app that is declared and does not run"),
        ("replicas = 99999999999", "are surely a slip"),
        ("ports = [\"99999:80\"]", "is not a port"),
        ("restart = \"alway\"", "did you mean `always`?"),
        ("ignore = [\"memroy\"]", "did you mean `memory`?"),
        ("depends_on = [\"b\"]", "there is no app b in test"),
        ("env = { PASSWORD = { secret = \"a/b\" } }", "this release has no secrets yet"),
        ("labels = { \"io.trueup.app\" = \"x\" }", "is trueup's own"),
        ("runtime = \"hots\"", "did you mean `host`?"),
        ("[[mount]]\nfile = \"../other/secret\"\nat = \"/x\"", "leaves the app's folder"),
        ("[[mount]]\nfile = \"no-such\"\nat = \"/x\"", "the repository has no file apps/a/no-such"),
        ("[[mount]]\nhost = \"/x\"\nat = \"../etc\"", "is not an absolute path in the container"),
        ("[[mount]]\nhost = \"run\"\nat = \"/x\"", "is not an absolute path on the host"),
        ("[[mount]]\nhost = \"//\"\nat = \"/x\"", "on the host without `//`"),
        ("[[mount]]\nhost = \"/var/./run\"\nat = \"/x\"", "on the host without `//`"),
        ("[[mount]]\nhost = \"/run//\"\nat = \"/x\"", "on the host without `//`"),
        ("[[mount]]\nhost = \"/srv/../run\"\nat = \"/x\"", "on the host without `//`"),
        ("[[mount]]\nhost = \"/a:/b\"\nat = \"/x\"", "has a colon"),
        ("[[device]]\nhost = \"/dev//sda\"\nat = \"/dev/x\"", "on the host without `//`"),
        ("[network.nowhere]", "there is no network nowhere"),
        ("[place]\nhosts = [\"hh1\"]", "there is no host hh1 (did you mean `h1`?)"),
        ("[[log]]\nfiles = \"/var/log/*.log\"\ntopic = \"t\"", "no mount with `host` holds /var/log"),
        ("[[log]]\nfiles = \"/var/log/*.log\"\ntopic = \"a topic\"", "is not a Kafka topic"),
        ("[upstream]\nport = 80\nserver_name = [\"a;b\"]", "is not a server name"),
        ("[health]\ninterval = \"1s\"", "set one of `command`"),
        (
            "read_only = true\n[[mount]]\nfile = \"app.toml\"\nat = \"/x\"",
            "copies /x into a container that is read-only",
        ),
        ("env = { A = \"a\\u0000b\" }", "cannot hold a NUL character"),
        ("stop_timeout = \"9999999999d\"", "is not a duration"),
    ] {
        let base =
            if line.starts_with("image") { APP.replace("image = \"quote:1\"\n", "") } else { APP.to_owned() };
        let text = format!("{base}{line}\n");
        let all = told(&[("apps/a/app.toml", &text)]).join("\n");
        assert!(all.contains(wanted) && all.contains("apps/a/app.toml:"), "{line}: {all}");
    }
}

/// A4: what engines tell back in one way is written in one way, however git spells it.
#[test]
fn spellings_that_mean_the_same_are_the_same() {
    let spec = |lines: &str| {
        let desired = with(&[("apps/a/app.toml", &format!("{APP}{lines}"))]).expect(lines);
        desired.apps.values().next().expect("an app").container.clone()
    };
    let health = |line: &str| format!("[health]\nshell = \"true\"\n{line}");
    for (written, engines) in [
        ("ports = [\"18090:80/tcp\"]".to_owned(), "ports = [\"18090:80\"]".to_owned()),
        ("workdir = \"/data/\"".into(), "workdir = \"/data\"".into()),
        ("workdir = \"/data//./x\"".into(), "workdir = \"/data/x\"".into()),
        ("workdir = \"//\"".into(), "workdir = \"/\"".into()),
        ("entrypoint = [\"a\"]\ncommand = []".into(), "entrypoint = [\"a\"]".into()),
        ("stop_timeout = \"60000ms\"".into(), "stop_timeout = \"1m\"".into()),
        (health("retries = 0"), health("")),
        (health("interval = \"0s\"\ntimeout = \"0s\"\nstart_period = \"0s\""), health("")),
    ] {
        assert_eq!(spec(&written), spec(&engines), "{written}");
    }
    // All of one family is not all of both.
    let ports = |port: &str| spec(&format!("ports = [\"{port}\"]")).ports;
    let all = ["18090:80", "0.0.0.0:18090:80", "[::]:18090:80"].map(ports);
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2], "{all:?}");
}

#[test]
fn what_engines_would_change_is_refused_with_a_hint() {
    for (line, message) in [
        ("command = []", "engines take an empty list for the image's own command"),
        ("entrypoint = []\ncommand = []", "engines take an empty list for the image's own command"),
        ("stop_timeout = \"1s500ms\"", "engines keep whole seconds of 1s500ms (such as \"2s\")"),
        ("workdir = \"data\"", "\"data\" is not an absolute path in the container"),
        ("workdir = \"/a/../b\"", "\"/a/../b\" is not an absolute path in the container"),
        ("ports = [\"nowhere:1:2\"]", "\"nowhere:1:2\" is not a port"),
    ] {
        let told = told(&[("apps/a/app.toml", &format!("{APP}{line}"))]);
        assert!(told.len() == 1 && told[0].contains(message), "{line}: {told:?}");
    }
}

#[test]
fn what_only_shows_when_all_is_read_is_told_too() {
    let net = "[network.n]\nsubnet = \"192.0.2.0/24\"\npools = { a = \"192.0.2.10-192.0.2.20\", b = \"192.0.2.20-192.0.2.30\" }\n";
    assert!(told(&[("networks/n.toml", net)]).join("").contains("it overlaps the pool"));
    let two = "[network.n]\nsubnet = \"192.0.2.0/24\"\n[network.m]\nsubnet = \"192.0.2.128/25\"\n";
    assert!(told(&[("networks/n.toml", two)]).join("").contains("overlap"));
    let circle = |me: &str, other: &str| {
        format!("app = \"{me}\"\nenvironments = [\"test\"]\nimage = \"q:1\"\ndepends_on = [\"{other}\"]\n")
    };
    let all =
        told(&[("apps/a/app.toml", &circle("a", "b")), ("apps/b/app.toml", &circle("b", "a"))]).join("");
    assert!(all.contains("apps wait for each other: a → b → a"), "{all}");
    let port = |me: &str| {
        format!("app = \"{me}\"\nenvironments = [\"test\"]\nimage = \"q:1\"\nports = [\"80:80\"]\n")
    };
    let all = told(&[("apps/a/app.toml", &port("a")), ("apps/b/app.toml", &port("b"))]).join("");
    assert!(all.contains("port 80 of the host is wanted by a-test and b-test"), "{all}");
    let fixed = |me: &str| {
        format!(
            "app = \"{me}\"\nenvironments = [\"test\"]\nimage = \"q:1\"\n[network.n]\naddress = \"192.0.2.9\"\n"
        )
    };
    let net = "[network.n]\nsubnet = \"192.0.2.0/24\"\n";
    let all =
        told(&[("networks/n.toml", net), ("apps/a/app.toml", &fixed("a")), ("apps/b/app.toml", &fixed("b"))]);
    assert!(all.join("").contains("192.0.2.9 on n is the address of a-test too"), "{all:?}");
    let duplicate = told(&[("hosts/again.toml", HOST)]).join("");
    assert!(duplicate.contains("the host h1 is declared at"), "{duplicate}");
}

#[test]
fn an_overlay_merges_tables_and_replaces_lists_and_keeps_origins() {
    let base = "app = \"a\"\ncommand = [\"x\", \"y\"]\nenv = { A = \"1\", B = \"2\" }\n";
    let files = [
        ("apps/a/app.toml", base),
        ("apps/a/prod.toml", "image = \"q:1\"\ncommand = [\"z\"]\nenv = { B = \"3\" }\n"),
    ];
    let desired = with(&files).unwrap_or_else(|e| panic!("{e}"));
    let app = desired.apps.values().next().expect("one app");
    assert_eq!(app.container.command, Some(vec!["z".to_owned()]));
    assert_eq!(app.container.env.len(), 2);
    let mut all = vec![("fleet.toml", FLEET), ("hosts/h.toml", HOST)];
    all.retain(|(path, _)| files.iter().all(|(other, _)| other != path));
    all.extend(files);
    let lines =
        show(&tree(&all), &"a".parse().expect("name"), &"prod".parse().expect("name")).expect("lines");
    let origin = |path: &str| lines.iter().find(|l| l.path == path).map(|l| l.origin.clone());
    assert_eq!(origin("env.A").as_deref(), Some("apps/a/app.toml:3"));
    assert_eq!(origin("env.B").as_deref(), Some("apps/a/prod.toml:3"));
    let elsewhere = show(&tree(&all), &"a".parse().expect("name"), &"test".parse().expect("name"));
    let errors = elsewhere.expect_err("it runs in prod alone").to_string();
    assert!(errors.contains("apps/a/app.toml:1:1: a does not run in test"), "{errors}");
}

#[test]
fn one_merge_cannot_hit_test_and_prod_at_once() {
    let base = "app = \"a\"\nenvironments = [\"test\", \"prod\"]\nimage = \"q:1\"\n";
    assert!(told(&[("apps/a/app.toml", base)]).join("").contains("set per environment (F5)"));
}

#[test]
fn broken_files_of_every_kind_are_told_and_nothing_is_taken() {
    let all = told(&[("networks/n.toml", "[network.n\nsubnet = 5\n")]).join("");
    assert!(all.contains("networks/n.toml:1:"), "{all}");
    let mut broken = tree(&[("fleet.toml", FLEET)]);
    let bytes: Arc<[u8]> = Arc::from(&b"fleet = \"\xff\"\n"[..]);
    broken.blobs.insert("hosts/h.toml".into(), Blob { id: "x".into(), bytes });
    broken.refused.insert("apps/a/files/link".into(), "a symbolic link".into());
    let errors = load(&broken, &mut ParseCache::default()).expect_err("broken").to_string();
    assert!(errors.contains("not UTF-8") && errors.contains("a symbolic link"), "{errors}");
    let large = "#".repeat((1 << 20) + 1);
    assert!(told(&[("networks/n.toml", &large)]).join("").contains("too many for a config file"));
}

#[test]
fn the_cache_changes_nothing_but_the_time() {
    let mut cache = ParseCache::default();
    let files = [("fleet.toml", FLEET), ("hosts/h.toml", HOST), ("apps/a/app.toml", APP)];
    let first = load(&tree(&files), &mut cache).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(load(&tree(&files), &mut cache).unwrap_or_else(|e| panic!("{e}")), first);
    let changed = APP.replace("quote:1", "quote:2");
    let files = [("fleet.toml", FLEET), ("hosts/h.toml", HOST), ("apps/a/app.toml", changed.as_str())];
    let second = load(&tree(&files), &mut cache).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(second, load(&tree(&files), &mut ParseCache::default()).unwrap_or_else(|e| panic!("{e}")));
    assert_ne!(first, second);
}

const SWARMS: (&str, &str) =
    ("fleet.toml", "fleet = \"f\"\nenvironments = [\"test\", \"prod\"]\n[swarm.all]\nmanagers = [\"h1\"]\n");

#[test]
fn a_service_needs_little_and_the_rest_follows_from_the_rollout() {
    use crate::model::app::Runtime;
    use crate::model::service::{OnFailure, PublishMode, RestartCondition, ServiceMode, UpdateOrder};
    use crate::model::units::TimeSpan;
    let text = format!(
        "{APP}runtime = \"swarm\"\nreplicas = 3\nports = [\"8080:80\"]\n[rollout]\nmax_unavailable = 2\n\
         min_healthy = \"7s\"\n[swarm]\npublish = \"host\"\n[swarm.update]\norder = \"start-first\"\n"
    );
    let desired = with(&[SWARMS, ("apps/a/app.toml", &text)]).unwrap_or_else(|e| panic!("{e}"));
    let app = desired.apps.values().next().expect("an app");
    let Runtime::Swarm(service) = &app.runtime else { panic!("{:?}", app.runtime) };
    assert_eq!((service.swarm.as_str(), service.mode), ("all", ServiceMode::Replicated(3)), "the only Swarm");
    assert_eq!((service.publish, service.restart.condition), (PublishMode::Host, RestartCondition::Any));
    let update = service.update.expect("settings");
    assert_eq!((update.parallelism, update.monitor), (2, Some(TimeSpan::from_secs(7))));
    assert_eq!((update.order, update.on_failure), (UpdateOrder::StartFirst, OnFailure::Rollback));

    for (words, mode) in [
        ("global = true", ServiceMode::Global),
        ("job = true", ServiceMode::ReplicatedJob { total: 3, at_once: 3 }),
        ("job = true\nat_once = 1", ServiceMode::ReplicatedJob { total: 3, at_once: 1 }),
        ("job = true\nglobal = true", ServiceMode::GlobalJob),
    ] {
        let text = format!("{APP}runtime = \"swarm\"\nreplicas = 3\n[swarm]\n{words}\n");
        let desired = with(&[SWARMS, ("apps/a/app.toml", &text)]).unwrap_or_else(|e| panic!("{e}"));
        let app = desired.apps.values().next().expect("an app");
        let Runtime::Swarm(service) = &app.runtime else { panic!("{:?}", app.runtime) };
        assert_eq!(service.mode, mode, "{words}");
        assert_eq!(service.update.is_none(), mode.is_job(), "{words}");
    }
}

#[test]
fn what_a_service_cannot_have_is_told_at_its_line_all_at_once_a3() {
    let text = format!(
        "{APP}runtime = \"swarm\"\nprivileged = true\nports = [\"127.0.0.1:8080:80\"]\n\
         [limits]\nshm_size = \"1MiB\"\n[place]\nspread = \"zone\"\n[network.n]\naddress = \"192.0.2.9\"\n\
         [swarm]\nconstraints = [\"zone is a\"]\nspread = [\"zone\"]\nat_once = 2\n\
         labels = {{ \"io.trueup.app\" = \"x\" }}\n[swarm.rollback]\non_failure = \"rollback\"\n"
    );
    let net = ("networks/n.toml", "[network.n]\ndriver = \"overlay\"\nsubnet = \"192.0.2.0/24\"\n");
    let all = told(&[SWARMS, net, ("apps/a/app.toml", &text)]);
    for (line, wanted) in [
        (5, "cannot be privileged"),
        (6, "listens on all of a node's addresses"),
        (8, "has no shm_size"),
        (9, "is not placed by trueup"),
        (11, "Swarm itself gives tasks their addresses"),
        (14, "is not a placement constraint"),
        (15, "is not a label of nodes"),
        (16, "only jobs have it"),
        (17, "is trueup's own"),
        (19, "can only pause or go on"),
    ] {
        let at = format!("apps/a/app.toml:{line}:");
        assert!(all.iter().any(|e| e.starts_with(&at) && e.contains(wanted)), "{at} {wanted}: {all:#?}");
    }
    assert_eq!(all.len(), 10, "{all:#?}");
}

#[test]
fn a_services_swarm_and_networks_are_there_and_fit() {
    let app = format!("{APP}runtime = \"swarm\"\n");
    assert!(told(&[("apps/a/app.toml", &app)]).join("").contains("fleet.toml has no Swarm, or several"));
    let named = format!("{app}[swarm]\nname = \"al\"\n");
    let all = told(&[SWARMS, ("apps/a/app.toml", &named)]).join("");
    assert!(all.contains("no Swarm \"al\"") && all.contains("all"), "{all}");
    let net = ("networks/n.toml", "[network.n]\ndriver = \"bridge\"\n");
    let on_bridge = format!("{app}[network.n]\n");
    assert!(
        told(&[SWARMS, net, ("apps/a/app.toml", &on_bridge)]).join("").contains("n is no overlay network"),
    );
}

#[test]
fn a_caret_stands_under_the_spot() {
    let errors = with(&[("apps/a/app.toml", &format!("{APP}replicaz = 3\n"))]).expect_err("an error");
    let text = errors.render(false);
    assert!(text.contains("apps/a/app.toml:4:1") && text.contains("^^^^^^^^"), "{text}");
}

#[test]
fn the_reference_pages_are_current() {
    let page = include_str!("../../docs/config-reference.md");
    assert!(page == repository_reference(), "run: trueup schema --reference > docs/config-reference.md");
    let page = include_str!("../../docs/settings-reference.md");
    assert!(
        page == settings_reference(),
        "run: trueup schema settings --reference > docs/settings-reference.md"
    );
}

/// The settings with this `[policy]`, or what is wrong with them.
fn policy(section: &str) -> Result<crate::model::policy::PolicySettings, String> {
    own(section).map(|settings| settings.policy)
}

/// The settings with this at their end, or what is wrong with them.
fn own(section: &str) -> Result<crate::model::settings::Settings, String> {
    let text = format!("installation = \"i\"\nkey_file = \"k\"\n[repository]\nurl = \"/r\"\n{section}");
    let key = |_: &std::path::Path| Ok(vec![b'a'; 64]);
    super::own::parse(&text, "trueup.toml", std::path::Path::new("/"), &key).map_err(|e| e.to_string())
}

#[test]
fn no_interval_of_the_settings_spins() {
    for bad in [
        "poll = \"0s\"\n",
        "poll = \"999ms\"\n",
        "[engines]\ncall_deadline = \"0s\"\n",
        "[engines]\npull_deadline = \"0s\"\n",
        "[nginx]\ndirectory = \"n\"\nverify_timeout = \"0s\"\n",
        "[limits]\nrelist = \"0s\"\n",
        "[metrics]\ngraphite_every = \"0s\"\n",
    ] {
        let told = own(bad).err().expect(bad);
        assert!(told.contains("is too short: 1s at least") && told.contains("trueup.toml:"), "{bad}: {told}");
    }
    let shortest = own("poll = \"1s\"\n[limits]\nrelist = \"1s\"\n").map(|settings| settings.limits.relist);
    assert_eq!(shortest.map(|span| span.millis()), Ok(1000));
}

#[test]
fn where_numbers_go_is_an_address() {
    for (bad, words) in [
        ("listen = \":9465\"\n", "write \"127.0.0.1:9465\" for this machine alone"),
        ("listen = \"localhost\"\n", "write \"127.0.0.1:9464\""),
        ("graphite = \"carbon.example\"\n", "is not host:port"),
        ("graphite_prefix = \"a..b\"\n", "no path of carbon's"),
        ("graphite_prefix = \"../x y\"\n", "no path of carbon's"),
    ] {
        let told = own(&format!("[metrics]\n{bad}")).err().expect(bad);
        assert!(told.contains(words) && told.contains("trueup.toml:6:"), "{bad}: {told}");
    }
    let good = "listen = \"[::1]:9464\"\ngraphite = \"[::1]:2003\"\ngraphite_prefix = \"ops.true-up_1\"\n";
    assert!(own(&format!("[metrics]\n{good}")).is_ok());
}

#[test]
fn policies_are_switched_and_given_windows_in_the_settings() {
    let page = include_str!("../../docs/policies.md");
    let shown = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let settings = policy(shown).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(settings.rules.len(), 2);
    assert_eq!(settings.freeze[0].says(), "Sat, Sun Europe/Berlin");
    let freeze = |more: &str| policy(&format!("[[policy.freeze]]\nname = \"f\"\n{more}"));
    let whole = freeze(
        "zone = \"UTC\"\nfrom = \"18:00\"\nto = \"08:00\"\nbegin = \"2026-12-20\"\nend = \"2027-01-02 12:00\"\n",
    );
    let says = whole.map(|settings| settings.freeze[0].says());
    assert_eq!(says.as_deref(), Ok("18:00 to 08:00 from 2026-12-20 00:00 until 2027-01-02 12:00 UTC"));
    for (bad, words) in [
        ("", "no `zone`"),
        ("zone = \"Berlin\"\n", "no time zone"),
        ("zone = \"UTC\"\ndays = [\"Someday\"]\n", "no day"),
        ("zone = \"UTC\"\nfrom = \"18:00\"\n", "belong together"),
        ("zone = \"UTC\"\nfrom = \"25:00\"\nto = \"26:00\"\n", "no time of day"),
        ("zone = \"UTC\"\nbegin = \"soon\"\n", "no date"),
    ] {
        let told = freeze(bad).expect_err(bad);
        assert!(told.contains(words) && told.contains("trueup.toml:"), "{bad}: {told}");
    }
    assert!(
        policy("[policy.rules]\nfreeze = \"never\"\n").expect_err("a wrong word").contains("trueup.toml:6")
    );
}
