//! Engines that lie, break, hang or flood: their host is unknown and nothing on it is touched (A1), the message says the
//! host, the call and what to do, and the engine beside them is converged meanwhile (D6).

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod parts;
mod stage;

use parts::bad_engine::{Bad, BadEngine};
use parts::{Trueup, soon};
use stage::{FLEET, HOST, Stage, docker, docker_ok};

/// An app of one instance on `host`.
fn app(stage: &Stage, name: &str, host: &str, mark: &str) -> (String, String) {
    let text = format!(
        "app = \"{name}\"\nenvironments = [\"test\"]\nplace = {{ hosts = [\"{host}\"] }}\nimage = \"{}\"\npull = \"never\"\n\
         command = [\"/bin/busybox\", \"sleep\", \"3600\"]\nstop_timeout = \"1s\"\nenv = {{ MARK = \"{mark}\" }}\n\
         [rollout]\nmin_healthy = \"0s\"\n",
        stage.image
    );
    (format!("apps/{name}/app.toml"), text)
}

fn host(name: &str, address: &str) -> String {
    format!("[host.{name}]\naddress = \"127.0.0.2\"\nengine = \"{address}\"\nenvironments = [\"test\"]\n")
}

fn commit(stage: &Stage, bad: &str, apps: &[(String, String)]) {
    let bad = host("bad", bad);
    let mut files = vec![("fleet.toml", FLEET), ("hosts/local.toml", HOST), ("hosts/bad.toml", bad.as_str())];
    files.extend(apps.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    stage.commit(&files);
}

fn mark(container: &str) -> String {
    let env = docker_ok(&["inspect", "-f", "{{range .Config.Env}}{{println .}}{{end}}", container]);
    env.lines().find_map(|line| line.strip_prefix("MARK=")).unwrap_or_default().to_owned()
}

const TOO_OLD: &str =
    "{\"message\":\"client version 1.41 is too new. Maximum supported API version is 1.40\"}";
const DENIED: &str = "{\"message\":\"authorization denied by plugin\"}";
const BROKEN: &str = "{\"message\":\"cannot open the database: disk I/O error\"}";

/// What every call is answered with, and words that the message must have.
const KINDS: &[(&str, Bad, &[&str])] = &[
    ("garbage", Bad::Garbage, &["is this the address of a Docker engine?"]),
    ("no JSON", Bad::Body("<html>It works!</html>"), &["is this the address of a Docker engine?"]),
    ("half JSON", Bad::Body("[{\"Id\":"), &["is this the address of a Docker engine?"]),
    ("an object", Bad::Body("{}"), &["is this the address of a Docker engine?"]),
    ("an empty list", Bad::Body("[]"), &["is this the address of a Docker engine?"]),
    ("a list of nothing", Bad::Body("[{}]"), &["is this the address of a Docker engine?"]),
    ("null", Bad::Body("null"), &["is this the address of a Docker engine?"]),
    ("a string", Bad::Body("\"fine\""), &["is this the address of a Docker engine?"]),
    ("nothing", Bad::Body(""), &["is this the address of a Docker engine?"]),
    ("cut short", Bad::CutShort, &["is the engine running"]),
    ("closed", Bad::Closed, &["is the engine running"]),
    ("hangs", Bad::Hang, &["no answer within 10 s"]),
    ("hangs in a body", Bad::HangInBody, &["no answer within 10 s"]),
    ("500", Bad::Status(500, BROKEN), &["disk I/O error (500)", "journalctl"]),
    ("a web server's 404", Bad::Status(404, "<html>404 Not Found</html>"), &["is this the address"]),
    ("another API's 404", Bad::Status(404, "{\"message\":\"page not found\"}"), &["is this the address"]),
    ("403", Bad::Status(403, DENIED), &["denied by plugin (403)"]),
    ("too old", Bad::Status(400, TOO_OLD), &["API version is 1.40", "Docker 20.10 or later"]),
    ("endless", Bad::Endless, &["larger than any of an engine's"]),
    ("endless head", Bad::EndlessHead, &[": GET /"]),
];

#[test]
fn bad_engines_are_unknown_and_delay_nobody() {
    let stage = Stage::new("bad");
    // Long enough for the real engine on a busy machine.
    let trueup = Trueup::new(&stage, "call_deadline = \"10s\"");
    let engines: Vec<BadEngine> = KINDS
        .iter()
        .enumerate()
        .map(|(n, (_, bad, _))| {
            BadEngine::start(stage.dir.path(), &format!("bad-{n}"), move |_, _| Some(bad.clone()))
        })
        .collect();
    let hosts: String =
        engines.iter().enumerate().map(|(n, engine)| host(&format!("bad-{n}"), &engine.address())).collect();
    let commit = |mark: &str, ill: bool| {
        let mut files =
            vec![app(&stage, "beside", "local", mark), ("hosts/bad.toml".to_owned(), hosts.clone())];
        for n in 0..KINDS.len() {
            let (path, text) = app(&stage, &format!("ill-{n}"), &format!("bad-{n}"), "x");
            if ill {
                files.push((path, text));
            } else {
                std::fs::remove_file(stage.repo().join(path)).expect("the app");
            }
        }
        let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        stage.commit(
            &[("fleet.toml", FLEET), ("hosts/local.toml", HOST)].into_iter().chain(files).collect::<Vec<_>>(),
        );
    };
    commit("first", true);

    let plan = trueup.plan();
    for (n, (kind, _, words)) in KINDS.iter().enumerate() {
        let name = format!("bad-{n}");
        let unknown = plan["unknown"].as_array().expect("a list").iter().find(|item| item["name"] == *name);
        let why = unknown.and_then(|item| item["why"].as_str()).unwrap_or_else(|| panic!("{kind}: {plan}"));
        assert!(why.starts_with(&format!("{name}: GET /")), "{kind}: it names host and call: {why}");
        assert!(words.iter().all(|word| why.contains(word)), "{kind}: {why}");
    }
    let changes = plan["changes"].as_array().expect("a list");
    assert!(changes.len() == 1 && changes[0]["name"] == "beside-test-0", "{plan}");

    // Then a commit that takes every app away from the hosts that nobody can see.
    for (mark, ill) in [("first", true), ("second", false)] {
        if !ill {
            commit(mark, ill);
        }
        let said = trueup.apply();
        assert_eq!(said.code, 3, "{said:?}");
        for (n, (kind, _, _)) in KINDS.iter().enumerate() {
            assert!(said.words().contains(&format!("bad-{n}: GET /")), "{kind}: {said:?}");
        }
        assert_eq!(self::mark("beside-test-0"), mark, "the engine beside them is converged: {said:?}");
    }
    for (engine, (kind, _, _)) in engines.iter().zip(KINDS) {
        assert_eq!(
            engine.mutations(),
            Vec::<String>::new(),
            "{kind}: nothing is sent that could change anything"
        );
        assert!(engine.calls() > 0, "{kind}: it was asked");
        soon(&format!("{kind}: nobody holds a connection"), || engine.open() == 0);
    }
}

#[test]
fn a_socket_that_is_not_there_or_refuses_is_unknown_too() {
    let stage = Stage::new("refusing");
    let trueup = Trueup::new(&stage, "allow_plain_tcp = true");
    // A socket whose listener is gone stays as a file that refuses.
    let dead = stage.dir.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).expect("a socket"));
    let tcp = format!("tcp://127.0.0.1:{}", parts::free_port());
    let cases = [
        ("unix:///nowhere/docker.sock".to_owned(), "No such file"),
        (format!("unix://{}", dead.display()), "refused"),
        (tcp, "refused"),
        ("tcp://nobody.invalid:2375".to_owned(), "cannot connect to tcp://nobody.invalid:2375"),
    ];
    for (n, (address, word)) in cases.iter().enumerate() {
        let apps = [app(&stage, "near", "local", &n.to_string()), app(&stage, "far", "bad", "x")];
        commit(&stage, address, &apps);
        let said = trueup.apply();
        assert_eq!(said.code, 3, "{address}: {said:?}");
        let words = said.words();
        assert!(words.contains(word) && words.contains(address.as_str()), "{address}: {words}");
        assert_eq!(mark("near-test-0"), n.to_string(), "{address}");
    }
}

