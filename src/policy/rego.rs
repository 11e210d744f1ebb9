//! Rego in process: modules compiled together, one package evaluated at a time, every error with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use regorus::unstable::{Expr, Rule, RuleHead};
use regorus::{Engine, Value};
use serde::{Deserialize, Serialize};

use super::circles::{Module, circles};
use super::{conventions, shape, steps};

/// A Rego file: its path, for people, and its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub path: String,
    pub text: String,
}

/// What is wrong with a rule, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct RuleError {
    pub file: String,
    pub line: u32,
    pub column: u32,
    pub message: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.message)
    }
}

impl RuleError {
    /// `file:line:column`, as much of it as is known.
    pub fn place(&self) -> String {
        match (self.line, self.column) {
            (0, _) => self.file.clone(),
            (line, column) => format!("{}:{line}:{column}", self.file),
        }
    }
}

/// What a package says of itself in its `about`, read and never computed.
pub type About = BTreeMap<String, String>;

/// Compiled modules over fixed data.
#[derive(Clone)]
pub struct Modules {
    engine: Engine,
    /// By package.
    about: BTreeMap<String, About>,
    /// Packages that look at digests, or need one that does.
    looking: BTreeSet<String>,
    /// Rules that nobody asks, by their package.
    never_asked: Vec<(String, RuleError)>,
    /// File, package, rule's name, line.
    places: Vec<(String, String, String, u32)>,
}

