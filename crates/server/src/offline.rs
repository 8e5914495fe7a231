//! The management API over a store that no server on this data folder has
//! open: for the command line.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use freehold_control::Control;
use freehold_store::{Store, StoreOptions};
use freehold_types::Env;
use http::Request;
use http_body_util::Full;
use tokio::task::JoinHandle;
use tower_service::Service as _;

use crate::admin::{self, Admin, Via};
use crate::env::RealEnv;

/// A store, opened for a moment.
pub struct Offline {
    router: Router,
    control: Arc<Control>,
    store: Arc<Store>,
    writer: JoinHandle<()>,
}

/// Why it does not open.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not open: a server may have it.
    #[error(transparent)]
    Store(#[from] freehold_store::OpenError),
    /// What is stored cannot be taken up.
    #[error(transparent)]
    Control(#[from] freehold_control::Error),
}

impl Offline {
    /// Opens this store.
    pub async fn open(options: &StoreOptions) -> Result<Self, Error> {
        let env: Arc<dyn Env> = Arc::new(RealEnv::new());
        let store = Arc::new(Store::open(options, Arc::clone(&env)).await?);
        let settings = crate::together::beside(&store);
        let started = Control::open(Arc::clone(&store) as _, Arc::clone(&env), settings).await?;
        let control = Arc::new(started.control);
        let router = admin::router(Admin::offline(Arc::clone(&control), env), Via::DataFolder);
        let writer = tokio::spawn(started.writer.run());
        Ok(Self { router, control, store, writer })
    }

    /// Answers one request.
    pub async fn call(&self, request: Request<Full<Bytes>>) -> Response {
        let mut router = self.router.clone();
        router.call(request.map(Body::new)).await.unwrap_or_else(|never| match never {})
    }

    /// Writes everything and gives the folder up.
    pub async fn close(self) {
        self.control.close().await;
        // It has ended; a panic in it was told to whoever waited for a record.
        drop(self.writer.await);
        self.store.close().await;
    }
}
