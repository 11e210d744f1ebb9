//! What the `[[report]]` tables of the settings say reaches the schedule, the directory and the reports themselves.

#![allow(clippy::expect_used, clippy::panic)]

mod simulation;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use simulation::{Sim, rt};
use trueup::adapter::reports::ReportsOut;
use trueup::apply::Stop;
use trueup::config::own;
use trueup::control::memory::{LastReport, Memory};
use trueup::control::reporting::Reporting;
use trueup::control::{report, run};
use trueup::model::file::{FileSet, Files};
use trueup::model::settings::ReportSettings;
use trueup::model::units::Timestamp;
use trueup::output;

/// The tables as `trueup run` reads them, of settings in `base`.
fn parsed(base: &Path, tables: &str) -> Vec<ReportSettings> {
    let text =
        format!("installation = \"home\"\nkey_file = \"key\"\n[repository]\nurl = \"/srv/fleet\"\n{tables}");
    let key = |_: &Path| Ok("ab".repeat(32).into_bytes());
    own::parse(&text, "trueup.toml", base, &key).expect("settings").reports
}

fn reporting(settings: &[ReportSettings]) -> Reporting {
    Reporting::new(settings.to_vec(), Arc::new(ReportsOut))
}

/// The loop for so long.
async fn runs(sim: &Sim, settings: &[ReportSettings], span: Duration) {
    let (stop, metrics) = (Stop::default(), Mutex::default());
    let reporting = reporting(settings);
    tokio::select! {
        ended = run::run(&sim.world, &stop, Arc::clone(&sim.wake), &reporting, &metrics, &|_| {}) => {
            ended.expect("a run");
        }
        () = sim.world.clock.sleep(span) => {}
    }
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).expect("the directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn at(text: &str) -> Timestamp {
    Timestamp(chrono::DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis())
}

#[test]
fn the_time_zone_of_the_settings_decides_when_also_where_clocks_change() {
    let dir = tempfile::tempdir().expect("a directory");
    let table = |zone: &str| {
        parsed(
            dir.path(),
            &format!("[[report]]\nschedule = \"0 7 * * *\"\ndirectory = \"reports\"\n{zone}\n"),
        )
    };
    let berlin = table("time_zone = \"Europe/Berlin\"");
    rt().block_on(async {
        let sim = Sim::new(1);
        let memory = Memory::new(&*sim.world.store);
        for (settings, last, next) in [
            // The night in which 02:00 became 03:00, and the one in which 03:00 became 02:00.
            (&berlin, "2026-03-28T06:00:00Z", "2026-03-29T05:00:00Z"),
            (&berlin, "2026-10-24T05:00:00Z", "2026-10-25T06:00:00Z"),
            (&table(""), "2026-03-28T07:00:00Z", "2026-03-29T07:00:00Z"),
        ] {
            memory.note_report(&settings[0].key(), &LastReport::begun(at(last))).expect("noted");
            let told = reporting(settings).next(&sim.world).expect("the state");
            assert_eq!(told, Some(at(next)), "after {last}");
        }
    });
}

#[test]
fn a_report_is_written_by_the_clock_of_its_zone_and_as_many_stay_as_the_settings_say() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = parsed(
        dir.path(),
        "[[report]]\nname = \"daily\"\nschedule = \"0 0 * * *\"\ntime_zone = \"Europe/Berlin\"\ndirectory = \"daily\"\n\
         [[report]]\nschedule = \"*/10 * * * *\"\ndirectory = \"often\"\nkeep = 2\n",
    );
    rt().block_on(async {
        let sim = Sim::new(1);
        sim.commit(1, &[("web", 1, "app:1")]);
        // The clock begins at 22:13:20 in winter.
        runs(&sim, &settings, Duration::from_secs(3600)).await;
    });
    let three = |stem: &str| ["html", "json", "md"].map(|ending| format!("{stem}.{ending}"));
    assert_eq!(names(&dir.path().join("daily")), three("daily-2023-11-14T230000Z").into());
    let often = ["drift-2023-11-14T230000Z", "drift-2023-11-14T231000Z"];
    assert_eq!(names(&dir.path().join("often")), often.iter().flat_map(|stem| three(stem)).collect());
}

/// Two environments, each with files of its own apps.
fn commit(sim: &Sim) {
    let app = |name: &str| {
        let text = format!(
            "app = \"{name}\"\nenvironments = [\"test\", \"prod\"]\nreplicas = 1\n\
             [rollout]\nmin_healthy = \"1s\"\n[upstream]\nport = 80\n"
        );
        // The image is set for each environment (F5).
        let image =
            |environment| (format!("apps/{name}/{environment}.toml"), "image = \"app:1\"\n".to_owned());
        [(format!("apps/{name}/app.toml"), text), image("test"), image("prod")]
    };
    let hosts =
        "[host.h1]\naddress = \"192.0.2.1\"\nengine = \"sim://\"\nenvironments = [\"test\", \"prod\"]\n";
    let mut files = BTreeMap::from([
        ("fleet.toml".to_owned(), "fleet = \"sim\"\nenvironments = [\"test\", \"prod\"]\n".to_owned()),
        ("hosts/all.toml".to_owned(), hosts.to_owned()),
    ]);
    files.extend(app("web").into_iter().chain(app("api")));
    sim.repository.commit(&files);
}

#[test]
fn a_report_of_an_environment_has_the_diffs_of_its_own_files_alone() {
    rt().block_on(async {
        let sim = Sim::new(1);
        commit(&sim);
        let _ = sim.apply().await;
        let installed = sim.world.files.installed().await.expect("files");
        let mut files: Files = installed[&FileSet::Nginx].clone().expect("installed");
        assert_eq!(files.len(), 4, "{files:?}");
        for (name, by_hand) in [
            ("web-test.conf", "# by hand, in test\n"),
            ("web-prod.conf", "# by hand, in prod\n"),
            ("api-test.conf", "# copied from web-prod\n"),
        ] {
            *files.get_mut(name).expect("a file") += by_hand;
        }
        files.insert("notes.conf".to_owned(), "# whose is this?\n".to_owned());
        sim.world.files.install(&FileSet::Nginx, &files).await.expect("installed by hand");
        let pass = sim.look().await;
        let test = BTreeSet::from(["test".parse().expect("a name")]);
        let told = report::report_on(&sim.world, &pass, Timestamp(0), Some(&test)).expect("a report");
        let text = output::report(&told, output::Format::Json, false);
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let diffs = json["drift"][0]["files"].as_array().expect("diffs");
        assert_eq!(diffs.len(), 1, "{diffs:#?}");
        assert_eq!(diffs[0]["file"], "nginx/web-test.conf");
        assert!(
            diffs[0]["diff"].as_str().is_some_and(|diff| diff.contains("-# by hand, in test")),
            "{diffs:#?}"
        );
        assert!(!text.contains("by hand, in prod") && !text.contains("copied from"), "{text}");
        let whole = report::report(&sim.world, &pass, Timestamp(0)).expect("a report");
        assert_eq!(whole.files[&FileSet::Nginx].installed.len(), 5, "the whole fleet's has them all");
    });
}
