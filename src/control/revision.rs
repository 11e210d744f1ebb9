//! From the repository's head to the revision that is enforced (A2, A3, F0, F1).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::config::{self, ParseCache};
use crate::model::desired::Desired;
use crate::model::names::Revision;
use crate::model::permission::{Mode, Permitted};
use crate::model::settings::Reference;
use crate::model::tree::Tree;
use crate::model::units::Timestamp;
use crate::policy::{self, RuleError, Source};
use crate::ports::SourceError;

use super::baseline::{self, Applied, Baseline};
use super::kept;
use super::memory::{LastGood, Memory};
use super::named::Named;
use super::permission::{self, Leave};
use super::rules::{self, Tried};
use super::{ControlError, World};

/// The enforced revision, and why it is not the head where it is not.
#[derive(Debug, Clone)]
pub struct Taken {
    pub desired: Desired,
    /// When the commit was made and by whom, for reports.
    pub committed: Timestamp,
    pub author: String,
    pub summary: String,
    /// The repository's own policies, as this revision has them.
    pub rules: Vec<Source>,
    /// What was applied before, with the rules that judge this revision.
    pub baseline: Arc<Baseline>,
    /// The head was not taken; the last good revision stays enforced.
    pub kept_because: Option<String>,
    /// Since when the head is refused or out of reach, where that is noted.
    pub kept_since: Option<Timestamp>,
    /// How the revision got its leave (F0, F1).
    pub by: Permitted,
    /// Nothing was ever enforced as far as is known, and a signature alone let this in: the fleet has yet to show that
    /// it carries nothing of ours (H).
    pub first: bool,
    /// A person named it, and it is not what is enforced.
    pub named: Named,
    /// What it leaves behind, though it is enforced (B2).
    pub leaves: Option<String>,
    /// Services by the Swarm that it leaves behind.
    pub swarms_behind: BTreeMap<String, BTreeSet<String>>,
}

/// What a revision is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be looked at.
    Look,
    /// A person is about to change something by it, or to allow that.
    Act,
    /// It is enforced, and remembered as such.
    Enforce,
}

/// Reads revisions; keeps what was parsed, so that a small commit costs little.
#[derive(Default)]
pub struct Reader {
    cache: Mutex<ParseCache>,
    /// Revisions as parsed: what is enforced, and what something is at. A repository that is gone takes none of them away.
    known: Mutex<BTreeMap<Revision, Arc<Parsed>>>,
    baseline: Mutex<Option<Arc<Baseline>>>,
    /// The rules that were asked about: the enforced revision's, and those of a head that is refused for them.
    tried: Mutex<Vec<Tried>>,
    /// Of which revisions the state file has the files.
    kept: Mutex<Option<BTreeSet<Revision>>>,
    /// A remote is asked by somebody else, and not waited for.
    waits_for_none: bool,
}

/// Two revisions are read in turn while a head is refused.
const MOST_TRIED: usize = 2;

/// A commit, read and found good.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub desired: Desired,
    /// The repository's own policies, tests included.
    pub rules: Vec<Source>,
    committed: Timestamp,
    author: String,
    summary: String,
    tree: Arc<Tree>,
    /// The repository does not have it any more: it is as the state file kept it.
    from_state: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn bad_rules(revision: &Revision, errors: &[RuleError]) -> ControlError {
    let lines: Vec<String> = errors.iter().map(|error| format!("error: {error}")).collect();
    ControlError::Config { revision: revision.short().to_owned(), errors: lines.join("\n") }
}

/// How a revision was let in, where that is worth a word.
const fn by_words(by: &Permitted) -> &'static str {
    match by {
        Permitted::Branch | Permitted::Named => "",
        Permitted::Signed => " (every commit is signed)",
        Permitted::BrokenGlass { .. } => " (BY A BROKEN GLASS)",
    }
}

impl Reader {
    /// The loop's: it takes the head as far as it is known, so that no look waits for a remote (D6).
    pub fn of_the_loop() -> Self {
        Self { waits_for_none: true, ..Self::default() }
    }

