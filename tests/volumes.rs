//! Every modelled field of a volume on the real engine: made anew by hand with another value, detected by name, told with
//! what to do, and never touched, since it holds data (A4, B5).

#![allow(clippy::expect_used, clippy::panic)]

mod parts;
mod stage;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use parts::certificates::{Authority, Holds};
use parts::dockerd::Dockerd;
use stage::{FLEET, HOST, Stage};
use trueup::model::drift::{Kind, Nature};
use trueup::model::network::VolumeField;

/// The test's own volume driver, as an engine knows it.
const DRIVER: &str = "trueup-test";

/// Serves the driver's socket among `plugins`; its volumes lie in `base`. It ends with the test's process.
fn start_driver(plugins: &Path, base: PathBuf) {
    std::fs::create_dir_all(plugins).expect("a directory");
    let listener = UnixListener::bind(plugins.join(format!("{DRIVER}.sock"))).expect("a socket");
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let base = base.clone();
            std::thread::spawn(move || serve(connection, &base));
        }
    });
}

/// The plugin protocol: a POST with JSON for each question. Volumes are directories below `base`.
fn serve(connection: UnixStream, base: &Path) {
    let mut answers = connection.try_clone().expect("a second handle");
    let mut reader = BufReader::new(connection);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 || header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the body");
        let asked: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let volume = asked.get("Name").and_then(|name| name.as_str()).unwrap_or_default();
        let place = base.join(volume);
        let answer = match request.split_whitespace().nth(1).unwrap_or_default() {
            "/Plugin.Activate" => serde_json::json!({ "Implements": ["VolumeDriver"] }),
            "/VolumeDriver.Capabilities" => serde_json::json!({ "Capabilities": { "Scope": "local" } }),
            "/VolumeDriver.Create" => {
                std::fs::create_dir_all(&place).expect("a directory");
                serde_json::json!({ "Err": "" })
            }
            "/VolumeDriver.Get" if place.is_dir() => {
                serde_json::json!({ "Volume": { "Name": volume, "Mountpoint": place }, "Err": "" })
            }
            "/VolumeDriver.Get" => serde_json::json!({ "Err": "no such volume" }),
            "/VolumeDriver.Mount" | "/VolumeDriver.Path" => {
                serde_json::json!({ "Mountpoint": place, "Err": "" })
            }
            "/VolumeDriver.List" => {
                let names =
                    std::fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.file_name());
                let volumes: Vec<_> =
                    names.map(|name| serde_json::json!({ "Name": name.to_string_lossy() })).collect();
                serde_json::json!({ "Volumes": volumes, "Err": "" })
            }
            _ => serde_json::json!({ "Err": "" }),
        };
        let text = answer.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            text.len()
        );
        if answers.write_all(format!("{head}{text}").as_bytes()).is_err() {
            return;
        }
    }
}

/// The volume as git declares it, for the field's own app.
fn declaration(field: VolumeField) -> &'static str {
    match field {
        VolumeField::Driver => "",
        VolumeField::Options => {
            "[volume.data]\noptions = { type = \"tmpfs\", device = \"tmpfs\", o = \"size=1m\" }\n"
        }
    }
}

/// How a hand makes the volume anew with another value.
fn by_hand(field: VolumeField) -> Vec<&'static str> {
    match field {
        VolumeField::Driver => vec!["--driver", DRIVER],
        VolumeField::Options => vec!["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=2m"],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_is_detected_and_told_and_the_data_stays() {
    let stage = Stage::new("volumes");
    let (dir, plugins) = (stage.dir.path(), stage.dir.path().join("plugins"));
    start_driver(&plugins, dir.join("driver"));
    let authority = Authority::new(dir, "ca");
    authority.sign("server", Holds::Server);
    let engine = Dockerd::with_plugins(dir, &authority.cert(), &plugins);
    engine.load(&stage.image);
    let docker = |args: &[&str]| {
        let (well, said) = engine.docker(args);
        assert!(well, "docker {}: {said}", args.join(" "));
        said
    };
    let host = HOST.replace("unix:///var/run/docker.sock", &engine.address());
    stage.commit(&[("fleet.toml", FLEET), ("hosts/local.toml", &host)]);
    for field in VolumeField::ALL {
        let app = format!(
            "app = \"vol{name}\"\nenvironments = [\"test\"]\nimage = \"{image}\"\npull = \"never\"\n\
             command = [\"/bin/busybox\", \"sleep\", \"3600\"]\nstop_timeout = \"1s\"\nnetwork_mode = \"none\"\n[rollout]\nmin_healthy = \"0s\"\n\
             [[mount]]\nvolume = \"data\"\nat = \"/data\"\n{volume}",
            name = field.name(),
            image = stage.image,
            volume = declaration(*field)
        );
        stage.commit(&[(&format!("apps/vol{}/app.toml", field.name()), &app)]);
    }
    let _ = stage.apply_in_full().await;
    let mut made = Vec::new();
    for field in VolumeField::ALL {
        let (container, volume) =
            (format!("vol{}-test-0", field.name()), format!("vol{}-test-data", field.name()));
        let json = docker(&["volume", "inspect", "-f", "{{json .Labels}}", &volume]);
        let labels: std::collections::BTreeMap<String, String> = serde_json::from_str(&json).expect("labels");
        docker(&["rm", "-f", &container]);
        docker(&["volume", "rm", &volume]);
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("--label={key}={value}")).collect();
        let options = by_hand(*field);
        let words: Vec<&str> = ["volume", "create"]
            .into_iter()
            .chain(options)
            .chain(labels.iter().map(String::as_str))
            .chain([volume.as_str()])
            .collect();
        docker(&words);
        made.push((field, volume));
    }
    // The containers come back, on what is there; nobody touches the volumes.
    let _ = stage.apply().await;
    let pass = stage.look().await;
    assert!(pass.plan.changes.is_empty(), "{:?}", pass.plan.changes);
    for (field, volume) in made {
        let told: Vec<&str> = pass
            .plan
            .drift
            .iter()
            .filter(|drift| drift.subject.kind == Kind::Volume && drift.subject.name == volume)
            .flat_map(|drift| match &drift.nature {
                Nature::Changed(changes) => changes.iter().map(|c| c.field.as_str()).collect(),
                Nature::Missing | Nature::Extra | Nature::NotRunning(_) | Nature::Unhealthy(_) => vec![],
            })
            .collect();
        assert_eq!(told, [field.name()]);
        let blocked = pass.plan.blocked.iter().find(|b| b.subject.name == volume).expect("it is blocked");
        assert!(blocked.reason.contains("(B5)") && blocked.hint.contains("by hand"), "{blocked:?}");
        let now = docker(&["volume", "inspect", "-f", "{{.Driver}} {{json .Options}}", &volume]);
        let hands = match field {
            VolumeField::Driver => now.starts_with(DRIVER),
            VolumeField::Options => now.contains("size=2m"),
        };
        assert!(hands, "the hand's volume is still there: {now}");
        let running =
            docker(&["inspect", "-f", "{{.State.Running}}", &format!("vol{}-test-0", field.name())]);
        assert_eq!(running, "true");
    }
}
