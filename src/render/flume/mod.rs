//! One Flume agent config for each host: the log files of the apps that run there, to Kafka.
//!
//! Flume drops a bad component without a word and stops collecting on a bad config (E3), so each config must pass
//! [`check`] before it is given out, and each app has a source of its own: Flume drops a source whose directory is
//! not there, and so loses that app's files alone. Measured facts: reference/formats.md, Flume 1.11.

mod check;
mod pattern;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::properties::escape;
use crate::model::adoption::Adopted;
use crate::model::app::{App, LogSource};
use crate::model::desired::{Desired, FlumeDefaults};
use crate::model::file::{FileSet, Files};
use crate::model::names::{AppKey, HostName, InstanceName};
use crate::model::observed::{Engine, Observed, Seen};
use crate::model::ownership::{Belongs, Owner};

pub use check::{check, is_broker, is_topic};

/// The name that the agents run under: `flume-ng agent --name trueup --conf-file …/current/agent.properties`.
pub const AGENT: &str = "trueup";
/// The file of a set.
pub const FILE: &str = "agent.properties";

/// The hosts' sets, and `(what, why)` for each app or host that is at fault or kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    pub hosts: BTreeMap<HostName, Files>,
    pub notes: Vec<(String, String)>,
}

/// An agent for every host where an app with logs has a container. A host that could not be read keeps its installed
/// file (A1); one without logs has none.
pub fn flume(
    desired: &Desired,
    observed: &Observed,
    owner: &Owner,
    installed: &BTreeMap<FileSet, Option<Files>>,
) -> Part {
    let mut part = Part::default();
    let sound = sound_apps(desired, &mut part.notes);
    if sound.is_empty() && part.notes.is_empty() {
        return part;
    }
    if let Err(why) = check_defaults(&desired.flume) {
        part.notes.push(("flume".to_owned(), why));
        return keep_all(part, installed);
    }
    for host in desired.hosts.keys() {
        let live = installed.get(&FileSet::Flume(host.clone())).and_then(Option::as_ref);
        let why = match observed.hosts.get(host) {
            Some(Seen::Known(engine)) => {
                let here = placed(&sound, engine, host, owner, live);
                one_host(&mut part, host, &here, &desired.flume, live);
                continue;
            }
            Some(Seen::Unknown { why }) => why.as_str(),
            None => "it was not read",
        };
        if let Some(files) = live {
            part.notes.push((host.to_string(), format!("keeps its Flume agent's file: {why}")));
            part.hosts.insert(host.clone(), files.clone());
        }
    }
    part
}

fn keep_all(mut part: Part, installed: &BTreeMap<FileSet, Option<Files>>) -> Part {
    for (set, files) in installed {
        if let (FileSet::Flume(host), Some(files)) = (set, files) {
            part.hosts.insert(host.clone(), files.clone());
        }
    }
    part
}

fn one_host(
    part: &mut Part,
    host: &HostName,
    apps: &BTreeMap<&AppKey, &App>,
    shared: &FlumeDefaults,
    live: Option<&Files>,
) {
    if apps.is_empty() {
        return;
    }
    let (mut sound, mut notes) = (apps.clone(), Vec::new());
    if let Err(errors) = check(&agent(apps, shared)) {
        // Whoever fails alone is at fault, and the others go on (E1).
        sound.retain(|key, app| match check(&agent(&BTreeMap::from([(*key, *app)]), shared)) {
            Ok(()) => true,
            Err(why) => {
                notes.push((key.to_string(), format!("its logs are not collected: {}", why.join("; "))));
                false
            }
        });
        if notes.is_empty() {
            notes.push((
                host.to_string(),
                format!("its Flume agent cannot be written: {}", errors.join("; ")),
            ));
        }
    }
    part.notes.extend(notes);
    let text = agent(&sound, shared);
    if !sound.is_empty() && check(&text).is_ok() {
        part.hosts.insert(host.clone(), Files::from([(FILE.to_owned(), text)]));
    } else if let Some(files) = live {
        part.hosts.insert(host.clone(), files.clone());
    }
}

