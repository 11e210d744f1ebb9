//! Images that trueup pulled are taken away when nothing needs them and the disk fills up; nobody else's ever are.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod fleet;
mod parts;
mod stage;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet::Fleet;
use parts::registry::Registry;
use parts::{Process, Trueup, soon};
use stage::{FLEET, HOST, Stage, docker, docker_ok, make_image_with};
use trueup::apply::Stop;
use trueup::control::converge::{Scope, converge};
use trueup::control::pass::Pass;
use trueup::control::revision::Reader;
use trueup::model::plan::Outcome;
use trueup::ports::Progress;

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
fn images(port: u16) -> BTreeMap<String, String> {
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
        self.commit_with(digest, "");
    }

    fn commit_with(&self, digest: &str, more: &str) {
        let image = format!("127.0.0.1:{}/team/quote@{digest}", self.registry.port);
        let name = self.app;
        let app = format!(
            "app = \"{name}\"\nenvironments = [\"test\"]\nimage = \"{image}\"\n\
             command = [\"/bin/busybox\", \"sleep\", \"3600\"]\nstop_timeout = \"1s\"\n\
             [rollout]\nmin_healthy = \"0s\"\n{more}"
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

/// D5: it is known as soon as it was pulled, and not only where the rest of the plan went well.
#[test]
fn what_an_apply_pulled_before_it_was_killed_is_collected() {
    let (ground, _sweep) = Ground::new("imageskilled");
    let trueup = Trueup::new(&ground.stage, "");
    let digest = ground.push("one");
    // Whether it is well is not known for ten minutes.
    let health =
        "[health]\ncommand = [\"/bin/busybox\", \"false\"]\ninterval = \"1s\"\nstart_period = \"10m\"\n";
    ground.commit_with(&digest, health);
    let apply = trueup.command(&["apply", "--yes"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let apply = Process(apply.expect("trueup apply"));
    let container = format!("{}-test-0", ground.app);
    soon("it waits for the instance", || {
        docker(&["inspect", "-f", "{{.State.Running}}", &container]).stdout.starts_with(b"true")
    });
    drop(apply);
    let said = trueup.run(&["images", "--format", "json"]);
    assert!(said.out.contains(&digest), "it is one of trueup's: {said:?}");
    // Something else is declared, and its own instance is gone.
    docker_ok(&["rm", "-f", &container]);
    let next = ground.push("two");
    ground.commit(&next);
    self::apply(&trueup);
    let said = trueup.run(&["images", "--collect", "--all", "--yes"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!ground.present(&digest) && ground.present(&next), "nothing needs the first: {said:?}");
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

/// Every part that was told, by its change: of which step, bytes, of bytes.
#[derive(Default)]
struct Recorded(Mutex<BTreeMap<String, Vec<Part>>>);

type Part = (String, u64, u64);

impl Progress for Recorded {
    fn change(&self, _: &str, _: &str, _: Option<&Outcome>) {}
    fn step(&self, _: &str, _: &str) {}
    fn part(&self, subject: &str, step: &str, done: u64, total: u64) {
        let mut told = self.0.lock().expect("a lock");
        told.entry(subject.to_owned()).or_default().push((step.to_owned(), done, total));
    }
}

/// Two hosts pull one image at once: each pull is told as its own change's, from its beginning to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_tells_how_far_it_is_and_whose_it_is() {
    const BYTES: usize = 8 << 20;
    let fleet = Fleet::up(2, 0);
    let ground = fleet::ground::Ground::new(&fleet);
    // Nothing that a registry's compression makes small.
    let mut random = fastrand::Rng::with_seed(8);
    let noise: String = (0..BYTES).map(|_| random.alphanumeric()).collect();
    fleet.push("big:1", &stage::pack_busybox(fleet.dir(), &noise));
    let app = "app = \"web\"\nenvironments = [\"test\"]\nimage = \"big:1\"\nreplicas = \"every-host\"\nstop_timeout = \"1s\"\n\
               command = [\"/bin/busybox\", \"sleep\", \"36000\"]\n[rollout]\nmin_healthy = \"0s\"\n";
    ground.commit(&BTreeMap::from([
        ("fleet.toml".to_owned(), FLEET.replace("[\"test\"]", "[\"test\", \"prod\"]")),
        ("hosts/all.toml".to_owned(), ground.inventory("1GiB")),
        ("apps/web/app.toml".to_owned(), app.to_owned()),
    ]));
    let recorded = Arc::new(Recorded::default());
    let mut world = stage::assemble(&ground.settings());
    world.progress = Arc::clone(&recorded) as Arc<dyn Progress>;
    let (stop, agree) = (Stop::default(), |_: &Pass| true);
    let done =
        converge(&world, &Reader::default(), &Scope::of_a_person(&agree, &stop)).await.expect("an apply");
    assert_eq!(done.last.plan.exit_code(), 0, "{:#?}", done.last.plan);
    let told = recorded.0.lock().expect("a lock");
    assert_eq!(told.len(), 2, "{:?}", told.keys());
    for (host, (subject, parts)) in ["h1", "h2"].iter().zip(told.iter()) {
        assert!(subject.ends_with(host), "{subject}");
        let (step, done, total) = parts.last().expect("a part");
        assert!(step.contains("pull") && step.contains("big:1"), "{step}");
        // Alphanumeric noise has 6 bits to the byte.
        assert!(done == total && (5 * MIB..=8 * MIB).contains(total), "{subject}: {done} of {total}");
        assert!(
            parts.iter().any(|(_, done, total)| *done > 0 && done < total),
            "{subject}: more than its end"
        );
        assert!(parts.is_sorted_by_key(|(_, done, _)| *done), "{subject}: {parts:?}");
    }
}

const MIB: u64 = 1 << 20;
/// Looks of a loop within which it has read the disk and collected, with room to spare.
const LOOKS: usize = 6;

/// An image of about so many MiB in the fleet's registry.
fn push_large(fleet: &Fleet, image: &str, mib: usize) {
    let mark = image.repeat((mib << 20) / image.len());
    fleet.push(image, &stage::pack_busybox(fleet.dir(), &mark));
}

/// Everything in the image store of the fleet's only host: id and bytes. No layer is in two images here.
fn stored(fleet: &Fleet) -> BTreeMap<String, u64> {
    let ids = fleet.docker_ok("h1", &["images", "-a", "-q", "--no-trunc"]);
    let size = |id: &str| fleet.docker("h1", &["image", "inspect", id, "--format", "{{.Size}}"]).stdout;
    let read = |id: &str| String::from_utf8_lossy(&size(id)).trim().parse().ok();
    // One may go between the two questions.
    ids.lines().filter_map(|id| Some((id.to_owned(), read(id)?))).collect()
}

/// The loop looks again at once, and has the time to.
fn look(run: &fleet::ground::Running) {
    let sent = Command::new("kill").args(["-HUP", &run.id().to_string()]).status();
    assert!(sent.expect("kill").success());
    std::thread::sleep(Duration::from_secs(2));
}

fn image_of(fleet: &Fleet, container: &str) -> String {
    fleet.docker_ok("h1", &["inspect", container, "--format", "{{.Image}}"])
}

/// The threshold is what the engine really holds: below it nothing goes, and beyond it no more than has to.
#[test]
fn the_loop_collects_where_an_engine_holds_more_than_the_threshold() {
    let fleet = Fleet::up(1, 0);
    let ground = fleet::ground::Ground::new(&fleet);
    for (image, mib) in [("box:1", 4), ("box:2", 4), ("box:3", 1), ("theirs:1", 4), ("theirs:2", 4)] {
        push_large(&fleet, image, mib);
    }
    fleet.docker_ok("h1", &["pull", "-q", "theirs:1"]);
    let app = |image: &str| {
        let text = format!(
            "app = \"web\"\nenvironments = [\"test\"]\nimage = {image:?}\nstop_timeout = \"1s\"\n\
             command = [\"/bin/busybox\", \"sleep\", \"36000\"]\n[rollout]\nmin_healthy = \"0s\"\n"
        );
        ("apps/web/app.toml".to_owned(), text)
    };
    let mut files = BTreeMap::from([
        ("fleet.toml".to_owned(), FLEET.replace("[\"test\"]", "[\"test\", \"prod\"]")),
        ("hosts/all.toml".to_owned(), ground.inventory("1GiB")),
    ]);
    let ours = ["box:1", "box:2", "box:3"].map(|image| {
        files.extend([app(image)]);
        ground.commit(&files);
        ground.apply_in_full();
        image_of(&fleet, "web-test-0")
    });
    let before = stored(&fleet);
    let held: u64 = before.values().sum();
    assert_eq!(before.len(), 4, "{before:?}");
    // Room for 3 MiB more. Beyond that as much has to go as the older of the two unneeded ones holds.
    let images = |above: u64| {
        let down_to = above - 2 * MIB;
        format!("[images]\nabove = \"{above}B\"\ndown_to = \"{down_to}B\"\nunused_for = \"0s\"\n")
    };
    let above = held + 3 * MIB;
    ground.add_settings(&images(above));

    let (code, told) = ground.trueup(&["images"]);
    assert_eq!((code, &told["hosts"][0]["layers_bytes"]), (0, &held.into()), "{told:#}");
    {
        let run = ground.run();
        soon("it rests", || run.log().contains("0 changed"));
        (0..LOOKS).for_each(|_| look(&run));
        assert_eq!(stored(&fleet), before, "the threshold is not reached: {}", run.log());
    }

    // Somebody else fills the disk.
    fleet.docker_ok("h1", &["pull", "-q", "theirs:2"]);
    let full = stored(&fleet);
    let (sum, down_to) = (full.values().sum::<u64>(), above - 2 * MIB);
    assert!(full.len() == 5 && sum > above && sum - before[&ours[0]] <= down_to, "{full:?}");
    let run = ground.run();
    soon("it rests", || run.log().contains("0 changed"));
    let gone = (0..LOOKS).any(|_| {
        look(&run);
        !stored(&fleet).contains_key(&ours[0])
    });
    assert!(gone, "what was unneeded for the longest time goes: {}", run.log());
    (0..LOOKS).for_each(|_| look(&run));
    let mut left = full;
    left.remove(&ours[0]);
    assert_eq!(
        stored(&fleet),
        left,
        "the other unneeded one, what runs and all of theirs stay: {}",
        run.log()
    );
    drop(run);
    let (_, history) = ground.trueup(&["history"]);
    let entries = history["entries"].as_array().expect("entries").iter();
    let removed: Vec<&str> = entries
        .filter(|entry| entry["what"] == "remove")
        .filter_map(|entry| entry["subject"].as_str())
        .collect();
    assert!(removed.len() == 1 && removed[0].starts_with("image box:1@sha256:"), "{removed:?}");
}
