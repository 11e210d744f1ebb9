//! The `[[report]]` tables of the reconciler's own settings: what is reported when, and where it goes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::schedule::Schedule;
use crate::model::settings::ReportSettings;
use crate::model::webhook::{self, Webhook, WebhookBody, WebhookUrl};

use super::context::Context;
use super::own::shape;

shape! {
    /// A drift report that `trueup run` writes again and again.
    struct ReportShape {
        /// What its files' names begin with; `"drift"` by default. Reports that share a directory need names of their own.
        name: Option<String>,
        /// Required. As in cron: `minute hour day-of-month month day-of-week`, such as `"0 7 * * MON-FRI"`. Where both days are
        /// restricted, either will do.
        schedule: Option<String>,
        /// The time zone that the schedule means, such as `"Europe/Berlin"`; `"UTC"` by default.
        time_zone: Option<String>,
        /// Only these environments; all by default.
        environments: Option<Vec<String>>,
        /// Where the reports are written, as Markdown, JSON and a web page.
        directory: Option<PathBuf>,
        /// How many reports are kept there; 90 by default.
        keep: Option<usize>,
        /// Where reports are posted; five tries, and how it went stands in `trueup history`.
        webhook: Option<WebhookShape>,
    }
    struct WebhookShape {
        /// `https://`, or `http://` on this machine itself. Only its scheme and host are ever shown.
        url: Option<String>,
        /// Instead of `url`: a file with the address on its first line, for addresses that are secrets.
        url_file: Option<PathBuf>,
        /// A file with a bearer token on its first line.
        token_file: Option<PathBuf>,
        /// PEM of the authorities that its certificate may be from, such as a company's own; the public ones by default.
        ca: Option<PathBuf>,
        /// `"json"` (by default): the report's own JSON. `"text"`: `{"text": …}` with its Markdown, as chats take it.
        body: Option<String>,
    }
}

const USUAL_NAME: &str = "drift";
const USUAL_KEEP: usize = 90;
const LONGEST_NAME: usize = 40;

pub(super) fn reports(
    shapes: Vec<ReportShape>,
    base: &Path,
    context: &mut Context<'_>,
) -> Vec<ReportSettings> {
    let mut reports: Vec<(usize, ReportSettings)> = Vec::new();
    for (number, shape) in shapes.into_iter().enumerate() {
        let Some(report) = report(number, shape, base, context) else { continue };
        if let Some((other, why)) = reports.iter().find_map(|(n, other)| Some((n, clash(other, &report)?))) {
            context.fail_with(
                &format!("report[{number}]"),
                format!("it {why} as report[{other}]"),
                "give it another `name`, or another `directory`, or take it away",
            );
        }
        reports.push((number, report));
    }
    reports.into_iter().map(|(_, report)| report).collect()
}

/// What two reports may not have in common: each would remove, or stand for, the other's.
fn clash(one: &ReportSettings, other: &ReportSettings) -> Option<&'static str> {
    if one.directory.is_some() && one.directory == other.directory && one.name == other.name {
        Some("writes files of the same names into the same directory")
    } else {
        (one.key() == other.key()).then_some("says the same at the same time to the same place")
    }
}

fn report(
    number: usize,
    shape: ReportShape,
    base: &Path,
    context: &mut Context<'_>,
) -> Option<ReportSettings> {
    let at = format!("report[{number}]");
    let Some(expression) = &shape.schedule else {
        context.fail(&at, "the key `schedule` is missing here");
        return None;
    };
    let schedule = Schedule::new(expression, shape.time_zone.as_deref().unwrap_or("UTC"));
    if let Err(error) = &schedule {
        context.fail(&format!("{at}.schedule"), error.to_string());
    }
    if shape.directory.is_none() && shape.webhook.is_none() {
        context.fail(&at, "this report goes nowhere: set `directory`, `webhook` or both");
    }
    let environments = shape.environments.as_ref().map(|names| context.list::<_, BTreeSet<_>>(&at, names));
    let webhook = shape.webhook.and_then(|shape| webhook(&at, shape, base, context));
    Some(ReportSettings {
        name: name(&at, shape.name, context),
        schedule: schedule.ok()?,
        environments,
        directory: shape.directory.map(|directory| base.join(directory)),
        keep: shape.keep.unwrap_or(USUAL_KEEP).max(1),
        webhook,
    })
}

