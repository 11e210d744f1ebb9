//! Holds the tree to the house rules of docs/architecture.md: floors, purity, size, names, and who picks adapters.
//!
//! Each rule is a function from sources to complaints. The tests at the end run every one on bad samples as well:
//! a rule that cannot complain is no rule.

#![allow(clippy::expect_used, reason = "a rule whose sources cannot be read has to fail loudly")]

#[path = "architecture/code.rs"]
mod code;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use code::{Named, Token};

/// Files by path from the package's top: `src/output/plan.rs`.
type Sources = BTreeMap<String, String>;

/// Each top module and its floor. A module imports only from floors below its own.
const FLOORS: &[(&str, u8)] = &[
    ("model", 0),
    ("ports", 1),
    ("config", 1),
    ("liveness", 1),
    ("endpoints", 1),
    ("output", 1),
    ("import", 1),
    ("render", 2),
    ("diff", 1),
    ("plan", 2),
    ("policy", 2),
    ("observe", 3),
    ("apply", 3),
    ("control", 4),
    ("adapter", 5),
    ("sim", 5),
    ("http", 6),
    ("guard", 6),
    ("cli", 7),
];

/// Modules whose output follows from their input alone.
const PURE: &[&str] =
    &["model", "config", "liveness", "endpoints", "output", "import", "render", "diff", "plan", "policy"];

/// Words that a pure module does not say, and why. Checked as whole words outside of comments, text and tests.
const IMPURE_WORDS: &[(&str, &str)] = &[
    ("async", "async"),
    ("await", "async"),
    ("SystemTime", "the clock"),
    ("Instant", "the clock"),
    ("RandomState", "randomness"),
    ("OsRng", "randomness"),
    ("HashMap", "an order that changes from run to run: use BTreeMap"),
    ("HashSet", "an order that changes from run to run: use BTreeSet"),
];

/// Macros that a pure module does not call.
const IMPURE_MACROS: &[&str] = &["println", "eprintln", "print", "eprint", "dbg"];

/// Beginnings of paths that a pure module does not name, and why.
const IMPURE_PATHS: &[(&[&str], &str)] = &[
    (&["tokio"], "async"),
    (&["futures_util"], "async"),
    (&["async_trait"], "async"),
    (&["std", "env"], "the environment"),
    (&["std", "fs"], "files"),
    (&["std", "process"], "processes"),
    (&["std", "thread"], "threads"),
    (&["std", "os"], "the operating system"),
    (&["std", "net", "TcpStream"], "the network"),
    (&["std", "net", "TcpListener"], "the network"),
    (&["std", "net", "UdpSocket"], "the network"),
    (&["std", "net", "ToSocketAddrs"], "the network"),
    (&["std", "io", "stdin"], "the terminal"),
    (&["std", "io", "stdout"], "the terminal"),
    (&["std", "io", "stderr"], "the terminal"),
    (&["chrono", "Local"], "the clock"),
    (&["chrono", "Utc", "now"], "the clock"),
    (&["Utc", "now"], "the clock"),
    (&["Local", "now"], "the clock"),
    (&["fastrand"], "randomness"),
    (&["rand"], "randomness"),
    (&["getrandom"], "randomness"),
    (&["tracing"], "logging"),
    (&["log"], "logging"),
    (&["git2"], "the world"),
    (&["bollard"], "the world"),
    (&["rusqlite"], "the world"),
    (&["notify"], "the world"),
    (&["ureq"], "the world"),
    (&["axum"], "the world"),
];

/// Names that say nothing about what a file is for.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "shared", "stuff"];

const MOST_LINES: usize = 600;
const MOST_LINES_OF_MAIN: usize = 20;

/// The module a file is: `src/output/plan.rs` is `["output", "plan"]`, `src/lib.rs` and `src/main.rs` are `[]`.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
    let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// Files below `src/`, with their module and tokens; files declared under `#[cfg(test)]` are all test.
fn parsed(sources: &Sources) -> Vec<(&str, Vec<String>, Vec<Token>)> {
    let of_src = sources.iter().filter(|(path, _)| path.starts_with("src/"));
    let mut all: Vec<_> =
        of_src.map(|(path, text)| (path.as_str(), module_of(path), code::tokens(text))).collect();
    let tests: BTreeSet<Vec<String>> = all
        .iter()
        .flat_map(|(_, module, tokens)| {
            code::test_modules(tokens).into_iter().map(|name| [module.clone(), vec![name]].concat())
        })
        .collect();
    for (_, module, tokens) in &mut all {
        if (1..=module.len()).any(|n| tests.contains(&module[..n])) {
            tokens.iter_mut().for_each(|token| token.test = true);
        }
    }
    all
}

