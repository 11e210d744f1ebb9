//! A drift report as one page of its own: no script, nothing fetched, readable on a phone and on paper.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::model::drift::{Drift, Nature, Subject};
use crate::model::plan::Plan;
use crate::model::report::Report;

use super::contents::{self, Excerpt};
use super::held::approve;
use super::paint::Ink;
use super::report::{cut, head, held_addresses, silent, summary};
use super::sections::{cure_words, nature_lines, shown, since_words};
use super::wording::{
    blocked_otherwise, by_place, change_words, held_because, moment, on_its_host, subject_words,
};
use super::{escape, foreign};

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --quiet: #777; --good: #1a7f37; --bad: #cf222e; --change: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #f85149; --change: #d29922; --quiet: #999; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.verdict { font-size: 1.1rem; font-weight: 600; border-left: .4rem solid var(--good); padding: .4rem .8rem; }
.verdict.drift { border-color: var(--change); } .verdict.bad { border-color: var(--bad); }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
border-bottom: 1px solid var(--line); overflow-wrap: anywhere; } th { font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dt { color: var(--quiet); } dd { margin: 0; }
pre { margin: .3rem 0; font: .85em ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
code { font: .9em ui-monospace, monospace; } .quiet { color: var(--quiet); } .live { color: var(--bad); } .declared { color: var(--good); }
@media print { body { max-width: none; } }
";

/// The whole page.
pub fn page(report: &Report) -> String {
    let plan = &report.plan;
    let title = format!("Drift of {} at {}", report.fleet, plan.observed_at);
    let (silent, held) = (silent(report), held_addresses(report));
    let since =
        |subject: &Subject| html! { span .quiet { (safe(&since_words(subject, &report.since, plan))) } };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (safe(&title)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Drift of " (safe(report.fleet.as_str())) }
                p .verdict .(verdict(&report.plan, report.undeclared.is_empty() && report.down_nodes.is_empty())) { (safe(&summary(report))) }
                dl { @for (name, fact) in head(report) { dt { (name) } dd { (safe(&fact)) } } }
                @for (host, drifts) in by_place(&plan.drift, |d| &d.subject) {
                    h2 { "Drift " (safe(&host)) }
                    table {
                        tr { th { "what" } th { "how it differs" } th { "since" } }
                        @for drift in drifts { (drift_row(report, drift)) }
                    }
                }
                (list("Silent hosts: nothing there was checked", silent.iter().map(|host| html! { (safe(host)) })))
                (list("Addresses held by hosts that do not answer", held.iter().map(|address| html! { (safe(address)) })))
                (list("Held: waits for a person's approval", plan.held.iter().map(|change| html! {
                    (what(&change_words(change))) (since(&change.subject))
                    @for reason in &change.because { div { (safe(reason)) } }
                    @for blocked in held_because(plan, change) { div { "held: " (safe(&blocked.reason)) } }
                })))
                @if !plan.held.is_empty() { p { "To allow it: " (what(&approve(plan))) } }
                (list("Blocked: should happen and may not", blocked_otherwise(plan).into_iter().map(|b| html! {
                    (what(&subject_words(&b.subject))) (since(&b.subject)) ": " (safe(&b.reason))
                    " " span .quiet { "Next: " (safe(&b.hint)) }
                })))
                (list("Policies", plan.findings.findings.iter().map(|finding| html! {
                    code { (safe(&finding.rule)) }
                    @if let Some(app) = &finding.app { " " (safe(&app.to_string())) }
                    ": " (safe(&finding.message))
                })))
                (list("Unknown: could not be read, and is not touched", plan.unknown.iter().map(|u| html! {
                    (what(&subject_words(&u.subject))) (since(&u.subject)) ": " (safe(&u.why))
                })))
                (list("Unmanaged: not trueup's, and never changed", plan.unmanaged.iter().map(|u| html! {
                    (what(&subject_words(&u.subject))) (since(&u.subject)) ": " (safe(&u.why))
                    @if u.collides { " " strong { "in the way" } }
                })))
                (also_there(report))
                (list("Notes", plan.notes.iter().map(|note| html! { (safe(note)) })))
                h2 { "Done since " (report.from) }
                @if report.done.is_empty() { p { "Nothing." } } @else {
                    table {
                        tr { th { "when" } th { "what" } th { "why, and how it ended" } }
                        @for entry in &report.done {
                            tr {
                                td .quiet { (entry.at) }
                                td { (safe(&entry.what)) " " (what(&entry.subject)) }
                                td { (safe(&entry.detail)) }
                            }
                        }
                    }
                }
                @if let Some(cut) = cut(report) { p .quiet { (safe(&cut)) } }
                (list("Not checked by this release", report.unchecked.iter().map(|what| html! { (safe(what)) })))
                p .quiet { "Written by trueup " (env!("CARGO_PKG_VERSION")) "." }
            }
        }
    };
    page.into_string()
}

