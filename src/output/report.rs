//! A drift report for the eyes and for programs: the head, how things differ now, and what was done meanwhile.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::drift::{Kind, Subject};
use crate::model::names::HostName;
use crate::model::report::{DownNode, HeldAddress, Report};

use super::escape::{code, line, lines, prose};
use super::paint::{Ink, Paint};
use super::permission;
use super::sections::{hang, heading, since_words};
use super::wording::{age, many, moment};
use super::{drift, foreign, history, public};

/// `1f2e3d4 (start), committed 3d ago, enforced for 2d 4h`.
fn revision(report: &Report) -> String {
    let now = report.plan.observed_at;
    let enforced = report.enforced_since.map(|since| format!(", enforced for {}", age(now.since(since))));
    format!(
        "{} ({}), committed {} ago{}",
        report.plan.revision.short(),
        report.summary,
        age(now.since(report.committed)),
        enforced.unwrap_or_default()
    )
}

/// The facts above everything else, in order.
pub fn head(report: &Report) -> Vec<(&'static str, String)> {
    let environments: Vec<&str> = report.environments.iter().map(|e| e.as_str()).collect();
    let looked_at = report.looked_at;
    let mut facts = vec![
        ("fleet", format!("{}, {}", report.fleet, environments.join(", "))),
        ("revision", revision(report)),
        ("permission", permission::report_words(&report.permission)),
        (
            "looked at",
            format!(
                "{}, {}, {}, at {}",
                many(looked_at.apps, "app"),
                many(looked_at.hosts, "host"),
                many(looked_at.instances, "instance"),
                report.plan.observed_at
            ),
        ),
    ];
    if let Some(why) = &report.kept_because {
        let since = report.kept_since.map(|at| format!(", since {}", moment(at, report.plan.observed_at)));
        facts.push(("NOT TAKEN", format!("the head of the repository{}: {why}", since.unwrap_or_default())));
    }
    if !report.undeclared.is_empty() {
        let why = "not declared, or not among the `environments` of trueup's settings";
        facts.push(("NOT THERE", format!("{}: {why}", undeclared(report))));
    }
    if let Some(glass) = &report.permission.glass {
        facts.push(("GLASS", permission::glass_words(glass)));
    }
    facts
}

/// What it comes to. Nobody takes an environment that is not there for one without drift.
pub fn summary(report: &Report) -> String {
    let mut parts = Vec::new();
    if !report.undeclared.is_empty() {
        parts.push(format!("Nothing was looked at in {}: not declared.", undeclared(report)));
    }
    if report.undeclared.is_empty() || !report.environments.is_empty() {
        parts.push(drift::summary(&report.plan));
    }
    if !report.down_nodes.is_empty() {
        let verb = if report.down_nodes.len() == 1 { "is" } else { "are" };
        parts.push(format!("{} of a Swarm {verb} down.", many(report.down_nodes.len(), "node")));
    }
    parts.join(" ")
}

fn undeclared(report: &Report) -> String {
    let names: Vec<&str> = report.undeclared.iter().map(|e| e.as_str()).collect();
    names.join(", ")
}

/// Hosts that do not answer and nodes that are down, with why and since when.
pub fn silent(report: &Report) -> Vec<String> {
    let hosts = report.silent_hosts.iter().map(|(host, why)| {
        let since = since_words(&Subject::on_host(Kind::Host, host, host), &report.since, &report.plan);
        format!("{host}{since}: {why}")
    });
    let nodes = report.down_nodes.iter().map(|down| {
        let since = since_words(&down_subject(down), &report.since, &report.plan);
        format!("{} of swarm {}{since}: down: {}", down.node, down.swarm, down.why)
    });
    hosts.chain(nodes).collect()
}

fn down_subject(down: &DownNode) -> Subject {
    Subject::on_swarm(Kind::Node, &down.node, &down.swarm)
}

/// `192.0.2.64 on market: quote-prod-0 on rack-a-1, silent since …`.
pub fn held_addresses(report: &Report) -> Vec<String> {
    let words = |held: &HeldAddress| {
        let HeldAddress { host, swarm, holder, app: _, network, address, since } = held;
        let place = swarm.as_ref().map(|swarm| format!(" of swarm {swarm}")).unwrap_or_default();
        let silent = if swarm.is_some() { "down" } else { "silent" };
        let since = since.map_or_else(
            || format!(", which is {silent}"),
            |at| format!(", {silent} since {}", moment(at, report.plan.observed_at)),
        );
        format!("{address} on network {network}: {holder} on {host}{place}{since}")
    };
    report.held_addresses.iter().map(words).collect()
}

/// Said where not all that was done stands in the report.
pub fn cut(report: &Report) -> Option<String> {
    let oldest = report.done.first().map_or(report.from, |entry| entry.at);
    report.done_is_cut.then(|| {
        format!("what was done before {oldest} is left out: there is too much of it; see `trueup history`")
    })
}

