//! An app as it is in an environment, each value with the file and line it comes from.

use crate::model::names::{AppName, EnvironmentName};
use crate::model::tree::Tree;

use super::diagnostic::{Errors, Spot};
use super::load::{Loader, merge};
use super::node::{Node, Value};

/// One value: `limits.memory`, `"64MiB"`, `apps/quote/prod.toml:7`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OriginLine {
    pub path: String,
    pub value: String,
    pub origin: String,
}

/// Every value of the app in that environment: base, overlay and defaults together.
pub fn show(tree: &Tree, app: &AppName, environment: &EnvironmentName) -> Result<Vec<OriginLine>, Errors> {
    let mut errors = Errors::default();
    let mut loader = Loader::new(tree);
    let fleet = loader.parse("fleet.toml", &mut errors);
    let path = format!("apps/{app}/app.toml");
    let base = loader.parse(&path, &mut errors);
    let overlay = loader.parse(&format!("apps/{app}/{environment}.toml"), &mut errors);
    let (Some(fleet), Some(base)) = (fleet, base) else {
        errors.add(&Spot::whole(&path), format!("this commit has no app {app}"), None);
        return errors.into_result(Vec::new());
    };
    let listed = base.table().and_then(|table| table.get("environments")).map(|entry| &entry.node);
    let named = listed.is_some_and(|list| match &list.value {
        Value::Array(list) => {
            list.iter().any(|item| matches!(&item.value, Value::String(word) if word == environment.as_str()))
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Table(_) => false,
    });
    if overlay.is_none() && !named {
        let hint = format!(
            "add {environment:?} to `environments`, or an overlay file {environment}.toml beside it",
            environment = environment.as_str()
        );
        let at = listed.map_or(&base.spot, |list| &list.spot);
        errors.add(at, format!("{app} does not run in {environment}"), Some(hint));
    }
    let merged = merge(&fleet, &base, overlay.as_ref());
    let mut lines = Vec::new();
    walk(&merged, "", &mut lines);
    errors.into_result(lines)
}

fn walk(node: &Node, path: &str, lines: &mut Vec<OriginLine>) {
    match &node.value {
        Value::Table(table) => {
            for (key, entry) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(&entry.node, &path, lines);
            }
        }
        Value::Array(list) if list.iter().any(|item| item.table().is_some()) => {
            for (index, item) in list.iter().enumerate() {
                walk(item, &format!("{path}[{index}]"), lines);
            }
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_) => {
            lines.push(OriginLine { path: path.to_owned(), value: text(node), origin: node.spot.line() });
        }
    }
}

fn text(node: &Node) -> String {
    match &node.value {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Array(list) => format!("[{}]", list.iter().map(text).collect::<Vec<_>>().join(", ")),
        Value::Table(_) => "{…}".to_owned(),
    }
}
