//! What a report shows beside the fields that differ: the text of generated files, and foreign things.

use super::report::report_sample;
use super::*;
use crate::model::drift::Drift;
use crate::model::file::{FileSet, Sides};
use crate::model::report::Report;

fn sample() -> Report {
    let mut plan = empty();
    plan.drift = vec![Drift {
        subject: subject(Kind::Files, "nginx", None),
        app: None,
        nature: Nature::Changed(vec![FieldChange {
            field: "quote.conf".to_owned(),
            desired: "0123456789ab".to_owned(),
            live: "ba9876543210".to_owned(),
            cure: Cure::InPlace,
        }]),
        left_alone: None,
    }];
    let mut report = report_sample(&plan, &status_sample(), &events());
    report.files = differing("upstream quote {\n  server 192.0.2.99:8080;\n}\n");
    report.foreign = Vec::new();
    report
}

fn forms(report: &Report) -> [String; 3] {
    let text = super::super::report(report, Format::Text, false);
    [text, super::super::report(report, Format::Markdown, false), report_page(report)]
}

fn json(report: &Report) -> serde_json::Value {
    serde_json::from_str(&super::super::report(report, Format::Json, false)).expect("JSON")
}

/// Without the markup that stands between the words.
fn words(form: &str) -> String {
    let mut inside = false;
    let is_word = |c: &char| {
        let was = inside;
        inside = (inside || *c == '<') && *c != '>';
        !was && !inside && *c != '`'
    };
    form.chars().filter(is_word).collect()
}

#[test]
fn the_text_of_a_generated_file_is_shown_as_a_diff() {
    let report = sample();
    let lines = [
        "--- nginx/quote.conf (installed)",
        "+++ nginx/quote.conf (declared)",
        "-  server 192.0.2.99:8080;",
        "+  server 192.0.2.64:8080;",
    ];
    for form in forms(&report) {
        for line in lines {
            assert!(form.contains(line), "{line} is not in {form}");
        }
    }
    let diff = json(&report)["drift"][0]["files"][0].clone();
    assert_eq!(diff["file"], "nginx/quote.conf");
    assert!(lines.iter().all(|line| diff["diff"].as_str().is_some_and(|diff| diff.contains(line))), "{diff}");
    let drifts = drift(&report.plan, &since(), &report.files, Format::Text, false);
    assert!(drifts.contains(lines[2]), "{drifts}");
}

#[test]
fn many_differing_files_are_not_all_printed() {
    let mut report = sample();
    let wanted = (0..40).map(|n| (format!("app{n:02}.conf"), "a line\n".repeat(100))).collect();
    report.files = [(FileSet::Nginx, Sides { wanted, ..Sides::default() })].into();
    for form in forms(&report) {
        assert!(form.contains("… 37 more differing files; JSON has them all"), "{form}");
        assert!(form.contains("… 23 more lines"), "{form}");
        assert!(form.lines().count() < 400, "{} lines", form.lines().count());
    }
    assert_eq!(json(&report)["drift"][0]["files"].as_array().map(Vec::len), Some(40));
}

fn foreign(name: &str, host: &str, maker: Maker) -> Foreign {
    Foreign {
        subject: subject(Kind::Container, name, Some(host)),
        made_of: MadeOf::Image("alpine:3.20".to_owned()),
        created: Some(Timestamp(NOW.0 - 7_200_000)),
        maker,
    }
}

