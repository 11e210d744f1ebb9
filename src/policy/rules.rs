//! The rules in force: the library and the repository's own, switched and given their parameters by the settings.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Effect, Finding, Findings, Level};
use crate::model::names::AppKey;
use crate::model::policy::{PolicySettings, Switch};
use crate::model::tree::Tree;

use super::conventions::{may_look_at_the_plan, usual_level};
use super::library::{is_test, library};
use super::question::Judgement;
use super::rego::{Modules, RuleError, Source};

/// Where the library's packages stand.
const OURS: &str = "trueup.";
/// A repository's rules: no more files, and none larger.
const MOST_FILES: usize = 100;
const LARGEST_FILE: usize = 256 * 1024;

/// What is known of one rule without asking it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The package, without `trueup.`.
    pub name: String,
    /// Where it is from.
    pub file: String,
    /// As the settings have it: the last word.
    pub set: Option<Switch>,
    /// As it says of itself; `None`: as each of its findings says.
    pub usual: Option<Switch>,
    /// As it says of itself for apps in production, where that differs.
    pub in_production: Option<Switch>,
    /// In a line, where the rule has `about.says`.
    pub says: String,
    /// Of the repository, not of the library.
    pub own: bool,
    /// It, or a package that it needs, looks at the digests that tags stand for.
    pub looks_at_digests: bool,
    /// What its package says under names that nobody asks.
    pub never_asked: Vec<RuleError>,
    package: String,
}

/// Compiled and ready to judge.
#[derive(Clone)]
pub struct Rules {
    library: Modules,
    own: Option<Modules>,
    rules: Vec<Rule>,
    notes: Vec<String>,
    looks_at_the_plan: bool,
}

/// The repository's own rule files, tests included, or what is wrong with their number and size.
pub fn sources(tree: &Tree) -> Result<Vec<Source>, Vec<RuleError>> {
    let error =
        |file: &str, message: String| RuleError { file: file.to_owned(), line: 0, column: 0, message };
    let (mut sources, mut errors) = (Vec::new(), Vec::new());
    let inside = |path: &str| path.starts_with("policies/") && path.ends_with(".rego");
    for (path, blob) in tree.blobs.iter().filter(|(path, _)| inside(path)) {
        if blob.bytes.len() > LARGEST_FILE {
            errors.push(error(
                path,
                format!("{} bytes are too many; the limit is {LARGEST_FILE}", blob.bytes.len()),
            ));
            continue;
        }
        match std::str::from_utf8(&blob.bytes) {
            Ok(text) => sources.push(Source { path: path.clone(), text: text.to_owned() }),
            Err(_) => errors.push(error(path, "this is not UTF-8 text".to_owned())),
        }
    }
    if sources.len() > MOST_FILES {
        errors.push(error(
            "policies",
            format!("{} files are too many; the limit is {MOST_FILES}", sources.len()),
        ));
    }
    if errors.is_empty() { Ok(sources) } else { Err(errors) }
}

/// Everything that is wrong with a repository's own rules, their tests included: Rego, and what fails on an example of a
/// change.
pub(super) fn check(all: &[Source]) -> Vec<RuleError> {
    let settings = PolicySettings::default();
    let rules = match Rules::compile(&settings, all) {
        Ok(rules) => rules,
        Err(errors) => return errors,
    };
    let with_tests =
        if all.is_empty() { Ok(()) } else { Modules::compile(all, parameters(&settings)).map(|_| ()) };
    let mut errors = with_tests.err().unwrap_or_default();
    let example = Value::from(super::example::document());
    for rule in rules.rules.iter().filter(|rule| rule.own) {
        let document = rules.own.as_ref().map(|own| own.document(&rule.package, &example, &rule.file));
        errors.extend(document.and_then(Result::err));
    }
    errors.extend(rules.list().iter().flat_map(|rule| rule.never_asked.clone()));
    errors
}

