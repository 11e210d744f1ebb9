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

/// The key that hides env values, ready to hash with. It comes from the reconciler's own settings; it has neither Debug nor
/// Serialize.
#[derive(Clone)]
pub struct HashKey {
    hmac: Hmac<Sha256>,
    id: KeyedHash,
}

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
        // A shorter key counts as one of a whole block that ends in zeros (RFC 2104).
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(&key);
        let hmac = Hmac::new(&block.into());
        let id = short(mac(&hmac, b"trueup key id"));
        Self { hmac, id }
    }

    pub fn hide(&self, value: &str) -> KeyedHash {
        short(self.mac(value.as_bytes()))
    }

    /// A proof that whoever wrote these bytes had the key: the whole HMAC-SHA256, in hex.
    pub fn seal(&self, bytes: &[u8]) -> String {
        hex(&self.mac(&[b"trueup seal ", bytes].concat()))
    }

    /// Names this key without revealing it: a snapshot says with which key its hashes were made, so that hashes of
    /// another key are "cannot be compared" and never mistaken for drift.
    pub fn id(&self) -> KeyedHash {
        self.id.clone()
    }

    fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        mac(&self.hmac, bytes)
    }
}

fn mac(hmac: &Hmac<Sha256>, bytes: &[u8]) -> [u8; 32] {
    let mut mac = hmac.clone();
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

fn short(mac: [u8; 32]) -> KeyedHash {
    KeyedHash(hex(&mac[..8]))
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
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
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

    /// What is kept was hidden by earlier releases: test case 2 of RFC 4231, whose key is shorter than a block.
    #[test]
    fn a_value_is_hidden_by_hmac_sha256() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let hidden = HashKey::new(key).hide("what do ya want for nothing?");
        assert_eq!(hidden.to_string(), "5bdcc146bf60754e");
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
