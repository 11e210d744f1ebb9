//! The words that plans, drift and reports share: counts, ages, marks, and how a change is called.

use std::collections::BTreeMap;

use crate::model::drift::{Kind, Subject};
use crate::model::plan::{Blocked, Change, Plan, Verb};
use crate::model::units::{TimeSpan, Timestamp};

use super::escape;
use super::paint::Ink;
use super::sections::{not_taken, troubles};

/// The sign before a change.
pub const fn mark(verb: Verb) -> (&'static str, Ink) {
    match verb {
        Verb::Create => ("+", Ink::Good),
        Verb::Update | Verb::Install => ("~", Ink::Change),
        Verb::Replace => ("±", Ink::Change),
        Verb::Start | Verb::Restart | Verb::Recover => ("^", Ink::Change),
        Verb::Await => ("…", Ink::Change),
        Verb::Remove => ("-", Ink::Bad),
    }
}

/// `create container quote-prod-0 on rack-a-1`.
pub fn change_words(change: &Change) -> String {
    format!("{} {}", change.action.name(), subject_words(&change.subject))
}

/// `container quote-prod-0 on rack-a-1`; a host is not said to be on itself.
pub fn subject_words(subject: &Subject) -> String {
    match subject.kind {
        Kind::Host => on_its_host(subject),
        Kind::Image
        | Kind::Network
        | Kind::Volume
        | Kind::Container
        | Kind::Service
        | Kind::Config
        | Kind::Node
        | Kind::Swarm
        | Kind::Files
        | Kind::App
        | Kind::Revision => subject.to_string(),
    }
}

/// `container quote-prod-0`, where the host is said elsewhere.
pub fn on_its_host(subject: &Subject) -> String {
    format!("{} {}", subject.kind.name(), subject.name)
}

/// Things by the place they happen at: hosts in order, then Swarms, what belongs to neither last.
pub fn by_place<T>(items: &[T], subject: impl Fn(&T) -> &Subject) -> Vec<(String, Vec<&T>)> {
    let mut places: BTreeMap<(u8, String), Vec<&T>> = BTreeMap::new();
    for item in items {
        let subject = subject(item);
        let place = match (&subject.host, &subject.swarm) {
            (Some(host), _) => (0, format!("on {}", escape::line(host.as_str()))),
            (None, Some(swarm)) => (1, format!("on swarm {}", escape::line(swarm))),
            (None, None) => (2, "fleet-wide".to_owned()),
        };
        places.entry(place).or_default().push(item);
    }
    places.into_iter().map(|((_, place), items)| (place, items)).collect()
}

/// What is blocked for another reason than the blast radius; what that holds is shown with its changes.
pub fn blocked_otherwise(plan: &Plan) -> Vec<&Blocked> {
    plan.blocked.iter().filter(|b| !plan.held.iter().any(|change| change.subject == b.subject)).collect()
}

/// Why a held change waits.
pub fn held_because<'a>(plan: &'a Plan, change: &Change) -> Vec<&'a Blocked> {
    plan.blocked.iter().filter(|b| b.subject == change.subject).collect()
}

/// `2 to create, 1 to replace, 1 held; nothing was changed.`
pub fn plan_summary(plan: &Plan) -> String {
    let mut parts: Vec<String> =
        verbs(&plan.changes).into_iter().map(|(verb, n)| format!("{n} to {}", verb.name())).collect();
    parts.extend(troubles(plan));
    if parts.is_empty() {
        return match plan.drift.len() {
            0 => format!("Nothing to do: {}.", as_declared(plan, "")),
            n => format!("Nothing to do now, and {} not as declared: `trueup drift` says why.", are(n)),
        };
    }
    parts.extend(not_taken(plan));
    format!("{}; nothing was changed.", parts.join(", "))
}

/// That nothing differs, and from which revision where the head was not taken; `now` is ` now` or nothing.
pub fn as_declared(plan: &Plan, now: &str) -> String {
    match &plan.kept_because {
        None => format!("everything is as declared{now}"),
        Some(_) => {
            let revision = escape::line(plan.revision.short());
            format!("everything is as {revision} declares{now}, and the head was not taken")
        }
    }
}

/// How many changes of each verb.
pub fn verbs(changes: &[Change]) -> BTreeMap<Verb, usize> {
    let mut counts = BTreeMap::new();
    for change in changes {
        *counts.entry(change.action).or_insert(0) += 1;
    }
    counts
}

/// `1 object is`, `2 objects are`.
pub fn are(n: usize) -> String {
    if n == 1 { "1 object is".to_owned() } else { format!("{n} objects are") }
}

/// `1 object`, `2 objects`.
pub fn many(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// The two largest units of a length of time: `3d 4h`, `5m 2s`, `0s`.
pub fn age(span: TimeSpan) -> String {
    let mut rest = span.millis() / 1000;
    let mut parts = Vec::new();
    for (unit, seconds) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if rest >= seconds && parts.len() < 2 {
            parts.push(format!("{}{unit}", rest / seconds));
            rest %= seconds;
        } else if !parts.is_empty() {
            break;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// `2026-11-20T07:00:00Z (3d ago)`.
pub fn moment(at: Timestamp, now: Timestamp) -> String {
    format!("{at} ({} ago)", age(now.since(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_two_largest_neighbours() {
        for (seconds, words) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (62, "1m 2s"),
            (86_400, "1d"),
            (90_061, "1d 1h"),
            (86_405, "1d"),
        ] {
            assert_eq!(age(TimeSpan::from_secs(seconds)), words);
        }
    }
}
