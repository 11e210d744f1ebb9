//! Image registries on loopback, which engines ask without TLS: Debian's real one, and one that only refuses.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Process, free_port, run, wait_for_port};
use crate::stage::docker_ok;

/// Debian's `docker-registry`, with its data in a directory of its own.
pub struct Registry {
    pub port: u16,
    log: PathBuf,
    _process: Process,
}

impl Registry {
    /// With `login` only that user and password are let in.
    pub fn start(dir: &Path, name: &str, login: Option<(&str, &str)>) -> Self {
        let (at, port) = (dir.join(name), free_port());
        std::fs::create_dir_all(&at).expect("a directory");
        let auth = match login {
            Some((user, password)) => {
                let line = run("htpasswd", &["-Bbn", user, password], &at);
                std::fs::write(at.join("htpasswd"), format!("{line}\n")).expect("a file");
                format!("auth:\n  htpasswd:\n    realm: test\n    path: {}/htpasswd\n", at.display())
            }
            None => String::new(),
        };
        let config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}/data\n\
             http:\n  addr: 127.0.0.1:{port}\n{auth}",
            at.display()
        );
        std::fs::write(at.join("config.yml"), config).expect("a file");
        let log = at.join("log");
        let file = std::fs::File::create(&log).expect("a file");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(at.join("config.yml"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file)
            .spawn()
            .expect("docker-registry (Debian package docker-registry)");
        let process = Process(process);
        wait_for_port(port);
        Self { port, log, _process: process }
    }

    /// `repository` in this registry.
    pub fn image(&self, repository: &str) -> String {
        format!("127.0.0.1:{}/{repository}", self.port)
    }

    /// Pushes the local image `from` as `to`, whose digest it returns, and forgets it locally.
    pub fn push(&self, from: &str, to: &str, docker_config: &Path) -> String {
        let config = docker_config.display().to_string();
        docker_ok(&["tag", from, to]);
        docker_ok(&["--config", &config, "push", to]);
        let digest = docker_ok(&["inspect", "-f", "{{index .RepoDigests 0}}", to]);
        docker_ok(&["rmi", to]);
        digest.rsplit('@').next().expect("a digest").to_owned()
    }

    /// How often a manifest was asked for, by tag or digest.
    pub fn asked(&self, repository: &str, reference: &str) -> usize {
        let log = std::fs::read_to_string(&self.log).expect("the log");
        let wanted = format!("/v2/{repository}/manifests/{reference} ");
        log.lines().filter(|line| line.contains(&wanted)).count()
    }
}

/// How a registry refuses.
#[derive(Debug, Clone, Copy)]
pub enum Refusal {
    Status(u16, &'static str),
    Hang,
}

/// Answers `GET /v2/` as a registry does, and everything else as `Refusal` says.
pub struct BadRegistry {
    pub port: u16,
    over: Arc<AtomicBool>,
}

impl BadRegistry {
    pub fn start(refusal: Refusal) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                match refusal {
                    Refusal::Hang => hanging.push(stream),
                    Refusal::Status(status, body) => {
                        std::thread::spawn(move || refuse(stream, status, body));
                    }
                }
            }
        });
        Self { port, over }
    }
}

impl Drop for BadRegistry {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn refuse(mut stream: TcpStream, status: u16, body: &str) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    // An engine tries TLS before; that is no line.
    reader.read_line(&mut first).ok()?;
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let (status, body) = if first.contains(" /v2/ ") { (200, "{}") } else { (status, body) };
    write!(
        stream,
        "HTTP/1.1 {status} Said\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .ok()
}
