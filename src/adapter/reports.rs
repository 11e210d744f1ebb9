//! Reports as files in a directory, and as a POST to a webhook.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ureq::Agent;
use ureq::tls::TlsConfig;

use crate::model::settings::{ReportSettings, Webhook, WebhookBody};
use crate::ports::{Documents, Reports};

/// One try of a webhook ends after this.
const DEADLINE: Duration = Duration::from_secs(20);
/// The beginning of the names of reports: nothing else in the directory is ever removed.
const PREFIX: &str = "drift-";

/// This machine's directories and network.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReportsOut;

#[async_trait]
impl Reports for ReportsOut {
    async fn write(&self, settings: &ReportSettings, documents: &Documents) -> Result<Vec<String>, String> {
        let Some(directory) = settings.directory.clone() else { return Ok(Vec::new()) };
        let (documents, keep) = (documents.clone(), settings.keep);
        let work = move || {
            let written = write(&directory, &documents)?;
            forget_old(&directory, keep)?;
            Ok(written)
        };
        tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?
    }

    async fn post(&self, settings: &ReportSettings, documents: &Documents) -> Result<(), String> {
        let Some(webhook) = settings.webhook.clone() else { return Ok(()) };
        let documents = documents.clone();
        let work = move || post(&webhook, &documents);
        tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?
    }
}

/// Each file whole or not at all.
fn write(directory: &Path, documents: &Documents) -> Result<Vec<String>, String> {
    let told = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    fs::create_dir_all(directory).map_err(|e| told(directory, e))?;
    let mut written = Vec::new();
    for (name, text) in &documents.files {
        let (path, half) = (directory.join(name), directory.join(format!(".{name}.half")));
        fs::File::create(&half)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&half, &path))
            .map_err(|e| told(&path, e))?;
        written.push(path.display().to_string());
    }
    Ok(written)
}

/// The newest `keep` reports stay, each with all its files: their names begin with their moments.
fn forget_old(directory: &Path, keep: usize) -> Result<(), String> {
    let told = |e: std::io::Error| format!("{}: {e}", directory.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(told)? {
        let name = entry.map_err(told)?.file_name().to_string_lossy().into_owned();
        if name.starts_with(PREFIX) {
            names.push(name);
        }
    }
    let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
    let mut stems: Vec<String> = names.iter().map(|name| stem(name)).collect();
    stems.sort();
    stems.dedup();
    let old = &stems[..stems.len().saturating_sub(keep.max(1))];
    for name in names.iter().filter(|name| old.contains(&stem(name))) {
        fs::remove_file(directory.join(name)).map_err(told)?;
    }
    Ok(())
}

fn post(webhook: &Webhook, documents: &Documents) -> Result<(), String> {
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = Agent::config_builder()
        .tls_config(tls.build())
        .timeout_global(Some(DEADLINE))
        .max_redirects(0)
        .max_redirects_will_error(true)
        .http_status_as_error(true)
        .build();
    let body = match webhook.body {
        WebhookBody::Json => documents.json.clone(),
        WebhookBody::Text => serde_json::json!({ "text": documents.markdown }).to_string(),
    };
    let mut request = Agent::from(config).post(&webhook.url).header("Content-Type", "application/json");
    if let Some(file) = &webhook.token_file {
        let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let token = text.lines().next().unwrap_or_default().trim().to_owned();
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    request.send(body).map(|_| ()).map_err(|e| format!("{}: {e}", host_of(&webhook.url)))
}

/// Chats put what lets one post into the path: only the host is told (G1).
fn host_of(webhook: &str) -> String {
    let host = url::Url::parse(webhook).ok().and_then(|url| url.host_str().map(str::to_owned));
    format!("the webhook at {}", host.unwrap_or_else(|| "an address that is none".to_owned()))
}
