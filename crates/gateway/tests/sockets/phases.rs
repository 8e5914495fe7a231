//! Each phase of an exchange, its limit, and the connection after it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use freehold_gateway::options::HttpVersion;
use freehold_gateway::transport::PoolSettings;
use freehold_types::{BodyError, Secret, Timeouts, Transport as _, TransportFault};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;

use crate::peer::{LONG, MS, Peer, read, request, send, timeouts, transport};

#[tokio::test]
async fn a_connection_is_used_again() {
    let mut peer = Peer::answering("hello").await;
    let transport = transport(PoolSettings::default());
    for _ in 0..3 {
        let response = send(&transport, request(&peer.url())).await.unwrap();
        assert_eq!(read(response).await.unwrap(), "hello");
        let head = peer.head().await;
        assert!(head.starts_with("POST /v1/x HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {}\r\n", peer.address)), "{head}");
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_port_that_nobody_listens_at_is_a_failed_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = send(&transport(PoolSettings::default()), request(&url)).await.err().unwrap();
    assert_eq!(error.fault, TransportFault::Connect);
}

#[tokio::test]
async fn a_handshake_that_hangs_is_cut_off() {
    let peer = Peer::new(&[], Duration::ZERO).await;
    let settings = PoolSettings { connect: Some(200 * MS), ..PoolSettings::default() };
    let url = format!("https://{}/", peer.address);
    let error = send(&transport(settings), request(&url)).await.err().unwrap();
    assert_eq!(error.fault, TransportFault::ConnectTimeout, "{error}");
}

#[tokio::test]
async fn a_head_that_never_comes_is_cut_off_and_the_connection_with_it() {
    let mut peer = Peer::new(&[], Duration::ZERO).await;
    let mut asked = request(&peer.url());
    asked.timeouts = Timeouts { connect: 100 * MS, headers: 100 * MS, ..timeouts() };
    let error = send(&transport(PoolSettings::default()), asked).await.err().unwrap();
    assert_eq!(error.fault, TransportFault::HeadersTimeout);
    tokio::time::timeout(LONG, peer.closed.recv()).await.unwrap();
}

#[tokio::test]
async fn the_limit_to_the_head_does_not_grow_by_the_limit_to_connect() {
    let peer = Peer::new(&[], Duration::ZERO).await;
    for body in ["", "{}"] {
        let mut asked = request(&peer.url());
        asked.body = body.into();
        asked.timeouts = Timeouts { connect: LONG, headers: 100 * MS, ..timeouts() };
        let transport = transport(PoolSettings::default());
        let cut = tokio::time::timeout(LONG / 2, transport.send(asked)).await.unwrap();
        assert_eq!(cut.err().unwrap().fault, TransportFault::HeadersTimeout);
    }
}

#[tokio::test]
async fn a_slow_connection_takes_nothing_from_the_time_to_the_head() {
    // The proxy opens its tunnel late; what is behind it answers at once.
    let opened = "HTTP/1.1 200 OK\r\n\r\n";
    let proxy = Peer::new(&["", opened, ""], 200 * MS).await;
    let settings = PoolSettings {
        proxy: Some(Secret::new(format!("http://{}", proxy.address))),
        connect: Some(300 * MS),
        ..PoolSettings::default()
    };
    let mut asked = request("https://models.test/");
    asked.timeouts = Timeouts { connect: 300 * MS, headers: 20 * MS, ..timeouts() };
    // Past the tunnel there is no TLS: what fails is the connection, and not
    // the head, for which no time has begun to run.
    let error = send(&transport(settings), asked).await.err().unwrap();
    assert!(
        matches!(error.fault, TransportFault::Connect | TransportFault::ConnectTimeout),
        "{error}"
    );
}

