//! What was done, as people and programs get it.

use super::*;

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
