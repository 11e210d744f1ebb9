//! Revisions that a person names (`--rev`): what changes something is bound as it is for the head (F0, F1, B2), and a look
//! dials only what is enforced (F4). The whole line on the simulated fleet.

#![allow(clippy::expect_used, clippy::panic)]

mod simulation;

use std::collections::BTreeMap;
use std::sync::Arc;

use simulation::rt;
use trueup::apply::Stop;
use trueup::control::converge::{Converged, Scope, converge};
use trueup::control::memory::Memory;
use trueup::control::pass::{self, Pass};
use trueup::control::revision::{Purpose, Reader};
use trueup::control::{ControlError, World, person};
use trueup::model::last_seen::LastSeen;
use trueup::model::names::{HostName, Revision};
use trueup::model::observed::Seen;
use trueup::model::policy::{Window, WindowEffect};
use trueup::model::secrecy::HashKey;
use trueup::model::settings::Reference;
use trueup::ports::{Record, Repository as _};
use trueup::sim::{Fault, SimRepository, SimWorld};

struct Line {
    fleet: SimWorld,
    repository: Arc<SimRepository>,
    world: World,
}

fn host(name: &str) -> HostName {
    name.parse().expect("a name")
}

/// One app of this image on each of these hosts.
fn files(image: &str, hosts: &[&str]) -> BTreeMap<String, String> {
    let declared = hosts.iter().enumerate().map(|(n, name)| {
        format!("[host.{name}]\naddress = \"192.0.2.{n}\"\nengine = \"sim://\"\nenvironments = [\"test\"]\n")
    });
    let app = format!(
        "app = \"web\"\nenvironments = [\"test\"]\nruntime = \"host\"\nimage = \"{image}\"\nreplicas = \"every-host\"\n\
         [rollout]\nmin_healthy = \"0s\"\n"
    );
    BTreeMap::from([
        ("fleet.toml".to_owned(), "fleet = \"sim\"\nenvironments = [\"test\"]\n".to_owned()),
        ("hosts/all.toml".to_owned(), declared.collect()),
        ("apps/web/app.toml".to_owned(), app),
    ])
}

impl Line {
    fn new() -> Self {
        let key = HashKey::new([3; 32]);
        let fleet = SimWorld::new(key.clone(), 1);
        for n in 1..6 {
            fleet.add_image_everywhere(&format!("app:{n}").parse().expect("an image"));
        }
        let repository = Arc::new(SimRepository::default());
        let world = simulation::world(&fleet, key, repository.clone());
        Self { fleet, repository, world }
    }

    fn commit(&self, image: &str, hosts: &[&str]) -> Revision {
        self.repository.commit(&files(image, hosts))
    }

    /// A commit that is on no branch: the head is the other one, and neither has the other in its history.
    fn beside(&self, (image, hosts): (&str, &[&str]), head: &str) -> Revision {
        let aside = self.commit(image, hosts);
        self.repository.force_push(&files(head, &["a"]), "the head");
        aside
    }

    fn naming(&self, revision: &Revision) -> World {
        let revision = Some(Reference::Commit(revision.to_string()));
        World { revision, ..self.world.clone() }
    }

    async fn apply(&self, world: &World) -> Result<Converged, ControlError> {
        let (stop, agree) = (Stop::default(), |_: &Pass| true);
        converge(world, &Reader::default(), &Scope::of_a_person(&agree, &stop)).await
    }

    async fn refused(&self, revision: &Revision) -> String {
        let (world, before) = (self.naming(revision), self.images());
        let error = self.apply(&world).await.expect_err("held").to_string();
        assert_eq!(self.images(), before, "what is held changes nothing");
        // Nobody restarts, approves, overrides or collects by it either.
        let other = Reader::default().take_for(&world, Purpose::Act).await.expect_err("held").to_string();
        assert_eq!(error, other);
        error
    }

    /// What runs on the host `a`.
    fn images(&self) -> Vec<String> {
        let containers = self.fleet.containers(&host("a"));
        let tags = containers.values().filter_map(|c| self.fleet.tag_of(&c.image));
        tags.map(|tag| tag.to_string()).collect()
    }

