//! Whole outputs, as people and programs get them; and names that try to be more than names.

use insta::assert_snapshot;

use super::samples::{NOW, change, drifts, empty, full, installed, subject};
use super::*;
use crate::model::drift::{Cure, FieldChange, Kind, Nature};
use crate::model::names::Revision;
use crate::model::permission::{
    BrokenGlass, Mode, PermissionStanding, Permitted, PublicKey, Signature, SignedCommit, Verdict,
};
use crate::model::plan::{Blocked, Unknown, Verb};
use crate::model::report::{DownNode, HeldAddress, LookedAt};
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
    assert_snapshot!(drift(&full(), &since(), Format::Text, false), @r##"
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
    assert_snapshot!(drift(&full(), &since(), Format::Markdown, false), @r##"
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
        serde_json::from_str(&drift(&full(), &since(), Format::Json, true)).expect("JSON");
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
        serde_json::from_str(&drift(&full(), &since, Format::Json, false)).expect("JSON");
    assert_eq!(json["unknown"][0]["since"], NOW.to_string());
    assert_eq!(json["held"][0]["since"], serde_json::Value::Null);
}

#[test]
fn outcomes_in_text() {
    let mut last = full();
    last.changes.truncate(1);
    last.unmanaged.clear();
    assert_snapshot!(outcomes(&ended(), &last, Format::Text, false), @r##"
    Applied revision 0123456789

    on edge
      ✗ replace container quote-prod-0: FAILED, worth trying again
          why: edge: POST /containers/create: 500
               no space left

    on rack-a-1
      ✓ create network market: done
      = create container quote-prod-1: not needed
          why: it is so already

    fleet-wide
      - install files nginx: skipped
          why: what it waits for failed

    LEFT: still to be done
      create network market on rack-a-1
          declared and not there

    HELD: waits for a person's approval
      remove container old-prod-0 on edge
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

    NOTES
      canary is not in this release

    1 done, 1 not needed, 1 failed, 1 skipped; 1 change left, 1 held, 1 blocked, 1 unknown.
    "##);
}

#[test]
fn outcomes_in_markdown() {
    assert_snapshot!(outcomes(&ended(), &empty(), Format::Markdown, false), @r##"
    ## trueup applied `0123456789`

    **1 done, 1 not needed, 1 failed, 1 skipped; everything is as declared now.**

    ### on edge

    - `replace container quote-prod-0`: **failed**: edge: POST /containers/create: 500<br>no space left

    ### on rack-a-1

    - `create network market`: done
    - `create container quote-prod-1`: not needed: it is so already

    ### fleet-wide

    - `install files nginx`: skipped: what it waits for failed
    "##);
}

#[test]
fn outcomes_in_json() {
    let json: serde_json::Value =
        serde_json::from_str(&outcomes(&ended(), &empty(), Format::Json, true)).expect("JSON");
    let words: Vec<&str> =
        json["outcomes"].as_array().expect("a list").iter().filter_map(|o| o["outcome"].as_str()).collect();
    assert_eq!(words, ["done", "not_needed", "failed", "skipped"]);
    assert_eq!(json["outcomes"][2]["transient"], true);
    assert_eq!(json["summary"], "1 done, 1 not needed, 1 failed, 1 skipped; everything is as declared now.");
}

#[test]
fn nothing_applied_and_nothing_left() {
    let text = outcomes(&[], &empty(), Format::Text, false);
    assert_eq!(text, "Applied revision 0123456789\n\nNothing was changed; everything is as declared now.\n");
}

#[test]
fn status_in_text() {
    assert_snapshot!(status(&status_sample(), Format::Text, false), @r##"
    fleet       community
    revision    0123456789 quote 1.5
    committed   2026-01-01T02:04:05Z (1d 1h ago)
    enforced    since 2026-01-02T02:04:05Z (1h ago)
    permission  UNVERIFIED (mode branch: whoever may push to the branch may deploy)
    writer      trueup run, process 12

    THE HEAD WAS NOT TAKEN: the last good revision stays enforced
      since 2026-01-02T01:04:05Z (2h ago)
      fedcba9876 does not parse:
      apps/quote/app.toml:3:1: unknown key

    hosts
      edge                     known
      rack-b-1                 UNKNOWN
          why: no answer within 20s

    apps
      order-prod               in sync
      quote-prod               DRIFTED
          container quote-prod-0 on edge
      web-prod                 HELD
          the blast radius (B3)
      web-test                 UNKNOWN
          host rack-b-1: no answer

    PAUSED: drift is reported and not healed
      app quote-prod until 2026-01-02T03:34:05Z (another 30m): moving racks

    QUARANTINED: the same change came again and again, and is left alone
      container web-prod-0 on edge
          why: memory: 3 times the same

    1 of 2 hosts known; 4 apps: 1 in sync, 1 drifted, 1 held, 1 unknown.
    "##);
}

#[test]
fn status_in_json() {
    assert_snapshot!(status(&status_sample(), Format::Json, false), @r##"
    {
      "age_seconds": 90000,
      "apps": {
        "order-prod": {
          "detail": null,
          "standing": "in_sync"
        },
        "quote-prod": {
          "detail": "container quote-prod-0 on edge",
          "standing": "drifted"
        },
        "web-prod": {
          "detail": "the blast radius (B3)",
          "standing": "held"
        },
        "web-test": {
          "detail": "host rack-b-1: no answer",
          "standing": "unknown"
        }
      },
      "commit": "quote 1.5",
      "committed": "2026-01-01T02:04:05Z",
      "enforced_since": "2026-01-02T02:04:05Z",
      "findings": [],
      "fleet": "community",
      "hosts": {
        "edge": {
          "known": true,
          "why": null
        },
        "rack-b-1": {
          "known": false,
          "why": "no answer within 20s"
        }
      },
      "kept_because": "fedcba9876 does not parse:\napps/quote/app.toml:3:1: unknown key",
      "kept_since": "2026-01-02T01:04:05Z",
      "now": "2026-01-02T03:04:05Z",
      "pauses": [
        {
          "reason": "moving racks",
          "until": "2026-01-02T03:34:05Z",
          "what": "app quote-prod"
        }
      ],
      "permission": {
        "broken_glass": null,
        "by": "unverified",
        "mode": "branch",
        "verified": false
      },
      "quarantined": {
        "container web-prod-0 on edge": "memory: 3 times the same"
      },
      "revision": "0123456789abcdef0123456789abcdef01234567",
      "summary": "1 of 2 hosts known; 4 apps: 1 in sync, 1 drifted, 1 held, 1 unknown.",
      "under_way": [],
      "writer": "trueup run, process 12"
    }
    "##);
}

#[test]
fn status_in_markdown() {
    assert_snapshot!(status(&status_sample(), Format::Markdown, false), @r##"
    ## Fleet `community` at `0123456789`

    **1 of 2 hosts known; 4 apps: 1 in sync, 1 drifted, 1 held, 1 unknown.**

    - commit: quote 1.5, 2026-01-01T02:04:05Z (1d 1h ago)
    - permission: UNVERIFIED (mode branch: whoever may push to the branch may deploy)
    - enforced since 2026-01-02T02:04:05Z (1h ago)
    - **the head was not taken**, since 2026-01-02T01:04:05Z (2h ago): fedcba9876 does not parse:<br>apps/quote/app.toml:3:1: unknown key
    - writer: trueup run, process 12

    | host | known |
    |---|---|
    | `edge` | yes |
    | `rack-b-1` | **no**: `no answer within 20s` |

    | app | standing | detail |
    |---|---|---|
    | `order-prod` | in sync |  |
    | `quote-prod` | DRIFTED | `container quote-prod-0 on edge` |
    | `web-prod` | HELD | `the blast radius (B3)` |
    | `web-test` | UNKNOWN | `host rack-b-1: no answer` |

    ### Paused

    - `app quote-prod` until 2026-01-02T03:34:05Z: moving racks

    ### Quarantined

    - `container web-prod-0 on edge`: memory: 3 times the same
    "##);
}

#[test]
fn history_in_text_and_markdown() {
    assert_snapshot!(history(&events(), Format::Text, false), @r##"
    2026-01-02T03:04:05Z  0123456789  revision     fleet
                          took 0123456789: quote 1.5
    2026-01-02T03:04:05Z  -           pause        app quote-prod
                          until `trueup resume`: a|b
    2026-01-02T03:04:05Z  -           resume       app quote-prod
    "##);
    assert_snapshot!(history(&events(), Format::Markdown, false), @r##"
    | when | revision | what | subject | detail |
    |---|---|---|---|---|
    | 2026-01-02T03:04:05Z | `0123456789` | `revision` | `fleet` | `took 0123456789: quote 1.5` |
    | 2026-01-02T03:04:05Z |  | `pause` | `app quote-prod` | until \`trueup resume\`: a&#124;b |
    | 2026-01-02T03:04:05Z |  | `resume` | `app quote-prod` |  |
    "##);
    assert!(history(&[], Format::Text, false).starts_with("Nothing has happened yet"));
}

/// A report with one of everything, its words taken from the status.
fn report_sample(plan: &Plan, status: &Status, entries: &[HistoryEntry]) -> Report {
    let name = |text: &str| text.parse().expect("a name");
    let why = status.kept_because.clone().unwrap_or_default();
    Report {
        fleet: name("community"),
        environments: vec!["prod".parse().expect("a name")],
        undeclared: vec!["stagging".parse().expect("a name")],
        summary: status.summary.clone(),
        committed: status.committed,
        enforced_since: None,
        kept_because: status.kept_because.clone(),
        kept_since: None,
        permission: status.permission.clone(),
        from: Timestamp(NOW.0 - 86_400_000),
        looked_at: LookedAt { apps: 3, hosts: 2, instances: 1 },
        plan: plan.clone(),
        since: [
            ("host rack-b-1 on rack-b-1".to_owned(), Timestamp(NOW.0 - 7_200_000)),
            ("node rack-c-1 on swarm prod".to_owned(), Timestamp(NOW.0 - 10_800_000)),
            ("container ledger-prod-0 on rack-a-1".to_owned(), Timestamp(NOW.0 - 14_400_000)),
        ]
        .into(),
        silent_hosts: [("rack-b-1".parse().expect("a name"), why.clone())].into(),
        down_nodes: vec![DownNode {
            swarm: "prod".to_owned(),
            node: "rack-c-1".to_owned(),
            why: why.clone(),
        }],
        held_addresses: vec![
            HeldAddress {
                host: "rack-b-1".to_owned(),
                swarm: None,
                holder: "quote-prod-1".to_owned(),
                app: "quote-prod".parse().ok(),
                network: "market".to_owned(),
                address: "192.0.2.65".parse().expect("an address"),
                since: Some(Timestamp(NOW.0 - 7_200_000)),
            },
            HeldAddress {
                host: "rack-c-1".to_owned(),
                swarm: Some("prod".to_owned()),
                holder: why.clone(),
                app: None,
                network: "back".to_owned(),
                address: "10.0.1.7".parse().expect("an address"),
                since: None,
            },
        ],
        done: entries.to_vec(),
        done_is_cut: true,
        unchecked: vec![why],
    }
}

#[test]
fn a_report_tells_the_same_in_every_form() {
    let report = report_sample(&full(), &status_sample(), &events());
    let text = super::report(&report, Format::Text, false);
    let forms = [text, super::report(&report, Format::Markdown, false), report_page(&report)];
    for words in [
        "Nothing was looked at in stagging: not declared. 2 objects differ",
        "1 node of a Swarm is down.",
        "trueup approve --plan feedfacecafe --reason WHY",
        "the last instance of a production app (B3)",
        "rack-b-1, since 2026-01-02T01:04:05Z (2h ago): ",
        "rack-c-1 of swarm prod, since 2026-01-02T00:04:05Z (3h ago): down: ",
        "192.0.2.65 on network market: quote-prod-1 on rack-b-1, silent since 2026-01-02T01:04:05Z (2h ago)",
        "on rack-c-1 of swarm prod, which is down",
        "what was done before 2026-01-02T03:04:05Z is left out",
        "since 2026-01-01T23:04:05Z (4h ago)",
        "can be changed in place",
    ] {
        for form in &forms {
            assert!(form.contains(words), "{words} is not in {form}");
        }
    }
    let [_, _, page] = &forms;
    assert!(!page.contains("></code>"), "an empty value is said to be one: {page}");
    assert!(page.contains("user: declared nothing, live "), "{page}");
    assert!(!forms.iter().any(|form| form.contains("enforced for")), "another revision is enforced");
}

#[test]
fn a_report_in_json_has_what_the_page_has() {
    let report = report_sample(&full(), &status_sample(), &events());
    let json: serde_json::Value =
        serde_json::from_str(&super::report(&report, Format::Json, false)).expect("JSON");
    assert_eq!(json["undeclared_environments"], serde_json::json!(["stagging"]));
    assert!(json["summary"].as_str().is_some_and(|s| s.starts_with("Nothing was looked at in stagging")));
    assert_eq!(json["silent_since"]["rack-b-1"], "2026-01-02T01:04:05Z");
    assert_eq!(json["down_nodes"][0]["since"], "2026-01-02T00:04:05Z");
    assert_eq!(
        json["held_addresses"][0],
        serde_json::json!({
            "host": "rack-b-1", "swarm": null, "holder": "quote-prod-1", "app": "quote-prod", "network": "market",
            "address": "192.0.2.65", "since": "2026-01-02T01:04:05Z",
        })
    );
    assert_eq!((&json["done_is_cut"], &json["enforced_since"]), (&true.into(), &serde_json::Value::Null));
}

/// Everything that can be printed, in one format.
fn all(plan: &Plan, status: &Status, entries: &[HistoryEntry], format: Format, colour: bool) -> Vec<String> {
    let ended: Vec<(Change, Outcome)> = plan
        .changes
        .iter()
        .map(|c| (c.clone(), Outcome::Failed { error: c.because.join(" "), transient: false }))
        .collect();
    vec![
        super::plan(plan, &installed(), format, colour),
        drift(plan, &since(), format, colour),
        outcomes(&ended, plan, format, colour),
        super::status(status, format, colour),
        history(entries, format, colour),
        super::report(&report_sample(plan, status, entries), format, colour),
    ]
}

#[test]
fn colour_is_only_where_it_was_asked_for() {
    for format in FORMATS {
        for text in all(&full(), &status_sample(), &events(), format, false) {
            assert!(!text.contains('\u{1b}'), "{text}");
        }
    }
    for text in all(&full(), &status_sample(), &events(), Format::Text, true) {
        assert!(text.contains("\u{1b}[") && text.contains("\u{1b}[0m"), "{text}");
        assert_eq!(text.matches("\u{1b}[0m").count() * 2, text.matches("\u{1b}[").count(), "each ink ends");
    }
}

/// What a container made by hand, an engine's error or a commit's title may hold.
const EVIL: &str = "x\u{1b}[2J\u{7}\r\n# owned\n| a | `b` ``` <script> @all ![i](//e) \u{202e}y";

fn evil_plan() -> Plan {
    let mut plan = empty();
    let thing = || subject(Kind::Container, EVIL, Some("edge"));
    plan.changes = vec![change(Verb::Remove, thing(), EVIL)];
    plan.held = vec![change(Verb::Remove, subject(Kind::Volume, EVIL, None), EVIL)];
    plan.blocked =
        vec![Blocked { subject: thing(), app: None, reason: EVIL.to_owned(), hint: EVIL.to_owned() }];
    plan.unknown = vec![Unknown { subject: thing(), why: EVIL.to_owned() }];
    plan.unmanaged = full().unmanaged;
    plan.unmanaged[0].subject.name = EVIL.to_owned();
    plan.unmanaged[0].why = EVIL.to_owned();
    plan.drift = drifts();
    plan.drift[0].subject.name = EVIL.to_owned();
    plan.drift[0].nature = Nature::Unhealthy(EVIL.to_owned());
    plan.drift[1].nature = Nature::Changed(vec![FieldChange {
        field: EVIL.to_owned(),
        desired: EVIL.to_owned(),
        live: EVIL.to_owned(),
        cure: Cure::ByHand,
    }]);
    plan.drift[0].left_alone = Some(EVIL.to_owned());
    plan.notes = vec![EVIL.to_owned()];
    plan
}

#[test]
fn a_name_or_an_error_cannot_command_the_terminal_or_the_page() {
    let mut status = status_sample();
    status.summary = EVIL.to_owned();
    status.kept_because = Some(EVIL.to_owned());
    status.hosts.insert("edge".parse().expect("a name"), Some(EVIL.to_owned()));
    status.apps.insert("web-prod".parse().expect("a key"), Standing::Held(EVIL.to_owned()));
    status.pauses = vec![(EVIL.to_owned(), None, EVIL.to_owned())];
    status.quarantined = [(EVIL.to_owned(), EVIL.to_owned())].into();
    status.writer = Some(EVIL.to_owned());
    let mut entries = events();
    entries[0].subject = EVIL.to_owned();
    entries[0].detail = EVIL.to_owned();
    entries[0].what = EVIL.to_owned();
    for format in FORMATS {
        for text in all(&evil_plan(), &status, &entries, format, false) {
            let unsafe_one = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
            let json = matches!(format, Format::Json);
            assert!(
                unsafe_one.is_none() || (json && unsafe_one == Some('\u{202e}')),
                "{unsafe_one:?} in {text}"
            );
            let owned = text.lines().any(|line| line.trim_start().starts_with("# owned"));
            // In text a line of an error may begin with anything; in Markdown it would be a heading.
            assert!(!owned || matches!(format, Format::Text), "{text}");
        }
    }
    for page in all(&evil_plan(), &status, &entries, Format::Markdown, false) {
        assert_page_is_inert(&page);
    }
    let page = report_page(&report_sample(&evil_plan(), &status, &entries));
    assert!(page.contains("&lt;script&gt;"), "the evil text is there: {page}");
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{page}");
}

/// Outside code spans there is no markup of the evil text; a table's row has its own number of cells.
fn assert_page_is_inert(page: &str) {
    for line in page.lines() {
        let prose = without_code(line);
        for bad in ["<script", "@all", "![i]", "`b`"] {
            assert!(!prose.contains(bad), "{bad} in {line}");
        }
        if line.starts_with("| ") {
            let cells = page.lines().filter(|l| l.starts_with("|---")).map(|l| l.matches('|').count());
            assert!(cells.clone().any(|n| n == line.matches('|').count()), "{line}");
        }
    }
}

/// The line without its code spans, as CommonMark finds them.
fn without_code(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        out += &rest[..at];
        if out.ends_with('\\') {
            out.push('`');
            rest = &rest[at + 1..];
            continue;
        }
        let fence = rest[at..].chars().take_while(|c| *c == '`').count();
        let after = &rest[at + fence..];
        let mut from = 0;
        let end = loop {
            let Some(start) = after[from..].find('`').map(|n| n + from) else { break None };
            let run = after[start..].chars().take_while(|c| *c == '`').count();
            if run == fence {
                break Some(start + run);
            }
            from = start + run;
        };
        match end {
            Some(end) => rest = &after[end..],
            None => {
                out += &rest[at..at + fence];
                rest = after;
            }
        }
    }
    out + rest
}

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
