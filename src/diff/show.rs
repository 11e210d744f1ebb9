//! Values as people read them in plans and reports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::model::container::{Attachment, FileSpec, HealthCheck, Logging, Mount, MountSource};

/// `(none)` where there is nothing.
pub(super) fn option<T: Display>(value: Option<&T>) -> String {
    value.map_or_else(none, ToString::to_string)
}

/// What stands where one side has nothing.
pub const NOTHING: &str = "(none)";

pub(super) fn none() -> String {
    NOTHING.to_owned()
}

pub(super) fn words(list: &[String]) -> String {
    if list.is_empty() { none() } else { format!("[{}]", join(list.iter().map(|w| format!("{w:?}")))) }
}

pub(super) fn set<T: Display>(set: &BTreeSet<T>) -> String {
    if set.is_empty() { none() } else { join(set.iter().map(ToString::to_string)) }
}

pub(super) fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

pub(super) fn mount(mount: &Mount) -> String {
    let source = match &mount.source {
        MountSource::Host(path) => format!("host {path}"),
        MountSource::Volume(name) => format!("volume {name}"),
        MountSource::Tmpfs { size: Some(size) } => format!("tmpfs of {size}"),
        MountSource::Tmpfs { size: None } => "tmpfs".to_owned(),
    };
    if mount.read_only { format!("{source}, read only") } else { source }
}

pub(super) fn health(check: &HealthCheck) -> String {
    match check {
        HealthCheck::Disabled => "switched off".to_owned(),
        HealthCheck::Probe { test, interval, timeout, start_period, retries } => format!(
            "{} every {} within {}, {} retries, {} to start",
            words(test),
            option(interval.as_ref()),
            option(timeout.as_ref()),
            option(retries.as_ref()),
            option(start_period.as_ref())
        ),
    }
}

pub(super) fn logging(logging: &Logging) -> String {
    if logging.options.is_empty() {
        return logging.driver.clone();
    }
    format!("{} ({})", logging.driver, pairs(&logging.options))
}

pub(super) fn pairs(map: &BTreeMap<String, String>) -> String {
    if map.is_empty() { none() } else { join(map.iter().map(|(k, v)| format!("{k}={v}"))) }
}

pub(super) fn file(file: &FileSpec) -> String {
    format!("{} ({}, mode {:04o})", file.source, file.hash.short(), file.mode)
}

pub(super) fn attachment(attachment: &Attachment) -> String {
    let address = attachment.address.map_or_else(|| "any address".to_owned(), |a| a.to_string());
    if attachment.aliases.is_empty() { address } else { format!("{address} as {}", set(&attachment.aliases)) }
}
