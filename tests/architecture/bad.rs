//! Every house rule on sources that break it, and on sources that only look as if they did.

use super::*;

fn one(path: &str, text: &str) -> Sources {
    [(path.to_owned(), format!("//! A sample of the tests.\n{text}\n"))].into()
}

/// What `rule` says of a file; the number of complaints is part of the expectation.
fn complaints(rule: fn(&Sources) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
    rule(&one(path, text))
}

#[track_caller]
fn caught(rule: fn(&Sources) -> Vec<String>, path: &str, text: &str, part: &str) {
    let wrong = complaints(rule, path, text);
    assert!(wrong.iter().any(|w| w.contains(part)), "{path}: {text}\nexpected {part:?}, got {wrong:?}");
}

#[track_caller]
fn clean(rule: fn(&Sources) -> Vec<String>, path: &str, text: &str) {
    let wrong = complaints(rule, path, text);
    assert!(wrong.is_empty(), "{path}: {text}\n{wrong:?}");
}

#[test]
fn an_import_from_above_or_beside_is_caught_however_it_is_written() {
    for (path, text, part) in [
        ("src/model/app.rs", "use crate::plan::Plan;", "imports plan (floor 2)"),
        ("src/plan/mod.rs", "use crate::adapter::git;", "imports adapter (floor 5)"),
        ("src/endpoints/mod.rs", "use crate::diff::Drift;", "imports diff (floor 1)"),
        ("src/config/mod.rs", "use crate::{model::app::App, ports::Clock};", "imports ports (floor 1)"),
        ("src/config/mod.rs", "use crate::{model::{app, host}, cli::{self as c}};", "imports cli (floor 7)"),
        ("src/output/plan.rs", "use super::super::cli;", "imports cli"),
        ("src/output/plan.rs", "use super::{super::control::World, text};", "imports control"),
        ("src/output/mod.rs", "use super::sim::SimWorld;", "imports sim"),
        ("src/output/mod.rs", "mod inner { use super::super::sim::SimWorld; }", "imports sim"),
        ("src/diff/mod.rs", "fn f() { let x = crate::apply::run(); }", "imports apply"),
        ("src/diff/mod.rs", "fn f(x: &crate::observe::X) -> Vec<crate::model::A> { g() }", "imports observe"),
        ("src/diff/mod.rs", "use crate :: /* sly */ observe;", "imports observe"),
        ("src/diff/mod.rs", "#[cfg(test)] mod tests { use crate::sim::SimWorld; }", "imports sim"),
        ("src/model/x.rs", "macro_rules! m { () => { $crate::cli::main() } }", "imports cli"),
        ("src/model/x.rs", "use crate::*;", "the whole crate"),
        ("src/model/x.rs", "use super::super::*;", "the whole crate"),
        ("src/model/x.rs", "use crate as c;", "the whole crate"),
        ("src/shelf/mod.rs", "fn f() {}", "shelf has no floor"),
        ("src/cli/mod.rs", "use crate::shelf::f;", "shelf has no floor"),
        ("src/main.rs", "use trueup::shelf;", "shelf has no floor"),
        ("src/lib.rs", "pub use crate::model::app::App;", "lib.rs (floor 0) imports model"),
    ] {
        caught(floors, path, text, part);
    }
}

#[test]
fn an_import_from_below_is_no_offence() {
    for (path, text) in [
        ("src/plan/mod.rs", "use crate::model::{app::App, plan::*};\nuse crate::diff::{self, x as crate_x};"),
        (
            "src/output/plan.rs",
            "use super::text;\nuse super::super::model::plan::Plan;\nuse crate::output::x;",
        ),
        ("src/model/x.rs", "// use crate::cli;\n/* crate::plan */ const X: &str = \"crate::cli::main\";"),
        (
            "src/model/x.rs",
            "const X: &str = r#\"a \" crate::cli\"#; const C: char = '\"'; fn f<'a>(x: &'a str) {}",
        ),
        (
            "src/output/mod.rs",
            "mod inner { use super::x; mod deeper { use super::super::y; } }\nuse self::z;",
        ),
        ("src/main.rs", "fn main() -> ExitCode { trueup::cli::main() }"),
        ("src/model/x.rs", "pub(crate) fn f() {}\npub(super) struct S(pub(crate) u8);"),
        ("src/cli/mod.rs", "use crate::{adapter::git, sim::SimWorld, control, model};"),
    ] {
        clean(floors, path, text);
    }
}

