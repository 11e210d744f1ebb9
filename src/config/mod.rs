//! Files of a commit → `Desired`: TOML shapes, overlays, defaults, checks; every error at once with its place (A3).

mod app;
mod check;
mod container;
mod context;
mod diagnostic;
mod fleet;
mod load;
mod node;
pub mod own;
mod read;
mod schema;
mod shape;
mod show;
mod starter;

#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Errors};
pub use load::{ParseCache, load};
pub use schema::{reference_markdown, schema};
pub use show::{OriginLine, show};
pub use starter::starter;
