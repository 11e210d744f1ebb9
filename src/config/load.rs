//! A commit's tree → `Desired`. What did not change since the last commit is taken from the cache, by object id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::app::App;
use crate::model::desired::Desired;
use crate::model::names::{AppKey, EnvironmentName};
use crate::model::tree::{Blob, Tree};

use super::app::{self, Resolved};
use super::context::Context;
use super::diagnostic::{Errors, Source, Spot, did_you_mean};
use super::node::{self, Node, Table, Value};
use super::read::read;
use super::shape::{AppFile, HostsFile, NetworksFile};
use super::{check, fleet};

/// The largest TOML file; a fleet of thousands has many small ones.
const LARGEST: usize = 1 << 20;

/// Parsed files and resolved apps of earlier commits, by object ids. Only what the last commit used is kept.
#[derive(Default)]
pub struct ParseCache {
    files: BTreeMap<(String, String), (Arc<Node>, Arc<Errors>)>,
    apps: BTreeMap<Vec<String>, CachedApp>,
}

#[derive(Clone)]
struct CachedApp {
    /// Defaults, base and overlay as one, for messages that name a place.
    merged: Arc<Node>,
    resolved: Option<Resolved>,
    errors: Arc<Errors>,
}

/// Reads and checks a whole commit; it is taken whole or not at all.
pub fn load(tree: &Tree, cache: &mut ParseCache) -> Result<Desired, Errors> {
    let mut errors = Errors::default();
    for (path, why) in &tree.refused {
        errors.add(&Spot::whole(path), why.clone(), None);
    }
    let mut loader = Loader { tree, old: std::mem::take(cache), fresh: ParseCache::default() };
    let result = loader.load(&mut errors);
    *cache = loader.fresh;
    match result {
        Some(desired) => errors.into_result(desired),
        None => Err(errors.into_result(()).err().unwrap_or_default()),
    }
}

pub(super) struct Loader<'a> {
    tree: &'a Tree,
    old: ParseCache,
    fresh: ParseCache,
}

impl<'a> Loader<'a> {
    pub fn new(tree: &'a Tree) -> Self {
        Self { tree, old: ParseCache::default(), fresh: ParseCache::default() }
    }

    fn load(&mut self, errors: &mut Errors) -> Option<Desired> {
        let Some(fleet_node) = self.parse("fleet.toml", errors) else {
            let hint =
                "every config repository has one at its root; `trueup init` writes a starter".to_owned();
            errors.add(&Spot::whole("fleet.toml"), "there is no fleet.toml", Some(hint));
            return None;
        };
        let Some(mut desired) = fleet::read_fleet(&fleet_node, &self.tree.revision, errors) else {
            self.tell_the_rest(errors);
            return None;
        };
        let under = |dir: &str, tree: &Tree| -> Vec<String> {
            let prefix = format!("{dir}/");
            let files = tree.blobs.keys().filter(|path| path.starts_with(&prefix) && path.ends_with(".toml"));
            files.cloned().collect()
        };
        for path in under("hosts", self.tree) {
            if let Some(node) = self.parse(&path, errors) {
                fleet::read_hosts(&node, &mut desired, errors);
            }
        }
        for path in under("networks", self.tree) {
            if let Some(node) = self.parse(&path, errors) {
                fleet::read_networks(&node, &mut desired, errors);
            }
        }
        let mut spots = BTreeMap::new();
        for folder in self.app_folders() {
            self.load_app(&folder, &fleet_node, &mut desired, &mut spots, errors);
        }
        check::whole(&desired, &fleet_node, &spots, errors);
        Some(desired)
    }

