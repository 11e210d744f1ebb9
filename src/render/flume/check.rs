//! Flume's own rules for a config, checked before Flume sees it: it drops what is wrong without a word (E3).

use std::collections::{BTreeMap, BTreeSet};

use crate::render::properties::{self, Entry};

/// The sink's class; it has no alias.
pub(super) const KAFKA_SINK: &str = "org.apache.flume.sink.kafka.KafkaSink";
const KINDS: [&str; 5] = ["sources", "channels", "sinks", "sinkgroups", "configfilters"];

/// Settings of one component.
type Settings<'a> = BTreeMap<&'a str, &'a str>;

/// Whether Flume 1.11 takes the whole of `text` as it is meant. All errors at once.
pub fn check(text: &str) -> Result<(), Vec<String>> {
    if let Some(line) =
        text.lines().position(|l| l.bytes().any(|c| !(b' '..=b'~').contains(&c) && c != b'\t'))
    {
        return Err(vec![format!("line {}: something other than printable ASCII", line + 1)]);
    }
    let entries = properties::parse(text)?;
    let mut errors = Vec::new();
    each_entry(&entries, &mut errors);
    let mut agents: BTreeMap<&str, Vec<(&str, &Entry)>> = BTreeMap::new();
    for entry in &entries {
        match entry.key.split_once('.') {
            Some((agent, rest)) => agents.entry(agent).or_default().push((rest, entry)),
            None => errors.push(format!("line {}: {:?} names no agent", entry.line, entry.key)),
        }
    }
    if agents.is_empty() {
        errors.push("it configures no agent".to_owned());
    }
    for (agent, entries) in &agents {
        Agent::read(entries, &mut errors).check(agent, &mut errors);
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn each_entry(entries: &[Entry], errors: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for Entry { line, key, value } in entries {
        if value.trim().is_empty() {
            errors.push(format!("line {line}: {key} is empty"));
        }
        if !seen.insert(key) {
            errors.push(format!("line {line}: {key} stands there twice, and the last would win"));
        }
        if value.replace("$${", "").contains("${") {
            errors.push(format!("line {line}: {key} would be filled in by Flume (${{…}})"));
        }
        if key.chars().any(|c| c.is_whitespace() || c.is_control()) {
            errors.push(format!("line {line}: the key {key:?} has a blank in it"));
        }
    }
}

struct Agent<'a> {
    /// The component lists, by kind.
    listed: BTreeMap<&'a str, Vec<&'a str>>,
    /// Settings by kind and component.
    components: BTreeMap<(&'a str, &'a str), Settings<'a>>,
}

impl<'a> Agent<'a> {
    fn read(entries: &[(&'a str, &'a Entry)], errors: &mut Vec<String>) -> Self {
        let mut agent = Self { listed: BTreeMap::new(), components: BTreeMap::new() };
        for (rest, entry) in entries {
            let mut parts = rest.splitn(3, '.');
            match (parts.next(), parts.next(), parts.next()) {
                (Some(kind), None, _) if KINDS.contains(&kind) => {
                    agent.listed.insert(kind, entry.value.split_whitespace().collect());
                }
                (Some(kind), Some(name), Some(key)) if KINDS.contains(&kind) && !name.is_empty() => {
                    agent.components.entry((kind, name)).or_default().insert(key, &entry.value);
                }
                (_, _, _) => errors.push(format!(
                    "line {}: {} is none of sources, channels, sinks, sinkgroups, configfilters",
                    entry.line, entry.key
                )),
            }
        }
        agent
    }

    fn check(&self, name: &str, errors: &mut Vec<String>) {
        for kind in ["sources", "channels", "sinks"] {
            if self.listed.get(kind).is_none_or(Vec::is_empty) {
                errors.push(format!("{name}.{kind} lists nothing"));
            }
        }
        for (kind, names) in &self.listed {
            let mut seen = BTreeSet::new();
            for component in names {
                let called = format!("{name}.{kind}.{component}");
                if !seen.insert(component) {
                    errors.push(format!("{called} is listed twice"));
                }
                match self.components.get(&(*kind, *component)) {
                    Some(settings) => self.component(kind, &called, settings, errors),
                    None => errors.push(format!("{called} is listed and not configured")),
                }
            }
        }
        for (kind, component) in self.components.keys() {
            if !self.listed.get(kind).is_some_and(|names| names.contains(component)) {
                errors.push(format!("{name}.{kind}.{component} is configured and not listed"));
            }
        }
        self.directories(name, errors);
    }

    fn component(&self, kind: &str, called: &str, settings: &Settings, errors: &mut Vec<String>) {
        // A sink group without a type is a default one; all others need theirs.
        let Some(type_of) = settings.get("type").copied().or((kind == "sinkgroups").then_some("group"))
        else {
            errors.push(format!("{called} has no type"));
            return;
        };
        match kind {
            "sources" => {
                let channels: Vec<&str> = words(settings, "channels");
                if channels.is_empty() {
                    errors.push(format!("{called} has no channels"));
                }
                for channel in channels {
                    self.channel(called, channel, batch(settings, "batchSize"), errors);
                }
                if type_of == "TAILDIR" {
                    taildir(called, settings, errors);
                }
            }
            "sinks" => {
                match settings.get("channel") {
                    Some(channel) => self.channel(called, channel, batch(settings, "flumeBatchSize"), errors),
                    None => errors.push(format!("{called} has no channel")),
                }
                if type_of == KAFKA_SINK {
                    kafka(called, settings, errors);
                }
            }
            "channels" if type_of == "file" => file_channel(called, settings, errors),
            "sinkgroups" => {
                let sinks = words(settings, "sinks");
                let known = |sink: &&str| self.listed.get("sinks").is_some_and(|l| l.contains(sink));
                if sinks.is_empty() || !sinks.iter().all(known) {
                    errors
                        .push(format!("{called} needs sinks that are listed; Flume stops polling otherwise"));
                }
            }
            _ => {}
        }
    }

    /// A channel that a source or sink names, and whether a batch fits in one of its transactions.
    fn channel(&self, called: &str, channel: &str, batch: Result<u64, String>, errors: &mut Vec<String>) {
        if !self.listed.get("channels").is_some_and(|listed| listed.contains(&channel)) {
            errors.push(format!("{called} names the channel {channel:?}, which is not listed"));
            return;
        }
        let settings = self.components.get(&("channels", channel));
        let room = settings.map_or(Ok(0), |s| transaction_capacity(s));
        match (batch, room) {
            (Ok(batch), Ok(room)) if batch > room => {
                errors.push(format!(
                    "{called}: batches of {batch} do not fit the channel's transactions of {room}"
                ));
            }
            (Err(why), _) => errors.push(format!("{called}: {why}")),
            // A channel's own mistake is told where the channel is checked.
            (Ok(_), _) => {}
        }
    }

    /// Two components that write the same place destroy each other's state.
    fn directories(&self, name: &str, errors: &mut Vec<String>) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for ((kind, component), settings) in &self.components {
            for key in ["checkpointDir", "dataDirs", "positionFile"] {
                for path in
                    settings.get(key).copied().unwrap_or_default().split(',').filter(|p| !p.is_empty())
                {
                    let here = format!("{name}.{kind}.{component}.{key}");
                    if let Some(other) = seen.insert(path, here.clone()) {
                        errors.push(format!("{here} and {other} are both {path}"));
                    }
                }
            }
        }
    }
}

