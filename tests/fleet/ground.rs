//! trueup on a test fleet: a config repository, its own settings, and the real binary.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use trueup::config::own;
use trueup::model::settings::Settings;

use super::Fleet;
use crate::stage;

/// Every half minute.
const RELIST: &str = "relist = \"30s\"";

/// Where everything but the fleet itself lies; it goes with the fleet.
pub struct Ground<'a> {
    pub fleet: &'a Fleet,
    /// trueup itself.
    pub binary: PathBuf,
}

impl<'a> Ground<'a> {
    /// The one that was made on this fleet before.
    pub fn there(fleet: &'a Fleet) -> Self {
        Self { fleet, binary: env!("CARGO_BIN_EXE_trueup").into() }
    }

    /// Little patience with a host that does not answer; a look without a reason every half minute.
    pub fn new(fleet: &'a Fleet) -> Self {
        let ground = Self::there(fleet);
        std::fs::create_dir_all(ground.repo()).expect("a directory");
        stage::git(&ground.repo(), &["init", "-q", "-b", "main"]);
        let tls = &fleet.state.tls;
        let settings = format!(
            "installation = \"fleet-{}\"\nkey_file = \"hash.key\"\nstate_dir = \"state\"\n\
             [repository]\nurl = {:?}\n[engines]\ncall_deadline = \"4s\"\n\
             [engines.tls.default]\nca = {:?}\ncert = {:?}\nkey = {:?}\n\
             [nginx]\ndirectory = \"nginx\"\n[flume]\ndirectory = \"flume\"\n[limits]\n{RELIST}\n",
            fleet.state.id,
            ground.repo(),
            tls.ca,
            tls.cert,
            tls.key
        );
        std::fs::write(ground.at("trueup.toml"), settings).expect("the settings");
        std::fs::write(ground.at("hash.key"), "42".repeat(32)).expect("a key");
        ground
    }

    /// What `trueup.toml` says.
    pub fn settings(&self) -> Settings {
        let file = self.at("trueup.toml");
        let text = std::fs::read_to_string(&file).expect("the settings");
        let read = |path: &Path| std::fs::read(path);
        own::parse(&text, &file.display().to_string(), self.fleet.dir(), &read).expect("good settings")
    }

    /// A further section for `trueup.toml`.
    pub fn add_settings(&self, section: &str) {
        let file = self.at("trueup.toml");
        let text = std::fs::read_to_string(&file).expect("the settings");
        std::fs::write(file, text + section).expect("the settings");
    }

    /// How long trueup waits for an engine's answer.
    pub fn be_patient(&self, long: &str) {
        let file = self.at("trueup.toml");
        let text = std::fs::read_to_string(&file).expect("the settings");
        let patient = text.replace("call_deadline = \"4s\"", &format!("call_deadline = \"{long}\""));
        assert_ne!(patient, text);
        std::fs::write(file, patient).expect("the settings");
    }

    /// How often trueup looks without a reason.
    pub fn relist(&self, every: &str) {
        let file = self.at("trueup.toml");
        let text = std::fs::read_to_string(&file).expect("the settings");
        std::fs::write(file, text.replace(RELIST, &format!("relist = \"{every}\""))).expect("the settings");
    }

    fn at(&self, name: &str) -> PathBuf {
        self.fleet.dir().join(name)
    }

    pub fn repo(&self) -> PathBuf {
        self.at("repo")
    }

    pub fn commit(&self, files: &BTreeMap<String, String>) {
        for (path, text) in files {
            let file = self.repo().join(path);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            std::fs::write(file, text).expect("a file");
        }
        stage::git(&self.repo(), &["add", "-A"]);
        stage::git(&self.repo(), &["commit", "-q", "-m", "a change"]);
    }

    /// The fleet's hosts as the repository declares them, each in a zone of its own, with so much memory to give.
    pub fn inventory(&self, memory: &str) -> String {
        let mut text = String::new();
        for ((name, host), zone) in self.fleet.state.hosts.iter().zip('a'..) {
            let _ = write!(
                text,
                "[host.{name}]\naddress = {:?}\nengine = {:?}\nenvironments = [\"test\", \"prod\"]\n\
                 labels = {{ zone = \"{zone}\", role = \"app\" }}\ncapacity = {{ memory = \"{memory}\" }}\n",
                host.address, host.engine
            );
        }
        text
    }

    /// The image of the example's apps, made from the real binary on this host's engine.
    pub fn make_demo_image(&self, host: &str) {
        let socket = format!("unix://{}", self.fleet.state.hosts[host].socket.display());
        let mut command = Command::new(&self.binary);
        let made = command.args(["image", "--tag", "trueup-demo:1"]).env("DOCKER_HOST", socket).output();
        let made = made.expect("the binary");
        assert!(made.status.success(), "{}", told(&made));
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args).arg("--config").arg(self.at("trueup.toml")).stdin(Stdio::null());
        command
    }

    /// Its exit code, and its output as JSON.
    pub fn trueup(&self, args: &[&str]) -> (i32, Value) {
        let output = self.command(args).args(["--format", "json"]).output().expect("the binary");
        let code = output.status.code().expect("a code");
        let value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", told(&output)));
        (code, value)
    }

    /// A command that prints no JSON: it must succeed.
    pub fn told(&self, args: &[&str]) -> String {
        let output = self.command(args).output().expect("the binary");
        assert!(output.status.success(), "{args:?}: {}", told(&output));
        told(&output)
    }

    /// Applies and insists that it converged and that a second plan is empty (A4).
    pub fn apply_in_full(&self) {
        let (code, done) = self.trueup(&["apply", "--yes"]);
        assert_eq!(code, 0, "{done:#}");
        let (code, plan) = self.trueup(&["plan"]);
        assert_eq!(code, 0, "a second plan is not empty: {plan:#}");
    }

    /// Begun, and ended by its guard at the latest: as `kill -9` does.
    pub fn begin(&self, args: &[&str]) -> Running {
        let file = |name| std::fs::File::create(self.at(name)).expect("a file");
        let child = self.command(args).stderr(file("begun.log")).stdout(file("begun.out")).spawn();
        Running { child: child.expect("the binary"), log: self.at("begun.log") }
    }

    /// `trueup run`, with what it says in the file `run.log`.
    pub fn run(&self) -> Running {
        let log = std::fs::File::create(self.at("run.log")).expect("a file");
        let child = self.command(&["run", "-v"]).stderr(log).stdout(Stdio::null()).spawn();
        Running { child: child.expect("the binary"), log: self.at("run.log") }
    }
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Ended with the test, however it ends.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the process").is_some()
    }

    /// Waits for its own end: the exit code.
    pub fn end(mut self) -> Option<i32> {
        self.child.wait().expect("the process").code()
    }

    /// Waits for its own end: the exit code, and its output as JSON.
    pub fn told(mut self) -> (Option<i32>, Value) {
        let code = self.child.wait().expect("the process").code();
        let text = std::fs::read_to_string(self.log.with_extension("out")).expect("its output");
        (code, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{}", self.log())))
    }

    /// Of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("trueup run said:\n{}", self.log());
        }
    }
}
