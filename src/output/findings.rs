//! What the policies say, for the eyes: what holds first stands under "blocked" with what to do next.

use crate::model::finding::{Effect, Finding, Findings};
use crate::model::plan::Plan;

use super::escape::{code, line, prose};
use super::paint::{Ink, Paint};
use super::sections::{hang, heading};

pub fn text(plan: &Plan, paint: Paint) -> String {
    lines_text(&plan.findings, paint)
}

pub fn markdown(plan: &Plan) -> String {
    lines_markdown(&plan.findings)
}

/// One paragraph a finding.
pub fn lines_text(findings: &Findings, paint: Paint) -> String {
    let Findings { findings, notes } = findings;
    if findings.is_empty() {
        return String::new();
    }
    let mut out = heading(paint, "POLICIES");
    for finding in findings {
        let (word, ink) = effect(finding);
        out += &format!("  {} {}\n", paint.ink(ink, word), line(&about(finding)));
        out += &hang("      ", &finding.message);
        out += &hang("      at: ", &finding.file);
        if let Effect::Overridden(reason) = &finding.effect {
            out += &hang("      overridden: ", reason);
        }
    }
    notes.iter().for_each(|note| out += &hang("  ", note));
    out
}

pub fn lines_markdown(findings: &Findings) -> String {
    let Findings { findings, notes } = findings;
    if findings.is_empty() {
        return String::new();
    }
    let mut out = "\n### Policies\n\n".to_owned();
    for finding in findings {
        let reason = match &finding.effect {
            Effect::Overridden(reason) => format!(" Overridden: {}", prose(reason)),
            Effect::Told | Effect::Holds => String::new(),
        };
        out += &format!(
            "- **{}** {}: {} ({}).{reason}\n",
            effect(finding).0,
            code(&about(finding)),
            prose(&finding.message),
            code(&finding.file)
        );
    }
    notes.iter().for_each(|note| out += &format!("- {}\n", prose(note)));
    out
}

const fn effect(finding: &Finding) -> (&'static str, Ink) {
    match finding.effect {
        Effect::Told => ("advice", Ink::Change),
        Effect::Holds => ("HELD", Ink::Bad),
        Effect::Overridden(_) => ("overridden", Ink::Change),
    }
}

/// `freeze (overridable): quote-prod`.
fn about(finding: &Finding) -> String {
    let app = finding.app.as_ref().map_or_else(|| "the revision".to_owned(), ToString::to_string);
    format!("{} ({}): {app}", finding.rule, finding.level.name())
}
