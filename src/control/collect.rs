//! Images that trueup pulled and nothing needs any more, taken away where an engine's disk fills up.
//!
//! The reading is slow on large hosts, so it goes on beside the loop; what it brings is acted on between two rounds, by
//! the same executor and journal as everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::apply::{self, Report};
use crate::model::disk::{HostDisk, ImageFate, ImageSettings, ImageStore, PulledImage, StoredImage};
use crate::model::drift::{Kind, Subject};
use crate::model::finding::Findings;
use crate::model::host::Host;
use crate::model::image::{Digest, ImageRef};
use crate::model::names::HostName;
use crate::model::observed::{Engine, Seen};
use crate::model::plan::{Action, Change, Expect, Outcome, Plan, Step, Verb};
use crate::model::secrecy::ContentHash;
use crate::model::units::{TimeSpan, Timestamp};
use crate::plan::collect::{self, Images, Stays, Unneeded};

use super::memory::Memory;
use super::pass::Pass;
use super::{ControlError, World, converge};

/// How often the disks are looked at.
const EVERY: TimeSpan = TimeSpan::from_secs(15 * 60);

/// What each host's image store holds, or why that is not known.
pub struct Stores {
    /// When reading began: what came later is not in it.
    pub began: Timestamp,
    pub hosts: BTreeMap<HostName, Result<ImageStore, String>>,
}

/// Hears of each change as it ends, and passes on what was pulled: it is remembered at once, whatever becomes of this
/// process while it waits for the rest of the plan. Asking the engine about it keeps nobody.
pub struct Pulls(mpsc::UnboundedSender<Change>);

impl Pulls {
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Change>) {
        let (pulls, ended) = mpsc::unbounded_channel();
        (Self(pulls), ended)
    }

    pub fn ended(&self, change: &Change, outcome: &Outcome) {
        if change.subject.kind == Kind::Image && matches!(outcome, Outcome::Done) {
            // Nobody hears it where the process is at its end.
            let _ = self.0.send(change.clone());
        }
    }
}

/// Remembers what a plan pulls, until the plan has ended: only that may ever be collected. Side by side: an engine that
/// is slow keeps nobody else's from being remembered (D6).
pub async fn note_pulls(world: &World, pass: &Pass, mut pulls: mpsc::UnboundedReceiver<Change>) {
    let note = |change: Change| async move {
        if let Err(error) = note_pull(world, pass, &change).await {
            tracing::warn!("{error}; what was pulled just now is never collected");
        }
    };
    stream::poll_fn(|context| pulls.poll_recv(context)).for_each_concurrent(None, note).await;
}

async fn note_pull(world: &World, pass: &Pass, change: &Change) -> Result<(), ControlError> {
    let (memory, now) = (Memory::new(&*world.store), world.clock.now());
    let Some(host) = change.host().and_then(|host| pass.desired.hosts.get(host)) else { return Ok(()) };
    for step in &change.steps {
        let Action::PullImage { image } = &step.action else { continue };
        // What cannot be read now is not remembered, and so never taken away.
        let Ok(engine) = world.engines.engine(host) else { continue };
        let there = tokio::select! {
            there = engine.image(image) => there,
            () = world.clock.sleep(world.call_deadline.duration()) => continue,
        };
        if let Ok(Some(there)) = there {
            let pulled = PulledImage { reference: image.clone(), at: now, last_used: now };
            memory.note_pulled(&host.name, &there.id, &pulled)?;
        }
    }
    Ok(())
}

/// The image stores of every host that trueup ever pulled to.
pub async fn read(world: &World, pass: &Pass) -> Result<Stores, ControlError> {
    let (hosts, silent) = hosts(world, pass)?;
    let mut stores = read_hosts(world, &hosts).await;
    stores.hosts.extend(silent.into_iter().map(|(host, why)| (host, Err(why))));
    Ok(stores)
}

/// The hosts to ask; and those that did not answer in this look, which are not asked for more.
fn hosts(world: &World, pass: &Pass) -> Result<(Vec<Host>, BTreeMap<HostName, String>), ControlError> {
    let pulled = Memory::new(&*world.store).pulled()?;
    let to: BTreeSet<&HostName> = pulled.keys().map(|(host, _)| host).collect();
    let (mut hosts, mut silent) = (Vec::new(), BTreeMap::new());
    for host in pass.desired.hosts.values().filter(|host| to.contains(&host.name)) {
        match pass.observed.hosts.get(&host.name) {
            Some(Seen::Known(_)) => hosts.push(host.clone()),
            Some(Seen::Unknown { why }) => {
                silent.insert(host.name.clone(), why.clone());
            }
            None => {
                silent.insert(host.name.clone(), "it was not read".to_owned());
            }
        }
    }
    Ok((hosts, silent))
}

