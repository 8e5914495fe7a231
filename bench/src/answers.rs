//! What the mock upstream answers: as real providers do, at fixed sizes.

use bytes::Bytes;

/// Which dialect a path speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Chat Completions.
    Chat,
    /// Messages.
    Messages,
}

impl Api {
    /// The dialect of a path.
    pub fn of(path: &str) -> Option<Self> {
        if path.ends_with("/chat/completions") {
            Some(Self::Chat)
        } else if path.ends_with("/messages") {
            Some(Self::Messages)
        } else {
            None
        }
    }
}

const TEXT: &str = "The clerk counted the ledgers twice, closed the last of them and put out the \
lamp. Outside it had begun to snow on the freight yard, and a train that nobody expected stood \
under steam. She had until morning to find where the missing column had gone: a figure of seven \
digits, copied in a fair hand, that no invoice bore out. The night watchman knew something of it; \
he had seen a light in the annex. It would be a long walk, she thought, and wrote the sum on her \
cuff, so as not to forget it before the thing was settled.";

/// A whole answer of about 0.8 KB.
pub fn whole(api: Api) -> Bytes {
    let text = serde_json::Value::from(TEXT);
    Bytes::from(match api {
        Api::Chat => format!(
            r#"{{"id":"chatcmpl-b1","object":"chat.completion","created":1767225600,"model":"mock","choices":[{{"index":0,"message":{{"role":"assistant","content":{text},"refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":230,"completion_tokens":110,"total_tokens":340}}}}"#
        ),
        Api::Messages => format!(
            r#"{{"id":"msg_b1","type":"message","role":"assistant","model":"mock","content":[{{"type":"text","text":{text}}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":230,"output_tokens":110}}}}"#
        ),
    })
}

/// The beginning, one delta and the end of a streamed answer.
pub fn stream(api: Api) -> [Bytes; 3] {
    match api {
        Api::Chat => {
            let chunk = |delta: &str, reason: &str| {
                format!(
                    "data: {{\"id\":\"chatcmpl-b1\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"mock\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{reason}}}]}}\n\n"
                )
            };
            let usage = "data: {\"id\":\"chatcmpl-b1\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"mock\",\"choices\":[],\"usage\":{\"prompt_tokens\":230,\"completion_tokens\":50,\"total_tokens\":280}}\n\ndata: [DONE]\n\n";
            [
                chunk(r#"{"role":"assistant","content":""}"#, "null").into(),
                chunk(r#"{"content":"a dozen letters "}"#, "null").into(),
                (chunk("{}", "\"stop\"") + usage).into(),
            ]
        }
        Api::Messages => {
            let event = |name: &str, data: &str| format!("event: {name}\ndata: {data}\n\n");
            [
                (event("message_start", r#"{"type":"message_start","message":{"id":"msg_b1","type":"message","role":"assistant","model":"mock","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":230,"output_tokens":1}}}"#)
                    + &event("content_block_start", r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#)).into(),
                event("content_block_delta", r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a dozen letters "}}"#).into(),
                (event("content_block_stop", r#"{"type":"content_block_stop","index":0}"#)
                    + &event("message_delta", r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":50}}"#)
                    + &event("message_stop", r#"{"type":"message_stop"}"#)).into(),
            ]
        }
    }
}

/// A streamed answer that calls a tool.
pub fn calling() -> [Bytes; 3] {
    let [begin, _, end] = stream(Api::Chat);
    let call = "data: {\"id\":\"chatcmpl-b1\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_b1\",\"type\":\"function\",\"function\":{\"name\":\"look\",\"arguments\":\"{\\\"at\\\":\\\"the ledger\\\"}\"}}]},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
    let end = String::from_utf8_lossy(&end).replace("\"stop\"", "\"tool_calls\"");
    [begin, Bytes::from_static(call.as_bytes()), end.into()]
}

/// A request body whose prompt has about `bytes` bytes.
pub fn request(api: Api, model: &str, bytes: usize, stream: bool) -> String {
    let prompt = serde_json::Value::from(TEXT.chars().cycle().take(bytes).collect::<String>());
    let system = "You are a helpful assistant.";
    match api {
        Api::Chat => format!(
            r#"{{"model":"{model}","stream":{stream},"max_tokens":256,"messages":[{{"role":"system","content":"{system}"}},{{"role":"user","content":{prompt}}}]}}"#
        ),
        Api::Messages => format!(
            r#"{{"model":"{model}","stream":{stream},"max_tokens":256,"system":"{system}","messages":[{{"role":"user","content":{prompt}}}]}}"#
        ),
    }
}
