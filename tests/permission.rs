//! Merge is permission, mode `signed` (F0, F1, A2, H): real git and ssh-keygen, the whole line on the simulated fleet,
//! by `apply`, by `run`, and by the binary.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod simulation;
mod stage;

use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stage::source;
use stage::team::Team;
use tokio::sync::Notify;
use trueup::adapter::clock::SystemClock;
use trueup::adapter::reports::ReportsOut;
use trueup::apply::Stop;
use trueup::control::converge::{Converged, Scope, converge};
use trueup::control::metrics::Metrics;
use trueup::control::pass::{self, Pass};
use trueup::control::reporting::Reporting;
use trueup::control::revision::Reader;
use trueup::control::{ControlError, World, permission, person, report, run, standing};
use trueup::model::names::{HostName, Revision};
use trueup::model::permission::{Mode, PermissionSettings, Permitted};
use trueup::model::secrecy::HashKey;
use trueup::model::settings::Reference;
use trueup::model::units::TimeSpan;
use trueup::output::{self, Format};
use trueup::ports::{Record, Store as _};
use trueup::sim::{Fault, SimStore, SimWorld};

const HOSTS: &str = "[host.h1]\naddress = \"192.0.2.1\"\nengine = \"sim://\"\nenvironments = [\"test\"]\n";

/// A team, and a fleet of one host that trueup keeps.
struct Line {
    team: Team,
    fleet: SimWorld,
    store: SimStore,
    world: World,
}

fn host() -> HostName {
    "h1".parse().expect("a name")
}

impl Line {
    /// Ada and Bob are trusted, Eve is not. Nothing is committed.
    fn new() -> Self {
        let team = Team::new(&["ada", "bob", "eve"]);
        let key = HashKey::new([3; 32]);
        let fleet = SimWorld::new(key.clone(), 1);
        for n in 1..10 {
            fleet.add_image_everywhere(&format!("app:{n}").parse().expect("an image"));
        }
        let store = SimStore::default();
        let world = World {
            store: Arc::new(store.clone()),
            clock: Arc::new(SystemClock),
            permission: team.signed(&[team.line("ada", ""), team.line("bob", "")], ""),
            ..simulation::world(&fleet, key, Arc::new(source::local(&team.repo())))
        };
        Self { team, fleet, store, world }
    }

    /// As [`Self::new`], with `app:1` enforced, signed by Ada.
    async fn begun() -> (Self, String) {
        let line = Self::new();
        line.team.write("fleet.toml", "fleet = \"sim\"\nenvironments = [\"test\"]\n");
        line.team.write("hosts/all.toml", HOSTS);
        let first = line.version(Some("ada"), 1);
        assert_eq!(line.apply().await.exit_code(), 0);
        assert_eq!(line.image(), "app:1");
        (line, first)
    }

    /// The next version of the app, as a commit on the branch that is checked out.
    fn version(&self, by: Option<&str>, number: u32) -> String {
        self.write_version(number);
        self.team.commit(by, &format!("version {number}"))
    }

    fn write_version(&self, number: u32) {
        let text = format!(
            "app = \"web\"\nenvironments = [\"test\"]\nruntime = \"host\"\nimage = \"app:{number}\"\nreplicas = 1\n\
             stop_timeout = \"1s\"\n[rollout]\nmin_healthy = \"0s\"\n"
        );
        self.team.write("apps/web/app.toml", &text);
    }

    async fn try_apply(&self) -> Result<Converged, ControlError> {
        let (stop, agree) = (Stop::default(), |_: &Pass| true);
        converge(&self.world, &Reader::default(), &Scope::of_a_person(&agree, &stop)).await
    }

    async fn apply(&self) -> Converged {
        self.try_apply().await.expect("an apply")
    }

    /// Applies, and insists that the head is held: why.
    async fn held(&self) -> String {
        let before = self.image();
        let done = self.apply().await;
        assert_eq!(self.image(), before, "what is held changes nothing");
        done.last.taken.kept_because.expect("the head is held")
    }

    /// Applies, and insists that the head is enforced: how it got its leave.
    async fn taken(&self) -> Permitted {
        let done = self.apply().await;
        assert_eq!(done.last.taken.kept_because, None);
        assert_eq!(done.last.plan.revision.to_string(), self.team.head());
        assert_eq!(done.exit_code(), 0, "{:?}", done.last.plan);
        done.last.taken.by
    }

    async fn look(&self) -> Pass {
        let taken = Reader::default().take(&self.world, false).await.expect("a revision");
        pass::look(&self.world, taken, false).await.expect("a look")
    }

