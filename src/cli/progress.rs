//! How changes get on, on standard error: bars on a terminal, a few plain lines in a log.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::model::plan::Outcome;
use crate::output::{outcome_words, visible};
use crate::ports::Progress;

/// One line a change, for logs; and a few for a step that takes long.
#[derive(Default)]
pub struct Lines(Mutex<Quarters>);

impl Progress for Lines {
    fn change(&self, subject: &str, verb: &str, outcome: Option<&Outcome>) {
        if let Some(outcome) = outcome {
            lock(&self.0).ended(subject);
            errln!("{verb} {subject}: {}", outcome_words(outcome));
        }
    }
    fn step(&self, subject: &str, step: &str) {
        tracing::debug!(subject, step);
    }
    fn part(&self, subject: &str, step: &str, done: u64, total: u64) {
        let told = lock(&self.0).part(subject, step, (done, total), Instant::now());
        if let Some(line) = told {
            errln!("{line}");
        }
    }
}

/// A step that is over sooner is told by its change alone.
const LONG: Duration = Duration::from_secs(3);

/// Long steps by their change, and what was told of them: each quarter once.
#[derive(Default)]
struct Quarters(BTreeMap<String, Long>);

struct Long {
    step: String,
    since: Instant,
    told: u64,
}

impl Quarters {
    /// What to say, where another quarter is done and there is still something to wait for.
    fn part(&mut self, subject: &str, step: &str, (done, total): (u64, u64), now: Instant) -> Option<String> {
        let begun = || Long { step: step.to_owned(), since: now, told: 0 };
        let long = self.0.entry(subject.to_owned()).or_insert_with(begun);
        if long.step != step {
            *long = begun();
        }
        let quarter = done.saturating_mul(4).checked_div(total)?;
        if now.duration_since(long.since) < LONG || quarter <= long.told || quarter > 3 {
            return None;
        }
        long.told = quarter;
        let mebibytes = total.div_ceil(1 << 20);
        Some(format!("{subject}: {step}: {} % of {mebibytes} MiB", quarter * 25))
    }

    fn ended(&mut self, subject: &str) {
        self.0.remove(subject);
    }
}

/// A spinner for each change under way.
#[derive(Default)]
pub struct Bars {
    all: MultiProgress,
    running: Mutex<Vec<(String, ProgressBar)>>,
}

impl Bars {
    fn with(&self, subject: &str, act: impl FnOnce(&ProgressBar)) {
        if let Some((_, bar)) = lock(&self.running).iter().find(|(name, _)| name == subject) {
            act(bar);
        }
    }
}

impl Progress for Bars {
    fn change(&self, subject: &str, verb: &str, outcome: Option<&Outcome>) {
        let mut running = lock(&self.running);
        match outcome {
            None => {
                let style = ProgressStyle::with_template("{spinner} {prefix}: {msg} {elapsed}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner());
                let bar = self.all.add(ProgressBar::new_spinner().with_style(style));
                bar.set_prefix(format!("{verb} {subject}"));
                bar.enable_steady_tick(Duration::from_millis(120));
                running.push((subject.to_owned(), bar));
            }
            Some(outcome) => {
                if let Some(at) = running.iter().position(|(name, _)| name == subject) {
                    running.remove(at).1.finish_and_clear();
                }
                let words = format!("{verb} {subject}: {}", outcome_words(outcome));
                let _ = self.all.println(visible(&words, false));
            }
        }
    }
    fn step(&self, subject: &str, step: &str) {
        self.with(subject, |bar| bar.set_message(step.to_owned()));
    }
    fn part(&self, subject: &str, step: &str, done: u64, total: u64) {
        let percent = done.saturating_mul(100).checked_div(total);
        let words = percent.map_or_else(|| step.to_owned(), |percent| format!("{step} {percent}%"));
        self.with(subject, |bar| bar.set_message(words));
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    const ONE: &str = "container web-test-0 on h1";
    const OTHER: &str = "container web-test-1 on h2";
    const PULL: &str = "pull box:1";

    #[test]
    fn a_log_has_each_quarter_of_a_long_pull_once_and_of_a_short_one_nothing() {
        let mut quarters = Quarters::default();
        let began = Instant::now();
        let mut told = Vec::new();
        for (subject, millis, percent) in [
            (ONE, 0, 0),
            (OTHER, 0, 10),
            (OTHER, 900, 90),
            (OTHER, 1000, 100),
            (ONE, 1000, 30),
            (ONE, 3000, 31),
            (ONE, 3100, 49),
            (ONE, 4000, 80),
            // Another layer is found, and all of them together are less far again.
            (ONE, 4100, 60),
            (ONE, 5000, 99),
            (ONE, 6000, 100),
        ] {
            let now = began + Duration::from_millis(millis);
            told.extend(quarters.part(subject, PULL, (percent << 20, 100 << 20), now));
        }
        let line = |percent: u64| format!("{ONE}: {PULL}: {percent} % of 100 MiB");
        assert_eq!(told, [line(25), line(75)]);
        // What it does next begins at nothing, and so does the change when it is tried again.
        let late = began + Duration::from_secs(60);
        assert_eq!(quarters.part(ONE, "pull box:2", (50, 100), late), None);
        quarters.ended(ONE);
        assert_eq!(quarters.part(ONE, "pull box:2", (50, 100), late + LONG), None);
        assert_eq!(
            quarters.part(ONE, "pull box:2", (0, 0), late + LONG * 2),
            None,
            "of nobody knows how much"
        );
        assert!(quarters.part(ONE, "pull box:2", (1 << 20, 2 << 20), late + LONG * 2).is_some());
    }

    #[test]
    fn a_pull_of_one_image_on_two_hosts_is_told_at_the_bar_of_each() {
        let bars =
            Bars { all: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), ..Bars::default() };
        let message = |subject: &str| {
            let mut found = None;
            bars.with(subject, |bar| found = Some(bar.message()));
            found
        };
        for subject in [ONE, OTHER] {
            bars.change(subject, "create", None);
            bars.step(subject, PULL);
        }
        bars.part(OTHER, PULL, 30, 120);
        assert_eq!(message(ONE).as_deref(), Some(PULL));
        assert_eq!(message(OTHER).as_deref(), Some("pull box:1 25%"));
        bars.part(ONE, PULL, 5, 0);
        assert_eq!(message(ONE).as_deref(), Some(PULL), "of nobody knows how much");
        bars.change(ONE, "create", Some(&Outcome::Done));
        assert_eq!((message(ONE), message(OTHER).is_some()), (None, true));
    }
}
