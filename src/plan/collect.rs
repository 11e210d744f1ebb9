//! Which images may go: only what trueup pulled, what no container and no app needs, and nobody else gave a name.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::disk::{ImageSettings, ImageStore, PulledImage, StoredImage};
use crate::model::image::{Digest, ImageRef};
use crate::model::units::{ByteSize, TimeSpan, Timestamp};

/// What is known about the images of one host, all of it read.
pub struct Images<'a> {
    pub store: &'a ImageStore,
    /// What trueup pulled there, by image id.
    pub pulled: &'a BTreeMap<Digest, PulledImage>,
    /// Ids of the images of all containers there, running or not, whoever's they are.
    pub used: &'a BTreeSet<Digest>,
    /// What the declared apps may need next, wherever they are placed.
    pub wanted: &'a BTreeSet<ImageRef>,
    pub settings: &'a ImageSettings,
    pub now: Timestamp,
}

/// An image that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unneeded {
    pub image: Digest,
    pub reference: ImageRef,
    /// All its names, trueup's own alone.
    pub names: BTreeSet<String>,
    /// What the disk gets back at least.
    pub frees: ByteSize,
    pub idle: TimeSpan,
}

/// Why an image of trueup's stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stays {
    InUse,
    Wanted,
    /// Somebody gave it this name too.
    NamedByOthers(String),
    NeededLately(TimeSpan),
}

impl Stays {
    pub fn words(&self) -> String {
        match self {
            Self::InUse => "a container uses it".to_owned(),
            Self::Wanted => "a declared app needs it".to_owned(),
            Self::NamedByOthers(name) => format!("somebody else calls it {name}"),
            Self::NeededLately(idle) => format!("it was needed {} ago", idle.to_minutes()),
        }
    }
}

/// Every image of trueup's that is there: it stays, and why, or it may go.
pub fn judge(images: &Images<'_>) -> BTreeMap<Digest, Result<Unneeded, Stays>> {
    let there =
        images.pulled.iter().filter_map(|(id, pulled)| Some((id, pulled, images.store.images.get(id)?)));
    there.map(|(id, pulled, stored)| (id.clone(), judge_one(images, id, pulled, stored))).collect()
}

fn judge_one(
    images: &Images<'_>,
    id: &Digest,
    pulled: &PulledImage,
    stored: &StoredImage,
) -> Result<Unneeded, Stays> {
    if images.used.contains(id) {
        return Err(Stays::InUse);
    }
    if is_wanted(images.wanted, id, stored) {
        return Err(Stays::Wanted);
    }
    if let Some(name) = stored.names.iter().find(|name| !is_own(name, &pulled.reference)) {
        return Err(Stays::NamedByOthers(name.clone()));
    }
    let idle = images.now.since(pulled.last_used.max(pulled.at));
    if idle < images.settings.unused_for {
        return Err(Stays::NeededLately(idle));
    }
    Ok(Unneeded {
        image: id.clone(),
        reference: pulled.reference.clone(),
        names: stored.names.clone(),
        frees: stored.own(),
        idle,
    })
}

/// Whether a declared app may need the image: by one of its names, its digest or its id.
pub fn is_wanted(wanted: &BTreeSet<ImageRef>, id: &Digest, stored: &StoredImage) -> bool {
    wanted.iter().any(|wanted| {
        wanted.digest.as_ref() == Some(id)
            || stored.names.contains(&wanted.pull_name())
            || wanted
                .tag
                .as_ref()
                .is_some_and(|tag| stored.names.contains(&format!("{}:{tag}", wanted.repository)))
    })
}

/// A name that trueup's pull gave it. One manifest can have several digests, so any of the repository's is.
fn is_own(name: &str, reference: &ImageRef) -> bool {
    name == reference.pull_name()
        || name.strip_prefix(&reference.repository).is_some_and(|rest| rest.starts_with('@'))
}

