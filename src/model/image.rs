//! Image references as Docker's own tools write them, and what a tag was resolved to.

use std::fmt;
use std::str::FromStr;

/// `repository[:tag][@sha256:…]` in Docker's familiar form (`docker.io/library/` left out; no tag means `latest`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

/// `sha256:` and 64 hex digits: an image's or a manifest's content address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image reference: {rule}")]
pub struct ImageError {
    pub text: String,
    pub rule: &'static str,
}

impl Digest {
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The first twelve hex digits, as `docker images` shows them.
    pub fn short(&self) -> &str {
        &self.0["sha256:".len()..][..12]
    }
}

impl FromStr for Digest {
    type Err = ImageError;
    fn from_str(text: &str) -> Result<Self, ImageError> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() == 64 && hex.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ImageError { text: text.to_owned(), rule: "a digest is sha256: and 64 hex digits" })
        }
    }
}

impl ImageRef {
    /// The name a registry is asked for: `repository@digest`, else `repository:tag`.
    pub fn pull_name(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("{}@{digest}", self.repository),
            (None, Some(tag)) => format!("{}:{tag}", self.repository),
            (None, None) => format!("{}:latest", self.repository),
        }
    }

    /// The registry's host (and port), `docker.io` where none is written.
    pub fn registry(&self) -> &str {
        match self.repository.split_once('/') {
            Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
            _ => "docker.io",
        }
    }

    /// This reference pinned to `digest`; the tag stays for people.
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }
}

impl FromStr for ImageRef {
    type Err = ImageError;
    fn from_str(text: &str) -> Result<Self, ImageError> {
        let wrong = |rule| ImageError { text: text.to_owned(), rule };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (name, None),
        };
        let repository = repository
            .strip_prefix("docker.io/library/")
            .or_else(|| repository.strip_prefix("docker.io/"))
            .unwrap_or(repository);
        let part = |p: &str| {
            p.bytes().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
                && p.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c))
        };
        let mut parts = repository.split('/');
        let first = parts.next().unwrap_or_default();
        // A name or an address, `[` where it is one of IPv6; `.` or `..` would be a path.
        let host = |p: &str| {
            p.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
                && p.bytes().all(|c| c.is_ascii_alphanumeric() || b".:-[]".contains(&c))
        };
        let first_fits = if repository.contains('/') { part(first) || host(first) } else { part(first) };
        if repository.len() > 255 || !first_fits || !parts.all(part) {
            return Err(wrong("write registry/name:tag, in lower case, without spaces"));
        }
        let tag_fits = |t: &str| {
            (1..=128).contains(&t.len())
                && t.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_')
                && t.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c))
        };
        if tag.is_some_and(|t| !tag_fits(t)) {
            return Err(wrong("a tag is 1 to 128 of a-z, A-Z, 0-9, '_', '.', '-'"));
        }
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { repository: repository.to_owned(), tag, digest })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

serialize_as_text!(Digest, ImageRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_in_dockers_familiar_form() {
        let hex = "a".repeat(64);
        for (text, shown) in [
            ("nginx", "nginx:latest".to_owned()),
            ("docker.io/library/nginx:1.22", "nginx:1.22".to_owned()),
            ("registry.example:5000/team/quote:1.4", "registry.example:5000/team/quote:1.4".to_owned()),
            (&format!("quote@sha256:{hex}"), format!("quote@sha256:{hex}")),
            (&format!("quote:1@sha256:{hex}"), format!("quote:1@sha256:{hex}")),
        ] {
            assert_eq!(text.parse::<ImageRef>().map(|i| i.to_string()), Ok(shown));
        }
        for bad in ["", "Upper", "a b", "a:", "a@sha256:12", "a//b", "a;rm", "../x"] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn the_registry_is_the_first_part_that_looks_like_a_host() {
        let registry = |t: &str| t.parse::<ImageRef>().expect("a reference").registry().to_owned();
        assert_eq!(registry("quote"), "docker.io");
        assert_eq!(registry("team/quote"), "docker.io");
        assert_eq!(registry("registry.example:5000/quote"), "registry.example:5000");
    }
}
