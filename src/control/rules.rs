//! Rules asked in the sandbox: whether a head's are good, and what the applied ones say. What gives no answer is wrong, and
//! says so.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::model::names::Revision;
use crate::model::units::Timestamp;
use crate::policy::{Listed, Question, Rule, RuleError, Source};
use crate::ports::{Sandbox, SandboxError};

use super::World;

/// How long rules that gave no answer are left alone: a host that was short of memory may have some by then, and rules that
/// never answer do not keep the loop busy.
const REST: Duration = Duration::from_secs(600);

/// Why there is no answer.
#[derive(Debug, Clone)]
pub enum Unanswered {
    /// Everything that is wrong with the rules (A3).
    Wrong(Vec<RuleError>),
    /// They took too much, or could not be asked.
    Sandbox(SandboxError),
}

impl Unanswered {
    /// In the form of errors of rules, for whoever tells them.
    pub fn errors(self) -> Vec<RuleError> {
        match self {
            Self::Wrong(errors) => errors,
            Self::Sandbox(error) => {
                let hint = match error {
                    SandboxError::NotAsked(_) => "",
                    SandboxError::Deadline { .. }
                    | SandboxError::Broke { .. }
                    | SandboxError::TooMuch { .. } => ": make them do less, or split them",
                };
                let message = format!("{error}{hint}");
                vec![RuleError { file: "policies".to_owned(), line: 0, column: 0, message }]
            }
        }
    }
}

/// The sandbox's answer; `T` is the question's own kind of it.
pub async fn ask<T: DeserializeOwned>(sandbox: &dyn Sandbox, question: &Question) -> Result<T, Unanswered> {
    let not_asked = |error: serde_json::Error| Unanswered::Sandbox(SandboxError::NotAsked(error.to_string()));
    let asked = serde_json::to_vec(question).map_err(not_asked)?;
    let answer = sandbox.answer(asked).await.map_err(Unanswered::Sandbox)?;
    serde_json::from_slice::<Result<T, Vec<RuleError>>>(&answer)
        .map_err(not_asked)?
        .map_err(Unanswered::Wrong)
}

/// Rules that took too much to answer, and when they are asked again: waits double, from a minute to ten.
#[derive(Debug, Clone)]
pub struct Silent {
    about: Revision,
    /// The question was about a plan too, which is more than the one that is asked first.
    with_plan: bool,
    why: SandboxError,
    waited: Duration,
    again: Timestamp,
}

/// After the first time that they gave no answer.
const FIRST_REST: Duration = Duration::from_secs(60);

impl Silent {
    /// Why nothing is asked about this revision yet.
    pub fn known(&self, about: &Revision, with_plan: bool, now: Timestamp) -> Option<SandboxError> {
        let is_it = self.about == *about && (with_plan || !self.with_plan);
        (is_it && now < self.again).then(|| self.why.clone())
    }

    /// Whether an answer shows that they answer again: one to less than what was asked then does not.
    pub fn is_over(&self, with_plan: bool) -> bool {
        with_plan || !self.with_plan
    }

    /// After one more time. What could not be asked cost nothing, and may be asked at once.
    pub fn after(
        before: Option<&Self>,
        (about, with_plan): (&Revision, bool),
        why: &Unanswered,
        now: Timestamp,
    ) -> Option<Self> {
        let why = match why {
            Unanswered::Wrong(_) | Unanswered::Sandbox(SandboxError::NotAsked(_)) => return None,
            Unanswered::Sandbox(why) => why.clone(),
        };
        let waited = match before.filter(|before| before.about == *about) {
            Some(before) => (before.waited * 2).min(REST),
            None => FIRST_REST,
        };
        Some(Self { about: about.clone(), with_plan, why, waited, again: now.plus(waited) })
    }
}

/// What is known of a revision's rules.
#[derive(Debug, Clone)]
pub struct Tried {
    rules: Vec<Source>,
    errors: Vec<RuleError>,
    /// Names in them that nobody asks. No reason against what is enforced already: an earlier trueup took those.
    never_asked: Vec<RuleError>,
    /// When to ask again; `None`: the answer stands.
    again: Option<Timestamp>,
}

impl Tried {
    pub fn is_about(&self, rules: &[Source]) -> bool {
        self.rules == rules
    }

    /// What is wrong with them; `enforced`: of a revision that was taken before.
    pub fn errors(&self, enforced: bool) -> Vec<RuleError> {
        let never_asked = self.never_asked.iter().filter(|_| !enforced);
        self.errors.iter().chain(never_asked).cloned().collect()
    }

    /// Whether what is known of `rules` still stands.
    pub fn is_known(&self, rules: &[Source], now: Timestamp) -> bool {
        self.rules == rules && self.again.is_none_or(|again| now < again)
    }
}

/// Asks what is wrong with a revision's rules.
pub async fn try_out(world: &World, rules: &[Source]) -> Tried {
    let question = Question::List { settings: world.policy.clone(), own: rules.to_vec() };
    let rules = rules.to_vec();
    let tried = Tried { rules, errors: Vec::new(), never_asked: Vec::new(), again: None };
    match ask::<Listed>(&*world.sandbox, &question).await {
        Ok(listed) => {
            let on = listed.into_iter().filter(Rule::is_on);
            Tried { never_asked: on.flat_map(|rule| rule.never_asked).collect(), ..tried }
        }
        Err(why @ Unanswered::Wrong(_)) => Tried { errors: why.errors(), ..tried },
        Err(why @ Unanswered::Sandbox(_)) => {
            Tried { errors: why.errors(), again: Some(world.clock.now().plus(REST)), ..tried }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_fail_with_the_plan_alone_wait_longer_each_time() {
        let (about, now) = (Revision::new("1".repeat(40)), Timestamp(0));
        let slow = Unanswered::Sandbox(SandboxError::Deadline { seconds: 10 });
        let first = Silent::after(None, (&about, true), &slow, now).expect("silent");
        assert!(first.known(&about, false, now).is_none(), "what is asked first is less");
        assert!(!first.is_over(false), "and an answer to it shows nothing");
        assert!(first.known(&about, true, now).is_some() && first.is_over(true));
        let again = now.plus(FIRST_REST);
        assert!(first.known(&about, true, again).is_none(), "asked once more");
        let second = Silent::after(Some(&first), (&about, true), &slow, again).expect("silent");
        assert!(second.known(&about, true, again.plus(FIRST_REST)).is_some(), "twice as long");
        let without = Silent::after(None, (&about, false), &slow, now).expect("silent");
        assert!(without.known(&about, true, now).is_some(), "more of the same fails as well");
    }
}
