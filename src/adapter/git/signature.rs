//! A commit object and its signature, taken apart as git does it (`git verify-commit`), and stricter where git is lenient.
//!
//! A signature covers the object without its `gpgsig` header. So that nothing else can stand where another reader looks
//! for parents or authors, the headers must come in git's own order.

use git2::Oid;

use crate::model::names::Revision;
use crate::model::permission::{Signature, SignedCommit};
use crate::model::units::Timestamp;

use super::sshsig;

const NAMESPACE: &str = "git";
const HEADER: &str = "gpgsig";
/// Signatures of repositories with SHA-256 names; git leaves them out of what is signed.
const OTHER_HEADER: &str = "gpgsig-sha256";

/// The parents as every reader of git's finds them: the lines after the tree. Neither grafts nor replacements count.
pub(super) fn parents(object: &[u8]) -> Vec<Oid> {
    let mut lines = object.split(|byte| *byte == b'\n').skip(1);
    let parent = |line: &[u8]| {
        let hex = std::str::from_utf8(line.strip_prefix(b"parent ")?).ok()?;
        Oid::from_str(hex).ok().filter(|_| hex.len() == 40)
    };
    std::iter::from_fn(|| lines.next().and_then(parent)).collect()
}

/// What the commit says of itself and who signed it.
pub(super) fn signed_commit(id: Oid, object: &[u8]) -> SignedCommit {
    let (head, message) = split(object);
    let headers = headers(head);
    let value = |name: &str| {
        let line = headers.iter().find(|header| header.name == name.as_bytes()).map(|header| header.value());
        String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
    };
    let (author, _) = person(&value("author"));
    let (committer, committed) = person(&value("committer"));
    let summary = message.split(|byte| *byte == b'\n').find(|line| !line.is_empty()).unwrap_or_default();
    let signature = match payload(object, &headers) {
        Err(why) => Signature::Wrong(why),
        Ok((_, None)) => Signature::None,
        // Without a date nobody could say whether the key was trusted then.
        Ok((_, Some(_))) if committed.is_none() => {
            Signature::Wrong("it does not say when it was committed".into())
        }
        Ok((payload, Some(armored))) => check(&armored, &payload),
    };
    SignedCommit {
        revision: Revision::new(id.to_string()),
        author,
        committer,
        committed: committed.unwrap_or_default(),
        summary: String::from_utf8_lossy(summary).into_owned(),
        merge: parents(object).len() > 1,
        signature,
    }
}

fn check(armored: &[u8], payload: &[u8]) -> Signature {
    let begins = |text: &str| armored.starts_with(text.as_bytes());
    if begins("-----BEGIN PGP ") {
        return Signature::Wrong(
            "it has a PGP signature, and only SSH signatures are trusted here".to_owned(),
        );
    }
    if begins("-----BEGIN SIGNED MESSAGE-----") {
        return Signature::Wrong(
            "it has an X.509 signature, and only SSH signatures are trusted here".to_owned(),
        );
    }
    match sshsig::verify(armored, NAMESPACE, payload) {
        Ok(key) => Signature::By(key),
        Err(why) => Signature::Wrong(why),
    }
}

/// A header with the lines that continue it.
struct Header<'a> {
    name: &'a [u8],
    /// With its name and its last line break.
    lines: &'a [u8],
}

impl<'a> Header<'a> {
    fn value(&self) -> &'a [u8] {
        let value = self.lines.get(self.name.len() + 1..).unwrap_or_default();
        value.strip_suffix(b"\n").unwrap_or(value)
    }
}

/// The headers, and the message after the first empty line.
fn split(object: &[u8]) -> (&[u8], &[u8]) {
    match object.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => {
            let (head, rest) = object.split_at(at + 1);
            (head, rest.get(1..).unwrap_or_default())
        }
        None => (object, &[]),
    }
}

fn headers(head: &[u8]) -> Vec<Header<'_>> {
    let mut headers = Vec::new();
    let mut rest = head;
    while !rest.is_empty() {
        // A line that begins with a space goes on with the header before it.
        let end = (0..rest.len())
            .find(|&at| rest.get(at) == Some(&b'\n') && rest.get(at + 1) != Some(&b' '))
            .map_or(rest.len(), |at| at + 1);
        let (lines, after) = rest.split_at(end);
        let name = lines.split(|byte| matches!(byte, b' ' | b'\n')).next().unwrap_or_default();
        headers.push(Header { name, lines });
        rest = after;
    }
    headers
}

/// What a signature must cover, and the signature without the spaces that continue its lines.
fn payload(object: &[u8], headers: &[Header<'_>]) -> Result<(Vec<u8>, Option<Vec<u8>>), String> {
    if let Some(why) = strange(headers) {
        return Err(format!("its object is malformed: {why}"));
    }
    let mut covered = Vec::with_capacity(object.len());
    let mut signature = None;
    for header in headers {
        if header.name == HEADER.as_bytes() {
            let lines = header.value().split(|byte| *byte == b'\n').enumerate();
            let lines = lines.map(|(n, line)| if n == 0 { line } else { line.get(1..).unwrap_or_default() });
            let lines: Vec<&[u8]> = lines.collect();
            signature = Some(lines.join(&b'\n'));
        } else if header.name != OTHER_HEADER.as_bytes() {
            covered.extend(header.lines);
        }
    }
    let length: usize = headers.iter().map(|header| header.lines.len()).sum();
    covered.extend(object.get(length..).unwrap_or_default());
    Ok((covered, signature))
}

/// How the headers depart from what git writes.
fn strange(headers: &[Header<'_>]) -> Option<String> {
    let names: Vec<&[u8]> = headers.iter().map(|header| header.name).collect();
    let parents = names.iter().skip(1).take_while(|name| **name == b"parent").count();
    let fixed: [(&[u8], usize); 3] = [(b"tree", 0), (b"author", parents + 1), (b"committer", parents + 2)];
    for (name, at) in fixed {
        if names.get(at) != Some(&name) {
            return Some(format!(
                "its header {:?} is not where git writes it",
                String::from_utf8_lossy(name)
            ));
        }
    }
    let id =
        |header: &Header<'_>| header.value().len() == 40 && header.value().iter().all(u8::is_ascii_hexdigit);
    if !headers.iter().take(parents + 1).all(id) {
        return Some("its tree or a parent is no object's name".to_owned());
    }
    for (n, name) in names.iter().enumerate().skip(parents + 3) {
        let once = fixed.iter().any(|(fixed, _)| fixed == name) || *name == b"parent";
        let again = name.starts_with(HEADER.as_bytes()) && names.iter().take(n).any(|before| before == name);
        let known = !name.starts_with(HEADER.as_bytes())
            || *name == HEADER.as_bytes()
            || *name == OTHER_HEADER.as_bytes();
        if once || again || !known || name.is_empty() {
            return Some(format!("the header {:?} does not belong there", String::from_utf8_lossy(name)));
        }
    }
    None
}

/// `Ada <ada@example.org> 1700000000 +0100` as a name and a moment.
fn person(line: &str) -> (String, Option<Timestamp>) {
    let Some(end) = line.rfind('>') else { return (line.to_owned(), None) };
    let (name, when) = line.split_at(end + 1);
    let seconds = when.split_whitespace().next().and_then(|text| text.parse::<i64>().ok());
    (name.to_owned(), seconds.map(|seconds| Timestamp(seconds.saturating_mul(1000))))
}
