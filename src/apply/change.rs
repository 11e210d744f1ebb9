//! One change: its steps in order, each re-read, journaled, sent, settled; what was taken away is put back on failure.

use std::time::Duration;

use tokio::sync::SemaphorePermit;

use crate::model::names::HostName;
use crate::model::observed::Seen;
use crate::model::plan::{Action, Change, Outcome, Plan, Step, Verb};
use crate::plan::Begun;
use crate::ports::{Contents, Engine, EngineError, EngineErrorKind, Intent};

use super::lane::{Named, Seat};
use super::note::Note;
use super::precondition::Verdict;
use super::rollout::Awaited;
use super::works::Ticket;
use super::{Did, Executor, Stop};

/// Waits between tries of a step that failed for a passing reason (D3): 5 s doubling; five tries in all.
const TRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// How one step ended.
pub(super) enum StepEnd {
    Done,
    NotNeeded(String),
    /// The world moved: its precondition does not hold.
    Refused(String),
    /// trueup was asked to end: it is not known how it would have ended.
    Stopped(String),
    Failed {
        error: String,
        transient: bool,
    },
}

/// Why a try brought no end.
struct Missed {
    error: EngineError,
    /// The mutation itself went out. Else its target could not even be read, and nothing changed.
    sent: bool,
}

impl Missed {
    const fn unread(error: EngineError) -> Self {
        Self { error, sent: false }
    }

    const fn sent(error: EngineError) -> Self {
        Self { error, sent: true }
    }
}

/// What the managers of a Swarm, or the one engine, said in one round of tries.
#[derive(Default)]
struct Round {
    told: Vec<String>,
    /// One of them may answer otherwise when it is asked again.
    passing: bool,
}

impl Round {
    fn text(&self) -> String {
        match self.told.as_slice() {
            [] => "nobody could be asked".to_owned(),
            [one] => one.clone(),
            several => format!("no manager did it: {}", several.join("; ")),
        }
    }
}

/// Whether an action waits for a registry.
pub(super) fn is_pull(action: &Action) -> bool {
    matches!(action, Action::PullImage { .. })
}

/// Whether the engine has nothing to do meanwhile, so that others may have the place at its host.
fn leaves_its_place(action: &Action) -> bool {
    matches!(action, Action::WaitHealthy { .. } | Action::Drain { .. })
}

/// Why what was begun is not brought to its end.
pub(super) const OVERTAKEN: &str = "a newer revision asks for something else";

/// Whether it makes or starts a container and does nothing else.
pub(super) fn only_starts(change: &Change) -> bool {
    let starts = |step: &Step| {
        matches!(
            step.action,
            Action::CreateContainer { .. } | Action::StartContainer { .. } | Action::WaitHealthy { .. }
        )
    };
    matches!(change.action, Verb::Create | Verb::Start)
        && change.steps.iter().all(starts)
        && change.undo.is_empty()
}

/// Whether a container that may be well is away from here on.
fn takes_down(action: &Action) -> bool {
    matches!(action, Action::StopContainer { .. } | Action::RestartContainer { .. })
}

/// Whether nothing is sent: Swarm is only watched.
fn waits(action: &Action) -> bool {
    matches!(action, Action::WaitService { .. })
}

/// Whether it is what takes away, in a change that does: the stop before it can be begun anew.
fn takes_away(action: &Action) -> bool {
    matches!(
        action,
        Action::RemoveContainer { .. } | Action::RemoveService { .. } | Action::UpdateService { .. }
    )
}

/// Whether by it a Swarm learns what is declared of a service.
fn tells_swarm(action: &Action) -> bool {
    matches!(
        action,
        Action::CreateService { .. } | Action::UpdateService { .. } | Action::RemoveService { .. }
    )
}

/// What became of putting back.
#[derive(Default)]
struct Undone {
    /// For the end of the outcome's own words.
    words: String,
    failed: bool,
    /// What was there before is there again.
    is_back: bool,
}

impl Undone {
    /// How a change ended that was given up for no fault of its own: where nothing was put back for one, it failed.
    fn after_giving_up(self, why: &str) -> Outcome {
        let why = format!("{why}{}", self.words);
        if self.failed { Outcome::Failed { error: why, transient: true } } else { Outcome::Skipped { why } }
    }
}

