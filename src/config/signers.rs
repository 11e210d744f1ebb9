//! Lines of OpenSSH's `allowed_signers`, as `ssh-keygen -Y verify` reads them: principals, options, a public key.

use chrono::{NaiveDateTime, TimeZone as _, Utc};

use crate::model::permission::{KeyError, PublicKey, Signer};
use crate::model::units::Timestamp;

/// The namespace of git's signatures.
const GIT: &str = "git";

/// The signers of a text, each fault with its line's number from 1 on.
pub(super) fn parse(text: &str) -> (Vec<Signer>, Vec<(usize, String)>) {
    let (mut signers, mut faults) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match signer(line) {
            Ok(signer) => signers.push(signer),
            Err(why) => faults.push((number + 1, why)),
        }
    }
    (signers, faults)
}

/// One line; a bare public key is taken too, with its comment for a name.
pub(super) fn signer(line: &str) -> Result<Signer, String> {
    let told = |error: KeyError| error.to_string();
    let (first, rest) = word(line);
    if is_key_type(first) {
        let key: PublicKey = line.parse().map_err(told)?;
        let comment: Vec<&str> = line.split_whitespace().skip(2).collect();
        let principals = if comment.is_empty() { key.fingerprint() } else { comment.join(" ") };
        return Ok(Signer { principals, key, valid_after: None, valid_before: None, for_git: true });
    }
    let principals = unquoted(first).to_owned();
    if principals.is_empty() || rest.is_empty() {
        return Err("write PRINCIPALS [OPTIONS] KEY, as in ssh-keygen's allowed_signers".to_owned());
    }
    let (next, after) = word(rest);
    let (options, key) = if is_key_type(next) { (Options::default(), rest) } else { (options(next)?, after) };
    let Options { valid_after, valid_before, for_git } = options;
    Ok(Signer { principals, key: key.parse().map_err(told)?, valid_after, valid_before, for_git })
}

/// Names that can only begin a key. Other types than those that can be verified are named by the key's own error.
fn is_key_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| word.starts_with(start))
        && !word.contains(['"', '=', ','])
}

/// The first word, where quotes keep spaces together, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        c.is_ascii_whitespace() && !quoted
    });
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (word, rest.trim_start())
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

struct Options {
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
    for_git: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { valid_after: None, valid_before: None, for_git: true }
    }
}

fn options(text: &str) -> Result<Options, String> {
    let mut options = Options::default();
    for option in outside_quotes(text) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = unquoted(value);
        match name.to_ascii_lowercase().as_str() {
            "namespaces" if !value.is_empty() => options.for_git = matches_list(GIT, value),
            "valid-after" => options.valid_after = Some(moment(value)?),
            "valid-before" => options.valid_before = Some(moment(value)?),
            "cert-authority" => {
                return Err("`cert-authority`: certificates are not verified here; name the keys themselves"
                    .to_owned());
            }
            _ => return Err(format!("{option:?} is neither an option of allowed_signers nor a key")),
        }
    }
    if let (Some(begin), Some(end)) = (options.valid_after, options.valid_before)
        && begin >= end
    {
        return Err(format!("its time ends at {end}, before it begins at {begin}"));
    }
    Ok(options)
}

/// The pieces between commas that stand outside of quotes.
fn outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

/// `YYYYMMDDZ` or `YYYYMMDDHHMM[SS]Z`. Without its `Z` ssh-keygen means the zone of whoever asks.
fn moment(text: &str) -> Result<Timestamp, String> {
    let wrong = || {
        format!(
            "{text:?} is no time that can be read here: write YYYYMMDDZ or YYYYMMDDHHMM[SS]Z, in UTC with its Z"
        )
    };
    let digits = text.strip_suffix(['Z', 'z']).ok_or_else(wrong)?;
    let filled = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        14 => digits.to_owned(),
        _ => return Err(wrong()),
    };
    let moment = NaiveDateTime::parse_from_str(&filled, "%Y%m%d%H%M%S").map_err(|_| wrong())?;
    Ok(Timestamp(Utc.from_utc_datetime(&moment).timestamp_millis()))
}

/// OpenSSH's lists of patterns: `*` and `?`, and `!` before what is kept out, which counts for more.
fn matches_list(text: &str, patterns: &str) -> bool {
    let mut found = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(text.as_bytes(), pattern.as_bytes()) => return false,
            Some(_) => {}
            None => found |= matches(text.as_bytes(), pattern.as_bytes()),
        }
    }
    found
}

fn matches(text: &[u8], pattern: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|n| text.get(n..).is_some_and(|t| matches(t, rest))),
        (Some((b'?', rest)), Some((_, text))) => matches(text, rest),
        (Some((letter, rest)), Some((first, text))) => letter == first && matches(text, rest),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";

    #[test]
    fn lines_are_read_as_ssh_keygen_reads_them() {
        let text = format!(
            "# our team\n\nada@example.org {KEY} laptop\n\
             \"bob@example.org,b@example.org\" namespaces=\"git,file\",valid-after=\"20240102Z\",valid-before=\"20250102030405Z\" {KEY}\n\
             eve namespaces=\"file\" {KEY}\n{KEY} a bare key\n"
        );
        let (signers, faults) = parse(&text);
        assert_eq!(faults, []);
        let names: Vec<&str> = signers.iter().map(|signer| signer.principals.as_str()).collect();
        assert_eq!(names, ["ada@example.org", "bob@example.org,b@example.org", "eve", "a bare key"]);
        let git: Vec<bool> = signers.iter().map(|signer| signer.for_git).collect();
        assert_eq!(git, [true, true, false, true]);
        let times = (signers[1].valid_after, signers[1].valid_before);
        let at = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string()).unwrap_or_default();
        assert_eq!(
            (at(times.0), at(times.1)),
            ("2024-01-02T00:00:00Z".into(), "2025-01-02T03:04:05Z".into())
        );
    }

    #[test]
    fn what_cannot_be_held_to_is_refused_with_its_line() {
        for (line, why) in [
            ("ada@example.org", "PRINCIPALS"),
            ("ada cert-authority KEY", "certificates are not verified here"),
            ("ada valid-before=\"20250102\" KEY", "with its Z"),
            ("ada valid-before=\"20251302Z\" KEY", "no time"),
            ("ada valid-after=\"20250102Z\",valid-before=\"20240102Z\" KEY", "before it begins"),
            ("ada namespace=\"git\" KEY", "neither an option"),
            ("ada namespaces=\"git\" ssh-ed25519 AAAA", "no OpenSSH public key"),
            ("ada namespaces=\"git\"", "is no public key"),
        ] {
            let (signers, faults) = parse(&format!("# one\n{}", line.replace("KEY", KEY)));
            assert!(signers.is_empty(), "{line}");
            assert!(faults.len() == 1 && faults[0].0 == 2 && faults[0].1.contains(why), "{line}: {faults:?}");
        }
    }

    #[test]
    fn patterns_match_as_opensshs() {
        for (list, matched) in [
            ("git", true),
            ("g*", true),
            ("?it", true),
            ("*,!git", false),
            ("file", false),
            ("gi", false),
            ("", false),
        ] {
            assert_eq!(matches_list("git", list), matched, "{list}");
        }
    }
}
