//! Some worlds, and that a seed is one world. Many more: `cargo xtask sim`.

use freehold_sim::{Mutation, Setup, Stage, Way, seed_of, watch_panics};

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
    let (stage, other_stage) = (Stage::open().unwrap(), Stage::open().unwrap());
    for number in 0..3 {
        let seed = seed_of(2, number);
        let mut first = stage.run(Setup::of(seed).told());
        let mut again = other_stage.run(Setup::of(seed).told());
        assert!(first.trace.len() > 10);
        // What a crash drops at one moment goes in the order of tokio's tasks,
        // whose numbers go on from stage to stage.
        first.trace.sort();
        again.trace.sort();
        let differs = first.trace.iter().zip(&again.trace).find(|(first, again)| first != again);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!((first.pulse, first.us, first.tally), (again.pulse, again.us, again.tally));
    }
    let (one, other) = (seed_of(2, 0), seed_of(2, 1));
    assert_ne!(stage.run(Setup::of(one)).pulse, stage.run(Setup::of(other)).pulse);
}

/// Worlds that once went wrong: two workers of one node for a session, the
/// fenced one of which spoke for it; sessions that nobody took up again; two
/// who listened and were woken in an order that changed.
const ONCE_WRONG: [u64; 20] = [
    11_352_058_871_272_453_939,
    11_932_841_919_185_442_648,
    11_967_323_222_609_791_906,
    13_473_685_037_003_856_214,
    14_979_961_813_466_374_341,
    15_591_714_738_003_092_640,
    1_562_875_832_396_099_090,
    1_722_926_219_953_401_402,
    17_234_498_742_756_977_661,
    3_264_443_840_485_987_485,
    3_697_625_856_327_189_275,
    431_577_937_039_903_579,
    4_440_799_414_758_151_196,
    6_257_299_233_336_155_828,
    6_788_853_733_927_032_149,
    7_514_645_782_435_399_981,
    7_905_939_725_167_939_463,
    8_406_119_366_858_273_896,
    9_220_635_306_388_277_329,
    9_527_563_363_713_006_111,
];

#[test]
fn worlds_that_once_went_wrong_go_well_and_the_same_way_each_time() {
    let stage = Stage::open().unwrap();
    for seed in ONCE_WRONG {
        let first = stage.run(Setup::of(seed));
        assert_eq!(first.wrong, Vec::<String>::new(), "seed {seed}");
        let again = stage.run(Setup::of(seed));
        assert_eq!((first.pulse, first.us), (again.pulse, again.us), "seed {seed}");
    }
}

#[test]
fn the_fixed_story_has_all_that_it_is_to_have_and_bears_a_lost_acknowledgement() {
    let stage = Stage::open().unwrap();
    let whole = stage.tell(None, false);
    assert_eq!(whole.wrong, Vec::<String>::new());
    assert_eq!(whole.tally.lacks(Stage::told()), Vec::<&str>::new());
    let (early, late) = (3, whole.commits / 2);
    for (commit, way) in [(early, Way::Done), (late, Way::Done), (late, Way::CrashAfter)] {
        let cut = stage.tell(Some((commit, way)), false);
        assert_eq!(cut.wrong, Vec::<String>::new(), "{way:?} of commit {commit}");
        assert_ne!(cut.pulse, whole.pulse, "it was cut");
    }
}

#[test]
fn a_planted_bug_is_found() {
    let stage = Stage::open().unwrap();
    let planted = |number| Setup::of(seed_of(1, number)).with(Mutation::LosesWaits);
    assert!((0..20).any(|number| !stage.run(planted(number)).wrong.is_empty()));
}
