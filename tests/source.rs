//! Reading the config repository for real: local and bare, over a real sshd, over a real https server; and what is
//! refused on the way.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod stage;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stage::git;
use trueup::adapter::git::GitRepository;
use trueup::model::settings::{Credentials, Reference, RepositorySettings};
use trueup::model::units::TimeSpan;
use trueup::ports::{Repository as _, SourceError};

fn settings(url: &str) -> RepositorySettings {
    RepositorySettings {
        url: url.to_owned(),
        reference: Reference::Head,
        root: String::new(),
        poll: TimeSpan::from_secs(60),
        credentials: Credentials::default(),
    }
}

fn open(settings: &RepositorySettings, cache: &Path) -> GitRepository {
    GitRepository::open(settings, cache).expect("a repository")
}

/// A repository with one commit.
fn repository(dir: &Path) {
    std::fs::create_dir_all(dir.join("sub/apps")).expect("directories");
    git(dir, &["init", "-q", "-b", "main"]);
    std::fs::write(dir.join("fleet.toml"), "fleet = \"f\"\n").expect("a file");
    std::fs::write(dir.join("sub/fleet.toml"), "fleet = \"sub\"\n").expect("a file");
    commit(dir, "first");
}

fn commit(dir: &Path, message: &str) -> String {
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-q", "--allow-empty", "-m", message]);
    git(dir, &["rev-parse", "HEAD"])
}

/// Ended with the test, however it ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

fn run(program: &str, args: &[&str], dir: &Path) {
    let output = Command::new(program).args(args).current_dir(dir).output().expect(program);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

fn wait_for(port: u16) {
    let end = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "nobody listens on port {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test]
async fn local_and_bare_repositories_branches_tags_and_a_subdirectory() {
    let dir = tempfile::tempdir().expect("a directory");
    let work = dir.path().join("work");
    repository(&work);
    let first = git(&work, &["rev-parse", "HEAD"]);
    git(&work, &["tag", "-a", "v1", "-m", "one"]);
    git(&work, &["checkout", "-q", "-b", "side"]);
    std::fs::write(work.join("hosts.txt"), "x").expect("a file");
    let second = commit(&work, "second");
    git(dir.path(), &["clone", "-q", "--bare", "work", "bare.git"]);
    for path in ["work", "bare.git"] {
        let mut wanted = settings(&dir.path().join(path).display().to_string());
        let repo = open(&wanted, dir.path());
        assert_eq!(repo.head().await.expect("head").as_str(), second);
        let by = async |reference| repo.resolve(&reference).await.map(|r| r.to_string());
        assert_eq!(by(Reference::Branch("main".into())).await.expect("a branch"), first);
        assert_eq!(by(Reference::Tag("v1".into())).await.expect("a tag"), first);
        assert_eq!(by(Reference::Commit(first[..9].into())).await.expect("a commit"), first);
        assert!(matches!(
            by(Reference::Branch("none".into())).await,
            Err(SourceError::NoSuchRevision { .. })
        ));
        wanted.root = "sub".into();
        let head = repo.head().await.expect("head");
        let tree = open(&wanted, dir.path()).tree(&head).await.expect("a tree");
        assert_eq!(tree.blobs.keys().collect::<Vec<_>>(), ["fleet.toml"]);
        wanted.root = "nowhere".into();
        let missing = open(&wanted, dir.path()).tree(&head).await;
        assert!(
            matches!(missing, Err(SourceError::Unreadable { .. })),
            "a missing root is never an empty fleet"
        );
    }
}

#[tokio::test]
async fn links_submodules_and_giants_are_refused_and_never_followed() {
    let dir = tempfile::tempdir().expect("a directory");
    repository(dir.path());
    let apps = dir.path().join("apps/a");
    std::fs::create_dir_all(&apps).expect("a directory");
    std::os::unix::fs::symlink("/etc/passwd", apps.join("link")).expect("a link");
    let giant = std::fs::File::create(apps.join("giant")).expect("a file");
    giant.set_len(100 << 20).expect("100 MiB");
    std::fs::write(apps.join("tab\there"), "x").expect("a file");
    git(dir.path(), &["-c", "core.bigFileThreshold=1m", "add", "-A"]);
    let head = git(dir.path(), &["rev-parse", "HEAD"]);
    git(dir.path(), &["update-index", "--add", "--cacheinfo", &format!("160000,{head},apps/a/module")]);
    git(dir.path(), &["commit", "-q", "-m", "strange things"]);
    let repo = open(&settings(&dir.path().display().to_string()), dir.path());
    let tree = repo.tree(&repo.head().await.expect("head")).await.expect("a tree");
    for (path, why) in
        [("link", "symbolic link"), ("giant", "too many"), ("tab\there", "control"), ("module", "submodule")]
    {
        let told = tree.refused.get(&format!("apps/a/{path}"));
        assert!(told.is_some_and(|t| t.contains(why)), "{path}: {told:?}");
    }
    assert!(!tree.blobs.keys().any(|path| path.starts_with("apps/a/")));
}

#[tokio::test]
async fn a_force_push_does_not_descend_and_a_broken_object_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    repository(dir.path());
    let repo = open(&settings(&dir.path().display().to_string()), dir.path());
    let old = repo.head().await.expect("head");
    commit(dir.path(), "second");
    let new = repo.head().await.expect("head");
    assert!(repo.descends(&new, &old).await.expect("an answer"));
    git(dir.path(), &["checkout", "-q", "--orphan", "other"]);
    commit(dir.path(), "unrelated");
    let forced = repo.head().await.expect("head");
    assert!(!repo.descends(&forced, &new).await.expect("an answer"));

    let blob = git(dir.path(), &["rev-parse", "HEAD:fleet.toml"]);
    let object = dir.path().join(".git/objects").join(&blob[..2]).join(&blob[2..]);
    run("chmod", &["u+w", &object.display().to_string()], dir.path());
    std::fs::write(&object, "garbage").expect("damage");
    let fresh = open(&settings(&dir.path().display().to_string()), dir.path());
    assert!(matches!(fresh.tree(&forced).await, Err(SourceError::Unreadable { .. })));
}

#[tokio::test]
async fn a_commit_wakes_within_a_second() {
    let dir = tempfile::tempdir().expect("a directory");
    repository(dir.path());
    let repo = open(&settings(&dir.path().display().to_string()), dir.path());
    let path = dir.path().to_owned();
    let committing = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(300));
        commit(&path, "wake up");
    });
    let woken = tokio::time::timeout(Duration::from_millis(1800), repo.changed()).await;
    committing.await.expect("a commit");
    assert!(woken.is_ok(), "the poll interval is a minute, so only the file event can have woken");
}

