//! Numbers get out: Prometheus reads them from the running loop, and a real carbon takes and keeps them, also after it was
//! restarted.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod parts;
mod stage;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use parts::{Process, Trueup, free_port, soon, wait_for_port};
use stage::{FLEET, HOST, Stage, docker_ok};

/// A GET on loopback: status line and body.
fn get(port: u16, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.to_owned()))
}

/// Debian's carbon-cache, on ports and in a directory of its own.
fn carbon(dir: &Path, port: u16) -> Process {
    std::fs::create_dir_all(dir).expect("a directory");
    let at = dir.display();
    let conf = format!(
        "[cache]\nSTORAGE_DIR = {at}\nCONF_DIR = {at}\nLOG_DIR = {at}\nPID_DIR = {at}\nLOCAL_DATA_DIR = {at}/whisper\n\
         LINE_RECEIVER_INTERFACE = 127.0.0.1\nLINE_RECEIVER_PORT = {port}\nPICKLE_RECEIVER_PORT = 0\n\
         CACHE_QUERY_INTERFACE = 127.0.0.1\nCACHE_QUERY_PORT = {}\nMAX_CREATES_PER_MINUTE = inf\n\
         MAX_UPDATES_PER_SECOND = inf\n",
        free_port()
    );
    std::fs::write(dir.join("carbon.conf"), conf).expect("a file");
    let schemas = "[all]\npattern = .*\nretentions = 1s:1h\n";
    std::fs::write(dir.join("storage-schemas.conf"), schemas).expect("a file");
    let pid = dir.join("carbon-cache-a.pid");
    let _ = std::fs::remove_file(pid);
    let process = Command::new("carbon-cache")
        .arg(format!("--config={}", dir.join("carbon.conf").display()))
        .args(["--nodaemon", "start"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("carbon-cache (Debian package graphite-carbon)");
    let process = Process(process);
    wait_for_port(port);
    process
}

/// The numbers that whisper kept, oldest first.
fn kept(file: &PathBuf) -> Vec<f64> {
    let Ok(output) = Command::new("whisper-fetch").arg(file).output() else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect()
}

#[test]
fn prometheus_and_a_real_carbon_get_the_numbers() {
    let stage = Stage::new("metrics");
    let app = format!(
        "app = \"counted\"\nenvironments = [\"test\"]\nimage = \"{}\"\npull = \"never\"\nreplicas = 2\n\
         command = [\"/bin/busybox\", \"sleep\", \"3600\"]\nstop_timeout = \"1s\"\n[rollout]\nmin_healthy = \"0s\"\n",
        stage.image
    );
    stage.commit(&[("fleet.toml", FLEET), ("hosts/local.toml", HOST), ("apps/counted/app.toml", &app)]);
    let (http, line) = (free_port(), free_port());
    let dir = stage.dir.path().join("carbon");
    let first = carbon(&dir, line);
    let trueup = Trueup::new(
        &stage,
        &format!(
            "[metrics]\nlisten = \"127.0.0.1:{http}\"\ngraphite = \"127.0.0.1:{line}\"\ngraphite_every = \"1s\"\n\
             graphite_prefix = \"ops.trueup\""
        ),
    );
    let _run = Process(trueup.command(&["run"]).stderr(Stdio::null()).spawn().expect("the binary"));
    soon("the loop is ready", || get(http, "/readyz").is_some_and(|(status, _)| status.contains("200")));
    assert_eq!(get(http, "/healthz").expect("an answer").1, "alive\n");
    assert!(get(http, "/secrets").expect("an answer").0.contains("404"));
    let running = "trueup_instances_running{app=\"counted\",env=\"test\"} 2\n";
    soon("both instances are counted", || {
        get(http, "/metrics").is_some_and(|(_, body)| body.contains(running))
    });
    let (_, body) = get(http, "/metrics").expect("an answer");
    for line in [
        "trueup_host_known{host=\"local\"} 1\n",
        "trueup_instances_declared{app=\"counted\",env=\"test\"} 2\n",
        "trueup_changes_total{verb=\"create\",outcome=\"done\"} 2\n",
        "trueup_objects{state=\"drifted\"} 0\n",
    ] {
        assert!(body.contains(line), "{line} is not in\n{body}");
    }
    assert!(body.ends_with("# EOF\n"), "{body}");

    let file = dir.join("whisper/ops/trueup/instances_running/counted/test.wsp");
    soon("carbon keeps the numbers", || kept(&file).last() == Some(&2.0));
    // Carbon goes and comes back: the next batches reach it on a new connection.
    drop(first);
    docker_ok(&["rm", "-f", "counted-test-0", "counted-test-1"]);
    let _second = carbon(&dir, line);
    let changes = dir.join("whisper/ops/trueup/changes/create/done.wsp");
    soon("carbon hears of the healing after its restart", || kept(&changes).last() == Some(&4.0));
}
