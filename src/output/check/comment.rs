//! The answer as one comment on a pull request: what a reviewer needs first, the rest folded, never longer than a forge takes.

use crate::model::check::{Checked, Forecast, Valid, Verdict};
use crate::model::plan::Change;

use super::super::contents;
use super::super::escape::{block, code, prose, table};
use super::super::wording::{change_words, many, on_its_host, subject_words};
use super::super::{findings, plan, sections};
use super::{judged_by, owners, sight, summary, values, warnings};

/// GitHub takes 65,536 characters; bytes are never fewer. What is kept free is for the line that says what is missing.
const LONGEST: usize = 65_000;
/// Rows of the first table; the rest is counted.
const ROWS: usize = 40;
/// Notes before the rest, and characters of one.
const WARNINGS: usize = 20;
const LONGEST_WARNING: usize = 500;
/// Bytes of the errors of a branch that is not valid; written out they may be some more.
const MOST_OF_ERRORS: usize = 20_000;
/// Files that are named for one owner.
const PATHS: usize = 40;
/// Reasons of a row.
const REASONS: usize = 2;

/// What a bot finds its own comment by, and replaces.
pub fn marker(fleet: &str) -> String {
    let plain: String = fleet.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    format!("<!-- trueup check: {plain} -->")
}

pub fn markdown(checked: &Checked) -> String {
    let mut out = format!(
        "{}\n## trueup: {}\n\n{} against {}",
        marker(&checked.fleet),
        prose(&summary(checked)),
        code(checked.head.short()),
        code(checked.base.short()),
    );
    let mut folded = Vec::new();
    match &checked.verdict {
        Verdict::Invalid { errors } => {
            out += ".\n";
            folded.push(format!("\n### What is wrong\n\n{}", block("", &begin_of(errors))));
        }
        Verdict::Valid(valid) => {
            out += &format!(", {}; {}.\n", prose(&sight(valid)), prose(&judged_by(&valid.judged_by)));
            folded.extend(parts(valid));
        }
    }
    let warnings = warnings(checked);
    let shown = warnings.iter().map(|warning| shortened(warning)).take(WARNINGS);
    let more = warnings.len().saturating_sub(WARNINGS);
    let tail = (more > 0).then(|| format!("and {}", many(more, "more note")));
    for (n, warning) in shown.chain(tail).enumerate() {
        out += &format!("{}> - {}\n", if n == 0 { "\n> [!NOTE]\n" } else { "" }, prose(&warning));
    }
    folded.push(concerned(checked));
    fit(out, folded)
}

/// What a line may have of a text that somebody else wrote.
fn shortened(text: &str) -> String {
    let short: String = text.chars().take(LONGEST_WARNING).collect();
    if short.len() < text.len() { short + "…" } else { short }
}

/// The first errors, as whole lines; how many lines more there are.
fn begin_of(errors: &str) -> String {
    let mut out = String::new();
    for (n, line) in errors.lines().enumerate() {
        if out.len() + line.len() > MOST_OF_ERRORS {
            return out + &format!("… and {}", many(errors.lines().count() - n, "more line"));
        }
        out += line;
        out.push('\n');
    }
    out
}