/// The largest resident size of a process so far, in MiB.
fn most_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().split(' ').next()?.parse::<u64>().ok()? >> 10)
}

#[test]
fn an_endless_answer_does_not_fill_the_memory() {
    let stage = Stage::new("flood");
    // A deadline that would let gigabytes through.
    let trueup = Trueup::new(&stage, "call_deadline = \"60s\"");
    let engine = BadEngine::start(stage.dir.path(), "flood", |_, _| Some(Bad::Endless));
    commit(&stage, &engine.address(), &[app(&stage, "flooded", "bad", "x")]);
    let mut child =
        trueup.command(&["plan"]).stdout(std::process::Stdio::null()).spawn().expect("the binary");
    let mut most = 0;
    let code = loop {
        most = most.max(most_memory(child.id()).unwrap_or_default());
        if let Some(status) = child.try_wait().expect("a status") {
            break status.code();
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!(code, Some(3));
    assert!(most > 0 && most < 600, "{most} MiB for an answer that never ends");
}

#[test]
fn one_object_that_cannot_be_read_is_unknown_alone() {
    let stage = Stage::new("partly");
    let trueup = Trueup::new(&stage, "call_deadline = \"10s\"");
    let engine = BadEngine::start(stage.dir.path(), "partly", |_, _| None);
    let at_bad = |text: &str| host("bad", text);
    let files = |apps: &[(String, String)]| {
        let address = at_bad(&engine.address());
        let mut files = vec![("fleet.toml", FLEET), ("hosts/bad.toml", address.as_str())];
        files.extend(apps.iter().map(|(path, text)| (path.as_str(), text.as_str())));
        stage.commit(&files);
    };
    files(&[app(&stage, "seen", "bad", "1"), app(&stage, "unseen", "bad", "1")]);
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");
    let id = docker_ok(&["inspect", "-f", "{{.Id}}", "unseen-test-0"]);

    // One changes, the other leaves git; neither may be touched where it cannot be read.
    std::fs::remove_file(stage.repo().join("apps/unseen/app.toml")).expect("the file");
    for (n, bad) in [
        Bad::Body("{}"),
        Bad::Body("[]"),
        Bad::Body("{\"Id\":\"x\",\"Name\":\"/unseen-test-0\"}"),
        Bad::Status(404, "<html>404 Not Found</html>"),
        Bad::Status(500, BROKEN),
        Bad::CutShort,
        Bad::Closed,
        Bad::Hang,
        Bad::Endless,
    ]
    .into_iter()
    .enumerate()
    {
        files(&[app(&stage, "seen", "bad", &format!("round-{n}"))]);
        let kind = format!("{bad:?}");
        let call = format!("/containers/{id}/json");
        let its = call.clone();
        engine.behave(move |_, path| path.starts_with(&its).then(|| bad.clone()));
        let said = trueup.apply();
        assert_eq!(said.code, 3, "{kind}: {said:?}");
        assert!(said.words().contains(&format!("bad: GET {call}")), "{kind}: {said:?}");
        assert_eq!(docker_ok(&["inspect", "-f", "{{.Id}}", "unseen-test-0"]), id, "{kind}: it is not pruned");
        assert_eq!(mark("seen-test-0"), format!("round-{n}"), "{kind}: what can be read goes on");
    }
    engine.behave(|_, _| None);
    let said = trueup.apply();
    assert!(
        !docker(&["inspect", "unseen-test-0"]).status.success(),
        "readable again, it is pruned: {said:?}"
    );
}

#[test]
fn what_is_renamed_between_list_and_look_is_not_gone() {
    let stage = Stage::new("renamed");
    let trueup = Trueup::new(&stage, "call_deadline = \"10s\"");
    let engine = BadEngine::start(stage.dir.path(), "renamed", |_, _| None);
    let address = host("bad", &engine.address());
    let (path, text) = app(&stage, "moving", "bad", "1");
    stage.commit(&[("fleet.toml", FLEET), ("hosts/bad.toml", &address), (&path, &text)]);
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");
    let id = docker_ok(&["inspect", "-f", "{{.Id}}", "moving-test-0"]);

    // Somebody renames it while it is looked at, by whatever it is asked for.
    let (done, looked) = (std::sync::atomic::AtomicBool::default(), format!("/containers/{id}/json"));
    engine.behave(move |_, path| {
        let looks = path.starts_with(&looked) || path.starts_with("/containers/moving-test-0/json");
        if looks && !done.swap(true, std::sync::atomic::Ordering::Relaxed) {
            docker_ok(&["rename", "moving-test-0", "moved-away"]);
        }
        None
    });
    let said = trueup.apply();
    let label = format!("label=io.trueup.installation={}", stage.installation);
    let all = docker_ok(&["ps", "-a", "--filter", &label, "--format", "{{.Names}}"]);
    assert_eq!(all.trim(), "moved-away", "nothing is started beside it (C8): {said:?}");
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.words().contains("docker rename moved-away moving-test-0"), "{said:?}");
}

#[test]
fn who_is_connected_already_is_no_failure() {
    let stage = Stage::new("connected");
    let trueup = Trueup::new(&stage, "call_deadline = \"10s\"");
    let engine = BadEngine::start(stage.dir.path(), "connected", |_, _| None);
    let address = host("bad", &engine.address());
    let networks = "[network.conn-one]\nsubnet = \"10.130.91.0/24\"\n[network.conn-two]\nsubnet = \"10.130.92.0/24\"\n\
                    [network.conn-three]\nsubnet = \"10.130.93.0/24\"\n";
    let (path, text) = app(&stage, "linked", "bad", "1");
    let commit = |on: &str| {
        let text = format!("{text}{on}");
        stage.commit(&[
            ("fleet.toml", FLEET),
            ("hosts/bad.toml", &address),
            ("networks/all.toml", networks),
            (&path, &text),
        ]);
    };
    commit("[network.conn-one]\n");
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");

    // One answer is lost; and one comes from an engine that was still at an earlier try.
    let once = std::sync::Mutex::new(vec!["conn-two", "conn-three"]);
    engine.behave(move |method, path| {
        let mut once = once.lock().expect("the networks");
        let at = once.iter().position(|n| method == "POST" && path == format!("/networks/{n}/connect"))?;
        match once.remove(at) {
            "conn-two" => Some(Bad::DoneAndClosed),
            other => {
                docker_ok(&["network", "connect", other, "linked-test-0"]);
                None
            }
        }
    });
    commit("[network.conn-one]\n[network.conn-two]\n[network.conn-three]\n");
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.words().contains("FAILED"), "{said:?}");
    assert_eq!(trueup.run(&["plan"]).code, 0, "and a second plan is empty");
}

