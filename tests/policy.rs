//! Policies in the whole line on the simulated fleet: what is denied is held while healing goes on, the rules are those
//! of the last applied revision, and a person's override lets through exactly what it names (F2, F3, F5).

#![allow(clippy::expect_used, clippy::panic)]

mod simulation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use trueup::apply::Stop;
use trueup::control::World;
use trueup::control::baseline::Applied;
use trueup::control::converge::{Converged, Scope, converge};
use trueup::control::memory::{Memory, Override};
use trueup::control::pass::{self, Pass};
use trueup::control::revision::Reader;
use trueup::model::finding::{Effect, Finding};
use trueup::model::image::Digest;
use trueup::model::names::{HostName, Revision};
use trueup::model::policy::{PolicySettings, Switch, Window, WindowEffect};
use trueup::model::secrecy::{ContentHash, HashKey};
use trueup::model::settings::Reference;
use trueup::ports::{Record, SandboxError, Store as _};
use trueup::sim::{SimRepository, SimSandbox, SimStore, SimWorld};

struct Sim {
    fleet: SimWorld,
    repository: Arc<SimRepository>,
    store: SimStore,
    world: World,
    reader: Reader,
    sandbox: Arc<SimSandbox>,
}

const IMAGES: [&str; 5] = ["app:1", "app:2", "app:3", "stranger:1", "stranger:2"];

/// The simulator's digest of an image is the hash of its name.
fn image_of(digest: &Digest) -> String {
    let is = |image: &&&str| digest.as_str() == format!("sha256:{}", ContentHash::of(image.as_bytes()));
    IMAGES.iter().find(is).expect("an image of these").to_string()
}

fn host() -> HostName {
    "h".parse().expect("a name")
}

/// Only images of this name come from where they may.
fn registries() -> PolicySettings {
    PolicySettings { registries: vec!["docker.io/library/app".into()], ..PolicySettings::default() }
}

impl Sim {
    fn new(policy: PolicySettings) -> Self {
        let key = HashKey::new([3; 32]);
        let fleet = SimWorld::new(key.clone(), 1);
        for image in IMAGES {
            fleet.add_image_everywhere(&image.parse().expect("an image"));
        }
        let (repository, store) = (Arc::new(SimRepository::default()), SimStore::default());
        let sandbox = Arc::new(SimSandbox::default());
        let world = World {
            store: Arc::new(store.clone()),
            sandbox: sandbox.clone(),
            policy,
            ..simulation::world(&fleet, key, repository.clone())
        };
        Self { fleet, repository, store, world, reader: Reader::default(), sandbox }
    }

    /// Apps by name, environment and image, with further files.
    fn commit(&self, apps: &[(&str, &str, &str)], more: &[(&str, &str)]) {
        let fleet =
            "fleet = \"sim\"\nenvironments = [\"test\", \"prod\"]\n[environment.prod]\nproduction = true\n";
        let inventory =
            "[host.h]\naddress = \"192.0.2.1\"\nengine = \"sim://\"\nenvironments = [\"test\", \"prod\"]\n";
        let mut files: BTreeMap<String, String> =
            [("fleet.toml", fleet), ("hosts/h.toml", inventory)].map(|(p, t)| (p.into(), t.into())).into();
        for (name, environment, image) in apps {
            files.insert(
                format!("apps/{name}/app.toml"),
                format!(
                    "app = \"{name}\"\nreplicas = 1\nruntime = \"host\"\n[rollout]\nmin_healthy = \"1s\"\n"
                ),
            );
            files.insert(format!("apps/{name}/{environment}.toml"), format!("image = \"{image}\"\n"));
        }
        files.extend(more.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
        self.repository.commit(&files);
    }

    async fn apply(&self) -> Converged {
        let (stop, agree) = (Stop::default(), |_: &Pass| true);
        let scope = Scope::of_a_person(&agree, &stop);
        converge(&self.world, &self.reader, &scope).await.expect("an apply")
    }

    async fn look(&self) -> Pass {
        let taken = Reader::default().take(&self.world, false).await.expect("a revision");
        pass::look(&self.world, taken, false).await.expect("a look")
    }

    /// The images that run, by container.
    fn running(&self) -> BTreeMap<String, String> {
        self.fleet.by_hand(&host(), |all| {
            all.values()
                .filter(|c| c.state.is_running())
                .map(|c| (c.name.to_string(), image_of(&c.image)))
                .collect()
        })
    }

    fn kill_all(&self) {
        self.fleet.by_hand(&host(), |all| all.clear());
    }
}

fn rt() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

fn running(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, image)| ((*name).to_owned(), (*image).to_owned())).collect()
}

