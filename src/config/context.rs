//! Turning texts into values, each failure told at the value's own place.

use std::fmt::Display;
use std::str::FromStr;

use super::diagnostic::Errors;
use super::node::Node;

/// A table being read, and where to tell what is wrong with it.
pub(super) struct Context<'a> {
    pub node: &'a Node,
    pub errors: &'a mut Errors,
}

impl Context<'_> {
    /// Tells an error at the value with this path below the table.
    pub fn fail(&mut self, path: &str, message: impl Into<String>) {
        self.errors.add(&self.node.place(path), message, None);
    }

    pub fn fail_with(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.errors.add(&self.node.place(path), message, Some(hint.into()));
    }

    pub fn parse<T: FromStr>(&mut self, path: &str, text: &str) -> Option<T>
    where
        T::Err: Display,
    {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(path, error.to_string());
                None
            }
        }
    }

    pub fn option<T: FromStr>(&mut self, path: &str, text: Option<&String>) -> Option<T>
    where
        T::Err: Display,
    {
        text.and_then(|text| self.parse(path, text))
    }

    pub fn required<T: FromStr>(&mut self, path: &str, text: Option<&String>) -> Option<T>
    where
        T::Err: Display,
    {
        if text.is_none() {
            let key = path.rsplit('.').next().unwrap_or(path);
            self.fail(path, format!("the key `{key}` is missing here"));
        }
        self.option(path, text)
    }

    pub fn list<T: FromStr, C: FromIterator<T>>(&mut self, path: &str, texts: &[String]) -> C
    where
        T::Err: Display,
    {
        texts.iter().filter_map(|text| self.parse(path, text)).collect()
    }

    /// An absolute path in a container, without `..`.
    pub fn container_path(&mut self, path: &str, text: Option<&String>) -> Option<String> {
        let Some(text) = text else {
            self.fail(path, "the key `at` is missing here");
            return None;
        };
        let fits = text.starts_with('/')
            && text.len() > 1
            && !text.split('/').any(|part| part == "..")
            && !text.chars().any(|c| c.is_control() || c == ':' || c == ',');
        if !fits {
            self.fail(path, format!("{text:?} is not an absolute path in the container"));
        }
        fits.then(|| text.trim_end_matches('/').to_owned())
    }
}
