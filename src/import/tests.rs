//! What is written reads back as what it was, whatever is in it.

use proptest::prelude::*;

use super::toml::{Page, comment, inline, key, string, strings};
use super::{looks_secret, names};

fn parsed(text: &str) -> ::toml::Table {
    text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"))
}

proptest! {
    #[test]
    fn every_key_and_value_reads_back(name in ".*", value in "\\PC*|.*", more in proptest::collection::vec(".*", 0..4)) {
        let mut page = Page::default();
        page.comment(&value);
        page.aside(&name);
        // A key of the table's own name would be a second `t`.
        if name != "t" {
            page.set(&name, string(&value));
        }
        page.table_with("[t]", std::slice::from_ref(&value), &[
            (name.clone(), strings(more.iter().map(String::as_str))),
            (format!("{name}x"), inline(&[(value.clone(), string(&name))])),
        ]);
        let table = parsed(&page.text());
        if name != "t" {
            prop_assert_eq!(table[&name].as_str(), Some(value.as_str()));
        }
        let inner = table["t"].as_table().expect("a table");
        let list: Vec<&str> = inner[&name].as_array().expect("a list").iter().filter_map(|v| v.as_str()).collect();
        prop_assert_eq!(list, more.iter().map(String::as_str).collect::<Vec<_>>());
        prop_assert_eq!(inner[&format!("{name}x")][&value].as_str(), Some(name.as_str()));
    }

    #[test]
    fn a_comment_is_one_line_and_nothing_else(text in ".*|(?s).*") {
        prop_assert_eq!(parsed(&format!("{}\na = 1\n", comment(&text))).len(), 1);
        prop_assert!(!key(&text).is_empty());
    }

    #[test]
    fn every_text_becomes_an_apps_name(text in "(?s).*") {
        prop_assert!(!names::app_name(&text).as_str().is_empty());
    }
}

#[test]
fn what_looks_like_a_secret_is_known_by_name_or_value() {
    for (name, value) in [
        ("DB_PASSWORD", "x"),
        ("api_token", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("DATABASE_URL", "postgres://app:hunter2@db/app"),
        ("PEM", "-----BEGIN PRIVATE KEY-----"),
    ] {
        assert!(looks_secret(name, value), "{name}");
    }
    for (name, value) in [("TZ", "UTC"), ("URL", "https://example.org/a:b@c"), ("JAVA_OPTS", "-Xmx2g")] {
        assert!(!looks_secret(name, value), "{name}");
    }
}