/// Whom the steps of a change are sent to: the host's engine, or the Swarm's managers; nobody where none is needed.
struct Asked<'a> {
    engines: &'a [Named],
    seat: Option<Seat<'a>>,
    /// A newer revision asks for something else: waits end.
    overtaken: &'a Stop,
    /// Told each step.
    note: &'a Note<'a>,
}

impl Asked<'_> {
    fn order(&self) -> Vec<Option<&Named>> {
        match (self.engines.is_empty(), self.seat) {
            (true, _) => vec![None],
            (false, Some(seat)) => seat.lane.order(self.engines).map(Some).collect(),
            (false, None) => self.engines.iter().map(Some).collect(),
        }
    }

    fn answers(&self, host: Option<&HostName>) {
        if let (Some(seat), Some(host)) = (self.seat, host) {
            seat.lane.answers(host);
        }
    }
}

impl Executor<'_> {
    /// How it ended, and what it did, however it ended after that.
    pub(super) async fn carry_out_change<'l>(
        &self,
        plan: &Plan,
        change: &Change,
        seat: Option<Seat<'l>>,
        mut slot: Option<SemaphorePermit<'l>>,
        ticket: &Ticket<'_>,
    ) -> (Outcome, Did) {
        let subject = change.subject.to_string();
        self.progress.change(&subject, change.action.name(), None);
        let mut did = Did::default();
        let begun = Begun {
            change: change.clone(),
            revision: plan.revision.clone(),
            since: self.clock.now(),
            step: String::new(),
        };
        let note = Note::begins(self.store, begun, (self.brings)(change));
        let outcome = self.steps(plan, change, &subject, seat, (&mut slot, &mut did), (ticket, &note)).await;
        did.took &= !matches!(outcome, Outcome::NotNeeded { .. });
        note.ends(&outcome, did);
        self.remember(plan, change, &subject, &outcome);
        self.progress.change(&subject, change.action.name(), Some(&outcome));
        (outcome, did)
    }

    async fn steps<'l>(
        &self,
        plan: &Plan,
        change: &Change,
        subject: &str,
        seat: Option<Seat<'l>>,
        (slot, did): (&mut Option<SemaphorePermit<'l>>, &mut Did),
        (ticket, note): (&Ticket<'_>, &Note<'_>),
    ) -> Outcome {
        let engines = match self.engines_of(change) {
            Ok(engines) => engines,
            Err(error) => return failed(&error),
        };
        let engines = Asked { engines: &engines, seat, overtaken: &ticket.overtaken, note };
        let mut not_needed = Vec::new();
        let down = change.steps.iter().position(|step| takes_down(&step.action));
        for (index, step) in change.steps.iter().enumerate() {
            // What still runs is not taken down for what nobody wants any more (D3).
            if down.is_some_and(|first| index <= first) && ticket.overtaken.is_set() {
                let put_back = match index {
                    0 => Undone::default(),
                    _ => self.undo(plan, change, subject, &engines).await,
                };
                return put_back.after_giving_up(&format!("{}: {OVERTAKEN}", step.action.describe()));
            }
            // The loop looks again instead of waiting (D6).
            if !self.awaits && waits(&step.action) {
                return Outcome::Begun;
            }
            ticket.is_at(&step.action.describe());
            self.progress.step(subject, &step.action.describe());
            let gives_up = slot.is_some() && leaves_its_place(&step.action);
            if gives_up {
                *slot = None;
            }
            let (end, lost) = self.step(plan, change, subject, step, &engines).await;
            // Nothing waits for a place that it has no more use for.
            let goes_on = match end {
                StepEnd::Done | StepEnd::NotNeeded(_) => index + 1 < change.steps.len(),
                StepEnd::Refused(_) | StepEnd::Stopped(_) | StepEnd::Failed { .. } => !change.undo.is_empty(),
            };
            if let (true, true, Some(seat)) = (gives_up, goes_on, seat) {
                *slot = seat.slot().await;
            }
            // What was found gone may have gone by a try whose answer was lost, and so may what nobody answered for.
            let carried_out = lost || matches!(end, StepEnd::Done | StepEnd::NotNeeded(_));
            did.took |= change.destructive && carried_out && takes_away(&step.action);
            did.sent |= carried_out && tells_swarm(&step.action);
            match end {
                StepEnd::Done => {}
                StepEnd::NotNeeded(why) => not_needed.push(why),
                StepEnd::Refused(why) if index == 0 => {
                    return Outcome::Skipped { why: format!("the world moved: {why}") };
                }
                StepEnd::Refused(why) => {
                    let put_back = self.undo(plan, change, subject, &engines).await;
                    did.sent &= !put_back.is_back;
                    let words = put_back.words;
                    return Outcome::Failed {
                        error: format!("{}: the world moved: {why}{words}", step.action.describe()),
                        transient: true,
                    };
                }
                // Swarm goes on with what it was sent.
                StepEnd::Stopped(_) if waits(&step.action) => return Outcome::Begun,
                StepEnd::Stopped(why) => {
                    let put_back = self.undo(plan, change, subject, &engines).await;
                    return put_back.after_giving_up(&format!("{}: {why}", step.action.describe()));
                }
                StepEnd::Failed { error, transient } => {
                    let put_back = self.undo(plan, change, subject, &engines).await;
                    did.sent &= !put_back.is_back;
                    let error = format!("{}: {error}{}", step.action.describe(), put_back.words);
                    return Outcome::Failed { error, transient };
                }
            }
        }
        if !change.steps.is_empty() && not_needed.len() == change.steps.len() {
            return Outcome::NotNeeded { why: not_needed.join("; ") };
        }
        Outcome::Done
    }

    /// Puts back what was taken away. Each step is tried; what could not be put back is told.
    async fn undo(&self, plan: &Plan, change: &Change, subject: &str, engines: &Asked<'_>) -> Undone {
        if change.undo.is_empty() {
            return Undone::default();
        }
        let (mut problems, mut refusals, mut is_back) = (Vec::new(), Vec::new(), false);
        // Nothing is in a hurry to leave it half done.
        let engines = Asked { overtaken: &Stop::default(), ..*engines };
        for step in &change.undo {
            match self.step(plan, change, subject, step, &engines).await.0 {
                StepEnd::Done | StepEnd::NotNeeded(_) => is_back = true,
                // There may be nothing of this to put back.
                StepEnd::Refused(why) => refusals.push(why),
                StepEnd::Stopped(why) => problems.push(format!("{}: {why}", step.action.describe())),
                StepEnd::Failed { error, .. } => {
                    problems.push(format!("{}: {error}", step.action.describe()))
                }
            }
        }
        is_back &= problems.is_empty();
        let words = if is_back {
            "; what was there before was put back".to_owned()
        } else if problems.is_empty() {
            format!("; nothing was put back: {}", refusals.join("; "))
        } else {
            format!("; putting back what was there before failed too: {}", problems.join("; "))
        };
        Undone { words, failed: !problems.is_empty(), is_back }
    }

    /// Journal, act with retries, settle (D5); and whether a try of it was sent and no answer came, so that it may have been
    /// carried out however it ended.
    async fn step(
        &self,
        plan: &Plan,
        change: &Change,
        subject: &str,
        step: &Step,
        engines: &Asked<'_>,
    ) -> (StepEnd, bool) {
        engines.note.is_at(&step.action);
        let intent = Intent {
            id: 0,
            at: self.clock.now(),
            plan: plan.id.clone(),
            host: change.host().cloned(),
            subject: subject.to_owned(),
            step: step.action.describe(),
        };
        let id = match self.store.intend(&intent) {
            Ok(id) => id,
            // What cannot be journaled is not done.
            Err(error) => {
                return (StepEnd::Failed { error: error.to_string(), transient: true }, false);
            }
        };
        let (end, lost) = self.try_step(change, step, engines).await;
        let outcome = match &end {
            StepEnd::Done => Outcome::Done,
            StepEnd::NotNeeded(why) => Outcome::NotNeeded { why: why.clone() },
            StepEnd::Refused(why) | StepEnd::Stopped(why) => Outcome::Skipped { why: why.clone() },
            StepEnd::Failed { error, transient } => {
                Outcome::Failed { error: error.clone(), transient: *transient }
            }
        };
        match self.store.settle(id, self.clock.now(), &outcome) {
            Ok(()) => (end, lost),
            Err(error) => (StepEnd::Failed { error: error.to_string(), transient: true }, lost),
        }
    }

    /// A Swarm's step goes to the next of its managers where one does not answer for it, and waits only when all were
    /// asked. What a manager that answers refuses is refused by the Swarm.
    async fn try_step(&self, change: &Change, step: &Step, asked: &Asked<'_>) -> (StepEnd, bool) {
        let mut wait = FIRST_WAIT;
        let mut last = Round::default();
        let mut lost = false;
        for nth in 1..=TRIES {
            let mut round = Round::default();
            for named in asked.order() {
                let slot = match (asked.seat, &step.action) {
                    (Some(seat), action) if change.subject.swarm.is_some() && !waits(action) => {
                        seat.slot().await
                    }
                    (_, _) => None,
                };
                let engine = named.map(|(_, engine)| &**engine);
                let ended = self.attempt(change, step, engine, asked.overtaken).await;
                drop(slot);
                let missed = match ended {
                    Ok(end) => {
                        asked.answers(named.map(|(host, _)| host));
                        return (end, lost);
                    }
                    Err(missed) => missed,
                };
                let kind = missed.error.kind;
                lost |= missed.sent && kind.leaves_open();
                let text = missed.error.to_string();
                let for_good = is_refusal(&step.action, kind) && last.told.contains(&text);
                let passing = kind.is_transient() && !for_good;
                let others_may = change.subject.swarm.is_some() && !missed.sent;
                round.passing |= passing;
                round.told.push(text);
                let hurry = self.stop.is_set() || asked.overtaken.is_set();
                if hurry || !(passing || others_may) {
                    return (StepEnd::Failed { error: round.text(), transient: passing }, lost);
                }
            }
            last = round;
            if nth == TRIES || !last.passing {
                break;
            }
            tokio::select! {
                () = self.clock.sleep(wait) => {}
                () = self.stop.wait() => {}
                () = asked.overtaken.wait() => {}
            }
            wait = (wait * 2).min(Duration::from_secs(180));
        }
        (StepEnd::Failed { error: last.text(), transient: last.passing }, lost)
    }

    /// One try: the target is read first, so that a try whose answer was lost is seen to have worked.
    async fn attempt(
        &self,
        change: &Change,
        step: &Step,
        engine: Option<&dyn Engine>,
        overtaken: &Stop,
    ) -> Result<StepEnd, Missed> {
        let in_traffic = |result: Result<(), String>| match result {
            Ok(()) => StepEnd::Done,
            Err(error) => StepEnd::Failed { error, transient: true },
        };
        match &step.action {
            Action::Drain { instance, timeout } => Ok(match change.host() {
                Some(host) => in_traffic(self.traffic.drain(instance, host, *timeout).await),
                None => no_host(),
            }),
            Action::Undrain { instance } => Ok(match change.host() {
                Some(host) => in_traffic(self.traffic.undrain(instance, host).await),
                None => no_host(),
            }),
            Action::InstallFiles { set, files } => Ok(in_traffic(self.traffic.install(set, files).await)),
            Action::WaitHealthy { name, min_healthy, deadline } => match engine {
                Some(engine) => {
                    let wait = self.wait_healthy(engine, name, *min_healthy, *deadline, overtaken);
                    wait.await.map_err(Missed::unread)
                }
                None => Ok(no_host()),
            },
            Action::WaitService { name, job_ends, min_healthy, deadline } => {
                let (job_ends, min_healthy, deadline) = (*job_ends, *min_healthy, *deadline);
                let awaited = Awaited { change, name, job_ends, min_healthy, deadline };
                match engine {
                    Some(engine) => self.wait_service(engine, &awaited).await.map_err(Missed::unread),
                    None => Ok(no_host()),
                }
            }
            Action::PullImage { .. }
            | Action::RemoveImage { .. }
            | Action::CreateVolume { .. }
            | Action::CreateNetwork { .. }
            | Action::RemoveNetwork { .. }
            | Action::CreateContainer { .. }
            | Action::StartContainer { .. }
            | Action::StopContainer { .. }
            | Action::RestartContainer { .. }
            | Action::RemoveContainer { .. }
            | Action::RenameContainer { .. }
            | Action::UpdateContainer { .. }
            | Action::Connect { .. }
            | Action::Disconnect { .. }
            | Action::CreateService { .. }
            | Action::UpdateService { .. }
            | Action::RemoveService { .. }
            | Action::CreateConfig { .. }
            | Action::RemoveConfig { .. }
            | Action::UpdateNode { .. } => match engine {
                Some(engine) => self.on_engine(change, step, engine).await,
                None => Ok(no_host()),
            },
        }
    }

    async fn on_engine(&self, change: &Change, step: &Step, engine: &dyn Engine) -> Result<StepEnd, Missed> {
        let told;
        let action = match self.precondition(change, step, engine).await.map_err(Missed::unread)? {
            Verdict::Holds => &step.action,
            Verdict::HoldsAs(action) => {
                told = action;
                &told
            }
            Verdict::AlreadySo(why) => return Ok(StepEnd::NotNeeded(why)),
            Verdict::Moved(why) => return Ok(StepEnd::Refused(why)),
        };
        let contents: &Contents = &self.desired.contents;
        let (subject, words) = (change.subject.to_string(), step.action.describe());
        let parts = |done, total| self.progress.part(&subject, &words, done, total);
        let Err(error) = engine.perform(action, contents, &parts).await else {
            return Ok(StepEnd::Done);
        };
        // An engine still at an earlier try, whose answer was lost, refuses this one and has it done (D5).
        if matches!(step.action, Action::Connect { .. })
            && !error.kind.is_transient()
            && let Ok(Verdict::AlreadySo(_)) = self.precondition(change, step, engine).await
        {
            return Ok(StepEnd::Done);
        }
        Err(Missed::sent(error))
    }

    /// The host's engine; or the Swarm's managers, the one that told what the plan follows from at the head, the others in
    /// the order of fleet.toml; none for what needs none.
    fn engines_of(&self, change: &Change) -> Result<Vec<Named>, EngineError> {
        let names: Vec<&HostName> = match (&change.subject.host, &change.subject.swarm) {
            (Some(host), _) => vec![host],
            (None, Some(swarm)) => {
                let mut managers: Vec<_> = self.desired.swarms.get(swarm).into_iter().flatten().collect();
                let told = self.swarms.get(swarm).and_then(Seen::known).map(|seen| &seen.manager);
                managers.sort_by_key(|manager| Some(*manager) != told);
                managers
            }
            (None, None) => Vec::new(),
        };
        let hosts = names.into_iter().filter_map(|name| self.desired.hosts.get(name));
        let mut engines = Vec::new();
        let mut failed = None;
        for host in hosts {
            match self.engines.engine(host) {
                Ok(engine) => engines.push((host.name.clone(), engine)),
                Err(error) => failed = Some(error),
            }
        }
        match (engines.is_empty(), failed) {
            (true, Some(error)) => Err(error),
            (_, _) => Ok(engines),
        }
    }

    fn remember(&self, plan: &Plan, change: &Change, subject: &str, outcome: &Outcome) {
        let detail = match outcome {
            Outcome::Done => change.because.join("; "),
            Outcome::Begun => format!("sent, and Swarm is at it: {}", change.because.join("; ")),
            Outcome::NotNeeded { why } => format!("not needed: {why}"),
            Outcome::Failed { error, .. } => format!("FAILED: {error}"),
            Outcome::Skipped { why } => format!("skipped: {why}"),
        };
        let entry = crate::ports::HistoryEntry {
            at: self.clock.now(),
            revision: Some(plan.revision.clone()),
            what: change.action.name().to_owned(),
            subject: subject.to_owned(),
            detail,
        };
        if let Err(error) = self.store.remember(&entry) {
            tracing::warn!("the history lacks an entry: {error}");
        }
    }
}

fn no_host() -> StepEnd {
    StepEnd::Failed { error: "its host is not in the inventory".to_owned(), transient: false }
}

fn failed(error: &EngineError) -> Outcome {
    Outcome::Failed { error: error.to_string(), transient: error.kind.is_transient() }
}

/// An engine says 500 for what it cannot make of a container too (a program that is not there, a port that is taken): said
/// twice in the same words, it is no passing trouble.
fn is_refusal(action: &Action, kind: EngineErrorKind) -> bool {
    let of_container = matches!(
        action,
        Action::CreateContainer { .. } | Action::StartContainer { .. } | Action::RestartContainer { .. }
    );
    of_container && kind == EngineErrorKind::Engine
}