fn holding(pass: &Pass) -> Vec<Finding> {
    pass.plan.findings.holding().cloned().collect()
}

#[test]
fn what_is_denied_waits_and_heals_as_it_was_while_the_others_go_on() {
    rt().block_on(async {
        let sim = Sim::new(registries());
        sim.commit(&[("a", "test", "app:1"), ("b", "test", "app:1")], &[]);
        assert_eq!(sim.apply().await.exit_code(), 0);
        sim.commit(&[("a", "test", "stranger:1"), ("b", "test", "app:2")], &[]);
        let done = sim.apply().await;
        assert_eq!(done.exit_code(), 3, "{:#?}", done.last.plan);
        assert_eq!(sim.running(), running(&[("a-test-0", "app:1"), ("b-test-0", "app:2")]));
        let blocked = &done.last.plan.blocked[0];
        assert!(
            blocked.reason.contains("allowed_registries") && blocked.hint.contains("trueup override"),
            "{blocked:?}"
        );
        // Healing goes on, of both: the held one as it was, the other as it is now.
        sim.kill_all();
        let _ = sim.apply().await;
        assert_eq!(sim.running(), running(&[("a-test-0", "app:1"), ("b-test-0", "app:2")]));
        // A later commit does not smuggle it in, and what mends it lets everything pass.
        sim.commit(&[("a", "test", "stranger:1"), ("b", "test", "app:3")], &[]);
        let _ = sim.apply().await;
        assert_eq!(sim.running(), running(&[("a-test-0", "app:1"), ("b-test-0", "app:3")]));
        sim.commit(&[("a", "test", "app:2"), ("b", "test", "app:3")], &[]);
        assert_eq!(sim.apply().await.exit_code(), 0);
        assert_eq!(sim.running(), running(&[("a-test-0", "app:2"), ("b-test-0", "app:3")]));
        assert!(sim.look().await.plan.findings.findings.is_empty());
    });
}

const NO_STRANGERS: &str = "package team.strangers\nimport rego.v1\n\
    deny contains {\"app\": app.key, \"msg\": \"no strangers here\"} if {\n\
    some app in input.apps\n startswith(app.after.image.declared, \"stranger\")\n}\n";

#[test]
fn rules_weakened_in_the_same_push_still_judge_it() {
    rt().block_on(async {
        let sim = Sim::new(PolicySettings::default());
        let rules = [("policies/strangers.rego", NO_STRANGERS)];
        // The first revision is judged by the library alone, and says so.
        sim.commit(&[("a", "test", "app:1")], &rules);
        let notes = sim.look().await.plan.findings.notes;
        assert!(notes.iter().any(|note| note.contains("from the next revision on")), "{notes:?}");
        assert_eq!(sim.apply().await.exit_code(), 0);
        // Away with the rule, in with what it forbade: held, however often it is looked at.
        sim.commit(&[("a", "test", "stranger:1")], &[]);
        for _ in 0..3 {
            assert_eq!(sim.apply().await.exit_code(), 3);
            assert_eq!(sim.running(), running(&[("a-test-0", "app:1")]));
        }
        sim.commit(&[("a", "test", "stranger:2")], &[]);
        assert_eq!(holding(&sim.apply().await.last)[0].rule, "team.strangers");
        // In two steps, each of them looked at, it is possible: the rules of the first judge the second.
        sim.commit(&[("a", "test", "app:1")], &[]);
        assert_eq!(sim.apply().await.exit_code(), 0);
        sim.commit(&[("a", "test", "stranger:1")], &[]);
        assert_eq!(sim.apply().await.exit_code(), 0);
        assert_eq!(sim.running(), running(&[("a-test-0", "stranger:1")]));
    });
}

