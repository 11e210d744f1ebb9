//! Numbers get out: Prometheus reads them from the running loop, and a real carbon takes and keeps them, also after it was
//! restarted.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod parts;
mod stage;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parts::{Process, Trueup, free_port, soon, wait_for_port};
use stage::{FLEET, HOST, Stage, docker_ok};
use trueup::adapter::graphite::Graphite;
use trueup::model::metrics::{Metric, MetricKind};
use trueup::model::units::Timestamp;
use trueup::output;

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

fn rt() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn now() -> Timestamp {
    trueup::ports::Clock::now(&trueup::adapter::clock::SystemClock)
}

/// Every line is not a packet, and every batch not a connection.
#[test]
fn batches_go_out_at_once_on_one_connection() {
    const BATCHES: usize = 3;
    const LINES: usize = 200;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let heard = Arc::new(Mutex::new((0, Vec::new())));
    let hears = Arc::clone(&heard);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            hears.lock().expect("the count").0 += 1;
            let mut buffer = vec![0; 1 << 20];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                hears.lock().expect("the count").1.push(text);
            }
        }
    });
    let lines = || heard.lock().expect("the count").1.concat().lines().count();
    let mut metric = Metric::new("trueup_host_known", "Whether the host answers.", MetricKind::Gauge);
    (0..LINES).for_each(|n| metric.add(vec![("host", format!("rack-{n}"))], 1.0));
    let batch = output::graphite(&[metric], "ops", now());
    rt().block_on(async {
        let mut carbon = Graphite::new(address);
        for sent in 1..=BATCHES {
            carbon.send(&batch).await.expect("sent");
            soon("the batch is heard", || lines() == sent * LINES);
        }
    });
    let (connections, reads) = &*heard.lock().expect("the count");
    assert_eq!(*connections, 1);
    // The system may cut a batch in two; a packet for each line would be hundreds.
    assert!((BATCHES..=BATCHES * 2).contains(&reads.len()), "{} reads", reads.len());
}

/// Whisper's files below the directory, by their path from there.
fn whisper_files(dir: &Path, from: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return BTreeSet::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => whisper_files(&path, from),
            false => [path.strip_prefix(from).expect("below").display().to_string()].into(),
        })
        .filter(|file| file.ends_with(".wsp") && !file.starts_with("carbon/"))
        .collect()
}

/// Names come from engines and Swarms, where anybody may choose them.
#[test]
fn names_with_odd_characters_reach_a_real_carbon_as_one_node_each() {
    let dir = tempfile::tempdir().expect("a directory");
    let port = free_port();
    let _carbon = carbon(dir.path(), port);
    let mut metric = Metric::new("trueup_host_known", "Whether the host answers.", MetricKind::Gauge);
    for name in ["rack-a.1", "../../up", "two words", "line\nops.injected 666 1", "tag;dc=x", "übung"] {
        metric.add(vec![("host", name.to_owned())], 7.0);
    }
    let expected: BTreeSet<String> =
        ["rack-a_1", "______up", "two_words", "line_ops_injected_666_1", "tag_dc_x", "_bung"]
            .map(|node| format!("ops/trueup/host_known/{node}.wsp"))
            .into();
    let whisper = dir.path().join("whisper");
    rt().block_on(async {
        let mut carbon = Graphite::new(format!("127.0.0.1:{port}"));
        soon_async(async || {
            carbon
                .send(&output::graphite(std::slice::from_ref(&metric), "ops.trueup", now()))
                .await
                .expect("sent");
            expected.iter().all(|file| kept(&whisper.join(file)).last() == Some(&7.0))
        })
        .await;
    });
    assert_eq!(whisper_files(&whisper, &whisper), expected, "and nothing else anywhere");
}

/// Until it holds, for a minute.
async fn soon_async(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..60 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("not within a minute");
}
