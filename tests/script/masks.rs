//! Hashes by names that last: `rev-1`, `plan-1`, `held-1`, `hash-1`, in the order in which they first appear.
//!
//! A commit's or a plan's hash changes with every field that a release adds; a story does not. Equal hashes have equal
//! names, and a command may use a name where trueup wants the hash.

use trueup::model::names::Revision;
use trueup::model::plan::Plan;

/// A hash is masked from so many digits on: `ContentHash::short` has twelve, a revision's ten are known by name.
const DIGITS: usize = 12;

#[derive(Default)]
pub struct Masks {
    /// What stands for what, the longest text first among those of one revision.
    known: Vec<(String, String)>,
    counts: std::collections::BTreeMap<&'static str, usize>,
}

impl Masks {
    /// Names a commit; its name.
    pub fn revision(&mut self, revision: &Revision) -> String {
        let name = self.name("rev", revision.as_str());
        self.known.push((revision.short().to_owned(), name.clone()));
        name
    }

    /// Names a plan's ids.
    pub fn plan(&mut self, plan: &Plan) {
        self.name("plan", &plan.id);
        if !plan.held_id.is_empty() {
            self.name("held", &plan.held_id);
        }
    }

    fn name(&mut self, kind: &'static str, hash: &str) -> String {
        if let Some((_, name)) = self.known.iter().find(|(known, _)| known == hash) {
            return name.clone();
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let name = format!("{kind}-{count}");
        self.known.push((hash.to_owned(), name.clone()));
        name
    }

    /// The text with names for its hashes.
    pub fn hide(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
            let (before, tail) = rest.split_at(at);
            let end = tail.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tail.len());
            let (word, tail) = tail.split_at(end);
            out += before;
            out += &self.hide_word(word);
            rest = tail;
        }
        out + rest
    }

    fn hide_word(&mut self, word: &str) -> String {
        if let Some((_, name)) = self.known.iter().find(|(known, _)| known == word) {
            return name.clone();
        }
        let hex = word.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
        if hex && word.len() >= DIGITS { self.name("hash", word) } else { word.to_owned() }
    }

    /// The hash that a name stands for; any other text as it is.
    pub fn show(&self, name: &str) -> String {
        let named = self.known.iter().find(|(_, known)| known == name);
        named.map_or_else(|| name.to_owned(), |(hash, _)| hash.clone())
    }
}
