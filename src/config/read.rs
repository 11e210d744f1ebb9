//! A [`Node`] into a TOML shape through serde, with every error at its place and all of them at once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::diagnostic::{Errors, NO_FORM, Spot, did_you_mean};
use super::node::{Entry, Node, Value};

/// Reads `T`; tells every unknown key and every value that does not fit. `None` where a value did not fit: beside
/// unknown keys the rest is whole, and what else is wrong with it can be told at once (A3).
pub(super) fn read<T: DeserializeOwned>(node: &Node, errors: &mut Errors) -> Option<T> {
    let mut node = node.clone();
    let mut removed: BTreeSet<String> = BTreeSet::new();
    let mut failed = false;
    loop {
        let unknown = RefCell::new(Vec::new());
        let result = T::deserialize(Reader { node: &node, unknown: &unknown });
        let unknown = unknown.into_inner();
        match result {
            Ok(value) => {
                for key in &unknown {
                    errors.add(&key.spot, key.message(), key.hint());
                }
                return (!failed).then_some(value);
            }
            Err(problem) => {
                failed = true;
                // What lacks because it was taken out below for being wrong is no error of its own.
                if problem.missing().is_some_and(|key| removed.contains(&key)) {
                    unknown.iter().for_each(|key| errors.add(&key.spot, key.message(), key.hint()));
                    return None;
                }
                let spot = problem.spot.clone().unwrap_or_else(|| node.spot.clone());
                errors.add(&spot, problem.words(), problem.hint());
                match take_out(&mut node, &spot) {
                    Some(key) => removed.insert(key),
                    None => {
                        unknown.iter().for_each(|key| errors.add(&key.spot, key.message(), key.hint()));
                        return None;
                    }
                };
            }
        }
    }
}

/// Takes the value at `spot` out, so that the rest can be looked at; its key.
fn take_out(node: &mut Node, spot: &Spot) -> Option<String> {
    match &mut node.value {
        Value::Table(table) => {
            let key = table.iter().find(|(_, entry)| entry.node.spot == *spot).map(|(key, _)| key.clone());
            if let Some(key) = key {
                table.remove(&key);
                return Some(key);
            }
            table.values_mut().find_map(|entry| take_out(&mut entry.node, spot))
        }
        Value::Array(list) => {
            if let Some(at) = list.iter().position(|item| item.spot == *spot) {
                list.remove(at);
                return Some(String::new());
            }
            list.iter_mut().find_map(|item| take_out(item, spot))
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => None,
    }
}

struct UnknownKey {
    spot: Spot,
    key: String,
    fields: &'static [&'static str],
}

impl UnknownKey {
    fn message(&self) -> String {
        format!("unknown key `{}`", self.key)
    }
    fn hint(&self) -> Option<String> {
        let near = did_you_mean(&self.key, self.fields.iter().copied());
        near.or_else(|| (!self.fields.is_empty()).then(|| format!("known here: {}", self.fields.join(", "))))
    }
}

/// serde's error, with its place as soon as it is known.
#[derive(Debug)]
pub(super) struct Problem {
    message: String,
    spot: Option<Spot>,
}

impl Problem {
    fn at(mut self, spot: &Spot) -> Self {
        self.spot.get_or_insert_with(|| spot.clone());
        self
    }

    fn missing(&self) -> Option<String> {
        let rest = self.message.strip_prefix("missing field `")?;
        rest.strip_suffix('`').map(str::to_owned)
    }

    fn words(&self) -> String {
        match self.missing() {
            Some(key) => format!("the key `{key}` is missing here"),
            None if self.message.contains("did not match any variant of untagged enum") => NO_FORM.to_owned(),
            None => self.message.clone(),
        }
    }

