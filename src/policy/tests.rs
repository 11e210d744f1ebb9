//! The rules against whole fleets, and the properties that no rule may break.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use crate::model::app::App;
use crate::model::desired::Desired;
use crate::model::finding::{Effect, Finding, Findings, Level};
use crate::model::policy::{PolicySettings, Switch, Window, WindowEffect};
use crate::model::zone::Zone;

use super::*;

mod real_document;

/// What the rules say of the situation.
fn evaluate(rules: &Rules, situation: &Situation<'_>) -> Findings {
    rules.judge(&situation.document()).findings
}

fn fleets() -> (Desired, Desired) {
    example::fleets().expect("the example reads")
}

fn compiled(settings: &PolicySettings, own: &str) -> Rules {
    let own: Vec<Source> = (!own.is_empty()).then(|| source("policies/own.rego", own)).into_iter().collect();
    Rules::compile(settings, &own).unwrap_or_else(|e| panic!("{e:?}"))
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

/// What `own` and the library say of the example; of `rule` alone.
fn says(settings: &PolicySettings, own: &str, rule: &str) -> Vec<Finding> {
    let (before, after) = fleets();
    let nothing = BTreeSet::new();
    let findings = evaluate(&compiled(settings, own), &example::situation(&before, &after, &nothing));
    findings.findings.into_iter().filter(|finding| finding.rule == rule).collect()
}

fn on(rule: &str, switch: Switch) -> PolicySettings {
    PolicySettings { rules: BTreeMap::from([(rule.to_owned(), switch)]), ..PolicySettings::default() }
}

#[test]
fn the_librarys_own_tests_pass() {
    let results = testing::test(&library(true)).expect("it compiles");
    assert!(results.len() > 40, "{results:?}");
    let failed: Vec<_> = results.iter().filter(|result| result.failed.is_some()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_rule_of_the_library_has_tests_of_its_own() {
    let all = library(true);
    let rules = all.iter().filter(|source| !is_test(&source.path));
    for rule in rules {
        let tests = rule.path.replace(".rego", "_test.rego");
        let test = all.iter().find(|source| source.path == tests).unwrap_or_else(|| panic!("no {tests}"));
        let denied = ["count(rule.deny) == 1", "count(rule.warn) == 1"];
        assert!(denied.iter().any(|sign| test.text.contains(sign)), "{tests} tests nothing denied");
    }
}

/// One app of a fleet, changed.
fn with(change: impl Fn(&mut App)) -> Desired {
    let (_, mut after) = fleets();
    for app in after.apps.values_mut() {
        change(Arc::make_mut(app));
    }
    after
}

const DENY: &str = "package team.quotes\nimport rego.v1\n\
    deny contains {\"app\": app.key, \"msg\": \"no\"} if some app in input.apps\n";

#[test]
fn levels_come_from_the_rule_and_the_settings() {
    let level = |settings: &PolicySettings, own: &str| says(settings, own, "team.quotes")[0].level;
    let usual = PolicySettings::default();
    assert_eq!(level(&usual, DENY), Level::Overridable);
    assert_eq!(level(&usual, &DENY.replace("\"no\"", "\"no\", \"final\": true")), Level::Final);
    assert_eq!(level(&usual, &DENY.replace("deny", "warn")), Level::Advice);
    assert_eq!(level(&on("team.quotes", Switch::Final), DENY), Level::Final);
    assert_eq!(level(&on("team.quotes", Switch::Advice), DENY), Level::Advice);
    assert_eq!(says(&on("team.quotes", Switch::Off), DENY, "team.quotes"), []);
    let off = PolicySettings { repository: false, ..usual };
    assert_eq!(says(&off, DENY, "team.quotes"), []);
}

#[test]
fn a_finding_names_the_apps_own_place() {
    let finding = says(&PolicySettings::default(), DENY, "team.quotes").remove(0);
    assert!(finding.file.starts_with("apps/quote/app.toml"), "{}", finding.file);
    assert_eq!(finding.app.map(|app| app.to_string()).as_deref(), Some("quote-prod"));
}

#[test]
fn what_cannot_be_evaluated_holds_and_says_where() {
    for (body, place, words) in [
        ("input.now + 1 == 2", "policies/own.rego:3:", "numeric"),
        ("unheard_of(1)", "policies/own.rego:3:", "unheard_of"),
        ("time.now_ns() > 0", "policies/own.rego:3:", "time.now_ns"),
        ("http.send({}).status == 200", "policies/own.rego:3:", "http.send"),
    ] {
        let own = format!("package team\nimport rego.v1\ndeny contains \"no\" if {body}\n");
        let findings = says(&PolicySettings::default(), &own, "team");
        assert_eq!(findings.len(), 1, "{own}: {findings:?}");
        assert!(findings[0].file.starts_with(place), "{findings:?}");
        assert!(findings[0].message.contains(words) && findings[0].effect == Effect::Holds, "{findings:?}");
    }
    let scalar = "package team\nimport rego.v1\ndeny := true\n";
    assert!(says(&PolicySettings::default(), scalar, "team")[0].message.contains("set of messages"));
}

#[test]
fn a_rule_that_loops_is_bounded_and_told() {
    let own = "package team\nimport rego.v1\nn := [1, 2, 3, 4, 5, 6, 7, 8, 9]\ndeny contains \"no\" if {\n\
        some a in n; some b in n; some c in n; some d in n; some e in n; some f in n; some g in n; some h in n\n\
        a + b + c + d + e + f + g + h == 0\n}\n";
    let findings = says(&PolicySettings::default(), own, "team");
    assert!(findings[0].message.contains("steps") && findings[0].effect == Effect::Holds, "{findings:?}");
}

#[test]
fn rules_that_need_themselves_are_refused_before_they_run() {
    for body in [
        "f(x) := f(x)\ndeny contains f(1)\n",
        "f(x) := g(x)\ng(x) := f(x)\n",
        "a if b\nb if a\n",
        "a := data.team\n",
        "a := data[\"team\"].a\n",
        "import data.team as me\na := me.a\n",
    ] {
        let own = source("policies/own.rego", &format!("package team\nimport rego.v1\n{body}"));
        let errors = Rules::compile(&PolicySettings::default(), &[own]).err().expect(body);
        assert!(errors[0].message.contains("needs itself"), "{body}: {errors:?}");
    }
}

/// Finding 1 of the review: the parser takes several times as long for each bracket more.
#[test]
fn brackets_in_brackets_are_refused_before_they_are_read() {
    let text = format!("package team\nimport rego.v1\nx := {}{}\n", "[".repeat(24), "]".repeat(24));
    let errors = Rules::compile(&PolicySettings::default(), &[source("policies/own.rego", &text)]).err();
    let errors = errors.expect("it is refused");
    assert_eq!(errors[0].place(), "policies/own.rego:3:18");
    assert!(errors[0].message.contains("brackets"), "{errors:?}");
}

/// As many as are allowed, each of which needs the next one and all of another package.
#[test]
fn many_rules_are_read_in_a_moment() {
    let file = |package: &str, needs: &str, count: usize| {
        let rule = |n: usize| format!("r{n} if {{\n\t{needs}\n\tr{}\n}}\n", n + 1);
        let rules: String = (1..count).map(rule).collect();
        let text = format!("package {package}\nimport rego.v1\n{rules}r{count} := true\n");
        source(&format!("policies/{package}.rego"), &text)
    };
    let all = |count: usize| {
        let needs = "data.lib.r1";
        ["a", "b", "c"]
            .map(|package| file(package, &format!("{needs}\n\tcount(data.lib) > 0"), count))
            .into_iter()
            .chain([file("lib", "true", count)])
            .collect::<Vec<_>>()
    };
    let begun = std::time::Instant::now();
    let compiled = Rules::compile(&PolicySettings::default(), &all(500));
    assert!(compiled.is_ok(), "{:?}", compiled.err());
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    let errors = Rules::compile(&PolicySettings::default(), &all(501)).err().expect("too many");
    assert!(errors.iter().all(|error| error.message.contains("rules")), "{errors:?}");
}

#[test]
fn what_a_rule_says_of_itself_is_read_and_never_computed() {
    let doubled: String = (1..=31).map(|n| format!("x{n} := concat(\"\", [x{0}, x{0}])\n", n - 1)).collect();
    let own = |about: &str| {
        source(
            "policies/own.rego",
            &format!("package team\nimport rego.v1\nx0 := \"ab\"\nabout := {about}\n{doubled}"),
        )
    };
    let compile = |about: &str| Rules::compile(&PolicySettings::default(), &[own(about)]);
    for computed in ["{\"says\": x31}", "concat(\"\", [x31])", "{\"level\": \"off\" | true}", "1"] {
        let errors = compile(computed).err().expect(computed);
        assert_eq!(errors[0].place(), "policies/own.rego:4:1", "{errors:?}");
    }
    let rules = compile("{\"level\": \"final\", \"says\": `nothing`}").unwrap_or_else(|e| panic!("{e:?}"));
    let rule = rules.list().iter().find(|rule| rule.own).expect("the rule");
    assert_eq!((rule.says.as_str(), rule.level(false)), ("nothing", Some(Switch::Final)));
}

#[test]
fn production_has_levels_of_its_own_once_something_was_applied() {
    let (before, _) = fleets();
    let open = with(|app| app.container.privileged = true);
    let nothing = BTreeSet::new();
    let level = |settings: PolicySettings, before: Option<&Desired>| {
        let situation = Situation { before, ..example::situation(&open, &open, &nothing) };
        let found = evaluate(&compiled(&settings, ""), &situation).findings;
        found.into_iter().find(|finding| finding.rule == "no_privileged").map(|finding| finding.level)
    };
    assert_eq!(level(PolicySettings::default(), Some(&before)), Some(Level::Overridable));
    // The first revision of all says what is there already.
    assert_eq!(level(PolicySettings::default(), None), Some(Level::Advice));
    // The settings have the last word.
    assert_eq!(level(on("no_privileged", Switch::Advice), Some(&before)), Some(Level::Advice));
    assert_eq!(level(on("no_privileged", Switch::Final), None), Some(Level::Final));
    assert_eq!(level(on("no_privileged", Switch::Off), Some(&before)), None);
}

#[test]
fn a_finding_may_say_its_own_level() {
    let level = |settings: &PolicySettings, level: &str| {
        let own = DENY.replace("\"no\"", &format!("\"no\", \"level\": \"{level}\""));
        says(settings, &own, "team.quotes").first().map(|finding| finding.level)
    };
    let usual = PolicySettings::default();
    assert_eq!(level(&usual, "advice"), Some(Level::Advice));
    assert_eq!(level(&usual, "final"), Some(Level::Final));
    assert_eq!(level(&usual, "off"), None);
    assert_eq!(level(&on("team.quotes", Switch::Final), "advice"), Some(Level::Final));
}

#[test]
fn a_registry_is_not_asked_for_what_a_rule_without_digests_denies() {
    let rules = compiled(&PolicySettings::default(), DENY);
    let looking =
        |name: &str| rules.list().iter().find(|rule| rule.name == name).expect(name).looks_at_digests;
    assert!(looking("ran_healthy_first"));
    for name in ["allowed_registries", "pinned_images", "no_privileged", "freeze", "team.quotes"] {
        assert!(!looking(name), "{name}");
    }
    // Through a package that does.
    let own = [
        source(
            "policies/a.rego",
            "package a\nimport rego.v1\nimport data.lib\ndeny contains \"x\" if lib.new(1)\n",
        ),
        source("policies/b.rego", "package lib\nimport rego.v1\nnew(x) if x.image.digest == null\n"),
        source("policies/c.rego", "package c\nimport rego.v1\ndeny contains \"x\" if input.digested\n"),
    ];
    let rules = Rules::compile(&PolicySettings::default(), &own).unwrap_or_else(|e| panic!("{e:?}"));
    let looking: Vec<&str> =
        rules.list().iter().filter(|r| r.own && r.looks_at_digests).map(|r| r.name.as_str()).collect();
    assert_eq!(looking, ["a", "lib"]);
}

/// A freeze that never ends.
fn always() -> Window {
    Window {
        name: "now".into(),
        effect: WindowEffect::Deny,
        environments: BTreeSet::new(),
        zone: Zone::UTC,
        days: Vec::new(),
        hours: None,
        begin: None,
        end: None,
    }
}

/// The document has what these rules ask for of Swarms, Flume and environments.
#[test]
fn a_freeze_and_the_loss_of_production_see_the_whole_fleet() {
    let (mut before, _) = fleets();
    before.detect_only = true;
    let frozen = [always()];
    let shut = [Window {
        effect: WindowEffect::Allow,
        begin: Some(chrono::NaiveDateTime::MAX),
        ..frozen[0].clone()
    }];
    let said = |after: &Desired, freeze: &[Window], rule: &str| -> Vec<String> {
        let nothing = BTreeSet::new();
        let situation = Situation { freeze, ..example::situation(&before, after, &nothing) };
        let findings = evaluate(&compiled(&PolicySettings::default(), ""), &situation).findings;
        findings.into_iter().filter(|f| f.rule == rule).map(|f| f.message).collect()
    };
    let mut flume = before.clone();
    flume.flume.brokers = vec!["192.0.2.9:9092".into()];
    let mut host = before.clone();
    host.hosts.values_mut().for_each(|host| host.drain = true);
    let mut loose = before.clone();
    loose.detect_only = false;
    let mut none = before.clone();
    none.environments.values_mut().for_each(|environment| environment.production = false);
    for (after, what) in [
        (&flume, "flume"),
        (&host, "host rack"),
        (&none, "environment prod"),
        (&loose, "detect_only of the fleet"),
    ] {
        for windows in [&frozen, &shut] {
            let told = said(after, windows, "freeze");
            assert!(told.iter().any(|message| message.starts_with(what)), "{what}: {told:?}");
        }
    }
    assert_eq!(said(&before, &frozen, "freeze"), Vec::<String>::new());
    let ended = said(&none, &[], "production_kept");
    assert!(ended.len() == 1 && ended[0].contains("prod"), "{ended:?}");
    assert_eq!(said(&flume, &[], "production_kept"), Vec::<String>::new());
}

/// F3, A6: the brake by git works inside a freeze, alone.
#[test]
fn a_freeze_lets_the_brake_pass() {
    let frozen = [always()];
    let said = |before: &Desired, after: &Desired| {
        let nothing = BTreeSet::new();
        let situation = Situation { freeze: &frozen, ..example::situation(before, after, &nothing) };
        let findings = evaluate(&compiled(&PolicySettings::default(), ""), &situation).findings;
        findings.into_iter().filter(|f| f.rule == "freeze").count()
    };
    let (before, _) = fleets();
    let braked = |change: &dyn Fn(&mut Desired)| {
        let mut after = before.clone();
        change(&mut after);
        after
    };
    let watch = |app: &mut Arc<App>| Arc::make_mut(app).detect_only = true;
    let fleet = braked(&|after| after.detect_only = true);
    let environments = braked(&|after| after.environments.values_mut().for_each(|e| e.detect_only = true));
    let apps = braked(&|after| after.apps.values_mut().for_each(watch));
    for after in [&fleet, &environments, &apps] {
        assert_eq!(said(&before, after), 0);
        assert!(said(after, &before) > 0, "taking it away waits");
    }
    let more = braked(&|after| {
        after.apps.values_mut().for_each(|app| {
            watch(app);
            Arc::make_mut(app).protect = true;
        });
    });
    assert!(said(&before, &more) > 0, "not with anything else");
}

#[test]
fn wrong_files_are_told_with_their_place() {
    for (text, place) in [
        ("package team\nimport rego.v1\ndeny contains \"x\" if {\n", "policies/own.rego:4:1"),
        ("package team\ndeny[msg] { msg := \"old\" }\n", "policies/own.rego:2:11"),
        ("package trueup.freeze\nimport rego.v1\nabout := {}\n", "policies/own.rego:1:1"),
        ("package team\nimport rego.v1\nx := numbers.range(1, 1000000000000)\n", "policies/own.rego:3:1"),
    ] {
        let errors = Rules::compile(&PolicySettings::default(), &[source("policies/own.rego", text)])
            .err()
            .unwrap_or_else(|| panic!("{text}"));
        assert_eq!(errors[0].place(), place, "{errors:?}");
    }
}

#[test]
fn an_unknown_name_in_the_settings_is_told() {
    let (before, after) = fleets();
    let nothing = BTreeSet::new();
    let rules = compiled(&on("no_such_rule", Switch::Off), "");
    let findings = evaluate(&rules, &example::situation(&before, &after, &nothing));
    assert!(findings.notes.iter().any(|note| note.contains("no_such_rule")), "{:?}", findings.notes);
}

#[test]
fn production_is_what_was_production_before() {
    let (before, mut after) = fleets();
    for environment in after.environments.values_mut() {
        environment.production = false;
    }
    let nothing = BTreeSet::new();
    let document = example::situation(&before, &after, &nothing).document();
    assert_eq!(document["apps"][0]["production"], true);
}

#[test]
fn a_place_in_the_file_is_no_change() {
    let (before, _) = fleets();
    let mut after = before.clone();
    for app in after.apps.values_mut() {
        Arc::make_mut(app).origin = "elsewhere.toml:99".into();
    }
    let nothing = BTreeSet::new();
    assert!(!example::situation(&before, &after, &nothing).is_change());
}

/// A fleet of many apps with these denied.
fn many(version: &str, count: u8, only: &BTreeSet<u8>) -> Desired {
    let (mut fleet, _) = fleets();
    let (_, template) = fleet.apps.pop_first().expect("an app");
    for n in 0..count {
        let mut app = App::clone(&template);
        app.key.app = format!("app{n}").parse().expect("a name");
        if only.contains(&n) {
            app.container.image = format!("registry.example/quote:{version}").parse().expect("an image");
        }
        fleet.apps.insert(app.key.clone(), Arc::new(app));
    }
    fleet
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever changes and whatever is denied: what is held is enforced as it was, the rest as it will be, and the
    /// same question gets the same answer.
    #[test]
    fn what_is_denied_is_never_enforced(changed in prop::collection::btree_set(0u8..6, 0..6), denied in prop::collection::btree_set(0u8..6, 0..6)) {
        let (before, after) = (many("1.4", 6, &BTreeSet::new()), many("9", 6, &changed));
        let names: Vec<String> = denied.iter().map(|n| format!("\"app{n}\"")).collect();
        let own = format!(
            "package team\nimport rego.v1\nsome_apps := [{}]\ndeny contains {{\"app\": a.key, \"msg\": \"no\"}} if {{ some a in input.apps; a.app in some_apps }}\n",
            names.join(", ")
        );
        let nothing = BTreeSet::new();
        let situation = example::situation(&before, &after, &nothing);
        let rules = compiled(&PolicySettings::default(), &own);
        let findings = evaluate(&rules, &situation);
        prop_assert_eq!(&findings, &evaluate(&rules, &situation));
        let verdict = weigh(findings, &situation, &BTreeMap::new());
        let enforced = enforce(&verdict, &situation, &|_| true);
        for n in 0..6u8 {
            let key = format!("app{n}-prod").parse().expect("a key");
            let expected = if denied.contains(&n) { &before } else { &after };
            prop_assert_eq!(&enforced.desired.apps[&key], &expected.apps[&key]);
            prop_assert_eq!(verdict.held.contains(&key), denied.contains(&n) && changed.contains(&n));
        }
    }
}

#[test]
fn an_override_is_bound_to_its_finding_and_revision_and_never_to_a_final_one() {
    let (before, after) = fleets();
    let nothing = BTreeSet::new();
    let situation = example::situation(&before, &after, &nothing);
    let weighed = |own: &str, id: &dyn Fn(&Finding) -> String| {
        let findings = evaluate(&compiled(&PolicySettings::default(), own), &situation);
        let finding = findings.findings.iter().find(|f| f.rule == "team.quotes").expect("a denial").clone();
        weigh(findings, &situation, &BTreeMap::from([(id(&finding), "Ada said so".to_owned())]))
    };
    let here = |finding: &Finding| finding.id(&after.revision);
    let elsewhere = |finding: &Finding| finding.id(&before.revision);
    assert!(weighed(DENY, &here).held.is_empty());
    assert_eq!(weighed(DENY, &elsewhere).held.len(), 1);
    assert_eq!(weighed(&DENY.replace("\"no\"", "\"no\", \"final\": true"), &here).held.len(), 1);
}

#[test]
fn without_an_applied_state_what_is_held_is_left_as_it_is() {
    let (_, after) = fleets();
    let nothing = BTreeSet::new();
    let situation = Situation { before: None, ..example::situation(&after, &after, &nothing) };
    let judge = |own: &str| {
        let findings = evaluate(&compiled(&PolicySettings::default(), own), &situation);
        enforce(&weigh(findings, &situation, &BTreeMap::new()), &situation, &|_| true)
    };
    let one = judge(DENY);
    assert!(one.paused.len() == 1 && one.paused_fleet.is_none() && !one.whole, "{:?}", one.paused);
    let all = judge("package team\nimport rego.v1\ndeny contains \"nothing today\" if input.now\n");
    assert!(all.whole && all.paused_fleet.is_some_and(|why| why.contains("nothing today")));
}

const PAGE: &str = include_str!("../../docs/policies.md");

/// The block of the page that begins with this fence.
fn block(fence: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{fence}\n")).expect("the block");
    rest.split_once("```").expect("its end").0
}

/// Every value of `part` is in `whole`, by its path.
fn within(part: &serde_json::Value, whole: &serde_json::Value, path: &str) {
    match (part, whole) {
        (serde_json::Value::Object(part), serde_json::Value::Object(whole)) => {
            for (key, value) in part {
                let found = whole.get(key).unwrap_or_else(|| panic!("no {path}.{key}"));
                within(value, found, &format!("{path}.{key}"));
            }
        }
        (serde_json::Value::Array(part), serde_json::Value::Array(whole)) => {
            assert_eq!(part.len(), whole.len(), "{path}");
            part.iter().zip(whole).for_each(|(part, whole)| within(part, whole, &format!("{path}[]")));
        }
        (part, whole) => assert_eq!(part, whole, "{path}"),
    }
}

#[test]
fn the_page_shows_what_rules_are_really_given() {
    let shown: serde_json::Value = serde_json::from_str(block("json")).expect("JSON");
    within(&shown, &example::document(), "input");
}

#[test]
fn the_pages_rule_passes_its_test_and_judges_the_example() {
    let sources = [source("quotes.rego", block("rego")), source("quotes_test.rego", block("rego-test"))];
    let results = testing::test(&sources).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(results.iter().map(|result| result.failed.clone()).collect::<Vec<_>>(), [None, None]);
    // The example mounts /logs; without it the rule denies, finally.
    assert_eq!(says(&PolicySettings::default(), block("rego"), "team.quotes"), []);
    let stripped = with(|app| app.container.mounts.clear());
    let (before, _) = fleets();
    let nothing = BTreeSet::new();
    let rules = compiled(&PolicySettings::default(), block("rego"));
    let findings = evaluate(&rules, &example::situation(&before, &stripped, &nothing));
    assert!(
        findings.findings.iter().any(|f| f.rule == "team.quotes" && f.level == Level::Final),
        "{findings:?}"
    );
    assert!(PAGE.lines().count() <= 120, "the page has {} lines", PAGE.lines().count());
}

/// A fleet far larger than most stays far below what one rule may take.
#[test]
fn the_library_judges_a_thousand_apps_within_its_steps() {
    let (mut before, mut after) = fleets();
    let (_, template) = before.apps.pop_first().expect("an app");
    after.apps.clear();
    for n in 0..1000 {
        let mut app = App::clone(&template);
        app.key.app = format!("app{n}").parse().expect("a name");
        before.apps.insert(app.key.clone(), Arc::new(app.clone()));
        app.container.image = "quote:latest".parse().expect("an image");
        after.apps.insert(app.key.clone(), Arc::new(app));
    }
    let nothing = BTreeSet::new();
    let settings = PolicySettings {
        registries: vec!["registry.example".into(), "other.example".into()],
        rules: ["no_host_mounts", "limits_required"].map(|rule| (rule.to_owned(), Switch::Final)).into(),
        most_replicas: Some(1),
        ..PolicySettings::default()
    };
    let findings = evaluate(&compiled(&settings, ""), &example::situation(&before, &after, &nothing));
    let failed = findings.findings.iter().find(|f| f.message.contains("could not be evaluated"));
    assert_eq!(failed, None);
    assert_eq!(findings.findings.iter().filter(|f| f.rule == "pinned_images").count(), 1000);
}
