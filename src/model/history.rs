//! What happened, as history keeps it and reports print it.

use serde::{Deserialize, Serialize};

use super::names::Revision;
use super::units::Timestamp;

/// Something worth remembering, newest last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub at: Timestamp,
    pub revision: Option<Revision>,
    /// `apply`, `drift`, `pause`, `revision`, …
    pub what: String,
    pub subject: String,
    pub detail: String,
}
