//! What was measured beside what it is held against, as lines of a table.

use std::time::Duration;

/// Measured lines; each says whether it is within its limit.
#[derive(Default)]
pub struct Table(Vec<[String; 5]>, bool);

impl Table {
    /// `measured` may take `most` times as long as `floor`.
    pub fn times(&mut self, what: &str, measured: Duration, against: &str, floor: Duration, most: f64) {
        let ratio = measured.as_secs_f64() / floor.as_secs_f64();
        let limit = format!("{ratio:.2} x, at most {most}");
        self.line(what, millis(measured), format!("{against}: {}", millis(floor)), limit, ratio <= most);
    }

    pub fn most(&mut self, what: &str, measured: f64, unit: &str, most: f64) {
        self.line(
            what,
            format!("{measured:.2} {unit}"),
            String::new(),
            format!("at most {most} {unit}"),
            measured <= most,
        );
    }

    fn line(&mut self, what: &str, measured: String, floor: String, limit: String, holds: bool) {
        let verdict = if holds { "ok" } else { "TOO MUCH" };
        self.1 |= !holds;
        eprintln!("{what}: {measured}, {floor} {limit}: {verdict}");
        self.0.push([what.to_owned(), measured, floor, limit, verdict.to_owned()]);
    }

    /// Prints it; whether every limit held.
    pub fn print(&self) -> bool {
        let width = |column: usize| self.0.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        for line in &self.0 {
            let cells: Vec<String> = line
                .iter()
                .enumerate()
                .map(|(n, cell)| format!("{cell:<width$}", width = width(n)))
                .collect();
            println!("{}", cells.join("  ").trim_end());
        }
        !self.1
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// The one in the middle.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
