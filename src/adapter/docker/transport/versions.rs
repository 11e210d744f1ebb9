//! Which API version an engine is spoken to in, and how that is found out.

use hyper::header::HeaderMap;
use serde::Deserialize;

use super::super::API;

/// The API version that trueup is made for: 1.41.
#[allow(clippy::cast_possible_truncation, reason = "a small constant")]
pub(super) const OURS: u32 = API.minor_version as u32;

/// Engines before this one (Docker 29) speak every version from 1.24 on; later ones drop old versions.
pub(super) const RAISED: u32 = 52;

/// How an engine is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spoken {
    /// The version of our calls, 1.x.
    pub minor: u32,
    /// The newest that the engine has, as it says it.
    pub newest: String,
    /// It said itself which versions it has (`GET /version`); otherwise it only answered so far.
    pub sure: bool,
}

/// What is known of the versions that an engine speaks.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub spoken: Option<Spoken>,
    /// It refused a call once: from then on only its own word tells which versions it has.
    pub doubted: bool,
}

impl Known {
    /// An engine that answered in a version speaks it, and every answer says which is its newest.
    pub fn learn(&mut self, minor: u32, headers: &HeaderMap) {
        if self.doubted || self.spoken.is_some() {
            return;
        }
        if let Some(newest) = newest(headers) {
            self.spoken = Some(Spoken { minor, newest: version(newest), sure: false });
        }
    }

    /// A call in 1.`minor` was answered with 400. Whether that may be for its version: then the engine is to be asked which ones
    /// it has, since it may be another one by now.
    pub fn refused(&mut self, minor: u32, headers: &HeaderMap) -> bool {
        let newest = newest(headers);
        // It is older than ours, and we speak no older one.
        if newest.is_some_and(|newest| newest < OURS) {
            return false;
        }
        let says_the_same = |spoken: &Spoken| newest.is_some_and(|newest| version(newest) == spoken.newest);
        // It said that it has this one: something else is wrong with the call.
        if self.spoken.as_ref().is_some_and(|s| s.sure && s.minor == minor && says_the_same(s)) {
            return false;
        }
        self.doubted = true;
        // Another call may have found another one meanwhile.
        self.spoken.take_if(|spoken| !spoken.sure || spoken.minor == minor);
        true
    }
}

pub(super) fn version(minor: u32) -> String {
    format!("1.{minor}")
}

/// The newest API version that an engine says it speaks, 1.x.
pub(super) fn newest(headers: &HeaderMap) -> Option<u32> {
    headers.get("api-version")?.to_str().ok()?.strip_prefix("1.")?.parse().ok()
}

/// The part of `GET /version` that says what an engine understands.
#[derive(Deserialize)]
pub(super) struct Versions {
    #[serde(rename = "MinAPIVersion")]
    oldest: String,
    #[serde(rename = "ApiVersion", default)]
    pub newest: String,
}

impl Versions {
    pub fn oldest(&self) -> Option<u32> {
        self.oldest.strip_prefix("1.")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(newest: u32) -> HeaderMap {
        HeaderMap::from_iter([(
            "api-version".parse().expect("a name"),
            version(newest).parse().expect("a value"),
        )])
    }

    fn told(minor: u32, newest: u32) -> Option<Spoken> {
        Some(Spoken { minor, newest: version(newest), sure: true })
    }

    #[test]
    fn what_was_refused_is_not_learnt_again() {
        let mut known = Known::default();
        assert!(known.refused(41, &says(52)), "it may be for the version");
        // Another call, begun before, is answered while the versions are asked for.
        known.learn(41, &says(52));
        assert_eq!(known.spoken, None);
        known.spoken = told(44, 52);
        // And another one is refused that was begun before.
        assert!(known.refused(41, &says(52)));
        assert_eq!(known.spoken, told(44, 52), "what was found stays");
    }

    #[test]
    fn a_call_is_doubted_and_not_the_version_that_the_engine_says_it_has() {
        // Whoever says so, and is the engine that said it.
        let mut known = Known { spoken: told(44, 52), doubted: true };
        assert!(!known.refused(44, &says(52)));
        assert_eq!(known.spoken, told(44, 52));
        assert!(known.refused(44, &says(60)), "it is a newer one by now");
        assert_eq!(known.spoken, None);
        // Nothing older is spoken to it.
        let mut known = Known::default();
        assert!(!known.refused(41, &says(40)) && !known.doubted);
        // A proxy may take the header away.
        known.spoken = told(41, 45);
        assert!(known.refused(41, &HeaderMap::new()));
    }
}
