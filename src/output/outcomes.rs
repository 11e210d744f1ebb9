//! How an apply ended: each change with its outcome, what is left, and one line that says whether it converged.

use serde_json::{Value, json};

use crate::model::plan::{Change, Outcome, Plan};

use super::escape::{code, line, prose};
use super::paint::{Ink, Paint};
use super::public;
use super::sections::{self, hang, heading};
use super::wording::{are, by_place, change_words, held_because, on_its_host};

type Ended = (Change, Outcome);

pub fn text(outcomes: &[Ended], last: &Plan, paint: Paint) -> String {
    let mut out = format!("Applied revision {}\n", line(last.revision.short()));
    for (host, ended) in by_place(outcomes, |(change, _)| &change.subject) {
        out += &heading(paint, &host);
        for (change, outcome) in ended {
            out += &one_text(change, outcome, paint);
        }
    }
    if !last.changes.is_empty() {
        out += &heading(paint, "LEFT: still to be done");
        for change in &last.changes {
            out += &format!("  {}\n", line(&change_words(change)));
            for reason in &change.because {
                out += &hang("      ", reason);
            }
        }
    }
    out += &held_text(last, paint);
    out += &sections::text(last, paint);
    out + &format!("\n{}\n", paint.ink(Ink::Strong, &summary(outcomes, last)))
}

fn one_text(change: &Change, outcome: &Outcome, paint: Paint) -> String {
    let (sign, ink, word) = match outcome {
        Outcome::Done => ("✓", Ink::Good, "done"),
        Outcome::Begun => ("…", Ink::Change, "sent, and Swarm is at it"),
        Outcome::NotNeeded { .. } => ("=", Ink::Quiet, "not needed"),
        Outcome::Failed { transient: true, .. } => ("✗", Ink::Bad, "FAILED, worth trying again"),
        Outcome::Failed { transient: false, .. } => ("✗", Ink::Bad, "FAILED"),
        Outcome::Skipped { .. } => ("-", Ink::Change, "skipped"),
    };
    let what = format!("{sign} {} {}", change.action.name(), line(&on_its_host(&change.subject)));
    let mut out = format!("  {}: {word}\n", paint.ink(ink, &what));
    match outcome {
        Outcome::Done | Outcome::Begun => {}
        Outcome::NotNeeded { why } | Outcome::Skipped { why } => out += &hang("      why: ", why),
        Outcome::Failed { error, .. } => out += &hang("      why: ", error),
    }
    out
}

fn held_text(last: &Plan, paint: Paint) -> String {
    if last.held.is_empty() {
        return String::new();
    }
    let mut out = heading(paint, "HELD: waits for a person's approval");
    for change in &last.held {
        out += &format!("  {}\n", line(&change_words(change)));
        for blocked in held_because(last, change) {
            out += &hang("      held: ", &blocked.reason);
        }
    }
    out + &format!("  next: trueup approve --plan {} --reason WHY\n", line(&last.held_id))
}

/// How many ended how.
struct Counts {
    done: usize,
    begun: usize,
    not_needed: usize,
    failed: usize,
    skipped: usize,
}

fn counts(outcomes: &[Ended]) -> Counts {
    let mut counts = Counts { done: 0, begun: 0, not_needed: 0, failed: 0, skipped: 0 };
    for (_, outcome) in outcomes {
        match outcome {
            Outcome::Done => counts.done += 1,
            Outcome::Begun => counts.begun += 1,
            Outcome::NotNeeded { .. } => counts.not_needed += 1,
            Outcome::Failed { .. } => counts.failed += 1,
            Outcome::Skipped { .. } => counts.skipped += 1,
        }
    }
    counts
}

fn summary(outcomes: &[Ended], last: &Plan) -> String {
    let Counts { done, begun, not_needed, failed, skipped } = counts(outcomes);
    let mut parts =
        vec![if outcomes.is_empty() { "Nothing was changed".to_owned() } else { format!("{done} done") }];
    for (n, word) in [(begun, "begun"), (not_needed, "not needed"), (failed, "failed"), (skipped, "skipped")]
    {
        if n > 0 {
            parts.push(format!("{n} {word}"));
        }
    }
    let mut rest: Vec<String> = sections::left(last).into_iter().collect();
    rest.extend(sections::troubles(last));
    let end = match (rest.is_empty(), last.drift.len()) {
        (true, 0) => "everything is as declared now".to_owned(),
        // Ignored, detect-only or paused (A6).
        (true, n) => format!("{} not as declared and left alone: `trueup drift` says why", are(n)),
        (false, _) => rest.join(", "),
    };
    format!("{}; {end}.", parts.join(", "))
}

pub fn json(outcomes: &[Ended], last: &Plan) -> Value {
    json!({
        "revision": last.revision,
        "summary": summary(outcomes, last),
        "outcomes": public::list(outcomes, public::outcome),
        "left": public::list(&last.changes, public::change),
        "held_id": last.held_id,
        "held": public::list(&last.held, public::change),
        "blocked": public::list(&last.blocked, public::blocked),
        "unknown": public::list(&last.unknown, public::unknown),
        "unmanaged": public::list(&last.unmanaged, public::unmanaged),
        "notes": last.notes,
        "kept_because": last.kept_because,
    })
}

pub fn markdown(outcomes: &[Ended], last: &Plan) -> String {
    let mut out = format!(
        "## trueup applied {}\n\n**{}**\n",
        code(last.revision.short()),
        prose(&summary(outcomes, last))
    );
    for (host, ended) in by_place(outcomes, |(change, _)| &change.subject) {
        out += &format!("\n### {}\n\n", prose(&host));
        for (change, outcome) in ended {
            let what = code(&format!("{} {}", change.action.name(), on_its_host(&change.subject)));
            out += &match outcome {
                Outcome::Done => format!("- {what}: done\n"),
                Outcome::Begun => format!("- {what}: sent, and Swarm is at it\n"),
                Outcome::NotNeeded { why } => format!("- {what}: not needed: {}\n", prose(why)),
                Outcome::Failed { error, .. } => format!("- {what}: **failed**: {}\n", prose(error)),
                Outcome::Skipped { why } => format!("- {what}: skipped: {}\n", prose(why)),
            };
        }
    }
    for (list, title) in [(&last.changes, "Left"), (&last.held, "Held: waits for a person's approval")] {
        if !list.is_empty() {
            out += &format!("\n### {title}\n\n");
        }
        for change in list {
            out += &format!("- {}\n", code(&change_words(change)));
        }
    }
    out + &sections::markdown(last)
}
