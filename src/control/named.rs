//! Revisions that a person names (`--rev`). What would change something takes one only where it is merged and could follow what
//! is enforced (F0, F1, B2); whoever merely looks sees any, and dials for it only what is enforced already (F4).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::desired::Desired;
use crate::model::drift::{Kind, Subject};
use crate::model::names::{HostName, Revision};
use crate::model::observed::{Engine, Observed, Seen};
use crate::model::permission::{Mode, Permitted};
use crate::model::plan::Blocked;
use crate::observe::Asked;

use super::known::Known;
use super::memory::{LastGood, Memory};
use super::pass::{self, Pass};
use super::permission::not_descending;
use super::revision::{Purpose, Reader, Taken};
use super::{ControlError, World, ahead, judge};

/// How a named revision stands to what is enforced, where it is another one.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// Why nothing may come of it; `None`: it could be the next one.
    pub withheld: Option<String>,
    /// It is not the branch's: whom a look at it may ask all the same.
    pub bounds: Option<Arc<Bounds>>,
}

/// Whose engines may be dialled for a revision that has not its leave.
#[derive(Debug)]
pub struct Bounds {
    /// Why it has not.
    why: String,
    dialled: Dialled,
}

#[derive(Debug)]
pub(super) enum Dialled {
    /// Those that this revision names as well.
    NamedBy(&'static str, Box<Desired>),
    /// Nobody, since that revision cannot be told.
    Nobody(String),
}

impl Dialled {
    /// Takes out of `asked` the hosts that are not dialled; they are unknown, with the reason.
    pub(super) fn keep_to(&self, asked: &mut Desired) -> BTreeMap<HostName, Seen<Engine>> {
        match self {
            Self::NamedBy(who, desired) => keep_to(asked, who, desired),
            Self::Nobody(why) => {
                let all = std::mem::take(&mut asked.hosts).into_keys();
                all.map(|host| (host, Seen::unknown(why.clone()))).collect()
            }
        }
    }
}

impl Named {
    /// For the plan: what stands in the way of this revision.
    pub fn blocked(&self, revision: &Revision) -> Option<Blocked> {
        let reason = self.withheld.clone()?;
        let hint = "it is only shown: no command changes anything by it".to_owned();
        Some(Blocked {
            subject: Subject::of_fleet(Kind::Revision, revision.short()),
            app: None,
            reason,
            hint,
        })
    }

    /// Why it is only shown, and by less than whoever applies it would see.
    pub fn only_shown(&self) -> Option<&str> {
        self.bounds.as_ref().map(|bounds| bounds.why.as_str())
    }
}

impl Reader {
    /// A revision named while another one is enforced. It never becomes the last good one.
    pub(super) async fn take_named(
        &self,
        world: &World,
        last: &LastGood,
        head: &Revision,
        purpose: Purpose,
    ) -> Result<Taken, ControlError> {
        let by = self.leave(world, Some(last), head).await?;
        let acts = purpose != Purpose::Look;
        let stray = stray(world, &last.revision, head).await;
        let unmerged = match stray {
            Some(_) => None,
            None => self.unmerged(world, head).await?,
        };
        // Nobody who acts looks into what has no leave (F4).
        if acts && let Some(reason) = stray.as_ref().or(unmerged.as_ref()) {
            return Err(held(head, reason.clone()));
        }
        let taken = self.read(world, head).await?;
        let withheld = match stray {
            Some(reason) => Some(reason),
            None => self.leaves_behind(world, Some(last), &taken).await?,
        };
        if acts && let Some(reason) = withheld {
            return Err(held(head, reason));
        }
        // Commits that are counted from what it does not descend from vouch for nothing.
        let by = if withheld.is_some() { Permitted::default() } else { by };
        let Some(why) = withheld.clone().or(unmerged) else { return Ok(Taken { by, ..taken }) };
        let enforced = self.parsed_or_kept(world, &last.revision).await?.desired.clone();
        let dialled = Dialled::NamedBy("the enforced revision", Box::new(enforced));
        let bounds = Some(Arc::new(Bounds { why, dialled }));
        Ok(Taken { by, named: Named { withheld, bounds }, ..taken })
    }

    /// A revision named before any was enforced by being the head. What was applied by name is followed all the same (F0).
    pub(super) async fn first_named(
        &self,
        world: &World,
        taken: Taken,
        purpose: Purpose,
    ) -> Result<Taken, ControlError> {
        let head = taken.desired.revision.clone();
        let applied = Memory::new(&*world.store).applied()?.and_then(|applied| applied.fleet);
        let stray = match applied {
            Some(applied) => stray(world, &applied, &head).await,
            None => None,
        };
        let withheld = match stray {
            Some(reason) => Some(reason),
            None => self.leaves_behind(world, None, &taken).await?,
        };
        let unmerged = match withheld {
            Some(_) => None,
            None => self.unmerged(world, &head).await?,
        };
        let Some(why) = withheld.clone().or(unmerged) else { return Ok(taken) };
        if purpose != Purpose::Look {
            return Err(held(&head, why));
        }
        let bounds = Some(Arc::new(Bounds { why, dialled: self.by_the_head(world).await }));
        Ok(Taken { named: Named { withheld, bounds }, ..taken })
    }

    /// Whom the head of the branch lets dial, which would be enforced. Where it cannot be told that is nobody (A1).
    async fn by_the_head(&self, world: &World) -> Dialled {
        let read = match self.tip(world).await {
            Ok(tip) => self.parsed(world, &tip).await,
            Err(error) => Err(error.into()),
        };
        let who = "the head of the branch";
        match read {
            Ok(parsed) => Dialled::NamedBy(who, Box::new(parsed.desired.clone())),
            Err(ControlError::Config { revision, .. }) => Dialled::Nobody(format!(
                "{who}, {revision}, has errors (`trueup config check`), so that nothing says whom to dial (F4)"
            )),
            Err(error) => Dialled::Nobody(format!("whom {who} lets dial is unknown (F4, A1): {error}")),
        }
    }

