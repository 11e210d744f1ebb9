//! The container's part of an app's file: what every instance is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::model::app::LogSource;
use crate::model::container::{
    ContainerSpec, Device, EnvValue, FileSpec, HealthCheck, Logging, Mount, MountSource, Port, Protocol,
    Restart, Ulimit,
};
use crate::model::names::VolumeName;
use crate::model::ownership;
use crate::model::secrecy::ContentHash;
use crate::model::units::{ByteSize, Cpus, TimeSpan};

use super::app::FileFinder;
use super::context::Context;
use super::shape::{AppFile, DataShape, EnvShape, HealthShape, LoggingShape, MountShape, RuntimeShape};

pub(super) fn spec(
    shape: &AppFile,
    context: &mut Context<'_>,
    files: &FileFinder<'_>,
    contents: &mut BTreeMap<ContentHash, Arc<[u8]>>,
    volumes: &BTreeMap<String, VolumeName>,
) -> Option<ContainerSpec> {
    let image = context.required("image", shape.image.as_ref())?;
    let limits = &shape.limits;
    let mut spec = ContainerSpec {
        entrypoint: shape.entrypoint.clone(),
        command: command(shape, context),
        env: env(shape, context),
        workdir: shape.workdir.as_ref().and_then(|text| workdir(text, context)),
        user: shape.user.clone(),
        hostname: shape.hostname.clone(),
        labels: shape.labels.clone(),
        ports: ports(shape, context),
        cpus: cpus(limits.cpus, context),
        memory: context.option("limits.memory", limits.memory.as_ref()),
        memory_reservation: context.option("limits.memory_reservation", limits.memory_reservation.as_ref()),
        pids: limits.pids,
        shm_size: context.option("limits.shm_size", limits.shm_size.as_ref()),
        restart: shape.restart.as_ref().map_or(Restart::UnlessStopped, |text| restart(text, context)),
        health: shape.health.as_ref().and_then(|health| health_check(health, context)),
        cap_add: capabilities(&shape.cap_add),
        cap_drop: capabilities(&shape.cap_drop),
        privileged: shape.privileged,
        read_only: shape.read_only,
        init: shape.init,
        security_opt: shape.security_opt.iter().cloned().collect(),
        sysctls: shape.sysctls.clone(),
        ulimits: ulimits(shape, context),
        devices: devices(shape, context),
        dns: context.list("dns", &shape.dns),
        extra_hosts: shape.extra_hosts.clone(),
        logging: shape.logging.as_ref().and_then(|l| logging(l, context)),
        stop_signal: shape.stop_signal.clone(),
        stop_timeout: stop_timeout(shape, context),
        ..ContainerSpec::of(image)
    };
    for label in spec.labels.keys().filter(|label| label.starts_with(ownership::PREFIX)) {
        context.fail("labels", format!("the label {label:?} is trueup's own (B1)"));
    }
    for mount in &shape.mount {
        one_mount(mount, context, files, contents, volumes, &mut spec);
    }
    if shape.runtime != Some(RuntimeShape::Swarm) {
        files_fit(&spec, context);
    }
    Some(spec)
}

/// Engines copy nothing into a container that is read-only, but into a volume or directory of the host that stands in it.
fn files_fit(spec: &ContainerSpec, context: &mut Context<'_>) {
    let holds = |file: &str| {
        let mut mounts = spec.mounts.iter();
        mounts.any(|(at, mount)| {
            let kept = match &mount.source {
                MountSource::Host(_) | MountSource::Volume(_) => !mount.read_only,
                MountSource::Tmpfs { .. } => false,
            };
            kept && Path::new(file).starts_with(at)
        })
    };
    if let Some(file) = spec.files.keys().find(|file| spec.read_only && !holds(file)) {
        context.fail_with(
            "read_only",
            format!("no engine copies {file} into a container that is read-only"),
            "leave out read_only, let a volume hold the file's directory, or use runtime = \"swarm\"",
        );
    }
}

fn env(shape: &AppFile, context: &mut Context<'_>) -> BTreeMap<String, EnvValue> {
    let mut env = BTreeMap::new();
    for (name, value) in &shape.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            context.fail("env", format!("{name:?} is not the name of a variable"));
        }
        let text = match value {
            EnvShape::Text(text) => text.clone(),
            EnvShape::Number(number) => number.to_string(),
            EnvShape::Flag(flag) => flag.to_string(),
            EnvShape::Secret { secret } => {
                context.fail_with(
                    &format!("env.{name}"),
                    format!("the secret {secret:?} cannot be used: this release has no secrets yet"),
                    "mount a file that stands on the host, or wait; a value written here would be plain in git",
                );
                continue;
            }
        };
        env.insert(name.clone(), EnvValue::Plain(text));
    }
    env
}

