//! What sessions that wait cost a server: `idle --freehold
//! target/release/freehold [--sessions 100000]`.
//!
//! Half of them wait for a timer half a year away, half for a client's tool;
//! all are made through the API. Then the server is started anew over them and
//! its resident memory is read: at most 64 MiB with 100,000 of them. That they
//! wait and are not lost is shown by one of each kind: its timer fires, its
//! tool's result is taken and answered. Exit code 1 if a bar is missed.
#![expect(clippy::print_stdout, reason = "the table is this program's result")]

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use freehold_bench::child::{Running, sibling};
use freehold_bench::client::Client;
use freehold_bench::site::{Node, Site};
use freehold_bench::subject::{ADMIN, watching_memory};
use freehold_bench::verdict::Verdict;
use freehold_bench::{Args, proc};
use serde_json::{Value, json};

/// Half a year.
const FAR_SECONDS: u32 = 182 * 24 * 3_600;
/// The timer that is to fire: long enough for the others to be made.
const NEAR_SECONDS: u32 = 20;
/// How late it may be.
const LATE: Duration = Duration::from_secs(1);
/// When a session that has nothing to do is let go of.
const IDLE: Duration = Duration::from_millis(500);
/// How long a server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(5);
const RSS_MIB_MAX: f64 = 64.0;

fn main() -> Result<ExitCode> {
    let args = Args::read();
    let program = args.get("freehold", sibling("freehold").display().to_string());
    let sessions = args.get("sessions", 100_000_u64);
    let threads = args.get("threads", 24_u64);

    let (_mock, upstream) = Running::serving(Command::new(sibling("mock")).args(["--port", "0"]))?;
    let site = Site::new("idle", &program, &[("byte", upstream)], IDLE)?;
    let mut verdict = Verdict::default();

    let node = site.start()?;
    let fresh = mib(node.pid());
    let began = now();
    make_all(&node, sessions, threads)?;
    let seconds = began.elapsed().as_secs_f64();
    let tool = waits_for_tool(&mut Client::new(node.address, ADMIN))?;
    let timer = waits_for_timer(&mut Client::new(node.address, ADMIN), NEAR_SECONDS)?;
    let set = now();
    std::thread::sleep(IDLE + SETTLE);
    println!("{sessions} sessions made in {seconds:.0} s; new server: {fresh:.1} MiB");
    verdict.at_most("RSS of the server that made them", mib(node.pid()), RSS_MIB_MAX, "MiB");
    node.stop()?;

    let node = site.start()?;
    println!("started over them in {} ms", node.ready_after.as_millis());
    let ((), samples) = watching_memory(node.pid(), || std::thread::sleep(SETTLE));
    let most = samples.iter().max().map_or(0.0, |kib| mib_of(*kib));
    println!("while it settles at most {most:.1} MiB");
    verdict.at_most("RSS of a server started over them", mib(node.pid()), RSS_MIB_MAX, "MiB");

    let mut client = Client::new(node.address, ADMIN);
    let late = fires(&mut client, &timer, set)?;
    verdict.at_most("timer fired late by", late.as_secs_f64(), LATE.as_secs_f64(), "s");
    let answered = goes_on(&mut client, &tool)?;
    verdict.holds("a tool's result is answered", &answered, "completed", answered == "completed");
    let listed = client.json("GET", "/v1/freehold/sessions?limit=1", &Value::Null)?;
    let listed = listed["data"].as_array().map_or(0, Vec::len);
    verdict.holds("sessions are listed", listed, 1, listed == 1);
    verdict.at_most("RSS after that", mib(node.pid()), RSS_MIB_MAX, "MiB");
    println!("\n{verdict}");
    Ok(if verdict.is_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes sessions of both kinds in turn, on so many connections.
fn make_all(node: &Node, sessions: u64, threads: u64) -> Result<()> {
    let next = AtomicU64::new(0);
    let address: SocketAddr = node.address;
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut client = Client::new(address, ADMIN);
                    loop {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        if nth >= sessions {
                            return Ok(());
                        }
                        if nth.is_multiple_of(2) {
                            waits_for_timer(&mut client, FAR_SECONDS)?;
                        } else {
                            waits_for_tool(&mut client)?;
                        }
                    }
                })
            })
            .collect();
        let died = |_| Error::other("a maker of sessions panicked");
        makers.into_iter().try_for_each(|maker| maker.join().map_err(died)?)
    })
}

/// A session whose agent is told something when the time has come. Its id.
fn waits_for_timer(client: &mut Client, seconds: u32) -> Result<String> {
    let settings = json!({ "request": { "model": "byte" } });
    let made = client.json("POST", "/v1/freehold/sessions", &json!({ "settings": settings }))?;
    let id = text(&made["id"])?;
    let timer = json!({ "in_seconds": seconds, "input": "The time has come." });
    client.json("POST", &format!("/v1/freehold/sessions/{id}/timers"), &timer)?;
    Ok(id)
}

/// A response that waits for its client to call a tool. Its id, and the call's.
fn waits_for_tool(client: &mut Client) -> Result<(String, String)> {
    let parameters = json!({ "type": "object", "properties": { "at": { "type": "string" } } });
    let tool = json!({ "type": "function", "name": "look", "parameters": parameters });
    let asked = json!({ "model": "byte", "input": "Look for it.", "tools": [tool], "store": true });
    let response = client.json("POST", "/v1/responses", &asked)?;
    let call = response["output"].as_array().and_then(|items| items.last()).cloned();
    let call = call.filter(|item| item["type"] == "function_call").unwrap_or_default();
    let call = text(&call["call_id"]).map_err(|_| Error::other(format!("no call: {response}")))?;
    Ok((text(&response["id"])?, call))
}

/// Waits for the session's timer; how late it fired.
fn fires(client: &mut Client, session: &str, set: Instant) -> Result<Duration> {
    let due = Duration::from_secs(NEAR_SECONDS.into());
    let path = format!("/v1/freehold/sessions/{session}/journal");
    loop {
        let page = client.json("GET", &path, &Value::Null)?;
        let events = page["data"].as_array().cloned().unwrap_or_default();
        if events.iter().any(|event| event["kind"] == "timer_fired") {
            return Ok(set.elapsed().saturating_sub(due));
        }
        if set.elapsed() > due + 30 * LATE {
            return Err(Error::other(format!("the timer of {session} does not fire")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Brings the result that a response waits for; the status of what follows.
fn goes_on(client: &mut Client, (response, call): &(String, String)) -> Result<String> {
    let output = json!({ "type": "function_call_output", "call_id": call, "output": "under it" });
    let asked = json!({ "model": "byte", "previous_response_id": response, "input": [output] });
    text(&client.json("POST", "/v1/responses", &asked)?["status"])
}

fn text(value: &Value) -> Result<String> {
    let absent = || Error::other("a text is missing in an answer");
    value.as_str().map(str::to_owned).ok_or_else(absent)
}

fn mib(pid: u32) -> f64 {
    mib_of(proc::rss_kib(pid))
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mib_of(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}
