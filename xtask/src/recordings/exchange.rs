//! One recorded exchange, whatever tool recorded it.

use std::io::Read as _;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::yaml::Tree;

/// The most bytes that a packed body may unpack to.
const UNPACKED_LIMIT: u64 = 64 << 20;

/// A request and its answer, as they were on the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange {
    /// The method; empty where the recording has no request.
    pub(crate) method: String,
    /// The whole address, or a word for the wire format where the recording
    /// has no request.
    pub(crate) url: String,
    /// 200 where the recording does not say.
    pub(crate) status: u16,
    /// The answer's `content-type`, in lower case; may be empty.
    pub(crate) content_type: String,
    /// The request's body.
    pub(crate) request: Option<Vec<u8>>,
    /// The answer's body.
    pub(crate) answer: Vec<u8>,
}

impl Exchange {
    /// True if the answer is a stream of server-sent events.
    pub(crate) fn is_sse(&self) -> bool {
        if !self.content_type.is_empty() {
            return self.content_type.starts_with("text/event-stream");
        }
        let start = self.answer.trim_ascii_start();
        [&b"data:"[..], b"event:", b":"].iter().any(|mark| start.starts_with(mark))
    }

    /// The path of the address, without host and query.
    pub(crate) fn path(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        });
        rest.split(['?', '#']).next().unwrap_or(rest)
    }
}

/// The exchanges of a cassette: VCR.py's form, with the bodies as text, as
/// bytes or (`parsed_body`) as a tree; Ruby's and Go's forms differ only in
/// names.
pub(crate) fn of_cassette(cassette: &Tree) -> Result<Vec<Result<Exchange>>> {
    let list = cassette.get("interactions").or_else(|| cassette.get("http_interactions"));
    let Some(list) = list else { bail!("no list of interactions") };
    Ok(list.items().iter().map(of_interaction).collect())
}

fn of_interaction(interaction: &Tree) -> Result<Exchange> {
    let (Some(request), Some(response)) = (interaction.get("request"), interaction.get("response"))
    else {
        bail!("an interaction without request or response");
    };
    let text = |tree: &Tree, names: [&str; 2]| {
        names.iter().find_map(|n| tree.get(n)?.as_text()).unwrap_or_default().to_owned()
    };
    let request_body = body(request)?.unwrap_or_default();
    Ok(Exchange {
        method: text(request, ["method", "verb"]).to_uppercase(),
        url: text(request, ["uri", "url"]),
        status: status(response),
        content_type: header(response, "content-type").to_lowercase(),
        request: Some(request_body).filter(|body| !body.is_empty()),
        answer: body(response)?.unwrap_or_default(),
    })
}

fn status(response: &Tree) -> u16 {
    let status = response.get("status").or_else(|| response.get("code"));
    let code = match status {
        Some(Tree::Number(n)) => n.as_u64(),
        Some(map) => match map.get("code") {
            Some(Tree::Number(n)) => n.as_u64(),
            _ => None,
        },
        None => None,
    };
    code.and_then(|code| u16::try_from(code).ok()).unwrap_or(200)
}

fn header(side: &Tree, name: &str) -> String {
    let Some(Tree::Map(headers)) = side.get("headers") else { return String::new() };
    let value = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v);
    let value = value.map(|v| v.items().first().unwrap_or(v));
    value.and_then(Tree::as_text).unwrap_or_default().to_owned()
}

fn body(side: &Tree) -> Result<Option<Vec<u8>>> {
    if let Some(parsed) = side.get("parsed_body") {
        return Ok(Some(serde_json::to_vec(&parsed.to_json())?));
    }
    let stored = match side.get("body") {
        Some(tree @ Tree::Map(_)) => match tree.get("string").or_else(|| tree.get("base64_string"))
        {
            Some(inner) => inner,
            None => return Ok(Some(serde_json::to_vec(&tree.to_json())?)),
        },
        Some(other) => other,
        None => return Ok(None),
    };
    match stored {
        Tree::Text(text) => Ok(Some(text.clone().into_bytes())),
        Tree::Bytes(bytes) => unpack(bytes).map(Some),
        Tree::Null => Ok(None),
        _ => bail!("a body of an unknown form"),
    }
}

