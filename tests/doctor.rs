//! `trueup doctor`: what works, and each thing that can be wrong with its words and what to do about it.

#![allow(clippy::expect_used, clippy::panic)]

mod stage;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use stage::{FLEET, HOST, Stage};

/// Settings in the stage's directory, and how often they were used.
struct Doctor<'a> {
    stage: &'a Stage,
}

impl Doctor<'_> {
    fn dir(&self) -> &Path {
        self.stage.dir.path()
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.dir().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
        path
    }

    /// Runs it on settings with these sections; the exit code and `what → (verdict, detail, next)`.
    fn asks(&self, sections: &str) -> (i32, Vec<(String, String, String, String)>) {
        self.file("hash.key", &"ab".repeat(32), 0o600);
        let repo = self.stage.repo().display().to_string();
        let head = "installation = \"doctor\"\nkey_file = \"hash.key\"\nstate_dir = \"state\"\n";
        let own = if sections.contains("[repository]") {
            format!("{head}{sections}")
        } else {
            format!("{head}{sections}\n[repository]\nurl = {repo:?}\n")
        };
        let config = self.file("trueup.toml", &own, 0o600);
        let output = Command::new(env!("CARGO_BIN_EXE_trueup"))
            .args(["doctor", "--format", "json", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .output()
            .expect("the binary");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let checks: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let word = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
        let all = checks.as_array().expect("a list").iter();
        let rows =
            all.map(|c| (word(c, "what"), word(c, "verdict"), word(c, "detail"), word(c, "next"))).collect();
        (output.status.code().expect("an exit code"), rows)
    }

    /// That it says so, and what to do.
    #[track_caller]
    fn finds(&self, sections: &str, verdict: &str, what: &str, detail: &str, next: &str) {
        let (code, rows) = self.asks(sections);
        let found = rows.iter().any(|(w, v, d, n)| {
            w.starts_with(what) && v == verdict && d.contains(detail) && n.contains(next)
        });
        assert!(found, "no {verdict} {what} with {detail:?} and {next:?} in {rows:#?}");
        let broken = rows.iter().any(|(_, v, _, _)| v == "broken");
        assert_eq!(code, i32::from(broken), "{rows:#?}");
    }
}

/// Each test with an image of its own: one name for all would leave nameless ones behind.
fn start(name: &str) -> Stage {
    let stage = Stage::new(&format!("doctor-{name}"));
    stage.commit(&[("fleet.toml", FLEET), ("hosts/local.toml", HOST)]);
    stage
}

#[test]
fn all_is_well() {
    let stage = start("well");
    let doctor = Doctor { stage: &stage };
    let nginx = stage.dir.path().join("nginx");
    let main = doctor.file(
        "nginx.conf",
        &format!(
            "pid {0}/nginx.pid;\nerror_log {0}/error.log;\nevents {{}}\nhttp {{ access_log off; include {1}/current/*.conf; }}\n",
            stage.dir.path().display(),
            nginx.display()
        ),
        0o644,
    );
    let pid = doctor.file("reader.pid", &format!("{}\n", std::process::id()), 0o644);
    let sections = format!(
        "[nginx]\ndirectory = \"nginx\"\nmain_config = {:?}\npid_file = {:?}\n[flume]\ndirectory = \"flume\"\n",
        main.display().to_string(),
        pid.display().to_string()
    );
    let (code, rows) = doctor.asks(&sections);
    let ill: Vec<_> = rows.iter().filter(|(_, verdict, _, _)| verdict != "works").collect();
    assert!(code == 0 && ill.is_empty(), "{ill:#?}");
    for what in
        ["settings", "state directory", "secret", "clock", "repository", "engine of local", "registry"]
    {
        assert!(rows.iter().any(|(w, _, _, _)| w.starts_with(what)), "{what} was not looked at");
    }
}

#[test]
fn settings_and_secrets() {
    let stage = start("settings");
    let doctor = Doctor { stage: &stage };
    doctor.finds("colour = 3\n", "broken", "settings", "trueup.toml:4:1", "mend the settings");
    doctor.finds(
        "state_dirs = \"x\"\n",
        "broken",
        "settings",
        "did you mean `state_dir`",
        "mend the settings",
    );
    let report = "[[report]]\ndirectory = \"reports\"\n[[report]]\nschedule = \"0 7 * *\"\n\
                  webhook = { url = \"http://example.org/x\" }\n";
    doctor.finds(report, "broken", "settings", "trueup.toml:4:1: the key `schedule` is missing", "mend");
    doctor.finds(report, "broken", "settings", "trueup.toml:7:12: \"0 7 * *\" has 4 fields", "mend");
    doctor.finds(report, "broken", "settings", "trueup.toml:8:19", "mend");
    doctor.file("token", "x", 0o644);
    let url = stage.repo().display().to_string();
    let repository = |more: &str| format!("[repository]\nurl = {url:?}\n{more}\n");
    let loose = repository("https_password_file = \"token\"");
    doctor.finds(&loose, "doubtful", "secret", "others can read it", "chmod 600");
    let hook = "[[report]]\nschedule = \"0 7 * * *\"\n[report.webhook]\nurl_file = \"token\"\n";
    doctor.finds(hook, "doubtful", "secret", "others can read it", "chmod 600");
    let absent = repository("ssh_key = \"absent\"");
    doctor.finds(&absent, "broken", "secret", "cannot be read", "correct its path");
}

#[test]
fn what_cannot_be_reached() {
    let stage = start("reach");
    let doctor = Doctor { stage: &stage };
    let nowhere = "[repository]\nurl = \"/nowhere/at/all\"\n";
    doctor.finds(nowhere, "broken", "adapters", "/nowhere/at/all", "mend what it names");
    let refused = "[repository]\nurl = \"https://127.0.0.1:9/fleet.git\"\n";
    doctor.finds(refused, "broken", "repository", "127.0.0.1:9", "credentials");

    stage.commit(&[("apps/x/app.toml", "app = \"x\"\ncolour = 3\n")]);
    doctor.finds("", "broken", "repository", "apps/x/app.toml:2:1", "last good revision stays");
    let app = "app = \"x\"\nenvironments = [\"test\"]\nimage = \"127.0.0.1:9/x:1\"\n";
    let far = "[host.far]\naddress = \"192.0.2.1\"\nengine = \"unix:///nowhere/docker.sock\"\nenvironments = [\"test\"]\n\
               [host.bare]\naddress = \"127.0.0.1\"\nengine = \"tcp://127.0.0.1:9\"\nenvironments = [\"test\"]\n";
    stage.commit(&[("apps/x/app.toml", app), ("hosts/far.toml", far)]);
    doctor.finds("", "broken", "engine of far", "/nowhere/docker.sock", "is the engine running");
    doctor.finds("", "doubtful", "engine of bare", "plain TCP", "[engines.tls]");
    doctor.finds("", "broken", "registry", "127.0.0.1:9/x:1", "is the registry up");
    std::fs::remove_file(stage.repo().join("hosts/far.toml")).expect("a file");
    let second = HOST.replace("host.local", "host.second");
    stage.commit(&[("hosts/second.toml", &second)]);
    doctor.finds("", "doubtful", "fleet", "two hosts never have a majority", "C2");
}

#[test]
fn generated_files() {
    let stage = start("files");
    let doctor = Doctor { stage: &stage };
    doctor.finds("", "doubtful", "nginx files", "not configured", "name a directory");
    doctor.file("in-the-way", "x", 0o644);
    let nginx = |more: &str| format!("[nginx]\ndirectory = \"nginx\"\n{more}\n");
    let blocked = "[nginx]\ndirectory = \"in-the-way/nginx\"\n";
    doctor.finds(blocked, "broken", "nginx files", "cannot be written", "create it");
    let check = nginx("check = [\"no-such-program\"]");
    doctor.finds(&check, "broken", "nginx files", "no-such-program", "unchecked files are never installed");
    let reload = nginx("reload = [\"no-such-program\"]");
    doctor.finds(&reload, "broken", "nginx files", "reload command", "correct `reload`");
    let pid = nginx("pid_file = \"absent.pid\"");
    doctor.finds(&pid, "broken", "nginx files", "absent.pid", "start the reader");
    doctor.file("stale.pid", "999999999\n", 0o644);
    let pid = nginx("pid_file = \"stale.pid\"");
    doctor.finds(&pid, "broken", "nginx files", "names no running process", "start the reader");
    let main = nginx("main_config = \"absent.conf\"");
    doctor.finds(&main, "broken", "nginx files", "cannot be read", "correct `main_config`");
    doctor.file("plain.conf", "events {}\nhttp {}\n", 0o644);
    let main = nginx("main_config = \"plain.conf\"");
    doctor.finds(&main, "broken", "nginx files", "does not include", "into its http block");
    doctor.file("bad.conf", "events {}\nhttp { nonsense; }\n", 0o644);
    let main = nginx("main_config = \"bad.conf\"");
    doctor.finds(&main, "broken", "nginx files", "nonsense", "mend it");
}
