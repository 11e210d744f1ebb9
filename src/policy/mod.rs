//! Rules in Rego over a change and the draft of its plan → `Findings` (F2), and the gate that holds what they deny.
//!
//! Pure: time, what ran healthy and the draft plan are part of the question. A rule is bounded in its steps; what bounds
//! its memory and the interpreter's own time is the sandbox that questions are answered in (docs/decisions/0014).

mod circles;
mod conventions;
pub mod example;
mod gate;
mod library;
mod question;
mod rego;
mod rules;
mod shape;
mod situation;
mod steps;
mod testing;

#[cfg(test)]
mod mutants;
#[cfg(test)]
mod tests;

pub use gate::{Enforced, Verdict, blocked, enforce, weigh};
pub use library::{is_test, library};
pub use question::{Judgement, Listed, Question, answer};
pub use rego::{RuleError, Source};
pub use rules::{Rule, Rules, parameters, sources};
pub use situation::{Becomes, Situation};
pub use steps::MOST_STEPS;
pub use testing::Tested;
