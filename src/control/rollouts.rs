//! What is remembered of rollouts on Swarms: written before one is sent, judged by every look (D2).

use crate::model::plan::Plan;
use crate::model::rollout::Rollout;
use crate::plan;

use super::memory::Memory;
use super::pass::Pass;
use super::{ControlError, World};

/// Writes what the look concluded where it is news.
pub fn note(world: &World, pass: &Pass) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    let known = memory.rollouts()?;
    for (key, rollout) in known.iter().filter(|(key, _)| !pass.rollouts.contains_key(*key)) {
        memory.forget_rollout(key)?;
        let differs = pass.plan.drift.iter().any(|drift| drift.app.as_ref() == Some(key));
        if rollout.failed.is_none() && pass.desired.apps.contains_key(key) && !differs {
            let (now, revision) = (world.clock.now(), Some(&pass.plan.revision));
            memory.remember(now, revision, "converged", &key.to_string(), "Swarm has it as declared")?;
        }
    }
    for (key, rollout) in pass.rollouts.iter().filter(|(key, rollout)| known.get(*key) != Some(*rollout)) {
        memory.set_rollout(key, rollout)?;
        if let Rollout { failed: Some(went_back), .. } = rollout {
            let subject = key.to_string();
            memory.remember(
                world.clock.now(),
                Some(&pass.plan.revision),
                "held",
                &subject,
                &went_back.why,
            )?;
        }
    }
    Ok(())
}

/// A person asked now: what is under way has its whole time again.
pub fn begin_anew(world: &World) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    for (key, rollout) in memory.rollouts()? {
        memory.set_rollout(&key, &Rollout { moved: world.clock.now(), ..rollout })?;
    }
    Ok(())
}

/// Before it is carried out: should this process end meanwhile, the next one still knows what it sent (D5).
pub fn note_sent(world: &World, pass: &Pass, plan: &Plan) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    let sent = plan.changes.iter();
    for (key, rollout) in sent.filter_map(|c| plan::sent(c, &pass.observed, &world.key, &pass.rollouts)) {
        memory.set_rollout(&key, &rollout)?;
    }
    Ok(())
}
