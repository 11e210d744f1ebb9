//! Where reports are posted. Addresses of chat hooks are secrets (G1): only their scheme and host are ever shown.

use std::fmt;
use std::path::PathBuf;

use url::{Host, Url};

/// Where a report is posted, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub url: WebhookUrl,
    /// A file with a bearer token on its first line.
    pub token_file: Option<PathBuf>,
    /// PEM of the only authorities that its certificate may be from; `None`: the public ones.
    pub ca: Option<PathBuf>,
    pub body: WebhookBody,
}

#[derive(Clone, PartialEq, Eq)]
pub enum WebhookUrl {
    Text(String),
    /// A file with the address on its first line, read whenever something is posted.
    File(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookBody {
    /// The report's own JSON.
    Json,
    /// `{"text": "…"}` with the report in Markdown, as chats take it.
    Text,
}

impl WebhookUrl {
    /// Where the address lies, if it does not stand in the settings.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Text(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(url) => f.write_str(&shown(url)),
            Self::File(path) => write!(f, "the address in {}", path.display()),
        }
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `https://chat.example`, without user, path and query.
pub fn shown(url: &str) -> String {
    match Url::parse(url) {
        Ok(parsed) => {
            let host = parsed.host_str().unwrap_or_default();
            let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{host}{port}", parsed.scheme())
        }
        Err(_) => "what is no address".to_owned(),
    }
}

/// A report names hosts and drift: it does not go over a network in the clear.
pub fn check(url: &str) -> Result<(), String> {
    let parsed = Url::parse(url).map_err(|e| format!("it is no address: {e}"))?;
    let here = match parsed.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if here => Ok(()),
        _ => Err(format!("{} is neither https:// nor http:// on this machine itself", shown(url))),
    }
}

/// Where no certificate is shown, an authority would vouch for nothing.
pub fn check_ca(url: &str) -> Result<(), String> {
    match Url::parse(url) {
        Ok(parsed) if parsed.scheme() == "http" => {
            Err(format!("{} shows no certificate that `ca` could be for: take `ca` away", shown(url)))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_and_host_are_shown() {
        let secret = "https://user:pw@chat.example:8443/hooks/s3cret?token=s3cret#s3cret";
        let url = WebhookUrl::Text(secret.to_owned());
        assert_eq!(url.to_string(), "https://chat.example:8443");
        assert_eq!(format!("{url:?}"), "https://chat.example:8443");
        assert_eq!(shown("s3cret"), "what is no address");
        let refused = check("http://chat.example/s3cret").expect_err("in the clear");
        assert!(!refused.contains("s3cret"), "{refused}");
        assert!(
            check("http://127.0.0.1:1/x").is_ok() && check("http://[::1]/x").is_ok() && check(secret).is_ok()
        );
    }
}
