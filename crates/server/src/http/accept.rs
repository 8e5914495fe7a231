//! Takes connections and deals them out.

use std::time::Duration;

use tokio::net::TcpListener;

use super::drain::Drain;
use super::workers::Workers;

/// How long to leave a socket alone that has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until the drain begins. The listening socket is closed
/// then, so that a load balancer sees it at once.
pub async fn accept(listener: TcpListener, workers: &mut Workers, drain: &Drain) {
    // A connection is only taken when there is room for it. This is the one
    // place that takes them, so the room is still there a moment later.
    while drain.enter().await.is_some() {
        let accepted = tokio::select! {
            biased;
            () = drain.begun() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address))) {
            Ok((stream, address)) => {
                let Some(permit) = drain.enter().await else { return };
                workers.give((stream, address, permit)).await;
            }
            Err(error) => {
                // A client that has gone already is no reason to wait; a
                // process that is out of descriptors is.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
