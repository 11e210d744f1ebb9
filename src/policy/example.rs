//! An example of a change, as docs/policies.md shows it: what `trueup config check` tries a repository's rules on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::config::{ParseCache, load};
use crate::model::desired::{Desired, ImageLock};
use crate::model::names::Revision;
use crate::model::secrecy::ContentHash;
use crate::model::tree::{Blob, Tree};
use crate::model::units::Timestamp;

use super::situation::Situation;

const FLEET: &str =
    "fleet = \"example\"\nenvironments = [\"test\", \"prod\"]\n[environment.prod]\nproduction = true\n";
const HOST: &str = "[host.rack]\naddress = \"192.0.2.1\"\nengine = \"unix:///var/run/docker.sock\"\nenvironments = [\"test\", \"prod\"]\n";

/// The fleet before (`1.4`) and after (`1.5`, on one more host directory) a commit; `None` where the example itself no
/// longer reads.
pub fn fleets() -> Option<(Desired, Desired)> {
    Some((
        fleet("1.4", "")?,
        fleet("1.5", "[[mount]]\nat = \"/logs\"\nhost = \"/var/log/quote\"\ndata = \"disposable\"\n")?,
    ))
}

/// The document that rules are given about it.
pub fn document() -> Value {
    fleets().map_or(Value::Null, |(before, after)| situation(&before, &after, &BTreeSet::new()).document())
}

/// The situation around two fleets, at a moment that never changes.
pub fn situation<'a>(
    before: &'a Desired,
    after: &'a Desired,
    healthy_in_test: &'a BTreeSet<crate::model::image::Digest>,
) -> Situation<'a> {
    Situation {
        now: Timestamp(1_795_000_000_000),
        before: Some(before),
        after,
        images: NOTHING.get_or_init(ImageLock::default),
        author: "Ada <ada@example.org>",
        summary: "quote 1.5",
        committed: Timestamp(1_794_999_000_000),
        plan: None,
        healthy_in_test: Some(healthy_in_test),
        forecast: false,
        freeze: &[],
        policies_changed: false,
    }
}

static NOTHING: std::sync::OnceLock<ImageLock> = std::sync::OnceLock::new();

fn fleet(version: &str, more: &str) -> Option<Desired> {
    let app = "app = \"quote\"\nruntime = \"host\"\nreplicas = 2\n";
    let prod = format!("image = \"registry.example/quote:{version}\"\n{more}");
    let files = [
        ("fleet.toml", FLEET.to_owned()),
        ("hosts/rack.toml", HOST.to_owned()),
        ("apps/quote/app.toml", app.to_owned()),
        ("apps/quote/prod.toml", prod),
    ];
    let blob = |text: String| Blob {
        id: ContentHash::of(text.as_bytes()).to_string(),
        bytes: Arc::from(text.as_bytes()),
    };
    let tree = Tree {
        revision: Revision::new(ContentHash::of(version.as_bytes()).as_str()[..40].to_owned()),
        committed: Timestamp(1_794_999_000_000),
        author: "Ada <ada@example.org>".to_owned(),
        summary: format!("quote {version}"),
        blobs: files
            .into_iter()
            .map(|(path, text)| (path.to_owned(), blob(text)))
            .collect::<BTreeMap<_, _>>(),
        refused: BTreeMap::new(),
    };
    load(&tree, &mut ParseCache::default()).ok()
}
