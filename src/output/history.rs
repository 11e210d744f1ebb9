//! What happened, one entry a line, oldest first.

use serde_json::{Value, json};

use crate::model::history::HistoryEntry;
use crate::model::names::Revision;

use super::escape::{cell, line};
use super::paint::{Ink, Paint};
use super::sections::hang;

pub fn text(entries: &[HistoryEntry], paint: Paint) -> String {
    if entries.is_empty() {
        return "Nothing has happened yet, as far as this state directory remembers.\n".to_owned();
    }
    entries.iter().map(|entry| one_text(entry, paint)).collect()
}

fn one_text(entry: &HistoryEntry, paint: Paint) -> String {
    let HistoryEntry { at, revision, what, subject, detail } = entry;
    let revision = revision.as_ref().map_or("-", Revision::short);
    let mut out = format!(
        "{}  {:<10}  {:<11}  {}\n",
        paint.ink(Ink::Quiet, &at.to_string()),
        line(revision),
        line(what),
        paint.ink(Ink::Strong, &line(subject))
    );
    out += &hang("                      ", detail);
    out
}

pub fn json(entries: &[HistoryEntry]) -> Value {
    let entries: Vec<Value> = entries
        .iter()
        .map(|HistoryEntry { at, revision, what, subject, detail }| {
            json!({
                "at": at.to_string(), "revision": revision, "what": what, "subject": subject, "detail": detail,
            })
        })
        .collect();
    json!({ "entries": entries })
}

pub fn markdown(entries: &[HistoryEntry]) -> String {
    let mut out = "| when | revision | what | subject | detail |\n|---|---|---|---|---|\n".to_owned();
    for HistoryEntry { at, revision, what, subject, detail } in entries {
        let revision = revision.as_ref().map_or("", Revision::short);
        out += &format!(
            "| {at} | {} | {} | {} | {} |\n",
            cell(revision),
            cell(what),
            cell(subject),
            cell(detail)
        );
    }
    out
}
