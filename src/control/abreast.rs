//! Pure work beside something else: what follows from one look is worked out on two cores while the engines rest, and what takes
//! long to work out keeps no engine waiting for its next question.

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

/// What `work` comes to, on a thread of its own: whoever asks engines meanwhile goes on. A panic of it is the caller's.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // It is never ended before its time, so that it can only have panicked.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|ended| resume_unwind(ended.into_panic()))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::{abreast, aside};

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

    #[tokio::test]
    async fn others_go_on_while_something_is_worked_out() {
        let (tell, told) = tokio::sync::oneshot::channel();
        // On the one thread of this runtime, neither would come to its end.
        let (word, ()) =
            tokio::join!(aside(|| told.blocking_recv()), async { tell.send("on").expect("a listener") });
        assert_eq!(word, Ok("on"));
    }

    #[tokio::test]
    #[should_panic(expected = "broke")]
    async fn a_panic_aside_is_not_swallowed() {
        aside(|| panic!("broke")).await
    }
}
