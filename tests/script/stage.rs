//! The stage of a scenario: the simulated world, the files of the next commit, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trueup::control::World;
use trueup::model::image::ImageRef;
use trueup::model::names::HostName;
use trueup::model::permission::{Mode, PermissionSettings, PublicKey, Signature, Signer};
use trueup::model::secrecy::HashKey;
use trueup::model::settings::Limits;
use trueup::model::units::TimeSpan;
use trueup::ports::{Quiet, WriterGuard};
use trueup::sim::{
    Behaviour, Fault, FilesFaults, SimClock, SimFiles, SimRepository, SimSandbox, SimStore, SimWorld,
};

use super::Fleets;
use super::masks::Masks;
use super::words;

/// What a command printed, or why it cannot be played.
pub type Printed = Result<String, String>;

pub struct Stage<'a> {
    fleets: &'a Fleets,
    /// The files of the next commit.
    files: BTreeMap<String, String>,
    pub sim: SimWorld,
    repository: Arc<SimRepository>,
    nginx: Arc<SimFiles>,
    faults: FilesFaults,
    /// Images that no registry has.
    lacking: BTreeSet<String>,
    pub world: World,
    pub masks: Masks,
    /// Plans saved by `trueup plan --out NAME`.
    pub saved: BTreeMap<String, trueup::model::plan::Plan>,
    /// Another trueup that is the writer.
    other: Option<Box<dyn WriterGuard>>,
}

impl<'a> Stage<'a> {
    pub fn new(fleets: &'a Fleets) -> Self {
        let key = HashKey::new([7; 32]);
        let sim = SimWorld::new(key.clone(), 1);
        let repository = Arc::new(SimRepository::default());
        let nginx = Arc::new(SimFiles::default());
        let world = World {
            engines: sim.engines(),
            repository: repository.clone(),
            source: "simulated".into(),
            files: nginx.clone(),
            store: Arc::new(SimStore::default()),
            sandbox: Arc::new(SimSandbox::default()),
            clock: Arc::new(SimClock::default()),
            progress: Arc::new(Quiet),
            installation: "scenario".into(),
            key,
            limits: Limits::default(),
            call_deadline: TimeSpan::from_secs(20),
            pull_deadline: TimeSpan::from_secs(60),
            permission: Default::default(),
            policy: Default::default(),
            environments: None,
            revision: None,
        };
        Self {
            fleets,
            files: BTreeMap::new(),
            sim,
            repository,
            nginx,
            faults: FilesFaults::default(),
            lacking: BTreeSet::new(),
            world,
            masks: Masks::default(),
            saved: BTreeMap::new(),
            other: None,
        }
    }

    /// Carries one command out.
    pub async fn command(&mut self, line: &str, body: &[String]) -> Printed {
        let words = words::split(line)?;
        let words: Vec<String> = words.iter().map(|word| self.masks.show(word)).collect();
        let known: Vec<&str> = words.iter().map(String::as_str).collect();
        if !body.is_empty() && known.first() != Some(&"write") {
            return Err(format!("`{line}` takes no body"));
        }
        let printed = match known.as_slice() {
            ["trueup", ..] => self.operator(words[1..].to_vec()).await?,
            ["docker", "ps"] => self.docker_ps(),
            ["clock"] => format!("{}\n", self.world.clock.now()),
            ["wait", span] => {
                self.world.clock.sleep(parse::<TimeSpan>(span)?.duration()).await;
                format!("it is {}\n", self.world.clock.now())
            }
            ["swarm", name, rest @ ..] => self.on_swarm(name.trim_end_matches(':'), rest)?,
            [host, rest @ ..] if host.ends_with(':') => self.on_host(host.trim_end_matches(':'), rest)?,
            ["image", image, rest @ ..] => self.image(image, rest)?,
            ["nginx" | "flume", rest @ ..] => self.nginx(rest).await?,
            ["permission", "is", "branch"] => {
                self.world.permission = PermissionSettings::default();
                String::new()
            }
            ["permission", "is", "signed", "by", names @ ..] => {
                let signers = names.iter().map(|name| signer(name)).collect::<Result<_, _>>()?;
                let usual = PermissionSettings::default();
                self.world.permission = PermissionSettings { mode: Mode::Signed, signers, ..usual };
                String::new()
            }
            ["another", "trueup", "runs"] => self.another(true)?,
            ["another", "trueup", "ends"] => self.another(false)?,
            ["the", "state", "file", "is", "lost"] => {
                self.world.store = Arc::new(SimStore::default());
                String::new()
            }
            _ => self.repository(&known, body)?,
        };
        Ok(self.masks.hide(&printed))
    }

