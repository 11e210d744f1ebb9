//! A drift report for the eyes and for programs: the head, how things differ now, and what was done meanwhile.

use serde_json::{Value, json};

use crate::model::report::Report;

use super::escape::{code, lines, prose};
use super::paint::{Ink, Paint};
use super::permission;
use super::sections::{hang, heading};
use super::wording::{age, many, moment};
use super::{drift, history};

/// `1f2e3d4 (start), committed 3d ago, enforced for 2d 4h`.
fn revision(report: &Report) -> String {
    let now = report.plan.observed_at;
    let enforced = report.enforced_since.map(|since| format!(", enforced for {}", age(now.since(since))));
    format!(
        "{} ({}), committed {} ago{}",
        report.plan.revision.short(),
        report.summary,
        age(now.since(report.committed)),
        enforced.unwrap_or_default()
    )
}

/// The facts above everything else, in order.
pub fn head(report: &Report) -> Vec<(&'static str, String)> {
    let environments: Vec<&str> = report.environments.iter().map(|e| e.as_str()).collect();
    let looked_at = report.looked_at;
    let mut facts = vec![
        ("fleet", format!("{}, {}", report.fleet, environments.join(", "))),
        ("revision", revision(report)),
        ("permission", permission::report_words(&report.permission)),
        (
            "looked at",
            format!(
                "{}, {}, {}, at {}",
                many(looked_at.apps, "app"),
                many(looked_at.hosts, "host"),
                many(looked_at.instances, "instance"),
                report.plan.observed_at
            ),
        ),
    ];
    if let Some(why) = &report.kept_because {
        let since = report.kept_since.map(|at| format!(", since {}", moment(at, report.plan.observed_at)));
        facts.push(("NOT TAKEN", format!("the head of the repository{}: {why}", since.unwrap_or_default())));
    }
    if let Some(glass) = &report.permission.glass {
        facts.push(("GLASS", permission::glass_words(glass)));
    }
    facts
}

/// `nginx on h2`, with why and since when: hosts that do not answer.
pub fn silent(report: &Report) -> Vec<String> {
    let now = report.plan.observed_at;
    let since = |host: &str| {
        let first = report.since.get(&format!("host {host} on {host}"));
        first.map(|at| format!(", since {}", moment(*at, now))).unwrap_or_default()
    };
    let hosts = report.silent_hosts.iter();
    hosts.map(|(host, why)| format!("{host}{}: {why}", since(host.as_str()))).collect()
}

pub fn text(report: &Report, paint: Paint) -> String {
    let mut out = String::new();
    for (name, fact) in head(report) {
        let facts: Vec<String> = lines(&fact).collect();
        // A reason of several lines stands below its name.
        out +=
            &format!("{} {}\n", paint.ink(Ink::Quiet, &format!("{name:<10}")), facts.join("\n           "));
    }
    out += &drift::body(&report.plan, &report.since, paint);
    let silent = silent(report);
    if !silent.is_empty() {
        out += &heading(paint, "SILENT HOSTS: nothing there was checked");
        silent.iter().for_each(|host| out += &hang("  ", host));
    }
    out += &heading(paint, &format!("DONE since {}", moment(report.from, report.plan.observed_at)));
    if report.done.is_empty() {
        out += "  nothing\n";
    } else {
        let lines = history::text(&report.done, paint);
        lines.lines().for_each(|line| out += &format!("  {line}\n"));
    }
    if !report.unchecked.is_empty() {
        out += &heading(paint, "NOT CHECKED by this release");
        report.unchecked.iter().for_each(|what| out += &hang("  ", what));
    }
    out + &format!("\n{}\n", paint.ink(Ink::Strong, &drift::summary(&report.plan)))
}

pub fn json(report: &Report) -> Value {
    let mut value = drift::json(&report.plan, &report.since);
    let more = json!({
        "fleet": report.fleet,
        "environments": report.environments,
        "revision_summary": report.summary,
        "committed": report.committed.to_string(),
        "enforced_since": report.enforced_since.map(|at| at.to_string()),
        "kept_because": report.kept_because,
        "kept_since": report.kept_since.map(|at| at.to_string()),
        "permission": permission::word(&report.permission),
        "from": report.from.to_string(),
        "looked_at": {
            "apps": report.looked_at.apps, "hosts": report.looked_at.hosts, "instances": report.looked_at.instances,
        },
        "silent_hosts": report.silent_hosts,
        "done": history::json(&report.done)["entries"],
        "unchecked": report.unchecked,
    });
    if let (Some(fields), Value::Object(more)) = (value.as_object_mut(), more) {
        fields.extend(more);
    }
    value
}

pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    for (name, fact) in head(report) {
        out += &format!("- **{name}**: {}\n", prose(&fact));
    }
    out += "\n";
    out += &drift::markdown(&report.plan, &report.since);
    let silent = silent(report);
    if !silent.is_empty() {
        out += "\n### Silent hosts: nothing there was checked\n\n";
        silent.iter().for_each(|host| out += &format!("- {}\n", prose(host)));
    }
    out += &format!("\n### Done since {}\n\n", code(&report.from.to_string()));
    out += &if report.done.is_empty() { "Nothing.\n".to_owned() } else { history::markdown(&report.done) };
    if !report.unchecked.is_empty() {
        out += "\n### Not checked by this release\n\n";
        report.unchecked.iter().for_each(|what| out += &format!("- {}\n", prose(what)));
    }
    out
}
