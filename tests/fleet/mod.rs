//! The test fleet as a guard: `tests/fleet/fleet` brings it up, and takes it away when the guard is dropped.
//!
//! Whatever kills the test process leaves a directory that `fleet down` cleans.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    reason = "each test file uses a part of the fleet, and tests may fail loudly"
)]

pub mod ground;
pub mod services;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;

/// Real engines, one per network namespace, and a registry.
pub struct Fleet {
    dir: tempfile::TempDir,
    pub state: State,
}

/// What the fleet's directory says, as plain data.
#[derive(Debug, Deserialize)]
pub struct State {
    /// Part of the name of everything outside of the directory.
    pub id: String,
    /// A /24; host N has its address N, and what tests declare may have the addresses from 100 on.
    pub subnet: String,
    pub hosts: BTreeMap<String, Host>,
    /// `address:port`, plain http; also a mirror for images without a registry's name.
    pub registry: String,
    pub tls: Tls,
}

#[derive(Debug, Deserialize)]
pub struct Host {
    pub address: String,
    /// `tcp://…:2376`, for trueup.
    pub engine: String,
    /// For the hand of by-hand changes: answers also where the cable is cut.
    pub socket: PathBuf,
}

/// PEM files of a client that the engines let in.
#[derive(Debug, Deserialize)]
pub struct Tls {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Fleet {
    /// `managers` of the hosts `h1`, `h2`, … form a Swarm with the others as workers; 0: no Swarm.
    pub fn up(hosts: usize, managers: usize) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (count, managing) = (hosts.to_string(), managers.to_string());
        let mut args = vec!["up", "--hosts", &count];
        if managers > 0 {
            args.extend(["--swarm", "--managers", &managing]);
        }
        must(command(dir.path(), &args));
        let text = std::fs::read_to_string(dir.path().join("fleet.json")).expect("the fleet's state");
        let state = serde_json::from_str(&text).expect("the fleet's state");
        Self { dir, state }
    }

    /// For more that belongs to the fleet and goes with it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The address with this last number on the network of the hosts.
    pub fn address(&self, number: u8) -> String {
        let (network, _) = self.state.subnet.rsplit_once('.').expect("a subnet");
        format!("{network}.{number}")
    }

    pub fn kill(&self, host: &str) {
        must(command(self.dir(), &["kill", host]));
    }

    /// Ends the engine as an upgrade does.
    pub fn stop(&self, host: &str) {
        must(command(self.dir(), &["stop", host]));
    }

    pub fn start(&self, host: &str) {
        must(command(self.dir(), &["start", host]));
    }

    pub fn freeze(&self, host: &str) {
        must(command(self.dir(), &["freeze", host]));
    }

    pub fn thaw(&self, host: &str) {
        must(command(self.dir(), &["thaw", host]));
    }

    pub fn cut(&self, host: &str) {
        must(command(self.dir(), &["cut", host]));
    }

    /// `way` is `in` or `out`, as the host sees it.
    pub fn cut_one_way(&self, host: &str, way: &str) {
        must(command(self.dir(), &["cut", host, "--one-way", way]));
    }

    pub fn heal(&self, host: &str) {
        must(command(self.dir(), &["heal", host]));
    }

    pub fn status(&self) -> String {
        must(command(self.dir(), &["status"]))
    }

    /// A root file system into the registry; every engine can pull it as `image`.
    pub fn push(&self, image: &str, tar: &Path) {
        must(command(self.dir(), &["push", image, "--tar", &tar.display().to_string()]));
    }

    /// The hand on a host's own engine.
    pub fn docker(&self, host: &str, args: &[&str]) -> Output {
        let socket = format!("unix://{}", self.state.hosts[host].socket.display());
        Command::new("docker").args(["--host", &socket]).args(args).output().expect("the docker command")
    }

    /// As [`Self::docker`], and it must succeed.
    pub fn docker_ok(&self, host: &str, args: &[&str]) -> String {
        must(self.docker(host, args))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let down = command(self.dir(), &["down"]);
        if !down.status.success() && !std::thread::panicking() {
            panic!("the fleet could not be taken away: {}", String::from_utf8_lossy(&down.stderr));
        }
    }
}

/// The contributors' own command.
pub fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fleet/fleet")
}

/// Runs it for the fleet in `dir`.
pub fn command(dir: &Path, args: &[&str]) -> Output {
    Command::new(program()).arg("--dir").arg(dir).args(args).output().expect("tests/fleet/fleet (python3)")
}

fn must(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
