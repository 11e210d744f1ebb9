//! Names for what has other ones: of apps from containers and services, and which variables look like secrets.

use std::collections::BTreeSet;

use crate::model::names::AppName;

/// The text as an app's name: lower case, `-` for everything else, at most 40 characters.
pub(super) fn app_name(text: &str) -> AppName {
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
    }
    name.truncate(40);
    let name = name.trim_end_matches('-');
    #[allow(clippy::expect_used, reason = "a constant that is a valid name")]
    name.parse().unwrap_or_else(|_| "app".parse().expect("a valid name"))
}

/// The name with the lowest number that nobody has.
pub(super) fn free(wanted: &AppName, taken: &BTreeSet<AppName>) -> AppName {
    if !taken.contains(wanted) {
        return wanted.clone();
    }
    let base: String = wanted.as_str().chars().take(36).collect();
    (2u32..)
        .map(|n| app_name(&format!("{base}-{n}")))
        .find(|name| !taken.contains(name))
        .unwrap_or_else(|| wanted.clone())
}

const SECRET_WORDS: [&str; 15] = [
    "PASS",
    "PWD",
    "TOKEN",
    "SECRET",
    "KEY",
    "CREDENTIAL",
    "AUTH",
    "PRIVATE",
    "CERT",
    "DSN",
    "SALT",
    "SIGN",
    "COOKIE",
    "SESSION",
    "CONNECTION_STRING",
];

/// Whether a variable's name or value looks like one that should not stand plain in git.
pub fn looks_secret(name: &str, value: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let password_in_url = value.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    });
    SECRET_WORDS.iter().any(|word| upper.contains(word)) || password_in_url || value.contains("-----BEGIN")
}
