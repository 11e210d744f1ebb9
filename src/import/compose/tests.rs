//! Compose's forms by table, and files that would do harm.

use std::collections::{BTreeMap, BTreeSet};

use super::values::{absolute, ports, size, span, words};
use super::{Request, env_file, files, yaml};
use crate::import::{EnvValues, Imported};

fn import_all(texts: &[&str], change: impl FnOnce(&mut Request<'_>)) -> Result<Imported, String> {
    let read = |path: &str| match path {
        "web.env" => Ok("# a comment\nexport MODE='from file'\nLEVEL=\"a\\nb\"\nSHELL_ONLY\n".to_owned()),
        "common.yaml" => {
            Ok("services:\n  base:\n    image: base:1\n    user: ops\n    environment: {A: base, B: base}\n"
                .to_owned())
        }
        "nginx.conf" => Ok("worker_processes 1;\n".to_owned()),
        other => Err(format!("there is no {other}")),
    };
    let mut request = Request {
        environment: "prod".parse().expect("a name"),
        files: texts.iter().enumerate().map(|(n, text)| (format!("{n}.yaml"), (*text).to_owned())).collect(),
        directory: "/srv/shop".to_owned(),
        project: "shop".to_owned(),
        given: BTreeMap::from([("TAG".to_owned(), "7".to_owned()), ("EMPTY".to_owned(), String::new())]),
        profiles: BTreeSet::new(),
        swarm: None,
        hosts: BTreeSet::new(),
        values: EnvValues::None,
        read: &read,
    };
    change(&mut request);
    files(&request).map(|(imported, _)| imported)
}

fn import(texts: &[&str]) -> Imported {
    import_all(texts, |_| {}).expect("a Compose file")
}

fn app(imported: &Imported, name: &str) -> toml::Table {
    let both = ["app", "prod"].map(|file| imported.files[&format!("apps/{name}/{file}.toml")].as_str());
    let mut all: toml::Table = both[0].parse().expect("toml");
    all.extend(both[1].parse::<toml::Table>().expect("toml"));
    all
}

/// The notes as one text.
fn notes(imported: &Imported) -> String {
    imported.notes.iter().map(|note| format!("{}: {}\n", note.subject, note.words)).collect()
}

#[test]
fn sizes_times_ports_and_words() {
    for (text, bytes) in
        [("512m", 512 << 20), ("1gb", 1 << 30), ("1.5g", 3 << 29), ("64k", 64 << 10), ("100", 100)]
    {
        assert_eq!(size(text).map(|s| s.0), Some(bytes), "{text}");
    }
    for (text, millis) in
        [("1m30s", 90_000), ("1.5s", 1500), ("500ms", 500), ("10", 10_000), ("2h", 7_200_000)]
    {
        assert_eq!(span(text).map(|s| s.millis()), Some(millis), "{text}");
    }
    for (text, shown) in [
        ("80", "80/tcp"),
        ("8080:80", "8080:80/tcp"),
        ("127.0.0.1:8080:80/udp", "127.0.0.1:8080:80/udp"),
        ("127.0.0.1::80", "127.0.0.1:0:80/tcp"),
        ("[::1]:8080:80", "[::1]:8080:80/tcp"),
        ("3000-3001:4000-4001", "3000:4000/tcp 3001:4001/tcp"),
    ] {
        let told: Vec<String> = ports(text).expect(text).iter().map(ToString::to_string).collect();
        assert_eq!(told.join(" "), shown);
    }
    for bad in ["", "a:80", "1-2:3", "80/icmp", "99999:1"] {
        assert!(ports(bad).is_none(), "{bad}");
    }
    let split = |line| words(line).expect("words");
    assert_eq!(
        split(r#"sh -c "echo \"a b\" $X" 'c d' e\ f """#),
        ["sh", "-c", "echo \"a b\" $X", "c d", "e f", ""]
    );
    assert!(words("an 'open quote").is_none());
    assert_eq!(absolute("/srv/shop", "../x/./y"), "/srv/x/y");
}

#[test]
fn a_service_with_everything() {
    let imported = import(&[r#"
x-common: &common
  restart: unless-stopped
  logging: {driver: json-file, options: {max-size: 10m}}
services:
  web:
    <<: *common
    image: "web:${TAG:-1}"
    command: serve --port 8080
    entrypoint: ["/init"]
    environment: ["MODE=fast", "N=1"]
    env_file: web.env
    ports: ["8080:80", {target: 443, published: "8443", protocol: tcp, host_ip: 127.0.0.1}]
    volumes: ["data:/data", "./conf:/etc/conf:ro", {type: tmpfs, target: /run, tmpfs: {size: 1m}}, "/anonymous"]
    configs: [{source: nginx, target: /etc/nginx.conf, mode: "0440"}]
    secrets: [key]
    depends_on: {db: {condition: service_healthy}}
    healthcheck: {test: "curl -f http://localhost", interval: 10s, retries: 3}
    deploy:
      replicas: 3
      resources: {limits: {cpus: "0.5", memory: 256M}, reservations: {memory: 128M, cpus: "0.1"}}
      update_config: {parallelism: 2, monitor: 15s, failure_action: rollback}
    networks: {front: {ipv4_address: 192.0.2.9, aliases: [www]}}
    cap_add: [CAP_NET_ADMIN]
    ulimits: {nofile: 1024, nproc: {soft: 1, hard: 2}}
    sysctls: {net.core.somaxconn: 1024}
    extra_hosts: ["a:192.0.2.1"]
    tmpfs: /tmp
    stop_grace_period: 1m30s
    mem_swappiness: 5
    x-mine: ignored
  db: {image: "db:1", volumes: ["data:/var/lib/db"]}
networks: {front: {ipam: {config: [{subnet: 192.0.2.0/24}]}}}
volumes: {data: {}}
configs: {nginx: {file: nginx.conf}}
secrets: {key: {file: ./key.pem}}
"#]);
    let web = app(&imported, "web");
    let text = |path: &str| {
        let mut value = &toml::Value::Table(web.clone());
        for part in path.split('/') {
            value = match part.parse::<usize>() {
                Ok(at) => &value[at],
                Err(_) => &value[part],
            };
            value = Box::leak(Box::new(value.clone()));
        }
        value.to_string()
    };
    for (path, wanted) in [
        ("image", "\"web:7\""),
        ("command", "[\"serve\", \"--port\", \"8080\"]"),
        ("entrypoint", "[\"/init\"]"),
        ("env/MODE", "\"fast\""),
        ("env/LEVEL", "\"\"\"\na\nb\"\"\""),
        ("ports", "[\"8080:80/tcp\", \"127.0.0.1:8443:443/tcp\"]"),
        ("replicas", "3"),
        ("limits/cpus", "0.5"),
        ("limits/memory", "\"256MiB\""),
        ("limits/memory_reservation", "\"128MiB\""),
        ("rollout/max_unavailable", "2"),
        ("rollout/min_healthy", "\"15s\""),
        ("depends_on", "[\"db\"]"),
        ("health/shell", "\"curl -f http://localhost\""),
        ("network/shop-front/address", "\"192.0.2.9\""),
        ("network/shop-front/aliases", "[\"web\", \"www\"]"),
        ("cap_add", "[\"NET_ADMIN\"]"),
        ("stop_timeout", "\"1m30s\""),
        ("logging/driver", "\"json-file\""),
        ("volume/shop_data/external", "true"),
    ] {
        let read = text(path);
        assert_eq!(read, wanted, "{path}");
    }
    assert_eq!(imported.files["apps/web/files/nginx"], "worker_processes 1;\n");
    assert!(imported.files["apps/web/app.toml"].contains("/srv/shop/conf"));
    let notes = notes(&imported);
    for told in [
        "0.yaml:14 service web: could not carry over the anonymous volume at /anonymous",
        "SHELL_ONLY, which comes from the shell",
        "mem_swappiness",
        "deploy.update_config.failure_action",
        "deploy.resources.reservations.cpus",
        "the secret key stays a file of the host",
        "several services share the volume data",
    ] {
        assert!(notes.contains(told), "{told}\n{notes}");
    }
    assert!(!notes.contains("x-mine") && !notes.contains("x-common"));
}

#[test]
fn later_files_go_on_top_and_extends_below() {
    let imported = import(&[
        "services:\n  web:\n    image: web:1\n    command: [a]\n    environment: {A: '1', B: '1'}\n    ports: ['80:80']\n    \
         volumes: ['./a:/etc/x', './b:/etc/y']\n  old: {image: 'old:1', extends: {file: common.yaml, service: base}, environment: [B=own]}\n",
        "services:\n  web:\n    command: [b]\n    environment: [B=2]\n    ports: ['81:81']\n    volumes: ['./c:/etc/x']\n",
    ]);
    let web = app(&imported, "web");
    assert_eq!(web["command"].to_string(), "[\"b\"]");
    assert_eq!((web["env"]["A"].as_str(), web["env"]["B"].as_str()), (Some("1"), Some("2")));
    assert_eq!(web["ports"].as_array().map(Vec::len), Some(2));
    let mounts: Vec<&str> =
        web["mount"].as_array().expect("mounts").iter().filter_map(|m| m["host"].as_str()).collect();
    assert_eq!(mounts, ["/srv/shop/c", "/srv/shop/b"]);
    let old = app(&imported, "old");
    assert_eq!((old["env"]["A"].as_str(), old["env"]["B"].as_str()), (Some("base"), Some("own")));
    assert_eq!((old["image"].as_str(), old["user"].as_str()), (Some("old:1"), Some("ops")));
}

#[test]
fn variables_are_filled_in_from_what_was_given_alone() {
    let of = |value: &str| {
        let imported =
            import_all(&[&format!("services: {{a: {{image: 'a:1', hostname: '{value}'}}}}")], |_| {});
        imported.map(|i| app(&i, "a")["hostname"].as_str().unwrap_or_default().to_owned())
    };
    for (written, filled) in [
        ("$TAG", "7"),
        ("v${TAG}x", "v7x"),
        ("${NONE:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${NONE:-${TAG}}", "7"),
        ("${TAG:+set}", "set"),
        ("${NONE+set}", ""),
        ("$$TAG", "$TAG"),
        ("${HOME}", ""),
    ] {
        assert_eq!(of(written).as_deref(), Ok(filled), "{written}");
    }
    for bad in ["${NONE:?why}", "${TAG", "$", "${1}"] {
        assert!(of(bad).is_err(), "{bad}");
    }
    assert_eq!(env_file("A=1 # c\nB='#'\n\n#x\nC").len(), 3);
}

#[test]
fn profiles_builds_secrets_and_swarm() {
    let imported = import(&[
        "services:\n  a: {build: .}\n  b: {image: 'b:1', profiles: [debug]}\n  c: {image: 'c:1', environment: {API_KEY: k3y, TZ: UTC}}\n",
    ]);
    assert_eq!(imported.apps.keys().collect::<Vec<_>>(), ["c"]);
    assert!(notes(&imported).contains("it is built") && notes(&imported).contains("--profile"));
    assert!(!imported.files["apps/c/app.toml"].contains("k3y"));
    let swarm = import_all(
        &[
            "services: {a: {image: 'a:1', deploy: {mode: global, placement: {constraints: ['node.role==worker']}}}}",
        ],
        |r| {
            r.swarm = Some("main".to_owned());
        },
    );
    let a = app(&swarm.expect("a file"), "a");
    assert_eq!(a["swarm"]["name"].as_str(), Some("main"));
    assert_eq!(a["swarm"]["global"].as_bool(), Some(true));
    assert_eq!(a["swarm"]["constraints"][0].as_str(), Some("node.role==worker"));
}

#[test]
fn hostile_files_end_with_their_place() {
    let bomb = {
        let mut text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..9 {
            let (this, before) = (char::from(b'a' + n), char::from(b'a' + n - 1));
            text.push_str(&format!("{this}: &{this} [{}]\n", vec![format!("*{before}"); 10].join(",")));
        }
        text
    };
    let deep = format!("a: {}{}", "[".repeat(60), "]".repeat(60));
    for text in [bomb.as_str(), &deep, "a: [", "a: 1\na: 2", "? [x]\n: y", "a: *nobody", "&a [*a]"] {
        let error = yaml::parse("f.yaml", text).expect_err(text);
        assert!(error.starts_with("f.yaml:"), "{error}");
    }
    assert!(yaml::parse("f.yaml", &"x".repeat(yaml::LARGEST + 1)).is_err());
    assert!(import_all(&["[]"], |_| {}).is_err() && import_all(&["services: {}"], |_| {}).is_err());
    let circle = "services:\n  a: {image: a, extends: b}\n  b: {image: b, extends: a}\n";
    assert!(import_all(&[circle], |_| {}).expect_err("a circle").contains("circle"));
}
