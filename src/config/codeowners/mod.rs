//! CODEOWNERS: who has to look at which file, as the three forges read it. Facts: the forges' own manuals.
//!
//! Each forge has another language in the same file: GitHub's patterns are gitignore's without negation, GitLab's are shell
//! globs in sections, Gitea's and Forgejo's are regular expressions of which all that match count.

mod glob;
mod line;

#[cfg(test)]
mod tests;

use regex::Regex;

/// A CODEOWNERS file that is larger is not read (GitHub's own limit).
pub const LARGEST: usize = 3 << 20;

/// Whose language the file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forge {
    GitHub,
    GitLab,
    /// Forgejo too.
    Gitea,
}

impl Forge {
    /// Where the forge looks, from the repository's top; the first that is there counts.
    pub const fn places(self) -> &'static [&'static str] {
        match self {
            Self::GitHub => &[".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"],
            Self::GitLab => &["CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"],
            Self::Gitea => &["CODEOWNERS", "docs/CODEOWNERS", ".gitea/CODEOWNERS", ".forgejo/CODEOWNERS"],
        }
    }
}

/// Who owns a file, once for each section that speaks of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// GitLab's section; `None` for what stands in none, and on the other forges.
    pub section: Option<String>,
    /// GitLab's `^[Section]`: they are asked, and nothing waits for them.
    pub optional: bool,
    /// As written: `@ada`, `@org/team`, `ada@example.org`.
    pub owners: Vec<String>,
}

/// A CODEOWNERS file, read.
#[derive(Debug, Default)]
pub struct CodeOwners {
    sections: Vec<Section>,
    /// All rules that match count, and not the last alone.
    all_count: bool,
    /// Lines that say nothing a forge would understand: `3: …`.
    pub problems: Vec<String>,
}

#[derive(Debug, Default)]
struct Section {
    name: Option<String>,
    optional: bool,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    pattern: Regex,
    /// Gitea: matches what the pattern does not.
    negated: bool,
    /// GitLab: what matches has no owner in this section.
    excludes: bool,
    owners: Vec<String>,
}

impl Rule {
    fn matches(&self, path: &str) -> bool {
        self.pattern.is_match(path) != self.negated
    }
}

impl CodeOwners {
    pub fn parse(text: &str, forge: Forge) -> Self {
        match forge {
            Forge::GitHub => line::github(text),
            Forge::GitLab => line::gitlab(text),
            Forge::Gitea => line::gitea(text),
        }
    }

    /// The owners of a file, by its path from the repository's top.
    pub fn of(&self, path: &str) -> Vec<Share> {
        self.sections.iter().filter_map(|section| self.in_section(section, path)).collect()
    }

    fn in_section(&self, section: &Section, path: &str) -> Option<Share> {
        let mut matching = section.rules.iter().filter(|rule| rule.matches(path));
        let owners: Vec<String> = if self.all_count {
            let mut owners: Vec<String> = matching.flat_map(|rule| rule.owners.clone()).collect();
            let mut seen = std::collections::BTreeSet::new();
            owners.retain(|owner| seen.insert(owner.clone()));
            owners
        } else if section.rules.iter().any(|rule| rule.excludes && rule.matches(path)) {
            Vec::new()
        } else {
            matching.next_back().map(|rule| rule.owners.clone()).unwrap_or_default()
        };
        let (section, optional) = (section.name.clone(), section.optional);
        (!owners.is_empty()).then_some(Share { section, optional, owners })
    }
}
