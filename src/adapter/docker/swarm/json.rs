//! Looking into JSON answers: what is absent, null or of another type is nothing.
//!
//! Swarm's specs are read and written as JSON and not through types, so that an update gives back every field that
//! trueup does not model, also those of engines newer than it. What is only read borrows from the answer: a look at a Swarm
//! is thousands of words, of which few are kept.

use serde_json::Value;
use serde_json_borrow::Value as Borrowed;

use crate::model::units::{TimeSpan, Timestamp};

use super::super::live;

/// A JSON value, owned or borrowed from an answer.
pub(super) trait Json: Sized {
    /// The value at a key of an object; nothing where it is null.
    fn key(&self, key: &str) -> Option<&Self>;
    fn word(&self) -> Option<&str>;
    fn unsigned(&self) -> Option<u64>;
    fn signed(&self) -> Option<i64>;
    fn float(&self) -> Option<f64>;
    fn truth(&self) -> Option<bool>;
    fn items(&self) -> &[Self];
    fn entries(&self) -> impl Iterator<Item = (&str, &Self)>;
    /// All of it, to be read through a type, compared or changed.
    fn owned(&self) -> Value;
}

/// Both call what a leaf holds the same.
macro_rules! leaves {
    () => {
        fn word(&self) -> Option<&str> {
            self.as_str()
        }
        fn unsigned(&self) -> Option<u64> {
            self.as_u64()
        }
        fn signed(&self) -> Option<i64> {
            self.as_i64()
        }
        fn float(&self) -> Option<f64> {
            self.as_f64()
        }
        fn truth(&self) -> Option<bool> {
            self.as_bool()
        }
    };
}

impl Json for Value {
    leaves!();
    fn key(&self, key: &str) -> Option<&Self> {
        self.get(key).filter(|value| !value.is_null())
    }
    fn items(&self) -> &[Self] {
        self.as_array().map(Vec::as_slice).unwrap_or_default()
    }
    fn entries(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
    }
    fn owned(&self) -> Value {
        self.clone()
    }
}

impl Json for Borrowed<'_> {
    leaves!();
    fn key(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key).filter(|value| !value.is_null())
    }
    fn items(&self) -> &[Self] {
        self.as_array().unwrap_or_default()
    }
    fn entries(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.as_object().into_iter().flat_map(|object| object.iter())
    }
    fn owned(&self) -> Value {
        self.into()
    }
}

/// The value at a path of keys such as `"Spec.TaskTemplate"`.
pub(super) fn at<'v, J: Json>(value: &'v J, path: &str) -> Option<&'v J> {
    path.split('.').try_fold(value, |value, key| value.key(key))
}

/// Text that says something.
pub(super) fn text<J: Json>(value: &J, path: &str) -> Option<String> {
    at(value, path).and_then(J::word).filter(|text| !text.is_empty()).map(str::to_owned)
}

pub(super) fn number<J: Json>(value: &J, path: &str) -> Option<u64> {
    at(value, path).and_then(J::unsigned)
}

pub(super) fn flag<J: Json>(value: &J, path: &str) -> Option<bool> {
    at(value, path).and_then(J::truth)
}

pub(super) fn list<'v, J: Json + 'v>(value: &'v J, path: &str) -> impl Iterator<Item = &'v J> {
    at(value, path).into_iter().flat_map(J::items)
}

pub(super) fn texts<C: FromIterator<String>>(value: &impl Json, path: &str) -> C {
    list(value, path).filter_map(Json::word).map(str::to_owned).collect()
}

/// Pairs of texts, such as labels.
pub(super) fn pairs<C: FromIterator<(String, String)>>(value: &impl Json, path: &str) -> C {
    let entries = at(value, path).into_iter().flat_map(Json::entries);
    entries.map(|(name, value)| (name.to_owned(), value.word().unwrap_or_default().to_owned())).collect()
}

/// Nanoseconds; none where there are none.
pub(super) fn span<J: Json>(value: &J, path: &str) -> Option<TimeSpan> {
    number(value, path).filter(|nanos| *nanos > 0).map(|nanos| TimeSpan::from_millis(nanos / 1_000_000))
}

pub(super) fn nanos(span: TimeSpan) -> u64 {
    span.millis().saturating_mul(1_000_000)
}

pub(super) fn moment<J: Json>(value: &J, path: &str) -> Timestamp {
    text(value, path).as_deref().map(live::moment).unwrap_or_default()
}