fn name(at: &str, name: Option<String>, context: &mut Context<'_>) -> String {
    let name = name.unwrap_or_else(|| USUAL_NAME.to_owned());
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fits) {
        let why = format!("a name is 1 to {LONGEST_NAME} of letters, digits, '-' and '_'");
        context.fail(&format!("{at}.name"), why);
    }
    name
}

fn webhook(at: &str, shape: WebhookShape, base: &Path, context: &mut Context<'_>) -> Option<Webhook> {
    let url = match (shape.url, shape.url_file) {
        (Some(url), None) => {
            if let Err(why) = webhook::check(&url) {
                context.fail(&format!("{at}.webhook.url"), why);
            } else if let Some(Err(why)) = shape.ca.as_ref().map(|_| webhook::check_ca(&url)) {
                context.fail(&format!("{at}.webhook.ca"), why);
            }
            WebhookUrl::Text(url)
        }
        (None, Some(file)) => WebhookUrl::File(base.join(file)),
        (Some(_), Some(_)) => {
            context.fail(at, "set either `url` or `url_file` of the webhook");
            return None;
        }
        (None, None) => {
            context.fail(at, "the webhook has neither `url` nor `url_file`");
            return None;
        }
    };
    let body = match shape.body.as_deref() {
        None | Some("json") => WebhookBody::Json,
        Some("text") => WebhookBody::Text,
        Some(other) => {
            context.fail(at, format!("the body is \"json\" or \"text\", not {other:?}"));
            WebhookBody::Json
        }
    };
    let file = |file: Option<PathBuf>| file.map(|file| base.join(file));
    Some(Webhook { url, token_file: file(shape.token_file), ca: file(shape.ca), body })
}

#[cfg(test)]
mod tests {
    use crate::config::own;

    /// What is wrong with these `[[report]]` tables; empty: nothing.
    fn wrong(reports: &str) -> String {
        let text = format!(
            "installation = \"home\"\nkey_file = \"key\"\n[repository]\nurl = \"/srv/fleet\"\n{reports}"
        );
        let key = |_: &std::path::Path| Ok("ab".repeat(32).into_bytes());
        own::parse(&text, "trueup.toml", "/etc/trueup".as_ref(), &key)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn reports_that_would_take_each_others_files_or_place_are_refused() {
        let report = |more: &str| format!("[[report]]\nschedule = \"0 7 * * *\"\n{more}\n");
        let (here, hook) = ("directory = \"r\"", "webhook = { url = \"https://chat.example/s3cret\" }");
        for (one, other, expected) in [
            (here, here, "writes files of the same names into the same directory as report[0]"),
            (hook, hook, "says the same at the same time to the same place as report[0]"),
            (here, "directory = \"r\"\nname = \"weekly\"", ""),
            (here, "directory = \"other\"", ""),
            (hook, "webhook = { url = \"https://chat.example/other\" }", ""),
            (hook, "environments = [\"prod\"]\nwebhook = { url = \"https://chat.example/s3cret\" }", ""),
        ] {
            let told = wrong(&(report(one) + &report(other)));
            assert!(
                told.contains(expected) && told.is_empty() == expected.is_empty(),
                "{one} {other}: {told}"
            );
        }
    }

    #[test]
    fn a_webhook_has_one_address_and_a_name_fits_into_a_file_name() {
        for (more, expected) in [
            ("webhook = { url_file = \"hook\" }", ""),
            ("webhook = { }", "neither `url` nor `url_file`"),
            ("webhook = { url = \"https://a/b\", url_file = \"hook\" }", "either `url` or `url_file`"),
            (
                "webhook = { url = \"http://127.0.0.1/b\", ca = \"ca.pem\" }",
                "http://127.0.0.1 shows no certificate that `ca` could be for",
            ),
            ("webhook = { url = \"http://127.0.0.1/b\" }", ""),
            ("webhook = { url = \"https://a/b\", ca = \"ca.pem\" }", ""),
            ("webhook = { url = \"ftp://a/b\" }", "ftp://a is neither https:// nor http://"),
            ("directory = \"r\"\nname = \"a/b\"", "a name is 1 to 40 of letters"),
        ] {
            let told = wrong(&format!("[[report]]\nschedule = \"0 7 * * *\"\n{more}\n"));
            assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{more}: {told}");
        }
    }
}
