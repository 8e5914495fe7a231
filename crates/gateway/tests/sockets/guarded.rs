//! Untrusted addresses.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use freehold_gateway::transport::HttpTransport;
use freehold_gateway::transport::guard::{Guard, Network};
use freehold_gateway::transport::resolve::Resolver;
use freehold_types::{BoxFuture, Target, TransportFault, WireRequest};

use crate::peer::{Peer, read, request, send, whole};

fn untrusted(url: &str) -> WireRequest {
    WireRequest { target: Target::Untrusted, pool: None, ..request(url) }
}

fn guard(allow: &[&str], allow_http: bool) -> HttpTransport {
    let allow = allow.iter().map(|n| Network::parse(n).unwrap()).collect();
    HttpTransport::new(1, Guard { allow, allow_http })
}

async fn refused(transport: &HttpTransport, url: &str) {
    let error = send(transport, untrusted(url)).await.err().unwrap();
    assert_eq!(error.fault, TransportFault::Refused, "{url}: {error}");
}

#[tokio::test]
async fn this_machine_is_not_reached_under_any_name() {
    let peer = Peer::answering("inner").await;
    let port = peer.address.port();
    let transport = guard(&[], true);
    for host in [
        "127.0.0.1",
        "127.1.2.3",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        // As some resolvers read them.
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
    ] {
        let asked = untrusted(&format!("http://{host}:{port}/"));
        let error = send(&transport, asked).await.err().unwrap();
        assert!(
            matches!(error.fault, TransportFault::Refused | TransportFault::Connect),
            "{host}: {error}"
        );
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn no_special_range_is_reached() {
    let transport = guard(&[], true);
    for host in [
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::10.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::1]",
        "[100::1]",
        "[2001::1]",
        "[2001:db8::1]",
        "[2002:a9fe:a9fe::]",
        "[3fff::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
    ] {
        refused(&transport, &format!("http://{host}/")).await;
        refused(&transport, &format!("https://{host}/")).await;
    }
}

#[tokio::test]
async fn forms_that_are_never_fetched() {
    let peer = Peer::answering("inner").await;
    let port = peer.address.port();
    let loopback = ["127.0.0.0/8"];
    refused(&guard(&loopback, false), &format!("http://127.0.0.1:{port}/")).await;
    refused(&guard(&loopback, true), &format!("http://u:p@127.0.0.1:{port}/")).await;
    assert_eq!(peer.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_listed_is_reached_and_no_connection_is_kept() {
    let mut peer = Peer::answering("inner").await;
    let transport = guard(&["127.0.0.1"], true);
    for n in 1..=2 {
        let response = send(&transport, untrusted(&peer.url())).await.unwrap();
        assert_eq!(read(response).await.unwrap(), "inner");
        peer.head().await;
        assert_eq!(peer.connections.load(Ordering::SeqCst), n);
    }
    refused(&transport, "http://127.0.0.2:1/").await;
}

/// Answers each look-up with the next list of addresses.
struct Scripted {
    answers: Mutex<VecDeque<Vec<SocketAddr>>>,
    asked: AtomicUsize,
}

impl Resolver for Scripted {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        _: u16,
    ) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
        assert_eq!(host, "rebinding.test");
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.lock().unwrap().pop_front().unwrap();
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// 127.0.0.2 is let through and stands for a public address; 127.0.0.1 is
/// inside.
fn rebinding(answers: &[&[SocketAddr]]) -> (HttpTransport, Arc<Scripted>) {
    let answers = Mutex::new(answers.iter().map(|a| a.to_vec()).collect());
    let resolver = Arc::new(Scripted { answers, asked: AtomicUsize::new(0) });
    let guard = Guard { allow: vec![Network::parse("127.0.0.2").unwrap()], allow_http: true };
    (HttpTransport::with_resolver(1, guard, resolver.clone()), resolver)
}

#[tokio::test]
async fn a_name_that_leads_inside_the_second_time_does_not_get_there() {
    let outer = Peer::at("127.0.0.2:0", &[&whole("outer")], std::time::Duration::ZERO).await;
    let inner = Peer::at(
        &format!("127.0.0.1:{}", outer.address.port()),
        &[&whole("inner")],
        std::time::Duration::ZERO,
    )
    .await;
    let url = format!("http://rebinding.test:{}/", outer.address.port());
    let (transport, resolver) =
        rebinding(&[&[outer.address], &[inner.address], &[outer.address, inner.address]]);
    // The connection goes to the address that was checked: there is no second
    // look-up that could answer otherwise.
    let response = send(&transport, untrusted(&url)).await.unwrap();
    assert_eq!(read(response).await.unwrap(), "outer");
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
    // The next request looks again and is checked again.
    refused(&transport, &url).await;
    // One address of several is enough.
    refused(&transport, &url).await;
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 3);
    assert_eq!(inner.connections.load(Ordering::SeqCst), 0);
    assert_eq!(outer.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_redirect_is_handed_back_and_not_followed() {
    let target = Peer::answering("inner").await;
    let moved =
        format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", target.url());
    let peer = Peer::new(&[&moved], std::time::Duration::ZERO).await;
    let transport = Arc::new(guard(&["127.0.0.1"], true));
    let response = send(&transport, untrusted(&peer.url())).await.unwrap();
    assert_eq!(response.status, 302);
    assert_eq!(target.connections.load(Ordering::SeqCst), 0);
}
