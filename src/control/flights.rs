//! Plans that are being carried out beside the loop's looks: nobody waits for a slow one (D6).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::apply::{Did, Stop, Works};
use crate::model::drift::Subject;
use crate::model::names::InstanceName;
use crate::model::plan::{Action, Change, Outcome};
use crate::observe::Surveyor;

use super::collect::Pulls;
use super::pass::{Beside, Pass};
use super::traffic::Sight;
use super::{World, collect, converge};

/// Dropping it ends them where they stand.
#[derive(Default)]
pub struct Flights {
    works: Arc<Works>,
    /// Since the first pass.
    sight: Mutex<Option<Arc<Sight>>>,
    tasks: Mutex<JoinSet<()>>,
    flying: Arc<Flying>,
    ended: Arc<Mutex<VecDeque<Ended>>>,
    /// What is remembered already and was not told with a round yet.
    untold: Mutex<Vec<(Change, Outcome)>>,
}

/// What is under way, whenever it is asked.
pub type TellsBeside = Arc<dyn Fn() -> Beside + Send + Sync>;

#[derive(Default)]
struct Flying {
    count: AtomicUsize,
    /// One fewer.
    landed: Notify,
}

/// How a change ended, and the pass that wanted it.
pub struct Ended {
    pub pass: Arc<Pass>,
    pub change: Change,
    pub outcome: Outcome,
    /// `None`: it never began.
    pub did: Option<Did>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flights {
    /// What is under way, before a look: what has not begun by now does not begin any more, and reads from before something
    /// ended are read again.
    pub fn before_look(&self, surveyor: &Surveyor) -> Beside {
        let drained = self.sight().map(|sight| sight.drained()).unwrap_or_default();
        // What ended until now is looked at with this look; what ends from here on wakes the loop again.
        let _ = self.works.ended().now_or_never();
        let (begun, touched) = self.works.take_stock();
        surveyor.forget(&touched.hosts, &touched.swarms);
        Beside { begun, drained }
    }

    /// Tells at any time what is under way then, to who looks beside the loop; nothing is kept from going on.
    pub fn beside(&self) -> TellsBeside {
        let (works, sight) = (Arc::clone(&self.works), self.sight());
        Arc::new(move || {
            let drained = sight.as_ref().map(|sight| sight.drained()).unwrap_or_default();
            Beside { begun: works.begun(), drained }
        })
    }

    /// After a look: who is drained, and what is not waited for any longer.
    pub fn after_look(&self, pass: &Pass) {
        let overtaken = pass.plan.under_way.iter().filter(|begun| begun.overtaken);
        let overtaken: Vec<&Subject> = overtaken.map(|begun| &begun.subject).collect();
        self.works.overtake(&overtaken);
        let sight = self.sight();
        match sight {
            Some(sight) => sight.look(pass),
            None => *lock(&self.sight) = Some(Arc::new(Sight::of(pass))),
        }
    }

    /// Carries the pass's plan out beside everything else.
    pub fn launch(&self, world: &World, pass: Pass, stop: &Stop) {
        let sight = self.sight().unwrap_or_else(|| Arc::new(Sight::of(&pass)));
        let (world, pass, stop) = (world.clone(), Arc::new(pass), stop.clone());
        let (works, all_ended, flying) =
            (Arc::clone(&self.works), Arc::clone(&self.ended), Landing::of(&self.flying));
        let flight = works.flight();
        let (pulled, pulls) = Pulls::new();
        let mut tasks = lock(&self.tasks);
        while let Some(ended) = tasks.try_join_next() {
            passed_on(ended);
        }
        let (of, at) = (Arc::clone(&pass), world.clone());
        let noted = async move { collect::note_pulls(&at, &of, pulls).await };
        let carried = async move {
            let ended = |change: &Change, outcome: &Outcome, did: Option<Did>| {
                // What never began drained nothing: another change may be at the same instance.
                if did.is_some() {
                    drains(change).for_each(|instance| sight.forget(instance));
                }
                pulled.ended(change, outcome);
                let (pass, change, outcome) = (Arc::clone(&pass), change.clone(), outcome.clone());
                lock(&all_ended).push_back(Ended { pass, change, outcome, did });
            };
            let under = converge::Under { works: &works, flight, sight: &sight, ended: &ended };
            let _report = converge::execute(&world, &pass, &pass.plan, (&stop, false), &under).await;
        };
        tasks.spawn(async move {
            tokio::join!(carried, noted);
            drop(flying);
        });
    }

    /// What ended first of what is not remembered yet.
    pub fn next_ended(&self) -> Option<Ended> {
        lock(&self.ended).pop_front()
    }

    /// It could not be remembered: it is the next one again.
    pub fn put_back(&self, ended: Ended) {
        lock(&self.ended).push_front(ended);
    }

    /// It is remembered, and told with the round that returns next.
    pub fn is_settled(&self, ended: Ended) {
        lock(&self.untold).push((ended.change, ended.outcome));
    }

    /// What is to be told with a round.
    pub fn told(&self) -> Vec<(Change, Outcome)> {
        std::mem::take(&mut *lock(&self.untold))
    }

    /// Returns when a change has ended that no look knows of yet.
    pub async fn news(&self) {
        self.works.ended().await;
    }

    pub fn is_idle(&self) -> bool {
        self.flying.count.load(Ordering::SeqCst) == 0
    }

    /// Nothing is under way, and nothing that has ended waits to be remembered.
    pub fn is_at_rest(&self) -> bool {
        self.is_idle() && lock(&self.ended).is_empty()
    }

    /// Returns when everything has ended, or after `patience`.
    pub async fn landed(&self, world: &World, patience: Duration) {
        let end = world.clock.sleep(patience);
        tokio::select! {
            () = self.until_idle() => {}
            () = end => {}
        }
    }

    /// Returns when everything has ended.
    pub async fn all_landed(&self) {
        self.until_idle().await;
        // One that counted down in a panic may not have come to its end yet.
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        while let Some(ended) = tasks.join_next().await {
            passed_on(ended);
        }
    }

    async fn until_idle(&self) {
        while !self.is_idle() {
            self.flying.landed.notified().await;
        }
        while let Some(ended) = lock(&self.tasks).try_join_next() {
            passed_on(ended);
        }
    }

    fn sight(&self) -> Option<Arc<Sight>> {
        lock(&self.sight).clone()
    }
}

/// Counts down however its flight ends.
struct Landing(Arc<Flying>);

impl Landing {
    fn of(flying: &Arc<Flying>) -> Self {
        flying.count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(flying))
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
        self.0.landed.notify_one();
    }
}

fn drains(change: &Change) -> impl Iterator<Item = &InstanceName> {
    change.steps.iter().filter_map(|step| {
        if let Action::Drain { instance, .. } = &step.action { Some(instance) } else { None }
    })
}

/// A panic is not kept from whoever waits for the loop.
fn passed_on(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
