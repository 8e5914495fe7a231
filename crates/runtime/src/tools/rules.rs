//! From what is said of a tool to the rules that `decide` goes by.
//!
//! Who says what: a server's annotations or the HTTP method are the default,
//! the owner's configuration stands over them, and what a client asks for can
//! only add a question. Annotations of a server that a client named are a
//! stranger's and count for nothing but caution.

use serde::Serialize;

use super::options::{ApprovalOptions, RuleOptions};
use crate::canonical::canonical;
use crate::decide::ToolRules;
use crate::event::{Hash, Name, Place, RetryRule};

/// What is said of a tool by whoever offers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// It changes nothing.
    pub(super) read_only: bool,
    /// The same call twice has one effect.
    pub(super) idempotent: bool,
    /// It may destroy something.
    pub(super) destructive: bool,
}

impl Hints {
    /// Of a stranger: only what makes us more careful is believed.
    pub(super) fn of_stranger(self) -> Self {
        Self { read_only: false, idempotent: false, destructive: self.destructive }
    }
}

/// How often a call that may be repeated is started by default.
const ATTEMPTS: u32 = 3;

/// The rules of a tool that a worker performs. `about` is all else that they
/// are made of: where the tool is, under whose name it is called.
pub(super) fn of_worker(
    version: Name,
    hints: Hints,
    options: &RuleOptions,
    about: &impl Serialize,
) -> ToolRules {
    let retry = options.retry.map_or_else(
        || {
            if hints.read_only || hints.idempotent {
                RetryRule::Idempotent
            } else if options.query.is_some() {
                RetryRule::QueryByKey
            } else {
                RetryRule::TellUnknown
            }
        },
        RetryRule::from,
    );
    let usual = match retry {
        RetryRule::Idempotent | RetryRule::QueryByKey => ATTEMPTS,
        RetryRule::AskHuman | RetryRule::TellUnknown => 1,
    };
    let careful = hints.destructive && !hints.read_only;
    let approval = match &options.approval {
        Some(approval) => approval.rule(),
        None if careful => ApprovalOptions::usual().rule(),
        None => None,
    };
    hashed(
        ToolRules {
            version,
            hash: Hash::of(b""),
            place: Place::Worker,
            forbidden: options.forbidden.unwrap_or(false),
            approval,
            retry,
            attempts_max: options.attempts_max.unwrap_or(usual),
            timeout_ms: options.timeout_ms(),
        },
        options,
        about,
    )
}

/// The rules of a tool that waits for somebody: the client or a person, who
/// take what time they need.
pub(super) fn of_waiting(
    version: Name,
    place: Place,
    options: &RuleOptions,
    about: &impl Serialize,
) -> ToolRules {
    hashed(
        ToolRules {
            version,
            hash: Hash::of(b""),
            place,
            forbidden: options.forbidden.unwrap_or(false),
            approval: options.approval.as_ref().and_then(ApprovalOptions::rule),
            retry: RetryRule::TellUnknown,
            attempts_max: 1,
            timeout_ms: 0,
        },
        options,
        about,
    )
}

/// Sets the hash: of the rules, of where they come from, and of what the tool
/// is.
pub(super) fn hashed(rules: ToolRules, options: &RuleOptions, about: &impl Serialize) -> ToolRules {
    let about = serde_json::to_string(about).unwrap_or_default();
    let about = canonical(&about).unwrap_or(about);
    let said = format!("{rules:?}\n{options:?}\n{about}");
    ToolRules { hash: Hash::of(said.as_bytes()), ..rules }
}

/// The version of a tool: a piece of the hash of all that is said of it, so
/// that one that changed is another one.
pub(super) fn version(described: &impl Serialize) -> Name {
    let text = serde_json::to_string(described).unwrap_or_default();
    let text = canonical(&text).unwrap_or(text);
    let hash: String = Hash::of(text.as_bytes()).to_string().chars().take(32).collect();
    Name::cut(&hash)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Deciders;
    use crate::tools::options::{QueryOptions, Retry};

    fn rules(hints: Hints, options: &RuleOptions) -> ToolRules {
        of_worker(Name::cut("1"), hints, options, &"there")
    }

    #[test]
    fn what_is_known_of_a_tool_decides_what_becomes_of_it_in_doubt() {
        let none = Hints::default();
        let reads = Hints { read_only: true, destructive: true, ..none };
        let same = Hints { idempotent: true, ..none };
        let breaks = Hints { destructive: true, ..none };
        for (hints, retry, attempts, asks) in [
            (none, RetryRule::TellUnknown, 1, false),
            (reads, RetryRule::Idempotent, 3, false),
            (same, RetryRule::Idempotent, 3, false),
            (breaks, RetryRule::TellUnknown, 1, true),
            (reads.of_stranger(), RetryRule::TellUnknown, 1, true),
            (same.of_stranger(), RetryRule::TellUnknown, 1, false),
        ] {
            let rules = rules(hints, &RuleOptions::default());
            let got = (rules.retry, rules.attempts_max, rules.approval.is_some());
            assert_eq!(got, (retry, attempts, asks), "{hints:?}");
        }
    }

    #[test]
    fn the_owner_s_word_stands_over_the_hints() {
        let query = QueryOptions { header: Some("x-key".into()), ..QueryOptions::default() };
        let options = RuleOptions {
            retry: Some(Retry::Ask),
            approval: Some(ApprovalOptions::Never),
            query: Some(query.clone()),
            ..RuleOptions::default()
        };
        let hints = Hints { idempotent: true, destructive: true, ..Hints::default() };
        let got = rules(hints, &options);
        assert_eq!((got.retry, got.approval), (RetryRule::AskHuman, None));
        let asked = RuleOptions { query: Some(query), ..RuleOptions::default() };
        let got = rules(Hints::default(), &asked);
        assert_eq!((got.retry, got.attempts_max), (RetryRule::QueryByKey, 3));
        let asked = RuleOptions {
            approval: Some(ApprovalOptions::Ask { by: Deciders::Anyone, hours: 2 }),
            ..RuleOptions::default()
        };
        let approval = rules(Hints::default(), &asked).approval.expect("it was asked for");
        assert_eq!(approval.expires_ms, 7_200_000);
    }

    #[test]
    fn whatever_changes_changes_the_hash() {
        let usual = rules(Hints::default(), &RuleOptions::default()).hash;
        assert_eq!(rules(Hints::default(), &RuleOptions::default()).hash, usual);
        let slower = RuleOptions { timeout_ms: Some(1), ..RuleOptions::default() };
        let keyed = RuleOptions { key_argument: Some("k".into()), ..RuleOptions::default() };
        for other in [
            rules(Hints { idempotent: true, ..Hints::default() }, &RuleOptions::default()),
            rules(Hints::default(), &slower),
            rules(Hints::default(), &keyed),
            of_worker(Name::cut("2"), Hints::default(), &RuleOptions::default(), &"there"),
            of_worker(Name::cut("1"), Hints::default(), &RuleOptions::default(), &"elsewhere"),
        ] {
            assert_ne!(other.hash, usual);
        }
        assert_eq!(version(&json!({ "a": 1, "b": 2 })), version(&json!({ "b": 2, "a": 1 })));
        assert_ne!(version(&json!({ "a": 1 })), version(&json!({ "a": 2 })));
    }
}
