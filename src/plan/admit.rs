//! A saved plan promises a set of changes; a plan of now is admitted only within that set (D11).

use std::collections::BTreeSet;

use crate::model::plan::Plan;

/// What `plan` would do that `promised` does not have; file contents are derived and not part of the set.
pub fn admit(plan: &Plan, promised: &BTreeSet<String>) -> Result<(), Vec<String>> {
    let files = |promise: &&String| promise.starts_with("install files");
    let beyond: Vec<String> = plan
        .promises()
        .iter()
        .filter(|promise| !promised.contains(*promise))
        .filter(|promise| !files(promise))
        .cloned()
        .collect();
    if beyond.is_empty() { Ok(()) } else { Err(beyond) }
}
