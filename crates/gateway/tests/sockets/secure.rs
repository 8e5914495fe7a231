//! TLS to a server with a certificate of one's own.

use std::sync::Arc;

use freehold_gateway::options::HttpVersion;
use freehold_gateway::transport::PoolSettings;
use freehold_types::TransportFault;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::peer::{read, read_head, request, send, transport, whole};

/// A server for `localhost`; gives its URL and the PEM file to trust.
async fn server(folder: &std::path::Path) -> (String, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let file = folder.join("ca.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                while read_head(&mut tls).await.is_some() {
                    tls.write_all(whole("secure").as_bytes()).await.unwrap();
                }
            });
        }
    });
    (format!("https://localhost:{port}/v1/x"), file)
}

#[tokio::test]
async fn an_own_authority_is_trusted_where_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (url, file) = server(folder.path()).await;
    for http in [HttpVersion::Auto, HttpVersion::One] {
        let settings =
            PoolSettings { ca_file: Some(file.clone()), http, ..PoolSettings::default() };
        let response = send(&transport(settings), request(&url)).await.unwrap();
        assert_eq!(read(response).await.unwrap(), "secure");
    }
}

#[tokio::test]
async fn another_name_or_an_unknown_authority_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (url, file) = server(folder.path()).await;
    let trusting = PoolSettings { ca_file: Some(file), ..PoolSettings::default() };
    let other_name = url.replace("localhost", "127.0.0.1");
    for (settings, url) in [(trusting, other_name), (PoolSettings::default(), url)] {
        let error = send(&transport(settings), request(&url)).await.err().unwrap();
        assert_eq!(error.fault, TransportFault::Connect, "{error}");
    }
}

#[tokio::test]
async fn a_file_without_certificates_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.pem");
    std::fs::write(&file, "nothing").unwrap();
    let settings = PoolSettings { ca_file: Some(file), ..PoolSettings::default() };
    // Something must listen, for the file is read once TLS is needed.
    let (url, _) = server(folder.path()).await;
    let error = send(&transport(settings), request(&url)).await.err().unwrap();
    assert!(error.message.contains("empty.pem"), "{error}");
}
