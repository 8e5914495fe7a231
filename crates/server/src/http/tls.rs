//! The server's certificate, and TLS with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::TlsOptions;
use crate::data_folder::write_private;

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that cannot be read as what it should be.
    #[error("{file} cannot be used: {reason}", file = .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not belong together, or are of no known kind.
    #[error("certificate and key cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
    /// A development certificate could not be made.
    #[error("no development certificate could be made: {0}")]
    Made(#[from] rcgen::Error),
}

/// The certificate in force, and the settings around it.
pub struct Certificates {
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Certificates {
    /// Reads certificate and key.
    pub fn load(options: &TlsOptions) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let current = Arc::new(Current(ArcSwap::from_pointee(read(options, &provider)?)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { current, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Reads certificate and key again. New connections get them; if they
    /// cannot be used, the old ones stay.
    pub fn reload(&self, options: &TlsOptions) -> Result<(), Error> {
        let provider = rustls::crypto::ring::default_provider();
        self.current.0.store(Arc::new(read(options, &provider)?));
        Ok(())
    }

    /// The handshake.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

fn read(options: &TlsOptions, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let wrong = |file: &Path, reason: String| Error::File { file: file.to_owned(), reason };
    let chain = CertificateDer::pem_file_iter(&options.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(&options.cert, error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(&options.cert, "it holds no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&options.key)
        .map_err(|error| wrong(&options.key, error.to_string()))?;
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}

/// A self-signed certificate for this machine's names, kept in the data
/// folder, so that a client that was told to trust it can go on doing so.
pub fn development(data: &Path) -> Result<TlsOptions, Error> {
    let options =
        TlsOptions { cert: data.join("tls-dev-cert.pem"), key: data.join("tls-dev-key.pem") };
    if options.cert.exists() && options.key.exists() {
        return Ok(options);
    }
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)?;
    let wrong = |file: &Path, error: &io::Error| Error::File {
        file: file.to_owned(),
        reason: error.to_string(),
    };
    write_private(&options.key, made.signing_key.serialize_pem().as_bytes())
        .map_err(|error| wrong(&options.key, &error))?;
    fs::write(&options.cert, made.cert.pem()).map_err(|error| wrong(&options.cert, &error))?;
    Ok(options)
}
