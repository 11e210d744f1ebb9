//! Registry credentials from Docker's usual config file: `auths`, `credHelpers`, `credsStore`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use crate::model::image::ImageRef;
use crate::ports::{EngineError, EngineErrorKind};

use super::engine::DockerEngine;

/// Docker Hub's name in that file.
const HUB: &str = "https://index.docker.io/v1/";
/// A helper that asks a person something never ends.
const HELPER_DEADLINE: Duration = Duration::from_secs(20);

// No Debug: it holds passwords.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ConfigFile {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

impl DockerEngine {
    /// The credentials for the image's registry; `None` where there are none: it may be public.
    pub(super) async fn credentials(
        &self,
        image: &ImageRef,
    ) -> Result<Option<DockerCredentials>, EngineError> {
        let Some(path) = self.config_file() else { return Ok(None) };
        let fail = |detail: String| EngineError {
            host: self.host.clone(),
            call: format!("credentials for {} from {}", image.registry(), path.display()),
            kind: EngineErrorKind::Refused,
            detail,
        };
        let text = match tokio::fs::read(&path).await {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail(e.to_string())),
        };
        // The parser's own message could quote a password; the place is enough.
        let file: ConfigFile = serde_json::from_slice(&text)
            .map_err(|e| fail(format!("not the expected JSON at line {}", e.line())))?;
        let server = match image.registry() {
            "docker.io" => HUB,
            registry => registry,
        };
        if let Some(helper) = file.cred_helpers.get(server).or(file.creds_store.as_ref()) {
            return ask_helper(helper, server).await.map_err(fail);
        }
        let auth = file.auths.iter().find(|(name, _)| same_server(name, server)).map(|(_, auth)| auth);
        auth.map(|auth| decode(auth, server)).transpose().map_err(fail).map(Option::flatten)
    }

    fn config_file(&self) -> Option<PathBuf> {
        if let Some(path) = &self.docker_config {
            return Some(path.clone());
        }
        let dir = std::env::var_os("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker")))?;
        Some(dir.join("config.json"))
    }
}

fn same_server(name: &str, server: &str) -> bool {
    let bare = |s: &str| {
        let s = s.strip_prefix("https://").or_else(|| s.strip_prefix("http://")).unwrap_or(s);
        s.trim_end_matches('/').to_owned()
    };
    bare(name) == bare(server)
}

fn decode(auth: &Auth, server: &str) -> Result<Option<DockerCredentials>, String> {
    let mut credentials =
        DockerCredentials { serveraddress: Some(server.to_owned()), ..DockerCredentials::default() };
    if let Some(token) = auth.identitytoken.as_ref().filter(|t| !t.is_empty()) {
        credentials.identitytoken = Some(token.clone());
        return Ok(Some(credentials));
    }
    let Some(encoded) = auth.auth.as_ref().filter(|a| !a.is_empty()) else { return Ok(None) };
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .map_err(|_| format!("`auth` of {server} is not base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("`auth` of {server} is not text"))?;
    let (user, password) =
        text.split_once(':').ok_or_else(|| format!("`auth` of {server} is not user:password"))?;
    credentials.username = Some(user.to_owned());
    credentials.password = Some(password.to_owned());
    Ok(Some(credentials))
}

/// Docker's helper protocol: the server's name on standard input, JSON on standard output. No shell.
async fn ask_helper(helper: &str, server: &str) -> Result<Option<DockerCredentials>, String> {
    let fits = helper.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
    if !fits {
        return Err(format!("{helper:?} is not the name of a credential helper"));
    }
    let program = format!("docker-credential-{helper}");
    let run = async {
        let mut child = tokio::process::Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(server.as_bytes()).await {
                // It answers without having read the question: what it says counts.
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {}
                written => written?,
            }
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(HELPER_DEADLINE, run).await {
        Ok(Ok(output)) => output,
        Ok(Err(e)) => return Err(format!("{program}: {e}")),
        Err(_) => return Err(format!("{program} did not answer within {} s", HELPER_DEADLINE.as_secs())),
    };
    if !output.status.success() {
        // "credentials not found" is the helper's way to say that there are none.
        let said = String::from_utf8_lossy(&output.stdout);
        let said: String = said.trim().chars().take(200).collect();
        // What went wrong is all that a helper prints when it fails; a secret comes only with success.
        return if said.to_lowercase().contains("not found") {
            Ok(None)
        } else {
            Err(format!("{program} failed: {said}"))
        };
    }
    let answer: HelperAnswer = serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{program} answered something else than JSON"))?;
    let mut credentials =
        DockerCredentials { serveraddress: Some(server.to_owned()), ..DockerCredentials::default() };
    if answer.username == "<token>" {
        credentials.identitytoken = Some(answer.secret);
    } else {
        credentials.username = Some(answer.username);
        credentials.password = Some(answer.secret);
    }
    Ok(Some(credentials))
}
