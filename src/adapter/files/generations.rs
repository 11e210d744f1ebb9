//! Generations on disk: written whole and synced, switched by renaming one symlink, so that a kill or a power cut
//! between any two writes leaves the old generation live.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::model::file::Files;
use crate::model::names::HostName;
use crate::model::secrecy::ContentHash;
use crate::ports::FilesError;

const GENERATIONS: &str = "generations";
const CURRENT: &str = "current";
/// Exists from before a switch until its reload was verified; what it says is shown as a file too many, so that the set
/// differs from what is wanted and is installed again.
const UNVERIFIED: &str = "unverified";
/// Not yet a generation, or a symlink not yet in place.
const UNFINISHED: &str = ".unfinished-";
/// Generations kept, the live one included.
const KEPT: usize = 5;
const MOST_FILES: usize = 20_000;
const MOST_BYTES: u64 = 16 << 20;

/// A set's directory.
#[derive(Debug, Clone)]
pub(super) struct Directory(PathBuf);

/// `NUMBER-HASH`, ordered by number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation {
    number: u64,
    hash: String,
}

impl Generation {
    fn parse(name: &str) -> Option<Self> {
        let (number, hash) = name.split_once('-')?;
        let sound = hash.len() == 12 && hash.bytes().all(|c| c.is_ascii_hexdigit());
        let generation = Self { number: number.parse().ok().filter(|_| sound)?, hash: hash.to_owned() };
        // One name each: no leading zeros or signs.
        (generation.name() == name).then_some(generation)
    }
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.number, self.hash)
    }
}

fn failed<T>(path: &Path, result: io::Result<T>) -> Result<T, FilesError> {
    result.map_err(|e| FilesError::Io { path: path.display().to_string(), detail: e.to_string() })
}

/// What a set may call its files: one level, nothing hidden, nothing that needs quoting.
pub(super) fn is_file_name(name: &str) -> bool {
    (1..=200).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c))
}

/// The hosts that have a directory below `directory`.
pub(super) fn host_directories(directory: &Path) -> Result<Vec<HostName>, FilesError> {
    let mut hosts: Vec<HostName> =
        names_in(directory)?.into_iter().filter_map(|name| name.parse().ok()).collect();
    hosts.sort();
    Ok(hosts)
}

