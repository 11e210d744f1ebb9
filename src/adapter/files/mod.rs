//! Directories of generated files (E1): a whole generation is written, checked with the real program, made live by one
//! symlink, the reader is told, and what it serves is verified; else the old generation comes back.
//!
//! ```text
//! DIR/generations/7-1f0c…/quote-prod.conf     (Flume: DIR/HOST/generations/…)
//! DIR/current -> generations/7-1f0c…          (what the reader includes)
//! DIR/unverified                              (only between the switch and the verified reload)
//! ```

mod candidate;
mod generations;
mod reload;

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::model::file::{FileSet, Files, hash_of};
use crate::model::settings::FileSetSettings;
use crate::ports::{FileSets, FilesError};
use crate::render::flume;
use candidate::{Refusal, Trouble};
use generations::{Directory, Generation};
use reload::Reloader;

pub use candidate::file_at_fault;

/// The sets under the configured directories; a kind without settings is not wanted.
pub struct DirectoryFileSets {
    nginx: Option<FileSetSettings>,
    flume: Option<FileSetSettings>,
    /// One installation at a time: two reloads at once could not be told apart.
    turn: tokio::sync::Mutex<()>,
}

impl DirectoryFileSets {
    /// `flume`'s directory gets one directory for each host.
    pub fn new(nginx: Option<FileSetSettings>, flume: Option<FileSetSettings>) -> Self {
        Self { nginx, flume, turn: tokio::sync::Mutex::new(()) }
    }

    fn settings(&self, set: &FileSet) -> Option<&FileSetSettings> {
        match set {
            FileSet::Nginx => self.nginx.as_ref(),
            FileSet::Flume(_) => self.flume.as_ref(),
        }
    }

    fn configured(&self, set: &FileSet) -> Result<(&FileSetSettings, Directory), FilesError> {
        let settings = self.settings(set).ok_or_else(|| FilesError::Io {
            path: set.to_string(),
            detail: "no directory is configured for this kind of file in trueup's own settings".to_owned(),
        })?;
        Ok((settings, Directory::new(directory_of(settings, set))))
    }
}

fn directory_of(settings: &FileSetSettings, set: &FileSet) -> PathBuf {
    match set {
        FileSet::Nginx => settings.directory.clone(),
        FileSet::Flume(host) => settings.directory.join(host.as_str()),
    }
}

/// File systems block; they do it on threads of their own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FilesError> + Send + 'static,
) -> Result<T, FilesError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| FilesError::Io {
        path: String::new(),
        detail: format!("the work on it was cut off: {e}"),
    })?
}

#[async_trait]
impl FileSets for DirectoryFileSets {
    fn wants(&self, set: &FileSet) -> bool {
        self.settings(set).is_some()
    }

    async fn installed(&self) -> Result<BTreeMap<FileSet, Option<Files>>, FilesError> {
        let (nginx, flume) = (self.nginx.clone(), self.flume.clone());
        blocking(move || {
            let mut sets = BTreeMap::new();
            if let Some(settings) = nginx {
                sets.insert(FileSet::Nginx, Directory::new(settings.directory).live()?);
            }
            if let Some(settings) = flume {
                for host in generations::host_directories(&settings.directory)? {
                    let live = Directory::new(settings.directory.join(host.as_str())).live()?;
                    if live.is_some() {
                        sets.insert(FileSet::Flume(host), live);
                    }
                }
            }
            Ok(sets)
        })
        .await
    }

    async fn install(&self, set: &FileSet, files: &Files) -> Result<(), FilesError> {
        let _turn = self.turn.lock().await;
        let (settings, directory) = self.configured(set)?;
        own_check(set, files)?;
        if files.is_empty() && matches!(set, FileSet::Flume(_)) {
            return remove(set, settings, directory).await;
        }
        let mut quarantine = Quarantine { wanted: files.clone(), refusals: Vec::new() };
        loop {
            let (old, written) = write(&directory, &quarantine.wanted).await?;
            match candidate::check(set, settings, &directory, &written, &quarantine.wanted).await {
                Ok(()) => {
                    self.switch(set, settings, directory, old, written).await?;
                    return quarantine.told(set, "every other file is installed");
                }
                Err(trouble) => {
                    let to = directory.clone();
                    let live = blocking(move || to.discard(&written).and_then(|()| to.live())).await?;
                    let refusal = match trouble {
                        Trouble::Files(error) => return Err(error),
                        Trouble::Refused(refusal) => refusal,
                    };
                    if !quarantine.set_apart(refusal, live.as_ref()) {
                        return quarantine.told(set, "the old files stay");
                    }
                }
            }
        }
    }

    async fn drained(&self, set: &FileSet) -> bool {
        match self.settings(set) {
            Some(settings) => Reloader::new(set, settings).drained().await,
            None => false,
        }
    }
}

