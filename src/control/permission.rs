//! Whether a revision may be enforced: merge is permission (F0, F1), and what a lost state file asks for (H).

use std::time::Duration;

use crate::model::desired::Desired;
use crate::model::drift::{Kind, Subject};
use crate::model::names::Revision;
use crate::model::observed::{Observed, Seen};
use crate::model::ownership::{Belongs, Owner};
use crate::model::permission::{BrokenGlass, Mode, PermissionStanding, Permitted, SignedCommit, Verdict};
use crate::model::plan::Blocked;
use crate::model::settings::Reference;
use crate::model::units::TimeSpan;
use crate::ports::SourceError;

use super::memory::Memory;
use super::{ControlError, World};

/// Refused commits that are named; `trueup verify` has all.
const NAMED: usize = 5;
/// A broken glass lasts no longer.
const LONGEST_GLASS: Duration = Duration::from_secs(86_400);

/// The answer for one head.
pub enum Leave {
    Granted(Permitted),
    /// Why not, and what next.
    Held(String),
}

/// Every commit between two revisions with its verdict: what `trueup verify` shows.
#[derive(Debug, Clone)]
pub struct Examined {
    pub mode: Mode,
    /// The revision from which on commits count; `None`: nothing was enforced yet, and the head alone counts.
    pub base: Option<Revision>,
    pub head: Revision,
    /// The head has the base in its history (F0).
    pub descends: bool,
    /// The head first.
    pub commits: Vec<(SignedCommit, Verdict)>,
    /// A broken glass lets the head through.
    pub glass: Option<BrokenGlass>,
}

impl Examined {
    /// Whether the head would be let in.
    pub fn permitted(&self) -> bool {
        let all_signed = self.commits.iter().all(|(_, verdict)| matches!(verdict, Verdict::Signed { .. }));
        self.descends && (self.mode == Mode::Branch || all_signed || self.glass.is_some())
    }
}

/// Asks whether `head` may follow `base`, which it descends from. The rules are the reconciler's own settings and
/// nothing that the range itself brings (F1).
pub async fn ask(world: &World, base: Option<&Revision>, head: &Revision) -> Result<Leave, ControlError> {
    match world.permission.mode {
        Mode::Branch => return Ok(Leave::Granted(Permitted::Branch)),
        Mode::Signed => {}
    }
    let judged = judged(world, base, head).await;
    let refused = match &judged {
        Ok(commits) => refused(commits),
        Err(_) => Vec::new(),
    };
    if refused.is_empty() && judged.is_ok() {
        return Ok(Leave::Granted(Permitted::Signed));
    }
    if let Some(glass) = glass_for(world, head)? {
        return Ok(Leave::Granted(Permitted::BrokenGlass { reason: glass.reason }));
    }
    match &judged {
        Ok(commits) => Ok(Leave::Held(held(base, head, commits.len(), &refused))),
        Err(error) => {
            Ok(Leave::Held(format!("who signed what leads to {} is unknown (F1, A1): {error}", head.short())))
        }
    }
}

async fn judged(
    world: &World,
    base: Option<&Revision>,
    head: &Revision,
) -> Result<Vec<(SignedCommit, Verdict)>, SourceError> {
    let commits = world.repository.signatures(base, head, world.permission.most_commits).await?;
    let now = world.clock.now();
    Ok(commits
        .into_iter()
        .map(|commit| {
            let verdict = world.permission.judge(&commit, now);
            (commit, verdict)
        })
        .collect())
}

/// Why a head is held in every mode: a force-push, or a revision of another branch or an older one (F0).
pub fn not_descending(head: &Revision, enforced: &Revision) -> String {
    format!(
        "{} does not descend from the enforced {} (a force-push?): it is held (F0); run `trueup trust {head}` if this is meant",
        head.short(),
        enforced.short(),
    )
}

fn refused(commits: &[(SignedCommit, Verdict)]) -> Vec<(&SignedCommit, &str)> {
    let refused = commits.iter().filter_map(|(commit, verdict)| match verdict {
        Verdict::Refused(why) => Some((commit, why.as_str())),
        Verdict::Signed { .. } => None,
    });
    refused.collect()
}

fn held(base: Option<&Revision>, head: &Revision, all: usize, refused: &[(&SignedCommit, &str)]) -> String {
    let short = head.short();
    let mut words = match base {
        Some(base) => {
            let (count, are) =
                if refused.len() == 1 { ("1".to_owned(), "is") } else { (refused.len().to_string(), "are") };
            format!(
                "{short} is not permitted (F1): {count} of {all} commits since {} {are} not signed by a trusted key",
                base.short()
            )
        }
        None => {
            format!("{short} is not permitted as the first revision (F0): it is not signed by a trusted key")
        }
    };
    for (commit, why) in refused.iter().take(NAMED) {
        let kind = if commit.merge { "merge " } else { "" };
        words += &format!("\n- {kind}{} by {}: {why}", commit.revision.short(), commit.author);
    }
    if refused.len() > NAMED {
        words += &format!("\n- and {} more: `trueup verify` lists them", refused.len() - NAMED);
    }
    let merges = refused.iter().any(|(commit, _)| commit.merge);
    if merges {
        words += "\nA forge's merge button signs with no key of yours: merge with `git merge --no-ff -S` and push that.";
    }
    let again = match base {
        Some(base) => {
            let keep = if merges { " --rebase-merges" } else { "" };
            format!("sign them with `git rebase -S{keep} {base}` and push again")
        }
        None => "sign it".to_owned(),
    };
    words + &format!("\nNext: {again}, or let a person vouch for the whole with `trueup trust {head}`.")
}