    fn history(&self) -> Vec<String> {
        let all = self.world.store.history(1000).expect("the history");
        all.into_iter().filter(|e| e.what == "revision").map(|e| e.detail).collect()
    }
}

/// F0: of another branch, older, or in place of what is enforced.
#[test]
fn what_does_not_descend_from_what_is_enforced_changes_nothing() {
    rt().block_on(async {
        let line = Line::new();
        let old = line.commit("app:1", &["a"]);
        assert_eq!(line.apply(&line.world).await.expect("an apply").exit_code(), 0);
        let other = line.beside(("app:2", &["a"]), "app:3");
        assert_eq!(line.apply(&line.world).await.expect("an apply").exit_code(), 0);
        assert_eq!(line.images(), ["app:3"]);
        for revision in [&other, &old] {
            let why = line.refused(revision).await;
            assert!(why.contains("does not descend") && why.contains("(F0)"), "{why}");
            assert!(why.contains(&format!("trueup trust {revision}")), "{why}");
            let older = *revision == old;
            assert_eq!(why.contains("is older than the enforced"), older, "{why}");
            assert_eq!(why.contains("a force-push?"), !older, "{why}");
            // Looking at it says so, with everything else.
            let pass = pass::take_and_look(&line.naming(revision)).await.expect("a look");
            assert_eq!(pass.plan.revision, *revision);
            assert!(pass.plan.blocked.iter().any(|b| b.reason.contains("(F0)")), "{:?}", pass.plan.blocked);
            assert!(!pass.plan.changes.is_empty() && pass.plan.exit_code() == 3, "{:?}", pass.plan);
        }
        let took = line.history();
        assert!(!took.iter().any(|told| told.contains(other.short())), "{took:?}");
        // A person who means it says so.
        person::trust(&line.world, old.as_str()).await.expect("trusted");
        assert_eq!(line.apply(&line.naming(&old)).await.expect("an apply").exit_code(), 0);
        assert_eq!(line.images(), ["app:1"]);
    });
}

/// What the branch has, or could have, is applied by its name, and the history says so.
#[test]
fn a_descendant_is_applied_and_told() {
    rt().block_on(async {
        let line = Line::new();
        let first = line.commit("app:1", &["a"]);
        let _ = line.apply(&line.world).await.expect("an apply");
        let next = line.commit("app:2", &["a", "b"]);
        let last = line.commit("app:3", &["a"]);
        let done = line.apply(&line.naming(&next)).await.expect("an apply");
        assert_eq!((done.exit_code(), line.images()), (0, vec!["app:2".to_owned()]), "{:?}", done.last.plan);
        let told = line.history();
        assert!(told.iter().any(|t| t.contains(next.short()) && t.contains("named (--rev)")), "{told:?}");
        assert_eq!(told.iter().filter(|t| t.contains(next.short())).count(), 1, "once: {told:?}");
        // What is enforced is never taken for another one.
        let _ = line.apply(&line.naming(&first)).await.expect("an apply");
        assert_eq!(line.images(), ["app:1"]);
        // A host that would be left behind with its instance is not, either (B2).
        let _ = line.apply(&line.naming(&next)).await.expect("an apply");
        let why = line.refused(&last).await;
        assert!(why.contains("(B2)") && why.contains("b ("), "{why}");
    });
}