/// As many parts as there is room for, in the order of their weight.
fn fit(mut out: String, parts: Vec<String>) -> String {
    let mut left_out = 0;
    for part in parts {
        if out.len() + part.len() <= LONGEST {
            out += &part;
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        out += &format!(
            "\n**{} did not fit here**: the log of the job that wrote this has all of it (`trueup check`).\n",
            many(left_out, "part")
        );
    }
    out
}

fn fold(title: &str, body: &str) -> String {
    format!("\n<details><summary>{}</summary>\n\n{body}\n</details>\n", prose(title))
}

/// By weight: what changes, what stops it, what the rules say, then what is only to be looked up.
fn parts(valid: &Valid) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(forecast) = &valid.forecast {
        out.push(rows(&forecast.plan.changes));
        out.push(held(forecast));
        out.push(sections::markdown(&forecast.plan, &sections::Since::new()));
    }
    out.push(findings::lines_markdown(&valid.findings));
    if !valid.declared.is_empty() {
        let one = |declared: &super::Declared| {
            let name = format!("{} ({})", declared.app, declared.how.name());
            fold(&name, &block("diff", &values(declared)))
        };
        out.push("\n### Declared\n".to_owned());
        out.extend(valid.declared.iter().map(one));
    }
    if let Some(Forecast { plan, installed, anyway, .. }) = &valid.forecast {
        let steps = |change: &&Change| plan::change_markdown(change, installed);
        let with_files = plan.changes.iter().filter(|change| !contents::of(change, installed).is_empty());
        let files: Vec<String> = with_files.map(|change| steps(&change)).collect();
        out.extend(files.iter().map(|text| fold("Generated files", text)));
        if plan.changes.len() > ROWS {
            let all: String =
                plan.changes.iter().map(|change| format!("- {}\n", code(&change_words(change)))).collect();
            out.push(fold(&format!("All {}", many(plan.changes.len(), "change")), &all));
        }
        if !anyway.is_empty() {
            let lines: String =
                anyway.iter().map(|change| format!("- {}\n", code(&change_words(change)))).collect();
            out.push(fold(&format!("Without this branch too: {}", many(anyway.len(), "change")), &lines));
        }
    }
    out.retain(|part| !part.is_empty());
    out
}

fn rows(changes: &[Change]) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let row = |change: &Change| {
        let mut why: Vec<String> = change.because.iter().take(REASONS).cloned().collect();
        if change.because.len() > REASONS {
            why.push(format!("and {} more", change.because.len() - REASONS));
        }
        if change.interrupts {
            why.insert(0, "INTERRUPTS: requests may fail meanwhile".to_owned());
        }
        let place = change
            .subject
            .host
            .as_ref()
            .map(ToString::to_string)
            .or_else(|| change.subject.swarm.as_ref().map(ToString::to_string));
        [
            change.action.name().to_owned(),
            on_its_host(&change.subject),
            place.unwrap_or_default(),
            why.join("; "),
        ]
    };
    let shown: Vec<[String; 4]> = changes.iter().take(ROWS).map(row).collect();
    let more = changes.len().saturating_sub(ROWS);
    let tail = if more > 0 { format!("\n… and {}\n", many(more, "change")) } else { String::new() };
    format!("\n{}{tail}", table(["what", "object", "where", "why"], &shown))
}

fn held(forecast: &Forecast) -> String {
    let plan = &forecast.plan;
    if plan.held.is_empty() {
        return String::new();
    }
    let lines: String =
        plan.held.iter().map(|change| format!("- {}\n", code(&change_words(change)))).collect();
    let reasons: std::collections::BTreeSet<String> = plan
        .blocked
        .iter()
        .filter(|blocked| plan.held.iter().any(|change| change.subject == blocked.subject))
        .map(|blocked| format!("- {}: {}\n", code(&subject_words(&blocked.subject)), prose(&blocked.reason)))
        .collect();
    let why: String = reasons.into_iter().collect();
    format!("\n### Waits for a person's approval once it is merged\n\n{lines}{}", fold("Why", &why))
}