/// The names in a directory; none where it is not there.
fn names_in(directory: &Path) -> Result<Vec<String>, FilesError> {
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => failed(directory, other)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(failed(directory, entry)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn current_link(&self) -> PathBuf {
        self.0.join(CURRENT)
    }

    pub(super) fn path_of(&self, generation: &Generation) -> PathBuf {
        self.0.join(GENERATIONS).join(generation.name())
    }

    /// The generation that `current` names; `None` where nothing is installed.
    pub(super) fn current(&self) -> Result<Option<Generation>, FilesError> {
        let link = self.current_link();
        let target = match fs::read_link(&link) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind() == ErrorKind::InvalidInput => {
                let detail = "it is not trueup's symlink; move it away, trueup makes its own".to_owned();
                return Err(FilesError::Io { path: link.display().to_string(), detail });
            }
            other => failed(&link, other)?,
        };
        let text = target.to_string_lossy();
        let generation =
            text.strip_prefix(GENERATIONS).and_then(|rest| Generation::parse(rest.strip_prefix('/')?));
        match generation {
            Some(generation) => Ok(Some(generation)),
            None => Err(FilesError::Io {
                path: link.display().to_string(),
                detail: format!(
                    "it points to {text:?}, which is no generation of trueup's; remove the symlink"
                ),
            }),
        }
    }

    /// What is live, as read from `current`; with one file more where its reload was never verified.
    pub(super) fn live(&self) -> Result<Option<Files>, FilesError> {
        let Some(generation) = self.current()? else { return Ok(None) };
        let path = self.path_of(&generation);
        let mut files = Files::new();
        let names = names_in(&path)?;
        if names.len() > MOST_FILES {
            let detail = format!("it has {} files, more than {MOST_FILES}", names.len());
            return Err(FilesError::Io { path: path.display().to_string(), detail });
        }
        for name in names {
            let text = read(&path.join(&name))?;
            files.insert(name, text);
        }
        let mark = self.0.join(UNVERIFIED);
        if failed(&mark, mark.try_exists())? {
            files.insert(UNVERIFIED.to_owned(), read(&mark)?);
        }
        Ok(Some(files))
    }

    /// Writes `files` as the next generation, synced; nothing is live yet. Their mtimes are newer than those of `old`
    /// by at least a second, the granularity of old Java (E3).
    pub(super) fn write(
        &self,
        files: &Files,
        hash: &ContentHash,
        old: Option<&Generation>,
    ) -> Result<Generation, FilesError> {
        let all = self.0.join(GENERATIONS);
        for dir in [&self.0, &all] {
            failed(dir, make_directory(dir))?;
        }
        self.sweep()?;
        let last = self.generations()?.last().map_or(0, |g| g.number);
        let generation = Generation { number: last + 1, hash: hash.short().to_owned() };
        let unfinished = all.join(format!("{UNFINISHED}{}", generation.name()));
        failed(&unfinished, make_directory(&unfinished))?;
        let floor = old.map(|old| self.newest_mtime(old)).transpose()?.flatten();
        for (name, text) in files {
            let path = unfinished.join(name);
            failed(&path, write_file(&path, text, floor))?;
        }
        failed(&unfinished, sync_directory(&unfinished))?;
        let path = self.path_of(&generation);
        failed(&path, fs::rename(&unfinished, &path).and_then(|()| sync_directory(&all)))?;
        Ok(generation)
    }

    pub(super) fn mark_unverified(&self, new: &Generation) -> Result<(), FilesError> {
        let path = self.0.join(UNVERIFIED);
        let text = format!("generation {} was made live and its reload was never seen to work\n", new.name());
        failed(&path, write_file(&path, &text, None).and_then(|()| sync_directory(&self.0)))
    }

    /// Makes `generation` live, or nothing at all.
    pub(super) fn point_at(&self, generation: Option<&Generation>) -> Result<(), FilesError> {
        let link = self.current_link();
        let Some(generation) = generation else {
            return failed(&link, remove_if_there(&link).and_then(|()| sync_directory(&self.0)));
        };
        let next = self.0.join(format!("{UNFINISHED}{CURRENT}"));
        let target = Path::new(GENERATIONS).join(generation.name());
        let switched = remove_if_there(&next)
            .and_then(|()| symlink(target, &next))
            .and_then(|()| fs::rename(&next, &link))
            .and_then(|()| sync_directory(&self.0));
        failed(&link, switched)
    }

    /// Puts `old` back; its mtimes move on, since a reader that polls has seen newer ones (E3).
    pub(super) fn restore(&self, old: Option<&Generation>) -> Result<(), FilesError> {
        if let (Some(old), Some(new)) = (old, self.current()?) {
            let floor = self.newest_mtime(&new)?;
            let path = self.path_of(old);
            for name in names_in(&path)? {
                let file = path.join(name);
                failed(
                    &file,
                    File::options().append(true).open(&file).and_then(|f| move_forward(&f, floor)),
                )?;
            }
        }
        self.point_at(old)
    }

    /// The reader serves `live`: the mark goes, and so do old generations.
    pub(super) fn verified(&self, live: &Generation) -> Result<(), FilesError> {
        self.unmark()?;
        let mut generations = self.generations()?;
        generations.retain(|g| g != live);
        let surplus = generations.len().saturating_sub(KEPT - 1);
        for old in &generations[..surplus] {
            self.remove(old)?;
        }
        Ok(())
    }

    /// The reader is back at `old`, and `new` goes.
    pub(super) fn verified_old(&self, old: Option<&Generation>, new: &Generation) -> Result<(), FilesError> {
        self.unmark()?;
        if old != Some(new) { self.discard(new) } else { Ok(()) }
    }

    /// Removes a candidate that never became live.
    pub(super) fn discard(&self, candidate: &Generation) -> Result<(), FilesError> {
        self.remove(candidate)
    }

    fn remove(&self, generation: &Generation) -> Result<(), FilesError> {
        let path = self.path_of(generation);
        failed(&path, fs::remove_dir_all(&path))
    }

    fn unmark(&self) -> Result<(), FilesError> {
        let mark = self.0.join(UNVERIFIED);
        failed(&mark, remove_if_there(&mark).and_then(|()| sync_directory(&self.0)))
    }

    /// Oldest first.
    fn generations(&self) -> Result<Vec<Generation>, FilesError> {
        let mut all: Vec<Generation> =
            names_in(&self.0.join(GENERATIONS))?.iter().filter_map(|name| Generation::parse(name)).collect();
        all.sort();
        Ok(all)
    }

    /// What an interrupted write left behind.
    fn sweep(&self) -> Result<(), FilesError> {
        let all = self.0.join(GENERATIONS);
        for name in names_in(&all)?.iter().filter(|name| name.starts_with(UNFINISHED)) {
            let path = all.join(name);
            failed(&path, fs::remove_dir_all(&path))?;
        }
        Ok(())
    }

    fn newest_mtime(&self, generation: &Generation) -> Result<Option<SystemTime>, FilesError> {
        let path = self.path_of(generation);
        let mut newest = None;
        for name in names_in(&path)? {
            let file = path.join(name);
            let modified = failed(&file, fs::symlink_metadata(&file).and_then(|m| m.modified()))?;
            newest = newest.max(Some(modified));
        }
        Ok(newest)
    }
}

/// A file's text. What is no plain file, is too big or is not UTF-8 reads as what it is, so that it shows as drift.
fn read(path: &Path) -> Result<String, FilesError> {
    let meta = failed(path, fs::symlink_metadata(path))?;
    if !meta.is_file() {
        return Ok("(not a plain file)\n".to_owned());
    }
    let mut bytes = Vec::new();
    failed(path, File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes)))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Ok(format!("(more than {MOST_BYTES} bytes)\n"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A directory that is there keeps the permissions that its maker gave it; a new one is readable whatever the umask.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

fn write_file(path: &Path, text: &str, floor: Option<SystemTime>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)?;
    // Whatever the umask says: the reader is another user.
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    move_forward(&file, floor)?;
    file.sync_all()
}

/// Where the mtime is not at least a second after `floor`, it becomes that.
fn move_forward(file: &File, floor: Option<SystemTime>) -> io::Result<()> {
    let Some(least) = floor.map(|floor| floor + Duration::from_secs(1)) else { return Ok(()) };
    if file.metadata()?.modified()? < least { file.set_modified(least) } else { Ok(()) }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
