//! Files of a commit → `Desired`: TOML shapes, overlays, defaults, checks; every error at once with its place (A3).

mod app;
mod check;
pub mod codeowners;
mod container;
mod context;
mod diagnostic;
mod fleet;
mod load;
mod node;
pub mod own;
mod own_permission;
mod own_policy;
mod own_report;
mod read;
mod schema;
mod service;
mod shape;
mod show;
mod signers;
mod starter;

#[cfg(test)]
mod tests;

pub use check::is_sound;
pub use diagnostic::{Diagnostic, Errors, did_you_mean};
pub use load::{ParseCache, load};
pub use schema::{
    Kind, bundled_schema, repository_kinds, repository_reference, settings_kind, settings_reference,
    taplo_config,
};
pub use show::{OriginLine, show};
pub use starter::starter;
