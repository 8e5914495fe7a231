//! The servers under test, as clients see them: whichever answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock::{nap, now};
use crate::http::{self, Ask, Coming, Message};
use crate::node::{KEY, Node};

/// How long a server may be silent before a client turns to another.
const PATIENCE: Duration = Duration::from_secs(4);

/// All servers.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Arc<[Node]>,
}

impl Cluster {
    /// Some server that runs, another one each time.
    fn address(&self, turn: usize) -> Option<SocketAddr> {
        let at = turn % self.nodes.len().max(1);
        let (before, from) = self.nodes.split_at(at);
        from.iter().chain(before).find_map(Node::address)
    }

    /// Sends a request until it is answered for good; `None` where it never
    /// was in that time.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: &str,
        most: Duration,
    ) -> Result<Option<Message>> {
        let began = now();
        let mut turn = 0;
        while now().duration_since(began) < most {
            turn += 1;
            let ask = Ask { method, path, bearer: KEY, key, body };
            let answer = self.address(turn).map(|to| http::ask(to, &ask, PATIENCE));
            match answer {
                Some(Ok(message)) if message.status() < 400 => return Ok(Some(message)),
                Some(Ok(message)) if is_passing(message.status()) => {}
                Some(Ok(message)) => {
                    let told = String::from_utf8_lossy(&message.body).into_owned();
                    bail!("{method} {path}: {} {told}", message.first);
                }
                Some(Err(_)) | None => {}
            }
            nap(20);
        }
        Ok(None)
    }

    /// Opens a stream on some server; `None` where none answers now.
    pub(crate) fn open(
        &self,
        turn: usize,
        method: &str,
        path: &str,
        key: &str,
        body: &str,
    ) -> Result<Option<Coming>> {
        let Some(to) = self.address(turn) else { return Ok(None) };
        let ask = Ask { method, path, bearer: KEY, key, body };
        match http::open(to, &ask, PATIENCE) {
            Ok(coming) if coming.head.status() < 400 => Ok(Some(coming)),
            Ok(coming) if is_passing(coming.head.status()) => Ok(None),
            Ok(mut coming) => {
                let told = coming.piece().ok().flatten().unwrap_or_default();
                let told = String::from_utf8_lossy(&told).into_owned();
                bail!("{method} {path}: {} {told}", coming.head.first);
            }
            Err(_) => Ok(None),
        }
    }
}

/// What a client waits out: the server says that it may come again.
fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}
