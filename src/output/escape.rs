//! Makes any text safe to show: on a terminal nothing moves the cursor or hides, in Markdown nothing becomes markup.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::paint::Paint;

/// Between `@` and a name, so that Markdown calls nobody.
const CALLS_NOBODY: char = '\u{200b}';

/// One line for a terminal: control characters, line breaks and what reorders or hides text are written out.
pub fn line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            c if is_unsafe(c) => {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    safe
}

/// Several lines for a terminal: line breaks stay, each line is made safe.
pub fn lines(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().map(line)
}

/// Any text on its way out, trueup's own colours in it where `coloured`: line breaks and tabs stay, and what could move the
/// cursor, reorder or hide is written out as JSON writes it, so that JSON stays the same JSON.
pub fn visible(text: &str, coloured: bool) -> Cow<'_, str> {
    let stays = |c: char| matches!(c, '\n' | '\t' | CALLS_NOBODY) || !is_unsafe(c);
    if text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(ink) = Paint::begins(rest).filter(|_| coloured) {
            shown.push_str(ink);
            rest = rest.get(ink.len()..).unwrap_or_default();
            continue;
        }
        if stays(c) {
            shown.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    Cow::Owned(shown)
}

/// A Markdown code span that shows `text` and nothing else, whatever backticks it holds.
pub fn code(text: &str) -> String {
    let text = line(text);
    if text.is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_run(&text) + 1);
    // A space at each side is taken away by the reader; it keeps the fence apart from a backtick of the text.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Text inside a table. A pipe ends the cell even within a code span, and readers differ on `\\|` after a backslash;
/// so what holds one is prose with the pipe as an entity.
pub fn cell(text: &str) -> String {
    if text.contains('|') { prose(text) } else { code(text) }
}

/// A Markdown table of values.
pub fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let head = row(headings.iter().map(|word| (*word).to_owned()).collect());
    let rule = format!("|{}\n", "---|".repeat(N));
    let rows = rows.iter().map(|cells| row(cells.iter().map(|text| cell(text)).collect()));
    [head, rule].into_iter().chain(rows).collect()
}

/// Markdown prose on one line: what could be markup is escaped, `@` calls nobody, line breaks are `<br>`.
pub fn prose(text: &str) -> String {
    text.lines().map(prose_line).collect::<Vec<_>>().join("<br>")
}

fn prose_line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in line(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '|' => safe.push_str("&#124;"),
            '@' => safe.extend(['@', CALLS_NOBODY]),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '!' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

/// A fenced Markdown block; the fence is longer than any run of backticks in it.
pub fn block(language: &str, text: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    let body: String = lines(text).map(|line| line + "\n").collect();
    format!("{fence}{language}\n{body}{fence}\n")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Control characters (C0, DEL, C1), and format characters that reorder, join or hide what is shown.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_terminal_is_not_commanded() {
        for (text, shown) in [
            ("plain", "plain"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("two\nlines", "two\\nlines"),
            ("back\rspace\u{8}", "back\\rspace\\u{8}"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("abc\u{202e}cba", "abc\\u{202e}cba"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("Grüße → 1.5", "Grüße → 1.5"),
        ] {
            assert_eq!(line(text), shown);
        }
    }

    #[test]
    fn what_goes_out_is_visible_and_stays_what_it_is() {
        for (text, shown) in [
            ("two\nlines\tand a tab", "two\nlines\tand a tab"),
            ("Ada\u{1b}[2K\u{1b}[1A\rGOOD", "Ada\\u001b[2K\\u001b[1A\\u000dGOOD"),
            ("\u{9b}2J \u{202e}cba", "\\u009b2J \\u202ecba"),
            ("\u{e0041}", "\\udb40\\udc41"),
            ("@\u{200b}all", "@\u{200b}all"),
        ] {
            assert_eq!(visible(text, true), shown);
        }
        let painted = Paint::new(true).ink(crate::output::paint::Ink::Bad, "gone");
        assert_eq!(visible(&painted, true), painted);
        assert_eq!(visible(&painted, false), "\\u001b[31mgone\\u001b[0m");
    }

    #[test]
    fn markdown_stays_text() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(code(""), "");
        assert_eq!(cell("a|b"), "a&#124;b");
        assert_eq!(cell("a\\|b"), "a\\\\&#124;b");
        assert_eq!(cell("a*b"), "`a*b`");
        assert_eq!(
            prose("<b>@all [x](y) | `z` & *w*"),
            "&lt;b&gt;@\u{200b}all \\[x\\](y) &#124; \\`z\\` &amp; \\*w\\*"
        );
        assert_eq!(prose("one\n# two"), "one<br>\\# two");
        assert_eq!(block("diff", "+```\n+evil"), "````diff\n+```\n+evil\n````\n");
    }

    proptest! {
        #[test]
        fn no_text_gets_a_control_character_through(text in any::<String>()) {
            prop_assert!(line(&text).chars().all(|c| !is_unsafe(c)));
            prop_assert!(!code(&text).contains('\n'));
            let unwanted = ['\n', '\u{1b}', '<', '>', '|'];
            prop_assert!(!prose(&text).replace("<br>", "").contains(unwanted));
            prop_assert!(!cell(&text).contains(['\n', '|']));
        }

        #[test]
        fn json_that_goes_out_is_the_same_json(text in any::<String>()) {
            let json = serde_json::to_string(&text).expect("a string");
            let shown = visible(&json, false).into_owned();
            prop_assert!(shown.chars().all(|c| c == CALLS_NOBODY || !is_unsafe(c)));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).expect("JSON"), text);
        }

        #[test]
        fn a_code_span_ends_only_where_it_should(text in "[a`| ]{0,12}") {
            let span = code(&text);
            let fence = span.chars().take_while(|c| *c == '`').count();
            if !span.is_empty() {
                let inner = &span[fence..span.len() - fence];
                prop_assert!(inner.split(|c| c != '`').all(|run| run.len() != fence));
                prop_assert!(!inner.starts_with('`') && !inner.ends_with('`'));
            }
        }
    }
}
