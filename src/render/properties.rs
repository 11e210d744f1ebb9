//! Java properties, the language of Flume's config: written as pure ASCII, read back as Java reads them.

use std::fmt::Write as _;

/// One `key = value` of a properties text, and the line (from 1) on which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub line: usize,
    pub key: String,
    pub value: String,
}

/// `value` so that Java reads back exactly it: backslashes doubled, control characters and all that is not ASCII as
/// `\uXXXX` (the file is read as ISO-8859-1), a leading blank kept.
pub fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        match c {
            '\\' => text.push_str("\\\\"),
            ' ' if at == 0 => text.push_str("\\ "),
            ' '..='~' => text.push(c),
            _ => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text
}

/// The entries of `text`, or what Java would choke on. Comments, continued lines and escapes are understood.
pub fn parse(text: &str) -> Result<Vec<Entry>, Vec<String>> {
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start_matches(BLANK);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while ends_in_continuation(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, next)) => logical.push_str(next.trim_start_matches(BLANK)),
                None => break,
            }
        }
        match entry(number + 1, &logical) {
            Ok(entry) => entries.push(entry),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(entries) } else { Err(errors) }
}

const BLANK: [char; 3] = [' ', '\t', '\u{c}'];

fn ends_in_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|c| *c == b'\\').count() % 2 == 1
}

fn entry(line: usize, text: &str) -> Result<Entry, String> {
    let mut escaped = false;
    let end = text.find(|c: char| {
        let ends = !escaped && (c == '=' || c == ':' || BLANK.contains(&c));
        escaped = c == '\\' && !escaped;
        ends
    });
    let (key, rest) = text.split_at(end.unwrap_or(text.len()));
    let rest = rest.trim_start_matches(BLANK);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(BLANK);
    let wrong = |what: String| format!("line {line}: {what}");
    Ok(Entry { line, key: unescape(key).map_err(wrong)?, value: unescape(rest).map_err(wrong)? })
}

fn unescape(text: &str) -> Result<String, String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let valid = digits.len() == 4 && digits.bytes().all(|c| c.is_ascii_hexdigit());
                    let unit = u16::from_str_radix(&digits, 16).ok().filter(|_| valid);
                    units.push(unit.ok_or_else(|| format!("\\u{digits} is not \\uXXXX"))?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => continue,
            },
            other => other,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).map_err(|_| "half of a surrogate pair".to_owned())
}