/// Whom it concerns.
fn concerned(checked: &Checked) -> String {
    let (owned, nobodys) = owners(&checked.touched);
    let files = many(checked.touched.len(), "file");
    let paths = |paths: &[&str]| {
        let shown: Vec<String> = paths.iter().take(PATHS).map(|path| code(path)).collect();
        let more = paths.len().saturating_sub(PATHS);
        let tail = if more > 0 { format!(" and {}", many(more, "more file")) } else { String::new() };
        shown.join(", ") + &tail
    };
    let mut body: String =
        owned.iter().map(|(names, theirs)| format!("- {}: {}\n", code(names), paths(theirs))).collect();
    if !nobodys.is_empty() {
        let nobody = if checked.owners_file.is_some() { "nobody's" } else { "touched" };
        body += &format!("- {nobody}: {}\n", paths(&nobodys));
    }
    let whom: Vec<&str> = owned.iter().map(|(names, _)| names.as_str()).collect();
    let title = if whom.is_empty() { files } else { format!("{files}, owned by {}", whom.join(", ")) };
    if body.is_empty() { String::new() } else { fold(&title, &body) }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    use crate::model::check::{Declared, JudgedBy, Owners, Sight, Touched, ValueChange};
    use crate::model::finding::Findings;
    use crate::model::names::Revision;
    use crate::model::observed::RulesOf;
    use crate::model::tree::Touch;

    fn checked(text: &str, verdict: Verdict) -> Checked {
        let owners =
            vec![Owners { section: Some(text.to_owned()), optional: true, names: vec![text.to_owned()] }];
        let revision = || Revision::new("0".repeat(40));
        Checked {
            fleet: text.to_owned(),
            base: revision(),
            head: revision(),
            since: revision(),
            behind: 2,
            touched: vec![Touched { path: text.to_owned(), touch: Touch::Added, owners }],
            owners_file: Some("CODEOWNERS".to_owned()),
            owners_problems: vec![text.to_owned(); 99],
            rules: vec![text.to_owned()],
            verdict,
        }
    }

    fn valid(text: &str, values: usize) -> Verdict {
        let value = ValueChange {
            path: text.to_owned(),
            before: Some(text.to_owned()),
            after: Some(text.to_owned()),
            origin: text.to_owned(),
        };
        let app = "web-test".parse().expect("a key");
        let declared = vec![Declared { app, how: Touch::Changed, values: vec![value; values] }];
        Verdict::Valid(Box::new(Valid {
            declared,
            sight: Sight::Nothing,
            forecast: None,
            findings: Findings::default(),
            judged_by: JudgedBy {
                rules: RulesOf::Revision(Revision::new("0".repeat(40))),
                stand_in: Some(text.to_owned()),
            },
            assumed: vec![text.to_owned()],
        }))
    }

    /// What a forge would read as markup, or as a call for somebody: outside of code spans and fenced blocks.
    fn bare(comment: &str) -> String {
        let fenced = comment.split("\n```").step_by(2).collect::<String>();
        fenced.split('`').step_by(2).collect()
    }

    #[test]
    fn no_name_becomes_markup_or_calls_anybody() {
        for text in
            ["<img src=x>", "a|b", "@everyone", "[x](https://evil.example)", "two\n## lines", "--> <script>"]
        {
            for verdict in [valid(text, 3), Verdict::Invalid { errors: text.to_owned() }] {
                let comment = markdown(&checked(text, verdict));
                let bare = bare(&comment).replace("\\]", "");
                assert!(comment.starts_with("<!-- trueup check: "), "{comment}");
                for bad in ["<img", "<script", "@everyone", "](https", "\n## lines"] {
                    assert!(!bare.contains(bad), "{bad} of {text:?} in {comment}");
                }
            }
        }
    }

    #[test]
    fn of_many_errors_and_notes_the_first_are_shown() {
        let errors: String = (0..5000).map(|n| format!("apps/a/app.toml:{n}:1: wrong\n")).collect();
        let mut many = checked("x", Verdict::Invalid { errors });
        many.rules = vec!["policies/a.rego".to_owned(); 50_000];
        let comment = markdown(&many);
        assert!(
            comment.len() < 65_536 && comment.contains("app.toml:0:1") && comment.contains("more line"),
            "{comment}"
        );
        let mut hosts = valid("x", 1);
        if let Verdict::Valid(valid) = &mut hosts {
            valid.assumed = vec!["a host is new: planned as an engine that runs nothing".to_owned(); 5000];
        }
        assert!(markdown(&checked("x", hosts)).len() < 65_536);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn a_comment_is_never_too_long(text in "[a-z`|@<>\\n]{1,400}", values in 0..300usize) {
            let comment = markdown(&checked(&text, valid(&text, values)));
            prop_assert!(comment.len() < 65_536, "{}", comment.len());
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_nothing_is_cut_in_the_middle() {
        let parts = vec!["a".repeat(40_000), "b".repeat(30_000), "c".repeat(20_000)];
        let out = fit("head\n".to_owned(), parts);
        assert!(out.len() < 65_536 && out.contains("1 part did not fit"), "{}", out.len());
        assert!(out.contains(&"c".repeat(20_000)) && !out.contains("bb"));
        assert_eq!(marker("a --> b"), "<!-- trueup check: a--b -->");
    }
}
