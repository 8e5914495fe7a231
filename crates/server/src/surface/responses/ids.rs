//! The ids of this surface: each says where in which session it is, so that
//! no table maps them and they stay the same wherever they are seen.
//!
//! Whatever is no such id, or one of somebody else's, is not found: nobody
//! learns from an answer what exists.

use std::fmt;
use std::str::FromStr;

use freehold_types::{ApprovalId, Offset, SessionId};

/// Text that is no id of this surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoId;

/// A response: the session, and the input that it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseId {
    /// The session.
    pub(crate) session: SessionId,
    /// The input.
    pub(crate) begin: Offset,
}

/// A conversation: a session under this surface's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConversationId(pub(crate) SessionId);

/// An item: the session, the event that holds it or began it, and its number
/// there. The prefix says its kind and is not part of where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ItemId {
    /// The session.
    pub(crate) session: SessionId,
    /// The event.
    pub(crate) at: Offset,
    /// Its number there.
    pub(crate) slot: u16,
}

const HEX: usize = 16;
const SESSION: usize = 32;

/// What stands in the id of everything at an event, after the prefix.
pub(crate) fn stem(session: SessionId, at: Offset) -> String {
    format!("{}{:016x}", digits(&session.to_string()), at.0)
}

/// What stands in the id of an item, after the prefix.
pub(crate) fn item_stem(session: SessionId, at: Offset, slot: usize) -> String {
    format!("{}{slot:04x}", stem(session, at))
}

/// The id of a question to the client.
pub(crate) fn of_approval(approval: ApprovalId) -> String {
    format!("mcpr_{}", digits(&approval.to_string()))
}

/// The question that an id names.
pub(crate) fn approval(text: &str) -> Result<ApprovalId, NoId> {
    let digits = text.strip_prefix("mcpr_").ok_or(NoId)?;
    format!("{}{digits}", ApprovalId::PREFIX).parse().map_err(|_| NoId)
}

impl fmt::Display for ResponseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resp_{}", stem(self.session, self.begin))
    }
}

impl FromStr for ResponseId {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        let (session, rest) = place(text.strip_prefix("resp_").ok_or(NoId)?)?;
        Ok(Self { session, begin: offset(rest)? })
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conv_{}", digits(&self.0.to_string()))
    }
}

impl FromStr for ConversationId {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        let (session, rest) = place(text.strip_prefix("conv_").ok_or(NoId)?)?;
        if rest.is_empty() { Ok(Self(session)) } else { Err(NoId) }
    }
}

impl FromStr for ItemId {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        let (prefix, digits) = text.split_once('_').ok_or(NoId)?;
        let named = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_lowercase());
        let (session, rest) = place(digits)?;
        let (at, slot) = rest.split_at_checked(HEX).ok_or(NoId)?;
        if !named || slot.len() != 4 {
            return Err(NoId);
        }
        let slot = u16::try_from(hex(slot)?).map_err(|_| NoId)?;
        Ok(Self { session, at: offset(at)?, slot })
    }
}

fn digits(id: &str) -> &str {
    id.split_once('_').map_or(id, |(_, digits)| digits)
}

/// The session that some digits begin with, and the rest of them.
fn place(text: &str) -> Result<(SessionId, &str), NoId> {
    let (session, rest) = text.split_at_checked(SESSION).ok_or(NoId)?;
    let session = format!("{}{session}", SessionId::PREFIX).parse().map_err(|_| NoId)?;
    Ok((session, rest))
}

fn offset(text: &str) -> Result<Offset, NoId> {
    if text.len() != HEX {
        return Err(NoId);
    }
    match hex(text)? {
        0 => Err(NoId),
        at => Ok(Offset(at)),
    }
}

/// One id has one text: lower-case digits and nothing else.
fn hex(text: &str) -> Result<u64, NoId> {
    if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(NoId);
    }
    u64::from_str_radix(text, 16).map_err(|_| NoId)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "0190163d81167a0ebf1f2a5b3c4d5e6f";

    fn session() -> SessionId {
        format!("sess_{DIGITS}").parse().unwrap()
    }

    #[test]
    fn an_id_says_where_it_is() {
        let id = ResponseId { session: session(), begin: Offset(2) };
        assert_eq!(id.to_string(), format!("resp_{DIGITS}0000000000000002"));
        assert_eq!(id.to_string().parse(), Ok(id));
        let conversation = ConversationId(session());
        assert_eq!(conversation.to_string().parse(), Ok(conversation));
        let item = format!("msg_{}", item_stem(session(), Offset(5), 3));
        assert!(item.len() <= 64, "{item}");
        assert_eq!(item.parse(), Ok(ItemId { session: session(), at: Offset(5), slot: 3 }));
        let asked: ApprovalId = format!("appr_{DIGITS}").parse().unwrap();
        assert_eq!(approval(&of_approval(asked)), Ok(asked));
    }

    #[test]
    fn whatever_else_is_no_id() {
        for text in [
            "",
            "resp_",
            "resp_é",
            &format!("resp_{DIGITS}"),
            &format!("resp_{DIGITS}0000000000000000"),
            &format!("resp_{DIGITS}000000000000000G"),
            &format!("resp_{DIGITS}+000000000000002"),
            &format!("resp_{}0000000000000002", DIGITS.to_uppercase()),
            &format!("resp_{DIGITS}00000000000000020"),
            &format!("conv_{DIGITS}0000000000000002"),
        ] {
            assert_eq!(text.parse::<ResponseId>(), Err(NoId), "{text}");
        }
        assert_eq!(format!("conv_{DIGITS}0").parse::<ConversationId>(), Err(NoId));
        for text in ["msg_", "1_0", &format!("MSG_{DIGITS}00000000000000050003")] {
            assert_eq!(text.parse::<ItemId>(), Err(NoId), "{text}");
        }
    }
}
