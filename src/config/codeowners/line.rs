//! Lines of a CODEOWNERS file, forge by forge.

use super::{CodeOwners, Rule, Section, glob};

/// What stands between blanks that no `\` comes before; the `\` goes where `bare` says so.
fn words(line: &str, bare: bool) -> Vec<String> {
    let (mut words, mut word, mut chars) = (Vec::new(), String::new(), line.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                if !bare {
                    word.push(c);
                }
                word.extend(chars.next());
            }
            c if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `@ada`, `@org/team`, `ada@example.org`.
fn is_owner(word: &str) -> bool {
    word.contains('@') && word.len() > 1
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(n, line)| (n + 1, line.trim())).filter(|(_, line)| !line.is_empty())
}

/// Up to a `#` that no `\` comes before.
fn without_comment(line: &str) -> &str {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if c == '#' && !escaped {
            return line[..at].trim_end();
        }
        escaped = c == '\\' && !escaped;
    }
    line
}

pub(super) fn github(text: &str) -> CodeOwners {
    let mut read = CodeOwners::default();
    let mut section = Section::default();
    for (number, line) in numbered(text) {
        // At the start of a line a `#` cannot be escaped.
        let words = words(without_comment(line), false);
        let Some((pattern, owners)) = words.split_first() else { continue };
        let odd = owners.iter().find(|owner| !is_owner(owner));
        match (glob::github(pattern), odd) {
            (Ok(pattern), None) => {
                section.rules.push(Rule {
                    pattern,
                    negated: false,
                    excludes: false,
                    owners: owners.to_vec(),
                });
            }
            // The whole line is skipped, as the forge does.
            (Ok(_), Some(odd)) => read.problems.push(format!("{number}: {odd:?} is no owner")),
            (Err(why), _) => read.problems.push(format!("{number}: {pattern:?}: {why}")),
        }
    }
    read.sections.push(section);
    read
}

pub(super) fn gitlab(text: &str) -> CodeOwners {
    let mut read = CodeOwners { sections: vec![Section::default()], ..CodeOwners::default() };
    // Of the section that is being read: where it is, and whom its lines name when they name nobody.
    let (mut at, mut usual) = (0, Vec::new());
    for (number, line) in numbered(text).filter(|(_, line)| !line.starts_with('#')) {
        if let Some(head) = heading(line) {
            let named = |section: &Section| {
                section.name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&head.name))
            };
            at = read.sections.iter().position(named).unwrap_or_else(|| {
                let section = Section { name: Some(head.name), optional: head.optional, rules: Vec::new() };
                read.sections.push(section);
                read.sections.len() - 1
            });
            usual = head.owners;
            continue;
        }
        let words = words(line, false);
        let Some((first, rest)) = words.split_first() else { continue };
        let excludes = first.starts_with('!');
        let pattern = first.strip_prefix('!').unwrap_or(first);
        let mut owners: Vec<String> = rest.iter().filter(|word| is_owner(word)).cloned().collect();
        if owners.is_empty() {
            owners.clone_from(&usual);
        }
        match glob::gitlab(pattern) {
            Ok(pattern) => {
                if let Some(section) = read.sections.get_mut(at) {
                    section.rules.push(Rule { pattern, negated: false, excludes, owners });
                }
            }
            Err(why) => read.problems.push(format!("{number}: {pattern:?}: {why}")),
        }
    }
    read
}

struct Heading {
    name: String,
    optional: bool,
    owners: Vec<String>,
}

/// `[Name]`, `^[Name]`, `[Name][2] @owners`.
fn heading(line: &str) -> Option<Heading> {
    let optional = line.starts_with('^');
    let (name, rest) = line.strip_prefix('^').unwrap_or(line).strip_prefix('[')?.split_once(']')?;
    let rest = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(rest, |(_, rest)| rest);
    let owners = words(rest, false).into_iter().filter(|word| is_owner(word)).collect();
    Some(Heading { name: name.trim().to_owned(), optional, owners })
}

pub(super) fn gitea(text: &str) -> CodeOwners {
    let mut read = CodeOwners { all_count: true, ..CodeOwners::default() };
    let mut section = Section::default();
    for (number, line) in numbered(text) {
        let words = words(without_comment(line), true);
        let Some((first, owners)) = words.split_first() else { continue };
        let negated = first.starts_with('!');
        let expression = first.strip_prefix('!').unwrap_or(first);
        let owners: Vec<String> = owners.iter().filter(|word| is_owner(word)).cloned().collect();
        match glob::compile(&format!("^(?:{expression})$")) {
            Ok(_) if owners.is_empty() => read.problems.push(format!("{number}: it names no owner")),
            Ok(pattern) => section.rules.push(Rule { pattern, negated, excludes: false, owners }),
            Err(why) => read.problems.push(format!("{number}: {expression:?}: {why}")),
        }
    }
    read.sections.push(section);
    read
}