/// Files at fault are set apart by name, and the others go on (E1).
struct Quarantine {
    /// What is still to be installed: a file at fault has its live text here, or is not in it.
    wanted: Files,
    refusals: Vec<Refusal>,
}

/// More refusals than this mean that the fault is elsewhere.
const MOST_REFUSALS: usize = 20;

impl Quarantine {
    /// `false` where nothing is left to try: no file was named, the live text is at fault as well, or what would be
    /// installed is what is live.
    fn set_apart(&mut self, refusal: Refusal, live: Option<&Files>) -> bool {
        let fault = refusal.fault.clone();
        self.refusals.push(refusal);
        let Some(name) = fault.filter(|_| self.refusals.len() <= MOST_REFUSALS) else { return false };
        let old = live.and_then(|live| live.get(&name));
        if old.is_some() && old == self.wanted.get(&name) {
            return false;
        }
        match old {
            Some(text) => self.wanted.insert(name, text.clone()),
            None => self.wanted.remove(&name),
        };
        // Without anything live, only what is not empty is worth a reload.
        live.map_or(!self.wanted.is_empty(), |live| live != &self.wanted)
    }

    fn told(self, set: &FileSet, rest: &str) -> Result<(), FilesError> {
        let Some(command) = self.refusals.first().map(|refusal| refusal.command.clone()) else {
            return Ok(());
        };
        let details: Vec<String> = self.refusals.into_iter().map(|refusal| refusal.detail).collect();
        Err(FilesError::Check {
            set: set.clone(),
            command,
            detail: format!("{}; {rest}", details.join("; ")),
        })
    }
}

/// Writes the next generation; also says which one is live.
async fn write(directory: &Directory, files: &Files) -> Result<(Option<Generation>, Generation), FilesError> {
    let (directory, files) = (directory.clone(), files.clone());
    blocking(move || {
        let old = directory.current()?;
        let new = directory.write(&files, &hash_of(&files), old.as_ref())?;
        Ok((old, new))
    })
    .await
}

impl DirectoryFileSets {
    /// Makes a checked candidate live, or puts the old generation back.
    async fn switch(
        &self,
        set: &FileSet,
        settings: &FileSetSettings,
        directory: Directory,
        old: Option<Generation>,
        new: Generation,
    ) -> Result<(), FilesError> {
        let reloader = Reloader::new(set, settings);
        let failed = match reloader.before().await {
            Ok(before) => {
                let (d, n) = (directory.clone(), new.clone());
                blocking(move || d.mark_unverified(&n).and_then(|()| d.point_at(Some(&n)))).await?;
                match reloader.reload(&before).await {
                    Ok(()) => {
                        return blocking(move || directory.verified(&new)).await;
                    }
                    Err(why) => why,
                }
            }
            // Nobody could be told; nothing was switched.
            Err(why) => {
                blocking(move || directory.discard(&new)).await?;
                return Err(FilesError::Reload { set: set.clone(), detail: why });
            }
        };
        let (d, o) = (directory.clone(), old.clone());
        blocking(move || d.restore(o.as_ref())).await?;
        let back = match reloader.before().await {
            Ok(before) => reloader.reload(&before).await,
            Err(why) => Err(why),
        };
        let detail = match back {
            Ok(()) => {
                blocking(move || directory.verified_old(old.as_ref(), &new)).await?;
                failed
            }
            // The mark stays, so that the set counts as different until a reload was seen to work.
            Err(again) => format!("{failed}; telling the reader to go back failed as well: {again}"),
        };
        Err(FilesError::Reload { set: set.clone(), detail })
    }
}

/// A Flume agent without files is no set. Flume itself keeps what it has when its file goes; stopping the agent is its
/// operator's, or the reload command's.
async fn remove(set: &FileSet, settings: &FileSetSettings, directory: Directory) -> Result<(), FilesError> {
    blocking(move || directory.point_at(None)).await?;
    let reloader = Reloader::new(set, settings);
    let told = match reloader.before().await {
        Ok(before) => reloader.reload(&before).await,
        Err(why) => Err(why),
    };
    told.map_err(|detail| FilesError::Reload {
        set: set.clone(),
        detail: format!("{detail} (the files are gone all the same)"),
    })
}

/// trueup's own check, which needs no program (E3).
fn own_check(set: &FileSet, files: &Files) -> Result<(), FilesError> {
    let refused = |detail: String| FilesError::Check {
        set: set.clone(),
        command: "trueup's own check".to_owned(),
        detail,
    };
    for name in files.keys() {
        if !generations::is_file_name(name) {
            return Err(refused(format!("{name:?} is not a plain file name")));
        }
    }
    match set {
        FileSet::Nginx => Ok(()),
        FileSet::Flume(_) => files.iter().try_for_each(|(name, text)| {
            flume::check(text).map_err(|errors| refused(format!("{name}: {}", errors.join("; "))))
        }),
    }
}

#[cfg(test)]
mod tests;
