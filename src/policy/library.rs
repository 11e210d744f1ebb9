//! The rules that come with trueup: `policies/` of this package, one rule a file.

use include_dir::{Dir, include_dir};

use super::rego::Source;

static LIBRARY: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/policies");

/// Files of the library by their path; with `tests`, those beside the rules too.
pub fn library(tests: bool) -> Vec<Source> {
    let mut sources: Vec<Source> = LIBRARY
        .files()
        .filter(|file| file.path().extension().is_some_and(|ext| ext == "rego"))
        .filter_map(|file| {
            let path = format!("policies/{}", file.path().display());
            Some(Source { path, text: file.contents_utf8()?.to_owned() })
        })
        .filter(|source| tests || !is_test(&source.path))
        .collect();
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// Whether a file holds tests of rules and no rules.
pub fn is_test(path: &str) -> bool {
    path.ends_with("_test.rego")
}
