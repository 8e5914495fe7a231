//! A payment server that counts its effects. Three tools: one that a repeated
//! key does not pay twice, one that pays each time but can be asked by key, and
//! a plain one.

use std::collections::BTreeMap;
use std::io::Result;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::clock::nap;
use crate::http::Message;
use crate::serve::{reply, serve};
use crate::trap::{Place, Trap};

/// How long a slow payment takes, in milliseconds.
const SLOW_MS: u64 = 250;

/// What a key did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payment {
    /// The tool.
    pub(crate) tool: String,
    /// The call, in the model's own words.
    pub(crate) mark: String,
    /// Times that it took effect.
    pub(crate) effects: u32,
    /// Requests under way.
    pending: u32,
}

/// The server.
#[derive(Debug, Default)]
pub(crate) struct Payments {
    by_key: Mutex<BTreeMap<String, Payment>>,
    settled: Condvar,
}

impl Payments {
    /// Starts one.
    pub(crate) fn start(trap: Arc<Trap>) -> Result<(Arc<Self>, SocketAddr)> {
        let payments = Arc::new(Self::default());
        let own = Arc::clone(&payments);
        let address = serve(Arc::new(move |message, to| own.answer(message, to, &trap)))?;
        Ok((payments, address))
    }

    /// What every key did.
    pub(crate) fn all(&self) -> BTreeMap<String, Payment> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Payment>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, message: &Message, to: &mut TcpStream, trap: &Trap) -> Result<()> {
        if let Some((_, key)) = message.path().split_once("/status?key=") {
            trap.reach(Place::PaymentQueried);
            return self.status(key, to);
        }
        let tool = message.path().trim_start_matches('/').to_owned();
        let key = message.header("idempotency-key").unwrap_or("none").to_owned();
        let body = message.json();
        let mark = body["mark"].as_str().unwrap_or_default().to_owned();
        let slow = body["slow"] == true;
        let late = Chance::of(&mark).below(2) == 1;
        {
            let mut all = self.lock();
            let payment = all.entry(key.clone()).or_default();
            (payment.tool, payment.mark) = (tool, mark);
            payment.pending += 1;
        }
        trap.reach(Place::PaymentAsked);
        // It takes effect at once or in the end, whoever has gone meanwhile.
        if slow && late {
            nap(SLOW_MS);
        }
        self.pay(&key);
        trap.reach(Place::PaymentMade);
        if slow && !late {
            nap(SLOW_MS);
        }
        reply(to, 200, &json!({ "paid": key }).to_string())?;
        trap.reach(Place::PaymentAnswered);
        Ok(())
    }

    fn pay(&self, key: &str) {
        if let Some(payment) = self.lock().get_mut(key) {
            payment.pending -= 1;
            if payment.tool != "idem" || payment.effects == 0 {
                payment.effects += 1;
            }
        }
        self.settled.notify_all();
    }

    /// Tells what became of a key, once that is settled.
    fn status(&self, key: &str, to: &mut TcpStream) -> Result<()> {
        let mut all = self.lock();
        while all.get(key).is_some_and(|payment| payment.pending > 0) {
            all = self.settled.wait(all).unwrap_or_else(PoisonError::into_inner);
        }
        let paid = all.get(key).is_some_and(|payment| payment.effects > 0);
        drop(all);
        if paid {
            reply(to, 200, &json!({ "paid": key }).to_string())
        } else {
            reply(to, 404, "{}")
        }
    }
}

/// What the server's configuration says of it.
pub(crate) fn document(address: SocketAddr) -> Value {
    let pay = |name: &str| {
        json!({ "post": {
            "operationId": name,
            "summary": "Pays",
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
                "type": "object",
                "properties": { "mark": { "type": "string" }, "slow": { "type": "boolean" } }
            } } } }
        } })
    };
    json!({
        "openapi": "3.1.0",
        "info": { "title": "payments", "version": "1" },
        "servers": [{ "url": format!("http://{address}") }],
        "paths": {
            "/idem": pay("idem"), "/query": pay("query"), "/plain": pay("plain"),
            "/status": { "get": { "operationId": "status", "parameters": [
                { "name": "key", "in": "query", "required": true, "schema": { "type": "string" } }
            ] } }
        }
    })
}
