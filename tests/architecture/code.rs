//! Reads Rust source just far enough for the house rules: tokens without comments and literals, which of them are
//! tests, and every path that the code names, with `use` trees unfolded.

/// A word or a sign, and the line it stands on (from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
    /// Inside an item under `#[cfg(test)]`.
    pub test: bool,
}

/// A path as written (`crate`, `model`, `plan`, `Plan`), `self` and `super` resolved where it began with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub path: Vec<String>,
    pub line: usize,
    pub test: bool,
}

/// The tokens of a file, tests marked.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = lex(text);
    mark_tests(&mut tokens);
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn lex(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut at, mut line, mut found) = (0, 1, Vec::new());
    while at < chars.len() {
        let end = skip(&chars, at).unwrap_or(at);
        if end > at {
            line += chars[at..end].iter().filter(|c| **c == '\n').count();
            at = end;
            continue;
        }
        let end = if is_word(chars[at]) {
            at + chars[at..].iter().take_while(|c| is_word(**c)).count()
        } else if chars[at..].starts_with(&[':', ':']) {
            at + 2
        } else {
            at + 1
        };
        if !chars[at].is_whitespace() {
            found.push(Token { text: chars[at..end].iter().collect(), line, test: false });
        }
        line += usize::from(chars[at] == '\n');
        at = end;
    }
    found
}

/// The end of the comment or literal that begins at `at`, where one does.
fn skip(chars: &[char], at: usize) -> Option<usize> {
    let rest = &chars[at..];
    if rest.starts_with(&['/', '/']) {
        return Some(at + rest.iter().take_while(|c| **c != '\n').count());
    }
    if rest.starts_with(&['/', '*']) {
        return Some(at + block_comment(rest));
    }
    if at > 0 && is_word(chars[at - 1]) {
        return None;
    }
    let prefix = rest.iter().take_while(|c| matches!(c, 'b' | 'c' | 'r')).count();
    let raw = prefix > 0 && prefix <= 2 && rest[prefix - 1] == 'r';
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    if raw && rest.get(prefix + hashes) == Some(&'"') {
        return Some(at + prefix + hashes + raw_string(&rest[prefix + hashes..], hashes));
    }
    if prefix <= 1 && rest.get(prefix) == Some(&'"') {
        return Some(at + prefix + quoted(&rest[prefix..], '"'));
    }
    let byte = usize::from(rest.first() == Some(&'b'));
    if rest.get(byte) == Some(&'\'') {
        let inner = &rest[byte..];
        // A lifetime has no closing quote right after its one character.
        let is_char = inner.get(1) == Some(&'\\') || inner.get(2) == Some(&'\'');
        return is_char.then(|| at + byte + quoted(inner, '\''));
    }
    None
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn raw_string(rest: &[char], hashes: usize) -> usize {
    let closes = |at: usize| {
        rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (1..rest.len()).find(|at| closes(*at)).map_or(rest.len(), |at| at + 1 + hashes)
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Marks everything from a `#[cfg(test)]` to the end of its item.
fn mark_tests(tokens: &mut [Token]) {
    let mut at = 0;
    while at < tokens.len() {
        if is_test_attribute(tokens, at) {
            let end = item_end(tokens, at);
            tokens[at..end].iter_mut().for_each(|token| token.test = true);
            at = end;
        } else {
            at += 1;
        }
    }
}

fn texts_are(tokens: &[Token], at: usize, wanted: &[&str]) -> bool {
    wanted.iter().enumerate().all(|(n, text)| tokens.get(at + n).is_some_and(|token| token.text == *text))
}

fn is_test_attribute(tokens: &[Token], at: usize) -> bool {
    texts_are(tokens, at, &["#", "[", "cfg", "(", "test", ")", "]"])
        || texts_are(tokens, at, &["#", "[", "cfg", "(", "all", "(", "test"])
}

/// One past the item that begins (with its attributes) at `at`: its closing brace, or its semicolon.
fn item_end(tokens: &[Token], at: usize) -> usize {
    let (mut depth, mut n) = (0usize, at);
    while let Some(token) = tokens.get(n) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.text == "}" {
                    return n + 1;
                }
            }
            ";" if depth == 0 => return n + 1,
            _ => {}
        }
        n += 1;
    }
    n
}

/// Modules declared in their own file under `#[cfg(test)]`: `#[cfg(test)] mod samples;`.
pub fn test_modules(tokens: &[Token]) -> Vec<String> {
    (0..tokens.len())
        .filter(|at| {
            tokens[*at].test && texts_are(tokens, *at, &["mod"]) && texts_are(tokens, *at + 2, &[";"])
        })
        .map(|at| tokens[at + 1].text.clone())
        .collect()
}

