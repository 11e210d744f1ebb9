//! The plan while it is made: changes by a number that survives until the end, with who waits for whom.

use std::collections::BTreeSet;

use crate::model::drift::{Drift, Kind, Nature, Subject};
use crate::model::names::{AppKey, HostName};
use crate::model::plan::{Blocked, Change, Unknown, Unmanaged};

use super::PlanInput;

/// Everything concluded so far. A change's number is its position in `changes`.
#[derive(Default)]
pub(super) struct Draft {
    pub changes: Vec<Change>,
    pub blocked: Vec<Blocked>,
    pub unknown: Vec<Unknown>,
    pub unmanaged: Vec<Unmanaged>,
    pub drift: Vec<Drift>,
    pub notes: Vec<String>,
    /// What is under way, and would not be begun now: another change of the same has to wait.
    pub not_now: Vec<Subject>,
    /// Apps of which something can't be done now.
    pub waiting: BTreeSet<AppKey>,
}

impl Draft {
    /// Notes the drift, and takes the change up unless something says to leave it alone; its number where it was.
    pub fn heal(&mut self, input: &PlanInput<'_>, nature: Nature, change: Change) -> Option<usize> {
        let left_alone = left_alone(input, &change);
        let mut drift =
            Drift { subject: change.subject.clone(), app: change.app.clone(), nature, left_alone: None };
        if let Some(reason) = left_alone {
            self.waits(&reason, change.app.as_ref());
            if let Reason::Backoff(reason) = &reason {
                self.block(
                    change.subject.clone(),
                    change.app.clone(),
                    reason.clone(),
                    "it is tried again by itself then; `trueup apply` tries at once",
                );
            }
            if let Reason::Quarantine(reason) = &reason {
                self.block(
                    change.subject.clone(),
                    change.app.clone(),
                    format!("quarantined (D7): {reason}"),
                    "change the app's spec, or mend what changes it back; then it is tried again",
                );
            }
            drift.left_alone = Some(reason.words());
            self.drift.push(drift);
            return None;
        }
        self.drift.push(drift);
        self.changes.push(change);
        Some(self.changes.len() - 1)
    }

    /// A change that is being carried out already: nothing keeps it from being made any more. Its number.
    pub fn is_begun(&mut self, nature: Nature, change: Change) -> usize {
        let (subject, app) = (change.subject.clone(), change.app.clone());
        self.drift.push(Drift { subject, app, nature, left_alone: None });
        self.changes.push(change);
        self.changes.len() - 1
    }

    /// A change that has to wait for another; unless it is left alone anyhow, which is said instead (A6).
    pub fn hold_back(
        &mut self,
        input: &PlanInput<'_>,
        nature: Nature,
        change: Change,
        why: String,
        hint: &str,
    ) {
        let Change { subject, app, .. } = &change;
        if let Some(reason @ (Reason::Git(_) | Reason::Paused(_))) = left_alone(input, &change) {
            self.waits(&reason, app.as_ref());
            self.leave(subject.clone(), app.clone(), nature, reason.words());
            return;
        }
        self.leave(subject.clone(), app.clone(), nature, why.clone());
        self.block(subject.clone(), app.clone(), why, hint);
    }

    /// Whether something says to leave it alone.
    pub fn leaves_alone(&self, input: &PlanInput<'_>, change: &Change) -> bool {
        left_alone(input, change).is_some()
    }

    /// Drift that nothing is done about, and why.
    pub fn leave(&mut self, subject: Subject, app: Option<AppKey>, nature: Nature, why: String) {
        self.drift.push(Drift { subject, app, nature, left_alone: Some(why) });
    }

    /// What can't be done as long as the reason stands.
    pub fn block(&mut self, subject: Subject, app: Option<AppKey>, reason: String, hint: &str) {
        self.waiting.extend(app.clone());
        self.tell_blocked(subject, app, reason, hint);
    }

    /// Drift that stays until git says something else, and is no success either.
    pub fn keep(&mut self, subject: Subject, app: AppKey, nature: Nature, reason: String, hint: &str) {
        self.leave(subject.clone(), Some(app.clone()), nature, reason.clone());
        self.tell_blocked(subject, Some(app), reason, hint);
    }

    /// Some day it goes on by itself, unless git itself says to leave it alone.
    fn waits(&mut self, reason: &Reason, app: Option<&AppKey>) {
        match reason {
            Reason::Paused(_) | Reason::Backoff(_) | Reason::Quarantine(_) => {
                self.waiting.extend(app.cloned())
            }
            Reason::Git(_) => {}
        }
    }

    fn tell_blocked(&mut self, subject: Subject, app: Option<AppKey>, reason: String, hint: &str) {
        let blocked = Blocked { subject, app, reason, hint: hint.to_owned() };
        if !self.blocked.contains(&blocked) {
            self.blocked.push(blocked);
        }
    }

    /// The numbers of this app's changes so far.
    pub fn of_app(&self, app: &AppKey) -> BTreeSet<usize> {
        self.numbers(|change| change.app.as_ref() == Some(app))
    }

    pub fn numbers(&self, wanted: impl Fn(&Change) -> bool) -> BTreeSet<usize> {
        self.changes.iter().enumerate().filter(|(_, c)| wanted(c)).map(|(number, _)| number).collect()
    }
}

/// An object on a host, in the words used everywhere.
pub(super) fn subject(kind: Kind, name: impl ToString, host: &HostName) -> Subject {
    Subject::on_host(kind, name, host)
}

enum Reason {
    Quarantine(String),
    Backoff(String),
    /// Detect-only.
    Git(String),
    Paused(String),
}

impl Reason {
    fn words(&self) -> String {
        match self {
            Self::Quarantine(reason) => format!("quarantined: {reason}"),
            Self::Backoff(reason) | Self::Git(reason) | Self::Paused(reason) => reason.clone(),
        }
    }
}

/// What keeps a change from being made: detect-only and pauses (A6), quarantine (D7), backoff (D3).
fn left_alone(input: &PlanInput<'_>, change: &Change) -> Option<Reason> {
    let words = change.subject.to_string();
    if let Some((promise, why)) = input.holds.quarantined.get(&words)
        && *promise == change.promise()
    {
        return Some(Reason::Quarantine(why.clone()));
    }
    let git = |reason: &str| Some(Reason::Git(reason.to_owned()));
    let paused = |reason: &str| Some(Reason::Paused(reason.to_owned()));
    if input.desired.detect_only {
        return git("detect-only: the whole fleet (A6)");
    }
    if let Some(reason) = &input.holds.paused_fleet {
        return paused(reason);
    }
    if let Some(key) = &change.app {
        if input.desired.environments.get(&key.environment).is_some_and(|e| e.detect_only) {
            return git("detect-only: its environment (A6)");
        }
        if input.desired.apps.get(key).is_some_and(|app| app.detect_only) {
            return git("detect-only: its app (A6)");
        }
        if let Some(reason) = input.holds.paused.get(key) {
            return paused(reason);
        }
    }
    match input.holds.not_before.get(&words) {
        Some(wait) if wait.promise == change.promise() && input.now < wait.until => {
            let before = match &wait.failed {
                Some(error) => format!("it failed: {error}"),
                None => "it was done before, and is wanted again".to_owned(),
            };
            Some(Reason::Backoff(format!("{before}; the next try is at {} (D3)", wait.until)))
        }
        Some(_) | None => None,
    }
}
