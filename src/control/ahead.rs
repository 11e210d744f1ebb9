//! A look that begins before git is read: engines take longer to answer than a revision takes to read, and whom they are is
//! known from the look before. Where the revision then asks anything else, nothing of it is used.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::model::observed::Observed;
use crate::observe::{self, Asked};

use super::World;
use super::memory::{LastAsked, Memory};

/// What was seen longer ago is looked at again: git may have been slow.
const FRESH: Duration = Duration::from_secs(1);

/// A look under way. Dropping it ends it.
pub struct Ahead {
    asked: Asked,
    look: JoinHandle<Observed>,
}

impl Ahead {
    /// Asks whom the last look asked: what had its leave and passed the policies (F2, F4). `None` where nothing was looked at
    /// yet, or a person asks about a revision by its name or about other environments.
    pub fn begin(world: &World) -> Option<Self> {
        if world.revision.is_some() {
            return None;
        }
        // Without it the look merely begins later.
        let LastAsked { within, asked } = Memory::new(&*world.store).asked().ok().flatten()?;
        if within != world.environments {
            return None;
        }
        let (world, all) = (world.clone(), asked.clone());
        let look = tokio::spawn(async move { ask(&world, &all).await });
        Some(Self { asked, look })
    }

    /// What it saw, where it asked just this, and not long ago.
    pub async fn seen(mut self, world: &World, asked: &Asked) -> Option<Observed> {
        if self.asked != *asked {
            return None;
        }
        let observed = (&mut self.look).await.ok()?;
        (world.clock.now().since(observed.at).duration() <= FRESH).then_some(observed)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.look.abort();
    }
}

/// Asks every engine, and waits for the slow ones up to their deadline.
pub async fn ask(world: &World, asked: &Asked) -> Observed {
    let (engines, files, clock) = (&*world.engines, &*world.files, &*world.clock);
    let deadline = world.call_deadline.duration();
    observe::observe(asked, engines, files, clock, world.key.id(), &world.limits, deadline).await
}
