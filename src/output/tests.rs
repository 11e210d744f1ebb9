//! Whole outputs, as people and programs get them: plans and drift here, the others beside.

mod beside;
mod hostile;
mod outcomes;
mod permission;
mod report;
mod standing;

use insta::assert_snapshot;

use super::samples::{NOW, change, differing, drifts, empty, full, installed, subject};
use super::*;
use crate::model::drift::{Cure, FieldChange, Kind, Nature};
use crate::model::names::Revision;
use crate::model::permission::{
    BrokenGlass, Mode, PermissionStanding, Permitted, PublicKey, Signature, SignedCommit, Verdict,
};
use crate::model::plan::{Blocked, Unknown, Verb};
use crate::model::report::{DownNode, Foreign, HeldAddress, LookedAt, MadeOf, Maker};
use crate::model::units::TimeSpan;

const FORMATS: [Format; 3] = [Format::Text, Format::Json, Format::Markdown];

fn since() -> BTreeMap<String, Timestamp> {
    [("container quote-prod-0 on edge".to_owned(), Timestamp(NOW.0 - 273_600_000))].into()
}

fn ended() -> Vec<(Change, Outcome)> {
    let all = full().changes;
    let outcomes = [
        Outcome::Done,
        Outcome::NotNeeded { why: "it is so already".to_owned() },
        Outcome::Failed {
            error: "edge: POST /containers/create: 500\nno space left".to_owned(),
            transient: true,
        },
        Outcome::Skipped { why: "what it waits for failed".to_owned() },
    ];
    all.into_iter().zip(outcomes).collect()
}

fn status_sample() -> Status {
    let span = |seconds: i64| Timestamp(NOW.0 - seconds * 1000);
    Status {
        fleet: "community".parse().expect("a name"),
        revision: Revision::new("0123456789abcdef0123456789abcdef01234567"),
        summary: "quote 1.5".to_owned(),
        committed: span(90_000),
        enforced_since: Some(span(3_600)),
        kept_because: Some("fedcba9876 does not parse:\napps/quote/app.toml:3:1: unknown key".to_owned()),
        kept_since: Some(span(7_200)),
        rules_wait_for: ["web-prod".parse().expect("a key"), "web-test".parse().expect("a key")].into(),
        permission: PermissionStanding { mode: Mode::Branch, by: Permitted::Branch, glass: None },
        now: NOW,
        hosts: [
            ("edge".parse().expect("a name"), None),
            ("rack-b-1".parse().expect("a name"), Some("no answer within 20s".to_owned())),
        ]
        .into(),
        apps: [
            ("order-prod".parse().expect("a key"), Standing::InSync),
            (
                "quote-prod".parse().expect("a key"),
                Standing::Drifted("container quote-prod-0 on edge".to_owned()),
            ),
            ("web-prod".parse().expect("a key"), Standing::Held("the blast radius (B3)".to_owned())),
            ("web-test".parse().expect("a key"), Standing::Unknown("host rack-b-1: no answer".to_owned())),
        ]
        .into(),
        pauses: vec![(
            "app quote-prod".to_owned(),
            Some(NOW.plus(TimeSpan::from_secs(1800).duration())),
            "moving racks".to_owned(),
        )],
        quarantined: [("container web-prod-0 on edge".to_owned(), "memory: 3 times the same".to_owned())]
            .into(),
        writer: Some("trueup run, process 12".to_owned()),
        under_way: Vec::new(),
        findings: crate::model::finding::Findings::default(),
    }
}

fn events() -> Vec<HistoryEntry> {
    let entry = |revision: Option<&str>, what: &str, subject: &str, detail: &str| HistoryEntry {
        at: NOW,
        revision: revision.map(Revision::new),
        what: what.to_owned(),
        subject: subject.to_owned(),
        detail: detail.to_owned(),
    };
    vec![
        entry(Some("0123456789abcdef"), "revision", "fleet", "took 0123456789: quote 1.5"),
        entry(None, "pause", "app quote-prod", "until `trueup resume`: a|b"),
        entry(None, "resume", "app quote-prod", ""),
    ]
}

