//! What the blast radius keeps waiting for a person (B3): each change with its reason, and how it is approved.

use super::escape::{code, line};
use super::paint::Paint;
use super::sections::{blocked_markdown, change_markdown, fact, hang, heading};
use super::wording::{change_words, held_because, mark};
use crate::model::plan::{Change, Plan};

/// `more` is what else is told of a change.
pub fn text(plan: &Plan, paint: Paint, more: impl Fn(&Change) -> String) -> String {
    if plan.held.is_empty() {
        return String::new();
    }
    let mut out = heading(paint, "HELD: waits for a person's approval");
    for change in &plan.held {
        let (sign, ink) = mark(change.action);
        out += &format!("  {}\n", paint.ink(ink, &format!("{sign} {}", line(&change_words(change)))));
        for reason in &change.because {
            out += &fact("      ", reason);
        }
        for blocked in held_because(plan, change) {
            out += &hang("      held: ", &blocked.reason);
        }
        out += &more(change);
    }
    out + &format!("  next: {}\n", approve(plan))
}

/// The same in Markdown.
pub fn markdown(plan: &Plan, more: impl Fn(&Change) -> String) -> String {
    if plan.held.is_empty() {
        return String::new();
    }
    let mut out = "\n### Held: waits for a person's approval\n\n".to_owned();
    for change in &plan.held {
        out += &change_markdown(change);
        out += &more(change);
        for blocked in held_because(plan, change) {
            out += &format!("  {}", blocked_markdown(blocked));
        }
    }
    out + &format!("\nTo allow it: {}\n", code(&approve(plan)))
}

pub fn approve(plan: &Plan) -> String {
    format!("trueup approve --plan {} --reason WHY", line(&plan.held_id))
}
