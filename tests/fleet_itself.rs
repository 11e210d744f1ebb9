//! The test fleet leaves nothing behind, whatever became of the process that brought it up.

#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod fleet;
mod stage;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fleet::Fleet;

/// Everything on this machine that carries the id of the fleet, or lives in its directory.
fn left_of(id: &str, dir: &Path) -> Vec<String> {
    let told = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().expect(program);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("the mounts");
    let dir = dir.display().to_string();
    let mut left: Vec<String> = [told("ip", &["netns", "list"]), told("ip", &["-o", "link", "show"]), mounts]
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| line.contains(id) || line.contains(&format!("{dir}/")))
        .map(str::to_owned)
        .collect();
    left.extend(told("find", &["/sys/fs/cgroup", "-name", id]).lines().map(str::to_owned));
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if words.contains(&format!("{dir}/")) {
            left.push(words);
        }
    }
    left
}

fn id_in(dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(dir.join("fleet.json")).ok()?;
    let state: serde_json::Value = serde_json::from_str(&text).expect("the fleet's state");
    Some(state["id"].as_str().expect("an id").to_owned())
}

#[test]
fn killed_at_any_moment_it_leaves_a_directory_that_down_cleans() {
    let mut seen_something = 0;
    for round in 0..6u64 {
        let place = tempfile::tempdir().expect("a temporary directory");
        let dir = place.path().join("fleet");
        let mut up = Command::new(fleet::program())
            .arg("--dir")
            .arg(&dir)
            .args(["up", "--hosts", "2", "--swarm"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tests/fleet/fleet");
        let end = Instant::now() + Duration::from_secs(60);
        while id_in(&dir).is_none() {
            assert!(Instant::now() < end, "no fleet was begun");
            std::thread::sleep(Duration::from_millis(5));
        }
        // A little later in each round: namespaces, certificates, engines, the Swarm.
        std::thread::sleep(Duration::from_millis(round * 350));
        up.kill().expect("SIGKILL");
        up.wait().expect("its end");
        let id = id_in(&dir).expect("an id");
        seen_something += usize::from(!left_of(&id, &dir).is_empty());
        let down = fleet::command(&dir, &["down"]);
        assert!(down.status.success(), "round {round}: {}", String::from_utf8_lossy(&down.stderr));
        assert_eq!(left_of(&id, &dir), Vec::<String>::new(), "round {round}");
        assert!(!dir.exists(), "round {round}");
    }
    assert!(seen_something >= 4, "fleets were killed before they were anything: {seen_something} of 6 were");
}

/// Takes the fleet of a directory away, however the test ends.
struct Down<'a>(&'a Path);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        if self.0.exists() {
            let _ = fleet::command(self.0, &["down"]);
        }
    }
}

#[test]
fn the_manuals_commands_work_as_they_are_written() {
    let stage = stage::Stage::new("fleet-manual");
    let place = tempfile::tempdir().expect("a temporary directory");
    let dir = place.path().join("fleet");
    let _down = Down(&dir);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/testing.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (_, block) = page.split_once("```sh\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    let commands: Vec<&str> = block.lines().collect();
    assert!(commands.len() >= 5, "{block}");
    let mut id = None;
    for command in commands {
        let program = format!("{} --dir {}", fleet::program().display(), dir.display());
        // A directory of the test's own, and the image of this machine that it made.
        let line = command.replace("tests/fleet/fleet", &program).replace("trueup:0.1.0", &stage.image);
        assert_ne!(line, command);
        let ran = Command::new("bash").args(["-c", &line]).output().expect("bash");
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
        id = id.or_else(|| id_in(&dir));
        let told = String::from_utf8_lossy(&ran.stdout);
        if command.contains("node ls") {
            assert_eq!(told.matches("Ready").count(), 3, "{told}");
        }
    }
    let id = id.expect("a fleet was up");
    assert!(!dir.exists(), "the last of them takes it away");
    assert_eq!(left_of(&id, &dir), Vec::<String>::new());
}

#[test]
fn a_test_that_panics_leaves_nothing() {
    let (tell, told) = std::sync::mpsc::channel();
    let failed = std::thread::spawn(move || {
        let fleet = Fleet::up(2, 2);
        fleet.push("box:1", &stage::pack_busybox(fleet.dir(), "first"));
        // With a container, a frozen one too, and a cut cable.
        for host in ["h1", "h2"] {
            fleet.docker_ok(host, &["run", "-d", "box:1", "/bin/busybox", "sleep", "3600"]);
        }
        fleet.freeze("h1");
        fleet.cut("h2");
        tell.send((fleet.state.id.clone(), fleet.dir().to_owned())).expect("somebody listens");
        panic!("as a test does that fails");
    });
    assert!(failed.join().is_err());
    let (id, dir) = told.recv().expect("the panic came after the fleet");
    assert_eq!(left_of(&id, &dir), Vec::<String>::new());
    assert!(!dir.exists());
}

#[test]
fn two_fleets_are_up_at_once_and_say_how_their_hosts_are() {
    let (one, other) = (Fleet::up(2, 0), Fleet::up(2, 1));
    assert_ne!(one.state.subnet, other.state.subnet);
    let nodes = ["node", "ls", "--format", "{{.Hostname}} {{.Status}} {{.ManagerStatus}}"];
    let mut joined: Vec<String> =
        other.docker_ok("h1", &nodes).lines().map(|l| l.trim().to_owned()).collect();
    joined.sort();
    assert_eq!(joined, ["h1 Ready Leader", "h2 Ready"]);
    assert!(!one.docker("h1", &nodes).status.success(), "the other fleet is no Swarm");
    // Row by row: HOST ADDRESS MACHINE CABLE.
    let is = |host: &str, machine: &str, cable: &str| {
        let status = one.status();
        let row = status.lines().find(|line| line.starts_with(host)).expect("a row").to_owned();
        assert!(row.contains(&format!(" {machine} ")) && row.contains(&format!(" {cable} ")), "{status}");
    };
    let on_network = |host: &str| {
        let address = one.state.hosts[host].engine.trim_start_matches("tcp://").parse().expect("an address");
        std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
    };
    is("h1", "on", "whole");
    assert!(on_network("h1"));
    one.freeze("h1");
    is("h1", "frozen", "whole");
    one.thaw("h1");
    one.cut("h1");
    is("h1", "on", "cut");
    assert!(!on_network("h1") && on_network("h2"));
    one.heal("h1");
    for way in ["in", "out"] {
        one.cut_one_way("h1", way);
        is("h1", "on", &format!("cut ({way})"));
        assert!(!on_network("h1") && on_network("h2"));
        one.heal("h1");
        is("h1", "on", "whole");
        assert!(on_network("h1"));
    }
    let id = |host: &str| one.docker_ok(host, &["info", "--format", "{{.ID}}"]);
    let before = [id("h1"), id("h2")];
    one.kill("h1");
    is("h1", "off", "-");
    one.start("h1");
    one.stop("h2");
    one.start("h2");
    assert_eq!([id("h1"), id("h2")], before, "an engine stays itself");
    assert_ne!(before[0], before[1], "and is not another");
}
