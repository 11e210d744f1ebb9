//! What `trueup snapshot save` writes of a look: what runs, with the texts of others and what hands, programs and engines said
//! hidden (G1), and what is known of images, so that who reads it need not ask anybody.

use crate::endpoints::Exceptions;
use crate::model::observed::Snapshot;

use super::known::Known;
use super::pass::Pass;
use super::veil::{veil, written_here};
use super::{ControlError, World, healthy};

pub fn of(world: &World, pass: &Pass) -> Result<Snapshot, ControlError> {
    let looked = Known { images: pass.images.clone(), healthy_in_test: None };
    let Known { images, healthy_in_test } = looked.or(Known::remembered(world)?);
    // What this look alone saw is noted by the reconciler's next one. Where nothing was ever enforced nobody knows what
    // ran before.
    let healthy_in_test = healthy_in_test.map(|mut known| {
        known.extend(healthy::seen(world, pass));
        known
    });
    let owner = world.owner(&pass.desired.fleet);
    let (staying, adopted) = (pass.staying.clone(), pass.adopted.clone());
    let exceptions = Exceptions { staying, adopted, ..Exceptions::default() };
    let written = written_here(&pass.desired, &pass.observed, &owner, &exceptions);
    Ok(Snapshot {
        installation: Some(world.installation.clone()),
        images: images.digests,
        healthy_in_test,
        judged_by: pass.taken.baseline.applied.judges(),
        observed: veil(&pass.observed, &owner, (&pass.desired, &pass.adopted), &written, &world.key),
    })
}
