//! When a remote config repository is asked, and who waits for it, with a real git server that goes silent.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod stage;

use std::time::Duration;

use stage::git;
use stage::http::serve;
use stage::source::{commit, open, repository, settings};
use trueup::model::units::TimeSpan;
use trueup::ports::{Repository as _, SourceError};

/// Far above what a conversation with a server on this machine takes, far below its deadline.
const SOON: Duration = Duration::from_secs(20);

/// D6: whoever looks waits for no remote; it is asked beside the looks, at the poll interval and where a person wants it.
#[tokio::test]
async fn a_remote_is_asked_beside_the_looks() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path();
    repository(&at.join("work"));
    git(at, &["clone", "-q", "--bare", "work", "fleet.git"]);
    let push = |message: &str| {
        let made = commit(&at.join("work"), message);
        git(&at.join("work"), &["push", "-q", "../fleet.git", "HEAD"]);
        made
    };
    let (server, port) = serve(at, &[]);
    std::fs::write(at.join("password"), "s3cret\n").expect("a file");
    let mut settings = settings(&format!("http://127.0.0.1:{port}/fleet.git"));
    settings.credentials.https_user = Some("reader".into());
    settings.credentials.https_password_file = Some(at.join("password"));
    settings.poll = TimeSpan::from_secs(3600);
    let repo = open(&settings, &at.join("cache"));
    let at_once = async || {
        let known = tokio::time::timeout(Duration::from_secs(1), repo.known_head()).await;
        known.expect("nobody is waited for").expect("a head").to_string()
    };
    let first = repo.known_head().await.expect("the remote was asked").to_string();
    let second = push("second");
    assert_eq!(at_once().await, first, "a look asks nobody");
    repo.hurry();
    tokio::time::timeout(SOON, repo.changed()).await.expect("a person wants it");
    assert_eq!(at_once().await, second);

    // The forge takes connections and says nothing.
    server.signal("STOP");
    repo.hurry();
    assert!(tokio::time::timeout(Duration::from_secs(1), repo.changed()).await.is_err(), "it hangs");
    assert_eq!(at_once().await, second, "and what is known stays");
    let third = push("third");
    server.signal("CONT");
    tokio::time::timeout(SOON, repo.changed()).await.expect("it answers what it was asked");
    assert_eq!(at_once().await, third);

    // By the clock alone; and its silence is news, too.
    settings.poll = TimeSpan::from_secs(1);
    let polling = open(&settings, &at.join("cache-2"));
    assert_eq!(polling.known_head().await.expect("a head").to_string(), third);
    let fourth = push("fourth");
    tokio::time::timeout(SOON, polling.changed()).await.expect("the next poll");
    assert_eq!(polling.known_head().await.expect("a head").to_string(), fourth);
    drop(server);
    tokio::time::timeout(SOON, polling.changed()).await.expect("nobody answers any more");
    assert!(matches!(polling.known_head().await, Err(SourceError::Unreachable { .. })));
}

/// A2: one that never answered is out of reach, and a look is not held up for as long as a conversation may take.
#[tokio::test]
async fn a_remote_that_never_answered_is_not_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let repo = open(&settings(&format!("http://127.0.0.1:{port}/fleet.git")), dir.path());
    let told = tokio::time::timeout(SOON, repo.known_head()).await.expect("long before its deadline");
    let Err(SourceError::Unreachable { detail, .. }) = told else { panic!("{told:?}") };
    assert_eq!(detail, "it was asked and has not answered yet");
}
