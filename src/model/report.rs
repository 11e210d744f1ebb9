//! A drift report: how the fleet differs from git now, and what happened since the report before it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use chrono::NaiveDateTime;

use super::drift::Subject;
use super::file::Differing;
use super::history::HistoryEntry;
use super::names::{AppKey, EnvironmentName, FleetName, HostName};
use super::permission::PermissionStanding;
use super::plan::Plan;
use super::units::Timestamp;

/// Everything a report tells, gathered at one moment.
#[derive(Debug, Clone)]
pub struct Report {
    pub fleet: FleetName,
    /// The environments it is about.
    pub environments: Vec<EnvironmentName>,
    /// Environments that it was asked about and that nobody declares: nothing of them was looked at.
    pub undeclared: Vec<EnvironmentName>,
    /// The commit's first line.
    pub summary: String,
    pub committed: Timestamp,
    /// `None`: this revision is not the one that is enforced.
    pub enforced_since: Option<Timestamp>,
    /// Why the head is not what is enforced (A2).
    pub kept_because: Option<String>,
    /// Since when a newer head is refused, whichever it is.
    pub kept_since: Option<Timestamp>,
    /// Who vouches for the revision (F0, F1).
    pub permission: PermissionStanding,
    /// What happened from then on, up to `plan.observed_at`.
    pub from: Timestamp,
    /// Apps, hosts, and instances (containers and services) that were looked at.
    pub looked_at: LookedAt,
    /// Drift, what is held, blocked, unknown and unmanaged, and the revision.
    pub plan: Plan,
    /// The generated files that differ: what is installed, and what should be.
    pub files: Differing,
    /// What else stands there and is in nobody's way, in order; in no count and no exit code (B1).
    pub foreign: Vec<Foreign>,
    /// How many volumes without a name of their own are on a host, those of trueup's containers left out.
    pub anonymous_volumes: BTreeMap<HostName, usize>,
    /// When what is wrong was seen first, by the subject in words.
    pub since: BTreeMap<String, Timestamp>,
    /// Hosts that do not answer, and why.
    pub silent_hosts: BTreeMap<HostName, String>,
    /// Members of a Swarm that its managers hear nothing from.
    pub down_nodes: Vec<DownNode>,
    /// Addresses that nobody gives up, since their holders' hosts are silent or down.
    pub held_addresses: Vec<HeldAddress>,
    /// What was done, oldest first.
    pub done: Vec<HistoryEntry>,
    /// More was done than stands in `done`: the oldest is left out.
    pub done_is_cut: bool,
    /// What this release cannot check at all, in words.
    pub unchecked: Vec<String>,
}

/// How much a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LookedAt {
    pub apps: usize,
    pub hosts: usize,
    /// Containers that are trueup's.
    pub instances: usize,
}

/// Something that is not trueup's. No more of it is told than these: the rest may be secret (G1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    pub subject: Subject,
    pub made_of: MadeOf,
    /// `None`: what engines list of networks and volumes does not say.
    pub created: Option<Timestamp>,
    pub maker: Maker,
}

/// What a foreign thing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MadeOf {
    /// A container or a service: the reference that it was made from, as text.
    Image(String),
    /// A network or a volume, by its driver.
    Driver(String),
    /// A config of a Swarm: what it holds is nobody's business.
    Content,
}

/// Who made a foreign thing, as far as it shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Maker {
    /// It carries no label of trueup's: a person, or another tool.
    Nobody,
    /// Another installation of trueup, or another fleet: in words.
    Trueup { why: String },
    /// A Swarm, for a service that is not trueup's; `None`: by the container's own word, no manager tells of it.
    Swarm { service: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DownNode {
    pub swarm: String,
    /// Its host name, as Swarm has it.
    pub node: String,
    /// Such as `heartbeat failure`.
    pub why: String,
}

/// An address of something on a host that does not answer, or on a node that is down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldAddress {
    pub host: String,
    /// Where the host is known as a node of this Swarm only.
    pub swarm: Option<String>,
    /// The instance, or the task of a service.
    pub holder: String,
    pub app: Option<AppKey>,
    pub network: String,
    pub address: IpAddr,
    /// Since when the host is silent.
    pub since: Option<Timestamp>,
}

/// The endings of a report's files.
pub const ENDINGS: [&str; 3] = ["html", "json", "md"];

const MOMENT: &str = "%Y-%m-%dT%H%M%SZ";

/// What the names of a report's files begin with: `drift-2023-11-14T230000Z`.
pub fn stem(name: &str, at: Timestamp) -> String {
    format!("{name}-{}", at.to_string().replace(':', ""))
}

/// The stem of a file, where its name is exactly one that reports called `name` have.
pub fn stem_of<'a>(name: &str, file: &'a str) -> Option<&'a str> {
    let (stem, ending) = file.rsplit_once('.')?;
    let moment = stem.strip_prefix(name)?.strip_prefix('-')?;
    let parsed = NaiveDateTime::parse_from_str(moment, MOMENT).ok()?;
    (ENDINGS.contains(&ending) && parsed.format(MOMENT).to_string() == moment).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_reports_have_are_reports() {
        let stem = stem("drift", Timestamp(1_700_000_000_000));
        assert_eq!(stem, "drift-2023-11-14T221320Z");
        assert_eq!(stem_of("drift", "drift-2023-11-14T221320Z.md"), Some(stem.as_str()));
        for other in [
            "drift-00-baseline.md",
            "drift-archive",
            "drift-2023-11-14T221320Z",
            "drift-2023-11-14T221320Z.txt",
            "drift-2023-11-14T221320Z.md.bak",
            "drift-2023-1-14T221320Z.md",
            "drift-prod-2023-11-14T221320Z.md",
            "2023-11-14T221320Z.md",
        ] {
            assert_eq!(stem_of("drift", other), None, "{other}");
        }
    }
}
