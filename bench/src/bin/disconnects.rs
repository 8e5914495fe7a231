//! Clients that go away, and what they leave behind:
//! `disconnects --freehold target/release/freehold [--count 10000]`.
//!
//! Most leave in the middle of a stream that would go on for minutes, some
//! before its first byte, some with half a request sent. Afterwards nothing of
//! them may be left: no connection to the upstream, no exchange under way, no
//! reservation, no slot of their key, no open record. Exit code 1 if there is.
//! `--idle-seconds 0` does not wait for the pools to close idle connections.
#![expect(clippy::print_stdout, reason = "the table is this program's result")]

use std::io::Result;
use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use freehold_bench::child::{Running, sibling};
use freehold_bench::subject::Freehold;
use freehold_bench::verdict::Verdict;
use freehold_bench::{Args, http, leave, proc};

/// How long what was left may take to be noticed.
const SETTLED: Duration = Duration::from_secs(5);

/// What is still there of clients who are not.
#[derive(Debug, Default, PartialEq, Eq)]
struct Remains {
    /// Requests at the upstream: those that wait, and streams under way.
    upstream: u64,
    /// Connections there that carry nothing.
    upstream_idle: u64,
    exchanges: u64,
    reservations: u64,
    connections: u64,
    body_bytes: u64,
    records: u64,
}

impl Remains {
    fn look(freehold: &Freehold, upstream: SocketAddr) -> Result<Self> {
        let (_, stats) = http::ask(upstream, "GET", "/stats", "", "")?;
        let stats: serde_json::Value = serde_json::from_str(&stats)?;
        let count = |name: &str| stats[name].as_u64().unwrap_or(u64::MAX);
        let busy = count("waiting") + count("streams");
        let metrics = freehold.metrics()?;
        Ok(Self {
            upstream: busy,
            // Less the one that asks.
            upstream_idle: count("connections").saturating_sub(busy + 1),
            exchanges: metrics.sum("freehold_exchanges_in_flight"),
            reservations: metrics.sum("freehold_in_flight"),
            connections: metrics.sum("freehold_connections").saturating_sub(1),
            body_bytes: metrics.sum("freehold_body_bytes"),
            records: metrics.sum("freehold_usage_waiting"),
        })
    }

    /// Nothing but connections that wait for the next request.
    fn is_clean(&self) -> bool {
        *self == Self { upstream_idle: self.upstream_idle, ..Self::default() }
    }

