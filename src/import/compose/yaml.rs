//! YAML as a tree in which everything knows its place. Bounded: size, depth, and how much aliases may blow it up (F4).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// The largest file.
pub(super) const LARGEST: usize = 1 << 20;
const DEEPEST: usize = 48;
/// Values in all, those that aliases repeat included.
const MOST: usize = 100_000;

/// `compose.yaml:12`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub file: Arc<str>,
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
    /// Compose's `!reset` and `!override`.
    pub merging: Merging,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merging {
    Usual,
    Reset,
    Override,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    /// Numbers and flags too: what they mean is for the reader of the key to say.
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// The document of the text; the error names its place.
pub(super) fn parse(file: &str, text: &str) -> Result<Node, String> {
    if text.len() > LARGEST {
        return Err(format!("{file}: {} bytes are too many; the limit is {LARGEST}", text.len()));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file: Arc<str> = Arc::from(file);
    let mut tree = Tree { events: Parser::new_from_str(text), file, anchors: BTreeMap::new(), count: 0 };
    let document = tree.document()?;
    tree.end()?;
    Ok(document)
}

struct Tree<'t> {
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    file: Arc<str>,
    anchors: BTreeMap<usize, Node>,
    count: usize,
}

impl<'t> Tree<'t> {
    /// `None` at the end of the stream.
    fn more(&mut self) -> Result<Option<(Event<'t>, Place)>, String> {
        match self.events.next() {
            Some(Ok((event, span))) => {
                Ok(Some((event, Place { file: Arc::clone(&self.file), line: span.start.line() })))
            }
            Some(Err(error)) => {
                Err(format!("{}:{}: this is no YAML: {}", self.file, error.marker().line(), error.info()))
            }
            None => Ok(None),
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Place), String> {
        self.more()?.ok_or_else(|| format!("{}: it ends in the middle", self.file))
    }

    fn document(&mut self) -> Result<Node, String> {
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => {}
                Event::StreamEnd | Event::DocumentEnd => {
                    return Ok(Node { place, value: Value::Null, merging: Merging::Usual });
                }
                event @ (Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd) => return self.node(event, place, 0),
            }
        }
    }

    /// Compose takes further documents for further files.
    fn end(&mut self) -> Result<(), String> {
        while let Some((event, place)) = self.more()? {
            if matches!(event, Event::DocumentStart(_)) {
                return Err(format!(
                    "{place}: a second document begins here: make it a file of its own, and name both files"
                ));
            }
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'t>, place: Place, depth: usize) -> Result<Node, String> {
        self.count += 1;
        if depth > DEEPEST || self.count > MOST {
            return Err(format!(
                "{place}: too deep or too much: {DEEPEST} levels and {MOST} values are the limit"
            ));
        }
        let (value, anchor, tag) = match event {
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned();
                let node = node.ok_or_else(|| format!("{place}: an alias inside of its own anchor"))?;
                self.count += size(&node);
                if self.count > MOST {
                    return Err(format!("{place}: aliases blow this up to more than {MOST} values"));
                }
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let null =
                    style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Text(text.into_owned()) };
                (value, anchor, tag)
            }
            Event::SequenceStart(anchor, tag) => {
                let mut list = Vec::new();
                loop {
                    let (event, at) = self.next()?;
                    if event == Event::SequenceEnd {
                        break;
                    }
                    list.push(self.node(event, at, depth + 1)?);
                }
                (Value::List(list), anchor, tag)
            }
            Event::MappingStart(anchor, tag) => (Value::Map(self.map(depth)?), anchor, tag),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(format!("{place}: something is missing here")),
        };
        let merging = match tag.map(|tag| tag.suffix.clone()).as_deref() {
            Some("reset") => Merging::Reset,
            Some("override") => Merging::Override,
            Some(_) | None => Merging::Usual,
        };
        let node = Node { place, value, merging };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// `<<` brings in what the map does not say itself.
    fn map(&mut self, depth: usize) -> Result<Vec<(String, Node)>, String> {
        let mut map: Vec<(String, Node)> = Vec::new();
        let mut brought: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, place) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let Event::Scalar(key, _, _, _) = event else {
                return Err(format!("{place}: a key must be text"));
            };
            let key = key.into_owned();
            let (event, at) = self.next()?;
            let node = self.node(event, at, depth + 1)?;
            if key == "<<" {
                let sources = match node.value {
                    Value::List(list) => list,
                    Value::Map(_) | Value::Null | Value::Text(_) => vec![node],
                };
                for source in sources {
                    let Value::Map(pairs) = source.value else {
                        return Err(format!("{}: `<<` takes maps", source.place));
                    };
                    brought.extend(pairs);
                }
            } else if map.iter().any(|(other, _)| *other == key) {
                return Err(format!("{place}: the key {key:?} stands here twice"));
            } else {
                map.push((key, node));
            }
        }
        for (key, node) in brought {
            if !map.iter().any(|(other, _)| *other == key) {
                map.push((key, node));
            }
        }
        Ok(map)
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Null | Value::Text(_) => 1,
        Value::List(list) => 1 + list.iter().map(size).sum::<usize>(),
        Value::Map(map) => 1 + map.iter().map(|(_, node)| size(node)).sum::<usize>(),
    }
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.map().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Empty where it is none.
    pub fn map(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Map(map) => map,
            Value::Null | Value::Text(_) | Value::List(_) => &[],
        }
    }

    /// Empty where it is none.
    pub fn list(&self) -> &[Node] {
        match &self.value {
            Value::List(list) => list,
            Value::Null | Value::Text(_) | Value::Map(_) => &[],
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// One text, or a list of them.
    pub fn texts(&self) -> Vec<(&str, &Place)> {
        match &self.value {
            Value::Text(text) => vec![(text, &self.place)],
            Value::List(list) => list.iter().filter_map(|n| Some((n.text()?, &n.place))).collect(),
            Value::Null | Value::Map(_) => vec![],
        }
    }

    /// A map, or a list of `name=value`; `None` is a name without a value.
    pub fn pairs(&self, separators: &[char]) -> Vec<(String, Option<String>, Place)> {
        match &self.value {
            Value::Map(map) => {
                map.iter().map(|(k, n)| (k.clone(), n.text().map(str::to_owned), n.place.clone())).collect()
            }
            Value::List(_) | Value::Text(_) => self
                .texts()
                .into_iter()
                .map(|(text, place)| match text.split_once(separators) {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned()), place.clone()),
                    None => (text.to_owned(), None, place.clone()),
                })
                .collect(),
            Value::Null => vec![],
        }
    }

    pub fn flag(&self) -> bool {
        self.text().is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "on"))
    }
}
