//! When a failed or repeated healing may be tried again (D3), and when it is a loop (D7).

use crate::model::drift::Kind;
use crate::model::plan::{Change, Outcome};
use crate::model::units::{TimeSpan, Timestamp};

use super::memory::Attempts;

/// Waits before the second, third, … attempt (D3); the last one stays.
const WAITS: [u64; 7] = [0, 2, 6, 18, 54, 162, 300];

/// An object that stayed as declared this long after its last healing is stable: its attempts are forgotten.
pub const STABLE_AFTER: TimeSpan = TimeSpan::from_secs(600);

/// The earliest moment at which the object may be healed again. An attempt that lies ahead was noted before the clock
/// was set back: nobody waits until that moment comes again.
pub fn not_before(attempts: &Attempts, now: Timestamp) -> Timestamp {
    if attempts.last > now {
        return now;
    }
    let index = usize::try_from(attempts.count).unwrap_or(usize::MAX).min(WAITS.len() - 1);
    attempts.last.plus(TimeSpan::from_secs(WAITS[index]).duration())
}

/// The record after one more attempt. `None`: nothing was tried, nothing changes.
pub fn after(
    before: Option<&Attempts>,
    change: &Change,
    outcome: &Outcome,
    now: Timestamp,
) -> Option<Attempts> {
    // Generated files follow what runs: writing them again and again is their nature, only failures wait.
    let derived = change.subject.kind == Kind::Files;
    if derived && matches!(outcome, Outcome::Done) {
        return Some(Attempts {
            count: 0,
            last: now,
            promise: change.promise(),
            same: 0,
            because: change.because.clone(),
            error: None,
        });
    }
    let promise = change.promise();
    let (count, same) = match before {
        Some(b) if b.promise == promise => (b.count, b.same),
        // A newer commit asks for something else: it pre-empts the waiting.
        Some(_) | None => (0, 0),
    };
    let error = match outcome {
        Outcome::Failed { error, .. } => Some(error.clone()),
        Outcome::Done | Outcome::Begun | Outcome::NotNeeded { .. } | Outcome::Skipped { .. } => None,
    };
    let (count, same) = match outcome {
        // The first success is how the object came about; only what follows is healing. What Swarm was sent is the same.
        Outcome::Done | Outcome::Begun if same == 0 && count == 0 => (0, 1),
        Outcome::Done | Outcome::Begun => (count + 1, same + 1),
        Outcome::Failed { .. } => (count + 1, 0),
        Outcome::NotNeeded { .. } | Outcome::Skipped { .. } => return None,
    };
    Some(Attempts { count, last: now, promise, same, because: change.because.clone(), error })
}

/// Why this object is a loop: carrying out the same change succeeded `threshold` times and it is wanted again (D7).
pub fn is_loop(attempts: &Attempts, change: &Change, threshold: u32) -> Option<String> {
    (attempts.promise == change.promise() && attempts.same >= threshold).then(|| {
        format!(
            "the same change was carried out {} times and is wanted again; what oscillates: {}",
            attempts.same,
            if change.because.is_empty() { "(no field)".to_owned() } else { change.because.join("; ") }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::drift::Subject;
    use crate::model::plan::Verb;

    fn change(because: &str) -> Change {
        Change {
            action: Verb::Replace,
            subject: Subject::of_fleet(Kind::Container, "quote-prod-0"),
            app: None,
            because: vec![because.into()],
            from: None,
            to: None,
            steps: Vec::new(),
            undo: Vec::new(),
            after: Vec::new(),
            destructive: false,
            interrupts: false,
        }
    }

    #[test]
    fn waits_grow_as_d3_says_and_stay_at_five_minutes() {
        let mut attempts: Option<Attempts> = None;
        let mut waits = Vec::new();
        let failed = Outcome::Failed { error: "no".into(), transient: true };
        for _ in 0..9 {
            let now = Timestamp(0);
            attempts = after(attempts.as_ref(), &change("image"), &failed, now);
            waits.push(not_before(attempts.as_ref().expect("an attempt"), now).0 / 1000);
        }
        assert_eq!(waits, [2, 6, 18, 54, 162, 300, 300, 300, 300]);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_up() {
        let failed = Outcome::Failed { error: "no".into(), transient: true };
        let (then, now) = (Timestamp(86_400_000), Timestamp(1000));
        let attempts = after(None, &change("image"), &failed, then).expect("an attempt");
        assert_eq!(not_before(&attempts, then), Timestamp(86_402_000));
        assert_eq!(not_before(&attempts, now), now);
    }

    #[test]
    fn the_same_success_again_and_again_is_a_loop_and_names_the_field() {
        let change = change("env.MODE: a → b");
        let mut attempts = None;
        for round in 0..3 {
            assert!(attempts.as_ref().is_none_or(|a| is_loop(a, &change, 3).is_none()), "round {round}");
            attempts = after(attempts.as_ref(), &change, &Outcome::Done, Timestamp(round));
        }
        let why = is_loop(attempts.as_ref().expect("attempts"), &change, 3).expect("a loop");
        assert!(why.contains("env.MODE"), "{why}");
    }
}
