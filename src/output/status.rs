//! How things stand, in one page: what `trueup status` prints.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use crate::model::finding::Findings;
use crate::model::names::{AppKey, FleetName, HostName, Revision};
use crate::model::permission::PermissionStanding;
use crate::model::units::Timestamp;

use super::escape::{cell, code, line, prose};
use super::findings;
use super::paint::{Ink, Paint};
use super::permission;
use super::public;
use super::sections::{hang, heading};
use super::wording::{age, many, moment};

/// Everything `status` tells.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    pub fleet: FleetName,
    pub revision: Revision,
    pub summary: String,
    pub committed: Timestamp,
    /// When this revision was taken; `None`: never applied from here.
    pub enforced_since: Option<Timestamp>,
    /// Why the head was not taken (A2).
    pub kept_because: Option<String>,
    /// Since when a newer head is refused, where that is noted.
    pub kept_since: Option<Timestamp>,
    /// Apps whose change is stuck, where the commit's new rules have waited for them for long (F1).
    pub rules_wait_for: BTreeSet<AppKey>,
    /// Who vouches for the revision (F0, F1).
    #[serde(skip)]
    pub permission: PermissionStanding,
    pub now: Timestamp,
    /// Each host, and why it is unknown where it is.
    pub hosts: BTreeMap<HostName, Option<String>>,
    pub apps: BTreeMap<AppKey, Standing>,
    /// What is paused, until when, why.
    pub pauses: Vec<(String, Option<Timestamp>, String)>,
    /// Subject in words, and why (D7).
    pub quarantined: BTreeMap<String, String>,
    /// What the policies say of the change that is pending (F2).
    pub findings: Findings,
    /// Who is changing the fleet now (D10).
    pub writer: Option<String>,
    /// Steps that were begun and have not ended: since when, of what, and the step (D5). Without a writer a process ended
    /// in the middle of them.
    #[serde(skip)]
    pub under_way: Vec<(Timestamp, String, String)>,
}

/// An app's standing: the three values of A1, and held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    InSync,
    /// What differs.
    Drifted(String),
    /// What may not happen, and why.
    Held(String),
    /// What could not be read, and why.
    Unknown(String),
}

impl Standing {
    /// The word for programs, and the detail.
    fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::InSync => ("in_sync", None),
            Self::Drifted(what) => ("drifted", Some(what)),
            Self::Held(why) => ("held", Some(why)),
            Self::Unknown(why) => ("unknown", Some(why)),
        }
    }

    const fn words(&self) -> (&'static str, Ink) {
        match self {
            Self::InSync => ("in sync", Ink::Good),
            Self::Drifted(_) => ("DRIFTED", Ink::Change),
            Self::Held(_) => ("HELD", Ink::Bad),
            Self::Unknown(_) => ("UNKNOWN", Ink::Change),
        }
    }
}

pub fn text(status: &Status, paint: Paint) -> String {
    let mut out = revision_text(status, paint);
    out += &hosts_text(status, paint);
    out += &apps_text(status, paint);
    out += &under_way_text(status, paint);
    if !status.pauses.is_empty() {
        out += &heading(paint, "PAUSED: drift is reported and not healed");
        for (what, until, why) in &status.pauses {
            let until = until.map_or_else(
                || "until `trueup resume`".to_owned(),
                |t| format!("until {t} (another {})", age(t.since(status.now))),
            );
            out += &hang("  ", &format!("{} {until}: {}", line(what), line(why)));
        }
    }
    if !status.quarantined.is_empty() {
        out += &heading(paint, "QUARANTINED: the same change came again and again, and is left alone");
        for (subject, why) in &status.quarantined {
            out += &format!("  {}\n", line(subject));
            out += &hang("      why: ", why);
        }
    }
    out += &findings::lines_text(&status.findings, paint);
    out + &format!("\n{}\n", paint.ink(Ink::Strong, &summary(status)))
}