/// What a path leads to in this crate: the top module, or `None` inside it for the crate's own root.
fn target(named: &Named) -> Option<Option<&str>> {
    match named.path.first().map(String::as_str) {
        Some("crate" | "trueup") => Some(named.path.get(1).map(String::as_str).filter(|name| *name != "*")),
        Some(_) | None => None,
    }
}

/// A module imports only from floors below its own; tests are held to it too.
fn floors(sources: &Sources) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, module, tokens) in parsed(sources) {
        let (own, own_floor) = match (module.first().map(String::as_str), path) {
            (Some(own), _) => (own, floor_of(own)),
            // The binary stands above all floors, the map below them.
            (None, "src/main.rs") => ("main.rs", Some(u8::MAX)),
            (None, _) => ("lib.rs", Some(0)),
        };
        let Some(own_floor) = own_floor else {
            wrong.push(format!("{path}: {own} has no floor: give it one in docs/architecture.md and here"));
            continue;
        };
        for named in code::paths(&module, &tokens) {
            let line = named.line;
            match target(&named) {
                None => {}
                Some(None) => {
                    wrong.push(format!("{path}:{line}: takes the whole crate: name the module it needs"));
                }
                Some(Some(other)) if other == own => {}
                Some(Some(other)) => match floor_of(other) {
                    Some(floor) if floor < own_floor => {}
                    Some(floor) => wrong.push(format!(
                        "{path}:{line}: {own} (floor {own_floor}) imports {other} (floor {floor}): {}",
                        named.path.join("::")
                    )),
                    None => {
                        wrong.push(format!("{path}:{line}: {other} has no floor: {}", named.path.join("::")))
                    }
                },
            }
        }
    }
    wrong
}

/// Only `cli/` picks adapters (and the simulator, which is one).
fn adapters(sources: &Sources) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, module, tokens) in parsed(sources) {
        let own = module.first().map_or("", String::as_str);
        for named in code::paths(&module, &tokens) {
            if let Some(Some(other @ ("adapter" | "sim"))) = target(&named)
                && own != other
                && own != "cli"
            {
                wrong.push(format!("{path}:{}: only cli/ may name {other}", named.line));
            }
        }
    }
    wrong
}

/// Pure modules have no async, clock, randomness, environment, logging or hashed order, tests excepted.
fn purity(sources: &Sources) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, module, tokens) in parsed(sources) {
        if !module.first().is_some_and(|own| PURE.contains(&own.as_str())) {
            continue;
        }
        for (n, token) in tokens.iter().enumerate().filter(|(_, token)| !token.test) {
            let line = token.line;
            if let Some((word, why)) = IMPURE_WORDS.iter().find(|(word, _)| *word == token.text) {
                wrong.push(format!("{path}:{line}: `{word}` in a pure module: {why}"));
            }
            let called = tokens.get(n + 1).is_some_and(|next| next.text == "!");
            if called && IMPURE_MACROS.contains(&token.text.as_str()) {
                wrong.push(format!("{path}:{line}: `{}!` in a pure module: it prints", token.text));
            }
        }
        for named in code::paths(&module, &tokens).iter().filter(|named| !named.test) {
            if let Some((_, why)) = IMPURE_PATHS.iter().find(|(start, _)| begins(&named.path, start)) {
                wrong.push(format!(
                    "{path}:{}: `{}` in a pure module: {why}",
                    named.line,
                    named.path.join("::")
                ));
            }
        }
    }
    wrong
}

fn begins(path: &[String], start: &[&str]) -> bool {
    path.len() >= start.len() && path.iter().zip(start).all(|(a, b)| a == b)
}

/// The macros of the standard library panic where the reader of a pipe is gone; `cli::say` has others.
fn printing(sources: &Sources) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, _, tokens) in parsed(sources) {
        for pair in tokens.windows(2).filter(|pair| !pair[0].test && pair[1].text == "!") {
            if IMPURE_MACROS.contains(&pair[0].text.as_str()) {
                wrong.push(format!(
                    "{path}:{}: `{}!` panics where the reader is gone: take those of cli::say",
                    pair[0].line, pair[0].text
                ));
            }
        }
    }
    wrong
}

/// Every file says first what it is for.
fn openings(sources: &Sources) -> Vec<String> {
    let says =
        |text: &str| text.lines().next().is_some_and(|first| first.starts_with("//! ") && first.len() > 10);
    sources
        .iter()
        .filter(|(_, text)| !says(text))
        .map(|(path, _)| format!("{path}:1: begins without `//!` and what the file is for"))
        .collect()
}