/// To engines no arguments are the image's own, unless there is an entrypoint, which clears those.
fn command(shape: &AppFile, context: &mut Context<'_>) -> Option<Vec<String>> {
    let command = shape.command.clone().filter(|words| !words.is_empty());
    let cleared = shape.entrypoint.as_ref().is_some_and(|words| !words.is_empty());
    if shape.command.is_some() && command.is_none() && !cleared {
        context.fail_with(
            "command",
            "engines take an empty list for the image's own command",
            "leave it out for the image's; write `entrypoint` as well to start without arguments",
        );
    }
    command
}

/// As engines have it: `/data/` is `/data`.
fn workdir(text: &str, context: &mut Context<'_>) -> Option<String> {
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if !text.starts_with('/') || parts.contains(&"..") {
        context.fail("workdir", format!("{text:?} is not an absolute path in the container"));
        return None;
    }
    Some(format!("/{}", parts.join("/")))
}

/// Engines keep whole seconds of it; Swarms keep more.
fn stop_timeout(shape: &AppFile, context: &mut Context<'_>) -> Option<TimeSpan> {
    let span: TimeSpan = context.option("stop_timeout", shape.stop_timeout.as_ref())?;
    if shape.runtime != Some(RuntimeShape::Swarm) && span.duration().subsec_nanos() != 0 {
        let hint = format!("such as \"{}\"", TimeSpan::from_secs(span.duration().as_secs() + 1));
        context.fail_with("stop_timeout", format!("engines keep whole seconds of {span}"), hint);
    }
    Some(span)
}

/// `[address:][host:]container[/protocol]`, Docker's own short form.
fn ports(shape: &AppFile, context: &mut Context<'_>) -> BTreeSet<Port> {
    let mut ports = BTreeSet::new();
    for text in &shape.ports {
        match port(text) {
            Some(port) => {
                if !ports.insert(port) {
                    context.fail("ports", format!("{text:?} stands here twice"));
                }
            }
            None => context.fail_with(
                "ports",
                format!("{text:?} is not a port"),
                "write \"8080:80\", \"8080:80/udp\", \"127.0.0.1:8080:80\" or \"80\"",
            ),
        }
    }
    ports
}

fn port(text: &str) -> Option<Port> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    let (before, container) = numbers.rsplit_once(':').map_or((None, numbers), |(b, c)| (Some(b), c));
    let container: u16 = container.parse().ok().filter(|p| *p > 0)?;
    let (address, host) = match before {
        None => (None, None),
        Some(before) => match before.rsplit_once(':') {
            None => (None, Some(before)),
            Some((address, host)) => (Some(address.trim_matches(['[', ']'])), Some(host)),
        },
    };
    Some(Port {
        container,
        protocol,
        host: match host {
            // `127.0.0.1::80`: the engine chooses the port on that address.
            None => None,
            Some("") if address.is_some() => None,
            Some(h) => Some(h.parse().ok().filter(|p| *p > 0)?),
        },
        address: match address {
            None => None,
            Some(text) => Some(text.parse::<IpAddr>().ok()?),
        },
    })
}

fn cpus(cpus: Option<f64>, context: &mut Context<'_>) -> Option<Cpus> {
    let limit = Cpus::from_f64(cpus?).filter(|c| c.0 > 0);
    if limit.is_none() {
        context.fail("limits.cpus", "write a number of CPUs such as 0.5 or 2");
    }
    limit
}

fn restart(text: &str, context: &mut Context<'_>) -> Restart {
    let on_failure = text.strip_prefix("on-failure");
    match (text, on_failure) {
        ("no", _) => Restart::No,
        ("always", _) => Restart::Always,
        ("unless-stopped", _) => Restart::UnlessStopped,
        (_, Some("")) => Restart::OnFailure { max_retries: 0 },
        (_, Some(rest)) if rest.strip_prefix(':').is_some_and(|n| n.parse::<u32>().is_ok()) => {
            Restart::OnFailure { max_retries: rest[1..].parse().unwrap_or_default() }
        }
        (_, _) => {
            let known = ["no", "always", "unless-stopped", "on-failure"];
            let hint =
                super::diagnostic::did_you_mean(text, known.into_iter()).unwrap_or_else(|| known.join(", "));
            context.fail_with("restart", format!("{text:?} is not a restart policy"), hint);
            Restart::No
        }
    }
}

