//! What hides values: live env values are keyed hashes from the moment of observation (G1).

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use url::Url;

/// The first 16 hex digits of HMAC-SHA256(key, value): equal values compare equal, and no value can be read back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyedHash(String);

/// SHA-256 of a file's bytes, in hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(String);

/// The key that hides env values. It comes from the reconciler's own settings; it has neither Debug nor Serialize.
#[derive(Clone)]
pub struct HashKey([u8; 32]);

/// Variables in the clear, read once because a person asked for them to be written into files. It has neither Debug nor
/// Serialize (G1).
#[derive(Clone, Default)]
pub struct PlainEnv(std::collections::BTreeMap<String, String>);

impl PlainEnv {
    /// Docker's lines `NAME=value`.
    pub fn of_lines(lines: impl IntoIterator<Item = String>) -> Self {
        let pairs = lines.into_iter().map(|line| {
            let (name, value) = line.split_once('=').unwrap_or((&line, ""));
            (name.to_owned(), value.to_owned())
        });
        Self(pairs.collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl HashKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    pub fn hide(&self, value: &str) -> KeyedHash {
        KeyedHash(hex(&self.mac(value.as_bytes())[..8]))
    }

    /// A proof that whoever wrote these bytes had the key: the whole HMAC-SHA256, in hex.
    pub fn seal(&self, bytes: &[u8]) -> String {
        hex(&self.mac(&[b"trueup seal ", bytes].concat()))
    }

    /// Names this key without revealing it: a snapshot says with which key its hashes were made, so that hashes of
    /// another key are "cannot be compared" and never mistaken for drift.
    pub fn id(&self) -> KeyedHash {
        KeyedHash(hex(&self.mac(b"trueup key id")[..8]))
    }

    fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        // HMAC accepts a key of any length, so this arm is never taken; hashing nothing would hide nothing less.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 32] };
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }
}

impl ContentHash {
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex(&Sha256::digest(bytes)))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Twelve digits, for people and labels.
    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(12)]
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn hex_text(text: &str, digits: usize) -> Result<String, String> {
    if text.len() == digits && text.bytes().all(|c| c.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("{text:?} is not a hash of {digits} hex digits"))
    }
}

impl FromStr for KeyedHash {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        hex_text(text, 16).map(Self)
    }
}

impl FromStr for ContentHash {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        hex_text(text, 64).map(Self)
    }
}

impl fmt::Display for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serialize_as_text!(KeyedHash, ContentHash);

/// An address as it may be printed (G1): without user, password, query and fragment. The user of an ssh address stays.
pub fn shown_url(text: &str) -> String {
    if !text.contains(['@', '?', '#']) || text.starts_with(['/', '.']) || text.starts_with("file:") {
        return text.to_owned();
    }
    match Url::parse(text) {
        Ok(mut url) if url.has_host() => {
            // Only an address without a host refuses these.
            let _ = url.set_password(None);
            if url.scheme() != "ssh" {
                let _ = url.set_username("");
            }
            url.set_query(None);
            url.set_fragment(None);
            url.to_string()
        }
        // No address of a kind that is taken: what could be a password before the last @ is left out all the same.
        Ok(_) | Err(_) => match text.rsplit_once('@') {
            Some((user, rest)) if user.contains(':') => rest.to_owned(),
            Some(_) | None => text.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_without_what_opens_it() {
        for (text, shown) in [
            ("https://ci:s3cr3t@git.example/fleet.git", "https://git.example/fleet.git"),
            ("https://t0ken@git.example:8443/fleet.git", "https://git.example:8443/fleet.git"),
            ("https://git.example/fleet.git?private_token=s3cr3t", "https://git.example/fleet.git"),
            ("https:ci:s3cr3t@git.example/fleet.git", "https://git.example/fleet.git"),
            ("https://ci:s3/cr3t@git.example/fleet.git", "git.example/fleet.git"),
            ("ci:s3cr3t@git.example:fleet.git", "git.example:fleet.git"),
            ("ssh://git:s3cr3t@git.example/fleet.git", "ssh://git@git.example/fleet.git"),
            ("ssh://git@git.example/fleet.git", "ssh://git@git.example/fleet.git"),
            ("git@git.example:fleet.git", "git@git.example:fleet.git"),
            ("https://git.example/fleet.git", "https://git.example/fleet.git"),
            ("/srv/a:b@c/fleet", "/srv/a:b@c/fleet"),
            ("file:///srv/a@b", "file:///srv/a@b"),
        ] {
            assert_eq!(shown_url(text), shown);
        }
    }

    #[test]
    fn a_hidden_value_compares_but_does_not_show() {
        let (key, other) = (HashKey::new([7; 32]), HashKey::new([8; 32]));
        assert_eq!(key.hide("s3cret"), key.hide("s3cret"));
        assert_ne!(key.hide("s3cret"), other.hide("s3cret"));
        assert_ne!(key.id(), other.id());
        assert!(!key.hide("s3cret").to_string().contains("s3cret"));
    }
}