    /// Takes the head, or keeps the last good revision and says why (A2). With `remember`, the taken revision
    /// becomes the last good one; commands that only look do not write.
    pub async fn take(&self, world: &World, remember: bool) -> Result<Taken, ControlError> {
        self.take_for(world, if remember { Purpose::Enforce } else { Purpose::Look }).await
    }

    /// As [`Self::take`] for one of the purposes; only what is enforced is remembered.
    pub async fn take_for(&self, world: &World, purpose: Purpose) -> Result<Taken, ControlError> {
        let remember = purpose == Purpose::Enforce;
        let memory = Memory::new(&*world.store);
        let last = memory.last_good()?;
        let applied = match memory.applied()? {
            Some(applied) => applied,
            // A state file of a release without policies: what it enforced is what is applied.
            None => {
                let applied = last.as_ref().map(|last| Applied::all(&last.revision)).unwrap_or_default();
                if remember && world.revision.is_none() {
                    memory.set_applied(&applied)?;
                }
                applied
            }
        };
        let taken = self.take_head(world, last, purpose).await?;
        let baseline = self.baseline(world, applied).await?;
        self.know_only(&taken.desired.revision, &baseline.applied);
        if remember && world.revision.is_none() && !taken.first {
            self.keep_files(world, &taken.desired.revision, &baseline.applied)?;
        }
        Ok(Taken { baseline, ..taken })
    }

    async fn take_head(
        &self,
        world: &World,
        last: Option<LastGood>,
        purpose: Purpose,
    ) -> Result<Taken, ControlError> {
        let remember = purpose == Purpose::Enforce;
        let head = match &world.revision {
            Some(reference) => world.repository.resolve(reference).await,
            None => self.tip(world).await,
        };
        let head = match (head, &last) {
            (Ok(head), _) => head,
            (Err(error), Some(last)) if world.revision.is_none() => {
                return self.keep_unreachable(world, last, format!("{error}"), remember).await;
            }
            (Err(error), _) => return Err(error.into()),
        };
        // A revision named on the command line is a question about that revision; it never becomes the last good one.
        let named = world.revision.is_some();
        let Some(last) = last else {
            let taken = self.take_first(world, &head, remember && !named).await?;
            return match named {
                true => self.first_named(world, taken, purpose).await,
                false => self.going_back(world, taken).await,
            };
        };
        if last.revision == head {
            let taken = match self.read_merged(world, &head).await {
                // What is named is a question about what the repository has.
                Err(ControlError::Source(error)) if !named => {
                    return self.keep_unreachable(world, &last, error.to_string(), remember).await;
                }
                read => read?,
            };
            let taken = self.accept(world, Taken { by: last.by.clone(), ..taken }, remember && !named)?;
            return self.going_back(world, taken).await;
        }
        if named {
            return self.take_named(world, &last, &head, purpose).await;
        }
        // Only a descendant is taken: a force-push is held in every mode (F0).
        match world.repository.descends(&head, &last.revision).await {
            Ok(true) => {}
            Ok(false) => {
                let reason = permission::not_descending(&head, &last.revision);
                return self.refuse(world, &last, &head, reason, remember).await;
            }
            Err(error) => return self.keep_unreachable(world, &last, error.to_string(), remember).await,
        }
        // Nobody looks into what has no leave (F4).
        let by = match permission::ask(world, Some(&last.revision), &head).await? {
            Leave::Granted(by) => by,
            Leave::Held(reason) => return self.refuse(world, &last, &head, reason, remember).await,
        };
        match self.read(world, &head).await {
            Ok(taken) => match self.leaves_behind(world, Some(&last), &taken).await? {
                None => self.accept(world, Taken { by, ..taken }, remember),
                Some(reason) => self.refuse(world, &last, &head, reason, remember).await,
            },
            Err(error) => self.refuse(world, &last, &head, error.to_string(), remember).await,
        }
    }

