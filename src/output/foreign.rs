//! What else stands on the declared hosts and Swarms, for the eyes: so much of it that it drowns nothing.

use serde_json::{Value, json};

use crate::model::report::{Foreign, Maker, Report};

use super::escape::{code, line, prose};
use super::paint::{Ink, Paint};
use super::public;
use super::sections::heading;
use super::wording::{by_place, moment, on_its_host};

/// The heading, in every form.
pub const TITLE: &str = "Also there: not trueup's, in nobody's way, and never changed";
/// Things of one host or Swarm that are printed; JSON has all.
const SHOWN: usize = 10;
/// Of all of them.
const SHOWN_IN_ALL: usize = 60;

/// One host or Swarm, and what of it is printed.
pub struct Place<'a> {
    /// `on rack-a-1`
    pub name: String,
    pub shown: Vec<&'a Foreign>,
    /// What is not: `and 3 more; JSON names them`
    pub more: Option<String>,
}

pub fn places(report: &Report) -> Vec<Place<'_>> {
    let mut left = SHOWN_IN_ALL;
    let place = |(name, all): (String, Vec<_>)| {
        let shown = all.len().min(SHOWN).min(left);
        left -= shown;
        let rest = all.len() - shown;
        let more = (rest > 0).then(|| match shown {
            0 => format!("{rest} of them; JSON names them"),
            _ => format!("and {rest} more; JSON names them"),
        });
        Place { name, shown: all.into_iter().take(shown).collect(), more }
    };
    by_place(&report.foreign, |thing| &thing.subject).into_iter().map(place).collect()
}

/// `alpine:3.20, created 2026-11-20T07:00:00Z (3d ago), by hand or by another tool`.
pub fn words(thing: &Foreign, report: &Report) -> String {
    let Foreign { subject: _, image, created, maker } = thing;
    let maker = match maker {
        Maker::Nobody => "by hand or by another tool".to_owned(),
        Maker::Trueup { why } => why.clone(),
        Maker::Swarm { service: Some(service) } => format!("a task of the Swarm's service {service}"),
        Maker::Swarm { service: None } => "a Swarm's task by its name and labels".to_owned(),
    };
    format!("{image}, created {}, {maker}", moment(*created, report.plan.observed_at))
}

pub fn text(report: &Report, paint: Paint) -> String {
    let places = places(report);
    let mut out = String::new();
    if !places.is_empty() {
        let (first, rest) = TITLE.split_once(':').unwrap_or((TITLE, ""));
        out += &heading(paint, &format!("{}:{rest}", first.to_uppercase()));
    }
    for place in places {
        out += &format!("  {}\n", place.name);
        for thing in place.shown {
            let name = line(&on_its_host(&thing.subject));
            out += &format!("    {} {name}\n", paint.ink(Ink::Quiet, "*"));
            out += &format!("      {}\n", line(&words(thing, report)));
        }
        out += &place.more.map(|more| format!("    … {more}\n")).unwrap_or_default();
    }
    out
}

pub fn markdown(report: &Report) -> String {
    let places = places(report);
    let mut out = String::new();
    if !places.is_empty() {
        out += &format!("\n### {TITLE}\n");
    }
    for place in places {
        out += &format!("\n{}:\n\n", prose(&place.name));
        for thing in place.shown {
            let name = code(&on_its_host(&thing.subject));
            out += &format!("- {name}: {}\n", prose(&words(thing, report)));
        }
        out += &place.more.map(|more| format!("- … {more}\n")).unwrap_or_default();
    }
    out
}

/// All of it. `made_by` is `nobody`, `trueup` or `swarm`; `detail` says which.
pub fn json(thing: &Foreign) -> Value {
    let Foreign { subject, image, created, maker } = thing;
    let (made_by, detail) = match maker {
        Maker::Nobody => ("nobody", None),
        Maker::Trueup { why } => ("trueup", Some(why)),
        Maker::Swarm { service } => ("swarm", service.as_ref()),
    };
    let more =
        json!({ "image": image, "created": created.to_string(), "made_by": made_by, "detail": detail });
    public::of(subject, more)
}
