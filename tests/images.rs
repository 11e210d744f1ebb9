//! Images that trueup pulled are taken away when nothing needs them and the disk fills up; nobody else's ever are.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod parts;
mod stage;

use std::process::Command;

use parts::registry::Registry;
use parts::{Process, Trueup, soon};
use stage::{FLEET, HOST, Stage, docker_ok, make_image_with};

/// What came from the test's registry is taken away with it.
struct Sweep(u16);

impl Drop for Sweep {
    fn drop(&mut self) {
        for id in images(self.0).values() {
            stage::remove_image(id);
        }
    }
}

/// Images of the test's registry on this engine: the digest they are called by, and their id.
fn images(port: u16) -> std::collections::BTreeMap<String, String> {
    let format = "{{.Repository}} {{.Digest}} {{.ID}}";
    let listed = docker_ok(&["images", "-a", "--no-trunc", "--digests", "--format", format]);
    let prefix = format!("127.0.0.1:{port}/");
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    listed
        .lines()
        .filter(|line| line.starts_with(&prefix))
        .map(words)
        .map(|w| (w[1].clone(), w[2].clone()))
        .collect()
}

struct Ground {
    app: &'static str,
    registry: Registry,
    stage: Stage,
    _directory: tempfile::TempDir,
}

impl Ground {
    fn new(name: &'static str) -> (Self, Sweep) {
        let directory = tempfile::tempdir().expect("a directory");
        let registry = Registry::start(directory.path(), "open", None);
        let sweep = Sweep(registry.port);
        (Self { app: name, registry, stage: Stage::new(name), _directory: directory }, sweep)
    }

    /// Another image, pushed; the digest it has there.
    fn push(&self, mark: &str) -> String {
        make_image_with(self.stage.dir.path(), &self.stage.image, mark);
        let nobody = self.stage.dir.path().join("nobody");
        std::fs::create_dir_all(&nobody).expect("a directory");
        std::fs::write(nobody.join("config.json"), "{}").expect("a file");
        self.registry.push(&self.stage.image, &self.registry.image("team/quote"), &nobody)
    }

    fn commit(&self, digest: &str) {
        let image = format!("127.0.0.1:{}/team/quote@{digest}", self.registry.port);
        let name = self.app;
        let app = format!(
            "app = \"{name}\"\nenvironments = [\"test\"]\nimage = \"{image}\"\n\
             command = [\"/bin/busybox\", \"sleep\", \"3600\"]\nstop_timeout = \"1s\"\n\
             [rollout]\nmin_healthy = \"0s\"\n"
        );
        self.stage.commit(&[
            ("fleet.toml", FLEET),
            ("hosts/local.toml", HOST),
            (format!("apps/{name}/app.toml").as_str(), &app),
        ]);
    }

    fn present(&self, digest: &str) -> bool {
        images(self.registry.port).contains_key(digest)
    }
}

fn apply(trueup: &Trueup<'_>) {
    let said = trueup.apply();
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn what_nothing_needs_goes_and_what_anybody_needs_stays() {
    let (ground, _sweep) = Ground::new("images");
    let trueup = Trueup::new(&ground.stage, "");
    // Pulled by somebody else before trueup had a chance to.
    let theirs = ground.push("theirs");
    docker_ok(&["pull", &format!("127.0.0.1:{}/team/quote@{theirs}", ground.registry.port)]);
    let digests: Vec<String> = ["one", "two", "three", "four"]
        .iter()
        .map(|mark| {
            let digest = ground.push(mark);
            ground.commit(&digest);
            apply(&trueup);
            digest
        })
        .collect();
    let name = |n: usize| format!("127.0.0.1:{}/team/quote@{}", ground.registry.port, digests[n]);
    docker_ok(&["tag", &name(0), "trueup-test-images-kept:1"]);
    docker_ok(&["create", "--name", "trueup-test-images-user", &name(1), "/bin/busybox"]);

    let said = trueup.run(&["images"]);
    assert_eq!(said.code, 0, "{said:?}");
    for words in [
        "somebody else calls it trueup-test-images-kept:1",
        "a container uses it",
        "it was needed",
        "0 images may go",
    ] {
        assert!(said.words().contains(words), "{words}: {said:?}");
    }
    assert!(!said.out.contains(&theirs), "and nobody else's is so much as named: {said:?}");

    // There is room, and all was needed lately.
    let said = trueup.run(&["images", "--collect", "--yes"]);
    assert_eq!((said.code, said.words().contains("Nothing to take away")), (0, true), "{said:?}");
    // Off a terminal nothing is done without --yes.
    let said = trueup.run(&["images", "--collect", "--all"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(ground.present(&digests[2]), "{said:?}");

    let said = trueup.run(&["images", "--collect", "--all", "--yes"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!ground.present(&digests[2]), "nothing needs it: {said:?}");
    for (stays, why) in [(0, "has another name"), (1, "a stopped container has it"), (3, "it runs")] {
        assert!(ground.present(&digests[stays]), "{why}");
    }
    assert!(ground.present(&theirs), "it was never trueup's");
    let history = trueup.run(&["history"]).words();
    assert!(history.contains("remove image"), "{history}");

    docker_ok(&["rm", "trueup-test-images-user"]);
    docker_ok(&["rmi", "trueup-test-images-kept:1"]);
    let said = trueup.run(&["images", "--collect", "--all", "--yes", "--format", "text"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!ground.present(&digests[0]) && !ground.present(&digests[1]), "{said:?}");
    assert!(ground.present(&digests[3]) && ground.present(&theirs), "{said:?}");
    assert_eq!(trueup.run(&["plan"]).code, 0, "and nothing is to do after it");
}

#[test]
fn the_loop_collects_by_itself() {
    let (ground, _sweep) = Ground::new("imagesrun");
    let trueup = Trueup::new(
        &ground.stage,
        "[images]\nabove = \"0B\"\ndown_to = \"0B\"\nunused_for = \"0s\"\n[limits]\nrelist = \"1s\"\n",
    );
    let first = ground.push("one");
    ground.commit(&first);
    apply(&trueup);
    let second = ground.push("two");
    ground.commit(&second);
    apply(&trueup);
    assert!(ground.present(&first) && ground.present(&second), "an apply alone takes nothing away");
    let mut command: Command = trueup.command(&["run"]);
    let _run = Process(command.spawn().expect("trueup run"));
    soon("the image that nothing needs goes", || !ground.present(&first));
    assert!(ground.present(&second), "and what runs stays");
}