    /// Without a fleet nothing can be resolved; what is wrong with the other files themselves is told all the same.
    fn tell_the_rest(&mut self, errors: &mut Errors) {
        let paths: Vec<String> =
            self.tree.blobs.keys().filter(|path| path.ends_with(".toml")).cloned().collect();
        for path in paths {
            let kind = path.split('/').next().unwrap_or_default().to_owned();
            if !matches!(kind.as_str(), "hosts" | "networks" | "apps") {
                continue;
            }
            let Some(node) = self.parse(&path, errors) else { continue };
            match kind.as_str() {
                "hosts" => drop(read::<HostsFile>(&node, errors)),
                "networks" => drop(read::<NetworksFile>(&node, errors)),
                _ => drop(read::<AppFile>(&node, errors)),
            }
        }
    }

    fn app_folders(&self) -> BTreeSet<String> {
        let inside = self.tree.blobs.keys().filter_map(|path| path.strip_prefix("apps/"));
        inside.filter_map(|path| path.split_once('/')).map(|(folder, _)| folder.to_owned()).collect()
    }

    /// A file as a tree of nodes; `None` where it does not exist.
    pub fn parse(&mut self, path: &str, errors: &mut Errors) -> Option<Arc<Node>> {
        let blob = self.tree.blobs.get(path)?;
        let key = (path.to_owned(), blob.id.clone());
        if let Some((node, problems)) = self.fresh.files.get(&key) {
            errors.extend(problems);
            return Some(Arc::clone(node));
        }
        let (node, problems) = self.old.files.remove(&key).unwrap_or_else(|| {
            let mut problems = Errors::default();
            let node = parse_blob(path, blob, &mut problems);
            (Arc::new(node), Arc::new(problems))
        });
        errors.extend(&problems);
        self.fresh.files.insert(key, (Arc::clone(&node), problems));
        Some(node)
    }

    fn load_app(
        &mut self,
        folder: &str,
        fleet_node: &Arc<Node>,
        desired: &mut Desired,
        spots: &mut BTreeMap<AppKey, Arc<Node>>,
        errors: &mut Errors,
    ) {
        let base_path = format!("apps/{folder}/app.toml");
        let Some(base) = self.parse(&base_path, errors) else {
            let message = format!("the folder apps/{folder} has no app.toml");
            errors.add(&Spot::whole(&base_path), message, None);
            return;
        };
        let overlays = self.overlays(folder, desired, errors);
        let environments = environments(&base, &overlays, desired, errors);
        check_image_per_environment(&base, &environments, errors);
        if environments.is_empty() {
            // It goes nowhere, but what else is wrong with it is told all the same (A3).
            let _: Option<AppFile> = read(&merge(fleet_node, &base, None), errors);
        }
        let only_swarm = match desired.swarms.len() {
            1 => desired.swarms.keys().next().cloned(),
            _ => None,
        };
        for environment in environments {
            let overlay = overlays.get(&environment);
            let key = match folder.parse() {
                Ok(app) => AppKey { app, environment: environment.clone() },
                Err(error) => {
                    errors.add(&Spot::whole(&base_path), format!("{error}"), None);
                    return;
                }
            };
            let CachedApp { merged, resolved, errors: problems } =
                self.resolve(folder, &key, (fleet_node, only_swarm.as_deref()), &base, overlay);
            errors.extend(&problems);
            spots.insert(key.clone(), merged);
            if let Some(Resolved { app, contents }) = resolved {
                desired.contents.extend(contents);
                desired.apps.insert(key, app);
            }
        }
    }

