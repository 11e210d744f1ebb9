//! What a pull request would do: the answer of `trueup check`, as plain data.

use std::collections::BTreeMap;

use super::exit::Found;
use super::file::{FileSet, Files};
use super::finding::Findings;
use super::names::{AppKey, Revision};
use super::observed::RulesOf;
use super::plan::{Change, Plan};
use super::tree::Touch;
use super::units::Timestamp;

/// A branch, held against the one that it is to be merged into.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The fleet's name, as the base has it.
    pub fleet: String,
    pub base: Revision,
    pub head: Revision,
    /// Where the branch left its base: everything is counted from there.
    pub since: Revision,
    /// Commits that the base has and the branch has not.
    pub behind: usize,
    pub touched: Vec<Touched>,
    /// The CODEOWNERS file that was read, from the repository's top.
    pub owners_file: Option<String>,
    /// Lines of it that mean nothing.
    pub owners_problems: Vec<String>,
    /// Files of the rules themselves: they judge only once they are merged (F1).
    pub rules: Vec<String>,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// All that is wrong with the branch (A3); nothing else was looked at.
    Invalid {
        errors: String,
    },
    Valid(Box<Valid>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Valid {
    /// What apps are declared to be, before and after.
    pub declared: Vec<Declared>,
    pub sight: Sight,
    /// What would be done, and what stops it; `None` where no fleet was looked at.
    pub forecast: Option<Forecast>,
    /// What the rules say of it (F2).
    pub findings: Findings,
    pub judged_by: JudgedBy,
    /// What was taken for granted because the branch alone names it: nobody dialled that (F4).
    pub assumed: Vec<String>,
}

/// What the forecast is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    Fleet { at: Timestamp },
    Snapshot { at: Timestamp },
    Nothing,
}

/// Whose rules of the repository's own judged it (F1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedBy {
    pub rules: RulesOf,
    /// They are not what the reconciler judges by, as far as is known here, but the base's: why.
    pub stand_in: Option<String>,
}

/// A file of the branch that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// From the repository's top.
    pub path: String,
    pub touch: Touch,
    pub owners: Vec<Owners>,
}

/// Who owns a file, in one section of the CODEOWNERS file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owners {
    pub section: Option<String>,
    pub optional: bool,
    pub names: Vec<String>,
}

/// How an app is declared differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    pub app: AppKey,
    pub how: Touch,
    /// Every value that differs, defaults and overlay together.
    pub values: Vec<ValueChange>,
}

/// `limits.memory`: `"64MiB"` → `"128MiB"`, from `apps/quote/prod.toml:7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueChange {
    pub path: String,
    pub before: Option<String>,
    pub after: Option<String>,
    /// Where the new value stands, or the old one where it goes.
    pub origin: String,
}

/// What merging the branch would do to the fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Only what the branch causes. Its unknowns are those of the whole fleet.
    pub plan: Plan,
    /// The generated files that are there now.
    pub installed: BTreeMap<FileSet, Option<Files>>,
    /// What would be changed without the branch too.
    pub anyway: Vec<Change>,
    /// What is blocked without the branch too.
    pub stuck: usize,
    /// Values of variables were hidden with another key and not compared: an empty plan says nothing of them.
    pub blind: bool,
}

impl Checked {
    /// Whether a file is touched that declares something: wherever the repository's root is.
    pub fn touches_config(&self) -> bool {
        let declares = |path: &str| {
            let mut parts = path.split('/');
            path.ends_with("fleet.toml") || parts.any(|part| ["apps", "hosts", "networks"].contains(&part))
        };
        self.touched.iter().any(|file| declares(&file.path))
    }

    /// As section X: 1 the branch is invalid; 3 something is unknown, blocked, held or denied; 2 something would change; else 0.
    pub fn exit_code(&self) -> u8 {
        let valid = match &self.verdict {
            Verdict::Invalid { .. } => return Found { error: true, ..Found::default() }.exit_code(),
            Verdict::Valid(valid) => valid,
        };
        let denied = valid.findings.holding().next().is_some();
        let declares = !valid.declared.is_empty();
        let found = match &valid.forecast {
            Some(forecast) => {
                let planned = forecast.plan.found();
                Found { changes: planned.changes || (forecast.blind && declares), ..planned }
            }
            None => Found { changes: declares || self.touches_config(), ..Found::default() },
        };
        Found { unclear: denied || found.unclear, ..found }.exit_code()
    }
}
