//! Containers that carry the very labels of an instance, on its own host, under another name: somebody renamed it, or copied
//! them. They are nobody's to change (B1), and still no instance runs twice because of them, on whatever host (C8).

use crate::model::app::App;
use crate::model::container::Restart;
use crate::model::drift::{Kind, Nature};
use crate::model::names::{HostName, InstanceName};
use crate::model::observed::{Container, RunState};

use super::draft::{Draft, subject};

/// What runs under another name, or may run again without anybody asking, and where.
#[derive(Clone, Copy)]
pub(super) struct Renamed<'a> {
    pub host: &'a HostName,
    pub container: &'a Container,
}

/// It runs, or its engine may start it by itself. What was stopped and stays so stands in nobody's way, as with an
/// address or an exclusive slot (C1); which of those that ended were stopped by hand, an engine does not tell.
pub(super) fn may_run(container: &Container) -> bool {
    match &container.state {
        RunState::Running { .. } | RunState::Paused | RunState::Restarting { .. } => true,
        RunState::Exited { exit_code, error, .. } => match container.live.restart {
            Restart::No => false,
            Restart::Always => true,
            // Only a start that failed leaves it so without a hand.
            Restart::UnlessStopped => !error.is_empty(),
            Restart::OnFailure { .. } => *exit_code != 0,
        },
        RunState::Created | RunState::Removing | RunState::Dead => false,
    }
}

pub(super) fn tell(app: &App, instance: &InstanceName, renamed: Renamed<'_>, draft: &mut Draft) {
    let Renamed { host, container } = renamed;
    let (other, name) = (&container.name, instance.container());
    let runs = match container.state.is_up() {
        true => "runs there",
        false => "is stopped there, and its engine may start it again,",
    };
    let reason = format!(
        "{other} {runs} with the labels of {instance}: somebody renamed it, or copied them, and nothing is started beside \
         it (B1, C8)"
    );
    let hint = format!("rename it back (`docker rename {other} {name}`), or remove it");
    let (subject, key) = (subject(Kind::Container, instance, host), Some(app.key.clone()));
    draft.leave(subject.clone(), key.clone(), Nature::Missing, reason.clone());
    draft.block(subject, key, reason, &hint);
}
