//! Objects of the repository, each looked through before libgit2 reads it: a loose object whose zlib stream is cut
//! (a full disk, a crash) makes libgit2 1.9 inflate nothing for ever, on a thread that nobody can end (A2, D6).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::{Decompress, FlushDecompress, Status};
use git2::{Commit, Error, ErrorClass, ErrorCode, ObjectType, Odb, Oid, Repository, Tree};

/// Directories that borrow objects from each other; git follows five of them as well.
const MOST_ALTERNATES: usize = 8;
/// Most objects of a config repository are smaller.
const PIECE: usize = 8 << 10;
/// A message of a megabyte is no message.
const LARGEST_COMMIT: usize = 1 << 20;

pub(super) struct Objects {
    repository: Repository,
    /// Where loose objects lie, by the first two digits of their names: in the repository's own directory, then in those it
    /// borrows from. As they were when it was opened, which is for one question: git makes a directory with its first object,
    /// and a packed repository has few.
    directories: BTreeMap<String, Vec<PathBuf>>,
    /// What was found whole; a tree that many commits share is looked through once.
    whole: RefCell<BTreeSet<Oid>>,
}

impl Objects {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let repository = Repository::open(path)?;
        let directories = by_digits(&with_alternates(repository.commondir().join("objects")))
            .map_err(|why| Error::new(ErrorCode::GenericError, ErrorClass::Os, why))?;
        Ok(Self { repository, directories, whole: RefCell::default() })
    }

    /// For references and for writing; an object is read through the methods below.
    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(super) fn commit(&self, id: Oid) -> Result<Commit<'_>, Error> {
        self.check(id)?;
        self.repository.find_commit(id).map_err(|e| naming(id, &e))
    }

    /// A commit's own bytes, held to its name: neither replaced nor grafted.
    pub(super) fn raw_commit(&self, id: Oid) -> Result<Vec<u8>, Error> {
        self.check(id)?;
        let odb = self.odb()?;
        let (size, kind) = odb.read_header(id).map_err(|e| naming(id, &e))?;
        let wrong = |message: String| Error::new(ErrorCode::Invalid, ErrorClass::Object, message);
        if kind != ObjectType::Commit {
            return Err(wrong(format!("object {id} is a {kind} and no commit")));
        }
        if size > LARGEST_COMMIT {
            return Err(wrong(format!("commit {id} has {size} bytes; the limit is {LARGEST_COMMIT}")));
        }
        let object = odb.read(id).map_err(|e| naming(id, &e))?;
        if Oid::hash_object(ObjectType::Commit, object.data())? != id {
            return Err(wrong(format!(
                "commit {id} is not what its name says; fetch it anew from another clone"
            )));
        }
        Ok(object.data().to_vec())
    }

    pub(super) fn tree(&self, id: Oid) -> Result<Tree<'_>, Error> {
        self.check(id)?;
        self.repository.find_tree(id).map_err(|e| naming(id, &e))
    }

    /// The commit itself, or what an annotated tag stands for.
    pub(super) fn peel(&self, mut id: Oid) -> Result<Oid, Error> {
        loop {
            self.check(id)?;
            let (_, kind) = self.odb()?.read_header(id).map_err(|e| naming(id, &e))?;
            match kind {
                ObjectType::Commit => return Ok(id),
                ObjectType::Tag => {
                    id = self.repository.find_tag(id).map_err(|e| naming(id, &e))?.target_id();
                }
                ObjectType::Tree | ObjectType::Blob | ObjectType::Any => {
                    let message = format!("object {id} is a {kind} and no commit");
                    return Err(Error::new(ErrorCode::InvalidSpec, ErrorClass::Object, message));
                }
            }
        }
    }

    /// A file's bytes, or its size where that is over the limit: such a file is never loaded.
    pub(super) fn blob(&self, id: Oid, limit: usize) -> Result<Result<Vec<u8>, usize>, Error> {
        let odb = self.odb()?;
        let (size, _) = odb.read_header(id).map_err(|e| naming(id, &e))?;
        if size > limit {
            return Ok(Err(size));
        }
        self.check(id)?;
        let object = odb.read(id).map_err(|e| naming(id, &e))?;
        Ok(Ok(object.data().to_vec()))
    }

    pub(super) fn odb(&self) -> Result<Odb<'_>, Error> {
        self.repository.odb()
    }

    /// Refuses a damaged loose object. One that is packed has no file of its own, and libgit2 reads packs with care.
    fn check(&self, id: Oid) -> Result<(), Error> {
        if self.whole.borrow().contains(&id) {
            return Ok(());
        }
        let hex = id.to_string();
        let (first, rest) = hex.split_at(2);
        for directory in self.directories.get(first).into_iter().flatten() {
            check_file(&directory.join(rest)).map_err(|why| {
                let message = format!("object {id} is damaged: {why}; fetch it anew from another clone");
                Error::new(ErrorCode::Invalid, ErrorClass::Odb, message)
            })?;
        }
        self.whole.borrow_mut().insert(id);
        Ok(())
    }

    /// Looks through every loose object that is the repository's own: few in a mirror, whose fetches are packed.
    pub(super) fn check_all(path: &Path) -> Result<(), String> {
        let listed = |path: &Path| match std::fs::read_dir(path) {
            Ok(entries) => {
                entries.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())
            }
            Err(error) => Err(format!("{}: {error}", path.display())),
        };
        let hex = |path: &Path, length: usize| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            name.len() == length && name.iter().all(u8::is_ascii_hexdigit)
        };
        for directory in listed(&path.join("objects"))?.iter().filter(|path| hex(path, 2)) {
            for file in listed(directory)?.iter().filter(|path| hex(path, 38)) {
                check_file(file)?;
            }
        }
        Ok(())
    }
}

