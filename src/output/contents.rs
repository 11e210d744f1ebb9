//! What a change does to the text of generated files: a unified diff for each file of its set.

use std::collections::{BTreeMap, BTreeSet};

use similar::TextDiff;

use crate::model::file::{FileSet, Files};
use crate::model::plan::{Action, Change};

/// Lines of one file's diff that text and Markdown show; JSON has them all.
pub const SHOWN: usize = 80;

/// A file that changes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FileDiff {
    /// `nginx/quote.conf`: the set and the file.
    pub file: String,
    /// Unified, three lines of context.
    pub diff: String,
}

/// The diffs of a change's files, by name; none where it installs none, or where nothing but the order differs.
/// A set that `installed` does not name was not readable: its files are shown as new.
pub fn of(change: &Change, installed: &BTreeMap<FileSet, Option<Files>>) -> Vec<FileDiff> {
    change
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::InstallFiles { set, files } => Some((set, files)),
            Action::PullImage { .. }
            | Action::RemoveImage { .. }
            | Action::CreateService { .. }
            | Action::UpdateService { .. }
            | Action::RemoveService { .. }
            | Action::WaitService { .. }
            | Action::CreateConfig { .. }
            | Action::RemoveConfig { .. }
            | Action::UpdateNode { .. }
            | Action::CreateVolume { .. }
            | Action::CreateNetwork { .. }
            | Action::RemoveNetwork { .. }
            | Action::CreateContainer { .. }
            | Action::StartContainer { .. }
            | Action::StopContainer { .. }
            | Action::RestartContainer { .. }
            | Action::RemoveContainer { .. }
            | Action::RenameContainer { .. }
            | Action::UpdateContainer { .. }
            | Action::Connect { .. }
            | Action::Disconnect { .. }
            | Action::WaitHealthy { .. }
            | Action::Drain { .. }
            | Action::Undrain { .. } => None,
        })
        .flat_map(|(set, files)| of_set(set, installed.get(set).and_then(Option::as_ref), files))
        .collect()
}

fn of_set(set: &FileSet, old: Option<&Files>, new: &Files) -> Vec<FileDiff> {
    let nothing = Files::new();
    let old = old.unwrap_or(&nothing);
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter_map(|name| of_file(set, name, old.get(name), new.get(name))).collect()
}

fn of_file(set: &FileSet, name: &str, old: Option<&String>, new: Option<&String>) -> Option<FileDiff> {
    if old == new {
        return None;
    }
    let file = format!("{set}/{name}");
    let text = |side: Option<&String>| side.cloned().unwrap_or_default();
    let label = |side: Option<&String>, words: &str| match side {
        Some(_) => format!("{file} ({words})"),
        None => "/dev/null".to_owned(),
    };
    let diff = TextDiff::from_lines(text(old), text(new))
        .unified_diff()
        .context_radius(3)
        .header(&label(old, "installed"), &label(new, "planned"))
        .to_string();
    Some(FileDiff { file, diff })
}

/// At most [`SHOWN`] lines, and how many were left out.
pub fn shorten(diff: &str) -> (String, usize) {
    let all = diff.lines().count();
    let shown: String = diff.lines().take(SHOWN).map(|line| format!("{line}\n")).collect();
    (shown, all.saturating_sub(SHOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(entries: &[(&str, &str)]) -> Files {
        entries.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn new_changed_and_removed_files_are_told_apart() {
        let old = files(&[("gone.conf", "a\n"), ("same.conf", "s\n"), ("changed.conf", "1\n2\n")]);
        let new = files(&[("same.conf", "s\n"), ("changed.conf", "1\n3\n"), ("new.conf", "n\n")]);
        let diffs = of_set(&FileSet::Nginx, Some(&old), &new);
        let heads: Vec<(&str, Vec<&str>)> =
            diffs.iter().map(|d| (d.file.as_str(), d.diff.lines().take(2).collect())).collect();
        assert_eq!(
            heads,
            [
                (
                    "nginx/changed.conf",
                    vec!["--- nginx/changed.conf (installed)", "+++ nginx/changed.conf (planned)"]
                ),
                ("nginx/gone.conf", vec!["--- nginx/gone.conf (installed)", "+++ /dev/null"]),
                ("nginx/new.conf", vec!["--- /dev/null", "+++ nginx/new.conf (planned)"]),
            ]
        );
        assert!(diffs[0].diff.ends_with(" 1\n-2\n+3\n"), "{}", diffs[0].diff);
    }

    #[test]
    fn a_long_diff_says_how_much_it_left_out() {
        let long: String = (0..SHOWN + 7).map(|n| format!("+{n}\n")).collect();
        let (shown, left_out) = shorten(&long);
        assert_eq!((shown.lines().count(), left_out), (SHOWN, 7));
        assert_eq!(shorten("+1\n"), ("+1\n".to_owned(), 0));
    }
}
