//! `${VAR:-default}` in values, from variables that were given: the environment of trueup itself is never read.

use std::collections::{BTreeMap, BTreeSet};

use super::super::looks_secret;
use super::env_file::is_name;
use super::yaml::{Node, Place, Value};

/// Variables that nobody gave, in words, and the place that wants them.
pub(super) type Missing = BTreeSet<(String, Place)>;

/// Fills in every value; errors and missing names are told by key and place, and nothing else of the text (G1).
pub(super) fn fill(
    node: &mut Node,
    given: &BTreeMap<String, String>,
    missing: &mut Missing,
) -> Result<(), String> {
    below("this file", node, given, missing)
}

fn below(
    key: &str,
    node: &mut Node,
    given: &BTreeMap<String, String>,
    missing: &mut Missing,
) -> Result<(), String> {
    match &mut node.value {
        Value::Null => {}
        Value::Text(text) if text.contains('$') => {
            // An element of a list may be a `NAME=value`.
            let key = text
                .split_once('=')
                .map_or(key, |(name, _)| if is_name(name) { name } else { key })
                .to_owned();
            let mut unknown = BTreeSet::new();
            *text =
                filled(text, given, &mut unknown).map_err(|why| format!("{}: {key}: {why}", node.place))?;
            let secret = looks_secret(&key, "");
            let words = |name| if secret { format!("a variable in the value of {key}") } else { name };
            missing.extend(unknown.into_iter().map(|name| (words(name), node.place.clone())));
        }
        Value::Text(_) => {}
        Value::List(list) => list.iter_mut().try_for_each(|item| below(key, item, given, missing))?,
        Value::Map(map) => map.iter_mut().try_for_each(|(key, item)| below(key, item, given, missing))?,
    }
    Ok(())
}

/// The text with its variables filled in; names that nobody gave are empty and told.
pub(super) fn filled(
    text: &str,
    given: &BTreeMap<String, String>,
    unknown: &mut BTreeSet<String>,
) -> Result<String, String> {
    text_of(text, given, unknown, 0)
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
            let end = closing(inside).ok_or_else(|| "a `${` without its `}`".to_owned())?;
            out.push_str(&braced(&inside[..end], given, unknown, depth)?);
            rest = &inside[end + 1..];
        } else if name_length > 0 && !after.starts_with(|c: char| c.is_ascii_digit()) {
            out.push_str(&value_of(&after[..name_length], given, unknown));
            rest = &after[name_length..];
        } else {
            return Err("a `$` that is meant as itself is written `$$`".to_owned());
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
        return Err("a `${…}` names no variable".to_owned());
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
    Err("a `${…}` has a form that Compose does not know".to_owned())
}
