//! What names and words in a repository's rules stand for: which sets are findings (Conftest's conventions), which would be
//! passed over, and whether a rule may look at the plan.

use regorus::Engine;
use regorus::unstable::{Rule, RuleHead, Span};

use crate::model::finding::Level;

use super::rego::{RuleError, dotted};

/// The usual level of what a set of this name says; `None`: it says nothing to anybody.
pub(super) fn usual_level(name: &str) -> Option<Level> {
    let is = |word: &str| is_or_begins(name, word);
    if is("deny") || is("violation") {
        Some(Level::Overridable)
    } else if is("warn") {
        Some(Level::Advice)
    } else {
        None
    }
}

/// `deny`, `deny_…`.
fn is_or_begins(name: &str, word: &str) -> bool {
    name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// Rules whose authors believe that they are asked, with the package of each: `require` (F2 keeps the word for later),
/// and Conftest's `exception`. Functions, and helpers of longer names, are nobody's findings.
pub(super) fn never_asked(engine: &mut Engine) -> Vec<(String, RuleError)> {
    let mut found = Vec::new();
    for module in engine.get_modules().iter() {
        let package = dotted(module.package.refr.span().text());
        for rule in &module.policy {
            let (span, is_set) = match &**rule {
                Rule::Spec { head: RuleHead::Set { refr, .. }, .. } => (refr.span(), true),
                Rule::Spec { head: RuleHead::Compr { refr, .. }, .. } | Rule::Default { refr, .. } => {
                    (refr.span(), false)
                }
                Rule::Spec { head: RuleHead::Func { .. }, .. } => continue,
            };
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let name = span.text().split(|c| !is_word(c)).next().unwrap_or_default();
            if let Some(instead) = instead(name, is_set) {
                found.push((package.clone(), never(span, name, instead)));
            }
        }
    }
    found
}

/// What to do about a rule of this name that nobody asks.
fn instead(name: &str, is_set: bool) -> Option<&'static str> {
    if name == "require" || (is_set && is_or_begins(name, "require")) {
        Some("write `deny contains msg if not …`, or call it something else")
    } else if name == "exception" {
        Some(
            "switch a rule under [policy] rules in the settings, or let a person `trueup override` its finding",
        )
    } else {
        None
    }
}

fn never(span: &Span, name: &str, instead: &str) -> RuleError {
    RuleError {
        file: span.source.file().clone(),
        line: span.line,
        column: span.col,
        message: format!("nobody asks `{name}`, so it would hold nothing and pass nothing: {instead}"),
    }
}

