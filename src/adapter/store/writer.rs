//! The one writer (D10): an OS lock on `writer.lock`, which ends with the process however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::adapter::clock::SystemClock;
use crate::ports::{Clock as _, WriterGuard, WriterHeld};

const FILE: &str = "writer.lock";

/// The lock, held while this lives. The file stays: its text is only read while someone holds the lock.
pub(super) struct Writer {
    _file: File,
}

impl WriterGuard for Writer {}

/// Takes the lock for `who` (a command), or says who has it.
pub(super) fn acquire(dir: &Path, who: &str) -> Result<Writer, WriterHeld> {
    let path = dir.join(FILE);
    let failed = |what: &str, e: &dyn std::fmt::Display| WriterHeld {
        holder: format!("nobody can tell, since {} cannot be {what}: {e}", path.display()),
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|e| failed("opened", &e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Whatever can be read is only for people.
            let _ = file.take(1000).read_to_string(&mut holder);
            let holder = holder.trim();
            let holder = if holder.is_empty() { "it has not said who it is yet" } else { holder };
            return Err(WriterHeld { holder: holder.to_owned() });
        }
        Err(TryLockError::Error(e)) => return Err(failed("locked", &e)),
    }
    let text = format!("{who}, process {}, since {}\n", std::process::id(), SystemClock.now());
    let written = file
        .set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| file.write_all(text.as_bytes()));
    written.map_err(|e| failed("written", &e))?;
    Ok(Writer { _file: file })
}