#[test]
fn a_commit_whose_rules_do_not_compile_is_not_taken() {
    rt().block_on(async {
        let sim = Sim::new(PolicySettings::default());
        sim.commit(&[("a", "test", "app:1")], &[]);
        let _ = sim.apply().await;
        sim.commit(&[("a", "test", "app:2")], &[("policies/bad.rego", "package bad\ndeny contains\n")]);
        let done = sim.apply().await;
        let why = done.last.taken.kept_because.expect("the head is kept out");
        assert!(why.contains("policies/bad.rego:"), "{why}");
        assert_eq!(sim.running(), running(&[("a-test-0", "app:1")]));
    });
}

/// A3: names that nobody asks are refused with the commit that brings them. What an earlier trueup took stays enforced, and the
/// commit that takes them away passes.
#[test]
fn a_commit_whose_rules_nobody_asks_is_not_taken() {
    rt().block_on(async {
        let mut sim = Sim::new(PolicySettings::default());
        let limits = "package team\nimport rego.v1\nrequire contains \"limits\" if input.apps\n";
        let rules = [("policies/team.rego", limits)];
        sim.commit(&[("a", "test", "app:1")], &rules);
        let why = sim.reader.take(&sim.world, true).await.expect_err("refused").to_string();
        assert!(why.contains("policies/team.rego:3:1: nobody asks `require`"), "{why}");
        // Where it is switched off it is nobody's anyway; then the settings switch it on.
        sim.world.policy.rules.insert("team".to_owned(), Switch::Off);
        sim.reader = Reader::default();
        assert_eq!(sim.apply().await.exit_code(), 0);
        sim.world.policy = PolicySettings::default();
        sim.reader = Reader::default();
        sim.kill_all();
        assert_eq!(sim.apply().await.exit_code(), 0);
        assert_eq!(sim.running(), running(&[("a-test-0", "app:1")]));
        sim.commit(&[("a", "test", "app:2")], &rules);
        let done = sim.apply().await;
        let why = done.last.taken.kept_because.expect("the head is kept out");
        assert!(why.contains("nobody asks `require`"), "{why}");
        sim.kill_all();
        let _ = sim.apply().await;
        assert_eq!(sim.running(), running(&[("a-test-0", "app:1")]));
        // Its removal is told and not held.
        sim.commit(&[("a", "test", "app:2")], &[]);
        let told = sim.look().await.plan.findings.findings;
        assert!(told.iter().any(|finding| finding.message.contains("nobody asks")), "{told:?}");
        assert_eq!(sim.apply().await.exit_code(), 0);
        assert_eq!(sim.running(), running(&[("a-test-0", "app:2")]));
    });
}

#[test]
fn a_head_whose_rules_give_no_answer_is_not_taken_and_is_left_alone_for_a_while() {
    rt().block_on(async {
        let sim = Sim::new(PolicySettings::default());
        sim.commit(&[("a", "test", "app:1")], &[]);
        let _ = sim.apply().await;
        let rules = [("policies/slow.rego", "package slow\nimport rego.v1\ndeny contains \"x\" if false\n")];
        sim.commit(&[("a", "test", "app:2")], &rules);
        sim.sandbox.silence(Some(SandboxError::Deadline { seconds: 20 }));
        let done = sim.apply().await;
        let why = done.last.taken.kept_because.expect("the head is kept out");
        assert!(why.contains("policies: the rules took more than 20 s: make them do less"), "{why}");
        // Healing goes on, and the rules are not tried at every look.
        sim.kill_all();
        let asked = sim.sandbox.asked();
        let _ = sim.apply().await;
        assert_eq!(sim.running(), running(&[("a-test-0", "app:1")]));
        assert_eq!(sim.sandbox.asked(), asked);
        sim.sandbox.silence(None);
        sim.world.clock.sleep(std::time::Duration::from_secs(601)).await;
        assert_eq!(sim.apply().await.exit_code(), 0);
        assert_eq!(sim.running(), running(&[("a-test-0", "app:2")]));
    });
}

