//! The parts that plans, drift and outcomes share in text and Markdown: blocked, unknown, unmanaged, notes.

use std::collections::BTreeMap;

use crate::model::drift::{Cure, Drift, FieldChange, Nature, Subject};
use crate::model::plan::{Blocked, Change, Plan, Unmanaged};
use crate::model::units::Timestamp;

use super::escape::{code, line, lines, prose};
use super::paint::{Ink, Paint};
use super::wording::{blocked_otherwise, many, moment, on_its_host, subject_words};

/// When what is wrong was seen first, by the subject in words.
pub type Since = BTreeMap<String, Timestamp>;

/// `, since 2026-11-20T07:00:00Z (3d ago)`, where that is known.
pub fn since_words(subject: &Subject, since: &Since, plan: &Plan) -> String {
    let at = since.get(&subject.to_string());
    at.map(|at| format!(", since {}", moment(*at, plan.observed_at))).unwrap_or_default()
}

/// A heading line of text, after an empty one.
pub fn heading(paint: Paint, words: &str) -> String {
    format!("\n{}\n", paint.ink(Ink::Strong, words))
}

/// `indent` before the first line of `text`, and as many spaces before the others.
pub fn hang(indent: &str, text: &str) -> String {
    let spaces = " ".repeat(indent.chars().count());
    lines(text)
        .enumerate()
        .map(|(n, line)| format!("{}{line}\n", if n == 0 { indent } else { &spaces }))
        .collect()
}

/// One fact on one line: a value that holds line breaks does not pass for several facts.
pub fn fact(indent: &str, text: &str) -> String {
    format!("{indent}{}\n", line(text))
}

/// Everything after the changes, in text: blocked, unknown, unmanaged in the way, notes.
pub fn text(plan: &Plan, since: &Since, paint: Paint) -> String {
    let since = |subject: &Subject| paint.ink(Ink::Quiet, &since_words(subject, since, plan));
    let mut out = String::new();
    let blocked = blocked_otherwise(plan);
    if !blocked.is_empty() {
        out += &heading(paint, "BLOCKED: should happen and may not");
        for item in blocked {
            out += &blocked_text(item, &since(&item.subject), paint);
        }
    }
    if !plan.unknown.is_empty() {
        out += &heading(paint, "UNKNOWN: could not be read, and is not touched");
        for item in &plan.unknown {
            let words = line(&subject_words(&item.subject));
            out += &format!("  {} {words}{}\n", paint.ink(Ink::Change, "?"), since(&item.subject));
            out += &hang("      why:  ", &item.why);
        }
    }
    if !plan.unmanaged.is_empty() {
        out += &heading(paint, "UNMANAGED: not trueup's, and never changed");
        for item in &plan.unmanaged {
            out += &unmanaged_text(item, &since(&item.subject), paint);
        }
    }
    for (n, note) in plan.notes.iter().enumerate() {
        if n == 0 {
            out += &heading(paint, "NOTES");
        }
        out += &hang("  ", note);
    }
    out
}

/// What is blocked, why, and what to do next.
fn blocked_text(item: &Blocked, since: &str, paint: Paint) -> String {
    let Blocked { subject, app: _, reason, hint } = item;
    let mut out = format!("  {} {}{since}\n", paint.ink(Ink::Bad, "!"), line(&subject_words(subject)));
    out += &hang("      why:  ", reason);
    out + &hang("      next: ", hint)
}

fn unmanaged_text(item: &Unmanaged, since: &str, paint: Paint) -> String {
    let Unmanaged { subject, why, collides } = item;
    let way = if *collides { "  (stands where something declared should be)" } else { "" };
    let ink = if *collides { Ink::Bad } else { Ink::Quiet };
    let mut out = format!("  {} {}{way}{since}\n", paint.ink(ink, "*"), line(&subject_words(subject)));
    out += &hang("      why:  ", why);
    out
}