impl Modules {
    /// Compiles all files, or tells what is wrong with each; with the packages, and the first file of each. `data` is
    /// the document below `data`.
    pub fn compile<'a>(
        sources: impl IntoIterator<Item = &'a Source>,
        data: serde_json::Value,
    ) -> Result<(Self, BTreeMap<String, String>), Vec<RuleError>> {
        let sources: Vec<&Source> = sources.into_iter().collect();
        let errors = shape::check(&sources);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut engine = Engine::new();
        // A wrong operand is an error that holds the change, not an `undefined` that lets it pass.
        engine.set_strict_builtin_errors(true);
        engine.set_execution_timer_config(steps::limit());
        let mut errors = Vec::new();
        let mut first = None;
        for source in sources {
            first.get_or_insert(&source.path);
            errors.extend(unbounded(source));
            if let Err(error) = engine.add_policy(source.path.clone(), source.text.clone()) {
                errors.push(located(&error, &source.path));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let file = first.map_or("policies", String::as_str);
        engine.add_data(Value::from(data)).map_err(|error| vec![located(&error, file)])?;
        // What only the rules together show (unknown names, unsafe variables) is found before the first question.
        engine.set_input(Value::new_object());
        let modules = outlines(&mut engine);
        let mut errors = circles(&modules);
        let about = abouts(&mut engine, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        engine.eval_query("true".to_owned(), false).map_err(|error| vec![located(&error, file)])?;
        let looking = looking_at_digests(&mut engine);
        let never_asked = conventions::never_asked(&mut engine);
        let mut packages = BTreeMap::new();
        let places = modules.iter().flat_map(Module::places).collect();
        for module in modules {
            packages.entry(module.package).or_insert(module.path);
        }
        Ok((Self { engine, about, looking, never_asked, places }, packages))
    }

    /// The rules of one file, each once: package, name, line.
    pub fn rules_in(&self, file: &str) -> Vec<(&str, &str, u32)> {
        let mut rules: Vec<(&str, &str, u32)> = Vec::new();
        for (_, package, name, line) in self.places.iter().filter(|place| place.0 == file) {
            if !rules.iter().any(|rule| rule.1 == name) {
                rules.push((package, name, *line));
            }
        }
        rules
    }

    /// What the package says of itself.
    pub fn about(&self, package: &str) -> Option<&About> {
        self.about.get(package)
    }

    /// Whether the package looks at what a tag stands for, itself or through another.
    pub fn looks_at_digests(&self, package: &str) -> bool {
        self.looking.contains(package)
    }

    /// Rules of the package whose names look as if somebody asked them.
    pub fn never_asked(&self, package: &str) -> Vec<RuleError> {
        let of_it = self.never_asked.iter().filter(|(of, _)| of == package);
        of_it.map(|(_, error)| error.clone()).collect()
    }

    /// A value that needs no input, such as a test's; null where there is none.
    pub fn constant(&self, path: &str, file: &str) -> Result<serde_json::Value, RuleError> {
        self.document(path, &Value::new_object(), file)
    }

    /// The document of one package for this input. `file` is named where the error itself names no place.
    pub fn document(&self, package: &str, input: &Value, file: &str) -> Result<serde_json::Value, RuleError> {
        let mut engine = self.engine.clone();
        engine.set_input(input.clone());
        let results = engine.eval_query(format!("data.{package}"), false).map_err(|e| located(&e, file))?;
        let value = results.result.first().and_then(|result| result.expressions.first());
        Ok(value.and_then(|e| serde_json::to_value(&e.value).ok()).unwrap_or(serde_json::Value::Null))
    }
}

/// A path as text, whatever blanks it was written with.
pub(super) fn dotted(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The `about` of each package. Nothing of it is computed, so that reading a head's rules runs none of them.
fn abouts(engine: &mut Engine, errors: &mut Vec<RuleError>) -> BTreeMap<String, About> {
    let mut all = BTreeMap::new();
    for module in engine.get_modules().iter() {
        for rule in &module.policy {
            let span = rule.span();
            let read = match &**rule {
                Rule::Spec { head: RuleHead::Compr { refr, assign, .. }, bodies, .. }
                    if refr.span().text() == "about" =>
                {
                    assign.as_ref().filter(|_| bodies.is_empty()).and_then(|assign| texts(&assign.value))
                }
                Rule::Default { refr, value, .. } if refr.span().text() == "about" => texts(value),
                Rule::Spec { .. } | Rule::Default { .. } => continue,
            };
            match read {
                Some(about) => drop(all.insert(dotted(module.package.refr.span().text()), about)),
                None => errors.push(RuleError {
                    file: span.source.file().clone(),
                    line: span.line,
                    column: span.col,
                    message: "about is read, not computed: write `about := {\"level\": \"…\", \"says\": \"…\"}` with plain texts".to_owned(),
                }),
            }
        }
    }
    all
}

/// An object of plain texts.
fn texts(value: &Expr) -> Option<About> {
    let text = |expr: &Expr| {
        let (Expr::String { value, .. } | Expr::RawString { value, .. }) = expr else { return None };
        value.as_string().ok().map(ToString::to_string)
    };
    let Expr::Object { fields, .. } = value else { return None };
    fields.iter().map(|(_, key, value)| Some((text(key)?, text(value)?))).collect()
}

/// Packages whose text says the field `digest`, and those that name such a package. Reading too much into a text only
/// means that a denial of that package does not keep a registry from being asked.
fn looking_at_digests(engine: &mut Engine) -> BTreeSet<String> {
    let modules = engine.get_modules();
    let texts: Vec<(String, &str)> = modules
        .iter()
        .map(|module| {
            (dotted(module.package.refr.span().text()), module.package.span.source.contents().as_str())
        })
        .collect();
    let mut looking = BTreeSet::new();
    loop {
        let needs = |text: &str| looking.iter().any(|package| text.contains(&format!("data.{package}")));
        let more: Vec<String> = texts
            .iter()
            .filter(|(package, text)| !looking.contains(package) && (says_digest(text) || needs(text)))
            .map(|(package, _)| package.clone())
            .collect();
        if more.is_empty() {
            return looking;
        }
        looking.extend(more);
    }
}

fn says_digest(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let field =
        text.match_indices(".digest").any(|(at, found)| !text[at + found.len()..].starts_with(is_word));
    field || text.contains("\"digest\"") || text.contains("`digest`")
}

/// What `circles` needs to know of the modules.
fn outlines(engine: &mut Engine) -> Vec<Module> {
    let outline = |module: &regorus::unstable::Module| Module {
        path: module.package.span.source.file().clone(),
        package: dotted(module.package.refr.span().text()),
        imports: module
            .imports
            .iter()
            .map(|import| {
                let path = dotted(import.refr.span().text());
                let last = path.rsplit('.').next().unwrap_or(&path).to_owned();
                (import.r#as.as_ref().map_or(last, |name| name.text().to_owned()), path)
            })
            .collect(),
        rules: module.policy.iter().map(|rule| (rule.span().line, rule.span().text().to_owned())).collect(),
    };
    engine.get_modules().iter().map(|module| outline(module)).collect()
}

/// `numbers.range` takes its memory at once and by the caller's number, before any step is counted.
fn unbounded(source: &Source) -> Option<RuleError> {
    let calls = |line: &str| {
        let code = line.split('#').next().unwrap_or_default();
        let squeezed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        squeezed.contains("numbers.range") || squeezed.contains("numbers[")
    };
    let line = source.text.lines().position(calls)?;
    Some(RuleError {
        file: source.path.clone(),
        line: u32::try_from(line + 1).unwrap_or(u32::MAX),
        column: 1,
        message: "numbers.range is not available here: what it takes cannot be bounded".to_owned(),
    })
}

/// The interpreter's error in our form. It writes `--> file:line:column`, the line itself, and `error: what`.
fn located(error: &anyhow::Error, file: &str) -> RuleError {
    let text = format!("{error:#}");
    if text.contains("exceeded time limit") {
        let message =
            format!("it was stopped after {} steps: a rule may not loop over so much", steps::MOST_STEPS);
        return RuleError { file: file.to_owned(), line: 0, column: 0, message };
    }
    let place = text.lines().find_map(|line| line.trim().strip_prefix("--> "));
    let mut parts = place.unwrap_or_default().rsplitn(3, ':');
    let column = parts.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let line = parts.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let named = parts.next().map_or_else(|| file.to_owned(), str::to_owned);
    let said = text.lines().find_map(|line| line.trim().strip_prefix("error: "));
    let message = said.or_else(|| text.lines().rfind(|l| !l.trim().is_empty())).unwrap_or("it failed");
    RuleError { file: named, line, column, message: message.trim().to_owned() }
}
