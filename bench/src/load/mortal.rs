//! A sink that can be killed and started again on the same port. It runs on a runtime of its own, with which its connections end.

use std::{net::SocketAddr, time::Duration};

use tokio::{net::TcpListener, runtime::Runtime};

use super::Sink;

/// A sink with its runtime.
pub(crate) struct MortalSink {
    pub(crate) sink: Sink,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl MortalSink {
    /// Starts a sink on a free port.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    fn on(address: SocketAddr) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        // A port whose connections have just been reset can be bound again at once.
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let sink = {
            let _context = runtime.enter();
            Sink::serve(TcpListener::from_std(listener)?, Duration::ZERO)?
        };
        Ok(Self {
            sink,
            address,
            runtime: Some(runtime),
        })
    }

    /// Ends the sink with its connections.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts the sink again, empty.
    pub(crate) fn revive(&mut self) -> anyhow::Result<()> {
        self.kill();
        *self = Self::on(self.address)?;
        Ok(())
    }
}

impl Drop for MortalSink {
    fn drop(&mut self) {
        self.kill();
    }
}
