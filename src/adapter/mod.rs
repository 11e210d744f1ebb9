//! The real ports: the only place that touches the world.

pub mod authority;
pub mod clock;
pub mod docker;
pub mod files;
pub mod git;
pub mod graphite;
mod openssh;
pub mod reports;
pub mod sandbox;
pub mod store;