/// `all_there`: every environment asked about is declared, and every node is up.
fn verdict(plan: &Plan, all_there: bool) -> &'static str {
    match (plan.is_unclear() || !all_there, plan.drift.is_empty()) {
        (true, _) => "bad",
        (false, false) => "drift",
        (false, true) => "well",
    }
}

/// Control characters of names and errors are shown, never obeyed; markup is escaped by maud.
fn safe(text: &str) -> String {
    text.lines().map(escape::line).collect::<Vec<_>>().join(" ")
}

fn what(text: &str) -> Markup {
    html! { code { (safe(text)) } }
}

/// An empty value is said to be one.
fn value(class: &str, value: &str) -> Markup {
    html! { @if value.is_empty() { (shown(value)) } @else { code .(class) { (safe(value)) } } }
}

fn drift_row(report: &Report, drift: &Drift) -> Markup {
    let since = report.since.get(&drift.subject.to_string());
    html! {
        tr {
            td { (what(&on_its_host(&drift.subject))) }
            td {
                @match &drift.nature {
                    Nature::Changed(fields) => @for field in fields {
                        div {
                            (safe(&field.field)) ": declared " (value("declared", &field.desired))
                            ", live " (value("live", &field.live))
                            span .quiet { " (" (cure_words(field.cure)) ")" }
                        }
                    },
                    Nature::Missing | Nature::Extra | Nature::NotRunning(_) | Nature::Unhealthy(_) =>
                        @for fact in nature_lines(drift) { div { (safe(&fact)) } },
                }
                @if let Some(why) = &drift.left_alone { div .quiet { "left alone: " (safe(why)) } }
                (diffs(report, drift))
            }
            td .quiet { @if let Some(at) = since { (moment(*at, report.plan.observed_at)) } }
        }
    }
}

/// What of generated files differs.
fn diffs(report: &Report, drift: &Drift) -> Markup {
    let Excerpt { files, left_out } = contents::excerpt(&contents::of_drift(drift, &report.files));
    html! {
        @for (diff, more) in files {
            pre { @for line in diff { span .(diff_class(&line)) { (escape::line(&line)) } "\n" } }
            @if let Some(more) = more { p .quiet { (more) } }
        }
        @if let Some(more) = left_out { p .quiet { (more) } }
    }
}

fn diff_class(line: &str) -> &'static str {
    match contents::ink(line) {
        Ink::Good => "declared",
        Ink::Bad => "live",
        Ink::Change | Ink::Quiet | Ink::Strong => "quiet",
    }
}

fn also_there(report: &Report) -> Markup {
    let places = foreign::places(report);
    html! {
        @if !places.is_empty() { h2 { (foreign::TITLE) } }
        @for place in &places {
            p { (place.name) ":" }
            ul {
                @for thing in &place.shown {
                    li { (what(&on_its_host(&thing.subject))) ": " (safe(&foreign::words(thing, report))) }
                }
                @for more in &place.more { li .quiet { "… " (more) } }
            }
        }
    }
}

fn list(title: &str, items: impl Iterator<Item = Markup>) -> Markup {
    let items: Vec<Markup> = items.collect();
    html! {
        @if !items.is_empty() {
            h2 { (title) }
            ul { @for item in &items { li { (item) } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, drift, outcomes, samples};
    use super::*;

    #[test]
    fn a_head_that_was_not_taken_is_nowhere_called_good() {
        let mut plan = samples::empty();
        assert_eq!((verdict(&plan, true), plan.exit_code()), ("well", 0));
        assert_eq!(verdict(&plan, false), "bad");
        plan.kept_because = Some("it does not parse".to_owned());
        assert_eq!((verdict(&plan, true), plan.exit_code()), ("bad", 3));
        assert_eq!(drift::summary(&plan), "No drift, the head not taken.");
        for said in [super::super::wording::plan_summary(&plan), outcomes(&[], &plan, Format::Text, false)] {
            assert!(said.contains("and the head was not taken.") && !said.contains("as declared"), "{said}");
        }
    }
}
