//! The demo as a newcomer runs it: for real on this machine's engine, and on the simulated fleet.

#![allow(clippy::expect_used, clippy::panic)]

use std::process::{Command, Output, Stdio};

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
    let left = docker(&["ps", "-a", "--filter", "label=io.trueup.fleet=community", "--format", "{{.Names}}"]);
    assert_eq!(left, "", "containers of the demo are left");
    assert!(!docker(&["images", "--format", "{{.Repository}}"]).contains("trueup-demo"));
}

#[test]
fn without_an_engine_the_simulated_fleet_stands_in() {
    let output = demo(&["--simulated"]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("the simulated fleet stands in"), "{text}");
    assert_eq!(text.matches("In sync: a second plan is empty.").count(), 3, "{text}");
}
