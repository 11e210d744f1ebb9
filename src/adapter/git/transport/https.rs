//! git's smart HTTP over rustls: one request to advertise, one per exchange; redirects are not followed.

use std::io::{self, Read, Write};
use std::sync::Arc;

use base64::Engine as _;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use ureq::Agent;
use ureq::tls::TlsConfig;

use crate::adapter::authority;
use crate::model::settings::Credentials;

use super::{Conversation, Until, fail};

/// One exchange may not answer more.
const LARGEST: u64 = 1 << 30;

pub(super) struct Https {
    /// git2 drops the words of an error made while a transport is built, so it is told at the first request.
    ready: Result<Ready, String>,
    until: Until,
}

#[derive(Clone)]
struct Ready {
    agent: Agent,
    authorization: Option<String>,
}

impl Https {
    /// Reads the password and the certificate authority now; neither is kept longer than this connection.
    pub(super) fn new(conversation: Conversation) -> Self {
        Self { ready: Ready::new(&conversation.credentials), until: conversation.until }
    }
}

impl Ready {
    fn new(credentials: &Credentials) -> Result<Self, String> {
        let mut tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        if let Some(path) = &credentials.https_ca {
            tls = tls.root_certs(authority::roots(path)?);
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .max_redirects(0)
            .max_redirects_will_error(true)
            .http_status_as_error(false)
            .build();
        let authorization = match (&credentials.https_user, &credentials.https_password_file) {
            (user, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
                let password = text.lines().next().unwrap_or_default();
                let pair = format!("{}:{password}", user.as_deref().unwrap_or("git"));
                Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
            }
            (_, None) => None,
        };
        Ok(Self { agent: Agent::new_with_config(config), authorization })
    }
}

impl SmartSubtransport for Https {
    fn action(&self, url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let url = url.trim_start_matches("trueup-").trim_end_matches('/');
        let (service, advertise) = match action {
            Service::UploadPackLs => ("git-upload-pack", true),
            Service::UploadPack => ("git-upload-pack", false),
            Service::ReceivePackLs => ("git-receive-pack", true),
            Service::ReceivePack => ("git-receive-pack", false),
        };
        Ok(Box::new(Exchange {
            ready: self.ready.clone().map_err(fail)?,
            until: self.until,
            url: if advertise {
                format!("{url}/info/refs?service={service}")
            } else {
                format!("{url}/{service}")
            },
            service,
            advertise,
            request: Vec::new(),
            answer: None,
        }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// What libgit2 writes is the request's body; its first read sends it.
struct Exchange {
    ready: Ready,
    until: Until,
    url: String,
    service: &'static str,
    advertise: bool,
    request: Vec<u8>,
    answer: Option<Box<dyn Read + Send>>,
}

impl Exchange {
    /// What ended at the deadline says so, whichever call it was that noticed.
    fn told(&self, error: impl std::fmt::Display) -> io::Error {
        let why = if self.until.left().is_zero() { self.until.words() } else { error.to_string() };
        io::Error::other(format!("{}: {why}", self.url))
    }

    fn send(&mut self) -> io::Result<Box<dyn Read + Send>> {
        let told = |e: ureq::Error| self.told(e);
        let left = Some(self.until.left());
        let response = if self.advertise {
            let mut request = self.ready.agent.get(&self.url).config().timeout_global(left).build();
            if let Some(value) = &self.ready.authorization {
                request = request.header("Authorization", value);
            }
            request.call().map_err(told)?
        } else {
            let mut request = self
                .ready
                .agent
                .post(&self.url)
                .config()
                .timeout_global(left)
                .build()
                .header("Content-Type", format!("application/x-{}-request", self.service))
                .header("Accept", format!("application/x-{}-result", self.service));
            if let Some(value) = &self.ready.authorization {
                request = request.header("Authorization", value);
            }
            request.send(&self.request[..]).map_err(told)?
        };
        match response.status().as_u16() {
            200 => Ok(Box::new(response.into_body().into_reader().take(LARGEST))),
            401 | 403 => Err(io::Error::other(format!(
                "{}: access was refused: check https_user and https_password_file in the settings",
                self.url
            ))),
            status => Err(io::Error::other(format!("{}: the server answered {status}", self.url))),
        }
    }
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.answer.is_none() {
            self.answer = Some(self.send()?);
            self.request.clear();
        }
        let read = self.answer.as_mut().map_or(Ok(0), |answer| answer.read(buffer));
        read.map_err(|e| self.told(e))
    }
}

impl Write for Exchange {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.request.extend_from_slice(buffer);
        Ok(buffer.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
