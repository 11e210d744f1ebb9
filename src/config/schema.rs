//! The JSON Schema of every kind of file, and the reference page; both generated from the types.

use std::fmt::Write as _;

use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value, json};

use super::shape::{AppFile, FleetFile, HostsFile, NetworksFile};

/// One schema per kind of file, by the pattern of its path.
pub fn schema() -> Value {
    let mut files = Map::new();
    for (path, schema) in kinds() {
        files.insert(path.to_owned(), schema);
    }
    json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "trueup config repository", "files": files })
}

fn kinds() -> [(&'static str, Value); 4] {
    [
        ("fleet.toml", of::<FleetFile>()),
        ("hosts/*.toml", of::<HostsFile>()),
        ("networks/*.toml", of::<NetworksFile>()),
        ("apps/*/*.toml", of::<AppFile>()),
    ]
}

fn of<T: JsonSchema>() -> Value {
    schema_for!(T).to_value()
}

/// docs/config-reference.md: every key of every file.
pub fn reference_markdown() -> String {
    let mut page = String::from(
        "# The config repository: every key\n\nGenerated from the types by `trueup schema --reference`; a test keeps it current. \
         `trueup schema` prints the same as JSON Schema for editors.\n\nUnknown keys are refused. Sizes are written `\"512MiB\"`, times `\"30s\"`.\n",
    );
    for (path, schema) in kinds() {
        let _ = write!(page, "\n## `{path}`\n\n");
        describe(&mut page, &schema);
        let definitions = schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
        for (name, definition) in definitions {
            if definition.get("properties").is_some() && name != "AppFile" && name != "DefaultsShape" {
                let _ = write!(page, "\n### {}\n\n", title(&name));
                describe(&mut page, &definition);
            }
        }
    }
    page
}

fn title(name: &str) -> String {
    name.trim_end_matches("Shape").to_owned()
}

fn describe(page: &mut String, schema: &Value) {
    if let Some(text) = schema.get("description").and_then(Value::as_str) {
        let _ = write!(page, "{}\n\n", one_line(text));
    }
    let _ = write!(page, "| key | type | meaning |\n|---|---|---|\n");
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, property) in properties {
        let meaning = property.get("description").and_then(Value::as_str).map(one_line).unwrap_or_default();
        let _ = writeln!(page, "| `{key}` | {} | {} |", kind(&property), meaning.replace('|', "\\|"));
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A type in words.
fn kind(property: &Value) -> String {
    if let Some(reference) = property.get("$ref").and_then(Value::as_str) {
        return title(reference.rsplit('/').next().unwrap_or(reference));
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(list) = property.get(key).and_then(Value::as_array) {
            let words: Vec<String> =
                list.iter().filter(|v| v.get("type") != Some(&json!("null"))).map(kind).collect();
            return words.join(" or ");
        }
    }
    let name = match property.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).filter(|n| *n != "null").collect();
            names.join(" or ")
        }
        Some(_) | None => return "any".to_owned(),
    };
    match name.as_str() {
        "array" => format!("list of {}", property.get("items").map(kind).unwrap_or_default()),
        "object" => match property.get("additionalProperties") {
            Some(Value::Object(inner)) => format!("table of {}", kind(&Value::Object(inner.clone()))),
            Some(_) | None => "table".to_owned(),
        },
        _ => name,
    }
}
