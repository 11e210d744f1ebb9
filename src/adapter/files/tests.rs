//! Generations without a reader: what a kill leaves behind, hand edits, permissions, mtimes, commands.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;
use crate::model::names::HostName;
use crate::model::settings::Reload;
use crate::model::units::TimeSpan;

fn settings(directory: &Path) -> FileSetSettings {
    FileSetSettings {
        directory: directory.to_owned(),
        check: Vec::new(),
        main_config: None,
        reload: Reload::None,
        verify_timeout: TimeSpan::from_secs(1),
    }
}

fn nginx(directory: &Path) -> DirectoryFileSets {
    DirectoryFileSets::new(Some(settings(directory)), None)
}

fn files(text: &str) -> Files {
    Files::from([("a-prod.conf".to_owned(), text.to_owned())])
}

async fn live(sets: &DirectoryFileSets) -> Option<Files> {
    sets.installed().await.expect("installed").remove(&FileSet::Nginx).expect("configured")
}

async fn install(sets: &DirectoryFileSets, files: &Files) -> Result<(), FilesError> {
    sets.install(&FileSet::Nginx, files).await
}

fn sh(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

#[tokio::test]
async fn every_state_that_a_kill_leaves_is_the_old_generation_or_is_installed_again() {
    type Leave = fn(&Path);
    // What stands on disk when the process dies just after: beginning to write, writing whole, marking, making the next
    // symlink, switching.
    let new = |at: &Path| {
        fs::create_dir_all(at.join("generations/2-0123456789ab")).expect("made");
        fs::write(at.join("generations/2-0123456789ab/a-prod.conf"), "new").expect("written");
    };
    let cases: [(&str, Leave, &str, bool); 5] = [
        (
            "writing",
            |at| fs::create_dir_all(at.join("generations/.unfinished-2-0123456789ab/x")).expect("made"),
            "old",
            false,
        ),
        ("written", new, "old", false),
        ("marked", |at| fs::write(at.join("unverified"), "mark").expect("written"), "old", true),
        (
            "next symlink",
            |at| {
                fs::write(at.join("unverified"), "mark").expect("written");
                symlink("generations/1-x", at.join(".unfinished-current")).expect("linked");
            },
            "old",
            true,
        ),
        (
            "switched",
            |at| {
                fs::create_dir_all(at.join("generations/2-0123456789ab")).expect("made");
                fs::write(at.join("generations/2-0123456789ab/a-prod.conf"), "new").expect("written");
                fs::write(at.join("unverified"), "mark").expect("written");
                fs::remove_file(at.join("current")).expect("removed");
                symlink("generations/2-0123456789ab", at.join("current")).expect("linked");
            },
            "new",
            true,
        ),
    ];
    for (what, leave, text, differs) in cases {
        let at = tempfile::tempdir().expect("a temporary directory");
        let sets = nginx(at.path());
        install(&sets, &files("old")).await.expect("installed");
        leave(at.path());
        let found = live(&sets).await.expect("something is live");
        assert_eq!(found["a-prod.conf"], text, "{what}");
        assert_eq!(found != files(text), differs, "{what}: an unverified switch must count as different");
        install(&sets, &files("new")).await.expect("installed again");
        assert_eq!(live(&sets).await, Some(files("new")), "{what}");
        assert!(
            !at.path().join("unverified").exists() && !at.path().join(".unfinished-current").exists(),
            "{what}"
        );
    }
}

#[tokio::test]
async fn five_generations_are_kept_with_plain_permissions() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let sets = nginx(&at.path().join("deep/sets"));
    for n in 0..8 {
        install(&sets, &files(&n.to_string())).await.expect("installed");
    }
    let all = at.path().join("deep/sets/generations");
    let mut kept: Vec<_> = fs::read_dir(&all).expect("read").map(|e| e.expect("entry").path()).collect();
    kept.sort();
    assert_eq!(kept.len(), 5);
    for generation in &kept {
        assert_eq!(fs::metadata(generation).expect("there").permissions().mode() & 0o777, 0o755);
        let file = fs::metadata(generation.join("a-prod.conf")).expect("there");
        assert_eq!(file.permissions().mode() & 0o777, 0o644);
    }
    assert_eq!(live(&sets).await, Some(files("7")));
    assert!(
        kept.iter().any(|p| p.to_string_lossy().contains("/8-"))
            && !kept.iter().any(|p| p.to_string_lossy().contains("/3-"))
    );
}

