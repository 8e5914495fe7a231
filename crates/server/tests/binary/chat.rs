//! `freehold chat` through a server to an upstream that plays a recording.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::running::{Running, succeeds};

const ANSWER: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Good \"},\"finish_reason\":null}]}\n\n\
data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
\"choices\":[{\"index\":0,\"delta\":{\"content\":\"day.\"},\"finish_reason\":null}]}\n\n\
data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\
\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n\ndata: [DONE]\n\n";

/// Answers every request with the recording; gives its address.
fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut seen = Vec::new();
            let mut buf = [0; 4096];
            // The request's JSON ends with its last brace.
            while !seen.ends_with(b"}") {
                match stream.read(&mut buf) {
                    Ok(got) if got > 0 => seen.extend_from_slice(&buf[..got]),
                    _ => break,
                }
            }
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            let sent = stream.write_all(head.as_bytes());
            drop(sent.and_then(|()| stream.write_all(ANSWER.as_bytes())));
        }
    });
    address
}

#[test]
fn an_answer_is_shown_and_accounted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("freehold.toml");
    let upstream = upstream();
    let config = format!(
        "[providers.east]\nkind = \"compatible\"\nbase_url = \"http://{upstream}/v1\"\n\
         [routes.fast]\ndeployments = [{{ provider = \"east\", model = \"m\", \
         price = {{ input = \"1\", output = \"2\" }} }}]\n"
    );
    fs::write(&file, config).unwrap();
    let data = folder.path().join("data");
    let running = Running::start_with(&data, &["--config", file.to_str().unwrap()], &[]);
    let said = succeeds(&["chat", "--model", "fast", "Hello."], &data);
    assert_eq!(said, "Good day.\n");
    let benched = succeeds(&["bench", "-m", "fast", "-c", "2", "-s", "1", "--stream"], &data);
    assert!(benched.contains("requests/s") && benched.contains("failed      0"), "{benched}");
    assert!(
        running.get("/metrics", None).1.contains("freehold_http_responses_total{status=\"200\"}")
    );
    running.stop();
    // 3 tokens at 1 and 2 at 2 dollars a million, for each exchange.
    let usage = succeeds(&["usage", "--by", "route", "--json"], &data);
    let usage: serde_json::Value = serde_json::from_str(&usage).unwrap();
    let exchanges = usage[0]["exchanges"].as_u64().unwrap();
    assert!(exchanges > 1);
    assert_eq!(usage[0]["output_tokens"].as_u64(), Some(2 * exchanges));
    let cost: freehold_types::Money = usage[0]["cost"].as_str().unwrap().parse().unwrap();
    assert_eq!(cost.nanos(), 7_000 * i128::from(exchanges), "of {exchanges}");
}
