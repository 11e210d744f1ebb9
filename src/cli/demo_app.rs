//! The small HTTP service that the demo's containers run: `/` says who answers, `/health` says that it is well.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;
use axum::{Router, routing::get};

use super::Exit;

#[derive(clap::Args)]
pub struct Args {
    /// What it calls itself.
    #[arg(long, default_value = "demo")]
    name: String,
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// A file whose first line is shown, as proof that files of the repository arrive.
    #[arg(long, value_name = "FILE")]
    show: Option<std::path::PathBuf>,
    /// Ask the service on this port whether it is well, and end.
    #[arg(long)]
    check: bool,
}

pub async fn run(args: &Args) -> Exit {
    if args.check {
        return Ok(if healthy(args.port) { 0 } else { 1 });
    }
    let shown = args.show.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
    let line = shown.as_deref().and_then(|text| text.lines().next()).unwrap_or_default().to_owned();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let answer = format!("{} on {} {line}\n", args.name, host.trim());
    let app = Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .fallback(get(move || std::future::ready(answer.clone())));
    let address = SocketAddr::from(([0, 0, 0, 0], args.port));
    let listener =
        tokio::net::TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    outln!("{} listens on {address}", args.name);
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            term.recv().await;
        })
        .await?;
    Ok(0)
}

/// One request to `/health`, within two seconds.
fn healthy(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let limit = Duration::from_secs(2);
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        let mut answer = [0; 64];
        let read = stream.read(&mut answer)?;
        Ok(answer[..read].starts_with(b"HTTP/1.0 200") || answer[..read].starts_with(b"HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}
