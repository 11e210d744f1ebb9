//! TOML text: keys, strings and comments that read back as what they were, whatever is in them.

use std::fmt::Write as _;

/// A basic string; what would end it or is no text is escaped.
pub(super) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // Writing to a String cannot fail.
            c if c.is_control() => drop(write!(out, "\\U{:08X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Bare where TOML allows it.
pub(super) fn key(text: &str) -> String {
    let bare = !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c));
    if bare { text.to_owned() } else { string(text) }
}

pub(super) fn strings<'a>(list: impl IntoIterator<Item = &'a str>) -> String {
    let list: Vec<String> = list.into_iter().map(string).collect();
    let one_line = format!("[{}]", list.join(", "));
    if one_line.len() <= 100 || list.len() < 2 {
        return one_line;
    }
    format!("[\n{}]", list.iter().map(|item| format!("    {item},\n")).collect::<String>())
}

/// `{ a = 1, "b.c" = 2 }` of keys and finished values.
pub(super) fn inline(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{} = {value}", key(name))).collect();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}

/// One line of a comment: what is no text is escaped, so that nothing after it is read as a key.
pub(super) fn comment(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    format!("# {plain}")
}

/// A file: keys first, then tables, as TOML wants it.
#[derive(Default)]
pub(super) struct Page {
    head: Vec<String>,
    keys: Vec<String>,
    tables: Vec<String>,
}

impl Page {
    pub fn comment(&mut self, text: &str) {
        self.head.push(comment(text));
    }

    /// A comment that belongs to the key after it.
    pub fn aside(&mut self, text: &str) {
        self.keys.push(comment(text));
    }

    /// `value` is finished TOML.
    pub fn set(&mut self, name: &str, value: impl AsRef<str>) {
        self.keys.push(format!("{} = {}", key(name), value.as_ref()));
    }

    /// `header` such as `[limits]` or `[[mount]]`; nothing is written where it has no entries.
    pub fn table(&mut self, header: &str, entries: &[(String, String)]) {
        self.table_with(header, &[], entries);
    }

    pub fn table_with(&mut self, header: &str, comments: &[String], entries: &[(String, String)]) {
        if entries.is_empty() && comments.is_empty() {
            return;
        }
        let mut text = format!("{header}\n");
        for line in comments {
            let _ = writeln!(text, "{}", comment(line));
        }
        for (name, value) in entries {
            let _ = writeln!(text, "{} = {value}", key(name));
        }
        self.tables.push(text);
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in self.head.iter().chain(&self.keys) {
            text.push_str(line);
            text.push('\n');
        }
        for table in &self.tables {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(table);
        }
        text
    }
}
