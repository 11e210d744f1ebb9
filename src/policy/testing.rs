//! Rego's own tests: every rule `test_…` of the files `*_test.rego`, as `opa test` and Conftest run them.

use serde::{Deserialize, Serialize};

use crate::model::policy::PolicySettings;

use super::library::is_test;
use super::rego::{Modules, RuleError, Source};
use super::rules::parameters;

/// One test and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// `trueup.freeze_test.test_deny_wins_over_allow`.
    pub name: String,
    pub file: String,
    pub line: u32,
    /// Why it failed; `None`: it passed.
    pub failed: Option<String>,
}

/// Runs every test of these files, in order. A file of tests without a test is told as a failure.
pub fn test(sources: &[Source]) -> Result<Vec<Tested>, Vec<RuleError>> {
    let (modules, _) = Modules::compile(sources, parameters(&PolicySettings::default()))?;
    let mut results = Vec::new();
    for source in sources.iter().filter(|source| is_test(&source.path)) {
        let mut some = false;
        for (package, name, line) in modules.rules_in(&source.path) {
            if !name.starts_with("test_") {
                continue;
            }
            some = true;
            let path = format!("{package}.{name}");
            let failed = match modules.constant(&path, &source.path) {
                Ok(serde_json::Value::Bool(true)) => None,
                Ok(serde_json::Value::Null) => {
                    Some("it is undefined: a condition of it does not hold".to_owned())
                }
                Ok(other) => Some(format!("it is {other} and not true")),
                Err(error) => Some(error.to_string()),
            };
            results.push(Tested { name: path, file: source.path.clone(), line, failed });
        }
        if !some {
            let failed = Some("it has no rule whose name begins with test_".to_owned());
            results.push(Tested { name: source.path.clone(), file: source.path.clone(), line: 1, failed });
        }
    }
    Ok(results)
}
