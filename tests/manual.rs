//! The pages' commands, carried out as a reader would: every `sh` block runs (that of testing.md in tests/fleet_itself.rs), every
//! file shown is read by the program that it is for, and every command and option named anywhere exists.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod stage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const TRUEUP: &str = env!("CARGO_BIN_EXE_trueup");

/// Run by other means, each with the reason.
const RUN_ELSEWHERE: [(&str, &str); 1] =
    [("cargo run --release -- demo", "tests/demo.rs runs the demo, and tests/run is what runs this test")];

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(top().join(name)).expect("a page")
}

fn pages() -> Vec<String> {
    let mut all = vec!["README.md".to_owned()];
    for entry in std::fs::read_dir(top().join("docs")).expect("docs/") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            all.push(format!("docs/{name}"));
        }
    }
    all.sort();
    all
}

/// The fenced blocks of a page: language and text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let parts = page.split("```").skip(1).step_by(2);
    let block = |part: &str| {
        part.split_once('\n').map(|(language, text)| (language.trim().to_owned(), text.to_owned()))
    };
    parts.filter_map(block).collect()
}

/// A machine's directories of its own: what the pages put below /etc, /usr/local and /var/lib lands here.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().expect("a directory") };
        for part in ["bin", "etc/trueup", "etc/bash_completion.d", "var/lib", "home"] {
            std::fs::create_dir_all(machine.dir.path().join(part)).expect("a directory");
        }
        std::os::unix::fs::symlink(TRUEUP, machine.dir.path().join("bin/trueup")).expect("a link");
        machine
    }

    fn path(&self, text: &str) -> String {
        let at = self.dir.path().display().to_string();
        text.replace("/etc/", &format!("{at}/etc/"))
            .replace("/usr/local/bin", &format!("{at}/bin"))
            .replace("/var/lib/trueup", &format!("{at}/var/lib/trueup"))
    }

    /// Runs a block as one shell; the output of each of its commands goes to the test's own.
    fn run(&self, block: &str) -> Output {
        let home = self.dir.path().join("home");
        // The build itself is what made the program under test.
        let cargo = format!(
            "cargo() {{ [ \"$*\" = 'build --release' ] && mkdir -p target/release && cp {TRUEUP} target/release/trueup; }}\n"
        );
        let output = Command::new("bash")
            .args(["-c", &format!("{cargo}{}", self.path(block))])
            .current_dir(&home)
            .stdin(Stdio::null())
            .env("HOME", &home)
            .env(
                "PATH",
                format!("{}:{}", self.dir.path().join("bin").display(), std::env::var("PATH").expect("PATH")),
            )
            .envs([("GIT_AUTHOR_NAME", "reader"), ("GIT_AUTHOR_EMAIL", "reader@localhost")])
            .envs([("GIT_COMMITTER_NAME", "reader"), ("GIT_COMMITTER_EMAIL", "reader@localhost")])
            .output()
            .expect("bash");
        println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Each line that is a command of its own must end with one of these codes.
    fn run_lines(&self, block: &str, codes: impl Fn(&str) -> Vec<i32>) {
        let joined = block.replace("\\\n", " ");
        let mut before = String::new();
        for line in joined.lines().filter(|line| !line.trim().is_empty()) {
            let output = self.run(&format!("{before}{line}\n"));
            let code = output.status.code().expect("an exit code");
            assert!(
                codes(line).contains(&code),
                "`{line}` ended with {code}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            if let Some(directory) = line.strip_prefix("cd ") {
                let directory = directory.split("&&").next().expect("a word").trim().to_owned();
                before = format!("cd {directory}; ");
            }
        }
    }
}

/// What a page may expect of a line: looking at a fleet has codes of its own (section X).
fn usual(line: &str) -> Vec<i32> {
    let looks = ["trueup plan", "trueup apply", "trueup status", "trueup drift"];
    if looks.iter().any(|look| line.starts_with(look)) { vec![0, 2, 3] } else { vec![0] }
}

/// A file shown on a page begins with its name as a comment.
fn files_shown(page: &str) -> BTreeMap<String, String> {
    let named = |(language, text): (String, String)| {
        let name = text.lines().next()?.strip_prefix("# ")?.trim().to_owned();
        (language == "toml" && name.ends_with(".toml")).then_some((name, text))
    };
    blocks(page).into_iter().filter_map(named).collect()
}

