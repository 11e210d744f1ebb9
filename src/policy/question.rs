//! Questions about rules as they go to a sandbox and its answers come back: whoever may push writes the rules, so the
//! process that reads them is one that may end at any moment (docs/decisions/0014).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::finding::Findings;
use crate::model::policy::PolicySettings;

use super::rego::{RuleError, Source};
use super::rules::{self, Rule, Rules};
use super::testing;

/// What may be asked. Files are the repository's own; the library is always there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Question {
    /// Are these rules good, and which are on? [`Listed`].
    List { settings: PolicySettings, own: Vec<Source> },
    /// What do they say of a change? [`Judgement`].
    Judge { settings: PolicySettings, own: Vec<Source>, input: serde_json::Value },
    /// Everything that is wrong with these rules and their tests; `()`.
    Check { own: Vec<Source> },
    /// Their tests' results; `Vec<Tested>`.
    Test { sources: Vec<Source> },
}

/// The rules in force, switched off ones included.
pub type Listed = Vec<Rule>;

/// What the rules say of a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub findings: Findings,
    /// A rule looks at the plan: it is to be asked again with one.
    pub wants_plan: bool,
    /// Rules that look at what a tag stands for.
    pub look_at_digests: BTreeSet<String>,
}

/// Answers a question, both as JSON. An answer is a `Result` whose error is everything that is wrong with the rules.
pub fn answer(question: &[u8]) -> serde_json::Result<Vec<u8>> {
    match serde_json::from_slice(question)? {
        Question::List { settings, own } => {
            serde_json::to_vec(&Rules::compile(&settings, &own).map(|rules| rules.list().to_vec()))
        }
        Question::Judge { settings, own, input } => {
            serde_json::to_vec(&Rules::compile(&settings, &own).map(|rules| rules.judge(&input)))
        }
        Question::Check { own } => {
            let errors = rules::check(&own);
            serde_json::to_vec::<Result<(), Vec<RuleError>>>(&if errors.is_empty() {
                Ok(())
            } else {
                Err(errors)
            })
        }
        Question::Test { sources } => serde_json::to_vec(&testing::test(&sources)),
    }
}
