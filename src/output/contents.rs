//! The text of generated files, as it is and as it should be: a unified diff for each file of a set, for plans and for
//! drift. Shown as they are: rendered files hold no secret (see [`crate::model::file::Sides`], G1).

use std::collections::{BTreeMap, BTreeSet};

use similar::TextDiff;

use crate::model::drift::{Drift, Kind};
use crate::model::file::{Differing, FileSet, Files};
use crate::model::plan::{Action, Change};

use super::escape::{block, lines};
use super::paint::{Ink, Paint};
use super::wording::many;

/// Lines of one file's diff that text and Markdown show; JSON has them all.
pub const SHOWN: usize = 80;
/// Lines of all diffs of one drift that reports show: no files are begun after them.
const SHOWN_OF_SET: usize = 240;
/// Characters of one line that reports show: what a hand wrote into a file may be of any length.
const WIDEST: usize = 400;

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
        .flat_map(|(set, files)| of_set(set, installed.get(set).and_then(Option::as_ref), files, "planned"))
        .collect()
}

/// The diffs of a drift's files, from what is installed to what should be; none of any other drift.
pub fn of_drift(drift: &Drift, differing: &Differing) -> Vec<FileDiff> {
    if drift.subject.kind != Kind::Files {
        return Vec::new();
    }
    let set = drift.subject.name.parse::<FileSet>().ok();
    let sides = set.and_then(|set| differing.get(&set).map(|sides| (set, sides)));
    sides
        .map(|(set, sides)| of_set(&set, Some(&sides.installed), &sides.wanted, "declared"))
        .unwrap_or_default()
}

fn of_set(set: &FileSet, old: Option<&Files>, new: &Files, wanted: &str) -> Vec<FileDiff> {
    let nothing = Files::new();
    let old = old.unwrap_or(&nothing);
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter_map(|name| of_file(set, name, old.get(name), new.get(name), wanted)).collect()
}

fn of_file(
    set: &FileSet,
    name: &str,
    old: Option<&String>,
    new: Option<&String>,
    wanted: &str,
) -> Option<FileDiff> {
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
        .header(&label(old, "installed"), &label(new, wanted))
        .to_string();
    Some(FileDiff { file, diff })
}

/// At most [`SHOWN`] lines, and how many were left out.
pub fn shorten(diff: &str) -> (String, usize) {
    let all = diff.lines().count();
    let shown: String = diff.lines().take(SHOWN).map(|line| format!("{line}\n")).collect();
    (shown, all.saturating_sub(SHOWN))
}

/// What a report shows of a drift's diffs: some lines of each file, and in words what is left out.
pub struct Excerpt {
    pub files: Vec<(Vec<String>, Option<String>)>,
    pub left_out: Option<String>,
}

/// Bounded: not more than [`SHOWN`] lines of a file, and no further files once the set has its share.
pub fn excerpt(diffs: &[FileDiff]) -> Excerpt {
    let mut shown = 0;
    let mut files = Vec::new();
    for diff in diffs {
        if shown >= SHOWN_OF_SET {
            break;
        }
        let (text, left_out) = shorten(&diff.diff);
        shown += text.lines().count();
        let words = (left_out > 0).then(|| format!("… {}", many(left_out, "more line")));
        files.push((text.lines().map(narrow).collect(), words));
    }
    let more = diffs.len().saturating_sub(files.len());
    let left_out = (more > 0).then(|| format!("… {}; JSON has them all", many(more, "more differing file")));
    Excerpt { files, left_out }
}

fn narrow(line: &str) -> String {
    let mut chars = line.chars();
    let narrow: String = chars.by_ref().take(WIDEST).collect();
    match chars.count() {
        0 => narrow,
        more => format!("{narrow}… {}", many(more, "more character")),
    }
}

/// What a line of a diff says.
pub fn ink(line: &str) -> Ink {
    match line.as_bytes().first() {
        Some(b'+') => Ink::Good,
        Some(b'-') => Ink::Bad,
        Some(b'@') => Ink::Change,
        Some(_) | None => Ink::Quiet,
    }
}

/// A diff's lines on a terminal.
pub fn painted(diff: &str, paint: Paint) -> String {
    lines(diff).map(|line| format!("        {}\n", paint.ink(ink(&line), &line))).collect()
}

/// The diffs of a drift, in text.
pub fn drift_text(drift: &Drift, differing: &Differing, paint: Paint) -> String {
    let Excerpt { files, left_out } = excerpt(&of_drift(drift, differing));
    let mut out = String::new();
    for (diff, more) in files {
        out += &painted(&diff.join("\n"), paint);
        out += &more.map(|more| format!("        {more}\n")).unwrap_or_default();
    }
    out + &left_out.map(|more| format!("      {more}\n")).unwrap_or_default()
}

/// The same in Markdown, below an item of a list.
pub fn drift_markdown(drift: &Drift, differing: &Differing) -> String {
    let Excerpt { files, left_out } = excerpt(&of_drift(drift, differing));
    let mut out = String::new();
    for (diff, more) in files {
        out += &format!("\n{}", fenced(&diff.join("\n")));
        out += &more.map(|more| format!("\n  {more}\n")).unwrap_or_default();
    }
    out += &left_out.map(|more| format!("\n  {more}\n")).unwrap_or_default();
    if out.is_empty() { out } else { out + "\n" }
}

/// A diff as a block below an item of a list.
pub fn fenced(diff: &str) -> String {
    block("diff", diff).lines().map(|line| format!("  {line}\n")).collect()
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
        let diffs = of_set(&FileSet::Nginx, Some(&old), &new, "planned");
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
    #[test]
    fn an_excerpt_is_bounded_in_every_direction() {
        let diff = |lines: usize, width: usize| FileDiff {
            file: "nginx/a.conf".to_owned(),
            diff: format!("+{}\n", "x".repeat(width)).repeat(lines),
        };
        let Excerpt { files, left_out } = excerpt(&vec![diff(SHOWN + 2, 3); 9]);
        assert_eq!(
            (files.len(), files[0].0.len(), files[0].1.as_deref()),
            (3, SHOWN, Some("… 2 more lines"))
        );
        assert_eq!(left_out.as_deref(), Some("… 6 more differing files; JSON has them all"));
        let Excerpt { files, left_out } = excerpt(&[diff(1, WIDEST + 9)]);
        assert!(files[0].0[0].ends_with("x… 10 more characters"), "{:?}", files[0].0);
        assert_eq!(
            (files[0].0[0].chars().count(), left_out),
            (WIDEST + "… 10 more characters".chars().count(), None)
        );
    }
}
