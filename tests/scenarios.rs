//! The scenario scripts of tests/scenarios, each played on the simulated fleet and held to what it says it prints.
//!
//! `UPDATE_GOLDEN=1 cargo test --test scenarios` writes down what is printed now; without it nothing is ever written.
//! docs/scenarios.md has the format.

#![allow(clippy::expect_used, clippy::panic, reason = "a scenario that cannot be played has to fail loudly")]

#[path = "script/mod.rs"]
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use script::{Fleets, Script};

/// One test a file; `every_file_is_played` fails where a file is missing here.
macro_rules! scenarios {
    ($($name:ident)*) => {
        const PLAYED: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { holds(stringify!($name)); })*
    };
}

scenarios! {
    a1_partly_read_host
    a1_unknown_host
    a2_broken_commit
    a2_git_down
    a2_missing_tree
    a3_all_errors_at_once
    a4_also_there
    a4_changed_by_hand
    a4_network_pruned
    a5_extras_by_hand
    a6_detect_only
    a6_detect_only_fleet
    b1_copied_labels
    b1_name_is_taken
    b1_renamed_orphan
    b1_stopped_guest
    b2_both_hosts_of_a_move
    b2_burnt_host
    b2_host_leaves_the_inventory
    b2_prune
    b3_all_apps_vanish
    b3_approval_is_bound
    b3_blast_radius
    b3_everything_replaced
    b3_last_of_production
    b3_nibbling
    b3_swarm_failed
    b3_swarm_nibbling
    b3_swarm_tasks
    b4_adopt
    b4_adopted_is_remembered
    b4_adopted_moves
    b5_data_stays
    c5_held_addresses
    c8_copy_stays_behind
    c8_move_is_remembered
    c8_renamed_elsewhere_is_room
    d10_second_writer
    d11_saved_plan
    d1_interruption
    d1_rollout
    d2_failed_rollout
    d2_image_is_nowhere
    d2_new_one_exits
    d3_backoff
    d3_engine_hiccup
    d4_depends_on
    d5_connection_cut
    d5_killed
    d6_flapping_host
    d6_hung_host
    d6_slow_host
    d7_loop
    d8_only_what_changed
    e1_directory_unreadable
    e1_one_bad_file
    e1_reload_fails
    e2_nothing_unescaped
    e3_flume
    f0_force_push
    f1_broken_glass
    f1_unsigned_commit
    f5_environments
    h_lost_state
    h_lost_state_signed
    swarm_a1_label_of_a_silent_member
    swarm_a1_no_quorum
    swarm_a1_since_when
    swarm_a4_also_there
    swarm_a4_changed_by_hand
    swarm_b1_name_is_taken
    swarm_b2_dropped
    swarm_b2_prune
    swarm_b4_adopt
    swarm_c5_held_addresses
    swarm_c8_manager_demoted
    swarm_c8_manager_down
    swarm_d1_create_scale_update
    swarm_d1_slow_and_well
    swarm_d2_another_kind
    swarm_d2_held_for_good
    swarm_d2_rolled_back
    swarm_d4_runs_nowhere
    swarm_d5_killed
    swarm_d6_loop_does_not_wait
    swarm_d7_fails_at_placement
    swarm_d9_configs
    swarm_h_lost_state
    swarm_jobs
    swarm_nodes
    swarm_side_by_side
}

/// Rules that this release claims for hosts with an engine of their own: each has a scenario.
const RULES: &[&str] = &[
    "A1", "A2", "A3", "A4", "A5", "A6", "B1", "B2", "B3", "B4", "B5", "C8", "D1", "D2", "D3", "D4", "D5",
    "D6", "D7", "D8", "D9", "D10", "D11", "E1", "E2", "E3", "F0", "F1", "F5", "H",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// Plays the file and compares; with `UPDATE_GOLDEN=1` writes instead.
fn holds(name: &str) {
    let file = folder().join(format!("{name}.txt"));
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1");
    if let Err(why) = compare(&file, &fleets(), update) {
        panic!("{why}");
    }
}

/// What the file says against what is printed now.
fn compare(file: &Path, fleets: &Fleets, update: bool) -> Result<(), String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|e| format!("{shown}: {e}"))?;
    let script = Script::parse(&text).map_err(|why| format!("{shown}:{why}"))?;
    let played = script.play(fleets).map_err(|why| format!("{shown}:{why}"))?;
    if played == text {
        return Ok(());
    }
    if update {
        return std::fs::write(file, played).map_err(|e| format!("{shown}: {e}"));
    }
    let diff = similar::TextDiff::from_lines(&text, &played);
    let diff = diff.unified_diff().header("the file", "what is printed now").to_string();
    Err(format!(
        "{shown} prints something else now:\n{diff}\nIf that is right: UPDATE_GOLDEN=1 cargo test --test scenarios"
    ))
}