    fn overlays(
        &mut self,
        folder: &str,
        desired: &Desired,
        errors: &mut Errors,
    ) -> BTreeMap<EnvironmentName, Arc<Node>> {
        let prefix = format!("apps/{folder}/");
        let inside = self.tree.blobs.range(prefix.clone()..).map(|(path, _)| path);
        let paths: Vec<String> = inside
            .take_while(|path| path.starts_with(&prefix))
            .filter(|path| path.ends_with(".toml") && !path[prefix.len()..].contains('/'))
            .filter(|path| path[prefix.len()..] != *"app.toml")
            .cloned()
            .collect();
        let mut overlays = BTreeMap::new();
        for path in paths {
            let word = path[prefix.len()..].trim_end_matches(".toml").to_owned();
            let Some(node) = self.parse(&path, errors) else { continue };
            match word.parse::<EnvironmentName>() {
                Ok(name) if desired.environments.contains_key(&name) => {
                    for fixed in ["app", "environments"] {
                        if let Some(entry) = node.table().and_then(|t| t.get(fixed)) {
                            let message =
                                format!("`{fixed}` belongs in app.toml and cannot differ in an environment");
                            errors.add(&entry.key, message, None);
                        }
                    }
                    overlays.insert(name, node);
                }
                Ok(_) | Err(_) => {
                    let known = desired.environments.keys().map(EnvironmentName::as_str);
                    let hint = did_you_mean(&word, known);
                    let message =
                        format!("fleet.toml has no environment {word:?}, after which this file is called");
                    errors.add(&Spot { span: 0..0, ..node.spot.clone() }, message, hint);
                }
            }
        }
        overlays
    }

    /// An app of an environment: from the cache where none of its files changed.
    fn resolve(
        &mut self,
        folder: &str,
        key: &AppKey,
        (fleet_node, only_swarm): (&Node, Option<&str>),
        base: &Node,
        overlay: Option<&Arc<Node>>,
    ) -> CachedApp {
        let ids = self.cache_key(folder, key, overlay.is_some());
        let cached = self.old.apps.remove(&ids).unwrap_or_else(|| {
            let merged = merge(fleet_node, base, overlay);
            let mut own = Errors::default();
            let resolved = read::<AppFile>(&merged, &mut own).and_then(|shape| {
                check_name(folder, &shape, &merged, &mut own);
                let origin = origin(base, overlay);
                let files = |path: &str| self.file(folder, path);
                let mut context = Context { node: &merged, errors: &mut own };
                app::resolve(key, &shape, &mut context, &files, origin, only_swarm)
            });
            CachedApp { merged: Arc::new(merged), resolved, errors: Arc::new(own) }
        });
        self.fresh.apps.insert(ids, cached.clone());
        cached
    }

    /// Everything an app's result depends on, by object id: fleet.toml (its defaults) and the app's own folder.
    fn cache_key(&self, folder: &str, key: &AppKey, overlaid: bool) -> Vec<String> {
        let prefix = format!("apps/{folder}/");
        let fleet = self.tree.blobs.get("fleet.toml").map(|blob| blob.id.clone()).unwrap_or_default();
        let mut ids = vec![key.to_string(), overlaid.to_string(), fleet];
        let own = self.tree.blobs.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        ids.extend(own.map(|(path, blob)| format!("{path} {}", blob.id)));
        ids
    }

    /// A file of the app's folder, by relative path.
    fn file(&self, folder: &str, path: &str) -> Result<(String, Arc<[u8]>), String> {
        let inside = !path.starts_with('/') && !path.split('/').any(|part| matches!(part, "" | "." | ".."));
        if !inside {
            return Err(format!("{path:?} leaves the app's folder: name a file below it (F4)"));
        }
        let full = format!("apps/{folder}/{path}");
        match (self.tree.blobs.get(&full), self.tree.refused.get(&full)) {
            (Some(blob), _) => Ok((full, Arc::clone(&blob.bytes))),
            (None, Some(why)) => Err(format!("{full}: {why}")),
            (None, None) => Err(format!("the repository has no file {full}")),
        }
    }
}

