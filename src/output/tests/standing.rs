//! Status and history.

use super::*;

#[test]
fn status_in_text() {
    assert_snapshot!(status(&status_sample(), Format::Text, false), @r##"
    fleet       community
    revision    0123456789 quote 1.5
    committed   2026-01-01T02:04:05Z (1d 1h ago)
    enforced    since 2026-01-02T02:04:05Z (1h ago)
    rules       those of this commit judge nothing yet: they wait for what it changes of web-prod, web-test
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
      "rules_wait_for": [
        "web-prod",
        "web-test"
      ],
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
    - **rules**: those of this commit judge nothing yet: they wait for what it changes of web-prod, web-test
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
