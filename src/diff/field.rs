//! A field of whatever kind, compared: one value, or one for each key.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::drift::{Cure, FieldChange};

use super::show;

/// Most fields: the same where the words for them are. What is equal needs no words, which cost the most of a comparison.
pub(super) fn one<T: PartialEq + ?Sized>(
    (field, cure): (&str, Cure),
    wanted: &T,
    seen: &T,
    text: impl Fn(&T) -> String,
) -> Vec<FieldChange> {
    if wanted == seen {
        return vec![];
    }
    let (desired, live) = (text(wanted), text(seen));
    if desired == live { vec![] } else { vec![FieldChange { field: field.to_owned(), desired, live, cure }] }
}

/// One change per key that is missing, extra or different.
pub(super) fn each<T: PartialEq>(
    (field, cure): (&str, Cure),
    wanted: &BTreeMap<String, T>,
    live: &BTreeMap<String, T>,
    show: impl Fn(&T) -> String,
) -> Vec<FieldChange> {
    if wanted == live {
        return vec![];
    }
    let keys: BTreeSet<&String> = wanted.keys().chain(live.keys()).collect();
    let text = |value: Option<&T>| value.map_or_else(show::none, &show);
    let differing = keys.into_iter().filter(|key| wanted.get(*key) != live.get(*key));
    let change = |key: &String| FieldChange {
        field: format!("{field}.{key}"),
        desired: text(wanted.get(key)),
        live: text(live.get(key)),
        cure,
    };
    differing.map(change).collect()
}
