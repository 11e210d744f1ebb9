//! Colour only where it was asked for, and names that try to be more than names.

use super::report::report_sample;
use super::*;
use crate::model::drift::Drift;

/// Everything that can be printed, in one format.
fn all(plan: &Plan, status: &Status, entries: &[HistoryEntry], format: Format, colour: bool) -> Vec<String> {
    let ended: Vec<(Change, Outcome)> = plan
        .changes
        .iter()
        .map(|c| (c.clone(), Outcome::Failed { error: c.because.join(" "), transient: false }))
        .collect();
    vec![
        super::plan(plan, &installed(), format, colour),
        drift(plan, &since(), &differing(&status.kept_because.clone().unwrap_or_default()), format, colour),
        outcomes(&ended, plan, format, colour),
        super::status(status, format, colour),
        history(entries, format, colour),
        super::report(&report_sample(plan, status, entries), format, colour),
    ]
}

#[test]
fn colour_is_only_where_it_was_asked_for() {
    for format in FORMATS {
        for text in all(&full(), &status_sample(), &events(), format, false) {
            assert!(!text.contains('\u{1b}'), "{text}");
        }
    }
    for text in all(&full(), &status_sample(), &events(), Format::Text, true) {
        assert!(text.contains("\u{1b}[") && text.contains("\u{1b}[0m"), "{text}");
        assert_eq!(text.matches("\u{1b}[0m").count() * 2, text.matches("\u{1b}[").count(), "each ink ends");
    }
}

/// What a container made by hand, an engine's error or a commit's title may hold.
const EVIL: &str = "x\u{1b}[2J\u{7}\r\n# owned\n| a | `b` ``` <script> @all ![i](//e) \u{202e}y";

fn evil_plan() -> Plan {
    let mut plan = empty();
    let thing = || subject(Kind::Container, EVIL, Some("edge"));
    plan.changes = vec![change(Verb::Remove, thing(), EVIL)];
    plan.held = vec![change(Verb::Remove, subject(Kind::Volume, EVIL, None), EVIL)];
    plan.blocked =
        vec![Blocked { subject: thing(), app: None, reason: EVIL.to_owned(), hint: EVIL.to_owned() }];
    plan.unknown = vec![Unknown { subject: thing(), why: EVIL.to_owned() }];
    plan.unmanaged = full().unmanaged;
    plan.unmanaged[0].subject.name = EVIL.to_owned();
    plan.unmanaged[0].why = EVIL.to_owned();
    plan.drift = drifts();
    plan.drift[0].subject.name = EVIL.to_owned();
    plan.drift[0].nature = Nature::Unhealthy(EVIL.to_owned());
    plan.drift[1].nature = Nature::Changed(vec![FieldChange {
        field: EVIL.to_owned(),
        desired: EVIL.to_owned(),
        live: EVIL.to_owned(),
        cure: Cure::ByHand,
    }]);
    plan.drift[0].left_alone = Some(EVIL.to_owned());
    plan.drift.push(Drift {
        subject: subject(Kind::Files, "nginx", None),
        app: None,
        nature: Nature::Missing,
        left_alone: None,
    });
    plan.notes = vec![EVIL.to_owned()];
    plan
}

