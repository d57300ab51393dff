//! The HTTP client of the providers and the command line.

use std::{sync::Arc, time::Duration};

/// The settings of a client.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The longest time to the end of the TCP and TLS handshakes.
    pub connect_timeout: Duration,
    /// The longest time to the end of the answer's body.
    pub request_timeout: Duration,
    /// The number of idle connections that are kept to each host.
    pub pool_idle_per_host: usize,
    /// Finds the addresses of a name, to which the client then connects; `None`: the system's resolver.
    pub resolver: Option<Resolver>,
}

/// Finds the addresses of names.
#[derive(Clone)]
pub struct Resolver(pub Arc<dyn reqwest::dns::Resolve>);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver(…)")
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
            pool_idle_per_host: 256,
            resolver: None,
        }
    }
}

/// Makes ring the TLS provider of the process; later calls have no effect.
pub fn install_tls() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread has installed the same provider before.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// Builds a client that verifies certificates, follows no redirects and uses no proxy from the environment.
#[expect(clippy::disallowed_methods, reason = "the one place that builds HTTP clients")]
pub fn client(options: &ClientOptions) -> Result<reqwest::Client, reqwest::Error> {
    install_tls();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(options.connect_timeout)
        .timeout(options.request_timeout)
        .pool_max_idle_per_host(options.pool_idle_per_host)
        // Shorter than the idle_timeout of Carillon's own servers, so that no request is sent on a connection
        // that is being closed.
        .pool_idle_timeout(Duration::from_mins(1))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .user_agent(concat!("carillon/", env!("CARGO_PKG_VERSION")));
    if let Some(Resolver(resolver)) = &options.resolver {
        builder = builder.dns_resolver(Arc::clone(resolver));
    }
    builder.build()
}
