//! Seals of one dialect carried through another.
//!
//! A provider that thinks gives a proof of its thinking, or the thinking
//! encrypted, and wants it back unchanged on the next turn. Where the client
//! speaks another dialect, that dialect's own opaque field (`signature`,
//! `encrypted_content`) carries the foreign seal in an envelope, so that the
//! client returns it without knowing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::model::{Dialect, Seal};

const MARK: &str = "fh1";

/// A seal as the opaque string of `carrier`'s dialect: its own seals as they
/// are, others in an envelope.
pub fn carry(seal: &Seal, carrier: Dialect) -> String {
    if seal.dialect == carrier {
        return seal.data.clone();
    }
    let kind = if seal.hides { "h" } else { "s" };
    let id = URL_SAFE_NO_PAD.encode(seal.item_id.as_deref().unwrap_or(""));
    format!("{MARK}.{}.{kind}.{id}.{}", seal.dialect.word(), seal.data)
}

/// The seal in an opaque string that came in `carrier`'s dialect: out of its
/// envelope if it has one, else the carrier's own.
pub fn read(data: &str, carrier: Dialect, hides: bool, item_id: Option<&str>) -> Seal {
    open(data).unwrap_or_else(|| Seal {
        dialect: carrier,
        hides,
        data: data.to_owned(),
        item_id: item_id.map(str::to_owned),
    })
}

fn open(data: &str) -> Option<Seal> {
    let mut fields = data.splitn(5, '.');
    if fields.next()? != MARK {
        return None;
    }
    let dialect = Dialect::from_word(fields.next()?)?;
    let hides = match fields.next()? {
        "h" => true,
        "s" => false,
        _ => return None,
    };
    let id = String::from_utf8(URL_SAFE_NO_PAD.decode(fields.next()?).ok()?).ok()?;
    let item_id = Some(id).filter(|id| !id.is_empty());
    Some(Seal { dialect, hides, data: fields.next()?.to_owned(), item_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_seal_comes_back_whole() {
        let seal = Seal {
            dialect: Dialect::Responses,
            hides: true,
            data: "gAAAA.b==".into(),
            item_id: Some("rs_1".into()),
        };
        let carried = carry(&seal, Dialect::Messages);
        assert_eq!(read(&carried, Dialect::Messages, false, None), seal);
        assert_eq!(carry(&seal, Dialect::Responses), "gAAAA.b==");
    }

    #[test]
    fn what_is_no_envelope_is_the_carriers_own() {
        let seal = read("fh1.responses.x", Dialect::Messages, false, None);
        assert_eq!((seal.dialect, seal.data.as_str()), (Dialect::Messages, "fh1.responses.x"));
    }
}
