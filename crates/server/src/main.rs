//! The binary `freehold`: reads the command line and does what it says.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use freehold_server::out;

/// Faster than glibc's for many small things that cross threads, and it gives
/// back what large bodies took: glibc kept 340 MiB after a burst of them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Freed pages go back within a quarter of a second, by a thread that does only that;
/// few arenas, as few threads allocate. A worker allocates more for each
/// exchange than jemalloc expects between two looks through a thread's cache,
/// which cost a fiftieth of an exchange; so it looks less often.
#[expect(unsafe_code, reason = "jemalloc reads its settings from a symbol of this name and type")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_SETTINGS: &[u8; 98] =
    b"background_thread:true,narenas:4,dirty_decay_ms:250,muzzy_decay_ms:0,tcache_gc_incr_bytes:1048576\0";

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