/// The apps with logs that can be written; the others are at fault and told (E1).
fn sound_apps<'a>(desired: &'a Desired, notes: &mut Vec<(String, String)>) -> BTreeMap<&'a AppKey, &'a App> {
    let mut sound: BTreeMap<&AppKey, &App> = BTreeMap::new();
    for (key, app) in desired.apps.iter().filter(|(_, app)| !app.logs.is_empty()) {
        let own = app.logs.iter().try_for_each(check_log);
        match own.and_then(|()| check_overlap(&app.logs, &sound)) {
            Ok(()) => {
                sound.insert(key, app);
            }
            Err(why) => notes.push((key.to_string(), format!("its logs are not collected: {why}"))),
        }
    }
    sound
}

fn check_log(log: &LogSource) -> Result<(), String> {
    let LogSource { directory, pattern, topic } = log;
    check_directory(directory)?;
    pattern::check(pattern)?;
    if !is_topic(topic) {
        return Err(format!(
            "{topic:?} is not a Kafka topic: use 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'"
        ));
    }
    Ok(())
}

/// What Flume takes literally: no variables, no list separators, nothing that climbs.
fn check_directory(directory: &str) -> Result<(), String> {
    let odd = |c: char| c.is_control() || c == '$' || c == '\\' || c == ',' || c.is_whitespace();
    if !directory.starts_with('/') || directory.contains(odd) || directory.split('/').any(|p| p == "..") {
        return Err(format!("{directory:?} is not an absolute path without blanks, '$', '\\', ',' and '..'"));
    }
    Ok(())
}

/// A file in two groups would be collected twice, or by whichever came first.
fn check_overlap(logs: &[LogSource], others: &BTreeMap<&AppKey, &App>) -> Result<(), String> {
    let same = |a: &LogSource, b: &LogSource| {
        a.directory.trim_end_matches('/') == b.directory.trim_end_matches('/')
            && pattern::overlap(&a.pattern, &b.pattern)
    };
    for (n, log) in logs.iter().enumerate() {
        let path = format!("{}/{}", log.directory.trim_end_matches('/'), log.pattern);
        if logs[..n].iter().any(|other| same(log, other)) {
            return Err(format!("{path} matches files that another of its logs matches"));
        }
        if let Some((key, _)) = others.iter().find(|(_, app)| app.logs.iter().any(|other| same(log, other))) {
            return Err(format!("{path} matches files that {key} already collects"));
        }
    }
    Ok(())
}

fn check_defaults(shared: &FlumeDefaults) -> Result<(), String> {
    if shared.brokers.is_empty() {
        return Err("apps declare logs, but the fleet names no Kafka brokers (flume.brokers)".to_owned());
    }
    if let Some(bad) = shared.brokers.iter().find(|b| !is_broker(b)) {
        return Err(format!("{bad:?} is not host:port of a Kafka broker"));
    }
    check_directory(&shared.state_dir).map_err(|why| format!("flume.state_dir: {why}"))
}

/// Which of `sound` have a container of ours on `host`, running or not: what a stopped one wrote is still collected.
/// A container that could not be read counts where the installed file has its app (A1).
fn placed<'a>(
    sound: &BTreeMap<&'a AppKey, &'a App>,
    engine: &Engine,
    host: &HostName,
    owner: &Owner,
    live: Option<&Files>,
) -> BTreeMap<&'a AppKey, &'a App> {
    let collected: BTreeSet<AppKey> =
        live.and_then(|files| files.get(FILE)).map(|text| apps_of(text)).unwrap_or_default();
    let mut keys: BTreeSet<AppKey> = BTreeSet::new();
    for (name, container) in &engine.containers {
        match container {
            Seen::Known(container) => match owner.container(name, host, &container.labels) {
                Belongs::Ours(owned) => {
                    keys.insert(owned.instance.key);
                }
                Belongs::Foreign { .. } => {
                    let named = name.as_str().parse::<InstanceName>().ok();
                    let adopted = sound.iter().find_map(|(key, app)| {
                        let named = |a: &Adopted| a.host == *host && a.container == *name;
                        app.adopted.values().any(named).then(|| (*key).clone())
                    });
                    keys.extend(adopted);
                    keys.extend(
                        named
                            .filter(|n| n.to_string() == name.as_str())
                            .map(|n| n.key)
                            .filter(|key| sound.get(key).is_some_and(|app| app.adopt)),
                    );
                }
            },
            Seen::Unknown { .. } => {
                let named = name.as_str().parse::<InstanceName>().ok().map(|n| n.key);
                keys.extend(named.filter(|key| collected.contains(key)));
            }
        }
    }
    sound.iter().filter(|(key, _)| keys.contains(**key)).map(|(key, app)| (*key, *app)).collect()
}

