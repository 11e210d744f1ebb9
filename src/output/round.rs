//! One round of the loop in log lines: what was changed, what could not be, and how much is left.

use crate::model::names::Revision;
use crate::model::plan::{Change, Outcome, Plan};
use crate::model::units::Timestamp;

use super::escape::{line, lines as lines_of};
use super::wording::{change_words, moment, subject_words};

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Info,
    Warning,
}

/// The lines of a round; the last one sums up.
pub fn lines(kept_because: Option<&str>, ended: &[(Change, Outcome)], plan: &Plan) -> Vec<(Tone, String)> {
    let mut lines = Vec::new();
    if let Some(why) = kept_because {
        lines.push((Tone::Warning, kept(&plan.revision, why)));
    }
    for (change, outcome) in ended {
        let tone = match outcome {
            Outcome::Done | Outcome::Begun | Outcome::NotNeeded { .. } => Tone::Info,
            Outcome::Failed { .. } | Outcome::Skipped { .. } => Tone::Warning,
        };
        lines.push((tone, format!("{}: {}", line(&change_words(change)), line(&outcome_words(outcome)))));
    }
    for unknown in &plan.unknown {
        let text = format!("unknown: {}: {}", subject_words(&unknown.subject), unknown.why);
        lines.push((Tone::Warning, line(&text)));
    }
    for blocked in &plan.blocked {
        let what = subject_words(&blocked.subject);
        let text = format!("blocked: {what}: {}; next: {}", blocked.reason, blocked.hint);
        lines.push((Tone::Warning, line(&text)));
    }
    let done = ended.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Done)).count();
    lines.push((
        Tone::Info,
        format!(
            "at {}: {done} changed, {} left, {} blocked, {} unknown",
            plan.revision.short(),
            plan.changes.len(),
            plan.blocked.len(),
            plan.unknown.len()
        ),
    ));
    lines
}

/// Says that the head is not what is enforced (A2).
pub fn kept(enforced: &Revision, why: &str) -> String {
    format!("the head was not taken; {} stays enforced.\n{why}", enforced.short())
}

/// The same for a page that a machine asks for and a person reads.
pub fn kept_page(why: &str, since: Option<Timestamp>, now: Timestamp) -> String {
    let since = since.map(|at| format!(", since {}", moment(at, now))).unwrap_or_default();
    let why: String = lines_of(why).map(|text| format!("  {text}\n")).collect();
    format!("the head was not taken{since}; the last good revision stays enforced:\n{why}")
}

/// What ended the last round.
pub fn failed_page(error: &str) -> String {
    let error: String = lines_of(error).map(|text| format!("  {text}\n")).collect();
    format!("the last round ended with an error:\n{error}")
}

/// An outcome as people read it.
pub fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Begun => "sent, and Swarm is at it".to_owned(),
        Outcome::NotNeeded { why } => format!("not needed: {why}"),
        Outcome::Failed { error, .. } => format!("FAILED: {error}"),
        Outcome::Skipped { why } => format!("skipped: {why}"),
    }
}