/// Modules declared in their own file: `mod plan;`.
pub fn declared_modules(tokens: &[Token]) -> Vec<String> {
    (0..tokens.len())
        .filter(|at| texts_are(tokens, *at, &["mod"]) && texts_are(tokens, *at + 2, &[";"]))
        .map(|at| tokens[at + 1].text.clone())
        .collect()
}

/// Lines that are not tests, comments and empty lines counted where they stand outside of tests.
pub fn lines_without_tests(text: &str) -> usize {
    let tokens = tokens(text);
    let all = text.lines().count();
    let mut tested = std::collections::BTreeSet::new();
    let mut start = None;
    for (n, token) in tokens.iter().enumerate() {
        if token.test && start.is_none() {
            start = Some(token.line);
        }
        let ends = token.test && tokens.get(n + 1).is_none_or(|next| !next.test);
        if let (true, Some(from)) = (ends, start) {
            tested.extend(from..=token.line);
            start = None;
        }
    }
    all - tested.len()
}

/// Every path the code names. `module` is where the file stands: `["output", "plan"]`.
pub fn paths(module: &[String], tokens: &[Token]) -> Vec<Named> {
    let mut reader = Reader { tokens, module: module.to_vec(), inline: Vec::new(), found: Vec::new() };
    let (mut at, mut depth) = (0, 0usize);
    while at < tokens.len() {
        let text = tokens[at].text.as_str();
        if text == "mod" && texts_are(tokens, at + 2, &["{"]) {
            depth += 1;
            reader.inline.push((tokens[at + 1].text.clone(), depth));
            at += 3;
            continue;
        }
        match text {
            "{" => depth += 1,
            "}" => {
                if reader.inline.last().is_some_and(|(_, at)| *at == depth) {
                    reader.inline.pop();
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        // `pub(crate)` and `pub(super)` say who may look; they import nothing.
        if text == "pub" && texts_are(tokens, at + 1, &["("]) && texts_are(tokens, at + 3, &[")"]) {
            at += 4;
            continue;
        }
        let begins = text.starts_with(is_word) && (at == 0 || tokens[at - 1].text != "::");
        if begins && (texts_are(tokens, at + 1, &["::"]) || matches!(text, "crate" | "super")) {
            at = reader.tree(&[], at);
        } else if text == "use" {
            at = reader.tree(&[], at + 1 + usize::from(texts_are(tokens, at + 1, &["::"])));
        } else {
            at += 1;
        }
    }
    reader.found
}

struct Reader<'a> {
    tokens: &'a [Token],
    module: Vec<String>,
    inline: Vec<(String, usize)>,
    found: Vec<Named>,
}

impl Reader<'_> {
    /// Reads a path or a `use` tree that begins at `at`, below `prefix`; returns where it ends.
    fn tree(&mut self, prefix: &[String], mut at: usize) -> usize {
        let mut path = prefix.to_vec();
        let first = at;
        while let Some(token) = self.tokens.get(at) {
            match token.text.as_str() {
                "{" if at == first || self.tokens[at - 1].text == "::" => {
                    return self.branches(&path, at + 1);
                }
                "*" if self.tokens[at - 1].text == "::" => path.push("*".to_owned()),
                word if word.starts_with(is_word) => path.push(word.to_owned()),
                _ => break,
            }
            at += 1;
            if texts_are(self.tokens, at, &["::"]) {
                at += 1;
            } else {
                break;
            }
        }
        self.note(path, first);
        at.max(first + 1)
    }

    /// The branches after a `{`, up to and with its `}`.
    fn branches(&mut self, prefix: &[String], mut at: usize) -> usize {
        while let Some(token) = self.tokens.get(at) {
            match token.text.as_str() {
                "}" => return at + 1,
                "," => at += 1,
                // `self as name`, `Type as Name`: the new name is no path.
                "as" => at += 2,
                _ => at = self.tree(prefix, at),
            }
        }
        at
    }

    fn note(&mut self, path: Vec<String>, at: usize) {
        let Some(token) = self.tokens.get(at) else { return };
        let (line, test) = (token.line, token.test);
        self.found.push(Named { path: self.resolve(path), line, test });
    }

    /// `self::x` and `super::x` as seen from here, written from the crate's root.
    fn resolve(&self, path: Vec<String>) -> Vec<String> {
        if !matches!(path.first().map(String::as_str), Some("self" | "super")) {
            return path;
        }
        let mut from: Vec<String> = self.module.clone();
        from.extend(self.inline.iter().map(|(name, _)| name.clone()));
        let mut rest = path.iter().peekable();
        while let Some(word) = rest.peek() {
            match word.as_str() {
                "self" => {}
                "super" => {
                    from.pop();
                }
                _ => break,
            }
            rest.next();
        }
        std::iter::once("crate".to_owned()).chain(from).chain(rest.cloned()).collect()
    }
}
