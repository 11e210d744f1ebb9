//! Who vouches for what is enforced, and the commits that wait for it: what `status`, reports and `trueup verify` say.

use serde_json::{Value, json};

use crate::model::names::Revision;
use crate::model::permission::{BrokenGlass, Mode, PermissionStanding, Permitted, SignedCommit, Verdict};
use crate::model::units::Timestamp;

use super::escape::{cell, code, line, prose};
use super::paint::{Ink, Paint};
use super::sections::hang;
use super::wording::{many, moment};

/// Every commit on the way to a revision with its verdict.
#[derive(Debug, Clone)]
pub struct Verification {
    pub mode: Mode,
    /// The revision from which on commits count; `None`: the head alone.
    pub base: Option<Revision>,
    pub head: Revision,
    /// Whether the head has the base in its history (F0).
    pub descends: bool,
    /// The head first.
    pub commits: Vec<(SignedCommit, Verdict)>,
    pub glass: Option<BrokenGlass>,
    pub permitted: bool,
    pub now: Timestamp,
}

/// How permission stands, in words.
pub(super) fn words(standing: &PermissionStanding) -> String {
    match (standing.mode, &standing.by) {
        (Mode::Branch, _) => "UNVERIFIED (mode branch: whoever may push to the branch may deploy)".to_owned(),
        (Mode::Signed, Permitted::Signed) => {
            "verified (mode signed: trusted keys signed every commit)".to_owned()
        }
        (Mode::Signed, Permitted::Named) => "named by a person with `trueup trust` (mode signed)".to_owned(),
        (Mode::Signed, Permitted::Branch) => {
            "UNVERIFIED (it was taken before the mode was signed; what comes next must be signed)".to_owned()
        }
        (Mode::Signed, Permitted::BrokenGlass { reason }) => {
            format!("UNVERIFIED: a person BROKE THE GLASS for it: {reason}")
        }
    }
}

/// As [`words`] for reports, which have said it in their own way since the first release.
pub(super) fn report_words(standing: &PermissionStanding) -> String {
    match standing.mode {
        Mode::Branch => "UNVERIFIED: the forge's protection of the branch is trusted (F0)".to_owned(),
        Mode::Signed => words(standing),
    }
}

/// One word for programs.
pub(super) const fn word(standing: &PermissionStanding) -> &'static str {
    match (standing.mode, &standing.by) {
        (Mode::Branch, _) | (Mode::Signed, Permitted::Branch) => "unverified",
        (Mode::Signed, Permitted::Signed) => "signed",
        (Mode::Signed, Permitted::Named) => "named",
        (Mode::Signed, Permitted::BrokenGlass { .. }) => "broken_glass",
    }
}

pub(super) fn standing_json(standing: &PermissionStanding) -> Value {
    json!({
        "mode": standing.mode.name(),
        "verified": standing.verified(),
        "by": word(standing),
        "broken_glass": standing.glass.as_ref().map(glass_json),
    })
}

/// A broken glass in force.
pub(super) fn glass_words(glass: &BrokenGlass) -> String {
    format!("{} may pass unsigned until {}: {}", glass.revision.short(), glass.until, glass.reason)
}

fn glass_json(glass: &BrokenGlass) -> Value {
    let BrokenGlass { revision, reason, at, until } = glass;
    json!({ "revision": revision, "reason": reason, "at": at.to_string(), "until": until.to_string() })
}

/// What stands before the list.
fn heading(verification: &Verification) -> String {
    let head = verification.head.short();
    match &verification.base {
        Some(base) if *base == verification.head => format!("{head} is enforced: nothing is new"),
        Some(base) => {
            format!("{} from {} to {head}", many(verification.commits.len(), "commit"), base.short())
        }
        None => format!("nothing was enforced yet: {head} alone counts"),
    }
}

/// What it comes to.
fn conclusion(verification: &Verification) -> String {
    let Verification { mode, descends, commits, glass, permitted, head, .. } = verification;
    let refused = commits.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Refused(_))).count();
    let head = head.short();
    match (mode, descends, permitted, glass) {
        (_, false, _, _) => format!("HELD: {head} does not descend from what is enforced (F0)."),
        (Mode::Branch, true, _, _) => {
            format!(
                "Mode branch: nothing is verified. In mode signed {refused} of {} would be refused.",
                commits.len()
            )
        }
        (Mode::Signed, true, true, _) if refused == 0 => {
            format!("PERMITTED: every commit that leads to {head} is signed.")
        }
        (Mode::Signed, true, true, Some(glass)) => {
            format!("PERMITTED BY A BROKEN GLASS: {}.", glass_words(glass))
        }
        (Mode::Signed, true, _, _) => {
            format!("HELD: {refused} of {} not signed by a trusted key (F1).", many(commits.len(), "commit"))
        }
    }
}

fn verdict_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Signed { principals, key } => format!("signed by {principals}, {key}"),
        Verdict::Refused(why) => why.clone(),
    }
}

pub(super) fn text(verification: &Verification, paint: Paint) -> String {
    let mut out = format!("{}\n", heading(verification));
    for (commit, verdict) in &verification.commits {
        let (mark, ink) = match verdict {
            Verdict::Signed { .. } => ("✓", Ink::Good),
            Verdict::Refused(_) => ("✗", Ink::Bad),
        };
        let kind = if commit.merge { "merge " } else { "" };
        out += &format!(
            "  {} {kind}{} {}\n",
            paint.ink(ink, mark),
            line(commit.revision.short()),
            line(&commit.summary)
        );
        let when = moment(commit.committed, verification.now);
        out += &hang("      ", &format!("by {}, {when}", commit.author));
        out += &hang("      ", &verdict_words(verdict));
    }
    out + &format!("\n{}\n", paint.ink(Ink::Strong, &line(&conclusion(verification))))
}

pub(super) fn json(verification: &Verification) -> Value {
    let Verification { mode, base, head, descends, commits, glass, permitted, now } = verification;
    let commits: Vec<Value> = commits
        .iter()
        .map(|(commit, verdict)| {
            let (signed, principals, key, why) = match verdict {
                Verdict::Signed { principals, key } => {
                    (true, Some(principals), Some(key.fingerprint()), None)
                }
                Verdict::Refused(why) => (false, None, None, Some(why)),
            };
            json!({
                "revision": commit.revision,
                "author": commit.author,
                "committer": commit.committer,
                "committed": commit.committed.to_string(),
                "summary": commit.summary,
                "merge": commit.merge,
                "permitted": signed,
                "principals": principals,
                "key": key,
                "why": why,
            })
        })
        .collect();
    json!({
        "mode": mode.name(),
        "base": base,
        "head": head,
        "descends": descends,
        "permitted": permitted,
        "broken_glass": glass.as_ref().map(glass_json),
        "commits": commits,
        "now": now.to_string(),
        "summary": conclusion(verification),
    })
}

pub(super) fn markdown(verification: &Verification) -> String {
    let mut out = format!("**{}**\n\n{}\n", prose(&conclusion(verification)), prose(&heading(verification)));
    if !verification.commits.is_empty() {
        out += "\n| commit | author | signature | |\n|---|---|---|---|\n";
    }
    for (commit, verdict) in &verification.commits {
        let mark = match verdict {
            Verdict::Signed { .. } => "permitted",
            Verdict::Refused(_) => "**refused**",
        };
        out += &format!(
            "| {} {} | {} | {} | {mark} |\n",
            code(commit.revision.short()),
            cell(&commit.summary),
            cell(&commit.author),
            cell(&verdict_words(verdict))
        );
    }
    out
}
