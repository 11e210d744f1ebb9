//! The config repository when things are wrong with it: damaged objects, servers that refuse or never answer.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod stage;

use std::future::Future;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stage::git;
use stage::source::{Sshd, commit, local, open, repository, settings};
use trueup::adapter::git::GitRepository;
use trueup::control::revision::Reader;
use trueup::ports::{Repository as _, SourceError};

/// Long for any machine, short for a test that hangs.
const LONG: Duration = Duration::from_secs(60);

/// Fails where `work` does not end, although libgit2 may sit on a thread that no runtime can end.
fn ending<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let result = runtime.block_on(async { tokio::time::timeout(LONG, work).await });
    runtime.shutdown_background();
    result.expect("it ends by itself")
}

/// The detail of an unreachable repository. The runtime is dropped as well, which waits for the thread that read: it
/// ends, not only the waiting for it.
fn unreachable(repo: GitRepository) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let head = runtime.block_on(repo.head());
        drop(runtime);
        tell.send(head).expect("somebody waits");
    });
    match told.recv_timeout(LONG).expect("it ends by itself") {
        Err(SourceError::Unreachable { detail, .. }) => detail,
        other => panic!("nobody answered, and yet {other:?}"),
    }
}

fn loose(dir: &Path, object: &str) -> PathBuf {
    let id = git(dir, &["rev-parse", object]);
    dir.join(".git/objects").join(&id[..2]).join(&id[2..])
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
}

/// Half of the object's file is lost; gives back its id and a way to mend it.
fn cut(dir: &Path, object: &str) -> (String, impl FnOnce()) {
    let (id, path) = (git(dir, &["rev-parse", object]), loose(dir, object));
    let whole = std::fs::read(&path).expect("a loose object");
    set_mode(&path, 0o644);
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("damage");
    (id, move || std::fs::write(path, whole).expect("mended"))
}

/// Text that zlib cannot make small: half of it is more than libgit2 reads for a header.
fn noise() -> String {
    (0..20_000u32).map(|n| format!("# {}\n", n.wrapping_mul(2_654_435_761))).collect()
}

fn told(error: &SourceError, id: &str) {
    assert!(matches!(error, SourceError::Unreadable { .. }), "{error:?}");
    assert!(error.to_string().contains(id), "it names {id}: {error}");
}

#[test]
fn a_cut_object_is_told_by_name_and_the_last_good_revision_stays_enforced() {
    let dir = tempfile::tempdir().expect("a directory");
    let repo = dir.path().join("repo");
    std::fs::create_dir_all(repo.join("apps")).expect("a directory");
    git(&repo, &["init", "-q", "-b", "main"]);
    std::fs::write(repo.join("fleet.toml"), stage::FLEET).expect("a file");
    let good = commit(&repo, "good");
    let world = stage::assemble(&stage::settings(dir.path(), "test-source-faults"));
    let taken = ending(Reader::default().take(&world, true)).expect("the good revision");
    assert_eq!(taken.desired.revision.as_str(), good);

    std::fs::create_dir_all(repo.join("hosts")).expect("a directory");
    std::fs::write(repo.join("hosts/main.toml"), noise() + stage::HOST).expect("a file");
    let head = commit(&repo, "better");
    for object in ["HEAD:hosts/main.toml", "HEAD:hosts", "HEAD^{tree}", "HEAD"] {
        let (id, mend) = cut(&repo, object);
        // A fresh process each time: nothing is remembered but what is on disk.
        let world = stage::assemble(&stage::settings(dir.path(), "test-source-faults"));
        let kept = ending(Reader::default().take(&world, true)).expect("the last good revision");
        assert_eq!(kept.desired.revision.as_str(), good, "{object}");
        let why = kept.kept_because.expect("why the head was not taken");
        assert!(why.contains(&id) && why.contains("damaged"), "{object} {id}: {why}");
        let read = ending(async { local(&repo).tree(&local(&repo).head().await?).await });
        told(&read.expect_err("a damaged object"), &id);
        mend();
    }
    let world = stage::assemble(&stage::settings(dir.path(), "test-source-faults"));
    let taken = ending(Reader::default().take(&world, true)).expect("the mended revision");
    assert_eq!(taken.desired.revision.as_str(), head);
}