fn health_check(shape: &HealthShape, context: &mut Context<'_>) -> Option<HealthCheck> {
    let ways = [shape.disabled, shape.command.is_some(), shape.shell.is_some(), shape.http.is_some()];
    if ways.iter().filter(|way| **way).count() != 1 {
        context.fail("health", "set one of `command`, `shell`, `http` or `disabled = true`");
        return None;
    }
    let with = |first: &str, rest: Vec<String>| std::iter::once(first.to_owned()).chain(rest).collect();
    let test = if let Some(command) = &shape.command {
        with("CMD", command.clone())
    } else if let Some(line) = &shape.shell {
        with("CMD-SHELL", vec![line.clone()])
    } else if let Some(http) = &shape.http {
        let path = http.path.as_deref().unwrap_or("/");
        let fits = path.starts_with('/')
            && path.bytes().all(|c| c.is_ascii_alphanumeric() || b"/._-?=&%~".contains(&c));
        if !fits || http.port == 0 {
            context.fail("health.http", "write a port, and a path such as \"/health\"");
            return None;
        }
        let url = format!("'http://127.0.0.1:{}{path}'", http.port);
        with("CMD-SHELL", vec![format!("wget -q -O /dev/null {url} || curl -fsS -o /dev/null {url}")])
    } else {
        return Some(HealthCheck::Disabled);
    };
    // To engines zero is what stands open: the image's, or Docker's own.
    let mut span = |path: &str, text: Option<&String>| {
        context.option::<TimeSpan>(path, text).filter(|span| !span.duration().is_zero())
    };
    Some(HealthCheck::Probe {
        test,
        interval: span("health.interval", shape.interval.as_ref()),
        timeout: span("health.timeout", shape.timeout.as_ref()),
        start_period: span("health.start_period", shape.start_period.as_ref()),
        retries: shape.retries.filter(|retries| *retries > 0),
    })
}

fn capabilities(names: &[String]) -> BTreeSet<String> {
    names.iter().map(|name| name.strip_prefix("CAP_").unwrap_or(name).to_uppercase()).collect()
}

fn ulimits(shape: &AppFile, context: &mut Context<'_>) -> BTreeMap<String, Ulimit> {
    let mut ulimits = BTreeMap::new();
    for (name, limit) in &shape.ulimits {
        match (limit.soft, limit.hard) {
            (Some(soft), Some(hard)) => {
                ulimits.insert(name.clone(), Ulimit { soft, hard });
            }
            (_, _) => context.fail(&format!("ulimits.{name}"), "write both `soft` and `hard`"),
        }
    }
    ulimits
}

fn devices(shape: &AppFile, context: &mut Context<'_>) -> BTreeMap<String, Device> {
    let mut devices = BTreeMap::new();
    for device in &shape.device {
        let Some(host) = &device.host else {
            context.fail("device", "the key `host` is missing here");
            continue;
        };
        let permissions = device.permissions.clone().unwrap_or_else(|| "rwm".to_owned());
        if let Some(why) = wrong_host_path(host) {
            context.fail("device", format!("{host:?} {why}"));
            continue;
        }
        let at = context.container_path("device", device.at.as_ref().or(Some(host)));
        if let Some(at) = at {
            devices.insert(at, Device { host: host.clone(), permissions });
        }
    }
    devices
}

/// Docker reads `10m` of this option as decimal megabytes, so the exact number of bytes is written.
fn logging(shape: &LoggingShape, context: &mut Context<'_>) -> Option<Logging> {
    let mut options = shape.options.clone();
    if let Some(size) = context.option::<ByteSize>("logging.max_size", shape.max_size.as_ref()) {
        options.insert("max-size".to_owned(), size.0.to_string());
    }
    if let Some(files) = shape.max_files {
        options.insert("max-file".to_owned(), files.to_string());
    }
    let Some(driver) = shape.driver.clone() else {
        context.fail("logging", "the key `driver` is missing here");
        return None;
    };
    Some(Logging { driver, options })
}

/// What is on a host has one spelling, so that what a policy reads is what the engine mounts.
fn wrong_host_path(path: &str) -> Option<&'static str> {
    let inner = path.strip_prefix('/').map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let Some(inner) = inner else {
        return Some("is not an absolute path on the host");
    };
    let detour = |part: &str| matches!(part, "" | "." | "..");
    (path != "/" && inner.split('/').any(detour))
        .then_some("is not an absolute path on the host without `//`, `.` and `..`")
}