/// Every commit between two revisions, whatever the mode. `since` stands in for the enforced revision.
pub async fn examine(world: &World, since: Option<&Reference>) -> Result<Examined, ControlError> {
    let head = match &world.revision {
        Some(reference) => world.repository.resolve(reference).await?,
        None => world.repository.head().await?,
    };
    let base = match since {
        Some(reference) => Some(world.repository.resolve(reference).await?),
        None => Memory::new(&*world.store).last_good()?.map(|last| last.revision),
    };
    let descends = match &base {
        Some(base) => world.repository.descends(&head, base).await?,
        None => true,
    };
    let commits = judged(world, base.as_ref(), &head).await?;
    let glass = glass_for(world, &head)?;
    Ok(Examined { mode: world.permission.mode, base, head, descends, commits, glass })
}

fn glass_for(world: &World, head: &Revision) -> Result<Option<BrokenGlass>, ControlError> {
    let glass = Memory::new(&*world.store).broken_glass(world.clock.now())?;
    Ok(glass.filter(|glass| glass.revision == *head))
}

/// An admin lets the head through for a while without the signatures it needs (F1). It stands in the history, and what
/// is taken meanwhile stays enforced.
pub async fn break_glass(world: &World, reason: &str, span: TimeSpan) -> Result<BrokenGlass, ControlError> {
    let refuse = |why: String| Err(ControlError::Refused(why));
    if world.permission.mode == Mode::Branch {
        return refuse(
            "the mode of permission is branch, which verifies nothing: there is no glass to break".to_owned(),
        );
    }
    if reason.trim().is_empty() {
        return refuse("--break-glass needs a reason: say who breaks it and why".to_owned());
    }
    if span.duration() > LONGEST_GLASS || span.duration().is_zero() {
        return refuse(format!("--for {span}: a broken glass lasts up to a day"));
    }
    let examined = examine(world, None).await;
    let head = match examined {
        Ok(examined) if !examined.descends => {
            return refuse(format!(
                "{0} does not descend from what is enforced (F0): that is no matter of signatures; `trueup trust {1}`",
                examined.head.short(),
                examined.head
            ));
        }
        Ok(examined) if examined.permitted() && examined.glass.is_none() => {
            return refuse(format!("{} is permitted as it is: nothing is broken", examined.head.short()));
        }
        Ok(examined) => examined.head,
        // Who signed is unknown (a shallow clone): that is what the glass is for.
        Err(_) => match &world.revision {
            Some(reference) => world.repository.resolve(reference).await?,
            None => world.repository.head().await?,
        },
    };
    let at = world.clock.now();
    let (until, reason) = (at.plus(span.duration()), reason.trim().to_owned());
    let glass = BrokenGlass { revision: head, reason, at, until };
    let memory = Memory::new(&*world.store);
    memory.break_glass(&glass)?;
    let detail = format!("until {until}: {}", glass.reason);
    memory.remember(at, Some(&glass.revision), "break-glass", "fleet", &detail)?;
    Ok(glass)
}

/// How permission stands for what is enforced.
pub fn standing(world: &World, by: &Permitted) -> Result<PermissionStanding, ControlError> {
    let glass = Memory::new(&*world.store).broken_glass(world.clock.now())?;
    Ok(PermissionStanding { mode: world.permission.mode, by: by.clone(), glass })
}

/// Why a first revision that is signed must be named by a person all the same (H, F0): nothing is remembered, and the
/// fleet carries our labels, or may. An old signed revision would do for whoever moves the branch, and a revision
/// that was enforced before could not be told from one that is new.
pub fn state_was_lost(desired: &Desired, observed: &Observed, owner: &Owner) -> Option<Blocked> {
    let mut ours = Vec::new();
    let mut unknown = Vec::new();
    for host in desired.hosts.keys() {
        let Some(engine) = observed.engine(host) else {
            unknown.push(host.to_string());
            continue;
        };
        for container in engine.containers.values() {
            match container {
                Seen::Known(c) if matches!(owner.container(&c.name, host, &c.labels), Belongs::Ours(_)) => {
                    ours.push(format!("{} on {host}", c.name));
                }
                Seen::Known(_) => {}
                Seen::Unknown { .. } => unknown.push(format!("a container of {host}")),
            }
        }
    }
    for (name, swarm) in &observed.swarms {
        let Seen::Known(known) = swarm else {
            unknown.push(format!("swarm {name}"));
            continue;
        };
        for (service, seen) in &known.services {
            match seen {
                Seen::Known(live) => {
                    if matches!(owner.swarm_object("service", service, name, &live.labels), Belongs::Ours(_))
                    {
                        ours.push(format!("{service} on swarm {name}"));
                    }
                }
                Seen::Unknown { .. } => unknown.push(format!("a service of swarm {name}")),
            }
        }
    }
    let why = match (ours.first(), unknown.first()) {
        (Some(first), _) if ours.len() == 1 => format!("the fleet carries {first} already"),
        (Some(first), _) => format!("the fleet carries {first} already, and {} more", ours.len() - 1),
        (None, Some(first)) => format!("the fleet may carry something already: {first} is unknown"),
        (None, None) => return None,
    };
    let short = desired.revision.short();
    Some(Blocked {
        subject: Subject::of_fleet(Kind::Revision, short),
        app: None,
        reason: format!(
            "no state is left of what was enforced, and {why}: a signature alone does not let {short} in (H)"
        ),
        hint: format!(
            "name the revision that is to be enforced: `trueup trust {}`, or an earlier one",
            desired.revision
        ),
    })
}
