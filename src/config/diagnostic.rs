//! Everything that is wrong, all at once: file, line, column, a caret under the spot and a hint (A3).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

/// A file's path and text, shared by everything read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub path: String,
    pub text: String,
}

/// A place in a file, by bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    pub source: Arc<Source>,
    pub span: Range<usize>,
}

impl Spot {
    /// The whole of a file that could not be read any further.
    pub fn whole(path: &str) -> Self {
        Self { source: Arc::new(Source { path: path.to_owned(), text: String::new() }), span: 0..0 }
    }

    /// Line and column, both from 1; columns count characters.
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    /// `file:line`.
    pub fn line(&self) -> String {
        format!("{}:{}", self.source.path, self.line_column().0)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub message: String,
    pub hint: Option<String>,
    #[serde(skip)]
    spot: Spot,
}

/// A value of a type that nothing here takes.
pub(super) const NO_FORM: &str = "this value has none of the forms that are possible here";

/// All that is wrong with a commit, in the order of files and lines.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub struct Errors(Vec<Diagnostic>);

impl Errors {
    pub(super) fn add(&mut self, spot: &Spot, message: impl Into<String>, hint: Option<String>) {
        let (line, column) = spot.line_column();
        let message = message.into();
        let file = spot.source.path.clone();
        let diagnostic = Diagnostic { file, line, column, message, hint, spot: spot.clone() };
        if !self.0.contains(&diagnostic) {
            self.0.push(diagnostic);
        }
    }

    pub(super) fn extend(&mut self, other: &Self) {
        for diagnostic in &other.0 {
            // What is no TOML has no form either; once is enough.
            let said = |told: &Diagnostic| told.spot == diagnostic.spot && diagnostic.message == NO_FORM;
            if !self.0.contains(diagnostic) && !self.0.iter().any(said) {
                self.0.push(diagnostic.clone());
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.0
    }

    /// Nothing wrong is `Ok`.
    pub(super) fn into_result<T>(mut self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            return Ok(value);
        }
        self.0.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        Err(self)
    }

    /// As compilers print it.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let parts: Vec<String> = self.0.iter().map(|d| one(d, &renderer)).collect();
        let count = match self.0.len() {
            1 => "1 error".to_owned(),
            n => format!("{n} errors"),
        };
        format!("{}\n{count}", parts.join("\n\n"))
    }
}

fn one(diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let head = format!("{}:{}:{}", diagnostic.file, diagnostic.line, diagnostic.column);
    let title = format!("{head}: {}", clean(&diagnostic.message));
    if diagnostic.spot.source.text.is_empty() {
        return match &diagnostic.hint {
            Some(hint) => format!("error: {title}\n  = help: {}", clean(hint)),
            None => format!("error: {title}"),
        };
    }
    let span = diagnostic.spot.span.clone();
    // A span over many lines would print a whole table; its first line is enough to find it.
    let text = &diagnostic.spot.source.text;
    let line_end =
        text.get(span.start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |n| span.start + n);
    let span = span.start.min(text.len())..span.end.min(line_end).max(span.start.min(text.len()));
    let snippet = Snippet::source(text.as_str())
        .path(diagnostic.file.as_str())
        .annotation(AnnotationKind::Primary.span(span));
    let hint = diagnostic.hint.as_ref().map(|hint| clean(hint));
    let mut group = Level::ERROR.primary_title(title.as_str()).element(snippet);
    if let Some(hint) = &hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    renderer.render(&[group]).to_string()
}

/// Control characters of the repository never reach a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// "did you mean" for a word among those that are known: the nearest, where it is but a slip or two away.
pub fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let slips = |name: &&str| strsim::osa_distance(word, name);
    let best = known.min_by_key(slips)?;
    let most = (word.len() / 3).max(1);
    (word.len() > 1 && slips(&best) <= most).then(|| format!("did you mean `{best}`?"))
}