fn revision_text(status: &Status, paint: Paint) -> String {
    let mut out = format!(
        "fleet       {}\nrevision    {} {}\ncommitted   {}\n",
        status.fleet,
        line(status.revision.short()),
        line(&status.summary),
        moment(status.committed, status.now)
    );
    let enforced = status
        .enforced_since
        .map_or_else(|| "never applied from here".to_owned(), |t| format!("since {}", moment(t, status.now)));
    out += &format!("enforced    {enforced}\n");
    if !status.rules_wait_for.is_empty() {
        out += &format!("rules       {}\n", paint.ink(Ink::Change, &rules_words(status)));
    }
    out += &format!("permission  {}\n", line(&permission::words(&status.permission)));
    if let Some(glass) = &status.permission.glass {
        out += &format!("glass       {}\n", paint.ink(Ink::Bad, &line(&permission::glass_words(glass))));
    }
    let writer = status.writer.as_deref().map_or_else(|| "nobody now".to_owned(), line);
    out += &format!("writer      {writer}\n");
    if let Some(why) = &status.kept_because {
        out += &heading(paint, "THE HEAD WAS NOT TAKEN: the last good revision stays enforced");
        if let Some(since) = status.kept_since {
            out += &format!("  since {}\n", moment(since, status.now));
        }
        out += &hang("  ", why);
    }
    out
}

fn rules_words(status: &Status) -> String {
    let apps: Vec<String> = status.rules_wait_for.iter().map(ToString::to_string).collect();
    format!("those of this commit judge nothing yet: they wait for what it changes of {}", apps.join(", "))
}

fn under_way_text(status: &Status, paint: Paint) -> String {
    if status.under_way.is_empty() {
        return String::new();
    }
    let mut out = heading(paint, under_way_words(status));
    for (since, subject, step) in &status.under_way {
        out += &format!("  {}\n", line(subject));
        out += &hang("      ", &format!("{step}, since {}", moment(*since, status.now)));
    }
    out
}

const fn under_way_words(status: &Status) -> &'static str {
    match status.writer {
        Some(_) => "UNDER WAY: being changed now",
        None => "INTERRUPTED: begun, and nobody is at it; the next `run` or `apply` looks how far it came",
    }
}

fn hosts_text(status: &Status, paint: Paint) -> String {
    let mut out = heading(paint, "hosts");
    for (host, unknown) in &status.hosts {
        match unknown {
            None => out += &format!("  {:<24} {}\n", host.as_str(), paint.ink(Ink::Good, "known")),
            Some(why) => {
                out += &format!("  {:<24} {}\n", host.as_str(), paint.ink(Ink::Change, "UNKNOWN"));
                out += &hang("      why: ", why);
            }
        }
    }
    out
}

fn apps_text(status: &Status, paint: Paint) -> String {
    let mut out = heading(paint, "apps");
    for (app, standing) in &status.apps {
        let (word, ink) = standing.words();
        out += &format!("  {:<24} {}\n", app.to_string(), paint.ink(ink, word));
        if let (_, Some(detail)) = standing.parts() {
            out += &hang("      ", detail);
        }
    }
    out
}

/// How many apps stand how.
struct Tally {
    in_sync: usize,
    drifted: usize,
    held: usize,
    unknown: usize,
}

fn tally(status: &Status) -> Tally {
    let mut tally = Tally { in_sync: 0, drifted: 0, held: 0, unknown: 0 };
    for standing in status.apps.values() {
        match standing {
            Standing::InSync => tally.in_sync += 1,
            Standing::Drifted(_) => tally.drifted += 1,
            Standing::Held(_) => tally.held += 1,
            Standing::Unknown(_) => tally.unknown += 1,
        }
    }
    tally
}

fn summary(status: &Status) -> String {
    let Tally { in_sync, drifted, held, unknown } = tally(status);
    let known = status.hosts.values().filter(|why| why.is_none()).count();
    format!(
        "{known} of {} known; {}: {in_sync} in sync, {drifted} drifted, {held} held, {unknown} unknown.",
        many(status.hosts.len(), "host"),
        many(status.apps.len(), "app")
    )
}

