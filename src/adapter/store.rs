//! What outlives a restart, in one SQLite file `trueup.db`, and the lock of the one writer (D10).
//!
//! Losing the file may lose history, never safety (H): one that cannot be read is moved aside and a fresh one begun.

mod open;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Row, params};

use crate::model::names::{HostName, Revision};
use crate::model::plan::Outcome;
use crate::model::units::Timestamp;
use crate::ports::{HistoryEntry, Intent, Record, Store, StoreError, WriterGuard, WriterHeld};

use open::Care;

/// The state directory's file and lock.
pub struct SqliteStore {
    directory: PathBuf,
    connection: Mutex<Connection>,
    notice: Option<String>,
    care: Care,
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if self.care == Care::Whole {
            open::close(&self.connection());
        }
    }
}

impl SqliteStore {
    /// Opens or creates `dir/trueup.db` (directory 0700, file 0600). A file that is no database or is damaged is moved
    /// aside, told by [`Self::notice`] and remembered in the history; one of a newer trueup is refused.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::opened(dir, Care::Whole)
    }

    /// As [`Self::open`], for who looks and goes: the file is not read through, which takes the longer the older it is, and no
    /// log is begun. Where what is asked is damaged, the answer is an error that says who sets the file aside.
    pub fn open_to_look(dir: &Path) -> Result<Self, StoreError> {
        Self::opened(dir, Care::AsAsked)
    }

    fn opened(dir: &Path, care: Care) -> Result<Self, StoreError> {
        let (connection, notice) = open::open(dir, care)?;
        let store = Self { directory: dir.to_owned(), connection: Mutex::new(connection), notice, care };
        if let Some(notice) = &store.notice {
            store.remember(&HistoryEntry {
                at: crate::ports::Clock::now(&super::clock::SystemClock),
                revision: None,
                what: "state".to_owned(),
                subject: open::FILE.to_owned(),
                detail: notice.clone(),
            })?;
        }
        Ok(store)
    }

    /// What an operator should be told about this opening: that the old state was damaged and set aside.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    fn error(&self, detail: impl std::fmt::Display) -> StoreError {
        StoreError { path: self.directory.join(open::FILE).display().to_string(), detail: detail.to_string() }
    }

    fn failed(&self, error: &rusqlite::Error) -> StoreError {
        if !open::is_damaged(error) {
            return self.error(error);
        }
        self.error(format!(
            "it is damaged ({error}): `trueup history` sets it aside and says so, as the next `trueup apply` does, or `trueup run` \
             when it begins"
        ))
    }

    /// A panic elsewhere leaves SQLite's own transaction rules intact, so the poison is ignored.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(
        &self,
        reaches: Disk,
        write: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection();
        let synchronous = match reaches {
            Disk::Now => "FULL",
            Disk::InTime => "NORMAL",
        };
        let ready = connection.pragma_update(None, "synchronous", synchronous);
        ready.and_then(|()| write(&mut connection)).map_err(|e| self.failed(&e))
    }

    fn rows<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let connection = self.connection();
        // One look asks the same of many records.
        let mut statement = connection.prepare_cached(sql).map_err(|e| self.failed(&e))?;
        let rows = statement.query_map(params, read).map_err(|e| self.failed(&e))?;
        rows.collect::<rusqlite::Result<_>>().map_err(|e| self.failed(&e))
    }
}

/// When a write survives the loss of power; the end of the process it survives always. The log is written in order: with
/// one that is on the disk, all before it are.
enum Disk {
    /// Before the call returns.
    Now,
    /// With the next of the others.
    InTime,
}

