//! Rules that need themselves: Rego forbids them, the interpreter would follow them until its stack ends.

use std::collections::{BTreeMap, BTreeSet};

use super::rego::RuleError;

/// A file as far as circles go.
pub(super) struct Module {
    pub path: String,
    /// `trueup.freeze`.
    pub package: String,
    /// Names as this file says them, and what they stand for: `lib` → `data.teams.lib`.
    pub imports: BTreeMap<String, String>,
    /// Each rule's line and text.
    pub rules: Vec<(u32, String)>,
}

impl Module {
    /// File, package, name and line of every rule.
    pub fn places(&self) -> impl Iterator<Item = (String, String, String, u32)> {
        let name = |text: &str| head(text).trim_start_matches("default").trim().to_owned();
        self.rules
            .iter()
            .map(move |(line, text)| (self.path.clone(), self.package.clone(), name(text), *line))
    }
}

/// One complaint for each circle's first rule.
pub(super) fn circles(modules: &[Module]) -> Vec<RuleError> {
    let mut places: BTreeMap<String, (&str, u32)> = BTreeMap::new();
    for module in modules {
        for (line, text) in &module.rules {
            places.entry(node(module, text)).or_insert((&module.path, *line));
        }
    }
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for module in modules {
        for (_, text) in &module.rules {
            let name = node(module, text);
            let found = chains(&text[head(text).len()..]).flat_map(|chain| targets(module, &chain, &places));
            needs.entry(name).or_default().extend(found.collect::<BTreeSet<_>>());
        }
    }
    let circular = |name: &&String| reaches(name, &needs);
    places
        .keys()
        .filter(circular)
        .take(1)
        .map(|name| {
            let (file, line) = places[name];
            let short = name.rsplit('.').next().unwrap_or(name);
            let message = format!(
                "the rule {short} needs itself; rename a variable of the same name, if that is all it is"
            );
            RuleError { file: file.to_owned(), line, column: 1, message }
        })
        .collect()
}

fn reaches(name: &str, needs: &BTreeMap<String, BTreeSet<String>>) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&String> = needs.get(name).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if next == name {
            return true;
        }
        if seen.insert(next) {
            open.extend(needs.get(next).into_iter().flatten());
        }
    }
    false
}

/// What stands before the rule's name ends: `default `, and the name.
fn head(text: &str) -> &str {
    let begin = if text.starts_with("default") { "default".len() } else { 0 };
    let rest = &text[begin..];
    let blank = rest.len() - rest.trim_start().len();
    let name = rest[blank..].find(|c: char| !is_word(c)).unwrap_or(rest.len() - blank);
    &text[..begin + blank + name]
}

fn node(module: &Module, text: &str) -> String {
    let name = head(text).trim_start_matches("default").trim();
    format!("data.{}.{name}", module.package)
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The rules that a name leads to: one of the same package, or those below a path of `data`.
fn targets(module: &Module, chain: &str, places: &BTreeMap<String, (&str, u32)>) -> Vec<String> {
    let (root, rest) = chain.split_once('.').map_or((chain, ""), |(root, rest)| (root, rest));
    let full = match module.imports.get(root) {
        Some(path) if rest.is_empty() => path.clone(),
        Some(path) => format!("{path}.{rest}"),
        None if root == "data" => chain.to_owned(),
        None => format!("data.{}.{root}", module.package),
    };
    let below = |name: &&String| {
        **name == full || name.starts_with(&format!("{full}.")) || full.starts_with(&format!("{name}."))
    };
    places.keys().filter(below).cloned().collect()
}

/// `a.b.c` of the text, outside of strings and comments.
fn chains(text: &str) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '`' => drop(chars.by_ref().find(|c| *c == '`')),
            '#' => drop(chars.by_ref().find(|c| *c == '\n')),
            _ if c.is_ascii_alphabetic() || c == '_' => {
                let mut chain = String::from(c);
                while let Some(c) = chars.next_if(|c| is_word(*c) || *c == '.') {
                    chain.push(c);
                }
                // A field of something that is not a name is nobody's rule.
                if before != '.' && before != ']' {
                    found.push(chain.trim_end_matches('.').to_owned());
                }
            }
            _ => {}
        }
        before = c;
    }
    found.into_iter()
}
