//! The faults, one after the other, and what is left after them.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use anyhow::Result;

use crate::Store;
use crate::chance::Chance;
use crate::clock::{nap, now};
use crate::cluster::Cluster;
use crate::database::Database;
use crate::link::Link;
use crate::node::Node;
use crate::payments::{self, Payments};
use crate::report::Report;
use crate::trap::{Place, Trap};
use crate::world::World;
use crate::{client, judge, model, responses};

/// Sessions at one time.
const CLIENTS: usize = 4;
/// How long a place may take to be reached.
const REACHED: Duration = Duration::from_secs(3);
/// How long something new may take to be told after a fault.
const NEW: Duration = Duration::from_secs(15);
/// The records of the journal at which a server is killed, from the first.
const RECORDS: u64 = 60;
/// How long a node is paused, or a wire held: past the lease.
const PAUSE_MS: u64 = 2_500;

/// The places around requests.
const PLACES: [Place; 9] = [
    Place::InputSent,
    Place::InputAccepted,
    Place::ModelAsked,
    Place::ModelHalf,
    Place::ModelSaid,
    Place::PaymentAsked,
    Place::PaymentMade,
    Place::PaymentAnswered,
    Place::PaymentQueried,
];

/// Runs so many faults over a store.
pub(crate) fn run(
    store: Store,
    program: &Path,
    folder: &Path,
    seed: u64,
    count: u32,
) -> Result<Report> {
    let trap = Arc::new(Trap::default());
    let model = model::start(Arc::clone(&trap))?;
    let (payments, pays) = Payments::start(Arc::clone(&trap))?;
    let config = config(model, &payments::document(pays).to_string());
    let database = (store == Store::Postgres).then(Database::start).transpose()?;
    let mut links = Vec::new();
    let mut nodes = Vec::new();
    match &database {
        None => nodes.push(Node::new(program, folder.join("node"), &config)?),
        Some(database) => {
            for name in ["a", "b"] {
                let link = Link::open(database.socket())?;
                let config = format!(
                    "[store]\nurl = \"postgres://freehold@{}/postgres?sslmode=disable\"\n\
                     [sessions]\nnode = \"{name}\"\n{config}",
                    link.address
                );
                links.push(link);
                nodes.push(Node::new(program, folder.join(name), &config)?);
            }
        }
    }
    let mut report = Report::default();
    for node in &nodes {
        report.starts.push(node.start()?);
    }
    let world = World::new(seed, Cluster { nodes: nodes.into() }, trap);
    let made = thread::scope(|scope| {
        let world = &world;
        let clients: Vec<ScopedJoinHandle<'_, ()>> =
            (0..CLIENTS).map(|_| scope.spawn(move || clients(world))).collect();
        let rounds =
            Rounds { world, links: &links, chance: Chance::new(seed), record: 0, place: 0 };
        let made = rounds.make(count, &mut report);
        world.close();
        for client in clients {
            drop(client.join());
        }
        made
    });
    made?;
    let (seen, wrong, waits) = world.results();
    report.gaps = wrong.gaps;
    report.doubles = wrong.doubles;
    report.differs = wrong.differs;
    report.refused = wrong.refused;
    report.notes = wrong.notes;
    report.waits = waits;
    judge::judge(&world.cluster, &seen, &payments.all(), &mut report);
    for node in world.cluster.nodes.iter() {
        // Those that share a database are left running.
        if links.is_empty() {
            node.kill();
        }
        for wrong in node.fsck()? {
            report.note(|report| &mut report.damages, wrong);
        }
    }
    Ok(report)
}

/// What a server knows of the world outside.
pub(crate) fn config(model: std::net::SocketAddr, document: &str) -> String {
    format!(
        "[providers.scripted]\nkind = \"compatible\"\nbase_url = \"http://{model}/v1\"\n\
         dialects = [\"chat\"]\n\
         [tools.pay]\nkind = \"http\"\nonly = [\"idem\", \"query\", \"plain\", \"status\"]\n\
         document = '''{document}'''\n\
         [tools.pay.tools.idem]\nretry = \"idempotent\"\nattempts_max = 50\n\
         [tools.pay.tools.query]\nretry = \"query_by_key\"\nattempts_max = 50\n\
         query = {{ tool = \"status\", argument = \"key\" }}\n\
         [tools.pay.tools.plain]\nretry = \"unknown\"\n"
    )
}

/// Sessions, one after the other.
fn clients(world: &World) {
    while let Some(job) = world.next_job() {
        let run = if job % 4 == 3 { responses::run } else { client::run };
        if let Err(error) = run(world, job) {
            world.wrong(|wrong| &mut wrong.refused, format!("session {job}: {error:#}"));
        }
    }
}

struct Rounds<'w> {
    world: &'w World,
    links: &'w [Link],
    chance: Chance,
    record: u64,
    place: usize,
}

impl Rounds<'_> {
    fn make(mut self, count: u32, report: &mut Report) -> Result<()> {
        for round in 0..count {
            let kind = self.place(round, report);
            let made =
                if self.links.is_empty() { self.kill(0, report)? } else { self.fault(report)? };
            report.fault(if self.links.is_empty() { kind } else { made });
            self.recover();
        }
        Ok(())
    }

    /// Waits for the moment of the next fault; what it was.
    fn place(&mut self, round: u32, report: &mut Report) -> &'static str {
        let (place, kind) = match round % 3 {
            0 => {
                nap(self.chance.below(300));
                return "killed at random";
            }
            1 => {
                self.record = self.record % RECORDS + 1;
                (Place::Record(self.record), "killed at a record of the journal")
            }
            _ => {
                self.place += 1;
                let place = PLACES.get(self.place % PLACES.len()).copied();
                (place.unwrap_or(Place::ModelAsked), "killed around a request")
            }
        };
        if !self.world.trap.wait(place, REACHED) {
            return "killed at random";
        }
        if let Place::Record(at) = place {
            report.records.insert(at);
        }
        // Often at once, sometimes a little later.
        nap(self.chance.pick(&[0, 0, 1, 3], 0));
        kind
    }

    fn kill(&mut self, which: usize, report: &mut Report) -> Result<&'static str> {
        let Some(node) = self.world.cluster.nodes.get(which) else { return Ok("none") };
        self.world.faulted();
        node.kill();
        if !self.links.is_empty() {
            // The other one takes over meanwhile.
            nap(self.chance.below(2_500));
        }
        report.starts.push(node.start()?);
        Ok("killed one of two nodes")
    }

    fn fault(&mut self, report: &mut Report) -> Result<&'static str> {
        let which = usize::try_from(self.chance.below(2)).unwrap_or_default();
        let nodes = &self.world.cluster.nodes;
        let (Some(node), Some(link)) = (nodes.get(which), self.links.get(which)) else {
            return Ok("none");
        };
        match self.chance.below(5) {
            0 => {
                self.world.faulted();
                node.pause(true)?;
                nap(PAUSE_MS);
                node.pause(false)?;
                Ok("paused a node past its lease")
            }
            1 => {
                self.world.faulted();
                link.cut();
                Ok("cut a node from its database")
            }
            2 => {
                self.world.faulted();
                link.hold(true);
                nap(PAUSE_MS);
                link.hold(false);
                Ok("held a node's wire past its lease")
            }
            _ => self.kill(which, report),
        }
    }

    /// Waits until something new is told; now and then the next fault comes
    /// before that.
    fn recover(&mut self) {
        if self.chance.below(6) == 0 {
            return nap(self.chance.below(60));
        }
        let began = now();
        while !self.world.is_over_it() && now().duration_since(began) < NEW {
            nap(1);
        }
    }
}
