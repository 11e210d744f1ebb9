//! Reports of a loop that is at something: what it carries out is told as that, and not as drift.

#![allow(clippy::expect_used, clippy::panic)]

mod simulation;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use simulation::{Sim, rt};
use trueup::adapter::reports::ReportsOut;
use trueup::apply::Stop;
use trueup::control::memory::{Delivery, LastReport, Memory};
use trueup::control::reporting::{Noting, Reporting};
use trueup::control::{pass, report, run};
use trueup::model::report::Report;
use trueup::model::schedule::Schedule;
use trueup::model::settings::ReportSettings;
use trueup::model::units::Timestamp;
use trueup::ports::Record;
use trueup::sim::SimStore;

const HOUR: Duration = Duration::from_secs(3600);

fn commit(sim: &Sim, image: &str) {
    let host = |n: u8| {
        format!("[host.h{n}]\naddress = \"192.0.2.{n}\"\nengine = \"sim://\"\nenvironments = [\"test\"]\n")
    };
    let app = format!(
        "app = \"web\"\nenvironments = [\"test\"]\nimage = \"{image}\"\nreplicas = 2\n\
         [rollout]\nmin_healthy = \"2m\"\n[upstream]\nport = 80\n"
    );
    sim.repository.commit(&BTreeMap::from([
        ("fleet.toml".to_owned(), "fleet = \"sim\"\nenvironments = [\"test\"]\n".to_owned()),
        ("hosts/all.toml".to_owned(), host(1) + &host(2)),
        ("apps/web/app.toml".to_owned(), app),
    ]));
}

#[test]
fn a_rollout_under_way_is_no_drift() {
    rt().block_on(async {
        let sim = Sim::new(7);
        commit(&sim, "app:1");
        let dir = tempfile::tempdir().expect("a directory");
        let settings = ReportSettings {
            name: "drift".to_owned(),
            schedule: Schedule::new("0 * * * *", "UTC").expect("a schedule"),
            environments: None,
            directory: Some(dir.path().to_owned()),
            keep: 3,
            webhook: None,
        };
        let (stop, reporting) = (Stop::default(), Reporting::new(vec![settings], Arc::new(ReportsOut)));
        let (metrics, wake) = (Mutex::default(), Arc::clone(&sim.wake));
        let running = run::run(&sim.world, &stop, Arc::clone(&wake), &reporting, &metrics, &|_| {});
        // The clock begins at 22:13:20: a minute before the hour the next version is there.
        let hand = async {
            sim.world.clock.sleep(HOUR * 3 / 4 + Duration::from_secs(40)).await;
            commit(&sim, "app:2");
            wake.notify_one();
            sim.world.clock.sleep(Duration::from_secs(90)).await;
        };
        tokio::select! {
            ended = running => ended.expect("a run"),
            () = hand => {}
        }
        let mut files = std::fs::read_dir(dir.path()).expect("reports").map(|e| e.expect("an entry").path());
        let file = files.find(|path| path.extension().is_some_and(|e| e == "json")).expect("a report");
        let text = std::fs::read_to_string(file).expect("a report");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let drift = json["drift"].as_array().expect("a list");
        let told = |n: usize| (drift[n]["kind"].as_str(), drift[n]["detail"].as_str().unwrap_or_default());
        assert_eq!(drift.len(), 2, "the rollout goes on, and one waits for its turn: {json:#}");
        assert!(told(0).1.starts_with("replace since 2023-11-14T22:59"), "{json:#}");
        // The instance that waits for its turn is as it was; the files have what is drained no more, and are right.
        assert!((1..drift.len()).all(|n| told(n).0 == Some("container")), "{json:#}");
    });
}

