//! What a pull request would do, for a reviewer who has a minute: what changes, what stops it, whom it concerns.

mod comment;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::model::check::{Checked, Declared, Forecast, JudgedBy, Owners, Sight, Touched, Valid, Verdict};
use crate::model::observed::RulesOf;

use super::escape::{line, lines};
use super::paint::{Ink, Paint};
use super::sections::{hang, heading};
use super::wording::{are, change_words, many, plan_summary};
use super::{findings, plan, public};

pub use comment::markdown;

/// Lines of a CODEOWNERS file that are complained of.
const PROBLEMS: usize = 10;

/// The one line that says it all.
fn summary(checked: &Checked) -> String {
    let valid = match &checked.verdict {
        Verdict::Invalid { .. } => {
            return "This branch is not valid: nothing of it would be enforced.".to_owned();
        }
        Verdict::Valid(valid) => valid,
    };
    let denied = valid.findings.holding().count();
    let told = match &valid.forecast {
        Some(forecast) if forecast.blind && forecast.plan.exit_code() == 0 && !valid.declared.is_empty() => {
            format!(
                "{} declared differently; values of variables could not be compared with what runs, and nothing else differs.",
                are_apps(valid.declared.len())
            )
        }
        Some(forecast) if forecast.plan.exit_code() == 0 => "Nothing would be changed.".to_owned(),
        Some(forecast) => {
            plan_summary(&forecast.plan).replace("; nothing was changed.", ", once it is merged.")
        }
        None if valid.declared.is_empty() && checked.touches_config() => {
            "No app's own values differ; hosts, networks or files do, and no fleet was looked at.".to_owned()
        }
        None if valid.declared.is_empty() => "Nothing is declared differently.".to_owned(),
        None => format!("{} declared differently; no fleet was looked at.", are_apps(valid.declared.len())),
    };
    if denied == 0 { told } else { format!("{told} The policies hold it: {}.", many(denied, "finding")) }
}

fn are_apps(n: usize) -> String {
    format!("{} {}", many(n, "app"), if n == 1 { "is" } else { "are" })
}

/// What the forecast is made from.
fn sight(valid: &Valid) -> String {
    match valid.sight {
        Sight::Fleet { at } => format!("planned against the fleet as it was at {at}"),
        Sight::Snapshot { at } => format!("planned against a snapshot of {at}"),
        Sight::Nothing => "no fleet was looked at".to_owned(),
    }
}

/// Whose rules it was judged by.
fn judged_by(judged: &JudgedBy) -> String {
    let by = match &judged.rules {
        RulesOf::Revision(revision) => format!("judged by the rules of {}", revision.short()),
        RulesOf::Nobody => "judged by the library's rules alone".to_owned(),
    };
    match &judged.stand_in {
        None => format!("{by}, as they were applied last"),
        Some(why) => format!("{by}, the base, since {why}"),
    }
}

/// What a reader should know before the rest.
fn warnings(checked: &Checked) -> Vec<String> {
    let mut out = Vec::new();
    if checked.behind > 0 {
        out.push(format!(
            "the branch lacks {} of {}: what they changed is not in this answer",
            many(checked.behind, "commit"),
            checked.base.short()
        ));
    }
    if !checked.rules.is_empty() {
        out.push(format!(
            "it changes the rules themselves, which judge only from the next change on: {}",
            checked.rules.join(", ")
        ));
    }
    if let Verdict::Valid(valid) = &checked.verdict {
        out.extend(valid.assumed.iter().cloned());
        if let Some(forecast) = valid.forecast.as_ref().filter(|forecast| forecast.stuck > 0) {
            out.push(format!("without the branch too, {} blocked", are(forecast.stuck)));
        }
    }
    let read = checked.owners_file.as_deref().unwrap_or_default();
    let problems = &checked.owners_problems;
    out.extend(problems.iter().take(PROBLEMS).map(|problem| format!("{read}:{problem}")));
    let more = problems.len().saturating_sub(PROBLEMS);
    if more > 0 {
        out.push(format!("{read}: and {} more that mean nothing", many(more, "line")));
    }
    out
}

/// Whom it concerns: owners in words, and the files that are theirs. Files without any come last.
fn owners(touched: &[Touched]) -> (Vec<(String, Vec<&str>)>, Vec<&str>) {
    let mut shares: BTreeMap<&Owners, BTreeSet<&str>> = BTreeMap::new();
    for file in touched {
        for owners in &file.owners {
            shares.entry(owners).or_default().insert(&file.path);
        }
    }
    let words = |owners: &Owners| {
        let section = owners.section.as_ref().map(|name| format!("[{name}] ")).unwrap_or_default();
        let optional = if owners.optional { " (optional)" } else { "" };
        format!("{section}{}{optional}", owners.names.join(" "))
    };
    let owned =
        shares.into_iter().map(|(owners, paths)| (words(owners), paths.into_iter().collect())).collect();
    let nobodys =
        touched.iter().filter(|file| file.owners.is_empty()).map(|file| file.path.as_str()).collect();
    (owned, nobodys)
}