const HEADER: &str = "\
# Written by trueup. Edits by hand are drift and are undone; change the repository instead.
# Names that rotation makes (.1, -20250131, .2025-01-31, .gz, .old) are not matched: TAILDIR would read them
# again from the start.

";
const APP_MARK: &str = "# App ";

/// The apps that a generated agent file collects from.
fn apps_of(text: &str) -> BTreeSet<AppKey> {
    text.lines().filter_map(|line| line.strip_prefix(APP_MARK)?.parse().ok()).collect()
}

/// The lines of a generated agent file that are one app's alone; `None`: it collects nothing from it.
pub(super) fn part_of<'t>(text: &'t str, app: &AppKey) -> Option<&'t str> {
    let mark = format!("\n{APP_MARK}{app}\n");
    let (_, rest) = text.split_once(&mark)?;
    // Each section ends with an empty line, which nothing within one is.
    Some(rest.split_once("\n\n").map_or(rest, |(part, _)| part))
}

// Writing to a String cannot fail, so the results of `write!` below carry nothing.
fn agent(apps: &BTreeMap<&AppKey, &App>, shared: &FlumeDefaults) -> String {
    let names: Vec<String> = apps.keys().map(|key| component(key)).collect();
    let state = shared.state_dir.trim_end_matches('/');
    let mut text = HEADER.to_owned();
    for (list, values) in [("sources", names.join(" ").as_str()), ("channels", "spool"), ("sinks", "kafka")] {
        let _ = writeln!(text, "{AGENT}.{list} = {values}");
    }
    for ((key, app), name) in apps.iter().zip(&names) {
        write_source(&mut text, key, name, &app.logs, state);
    }
    let mut section = |title: &str, prefix: &str, lines: &[(&str, String)]| {
        let _ = writeln!(text, "\n# {title}");
        for (key, value) in lines {
            let _ = writeln!(text, "{AGENT}.{prefix}.{key} = {}", escape(value));
        }
    };
    section(
        "What is read and not sent yet survives a restart.",
        "channels.spool",
        &[
            ("type", "file".to_owned()),
            ("checkpointDir", format!("{state}/checkpoint")),
            ("dataDirs", format!("{state}/data")),
            ("capacity", "1000000".to_owned()),
            ("transactionCapacity", "10000".to_owned()),
        ],
    );
    section(
        "The topic comes from each file group's header.",
        "sinks.kafka",
        &[
            ("type", check::KAFKA_SINK.to_owned()),
            ("channel", "spool".to_owned()),
            ("kafka.bootstrap.servers", shared.brokers.join(",")),
            ("kafka.producer.acks", "all".to_owned()),
            ("flumeBatchSize", "100".to_owned()),
        ],
    );
    text
}

fn write_source(text: &mut String, key: &AppKey, name: &str, logs: &[LogSource], state: &str) {
    let groups: Vec<String> = (0..logs.len()).map(|n| format!("log{n}")).collect();
    let mut lines = vec![
        ("type".to_owned(), "TAILDIR".to_owned()),
        ("channels".to_owned(), "spool".to_owned()),
        ("positionFile".to_owned(), format!("{state}/positions/{name}.json")),
        ("batchSize".to_owned(), "100".to_owned()),
        ("filegroups".to_owned(), groups.join(" ")),
    ];
    for (log, group) in logs.iter().zip(&groups) {
        let path = format!("{}/{}", log.directory.trim_end_matches('/'), pattern::regex(&log.pattern));
        lines.push((format!("filegroups.{group}"), path));
        lines.push((format!("headers.{group}.topic"), log.topic.clone()));
    }
    let _ = writeln!(text, "\n{APP_MARK}{key}");
    for (name_of, value) in lines {
        let _ = writeln!(text, "{AGENT}.sources.{name}.{name_of} = {}", escape(&value));
    }
}

/// An app's component name. Names of apps and environments have no `_`, so no two apps share one.
fn component(key: &AppKey) -> String {
    format!("{}_{}", key.app.as_str().replace('-', "_"), key.environment)
}
