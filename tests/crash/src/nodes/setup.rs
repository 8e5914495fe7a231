//! The nodes, their database, and the world around them.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::Args;
use super::skew;
use crate::cluster::Cluster;
use crate::database::Database;
use crate::model;
use crate::node::Node;
use crate::payments::Payments;
use crate::rounds;
use crate::trap::Trap;

/// The nodes' names.
const NAMES: [&str; 3] = ["a", "b", "c"];
/// The one whose clock is wrong: not the one that is killed.
const SKEWED: usize = 2;
/// Below the ports that systems give to whoever does not choose.
const PORTS: std::ops::Range<u16> = 18_000..28_000;

/// Everybody but the clients.
pub(super) struct Cast {
    pub(super) cluster: Cluster,
    pub(super) payments: Arc<Payments>,
    addresses: Vec<SocketAddr>,
    _database: Option<Database>,
}

impl Cast {
    /// Where the nodes serve, whether they do now or not.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }
}

/// Starts them all.
pub(super) fn open(program: &Path, folder: &Path, args: &Args) -> Result<Cast> {
    let trap = Arc::new(Trap::default());
    let model = model::start(Arc::clone(&trap))?;
    let (payments, pays) = Payments::start(trap)?;
    let outside = rounds::config(model, &crate::payments::document(pays).to_string());
    let database = if args.postgres.is_none() { Some(Database::start()?) } else { None };
    let store = store(args, database.as_ref());
    let shim = if args.skew_ms == 0 { None } else { Some(skew::build(folder)?) };
    let mut nodes = Vec::new();
    let mut addresses = Vec::new();
    for (at, name) in NAMES.into_iter().enumerate() {
        let listen = free_port(args.seed, &addresses)?;
        addresses.push(listen);
        let config = format!("{store}[sessions]\nnode = \"{name}\"\n{outside}");
        let mut node = Node::new(program, folder.join(name), &config)?.at(listen);
        if let (Some(shim), SKEWED) = (&shim, at) {
            node = node.with_env(skew::env(shim, args.skew_ms));
        }
        nodes.push(node);
    }
    if args.citus {
        let config = folder.join("a").join("freehold.toml");
        let mut init = Command::new(program);
        init.args(["db", "init", "--distributed", "citus", "--config"]).arg(config);
        if !init.status().context("the tables are not laid out")?.success() {
            bail!("the tables are not laid out; see above");
        }
    }
    for node in &nodes {
        node.start()?;
    }
    let cluster = Cluster { nodes: nodes.into() };
    Ok(Cast { cluster, payments, addresses, _database: database })
}

fn store(args: &Args, own: Option<&Database>) -> String {
    match (own, &args.postgres) {
        (Some(own), _) => format!("[store]\nurl = \"{}\"\n", own.url()),
        (None, url) => {
            let url = url.as_deref().unwrap_or_default();
            let password = std::env::var_os("PGPASSWORD").is_some();
            let password = if password { "password = { env = \"PGPASSWORD\" }\n" } else { "" };
            format!("[store]\nurl = \"{url}\"\n{password}")
        }
    }
}

/// A port that a node keeps over its restarts.
fn free_port(seed: u64, taken: &[SocketAddr]) -> Result<SocketAddr> {
    let from = u64::from(std::process::id()).wrapping_add(seed);
    let span = u64::from(PORTS.end - PORTS.start);
    for step in 0..span {
        let port = PORTS.start + u16::try_from((from + step) % span).unwrap_or_default();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if !taken.contains(&address) && TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port of {PORTS:?} is free")
}
