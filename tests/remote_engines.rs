//! Engines on the other end of TLS and ssh, for real: a second dockerd and an sshd. Who cannot prove who they are gets
//! nothing, and the message says what to mend (G3).

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod parts;
mod stage;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parts::certificates::{Authority, Holds};
use parts::dockerd::Dockerd;
use parts::sshd::Sshd;
use parts::{Process, Trueup, free_port, soon, wait_for_port};
use stage::{FLEET, HOST, Stage, docker_ok};
use trueup::adapter::docker::DockerEngines;
use trueup::model::host::{Capacity, Host};
use trueup::model::plan::Action;
use trueup::model::secrecy::HashKey;
use trueup::model::settings::EngineSettings;
use trueup::model::units::TimeSpan;
use trueup::ports::{Contents, Engine, EngineErrorKind, Engines as _};

fn app(stage: &Stage, name: &str, host: &str, mark: &str) -> (String, String) {
    let text = format!(
        "app = \"{name}\"\nenvironments = [\"test\"]\nplace = {{ hosts = [\"{host}\"] }}\nimage = \"{}\"\n\
         pull = \"never\"\nnetwork_mode = \"host\"\ncommand = [\"/bin/busybox\", \"sleep\", \"3600\"]\n\
         stop_timeout = \"1s\"\nenv = {{ MARK = \"{mark}\" }}\n[rollout]\nmin_healthy = \"0s\"\n",
        stage.image
    );
    (format!("apps/{name}/app.toml"), text)
}

/// An app on the host `remote`, and one on this machine.
fn commit(stage: &Stage, address: &str, name: &str, mark: &str) {
    let remote = format!(
        "[host.remote]\naddress = \"127.0.0.2\"\nengine = \"{address}\"\nenvironments = [\"test\"]\n"
    );
    let (there, here) =
        (app(stage, name, "remote", mark), app(stage, &format!("{name}-near"), "local", mark));
    stage.commit(&[
        ("fleet.toml", FLEET),
        ("hosts/local.toml", HOST),
        ("hosts/remote.toml", &remote),
        (&there.0, &there.1),
        (&here.0, &here.1),
    ]);
}

fn tls(dir: &Path, ca: &str, identity: &str) -> String {
    let file = |name: &str| dir.join(name).display().to_string();
    format!(
        "tls.default = {{ ca = \"{}\", cert = \"{}\", key = \"{}\" }}",
        file(&format!("{ca}.pem")),
        file(&format!("{identity}.pem")),
        file(&format!("{identity}.key"))
    )
}

/// The plan says that `remote` is unknown, and why; an apply changes nothing there and converges this machine.
fn refused(trueup: &Trueup<'_>, stage: &Stage, address: &str, name: &str, mark: &str, words: &[&str]) {
    commit(stage, address, name, mark);
    let said = trueup.apply();
    let told = said.words();
    assert_eq!(said.code, 3, "{mark}: {said:?}");
    assert!(told.contains("? host remote why: remote: "), "{mark}: {told}");
    for word in words {
        assert!(told.contains(word), "{mark}: {word:?} is not told: {told}");
    }
    let env = docker_ok(&["inspect", "-f", "{{.Config.Env}}", &format!("{name}-near-test-0")]);
    assert!(env.contains(&format!("MARK={mark}")), "{mark}: this machine is converged meanwhile");
}

