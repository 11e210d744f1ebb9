//! One service as an app: every key is carried over, told, or known to mean nothing here.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::app::Replicas;
use crate::model::container::{
    Attachment, ContainerSpec, Device, EnvValue, HealthCheck, Logging, Networks, Port, Restart, Ulimit,
};
use crate::model::image::ImageRef;
use crate::model::names::AppName;
use crate::model::units::Cpus;

use super::super::EnvValues;
use super::super::app::{Draft, SwarmPart};
use super::super::names::app_name;
use super::super::toml::string;
use super::env_file::is_name;
use super::values::{self, size, span, words};
use super::yaml::{Node, Place, Value};
use super::{Project, Variable, env_file};

/// What the service's own keys make of it.
pub(super) struct Reader<'a, 'p> {
    pub project: &'a Project<'p>,
    pub service: &'a str,
    pub draft: Draft,
    pub notes: Vec<(Place, String)>,
}

/// Nothing here asks for them: documentation, builds, and what other tools do with the file.
const SILENT: [&str; 8] =
    ["expose", "container_name", "profiles", "extends", "scale", "deploy", "develop", "attach"];

impl<'a, 'p> Reader<'a, 'p> {
    pub fn read(project: &'a Project<'p>, service: &'a str, node: &'a Node) -> Result<Self, (Place, String)> {
        let image = node.get("image").and_then(Node::text);
        let image = image.ok_or_else(|| {
            let why = match node.get("build") {
                Some(_) => "it is built: push its image and name it with `image`",
                None => "it has no image",
            };
            (node.place.clone(), why.to_owned())
        })?;
        let image: ImageRef = image.parse().map_err(|e| (node.place.clone(), format!("{e}")))?;
        let name = app_name(service);
        let mut draft = Draft::new(name, project.environment.clone(), ContainerSpec::of(image));
        draft.origin = format!("Imported from the service {service} of {}.", node.place.file);
        draft.revealed_by = EnvValues::Plain.revealed_by();
        draft.swarm = project.swarm.as_deref().map(SwarmPart::of);
        let mut reader = Self { project, service, draft, notes: Vec::new() };
        for (key, value) in node.map() {
            reader.key(key, value);
        }
        if reader.draft.swarm.is_some() && reader.draft.spec.restart == Restart::No {
            // A Swarm starts what ended again unless `deploy` says otherwise.
            reader.draft.spec.restart = Restart::UnlessStopped;
        }
        // Later than the flat keys, which it has precedence over.
        reader.count(node);
        if let Some(deploy) = node.get("deploy") {
            reader.deploy(deploy);
        }
        reader.networks(node);
        Ok(reader)
    }

    pub(super) fn note(&mut self, place: &Place, words: impl Into<String>) {
        self.notes.push((place.clone(), words.into()));
    }

    pub(super) fn lost(&mut self, place: &Place, what: &str) {
        self.note(place, format!("could not carry over {what}"));
    }

    /// Tells the keys of a map that are none of these.
    pub(super) fn lose_others(&mut self, node: &Node, known: &[&str], of: &str) {
        for (key, inner) in node.map() {
            if !known.contains(&key.as_str()) && !key.starts_with("x-") {
                self.lost(&inner.place, &format!("{key} {of}"));
            }
        }
    }

