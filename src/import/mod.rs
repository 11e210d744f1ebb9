//! What already runs on an engine, or what a Compose file says, as files of a config repository (B4).
//!
//! Pure: the same picture gives the same bytes. Everything that could not be carried over is told as a [`Note`]; nothing
//! is left out in silence. The plan after an import is empty, because containers are taken over as they are and fields
//! that git cannot say are ignored by name.

mod app;
pub mod compose;
mod engine;
mod live;
mod names;
mod skeleton;
mod swarm;
#[cfg(test)]
mod tests;
mod toml;

use std::collections::BTreeMap;

pub use engine::{EnvValues, Request, engines};
pub use names::looks_secret;
pub use skeleton::{host as host_file, skeleton};
pub use swarm::{ServicesRequest, services};

/// Files of a config repository by path, and what a person should know about them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    pub files: BTreeMap<String, String>,
    pub notes: Vec<Note>,
    /// The apps that were written, with how many instances of them run.
    pub apps: BTreeMap<String, usize>,
}

/// What could not be carried over, or needs a decision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// A container, a service or a network; with its place (`compose.yaml:12`) where it has one.
    pub subject: String,
    pub words: String,
}

impl Imported {
    /// Tells it once.
    pub fn note(&mut self, subject: impl Into<String>, words: impl Into<String>) {
        let note = Note { subject: subject.into(), words: words.into() };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}
