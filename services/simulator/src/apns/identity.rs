//! The certificate of the simulated APNs, and the authority that vouches for it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::TlsAcceptor;

use crate::SimulatorError;

/// The files of an identity in a data folder.
const AUTHORITY: &str = "apns-authority.pem";
const CERTIFICATE: &str = "apns-certificate.pem";
const KEY: &str = "apns-key.pem";

/// A certificate with its key, and the certificate of its authority, all in PEM. The authority's key is not kept.
#[derive(Clone)]
pub struct ApnsIdentity {
    /// The authority, which clients have to trust.
    pub authority_pem: String,
    /// The server's certificate.
    pub certificate_pem: String,
    /// The server's private key.
    pub key_pem: String,
}

impl ApnsIdentity {
    /// A new identity for these host names and IP addresses.
    pub fn generate(names: &[&str]) -> Result<Self, SimulatorError> {
        let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let name = "Carillon simulator's certificate authority";
        authority.distinguished_name.push(DnType::CommonName, name);
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut server = CertificateParams::new(names)?;
        server
            .distinguished_name
            .push(DnType::CommonName, "Carillon simulator");
        Ok(Self {
            authority_pem,
            certificate_pem: server.signed_by(&key, &issuer)?.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// The identity of a data folder, generated at the first start.
    pub(crate) fn of_folder(folder: &Path, names: &[&str]) -> Result<Self, SimulatorError> {
        let path = |name: &str| folder.join(name);
        let failed = |path: PathBuf| move |source| SimulatorError::Identity { path, source };
        let read = |name: &str| fs::read_to_string(path(name)).map_err(failed(path(name)));
        // The authority is written last: without it, a start that was cut short is repeated.
        if path(AUTHORITY).exists() {
            return Ok(Self {
                authority_pem: read(AUTHORITY)?,
                certificate_pem: read(CERTIFICATE)?,
                key_pem: read(KEY)?,
            });
        }
        let identity = Self::generate(names)?;
        for (name, text) in [
            (KEY, &identity.key_pem),
            (CERTIFICATE, &identity.certificate_pem),
            (AUTHORITY, &identity.authority_pem),
        ] {
            write_private(&path(name), text).map_err(failed(path(name)))?;
        }
        Ok(identity)
    }

    /// The TLS side of the server.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, SimulatorError> {
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.certificate_pem.as_bytes()).collect();
        let certificates = certificates.map_err(|_| SimulatorError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|_| SimulatorError::Certificate)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key));
        let mut config = config.map_err(|_| SimulatorError::Certificate)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
