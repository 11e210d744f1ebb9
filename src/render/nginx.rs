//! One Nginx file for each app: the upstream of its healthy instances, and its virtual host where it has server names.
//!
//! Meant to be included in the `http` block. Measured facts about the format: reference/formats.md, Nginx.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::endpoints::{AppEndpoints, Endpoints, Exceptions, file_name, line};
use crate::model::app::{Balance, Upstream};
use crate::model::desired::Desired;
use crate::model::file::Files;
use crate::model::names::AppKey;

/// The set's files, and `(app, why)` for each app that is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    pub files: Files,
    pub notes: Vec<(String, String)>,
}

/// Connections kept idle per worker: beyond this Nginx would take memory it may not have.
const MOST_KEEPALIVE: u32 = 65_536;
/// Servers that fit in a `zone` of so many KiB (measured with nginx 1.22.1).
const ZONES: [(usize, u32); 4] = [(63, 64), (143, 128), (304, 256), (634, 512)];

/// The files of every app in `endpoints`. An app at fault keeps the file it has in `installed` (E1), and so do apps
/// whose instances cannot be seen, and apps that are no longer declared while instances of them stay.
pub fn nginx(
    desired: &Desired,
    endpoints: &Endpoints,
    exceptions: &Exceptions,
    installed: Option<&Files>,
) -> Part {
    let mut part = Part::default();
    let mut taken: BTreeMap<(u16, String), AppKey> = BTreeMap::new();
    for (key, servers) in &endpoints.apps {
        let Some(upstream) = desired.apps.get(key).and_then(|app| app.upstream.as_ref()) else { continue };
        let checked = check(upstream).and_then(|()| unclaimed(upstream, &taken));
        match checked {
            Ok(()) => {
                for name in &upstream.server_names {
                    taken.insert((upstream.listen, name.to_ascii_lowercase()), key.clone());
                }
                part.files.insert(file_name(key), file(key, upstream, servers));
            }
            Err(why) => {
                let what =
                    if keep(&mut part.files, key, installed) { "keeps its old file" } else { "has no file" };
                part.notes.push((key.to_string(), format!("{what}: {why}")));
            }
        }
    }
    for key in endpoints.unseen.keys() {
        keep(&mut part.files, key, installed);
    }
    let gone = exceptions.staying.iter().map(|instance| &instance.key);
    for key in gone.filter(|key| !desired.apps.contains_key(*key)).collect::<BTreeSet<_>>() {
        if keep(&mut part.files, key, installed) {
            part.notes.push((key.to_string(), "keeps its upstream while instances of it stay".to_owned()));
        }
    }
    part
}

fn keep(files: &mut Files, key: &AppKey, installed: Option<&Files>) -> bool {
    let name = file_name(key);
    match installed.and_then(|live| live.get(&name)) {
        Some(text) => files.insert(name, text.clone()).is_none(),
        None => false,
    }
}

/// Everything of `upstream` that is written must be what the format means by it (E2). The names of apps, instances and
/// hosts are validated types.
fn check(upstream: &Upstream) -> Result<(), String> {
    if upstream.server_names.is_empty() {
        // Only the upstream is written: `listen` does not matter.
    } else if upstream.listen == 0 {
        return Err("listen is 0".to_owned());
    }
    for name in &upstream.server_names {
        if !is_server_name(name) {
            return Err(format!(
                "{name:?} is not a server name: use a host name, *.example.com, .example.com or _"
            ));
        }
    }
    if let Some(n) = upstream.keepalive.filter(|n| *n > MOST_KEEPALIVE) {
        return Err(format!("keepalive = {n} is more than {MOST_KEEPALIVE}"));
    }
    if let Some(n) = upstream.max_fails.filter(|n| *n > 1_000_000) {
        return Err(format!("max_fails = {n} is more than 1000000"));
    }
    if let Some(span) = upstream.fail_timeout.filter(|s| s.duration().as_secs() > 86_400 * 365) {
        return Err(format!("fail_timeout = {span} is more than a year"));
    }
    Ok(())
}