/// Where a replacement is interrupted: the end of the call's path.
const CALLS: [&str; 3] = ["create", "start", "stop"];

fn is_call(target: &str, call: &str, app: &str) -> bool {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    path.ends_with(&format!("/{call}"))
        && (path.contains(&format!("/{app}-test-0")) || query.contains(&format!("name={app}-test-0")))
}

#[test]
fn an_engine_that_breaks_midway_is_asked_again_and_what_stays_broken_is_an_error() {
    let stage = Stage::new("midway");
    // Eighteen apps are replaced at once: none of that is to be held (B3), nor to wait for another.
    let limits = "[limits]\nper_host = 32\nreplace_apps_share = 1.0";
    let trueup = Trueup::new(&stage, &format!("call_deadline = \"10s\"\n{limits}"));
    let engine = BadEngine::start(stage.dir.path(), "midway", |_, _| None);
    let address = host("bad", &engine.address());
    let kinds = [Bad::Garbage, Bad::Closed, Bad::Hang, Bad::Status(500, BROKEN), Bad::DoneAndClosed];
    let blips: Vec<(String, &str, Bad)> = CALLS
        .iter()
        .flat_map(|call| kinds.iter().map(move |bad| (*call, bad.clone())))
        .enumerate()
        .map(|(n, (call, bad))| (format!("blip-{n}"), call, bad))
        .collect();
    // Refusals are final at once; what may pass is tried five times, for more than a minute.
    let lasting: Vec<(String, &str, Bad)> =
        CALLS.iter().map(|call| (format!("lasting-{call}"), *call, Bad::Status(403, DENIED))).collect();
    let names: Vec<String> = blips.iter().chain(&lasting).map(|(name, ..)| name.clone()).collect();
    let commit = |round: &str| {
        let files: Vec<_> = names.iter().map(|name| app(&stage, name, "bad", round)).collect();
        let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        stage.commit(
            &[("fleet.toml", FLEET), ("hosts/bad.toml", &address)]
                .into_iter()
                .chain(files)
                .collect::<Vec<_>>(),
        );
    };
    commit("first");
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");

    commit("second");
    let once = std::sync::Mutex::new(blips.clone());
    let always = lasting.clone();
    engine.behave(move |_, target| {
        let mut once = once.lock().expect("the blips");
        if let Some(at) = once.iter().position(|(app, call, _)| is_call(target, call, app)) {
            return Some(once.remove(at).2);
        }
        always.iter().find(|(app, call, _)| is_call(target, call, app)).map(|(.., bad)| bad.clone())
    });
    let said = trueup.apply();
    assert_eq!(said.code, 1, "what stays broken is an error: {said:?}");
    for (app, call, bad) in &blips {
        assert_eq!(mark(&format!("{app}-test-0")), "second", "{call} {bad:?} once: {said:?}");
    }
    for (app, call, bad) in &lasting {
        let failed =
            said.out.split("  \u{2717} ").find(|part| part.contains(&format!("{app}-test-0: FAILED")));
        let failed = failed.unwrap_or_else(|| panic!("{call} {bad:?}: {said:?}"));
        assert!(
            failed.contains("bad: POST /containers/"),
            "{call} {bad:?}: it names host and call: {failed}"
        );
    }

    engine.behave(|_, _| None);
    let said = trueup.apply();
    assert_eq!(said.code, 0, "one apply mends it: {said:?}");
    for app in &names {
        assert_eq!(mark(&format!("{app}-test-0")), "second");
    }
    let label = format!("label=io.trueup.installation={}", stage.installation);
    let all = docker_ok(&["ps", "-a", "--filter", &label, "--format", "{{.Names}} {{.State}}"]);
    let mut all: Vec<&str> = all.lines().collect();
    all.sort_unstable();
    let mut wanted: Vec<String> = names.iter().map(|app| format!("{app}-test-0 running")).collect();
    wanted.sort_unstable();
    assert_eq!(all, wanted, "no orphan, no duplicate");
    assert_eq!(trueup.run(&["plan"]).code, 0, "and a second plan is empty");
}