#[test]
fn the_readme_works_as_it_is_written() {
    let machine = Machine::new();
    let readme = page("README.md");
    let scripts: Vec<String> =
        blocks(&readme).into_iter().filter(|(l, _)| l == "sh").map(|(_, t)| t).collect();
    let elsewhere = |script: &&String| RUN_ELSEWHERE.iter().any(|(line, _)| script.starts_with(line));
    assert_eq!(scripts.iter().filter(elsewhere).count(), 1, "the two commands for newcomers");
    for script in scripts.iter().filter(|script| !elsewhere(script)) {
        machine.run_lines(script, usual);
    }
    // The smallest repository.
    let smallest = machine.dir.path().join("home/smallest");
    let files = files_shown(&readme);
    assert_eq!(files.len(), 3, "{files:?}");
    for (name, text) in files {
        let file = smallest.join(&name);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
        std::fs::write(file, text).expect("a file");
    }
    machine.run_lines(
        "cd smallest && git init -q && git add . && git commit -qm small\ntrueup config check --repo .\n",
        usual,
    );
}

#[test]
fn the_swarm_page_shows_a_config_that_is_one() {
    let shown = files_shown(&page("docs/swarm.md"));
    assert_eq!(shown.len(), 4, "{:?}", shown.keys());
    let machine = Machine::new();
    let fleet = machine.dir.path().join("home/fleet");
    for (name, text) in &shown {
        let file = fleet.join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, text).expect("a file");
    }
    let output = machine
        .run("cd fleet && git init -q . && git add . && git commit -qm x && trueup config check --repo .\n");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_operations_page_works_as_it_is_written() {
    let machine = Machine::new();
    std::fs::remove_file(machine.dir.path().join("bin/trueup")).expect("a link");
    let operations = page("docs/operations.md");
    for (_, script) in blocks(&operations).into_iter().filter(|(language, _)| language == "sh") {
        machine.run_lines(&script, usual);
    }
    // The key as the page says, and the settings it shows, against a repository that is there.
    let key = operations.split('`').find(|span| span.starts_with("openssl rand")).expect("how a key is made");
    machine.run_lines(key, usual);
    machine.run_lines(
        "trueup init fleet\ncd fleet && git init -q && git add . && git commit -qm first\n",
        usual,
    );
    let shown = files_shown(&operations);
    let settings = shown.get("/etc/trueup/trueup.toml").expect("the settings");
    let fleet = machine.dir.path().join("home/fleet").display().to_string();
    let settings = machine.path(settings).replace("https://git.example/fleet.git", &fleet);
    let file = machine.dir.path().join("etc/trueup/trueup.toml");
    std::fs::write(&file, settings).expect("the settings");
    let config = "--config /etc/trueup/trueup.toml";
    machine.run_lines(
        &format!("trueup config check {config}\ntrueup plan {config}\ntrueup status {config}\n"),
        usual,
    );
    // The fuller example is read, too: every key in it is one.
    let shown = |mark: &str| {
        let mut all = blocks(&operations).into_iter();
        let found = all.find(|(language, text)| language == "toml" && text.contains(mark));
        machine.path(&found.unwrap_or_else(|| panic!("an example with {mark}")).1)
    };
    let fuller = format!(
        "installation = \"x\"\nkey_file = \"hash.key\"\n{}{}",
        shown("[limits]"),
        shown("[[report]]")
    );
    std::fs::write(&file, fuller).expect("the settings");
    let doctor = machine.run(&format!("trueup doctor {config}"));
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("ok   settings"), "{said}");

    // Exit codes, with the settings where the page expects them.
    for (_, script) in
        blocks(&page("docs/exit-codes.md")).into_iter().filter(|(language, _)| language == "sh")
    {
        let script = script.replace("trueup plan", &format!("trueup plan --repo {fleet}"));
        let output = machine.run(&script);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.contains("look at blocked and unknown first") || said.contains("a person may look"),
            "{said}"
        );
    }
}

/// The image and the container are named after this process, so that nobody's own are touched.
struct Sweep(String);

impl Drop for Sweep {
    fn drop(&mut self) {
        stage::docker(&["rm", "-f", &self.0]);
        stage::docker(&["rmi", "-f", &format!("{}:0.1.0", self.0)]);
    }
}

