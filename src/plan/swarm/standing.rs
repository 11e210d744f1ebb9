//! How far Swarm has come with a service, from its update and its tasks.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::service::ServiceMode;
use crate::model::swarm::{LiveService, Task, TaskState, UpdateState};
use crate::model::units::TimeSpan;

/// How far a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Swarm has what the spec asks for.
    Converged,
    /// A job's tasks run as they should, and have not ended.
    Working(String),
    /// Swarm is at it.
    Converging(String),
    /// It tries and fails: with the tasks' own errors.
    Failing(String),
    /// Swarm stopped by itself and waits for somebody.
    Stopped(String),
}

/// What people want to read of errors, at most.
const MOST_ERRORS: usize = 3;

/// How long Swarm may take until a global service has its first task, before it is said to fit no node.
const TO_PLACE: TimeSpan = TimeSpan::from_secs(15);

/// `tasks` are the service's own, history included; `age`: for how long it is known to be as it is.
pub fn standing<'a>(service: &LiveService, tasks: impl Iterator<Item = &'a Task>, age: TimeSpan) -> Standing {
    let tasks: Vec<&Task> = tasks.collect();
    let errors = errors(service, &tasks);
    let because = |words: &str| match errors.is_empty() {
        true => words.to_owned(),
        false => format!("{words}: {errors}"),
    };
    if let Some(update) = &service.update {
        match update.state {
            UpdateState::Updating => {
                let since = update.started.map_or_else(String::new, |at| format!(" since {at}"));
                return Standing::Converging(because(&format!("Swarm is updating it{since}")));
            }
            UpdateState::RollbackStarted => return Standing::Converging(because("Swarm is rolling it back")),
            UpdateState::Paused => return Standing::Stopped(because("Swarm paused the update")),
            UpdateState::RollbackPaused => {
                return Standing::Stopped(because("Swarm's own rollback failed and is paused"));
            }
            UpdateState::Completed | UpdateState::RollbackCompleted => {}
        }
    } else if !service.spec.mode.is_job() && tasks.iter().any(|task| is_to_be_replaced(service, task)) {
        return Standing::Converging(because("Swarm has not begun to update it"));
    }
    match service.spec.mode {
        ServiceMode::Replicated(count) => lasting(&tasks, usize::try_from(count).ok(), &errors),
        ServiceMode::Global if has_none(&tasks) && age < TO_PLACE => {
            Standing::Converging("Swarm has not made its tasks yet".to_owned())
        }
        ServiceMode::Global if has_none(&tasks) => Standing::Failing(nowhere(service)),
        ServiceMode::Global => lasting(&tasks, None, &errors),
        ServiceMode::ReplicatedJob { total, .. } => {
            job(service, &tasks, usize::try_from(total).unwrap_or(usize::MAX), &errors)
        }
        ServiceMode::GlobalJob => {
            let of_run = of_this_run(service, &tasks);
            let nodes: BTreeSet<_> = of_run.iter().filter_map(|task| task.node.as_deref()).collect();
            job(service, &tasks, nodes.len(), &errors)
        }
    }
}

fn has_none(tasks: &[&Task]) -> bool {
    !tasks.iter().any(|task| task.wanted <= TaskState::Running)
}

/// One on every node that fits is one that runs nowhere where none fits.
fn nowhere(service: &LiveService) -> String {
    let fits = match service.spec.constraints.is_empty() {
        true => String::new(),
        false => format!(" and fits {}", service.spec.constraints.join(", ")),
    };
    format!("it runs nowhere: no node is active{fits}")
}

/// An update that was just sent has no status of its own until Swarm comes to it.
fn is_to_be_replaced(service: &LiveService, task: &Task) -> bool {
    task.wanted <= TaskState::Running && task.state == TaskState::Running && is_of_another(service, task)
}

/// It was made from another spec than its service has now.
fn is_of_another(service: &LiveService, task: &Task) -> bool {
    task.template.is_some() && service.template.is_some() && task.template != service.template
}

/// Tasks that are to go on. `count` `None`: as many as Swarm wants.
fn lasting(tasks: &[&Task], count: Option<usize>, errors: &str) -> Standing {
    let wanted = tasks.iter().filter(|task| task.wanted <= TaskState::Running);
    let running = wanted.clone().filter(|task| task.state == TaskState::Running).count();
    let count = count.unwrap_or_else(|| wanted.count());
    if running == count {
        return Standing::Converged;
    }
    if running > count {
        return Standing::Converging(format!("{running} tasks run, {count} are wanted"));
    }
    let so_far = format!("{running} of {count} tasks run");
    match errors.is_empty() {
        true => Standing::Converging(so_far),
        false => Standing::Failing(format!("{so_far}: {errors}")),
    }
}

