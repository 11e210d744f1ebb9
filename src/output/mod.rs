//! What people and programs read: plans, drift, outcomes, status and history as text, JSON and Markdown.
//!
//! Pure: the same input gives the same bytes. Text is grouped by host and ends with one line that says it all; JSON is
//! the stable shape for programs; Markdown is for pull requests. Whatever a name or an error holds is made safe first.

mod check;
mod contents;
mod drift;
mod escape;
mod findings;
mod foreign;
mod held;
mod history;
mod html;
mod images;
mod metrics;
mod outcomes;
mod paint;
mod permission;
mod plan;
mod public;
mod report;
mod round;
mod sections;
mod status;
mod wording;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::model::check::Checked;
use crate::model::disk::{HostDisk, ImageSettings};
use crate::model::file::{Differing, FileSet, Files};
use crate::model::history::HistoryEntry;
use crate::model::plan::{Change, Outcome, Plan};
use crate::model::report::Report;
use crate::model::units::Timestamp;

use paint::Paint;

pub use escape::{table, visible};
pub use metrics::{OPEN_METRICS, graphite, open_metrics};
pub use permission::Verification;
pub use round::{Telling, Tone, failed_page, kept, kept_page, lines as round, outcome_words};
pub use status::{Standing, Status};
pub use wording::many;

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a person at a terminal.
    Text,
    /// For programs; the shape only grows.
    Json,
    /// For a comment on a pull request.
    Markdown,
}

/// A plan: what would be changed and why. `installed` is the other side of the diffs of generated files.
/// `colour` matters to text only, here and below.
pub fn plan(
    plan: &Plan,
    installed: &BTreeMap<FileSet, Option<Files>>,
    format: Format,
    colour: bool,
) -> String {
    match format {
        Format::Text => plan::text(plan, installed, Paint::new(colour)),
        Format::Json => pretty(&plan::json(plan, installed)),
        Format::Markdown => plan::markdown(plan, installed),
    }
}

/// What a pull request would do. Markdown is one comment, whatever a forge's limit is.
pub fn checked(checked: &Checked, format: Format, colour: bool) -> String {
    match format {
        Format::Text => check::text(checked, Paint::new(colour)),
        Format::Json => pretty(&check::json(checked)),
        Format::Markdown => check::markdown(checked),
    }
}

/// What differs from git, field by field; `since` has the first-seen times by the subject in words, `files` the generated
/// files that differ.
pub fn drift(
    plan: &Plan,
    since: &BTreeMap<String, Timestamp>,
    files: &Differing,
    format: Format,
    colour: bool,
) -> String {
    match format {
        Format::Text => drift::text(plan, since, files, Paint::new(colour)),
        Format::Json => pretty(&drift::json(plan, since, files)),
        Format::Markdown => drift::markdown(plan, since, files),
    }
}

/// A drift report. A web page of it is made by [`report_page`].
pub fn report(report: &Report, format: Format, colour: bool) -> String {
    match format {
        Format::Text => report::text(report, Paint::new(colour)),
        Format::Json => pretty(&report::json(report)),
        Format::Markdown => report::markdown(report),
    }
}

/// A drift report as one self-contained HTML page.
pub fn report_page(report: &Report) -> String {
    html::page(report)
}

/// What trueup pulled, and what becomes of it.
pub fn images(
    hosts: &[HostDisk],
    settings: &ImageSettings,
    now: Timestamp,
    format: Format,
    colour: bool,
) -> String {
    match format {
        Format::Text => images::text(hosts, settings, now, Paint::new(colour)),
        Format::Json => pretty(&images::json(hosts, settings)),
        Format::Markdown => images::markdown(hosts, now),
    }
}

/// How changes ended, and what `last`, the plan made afterwards, still says.
pub fn outcomes(outcomes: &[(Change, Outcome)], last: &Plan, format: Format, colour: bool) -> String {
    match format {
        Format::Text => outcomes::text(outcomes, last, Paint::new(colour)),
        Format::Json => pretty(&outcomes::json(outcomes, last)),
        Format::Markdown => outcomes::markdown(outcomes, last),
    }
}

/// How things stand.
pub fn status(status: &Status, format: Format, colour: bool) -> String {
    match format {
        Format::Text => status::text(status, Paint::new(colour)),
        Format::Json => pretty(&status::json(status)),
        Format::Markdown => status::markdown(status),
    }
}

/// Every commit on the way to a revision, with its verdict.
pub fn verification(verification: &Verification, format: Format, colour: bool) -> String {
    match format {
        Format::Text => permission::text(verification, Paint::new(colour)),
        Format::Json => pretty(&permission::json(verification)),
        Format::Markdown => permission::markdown(verification),
    }
}

/// What happened, oldest first.
pub fn history(entries: &[HistoryEntry], format: Format, colour: bool) -> String {
    match format {
        Format::Text => history::text(entries, Paint::new(colour)),
        Format::Json => pretty(&history::json(entries)),
        Format::Markdown => history::markdown(entries),
    }
}

/// JSON of more than one line, with a line break at its end. Control characters are escaped by JSON itself.
fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
