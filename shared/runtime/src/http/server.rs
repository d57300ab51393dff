//! Serving until the shutdown.

use axum::Router;
use tokio::net::TcpListener;

use crate::lifecycle::Shutdown;

/// Serves until the soft signal, then lets open requests finish until the hard one.
pub async fn serve(listener: TcpListener, router: Router, shutdown: Shutdown) -> std::io::Result<()> {
    use axum::serve::ListenerExt as _;

    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
    });
    let soft = shutdown.soft.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move { soft.cancelled().await });
    tokio::select! {
        result = serving.into_future() => result,
        () = shutdown.hard() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::routing::get;

    use super::*;
    use crate::http::{ClientOptions, client};

    #[tokio::test]
    async fn an_open_request_is_finished_after_the_soft_signal() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (entered, mut inside) = tokio::sync::mpsc::channel::<()>(1);
        let (finish, gate) = tokio::sync::watch::channel(false);
        let router = Router::new().route(
            "/",
            get(move || async move {
                entered.send(()).await.unwrap();
                gate.clone().wait_for(|open| *open).await.unwrap();
                "done"
            }),
        );
        let shutdown = Shutdown::new();
        let server = tokio::spawn(serve(listener, router, shutdown.clone()));
        let client = client(&ClientOptions {
            request_timeout: Duration::from_secs(20),
            ..ClientOptions::default()
        });
        let request = tokio::spawn(client.unwrap().get(url).send());
        inside.recv().await.unwrap();
        shutdown.begin();
        finish.send(true).unwrap();
        assert_eq!(request.await.unwrap().unwrap().text().await.unwrap(), "done");
        server.await.unwrap().unwrap();
    }
}