/// Undoes gzip, by the bytes themselves: recorders keep the header also where
/// they stored the body unpacked.
fn unpack(bytes: &[u8]) -> Result<Vec<u8>> {
    if !bytes.starts_with(b"\x1f\x8b") {
        return Ok(bytes.to_vec());
    }
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).take(UNPACKED_LIMIT + 1).read_to_end(&mut out)?;
    if out.len() as u64 > UNPACKED_LIMIT {
        bail!("a packed body is larger than {UNPACKED_LIMIT} bytes");
    }
    Ok(out)
}

/// A fixture that is only an answer: one JSON document.
pub(crate) fn of_json(text: &str, format: &str) -> Exchange {
    Exchange {
        url: format.to_owned(),
        status: 200,
        content_type: "application/json".to_owned(),
        answer: text.as_bytes().to_vec(),
        ..Exchange::default()
    }
}

/// A fixture that is only a stream: one event's data a line. The event's
/// name, where its wire format has one, is the data's `type`.
pub(crate) fn of_chunks(text: &str, format: &str) -> Result<Exchange> {
    let mut answer = Vec::new();
    let mut named = false;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let value: Value = serde_json::from_str(line).context("a line is not JSON")?;
        let name = value.get("type").and_then(Value::as_str).map(str::to_owned);
        named = name.is_some();
        let name = name.unwrap_or_default();
        freehold_llm::sse::write_frame(&name, line.trim().as_bytes(), &mut answer);
    }
    if !named {
        freehold_llm::sse::write_frame("", b"[DONE]", &mut answer);
    }
    Ok(stream(answer, format))
}

/// A fixture that is only a stream, as it was on the wire.
pub(crate) fn of_sse(text: &str, format: &str) -> Exchange {
    stream(text.as_bytes().to_vec(), format)
}

fn stream(answer: Vec<u8>, format: &str) -> Exchange {
    Exchange {
        url: format.to_owned(),
        status: 200,
        content_type: "text/event-stream".to_owned(),
        answer,
        ..Exchange::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recordings::yaml;

    fn one(text: &str) -> Exchange {
        of_cassette(&yaml::read(text).unwrap()).unwrap().pop().unwrap().unwrap()
    }

    #[test]
    fn the_forms_of_cassettes() {
        let vcr = one(
            "interactions:\n- request:\n    body: '{}'\n    method: POST\n    uri: https://h/v1/x?y=1\n  response:\n    body:\n      string: hi\n    headers:\n      Content-Type:\n      - text/event-stream; charset=utf-8\n    status: {code: 404, message: no}\n",
        );
        assert_eq!((vcr.path(), vcr.status, vcr.is_sse()), ("/v1/x", 404, true));
        assert_eq!((vcr.request.as_deref(), vcr.answer.as_slice()), (Some(&b"{}"[..]), &b"hi"[..]));
        let parsed = one(
            "interactions:\n- request:\n    parsed_body: {a: 1}\n    uri: https://h\n  response:\n    parsed_body: [1]\n    status: {code: 200}\n",
        );
        assert_eq!((parsed.path(), parsed.answer.as_slice()), ("/", &b"[1]"[..]));
        assert_eq!(parsed.request.as_deref(), Some(&b"{\"a\":1}"[..]));
        let go = one(
            "interactions:\n- request: {url: 'http://h/p', method: post, body: ''}\n  response: {code: 201, body: x}\n",
        );
        assert_eq!((go.method.as_str(), go.status, go.request), ("POST", 201, None));
    }

    #[test]
    fn lines_become_events() {
        let chat = of_chunks("{\"object\":\"c\"}\n\n", "chat").unwrap();
        assert_eq!(chat.answer, b"data: {\"object\":\"c\"}\n\ndata: [DONE]\n\n");
        let typed = of_chunks("{\"type\":\"ping\"}", "messages").unwrap();
        assert_eq!(typed.answer, b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
    }

    #[test]
    fn a_bomb_is_refused() {
        use std::io::Write as _;
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for _ in 0..=UNPACKED_LIMIT >> 20 {
            gz.write_all(&vec![0; 1 << 20]).unwrap();
        }
        assert!(unpack(&gz.finish().unwrap()).is_err());
    }
}