    /// What runs.
    fn image(&self) -> String {
        let containers = self.fleet.containers(&host());
        let images = containers.values().map(|c| self.fleet.tag_of(&c.image).map(|tag| tag.to_string()));
        images.flatten().collect::<Vec<_>>().join(" ")
    }

    fn merge(&self, by: Option<&str>, args: &[&str]) -> String {
        let args = [&["merge", "-q", "--no-ff", "-m", "a merge"], args].concat();
        match by {
            Some(name) => self.team.git_as(name, None, &args),
            None => self.team.git(&args),
        };
        self.team.head()
    }

    fn branch(&self, name: &str, from: &str) {
        self.team.git(&["checkout", "-q", "-b", name, from]);
    }

    fn main(&self) {
        self.team.git(&["checkout", "-q", "main"]);
    }
}

fn short(id: &str) -> &str {
    &id[..10]
}

#[tokio::test]
async fn signed_commits_and_signed_merges_are_taken() {
    let (line, first) = Line::begun().await;
    line.version(Some("bob"), 2);
    line.version(Some("ada"), 3);
    assert_eq!((line.taken().await, line.image().as_str()), (Permitted::Signed, "app:3"));
    // A branch from before what is enforced, merged by a signed merge.
    line.branch("side", &first);
    line.team.write("README", "hello\n");
    line.team.commit(Some("bob"), "a page");
    line.main();
    line.merge(Some("ada"), &["side"]);
    line.taken().await;
    // Two branches at once.
    for name in ["one", "two"] {
        line.branch(name, &first);
        line.team.write(name, "x\n");
        line.team.commit(Some("bob"), name);
        line.main();
    }
    line.merge(Some("ada"), &["one", "two"]);
    assert_eq!(line.team.object(&line.team.head()).matches("\nparent ").count(), 3, "an octopus");
    line.taken().await;
    let status = standing::status(&line.world, &line.look().await).expect("a status");
    let text = output::status(&status, Format::Text, false);
    assert!(text.contains("permission  verified (mode signed: trusted keys signed every commit)"), "{text}");
}

#[tokio::test]
async fn an_unsigned_commit_is_held_and_what_comes_after_does_not_smuggle_it_in() {
    let (line, first) = Line::begun().await;
    let bad = line.version(None, 2);
    let why = line.held().await;
    let names = [
        short(&bad),
        short(&first),
        "Ada <ada@example.org>",
        "it is not signed",
        "git rebase -S",
        "trueup trust",
    ];
    assert!(names.iter().all(|name| why.contains(name)) && why.contains("1 of 1 commits"), "{why}");
    // Signed ones on top, also one that takes the change back.
    line.version(Some("ada"), 3);
    assert!(line.held().await.contains(short(&bad)));
    let top = line.version(Some("bob"), 1);
    let why = line.held().await;
    assert!(
        why.contains("1 of 3 commits") && why.contains(short(&bad)) && why.starts_with(short(&top)),
        "{why}"
    );
    // What is enforced goes on being healed (A2).
    let name = line.fleet.containers(&host()).into_keys().next().expect("one");
    line.fleet.by_hand(&host(), |all| all.remove(&name));
    assert_eq!(line.apply().await.exit_code(), 3);
    assert_eq!(line.image(), "app:1");
    // Signed anew, from what is enforced on, it is taken.
    line.team.git_as("ada", None, &["rebase", "-q", "--force-rebase", "-S", &first]);
    line.taken().await;
}

#[tokio::test]
async fn an_unsigned_commit_under_a_signed_merge_is_held() {
    let (line, first) = Line::begun().await;
    line.branch("side", &first);
    line.team.write("README", "hello\n");
    let bad = line.team.commit(None, "a page");
    line.team.write("README", "hello again\n");
    line.team.commit(Some("bob"), "a better page");
    line.main();
    line.version(Some("ada"), 2);
    line.merge(Some("ada"), &["side"]);
    let why = line.held().await;
    assert!(why.contains(short(&bad)) && why.contains("1 of 4 commits"), "{why}");
    assert!(!why.contains("merge button"), "the merge is signed: {why}");
}