    /// Parses the text; what does not fit is told.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        node: &Node,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = node.text().and_then(parse);
        if parsed.is_none() {
            self.lost(&node.place, &format!("{key}: trueup cannot read {:?}", node.text().unwrap_or("this")));
        }
        parsed
    }

    fn key(&mut self, key: &str, node: &Node) {
        let text = || node.text().map(str::to_owned);
        let set = || node.texts().into_iter().map(|(text, _)| text.to_owned());
        match key {
            "image" | "networks" | "network_mode" | "depends_on" => {}
            "command" => self.draft.spec.command = self.command(node),
            "entrypoint" => self.draft.spec.entrypoint = self.command(node),
            "environment" | "env_file" => self.environment(key, node),
            "working_dir" => self.draft.spec.workdir = text(),
            "user" => self.draft.spec.user = text(),
            "hostname" => self.draft.spec.hostname = text(),
            "labels" => {
                let pairs = node.pairs(&['=']).into_iter();
                self.draft.spec.labels =
                    pairs.map(|(name, value, _)| (name, value.unwrap_or_default())).collect();
            }
            "ports" => self.ports(node),
            "volumes" => node.list().iter().for_each(|mount| self.mount(mount)),
            "tmpfs" => node.texts().into_iter().for_each(|(line, place)| self.tmpfs_line(place, line)),
            "configs" => node.list().iter().for_each(|config| self.config(config)),
            "secrets" => node.list().iter().for_each(|secret| self.secret(secret)),
            "cpus" => self.draft.spec.cpus = self.parsed(key, node, |t| t.parse::<Cpus>().ok()),
            "mem_limit" => self.draft.spec.memory = self.parsed(key, node, size),
            "mem_reservation" => self.draft.spec.memory_reservation = self.parsed(key, node, size),
            "pids_limit" => {
                let limit = self.parsed(key, node, |t| t.parse::<i64>().ok());
                self.draft.spec.pids = limit.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
            }
            "shm_size" => self.draft.spec.shm_size = self.parsed(key, node, size),
            "restart" => self.draft.spec.restart = self.parsed(key, node, restart).unwrap_or(Restart::No),
            "healthcheck" => self.health(node),
            "cap_add" => self.draft.spec.cap_add = set().map(capability).collect(),
            "cap_drop" => self.draft.spec.cap_drop = set().map(capability).collect(),
            "privileged" => self.draft.spec.privileged = node.flag(),
            "read_only" => self.draft.spec.read_only = node.flag(),
            "init" => self.draft.spec.init = Some(node.flag()),
            "security_opt" => {
                let plain =
                    |option: String| option.replacen("no-new-privileges:true", "no-new-privileges", 1);
                self.draft.spec.security_opt = set().map(plain).collect();
            }
            "sysctls" => {
                let pairs = node.pairs(&['=']).into_iter();
                self.draft.spec.sysctls =
                    pairs.map(|(name, value, _)| (name, value.unwrap_or_default())).collect();
            }
            "ulimits" => self.ulimits(node),
            "devices" => node.list().iter().for_each(|device| self.device(device)),
            "dns" => {
                for (server, place) in node.texts() {
                    match server.parse() {
                        Ok(address) => self.draft.spec.dns.push(address),
                        Err(_) => self.lost(place, &format!("the name server {server}")),
                    }
                }
            }
            "extra_hosts" => {
                for (name, address, place) in node.pairs(&['=', ':']) {
                    let address = address.unwrap_or_default().trim_matches(['[', ']']).to_owned();
                    if self.draft.spec.extra_hosts.insert(name.clone(), address).is_some() {
                        self.lost(&place, &format!("a further address of {name}"));
                    }
                }
            }
            "logging" => {
                self.lose_others(node, &["driver", "options"], "of logging");
                let driver = node.get("driver").and_then(Node::text).unwrap_or("json-file").to_owned();
                let options = node.get("options").map(|o| o.pairs(&['='])).unwrap_or_default();
                let options = options.into_iter().map(|(name, value, _)| (name, value.unwrap_or_default()));
                self.draft.spec.logging = Some(Logging { driver, options: options.collect() });
            }
            "stop_signal" => self.draft.spec.stop_signal = text(),
            "stop_grace_period" => self.draft.spec.stop_timeout = self.parsed(key, node, span),
            "pull_policy" => match node.text() {
                Some("never") => self.draft.local_image = true,
                Some("missing" | "if_not_present") => {}
                Some(other) => self.lost(&node.place, &format!("pull_policy: {other}")),
                None => {}
            },
            "build" => self.note(&node.place, "it is not built: trueup runs the image that `image` names"),
            "tty" | "stdin_open" if !node.flag() => {}
            key if key.starts_with("x-") || SILENT.contains(&key) => {}
            key => self.lost(&node.place, key),
        }
    }

    fn command(&mut self, node: &Node) -> Option<Vec<String>> {
        match &node.value {
            Value::Null => None,
            // The line itself is not told: it may hold a secret (G1).
            Value::Text(line) => words(line).or_else(|| {
                self.lost(&node.place, "this line of words: a quote in it does not end");
                None
            }),
            Value::List(_) | Value::Map(_) => {
                Some(node.texts().into_iter().map(|(t, _)| t.to_owned()).collect())
            }
        }
    }

    /// Files first: what the service itself says wins, whichever stands first.
    fn environment(&mut self, key: &str, node: &Node) {
        if key == "environment" {
            for (name, value, place) in node.pairs(&['=']) {
                if is_name(&name) {
                    self.variable(name, value, &place, true);
                } else {
                    self.lost(
                        &place,
                        "a variable whose name has other characters than letters, digits and `_.-`",
                    );
                }
            }
            return;
        }
        let files = match &node.value {
            Value::List(list) => list.clone(),
            Value::Null | Value::Text(_) | Value::Map(_) => vec![node.clone()],
        };
        let mut of_files: BTreeMap<String, (String, Place)> = BTreeMap::new();
        for file in files {
            let path =
                file.text().or_else(|| file.get("path").and_then(Node::text)).unwrap_or_default().to_owned();
            let optional = file.get("required").is_some_and(|required| !required.flag());
            self.lose_others(&file, &["path", "required"], &format!("of env_file {path}"));
            let text = match (self.project.read)(&path) {
                Ok(text) => text,
                Err(_) if optional => continue,
                Err(why) => {
                    self.lost(&file.place, &format!("env_file {path}: {why}"));
                    continue;
                }
            };
            let variables = match env_file(&text, &self.project.given) {
                Ok(variables) => variables,
                Err(why) => {
                    self.lost(&file.place, &format!("env_file {path}: {why}"));
                    continue;
                }
            };
            for Variable { name, value, line } in variables {
                match value.or_else(|| self.project.given.get(&name).cloned()) {
                    Some(value) => drop(of_files.insert(name, (value, file.place.clone()))),
                    // Not by its name, which may be a line of somebody's key (G1).
                    None => self.lost(
                        &file.place,
                        &format!(
                            "the variable of {path}:{line}, which comes from the shell (--env-file gives it)"
                        ),
                    ),
                }
            }
        }
        for (name, (value, place)) in of_files {
            self.variable(name, Some(value), &place, false);
        }
    }

    fn variable(&mut self, name: String, value: Option<String>, place: &Place, wins: bool) {
        let value = value.or_else(|| self.project.given.get(&name).cloned());
        match value {
            None => self.lost(
                place,
                &format!("the variable {name}, which comes from the shell (--env-file gives it)"),
            ),
            Some(value) if self.project.withholds(&name, &value) => {
                self.draft.hidden.insert(name.clone());
                self.note(
                    place,
                    format!(
                        "{name} looks like a secret: its value is not written (--env-values=all writes it)"
                    ),
                );
            }
            Some(value) if wins || !self.draft.spec.env.contains_key(&name) => {
                self.draft.spec.env.insert(name, EnvValue::Plain(value));
            }
            Some(_) => {}
        }
    }

    fn ports(&mut self, node: &Node) {
        node.list().iter().for_each(|port| self.port(port));
        let mode = |port: &&Node| port.get("mode").and_then(Node::text) == Some("host");
        let (host, all) = (node.list().iter().filter(mode).count(), node.list().len());
        if let (Some(part), true) = (&mut self.draft.swarm, host > 0) {
            part.entries.push(("publish".to_owned(), string("host")));
            if host < all {
                self.lost(&node.place, "ports of two modes: all are published on the task's node alone");
            }
        }
    }

    fn port(&mut self, node: &Node) {
        let known = ["target", "published", "protocol", "host_ip", "mode"];
        self.lose_others(node, &known, "of the port");
        let read = match node.text() {
            Some(text) => values::ports(text),
            None => long_port(node),
        };
        let said = |key: &str| node.get(key).and_then(Node::text);
        match read {
            Some(ports) => self.draft.spec.ports.extend(ports),
            None => {
                let port = node.text().or_else(|| said("published")).or_else(|| said("target"));
                self.lost(&node.place, &format!("the port {}: write one for each", port.unwrap_or("here")));
            }
        }
        if said("mode") == Some("ingress") && self.project.swarm.is_none() {
            self.note(&node.place, "mode: ingress is Swarm's: it is published on the host");
        }
    }

    fn health(&mut self, node: &Node) {
        let known = ["test", "interval", "timeout", "start_period", "retries", "disable"];
        self.lose_others(node, &known, "of the health check");
        let off = node.get("disable").is_some_and(Node::flag);
        let mut test = match node.get("test").map(|test| &test.value) {
            Some(Value::Text(line)) => vec!["CMD-SHELL".to_owned(), line.clone()],
            Some(Value::List(_)) => {
                node.get("test").into_iter().flat_map(Node::texts).map(|(t, _)| t.to_owned()).collect()
            }
            Some(Value::Null | Value::Map(_)) | None => vec![],
        };
        if off || test.first().is_some_and(|word| word == "NONE") {
            self.draft.spec.health = Some(HealthCheck::Disabled);
            return;
        }
        if test.is_empty() {
            return self.lost(
                &node.place,
                "a healthcheck without `test`, which changes the image's own: write it in full",
            );
        }
        let place = node.get("test").map_or(&node.place, |test| &test.place);
        match test[0].as_str() {
            "CMD" => {}
            "CMD-SHELL" if test.len() > 2 => {
                test.truncate(2);
                self.lost(place, "further words of a health check with CMD-SHELL: it is one line");
            }
            "CMD-SHELL" => {}
            _ => return self.lost(place, "a health check that begins with neither CMD nor CMD-SHELL"),
        }
        let mut time = |key: &str| node.get(key).and_then(|value| self.parsed(key, value, span));
        let (interval, timeout, start_period) = (time("interval"), time("timeout"), time("start_period"));
        let retries = node.get("retries").and_then(|r| self.parsed("retries", r, |t| t.parse().ok()));
        self.draft.spec.health = Some(HealthCheck::Probe { test, interval, timeout, start_period, retries });
    }

    fn ulimits(&mut self, node: &Node) {
        for (name, limit) in node.map() {
            let number = |node: Option<&Node>| node.and_then(Node::text).and_then(|t| t.parse::<i64>().ok());
            let (soft, hard) = match number(Some(limit)) {
                Some(both) => (Some(both), Some(both)),
                None => (number(limit.get("soft")), number(limit.get("hard"))),
            };
            match (soft, hard) {
                (Some(soft), Some(hard)) => {
                    self.draft.spec.ulimits.insert(name.clone(), Ulimit { soft, hard });
                }
                (_, _) => self.lost(&limit.place, &format!("the ulimit {name}")),
            }
        }
    }

    fn device(&mut self, node: &Node) {
        let Some(text) = node.text() else { return self.lost(&node.place, "a device in its long form") };
        let mut parts = text.split(':');
        let host = parts.next().unwrap_or_default().to_owned();
        let at = parts.next().unwrap_or(&host).to_owned();
        let permissions = parts.next().unwrap_or("rwm").to_owned();
        self.draft.spec.devices.insert(at, Device { host, permissions });
    }

    fn count(&mut self, node: &Node) {
        if let Some(scale) = node.get("scale").and_then(Node::text).and_then(|t| t.parse().ok()) {
            self.draft.replicas = Replicas::Count(scale);
        }
        if let Some(name) = node.get("container_name") {
            let name = name.text().unwrap_or_default();
            self.draft.origin.push_str(&format!(" Compose calls its container {name}."));
        }
    }

    /// What it depends on, as far as that is imported too.
    pub fn depend_on(&mut self, present: &BTreeSet<AppName>, node: &Node) {
        let Some(depends) = node.get("depends_on") else { return };
        for (on, settings) in depends.map() {
            self.lose_others(settings, &["condition", "restart", "required"], &format!("of depends_on {on}"));
            let said = |key: &str| settings.get(key);
            if said("condition").and_then(Node::text) == Some("service_completed_successfully") {
                self.lost(
                    &settings.place,
                    &format!("that it waits for {on} to end well: trueup's apps run on"),
                );
                continue;
            }
            if said("restart").is_some_and(Node::flag) {
                self.lost(&settings.place, &format!("that it is restarted with {on}"));
            }
            if said("required").is_some_and(|required| !required.flag()) {
                self.lost(&settings.place, &format!("that it does without {on} too: it waits for it"));
            }
            self.depends(on, &settings.place, present);
        }
        for (on, place) in depends.texts() {
            self.depends(on, place, present);
        }
    }

    fn depends(&mut self, on: &str, place: &Place, present: &BTreeSet<AppName>) {
        let app = app_name(on);
        if present.contains(&app) {
            self.draft.depends_on.insert(app);
        } else {
            self.lost(place, &format!("that it depends on {on}, which is left out"));
        }
    }

    fn networks(&mut self, node: &Node) {
        let attached = match node.get("network_mode").map(|mode| (mode, mode.text().unwrap_or_default())) {
            Some((_, "host")) => {
                self.draft.spec.networks = Networks::Host;
                return;
            }
            Some((_, "none")) => {
                self.draft.spec.networks = Networks::None;
                return;
            }
            Some((_, "bridge")) => return,
            Some((mode, other)) => {
                let place = mode.place.clone();
                return self.lost(&place, &format!("network_mode: {other}"));
            }
            None => node.get("networks"),
        };
        let wanted: Vec<(String, Option<Node>, Place)> = match attached.map(|n| &n.value) {
            Some(Value::Map(map)) => {
                map.iter().map(|(name, n)| (name.clone(), Some(n.clone()), n.place.clone())).collect()
            }
            Some(Value::List(list)) => {
                list.iter().filter_map(|n| Some((n.text()?.to_owned(), None, n.place.clone()))).collect()
            }
            Some(Value::Null | Value::Text(_)) | None => {
                vec![("default".to_owned(), None, node.place.clone())]
            }
        };
        // Swarm has no such names.
        let container =
            node.get("container_name").and_then(Node::text).filter(|_| self.project.swarm.is_none());
        let mut named = BTreeMap::new();
        for (name, settings, place) in wanted {
            let Ok(network) = self.project.network(&name).parse::<crate::model::names::NetworkName>() else {
                self.lost(&place, &format!("the network {name}"));
                continue;
            };
            // Compose's services find each other by their names, and by those of their containers.
            let mut aliases = BTreeSet::from([self.service.to_owned()]);
            aliases.extend(container.map(str::to_owned));
            for (key, inner) in settings.iter().flat_map(Node::map) {
                match key.as_str() {
                    "aliases" => aliases.extend(inner.texts().into_iter().map(|(t, _)| t.to_owned())),
                    "ipv4_address" => {
                        let address = self.parsed(key, inner, |t| t.parse().ok());
                        self.draft.fixed.extend(address.map(|address| (network.clone(), vec![address])));
                    }
                    key => self.lost(&inner.place, &format!("{key} on the network {name}")),
                }
            }
            named.insert(network, Attachment { address: None, aliases });
        }
        if !named.is_empty() {
            self.draft.spec.networks = Networks::Named(named);
        }
    }
}

