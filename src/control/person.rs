//! What a person tells trueup besides git: which plan is allowed, which revision is trusted, what stands still.
//!
//! Each answers with the words for that person.

use std::collections::BTreeSet;

use crate::model::names::AppKey;
use crate::model::permission::Permitted;
use crate::model::settings::Reference;
use crate::model::units::TimeSpan;
use crate::ports::{Clock, Store};

use super::baseline::Applied;
use super::memory::{LastGood, Memory, Pause};
use super::pass;
use super::revision::{Purpose, Reader};
use super::{ControlError, World};

/// Allows what the blast radius holds now, bound to that very set of steps (B3).
pub async fn approve(world: &World, plan: &str, reason: &str) -> Result<String, ControlError> {
    let pass = pass::take_and_look_for(world, Purpose::Act).await?;
    let held: BTreeSet<String> = pass.plan.held.iter().map(|change| change.promise()).collect();
    if held.is_empty() {
        return Err(ControlError::Refused("nothing is held now".to_owned()));
    }
    if pass.plan.held_id != plan {
        return Err(ControlError::Refused(format!(
            "what is held now is plan {}, not {plan}: look at it with `trueup plan`, then approve that id",
            pass.plan.held_id
        )));
    }
    let memory = Memory::new(&*world.store);
    memory.approve(plan, &pass.plan.revision, &held)?;
    memory.remember(world.clock.now(), Some(&pass.plan.revision), "approve", plan, reason)?;
    let steps = if held.len() == 1 { "1 step".to_owned() } else { format!("{} steps", held.len()) };
    let lines: String = held.iter().map(|promise| format!("  {promise}\n")).collect();
    Ok(format!("approved {steps}:\n{lines}`trueup apply`, or the running `trueup run`, carries this out\n"))
}

/// Takes a commit, by its id, as the one to enforce, after a force-push or a lost state file (F0, H).
pub async fn trust(world: &World, id: &str) -> Result<String, ControlError> {
    let reader = Reader::default();
    let taken = reader.named(world, &Reference::Id(id.to_owned())).await?;
    let memory = Memory::new(&*world.store);
    let mut services = reader.swarms_behind(world, None, &taken).await?;
    let revision = taken.desired.revision;
    let now = world.clock.now();
    memory.set_last_good(&LastGood::new(revision.clone(), now, Permitted::Named))?;
    // A person names the state to go on from: it is what the next revision is compared with.
    memory.set_applied(&Applied::all(&revision))?;
    // Swarms and hosts that it does not declare are gone for good (B2): a person says so.
    services.retain(|swarm, _| taken.desired.swarms.contains_key(swarm));
    memory.set_swarms_behind(&services)?;
    let before = memory.last_seen()?;
    let mut last_seen = before.clone();
    last_seen.retain(|_, host| taken.desired.hosts.contains_key(host));
    memory.set_last_seen(&before, &last_seen)?;
    memory.remember(now, Some(&revision), "trust", "fleet", &taken.summary)?;
    Ok(format!(
        "{revision} is trusted: it and its descendants are enforced\n  by {}: {}\n",
        taken.author, taken.summary
    ))
}

/// Stops healing and changing an app, or the whole fleet (`None`); drift is still reported.
pub fn pause(
    store: &dyn Store,
    clock: &dyn Clock,
    app: Option<&AppKey>,
    span: Option<TimeSpan>,
    reason: &str,
) -> Result<String, ControlError> {
    let memory = Memory::new(store);
    let now = clock.now();
    let until = span.map(|span| now.plus(span.duration()));
    memory.pause(app, &Pause { since: now, until, reason: reason.to_owned() })?;
    let until = until.map_or_else(|| "until `trueup resume`".to_owned(), |t| format!("until {t}"));
    memory.remember(now, None, "pause", &whole_or(app), &format!("{until}: {reason}"))?;
    Ok(format!("paused {} {until}: {reason}\n", whole_or(app)))
}

/// Lets it go on.
pub fn resume(store: &dyn Store, clock: &dyn Clock, app: Option<&AppKey>) -> Result<String, ControlError> {
    let memory = Memory::new(store);
    let now = clock.now();
    if !memory.pauses(now)?.iter().any(|(key, _)| key.as_ref() == app) {
        let why = format!("{} is not paused; `trueup status` lists what is", whole_or(app));
        return Err(ControlError::Refused(why));
    }
    memory.resume(app)?;
    memory.remember(now, None, "resume", &whole_or(app), "")?;
    Ok(format!("resumed {}\n", whole_or(app)))
}

/// What is paused or resumed, in words.
pub fn whole_or(app: Option<&AppKey>) -> String {
    app.map_or_else(|| "the whole fleet".to_owned(), |key| format!("app {key}"))
}