/// F4: an unmerged revision is looked at by the engines that are enforced, and no registry is asked about it.
#[test]
fn a_look_at_what_is_not_merged_dials_nothing_that_it_alone_names() {
    rt().block_on(async {
        let line = Line::new();
        line.commit("app:1", &["a"]);
        let _ = line.apply(&line.world).await.expect("an apply");
        let aside = line.beside(("app:9", &["a", "far"]), "app:1");
        let asked = line.fleet.resolved();
        let pass = pass::take_and_look(&line.naming(&aside)).await.expect("a look");
        assert!(!line.fleet.hosts().contains(&host("far")), "{:?}", line.fleet.hosts());
        assert_eq!(line.fleet.resolved(), asked, "no registry either");
        let why = match &pass.observed.hosts[&host("far")] {
            Seen::Unknown { why } => why.clone(),
            Seen::Known(_) => panic!("it was dialled"),
        };
        assert!(
            why.contains("the enforced revision does not name its engine") && why.contains("(F4)"),
            "{why}"
        );
        assert!(pass.plan.unknown.iter().any(|u| u.why.contains("(F4)")), "{:?}", pass.plan.unknown);
        let names: Vec<&str> = pass.plan.changes.iter().map(|c| c.subject.name.as_str()).collect();
        assert!(names.contains(&"web-test-0") && pass.plan.exit_code() == 3, "{:?}", pass.plan);

        // What is seen by that is no plan to save and apply.
        let why = pass.taken.named.only_shown().expect("it is only shown");
        assert!(why.contains("is not merged"), "{why}");

        // Nor by applying it: being named is no permission (F1).
        let why = line.refused(&aside).await;
        assert!(why.contains("is not merged") && why.contains("(F1)"), "{why}");
        assert!(why.contains(&format!("trueup trust {aside}")), "{why}");
        assert!(!line.fleet.hosts().contains(&host("far")), "{:?}", line.fleet.hosts());

        // Who trusts it says that it is meant.
        person::trust(&line.world, aside.as_str()).await.expect("trusted");
        line.apply(&line.naming(&aside)).await.map(drop).expect("an apply");
        assert!(line.fleet.hosts().contains(&host("far")));
    });
}

/// F1: in mode `branch` the branch is what permits, for whatever changes something; where it cannot be asked nothing new is.
#[test]
fn what_the_branch_does_not_have_changes_nothing() {
    rt().block_on(async {
        let line = Line::new();
        line.commit("app:1", &["a"]);
        let _ = line.apply(&line.world).await.expect("an apply");
        let next = line.commit("app:2", &["a"]);
        let aside = line.beside(("app:9", &["a"]), "app:3");
        assert!(line.refused(&aside).await.contains("is not merged"));
        let approved = person::approve(&line.naming(&aside), "plan-1", "why").await.expect_err("held");
        assert!(approved.to_string().contains("is not merged"), "{approved}");
        line.repository.set_unreachable(true);
        let why = line.refused(&next).await;
        assert!(why.contains("whether") && why.contains("is unknown (F1, A1)"), "{why}");
        line.repository.set_unreachable(false);
        // A head that is named, as by a saved plan, and what it descends from go on.
        let head = line.repository.head().await.expect("a head");
        for (revision, image) in [(&next, "app:2"), (&head, "app:3")] {
            assert_eq!(line.apply(&line.naming(revision)).await.expect("an apply").exit_code(), 0);
            assert_eq!(line.images(), [image]);
        }
        // What was applied is healed without the branch as well (A2).
        line.fleet.by_hand(&host("a"), |containers| containers.clear());
        line.repository.set_unreachable(true);
        assert_eq!(line.apply(&line.naming(&head)).await.expect("an apply").exit_code(), 0);
        assert_eq!(line.images(), ["app:3"]);
    });
}

/// A commit that the branch has is as good as its head.
#[test]
fn a_look_at_what_is_merged_is_a_look_like_any_other() {
    rt().block_on(async {
        let line = Line::new();
        line.commit("app:1", &["a"]);
        let _ = line.apply(&line.world).await.expect("an apply");
        let merged = line.commit("app:2", &["a", "b"]);
        line.commit("app:3", &["a", "b"]);
        let pass = pass::take_and_look(&line.naming(&merged)).await.expect("a look");
        assert!(line.fleet.hosts().contains(&host("b")), "{:?}", line.fleet.hosts());
        assert_eq!((pass.plan.exit_code(), pass.plan.unknown.len()), (2, 0), "{:?}", pass.plan);
        // Whether it is merged cannot be told without the repository's head.
        line.repository.set_unreachable(true);
        let pass = pass::take_and_look(&line.naming(&merged)).await.expect("a look");
        assert!(pass.plan.unknown.iter().any(|u| u.why.contains("(F4)")), "{:?}", pass.plan.unknown);
    });
}