pub fn json(status: &Status) -> Value {
    let Status {
        fleet,
        revision,
        summary: commit,
        committed,
        enforced_since,
        kept_because,
        kept_since,
        rules_wait_for,
        permission,
        now,
        hosts,
        apps,
        pauses,
        quarantined,
        findings,
        writer,
        under_way,
    } = status;
    let hosts: BTreeMap<&str, Value> = hosts
        .iter()
        .map(|(host, why)| (host.as_str(), json!({ "known": why.is_none(), "why": why })))
        .collect();
    let apps: BTreeMap<String, Value> = apps
        .iter()
        .map(|(app, standing)| {
            let (word, detail) = standing.parts();
            (app.to_string(), json!({ "standing": word, "detail": detail }))
        })
        .collect();
    let rules_wait_for: Vec<String> = rules_wait_for.iter().map(ToString::to_string).collect();
    let pauses: Vec<Value> = pauses
        .iter()
        .map(|(what, until, why)| json!({ "what": what, "until": until.map(|t| t.to_string()), "reason": why }))
        .collect();
    let under_way: Vec<Value> = under_way
        .iter()
        .map(|(since, what, step)| json!({ "what": what, "step": step, "since": since.to_string() }))
        .collect();
    json!({
        "fleet": fleet,
        "revision": revision,
        "commit": commit,
        "committed": committed.to_string(),
        "age_seconds": now.since(*committed).millis() / 1000,
        "enforced_since": enforced_since.map(|t| t.to_string()),
        "kept_because": kept_because,
        "kept_since": kept_since.map(|t| t.to_string()),
        "rules_wait_for": rules_wait_for,
        "permission": permission::standing_json(permission),
        "now": now.to_string(),
        "summary": summary(status),
        "hosts": hosts,
        "apps": apps,
        "pauses": pauses,
        "quarantined": quarantined,
        "findings": public::list(&findings.findings, public::finding),
        "writer": writer,
        "under_way": under_way,
    })
}

pub fn markdown(status: &Status) -> String {
    let mut out = format!(
        "## Fleet {} at {}\n\n**{}**\n\n- commit: {}, {}\n- permission: {}\n",
        code(status.fleet.as_str()),
        code(status.revision.short()),
        prose(&summary(status)),
        prose(&status.summary),
        moment(status.committed, status.now),
        prose(&permission::words(&status.permission)),
    );
    if let Some(since) = status.enforced_since {
        out += &format!("- enforced since {}\n", moment(since, status.now));
    }
    if !status.rules_wait_for.is_empty() {
        out += &format!("- **rules**: {}\n", prose(&rules_words(status)));
    }
    if let Some(why) = &status.kept_because {
        let since =
            status.kept_since.map(|t| format!(", since {}", moment(t, status.now))).unwrap_or_default();
        out += &format!("- **the head was not taken**{since}: {}\n", prose(why));
    }
    if let Some(glass) = &status.permission.glass {
        out += &format!("- **broken glass**: {}\n", prose(&permission::glass_words(glass)));
    }
    if let Some(writer) = &status.writer {
        out += &format!("- writer: {}\n", prose(writer));
    }
    out += "\n| host | known |\n|---|---|\n";
    for (host, why) in &status.hosts {
        let known = why.as_ref().map_or_else(|| "yes".to_owned(), |why| format!("**no**: {}", cell(why)));
        out += &format!("| {} | {known} |\n", cell(host.as_str()));
    }
    out += "\n| app | standing | detail |\n|---|---|---|\n";
    for (app, standing) in &status.apps {
        let detail = standing.parts().1.map(cell).unwrap_or_default();
        out += &format!("| {} | {} | {detail} |\n", cell(&app.to_string()), standing.words().0);
    }
    out + &exceptions_markdown(status)
}

fn exceptions_markdown(status: &Status) -> String {
    let mut out = String::new();
    for (n, (since, subject, step)) in status.under_way.iter().enumerate() {
        if n == 0 {
            out += &format!("\n### {}\n\n", prose(under_way_words(status)));
        }
        out += &format!("- {}: {}, since {}\n", code(subject), prose(step), moment(*since, status.now));
    }
    for (n, (what, until, why)) in status.pauses.iter().enumerate() {
        if n == 0 {
            out += "\n### Paused\n\n";
        }
        let until = until.map_or_else(|| "until resumed".to_owned(), |t| format!("until {t}"));
        out += &format!("- {} {until}: {}\n", code(what), prose(why));
    }
    for (n, (subject, why)) in status.quarantined.iter().enumerate() {
        if n == 0 {
            out += "\n### Quarantined\n\n";
        }
        out += &format!("- {}: {}\n", code(subject), prose(why));
    }
    out + &findings::lines_markdown(&status.findings)
}