#[test]
fn history_over_a_cut_commit_ends_with_its_name() {
    let dir = tempfile::tempdir().expect("a directory");
    repository(dir.path());
    let old = local(dir.path());
    let first = ending(old.head()).expect("a head");
    // A message of this length is more than an argument of a command may be long.
    std::fs::write(dir.path().join("message"), noise()).expect("a file");
    git(dir.path(), &["commit", "-q", "--allow-empty", "-F", "message"]);
    let head_id = commit(dir.path(), "last");
    let (id, mend) = cut(dir.path(), "HEAD~1");
    let repo = local(dir.path());
    let head = ending(repo.head()).expect("the head itself is whole");
    told(&ending(repo.descends(&head, &first)).expect_err("the way back is broken"), &id);
    told(&ending(repo.log("", 9)).expect_err("the way back is broken"), &id);
    for text in [format!("{head_id}~2"), "HEAD~2".into(), "main^^".into(), id[..9].into()] {
        let resolved = ending(repo.resolve(&trueup::model::settings::Reference::Commit(text.clone())));
        assert!(resolved.expect_err("a damaged object").to_string().contains(&id), "{text}");
    }
    mend();
    assert!(ending(repo.descends(&head, &first)).expect("an answer"));
    assert_eq!(ending(repo.log("fleet.toml", 9)).expect("a log").len(), 1);
}

#[test]
fn a_lost_or_empty_head_commit_is_unreadable_and_a_repository_without_commits_has_no_head() {
    let dir = tempfile::tempdir().expect("a directory");
    git(dir.path(), &["init", "-q", "-b", "main"]);
    let unborn = ending(local(dir.path()).head());
    assert!(matches!(unborn, Err(SourceError::NoSuchRevision { .. })), "{unborn:?}");
    repository(dir.path());
    let id = git(dir.path(), &["rev-parse", "HEAD"]);
    let path = loose(dir.path(), "HEAD");
    set_mode(&path, 0o644);
    for damage in ["", "garbage"] {
        std::fs::write(&path, damage).expect("damage");
        told(&ending(local(dir.path()).head()).expect_err("damaged"), &id);
    }
    std::fs::remove_file(&path).expect("lost");
    told(&ending(local(dir.path()).head()).expect_err("lost"), &id);
}

#[test]
fn objects_borrowed_from_another_repository_are_looked_through_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let lender = dir.path().join("lender");
    repository(&lender);
    std::fs::write(lender.join("fleet.toml"), noise()).expect("a file");
    commit(&lender, "noise");
    git(dir.path(), &["clone", "-q", "--shared", "lender", "borrower"]);
    let repo = local(&dir.path().join("borrower"));
    let head = ending(repo.head()).expect("a head");
    let (id, mend) = cut(&lender, "HEAD:fleet.toml");
    told(&ending(repo.tree(&head)).expect_err("a damaged object"), &id);
    mend();
    assert!(ending(repo.tree(&head)).expect("a tree").blobs.contains_key("fleet.toml"));
}

/// A remote with an app that changed, its server, and its mirror; a hook decides on pushes.
struct Remote {
    dir: tempfile::TempDir,
    sshd: Sshd,
}

impl Remote {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        repository(&dir.path().join("work"));
        std::fs::write(dir.path().join("work/fleet.toml"), "fleet = \"changed\"\n").expect("a file");
        commit(&dir.path().join("work"), "changed");
        let sshd = Sshd::start(&dir.path().join("ssh"), "");
        Self { dir, sshd }
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    fn hook(&self, name: &str, script: &str) {
        let path = self.work().join(".git/hooks").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a hook");
        set_mode(&path, 0o755);
    }

    fn mirror(&self) -> PathBuf {
        let mirrors = std::fs::read_dir(self.dir.path().join("cache")).expect("a cache");
        let mut mirrors: Vec<PathBuf> = mirrors.map(|entry| entry.expect("a mirror").path()).collect();
        assert_eq!(mirrors.len(), 1);
        mirrors.remove(0)
    }

    fn open(&self) -> GitRepository {
        open(&self.sshd.serving(&self.work(), "known", "client"), &self.dir.path().join("cache"))
    }
}