    /// `unknown variant `hots`, expected `host` or `swarm``: the nearest of what was expected.
    fn hint(&self) -> Option<String> {
        let rest = self.message.strip_prefix("unknown variant `")?;
        let (word, expected) = rest.split_once('`')?;
        did_you_mean(word, expected.split('`').skip(1).step_by(2))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), spot: None }
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    unknown: &'a RefCell<Vec<UnknownKey>>,
}

impl<'a> Reader<'a> {
    fn at(self, node: &'a Node) -> Self {
        Self { node, unknown: self.unknown }
    }

    fn any<'de, V: Visitor<'de>>(
        self,
        visitor: V,
        fields: &'static [&'static str],
    ) -> Result<V::Value, Problem> {
        let result = match &self.node.value {
            Value::String(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(flag) => visitor.visit_bool(*flag),
            Value::Array(list) => visitor.visit_seq(Items { list: list.iter(), reader: self }),
            Value::Table(table) => {
                visitor.visit_map(Entries { entries: table.iter(), value: None, reader: self, fields })
            }
        };
        result.map_err(|problem| problem.at(&self.node.spot))
    }
}

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.any(visitor, &[])
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.any(visitor, fields)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self).map_err(|problem: Problem| problem.at(&self.node.spot))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self).map_err(|problem: Problem| problem.at(&self.node.spot))
    }

    /// `2` where `2.0` is meant is what people write.
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        #[allow(clippy::cast_precision_loss, reason = "numbers people write are far below 2^53")]
        let result = match &self.node.value {
            Value::Integer(number) => visitor.visit_f64(*number as f64),
            Value::String(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_) | Value::Table(_) => {
                return self.any(visitor, &[]);
            }
        };
        result.map_err(|problem: Problem| problem.at(&self.node.spot))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let spot = &self.node.spot;
        match &self.node.value {
            Value::String(text) => {
                visitor.visit_enum(Word(text)).map_err(|problem: Problem| problem.at(spot))
            }
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_) | Value::Table(_) => {
                Err(Problem {
                    message: "a word in quotes is expected here".to_owned(),
                    spot: Some(spot.clone()),
                })
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Items<'a> {
    list: std::slice::Iter<'a, Node>,
    reader: Reader<'a>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Problem;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        let Some(node) = self.list.next() else { return Ok(None) };
        seed.deserialize(self.reader.at(node)).map(Some).map_err(|problem| problem.at(&node.spot))
    }
}

struct Entries<'a> {
    entries: std::collections::btree_map::Iter<'a, String, Entry>,
    value: Option<(&'a str, &'a Entry)>,
    reader: Reader<'a>,
    /// The struct's own fields; empty for maps, whose keys are free.
    fields: &'static [&'static str],
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        for (key, entry) in self.entries.by_ref() {
            if !self.fields.is_empty() && !self.fields.contains(&key.as_str()) {
                let unknown = UnknownKey { spot: entry.key.clone(), key: key.clone(), fields: self.fields };
                self.reader.unknown.borrow_mut().push(unknown);
                continue;
            }
            self.value = Some((key, entry));
            let deserializer: StringDeserializer<Problem> = key.clone().into_deserializer();
            return seed.deserialize(deserializer).map(Some).map_err(|problem| problem.at(&entry.key));
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let Some((_, entry)) = self.value.take() else {
            return Err(de::Error::custom("a value was read before its key"));
        };
        seed.deserialize(self.reader.at(&entry.node)).map_err(|problem| problem.at(&entry.node.spot))
    }
}

/// A unit variant by its name.
struct Word<'a>(&'a str);

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = Problem;
    type Variant = Self;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Problem> {
        let deserializer: StringDeserializer<Problem> = self.0.to_owned().into_deserializer();
        Ok((seed.deserialize(deserializer)?, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'_> {
    type Error = Problem;
    fn unit_variant(self) -> Result<(), Problem> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Problem> {
        Err(de::Error::custom("a table is expected here"))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Problem> {
        Err(de::Error::custom("a list is expected here"))
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Problem> {
        Err(de::Error::custom("a table is expected here"))
    }
}