#[tokio::test]
async fn a_merge_by_the_forges_button_is_held_with_a_word_how_to_merge() {
    let (line, first) = Line::begun().await;
    line.branch("side", &first);
    line.team.write("README", "hello\n");
    line.team.commit(Some("bob"), "a page");
    line.main();
    let merge = line.merge(None, &["side"]);
    let why = line.held().await;
    assert!(
        why.contains(&format!("merge {}", short(&merge))) && why.contains("git merge --no-ff -S"),
        "{why}"
    );
    // As GitHub signs it, with a PGP key of its own.
    let object = line.team.object(&merge);
    let pgp = "-----BEGIN PGP SIGNATURE-----\n\nwsBc\n-----END PGP SIGNATURE-----";
    let forged = line.team.forge(&stage::team::with_signature(&object, pgp));
    line.team.git(&["update-ref", "refs/heads/main", &forged]);
    let why = line.held().await;
    assert!(why.contains("PGP") && why.contains("git merge --no-ff -S"), "{why}");
}

#[tokio::test]
async fn criss_cross_merges_hide_nothing() {
    let (line, first) = Line::begun().await;
    let make = |branch: &str, from: &str, by: Option<&str>| {
        line.branch(branch, from);
        line.team.write(branch, "x\n");
        line.team.commit(by, branch)
    };
    let (left, right) = (make("left", &first, Some("ada")), make("right", &first, None));
    line.merge(Some("bob"), &[&left]);
    line.team.git(&["checkout", "-q", "left"]);
    line.merge(Some("bob"), &[&right]);
    line.main();
    line.merge(Some("ada"), &["left", "right"]);
    let why = line.held().await;
    assert!(why.contains(short(&right)) && why.contains("1 of 5 commits"), "{why}");
}

#[tokio::test]
async fn a_force_push_is_held_even_when_it_is_signed() {
    let (line, first) = Line::begun().await;
    line.version(Some("ada"), 2);
    line.taken().await;
    // Back to what was enforced before, and elsewhere from there.
    line.team.git(&["reset", "-q", "--hard", &first]);
    assert!(line.held().await.contains("does not descend"));
    line.version(Some("ada"), 3);
    assert!(line.held().await.contains("(F0)"));
    assert_eq!(line.image(), "app:2");
    person::trust(&line.world, &line.team.head()).await.expect("trusted");
    assert_eq!((line.taken().await, line.image().as_str()), (Permitted::Named, "app:3"));
}

/// The rules are the reconciler's own: what the same push says of keys and policies counts for nothing (F1).
#[tokio::test]
async fn rules_weakened_in_the_same_push_count_for_nothing() {
    let (line, _) = Line::begun().await;
    let eve = line.team.line("eve", "");
    for path in ["trust/allowed_signers", "allowed_signers", ".trueup/allowed_signers", "trueup.toml"] {
        line.team.write(path, &format!("{eve}\n"));
    }
    line.team.commit(Some("eve"), "eve is trusted now");
    let why = line.held().await;
    assert!(why.contains("no trusted key"), "{why}");
    // Let in by somebody who is trusted, the file is only a file.
    line.team.git(&["reset", "-q", "--hard", "HEAD~1"]);
    line.team.write("trust/allowed_signers", &format!("{eve}\n"));
    line.team.commit(Some("ada"), "a file");
    line.taken().await;
    line.version(Some("eve"), 2);
    assert!(line.held().await.contains("no trusted key"));

    // A policy that denies, taken away by the very push that it denies.
    line.team.git(&["reset", "-q", "--hard", "HEAD~1"]);
    line.team.write(
        "policies/two.rego",
        "package two\n\nimport rego.v1\n\ndeny contains {\"app\": app.key, \"msg\": \"never two\"} if {\n\tsome app in input.apps\n\tendswith(app.after.image.declared, \":2\")\n}\n",
    );
    line.team.commit(Some("ada"), "a policy");
    line.taken().await;
    std::fs::remove_dir_all(line.team.repo().join("policies")).expect("removed");
    line.version(Some("ada"), 2);
    let done = line.apply().await;
    assert_eq!((done.exit_code(), line.image().as_str()), (3, "app:1"), "{:?}", done.last.plan.blocked);
    assert!(
        done.last.plan.blocked.iter().any(|b| b.reason.contains("never two")),
        "{:?}",
        done.last.plan.blocked
    );
}

/// A key taken out of the settings, or revoked, permits nothing new; what was taken stays (F1).
#[tokio::test]
async fn a_removed_key_permits_nothing_new() {
    let (mut line, _) = Line::begun().await;
    line.version(Some("bob"), 2);
    line.taken().await;
    line.world.permission = line.team.signed(&[line.team.line("ada", "")], "");
    assert_eq!(line.taken().await, Permitted::Signed, "what is enforced stays enforced");
    // Also a commit that Bob signed before, if it was not taken.
    line.version(Some("bob"), 3);
    assert!(line.held().await.contains("no trusted key"));
    let both = [line.team.line("ada", ""), line.team.line("bob", "")];
    line.world.permission = line.team.signed(&both, &format!("revoked = [{:?}]", line.team.public("bob")));
    assert!(line.held().await.contains("which is revoked"));
    line.world.permission = line.team.signed(&both, "");
    line.taken().await;
}