#[tokio::test]
async fn what_is_done_by_hand_shows_and_what_is_not_ours_is_left_alone() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let sets = nginx(at.path());
    install(&sets, &files("x")).await.expect("installed");
    let current = at.path().join("current");
    fs::write(current.join("a-prod.conf"), "edited").expect("written");
    fs::write(current.join("by-hand.conf"), b"\xff").expect("written");
    symlink("/etc/passwd", current.join("link.conf")).expect("linked");
    let seen = live(&sets).await.expect("live");
    assert_eq!(seen["a-prod.conf"], "edited");
    assert_eq!(seen["by-hand.conf"], "\u{fffd}");
    assert_eq!(seen["link.conf"], "(not a plain file)\n", "a symlink is not followed");
    install(&sets, &files("x")).await.expect("healed");
    assert_eq!(live(&sets).await, Some(files("x")));

    fs::remove_file(&current).expect("removed");
    symlink("/etc", &current).expect("linked");
    assert!(
        matches!(sets.installed().await, Err(FilesError::Io { detail, .. }) if detail.contains("no generation"))
    );
    fs::remove_file(&current).expect("removed");
    fs::create_dir(&current).expect("made");
    fs::write(current.join("precious"), "x").expect("written");
    let refused = install(&sets, &files("y")).await;
    assert!(matches!(refused, Err(FilesError::Io { detail, .. }) if detail.contains("move it away")));
    assert_eq!(fs::read_to_string(current.join("precious")).expect("still there"), "x");
}

#[tokio::test]
async fn names_that_leave_the_directory_are_refused() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let sets = nginx(at.path());
    for bad in ["", ".", "..", "../x", "a/b", "/etc/x", ".hidden", "a b", "a\nb", "a*b", &"x".repeat(201)] {
        let set = Files::from([(bad.to_owned(), String::new())]);
        assert!(matches!(install(&sets, &set).await, Err(FilesError::Check { .. })), "{bad:?}");
    }
    assert_eq!(live(&sets).await, None);
    assert_eq!(fs::read_dir(at.path()).expect("read").count(), 0, "nothing was written");
}

#[tokio::test]
async fn the_check_command_sees_the_candidate_and_its_refusal_keeps_the_old() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let check = ["grep", "-q", "good", "{dir}/a-prod.conf"].map(str::to_owned).to_vec();
    let sets = DirectoryFileSets::new(Some(FileSetSettings { check, ..settings(at.path()) }), None);
    install(&sets, &files("good 1")).await.expect("installed");
    let refused = install(&sets, &files("bad")).await.expect_err("refused");
    let said = refused.to_string();
    assert!(matches!(refused, FilesError::Check { .. }) && said.contains("/generations/2-"), "{said}");
    assert_eq!(live(&sets).await, Some(files("good 1")));
    let absent = vec!["/no/such/program".to_owned()];
    let sets = DirectoryFileSets::new(Some(FileSetSettings { check: absent, ..settings(at.path()) }), None);
    assert!(
        install(&sets, &files("good 2"))
            .await
            .expect_err("refused")
            .to_string()
            .contains("cannot be started")
    );
}

#[tokio::test]
async fn a_main_config_that_does_not_include_the_set_cannot_test_it() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let main = at.path().join("nginx.conf");
    fs::write(&main, "include elsewhere/*.conf;").expect("written");
    let own = FileSetSettings { main_config: Some(main), ..settings(&at.path().join("sets")) };
    let sets = DirectoryFileSets::new(Some(own), None);
    let error = install(&sets, &files("x")).await.expect_err("refused").to_string();
    assert!(error.contains("does not include"), "{error}");
    assert_eq!(live(&sets).await, None);
}