    /// The branch's head.
    pub(super) async fn tip(&self, world: &World) -> Result<Revision, SourceError> {
        if self.waits_for_none { world.repository.known_head().await } else { world.repository.head().await }
    }

    /// Without anything enforced before. Where the mode verifies, the head's own signature lets it in, and it is
    /// remembered only once the fleet was seen to carry nothing of ours (H).
    async fn take_first(
        &self,
        world: &World,
        head: &Revision,
        remember: bool,
    ) -> Result<Taken, ControlError> {
        let by = self.leave(world, None, head).await?;
        let taken = Taken { by, ..self.read(world, head).await? };
        match world.permission.mode {
            Mode::Branch => self.accept(world, taken, remember),
            Mode::Signed => Ok(Taken { first: true, ..taken }),
        }
    }

    /// The leave of a revision that nothing else could stand in for.
    pub(super) async fn leave(
        &self,
        world: &World,
        last: Option<&LastGood>,
        head: &Revision,
    ) -> Result<Permitted, ControlError> {
        match permission::ask(world, last.map(|last| &last.revision), head).await? {
            Leave::Granted(by) => Ok(by),
            Leave::Held(reason) => Err(ControlError::Held { revision: head.short().to_owned(), reason }),
        }
    }

    /// A first revision whose fleet was looked at: from now on it is the last good one.
    pub fn begin_with(&self, world: &World, taken: &Taken) -> Result<(), ControlError> {
        self.accept(world, taken.clone(), true).map(drop)
    }

    /// A commit as `Desired`, or all that is wrong with it (A3).
    pub(super) async fn read(&self, world: &World, revision: &Revision) -> Result<Taken, ControlError> {
        let parsed = self.parsed(world, revision).await?;
        self.found_good(world, revision, &parsed, false).await
    }

    /// As [`Self::read`] for what was merged, and taken, before: what only new commits are refused for is no reason against it.
    pub(super) async fn read_merged(
        &self,
        world: &World,
        revision: &Revision,
    ) -> Result<Taken, ControlError> {
        let parsed = self.parsed(world, revision).await?;
        self.found_good(world, revision, &parsed, true).await
    }

    async fn found_good(
        &self,
        world: &World,
        revision: &Revision,
        parsed: &Parsed,
        enforced: bool,
    ) -> Result<Taken, ControlError> {
        let Parsed { desired, rules, committed, author, summary, .. } = parsed.clone();
        if let Some(wanted) = &world.environments
            && let Some(missing) = wanted.iter().find(|e| !desired.environments.contains_key(*e))
        {
            return Err(ControlError::Config {
                revision: revision.short().to_owned(),
                errors: format!("it has no environment {missing:?}", missing = missing.as_str()),
            });
        }
        self.check_rules(world, revision, &rules, enforced).await?;
        let baseline = Arc::default();
        let (kept_because, kept_since, by, first) = (None, None, Permitted::default(), false);
        Ok(Taken {
            desired,
            committed,
            author,
            summary,
            rules,
            baseline,
            kept_because,
            kept_since,
            by,
            first,
            named: Named::default(),
            leaves: None,
            swarms_behind: BTreeMap::new(),
        })
    }

    /// A commit is taken whole or not at all, its rules included (A3). What is known of them is not asked again.
    async fn check_rules(
        &self,
        world: &World,
        revision: &Revision,
        rules: &[Source],
        enforced: bool,
    ) -> Result<(), ControlError> {
        if rules.is_empty() {
            return Ok(());
        }
        let now = world.clock.now();
        let known = |tried: &&Tried| tried.is_known(rules, now);
        let known = lock(&self.tried).iter().find(known).map(|tried| tried.errors(enforced));
        let errors = match known {
            Some(errors) => errors,
            None => {
                let tried = rules::try_out(world, rules).await;
                let errors = tried.errors(enforced);
                let mut all = lock(&self.tried);
                all.retain(|other| !other.is_about(rules));
                all.push(tried);
                let over = all.len().saturating_sub(MOST_TRIED);
                all.drain(..over);
                errors
            }
        };
        if errors.is_empty() { Ok(()) } else { Err(bad_rules(revision, &errors)) }
    }

