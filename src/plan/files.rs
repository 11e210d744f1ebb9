//! Generated files against what is installed: a set is one object, its files are its fields.

use crate::model::drift::{Cure, FieldChange, Kind, Nature, Subject};
use crate::model::file::{FileSet, Files, hash_of};
use crate::model::observed::Seen;
use crate::model::plan::{Action, Change, Expect, Step, Unknown, Verb};
use crate::model::secrecy::ContentHash;

use super::PlanInput;
use super::draft::Draft;

/// One change per set that differs. Nothing waits for it and it waits for nobody: files follow what is seen.
pub(super) fn install(input: &PlanInput<'_>, draft: &mut Draft) {
    for (set, seen) in &input.observed.files {
        let subject = Subject::of_fleet(Kind::Files, set);
        match seen {
            Seen::Unknown { why } => draft.unknown.push(Unknown { subject, why: why.clone() }),
            Seen::Known(installed) => one(input, set, subject, installed.as_ref(), draft),
        }
    }
    for (what, why) in &input.rendered.notes {
        draft.notes.push(format!("{what}: {why}"));
    }
}

fn one(input: &PlanInput<'_>, set: &FileSet, subject: Subject, installed: Option<&Files>, draft: &mut Draft) {
    let empty = Files::new();
    let wanted = input.rendered.sets.get(set).unwrap_or(&empty);
    let live = installed.unwrap_or(&empty);
    if wanted == live {
        return;
    }
    let changes = fields(wanted, live);
    let because = changes
        .iter()
        .map(|c| match (c.live.as_str(), c.desired.as_str()) {
            (NOTHING, _) => format!("{} is new", c.field),
            (_, NOTHING) => format!("{} is no longer needed", c.field),
            (_, _) => format!("{} differs", c.field),
        })
        .collect();
    let change = Change {
        action: Verb::Install,
        subject,
        app: None,
        because,
        from: installed.map(hash_of),
        to: Some(hash_of(wanted)),
        steps: vec![Step {
            action: Action::InstallFiles { set: set.clone(), files: wanted.clone() },
            expect: Expect::Anything,
        }],
        undo: Vec::new(),
        after: Vec::new(),
        destructive: false,
        interrupts: false,
    };
    let nature = if installed.is_none() { Nature::Missing } else { Nature::Changed(changes) };
    draft.heal(input, nature, change);
}

const NOTHING: &str = "(none)";

fn fields(wanted: &Files, live: &Files) -> Vec<FieldChange> {
    let names: std::collections::BTreeSet<&String> = wanted.keys().chain(live.keys()).collect();
    let text = |files: &Files, name: &String| {
        files
            .get(name)
            .map_or_else(|| NOTHING.to_owned(), |text| ContentHash::of(text.as_bytes()).short().to_owned())
    };
    names
        .into_iter()
        .filter(|name| wanted.get(*name) != live.get(*name))
        .map(|name| FieldChange {
            field: name.clone(),
            desired: text(wanted, name),
            live: text(live, name),
            cure: Cure::InPlace,
        })
        .collect()
}
