//! trueup's own small HTTP server: metrics and health, read-only, on loopback unless the settings say otherwise (G2).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::{Router, routing::get};

use crate::control::metrics::Metrics;
use crate::output;
use crate::ports::Clock;

/// What the pages read.
#[derive(Clone)]
pub struct Pages {
    pub metrics: Arc<Mutex<Metrics>>,
    pub clock: Arc<dyn Clock>,
    /// A loop without a good round for longer than this is not ready.
    pub patience: Duration,
}

/// Serves until the process ends. Fails where the address cannot be had.
pub async fn serve(address: SocketAddr, pages: Pages) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(pages);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!("the HTTP server at {address} ended: {error}");
        }
    });
    Ok(())
}

async fn metrics(State(pages): State<Pages>) -> impl IntoResponse {
    let now = pages.clock.now();
    let all = pages.metrics.lock().unwrap_or_else(PoisonError::into_inner).all(now);
    ([(header::CONTENT_TYPE, output::OPEN_METRICS)], output::open_metrics(&all))
}

/// Ready means: the loop carried a round through, and not too long ago. A head that is held does not make it unready
/// (a restart would not help), and is told.
async fn ready(State(pages): State<Pages>) -> (StatusCode, String) {
    let (last, kept, error) = {
        let metrics = pages.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        (metrics.last_round, metrics.kept.clone(), metrics.error.clone())
    };
    let now = pages.clock.now();
    let kept = kept.as_ref().map(|(why, since)| output::kept_page(why, *since, now)).unwrap_or_default();
    let error = error.map(|error| output::failed_page(&error)).unwrap_or_default();
    let Some(last) = last else {
        let words = format!("no round was carried through yet\n{error}");
        return (StatusCode::SERVICE_UNAVAILABLE, words);
    };
    let ago = now.since(last).duration();
    let words = format!("the last good round was {} s ago\n{kept}{error}", ago.as_secs());
    let status = if ago > pages.patience { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, words)
}
