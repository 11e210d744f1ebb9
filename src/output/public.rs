//! The JSON that programs read. The shape only grows: a field is never renamed, retyped or taken away in a release.
//!
//! Raw steps stay out (their specs hold values of env); a step is told as the line that the journal keeps of it.

use serde_json::{Value, json};

use crate::model::drift::{Cure, Drift, FieldChange, Nature, Subject};
use crate::model::finding::{Effect, Finding};
use crate::model::plan::{Blocked, Change, Outcome, Unknown, Unmanaged};

/// `kind`, `name`, `host` and what `more` adds, in one object.
pub fn of(subject: &Subject, more: Value) -> Value {
    let Subject { kind, name, host, swarm } = subject;
    let mut object = json!({ "kind": kind.name(), "name": name, "host": host });
    if let (Some(fields), Some(swarm)) = (object.as_object_mut(), swarm) {
        fields.insert("swarm".to_owned(), json!(swarm));
    }
    if let (Some(fields), Value::Object(more)) = (object.as_object_mut(), more) {
        fields.extend(more);
    }
    object
}

/// A change. `after` has positions in the plan's `changes`.
pub fn change(change: &Change) -> Value {
    let Change { action, subject, app, because, from, to, steps, undo: _, after, destructive, interrupts } =
        change;
    let steps: Vec<String> = steps.iter().map(|step| step.action.describe()).collect();
    of(
        subject,
        json!({
            "action": action.name(), "app": app, "because": because, "from": from, "to": to, "steps": steps,
            "after": after, "destructive": destructive, "interrupts": interrupts,
        }),
    )
}

pub fn blocked(blocked: &Blocked) -> Value {
    let Blocked { subject, app, reason, hint } = blocked;
    of(subject, json!({ "app": app, "reason": reason, "hint": hint }))
}

pub fn unknown(unknown: &Unknown) -> Value {
    let Unknown { subject, why } = unknown;
    of(subject, json!({ "why": why }))
}

pub fn unmanaged(unmanaged: &Unmanaged) -> Value {
    let Unmanaged { subject, why, collides } = unmanaged;
    of(subject, json!({ "why": why, "collides": collides }))
}

/// A drift. `nature` is one word; `fields` has the differences, `detail` what a stopped or unwell object does instead.
pub fn drift(drift: &Drift) -> Value {
    let Drift { subject, app, nature, left_alone } = drift;
    let (word, fields, detail) = match nature {
        Nature::Missing => ("missing", Vec::new(), None),
        Nature::Extra => ("extra", Vec::new(), None),
        Nature::Changed(fields) => ("changed", fields.iter().map(field).collect(), None),
        Nature::NotRunning(what) => ("not_running", Vec::new(), Some(what)),
        Nature::Unhealthy(what) => ("unhealthy", Vec::new(), Some(what)),
    };
    of(
        subject,
        json!({ "app": app, "nature": word, "fields": fields, "detail": detail, "left_alone": left_alone }),
    )
}

fn field(change: &FieldChange) -> Value {
    let FieldChange { field, desired, live, cure } = change;
    json!({ "field": field, "desired": desired, "live": live, "cure": cure_word(*cure) })
}

pub const fn cure_word(cure: Cure) -> &'static str {
    match cure {
        Cure::InPlace => "in_place",
        Cure::Replace => "replace",
        Cure::ByHand => "by_hand",
    }
}

/// A change and how it ended: `outcome` is one word, `detail` the reason, `transient` whether it is worth trying again.
pub fn outcome(ended: &(Change, Outcome)) -> Value {
    let (change, outcome) = ended;
    let (word, detail, transient) = match outcome {
        Outcome::Done => ("done", None, false),
        Outcome::Begun => ("begun", None, false),
        Outcome::NotNeeded { why } => ("not_needed", Some(why), false),
        Outcome::Failed { error, transient } => ("failed", Some(error), *transient),
        Outcome::Skipped { why } => ("skipped", Some(why), false),
    };
    of(
        &change.subject,
        json!({
            "action": change.action.name(), "app": change.app, "because": change.because,
            "outcome": word, "detail": detail, "transient": transient,
        }),
    )
}

/// Each of `items` as `shape` tells it.
pub fn list<T>(items: &[T], shape: impl Fn(&T) -> Value) -> Vec<Value> {
    items.iter().map(shape).collect()
}

/// What a policy says, with what it does.
pub fn finding(finding: &Finding) -> Value {
    let Finding { rule, level, app, message, file, effect } = finding;
    let (effect, reason) = match effect {
        Effect::Told => ("told", None),
        Effect::Holds => ("holds", None),
        Effect::Overridden(reason) => ("overridden", Some(reason)),
    };
    json!({
        "rule": rule,
        "level": level,
        "app": app,
        "message": message,
        "file": file,
        "effect": effect,
        "reason": reason,
    })
}
