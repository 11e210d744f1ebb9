//! The files of an import, parsed and planned against what was read, before anybody relies on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{ParseCache, load};
use crate::import::Imported;
use crate::model::adoption::Adopted;
use crate::model::app::App;
use crate::model::desired::{Desired, ImageLock};
use crate::model::drift::Nature;
use crate::model::exit::Found;
use crate::model::file::Rendered;
use crate::model::names::{AppKey, HostName, Revision};
use crate::model::observed::{Observed, Seen};
use crate::model::ownership::Owner;
use crate::model::plan::Change;
use crate::model::secrecy::ContentHash;
use crate::model::settings::Limits;
use crate::model::tree::{Blob, Tree};
use crate::model::units::Timestamp;
use crate::plan::{Holds, PlanInput, plan};

use super::Looked;

/// What a look at the files showed.
#[derive(Default)]
pub struct Checked {
    /// What is wrong with them (A3).
    errors: Option<String>,
    /// What the plan would do to the imported apps.
    changes: Vec<String>,
    blocked: Vec<String>,
    /// Some host could not be read, so that nobody knows what is missing (A1).
    partly: bool,
}

impl Checked {
    /// As section X of the rules.
    pub fn code(&self) -> u8 {
        Found {
            error: self.errors.is_some(),
            unclear: self.partly || !self.blocked.is_empty(),
            changes: !self.changes.is_empty(),
        }
        .exit_code()
    }
}

/// What the repository in the directory takes over already; nothing where it cannot be read as a whole.
pub fn taken_over(existing: &BTreeMap<String, Vec<u8>>) -> BTreeMap<Adopted, AppKey> {
    let Ok(desired) = load(&tree(existing), &mut ParseCache::default()) else { return BTreeMap::new() };
    let adopted =
        |app: &Arc<App>| app.adopted.values().map(|a| (a.clone(), app.key.clone())).collect::<Vec<_>>();
    desired.apps.values().flat_map(adopted).collect()
}

/// The hosts that the repository in the directory declares; nothing where it cannot be read as a whole.
pub fn hosts(existing: &BTreeMap<String, Vec<u8>>) -> BTreeSet<HostName> {
    let Ok(desired) = load(&tree(existing), &mut ParseCache::default()) else { return BTreeSet::new() };
    desired.hosts.into_keys().collect()
}

/// Services that the repository in the directory takes over already.
pub fn services_taken_over(existing: &BTreeMap<String, Vec<u8>>) -> BTreeSet<String> {
    let Ok(desired) = load(&tree(existing), &mut ParseCache::default()) else { return BTreeSet::new() };
    desired.apps.values().filter(|app| app.adopt).map(|app| app.service_name()).collect()
}

fn tree(files: &BTreeMap<String, Vec<u8>>) -> Tree {
    let blob =
        |bytes: &Vec<u8>| Blob { id: ContentHash::of(bytes).to_string(), bytes: Arc::from(bytes.as_slice()) };
    Tree {
        revision: Revision::new(""),
        committed: Timestamp::default(),
        author: String::new(),
        summary: String::new(),
        blobs: files.iter().map(|(path, bytes)| (path.clone(), blob(bytes))).collect(),
        refused: BTreeMap::new(),
    }
}

pub fn check(files: &BTreeMap<String, Vec<u8>>, imported: &Imported, looked: Option<&Looked>) -> Checked {
    match (load(&tree(files), &mut ParseCache::default()), looked) {
        (Err(errors), _) => Checked { errors: Some(errors.to_string()), ..Checked::default() },
        (Ok(_), None) => Checked::default(),
        (Ok(desired), Some(looked)) => planned(&desired, imported, looked),
    }
}

fn planned(desired: &Desired, imported: &Imported, looked: &Looked) -> Checked {
    let hosts = looked.hosts.iter().map(|(host, engine)| (host.name.clone(), Seen::Known(engine.clone())));
    let unread = looked.unread.iter().map(|(host, why)| (host.clone(), Seen::unknown(why.clone())));
    let observed = Observed {
        at: Timestamp::default(),
        key: looked.key.id(),
        hosts: hosts.chain(unread).collect(),
        swarms: looked
            .swarms
            .iter()
            .map(|(name, swarm)| (name.clone(), Seen::Known(swarm.clone())))
            .collect(),
        files: BTreeMap::new(),
    };
    let owner = Owner { installation: "import".to_owned(), fleet: desired.fleet.clone() };
    let plan = plan(&PlanInput {
        desired,
        observed: &observed,
        images: &ImageLock::default(),
        key: &looked.key,
        owner: &owner,
        limits: &Limits::default(),
        now: Timestamp::default(),
        rendered: &Rendered::default(),
        holds: &Holds { memory_complete: true, ..Holds::default() },
    });
    let ours = |app: Option<&AppKey>| app.is_none_or(|key| imported.apps.contains_key(key.app.as_str()));
    // A service that is taken over is labelled as ours, which restarts nothing (B4, D8).
    let labelled = |change: &Change| {
        plan.drift.iter().any(|drift| match &drift.nature {
            Nature::Changed(fields) => {
                drift.subject == change.subject && fields.iter().all(|field| field.field == "ownership")
            }
            Nature::Missing | Nature::Extra | Nature::NotRunning(_) | Nature::Unhealthy(_) => false,
        })
    };
    let all = plan.changes.iter().chain(&plan.held);
    let changes = all.filter(|change| ours(change.app.as_ref()) && !labelled(change));
    let blocked = plan.blocked.iter().filter(|blocked| ours(blocked.app.as_ref()));
    Checked {
        errors: None,
        changes: changes
            .map(|c| format!("{} {}: {}", c.action.name(), c.subject, c.because.join("; ")))
            .collect(),
        partly: !looked.unread.is_empty(),
        blocked: blocked.map(|b| format!("{}: {}", b.subject, b.reason)).collect(),
    }
}

pub fn tell(checked: &Checked) {
    if let Some(errors) = &checked.errors {
        errln!("error: the files do not check; mend them by hand, then `trueup config check`:\n{errors}");
    }
    for change in &checked.changes {
        errln!("warning: the plan after this import is not empty: {change}");
    }
    for blocked in &checked.blocked {
        errln!("warning: after this import something is blocked: {blocked}");
    }
}
