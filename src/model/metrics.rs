//! Numbers about the fleet and about trueup itself, as monitoring systems take them.

use std::collections::BTreeMap;

/// What a number means over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// May go up and down.
    Gauge,
    /// Only grows while the process lives.
    Counter,
}

/// A metric with all its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Such as `trueup_host_known`; a counter's without `_total`.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: MetricKind,
    /// By labels, in order.
    pub samples: BTreeMap<Vec<(&'static str, String)>, f64>,
}

impl Metric {
    pub fn new(name: &'static str, help: &'static str, kind: MetricKind) -> Self {
        Self { name, help, kind, samples: BTreeMap::new() }
    }

    /// One more of what these labels say.
    pub fn add(&mut self, labels: Vec<(&'static str, String)>, value: f64) {
        *self.samples.entry(labels).or_default() += value;
    }
}
