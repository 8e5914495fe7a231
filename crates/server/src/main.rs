//! The binary `freehold`: reads the command line and does what it says.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use freehold_server::out;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // An error's own words do not repeat its cause's.
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            out::note(format!("freehold: {}", causes.join(": ")));
            ExitCode::FAILURE
        }
    }
}