#[tokio::test]
async fn an_engine_that_no_longer_speaks_our_version_is_spoken_to_in_its_oldest() {
    let mut stage = Stage::new("younger");
    let engine = BadEngine::start(stage.dir.path(), "younger", |_, _| None);
    let address = host("bad", &engine.address());
    let commit = |stage: &Stage, mark: &str| {
        let (path, text) = app(stage, "young", "bad", mark);
        stage.commit(&[("fleet.toml", FLEET), ("hosts/bad.toml", &address), (&path, &text)]);
    };
    commit(&stage, "before");
    assert_eq!(stage.apply().await.exit_code(), 0);
    let created = || engine.mutations().iter().filter(|call| call.contains("/containers/create")).count();
    let before = created();
    // It is upgraded while trueup runs: what was asked and refused is asked again at once.
    engine.grow_younger();
    assert!(stage.look().await.observed.hosts.values().all(|seen| seen.known().is_some()));
    commit(&stage, "after");
    assert_eq!(stage.apply_in_full().await.exit_code(), 0);
    assert_eq!(mark("young-test-0"), "after");
    // And one that was met so from the beginning.
    stage.restarted();
    assert!(stage.look().await.observed.hosts.values().all(|seen| seen.known().is_some()));
    commit(&stage, "last");
    assert_eq!(stage.apply_in_full().await.exit_code(), 0);
    assert_eq!(mark("young-test-0"), "last");
    assert_eq!(created() - before, 2, "what changes something is sent once: {:?}", engine.mutations());
}