impl Rules {
    /// Compiles the library and the repository's `own` files, or tells everything that is wrong with them.
    pub fn compile(settings: &PolicySettings, own: &[Source]) -> Result<Self, Vec<RuleError>> {
        let own: Vec<&Source> =
            own.iter().filter(|source| settings.repository && !is_test(&source.path)).collect();
        let ours = library(false);
        let (library, packages) = Modules::compile(&ours, parameters(settings))?;
        let mut rules = rules_of(&library, packages, settings, false);
        let mut modules = None;
        if !own.is_empty() {
            let (compiled, packages) = Modules::compile(own.iter().copied(), parameters(settings))?;
            let taken = packages.iter().filter(|(package, _)| reserved(package));
            let errors: Vec<RuleError> = taken.map(|(package, file)| not_yours(package, file)).collect();
            if !errors.is_empty() {
                return Err(errors);
            }
            rules.extend(rules_of(&compiled, packages, settings, true));
            modules = Some(compiled);
        }
        let known: BTreeSet<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        let notes = settings
            .rules
            .keys()
            .filter(|name| !known.contains(name.as_str()))
            .map(|name| {
                format!(
                    "the settings switch the rule {name:?}, which neither the library nor the repository has"
                )
            })
            .collect();
        let looks_at_the_plan = own.iter().any(|source| may_look_at_the_plan(&source.text));
        Ok(Self { library, own: modules, rules, notes, looks_at_the_plan })
    }

    /// Every rule, switched off ones included.
    pub fn list(&self) -> &[Rule] {
        &self.rules
    }

    /// What they say of the change: the same answer for the same question.
    pub fn judge(&self, input: &serde_json::Value) -> Judgement {
        let looking = self.rules.iter().filter(|rule| rule.looks_at_digests);
        Judgement {
            findings: self.evaluate(input),
            // Only the repository's own do.
            wants_plan: self.looks_at_the_plan,
            look_at_digests: looking.map(|rule| rule.name.clone()).collect(),
        }
    }

    /// Asks every rule that is on about `input`. What cannot be evaluated holds the change: it never passes silently.
    fn evaluate(&self, input: &serde_json::Value) -> Findings {
        let value = Value::from(input.clone());
        let apps = apps(input);
        let mut findings = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.is_on()) {
            // No head is taken with those, and the commit that mends an older one is not held for them (A3).
            findings.extend(rule.never_asked.iter().map(|error| told(rule, error)));
            let modules = if rule.own { self.own.as_ref() } else { Some(&self.library) };
            let Some(modules) = modules else { continue };
            match modules.document(&rule.package, &value, &rule.file) {
                Ok(document) => findings.extend(said(rule, &document, &apps)),
                Err(error) => {
                    let words = format!("the rule could not be evaluated: {}", error.message);
                    findings.push(holds(rule, words, error.place()));
                }
            }
        }
        findings.sort();
        findings.dedup();
        Findings { findings, notes: self.notes.clone() }
    }
}

impl Rule {
    /// The level where a finding does not say another; `production`: of an app in production.
    pub fn level(&self, production: bool) -> Option<Switch> {
        self.set.or_else(|| self.in_production.filter(|_| production)).or(self.usual)
    }

    /// Whether anybody asks it.
    pub fn is_on(&self) -> bool {
        [false, true].into_iter().any(|production| self.level(production) != Some(Switch::Off))
    }
}

/// The levels by their names.
fn level_of(word: &str) -> Option<Switch> {
    match word {
        "off" => Some(Switch::Off),
        "advice" => Some(Switch::Advice),
        "overridable" => Some(Switch::Overridable),
        "final" => Some(Switch::Final),
        _ => None,
    }
}

fn reserved(package: &str) -> bool {
    matches!(package.split('.').next(), Some("trueup" | "parameters"))
}

fn not_yours(package: &str, file: &str) -> RuleError {
    let message = format!("the package {package} is trueup's own: choose another name");
    RuleError { file: file.to_owned(), line: 1, column: 1, message }
}

/// `data.parameters` of every rule.
pub fn parameters(settings: &PolicySettings) -> serde_json::Value {
    let mut parameters = json!({
        "registries": settings.registries,
        "host_mounts": settings.host_mounts,
        "images_by_digest": settings.images_by_digest,
        "own": settings.own,
    });
    // What is not set is not there, so that a comparison with it is undefined and says nothing.
    for (key, value) in [
        ("most_replicas", settings.most_replicas),
        ("least_replicas_in_production", settings.least_replicas_in_production),
    ] {
        if let Some(value) = value {
            parameters[key] = value.into();
        }
    }
    json!({ "parameters": parameters })
}

