//! Opening the state file: permissions, schema, and what to do with a damaged one.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::writer;
use crate::ports::StoreError;

pub(super) const FILE: &str = "trueup.db";

/// What brings schema N to N + 1. Released ones are never edited: a change is a new one at the end.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE records (kind TEXT NOT NULL, key TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (kind, key))
        WITHOUT ROWID;
    CREATE TABLE intents (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, plan TEXT NOT NULL, host TEXT,
        subject TEXT NOT NULL, step TEXT NOT NULL, settled_at INTEGER, outcome TEXT);
    CREATE INDEX intents_unsettled ON intents (id) WHERE settled_at IS NULL;
    CREATE TABLE history (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, revision TEXT,
        what TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL);
"];

/// Settled intents and history entries kept; older ones are dropped at the next opening.
const KEPT: i64 = 100_000;

/// How long another process is waited for, and how often it is looked whether it is done.
const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(20);

enum Failure {
    /// The file is not a sound database.
    Damaged(String),
    /// Anything else: no space, no permission, a newer schema.
    Other(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        if is_damaged(&error) { Self::Damaged(error.to_string()) } else { Self::Other(error.to_string()) }
    }
}

pub(super) fn is_damaged(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// How thoroughly a file is looked at before it is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// Read through from end to end, and rid of what is old: takes the longer the larger it is.
    Whole,
    /// Only what is asked is read; that it is damaged shows where it is.
    AsAsked,
}

/// The connection, and a notice where a damaged file was set aside.
pub(super) fn open(dir: &Path, care: Care) -> Result<(Connection, Option<String>), StoreError> {
    let path = dir.join(FILE);
    let error = |detail: String| StoreError { path: path.display().to_string(), detail };
    prepare(dir, &path)
        .map_err(|e| error(format!("{e}; the state directory must belong to trueup's user")))?;
    match connect(&path, care) {
        Ok(connection) => Ok((connection, None)),
        Err(Failure::Other(detail)) => Err(error(detail)),
        Err(Failure::Damaged(why)) => {
            // Another process may be using what looks damaged from here: only the one writer may set it aside.
            let _lock = writer::acquire(dir, "setting a damaged state file aside").map_err(|held| {
                error(format!("it is damaged ({why}) and cannot be set aside while in use: {held}"))
            })?;
            let aside = set_aside(dir, &path).map_err(|e| error(format!("it is damaged ({why}): {e}")))?;
            prepare(dir, &path).map_err(|e| error(e.to_string()))?;
            let connection = connect(&path, care).map_err(|failure| match failure {
                Failure::Damaged(detail) | Failure::Other(detail) => error(detail),
            })?;
            let notice = format!(
                "the state file was damaged ({why}) and was moved to {}; history, pauses, approvals and leases in it \
                 are lost, and leases are rebuilt from what runs",
                aside.display()
            );
            Ok((connection, Some(notice)))
        }
    }
}

/// SQLite gives its `-wal` and `-shm` files the permissions of the database, so it must exist with the right ones first.
fn prepare(dir: &Path, path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // A database that is there is not opened: closing it again would end the locks that this process has on it.
    match OpenOptions::new().create_new(true).append(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            fs::set_permissions(path, Permissions::from_mode(0o600))
        }
        Err(e) => Err(e),
    }
}

fn connect(path: &Path, care: Care) -> Result<Connection, Failure> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    // Who looks takes the file as it finds it.
    if care == Care::Whole {
        // Before anything is written: a damaged file is set aside as it was found.
        let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(Failure::Damaged(sound));
        }
        let mode = write_ahead(&connection)?;
        if mode != "wal" {
            return Err(Failure::Other(format!(
                "the file system does not allow a write-ahead log (mode {mode})"
            )));
        }
    }
    if schema(&connection)? != MIGRATIONS.len() {
        migrate(&mut connection)?;
    }
    if care == Care::Whole {
        connection.execute("DELETE FROM history WHERE id <= (SELECT max(id) FROM history) - ?1", [KEPT])?;
        connection.execute(
            "DELETE FROM intents WHERE settled_at IS NOT NULL AND id <= (SELECT max(id) FROM intents) - ?1",
            [KEPT],
        )?;
    }
    Ok(connection)
}

/// Without the log, when the last one who writes goes: whoever looks then need not make its two files and take them away
/// again (decision 0022). Where others have the file open it stays.
pub(super) fn close(connection: &Connection) {
    let mode: rusqlite::Result<String> =
        connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0));
    if let Err(error) = mode {
        tracing::debug!("the state file keeps its write-ahead log: {error}");
    }
}

/// The journal's mode, once it is a write-ahead log. SQLite waits for nobody here: of two that open a fresh file at once, one
/// is told that it is locked.
#[allow(
    clippy::disallowed_methods,
    reason = "SQLite waits on this thread as well, and nothing is async while it opens"
)]
fn write_ahead(connection: &Connection) -> rusqlite::Result<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)) {
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < end => {
                std::thread::sleep(AGAIN);
            }
            mode => return mode,
        }
    }
}

/// Which schema it has; a newer one than this trueup knows is refused.
fn schema(connection: &Connection) -> Result<usize, Failure> {
    let known = MIGRATIONS.len();
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    usize::try_from(version).ok().filter(|at| *at <= known).ok_or_else(|| {
        Failure::Other(format!(
            "it has schema {version} and this trueup knows up to {known}: use the newer trueup that wrote it"
        ))
    })
}

fn migrate(connection: &mut Connection) -> Result<(), Failure> {
    // Immediate: two processes that open a fresh file do not both create its tables.
    let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let at = schema(&change)?;
    for (number, sql) in MIGRATIONS.iter().enumerate().skip(at) {
        change.execute_batch(sql)?;
        change.pragma_update(None, "user_version", i64::try_from(number + 1).unwrap_or(i64::MAX))?;
    }
    change.commit()?;
    Ok(())
}

/// Moves the database and its side files to the first free `trueup.db.damaged-N`.
fn set_aside(dir: &Path, path: &Path) -> std::io::Result<PathBuf> {
    let mut number = 1;
    let aside = loop {
        let candidate = dir.join(format!("{FILE}.damaged-{number}"));
        if !candidate.exists() {
            break candidate;
        }
        number += 1;
    };
    for suffix in ["-wal", "-shm", "-journal"] {
        let side = dir.join(format!("{FILE}{suffix}"));
        if side.exists() {
            let mut to = aside.clone().into_os_string();
            to.push(suffix);
            fs::rename(side, to)?;
        }
    }
    fs::rename(path, &aside)?;
    Ok(aside)
}
