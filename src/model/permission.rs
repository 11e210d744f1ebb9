//! Who may change what is enforced (F0, F1): the mode, the trusted keys, and what a commit's signature is worth to them.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::names::Revision;
use super::units::Timestamp;

/// What a commit needs before it is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// To be the head of the branch: the forge's protection of it is trusted, and nothing is verified (F0).
    #[default]
    Branch,
    /// That it, and every other commit since the enforced revision, is signed by a trusted key (F1).
    Signed,
}

impl Mode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Signed => "signed",
        }
    }
}

/// The `[permission]` section of the reconciler's own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionSettings {
    pub mode: Mode,
    pub signers: Vec<Signer>,
    /// Keys that permit nothing, whatever `signers` say.
    pub revoked: BTreeSet<PublicKey>,
    /// Files that the keys were read from: none may lie in the config repository, where a push would choose who may push.
    pub files: Vec<PathBuf>,
    /// A head with more commits since the enforced revision is held: nobody looks through so many.
    pub most_commits: usize,
}

/// Commits of a year of a busy config repository.
pub const MOST_COMMITS: usize = 10_000;

impl Default for PermissionSettings {
    fn default() -> Self {
        let (signers, revoked, files) = (Vec::new(), BTreeSet::new(), Vec::new());
        Self { mode: Mode::Branch, signers, revoked, files, most_commits: MOST_COMMITS }
    }
}

/// One line of OpenSSH's `allowed_signers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// As written; git does not compare them with a commit's author, and neither do we: the key counts.
    pub principals: String,
    pub key: PublicKey,
    pub valid_after: Option<Timestamp>,
    /// The last moment.
    pub valid_before: Option<Timestamp>,
    /// `namespaces` lets it sign for git; `true` where there is none.
    pub for_git: bool,
}

/// An OpenSSH public key, by its encoded form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    algorithm: String,
    blob: Vec<u8>,
}

/// Why a text is no public key that can be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub String);

/// Kinds of keys whose signatures can be verified.
pub const ALGORITHMS: [&str; 6] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

impl PublicKey {
    /// From the encoded form, as it stands in a signature.
    pub fn from_blob(blob: &[u8]) -> Result<Self, KeyError> {
        let algorithm = first_string(blob).and_then(|name| std::str::from_utf8(name).ok());
        let algorithm = algorithm.ok_or_else(|| KeyError("this is no OpenSSH public key".to_owned()))?;
        if algorithm.contains("-cert-v0") {
            return Err(KeyError(format!(
                "{algorithm} is a certificate, and those are not verified here: name the key itself"
            )));
        }
        if !ALGORITHMS.contains(&algorithm) {
            return Err(KeyError(format!(
                "keys of type {algorithm:?} cannot be verified here; use one of {}",
                ALGORITHMS.join(", ")
            )));
        }
        Ok(Self { algorithm: algorithm.to_owned(), blob: blob.to_owned() })
    }

    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.blob)))
    }
}

/// A length in four bytes, and so many bytes: how SSH writes texts.
fn first_string(blob: &[u8]) -> Option<&[u8]> {
    let length = u32::from_be_bytes(blob.get(..4)?.try_into().ok()?);
    blob.get(4..)?.get(..usize::try_from(length).ok()?)
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.fingerprint(), self.algorithm)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    /// `ssh-ed25519 AAAA…`, with or without a comment behind it.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut words = text.split_whitespace();
        let (Some(algorithm), Some(encoded)) = (words.next(), words.next()) else {
            return Err(KeyError(format!("{text:?} is no public key: write its type and its base64 text")));
        };
        let blob = STANDARD
            .decode(encoded)
            .map_err(|_| KeyError(format!("the key after {algorithm:?} is not base64: it may be cut")))?;
        let key = Self::from_blob(&blob)?;
        if key.algorithm != algorithm {
            return Err(KeyError(format!("this is a key of type {}, not {algorithm:?}", key.algorithm)));
        }
        Ok(key)
    }
}

/// What a commit's own signature says, whoever is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    None,
    /// It is this very commit's, made with this key for git.
    By(PublicKey),
    /// There is something like a signature, and it proves nothing: why.
    Wrong(String),
}

/// A commit on its way to be enforced, and who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCommit {
    pub revision: Revision,
    /// `Ada <ada@example.org>`.
    pub author: String,
    pub committer: String,
    /// As the commit says; whoever makes a commit may write any date.
    pub committed: Timestamp,
    pub summary: String,
    /// It has more than one parent.
    pub merge: bool,
    pub signature: Signature,
}

/// What becomes of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Signed { principals: String, key: PublicKey },
    Refused(String),
}

impl PermissionSettings {
    /// Whether a trusted key vouches for the commit (F1). A key's time must hold at the commit's own date, as git asks,
    /// and at `now` as well: an expired key permits nothing new, whatever date a commit claims.
    pub fn judge(&self, commit: &SignedCommit, now: Timestamp) -> Verdict {
        let key = match &commit.signature {
            Signature::None => return Verdict::Refused("it is not signed".to_owned()),
            Signature::Wrong(why) => return Verdict::Refused(why.clone()),
            Signature::By(key) => key,
        };
        if self.revoked.contains(key) {
            return Verdict::Refused(format!("it is signed by {key}, which is revoked"));
        }
        let mut why = format!("it is signed by {key}, which is no trusted key");
        for signer in self.signers.iter().filter(|signer| signer.key == *key) {
            match signer.refuses(commit.committed, now) {
                None => {
                    let principals = signer.principals.clone();
                    return Verdict::Signed { principals, key: key.clone() };
                }
                Some(reason) => why = format!("it is signed by {key} of {}, {reason}", signer.principals),
            }
        }
        Verdict::Refused(why)
    }
}