    fn repository(&mut self, words: &[&str], body: &[String]) -> Printed {
        match words {
            ["fleet", name] => {
                let files = self.fleets.get(*name).ok_or_else(|| format!("there is no fleet {name}"))?;
                self.files.clone_from(files);
            }
            ["write", path] => {
                self.files.insert((*path).to_owned(), body.iter().map(|line| format!("{line}\n")).collect());
            }
            ["edit", path, old, "->", new] => {
                let text = self.files.get_mut(*path).ok_or_else(|| format!("there is no file {path}"))?;
                if text.matches(old).count() != 1 {
                    return Err(format!("{path} has {old:?} {} times, not once", text.matches(old).count()));
                }
                *text = text.replace(old, new);
            }
            ["delete", path] => {
                let before = self.files.len();
                self.files.retain(|file, _| file != path && !file.starts_with(&format!("{path}/")));
                if self.files.len() == before {
                    return Err(format!("there is no file {path}"));
                }
            }
            ["commit", message] => {
                self.images_of_files()?;
                let revision = self.repository.commit_as(&self.files, message);
                return Ok(format!("{}\n", self.masks.revision(&revision)));
            }
            ["commit", message, "signed", "by", name] => {
                self.images_of_files()?;
                let signature = Signature::By(signer(name)?.key);
                let revision = self.repository.commit_signed(&self.files, message, signature);
                return Ok(format!("{}\n", self.masks.revision(&revision)));
            }
            ["force-push", message] => {
                self.images_of_files()?;
                let revision = self.repository.force_push(&self.files, message);
                return Ok(format!("{}\n", self.masks.revision(&revision)));
            }
            ["git", "is", "down"] => self.repository.set_unreachable(true),
            ["git", "is", "back"] => self.repository.set_unreachable(false),
            ["git", "loses", revision] => {
                self.repository.set_lost(&trueup::model::names::Revision::new((*revision).to_owned()), true);
            }
            ["git", "finds", revision] => {
                self.repository.set_lost(&trueup::model::names::Revision::new((*revision).to_owned()), false);
            }
            _ => return Err(format!("there is no such command: {}", words.join(" "))),
        }
        Ok(String::new())
    }

    /// Registries have every image that a commit names, but those said to be lacking.
    fn images_of_files(&self) -> Result<(), String> {
        for line in self.files.values().flat_map(|text| text.lines()) {
            let image = line.strip_prefix("image = \"").and_then(|rest| rest.strip_suffix('"'));
            // What is no image is the commit's own error, and told by trueup.
            if let Some(image) = image.filter(|image| !self.lacking.contains(*image))
                && let Ok(image) = image.parse::<ImageRef>()
            {
                self.sim.add_image_everywhere(&image);
            }
        }
        Ok(())
    }

    fn image(&mut self, image: &str, words: &[&str]) -> Printed {
        let parsed: ImageRef = parse(image)?;
        let behaviour = match words {
            ["is", "nowhere"] => {
                self.lacking.insert(image.to_owned());
                return Ok(String::new());
            }
            ["is", "in", "the", "registry"] => {
                self.lacking.remove(image);
                self.sim.add_image_everywhere(&parsed);
                return Ok(String::new());
            }
            ["is", "well"] => None,
            ["is", "unhealthy", said] => Some(Behaviour::Unhealthy((*said).to_owned())),
            ["exits", "with", code] => Some(Behaviour::Exits(parse(code)?)),
            _ => return Err(format!("there is no such image command: {}", words.join(" "))),
        };
        self.sim.add_image_everywhere(&parsed);
        self.sim.set_behaviour(&parsed, behaviour);
        Ok(String::new())
    }

