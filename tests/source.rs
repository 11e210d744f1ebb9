//! Reading the config repository for real: local and bare, over a real sshd, over a real https server; and what is
//! refused on the way.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod stage;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use stage::git;
use stage::http::serve;
use stage::source::{Sshd, commit, local, open, repository, run, settings};
use trueup::adapter::git::GitRepository;
use trueup::model::names::Revision;
use trueup::model::settings::Reference;
use trueup::model::tree::Touch;
use trueup::ports::{Repository as _, SourceError};

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

/// Far below the minute of the poll, far above what an event takes.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_commit_wakes_whenever_it_is_made_and_an_index_write_does_not() {
    let dir = tempfile::tempdir().expect("a directory");
    repository(dir.path());
    let path = dir.path().to_owned();
    let repo = local(dir.path());
    let woken = async || tokio::time::timeout(SOON, repo.changed()).await;
    repo.known_head().await.expect("a head");
    // Before anybody listens.
    commit(&path, "between the look and the wait");
    woken().await.expect("the head is not the one that was told");
    // While somebody listens.
    let last = repo.known_head().await.expect("a head");
    let committing = tokio::task::spawn_blocking({
        let path = path.clone();
        move || {
            std::thread::sleep(Duration::from_millis(300));
            commit(&path, "during the wait")
        }
    });
    woken().await.expect("a file event");
    assert_eq!(repo.known_head().await.expect("a head").as_str(), committing.await.expect("a commit"));
    assert_ne!(repo.known_head().await.expect("a head"), last);
    // Between two waits.
    commit(&path, "between two waits");
    woken().await.expect("the watcher lives on");
    // The same head by other files: the index, packed references, a branch that nobody asked for.
    let head = repo.known_head().await.expect("a head");
    let writing = tokio::task::spawn_blocking(move || {
        std::fs::write(path.join("staged"), "x").expect("a file");
        git(&path, &["add", "-A"]);
        git(&path, &["branch", "unrelated"]);
        git(&path, &["pack-refs", "--all"]);
    });
    let still = tokio::time::timeout(Duration::from_secs(2), repo.changed()).await;
    writing.await.expect("the writes are over");
    assert!(still.is_err(), "only a moved head wakes");
    assert_eq!(repo.known_head().await.expect("a head"), head);
}

#[tokio::test]
async fn a_linked_worktree_wakes_by_its_own_head() {
    let dir = tempfile::tempdir().expect("a directory");
    let (main, linked) = (dir.path().join("main"), dir.path().join("linked"));
    repository(&main);
    git(&main, &["worktree", "add", "-q", "-b", "side", "../linked"]);
    let repo = local(&linked);
    let before = repo.known_head().await.expect("a head");
    let committing = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(300));
        commit(&linked, "beside")
    });
    tokio::time::timeout(SOON, repo.changed()).await.expect("a file event");
    let made = committing.await.expect("a commit");
    let after = repo.known_head().await.expect("a head");
    assert_eq!(after.as_str(), made);
    assert!(repo.descends(&after, &before).await.expect("an answer"));
}

#[tokio::test]
async fn a_revert_keeps_modes_and_leaves_no_empty_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path();
    repository(at);
    let empty = git(at, &["rev-parse", "HEAD"]);
    std::fs::create_dir_all(at.join("apps/web/files")).expect("directories");
    std::fs::write(at.join("apps/web/app.toml"), "1").expect("a file");
    std::fs::write(at.join("apps/web/files/hook"), "#!/bin/sh\n").expect("a file");
    run("chmod", &["755", "apps/web/files/hook"], at);
    let made = commit(at, "an app");
    std::fs::write(at.join("apps/web/files/hook"), "#!/bin/sh\nfalse\n").expect("a file");
    run("chmod", &["644", "apps/web/files/hook"], at);
    std::fs::write(at.join("apps/web/app.toml"), "2").expect("a file");
    commit(at, "a change");
    let repo = local(at);
    let back = async |path: &str, to: &str, branch: &str| {
        let to = repo.resolve(&Reference::Commit(to.to_owned())).await.expect("a commit");
        repo.revert_on_branch(path, &to, branch, "back").await.expect("a commit").to_string()
    };
    let all = |commit: &str| git(at, &["ls-tree", "-r", "-t", commit]);

    let whole = back("apps/web", &made, "whole").await;
    assert_eq!(all(&whole), all(&made), "content and modes are those of then");
    let file = back("apps/web/files/hook", &made, "file").await;
    let hook = git(at, &["ls-tree", &file, "apps/web/files/hook"]);
    assert!(hook.starts_with("100755 blob"), "one file keeps its mode: {hook}");
    assert_eq!(git(at, &["show", &format!("{file}:apps/web/app.toml")]), "2", "nothing else moves");
    let gone = back("apps/web", &empty, "gone").await;
    assert_eq!(all(&gone), all(&empty), "`apps` went with its last app");
    git(at, &["fsck", "--strict"]);

    // `apps` was a file then: a revert below it finds nothing there, and takes out what is there now.
    git(at, &["rm", "-q", "-r", "apps"]);
    std::fs::write(at.join("apps"), "a file").expect("a file");
    let file = commit(at, "apps is a file");
    git(at, &["rm", "-q", "apps"]);
    std::fs::create_dir_all(at.join("apps/web")).expect("directories");
    std::fs::write(at.join("apps/web/app.toml"), "3").expect("a file");
    commit(at, "and a directory again");
    assert_eq!(all(&back("apps/web", &file, "strange").await), all(&empty));
}