    /// Looks until all is clean, or for so long.
    fn settle(freehold: &Freehold, upstream: SocketAddr) -> Result<(Self, Duration)> {
        let began = now();
        loop {
            let remains = Self::look(freehold, upstream)?;
            let waited = now().duration_since(began);
            if remains.is_clean() || waited > 2 * SETTLED {
                return Ok((remains, waited));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn judge(&self, verdict: &mut Verdict) {
        verdict.none("requests still at the upstream", self.upstream);
        verdict.none("exchanges under way", self.exchanges);
        verdict.none("exchanges that hold a reservation", self.reservations);
        verdict.none("connections of clients", self.connections);
        verdict.none("bytes of request bodies", self.body_bytes);
        verdict.none("usage records that wait", self.records);
    }
}

/// What the process holds.
struct Holds {
    descriptors: u64,
    rss_kib: u64,
}

impl Holds {
    fn of(freehold: &Freehold) -> Self {
        let pid = freehold.pid();
        Self { descriptors: proc::descriptors(pid), rss_kib: proc::rss_kib(pid) }
    }

    fn print(&self, when: &str) {
        let Self { descriptors, rss_kib } = self;
        println!("{when}: {descriptors} descriptors, {rss_kib} KiB resident");
    }
}

fn main() -> Result<ExitCode> {
    let args = Args::read();
    let beside = sibling("freehold").display().to_string();
    let program = args.get("freehold", beside);
    let count = args.get("count", 10_000);
    let at_once = args.get("clients", 100_usize);
    let idle = Duration::from_secs(args.get("idle-seconds", 60));

    let mut mock = Command::new(sibling("mock"));
    // Streams of minutes: one that goes on without its client is seen.
    mock.args(["--port", "0", "--latency-ms", "20", "--gap-ms", "20", "--chunks", "20000"]);
    let (_mock, upstream) = Running::serving(&mut mock)?;
    let slots = at_once * 2;
    let freehold = Freehold::start(&program, upstream, u32::try_from(slots).unwrap_or(u32::MAX))?;

    // The first ones make threads, pools and caches, which stay.
    leave::storm(freehold.address, &freehold.key, u64::max(count / 10, 100), at_once);
    drop(leave::hold(freehold.address, &freehold.key, slots));
    Remains::settle(&freehold, upstream)?;
    let before = Holds::of(&freehold);
    before.print("before");
    let began = now();
    let left = leave::storm(freehold.address, &freehold.key, count, at_once);
    println!(
        "{count} clients left within {:.1} s: {left:?}",
        now().duration_since(began).as_secs_f64()
    );
    let (remains, waited) = Remains::settle(&freehold, upstream)?;
    println!("{} ms later: {remains:?}", waited.as_millis());

    let mut verdict = Verdict::default();
    verdict.none("clients that were not served", left.failed);
    verdict.at_most("until it was noticed", waited.as_secs_f64(), SETTLED.as_secs_f64(), "s");
    remains.judge(&mut verdict);
    books(&freehold, &mut verdict)?;
    slots_are_free(&freehold, upstream, slots, &mut verdict)?;
    let idle_left = pools_empty(&freehold, upstream, idle)?;
    if !idle.is_zero() {
        verdict.none("idle connections to the upstream, in the end", idle_left);
    }
    let after = Holds::of(&freehold);
    after.print("after");
    compare(&before, &after, idle_left, &mut verdict);
    println!("\n{verdict}");
    Ok(if verdict.is_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every exchange that was admitted is closed in the books, at no cost to the
/// budgets' reservations.
fn books(freehold: &Freehold, verdict: &mut Verdict) -> Result<()> {
    let metrics = freehold.metrics()?;
    for line in metrics.lines("freehold_exchanges_total") {
        println!("{line}");
    }
    let reserved = freehold.reserved()?;
    verdict.holds("budgets with something reserved", reserved.len(), 0, reserved.is_empty());
    verdict.none("open exchanges in the books", freehold.open_exchanges()? as u64);
    let (admitted, used) = (metrics.sum("freehold_admitted_total"), freehold.used_exchanges()?);
    verdict.holds("exchanges in the usage report", used, admitted, used == admitted);
    verdict.none("exchanges without a record", metrics.sum("freehold_usage_unrecorded_total"));
    Ok(())
}

/// The key may have exactly as many streams as it may, so none of its slots
/// was lost, and none was given back twice.
fn slots_are_free(
    freehold: &Freehold,
    upstream: SocketAddr,
    slots: usize,
    verdict: &mut Verdict,
) -> Result<()> {
    let (held, refused) = leave::hold(freehold.address, &freehold.key, slots);
    verdict.holds("streams that the key may still have", held.len(), slots, held.len() == slots);
    if let Some(refused) = refused.first() {
        println!("refused: {refused}");
    }
    let (more, refused) = leave::hold(freehold.address, &freehold.key, 1);
    // Which also shows that what is looked at after a storm can be seen.
    let seen = Remains::look(freehold, upstream)?.upstream;
    verdict.holds("of these, at the upstream", seen, held.len(), seen == held.len() as u64);
    let told = refused.first().is_some_and(|answer| answer.starts_with("HTTP/1.1 429 "));
    verdict.holds("one more", if told { "429" } else { "no 429" }, "429", told);
    drop((held, more));
    let (remains, _) = Remains::settle(freehold, upstream)?;
    verdict.holds("and these leave nothing either", remains.is_clean(), true, remains.is_clean());
    Ok(())
}

/// Waits until idle connections to the upstream are closed, or for so long.
fn pools_empty(freehold: &Freehold, upstream: SocketAddr, most: Duration) -> Result<u64> {
    let began = now();
    loop {
        let idle = Remains::look(freehold, upstream)?.upstream_idle;
        if idle == 0 || now().duration_since(began) >= most {
            return Ok(idle);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn compare(before: &Holds, after: &Holds, idle: u64, verdict: &mut Verdict) {
    // A few come and go with the store and its logs.
    let most = before.descriptors + idle + 4;
    verdict.holds(
        "file descriptors",
        after.descriptors,
        format!("at most {most}"),
        after.descriptors <= most,
    );
    let mib = |holds: &Holds| holds.rss_kib as f64 / 1024.0;
    verdict.at_most("resident memory", mib(after), mib(before) * 1.2 + 8.0, "MiB");
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}