/// `trueup drift` is another process: all it has of what the loop is at is the state that both keep.
#[test]
fn drift_on_demand_tells_the_rollout_of_another_process_as_that() {
    rt().block_on(async {
        let sim = Sim::new(7);
        commit(&sim, "app:1");
        let _settled = sim.apply().await;
        let drift = async || {
            let pass = pass::take_and_look_beside_others(&sim.world).await.expect("a look");
            report::report(&sim.world, &pass, Timestamp(0)).expect("a report")
        };
        let told =
            |report: &Report| report.plan.drift.iter().map(|d| d.subject.to_string()).collect::<Vec<_>>();
        assert_eq!(told(&drift().await), [""; 0]);
        let writer = sim.world.store.become_writer("trueup run").expect("the writer");
        let (stop, reporting) = (Stop::default(), Reporting::new(Vec::new(), Arc::new(ReportsOut)));
        let (metrics, wake) = (Mutex::default(), Arc::clone(&sim.wake));
        let running = run::run(&sim.world, &stop, Arc::clone(&wake), &reporting, &metrics, &|_| {});
        let hand = async {
            sim.world.clock.sleep(Duration::from_secs(1)).await;
            commit(&sim, "app:2");
            wake.notify_one();
            // Drained, and in its place one that has to be well for two minutes.
            sim.world.clock.sleep(Duration::from_secs(90)).await;
            drift().await
        };
        let report = tokio::select! {
            ended = running => panic!("the loop ended: {ended:?}"),
            report = hand => report,
        };
        let under_way: Vec<String> = report.plan.under_way.iter().map(|u| u.subject.to_string()).collect();
        assert_eq!(under_way, ["container web-test-0 on h1"], "{:#?}", report.plan.drift);
        assert_eq!(report.plan.under_way[0].step, "wait until container web-test-0 is healthy");
        let told = told(&report);
        assert_eq!(told.len(), 2, "the rollout, and one that waits for its turn; no files: {told:?}");
        assert!(told.iter().all(|subject| subject.starts_with("container ")), "{told:?}");
        assert!(report.files.is_empty(), "what is drained is rightly not in the files: {:?}", report.files);
        // It was killed: nobody is at it any more, and how it stands is drift.
        drop(writer);
        let report = drift().await;
        assert!(report.plan.under_way.is_empty(), "{:?}", report.plan.under_way);
        assert!(!report.files.is_empty(), "nobody puts it back into the files but the next `run`");
    });
}

/// Its note could not be deleted when the change ended, such as on a full disk.
#[test]
fn a_note_that_stayed_behind_goes_once_nothing_is_under_way() {
    rt().block_on(async {
        let sim = Sim::new(7);
        commit(&sim, "app:1");
        let _settled = sim.apply().await;
        let (stop, reporting) = (Stop::default(), Reporting::new(Vec::new(), Arc::new(ReportsOut)));
        let (metrics, wake) = (Mutex::default(), Arc::clone(&sim.wake));
        let running = run::run(&sim.world, &stop, Arc::clone(&wake), &reporting, &metrics, &|_| {});
        let noted = || Memory::new(&*sim.world.store).under_way().expect("notes");
        let hand = async {
            sim.world.clock.sleep(Duration::from_secs(1)).await;
            commit(&sim, "app:2");
            wake.notify_one();
            sim.world.clock.sleep(Duration::from_secs(90)).await;
            let left = noted().pop().expect("a note");
            sim.world.clock.sleep(HOUR / 4).await;
            assert!(noted().is_empty());
            let json = serde_json::to_string(&left).expect("JSON");
            sim.world.store.put(Record::UnderWay, "container web-test-0 on h1", &json).expect("stored");
            wake.notify_one();
            sim.world.clock.sleep(Duration::from_secs(5)).await;
            assert!(noted().is_empty(), "it would be told as under way for ever");
        };
        tokio::select! {
            ended = running => panic!("the loop ended: {ended:?}"),
            () = hand => {}
        }
    });
}

/// A report is made while an earlier one is taken: neither takes back what the other noted.
#[test]
fn what_is_made_and_what_is_taken_at_once_are_both_noted() {
    const TIMES: i64 = 2000;
    let (store, noting) = (SimStore::default(), Noting::default());
    let taken = |until| Delivery { report: "r".into(), body: String::new(), until: Some(Timestamp(until)) };
    let last = || Memory::new(&store).last_report("r").expect("read").expect("one");
    Memory::new(&store).note_report("r", &LastReport::begun(Timestamp(0))).expect("noted");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for at in 1..=TIMES {
                noting.made(&Memory::new(&store), "r", Timestamp(at), Timestamp(0)).expect("noted");
                assert_eq!(last().at, Timestamp(at), "its time was taken back: it would be made twice");
            }
        });
        scope.spawn(|| {
            for until in 1..=TIMES {
                noting.was_taken(&Memory::new(&store), &taken(until)).expect("noted");
            }
        });
    });
    assert_eq!(last(), LastReport { at: Timestamp(TIMES), from: Some(Timestamp(TIMES)) });
}