/// D6: an import has the deadline of a host as looks have, however many of its containers hang.
#[test]
fn an_import_gives_a_host_that_hangs_on_each_container_up() {
    let stage = Stage::new("importing");
    let trueup = Trueup::new(&stage, "call_deadline = \"2s\"");
    // Too little for anybody to do without a look at each.
    let one = |n: usize| format!("{{\"Id\":\"{n:064x}\",\"Names\":[\"/many-{n}\"],\"State\":\"running\"}}");
    let list = format!("[{}]", (0..300).map(one).collect::<Vec<_>>().join(","));
    let list: &'static str = Box::leak(list.into_boxed_str());
    let engine = BadEngine::start(stage.dir.path(), "importing", move |_, path| {
        if path.starts_with("/containers/json") {
            return Some(Bad::Body(list));
        }
        path.starts_with("/containers/").then_some(Bad::Hang)
    });
    let into = stage.dir.path().join("imported").display().to_string();
    let (address, began) = (engine.address(), std::time::Instant::now());
    let args = ["import", "--host", "many", "--engine", &address, "--environment", "test", "--into", &into];
    let said = trueup.run(&args);
    let took = began.elapsed().as_secs();
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.words().contains("many: the engine did not finish answering within 6 s"), "{said:?}");
    assert!(took < 30, "{took} s");
    assert!(engine.calls() < 300, "it asks no further: {}", engine.calls());
}