#[test]
fn a_plan_in_text() {
    assert_snapshot!(plan(&full(), &installed(), Format::Text, false), @r##"
    Plan a1b2c3d4e5f6 for revision 0123456789, from what was seen at 2026-01-02T03:04:05Z

    on edge
      ± replace container quote-prod-0  (INTERRUPTS: requests may fail meanwhile)
          image: quote:1.4 → quote:1.5

    on rack-a-1
      + create network market
          declared and not there
      + create container quote-prod-1
          declared and not there
          after: create network market on rack-a-1

    fleet-wide
      ~ install files nginx
          quote: a server came
          after: create container quote-prod-1 on rack-a-1, replace container quote-prod-0 on edge
            --- nginx/quote.conf (installed)
            +++ nginx/quote.conf (planned)
            @@ -1,3 +1,4 @@
             upstream quote {
               server 192.0.2.64:8080;
            +  server 192.0.2.65:8080;
             }

    HELD: waits for a person's approval
      - remove container old-prod-0 on edge
          no longer declared
          held: the last instance of a production app (B3)
      next: trueup approve --plan feedfacecafe --reason WHY

    BLOCKED: should happen and may not
      ! container ledger-prod-0 on rack-a-1
          why:  its image ledger:2 could not be resolved
          next: is the registry up?
                then run `trueup doctor`

    UNKNOWN: could not be read, and is not touched
      ? host rack-b-1
          why:  rack-b-1: GET /containers/json: no answer within 20s

    UNMANAGED: not trueup's, and never changed
      * container web-prod-0 on edge  (stands where something declared should be)
          why:  it carries no label of trueup's

    NOTES
      canary is not in this release

    2 to create, 1 to replace, 1 to install, 1 held, 1 blocked, 1 unknown; nothing was changed.
    "##);
}

#[test]
fn a_plan_in_json() {
    assert_snapshot!(plan(&full(), &installed(), Format::Json, false), @r##"
    {
      "blocked": [
        {
          "app": null,
          "hint": "approve it",
          "host": "edge",
          "kind": "container",
          "name": "old-prod-0",
          "reason": "the last instance of a production app (B3)"
        },
        {
          "app": "ledger-prod",
          "hint": "is the registry up?\nthen run `trueup doctor`",
          "host": "rack-a-1",
          "kind": "container",
          "name": "ledger-prod-0",
          "reason": "its image ledger:2 could not be resolved"
        }
      ],
      "changes": [
        {
          "action": "create",
          "after": [],
          "app": null,
          "because": [
            "declared and not there"
          ],
          "destructive": false,
          "files": [],
          "from": null,
          "host": "rack-a-1",
          "interrupts": false,
          "kind": "network",
          "name": "market",
          "steps": [],
          "to": "663ea1bfffe5038f3f0cf667f14c4257eff52d77ce7f2a218f72e9286616ea39"
        },
        {
          "action": "create",
          "after": [
            0
          ],
          "app": null,
          "because": [
            "declared and not there"
          ],
          "destructive": false,
          "files": [],
          "from": null,
          "host": "rack-a-1",
          "interrupts": false,
          "kind": "container",
          "name": "quote-prod-1",
          "steps": [],
          "to": "663ea1bfffe5038f3f0cf667f14c4257eff52d77ce7f2a218f72e9286616ea39"
        },
        {
          "action": "replace",
          "after": [],
          "app": null,
          "because": [
            "image: quote:1.4 → quote:1.5"
          ],
          "destructive": false,
          "files": [],
          "from": null,
          "host": "edge",
          "interrupts": true,
          "kind": "container",
          "name": "quote-prod-0",
          "steps": [
            "stop container quote-prod-0"
          ],
          "to": "663ea1bfffe5038f3f0cf667f14c4257eff52d77ce7f2a218f72e9286616ea39"
        },
        {
          "action": "install",
          "after": [
            1,
            2
          ],
          "app": null,
          "because": [
            "quote: a server came"
          ],
          "destructive": false,
          "files": [
            {
              "diff": "--- nginx/quote.conf (installed)\n+++ nginx/quote.conf (planned)\n@@ -1,3 +1,4 @@\n upstream quote {\n   server 192.0.2.64:8080;\n+  server 192.0.2.65:8080;\n }\n",
              "file": "nginx/quote.conf"
            }
          ],
          "from": null,
          "host": null,
          "interrupts": false,
          "kind": "files",
          "name": "nginx",
          "steps": [
            "install the nginx files and reload"
          ],
          "to": "663ea1bfffe5038f3f0cf667f14c4257eff52d77ce7f2a218f72e9286616ea39"
        }
      ],
      "drift": [
        {
          "app": "quote-prod",
          "detail": null,
          "fields": [
            {
              "cure": "in_place",
              "desired": "512MiB",
              "field": "memory",
              "live": "1GiB"
            },
            {
              "cure": "replace",
              "desired": "",
              "field": "user",
              "live": "root"
            }
          ],
          "host": "edge",
          "kind": "container",
          "left_alone": null,
          "name": "quote-prod-0",
          "nature": "changed"
        },
        {
          "app": "web-prod",
          "detail": "exited with 137",
          "fields": [],
          "host": "rack-a-1",
          "kind": "container",
          "left_alone": "paused: moving racks",
          "name": "web-prod-1",
          "nature": "not_running"
        }
      ],
      "exit_code": 3,
      "findings": [],
      "held": [
        {
          "action": "remove",
          "after": [],
          "app": null,
          "because": [
            "no longer declared"
          ],
          "destructive": false,
          "files": [],
          "from": null,
          "host": "edge",
          "interrupts": false,
          "kind": "container",
          "name": "old-prod-0",
          "steps": [],
          "to": "663ea1bfffe5038f3f0cf667f14c4257eff52d77ce7f2a218f72e9286616ea39"
        }
      ],
      "held_id": "feedfacecafe",
      "id": "a1b2c3d4e5f6",
      "kept_because": null,
      "notes": [
        "canary is not in this release"
      ],
      "observed_at": "2026-01-02T03:04:05Z",
      "policy_notes": [],
      "revision": "0123456789abcdef0123456789abcdef01234567",
      "summary": "2 to create, 1 to replace, 1 to install, 1 held, 1 blocked, 1 unknown; nothing was changed.",
      "unknown": [
        {
          "host": "rack-b-1",
          "kind": "host",
          "name": "rack-b-1",
          "why": "rack-b-1: GET /containers/json: no answer within 20s"
        }
      ],
      "unmanaged": [
        {
          "collides": true,
          "host": "edge",
          "kind": "container",
          "name": "web-prod-0",
          "why": "it carries no label of trueup's"
        }
      ]
    }
    "##);
}

#[test]
fn a_plan_in_markdown() {
    assert_snapshot!(plan(&full(), &installed(), Format::Markdown, false), @r##"
    ## trueup plan `a1b2c3d4e5f6` for `0123456789`

    **2 to create, 1 to replace, 1 to install, 1 held, 1 blocked, 1 unknown; nothing was changed.**

    ### on edge

    - **replace** `container quote-prod-0` (**interrupts**: requests may fail meanwhile)
      - `image: quote:1.4 → quote:1.5`

    ### on rack-a-1

    - **create** `network market`
      - `declared and not there`
    - **create** `container quote-prod-1`
      - `declared and not there`

    ### fleet-wide

    - **install** `files nginx`
      - `quote: a server came`

      ```diff
      --- nginx/quote.conf (installed)
      +++ nginx/quote.conf (planned)
      @@ -1,3 +1,4 @@
       upstream quote {
         server 192.0.2.64:8080;
      +  server 192.0.2.65:8080;
       }
      ```


    ### Held: waits for a person's approval

    - **remove** `container old-prod-0`
      - `no longer declared`
      - `container old-prod-0 on edge`: the last instance of a production app (B3). Next: approve it

    To allow it: `trueup approve --plan feedfacecafe --reason WHY`

    ### Blocked

    - `container ledger-prod-0 on rack-a-1`: its image ledger:2 could not be resolved. Next: is the registry up?<br>then run \`trueup doctor\`

    ### Unknown (not touched)

    - `host rack-b-1`: rack-b-1: GET /containers/json: no answer within 20s

    ### Unmanaged (never changed)

    - `container web-prod-0 on edge` **in the way**: it carries no label of trueup's

    ### Notes

    - canary is not in this release
    "##);
}

#[test]
fn an_empty_plan_says_why_there_is_nothing_to_do() {
    let text = |plan: &Plan| super::plan(plan, &BTreeMap::new(), Format::Text, false);
    let mut quiet = empty();
    assert!(text(&quiet).ends_with("\nNothing to do: everything is as declared.\n"));
    quiet.drift = drifts();
    assert!(
        text(&quiet)
            .ends_with("\nNothing to do now, and 2 objects are not as declared: `trueup drift` says why.\n")
    );
    quiet.drift.clear();
    quiet.unknown = full().unknown;
    assert!(text(&quiet).ends_with("\n1 unknown; nothing was changed.\n"), "{}", text(&quiet));
}

#[test]
fn drift_in_text() {
    assert_snapshot!(drift(&full(), &since(), &Differing::new(), Format::Text, false), @r##"
    Drift from revision 0123456789, as seen at 2026-01-02T03:04:05Z

    on edge
      ≠ container quote-prod-0 of app quote-prod  since 2025-12-29T23:04:05Z (3d 4h ago)
          memory: declared 512MiB, live 1GiB (can be changed in place)
          user: declared nothing, live root (needs a new one)

    on rack-a-1
      ≠ container web-prod-1 of app web-prod
          does not run: exited with 137
          left alone: paused: moving racks

    HELD: waits for a person's approval
      - remove container old-prod-0 on edge
          no longer declared
          held: the last instance of a production app (B3)
      next: trueup approve --plan feedfacecafe --reason WHY

    BLOCKED: should happen and may not
      ! container ledger-prod-0 on rack-a-1
          why:  its image ledger:2 could not be resolved
          next: is the registry up?
                then run `trueup doctor`

    UNKNOWN: could not be read, and is not touched
      ? host rack-b-1
          why:  rack-b-1: GET /containers/json: no answer within 20s

    UNMANAGED: not trueup's, and never changed
      * container web-prod-0 on edge  (stands where something declared should be)
          why:  it carries no label of trueup's

    NOTES
      canary is not in this release

    2 objects differ, 1 left alone, 1 held, 1 blocked, 1 unknown.
    "##);
}

#[test]
fn drift_in_markdown() {
    assert_snapshot!(drift(&full(), &since(), &Differing::new(), Format::Markdown, false), @r##"
    ## Drift from `0123456789`

    **2 objects differ, 1 left alone, 1 held, 1 blocked, 1 unknown.**

    ### on edge

    - `container quote-prod-0`, since 2025-12-29T23:04:05Z (3d 4h ago)
      - `memory: declared 512MiB, live 1GiB (can be changed in place)`
      - `user: declared nothing, live root (needs a new one)`

    ### on rack-a-1

    - `container web-prod-1`
      - `does not run: exited with 137`
      - left alone: paused: moving racks

    ### Held: waits for a person's approval

    - **remove** `container old-prod-0`
      - `no longer declared`
      - `container old-prod-0 on edge`: the last instance of a production app (B3). Next: approve it

    To allow it: `trueup approve --plan feedfacecafe --reason WHY`

    ### Blocked

    - `container ledger-prod-0 on rack-a-1`: its image ledger:2 could not be resolved. Next: is the registry up?<br>then run \`trueup doctor\`

    ### Unknown (not touched)

    - `host rack-b-1`: rack-b-1: GET /containers/json: no answer within 20s

    ### Unmanaged (never changed)

    - `container web-prod-0 on edge` **in the way**: it carries no label of trueup's

    ### Notes

    - canary is not in this release
    "##);
}

#[test]
fn drift_in_json_has_since_and_nature() {
    let json: serde_json::Value =
        serde_json::from_str(&drift(&full(), &since(), &Differing::new(), Format::Json, true)).expect("JSON");
    assert_eq!(json["drift"][0]["since"], "2025-12-29T23:04:05Z");
    assert_eq!(json["drift"][0]["nature"], "changed");
    assert_eq!(json["drift"][0]["fields"][0]["cure"], "in_place");
    assert_eq!(json["drift"][1]["since"], serde_json::Value::Null);
    assert_eq!(json["drift"][1]["detail"], "exited with 137");
    assert_eq!(json["unknown"][0]["host"], "rack-b-1");
    assert_eq!((&json["held_id"], &json["held"][0]["name"]), (&"feedfacecafe".into(), &"old-prod-0".into()));
    let mut since = since();
    since.insert("host rack-b-1 on rack-b-1".to_owned(), NOW);
    let json: serde_json::Value =
        serde_json::from_str(&drift(&full(), &since, &Differing::new(), Format::Json, false)).expect("JSON");
    assert_eq!(json["unknown"][0]["since"], NOW.to_string());
    assert_eq!(json["held"][0]["since"], serde_json::Value::Null);
}
