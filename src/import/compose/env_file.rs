//! Env files: `NAME=value` by line, quotes that may hold several lines, comments, `${…}` in what is not in single quotes.
//! An error names the line and never its text, which may be a part of a secret (G1).

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::str::Chars;

use super::interpolate::filled;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    /// `None`: whoever runs the file has it in the environment.
    pub value: Option<String>,
    pub line: usize,
}

/// Letters, digits, `_`, `.` and `-`, and no digit first.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(of_name)
}

fn of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.-".contains(c)
}

/// The variables in their order. `${…}` stands for what was given, else for what the file said above.
pub fn env_file(text: &str, given: &BTreeMap<String, String>) -> Result<Vec<Variable>, String> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    let mut known = given.clone();
    let mut variables = Vec::new();
    while reader.skip_to_name() {
        let line = reader.line;
        let variable = reader.variable().and_then(|(name, raw)| {
            let value = raw.map(|raw| raw.text(&known)).transpose()?;
            Ok((name, value))
        });
        let (name, value) = variable.map_err(|why| format!("line {line}: {why}"))?;
        if let (Some(value), false) = (&value, given.contains_key(&name)) {
            known.insert(name.clone(), value.clone());
        }
        variables.push(Variable { name, value, line });
    }
    Ok(variables)
}

/// A value as it is written.
enum Raw {
    /// In single quotes: as it is.
    Literal(String),
    /// `${…}` is filled in.
    Template(String),
}

impl Raw {
    fn text(self, known: &BTreeMap<String, String>) -> Result<String, String> {
        match self {
            Self::Literal(text) => Ok(text),
            // A name that nobody gave is empty, as Compose has it; which one is not told: it may be a part of a secret.
            Self::Template(text) => filled(&text, known, &mut BTreeSet::new()),
        }
    }
}

struct Reader<'t> {
    rest: Peekable<Chars<'t>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        if c == Some('\n') {
            self.line += 1;
        }
        c
    }

    fn while_is(&mut self, fits: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while let Some(c) = self.rest.next_if(|c| fits(*c)) {
            if c == '\n' {
                self.line += 1;
            }
            text.push(c);
        }
        text
    }

    /// Past blank lines and comments; `false` at the end.
    fn skip_to_name(&mut self) -> bool {
        loop {
            self.while_is(|c| c.is_whitespace() || c == '\u{feff}');
            match self.rest.peek() {
                None => return false,
                Some('#') => drop(self.while_is(|c| c != '\n')),
                Some(_) => return true,
            }
        }
    }

    fn blanks(&mut self) {
        self.while_is(|c| c != '\n' && c.is_whitespace());
    }

    fn at_end_of_line(&mut self) -> bool {
        matches!(self.rest.peek(), None | Some('\n'))
    }

    fn variable(&mut self) -> Result<(String, Option<Raw>), String> {
        let mut name = self.while_is(of_name);
        self.blanks();
        if name == "export" && self.rest.peek().is_some_and(|c| of_name(*c)) {
            name = self.while_is(of_name);
            self.blanks();
        }
        if !is_name(&name) {
            return Err("this is no `NAME=value`; a value of several lines stands in quotes".to_owned());
        }
        if self.at_end_of_line() {
            return Ok((name, None));
        }
        match self.next() {
            Some('=' | ':') => Ok((name, Some(self.value()?))),
            Some(_) | None => {
                Err("this is no `NAME=value`; a value of several lines stands in quotes".to_owned())
            }
        }
    }

    fn value(&mut self) -> Result<Raw, String> {
        self.blanks();
        let value = match self.rest.peek() {
            Some('\'') => Raw::Literal(self.quoted('\'')?),
            Some('"') => Raw::Template(self.quoted('"')?),
            Some(_) | None => {
                let line = self.while_is(|c| c != '\n');
                let value =
                    if line.starts_with('#') { "" } else { line.split(" #").next().unwrap_or_default() };
                return Ok(Raw::Template(value.trim_end().to_owned()));
            }
        };
        self.blanks();
        if self.rest.peek() == Some(&'#') {
            self.while_is(|c| c != '\n');
        }
        if self.at_end_of_line() {
            Ok(value)
        } else {
            Err("something stands after the closing quote".to_owned())
        }
    }

    /// What the quotes hold, over as many lines as it takes.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err("the quote that begins here does not end".to_owned()),
                Some(c) if c == quote => return Ok(text),
                Some('\\') if quote == '"' => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some('$') => text.push_str("$$"),
                    Some(c @ ('"' | '\\')) => text.push(c),
                    Some(c) => text.extend(['\\', c]),
                    None => {}
                },
                Some(c) => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Variable>, String> {
        env_file(text, &BTreeMap::from([("TAG".to_owned(), "7".to_owned())]))
    }

    #[test]
    fn every_form_of_a_line() {
        for (line, value) in [
            ("A=1 # c", "1"),
            ("export A = x ", "x"),
            ("A: 1", "1"),
            ("A='#'", "#"),
            ("A=", ""),
            ("A=# c", ""),
            ("A=a#b", "a#b"),
            ("A='$TAG'", "$TAG"),
            ("A=v${TAG}", "v7"),
            ("A=\"v$TAG \\$x \\\"q\\\"\" # c", "v7 $x \"q\""),
            ("A=\"one\ntwo\"", "one\ntwo"),
            ("A='one\r\ntwo'\r", "one\r\ntwo"),
            ("A=\"a\\nb\"", "a\nb"),
        ] {
            let wanted = Variable { name: "A".to_owned(), value: Some(value.to_owned()), line: 1 };
            assert_eq!(read(line), Ok(vec![wanted]), "{line}");
        }
        assert_eq!(read("# c\n\nexport\nSHELL_ONLY\n").map(|v| v.len()), Ok(2));
        let above = read("A=1\nTAG=own\nB=$A$TAG").expect("an env file");
        assert_eq!(above[2].value.as_deref(), Some("17"), "what was given wins");
    }

    #[test]
    fn an_error_names_the_line_and_nothing_of_the_text() {
        let key = "PEM=-----BEGIN KEY-----\nhunter2/+abc\n-----END KEY-----\n";
        for (text, line) in [
            (key, "line 2: "),
            ("A=1\nB=\"hunter2", "line 2: "),
            ("A='x'hunter2", "line 1: "),
            ("A=pa$ hunter2", "line 1: "),
            ("A=${hunter2 x}", "line 1: "),
            ("hunter2 x", "line 1: "),
            ("1A=hunter2", "line 1: "),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.starts_with(line) && !error.contains("hunter2"), "{error}");
        }
    }
}