#[test]
fn trueup_runs_in_a_container_as_it_is_written() {
    let machine = Machine::new();
    let name = format!("trueup-manual-{}", std::process::id());
    let _sweep = Sweep(name.clone());
    let at = machine.dir.path();
    // A fleet of nothing but a host: what runs in the container sees the engine through its socket.
    machine.run_lines("mkdir -p fleet/hosts && cd fleet && git init -q\n", usual);
    std::fs::write(at.join("home/fleet/fleet.toml"), stage::FLEET).expect("a file");
    std::fs::write(at.join("home/fleet/hosts/local.toml"), stage::HOST).expect("a file");
    machine.run_lines("cd fleet && git add . && git commit -qm first\n", usual);
    std::fs::create_dir_all(at.join("var/lib/trueup")).expect("a directory");
    machine.run_lines(
        "cp -r fleet/.git /var/lib/trueup/fleet.git\nopenssl rand -hex 32 >/etc/trueup/hash.key\n",
        usual,
    );
    let settings = "installation = \"manual\"\nkey_file = \"hash.key\"\n[repository]\nurl = \"/var/lib/trueup/fleet.git\"\n";
    std::fs::write(at.join("etc/trueup/trueup.toml"), settings).expect("the settings");
    for (_, script) in blocks(&page("docs/container.md")).into_iter().filter(|(language, _)| language == "sh")
    {
        // The engine's side of a mount is this machine's; the container's side stays as it is written.
        let mut script = script
            .replace("trueup:0.1.0", &format!("{name}:0.1.0"))
            .replace("--name trueup", &format!("--name {name}"));
        for place in ["/etc/trueup", "/var/lib/trueup"] {
            script = script.replace(&format!("-v {place}:"), &format!("-v {}{place}:", at.display()));
        }
        let output = {
            let home = at.join("home");
            let build = format!("mkdir -p target/release && cp {TRUEUP} target/release/trueup\n");
            let script = script.replace("cargo build --release\n", &build);
            Command::new("bash").args(["-ec", &script]).current_dir(home).output().expect("bash")
        };
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let status = stage::docker(&["exec", &name, "/usr/bin/trueup", "status"]);
        let said = String::from_utf8_lossy(&status.stdout).into_owned();
        if said.contains("1 of 1 host known") {
            break;
        }
        let logs = stage::docker(&["logs", &name]);
        let logs =
            format!("{}{}", String::from_utf8_lossy(&logs.stdout), String::from_utf8_lossy(&logs.stderr));
        let told = format!("{said}{}", String::from_utf8_lossy(&status.stderr));
        assert!(std::time::Instant::now() < deadline, "it does not come up: {told}\n{logs}");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

#[test]
fn the_import_page_works_as_it_is_written() {
    let machine = Machine::new();
    let name = format!("trueup-test-manual-{}", std::process::id());
    let _sweep = Sweep(name.clone());
    let image = format!("{name}:0.1.0");
    stage::make_image(machine.dir.path(), &image);
    stage::docker_ok(&["run", "-d", "--name", &name, &image, "/bin/busybox", "sleep", "600"]);
    let life = || stage::docker_ok(&["inspect", "-f", "{{.Id}} {{.State.StartedAt}}", &name]);
    let before = life();
    for (_, script) in blocks(&page("docs/import.md")).into_iter().filter(|(language, _)| language == "sh") {
        // Its plan is empty, so nothing but 0 will do.
        machine.run_lines(&script.replace("shop-web", &name), |_| vec![0]);
    }
    assert_eq!(life(), before);
}

#[test]
fn the_systemd_unit_is_one() {
    let machine = Machine::new();
    let unit = machine.dir.path().join("trueup.service");
    let text = std::fs::read_to_string(top().join("docs/systemd/trueup.service")).expect("the unit");
    std::fs::write(&unit, text.replace("/usr/local/bin/trueup", TRUEUP)).expect("the unit");
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output();
    let output = output.expect("systemd-analyze (Debian package systemd)");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("trueup.service")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

fn help(words: &[&str]) -> Option<String> {
    let output = Command::new(TRUEUP).args(words).arg("--help").output().expect("the binary");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What is wrong with the command lines in the page's code spans and in what it shows as typed.
fn unknown_commands(page: &str) -> Vec<String> {
    let prose: Vec<&str> = page.split("```").step_by(2).collect();
    let spans = prose.iter().flat_map(|text| text.split('`').skip(1).step_by(2));
    // What is shown as typed needs a fleet or a key that only the reader has: it is not run.
    let typed: Vec<String> = blocks(page)
        .into_iter()
        .filter(|(language, _)| language == "console")
        .flat_map(|(_, text)| text.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| line.strip_prefix("$ ").map(str::to_owned))
        .collect();
    let spans = spans.chain(typed.iter().map(String::as_str));
    let mut wrong = Vec::new();
    // "trueup is killed" is a line of a story.
    for span in spans.filter_map(|span| span.strip_prefix("trueup ")).filter(|span| !span.starts_with("is "))
    {
        let span = span.replace('\n', " ");
        let words: Vec<&str> = span.split_whitespace().collect();
        let verbs: Vec<&str> = words
            .iter()
            .copied()
            .take_while(|w| w.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !w.starts_with('-'))
            .collect();
        // `config show`, but also `completions bash`: the second word may be a value.
        let Some(text) = (1..=verbs.len().min(2)).rev().find_map(|n| help(verbs.get(..n)?)) else {
            if verbs.first().is_some_and(|verb| *verb != "COMMAND") {
                wrong.push(format!("`trueup {span}`: no such command"));
            }
            continue;
        };
        for option in words.iter().filter(|word| word.starts_with("--")) {
            let option = option.split(['=', '|']).next().unwrap_or(option);
            if !text.contains(option) {
                wrong.push(format!("`trueup {span}`: no option {option}"));
            }
        }
    }
    wrong
}

#[test]
fn every_command_and_option_named_exists() {
    let wrong: Vec<String> = pages()
        .iter()
        .flat_map(|name| unknown_commands(&page(name)).into_iter().map(move |w| format!("{name}: {w}")))
        .collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    let bad = "`trueup fly` and `trueup plan --nonsense X` but `trueup config show APP --origin`";
    assert_eq!(unknown_commands(bad).len(), 2);
    let bad = "```console\n$ trueup plan --nonsense X\n$ git push\nno command\n```";
    assert_eq!(unknown_commands(bad).len(), 1);
    // The tables of commands.md: `command …` in the first column, its options in the second.
    let commands = page("docs/commands.md");
    let rows = commands.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let mut listed = 0;
    for (command, meaning) in rows.filter(|(command, _)| !command.starts_with('-')) {
        let spans = meaning.split('`').skip(1).step_by(2).filter(|span| span.starts_with("--"));
        let words: Vec<String> =
            command.split_whitespace().filter(|w| !w.starts_with('[')).map(str::to_owned).collect();
        for option in spans {
            let line =
                format!("`trueup {} {}`", words.join(" "), option.split_whitespace().next().expect("a word"));
            assert_eq!(unknown_commands(&line), Vec::<String>::new());
        }
        assert_eq!(unknown_commands(&format!("`trueup {}`", words.join(" "))), Vec::<String>::new());
        listed += 1;
    }
    let known = help(&[]).expect("help");
    let verbs =
        known.lines().skip_while(|l| !l.starts_with("Commands:")).skip(1).take_while(|l| !l.is_empty());
    let missing: Vec<&str> = verbs
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help" && !commands.contains(&format!("`{verb}")))
        .collect();
    assert!(listed > 20 && missing.is_empty(), "commands.md does not tell of {missing:?}");
}

#[test]
fn the_help_of_a_command_begins_with_what_the_list_of_commands_says_of_it() {
    let list = help(&[]).expect("help");
    let listed = list.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let listed: Vec<(&str, &str)> = listed
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.trim().split_once(' '))
        .filter(|(command, _)| *command != "help")
        .collect();
    assert!(listed.len() > 20, "{list}");
    let completions = Command::new(TRUEUP).args(["completions", "fish"]).output().expect("the binary");
    let completions = String::from_utf8(completions.stdout).expect("text");
    for (command, says) in listed {
        let says = says.trim();
        let own = help(&[command]).expect("help");
        assert!(own.starts_with(says), "{command}: {says}: {own}");
        let offered = format!("-a \"{command}\" -d '{}'", says.replace('\'', "\\'"));
        assert!(completions.contains(&offered), "{offered}");
    }
}
