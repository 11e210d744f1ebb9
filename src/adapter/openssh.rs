//! Words for the system's `ssh`, which repositories and engines are reached through.

use std::path::Path;

/// A path as one word of an ssh option: blanks would part it, and `%` is ssh's own.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string().replace('%', "%%");
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
