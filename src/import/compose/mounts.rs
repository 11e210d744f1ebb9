//! Volumes, host directories, configs and secrets of a service.

use crate::model::container::{FileSpec, Mount, MountSource};
use crate::model::names::VolumeName;
use crate::model::network::VolumeSpec;
use crate::model::secrecy::ContentHash;

use super::OnEngine;
use super::service::Reader;
use super::values::{absolute, size};
use super::yaml::{Node, Place};

impl Reader<'_, '_> {
    pub(super) fn mount(&mut self, node: &Node) {
        if let Some(text) = node.text() {
            let parts: Vec<&str> = text.split(':').collect();
            match parts.as_slice() {
                [at] => self.anonymous(&node.place, at),
                [source, at] => self.bind(&node.place, source, at, ""),
                [source, at, options] => self.bind(&node.place, source, at, options),
                _ => self.lost(&node.place, &format!("the volume {text}")),
            }
            return;
        }
        let said = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
        let (at, source) = (said("target"), said("source"));
        let read_only = node.get("read_only").is_some_and(Node::flag);
        for (key, value) in node.map() {
            match key.as_str() {
                "type" | "target" | "source" | "read_only" | "consistency" => {}
                "tmpfs" => self.lose_others(value, &["size"], &format!("of the tmpfs at {at}")),
                "bind" => {
                    let made = value.get("create_host_path").is_none_or(Node::flag);
                    let known: &[&str] = if made { &["create_host_path"] } else { &[] };
                    self.lose_others(value, known, &format!("of the mount at {at}"));
                }
                "volume" => self.lose_others(value, &[], &format!("of the mount at {at}")),
                key => self.lost(&value.place, &format!("{key} of the mount at {at}")),
            }
        }
        match said("type") {
            "tmpfs" => {
                let size = node.get("tmpfs").and_then(|t| t.get("size")).and_then(Node::text);
                self.tmpfs(&node.place, at, size, read_only);
            }
            "bind" => {
                let path = absolute(&self.project.directory, source);
                self.mounted(&node.place, at, MountSource::Host(path), read_only);
            }
            "volume" if source.is_empty() => self.anonymous(&node.place, at),
            "volume" => self.volume(&node.place, source, at, read_only),
            other => self.lost(&node.place, &format!("the mount of type {other:?} at {at}")),
        }
    }

    fn anonymous(&mut self, place: &Place, at: &str) {
        self.lost(place, &format!("the anonymous volume at {at}: name it to keep its data"));
    }

    /// `/run:size=1m,ro`.
    pub(super) fn tmpfs_line(&mut self, place: &Place, line: &str) {
        let (at, options) = line.split_once(':').unwrap_or((line, ""));
        let mut size = None;
        for option in options.split(',') {
            match option.strip_prefix("size=") {
                Some(text) => size = Some(text),
                None if ["", "ro", "rw", "noexec", "nosuid", "nodev"].contains(&option) => {}
                None => self.lost(place, &format!("the option {option} of the tmpfs at {at}")),
            }
        }
        self.tmpfs(place, at, size, options.split(',').any(|option| option == "ro"));
    }

    fn tmpfs(&mut self, place: &Place, at: &str, size_said: Option<&str>, read_only: bool) {
        let size = size_said.and_then(size);
        if let (Some(said), None) = (size_said, size) {
            self.lost(place, &format!("the size {said} of the tmpfs at {at}: it is without a limit"));
        }
        self.mounted(place, at, MountSource::Tmpfs { size }, read_only);
    }

    fn bind(&mut self, place: &Place, source: &str, at: &str, options: &str) {
        let read_only = options.split(',').any(|o| o == "ro");
        for option in
            options.split(',').filter(|o| !["", "ro", "rw", "cached", "delegated", "consistent"].contains(o))
        {
            self.lost(place, &format!("the option {option} of the mount at {at}"));
        }
        if source.starts_with('~') {
            self.lost(
                place,
                &format!("the mount at {at}: {source} is somebody's home; write the whole path"),
            );
        } else if source.starts_with(['.', '/']) {
            let path = absolute(&self.project.directory, source);
            self.mounted(place, at, MountSource::Host(path), read_only);
        } else {
            self.volume(place, source, at, read_only);
        }
    }

    pub(super) fn mounted(&mut self, place: &Place, at: &str, source: MountSource, read_only: bool) {
        let trimmed = at.trim_end_matches('/');
        if !trimmed.starts_with('/') {
            return self.lost(place, &format!("the mount at {at:?}, which is no absolute path"));
        }
        self.draft.spec.mounts.insert(trimmed.to_owned(), Mount { source, read_only });
    }

