//! Patterns for paths, as regular expressions.

use std::fmt::Write as _;

use regex::{Regex, RegexBuilder};

/// A pattern of the repository must not take the memory of whoever reads it (F4).
const LARGEST: usize = 1 << 20;

pub(super) fn compile(expression: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(expression).size_limit(LARGEST).build();
    built.map_err(|error| error.to_string().lines().last().unwrap_or_default().trim().to_owned())
}

/// GitHub: gitignore's patterns. Without a slash inside, at any depth; a directory means all below it, but `docs/*` only what
/// is in `docs` itself.
pub(super) fn github(pattern: &str) -> Result<Regex, String> {
    if pattern.starts_with('!') || pattern.contains('[') {
        return Err("negation and character ranges do not work here".to_owned());
    }
    let inner = pattern.trim_end_matches('/');
    let anchored = inner.contains('/');
    let path = inner.trim_start_matches('/');
    let mut expression = if anchored { "^".to_owned() } else { "^(?:.*/)?".to_owned() };
    let parts: Vec<&str> = path.split('/').collect();
    let last = parts.len().saturating_sub(1);
    for (n, part) in parts.iter().enumerate() {
        match *part {
            "**" if n == last => expression += ".*",
            "**" => expression += "(?:.*/)?",
            part => {
                expression += &segment(part);
                if n < last {
                    expression.push('/');
                }
            }
        }
    }
    expression += match (pattern.ends_with('/'), parts.last()) {
        (true, _) => "/.*$",
        (false, Some(&("*" | "**"))) => "$",
        (false, _) => "(?:/.*)?$",
    };
    compile(&expression)
}

/// GitLab: `fnmatch` with path names. A pattern without a slash at its start is at any depth; one with a slash at its end means
/// all below it.
pub(super) fn gitlab(pattern: &str) -> Result<Regex, String> {
    let below = if pattern.ends_with('/') { format!("{pattern}**/*") } else { pattern.to_owned() };
    let path = below.strip_prefix('/').map_or_else(|| format!("**/{below}"), str::to_owned);
    let mut expression = "^".to_owned();
    let mut rest = path.as_str();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("**/") {
            expression += "(?:.*/)?";
            rest = after;
            continue;
        }
        let (part, after) = rest.split_once('/').map_or((rest, None), |(part, after)| (part, Some(after)));
        expression += &segment(part);
        if after.is_some() {
            expression.push('/');
        }
        rest = after.unwrap_or_default();
    }
    compile(&(expression + "$"))
}

/// One name of a path: `*`, `?`, `[a-z]`, and `\` before what is meant as it stands.
fn segment(part: &str) -> String {
    let mut expression = String::new();
    let mut chars = part.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => expression += "[^/]*",
            '?' => expression += "[^/]",
            '[' => {
                let inside: String = chars.by_ref().take_while(|c| *c != ']').collect();
                let negated = inside.starts_with(['!', '^']);
                let set = inside.trim_start_matches(['!', '^']).replace('\\', "\\\\").replace('[', "\\[");
                let _ = write!(expression, "[{}{set}]", if negated { "^" } else { "" });
            }
            '\\' => {
                if let Some(c) = chars.next() {
                    expression += &regex::escape(&c.to_string());
                }
            }
            c => expression += &regex::escape(&c.to_string()),
        }
    }
    expression
}
