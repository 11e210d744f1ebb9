//! Looking into JSON answers: what is absent, null or of another type is nothing.
//!
//! Swarm's specs are read and written as JSON and not through types, so that an update gives back every field that
//! trueup does not model, also those of engines newer than it.

use serde_json::Value;

use crate::model::units::{TimeSpan, Timestamp};

use super::super::live;

/// The value at a path of keys such as `"Spec.TaskTemplate"`.
pub(super) fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, key| value.get(key)).filter(|value| !value.is_null())
}

/// Text that says something.
pub(super) fn text(value: &Value, path: &str) -> Option<String> {
    at(value, path).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

pub(super) fn number(value: &Value, path: &str) -> Option<u64> {
    at(value, path).and_then(Value::as_u64)
}

pub(super) fn flag(value: &Value, path: &str) -> Option<bool> {
    at(value, path).and_then(Value::as_bool)
}

pub(super) fn list<'v>(value: &'v Value, path: &str) -> impl Iterator<Item = &'v Value> {
    at(value, path).and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn texts<C: FromIterator<String>>(value: &Value, path: &str) -> C {
    list(value, path).filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Pairs of texts, such as labels.
pub(super) fn pairs<C: FromIterator<(String, String)>>(value: &Value, path: &str) -> C {
    let object = at(value, path).and_then(Value::as_object);
    let pairs = object.into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// Nanoseconds; none where there are none.
pub(super) fn span(value: &Value, path: &str) -> Option<TimeSpan> {
    number(value, path).filter(|nanos| *nanos > 0).map(|nanos| TimeSpan::from_millis(nanos / 1_000_000))
}

pub(super) fn nanos(span: TimeSpan) -> u64 {
    span.millis().saturating_mul(1_000_000)
}

pub(super) fn moment(value: &Value, path: &str) -> Timestamp {
    text(value, path).as_deref().map(live::moment).unwrap_or_default()
}