#[test]
fn an_engine_over_tls_with_a_client_certificate() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path();
    let (authority, stranger) = (Authority::new(at, "authority"), Authority::new(at, "stranger"));
    authority.sign("server", Holds::Server);
    authority.sign("client", Holds::Client);
    authority.sign("expired", Holds::Expired);
    stranger.sign("foreign", Holds::Client);
    let engine = Dockerd::start(at, &authority.cert());
    let stage = Stage::new("tls");
    engine.load(&stage.image);
    let address = format!("tcp://127.0.0.1:{}", engine.port);

    let trueup = Trueup::new(&stage, &tls(at, "authority", "client"));
    commit(&stage, &address, "tls", "first");
    let said = trueup.run(&["plan"]);
    assert_eq!(said.code, 2, "{said:?}");
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(trueup.run(&["plan"]).code, 0);
    let state = ["inspect", "-f", "{{.Id}} {{.State.Running}}", "tls-test-0"];
    let (_, running) = engine.docker(&state);
    assert!(running.ends_with(" true"), "it runs over there: {running}");

    let no_key = tls(at, "authority", "client").replace("client.key", "nowhere.key");
    let other_key = tls(at, "authority", "client").replace("client.key", "expired.key");
    let cases: [(&str, String, &[&str]); 8] = [
        ("wrong-ca", tls(at, "stranger", "client"), &["UnknownIssuer", "[engines.tls] `ca`"]),
        ("expired-client", tls(at, "authority", "expired"), &["alert", "[engines.tls] `cert`"]),
        ("foreign-client", tls(at, "authority", "foreign"), &["alert", "[engines.tls] `cert`"]),
        ("no-identity", String::new(), &["plain TCP is not used", "[engines.tls]"]),
        ("plain", "allow_plain_tcp = true".to_owned(), &["HTTP request to an HTTPS server"]),
        ("no-key", no_key, &["nowhere.key", "[engines.tls]"]),
        ("other-key", other_key, &["client.pem", "[engines.tls]"]),
        ("no-pem", tls(at, "authority.ext", "client"), &["authority.ext.pem", "[engines.tls]"]),
    ];
    for (mark, settings, words) in cases {
        trueup.set(&settings);
        refused(&trueup, &stage, &address, "tls", mark, words);
    }
    assert_eq!(engine.docker(&state).1, running, "nothing over there was touched");

    // A server whose certificate ran out.
    let port = free_port();
    let server = Command::new("openssl")
        .args([
            "s_server",
            "-quiet",
            "-accept",
            &port.to_string(),
            "-cert",
            "expired.pem",
            "-key",
            "expired.key",
        ])
        .current_dir(at)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _server = Process(server.expect("openssl"));
    wait_for_port(port);
    trueup.set(&tls(at, "authority", "client"));
    let words: &[&str] = &["expired", "the engine's certificate was not accepted"];
    refused(&trueup, &stage, &format!("tcp://127.0.0.1:{port}"), "tls", "expired-server", words);

    // Everything right again: the change of all those commits is made.
    commit(&stage, &address, "tls", "last");
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(engine.docker(&["inspect", "-f", "{{.Config.Env}}", "tls-test-0"]).1.contains("MARK=last"));
}

#[test]
fn an_engine_over_ssh_with_a_strict_host_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path();
    let authority = Authority::new(at, "authority");
    authority.sign("server", Holds::Server);
    let engine = Dockerd::start(at, &authority.cert());
    let stage = Stage::new("ssh");
    engine.load(&stage.image);
    let sshd = Sshd::start(at, "sshd", &format!("SetEnv DOCKER_HOST={}", engine.address()));
    let user = parts::run("id", &["-un"], at);
    let address = |sshd: &Sshd| format!("ssh://{user}@127.0.0.1:{}", sshd.port);
    let settings = |sshd: &Sshd, known: &str, key: &str| {
        let file = |name: &str| sshd.dir.join(name).display().to_string();
        format!("ssh_known_hosts = \"{}\"\nssh_key = \"{}\"\ncall_deadline = \"10s\"", file(known), file(key))
    };

    let trueup = Trueup::new(&stage, &settings(&sshd, "known", "client"));
    commit(&stage, &address(&sshd), "ssh", "first");
    let said = trueup.run(&["plan"]);
    assert_eq!(said.code, 2, "{said:?}");
    let logins = sshd.logins();
    assert!((1..=4).contains(&logins), "a look shares a few connections: {logins} logins");
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");
    let state = ["inspect", "-f", "{{.Id}} {{.State.Running}}", "ssh-test-0"];
    let (_, running) = engine.docker(&state);
    assert!(running.ends_with(" true"), "it runs over there: {running}");

    let here = address(&sshd);
    let unknown: &[&str] = &["Host key verification failed", "[engines].ssh_known_hosts"];
    for (mark, known, key, words) in [
        ("changed-key", "wrong", "client", unknown),
        ("unknown-key", "empty", "client", unknown),
        ("no-known-hosts", "nowhere", "client", unknown),
        ("stranger", "known", "stranger", &["Permission denied", "[engines].ssh_key"]),
    ] {
        trueup.set(&settings(&sshd, known, key));
        refused(&trueup, &stage, &here, "ssh", mark, words);
    }
    trueup.set(&settings(&sshd, "known", "client"));
    let nobody = format!("ssh://{user}@127.0.0.1:{}", free_port());
    refused(&trueup, &stage, &nobody, "ssh", "nobody-there", &["ssh: connect to host", "refused"]);

    let without = Sshd::start(at, "without", "ForceCommand exec no-such-docker");
    trueup.set(&settings(&without, "known", "client"));
    refused(
        &trueup,
        &stage,
        &address(&without),
        "ssh",
        "no-docker",
        &["no-such-docker", "no docker command"],
    );
    let chatty = Sshd::start(at, "chatty", "ForceCommand echo welcome to this machine");
    trueup.set(&settings(&chatty, "known", "client"));
    refused(
        &trueup,
        &stage,
        &address(&chatty),
        "ssh",
        "chatty",
        &["is this the address of a Docker engine?"],
    );
    assert_eq!(engine.docker(&state).1, running, "nothing over there was touched");

    trueup.set(&settings(&sshd, "known", "client"));
    commit(&stage, &here, "ssh", "last");
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(engine.docker(&["inspect", "-f", "{{.Config.Env}}", "ssh-test-0"]).1.contains("MARK=last"));
    for sshd in [&sshd, &without, &chatty] {
        assert_eq!(sshd.clients(), 0, "no ssh client outlives trueup");
    }
}