fn one_mount(
    mount: &MountShape,
    context: &mut Context<'_>,
    files: &FileFinder<'_>,
    contents: &mut BTreeMap<ContentHash, Arc<[u8]>>,
    volumes: &BTreeMap<String, VolumeName>,
    spec: &mut ContainerSpec,
) {
    let Some(at) = context.container_path("mount", mount.at.as_ref()) else { return };
    if spec.mounts.contains_key(&at) || spec.files.contains_key(&at) {
        context.fail("mount", format!("two mounts stand at {at}"));
        return;
    }
    let source = match (&mount.host, &mount.volume, &mount.tmpfs, &mount.file) {
        (Some(path), None, None, None) => {
            let colon =
                path.contains(':').then_some("has a colon, which engines read as the end of the path");
            if let Some(why) = wrong_host_path(path).or(colon) {
                context.fail("mount", format!("{path:?} {why}"));
                return;
            }
            MountSource::Host(path.clone())
        }
        (None, Some(name), None, None) => match volumes.get(name) {
            Some(name) => MountSource::Volume(name.clone()),
            None => return,
        },
        (None, None, Some(size), None) if size == "unlimited" => MountSource::Tmpfs { size: None },
        (None, None, Some(size), None) => match context.parse("mount", size) {
            Some(size) => MountSource::Tmpfs { size: Some(size) },
            None => return,
        },
        (None, None, None, Some(path)) => {
            file(mount, path, at, context, files, contents, spec);
            return;
        }
        (_, _, _, _) => {
            context
                .fail("mount", format!("the mount at {at} needs one of `host`, `volume`, `tmpfs` or `file`"));
            return;
        }
    };
    spec.mounts.insert(at, Mount { source, read_only: mount.read_only });
}

fn file(
    mount: &MountShape,
    path: &str,
    at: String,
    context: &mut Context<'_>,
    files: &FileFinder<'_>,
    contents: &mut BTreeMap<ContentHash, Arc<[u8]>>,
    spec: &mut ContainerSpec,
) {
    let mode = mount.mode.as_deref().map_or(Some(0o400), |text| u32::from_str_radix(text, 8).ok());
    let Some(mode) = mode.filter(|mode| *mode <= 0o7777) else {
        context.fail("mount", format!("{:?} is not an octal mode such as \"0400\"", mount.mode));
        return;
    };
    match files(path) {
        Ok((source, bytes)) => {
            let hash = ContentHash::of(&bytes);
            let size = bytes.len() as u64;
            contents.insert(hash.clone(), bytes);
            spec.files.insert(at, FileSpec { source, hash, size, mode });
        }
        Err(why) => context.fail("mount", why),
    }
}

/// A writable mount that nobody called disposable pins the app to its host (B5).
pub(super) fn has_data(shape: &AppFile) -> bool {
    shape.mount.iter().any(|mount| {
        (mount.host.is_some() || mount.volume.is_some())
            && !mount.read_only
            && mount.data != Some(DataShape::Disposable)
    })
}

/// Log files as the host sees them: through the mount that holds them.
pub(super) fn logs(shape: &AppFile, context: &mut Context<'_>, spec: &ContainerSpec) -> Vec<LogSource> {
    let mut logs = Vec::new();
    for log in &shape.log {
        let (Some(files), Some(topic)) = (&log.files, &log.topic) else {
            context.fail("log", "a log needs `files` and `topic`");
            continue;
        };
        let topic_fits = (1..=249).contains(&topic.len())
            && topic != "."
            && topic != ".."
            && topic.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c));
        if !topic_fits {
            context.fail(
                "log",
                format!("{topic:?} is not a Kafka topic: 1 to 249 of a-z, A-Z, 0-9, '.', '_', '-'"),
            );
            continue;
        }
        let (directory, pattern) = files.rsplit_once('/').unwrap_or(("", files));
        if directory.contains('*') || pattern.is_empty() || !files.starts_with('/') {
            context.fail(
                "log",
                format!(
                    "{files:?}: write a directory and a file name with '*', as in \"/var/log/app/*.log\""
                ),
            );
            continue;
        }
        let holding = spec.mounts.iter().filter_map(|(at, mount)| match &mount.source {
            MountSource::Host(host) => {
                let rest = directory.strip_prefix(at.as_str())?;
                (rest.is_empty() || rest.starts_with('/')).then(|| (at.len(), format!("{host}{rest}")))
            }
            MountSource::Volume(_) | MountSource::Tmpfs { .. } => None,
        });
        match holding.max() {
            Some((_, on_host)) => {
                logs.push(LogSource {
                    directory: on_host,
                    pattern: pattern.to_owned(),
                    topic: topic.clone(),
                });
            }
            None => context.fail_with(
                "log",
                format!("no mount with `host` holds {directory}, so Flume on the host cannot read it"),
                "add a [[mount]] with host = \"/…\" at that directory or above",
            ),
        }
    }
    logs
}