/// Before anything is enforced the head of the branch is what would be; one that is named is held against that.
#[test]
fn before_the_first_revision_the_head_says_who_is_dialled() {
    rt().block_on(async {
        let line = Line::new();
        line.commit("app:1", &["a"]);
        let aside = line.beside(("app:1", &["a", "far"]), "app:1");
        let pass = pass::take_and_look(&line.naming(&aside)).await.expect("a look");
        let hosts = line.fleet.hosts();
        assert!(hosts.contains(&host("a")) && !hosts.contains(&host("far")), "{hosts:?}");
        assert!(
            pass.plan.unknown.iter().any(|u| u.why.contains("the head of the branch")),
            "{:?}",
            pass.plan
        );
        let why = line.refused(&aside).await;
        assert!(why.contains("is not merged") && why.contains("(F1)"), "{why}");
        // What was applied by its name is followed by what descends from it.
        let merged = line.commit("app:2", &["a"]);
        let _ = line.apply(&line.naming(&merged)).await.expect("an apply");
        let why = line.refused(&aside).await;
        assert!(why.contains("does not descend") && why.contains("(F0)"), "{why}");
    });
}

/// A1: without state the head says who is dialled. Where it cannot be read, or is not good, that is nobody; the rest is shown.
#[test]
fn before_the_first_revision_a_head_that_tells_nothing_lets_nobody_be_dialled() {
    rt().block_on(async {
        let line = Line::new();
        line.commit("app:1", &["a"]);
        let aside = line.commit("app:1", &["a", "far"]);
        let broken = BTreeMap::from([("fleet.toml".to_owned(), "fleet = 7\n".to_owned())]);
        line.repository.force_push(&broken, "a broken head");
        for (unreachable, words) in [(false, "has errors"), (true, "it was made unreachable")] {
            line.repository.set_unreachable(unreachable);
            let pass = pass::take_and_look(&line.naming(&aside)).await.expect("a look");
            assert!(line.fleet.hosts().is_empty(), "{:?}", line.fleet.hosts());
            for name in ["a", "far"] {
                let Seen::Unknown { why } = &pass.observed.hosts[&host(name)] else { panic!("dialled") };
                assert!(why.contains("the head of the branch") && why.contains(words), "{why}");
            }
            assert_eq!((pass.plan.revision.clone(), pass.plan.exit_code()), (aside.clone(), 3));
            assert_eq!(pass.plan.unknown.len(), 2, "{:?}", pass.plan.unknown);
        }
    });
}