/// libgit2 does not always say which object it could not read.
fn naming(id: Oid, error: &Error) -> Error {
    if error.message().contains(&id.to_string()) {
        return Error::new(error.code(), error.class(), error.message());
    }
    Error::new(error.code(), error.class(), format!("object {id}: {}", error.message()))
}

/// A file that is not there is nothing to complain of.
fn check_file(path: &Path) -> Result<(), String> {
    let told = |e: std::io::Error| format!("{}: {e}", path.display());
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(told(error)),
        Ok(file) if is_whole(&file).map_err(told)? => Ok(()),
        Ok(_) => Err(format!("{} is cut or is not a zlib stream", path.display())),
    }
}

/// Whether a zlib stream ends where it says. Nothing is kept, whatever it inflates to.
fn is_whole(mut file: impl Read) -> std::io::Result<bool> {
    let mut stream = Decompress::new(true);
    let (mut piece, mut thrown_away) = ([0; PIECE], [0; PIECE]);
    let mut waiting: &[u8] = &[];
    loop {
        if waiting.is_empty() {
            let read = file.read(&mut piece)?;
            if read == 0 {
                return Ok(false);
            }
            waiting = piece.get(..read).unwrap_or_default();
        }
        let before = (stream.total_in(), stream.total_out());
        match stream.decompress(waiting, &mut thrown_away, FlushDecompress::None) {
            Ok(Status::StreamEnd) => return Ok(true),
            Err(_) => return Ok(false),
            Ok(Status::Ok | Status::BufError) => {}
        }
        let used = usize::try_from(stream.total_in() - before.0).unwrap_or(usize::MAX);
        if used == 0 && stream.total_out() == before.1 {
            return Ok(false);
        }
        waiting = waiting.get(used..).unwrap_or_default();
    }
}

/// Directories of loose objects, by their names of two digits. One that is not there has none.
fn by_digits(directories: &[PathBuf]) -> Result<BTreeMap<String, Vec<PathBuf>>, String> {
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for directory in directories {
        let told = |e: std::io::Error| format!("{}: {e}", directory.display());
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(told(error)),
        };
        for entry in entries {
            let name = entry.map_err(told)?.file_name();
            if let Some(digits) = name.to_str().filter(|name| name.len() == 2) {
                found.entry(digits.to_owned()).or_default().push(directory.join(digits));
            }
        }
    }
    Ok(found)
}

/// The directory and those named in `info/alternates`, as git follows them.
fn with_alternates(objects: PathBuf) -> Vec<PathBuf> {
    let mut found = vec![objects];
    let mut at = 0;
    while let Some(directory) = found.get(at).cloned() {
        at += 1;
        let text = std::fs::read_to_string(directory.join("info/alternates")).unwrap_or_default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let other = directory.join(line);
            if found.len() < MOST_ALTERNATES && !found.contains(&other) {
                found.push(other);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_stream_is_whole_only_with_its_last_byte() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        let text: Vec<u8> =
            (0..300_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        encoder.write_all(&text).expect("memory");
        let stream = encoder.finish().expect("memory");
        assert!(stream.len() > 2 * PIECE, "more than one piece is read");
        assert!(is_whole(&stream[..]).expect("memory"));
        for cut in [0, 1, 2, 10, PIECE - 1, PIECE, PIECE + 1, stream.len() / 2, stream.len() - 1] {
            assert!(!is_whole(&stream[..cut]).expect("memory"), "cut at {cut}");
        }
        assert!(!is_whole(&b"garbage"[..]).expect("memory"));
    }
}
