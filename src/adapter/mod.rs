//! The real ports: the only place that touches the world.

pub mod clock;
pub mod docker;
pub mod files;
pub mod git;
mod openssh;
pub mod reports;
pub mod store;
