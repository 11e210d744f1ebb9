//! Who may change what, and who signed.

use super::*;

#[test]
fn permission_is_told_as_it_is() {
    let mut status_now = status_sample();
    let by = Permitted::BrokenGlass { reason: "bob: the keys\u{1b}[2J burnt".to_owned() };
    let glass = BrokenGlass {
        revision: Revision::new("fedcba9876543210fedcba9876543210fedcba98"),
        reason: "ada: the forge is down".to_owned(),
        at: NOW,
        until: NOW.plus(TimeSpan::from_secs(3600).duration()),
    };
    status_now.permission = PermissionStanding { mode: Mode::Signed, by, glass: Some(glass) };
    let text = status(&status_now, Format::Text, false);
    let told: Vec<&str> =
        text.lines().filter(|l| l.starts_with("permission") || l.starts_with("glass")).collect();
    assert_snapshot!(told.join("\n"), @"
    permission  UNVERIFIED: a person BROKE THE GLASS for it: bob: the keys\\u{1b}[2J burnt
    glass       fedcba9876 may pass unsigned until 2026-01-02T04:04:05Z: ada: the forge is down
    ");
    assert!(status(&status_now, Format::Markdown, false).contains("- **broken glass**: fedcba9876 may pass"));
    let json: serde_json::Value =
        serde_json::from_str(&status(&status_now, Format::Json, false)).expect("JSON");
    assert_eq!(json["permission"]["by"], "broken_glass");
    assert_eq!(json["permission"]["verified"], false);
    assert_eq!(json["permission"]["broken_glass"]["until"], "2026-01-02T04:04:05Z");
}

#[test]
fn a_verification_names_every_commit() {
    let key: PublicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
        .parse()
        .expect("a key");
    let commit = |revision: &str, summary: &str, merge: bool| SignedCommit {
        revision: Revision::new(revision.repeat(40)),
        author: "Eve <eve@example.org>".to_owned(),
        committer: "Eve <eve@example.org>".to_owned(),
        committed: Timestamp(NOW.0 - 60_000),
        summary: summary.to_owned(),
        merge,
        signature: Signature::None,
    };
    let signed = Verdict::Signed { principals: "ada@example.org".to_owned(), key };
    let mut shown = Verification {
        mode: Mode::Signed,
        base: Some(Revision::new("a".repeat(40))),
        head: Revision::new("c".repeat(40)),
        descends: true,
        commits: vec![
            (commit("c", "Merge a branch", true), signed),
            (commit("b", "a\u{7}bell", false), Verdict::Refused("it is not signed".to_owned())),
        ],
        glass: None,
        permitted: false,
        now: NOW,
    };
    assert_snapshot!(verification(&shown, Format::Text, false), @"
    2 commits from aaaaaaaaaa to cccccccccc
      ✓ merge cccccccccc Merge a branch
          by Eve <eve@example.org>, 2026-01-02T03:03:05Z (1m ago)
          signed by ada@example.org, SHA256:RXm/ruZ0eTzRXKwi1AQEDynB0VgHQ2ac9KPSFdf/YnA (ssh-ed25519)
      ✗ bbbbbbbbbb a\\u{7}bell
          by Eve <eve@example.org>, 2026-01-02T03:03:05Z (1m ago)
          it is not signed

    HELD: 1 of 2 commits not signed by a trusted key (F1).
    ");
    let json: serde_json::Value =
        serde_json::from_str(&verification(&shown, Format::Json, false)).expect("JSON");
    assert_eq!(json["permitted"], false);
    assert_eq!(
        (&json["commits"][1]["why"], &json["commits"][0]["permitted"]),
        (&"it is not signed".into(), &true.into())
    );
    assert!(verification(&shown, Format::Markdown, false).contains("| **refused** |"));
    shown.descends = false;
    assert!(verification(&shown, Format::Text, false).contains("HELD: cccccccccc does not descend"));
}