pub fn text(report: &Report, paint: Paint) -> String {
    let mut out = String::new();
    for (name, fact) in head(report) {
        let facts: Vec<String> = lines(&fact).collect();
        // A reason of several lines stands below its name.
        out +=
            &format!("{} {}\n", paint.ink(Ink::Quiet, &format!("{name:<10}")), facts.join("\n           "));
    }
    out += &drift::body(&report.plan, &report.since, &report.files, paint);
    out += &foreign::text(report, paint);
    let silent = silent(report);
    if !silent.is_empty() {
        out += &heading(paint, "SILENT HOSTS: nothing there was checked");
        silent.iter().for_each(|host| out += &hang("  ", host));
    }
    let held = held_addresses(report);
    if !held.is_empty() {
        out += &heading(paint, "ADDRESSES HELD by hosts that do not answer");
        held.iter().for_each(|address| out += &hang("  ", address));
    }
    out += &heading(paint, &format!("DONE since {}", moment(report.from, report.plan.observed_at)));
    if report.done.is_empty() {
        out += "  nothing\n";
    } else {
        let lines = history::text(&report.done, paint);
        lines.lines().for_each(|line| out += &format!("  {line}\n"));
    }
    cut(report).iter().for_each(|cut| out += &hang("  ", cut));
    if !report.unchecked.is_empty() {
        out += &heading(paint, "NOT CHECKED by this release");
        report.unchecked.iter().for_each(|what| out += &hang("  ", what));
    }
    out + &format!("\n{}\n", paint.ink(Ink::Strong, &line(&summary(report))))
}

pub fn json(report: &Report) -> Value {
    let mut value = drift::json(&report.plan, &report.since, &report.files);
    let since_of = |subject: &Subject| report.since.get(&subject.to_string()).map(ToString::to_string);
    let silent_since: BTreeMap<&HostName, Option<String>> = report
        .silent_hosts
        .keys()
        .map(|host| (host, since_of(&Subject::on_host(Kind::Host, host, host))))
        .collect();
    let more = json!({
        "summary": summary(report),
        "fleet": report.fleet,
        "environments": report.environments,
        "undeclared_environments": report.undeclared,
        "revision_summary": report.summary,
        "committed": report.committed.to_string(),
        "enforced_since": report.enforced_since.map(|at| at.to_string()),
        "kept_because": report.kept_because,
        "kept_since": report.kept_since.map(|at| at.to_string()),
        "permission": permission::word(&report.permission),
        "from": report.from.to_string(),
        "looked_at": {
            "apps": report.looked_at.apps, "hosts": report.looked_at.hosts, "instances": report.looked_at.instances,
        },
        "foreign": public::list(&report.foreign, foreign::json),
        "anonymous_volumes": report.anonymous_volumes,
        "silent_hosts": report.silent_hosts,
        "silent_since": silent_since,
        "down_nodes": public::list(&report.down_nodes, |down| {
            let DownNode { swarm, node, why } = down;
            json!({ "swarm": swarm, "node": node, "why": why, "since": since_of(&down_subject(down)) })
        }),
        "held_addresses": public::list(&report.held_addresses, held_address),
        "done": history::json(&report.done)["entries"],
        "done_is_cut": report.done_is_cut,
        "unchecked": report.unchecked,
    });
    if let (Some(fields), Value::Object(more)) = (value.as_object_mut(), more) {
        fields.extend(more);
    }
    value
}

fn held_address(held: &HeldAddress) -> Value {
    let HeldAddress { host, swarm, holder, app, network, address, since } = held;
    json!({
        "host": host, "swarm": swarm, "holder": holder, "app": app, "network": network, "address": address,
        "since": since.map(|at| at.to_string()),
    })
}

pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    for (name, fact) in head(report) {
        out += &format!("- **{name}**: {}\n", prose(&fact));
    }
    out += "\n";
    out += &drift::markdown_with(&report.plan, &report.since, &report.files, &summary(report));
    out += &foreign::markdown(report);
    let silent = silent(report);
    if !silent.is_empty() {
        out += "\n### Silent hosts: nothing there was checked\n\n";
        silent.iter().for_each(|host| out += &format!("- {}\n", prose(host)));
    }
    let held = held_addresses(report);
    if !held.is_empty() {
        out += "\n### Addresses held by hosts that do not answer\n\n";
        held.iter().for_each(|address| out += &format!("- {}\n", prose(address)));
    }
    out += &format!("\n### Done since {}\n\n", code(&report.from.to_string()));
    out += &if report.done.is_empty() { "Nothing.\n".to_owned() } else { history::markdown(&report.done) };
    cut(report).iter().for_each(|cut| out += &format!("\n{}\n", prose(cut)));
    if !report.unchecked.is_empty() {
        out += "\n### Not checked by this release\n\n";
        report.unchecked.iter().for_each(|what| out += &format!("- {}\n", prose(what)));
    }
    out
}