#[tokio::test]
async fn a_reload_command_that_fails_brings_the_old_generation_back() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let directory = at.path().join("sets");
    // Succeeds as long as what is live says so and is marked while it is unverified; counts its runs.
    let script = format!(
        "cd {}; echo >> runs; test -e sets/unverified && grep -q good sets/current/a-prod.conf",
        at.path().display()
    );
    let own = FileSetSettings { reload: Reload::Command(sh(&script)), ..settings(&directory) };
    let sets = DirectoryFileSets::new(Some(own), None);
    install(&sets, &files("good")).await.expect("installed");
    let error = install(&sets, &files("bad")).await.expect_err("refused");
    assert!(matches!(error, FilesError::Reload { .. }), "{error}");
    assert_eq!(live(&sets).await, Some(files("good")), "and its reload was seen, so nothing is unverified");
    assert_eq!(fs::read_to_string(at.path().join("runs")).expect("runs").lines().count(), 3);

    // A reader that cannot go back either: the old files are live, and the set counts as different.
    let own = FileSetSettings { reload: Reload::Command(sh("exit 7")), ..settings(&directory) };
    let broken = DirectoryFileSets::new(Some(own), None);
    let error = install(&broken, &files("good too")).await.expect_err("refused").to_string();
    assert!(error.contains("exit status: 7") && error.contains("failed as well"), "{error}");
    let seen = live(&sets).await.expect("live");
    assert!(seen["a-prod.conf"] == "good" && seen != files("good"), "{seen:?}");
    install(&sets, &files("good")).await.expect("installed");
    assert_eq!(live(&sets).await, Some(files("good")));
}

fn agent(topic: &str) -> Files {
    let text = format!(
        "a.sources = s\na.channels = c\na.sinks = k\na.sources.s.type = netcat\na.sources.s.channels = c\n\
         a.channels.c.type = memory\na.sinks.k.type = logger\na.sinks.k.channel = c\na.sinks.k.note = {topic}\n"
    );
    Files::from([(flume::FILE.to_owned(), text)])
}

fn mtime(path: &Path) -> SystemTime {
    fs::metadata(path).and_then(|m| m.modified()).expect("an mtime")
}

#[tokio::test]
async fn flume_agents_stand_by_host_and_their_mtime_only_moves_forward() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let sets = DirectoryFileSets::new(None, Some(settings(at.path())));
    let set = FileSet::Flume("h1".parse::<HostName>().expect("a name"));
    assert!(sets.wants(&set) && !sets.wants(&FileSet::Nginx));
    assert_eq!(sets.installed().await.expect("installed").len(), 0);
    sets.install(&set, &agent("one")).await.expect("installed");
    let file = at.path().join("h1/current").join(flume::FILE);
    let mut last = mtime(&file);
    for topic in ["two", "three"] {
        sets.install(&set, &agent(topic)).await.expect("installed");
        assert!(
            mtime(&file) >= last + Duration::from_secs(1),
            "{topic}: by a second, which old Java can see"
        );
        last = mtime(&file);
    }
    // A clock that went back.
    let future = last + Duration::from_secs(86_400);
    fs::File::options().append(true).open(&file).and_then(|f| f.set_modified(future)).expect("set");
    sets.install(&set, &agent("four")).await.expect("installed");
    assert!(mtime(&file) > future);

    let invalid = Files::from([(flume::FILE.to_owned(), "a.sources = s\n".to_owned())]);
    assert!(matches!(sets.install(&set, &invalid).await, Err(FilesError::Check { .. })));
    assert_eq!(sets.installed().await.expect("installed").get(&set), Some(&Some(agent("four"))));
    sets.install(&set, &Files::new()).await.expect("removed");
    assert_eq!(sets.installed().await.expect("installed").len(), 0);
}

#[tokio::test]
async fn going_back_moves_the_mtime_forward_too() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let script = format!("grep -q good {}/h1/current/*", at.path().display());
    let own = FileSetSettings { reload: Reload::Command(sh(&script)), ..settings(at.path()) };
    let sets = DirectoryFileSets::new(None, Some(own));
    let set = FileSet::Flume("h1".parse::<HostName>().expect("a name"));
    sets.install(&set, &agent("good")).await.expect("installed");
    let file = at.path().join("h1/current").join(flume::FILE);
    let before = mtime(&file);
    sets.install(&set, &agent("bad")).await.expect_err("the reload fails");
    assert_eq!(sets.installed().await.expect("installed").get(&set), Some(&Some(agent("good"))));
    assert!(
        mtime(&file) >= before + Duration::from_secs(2),
        "newer than the bad one, which was newer than it"
    );
}

#[test]
fn the_file_at_fault_is_read_from_nginxs_words() {
    let set =
        Files::from([("a-prod.conf".to_owned(), String::new()), ("ba-prod.conf".to_owned(), String::new())]);
    let fault = |text: &str| file_at_fault(text, &set);
    assert_eq!(
        fault("nginx: [emerg] unknown directive \"x\" in /s/generations/2-0/ba-prod.conf:12"),
        Some(("ba-prod.conf".to_owned(), 12))
    );
    assert_eq!(fault("nginx: [emerg] in /etc/nginx/nginx.conf:3"), None);
}
