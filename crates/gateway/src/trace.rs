//! The trace that a request belongs to, as the W3C's Trace Context writes it
//! (`traceparent` and `tracestate`). What is not well-formed is no context and
//! goes no further.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The most of a `tracestate` that goes on, in bytes and members.
const STATE_BYTES_MAX: usize = 512;
const STATE_MEMBERS_MAX: usize = 32;

/// One span of a trace: what a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace; not 0.
    pub trace: u128,
    /// The span; not 0.
    pub span: u64,
    /// Flags; the lowest bit is "sampled".
    pub flags: u8,
}

impl Span {
    /// Reads a `traceparent`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, length: usize| {
            let plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            text.len() == length && text.bytes().all(plain)
        };
        let well = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
        // A later version may have more to say, this one has not.
        if !well || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let span = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (span.trace != 0 && span.span != 0).then_some(span)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags } = self;
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

/// A request's place in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The span that providers hear of.
    pub span: Span,
    /// The client's, if `span` is one of our own below it.
    pub parent: Option<Span>,
    /// What tracing systems say to each other.
    state: Option<HeaderValue>,
}

impl Trace {
    /// The client's own context, which goes on as it is.
    pub fn of_client(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let span = Span::parse(given.next()?.to_str().ok()?)?;
        // Two are none.
        given.next().is_none().then(|| Self { span, parent: None, state: state(headers) })
    }

    /// The same request with a span of our own below the client's.
    #[must_use]
    pub fn below(client: Option<Self>, own: Span) -> Self {
        let (parent, state) = client.map_or((None, None), |c| (Some(c.span), c.state));
        Self { span: own, parent, state }
    }

    /// Writes it into a request's headers.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.span.to_string()) {
            headers.insert(TRACEPARENT, value);
            if let Some(state) = &self.state {
                headers.insert(TRACESTATE, state.clone());
            }
        }
    }
}

/// The client's `tracestate`, several headers joined; `None` if any of it is
/// not well-formed, as it then says nothing.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut joined = String::new();
    for value in headers.get_all(TRACESTATE) {
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(value.to_str().ok()?);
        if joined.len() > STATE_BYTES_MAX {
            return None;
        }
    }
    let members = joined.split(',').map(str::trim).filter(|member| !member.is_empty());
    let count = members.clone().count();
    let well = (1..=STATE_MEMBERS_MAX).contains(&count) && members.clone().all(is_member);
    if well { HeaderValue::from_str(&joined).ok() } else { None }
}

/// `key=value`, `tenant@system=value`.
fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let of_key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(&b);
    let begins = key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let of_value = |b: u8| matches!(b, b' '..=b'~') && b != b'=';
    begins
        && key.len() <= 256
        && key.bytes().all(of_key)
        && (1..=256).contains(&value.len())
        && value.bytes().all(of_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn sent(given: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let mut out = HeaderMap::new();
        if let Some(trace) = Trace::of_client(&headers) {
            trace.write(&mut out);
        }
        out
    }

    #[test]
    fn a_whole_context_goes_on() {
        let out =
            sent(&[("traceparent", GOOD), ("tracestate", "a=1"), ("tracestate", "t@b=2,c=x")]);
        assert_eq!(
            (&out["traceparent"], &out["tracestate"]),
            (&GOOD.parse().unwrap(), &"a=1,t@b=2,c=x".parse().unwrap())
        );
        // What a later version adds is not ours to say.
        let later = GOOD.replacen("00", "01", 1) + "-more";
        assert_eq!(sent(&[("traceparent", &later)])["traceparent"], GOOD);
    }

    #[test]
    fn what_is_no_context_goes_nowhere() {
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-\u{e4}f7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(sent(&[("traceparent", wrong), ("tracestate", "a=1")]).is_empty(), "{wrong}");
        }
        assert!(sent(&[("traceparent", GOOD), ("traceparent", GOOD)]).is_empty(), "two are none");
        assert!(sent(&[("tracestate", "a=1")]).is_empty());
        let many = ["a=1"; 33].join(",");
        let long = format!("a={}", "x".repeat(300));
        for wrong in ["a", "=1", "A=1", "a=", "a=1=2", "a=\u{e4}", &many, &long] {
            let out = sent(&[("traceparent", GOOD), ("tracestate", wrong)]);
            assert_eq!((out.len(), &out["traceparent"]), (1, &GOOD.parse().unwrap()), "{wrong}");
        }
    }

    #[test]
    fn a_span_of_our_own_keeps_the_clients_state_and_names_its_parent() {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", GOOD.parse().unwrap());
        headers.insert("tracestate", "a=1".parse().unwrap());
        let client = Trace::of_client(&headers);
        let own = Span { span: 7, ..client.as_ref().unwrap().span };
        let trace = Trace::below(client.clone(), own);
        assert_eq!(trace.parent, client.map(|c| c.span));
        let mut out = HeaderMap::new();
        trace.write(&mut out);
        assert_eq!(out["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01");
        assert_eq!(out["tracestate"], "a=1");
    }
}