/// B2: what was applied by its name is left behind by nothing that follows it, whether or not it is what is enforced.
#[test]
fn what_was_applied_by_name_is_not_left_behind() {
    rt().block_on(async {
        let line = Line::new();
        let (both, one) = (line.commit("app:1", &["a", "b"]), line.commit("app:2", &["a"]));
        let _ = line.apply(&line.naming(&both)).await.expect("an apply");
        let why = line.refused(&one).await;
        assert!(why.contains("(B2)") && why.contains("b ("), "nothing is enforced yet: {why}");
        let pass = pass::take_and_look(&line.naming(&one)).await.expect("a look");
        assert!(pass.plan.blocked.iter().any(|b| b.reason.contains("(B2)")), "{:?}", pass.plan.blocked);

        // A Swarm likewise, which the enforced revision does not have.
        let line = Line::new();
        line.fleet.start_swarm("s", &[host("a")], &[]);
        let first = line.commit("app:1", &["a"]);
        assert_eq!(line.apply(&line.world).await.expect("an apply").exit_code(), 0);
        let mut swarm = files("app:1", &["a"]);
        swarm.insert(
            "fleet.toml".to_owned(),
            "fleet = \"sim\"\nenvironments = [\"test\"]\n[swarm.s]\nmanagers = [\"a\"]\n".to_owned(),
        );
        let service = "app = \"api\"\nenvironments = [\"test\"]\nruntime = \"swarm\"\nimage = \"app:1\"\nreplicas = 1\n\
                       [rollout]\nmin_healthy = \"0s\"\n";
        swarm.insert("apps/api/app.toml".to_owned(), service.to_owned());
        let next = line.repository.commit(&swarm);
        let head = line.commit("app:2", &["a"]);
        let _ = line.apply(&line.naming(&next)).await.expect("an apply");
        let runs = line.fleet.swarm_shown("s").expect("a Swarm");
        assert!(runs.iter().any(|shown| shown.contains("api-test")), "{runs:?}");
        let why = line.refused(&head).await;
        assert!(why.contains("(B2)") && why.contains("s (api-test)"), "{why}");
        let kept = pass::take_and_look(&line.world).await.expect("a look").taken.kept_because;
        assert!(kept.as_ref().is_some_and(|why| why.contains("(B2)")), "{kept:?}");
        // Nor is it forgotten by going on with what is enforced (B2).
        for _ in 0..2 {
            let round = line.apply(&line.world).await.expect("an apply");
            let blocked = &round.last.plan.blocked;
            assert!(blocked.iter().any(|b| b.reason.contains("s (api-test)")), "{blocked:?}");
            let kept = round.last.taken.kept_because;
            assert!(kept.as_ref().is_some_and(|why| why.contains("(B2)")), "{kept:?}");
        }
        // The enforced one is what was applied all the same: it is no new change at each look.
        let memory = Memory::new(&*line.world.store);
        let applied = memory.applied().expect("a record").expect("applied");
        assert_eq!(applied.fleet.as_ref(), Some(&first));
        // What is enforced cannot be refused: that it leaves the Swarm behind is told.
        let blocked = pass::take_and_look(&line.naming(&first)).await.expect("a look").plan.blocked;
        assert!(blocked.iter().any(|b| b.reason.contains("s (api-test)")), "{blocked:?}");
    });
}

/// A1, F0: in a clone whose history ends early nobody can tell what may follow. It is shown with that, and no more is dialled.
#[test]
fn how_a_revision_stands_to_what_is_enforced_may_be_unknown() {
    rt().block_on(async {
        let line = Line::new();
        line.commit("app:1", &["a"]);
        let _ = line.apply(&line.world).await.expect("an apply");
        let next = line.commit("app:2", &["a", "far"]);
        line.repository.set_shallow(true);
        let pass = pass::take_and_look(&line.naming(&next)).await.expect("a look");
        assert!(!line.fleet.hosts().contains(&host("far")), "{:?}", line.fleet.hosts());
        let unknown =
            |why: &str| why.contains("is unknown (F0, A1)") && why.contains("its history ends early");
        assert!(pass.plan.blocked.iter().any(|b| unknown(&b.reason)), "{:?}", pass.plan.blocked);
        let why = line.refused(&next).await;
        assert!(unknown(&why), "{why}");
    });
}

/// D11: a saved plan that was left behind is made anew; nobody is told to trust what it is of.
#[test]
fn a_plan_of_an_older_revision_is_to_be_made_anew() {
    rt().block_on(async {
        let line = Line::new();
        line.commit("app:1", &["a"]);
        let _ = line.apply(&line.world).await.expect("an apply");
        let planned = line.commit("app:2", &["a"]);
        let saved = pass::take_and_look(&line.world).await.expect("a look").plan;
        assert_eq!(saved.revision, planned);
        line.commit("app:3", &["a"]);
        let _ = line.apply(&line.world).await.expect("an apply");
        let (stop, agree, promises) = (Stop::default(), |_: &Pass| true, saved.promises());
        let scope = Scope { promises: Some(&promises), ..Scope::of_a_person(&agree, &stop) };
        let done = converge(&line.naming(&planned), &Reader::default(), &scope).await;
        let why = done.expect_err("refused").to_string();
        assert!(why.contains("is older than the enforced") && why.contains("plan again"), "{why}");
        assert!(!why.contains("trust"), "{why}");
        assert_eq!(line.images(), ["app:3"]);
    });
}

