//! The shape of a rule file before the interpreter reads it: how deep its brackets stand in one another, how many rules
//! and bytes it has. The interpreter's parser takes several times as long for each bracket more, so that a line could keep
//! it busy for years.

use super::rego::{RuleError, Source};

/// Brackets in brackets: the library's own files need 7.
const DEEPEST: usize = 12;
/// Rules of one file, and of all together.
const MOST_IN_FILE: usize = 500;
const MOST_IN_ALL: usize = 2000;
/// Bytes of all files together.
const MOST_BYTES: usize = 1024 * 1024;

/// Everything about the files' shape that is too much to be read.
pub(super) fn check(sources: &[&Source]) -> Vec<RuleError> {
    let mut errors = Vec::new();
    let (mut rules, mut bytes) = (0, 0);
    for source in sources {
        let error = |(line, column): (u32, u32), message: String| RuleError {
            file: source.path.clone(),
            line,
            column,
            message,
        };
        let found = outline(&source.text);
        if let Some(place) = found.too_deep {
            errors.push(error(
                place,
                format!(
                    "more than {DEEPEST} brackets stand in one another: give the inner part a name of its own"
                ),
            ));
        }
        if let Some(place) = found.rules.get(MOST_IN_FILE) {
            errors.push(error(*place, format!("a file may have {MOST_IN_FILE} rules: split it")));
        }
        bytes += source.text.len();
        let before = rules;
        rules += found.rules.len();
        if before <= MOST_IN_ALL && rules > MOST_IN_ALL {
            let place = found.rules.get(MOST_IN_ALL - before).copied().unwrap_or((1, 1));
            errors.push(error(place, format!("all files together may have {MOST_IN_ALL} rules")));
        }
        if bytes > MOST_BYTES && bytes - source.text.len() <= MOST_BYTES {
            errors.push(error((1, 1), format!("all files together may have {MOST_BYTES} bytes")));
        }
    }
    errors
}

/// Places in a file, as line and column from 1.
#[derive(Default)]
struct Outline {
    /// The first bracket that stands too deep.
    too_deep: Option<(u32, u32)>,
    /// Where rules seem to begin: words at the beginning of a line, outside of all brackets.
    rules: Vec<(u32, u32)>,
}

fn outline(text: &str) -> Outline {
    let mut found = Outline::default();
    let (mut line, mut column, mut depth) = (1u32, 0u32, 0usize);
    let mut within = Within::Code;
    let is_head = |at: usize| ["package ", "import "].iter().all(|word| !text[at..].starts_with(word));
    for (at, c) in text.char_indices() {
        column = column.saturating_add(1);
        within = match (within, c) {
            (Within::Code, '"') => Within::Text,
            (Within::Code, '`') => Within::RawText,
            (Within::Code, '#') => Within::Comment,
            (Within::Code, '[' | '{' | '(') => {
                depth += 1;
                if depth > DEEPEST {
                    found.too_deep.get_or_insert((line, column));
                }
                Within::Code
            }
            (Within::Code, ']' | '}' | ')') => {
                depth = depth.saturating_sub(1);
                Within::Code
            }
            (Within::Code, c) => {
                if column == 1 && depth == 0 && (c.is_alphabetic() || c == '_') && is_head(at) {
                    found.rules.push((line, column));
                }
                Within::Code
            }
            (Within::Text, '\\') => Within::Escape,
            // A text ends with its line at the latest; the parser tells that it has no end.
            (Within::Text, '"' | '\n') | (Within::RawText, '`') | (Within::Comment, '\n') => Within::Code,
            (Within::Escape, _) => Within::Text,
            (within @ (Within::Text | Within::RawText | Within::Comment), _) => within,
        };
        if c == '\n' {
            (line, column) = (line.saturating_add(1), 0);
        }
    }
    found
}

#[derive(Clone, Copy)]
enum Within {
    Code,
    Text,
    /// After a backslash in a text.
    Escape,
    RawText,
    Comment,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: String) -> Source {
        Source { path: "policies/own.rego".into(), text }
    }

    fn told(text: String) -> Vec<String> {
        check(&[&source(text)]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn brackets_count_outside_of_texts_and_comments_alone() {
        let deep = |n: usize| format!("package a\nx := {}{}\n", "[".repeat(n), "]".repeat(n));
        assert_eq!(told(deep(DEEPEST)), Vec::<String>::new());
        let errors = told(deep(24));
        assert!(
            errors.len() == 1 && errors[0].starts_with("policies/own.rego:2:18: more than 12"),
            "{errors:?}"
        );
        let many = "[".repeat(40);
        for harmless in [format!("# {many}"), format!("x := \"\\\"{many}\""), format!("x := `\n{many}`")] {
            assert_eq!(told(format!("package a\n{harmless}\n")), Vec::<String>::new(), "{harmless}");
        }
        // Brackets that follow each other do not stand in each other.
        assert_eq!(told(format!("package a\nx := [{}]\n", "[],".repeat(200))), Vec::<String>::new());
    }

    #[test]
    fn rules_and_bytes_are_counted() {
        let rules = |n: usize| "x if {\n\ttrue\n}\n".repeat(n);
        assert_eq!(told(rules(MOST_IN_FILE)), Vec::<String>::new());
        assert!(told(rules(MOST_IN_FILE + 1))[0].contains(":1501:1: a file may have 500 rules"));
        let files: Vec<Source> = (0..5).map(|_| source(rules(MOST_IN_FILE))).collect();
        let errors = check(&files.iter().collect::<Vec<_>>());
        assert!(errors.len() == 1 && errors[0].message.contains("may have 2000 rules"), "{errors:?}");
        let long = source("# words\n".repeat(MOST_BYTES / 16));
        assert!(check(&[&long, &long, &long])[0].message.contains("bytes"));
    }
}