#[test]
fn a_name_or_an_error_cannot_command_the_terminal_or_the_page() {
    let mut status = status_sample();
    status.summary = EVIL.to_owned();
    status.kept_because = Some(EVIL.to_owned());
    status.hosts.insert("edge".parse().expect("a name"), Some(EVIL.to_owned()));
    status.apps.insert("web-prod".parse().expect("a key"), Standing::Held(EVIL.to_owned()));
    status.pauses = vec![(EVIL.to_owned(), None, EVIL.to_owned())];
    status.quarantined = [(EVIL.to_owned(), EVIL.to_owned())].into();
    status.writer = Some(EVIL.to_owned());
    let mut entries = events();
    entries[0].subject = EVIL.to_owned();
    entries[0].detail = EVIL.to_owned();
    entries[0].what = EVIL.to_owned();
    for format in FORMATS {
        for text in all(&evil_plan(), &status, &entries, format, false) {
            let unsafe_one = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
            let json = matches!(format, Format::Json);
            assert!(
                unsafe_one.is_none() || (json && unsafe_one == Some('\u{202e}')),
                "{unsafe_one:?} in {text}"
            );
            let owned = text.lines().any(|line| line.trim_start().starts_with("# owned"));
            // In text a line of an error may begin with anything; in Markdown it would be a heading.
            assert!(!owned || matches!(format, Format::Text), "{text}");
        }
    }
    for page in all(&evil_plan(), &status, &entries, Format::Markdown, false) {
        assert_page_is_inert(&page);
    }
    let page = report_page(&report_sample(&evil_plan(), &status, &entries));
    assert!(page.contains("&lt;script&gt;"), "the evil text is there: {page}");
    assert_page_stands_alone(&page);
    assert!(!page.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{page}");
}

/// The page runs nothing, fetches nothing and leads nowhere: its tags and attributes are those that trueup writes.
fn assert_page_stands_alone(page: &str) {
    let lower = page.to_ascii_lowercase();
    for bad in ["url(", "@import", "src=", "href=", "http-equiv", "javascript:", "srcdoc", "<base", "<link"] {
        assert!(!lower.contains(bad), "{bad} in {page}");
    }
    let known = [
        "!doctype", "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "dl", "dt", "dd",
        "table", "tr", "th", "td", "ul", "li", "div", "span", "code", "pre", "strong",
    ];
    for tag in lower.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        let mut words = tag.trim_start_matches('/').split_whitespace();
        let name = words.next().unwrap_or_default();
        assert!(known.contains(&name), "<{tag}>");
        let attributes: Vec<&str> =
            words.filter_map(|word| word.split_once('=')).map(|(key, _)| key).collect();
        let mut own =
            attributes.iter().filter(|key| !["class", "lang", "charset", "name", "content"].contains(key));
        // `content="width=device-width, initial-scale=1"` has one of its own.
        assert!(own.all(|key| *key == "initial-scale" && name == "meta"), "<{tag}>");
    }
}

/// Outside code spans there is no markup of the evil text; a table's row has its own number of cells.
fn assert_page_is_inert(page: &str) {
    for line in without_blocks(page) {
        let prose = without_code(line);
        for bad in ["<script", "@all", "![i]", "`b`"] {
            assert!(!prose.contains(bad), "{bad} in {line}");
        }
        if line.starts_with("| ") {
            let cells = page.lines().filter(|l| l.starts_with("|---")).map(|l| l.matches('|').count());
            assert!(cells.clone().any(|n| n == line.matches('|').count()), "{line}");
        }
    }
}

/// The lines outside fenced blocks: one ends with a line of as many backticks as it began with, and with no other.
fn without_blocks(page: &str) -> Vec<&str> {
    let mut fence: Option<usize> = None;
    let is_prose = |line: &&str| {
        let text = line.trim_start();
        let ticks = text.chars().take_while(|c| *c == '`').count();
        let was = fence;
        fence = match fence {
            Some(begun) if ticks >= begun && text[ticks..].trim().is_empty() => None,
            None if ticks >= 3 && !text[ticks..].contains('`') => Some(ticks),
            same => same,
        };
        was.is_none() && fence.is_none()
    };
    page.lines().filter(is_prose).collect()
}

/// The line without its code spans, as CommonMark finds them.
fn without_code(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        out += &rest[..at];
        if out.ends_with('\\') {
            out.push('`');
            rest = &rest[at + 1..];
            continue;
        }
        let fence = rest[at..].chars().take_while(|c| *c == '`').count();
        let after = &rest[at + fence..];
        let mut from = 0;
        let end = loop {
            let Some(start) = after[from..].find('`').map(|n| n + from) else { break None };
            let run = after[start..].chars().take_while(|c| *c == '`').count();
            if run == fence {
                break Some(start + run);
            }
            from = start + run;
        };
        match end {
            Some(end) => rest = &after[end..],
            None => {
                out += &rest[at..at + fence];
                rest = after;
            }
        }
    }
    out + rest
}
