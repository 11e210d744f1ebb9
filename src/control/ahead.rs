//! A look that begins before git is read: engines take longer to answer than a revision takes to read, and whom they are is
//! known from the look before. Where the revision then asks anything else, nothing of it is used.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::model::observed::Observed;
use crate::model::units::Timestamp;
use crate::observe::{self, Asked};

use super::World;
use super::memory::{LastAsked, Memory};

/// A look that began longer before git was read is made again: some of it may have been seen at its very beginning.
const FRESH: Duration = Duration::from_secs(1);

/// A look under way. Dropping it ends it.
pub struct Ahead {
    asked: Asked,
    began: Timestamp,
    look: JoinHandle<Observed>,
}

impl Ahead {
    /// Asks whom the last look asked: what had its leave and passed the policies (F2, F4). `None` where nothing was looked at
    /// yet, or a person asks about a revision by its name, about other environments or about another repository; and where the
    /// enforced revision is another one by now, since a person may have trusted it because of whom the last one asks.
    pub fn begin(world: &World) -> Option<Self> {
        if world.revision.is_some() {
            return None;
        }
        // Without it the look merely begins later.
        let memory = Memory::new(&*world.store);
        let LastAsked { source, revision, within, asked } = memory.asked().ok().flatten()?;
        let enforced = memory.last_good().ok().flatten()?.revision;
        if source != world.source || revision != enforced || within != world.environments {
            return None;
        }
        let (began, world, all) = (world.clock.now(), world.clone(), asked.clone());
        let look = tokio::spawn(async move { ask(&world, &all).await });
        Some(Self { asked, began, look })
    }

    /// What it sees, where it asks just this, and began not long ago. Like any look it waits for slow engines, and the quick ones
    /// answered long before: but not longer than they would have for a look that begins now, and that second.
    pub async fn seen(mut self, world: &World, asked: &Asked) -> Option<Observed> {
        let now = world.clock.now();
        // A clock that was set back tells nothing.
        let is_fresh = self.began <= now && now.since(self.began).duration() <= FRESH;
        if !is_fresh || self.asked != *asked {
            return None;
        }
        (&mut self.look).await.ok()
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
