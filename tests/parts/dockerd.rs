//! A second Docker engine, apart from the machine's own: it is ended, and what it mounted is unmounted, with the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Process, free_port, soon};
use crate::stage::docker;

/// Opens a port and becomes another program, which finds it as its file 3.
const HAND_OVER: &str = "
import os, socket, sys
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execvp(sys.argv[2], sys.argv[2:])
";

/// Sees other plugins than the rest of the machine does, and becomes the engine.
const OWN_PLUGINS: &str = "mount --bind \"$0\" /run/docker/plugins && exec dockerd \"$@\"";

/// An engine without networks of its own, on a unix socket and, with TLS, on a port of loopback.
pub struct Dockerd {
    pub port: u16,
    dir: PathBuf,
    process: Process,
}

impl Dockerd {
    /// `dir` holds the authority's `ca`, and the server's `server.pem` and `server.key`.
    ///
    /// It lives in a network namespace of its own: an engine told to have no bridge takes the other engine's away. The
    /// port it serves is opened before, on this side, and handed over as systemd would.
    pub fn start(dir: &Path, ca: &Path) -> Self {
        Self::with_plugins(dir, ca, &dir.join("no-plugins"))
    }

    /// As [`Self::start`]; the engine, and no other one of this machine, finds the plugins' sockets in `plugins`: an
    /// engine that ever saw a plugin asks for it until it ends.
    pub fn with_plugins(dir: &Path, ca: &Path, plugins: &Path) -> Self {
        let port = free_port();
        for directory in [plugins, Path::new("/run/docker/plugins")] {
            std::fs::create_dir_all(directory).expect("a directory");
        }
        let at = dir.join("engine");
        std::fs::create_dir_all(&at).expect("a directory");
        std::fs::write(at.join("daemon.json"), "{}").expect("a file");
        let log = std::fs::File::create(at.join("log")).expect("a file");
        let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let process = Command::new("python3")
            .args([
                "-c",
                HAND_OVER,
                &port.to_string(),
                "unshare",
                "--net",
                "--mount",
                "sh",
                "-c",
                OWN_PLUGINS,
            ])
            .arg(plugins)
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs"])
            .arg(flag("config-file", &at.join("daemon.json")))
            .arg(flag("data-root", &at.join("data")))
            .arg(flag("exec-root", &at.join("exec")))
            .arg(flag("pidfile", &at.join("pid")))
            .arg(format!("--host=unix://{}", at.join("socket").display()))
            .args(["--host=fd://", "--tlsverify"])
            .arg(flag("tlscacert", ca))
            .arg(flag("tlscert", &dir.join("server.pem")))
            .arg(flag("tlskey", &dir.join("server.key")))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("python3");
        let dockerd = Self { port, dir: at, process: Process(process) };
        soon("the second engine answers", || dockerd.docker(&["version"]).0);
        dockerd
    }

    /// For `DOCKER_HOST`.
    pub fn address(&self) -> String {
        format!("unix://{}", self.dir.join("socket").display())
    }

    /// The docker command on this engine: whether it succeeded, and what it printed.
    pub fn docker(&self, args: &[&str]) -> (bool, String) {
        let address = self.address();
        let output = docker(&[&["--host", address.as_str()], args].concat());
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Copies an image of the machine's own engine here.
    pub fn load(&self, image: &str) {
        let file = self.dir.join("image.tar").display().to_string();
        crate::stage::docker_ok(&["save", "-o", &file, image]);
        assert!(self.docker(&["load", "-i", &file]).0, "loading {image}");
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let running = self.docker(&["ps", "-aq"]).1;
        for id in running.split_whitespace() {
            self.docker(&["rm", "-f", id]);
        }
        let _ = Command::new("kill").args(["-TERM", &self.process.0.id().to_string()]).status();
        let end = Instant::now() + Duration::from_secs(20);
        while self.process.0.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
        // What it started names its directory; after a kill it lives on.
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let pid = process.file_name();
            if String::from_utf8_lossy(&words).contains(&self.dir.display().to_string()) {
                let _ = Command::new("kill").arg("-KILL").arg(pid).status();
            }
        }
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let under = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let mut under: Vec<&str> = under.filter(|path| Path::new(path).starts_with(&self.dir)).collect();
        under.sort_by_key(|path| std::cmp::Reverse(path.len()));
        for path in under {
            let _ = Command::new("umount").args(["-l", path]).status();
        }
    }
}
