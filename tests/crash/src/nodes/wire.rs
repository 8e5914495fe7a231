//! One client's connections: to any node, kept for a while, and made anew where
//! one is refused or reset. Nothing else is sent again.

use std::io::{Error, ErrorKind};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::stage::{Stage, add};
use crate::chance::Chance;
use crate::clock::{nap, now};
use crate::http::{self, Ask, Coming};
use crate::node::KEY;

/// How long a node may be silent before a call counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// For how long a client looks for a node that answers.
const SEARCH: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);

/// A call failed, and is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed;

/// A request: method, path, idempotency key or nothing, body.
#[derive(Clone, Copy)]
pub(super) struct Call<'c>(
    pub(super) &'c str,
    pub(super) &'c str,
    pub(super) &'c str,
    pub(super) &'c str,
);

/// One client.
pub(super) struct Wire<'s> {
    pub(super) stage: &'s Stage,
    pub(super) chance: Chance,
    /// A connection that is kept.
    kept: Option<TcpStream>,
}

impl<'s> Wire<'s> {
    pub(super) fn new(stage: &'s Stage, chance: Chance) -> Self {
        Self { stage, chance, kept: None }
    }

    /// Sends a request until a node answers; what it answers must be good.
    pub(super) fn ask(&mut self, call: Call<'_>) -> Result<Value, Failed> {
        let began = now();
        let told = self.retried(call, |coming| {
            let mut body = Vec::new();
            while let Some(piece) = coming.piece()? {
                body.extend(piece);
            }
            Ok(body)
        })?;
        let (coming, body) = told;
        self.kept = coming.again();
        self.stage.answered(now().duration_since(began));
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Opens a stream at some node.
    pub(super) fn open(&mut self, call: Call<'_>) -> Result<Coming, Failed> {
        add(&self.stage.counts.streams);
        Ok(self.retried(call, |_| Ok(()))?.0)
    }

    fn retried<T>(
        &mut self,
        call: Call<'_>,
        read: impl Fn(&mut Coming) -> Result<T, Error>,
    ) -> Result<(Coming, T), Failed> {
        let Call(method, path, key, body) = call;
        let began = now();
        let mut last = String::new();
        while now().duration_since(began) < SEARCH {
            add(&self.stage.counts.requests);
            let ask = Ask { method, path, bearer: KEY, key, body };
            let sent = self.send(&ask);
            let error = match sent {
                Ok(mut coming) if coming.head.status() < 400 => match read(&mut coming) {
                    Ok(read) => return Ok((coming, read)),
                    Err(error) => error,
                },
                Ok(mut coming) => {
                    let told = coming.piece().ok().flatten().unwrap_or_default();
                    let told = String::from_utf8_lossy(&told).into_owned();
                    let first = &coming.head.first;
                    self.stage.failed(&format!("{method} {path}: {first} {}", told.trim()));
                    return Err(Failed);
                }
                Err(error) => error,
            };
            last = error.to_string();
            if !self.is_passing(&error) {
                self.stage.failed(&format!("{method} {path}: {error}"));
                return Err(Failed);
            }
            nap(10 + self.chance.below(40));
        }
        self.stage.failed(&format!("{method} {path}: no node in {SEARCH:?}; {last}"));
        Err(Failed)
    }

    fn send(&mut self, ask: &Ask<'_>) -> Result<Coming, Error> {
        // A kept connection serves most requests; streams take it along.
        let socket = match self.kept.take().filter(|_| self.chance.below(4) > 0) {
            Some(kept) => kept,
            None => {
                let at = usize::try_from(self.chance.below(self.stage.nodes.len() as u64));
                let node = self.stage.nodes.get(at.unwrap_or_default());
                let node = node.ok_or_else(|| Error::other("no nodes"))?;
                let socket = TcpStream::connect_timeout(node, CONNECT)?;
                socket.set_nodelay(true)?;
                socket
            }
        };
        http::open_on(socket, ask, PATIENCE, "keep-alive")
    }

    /// Whether a connection was refused or reset, and not the call answered.
    pub(super) fn is_passing(&self, error: &Error) -> bool {
        let counts = &self.stage.counts;
        match error.kind() {
            ErrorKind::ConnectionRefused => add(&counts.refused),
            // Cut before, within or after the answer's head.
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => add(&counts.reset),
            // One that took too long among them.
            _ => return false,
        }
        true
    }
}
