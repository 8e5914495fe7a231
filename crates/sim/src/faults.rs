//! What breaks, and how often: drawn for each world, so that some worlds know
//! a kind of fault and others do not.

use crate::random::Random;
use crate::setup::Setup;

/// How often things break, of a thousand times each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    /// A unit is refused, nothing done.
    pub(crate) refused: u64,
    /// Nobody hears what became of a unit.
    pub(crate) doubt: u64,
    /// A read fails.
    pub(crate) unread: u64,
    /// An operation of the store takes very long.
    pub(crate) slow_store: u64,
    /// A client does not hear an answer.
    pub(crate) unheard: u64,
    /// A client's request arrives twice.
    pub(crate) twice: u64,
    /// A model refuses, or ends in an error.
    pub(crate) model_error: u64,
    /// A model's answer breaks off.
    pub(crate) model_cut: u64,
    /// A model is very slow.
    pub(crate) model_slow: u64,
    /// A tool's answer is lost.
    pub(crate) tool_lost: u64,
    /// A tool takes longer than it may.
    pub(crate) tool_slow: u64,
    /// Of one second of one node: it crashes.
    pub(crate) crash: u64,
    /// It is paused.
    pub(crate) pause: u64,
    /// It is stopped in good order.
    pub(crate) stop: u64,
    /// It loses the store.
    pub(crate) cut_off: u64,
    /// Its wall clock jumps.
    pub(crate) jump: u64,
}

impl Rates {
    /// Each kind is there in two worlds of three.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let mut rate = |most: u64| {
            let is_there = !random.one_in(3);
            let rate = random.between(1, most);
            if is_there { rate } else { 0 }
        };
        Self {
            refused: rate(40),
            doubt: rate(60),
            unread: rate(30),
            slow_store: rate(40),
            unheard: rate(150),
            twice: rate(200),
            model_error: rate(200),
            model_cut: rate(200),
            model_slow: rate(100),
            tool_lost: rate(200),
            tool_slow: rate(150),
            crash: rate(120),
            pause: rate(80),
            stop: rate(60),
            cut_off: rate(80),
            jump: rate(150),
        }
    }
}

/// How a commit goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is refused, and nothing is done.
    Refused,
    /// Nobody hears of it, and nothing was done.
    NotDone,
    /// Nobody hears of it, and it was done.
    Done,
    /// Nobody hears of it, and it is done later.
    DoneLater,
    /// The node crashes before it.
    CrashBefore,
    /// The node crashes after it.
    CrashAfter,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Refused,
        Self::NotDone,
        Self::Done,
        Self::DoneLater,
        Self::CrashBefore,
        Self::CrashAfter,
    ];
}

impl Way {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotDone => "not-done",
            Self::Done => "done",
            Self::DoneLater => "done-later",
            Self::CrashBefore => "crash-before",
            Self::CrashAfter => "crash-after",
        }
    }

    /// Its name among all that breaks; crashes are counted as such.
    pub(crate) fn fault(self) -> Option<&'static str> {
        Some(match self {
            Self::Refused => "commit refused before it took effect",
            Self::NotDone => "commit lost before it took effect",
            Self::Done => "commit done, its acknowledgement lost",
            Self::DoneLater => "commit done late, its acknowledgement lost",
            Self::CrashBefore | Self::CrashAfter => return None,
        })
    }
}

/// One commit of a world that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Counted from 0; heartbeats do not count.
    pub(crate) commit: u64,
    pub(crate) way: Way,
}

/// The faults of a world as it goes on.
pub(crate) struct Faults {
    pub(crate) rates: Rates,
    cut: Option<Cut>,
    commits: u64,
}

impl Faults {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self { rates: setup.rates.clone(), cut: setup.cut, commits: 0 }
    }

    /// From now on nothing breaks.
    pub(crate) fn calm(&mut self) {
        self.rates = Rates::default();
    }

    /// How many commits were tried.
    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    /// How this commit goes wrong, if it does.
    pub(crate) fn commit(&mut self, label: &str, random: &mut Random) -> Option<Way> {
        let this = self.commits;
        if label != "nodes.beat" {
            self.commits += 1;
            if let Some(cut) = self.cut.take_if(|cut| cut.commit == this) {
                return Some(cut.way);
            }
        }
        if random.per_mille(self.rates.refused) {
            return Some(Way::Refused);
        }
        if random.per_mille(self.rates.doubt) {
            return random.pick(&[Way::NotDone, Way::Done, Way::DoneLater]);
        }
        None
    }
}
