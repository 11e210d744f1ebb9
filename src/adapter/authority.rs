//! Certificate authorities that a settings' file names: a company's own, beside or instead of the public ones.

use std::path::Path;

use ureq::tls::{Certificate, PemItem, RootCerts};

/// Only these are trusted. Every certificate of the file counts: an authority on its way out and its successor stand in one
/// bundle. Read anew each time, so that it can be renewed in place.
///
/// # Errors
/// The file cannot be read, or holds no certificate.
pub fn roots(file: &Path) -> Result<RootCerts, String> {
    let told = |why: String| format!("{}: {why}", file.display());
    let pem = std::fs::read(file).map_err(|e| told(e.to_string()))?;
    certificates(&pem).map(RootCerts::from).map_err(told)
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| e.to_string())? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err("it has no certificate".to_owned()) } else { Ok(found) }
}