/// Nginx serves the first of two virtual hosts of one name and only warns; so the second is at fault.
fn unclaimed(upstream: &Upstream, taken: &BTreeMap<(u16, String), AppKey>) -> Result<(), String> {
    for (n, name) in upstream.server_names.iter().enumerate() {
        let lower = name.to_ascii_lowercase();
        if upstream.server_names[..n].iter().any(|earlier| earlier.eq_ignore_ascii_case(name)) {
            return Err(format!("the server name {name} stands there twice"));
        }
        if let Some(other) = taken.get(&(upstream.listen, lower)) {
            return Err(format!("the server name {name} on port {} belongs to {other}", upstream.listen));
        }
    }
    Ok(())
}

/// A host name, one with a leading `*.` or `.`, or the catch-all `_`. Regular expressions are not for repositories.
pub fn is_server_name(name: &str) -> bool {
    let host = name.strip_prefix("*.").or_else(|| name.strip_prefix('.')).unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label)
}

fn file(key: &AppKey, upstream: &Upstream, app: &AppEndpoints) -> String {
    let mut text = format!(
        "# Written by trueup for {key}. Edits by hand are drift and are undone; change the repository instead.\n\n"
    );
    write_upstream(&mut text, key, upstream, app);
    if !upstream.server_names.is_empty() {
        write_virtual_host(&mut text, key, upstream, app.servers.is_empty());
    }
    text
}

// Writing to a String cannot fail, so the results of `write!` below carry nothing.
fn write_upstream(text: &mut String, key: &AppKey, upstream: &Upstream, app: &AppEndpoints) {
    let _ = writeln!(text, "upstream {key} {{\n    zone {key} {}k;", zone_kib(app.servers.len()));
    match upstream.balance {
        Balance::RoundRobin => {}
        Balance::LeastConn => text.push_str("    least_conn;\n"),
        Balance::IpHash => text.push_str("    ip_hash;\n"),
        Balance::Random => text.push_str("    random;\n"),
    }
    let parameters = parameters(upstream);
    for server in &app.servers {
        let _ = writeln!(text, "    {}", line::write(server, &parameters));
    }
    if app.servers.is_empty() {
        text.push_str("    # No instance may receive traffic: a server that is down, since Nginx refuses an empty set.\n");
        text.push_str("    server 127.0.0.1:1 down;\n");
    }
    // Nginx wants it after the balancing method.
    if let Some(n) = upstream.keepalive.filter(|n| *n > 0) {
        let _ = writeln!(text, "    keepalive {n};");
    }
    text.push_str("}\n");
}

fn parameters(upstream: &Upstream) -> String {
    let mut text = String::new();
    if let Some(n) = upstream.max_fails {
        let _ = write!(text, " max_fails={n}");
    }
    if let Some(span) = upstream.fail_timeout {
        // Nginx reads whole seconds here and refuses `ms`.
        let _ = write!(text, " fail_timeout={}s", span.millis().div_ceil(1000));
    }
    text
}

fn write_virtual_host(text: &mut String, key: &AppKey, upstream: &Upstream, empty: bool) {
    let names = upstream.server_names.join(" ");
    let _ = writeln!(text, "\nserver {{\n    listen {};\n    server_name {names};\n", upstream.listen);
    text.push_str("    location / {\n");
    if empty {
        // C3. Proxying to an upstream whose servers are all down would answer 502.
        text.push_str("        return 503;\n");
    } else {
        let _ = writeln!(text, "        proxy_pass http://{key};");
        text.push_str("        proxy_http_version 1.1;\n");
        text.push_str("        proxy_set_header Connection \"\";\n");
        text.push_str("        proxy_set_header Host $host;\n");
        text.push_str("        proxy_set_header X-Real-IP $remote_addr;\n");
        text.push_str("        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n");
        text.push_str("        proxy_set_header X-Forwarded-Proto $scheme;\n");
    }
    text.push_str("    }\n}\n");
}

/// The size of the shared memory that `servers` servers need.
fn zone_kib(servers: usize) -> u32 {
    match ZONES.iter().find(|(holds, _)| servers <= *holds) {
        Some((_, kib)) => *kib,
        // Beyond the table: as much again for each further 600 servers, a little more than was measured.
        None => u32::try_from(servers.div_ceil(600)).unwrap_or(u32::MAX / 512).saturating_mul(512),
    }
}
