//! Metrics as OpenMetrics text for Prometheus, and as lines of Graphite's plaintext protocol.

use std::fmt::Write as _;

use crate::model::metrics::{Metric, MetricKind};
use crate::model::units::Timestamp;

/// What [`open_metrics`] is.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// OpenMetrics 1.0 text, with its end marked.
pub fn open_metrics(metrics: &[Metric]) -> String {
    let mut out = String::new();
    for Metric { name, help, kind, samples } in metrics {
        let (kind, ending) = match kind {
            MetricKind::Gauge => ("gauge", ""),
            MetricKind::Counter => ("counter", "_total"),
        };
        let _ = write!(out, "# TYPE {name} {kind}\n# HELP {name} {}\n", escaped(help));
        for (labels, value) in samples {
            let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escaped(v))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(out, "{name}{ending}{labels} {value}");
        }
    }
    out + "# EOF\n"
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// `path value timestamp` lines: labels become nodes of the path, each made safe. What is no number is left out: carbon
/// would drop it.
pub fn graphite(metrics: &[Metric], prefix: &str, at: Timestamp) -> String {
    let mut out = String::new();
    for Metric { name, samples, .. } in metrics {
        for (labels, value) in samples.iter().filter(|(_, value)| value.is_finite()) {
            let nodes = prefix.split('.').map(node);
            let nodes = nodes.chain([node(name.strip_prefix("trueup_").unwrap_or(name))]);
            let path: Vec<String> =
                nodes.chain(labels.iter().map(|(_, v)| node(v))).filter(|n| !n.is_empty()).collect();
            let _ = writeln!(out, "{} {value} {}", path.join("."), at.0 / 1000);
        }
    }
    out
}

/// Carbon takes three words a line and makes directories of the path: `[A-Za-z0-9_-]` alone.
fn node(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Metric> {
        let mut known = Metric::new("trueup_host_known", "Whether the host\nanswers.", MetricKind::Gauge);
        known.add(vec![("host", "rack-a.1 \"x\"".to_owned())], 1.0);
        let mut rounds = Metric::new("trueup_rounds", "Rounds.", MetricKind::Counter);
        rounds.add(Vec::new(), 2.0);
        rounds.add(Vec::new(), 1.0);
        let mut odd = Metric::new("trueup_odd", "No number.", MetricKind::Gauge);
        odd.add(vec![("of", "/../etc".to_owned())], f64::NAN);
        vec![known, rounds, odd]
    }

    #[test]
    fn prometheus_reads_it() {
        assert_eq!(
            open_metrics(&sample()),
            "# TYPE trueup_host_known gauge\n# HELP trueup_host_known Whether the host\\nanswers.\n\
             trueup_host_known{host=\"rack-a.1 \\\"x\\\"\"} 1\n\
             # TYPE trueup_rounds counter\n# HELP trueup_rounds Rounds.\ntrueup_rounds_total 3\n\
             # TYPE trueup_odd gauge\n# HELP trueup_odd No number.\ntrueup_odd{of=\"/../etc\"} NaN\n# EOF\n"
        );
    }

    #[test]
    fn carbon_gets_three_words_a_line_and_numbers_only() {
        assert_eq!(
            graphite(&sample(), "ops.trueup/x", Timestamp(1_700_000_000_999)),
            "ops.trueup_x.host_known.rack-a_1__x_ 1 1700000000\nops.trueup_x.rounds 3 1700000000\n"
        );
    }
}
