//! What tells others about the fleet: where metrics are served and sent, where reports are written and posted.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::adapter::authority;
use crate::adapter::reports::address;
use crate::model::settings::{MetricsSettings, ReportSettings, Settings};
use crate::model::webhook::Webhook;

use super::{Check, broken, doubtful, works, writable};

/// A monitoring system that is not reached within this is not there.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn look(settings: &Settings, checks: &mut Vec<Check>) {
    metrics(&settings.metrics, checks).await;
    for report in &settings.reports {
        reports(report, checks).await;
    }
}

async fn metrics(settings: &MetricsSettings, checks: &mut Vec<Check>) {
    if let Some(address) = settings.listen {
        checks.push(if address.ip().is_loopback() {
            works("metrics", format!("served at {address}, for this machine alone"))
        } else {
            doubtful(
                "metrics",
                format!("served at {address}: whoever reaches it reads the names of hosts and apps (G2)"),
                "name 127.0.0.1 in `listen`, or let a firewall or proxy say who may ask",
            )
        });
    }
    if let Some(graphite) = &settings.graphite {
        let next = "is carbon running there, and `graphite` in the settings right? Numbers are sent again when it is";
        checks.push(reached("graphite", &graphite.address, next).await);
    }
}

async fn reports(settings: &ReportSettings, checks: &mut Vec<Check>) {
    let what = format!("report of {}", settings.schedule);
    if let Some(directory) = &settings.directory {
        checks.push(writable(&what, directory));
    }
    if let Some(webhook) = &settings.webhook {
        checks.push(match place(webhook) {
            Ok(place) => {
                let next = "correct `webhook` in the settings, or open the way to it: no report gets there until then";
                reached(&what, &place, next).await
            }
            Err(why) => broken(&what, why, "correct `webhook` in the settings"),
        });
    }
}

/// Host and port. The path may be what lets one post (G1).
fn place(webhook: &Webhook) -> Result<String, String> {
    webhook.ca.as_deref().map(authority::roots).transpose()?;
    let url = url::Url::parse(&address(webhook)?).ok();
    let place = url.and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
    place.ok_or_else(|| "its webhook names no host".to_owned())
}

/// Whether somebody listens at `place`, which is `host:port`. Nothing is sent.
async fn reached(what: &str, place: &str, next: &str) -> Check {
    match tokio::time::timeout(PATIENCE, TcpStream::connect(place)).await {
        Ok(Ok(_)) => works(what, format!("{place} answers")),
        Ok(Err(error)) => broken(what, format!("{place} cannot be reached: {error}"), next),
        Err(_) => broken(what, format!("{place} did not answer within {} s", PATIENCE.as_secs()), next),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::model::schedule::Schedule;
    use crate::model::settings::GraphiteSettings;
    use crate::model::units::TimeSpan;
    use crate::model::webhook::{WebhookBody, WebhookUrl};

    fn told(checks: &[Check]) -> Vec<(Verdict, &str)> {
        checks.iter().map(|check| (check.verdict, check.detail.as_str())).collect()
    }

    #[tokio::test]
    async fn who_may_ask_and_whether_carbon_is_there() {
        let carbon = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = carbon.local_addr().expect("an address").to_string();
        let graphite = |address: &str| GraphiteSettings {
            address: address.to_owned(),
            prefix: "trueup".to_owned(),
            every: TimeSpan::from_secs(60),
        };
        let look = |listen: &str, carbon: &str| MetricsSettings {
            listen: listen.parse().ok(),
            graphite: Some(graphite(carbon)),
        };
        let mut checks = Vec::new();
        metrics(&look("127.0.0.1:9464", &address), &mut checks).await;
        drop(carbon);
        metrics(&look("0.0.0.0:9464", &address), &mut checks).await;
        let verdicts: Vec<Verdict> = told(&checks).iter().map(|(verdict, _)| *verdict).collect();
        assert_eq!(
            verdicts,
            [Verdict::Works, Verdict::Works, Verdict::Doubtful, Verdict::Broken],
            "{checks:?}"
        );
        assert!(checks[2].detail.contains("(G2)"), "{checks:?}");
    }

    #[tokio::test]
    async fn a_report_that_gets_nowhere_is_told_without_its_secret() {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let url = WebhookUrl::Text(format!("http://127.0.0.1:{port}/hooks/s3cr3t"));
        let report = ReportSettings {
            name: "drift".to_owned(),
            schedule: Schedule::new("0 7 * * *", "UTC").expect("a schedule"),
            environments: None,
            directory: Some("/proc/no/reports".into()),
            keep: 1,
            webhook: Some(Webhook { url, token_file: None, ca: None, body: WebhookBody::Json }),
        };
        let mut checks = Vec::new();
        reports(&report, &mut checks).await;
        assert!(checks.iter().all(|check| check.verdict == Verdict::Broken), "{checks:?}");
        assert_eq!(checks.len(), 2);
        assert!(!format!("{checks:?}").contains("s3cr3t"), "{checks:?}");
        let webhook = report.webhook.map(|hook| Webhook { ca: Some("/nowhere/ca.pem".into()), ..hook });
        let why = webhook.as_ref().map(place).expect("a webhook").expect_err("no authority");
        assert!(why.starts_with("/nowhere/ca.pem: "), "{why}");
    }
}