/// Whether a file may look at the plan. Every word `input` counts that is not followed by a field of another name, be it
/// code, text or comment: asking once more than needed costs a moment, asking too little would let a change pass.
pub(super) fn may_look_at_the_plan(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices("input").any(|(at, found)| {
        let rest = &text[at + found.len()..];
        if text[..at].ends_with(is_word) || rest.starts_with(is_word) {
            return false;
        }
        let field = rest.strip_prefix('.').map(|rest| rest.split(|c| !is_word(c)).next().unwrap_or_default());
        field.is_none_or(|field| field.is_empty() || field == "plan")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::{PolicySettings, Switch};
    use crate::policy::{Rules, Source};

    /// The rules that are asked with `input.plan.changes` holding one creation.
    fn says(body: &str) -> (bool, Vec<String>) {
        let text = format!("package team\nimport rego.v1\n{body}");
        let own = Source { path: "policies/own.rego".to_owned(), text };
        let rules =
            Rules::compile(&PolicySettings::default(), &[own]).unwrap_or_else(|e| panic!("{body}: {e:?}"));
        let mut input = crate::policy::example::document();
        input["plan"] = serde_json::json!({ "changes": [{ "action": "create" }] });
        let judged = rules.judge(&input);
        let own = judged.findings.findings.into_iter().filter(|finding| finding.rule == "team");
        (judged.wants_plan, own.map(|finding| finding.message).collect())
    }

    /// F2: however the plan is spelt, the rule is asked with one.
    #[test]
    fn the_plan_in_any_spelling_is_asked_for() {
        for body in [
            "deny contains \"x\" if { some c in input.plan.changes; c.action == \"create\" }",
            "deny contains \"x\" if input.plan.changes[_].action == \"create\"",
            "deny contains \"x\" if input[\"plan\"].changes[_].action == \"create\"",
            "deny contains \"x\" if input[`plan`][\"changes\"][_].action == \"create\"",
            "part := \"plan\"\ndeny contains \"x\" if input[part].changes[_].action == \"create\"",
            "deny contains \"x\" if { some c in object.get(input, [\"plan\", \"changes\"], []); c.action == \"create\" }",
            "deny contains \"x\" if { some c in object.get(input , \"plan\", {}).changes; c.action == \"create\" }",
            "deny contains \"x\" if { doc := input; some c in doc.plan.changes; c.action == \"create\" }",
            "deny contains \"x\" if { doc := input # all of it\n\tsome c in doc.plan.changes; c.action == \"create\" }",
            "deny contains \"x\" if { [doc | doc := input][0].plan.changes[0].action == \"create\" }",
            "deny contains \"x\" if { {\"a\": input}.a.plan.changes[0].action == \"create\" }",
            "deny contains \"x\" if { doc := input; doc.plan.changes[0].action == \"create\" }",
            "f(doc) := doc.plan.changes\ndeny contains \"x\" if f(input)[0].action == \"create\"",
            "f(doc) := doc.plan.changes\ndeny contains \"x\" if f(\n\tinput\n)[0].action == \"create\"",
            "import input.plan\ndeny contains \"x\" if plan.changes[0].action == \"create\"",
            "import input as doc\ndeny contains \"x\" if doc.plan.changes[0].action == \"create\"",
            "deny contains \"x\" if { some key; input[key].changes[0].action == \"create\" }",
            "deny contains \"x\" if { some name, value in input; name == \"plan\"; value.changes[0].action == \"create\" }",
            "deny contains \"x\" if { json.filter(input, [\"plan/changes\"]).plan.changes[0].action == \"create\" }",
        ] {
            assert_eq!(says(body), (true, vec!["x".to_owned()]), "{body}");
        }
    }

    #[test]
    fn rules_that_only_look_at_other_fields_are_asked_once() {
        for body in [
            "deny contains \"x\" if input.apps[0].key == \"none\"",
            "deny contains \"x\" if { some app in input.apps; app.planned }",
            "deny contains \"x\" if input.planned",
            "f(my_input) := my_input.plan\ninputs := []\ndeny contains \"x\" if f(inputs[0])",
        ] {
            assert_eq!(says(body), (false, Vec::new()), "{body}");
        }
    }

    #[test]
    fn a_violation_is_a_denial() {
        let said =
            says("violation contains {\"msg\": \"one\"} if true\nviolation_two contains \"two\" if true");
        assert_eq!(said, (false, vec!["one".to_owned(), "two".to_owned()]));
    }

    /// F2: what nobody asks neither passes for a rule nor holds without a word of what to do.
    #[test]
    fn what_nobody_asks_is_told() {
        for (body, words) in [
            ("require contains \"x\" if input.apps", "`require`"),
            ("require_logs contains \"x\" if input.apps", "`require_logs`"),
            ("require if input.apps == 1", "`require`"),
            ("default require := false", "`require`"),
            ("exception contains [\"root\"] if input.apps", "`exception`"),
        ] {
            let (_, said) = says(body);
            assert!(said.len() == 1 && said[0].contains(words), "{body}: {said:?}");
            let text = format!("package team\nimport rego.v1\n{body}\n");
            let own = [Source { path: "policies/own.rego".to_owned(), text }];
            let errors = crate::policy::rules::check(&own);
            assert!(
                errors.len() == 1 && errors[0].place().starts_with("policies/own.rego:3:"),
                "{body}: {errors:?}"
            );
            let off = PolicySettings {
                rules: [("team".to_owned(), Switch::Off)].into(),
                ..PolicySettings::default()
            };
            let rules = Rules::compile(&off, &own).unwrap_or_else(|e| panic!("{e:?}"));
            let findings = rules.judge(&crate::policy::example::document()).findings.findings;
            assert!(findings.iter().all(|finding| finding.rule != "team"), "{findings:?}");
        }
        for helper in
            ["require(x) := x", "required := 1", "require_memory := 1", "exceptions contains 1 if true"]
        {
            assert_eq!(says(helper), (false, Vec::new()), "{helper}");
        }
    }

    #[test]
    fn conftests_names_are_findings_and_others_are_not() {
        for (name, level) in [
            ("deny", Some(Level::Overridable)),
            ("deny_root", Some(Level::Overridable)),
            ("violation", Some(Level::Overridable)),
            ("violation_root", Some(Level::Overridable)),
            ("warn", Some(Level::Advice)),
            ("warn_root", Some(Level::Advice)),
            ("denying", None),
            ("violations", None),
            ("require", None),
            ("allow", None),
        ] {
            assert_eq!(usual_level(name), level, "{name}");
        }
    }
}