#[tokio::test]
async fn the_first_revision_is_signed_or_named() {
    let line = Line::new();
    line.team.write("fleet.toml", "fleet = \"sim\"\nenvironments = [\"test\"]\n");
    line.team.write("hosts/all.toml", HOSTS);
    line.version(None, 1);
    let error = line.try_apply().await.expect_err("held").to_string();
    assert!(error.contains("first revision (F0)") && error.contains("it is not signed"), "{error}");
    assert_eq!(line.image(), "");
    person::trust(&line.world, &line.team.head()).await.expect("trusted");
    assert_eq!(line.taken().await, Permitted::Named);

    // Signed: its own signature is enough, whatever lies below it.
    let line = Line::new();
    line.team.write("fleet.toml", "fleet = \"sim\"\nenvironments = [\"test\"]\n");
    line.team.write("hosts/all.toml", HOSTS);
    line.version(None, 1);
    line.version(Some("ada"), 2);
    assert_eq!((line.taken().await, line.image().as_str()), (Permitted::Signed, "app:2"));
}

/// H: a signature does not bring back what was known. An old signed commit would do for whoever moves the branch.
#[tokio::test]
async fn after_a_loss_of_the_state_a_person_names_the_revision() {
    let (mut line, first) = Line::begun().await;
    line.version(Some("ada"), 2);
    line.taken().await;
    line.team.git(&["reset", "-q", "--hard", &first]);
    line.store = SimStore::default();
    line.world.store = Arc::new(line.store.clone());
    for _ in 0..2 {
        let done = line.apply().await;
        assert_eq!((done.exit_code(), line.image().as_str()), (3, "app:2"), "nothing is applied");
        let blocked = &done.last.plan.blocked;
        assert!(
            blocked.iter().any(|b| b.reason.contains("(H)") && b.hint.contains("trueup trust")),
            "{blocked:?}"
        );
        assert!(done.last.plan.drift.iter().all(|d| d.left_alone.is_some()), "drift is told");
    }
    // The loop stands still as well.
    let rounds = line.run_until(|done| !done.last.plan.blocked.is_empty()).await;
    assert!(rounds.last().is_some_and(|round| round.contains("(H)")), "{rounds:?}");
    assert_eq!(line.image(), "app:2");
    // Nor is a host that does not answer taken for an empty one.
    let other = Line::new();
    other.team.write("fleet.toml", "fleet = \"sim\"\nenvironments = [\"test\"]\n");
    other.team.write("hosts/all.toml", HOSTS);
    other.version(Some("ada"), 1);
    other.fleet.set_fault(&host(), Some(Fault::Down));
    let done = other.apply().await;
    assert!(
        done.last.plan.blocked.iter().any(|b| b.reason.contains("h1 is unknown")),
        "{:?}",
        done.last.plan.blocked
    );
    other.fleet.set_fault(&host(), None);
    assert_eq!((other.apply().await.exit_code(), other.image().as_str()), (0, "app:1"));

    person::trust(&line.world, &first).await.expect("trusted");
    line.taken().await;
    assert_eq!(line.image(), "app:1");
}

#[tokio::test]
async fn the_mode_can_be_switched_on_for_a_fleet_that_runs() {
    let (mut line, _) = Line::begun().await;
    let signed = std::mem::take(&mut line.world.permission);
    line.version(None, 2);
    assert_eq!(line.taken().await, Permitted::Branch);
    line.world.permission = signed;
    let pass = line.look().await;
    let text = output::status(&standing::status(&line.world, &pass).expect("a status"), Format::Text, false);
    assert!(text.contains("UNVERIFIED (it was taken before the mode was signed"), "{text}");
    line.version(None, 3);
    line.held().await;
    line.team.git(&["reset", "-q", "--hard", "HEAD~1"]);
    line.version(Some("ada"), 3);
    assert_eq!(line.taken().await, Permitted::Signed);
}