    /// The revision a person names, on its own: not compared with what was applied, which may be lost.
    pub async fn named(&self, world: &World, reference: &Reference) -> Result<Taken, ControlError> {
        self.read(world, &world.repository.resolve(reference).await?).await
    }

    /// The applied state, read again only where it moved.
    async fn baseline(&self, world: &World, applied: Applied) -> Result<Arc<Baseline>, ControlError> {
        let known = lock(&self.baseline).clone();
        if let Some(known) = known.filter(|known| known.applied == applied) {
            return Ok(known);
        }
        let read = Arc::new(baseline::read(self, world, applied).await?);
        *lock(&self.baseline) = Some(Arc::clone(&read));
        Ok(read)
    }

    /// What was taken, compared with what is applied by now: something may have begun since.
    pub(super) async fn as_applied_now(&self, world: &World, taken: Taken) -> Result<Taken, ControlError> {
        match Memory::new(&*world.store).applied()? {
            Some(applied) if applied != taken.baseline.applied && world.revision.is_none() => {
                Ok(Taken { baseline: self.baseline(world, applied).await?, ..taken })
            }
            Some(_) | None => Ok(taken),
        }
    }

    /// Forgets every revision but the enforced one and those that something is at.
    fn know_only(&self, enforced: &Revision, applied: &Applied) {
        let used = applied.revisions();
        lock(&self.known).retain(|revision, _| revision == enforced || used.contains(revision));
    }

    /// A revision, read once while it is known.
    pub(super) async fn parsed(
        &self,
        world: &World,
        revision: &Revision,
    ) -> Result<Arc<Parsed>, ControlError> {
        let known = lock(&self.known).get(revision).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let parsed = Arc::new(self.parse(world.repository.tree(revision).await?)?);
        lock(&self.known).insert(revision.clone(), Arc::clone(&parsed));
        Ok(parsed)
    }

    /// As [`Self::parsed`]. What was enforced has had its leave, and is read from the state file where the repository does
    /// not have it any more.
    pub(super) async fn parsed_or_kept(
        &self,
        world: &World,
        revision: &Revision,
    ) -> Result<Arc<Parsed>, ControlError> {
        let error = match self.parsed(world, revision).await {
            Err(ControlError::Source(error)) => error,
            parsed => return parsed,
        };
        let Some(tree) = kept::read(world, revision)? else { return Err(error.into()) };
        let parsed = Arc::new(Parsed { from_state: true, ..self.parse(tree)? });
        lock(&self.known).insert(revision.clone(), Arc::clone(&parsed));
        Ok(parsed)
    }

    /// Keeps in the state file what is enforced and what something is at.
    fn keep_files(&self, world: &World, enforced: &Revision, applied: &Applied) -> Result<(), ControlError> {
        let mut used = applied.revisions();
        used.insert(enforced.clone());
        let known = lock(&self.known);
        let wanted = used.iter().filter_map(|revision| {
            let parsed = known.get(revision)?;
            (!parsed.from_state).then(|| (revision.clone(), Arc::clone(&parsed.tree)))
        });
        let wanted = wanted.collect();
        Ok(kept::keep(world, &mut lock(&self.kept), &wanted, &used)?)
    }

    fn parse(&self, tree: Tree) -> Result<Parsed, ControlError> {
        let mut cache = lock(&self.cache);
        let desired = config::load(&tree, &mut cache).map_err(|errors| ControlError::Config {
            revision: tree.revision.short().to_owned(),
            errors: errors.to_string(),
        })?;
        let rules = policy::sources(&tree).map_err(|errors| bad_rules(&tree.revision, &errors))?;
        let (author, summary) = (tree.author.clone(), tree.summary.clone());
        let committed = tree.committed;
        Ok(Parsed { desired, rules, committed, author, summary, tree: Arc::new(tree), from_state: false })
    }

