//! Real sockets: what slow, large, modern and late clients get.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freehold_types::Env as _;
use http::{Request, Response, StatusCode};
use http_body_util::{Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::connection::{BoxError, Limits, Peer, serve_tcp};
use super::drain::Drain;
use super::timed_io::Patience;
use super::tls::{Certificates, development};
use super::workers::Workers;
use crate::env::RealEnv;

const LIMITS: Limits = Limits {
    patience: Patience {
        header: Duration::from_millis(150),
        idle: Duration::from_millis(400),
        write: Duration::from_millis(200),
    },
    header_bytes_max: 16 << 10,
};

type Answer = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// `/wait` answers after 300 ms, `/endless` never stops, all else is "hello".
async fn answer(request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    use http_body_util::BodyExt as _;
    let hello = || Full::from("hello").map_err(|never| match never {}).boxed_unsync();
    let body = match request.uri().path() {
        "/wait" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            hello()
        }
        "/endless" => {
            let part = Bytes::from(vec![b'x'; 64 << 10]);
            StreamBody::new(futures_util::stream::repeat_with(move || {
                Ok::<_, BoxError>(http_body::Frame::data(part.clone()))
            }))
            .boxed_unsync()
        }
        _ => hello(),
    };
    Ok(Response::new(body))
}

struct Running {
    address: SocketAddr,
    drain: Drain,
    accepting: tokio::task::JoinHandle<()>,
}

async fn start(tls: Option<Arc<Certificates>>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let drain = Drain::new(100);
    let (drain_of_workers, drain_of_accept) = (drain.clone(), drain.clone());
    let mut workers = Workers::start(2, move |_index| {
        let (tls, drain) = (tls.clone(), drain_of_workers.clone());
        move |stream: TcpStream, peer: SocketAddr| {
            serve_tcp(stream, peer, tls.clone(), LIMITS, drain.clone(), |_| service_fn(answer))
        }
    })
    .unwrap();
    let accepting = tokio::spawn(async move {
        super::accept::accept(listener, &mut workers, &drain_of_accept).await;
        drain_of_accept.finished(Duration::from_secs(5)).await;
        tokio::task::spawn_blocking(|| workers.stop()).await.unwrap();
    });
    Running { address, drain, accepting }
}

/// Everything until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut all)).await;
    // A reset is a close as well.
    drop(read.expect("the server closes"));
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_off() {
    let running = start(None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let env = RealEnv::new();
    let trickle = async {
        for byte in b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy" {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), trickle).await.unwrap();
    assert!(!rest(&mut stream).await.contains("200 OK"));
    assert!(env.monotonic() >= LIMITS.patience.header);
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_kept_longer_than_a_head_may_take_and_then_closed() {
    let running = start(None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let mut buf = [0; 1024];
    for pause in [0, 250, 250] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        // A body, so that bytes come after the head.
        let request = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab";
        stream.write_all(request.as_bytes()).await.unwrap();
        let read = stream.read(&mut buf).await.unwrap();
        assert!(buf[..read].starts_with(b"HTTP/1.1 200 OK"), "after {pause} ms");
    }
    let env = RealEnv::new();
    assert_eq!(rest(&mut stream).await, "");
    assert!(env.monotonic() >= Duration::from_millis(200), "{:?}", env.monotonic());
}

#[tokio::test]
async fn waiting_for_an_answer_is_no_idleness() {
    let running = start(None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut buf = [0; 1024];
        let read = stream.read(&mut buf).await.unwrap();
        assert!(buf[..read].starts_with(b"HTTP/1.1 200 OK"));
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped() {
    let running = start(None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let gone = async {
        while running.drain.open() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(running.drain.open(), 1);
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("it is dropped");
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let running = start(None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx-big: {}\r\n\r\n", "y".repeat(17 << 10));
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn http2_is_spoken_without_tls() {
    let running = start(None).await;
    let stream = TcpStream::connect(running.address).await.unwrap();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::get("http://x/").body(Full::<Bytes>::default()).unwrap();
    let answer = send.send_request(request).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, http::Version::HTTP_2));
    driver.abort();
}

#[tokio::test]
async fn tls_negotiates_and_a_new_certificate_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let options = development(folder.path()).unwrap();
    let tls = Arc::new(Certificates::load(&options).unwrap());
    let running = start(Some(Arc::clone(&tls))).await;
    for alpn in ["h2", "http/1.1"] {
        let shown = handshake(running.address, &options, alpn).await.unwrap();
        assert_eq!(shown.as_deref(), Some(alpn.as_bytes()));
    }
    std::fs::remove_file(&options.cert).unwrap();
    assert!(tls.reload(&options).is_err());
    let other = development(folder.path()).unwrap();
    assert!(handshake(running.address, &other, "h2").await.is_err(), "the old one is served still");
    tls.reload(&other).unwrap();
    assert!(handshake(running.address, &other, "h2").await.is_ok());
}

async fn handshake(
    address: SocketAddr,
    trusted: &crate::config::TlsOptions,
    alpn: &str,
) -> std::io::Result<Option<Vec<u8>>> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&trusted.cert).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
}

#[tokio::test]
async fn a_drain_takes_no_one_new_and_lets_answers_finish() {
    let running = start(None).await;
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.drain.begin();
    assert!(rest(&mut idle).await.contains("200 OK"));
    assert!(rest(&mut busy).await.ends_with("hello"));
    tokio::time::timeout(Duration::from_secs(5), running.accepting).await.unwrap().unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

/// What the server answers to these bytes, sent at once; it closes or is idle.
async fn answered(running: &Running, bytes: &str) -> String {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let running = start(None).await;
    for head in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 6",
        "content-length: +5",
        "content-length: 0x5",
        "content-length: -1",
        "content-length: 99999999999999999999",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: gzip",
        "transfer-encoding : chunked",
        " content-length: 5",
        "x: a\r\n b: folded",
        "x: a\0b",
    ] {
        let request = format!("POST / HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\nhello");
        let heard = answered(&running, &request).await;
        assert!(!heard.contains("200 OK"), "{head:?}: {heard}");
        assert_eq!(heard.matches("HTTP/1.1").count(), 1, "{head:?}: {heard}");
    }
}

#[tokio::test]
async fn a_chunked_body_hides_no_second_request() {
    let running = start(None).await;
    // By its length the body would end before the second request, which by its
    // chunks is a part of it. Chunks win (RFC 9112, section 6.3), and nothing
    // that came along with such a request is taken for another one.
    let hidden = "GET /wait HTTP/1.1\r\nhost: x\r\n\r\n";
    let request = format!(
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{hidden}\r\n0\r\n\r\n",
        hidden.len()
    );
    let heard = answered(&running, &request).await;
    assert!(heard.matches("HTTP/1.1").count() <= 1, "{heard}");
    // A chunk whose size is none ends it.
    let broken = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    let heard = answered(&running, &format!("{broken}{hidden}")).await;
    assert!(heard.matches("HTTP/1.1").count() <= 1, "{heard}");
}

#[test]
fn this_machine_is_told_from_others_in_either_notation() {
    let peer = |address: &str| Peer { address: Some(address.parse().unwrap()), tls: false };
    for local in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(peer(local).is_local(), "{local}");
    }
    for far in ["10.0.0.1:1", "[::ffff:10.0.0.1]:1", "[fe80::1]:1", "0.0.0.0:1"] {
        assert!(!peer(far).is_local(), "{far}");
    }
    assert!(Peer { address: None, tls: false }.is_local());
}
