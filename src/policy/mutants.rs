//! Rego tests that cannot fail are worth nothing: each condition, each element of a set and each rule of the library is
//! taken away in turn, and the rule's own tests have to notice.

use regorus::Engine;
use regorus::unstable::{Expr, Literal, Query, Rule, RuleHead, Span};

use super::rego::Source;
use super::{is_test, library, testing};

/// Mutants that no test can tell from the rule: its name, the part, and why.
const THE_SAME: &[(&str, &str, &str)] = &[];

/// A part of a file's text, and what stands there instead.
struct Mutation {
    start: usize,
    end: usize,
    instead: &'static str,
}

#[test]
fn whatever_is_taken_out_of_a_rule_its_tests_notice() {
    let all = library(true);
    let (mut survivors, mut tried) = (Vec::new(), 0);
    for rule in all.iter().filter(|source| !is_test(&source.path)) {
        let tests = rule.path.replace(".rego", "_test.rego");
        let tests = all.iter().find(|source| source.path == tests).expect("tests beside the rule");
        for mutation in mutations(rule) {
            tried += 1;
            let Mutation { start, end, instead } = mutation;
            let text = format!("{}{instead}{}", &rule.text[..start], &rule.text[end..]);
            if !notice(&Source { path: rule.path.clone(), text }, tests) && !is_the_same(rule, start, end) {
                let line = rule.text[..start].lines().count();
                survivors.push(format!("{}:{line}: {:?} -> {instead:?}", rule.path, &rule.text[start..end]));
            }
        }
    }
    assert!(tried > 100, "{tried} mutants are too few: were the files read?");
    assert!(survivors.is_empty(), "no test fails without:\n{}", survivors.join("\n"));
}

fn is_the_same(rule: &Source, start: usize, end: usize) -> bool {
    THE_SAME.iter().any(|(name, part, _)| {
        rule.path == format!("policies/{name}.rego") && &rule.text[start..end] == *part
    })
}

/// Whether a test fails, or the mutant is no Rego at all.
fn notice(mutant: &Source, tests: &Source) -> bool {
    testing::test(&[mutant.clone(), tests.clone()])
        .map_or(true, |results| results.iter().any(|result| result.failed.is_some()))
}

fn mutations(rule: &Source) -> Vec<Mutation> {
    let mut engine = Engine::new();
    engine.add_policy(rule.path.clone(), rule.text.clone()).expect("the library is Rego");
    let mut found = Vec::new();
    for module in engine.get_modules().iter() {
        for rule in &module.policy {
            let Rule::Spec { span, head, bodies } = &**rule else { continue };
            if head_name(head) == "about" {
                continue;
            }
            found.push(without(span, ""));
            if let RuleHead::Compr { assign: Some(assign), .. } = head {
                of_expr(&assign.value, &mut found);
            }
            bodies.iter().for_each(|body| of_query(&body.query, &mut found));
        }
    }
    found
}

fn head_name(head: &RuleHead) -> &str {
    match head {
        RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. } => {
            refr.span().text()
        }
    }
}

fn without(span: &Span, instead: &'static str) -> Mutation {
    let place = |at: u32| usize::try_from(at).expect("a place in a file");
    Mutation { start: place(span.start), end: place(span.end), instead }
}

/// Each statement is taken to hold.
fn of_query(query: &Query, found: &mut Vec<Mutation>) {
    for statement in &query.stmts {
        found.push(without(&statement.span, "true"));
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { collection, .. } => of_expr(collection, found),
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => of_expr(expr, found),
            Literal::Every { domain, query, .. } => {
                of_expr(domain, found);
                of_query(query, found);
            }
        }
    }
}

/// Each element of a set that is written out is taken away, and the statements of what is computed.
fn of_expr(expr: &Expr, found: &mut Vec<Mutation>) {
    match expr {
        Expr::Set { items, .. } => {
            // Another element takes its place, so that the text stays Rego.
            found.extend(items.iter().map(|item| without(item.span(), "\"nothing\"")));
        }
        Expr::Array { items, .. } => items.iter().for_each(|item| of_expr(item, found)),
        Expr::Object { fields, .. } => fields.iter().for_each(|(_, _, value)| of_expr(value, found)),
        Expr::ArrayCompr { query, .. } | Expr::SetCompr { query, .. } | Expr::ObjectCompr { query, .. } => {
            of_query(query, found);
        }
        Expr::Call { params, .. } => params.iter().for_each(|param| of_expr(param, found)),
        Expr::UnaryExpr { expr, .. } => of_expr(expr, found),
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => {
            of_expr(lhs, found);
            of_expr(rhs, found);
        }
        Expr::Membership { value, collection, .. } => {
            of_expr(value, found);
            of_expr(collection, found);
        }
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::Var { .. }
        | Expr::RefDot { .. }
        | Expr::RefBrack { .. } => {}
    }
}