/// The same in Markdown.
pub fn markdown(plan: &Plan, since: &Since) -> String {
    let since = |subject: &Subject| since_words(subject, since, plan);
    let mut out = String::new();
    let blocked = blocked_otherwise(plan);
    if !blocked.is_empty() {
        out += "\n### Blocked\n\n";
        for item in blocked {
            out += &blocked_since_markdown(item, &since(&item.subject));
        }
    }
    if !plan.unknown.is_empty() {
        out += "\n### Unknown (not touched)\n\n";
        for item in &plan.unknown {
            let (words, since) = (code(&subject_words(&item.subject)), since(&item.subject));
            out += &format!("- {words}{since}: {}\n", prose(&item.why));
        }
    }
    if !plan.unmanaged.is_empty() {
        out += "\n### Unmanaged (never changed)\n\n";
        for item in &plan.unmanaged {
            let way = if item.collides { " **in the way**" } else { "" };
            let (words, since) = (code(&subject_words(&item.subject)), since(&item.subject));
            out += &format!("- {words}{way}{since}: {}\n", prose(&item.why));
        }
    }
    for (n, note) in plan.notes.iter().enumerate() {
        if n == 0 {
            out += "\n### Notes\n\n";
        }
        out += &format!("- {}\n", prose(note));
    }
    out
}

pub fn blocked_markdown(item: &Blocked) -> String {
    blocked_since_markdown(item, "")
}

fn blocked_since_markdown(item: &Blocked, since: &str) -> String {
    let Blocked { subject, app: _, reason, hint } = item;
    let next = if hint.is_empty() { String::new() } else { format!(" Next: {}", prose(hint)) };
    format!("- {}{since}: {}.{next}\n", code(&subject_words(subject)), prose(reason.trim_end_matches('.')))
}

/// A change and its reasons.
pub fn change_markdown(change: &Change) -> String {
    let interrupts = if change.interrupts { " (**interrupts**: requests may fail meanwhile)" } else { "" };
    let mut out =
        format!("- **{}** {}{interrupts}\n", change.action.name(), code(&on_its_host(&change.subject)));
    for reason in &change.because {
        out += &format!("  - {}\n", code(reason));
    }
    out
}

/// What a drift is, one line a fact: they are not made safe yet.
pub fn nature_lines(drift: &Drift) -> Vec<String> {
    match &drift.nature {
        Nature::Missing => vec!["declared and not there".to_owned()],
        Nature::Extra => vec!["trueup's, and no longer declared".to_owned()],
        Nature::Changed(fields) => fields
            .iter()
            .map(|f| {
                let FieldChange { field, desired, live, cure } = f;
                format!("{field}: declared {}, live {} ({})", shown(desired), shown(live), cure_words(*cure))
            })
            .collect(),
        Nature::NotRunning(what) => vec![format!("does not run: {what}")],
        Nature::Unhealthy(what) => vec![format!("runs and is not healthy: {what}")],
    }
}

/// What brings a field back.
pub const fn cure_words(cure: Cure) -> &'static str {
    match cure {
        Cure::InPlace => "can be changed in place",
        Cure::Replace => "needs a new one",
        Cure::ByHand => "only a person may change it",
    }
}

/// A value for the eyes: one that is empty is said to be.
pub fn shown(value: &str) -> &str {
    if value.is_empty() { "nothing" } else { value }
}

/// `1 blocked, 2 unknown`, or nothing.
pub fn troubles(plan: &Plan) -> Vec<String> {
    [(plan.held.len(), "held"), (blocked_otherwise(plan).len(), "blocked"), (plan.unknown.len(), "unknown")]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{n} {word}"))
        .collect()
}

/// What a summary ends with where the head is not what is enforced (A2), or nothing.
pub fn not_taken(plan: &Plan) -> Option<String> {
    plan.kept_because.as_ref().map(|_| "the head not taken".to_owned())
}

/// `2 changes left`, or nothing.
pub fn left(plan: &Plan) -> Option<String> {
    (!plan.changes.is_empty()).then(|| format!("{} left", many(plan.changes.len(), "change")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_line_breaks_is_one_fact() {
        let label = "label.team: declared (none), live x\n  ✓ create container web-prod-0\u{1b}[1A";
        let told = fact("      ", label);
        assert_eq!(told.lines().count(), 1);
        assert!(told.contains("\\n") && told.contains("\\u{1b}"), "{told}");
    }
}
