//! A revision before the policies: asked in the sandbox, weighed with what people overrode, and what becomes of the
//! applied state where the rest is carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use crate::config;
use crate::model::desired::{Desired, ImageLock};
use crate::model::finding::{Effect, Finding, Findings, Level};
use crate::model::image::Digest;
use crate::model::names::{AppKey, EnvironmentName};
use crate::model::plan::{Blocked, Plan};
use crate::policy::{self, Becomes, Enforced, Judgement, Question, Situation};

use super::baseline::Applied;
use super::memory::Memory;
use super::revision::Taken;
use super::rules::{self, Silent, Unanswered};
use super::{ControlError, World};

/// What the policies leave of a revision.
#[derive(Debug, Clone)]
pub struct Judged {
    pub enforced: Enforced,
    /// Whose registries may be asked (F4): what is held by rules that do not look at digests is not in it. What is held
    /// for want of a digest is, or it would be held for ever.
    pub resolvable: Desired,
    pub findings: Findings,
    pub blocked: Vec<Blocked>,
    /// Apps that change, what is held included.
    pub changes: BTreeSet<AppKey>,
    /// What is applied once this is carried out; `None`: nothing of it moves.
    pub becomes: Option<Applied>,
    /// A rule looks at the plan: it is to be asked again with one.
    pub wants_plan: bool,
}

/// What proves a digest to the rules (F5).
#[derive(Debug, Clone, Copy)]
pub enum Proof<'a> {
    /// What this reconciler saw run healthy; a tag that nobody could resolve proves nothing.
    Seen,
    /// What is known to have run healthy, `None`: nothing is known of it. No tag is resolved and nothing is carried out.
    Forecast(Option<&'a BTreeSet<Digest>>),
}

/// Judges the revision as a whole, the environments out of this world's scope included.
pub async fn judge(
    world: &World,
    taken: &Taken,
    images: &ImageLock,
    proof: Proof<'_>,
    plan: Option<&Plan>,
) -> Result<Judged, ControlError> {
    let memory = Memory::new(&*world.store);
    let seen = memory.healthy_in_test()?;
    let (healthy_in_test, forecast) = match proof {
        Proof::Seen => (Some(&seen), false),
        Proof::Forecast(known) => (known, true),
    };
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
        healthy_in_test,
        forecast,
        freeze: &world.policy.freeze,
        policies_changed: base.desired.is_some() && taken.rules != base.rules,
    };
    // Where this very revision is applied in full, nothing is compared.
    let applied = base.applied == Applied::all(&taken.desired.revision);
    let changes = if applied { BTreeMap::new() } else { situation.apps() };
    if applied || !situation.is_change() {
        let enforced = policy::enforce(&nothing_held(), &situation, &|_| true);
        let becomes = Some(becomes(world, taken, &changes, &BTreeSet::new(), true));
        let (resolvable, findings) = (enforced.desired.clone(), Findings::default());
        return Ok(Judged {
            enforced,
            resolvable,
            findings,
            blocked: Vec::new(),
            changes: BTreeSet::new(),
            becomes,
            wants_plan: false,
        });
    }
    let Judgement { mut findings, wants_plan, look_at_digests } = ask(world, taken, &situation).await;
    if base.applied.rules.is_none() {
        findings.notes.push(
            "nothing was applied before: the repository's own policies judge from the next revision on"
                .to_owned(),
        );
    }
    let revision = &taken.desired.revision;
    let overrides = memory.overrides(revision)?;
    let sound = |mixed: &Desired| config::is_sound(mixed);
    let mut certain = findings.clone();
    certain.findings.retain(|finding| !look_at_digests.contains(&finding.rule));
    let certain = policy::weigh(certain, &situation, &overrides);
    let resolvable = policy::enforce(&certain, &situation, &sound).unpaused();
    let verdict = policy::weigh(findings, &situation, &overrides);
    let enforced = policy::enforce(&verdict, &situation, &sound);
    let clean = verdict.findings.holding().next().is_none();
    let becomes = (!enforced.whole).then(|| becomes(world, taken, &changes, &verdict.held, clean));
    let blocked = policy::blocked(&verdict.findings, revision);
    let changing = changes.into_iter().filter(|(_, becomes)| *becomes != Becomes::Same);
    let changes = changing.map(|(key, _)| key).collect();
    Ok(Judged { enforced, resolvable, findings: verdict.findings, blocked, changes, becomes, wants_plan })
}

fn nothing_held() -> policy::Verdict {
    policy::Verdict { findings: Findings::default(), held: BTreeSet::new(), whole: false }
}

/// The answer of the rules; whatever keeps them from answering holds the revision.
async fn ask(world: &World, taken: &Taken, situation: &Situation<'_>) -> Judgement {
    let (about, with_plan) = (&taken.desired.revision, situation.plan.is_some());
    let silent = || taken.baseline.silent.lock().unwrap_or_else(PoisonError::into_inner);
    let before = silent().clone();
    let known = before.as_ref().and_then(|before| before.known(about, with_plan, situation.now));
    let why = match known {
        // They took their whole time at an earlier look: nothing else waits for that at each one (D6).
        Some(why) => Unanswered::Sandbox(why),
        None => {
            let (settings, own) = (world.policy.clone(), taken.baseline.rules.clone());
            let question = Question::Judge { settings, own, input: situation.document() };
            match rules::ask(&*world.sandbox, &question).await {
                Ok(judgement) => {
                    silent().take_if(|silent| silent.is_over(with_plan));
                    return judgement;
                }
                Err(why) => {
                    *silent() = Silent::after(before.as_ref(), (about, with_plan), &why, world.clock.now());
                    why
                }
            }
        }
    };
    let before = match &why {
        Unanswered::Wrong(_) => "the applied rules do not compile: ",
        Unanswered::Sandbox(_) => "",
    };
    let all =
        why.errors().into_iter().map(|error| unanswered(format!("{before}{}", error.message), error.place()));
    let findings = Findings { findings: all.collect(), notes: Vec::new() };
    Judgement { findings, wants_plan: false, look_at_digests: BTreeSet::new() }
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
