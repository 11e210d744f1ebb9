//! "Please end": steps under way finish, no more start.

use tokio::sync::watch;

/// Cheap to clone; all clones are one flag.
#[derive(Clone)]
pub struct Stop {
    flag: watch::Sender<bool>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { flag: watch::Sender::new(false) }
    }
}

impl Stop {
    pub fn set(&self) {
        self.flag.send_replace(true);
    }

    pub fn is_set(&self) -> bool {
        *self.flag.borrow()
    }

    /// Returns once the flag is set.
    pub async fn wait(&self) {
        let mut flag = self.flag.subscribe();
        // The sender lives in `self`, so waiting cannot fail while `self` is borrowed.
        let _ = flag.wait_for(|set| *set).await;
    }
}