#[test]
fn an_adapter_named_outside_cli_is_caught() {
    caught(adapters, "src/http/mod.rs", "use crate::adapter::docker;", "only cli/ may name adapter");
    caught(adapters, "src/guard/mod.rs", "use crate::{model, sim::SimWorld};", "only cli/ may name sim");
    caught(adapters, "src/adapter/x.rs", "use crate::sim;", "only cli/ may name sim");
    clean(adapters, "src/cli/world.rs", "use crate::adapter::docker;");
    clean(adapters, "src/adapter/docker.rs", "use super::clock; use crate::adapter::git;");
}

#[test]
fn what_is_not_pure_is_caught() {
    for (text, part) in [
        ("async fn f() {}", "async"),
        ("fn f() { x.await; }", "async"),
        ("use tokio::time::sleep;", "async"),
        ("use async_trait::async_trait;", "async"),
        ("fn f() { std::time::SystemTime::now(); }", "the clock"),
        ("use std::time::{Duration, Instant};", "the clock"),
        ("fn f() { chrono::Utc::now(); }", "the clock"),
        ("use chrono::Utc;\nfn f() { Utc::now(); }", "the clock"),
        ("fn f() { fastrand::u64(..); }", "randomness"),
        ("use std::{env, fmt};", "the environment"),
        ("fn f() { std::env::var(\"X\"); }", "the environment"),
        ("use std::fs::File;", "files"),
        ("use std::net::{IpAddr, TcpStream};", "the network"),
        ("fn f() { tracing::info!(\"x\"); }", "logging"),
        ("use tracing::{debug, info};", "logging"),
        ("fn f() { println!(\"x\"); }", "it prints"),
        ("fn f() { eprint!(\"x\"); }", "it prints"),
        ("use std::collections::{BTreeMap, HashMap};", "BTreeMap"),
        ("fn f(x: &std::collections::HashSet<u8>) {}", "BTreeSet"),
        ("use git2::Repository;", "the world"),
    ] {
        for module in PURE {
            caught(purity, &format!("src/{module}/x.rs"), text, part);
        }
        clean(purity, "src/adapter/x.rs", text);
    }
}

#[test]
fn what_only_looks_impure_is_let_be() {
    for text in [
        "/// Instant and HashMap, async: words of a comment.\nfn f() {}",
        "const X: &str = \"println! HashMap std::env\";",
        "struct S { env: u8, log: u8, print: u8 }\nfn f(s: &S) -> u8 { s.env }",
        "use std::time::Duration;\nuse std::net::IpAddr;\nuse chrono::{DateTime, Utc};",
        "#[cfg(test)]\nmod tests { use std::collections::HashMap; fn f() { println!(\"x\"); std::env::var(\"X\"); } }",
    ] {
        clean(purity, "src/plan/x.rs", text);
    }
    let mut sources = one("src/plan/mod.rs", "#[cfg(test)]\nmod samples;\nmod order;");
    sources.extend(one("src/plan/samples.rs", "use std::collections::HashMap;"));
    assert_eq!(purity(&sources), Vec::<String>::new(), "a file of tests alone");
    sources.extend(one("src/plan/order.rs", "use std::collections::HashMap;"));
    assert_eq!(purity(&sources).len(), 1, "its sibling is none");
    let code_after = "#[cfg(test)]\nmod tests { fn f() {} }\nfn g() { println!(\"x\"); }";
    caught(purity, "src/plan/x.rs", code_after, "it prints");
}

