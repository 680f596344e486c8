//! `cofre serve`: the API alone; and the same beside the daemon's schedule.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::render::Renderer;
use crate::config::{Config, WebSettings};
use crate::job::{Context, JobError};
use crate::text::Locale;
use crate::web::Server;

/// Between two attempts to listen, beside a schedule that goes on meanwhile.
const PAUSE: Duration = Duration::from_secs(60);

/// Serves until told to stop; SIGHUP reads the configuration again.
pub(super) async fn alone(path: &Path, context: Context, listen: Vec<SocketAddr>, shown: (Renderer, Locale)) -> Result<Exit, JobError> {
    let mut settings = context.config.web.clone().unwrap_or_default();
    if !listen.is_empty() {
        settings.listen = listen;
    }
    let stop = context.cancel.clone();
    // Before anybody can ask for it.
    let hangups = signal(SignalKind::hangup()).map_err(|error| JobError::Failed(format!("cannot wait for signals: {error}")))?;
    let feed = watch::Sender::new(context);
    let server = Server::bind(feed.subscribe(), settings, stop.clone()).await?;
    tell(&server, shown)?;
    tokio::select! {
        () = server.run() => {}
        () = reload(path, &feed, hangups) => {}
    }
    Ok(Exit::Done)
}

/// Reads the configuration again whenever that is asked for; one that does not hold is refused, and the old one stays.
async fn reload(path: &Path, feed: &watch::Sender<Context>, mut hangups: Signal) {
    loop {
        if hangups.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        let old = feed.borrow().clone();
        let actor = old.audit.actor().clone();
        match Config::load(path).map_err(JobError::from).and_then(|config| Context::open(config, actor, old.cancel.clone())) {
            Ok(new) => {
                feed.send_replace(new);
                tracing::info!("the configuration was read again");
            }
            Err(error) => tracing::error!(%error, "the new configuration is refused, and the old one stays"),
        }
    }
}

/// Serves beside the daemon. What keeps it from listening keeps no backup from being made: it is told, and tried again.
pub(super) async fn beside(context: watch::Receiver<Context>, settings: WebSettings, stop: CancellationToken, shown: (Renderer, Locale)) {
    loop {
        match Server::bind(context.clone(), settings.clone(), stop.clone()).await.and_then(|server| tell(&server, shown).map(|()| server)) {
            Ok(server) => return server.run().await,
            Err(error) => tracing::error!(%error, "the API is not served; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Says where it can be reached and, while there is no user, how the first one gets in.
fn tell(server: &Server, (renderer, locale): (Renderer, Locale)) -> Result<(), JobError> {
    if let Some(fingerprint) = server.fingerprint() {
        renderer.say(&format!("SHA-256: {fingerprint}"));
    }
    if let Some(link) = server.setup_link()? {
        let what = locale.pick(
            "Para criar o primeiro administrador (uma vez, dentro de uma hora)",
            "To set up the first administrator (once, within an hour)",
        );
        renderer.say(&format!("{what}: {link}"));
    }
    for address in server.addresses() {
        renderer.say(&format!("API: {address}/api/v1"));
    }
    Ok(())
}
