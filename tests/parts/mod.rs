//! Parts that tests put around trueup: the binary with its own settings, and servers beside it, ended with the test.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "each test file uses some of the parts, and tests may fail loudly and wait"
)]

pub mod bad_engine;
pub mod certificates;
pub mod dockerd;
pub mod forge;
pub mod registry;
pub mod sshd;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::stage::Stage;

/// Killed and waited for when the test ends, however it ends.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of loopback that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

/// Runs a program that must succeed.
pub fn run(program: &str, args: &[&str], dir: &Path) -> String {
    let output = Command::new(program).args(args).current_dir(dir).output().expect(program);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {told}", args.join(" "));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Waits until something holds; the deadline is for machines that are busy with other tests.
pub fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn wait_for_port(port: u16) {
    soon(&format!("somebody listens on port {port}"), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
}

/// What the binary said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Everything, with the line breaks of hanging text taken out, so that sentences can be looked for.
    pub fn words(&self) -> String {
        format!("{} {}", self.out, self.err).split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// The binary, on the stage's repository and with settings of its own.
pub struct Trueup<'a> {
    stage: &'a Stage,
    env: Vec<(String, String)>,
}

impl<'a> Trueup<'a> {
    /// `engines` are the lines of the settings' section `[engines]`.
    pub fn new(stage: &'a Stage, engines: &str) -> Self {
        let trueup = Self { stage, env: Vec::new() };
        std::fs::write(stage.dir.path().join("hash.key"), "42".repeat(32)).expect("a key");
        trueup.set(engines);
        trueup
    }

    /// Writes the settings anew.
    pub fn set(&self, engines: &str) {
        let settings = format!(
            "installation = \"{}\"\nkey_file = \"hash.key\"\nstate_dir = \"cli-state\"\n\
             [repository]\nurl = \"{}\"\n[engines]\n{engines}\n",
            self.stage.installation,
            self.stage.repo().display()
        );
        std::fs::write(self.stage.dir.path().join("trueup.toml"), settings).expect("settings");
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
        command
            .args(args)
            .arg("--config")
            .arg(self.stage.dir.path().join("trueup.toml"))
            .stdin(Stdio::null())
            .env("NO_COLOR", "1")
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        Said::of(&self.command(args).output().expect("the binary"))
    }

    pub fn apply(&self) -> Said {
        self.run(&["apply", "--yes"])
    }

    /// The plan's JSON.
    pub fn plan(&self) -> serde_json::Value {
        let said = self.run(&["plan", "--format", "json"]);
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"))
    }
}
