//! Runs a world from its first moment to its last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use freehold_runtime::archive::Archive;
use freehold_runtime::sessions::{Parts, Sessions};
use freehold_store::Memory;
use freehold_store::membership::Membership;
use freehold_types::{Db, Env, TenantId};

use crate::blobs::NodeBlobs;
use crate::clock::{Due, SECOND, What};
use crate::db::NodeDb;
use crate::env::MachineEnv;
use crate::journal::OpenKeys;
use crate::machine::Machine;
use crate::models::ScriptedModels;
use crate::random::Random;
use crate::setup::Setup;
use crate::tally::Tally;
use crate::tools::ScriptedTools;
use crate::world::{CLIENTS, Command, World, lock};
use crate::{chaos, check, clients, closing, listeners};

/// Things that happen in a world at the most: more is a world that turns in
/// circles.
const EVENTS_MAX: u64 = 300_000;

/// How a world ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was not as it must be; empty is good.
    pub wrong: Vec<String>,
    /// The story, if it was to be told.
    pub trace: Vec<String>,
    /// What all that happened comes to: the same for the same seed.
    pub pulse: u64,
    /// What occurred, and how often.
    pub tally: Tally,
    /// How many commits were tried, without beats of hearts.
    pub commits: u64,
    /// Events in all journals.
    pub events: u64,
    /// How often something ran: each time that a machine was let.
    pub steps: u64,
    /// Microseconds that passed in the world.
    pub us: u64,
}

/// Runs worlds one after the other, in one store.
pub struct Stage {
    store: Arc<Memory>,
}

impl Stage {
    /// Opens the store.
    pub fn open() -> Result<Self, String> {
        let store = Memory::open().map_err(|error| error.to_string())?;
        Ok(Self { store: Arc::new(store) })
    }

    /// Runs a world.
    pub fn run(&self, setup: Setup) -> Outcome {
        self.play(setup, script)
    }

    /// Runs a world with clients of one's own.
    pub(crate) fn play<F>(&self, setup: Setup, script: impl FnOnce(Arc<World>) -> F) -> Outcome
    where
        F: Future<Output = ()> + Send + 'static,
    {
        PANICKED.set(false);
        let failed = |why: String| Outcome { wrong: vec![why], ..Outcome::default() };
        if let Err(error) = self.store.wipe() {
            return failed(error.to_string());
        }
        let tenant = match TenantId::new("main") {
            Ok(tenant) => tenant,
            Err(error) => return failed(error.to_string()),
        };
        let world = World::new(setup, tenant, Arc::clone(&self.store));
        let mut play = Play { world: Arc::clone(&world), machines: Vec::new(), steps: 0 };
        if let Err(error) = play.run(script(Arc::clone(&world))) {
            world.wrong(error);
        }
        play.end();
        let events = check::at_the_end(&world);
        Outcome {
            wrong: world.take_wrong(),
            trace: world.take_trace(),
            pulse: world.pulse(),
            tally: std::mem::take(&mut lock(&world.tally)),
            commits: lock(&world.faults).commits(),
            events,
            steps: play.steps,
            us: world.clock.now(),
        }
    }
}

/// What clients of a drawn world do.
async fn script(world: Arc<World>) {
    let mut tasks = Vec::new();
    for number in 0..world.setup.clients {
        let client = clients::Client::new(&world, number as u64);
        tasks.push(tokio::spawn(client.live()));
    }
    for number in 0..world.setup.listeners {
        drop(tokio::spawn(listeners::live(Arc::clone(&world), number)));
    }
    tasks.push(tokio::spawn(chaos::live(Arc::clone(&world))));
    for task in tasks {
        if task.await.is_err() {
            world.wrong("a client went down");
        }
    }
    chaos::mend(&world);
    closing::close(&world).await;
}

/// A world while it runs.
struct Play {
    world: Arc<World>,
    machines: Vec<Option<Machine>>,
    steps: u64,
}

impl Play {
    fn run(&mut self, script: impl Future<Output = ()> + Send + 'static) -> Result<(), String> {
        let done = Arc::new(AtomicBool::new(false));
        self.machines.resize_with(self.world.setup.nodes + 1, || None);
        for node in 1..=self.world.setup.nodes {
            self.start(node)?;
        }
        let clients = Machine::new().map_err(|error| error.to_string())?;
        let over = Arc::clone(&done);
        drop(clients.handle().spawn(async move {
            script.await;
            over.store(true, Ordering::Relaxed);
        }));
        self.place(CLIENTS, Some(clients));
        self.let_run(CLIENTS);
        for _ in 0..EVENTS_MAX {
            self.commands()?;
            if done.load(Ordering::Relaxed) || self.world.is_wrong() || panicked() {
                break;
            }
            let Some((at, Due { machine, what })) = self.world.clock.next() else {
                return Err("nothing will ever happen again".into());
            };
            self.steps += 1;
            self.world.beat(at ^ ((machine as u64) << 56));
            match what {
                What::Wake(waker) => waker.wake(),
                What::Do(act) => act(),
            }
            self.let_run(machine);
        }
        if panicked() {
            return Err("a task panicked".into());
        }
        if done.load(Ordering::Relaxed) || self.world.is_wrong() {
            return Ok(());
        }
        Err("it does not come to an end".into())
    }

