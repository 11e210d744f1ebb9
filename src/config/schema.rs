//! The JSON Schema of every kind of file, and the reference pages; all generated from the types.

use std::fmt::Write as _;

use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value, json};

use super::own::OwnFile;
use super::shape::{AppFile, FleetFile, HostsFile, NetworksFile};

/// A kind of file: its short name, the pattern of its path, its schema.
pub struct Kind {
    /// Such as `app`; the schema's file is called `app.schema.json`.
    pub name: &'static str,
    /// Which files it describes, as a glob from the repository's root.
    pub paths: &'static str,
    /// JSON Schema, draft 2020-12.
    pub schema: Value,
}

/// The kinds of files of a config repository.
pub fn repository_kinds() -> [Kind; 4] {
    [
        Kind { name: "fleet", paths: "fleet.toml", schema: of::<FleetFile>() },
        Kind { name: "hosts", paths: "hosts/*.toml", schema: of::<HostsFile>() },
        Kind { name: "networks", paths: "networks/*.toml", schema: of::<NetworksFile>() },
        Kind { name: "app", paths: "apps/*/*.toml", schema: of::<AppFile>() },
    ]
}

/// The reconciler's own settings.
pub fn settings_kind() -> Kind {
    Kind { name: "settings", paths: "trueup.toml", schema: of::<OwnFile>() }
}

/// All kinds of repository files in one schema, bundled: what is one of them is valid.
pub fn bundled_schema() -> Value {
    let mut definitions = Map::new();
    let mut references = Vec::new();
    for Kind { name, mut schema, .. } in repository_kinds() {
        let id = format!("{name}.schema.json");
        if let Some(fields) = schema.as_object_mut() {
            fields.insert("$id".to_owned(), json!(id));
        }
        references.push(json!({ "$ref": id }));
        definitions.insert(name.to_owned(), schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a file of a trueup config repository",
        "anyOf": references,
        "$defs": definitions,
    })
}

/// What tells the Taplo language server, and the editors that use it, which schema describes which file.
pub fn taplo_config(schema_dir: &str) -> String {
    let rules = repository_kinds().into_iter().map(|kind| {
        format!(
            "\n[[rule]]\ninclude = [{:?}]\nschema.path = \"{schema_dir}/{}.schema.json\"\n",
            kind.paths, kind.name
        )
    });
    let head = "# Which schema describes which file: editors that use Taplo complete and check by it.\n";
    std::iter::once(head.to_owned()).chain(rules).collect()
}

fn of<T: JsonSchema>() -> Value {
    schema_for!(T).to_value()
}

/// docs/config-reference.md: every key of every file of the repository.
pub fn repository_reference() -> String {
    let head = "# The config repository: every key\n\nGenerated from the types by `trueup schema --reference`; a test keeps it current. \
         `trueup schema --to .schema` writes the same as JSON Schema for editors.\n\n\
         Unknown keys are refused. Sizes are written `\"512MiB\"`, times `\"30s\"`.\n";
    reference(head, &repository_kinds())
}

/// docs/settings-reference.md: every key of trueup's own settings.
pub fn settings_reference() -> String {
    let head = "# Settings: every key\n\nGenerated from the types by `trueup schema settings --reference`; a test keeps it current. \
         `trueup schema settings` prints the same as JSON Schema.\n\n\
         Unknown keys are refused. Times are written `\"30s\"`. How to set trueup up: [operations](operations.md#settings).\n";
    reference(head, &[settings_kind()])
}

fn reference(head: &str, kinds: &[Kind]) -> String {
    let mut page = head.to_owned();
    for Kind { paths, schema, .. } in kinds {
        let _ = write!(page, "\n## `{paths}`\n\n");
        describe(&mut page, schema);
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