#[tokio::test]
async fn a_revision_is_named_as_git_names_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path();
    repository(at);
    git(at, &["checkout", "-q", "-b", "side"]);
    commit(at, "on the side");
    git(at, &["checkout", "-q", "main"]);
    commit(at, "on main");
    git(at, &["merge", "-q", "--no-ff", "-m", "merged", "side"]);
    git(at, &["tag", "-a", "v1", "-m", "one"]);
    git(at, &["tag", "of-a-tree", "HEAD^{tree}"]);
    let id = git(at, &["rev-parse", "HEAD"]);
    let repo = local(at);
    let names = ["HEAD", "@", "main", "heads/main", "refs/heads/main", "v1", "v1^{commit}", "v1^{}", "v1^0"];
    let parents = ["HEAD~0", "HEAD~", "HEAD^", "HEAD~1", "HEAD^2", "v1~2", "main^2~1", "side~1", "HEAD^^"];
    let ids = [id.clone(), id[..7].to_owned(), format!("{id}^"), format!("{}~2", &id[..10])];
    for text in names.iter().chain(&parents).map(|text| (*text).to_owned()).chain(ids) {
        let wanted = git(at, &["rev-parse", &format!("{text}^{{commit}}")]);
        let found = repo.resolve(&Reference::Commit(text.clone())).await;
        assert_eq!(found.expect(&text).as_str(), wanted, "{text}");
    }
    let nothing = "0".repeat(40);
    let strange = ["", "nowhere", "HEAD~9", "HEAD^3", "HEAD~x", "v1^{tree}", "~1", "HEAD~\u{e9}", "ab"];
    for text in strange.into_iter().chain([
        "of-a-tree",
        nothing.as_str(),
        "HEAD:fleet.toml",
        "HEAD~99999999999999999999",
    ]) {
        let found = repo.resolve(&Reference::Commit(text.to_owned())).await;
        assert!(matches!(found, Err(SourceError::NoSuchRevision { .. })), "{text}: {found:?}");
    }
}

/// F1, F4: git would take the tag.
#[tokio::test]
async fn a_name_that_could_mean_two_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path();
    repository(at);
    let first = git(at, &["rev-parse", "HEAD"]);
    let second = commit(at, "second");
    git(at, &["update-ref", "refs/remotes/origin/main", &first]);
    let repo = local(at);
    let named = async |text: &str| repo.resolve(&Reference::Commit(text.to_owned())).await;
    assert_eq!(named("origin/main").await.expect("one").as_str(), first);
    git(at, &["tag", "origin/main", &second]);
    git(at, &["branch", &first[..10], &second]);
    for (text, meant) in [
        ("origin/main", ["refs/tags/origin/main", "refs/remotes/origin/main"]),
        ("origin/main~0", ["refs/tags/origin/main", "refs/remotes/origin/main"]),
        (&first[..10], [&format!("refs/heads/{}", &first[..10]), &first]),
    ] {
        let error = named(text).await.expect_err(text);
        assert!(matches!(error, SourceError::Refused { .. }), "{error}");
        assert!(meant.iter().all(|name| error.to_string().contains(name)), "{error}");
    }
    assert_eq!(named("refs/remotes/origin/main").await.expect("in full").as_str(), first);
    assert_eq!(named(&first).await.expect("in full").as_str(), first);
}

/// F0: whoever may push a name would choose what a person trusts.
#[tokio::test]
async fn an_id_is_no_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path();
    repository(at);
    let first = git(at, &["rev-parse", "HEAD"]);
    let second = commit(at, "second");
    let repo = local(at);
    let by_id = async |text: &str| repo.resolve(&Reference::Id(text.to_owned())).await;
    for text in [&first, &first[..10], &first[..4]] {
        assert_eq!(by_id(text).await.expect(text).as_str(), first);
    }
    git(at, &["tag", &first[..10], &second]);
    git(at, &["branch", &first, &second]);
    git(at, &["branch", "deadbeef", &second]);
    for text in
        ["HEAD", "main", "refs/heads/main", "deadbeef", &first, &first[..10], &format!("{first}~0"), ""]
    {
        assert!(by_id(text).await.is_err(), "{text}");
    }
    assert_eq!(by_id(&second).await.expect("nobody's name").as_str(), second);
}

