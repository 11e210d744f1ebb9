//! `Desired` × `Observed` → differences, field by field, a comparer per kind (A4, A5).
//!
//! What Docker, the image or the daemon fills in is made the same on both sides first and never mistaken for drift.

mod container;
mod field;
mod network;
mod service;
mod show;

#[cfg(test)]
mod tests;

use similar::TextDiff;

pub use container::{Against, container};
pub use network::{network, volume};
pub use service::{MONITOR_DEFAULT, is_of_task, same_constraint, service};
pub use show::NOTHING;

/// A unified diff from what is to what should be; empty where they are equal.
pub fn unified(live: &str, desired: &str) -> String {
    if live == desired {
        return String::new();
    }
    TextDiff::from_lines(live, desired).unified_diff().context_radius(2).header("live", "desired").to_string()
}
