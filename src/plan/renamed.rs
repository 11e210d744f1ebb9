//! Containers that carry the very labels of an instance, on its own host, under another name: somebody renamed it, or copied
//! them. They are nobody's to change (B1), and still no instance runs twice because of them, on whatever host (C8).

use crate::model::app::App;
use crate::model::drift::{Kind, Nature};
use crate::model::names::{HostName, InstanceName};
use crate::model::observed::Container;

use super::draft::{Draft, subject};

/// What runs under another name, or may run again without anybody asking, and where.
#[derive(Clone, Copy)]
pub(super) struct Renamed<'a> {
    pub host: &'a HostName,
    pub container: &'a Container,
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

/// The instance stands under its own name, and would have to go before its successor comes: what has its labels too would
/// be taken for it then.
pub(super) fn tell_copy(
    app: &App,
    instance: &InstanceName,
    stands: &HostName,
    copy: Renamed<'_>,
    draft: &mut Draft,
) {
    let Renamed { host, container } = copy;
    let reason = format!(
        "{} on {host} has the labels of {instance}, and would be taken for it once that is gone: nothing is moved (B1, C8)",
        container.name
    );
    let hint =
        format!("remove it (`docker rm -f {}` on {host}), or make it without those labels", container.name);
    draft.block(subject(Kind::Container, instance, stands), Some(app.key.clone()), reason, &hint);
}