fn rules_of(
    modules: &Modules,
    packages: BTreeMap<String, String>,
    settings: &PolicySettings,
    own: bool,
) -> Vec<Rule> {
    let one = |(package, file): (String, String)| {
        let about = |key: &str| modules.about(&package).and_then(|about| about.get(key)).map(String::as_str);
        let name = if own { package.clone() } else { package.trim_start_matches(OURS).to_owned() };
        Rule {
            set: settings.rules.get(&name).copied(),
            // A denial is overridable anyway, unless it says that it is final.
            usual: about("level").and_then(level_of).filter(|level| *level != Switch::Overridable),
            in_production: about("production").and_then(level_of),
            says: about("says").unwrap_or_default().to_owned(),
            looks_at_digests: modules.looks_at_digests(&package),
            never_asked: modules.never_asked(&package),
            name,
            file,
            own,
            package,
        }
    };
    packages.into_iter().map(one).collect()
}

/// What a finding about an app takes from it.
struct AppOf {
    /// Where it is declared.
    file: String,
    /// The levels of production count. Not in the first revision of all: it says what is there already, and what it says
    /// would stand still.
    production: bool,
}

fn apps(input: &serde_json::Value) -> BTreeMap<String, AppOf> {
    let text = |value: Option<&serde_json::Value>| value.and_then(|v| v.as_str()).map(str::to_owned);
    let apps = input.get("apps").and_then(serde_json::Value::as_array).into_iter().flatten();
    let first = input.pointer("/revision/base").is_none_or(serde_json::Value::is_null);
    let one = |app: &serde_json::Value| {
        let production = !first && app.get("production") == Some(&serde_json::Value::Bool(true));
        Some((text(app.get("key"))?, AppOf { file: text(app.get("file"))?, production }))
    };
    apps.filter_map(one).collect()
}

/// The findings of a document, by the names that Conftest gives them.
fn said(rule: &Rule, document: &serde_json::Value, apps: &BTreeMap<String, AppOf>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, value) in document.as_object().into_iter().flatten() {
        let Some(usual) = usual_level(name) else { continue };
        match value {
            serde_json::Value::Array(items) => {
                findings.extend(items.iter().filter_map(|item| finding(rule, usual, item, apps)));
            }
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_)
            | serde_json::Value::Object(_) => {
                let words = format!("`{name}` is no set of messages: write `{name} contains msg if {{ … }}`");
                findings.push(holds(rule, words, rule.file.clone()));
            }
        }
    }
    findings
}

/// What is wrong with a rule and keeps nothing from being judged.
fn told(rule: &Rule, error: &RuleError) -> Finding {
    let (level, effect) = (Level::Advice, Effect::Told);
    let (message, file) = (error.message.clone(), error.place());
    Finding { rule: rule.name.clone(), level, app: None, message, file, effect }
}

/// What keeps a rule from being judged holds the revision as a whole.
fn holds(rule: &Rule, message: String, file: String) -> Finding {
    let (level, effect) = (Level::Overridable, Effect::Holds);
    Finding { rule: rule.name.clone(), level, app: None, message, file, effect }
}

/// `None`: the rule is off for what this is about.
fn finding(
    rule: &Rule,
    usual: Level,
    item: &serde_json::Value,
    apps: &BTreeMap<String, AppOf>,
) -> Option<Finding> {
    let text = |key: &str| item.get(key).and_then(serde_json::Value::as_str);
    let named = text("app");
    let declared = named.and_then(|name| apps.get(name));
    let is_final = item.get("final") == Some(&serde_json::Value::Bool(true));
    let own = text("level").and_then(level_of).or_else(|| is_final.then_some(Switch::Final));
    let of_rule = rule.level(declared.is_some_and(|app| app.production));
    // What a rule that is only told says finally is told as well.
    let switch = match (rule.set, of_rule, own) {
        (Some(set), _, _) => Some(set),
        (None, Some(Switch::Off | Switch::Advice), Some(Switch::Final)) => of_rule,
        (None, _, own) => own.or(of_rule),
    };
    let level = match (usual, switch) {
        (_, Some(Switch::Off)) => return None,
        (Level::Advice, _) | (_, Some(Switch::Advice)) => Level::Advice,
        (_, Some(Switch::Final)) => Level::Final,
        (_, Some(Switch::Overridable)) => Level::Overridable,
        (usual, None) => usual,
    };
    let app: Option<AppKey> = named.and_then(|name| name.parse().ok());
    let message = item.as_str().or_else(|| text("msg")).map_or_else(|| item.to_string(), str::to_owned);
    let declared = declared.map(|app| app.file.clone());
    let file = text("file").map(str::to_owned).or(declared).unwrap_or_else(|| rule.file.clone());
    let effect = if level == Level::Advice { Effect::Told } else { Effect::Holds };
    Some(Finding { rule: rule.name.clone(), level, app, message, file, effect })
}
