//! `trueup import` on this machine's own engine: what the docker command made is written, committed, and the plan is
//! empty; after an apply every container is the very same and was not restarted (B4).

#![allow(clippy::expect_used, clippy::panic)]

mod stage;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use stage::{docker, docker_ok, git, make_image};
use trueup::model::container::ContainerField;

/// A directory, an image and containers of its own; everything is taken away when it ends.
struct Ground {
    dir: tempfile::TempDir,
    prefix: String,
    image: String,
}

impl Ground {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let prefix = format!("trueup-test-imp-{name}-{}", std::process::id());
        let image = format!("{prefix}:1");
        make_image(dir.path(), &image);
        Self { dir, prefix, image }
    }

    fn name(&self, of: &str) -> String {
        format!("{}-{of}", self.prefix)
    }

    /// `docker run -d` with the flags; it sleeps unless the words say otherwise.
    fn start(&self, of: &str, flags: &[&str], words: &[&str]) -> String {
        let name = self.name(of);
        let words = if words.is_empty() { &["/bin/busybox", "sleep", "3600"] } else { words };
        docker_ok(&[&["run", "-d", "--name", &name], flags, &[&self.image], words].concat());
        name
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    fn trueup(&self, args: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_trueup"))
            .args(args)
            .env("HOME", self.dir.path())
            .current_dir(self.dir.path())
            .output()
            .expect("trueup");
        println!("trueup {}\n{}{}", args.join(" "), text(&output.stdout), text(&output.stderr));
        output
    }

    /// Imports the containers and whatever else is said.
    fn import(&self, containers: &[&str], more: &[&str]) -> Output {
        let only = containers.join(",");
        let repo = self.repo().display().to_string();
        let mut args =
            vec!["import", "--host", "here", "--engine", "unix:///var/run/docker.sock", "--into", &repo];
        if !containers.is_empty() {
            args.extend(["--only", &only]);
        }
        args.extend(more);
        self.trueup(&args)
    }

    fn commit(&self) {
        let repo = self.repo();
        if !repo.join(".git").exists() {
            git(&repo, &["init", "-q", "-b", "main"]);
        }
        git(&repo, &["add", "-A"]);
        git(&repo, &["commit", "-q", "--allow-empty", "-m", "imported"]);
    }

    fn on_repo(&self, command: &str, more: &[&str]) -> Output {
        let (repo, state) =
            (self.repo().display().to_string(), self.dir.path().join("state").display().to_string());
        let mut args = vec![command, "--repo", &repo, "--state-dir", &state];
        args.extend(more);
        self.trueup(&args)
    }

    /// The heart of it: an empty plan, and an apply that touches nothing.
    fn adopts_without_a_touch(&self, containers: &[&str]) {
        let before: Vec<String> = containers.iter().map(|name| life(name)).collect();
        self.commit();
        let plan = self.on_repo("plan", &[]);
        assert_eq!(plan.status.code(), Some(0), "the plan after an import is empty");
        let apply = self.on_repo("apply", &["--yes"]);
        assert_eq!(apply.status.code(), Some(0));
        let after: Vec<String> = containers.iter().map(|name| life(name)).collect();
        assert_eq!(before, after, "the very same containers, never restarted");
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.repo().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for (list, remove) in [
            (vec!["ps", "-aq", "--filter"], vec!["rm", "-f", "-v"]),
            (vec!["network", "ls", "-q", "--filter"], vec!["network", "rm"]),
            (vec!["volume", "ls", "-q", "--filter"], vec!["volume", "rm", "-f"]),
        ] {
            for prefix in [self.prefix.clone(), self.prefix.replace('-', "_")] {
                let filter = format!("name={prefix}");
                let found = text(&docker(&[&list[..], &[&filter]].concat()).stdout);
                let ids: Vec<&str> = found.split_whitespace().collect();
                if !ids.is_empty() {
                    docker(&[&remove[..], &ids].concat());
                }
            }
        }
        docker(&["rmi", "-f", &self.image]);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Id, name, start and count of restarts: what no adoption may change.
fn life(container: &str) -> String {
    docker_ok(&["inspect", "-f", "{{.Id}} {{.Name}} {{.State.StartedAt}} {{.RestartCount}}", container])
}

/// How `docker run` sets the field.
fn flags(field: ContainerField, ground: &Ground) -> Vec<String> {
    let network = ground.name("net");
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    match field {
        ContainerField::Image => vec![],
        ContainerField::Entrypoint => words(&["--entrypoint", "/bin/busybox"]),
        // Every container here has a command of its own.
        ContainerField::Command => vec![],
        ContainerField::Env => words(&["-e", "GIVEN=otherwise", "-e", "MODE=by hand", "-e", "EMPTY="]),
        ContainerField::Workdir => words(&["-w", "/tmp"]),
        ContainerField::User => words(&["-u", "1000:1000"]),
        ContainerField::Hostname => words(&["-h", "chosen"]),
        ContainerField::Labels => {
            words(&["-l", "colour=blue \"quoted\" = # \\ ü", "-l", "com.docker.compose.version=1"])
        }
        ContainerField::Ports => words(&["-p", "127.0.0.1:18731:80", "-p", "127.0.0.1::81/udp", "-p", "82"]),
        ContainerField::Mounts => vec![
            "-v".into(),
            format!("{}:/data", ground.name("vol")),
            "-v".into(),
            "/etc/hostname:/etc/host name:ro".into(),
            "--tmpfs".into(),
            "/scratch:size=1m".into(),
            "--mount".into(),
            "type=tmpfs,target=/more".into(),
        ],
        // Nobody but trueup puts files in.
        ContainerField::Files => vec![],
        ContainerField::Networks => {
            words(&["--network", &network, "--ip", "172.31.77.10", "--network-alias", "db"])
        }
        ContainerField::Cpus => words(&["--cpus", "0.333"]),
        ContainerField::Memory => words(&["-m", "70000000"]),
        ContainerField::MemoryReservation => words(&["--memory-reservation", "32m"]),
        ContainerField::Pids => words(&["--pids-limit", "77"]),
        ContainerField::ShmSize => words(&["--shm-size", "8m"]),
        ContainerField::Restart => words(&["--restart", "on-failure:3"]),
        ContainerField::Health => words(&[
            "--health-cmd",
            "test -d / && echo \"'well'\"",
            "--health-interval",
            "1500ms",
            "--health-retries",
            "4",
        ]),
        ContainerField::CapAdd => words(&["--cap-add", "SYS_TIME"]),
        ContainerField::CapDrop => words(&["--cap-drop", "ALL"]),
        ContainerField::Privileged => words(&["--privileged"]),
        ContainerField::ReadOnly => words(&["--read-only"]),
        ContainerField::Init => words(&["--init"]),
        ContainerField::SecurityOpt => words(&["--security-opt", "no-new-privileges"]),
        ContainerField::Sysctls => words(&["--sysctl", "net.ipv4.ip_forward=1"]),
        ContainerField::Ulimits => words(&["--ulimit", "nofile=512:1024"]),
        ContainerField::Devices => words(&["--device", "/dev/null:/dev/nothing:r"]),
        ContainerField::Dns => words(&["--dns", "192.0.2.53"]),
        ContainerField::ExtraHosts => words(&["--add-host", "peer.example:192.0.2.9"]),
        ContainerField::Logging => words(&["--log-driver", "json-file", "--log-opt", "max-size=1m"]),
        ContainerField::StopSignal => words(&["--stop-signal", "SIGUSR1"]),
        ContainerField::StopTimeout => words(&["--stop-timeout", "3"]),
    }
}

fn make_network(ground: &Ground) {
    docker_ok(&["network", "create", "--subnet", "172.31.77.0/24", &ground.name("net")]);
}

#[test]
fn every_field_is_carried_over_and_adopting_restarts_nothing() {
    let ground = Ground::new("fields");
    make_network(&ground);
    let mut names = Vec::new();
    for field in ContainerField::ALL {
        let flags = flags(*field, &ground);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let own_entrypoint = *field == ContainerField::Entrypoint;
        let words: &[&str] = if own_entrypoint { &["sleep", "3600"] } else { &[] };
        let of = field.name().replace('_', "-");
        // Some test machines are sandboxes that may not run privileged containers.
        if *field == ContainerField::Privileged {
            let name = ground.name(&of);
            let run = [
                &["run", "-d", "--name", &name],
                &flags[..],
                &[&ground.image, "/bin/busybox", "sleep", "3600"],
            ];
            if !docker(&run.concat()).status.success() {
                println!("this machine runs no privileged containers");
                docker(&["rm", "-f", &name]);
                continue;
            }
            names.push(name);
            continue;
        }
        names.push(ground.start(&of, &flags, words));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let imported = ground.import(&names, &["--env-values=all"]);
    assert_eq!(imported.status.code(), Some(0), "its own check finds an empty plan");
    let app = |of: &str| {
        ground.read(&format!("apps/{}/app.toml", ground.name(of).chars().take(40).collect::<String>()))
    };
    let env: toml::Table = app("env").parse().expect("toml");
    assert_eq!(env["env"]["MODE"].as_str(), Some("by hand"));
    for (path, text) in walk(&ground.repo()) {
        assert!(
            !text.contains("ignore = "),
            "every field is carried over, and no plan is empty by looking away: {path}\n{text}"
        );
    }
    ground.adopts_without_a_touch(&names);
}

/// What the engine was told to do meanwhile, but for what asking alone causes.
fn events(since: &str, prefix: &str) -> Vec<String> {
    let until = docker_ok(&["info", "-f", "{{.SystemTime}}"]);
    let all = docker_ok(&["events", "--since", since, "--until", &until]);
    let about_us = all
        .lines()
        .filter(|line| line.contains(prefix) && !line.contains("exec_") && !line.contains("health_status"));
    about_us.map(str::to_owned).collect()
}

#[test]
fn two_projects_and_what_stands_beside_them() {
    let ground = Ground::new("mix");
    let (volume, network) = (ground.name("data"), format!("{}_default", ground.prefix));
    docker_ok(&["network", "create", &network]);
    let of_compose = |project: &str, service: &str, number: &str| {
        let labels =
            [("project", project), ("service", service), ("container-number", number), ("version", "2.40")];
        labels
            .iter()
            .flat_map(|(k, v)| ["--label".to_owned(), format!("com.docker.compose.{k}={v}")])
            .collect::<Vec<_>>()
    };
    let (shop, news) = (format!("{}shop", ground.prefix), format!("{}news", ground.prefix));
    let mut names = Vec::new();
    let mut start = |of: &str, labels: &[String], flags: &[&str]| {
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        names.push(ground.start(of, &[&labels[..], flags].concat(), &[]));
    };
    // As Compose calls and labels them.
    start(
        "shop-web-1",
        &of_compose(&shop, "web", "1"),
        &["--network", &network, "--network-alias", "web", "-e", "MODE=shop"],
    );
    start(
        "shop-web-2",
        &of_compose(&shop, "web", "2"),
        &["--network", &network, "--network-alias", "web", "-e", "MODE=shop"],
    );
    start(
        "shop-db-1",
        &of_compose(&shop, "db", "1"),
        &["--network", &network, "-v", &format!("{volume}:/var/lib/db"), "-e", "DB_PASSWORD=s3cr3t-of-db"],
    );
    start("news_web_1", &of_compose(&news, "web", "1"), &["-p", "127.0.0.1:18733:80", "--restart", "always"]);
    // By hand.
    start(
        "redis",
        &[],
        &["-v", "/data", "--memory", "64m", "--memory-swap", "-1", "-v", "/etc/hosts:/etc/more hosts:ro"],
    );
    start("edge", &[], &["--network", "host", "--ulimit", "nofile=1024:2048"]);
    start(
        "odd",
        &[
            "-l".into(),
            "quoted=a\"b\\c\u{1}\n[x]\n= 1".into(),
            "-l".into(),
            "with-quote'.and=\u{7f}\u{2028}'''\"\"\"".into(),
        ],
        &["-e", "LINES=one\ntwo # three"],
    );
    start("linked", &[], &["--link", &ground.name("redis"), "--oom-score-adj", "500", "--group-add", "7"]);
    start("shared", &[], &["--network", &format!("container:{}", ground.name("redis"))]);
    // Labels that look like trueup's own are somebody's: another installation's, or a lie.
    start(
        "lookalike",
        &["-l".into(), "io.trueup.installation=x".into(), "-l".into(), "io.trueup.app=web".into()],
        &[],
    );
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let before: Vec<String> = names.iter().map(|name| life(name)).collect();
    let since = docker_ok(&["info", "-f", "{{.SystemTime}}"]);
    let imported = ground.import(&names, &[]);
    assert_eq!(imported.status.code(), Some(0));
    assert_eq!(events(&since, &ground.prefix), Vec::<String>::new(), "an import only reads");
    assert_eq!(before, names.iter().map(|name| life(name)).collect::<Vec<_>>());

    let notes = text(&imported.stderr);
    let told = |of: &str, words: &str| {
        let name = format!("container {} on here: ", ground.name(of));
        assert!(notes.lines().any(|l| l.contains(&name) && l.contains(words)), "{of}: {words}");
    };
    told("lookalike", "left out: it carries labels of a trueup installation");
    told("linked", "could not carry over OOM score 500");
    told("linked", "the link");
    told("linked", "the group 7");
    told("redis", "the data of the anonymous volume at /data");
    told("redis", "a limit of memory and swap of -1");
    told("shared", "could not carry over networks");
    told("shop-db-1", "the values of DB_PASSWORD are not written");

    let everything: String = walk(&ground.repo()).values().cloned().collect();
    assert!(
        !everything.contains("s3cr3t-of-db") && !everything.contains("MODE = \""),
        "values stay where they are"
    );
    let shop_web = ground.read(&format!("apps/{shop}-web/prod.toml"));
    assert!(shop_web.contains("0 = ") && shop_web.contains("1 = "), "two slots of one app: {shop_web}");
    assert!(ground.read(&format!("apps/{shop}-web/app.toml")).contains("replicas = 2"));
    assert!(!everything.contains("com.docker.compose"), "Compose's bookkeeping is not the app's");
    ground.adopts_without_a_touch(&names);

    // A second import into the same directory takes nothing twice and overwrites nothing.
    let again = ground.import(&names[..1], &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains(&format!("left out: {shop}-web-prod takes it over already")));
    assert!(ground.read(&format!("apps/{shop}-web/app.toml")).contains("replicas = 2"));
}

#[test]
fn data_in_an_anonymous_volume_outlives_its_container_b5() {
    let ground = Ground::new("data");
    let words = &["/bin/busybox", "sh", "-c", "echo precious >/data/it; exec /bin/busybox sleep 3600"];
    let name = ground.start("db", &["-v", "/data"], words);
    assert_eq!(ground.import(&[&name], &[]).status.code(), Some(0));
    ground.adopts_without_a_touch(&[&name]);
    let volume = docker_ok(&["inspect", "-f", "{{range .Mounts}}{{.Name}}{{end}}", &name]);
    let (path, before) = (format!("apps/{name}/app.toml"), life(&name));
    let changed = ground.read(&path).replace("restart = \"no\"", "restart = \"no\"\nuser = \"0:7\"");
    let write = |text: &str| {
        std::fs::write(ground.repo().join(&path), text).expect("a file");
        ground.commit();
    };
    write(&changed);
    let held = ground.on_repo("apply", &["--yes"]);
    assert_eq!(held.status.code(), Some(3));
    assert!(text(&held.stdout).contains("anonymous volume at /data"));
    assert_eq!(life(&name), before);

    // Somebody says that it may begin anew there: then it does, and the data is where it was.
    write(&format!("{changed}\n[[mount]]\ntmpfs = \"1MiB\"\nat = \"/data\"\n"));
    assert!(text(&ground.on_repo("plan", &[]).stdout).contains(&volume), "says what stays behind");
    assert_eq!(ground.on_repo("apply", &["--yes"]).status.code(), Some(0));
    assert!(!docker(&["inspect", &name]).status.success(), "the old one is gone");
    let mount = format!("{volume}:/data");
    let kept = docker_ok(&["run", "--rm", "-v", &mount, &ground.image, "/bin/busybox", "cat", "/data/it"]);
    assert_eq!(kept, "precious");
    docker(&["rm", "-f", &format!("{name}-prod-0")]);
    docker(&["volume", "rm", &volume]);
}

fn walk(dir: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("a directory").map(|e| e.expect("an entry")) {
        if entry.file_name() == ".git" {
        } else if entry.path().is_dir() {
            files.extend(walk(&entry.path()));
        } else {
            let text = std::fs::read_to_string(entry.path()).expect("text");
            files.insert(entry.path().display().to_string(), text);
        }
    }
    files
}

#[test]
fn what_was_taken_over_is_replaced_when_git_says_everything() {
    let ground = Ground::new("life");
    let network = format!("{}_net", ground.prefix);
    docker_ok(&["network", "create", &network]);
    let name = ground.start(
        "web",
        &["--network", &network, "-e", "MODE=kept", "-l", "com.docker.compose.project=gone"],
        &[],
    );
    let app = format!("apps/{name}");
    assert_eq!(ground.import(&[&name], &[]).status.code(), Some(0));
    ground.adopts_without_a_touch(&[&name]);

    // A change in git would replace it, and with it the value that git does not have: so it waits.
    let file = ground.repo().join(&app).join("app.toml");
    let changed = ground
        .read(&format!("{app}/app.toml"))
        .replace("restart = \"no\"", "restart = \"no\"\nuser = \"1000\"");
    std::fs::write(&file, &changed).expect("a file");
    ground.commit();
    let before = life(&name);
    let held = ground.on_repo("apply", &["--yes"]);
    assert_eq!(held.status.code(), Some(3));
    assert!(text(&held.stdout).contains("env.MODE"), "says what would be lost");
    assert_eq!(life(&name), before);

    // With the value in git it goes on; the successor has its instance's name and answers to the old one.
    let said = changed.replace("ignore = [\"env.MODE\"]", "").replace("[env]\n", "[env]\nMODE = \"kept\"\n");
    std::fs::write(&file, said).expect("a file");
    ground.commit();
    let done = ground.on_repo("apply", &["--yes"]);
    assert_eq!(done.status.code(), Some(0));
    let successor = format!("{name}-prod-0");
    let inspect = |what: &str| docker_ok(&["inspect", "-f", what, &successor]);
    assert_eq!(inspect("{{.Config.User}}"), "1000");
    assert!(inspect("{{json .Config.Env}}").contains("MODE=kept"));
    assert!(
        inspect("{{json .NetworkSettings.Networks}}").contains(&format!("\"{name}\"")),
        "the old name is an alias"
    );
    assert!(!inspect("{{json .Config.Labels}}").contains("com.docker.compose"));
    assert!(!docker(&["inspect", &name]).status.success(), "the old one is gone");
    assert_eq!(ground.on_repo("plan", &[]).status.code(), Some(0));

    // Somebody starts the old one again: it is nobody's instance, and stays.
    let again = ground.start("web", &[], &[]);
    let life_again = life(&again);
    assert_eq!(ground.on_repo("apply", &["--yes"]).status.code(), Some(0));
    assert_eq!(life(&again), life_again);
    docker(&["rm", "-f", &successor]);
}

#[test]
fn a_compose_project_is_taken_over_with_what_its_file_says() {
    let ground = Ground::new("file");
    let compose = format!(
        "services:\n  web:\n    image: {image}\n    command: /bin/busybox sleep 3600\n    environment:\n      MODE: ${{MODE:-from file}}\n      \
         API_TOKEN: not-to-be-seen\n    depends_on: [db]\n    deploy:\n      update_config: {{parallelism: 2}}\n  db:\n    image: {image}\n    \
         command: [/bin/busybox, sleep, '3600']\n    volumes: ['data:/data']\nvolumes:\n  data:\n",
        image = ground.image
    );
    let file = ground.dir.path().join("compose.yaml");
    std::fs::write(&file, compose).expect("a file");
    let project = ground.prefix.clone();
    let label = |service: &str| {
        ["project", "service", "container-number"]
            .into_iter()
            .zip([project.as_str(), service, "1"])
            .map(|(k, v)| format!("com.docker.compose.{k}={v}"))
            .collect::<Vec<_>>()
    };
    let network = format!("{project}_default");
    docker_ok(&["network", "create", &network]);
    let mut names = Vec::new();
    for (service, more) in [
        ("web", vec!["-e", "MODE=from file", "-e", "API_TOKEN=not-to-be-seen"]),
        ("db", vec!["-v", "DATA:/data"]),
    ] {
        let labels = label(service);
        let mut flags = vec!["--network", &network, "--network-alias", service];
        labels.iter().for_each(|label| flags.extend(["-l", label]));
        let volume = format!("{project}_data:/data");
        flags.extend(more.into_iter().map(|flag| if flag == "DATA:/data" { volume.as_str() } else { flag }));
        names.push(ground.start(&format!("{service}-1"), &flags, &[]));
    }
    let repo = ground.repo().display().to_string();
    let (file, engine) = (file.display().to_string(), "unix:///var/run/docker.sock");
    let args = [
        "import",
        "compose",
        &file,
        "--adopt-project",
        &project,
        "--host",
        "here",
        "--engine",
        engine,
        "--into",
        &repo,
    ];
    assert_eq!(ground.trueup(&args).status.code(), Some(0));
    let web = ground.read("apps/web/app.toml");
    assert!(web.contains("MODE = \"from file\"") && web.contains("depends_on = [\"db\"]"), "{web}");
    assert!(web.contains("max_unavailable = 2") && !web.contains("not-to-be-seen"), "{web}");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    ground.adopts_without_a_touch(&names);
}

#[test]
fn a_compose_file_is_imported_into_a_fresh_directory() {
    let ground = Ground::new("fresh");
    let file = ground.dir.path().join("compose.yaml");
    let text = "name: shop # the shop\nservices:\n  web: {image: 'web:1', ports: ['8080:80'], depends_on: [built]}\n  built: {build: .}\n";
    std::fs::write(&file, text).expect("a file");
    let (file, repo) = (file.display().to_string(), ground.repo().display().to_string());
    let import = |more: &[&str]| {
        let words = ["import", "compose", &file, "--host", "rack-a", "--into", &repo];
        ground.trueup(&[&words[..], more].concat())
    };
    let without = import(&[]);
    assert_eq!(without.status.code(), Some(0));
    assert!(text_of(&without).contains("host rack-a: the repository does not declare it"));
    assert!(!ground.read("apps/web/prod.toml").contains("[place]"));
    assert!(ground.read("networks/shop-default.toml").contains("project shop."));

    let engine = ["--engine", "unix:///var/run/docker.sock", "--force"];
    assert_eq!(import(&engine).status.code(), Some(0));
    assert!(ground.read("hosts/rack-a.toml").contains("engine = \"unix:///var/run/docker.sock\""));
    assert!(ground.read("apps/web/prod.toml").contains("hosts = [\"rack-a\"]"));
    // It is declared now.
    assert_eq!(import(&["--force"]).status.code(), Some(0));
    assert!(ground.read("apps/web/prod.toml").contains("hosts = [\"rack-a\"]"));
}

fn text_of(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_silent_host_is_told_and_the_others_are_imported() {
    let ground = Ground::new("silent");
    let name = ground.start("web", &[], &[]);
    assert_eq!(ground.import(&[&name], &[]).status.code(), Some(0));
    let host = "[host.gone]\naddress = \"192.0.2.1\"\nengine = \"unix:///nowhere.sock\"\nenvironments = [\"prod\"]\n";
    std::fs::write(ground.repo().join("hosts/gone.toml"), host).expect("a file");
    ground.commit();
    let other = ground.start("other", &[], &[]);
    let (repo, into) = (ground.repo().display().to_string(), ground.dir.path().join("new"));
    let into = into.display().to_string();
    let imported = ground.trueup(&["import", "--repo", &repo, "--only", &other, "--into", &into]);
    let told = text_of(&imported);
    assert_eq!(imported.status.code(), Some(3), "nobody knows what runs on the other");
    assert!(told.contains("host gone: left out: it could not be read"), "{told}");
    assert!(
        told.contains(&format!("apps/{other}/app.toml")) && !told.contains("it should be empty"),
        "{told}"
    );
}

/// As clients before API 1.44 asked for it, which newer ones of the docker command no longer do.
fn start_with_mac(ground: &Ground, of: &str, mac: &str) -> String {
    let name = ground.name(of);
    let body = format!(
        r#"{{"Image":"{}","Cmd":["/bin/busybox","sleep","3600"],"MacAddress":"{mac}"}}"#,
        ground.image
    );
    let mut engine = UnixStream::connect("/var/run/docker.sock").expect("the engine");
    write!(
        engine,
        "POST /v1.41/containers/create?name={name} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the request");
    let mut answer = String::new();
    engine.read_to_string(&mut answer).expect("the answer");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    docker_ok(&["start", &name]);
    name
}

#[test]
fn what_docker_run_can_say_and_git_cannot_is_told() {
    let ground = Ground::new("told");
    let (volume, network) = (ground.name("vol"), ground.name("net"));
    docker_ok(&["network", "create", &network]);
    let long = ground.name(&"x".repeat(140));
    let names = [
        start_with_mac(&ground, "mac", "02:42:00:00:00:07"),
        ground.start("tmp", &["--tmpfs", "/t:size=50%"], &[]),
        ground.start("slash", &["-v", &format!("{volume}:/data/")], &[]),
        ground.start(&"x".repeat(140), &[], &[]),
    ];
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let of_compose = |number: &str| {
        ["project=told", "service=web", &format!("container-number={number}")]
            .map(|label| format!("com.docker.compose.{label}"))
    };
    let mut all = names.clone();
    let slots = ["1", "2"].map(|number| {
        let labels = of_compose(number);
        let labels: Vec<&str> = labels.iter().flat_map(|label| ["-l", label]).collect();
        ground.start(&format!("web-{number}"), &[&["--network", &network], &labels[..]].concat(), &[])
    });
    all.extend(slots.iter().map(String::as_str));
    let imported = ground.import(&all, &[]);
    assert_eq!(imported.status.code(), Some(0));
    let notes = text(&imported.stderr);
    for words in [
        "the MAC address 02:42:00:00:00:07",
        "the option size=50% of the tmpfs at /t",
        &format!("answer to no single name of {}, {}", slots[0], slots[1]),
    ] {
        assert!(notes.contains(words), "{words}");
    }
    for words in ["anonymous volume", "cgroup namespace"] {
        assert!(!notes.contains(words), "{words}");
    }
    for (path, text) in walk(&ground.repo()) {
        assert!(!text.contains("[logging]"), "the daemon's own log options are nobody's: {path}\n{text}");
    }
    assert!(text(&imported.stdout).contains("apps/"), "{long} is among them");
    ground.adopts_without_a_touch(&all);
}

#[test]
fn it_says_what_is_missing_and_writes_nothing_then() {
    let ground = Ground::new("wrong");
    for (args, words) in [
        (vec!["import"], "which engine?"),
        (vec!["import", "--engine", "unix:///var/run/docker.sock"], "name it with one --host"),
        (vec!["import", "--host", "h", "--engine", "unix:///nowhere.sock"], "reading h"),
        (
            vec![
                "import",
                "--host",
                "h",
                "--engine",
                "unix:///var/run/docker.sock",
                "--only",
                "trueup-test-none",
            ],
            "nothing to import",
        ),
        (vec!["import", "compose", "nowhere.yaml"], "nowhere.yaml"),
    ] {
        let output = ground.trueup(&args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains(words), "{args:?}");
    }
    assert!(!ground.repo().exists());
}