#[tokio::test]
async fn over_a_real_sshd_with_strict_host_keys() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path();
    repository(&at.join("work"));
    for key in ["host", "client", "stranger"] {
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key], at);
    }
    std::fs::copy(at.join("client.pub"), at.join("authorized")).expect("a copy");
    let port = free_port();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\nStrictModes no\n\
         UsePAM no\nPasswordAuthentication no\nPidFile none\n",
        at.display()
    );
    std::fs::write(at.join("sshd_config"), config).expect("a file");
    // sshd asks for its own absolute path, and for its privilege separation directory.
    std::fs::create_dir_all("/run/sshd").expect("/run/sshd (tests run as root)");
    let sshd = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(at.join("sshd_config"))
        .stderr(Stdio::null())
        .spawn()
        .expect("sshd (Debian package openssh-server)");
    let _sshd = Process(sshd);
    wait_for(port);
    let host_key = std::fs::read_to_string(at.join("host.pub")).expect("a key");
    std::fs::write(at.join("known"), format!("[127.0.0.1]:{port} {host_key}")).expect("a file");
    let stranger = std::fs::read_to_string(at.join("stranger.pub")).expect("a key");
    std::fs::write(at.join("wrong"), format!("[127.0.0.1]:{port} {stranger}")).expect("a file");

    let url = format!("ssh://127.0.0.1:{port}{}/work", at.display());
    let with = |known: &str, key: &str| {
        let mut settings = settings(&url);
        settings.credentials.ssh_key = Some(at.join(key));
        settings.credentials.ssh_known_hosts = Some(at.join(known));
        settings
    };
    let repo = open(&with("known", "client"), &at.join("cache"));
    let head = repo.head().await.expect("a head over ssh");
    assert!(repo.tree(&head).await.expect("a tree").blobs.contains_key("fleet.toml"));
    let second = commit(&at.join("work"), "second");
    assert_eq!(repo.head().await.expect("a head").as_str(), second);
    let branch = {
        std::fs::write(at.join("work/fleet.toml"), "fleet = \"other\"\n").expect("a file");
        commit(&at.join("work"), "third");
        repo.head().await.expect("a head");
        repo.revert_on_branch("", &head, "trueup/back", "back").await.expect("a pushed branch")
    };
    assert_eq!(git(&at.join("work"), &["rev-parse", "trueup/back"]), branch.as_str());

    for (known, key, why) in [("wrong", "client", "Host key"), ("known", "stranger", "denied")] {
        let refused = open(&with(known, key), &at.join("cache-2")).head().await;
        match refused {
            Err(SourceError::Unreachable { detail, .. }) => assert!(detail.contains(why), "{detail}"),
            other => panic!("{known} {key}: {other:?}"),
        }
    }
}

