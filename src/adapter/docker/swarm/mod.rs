//! Swarm through one of its managers: what it runs, and the calls that change it.

mod beyond;
mod body;
mod json;
mod read;
mod spec;
mod write;

#[cfg(test)]
mod tests;