fn parse_blob(path: &str, blob: &Blob, errors: &mut Errors) -> Node {
    let nothing = |spot: Spot| Node { spot, value: Value::Table(Table::new()) };
    if blob.bytes.len() > LARGEST {
        let message =
            format!("{} bytes are too many for a config file; the limit is {LARGEST}", blob.bytes.len());
        errors.add(&Spot::whole(path), message, None);
        return nothing(Spot::whole(path));
    }
    match std::str::from_utf8(&blob.bytes) {
        Ok(text) => {
            let source = Arc::new(Source { path: path.to_owned(), text: text.to_owned() });
            node::parse(&source, errors)
        }
        Err(error) => {
            let good = String::from_utf8_lossy(&blob.bytes[..error.valid_up_to()]).into_owned();
            let at = good.len();
            let spot = Spot { source: Arc::new(Source { path: path.to_owned(), text: good }), span: at..at };
            errors.add(&spot, "from here on this is not UTF-8 text", None);
            nothing(spot)
        }
    }
}

/// Defaults below, the base on them, the overlay on top.
pub(super) fn merge(fleet: &Node, base: &Node, overlay: Option<&Arc<Node>>) -> Node {
    let defaults = fleet.table().and_then(|t| t.get("defaults")).and_then(|e| e.node.table());
    let mut merged = match defaults.and_then(|t| t.get("app")) {
        Some(entry) => entry.node.clone(),
        None => Node { spot: base.spot.clone(), value: Value::Table(Table::new()) },
    };
    merged.overlay(base);
    if let Some(overlay) = overlay {
        merged.overlay(overlay);
    }
    merged
}

/// Every overlay file's environment, and those that the base names.
fn environments(
    base: &Node,
    overlays: &BTreeMap<EnvironmentName, Arc<Node>>,
    desired: &Desired,
    errors: &mut Errors,
) -> BTreeSet<EnvironmentName> {
    let mut all: BTreeSet<EnvironmentName> = overlays.keys().cloned().collect();
    let listed = base.table().and_then(|t| t.get("environments")).map(|e| &e.node);
    if let Some(Node { value: Value::Array(list), .. }) = listed {
        for item in list {
            let Value::String(word) = &item.value else { continue };
            match word.parse::<EnvironmentName>() {
                Ok(name) if desired.environments.contains_key(&name) => {
                    all.insert(name);
                }
                Ok(_) | Err(_) => {
                    let hint = did_you_mean(word, desired.environments.keys().map(EnvironmentName::as_str));
                    errors.add(&item.spot, format!("fleet.toml has no environment {word:?}"), hint);
                }
            }
        }
    }
    if all.is_empty() && errors.is_empty() {
        let hint = "add environments = [\"test\"], or an overlay file such as test.toml beside it".to_owned();
        errors.add(&base.spot, "this app runs in no environment", Some(hint));
    }
    all
}

/// One merge must not hit test and prod at once (F5).
fn check_image_per_environment(base: &Node, environments: &BTreeSet<EnvironmentName>, errors: &mut Errors) {
    let image = base.table().and_then(|t| t.get("image"));
    if let (Some(entry), true) = (image, environments.len() > 1) {
        let hint = "set `image` in each environment's own file instead".to_owned();
        let message = "the image of an app with several environments is set per environment (F5)";
        errors.add(&entry.key, message, Some(hint));
    }
}

fn check_name(folder: &str, shape: &AppFile, merged: &Node, errors: &mut Errors) {
    match &shape.app {
        Some(name) if name == folder => {}
        Some(name) => {
            let message = format!("the app calls itself {name:?} and its folder is called {folder:?}");
            errors.add(&merged.place("app"), message, None);
        }
        None => errors.add(&merged.place("app"), "the key `app` is missing here", None),
    }
}

fn origin(base: &Node, overlay: Option<&Arc<Node>>) -> String {
    match overlay {
        Some(overlay) => format!("{} and {}", base.spot.source.path, overlay.spot.source.path),
        None => base.spot.source.path.clone(),
    }
}

/// For messages that name an app's declared place.
pub(super) type Spots = BTreeMap<AppKey, Arc<Node>>;

/// An app's name as its declaration's place tells it.
pub(super) fn place_of(spots: &Spots, app: &App, path: &str) -> Spot {
    spots.get(&app.key).map_or_else(|| Spot::whole(&app.origin), |node| node.place(path))
}
