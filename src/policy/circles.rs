//! Rules that need themselves: Rego forbids them, the interpreter would follow them until its stack ends.

use std::collections::{BTreeMap, BTreeSet};

use super::rego::RuleError;

/// A file as far as circles go.
pub(super) struct Module {
    pub path: String,
    /// `trueup.freeze`.
    pub package: String,
    /// Names as this file says them, and what they stand for: `lib` → `data.teams.lib`.
    pub imports: BTreeMap<String, String>,
    /// Each rule's line and text.
    pub rules: Vec<(u32, String)>,
}

impl Module {
    /// File, package, name and line of every rule.
    pub fn places(&self) -> impl Iterator<Item = (String, String, String, u32)> {
        let name = |text: &str| head(text).trim_start_matches("default").trim().to_owned();
        self.rules
            .iter()
            .map(move |(line, text)| (self.path.clone(), self.package.clone(), name(text), *line))
    }
}

/// A complaint about one circle, at the first of its rules by name.
pub(super) fn circles(modules: &[Module]) -> Vec<RuleError> {
    let mut places: BTreeMap<String, (&str, u32)> = BTreeMap::new();
    for module in modules {
        for (line, text) in &module.rules {
            places.entry(node(module, text)).or_insert((&module.path, *line));
        }
    }
    let graph = Graph::of(modules, &places);
    let first = graph.circle().into_iter().filter_map(|node| places.get_key_value(node)).min();
    first
        .map(|(name, (file, line))| {
            let short = name.rsplit('.').next().unwrap_or(name);
            let message = format!(
                "the rule {short} needs itself; rename a variable of the same name, if that is all it is"
            );
            RuleError { file: (*file).to_owned(), line: *line, column: 1, message }
        })
        .into_iter()
        .collect()
}

/// Who needs whom: rules, and the paths of `data` that lead to them. As many edges as names are said, and one for each
/// path, however many rules stand below it.
struct Graph {
    names: Vec<String>,
    edges: Vec<BTreeSet<usize>>,
}

/// `data.team.x` as a rule, and as a path that has rules at or below it: a rule that says a path needs all of them, one
/// of them does not need the others.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Node<'a> {
    Rule(&'a str),
    Path(&'a str),
}

impl Graph {
    fn of(modules: &[Module], places: &BTreeMap<String, (&str, u32)>) -> Self {
        let mut nodes = BTreeMap::new();
        for name in places.keys() {
            for node in [Node::Rule(name)].into_iter().chain(prefixes(name).map(Node::Path)) {
                let next = nodes.len();
                nodes.entry(node).or_insert(next);
            }
        }
        let mut graph =
            Self { names: vec![String::new(); nodes.len()], edges: vec![BTreeSet::new(); nodes.len()] };
        for (node, at) in &nodes {
            match node {
                Node::Rule(name) => graph.names[*at] = (*name).to_owned(),
                Node::Path(path) => {
                    let above = path.rsplit_once('.').and_then(|(above, _)| nodes.get(&Node::Path(above)));
                    above.map(|above| graph.edges[*above].insert(*at));
                    nodes.get(&Node::Rule(path)).map(|rule| graph.edges[*at].insert(*rule));
                }
            }
        }
        for module in modules {
            for (_, text) in &module.rules {
                let name = node(module, text);
                let Some(from) = nodes.get(&Node::Rule(&name)).copied() else { continue };
                for chain in chains(&text[head(text).len()..]) {
                    let full = full(module, &chain);
                    let rules = prefixes(&full).map(Node::Rule);
                    let needed = rules.chain([Node::Path(&full)]);
                    graph.edges[from].extend(needed.filter_map(|node| nodes.get(&node).copied()));
                }
            }
        }
        graph
    }

    /// The names of one circle; empty where there is none.
    fn circle(&self) -> Vec<&String> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            No,
            Open,
            Done,
        }
        let mut seen = vec![Seen::No; self.edges.len()];
        for start in 0..self.edges.len() {
            if seen[start] != Seen::No {
                continue;
            }
            seen[start] = Seen::Open;
            let mut way = vec![(start, self.edges[start].iter())];
            while let Some((at, rest)) = way.last_mut() {
                let at = *at;
                match rest.next().map(|next| (*next, seen[*next])) {
                    Some((next, Seen::No)) => {
                        seen[next] = Seen::Open;
                        way.push((next, self.edges[next].iter()));
                    }
                    Some((next, Seen::Open)) => {
                        return way
                            .iter()
                            .map(|(node, _)| *node)
                            .skip_while(|node| *node != next)
                            .map(|node| &self.names[node])
                            .collect();
                    }
                    Some((_, Seen::Done)) => {}
                    None => {
                        seen[at] = Seen::Done;
                        way.pop();
                    }
                }
            }
        }
        Vec::new()
    }
}

/// `data`, `data.a`, … and the name itself.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(dot, _)| &name[..dot]).chain([name])
}

/// What stands before the rule's name ends: `default `, and the name.
fn head(text: &str) -> &str {
    let begin = if text.starts_with("default") { "default".len() } else { 0 };
    let rest = &text[begin..];
    let blank = rest.len() - rest.trim_start().len();
    let name = rest[blank..].find(|c: char| !is_word(c)).unwrap_or(rest.len() - blank);
    &text[..begin + blank + name]
}

fn node(module: &Module, text: &str) -> String {
    let name = head(text).trim_start_matches("default").trim();
    format!("data.{}.{name}", module.package)
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A name as this file says it, as a path of `data`.
fn full(module: &Module, chain: &str) -> String {
    let (root, rest) = chain.split_once('.').map_or((chain, ""), |(root, rest)| (root, rest));
    match module.imports.get(root) {
        Some(path) if rest.is_empty() => path.clone(),
        Some(path) => format!("{path}.{rest}"),
        None if root == "data" => chain.to_owned(),
        None => format!("data.{}.{root}", module.package),
    }
}

/// `a.b.c` of the text, outside of strings and comments.
fn chains(text: &str) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '`' => drop(chars.by_ref().find(|c| *c == '`')),
            '#' => drop(chars.by_ref().find(|c| *c == '\n')),
            _ if c.is_ascii_alphabetic() || c == '_' => {
                let mut chain = String::from(c);
                while let Some(c) = chars.next_if(|c| is_word(*c) || *c == '.') {
                    chain.push(c);
                }
                // A field of something that is not a name is nobody's rule.
                if before != '.' && before != ']' {
                    found.push(chain.trim_end_matches('.').to_owned());
                }
            }
            _ => {}
        }
        before = c;
    }
    found.into_iter()
}