/// F1: the date of a commit is whatever its maker says, and does not choose what a branch is compared with.
#[tokio::test]
async fn a_branch_is_compared_with_what_has_all_else_behind_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path();
    repository(at);
    let later = "2099-01-01T00:00:00Z";
    let old = dated(at, later, &["commit", "-q", "--allow-empty", "-m", "of 2099, and merged"]);
    std::fs::write(at.join("fix"), "secure\n").expect("a file");
    let base = commit(at, "a fix");
    // A merge of both that has the old one's files: it takes the fix back.
    let tree = git(at, &["rev-parse", &format!("{old}^{{tree}}")]);
    let head = git(at, &["commit-tree", "-p", &base, "-p", &old, "-m", "innocent", &tree]);
    let repo = local(at);
    let between =
        async |base: &str, head: &str| repo.between(&Revision::new(base), &Revision::new(head)).await;
    let found = between(&base, &head).await.expect("one commit in common");
    assert_eq!(found.since.as_str(), base);
    assert_eq!(found.touched, BTreeMap::from([("fix".to_owned(), Touch::Removed)]));
    assert_eq!(found.behind, 0);

    // Both have merged each other: no single commit says what the branch changed.
    let side = git(at, &["commit-tree", "-p", &old, "-m", "a side", &tree]);
    let one = git(at, &["commit-tree", "-p", &base, "-p", &side, "-m", "one way", &tree]);
    let other = git(at, &["commit-tree", "-p", &side, "-p", &base, "-m", "the other", &tree]);
    let error = between(&one, &other).await.expect_err("crossed").to_string();
    assert!([&base[..10], &side[..10], "merge"].iter().all(|word| error.contains(word)), "{error}");
    // As it says: once the base is merged, it is what they have in common.
    let mended = git(at, &["commit-tree", "-p", &other, "-p", &one, "-m", "mended", &tree]);
    assert_eq!(between(&one, &mended).await.expect("one").since.as_str(), one);
}

/// A2, A3: whatever is too much refuses the commit; a part is never taken for the whole.
#[tokio::test]
async fn what_is_too_much_is_refused_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path();
    repository(at);
    let base = git(at, &["rev-parse", "HEAD"]);
    let blob = git(at, &["rev-parse", "HEAD:fleet.toml"]);
    let many: String = (0..100_001).map(|n| format!("100644 blob {blob}\tf{n}.toml\n")).collect();
    let many = mktree(at, &many);
    let policies = mktree(at, &format!("100644 blob {blob}\ta.rego\n"));
    let deep = (0..70).fold(policies.clone(), |tree, _| mktree(at, &format!("040000 tree {tree}\td\n")));
    let commit_of = |entries: &[(&str, &str)]| {
        let tree: String =
            entries.iter().map(|(name, tree)| format!("040000 tree {tree}\t{name}\n")).collect();
        let tree = mktree(at, &format!("100644 blob {blob}\tfleet.toml\n{tree}"));
        git(at, &["commit-tree", "-p", &base, "-m", "much", &tree])
    };
    let repo = local(at);
    let tree = async |id: &str| repo.tree(&Revision::new(id)).await.expect("a tree");
    // What is not ours is not counted, and hides nothing that comes after it.
    let vendored = commit_of(&[("node_modules", &many), ("policies", &policies)]);
    let read = tree(&vendored).await;
    assert_eq!(read.blobs.keys().collect::<Vec<_>>(), ["fleet.toml", "policies/a.rego"]);
    assert!(read.refused.is_empty(), "{:?}", read.refused);
    let read = tree(&commit_of(&[("hosts", &many), ("policies", &policies)])).await;
    assert!(read.refused.values().any(|why| why.contains("more than 100000 files")), "{:?}", read.refused);
    let read = tree(&commit_of(&[("apps", &deep)])).await;
    assert!(read.refused.values().any(|why| why.contains("nested deeper")), "{:?}", read.refused);

    // Nor is somebody's ownership cut off.
    for (head, why) in
        [(vendored, "more than 100000 files differ"), (commit_of(&[("x", &deep)]), "nested deeper")]
    {
        let error = repo.between(&Revision::new(base.as_str()), &Revision::new(head)).await.expect_err(why);
        assert!(error.to_string().contains(why), "{error}");
    }
}

