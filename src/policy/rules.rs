//! The rules in force: the library and the repository's own, switched and given their parameters by the settings.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;
use serde_json::json;

use crate::model::finding::{Effect, Finding, Findings, Level};
use crate::model::names::AppKey;
use crate::model::policy::{PolicySettings, Switch};
use crate::model::tree::Tree;

use super::library::{is_test, library};
use super::rego::{Modules, RuleError, Source};

/// Where the library's packages stand.
const OURS: &str = "trueup.";
/// A repository's rules: no more files, and none larger.
const MOST_FILES: usize = 100;
const LARGEST_FILE: usize = 256 * 1024;

/// What is known of one rule without asking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The package, without `trueup.`.
    pub name: String,
    /// Where it is from.
    pub file: String,
    /// `None`: as the rule itself says.
    pub switch: Option<Switch>,
    /// In a line, where the rule has `about.says`.
    pub says: String,
    /// Of the repository, not of the library.
    pub own: bool,
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

/// Everything that is wrong with a tree's own rules, their tests included: number, size, Rego, and what fails on an
/// example of a change. For `trueup config check`.
pub fn check(tree: &Tree) -> Vec<RuleError> {
    let settings = PolicySettings::default();
    let all = match sources(tree) {
        Ok(all) => all,
        Err(errors) => return errors,
    };
    let rules = match Rules::compile(&settings, &all) {
        Ok(rules) => rules,
        Err(errors) => return errors,
    };
    let with_tests =
        if all.is_empty() { Ok(()) } else { Modules::compile(&all, parameters(&settings)).map(|_| ()) };
    let mut errors = with_tests.err().unwrap_or_default();
    let example = Value::from(super::example::document());
    for rule in rules.rules.iter().filter(|rule| rule.own) {
        let document = rules.own.as_ref().map(|own| own.document(&rule.package, &example, &rule.file));
        errors.extend(document.and_then(Result::err));
    }
    errors
}