/// No file is longer than a reader can hold; `main.rs` only calls.
fn sizes(sources: &Sources) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, _, tokens) in parsed(sources) {
        let all_test = !tokens.is_empty() && tokens.iter().all(|token| token.test);
        let lines = if all_test { 0 } else { code::lines_without_tests(&sources[path]) };
        if lines > MOST_LINES {
            wrong.push(format!("{path}: {lines} lines without tests; the wall is {MOST_LINES}: split it"));
        }
        if path == "src/main.rs" && sources[path].lines().count() > MOST_LINES_OF_MAIN {
            wrong.push(format!("{path}: more than {MOST_LINES_OF_MAIN} lines: move them into cli/"));
        }
    }
    wrong
}

/// No folder or file is called by a name that fits everything.
fn names(sources: &Sources) -> Vec<String> {
    sources
        .keys()
        .filter_map(|path| {
            let bad = path.trim_end_matches(".rs").split('/').find(|part| EMPTY_NAMES.contains(part))?;
            Some(format!("{path}: `{bad}` says nothing: name it after what it does"))
        })
        .collect()
}

/// `lib.rs` is the map: it declares modules and does nothing else, so that no path leads around the floors.
fn map(sources: &Sources) -> Vec<String> {
    let Some(text) = sources.get("src/lib.rs") else { return vec!["src/lib.rs: missing".to_owned()] };
    let tokens = code::tokens(text);
    let mut wrong: Vec<String> = tokens
        .iter()
        .filter(|token| !["pub", "mod", ";"].contains(&token.text.as_str()))
        .filter(|token| floor_of(&token.text).is_none())
        .map(|token| {
            format!("src/lib.rs:{}: `{}`: only modules with a floor stand here", token.line, token.text)
        })
        .collect();
    let declared = code::declared_modules(&tokens);
    let folders: BTreeSet<String> = sources
        .keys()
        .filter(|path| path.starts_with("src/"))
        .filter_map(|path| module_of(path).into_iter().next())
        .collect();
    let missing = folders.into_iter().filter(|name| !declared.contains(name));
    wrong.extend(missing.map(|name| format!("src/lib.rs: {name} has files and is not declared")));
    wrong
}

/// The floors of the table in docs/architecture.md are the ones held here.
fn documented(page: &str) -> Vec<String> {
    let mut told = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let (Some(floor), Some(folders)) = (cells.next().and_then(|c| c.parse::<u8>().ok()), cells.next())
        else {
            continue;
        };
        for name in folders.split('`').skip(1).step_by(2) {
            told.insert(name.trim_end_matches('/').trim_end_matches(".rs").to_owned(), floor);
        }
    }
    let held: BTreeMap<String, u8> =
        FLOORS.iter().map(|(name, floor)| ((*name).to_owned(), *floor)).collect();
    let known = |name: &String| (told.get(name), held.get(name));
    told.keys()
        .chain(held.keys())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|name| known(name).0 != known(name).1)
        .map(|name| {
            format!("docs/architecture.md and tests/architecture.rs differ on {name}: {:?}", known(name))
        })
        .collect()
}

/// The package's top: `cargo test` says it when the test runs.
fn top() -> String {
    std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned())
}

fn collect(dir: &Path, top: &Path, into: &mut Sources) {
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).expect("a readable folder").map(|e| e.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, top, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let name = path.strip_prefix(top).expect("below the top").display().to_string();
            into.insert(name, std::fs::read_to_string(&path).expect("UTF-8"));
        }
    }
}

fn tree() -> Sources {
    let top = top();
    let top = Path::new(&top);
    let mut sources = Sources::new();
    collect(&top.join("src"), top, &mut sources);
    collect(&top.join("tests"), top, &mut sources);
    assert!(sources.contains_key("src/lib.rs") && sources.len() > 20, "the tree was not read");
    sources
}

fn hold(rule: fn(&Sources) -> Vec<String>) {
    let wrong = rule(&tree());
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

mod the_tree {
    //! The rules, held against the tree as it is.

    use super::{adapters, documented, floors, hold, map, names, openings, printing, purity, sizes, top};

    #[test]
    fn imports_only_from_floors_below() {
        hold(floors);
    }
    #[test]
    fn picks_adapters_only_in_cli() {
        hold(adapters);
    }
    #[test]
    fn keeps_pure_modules_pure() {
        hold(purity);
    }
    #[test]
    fn prints_only_where_a_lost_reader_does_no_harm() {
        hold(printing);
    }
    #[test]
    fn says_first_what_each_file_is_for() {
        hold(openings);
    }
    #[test]
    fn stays_within_the_sizes() {
        hold(sizes);
    }
    #[test]
    fn has_names_that_say_something() {
        hold(names);
    }
    #[test]
    fn has_a_map_of_modules_alone() {
        hold(map);
    }
    #[test]
    fn is_told_as_it_is() {
        let page = std::fs::read_to_string(format!("{}/docs/architecture.md", top())).expect("the page");
        let wrong = documented(&page);
        assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    }
}

#[path = "architecture/bad.rs"]
mod bad_samples;