#[tokio::test]
async fn a_first_byte_that_never_comes_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
    let peer = Peer::new(&[head, "late"], LONG).await;
    let mut asked = request(&peer.url());
    asked.timeouts = Timeouts { first_byte: 100 * MS, ..timeouts() };
    let response = send(&transport(PoolSettings::default()), asked).await.unwrap();
    assert_eq!(read(response).await, Err(BodyError::Stalled(100 * MS)));
}

#[tokio::test]
async fn a_body_that_stalls_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
    let peer = Peer::new(&[head, "there"], LONG).await;
    let mut asked = request(&peer.url());
    asked.timeouts = Timeouts { idle: 100 * MS, ..timeouts() };
    let mut response = send(&transport(PoolSettings::default()), asked).await.unwrap();
    let first = response.body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&*first, b"hello");
    assert_eq!(read(response).await, Err(BodyError::Stalled(100 * MS)));
}

#[tokio::test]
async fn a_body_that_flows_slowly_is_not_cut_off() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\na";
    let peer = Peer::new(&[head, "b", "c", "d"], 150 * MS).await;
    let mut asked = request(&peer.url());
    asked.timeouts = Timeouts { first_byte: 400 * MS, idle: 400 * MS, ..timeouts() };
    let response = send(&transport(PoolSettings::default()), asked).await.unwrap();
    assert_eq!(read(response).await.unwrap(), "abcd");
}

#[tokio::test]
async fn a_body_that_is_cut_short_is_broken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let (mut tcp, _) = listener.accept().await.unwrap();
        crate::peer::read_head(&mut tcp).await;
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
        tcp.write_all(half).await.unwrap();
    });
    let response = send(&transport(PoolSettings::default()), request(&url)).await.unwrap();
    assert!(matches!(read(response).await, Err(BodyError::Broken(_))));
}

#[tokio::test]
async fn a_dropped_body_closes_the_connection() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let piece = "5\r\nthere\r\n";
    let mut peer = Peer::new(&[&[head], [piece; 500].as_slice()].concat(), 20 * MS).await;
    let transport = transport(PoolSettings::default());
    let mut response = send(&transport, request(&peer.url())).await.unwrap();
    response.body.frame().await.unwrap().unwrap();
    drop(response);
    tokio::time::timeout(5_000 * MS, peer.closed.recv()).await.unwrap();
}

#[tokio::test]
async fn a_dropped_request_closes_the_connection() {
    let mut peer = Peer::new(&[], Duration::ZERO).await;
    let transport = transport(PoolSettings::default());
    let sending = send(&transport, request(&peer.url()));
    let heard = async {
        peer.heads.recv().await.unwrap();
    };
    tokio::select! {
        _ = sending => panic!("it answered"),
        () = heard => {}
    }
    tokio::time::timeout(5_000 * MS, peer.closed.recv()).await.unwrap();
}

#[tokio::test]
async fn http2_is_spoken_without_tls_where_it_is_asked_for() {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/x", listener.local_addr().unwrap());
    let connections = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let answer = hyper::service::service_fn(
                |asked: http::Request<hyper::body::Incoming>| async move {
                    let said = format!("{:?} {}", asked.version(), asked.uri().path());
                    Ok::<_, std::convert::Infallible>(http::Response::new(said))
                },
            );
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(tcp), answer);
            tokio::spawn(serving);
        }
    });
    let settings = PoolSettings { http: HttpVersion::Two, ..PoolSettings::default() };
    let transport = transport(settings);
    for _ in 0..3 {
        let response = send(&transport, request(&url)).await.unwrap();
        assert_eq!(read(response).await.unwrap(), "HTTP/2.0 /v1/x");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn new_settings_are_in_force_with_the_next_request() {
    let peer = Peer::answering("hello").await;
    let transport = transport(PoolSettings::default());
    send(&transport, request(&peer.url())).await.unwrap();
    let proxy = Some(Secret::new("http://127.0.0.1:9"));
    let settings = PoolSettings { proxy, ..PoolSettings::default() };
    transport.configure([("p".into(), settings)].into());
    assert!(send(&transport, request(&peer.url())).await.is_err());
}
