//! Certificate authorities, read once and only when a TLS connection needs
//! them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// TLS settings, cached by the extra CA file and by whether HTTP/2 is offered.
#[derive(Default)]
pub(super) struct Roots {
    cache: Mutex<HashMap<Key, Arc<ClientConfig>>>,
}

/// The extra CA file and what is offered.
type Key = (Option<PathBuf>, Alpn);

/// Which protocols are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Alpn {
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
    /// Both.
    Both,
}

impl Roots {
    /// The client settings that trust the system's authorities and those in
    /// `ca_file`.
    pub(super) fn config(
        &self,
        ca_file: Option<&Path>,
        alpn: Alpn,
    ) -> Result<Arc<ClientConfig>, String> {
        let key = (ca_file.map(Path::to_path_buf), alpn);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = cache.get(&key) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(build(ca_file, alpn)?);
        cache.insert(key, Arc::clone(&config));
        Ok(config)
    }
}

fn build(ca_file: Option<&Path>, alpn: Alpn) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        let shown = path.display();
        let found = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| format!("cannot read the CA file {shown}: {e}"))?;
        let (added, _) = roots.add_parsable_certificates(found);
        if added == 0 {
            return Err(format!("the CA file {shown} has no certificate that can be used"));
        }
    }
    if roots.is_empty() {
        return Err("this machine has no certificate authorities: install its ca-certificates \
                    package or set ca_file for the provider"
            .to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match alpn {
        Alpn::Http1 => vec![b"http/1.1".to_vec()],
        Alpn::Http2 => vec![b"h2".to_vec()],
        Alpn::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}
