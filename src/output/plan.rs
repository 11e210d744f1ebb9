//! A plan for the eyes: changes by host with their reasons and diffs, then what is held, blocked and unknown.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::file::{FileSet, Files};
use crate::model::plan::{Change, Plan};

use super::contents::{self, FileDiff, shorten};
use super::escape::{code, line, prose};
use super::paint::{Ink, Paint};
use super::public;
use super::sections::{self, Since, fact, heading};
use super::wording::{by_place, change_words, many, mark, on_its_host, plan_summary};
use super::{findings, held};

type Installed = BTreeMap<FileSet, Option<Files>>;

/// How many of the changes that one waits for are named.
const NAMED: usize = 3;

pub fn text(plan: &Plan, installed: &Installed, paint: Paint) -> String {
    let mut out = format!(
        "Plan {} for revision {}, from what was seen at {}\n",
        line(&plan.id),
        line(plan.revision.short()),
        plan.observed_at
    );
    out += &body_text(plan, installed, paint);
    out + &format!("\n{}\n", paint.ink(Ink::Strong, &plan_summary(plan)))
}

/// All but the first and the last line.
pub fn body_text(plan: &Plan, installed: &Installed, paint: Paint) -> String {
    let mut out = String::new();
    for (host, changes) in by_place(&plan.changes, |change| &change.subject) {
        out += &heading(paint, &host);
        for change in changes {
            out += &change_text(plan, change, installed, paint);
        }
    }
    out += &held::text(plan, paint, |change| diffs_text(change, installed, paint));
    out += &findings::text(plan, paint);
    out + &sections::text(plan, &Since::new(), paint)
}

fn change_text(plan: &Plan, change: &Change, installed: &Installed, paint: Paint) -> String {
    let (sign, ink) = mark(change.action);
    let words = format!("{sign} {} {}", change.action.name(), line(&on_its_host(&change.subject)));
    let mut out = format!("  {}", paint.ink(ink, &words));
    if change.interrupts {
        out += &paint.ink(Ink::Bad, "  (INTERRUPTS: requests may fail meanwhile)");
    }
    out.push('\n');
    for reason in &change.because {
        out += &fact("      ", reason);
    }
    if let Some(waits) = waits_for(plan, change) {
        out += &format!("      {}\n", paint.ink(Ink::Quiet, &line(&waits)));
    }
    out + &diffs_text(change, installed, paint)
}

fn diffs_text(change: &Change, installed: &Installed, paint: Paint) -> String {
    contents::of(change, installed).iter().map(|file| diff_text(file, paint)).collect()
}

/// `after: create network market on rack-a-1, and 2 more`.
fn waits_for(plan: &Plan, change: &Change) -> Option<String> {
    let names: Vec<String> =
        change.after.iter().filter_map(|&at| plan.changes.get(at)).map(change_words).collect();
    let more = names.len().saturating_sub(NAMED);
    let tail = if more > 0 { format!(", and {more} more") } else { String::new() };
    let named: Vec<String> = names.into_iter().take(NAMED).collect();
    (!named.is_empty()).then(|| format!("after: {}{tail}", named.join(", ")))
}

fn diff_text(file: &FileDiff, paint: Paint) -> String {
    let (shown, left_out) = shorten(&file.diff);
    let mut out = contents::painted(&shown, paint);
    if left_out > 0 {
        out += &format!("        … {} more; `trueup render` shows the files\n", many(left_out, "line"));
    }
    out
}

pub fn json(plan: &Plan, installed: &Installed) -> Value {
    let Plan {
        id,
        revision,
        observed_at,
        changes,
        held,
        held_id,
        blocked,
        unknown,
        unmanaged,
        drift,
        notes,
        findings,
        kept_because,
        // Only the loop has any, and it prints no plans.
        under_way: _,
        // Each is told with its reason above.
        waiting: _,
    } = plan;
    json!({
        "id": id,
        "revision": revision,
        "observed_at": observed_at.to_string(),
        "exit_code": plan.exit_code(),
        "summary": plan_summary(plan),
        "changes": public::list(changes, |c| change_json(c, installed)),
        "held_id": held_id,
        "held": public::list(held, |c| change_json(c, installed)),
        "blocked": public::list(blocked, public::blocked),
        "unknown": public::list(unknown, public::unknown),
        "unmanaged": public::list(unmanaged, public::unmanaged),
        "drift": public::list(drift, public::drift),
        "notes": notes,
        "findings": public::list(&findings.findings, public::finding),
        "policy_notes": findings.notes,
        "kept_because": kept_because,
    })
}

/// A change with the diffs of its generated files.
fn change_json(change: &Change, installed: &Installed) -> Value {
    let mut value = public::change(change);
    value["files"] = json!(contents::of(change, installed));
    value
}

pub fn markdown(plan: &Plan, installed: &Installed) -> String {
    let mut out = format!(
        "## trueup plan {} for {}\n\n**{}**\n",
        code(&plan.id),
        code(plan.revision.short()),
        prose(&plan_summary(plan))
    );
    for (host, changes) in by_place(&plan.changes, |change| &change.subject) {
        out += &format!("\n### {}\n\n", prose(&host));
        for change in changes {
            out += &change_markdown(change, installed);
        }
    }
    out += &held::markdown(plan, |change| diffs_markdown(change, installed));
    out += &findings::markdown(plan);
    out + &sections::markdown(plan, &Since::new())
}

pub fn change_markdown(change: &Change, installed: &Installed) -> String {
    sections::change_markdown(change) + &diffs_markdown(change, installed)
}

fn diffs_markdown(change: &Change, installed: &Installed) -> String {
    let mut out = String::new();
    for file in contents::of(change, installed) {
        let (shown, left_out) = shorten(&file.diff);
        out.push('\n');
        out += &contents::fenced(&shown);
        if left_out > 0 {
            out += &format!("\n  … {} more\n", many(left_out, "line"));
        }
        out.push('\n');
    }
    out
}
