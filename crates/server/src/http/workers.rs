//! A thread with its own runtime per core.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};

/// Connections that may wait for a busy worker.
const WAITING_MAX: usize = 256;

/// A connection that was accepted.
pub type Accepted = (TcpStream, SocketAddr, super::drain::Permit);

/// The threads that serve.
pub struct Workers {
    queues: Vec<mpsc::Sender<Accepted>>,
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    next: usize,
}

impl Workers {
    /// Starts `count` threads (0: one per core). Each calls `make` once on its
    /// own thread, inside its runtime, with its number, and then what that
    /// returns for each of its connections.
    pub fn start<M, H, F>(count: usize, make: M) -> io::Result<Self>
    where
        M: Fn(usize) -> H + Clone + Send + 'static,
        H: FnMut(tokio::net::TcpStream, SocketAddr) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let count = if count == 0 { cores() } else { count };
        let stop = watch::Sender::new(false);
        let mut workers =
            Self { queues: Vec::new(), threads: Vec::new(), stop: stop.clone(), next: 0 };
        for index in 0..count {
            let (queue, accepted) = mpsc::channel(WAITING_MAX);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (make, stop) = (make.clone(), stop.subscribe());
            let thread =
                std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                    runtime.block_on(async move { work(make(index), accepted, stop).await });
                    // Whatever did not finish in time is dropped here.
                    drop(runtime);
                })?;
            workers.queues.push(queue);
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Gives a connection to the next worker in turn that has room; waits if
    /// none has.
    pub async fn give(&mut self, mut accepted: Accepted) {
        for _ in 0..self.queues.len() {
            self.next = (self.next + 1) % self.queues.len();
            match self.queues[self.next].try_send(accepted) {
                Ok(()) => return,
                Err(
                    mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back),
                ) => accepted = back,
            }
        }
        if let Err(lost) = self.queues[self.next].send(accepted).await {
            drop(lost);
            tracing::error!("a worker has stopped; a connection was closed");
        }
    }

    /// Ends the threads, finished or not.
    pub fn stop(self) {
        self.stop.send_replace(true);
        drop(self.queues);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
    }
}

async fn work<H, F>(
    mut handle: H,
    mut accepted: mpsc::Receiver<Accepted>,
    mut stop: watch::Receiver<bool>,
) where
    H: FnMut(tokio::net::TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            next = accepted.recv() => {
                let Some((stream, address, permit)) = next else { return };
                match tokio::net::TcpStream::from_std(stream) {
                    Ok(stream) => {
                        // Not awaited in a block of its own, which would hold
                        // the future twice for as long as the connection lasts.
                        let served = handle(stream, address).map(move |()| drop(permit));
                        drop(tokio::spawn(served));
                    }
                    Err(error) => tracing::warn!(%error, "a connection could not be served"),
                }
            }
        }
    }
}

/// Threads that can run at one time.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
