//! A log's file name with `*`, as the Java regex that TAILDIR matches against whole base names.

/// Names that rotation makes, as a Java regex of how a name ends. A renamed file is a new file to TAILDIR and would be
/// read again from its start, so these are never matched: `.1`, `.1.log` (but `-1.4.2.log` is a version), `-20250131`,
/// `.2025-01-31` (also before the extension), compressed, kept.
const ROTATED: &str = r"(?!.*(?:\.\d+|(?<!\d)\.\d+\.\w+|[-._]\d{8}|[-._]\d{4}-\d{2}-\d{2}(?:[-_.]\d+)*|\.gz|\.bz2|\.xz|\.zst|\.zip|\.old|\.bak|~)\z)(?!.*[-._]\d{4}-\d{2}-\d{2}(?:[-_.]\d+)*\.\w+\z)";

/// Whether `pattern` is one file name, with `*` for any characters.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    let odd = |c: char| c.is_control() || c == '/' || c == '$';
    // Flume trims values, so a blank at an end would be lost.
    if pattern.is_empty()
        || pattern.trim() != pattern
        || pattern.len() > 255
        || pattern.contains(odd)
        || pattern == "."
        || pattern == ".."
    {
        return Err(format!("{pattern:?} is not a file name with '*' (no '/', no '$')"));
    }
    Ok(())
}

/// The regex. A pattern without `*` names one file and matches only that.
pub(super) fn regex(pattern: &str) -> String {
    let mut text = if pattern.contains('*') { ROTATED.to_owned() } else { String::new() };
    for c in pattern.chars() {
        match c {
            '*' => text.push_str(".*"),
            c if c.is_ascii_punctuation() => text.extend(['\\', c]),
            c => text.push(c),
        }
    }
    text
}

/// Whether some name matches both patterns.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    // meets[j]: the rests a[i..] and b[j..] have a common name. Filled from the ends.
    let mut below = vec![false; b.len() + 1];
    for i in (0..=a.len()).rev() {
        let mut meets = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            let (x, y) = (a.get(i), b.get(j));
            meets[j] = match (x, y) {
                (None, None) => true,
                (Some('*'), _) => below[j] || (j < b.len() && meets[j + 1]),
                (_, Some('*')) => meets[j + 1] || (i < a.len() && below[j]),
                (Some(x), Some(y)) => x == y && below[j + 1],
                (None, Some(_)) | (Some(_), None) => false,
            };
        }
        below = meets;
    }
    below[0]
}
