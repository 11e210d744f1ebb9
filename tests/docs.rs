//! The pages lead where they say: every relative link, and every heading it names, is there.

#![allow(clippy::expect_used, reason = "a page that cannot be read has to fail loudly")]

use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned()).into()
}

fn pages(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            pages(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "md") {
            into.push(path);
        }
    }
}

/// The targets of `[words](target)`, outside of fenced blocks and code spans.
fn links(page: &str) -> Vec<String> {
    let prose: String = page.split("```").step_by(2).flat_map(|text| text.split('`').step_by(2)).collect();
    let starts = prose.match_indices("](").map(|(at, sign)| at + sign.len());
    starts.filter_map(|at| prose[at..].split_once(')').map(|(target, _)| target.to_owned())).collect()
}

/// Headings as links name them: lower case, words joined by `-`, signs left out.
fn anchors(page: &str) -> Vec<String> {
    page.lines()
        .filter_map(|line| line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim()))
        .map(|title| {
            let kept = title.to_lowercase().replace(' ', "-");
            kept.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
        })
        .collect()
}

/// What is wrong with the links of the page at `path`.
fn dead_links(path: &Path, page: &str) -> Vec<String> {
    let dir = path.parent().expect("a folder");
    links(page)
        .into_iter()
        .filter(|target| !target.contains("://"))
        .filter(|target| {
            let (file, anchor) = target.split_once('#').unwrap_or((target.as_str(), ""));
            let whole = if file.is_empty() { path.to_owned() } else { dir.join(file) };
            let has = |anchor: &str| {
                let text =
                    if file.is_empty() { Ok(page.to_owned()) } else { std::fs::read_to_string(&whole) };
                text.is_ok_and(|text| anchors(&text).iter().any(|known| known == anchor))
            };
            !whole.exists() || !(anchor.is_empty() || has(anchor))
        })
        .map(|target| format!("{}: {target}", path.display()))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let top = top();
    let mut all = vec![top.join("README.md"), top.join("CHANGELOG.md")];
    pages(&top.join("docs"), &mut all);
    pages(&top.join("policies"), &mut all);
    assert!(all.len() > 10, "the pages were not found");
    let dead: Vec<String> = all
        .iter()
        .flat_map(|path| dead_links(path, &std::fs::read_to_string(path).expect("a page")))
        .collect();
    assert!(dead.is_empty(), "\n{}\n", dead.join("\n"));
}

#[test]
fn a_dead_link_is_noticed() {
    let path = top().join("README.md");
    let dead = |page: &str| dead_links(&path, page);
    let bad = "[a](nowhere.md) [b](docs/operations.md#no-such-thing) [c](#neither)";
    assert_eq!(dead(bad).len(), 3, "{:?}", dead(bad));
    let good = "# Here, now\n[a](https://x.example/y) `[b](nowhere.md)` [c](LICENSE) [d](docs/operations.md#upgrade) \
                [e](#here-now)\n```\n[f](nowhere.md)\n```\n";
    assert_eq!(dead(good), Vec::<String>::new());
}
