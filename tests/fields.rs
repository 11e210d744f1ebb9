//! Every modelled field on the real engine: changed by hand, detected by name, healed, and the second plan empty (A4).
//!
//! The list comes from the spec type, as does what the hand does (`stage::hand`).

#![allow(clippy::expect_used, clippy::panic, clippy::iter_over_hash_type)]

mod stage;

use stage::hand::{self, app, app_name};
use stage::{FLEET, HOST, Stage, docker_ok};
use trueup::model::container::ContainerField;
use trueup::model::drift::Nature;
use trueup::model::names::AppKey;

#[tokio::test(flavor = "multi_thread")]
async fn every_field_is_detected_healed_and_then_in_sync() {
    let stage = Stage::new("fields");
    // The same content under another id, so that the image differs by more than its name.
    stage::make_image_with(stage.dir.path(), "trueup-test-fields:2", "second");
    let _sweep = Untag("trueup-test-fields:2");
    let mut files = vec![
        ("fleet.toml".to_owned(), FLEET.to_owned()),
        ("hosts/local.toml".to_owned(), HOST.to_owned()),
        (
            "networks/inner.toml".to_owned(),
            "[network.inner]\ndriver = \"bridge\"\nsubnet = \"10.130.90.0/24\"\n".to_owned(),
        ),
    ];
    for field in ContainerField::ALL {
        files.push((format!("apps/{}/app.toml", app_name(*field)), app(*field, &stage.image)));
    }
    files.push(("apps/f-files/files/app.conf".to_owned(), "declared\n".to_owned()));
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    stage.commit(&files);
    let _ = stage.apply_in_full().await;

    let pass = stage.look().await;
    let (_, host) = pass.desired.hosts.first_key_value().expect("the host");
    let engine = stage.world.engines.engine(host).expect("an engine");
    for field in ContainerField::ALL {
        let key: AppKey = format!("{}-test", app_name(*field)).parse().expect("a key");
        let container = format!("{key}-0");
        let spec = &pass.desired.apps[&key].container;
        let docker = |args: &[&str]| docker_ok(args);
        hand::change(*field, &container, spec, &pass.desired.contents, &*engine, docker).await;
    }

    let pass = stage.look().await;
    let mut missed = Vec::new();
    for field in ContainerField::ALL {
        let container = format!("{}-test-0", app_name(*field));
        let named: Vec<String> = pass
            .plan
            .drift
            .iter()
            .filter(|drift| drift.subject.name == container)
            .flat_map(|drift| match &drift.nature {
                Nature::Changed(changes) => changes.iter().map(|c| c.field.clone()).collect(),
                Nature::Missing | Nature::Extra | Nature::NotRunning(_) | Nature::Unhealthy(_) => {
                    vec![format!("{:?}", drift.nature)]
                }
            })
            .collect();
        if named.len() != 1 || named[0].split('.').next() != Some(field.name()) {
            missed.push(format!("{field}: drift says {named:?}"));
        }
    }
    assert!(missed.is_empty(), "by-hand changes not told as what they are:\n{}", missed.join("\n"));

    // A hand in more than half of all apps at once waits for a person's word (B3), as a commit would.
    assert!(pass.plan.held.len() > 10, "{:#?}", pass.plan.held);
    let held = pass.plan.held.iter().map(|change| change.promise()).collect();
    let memory = trueup::control::memory::Memory::new(&*stage.world.store);
    memory.approve(&pass.plan.held_id, &pass.plan.revision, &held).expect("an approval");
    let healed = stage.apply_in_full().await;
    assert!(healed.outcomes.len() >= ContainerField::ALL.len(), "each field was healed");
}

struct Untag(&'static str);

impl Drop for Untag {
    fn drop(&mut self) {
        stage::docker(&["rmi", "-f", self.0]);
    }
}