#[test]
fn a_macro_that_panics_where_the_reader_is_gone_is_caught() {
    for text in ["fn f() { println!(\"x\"); }", "fn f() {\n    eprint!(\"x\");\n}"] {
        caught(printing, "src/cli/x.rs", text, "take those of cli::say");
    }
    clean(printing, "src/cli/x.rs", "fn f() { outln!(\"println!\"); } // println!()");
    clean(printing, "src/cli/x.rs", "#[cfg(test)]\nmod tests { fn f() { println!(\"x\"); } }");
}

#[test]
fn a_file_without_its_purpose_is_caught() {
    for text in ["use x;\n", "", "// A comment.\n", "//!\n", "//! x\n", "\n//! Too late to say it.\n"] {
        let sources: Sources = [("src/x.rs".to_owned(), text.to_owned())].into();
        assert_eq!(openings(&sources).len(), 1, "{text:?}");
    }
    clean(openings, "tests/x.rs", "");
}

#[test]
fn a_long_file_is_caught_and_its_tests_are_not_counted() {
    let lines = |n: usize| "const X: u8 = 1;\n".repeat(n);
    let tests = |n: usize| format!("#[cfg(test)]\nmod tests {{\n{}}}", lines(n));
    caught(sizes, "src/plan/x.rs", &lines(MOST_LINES - 1), "601 lines");
    clean(sizes, "src/plan/x.rs", &lines(MOST_LINES - 2));
    clean(sizes, "src/plan/x.rs", &(lines(100) + &tests(MOST_LINES)));
    caught(sizes, "src/plan/x.rs", &(tests(10) + "\n" + &lines(MOST_LINES)), "lines without tests");
    let mut sources = one("src/plan/mod.rs", "#[cfg(test)] mod tests;");
    sources.extend(one("src/plan/tests.rs", &lines(MOST_LINES)));
    assert_eq!(sizes(&sources), Vec::<String>::new(), "a file of tests alone");
    caught(sizes, "src/main.rs", &lines(MOST_LINES_OF_MAIN), "more than 20 lines");
    clean(sizes, "src/main.rs", &lines(MOST_LINES_OF_MAIN - 2));
}

#[test]
fn a_name_that_fits_everything_is_caught() {
    for bad in EMPTY_NAMES {
        caught(names, &format!("src/plan/{bad}.rs"), "", bad);
        caught(names, &format!("src/{bad}/mod.rs"), "", bad);
        caught(names, &format!("tests/{bad}/mod.rs"), "", bad);
    }
    clean(names, "src/plan/commons.rs", "");
}

#[test]
fn a_map_that_does_more_than_name_modules_is_caught() {
    caught(map, "src/lib.rs", "pub mod model;\npub use model::app::App;", "`use`");
    caught(map, "src/lib.rs", "pub mod shelf;", "`shelf`");
    caught(map, "src/lib.rs", "extern crate self as other;", "`extern`");
    caught(map, "src/model/mod.rs", "", "src/lib.rs: missing");
    let mut sources = one("src/lib.rs", "pub mod model;");
    sources.extend(one("src/plan/mod.rs", ""));
    assert_eq!(map(&sources), ["src/lib.rs: plan has files and is not declared"]);
    clean(map, "src/lib.rs", "pub mod model;\npub mod cli;");
}

#[test]
fn a_page_that_tells_other_floors_is_caught() {
    let mut page = String::from("| floor | folder | what |\n|---|---|---|\n");
    for (name, floor) in FLOORS {
        page += &format!("| {floor} | `{name}/` | x |\n");
    }
    assert_eq!(documented(&page), Vec::<String>::new());
    assert_eq!(documented(&page.replace("| 2 | `plan/`", "| 3 | `plan/`")).len(), 1, "another floor");
    assert_eq!(documented(&page.replace("| 2 | `plan/` | x |\n", "")).len(), 1, "a floor left out");
    assert_eq!(documented(&(page + "| 9 | `attic/` | x |\n")).len(), 1, "a floor too many");
}
