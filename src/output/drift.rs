//! Drift for the eyes: what differs from git, field by field, since when, and what becomes of it.

use serde_json::{Value, json};

use crate::model::drift::{Drift, Subject};
use crate::model::file::Differing;
use crate::model::plan::Plan;
use crate::model::units::Timestamp;

use super::escape::{code, line, prose};
use super::paint::{Ink, Paint};
use super::sections::{self, Since, fact, hang, heading, nature_lines, since_words};
use super::wording::{by_place, many, moment, on_its_host};
use super::{contents, findings, held, public};

fn first_seen(subject: &Subject, since: &Since) -> Option<Timestamp> {
    since.get(&subject.to_string()).copied()
}

pub fn text(plan: &Plan, since: &Since, files: &Differing, paint: Paint) -> String {
    let mut out =
        format!("Drift from revision {}, as seen at {}\n", line(plan.revision.short()), plan.observed_at);
    out += &body(plan, since, files, paint);
    out + &format!("\n{}\n", paint.ink(Ink::Strong, &summary(plan)))
}

/// By host, and then what is blocked, unknown and unmanaged.
pub fn body(plan: &Plan, since: &Since, files: &Differing, paint: Paint) -> String {
    let mut out = String::new();
    for (host, drifts) in by_place(&plan.drift, |d| &d.subject) {
        out += &heading(paint, &host);
        for drift in drifts {
            out += &one_text(drift, plan, since, paint);
            out += &contents::drift_text(drift, files, paint);
        }
    }
    out += &held::text(plan, paint, |_| String::new());
    out += &findings::text(plan, paint);
    out + &sections::text(plan, since, paint)
}

fn one_text(drift: &Drift, plan: &Plan, since: &Since, paint: Paint) -> String {
    let when = first_seen(&drift.subject, since)
        .map(|at| format!("  since {}", moment(at, plan.observed_at)))
        .unwrap_or_default();
    let app = drift.app.as_ref().map(|app| format!(" of app {app}")).unwrap_or_default();
    let words = format!("≠ {}", line(&on_its_host(&drift.subject)));
    let mut out =
        format!("  {}{}{}\n", paint.ink(Ink::Change, &words), line(&app), paint.ink(Ink::Quiet, &when));
    for told in nature_lines(drift) {
        out += &fact("      ", &told);
    }
    if let Some(why) = &drift.left_alone {
        out += &hang("      left alone: ", why);
    }
    out
}

pub fn summary(plan: &Plan) -> String {
    let alone = plan.drift.iter().filter(|d| d.left_alone.is_some()).count();
    let mut parts = Vec::new();
    if plan.drift.is_empty() {
        parts.push(
            if plan.unknown.is_empty() { "No drift" } else { "No drift in what could be read" }.to_owned(),
        );
    } else {
        let verb = if plan.drift.len() == 1 { "differs" } else { "differ" };
        parts.push(format!("{} {verb}", many(plan.drift.len(), "object")));
    }
    if alone > 0 {
        parts.push(format!("{alone} left alone"));
    }
    parts.extend(sections::troubles(plan));
    parts.extend(sections::not_taken(plan));
    format!("{}.", parts.join(", "))
}

pub fn json(plan: &Plan, since: &Since, files: &Differing) -> Value {
    let dated = |subject: &Subject, mut value: Value| {
        value["since"] = first_seen(subject, since).map_or(Value::Null, |at| at.to_string().into());
        value
    };
    json!({
        "revision": plan.revision,
        "observed_at": plan.observed_at.to_string(),
        "summary": summary(plan),
        "drift": public::list(&plan.drift, |drift| {
            let mut value = dated(&drift.subject, public::drift(drift));
            value["files"] = json!(contents::of_drift(drift, files));
            value
        }),
        "held_id": plan.held_id,
        "held": public::list(&plan.held, |change| dated(&change.subject, public::change(change))),
        "blocked": public::list(&plan.blocked, |item| dated(&item.subject, public::blocked(item))),
        "unknown": public::list(&plan.unknown, |item| dated(&item.subject, public::unknown(item))),
        "unmanaged": public::list(&plan.unmanaged, |item| dated(&item.subject, public::unmanaged(item))),
        "notes": plan.notes,
        "findings": public::list(&plan.findings.findings, public::finding),
    })
}

pub fn markdown(plan: &Plan, since: &Since, files: &Differing) -> String {
    markdown_with(plan, since, files, &summary(plan))
}

/// With another verdict than the plan's own.
pub fn markdown_with(plan: &Plan, since: &Since, files: &Differing, summary: &str) -> String {
    let mut out = format!("## Drift from {}\n\n**{}**\n", code(plan.revision.short()), prose(summary));
    for (host, drifts) in by_place(&plan.drift, |d| &d.subject) {
        out += &format!("\n### {}\n\n", prose(&host));
        for drift in drifts {
            let when = since_words(&drift.subject, since, plan);
            out += &format!("- {}{when}\n", code(&on_its_host(&drift.subject)));
            for fact in nature_lines(drift) {
                out += &format!("  - {}\n", code(&fact));
            }
            if let Some(why) = &drift.left_alone {
                out += &format!("  - left alone: {}\n", prose(why));
            }
            out += &contents::drift_markdown(drift, files);
        }
    }
    out += &held::markdown(plan, |_| String::new());
    out += &findings::markdown(plan);
    out + &sections::markdown(plan, since)
}
