//! Three times what an upstream bears, in an open loop:
//! `overload --freehold target/release/freehold [--seconds 60]`.
//!
//! Latencies count from when a request was due, so that a server that answers
//! late cannot put off the requests that would have shown it. What is asked:
//! accepted requests stay within ten times the unloaded p99, the others are
//! refused at once and told when to come back, memory stays bounded, and two
//! seconds after it is over nobody notices any more. Exit code 1 if a bar is
//! missed. `--slack 4` makes the bars on times four times as wide.
#![expect(clippy::print_stdout, reason = "the table is this program's result")]

use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::time::Duration;

use freehold_bench::answers::{self, Api};
use freehold_bench::child::{Running, sibling};
use freehold_bench::load::{self, Pace, Sample, Shot};
use freehold_bench::subject::{Freehold, watching_memory};
use freehold_bench::verdict::Verdict;
use freehold_bench::{Args, proc, quantile};

/// The load before and after, per second: a fifth of what the upstream bears.
const MODEST: f64 = 100.0;
/// How long it may take to recover.
const RECOVERY: Duration = Duration::from_secs(2);
/// Connections of the load generator: more than can be under way.
const CONNECTIONS: usize = 400;

/// What is asked, from the command line.
struct Bars {
    /// Accepted requests, in unloaded p99s.
    accepted: f64,
    /// Refused ones, in milliseconds.
    refused_ms: f64,
    /// Resident memory at most.
    memory_mib: f64,
    /// Latency after recovery, in unloaded p99s; for noise only.
    recovered: f64,
}

/// What was measured.
struct Run {
    unloaded: Sample,
    overload: Sample,
    memory: Vec<u64>,
    /// In the two seconds after it.
    recovering: Sample,
    recovered: Sample,
}

fn main() -> std::io::Result<ExitCode> {
    let args = Args::read();
    let beside = sibling("freehold").display().to_string();
    let program = args.get("freehold", beside);
    let seconds = args.get("seconds", 60.0);
    let rate = args.get("rate", 1_500.0);
    let capacity = args.get("capacity", 500);
    let latency = args.get("latency-ms", 20);
    let slack = args.get("slack", 1.0);

    let mut mock = Command::new(sibling("mock"));
    mock.args(["--port", "0", "--capacity", &capacity.to_string()]);
    mock.args(["--latency-ms", &latency.to_string()]);
    let (_mock, upstream) = Running::serving(&mut mock)?;
    let freehold = Freehold::start(&program, upstream, 10_000)?;
    let shot = shot(freehold.address, &freehold.key);
    println!("upstream: {latency} ms, {capacity}/s; offered: {rate}/s for {seconds} s");

    let short = Duration::from_secs_f64(f64::min(seconds, 10.0));
    let unloaded = load::run(&shot, 64, short, Pace::Open(MODEST));
    let idle = proc::rss_kib(freehold.pid());
    let window = Duration::from_secs_f64(seconds);
    let (overload, memory) =
        watching_memory(freehold.pid(), || load::run(&shot, CONNECTIONS, window, Pace::Open(rate)));
    let recovering = load::run(&shot, 64, RECOVERY, Pace::Open(MODEST));
    let recovered = load::run(&shot, 64, short, Pace::Open(MODEST));
    let run = Run { unloaded, overload, memory, recovering, recovered };
    println!("resident before: {:.1} MiB; after: {:.1} MiB", mib(idle), mib(rss(&freehold)));
    run.print(seconds);

    let bars =
        Bars { accepted: 10.0, refused_ms: 5.0 * slack, memory_mib: 60.0, recovered: 2.0 * slack };
    let mut verdict = run.judge(&bars);
    after(&freehold, &mut verdict)?;
    println!("\n{verdict}");
    Ok(if verdict.is_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shot(to: SocketAddr, key: &str) -> Shot {
    let body = answers::request(Api::Chat, "byte", 600, false);
    Shot::post(to, "/v1/chat/completions", key, &body, 0)
}

/// Nothing of it is left in the books.
fn after(freehold: &Freehold, verdict: &mut Verdict) -> std::io::Result<()> {
    let metrics = freehold.metrics()?;
    for line in metrics.lines("freehold_refused_total") {
        println!("{line}");
    }
    for line in metrics.lines("freehold_exchanges_total") {
        println!("{line}");
    }
    verdict.none("exchanges that hold a reservation", metrics.sum("freehold_in_flight"));
    verdict.none("exchanges without a record", metrics.sum("freehold_usage_unrecorded_total"));
    Ok(())
}

fn rss(freehold: &Freehold) -> u64 {
    proc::rss_kib(freehold.pid())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn ms(sorted: &[u64], p: f64) -> f64 {
    quantile(sorted, p) as f64 / 1_000.0
}

impl Run {
    fn print(&self, seconds: f64) {
        println!(
            "\n{:<12} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "ms", "accepted", "p50", "p99", "max", "refused", "p50", "p99", "max", "late p99"
        );
        for (name, sample) in [
            ("unloaded", &self.unloaded),
            ("overload", &self.overload),
            ("first 2 s", &self.recovering),
            ("recovered", &self.recovered),
        ] {
            let Sample { total, shed, late, .. } = sample;
            println!(
                "{name:<12} {:>8} {:>8.1} {:>8.1} {:>8.1} {:>8} {:>8.2} {:>8.2} {:>8.2} {:>8.2}",
                total.len(),
                ms(total, 0.5),
                ms(total, 0.99),
                ms(total, 1.0),
                shed.len(),
                ms(shed, 0.5),
                ms(shed, 0.99),
                ms(shed, 1.0),
                ms(late, 0.99)
            );
        }
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let accepted = self.overload.total.len() as f64 / seconds;
        println!("accepted under overload: {accepted:.0}/s");
        if let Some(error) = &self.overload.error {
            println!("an error: {error}");
        }
    }

    fn judge(&self, bars: &Bars) -> Verdict {
        let Self { unloaded, overload, memory, recovering, recovered } = self;
        let usual = ms(&unloaded.total, 0.99);
        let mut verdict = Verdict::default();
        verdict.none("refused or wrong when unloaded", shed(unloaded) + unloaded.errors);
        let accepted = ms(&overload.total, 0.99);
        verdict.at_most("p99 of the accepted", accepted, usual * bars.accepted, "ms");
        verdict.at_most("p99 of the refused", ms(&overload.shed, 0.99), bars.refused_ms, "ms");
        verdict.none("refused without Retry-After", overload.shed_without_wait);
        verdict.none("neither answered nor refused", overload.errors);
        // Whoever refuses everybody is fast as well.
        let served = overload.total.len();
        let offered = served + overload.shed.len();
        verdict.holds("accepted of offered", served, offered / 4, served * 4 >= offered);

        let peak = |part: &[u64]| mib(part.iter().copied().max().unwrap_or(0));
        verdict.at_most("peak of resident memory", peak(memory), bars.memory_mib, "MiB");
        let (begin, end) = memory.split_at(memory.len() / 2);
        let most = peak(begin) * 1.1 + 2.0;
        verdict.at_most("the same in the second half", peak(end), most, "MiB");

        verdict.none("wrong while it recovers", recovering.errors);
        verdict.none("refused or wrong after 2 s", shed(recovered) + recovered.errors);
        let after = ms(&recovered.total, 0.99);
        verdict.at_most("p99 after 2 s", after, usual * bars.recovered, "ms");
        verdict
    }
}

fn shed(sample: &Sample) -> u64 {
    sample.shed.len() as u64
}
