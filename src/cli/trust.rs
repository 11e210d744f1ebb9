//! `trueup trust REV`: a person names the revision to enforce, after a force-push or a lost state file (F0, H).

use crate::control::baseline::Applied;
use crate::control::memory::{LastGood, Memory};
use crate::control::revision::Reader;
use crate::model::settings::Reference;

use super::world::{GlobalArgs, SourceArgs, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// The commit to enforce from now on.
    revision: String,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(true))?;
    let taken = Reader::default().named(&world, &Reference::Commit(args.revision.clone())).await?;
    let memory = Memory::new(&*world.store);
    let revision = taken.desired.revision;
    let now = world.clock.now();
    memory.set_last_good(&LastGood { revision: revision.clone(), since: now, refused: None })?;
    // A person names the state to go on from: it is what the next revision is compared with.
    memory.set_applied(&Applied::all(&revision))?;
    memory.remember(now, Some(&revision), "trust", "fleet", &taken.summary)?;
    println!("{} is trusted: it and its descendants are enforced ({})", revision.short(), taken.summary);
    Ok(0)
}
