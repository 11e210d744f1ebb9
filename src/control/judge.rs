//! A revision before the policies: asked with a deadline on the clock, weighed with what people overrode, and what
//! becomes of the applied state where the rest is carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config;
use crate::model::desired::{Desired, ImageLock};
use crate::model::finding::{Effect, Finding, Findings, Level};
use crate::model::names::{AppKey, EnvironmentName};
use crate::model::plan::{Blocked, Plan};
use crate::policy::{self, Becomes, Enforced, Rules, Situation};

use super::baseline::Applied;
use super::memory::Memory;
use super::revision::Taken;
use super::{ControlError, World};

/// The steps of each rule are bounded; this stands outside, should one step ever take long.
const DEADLINE: Duration = Duration::from_secs(20);

/// What the policies leave of a revision.
#[derive(Debug, Clone)]
pub struct Judged {
    pub enforced: Enforced,
    pub findings: Findings,
    pub blocked: Vec<Blocked>,
    /// What is applied once this is carried out; `None`: nothing of it moves.
    pub becomes: Option<Applied>,
    /// A rule looks at the plan: it is to be asked again with one.
    pub wants_plan: bool,
}

/// Judges the revision as a whole, the environments out of this world's scope included.
pub async fn judge(
    world: &World,
    taken: &Taken,
    images: &ImageLock,
    plan: Option<&Plan>,
) -> Result<Judged, ControlError> {
    let memory = Memory::new(&*world.store);
    let healthy = memory.healthy_in_test()?;
    let base = &taken.baseline;
    let situation = Situation {
        now: world.clock.now(),
        before: base.desired.as_ref(),
        after: &taken.desired,
        images,
        author: &taken.author,
        summary: &taken.summary,
        committed: taken.committed,
        plan,
        healthy_in_test: &healthy,
        freeze: &world.policy.freeze,
        policies_changed: base.desired.is_some() && taken.rules != base.rules,
    };
    // Where this very revision is applied in full, nothing is compared.
    let applied = base.applied == Applied::all(&taken.desired.revision);
    let changes = if applied { BTreeMap::new() } else { situation.apps() };
    if applied || !situation.is_change() {
        let enforced = policy::enforce(&nothing_held(), &situation, &|_| true);
        let becomes = Some(becomes(world, taken, &changes, &BTreeSet::new(), true));
        let findings = Findings::default();
        return Ok(Judged { enforced, findings, blocked: Vec::new(), becomes, wants_plan: false });
    }
    let (mut findings, wants_plan) = ask(world, taken, &situation).await;
    if base.applied.rules.is_none() {
        findings.notes.push(
            "nothing was applied before: the repository's own policies judge from the next revision on"
                .to_owned(),
        );
    }
    let revision = &taken.desired.revision;
    let verdict = policy::weigh(findings, &situation, &memory.overrides(revision)?);
    let enforced = policy::enforce(&verdict, &situation, &|mixed: &Desired| config::is_sound(mixed));
    let clean = verdict.findings.holding().next().is_none();
    let becomes = (!enforced.whole).then(|| becomes(world, taken, &changes, &verdict.held, clean));
    let blocked = policy::blocked(&verdict.findings, revision);
    Ok(Judged { enforced, findings: verdict.findings, blocked, becomes, wants_plan })
}

fn nothing_held() -> policy::Verdict {
    policy::Verdict { findings: Findings::default(), held: BTreeSet::new(), whole: false }
}

/// The answer of the rules; whatever keeps them from answering holds the revision.
async fn ask(world: &World, taken: &Taken, situation: &Situation<'_>) -> (Findings, bool) {
    let rules = match Rules::compile(&world.policy, &taken.baseline.rules) {
        Ok(rules) => rules,
        Err(errors) => {
            let all = errors.into_iter().map(|error| {
                unanswered(format!("the applied rules do not compile: {}", error.message), error.place())
            });
            return (Findings { findings: all.collect(), notes: Vec::new() }, false);
        }
    };
    let wants_plan = rules.look_at_the_plan();
    let document = situation.document();
    let asked = tokio::task::spawn_blocking(move || rules.evaluate(&document));
    let failed =
        |why: String| Findings { findings: vec![unanswered(why, "policies".to_owned())], notes: Vec::new() };
    let findings = match tokio::time::timeout(DEADLINE, asked).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => failed(format!("the rules could not be evaluated: {error}")),
        Err(_) => failed(format!("the rules did not answer within {} s", DEADLINE.as_secs())),
    };
    (findings, wants_plan)
}

fn unanswered(message: String, file: String) -> Finding {
    let (rule, level, effect) = ("policies".to_owned(), Level::Overridable, Effect::Holds);
    Finding { rule, level, app: None, message, file, effect }
}

/// The applied state after the rest was carried out: what is held, and what is out of scope, stays behind. The
/// repository's new rules count only where nothing of their revision was denied.
fn becomes(
    world: &World,
    taken: &Taken,
    changes: &BTreeMap<AppKey, Becomes>,
    held: &BTreeSet<AppKey>,
    clean: bool,
) -> Applied {
    let (old, revision) = (&taken.baseline.applied, &taken.desired.revision);
    let elsewhere = |e: &EnvironmentName| world.environments.as_ref().is_some_and(|some| !some.contains(e));
    let behind = changes
        .iter()
        .filter(|(_, becomes)| **becomes != Becomes::Same)
        .filter(|(key, _)| held.contains(*key) || elsewhere(&key.environment))
        .map(|(key, _)| (key.clone(), old.of(key)))
        .collect();
    // A revision named on the command line need not be merged: it is applied, and its rules judge nothing.
    let rules = if clean && world.revision.is_none() { Some(revision.clone()) } else { old.rules.clone() };
    Applied { rules, fleet: Some(revision.clone()), behind }
}
