//! The process that rules are read in: whatever they do to it, it ends, within its bounds, and its parent says why (F4).

#![allow(clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use trueup::adapter::sandbox::ProcessSandbox;
use trueup::control::rules::{Unanswered, ask};
use trueup::model::finding::Level;
use trueup::model::policy::PolicySettings;
use trueup::policy::{Judgement, Listed, Question, Source};
use trueup::ports::SandboxError;

fn sandbox(deadline: Duration) -> ProcessSandbox {
    ProcessSandbox::of(env!("CARGO_BIN_EXE_trueup").into(), deadline)
}

const LONG: Duration = Duration::from_secs(60);

fn own(body: &str) -> Vec<Source> {
    let text = format!("package team\nimport rego.v1\n{body}");
    vec![Source { path: "policies/own.rego".into(), text }]
}

fn judge(body: &str) -> Question {
    let input = serde_json::json!({ "revision": { "base": null }, "apps": [] });
    Question::Judge { settings: PolicySettings::default(), own: own(body), input }
}

fn list(body: &str) -> Question {
    Question::List { settings: PolicySettings::default(), own: own(body) }
}

fn broken<T>(answer: Result<T, Unanswered>) -> SandboxError {
    match answer {
        Err(Unanswered::Sandbox(error)) => error,
        Err(Unanswered::Wrong(errors)) => panic!("{errors:?}"),
        Ok(_) => panic!("it answered"),
    }
}

/// Each line doubles the one before: 31 lines are eight gigabytes.
fn doubled(times: u32) -> String {
    let lines: String = (1..=times).map(|n| format!("x{n} := concat(\"\", [x{0}, x{0}])\n", n - 1)).collect();
    format!("x0 := \"abcd\"\n{lines}")
}

#[tokio::test]
async fn honest_rules_are_answered() {
    let sandbox = sandbox(LONG);
    let listed: Listed = ask(&sandbox, &list("deny contains \"no\"\n")).await.expect("an answer");
    assert!(listed.iter().any(|rule| rule.name == "team" && rule.own));
    let judged: Judgement = ask(&sandbox, &judge("deny contains \"no\"\n")).await.expect("an answer");
    let said = judged.findings.findings.iter().find(|finding| finding.rule == "team").expect("a denial");
    assert_eq!((said.level, said.message.as_str()), (Level::Overridable, "no"));
    let wrong = ask::<Listed>(&sandbox, &list("deny contains\n")).await.expect_err("no Rego");
    assert!(wrong.errors()[0].to_string().starts_with("policies/own.rego:4:1: "));
}

#[tokio::test]
async fn rules_that_take_all_memory_break_their_own_process_alone() {
    let rules = format!("{}deny contains x31\n", doubled(31));
    let error = broken(ask::<Judgement>(&sandbox(LONG), &judge(&rules)).await);
    assert!(matches!(error, SandboxError::Broke { mebibytes: 512, .. }), "{error}");
    // Reading them runs none of them.
    let listed: Listed = ask(&sandbox(LONG), &list(&rules)).await.expect("an answer");
    assert!(listed.iter().any(|rule| rule.name == "team"));
}

#[tokio::test]
async fn rules_that_say_too_much_are_cut_off() {
    let rules = format!("{}deny contains {{\"msg\": x22}}\n", doubled(22));
    let error = broken(ask::<Judgement>(&sandbox(LONG), &judge(&rules)).await);
    assert!(matches!(error, SandboxError::TooMuch { .. }), "{error}");
}

#[tokio::test]
async fn rules_that_take_too_long_are_ended() {
    // As deep as is allowed, and as often: the parser would take far longer than this.
    let line = |n: usize| format!("y{n} := {}{}\n", "[".repeat(12), "]".repeat(12));
    let rules: String = (0..490).map(line).collect();
    let begun = Instant::now();
    let error = broken(ask::<Listed>(&sandbox(Duration::from_secs(1)), &list(&rules)).await);
    assert_eq!(error, SandboxError::Deadline { seconds: 1 });
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told() {
    let nowhere = ProcessSandbox::of("/no/such/program".into(), LONG);
    let error = broken(ask::<Listed>(&nowhere, &list("")).await);
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}