/// What a fleet with the Swarm `s`, and the service `api` on it where there is one, adds to the files.
fn with_swarm(mut files: BTreeMap<String, String>, api: Option<&str>) -> BTreeMap<String, String> {
    let fleet = "fleet = \"sim\"\nenvironments = [\"test\"]\n[swarm.s]\nmanagers = [\"a\"]\n";
    files.insert("fleet.toml".to_owned(), fleet.to_owned());
    if let Some(image) = api {
        let service = format!(
            "app = \"api\"\nenvironments = [\"test\"]\nruntime = \"swarm\"\nimage = \"{image}\"\nreplicas = 1\n\
             [rollout]\nmin_healthy = \"0s\"\n"
        );
        files.insert("apps/api/app.toml".to_owned(), service);
    }
    files
}

/// Hosts of which some are drained.
fn with_drained(image: &str, hosts: &[&str], drained: &[&str]) -> BTreeMap<String, String> {
    let mut files = files(image, hosts);
    let all = files.get_mut("hosts/all.toml").expect("hosts");
    for name in drained {
        *all = all.replace(&format!("[host.{name}]\n"), &format!("[host.{name}]\ndrain = true\n"));
    }
    files
}

/// B2: hosts and Swarms that are left behind are told together, since who trusts the revision gives up both.
#[test]
fn hosts_do_not_hide_the_swarms_that_are_left_behind() {
    rt().block_on(async {
        let line = Line::new();
        line.fleet.start_swarm("s", &[host("a")], &[]);
        line.commit("app:1", &["a"]);
        let _ = line.apply(&line.world).await.expect("an apply");
        let next = line.repository.commit(&with_swarm(files("app:1", &["a", "b"]), Some("app:1")));
        let head = line.commit("app:2", &["a"]);
        let _ = line.apply(&line.naming(&next)).await.expect("an apply");
        let why = line.refused(&head).await;
        assert!(why.contains("b (web-test-1)") && why.contains("s (api-test)"), "{why}");
        let round = line.apply(&line.world).await.expect("an apply");
        let blocked = &round.last.plan.blocked;
        let both = |why: &str| why.contains("b (web-test-1)") && why.contains("s (api-test)");
        assert!(blocked.iter().any(|b| both(&b.reason)), "{blocked:?}");
        assert!(round.last.taken.kept_because.is_some_and(|why| both(&why)));
    });
}

/// B2, F3: what is held runs on where it was. What was held and never ran is nothing to leave behind.
#[test]
fn what_is_held_is_left_behind_by_nothing_either() {
    rt().block_on(async {
        let frozen = |line: &mut Line, on: bool| {
            let window = Window {
                name: "year's end".into(),
                effect: WindowEffect::Deny,
                environments: ["test".parse().expect("a name")].into(),
                zone: "UTC".parse().expect("a zone"),
                days: Vec::new(),
                hours: None,
                begin: None,
                end: None,
            };
            line.world.policy.freeze = on.then_some(window).into_iter().collect();
        };
        let mut line = Line::new();
        line.fleet.start_swarm("s", &[host("a")], &[]);
        line.repository.commit(&with_swarm(files("app:1", &["a"]), Some("app:1")));
        let _ = line.apply(&line.world).await.expect("an apply");
        frozen(&mut line, true);
        line.repository.commit(&with_swarm(files("app:1", &["a"]), None));
        let round = line.apply(&line.world).await.expect("an apply");
        assert!(round.last.plan.findings.holding().next().is_some(), "{:?}", round.last.plan.findings);
        frozen(&mut line, false);
        let head = line.commit("app:1", &["a"]);
        let kept = line.apply(&line.world).await.expect("an apply").last.taken.kept_because;
        assert!(kept.as_ref().is_some_and(|why| why.contains("s (api-test)")), "{kept:?}");
        // Once it is gone, nothing holds the head any more.
        let done = line.apply(&line.world).await.expect("an apply");
        assert_eq!((done.last.taken.kept_because.clone(), &done.last.taken.desired.revision), (None, &head));

        let mut line = Line::new();
        line.fleet.start_swarm("s", &[host("a")], &[]);
        line.repository.commit(&with_swarm(files("app:1", &["a"]), None));
        let _ = line.apply(&line.world).await.expect("an apply");
        frozen(&mut line, true);
        line.repository.commit(&with_swarm(files("app:1", &["a"]), Some("app:1")));
        let _ = line.apply(&line.world).await.expect("an apply");
        frozen(&mut line, false);
        line.commit("app:1", &["a"]);
        let kept = line.apply(&line.world).await.expect("an apply").last.taken.kept_because;
        assert_eq!(kept, None, "nothing of it ever ran");
    });
}

