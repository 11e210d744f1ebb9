//! Config repositories and their servers, for the tests that read them.

#![allow(clippy::disallowed_methods, reason = "waiting for a real server to listen")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trueup::adapter::git::GitRepository;
use trueup::model::settings::{Credentials, Reference, RepositorySettings};
use trueup::model::units::TimeSpan;

use super::git;

/// A minute between polls: what a test sees sooner came by an event.
pub fn settings(url: &str) -> RepositorySettings {
    RepositorySettings {
        url: url.to_owned(),
        reference: Reference::Head,
        root: String::new(),
        poll: TimeSpan::from_secs(60),
        credentials: Credentials::default(),
    }
}

pub fn open(settings: &RepositorySettings, cache: &Path) -> GitRepository {
    GitRepository::open(settings, cache).expect("a repository")
}

/// The repository in this directory, read in place.
pub fn local(dir: &Path) -> GitRepository {
    open(&settings(&dir.display().to_string()), dir)
}

/// A repository with one commit.
pub fn repository(dir: &Path) {
    std::fs::create_dir_all(dir.join("sub/apps")).expect("directories");
    git(dir, &["init", "-q", "-b", "main"]);
    std::fs::write(dir.join("fleet.toml"), "fleet = \"f\"\n").expect("a file");
    std::fs::write(dir.join("sub/fleet.toml"), "fleet = \"sub\"\n").expect("a file");
    commit(dir, "first");
}

pub fn commit(dir: &Path, message: &str) -> String {
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-q", "--allow-empty", "-m", message]);
    git(dir, &["rev-parse", "HEAD"])
}

/// Ended with the test, however it ends.
pub struct Process(pub Child);

impl Process {
    /// By its name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        run("kill", &[&format!("-{name}"), &self.0.id().to_string()], Path::new("/"));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn run(program: &str, args: &[&str], dir: &Path) {
    let output = Command::new(program).args(args).current_dir(dir).output().expect(program);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A real sshd for this user, with the keys `client` (let in) and `stranger` (not) and the known hosts `known` and
/// `wrong` in its directory.
pub struct Sshd {
    at: PathBuf,
    port: u16,
    _process: Process,
}

impl Sshd {
    /// `more` is added to its configuration.
    pub fn start(at: &Path, more: &str) -> Self {
        std::fs::create_dir_all(at).expect("a directory");
        for key in ["host", "client", "stranger"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key], at);
        }
        std::fs::copy(at.join("client.pub"), at.join("authorized")).expect("a copy");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\n{more}\n",
            at.display()
        );
        std::fs::write(at.join("sshd_config"), config).expect("a file");
        // sshd asks for its own absolute path, and for its privilege separation directory.
        std::fs::create_dir_all("/run/sshd").expect("/run/sshd (tests run as root)");
        let process = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(at.join("sshd_config"))
            .stderr(Stdio::null())
            .spawn()
            .expect("sshd (Debian package openssh-server)");
        let process = Process(process);
        let end = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "nobody listens on port {port}");
            std::thread::sleep(Duration::from_millis(50));
        }
        for (known, key) in [("known", "host.pub"), ("wrong", "stranger.pub")] {
            let key = std::fs::read_to_string(at.join(key)).expect("a key");
            std::fs::write(at.join(known), format!("[127.0.0.1]:{port} {key}")).expect("a file");
        }
        Self { at: at.to_owned(), port, _process: process }
    }

    /// The repository in `path`, read with these known hosts and this key of the directory.
    pub fn serving(&self, path: &Path, known: &str, key: &str) -> RepositorySettings {
        let mut settings = settings(&format!("ssh://127.0.0.1:{}{}", self.port, path.display()));
        settings.credentials.ssh_key = Some(self.at.join(key));
        settings.credentials.ssh_known_hosts = Some(self.at.join(known));
        settings
    }
}
