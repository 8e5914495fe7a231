//! Through an HTTP proxy.

use freehold_gateway::transport::PoolSettings;
use freehold_types::{Secret, TransportFault};

use crate::peer::{LONG, Peer, read, request, send, transport, whole};

fn through(peer: &Peer, user: &str) -> PoolSettings {
    let proxy = Some(Secret::new(format!("http://{user}{}", peer.address)));
    PoolSettings { proxy, ..PoolSettings::default() }
}

#[tokio::test]
async fn http_goes_in_absolute_form_with_the_proxys_password() {
    let mut proxy = Peer::answering("hello").await;
    let transport = transport(through(&proxy, "user:p%40ss@"));
    let url = "http://models.test:8000/v1/x?y=1";
    let response = send(&transport, request(url)).await.unwrap();
    assert_eq!(read(response).await.unwrap(), "hello");
    let head = proxy.head().await;
    assert!(head.starts_with("POST http://models.test:8000/v1/x?y=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: models.test:8000\r\n"), "{head}");
    // "user:p@ss"
    assert!(head.contains("proxy-authorization: Basic dXNlcjpwQHNz\r\n"), "{head}");
}

#[tokio::test]
async fn https_goes_through_a_tunnel_and_the_password_to_the_proxy_alone() {
    let mut proxy = Peer::new(&["HTTP/1.1 200 Connection established\r\n\r\n"], LONG).await;
    let mut settings = through(&proxy, "user:p%40ss@");
    settings.connect = Some(std::time::Duration::from_millis(500));
    // The tunnel leads nowhere: what counts is how it was asked for.
    send(&transport(settings), request("https://models.test/v1/x")).await.err().unwrap();
    let head = proxy.head().await;
    assert!(head.starts_with("CONNECT models.test:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwQHNz\r\n"), "{head}");
}

#[tokio::test]
async fn a_proxy_that_refuses_the_tunnel_is_a_failed_connection() {
    let proxy = Peer::new(&["HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"], LONG).await;
    let asked = request("https://models.test/v1/x");
    let error = send(&transport(through(&proxy, "u:secret@")), asked).await.err().unwrap();
    assert_eq!(error.fault, TransportFault::Connect);
    assert!(error.message.contains("407") && !error.message.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_proxys_endless_head_is_cut_off() {
    let endless = "x".repeat(20_000);
    let proxy = Peer::new(&[&endless], LONG).await;
    let asked = request("https://models.test/v1/x");
    let error = send(&transport(through(&proxy, "")), asked).await.err().unwrap();
    assert!(error.message.contains("endless"), "{error}");
}

#[tokio::test]
async fn without_a_password_none_is_sent() {
    let mut proxy = Peer::new(&[&whole("x")], LONG).await;
    let response = send(&transport(through(&proxy, "")), request("http://a.test/")).await.unwrap();
    assert_eq!(read(response).await.unwrap(), "x");
    assert!(!proxy.head().await.contains("proxy-authorization"));
}