fn of_this_run<'a>(service: &LiveService, tasks: &[&'a Task]) -> Vec<&'a Task> {
    tasks.iter().copied().filter(|task| task.job_iteration == service.job_iteration).collect()
}

fn job(service: &LiveService, tasks: &[&Task], total: usize, errors: &str) -> Standing {
    let of_run = of_this_run(service, tasks);
    let ended = of_run.iter().filter(|task| task.state == TaskState::Complete).count();
    if ended >= total && !of_run.is_empty() {
        return Standing::Converged;
    }
    let so_far = format!("{ended} of {total} tasks of the job have ended well");
    let newest = |wanted: &dyn Fn(&Task) -> bool| {
        of_run.iter().filter(|task| wanted(task)).map(|task| task.since).max()
    };
    // What failed before another one ended well was made good.
    let failed = newest(&|task| !task.error.is_empty());
    let fails = failed > newest(&|task| task.state == TaskState::Complete);
    if fails && !errors.is_empty() {
        return Standing::Failing(format!("{so_far}: {errors}"));
    }
    match of_run.iter().any(|task| task.state == TaskState::Running) {
        true => Standing::Working(so_far),
        false => Standing::Converging(so_far),
    }
}

/// How many tasks of the service as it is now run, or, of a job, have ended well.
pub fn reached<'a>(service: &LiveService, tasks: impl Iterator<Item = &'a Task>) -> usize {
    let tasks: Vec<&Task> = tasks.collect();
    let is_there = |task: &&&Task| match service.spec.mode.is_job() {
        true => task.state == TaskState::Complete,
        false => task.state == TaskState::Running && !is_of_another(service, task),
    };
    of_this_run(service, &tasks).iter().filter(is_there).count()
}

/// What the newest task of each place says went wrong, where that place is not served now. What a spec did that the
/// service no longer has is none of its errors, but where Swarm goes back from just that.
fn errors(service: &LiveService, tasks: &[&Task]) -> String {
    let goes_back =
        service.rolled_back().is_some_and(|update| update.state != UpdateState::RollbackCompleted);
    let mut newest: BTreeMap<(u64, Option<&str>), &Task> = BTreeMap::new();
    for task in tasks.iter().filter(|task| goes_back || !is_of_another(service, task)) {
        // Global services have no slots: their places are the nodes.
        let place = (task.slot, task.node.as_deref().filter(|_| task.slot == 0));
        let held = newest.entry(place).or_insert(task);
        // A task that waits to replace a failed one says less than the failed one.
        let says_more = (!task.error.is_empty(), task.since) > (!held.error.is_empty(), held.since);
        if says_more {
            *held = task;
        }
    }
    let served: BTreeSet<(u64, Option<&str>)> = tasks
        .iter()
        .filter(|task| task.state == TaskState::Running && task.wanted == TaskState::Running)
        .map(|task| (task.slot, task.node.as_deref().filter(|_| task.slot == 0)))
        .collect();
    let unserved = newest.iter().filter(|(place, task)| {
        !served.contains(place) && !task.error.is_empty() && task.wanted != TaskState::Remove
    });
    words(unserved.map(|(_, task)| *task))
}

/// What the tasks say that Swarm went back from, the newest of them. Those that ended without an error ended early.
pub fn failures<'a>(service: &LiveService, tasks: impl Iterator<Item = &'a Task>) -> String {
    let is_told = |task: &&Task| {
        task.state.ended_by_itself() && (task.template.is_none() || is_of_another(service, task))
    };
    let mut failed: Vec<&Task> = tasks.filter(is_told).collect();
    failed.sort_by_key(|task| std::cmp::Reverse(task.since));
    failed.truncate(MOST_ERRORS);
    words(failed.into_iter())
}

fn words<'a>(tasks: impl Iterator<Item = &'a Task>) -> String {
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for task in tasks {
        let code = task.exit_code.filter(|code| *code != 0 && !task.error.contains(&code.to_string()));
        let code = code.map_or_else(String::new, |code| format!(" (exit code {code})"));
        let error = if task.error.is_empty() { "it ended early, with exit code 0" } else { &task.error };
        *told.entry(format!("{error}{code}")).or_default() += 1;
    }
    let more = told.len().saturating_sub(MOST_ERRORS);
    let mut words: Vec<String> = told
        .into_iter()
        .take(MOST_ERRORS)
        .map(|(error, times)| if times > 1 { format!("{error} (on {times} tasks)") } else { error })
        .collect();
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join("; ")
}
