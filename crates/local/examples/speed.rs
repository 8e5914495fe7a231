//! Measures an engine: prefill and decode in tokens a second.
//!
//! `cargo run --release -p freehold-local --example speed [GGUF]`

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use freehold_llm::Dialect;
use freehold_llm::model::{Delta, Event, Item, Request, Role};
use freehold_local::weights::{Folder, find};
use freehold_local::{Engine, Options};

#[expect(clippy::disallowed_methods, reason = "a measurement, not part of the product")]
fn now() -> Instant {
    Instant::now()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    let package = find("local").ok_or("no package")?;
    let packaged = Folder::of_environment(|name| std::env::var_os(name))?.weights(package);
    let path = std::env::args().nth(1).map_or(packaged, PathBuf::from);
    let engine = Engine::new(Options::new("speed", path));
    let story = "The quick brown fox jumps over the lazy dog near the river bank. ".repeat(60);
    for (what, prompt, max) in [
        ("load, short prompt", "Write a story about a lighthouse keeper.".to_owned(), 128),
        ("short prompt", "Write a story about a lighthouse keeper.".to_owned(), 256),
        ("long prompt", format!("Sum this up: {story}"), 64),
        ("long prompt again", format!("Sum this up: {story}"), 64),
    ] {
        let mut request = Request::new(Dialect::Chat, "speed");
        request.items = vec![Item::text(Role::User, prompt)];
        request.max_tokens = Some(max);
        let start = now();
        let mut first = None;
        let mut events =
            engine.generate(Arc::new(request), 1_700_000_000, 7).map_err(|e| e.message)?;
        while let Some(event) = events.blocking_next() {
            match event {
                Event::Delta { delta: Delta::Text(text), .. } => {
                    first.get_or_insert_with(now);
                    write!(out, "{text}")?;
                }
                Event::Usage(usage) => {
                    let first = first.unwrap_or(start);
                    let (before, after) = (first - start, first.elapsed());
                    let fresh = usage.input - usage.cache_read.unwrap_or(0);
                    writeln!(
                        out,
                        "\n== {what}: {} tokens in ({fresh} fresh), first text after {before:.2?}; \
                         {} out in {after:.2?}",
                        usage.input, usage.output
                    )?;
                    #[expect(clippy::cast_precision_loss, reason = "small counts")]
                    writeln!(
                        out,
                        "== prefill {:.0}/s, decode {:.1}/s",
                        fresh as f64 / before.as_secs_f64(),
                        usage.output as f64 / after.as_secs_f64()
                    )?;
                }
                Event::Error(error) => return Err(error.message.into()),
                _ => {}
            }
        }
    }
    Ok(())
}