impl Rules {
    /// Compiles the library and the repository's `own` files, or tells everything that is wrong with them.
    pub fn compile(settings: &PolicySettings, own: &[Source]) -> Result<Self, Vec<RuleError>> {
        let own: Vec<&Source> =
            own.iter().filter(|source| settings.repository && !is_test(&source.path)).collect();
        let ours = library(false);
        let (library, packages) = Modules::compile(&ours, parameters(settings))?;
        let mut rules = rules_of(&library, packages, settings, false)?;
        let mut modules = None;
        if !own.is_empty() {
            let (compiled, packages) = Modules::compile(own.iter().copied(), parameters(settings))?;
            let taken = packages.iter().filter(|(package, _)| reserved(package));
            let errors: Vec<RuleError> = taken.map(|(package, file)| not_yours(package, file)).collect();
            if !errors.is_empty() {
                return Err(errors);
            }
            rules.extend(rules_of(&compiled, packages, settings, true)?);
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
        // Anything else than `input.NAME` may be the plan.
        let looks = |source: &&&Source| {
            source.text.contains("input.plan")
                || source.text.contains("input[")
                || source.text.contains("input\n")
                || source.text.contains("input)")
        };
        let looks_at_the_plan = own.iter().any(|source| looks(&source));
        Ok(Self { library, own: modules, rules, notes, looks_at_the_plan })
    }

    /// Every rule, switched off ones included.
    pub fn list(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether a rule may look at `input.plan`: only the repository's own do.
    pub fn look_at_the_plan(&self) -> bool {
        self.looks_at_the_plan
    }

    /// Asks every rule that is on about `input`. What cannot be evaluated holds the change: it never passes silently.
    pub fn evaluate(&self, input: &serde_json::Value) -> Findings {
        let value = Value::from(input.clone());
        let origins = origins(input);
        let mut findings = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.switch != Some(Switch::Off)) {
            let modules = if rule.own { self.own.as_ref() } else { Some(&self.library) };
            let Some(modules) = modules else { continue };
            match modules.document(&rule.package, &value, &rule.file) {
                Ok(document) => findings.extend(said(rule, &document, &origins)),
                Err(error) => findings.push(Finding {
                    rule: rule.name.clone(),
                    level: Level::Overridable,
                    app: None,
                    message: format!("the rule could not be evaluated: {}", error.message),
                    file: error.place(),
                    effect: Effect::Holds,
                }),
            }
        }
        findings.sort();
        findings.dedup();
        Findings { findings, notes: self.notes.clone() }
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
) -> Result<Vec<Rule>, Vec<RuleError>> {
    let mut rules = Vec::new();
    for (package, file) in packages {
        let about = modules.constant(&format!("{package}.about"), &file).map_err(|error| vec![error])?;
        let name = if own { package.clone() } else { package.trim_start_matches(OURS).to_owned() };
        let usual = match about.get("level").and_then(serde_json::Value::as_str) {
            Some("off") => Some(Switch::Off),
            Some("advice") => Some(Switch::Advice),
            Some("final") => Some(Switch::Final),
            Some(_) | None => None,
        };
        let switch = settings.rules.get(&name).copied().or(usual);
        let says = about.get("says").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        rules.push(Rule { name, file, switch, says, own, package });
    }
    Ok(rules)
}

/// Where each app is declared.
fn origins(input: &serde_json::Value) -> BTreeMap<String, String> {
    let text = |value: Option<&serde_json::Value>| value.and_then(|v| v.as_str()).map(str::to_owned);
    let apps = input.get("apps").and_then(serde_json::Value::as_array).into_iter().flatten();
    apps.filter_map(|app| Some((text(app.get("key"))?, text(app.get("file"))?))).collect()
}

/// `deny` and `warn` of a document (and `deny_…`, `warn_…`), as Conftest has them.
fn said(rule: &Rule, document: &serde_json::Value, origins: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, value) in document.as_object().into_iter().flatten() {
        let is =
            |word: &str| name == word || name.strip_prefix(word).is_some_and(|rest| rest.starts_with('_'));
        let usual = match (is("deny"), is("warn")) {
            (true, _) => Level::Overridable,
            (_, true) => Level::Advice,
            (false, false) => continue,
        };
        match value {
            serde_json::Value::Array(items) => {
                findings.extend(items.iter().map(|item| finding(rule, usual, item, origins)));
            }
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_)
            | serde_json::Value::Object(_) => findings.push(Finding {
                rule: rule.name.clone(),
                level: Level::Overridable,
                app: None,
                message: format!("`{name}` is no set of messages: write `{name} contains msg if {{ … }}`"),
                file: rule.file.clone(),
                effect: Effect::Holds,
            }),
        }
    }
    findings
}

fn finding(
    rule: &Rule,
    usual: Level,
    item: &serde_json::Value,
    origins: &BTreeMap<String, String>,
) -> Finding {
    let text = |key: &str| item.get(key).and_then(serde_json::Value::as_str);
    let is_final = item.get("final") == Some(&serde_json::Value::Bool(true));
    let level = match (usual, rule.switch) {
        (Level::Advice, _) | (_, Some(Switch::Advice)) => Level::Advice,
        (_, Some(Switch::Final)) => Level::Final,
        (_, Some(Switch::Overridable)) => Level::Overridable,
        (_, None | Some(Switch::Off)) if is_final => Level::Final,
        (usual, None | Some(Switch::Off)) => usual,
    };
    let named = text("app");
    let app: Option<AppKey> = named.and_then(|name| name.parse().ok());
    let message = item.as_str().or_else(|| text("msg")).map_or_else(|| item.to_string(), str::to_owned);
    let declared = named.and_then(|name| origins.get(name)).cloned();
    let file = text("file").map(str::to_owned).or(declared).unwrap_or_else(|| rule.file.clone());
    let effect = if level == Level::Advice { Effect::Told } else { Effect::Holds };
    Finding { rule: rule.name.clone(), level, app, message, file, effect }
}
