//! A clock made of steps: the interpreter asks it the time, and it tells how much was done. So a rule that loops is
//! bounded, by the same number of steps on every machine, and the module stays without a real clock.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::Once;
use std::time::Duration;

use regorus::utils::limits::{ExecutionTimerConfig, TimeSource, set_time_source};

/// Steps of the interpreter between two looks at the clock.
const STRIDE: NonZeroU32 = NonZeroU32::new(500).unwrap();

/// The interpreter's steps one rule may take: far more than any rule of the library needs for a thousand apps (a test).
pub const MOST_STEPS: u32 = 4_000_000;

// Nobody else's evaluation counts: one runs on one thread from its beginning to its end.
thread_local! {
    /// Looks at the clock on this thread so far: it only grows, which is all the interpreter asks of a time.
    static LOOKS: Cell<u64> = const { Cell::new(0) };
}

struct Steps;

impl TimeSource for Steps {
    fn now(&self) -> Option<Duration> {
        LOOKS.with(|looks| {
            looks.set(looks.get() + 1);
            Some(Duration::from_nanos(looks.get()))
        })
    }
}

static REGISTERED: Once = Once::new();

/// The limit for an engine; a nanosecond of it is one stride.
pub fn limit() -> ExecutionTimerConfig {
    REGISTERED.call_once(|| {
        // It fails only where one is there already, and nobody else sets one.
        let _ = set_time_source(&Steps);
    });
    ExecutionTimerConfig {
        limit: Duration::from_nanos(u64::from(MOST_STEPS / STRIDE.get())),
        check_interval: STRIDE,
    }
}
