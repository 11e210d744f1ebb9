//! `trueup check` of tagged images with a production environment, on a real engine and its registry: where no state is (a
//! shared runner), against what was saved of the fleet, and where trueup runs itself. Nothing is shown but the branch's own.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod fleet;
mod stage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use fleet::Fleet;
use fleet::ground::Ground;
use serde_json::Value;

const FLEET: &str =
    "fleet = \"shop\"\nenvironments = [\"test\", \"prod\"]\n[environment.prod]\nproduction = true\n";

/// An app in both environments, of a tag.
fn app(name: &str) -> [(String, String); 3] {
    let text = format!(
        "app = \"{name}\"\nenvironments = [\"test\", \"prod\"]\nstop_timeout = \"1s\"\n\
         command = [\"/bin/busybox\", \"sleep\", \"36000\"]\n[rollout]\nmin_healthy = \"0s\"\n"
    );
    let image = || "image = \"box:1\"\n".to_owned();
    let file = |file: &str| format!("apps/{name}/{file}.toml");
    [(file("app"), text), (file("test"), image()), (file("prod"), image())]
}

struct Pull<'a> {
    ground: Ground<'a>,
    /// Where the branches begin.
    base: String,
}

impl<'a> Pull<'a> {
    /// A fleet that is as it is declared, with what was saved of it.
    fn new(fleet: &'a Fleet) -> Self {
        for image in ["box:1", "box:2", "box:3"] {
            fleet.push(image, &stage::pack_busybox(fleet.dir(), image));
        }
        let ground = Ground::new(fleet);
        let mut files = BTreeMap::from([
            ("fleet.toml".to_owned(), FLEET.to_owned()),
            ("hosts/all.toml".to_owned(), ground.inventory("1GiB")),
        ]);
        files.extend(app("quote").into_iter().chain(app("other")));
        ground.commit(&files);
        ground.apply_in_full();
        let base = Self::head(&ground);
        ground.told(&["snapshot", "save", &fleet.dir().join("snapshot.json").display().to_string()]);
        Self { ground, base }
    }

    fn head(ground: &Ground<'_>) -> String {
        let output = Command::new("git").arg("-C").arg(ground.repo()).args(["rev-parse", "HEAD"]).output();
        String::from_utf8(output.expect("git").stdout).expect("text").trim().to_owned()
    }

    fn commit(&self, file: &str, text: &str) {
        self.ground.commit(&BTreeMap::from([(file.to_owned(), text.to_owned())]));
    }

    /// A branch that begins at the base and says this of an app in production.
    fn branch(&self, production: &str) {
        stage::git(&self.ground.repo(), &["checkout", "-q", "-B", "branch", &self.base]);
        self.commit("apps/quote/prod.toml", production);
        stage::git(&self.ground.repo(), &["checkout", "-q", "main"]);
    }

    fn snapshot(&self) -> PathBuf {
        self.ground.fleet.dir().join("snapshot.json")
    }

    /// As a runner does it that has nothing but the repository and the snapshot, and maybe the settings.
    fn on_a_runner(&self, with: &[&str]) -> (i32, Value) {
        let empty = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(&self.ground.binary);
        command.args(["check", "--base", "main", "--head", "branch", "--format", "json", "--repo"]);
        command.arg(self.ground.repo()).arg("--state-dir").arg(empty.path()).args(with).stdin(Stdio::null());
        let output = command.output().expect("the binary");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
        (output.status.code().expect("a code"), told)
    }

    /// With the settings, and with them the key of values.
    fn with_settings(&self) -> (i32, Value) {
        let settings = self.ground.fleet.dir().join("trueup.toml").display().to_string();
        self.on_a_runner(&["--config", &settings, "--observed", &self.snapshot().display().to_string()])
    }

    fn without_settings(&self) -> (i32, Value) {
        self.on_a_runner(&["--observed", &self.snapshot().display().to_string()])
    }

    /// A snapshot as releases wrote it that did not know of images.
    fn forget_images(&self) {
        let text = std::fs::read_to_string(self.snapshot()).expect("the snapshot");
        let mut snapshot: Value = serde_json::from_str(&text).expect("JSON");
        let fields = snapshot.as_object_mut().expect("an object");
        assert!(fields.remove("images").is_some() && fields.remove("healthy_in_test").is_some());
        std::fs::write(self.snapshot(), snapshot.to_string()).expect("a file");
    }
}

/// What would be changed: verb and name.
fn changes(told: &Value) -> Vec<String> {
    let all = told["forecast"]["changes"].as_array().expect("changes").iter();
    let word = |change: &Value, key: &str| change[key].as_str().unwrap_or_default().to_owned();
    all.map(|change| format!("{} {}", word(change, "action"), word(change, "name"))).collect()
}

/// Findings of F5: effect and message.
fn findings(told: &Value) -> Vec<(String, String)> {
    let all = told["findings"].as_array().expect("findings").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ours = all.filter(|finding| finding["rule"] == "ran_healthy_first");
    ours.map(|finding| (text(&finding["effect"]), text(&finding["message"]))).collect()
}

/// Only what the branch itself changes, and nothing that waits for anybody.
fn is_only(told: &(i32, Value), wanted: &[&str]) {
    let (code, told) = told;
    assert_eq!((*code, changes(told)), (2, wanted.iter().map(|w| (*w).to_owned()).collect()), "{told:#}");
    for list in ["held", "blocked", "unknown", "anyway"] {
        let listed = told["forecast"][list].as_array().expect(list);
        assert!(listed.is_empty(), "{list}: {told:#}");
    }
    assert!(findings(told).iter().all(|(effect, _)| effect == "told"), "{told:#}");
}