/// B2: a service that git took away is remembered until its Swarm was seen without it, however the Swarm came and went meanwhile.
#[test]
fn a_service_is_forgotten_when_its_swarm_was_seen_without_it() {
    rt().block_on(async {
        for by_name in [true, false] {
            let line = Line::new();
            line.fleet.start_swarm("s", &[host("a")], &[]);
            let with_api = with_swarm(files("app:1", &["a", "b"]), Some("app:1"));
            let without = with_swarm(files("app:1", &["a", "b"]), None);
            if by_name {
                line.commit("app:1", &["a", "b"]);
                let _ = line.apply(&line.world).await.expect("an apply");
                let next = line.repository.commit(&with_api);
                let _ = line.apply(&line.naming(&next)).await.expect("an apply");
            } else {
                line.repository.commit(&with_api);
                let _ = line.apply(&line.world).await.expect("an apply");
            }
            // It is taken away while nobody can ask its Swarm.
            line.fleet.set_fault(&host("a"), Some(Fault::Down));
            line.repository.commit(&without);
            let _ = line.apply(&line.world).await.expect("an apply");
            let head = line.commit("app:1", &["a", "b"]);
            for _ in 0..2 {
                let kept = line.apply(&line.world).await.expect("an apply").last.taken.kept_because;
                assert!(kept.as_ref().is_some_and(|why| why.contains("s (api-test)")), "{by_name}: {kept:?}");
            }
            // Then it goes, and the Swarm may.
            line.fleet.set_fault(&host("a"), None);
            let _ = line.apply(&line.world).await.expect("an apply");
            let shown = line.fleet.swarm_shown("s").expect("a Swarm");
            assert!(!shown.iter().any(|shown| shown.contains("api-test")), "{shown:?}");
            let done = line.apply(&line.world).await.expect("an apply");
            assert_eq!(
                (done.last.taken.kept_because.clone(), &done.last.taken.desired.revision),
                (None, &head)
            );
        }
    });
}

/// B2, C8: what a revision that was applied by its name moved to a host of its own runs there after going back, for all anyone
/// knows. That is told until a person says otherwise, and costs no other host its instance.
#[test]
fn what_was_moved_by_name_to_a_host_of_its_own_counts_as_running_there() {
    rt().block_on(async {
        let line = Line::new();
        line.commit("app:1", &["a", "b"]);
        assert_eq!(line.apply(&line.world).await.expect("an apply").exit_code(), 0);
        let aside = line.repository.commit(&with_drained("app:1", &["a", "b", "far"], &["a"]));
        assert_eq!(line.apply(&line.naming(&aside)).await.expect("an apply").exit_code(), 0);
        assert_eq!((line.images().len(), line.fleet.containers(&host("far")).len()), (0, 1));
        let on_far = line.fleet.containers(&host("far")).into_keys().next().expect("one");

        line.commit("app:1", &["a", "b"]);
        for _ in 0..2 {
            let round = line.apply(&line.world).await.expect("an apply");
            let kept = round.last.taken.kept_because.expect("the head is refused");
            assert!(kept.contains(&format!("far ({on_far})")), "{kept}");
            assert_eq!(line.images(), ["app:1"], "it has one of its own again");
            assert!(!line.fleet.containers(&host("a")).contains_key(&on_far), "of another number");
            let noted = format!("{on_far} was last seen on far, which is not declared any more");
            let notes = &round.last.plan.notes;
            assert!(notes.iter().any(|note| note.starts_with(&noted)), "{notes:?}");
        }
    });
}

