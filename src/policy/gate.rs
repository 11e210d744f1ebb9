//! The gate: findings → what is held, and what is declared meanwhile. What is held keeps its last applied spec, so that
//! its healing goes on (F3) and nothing of the held change is ever planned.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::Desired;
use crate::model::drift::{Kind, Subject};
use crate::model::finding::{Effect, Finding, Findings, Level};
use crate::model::names::{AppKey, Revision};
use crate::model::plan::Blocked;

use super::situation::{Becomes, Situation};

/// What the gate decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub findings: Findings,
    /// Apps whose change waits.
    pub held: BTreeSet<AppKey>,
    /// The revision waits as a whole.
    pub whole: bool,
}

/// What is enforced while something is held.
#[derive(Debug, Clone, PartialEq)]
pub struct Enforced {
    pub desired: Desired,
    /// Apps that have no applied spec to fall back to: nothing about them is changed, and why.
    pub paused: BTreeMap<AppKey, String>,
    /// The same for the whole fleet.
    pub paused_fleet: Option<String>,
    /// Nothing of the judged revision is enforced.
    pub whole: bool,
}

/// Weighs findings: what is overridden or about something that does not change holds nothing. `overrides` has reasons
/// by [`Finding::id`].
pub fn weigh(findings: Findings, situation: &Situation<'_>, overrides: &BTreeMap<String, String>) -> Verdict {
    let (apps, revision) = (situation.apps(), &situation.after.revision);
    let mut verdict = Verdict { findings, held: BTreeSet::new(), whole: false };
    for finding in &mut verdict.findings.findings {
        let becomes = finding.app.as_ref().and_then(|app| apps.get(app).map(|becomes| (app, *becomes)));
        let reason = overrides.get(&finding.id(revision)).filter(|_| finding.level == Level::Overridable);
        match (finding.level, reason, becomes) {
            (Level::Advice, _, _) | (_, _, Some((_, Becomes::Same))) => finding.effect = Effect::Told,
            (_, Some(reason), _) => finding.effect = Effect::Overridden(reason.clone()),
            (_, None, Some((app, _))) => {
                finding.effect = Effect::Holds;
                verdict.held.insert(app.clone());
            }
            // Without an app, or with one that nobody declares, it is about the revision.
            (_, None, None) => {
                finding.effect = Effect::Holds;
                verdict.whole = true;
            }
        }
    }
    verdict
}

/// The declared state with what is held as it was. `fits` says whether such a mixture is sound on its own; where it is
/// not, the revision waits as a whole.
pub fn enforce(verdict: &Verdict, situation: &Situation<'_>, fits: &dyn Fn(&Desired) -> bool) -> Enforced {
    let after = situation.after;
    let mut enforced =
        Enforced { desired: after.clone(), paused: BTreeMap::new(), paused_fleet: None, whole: false };
    if !verdict.whole {
        if let Some(before) = situation.before.filter(|_| !verdict.held.is_empty()) {
            enforced.desired = after.with_as_before(before, verdict.held.iter());
        }
        let was_there = |key: &AppKey| situation.before.is_some_and(|before| before.apps.contains_key(key));
        let new = verdict.held.iter().filter(|key| !was_there(key));
        enforced.paused = new.map(|key| (key.clone(), why(verdict, Some(key)))).collect();
        if verdict.held.is_empty() || fits(&enforced.desired) {
            return enforced;
        }
    }
    enforced.paused = BTreeMap::new();
    enforced.whole = true;
    match situation.before {
        Some(before) => enforced.desired = before.clone(),
        // There is nothing to go back to: what runs is left as it is.
        None => {
            enforced.desired = after.clone();
            enforced.paused_fleet = Some(why(verdict, None));
        }
    }
    enforced
}

impl Enforced {
    /// What is declared without what is paused.
    pub fn unpaused(mut self) -> Desired {
        if self.paused_fleet.is_some() {
            self.desired.apps.clear();
        }
        self.desired.apps.retain(|app, _| !self.paused.contains_key(app));
        self.desired
    }
}

fn why(verdict: &Verdict, app: Option<&AppKey>) -> String {
    let about = |finding: &&Finding| app.is_none() || finding.app.as_ref() == app;
    let words: Vec<String> = verdict.findings.holding().filter(about).map(words).collect();
    format!("held by policy: {}", words.join("; "))
}

fn words(finding: &Finding) -> String {
    format!("{} ({}): {}", finding.rule, finding.level.name(), finding.message)
}

/// What is held, for the plan: each with why and what to do next.
pub fn blocked(findings: &Findings, revision: &Revision) -> Vec<Blocked> {
    let one = |finding: &Finding| Blocked {
        subject: match &finding.app {
            Some(app) => Subject::of_fleet(Kind::App, app),
            None => Subject::of_fleet(Kind::Revision, revision.short()),
        },
        app: finding.app.clone(),
        reason: format!("policy {} [{}]", words(finding), finding.file),
        hint: match finding.level {
            Level::Final => "mend it in a commit; this rule is final".to_owned(),
            Level::Overridable | Level::Advice => {
                format!("mend it in a commit, or `trueup override {} --reason …`", finding.id(revision))
            }
        },
    };
    findings.holding().map(one).collect()
}
