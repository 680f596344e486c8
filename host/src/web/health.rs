//! Whether it lives, and whether it can work: for whoever starts it and whoever stands before it. Neither says anything else.

use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::state::State;
use crate::config::Config;

/// It answers.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// The catalogue can be read, who gets in can be read, and the configuration holds. What does not is in the log.
pub(super) async fn ready(Extract(state): Extract<State>) -> Response {
    let looked = tokio::task::spawn_blocking(move || {
        let context = state.context();
        let faults = [
            context.catalog.holdings().err().map(|error| error.to_string()),
            state.access().needs_setup().err().map(|error| error.to_string()),
            Config::load(&context.config.path).err().map(|error| error.to_string()),
        ];
        faults.into_iter().flatten().collect::<Vec<_>>()
    });
    match looked.await {
        Ok(faults) if faults.is_empty() => "ready\n".into_response(),
        Ok(faults) => {
            for fault in faults {
                tracing::error!("not ready: {fault}");
            }
            (StatusCode::SERVICE_UNAVAILABLE, "not ready; see the log\n").into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready; see the log\n").into_response(),
    }
}