    /// Why a revision that was granted its leave has it by nothing but being named: in mode `branch` it must be on the branch
    /// (F1). Where nobody can tell, it is not (A1), unless it was applied: then it once was.
    async fn unmerged(&self, world: &World, revision: &Revision) -> Result<Option<String>, ControlError> {
        match world.permission.mode {
            // Its signatures were asked for.
            Mode::Signed => return Ok(None),
            Mode::Branch => {}
        }
        let short = revision.short();
        let merged = match self.tip(world).await {
            Ok(tip) if tip == *revision => Ok(true),
            Ok(tip) => world.repository.descends(&tip, revision).await,
            Err(error) => Err(error),
        };
        match merged {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(format!(
                "{short} is not merged: it is not on the branch, whose protection is what permits (F1); merge it, or run `trueup \
                 trust {revision}` if this is meant"
            ))),
            Err(error) => {
                let applied = Memory::new(&*world.store).applied()?.and_then(|applied| applied.fleet);
                let was_applied = applied.is_some_and(|applied| applied == *revision);
                Ok((!was_applied)
                    .then(|| format!("whether {short} is on the branch is unknown (F1, A1): {error}")))
            }
        }
    }
}

fn held(head: &Revision, reason: String) -> ControlError {
    ControlError::Held { revision: head.short().to_owned(), reason }
}

/// Why `head` cannot follow `base` in any mode (F0). What is unknown does not (A1).
async fn stray(world: &World, base: &Revision, head: &Revision) -> Option<String> {
    if head == base {
        return None;
    }
    match world.repository.descends(head, base).await {
        Ok(true) => None,
        Ok(false) => match world.repository.descends(base, head).await {
            Ok(true) => Some(format!(
                "{} is older than the enforced {}, so that it does not descend from it: it is held (F0); go back with `trueup \
                 rollback`, or run `trueup trust {head}` if all of it is meant",
                head.short(),
                base.short(),
            )),
            Ok(false) | Err(_) => Some(not_descending(head, base)),
        },
        Err(error) => Some(format!(
            "how {} stands to the enforced {} is unknown (F0, A1): {error}",
            head.short(),
            base.short()
        )),
    }
}

/// A saved plan names its revision by itself (D11): where that has been left behind since, nobody means to go back to it.
pub(super) async fn refuse_stale_plan(world: &World) -> Result<(), ControlError> {
    let Some(reference) = &world.revision else { return Ok(()) };
    let Some(last) = Memory::new(&*world.store).last_good()? else { return Ok(()) };
    let planned = world.repository.resolve(reference).await?;
    let is_older = planned != last.revision
        && world.repository.descends(&last.revision, &planned).await.unwrap_or(false);
    if !is_older {
        return Ok(());
    }
    Err(ControlError::Refused(format!(
        "the saved plan is of {}, which is older than the enforced {} (F0): plan again",
        planned.short(),
        last.revision.short()
    )))
}

/// It is applied without being the last good one: the history says by what.
pub(super) fn note_applied(world: &World, taken: &Taken) -> Result<(), ControlError> {
    let revision = &taken.desired.revision;
    let detail = format!("applied {}, which a person named (--rev): {}", revision.short(), taken.summary);
    let memory = Memory::new(&*world.store);
    Ok(memory.remember(world.clock.now(), Some(revision), "revision", "fleet", &detail)?)
}

/// Looks at a revision that has not its leave: nothing that it alone names is dialled, no tag of it is resolved, and
/// nothing comes of it.
pub(super) async fn look(world: &World, taken: Taken, bounds: &Bounds) -> Result<Pass, ControlError> {
    let known = Known::of_revision(world, &taken.desired.revision)?.or(Known::remembered(world)?);
    let judged = judge::judge(world, &taken, &known.images, known.proof(), None).await?;
    let mut asked = pass::within(world, &judged.enforced.desired).into_owned();
    let undialled = bounds.dialled.keep_to(&mut asked);
    let observed = dial(world, &asked, undialled).await;
    let known = match &bounds.dialled {
        Dialled::NamedBy(_, desired) => {
            known.or_running(desired, &observed, &world.owner(&taken.desired.fleet))
        }
        Dialled::Nobody(_) => known,
    };
    pass::forecast(world, taken, &known, observed).await
}

/// Takes out of `asked` the hosts whose engine `desired` does not name; they are unknown, with the reason.
pub(super) fn keep_to(asked: &mut Desired, who: &str, desired: &Desired) -> BTreeMap<HostName, Seen<Engine>> {
    let mut undialled = BTreeMap::new();
    asked.hosts.retain(|name, host| {
        let named = desired.hosts.get(name).is_some_and(|declared| declared.engine == host.engine);
        if !named {
            let why = format!("{who} does not name its engine: nobody dials it (F4)");
            undialled.insert(name.clone(), Seen::unknown(why));
        }
        named
    });
    undialled
}

/// What the hosts that are left say, with what is unknown of the others.
pub(super) async fn dial(
    world: &World,
    asked: &Desired,
    undialled: BTreeMap<HostName, Seen<Engine>>,
) -> Observed {
    let mut observed = ahead::ask(world, &Asked::of(asked)).await;
    for (name, managers) in &asked.swarms {
        if !managers.is_empty() && managers.iter().all(|manager| undialled.contains_key(manager)) {
            let why = "none of its managers is dialled (F4)";
            observed.swarms.insert(name.clone(), Seen::unknown(why));
        }
    }
    observed.hosts.extend(undialled);
    observed
}
