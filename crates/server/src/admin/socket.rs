//! The API over a socket in the data folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::net::UnixListener;
use tower_service::Service as _;

use super::{Admin, Via, router};
use crate::app::App;
use crate::http::connection::{Limits, serve as serve_connection};

/// Where it is.
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

/// Serves it until the server drains.
pub async fn serve(listener: UnixListener, app: Arc<App>) {
    let router = router(Admin::from(&app), Via::DataFolder);
    loop {
        let accepted = tokio::select! {
            () = app.drain.begun() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the admin socket");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let router = router.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut router = router.clone();
            async move { router.call(request.map(Body::new)).await }
        });
        let limits = Limits::from(&app.config.load().server);
        let drain = app.drain.clone();
        drop(tokio::spawn(serve_connection(stream, false, limits, drain, service)));
    }
}