/// git's own HTTP backend behind TLS and a password, in the standard library's server.
const SERVER: &str = r#"
import base64, http.server, os, ssl, subprocess, sys
root, cert, key = sys.argv[1:4]
class Handler(http.server.BaseHTTPRequestHandler):
    def handle_git(self):
        wanted = "Basic " + base64.b64encode(b"reader:s3cret").decode()
        if self.headers.get("Authorization") != wanted:
            self.send_response(401); self.send_header("Content-Length", "0"); self.end_headers(); return
        path, _, query = self.path.partition("?")
        if path.startswith("/hung"):
            import time; time.sleep(600)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = dict(os.environ, GIT_PROJECT_ROOT=root, GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path, QUERY_STRING=query,
                   REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers.get("Content-Type") or "",
                   REMOTE_USER="reader", CONTENT_LENGTH=str(len(body)))
        out = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE).stdout
        head, _, content = out.partition(b"\r\n\r\n")
        lines = [l.split(": ", 1) for l in head.decode().split("\r\n") if ": " in l]
        status = next((int(v.split()[0]) for k, v in lines if k == "Status"), 200)
        self.send_response(status)
        for k, v in lines:
            if k != "Status": self.send_header(k, v)
        self.send_header("Content-Length", str(len(content))); self.end_headers(); self.wfile.write(content)
    do_GET = do_POST = handle_git
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(cert, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// An authority, and a server's certificate signed by it.
fn certificates(dir: &Path, authority: &str, server: &str) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let (ca_key, ca) = (format!("{authority}.key"), format!("{authority}.pem"));
    let root = ["req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", &ca_key, "-out", &ca];
    run("openssl", &[&root[..], &key[..]].concat(), dir);
    let (server_key, request, signed) =
        (format!("{server}.key"), format!("{server}.csr"), format!("{server}.pem"));
    let asked = ["req", "-new", "-subj", "/CN=127.0.0.1", "-keyout", &server_key, "-out", &request];
    run("openssl", &[&asked[..], &key[..]].concat(), dir);
    std::fs::write(dir.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        .expect("a file");
    let sign = [
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "names",
        "-out",
        &signed,
    ];
    run("openssl", &sign, dir);
}

#[tokio::test]
async fn over_a_real_https_server_with_its_own_authority_and_a_password() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path();
    repository(&at.join("work"));
    git(at, &["clone", "-q", "--bare", "work", "fleet.git"]);
    certificates(at, "authority", "server");
    certificates(at, "stranger", "unused");
    std::fs::write(at.join("server.py"), SERVER).expect("a file");
    let mut server = Command::new("python3")
        .args(["server.py", &at.display().to_string(), "server.pem", "server.key"])
        .current_dir(at)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut port = String::new();
    BufReader::new(server.stdout.take().expect("output")).read_line(&mut port).expect("a port");
    let _server = Process(server);
    for (name, text) in [("password", "s3cret\n"), ("mistaken", "guess\n")] {
        let mut file = std::fs::File::create(at.join(name)).expect("a file");
        file.write_all(text.as_bytes()).expect("a password");
    }
    let with = |ca: &str, password: &str| {
        let mut settings = settings(&format!("https://127.0.0.1:{}/fleet.git", port.trim()));
        settings.credentials.https_ca = Some(at.join(ca));
        settings.credentials.https_user = Some("reader".into());
        settings.credentials.https_password_file = Some(at.join(password));
        settings
    };
    let repo = open(&with("authority.pem", "password"), &at.join("cache"));
    let head = repo.head().await.expect("a head over https");
    assert_eq!(head.as_str(), git(&at.join("work"), &["rev-parse", "HEAD"]));
    assert!(repo.tree(&head).await.expect("a tree").blobs.contains_key("fleet.toml"));

    for (ca, password) in [("authority.pem", "mistaken"), ("stranger.pem", "password")] {
        let refused = open(&with(ca, password), &at.join("cache-2")).head().await;
        let Err(error @ SourceError::Unreachable { .. }) = refused else {
            panic!("{ca} {password}: {refused:?}")
        };
        let told = error.to_string();
        assert!(!told.contains("guess") && !told.contains("s3cret"), "no credential in an error: {told}");
    }
    assert!(
        GitRepository::open(&settings("http://example.invalid/x.git"), at).is_err(),
        "plain http is refused"
    );
}
