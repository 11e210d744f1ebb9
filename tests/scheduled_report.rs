//! A report comes on its schedule from the real `trueup run`, about a real engine.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod parts;
mod stage;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use parts::{Process, Trueup};
use stage::{FLEET, HOST, Stage};

/// The file that ends so, once it is there whole.
fn file(dir: &Path, end: &str) -> Option<String> {
    let entries = std::fs::read_dir(dir).ok()?.filter_map(Result::ok);
    let found = entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(end))?;
    std::fs::read_to_string(found).ok().filter(|text| !text.is_empty())
}

#[test]
fn run_writes_what_its_settings_ask_for_when_it_is_due() {
    let stage = Stage::new("scheduled");
    let app = format!(
        "app = \"missed\"\nenvironments = [\"test\"]\nimage = \"{}\"\npull = \"never\"\ndetect_only = true\n\
         command = [\"/bin/busybox\", \"sleep\", \"3600\"]\n",
        stage.image
    );
    stage.commit(&[("fleet.toml", FLEET), ("hosts/local.toml", HOST), ("apps/missed/app.toml", &app)]);
    let settings =
        "[[report]]\nname = \"each-minute\"\nschedule = \"* * * * *\"\ndirectory = \"reports\"\nkeep = 2\n";
    let trueup = Trueup::new(&stage, settings);
    let reports = stage.dir.path().join("reports");
    let _run = Process(trueup.command(&["run"]).stderr(Stdio::null()).spawn().expect("the binary"));
    // The next full minute, and then some.
    let end = Instant::now() + Duration::from_secs(150);
    let markdown = loop {
        // It is written last.
        if let Some(markdown) = file(&reports, ".md") {
            break markdown;
        }
        assert!(Instant::now() < end, "no report in {}", reports.display());
        std::thread::sleep(Duration::from_millis(200));
    };
    let page = file(&reports, ".html").expect("a page");
    let json = file(&reports, ".json").expect("JSON");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    for text in [&page, &markdown] {
        assert!(text.contains("missed-test-0") && text.contains("declared and not there"), "{text}");
    }
    assert_eq!(json["drift"][0]["name"], "missed-test-0", "{json:#}");
    assert_eq!(json["drift"].as_array().map(Vec::len), Some(1), "{json:#}");
}