/// What cannot be read permits nothing (A1): a clone without its history holds, and says what to fetch.
#[tokio::test]
async fn missing_history_holds() {
    let (mut line, _) = Line::begun().await;
    line.version(None, 2);
    line.version(Some("ada"), 3);
    let clone = line.team.dir().join("shallow");
    let url = format!("file://{}", line.team.repo().display());
    line.team.git(&["clone", "-q", "--depth", "1", &url, &clone.display().to_string()]);
    line.world.repository = Arc::new(source::local(&clone));
    // What is enforced is not there either: the state file has it.
    let why = line.held().await;
    assert!(why.contains("cannot be read") && why.contains("as the state file kept them"), "{why}");
    assert_eq!(line.image(), "app:1");
    // A state file of an earlier release has no files: nothing can go on.
    for revision in line.world.store.all(Record::Tree).expect("read").keys() {
        line.world.store.delete(Record::Tree, revision).expect("deleted");
    }
    let error = line.try_apply().await.expect_err("held").to_string();
    assert!(error.contains("is held") && line.image() == "app:1", "{error}");
}

#[tokio::test]
async fn a_range_of_too_many_commits_is_held() {
    let (mut line, _) = Line::begun().await;
    line.world.permission = PermissionSettings { most_commits: 2, ..line.world.permission };
    for number in 2..5 {
        line.version(Some("ada"), number);
    }
    let why = line.held().await;
    assert!(why.contains("more than 2 commits") && why.contains("most_commits"), "{why}");
    line.world.permission = PermissionSettings { most_commits: 3, ..line.world.permission };
    line.taken().await;
}

/// A revision named on the command line is bound as well (F1).
#[tokio::test]
async fn a_named_revision_is_bound_too() {
    let (mut line, first) = Line::begun().await;
    let bad = line.version(None, 2);
    line.world.revision = Some(Reference::Commit(bad));
    let error = line.try_apply().await.expect_err("held").to_string();
    assert!(error.contains("not permitted (F1)") && line.image() == "app:1", "{error}");
    line.team.git(&["reset", "-q", "--hard", &first]);
    line.world.revision = Some(Reference::Commit(line.version(Some("ada"), 3)));
    assert_eq!(line.apply().await.exit_code(), 0);
    assert_eq!(line.image(), "app:3");
}

/// F0, F1: an ancestor brings no commit that could be unsigned, and it is no way back all the same.
#[tokio::test]
async fn a_named_ancestor_is_shown_and_not_enforced() {
    let (mut line, first) = Line::begun().await;
    line.version(Some("ada"), 2);
    line.taken().await;
    line.world.revision = Some(Reference::Commit(first));
    let error = line.try_apply().await.expect_err("held").to_string();
    assert!(error.contains("does not descend") && line.image() == "app:2", "{error}");
    let pass = line.look().await;
    assert!(pass.plan.blocked.iter().any(|b| b.reason.contains("(F0)")), "{:?}", pass.plan);
    assert_eq!(pass.taken.by, Permitted::Branch, "nobody vouches for it");
}

#[tokio::test]
async fn broken_glass_is_for_one_revision_and_a_while_and_is_told() {
    let (line, _) = Line::begun().await;
    let hour = TimeSpan::from_secs(3600);
    let refused =
        permission::break_glass(&line.world, "ada: why not", hour).await.expect_err("nothing is held");
    assert!(refused.to_string().contains("is permitted as it is"), "{refused}");
    let bad = line.version(None, 2);
    for (reason, span) in
        [("  ", hour), ("ada: for ever", TimeSpan::from_secs(90_000)), ("x", TimeSpan::from_secs(0))]
    {
        permission::break_glass(&line.world, reason, span).await.expect_err("refused");
    }
    line.held().await;
    // It ends by itself.
    let glass =
        permission::break_glass(&line.world, "ada: a try", TimeSpan::from_millis(300)).await.expect("broken");
    assert_eq!(glass.revision, Revision::new(bad.clone()));
    tokio::time::sleep(Duration::from_millis(350)).await;
    line.held().await;
    permission::break_glass(&line.world, "ada: the forge is down", hour).await.expect("broken");
    let pass = line.look().await;
    let text = output::status(&standing::status(&line.world, &pass).expect("a status"), Format::Text, false);
    assert!(text.contains("glass       ") && text.contains("ada: the forge is down"), "{text}");
    assert_eq!(line.taken().await, Permitted::BrokenGlass { reason: "ada: the forge is down".into() });
    assert_eq!(line.image(), "app:2");
    // Another one is not let in with it; what was taken stays, and a signed one goes on from there.
    line.version(None, 3);
    line.held().await;
    let report = report::report(&line.world, &line.look().await, trueup::model::units::Timestamp(0))
        .expect("a report");
    let text = output::report(&report, Format::Text, false);
    assert!(text.contains("BROKE THE GLASS") && text.contains("break-glass"), "{text}");
    line.team.git(&["reset", "-q", "--hard", &bad]);
    line.version(Some("ada"), 4);
    assert_eq!(line.taken().await, Permitted::Signed);
    let told = line.store.history(100).expect("a history");
    assert!(
        told.iter().any(|e| e.what == "break-glass" && e.detail.contains("the forge is down")),
        "{told:?}"
    );
}

