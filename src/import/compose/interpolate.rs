//! `${VAR:-default}` in values, from variables that were given: the environment of trueup itself is never read.

use std::collections::{BTreeMap, BTreeSet};

use super::yaml::{Node, Value};

/// Fills in every value; the names that nobody gave are told by the places that want them.
pub(super) fn fill(
    node: &mut Node,
    given: &BTreeMap<String, String>,
    missing: &mut BTreeSet<(String, String)>,
) -> Result<(), String> {
    match &mut node.value {
        Value::Null => {}
        Value::Text(text) => {
            if text.contains('$') {
                let mut unknown = BTreeSet::new();
                *text =
                    text_of(text, given, &mut unknown, 0).map_err(|why| format!("{}: {why}", node.place))?;
                missing.extend(unknown.into_iter().map(|name| (name, node.place.to_string())));
            }
        }
        Value::List(list) => list.iter_mut().try_for_each(|item| fill(item, given, missing))?,
        Value::Map(map) => map.iter_mut().try_for_each(|(_, item)| fill(item, given, missing))?,
    }
    Ok(())
}

const DEEPEST: usize = 8;

fn text_of(
    text: &str,
    given: &BTreeMap<String, String>,
    unknown: &mut BTreeSet<String>,
    depth: usize,
) -> Result<String, String> {
    if depth > DEEPEST {
        return Err("variables within variables go too deep".to_owned());
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let name_length = after.bytes().take_while(|c| c.is_ascii_alphanumeric() || *c == b'_').count();
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(inside) = after.strip_prefix('{') {
            let end = closing(inside).ok_or_else(|| format!("{text:?}: a `${{` without its `}}`"))?;
            out.push_str(&braced(&inside[..end], given, unknown, depth)?);
            rest = &inside[end + 1..];
        } else if name_length > 0 && !after.starts_with(|c: char| c.is_ascii_digit()) {
            out.push_str(&value_of(&after[..name_length], given, unknown));
            rest = &after[name_length..];
        } else {
            return Err(format!("{text:?}: a `$` that is meant as itself is written `$$`"));
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn closing(inside: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in inside.bytes().enumerate() {
        match c {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn value_of(name: &str, given: &BTreeMap<String, String>, unknown: &mut BTreeSet<String>) -> String {
    given.get(name).cloned().unwrap_or_else(|| {
        unknown.insert(name.to_owned());
        String::new()
    })
}

fn braced(
    inside: &str,
    given: &BTreeMap<String, String>,
    unknown: &mut BTreeSet<String>,
    depth: usize,
) -> Result<String, String> {
    let length = inside.bytes().take_while(|c| c.is_ascii_alphanumeric() || *c == b'_').count();
    let (name, how) = inside.split_at(length);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`${{{inside}}}` names no variable"));
    }
    let set = given.get(name);
    let filled = set.filter(|value| !value.is_empty());
    let mut other = |text: &str| text_of(text, given, unknown, depth + 1);
    if how.is_empty() {
        return Ok(value_of(name, given, unknown));
    }
    if let Some(text) = how.strip_prefix(":-") {
        return filled.cloned().map_or_else(|| other(text), Ok);
    }
    if let Some(text) = how.strip_prefix('-') {
        return set.cloned().map_or_else(|| other(text), Ok);
    }
    if let Some(text) = how.strip_prefix(":+") {
        return filled.map_or_else(|| Ok(String::new()), |_| other(text));
    }
    if let Some(text) = how.strip_prefix('+') {
        return set.map_or_else(|| Ok(String::new()), |_| other(text));
    }
    let must = |value: Option<&String>, why: &str| {
        value.cloned().ok_or_else(|| format!("{name} must be set (--env-file): {why}"))
    };
    if let Some(why) = how.strip_prefix(":?") {
        return must(filled, why);
    }
    if let Some(why) = how.strip_prefix('?') {
        return must(set, why);
    }
    Err(format!("`${{{inside}}}` is no form that Compose knows"))
}

/// Lines of an env file: `NAME=value`, `export NAME=value`, quotes, comments; a name alone has no value.
pub fn env_file(text: &str) -> Vec<(String, Option<String>)> {
    let mut pairs = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let line = line.strip_prefix("export ").unwrap_or(line);
        match line.split_once('=') {
            Some((name, value)) => pairs.push((name.trim().to_owned(), Some(unquoted(value.trim())))),
            None => pairs.push((line.to_owned(), None)),
        }
    }
    pairs
}

fn unquoted(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'') {
        return inner.split('\'').next().unwrap_or_default().to_owned();
    }
    if let Some(inner) = value.strip_prefix('"') {
        let mut out = String::new();
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => match chars.next() {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('r') => out.push('\r'),
                    Some(other) => out.push(other),
                    None => {}
                },
                c => out.push(c),
            }
        }
        return out;
    }
    value.split(" #").next().unwrap_or_default().trim_end().to_owned()
}
