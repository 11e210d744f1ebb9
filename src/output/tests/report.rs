//! Reports, in every form.

use super::*;

/// A report with one of everything, its words taken from the status.
pub(super) fn report_sample(plan: &Plan, status: &Status, entries: &[HistoryEntry]) -> Report {
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
        files: differing(&why),
        foreign: vec![Foreign {
            subject: subject(Kind::Container, &why, Some("rack-a-1")),
            made_of: MadeOf::Image(why.clone()),
            created: Some(Timestamp(NOW.0 - 273_600_000)),
            maker: Maker::Trueup { why: why.clone() },
        }],
        anonymous_volumes: BTreeMap::new(),
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
