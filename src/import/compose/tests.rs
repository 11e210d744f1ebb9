//! Compose's forms by table, and files that would do harm.

use std::collections::{BTreeMap, BTreeSet};

use super::values::{absolute, ports, size, span, words};
use super::{Request, files, project_name, yaml};
use crate::import::{EnvValues, Imported};

fn import_all(texts: &[&str], change: impl FnOnce(&mut Request<'_>)) -> Result<Imported, String> {
    let read = |path: &str| match path {
        "web.env" => Ok("# a comment\nexport MODE='from file'\nLEVEL=\"a\\nb\"\nSHELL_ONLY\n".to_owned()),
        "common.yaml" => {
            Ok("services:\n  base:\n    image: base:1\n    user: ops\n    environment: {A: base, B: base}\n"
                .to_owned())
        }
        "sub/base.yaml" => {
            Ok("services:\n  base:\n    image: base:${NOBODY}1\n    env_file: [base.env]\n    \
                               volumes: ['./here:/here', '/there:/there']\n"
                .to_owned())
        }
        "./sub/base.env" => Ok("FROM=sub-$TAG\n".to_owned()),
        "pem.env" => Ok("TZ=UTC\nPEM=-----BEGIN KEY-----\nhunter2+hunter2/x\n-----END KEY-----\n".to_owned()),
        "cut.env" => Ok("A=1\nhunter2\n".to_owned()),
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
        "the variable of web.env:4, which comes from the shell",
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

/// G1: neither an error, nor a note, nor a file has a part of a value that nobody declared plain.
#[test]
fn what_may_be_a_secret_is_told_by_key_and_place_alone() {
    for service in [
        "env_file: pem.env",
        "env_file: cut.env",
        "environment: {DB_PASSWORD: 'pa$ hunter2'}",
        "environment: ['DB_PASSWORD=pa${hunter2 x}']",
        "environment: {DB_PASSWORD: 'pa${hunter2'}",
        "environment: {DB_PASSWORD: 'pa$hunter2'}",
        "environment: ['DB_PASSWORD=pa$hunter2']",
        "environment: ['+hunter2/']",
        "command: \"--password 'hunter2\"",
    ] {
        let text = format!("services:\n  a:\n    image: a:1\n    {service}\n");
        let (told, written) = match import_all(&[&text], |_| {}) {
            Ok(imported) => (notes(&imported), imported.files.into_values().collect::<String>()),
            Err(error) => (error, String::new()),
        };
        assert!(told.contains("0.yaml:4"), "{service}: {told}");
        assert!(!told.contains("hunter2") && !written.contains("hunter2"), "{service}: {told}{written}");
        if service.contains("DB_PASSWORD") {
            assert!(told.contains("DB_PASSWORD"), "{service}: {told}");
        }
    }
}

#[test]
fn volumes_and_networks_have_the_names_that_the_file_gives_them() {
    let imported = import(&[
        "services:\n  a: {image: 'a:1', volumes: ['own:/own', 'old:/old', 'mine:/mine', 'there:/there'], networks: [front]}\n\
         volumes:\n  own: {name: shop-own, driver_opts: {type: nfs}}\n  old: {external: {name: shop-old}}\n  there: {external: true}\n\
         networks:\n  front: {name: shop-front-net}\n",
    ]);
    let a = app(&imported, "a");
    let mounted: Vec<&str> =
        a["mount"].as_array().expect("mounts").iter().filter_map(|m| m["volume"].as_str()).collect();
    assert_eq!(mounted, ["mine", "shop-old", "shop-own", "there"]);
    assert_eq!(a["volume"]["shop-own"]["external"].as_bool(), Some(true));
    assert!(a["network"].get("shop-front-net").is_some(), "{a}");
    let notes = notes(&imported);
    assert!(notes.contains("what Compose keeps in shop_mine is not in it"), "{notes}");
    assert!(
        notes.contains("driver_opts of the volume own") && !notes.contains("several services"),
        "{notes}"
    );
}

/// E5: no key is left out in silence, however deep it stands.
#[test]
fn what_stands_deeper_is_told_as_well() {
    for (service, told) in [
        ("tmpfs: '/run:size=50%,mode=700,uid=1'", "the size 50% of the tmpfs at /run"),
        ("tmpfs: '/run:size=50%,mode=700,uid=1'", "the option mode=700 of the tmpfs at /run"),
        ("volumes: [{type: tmpfs, target: /t, tmpfs: {mode: 448}}]", "mode of the tmpfs at /t"),
        (
            "volumes: [{type: bind, source: /s, target: /t, bind: {create_host_path: false}}]",
            "create_host_path of the mount at /t",
        ),
        (
            "volumes: [{type: volume, source: v, target: /t, volume: {subpath: x}}]",
            "subpath of the mount at /t",
        ),
        ("volumes: [{type: volume, target: /t}]", "the anonymous volume at /t"),
        ("secrets: [{source: key, uid: '7', mode: 256}]", "uid of the secret key"),
        ("configs: [{source: conf, gid: '7'}]", "gid of the config conf"),
        ("ports: [{target: 80, published: '8000-8010'}]", "the port 8000-8010"),
        ("ports: [{target: 80, name: web, app_protocol: http}]", "app_protocol of the port"),
        ("depends_on: {b: {condition: service_started, restart: true}}", "that it is restarted with b"),
        ("depends_on: {b: {condition: service_started, required: false}}", "that it does without b too"),
        ("depends_on: [built]", "that it depends on built, which is left out"),
        ("depends_on: [off]", "that it depends on off, which is left out"),
        ("healthcheck: {test: ['CMD-SHELL', 'true', 'more']}", "further words of a health check"),
        ("healthcheck: {test: ['curl', 'x']}", "a health check that begins with neither"),
        ("healthcheck: {test: ['CMD', 'x'], start_interval: 1s}", "start_interval of the health check"),
        ("deploy: {restart_policy: {condition: any, max_attempts: 3}}", "restart_policy.max_attempts"),
        ("deploy: {rollback_config: {parallelism: 1}, endpoint_mode: dnsrr}", "deploy.endpoint_mode"),
        ("logging: {driver: local, extra: 1}", "extra of logging"),
        ("env_file: [{path: web.env, format: raw}]", "format of env_file web.env"),
    ] {
        let imported = import(&[&format!(
            "services:\n  a:\n    image: a:1\n    {service}\n  b: {{image: 'b:1'}}\n  built: {{build: .}}\n  \
             off: {{image: 'o:1', profiles: [off]}}\nconfigs: {{conf: {{content: x}}}}\nsecrets: {{key: {{file: ./key}}}}\n"
        )]);
        let notes = notes(&imported);
        assert!(notes.contains(told), "{service}: {notes}");
        assert_eq!(app(&imported, "a").get("depends_on").is_some(), service.contains("{b:"), "{service}");
    }
    let imported = import(&[
        "services: {a: {image: 'a:1', container_name: www}}\nnetworks:\n  default:\n    ipam:\n      options: {a: b}\n      \
         config: [{subnet: 192.0.2.0/24, aux_addresses: {r: 192.0.2.9}}, {subnet: 198.51.100.0/24}]\n",
    ]);
    let notes = notes(&imported);
    for told in ["ipam.options", "aux_addresses of ipam.config, entry 1", "subnet of ipam.config, entry 2"] {
        assert!(notes.contains(told), "{told}: {notes}");
    }
    assert_eq!(app(&imported, "a")["network"]["shop-default"]["aliases"].to_string(), "[\"a\", \"www\"]");
}

#[test]
fn a_file_that_extends_brings_in_has_its_own_directory() {
    let imported = import(&["services: {a: {extends: {file: sub/base.yaml, service: base}}}"]);
    let a = app(&imported, "a");
    let mounts: Vec<&str> =
        a["mount"].as_array().expect("mounts").iter().filter_map(|m| m["host"].as_str()).collect();
    assert_eq!(mounts, ["/srv/shop/sub/here", "/there"]);
    assert_eq!(a["env"]["FROM"].as_str(), Some("sub-7"));
    assert!(notes(&imported).contains("sub/base.yaml:3: NOBODY is not set"), "{}", notes(&imported));
}

#[test]
fn what_a_swarm_does_itself_is_written_for_it() {
    let text = "services:\n  a:\n    image: a:1\n    ports: [{target: 80, published: 8080, mode: host}]\n    deploy:\n      \
                update_config: {parallelism: 2, delay: 5s, order: start-first, max_failure_ratio: 0.5}\n      \
                rollback_config: {failure_action: continue}\n      endpoint_mode: dnsrr\n      labels: {owner: web}\n      \
                restart_policy: {condition: any, delay: 2s, max_attempts: 3}\n      \
                resources: {reservations: {cpus: '0.5'}}\n      \
                placement: {preferences: [{spread: node.labels.zone}], max_replicas_per_node: 2}\n  b: {image: 'b:1'}\n";
    let imported = import_all(&[text], |r| r.swarm = Some("main".to_owned())).expect("a file");
    let a = app(&imported, "a");
    for (path, wanted) in [
        (&["swarm", "update", "parallelism"][..], "2"),
        (&["swarm", "update", "delay"], "\"5s\""),
        (&["swarm", "update", "order"], "\"start-first\""),
        (&["swarm", "update", "on_failure"], "\"pause\""),
        (&["swarm", "update", "max_failure_ratio"], "0.5"),
        (&["swarm", "rollback", "on_failure"], "\"continue\""),
        (&["swarm", "endpoint_mode"], "\"dnsrr\""),
        (&["swarm", "labels", "owner"], "\"web\""),
        (&["swarm", "restart", "max_attempts"], "3"),
        (&["swarm", "spread"], "[\"node.labels.zone\"]"),
        (&["swarm", "max_per_node"], "2"),
        (&["swarm", "cpus_reservation"], "0.5"),
        (&["swarm", "publish"], "\"host\""),
        (&["restart"], "\"always\""),
    ] {
        let value = path.iter().skip(1).fold(&a[path[0]], |value, key| &value[*key]);
        assert_eq!(value.to_string(), wanted, "{path:?}");
    }
    assert!(!notes(&imported).contains("could not carry over"), "{}", notes(&imported));
    assert_eq!(app(&imported, "b")["restart"].as_str(), Some("unless-stopped"), "a Swarm starts it again");
}

#[test]
fn one_document_with_one_name() {
    let name = |text: &str| project_name("f.yaml", text, &BTreeMap::from([("X".to_owned(), "y".to_owned())]));
    assert_eq!(name("name: shop # the shop\nservices: {}"), Ok(Some("shop".to_owned())));
    assert_eq!(name("services: {}\nname: '${X}'"), Ok(Some("y".to_owned())));
    assert!(name("a: 1\n---\nb: 1\n").expect_err("two").starts_with("f.yaml:2: a second document"));
}
