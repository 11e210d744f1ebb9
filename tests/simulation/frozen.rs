//! Freezes on a small fleet: begun and ended, what runs, what Nginx has, and what counts as applied.

use std::collections::{BTreeMap, BTreeSet};

use trueup::control::baseline::Applied;
use trueup::control::memory::Memory;
use trueup::control::pass::Pass;
use trueup::model::file::FileSet;
use trueup::model::image::ImageRef;
use trueup::model::policy::{PolicySettings, Window, WindowEffect};

use super::{Sim, host};

pub const LAN: &str = "[network.lan]\npool = \"all\"\n";

pub fn image(image: &str) -> ImageRef {
    image.parse().expect("an image")
}

/// A fleet at rest at this commit, whose limits of the blast radius are out of the way (B3).
pub async fn at_rest(hosts: usize, apps: &[(&str, u32, &str)]) -> Sim {
    let mut sim = Sim::new(1);
    sim.world.limits.destroy_count = 100;
    sim.commit(hosts, apps);
    assert_eq!(sim.apply().await.exit_code(), 0);
    // The first revision is past.
    sim.settled().await;
    sim
}

pub fn freeze(sim: &mut Sim, on: bool) {
    let window = Window {
        name: "year's end".into(),
        effect: WindowEffect::Deny,
        environments: BTreeSet::from(["test".parse().expect("a name")]),
        zone: "Europe/Berlin".parse().expect("a zone"),
        days: Vec::new(),
        hours: None,
        begin: None,
        end: None,
    };
    sim.world.policy =
        PolicySettings { freeze: on.then_some(window).into_iter().collect(), ..PolicySettings::default() };
}

/// The images that run, by container, on the first two hosts.
pub fn runs(sim: &Sim) -> BTreeMap<String, String> {
    let on = |n| sim.fleet.containers(&host(n)).into_values();
    let running = on(0).chain(on(1)).filter(|container| container.state.is_running());
    running
        .map(|container| {
            let tag = sim.fleet.tag_of(&container.image).expect("an image of these");
            (container.name.to_string(), tag.to_string())
        })
        .collect()
}

pub fn running(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, image)| ((*name).to_owned(), (*image).to_owned())).collect()
}

pub fn is_frozen(pass: &Pass) -> bool {
    pass.plan.findings.holding().any(|finding| finding.rule == "freeze")
}

/// Nginx as it is installed.
pub async fn nginx(sim: &Sim) -> String {
    let installed = sim.look().await.installed();
    format!("{:?}", installed.get(&FileSet::Nginx))
}

/// A commit of these apps whose files listen on this port.
pub fn commit_port(sim: &Sim, hosts: usize, apps: &[(&str, u32, &str)], of: &[&str], port: u16) {
    let mut files = Sim::files(hosts, apps, LAN);
    for name in of {
        let app = files.get_mut(&format!("apps/{name}/app.toml")).expect("the app");
        *app = app.replace("port = 80", &format!("port = {port}"));
    }
    sim.repository.commit(&files);
}

pub fn applied(sim: &Sim) -> Applied {
    Memory::new(&*sim.world.store).applied().expect("a record").expect("applied")
}

/// The apps that are not at what was applied last.
pub fn behind(sim: &Sim) -> Vec<String> {
    applied(sim).behind.keys().map(ToString::to_string).collect()
}
