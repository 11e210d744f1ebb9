//! Rules in Rego over a change and the draft of its plan → `Findings` (F2), and the gate that holds what they deny.

mod circles;
mod library;
mod rego;
mod rules;
mod steps;
mod testing;

pub use library::{is_test, library};
pub use rego::{Modules, RuleError, Source};
pub use rules::{Rule, Rules, parameters, sources};
pub use steps::MOST_STEPS;
pub use testing::{Tested, test};

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn t() {
        let r = test(&library(true));
        for t in r.expect("compiles") { println!("{t:?}"); }
    }
}
