//! Desired + endpoints → the generated Nginx and Flume files. Pure: same input, same bytes.
//!
//! Nothing of the repository reaches a file unescaped (E2). What cannot be written safely is left out by name, keeps
//! the file it has, and the others go on (E1).

pub mod flume;
pub mod nginx;
mod properties;

use std::collections::BTreeMap;

use crate::endpoints::{self, Endpoints, Evidence, Exceptions};
use crate::model::desired::Desired;
use crate::model::file::{FileSet, Files, Rendered};
use crate::model::names::AppKey;
use crate::model::observed::Observed;
use crate::model::ownership::Owner;

/// Every generated set of this fleet. `installed` are the live files: unknown servers and hosts keep their part of
/// them (A1), and so does an app that cannot be rendered (E1).
pub fn render(
    desired: &Desired,
    observed: &Observed,
    owner: &Owner,
    exceptions: &Exceptions,
    installed: &BTreeMap<FileSet, Option<Files>>,
) -> Rendered {
    let live = installed.get(&FileSet::Nginx).and_then(Option::as_ref);
    let endpoints = endpoints::project(desired, observed, owner, exceptions, live);
    let nginx = nginx::nginx(desired, &endpoints, exceptions, live);
    let flume = flume::flume(desired, observed, owner, installed);
    let mut rendered = Rendered { notes: told(&endpoints), ..Rendered::default() };
    rendered.sets.insert(FileSet::Nginx, nginx.files);
    rendered.notes.extend(nginx.notes);
    for (host, files) in flume.hosts {
        rendered.sets.insert(FileSet::Flume(host), files);
    }
    rendered.notes.extend(flume.notes);
    rendered
}

/// What the files of a set have of one app; `None`: nothing.
pub fn part_of<'f>(set: &FileSet, files: &'f Files, app: &AppKey) -> Option<&'f str> {
    match set {
        FileSet::Nginx => files.get(&endpoints::file_name(app)).map(String::as_str),
        FileSet::Flume(_) => flume::part_of(files.get(flume::FILE)?, app),
    }
}

/// What an operator should know about who gets no traffic, or gets it unseen.
fn told(endpoints: &Endpoints) -> Vec<(String, String)> {
    let mut notes = Vec::new();
    for (key, why) in &endpoints.unseen {
        notes.push((key.to_string(), format!("its upstream is not written: {why}")));
    }
    for app in endpoints.apps.values() {
        for server in &app.servers {
            match &server.evidence {
                Evidence::Kept { why } => notes.push((
                    server.instance.to_string(),
                    format!("keeps its line {} on {} in the upstream: {why}", server.address, server.host),
                )),
                Evidence::Healthy | Evidence::Unchecked => {}
            }
        }
        for out in &app.left_out {
            let place = out.host.as_ref().map(|host| format!(" (on {host})")).unwrap_or_default();
            notes.push((out.instance.to_string(), format!("gets no traffic{place}: {}", out.why)));
        }
    }
    notes
}

#[cfg(test)]
mod tests;