    /// A volume of one service becomes its app's own; one that several share, or that is there, is used by its name.
    fn volume(&mut self, place: &Place, name: &str, at: &str, read_only: bool) {
        let known: &[&str] = match self.project.volume(name) {
            // Whoever made it decides of its driver and labels.
            OnEngine::External(_) => &["external", "name", "driver", "driver_opts", "labels"],
            OnEngine::Named(_) | OnEngine::Shared(_) => &["name", "external"],
            OnEngine::Anew { .. } => &["driver", "driver_opts", "external"],
        };
        if let Some(declared) = self.project.section("volumes", name) {
            self.lose_others(declared, known, &format!("of the volume {name}"));
        }
        let (on_engine, spec) = match self.project.volume(name) {
            OnEngine::External(known_as) => (known_as, None),
            OnEngine::Named(known_as) => {
                self.note(place, format!("the volume {name} is called {known_as} on every host and used by that name: where it is not there, make it first (docker volume create {known_as})"));
                (known_as, None)
            }
            OnEngine::Shared(known_as) => {
                self.note(place, format!("several services share the volume {name}: make it on the host first (docker volume create {known_as})"));
                (known_as, None)
            }
            OnEngine::Anew { spec, of_project } => {
                self.note(place, format!("the volume {name} is made anew and begins empty: what Compose keeps in {of_project} is not in it; to go on with that, write the volume as {of_project} with external = true"));
                (name.to_owned(), Some(spec))
            }
        };
        let Ok(volume) = on_engine.parse::<VolumeName>() else {
            return self.lost(place, &format!("the volume {name}: {on_engine:?} is no name of a volume"));
        };
        self.draft.volumes.insert(on_engine, spec);
        self.mounted(place, at, MountSource::Volume(volume), read_only);
    }

    /// A config becomes a file of the app (D9).
    pub(super) fn config(&mut self, node: &Node) {
        let name =
            node.text().or_else(|| node.get("source").and_then(Node::text)).unwrap_or_default().to_owned();
        let said = |key: &str| node.get(key).and_then(Node::text);
        let at = said("target").map_or_else(|| format!("/{name}"), str::to_owned);
        let octal = |text: &str| u32::from_str_radix(text.trim_start_matches("0o"), 8).ok();
        let mode = node.get("mode").and_then(|mode| self.parsed("mode", mode, octal)).unwrap_or(0o444);
        let Some(declared) = self.project.section("configs", &name) else {
            return self.lost(&node.place, &format!("the config {name}, which is not declared"));
        };
        let content =
            match (declared.get("file").and_then(Node::text), declared.get("content").and_then(Node::text)) {
                (Some(path), _) => (self.project.read)(path).map_err(|why| format!("{path}: {why}")),
                (None, Some(content)) => Ok(content.to_owned()),
                (None, None) => Err("it is made elsewhere; put its file into the app's folder".to_owned()),
            };
        match content {
            Ok(text) => {
                let source = format!("files/{}", file_name(&name));
                let (hash, size) = (ContentHash::of(text.as_bytes()), text.len() as u64);
                self.draft.spec.files.insert(at, FileSpec { source: source.clone(), hash, size, mode });
                self.draft.files.insert(source, text);
            }
            Err(why) => self.lost(&node.place, &format!("the config {name}: {why}")),
        }
        let known: Vec<&str> = ["source", "target", "mode"]
            .into_iter()
            .chain(["uid", "gid"].into_iter().filter(|key| said(key) == Some("0")))
            .collect();
        self.lose_others(node, &known, &format!("of the config {name}"));
    }

    /// As Compose itself does it without a Swarm: the file on the host is mounted. Its content never goes to git (G1).
    pub(super) fn secret(&mut self, node: &Node) {
        let name =
            node.text().or_else(|| node.get("source").and_then(Node::text)).unwrap_or_default().to_owned();
        let target = node.get("target").and_then(Node::text).unwrap_or(&name);
        let at = if target.starts_with('/') { target.to_owned() } else { format!("/run/secrets/{target}") };
        self.lose_others(
            node,
            &["source", "target"],
            &format!("of the secret {name}: the file on the host has its own"),
        );
        let file = self.project.section("secrets", &name).and_then(|s| s.get("file")).and_then(Node::text);
        match file {
            Some(path) => {
                let path = absolute(&self.project.directory, path);
                self.note(&node.place, format!("the secret {name} stays a file of the host: {path} is mounted, its content is not in git"));
                self.mounted(&node.place, &at, MountSource::Host(path), true);
            }
            None => self.lost(
                &node.place,
                &format!("the secret {name}: it is not a file; mount one that stands on the host at {at}"),
            ),
        }
    }
}

/// A file's name in the app's folder.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect()
}

/// A declared volume's own settings.
pub(super) fn volume_spec(node: &Node) -> VolumeSpec {
    let driver = node.get("driver").and_then(Node::text).unwrap_or("local").to_owned();
    let options = node.get("driver_opts").map(|o| o.pairs(&['='])).unwrap_or_default();
    VolumeSpec {
        driver,
        options: options.into_iter().map(|(name, value, _)| (name, value.unwrap_or_default())).collect(),
    }
}