#[test]
fn applied_rules_that_give_no_answer_hold_the_next_revision() {
    rt().block_on(async {
        let sim = Sim::new(PolicySettings::default());
        sim.commit(&[("a", "test", "app:1")], &[]);
        let _ = sim.apply().await;
        sim.commit(&[("a", "test", "app:2")], &[]);
        sim.sandbox.silence(Some(SandboxError::Broke { mebibytes: 512, how: "signal 6".into() }));
        let told = holding(&sim.apply().await.last);
        assert!(told[0].message.contains("512 MiB"), "{told:?}");
        assert_eq!(sim.running(), running(&[("a-test-0", "app:1")]));
        // They are not tried at every look: after a minute, two, four, up to ten, and every change anew.
        let asked = |sim: &Sim| sim.sandbox.asked();
        let mut before = asked(&sim);
        for (wait, more) in [(50, 0), (11, 1), (110, 0), (11, 1), (230, 0), (11, 1)] {
            sim.world.clock.sleep(std::time::Duration::from_secs(wait)).await;
            assert!(holding(&sim.apply().await.last)[0].message.contains("512 MiB"));
            assert_eq!(asked(&sim) - before, more, "after {wait} s more");
            before = asked(&sim);
        }
        sim.sandbox.silence(None);
        sim.commit(&[("a", "test", "app:3")], &[]);
        let _ = sim.apply().await;
        assert_eq!(sim.running(), running(&[("a-test-0", "app:3")]));
    });
}

#[test]
fn the_registry_of_what_is_denied_is_not_asked() {
    rt().block_on(async {
        let mut sim = Sim::new(registries());
        let asked = |sim: &Sim, image: &str| sim.fleet.resolved().contains(&image.parse().expect("an image"));
        // In the first revision, where there is nothing to fall back to, and in a later one.
        sim.commit(&[("a", "test", "stranger:1"), ("b", "test", "app:1")], &[]);
        let _ = sim.apply().await;
        sim.commit(&[("a", "test", "app:1"), ("b", "test", "app:1")], &[]);
        let _ = sim.apply().await;
        sim.commit(&[("a", "test", "stranger:2"), ("b", "test", "app:2")], &[]);
        let _ = sim.apply().await;
        assert!(asked(&sim, "app:1") && asked(&sim, "app:2"));
        assert!(!asked(&sim, "stranger:1") && !asked(&sim, "stranger:2"), "{:?}", sim.fleet.resolved());
        // What no rule denies any more is asked.
        sim.world.policy = PolicySettings::default();
        assert_eq!(sim.apply().await.exit_code(), 0);
        assert!(asked(&sim, "stranger:2"));
    });
}

#[test]
fn a_service_of_a_swarm_proves_its_image_healthy_for_production() {
    rt().block_on(async {
        let sim = Sim::new(PolicySettings {
            rules: BTreeMap::from([("ran_healthy_first".to_owned(), Switch::Final)]),
            ..PolicySettings::default()
        });
        sim.fleet.start_swarm("s", &[host()], &[]);
        let fleet = "fleet = \"sim\"\nenvironments = [\"test\", \"prod\"]\n[environment.prod]\nproduction = true\n\
                     [swarm.s]\nmanagers = [\"h\"]\n";
        let app = "app = \"a\"\nreplicas = 1\nruntime = \"swarm\"\n[rollout]\nmin_healthy = \"1s\"\n";
        let commit = |test: &str, prod: &str| {
            let image = |image: &str| format!("image = \"{image}\"\n");
            sim.commit(&[], &[
                ("fleet.toml", fleet),
                ("apps/a/app.toml", app),
                ("apps/a/test.toml", &image(test)),
                ("apps/a/prod.toml", &image(prod)),
            ]);
        };
        commit("app:1", "app:1");
        let told = holding(&sim.apply().await.last);
        assert!(told.len() == 1 && told[0].message.contains("never seen healthy"), "{told:?}");
        sim.world.clock.sleep(std::time::Duration::from_secs(60)).await;
        let _ = sim.apply().await;
        let done = sim.apply().await;
        assert_eq!(done.exit_code(), 0, "{:#?}", done.last.plan);
        // And only what ran there.
        commit("app:1", "app:2");
        assert_eq!(holding(&sim.apply().await.last).len(), 1);
    });
}