/// Every folder of tests/scenarios/fleets: its files by path.
fn fleets() -> Fleets {
    let top = folder().join("fleets");
    let mut fleets = Fleets::new();
    for fleet in entries(&top) {
        let mut files = BTreeMap::new();
        collect(&fleet, &fleet, &mut files);
        fleets.insert(name_of(&fleet), files);
    }
    fleets
}

fn collect(top: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for path in entries(folder) {
        if path.is_dir() {
            collect(top, &path, files);
        } else {
            let name = path.strip_prefix(top).expect("below the top").display().to_string();
            files.insert(name, std::fs::read_to_string(&path).expect("a text"));
        }
    }
}

fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    let read = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    read.map(|entry| entry.expect("an entry").path()).collect()
}

fn name_of(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn every_file_is_played_and_names_its_rules() {
    let mut told = BTreeSet::new();
    let files: Vec<PathBuf> = entries(&folder()).into_iter().filter(|path| !path.is_dir()).collect();
    for file in &files {
        assert_eq!(file.extension().and_then(|e| e.to_str()), Some("txt"), "{}", file.display());
        assert!(
            PLAYED.contains(&name_of(file).as_str()),
            "{} is played by no test: add its name to scenarios! in tests/scenarios.rs",
            file.display()
        );
        let text = std::fs::read_to_string(file).expect("a text");
        let first = text.lines().next().unwrap_or_default();
        let rules = first.strip_prefix("# ").and_then(|rest| rest.split_once(": ")).map(|(rules, _)| rules);
        let is_rule = |word: &str| {
            let digits = word.trim_start_matches(|c: char| c.is_ascii_uppercase());
            (digits.len() < word.len() && !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
                || word == "H"
        };
        assert!(
            rules.is_some_and(|rules| rules.split(", ").all(is_rule)),
            "{}: the first line names the rules, as in `# A2, A3: what happens`",
            file.display()
        );
        told.extend(rules.into_iter().flat_map(|rules| rules.split(", ")).map(str::to_owned));
    }
    assert_eq!(files.len(), PLAYED.len(), "a scenario is listed whose file is gone");
    let silent: Vec<&&str> = RULES.iter().filter(|rule| !told.contains(**rule)).collect();
    assert!(silent.is_empty(), "no scenario shows {silent:?}");
}

/// The example of the page is played too.
#[test]
fn the_example_of_the_page_holds() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scenarios.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let example =
        page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let played = Script::parse(example).and_then(|script| script.play(&fleets())).expect("played");
    assert_eq!(played, example, "docs/scenarios.md");
}

/// Golden text is only worth something if nothing but a person's wish changes it.
#[test]
fn without_update_a_difference_fails_and_nothing_is_written() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("x.txt");
    let wrong = "# A1: a clock.\n\n> clock\n  the wrong time\n";
    std::fs::write(&file, wrong).expect("written");
    let why = compare(&file, &Fleets::new(), false).expect_err("a difference");
    assert!(why.contains("-  the wrong time") && why.contains("UPDATE_GOLDEN=1"), "{why}");
    assert_eq!(std::fs::read_to_string(&file).expect("read"), wrong, "not written");
    compare(&file, &Fleets::new(), true).expect("updated");
    compare(&file, &Fleets::new(), false).expect("as written");
    assert_ne!(std::fs::read_to_string(&file).expect("read"), wrong);
}

#[test]
fn a_script_that_cannot_be_played_says_the_line_and_why() {
    for (text, expected) in [
        ("> dance\n", "1: there is no such command"),
        ("# A1: x\n\n> h1: docker stop web-prod-0\n", "3: no container web-prod-0 on h1"),
        ("> edit a.toml \"x\" -> \"y\"\n", "1: there is no file a.toml"),
        ("> fleet none\n", "1: there is no fleet none"),
        ("| a body\n", "1: a body without a command"),
        ("> clock\n| body\n", "1: `clock` takes no body"),
        ("> trueup plan \"x\n", "1: a quote is not closed"),
    ] {
        let why = Script::parse(text).and_then(|script| script.play(&Fleets::new())).expect_err(text);
        assert!(why.starts_with(expected), "{text:?}: {why}");
    }
}
