//! Rules in Rego over a change and the draft of its plan → `Findings` (F2), and the gate that holds what they deny.
//!
//! Pure: time, what ran healthy and the draft plan are part of the question. A rule is bounded in its steps; the caller
//! adds a deadline on the clock.

mod circles;
pub mod example;
mod gate;
mod library;
mod rego;
mod rules;
mod situation;
mod steps;
mod testing;

#[cfg(test)]
mod tests;

use crate::model::finding::Findings;

pub use gate::{Enforced, Verdict, blocked, enforce, weigh};
pub use library::{is_test, library};
pub use rego::{RuleError, Source};
pub use rules::{Rule, Rules, check, parameters, sources};
pub use situation::{Becomes, Situation};
pub use steps::MOST_STEPS;
pub use testing::{Tested, test};

/// What the rules say of the situation: the same answer for the same question.
pub fn evaluate(rules: &Rules, situation: &Situation<'_>) -> Findings {
    rules.evaluate(&situation.document())
}
