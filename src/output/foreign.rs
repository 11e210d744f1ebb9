//! What else stands on the declared hosts and Swarms, for the eyes: so much of it that it drowns nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::drift::{Kind, Subject};
use crate::model::report::{Foreign, MadeOf, Maker, Report};

use super::escape::{code, line, prose};
use super::paint::{Ink, Paint};
use super::public;
use super::sections::heading;
use super::wording::{by_place, many, moment, on_its_host};

/// The heading, in every form.
pub const TITLE: &str = "Also there: not trueup's, in nobody's way, and never changed";
/// Containers, or services, of one host or Swarm that are printed; JSON has all.
const SHOWN: usize = 10;
/// Of each other kind: hosts have hundreds of volumes.
const SHOWN_OF_THE_REST: usize = 5;
/// Of all of them.
const SHOWN_IN_ALL: usize = 60;

/// One host or Swarm, and what of it is printed.
pub struct Place<'a> {
    /// `on rack-a-1`
    pub name: String,
    pub shown: Vec<&'a Foreign>,
    /// What is not: `and 3 more containers; JSON names them`, `and 12 volumes that nobody named`
    pub more: Vec<String>,
}

pub fn places<'r>(report: &'r Report) -> Vec<Place<'r>> {
    let things = report.foreign.iter().map(|thing| (thing.subject.clone(), Some(thing)));
    let uncounted = report.anonymous_volumes.keys();
    let uncounted = uncounted.map(|host| (Subject::on_host(Kind::Host, host, host), None));
    let all: Vec<(Subject, Option<&Foreign>)> = things.chain(uncounted).collect();
    let mut left = SHOWN_IN_ALL;
    let place = |(name, all): (String, Vec<&(Subject, Option<&'r Foreign>)>)| {
        let unnamed: usize = all
            .iter()
            .filter(|(_, thing)| thing.is_none())
            .filter_map(|(subject, _)| report.anonymous_volumes.get(subject.host.as_ref()?))
            .sum();
        place(name, all.into_iter().filter_map(|(_, thing)| *thing).collect(), unnamed, &mut left)
    };
    by_place(&all, |(subject, _)| subject).into_iter().map(place).collect()
}

fn place<'a>(name: String, all: Vec<&'a Foreign>, unnamed: usize, left: &mut usize) -> Place<'a> {
    let (mut shown, mut rest): (Vec<&Foreign>, BTreeMap<Kind, usize>) = (Vec::new(), BTreeMap::new());
    let mut of_kind: BTreeMap<Kind, usize> = BTreeMap::new();
    for thing in all {
        let kind = thing.subject.kind;
        let count = of_kind.entry(kind).or_default();
        let runs = matches!(kind, Kind::Container | Kind::Service);
        let most = if runs { SHOWN } else { SHOWN_OF_THE_REST };
        if *count < most && *left > 0 {
            (*count, *left) = (*count + 1, *left - 1);
            shown.push(thing);
        } else {
            *rest.entry(kind).or_default() += 1;
        }
    }
    let and = if shown.is_empty() { "" } else { "and " };
    let counted = |(kind, count): (&Kind, &usize)| match of_kind.get(kind) {
        Some(0) | None => many(*count, kind.name()),
        Some(_) => many(*count, &format!("more {}", kind.name())),
    };
    let told = (!rest.is_empty()).then(|| {
        format!("{and}{}; JSON names them", rest.iter().map(counted).collect::<Vec<_>>().join(", "))
    });
    let unnamed = (unnamed > 0).then(|| format!("{and}{} that nobody named", many(unnamed, "volume")));
    Place { name, shown, more: told.into_iter().chain(unnamed).collect() }
}

/// `alpine:3.20, created 2026-11-20T07:00:00Z (3d ago), by hand or by another tool`.
pub fn words(thing: &Foreign, report: &Report) -> String {
    let Foreign { subject: _, made_of, created, maker } = thing;
    let made_of = match made_of {
        MadeOf::Image(image) => Some(image.clone()),
        MadeOf::Driver(driver) => Some(format!("driver {driver}")),
        MadeOf::Content => None,
    };
    let created = created.map(|at| format!("created {}", moment(at, report.plan.observed_at)));
    let maker = match maker {
        Maker::Nobody => "by hand or by another tool".to_owned(),
        Maker::Trueup { why } => why.clone(),
        Maker::Swarm { service: Some(service) } => format!("a task of the Swarm's service {service}"),
        Maker::Swarm { service: None } => "a Swarm's task by its name and labels".to_owned(),
    };
    made_of.into_iter().chain(created).chain([maker]).collect::<Vec<_>>().join(", ")
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
        place.more.iter().for_each(|more| out += &format!("    … {more}\n"));
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
        place.more.iter().for_each(|more| out += &format!("- … {more}\n"));
    }
    out
}

/// All of it. `made_by` is `nobody`, `trueup` or `swarm`; `detail` says which.
pub fn json(thing: &Foreign) -> Value {
    let Foreign { subject, made_of, created, maker } = thing;
    let (image, driver) = match made_of {
        MadeOf::Image(image) => (Some(image), None),
        MadeOf::Driver(driver) => (None, Some(driver)),
        MadeOf::Content => (None, None),
    };
    let created = created.map(|at| at.to_string());
    let (made_by, detail) = match maker {
        Maker::Nobody => ("nobody", None),
        Maker::Trueup { why } => ("trueup", Some(why)),
        Maker::Swarm { service } => ("swarm", service.as_ref()),
    };
    let more = json!({
        "image": image, "driver": driver, "created": created, "made_by": made_by, "detail": detail,
    });
    public::of(subject, more)
}
