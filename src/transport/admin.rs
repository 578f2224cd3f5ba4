//! The admin listener, on loopback by default: `/healthz`, `/readyz`, `/metrics`, `/explain`, and a page that
//! shows the broker and its communities. Plain HTTP: it is for the operator's own machine.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{OutBody, full};
use super::explained;
use super::metrics::Metrics;
use crate::actors::explain::Explanations;
use crate::model::ids::HomeCommunityId;

/// What the admin listener shows.
pub trait AdminView: Send + Sync + 'static {
    /// Why the broker is not ready, if so.
    fn not_ready(&self) -> Option<String>;
    /// The page at `/`.
    fn page(&self) -> String;
    /// Its numbers.
    fn metrics(&self) -> &Metrics;
    /// What was done for the last requests of its gateways.
    fn explanations(&self) -> &Explanations;
    /// The name of a community.
    fn community(&self, home: &HomeCommunityId) -> Option<String>;
}

/// Connections at once: it serves probes and one operator.
const CONNECTIONS: usize = 64;

/// The bound admin socket.
pub struct AdminListener(TcpListener);

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<OutBody> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn answer(request: &Request<Incoming>, view: &dyn AdminView) -> Response<OutBody> {
    const PLAIN: &str = "text/plain; charset=utf-8";
    const JSON: &str = "application/json";
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, PLAIN, "alive\n".to_owned()),
        "/readyz" => match view.not_ready() {
            None => text(StatusCode::OK, PLAIN, "ready\n".to_owned()),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("not ready: {why}\n")),
        },
        "/metrics" => {
            text(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", view.metrics().text())
        }
        "/explain" => text(StatusCode::OK, JSON, explained::list(view)),
        path if path.starts_with("/explain/") => match view.explanations().find(path.trim_start_matches("/explain/")) {
            Some(one) => text(StatusCode::OK, JSON, explained::one(view, &one)),
            None => text(
                StatusCode::NOT_FOUND,
                PLAIN,
                "No request of that id is remembered; /explain lists those that are.\n".to_owned(),
            ),
        },
        "/" => text(StatusCode::OK, "text/html; charset=utf-8", view.page()),
        _ => text(StatusCode::NOT_FOUND, PLAIN, "Here are /healthz, /readyz, /metrics, /explain and /.\n".to_owned()),
    }
}

impl AdminListener {
    /// Binds an address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self(TcpListener::bind(address).await?))
    }

    /// The address bound, with its real port.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves until told to stop.
    pub async fn serve(self, view: Arc<dyn AdminView>, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.0.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
            let (view, stop) = (Arc::clone(&view), stop.clone());
            tasks.spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let response = answer(&request, &*view);
                    async move { Ok::<_, std::convert::Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(10))
                    .serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    _ = connection => {}
                    () = stop.cancelled() => {}
                }
                drop(permit);
            });
        }
        tasks.close();
        tasks.wait().await;
    }
}