/// `- image = "quote:1.4"` and `+ image = "quote:1.5"`, one line a value.
fn values(declared: &Declared) -> String {
    let mut out = String::new();
    for value in &declared.values {
        let mut side = |sign: char, text: &Option<String>, origin: &str| {
            if let Some(text) = text {
                out += &format!("{sign} {} = {}{origin}\n", line(&value.path), line(text));
            }
        };
        let origin = format!("    # {}", line(&value.origin));
        side('-', &value.before, if value.after.is_none() { &origin } else { "" });
        side('+', &value.after, &origin);
    }
    out
}

pub fn text(checked: &Checked, paint: Paint) -> String {
    let Checked { base, head, since, touched, .. } = checked;
    let mut out = format!(
        "{} against {}, from {} on: {}\n",
        head.short(),
        base.short(),
        since.short(),
        many(touched.len(), "file")
    );
    warnings(checked).iter().for_each(|warning| out += &hang("  note: ", warning));
    match &checked.verdict {
        Verdict::Invalid { errors } => {
            out += &heading(paint, "NOT VALID");
            lines(errors).for_each(|line| out += &format!("  {line}\n"));
        }
        Verdict::Valid(valid) => out += &valid_text(valid, paint),
    }
    let (owned, nobodys) = owners(touched);
    if !owned.is_empty() {
        out += &heading(paint, "OWNERS of what is touched");
        for (names, paths) in owned {
            out += &format!("  {}\n", line(&names));
            paths.iter().for_each(|path| out += &hang("      ", path));
        }
    }
    if checked.owners_file.is_some() && !nobodys.is_empty() {
        out += &heading(paint, "WITHOUT AN OWNER");
        nobodys.iter().for_each(|path| out += &hang("  ", path));
    }
    out + &format!("\n{}\n", paint.ink(Ink::Strong, &line(&summary(checked))))
}

fn valid_text(valid: &Valid, paint: Paint) -> String {
    let mut out = format!("  {}\n", sight(valid));
    out += &hang("  ", &judged_by(&valid.judged_by));
    if !valid.declared.is_empty() {
        out += &heading(paint, "DECLARED");
        for declared in &valid.declared {
            out += &format!("  {} ({})\n", line(&declared.app.to_string()), declared.how.name());
            for line in values(declared).lines() {
                let ink = if line.starts_with('+') { Ink::Good } else { Ink::Bad };
                out += &format!("      {}\n", paint.ink(ink, line));
            }
        }
    }
    match &valid.forecast {
        Some(Forecast { plan, installed, anyway, .. }) => {
            out += &plan::body_text(plan, installed, paint);
            if !anyway.is_empty() {
                out += &heading(paint, "WITHOUT THE BRANCH TOO");
                anyway.iter().for_each(|change| out += &hang("  ", &change_words(change)));
            }
        }
        None => out += &findings::lines_text(&valid.findings, paint),
    }
    out
}

pub fn json(checked: &Checked) -> Value {
    let Checked { fleet, base, head, since, behind, touched, owners_file, .. } = checked;
    let mut out = json!({
        "fleet": fleet,
        "base": base,
        "head": head,
        "since": since,
        "behind": behind,
        "exit_code": checked.exit_code(),
        "summary": summary(checked),
        "warnings": warnings(checked),
        "touched": public::list(touched, touched_json),
        "owners_file": owners_file,
        "rules": checked.rules,
        "errors": Value::Null,
        "seen": Value::Null,
        "judged_by": Value::Null,
        "declared": [],
        "forecast": Value::Null,
        "findings": [],
        "policy_notes": [],
    });
    match &checked.verdict {
        Verdict::Invalid { errors } => out["errors"] = json!(errors),
        Verdict::Valid(valid) => {
            let (how, at) = match valid.sight {
                Sight::Fleet { at } => ("fleet", Some(at)),
                Sight::Snapshot { at } => ("snapshot", Some(at)),
                Sight::Nothing => ("nothing", None),
            };
            out["seen"] = json!({ "how": how, "at": at.map(|at| at.to_string()) });
            let JudgedBy { rules, stand_in } = &valid.judged_by;
            let revision = match rules {
                RulesOf::Revision(revision) => Some(revision),
                RulesOf::Nobody => None,
            };
            out["judged_by"] = json!({ "revision": revision, "stand_in": stand_in });
            out["declared"] = json!(public::list(&valid.declared, declared_json));
            out["findings"] = json!(public::list(&valid.findings.findings, public::finding));
            out["policy_notes"] = json!(valid.findings.notes);
            if let Some(forecast) = &valid.forecast {
                out["forecast"] = plan::json(&forecast.plan, &forecast.installed);
                out["forecast"]["anyway"] = json!(public::list(&forecast.anyway, public::change));
            }
        }
    }
    out
}

fn touched_json(file: &Touched) -> Value {
    let owners = |owners: &Owners| json!({ "section": owners.section, "optional": owners.optional, "names": owners.names });
    json!({ "path": file.path, "change": file.touch, "owners": public::list(&file.owners, owners) })
}

fn declared_json(declared: &Declared) -> Value {
    let value = |value: &crate::model::check::ValueChange| json!({ "path": value.path, "before": value.before, "after": value.after, "origin": value.origin });
    json!({
        "app": declared.app.to_string(),
        "change": declared.how,
        "values": public::list(&declared.values, value),
    })
}