fn mktree(at: &Path, entries: &str) -> String {
    let mut command = Command::new("git");
    command.arg("mktree").current_dir(at).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("git");
    child.stdin.take().expect("piped").write_all(entries.as_bytes()).expect("git reads it");
    let output = child.wait_with_output().expect("git");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A commit of that date.
fn dated(at: &Path, date: &str, args: &[&str]) -> String {
    let identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
    let mut command = Command::new("git");
    command.args(identity).args(args).current_dir(at).env("GIT_COMMITTER_DATE", date);
    assert!(command.status().expect("git").success());
    git(at, &["rev-parse", "HEAD"])
}

#[tokio::test]
async fn an_address_of_a_file_is_percent_decoded() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().join("my fleet");
    repository(&at);
    let url = format!("file://{}/my%20fleet", dir.path().display());
    let head = open(&settings(&url), dir.path()).head().await.expect("a head");
    assert_eq!(head.as_str(), git(&at, &["rev-parse", "HEAD"]));
    for bad in ["file://elsewhere/fleet", "file://my fleet", "file:fleet"] {
        let Err(SourceError::Unreachable { detail, .. }) = GitRepository::open(&settings(bad), dir.path())
        else {
            panic!("{bad} was opened")
        };
        assert!(detail.contains("file:///path"), "{bad}: {detail}");
    }
}

#[tokio::test]
async fn over_a_real_sshd_with_strict_host_keys() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path();
    repository(&at.join("work"));
    let sshd = Sshd::start(at, "");
    // A blank, a quotation mark, a per cent sign: an operator may name a directory so.
    let strange = at.join("my \"keys\" \\ 100%h");
    std::fs::create_dir(&strange).expect("a directory");
    for file in ["known", "wrong", "client", "stranger"] {
        std::fs::copy(at.join(file), strange.join(file)).expect("a copy");
    }
    let with = |known: &str, key: &str| {
        let mut settings = sshd.serving(&at.join("work"), known, key);
        settings.credentials.ssh_known_hosts = Some(strange.join(known));
        settings.credentials.ssh_key = Some(strange.join(key));
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
    let (_server, port) = serve(at, &["server.pem", "server.key"]);
    let (_plain, plain_port) = serve(at, &[]);
    for (name, text) in [("password", "s3cret\n"), ("mistaken", "guess\n")] {
        let mut file = std::fs::File::create(at.join(name)).expect("a file");
        file.write_all(text.as_bytes()).expect("a password");
    }
    let with = |ca: &str, password: &str| {
        let mut settings = settings(&format!("https://127.0.0.1:{port}/fleet.git"));
        settings.credentials.https_ca = Some(at.join(ca));
        settings.credentials.https_user = Some("reader".into());
        settings.credentials.https_password_file = Some(at.join(password));
        settings
    };
    let repo = open(&with("authority.pem", "password"), &at.join("cache"));
    let head = repo.head().await.expect("a head over https");
    assert_eq!(head.as_str(), git(&at.join("work"), &["rev-parse", "HEAD"]));
    assert!(repo.tree(&head).await.expect("a tree").blobs.contains_key("fleet.toml"));

    // Without TLS from this machine only, with the same password and the same deadline.
    let mut plain = with("authority.pem", "password");
    plain.url = format!("http://localhost:{plain_port}/fleet.git");
    assert_eq!(open(&plain, &at.join("cache-4")).head().await.expect("a head over http"), head);
    for (scheme, port) in [("https", port), ("http", plain_port)] {
        plain.url = format!("{scheme}://127.0.0.1:{port}/hung");
        let hung = GitRepository::open_with_deadline(&plain, &at.join("cache-4"), Duration::from_secs(2));
        let Err(SourceError::Unreachable { detail, .. }) = hung.expect("a mirror").head().await else {
            panic!("{scheme}: nobody answered")
        };
        assert!(detail.contains("within 2 s"), "{detail}");
    }

    // Two authorities in one file, the needed one last; and a file that has none.
    let bundle =
        ["stranger.pem", "authority.pem"].map(|ca| std::fs::read_to_string(at.join(ca)).expect("PEM"));
    std::fs::write(at.join("bundle.pem"), bundle.concat()).expect("a file");
    let by_bundle = open(&with("bundle.pem", "password"), &at.join("cache-3")).head().await;
    assert_eq!(by_bundle.expect("every certificate of the file counts"), head);
    let without = open(&with("password", "password"), &at.join("cache-3")).head().await;
    let Err(SourceError::Unreachable { detail, .. }) = without else {
        panic!("a file without a certificate")
    };
    assert!(detail.contains("has no certificate"), "{detail}");

    for (ca, password) in [("authority.pem", "mistaken"), ("stranger.pem", "password")] {
        let refused = open(&with(ca, password), &at.join("cache-2")).head().await;
        let Err(error @ SourceError::Unreachable { .. }) = refused else {
            panic!("{ca} {password}: {refused:?}")
        };
        let told = error.to_string();
        assert!(!told.contains("guess") && !told.contains("s3cret"), "no credential in an error: {told}");
    }
}