fn long_port(node: &Node) -> Option<Vec<Port>> {
    let said = |key: &str| node.get(key).and_then(Node::text);
    let protocol = values::protocol_of(said("protocol").unwrap_or("tcp"))?;
    let inside = values::range(said("target")?)?;
    let outside = match said("published").filter(|p| !p.is_empty()) {
        Some(published) => Some(values::range(published)?),
        None => None,
    };
    if outside.as_ref().is_some_and(|outside| outside.len() != inside.len()) {
        return None;
    }
    let address = match said("host_ip") {
        Some(address) => Some(address.parse().ok()?),
        None => None,
    };
    let port = |(at, container): (usize, u16)| Port {
        container,
        protocol,
        host: outside.as_ref().and_then(|outside| outside.get(at).copied()),
        address,
    };
    Some(inside.into_iter().enumerate().map(port).collect())
}

fn restart(text: &str) -> Option<Restart> {
    match text {
        "no" | "false" => Some(Restart::No),
        "always" => Some(Restart::Always),
        "unless-stopped" => Some(Restart::UnlessStopped),
        "on-failure" => Some(Restart::OnFailure { max_retries: 0 }),
        text => {
            let retries = text.strip_prefix("on-failure:")?.parse().ok()?;
            Some(Restart::OnFailure { max_retries: retries })
        }
    }
}

fn capability(name: String) -> String {
    name.strip_prefix("CAP_").map_or(name.clone(), str::to_owned)
}