#[test]
fn a_rule_that_fails_holds_the_revision_as_a_whole() {
    rt().block_on(async {
        let sim = Sim::new(PolicySettings::default());
        let fails = "package team\nimport rego.v1\ndeny contains \"x\" if {\n some app in input.apps\n app.before.replicas + app.key == 3\n}\n";
        sim.commit(&[("a", "test", "app:1")], &[("policies/fails.rego", fails)]);
        let _ = sim.apply().await;
        sim.commit(&[("a", "test", "app:2"), ("b", "test", "app:1")], &[("policies/fails.rego", fails)]);
        let done = sim.apply().await;
        let told = holding(&done.last);
        assert!(told[0].message.contains("could not be evaluated") && told[0].file.contains("fails.rego:5"), "{told:?}");
        sim.kill_all();
        let _ = sim.apply().await;
        assert_eq!(sim.running(), running(&[("a-test-0", "app:1")]));
    });
}

#[test]
fn an_override_lets_one_finding_pass_at_one_revision() {
    rt().block_on(async {
        let sim = Sim::new(registries());
        sim.commit(&[("a", "test", "app:1"), ("b", "test", "app:1")], &[]);
        let _ = sim.apply().await;
        sim.commit(&[("a", "test", "stranger:1"), ("b", "test", "stranger:1")], &[]);
        let pass = sim.apply().await.last;
        let revision = pass.taken.desired.revision.clone();
        let finding = holding(&pass).remove(0);
        let entry = Override {
            revision: revision.clone(),
            rule: finding.rule.clone(),
            reason: "Ada: tried it".into(),
            at: sim.world.clock.now(),
        };
        Memory::new(&sim.store).override_finding(&finding.id(&revision), &entry).expect("kept");
        let done = sim.apply().await;
        assert_eq!(sim.running(), running(&[("a-test-0", "stranger:1"), ("b-test-0", "app:1")]));
        assert_eq!(done.last.plan.blocked.len(), 1);
        let history = sim.store.history(100).expect("history");
        assert!(
            history.iter().any(|entry| entry.what == "overridden" && entry.subject == "a-test"),
            "{history:?}"
        );
        // It is no licence for the next revision.
        sim.commit(&[("a", "test", "stranger:2"), ("b", "test", "app:1")], &[]);
        let _ = sim.apply().await;
        assert_eq!(sim.running(), running(&[("a-test-0", "stranger:1"), ("b-test-0", "app:1")]));
    });
}

fn freeze() -> Vec<Window> {
    vec![Window {
        name: "year's end".into(),
        effect: WindowEffect::Deny,
        environments: BTreeSet::new(),
        zone: "Europe/Berlin".parse().expect("a zone"),
        days: Vec::new(),
        hours: None,
        begin: None,
        end: None,
    }]
}

#[test]
fn a_freeze_holds_changes_and_heals() {
    rt().block_on(async {
        let mut sim = Sim::new(PolicySettings::default());
        sim.commit(&[("a", "test", "app:1"), ("p", "prod", "app:1")], &[]);
        let _ = sim.apply().await;
        sim.world.policy.freeze = freeze();
        sim.commit(&[("a", "test", "app:2"), ("p", "prod", "app:2")], &[]);
        sim.kill_all();
        let done = sim.apply().await;
        assert_eq!(sim.running(), running(&[("a-test-0", "app:2"), ("p-prod-0", "app:1")]));
        assert!(holding(&done.last)[0].message.contains("year's end"), "{:?}", done.last.plan.findings);
        sim.world.policy.freeze.clear();
        assert_eq!(sim.apply().await.exit_code(), 0);
        assert_eq!(sim.running(), running(&[("a-test-0", "app:2"), ("p-prod-0", "app:2")]));
        // What was applied before the freeze is no change inside it.
        sim.world.policy.freeze = freeze();
        sim.kill_all();
        assert_eq!(sim.apply().await.exit_code(), 0);
        assert_eq!(sim.running(), running(&[("a-test-0", "app:2"), ("p-prod-0", "app:2")]));
    });
}

