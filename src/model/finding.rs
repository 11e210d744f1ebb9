//! What the policies say of a change: findings with their rule, level and words (F2).

use serde::{Deserialize, Serialize};

use super::names::{AppKey, Revision};
use super::secrecy::ContentHash;

/// How much a finding weighs (F2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Told, and nothing more.
    Advice,
    /// Holds the change until a person overrides it with a reason.
    Overridable,
    /// Holds the change; nobody overrides it.
    Final,
}

impl Level {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Advice => "advice",
            Self::Overridable => "overridable",
            Self::Final => "final",
        }
    }
}

/// What a finding does to the change it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It is told: advice, or about something that does not change.
    Told,
    /// It holds the change.
    Holds,
    /// A person let it pass, for this reason.
    Overridden(String),
}

/// One thing that one rule says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's name: the package without `trueup.`.
    pub rule: String,
    pub level: Level,
    /// The app it is about; `None`: the revision as a whole.
    pub app: Option<AppKey>,
    pub message: String,
    /// Where to look: the app's declaration, else the rule itself; `file:line` where a line is known.
    pub file: String,
    pub effect: Effect,
}

/// Everything the policies say of one change, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Findings {
    pub findings: Vec<Finding>,
    /// What a reader should know about the judging itself, such as that a first revision has nothing to compare with.
    pub notes: Vec<String>,
}

impl Finding {
    /// Twelve hex digits that name this finding at this revision: what an override is bound to.
    pub fn id(&self, revision: &Revision) -> String {
        let app = self.app.as_ref().map(ToString::to_string).unwrap_or_default();
        let text = format!("{revision}\n{}\n{app}\n{}", self.rule, self.message);
        ContentHash::of(text.as_bytes()).short().to_owned()
    }

    /// Whether it keeps a change from being made.
    pub fn holds(&self) -> bool {
        self.effect == Effect::Holds
    }
}

impl Findings {
    /// The findings that hold something.
    pub fn holding(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.holds())
    }
}