#[test]
fn only_the_branchs_own_change_is_shown_wherever_it_is_checked() {
    let fleet = Fleet::up(1, 0);
    let pull = Pull::new(&fleet);
    let text = std::fs::read_to_string(pull.snapshot()).expect("the snapshot");
    let snapshot: Value = serde_json::from_str(&text).expect("JSON");
    assert!(
        snapshot["images"]["box:1"].as_str().is_some_and(|digest| digest.starts_with("sha256:")),
        "{text}"
    );
    assert_eq!(snapshot["healthy_in_test"][0], snapshot["images"]["box:1"], "{text}");
    let stages = ["as saved", "as earlier releases saved it"];
    for stage in stages {
        // A variable: the container is replaced, and nothing pulled.
        pull.branch("image = \"box:1\"\nenv = { MODE = \"2\" }\n");
        let told = pull.with_settings();
        is_only(&told, &["replace quote-prod-0"]);
        assert!(findings(&told.1).is_empty(), "{stage}: it runs this image already: {:#}", told.1);
        // Without the key values are not compared, which is said; no other is in the plan for that.
        let told = pull.without_settings();
        is_only(&told, &[]);
        assert!(told.1["warnings"].to_string().contains("another key"), "{stage}: {:#}", told.1);
        // What an engine does in place stays a change in place.
        pull.branch("image = \"box:1\"\n[limits]\nmemory = \"64MiB\"\n");
        is_only(&pull.without_settings(), &["update quote-prod-0"]);

        // A tag that nobody resolved: said, and judged once it is merged.
        pull.branch("image = \"box:2\"\n");
        for told in [pull.with_settings(), pull.without_settings()] {
            is_only(&told, &["create box:2", "replace quote-prod-0"]);
            assert!(told.1["warnings"].to_string().contains("box:2 is new here"), "{stage}: {:#}", told.1);
            let found = findings(&told.1);
            assert!(
                found.len() == 1 && found[0].1.contains("could not be judged here"),
                "{stage}: {found:?}"
            );
        }
        let (code, told) = pull.on_a_runner(&["--no-fleet"]);
        assert!(code == 2 && told["warnings"].to_string().contains("box:2 is new here"), "{told:#}");
        if stage == stages[0] {
            pull.forget_images();
        }
    }

    // Where trueup runs: the branch began at a revision that is no longer enforced, and of which no lock is left.
    pull.commit("README.md", "hello\n");
    pull.ground.apply_in_full();
    pull.branch("image = \"box:1\"\nenv = { MODE = \"2\" }\n");
    let told = pull.ground.trueup(&["check", "--base", "main", "--head", "branch"]);
    is_only(&told, &["replace quote-prod-0"]);
    assert!(findings(&told.1).is_empty(), "{:#}", told.1);
}

/// F5: what `check` leaves open the reconciler decides, and what is known is denied at once.
#[test]
fn an_image_that_never_ran_in_test_is_held_where_it_is_enforced() {
    let fleet = Fleet::up(1, 0);
    let pull = Pull::new(&fleet);
    // Told in `check` even where the team makes the rule final: nothing is known, so nothing can be denied.
    pull.ground.add_settings("[policy]\nrules = { ran_healthy_first = \"final\" }\n");
    pull.branch("image = \"box:2\"\n");
    is_only(&pull.with_settings(), &["create box:2", "replace quote-prod-0"]);

    stage::git(&pull.ground.repo(), &["merge", "-q", "--ff-only", "branch"]);
    let before = fleet.docker_ok("h1", &["inspect", "quote-prod-0", "--format", "{{.Id}} {{.Image}}"]);
    let (code, done) = pull.ground.trueup(&["apply", "--yes"]);
    assert_eq!(code, 3, "{done:#}");
    let (code, plan) = pull.ground.trueup(&["plan"]);
    let found = findings(&plan);
    let held = found
        .iter()
        .any(|(effect, said)| effect == "holds" && said.contains("was never seen healthy in test"));
    assert!(code == 3 && held, "{plan:#}");
    let after = fleet.docker_ok("h1", &["inspect", "quote-prod-0", "--format", "{{.Id}} {{.Image}}"]);
    assert_eq!(after, before, "production stays as it was");

    // Its digest is known from now on: a branch that wants it in production too is denied without a state.
    let snapshot = pull.snapshot().display().to_string();
    pull.ground.told(&["snapshot", "save", &snapshot]);
    stage::git(&pull.ground.repo(), &["checkout", "-q", "-B", "branch", "main"]);
    pull.commit("apps/other/prod.toml", "image = \"box:2\"\n");
    stage::git(&pull.ground.repo(), &["checkout", "-q", "main"]);
    let (code, told) = pull.with_settings();
    let found = findings(&told);
    assert!(
        code == 3 && found.iter().any(|(effect, said)| effect == "holds" && said.contains("never seen")),
        "{told:#}"
    );

    // Tried in test first, it may go, and the snapshot says so.
    pull.commit("apps/quote/test.toml", "image = \"box:2\"\n");
    let (_, done) = pull.ground.trueup(&["apply", "--yes"]);
    pull.ground.told(&["snapshot", "save", &snapshot]);
    let (code, told) = pull.with_settings();
    assert!(findings(&told).iter().all(|(effect, _)| effect == "told"), "{code} {told:#} {done:#}");
}
