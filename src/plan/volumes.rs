//! The volumes that instances mount: made where missing, told where they differ, never removed (B5). Those that nobody
//! named are told where their container goes.

use crate::diff;
use crate::model::container::MountSource;
use crate::model::drift::{FieldChange, Kind, Nature, Subject};
use crate::model::names::VolumeName;
use crate::model::network::Volume;
use crate::model::observed::{Container, Engine, LiveVolume, Seen};
use crate::model::ownership::Belongs;
use crate::model::plan::{Action, Expect, Step, Unmanaged};
use crate::model::secrecy::ContentHash;

use super::PlanInput;
use super::addresses::Target;
use super::draft::{Draft, subject};
use super::surroundings::{Made, creation, field_names, planned};

/// What each volume of the target has to wait for, or why it can't be had.
pub(super) fn prepare(
    input: &PlanInput<'_>,
    target: &Target,
    engine: &Engine,
    draft: &mut Draft,
) -> Vec<Made> {
    let mut made = Vec::new();
    for mount in target.spec.mounts.values() {
        let MountSource::Volume(name) = &mount.source else { continue };
        let Some(volume) = target.app.volumes.get(name) else { continue };
        let subject = subject(Kind::Volume, name, &target.seat.host);
        let known = draft.changes.iter().position(|change| change.subject == subject);
        made.push(match (engine.volumes.get(name), known) {
            (_, Some(number)) => Ok(Some(number)),
            (Some(Seen::Unknown { why }), None) => {
                Err((format!("volume {name} is unknown: {why}"), "see the host's engine".to_owned()))
            }
            (Some(Seen::Known(live)), None) => existing(input, target, volume, live, subject, draft),
            (None, None) => match &engine.volumes_hidden {
                Some(why) => Err((
                    format!("volume {name} is unknown: {why}"),
                    "see the host's volume drivers".to_owned(),
                )),
                None => missing(input, target, name, volume, subject, draft),
            },
        });
    }
    made
}

fn existing(
    input: &PlanInput<'_>,
    target: &Target,
    volume: &Volume,
    live: &LiveVolume,
    subject: Subject,
    draft: &mut Draft,
) -> Made {
    if volume.external {
        return Ok(None);
    }
    let changes = diff::volume(&volume.spec, live);
    if !changes.is_empty() {
        differs(target, changes, &subject, draft);
    }
    match input.owner.object("volume", live.name.as_str(), &target.seat.host, &live.labels) {
        // Somebody else's data is not ours to write into (B1); what is adopted keeps its own (B4).
        Belongs::Foreign { why } if !target.app.adopt => {
            let reason = format!("the volume {} is there and not ours: {why}", live.name);
            if !draft.unmanaged.iter().any(|u| u.subject == subject) {
                draft.unmanaged.push(Unmanaged { subject, why, collides: true });
            }
            Err((
                reason,
                "say `external = true` of the volume to use it as it is, or rename one of the two".to_owned(),
            ))
        }
        Belongs::Foreign { .. } | Belongs::Ours(()) => Ok(None),
    }
}

fn differs(target: &Target, changes: Vec<FieldChange>, subject: &Subject, draft: &mut Draft) {
    if draft.drift.iter().any(|drift| drift.subject == *subject) {
        return;
    }
    let names = field_names(&changes);
    let reason = format!("volume {} differs in {names}, and it holds data (B5)", subject.name);
    let app = Some(target.app.key.clone());
    draft.leave(subject.clone(), app.clone(), Nature::Changed(changes), reason.clone());
    draft.block(subject.clone(), app, reason, "move the data by hand, or correct git");
}

fn missing(
    input: &PlanInput<'_>,
    target: &Target,
    name: &VolumeName,
    volume: &Volume,
    subject: Subject,
    draft: &mut Draft,
) -> Made {
    let host = &target.seat.host;
    if volume.external {
        let reason = format!("the external volume {name} is not on {host}");
        return Err((reason, "make it there; trueup only uses it".to_owned()));
    }
    let labels = input.owner.object_labels("volume", name.as_str(), host);
    let action = Action::CreateVolume { name: name.clone(), spec: volume.spec.clone(), labels };
    let because = format!("{} mounts it", target.instance);
    let step = Step { action, expect: Expect::Absent };
    let change = creation(subject, Some(target), because, ContentHash::of(name.as_str().as_bytes()), step);
    planned(input, change, draft)
}

/// The anonymous volumes that stay on the host, used by nobody, when the container goes.
pub(super) fn left_behind(live: &Container) -> impl Iterator<Item = String> {
    let words = |(at, name): (&String, &String)| {
        format!("its anonymous volume at {at} stays on the host, used by nobody: {name} (B5)")
    };
    live.anonymous.iter().map(words)
}

/// The paths of data that only an anonymous volume holds: git has no mount there.
pub(super) fn unnamed(target: &Target, live: &Container) -> Vec<String> {
    live.anonymous.keys().filter(|at| !target.spec.mounts.contains_key(*at)).cloned().collect()
}
