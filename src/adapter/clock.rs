//! The machine's own clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use crate::model::units::Timestamp;
use crate::ports::Clock;

/// Wall time for records, tokio's monotonic time for sleeping.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    // The one place that may ask the machine for the time.
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> Timestamp {
        // A clock before 1970 reads as 1970: thresholds then see no time pass, which acts on nothing.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_is_of_this_century_and_does_not_stand_still() {
        let first = SystemClock.now();
        assert!(first > Timestamp(1_700_000_000_000), "{first}");
        let later = loop {
            let now = SystemClock.now();
            if now != first {
                break now;
            }
        };
        assert!(later > first);
    }
}