/// B2, D1: both hosts of a move that came to no end are remembered, whatever is looked at next.
#[test]
fn both_hosts_of_a_move_are_remembered_by_going_back() {
    rt().block_on(async {
        let line = Line::new();
        let one = |files: BTreeMap<String, String>| -> BTreeMap<String, String> {
            let single = |text: String| text.replace("\"every-host\"", "1");
            files.into_iter().map(|(path, text)| (path, single(text))).collect()
        };
        line.repository.commit(&one(files("app:1", &["b"])));
        assert_eq!(line.apply(&line.world).await.expect("an apply").exit_code(), 0);
        let aside = line.repository.commit(&one(with_drained("app:1", &["b", "far"], &["b"])));
        // It runs on the new host, and trueup does not live to take the old one away.
        let name = "web-test-0".parse().expect("a name");
        line.fleet.set_fault(&host("b"), Some(Fault::Cut { mutations: 1, after_effect: false }));
        let _ = line.apply(&line.naming(&aside)).await.expect("an apply");
        line.fleet.set_fault(&host("b"), None);
        let on = |at: &str| line.fleet.containers(&host(at)).contains_key(&name);
        assert_eq!((on("b"), on("far")), (true, true));

        line.repository.commit(&one(files("app:1", &["b"])));
        for _ in 0..2 {
            let round = line.apply(&line.world).await.expect("an apply");
            let kept = round.last.taken.kept_because.expect("the head is refused");
            assert!(kept.contains("far (web-test-0)"), "{kept}");
        }
        let noted = Memory::new(&*line.world.store).last_seen().expect("read");
        let noted: Vec<String> = noted.iter().map(|(i, at)| format!("{i}@{at}")).collect();
        assert_eq!(noted, ["web-test-0@b", "web-test-0@far"]);
    });
}

/// B6: what an earlier release noted is read, and one host of an instance is written so that it can read it again.
#[test]
fn what_earlier_releases_noted_of_instances_is_read() {
    let line = Line::new();
    let (store, memory) = (&*line.world.store, Memory::new(&*line.world.store));
    store.put(Record::Lease, "web-test-0", "\"a\"").expect("written");
    let mut seen = memory.last_seen().expect("read");
    let instance = "web-test-0".parse().expect("a name");
    assert!(seen.is_on(&instance, &host("a")), "{seen:?}");
    seen.note(instance, host("b"));
    let set =
        |seen: &LastSeen| memory.set_last_seen(&memory.last_seen().expect("read"), seen).expect("written");
    set(&seen);
    assert_eq!(memory.last_seen().expect("read"), seen);
    let written = || store.get(Record::Lease, "web-test-0").expect("read");
    assert_eq!(written().as_deref(), Some("[\"a\",\"b\"]"));
    // Where what was taken over stood for it, with that one's id.
    let instance = || "web-test-0".parse().expect("a name");
    seen.note_adopted(instance(), host("a"), "abc".to_owned());
    set(&seen);
    // That one is noted by itself, so that an earlier build reads the hosts as it wrote them.
    let id = || store.get(Record::Lease, "web-test-0 a").expect("read");
    assert_eq!((written().as_deref(), id().as_deref()), (Some("[\"a\",\"b\"]"), Some("\"abc\"")));
    assert_eq!(memory.last_seen().expect("read"), seen);
    memory.note_creation(&instance(), &host("a")).expect("written");
    assert_eq!(memory.last_seen().expect("read").adopted(&instance(), &host("a")), Some("abc"));
    seen.retain(|_, at| *at == host("b"));
    set(&seen);
    assert_eq!((written().as_deref(), id()), (Some("\"b\""), None));
    // Of a host that an earlier build forgot meanwhile nothing is known.
    store.put(Record::Lease, "web-test-0 a", "\"abc\"").expect("written");
    assert_eq!(memory.last_seen().expect("read"), seen);
    set(&seen);
    assert_eq!(id(), None);
    set(&Default::default());
    assert_eq!(written(), None);
    // The id goes on with the host that stays.
    seen.note_adopted(instance(), host("a"), "abc".to_owned());
    set(&seen);
    seen.retain(|_, at| *at == host("a"));
    set(&seen);
    assert_eq!((written().as_deref(), id().as_deref()), (Some("\"a\""), Some("\"abc\"")));
}
