//! The demo as a newcomer runs it: for real on this machine's engine, and on the simulated fleet.

#![allow(clippy::expect_used, clippy::panic)]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The names of the example are the same in every demo: one at a time on the real engine.
static ENGINE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ENGINE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn demo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trueup"))
        .arg("demo")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary")
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn docker(args: &[&str]) -> String {
    let output =
        Command::new("docker").args(args).output().expect("the docker command (Debian package docker-cli)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn on_the_real_engine_it_heals_rolls_out_and_leaves_nothing_behind() {
    let _alone = alone();
    let output = demo(&[]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("this demo runs on it for real"), "{text}");
    assert_eq!(text.matches("In sync: a second plan is empty.").count(), 3, "{text}");
    for part in [
        "server 172.30.77.16:8080; # quote-prod-0 on local",
        "memory: declared 64MiB, live 40MiB",
        "± replace container quote-prod-0",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    nothing_is_left();
}

fn containers() -> String {
    docker(&["ps", "-a", "--filter", "label=io.trueup.fleet=community", "--format", "{{.Names}}"])
}

fn nothing_is_left() {
    assert_eq!(containers(), "", "containers of the demo are left");
    let networks =
        docker(&["network", "ls", "--filter", "label=io.trueup.fleet=community", "--format", "{{.Name}}"]);
    assert_eq!(networks, "", "networks of the demo are left");
    assert!(!docker(&["images", "--format", "{{.Repository}}"]).contains("trueup-demo"));
}

/// Ctrl-C, and before that nobody reads any more what it says: neither is a reason to leave things behind.
#[test]
fn interrupted_and_unheard_it_still_cleans_up() {
    let _alone = alone();
    let dir = std::env::temp_dir().join(format!("trueup-demo-test-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_trueup"))
        .arg("demo")
        .env("TMPDIR", &dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary");
    let mut first = String::new();
    BufReader::new(demo.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    assert!(first.contains("this demo runs on it for real"), "{first}");
    drop(demo.stderr.take());
    let end = Instant::now() + Duration::from_secs(120);
    while containers().is_empty() {
        assert!(Instant::now() < end, "no container came about within two minutes");
        assert_eq!(demo.try_wait().expect("its state"), None, "it ended by itself");
    }
    let signal = Command::new("kill").args(["-INT", &demo.id().to_string()]).status().expect("kill");
    assert!(signal.success());
    assert_eq!(demo.wait().expect("its end").code(), Some(1), "an interrupted demo says so");
    nothing_is_left();
    let left: Vec<_> = std::fs::read_dir(&dir).expect("the directory").collect();
    assert!(left.is_empty(), "{left:?}");
    std::fs::remove_dir(&dir).expect("it is ours and empty");
}

/// What is kept stays as it is when somebody runs another demo, and goes away as it said.
#[test]
fn one_that_is_kept_is_left_alone_by_the_next_and_goes_as_it_said() {
    let _alone = alone();
    let kept = demo(&["--keep"]);
    let text = told(&kept);
    let remove =
        text.lines().find_map(|line| line.trim().strip_prefix("remove: ")).unwrap_or_default().to_owned();
    let dir = text.lines().find_map(|line| line.strip_prefix("Kept: ")).unwrap_or_default().to_owned();
    let key = std::fs::metadata(format!("{dir}/hash.key"))
        .map(|m| std::os::unix::fs::PermissionsExt::mode(&m.permissions()));
    let image = docker(&["images", "-q", "trueup-demo"]);
    let second = demo(&[]);
    let (image_then, containers_then) = (docker(&["images", "-q", "trueup-demo"]), containers());
    let removed = Command::new("sh").args(["-c", &remove]).output().expect("sh");

    assert_eq!(kept.status.code(), Some(0), "{text}");
    assert_eq!(key.map(|mode| mode & 0o777).ok(), Some(0o600), "the key of a kept demo (G1)");
    assert_eq!(second.status.code(), Some(1), "{}", told(&second));
    assert!(told(&second).contains("another demo runs there, or one was kept"), "{}", told(&second));
    assert!(
        !image.is_empty() && image == image_then && !containers_then.is_empty(),
        "the kept one was touched"
    );
    assert!(removed.status.success(), "{remove}: {}", told(&removed));
    nothing_is_left();
    assert!(!std::path::Path::new(&dir).exists(), "{dir}");
}

#[test]
fn without_an_engine_the_simulated_fleet_stands_in() {
    let output = demo(&["--simulated"]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("the simulated fleet stands in"), "{text}");
    assert_eq!(text.matches("In sync: a second plan is empty.").count(), 3, "{text}");
}