/// F3, A6: what was declared while the fleet was only watched is not let loose inside a freeze.
#[test]
fn a_freeze_holds_what_a_watched_fleet_waits_for() {
    rt().block_on(async {
        let mut sim = Sim::new(PolicySettings::default());
        let watched = "detect_only = true\nfleet = \"sim\"\nenvironments = [\"test\", \"prod\"]\n\
                       [environment.prod]\nproduction = true\n";
        sim.commit(&[("p", "prod", "app:1")], &[]);
        let _ = sim.apply().await;
        sim.commit(&[("p", "prod", "app:2")], &[("fleet.toml", watched)]);
        let _ = sim.apply().await;
        assert_eq!(sim.running(), running(&[("p-prod-0", "app:1")]));
        sim.world.policy.freeze = freeze();
        sim.commit(&[("p", "prod", "app:2")], &[]);
        let done = sim.apply().await;
        assert!(holding(&done.last)[0].message.contains("detect_only"), "{:?}", done.last.plan.findings);
        assert_eq!(sim.running(), running(&[("p-prod-0", "app:1")]));
        sim.world.policy.freeze.clear();
        assert_eq!(sim.apply().await.exit_code(), 0);
        assert_eq!(sim.running(), running(&[("p-prod-0", "app:2")]));
    });
}

#[test]
fn production_gets_only_what_ran_healthy_in_test() {
    rt().block_on(async {
        let rules = BTreeMap::from([("ran_healthy_first".to_owned(), Switch::Final)]);
        let mut sim = Sim::new(PolicySettings::default());
        sim.commit(&[("t", "test", "app:1"), ("p", "prod", "app:1")], &[]);
        let _ = sim.apply().await;
        sim.world.policy.rules = rules;
        sim.commit(&[("t", "test", "app:1"), ("p", "prod", "app:2")], &[]);
        let told = holding(&sim.apply().await.last);
        assert!(told[0].rule == "ran_healthy_first" && told[0].effect == Effect::Holds, "{told:?}");
        sim.commit(&[("t", "test", "app:2"), ("p", "prod", "app:2")], &[]);
        let _ = sim.apply().await;
        // It has to be seen healthy for its min_healthy, and then it passes.
        sim.world.clock.sleep(std::time::Duration::from_secs(5)).await;
        let _ = sim.apply().await;
        assert_eq!(sim.apply().await.exit_code(), 0);
        assert_eq!(sim.running(), running(&[("p-prod-0", "app:2"), ("t-test-0", "app:2")]));
        // What no registry can tell is no better than what never ran: only a forecast lets it open.
        sim.commit(&[("t", "test", "app:2"), ("p", "prod", "app:404")], &[]);
        let told = holding(&sim.apply().await.last);
        assert!(told[0].rule == "ran_healthy_first" && told[0].message.contains("is not known"), "{told:?}");
        assert_eq!(sim.running(), running(&[("p-prod-0", "app:2"), ("t-test-0", "app:2")]));
    });
}

