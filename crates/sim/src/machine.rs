//! A machine: the tasks of one node, or of all clients, on a runtime of their
//! own, which runs when the world lets it, for as long as it has something to
//! do. Dropping it is a crash: every task ends at the await where it stands.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::world::lock;

/// Tasks that run only when they are let.
pub(crate) struct Machine {
    runtime: Runtime,
    idle: Arc<Idle>,
}

/// Whether the runtime has come to its rest.
#[derive(Default)]
struct Idle {
    is: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Machine {
    pub(crate) fn new() -> std::io::Result<Self> {
        let idle = Arc::new(Idle::default());
        let ring = Arc::clone(&idle);
        let runtime = Builder::new_current_thread()
            // Called when no task is ready, just before the thread would wait.
            .on_thread_park(move || {
                ring.is.store(true, Ordering::Relaxed);
                if let Some(waker) = lock(&ring.waker).take() {
                    waker.wake();
                }
            })
            .build()?;
        Ok(Self { runtime, idle })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    /// Runs all that is ready, and what that makes ready, until nothing is.
    pub(crate) fn run(&self) {
        self.idle.is.store(false, Ordering::Relaxed);
        self.runtime.block_on(poll_fn(|cx| {
            if self.idle.is.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            *lock(&self.idle.waker) = Some(cx.waker().clone());
            Poll::Pending
        }));
    }
}
