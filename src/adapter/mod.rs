//! The real ports: the only place where the world is touched.

pub mod clock;
pub mod files;
pub mod store;
