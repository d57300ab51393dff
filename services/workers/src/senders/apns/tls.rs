//! Connections of TCP and TLS to APNs' server.

use std::{io, path::Path, sync::Arc, time::Duration};

use carillon_providers::{ApnsConfig, SettingError};
use carillon_runtime::{http::install_tls, os_sentence};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The longest time to the end of both handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const HTTP_2: &[u8] = b"h2";

/// Connects to one server.
pub(super) struct Connector {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Connector {
    pub(super) fn new(config: &ApnsConfig) -> Result<Self, SettingError> {
        install_tls();
        let roots = match &config.root_certificates_path {
            Some(path) => private_roots(path)?,
            // Apple's servers have certificates of a public authority (USERTrust RSA since 2025, says
            // developer.apple.com/news/?id=09za8wzy).
            None => RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            },
        };
        let mut tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![HTTP_2.to_vec()];
        let origin = config.origin();
        let name = ServerName::try_from(origin.host().to_owned())
            .map_err(|_| SettingError::new("base_url", "expected a host name or an IP address"))?;
        Ok(Self {
            host: origin.host().to_owned(),
            port: origin.port(),
            name,
            tls: TlsConnector::from(Arc::new(tls)),
        })
    }

    /// Connects, within [`CONNECT_TIMEOUT`].
    pub(super) async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, async {
            let stream = TcpStream::connect((&*self.host, self.port)).await?;
            stream.set_nodelay(true)?;
            self.tls.connect(self.name.clone(), stream).await
        });
        let stream = connected.await.map_err(io::Error::from)??;
        if stream.get_ref().1.alpn_protocol() != Some(HTTP_2) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the server does not speak HTTP/2",
            ));
        }
        Ok(stream)
    }
}

fn private_roots(path: &Path) -> Result<RootCertStore, SettingError> {
    let wrong = |text: String| SettingError::new("root_certificates_path", text);
    let pem =
        std::fs::read(path).map_err(|error| wrong(format!("{}: {}", path.display(), os_sentence(&error))))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate
            .ok()
            .and_then(|certificate| roots.add(certificate).ok());
        if added.is_none() {
            return Err(wrong(format!(
                "expected certificates in PEM in the file {}",
                path.display()
            )));
        }
    }
    if roots.is_empty() {
        return Err(wrong(format!(
            "expected at least one certificate in PEM in the file {}",
            path.display()
        )));
    }
    Ok(roots)
}