    fn accept(&self, world: &World, taken: Taken, remember: bool) -> Result<Taken, ControlError> {
        if remember {
            let memory = Memory::new(&*world.store);
            let revision = &taken.desired.revision;
            let before = memory.last_good()?;
            if before.as_ref().is_none_or(|b| {
                b.revision != *revision || b.refused.is_some() || b.unreachable_since.is_some()
            }) {
                let since = match &before {
                    Some(b) if b.revision == *revision => b.since,
                    Some(_) | None => world.clock.now(),
                };
                memory.set_last_good(&LastGood::new(revision.clone(), since, taken.by.clone()))?;
            }
            if before.is_none_or(|b| b.revision != *revision) {
                memory.remember(
                    world.clock.now(),
                    Some(revision),
                    "revision",
                    "fleet",
                    &format!("took {}{}: {}", revision.short(), by_words(&taken.by), taken.summary),
                )?;
            }
        }
        Ok(taken)
    }

    async fn refuse(
        &self,
        world: &World,
        last: &LastGood,
        head: &Revision,
        reason: String,
        remember: bool,
    ) -> Result<Taken, ControlError> {
        let known = last.refused.as_ref().is_some_and(|(revision, _)| revision == head);
        // Another head that is refused does not make the wait begin anew.
        let noted = last.refused_since.filter(|_| last.refused.is_some());
        let since = noted.or_else(|| remember.then(|| world.clock.now()));
        let was_unreachable = last.unreachable_since.is_some();
        let last = LastGood { refused_since: since, unreachable_since: None, ..last.clone() };
        let memory = Memory::new(&*world.store);
        if remember && (!known || noted.is_none() || was_unreachable) {
            let refused = Some((head.clone(), reason.clone()));
            memory.set_last_good(&LastGood { refused, ..last.clone() })?;
        }
        if remember && !known {
            memory.remember(world.clock.now(), Some(head), "refused", "fleet", &reason)?;
        }
        let kept = self.keep(world, &last, reason).await?;
        Ok(Taken { kept_since: since, ..kept })
    }

    /// The head cannot be asked for, or not be read or compared: since when is noted, and the last good revision stays.
    async fn keep_unreachable(
        &self,
        world: &World,
        last: &LastGood,
        why: String,
        remember: bool,
    ) -> Result<Taken, ControlError> {
        let since = last.unreachable_since.or_else(|| remember.then(|| world.clock.now()));
        if last.unreachable_since != since {
            let noted = LastGood { unreachable_since: since, ..last.clone() };
            Memory::new(&*world.store).set_last_good(&noted)?;
        }
        let kept = self.keep(world, last, why).await?;
        Ok(Taken { kept_since: since, ..kept })
    }

    /// The last good revision once more. Where it is neither known nor can be read (a mirror that was lost while trueup was
    /// down), the error is told.
    async fn keep(&self, world: &World, last: &LastGood, why: String) -> Result<Taken, ControlError> {
        let read = match self.parsed_or_kept(world, &last.revision).await {
            Ok(parsed) => {
                self.found_good(world, &last.revision, &parsed, true).await.map(|taken| (taken, parsed))
            }
            Err(error) => Err(error),
        };
        match read {
            Ok((taken, parsed)) => {
                let short = last.revision.short();
                let from = if parsed.from_state {
                    format!(
                        "; the repository cannot give {short} either: its files are as the state file kept them"
                    )
                } else {
                    String::new()
                };
                let taken = Taken { kept_because: Some(why + &from), by: last.by.clone(), ..taken };
                self.going_back(world, taken).await
            }
            Err(ControlError::Source(SourceError::Unreachable { url, detail })) => {
                Err(SourceError::Unreachable { url, detail }.into())
            }
            Err(error) => Err(ControlError::Held {
                revision: last.revision.to_string(),
                reason: format!("{why}; and the last good revision cannot be read either: {error}"),
            }),
        }
    }
}
