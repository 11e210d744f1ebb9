//! Several files as one, as Compose does it: maps by key, lists that are sets by their elements, everything else replaced.

use super::yaml::{Merging, Node, Value};

/// Lists of `name=value`, which maps may stand for.
const PAIRS: [&str; 6] = ["environment", "labels", "sysctls", "annotations", "depends_on", "networks"];
/// Lists of which the later file's are added.
const SETS: [&str; 15] = [
    "ports",
    "expose",
    "dns",
    "dns_search",
    "dns_opt",
    "tmpfs",
    "cap_add",
    "cap_drop",
    "security_opt",
    "env_file",
    "configs",
    "secrets",
    "profiles",
    "external_links",
    "group_add",
];
/// Lists by the path in the container.
const TARGETS: [&str; 2] = ["volumes", "devices"];

/// `over` on top of `base`: whole documents.
pub(super) fn documents(base: Node, over: Node) -> Node {
    by_key(base, over, &|section, base, over| match section {
        "services" => by_key(base, over, &|_, base, over| service(base, over)),
        _ => by_key(base, over, &|_, base, over| deep(base, over)),
    })
}

/// One service on another: several files, and `extends`.
pub(super) fn service(base: Node, over: Node) -> Node {
    by_key(base, over, &|key, base, over| match key {
        "command" | "entrypoint" => over,
        "healthcheck" | "build" | "deploy" | "ulimits" | "logging" => deep(base, over),
        key if PAIRS.contains(&key) => deep(as_map(base), as_map(over)),
        "extra_hosts" => as_list(base, over, &|_, _| false),
        key if SETS.contains(&key) => as_list(base, over, &|a, b| a.value == b.value),
        key if TARGETS.contains(&key) => as_list(base, over, &|a, b| target(a) == target(b)),
        _ => over,
    })
}

type How<'h> = &'h dyn Fn(&str, Node, Node) -> Node;

fn by_key(base: Node, over: Node, how: How<'_>) -> Node {
    match (over.merging, base.value, over.value) {
        (Merging::Usual, Value::Map(mut pairs), Value::Map(more)) => {
            for (key, node) in more {
                match pairs.iter().position(|(name, _)| *name == key) {
                    _ if node.merging == Merging::Reset => pairs.retain(|(name, _)| *name != key),
                    Some(at) if node.merging == Merging::Override => pairs[at].1 = node,
                    Some(at) => {
                        let below = std::mem::replace(&mut pairs[at].1, nothing(&node));
                        pairs[at].1 = how(&key, below, node);
                    }
                    None => pairs.push((key, node)),
                }
            }
            Node { place: base.place, value: Value::Map(pairs), merging: Merging::Usual }
        }
        (Merging::Usual, below, Value::Null) => {
            Node { place: base.place, value: below, merging: Merging::Usual }
        }
        (_, _, value) => Node { place: over.place, value, merging: Merging::Usual },
    }
}

fn nothing(like: &Node) -> Node {
    Node { place: like.place.clone(), value: Value::Null, merging: Merging::Usual }
}

fn deep(base: Node, over: Node) -> Node {
    by_key(base, over, &|_, base, over| deep(base, over))
}

/// A list of names, or of `name=value`, as the map it stands for.
fn as_map(node: Node) -> Node {
    match &node.value {
        Value::List(_) => {
            let pairs = node.pairs(&['=']).into_iter().map(|(name, value, place)| {
                let value = value.map_or(Value::Null, Value::Text);
                (name, Node { place, value, merging: Merging::Usual })
            });
            Node { value: Value::Map(pairs.collect()), ..node.clone() }
        }
        Value::Null | Value::Text(_) | Value::Map(_) => node,
    }
}

/// What is the same by `same` is replaced, everything else added.
fn as_list(base: Node, over: Node, same: &dyn Fn(&Node, &Node) -> bool) -> Node {
    let items = |node: &Node| match &node.value {
        Value::List(list) => list.clone(),
        Value::Text(_) => vec![node.clone()],
        Value::Map(map) => map
            .iter()
            .filter_map(|(name, node)| {
                let value = Value::Text(format!("{name}:{}", node.text()?));
                Some(Node { value, ..node.clone() })
            })
            .collect(),
        Value::Null => vec![],
    };
    let (below, above) = (items(&base), items(&over));
    let mut list: Vec<Node> = below.into_iter().filter(|a| !above.iter().any(|b| same(a, b))).collect();
    list.extend(above);
    Node { value: Value::List(list), ..over }
}

/// Where a volume or device stands in the container.
fn target(node: &Node) -> Option<String> {
    match node.text() {
        Some(text) => {
            let parts: Vec<&str> = text.split(':').collect();
            Some(parts.get(1).or(parts.first())?.trim_end_matches('/').to_owned())
        }
        None => node.get("target").and_then(Node::text).map(|t| t.trim_end_matches('/').to_owned()),
    }
}