#[test]
fn the_first_revision_takes_nothing_away_where_it_is_held() {
    rt().block_on(async {
        let mut sim = Sim::new(PolicySettings::default());
        sim.commit(&[("a", "test", "stranger:1"), ("b", "test", "app:1")], &[]);
        let _ = sim.apply().await;
        // The state file is lost, and the settings are stricter by now.
        let store = SimStore::default();
        (sim.world.store, sim.store) = (Arc::new(store.clone()), store);
        sim.world.policy = registries();
        let done = sim.apply().await;
        assert_eq!(done.exit_code(), 3);
        assert_eq!(sim.running(), running(&[("a-test-0", "stranger:1"), ("b-test-0", "app:1")]));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whatever is committed in whatever order: no plan ever has a change towards what is denied.
    #[test]
    fn a_denied_change_is_never_planned(commits in prop::collection::vec((0usize..3, 0usize..3, prop::bool::ANY), 1..5)) {
        rt().block_on(async {
            let images = ["app:1", "stranger:1", "app:2"];
            let sim = Sim::new(registries());
            sim.commit(&[("a", "test", "app:1"), ("b", "test", "app:1")], &[]);
            let _ = sim.apply().await;
            for (a, b, kill) in commits {
                sim.commit(&[("a", "test", images[a]), ("b", "test", images[b])], &[]);
                if kill {
                    sim.kill_all();
                }
                let plan = serde_json::to_string(&sim.look().await.plan.changes).expect("JSON");
                let strangers = IMAGES.iter().filter(|image| image.starts_with("stranger"));
                let digests = strangers.map(|image| ContentHash::of(image.as_bytes()).to_string());
                assert!(!plan.contains("stranger") && digests.into_iter().all(|d| !plan.contains(&d)), "{plan}");
                let done = sim.apply().await;
                let denied = [a, b].iter().filter(|n| **n == 1).count();
                assert_eq!(done.last.plan.blocked.len(), denied);
                let running = sim.running();
                assert!(running.len() == 2 && running.values().all(|image| image.starts_with("app:")), "{running:?}");
            }
        });
    }
}

#[test]
fn a_lost_applied_revision_judges_nothing_until_a_person_names_another() {
    rt().block_on(async {
        let sim = Sim::new(PolicySettings::default());
        sim.commit(&[("a", "test", "app:1")], &[]);
        let _ = sim.apply().await;
        let memory = Memory::new(&sim.store);
        memory.set_applied(&Applied::all(&Revision::new("gone".to_owned()))).expect("kept");
        let error = Reader::default().take(&sim.world, true).await.expect_err("nothing to compare with");
        assert!(error.to_string().contains("trueup trust"), "{error}");
        // What `trueup trust` does.
        let taken = sim.reader.named(&sim.world, &Reference::Head).await.expect("the head itself is good");
        memory.set_applied(&Applied::all(&taken.desired.revision)).expect("kept");
        assert_eq!(sim.apply().await.exit_code(), 0);
    });
}

#[test]
fn a_state_file_of_a_release_without_policies_goes_on_from_what_it_enforced() {
    rt().block_on(async {
        let mut sim = Sim::new(PolicySettings::default());
        sim.commit(&[("a", "test", "app:1")], &[]);
        let _ = sim.apply().await;
        sim.store.delete(Record::LastGood, "applied").expect("as it was before");
        sim.world.policy = registries();
        sim.kill_all();
        assert_eq!(sim.apply().await.exit_code(), 0);
        sim.commit(&[("a", "test", "stranger:1")], &[]);
        assert_eq!(sim.apply().await.exit_code(), 3);
        assert_eq!(sim.running(), running(&[("a-test-0", "app:1")]));
    });
}

/// F2: however a rule says that it looks at the plan, it gets one.
#[test]
fn a_rule_that_spells_the_plan_otherwise_holds_as_well() {
    for body in [
        "some c in object.get(input, [\"plan\", \"changes\"], [])\n c.action == \"replace\"",
        "doc := input\n some c in doc.plan.changes\n c.action == \"replace\"",
    ] {
        rt().block_on(async {
            let sim = Sim::new(PolicySettings::default());
            let rule = format!(
                "package team\nimport rego.v1\ndeny contains {{\"app\": c.app, \"msg\": \"no\"}} if {{\n {body}\n}}\n"
            );
            let rules = [("policies/replace.rego", &*rule)];
            sim.commit(&[("a", "test", "app:1")], &rules);
            let _ = sim.apply().await;
            sim.commit(&[("a", "test", "app:2")], &rules);
            assert_eq!(sim.apply().await.exit_code(), 3, "{body}");
            assert_eq!(sim.running(), running(&[("a-test-0", "app:1")]), "{body}");
        });
    }
}

#[test]
fn a_rule_may_look_at_the_draft_of_the_plan() {
    rt().block_on(async {
        let sim = Sim::new(PolicySettings::default());
        let rule = "package team\nimport rego.v1\ndeny contains {\"app\": c.app, \"msg\": c.because[0]} if {\n\
                    some c in input.plan.changes\n c.action == \"replace\"\n}\n";
        let rules = [("policies/replace.rego", rule)];
        sim.commit(&[("a", "test", "app:1"), ("b", "test", "app:1")], &rules);
        let _ = sim.apply().await;
        sim.commit(&[("a", "test", "app:2"), ("b", "test", "app:1"), ("c", "test", "app:1")], &rules);
        let done = sim.apply().await;
        assert!(holding(&done.last)[0].message.contains("image"), "{:?}", done.last.plan.findings);
        let expected = [("a-test-0", "app:1"), ("b-test-0", "app:1"), ("c-test-0", "app:1")];
        assert_eq!(sim.running(), running(&expected));
    });
}
