//! Containers that carry this installation's labels and are not what those name: somebody renamed or copied them. They
//! are nobody's to change (B1), and told, so that none is forgotten once its app leaves git.

use std::collections::BTreeSet;

use crate::model::drift::Kind;
use crate::model::observed::Seen;
use crate::model::ownership::Belongs;
use crate::model::plan::Unmanaged;

use super::PlanInput;
use super::draft::{Draft, subject};
use super::seen::Fleet;

pub(super) fn tell(input: &PlanInput<'_>, fleet: &Fleet<'_>, draft: &mut Draft) {
    // Ours by their labels, or adopted.
    let owned: BTreeSet<&str> =
        fleet.owned.values().flatten().map(|owned| owned.container.id.as_str()).collect();
    for (host, engine) in &fleet.engines {
        for container in engine.containers.values().filter_map(Seen::known) {
            if owned.contains(container.id.as_str()) || !input.owner.is_labelled(&container.labels) {
                continue;
            }
            let foreign = input.owner.container(&container.name, host, &container.labels);
            let Belongs::Foreign { why } = foreign else { continue };
            let subject = subject(Kind::Container, &container.name, host);
            let told = draft.unmanaged.iter().any(|unmanaged| unmanaged.subject == subject);
            if !told {
                let why = format!("{why}; remove it, or give it that name again");
                draft.unmanaged.push(Unmanaged { subject, why, collides: false });
            }
        }
    }
}
