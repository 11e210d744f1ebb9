//! One round of the loop in log lines: what was changed, what could not be, and how much is left.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::names::Revision;
use crate::model::plan::{Change, Outcome, Plan, UnderWay};
use crate::model::units::Timestamp;

use super::escape::{line, lines as lines_of};
use super::wording::{change_words, moment, subject_words};

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Info,
    Warning,
}

/// The lines of a round; the last one sums up.
pub fn lines(kept_because: Option<&str>, ended: &[(Change, Outcome)], plan: &Plan) -> Vec<(Tone, String)> {
    let head = kept_because.map(|why| (Tone::Warning, kept(&plan.revision, why)));
    head.into_iter().chain(happened(ended)).chain(stands(plan)).chain([sum(ended, plan)]).collect()
}

/// How each change ended.
fn happened(ended: &[(Change, Outcome)]) -> Vec<(Tone, String)> {
    let one = |(change, outcome): &(Change, Outcome)| {
        let tone = match outcome {
            Outcome::Done | Outcome::Begun | Outcome::NotNeeded { .. } => Tone::Info,
            Outcome::Failed { .. } | Outcome::Skipped { .. } => Tone::Warning,
        };
        (tone, format!("{}: {}", line(&change_words(change)), line(&outcome_words(outcome))))
    };
    ended.iter().map(one).collect()
}

/// What is unknown, what is blocked, and what is being done.
fn stands(plan: &Plan) -> Vec<(Tone, String)> {
    let mut lines = Vec::new();
    for unknown in &plan.unknown {
        let text = format!("unknown: {}: {}", subject_words(&unknown.subject), unknown.why);
        lines.push((Tone::Warning, line(&text)));
    }
    for blocked in &plan.blocked {
        let what = subject_words(&blocked.subject);
        let text = format!("blocked: {what}: {}; next: {}", blocked.reason, blocked.hint);
        lines.push((Tone::Warning, line(&text)));
    }
    for UnderWay { action, subject, since, step, overtaken, .. } in &plan.under_way {
        let how = if *overtaken { "a newer revision asks for something else" } else { step };
        let text = format!("under way since {since}: {} {}: {how}", action.name(), subject_words(subject));
        lines.push((Tone::Info, line(&text)));
    }
    lines
}

fn sum(ended: &[(Change, Outcome)], plan: &Plan) -> (Tone, String) {
    let done = ended.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Done)).count();
    let under_way = match plan.under_way.len() {
        0 => String::new(),
        count => format!(", {count} under way"),
    };
    let text = format!(
        "at {}: {done} changed, {} left, {} blocked, {} unknown{under_way}",
        plan.revision.short(),
        plan.changes.len(),
        plan.blocked.len(),
        plan.unknown.len()
    );
    (Tone::Info, text)
}

/// What stands is said again after this long.
const AGAIN: Duration = Duration::from_secs(3600);

/// What a log was told: what happens is told always; what stands when it is new, and then once an hour.
#[derive(Debug, Default)]
pub struct Telling {
    /// When each line was written last that the last round had.
    said: BTreeMap<String, Timestamp>,
}

impl Telling {
    /// The lines of a round that are worth a line in the log.
    pub fn round(
        &mut self,
        kept_because: Option<&str>,
        ended: &[(Change, Outcome)],
        plan: &Plan,
        now: Timestamp,
    ) -> Vec<(Tone, String)> {
        let head = kept_because.map(|why| (Tone::Warning, kept(&plan.revision, why)));
        let standing = head.into_iter().chain(stands(plan)).chain([sum(ended, plan)]).collect();
        happened(ended).into_iter().chain(self.news(standing, now)).collect()
    }

    /// The error that ended a round, where it is not the one of the round before.
    pub fn error(&mut self, error: &str, now: Timestamp) -> Option<String> {
        let said = lines_of(error).collect::<Vec<_>>().join("\n");
        self.news(vec![(Tone::Warning, said)], now).pop().map(|(_, line)| line)
    }

    fn news(&mut self, standing: Vec<(Tone, String)>, now: Timestamp) -> Vec<(Tone, String)> {
        let before = std::mem::take(&mut self.said);
        let mut news = Vec::new();
        for (tone, line) in standing {
            let said = before.get(&line).copied().filter(|at| now.since(*at).duration() < AGAIN);
            self.said.insert(line.clone(), said.unwrap_or(now));
            if said.is_none() {
                news.push((tone, line));
            }
        }
        news
    }
}

/// Says that the head is not what is enforced (A2).
pub fn kept(enforced: &Revision, why: &str) -> String {
    let why: Vec<String> = lines_of(why).collect();
    format!("the head was not taken; {} stays enforced.\n{}", line(enforced.short()), why.join("\n"))
}

/// The same for a page that a machine asks for and a person reads.
pub fn kept_page(why: &str, since: Option<Timestamp>, now: Timestamp) -> String {
    let since = since.map(|at| format!(", since {}", moment(at, now))).unwrap_or_default();
    let why: String = lines_of(why).map(|text| format!("  {text}\n")).collect();
    format!("the head was not taken{since}; the last good revision stays enforced:\n{why}")
}

/// What ended the last round.
pub fn failed_page(error: &str) -> String {
    let error: String = lines_of(error).map(|text| format!("  {text}\n")).collect();
    format!("the last round ended with an error:\n{error}")
}

/// An outcome as people read it.
pub fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Begun => "sent, and Swarm is at it".to_owned(),
        Outcome::NotNeeded { why } => format!("not needed: {why}"),
        Outcome::Failed { error, .. } => format!("FAILED: {error}"),
        Outcome::Skipped { why } => format!("skipped: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::model::drift::Kind;
    use crate::model::plan::Verb;

    #[test]
    fn what_stands_is_told_once_an_hour_and_what_happens_always() {
        let created = samples::change(Verb::Create, samples::subject(Kind::Container, "a", Some("h")), "why");
        let (plan, outcomes) = (samples::full(), vec![(created, Outcome::Done)]);
        let mut telling = Telling::default();
        let at = |minutes: i64| Timestamp(minutes * 60_000);
        let all = lines(Some("no permission"), &outcomes, &plan);
        let first = telling.round(Some("no permission"), &outcomes, &plan, at(0));
        assert_eq!(first.len(), all.len());
        assert_eq!(telling.round(Some("no permission"), &outcomes, &plan, at(1)), happened(&outcomes));
        // Other words are news.
        assert_eq!(telling.round(Some("other"), &outcomes, &plan, at(2)).len(), outcomes.len() + 1);
        assert_eq!(telling.round(Some("other"), &[], &plan, at(3)).len(), 1, "the sum is another one");
        assert_eq!(telling.round(Some("other"), &[], &plan, at(59)), []);
        assert_eq!(telling.round(Some("other"), &[], &plan, at(61)).len(), stands(&plan).len());
    }

    #[test]
    fn an_error_that_goes_on_is_told_once_an_hour_and_commands_no_terminal() {
        let mut telling = Telling::default();
        let told: Vec<Option<String>> =
            [0, 10, 3601].map(|s| telling.error("git\u{1b}[2J:\nis down", Timestamp(s * 1000))).into();
        let said = Some("git\\u{1b}[2J:\nis down".to_owned());
        assert_eq!(told, [said.clone(), None, said]);
    }
}
