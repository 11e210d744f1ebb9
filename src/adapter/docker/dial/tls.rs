//! TLS to an engine: only the named authority is trusted, and the client certificate is always shown.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::model::settings::TlsIdentity;
use crate::ports::EngineErrorKind;

use super::super::error::Below;

/// Read anew for each connection: a renewed certificate is used without a restart.
pub(super) fn config(identity: &TlsIdentity, host: &str) -> io::Result<(ClientConfig, ServerName<'static>)> {
    // The system's public authorities are not asked: any of them could name another engine.
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&identity.ca)? {
        roots.add(certificate).map_err(|e| unusable(&identity.ca, &e))?;
    }
    let chain = certificates(&identity.cert)?;
    let key = PrivateKeyDer::from_pem_file(&identity.key).map_err(|e| unusable(&identity.key, &e))?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| refused(e.to_string()))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|e| unusable(&identity.cert, &e))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|e| refused(format!("{host}: {e}")))?;
    Ok((config, name))
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|e| unusable(path, &e))?;
    if all.is_empty() {
        return Err(refused(format!("{} holds no certificate", path.display())));
    }
    Ok(all)
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    refused(format!("{} cannot be used: {error}", path.display()))
}

fn refused(detail: String) -> io::Error {
    Below::io(EngineErrorKind::Refused, format!("{detail}; mend [engines.tls] in the settings"))
}