    async fn nginx(&mut self, words: &[&str]) -> Printed {
        match words {
            ["refuses", file, why] => {
                self.faults.refused.insert((*file).to_owned(), (*why).to_owned());
            }
            ["accepts", "everything"] => self.faults.refused.clear(),
            ["fails", "to", "reload", why] => self.faults.reload = Some((*why).to_owned()),
            ["reloads", "again"] => self.faults.reload = None,
            ["directory", "cannot", "be", "read", why] => self.faults.unreadable = Some((*why).to_owned()),
            ["directory", "can", "be", "read"] => self.faults.unreadable = None,
            ["shows", file] => {
                let sets = self.world.files.installed().await.map_err(|e| e.to_string())?;
                let named = |set: &str, name: &str| file == &name || *file == format!("{set}/{name}");
                let mut all = sets.iter().flat_map(|(set, files)| {
                    files.iter().flatten().map(move |(name, text)| (set.to_string(), name, text))
                });
                let text = all.find(|(set, name, _)| named(set, name)).map(|(_, _, text)| text);
                return Ok(text.cloned().unwrap_or_else(|| format!("there is no {file}\n")));
            }
            _ => return Err(format!("there is no such nginx command: {}", words.join(" "))),
        }
        self.nginx.set_faults(self.faults.clone());
        Ok(String::new())
    }

    fn another(&mut self, runs: bool) -> Printed {
        self.other = None;
        if runs {
            let who = "trueup run, process 4711, since 2023-11-14T20:00:00Z";
            self.other = Some(self.world.store.become_writer(who).map_err(|held| held.to_string())?);
        }
        Ok(String::new())
    }

    fn on_host(&mut self, host: &str, words: &[&str]) -> Printed {
        let host: HostName = parse(host)?;
        let fault = |fault| {
            self.sim.set_fault(&host, fault);
            Ok(String::new())
        };
        let effect = |words: &[&str]| match words {
            ["before", "its", "effect"] => Ok(false),
            ["after", "its", "effect"] => Ok(true),
            _ => Err("is it before its effect or after its effect?".to_owned()),
        };
        match words {
            ["leaves", "the", "swarm"] => {
                self.sim.leave_swarm(&host);
                Ok(String::new())
            }
            ["joins", "the", "swarm", name] => self.sim.join_swarm(name, &host).map(|()| String::new()),
            ["is", "down"] => fault(Some(Fault::Down)),
            ["refuses", "trueup"] => fault(Some(Fault::Flaky(100))),
            ["hangs"] => fault(Some(Fault::Hung)),
            ["is", "back"] => fault(None),
            ["cuts", "the", "connection", "at", "mutation", number, rest @ .., "for", span] => {
                self.sim.set_away_for(&host, Some(parse::<TimeSpan>(span)?.duration()));
                fault(Some(Fault::Cut { mutations: parse(number)?, after_effect: effect(rest)? }))
            }
            ["cuts", "the", "connection", "at", "mutation", number, rest @ ..] => {
                fault(Some(Fault::Cut { mutations: parse(number)?, after_effect: effect(rest)? }))
            }
            ["trueup", "is", "killed", "at", "mutation", number, rest @ ..] => {
                fault(Some(Fault::Kill { mutations: parse(number)?, after_effect: effect(rest)? }))
            }
            ["answers", "after", span] => {
                self.sim.set_host_latency(&host, parse::<TimeSpan>(span)?.duration());
                Ok(String::new())
            }
            ["cannot", "inspect", containers @ ..] => {
                let names: Result<_, String> = containers.iter().map(|name| parse(name)).collect();
                self.sim.set_unreadable(&host, names?);
                Ok(String::new())
            }
            ["can", "inspect", "everything"] => {
                self.sim.set_unreadable(&host, BTreeSet::new());
                Ok(String::new())
            }
            _ => self.by_hand(&host, words),
        }
    }
}

/// A person with a key of their own, which signs for git.
fn signer(name: &str) -> Result<Signer, String> {
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend(name.bytes().chain(std::iter::repeat(0)).take(32));
    let key = PublicKey::from_blob(&blob).map_err(|e| e.to_string())?;
    let principals = format!("{name}@example.org");
    Ok(Signer { principals, key, valid_after: None, valid_before: None, for_git: true })
}

/// A value of the model from its text.
pub fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e: T::Err| format!("{text}: {e}"))
}