/// The kind's name in the file; never changed once released.
const fn kind(record: Record) -> &'static str {
    match record {
        Record::LastGood => "last_good",
        Record::ImageLock => "image_lock",
        Record::FirstSeen => "first_seen",
        Record::Backoff => "backoff",
        Record::Pause => "pause",
        Record::Quarantine => "quarantine",
        Record::Approval => "approval",
        Record::Budget => "budget",
        Record::RestartRequest => "restart_request",
        Record::Lease => "lease",
        Record::Address => "address",
        Record::Report => "report",
        Record::Delivery => "delivery",
        Record::PulledImage => "pulled_image",
        Record::Rollout => "rollout",
        Record::Tree => "tree",
        Record::FilesRead => "files_read",
        Record::UnderWay => "under_way",
        Record::Creation => "creation",
    }
}

/// What is under way is nothing to a process that begins after the power was lost, and what is about to be made is on the disk
/// with the intent that follows (D5).
const fn reaches(record: Record) -> Disk {
    match record {
        Record::UnderWay | Record::Creation => Disk::InTime,
        Record::LastGood
        | Record::ImageLock
        | Record::FirstSeen
        | Record::Backoff
        | Record::Pause
        | Record::Quarantine
        | Record::Approval
        | Record::Budget
        | Record::RestartRequest
        | Record::Lease
        | Record::Address
        | Record::Report
        | Record::Delivery
        | Record::PulledImage
        | Record::Rollout
        | Record::Tree
        | Record::FilesRead => Disk::Now,
    }
}

fn put(connection: &Connection, record: Record, key: &str, json: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO records (kind, key, json) VALUES (?1, ?2, ?3)
               ON CONFLICT (kind, key) DO UPDATE SET json = excluded.json";
    connection.execute(sql, params![kind(record), key, json]).map(|_| ())
}

fn delete(connection: &Connection, record: Record, key: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM records WHERE kind = ?1 AND key = ?2";
    connection.execute(sql, params![kind(record), key]).map(|_| ())
}

impl Store for SqliteStore {
    fn get(&self, record: Record, key: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT json FROM records WHERE kind = ?1 AND key = ?2";
        let row = self.rows(sql, params![kind(record), key], |row| row.get(0))?;
        Ok(row.into_iter().next())
    }

    fn put(&self, record: Record, key: &str, json: &str) -> Result<(), StoreError> {
        self.write(reaches(record), |connection| put(connection, record, key, json))
    }

    fn delete(&self, record: Record, key: &str) -> Result<(), StoreError> {
        self.write(reaches(record), |connection| delete(connection, record, key))
    }

    fn put_all(&self, record: Record, changes: &BTreeMap<String, Option<String>>) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.write(reaches(record), |connection| {
            let transaction = connection.transaction()?;
            for (key, json) in changes {
                match json {
                    Some(json) => put(&transaction, record, key, json)?,
                    None => delete(&transaction, record, key)?,
                }
            }
            transaction.commit()
        })
    }

    fn all(&self, record: Record) -> Result<BTreeMap<String, String>, StoreError> {
        let rows =
            self.rows("SELECT key, json FROM records WHERE kind = ?1", params![kind(record)], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        Ok(rows.into_iter().collect())
    }

    fn intend(&self, intent: &Intent) -> Result<i64, StoreError> {
        self.write(Disk::Now, |connection| {
            let host = intent.host.as_ref().map(HostName::as_str);
            connection.execute(
                "INSERT INTO intents (at, plan, host, subject, step) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![intent.at.0, intent.plan, host, intent.subject, intent.step],
            )?;
            Ok(connection.last_insert_rowid())
        })
    }

    /// Lost with the power, the step is told as interrupted, and looked at (D5).
    fn settle(&self, id: i64, at: Timestamp, outcome: &Outcome) -> Result<(), StoreError> {
        let outcome = serde_json::to_string(outcome).map_err(|e| self.error(e))?;
        let settled = self.write(Disk::InTime, |connection| {
            let sql = "UPDATE intents SET settled_at = ?2, outcome = ?3 WHERE id = ?1 AND settled_at IS NULL";
            connection.execute(sql, params![id, at.0, outcome])
        })?;
        if settled == 1 { Ok(()) } else { Err(self.error(format!("there is no unsettled intent {id}"))) }
    }

    fn unsettled(&self) -> Result<Vec<Intent>, StoreError> {
        self.rows(
            "SELECT id, at, plan, host, subject, step FROM intents WHERE settled_at IS NULL ORDER BY id",
            [],
            |row| {
                Ok(Intent {
                    id: row.get(0)?,
                    at: Timestamp(row.get(1)?),
                    plan: row.get(2)?,
                    host: parsed_host(row)?,
                    subject: row.get(4)?,
                    step: row.get(5)?,
                })
            },
        )
    }

    fn remember(&self, entry: &HistoryEntry) -> Result<(), StoreError> {
        self.write(Disk::Now, |connection| {
            let revision = entry.revision.as_ref().map(Revision::as_str);
            let sql = "INSERT INTO history (at, revision, what, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)";
            connection.execute(sql, params![entry.at.0, revision, entry.what, entry.subject, entry.detail])
        })?;
        Ok(())
    }

    fn history(&self, limit: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut entries = self.rows(
            "SELECT at, revision, what, subject, detail FROM history ORDER BY id DESC LIMIT ?1",
            params![limit],
            |row| {
                Ok(HistoryEntry {
                    at: Timestamp(row.get(0)?),
                    revision: row.get::<_, Option<String>>(1)?.map(Revision::new),
                    what: row.get(2)?,
                    subject: row.get(3)?,
                    detail: row.get(4)?,
                })
            },
        )?;
        entries.reverse();
        Ok(entries)
    }

    fn become_writer(&self, who: &str) -> Result<Box<dyn WriterGuard>, WriterHeld> {
        let held = writer::acquire(&self.directory, who)?;
        Ok(Box::new(held))
    }
}

