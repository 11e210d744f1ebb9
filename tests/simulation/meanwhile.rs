//! What happens to the world between a look and the first step.

use std::sync::Mutex;

use trueup::model::plan::Outcome;
use trueup::ports::Progress;

type Deed = Box<dyn FnOnce() + Send>;

/// Does something to the world as soon as the next change begins.
#[derive(Default)]
pub struct Meanwhile(Mutex<Option<Deed>>);

impl Meanwhile {
    pub fn next(&self, deed: impl FnOnce() + Send + 'static) {
        *self.0.lock().expect("a lock") = Some(Box::new(deed));
    }
}

impl Progress for Meanwhile {
    fn change(&self, _: &str, _: &str, outcome: Option<&Outcome>) {
        let deed = self.0.lock().expect("a lock").take_if(|_| outcome.is_none());
        if let Some(deed) = deed {
            deed();
        }
    }
    fn step(&self, _: &str, _: &str) {}
    fn part(&self, _: &str, _: &str, _: u64, _: u64) {}
}