#[test]
fn foreign_things_are_told_by_name_image_place_and_age() {
    let mut report = sample();
    let summary = json(&report)["summary"].clone();
    report.foreign = vec![
        foreign("debug-me", "edge", Maker::Nobody),
        foreign(
            "quote-prod-9",
            "edge",
            Maker::Trueup { why: "it belongs to the fleet \"other\"".to_owned() },
        ),
        foreign("back.1.x", "edge", Maker::Swarm { service: Some("back".to_owned()) }),
        foreign("old.1.x", "rack-a-1", Maker::Swarm { service: None }),
    ];
    for form in forms(&report) {
        let form = words(&form).replace("&quot;", "\"");
        for told in [
            "in nobody's way, and never changed",
            "container debug-me",
            "alpine:3.20, created 2026-01-02T01:04:05Z (2h ago), by hand or by another tool",
            "it belongs to the fleet \"other\"",
            "a task of the Swarm's service back",
            "a Swarm's task by its name and labels",
            "on edge",
            "on rack-a-1",
        ] {
            assert!(form.to_lowercase().contains(&told.to_lowercase()), "{told} is not in {form}");
        }
    }
    let json = json(&report);
    assert_eq!(
        json["foreign"][0],
        serde_json::json!({
            "kind": "container", "name": "debug-me", "host": "edge", "image": "alpine:3.20", "driver": null,
            "created": "2026-01-02T01:04:05Z", "made_by": "nobody", "detail": null,
        })
    );
    assert_eq!(
        (&json["foreign"][2]["made_by"], &json["foreign"][2]["detail"]),
        (&"swarm".into(), &"back".into())
    );
    assert_eq!(json["summary"], summary, "they are in no count");
}

#[test]
fn a_host_full_of_foreign_things_does_not_drown_the_report() {
    let mut report = sample();
    let of = |host: &str, count: usize| -> Vec<Foreign> {
        (0..count).map(|n| foreign(&format!("job-{n:03}"), host, Maker::Nobody)).collect()
    };
    report.foreign = of("edge", 300);
    for form in forms(&report) {
        assert_eq!(form.matches("container job-").count(), 10);
        assert!(form.contains("… and 290 more containers; JSON names them"), "{form}");
    }
    report.foreign = (0..9).flat_map(|n| of(&format!("rack-{n}"), 11)).collect();
    for form in forms(&report) {
        assert_eq!(form.matches("container job-").count(), 60);
        assert!(form.contains("… and 1 more container; JSON names them"), "{form}");
        assert!(form.contains("… 11 containers; JSON names them"), "{form}");
    }
    assert_eq!(json(&report)["foreign"].as_array().map(Vec::len), Some(99));
}

#[test]
fn hundreds_of_foreign_volumes_hide_no_container_and_are_not_all_printed() {
    let mut report = sample();
    let volume = |n: usize| Foreign {
        subject: subject(Kind::Volume, &format!("data-{n:03}"), Some("edge")),
        made_of: MadeOf::Driver("local".to_owned()),
        created: None,
        maker: Maker::Nobody,
    };
    let network = Foreign {
        subject: subject(Kind::Network, "shop_default", Some("edge")),
        made_of: MadeOf::Driver("bridge".to_owned()),
        ..volume(0)
    };
    report.foreign = vec![foreign("debug-me", "edge", Maker::Nobody), network];
    report.foreign.extend((0..300).map(volume));
    report.anonymous_volumes =
        [("edge", 412), ("rack-a-1", 1)].map(|(host, count)| (host.parse().expect("a name"), count)).into();
    for form in forms(&report) {
        let form = words(&form);
        for told in [
            "container debug-me",
            "network shop_default: driver bridge, by hand or by another tool",
            "volume data-004: driver local, by hand or by another tool",
            "… and 295 more volumes; JSON names them",
            "… and 412 volumes that nobody named",
            "on rack-a-1",
            "… 1 volume that nobody named",
        ] {
            let form = form.split_whitespace().collect::<Vec<_>>().join(" ");
            let told = told.to_owned();
            let as_text = told.replace(": driver", " driver");
            assert!(form.contains(&told) || form.contains(&as_text), "{told} is not in {form}");
        }
        assert_eq!(form.matches("volume data-").count(), 5);
    }
    let json = json(&report);
    assert_eq!(json["foreign"].as_array().map(Vec::len), Some(302));
    assert_eq!(json["anonymous_volumes"], serde_json::json!({ "edge": 412, "rack-a-1": 1 }));
    let network = &json["foreign"][1];
    assert_eq!((&network["driver"], &network["image"]), (&"bridge".into(), &serde_json::Value::Null));
    assert_eq!(network["created"], serde_json::Value::Null);
}
