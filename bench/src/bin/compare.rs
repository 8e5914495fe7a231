//! Freehold beside a bare hop and the upstream itself, in turn:
//! `compare --freehold target/release/freehold [--rounds 10] [--window-ms 500]`,
//! of which `--shape 400`, `--connections 64` and `--lane byte` run a part.
//!
//! Proxies run on CPU 0, the mock and this load generator on CPU 1 (`taskset`),
//! so that requests a second are per core of the proxy. Every figure is a
//! median over rounds; a ratio is the median of the rounds' own ratios. It
//! fails if an answer is refused or a stream has not all its events: its figures
//! would be void.
#![expect(clippy::print_stdout, reason = "the table is this program's result")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use freehold_bench::answers::{self, Api};
use freehold_bench::child::{Running, Scratch, sibling};
use freehold_bench::load::{self, Pace, Sample, Shot};
use freehold_bench::{Args, proc, quantile};

const KEY: &str = "fh-bench-key-that-is-long-enough-to-be-one-000000000";
/// Events of a stream, less those that begin and end it.
const CHUNKS: usize = 50;
const MOCK: u16 = 18_180;
const HOP: u16 = 18_190;
const FREEHOLD: u16 = 18_191;

fn pinned(cpu: &str, program: &Path, args: &[&str]) -> std::io::Result<Running> {
    let mut command = Command::new("taskset");
    command.args(["-c", cpu]).arg(program).args(args).env("FREEHOLD_BOOTSTRAP_KEY", KEY);
    Running::quiet(&mut command)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn wait_for(port: u16) -> bool {
    for _ in 0..2_000 {
        if std::net::TcpStream::connect(address(port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

fn config(data: &Path) -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:{FREEHOLD}"
data = "{}"

[providers.up]
kind = "compatible"
base_url = "http://127.0.0.1:{MOCK}/v1"

[providers.upm]
kind = "anthropic"
base_url = "http://127.0.0.1:{MOCK}/v1"

[routes.byte]
deployments = [{{ provider = "up", model = "mock", price = {{ input = "1.00", output = "2.00" }} }}]

[routes.cross]
deployments = [{{ provider = "upm", model = "mock", price = {{ input = "1.00", output = "2.00" }} }}]
"#,
        data.display()
    )
}

#[derive(Clone, Copy, PartialEq)]
enum Lane {
    Direct,
    Hop,
    Byte,
    Cross,
}

const LANES: [(Lane, &str); 4] = [
    (Lane::Direct, "direct"),
    (Lane::Hop, "hop"),
    (Lane::Byte, "byte lane"),
    (Lane::Cross, "translating"),
];

impl Lane {
    fn shot(self, bytes: usize, stream: bool) -> Shot {
        let (port, model) = match self {
            Self::Direct => (MOCK, "mock"),
            Self::Hop => (HOP, "mock"),
            Self::Byte => (FREEHOLD, "byte"),
            Self::Cross => (FREEHOLD, "cross"),
        };
        let body = answers::request(Api::Chat, model, bytes, stream);
        let events = if stream { CHUNKS } else { 0 };
        Shot::post(address(port), "/v1/chat/completions", KEY, &body, events)
    }

    /// The process whose processor time counts.
    fn pid(self, hop: u32, server: u32) -> Option<u32> {
        match self {
            Self::Direct => None,
            Self::Hop => Some(hop),
            Self::Byte | Self::Cross => Some(server),
        }
    }
}

/// One lane in one round.
struct Round {
    rps: f64,
    p50: f64,
    p99: f64,
    first: f64,
    gap: f64,
    cpu: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn measure(shot: &Shot, connections: usize, window: Duration, pid: Option<u32>) -> (Round, Sample) {
    let before = pid.map_or(0, proc::cpu_us);
    let began = now();
    let sample = load::run(shot, connections, window, Pace::Closed);
    let seconds = now().duration_since(began).as_secs_f64();
    let cpu = pid.map_or(0, proc::cpu_us) - before;
    let served = sample.total.len();
    let round = Round {
        rps: served as f64 / seconds,
        p50: quantile(&sample.total, 0.5) as f64,
        p99: quantile(&sample.total, 0.99) as f64,
        first: quantile(&sample.first, 0.5) as f64,
        gap: quantile(&sample.gaps, 0.5) as f64,
        cpu: cpu as f64 / served.max(1) as f64,
    };
    (round, sample)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// Measures the lanes in turn, so often. Gives the rounds of each, and how many
/// answers were wrong.
fn in_turn(
    lanes: &[Option<(&str, Shot, Option<u32>)>],
    rounds: usize,
    connections: usize,
    window: Duration,
) -> (Vec<Vec<Round>>, u64) {
    let mut table: Vec<Vec<Round>> = lanes.iter().map(|_| Vec::new()).collect();
    let mut void = 0;
    for _ in 0..rounds {
        for (lane, column) in lanes.iter().zip(&mut table) {
            let Some((name, shot, pid)) = lane else { continue };
            let (round, sample) = measure(shot, connections, window, *pid);
            let wrong = sample.errors + sample.shed.len() as u64;
            if wrong > 0 {
                println!("{name}: {wrong} errors: {:?}", sample.error);
                void += wrong;
            }
            column.push(round);
        }
    }
    (table, void)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> std::io::Result<()> {
    let args = Args::read();
    let freehold = args.get("freehold", "target/release/freehold".to_owned());
    let rounds = args.get("rounds", 10_usize);
    let window = Duration::from_millis(args.get("window-ms", 500));
    let me = std::process::id().to_string();
    Command::new("taskset").args(["-a", "-p", "-c", "1", &me]).stdout(Stdio::null()).status()?;

    let folder = Scratch::new("compare")?;
    let file = folder.path().join("freehold.toml");
    fs::write(&file, config(&folder.path().join("data")))?;
    let shown = file.display().to_string();

    let _mock = pinned("1", &sibling("mock"), &["--port", &MOCK.to_string()])?;
    let hop = pinned(
        "0",
        &sibling("hop"),
        &["--port", &HOP.to_string(), "--to", &format!("127.0.0.1:{MOCK}")],
    )?;
    wait_for(MOCK);
    wait_for(HOP);
    let began = now();
    let server = pinned("0", Path::new(&freehold), &["serve", "--config", &shown])?;
    wait_for(FREEHOLD);
    let one = load::run(&Lane::Byte.shot(64, false), 1, Duration::from_millis(1), Pace::Closed);
    let cold = now().duration_since(began);
    if one.total.is_empty() {
        return Err(std::io::Error::other(format!("freehold does not serve: {:?}", one.error)));
    }
    std::thread::sleep(Duration::from_millis(500));
    println!(
        "cold start to first answer: {} ms; idle RSS {:.1} MiB",
        cold.as_millis(),
        mib(server.pid())
    );
    let mut void = 0;
    let (shape_asked, lane_asked) =
        (args.get("shape", String::new()), args.get("lane", String::new()));
    let connections_asked = args.get("connections", 0);
    let shapes = [("1 KB", 600, false), ("400 KB", 400_000, false), ("50-chunk stream", 600, true)];
    for (shape, bytes, stream) in shapes {
        for connections in [1, 8, 64, 256] {
            let other = connections_asked != 0 && connections != connections_asked;
            if other || !shape.starts_with(&shape_asked) {
                continue;
            }
            let shots = LANES.map(|(lane, name)| {
                let asked = name.starts_with(&lane_asked);
                let pid = lane.pid(hop.pid(), server.pid());
                asked.then(|| (name, lane.shot(bytes, stream), pid))
            });
            let (table, wrong) = in_turn(&shots, rounds, connections, window);
            void += wrong;
            print_table(shape, connections, &table, stream);
            println!("RSS {:.1} MiB", mib(server.pid()));
        }
    }
    std::thread::sleep(Duration::from_secs(3));
    println!("RSS after: {:.1} MiB", mib(server.pid()));
    if void > 0 {
        return Err(std::io::Error::other(format!("{void} answers were not as they should be")));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mib(pid: u32) -> f64 {
    proc::rss_kib(pid) as f64 / 1024.0
}

fn print_table(shape: &str, connections: usize, table: &[Vec<Round>], stream: bool) {
    let rounds = table.iter().map(Vec::len).max().unwrap_or(0);
    println!("\n{shape}, c={connections} (times in us, medians of {rounds} rounds)");
    println!(
        "{:<12} {:>9} {:>8} {:>8} {:>9} {:>9} {:>8} {:>9} {:>9}",
        "lane", "req/s", "p50", "p99", "+p50", "+first", "cpu/req", "x hop +p50", "% hop rps"
    );
    for ((lane, name), rounds) in LANES.iter().zip(table) {
        if rounds.is_empty() {
            continue;
        }
        let of = |f: fn(&Round) -> f64| median(rounds.iter().map(f).collect());
        let paired = |f: &dyn Fn(usize) -> f64| {
            median((0..rounds.len().min(table[0].len())).map(f).collect())
        };
        let added = |lane: usize, n: usize| table[lane][n].p50 - table[0][n].p50;
        let this = LANES.iter().position(|(l, _)| l == lane).unwrap_or(0);
        println!(
            "{name:<12} {:>9.0} {:>8.0} {:>8.0} {:>9.0} {:>9.0} {:>8.1} {:>9.2} {:>9.1}",
            of(|r| r.rps),
            of(|r| r.p50),
            of(|r| r.p99),
            paired(&|n| added(this, n)),
            paired(&|n| table[this][n].first - table[0][n].first),
            of(|r| r.cpu),
            paired(&|n| added(this, n) / added(1, n)),
            paired(&|n| 100.0 * table[this][n].rps / table[1][n].rps),
        );
        if stream {
            println!("{:<12} between reads p50 {:.0}", "", of(|r| r.gap));
        }
    }
}