fn over(sshd: &Sshd, call_deadline: TimeSpan) -> Arc<dyn Engine> {
    let user = parts::run("id", &["-un"], &sshd.dir);
    let settings = EngineSettings {
        call_deadline,
        ssh_key: Some(sshd.dir.join("client")),
        ssh_known_hosts: Some(sshd.dir.join("known")),
        ..EngineSettings::default()
    };
    let host = Host {
        name: "far".parse().expect("a name"),
        address: "127.0.0.1".parse().expect("an address"),
        engine: format!("ssh://{user}@127.0.0.1:{}", sshd.port).parse().expect("an address"),
        environments: Default::default(),
        labels: Default::default(),
        capacity: Capacity::default(),
        swarm: None,
        availability: None,
        drain: false,
        origin: "here".to_owned(),
    };
    DockerEngines::new(settings, HashKey::new([1; 32])).engine(&host).expect("an engine")
}

/// However many images wait for a registry: sshd sees a few clients, and the engine is looked at meanwhile (D6).
#[tokio::test(flavor = "multi_thread")]
async fn pulls_over_ssh_log_in_a_few_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let sshd = Sshd::start(dir.path(), "pulls", "");
    // It takes connections and never answers.
    let registry = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let registry = registry.local_addr().expect("an address");
    let engine = over(&sshd, TimeSpan::from_secs(20));
    let pulls: Vec<_> = (0..16)
        .map(|n| {
            let engine = Arc::clone(&engine);
            let image = format!("{registry}/nothing:{n}").parse().expect("an image");
            tokio::spawn(async move {
                engine.perform(&Action::PullImage { image }, &Contents::new(), &|_, _| {}).await
            })
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(60);
    while sshd.logins() < 4 {
        assert!(Instant::now() < end, "pulls log in");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    engine.survey(&BTreeSet::new()).await.expect("a look");
    assert!(pulls.iter().all(|pull| !pull.is_finished()), "they hang all the while");
    assert!((4..=8).contains(&sshd.clients()), "{} pulls and calls", sshd.clients());
    for pull in &pulls {
        pull.abort();
    }
}

/// A call that hangs on the other side ends by its deadline, and its ssh client with it, while this process goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_hung_ssh_ends_with_its_deadline() {
    let dir = tempfile::tempdir().expect("a directory");
    // One says nothing at all, the other half an answer.
    let half = "ForceCommand printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 99\\r\\n\\r\\n{' && exec sleep 600";
    for (name, more) in [("silent", "ForceCommand exec sleep 600"), ("half", half)] {
        let sshd = Sshd::start(dir.path(), name, more);
        let engine = over(&sshd, TimeSpan::from_secs(3));
        let container = "some-test-0".parse().expect("a name");
        let asked = tokio::spawn(async move {
            let told = engine.container(&container).await;
            (engine, told)
        });
        let (clients, port) = (std::sync::Arc::new(sshd), name);
        let watched = clients.clone();
        tokio::task::spawn_blocking(move || soon("ssh runs", || watched.clients() == 1))
            .await
            .expect("it ran");
        let (engine, told) = asked.await.expect("an end");
        let error = told.expect_err("no answer");
        assert_eq!(error.kind, EngineErrorKind::Deadline, "{port}: {error}");
        assert!(
            error.to_string().contains("far: GET /containers/some-test-0/json: no answer within 3 s"),
            "{error}"
        );
        let watched = clients.clone();
        tokio::task::spawn_blocking(move || soon("ssh is ended", || watched.clients() == 0))
            .await
            .expect("it ended");
        drop(engine);
    }
}
