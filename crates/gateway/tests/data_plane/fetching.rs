//! Files that a request names by URL, fetched for a dialect that takes them
//! inline only.

use freehold_control::Limits;
use freehold_llm::Dialect;
use freehold_types::{Target, TransportFault};
use serde_json::json;

use crate::samples::answer;
use crate::script::{Act, Piece};
use crate::world::{Heard, PROVIDERS, World};

fn body(urls: &[&str]) -> String {
    let files = urls.iter().map(|url| json!({"type": "input_file", "file_url": url}));
    let content: Vec<_> = files.collect();
    json!({"model": "chat/m", "input": [{"role": "user", "content": content}]}).to_string()
}

async fn asked(world: &World, url: &str) -> Heard {
    world.ask(Dialect::Responses, body(&[url])).await
}

fn file(bytes: &'static str) -> Act {
    Act::Answer {
        status: 200,
        headers: vec![("content-type", "application/pdf; charset=x".to_owned())],
        body: vec![Piece::Data(bytes.into())],
    }
}

fn moved(to: &str) -> Act {
    Act::json(302, "").header("location", to)
}

async fn refused(world: &World, url: &str, told: &str) {
    let heard = asked(world, url).await;
    assert_eq!(heard.status, 400, "{}", heard.text());
    assert_eq!(heard.json()["error"]["code"], "url_not_fetched");
    assert!(heard.text().contains(told), "{told}: {}", heard.text());
    assert!(!heard.text().contains("token"), "{}", heard.text());
    assert!(world.wire.sent().iter().all(|s| s.pool.is_empty()), "it went on to the provider");
}

#[tokio::test]
async fn a_file_goes_inline_and_nothing_of_ours_to_its_host() {
    let world = World::new("").await;
    world.script("", moved("/there?b=2"));
    world.script("", moved("https://other.test/a.pdf"));
    world.script("", file("%PDF"));
    world.script("chat", Act::json(200, answer(Dialect::Chat)));
    let heard = asked(&world, "https://files.test/a.pdf?token=x").await;
    assert_eq!(heard.status, 200, "{}", heard.text());
    let sent = world.wire.sent();
    let uris: Vec<&str> = sent.iter().map(|s| s.uri.as_str()).collect();
    assert_eq!(
        uris[..3],
        [
            "https://files.test/a.pdf?token=x",
            "https://files.test/there?b=2",
            "https://other.test/a.pdf"
        ]
    );
    for hop in &sent[..3] {
        assert_eq!(hop.target, Target::Untrusted, "every hop is guarded");
        assert_eq!(hop.headers.len(), 1, "{:?}", hop.headers);
    }
    assert_eq!(sent[3].target, Target::Configured);
    let inline = "data:application/pdf;base64,JVBERg==";
    assert!(sent[3].text().contains(inline), "{}", sent[3].text());
    world.book().await;
}

#[tokio::test]
async fn what_may_not_be_fetched_is_told_to_the_client() {
    let world = World::new("").await;
    world.script("", Act::Fail(TransportFault::Refused));
    refused(&world, "https://10.0.0.1/a.pdf?token=x", "Refused").await;
    world.script("", moved("https://169.254.169.254/latest"));
    world.script("", Act::Fail(TransportFault::Refused));
    refused(&world, "https://files.test/a.pdf?token=x", "Refused").await;
    for _ in 0..5 {
        world.script("", moved("/again"));
    }
    refused(&world, "https://files.test/a.pdf?token=x", "redirects more than 3").await;
    let world = World::new("").await;
    for to in ["//inner.test/x", "x", ""] {
        world.script("", moved(to));
        refused(&world, "https://files.test/a.pdf?token=x", "redirects to no").await;
    }
    world.script("", Act::json(404, ""));
    refused(&world, "https://files.test/a.pdf?token=x", "404").await;
    world.books().await;
}

#[tokio::test]
async fn what_is_too_large_or_too_slow_is_cut_off() {
    let config = format!("{PROVIDERS}\n[gateway.fetch]\nbody_bytes_max = 4\ntimeout_ms = 500");
    let world = World::with(&config, Limits::default(), None).await;
    world.script("", file("%PDF").then(Piece::Data("x".into())).then(Piece::Hang));
    refused(&world, "https://files.test/a.pdf", "larger").await;
    world.script("", Act::Hang);
    refused(&world, "https://files.test/a.pdf", "did not answer within").await;
    world.script("", file("%P").then(Piece::Hang));
    refused(&world, "https://files.test/a.pdf", "did not answer within").await;
    assert_eq!(world.books().await.len(), 3);
}

#[tokio::test]
async fn a_request_has_no_more_than_a_few_urls() {
    let world = World::new("").await;
    for _ in 0..30 {
        world.script("", file("%PDF"));
    }
    let urls = ["https://files.test/a.pdf"; 21];
    let heard = world.ask(Dialect::Responses, body(&urls)).await;
    assert_eq!(heard.status, 400, "{}", heard.text());
    assert!(world.wire.sent().len() <= 20);
    world.book().await;
}