fn words<'a>(settings: &Settings<'a>, key: &str) -> Vec<&'a str> {
    settings.get(key).copied().unwrap_or_default().split_whitespace().collect()
}

fn number(settings: &Settings, key: &str, default: u64) -> Result<u64, String> {
    match settings.get(key) {
        Some(text) => text
            .parse()
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| format!("{key} = {text:?} is not a number above 0")),
        None => Ok(default),
    }
}

fn batch(settings: &Settings, key: &str) -> Result<u64, String> {
    number(settings, key, 100)
}

fn transaction_capacity(settings: &Settings) -> Result<u64, String> {
    let default = if settings.get("type") == Some(&"file") { 10_000 } else { 100 };
    number(settings, "transactionCapacity", default)
}

fn taildir(called: &str, settings: &Settings, errors: &mut Vec<String>) {
    if !settings.get("positionFile").is_some_and(|path| path.starts_with('/')) {
        errors.push(format!("{called} needs an absolute positionFile"));
    }
    let groups = words(settings, "filegroups");
    if groups.is_empty() {
        errors.push(format!("{called} has no filegroups"));
    }
    for group in &groups {
        let path = settings.get(format!("filegroups.{group}").as_str()).copied().unwrap_or_default();
        if !path.starts_with('/') || path.ends_with('/') {
            errors.push(format!("{called}.filegroups.{group} must be an absolute directory and a regex"));
        }
        let topic = settings.get(format!("headers.{group}.topic").as_str());
        if let Some(topic) = topic.filter(|topic| !is_topic(topic)) {
            errors.push(format!("{called}.headers.{group}.topic: {topic:?} is not a Kafka topic"));
        }
    }
    for key in settings.keys() {
        let group =
            key.strip_prefix("filegroups.").or_else(|| key.strip_prefix("headers.")?.split('.').next());
        if group.is_some_and(|group| !groups.contains(&group)) {
            errors.push(format!("{called}.{key} is of a group that filegroups does not list"));
        }
    }
}

fn kafka(called: &str, settings: &Settings, errors: &mut Vec<String>) {
    let servers = settings.get("kafka.bootstrap.servers").copied().unwrap_or_default();
    if !servers.split(',').all(is_broker) {
        errors.push(format!("{called}.kafka.bootstrap.servers: {servers:?} is not host:port,host:port"));
    }
    if let Some(topic) = settings.get("kafka.topic").filter(|topic| !is_topic(topic)) {
        errors.push(format!("{called}.kafka.topic: {topic:?} is not a Kafka topic"));
    }
}

fn file_channel(called: &str, settings: &Settings, errors: &mut Vec<String>) {
    for key in ["checkpointDir", "dataDirs"] {
        let paths = settings.get(key).copied().unwrap_or_default();
        if !paths.split(',').all(|path| path.starts_with('/')) {
            errors.push(format!("{called} needs absolute {key}"));
        }
    }
    match (number(settings, "capacity", 1_000_000), transaction_capacity(settings)) {
        (Ok(all), Ok(one)) if one > all => {
            errors.push(format!("{called}: transactionCapacity {one} is more than capacity {all}"));
        }
        (Ok(_), Ok(_)) => {}
        (capacity, transaction) => {
            errors.extend(
                [capacity.err(), transaction.err()].into_iter().flatten().map(|e| format!("{called}: {e}")),
            );
        }
    }
}

/// 1 to 249 of `a-z A-Z 0-9 . _ -`, and neither `.` nor `..`.
pub fn is_topic(text: &str) -> bool {
    (1..=249).contains(&text.len())
        && text != "."
        && text != ".."
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c))
}

/// `host:port`; IPv6 in brackets.
pub fn is_broker(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let name = |h: &str| h.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_".contains(&c));
    let host_fits = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && name(host),
    };
    host_fits && port.bytes().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0)
}