fn parsed_host(row: &Row<'_>) -> rusqlite::Result<Option<HostName>> {
    let text: Option<String> = row.get(3)?;
    text.map(|text| text.parse()).transpose().map_err(|e: crate::model::names::NameError| {
        rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, Box::new(e))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::drift::{Kind, Subject};

    /// D5, decision 0022.
    #[test]
    fn what_is_begun_or_noted_is_on_the_disk_and_what_settled_waits_for_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = SqliteStore::open(dir.path()).expect("a store");
        let waited = |write: &dyn Fn()| {
            // As the other kind of write leaves it.
            for other in ["NORMAL", "FULL"] {
                store.connection().pragma_update(None, "synchronous", other).expect("a pragma");
                write();
            }
            let query = "PRAGMA synchronous";
            store.connection().query_row(query, [], |row| row.get::<_, i64>(0)).expect("a pragma") == 2
        };
        let intent = Intent {
            id: 0,
            at: Timestamp(1),
            plan: "p".to_owned(),
            host: None,
            subject: Subject::of_fleet(Kind::Files, "nginx").to_string(),
            step: "install".to_owned(),
        };
        let entry = HistoryEntry {
            at: Timestamp(1),
            revision: None,
            what: "state".to_owned(),
            subject: "s".to_owned(),
            detail: String::new(),
        };
        let all = BTreeMap::from([("k".to_owned(), None)]);
        assert!(waited(&|| {
            store.intend(&intent).expect("an intent");
        }));
        assert!(waited(&|| store.put(Record::Pause, "k", "1").expect("put")));
        assert!(waited(&|| store.put_all(Record::Pause, &all).expect("put")));
        assert!(waited(&|| store.delete(Record::Pause, "k").expect("deleted")));
        assert!(waited(&|| store.remember(&entry).expect("remembered")));
        let settled = || {
            let id = store.unsettled().expect("intents").first().map(|intent| intent.id);
            let id = id.unwrap_or_else(|| store.intend(&intent).expect("an intent"));
            store.settle(id, Timestamp(2), &Outcome::Done).expect("settled");
        };
        assert!(!waited(&settled));
        for record in [Record::UnderWay, Record::Creation] {
            assert!(!waited(&|| store.put(record, "k", "1").expect("put")));
        }
    }
}