    /// Nothing runs any more, and nothing is due.
    fn end(&mut self) {
        for node in 0..self.machines.len() {
            self.crash(node);
        }
        self.world.clock.clear();
        lock(&self.world.commands).clear();
    }

    fn place(&mut self, at: usize, machine: Option<Machine>) {
        if let Some(place) = self.machines.get_mut(at) {
            *place = machine;
        }
    }

    fn let_run(&self, at: usize) {
        let paused = self.world.node(at, |node| node.is_paused).unwrap_or(false);
        if let (Some(Some(machine)), false) = (self.machines.get(at), paused) {
            machine.run();
        }
    }

    fn commands(&mut self) -> Result<(), String> {
        loop {
            let commands = std::mem::take(&mut *lock(&self.world.commands));
            if commands.is_empty() {
                return Ok(());
            }
            for command in commands {
                self.command(command)?;
            }
        }
    }

    fn command(&mut self, command: Command) -> Result<(), String> {
        self.world.say(|| format!("{command:?}"));
        match command {
            Command::Start(node) => {
                if self.machines.get(node).is_some_and(Option::is_none) {
                    self.start(node)?;
                }
            }
            Command::Crash(node) => {
                if self.machines.get(node).is_some_and(Option::is_some) {
                    self.world.count("node crashed");
                }
                self.crash(node);
            }
            Command::Gone(node) => self.crash(node),
            Command::Pause(node) => {
                self.world.count("node paused");
                self.world.node(node, |node| node.is_paused = true);
            }
            Command::Resume(node) => {
                self.world.node(node, |node| node.is_paused = false);
                self.let_run(node);
            }
            Command::Stop(node) => {
                self.world.count("node stopped in good order");
                self.stop(node);
            }
        }
        Ok(())
    }

    fn crash(&mut self, at: usize) {
        let sessions = self.world.node(at, |node| {
            node.handle = None;
            node.is_paused = false;
            node.sessions.take().zip(node.members.take())
        });
        let machine = self.machines.get_mut(at).and_then(Option::take);
        drop(machine);
        drop(sessions);
    }

    fn start(&mut self, at: usize) -> Result<(), String> {
        let machine = Machine::new().map_err(|error| error.to_string())?;
        let handle = machine.handle();
        let world = Arc::clone(&self.world);
        let life = world.node(at, |node| {
            node.life += 1;
            node.is_paused = false;
            node.handle = Some(handle.clone());
            node.life
        });
        drop(handle.spawn(join(world, at, life.unwrap_or(0))));
        self.place(at, Some(machine));
        self.let_run(at);
        Ok(())
    }

    fn stop(&self, at: usize) {
        let there = self.world.node(at, |node| {
            let sessions = node.sessions.clone().zip(node.members.clone());
            node.handle.clone().zip(sessions)
        });
        let Some((handle, (sessions, members))) = there.flatten() else { return };
        let world = Arc::clone(&self.world);
        drop(handle.spawn(async move {
            sessions.stop().await;
            // Who cannot leave is found dead.
            drop(members.leave().await);
            world.command(Command::Gone(at));
            let again = Arc::clone(&world);
            world.clock.after(SECOND, at, move || again.command(Command::Start(at)));
        }));
        self.let_run(at);
    }
}

/// A node begins to work.
async fn join(world: Arc<World>, at: usize, life: u64) {
    let env: Arc<dyn Env> = Arc::new(MachineEnv::new(&world, at, life));
    let db: Arc<dyn Db> = Arc::new(NodeDb::new(&world, at, life));
    let options = world.setup.options();
    let members = loop {
        let (db, env_of) = (Arc::clone(&db), Arc::clone(&env));
        let (name, address) = (format!("n{at}"), crate::setup::address(at));
        match Membership::join(db, env_of, world.setup.membership(), name.into(), address.into())
            .await
        {
            Ok(members) => break Arc::new(members),
            Err(error) => {
                world.say(|| format!("n{at} does not come up: {error}"));
                env.sleep(std::time::Duration::from_millis(300)).await;
            }
        }
    };
    let archive = Archive {
        env: Arc::clone(&env),
        db,
        blobs: Arc::new(NodeBlobs::new(&world, at)),
        keys: Arc::new(OpenKeys),
    };
    let parts = Parts {
        archive,
        members: Some(Arc::clone(&members)),
        timeline: 1,
        models: Arc::new(ScriptedModels::new(&world, at)),
        tools: Arc::new(ScriptedTools::new(&world, at, life)),
    };
    let sessions = Sessions::start(parts, options);
    world.say(|| format!("n{at} is up as {}", sessions.node()));
    world.node(at, |node| {
        node.sessions = Some(sessions);
        node.members = Some(Arc::clone(&members));
    });
    loop {
        env.sleep(members.beat_every()).await;
        match members.beat().await {
            Ok(true) => {}
            Ok(false) => world.say(|| format!("n{at} was called dead, and is {}", members.me())),
            Err(error) => world.say(|| format!("n{at} does not beat: {error}")),
        }
    }
}

thread_local! {
    static PANICKED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn panicked() -> bool {
    PANICKED.get()
}

/// Has panics of tasks noticed, which a runtime would swallow. For the whole
/// process; what is said of them is left to the hook before.
pub fn watch_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICKED.set(true);
        before(panic);
    }));
}

/// One number of the seeds that follow of a seed.
pub fn seed_of(seed: u64, number: u64) -> u64 {
    Random::derive(seed, &[number]).next()
}
