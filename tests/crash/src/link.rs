//! The wire between a node and its database, which can be cut and held.

use std::io::{Read as _, Result, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::clock::nap;

/// A wire from a port to a socket.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: PathBuf,
    held: AtomicBool,
    open: Mutex<Vec<(TcpStream, UnixStream)>>,
}

impl Link {
    /// Opens one to this socket.
    pub(crate) fn open(to: PathBuf) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { to, held: AtomicBool::new(false), open: Mutex::default() });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // Refused by the database, it is closed to the node.
                drop(own.join(near));
            }
        });
        Ok(Self { address, shared })
    }

    /// Closes every connection.
    pub(crate) fn cut(&self) {
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (near, far) in open.drain(..) {
            near.shutdown(Shutdown::Both).ok();
            far.shutdown(Shutdown::Both).ok();
        }
    }

    /// Lets nothing through, or all of it again.
    pub(crate) fn hold(&self, held: bool) {
        self.shared.held.store(held, Ordering::Release);
    }
}

impl Shared {
    fn join(self: &Arc<Self>, near: TcpStream) -> Result<()> {
        let far = UnixStream::connect(&self.to)?;
        near.set_nodelay(true)?;
        let pair = (near.try_clone()?, far.try_clone()?);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(pair);
        let (mut near_in, mut far_out) = (near.try_clone()?, far.try_clone()?);
        let own = Arc::clone(self);
        thread::spawn(move || {
            let mut bytes = [0; 16 << 10];
            while let Some(part) = own.part(near_in.read(&mut bytes), &bytes) {
                if far_out.write_all(part).is_err() {
                    break;
                }
            }
            far_out.shutdown(Shutdown::Both).ok();
        });
        let (mut near_out, mut far_in) = (near, far);
        let own = Arc::clone(self);
        thread::spawn(move || {
            let mut bytes = [0; 16 << 10];
            while let Some(part) = own.part(far_in.read(&mut bytes), &bytes) {
                if near_out.write_all(part).is_err() {
                    break;
                }
            }
            near_out.shutdown(Shutdown::Both).ok();
        });
        Ok(())
    }

    /// What was read, once it may go on.
    fn part<'b>(&self, read: Result<usize>, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let part = bytes.get(..read.ok()?).filter(|part| !part.is_empty())?;
        while self.held.load(Ordering::Acquire) {
            nap(5);
        }
        Some(part)
    }
}