/// What goes now: where the layers take more than they may, the longest unneeded first, until they take little enough.
pub fn collect(images: &Images<'_>) -> Vec<Unneeded> {
    if images.store.layers <= images.settings.above {
        return Vec::new();
    }
    let mut unneeded: Vec<Unneeded> = judge(images).into_values().filter_map(Result::ok).collect();
    unneeded.sort_by(|a, b| b.idle.cmp(&a.idle).then_with(|| a.image.cmp(&b.image)));
    let mut left = images.store.layers.0;
    let mut go = Vec::new();
    for one in unneeded {
        if left <= images.settings.down_to.0 {
            break;
        }
        left = left.saturating_sub(one.frees.0);
        go.push(one);
    }
    go
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn id(n: u8) -> Digest {
        format!("sha256:{}", format!("{n:02x}").repeat(32)).parse().expect("a digest")
    }
    fn reference(n: u8) -> ImageRef {
        format!("registry:5000/app@{}", id(n + 100)).parse().expect("a reference")
    }
    fn stored(n: u8) -> StoredImage {
        let names = BTreeSet::from([reference(n).pull_name()]);
        StoredImage { names, size: ByteSize(10 * GIB), shared: ByteSize(2 * GIB) }
    }
    fn hours(n: i64) -> Timestamp {
        Timestamp(NOW.0 - n * 3_600_000)
    }
    fn pulled(n: u8, last_used: Timestamp) -> PulledImage {
        PulledImage { reference: reference(n), at: hours(1000), last_used }
    }

    struct Case {
        store: ImageStore,
        pulled: BTreeMap<Digest, PulledImage>,
        used: BTreeSet<Digest>,
        wanted: BTreeSet<ImageRef>,
        settings: ImageSettings,
    }
    /// Images 1 to 4 were pulled by trueup and last needed 10, 20, 30 and 40 days ago; 9 is somebody's own.
    fn case() -> Case {
        let images: BTreeMap<_, _> = [1, 2, 3, 4, 9].map(|n| (id(n), stored(n))).into();
        let pulled = [1, 2, 3, 4].map(|n| (id(n), pulled(n, hours(i64::from(n) * 240)))).into();
        Case {
            store: ImageStore { layers: ByteSize(42 * GIB), images },
            pulled,
            used: BTreeSet::new(),
            wanted: BTreeSet::new(),
            settings: ImageSettings::default(),
        }
    }
    impl Case {
        fn images(&self) -> Images<'_> {
            Images {
                store: &self.store,
                pulled: &self.pulled,
                used: &self.used,
                wanted: &self.wanted,
                settings: &self.settings,
                now: NOW,
            }
        }
        fn gone(&self) -> Vec<Digest> {
            collect(&self.images()).into_iter().map(|one| one.image).collect()
        }
        fn stays(&self, n: u8) -> Option<Stays> {
            judge(&self.images()).remove(&id(n)).and_then(Result::err)
        }
    }

    #[test]
    fn the_longest_unneeded_go_first_and_no_more_than_it_takes() {
        // 42 GiB are too many; without two images of 8 GiB of their own 26 are left, and 18 without three.
        assert_eq!(case().gone(), [id(4), id(3), id(2)]);
    }

    #[test]
    fn below_the_threshold_nothing_goes() {
        let mut case = case();
        case.store.layers = ByteSize(32 * GIB);
        assert_eq!(case.gone(), []);
    }

    #[test]
    fn what_anybody_needs_stays() {
        let mut case = case();
        case.used.insert(id(4));
        assert_eq!(case.stays(4), Some(Stays::InUse));
        case.wanted.insert(reference(3));
        assert_eq!(case.stays(3), Some(Stays::Wanted));
        case.store.images.get_mut(&id(2)).expect("there").names.insert("mine:latest".into());
        assert_eq!(case.stays(2), Some(Stays::NamedByOthers("mine:latest".into())));
        case.pulled.get_mut(&id(1)).expect("there").last_used = hours(23);
        assert_eq!(case.stays(1), Some(Stays::NeededLately(TimeSpan::from_secs(23 * 3600))));
        assert_eq!(case.gone(), [], "and what trueup did not pull is never looked at");
    }

    #[test]
    fn an_app_may_name_the_image_by_its_id_or_by_a_tag_with_a_digest() {
        let mut case = case();
        let by_id: ImageRef = format!("app@{}", id(4)).parse().expect("a reference");
        case.wanted.insert(by_id);
        let with_tag: ImageRef = format!("registry:5000/app:1.2@{}", id(103)).parse().expect("a reference");
        case.wanted.insert(with_tag);
        assert_eq!((case.stays(4), case.stays(3)), (Some(Stays::Wanted), Some(Stays::Wanted)));
    }

    #[test]
    fn what_was_taken_away_by_others_is_no_matter() {
        let mut case = case();
        case.store.images.remove(&id(4));
        assert_eq!(case.gone(), [id(3), id(2), id(1)]);
    }
}