#[test]
fn a_push_that_the_server_refuses_is_an_error_in_its_own_words() {
    let remote = Remote::new();
    let repo = remote.open();
    let head = ending(repo.head()).expect("a head");
    let back = ending(repo.log("", 2)).expect("a log").remove(1).revision;
    for (hook, branch) in [("update", "trueup/one"), ("pre-receive", "trueup/two")] {
        remote.hook(hook, "cat >/dev/null\necho 'only on Mondays' >&2\nexit 1");
        let pushed = ending(repo.revert_on_branch("", &back, branch, "back"));
        let Err(SourceError::Refused { detail }) = pushed else { panic!("{hook}: {pushed:?}") };
        assert!(detail.contains("only on Mondays") && detail.contains("hook declined"), "{hook}: {detail}");
        assert_eq!(git(&remote.work(), &["branch", "--list", branch]), "", "{hook}");
        assert_eq!(git(&remote.mirror(), &["branch", "--list", branch]), "", "{hook}");
        std::fs::remove_file(remote.work().join(".git/hooks").join(hook)).expect("the hook is gone");
    }
    let pushed = ending(repo.revert_on_branch("", &back, "trueup/one", "back")).expect("a push");
    assert_eq!(git(&remote.work(), &["rev-parse", "trueup/one"]), pushed.as_str());
    assert_eq!(ending(repo.head()).expect("a head"), head, "nothing but the branch moved");
}

#[test]
fn a_mirror_with_a_damaged_object_is_made_anew() {
    let remote = Remote::new();
    let repo = remote.open();
    let head = ending(repo.head()).expect("a head");
    let back = ending(repo.log("", 2)).expect("a log").remove(1).revision;
    // Only what trueup itself writes lies loose in a mirror.
    let ours = ending(repo.revert_on_branch("", &back, "trueup/back", &noise())).expect("a push");
    let path = remote.mirror().join("objects").join(&ours.as_str()[..2]).join(&ours.as_str()[2..]);
    let whole = std::fs::read(&path).expect("a loose commit");
    set_mode(&path, 0o644);
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("damage");
    commit(&remote.work(), "another");
    let next = ending(repo.head()).expect("a head from a new mirror");
    assert!(ending(repo.descends(&next, &head)).expect("an answer"));
    assert!(ending(repo.descends(&ours, &back)).expect("the branch came back from the remote"));
}

#[test]
fn a_server_that_never_speaks_is_left_at_the_deadline_and_ssh_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let silent = std::thread::spawn(move || {
        let (mut caller, _) = listener.accept().expect("a caller");
        // Until ssh is gone, and its end of the line with it.
        let mut heard = Vec::new();
        let _ = caller.read_to_end(&mut heard);
        heard
    });
    let wanted = settings(&format!("ssh://127.0.0.1:{port}/fleet.git"));
    let repo =
        GitRepository::open_with_deadline(&wanted, dir.path(), Duration::from_secs(2)).expect("a mirror");
    let detail = unreachable(repo);
    assert!(detail.contains("within 2 s"), "{detail}");
    let heard = silent.join().expect("the caller hung up");
    assert!(heard.starts_with(b"SSH-2.0"), "it was ssh that called: {heard:?}");
}

#[test]
fn a_server_that_lets_in_and_then_hangs_is_left_at_the_deadline() {
    let dir = tempfile::tempdir().expect("a directory");
    repository(&dir.path().join("work"));
    // In place of git: reads until the caller hangs up, and tells that it did.
    let gone = dir.path().join("gone");
    let script = format!("ForceCommand cat >/dev/null; touch {}", gone.display());
    let sshd = Sshd::start(&dir.path().join("ssh"), &script);
    let wanted = sshd.serving(&dir.path().join("work"), "known", "client");
    let cache = dir.path().join("cache");
    let repo = GitRepository::open_with_deadline(&wanted, &cache, Duration::from_secs(4)).expect("a mirror");
    let detail = unreachable(repo);
    assert!(detail.contains("within 4 s"), "{detail}");
    let end = std::time::Instant::now() + LONG;
    while !gone.exists() {
        assert!(std::time::Instant::now() < end, "the ssh process is still connected");
        std::thread::sleep(Duration::from_millis(50));
    }
}