impl Signer {
    fn refuses(&self, committed: Timestamp, now: Timestamp) -> Option<String> {
        if !self.for_git {
            return Some("which is trusted for other things than git (namespaces)".to_owned());
        }
        let (first, last) = (committed.min(now), committed.max(now));
        if let Some(begin) = self.valid_after.filter(|begin| first < *begin) {
            return Some(format!("which is not trusted before {begin}"));
        }
        self.valid_before
            .filter(|end| last > *end)
            .map(|end| format!("whose trust ended at {end} (the commit says {committed})"))
    }
}

/// How the enforced revision got its leave.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permitted {
    /// By being the head in mode `branch`.
    #[default]
    Branch,
    /// Every commit since the revision before it is signed by a trusted key.
    Signed,
    /// By `trueup trust`.
    Named,
    /// By `trueup apply --break-glass`.
    BrokenGlass { reason: String },
}

/// Leave for one revision without the signatures it needs, for a while (F1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenGlass {
    pub revision: Revision,
    pub reason: String,
    pub at: Timestamp,
    pub until: Timestamp,
}

/// How permission stands, for `status` and reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionStanding {
    pub mode: Mode,
    /// How the enforced revision got its leave.
    pub by: Permitted,
    /// A broken glass in force.
    pub glass: Option<BrokenGlass>,
}

impl PermissionStanding {
    /// Whether keys or a person vouch for what is enforced.
    pub const fn verified(&self) -> bool {
        match (self.mode, &self.by) {
            (Mode::Signed, Permitted::Signed | Permitted::Named) => true,
            (Mode::Signed, Permitted::Branch | Permitted::BrokenGlass { .. }) | (Mode::Branch, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> PublicKey {
        let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
        blob.extend([seed; 32]);
        PublicKey::from_blob(&blob).expect("a key")
    }

    fn commit(signature: Signature, committed: i64) -> SignedCommit {
        SignedCommit {
            revision: Revision::new("a".repeat(40)),
            author: "Ada <ada@example.org>".to_owned(),
            committer: "Ada <ada@example.org>".to_owned(),
            committed: Timestamp(committed),
            summary: "a change".to_owned(),
            merge: false,
            signature,
        }
    }

    fn signer(key: PublicKey) -> Signer {
        let principals = "ada@example.org".to_owned();
        Signer { principals, key, valid_after: None, valid_before: None, for_git: true }
    }

    fn settings(signers: Vec<Signer>) -> PermissionSettings {
        PermissionSettings { mode: Mode::Signed, signers, ..PermissionSettings::default() }
    }

    fn refused(settings: &PermissionSettings, commit: &SignedCommit, now: i64) -> String {
        match settings.judge(commit, Timestamp(now)) {
            Verdict::Refused(why) => why,
            Verdict::Signed { .. } => "permitted".to_owned(),
        }
    }

    #[test]
    fn only_a_trusted_key_permits() {
        let settings = settings(vec![signer(key(1))]);
        assert_eq!(refused(&settings, &commit(Signature::By(key(1)), 5), 9), "permitted");
        assert!(refused(&settings, &commit(Signature::By(key(2)), 5), 9).contains("no trusted key"));
        assert_eq!(refused(&settings, &commit(Signature::None, 5), 9), "it is not signed");
        assert_eq!(refused(&settings, &commit(Signature::Wrong("it is cut".into()), 5), 9), "it is cut");
    }

    #[test]
    fn a_revoked_key_permits_nothing() {
        let mut settings = settings(vec![signer(key(1))]);
        settings.revoked.insert(key(1));
        assert!(refused(&settings, &commit(Signature::By(key(1)), 5), 9).ends_with("which is revoked"));
    }

    #[test]
    fn a_keys_time_holds_at_the_commits_date_and_now() {
        let limited =
            Signer { valid_after: Some(Timestamp(10)), valid_before: Some(Timestamp(20)), ..signer(key(1)) };
        let settings = settings(vec![limited]);
        let at = |committed, now| refused(&settings, &commit(Signature::By(key(1)), committed), now);
        assert_eq!(at(10, 20), "permitted", "both ends belong to it");
        assert!(at(9, 15).contains("not trusted before"));
        assert!(at(21, 15).contains("trust ended"), "a date in the future");
        assert!(at(15, 21).contains("trust ended"), "a date of long ago helps nobody");
    }

    #[test]
    fn one_line_of_several_for_a_key_is_enough() {
        let other = Signer { for_git: false, ..signer(key(1)) };
        let both = settings(vec![other.clone(), signer(key(1)), other.clone()]);
        assert_eq!(refused(&both, &commit(Signature::By(key(1)), 5), 9), "permitted");
        let alone = settings(vec![other]);
        assert!(refused(&alone, &commit(Signature::By(key(1)), 5), 9).contains("namespaces"));
    }

    #[test]
    fn what_is_no_key_is_refused_in_words() {
        for (text, why) in [
            ("ssh-ed25519", "is no public key"),
            ("ssh-ed25519 !!!", "is not base64"),
            ("ssh-ed25519 AAAA", "no OpenSSH public key"),
            ("ssh-dss AAAAB3NzaC1kc3M=", "cannot be verified here"),
            (
                "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
                "a key of type ssh-ed25519",
            ),
        ] {
            let error = text.parse::<PublicKey>().expect_err(text);
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
    }
}
