//! Rules in Rego over a change and the draft of its plan → `Findings` (F2), and the gate that holds what they deny.

mod rego;
mod steps;

pub use rego::{Modules, RuleError, Source};

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn t() {
        let s = |t: &str| Source { path: "policies/a.rego".into(), text: t.into() };
        let go = |t: &str| {
            let m = match Modules::compile([&s(t)], serde_json::json!({})) { Ok(m) => m, Err(e) => { println!("COMPILE {e:?}"); return } };
            println!("{:?}", m.document("a", &regorus::Value::from(serde_json::json!({"x": [1,2,3], "y": "s"})), "policies/a.rego"));
        };
        go("package a\nimport rego.v1\ndeny contains msg if { some i in input.x; msg := sprintf(\"n %d\", [i]) }\ndeny contains {\"msg\": \"m\", \"final\": true} if input.y == \"s\"\n");
        go("package a\ndeny contains msg if { some i in input.x; msg := sprintf(\"n %d\", [i]) }\n");
        go("package a\ndeny[msg] { msg := \"old\" }\n");
        go("package a\nimport rego.v1\ndeny contains msg if { msg := foo(1) }\n");
        go("package a\nimport rego.v1\ndeny contains msg if { msg := zzz }\n");
        go("package a\nimport rego.v1\ndeny contains msg if { input.y + 1 == 2; msg := \"x\" }\n");
        go("package a\nimport rego.v1\ndeny contains msg if { time.now_ns() > 1; msg := \"x\" }\n");
        go("package a\nimport rego.v1\nn := [1,2,3,4,5,6,7,8,9,10]\ndeny contains msg if { some a in n; some b in n; some c in n; some d in n; some e in n; some f in n; some g in n; some h in n; a+b+c+d+e+f+g+h == 0; msg := \"x\" }\n");
        go("package a\nimport rego.v1\ndeny contains msg if { \n");
        go("package a\nimport rego.v1\nf(x) := f(x)\ndeny contains msg if { msg := f(1) }\n");
        go("package a\nimport rego.v1\nx := 1 if true\nx := 2 if true\n");
    }
}
