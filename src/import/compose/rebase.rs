//! Paths in a file that `extends` brings in: they start at that file's own directory, as Compose has it.

use super::yaml::{Node, Value};

/// Makes the paths of a service start where the directory's own path starts.
pub(super) fn service(service: &mut Node, directory: &str) {
    let Value::Map(keys) = &mut service.value else { return };
    for (key, node) in keys {
        match key.as_str() {
            "env_file" => each(node, &mut |file| {
                if let Some(path) = text_of(file, "path") {
                    moved(path, directory);
                }
            }),
            "volumes" => each(node, &mut |mount| {
                if let Some(source) = text_of(mount, "source").filter(|source| source.starts_with('.')) {
                    moved(source, directory);
                }
            }),
            "extends" => {
                if let Value::Map(pairs) = &mut node.value
                    && let Some((_, Node { value: Value::Text(file), .. })) =
                        pairs.iter_mut().find(|(key, _)| key == "file")
                {
                    moved(file, directory);
                }
            }
            _ => {}
        }
    }
}

fn each(node: &mut Node, how: &mut dyn FnMut(&mut Node)) {
    match &mut node.value {
        Value::List(list) => list.iter_mut().for_each(how),
        Value::Null | Value::Text(_) | Value::Map(_) => how(node),
    }
}

/// The node's own text, or that of its key.
fn text_of<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut String> {
    match &mut node.value {
        Value::Text(text) => Some(text),
        Value::Map(pairs) => {
            match pairs.iter_mut().find(|(name, _)| name == key).map(|(_, n)| &mut n.value) {
                Some(Value::Text(text)) => Some(text),
                Some(Value::Null | Value::List(_) | Value::Map(_)) | None => None,
            }
        }
        Value::Null | Value::List(_) => None,
    }
}

/// The rest of a short mount (`./a:/b`) stays behind its path.
fn moved(path: &mut String, directory: &str) {
    if path.starts_with('/') {
        return;
    }
    let dot = if directory.starts_with(['.', '/']) { "" } else { "./" };
    *path = format!("{dot}{directory}/{path}");
}
