//! A real sshd on loopback with keys of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Process, free_port, run, wait_for_port};

/// Host key `host`, and the keys `client` (let in) and `stranger` (not) lie in its directory.
pub struct Sshd {
    pub port: u16,
    pub dir: PathBuf,
    _process: Process,
}

impl Sshd {
    /// `more` are further lines of its configuration.
    pub fn start(dir: &Path, name: &str, more: &str) -> Self {
        let (dir, port) = (dir.join(name), free_port());
        std::fs::create_dir_all(&dir).expect("a directory");
        for key in ["host", "client", "stranger"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key], &dir);
        }
        std::fs::copy(dir.join("client.pub"), dir.join("authorized")).expect("a copy");
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\n{more}\n",
            dir.display()
        );
        std::fs::write(dir.join("sshd_config"), config).expect("a file");
        // sshd asks for its own absolute path, and for its privilege separation directory.
        std::fs::create_dir_all("/run/sshd").expect("/run/sshd (tests run as root)");
        let process = Command::new("/usr/sbin/sshd")
            .arg("-D")
            .arg("-E")
            .arg(dir.join("log"))
            .arg("-f")
            .arg(dir.join("sshd_config"))
            .stdin(Stdio::null())
            .spawn()
            .expect("sshd (Debian package openssh-server)");
        let process = Process(process);
        wait_for_port(port);
        let sshd = Self { port, dir, _process: process };
        sshd.knows("known", "host");
        sshd.knows("wrong", "stranger");
        std::fs::write(sshd.dir.join("empty"), "").expect("a file");
        sshd
    }

    /// Writes a file of known hosts that says this server has `key`.
    fn knows(&self, file: &str, key: &str) {
        let key = std::fs::read_to_string(self.dir.join(format!("{key}.pub"))).expect("a key");
        std::fs::write(self.dir.join(file), format!("[127.0.0.1]:{} {key}", self.port)).expect("a file");
    }

    /// Logins so far.
    pub fn logins(&self) -> usize {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("Accepted publickey")).count()
    }

    /// ssh clients of this server that run now.
    pub fn clients(&self) -> usize {
        let port = self.port.to_string();
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        let is_client = |path: PathBuf| {
            let words = std::fs::read(path.join("cmdline")).unwrap_or_default();
            let mut words = words.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            words.next().is_some_and(|word| word == "ssh") && words.any(|word| word == port)
        };
        processes.filter(|process| is_client(process.path())).count()
    }
}
