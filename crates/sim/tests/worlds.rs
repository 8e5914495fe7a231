//! Some worlds, and that a seed is one world. Many more: `cargo xtask sim`.

use freehold_sim::{Setup, Stage, seed_of, watch_panics};

#[test]
fn in_some_worlds_everything_is_as_it_must_be() {
    watch_panics();
    let stage = Stage::open().unwrap();
    for number in 0..5 {
        let seed = seed_of(1, number);
        let outcome = stage.run(Setup::of(seed));
        if !outcome.wrong.is_empty() {
            let told = stage.run(Setup::of(seed).told());
            panic!("seed {seed}:\n{}\n{}", told.trace.join("\n"), told.wrong.join("\n"));
        }
        assert!(outcome.events > 0 && outcome.commits > 0);
    }
}

#[test]
fn a_seed_is_one_world() {
    let stage = Stage::open().unwrap();
    let seed = seed_of(2, 0);
    let (first, again) = (stage.run(Setup::of(seed)), stage.run(Setup::of(seed)));
    assert_eq!((first.pulse, first.us), (again.pulse, again.us));
    let other = stage.run(Setup::of(seed_of(2, 1)));
    assert_ne!(first.pulse, other.pulse);
}