impl Line {
    /// The loop, until a round that is `enough`; the last words of each.
    async fn run_until(&self, enough: impl Fn(&Converged) -> bool + Send + Sync) -> Vec<String> {
        let (lines, stop, wake) = (Mutex::new(Vec::new()), Stop::default(), Arc::new(Notify::new()));
        let told = |round: Result<&Converged, &ControlError>| {
            let said = match round {
                Ok(done) => {
                    let because = done.last.taken.kept_because.as_deref();
                    let all = output::round(because, &done.outcomes, &done.last.plan);
                    if enough(done) {
                        stop.set();
                    }
                    all.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n")
                }
                Err(error) => error.to_string(),
            };
            lines.lock().expect("no panic").push(said);
        };
        let reporting = Reporting::new(Vec::new(), Arc::new(ReportsOut));
        let metrics = Mutex::new(Metrics::default());
        let running = run::run(&self.world, &stop, wake, &reporting, &metrics, &told);
        tokio::time::timeout(Duration::from_secs(60), running).await.expect("in time").expect("a run");
        let lines = lines.into_inner().expect("no panic");
        let gauges =
            output::open_metrics(&metrics.into_inner().expect("no panic").all(self.world.clock.now()));
        [lines, vec![gauges]].concat().into_iter().filter(|line| !line.starts_with("# ")).collect()
    }
}

/// The loop holds as `apply` does, goes on by itself when the branch is mended, and counts.
#[tokio::test(flavor = "multi_thread")]
async fn the_loop_holds_and_goes_on() {
    let (line, first) = Line::begun().await;
    line.version(None, 2);
    line.run_until(|done| done.last.taken.kept_because.is_some()).await;
    assert_eq!(line.image(), "app:1");
    let kept = line.look().await.taken;
    assert!(kept.kept_since.is_some(), "its age is known");
    let reader = Reader::default();
    let again = reader.take(&line.world, true).await.expect("taken").kept_since;
    assert_eq!(again, kept.kept_since, "and does not begin anew");
    line.team.git(&["reset", "-q", "--hard", &first]);
    line.version(Some("bob"), 3);
    line.run_until(|done| done.last.taken.kept_because.is_none() && done.last.plan.is_empty()).await;
    assert_eq!(line.image(), "app:3");
}