/// Side by side: one that is slow keeps nobody from the others (D6).
async fn read_hosts(world: &World, hosts: &[Host]) -> Stores {
    let one = |host: Host| async move {
        let store = match world.engines.engine(&host) {
            Ok(engine) => engine.image_store().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        (host.name, store)
    };
    let began = world.clock.now();
    let read = stream::iter(hosts.iter().cloned().map(one)).buffer_unordered(world.limits.fan_out.max(1));
    Stores { began, hosts: read.collect().await }
}

/// What becomes of the images that trueup pulled to one host.
pub struct HostImages {
    pub host: HostName,
    /// What was read, or why it could not be.
    pub store: Result<ImageStore, String>,
    /// By image id, those that are still there: what is remembered of it, and whether it may go.
    pub images: BTreeMap<Digest, (PulledImage, Result<Unneeded, Stays>)>,
    /// Those that go now.
    pub go: Vec<Unneeded>,
}

/// Judges what is stored; also remembers what is needed now, and forgets what others took away.
pub fn judge(
    world: &World,
    pass: &Pass,
    stores: Stores,
    settings: &ImageSettings,
) -> Result<Vec<HostImages>, ControlError> {
    let memory = Memory::new(&*world.store);
    let wanted = wanted(pass);
    let now = world.clock.now();
    let mut all = memory.pulled()?;
    let mut judged = Vec::new();
    for (host, store) in stores.hosts {
        let pulled = all.extract_if(.., |(on, _), _| *on == host).map(|((_, id), pulled)| (id, pulled));
        let mut pulled: BTreeMap<Digest, PulledImage> = pulled.collect();
        // A host that could not be read in full may use anything (A1).
        let used = pass.observed.engine(&host).and_then(used);
        let store = match (store, &used) {
            (Ok(_), None) => Err(format!("{host}: its containers could not all be read")),
            (store, _) => store,
        };
        let (Ok(there), Some(used)) = (&store, used) else {
            judged.push(HostImages { host, store, images: BTreeMap::new(), go: Vec::new() });
            continue;
        };
        for (id, image) in &mut pulled {
            match there.images.get(id) {
                Some(stored) if used.contains(id) || collect::is_wanted(&wanted, id, stored) => {
                    image.last_used = now;
                    memory.note_pulled(&host, id, image)?;
                }
                Some(_) => {}
                // It was pulled while this was read, or since.
                None if image.at >= stores.began => {}
                None => memory.forget_pulled(&host, id)?,
            }
        }
        let images = Images { store: there, pulled: &pulled, used: &used, wanted: &wanted, settings, now };
        let (verdicts, go) = (collect::judge(&images), collect::collect(&images));
        let images = verdicts
            .into_iter()
            .filter_map(|(id, verdict)| Some((id.clone(), (pulled.remove(&id)?, verdict))))
            .collect();
        judged.push(HostImages { host, store, images, go });
    }
    Ok(judged)
}

/// The same, for people.
pub fn told(judged: &[HostImages]) -> Vec<HostDisk> {
    let one = |judged: &HostImages| {
        let goes = |id: &Digest| judged.go.iter().any(|one| one.image == *id);
        let own = |id: &Digest| {
            let stored = judged.store.as_ref().ok().and_then(|store| store.images.get(id));
            stored.map(StoredImage::own).unwrap_or_default()
        };
        let fate = |(id, (pulled, verdict)): (&Digest, &(PulledImage, Result<Unneeded, Stays>))| ImageFate {
            image: id.clone(),
            pulled: pulled.clone(),
            own: own(id),
            stays: verdict.as_ref().err().map(Stays::words),
            goes: goes(id),
        };
        HostDisk {
            host: judged.host.clone(),
            layers: judged.store.as_ref().map(|store| store.layers).map_err(Clone::clone),
            images: judged.images.iter().map(fate).collect(),
        }
    };
    judged.iter().map(one).collect()
}

/// Images of every container, whoever's it is; `None` where one could not be read.
fn used(engine: &Engine) -> Option<BTreeSet<Digest>> {
    engine.containers.values().map(|seen| seen.known().map(|container| container.image.clone())).collect()
}

/// What declared apps may need, as declared and as resolved: of the whole fleet, and of what is enforced in parts.
fn wanted(pass: &Pass) -> BTreeSet<ImageRef> {
    let apps = pass.taken.desired.apps.values().chain(pass.desired.apps.values());
    apps.map(|app| &app.container.image).flat_map(|image| [pass.images.pin(image), image.clone()]).collect()
}

/// Takes away what goes, through the executor; how that ended. `None`: nothing goes.
pub async fn carry_out(
    world: &World,
    pass: &Pass,
    judged: &[HostImages],
    stop: &apply::Stop,
) -> Result<Option<Report>, ControlError> {
    let changes: Vec<Change> =
        judged.iter().flat_map(|host| host.go.iter().map(|one| removal(&host.host, one))).collect();
    if changes.is_empty() {
        return Ok(None);
    }
    let revision = pass.desired.revision.clone();
    let plan = Plan {
        id: Plan::id_of(&revision, &changes),
        revision,
        observed_at: pass.observed.at,
        changes,
        held: Vec::new(),
        held_id: String::new(),
        blocked: Vec::new(),
        unknown: Vec::new(),
        unmanaged: Vec::new(),
        drift: Vec::new(),
        notes: Vec::new(),
        findings: Findings::default(),
        kept_because: None,
        under_way: Vec::new(),
        waiting: BTreeSet::new(),
    };
    converge::execute_alone(world, pass, &plan, (stop, true), &forget_removed).await.map(Some)
}

fn forget_removed(world: &World, _: &Pass, report: &Report) -> Result<(), ControlError> {
    let memory = Memory::new(&*world.store);
    for (change, outcome) in &report.outcomes {
        if let (Outcome::Done | Outcome::NotNeeded { .. }, Some(host)) = (outcome, change.host()) {
            for step in &change.steps {
                if let Action::RemoveImage { image, .. } = &step.action {
                    memory.forget_pulled(host, image)?;
                }
            }
        }
    }
    Ok(())
}

fn removal(host: &HostName, one: &Unneeded) -> Change {
    let because = format!(
        "nothing needed it for {}; {} on the disk are its own",
        one.idle.to_minutes(),
        one.frees.rounded()
    );
    Change {
        action: Verb::Remove,
        subject: Subject::on_host(Kind::Image, &one.reference, host),
        app: None,
        because: vec![because],
        from: Some(ContentHash::of(one.image.as_str().as_bytes())),
        to: None,
        steps: vec![Step {
            action: Action::RemoveImage { image: one.image.clone(), names: one.names.clone() },
            expect: Expect::Anything,
        }],
        undo: Vec::new(),
        after: Vec::new(),
        destructive: false,
        interrupts: false,
    }
}

/// The loop's part: reads beside it, acts between its rounds.
#[derive(Default)]
pub struct Collector {
    began: Option<Timestamp>,
    reading: Option<JoinHandle<()>>,
    found: Arc<Mutex<Option<Stores>>>,
}

impl Collector {
    /// Begins a reading where one is due, and acts on one that is finished. What went wrong is told in the history and
    /// tried again next time: it is never worth more than a line.
    pub async fn between_rounds(
        &mut self,
        world: &World,
        pass: &Pass,
        stop: &apply::Stop,
    ) -> Result<(), ControlError> {
        let settings = world.limits.images;
        if !settings.collect || stop.is_set() {
            return Ok(());
        }
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(stores) = found {
            let judged = judge(world, pass, stores, &settings)?;
            for host in &judged {
                if let Err(why) = &host.store {
                    tracing::warn!("the images of {} are not collected: {why}", host.host);
                }
            }
            carry_out(world, pass, &judged, stop).await?;
        }
        let now = world.clock.now();
        let due = self.began.is_none_or(|began| now.since(began) >= EVERY);
        if due && self.reading.as_ref().is_none_or(JoinHandle::is_finished) {
            self.began = Some(now);
            // Who did not answer is looked at again next time, and already told as unknown.
            let (hosts, _) = hosts(world, pass)?;
            let (world, found) = (world.clone(), Arc::clone(&self.found));
            self.reading = Some(tokio::spawn(async move {
                let stores = read_hosts(&world, &hosts).await;
                *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(stores);
            }));
        }
        Ok(())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading {
            reading.abort();
        }
    }
}
