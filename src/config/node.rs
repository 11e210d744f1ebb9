//! TOML as a tree in which every value knows its file and place, so that overlays keep their origin.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Errors, Source, Spot};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub spot: Spot,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Table),
}

/// Entries by key.
pub(super) type Table = BTreeMap<String, Entry>;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Where the key is written.
    pub key: Spot,
    pub node: Node,
}

/// Reads a file; every syntax error is told, and what could be read is returned.
pub(super) fn parse(source: &Arc<Source>, errors: &mut Errors) -> Node {
    let (table, problems) = DeTable::parse_recoverable(&source.text);
    for problem in problems {
        let span = problem.span().unwrap_or(0..0);
        errors.add(&Spot { source: Arc::clone(source), span }, problem.message(), None);
    }
    let span = table.span();
    Node { spot: spot(source, span), value: Value::Table(convert_table(source, table.into_inner(), errors)) }
}

fn spot(source: &Arc<Source>, span: std::ops::Range<usize>) -> Spot {
    Spot { source: Arc::clone(source), span }
}

fn convert_table(source: &Arc<Source>, table: DeTable<'_>, errors: &mut Errors) -> Table {
    table
        .into_iter()
        .map(|(key, value)| {
            let at = spot(source, key.span());
            (key.into_inner().into_owned(), Entry { key: at, node: convert(source, value, errors) })
        })
        .collect()
}

fn convert(source: &Arc<Source>, value: Spanned<DeValue<'_>>, errors: &mut Errors) -> Node {
    let at = spot(source, value.span());
    let mut fail = |message: &str| {
        errors.add(&at, message, None);
        Value::Boolean(false)
    };
    let value = match value.into_inner() {
        // Nothing that a container, an engine or a generated file is given can hold one.
        DeValue::String(text) if text.contains('\0') => fail("a value cannot hold a NUL character"),
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => fail("this number does not fit in 64 bits"),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => fail("this is not a number"),
        },
        DeValue::Boolean(flag) => Value::Boolean(flag),
        DeValue::Datetime(_) => fail("no setting is a date: write it in quotes"),
        DeValue::Array(list) => {
            Value::Array(list.into_iter().map(|value| convert(source, value, errors)).collect())
        }
        DeValue::Table(table) => Value::Table(convert_table(source, table, errors)),
    };
    Node { spot: at, value }
}

impl Node {
    pub fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_) => {
                None
            }
        }
    }

    /// `over` on top of this: tables merge, everything else is replaced.
    pub fn overlay(&mut self, over: &Node) {
        match (&mut self.value, &over.value) {
            (Value::Table(base), Value::Table(top)) => {
                for (key, entry) in top {
                    match base.get_mut(key) {
                        Some(below) => {
                            below.key = entry.key.clone();
                            below.node.overlay(&entry.node);
                        }
                        None => {
                            base.insert(key.clone(), entry.clone());
                        }
                    }
                }
                self.spot = over.spot.clone();
            }
            (_, _) => *self = over.clone(),
        }
    }

    /// The place of a value by its path, `limits.memory` or `report[0].schedule`; the nearest place above where it is
    /// not written.
    pub fn place(&self, path: &str) -> Spot {
        let mut node = self;
        for part in path.split('.') {
            match node.inside(part) {
                Some(inner) => node = inner,
                None => return node.spot.clone(),
            }
        }
        node.spot.clone()
    }

    /// One step of a path: `limits`, or `report[0]`.
    fn inside(&self, part: &str) -> Option<&Self> {
        let Some((key, index)) = part.strip_suffix(']').and_then(|part| part.split_once('[')) else {
            return self.table()?.get(part).map(|entry| &entry.node);
        };
        match &self.table()?.get(key)?.node.value {
            Value::Array(list) => list.get(index.parse::<usize>().ok()?),
            Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Table(_) => {
                None
            }
        }
    }
}