/// The numbers and the page for machines.
#[tokio::test]
async fn metrics_and_readyz_tell_what_is_held() {
    let (line, _) = Line::begun().await;
    line.version(None, 2);
    let done = line.apply().await;
    let mut metrics = Metrics::default();
    metrics.round(&line.world, &done, Duration::from_secs(1));
    let text = output::open_metrics(&metrics.all(line.world.clock.now()));
    for wanted in
        ["trueup_head_not_taken 1", "trueup_permission_verified{mode=\"signed\"} 1", "trueup_broken_glass 0"]
    {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let pages = trueup::http::Pages {
        metrics: Arc::new(Mutex::new(metrics)),
        clock: Arc::clone(&line.world.clock),
        patience: Duration::from_secs(60),
    };
    trueup::http::serve(port, pages).await.expect("served");
    let page = tokio::task::spawn_blocking(move || {
        ureq::get(format!("http://{port}/readyz"))
            .call()
            .expect("ready")
            .body_mut()
            .read_to_string()
            .expect("text")
    });
    let page = page.await.expect("read");
    assert!(page.contains("the head was not taken, since ") && page.contains("it is not signed"), "{page}");
}

/// Not ready before the first round, with what stands in its way; ready after it; not ready when none came for long.
#[tokio::test]
async fn readyz_answers_503_until_a_round_was_carried_through_and_when_none_comes_any_more() {
    let (line, _) = Line::begun().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let metrics = Arc::new(Mutex::new(Metrics::default()));
    let patience = Duration::from_millis(300);
    let clock = Arc::clone(&line.world.clock);
    let pages = trueup::http::Pages { metrics: Arc::clone(&metrics), clock, patience };
    trueup::http::serve(port, pages).await.expect("served");
    let get = async || {
        let read = move || {
            let config = ureq::Agent::config_builder().http_status_as_error(false).build();
            let url = format!("http://{port}/readyz");
            let mut answer = ureq::Agent::from(config).get(url).call().expect("an answer");
            (answer.status().as_u16(), answer.body_mut().read_to_string().expect("text"))
        };
        tokio::task::spawn_blocking(read).await.expect("read")
    };
    let (status, page) = get().await;
    assert_eq!((status, page.as_str()), (503, "no round was carried through yet\n"));
    let error = ControlError::Refused("the state file\nis on a full disk".to_owned());
    metrics.lock().expect("no panic").failed(&error);
    let (status, page) = get().await;
    assert!(
        status == 503 && page.contains("ended with an error:\n  the state file\n  is on a full disk"),
        "{page}"
    );
    let done = line.apply().await;
    metrics.lock().expect("no panic").round(&line.world, &done, Duration::ZERO);
    let (status, page) = get().await;
    assert!(status == 200 && page.starts_with("the last good round was 0 s ago"), "{page}");
    metrics.lock().expect("no panic").failed(&error);
    let (status, page) = get().await;
    assert!(status == 200 && page.contains("full disk"), "one failed round is no reason: {page}");
    tokio::time::sleep(patience * 2).await;
    let (status, page) = get().await;
    assert!(status == 503 && page.contains("full disk"), "{page}");
}

/// The binary: `verify`, `apply` and a broken glass, with settings of a file.
#[test]
fn the_commands_tell_and_exit_as_documented() {
    let team = Team::new(&["ada", "eve"]);
    team.write("fleet.toml", "fleet = \"sim\"\nenvironments = [\"test\"]\n");
    let first = team.commit(Some("ada"), "first");
    std::fs::write(team.dir().join("hash.key"), "0".repeat(64)).expect("a file");
    std::fs::write(team.dir().join("allowed_signers"), team.line("ada", "namespaces=\"git\"") + "\n")
        .expect("a file");
    let settings = |section: &str| {
        let text = format!(
            "installation = \"t\"\nkey_file = \"hash.key\"\nstate_dir = \"state\"\n[repository]\nurl = {:?}\n[permission]\n{section}\n",
            team.repo().display().to_string()
        );
        std::fs::write(team.dir().join("trueup.toml"), text).expect("a file");
    };
    let run = |args: &[&str]| -> (i32, String, String) {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_trueup"))
            .args(args)
            .arg("--config")
            .arg(team.dir().join("trueup.toml"))
            .stdin(Stdio::null())
            .env("NO_COLOR", "1")
            .output()
            .expect("the binary");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (status.code().expect("a code"), text(stdout), text(stderr))
    };
    settings("mode = \"signed\"\nsigners_file = \"allowed_signers\"");
    let (code, out, err) = run(&["verify"]);
    assert!(
        code == 0 && out.contains("nothing was enforced yet") && out.contains("ada@example.org"),
        "{out}{err}"
    );
    let (code, out, err) = run(&["apply", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    let bad = team.commit(Some("eve"), "by eve");
    team.commit(Some("ada"), "on top");
    let (code, out, _) = run(&["verify"]);
    assert!(code == 3 && out.contains("HELD: 1 of 2 commits") && out.contains("no trusted key"), "{out}");
    let (code, out, _) = run(&["verify", "--rev", &bad, "--since", &first, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (code, &json["permitted"], &json["commits"][0]["revision"]),
        (3, &false.into(), &bad.clone().into())
    );
    let (_, _, err) = run(&["apply", "--yes"]);
    assert!(err.contains("the head was not taken") && err.contains(short(&bad)), "{err}");
    let (code, _, err) = run(&["plan", "--rev", &bad]);
    assert!(code == 1 && err.contains("is held"), "{err}");
    let (code, _, _) = run(&["apply", "--yes", "--for", "2h"]);
    assert_eq!(code, 64, "a time without a glass");
    let (code, out, err) = run(&["apply", "--yes", "--break-glass", "ada: a fire", "--for", "5m"]);
    assert!(code == 0 && err.contains("the glass is broken"), "{out}{err}");
    let (_, out, _) = run(&["status"]);
    assert!(out.contains("BROKE THE GLASS for it: ada: a fire"), "{out}");
    let (_, out, _) = run(&["history"]);
    assert!(out.contains("break-glass") && out.contains("BY A BROKEN GLASS"), "{out}");

    // While the glass is broken, `verify` says for which revision, and lets no other in.
    let (code, out, _) = run(&["verify", "--since", &first]);
    assert!(code == 0 && out.contains("ada: a fire"), "{out}");
    let other = team.git(&["commit-tree", "-p", &bad, "-m", "more", &format!("{bad}^{{tree}}")]);
    let (code, out, _) = run(&["verify", "--since", &first, "--rev", &other]);
    assert!(code == 3 && !out.contains("ada: a fire"), "{out}");

    // Whoever is not let in commands no terminal by his name.
    let author = "Ada\u{1b}[2K\u{1b}[1A\rGOOD <ada@example.org>";
    team.git(&["commit", "-q", "--allow-empty", "--author", author, "-m", "x\u{9b}2J"]);
    let nasty = team.head();
    for args in [&["plan"][..], &["plan", "--rev", &nasty], &["verify"], &["status"], &["trust", &nasty]] {
        let (_, out, err) = run(args);
        let commands = |c: char| c.is_control() && c != '\n';
        assert!(!out.contains(commands) && !err.contains(commands), "{args:?}: {out:?} {err:?}");
        assert!(
            args == ["status"] || [&out, &err].iter().any(|said| said.contains("GOOD")),
            "{args:?}: {out}{err}"
        );
    }
    team.git(&["reset", "-q", "--hard", "HEAD~1"]);
    run(&["trust", &team.head()]);

    // A revert that trueup writes has nobody's signature, and says so.
    team.write("apps/x", "1\n");
    team.commit(Some("ada"), "more");
    let (code, out, err) = run(&["rollback", &first]);
    assert!(code == 0 && out.contains("git commit --amend --no-edit -S"), "{out}{err}");

    // Before it is switched on, `verify` tells what would be held.
    settings("signers_file = \"allowed_signers\"");
    let (code, out, _) = run(&["verify", "--since", &first]);
    assert!(
        code == 0
            && out.contains("Mode branch: nothing is verified. In mode signed 1 of 3 would be refused."),
        "{out}"
    );
    // Settings that could not hold are refused. Whichever way leads into the repository, a push could take it.
    std::fs::create_dir(team.dir().join("elsewhere")).expect("a directory");
    let signers = team.line("ada", "") + "\n";
    for file in ["repo/allowed_signers", "repo/.git/allowed_signers"] {
        std::fs::write(team.dir().join(file), &signers).expect("a file");
    }
    std::fs::write(team.repo().join("revoked"), "").expect("a file");
    std::os::unix::fs::symlink("repo/allowed_signers", team.dir().join("link")).expect("a link");
    std::os::unix::fs::symlink("../repo/revoked", team.dir().join("elsewhere/revoked")).expect("a link");
    for (section, why) in [
        ("mode = \"signed\"", "no key is trusted"),
        ("mode = \"guess\"", "guess"),
        ("mode = \"signed\"\nsigners = [\"ada cert-authority ssh-ed25519 AAAA\"]", "certificates"),
        ("mode = \"signed\"\nsigners_file = \"nowhere\"", "nowhere"),
        ("mode = \"signed\"\nsigners_file = \"repo/allowed_signers\"", "lies in the config repository"),
        (
            "mode = \"signed\"\nsigners_file = \"elsewhere/../repo/allowed_signers\"",
            "lies in the config repository",
        ),
        ("mode = \"signed\"\nsigners_file = \"link\"", "lies in the config repository"),
        ("mode = \"signed\"\nsigners_file = \"repo/.git/allowed_signers\"", "lies in the config repository"),
        (
            "signers_file = \"allowed_signers\"\nrevoked_file = \"elsewhere/revoked\"",
            "lies in the config repository",
        ),
    ] {
        settings(section);
        let (code, _, err) = run(&["verify"]);
        assert!(code == 1 && err.contains(why), "{section}: {err}");
    }
}

/// The settings and the keys that docs/permission.md shows are read as it says.
#[test]
fn the_page_shows_settings_that_can_be_read() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/permission.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let block = |language: &str| {
        let (_, rest) = page.split_once(&format!("```{language}\n")).expect("a block");
        rest.split_once("```").expect("its end").0.to_owned()
    };
    let team = Team::new(&[]);
    std::fs::write(team.dir().join("allowed_signers"), block("text")).expect("a file");
    let section = block("toml");
    let permission = team.settings(section.strip_prefix("[permission]\n").expect("the section"));
    assert_eq!((permission.mode, permission.signers.len()), (Mode::Signed, 2));
    assert!(
        permission.signers.iter().all(|signer| signer.for_git)
            && permission.signers[1].valid_before.is_some()
    );
}
