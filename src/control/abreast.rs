//! Two pieces of work at once: what follows from one look is worked out while the engines rest, on two cores.

use std::panic::resume_unwind;
use std::thread;

/// What both come to, of pure work: `one` gets a thread of its own, which knows no runtime and no clock of it. Where the system
/// gives none, it comes after the other. A panic of either is the caller's.
pub(super) fn abreast<A: Send, B>(one: impl Fn() -> A + Sync, other: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let begun = thread::Builder::new().spawn_scoped(scope, &one);
        let other = other();
        let one = match begun {
            Ok(begun) => begun.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => one(),
        };
        (one, other)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::abreast;

    #[test]
    fn both_are_at_work_at_once() {
        let met = Barrier::new(2);
        let word = "lent".to_owned();
        let (one, other) = abreast(
            || {
                met.wait();
                word.len()
            },
            || {
                met.wait();
                word.as_str()
            },
        );
        assert_eq!((one, other), (4, "lent"));
    }

    #[test]
    #[should_panic(expected = "broke")]
    fn a_panic_is_not_swallowed() {
        abreast(|| panic!("broke"), || ());
    }
}
