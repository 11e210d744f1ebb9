//! Reports as files in a directory, and as a POST to a webhook.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ureq::Agent;
use ureq::tls::TlsConfig;

use crate::model::report::stem_of;
use crate::model::settings::ReportSettings;
use crate::model::webhook::{self, Webhook, WebhookUrl};
use crate::ports::{Documents, Reports, Written};

use super::authority;

/// One try of a webhook ends after this.
const DEADLINE: Duration = Duration::from_secs(20);

/// This machine's directories and network.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReportsOut;

#[async_trait]
impl Reports for ReportsOut {
    async fn write(&self, settings: &ReportSettings, documents: &Documents) -> Result<Written, String> {
        let Some(directory) = settings.directory.clone() else { return Ok(Written::default()) };
        let (documents, name, keep) = (documents.clone(), settings.name.clone(), settings.keep);
        let work = move || {
            let paths = write(&directory, &documents)?;
            let not_removed = remove_old(&directory, &name, &documents.stem, keep).err();
            Ok(Written { paths, not_removed })
        };
        tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?
    }

    async fn post(&self, webhook: &Webhook, body: &str) -> Result<(), String> {
        let (webhook, body) = (webhook.clone(), body.to_owned());
        let work = move || post(&webhook, body);
        tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?
    }
}

/// Each file whole or not at all.
fn write(directory: &Path, documents: &Documents) -> Result<Vec<String>, String> {
    let told = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    fs::create_dir_all(directory).map_err(|e| told(directory, e))?;
    let mut written = Vec::new();
    for (ending, text) in &documents.files {
        let name = format!("{}.{ending}", documents.stem);
        let (path, half) = (directory.join(&name), directory.join(format!(".{name}.half")));
        fs::File::create(&half)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&half, &path))
            .map_err(|e| told(&path, e))?;
        written.push(path.display().to_string());
    }
    Ok(written)
}

/// The report just written stays, and so do the newest others called `name`, up to `keep` in all: their names have their
/// moments. Whatever is called otherwise, or is no file, is nobody's to remove. The first failure is told; the rest go.
fn remove_old(directory: &Path, name: &str, written: &str, keep: usize) -> Result<(), String> {
    let told = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    let mut reports: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(|e| told(directory, e))? {
        let entry = entry.map_err(|e| told(directory, e))?;
        let file = entry.file_name();
        let stem = file.to_str().and_then(|file| stem_of(name, file));
        if let Some(stem) = stem.filter(|stem| *stem != written)
            && entry.file_type().is_ok_and(|kind| kind.is_file())
        {
            reports.entry(stem.to_owned()).or_default().push(entry.path());
        }
    }
    let old = reports.len().saturating_sub(keep.saturating_sub(1));
    let mut all = Ok(());
    for path in reports.into_values().take(old).flatten() {
        all = all.and(fs::remove_file(&path).map_err(|e| told(&path, e)));
    }
    all
}

fn post(webhook: &Webhook, body: String) -> Result<(), String> {
    let url = address(webhook)?;
    let mut request = Agent::from(agent(webhook)?).post(&url).header("Content-Type", "application/json");
    if let Some(file) = &webhook.token_file {
        request = request.header("Authorization", format!("Bearer {}", first_line(file)?));
    }
    let shown = webhook::shown(&url);
    request.send(body).map(|_| ()).map_err(|e| format!("{shown}: {}", e.to_string().replace(&url, &shown)))
}

/// Where it is posted, once that may be: not for people's eyes (G1).
///
/// # Errors
/// Its file cannot be read, or the address is none that a report may go to.
pub fn address(webhook: &Webhook) -> Result<String, String> {
    let url = match &webhook.url {
        WebhookUrl::Text(url) => url.clone(),
        WebhookUrl::File(file) => first_line(file)?,
    };
    let ca = webhook.ca.as_ref().map_or(Ok(()), |_| webhook::check_ca(&url));
    webhook::check(&url).and(ca).map_err(|e| format!("{}: {e}", webhook.url))?;
    Ok(url)
}

fn agent(webhook: &Webhook) -> Result<ureq::config::Config, String> {
    let mut tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    if let Some(file) = &webhook.ca {
        tls = tls.root_certs(authority::roots(file)?);
    }
    let config = Agent::config_builder()
        .tls_config(tls.build())
        .timeout_global(Some(DEADLINE))
        .max_redirects(0)
        .max_redirects_will_error(true)
        .http_status_as_error(true);
    Ok(config.build())
}

/// Read anew each time, so that a secret can be renewed in place.
fn first_line(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
